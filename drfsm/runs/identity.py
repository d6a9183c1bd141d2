"""The proven identity of the person who types a command, beside the name that they give.

The owner of this process is known offline (not from LOGNAME, which anybody may set). Every command that starts,
continues or decides a run asks the cloud and the clusters for their names of the caller: once, before anything is
recorded, and no site that was declared lost or has no kubeconfig here. Commands that only read ask nobody. Used by
run_context.py, which passes the answers to the Runner.
"""

import os
import platform
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.world import World


def process_owner() -> dict[str, Any]:
    """Return ``{os_user: {uid, name, host}}``; the name is "" where the uid has none here."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return {"os_user": {"uid": uid, "name": name, "host": platform.node()}}


def identify(world: "World", inputs: Mapping[str, Any], kubeconfigs: Mapping[str, Path]) -> dict[str, Any]:
    """Return the identity of the caller: of this process, to the cloud, and to the run's sites. Raises nothing."""
    from drfsm.dr.callers import callers

    return {**process_owner(), **callers(world, _sites(inputs, kubeconfigs))}


def _sites(inputs: Mapping[str, Any], kubeconfigs: Mapping[str, Path]) -> Iterator[str]:
    for site, kubeconfig in kubeconfigs.items():
        if kubeconfig.is_file() and inputs.get(f"{site}_unreachable") != "yes":
            yield site
