"""Who we are to the cloud and to the clusters: what of whoever runs this process can be proven, beside a name.

A name (``--operator``, LOGNAME) is free text. The cloud says which ARN its credentials are of (STS), a cluster which
user its kubeconfig leads to (SelfSubjectReview). Where one of them can't or won't say, that is recorded with its
reason: to be asked who we are stops nothing by itself. Called by preflight's survey, by whoever goes on with a run,
and by the fact that compares who approves with who started.
"""

from collections.abc import Callable, Iterable
from typing import Any

from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.world import World

UNTOLD = "untold"  # a cluster's answer where it can't say
Said = str | dict[str, str]
"""What one of them says; where it does not, ``{"unknown": why}``."""


def callers(world: World, sites: Iterable[str]) -> dict[str, Any]:
    """Return ``{cloud_caller: Said, cluster_users: {site: Said}}``. Raises nothing that only says "not known"."""
    return {"cloud_caller": _said(world.identity.caller), "cluster_users": cluster_users(world, sites)}


def cluster_users(world: World, sites: Iterable[str]) -> dict[str, Said]:
    """Return which user each cluster knows us by. Raises nothing that only says "not known"."""
    return {site: _said(world.site(site).whoami) for site in sites}


def _said(ask: Callable[[], str]) -> Said:
    try:
        name = ask()
    except (ActionFailed, Unreachable, UsageFault) as fault:
        return {"unknown": bounded(fault.what)}
    return {"unknown": "it does not say who we are"} if name in ("", UNTOLD) else bounded(name)
