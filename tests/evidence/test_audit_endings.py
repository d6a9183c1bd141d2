"""A run that nobody tampered with passes its audit, whichever way it ended; its summary is true and fits its schema."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.evidence.derive import faults
from drfsm.evidence.receipts import check
from drfsm.spec import load_machine

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]

MILL_ENDINGS: dict[str, tuple[Callable[[Make], "Play"], str, str]] = {
    "complete": (lambda play: play().start(), "complete", "handed_over"),
    "complete, with what the inputs select": (
        lambda play: play(given={"sacks": "asked"}).start(),
        "complete",
        "handed_over",
    ),
    "refused for a wrong token": (lambda play: play(given={"confirm1": "hm"}).start(), "refused", "refused"),
    "refused for what was found": (lambda play: play(owner={"name": "new"}).start(), "refused", "refused"),
    "dry run": (lambda play: play().start(dry_run=True), "dry_run", "start"),
    "dry run that would be refused": (
        lambda play: play(owner={"name": "new"}).start(dry_run=True),
        "refused",
        "start",
    ),
    "held by an action that fails too often": (
        lambda play: play(fails={"shut": ["before"] * 3}).start(),
        "held",
        "seen",
    ),
    "failed, repaired, done": (lambda play: play(fails={"shut": ["before"]}).start(), "complete", "handed_over"),
    "the answer got lost, but it was done": (
        lambda play: play(fails={"shut": ["after"]}).start(),
        "complete",
        "handed_over",
    ),
    "held, then resumed": (
        lambda play: play(fails={"shut": ["before"] * 4}).start().resume(),
        "complete",
        "handed_over",
    ),
    "held by a wait that is over its limit": (lambda play: play(wheel=["turning"]).start(), "held", "silenced"),
    "held, then passed by a person": (
        lambda play: play(wheel=["turning"] * 20 + ["still"], given={"patience": "3"}).start().request("believe_still"),
        "held",
        "stilled",
    ),
    "aborted before anything changed": (
        lambda play: play(lost={"owner"}).start().request("abort"),
        "aborted",
        "given_back",
    ),
    "held while what was found can't be seen, resumed by sight": (
        lambda play: sighted(play(lost={"owner"}).start()).resume(),
        "complete",
        "handed_over",
    ),
    "an undo that a person waives": (
        lambda play: (
            play(wheel=["turning"], fails={"reopen": ["before"] * 2}).start().request("abort").request("waive_undo")
        ),
        "aborted",
        "given_back",
    ),
    "done once, unseen, and resolved by a person": (
        lambda play: sighted(play(fails={"ring": ["blind"]}).start().resolve("done")).resume(),
        "complete",
        "handed_over",
    ),
    "done once, unseen, and said not to be done": (
        lambda play: play(fails={"ring": ["die"]}).start().resolve("not_done"),
        "complete",
        "handed_over",
    ),
    "aborted": (lambda play: play(wheel=["turning"]).start().request("abort"), "aborted", "given_back"),
    "aborted after the last write was refused": (
        lambda play: play(fails={"sign": ["before"] * 2}).start().request("abort"),
        "aborted",
        "given_back",
    ),
    "aborted late": (
        lambda play: play(fails={"sign": ["blind"]}).start().request("abort"),
        "held",
        "keyed",
    ),
    "a command that is not legal": (lambda play: play(wheel=["turning"]).start().request("ring"), "held", "silenced"),
}


@pytest.mark.parametrize(("make", "status", "state"), MILL_ENDINGS.values(), ids=MILL_ENDINGS.keys())
def test_an_untouched_run_of_the_mill_passes(
    make: Callable[[Make], "Play"], status: str, state: str, play: Make
) -> None:
    """However the run ended, its log proves it, and says as much."""
    run = make(play)
    verdict = run.audit()
    assert (run.state.status, run.state.state) == (status, state)
    assert verdict.ok, "\n".join(verdict.lines())
    assert verdict.finished is run.state.ended
    assert verdict.rejudged > 0 or status == "refused"
    assert any("as far as it goes, it holds" in line for line in verdict.lines()) is not run.state.ended


def sighted(run: "Play") -> "Play":
    """Let everything be seen again."""
    run.world["lost"].clear()
    return run


def lost_on_the_way(play: Make) -> "Play":
    """Return a failback that a person goes on with without DR, which was lost in the middle."""
    run = play(divergence="integrity").start()
    run.world.update(dr_loss="declared", divergence="none")
    return run.request("declare_dr_lost", given={"dr_unreachable": "yes", "fence_dr_role": "arn:aws:iam::1:role/dr"})


FAILBACK_ENDINGS: dict[str, tuple[Callable[[Make], "Play"], str]] = {
    "complete": (lambda play: play().start(), "complete"),
    "complete with everything asked for": (
        lambda play: play(
            given={
                "sync": "asked",
                "restore_check": "asked",
                "soak": "next",
                "fence_primary": "asked",
                "fence_dr": "asked",
            }
        ).start(),
        "complete",
    ),
    "complete without DR, which is lost": (
        lambda play: play(given={"dr_unreachable": "yes", "fence_dr": "asked"}, dr_loss="declared").start(),
        "complete",
    ),
    "complete without DR, which was lost on the way": (lost_on_the_way, "complete"),
    "complete without soak and teardown": (
        lambda play: play(given={"soak": "none", "teardown": "false"}).start(),
        "complete",
    ),
    "complete by a person's decision over divergence": (
        lambda play: play(divergence="content").start().request("accept_divergence"),
        "complete",
    ),
    "refused": (lambda play: play(confirmation="wrong").start(), "refused"),
    "refused in preflight": (lambda play: play(gitops="present", permissions="missing").start(), "refused"),
    "held while draining": (lambda play: play(dr_inflight="yes").start(), "held"),
    "held for a person": (lambda play: play(divergence="integrity").start(), "held"),
    "aborted": (lambda play: play(divergence="integrity").start().request("abort"), "aborted"),
    "validated again, then aborted": (
        lambda play: play(divergence="integrity").start().request("retry_validation").request("abort"),
        "aborted",
    ),
    "dry run": (lambda play: play().start(dry_run=True), "dry_run"),
    "dry run that finds something": (lambda play: play(gitops="present").start(dry_run=True), "refused"),
    "interrupted": (lambda play: play().start(dies_at=20), "running"),
}


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """Return the summary's schema."""
    return _schema("failback.summary")


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (Path(__file__).parents[2] / "receipts_schema" / f"{name}.schema.json").read_bytes()
    )
    return found


@pytest.mark.parametrize(("make", "status"), FAILBACK_ENDINGS.values(), ids=FAILBACK_ENDINGS.keys())
def test_an_untouched_failback_passes_and_its_summary_is_valid(
    make: Callable[[Make], "Play"], status: str, failback_play: Make, schema: dict[str, Any]
) -> None:
    """Every ending of the shipped machine is proven, and its summary fits the schema, as does each of its lines."""
    run = make(failback_play)
    assert run.state.status == status
    verdict = run.audit()
    assert verdict.ok, "\n".join(verdict.lines())
    summary = run.summary(dead=True)
    assert check(summary, schema) == []
    assert summary["status"] == ("interrupted" if status == "running" else status)
    assert check_all(map(json.loads, run.raw.splitlines()), _schema("journal_record")) == []


def check_all(statements: Iterable[Any], of_each: dict[str, Any]) -> list[str]:
    """Return the violations of many statements at once."""
    of_all = {"properties": {"all": {"type": "array", "minItems": 1, "items": of_each}}}
    return check({"all": list(statements)}, of_all)


def test_every_summary_on_the_way_is_valid(failback_play: Make, schema: dict[str, Any]) -> None:
    """Whenever the process dies, the summary that was written last is true and whole."""
    run, begun = failback_play().start(), failback_play()
    summaries = []
    for length in range(1, len(run.records) + 1):
        begun.records = run.records[:length]
        summaries.append(begun.summary(dead=True))
    assert check_all(summaries, schema) == []
    assert {each["status"] for each in summaries} == {"interrupted", "complete"}


def test_the_receipt_table_of_the_shipped_failback_names_what_it_declares(failback_play: Make) -> None:
    """No field of the receipt asks for a trigger, a fact or an input that the machine doesn't have."""
    assert faults(failback_play().spec) == []


def test_a_receipt_table_with_faults_is_told_all_of_them(mill_text: bytes) -> None:
    """An unknown verb, trigger, fact and input are each named."""
    broken = mill_text.replace(
        b"miller: input miller\n", b"miller: input baker\n  odd: hear ring\n  who: seen wring wheal\n"
    )
    told = "\n".join(faults(load_machine(broken)))
    assert all(word in told for word in ("input baker", "'hear ring'", "trigger wring", "fact wheal"))


def test_a_guard_that_something_stands_in_for_needs_the_stand_in_on_record(failback_play: Make) -> None:
    """What was not evaluated, because a person declared DR lost, is evaluated again where that is taken out."""
    run = lost_on_the_way(failback_play)

    def forget(draft: list[dict[str, Any]]) -> None:
        body = next(each["body"] for each in draft if each["body"].get("trigger") == "switch_global_pointer")
        body["facts"].pop("dr_loss")

    told = "\n".join(run.audit(run.edited(forget)).lines())
    assert "the guard dr_is_frozen over dr_schedules is not on record" in told


@pytest.mark.parametrize(
    "amends",
    [{}, {"dr_unreachable": "no"}, {"dr_unreachable": "yes", "dr_run_id": "mine"}],
    ids=["none", "other", "more"],
)
def test_inputs_are_replaced_only_as_a_person_gave_them(amends: dict[str, str], failback_play: Make) -> None:
    """A row that amends inputs has them from the recorded arguments, all of them and no others."""
    run = lost_on_the_way(failback_play)

    def amend(draft: list[dict[str, Any]]) -> None:
        bodies = (each["body"] for each in draft if each["kind"] == "commit")
        next(each for each in bodies if each["trigger"] == "declare_dr_lost")["amends"] = amends

    assert "inputs" in {each.rule for each in run.audit(run.edited(amend)).findings}
