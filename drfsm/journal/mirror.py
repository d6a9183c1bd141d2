"""The keys of a run's journal in an object store. Names only, so that readers of a mirror need no adapter.

    <prefix>/drfsm/runs/<run>/000042.json     the raw line of record 42

Written by adapters/s3_journal.py; read by it, and by whoever checks what a receipt says of another run.
"""

import re

from drfsm.claims import bounded, is_name
from drfsm.errors import UsageFault

ADDRESS = "s3://<bucket>/<prefix>/drfsm/runs/<run>"
_NUMBER = re.compile(r"[0-9]{6,9}", re.ASCII)


def home_of(prefix: str, run_id: str) -> str:
    """Return the prefix of a run's mirror, without a slash at the end."""
    return f"{prefix}/drfsm/runs/{run_id}"


def key_of(home: str, number: int) -> str:
    """Return the key of a record."""
    return f"{home}/{number:06d}.json"


def number_of(key: str) -> int | None:
    """Return the number of the record that a key is of, None for any other key."""
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if _NUMBER.fullmatch(stem) else None


def signature_of(home: str, head: str) -> str:
    """Return the key of a signature under the line with this hash."""
    return f"{home}/signatures/{head}.sig"


def parts_of(uri: str) -> tuple[str, str, str]:
    """Return (bucket, prefix, run) of a mirror's address. Raises UsageFault for an invalid one."""
    bucket, _, home = uri.removeprefix("s3://").rstrip("/").partition("/")
    prefix, within, run_id = home.rpartition("/drfsm/runs/")
    parts = {"bucket": bucket, "prefix": prefix, "drfsm run": run_id}
    wrong = [kind for kind, text in parts.items() if not is_name(kind, text)]
    if wrong or not within:
        reason = f": not a valid {wrong[0]}" if within else ""
        raise UsageFault(f"{bounded(uri)} is not the address of a run's mirror{reason}", hint=ADDRESS)
    return bucket, prefix, run_id
