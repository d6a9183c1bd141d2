"""`drfsm machine export --format asl`: valid by the language, and no row leads where the machine's rows don't."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.resources import shipped
from drfsm.spec import By, MachineSpec, load_machine
from drfsm.spec.asl import ILLEGAL, asl

MACHINES = ("drill", "promote", "failback")
WORK, QUESTIONS = "https://sqs.example.com/1/work", "https://sqs.example.com/1/questions"


def spec_of(name: str) -> MachineSpec:
    """Return a shipped machine."""
    return load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")


def exported(name: str, **more: int) -> dict[str, Any]:
    """Return a shipped machine in the language."""
    return asl(spec_of(name), work_queue=WORK, questions_queue=QUESTIONS, **more)


def targets(choice: dict[str, Any]) -> set[str]:
    """Return where a choice may lead, its default left out."""
    assert choice["Default"] == ILLEGAL
    return {rule["Next"] for rule in choice["Choices"]}


@pytest.mark.parametrize("name", MACHINES)
def test_an_exported_machine_is_valid_and_small_enough(name: str, tmp_path: Path) -> None:
    """Statelint finds nothing; it stays far below the 1 MB that a definition may have."""
    path = tmp_path / "machine.json"
    assert drfsm(["machine", "export", name, "--format", "asl", "--out", str(path)]) == ExitCode.DONE
    linted = subprocess.run([sys.executable, "-m", "statelint", str(path)], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")
    assert path.stat().st_size < 400_000


def test_what_the_linter_does_not_see_is_refused_by_the_export(capfd: pytest.CaptureFixture[str]) -> None:
    """A heartbeat that is no shorter than the task; a name that is too long."""
    with pytest.raises(ValueError, match="heartbeat"):
        exported("promote", heartbeat_seconds=0)
    with pytest.raises(ValueError, match="heartbeat"):
        exported("promote", heartbeat_seconds=40 * 86400)
    assert drfsm(["machine", "export", "promote", "--format", "asl", "--heartbeat", "0"]) == ExitCode.USAGE
    assert drfsm(["machine", "export", "promote", "--format", "xml"]) == ExitCode.USAGE
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", MACHINES)
def test_an_execution_goes_only_where_a_row_leads(name: str) -> None:
    """Of each state: the rows of the runner and of failures, after an answer all rows, and held; nothing else."""
    spec, states = spec_of(name), exported(name)["States"]
    for state in set(spec.states) - set(spec.finals):
        by_itself = {row.to for row in spec.rows if row.source == state and row.by is not By.OPERATOR}
        by_anybody = {row.to for row in spec.rows if row.source == state}
        triggers = {row.trigger for row in spec.rows if row.source == state and row.by is By.OPERATOR}
        assert targets(states[f"{state}: where"]) == {f"{state}: held", *by_itself}
        assert targets(states[f"{state}: answered"]) == {f"{state}: held", *by_anybody}
        offered = {rule["StringEquals"] for rule in states[f"{state}: decided"]["Choices"]}
        assert offered == triggers | {"resume"}
        assert states[state]["Catch"][0]["Next"] == f"{state}: worker lost"
        assert "Retry" not in states[state]
        assert states[state]["HeartbeatSeconds"] < states[state]["TimeoutSeconds"]
    for state, status in spec.finals.items():
        assert (states[state]["Type"] == "Succeed") == (status == "complete")
    assert states[ILLEGAL]["Type"] == "Fail"


def test_only_the_first_task_carries_the_inputs_and_every_task_a_token_of_its_own() -> None:
    """Paths and addresses are no part of any message; the queues are what a template fills in."""
    spec, states = spec_of("promote"), exported("promote")["States"]
    bodies = {name: state["Parameters"]["MessageBody"] for name, state in states.items() if state["Type"] == "Task"}
    assert {name for name, body in bodies.items() if "inputs.$" in body} == {spec.initial}
    assert {body["task_token.$"] for body in bodies.values()} == {"$$.Task.Token"}
    assert {body["machine_sha256"] for body in bodies.values()} == {spec.sha256}
    assert drfsm(["machine", "export", "promote", "--format", "asl"]) == ExitCode.DONE


def test_the_defaults_are_what_terraform_fills_in(capfd: pytest.CaptureFixture[str]) -> None:
    """The two queues, and nothing else that looks like a template's variable."""
    assert drfsm(["machine", "export", "failback", "--format", "asl"]) == ExitCode.DONE
    printed = capfd.readouterr().out
    assert json.loads(printed)["StartAt"] == "start"
    assert {part.partition("}")[0] for part in printed.split("${")[1:]} == {"work_queue_url", "questions_queue_url"}
    assert "%{" not in printed
