"""docs/first-hour.md is run as it stands: every command, its exit code, and what it is shown to print."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from drfsm.sandbox import down
from tests.starter import Shim
from tests.typed import typed_in

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "first-hour.md"
OF_ANOTHER_PLACE = "pip install"  # asks a registry
DONE = "exit code of the line above:"


class Line(NamedTuple):
    """What is typed, the exit code that the page promises, and what it shows of the output, in parts."""

    typed: str
    code: int
    shown: tuple[str, ...]


def lines() -> Iterator[Line]:
    """Yield the page's lines in order."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE)[1:]:
            (command,) = typed_in(part, prompted=True)
            output = part[part.index(command[-10:]) + 10 :].strip().splitlines() if command else []
            code = re.search(r"# exits with (\d+)$", command)
            shown = tuple(piece.strip() for line in output for piece in line.split("...") if piece.strip())
            if not command.startswith(OF_ANOTHER_PLACE):
                yield Line(command, int(code[1]) if code else 0, shown)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of somebody who has nothing but drfsm; end the sandbox that the page starts."""
    place, programs = tmp_path / "sandbox", tmp_path / "bin"
    programs.mkdir()
    shim = Shim(programs)
    yield {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path),
        "DRFSM_HOME": str(tmp_path / "home"), "COLUMNS": "200", "DRFSM_SANDBOX_DIR": str(place), "NO_COLOR": "1",
    }  # fmt: skip
    shim.close()
    down(place)


def test_the_first_hour_is_what_the_page_says(tmp_path: Path, environment: dict[str, str]) -> None:
    """In one shell, line by line: a hold, a person's decision, the end, and an audit that holds."""
    typed = list(lines())
    script = "\n".join(f'{line.typed.partition("  # exits")[0]}\necho "{DONE} $?"' for line in typed)
    answer = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, check=False, timeout=500,
    )  # fmt: skip
    parts = re.split(rf"^{DONE} (\d+)\n", answer.stdout, flags=re.MULTILINE)
    assert "Traceback" not in answer.stdout
    assert len(parts) == 2 * len(typed) + 1, answer.stdout
    for number, line in enumerate(typed):
        output, code = parts[2 * number], int(parts[2 * number + 1])
        assert code == line.code, f"{line.typed}: {code}\n{output}"
        for shown in line.shown:
            assert shown in output, f"{line.typed} does not print {shown!r}:\n{output}"


def test_the_page_shows_a_hold_and_a_refusal() -> None:
    """The reader of the page itself is held: it finds every command, the promised exit codes, and output to compare."""
    assert [line.code for line in lines() if line.code] == [3, 4]
    assert sum(len(line.shown) for line in lines()) > len(list(lines()))
