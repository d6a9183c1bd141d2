"""A receipt is held against its schema, in words; the shipped schemas ask for what the seed asks for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from drfsm.evidence.receipts import check
from drfsm.journal import KINDS, Record
from tests import record_schema

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

SCHEMAS = Path(__file__).parents[2] / "receipts_schema"
MINIMUM = {
    "freeze start/end timestamps": ("freeze_started_at", "freeze_ended_at"),
    "pre/post pointers": (
        "pointers_before",
        "pointers_after",
        "provider_pointers_before",
        "provider_pointers_after",
    ),
    "artifact verification result": ("dr_run_verification", "primary_run_verification"),
    "divergence diff summary": ("divergence",),
    "switchback timestamp": ("switched_back_at",),
    "first successful post-failback publish run id": ("first_post_failback_run_id",),
}


def schema(name: str) -> dict[str, Any]:
    """Return a shipped schema."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    return found


@pytest.mark.parametrize("name", sorted(each.name.removesuffix(".schema.json") for each in SCHEMAS.glob("*.json")))
def test_a_shipped_schema_is_one(name: str) -> None:
    """It is a valid schema of the draft that it names."""
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("fields", MINIMUM.values(), ids=MINIMUM.keys())
def test_the_minimum_failback_receipt_fields_are_required(fields: tuple[str, ...]) -> None:
    """What seed/dr_promote_failback.md lists can't be left out of a summary."""
    assert set(fields) <= set(schema("failback.summary")["properties"]["receipt"]["else"]["required"])


def test_the_journal_schema_knows_every_kind_and_its_keys() -> None:
    """The table of kinds and the schema say the same."""
    definitions = schema("journal_record")["$defs"]
    for kind, keys in KINDS.items():
        assert set(keys) == set(definitions[kind]["required"]), kind


def test_the_journal_schema_is_the_one_that_the_table_of_kinds_makes() -> None:
    """The shipped file is what `python -m tests.record_schema` writes."""
    assert record_schema.SHIPPED.read_bytes() == record_schema.generated(), "run: python -m tests.record_schema"


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a field left out": (lambda told: told.pop("operators"), "'operators' is a required property"),
    "a field nobody asked for": (lambda told: told.update(mood="good"), "'mood' was unexpected"),
    "a status that there isn't": (lambda told: told.update(status="fine"), "$.status: 'fine' is not one of"),
    "a token shown": (lambda told: told["inputs"].update(confirm1="FAILBACK"), "$.inputs: 'confirm1'"),
    "a receipt's field left out": (
        lambda told: told["receipt"].pop("divergence"),
        "'divergence' is a required property",
    ),
    "complete, yet not switched back": (
        lambda told: told["receipt"].update(switched_back_at={"unknown": "hm"}),
        "$.receipt.switched_back_at",
    ),
    "complete, yet without a switchback": (
        lambda told: told["receipt"].update(switched_back_at={"none": "hm"}),
        "$.receipt.switched_back_at",
    ),
    "a pointer after without its run's site": (
        lambda told: next(iter(told["receipt"]["pointers_after"].values())).pop("run_id"),
        "$.receipt.pointers_after",
    ),
    "null for what is not known": (lambda told: told.update(ended_at=None), "$.ended_at: None is not"),
    "a dry run said to be complete": (lambda told: told.update(dry_run=True), "$.status: 'complete' is not one of"),
    "no head": (lambda told: told["journal"].update(head="abc"), "$.journal.head: 'abc' does not match"),
}


@pytest.mark.parametrize(("spoil", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_summary_that_says_what_it_may_not_is_told_so(
    spoil: Callable[[dict[str, Any]], Any], words: str, failback_play: Callable[..., "Play"]
) -> None:
    """The violation is named with its place."""
    told = failback_play().start().summary()
    assert check(told, schema("failback.summary")) == []
    spoil(told)
    found = check(told, schema("failback.summary"))
    assert any(words in each for each in found), found


def test_all_violations_are_told_at_once() -> None:
    """An empty statement lacks everything, each on a line of its own."""
    found = check({}, schema("failback.summary"))
    assert len(found) > 20


def test_a_duration_that_never_ends_is_of_no_shape() -> None:
    """JSON can say 1e999, which is infinite: whoever tells a duration must not meet it."""
    body = {"row": "a --b--> c", "state": "a", "facts": {}, "holds": True, "waited_seconds": float("inf")}
    found = list(Record(0, "sampled", "2026-02-27T00:00:00.000000Z", body).faults())
    assert found == ["waited_seconds of a sampled record is not of its type"]
