"""Where notices go: a webhook (HTTPS), a topic of SNS, or one of the services that apprise knows (Slack, mail, ...).

An address holds its own secret (a token in the path, a password), so it never leaves this module: a message, a log and
an error name a target by its ``label`` only, and no text of a library about it is passed on. Knows no run; bounded in
time by its sockets only, so whoever calls ``send`` does it in a thread of its own (runs/deliveries.py).
"""

import base64
import http.client
import ipaddress
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from attrs import field, frozen

from drfsm.claims import bounded
from drfsm.errors import DrfsmError, UsageFault

SOCKET_SECONDS = 4.0
"""How long one answer of a socket is waited for."""
WEBHOOK, TOPIC, SERVICE = "webhook", "sns", "service"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_LONGEST = 4000  # characters of an address
_MISSING = 'pip install "drfsm[notify]", or give a webhook: https://…'
_TOO_MANY, _SERVER_FAULT = 429, 500


class NotTaken(Exception):
    """A target did not take a message. ``why`` holds no part of its address. ``again``: another try may help."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.why, self.again = why, again


@frozen
class Target:
    """One target. ``label`` names it for people and logs; ``address`` is a secret, and in no representation."""

    kind: str
    label: str
    address: str = field(repr=False)

    def __str__(self) -> str:
        """Return what stands for it where a typed command is shown again."""
        return "TARGET"


@frozen
class Message:
    """What is sent. ``fields``: the same as JSON, for a program. ``urgency``: info | success | warning | failure."""

    id: str
    title: str
    text: str
    urgency: str
    fields: Mapping[str, Any]


def target_of(text: str, number: int) -> Target:
    """Return the target that ``--notify`` names, the ``number``-th. Asks nobody.

    Raises UsageFault, without the address, for one that nothing can be sent to.
    """
    from drfsm.adapters.queues import TOPIC as ARN

    named = f"--notify (number {number})"
    address = text.strip()
    if ARN.fullmatch(address):
        return Target(TOPIC, address, address)
    scheme = _SCHEME.match(address)
    if scheme is None or len(address) > _LONGEST or not address.isprintable() or " " in address:
        raise UsageFault(
            f"{named} is no address of a target",
            hint="give https://… (a webhook), arn:aws:sns:… (a topic), or an address of apprise, as slack://…;"
            " docs/notifications.md",
        )
    if scheme[1].lower() in ("https", "http"):
        return _webhook(address, named, number)
    return _service(address, scheme[1].lower(), named, number)


def send(target: Target, message: Message, endpoint_url: str = "") -> None:
    """Send a message to a target. ``endpoint_url``: of the cloud, for a topic. Raises NotTaken."""
    if target.kind == TOPIC:
        _publish(target, message, endpoint_url)
    elif target.kind == WEBHOOK:
        _post(target, message)
    else:
        _hand_over(target, message)


# --- webhooks -------------------------------------------------------------------------------------------


def _webhook(address: str, named: str, number: int) -> Target:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not address.isascii():
        raise UsageFault(f"{named} is no URL", hint="give it as https://HOST/PATH")
    if parts.scheme.lower() == "http" and not _is_here(host):
        raise UsageFault(
            f"{named}: a webhook over http:// would send its token in the clear",
            hint="give https://…, or json://HOST/PATH (apprise) where you accept that",
        )
    return Target(WEBHOOK, f"webhook {number} ({_owner(host)})", address)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _owner(host: str) -> str:
    """Return whose host it is, without the names before it: some services put the token there."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        labels = host.split(".")
        return host if len(labels) <= 2 else f"*.{'.'.join(labels[-2:])}"  # noqa: PLR2004  example.com


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: the token goes to the address that was given, and nowhere else."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Follow nothing."""


def _post(target: Target, message: Message) -> None:
    parts = urlsplit(target.address)
    headers = {"Content-Type": "application/json", "User-Agent": "drfsm"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))
    body = {"id": message.id, "title": message.title, "text": f"{message.title}\n{message.text}", **message.fields}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310  http(s), as target_of saw
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=SOCKET_SECONDS):
            pass  # taken: what else it answers is of no interest, and is not read
    except urllib.error.HTTPError as fault:
        fault.close()
        again = fault.code == _TOO_MANY or fault.code >= _SERVER_FAULT
        more = ": redirects are not followed" if 300 <= fault.code < 400 else ""  # noqa: PLR2004  HTTP's own numbers
        raise NotTaken(f"it answered HTTP {fault.code}{more}", again=again) from None
    except urllib.error.URLError as fault:
        raise _not_reached(fault.reason) from None
    except http.client.HTTPException:
        raise NotTaken("it hung up, or its answer is no HTTP", again=True) from None
    except (OSError, ValueError) as fault:
        raise _not_reached(fault) from None


def _not_reached(fault: object) -> NotTaken:
    """Return why a host was not reached, in words of our own: a library's may hold the address."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return NotTaken("its certificate proves nothing: the system does not trust it, or it is of another host")
    if isinstance(fault, ssl.SSLError):
        return NotTaken("it speaks no TLS that this computer speaks")
    if isinstance(fault, TimeoutError):
        return NotTaken(f"no answer in {SOCKET_SECONDS:.0f} s", again=True)
    if isinstance(fault, socket.gaierror):
        return NotTaken("its name leads nowhere: check the address, and this computer's DNS", again=True)
    if isinstance(fault, ConnectionRefusedError):
        return NotTaken("connection refused", again=True)
    return NotTaken(f"the connection failed ({type(fault).__name__})", again=True)


# --- topics ---------------------------------------------------------------------------------------------


def _publish(target: Target, message: Message, endpoint_url: str) -> None:
    from drfsm.adapters.aws_session import Services
    from drfsm.adapters.queues import TOPIC as ARN
    from drfsm.adapters.queues import publish

    topic = ARN.fullmatch(target.address)
    assert topic is not None  # noqa: S101  target_of has seen it
    try:
        publish(Services(endpoint_url or None, topic["region"]), target.address, message.title, message.text)
    except DrfsmError as fault:  # its words name the topic, which is no secret
        raise NotTaken(bounded(fault.what)) from None


# --- apprise --------------------------------------------------------------------------------------------


def _service(address: str, scheme: str, named: str, number: int) -> Target:
    target = Target(SERVICE, f"{scheme} {number}", address)
    try:
        service = _apprise().Apprise.instantiate(address, asset=_asset())
    except ModuleNotFoundError:
        raise UsageFault(
            f"{named} is of {scheme}://, which needs apprise, and that is not installed", hint=_MISSING
        ) from None
    except Exception as fault:  # noqa: BLE001  whatever one of a hundred plugins says of its address
        raise _not_understood(named, scheme) from fault.__cause__
    if not service:
        raise _not_understood(named, scheme)
    return target


def _not_understood(named: str, scheme: str) -> UsageFault:
    return UsageFault(
        f"{named}: apprise understands no such address of {scheme}://",
        hint=f"`apprise --details` lists its services; https://appriseit.com shows the address of {scheme}://",
    )


def _hand_over(target: Target, message: Message) -> None:
    """Send by apprise, which says no more than yes or no: its own words may hold the address."""
    apprise = _apprise()
    service = apprise.Apprise(asset=_asset())
    try:
        taken = service.add(target.address) and service.notify(
            title=message.title,
            body=message.text,
            body_format=apprise.NotifyFormat.TEXT,
            notify_type=apprise.NotifyType(message.urgency),
        )
    except Exception as fault:  # noqa: BLE001  likewise
        raise NotTaken(f"apprise failed ({type(fault).__name__})", again=True) from None
    if not taken:
        raise NotTaken("it did not take the notice; `apprise -vv -b test ADDRESS` says why", again=True)


def _apprise() -> Any:
    import logging

    import apprise

    log = logging.getLogger("apprise")  # what it logs may hold an address
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    log.propagate = False
    return apprise


def _asset() -> Any:
    return _apprise().AppriseAsset(app_id="drfsm", app_desc="drfsm", app_url="", async_mode=False)
