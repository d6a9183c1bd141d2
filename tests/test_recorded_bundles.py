"""What an earlier version wrote is still told, replayed, audited, and gone on with to its end.

The bundles are those of tests/data/bundles, one a machine and version (tests/record_bundles.py records the next);
the drill's holds that of the promote that it had begun.
"""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from attrs import evolve

from drfsm import __version__
from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.cli.main import run as drfsm
from drfsm.dr.procedures.bindings import INPUT_DEFAULTS, MACHINES, binding
from drfsm.errors import ExitCode
from drfsm.evidence.audit import audit
from drfsm.journal import fold, lines
from drfsm.resources import known, shipped
from drfsm.spec import MachineSpec, load_machine
from tests.recorded import BUNDLES, World, recorded


def name_of(place: Path) -> str:
    """Return what a test of a bundle is called."""
    return "-".join(place.relative_to(BUNDLES).parts)


EVERY = sorted(each.parent for each in BUNDLES.rglob(LOG))
SECRET = re.compile(rb"sandbox-operator-secret|token[\"']?: ?[\"']?sandbox-|private_key|client-key-data|BEGIN .*KEY")
each_bundle = pytest.mark.parametrize("place", EVERY, ids=name_of)
each_machine = pytest.mark.parametrize("machine", MACHINES)


def pinned_to(place: Path) -> MachineSpec:
    """Return the declaration that a recorded run is pinned to."""
    (declared,) = place.glob("*.yaml")
    return load_machine(declared.read_bytes(), source=declared.name)


def today(machine: str) -> tuple[bytes, MachineSpec]:
    """Return a machine as it is shipped today."""
    text = (shipped("machines") / f"{machine}.yaml").read_bytes()
    return text, load_machine(text, source=f"{machine}.yaml")


# --- what is recorded ---------------------------------------------------------------------------------------------


@each_machine
def test_there_is_a_bundle_of_every_machine_that_is_held_with_an_open_intent(machine: str) -> None:
    """One of each version that recorded any: held, its intent open, without a private file or a secret."""
    for version in BUNDLES.iterdir():
        place = version / machine
        state = fold(read_chain(place).records)
        assert (state.machine, state.status, state.open is not None) == (machine, "held", True), place
        assert not (place / "private").exists()
        assert not [file for file in place.rglob("*") if file.is_file() and SECRET.search(file.read_bytes())]


# --- told, replayed, audited --------------------------------------------------------------------------------------


@each_bundle
def test_every_observation_is_judged_again_as_it_was(place: Path) -> None:
    """Today's judges say the same of what was seen then; none is missing, and nothing else is found."""
    spec = pinned_to(place)
    bound = binding(spec.name)
    verdict = audit((place / LOG).read_bytes(), spec, judges=bound.judges, late=bound.late)
    assert verdict.ok, "\n".join(verdict.lines())
    assert verdict.state.status == "held"
    assert verdict.notes == ()
    assert verdict.rejudged > 50


@each_bundle
def test_status_and_replay_tell_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where it stands and what to type; its story, and that the evidence holds."""
    copy = tmp_path / "bundle"
    shutil.copytree(place, copy)
    state = fold(read_chain(place).records)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    assert drfsm(["status", str(copy)]) == ExitCode.DONE
    told = capfd.readouterr().out
    assert f"HELD in {state.state}" in told
    assert "drfsm resume" in told
    assert drfsm(["replay", str(copy)]) == ExitCode.DONE
    told = capfd.readouterr().out
    assert state.open is not None
    assert state.open.trigger in told
    assert "The evidence holds" in told


def test_keys_of_a_later_version_are_ignored_by_status_and_refused_by_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In an identity and in a guard: the run is told as ever, and the audit names both keys."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    copy = tmp_path / "home" / "runs" / "later"
    shutil.copytree(BUNDLES / "0.2.0" / "failback", copy)
    (copy / "failback.summary.json").unlink()  # it knows the head that this log had before
    records = list(read_chain(copy).records)
    guarded = next(number for number, record in enumerate(records) if record.body.get("guards"))
    guard, *guards = records[guarded].body["guards"]
    identity = {**records[0].body["proven"], "sso": "ann@x"}
    for number, later in ((0, {"proven": identity}), (guarded, {"guards": [{**guard, "unit": "s"}, *guards]})):
        records[number] = evolve(records[number], body={**records[number].body, **later})
    (copy / LOG).write_bytes(b"".join(lines(records)))
    for command in (["status", str(copy)], ["list"]):
        assert drfsm(command) == ExitCode.DONE, command
        assert "held" in capfd.readouterr().out.lower(), command
    assert drfsm(["replay", str(copy)]) == ExitCode.EVIDENCE
    findings = [line for line in capfd.readouterr().out.splitlines() if "[shape]" in line]
    assert len(findings) == 2
    assert "proven has the undeclared key sso" in findings[0]
    assert "guards[0] has the undeclared key unit" in findings[1]


def vouching(copy: Path) -> list[str]:
    """Return what a person types who has looked at every journal of a bundle, and stands by its approval."""
    words = []
    for log in sorted(copy.rglob(LOG)):
        chain = read_chain(log.parent)
        words += ["--expect-head", chain.head]
        if approval := fold(chain.records).args.get("approve"):
            words += ["--approved-plan", str(approval["approved_plan"])]
    return words


# --- gone on with ---------------------------------------------------------------------------------------------------


@pytest.mark.sandbox
@pytest.mark.timeout(120)
@pytest.mark.parametrize("place", recorded(), ids=name_of)
def test_it_goes_on_to_its_end(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken up on another machine, in a world like that of then: complete, whole, and no machine is left."""
    copy = tmp_path / "bundle"
    shutil.copytree(place, copy)
    before = fold(read_chain(copy).records)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    with World(place, tmp_path / "world") as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        kubeconfigs = [
            word
            for site, cluster in world.clusters.items()
            if before.inputs.get(f"kubeconfig_{site}")
            for word in (f"--kubeconfig-{site}", str(cluster.kubeconfig))
        ]
        command = ["resume", str(copy), "--take-over", before.run_id, *kubeconfigs]
        assert drfsm(command) == ExitCode.REFUSED  # nothing says here who wrote these records
        assert drfsm([*command, *vouching(copy)]) == ExitCode.DONE
        assert world.alive() == set()
    for each in sorted(copy.rglob(LOG)):
        spec = pinned_to(each.parent)
        bound = binding(spec.name)
        verdict = audit(each.read_bytes(), spec, judges=bound.judges, late=bound.late)
        assert (verdict.state.status, verdict.state.sealed, verdict.ok) == ("complete", True, True), verdict.findings


# --- the tables that keep it so -------------------------------------------------------------------------------------


@each_bundle
def test_all_that_it_names_is_bound_and_what_it_lacks_has_a_default(place: Path) -> None:
    """No fact or action was forgotten since, and each input that came since has a line in the table of defaults."""
    then = pinned_to(place)
    _, now = today(then.name)
    assert binding(then.name).missing_for(then) == []
    lacking = now.inputs.keys() - then.inputs.keys() - INPUT_DEFAULTS[then.name].keys()
    where = f'add to "{then.name}" in INPUT_DEFAULTS of drfsm/dr/procedures/bindings.py'
    lines = [f'{where}: "{name}": <what leaves older runs as they were>' for name in sorted(lacking)]
    assert not lines, "\n".join(lines)


@each_machine
def test_a_default_is_a_value_that_the_input_may_have(machine: str) -> None:
    """Every default is of an input that the machine has today, and one of its values."""
    _, now = today(machine)
    for name, value in INPUT_DEFAULTS[machine].items():
        assert name in now.inputs, f"{machine} has no input {name}: take it out of INPUT_DEFAULTS"
        values = now.inputs[name].values
        assert not values or str(value) in values, f"{machine}: {name} may be one of {values}, not {value!r}"


@each_machine
def test_the_binding_is_exactly_the_shipped_machines(machine: str) -> None:
    """Of today's machine every name is bound, and nothing else is."""
    binding(machine).complete_for(today(machine)[1])


def _line(digest: str, machine: str, version: str) -> str:
    return f'add to _KNOWN of drfsm/resources.py:\n    "{digest}": Known("{machine}", "{version}"),'


@each_machine
def test_todays_declaration_is_known_by_its_digest(machine: str) -> None:
    """Who resumes a run of this version, with whichever later one, must know what it is pinned to."""
    digest = hashlib.sha256(today(machine)[0]).hexdigest()
    declaration = known(digest)
    assert declaration is not None, _line(digest, machine, __version__)
    assert declaration.machine == machine


@each_bundle
def test_a_recorded_runs_declaration_is_known_by_its_digest(place: Path) -> None:
    """What any version shipped stays known: no line of the table is ever taken away."""
    state = fold(read_chain(place).records)
    declaration = known(state.machine_sha256)
    assert declaration is not None, _line(state.machine_sha256, state.machine, state.version)
    assert declaration.machine == state.machine


@pytest.mark.parametrize("digest", ["", "0" * 64, "failback", hashlib.sha256(b"").hexdigest().upper()])
def test_no_other_digest_is_known(digest: str) -> None:
    """Nothing is known by chance."""
    assert known(digest) is None
