"""Which registry an image is pulled from, by its name alone: the host, and the account and region of one of AWS's.

Makes no call. Used by dr/sites/pull_secret.py, and by the adapter that asks AWS for a token.
"""

import re
from typing import NamedTuple

DOCKER_HUB = "docker.io"
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z]{2}[a-z0-9-]{1,30})\.(amazonaws\.com(\.cn)?|on\.aws)"
)


class EcrRegistry(NamedTuple):
    """A registry of AWS."""

    account: str
    region: str


def registry_of(image: str) -> str:
    """Return the host that an image is pulled from, by Docker's rule: without a host it is Docker's own."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else DOCKER_HUB


def ecr_of(registry: str) -> EcrRegistry | None:
    """Return whose registry of AWS (ECR) a host is, None for any other. Its tokens expire after twelve hours."""
    host = _ECR.fullmatch(registry)
    return EcrRegistry(host["account"], host["region"]) if host else None
