"""The identities of this process in the cloud and the clusters: what can be proven about its user, besides a name.

A name (``--operator``, LOGNAME) is free text. The cloud reports the ARN of the credentials (STS), a cluster the user of
its kubeconfig (SelfSubjectReview). A missing answer is recorded with its reason and stops nothing by itself. Called by
preflight's survey, by the resume of a run, and by the fact that compares the approver with the starter.
"""

from collections.abc import Callable, Iterable
from typing import Any

from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.world import World

UNTOLD = "untold"  # a cluster's answer where it can't say
Said = str | dict[str, str]
"""One identity, or ``{"unknown": why}``."""


def callers(world: World, sites: Iterable[str]) -> dict[str, Any]:
    """Return ``{cloud_caller: Said, cluster_users: {site: Said}}``. An unknown identity is not an error."""
    return {"cloud_caller": _said(world.identity.caller), "cluster_users": cluster_users(world, sites)}


def cluster_users(world: World, sites: Iterable[str]) -> dict[str, Said]:
    """Return our user name on each cluster. An unknown one is not an error."""
    return {site: _said(world.site(site).whoami) for site in sites}


def _said(ask: Callable[[], str]) -> Said:
    try:
        name = ask()
    except (ActionFailed, Unreachable, UsageFault) as fault:
        return {"unknown": bounded(fault.what)}
    return {"unknown": "the cluster does not report our user name"} if name in ("", UNTOLD) else bounded(name)
