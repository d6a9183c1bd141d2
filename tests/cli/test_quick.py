"""Commands that are typed often start at once: what they must not load, and what `list` may open."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.list_runs import _row, _row_of_records
from drfsm.files import Directory
from drfsm.journal import fold, read
from drfsm.runs.glance import LOG, Glance, glance
from tests.command import Drfsm

ROOT = Path(__file__).parents[2]
DURATION = re.compile(r"\(\d[^)]*\)")
BUNDLES = ROOT / "tests/data/bundles"
RECORDED = sorted(log.parent for log in BUNDLES.glob("*/*/state_transitions.log"))
CLIENTS = {
    "boto3",
    "botocore",
    "kubernetes",
    "obstore",
    "moto",
    "requests",
    "urllib3",
    "jsonschema",
    "structlog",
    "rich",
}
THE_SEARCH = {"multiprocessing", "concurrent.futures", "drfsm.spec.check", "transitions"}
MACHINES = {"yaml", "drfsm.spec.model", "drfsm.spec.declare", "drfsm.dr", "drfsm.engine"}
RECORDS = {"attr", "attrs", "drfsm.journal", "drfsm.evidence"}
A_RUNNER = {"drfsm.engine.runner", "drfsm.engine.step", "drfsm.dr.backup.restore", "drfsm.dr.backup.state_volume"}
UNWANTED = {
    ("--help",): CLIENTS | THE_SEARCH | MACHINES | RECORDS | {"click", "drfsm.cli.main", "drfsm.cli.failback"},
    ("list",): CLIENTS | THE_SEARCH | MACHINES | RECORDS,
    ("status",): CLIENTS | THE_SEARCH | MACHINES | {"click", "drfsm.cli.main", "drfsm.cli.options"},
    ("replay", "--quiet"): CLIENTS | THE_SEARCH | A_RUNNER,
}
"""What a command must not load."""
WATCHED = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
sys.argv = ["drfsm", *sys.argv[1:]]
try:
    from drfsm.cli.door import main
    main()
finally:
    sys.stderr.write("LOADED " + " ".join(sys.modules) + "\\n")
    sys.stderr.write("OPENED " + "\\t".join(name for name in opened if isinstance(name, str)) + "\\n")
    sys.stderr.flush()
"""


def watched(*argv: str, home: Path) -> tuple[list[str], list[str]]:
    """Run a command as a process of its own; return the modules that it loaded and the files that it opened."""
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, *argv], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "DRFSM_HOME": str(home)},
    )  # fmt: skip
    said = {line.partition(" ")[0]: line.partition(" ")[2] for line in ended.stderr.splitlines()}
    assert "Traceback" not in ended.stderr, ended.stderr
    return said["LOADED"].split(" "), said["OPENED"].split("\t")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a failback that is held and a promote, as the newest version leaves them."""
    for name in ("failback", "promote"):
        shutil.copytree(RECORDED[-1].parent / name, tmp_path / "home/runs" / name)
    return tmp_path / "home"


@pytest.mark.parametrize("argv", UNWANTED, ids=" ".join)
def test_a_command_loads_nothing_that_it_does_not_need(argv: tuple[str, ...], home: Path) -> None:
    """Each has its own deny-list; a module counts with all that is below it."""
    named = () if argv[0] in ("--help", "list") else (str(home / "runs/failback"),)
    modules, _ = watched(*argv, *named, home=home)
    loaded = {
        ".".join(parts[: number + 1]) for parts in (m.split(".") for m in modules) for number in range(len(parts))
    }
    assert "drfsm.cli.door" in loaded
    assert not loaded & UNWANTED[argv]


def test_list_opens_the_summary_and_the_log_of_each_bundle_and_nothing_else(home: Path) -> None:
    """No declaration, no step log, no receipt; each file once."""
    _, opened = watched("list", home=home)
    in_bundles = [name for name in opened if not Path(name).is_absolute() or name.startswith(str(home))]
    files = sorted(name for name in in_bundles if not Path(name).is_dir() and name != "runs")
    assert files == sorted(["failback.summary.json", "promote.summary.json", LOG, LOG])


@pytest.mark.parametrize(("longest", "reads"), [(100, [4096]), (30_000, [4096, 65536]), (100_000, [4096, 65536])])
def test_a_glance_reads_the_end_of_a_log_and_no_more(
    home: Path, monkeypatch: pytest.MonkeyPatch, longest: int, reads: list[int]
) -> None:
    """However long the log is: 4 KiB, more only for a last record that is longer, and never all of it."""
    place = home / "runs/failback"
    lines = (place / LOG).read_bytes().splitlines(keepends=True)
    last = b'{"prev":"' + b"x" * longest + b'"}\n'
    (place / LOG).write_bytes(b"".join(lines * 50) + last)
    _change(place, lambda summary: summary["journal"].update(head=hashlib.sha256(last).hexdigest()))
    read: list[int] = []

    def counted(directory: Directory, name: str, *args: Any, **options: Any) -> bytes | None:
        body = whole(directory, name, *args, **options)
        if name == LOG:
            read.append(len(body or b""))
        return body

    whole = Directory.read
    monkeypatch.setattr(Directory, "read", counted)
    assert (glance(place) is not None) == (longest < 65536)
    assert read == reads


@pytest.mark.parametrize("place", RECORDED, ids=lambda place: f"{place.parent.name}-{place.name}")
def test_a_glance_says_what_the_records_say(place: Path) -> None:
    """Of each recorded bundle of each version, `list` shows the same line by either way."""
    assert glance(place) is not None
    assert _row(place) == _row_of_records(place)


def _another_head(place: Path) -> None:
    _change(place, lambda summary: summary["journal"].update(head="0" * 64))


def _no_text(place: Path) -> None:
    _change(place, lambda summary: summary.update(status=7))


def _cut(place: Path) -> None:
    log = place / LOG
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def _torn(place: Path) -> None:
    log = place / LOG
    log.write_bytes(log.read_bytes()[:-1])


def _two_summaries(place: Path) -> None:
    shutil.copy(place / "failback.summary.json", place / "other.summary.json")


def _no_summary(place: Path) -> None:
    (place / "failback.summary.json").unlink()


def _emptied(place: Path) -> None:
    (place / LOG).write_bytes(b"")


def _change(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = place / "failback.summary.json"
    summary = json.loads(path.read_bytes())
    change(summary)
    path.write_text(json.dumps(summary))


@pytest.mark.parametrize(
    "alter", [_another_head, _no_text, _cut, _torn, _two_summaries, _no_summary, _emptied], ids=lambda it: it.__name__
)
def test_where_summary_and_log_do_not_fit_the_records_are_read(home: Path, alter: Callable[[Path], None]) -> None:
    """There is no glance, and the line is the one of the records."""
    place = home / "runs/failback"
    assert isinstance(glance(place), Glance)
    alter(place)
    assert glance(place) is None
    assert _row(place) == _row_of_records(place)


def test_a_run_whose_process_died_is_listed_as_interrupted(home: Path, drfsm: Drfsm, tmp_path: Path) -> None:
    """The summary of its last record says running; the lock says that nobody works on it."""
    place = home / "runs/failback"
    lines = (place / LOG).read_bytes().splitlines(keepends=True)[:5]
    (place / LOG).write_bytes(b"".join(lines))
    chain = read(b"".join(lines))
    assert fold(chain.records).status == "running"
    _change(place, lambda summary: summary.update(status="running", journal={"head": chain.head, "records": 5}))
    assert glance(place) is not None
    shutil.copytree(place, tmp_path / "home/runs/again", dirs_exist_ok=True)
    assert {row["status"] for row in drfsm("list", "-o", "json").json if row["machine"] == "failback"} == {
        "interrupted"
    }


def test_the_first_page_is_the_same_by_either_way(drfsm: Drfsm, tmp_path: Path) -> None:
    """The door prints it without click; the group of all commands shows the same text."""
    alone = subprocess.run(
        [sys.executable, "-m", "drfsm", "--help"], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", "DRFSM_HOME": str(tmp_path)},
    )  # fmt: skip
    assert alone.stdout == drfsm("--help").out


def test_the_first_page_meets_a_closed_a_full_and_a_short_output(tmp_path: Path) -> None:
    """Closed: nothing to say, exit 0; full: exit 12, as every command; a reader that left: no traceback."""
    command = f"{sys.executable} -m drfsm --help"
    for ending, code in ((">&-", 0), ("> /dev/full", 12), ("| true", 0)):
        ended = subprocess.run(
            ["bash", "-c", f"{command} {ending}"], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "DRFSM_HOME": str(tmp_path)},
        )  # fmt: skip
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), (ending, ended)


@pytest.mark.parametrize("named", ["failback", "", "nothing here"])
def test_status_says_the_same_without_click(home: Path, drfsm: Drfsm, named: str) -> None:
    """The door asks for the page itself: of a run, of no name where two are open, of a name that nobody has."""
    words = [str(home / "runs" / named)] if named else []
    alone = subprocess.run(
        [sys.executable, "-m", "drfsm", "status", *words], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "DRFSM_HOME": str(home)},
    )  # fmt: skip
    by_click = drfsm("status", *words)
    assert (alone.returncode, alone.stderr) == (by_click.code, by_click.err)
    assert DURATION.sub("", alone.stdout) == DURATION.sub("", by_click.out)
    assert (alone.returncode, bool(alone.stderr)) == ((0, False) if named == "failback" else (2, True))


def test_status_meets_a_closed_a_full_and_a_short_output(home: Path) -> None:
    """As by click: closed: nothing to say, exit 0; full: exit 12; a reader that left: no traceback."""
    command = f"{sys.executable} -m drfsm status {home / 'runs/failback'}"
    for ending, code in ((">&-", 0), ("> /dev/full", 12), ("| true", 0)):
        ended = subprocess.run(
            ["bash", "-c", f"{command} {ending}"], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "DRFSM_HOME": str(home)},
        )  # fmt: skip
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), (ending, ended)
