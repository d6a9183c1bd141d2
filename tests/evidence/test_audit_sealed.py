"""A sealed and signed bundle: whatever is done to it is found, by `drfsm audit --key`, each under its code.

Who alters it here knows the format: the chain is made anew, and the seal too where that is said. What no rule of the
log finds (another operator, another time) the seal does; where the seal is made anew, the signature does.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.evidence.audit.audited import FAILS, REMARKED
from drfsm.evidence.sealing import check_seals
from drfsm.evidence.sealing_keys import PublicKey, Signer
from drfsm.journal import Record, fold
from drfsm.journal.chain import lines as chained
from drfsm.runs import auditing
from drfsm.runs.auditing import Asked, audited
from drfsm.runs.seals import seal
from tests.evidence.sealed import made_key
from tests.recorded import BUNDLES

PROMOTE = BUNDLES / "0.5.0" / "promote"
Edit = Callable[[list[Record]], Any]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, PublicKey]:
    """Return what signs, and what checks."""
    return made_key(tmp_path_factory.mktemp("keys") / "signer.pem")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Signer, PublicKey]) -> Path:
    """Return a bundle that was sealed and signed. Nobody changes it."""
    place = Path(shutil.copytree(PROMOTE, tmp_path_factory.mktemp("sealed") / "bundle"))
    place.chmod(0o700)
    assert seal(place, fold(read_chain(place).records), keys[0])
    return place


@pytest.fixture
def bundle(tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of it, as if this version of drfsm had written it."""
    monkeypatch.setattr(auditing, "__version__", "0.5.0")
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def rewrite(place: Path, edit: Edit, *, summary: bool = False) -> None:
    """Edit the records, and make numbers and chain anew; the summary, which knows the head, is taken away."""
    records = list(read_chain(place).records)
    edit(records)
    numbered = [Record(seq, each.kind, each.at, each.body) for seq, each in enumerate(records)]
    (place / LOG).write_bytes(b"".join(chained(numbered)))
    if not summary:
        (place / "promote.summary.json").unlink(missing_ok=True)


def of(number: int, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Return the edit of a record's body."""

    def edit(records: list[Record]) -> None:
        body = json.loads(json.dumps(dict(records[number].body)))
        change(body)
        records[number] = evolve(records[number], body=body)

    return lambda place: rewrite(place, edit)


def text(path: str, old: str, new: str) -> Callable[[Path], Any]:
    """Return the edit of a file."""
    return lambda place: (place / path).write_text((place / path).read_text().replace(old, new, 1))


def sealed_anew(edit: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Return an edit after which somebody seals the bundle anew, with a key of their own."""

    def done(place: Path) -> None:
        edit(place)
        shutil.rmtree(place / "seals")
        (place / "seals").mkdir(mode=0o700)
        other, _ = made_key(place.parent / "other.pem")
        assert seal(place, fold(read_chain(place).records), other)

    return done


BOB = of(0, lambda body: body.update(operator="bob"))
DONE: dict[str, tuple[Callable[[Path], Any], set[str]]] = {
    "another operator": (BOB, {"seal_head"}),
    "another time": (
        lambda place: rewrite(place, lambda records: records.__setitem__(9, evolve(records[9], at=records[8].at))),
        {"seal_head"},
    ),
    "another observation": (
        of(15, lambda body: body["facts"]["dr_inflight"]["seen"]["jobs"].append("evil")),
        {"seal_head", "guard_and_facts_disagree"},
    ),
    "another input": (of(0, lambda body: body["inputs"].update(bucket="evil")), {"seal_head", "input_unlike_seen"}),
    "a dropped pair": (
        lambda place: rewrite(place, lambda records: [records.pop(18), records.pop(18)]),
        {"seal_truncated"},
    ),
    "a run spliced in": (
        lambda place: rewrite(
            place, lambda records: records.extend(read_chain(BUNDLES / "0.5.0" / "failback").records[:3])
        ),
        {"begun_twice"},
    ),
    "a live run passed off as a rehearsal": (of(0, lambda body: body.update(scope="drill")), {"seal_run"}),
    "a live run passed off as a dry run": (
        of(0, lambda body: body.update(dry_run=True)),
        {"seal_run", "dry_run_acted"},
    ),
    "a receipt": (text("promote.summary.json", '"status": "held"', '"status": "complete"'), {"seal_file_changed"}),
    "a step's log": (text("steps/07-approve.log", "ann", "bob"), {"seal_file_changed", "file_differs"}),
    "a step's log removed": (
        lambda place: (place / "steps" / "07-approve.log").unlink(),
        {"seal_file_missing", "file_is_missing"},
    ),
    "a step's log added": (
        lambda place: (place / "steps" / "99-x.log").write_text("x"),
        {"seal_file_added", "file_was_added"},
    ),
    "the machine's file": (
        text("promote.yaml", "# Promote", "# promote"),
        {"seal_file_changed", "other_declaration", "declaration_unknown"},
    ),
    "another operator, and sealed anew with another key": (sealed_anew(BOB), {"seal_not_by_key"}),
    "every seal removed": (lambda place: shutil.rmtree(place / "seals"), {"seal_not_by_key"}),
}


def test_a_sealed_and_signed_bundle_holds(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """What is left to remark is that nobody named a store."""
    (audit,) = audited(str(bundle), Asked(keys=(keys[1],)))
    assert (audit.verdict, {each.code for each in audit.findings if each.severity != "note"}) == (
        REMARKED,
        {"artifacts_not_checked"},
    )


@pytest.mark.parametrize("name", DONE)
def test_whatever_is_done_to_it_is_found_under_its_code(
    name: str, bundle: Path, keys: tuple[Signer, PublicKey]
) -> None:
    """By the log, by a file, by the seal, or by the signature: each forgery has its witness."""
    edit, due = DONE[name]
    edit(bundle)
    (audit,) = audited(str(bundle), Asked(keys=(keys[1],)))
    assert due <= {finding.code for finding in audit.findings}, list(audit.lines())
    assert audit.verdict == FAILS


def test_no_record_can_be_dropped_doubled_swapped_or_cut_off(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Each of them, with the chain made anew: the seal's head, or its count, is another."""
    whole = list(read_chain(bundle).records)
    edits: list[list[Record]] = []
    for at in range(1, len(whole)):
        edits += [
            whole[:at] + whole[at + 1 :],
            [*whole[:at], whole[at - 1], *whole[at:]],
            [*whole[: at - 1], whole[at], whole[at - 1], *whole[at + 1 :]],
            whole[:at],
        ]
    for records in edits:
        rewrite(bundle, lambda now, records=records: now.__setitem__(slice(None), records), summary=True)  # type: ignore[misc]
        codes = {finding.code for finding in check_seals(bundle, keys=(keys[1],))}
        assert codes & {"seal_head", "seal_truncated"}


def test_no_byte_can_be_flipped(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Of any file of the bundle; of long ones every so often."""
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path.name != ".lock"]
    for path in files:
        content = path.read_bytes()
        for at in range(0, len(content), max(1, len(content) // 3)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            found = check_seals(bundle, keys=(keys[1],))
            assert any(finding.severity == "error" for finding in found), (path.name, at)
        path.write_bytes(content)
