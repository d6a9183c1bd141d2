"""Whoever forges a log, and chains and seals it anew, is found out, and what he did is named.

The forger knows the format: numbers, chain and seal are right in every log here, unless a test says otherwise.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from drfsm.engine import Late

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "forgeries.txt"
Make = Callable[..., "Play"]
Draft = list[dict[str, Any]]
Edit = Callable[[Draft], Any]


# --- the runs that are forged ---------------------------------------------------------------------------


def complete(play: Make) -> "Play":
    """Return a run that went well, with a failed attempt on the way."""
    return play(fails={"shut": ["before"]}).start()


def aborted(play: Make) -> "Play":
    """Return a run that was aborted with two things to undo."""
    return play(wheel=["turning", "still", "still", "still", "turning"]).start().request("abort")


def held(play: Make) -> "Play":
    """Return a run that was held after all its attempts, and resumed, and went well."""
    return play(fails={"shut": ["before"] * 4}).start().resume()


def superseded(play: Make) -> "Play":
    """Return a run that died half way in an action, and was aborted."""
    return play(fails={"shut": ["half"] * 3}).start().request("abort")


def found(play: Make) -> "Play":
    """Return a run whose action was done when its process died, and was found done."""
    return play(fails={"rekey": ["die after"]}).start().resume()


def given_up(play: Make) -> "Play":
    """Return a run whose process died in an action, and that was aborted: its late request was shut out."""
    late = {name: Late(lambda _world, _run: {"touched": ["sluices"]}) for name in ("shut", "reopen")}
    return play(fails={"shut": ["die"]}, late=late).start().request("abort")


def waited_for(play: Make) -> "Play":
    """Return such a run of an action without a condition: its late request was waited for, and is told."""
    late = {name: Late(settles="a locksmith can't be called back") for name in ("rekey", "unkey")}
    return play(fails={"rekey": ["die"]}, late=late).start().request("abort")


def dry(play: Make) -> "Play":
    """Return a dry run that would be refused."""
    return play(owner={"name": "new"}).start(dry_run=True)


# --- the forger's hands ---------------------------------------------------------------------------------


def the(draft: Draft, kind: str, trigger: str = "", *, nth: int = 0) -> dict[str, Any]:
    """Return the body of a record of a kind (and of a step)."""
    return place(draft, kind, trigger, nth=nth)["body"]  # type: ignore[no-any-return]  # JSON


def place(draft: Draft, kind: str, trigger: str = "", *, nth: int = 0) -> dict[str, Any]:
    """Return a record of a kind (and of a step)."""
    return [
        each for each in draft if each["kind"] == kind and f"--{trigger}" in each["body"].get("row", f"--{trigger}")
    ][nth]


def without(kind: str, trigger: str = "", *, every: bool = False) -> Edit:
    """Return the edit that takes a record out, or every one of its kind and step."""

    def edit(draft: Draft) -> None:
        draft.remove(place(draft, kind, trigger))
        while every and any(each["kind"] == kind and f"--{trigger}" in each["body"].get("row", "--") for each in draft):
            draft.remove(place(draft, kind, trigger))

    return edit


def altered(kind: str, trigger: str, **fields: Any) -> Edit:
    """Return the edit that sets fields of a record's body."""
    return lambda draft: the(draft, kind, trigger).update(fields)


def both(*edits: Edit) -> Edit:
    """Return several edits as one."""
    return lambda draft: [edit(draft) for edit in edits]


def fact(kind: str, trigger: str, name: str, *, also_guard: bool = False, **found: Any) -> Edit:
    """Return the edit that says something else of a fact (and, as a careful forger would, of the guard over it)."""

    def edit(draft: Draft) -> None:
        body = the(draft, kind, trigger)
        body["facts"].setdefault(name, {}).update(found)
        for check in body["guards"] if also_guard else []:
            if check["fact"] == name:
                check.update(found)

    return edit


def guard(kind: str, trigger: str, **fields: Any) -> Edit:
    """Return the edit that alters the first guard of a record."""
    return lambda draft: the(draft, kind, trigger)["guards"][0].update(fields)


def swapped(one: tuple[str, str], other: tuple[str, str]) -> Edit:
    """Return the edit that lets two records change places."""

    def edit(draft: Draft) -> None:
        first, second = draft.index(place(draft, *one)), draft.index(place(draft, *other))
        draft[first], draft[second] = draft[second], draft[first]

    return edit


def added(after: tuple[str, str], record: Callable[[Draft], dict[str, Any]]) -> Edit:
    """Return the edit that puts a record behind another one."""
    return lambda draft: draft.insert(draft.index(place(draft, *after)) + 1, record(draft))


def forged_commit(draft: Draft, trigger: str) -> dict[str, Any]:
    """Return a commit of a step by nobody but the forger."""
    return json.loads(json.dumps(place(draft, "commit", trigger)))  # type: ignore[no-any-return]  # JSON


OPEN, SHUT = {"upper": "open", "lower": "open"}, {"upper": "shut", "lower": "shut"}
ABORT: dict[str, Any] = {
    "row": "keyed --abort--> aborting", "trigger": "abort", "from": "keyed", "to": "aborting", "by": "operator",
    "how": "judged", "guards": [], "facts": {}, "result": None, "frozen": [], "ways": [], "args": {"operator": "eve"},
    "because": "Everything is given back",
}  # fmt: skip

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
    transcripts = dict(story.split("\n", 1) for story in TRANSCRIPT.read_text().removeprefix("# ").split("\n\n# "))
    if os.environ.get("DRFSM_REGENERATE"):
        transcripts[name] = told
        stories = [f"# {name}\n{transcripts.get(name, '').strip()}" for name in FORGERIES]
        TRANSCRIPT.write_text("\n\n".join(stories) + "\n")
    assert told == transcripts[name].strip()


def test_without_the_binding_what_the_declaration_says_lands_late_is_demanded(play: Make) -> None:
    """An auditor with the declaration and the log alone finds a change without a condition that nobody waited for."""
    run = waited_for(play)
    assert run.audit(late=None).ok
    (finding,) = run.audit(run.edited(without("settled")), late=None).findings
    assert (finding.rule, "change_keys" in finding.what) == ("late", True)


def test_a_run_of_a_version_that_settled_nothing_owes_nothing(play: Make) -> None:
    """Neither its version nor its declaration knew late requests: what it left open was no fault of its."""
    run = given_up(play)
    run.spec = evolve(run.spec, rows=tuple(evolve(row, lands_late=False) for row in run.spec.rows))
    old = both(without("settled"), altered("run_started", "", version="0.3.0"))
    assert run.audit(run.edited(old)).ok
    assert not run.audit(run.edited(without("settled"))).ok


@pytest.mark.parametrize(("machine", "owes"), [("drill", False), ("failback", True)])
def test_a_drill_of_a_version_that_settled_nothing_of_drills_owes_nothing(play: Make, machine: str, owes: bool) -> None:
    """0.4.0 settled what a promote or a failback gave up, and nothing of a drill."""
    run = given_up(play)
    rows = tuple(evolve(row, lands_late=False) for row in run.spec.rows)
    run.spec = evolve(run.spec, name=machine, rows=rows)
    old = both(without("settled"), altered("run_started", "", version="0.4.0", machine=machine))
    assert [finding.rule for finding in run.audit(run.edited(old)).findings] == (["late"] if owes else [])


# --- field by field -------------------------------------------------------------------------------------

ONLY_THE_HEAD = {
    # Commentary, and what only the world could confirm: altering it is found by the head in a copied summary.
    "run_started": {"run_id", "version", "inputs", "operator", "host", "pid"},
    "lease_acquired": {"epoch", "operator", "host"},  # of an epoch only that it rises
    "resumed": {"operator", "host", "pid"},
    "sampled": {"waited_seconds", "limit_seconds"},
    "failed": {"error", "answered"},
    "repaired": {"result"},
    "commit": {"args", "result", "seconds", "ways", "error"},
    "held": {"stage", "reason", "fault", "way", "interrupted", "ways"},
    "ended": {"reason", "stage"},
}


def mutations(draft: Draft) -> Iterator[tuple[int, str, Any]]:
    """Yield (record, field, what a forger writes there) for every field of every record."""
    for number, record in enumerate(draft):
        for name, value in record["body"].items():
            if name not in ONLY_THE_HEAD.get(record["kind"], set()) and record["kind"] != "seal":
                yield number, name, _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 7
    if isinstance(value, str):
        return f"{value}x"
    return [*value, "x"] if isinstance(value, list) else {**(value or {}), "x": "x"}


@pytest.mark.long
@pytest.mark.parametrize("make", [complete, aborted, held, superseded, found], ids=lambda make: make.__name__)
def test_every_field_that_is_not_commentary_is_proven(make: Callable[[Make], "Play"], play: Make) -> None:
    """Whichever field of whichever record is altered, the audit finds it; the exceptions are a list, above."""
    run = make(play)
    draft = [json.loads(line) for line in run.raw.splitlines()]
    unfound = []
    for number, name, value in mutations(draft):
        raw = run.edited(lambda copy, n=number, f=name, v=value: copy[n]["body"].update({f: v}))  # type: ignore[misc]  # mypy infers no lambda with defaults
        if run.audit(raw).ok:
            unfound.append(f"{draft[number]['kind']} {number}: {name}")
    assert unfound == []


def nested(value: Any, *, named: str = "") -> Iterator[dict[str, Any]]:
    """Yield every object inside a body that is not free by its nature: what the world, a person or an action said."""
    if isinstance(value, dict):
        if named:
            yield value
        free = ("seen", "result", "args", "inputs")
        members = [(name, member) for name, member in value.items() if name not in free]
    else:
        members = [(named, item) for item in value] if isinstance(value, list) else []
    for name, member in members:
        yield from nested(member, named=name)


@pytest.mark.parametrize("make", [complete, aborted, held, superseded, found, dry])
def test_an_extra_key_in_any_nested_object_is_found(make: Callable[[Make], "Play"], play: Make) -> None:
    """Each guard, reading, snapshot, next action and identity of a log, with one key too many: the audit finds it."""
    run = make(play)
    draft = [json.loads(line) for line in run.raw.splitlines()]
    unfound, tried = [], set()
    for number, record in enumerate(draft):
        for place_in_body, _ in enumerate(nested(record["body"])):
            raw = run.edited(
                lambda copy, n=number, p=place_in_body: list(nested(copy[n]["body"]))[p].update(more="of it")  # type: ignore[misc]  # mypy infers no lambda with defaults
            )
            tried.add(record["kind"])
            if run.audit(raw).ok:
                unfound.append(f"{record['kind']} {number}: object {place_in_body}")
    assert unfound == []
    assert tried >= {"forecast"} if make is dry else tried >= {"intent", "commit"}


def test_a_record_that_is_taken_out_is_found_unless_it_moves_nothing(play: Make) -> None:
    """Only what moves nothing can go (an attempt that failed then reads as interrupted), and the head tells of that."""
    run = held(play).request("ring")
    for number, record in enumerate(run.written[:-1]):
        verdict = run.audit(run.edited(lambda draft, n=number: draft.pop(n)))  # type: ignore[misc]  # mypy infers no lambda with defaults
        if verdict.ok:
            unclear = record.kind == "sampled" and not record.body["holds"]
            assert unclear or record.kind in ("rejected", "repaired", "held", "failed", "lease_acquired"), record


# --- what only the head of a copied summary tells -----------------------------------------------------------


def test_a_log_cut_off_at_a_record_is_found_by_what_the_summary_knows(play: Make) -> None:
    """A prefix of a log is a log: only the number of records and the head that were copied off tell."""
    run = complete(play)
    journal = run.summary()["journal"]
    cut = b"".join(run.raw.splitlines(keepends=True)[:-5])
    assert run.audit(cut).ok
    assert not run.audit(cut).finished
    (finding,) = run.audit(cut, expected_head=journal["head"], expected_records=journal["records"]).findings
    assert finding.rule == "truncated"
    assert f"knows {journal['records']} records, the log holds {journal['records'] - 5}" in finding.what
    (finding,) = run.audit(cut, expected_head=journal["head"]).findings
    assert finding.rule == "rewritten"


def test_a_log_written_anew_is_found_by_the_head(play: Make) -> None:
    """A result that nobody can judge again is altered: every rule holds, the head doesn't."""
    run = complete(play)
    journal = run.summary()["journal"]
    raw = run.edited(altered("repaired", "", result={"greased": "with gold"}))
    assert run.audit(raw).ok
    (finding,) = run.audit(raw, expected_head=journal["head"], expected_records=journal["records"]).findings
    assert finding.rule == "rewritten"


def test_a_log_that_grew_since_the_summary_was_copied_holds(play: Make) -> None:
    """More records than the summary knew are no fault, as long as they go on from its head."""
    run = play(wheel=["turning"]).start()
    journal = run.summary()["journal"]
    verdict = run.request("abort").audit(expected_head=journal["head"], expected_records=journal["records"])
    assert verdict.ok
    assert any("records were added since the summary was copied" in note for note in verdict.notes)


def test_the_whole_log_that_the_summary_knows_needs_no_caveat(play: Make) -> None:
    """With the head at hand nothing is left to be doubted, and the verdict doesn't."""
    run = complete(play)
    journal = run.summary()["journal"]
    told = "\n".join(run.audit(expected_head=journal["head"], expected_records=journal["records"]).lines())
    assert "copied off" not in told
    assert "copied off" in "\n".join(run.audit().lines())


# --- bytes ----------------------------------------------------------------------------------------------


def test_a_byte_altered_without_chaining_names_its_line(play: Make) -> None:
    """The line after the altered one doesn't follow it; what stands before is judged all the same."""
    run = complete(play)
    raw = run.raw.replace(b'"value":"old"', b'"value":"new"', 1)
    altered_line = next(n for n, line in enumerate(raw.splitlines(), 1) if b'"value":"new"' in line)
    verdict = run.audit(raw)
    assert ("chain", altered_line + 1) in [(each.rule, each.line) for each in verdict.findings]
    assert ("judge", altered_line) in [(each.rule, each.line) for each in verdict.findings]
    assert any("were not judged: the chain is broken" in note for note in verdict.notes)


@pytest.mark.parametrize("damage", [b"", b"\x00", b"{}\n", b"not json\n", b"[" * 100_000])
def test_no_bytes_at_all_make_the_audit_fail_otherwise_than_by_a_finding(damage: bytes, play: Make) -> None:
    """Whatever lies there instead of a log, the audit says that it proves nothing."""
    assert not play().audit(damage).ok


def test_a_torn_last_line_is_said_and_is_no_fault(play: Make) -> None:
    """A writer that died in the middle of a line left a log that holds up to there."""
    run = complete(play)
    verdict = run.audit(run.raw[:-20])
    assert verdict.ok
    assert not verdict.finished
    assert any("the last line is torn" in note for note in verdict.notes)


def test_a_seal_with_another_count_or_head_is_found(play: Make) -> None:
    """The seal is held against the lines before it."""
    run = complete(play)
    *before, seal = run.raw.splitlines(keepends=True)
    count = len(before)
    for old, new in ((f'"records":{count}', f'"records":{count - 1}'), ('"head":"', '"head":"0000')):
        raw = b"".join([*before, seal.replace(old.encode(), new.encode())])
        assert "seal" in {each.rule for each in run.audit(raw).findings}


def test_times_that_run_backwards_are_a_note(play: Make) -> None:
    """Clocks are set: that is told, and proves nothing."""
    run = complete(play)
    verdict = run.audit(run.edited(lambda draft: draft[5].update(at="2020-01-01T00:00:00.000000Z")))
    assert verdict.ok
    assert any("before that of the line above" in note for note in verdict.notes)


def test_another_declaration_at_hand_is_found(play: Make, mill_text: bytes) -> None:
    """A log is proven only against the very bytes that its run was pinned to."""
    from drfsm.evidence.audit import audit
    from drfsm.spec import load_machine

    run = complete(play)
    verdict = audit(run.raw, load_machine(mill_text + b"\n# as good as the same\n"), judges=run.judges())
    assert [each.rule for each in verdict.findings] == ["digest"]


def test_without_a_judge_that_is_said(play: Make) -> None:
    """What could not be judged again is counted and named, not passed over."""
    from drfsm.evidence.audit import audit

    run = complete(play)
    judges = {name: judge for name, judge in run.judges().items() if name != "wheel"}
    verdict = audit(run.raw, run.spec, judges=judges)
    assert verdict.ok
    assert any("of wheel were not judged again" in note for note in verdict.notes)
