"""Who finds it when somebody alters a single field of a recorded run, and makes the chain anew.

tests/data/transcripts/leaves.txt lists what no rule of the log finds, so that only a signature, a mirror or a copied
head does; everything else is found. ``DRFSM_REGENERATE=1`` writes it anew; read the diff before you commit it. The
chain is not made here: the walk is handed the altered records, as it would get them from a chain that holds.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.file_journal import read_lines
from drfsm.dr.procedures import binding
from drfsm.dr.procedures.bound import pairs_of
from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.kinds import Walk
from drfsm.journal import Record, digest, read
from drfsm.spec import load_machine
from tests.recorded import BUNDLES

PLACE = BUNDLES / "0.5.0" / "drill" / "promote"
TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "leaves.txt"
Path_ = tuple[Any, ...]


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield each leaf of a JSON value, of a list those of its first member."""
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from leaves(member, (*path, key))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))
    else:
        yield path, value


def other(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return "x" if value is None else [*value, "x"] if isinstance(value, list) else {**value, "x": "x"}


def altered(record: Record, path: Path_, value: Any) -> Record:
    """Return a record with another value at a path of its body."""
    body: Any = json.loads(json.dumps(dict(record.body)))
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return Record(record.seq, record.kind, record.at, body)


class Auditor:
    """Walks the records of one recorded run again and again."""

    def __init__(self, place: Path) -> None:
        (declared,) = place.glob("*.yaml")
        self.spec = load_machine(declared.read_bytes(), source=declared.name, recorded=True)
        lines = read_lines(place)
        self.heads = [digest(line) for line in lines]
        self.records = read(lines).records
        self._binding = binding(self.spec.name)

    def found(self, changed: Record | None = None) -> set[str]:
        """Return the codes of what is found, with one record in the place of the recorded one."""
        findings = Findings()
        walk = Walk(self.spec, self._binding.judges, findings, self._binding.late, pairs_of(self.spec.name))
        for record, head in zip(self.records, self.heads, strict=True):
            walk.take(changed if changed is not None and changed.seq == record.seq else record, head)
        walk.end()
        return {finding.code for finding in findings.errors}


def named(kind: str, path: Path_) -> str:
    """Return a leaf's name: keys that hold a place in a bucket are one."""
    return f"{kind} " + ".".join("*" if isinstance(key, int) else "<key>" if "/" in key else key for key in path)


def judged(auditor: Auditor) -> dict[str, set[str]]:
    """Return what is found of each field, where it stands first: name -> codes."""
    found: dict[str, set[str]] = {}
    for record in auditor.records:
        for path, value in leaves(dict(record.body)):
            name = named(record.kind, path)
            if name not in found:
                found[name] = auditor.found(altered(record, path, other(value)))
    return found


def test_each_field_of_a_recorded_run_is_found_or_named_as_one_that_only_a_signature_protects() -> None:
    """What the run decided, and on which grounds, is found; what is left is who, when, how long, and what was told."""
    auditor = Auditor(PLACE)
    assert auditor.found() == set()
    found = judged(auditor)
    unfound = sorted(name for name, codes in found.items() if not codes)
    told = "".join(f"{name}\n" for name in unfound)
    if os.environ.get("DRFSM_REGENERATE"):
        TRANSCRIPT.write_text(told, encoding="utf-8")
    assert told == TRANSCRIPT.read_text(encoding="utf-8")
    assert len(found) > 400
    assert len(unfound) < len(found) / 3


FORGED: dict[str, tuple[str, int, Path_, Any, str]] = {
    "the bucket": ("failback", 0, ("inputs", "bucket"), "another", "input_unlike_seen"),
    "the first token": ("failback", 0, ("inputs", "confirm1"), "", "judged_otherwise"),
    "the second token": ("failback", 0, ("inputs", "confirm2"), "CONFIRM-x", "judged_otherwise"),
    "the image of an input": ("failback", 0, ("inputs", "image_ref"), "evil@sha256:0", "input_unlike_seen"),
    "the backup": ("drill", 0, ("inputs", "backup_uri"), "s3://b/p/backups/x", "input_unlike_seen"),
    "the role that is fenced": ("failback", 0, ("inputs", "fence_dr_role"), "arn:x", "input_unlike_seen"),
    "the image that a row returned": ("failback", 4, ("result", "image"), "evil", "result_unlike_seen"),
    "a cluster's UID": ("failback", 4, ("result", "clusters", "dr"), "0", "result_unlike_seen"),
    "the account": ("failback", 4, ("result", "account"), "0", "result_unlike_seen"),
    "the Sid of a fence": ("failback", 26, ("result", "sid"), "Other", "result_unlike_seen"),
    "a schedule that was suspended": ("failback", 19, ("result", "suspended", 0), "other", "result_unlike_seen"),
    "the tree that was published": ("failback", 39, ("result", "tree_sha256"), "0", "result_unlike_seen"),
    "the plan's cluster": (
        "promote",
        15,
        ("facts", "approval", "seen", "plan", "cluster_uid"),
        "0",
        "judged_otherwise",
    ),
    "the starter": ("promote", 15, ("facts", "approver", "seen", "starter", "operator"), "bob", "input_unlike_seen"),
    "the machine that came up": ("drill", 8, ("result", "instance_ids", 0), "i-0", "result_unlike_seen"),
    "the backup's digest": ("drill", 12, ("result", "backup_sha256"), "0", "result_unlike_seen"),
    "the control plane's bundle": ("drill", 16, ("result", "bundle_sha256"), "0", "result_unlike_seen"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forgery_that_used_to_pass_is_found_by_what_else_the_log_says(name: str) -> None:
    """Inputs, tokens, results and ETags: what is said twice is compared, whoever makes the chain anew."""
    machine, seq, path, value, code = FORGED[name]
    auditor = Auditor(BUNDLES / "0.5.0" / machine)
    assert code in auditor.found(altered(auditor.records[seq], path, value))


def test_a_captured_etag_is_held_against_each_later_look_at_the_pointers() -> None:
    """Of every pointer that was captured, though all of them had one ETag."""
    auditor = Auditor(BUNDLES / "0.5.0" / "failback")
    (capture,) = (r for r in auditor.records if r.kind == "commit" and r.body["trigger"] == "capture_pointers")
    assert len(capture.body["result"]["pointers"]) == 4
    for key in capture.body["result"]["pointers"]:
        changed = altered(capture, ("result", "pointers", key, "etag"), '"other"')
        assert auditor.found(changed) == {"result_unlike_seen"}
