"""Applies a published bundle to a site: four ConfigMaps, by server-side apply, read back.

The contract names each section's ConfigMap. In it a file's name is its key, with ``/`` as ``__``; a file that isn't
UTF-8 is in binaryData; the annotation ``drfsm/control-plane-bundle`` has the bundle's SHA-256. A field of another
manager is a Conflict unless ``force`` takes it over. Keys that the bundle lacks are then removed and reported. Owns the
fact ``dr_control_plane``. Called by restore.py's binding and the CLI.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from drfsm.dr.control_plane.bundle import check_sizes
from drfsm.dr.control_plane.read import (
    SECTIONS,
    Bundle,
    Files,
    judge,
    key_of,
    parity,
    published,
    same,
    see,
)
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Workload
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Check, Cluster, Manifest, World

BUNDLE = "drfsm/control-plane-bundle"
NUMBERS = {"candidates": "candidate_count", "alerts": "alert_count", "providers": "provider_count"} | {
    "scoring": "scoring_count"
}
Say = Callable[[str], None]


def rendered(bundle: Bundle, namespace: str, workload: Workload) -> list[Manifest]:
    """Return the ConfigMaps of a bundle. Raises UsageFault for a section that does not fit into one."""
    check_sizes(bundle.sections)
    names = workload.kubernetes
    return [
        _configmap(
            bundle.sections[section],
            {
                "name": names.control_plane_of(section),
                "namespace": namespace,
                "labels": dict(names.labels),
                "annotations": {BUNDLE: bundle.sha256},
            },
        )
        for section in SECTIONS
    ]


def _configmap(files: Files, metadata: Mapping[str, Any]) -> Manifest:
    import base64

    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for name, body in sorted(files.items()):
        try:
            text[key_of(name)] = body.decode("utf-8")
        except UnicodeDecodeError:
            binary[key_of(name)] = base64.b64encode(body).decode()
    kinds = {"data": text, "binaryData": binary}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": dict(metadata),
        **{kind: held for kind, held in kinds.items() if held},
    }


def apply(
    cluster: Cluster, namespace: str, bundle: Bundle, workload: Workload, *, force: bool, check: Check, say: Say
) -> dict[str, Any]:
    """Apply a bundle; return the content of apply.summary.json. Raises ActionFailed if the site then differs.

    Raises Conflict, naming the fields, where another manager set them and ``force`` isn't given.
    """
    manifests = rendered(bundle, namespace, workload)
    before = parity(cluster, namespace, bundle, workload)
    for manifest in manifests:
        check()
        try:
            cluster.apply(manifest, force=force)
        except Conflict as fault:
            raise Conflict(
                fault.what, hint="find out who set these fields, then give --force-conflicts", fault="site"
            ) from None
        say(f"applied ConfigMap {manifest['metadata']['name']} on {cluster.name}")
    removed = _without_extras(cluster, namespace, bundle, workload, say) if force else {}
    after = parity(cluster, namespace, bundle, workload)
    if not same(after):
        deviations = ", ".join(f"{section}: {_apart(seen)}" for section, seen in after.items() if _apart(seen))
        raise ActionFailed(
            f"the ConfigMaps on {cluster.name} differ from the bundle after it was applied: {deviations}",
            hint="another manager owns keys there: check them, then give --force-conflicts",
        )
    return _application(cluster, namespace, bundle, workload, before, removed)


def _application(
    cluster: Cluster,
    namespace: str,
    bundle: Bundle,
    workload: Workload,
    before: Mapping[str, Any],
    removed: Mapping[str, list[str]],
) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "cluster_uid": cluster.uid(),
        "bundle_uri": bundle.uri,
        "bundle_sha256": bundle.sha256,
        "sections": {
            section: {
                "configmap": workload.kubernetes.control_plane_of(section),
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
    """Return how a section differs, in words; "" if it doesn't."""
    return ", ".join(f"{seen[kind]} {kind}" for kind in ("missing", "extra", "changed") if seen[kind])


def _without_extras(
    cluster: Cluster, namespace: str, bundle: Bundle, workload: Workload, say: Say
) -> dict[str, list[str]]:
    """Remove the keys that the bundle lacks, conditional on the ConfigMap's resourceVersion."""
    removed: dict[str, list[str]] = {}
    for section in SECTIONS:
        name, bundle_keys = (
            workload.kubernetes.control_plane_of(section),
            {key_of(file_name) for file_name in bundle.sections[section]},
        )
        live = cluster.get("ConfigMap", namespace, name) or {}
        extra = {
            kind: [key for key in live.get(kind) or {} if key not in bundle_keys] for kind in ("data", "binaryData")
        }
        if keys := sorted({key for named in extra.values() for key in named}):
            change: dict[str, Any] = {kind: dict.fromkeys(named) for kind, named in extra.items() if named}
            metadata = {"resourceVersion": live["metadata"]["resourceVersion"]}
            cluster.patch("ConfigMap", namespace, name, {**change, "metadata": metadata})
            removed[section] = keys
            say(f"removed from ConfigMap {name} the keys that the bundle lacks: {', '.join(keys)}")
    return removed


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def summary(bundle: Bundle) -> dict[str, Any]:
    """Return the content of dr_restore.control_plane.summary.json: the bundle, and how much each section holds."""
    counts = {NUMBERS[section]: count for section, count in bundle.numbers.items()}
    return {"bundle_uri": bundle.uri, "bundle_sha256": bundle.sha256, **counts}


# --- for the machines -----------------------------------------------------------------------------------


def _observe_dr(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    return see(world.store, terms.prefix, world.dr, terms.namespace, terms.workload, run.check)


def _apply_dr(world: World, run: Run) -> dict[str, Any]:
    """Apply the published bundle to DR. It owns DR's ConfigMaps, so fields of other managers are taken over."""
    terms = terms_of(run.inputs)
    bundle = published(world.store, terms.prefix, terms.workload)
    if bundle is None:
        raise ActionFailed("no control plane is published", hint="run drfsm control-plane publish on the primary")
    applied = apply(world.dr, terms.namespace, bundle, terms.workload, force=True, check=run.check, say=run.note)
    return {**summary(bundle), "applied": applied}


def read_back_dr(world: World, run: Run) -> dict[str, Any]:
    """Return the same for the bundle that is already on DR. Changes nothing: for receipts of an interrupted apply."""
    terms = terms_of(run.inputs)
    namespace, workload = terms.namespace, terms.workload
    bundle = published(world.store, terms.prefix, workload)
    if bundle is None:
        raise ActionFailed("no control plane is published", hint="run drfsm control-plane publish on the primary")
    application = _application(world.dr, namespace, bundle, workload, parity(world.dr, namespace, bundle, workload), {})
    return {**summary(bundle), "applied": application}


FACTS = {"dr_control_plane": Fact(_observe_dr, judge)}
ACTIONS = {"apply_dr_control_plane": _apply_dr}
