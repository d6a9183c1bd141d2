"""The operator's current address, as the world outside sees it.

Asks one service (``https://checkip.amazonaws.com``, or what ``DRFSM_ADDRESS_URL`` names) that answers with
nothing but the address; or takes the one that was given (``DRFSM_ALLOWED_ADDRESS``). Never more than that one
address: an answer that is no address, or a wider range, is refused. Used by ec2.py and terraform.py.
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
    """Return how the operator's address is found, as the environment says."""
    if allowed := environ.get("DRFSM_ALLOWED_ADDRESS"):
        cidr = one(allowed, "DRFSM_ALLOWED_ADDRESS")
        return lambda: cidr
    return lambda: asked(environ.get("DRFSM_ADDRESS_URL") or URL)


def asked(url: str) -> str:
    """Ask a service. Raises Unreachable if it doesn't answer."""
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
        raise Unreachable(f"{url} does not tell this machine's address: {fault}", hint=hint, fault="operator") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Lets a redirect be the answer that it is: an error. Who may come in is told by the service that was named."""

    def redirect_request(self, *_request: Any) -> None:
        """Follow nowhere."""


def one(text: str, origin: str) -> str:
    """Return a block of exactly one address. Raises ActionFailed for anything else."""
    try:
        block = ipaddress.ip_network(text.strip())
    except ValueError:
        shown = bounded(text.strip())
        raise ActionFailed(
            f"{origin} gives {shown!r}, which is no IP address", hint="name another address service", fault="operator"
        ) from None
    if block.num_addresses != 1:
        message = f"{origin} gives {block}, which would let in {block.num_addresses} addresses"
        raise ActionFailed(message, hint="name one address", fault="operator")
    return str(block)
