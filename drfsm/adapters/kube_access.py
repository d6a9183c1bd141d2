"""From a kubeconfig to a cluster: the address, TLS, and credentials, which are renewed in time and after a 401.

Reads the kubeconfig once, strictly. The official client brings the connections (proxies, server names); certificates
and keys are handed to TLS through pipes, so that none ever lies in a file of ours, whatever ends the process. A token
file is read again after a minute, a program of credentials (``exec``) is run again before its token expires, as
kubectl does. ``as``, ``as-groups``, ``as-uid`` and ``as-user-extra`` go with every request. Nothing of a credential
enters a message. Used by kube.py; kube_exec.py runs the programs.
"""

import base64
import binascii
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen

from drfsm import claims
from drfsm.adapters import kube_exec
from drfsm.adapters.kube_exec import Credentials, Keys
from drfsm.errors import Unreadable, UsageFault

TOKEN_FILE_SECONDS = 60.0
_IMPERSONATED = {"as": "Impersonate-User", "as-uid": "Impersonate-Uid"}


@frozen
class Kubeconfig:
    """The current context of a kubeconfig. ``unusable`` makes the error for a fault in it."""

    path: Path
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @property
    def server(self) -> str:
        """The API's address."""
        return str(self.cluster["server"]).rstrip("/")

    def bytes_of(self, of: Mapping[str, Any], name: str) -> bytes | None:
        """Return a field's content (Base64) or its file's content; None for neither. Raises UsageFault."""
        if data := self.text(of, f"{name}-data"):
            try:
                return base64.b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError):
                raise self.unusable(f"its {name}-data is not Base64") from None
        if file := self.text(of, name):
            try:
                return (self.path.parent / file).read_bytes()
            except OSError as fault:
                raise self.unusable(f"its {name} {file} can't be read: {fault.strerror}") from None
        return None

    def text(self, of: Mapping[str, Any], name: str) -> str:
        """Return a field that is a text, "" if there is none. Raises UsageFault for anything else."""
        value = of.get(name)
        if value is not None and not isinstance(value, str):
            raise self.unusable(f"its {name} is not a string")
        return value or ""

    def unusable(self, why: str) -> UsageFault:
        """Return the error for a kubeconfig that can't be used. ``why`` contains nothing of a credential."""
        hint = f"kubectl --kubeconfig {self.path} version"
        return UsageFault(f"the kubeconfig {self.path} can't be used: {why}", hint=hint)


def read(path: Path) -> Kubeconfig:
    """Return a kubeconfig's current context. Raises UsageFault, which quotes nothing of the file."""
    path = path.expanduser()
    nothing = Kubeconfig(path, {}, {})
    try:
        config = claims.yaml_of(path.read_bytes(), "the kubeconfig")
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"] if context.get("user") else {}
    except OSError as fault:
        raise nothing.unusable(fault.strerror or type(fault).__name__) from None
    except Unreadable:
        raise nothing.unusable(
            "it is not YAML that drfsm reads (one document, no aliases, no duplicate keys)"
        ) from None
    except (LookupError, TypeError, AttributeError):
        raise nothing.unusable("its current-context names no cluster") from None
    user = {} if user is None else user
    if not isinstance(cluster, dict) or not isinstance(user, dict) or not isinstance(cluster.get("server"), str):
        raise nothing.unusable("the cluster of its current-context has no server")
    return Kubeconfig(path, cluster, user)


def contexts(path: Path) -> tuple[list[str], str]:
    """Return the names of a kubeconfig's contexts, and the current one ("": none). Raises UsageFault, as ``read``."""
    nothing = Kubeconfig(path, {}, {})
    try:
        config = claims.yaml_of(path.read_bytes(), "the kubeconfig")
        return [str(entry["name"]) for entry in config["contexts"]], str(config.get("current-context") or "")
    except OSError as fault:
        raise nothing.unusable(fault.strerror or type(fault).__name__) from None
    except (Unreadable, LookupError, TypeError, AttributeError):
        raise nothing.unusable("it is no kubeconfig") from None


def _named(config: Any, section: str, name: Any) -> Mapping[str, Any]:
    entry_of_name: Mapping[str, Any] = next(
        entry for entry in (*config[section], {}) if not entry or entry["name"] == name
    )
    return entry_of_name


# --- who we are -----------------------------------------------------------------------------------------


@define
class Access:
    """The connections to one cluster, and the headers that say who we are. Safe for use by many threads."""

    config: Kubeconfig
    impersonates: Sequence[tuple[str, str]]
    _held: Credentials | None = None
    _pool: Any = None
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def through(cls, path: Path) -> "Access":
        """Return the access that a kubeconfig gives. Makes no request yet. Raises UsageFault."""
        config = read(path)
        return cls(config, tuple(_impersonation(config)))

    def now(self) -> tuple[Any, Sequence[tuple[str, str]], Credentials]:
        """Return (connections, headers, credentials), renewed if they are about to expire.

        Raises UsageFault for a kubeconfig that can't be used, Unreadable where its program gives no credentials.
        """
        with self._lock:
            if self._held is None or self._held.is_over(time.time()):
                self._take(_obtained(self.config))
            held, pool = self._held, self._pool
        assert held is not None  # noqa: S101  taken above
        headers = [("Authorization", held.authorization)] if held.authorization else []
        return pool, [*headers, *self.impersonates], held

    def renew(self, refused: Credentials) -> bool:
        """Renew these credentials after a 401. Return whether to try again. Raises as ``now``."""
        with self._lock:
            if self._held is not refused:
                return True  # another thread has renewed them
            if not refused.renewable:
                return False
            self._take(_obtained(self.config))
            return True

    def _take(self, credentials: Credentials) -> None:
        same_keys = self._held is not None and self._held.keys == credentials.keys
        if self._pool is None or not same_keys:
            self._pool = _connections(self.config, credentials.keys)
        self._held = credentials


def _impersonation(config: Kubeconfig) -> Iterator[tuple[str, str]]:
    """Yield the headers of impersonation. Raises UsageFault."""
    user = config.user
    headers = [(header, config.text(user, name)) for name, header in _IMPERSONATED.items()]
    groups, extra = user.get("as-groups") or [], user.get("as-user-extra") or {}
    lists = [groups, *extra.values()] if isinstance(extra, dict) else [None]
    if not all(isinstance(group, list) for group in lists):
        raise config.unusable("its as-groups is not a list, or its as-user-extra is not an object of lists")
    headers += [("Impersonate-Group", group) for group in groups]
    headers += [
        (f"Impersonate-Extra-{quote(str(name).lower(), safe='')}", value) for name in extra for value in extra[name]
    ]
    headers = [(name, value) for name, value in headers if value]
    if headers and not user.get("as"):
        raise config.unusable("it impersonates groups, a uid or extra fields (as-…) without a user (as)")
    for name, value in headers:
        if not isinstance(value, str) or not value.isprintable():
            raise config.unusable(f"its value for {name} can't be sent in a header")
        yield name, value


def _obtained(config: Kubeconfig) -> Credentials:
    """Return current credentials, in kubectl's order: a token file, a token, a program, a name and password."""
    user = config.user
    certificate, key = config.bytes_of(user, "client-certificate"), config.bytes_of(user, "client-key")
    if (certificate is None) != (key is None):
        raise config.unusable("it has a client certificate without its key, or a key without its certificate")
    keys = Keys(certificate, key) if certificate is not None and key is not None else None
    if user.get("auth-provider"):
        return Credentials(_provided(config), keys, renewable=True)
    if file := config.text(user, "tokenFile"):
        token, until = _token_in(config, file) or config.text(user, "token"), time.time() + TOKEN_FILE_SECONDS
        if not token:
            raise config.unusable(f"its tokenFile {file} contains no token, or can't be read")
        return Credentials(_bearer(config, token), keys, until=until, renewable=True)
    if token := config.text(user, "token"):
        return Credentials(_bearer(config, token), keys)
    if user.get("exec"):
        return kube_exec.credentials(config.path, user["exec"], config.cluster, keys)
    if name := config.text(user, "username"):
        pair = base64.b64encode(f"{name}:{config.text(user, 'password')}".encode()).decode()
        return Credentials(f"Basic {pair}", keys)
    return Credentials("", keys)


def _token_in(config: Kubeconfig, file: str) -> str:
    try:
        return (config.path.parent / file).read_text().strip()
    except (OSError, ValueError):
        return ""


def _bearer(config: Kubeconfig, token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise config.unusable("its token can't be sent in a header")
    return f"Bearer {token}"


def _provided(config: Kubeconfig) -> str:
    """Return the credentials of the client's auth providers (oidc), which write a renewed token to the file."""
    from kubernetes.config import kube_config

    with _quiet_logging():
        try:
            loader = kube_config._get_kube_config_loader(  # type: ignore[no-untyped-call]  # noqa: SLF001  its public door would write keys to files
                filename=str(config.path), persist_config=True
            )
            loader._load_auth_provider_token()  # noqa: SLF001  likewise
            return str(loader.__dict__.get("token", ""))
        except Exception as fault:  # noqa: BLE001  whatever a provider's library raises; its words may hold tokens
            raise config.unusable(f"its auth-provider returned no token ({type(fault).__name__})") from None


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keep a library's ``logging.error`` from printing ``ERROR:root:`` and from setting up logging for all."""
    import logging

    silent, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)


# --- TLS ------------------------------------------------------------------------------------------------


def _connections(config: Kubeconfig, keys: Keys | None) -> Any:
    """Return the client's pool of connections to a cluster; its certificates are in no file of ours."""
    from kubernetes.client import Configuration
    from kubernetes.client.rest import RESTClientObject

    settings = Configuration(host=config.server)
    if proxy := config.text(config.cluster, "proxy-url"):
        settings.proxy = proxy
    settings.tls_server_name = config.text(config.cluster, "tls-server-name") or None
    settings.verify_ssl = config.cluster.get("insecure-skip-tls-verify") is not True
    pool = RESTClientObject(settings).pool_manager
    if config.server.startswith("https:"):
        pool.connection_pool_kw["ssl_context"] = _tls(config, keys, verify=settings.verify_ssl)
    return pool


def _tls(config: Kubeconfig, keys: Keys | None, *, verify: bool) -> ssl.SSLContext:
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    authority = config.bytes_of(config.cluster, "certificate-authority")
    try:
        if authority:
            context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        elif verify:
            context.load_default_certs()
    except (ssl.SSLError, ValueError):
        raise config.unusable("its certificate-authority is not a PEM certificate") from None
    if keys:
        try:
            with _as_file(keys.certificate) as certificate, _as_file(keys.key) as key:
                context.load_cert_chain(certificate, key, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError) as fault:
            message = "its client certificate and key don't match, or are not PEM without a passphrase"
            raise config.unusable(f"{message} ({type(fault).__name__})") from None
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield the path of a pipe with these bytes: OpenSSL reads keys only from files, and none shall lie on the disk."""
    reads, writes = os.pipe()

    def write() -> None:
        with suppress(OSError), os.fdopen(writes, "wb") as pipe:  # the reader may stop early
            pipe.write(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield f"/dev/fd/{reads}"
    finally:
        os.close(reads)
        writer.join()
