"""Who runs this process, as the system, the cloud and the clusters say it: never what a variable or a flag says."""

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.runs.identity import identify, process_owner


class Says:
    """A cloud's identity or a cluster that says one thing, or fails."""

    def __init__(self, what: Any) -> None:
        self._what = what

    def caller(self) -> str:
        """Say who we are in the cloud."""
        if isinstance(self._what, Exception):
            raise self._what
        return str(self._what)

    whoami = caller


class Around:
    """As much of a world as is asked."""

    def __init__(self, cloud: Any, **sites: Any) -> None:
        self.identity = Says(cloud)
        self._sites = {name: Says(says) for name, says in sites.items()}

    def site(self, name: str) -> Says:
        """Return a site; one that must not be asked is not there."""
        return self._sites[name]


def test_the_owner_of_the_process_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGNAME and USER may say what they like."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    owner = process_owner()["os_user"]
    assert (owner["uid"], owner["name"]) == (os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("arn:aws:iam::1:user/ann", "arn:aws:iam::1:user/ann"),
        ("untold", {"unknown": "the cluster does not report our user name"}),
        ("", {"unknown": "the cluster does not report our user name"}),
        (Unreachable("no answer"), {"unknown": "no answer"}),
        (ActionFailed("AccessDenied"), {"unknown": "AccessDenied"}),
        (UsageFault("the kubeconfig can't be used"), {"unknown": "the kubeconfig can't be used"}),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("x" * 5000, "x" * 300 + "… (5000 characters)"),
    ],
    ids=["said", "untold", "empty", "unreachable", "refused", "misconfigured", "escapes", "long"],
)
def test_whoever_does_not_say_who_we_are_stops_nothing(says: Any, told: Any, tmp_path: Path) -> None:
    """Of the cloud and of a cluster: the answer in print, bounded; or why there is none."""
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    world: Any = Around(says, dr=says)
    proven = identify(world, {}, {"dr": kubeconfig})
    assert (proven["cloud_caller"], proven["cluster_users"]) == (told, {"dr": told})


def test_only_sites_that_may_be_asked_are_asked(tmp_path: Path) -> None:
    """One that was declared lost, and one whose kubeconfig is not here (yet), are left alone."""
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    world: Any = Around("me")
    assert identify(world, {"primary_unreachable": "yes"}, {"primary": kubeconfig})["cluster_users"] == {}
    assert identify(world, {}, {"primary": Path(os.devnull), "dr": tmp_path / "none"})["cluster_users"] == {}
