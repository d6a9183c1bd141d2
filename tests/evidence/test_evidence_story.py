"""`status` tells a tired person what matters and what to type; `replay` tells everything, and no token."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from drfsm.errors import shown
from drfsm.evidence.narrative import tell
from drfsm.evidence.standing import standing
from drfsm.evidence.step_logs import StepFiles
from drfsm.evidence.summary import summarise
from drfsm.evidence.wording import NOBODY, clock_remarks, commands, frozen_in_order, observation, seconds_between
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import NextAction, Reading
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.spec.model import By

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]
ROOT = Path(__file__).parents[2]
VALUES = {"lost": ("yes", "no")}
HOME = "/home/ann/.local/state/drfsm/runs/run-1"


def told(run: "Play", place: str = HOME, *, dead: bool = False) -> str:
    """Return what status prints."""
    return "\n".join(standing(run.state, place, dead=dead))


def test_a_hold_says_why_what_is_frozen_since_when_and_what_to_type(play: Make) -> None:
    """The whole of it, as it is printed: nothing that doesn't help at 3 a.m."""
    run = play(wheel=["turning"], given={"patience": "3"}).start()
    lines = told(run).splitlines()
    assert lines[0].startswith("run-1 is HELD in silenced since 2026-02-27 00:00:0")
    assert lines[1].startswith("  why: await_still: waited 3 s (limit 3 s). await_still refused: wheel_is_still")
    assert lines[2:] == [
        "Frozen now:",
        "  NOBODY CAN PUBLISH, since 2026-02-27 00:00:00Z",
        "  the sluices are shut, since 2026-02-27 00:00:00Z",
        "  the old miller can't ring, since 2026-02-27 00:00:00Z",
        "Next:",
        "  drfsm resume run-1                                go on from exactly here",
        '  drfsm request believe_still run-1 --reason "..."  A person answers for the wheel',
        '  drfsm abort run-1 --reason "..."                  Everything is given back',
    ]


def test_a_hold_says_how_long_it_lasts_who_has_the_lease_and_that_nothing_goes_on_by_itself(play: Make) -> None:
    """Counted until now; without the records and a time, neither is said."""
    run = play(wheel=["turning"], given={"patience": "3"}).start()
    lines = list(standing(run.state, HOME, records=run.written, now="2026-02-27T02:10:00.000000Z"))
    assert re.match(r"run-1 is HELD in silenced since 2026-02-27 00:00:\d\dZ \(2 h 9 min\)\.", lines[0])
    assert "  waits for: a person. Nothing goes on by itself" in lines
    assert any(line.startswith("Lease: ") for line in lines)
    assert "  NOBODY CAN PUBLISH, since 2026-02-27 00:00:00Z (2 h 10 min)" in lines
    assert "  the sluices are shut, since 2026-02-27 00:00:00Z" in lines


def test_a_run_that_waits_says_for_what_and_how_long_at_most(play: Make) -> None:
    """Its last sample is not clear: what is seen, the limit, and what is left of it by now."""
    run = play(wheel=["turning"], given={"patience": "30"}).start()
    number = next(n for n, record in enumerate(run.written) if record.kind == "sampled")
    records = run.written[: number + 1]
    waited = records[-1].body["waited_seconds"]
    later = f"{records[-1].at[:17]}{int(records[-1].at[17:19]) + 10:02d}{records[-1].at[19:]}"
    lines = list(standing(fold(records), HOME, records=records, now=later))
    assert "  waits for: await_still, as wheel is turning" in lines
    left, waited = 30 - waited - 10, waited + 10
    assert f"  that may take: at most {left:.1f} s more (limit 30.0 s, waited {waited:.1f} s)" in lines
    assert not [line for line in standing(fold(records), HOME, dead=True, records=records) if "that may take" in line]


def test_an_abort_is_offered_before_a_site_is_declared_lost() -> None:
    """Whoever types the second line that is offered gives everything back; nobody gives a site up by mistake."""
    ways = [NextAction(action=name, reason="x") for name in ("declare_dr_lost", "skip_soak", "abort")]
    state = RunState(status="held", run_id="r", next_actions=tuple(ways))
    verbs = [typed.split(" r ")[0] for typed, _ in commands(state, "r")]
    assert verbs[1:] == ["drfsm request skip_soak", "drfsm abort", "drfsm request declare_dr_lost"]


@pytest.mark.parametrize("unreachable", ["no", "yes"])
def test_what_is_typed_to_declare_a_site_lost_declares_it(unreachable: str) -> None:
    """Also where it was said before, at the start or by another trigger: nothing offers what its guard refuses."""
    way = NextAction(
        action="declare_primary_lost", reason="x", args=("primary_unreachable", "reason", "fence_primary_role"),
        values={"primary_unreachable": ("no", "yes")},
    )  # fmt: skip
    state = RunState(status="held", run_id="r", next_actions=(way,), inputs={"primary_unreachable": unreachable})
    typed = [typed for typed, _ in commands(state, "r") if "declare" in typed]
    assert typed == [
        'drfsm request declare_primary_lost r --reason "..." --arg primary_unreachable=yes --arg fence_primary_role=...'
    ]


@pytest.mark.parametrize(("status", "is_offered"), [("running", False), ("held", True)])
def test_what_was_declared_is_offered_again_only_to_a_run_that_is_held(status: str, is_offered: bool) -> None:
    """Interrupted past the switch, say, all that is left is to go on; a hold may be for a fence that was lifted."""
    ways = tuple(NextAction(action=name, reason="x") for name in ("declare_primary_lost", "declare_other_lost"))
    state = RunState(status=status, run_id="r", next_actions=ways, args={"declare_primary_lost": {"reason": "gone"}})
    verbs = [typed.split(" r ")[0] for typed, _ in commands(state, "r")]
    assert ("drfsm request declare_primary_lost" in verbs) == is_offered
    assert "drfsm request declare_other_lost" in verbs


def test_an_interrupted_run_names_what_was_begun(play: Make) -> None:
    """Its process is gone in the middle of an action: that one is named, and that resume looks first."""
    text = told(play(fails={"rekey": ["die"]}).start(), dead=True)
    assert "was INTERRUPTED in stilled: no process works on it." in text
    assert "unfinished action: change_keys at 2026-02-27 00:00:06Z (attempt 1)" in text
    assert "drfsm resume run-1" in text


def test_a_run_at_work_says_what_it_is_at(play: Make) -> None:
    """Alive, it wants nothing from anybody."""
    text = told(play(fails={"rekey": ["die"]}).start())
    assert "run-1 is running, in stilled." in text
    assert "working on: change_keys" in text
    assert "Next: wait" in text


def test_an_ended_run_says_how_and_what_stays_frozen(play: Make) -> None:
    """Complete, aborted, refused, dry: one headline each, and no command that moves anything."""
    complete, aborted = play().start(), play(wheel=["turning"]).start().request("abort", "too windy")
    assert "run-1 ended: complete, in handed_over, at" in told(complete)
    assert "drfsm resume" not in told(complete)
    assert "drfsm replay run-1" in told(complete)
    assert "the sluices are shut, since" in told(complete)
    assert "run-1 ended: aborted" in told(aborted)
    assert "why: too windy" in told(aborted)
    assert "not undone, on purpose: the old miller stays silent" in told(aborted)
    assert "token_is_right" in told(play(given={"confirm1": "hm"}).start())
    assert "(DRY RUN: nothing was changed) ended: dry run" in told(play().start(dry_run=True))


def test_an_end_that_was_not_sealed_offers_to_seal_it(play: Make) -> None:
    """The process died between the end and the seal: resume writes it."""
    whole = play().start()
    run = play().start(dies_at=len(whole.records) - 1)
    assert run.state.ended
    assert "drfsm resume run-1" in told(run, dead=True)


def test_a_bundle_elsewhere_is_named_by_its_path(play: Make) -> None:
    """Only a run at home is found by its id; any other is named so that the command can be typed as it is."""
    run = play(wheel=["turning"]).start()
    assert "drfsm resume '/mnt/old bundles/run-1' " in told(run, "/mnt/old bundles/run-1")


def test_no_run_is_no_story() -> None:
    """An empty journal says so."""
    assert list(standing(RunState(), HOME)) == ["No run was started here."]


def test_a_failback_that_is_frozen_says_that_nobody_can_publish(failback_play: Make) -> None:
    """The shipped machine's own rule is what stands out."""
    run = failback_play(divergence="integrity").start()
    assert "  NOBODY CAN PUBLISH, since " in told(run)
    assert 'drfsm request retry_validation run-1 --reason "..."' in told(run)
    assert "CONFIRM" not in told(run)


STORIES: dict[str, tuple[Callable[[Make], "Play"], tuple[str, ...]]] = {
    "attempts, a repair, a wait": (
        lambda play: play(fails={"shut": ["before"]}, given={"sacks": "asked"}).start(),
        (
            "run-1 starts in start (live), by ann on desk",
            "confirm: start -> confirmed (guards held",
            "guard token_is_right holds: confirmation is right",
            "takes the lease, epoch 1",
            "shut_sluices begins: seen -> dammed, attempt 1",
            "shut_sluices failed, attempt 1; nothing was done",
            "repaired by grease before shut_sluices is tried again",
            "await_still waits: not yet, waited",
            'saw wheel=turning {"spokes":"turning"}',
            'result {"sacks":12}',
            "ENDS complete in handed_over",
            "sealed: ",
        ),
    ),
    "a rejection, an abort, its undos": (
        lambda play: play(wheel=["turning"]).start().request("ring").request("abort", "too windy"),
        (
            "HELD in silenced at await_still",
            "ring was rejected in silenced; nothing moved",
            "abort: silenced -> aborting",
            "reason: too windy",
            "undo_newest begins: aborting -> aborting, undo of seen --shut_sluices--> dammed, attempt 1",
            "not undone, on purpose: the old miller stays silent",
        ),
    ),
    "a crash and a person": (
        lambda play: play(fails={"ring": ["die"]}).start().resume().resolve("not_done"),
        ("resumed in owned, by ann on desk", "ann says that ring is not_done: I looked"),
    ),
    "a dry run": (
        lambda play: play(owner={"name": "new"}).start(dry_run=True),
        ("look: confirmed -> seen: WOULD BE REFUSED", "old_owner: owner is new, failed", "ENDS refused in start"),
    ),
}


@pytest.mark.parametrize(("make", "words"), STORIES.values(), ids=STORIES.keys())
def test_the_story_tells_what_happened_in_order(
    make: Callable[[Make], "Play"], words: tuple[str, ...], play: Make
) -> None:
    """Every record is told, in order, with who and what was seen; no token is."""
    run = make(play)
    text = "\n".join(tell(run.written))
    places = [text.find(each) for each in words]
    assert -1 not in places, words[places.index(-1)] + "\n" + text
    assert places == sorted(places)
    assert all(f"#{record.seq} " in text for record in run.written)
    assert run.given["confirm1"] not in text


def test_a_story_of_nonsense_is_told_as_such() -> None:
    """A record that can't be read is told as that, and what it holds can't move the cursor."""
    text = "\n".join(tell([Record(0, "commit", "2026-02-27T00:00:00.000000Z", {"row": 7, "facts": []})]))
    assert "a commit record that can't be read" in text
    record = Record(1, "tail_cut", "2026-02-27T00:00:00.000000Z", {"bytes": 3, "sha256": "\x1b[2J\ud800"})
    assert "\\x1b[2J\\ud800" in "\n".join(tell([record]))


def test_each_step_has_a_log_in_order_of_first_appearance(play: Make) -> None:
    """One file a step, numbered, with what was seen, tried and done; no token is in any."""
    run = play(fails={"shut": ["before"]}).start()
    files: dict[str, bytes] = {}
    step_files = StepFiles()
    for record in run.written:
        files |= step_files.add(record)
    assert list(files)[:4] == ["01-confirm.log", "02-look.log", "03-shut_sluices.log", "04-silence.log"]
    shut = files["03-shut_sluices.log"].decode()
    assert all(word in shut for word in ("attempt 1", "shut is stuck", "repaired by grease", "sluices=shut"))
    assert not any(run.given["confirm1"].encode() in each for each in files.values())


def test_step_logs_are_the_same_whoever_writes_them(play: Make) -> None:
    """Fed all records again, by the same or by another process, every log comes out byte for byte."""
    run = play(wheel=["turning"]).start().request("abort")
    once, again = StepFiles(), StepFiles()
    files = {name: body for record in run.written for name, body in once.add(record).items()}
    assert {name: body for record in run.written for name, body in once.add(record).items()} == files
    assert {name: body for record in run.written for name, body in again.add(record).items()} == files


def test_a_step_of_a_forged_journal_names_no_other_directory() -> None:
    """A trigger is written by whoever wrote the journal: as a file name it stays one."""
    body = {"row": "a --../../etc/cron--> b", "action": "x", "result": None}
    (name,) = StepFiles().add(Record(0, "repaired", "2026-02-27T00:00:00.000000Z", body))
    assert name == "01-_etc_cron.log"


def test_summary_and_story_load_nothing_heavy() -> None:
    """`drfsm status` stands on them: no YAML, no transitions, no structlog, no jsonschema, no client."""
    program = (
        "import sys, drfsm.evidence.summary, drfsm.evidence.standing, drfsm.evidence.step_logs\n"
        "heavy = {'yaml', 'transitions', 'structlog', 'jsonschema', 'rich', 'boto3', 'kubernetes'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_past_the_point_of_no_return_those_words_are_said_and_no_abort_is_offered(play: Make) -> None:
    """From the intent on, whoever looks: at a held run, and at one whose process is gone in the middle of it."""
    for held in (play(fails={"sign": ["die"]}).start(), play(fails={"ring": ["before", "before"]}).start()):
        text = told(held, dead=True)
        assert "past the point of no return: the only way is forward, with drfsm resume; an abort is refused" in text
        assert "drfsm abort" not in text
        assert "drfsm resume run-1" in text
    assert "point of no return: " not in told(play(fails={"rekey": ["die"]}).start(), dead=True)


def test_a_waiting_approval_is_offered_first_with_the_digest_of_the_plan() -> None:
    """It is what the run waits for; a run that goes on without it would only wait again."""
    plan = Reading(value="none", seen={"sha256": "ab" * 32}, why="")
    ways = (NextAction(action="resume", reason="x"), NextAction(action="approve", reason="A person says yes"))
    state = RunState(run_id="run-1", status="held", state="waiting", facts={"approval": plan}, next_actions=ways)
    typed = [command for command, _ in commands(state, "run-1")]
    assert typed == [
        f"drfsm approve run-1 --ticket ... --plan {'ab' * 32}",
        "drfsm approve run-1 --ticket ...",
        "drfsm resume run-1",
    ]
    approved = evolve(state, facts={"approval": evolve(plan, value="current")}, args={"approve": {"ticket": "CHG-1"}})
    assert [command for command, _ in commands(approved, "run-1")] == [typed[2], typed[1]]
    unread = evolve(state, facts={})
    assert [command for command, _ in commands(unread, "run-1")] == typed[1:]


def test_the_legal_values_of_an_argument_are_shown() -> None:
    """Nobody has to guess what `--arg` takes."""
    way = NextAction(action="mark_lost", reason="It is gone", args=("lost", "reason"), values=VALUES)
    state = RunState(run_id="run-1", status="held", state="waiting", next_actions=(way,))
    typed, reason = list(commands(state, "run-1"))[1]
    assert typed == 'drfsm request mark_lost run-1 --reason "..." --arg lost=...'
    assert reason == "It is gone (lost is yes or no)"


@pytest.mark.parametrize(("now", "value"), [("no", "yes"), ("yes", "no"), ("perhaps", "..."), (None, "...")])
def test_the_one_value_that_an_argument_does_not_have_yet_is_in_the_command(now: str | None, value: str) -> None:
    """A row that has one other value to set has nothing else to say: the command is ready to paste."""
    way = NextAction(action="mark_lost", reason="It is gone", args=("lost", "reason"), values=VALUES)
    inputs = {} if now is None else {"lost": now}
    state = RunState(run_id="run-1", status="held", state="waiting", next_actions=(way,), inputs=inputs)
    assert list(commands(state, "run-1"))[1][0].endswith(f" --arg lost={value}")


def test_what_a_person_accepted_is_said_loud_as_long_as_it_is_so() -> None:
    """A success of a row that asks for health must not be read as health."""
    seen = {"wrong": 1, "in_words": "node n is not ready", "accepted": "the primary is not healthy: one is enough"}
    state = RunState(run_id="run-1", status="held", state="assessed", facts={"primary_health": accepted(seen)})
    line = "  ACCEPTED: the primary is not healthy: one is enough (seen: node n is not ready)"
    assert line in standing(state, HOME)
    state = evolve(state, facts={"image_drift": accepted({"image": "a"})})
    assert '  ACCEPTED: image drift (seen: {"image": "a"})' in standing(state, HOME)
    state = evolve(state, facts={"primary_health": Reading(value="healthy", seen={}, why="")})
    assert "ACCEPTED" not in "\n".join(standing(state, HOME))


def accepted(seen: dict[str, object]) -> Reading:
    """Return the reading of a fact that a person accepted."""
    return Reading(value="accepted", seen=seen, why="")


DONE = re.compile(r"[Aa] person \w+(ed|id)\b|^The \w+ (could not|failed)|^(DR|The primary) published")


@pytest.mark.parametrize("machine", ["drill", "promote", "failback"])
def test_what_a_person_may_ask_for_says_what_it_does(machine: str) -> None:
    """`status` offers the row before anybody asked for it: no word of it claims that something has happened."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
    reasons = {row.reason for row in spec.rows if row.by is By.OPERATOR}
    assert len(reasons) > 1
    assert [reason for reason in reasons if DONE.search(reason)] == []


def test_a_site_of_ones_own_costs_nothing_and_nothing_is_said_to_be_left_out() -> None:
    """`drfsm validate` brings up no machine and was asked for no promotion: no line of its way says otherwise."""
    spec = load_machine((shipped("machines") / "drill.yaml").read_bytes(), source="drill")
    validate = {"site": "given", "teardown": "false", "promote": "none", "auto_promote": "false",
                "allow_promote_bypass": "false"}  # fmt: skip
    for state in ("validated", "promotion_skipped", "site_left", "phase_failed", "site_left_after_failure"):
        (row,) = spec.rows_from(state, validate, By.RUNNER)
        assert not re.search(r"LEFT STANDING|NOT PROMOTED|machines cost|until now", row.reason), row.reason
    asked = [row.reason for row in spec.rows_from("validated", {**validate, "auto_promote": "true"}, By.RUNNER)]
    assert ["NOT PROMOTED" in reason for reason in asked] == [True]
    left = [row.reason for row in spec.rows_from("promotion_skipped", {**validate, "site": "new"}, By.RUNNER)]
    assert ["LEFT STANDING" in reason for reason in left] == [True]


def test_that_nobody_can_publish_is_said_first_and_once() -> None:
    """A machine may have a rule for it as such, and one for it beside a fence."""
    fenced, suspended = f"{NOBODY}, the primary being fenced", "a site's schedules are suspended"
    since = {suspended: "t1", fenced: "t2", NOBODY: "t3"}
    assert frozen_in_order(since) == [NOBODY, suspended]
    assert frozen_in_order({suspended: "t1", fenced: "t2"}) == [fenced, suspended]


def test_a_hold_for_pointers_names_their_runs() -> None:
    """Which run each names, not their JSON; what is no pointer stays as it was seen."""
    pointers = {"p/state/last_success.json": {"run_id": "r1", "providers": ["a"]}, "p/state/x/last_success.json": None}
    assert shown(pointers) == "p/state/last_success.json names r1, p/state/x/last_success.json is not there"
    for other in ({}, {"run_id": "r1"}, {"p/state/last_success.json": 5}, {"a": None}):
        assert shown(other) == json.dumps(other)


def test_an_observation_too_long_for_its_line_is_told_in_its_own_words() -> None:
    """Half a JSON text says nothing."""
    seen = {"many": list(range(100)), "in_words": "3 differences of content in 2 files"}
    assert observation(seen, 100) == "3 differences of content in 2 files"
    assert observation({"few": 1, "in_words": "x"}, 100) == '{"few":1,"in_words":"x"}'


def test_a_clock_that_was_set_back_is_remarked_and_no_duration_is_negative(play: Make) -> None:
    """The chain orders the records; times that go back are a remark of `replay`, and 0 where they are subtracted."""
    records = list(play().start().written)
    assert list(clock_remarks(records)) == []
    at = len(records) // 2
    records[at] = evolve(records[at], at="2026-02-26T23:00:00.000000Z")
    (remark,) = clock_remarks(records)
    assert f"record #{records[at].seq} is 1 h 0 min earlier than #{records[at - 1].seq}" in remark
    state = fold(records)
    summary = summarise(state, records, head="0" * 64)
    assert min(each["seconds"] for each in summary["state_durations"]) >= 0
    assert seconds_between(records[at - 1].at, records[at].at) == 0


def test_a_complete_failback_says_which_run_is_canonical_and_what_is_meant_to_stay_frozen() -> None:
    """Nobody has to wonder whether DR was forgotten."""
    known = {"owner": "primary", "global_pointer": "primary", "primary_publishing": "on", "primary_schedules": "on"}
    state = RunState(
        run_id="run-1", status="complete", state="complete", inputs={"primary_run_id": "2026-02-27T00:22:29Z"},
        started_at="2026-02-27T00:00:00Z", ended_at="2026-02-27T01:00:00Z", sealed=True, known=known,
        frozen_since={"DR's schedules are suspended": "2026-02-27T00:30:00Z"},
    )  # fmt: skip
    lines = "\n".join(standing(state, HOME)).splitlines()
    publishes = "The primary owns the pointers; its publishing is on, its schedules are on."
    assert lines[1] == f"Canonical: run 2026-02-27T00:22:29Z. {publishes}"
    assert lines[2] == "Left frozen at its end (2026-02-27 01:00:00Z), as this procedure means it:"
    assert lines[3] == "  DR's schedules are suspended, since 2026-02-27 00:30:00Z"
