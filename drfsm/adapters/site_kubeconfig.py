"""A kubeconfig that comes from a site (an SSM parameter, terraform's output): read strictly, or refused.

Its writer decides where this machine's requests go, so it may do one thing only: name the site's own API, over TLS,
with credentials in the file itself. ``FIELDS`` lists the allowed fields. A field that would run a program, read a file,
use a proxy, trust any server or impersonate another user is refused by name. Exactly one cluster, user and context.

A loopback address is this machine, not the site (k3s writes 127.0.0.1). It is replaced by an address of the site's
machine only where the certificate that is served there verifies against the file's own authority: for that address, or
for the loopback name that the file itself had (k3s's certificate names that, and no public address of its machine);
it is taken as it stands only where ``DRFSM_SITE_ON_THIS_MACHINE=1`` says that the site runs here, as the sandbox's do.

Of the file's contents, only the server's address ever enters a message. Called by private.py.
"""

import base64
import binascii
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from drfsm.claims import bounded, yaml_of
from drfsm.errors import ActionFailed, Unreachable, Unreadable

LARGEST_BYTES = 256 << 10
TLS_SECONDS = 5.0
HERE = "DRFSM_SITE_ON_THIS_MACHINE"
Addresses = Callable[[], Sequence[str]]
"""Returns the addresses of the site's machine, the most likely first; called only if one is needed."""

_TOP = ("apiVersion", "kind", "preferences", "current-context", "clusters", "users", "contexts", "extensions")
FIELDS: Mapping[str, Sequence[str]] = {
    "cluster": ("server", "certificate-authority-data", "tls-server-name", "disable-compression", "extensions"),
    "user": ("token", "client-certificate-data", "client-key-data", "extensions"),
    "context": ("cluster", "user", "namespace", "extensions"),
}
_FLATTEN = "kubectl config view --flatten --raw on the runner prints one that contains them"
_OWN = "let the runner give one with its own token or certificate"
REFUSED: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("exec", "auth-provider"), ("would run a program on this machine", _OWN)),
    **dict.fromkeys(
        ("certificate-authority", "client-certificate", "client-key", "tokenFile"),
        ("points at files of another machine", _FLATTEN),
    ),
    **dict.fromkeys(
        ("as", "as-uid", "as-groups", "as-user-extra"), ("would let this machine impersonate another user", _OWN)
    ),
    **dict.fromkeys(("username", "password"), ("has a password, which Kubernetes no longer supports", _OWN)),
    "proxy-url": ("would send everything through a proxy", "let the runner give one without proxy-url"),
    "insecure-skip-tls-verify": ("would trust any server", "let the runner give one with certificate-authority-data"),
}
"""Field → what it would do, and the fix. An empty or false field does nothing and is ignored."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)*/?\Z")
_SERVICE = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
_LOOPBACK = ("127.0.0.1", "localhost")
_LOCAL = re.compile(r"(.*\.)?localhost(\.localdomain)?\.?|ip6-(localhost|loopback)\.?", re.IGNORECASE)


def read(body: bytes, origin: str) -> dict[str, Any]:
    """Return a kubeconfig's content. Raises ActionFailed unless it is a valid kubeconfig of a site."""
    try:
        config = yaml_of(body, origin, largest_bytes=LARGEST_BYTES)
    except Unreadable:  # its message would quote the file
        config = None
    if not isinstance(config, dict):
        raise _none(body, origin)
    entries = [_entry(config, kind, body, origin) for kind in FIELDS]
    for entry in entries:
        _check_fields(entry, origin)
    names = [set(config) - set(_TOP), *(set(entry) - set(FIELDS[kind]) for kind, entry in _kinds(entries))]
    if strange := sum(map(len, names)) - sum(len(_idle(entry)) for entry in entries):
        message = f"the kubeconfig from {origin} has {strange} fields that a site's kubeconfig does not need"
        may = "; ".join(f"{kind}: {', '.join(fields)}" for kind, fields in FIELDS.items())
        raise ActionFailed(message, hint=f"allowed fields: {may}")
    _check_server(config, origin)
    return config


def server_of(config: Mapping[str, Any]) -> str:
    """Return the address of a kubeconfig's API."""
    return str(config["clusters"][0]["cluster"]["server"])


def is_loopback(server: str) -> bool:
    """Return whether an address is this machine's, in any notation: 127.1, 0x7f000001, ::ffff:127.0.0.1."""
    host = urlsplit(server).hostname or ""
    if _LOCAL.fullmatch(host):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def reached(config: dict[str, Any], origin: str, addresses: Addresses, *, here: bool) -> dict[str, Any] | None:
    """Return a kubeconfig with the site's own address, None if this one needs no change.

    Raises ActionFailed if it names this machine and no certificate proves an address of the site, Unreachable if one
    of the addresses did not answer.
    """
    server = server_of(config)
    if here or not is_loopback(server):
        return None
    authority, parts = _authority(config, origin), urlsplit(server)
    failures, silent = [], False
    for address in addresses():
        try:
            name = _proven_name(address, parts, authority)
        except ssl.SSLCertVerificationError as fault:
            failures.append(f"{address}: {fault.verify_message}")
        except OSError as fault:
            silent = True
            failures.append(f"{address}: {fault.strerror or type(fault).__name__}")
        else:
            named = {} if name == address else {"tls-server-name": name}
            cluster = {**config["clusters"][0]["cluster"], "server": _at(parts, address), **named}
            return {**config, "clusters": [{**config["clusters"][0], "cluster": cluster}]}
    what = (
        f"the kubeconfig from {origin} names {server}, which is this machine, not the site; no address of"
        f" the site is proven by a certificate: {'; '.join(map(bounded, failures)) or 'none is known'}"
    )
    if silent:
        raise Unreachable(what, hint="check that the site lets this machine's address in, then `drfsm resume`")
    raise ActionFailed(
        what,
        hint="let the site's certificate name its address (k3s: --tls-san ADDRESS), or write that address into the"
        f" kubeconfig; if the site really runs on this machine: export {HERE}=1",
    )


# --- what it is -----------------------------------------------------------------------------------------


def _none(body: bytes, origin: str) -> ActionFailed:
    return ActionFailed(f"the content from {origin} is not a kubeconfig ({len(body)} bytes)")


def _kinds(entries: Sequence[Mapping[str, Any]]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return list(zip(FIELDS, entries, strict=True))


def _entry(config: Mapping[str, Any], kind: str, body: bytes, origin: str) -> dict[str, Any]:
    """Return the one cluster, user or context; it must be the current context's."""
    listed = config.get(f"{kind}s")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed) or not listed:
        raise _none(body, origin)
    if len(listed) > 1:
        message = f"the kubeconfig from {origin} has {len(listed)} {kind}s: which of them is the site is not clear"
        raise ActionFailed(
            message, hint="on the runner, kubectl config view --minify --flatten --raw prints one with a single cluster"
        )
    context = config.get("contexts")
    named = context[0].get("context") if isinstance(context, list) and isinstance(context[0], dict) else None
    expected_name = config.get("current-context") if kind == "context" else (named or {}).get(kind) if named else None
    entry = listed[0].get(kind)
    if not isinstance(entry, dict) or not isinstance(expected_name, str) or listed[0].get("name") != expected_name:
        raise _none(body, origin)
    return entry


def _idle(entry: Mapping[str, Any]) -> list[str]:
    """Return the refused fields that are empty and so do nothing."""
    return [name for name in entry if name in REFUSED and not entry[name]]


def _check_fields(entry: Mapping[str, Any], origin: str) -> None:
    refused = [name for name in entry if name in REFUSED and entry[name]]
    for name in refused:
        does, hint = REFUSED[name]
        same = ", ".join(sorted(field for field in refused if REFUSED[field][0] == does))
        raise ActionFailed(f"the kubeconfig from {origin} {does} ({same})", hint=hint)
    if not all(isinstance(text, str) for name, text in entry.items() if name.endswith(("data", "token", "server"))):
        raise ActionFailed(f"the kubeconfig from {origin} has credentials that are not strings")


def _check_server(config: Mapping[str, Any], origin: str) -> None:
    """Raise ActionFailed for an address that isn't simply https://<host>[:<port>]."""
    cluster = config["clusters"][0]["cluster"]
    server, name = cluster.get("server"), cluster.get("tls-server-name")
    parts, port = _split(server)
    host = (parts.hostname or "") if parts else ""
    if parts is None or parts.scheme != "https" or port is None:
        message = f"the kubeconfig from {origin} names the server {_shown(server)}, not https://<host>[:<port>]"
        raise ActionFailed(message, hint="a site's API must use TLS: let the runner give its https:// address")
    plain = _address(host) is not None or _HOST.match(host)
    if not plain or not _PATH.match(parts.path) or parts.username is not None or parts.query or parts.fragment:
        message = f"the kubeconfig from {origin} names the server {_shown(server)}, which is not a plain address"
        raise ActionFailed(message, hint="let the runner give https://<host>[:<port>]")
    address = _address(host)
    if address is not None and (address.is_link_local or address.is_multicast):
        message = f"the kubeconfig from {origin} names the server {_shown(server)}, which is no site's address"
        raise ActionFailed(message, hint="let the runner give the address that its API is reached at")
    if name and not (name == host or (name in (*_SERVICE, *_LOOPBACK) and cluster.get("certificate-authority-data"))):
        message = f"the kubeconfig from {origin} would take a certificate of another name than its server's"
        raise ActionFailed(
            message, hint="let the runner give one without tls-server-name: its certificate names its address"
        )


def _shown(server: object) -> str:
    """Return an address for a message; one with credentials is not shown."""
    return "with credentials in its address" if "@" in str(server) else bounded(server, 100)


def _split(server: object) -> tuple[SplitResult | None, int | None]:
    """Return an address's parts and its port; None for an invalid address."""
    if not isinstance(server, str) or not server.isascii() or not server.isprintable() or " " in server:
        return None, None
    try:
        parts = urlsplit(server)
        port = 443 if parts.port is None else parts.port
    except ValueError:
        return None, None
    return parts, port if parts.hostname and port > 0 else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address of a host, in any notation; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


# --- where it is ----------------------------------------------------------------------------------------


def _authority(config: Mapping[str, Any], origin: str) -> ssl.SSLContext:
    data = config["clusters"][0]["cluster"].get("certificate-authority-data")
    if not data:
        message = f"the kubeconfig from {origin} names this machine, and no authority to prove another address"
        raise ActionFailed(message, hint="let the runner give one with its own address and certificate-authority-data")
    try:
        return ssl.create_default_context(cadata=base64.b64decode(data, validate=True).decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        message = f"the kubeconfig from {origin} has an invalid certificate in certificate-authority-data"
        raise ActionFailed(message, hint="kubectl config view --flatten --raw on the runner prints one") from None


def _proven_name(address: str, parts: SplitResult, authority: ssl.SSLContext) -> str:
    """Return which name proves what is served at an address: the address, or the loopback name that the file had.

    Raises SSLCertVerificationError, of the address, where neither does; OSError where nobody answers.
    """
    port, own = parts.port or 443, parts.hostname or ""
    try:
        _hold(address, port, authority, address)
    except ssl.SSLCertVerificationError as fault:
        if own not in _LOOPBACK:
            raise
        try:
            _hold(address, port, authority, own)
        except ssl.SSLCertVerificationError:
            raise fault from None
        return own
    return address


def _hold(address: str, port: int, authority: ssl.SSLContext, name: str) -> None:
    """Raise SSLCertVerificationError unless what is served there has this name, by this authority; OSError."""
    with (
        socket.create_connection((address, port), timeout=TLS_SECONDS) as plain,
        authority.wrap_socket(plain, server_hostname=name),
    ):
        pass


def _at(parts: SplitResult, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
