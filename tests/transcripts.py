"""The transcripts in tests/data/transcripts: what `drfsm replay` prints of a run, made stable, and held to the code.

The tests that make the runs hand their bundle to ``held``; it compares the transcript with the committed one.

    python -m tests.transcripts        # runs those tests, and writes every transcript anew; look at the diff

What differs from run to run is replaced in the text, and nothing is replaced in the code: times tick one second a
record, ids and hashes are numbered in the order in which they appear, ports and directories have one name. Of a wait,
how often it looked in vain differs, too: the first such record stays, and the numbers of the later ones follow.
"""

import difflib
import io
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.journal import Record

DIRECTORY = Path(__file__).parent / "data" / "transcripts"
COMMAND = "python -m tests.transcripts"
REWRITE = "DRFSM_REWRITE_TRANSCRIPTS"
TESTS = ("tests/safety/test_transcripts.py", "tests/promote/test_transcripts.py", "tests/drill/test_whole.py")
TITLES = {
    "failback": "A failback from its start to its end: the primary becomes canonical again.",
    "failback-killed": "A failback that was killed between the two keys of the global pointer, and resumed.",
    "failback-aborted": "A failback that was aborted after the provider pointers had moved; its changes are undone.",
    "promote": "A promote: DR becomes canonical, after a person approved the plan.",
    "drill": "A drill: a machine is started, restored, validated, promoted in rehearsal, and taken down.",
}

_HEAD = re.compile(r"\S+ \S+Z #(?P<seq>\d+) *(?P<text>.*)")
_BEGAN = datetime(2026, 2, 27, 10, tzinfo=UTC)
_WIDTH = 120
_INDENT = 14  # where the text of a record begins
_DURATION = r"\b(?:\d+ h \d+ min|\d+ min \d+ s|\d+(?:\.\d+)? s)\b"
_NUMBERED: Mapping[str, str] = {
    r"\b(?:failback|promote|drill)-\d{8}[tT]\d{6}[zZ]-(?:[0-9a-f]{6}){1,2}\b": "<run {}>",
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)": "<time {}>",
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "<uid {}>",
    r"\bi-[0-9a-f]{17}\b": "<instance {}>",
    r"\b[0-9a-f]{64}\b": "<sha256 {}>",
    r"\b[0-9a-f]{32}\b": "<nonce {}>",
    r"\b\d{12}\b": "<account {}>",
}
"""What is told apart by a number: a pattern, and the name in its place."""
_PLAIN: Mapping[str, str] = {
    r"127\.0\.0\.1:\d+": "127.0.0.1:<port>",
    r"drfsm \d+\.\d+\.\d+": "drfsm <version>",
    r"\b[0-9a-f]{12}…": "<sha256>…",
    r"(?<=[=:] )\{.*$": "{…}",
}


def held(name: str, bundle: Path, declaration: bytes, names: Mapping[str, str]) -> None:
    """Hold the replay of a bundle to the committed transcript, or write that anew where it is asked for.

    ``names`` says what else stands for what: a text of this run -> the word in the transcript. Raises AssertionError
    where the two differ.
    """
    machine = name.partition("-")[0]
    (bundle / f"{machine}.yaml").write_bytes(declaration)
    records = read_chain(bundle).records
    text = f"# {TITLES[name]}\n# Stable names stand for times, ids and hashes: see docs/transcripts.md\n\n"
    text += "\n".join(["$ drfsm replay <run 1>", *_stable(_replayed(bundle), records, names)]) + "\n"
    path = DIRECTORY / f"{name}.txt"
    if os.environ.get(REWRITE):
        path.write_text(text, encoding="utf-8")
        return
    was = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(was.splitlines(), text.splitlines(), str(path), "this run", lineterm="")
    assert was == text, "\n".join([*diff, f"if that is as it must be: {COMMAND}, and look at the diff"])


def _replayed(bundle: Path) -> list[str]:
    with redirect_stdout(io.StringIO()) as out:
        assert drfsm(["replay", str(bundle)]) == ExitCode.DONE, out.getvalue()
    return out.getvalue().splitlines()


def _stable(lines: list[str], records: tuple[Record, ...], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a replay without what differs from run to run."""
    numbered = _Numbered(names)
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


def _paragraphs(lines: list[str]) -> Iterator[tuple[int | None, list[str]]]:
    """Yield each record's number and what is told of it; then None and the verdict."""
    heads = [number for number, line in enumerate(lines) if _HEAD.match(line)]
    assert heads, "no line of the replay begins with a time and a #number: what does it look like now?"
    end = next(number for number in range(heads[-1] + 1, len(lines)) if not lines[number].startswith(" "))
    for number, following in pairwise([*heads, end]):
        match = _HEAD.match(lines[number])
        assert match is not None
        yield int(match["seq"]), [match["text"], *(line.strip() for line in lines[number + 1 : following])]
    yield None, lines[end:]


def _in_vain(records: tuple[Record, ...]) -> tuple[set[int], set[int]]:
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

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(sorted(names.items(), key=lambda pair: -len(pair[0])))
        self._known: dict[str, dict[str, str]] = {name: {} for name in _NUMBERED.values()}

    def __call__(self, line: str) -> str:
        """Return the line with stable names."""
        for text, name in self._names.items():
            line = line.replace(text, name)
        for pattern, name in _NUMBERED.items():
            line = re.sub(pattern, partial(self._name, name), line)
        for pattern, plain in _PLAIN.items():
            line = re.sub(pattern, plain, line)
        return line

    def _name(self, name: str, match: re.Match[str]) -> str:
        known = self._known[name]
        return known.setdefault(match[0], name.format(len(known) + 1))


def main() -> int:
    """Write every transcript anew. Returns 1 where a test failed, or where a transcript was not written."""
    os.environ[REWRITE] = "1"
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    before = {path.name: path.stat().st_mtime_ns for path in DIRECTORY.iterdir()}
    failed = pytest.main(["-q", "-k", "transcript", *TESTS])
    written = {path.stem for path in DIRECTORY.iterdir() if path.stat().st_mtime_ns != before.get(path.name)}
    for name in TITLES:
        sys.stdout.write(f"{DIRECTORY / name}.txt{'' if name in written else ': NOT WRITTEN'}\n")
    return int(bool(failed) or written != set(TITLES))


if __name__ == "__main__":
    sys.exit(main())
