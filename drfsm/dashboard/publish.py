"""Puts the dashboard into the bucket, beside drfsm's other objects.

    <prefix>/drfsm/dashboard/status.json   the document
    <prefix>/drfsm/dashboard/index.html    its page, which says of when it is

Both are written whole, without a condition: published again, or by two computers at once, the last one stays. Each says
its own `read_at`. No procedure reads them.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drfsm.claims import printable_json
from drfsm.dashboard.page import page

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

FOLDER = "drfsm/dashboard"


def json_of(document: Mapping[str, Any]) -> bytes:
    """Return the document as the bytes of its file. Characters that do not print are escaped."""
    return printable_json(json.dumps(document, indent=2, ensure_ascii=False)).encode() + b"\n"


def publish(store: "ObjectStore", prefix: str, document: Mapping[str, Any]) -> list[str]:
    """Write the document, then its page; return their addresses. Raises what the store raises."""
    bodies = {"status.json": json_of(document), "index.html": page(document)}  # BEFORE the first write: it may fail
    for name, body in bodies.items():
        store.put(f"{prefix}/{FOLDER}/{name}", body)
    return [f"s3://{store.bucket}/{prefix}/{FOLDER}/{name}" for name in bodies]
