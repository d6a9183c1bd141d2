"""Lines of a journal that say the same again: a run that waits for hours samples the same few things again and again.

A line that was parsed in full, and is sound, is a *pattern* for every later line with the same bytes but for its place
in the chain, its time, and the seconds that it waited. Such a line needs no parser: what stands between is the same,
byte for byte, and a number in the place of a number changes nothing else. Anything that fits no pattern is parsed in
full, so nothing is accepted here that would not be accepted there. Used by chain.py.
"""

import re
from datetime import datetime

from drfsm.journal.record import WAITED, Record

_HEAD = re.compile(
    rb'\{"prev":"([0-9a-f]{64})","seq":(0|[1-9][0-9]{0,11}),'
    rb'"at":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)","kind":"([a-z_]+)","body":\{'
)
_WAITED = f',"{WAITED}":'.encode()
_NAMED = f'"{WAITED}":'.encode()
_SECONDS = re.compile(rb"(?:0|[1-9][0-9]{0,8})\.[0-9]{1,3}(?=[,}])")
MOST, LARGEST_BYTES = 4096, 4 << 20


def place_of(line: bytes) -> tuple[str, int, str, tuple[bytes, bytes, bytes], float | None] | None:
    """Return (prev, seq, at, what a pattern has, seconds waited) of a line; None: it must be parsed to know."""
    head = _HEAD.match(line)
    if head is None:
        return None
    begin = head.end()
    at = line.rfind(_WAITED, begin)
    prev, seq, time, kind = head.groups()
    if at < 0:
        return prev.decode(), int(seq), time.decode(), (kind, line[begin:], b""), None
    seconds = _SECONDS.match(line, at + len(_WAITED))
    if seconds is None:
        return None
    key = (kind, line[begin:at], line[seconds.end() :])
    return prev.decode(), int(seq), time.decode(), key, float(seconds[0])


class Patterns:
    """The patterns of one journal: as many as fit into a few megabytes."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes, bytes], Record] = {}
        self._size = 0

    def record(self, line: bytes, head: str, seq: int) -> Record | None:
        """Return the record of a line that fits a pattern and follows ``head`` as number ``seq``; else None."""
        place = place_of(line)
        if place is None:
            return None
        prev, number, at, key, waited = place
        like = self._known.get(key)
        if like is None or prev != head or number != seq or not _is_moment(at):
            return None
        return like.like(seq, at, waited, like)

    def learn(self, line: bytes, record: Record) -> None:
        """Remember a line that was parsed in full, if it is sound and what it waited stands where it seems to stand."""
        place = place_of(line) if record.is_sound else None
        if place is None or (place[4] is None) != (WAITED not in record.body) or line.count(_NAMED) > 1:
            return
        if place[4] is not None and record.body[WAITED] != place[4]:
            return
        self._size += len(line)
        if self._size > LARGEST_BYTES or len(self._known) >= MOST:
            self._known.clear()
            self._size = len(line)
        self._known[place[3]] = record


def _is_moment(at: str) -> bool:
    try:
        return 1970 <= datetime.fromisoformat(at).year <= 9000  # noqa: PLR2004  as claims.moment has it
    except ValueError:
        return False
