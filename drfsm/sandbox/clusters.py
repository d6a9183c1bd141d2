"""What the sandbox asks of a cluster, whichever kind it is of: emulated in this process, or a real control plane."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

Kind = Literal["emulated", "real"]
Manifest = dict[str, Any]


class Cluster(Protocol):
    """One cluster, made with a name, a directory of its own and its images, and started once."""

    name: str
    directory: Path
    images: Mapping[str, Sequence[str]]
    kubeconfig: Path

    def start(self) -> Self:
        """Start the API, the controllers and one node. If anything fails, nothing is left running."""

    def stop(self) -> None:
        """End the pods and everything else; nothing if it isn't running."""

    @property
    def server(self) -> str:
        """The API's address."""

    @property
    def uid(self) -> str:
        """The UID of the namespace kube-system."""

    def apply(self, manifest: Manifest) -> Manifest:
        """Create an object, or replace what is there of that name, also during an outage."""

    def outage(self, on: bool) -> None:
        """Lose the site, or get it back: its connections are cut, its pods run on."""

    def node_ready(self, ready: bool) -> None:
        """Let the node report itself as ready, or not."""

    def node_lost(self, lost: bool) -> None:
        """Lose the node, or find it again."""
