"""The transcripts in tests/data/transcripts: what `drfsm replay` prints of a run, made stable, and held to the code.

The tests that make the runs hand their bundle to ``held``; it compares the transcript with the committed one.

    python -m tests.transcripts        # runs those tests, and writes every transcript anew; look at the diff

What differs from run to run is replaced as in any machine's transcript: drfsm/testing/transcripts.py.
"""

import io
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.testing.transcripts import assert_transcript, stable

DIRECTORY = Path(__file__).parent / "data" / "transcripts"
COMMAND = "python -m tests.transcripts"
TESTS = ("tests/safety/test_transcripts.py", "tests/promote/test_transcripts.py", "tests/drill/test_whole.py")
TITLES = {
    "failback": "A failback from its start to its end: the primary becomes canonical again.",
    "failback-killed": "A failback that was killed between the two keys of the global pointer, and resumed.",
    "failback-aborted": "A failback that was aborted after the provider pointers had moved; its changes are undone.",
    "promote": "A promote: DR becomes canonical, after a person approved the plan.",
    "drill": "A drill: a machine is started, restored, validated, promoted in rehearsal, and taken down.",
}

_NUMBERED_TOO: Mapping[str, str] = {r"\bi-[0-9a-f]{17}\b": "<instance {}>", r"(?<![-\w])\d{12}\b": "<account {}>"}


def held(name: str, bundle: Path, declaration: bytes, names: Mapping[str, str]) -> None:
    """Hold the replay of a bundle to the committed transcript, or write that anew where it is asked for.

    ``names`` says what else stands for what: a text of this run -> the word in the transcript. Raises AssertionError
    where the two differ.
    """
    machine = name.partition("-")[0]
    (bundle / f"{machine}.yaml").write_bytes(declaration)
    records = read_chain(bundle).records
    text = f"# {TITLES[name]}\n# Stable names stand for times, ids and hashes: see docs/transcripts.md\n\n"
    text += "\n".join(["$ drfsm replay <run 1>", *stable(_replayed(bundle), records, names, _NUMBERED_TOO)]) + "\n"
    assert_transcript(DIRECTORY / f"{name}.txt", text, how=COMMAND)


def _replayed(bundle: Path) -> list[str]:
    with redirect_stdout(io.StringIO()) as out:
        assert drfsm(["replay", str(bundle)]) == ExitCode.DONE, out.getvalue()
    return out.getvalue().splitlines()


def main() -> int:
    """Write every transcript anew. Returns 1 where a test failed, or where a transcript was not written."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    before = {path.name: path.stat().st_mtime_ns for path in DIRECTORY.iterdir()}
    failed = pytest.main(["-q", "--rewrite-transcripts", "-k", "transcript", *TESTS])
    written = {path.stem for path in DIRECTORY.iterdir() if path.stat().st_mtime_ns != before.get(path.name)}
    for name in TITLES:
        sys.stdout.write(f"{DIRECTORY / name}.txt{'' if name in written else ': NOT WRITTEN'}\n")
    return int(bool(failed) or written != set(TITLES))


if __name__ == "__main__":
    sys.exit(main())
