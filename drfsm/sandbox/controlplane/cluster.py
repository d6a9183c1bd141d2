"""A whole real cluster: etcd, kube-apiserver and kube-controller-manager as processes, and our kubelet as its node.

``RealCluster`` is used as ``EmulatedCluster`` is. Clients and the kubelet each come in through a TCP proxy, which
makes outages; the operator's proxy also leads to faults, while there are any. The controller manager, ``apply`` and
``store`` go past the proxies. There is no scheduler: the kubelet binds. Data are thrown away with the cluster, so
etcd syncs nothing and every program is ended by SIGKILL. A supervisor does that, also when this process dies.

    <directory>/kubeconfig.yaml           the operator's; kubelet.kubeconfig.yaml, admin.kubeconfig.yaml: ours
    <directory>/control-plane/            keys, tokens, etcd's data, and each program's log
    <directory>/node/                     the kubelet's
"""

import http.client
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drfsm.errors import DrfsmError
from drfsm.sandbox.controlplane import build
from drfsm.sandbox.controlplane.faulty import Forwarder
from drfsm.sandbox.controlplane.tcp_proxy import HOST, TcpProxy
from drfsm.sandbox.kubernetes import certificates
from drfsm.sandbox.kubernetes.certificates import Certificates
from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.errors import ApiUnreachable, UsageError
from drfsm.sandbox.kubernetes.faults import Faults
from drfsm.sandbox.kubernetes.images import Images
from drfsm.sandbox.kubernetes.kubeconfigs import write_kubeconfig, write_private
from drfsm.sandbox.kubernetes.kubelet import Kubelet
from drfsm.sandbox.kubernetes.processes import MARK
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.resources import BY_KIND
from drfsm.sandbox.kubernetes.server import Server

SUPERVISOR = Path(__file__).with_name("supervisor.py")
OPERATOR, NODE, CONTROLLERS = "sandbox-operator", "sandbox-kubelet", "sandbox-controllers"
ADMINS = "system:masters"
READY_SECONDS, POLL_SECONDS, ASK_SECONDS = 60.0, 0.05, 2.0
STOP_SECONDS = 10.0
START_TRIES = 3  # somebody else may take a port between our look and the program's bind
AWAITED = (  # what the controller manager makes first, and nothing works without
    ("namespaces", "", "kube-node-lease"),
    ("serviceaccounts", "default", "default"),
)


class RealCluster:
    """One cluster. Usable as a context manager; it can be started once. build.py finds or builds its programs.

    ``images`` maps an image's repository to the image (images.py). Everything that it writes lies below
    ``directory``; keys, tokens and kubeconfigs are readable by their owner only.
    """

    def __init__(self, name: str, directory: Path, images: Images) -> None:
        self.name, self.directory, self.images = name, directory.resolve(), images
        self.kubeconfig = self.directory / "kubeconfig.yaml"
        self._home = self.directory / "control-plane"
        self._kubelets = self.directory / "kubelet.kubeconfig.yaml"
        self._admins = self.directory / "admin.kubeconfig.yaml"
        self._supervised: list[_Supervised] = []
        self._proxies: list[TcpProxy] = []
        self._faulty: Server | None = None
        self._admin: Client | None = None
        self._kubelet: Kubelet | None = None

    def start(self) -> Self:
        """Start the programs and the node. If anything fails, nothing is left running, and the logs stay."""
        programs = build.programs()
        shutil.rmtree(self._home, ignore_errors=True)
        self._home.mkdir(mode=0o700, parents=True)
        try:
            self._start_control_plane(programs)
            self._start_node()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the pods and every program. Does nothing if the cluster isn't running."""
        if self._kubelet is not None:
            self._kubelet.stop()
        for proxy in self._proxies:
            proxy.end()
        if self._faulty is not None:
            self._faulty.end()
        if self._admin is not None:
            self._admin.close()
        self._end_programs()
        self._proxies.clear()
        self._kubelet = self._faulty = self._admin = None
        shutil.rmtree(self._home / "etcd", ignore_errors=True)

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
        return f"https://{HOST}:{self._running_proxies()[0].port}"

    @property
    def uid(self) -> str:
        """The cluster's identity: the UID of its namespace kube-system."""
        return str(self.store.get("namespaces", "", "kube-system")["metadata"]["uid"])

    @property
    def store(self) -> Client:
        """What the cluster keeps, read without the proxies, as ``EmulatedCluster.store`` is: get, list."""
        if self._admin is None:
            raise self._down()
        return self._admin

    @property
    def faults(self) -> Faults:
        """What goes wrong with requests on connections that the operator opens from then on, see Faults.add."""
        if self._faulty is None:
            raise self._down()
        return self._faulty.faults

    @property
    def pids(self) -> list[int]:
        """The processes of its control plane: the programs' supervisors."""
        return [program.pid for program in self._supervised]

    # --- what tests do to it --------------------------------------------------------------------------

    def apply(self, manifest: Manifest) -> Manifest:
        """Create or replace an object; return it as stored. The manifest's status is ignored.

        Raises ApiError, ApiUnreachable, and UsageError for a kind that the sandbox's own client doesn't speak.
        """
        kind = BY_KIND.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
        if kind is None:
            kind_name = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
            raise UsageError(
                f"the sandbox's client speaks no {kind_name}", hint="use kubectl with the cluster's kubeconfig"
            )
        metadata = {key: value for key, value in manifest["metadata"].items() if key not in ("resourceVersion", "uid")}
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
        new = {**manifest, "metadata": metadata}
        try:
            return self.store.create(kind.plural, new)
        except ApiError as refusal:
            if refusal.reason != "AlreadyExists":
                raise
        return self.store.replace(kind.plural, new)

    def outage(self, on: bool) -> None:
        """Begin or end an outage: every connection is cut and new ones are refused, while the pods keep running."""
        for proxy in self._running_proxies():
            if on:
                proxy.close()
            else:
                proxy.open()
        if on and self._faulty is not None:
            self._faulty.close()
            self._faulty.open()  # nobody reaches it but through the proxy

    def node_ready(self, ready: bool) -> None:
        """Let the node report itself as ready or not ready; its pods run either way."""
        self._node().node_ready(ready)

    def node_lost(self, lost: bool) -> None:
        """Disconnect or reconnect the node: it neither reports nor hears anything, while its processes keep running."""
        if lost:
            self._node().lose()
        else:
            self._node().rejoin()

    # --- starting and ending --------------------------------------------------------------------------

    def _start_control_plane(self, programs: Mapping[str, Path]) -> None:
        issued = certificates.issue(self.name, self._home)
        _write_account_key(self._home / "accounts.key")
        (self._home / "authority.crt").write_text(issued.authority, encoding="utf-8")
        tokens = {user: secrets.token_urlsafe(24) for user in (OPERATOR, NODE, CONTROLLERS)}
        rows = [f'{token},{user},{user},"{ADMINS}"\n' for user, token in tokens.items()]
        write_private(self._home / "tokens.csv", "".join(rows))

        etcd = self._start("etcd", lambda port: _etcd(programs, port, self._home), _etcd_answers)
        api = self._start(
            "kube-apiserver",
            lambda port: _api_server(programs, port, etcd, self._home),
            lambda port: _api_answers(port, issued, tokens[OPERATOR]),
        )
        url = f"https://{HOST}:{api}"
        write_kubeconfig(self._admins, self.name, url, issued.authority, CONTROLLERS, tokens[CONTROLLERS])
        self._admin = Client(self._admins)
        self._start(
            "kube-controller-manager",
            lambda _port: _controllers(programs, self._admins, self._home),
            lambda _port: self._has_begun(),
        )
        faulty = self._faulty = Server(Forwarder(api, issued.authority), issued.chain, {tokens[OPERATOR]: OPERATOR})
        faulty.open()
        for kubeconfig, user, target_port in (
            (self.kubeconfig, OPERATOR, lambda: faulty.port if faulty.faults.pending else api),
            (self._kubelets, NODE, lambda: api),
        ):
            proxy = TcpProxy(target_port)
            self._proxies.append(proxy)
            proxy.open()
            url = f"https://{HOST}:{proxy.port}"
            write_kubeconfig(kubeconfig, self.name, url, issued.authority, user, tokens[user])

    def _start_node(self) -> None:
        node = f"{self.name}-node"
        self._kubelet = Kubelet(self._kubelets, self.directory / "node", self.images, node, binds=True)
        self._kubelet.start()

    def _has_begun(self) -> bool:
        """Return whether the controllers made the objects that everything else needs."""
        try:
            for resource, namespace, name in AWAITED:
                self.store.get(resource, namespace, name)
        except (ApiError, ApiUnreachable):
            return False
        return True

    def _start(self, program: str, argv: Callable[[int], Sequence[str]], answers: Callable[[int], bool]) -> int:
        """Start a program on a free port, and wait until it answers; return the port. Raises DrfsmError."""
        for number in range(1, START_TRIES + 1):
            port = _free_port()
            started = _Supervised(program, argv(port), self._home)
            self._supervised.append(started)
            deadline = time.monotonic() + READY_SECONDS
            while started.runs and time.monotonic() < deadline:
                if answers(port):
                    return port
                time.sleep(POLL_SECONDS)
            lost_its_port = not started.runs and "address already in use" in started.log_tail()
            if number == START_TRIES or not lost_its_port:
                raise started.start_error()
            self._supervised.remove(started)
        raise AssertionError

    def _end_programs(self) -> None:
        for program in reversed(self._supervised):  # the controllers first, so that they don't complain of the rest
            program.end()
        self._supervised.clear()

    def _running_proxies(self) -> list[TcpProxy]:
        """Return the proxies, the operator's first. Raises UsageError if the cluster is down."""
        if not self._proxies:
            raise self._down()
        return self._proxies

    def _node(self) -> Kubelet:
        if self._kubelet is None:
            raise self._down()
        return self._kubelet

    def _down(self) -> UsageError:
        return UsageError(f"the cluster {self.name} is not running", hint="start it first")


class _Supervised:
    """One program under a supervisor, whose stdin we hold open for as long as the program is to run."""

    def __init__(self, program: str, argv: Sequence[str], home: Path) -> None:
        self._program = program
        self._log = home / f"{program}.log"
        # Nothing of our environment: no proxies, no settings of somebody's own etcd. The mark lets `down` find it.
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), MARK: str(home / program)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR), *argv],
                env=environ,
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The supervisor's process, which leads the program's group."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it hasn't ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the program, and wait for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
            return
        self._process.kill()
        self._process.wait()

    def log_tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])

    def start_error(self) -> DrfsmError:
        """Return the error of a program that ended or isn't ready in time."""
        why = "was not ready in time" if self.runs else "ended while it was starting"
        return DrfsmError(f"{self._program} {why}; the end of its log:\n{self.log_tail()}", hint=f"read {self._log}")


def _etcd(programs: Mapping[str, Path], port: int, home: Path) -> list[str]:
    return [
        str(programs["etcd"]),
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls=http://{HOST}:{port}",
        f"--advertise-client-urls=http://{HOST}:{port}",
        f"--listen-peer-urls=http://{HOST}:0",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(programs: Mapping[str, Path], port: int, etcd: int, home: Path) -> list[str]:
    chain, accounts = home / "apiserver.pem", home / "accounts.key"
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers=http://{HOST}:{etcd}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={chain}",
        f"--tls-private-key-file={chain}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--kubelet-preferred-address-types=InternalIP",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def _controllers(programs: Mapping[str, Path], kubeconfig: Path, home: Path) -> list[str]:
    return [
        str(programs["kube-controller-manager"]),
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={home / 'accounts.key'}",
        f"--root-ca-file={home / 'authority.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--profiling=false",
    ]


def _etcd_answers(port: int) -> bool:
    return _ok(http.client.HTTPConnection(HOST, port, timeout=ASK_SECONDS), "/health", {})


def _api_answers(port: int, issued: Certificates, token: str) -> bool:
    context = ssl.create_default_context(cadata=issued.authority)
    connection = http.client.HTTPSConnection(HOST, port, timeout=ASK_SECONDS, context=context)
    return _ok(connection, "/readyz", {"Authorization": f"Bearer {token}"})


def _ok(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> bool:
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _write_account_key(path: Path) -> None:
    """Write the key by which tokens of ServiceAccounts are signed and checked."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    write_private(path, pem.decode())
