"""The journal on disk: one writer, whole lines or none, and what a dying writer leaves is cut off and said."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import LOG, FileJournal, holder, read_chain
from drfsm.errors import DrfsmError, JournalDamaged, LeaseHeld, UsageFault
from drfsm.journal import read

AT = "2026-11-24T03:00:00.000000Z"
BODY = {"row": "a --b--> c", "action": "x", "result": None}


def elsewhere(program: str, *args: str, wait: bool = True) -> "subprocess.Popen[str]":
    """Run a program in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if wait:
        process.wait(30)
    return process


def test_what_is_appended_is_read_again_by_the_next_process(tmp_path: Path) -> None:
    """Records, head and bytes survive a close; the file is the operator's alone."""
    with FileJournal.create(tmp_path) as journal:
        journal.append("repaired", {**BODY, "result": "ü\n\u2028"}, AT)
        journal.append("repaired", BODY, AT)
        head, records = journal.head, journal.records()
    with FileJournal.open(tmp_path) as again:
        assert (again.head, again.records()) == (head, records)
    assert stat.S_IMODE((tmp_path / LOG).stat().st_mode) == 0o600
    assert (tmp_path / LOG).read_bytes().count(b"\n") == 2


def test_while_one_process_writes_another_is_refused_and_told_who_it_is(tmp_path: Path) -> None:
    """The lock is the operating system's: it names its holder, and goes with him."""
    with FileJournal.create(tmp_path):
        other = elsewhere(
            "import sys; from pathlib import Path; from drfsm.adapters.file_journal import FileJournal;"
            "FileJournal.open(Path(sys.argv[1]))",
            str(tmp_path),
        )
        assert other.stdout is not None
        assert f"process {os.getpid()}" in other.stdout.read()
        assert other.returncode != 0
        found = holder(tmp_path)
        assert found is not None
        assert found["pid"] == os.getpid()
    assert holder(tmp_path) is None
    FileJournal.open(tmp_path).close()


def test_a_bundle_that_holds_a_run_is_not_started_over(tmp_path: Path) -> None:
    """Create never overwrites, and says how to go on."""
    FileJournal.create(tmp_path).close()
    with pytest.raises(UsageFault, match="already holds a run") as refused:
        FileJournal.create(tmp_path)
    assert "drfsm resume" in refused.value.way
    FileJournal.open(tmp_path).close()  # the refusal let the lock go


def test_a_torn_last_line_is_cut_off_by_the_next_holder_and_noted(tmp_path: Path) -> None:
    """Who died in the middle of a line loses that line; its size and hash are the next record."""
    with FileJournal.create(tmp_path) as journal:
        journal.append("repaired", BODY, AT)
    torn = b'{"prev":"half'
    with (tmp_path / LOG).open("ab") as log:
        log.write(torn)
    assert read_chain(tmp_path).torn == torn  # who only reads leaves it
    with FileJournal.open(tmp_path) as journal:
        journal.append("repaired", BODY, AT)
    kinds = [each.kind for each in read_chain(tmp_path).records]
    assert kinds == ["repaired", "tail_cut", "repaired"]
    noted = read_chain(tmp_path).records[1].body
    assert noted == {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}


def test_any_other_damage_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    """A flipped byte is for the investigation: the file stays as it is, and the lock is let go."""
    with FileJournal.create(tmp_path) as journal:
        for _ in range(3):
            journal.append("repaired", BODY, AT)
    raw = bytearray((tmp_path / LOG).read_bytes())
    raw[raw.index(b'"action":"x"') + 10] ^= 1
    (tmp_path / LOG).write_bytes(raw)
    for _ in range(2):
        with pytest.raises(JournalDamaged) as caught:
            FileJournal.open(tmp_path)
        assert caught.value.line == 2  # the first that doesn't follow
    assert (tmp_path / LOG).read_bytes() == raw


def test_a_disk_that_is_full_leaves_no_half_line_and_ends_all_writing(tmp_path: Path) -> None:
    """What can't be written whole is not written at all, and nothing more is: nothing may be done off the record."""
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from drfsm.adapters.file_journal import FileJournal; from drfsm.errors import DrfsmError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal = FileJournal.create(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "body = {'row': 'a --b--> c', 'action': 'x', 'result': 'y' * 150}\n"
        "count = 0\n"
        "try:\n"
        "    while True:\n"
        "        journal.append('repaired', body, '2026-11-24T03:00:00.000000Z'); count += 1\n"
        "except DrfsmError as fault:\n"
        "    print(count, fault.what)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    journal.append('resumed', {'operator': '', 'host': '', 'state': ''}, 'x')\n"
        "except DrfsmError as fault:\n"
        "    print('still:', fault.what)\n"
    )
    process = elsewhere(program, str(tmp_path))
    assert process.stdout is not None
    told = process.stdout.read()
    chain = read_chain(tmp_path)
    assert not chain.torn
    assert told.startswith(f"{len(chain.records)} ")
    assert "can't be written" in told
    assert "still:" in told
    assert len(chain.records) >= 2


def test_a_writer_that_is_killed_leaves_a_journal_that_the_next_one_opens(tmp_path: Path) -> None:
    """SIGKILL at any moment of writing: what is there is a chain, with at most one torn line at its end."""
    program = (
        "import sys; from pathlib import Path; from drfsm.adapters.file_journal import FileJournal\n"
        "journal = FileJournal.create(Path(sys.argv[1]))\n"
        "print('writing', flush=True)\n"
        "while True:\n"
        "    journal.append('repaired', {'row': 'a', 'action': 'x' * 5000, 'result': None}, 'now')\n"
    )
    for number in range(5):
        place = tmp_path / str(number)
        place.mkdir()
        writer = elsewhere(program, str(place), wait=False)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.01 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        before = len(read_chain(place).records)
        with FileJournal.open(place) as journal:
            journal.append("repaired", BODY, AT)
            assert len(journal.records()) in (before + 1, before + 2)
        assert not read_chain(place).torn


def test_lines_of_a_copy_are_taken_over_only_if_they_follow(tmp_path: Path) -> None:
    """The mirror's further records extend the file; records of another history are refused, and nothing is written."""
    ahead, behind = tmp_path / "ahead", tmp_path / "behind"
    for place in (ahead, behind):
        place.mkdir()
        with FileJournal.create(place) as journal:
            journal.append("repaired", BODY, AT)
    with FileJournal.open(ahead) as journal:
        journal.append("repaired", {**BODY, "result": 2}, AT)
        more = journal.lines()[1:]
    with FileJournal.open(behind) as journal:
        journal.extend(more)
        with pytest.raises(JournalDamaged):
            journal.extend(more)
    assert (behind / LOG).read_bytes() == (ahead / LOG).read_bytes()


def test_a_body_that_json_cannot_say_writes_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    """A defect in a fact is not a defect of the journal: the next record is written."""
    with FileJournal.create(tmp_path) as journal:
        with pytest.raises((ValueError, TypeError)):
            journal.append("repaired", {**BODY, "result": float("inf")}, AT)
        journal.append("repaired", BODY, AT)
    assert len(read_chain(tmp_path).records) == 1


def test_ten_thousand_records_are_read_line_by_line(tmp_path: Path) -> None:
    """A long run's journal is read and verified whole; the last line is the head's."""
    with FileJournal.create(tmp_path) as journal:
        line = journal.append("repaired", BODY, AT)
        assert line.seq == 0
        head = journal.lines()
    raw = list(head)
    for seq in range(1, 10_000):
        fields = {"prev": hashlib.sha256(raw[-1]).hexdigest(), "seq": seq, "at": AT, "kind": "repaired", "body": BODY}
        raw.append(json.dumps(fields, separators=(",", ":")).encode() + b"\n")
    assert len(read(raw).records) == 10_000


def test_a_bundle_that_is_not_there_is_a_usage_fault(tmp_path: Path) -> None:
    """A mistyped directory is told as such."""
    with pytest.raises(DrfsmError):
        FileJournal.open(tmp_path / "nowhere")
    with pytest.raises(UsageFault, match="can't be read"):
        read_chain(tmp_path / "nowhere")
