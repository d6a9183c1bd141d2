"""Tokens to pull images with, from AWS's registry (ECR). Implements world.PullTokens.

A token is asked for in the registry's own account and region, which its host names, and is believed only if the answer
is of that registry. It is a secret: no message holds it.
"""

import base64
import binascii
from datetime import UTC
from urllib.parse import urlsplit

from drfsm.adapters.aws_answers import WAY
from drfsm.adapters.aws_session import Services, call
from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Unreadable
from drfsm.world import PullToken
from drfsm.world.registries import ecr_of


class EcrTokens:
    """What ECR gives to pull with."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def token(self, registry: str) -> PullToken:
        """Return a new token for a registry's host. Raises ActionFailed for a registry that is not AWS's."""
        owner = ecr_of(registry)
        if owner is None:
            raise ActionFailed(f"{registry} is no registry of AWS", fault="operator", final=True)
        what = f"asking for a token of {registry}"
        ecr = self._services.in_region(owner.region).client("ecr")
        tokens = call(what, lambda: ecr.get_authorization_token(registryIds=[owner.account]))["authorizationData"]
        if len(tokens) != 1 or not _is_of(registry, tokens[0]["proxyEndpoint"]):
            places = bounded(", ".join(token["proxyEndpoint"] for token in tokens) or "none", 200)
            raise Unreadable(f"{what}: the answer has a token of {places}", hint=WAY)
        username, password = _parts(tokens[0]["authorizationToken"], what)
        expires_at = tokens[0]["expiresAt"].astimezone(UTC).isoformat(timespec="seconds")
        return PullToken(username, password, expires_at)


def _is_of(registry: str, endpoint: str) -> bool:
    """Return whether a token is of this registry: AWS names a registry by one of its hosts, whichever was asked for."""
    host = urlsplit(endpoint).hostname or ""
    return host == registry or ecr_of(host) == ecr_of(registry)


def _parts(token: str, what: str) -> tuple[str, str]:
    """Return the user name and the password of a token. Raises Unreadable, without a word of it."""
    try:
        username, colon, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        username, colon, password = "", "", ""
    if not (username and colon and password):
        raise Unreadable(f"{what}: the answer has no token in it", hint=WAY)
    return username, password
