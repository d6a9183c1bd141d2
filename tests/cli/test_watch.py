"""`drfsm watch`: what it says, when it ends, and what it survives. In memory, but for one run that is really killed."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.say import say
from drfsm.cli.watch import JsonLines, Lines, follow, view_for
from drfsm.cli.watch_words import pace_words, standing_words
from drfsm.errors import ExitCode, JournalDamaged, Unreachable, UsageFault
from drfsm.evidence.row_times import row_seconds
from drfsm.journal import Record, RunState, fold, lines, read
from drfsm.runs import mirrors
from drfsm.runs.following import InFile, InMirror, followed
from drfsm.runs.pace import (
    Earlier,
    History,
    Pace,
    Step,
    began_at,
    here,
    history_of,
    left_seconds,
    of_summary,
    steps,
)
from tests.dr.memory import MemoryStore
from tests.hostile.test_documents import harmless
from tests.journal.fold_stories import STARTED, commit, held, intent, lease
from tests.recorded import BUNDLES

ROOT = Path(__file__).parents[2]
FAILBACK = max(BUNDLES.glob("*/failback"))
RECORDED = read((FAILBACK / "state_transitions.log").read_bytes()).records
EVIL = "\x1b[2Jx\r\x9b31m\u202eevil\nnext: rm -rf ~"
ENDED = ("ended", {"status": "complete", "state": "b", "reason": "", "frozen": [], "kept": [], "ways": []})
ABORTED = ("ended", {**ENDED[1], "status": "aborted"})


def records_of(*story: tuple[str, Mapping[str, Any]]) -> list[Record]:
    """Return the records of a run that started, a second each."""
    return [
        Record(number, kind, f"2026-02-27T00:00:{number:02d}.000000Z", body)
        for number, (kind, body) in enumerate([STARTED, *story])
    ]


class Scripted:
    """A journal whose every look is told beforehand: how many lines there are by then, or what goes wrong."""

    named = "r"

    def __init__(self, records: Sequence[Record], looks: Iterable[int | Exception], **known: Any) -> None:
        self._lines = list(lines(records))
        self._looks = iter(looks)
        self._known = known

    def look(self) -> Sequence[bytes]:
        """Return the lines of this look."""
        look = next(self._looks)
        if isinstance(look, Exception):
            raise look
        return self._lines[:look]

    def at_work(self) -> bool | None:
        """Whether a process works on it."""
        return bool(self._known.get("at_work", True))

    def heir(self, _state: RunState) -> str:
        """Return who took it over."""
        return str(self._known.get("heir", ""))

    def earlier(self, _state: RunState) -> Iterable[Earlier]:
        """Return what earlier runs tell."""
        return self._known.get("earlier", ())  # type: ignore[no-any-return]


AWAY = Unreachable("cannot connect", hint="x")


def seen(capsys: pytest.CaptureFixture[str], journal: Scripted | InMirror | InFile, **options: Any) -> tuple[int, str]:
    """Follow a journal without a pause; return the exit code and what was printed."""
    code = follow(journal, Lines(), sleep=lambda _: None, clock=lambda: "2026-02-27T00:01:00.000000Z", **options)
    told = capsys.readouterr()
    return code, told.out


@pytest.mark.parametrize(("ending", "code"), [(ENDED, ExitCode.DONE), (ABORTED, ExitCode.ABORTED)])
def test_it_ends_with_the_run_and_with_its_exit_code(
    capsys: pytest.CaptureFixture[str], ending: tuple[str, Mapping[str, Any]], code: ExitCode
) -> None:
    """What happened comes as lines, at the run's own times; then the page that status shows."""
    records = records_of(commit("go"), ending)
    exited, out = seen(capsys, Scripted(records, [1, 1, 2, 3]))
    assert exited == code
    printed = out.splitlines()
    assert printed[0].startswith("   0.0s ▶ m r")
    assert any(line.startswith("   1.0s ✓ b ") for line in printed)
    assert f"r ended: {ending[1]['status']}, in b" in out


def test_a_hold_is_said_and_the_watch_goes_on_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """With --until-held it ends there: 4, and the page says what to type."""
    records = records_of(held(), ("resumed", {"operator": "bob", "host": "lap", "state": "a"}), commit("go"), ENDED)
    exited, out = seen(capsys, Scripted(records, [2, 2, 2, 5]))
    assert (exited, out.count("go on with: drfsm resume r;")) == (ExitCode.DONE, 1)
    exited, out = seen(capsys, Scripted(records, [2, 2]), until_held=True)
    assert (exited, "  drfsm resume r" in out) == (ExitCode.HELD, True)


def test_a_store_that_is_away_is_said_once_and_asked_more_rarely(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on when the store is back; where the first look fails, the address is wrong, and the watch ends."""
    naps: list[float] = []
    records = records_of(commit("go"), ENDED)
    journal = Scripted(records, [2, AWAY, AWAY, AWAY, AWAY, AWAY, 2, 3])
    assert follow(journal, Lines(), sleep=naps.append) == ExitCode.DONE
    out = capsys.readouterr().out
    assert (out.count("can't read the mirror: cannot connect"), out.count("can be read again")) == (1, 1)
    assert naps == [0.5, 2.0, 4.0, 8.0, 15.0, 15.0, 0.5]
    with pytest.raises(Unreachable):
        seen(capsys, Scripted(records, [AWAY]))


def test_a_run_whose_process_is_gone_is_interrupted_and_one_that_was_taken_over_ends_the_watch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Said once, with what to type; 4 with --until-held; 5 where another run changed the sites since."""
    records = records_of(lease(1), intent("go", {}))
    exited, out = seen(capsys, Scripted(records, [3, 3, 3], at_work=False), until_held=True)
    assert (exited, out.count("INTERRUPTED: no process works on this run here")) == (ExitCode.HELD, 1)
    assert "r was INTERRUPTED in a" in out
    exited, out = seen(capsys, Scripted(records, [3] * 99, at_work=False, heir="failback-2"))
    assert (exited, "TAKEN OVER by failback-2" in out) == (ExitCode.LEASE_HELD, True)


def test_nothing_of_a_hostile_journal_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """As lines, as words for the table, and in the page at the end."""
    story = [commit(EVIL, because=EVIL, to=EVIL, frozen=[EVIL]), held(reason=EVIL, stage=EVIL, way=EVIL)]
    records = records_of(*story)
    earlier = told_by([summary(state=EVIL, trigger=EVIL)])
    _, out = seen(capsys, Scripted(records, [1, 3, 3], earlier=earlier), until_held=True)
    rows = [Step(EVIL, EVIL, 1.0, Pace(1.0, 1), "now")]
    assert harmless(out + pace_words(rows) + standing_words(fold(records), rows, "2026-02-27T00:01:00Z"))


# --- what earlier runs tell -----------------------------------------------------------------------------------------


def summary(state: str = "a", trigger: str = "go", to: str = "b", seconds: Any = 2.0, **more: Any) -> dict[str, Any]:
    """Return what a summary says of one row."""
    row = {"state": state, "trigger": trigger, "to": to, "seconds": seconds}
    known = {"run_id": "other", "machine": "m", "scope": "live", "dry_run": False, "status": "complete"}
    return {**known, "state_durations": [row], **more}


def told_by(summaries: Iterable[Mapping[str, Any]]) -> list[Earlier]:
    """Return the runs of those summaries that count."""
    return [run for summary in summaries if (run := of_summary(summary, "m", "live")) is not None]


def test_what_is_usual_is_the_median_of_runs_of_the_same_procedure() -> None:
    """Its own, dry runs, other scopes and other machines count for nothing; neither does what has another shape."""
    alike = [summary(seconds=seconds) for seconds in (1.0, 9.0, 2.0)]
    others = [summary(run_id="r"), summary(machine="x"), summary(dry_run=True), summary(scope="drill")]
    no_times: list[Any] = [None, True, "1", -1, float("inf"), float("nan")]
    no_rows: list[Any] = [None, {}, [1], [{"state": 1}]]
    odd = [summary(seconds=seconds) for seconds in no_times] + [summary(state_durations=rows) for rows in no_rows]
    history = history_of(told_by([*alike, *others, *odd]), "r")
    assert history.usual("a", "go") == Pace(2.0, 3)
    assert (history.runs, history.way) == (3, (("a", "go", "b"),))


def test_a_hold_counts_only_for_a_row_that_no_run_took_without_one() -> None:
    """So that one night on hold is not usual, and a row that always waits for a person is not unknown."""
    slow = Earlier("x", {}, (), {"a --go--> b": 9000.0, "b --approve--> c": 60.0})
    quick = Earlier("y", {"a --go--> b": 2.0}, (), {"a --go--> b": 2.0})
    history = history_of([slow, quick])
    assert (history.usual("a", "go"), history.usual("b", "approve")) == (Pace(2.0, 1), Pace(60.0, 1))


def test_runs_of_this_computer_tell_by_their_records_what_watch_and_plan_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the same machine, scope, bucket and prefix; a row in which the run stood is left out."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path))
    for name in ("failback", "promote", "drill"):
        shutil.copytree(FAILBACK.parent / name, tmp_path / "runs" / name)
    records = read_chain(tmp_path / "runs/failback").records
    state = fold(records)
    (run,) = here("failback", state.inputs)
    assert (run.run_id, run.seconds, run.way) == (state.run_id, row_seconds(records), ())  # it is held: no whole way
    assert run.seconds
    assert history_of([run]).runs == 1
    assert history_of([run], state.run_id).runs == 0
    for machine, inputs, scope in (
        ("promote", state.inputs, "drill"), ("failback", {**state.inputs, "bucket": "x"}, "live"),
        ("failback", {**state.inputs, "prefix": "x"}, "live"), ("failback", state.inputs, "drill"),
    ):  # fmt: skip
        assert list(here(machine, inputs, scope)) == []
    log = tmp_path / "runs/failback/state_transitions.log"
    log.write_bytes(log.read_bytes().replace(b'"seq":5', b'"seq":6', 1))
    assert list(here("failback", state.inputs)) == []


def test_the_rows_ahead_are_those_of_the_newest_complete_run() -> None:
    """Each with its usual time; what is left counts the row under way down, and is unknown where one row is."""
    way = (("a", "go", "b"), ("b", "more", "c"), ("c", "last", "d"))
    history = History({("b", "more"): Pace(10.0, 2), ("c", "last"): Pace(5.0, 2)}, way, 2)
    records = records_of(commit("go"), intent("more", {}, **{"from": "b", "to": "c"}))
    state = fold(records)
    rows = list(steps(records, state, history, "2026-02-27T00:00:04.000000Z"))
    assert [(row.phase, row.trigger, row.seconds) for row in rows] == [
        ("done", "go", 1.0), ("now", "more", 3.0), ("ahead", "last", None)
    ]  # fmt: skip
    assert left_seconds(rows) == 12.0
    assert pace_words(rows) == "more: usually 10.0 s, by 2 earlier runs; to the end of the run about 12.0 s"
    assert left_seconds([*rows, Step("x", "y", None, None, "ahead")]) is None
    assert [row.phase for row in steps(records, state, History({}, (), 0), "2026-02-27T00:00:04Z")] == ["done", "now"]


def test_a_run_s_id_says_when_it_began() -> None:
    """So that the newest is found among names alone, whatever the machine is called."""
    assert began_at("failback-20261129t095222z-f2aefed08b7e") == "20261129t095222z"
    assert began_at("by-hand") == ""


# --- the file, the mirror -------------------------------------------------------------------------------------------


def test_a_line_that_is_not_whole_waits_and_one_that_was_altered_is_damage(tmp_path: Path) -> None:
    """A torn end is left, also where it is cut off; a line that was read before must stay as it was."""
    log = tmp_path / "state_transitions.log"
    raw = list(lines(records_of(commit("go"), held())))
    log.write_bytes(raw[0] + raw[1][:-20])
    journal = InFile(tmp_path)
    assert list(journal.look()) == raw[:1]
    log.write_bytes(raw[0])
    assert list(journal.look()) == raw[:1]
    log.write_bytes(b"".join(raw))
    assert list(journal.look()) == raw
    log.write_bytes(raw[0])
    with pytest.raises(JournalDamaged, match="line 2 was there when this watch read it"):
        journal.look()


BUCKET = "results"


class Bucket(MemoryStore):
    """A bucket with a name that a bucket can have."""

    bucket = BUCKET


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Return the bucket that every address leads to, with the recorded failback's mirror but for its last records."""
    bucket = Bucket()
    monkeypatch.setattr(mirrors, "store_of", lambda _bucket, _places: bucket)
    return bucket


def mirrored(store: MemoryStore, count: int, first: int = 0) -> str:
    """Put records of the recorded failback into the bucket; return the mirror's address."""
    started = RECORDED[0]
    inputs = {**started.body["inputs"], "bucket": BUCKET, "journal_prefix": "jobs"}
    moved = [Record(0, started.kind, started.at, {**started.body, "inputs": inputs}), *RECORDED[1:]]
    home = f"jobs/drfsm/runs/{started.body['run_id']}"
    for number, line in enumerate(list(lines(moved))[first:count], first):
        store.put(f"{home}/{number:06d}.json", line)
    return f"s3://{BUCKET}/{home}"


def test_a_mirror_is_followed_record_by_record_and_may_lag(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is new is read; it is one chain; another run's lease ends the watch."""
    uri = mirrored(store, 20)
    journal = InMirror(uri, {})
    assert (len(journal.look()), len(journal.look())) == (20, 20)
    mirrored(store, len(RECORDED), first=20)
    assert len(journal.look()) == len(RECORDED)
    state = fold(read(journal.look()).records)
    assert (journal.at_work(), journal.heir(state)) == (None, "")
    store.put("jobs/drfsm/lease.json", b'{"run_id": "failback-2", "taken_over_from": "%s"}' % state.run_id.encode())
    assert journal.heir(state) == "failback-2"
    store.put("jobs/drfsm/lease.json", EVIL.encode())
    assert journal.heir(state) == ""
    exited, out = seen(capsys, InMirror(uri, {}), until_held=True)
    assert (exited, f"drfsm resume {uri}" in out) == (ExitCode.HELD, True)


def test_an_object_that_is_no_record_of_this_run_is_damage(store: MemoryStore) -> None:
    """The line that follows must follow; one without its newline is not whole, and drfsm writes them whole."""
    journal = InMirror(mirrored(store, 20), {})
    journal.look()
    key = f"jobs/drfsm/runs/{RECORDED[0].body['run_id']}/000020.json"
    for body in (b"{}\n", EVIL.encode(), list(lines(RECORDED))[20]):
        store.put(key, body)
        with pytest.raises(JournalDamaged):
            journal.look()


def test_a_run_in_a_bucket_is_found_by_its_id_or_as_the_newest(store: MemoryStore, tmp_path: Path) -> None:
    """And the mirror of a bundle by what the bundle recorded; a bucket without a run is wrong usage."""
    places = {"endpoint_url": "", "region": ""}
    with pytest.raises(UsageFault, match="no run is mirrored below"):
        followed(None, remote=False, bucket=BUCKET, prefix="jobs", places=places)
    uri = mirrored(store, 3)
    store.put("jobs/drfsm/runs/promote-20200101t000000z-0123456789ab/000000.json", b"")
    for named in (None, RECORDED[0].body["run_id"]):
        assert followed(named, remote=False, bucket=BUCKET, prefix="jobs", places=places).named == uri
    here = followed(str(FAILBACK), remote=True, bucket="", prefix="", places=places)
    assert here.named.endswith(f"/drfsm/runs/{RECORDED[0].body['run_id']}")
    (tmp_path / "state_transitions.log").write_bytes(b"".join(lines(records_of())))
    with pytest.raises(UsageFault, match="has no mirror"):
        followed(str(tmp_path), remote=True, bucket="", prefix="", places=places)


# --- the terminal ---------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.mark.parametrize(
    ("environ", "is_table"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
)
def test_a_table_is_for_terminals_that_can_show_one(
    monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], is_table: bool
) -> None:
    """NO_COLOR, TERM=dumb, a pipe, --plain: lines."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    shown = view_for("text", plain=False, environ=environ)
    shown.close()
    assert isinstance(shown, Lines) != is_table
    assert isinstance(view_for("text", plain=True, environ=environ), Lines)


@pytest.mark.parametrize("width", [40, 58, 80, 140])
def test_the_table_fits_the_terminal_and_nothing_in_it_steers_it(width: int) -> None:
    """The row under way is always there; a narrow one has fewer columns; no escape of a record gets through."""
    console_of = pytest.importorskip("rich.console").Console
    from drfsm.cli import watch_screen

    rows = [Step(f"row_{n}", EVIL, 1.0, Pace(2.0, 1), "done") for n in range(50)]
    rows += [Step("the_one", "b", 3.0, Pace(4.0, 1), "now"), Step(EVIL, "c", None, None, "ahead")]
    stream = io.StringIO()
    console = console_of(file=stream, width=width, markup=False, emoji=False, highlight=False)
    picked = watch_screen.shown(rows, 9)
    console.print(watch_screen.table(picked, "2026-02-27T00:00:00Z", width))
    console.print(watch_screen.line(EVIL, "bold"))
    out = stream.getvalue()
    assert len(picked) == 9
    assert "the_one" in out.replace("\n", "")
    assert all(len(line) <= width for line in out.splitlines())
    assert harmless(out)
    assert watch_screen.due_times(rows[-2:], "2026-02-27T00:00:00Z") == ["00:00:01Z", ""]


# --- a run that is really killed ------------------------------------------------------------------------------------

RUN = """
import sys, time
from pathlib import Path
from drfsm import Binding, Fact, Runner, load_machine
from drfsm.adapters.file_journal import FileJournal

place = Path(sys.argv[1])
lamp = load_machine(Path(sys.argv[2]).read_bytes(), source="lamp.yaml")
lit = place / "lit"

def press(world, run):
    print("pressing", flush=True)
    time.sleep(float(sys.argv[3]))
    lit.touch()

binding = Binding(
    facts={"light": Fact(observe=lambda world, run: {"light": "on" if lit.exists() else "off"},
                         judge=lambda seen, given: seen["light"])},
    actions={"press": press},
)
fresh = not (place / "state_transitions.log").exists()
with FileJournal(place, fresh=fresh) as journal:
    runner = Runner(lamp, binding, None, journal)
    runner.start({}, run_id="lamp-1") if fresh else runner.resume()
"""
LAMP = b"""
machine: lamp
because: "The room is lit"
initial: dark
finals: {lit: complete}
facts:
  light: {values: [on, off], because: "What the lamp does"}
transitions:
  - {from: dark, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "To read"}
"""


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# Ctrl-C is ignored by what a shell started in the background, and by what that starts, as these tests may be.
HEAR = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
HEARING = (sys.executable, "-c", HEAR)


def test_a_run_that_is_killed_and_resumed_is_watched_to_its_end(tmp_path: Path) -> None:
    """The watch says that it is interrupted, then what the next process does, and ends with it; Ctrl-C ends another."""
    (tmp_path / "lamp.yaml").write_bytes(LAMP)
    place = tmp_path / "bundle"
    place.mkdir(mode=0o700)
    program = [sys.executable, "-c", RUN, str(place), str(tmp_path / "lamp.yaml")]
    first = subprocess.Popen([*program, "60"], cwd=ROOT, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"pressing\n"
    environ = {**os.environ, "DRFSM_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-m", "drfsm", "watch", str(place)]
    watches = []
    for name in ("out", "other"):
        with (tmp_path / name).open("wb") as said, (tmp_path / f"{name}.err").open("wb") as warned:
            watches.append(subprocess.Popen([*HEARING, *argv], cwd=ROOT, stdout=said, stderr=warned, env=environ))
    out, other = tmp_path / "out", tmp_path / "other"
    until(lambda: all("… press" in path.read_text() for path in (out, other)))
    watches[1].send_signal(signal.SIGINT)
    assert watches[1].wait(30) == ExitCode.INTERRUPTED
    assert "the run is left alone" in (tmp_path / "other.err").read_text()
    assert first.poll() is None
    first.kill()
    first.wait()
    until(lambda: "INTERRUPTED: no process works on this run" in out.read_text())
    subprocess.run([*program, "0"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert watches[0].wait(60) == ExitCode.DONE
    assert "lamp-1 ended: complete, in lit" in out.read_text()


def test_as_json_each_record_is_an_object_with_its_own_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The fields of DRFSM_LOG=json; a remark of the watch is an event, too; no text of it is raw."""
    records = records_of(held(reason=EVIL))
    journal = Scripted(records, [2, 2])
    follow(journal, JsonLines(), until_held=True, as_text=False, sleep=lambda _: None)
    out = capsys.readouterr().out
    events = [json.loads(line) for line in out.splitlines()]
    assert harmless(out)
    assert [event["event"] for event in events] == ["run.started", "run.held", "watch.note", "watch.note"]
    assert [event["at"] for event in events[:2]] == [record.at for record in records]
    assert events[1]["reason"] == EVIL


def test_where_nobody_can_read_the_watch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is closed from the start: the exit code alone says how the run ended."""
    monkeypatch.setattr(sys, "stdout", None)
    journal = Scripted(records_of(commit("go"), ENDED), [3])
    assert follow(journal, view_for("text", plain=False), sleep=lambda _: None) == ExitCode.DONE


def test_words_of_the_watch_pass_the_one_mouth(capsys: pytest.CaptureFixture[str]) -> None:
    """A remark of another hand stays one line."""
    Lines().remark(EVIL)
    say("x")
    assert capsys.readouterr().out.count("\n") == 2
