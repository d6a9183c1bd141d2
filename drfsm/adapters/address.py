"""The operator's public IP address.

Takes it from ``DRFSM_ALLOWED_ADDRESS``, or asks one service whose whole answer is the address
(``https://checkip.amazonaws.com``, or the URL in ``DRFSM_ADDRESS_URL``). Refuses an answer that is not an address, and
a range of more than one address. Used by ec2.py and terraform.py.
"""

import http.client
import ipaddress
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Unreachable, UsageFault

URL = "https://checkip.amazonaws.com"
SECONDS, LONGEST = 10, 64
Address = Callable[[], str]
"""Returns the address to let in, as a CIDR block of one address."""


def from_environment(environ: Mapping[str, str]) -> Address:
    """Return a function that gets the operator's address, as the environment configures it."""
    if allowed := environ.get("DRFSM_ALLOWED_ADDRESS"):
        cidr = one(allowed, "DRFSM_ALLOWED_ADDRESS")
        return lambda: cidr
    return lambda: asked(environ.get("DRFSM_ADDRESS_URL") or URL)


def asked(url: str) -> str:
    """Ask an address service. Raises Unreachable if it doesn't answer."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise UsageFault(
            f"{url}: the address to let in must not be asked for without TLS", hint="give an https:// address"
        )
    try:
        with urllib.request.build_opener(_NoRedirects()).open(url, timeout=SECONDS) as answer:
            return one(answer.read(LONGEST).decode("ascii", "replace"), url)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        hint = "export DRFSM_ALLOWED_ADDRESS with your address"
        raise Unreachable(
            f"{url} did not return this machine's address: {fault}", hint=hint, fault="operator"
        ) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: only the configured service may say which address is let in."""

    def redirect_request(self, *_request: Any) -> None:
        """Follow nowhere."""


def one(text: str, origin: str) -> str:
    """Return a block of exactly one address. Raises ActionFailed for anything else."""
    try:
        block = ipaddress.ip_network(text.strip())
    except ValueError:
        shown = bounded(text.strip())
        raise ActionFailed(
            f"{origin} returned {shown!r}, which is not an IP address",
            hint="name another address service",
            fault="operator",
        ) from None
    if block.num_addresses != 1:
        message = f"{origin} returned {block}, which would let in {block.num_addresses} addresses"
        raise ActionFailed(message, hint="name one address", fault="operator")
    return str(block)
