"""What is shipped: the wheel and the source distribution hold what drfsm needs at work, and what the law asks for."""

import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_wheel_and_the_source_hold_everything(tmp_path: Path) -> None:
    """Licence, type marker, machines and schemas are in both; no test and no cache is in the wheel."""
    builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed here")
    sources = pytest.importorskip("hatchling.builders.sdist", reason="hatchling is not installed here")
    (wheel,) = builders.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    (source,) = sources.SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        entry_points = archive.read(entries).decode()
        fields = BytesParser().parsebytes(archive.read(metadata))
    assert (fields["License-Expression"], fields["License-File"]) == ("Apache-2.0", "LICENSE")
    shipped = {
        f"drfsm/_shipped/{path.relative_to(ROOT).as_posix()}"
        for folder in ("machines", "receipts_schema")
        for path in (ROOT / folder).iterdir()
    }
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "drfsm").rglob("*.py")}
    start = {f"drfsm/cli/start/{name}" for name in ("machine.yaml", "binding.py.txt", "test.py.txt")}
    pages = {"drfsm/dashboard/page.html", "drfsm/sandbox/kubernetes/README.md"}
    assert {"drfsm/py.typed", *pages, *shipped, *modules, *start} <= names
    assert "[pytest11]\ndrfsm.testing.plugin = drfsm.testing.plugin\n" in entry_points
    assert not [name for name in names if not name.startswith(("drfsm/", "drfsm-"))]
    with tarfile.open(source) as unpacked:
        inside = {name.partition("/")[2] for name in unpacked.getnames()}
    wanted = ["LICENSE", "SECURITY.md", "README.md", "pyproject.toml", "drfsm/py.typed", "tests/test_packaging.py"]
    assert {*wanted, *(name.removeprefix("drfsm/_shipped/") for name in shipped)} <= inside


def test_the_licence_is_the_one_that_is_declared() -> None:
    """pyproject.toml's expression, and the whole text of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert all(words in text for words in ("Version 2.0, January 2004", "END OF TERMS AND CONDITIONS", "APPENDIX"))
