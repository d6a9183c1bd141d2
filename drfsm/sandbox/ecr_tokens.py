"""ECR's tokens, as ECR gives them: each another one, for twelve hours, and it says itself until when.

moto's is the same text for ever, and ended in 2015, so that whoever looks at its age would find it expired. Owns which
tokens were given; cloud.py installs it, and tests ask ``is_good``.
"""

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

LASTS = timedelta(hours=12)
_given: dict[str, datetime] = {}


def is_good(password: str) -> bool:
    """Return whether a token was given here, and lasts."""
    return password in _given and _given[password] > datetime.now(UTC)


def expire() -> None:
    """Let every token that was given end now."""
    for password in _given:
        _given[password] = datetime.now(UTC)


def install() -> None:
    """Make moto give such tokens. A second call changes nothing."""
    from moto.ecr.responses import ECRResponse

    responses: Any = ECRResponse
    responses.get_authorization_token = _tokens


def _tokens(self: Any) -> Any:
    from moto.core.responses import ActionResult

    registries = self._get_param("registryIds") or [self.current_account]
    return ActionResult({"authorizationData": [_token(registry, self.region) for registry in registries]})


def _token(registry: str, region: str) -> dict[str, Any]:
    ends = (datetime.now(UTC) + LASTS).replace(microsecond=0)
    payload = {"payload": secrets.token_urlsafe(24), "version": "2", "type": "DATA_KEY"}
    password = base64.b64encode(json.dumps({**payload, "expiration": int(ends.timestamp())}).encode()).decode()
    _given[password] = ends
    return {
        "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
        "expiresAt": ends,
        "proxyEndpoint": f"https://{registry}.dkr.ecr.{region}.amazonaws.com",
    }
