"""Applies a published bundle to a site: four ConfigMaps, by server-side apply, read back.

ConfigMap jobintel-control-plane-<section>: a file's name is its key, with ``/`` as ``__``; what isn't UTF-8 is
binaryData; the annotation ``drfsm/control-plane-bundle`` carries the bundle's SHA-256. What others set otherwise
is a Conflict unless it is taken over, and then keys that the bundle lacks are removed as well, and said.
Owns the fact ``dr_control_plane``. Called by restore.py's binding and the CLI.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from drfsm.dr.control_plane.bundle import check_sizes
from drfsm.dr.control_plane.read import (
    SECTIONS,
    Bundle,
    Files,
    configmap_of,
    judge,
    key_of,
    parity,
    published,
    same,
    see,
)
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Check, Cluster, Manifest, World

BUNDLE = "drfsm/control-plane-bundle"
NUMBERS = {"candidates": "candidate_count", "alerts": "alert_count", "providers": "provider_count"} | {
    "scoring": "scoring_count"
}
Say = Callable[[str], None]


def rendered(bundle: Bundle, namespace: str) -> list[Manifest]:
    """Return the ConfigMaps of a bundle. Raises UsageFault for a section that none can hold."""
    check_sizes(bundle.sections)
    return [_configmap(section, bundle.sections[section], bundle.sha256, namespace) for section in SECTIONS]


def _configmap(section: str, files: Files, sha256: str, namespace: str) -> Manifest:
    import base64

    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for name, body in sorted(files.items()):
        try:
            text[key_of(name)] = body.decode("utf-8")
        except UnicodeDecodeError:
            binary[key_of(name)] = base64.b64encode(body).decode()
    metadata = {
        "name": configmap_of(section),
        "namespace": namespace,
        "labels": {"app.kubernetes.io/name": "jobintel"},
        "annotations": {BUNDLE: sha256},
    }
    kinds = {"data": text, "binaryData": binary}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        **{kind: held for kind, held in kinds.items() if held},
    }


def apply(cluster: Cluster, namespace: str, bundle: Bundle, *, force: bool, check: Check, say: Say) -> dict[str, Any]:
    """Apply a bundle; return what apply.summary.json says. Raises ActionFailed if what is read back is another.

    Raises Conflict, naming the fields, where somebody else set them otherwise and ``force`` isn't given.
    """
    manifests = rendered(bundle, namespace)
    before = parity(cluster, namespace, bundle)
    for each in manifests:
        check()
        try:
            cluster.apply(each, force=force)
        except Conflict as fault:
            raise Conflict(fault.what, hint="look at who set them, then --force-conflicts", fault="site") from None
        say(f"applied ConfigMap {each['metadata']['name']} on {cluster.name}")
    removed = _without_extras(cluster, namespace, bundle, say) if force else {}
    after = parity(cluster, namespace, bundle)
    if not same(after):
        told = ", ".join(f"{section}: {_apart(seen)}" for section, seen in after.items() if _apart(seen))
        raise ActionFailed(
            f"the ConfigMaps on {cluster.name} are not as the bundle after it was applied: {told}",
            hint="somebody else keeps keys there: look at them, then --force-conflicts",
        )
    return _told(cluster, namespace, bundle, before, removed)


def _told(
    cluster: Cluster, namespace: str, bundle: Bundle, before: Mapping[str, Any], removed: Mapping[str, list[str]]
) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "cluster_uid": cluster.uid(),
        "bundle_uri": bundle.uri,
        "bundle_sha256": bundle.sha256,
        "sections": {
            section: {
                "configmap": configmap_of(section),
                "was": _was(before[section]),
                "files": len(bundle.sections[section]),
                "bytes": sum(map(len, bundle.sections[section].values())),
                "removed": removed.get(section, []),
                "sha256": {key_of(name): _hash(body) for name, body in sorted(bundle.sections[section].items())},
            }
            for section in SECTIONS
        },
    }


def _was(seen: Mapping[str, Any]) -> str:
    return "absent" if seen["configmap"] == "absent" else "different" if _apart(seen) else "equal"


def _apart(seen: Mapping[str, Any]) -> str:
    """Say how a section differs; "" if it doesn't."""
    return ", ".join(f"{seen[kind]} {kind}" for kind in ("missing", "extra", "changed") if seen[kind])


def _without_extras(cluster: Cluster, namespace: str, bundle: Bundle, say: Say) -> dict[str, list[str]]:
    """Remove the keys that the bundle lacks, each ConfigMap as it was read and no other."""
    removed: dict[str, list[str]] = {}
    for section in SECTIONS:
        name, wanted = configmap_of(section), {key_of(each) for each in bundle.sections[section]}
        live = cluster.get("ConfigMap", namespace, name) or {}
        extra = {kind: [key for key in live.get(kind) or {} if key not in wanted] for kind in ("data", "binaryData")}
        if keys := sorted({key for named in extra.values() for key in named}):
            change: dict[str, Any] = {kind: dict.fromkeys(named) for kind, named in extra.items() if named}
            metadata = {"resourceVersion": live["metadata"]["resourceVersion"]}
            cluster.patch("ConfigMap", namespace, name, {**change, "metadata": metadata})
            removed[section] = keys
            say(f"removed from ConfigMap {name}, which the bundle lacks: {', '.join(keys)}")
    return removed


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def summary(bundle: Bundle) -> dict[str, Any]:
    """Return what dr_restore.control_plane.summary.json says: the bundle, and how many files each section has."""
    counts = {NUMBERS[section]: count for section, count in bundle.counts.items()}
    digests = {"bundle_sha256": bundle.sha256, "manifest_sha256": _hash(bundle.manifest)}
    return {"bundle_uri": bundle.uri, **digests, **counts}


# --- for the machines -----------------------------------------------------------------------------------


def _observe_dr(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    return see(world.store, terms.prefix, world.dr, terms.namespace, run.check)


def _apply_dr(world: World, run: Run) -> dict[str, Any]:
    """Apply what is published now to DR. DR's ConfigMaps are the bundle's: what others set there is taken over."""
    terms = terms_of(run.inputs)
    bundle = published(world.store, terms.prefix)
    if bundle is None:
        raise ActionFailed("no control plane is published", hint="drfsm control-plane publish, on the primary")
    applied = apply(world.dr, terms.namespace, bundle, force=True, check=run.check, say=run.note)
    return {**summary(bundle), "applied": applied}


def read_back_dr(world: World, run: Run) -> dict[str, Any]:
    """Return the same of what is on DR already. Changes nothing: for the receipts, where applying was interrupted."""
    terms = terms_of(run.inputs)
    namespace, bundle = terms.namespace, published(world.store, terms.prefix)
    if bundle is None:
        raise ActionFailed("no control plane is published", hint="drfsm control-plane publish, on the primary")
    told = _told(world.dr, namespace, bundle, parity(world.dr, namespace, bundle), {})
    return {**summary(bundle), "applied": told}


FACTS = {"dr_control_plane": Fact(_observe_dr, judge)}
ACTIONS = {"apply_dr_control_plane": _apply_dr}
