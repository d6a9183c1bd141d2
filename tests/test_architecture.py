"""The floor plan of the house is held by import-linter; what start-up may load is held by a deny-list."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUNDLES = ROOT / "tests" / "data" / "bundles"
HEAVY = {"boto3", "botocore", "kubernetes", "moto", "obstore"}
# `status` stands on records that carry their own reasons and ways on, so it needs none of these either.
HEAVIER = HEAVY | {"yaml", "transitions", "structlog", "jsonschema", "rich"}


def loaded(*argv: str, home: Path) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    program = (
        "import sys\n"
        f"sys.argv = ['drfsm', *{list(argv)!r}]\n"
        "from drfsm.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('LOADED', *sorted(sys.modules))\n"
    )
    return modules_of(program, home=home)


def modules_of(program: str, *, home: Path) -> set[str]:
    """Return the modules that a program prints after the word LOADED."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "DRFSM_HOME": str(home)},
    )  # fmt: skip
    line = next(line for line in ended.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def test_a_room_imports_only_from_floors_below_it() -> None:
    """The import-linter contracts of pyproject.toml hold."""
    told = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("argv", [["--help"], ["replay", "--help"], ["list"]])
def test_help_and_list_load_no_cloud_and_no_cluster(argv: list[str], tmp_path: Path) -> None:
    """`drfsm --help` and the offline verbs start without boto3, kubernetes or a server."""
    assert not loaded(*argv, home=tmp_path) & HEAVY


def test_help_of_no_command_loads_a_procedure_or_a_machine_that_moves(tmp_path: Path) -> None:
    """All commands together, each in the same process: without dr/, `transitions`, boto3, kubernetes or a server."""
    program = (
        "import sys\n"
        "from drfsm.cli.main import COMMANDS, run\n"
        "assert all(run([command, '--help']) == 0 for command in COMMANDS)\n"
        "print('LOADED', *sorted(sys.modules))\n"
    )
    modules = modules_of(program, home=tmp_path)
    assert "drfsm.cli.promote" in modules
    assert not modules & {*HEAVY, "transitions", "drfsm.dr"}


def test_status_loads_nothing_heavy(tmp_path: Path) -> None:
    """`drfsm status` starts without YAML, transitions, structlog, jsonschema or rich as well."""
    assert not loaded("status", home=tmp_path) & HEAVIER
    assert not loaded("--help", home=tmp_path) & HEAVIER


@pytest.mark.parametrize(
    "place", sorted(place.parent for place in BUNDLES.glob("*/drill/state_transitions.log")), ids=str
)
def test_status_and_replay_of_a_validated_drill_load_no_machine_that_moves(place: Path, tmp_path: Path) -> None:
    """Whoever only reads a run needs no `transitions`: not even where the receipts of its phases are put right."""
    bundle = shutil.copytree(place, tmp_path / "bundle")
    for verb in ("status", "replay"):
        modules = loaded(verb, str(bundle), home=tmp_path / "home")
        assert f"drfsm.evidence.{'standing' if verb == 'status' else 'narrative'}" in modules
        assert not modules & {*HEAVY, "transitions"}


DR = ROOT / "drfsm" / "dr"
DOORS = {"drfsm.dr.artifacts.compare", *(f"drfsm.dr.{room.name}" for room in DR.iterdir() if room.is_dir())}


def past_the_door(path: Path) -> list[str]:
    """Return each import by which a module of drfsm takes a name out of a room's inside."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    taken = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        door = max((door for door in DOORS if f"{source}.".startswith(f"{door}.")), key=len, default=source)
        if source != door and not module.startswith(f"{door}."):
            taken.append(f"{path.relative_to(ROOT)}: from {source} import ...")
    return taken


WORKLOADS_WORDS = re.compile(r"PUBLISH_S3|JOBINTEL_|_ranked_|jobintel", re.IGNORECASE)
"""What only the contract says, its data, and the sandbox's own workload."""


def test_nothing_but_the_contract_names_the_workload() -> None:
    """Switches, variables, files and names of the workload stand in drfsm/dr/workload/*.yaml, and in no code."""
    sandbox = ROOT / "drfsm" / "sandbox"
    modules = [path for path in (ROOT / "drfsm").rglob("*.py") if not path.is_relative_to(sandbox)]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (*modules, *(ROOT / "machines").glob("*.yaml"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if WORKLOADS_WORDS.search(line.replace("jobintel.yaml", ""))
    ]
    assert not found, "\n".join(found)


def test_a_room_of_dr_is_entered_by_its_door() -> None:
    """Who is outside imports what a room exports, or one of its modules whole."""
    assert not [line for path in (ROOT / "drfsm").rglob("*.py") for line in past_the_door(path)]


def test_drfsm_loads_no_pytest_and_the_plugin_nothing_of_drfsm(tmp_path: Path) -> None:
    """`import drfsm` and all of drfsm.testing but its plugin go without pytest; the plugin costs others nothing."""
    rooms = sorted(path.stem for path in (ROOT / "drfsm" / "testing").glob("*.py") if path.stem != "plugin")
    imports = "".join(f"import drfsm.testing.{name}\n" for name in rooms if name != "__init__")
    loaded = "print('LOADED', *sys.modules)"
    assert "pytest" not in modules_of(f"import sys\nimport drfsm\n{imports}{loaded}", home=tmp_path)
    by_plugin = modules_of(f"import sys\nimport drfsm.testing.plugin\n{loaded}", home=tmp_path)
    ours = {name for name in by_plugin if name.startswith("drfsm")}
    assert ours == {"drfsm", "drfsm.testing", "drfsm.testing.plugin"}
