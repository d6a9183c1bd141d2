"""What is not legal in a state is rejected in the real world too: nothing moves, and a record of it remains.

All pairs of state and trigger are tried in memory (tests/engine); here every trigger of the machine is asked for
in one of the states that a real run passes through, with the whole wiring of `drfsm request`: lease, mirror, sites.
"""

import json
import os
from typing import Any

import pytest

from drfsm.engine import Runner
from drfsm.errors import ExitCode, IllegalTransition
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.runs import wiring
from drfsm.runs.invocation import Invocation
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.model import By
from drfsm.testing import illegal_triggers
from tests.e2e.sites import Place, Site, at, at_undo

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")
STATES: dict[str, Place] = {
    "intent_confirmed": at("intent", "run_preflight", "before"),
    "primary_quiesced": at("intent", "freeze_dr", "before"),
    "validation_started": at("commit", "await_validation", "before"),
    "provider_switched": at("intent", "switch_global_pointer", "before"),
}
BY_COMMAND = {"switch_global_pointer", "freeze_dr", "accept_divergence"}


@pytest.fixture
def spec() -> MachineSpec:
    """Return the machine as it is declared."""
    return load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback.yaml")


@pytest.fixture
def as_operator(shared: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return the shared site, with this process in an operator's environment."""
    shared.fresh()
    for name, value in shared.environ().items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return shared


def moved(site: Site) -> Any:
    """Return all that a trigger could have moved: pointers, artifacts, and every object of the sites."""
    objects = {
        key: etag
        for key, etag in site.objects().items()
        if "/drfsm/runs/" not in key and "/drfsm/checkpoints/" not in key
    }
    objects.pop("jobintel/drfsm/lease.json", None)
    return objects, site.versions()


def assert_rejected(site: Site, spec: MachineSpec, state: str, triggers: set[str]) -> set[str]:
    """Ask for those of these triggers that are not legal here: rejected, on record, and nothing moved. Return them."""
    inputs = site.records()[0]["body"]["inputs"]
    before = moved(site)
    asked = [trigger for trigger in sorted(illegal_triggers(spec, state, inputs)) if trigger in triggers]
    assert asked

    def everything(runner: Runner) -> RunState:
        for trigger in asked:
            with pytest.raises(IllegalTransition) as refused:
                runner.request(trigger, {"reason": "a test"})
            found: IllegalTransition = refused.value
            assert (found.machine, found.state, found.trigger) == ("failback", state, trigger)
        return runner.state

    assert wiring.resume(str(site.bundle), everything, Invocation()).state.status == "held"
    assert moved(site) == before
    rejected = [each["body"] for each in site.records() if each["kind"] == "rejected"]
    here = [each for each in rejected if each["state"] == state]
    assert sorted(each["trigger"] for each in here) == asked
    legal = sorted({row.trigger for row in spec.rows_from(state, inputs, By.OPERATOR)})
    assert {tuple(sorted(each["legal"])) for each in here} == {tuple(sorted(["resume", *legal]))}
    return set(asked)


def test_every_illegal_trigger_is_rejected_in_the_states_of_a_real_run(as_operator: Site, spec: MachineSpec) -> None:
    """Killed in each of these states, asked there for its share of the triggers: nothing moves, a record remains."""
    site = as_operator
    command = site.failback(*CRONJOB)
    triggers = sorted({row.trigger for row in spec.rows})
    legal_at_its_turn = set(triggers)
    for number, (state, place) in enumerate(STATES.items()):
        site.killed(command, place)
        legal_at_its_turn -= assert_rejected(site, spec, state, {*triggers[number :: len(STATES)]})
        command = ["resume", str(site.bundle)]
    site.killed(["abort", str(site.bundle), "--reason", "over"], at_undo("demote_dr", "intent", "before"))
    before = moved(site)
    for trigger in sorted(BY_COMMAND | legal_at_its_turn | {"abort"}):
        told = site.run("request", trigger, str(site.bundle), "--reason", "no")
        assert told.code == ExitCode.ILLEGAL, told
        assert f"{trigger} is not legal in state aborting" in told.err
        assert "legal here: resume, waive_undo" in told.err
    assert moved(site) == before
    assert site.run("resume", str(site.bundle)).code == ExitCode.ABORTED
    before, records = moved(site), site.records()
    for trigger in ("abort", "finish", "waive_undo"):
        told = site.run("request", trigger, str(site.bundle), "--reason", "no")
        assert (told.code, "the run has ended: aborted" in told.err) == (ExitCode.ILLEGAL, True), told
    assert (moved(site), site.records()) == (before, records)
    assert json.loads(site.body("jobintel/drfsm/lease.json"))["held"] is False
    assert site.run("replay", str(site.bundle), "--quiet").code == ExitCode.DONE
