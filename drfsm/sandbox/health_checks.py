"""Route 53's health checks in the sandbox: asked each time that a name server answers, from moto's descriptions.

As Route 53 reads them: a check that is disabled is always healthy, whatever it sees; an inverted one is healthy while
what it asks is ill. So one that is inverted and disabled is always ill.
"""

import socket
import urllib.error
import urllib.request
from typing import Any

SECONDS = 4.0
SEARCHED_BYTES = 5120
_MOST_OK = 399


def is_healthy(account: str, check_id: str | None) -> bool:
    """Return whether a record with this check counts as healthy; one without a check does."""
    from moto.route53.models import route53_backends

    if not check_id:
        return True
    check = route53_backends[account]["aws"].health_checks[check_id]
    seen = True if check.disabled else _answers(check)
    return not seen if check.inverted else seen


def _answers(check: Any) -> bool:
    host = check.ip_address or check.fqdn
    try:
        if check.type_ == "TCP":
            socket.create_connection((host, check.port), timeout=SECONDS).close()
            return True
        url = f"http://{host}:{check.port}{check.resource_path or '/'}"  # the sandbox's own, without TLS
        with urllib.request.urlopen(url, timeout=SECONDS) as reply:
            head = reply.read(SEARCHED_BYTES).decode("utf-8", "replace")
            searched = str(check.search_string or "") if "STR_MATCH" in check.type_ else ""
            return reply.status <= _MOST_OK and searched in head
    except (OSError, urllib.error.URLError, ValueError):
        return False
