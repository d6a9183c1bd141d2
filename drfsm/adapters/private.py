"""The bundle's private directory: kubeconfigs, terraform's plan and data, readable by their owner only.

Owns how such files are written (0600 in a 0700 directory, whole or not at all) and what a kubeconfig must be
to be kept: one that carries its own credentials. One that would run a program of its author's choice here, or
that points at files on another machine, is refused. What the files hold stands in no record and no message.
Used by existing.py, ec2.py and terraform.py.
"""

import hashlib
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from drfsm.errors import ActionFailed
from drfsm.world import Kubeconfig

KUBECONFIG = "dr.kubeconfig.yaml"
_PROGRAMS = frozenset({"exec", "auth-provider"})
_ELSEWHERE = frozenset({"certificate-authority", "client-certificate", "client-key", "tokenFile"})


class PrivateFiles:
    """Files that only their owner may read. The directory is made when first written to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    @property
    def kubeconfig(self) -> Path:
        """Where the site's kubeconfig is kept."""
        return self.directory / KUBECONFIG

    def home(self, name: str = "") -> Path:
        """Return the directory, or one in it; it is there, and only its owner may enter."""
        place = self.directory / name
        for each in (self.directory, place):
            each.mkdir(parents=True, exist_ok=True)
            each.chmod(0o700)
        return place

    def write(self, name: str, body: bytes) -> Path:
        """Write a file, whole or not at all."""
        place = self.home() / name
        draft = place.with_name(f".{name}.{uuid4().hex}")
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(body)
        draft.replace(place)
        return place

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def forget(self, name: str) -> None:
        """Remove a file; one that isn't there is fine."""
        (self.directory / name).unlink(missing_ok=True)

    def keep_kubeconfig(self, body: bytes, origin: str) -> Kubeconfig:
        """Keep a site's kubeconfig. Raises ActionFailed, without a word of its contents, if it can't be used."""
        found = described(body, origin)
        self.write(KUBECONFIG, body)
        return found

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the kubeconfig that is kept, None if there is none."""
        body = self.read(KUBECONFIG)
        return None if body is None else described(body, str(self.kubeconfig))


def described(body: bytes, origin: str, *, own: bool = False) -> Kubeconfig:
    """Return what may be told of a kubeconfig. ``own``: the operator's own file, which may do as he likes."""
    import yaml

    try:
        config: Any = yaml.safe_load(body)
        server = str(_current(config)["server"])
        users = [each["user"] for each in config["users"]]
        clusters = [each["cluster"] for each in config["clusters"]]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, IndexError, StopIteration):
        raise ActionFailed(f"what came from {origin} is no kubeconfig ({len(body)} bytes)") from None
    if not own:
        _check(users, clusters, origin)
    return Kubeconfig(hashlib.sha256(body).hexdigest(), server)


def _current(config: Any) -> Any:
    context = next(each for each in config["contexts"] if each["name"] == config["current-context"])["context"]
    return next(each for each in config["clusters"] if each["name"] == context["cluster"])["cluster"]


def _check(users: list[Any], clusters: list[Any], origin: str) -> None:
    named = {name for each in (*users, *clusters) for name in each or {}}
    if programs := named & _PROGRAMS:
        told = f"the kubeconfig from {origin} would run a program on this machine ({', '.join(sorted(programs))})"
        raise ActionFailed(told, way="let the runner give one with its own token or certificate")
    if elsewhere := named & _ELSEWHERE:
        told = f"the kubeconfig from {origin} points at files of another machine ({', '.join(sorted(elsewhere))})"
        raise ActionFailed(told, way="kubectl config view --flatten --raw on the runner gives one that holds them")
