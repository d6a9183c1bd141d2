"""`drfsm receipts check`: what drfsm leaves holds, of every version; what says nothing does not."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ExitCode
from drfsm.evidence.schemas import files
from drfsm.evidence.schemas.minimum import MINIMUM
from drfsm.journal.record_schema import record_schema
from drfsm.resources import shipped
from drfsm.spec import load_machine
from tests.command import Drfsm
from tests.recorded import BUNDLES, recorded

AT = "2026-11-29T09:52:51.372675Z"
POINTERS = {"jobs/latest.json": {"site": "dr", "run_id": "2026-11-28T08:02:45Z"}}
GOOD: dict[str, dict[str, Any]] = {
    "promote": {
        "operator": "ann", "approved_at": AT, "ticket": "CHG-4711", "execution_id": "promote-1", "instance_ids": [],
        "clusters": {"dr": "uid-1", "primary": "uid-2"}, "canonical_run_id": "2026-11-28T08:02:45Z",
        "receipt_prefix": "s3://results/jobs/drfsm/runs/promote-1",
    },
    "failback": {
        "freeze_started_at": AT, "dr_freeze_started_at": AT, "freeze_ended_at": AT, "pointers_before": POINTERS,
        "provider_pointers_before": POINTERS, "pointers_after": POINTERS, "provider_pointers_after": POINTERS,
        "dr_run_verification": {"verdict": "verified"}, "primary_run_verification": {"verdict": "verified"},
        "divergence": {"value": "none"}, "switched_back_at": AT, "first_post_failback_run_id": "2026-11-29T08:02:45Z",
    },
}  # fmt: skip
FIELDS = [(machine, name) for machine, fields in GOOD.items() for name in fields]
each_field = pytest.mark.parametrize(("machine", "name"), FIELDS, ids=str)
SAYS_NOTHING = {
    "an empty text": "", "a blank": " \t", "TBD": "TBD", "n/a": "n/a", "N/A.": "N/A.", "dots": "...", "a dash": "-",
    "a form's own words": "<name>", "a variable": "${TICKET}", "to do": "Todo", "null": None, "an empty object": {},
    "unknown": {"unknown": "it was not read"}, "none without a reason": {"none": ""}, "none, to be said": {"none": "-"},
}  # fmt: skip


def summary(machine: str, **fields: Any) -> dict[str, Any]:
    """Return a summary of a version that nobody knows any more: only its minimum fields are held to anything."""
    receipt = {name: value for name, value in {**GOOD[machine], **fields}.items() if value is not Ellipsis}
    return {"schema_version": 1, "status": "complete", "scope": "live", "dry_run": False, "receipt": receipt}


def checked(drfsm: Drfsm, tmp_path: Path, machine: str, **fields: Any) -> tuple[int, list[str]]:
    """Return the exit code of a check, and its faults."""
    path = tmp_path / f"{machine}.summary.json"
    path.write_text(json.dumps(summary(machine, **fields)), encoding="utf-8")
    answer = drfsm("receipts", "check", path, "-o", "json")
    (result,) = answer.json
    return answer.code, result["faults"]


@pytest.mark.parametrize("machine", MINIMUM)
def test_a_receipt_with_its_minimum_fields_holds(machine: str, drfsm: Drfsm, tmp_path: Path) -> None:
    """Seven of a promote, six of a failback; the fields are those of the machine's own receipt table."""
    assert checked(drfsm, tmp_path, machine) == (ExitCode.DONE, [])
    assert len(MINIMUM[machine]) == {"promote": 7, "failback": 6}[machine]
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=f"{machine}.yaml")
    named = [name for minimum in MINIMUM[machine] for name in minimum.fields]
    assert set(named) == set(GOOD[machine])
    assert set(named) <= set(spec.receipt)


@each_field
def test_a_minimum_field_that_says_nothing_is_found(machine: str, name: str, drfsm: Drfsm, tmp_path: Path) -> None:
    """Missing, empty, blank, a placeholder, null, unknown: each, in each field, and by the field's name."""
    for said in (*SAYS_NOTHING.values(), ...):
        code, faults = checked(drfsm, tmp_path, machine, **{name: said})
        assert (code, len(faults)) == (ExitCode.EVIDENCE, 1), said
        assert name in faults[0]


@each_field
def test_none_with_a_reason_will_do(machine: str, name: str, drfsm: Drfsm, tmp_path: Path) -> None:
    """A site that was lost, a soak that was passed over: there is none, and why."""
    assert checked(drfsm, tmp_path, machine, **{name: {"none": "DR was lost for good"}}) == (ExitCode.DONE, [])


def test_a_run_that_is_not_complete_need_not_have_them(drfsm: Drfsm, tmp_path: Path) -> None:
    """Nor a drill's, nor a dry run's."""
    for fields in ({"status": "held"}, {"scope": "drill"}, {"dry_run": True}):
        path = tmp_path / "promote.summary.json"
        path.write_text(json.dumps({**summary("promote", ticket=""), **fields}), encoding="utf-8")
        assert drfsm("receipts", "check", path).code == ExitCode.DONE


@pytest.mark.parametrize("version", sorted({place.parent.name for place in recorded()}))
def test_what_every_version_left_is_still_read(version: str, drfsm: Drfsm) -> None:
    """Each receipt of its bundles, found by its name."""
    answer = drfsm("receipts", "check", *(place for place in recorded() if place.parent.name == version))
    assert answer.code == ExitCode.DONE, answer.out
    assert len(answer.out.splitlines()) > 10


def test_an_edited_receipt_a_garbled_one_and_one_of_no_known_name_are_told(drfsm: Drfsm, tmp_path: Path) -> None:
    """By the field; by what can't be read; by how to name its schema."""
    bundle = Path(shutil.copytree(BUNDLES / "0.5.0" / "drill", tmp_path / "drill"))
    receipt = bundle / "validation.receipt.json"
    value = json.loads(receipt.read_bytes())
    receipt.write_text(json.dumps({**value, "objects": "5"}), encoding="utf-8")
    (bundle / "drill.summary.json").write_bytes(b'{"a": 1, "a": 2}')
    answer = drfsm("receipts", "check", bundle)
    assert answer.code == ExitCode.EVIDENCE
    assert "$.objects: '5' is not of type 'integer'" in answer.out
    assert "drill.summary.json can't be read" in answer.out
    unnamed = tmp_path / "x.json"
    unnamed.write_text(json.dumps(value), encoding="utf-8")
    assert drfsm("receipts", "check", unnamed).code == ExitCode.USAGE
    assert drfsm("receipts", "check", unnamed, "--schema", "validation.receipt").code == ExitCode.DONE
    assert drfsm("receipts", "check", unnamed, "--schema", "nothing").code == ExitCode.USAGE
    assert drfsm("receipts", "check", tmp_path / "none.summary.json").code == ExitCode.USAGE


def wordless(node: Any, path: str = "$") -> Iterator[str]:
    """Yield every property of a schema, however deep, that nothing describes. Rules repeat properties, and are none."""
    if isinstance(node, dict):
        for name, shape in node.get("properties", {}).items() if isinstance(node.get("properties"), dict) else ():
            if not (isinstance(shape, dict) and str(shape.get("description", "")).strip()):
                yield f"{path}.{name}"
        for key, part in node.items():
            if key != "allOf":
                yield from wordless(part, f"{path}/{key}")
    elif isinstance(node, list):
        for part in node:
            yield from wordless(part, path)


@pytest.mark.parametrize("name", [*sorted(files()), "journal_record"])
def test_every_field_that_a_person_can_read_is_described(name: str) -> None:
    """In every shipped schema, the journal's record included."""
    schema = record_schema() if name == "journal_record" else json.loads(files()[name])
    assert list(wordless(schema)) == []
    assert wordless({"properties": {"x": {"type": "string"}}}).__next__() == "$.x"
