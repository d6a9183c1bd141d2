"""Readers of a cluster's objects for several folders: labels, conditions, the publishing CronJob, a site's time.

Owns no fact and changes nothing. Text from a workload or a cluster passes ``redacted`` before it is recorded.
"""

import re
from datetime import datetime

from drfsm.claims import bounded
from drfsm.engine import Run
from drfsm.errors import ActionFailed
from drfsm.world import Cluster, Manifest

RUN_LABEL, ROLE_LABEL = "drfsm/run", "drfsm/role"
LONGEST_WORDS = 1000  # characters of one text from a workload or a cluster
# Text from a workload or a cluster may contain credentials: anything that looks like one stays out of the journal.
SECRETS = (
    (
        re.compile(
            r"(?i)((?:secret|token|password|passwd|authorization|credential|signature|access_?key)[\w-]*[\"']?"
            r"\s*[:= ]\s*)\S.*"
        ),
        r"\1…",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "…"),
    (re.compile(r"(?i)\bbearer\s+\S+"), "bearer …"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1…@"),
)


def condition(manifest: Manifest, *kinds: str) -> str:
    """Return the first of these conditions that is true of an object, "" if none is."""
    for entry in (manifest.get("status") or {}).get("conditions") or []:
        if entry["type"] in kinds and entry["status"] == "True":
            return str(entry["type"])
    return ""


def cronjob_of(cluster: Cluster, namespace: str, name: str = "", usual: str = "") -> Manifest:
    """Return the CronJob that publishes: the named one, else the contract's (``usual``), else the only one.

    Raises ActionFailed where it can't be told.
    """
    cronjobs = {manifest["metadata"]["name"]: manifest for manifest in cluster.list("CronJob", namespace)}
    if (wanted := name or usual) in cronjobs:
        return cronjobs[wanted]
    if not name and len(cronjobs) == 1:
        return next(iter(cronjobs.values()))
    if not cronjobs:
        check_namespace(cluster, namespace)
    raise ActionFailed(
        f"which CronJob publishes on {cluster.name}? In namespace {namespace} there are:"
        f" {', '.join(sorted(cronjobs)) or 'none'}",
        hint="name it with --cronjob",
    )


def name_of_ours(run: Run, role: str) -> str:
    """Return the name that a run gives the Job that it makes in a role; no other run gives the same."""
    return name_of_job(run.id, role)


def name_of_job(run_id: str, role: str) -> str:
    """Return the name of a run's Job by the run's id alone: also before the run is begun."""
    return f"drfsm-{role}-{run_id}"[:63].rstrip("-.")


def check_namespace(cluster: Cluster, namespace: str) -> None:
    """Raise ActionFailed where a site has no such namespace: an empty list of its objects would say nothing."""
    if cluster.get("Namespace", "", namespace) is None:
        raise ActionFailed(
            f"{cluster.name} has no namespace {namespace}: check --namespace, and that the kubeconfig leads to the"
            " right cluster",
            fault="operator",
        )


def time_of(cluster: Cluster, run: Run) -> datetime:
    """Return a site's own time, which stamped its objects; this machine's if the site has not reported it.

    Call it after a request to the site: the time is that of its latest response.
    """
    return cluster.now() or datetime.fromisoformat(run.clock.now())


def redacted(words: str) -> str:
    """Return a text on one line, bounded and printable, without anything that looks like a credential."""
    for pattern, instead in SECRETS:
        words = pattern.sub(instead, words)
    return bounded(words, LONGEST_WORDS)
