"""What the audit finds in each forged log, line by line: the committed transcript tests/data/transcripts/forgeries.txt.

The forger knows the format: numbers, chain and seal are right in every log here. ``DRFSM_REGENERATE=1`` writes the
transcript anew; explain the diff before you commit it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.evidence.forger import (
    ABORT,
    OPEN,
    SHUT,
    Draft,
    Edit,
    Make,
    aborted,
    added,
    altered,
    both,
    complete,
    dry,
    fact,
    forged_commit,
    found,
    given_up,
    guard,
    held,
    place,
    superseded,
    swapped,
    the,
    waited_for,
    without,
)

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "forgeries.txt"

FORGERIES: dict[str, tuple[Callable[[Make], "Play"], Edit, str, str]] = {
    # what was seen
    "a fact's value": (complete, fact("commit", "look", "owner", value="new"), "judge", "owner is recorded as new"),
    "what was seen of a fact": (
        complete,
        fact("commit", "await_still", "wheel", also_guard=True, seen={"spokes": "turning"}),
        "judge",
        "but what was seen says turning",
    ),
    "what was seen by a guard only": (
        complete,
        guard("commit", "look", seen={"name": "old", "really": True}),
        "guard",
        "disagree about owner",
    ),
    "something that can't have been seen": (
        complete,
        fact("commit", "look", "owner", also_guard=True, seen=["old"]),
        "judge",
        "can't be judged (TypeError",
    ),
    "a value that the fact doesn't have": (complete, fact("commit", "look", "owner", value="ours"), "fact", "'ours'"),
    "a fact that nobody declared": (
        complete,
        lambda draft: the(draft, "commit", "look")["facts"].update(luck={"value": "good", "seen": 1}),
        "fact",
        "no fact luck",
    ),
    "a reading said to be unknown": (
        complete,
        fact("commit", "look", "owner", value=None),
        "judge",
        "owner is recorded as unknown, but what was seen says old",
    ),
    # guards
    "a guard taken out": (
        complete,
        altered("commit", "look", guards=[], facts={}),
        "guard",
        "the guard old_owner over owner is not on record",
    ),
    "a guard taken out of a beginning": (
        complete,
        both(lambda draft: the(draft, "intent", "hand_over")["guards"].pop(0)),
        "guard",
        "the guard wheel_is_still over wheel is not on record",
    ),
    "a guard that did not hold": (
        complete,
        both(guard("commit", "look", holds=False)),
        "guard",
        "went on though old_owner does not hold",
    ),
    "a guard that holds against what it needs": (
        complete,
        fact("commit", "look", "owner", also_guard=True, value="new", seen={"name": "Jo"}),
        "guard",
        "owner is new, needed old",
    ),
    "a guard made easier": (
        complete,
        guard("commit", "look", needed=["old", "new"]),
        "guard",
        "recorded other than declared",
    ),
    "a guard twice": (
        complete,
        lambda draft: the(draft, "commit", "look").update(guards=the(draft, "commit", "look")["guards"] * 2),
        "guard",
        "twice",
    ),
    "other guards at the end than at the beginning": (
        complete,
        altered("commit", "hand_over", guards=[]),
        "guard",
        "not those that it began with",
    ),
    # rows and order
    "another state reached": (complete, altered("commit", "look", to="dammed"), "row", "but names the row"),
    "another row": (
        complete,
        altered("commit", "look", to="owned", row="confirmed --look--> owned"),
        "legality",
        "is no declared row",
    ),
    "a row that the inputs don't select": (
        complete,
        altered("commit", "change_keys", row="counted --change_keys--> keyed", **{"from": "counted"}),
        "legality",
        "but the run stood in stilled",
    ),
    "another order": (complete, swapped(("commit", "confirm"), ("commit", "look")), "legality", "but the run stood in"),
    "a step left out": (complete, without("commit", "look"), "legality", "shut_sluices leaves seen"),
    "a step done twice": (
        complete,
        added(("commit", "look"), lambda draft: forged_commit(draft, "look")),
        "legality",
        "look leaves confirmed, but the run stood in seen",
    ),
    "another reason": (
        complete,
        altered("commit", "look", because="It seemed right"),
        "row",
        "reason is recorded other",
    ),
    "somebody else fired it": (
        complete,
        altered("commit", "look", by="operator"),
        "legality",
        "is fired by the runner",
    ),
    "a person's command without the person": (
        aborted,
        altered("commit", "abort", args={"reason": "hm"}),
        "legality",
        "no person is named",
    ),
    "another effect": (complete, altered("intent", "ring", effect="idempotent"), "row", "has effect once"),
    "a way on that isn't there": (
        complete,
        lambda draft: the(draft, "commit", "look")["ways"].append({"do": "ring", "because": "why not"}),
        "row",
        "it offers ring",
    ),
    # begun and done
    "done without having begun": (complete, without("intent", "hand_over"), "intent", "is committed without an intent"),
    "done without having begun, said to be judged": (
        complete,
        both(without("intent", "hand_over"), altered("commit", "hand_over", how="judged")),
        "intent",
        "is committed without an intent",
    ),
    "done without having begun, said to be found": (
        complete,
        both(without("intent", "hand_over"), altered("commit", "hand_over", how="found", case="C", guards=[])),
        "intent",
        "is committed as found without an intent",
    ),
    "done, as nobody resolved": (
        complete,
        altered("commit", "ring", how="resolved", by="operator"),
        "recovery",
        "nobody said that it was done",
    ),
    "done in a way that there isn't": (
        complete,
        altered("commit", "ring", how="hoped"),
        "row",
        "there is no such word",
    ),
    "done, but not so": (
        complete,
        fact("commit", "shut_sluices", "sluices", value="open", seen=OPEN),
        "postcondition",
        "sluices is open, not shut",
    ),
    "done, and not read": (
        complete,
        altered("commit", "shut_sluices", facts={}),
        "postcondition",
        "sluices is not read, not shut",
    ),
    "found by another case": (found, altered("commit", "change_keys", case="A"), "recovery", "the recovery table"),
    "begun once more than declared": (
        held,
        both(without("held"), without("lease_acquired"), without("lease_acquired"), without("resumed")),
        "attempts",
        "more often than its 3 declared attempts",
    ),
    "another attempt's number": (complete, altered("intent", "ring", attempt=2), "attempts", "where 1 is due"),
    "failed without having begun": (
        complete,
        without("intent", "shut_sluices"),
        "recovery",
        "failed without an intent",
    ),
    "half done, said not to be done": (
        superseded,
        altered("failed", "shut_sluices", verdict="not_done"),
        "recovery",
        "is not as before",
    ),
    "what was open passed over in silence": (
        superseded,
        lambda draft: the(draft, "commit", "abort").pop("supersedes"),
        "recovery",
        "open was seen --shut_sluices--> dammed",
    ),
    "a repair that nobody declared": (
        complete,
        altered("repaired", "", action="kick"),
        "legality",
        "kick is no repair",
    ),
    # waits
    "a wait that was not": (complete, without("sampled", every=True), "wait", "without a sample"),
    "a wait that was cut short": (
        complete,
        lambda draft: draft.remove(place(draft, "sampled", nth=1)),
        "wait",
        "after 1 clear samples of 2 in a row",
    ),
    "a sample said to be clear": (complete, altered("sampled", "", holds=True), "wait", "the sample is not clear"),
    "a sample of no wait": (
        complete,
        altered("sampled", "", row="confirmed --look--> seen"),
        "legality",
        "is not waited for",
    ),
    # holds, leases, the end
    "a hold that nobody ended": (held, both(without("resumed")), "legality", "nobody has resumed it"),
    "an epoch that does not rise": (
        held,
        lambda draft: the(draft, "lease_acquired", nth=1).update(epoch=1),
        "lease",
        "epoch 1 does not rise above 1",
    ),
    "no lease": (complete, without("lease_acquired"), "lease", "begins without a lease"),
    "another end": (aborted, altered("ended", "", status="complete"), "legality", "is aborted, not complete"),
    "an end elsewhere": (complete, altered("ended", "", state="rung"), "legality", "not handed_over"),
    "no end": (complete, without("ended"), "seal", "before the run has ended"),
    "a move after the end": (
        complete,
        added(("ended", ""), lambda draft: forged_commit(draft, "finish")),
        "order",
        "a commit record stands after the end",
    ),
    "a move after the seal": (
        complete,
        lambda draft: draft.append(forged_commit(draft, "finish")),
        "order",
        "after the seal",
    ),
    "a second run": (complete, added(("commit", "look"), lambda draft: draft[0]), "order", "a second run begins"),
    "no beginning": (complete, without("run_started"), "order", "does not begin with run_started"),
    "something else frozen": (
        complete,
        altered("commit", "ring", frozen=[]),
        "frozen",
        "recorded as frozen: nothing",
    ),
    "frozen at the end, though not": (
        aborted,
        lambda draft: the(draft, "ended")["frozen"].append("the moon"),
        "frozen",
        "the moon",
    ),
    # undo
    "the undo forgotten": (
        aborted,
        lambda draft: the(draft, "intent", "shut_sluices").pop("undo"),
        "undo",
        "its undo is",
    ),
    "another image to give back": (
        aborted,
        lambda draft: the(draft, "intent", "shut_sluices").update(before={"sluices": SHUT}),
        "undo",
        "the snapshot of sluices is not what was seen",
    ),
    "one thing not undone": (
        aborted,
        both(without("intent", "undo_newest"), without("commit", "undo_newest")),
        "undo",
        "but the newest thing left is stilled --change_keys--> keyed",
    ),
    "nothing undone": (
        aborted,
        both(without("intent", "undo_newest", every=True), without("commit", "undo_newest", every=True)),
        "undo",
        "finish_abort comes before these are undone: shut_sluices, change_keys",
    ),
    "undone, but not as it was": (
        aborted,
        lambda draft: the(draft, "commit", "undo_newest", nth=1)["facts"]["sluices"].update(
            seen={"upper": "open", "lower": "shut"}, value="mixed"
        ),
        "postcondition",
        "shut_sluices is not undone",
    ),
    "kept in silence": (aborted, altered("ended", "", kept=[]), "undo", "what was kept on purpose differs"),
    "given back past the point of no return": (
        complete,
        added(("intent", "hand_over"), lambda draft: {**draft[-1], "kind": "commit", "body": ABORT}),
        "undo",
        "past the point of no return",
    ),
    # what may land late
    "a request that nobody shut out": (
        given_up,
        without("settled"),
        "late",
        "nothing shows that shut_sluices can't take effect late",
    ),
    "a request that nobody waited for": (
        waited_for,
        without("settled"),
        "late",
        "nothing shows that change_keys can't take effect late",
    ),
    "a request that nobody waited for, of a run said to be of a version that settled nothing": (
        waited_for,
        both(without("settled"), altered("run_started", "", version="0.3.0")),
        "late",
        "nothing shows that change_keys can't take effect late",
    ),
    "a request settled that was never made": (
        waited_for,
        lambda draft: the(draft, "settled").update(trigger="shut_sluices", row="seen --shut_sluices--> dammed"),
        "recovery",
        "no request of it can be on its way",
    ),
    # invariants
    "what must never be": (
        complete,
        lambda draft: the(draft, "commit", "change_keys")["facts"].update(
            mute={"value": "no", "seen": {"miller": False}}
        ),
        "never",
        "two_millers in keyed: The old miller could still ring",
    ),
    # the declaration, the inputs
    "another declaration": (
        complete,
        altered("run_started", "", machine_sha256="0" * 64),
        "digest",
        "pinned to the declaration 0000",
    ),
    "another machine": (complete, altered("run_started", "", machine="windmill"), "digest", "the run is of windmill"),
    "an input left out": (
        complete,
        lambda draft: the(draft, "run_started")["inputs"].pop("miller"),
        "inputs",
        "input miller is missing",
    ),
    "an input that the machine doesn't allow": (
        complete,
        lambda draft: the(draft, "run_started")["inputs"].update(sacks="some"),
        "inputs",
        "none of asked, none",
    ),
    "another beginning": (complete, altered("run_started", "", state="keyed"), "legality", "begins in keyed"),
    "no scope": (complete, altered("run_started", "", scope="holiday"), "shape", "'holiday'"),
    # dry runs
    "something done in a dry run": (
        dry,
        added(("forecast", "confirm"), lambda draft: {**draft[0], "kind": "commit", "body": {**ABORT, "ways": []}}),
        "dry_run",
        "a dry run has commit records",
    ),
    "a dry run that passed": (
        dry,
        lambda draft: the(draft, "forecast", "look")["guards"][0].update(outcome="passed", holds=True),
        "guard",
        "is recorded as passed, but is not",
    ),
    "a dry run that did not look": (
        dry,
        lambda draft: the(draft, "forecast", "look")["guards"][0].update(outcome="not_evaluated", holds=None),
        "guard",
        "is recorded as not_evaluated, but is not",
    ),
    "a dry run's finding left out": (dry, altered("ended", "", findings=[]), "dry_run", "0 findings of 1"),
    "a dry run said to be real": (
        dry,
        altered("run_started", "", dry_run=False),
        "dry_run",
        "in a run that is no dry run",
    ),
    "a dry run said to pass": (dry, altered("ended", "", status="dry_run"), "dry_run", "ends refused, not dry_run"),
    "a dry run cut short": (dry, without("forecast", "look"), "dry_run", "ends before look was forecast"),
    # nonsense
    "a record of the wrong shape": (complete, altered("commit", "look", facts=[]), "shape", "facts of a commit record"),
    "a bomb of brackets": (
        complete,
        lambda draft: the(draft, "commit", "look")["facts"]["owner"].update(seen=json.loads("[" * 400 + "]" * 400)),
        "shape",
        "nested deeper",
    ),
    "a time that is none": (complete, lambda draft: draft[3].update(at="noon"), "shape", "'noon' is no UTC time"),
}


def settles_a_predecessor(settled: dict[str, Any], *, late: bool = False) -> Edit:
    """Return the edit by which a run took its lease from one that left something open, and settled that."""

    def edit(draft: Draft) -> None:
        the(draft, "lease_acquired")["taken_from"] = {"run_id": "r0", "why": "ended", "left_open": ["go"]}
        body = {"run_id": "r0", "left_open": ["go"], "how": "touched", "because": "shut out", "result": None, **settled}
        after = place(draft, "intent", "shut_sluices") if late else place(draft, "lease_acquired")
        draft.insert(draft.index(after) + 1, {"kind": "predecessor_settled", "at": after["at"], "body": body})

    return edit


def refused(play: Make) -> "Play":
    """Return a run that is held, and of which a person asked something that is not legal."""
    return play(wheel=["turning"]).start().request("ring")


def resolved(play: Make) -> "Play":
    """Return a run whose action may be done once, and was settled by a person."""
    run = play(fails={"ring": ["blind"]}).start()
    run.resolve("done")
    run.world["lost"].clear()
    return run.resume()


def waived(play: Make) -> "Play":
    """Return a run whose abort could not undo one thing, which a person waived."""
    return play(wheel=["turning"], fails={"reopen": ["before"] * 2}).start().request("abort").request("waive_undo")


def counted(play: Make) -> "Play":
    """Return a run that takes the row which its inputs select."""
    return play(given={"sacks": "asked"}).start()


def well_dry(play: Make) -> "Play":
    """Return a dry run that finds nothing."""
    return play().start(dry_run=True)


def given_up_by_failure(play: Make) -> "Play":
    """Return a run that a failure's row ended."""
    return play(owner={"name": "new"}).start()


def passed_by_a_person(play: Make) -> "Play":
    """Return a run whose wait a person answered for."""
    return play(wheel=["turning"] * 20 + ["still"], given={"patience": "3"}).start().request("believe_still")


def record(kind: str, after: tuple[str, str], /, **body: Any) -> Edit:
    """Return the edit that puts a record of a kind behind another one."""
    return lambda draft: draft.insert(
        draft.index(place(draft, *after)) + 1, {"kind": kind, "at": place(draft, *after)["at"], "body": body}
    )


ROW = "seen --shut_sluices--> dammed"
LATE = {"row": ROW, "trigger": "shut_sluices", "how": "touched", "done": False, "because": "shut out", "result": None}
READ = {"sluices": {"value": "shut", "seen": SHUT}}
ONLY_FOR_REAL: dict[str, dict[str, Any]] = {
    "sampled": {"row": ROW, "state": "start", "facts": {}, "holds": True},
    "failed": {"row": ROW, "trigger": "shut_sluices", "state": "seen", "attempt": 1, "error": "x", "verdict": "mixed"},
    "repaired": {"row": ROW, "action": "grease", "result": None},
    "resolved": {"row": ROW, "outcome": "done", "reason": "x", "operator": "ann"},
    "settled": LATE,
    "predecessor_settled": {"run_id": "r", "left_open": [], "how": "touched", "because": "x", "result": None},
}
"""Records that a dry run can't have, but for an intent and a commit."""

MORE: dict[str, tuple[Callable[[Make], "Play"], Edit]] = {
    # where the run stood
    "a rejection elsewhere": (refused, altered("rejected", "", state="rung")),
    "a resume elsewhere": (held, altered("resumed", "", state="rung")),
    "a hold elsewhere": (held, altered("held", "", state="rung")),
    "a failed attempt elsewhere": (complete, altered("failed", "shut_sluices", state="rung")),
    "a failed attempt of another trigger": (complete, altered("failed", "shut_sluices", trigger="silence")),
    "another attempt that failed": (complete, altered("failed", "shut_sluices", attempt=2)),
    "a failed attempt with a verdict that there isn't": (complete, altered("failed", "shut_sluices", verdict="done")),
    "something else frozen by a failed attempt": (complete, altered("failed", "shut_sluices", frozen=["the moon"])),
    "something else frozen by a beginning": (complete, altered("intent", "ring", frozen=["the moon"])),
    "something else frozen by a hold": (held, altered("held", "", frozen=["the moon"])),
    "a hold that offers what nobody can do": (held, altered("held", "", ways=[{"do": "ring", "because": "x"}])),
    "a way on with arguments": (
        held, altered("held", "", ways=[{"do": "abort", "because": "x", "args": ["why"]}]),
    ),
    "a way on with values": (
        held, altered("held", "", ways=[{"do": "abort", "because": "x", "values": {"why": ["a"]}}]),
    ),
    "a way on after the end": (
        complete, altered("commit", "finish", ways=[{"do": "resume", "because": "x"}]),
    ),
    # leases
    "a resume without a lease": (held, both(without("lease_acquired"), without("lease_acquired"))),
    "a lease said to be released though something was touched": (held, altered("held", "", lease="released")),
    "requests of another run, which left none open": (
        complete, record("predecessor_settled", ("lease_acquired", ""), **ONLY_FOR_REAL["predecessor_settled"]),
    ),
    "requests settled of a run that left others open": (complete, settles_a_predecessor({"left_open": ["stop"]})),
    "requests settled of a run that is another": (complete, settles_a_predecessor({"run_id": "r1"})),
    "requests settled after an action began": (complete, settles_a_predecessor({}, late=True)),
    "a start that another run revoked": (
        complete,
        record(
            "start_revoked", ("run_started", ""), run_id="run-1", revoked_by="run-2", operator="ann", host="desk",
            holder={"operator": "ann", "host": "desk", "bundle": "b", "at": "t"},
        ),
    ),
    # the declaration and the inputs
    "another receipt": (complete, altered("run_started", "", receipt={"x": "input miller"})),
    "an input that nobody declared": (complete, lambda draft: the(draft, "run_started")["inputs"].update(more="x")),
    "an input of another type": (complete, lambda draft: the(draft, "run_started")["inputs"].update(sacks=7)),
    "a limit that is no number": (complete, lambda draft: the(draft, "run_started")["inputs"].update(patience="x")),
    "inputs that a row replaces, though it amends none": (complete, altered("commit", "look", amends={"miller": "Al"})),
    "inputs that a beginning replaces": (complete, altered("intent", "ring", amends={"sacks": "some"})),
    # the end
    "a record in the final state before the end": (
        complete, record("rejected", ("commit", "finish"), state="handed_over", trigger="x", why="x", legal=[]),
    ),
    "a torn line in the final state before the end": (
        complete, record("tail_cut", ("commit", "finish"), bytes=3, sha256="0" * 64),
    ),
    "a rejection after the end": (
        complete, record("rejected", ("ended", ""), state="handed_over", trigger="x", why="x", legal=[]),
    ),
    "an end before an open intent is settled": (
        complete,
        both(without("commit", "ring"), without("commit", "finish"), altered("ended", "", state="owned")),
    ),
    "an end before everything was undone": (
        aborted,
        both(
            without("intent", "undo_newest", every=True), without("commit", "undo_newest", every=True),
            without("commit", "finish_abort"),
        ),
    ),
    "something kept by a run that completed": (complete, altered("ended", "", kept=["x"])),
    "something kept that was not": (aborted, altered("ended", "", kept=["x"])),
    "a waived undo kept in silence": (waived, altered("ended", "", kept=[])),
    "a failure's row without a failure": (given_up_by_failure, altered("commit", "refuse", args={})),
    "a failure's row fired by the runner": (given_up_by_failure, altered("commit", "refuse", by="runner")),
    # begun and done
    "a row without an action that begins": (
        complete,
        lambda draft: draft.insert(
            draft.index(place(draft, "commit", "look")),
            {
                "kind": "intent", "at": place(draft, "commit", "look")["at"],
                "body": {
                    **{
                        name: value
                        for name, value in the(draft, "commit", "look").items()
                        if name in ("row", "trigger", "from", "to", "by", "guards", "facts", "frozen", "because")
                    },
                    "attempt": 1, "effect": "none", "before": {},
                },
            },
        ),
    ),
    "the point of no return in silence": (complete, altered("intent", "hand_over", final_write=False)),
    "a point of no return that is none": (complete, altered("intent", "ring", final_write=True)),
    "why it is not undone, in other words": (complete, altered("intent", "silence", kept="x")),
    "why it is not undone, in silence": (complete, altered("commit", "silence", kept="")),
    "another undo": (complete, altered("intent", "shut_sluices", undo="unkey")),
    "a snapshot too many": (
        complete, lambda draft: the(draft, "intent", "ring")["before"].update(owner={"name": "new"}),
    ),
    "no snapshot": (complete, altered("intent", "ring", before={})),
    "other arguments at the end than at the beginning": (complete, altered("commit", "ring", args={"x": 1})),
    "what was begun once begins again": (
        resolved,
        both(
            without("resolved"),
            lambda draft: draft.insert(
                draft.index(place(draft, "commit", "ring")), json.loads(json.dumps(place(draft, "intent", "ring")))
            ),
            lambda draft: the(draft, "intent", "ring", nth=1).update(attempt=2),
        ),
    ),
    "what a person said was done begins again": (
        resolved,
        lambda draft: draft.insert(
            draft.index(place(draft, "commit", "ring")),
            {**place(draft, "intent", "ring"), "body": {**the(draft, "intent", "ring"), "attempt": 2}},
        ),
    ),
    "a person's verdict of nothing that is open": (resolved, altered("resolved", "", row=ROW)),
    "a person's verdict of nobody": (resolved, altered("resolved", "", operator="")),
    "a person's verdict that there isn't": (resolved, altered("resolved", "", outcome="perhaps")),
    "committed as resolved by the runner": (resolved, altered("commit", "ring", by="runner")),
    "resolved as not done, and committed": (resolved, altered("resolved", "", outcome="not_done")),
    "found, though a person said that it was done": (resolved, altered("commit", "ring", how="found", case="C")),
    "found, by no case": (found, lambda draft: the(draft, "commit", "change_keys").pop("case")),
    "found, with other guards": (
        found,
        lambda draft: the(draft, "commit", "change_keys").update(
            guards=[{**check, "value": "turning"} for check in the(draft, "intent", "change_keys")["guards"]]
        ),
    ),
    "found, but not so": (
        found, fact("commit", "change_keys", "keys", value="old", seen={"door": "old"}),
    ),
    "a repair of a row that is not tried": (
        complete, lambda draft: draft.append(draft.pop(draft.index(place(draft, "repaired")))),
    ),
    "a repair elsewhere": (
        complete,
        lambda draft: draft.insert(
            draft.index(place(draft, "commit", "silence")), draft.pop(draft.index(place(draft, "repaired")))
        ),
    ),
    "another row's change passed over": (superseded, altered("commit", "abort", supersedes="x --y--> z")),
    "a row said to supersede what was not open": (complete, altered("commit", "look", supersedes=ROW)),
    "undone, though the row undoes nothing": (complete, altered("commit", "look", undoes=ROW)),
    "undone in another order": (
        aborted, lambda draft: the(draft, "commit", "undo_newest").update(undoes=ROW),
    ),
    "undone, and not read": (aborted, lambda draft: the(draft, "commit", "undo_newest").update(facts={})),
    "an undo with nothing left": (
        aborted,
        lambda draft: draft.insert(
            draft.index(place(draft, "commit", "finish_abort")),
            json.loads(json.dumps(place(draft, "commit", "undo_newest", nth=1))),
        ),
    ),
    # waits
    "a sample elsewhere": (complete, altered("sampled", "", state="rung")),
    "a sample that waits for something else": (complete, altered("sampled", "", unmet=["sluices"])),
    "a sample said to be unclear": (
        complete, lambda draft: the(draft, "sampled", nth=1).update(holds=False),
    ),
    "a try more than declared": (complete, lambda draft: the(draft, "sampled", nth=2).update(attempt=2)),
    "tries counted backwards": (
        complete,
        lambda draft: [the(draft, "sampled", nth=number).update(attempt=3 - number) for number in range(2)],
    ),
    "other readings than the last sample": (
        complete,
        lambda draft: the(draft, "sampled", nth=2)["facts"]["sluices"].update(seen={"upper": "shut"}),
    ),
    "a wait in a run that was held": (
        passed_by_a_person,
        lambda draft: draft.insert(
            draft.index(place(draft, "held")) + 1, json.loads(json.dumps(place(draft, "sampled"))),
        ),
    ),
    # what may land late
    "a late request that was done": (given_up, altered("settled", "", done=True)),
    "a late request of another trigger": (given_up, altered("settled", "", trigger="silence")),
    "a late request said to have landed": (given_up, altered("settled", "", how="landed_late")),
    "a late request said to have landed, and read": (given_up, altered("settled", "", how="landed_late", facts=READ)),
    "a late request read again": (given_up, altered("settled", "", how="read_again", facts=READ)),
    "a late request read again as it was": (
        given_up, altered("settled", "", how="read_again", facts={"sluices": {"value": "open", "seen": OPEN}}),
    ),
    "a late request with another reading": (
        given_up, altered("settled", "", facts={"sluices": {"value": "shut", "seen": OPEN}}),
    ),
    "a late request read again of what can't be excluded": (
        waited_for, altered("settled", "", facts={"keys": {"value": "new", "seen": {"door": "new"}}}),
    ),
    "a late request that could not be excluded, and landed": (
        waited_for,
        altered("settled", "", how="not_excluded", facts={"keys": {"value": "new", "seen": {"door": "new"}}}),
    ),
    "a late request of which something else was read again": (
        waited_for, altered("settled", "", facts={"owner": {"value": "old", "seen": {"name": "old"}}}),
    ),
    "a sample of a row that does not wait": (
        complete,
        record(
            "sampled", ("commit", "confirm"), row="confirmed --look--> seen", state="confirmed", facts={}, holds=False,
            unmet=["owner"],
        ),
    ),
    # dry runs
    **{
        f"a dry run with a {kind} record": (well_dry, record(kind, ("run_started", ""), **body))
        for kind, body in ONLY_FOR_REAL.items()
    },
    "a dry run that goes elsewhere": (well_dry, altered("forecast", "look", to="dammed")),
    "a dry run that comes from elsewhere": (well_dry, altered("forecast", "look", **{"from": "seen"})),
    "a dry run of another trigger": (well_dry, altered("forecast", "look", trigger="confirm")),
    "a dry run that sets something else": (well_dry, altered("forecast", "ring", sets={})),
    "a dry run in another order": (well_dry, swapped(("forecast", "confirm"), ("forecast", "look"))),
    "a dry run of a person's row": (
        well_dry,
        lambda draft: the(draft, "forecast", "await_still").update(
            row="silenced --believe_still--> stilled", trigger="believe_still", guards=[]
        ),
    ),
    "a dry run of an undo": (
        well_dry,
        lambda draft: the(draft, "forecast", "finish").update(
            row="aborting --undo_newest--> aborting", trigger="undo_newest", guards=[]
        ),
    ),
    "a dry run that passed a guard over what it did not do": (
        well_dry,
        lambda draft: [
            check.update(outcome="passed", holds=True) for check in the(draft, "forecast", "hand_over")["guards"]
        ],
    ),
    "a dry run with a guard's word that there isn't": (
        well_dry, lambda draft: the(draft, "forecast", "look")["guards"][0].update(outcome="hoped"),
    ),
    "a dry run with another value": (
        well_dry, lambda draft: the(draft, "forecast", "look")["guards"][0].update(seen={"name": "new"}),
    ),
    "a dry run that ends elsewhere": (well_dry, altered("ended", "", state="rung")),
    "a dry run that ends refused": (well_dry, altered("ended", "", status="refused")),
    "a dry run that ends before its end": (well_dry, without("forecast", "finish")),
    "a dry run with a finding too many": (well_dry, altered("ended", "", findings=["x"])),
    "a dry run that goes on after it was refused": (
        dry,
        lambda draft: draft.insert(
            draft.index(place(draft, "forecast", "look")) + 1, json.loads(json.dumps(place(draft, "forecast", "look"))),
        ),
    ),
    "a dry run without a forecast": (dry, without("forecast", "", every=True)),
    # nothing that breaks a rule
    "an attempt that was seen to be half done, said to be unknown": (
        superseded, altered("failed", "shut_sluices", verdict="unknown"),
    ),
    "requests settled of a run that left them open": (complete, settles_a_predecessor({})),
    "another host": (complete, altered("run_started", "", host="elsewhere")),
    "a torn line that was cut off": (complete, record("tail_cut", ("ended", ""), bytes=3, sha256="0" * 64)),
}  # fmt: skip


MADE: dict[str, "Play"] = {}
"""The runs that are forged, made once: no forgery changes them."""


def _by_line(finding: str) -> tuple[int, str]:
    """Return the order of findings in the transcript: those of one line come in any order."""
    number = finding.partition(":")[0].removeprefix("line ")
    return int(number) if number.isdecimal() else 0, finding


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_and_named(name: str, play: Make) -> None:
    """The untouched log holds; the forged one doesn't: each finding says what is wrong, on which line, and no more.

    All findings of all forgeries are in tests/data/transcripts/forgeries.txt; DRFSM_REGENERATE=1 writes it anew.
    """
    make, edit, rule, words = FORGERIES[name]
    if make.__name__ not in MADE:
        MADE[make.__name__] = make(play)
        assert MADE[make.__name__].audit().ok
    run = MADE[make.__name__]
    verdict = run.audit(run.edited(edit))
    *findings, last = verdict.lines()
    told = "\n".join([*sorted(findings, key=_by_line), last])
    assert not verdict.ok
    assert [each for each in verdict.findings if each.rule == rule and words in each.what], told
    assert all(0 < each.line <= len(run.records) + 3 for each in verdict.findings)
    assert "does NOT hold" in told
    assert json.loads(json.dumps(verdict.record))["ok"] is False
    told_as_before(name, told)


@pytest.mark.parametrize("name", MORE)
def test_what_the_audit_finds_is_its_transcript(name: str, play: Make) -> None:
    """Each edit of a log that is chained and sealed anew: all that is found, and nothing where nothing is wrong."""
    make, edit = MORE[name]
    if make.__name__ not in MADE:
        MADE[make.__name__] = make(play)
        assert MADE[make.__name__].audit().ok
    run = MADE[make.__name__]
    *findings, last = run.audit(run.edited(edit)).lines()
    places = [_by_line(finding)[0] for finding in findings if finding.startswith("line ")]
    assert places == sorted(places)
    lines = [*sorted(findings, key=_by_line), last]
    told_as_before(name, "\n".join(line.partition("; head ")[0] for line in lines))  # a head binds drfsm's version, too


def told_as_before(name: str, told: str) -> None:
    """Hold what the audit tells of a forgery against the transcript."""
    transcripts = dict(story.split("\n", 1) for story in TRANSCRIPT.read_text().removeprefix("# ").split("\n\n# "))
    if os.environ.get("DRFSM_REGENERATE"):
        transcripts[name] = told
        stories = [f"# {name}\n{transcripts.get(name, '').strip()}" for name in (*FORGERIES, *MORE)]
        TRANSCRIPT.write_text("\n\n".join(stories) + "\n")
    assert told == transcripts[name].strip()
