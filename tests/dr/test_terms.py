"""The table of a run's inputs: every line is typed, none is guessed, and nothing in dr/ reads an input past it."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.dr.layout import Layout
from drfsm.dr.procedures import with_defaults
from drfsm.dr.procedures.bindings import MACHINES
from drfsm.dr.terms import Terms, table, terms_of
from drfsm.dr.workload import Workload, legacy
from drfsm.errors import UsageFault
from drfsm.journal import fold
from drfsm.resources import shipped
from drfsm.spec import load_machine
from tests.recorded import recorded

DR = Path(__file__).parent.parent.parent / "drfsm" / "dr"
DECLARED = {
    machine: set(load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine).inputs)
    for machine in MACHINES
}
BY_EVERY = set.intersection(*DECLARED.values())
BY_ANY = set.union(*DECLARED.values())
NO_MACHINES = {"control_plane_source"}  # where a restore takes the control plane from: no machine asks for it yet

TYPES: Mapping[type, set[str]] = {
    Workload: {"workload"},
    bool: {
        "adopt_ownership", "allow_degraded", "allow_image_drift", "allow_older", "allow_tag", "approval_distinct",
        "control_plane_is_bundled", "deployments_as_backed_up", "dr_unreachable", "fence_dr", "fence_primary",
        "gitops_paused", "is_rehearsal", "no_fence", "only_teardown", "primary_unreachable", "promote",
        "promotes_canonical", "recovery_is_whole", "refresh_pull_secret", "require_state", "restore",
        "skip_workload_assume",
        "teardown", "validate",
    },
    float: {
        "approval_expires_seconds", "boot_timeout", "expected_minutes", "reach_timeout", "recovery_time_objective",
        "drain_timeout", "startup_timeout", "validation_timeout",
    },
    tuple: {"alarms", "allow_in_backup", "resume_cronjobs", "validation_env"},
}  # fmt: skip
"""Type -> its fields; all others are texts."""
OPTIONAL = {"approval_expires_seconds", "expected_minutes", "recovery_time_objective"}  # None where nothing is asked


def type_of(field: str) -> type:
    """Return the type that a field is to have."""
    return next((kind for kind, fields in TYPES.items() if field in fields), str)


def name_of(place: Path) -> str:
    """Return what a test of a bundle is called."""
    return f"{place.parent.name}-{place.name}"


def inputs_of(place: Path) -> dict[str, Any]:
    """Return a recorded run's inputs, with those that its version did not know."""
    state = fold(read_chain(place).records)
    return with_defaults(state.machine, state.inputs)


@pytest.mark.parametrize("place", recorded(), ids=name_of)
def test_every_field_of_a_recorded_run_has_its_type(place: Path) -> None:
    """Whatever version recorded them, a run's inputs are read as the table says; what the run lacks is refused."""
    inputs = inputs_of(place)
    terms = terms_of(inputs)
    for field, line in table().items():
        if line.name not in inputs and line.is_required:
            with pytest.raises(UsageFault, match=line.name):
                getattr(terms, field)
            continue
        value = getattr(terms, field)
        assert isinstance(value, type_of(field)) or (value is None and field in OPTIONAL), (field, value)


def test_the_types_are_known_to_the_type_checker() -> None:
    """No field is Any: mypy holds these to it."""
    terms = terms_of({"namespace": "jobintel", "allow_tag": "yes", "alarms": "a\nb", "startup_timeout": "90"})
    assert_type(terms.namespace, str)
    assert_type(terms.allow_tag, bool)
    assert_type(terms.alarms, tuple[str, ...])
    assert_type(terms.startup_timeout, float)
    assert (terms.namespace, terms.allow_tag, terms.alarms, terms.startup_timeout) == ("jobintel", True, ("a", "b"), 90)


def test_every_line_of_the_table_is_an_input_of_a_machine() -> None:
    """The table has no line for what nobody can ask for, and none twice."""
    named = [line.name for line in table().values()]
    assert len(named) == len(set(named))
    assert set(named) - NO_MACHINES <= BY_ANY
    assert set.union(*TYPES.values()) <= set(table())


def test_what_every_machine_declares_has_no_default() -> None:
    """An empty namespace would list all namespaces: it is never the answer to a missing one."""
    guessed = [field for field, line in table().items() if line.name in BY_EVERY and not line.is_required]
    assert not guessed
    assert "namespace" in BY_EVERY


@pytest.mark.parametrize("field", [field for field, line in table().items() if line.is_required])
def test_a_missing_input_is_refused_when_it_is_read(field: str) -> None:
    """A required input that a run lacks raises UsageFault, which names the input and says what to do."""
    with pytest.raises(UsageFault, match=f"no input {table()[field].name},") as refused:
        getattr(terms_of({}), field)
    assert refused.value.hint


def test_terms_are_frozen() -> None:
    """Nobody changes what a run was asked to do."""
    terms = terms_of({"namespace": "jobintel"})
    with pytest.raises(AttributeError):
        terms.namespace = "other"
    assert terms.namespace == "jobintel"


@pytest.mark.parametrize(
    ("recorded_as", "sites", "runs"),
    [
        pytest.param({}, ("primary", "dr"), ("p-run", "d-run"), id="a failback's target is the primary"),
        pytest.param({"taker": "dr"}, ("dr", "primary"), ("d-run", "p-run"), id="a promote's target is DR"),
    ],
)
def test_sites_and_runs_follow_from_the_recorded_taker(
    recorded_as: dict[str, str], sites: tuple[str, str], runs: tuple[str, str]
) -> None:
    """The target's run is to become canonical, the source's is canonical when the procedure begins."""
    terms = terms_of({**recorded_as, "primary_run_id": "p-run", "dr_run_id": "d-run"})
    assert (terms.target_site, terms.source_site) == sites
    assert (terms.new_run, terms.old_run) == runs


def test_layouts_follow_from_prefix_candidate_and_staged_prefix() -> None:
    """A validation publishes beside the canonical prefix, unless the inputs name another place."""
    inputs = {"prefix": "/jobintel/", "candidate": "ana", "workload": ""}
    assert terms_of(inputs).layout == Layout("jobintel", "ana", legacy())
    assert terms_of({"prefix": "jobintel", "candidate": "", "workload": ""}).layout == Layout(
        "jobintel", "local", legacy()
    )
    assert terms_of(inputs).staged("run-1") == Layout("jobintel/validations/run-1", "ana", legacy())
    assert terms_of({**inputs, "staged_prefix": "jobintel/drills/d/validation/"}).staged("run-1") == Layout(
        "jobintel/drills/d/validation", "ana", legacy()
    )


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [(24, 86400.0), ("0.5", 1800.0), (0, None), ("-1", None), ("inf", None), ("nan", None), ("soon", None)],
)
def test_an_approvals_hours_are_seconds_or_nothing(hours: object, seconds: float | None) -> None:
    """What is no positive number of hours is None, so that whoever judges by it says that it is unclear."""
    assert terms_of({"approval_expires": hours}).approval_expires_seconds == seconds


@pytest.mark.parametrize(
    ("inputs", "taken"),
    [
        ({"primary_unreachable": "yes", "no_fence": "yes", "reason": "flood"}, True),
        ({"primary_unreachable": "yes", "no_fence": "yes", "reason": " "}, False),
        ({"primary_unreachable": "yes", "no_fence": "no", "reason": "flood"}, False),
        ({"primary_unreachable": "no", "no_fence": "yes", "reason": "flood"}, False),
        ({}, False),
    ],
)
def test_the_risk_is_taken_only_in_so_many_words(inputs: dict[str, str], taken: bool) -> None:
    """A lost primary without a fence takes both answers and a reason."""
    assert terms_of(inputs).risk_taken is taken


# --- nothing reads an input past the table ------------------------------------------------------------------------


def past_the_table(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that index or search a mapping of inputs, or keep ``run.inputs`` under another name."""
    handed_on = {id(argument) for call in ast.walk(tree) if isinstance(call, ast.Call) for argument in call.args}
    for node in ast.walk(tree):
        holder = node.value if isinstance(node, ast.Subscript | ast.Attribute) else None
        if isinstance(holder, ast.Name) and holder.id == "inputs":
            yield holder.lineno
        if isinstance(node, ast.Attribute) and node.attr == "inputs" and id(node) not in handed_on:
            yield node.lineno


@pytest.mark.parametrize("reading", ['run.inputs["a"]', 'inputs["a"]', 'inputs.get("a")', "given = run.inputs"])
def test_a_reading_past_the_table_is_seen(reading: str) -> None:
    """Each way in which inputs were read before is one that the next test sees; handing them on is none."""
    assert list(past_the_table(ast.parse(reading)))
    assert not list(past_the_table(ast.parse("terms_of(run.inputs).namespace; fact.judge(seen, run.inputs)")))


def test_nothing_in_dr_reads_an_input_past_the_table() -> None:
    """Facts, judges and actions read typed terms: a misspelt input is a type error, not a KeyError in the middle."""
    costs = DR / "infrastructure" / "costs.py"  # its ``inputs`` are those of a price, not a run's
    read = [
        f"{path.relative_to(DR)}:{line}"
        for path in sorted(DR.rglob("*.py"))
        if path not in (DR / "terms.py", costs)
        for line in past_the_table(ast.parse(path.read_text()))
    ]
    assert not read


def names_recorded(tree: ast.AST) -> Iterator[str]:
    """Yield the names that are read as the journal has them: ``terms.recorded("…")``."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "recorded":
            yield from (
                name.value for name in call.args if isinstance(name, ast.Constant) and isinstance(name.value, str)
            )


def test_what_is_read_as_recorded_is_declared() -> None:
    """An input that is handed on or recorded again in its own words is one that some machine declares."""
    named = {name for path in DR.rglob("*.py") for name in names_recorded(ast.parse(path.read_text()))}
    assert named
    assert named <= BY_ANY
    assert isinstance(terms_of({}), Terms)
