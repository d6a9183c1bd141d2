"""A run at a glance: what its summary says, and only where the summary is of the journal's last record."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from drfsm.runs.glance import _TAIL_BYTES, Glance, glance

FIRST, MOST = _TAIL_BYTES
SAID = {
    "run_id": "promote-1", "machine": "promote", "status": "held", "state": "dr_frozen", "started_at": "2026-02-27",
    "dry_run": False,
}  # fmt: skip
LINES = [b'{"seq": 0}\n', b'{"seq": 1}\n', b'{"seq": 2}\n']


def laid(place: Path, raw: bytes, summary: Any, name: str = "promote.summary.json") -> Path:
    """Lay a bundle: its journal, and its summary."""
    place.chmod(0o700)
    for path, body in (("state_transitions.log", raw), (name, json.dumps(summary).encode())):
        (place / path).write_bytes(body)
        (place / path).chmod(0o600)
    return place


def of(last: bytes, **said: Any) -> dict[str, Any]:
    """Return the summary of a journal that ends with this line."""
    return {**SAID, "journal": {"head": sha256(last).hexdigest()}, "more": 1, **said}


def sized(size: int) -> bytes:
    """Return a line of so many bytes."""
    return b"x" * (size - 1) + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(LINES), LINES[2], sized(MOST), b"a\n" + sized(MOST - 1), b"a\n" + sized(FIRST),
        b"a\n" + sized(FIRST - 1), sized(FIRST),
    ],
    ids=[
        "three records", "one record", "one as long as is read", "a long one after another",
        "one as long as is read at first, after another", "one that begins what is read at first",
        "one as long as is read at first",
    ],
)  # fmt: skip
def test_a_summary_of_the_last_record_is_the_glance(tmp_path: Path, raw: bytes) -> None:
    """All of its fields; what else the summary says is left out."""
    assert glance(laid(tmp_path, raw, of(raw.splitlines(keepends=True)[-1]))) == Glance(**SAID)  # type: ignore[arg-type]


NONE: dict[str, Callable[[Path], Any]] = {
    "a summary that is behind": lambda place: laid(place, b"".join(LINES), of(LINES[1])),
    "a summary of the whole journal's bytes": lambda place: laid(place, b"".join(LINES), of(b"".join(LINES))),
    "a last line that is torn": lambda place: laid(place, LINES[0] + b"torn", of(b"torn")),
    "a torn line, and a summary that knows no head": lambda place: laid(
        place, LINES[0] + b"torn", {**SAID, "journal": {"head": ""}}
    ),
    "a run id that is none": lambda place: laid(place, LINES[0], of(LINES[0], run_id="-rf /")),
    "a last line that is torn, of a summary before it": lambda place: laid(place, LINES[0] + b"torn", of(LINES[0])),
    "a last line that is longer than what is read": lambda place: laid(
        place, LINES[0] + sized(MOST + 1), of(sized(MOST + 1))
    ),
    "the end of such a line": lambda place: laid(place, b"a" * 9 + sized(MOST), of(sized(MOST))),
    "no record": lambda place: laid(place, b"", {**SAID, "journal": {"head": None}}),
    "no head in the summary": lambda place: laid(place, LINES[0], {**SAID, "journal": {}}),
    "a journal that is no object": lambda place: laid(place, LINES[0], {**SAID, "journal": [1]}),
    "a run id that is no text": lambda place: laid(place, LINES[0], of(LINES[0], run_id=7)),
    "a field that is missing": lambda place: laid(place, LINES[0], of(LINES[0], state=None)),
    "a dry run that is a text": lambda place: laid(place, LINES[0], of(LINES[0], dry_run="no")),
    "a state that is a truth": lambda place: laid(place, LINES[0], of(LINES[0], state=True)),
    "a summary that is no object": lambda place: laid(place, LINES[0], [1]),
    "a summary by another name": lambda place: laid(place, LINES[0], of(LINES[0]), "promote.summary.json.old"),
    "two summaries": lambda place: laid(laid(place, LINES[0], of(LINES[0])), LINES[0], of(LINES[0]), "a.summary.json"),
    "no summary": lambda place: (place / "state_transitions.log").write_bytes(LINES[0]),
    "no directory": lambda place: place.rmdir(),
}


@pytest.mark.parametrize("name", NONE)
def test_anything_else_is_no_glance(tmp_path: Path, name: str) -> None:
    """Whoever folds the records says what is wrong."""
    place = tmp_path / "bundle"
    place.mkdir(mode=0o700)
    NONE[name](place)
    assert glance(place) is None
