"""Where a run's journal lies in an object store: names only, so that whoever reads a mirror needs no adapter.

    <prefix>/drfsm/runs/<run>/000042.json     the raw line of record 42

Written by adapters/s3_journal.py; read by it, and by whoever checks what a receipt says of another run.
"""


def home_of(prefix: str, run_id: str) -> str:
    """Return the prefix of a run's mirror, without a slash at the end."""
    return f"{prefix}/drfsm/runs/{run_id}"


def key_of(home: str, number: int) -> str:
    """Return the key of a record."""
    return f"{home}/{number:06d}.json"


def number_of(key: str) -> int | None:
    """Return the number of the record that a key is of, None for any other key."""
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdigit() else None
