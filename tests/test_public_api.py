"""The public face of the library: small, lazy, and its example runs."""

import doctest
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import drfsm

HEAVY = ("yaml", "transitions", "boto3", "botocore", "kubernetes", "structlog", "jsonschema", "click", "rich", "moto")


def test_the_example_of_the_front_page_runs() -> None:
    """The lamp of the docstring is declared, bound, run and replayed as it stands there."""
    found = doctest.testmod(drfsm)
    assert (found.failed, found.attempted > 6) == (0, True)


def test_every_public_name_is_there_and_documented() -> None:
    """__all__ is complete and sorted, each name resolves, and none is without a word about itself."""
    assert list(drfsm.__all__) == sorted(drfsm.__all__)
    for name in drfsm.__all__:
        assert getattr(drfsm, name) is not None
        if name not in ("__version__", "Act"):
            assert getattr(drfsm, name).__doc__, name
    assert {name for names in drfsm._HOMES.values() for name in names} | {"__version__"} == set(drfsm.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Asking for what isn't there says so, as any module does."""
    with pytest.raises(AttributeError, match="no attribute 'Lamp'"):
        _ = drfsm.Lamp


@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        ("import drfsm", ()),
        ("from drfsm import replay, IllegalTransition", ()),
        ("from drfsm import load_machine", ("yaml",)),
    ],
)
def test_only_what_is_asked_for_is_loaded(what: str, allowed: tuple[str, ...]) -> None:
    """A fresh interpreter that imports this loads no heavy module beyond the one that it needs."""
    code = f"{what}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert tuple(out.split()) == allowed


def test_the_version_is_the_packages() -> None:
    """What runs record is what pyproject.toml says."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == drfsm.__version__
