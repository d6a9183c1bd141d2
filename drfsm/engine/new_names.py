"""Names that drfsm makes: a kind, the time for the person who reads it, and 48 random bits that make it unique.

The time alone is no name: two commands in one second would share a directory, a key or a run. Where a name is made of
something else (a bundle's time and commit, which its readers know), whoever writes it does so only if nothing is there.
"""

from datetime import UTC, datetime
from secrets import token_hex

RANDOM_BYTES = 6


def new_name(kind: str) -> str:
    """Return a fresh name, e.g. ``failback-20261128t223230z-5f0c3a9d1b7e``: fit for files, Kubernetes, labels, keys."""
    return f"{kind}-{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{token_hex(RANDOM_BYTES)}"
