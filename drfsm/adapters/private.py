"""The bundle's private directory: kubeconfigs, terraform's plan and data, readable by their owner only.

Owns the list of these files (files.py writes them: 0600 in a 0700 directory, whole or not at all). site_kubeconfig.py
checks a kubeconfig that comes from a site before it is saved; the operator's own file is not restricted. No content of
these files enters a record or a message. Used by existing.py, ec2.py and terraform.py.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from drfsm.adapters import site_kubeconfig
from drfsm.adapters.site_kubeconfig import Addresses
from drfsm.errors import ActionFailed
from drfsm.files import Directory
from drfsm.world import Kubeconfig

KUBECONFIG = "dr.kubeconfig.yaml"


class PrivateFiles:
    """Files that only their owner may read. The first write makes the directory.

    ``site_is_here``: the site runs on this machine, as the operator says, so its kubeconfig may name a loopback
    address.
    """

    def __init__(self, directory: Path, *, site_is_here: bool = False) -> None:
        self.directory, self.site_is_here = directory.absolute(), site_is_here

    @property
    def kubeconfig(self) -> Path:
        """Where the site's kubeconfig is kept."""
        return self.directory / KUBECONFIG

    def home(self, name: str = "") -> Path:
        """Make and return the directory, or one in it, open to its owner only. Raises as files.py does."""
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
        """Return the descriptor of a new file, open for writing a program's output."""
        with Directory.make(self.directory) as directory:
            return directory.create(name)

    def read(self, name: str, *, start: int = 0) -> bytes | None:
        """Return a file's bytes from ``start`` on, None if there is none. Raises FileDamaged for a link."""
        if not os.path.lexists(self.directory):
            return None
        with Directory.look(self.directory) as directory:
            return directory.read(name, start=start)

    def forget(self, name: str) -> None:
        """Remove a file. An absent file is not an error."""
        if os.path.lexists(self.directory):
            with Directory.own(self.directory) as directory:
                directory.remove(name)

    def keep_kubeconfig(self, body: bytes, origin: str, addresses: Addresses = tuple) -> Kubeconfig:
        """Save a site's kubeconfig; a loopback address in it is replaced by one of ``addresses``.

        Raises ActionFailed, which quotes nothing of the file, if it can't be used.
        """
        body, kubeconfig = settled(body, origin, addresses, here=self.site_is_here)
        self.write(KUBECONFIG, body)
        return kubeconfig

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the saved kubeconfig, None if there is none."""
        body = self.read(KUBECONFIG)
        return None if body is None else described(body, str(self.kubeconfig))


def settled(body: bytes, origin: str, addresses: Addresses, *, here: bool) -> tuple[bytes, Kubeconfig]:
    """Return a site's kubeconfig as it can be used from here, and what may be told of it.

    One that names this machine gets an address of ``addresses`` instead, if its certificate proves it; ``here``: the
    site really runs on this machine. Raises ActionFailed, Unreachable, without a word of its contents.
    """
    import yaml

    config = site_kubeconfig.read(body, origin)
    if (other := site_kubeconfig.reached(config, origin, addresses, here=here)) is not None:
        body = yaml.safe_dump(other, sort_keys=False).encode()
    return body, described(body, origin)


def described(body: bytes, origin: str, *, own: bool = False) -> Kubeconfig:
    """Return what may be recorded of a kubeconfig. ``own``: the operator's own file, which is not restricted."""
    if not own:
        return Kubeconfig(
            hashlib.sha256(body).hexdigest(), site_kubeconfig.server_of(site_kubeconfig.read(body, origin))
        )
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        server = str(_current(yaml.load(body, Loader=loader))["server"])  # noqa: S506  safe, and faster
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, IndexError, StopIteration, RecursionError):
        raise ActionFailed(f"the content from {origin} is not a kubeconfig ({len(body)} bytes)") from None
    return Kubeconfig(hashlib.sha256(body).hexdigest(), server)


def _current(config: Any) -> Any:
    context = next(entry for entry in config["contexts"] if entry["name"] == config["current-context"])["context"]
    return next(entry for entry in config["clusters"] if entry["name"] == context["cluster"])["cluster"]
