"""The bundle's private directory: kubeconfigs, terraform's plan and data, readable by their owner only.

Owns which files these are (files.py writes them: 0600 in a 0700 directory, whole or not at all) and what a
kubeconfig must be to be kept: one that carries its own credentials. One that would run a program of its author's
choice here, or that points at files on another machine, is refused. What the files hold stands in no record and no
message. Used by existing.py, ec2.py and terraform.py.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from drfsm.errors import ActionFailed
from drfsm.files import Directory
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
        """Return the directory, or one in it; it is there, and only its owner may enter. Raises as files.py does."""
        with Directory.make(self.directory) as directory:
            if name and (inner := directory.sub(name)) is not None:
                inner.close()
        return self.directory / name

    def write(self, name: str, body: bytes) -> Path:
        """Write a file, whole or not at all; it is on the disk when this returns."""
        with Directory.make(self.directory) as directory:
            directory.write(name, body, durable=True)
        return self.directory / name

    def create(self, name: str) -> int:
        """Return the descriptor of a new file, open for writing: a program's output goes there."""
        with Directory.make(self.directory) as directory:
            return directory.create(name)

    def read(self, name: str, *, start: int = 0) -> bytes | None:
        """Return a file's bytes from ``start`` on, None if there is none. Raises FileDamaged for a link."""
        if not os.path.lexists(self.directory):
            return None
        with Directory.look(self.directory) as directory:
            return directory.read(name, start=start)

    def forget(self, name: str) -> None:
        """Remove a file; one that isn't there is fine."""
        if os.path.lexists(self.directory):
            with Directory.own(self.directory) as directory:
                directory.remove(name)

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
