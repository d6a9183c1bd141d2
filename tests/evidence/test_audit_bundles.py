"""`drfsm audit` of whole bundles: recorded ones, as they are and after somebody edited, removed or added a file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.evidence.audit.audited import FAILS, HOLDS, REMARKED, Audited, document, worst
from drfsm.evidence.receipts import check
from drfsm.journal import Record, lines
from drfsm.resources import shipped
from drfsm.runs import auditing
from drfsm.runs.auditing import Asked, audited
from tests.recorded import BUNDLES

VERSION = "0.5.0"
ALWAYS = {"artifacts_not_checked", "head_not_compared", "mirror_not_compared", "unsealed"}
"""What an audit of these bundles remarks that is given nothing beside them."""
Edit = Callable[[Path], Any]


@pytest.fixture(autouse=True)
def of_this_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Judge the bundles as if this version of drfsm had written them."""
    monkeypatch.setattr(auditing, "__version__", VERSION)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))


def copied(machine: str, tmp_path: Path) -> Path:
    """Return a copy of a recorded bundle."""
    return Path(shutil.copytree(BUNDLES / VERSION / machine, tmp_path / machine))


def codes(audits: list[Audited]) -> set[str]:
    """Return what was found beside what is always remarked."""
    return {finding.code for each in audits for finding in each.findings} - ALWAYS


def edited(path: str, old: str, new: str) -> Edit:
    """Return the edit of a file."""

    def edit(place: Path) -> None:
        text = (place / path).read_text(encoding="utf-8")
        assert old in text
        (place / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def without(path: str) -> Edit:
    """Return the removal of a file, or of a run that the bundle's run began."""
    return lambda place: shutil.rmtree(place / path) if (place / path).is_dir() else (place / path).unlink()


def with_file(path: str, text: str = "x\n") -> Edit:
    """Return the addition of a file."""
    return lambda place: (place / path).write_text(text, encoding="utf-8")


def cut(path: str, count: int = 1) -> Edit:
    """Return the edit that takes the last lines of a file away."""

    def edit(place: Path) -> None:
        kept = (place / path).read_bytes().splitlines(keepends=True)[:-count]
        (place / path).write_bytes(b"".join(kept))

    return edit


def rewritten(number: int, change: Callable[[dict[str, Any]], Any]) -> Edit:
    """Return the edit of a record, with the chain made anew and the summary, which knows the old one, removed."""

    def edit(place: Path) -> None:
        records = list(read_chain(place).records)
        body = json.loads(json.dumps(dict(records[number].body)))
        change(body)
        records[number] = evolve(records[number], body=body)
        (place / LOG).write_bytes(b"".join(lines(records)))
        next(place.glob("*.summary.json")).unlink()

    return edit


NOTHING: Edit = lambda _place: None  # noqa: E731  a table's word
OTHER = "0" * 64
EDITS: dict[str, tuple[str, Edit, set[str]]] = {
    "a drill as it was recorded": ("drill", NOTHING, set()),
    "a promote as it was recorded": ("promote", NOTHING, {"two_people_not_asked"}),
    "a line of a step's log": (
        "drill",
        edited("steps/06-check_backup.log", "check_backup", "check_nothing"),
        {"file_differs"},
    ),
    "the end of a step's log": ("drill", cut("steps/06-check_backup.log"), {"file_is_behind"}),
    "a step's log removed": ("drill", without("steps/06-check_backup.log"), {"file_is_missing"}),
    "a step's log added": ("drill", with_file("steps/99-soak.log"), {"file_was_added"}),
    "a phase's receipt": (
        "drill",
        edited("phases/restore.receipt.json", '"attempts": 1', '"attempts": 0'),
        {"file_differs"},
    ),
    "a drill's phase called live": (
        "drill",
        edited("phases/restore.receipt.json", '"scope": "drill"', '"scope": "live"'),
        {"file_differs", "mode_differs"},
    ),
    "a receipt that is no JSON": (
        "drill",
        with_file("validation.receipt.json"),
        {"file_differs", "receipt_unreadable"},
    ),
    "a receipt without a field": (
        "drill",
        edited("validation.receipt.json", '"run_id"', '"run_name"'),
        {"file_differs", "receipt_not_as_declared"},
    ),
    "a summary of a dry run": (
        "drill",
        edited("drill.summary.json", '"dry_run": false', '"dry_run": true'),
        {"file_differs", "mode_differs", "receipt_not_as_declared"},
    ),
    "what was fetched of the control plane": (
        "drill",
        edited("control-plane/fetch/fetch.summary.env", "BUNDLE_SHA256=", "BUNDLE_SHA256=0"),
        {"file_differs"},
    ),
    "a file that nobody knows": ("drill", with_file("notes.txt"), {"file_unknown"}),
    "a summary that knows more": ("promote", cut(LOG), {"log_cut_off", "two_people_not_asked"}),
    "a broken line": (
        "promote",
        edited(LOG, '"seq":7', '"seq":8'),
        {"chain_broken", "lines_not_judged", "log_cut_off"},
    ),
    "two declarations": ("promote", with_file("other.yaml"), {"bundle_unreadable"}),
    "another declaration": (
        "promote",
        edited("promote.yaml", "# Promote", "# promote"),
        {"declaration_unknown", "other_declaration", "two_people_not_asked"},
    ),
    "another digest approved": (
        "promote",
        rewritten(15, lambda body: body["args"].update(approved_plan=OTHER)),
        {"approval_not_as_recorded", "approval_of_other_plan", "approved_plan_is_newer", "inputs_amended_otherwise",
         "two_people_not_asked"},
    ),
    "another digest beside the plan": (
        "promote",
        rewritten(15, lambda body: body["facts"]["approval"]["seen"].update(sha256=OTHER)),
        {"plan_digest_wrong", "guard_and_facts_disagree", "two_people_not_asked"},
    ),
    "a rehearsal that is called live": (
        "drill/promote",
        rewritten(0, lambda body: body.update(scope="live")),
        {"file_is_missing", "mode_unlike_inputs"},
    ),
    "a word that the schema does not have": (
        "promote",
        rewritten(13, lambda body: body.update(lease="kept")),
        {"field_not_as_declared", "lease_released_too_late", "two_people_not_asked"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_of_a_bundle_is_found_under_its_code(name: str, tmp_path: Path) -> None:
    """And nothing else is found; a bundle as it was recorded holds, with the remark that nobody signed it."""
    machine, edit, due = EDITS[name]
    place = copied(machine, tmp_path)
    edit(place)
    audits = audited(str(place), Asked())
    assert codes(audits) == due, "\n".join(line for each in audits for line in each.lines())
    schema = json.loads((shipped("receipts_schema") / "audit.schema.json").read_bytes())
    assert check(document(audits), schema) == []
    assert worst(audits) == (FAILS if any(f.severity == "error" for a in audits for f in a.findings) else REMARKED)


def test_two_people_are_asked_for(tmp_path: Path) -> None:
    """The recorded promote was approved by the person who started it; and one whose approver nothing is known of."""
    place = copied("promote", tmp_path)
    assert codes(audited(str(place), Asked(two_people=True))) == {"approved_by_the_operator"}

    def nameless(body: dict[str, Any]) -> None:
        body["facts"]["approver"]["seen"]["approver"] = {"operator": "eve", "proven": {}}

    rewritten(15, nameless)(place)
    assert "approver_unclear" in codes(audited(str(place), Asked(two_people=True)))


def test_a_copied_head_makes_one_remark_less_and_finds_a_log_that_was_cut(tmp_path: Path) -> None:
    """The head in a summary that left the machine."""
    place = copied("promote", tmp_path)
    head = read_chain(place).head
    (whole,) = audited(str(place), Asked(expect_head=head))
    assert "head_not_compared" not in {finding.code for finding in whole.findings}
    cut(LOG)(place)
    without("promote.summary.json")(place)
    assert "log_rewritten" in codes(audited(str(place), Asked(expect_head=head)))


def test_a_bundle_of_an_older_version_is_compared_as_far_as_it_can_be(tmp_path: Path) -> None:
    """What was worded otherwise is a remark, with the advice to audit with that version; nothing is an error."""
    place = Path(shutil.copytree(BUNDLES / "0.2.0" / "promote", tmp_path / "old"))
    audits = audited(str(place), Asked())
    assert codes(audits) == {"file_differs_from_todays", "receipt_of_other_schema", "two_people_not_asked"}
    assert worst(audits) == REMARKED


def test_a_run_that_it_began_is_the_one_that_it_saw(tmp_path: Path) -> None:
    """A drill records the head of its promote's log: a log that was cut or exchanged since, or removed, is found."""
    drill = copied("drill", tmp_path)
    chain = read_chain(drill / "promote")
    child = {"run_id": "promote-1", "machine": "promote", "records": len(chain.records), "head": chain.head}
    sample = {"row": "a --b--> c", "state": "a", "holds": True}
    seen = Record(7, "sampled", "", {**sample, "facts": {"promotion": {"value": "complete", "seen": child}}})
    more = auditing._More(Asked())
    more.take(seen)
    assert list(auditing._begun(more.children, drill)) == []
    cut(f"promote/{LOG}")(drill)
    assert [finding.code for finding in auditing._begun(more.children, drill)] == ["child_differs"]
    without("promote")(drill)
    assert [finding.code for finding in auditing._begun(more.children, drill)] == ["child_is_missing"]


def test_an_empty_bundle_is_a_finding(tmp_path: Path) -> None:
    """Whatever is wrong with a bundle stops no audit of others."""
    (none,) = audited(str(tmp_path / "nowhere"), Asked())
    assert (none.verdict, codes([none])) == (FAILS, {"bundle_unreadable"})
    assert set(none.record["rules"].values()) == {"broken", "not_asked"}
    assert worst([]) == HOLDS
