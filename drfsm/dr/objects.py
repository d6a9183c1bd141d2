"""What several rooms read of a cluster's objects: labels, conditions, the CronJob that publishes, a site's time.

Owns no fact and changes nothing. Words that a workload or a cluster says pass ``redacted`` before anybody keeps them.
"""

import re
from datetime import datetime

from drfsm.claims import bounded
from drfsm.engine import Run
from drfsm.errors import ActionFailed
from drfsm.world import Cluster, Manifest

RUN_LABEL, ROLE_LABEL = "drfsm/run", "drfsm/role"
LONGEST_WORDS = 1000  # characters of one thing that a workload or a cluster says
# What a workload or a cluster says is not ours: what looks like a credential in it stays out of the journal.
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
    """Return which of these conditions is true of an object, "" if none."""
    for each in (manifest.get("status") or {}).get("conditions") or []:
        if each["type"] in kinds and each["status"] == "True":
            return str(each["type"])
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
    raise ActionFailed(
        f"which CronJob publishes on {cluster.name}? In namespace {namespace} there are:"
        f" {', '.join(sorted(cronjobs)) or 'none'}",
        hint="name it with --cronjob",
    )


def time_of(cluster: Cluster, run: Run) -> datetime:
    """Return a site's own time, which stamped its objects; this machine's where the site has not said it.

    Call it after something was asked of the site: its time is the one of its latest answer.
    """
    return cluster.now() or datetime.fromisoformat(run.clock.now())


def redacted(words: str) -> str:
    """Return words on one line, bounded and printable, without what looks like a credential."""
    for pattern, instead in SECRETS:
        words = pattern.sub(instead, words)
    return bounded(words, LONGEST_WORDS)
