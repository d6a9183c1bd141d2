"""The floor plan of the house is held by import-linter; what start-up may load is held by a deny-list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"boto3", "botocore", "kubernetes", "moto", "obstore", "cronsim"}
# `status` stands on records that carry their own reasons and ways on, so it needs none of these either.
HEAVIER = HEAVY | {"yaml", "transitions", "structlog", "jsonschema", "rich"}


def loaded(*argv: str, home: Path) -> set[str]:
    """Return the top-level modules that a command has loaded when it ends."""
    program = (
        "import sys\n"
        f"sys.argv = ['drfsm', *{list(argv)!r}]\n"
        "from drfsm.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('LOADED', *sorted({each.partition('.')[0] for each in sys.modules}))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "DRFSM_HOME": str(home)},
    )  # fmt: skip
    line = next(each for each in told.stdout.splitlines() if each.startswith("LOADED"))
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


def test_status_loads_nothing_heavy(tmp_path: Path) -> None:
    """`drfsm status` starts without YAML, transitions, structlog, jsonschema or rich as well."""
    assert not loaded("status", home=tmp_path) & HEAVIER
    assert not loaded("--help", home=tmp_path) & HEAVIER
