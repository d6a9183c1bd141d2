"""Whether a site's nodes can run an image: what it is built for, by its registry, against what the nodes are.

What can't be told (a registry that doesn't answer or wants a login) is no failure: only an image that is known to be
built for other machines is refused. Owns the fact ``image_fit``. Used by baseline.py, promote and failback.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from drfsm.dr.objects import cronjob_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Unreachable
from drfsm.world import Manifest, Registry, World


def architecture_of(node: Manifest) -> str:
    """Return a node's architecture (amd64, arm64); "" if it is unknown."""
    reported = ((node.get("status") or {}).get("nodeInfo") or {}).get("architecture")
    return str(reported or (node["metadata"].get("labels") or {}).get("kubernetes.io/arch") or "")


def built_for(registry: Registry | None, image: str) -> tuple[list[str], str]:
    """Return an image's architectures, and why they are unknown ("" if they are known)."""
    if registry is None or not image:
        return [], "the image's architectures were not read"
    try:
        return sorted(registry.architectures(image)), ""
    except (Unreachable, ActionFailed) as fault:
        return [], f"the architectures of {image} are unknown: {fault.what}"


def see(registry: Registry | None, image: str, nodes: Sequence[Manifest]) -> dict[str, Any]:
    """See an image against nodes."""
    built, unknown = built_for(registry, image)
    runs_on = sorted({architecture_of(node) for node in nodes} - {""})
    return {"image": image, "built_for": built, "nodes": runs_on, "unknown": unknown}


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Say whether the nodes can run it, as far as that is known: possible or other."""
    known = seen["built_for"] and seen["nodes"]
    return "other" if known and not set(seen["built_for"]) & set(seen["nodes"]) else "possible"


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    cluster = world.site(terms.target_site)
    cronjob = cronjob_of(cluster, terms.namespace, terms.cronjob, terms.usual_cronjob)
    current = str(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"])
    return see(world.registry, terms.image_ref or current, cluster.list("Node", ""))


FACTS = {"image_fit": Fact(_observe, judge)}
