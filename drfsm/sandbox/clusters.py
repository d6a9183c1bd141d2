"""What the sandbox needs of a cluster of either kind: emulated in this process, or a real control plane."""

from pathlib import Path
from typing import Any, Literal, Protocol, Self

from drfsm.sandbox.kubernetes.images import Images

Kind = Literal["emulated", "real"]
Manifest = dict[str, Any]


class Cluster(Protocol):
    """One cluster, made with a name, a directory of its own and its images, and started once."""

    name: str
    directory: Path
    images: Images
    kubeconfig: Path

    def start(self) -> Self:
        """Start the API, the controllers and one node. If anything fails, nothing is left running."""

    def stop(self) -> None:
        """End the pods and everything else. Does nothing if the cluster isn't running."""

    @property
    def server(self) -> str:
        """The API's address."""

    @property
    def uid(self) -> str:
        """The UID of the namespace kube-system."""

    def apply(self, manifest: Manifest) -> Manifest:
        """Create or replace an object, also during an outage."""

    def outage(self, on: bool) -> None:
        """Begin or end an outage: connections are cut, pods keep running."""

    def node_ready(self, ready: bool) -> None:
        """Let the node report itself as ready or not ready."""

    def node_lost(self, lost: bool) -> None:
        """Disconnect or reconnect the node."""
