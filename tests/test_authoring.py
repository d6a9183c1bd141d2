"""docs/authoring.md and docs/examples/ run as they stand: a new author learns from them alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drfsm.spec import load_machine
from drfsm.spec.check import check

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "authoring.md").read_text(encoding="utf-8")
SWITCHOVER = ROOT / "docs" / "examples" / "database-switchover"


def sections() -> dict[str, str]:
    """Return the page's sections by title."""
    _, *parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def blocks(text: str, language: str) -> list[str]:
    """Return a text's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


EXAMPLES = {title: text for title, text in sections().items() if blocks(text, "yaml")}


def test_each_subject_has_an_example() -> None:
    """Facts, guards, effects, undo loops, waits, environment, never, eventually: none is only described."""
    subjects = {title.partition(":")[0] for title in EXAMPLES}
    assert subjects == {"Facts", "Guards", "Effects", "Undo loops", "Waits", "Environment", "Never", "Eventually"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_examples_run(title: str) -> None:
    """The machine of a section is proven, and the program below it does what it asserts."""
    (declared,) = blocks(EXAMPLES[title], "yaml")
    (program,) = blocks(EXAMPLES[title], "python")
    assert check(load_machine(declared)).ok
    exec(compile(program, f"docs/authoring.md, {title}", "exec"), {"declared": declared})  # noqa: S102  the docs are ours


def pytest_in(place: Path, *words: str) -> str:
    """Run pytest in a directory, as its author would, and return what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "drfsm.testing.plugin",
         "-c", "/dev/null", "--rootdir", str(place), str(place), *words],
        capture_output=True, text=True, check=False, cwd=place,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.long
def test_the_example_of_another_trade_passes_its_own_tests() -> None:
    """The database switchover: proven, every illegal request refused, killed everywhere, its transcript holds."""
    assert re.search(r"\b2\d\d passed", pytest_in(SWITCHOVER))


def test_the_ten_lines_of_the_page_are_a_matrix(tmp_path: Path) -> None:
    """Pasted beside the example's binding, they find every pair and every crash."""
    (matrix,) = blocks(sections()["Tests: the matrix in ten lines"], "python")
    for name in ("switchover.yaml", "switchover.py"):
        shutil.copy(SWITCHOVER / name, tmp_path)
    (tmp_path / "test_matrix.py").write_text(matrix, encoding="utf-8")
    collected = pytest_in(tmp_path, "--collect-only")
    assert "test_matrix.py::test_every_other_request_is_refused[promoted-stop_writes]" in collected
    assert re.search(r"test_killed_anywhere_it_ends_the_same\[\d+-after-the-call-new.promote\]", collected)
    pytest_in(tmp_path, "-k", "proven or promoted or new.promote")


def test_the_switchover_of_the_page_is_told_and_audited(tmp_path: Path) -> None:
    """`python switchover.py BUNDLE` leaves a bundle that `drfsm replay` reads and audits."""
    bundle = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, SWITCHOVER / "switchover.py", bundle], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "complete in complete\n", ended.stderr
    replayed = subprocess.run(
        [sys.executable, "-m", "drfsm", "replay", bundle, "--quiet", "--trust-machine",
         load_machine((SWITCHOVER / "switchover.yaml").read_bytes()).sha256],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout
