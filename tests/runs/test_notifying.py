"""When people are notified, how often, and that a target keeps nobody waiting."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from drfsm.adapters.notice_targets import Message, NotTaken, Target, target_of
from drfsm.errors import LeaseLost
from drfsm.journal import Record, RunState
from drfsm.runs import deliveries
from drfsm.runs.deliveries import Deliveries
from drfsm.runs.notices import ENDED, EVENTS, HELD, NOBODY, STOPPED, Notify
from drfsm.runs.notifying import LOG, Notifier

BEGAN = datetime(2026, 2, 27, 3, tzinfo=UTC)
SECRET = "https://example.com/t0k3n"
TARGET = target_of(SECRET, 1)
QUIET = RunState(run_id="failback-1", machine="failback", status="running", state="a", length=3)
FROZEN = evolve(QUIET, frozen_since={"nobody can publish": "2026-02-27T03:00:00Z"})
MINUTES = 60


@define
class Desk:
    """A bundle, a clock that a test owns, and what was sent from here and told."""

    place: Path
    now: datetime = BEGAN
    sent: list[Message] = field(factory=list)
    told: list[str] = field(factory=list)
    refuses: str = ""

    def notifier(self, state: RunState = QUIET, **settings: Any) -> Notifier:
        """Return what notifies of a run that a process takes up here."""
        return Notifier(
            Notify((TARGET,), **{"after_seconds": 15 * MINUTES, **settings}), self.place, state, self.told.append,
            now=lambda: self.now, deliveries=self._deliveries,
        )  # fmt: skip

    def _deliveries(self, targets: Any, record: Any, **more: Any) -> Deliveries:
        return Deliveries(targets, record, transport=self._send, **more)

    def _send(self, _target: Target, message: Message, _endpoint_url: str) -> None:
        if self.refuses:
            raise NotTaken(self.refuses)
        self.sent.append(message)

    def events(self) -> list[str]:
        """Return the events that were sent."""
        return [message.fields["event"] for message in self.sent]

    def log(self) -> list[dict[str, Any]]:
        """Return what the bundle's log says."""
        return [json.loads(line) for line in (self.place / LOG).read_text().splitlines()]

    def until(self, number: int) -> None:
        """Wait for as many entries of the log."""
        deadline = time.monotonic() + 10
        while not (self.place / LOG).exists() or len(self.log()) < number:
            assert time.monotonic() < deadline, self.sent
            time.sleep(0.01)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk with an empty bundle."""
    tmp_path.chmod(0o700)
    return Desk(tmp_path)


def record(kind: str) -> Record:
    """Return a record of a kind."""
    return Record(seq=1, kind=kind, at="2026-02-27T03:00:00Z", body={})


HELD_RUN = evolve(QUIET, status="held", reason="dark")
COMPLETE = evolve(QUIET, status="complete", ended_at="2026-02-27T03:05:00Z")


@pytest.mark.parametrize(
    ("records", "events"),
    [
        ([("held", HELD_RUN)], [HELD]),
        ([("held", HELD_RUN), ("rejected", HELD_RUN)], [HELD]),
        ([("held", HELD_RUN), ("commit", QUIET), ("ended", COMPLETE), ("seal", COMPLETE)], [ENDED]),
        ([("ended", evolve(COMPLETE, status="refused"))], [ENDED]),
        ([("rejected", HELD_RUN)], []),
        ([("ended", evolve(COMPLETE, dry_run=True))], []),
        ([], []),
    ],
    ids=[
        "held", "held, and something illegal was asked for", "held, approved by the same command, complete", "refused",
        "only something illegal was asked for", "a dry run", "no record was written",
    ],
)  # fmt: skip
def test_a_process_that_leaves_a_run_says_once_how_it_stands(
    desk: Desk, records: list[tuple[str, RunState]], events: list[str]
) -> None:
    """Not what came between: a hold that the same command ended needs nobody."""
    notifier = desk.notifier()
    for kind, state in records:
        notifier.on_record(record(kind), state)
    notifier.leave()
    notifier.flush()
    assert desk.events() == events


def test_a_process_that_ends_with_an_error_leaves_the_run_to_a_person(desk: Desk) -> None:
    """The error's own words; the run itself says only that it is running."""
    notifier = desk.notifier()
    notifier.on_record(record("intent"), QUIET)
    notifier.leave(LeaseLost("another process took the lease"))
    notifier.flush()
    (message,) = desk.sent
    assert (message.fields["event"], message.fields["reason"]) == (STOPPED, "another process took the lease")


def test_an_end_whose_notice_was_lost_is_told_by_the_next_process_and_no_more_than_once(desk: Desk) -> None:
    """Killed between the record and the notice: a resume writes the seal, and people hear of the end."""
    for _ in range(2):
        notifier = desk.notifier(COMPLETE)
        notifier.on_record(record("seal"), evolve(COMPLETE, sealed=True))
        notifier.leave()
        notifier.flush()
    assert desk.events() == [ENDED]


def test_what_is_not_of_interest_is_not_sent(desk: Desk) -> None:
    """A child tells what it froze only; a worker sends a question by itself."""
    notifier = desk.notifier(events=EVENTS - {HELD})
    notifier.on_record(record("held"), HELD_RUN)
    notifier.leave()
    notifier.flush()
    assert desk.sent == []


@pytest.mark.parametrize(
    ("minutes", "told_minutes", "due_minutes"),
    [(0, None, 15), (14, None, 1), (15, None, 0), (50, None, 0), (20, 16, 11), (31, 16, 0), (5, 90, 15)],
    ids=[
        "it has just begun", "soon", "at the limit", "long ago", "told before a kill", "told before, an interval ago",
        "told by a clock that was set back since",
    ],
)  # fmt: skip
def test_the_limit_runs_from_the_journals_time_and_then_from_the_last_notice(
    desk: Desk, minutes: int, told_minutes: int | None, due_minutes: int
) -> None:
    """So a kill and a resume begin nothing anew. The moment of the last notice is in the bundle."""
    if told_minutes is not None:
        at = (BEGAN + timedelta(minutes=told_minutes)).isoformat()
        fact = "nobody can publish since 2026-02-27T03:00:00Z"
        (desk.place / LOG).write_text(json.dumps({"at": at, "fact": fact, "sent": True}) + "\n")
    desk.now = BEGAN + timedelta(minutes=minutes)
    assert desk.notifier(FROZEN, events=()).due_in_seconds() == due_minutes * MINUTES


@pytest.mark.parametrize(
    "line", ["", "{", "[1]", '{"fact": 7, "at": "x"}', '{"at": "2026-02-27T03:20:00Z", "fact": "%s", "sent": false}'],
)  # fmt: skip
def test_a_log_that_says_nothing_of_a_notice_that_arrived_holds_none_back(desk: Desk, line: str) -> None:
    """Garbage, and a notice that no target took."""
    fact = "nobody can publish since 2026-02-27T03:00:00Z"
    (desk.place / LOG).write_text((line % fact if "%" in line else line) + "\n")
    desk.now = BEGAN + timedelta(minutes=20)
    assert desk.notifier(FROZEN, events=()).due_in_seconds() == 0


def test_a_clock_that_is_behind_the_journals_waits_no_longer_than_the_limit(desk: Desk) -> None:
    """Another machine's clock may be an hour ahead."""
    desk.now = BEGAN - timedelta(hours=1)
    notifier = desk.notifier(FROZEN, events=())
    assert notifier.due_in_seconds() == 15 * MINUTES
    desk.now += timedelta(minutes=15)
    assert notifier.due_in_seconds() == 0


@pytest.mark.parametrize("state", [QUIET, evolve(FROZEN, ended_at="x"), evolve(FROZEN, dry_run=True)])
def test_nothing_is_due_where_a_site_can_publish_or_the_run_is_over(desk: Desk, state: RunState) -> None:
    """An end says by itself what it left frozen; a dry run freezes nothing."""
    assert desk.notifier(state, events=()).due_in_seconds() is None


def test_that_nobody_can_publish_is_said_without_a_record_and_once_an_interval(desk: Desk) -> None:
    """A row that waits writes none. Records in between do not repeat it; the next interval does."""
    desk.now += timedelta(minutes=16)
    notifier = desk.notifier()
    notifier.on_record(record("sampled"), FROZEN)
    desk.until(1)
    for _ in range(3):
        notifier.on_record(record("sampled"), FROZEN)
    desk.now += timedelta(minutes=16)
    notifier.on_record(record("sampled"), FROZEN)
    desk.until(2)
    notifier.on_record(record("commit"), QUIET)
    desk.now += timedelta(minutes=60)
    notifier.on_record(record("held"), HELD_RUN)
    notifier.leave()
    notifier.flush()
    assert desk.events() == [NOBODY, NOBODY, HELD]
    assert [entry["sent"] for entry in desk.log()] == [True] * 3


def test_a_refusal_is_told_and_written_down_without_the_address(desk: Desk) -> None:
    """By the target's label; nobody takes silence for health."""
    desk.refuses = "it answered HTTP 403"
    notifier = desk.notifier()
    notifier.on_record(record("held"), HELD_RUN)
    notifier.leave()
    notifier.flush()
    (entry,) = desk.log()
    assert (entry["target"], entry["sent"], entry["why"]) == ("webhook 1 (example.com)", False, "it answered HTTP 403")
    assert desk.told == [
        "NOT notified: webhook 1 (example.com): it answered HTTP 403 (drfsm failback: a decision is needed)"
    ]
    assert "t0k3n" not in str(entry) + str(desk.told)


def test_a_log_that_cannot_be_written_stops_nothing(desk: Desk) -> None:
    """The notice is sent all the same."""
    (desk.place / LOG).mkdir()
    notifier = desk.notifier()
    notifier.on_record(record("held"), HELD_RUN)
    notifier.leave()
    notifier.flush()
    assert desk.events() == [HELD]
    assert "could not be written" in desk.told[0]


# --- deliveries --------------------------------------------------------------------------------------------

Settled = list[tuple[str, str]]
MESSAGE = Message("id", "a title", "text", "warning", {})


def delivered(transport: Callable[[Target, Message, str], None], settled: Settled, *targets: Target) -> Deliveries:
    """Return deliveries whose outcome is noted."""
    return Deliveries(
        targets or (TARGET,), lambda _message, target, why: settled.append((target.label, why)), transport=transport
    )


def test_a_target_that_hangs_holds_up_no_other_and_nobody_beyond_the_bound() -> None:
    """`send` returns at once; the end waits so long; a late answer changes nothing."""
    released, settled, told = threading.Event(), Settled(), list[str]()
    other = target_of("https://example.org/x", 2)

    def transport(target: Target, _message: Message, _endpoint_url: str) -> None:
        if target is TARGET:
            released.wait(20)

    sending = delivered(transport, settled, TARGET, other)
    began = time.monotonic()
    sending.send(MESSAGE)
    sending.send(evolve(MESSAGE, id="next"))
    assert time.monotonic() - began < 0.5
    sending.flush(told.append, seconds=0.4)
    assert time.monotonic() - began < 2
    released.set()
    assert ("webhook 1 (example.com)", "it has not answered the notice before this one") in settled
    assert ("webhook 1 (example.com)", "no answer in 0 s") in settled
    assert ("webhook 2 (example.org)", "") in settled
    assert told == ["waiting for the targets of notices, 0 s at most"]
    number = len(settled)
    time.sleep(0.05)
    assert len(settled) == number


@pytest.mark.parametrize(
    ("answers", "tries", "why"),
    [
        ([NotTaken("503", again=True), None], 2, ""),
        ([NotTaken("503", again=True)] * 5, 3, "503"),
        ([NotTaken("403")], 1, "403"),
        ([ValueError("t0k3n")], 1, "drfsm could not send (ValueError)"),
        ([SystemExit(7)], 1, "drfsm could not send (SystemExit)"),
    ],
    ids=["taken at the second try", "never taken", "refused for good", "a defect", "a plugin that ends its thread"],
)
def test_a_target_is_tried_again_where_that_may_help(
    monkeypatch: pytest.MonkeyPatch, answers: list[BaseException | None], tries: int, why: str
) -> None:
    """And what became of it is recorded once."""
    monkeypatch.setattr(deliveries, "PAUSES_SECONDS", (0.0, 0.0))
    asked, settled = list[Message](), Settled()

    def transport(_target: Target, message: Message, _endpoint_url: str) -> None:
        asked.append(message)
        if (answer := answers[len(asked) - 1]) is not None:
            raise answer

    sending = delivered(transport, settled)
    sending.send(MESSAGE)
    sending.flush(lambda _line: None)
    assert (len(asked), settled) == (tries, [("webhook 1 (example.com)", why)])
