"""An old journal under another declaration: it decides the same under its own, and otherwise where it must."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.dr.procedures import with_defaults
from drfsm.evidence.counterfactual import Counterfactual, counterfactual
from drfsm.evidence.receipts import check
from drfsm.evidence.schemas.judged import COUNTERFACTUAL
from drfsm.resources import shipped
from drfsm.spec import load_machine
from tests.recorded import BUNDLES

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]
Deaths = Callable[..., list["Play"]]

WELL = "all goes well"
RUNS: dict[str, Callable[[Make], "Play"]] = {
    WELL: lambda play: play().start(),
    "held in a wait": lambda play: play(wheel=["turning"], given={"patience": "3"}).start(),
    "refused": lambda play: play(owner={"name": "new"}).start(),
    "half done": lambda play: play(fails={"shut": ["half", "before"]}).start(),
    "killed while it rang": lambda play: _killed(play, "ring"),
    "killed while it shut": lambda play: _killed(play, "shut_sluices"),
    "asked for what is not legal": lambda play: (
        play(wheel=["turning"], given={"patience": "3"}).start().request("waive_undo")
    ),
}


def _killed(play: Make, trigger: str) -> "Play":
    """Return a run whose process died when it had begun a row, and that was resumed."""
    for place in range(60):
        run = play().start(dies_at=place, after=True)
        if run.state.open and run.state.open.trigger == trigger:
            return run.resume()
    raise AssertionError(trigger)


def under(run: "Play", text: bytes) -> Counterfactual:
    """Return a run under another text of the mill."""
    judged = counterfactual(run.written, run.spec, load_machine(text, source="mill.yaml"))
    assert check(judged.json, COUNTERFACTUAL.schema) == []
    return judged


@pytest.mark.parametrize("begin", RUNS.values(), ids=RUNS.keys())
def test_a_declaration_decides_under_itself_what_it_decided(
    begin: Callable[[Make], "Play"], play: Make, mill_text: bytes
) -> None:
    """Nothing differs, nothing can't be told, no rule is broken."""
    judged = under(begin(play), mill_text)
    assert judged.same, list(judged.lines(verbose=True))
    assert judged.decisions
    assert [decision for decision in judged.decisions if decision.now != decision.then] == []


def test_so_it_does_wherever_a_process_dies(play: Make, mill_text: bytes, deaths: Deaths) -> None:
    """Killed before and after every record, then resumed."""
    spec = load_machine(mill_text, source="mill.yaml")
    for run in deaths(lambda: play(), lambda run, **how: run.start(**how)):  # noqa: PLW0108  a maker of runs
        if run.records:
            judged = counterfactual(run.resume().written, run.spec, spec)
            assert [decision.words for decision in judged.decisions if decision.now != decision.then] == []


@pytest.mark.parametrize("machine", ["failback", "promote", "drill"])
@pytest.mark.parametrize("version", ["0.1.0", "0.5.0"])
def test_so_it_does_for_recorded_bundles(version: str, machine: str) -> None:
    """Of the oldest version and the newest, under the declaration that each is pinned to."""
    bundle = BUNDLES / version / machine
    (declared,) = bundle.glob("*.yaml")
    spec = load_machine(declared.read_bytes(), source=declared.name, recorded=True)
    judged = counterfactual(read_chain(bundle).records, spec, spec, with_defaults(spec.name, {}))
    assert judged.same
    assert len(judged.decisions) > 10
    assert not [decision.words for decision in judged.decisions if decision.now == "unknown"]


WAIVED_BEFORE = (
    "{from: [silenced], trigger: waive_undo, to: aborting, by: operator, because: X}\n  - "
    "{from: aborting, trigger: waive_undo, to: aborting, by: operator,"
)
CHANGES: dict[str, tuple[str, str, str, str, str]] = {
    # what is changed: (the run, old text, new text, trigger, what is decided now)
    "a guard wants another value": (
        WELL, "old_owner: {requires: {owner: old}", "old_owner: {requires: {owner: new}", "look", "refused",
    ),
    "a guard of a wait wants another value": (
        WELL, "wheel_is_still: {requires: {wheel: still}", "wheel_is_still: {requires: {wheel: turning}",
        "await_still", "waits",
    ),
    "a guard wants what nobody read": (
        WELL, "guards: [old_owner], attempts", "guards: [old_owner, sluices_are_shut], attempts", "look", "unknown",
    ),
    "a wait has less time": (
        WELL, "limit: patience, consecutive: 2", "limit: 1, consecutive: 2", "await_still", "held",
    ),
    "fewer tries are allowed": (
        "half done", "attempts: {max: 3, backoff_seconds: 1, repair: grease}", "attempts: {max: 1}", "shut_sluices",
        "held",
    ),
    "a row leads elsewhere": (
        WELL, "trigger: change_keys, to: keyed, when: {sacks: none}",
        "trigger: change_keys, to: counted, when: {sacks: none}", "change_keys", "elsewhere",
    ),
    "a person must fire it": (
        WELL, "trigger: ring, to: rung, guards", "trigger: ring, to: rung, by: operator, guards", "ring", "held",
    ),
    "a row promises another value": (
        WELL, "sets: {sluices: shut}, effect", "sets: {sluices: open}, effect", "shut_sluices", "held",
    ),
    "an action may not be repeated": (
        "killed while it shut", "sets: {sluices: shut}, effect: idempotent", "sets: {sluices: shut}, effect: once",
        "shut_sluices (taken up)", "held",
    ),
    "a hold's guard is gone": (
        "held in a wait", "guards: [sluices_are_shut, wheel_is_still],\n     wait",
        "guards: [sluices_are_shut],\n     wait", "await_still", "allowed",
    ),
    "a refusal's guard accepts it": (
        "refused", "old_owner: {requires: {owner: old}", "old_owner: {requires: {owner: [old, new]}", "look", "allowed",
    ),
    "what was not legal is": (
        "asked for what is not legal", "{from: aborting, trigger: waive_undo, to: aborting, by: operator,",
        WAIVED_BEFORE,
        "waive_undo", "allowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("begun", "old", "new", "trigger", "now"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_judged_where_it_matters(
    begun: str, old: str, new: str, trigger: str, now: str, play: Make, mill_text: bytes
) -> None:
    """The decision that it is about is another one, with a reason; no decision before it is."""
    text = mill_text.decode()
    assert old in text
    judged = under(RUNS[begun](play), text.replace(old, new).encode())
    changed = [decision for decision in judged.decisions if decision.now != decision.then]
    assert (changed[0].trigger, changed[0].now) == (trigger, now), list(judged.lines(verbose=True))
    assert changed[0].because
    assert judged.same == (now == "unknown")
    assert any(changed[0].words in line for line in judged.lines())


def test_a_stricter_never_rule_is_held_against_what_was_read(play: Make, mill_text: bytes) -> None:
    """The readings break it, though every decision is the same."""
    rule = b"  - {name: shut_at_all, when: {sluices: shut}, states: [dammed], because: Never}\nfrozen:"
    judged = under(RUNS[WELL](play), mill_text.replace(b"frozen:", rule))
    assert not judged.differing
    assert [words for words in judged.broken if "shut_at_all" in words]
    assert not judged.same


def test_what_an_abort_would_do_otherwise_is_a_remark(play: Make, mill_text: bytes) -> None:
    """No decision changes: the run was not aborted."""
    judged = under(RUNS[WELL](play), mill_text.replace(b"undo: reopen", b"undo: unkey"))
    assert judged.same
    assert judged.remarks == ("an abort after shut_sluices would undo it by unkey, not by reopen",)


def test_an_old_failback_under_todays_declaration_says_what_nobody_read_then() -> None:
    """0.1.0 read less: that can't be told, and is neither allowed nor refused."""
    bundle = BUNDLES / "0.1.0" / "failback"
    old = load_machine((bundle / "failback.yaml").read_bytes(), source="failback.yaml", recorded=True)
    new = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback.yaml")
    judged = counterfactual(read_chain(bundle).records, old, new, with_defaults("failback", {}))
    untold = [decision for decision in judged.decisions if decision.now == "unknown"]
    assert any("which no record has read by then" in decision.because for decision in untold)
    assert not judged.differing
