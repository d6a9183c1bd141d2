"""The summary is true at every moment: what is known is there, what isn't says why, and no token is in it."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from drfsm.evidence.narrative import tell
from drfsm.evidence.standing import standing
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.journal import Record, RunState, fold

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]


def test_a_complete_run_is_told_with_its_phases_attempts_and_receipt(play: Make) -> None:
    """Who, where, how long, how often, and what the declared receipt asks for."""
    told = play(fails={"shut": ["before"]}, given={"sacks": "asked"}).start().summary()
    assert (told["status"], told["state"], told["operators"], told["hosts"]) == (
        "complete", "handed_over", ["ann"], ["desk"],
    )  # fmt: skip
    assert told["duration_seconds"] > 0
    assert [each["trigger"] for each in told["state_durations"]][:3] == ["confirm", "look", "shut_sluices"]
    assert all(each["seconds"] >= 0 for each in told["state_durations"])
    (shut,) = [each for each in told["attempts"] if "shut_sluices" in each["row"]]
    assert (shut["begun"], shut["failed"], shut["repaired"], shut["last_error"]) == (2, 1, 1, "shut is stuck")
    receipt = told["receipt"]
    assert receipt["miller"] == "Jo"
    assert receipt["sluices_before"] == {"upper": "open", "lower": "open"}
    assert (receipt["first_sluice"], receipt["wheel"], receipt["sacks"]) == ("shut", "still", 12)
    assert receipt["signed_at"].startswith("2026-02-27T")
    assert receipt["still"] == {"spokes": "still"}
    assert receipt["aborted_because"] == {"none": "the run ended complete without abort"}
    assert told["journal"]["sealed"] is True


def test_what_is_not_known_yet_says_why(play: Make) -> None:
    """A held run's receipt has no value that was made up, and no null."""
    told = play(wheel=["turning"]).start().summary()
    assert told["receipt"]["signed_at"] == {"unknown": "hand_over has not been reached"}
    assert told["receipt"]["still"]["unknown"] == "await_still has not been reached; change_keys has not been reached"
    assert told["ended_at"] == {"unknown": "the run has not ended"}
    assert told["failed_stage"] == "await_still"
    assert "waited" in told["reason"]


def test_a_dry_run_knows_nothing_of_what_was_not_done(play: Make) -> None:
    """Its forecast and its findings stand there; its receipt says that it was a dry run."""
    told = play(owner={"name": "new"}).start(dry_run=True).summary()
    assert told["receipt"]["signed_at"] == {"none": "this was a dry run: hand_over was not done"}
    assert told["forecast"]["steps"][-1] == {"trigger": "look", "to": "seen", "outcome": "refused"}
    assert len(told["forecast"]["findings"]) == 1
    assert told["state_durations"] == []


def test_nobody_can_publish_is_told_since_when(play: Make) -> None:
    """The machine's rule says when nobody can publish; the summary says since when that is so, or that it isn't."""
    run = play(wheel=["turning"]).start()
    since = run.summary()["nobody_can_publish_since"]
    assert since == next(each.at for each in run.written if "nobody can publish" in each.body.get("frozen", []))
    assert {"what": "nobody can publish", "since": since} in run.summary()["frozen"]
    assert "none" in play().start().summary()["nobody_can_publish_since"]


def test_a_dead_process_never_leaves_running_behind(play: Make) -> None:
    """A run whose process is gone is interrupted, its open action is named, and the way on is one command."""
    run = play(fails={"rekey": ["die"]}).start()
    assert run.summary()["status"] == "running"
    told = run.summary(dead=True)
    assert told["status"] == "interrupted"
    assert told["open_intent"]["trigger"] == "change_keys"
    assert told["ways_on"][0] == {
        "type": "drfsm resume run-1",
        "because": "check whether change_keys was done, then go on",
    }
    abort = next(each for each in told["ways_on"] if each["type"].startswith("drfsm abort"))
    assert abort["type"] == 'drfsm abort run-1 --reason "..."'
    assert "refused past the point of no return" in abort["because"]


def test_a_hold_offers_exactly_what_can_be_typed(play: Make) -> None:
    """Resume, abort, and the machine's own commands, each as it is typed."""
    told = play(wheel=["turning"]).start().summary()
    assert [each["type"] for each in told["ways_on"]] == [
        "drfsm resume run-1",
        'drfsm request believe_still run-1 --reason "..."',
        'drfsm abort run-1 --reason "..."',
    ]


def test_what_was_kept_and_who_decided_is_told(play: Make) -> None:
    """An abort's summary names the person, the reason, and what was not given back, on purpose or by waiver."""
    run = play(wheel=["turning"], fails={"reopen": ["before"] * 2}).start().request("abort", "too windy")
    told = run.request("waive_undo", "the sluice is gone", operator="bea").summary()
    assert told["status"] == "aborted"
    assert told["kept"] == [
        "the old miller stays silent",
        "shut_sluices was not given back: the sluice is gone",
    ]
    assert [(each["what"], each["operator"], each["reason"]) for each in told["decisions"]] == [
        ("abort", "ann", "too windy"),
        ("waive_undo", "bea", "the sluice is gone"),
    ]
    assert told["operators"] == ["ann", "bea"]
    assert told["receipt"]["aborted_because"] == "too windy"


def test_no_token_and_no_credential_is_in_it(failback_play: Make) -> None:
    """Neither confirmation is shown, nor what stands before the @ of an address; empty inputs say nothing."""
    told = failback_play().start().summary()
    raw = summary_bytes(told).decode()
    assert "CONFIRM-" not in raw
    assert "confirm1" not in raw
    assert "hidden" not in raw
    assert told["inputs"]["endpoint_url"] == "https://s3.example"
    assert "profile" not in told["inputs"]
    assert json.loads(raw) == told


def test_a_journal_without_a_run_has_a_summary_too() -> None:
    """Nothing is known, and that is what it says."""
    told = summarise(RunState(), (), head="0" * 64)
    assert told["status"] == "none"
    assert "unknown" in told["state_since"]
    assert told["receipt"] == {}


ANN = {"os_user": {"uid": 7, "name": "ada", "host": "desk"}}
BEA = {
    "os_user": {"uid": 8, "name": "", "host": "lap"},
    "cloud_caller": "arn:aws:sts::1:assumed-role/ops/bea",
    "cluster_users": {"dr": "system:admin", "primary": {"unknown": "primary does not answer"}},
}


def test_what_is_proven_of_each_person_stands_in_records_summary_status_and_story(play: Make) -> None:
    """Of the starter, every resume and every decision, each their own; what nobody asked or told says so."""
    run = play(wheel=["turning"], given={"patience": "3"}).start(proven=ANN).resume(operator="bea", proven=BEA)
    forged = {"proven": {"cloud_caller": "arn:aws:iam::1:root"}}
    run.request("believe_still", given=forged, operator="bob", proven=ANN)  # type: ignore[arg-type]  # no text at all
    actors = run.summary()["actors"]
    assert [(each["did"], each["operator"]) for each in actors] == [
        ("started", "ann"), ("resumed", "bea"), ("believe_still", "bob"),
    ]  # fmt: skip
    assert [each["proven"]["os_user"]["uid"] for each in actors] == [7, 8, 7]
    assert actors[1]["proven"] == BEA
    assert "unknown" in actors[2]["proven"]["cloud_caller"]  # a proof is nobody's own word
    status = "\n".join(standing(run.state, "run-1"))
    bea = "OS user without a name (uid 8) on lap; cloud arn:aws:sts::1:assumed-role/ops/bea; dr as system:admin"
    assert "  started by ann at 2026-02-27 00:00:00Z: OS user ada (uid 7) on desk" in status
    assert f"  resumed by bea at 2026-02-27 00:00:0{actors[1]['at'][18]}Z: {bea}" in status
    story = "\n".join(tell(run.written, brief=True))
    assert story.count("proven: OS user ada (uid 7) on desk") == 2
    assert f"proven: {bea}" in story
    assert run.audit().ok


def test_a_run_of_a_version_that_proved_nothing_says_so(play: Make) -> None:
    """Records without ``proven`` are told as that: nothing is made up, and status has no empty lines of it."""
    run = play(wheel=["turning"]).start()
    (actor,) = run.summary()["actors"]
    assert all("recorded names only" in each["unknown"] for each in actor["proven"].values())
    assert "Who:" not in "\n".join(standing(run.state, "run-1"))


def test_what_an_action_learns_of_its_process_is_told_of_whoever_ran_it() -> None:
    """A result's ``proven`` fills in what its actor lacks, and replaces nothing; nonsense there is left alone."""
    at = "2026-02-27T00:00:00.000000Z"
    started = {
        "run_id": "r", "machine": "m", "machine_sha256": "0", "version": "1", "inputs": {}, "operator": "ann",
        "host": "h", "dry_run": False, "scope": "live", "state": "a", "proven": {"cluster_users": {"dr": "ann"}},
    }  # fmt: skip
    commit = {
        "row": "a --b--> c", "trigger": "b", "from": "a", "to": "c", "by": "runner", "how": "acted", "guards": [],
        "facts": {}, "frozen": [], "ways": [], "because": "",
    }  # fmt: skip
    for learnt, wanted in (
        ({"cloud_caller": "arn", "cluster_users": {"dr": "eve", "primary": "ann"}}, ("arn", ["ann", "ann"])),
        ("nonsense", (None, ["ann"])),
    ):
        records = [
            Record(0, "run_started", at, started), Record(1, "commit", at, {**commit, "result": {"proven": learnt}}),
        ]  # fmt: skip
        proven = fold(records).actors[0].proven
        assert (proven.get("cloud_caller"), sorted(proven["cluster_users"].values())) == wanted
