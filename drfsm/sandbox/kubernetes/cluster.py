"""A whole emulated cluster in this process: API, controllers, and one node whose pods are local processes.

The sandbox and the tests hold an ``EmulatedCluster``. Clients use its ``kubeconfig``, as on any cluster. All else is
for tests: ``apply`` writes as an admin behind the API; ``outage``, ``faults``, ``deny`` and ``node_ready`` break it.
"""

import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from drfsm.sandbox.kubernetes import certificates
from drfsm.sandbox.kubernetes.api import Api
from drfsm.sandbox.kubernetes.controllers import Controllers
from drfsm.sandbox.kubernetes.errors import UsageError
from drfsm.sandbox.kubernetes.faults import Faults
from drfsm.sandbox.kubernetes.images import Images
from drfsm.sandbox.kubernetes.kubeconfigs import write_kubeconfig
from drfsm.sandbox.kubernetes.kubelet import Kubelet
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.resources import BY_KIND
from drfsm.sandbox.kubernetes.reviews import Denials
from drfsm.sandbox.kubernetes.server import KUBELET, OPERATOR, Server
from drfsm.sandbox.kubernetes.store import Store, clone


class EmulatedCluster:
    """One cluster. Usable as a context manager; it can be started once.

    ``images`` maps an image's repository to the image (images.py). Everything it writes lies below
    ``directory``; keys and kubeconfigs there are readable by their owner only. ``port`` is the API's, 0 any free one.
    """

    store: Store

    def __init__(self, name: str, directory: Path, images: Images, port: int = 0) -> None:
        self.name, self.directory, self.images = name, directory.resolve(), images
        self._port = port
        self.kubeconfig = self.directory / "kubeconfig.yaml"
        self._stop = threading.Event()
        self._api: Api | None = None
        self._server: Server | None = None
        self._controllers: Controllers | None = None
        self._kubelet: Kubelet | None = None

    def start(self) -> Self:
        """Start the API, the controllers and the node. If anything fails, nothing is left running.

        Raises OSError if the port or the directory can't be used.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        issued = certificates.issue(self.name, self.directory)
        tokens = {secrets.token_urlsafe(24): user for user in (OPERATOR, KUBELET)}
        self.store = Store(root_ca=issued.authority)
        api = self._api = Api(self.store, self._stop)
        self._server = Server(api, issued.chain, tokens, self._port)
        try:
            kubelets = self.directory / "kubelet.kubeconfig.yaml"
            for (token, user), path in zip(tokens.items(), (self.kubeconfig, kubelets), strict=True):
                write_kubeconfig(path, self.name, self._server.url, issued.authority, user, token)
            self._server.open()
            self._controllers = Controllers(self.store)
            self._controllers.start()
            node = f"{self.name}-node"
            self._kubelet = Kubelet(kubelets, self.directory / "node", self.images, node)
            self._kubelet.start()
            api.logs = self._kubelet.logs
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the pods, the controllers and the API. Does nothing if the cluster isn't running."""
        if self._kubelet is not None:
            self._kubelet.stop()
        if self._controllers is not None:
            self._controllers.stop()
        self._stop.set()
        if self._server is not None:
            self.store.wake()
            self._server.end()
        self._kubelet = self._controllers = self._server = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # --- what it is -----------------------------------------------------------------------------------

    @property
    def server(self) -> str:
        """The API's address."""
        return self._running().url

    @property
    def uid(self) -> str:
        """The cluster's identity: the UID of its namespace kube-system."""
        return str(self.store.peek("namespaces", "", "kube-system")["metadata"]["uid"])

    @property
    def faults(self) -> Faults:
        """The faults that the operator's requests meet; see Faults.add."""
        return self._running().faults

    # --- what tests do to it --------------------------------------------------------------------------

    def apply(self, manifest: Manifest) -> Manifest:
        """Create or replace an object; return it as stored. The manifest's status is ignored.

        Raises ApiError, as the API would, and UsageError for a kind that the cluster doesn't have.
        """
        kind = BY_KIND.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
        if kind is None:
            kind_name = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
            raise UsageError(
                f"the sandbox's cluster keeps no {kind_name}", hint="see drfsm/sandbox/kubernetes/resources.py"
            )
        new = clone(manifest)
        new["metadata"].pop("resourceVersion", None)
        if kind.namespaced:
            new["metadata"].setdefault("namespace", "default")
        with self.store.alone():
            try:
                return self.store.create(kind.plural, new)
            except ApiError as refusal:
                if refusal.reason != "AlreadyExists":
                    raise
            new["metadata"].pop("uid", None)
            return self.store.update(kind.plural, new)

    def outage(self, on: bool) -> None:
        """Begin or end an outage: every connection is cut and new ones are refused, while the pods keep running."""
        if on:
            self._running().close()
        else:
            self._running().open()

    def deny(self, verb: str, group: str, resource: str) -> None:
        """Deny the operator a verb on a resource (any of the three may be ``*``): reviews say no, requests get 403."""
        self._denials().deny(verb, group, resource)

    def allow_all(self) -> None:
        """Remove every denial."""
        self._denials().clear()

    def node_ready(self, ready: bool) -> None:
        """Let the node report itself as ready or not ready; its pods run either way."""
        self._node().node_ready(ready)

    def node_lost(self, lost: bool) -> None:
        """Disconnect or reconnect the node: it neither reports nor hears anything, while its processes keep running."""
        if lost:
            self._node().lose()
        else:
            self._node().rejoin()

    def _running(self) -> Server:
        if self._server is None:
            raise UsageError(f"the cluster {self.name} is not running", hint="start it first")
        return self._server

    def _denials(self) -> Denials:
        self._running()
        assert self._api is not None  # noqa: S101  it is there as long as the server is
        return self._api.denials

    def _node(self) -> Kubelet:
        if self._kubelet is None:
            raise UsageError(f"the cluster {self.name} is not running", hint="start it first")
        return self._kubelet
