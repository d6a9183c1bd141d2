"""Transcripts: what a run's story is, made stable, and held against the committed text.

What differs from run to run is replaced in the text, and nothing is replaced in the code: times tick one second a
record, ids and hashes are numbered in the order in which they appear. Of a wait, how often it looked in vain differs,
too: the first such record stays, and the numbers of the later ones follow.

A committed transcript is rewritten by ``pytest --rewrite-transcripts`` (by any other runner with
``DRFSM_REWRITE_TRANSCRIPTS=1`` in its environment). Do that only when you can explain the difference.
"""

import difflib
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from drfsm.evidence.audit import audit
from drfsm.evidence.narrative import tell
from drfsm.journal import Record, lines
from drfsm.spec import MachineSpec

REWRITE = "DRFSM_REWRITE_TRANSCRIPTS"

_HEAD = re.compile(r"\S+ \S+Z #(?P<seq>\d+) *(?P<text>.*)")
_BEGAN = datetime(2026, 2, 27, 10, tzinfo=UTC)
_WIDTH = 120
_INDENT = 14  # where the text of a record begins
_DURATION = r"\b(?:\d+ h \d+ min|\d+ min \d+ s|\d+(?:\.\d+)? s)\b"
_NUMBERED: Mapping[str, str] = {
    r"\b[a-z][a-z0-9_]*-\d{8}[tT]\d{6}[zZ]-(?:[0-9a-f]{6}){1,2}\b": "<run {}>",
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)": "<time {}>",
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "<uid {}>",
    r"\b[0-9a-f]{64}\b": "<sha256 {}>",
    r"\b[0-9a-f]{32}\b": "<nonce {}>",
}
"""What is told apart by a number: a pattern, and the name in its place."""
_PLAIN: Mapping[str, str] = {
    r"127\.0\.0\.1:\d+": "127.0.0.1:<port>",
    r"drfsm \d+\.\d+\.\d+": "drfsm <version>",
    r"\b[0-9a-f]{12}…": "<sha256>…",
    r"(?<=[=:] )\{.*$": "{…}",
}


def transcript_of(
    records: Sequence[Record],
    machine: MachineSpec,
    judges: Mapping[str, Callable[[Any, Mapping[str, Any]], str | None]] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """Return the story of a run as `drfsm replay` tells it, with its audit, made stable.

    ``judges``: of the binding, so that each observation is judged again. ``names``: see ``stable``.
    """
    verdict = audit(b"".join(lines(records)), machine, judges=judges or {})
    story = [*tell(records, brief=True), *verdict.lines()]
    return "\n".join(stable(story, records, names)) + "\n"


def assert_transcript(path: Path, text: str, *, how: str = "pytest --rewrite-transcripts") -> None:
    """Assert that a text is the committed one; write it where a rewrite is asked for. ``how``: what asks for that."""
    __tracebackhide__ = True
    if os.environ.get(REWRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    was = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(was.splitlines(), text.splitlines(), str(path), "this run", lineterm="")
    if was != text:
        raise AssertionError("\n".join([*diff, f"if that is as it must be: {how}, and look at the diff"]))


def stable(
    lines: Sequence[str],
    records: Sequence[Record],
    names: Mapping[str, str] | None = None,
    numbered_too: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yield the lines of a replay without what differs from run to run.

    ``names``: a text of this run -> the word in its place. ``numbered_too``: patterns of your own, with the name that
    stands in their place (``<volume {}>``: numbered in the order in which they appear).
    """
    numbered = _Numbered(names or {}, {**(numbered_too or {}), **_NUMBERED})
    left_out, slow = _in_vain(records)
    times = (_BEGAN + timedelta(seconds=seconds) for seconds in count())
    for seq, paragraph in _paragraphs(lines):
        gone = sum(seq is None or number < seq for number in left_out)
        if seq is None:
            for line in paragraph:
                yield from _wrapped(numbered(_counted(line, len(records), gone)), " " * _INDENT)
        elif seq not in left_out:
            timed = records[seq].kind == "sampled" and seq not in slow
            texts = [numbered(line if timed else _timeless(line)) for line in paragraph]
            if records[seq].kind == "seal":
                texts = [_counted(line, seq, gone) for line in texts]
            yield from _wrapped(f"{next(times):%H:%M:%S} #{seq - gone:<3} {texts[0]}", " " * _INDENT)
            for text in texts[1:]:
                yield from _wrapped(f"{'':{_INDENT}}{text}", " " * _INDENT)


def _paragraphs(lines: Sequence[str]) -> Iterator[tuple[int | None, list[str]]]:
    """Yield each record's number and what is told of it; then None and the verdict."""
    heads = [number for number, line in enumerate(lines) if _HEAD.match(line)]
    if not heads:
        raise ValueError("no line of this text begins with a time and a #number: it is no replay")
    end = next(number for number in range(heads[-1] + 1, len(lines)) if not lines[number].startswith(" "))
    for number, following in pairwise([*heads, end]):
        _, seq, text = _HEAD.split(lines[number])[:3]
        yield int(seq), [text, *(line.strip() for line in lines[number + 1 : following])]
    yield None, list(lines[end:])


def _in_vain(records: Sequence[Record]) -> tuple[set[int], set[int]]:
    """Return which records are left out (a wait that looked in vain again), and which are of a wait that did."""
    left_out: set[int] = set()
    slow: set[int] = set()
    waiting = ""
    for record in records:
        row = record.body.get("row", "") if record.kind == "sampled" else ""
        if row and not record.body["holds"]:
            if row == waiting:
                left_out.add(record.seq)
            waiting = row
        if row and row == waiting:
            slow.add(record.seq)
    return left_out, slow


def _wrapped(line: str, indent: str) -> list[str]:
    more = f"{indent}  "
    return textwrap.wrap(line, _WIDTH, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)


def _timeless(line: str) -> str:
    """Return a line without how long something took."""
    return re.sub(_DURATION, "<n> s", re.sub(rf", {_DURATION}(?=\))", "", line))


def _counted(line: str, records: int, gone: int) -> str:
    """Return a line that counts records as if those that are left out were not; other counts are not told."""
    known = {records: records - gone, records + 1: records + 1 - gone}
    return re.sub(r"\b(?<![.…-])\d{2,5}\b(?!\.\d)(?!>)", lambda match: str(known.get(int(match[0]), "<n>")), line)


class _Numbered:
    """Puts numbered names in the place of what differs; the same again for the same."""

    def __init__(self, names: Mapping[str, str], patterns: Mapping[str, str]) -> None:
        self._patterns = patterns
        self._names = dict(sorted(names.items(), key=lambda pair: -len(pair[0])))
        self._known: dict[str, dict[str, str]] = {name: {} for name in patterns.values()}

    def __call__(self, line: str) -> str:
        """Return the line with stable names."""
        for text, name in self._names.items():
            line = line.replace(text, name)
        for pattern, name in self._patterns.items():
            line = re.sub(pattern, partial(self._name, name), line)
        for pattern, plain in _PLAIN.items():
            line = re.sub(pattern, plain, line)
        return line

    def _name(self, name: str, match: re.Match[str]) -> str:
        known = self._known[name]
        return known.setdefault(match[0], name.format(len(known) + 1))
