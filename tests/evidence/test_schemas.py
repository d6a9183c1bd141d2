"""The shipped schemas are those that the tables declare, whole and self-contained; what older versions left is read."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.evidence.receipts import check
from drfsm.evidence.schemas import RECEIPTS, files
from drfsm.evidence.summary import summarise
from drfsm.journal import fold
from drfsm.resources import shipped
from drfsm.spec import load_machine
from tests.recorded import BUNDLES, MACHINES, recorded

SCHEMAS = Path(__file__).parents[2] / "receipts_schema"
OF_A_JOURNAL = "journal_record.schema.json"
every_recording = pytest.mark.parametrize(
    "place", recorded(), ids=lambda place: "-".join(place.relative_to(BUNDLES).parts)
)


def references(node: Any) -> Iterator[str]:
    """Yield everything that a schema refers to."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("name", sorted(files()))
def test_a_shipped_schema_is_what_its_table_declares(name: str) -> None:
    """Byte for byte; `make schemas` writes them anew."""
    assert (SCHEMAS / name).read_text(encoding="utf-8") == files()[name]


def test_no_schema_of_a_receipt_is_written_by_hand() -> None:
    """What lies in receipts_schema is generated; a journal's record has its own table."""
    assert {path.name for path in SCHEMAS.iterdir()} == {*files(), OF_A_JOURNAL}


@pytest.mark.parametrize("receipt", RECEIPTS, ids=lambda receipt: receipt.name)
def test_a_schema_stands_by_itself(receipt: Any) -> None:
    """It is one of its draft; whatever it refers to is in it, and it defines nothing that it does not use."""
    Draft202012Validator.check_schema(receipt.schema)
    used = {target.removeprefix("#/$defs/") for target in references(receipt.schema)}
    assert used == receipt.schema.get("$defs", {}).keys()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_schema_knows_exactly_the_fields_that_the_machine_declares(machine: str) -> None:
    """The table `receipt:` of a shipped machine and the schema of its summary name the same fields."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=f"{machine}.yaml")
    schema = json.loads(files()[f"{machine}.summary.schema.json"])
    assert set(spec.receipt) == set(schema["properties"]["receipt"]["else"]["properties"])


def test_the_command_writes_them_and_names_each(tmp_path: Path) -> None:
    """`python -m drfsm.evidence.schemas DIRECTORY`; a directory that is not there is refused, and not made."""
    command = [sys.executable, "-m", "drfsm.evidence.schemas"]
    wrote = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    assert {Path(line).name for line in wrote.stdout.splitlines()} == files().keys()
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == files()
    refused = subprocess.run([*command, str(tmp_path / "no")], capture_output=True, text=True, check=False)
    assert (refused.returncode, (tmp_path / "no").exists()) == (2, False)
    assert "is no directory" in refused.stderr


@every_recording
def test_the_summary_of_an_older_version_still_anchors_its_log(place: Path, tmp_path: Path) -> None:
    """Whatever its schema_version, a log that was cut short contradicts it; without it nobody could see the cut."""
    copy = Path(shutil.copytree(place, tmp_path / "run"))
    summary, log = copy / f"{place.name}.summary.json", copy / LOG
    assert json.loads(summary.read_bytes())["schema_version"] in (1, 2, 3, 4)
    assert drfsm(["replay", "--quiet", str(copy)]) == ExitCode.DONE
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert drfsm(["replay", "--quiet", str(copy)]) == ExitCode.EVIDENCE
    summary.unlink()
    assert drfsm(["replay", "--quiet", str(copy)]) == ExitCode.DONE


@every_recording
def test_an_older_run_is_summarised_as_todays_schema_has_it(place: Path) -> None:
    """The records of an older version are told in today's fields; the same statement in the old ones is not one."""
    chain = read_chain(place)
    summary = summarise(fold(chain.records), chain.records, head=chain.head)
    schema = json.loads(files()[f"{place.name}.summary.schema.json"])
    assert check(summary, schema) == []
    summary["phases"] = summary.pop("state_durations")
    assert any("'phases' was unexpected" in fault for fault in check(summary, schema))
