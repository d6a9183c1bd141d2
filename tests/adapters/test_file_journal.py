"""The journal as a file: one writer, whole lines, and nothing done that isn't on disk."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drfsm.adapters import file_journal
from drfsm.adapters.file_journal import LOCK, LOG, FileJournal, holder, read_chain
from drfsm.engine import Binding, Fact, Runner
from drfsm.errors import DiskFault, ExitCode, JournalDamaged, LeaseHeld, UsageFault
from drfsm.journal import Record, digest, encode, lines, read
from drfsm.spec import load_machine

AT = "2026-02-27T00:00:00.000000Z"
BODY = {"state": "s", "trigger": "t", "why": "w" * 50, "legal": []}
ROOT = Path(__file__).parents[2]
IN = "bundle = Path(sys.argv[1])"


def filled(bundle: Path, count: int = 3) -> list[Record]:
    """Make a journal of some records; return them."""
    with FileJournal.create(bundle) as journal:
        for _ in range(count):
            journal.append("rejected", BODY, AT)
        return list(journal.records())


def python(code: str, *args: object) -> subprocess.Popen[str]:
    """Run some code in a process of its own."""
    begun = f"import sys\nfrom pathlib import Path\nfrom drfsm.adapters.file_journal import *\n{IN}\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", begun, *map(str, args)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def told(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process tells."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- writing and reading ------------------------------------------------------------------------------------


def test_what_was_appended_is_on_disk_and_read_again(tmp_path: Path) -> None:
    """Records, head and raw lines are the file's; opened again, they are the same, and the chain goes on."""
    records = filled(tmp_path)
    raw = (tmp_path / LOG).read_bytes()
    assert raw == b"".join(lines(records))
    with FileJournal.open(tmp_path) as journal:
        assert list(journal.records()) == records
        assert (journal.head, b"".join(journal.lines())) == (digest(raw.splitlines(keepends=True)[-1]), raw)
        journal.append("rejected", BODY, AT)
        assert read_chain(tmp_path).head == journal.head
    assert len(read_chain(tmp_path).records) == 4


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Journal and lock have the permissions 0600, whatever the umask would allow."""
    before = os.umask(0)
    try:
        filled(tmp_path)
    finally:
        os.umask(before)
    for name in (LOG, LOCK):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_second_run_in_one_bundle_is_refused(tmp_path: Path) -> None:
    """Create where a journal is, open where none is, and a directory that isn't there: wrong usage, with a way on."""
    filled(tmp_path)
    with pytest.raises(UsageFault, match="already holds a run"):
        FileJournal.create(tmp_path)
    with pytest.raises(UsageFault, match="No such file"):
        FileJournal.open(tmp_path / "nowhere")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UsageFault, match="No such file"):
        FileJournal.open(other)
    with pytest.raises(UsageFault, match="can't be read"):
        read_chain(other)


def test_a_refusal_lets_the_lock_go(tmp_path: Path) -> None:
    """What could not be opened holds nothing: neither after a refusal nor after damage."""
    filled(tmp_path)
    with pytest.raises(UsageFault):
        FileJournal.create(tmp_path)
    assert holder(tmp_path) is None
    (tmp_path / LOG).write_bytes(b"oops\n")
    with pytest.raises(JournalDamaged, match="line 1 "):
        FileJournal.open(tmp_path)
    assert holder(tmp_path) is None
    assert (tmp_path / LOG).read_bytes() == b"oops\n"


def test_a_body_that_json_can_not_say_is_written_nowhere(tmp_path: Path) -> None:
    """A ValueError, no byte in the file, and the journal can go on."""
    with FileJournal.create(tmp_path) as journal:
        for wrong in (float("nan"), {1}, "\ud800"):
            with pytest.raises(ValueError, match=r"."):
                journal.append("rejected", {**BODY, "why": wrong}, AT)
        assert (tmp_path / LOG).read_bytes() == b""
        journal.append("rejected", BODY, AT)
    assert len(read_chain(tmp_path).records) == 1


def test_lines_of_a_copy_are_taken_over_only_if_they_fit(tmp_path: Path) -> None:
    """Extend appends what a copy has more, byte for byte; what doesn't follow is refused and nothing is written."""
    records = filled(tmp_path, 2)
    more = list(lines([*records, *(Record(seq, "rejected", AT, BODY) for seq in (2, 3))]))[2:]
    with FileJournal.open(tmp_path) as journal:
        with pytest.raises(JournalDamaged, match="line 3 "):
            journal.extend(more[1:])
        journal.extend(more)
        assert len(journal.records()) == 4
        journal.append("rejected", BODY, AT)
    assert len(read_chain(tmp_path).records) == 5


# --- torn tails ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [1, 40, 150])
def test_a_torn_line_is_cut_by_the_next_holder_and_said(tmp_path: Path, left: int) -> None:
    """The tail goes when the journal is opened; the next record is preceded by a note of what was cut."""
    filled(tmp_path)
    whole = (tmp_path / LOG).read_bytes()
    torn = encode(Record(3, "rejected", AT, BODY), digest(whole.splitlines(keepends=True)[-1]))[:left]
    (tmp_path / LOG).write_bytes(whole + torn)
    assert read_chain(tmp_path).torn == torn
    assert (tmp_path / LOG).read_bytes() == whole + torn, "a reader leaves it alone"
    with FileJournal.open(tmp_path) as journal:
        assert (tmp_path / LOG).read_bytes() == whole
        assert journal.cut == (left, digest(torn))
        record = journal.append("rejected", BODY, AT)
        assert record.seq == 4
        assert journal.cut is None
    chain = read_chain(tmp_path)
    assert [each.kind for each in chain.records[3:]] == ["tail_cut", "rejected"]
    assert chain.records[3].body == {"bytes": left, "sha256": digest(torn)}


def test_a_cut_can_be_noted_before_anything_else(tmp_path: Path) -> None:
    """note_cut writes the note alone, once: for who must know the number of its next record beforehand."""
    filled(tmp_path)
    with (tmp_path / LOG).open("ab") as file:
        file.write(b"to")
    with FileJournal.open(tmp_path) as journal:
        journal.note_cut(AT)
        journal.note_cut(AT)
        assert [each.kind for each in journal.records()[3:]] == ["tail_cut"]
        assert journal.append("rejected", BODY, AT).seq == 4


def test_any_other_damage_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """A changed line in the middle: the line is named, and not a byte is touched."""
    filled(tmp_path)
    raw = (tmp_path / LOG).read_bytes().replace(b'"trigger":"t"', b'"trigger":"u"', 1)
    (tmp_path / LOG).write_bytes(raw)
    with pytest.raises(JournalDamaged, match="line 2 ") as caught:
        FileJournal.open(tmp_path)
    assert caught.value.line == 2
    assert (tmp_path / LOG).read_bytes() == raw


LAMP = b"""
machine: lamp
because: "dark"
initial: dark
finals: {lit: complete}
facts: {light: {values: [on, off]}}
transitions:
  - {from: dark, trigger: light_up, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "read"}
"""


def test_a_run_goes_on_over_a_torn_line_and_its_seal_counts_right(tmp_path: Path) -> None:
    """The note of the cut is folded like any record: the seal's number and head are those of the file."""
    spec = load_machine(LAMP)
    room = {"light": "off"}
    binding = Binding(
        {"light": Fact(lambda room, _run: dict(room), lambda seen, _inputs: str(seen["light"]))},
        {"press": lambda room, _run: room.update(light="on")},
    )
    with FileJournal.create(tmp_path) as journal:
        Runner(spec, binding, room, journal).start({})
    whole = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(b"".join(whole[:3]) + whole[3][:20])
    with FileJournal.open(tmp_path) as journal:
        heard: list[str] = []
        runner = Runner(spec, binding, room, journal, on_record=[lambda record, _state: heard.append(record.kind)])
        assert runner.resume().status == "complete"
        assert heard == [each.kind for each in journal.records()[3:]]
        assert runner.state.length == len(journal.records())
    records = read_chain(tmp_path).records
    assert records[3].kind == "tail_cut"
    assert records[-1].body["records"] == len(records) - 1
    assert records[-1].body["head"] == digest((tmp_path / LOG).read_bytes().splitlines(keepends=True)[-2])


# --- the lock -------------------------------------------------------------------------------------------------


def test_the_lock_excludes_a_second_process_and_names_the_first(tmp_path: Path) -> None:
    """While one process holds a bundle another is refused, told who holds it; gone, however, it is free."""
    filled(tmp_path)
    process = python("journal = FileJournal.open(bundle)\nprint('held', flush=True)\nsys.stdin.read()", tmp_path)
    try:
        assert told(process) == "held"
        found = holder(tmp_path)
        assert found is not None
        assert found["pid"] == process.pid
        with pytest.raises(LeaseHeld, match=f"process {process.pid} on "):
            FileJournal.open(tmp_path)
    finally:
        process.kill()
        process.communicate()
    assert holder(tmp_path) is None
    FileJournal.open(tmp_path).close()


def test_one_process_can_not_hold_it_twice(tmp_path: Path) -> None:
    """The lock belongs to the open file, so a second journal in the same process is refused as well."""
    filled(tmp_path)
    with FileJournal.open(tmp_path), pytest.raises(LeaseHeld):
        FileJournal.open(tmp_path)
    FileJournal.open(tmp_path).close()


def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """A status that polls `holder` all the time never makes an open fail."""
    filled(tmp_path)
    process = python("print('looking', flush=True)\nwhile True: holder(bundle)", tmp_path)
    try:
        assert told(process) == "looking"
        for _ in range(60):
            FileJournal.open(tmp_path).close()
    finally:
        process.kill()
        process.communicate()


# --- what can't be written --------------------------------------------------------------------------------------

FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = FileJournal.create(bundle)
room = int(sys.argv[2])
body = {"state": "s", "trigger": "t", "why": "w" * 50, "legal": []}
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
appended, faults = 0, []
for _ in range(8):
    try:
        journal.append("rejected", body, "2026-02-27T00:00:00.000000Z")
        appended += 1
    except Exception as fault:
        faults.append(f"{type(fault).__name__}: {fault}")
    if len(faults) == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
import json
print(json.dumps([appended, faults, len(journal.records())]), flush=True)
"""


@pytest.mark.parametrize("spare", [0, 1, 100, 300])
def test_a_full_disk_leaves_no_half_line_and_stops_everything(tmp_path: Path, spare: int) -> None:
    """The file may not grow any more in the middle of a line: whole lines only, and no append ever again."""
    line = len(encode(Record(0, "rejected", AT, BODY), "0" * 64))
    process = python(FULL, tmp_path, 2 * line + spare)
    out, errors = process.communicate(timeout=60)
    appended, faults, known = json.loads(out)
    assert not errors
    chain = read_chain(tmp_path)
    assert chain.torn == b""
    assert len(chain.records) == appended == known
    assert appended >= 2
    assert len(faults) == 8 - appended
    assert all(each.startswith("DiskFault: the journal ") and "can't be written" in each for each in faults)


def test_no_room_at_all_is_told(small_disk: Path) -> None:
    """A disk without room: exit code 12, what to do, no half line, and nothing more until somebody makes room."""
    with FileJournal.create(small_disk) as journal:
        journal.append("rejected", BODY, AT)
        (small_disk / "filler").write_bytes(b"x" * os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize)
        with pytest.raises(DiskFault, match="ENOSPC") as caught:
            journal.append("rejected", {**BODY, "why": "w" * 8000}, AT)  # more than the last block has room for
        assert (caught.value.exit_code, caught.value.fault) == (ExitCode.DISK, "journal")
        assert "free some space" in caught.value.hint
        assert "drfsm resume" in caught.value.hint
        (small_disk / "filler").unlink()
        with pytest.raises(DiskFault, match="the run stops here"):
            journal.append("rejected", BODY, AT)
        known = len(journal.records())
    with FileJournal.open(small_disk) as journal:
        assert len(journal.records()) == known
        journal.append("rejected", BODY, AT)


# --- altered under a working process ----------------------------------------------------------------------------


def _edited(path: Path, place: int) -> None:
    """Change one byte and set the time of the change back."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        file.write(b"X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replaced(path: Path) -> None:
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(body)


def _behind_a_link(path: Path) -> None:
    path.rename(path.with_name("there"))
    path.symlink_to("there")


ALTERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda log: os.truncate(log, log.stat().st_size // 2), "was cut"),
    "emptied": (lambda log: os.truncate(log, 0), "was cut"),
    "a line of somebody else's": (lambda log: log.open("ab").write(b"{}\n"), "written by another process"),
    "edited in the middle, with its old time": (lambda log: _edited(log, 100), "was edited in line 1"),
    "edited at its end": (lambda log: _edited(log, -5), "was edited in its last line"),
    "removed": (Path.unlink, "was removed"),
    "replaced by a copy": (_replaced, "replaced"),
    "another name for it put in its place": (
        _behind_a_link, "replaced",
    ),
    "lock removed": (lambda log: (log.parent / LOCK).unlink(), "lost its lock"),
    "bundle moved": (lambda log: log.parent.rename(log.parent.with_name("moved")), "was moved"),
}  # fmt: skip


@pytest.mark.parametrize("alter", ALTERED)
def test_a_journal_that_is_altered_under_its_writer_is_written_no_more(tmp_path: Path, alter: str) -> None:
    """Noticed at the next record, also before a mirror gets it; exit code 7, the mirror as the next step, no byte."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    act, words = ALTERED[alter]
    filled(bundle)
    with FileJournal.open(bundle) as journal:
        journal.append("rejected", BODY, AT)
        act(bundle / LOG)
        left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(JournalDamaged, match=words):
            journal.note_cut(AT)
        for _ in range(2):
            with pytest.raises(JournalDamaged, match="the run stops here") as caught:
                journal.append("rejected", BODY, AT)
        assert (caught.value.exit_code, "drfsm resume s3://" in caught.value.hint) == (ExitCode.DAMAGED, True)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == left


TWO_LAMPS = b"""
machine: lamps
because: "two lamps"
initial: dark
finals: {lit: complete, gone: failed}
facts: {left: {values: [on, off]}, right: {values: [on, off]}}
transitions:
  - {from: dark, trigger: light_left, to: half, action: left, sets: {left: on}, effect: idempotent, because: "read"}
  - {from: half, trigger: light_right, to: lit, action: right, sets: {right: on}, effect: idempotent, because: "read"}
  - {from: dark, trigger: give_up, to: gone, by: failure, because: "it failed"}
  - {from: half, trigger: give_up, to: gone, by: failure, because: "it failed"}
"""


@pytest.fixture
def no_more_room() -> Iterator[Callable[[int], None]]:
    """Return what lets no file of this process grow beyond a size, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("how", ["altered", "full"])
def test_a_run_whose_journal_fails_does_nothing_more(
    tmp_path: Path, no_more_room: Callable[[int], None], how: str
) -> None:
    """While the left lamp is lit the journal is cut, or its disk fills: the right one stays dark, nobody gives up."""
    room = {"left": "off", "right": "off"}

    def left(room: dict[str, str], _run: object) -> None:
        room["left"] = "on"
        if how == "altered":
            os.truncate(tmp_path / LOG, 10)
        else:
            no_more_room((tmp_path / LOG).stat().st_size + 100)

    def fact(name: str) -> Fact:
        return Fact(lambda room, _run: {"is": room[name]}, lambda seen, _inputs: str(seen["is"]))

    acts = {"left": left, "right": lambda room, _run: room.update(right="on")}
    binding = Binding({name: fact(name) for name in room}, acts)
    with FileJournal.create(tmp_path) as journal, pytest.raises((JournalDamaged, DiskFault)) as caught:
        Runner(load_machine(TWO_LAMPS), binding, room, journal).start({})
    assert caught.value.exit_code == (ExitCode.DAMAGED if how == "altered" else ExitCode.DISK)
    assert room == {"left": "on", "right": "off"}


def test_what_changes_no_byte_stops_nobody(tmp_path: Path) -> None:
    """A copy, another mode, another time: the journal goes on."""
    filled(tmp_path)
    with FileJournal.open(tmp_path) as journal:
        for act in (lambda log: log.chmod(0o400), os.utime, Path.read_bytes):
            act(tmp_path / LOG)
            journal.append("rejected", BODY, AT)
    assert len(read_chain(tmp_path).records) == 6


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"x" * (file_journal.LONGEST_LINE + 2), "line 1 is not a record", id="one endless line"),
        pytest.param(None, "line 1 is not a record", id="a hole of terabytes"),
    ],
)
def test_a_huge_journal_is_not_read_whole(tmp_path: Path, body: bytes | None, words: str) -> None:
    """Refused at its first line, in bounded memory."""
    (tmp_path / LOG).write_bytes(body or b"")
    if body is None:
        os.truncate(tmp_path / LOG, 1 << 41)
    with pytest.raises(JournalDamaged, match=words):
        read_chain(tmp_path)


@pytest.mark.parametrize("call", ["os.write", "os.fdatasync"])
def test_an_append_that_is_interrupted_is_the_last_one(tmp_path: Path, call: str) -> None:
    """Ctrl-C in the middle of an append: this process writes nothing more, and the next one reads a whole chain."""
    code = f"""
import os, signal
journal = FileJournal.create(bundle)
body = {{"state": "s", "trigger": "t", "why": "w", "legal": []}}
at = "2026-02-27T00:00:00.000000Z"
journal.append("rejected", body, at)
real = {call}
def interrupted(*args):
    result = real(*args)
    {call} = real
    raise KeyboardInterrupt
{call} = interrupted
try:
    journal.append("rejected", body, at)
except KeyboardInterrupt:
    pass
{call} = real
try:
    journal.append("rejected", body, at)
except Exception as fault:
    print(type(fault).__name__, fault, flush=True)
"""
    process = python(code, tmp_path)
    out, errors = process.communicate(timeout=60)
    assert not errors
    assert out.startswith("Interrupted")  # exit code 130: nobody's fault in drfsm
    assert "the write of a record to the journal" in out
    with FileJournal.open(tmp_path) as journal:
        assert len(journal.records()) == 2, "the line was whole when Ctrl-C came"
        journal.append("rejected", BODY, AT)
    assert len(read_chain(tmp_path).records) == 3


def test_a_record_is_on_disk_before_append_returns(tmp_path: Path) -> None:
    """Strace would show it: one write and one fdatasync a record, and the directory is synced at creation."""
    code = """
import os
calls = []
def noted(name):
    real = getattr(os, name)
    def call(*args):
        calls.append(name)
        return real(*args)
    setattr(os, name, call)
for name in ("write", "fsync", "fdatasync"):
    noted(name)
journal = FileJournal.create(bundle)
created = list(calls)
calls.clear()
for _ in range(2):
    journal.append("rejected", {"state": "s", "trigger": "t", "why": "w", "legal": []}, "2026-02-27T00:00:00.000000Z")
print(created, calls, flush=True)
"""
    out, errors = python(code, tmp_path).communicate(timeout=60)
    assert not errors
    assert out.strip() == "['fsync'] ['write', 'fdatasync', 'write', 'fdatasync']"


# --- killed -----------------------------------------------------------------------------------------------------

LOOP = """
journal = FileJournal.open(bundle) if (bundle / LOG).exists() else FileJournal.create(bundle)
print(len(journal.records()), flush=True)
body = {"state": "s", "trigger": "t", "why": "w" * 3000, "legal": []}
while True:
    journal.append("rejected", body, "2026-02-27T00:00:00.000000Z")
"""


def test_killed_while_it_writes_the_chain_holds_and_grows_on(tmp_path: Path) -> None:
    """SIGKILL in the middle of a loop of appends, six times over: whole lines that verify, and each goes on."""
    known = 0
    for number in range(6):
        process = python(LOOP, tmp_path)
        assert int(told(process)) >= known
        time.sleep(0.03 + 0.01 * number)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        chain = read((tmp_path / LOG).read_bytes())
        assert len(chain.records) >= known
        assert all(each.seq == seq for seq, each in enumerate(chain.records))
        known = len(chain.records)
    assert known > 6


def test_appending_costs_the_same_at_the_end_as_at_the_beginning(tmp_path: Path) -> None:
    """Of 4,500 records the last hundred cost a few times the first hundred at most; by the length it were 20 times."""
    with FileJournal.create(tmp_path) as journal:

        def hundred() -> float:
            began = time.process_time()
            for _ in range(100):
                journal.append("rejected", BODY, AT)
            return time.process_time() - began

        first = min(hundred() for _ in range(3))
        for _ in range(37):
            hundred()
        assert min(hundred() for _ in range(5)) < 10 * first
