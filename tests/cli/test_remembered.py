"""The page of `status` that is shown again: the same as the one that would be made, or none."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import FileJournal
from drfsm.cli import remembered
from drfsm.evidence.durations import filled, lasting, marked
from tests.cli.test_quick import watched
from tests.command import Answer, Drfsm, as_a_process
from tests.hostile.test_documents import harmless
from tests.recorded import BUNDLES

NEWEST = max(BUNDLES.glob("*/failback")).parent
LOG = "state_transitions.log"


@pytest.fixture
def place(tmp_path: Path, drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a held failback's bundle in a home, whose page was shown once; its files may have changed just now."""
    monkeypatch.setattr(remembered, "_SETTLED_SECONDS", 0)
    for name in ("failback", "promote"):
        shutil.copytree(NEWEST / name, tmp_path / "home/runs" / name)
    bundle = tmp_path / "home/runs/failback"
    assert drfsm("status", bundle).code == 0  # which makes its summary true
    assert drfsm("status", bundle).code == 0
    return bundle


def without_durations(page: str) -> str:
    """Return a page without what grows."""
    return "".join(part for part in page.split("(") if not part[:1].isdigit())


def test_a_page_that_is_shown_again_is_the_page_that_would_be_made(place: Path, drfsm: Drfsm) -> None:
    """Word for word; only durations grow, and they are counted anew."""
    page = remembered.recall([str(place)])
    assert page is not None
    made: Answer = drfsm("status", place)
    assert without_durations(page) == without_durations(made.out)
    assert "NOBODY CAN PUBLISH, since 2026-" in page
    kept = (place.parents[1] / remembered.PAGE).read_text()
    later = filled(kept.partition("\n")[2], time.time() + 7200)
    assert later != page
    assert without_durations(later) == without_durations(page)


def test_it_is_shown_by_the_door_without_click_attrs_or_a_journal(place: Path) -> None:
    """The first process makes and keeps it; the second opens no journal and loads nothing for it."""
    home = place.parents[1]
    (home / remembered.PAGE).unlink()
    time.sleep(2.1)  # a page is kept of what did not change just now
    for is_again in (False, True):
        modules, opened = watched("status", str(place), home=home)
        assert (LOG in opened) != is_again
        assert bool(set(modules) & {"click", "attr", "json", "drfsm.journal", "drfsm.runs"}) != is_again


def _record(place: Path) -> None:
    with (place / LOG).open("ab") as log:
        log.write(b"x")


def _same_size(place: Path) -> None:
    body = (place / LOG).read_bytes()
    (place / LOG).write_bytes(body[:-2] + b" \n")


def _touched(place: Path) -> None:
    os.utime(place / LOG)


def _summary(place: Path) -> None:
    (place / "failback.summary.json").unlink()


def _other_run(place: Path) -> None:
    shutil.copytree(place, place.parent / "another")


def _other_gone(place: Path) -> None:
    shutil.rmtree(place.parent / "promote")


def _other_record(place: Path) -> None:
    _record(place.parent / "promote")


def _for_others(place: Path) -> None:
    (place.parents[1] / remembered.PAGE).chmod(0o644)


def _linked(place: Path) -> None:
    page = place.parents[1] / remembered.PAGE
    page.rename(page.with_name("other"))
    page.symlink_to("other")


def _cut(place: Path) -> None:
    page = place.parents[1] / remembered.PAGE
    page.write_bytes(page.read_bytes()[5:])


def _no_text(place: Path) -> None:
    (place.parents[1] / remembered.PAGE).write_bytes(b"\xff\xfe")


def _locked_by_a_link(place: Path) -> None:
    (place / ".lock").unlink(missing_ok=True)
    (place / ".lock").symlink_to(LOG)


@pytest.mark.parametrize(
    "change",
    [_record, _same_size, _touched, _summary, _other_run, _other_gone, _other_record, _for_others, _linked, _cut,
     _no_text, _locked_by_a_link],
    ids=lambda it: it.__name__,
)  # fmt: skip
def test_whatever_changed_the_page_is_made_anew(place: Path, change: Callable[[Path], None]) -> None:
    """Any file of any run, a run more or less, and a page that is not this user's alone."""
    assert remembered.recall([str(place)]) is not None
    change(place)
    assert remembered.recall([str(place)]) is None


def test_while_a_process_works_on_any_run_no_page_is_shown_or_kept(place: Path) -> None:
    """Also where it has not written anything yet."""
    with FileJournal(place.parent / "promote", fresh=False):
        assert remembered.recall([str(place)]) is None
        assert remembered.before([str(place)]) == ""


def test_another_request_has_another_page(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other words, options, a mirror, prices, another directory, another home."""
    for words in ([], ["promote"], [str(place), "-o"], ["-o", "json"], ["s3://b/p"], [str(place), "x"]):
        assert remembered.recall(words) is None
    with monkeypatch.context() as patch:
        patch.setenv("DRFSM_PRICES", "x")
        assert remembered.recall([str(place)]) is None
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert remembered.recall([str(place)]) is None
    with monkeypatch.context() as patch:
        patch.setattr(remembered, "__version__", "0.0.1")
        assert remembered.recall([str(place)]) is None
    assert remembered.recall([str(place)]) is not None


def test_a_run_that_changed_just_now_is_not_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a tick of the clock a second change would look like the first."""
    _touched(place)
    monkeypatch.setattr(remembered, "_SETTLED_SECONDS", 60)
    assert remembered.before([str(place)]) == ""


def test_a_mark_is_a_duration_and_nothing_else() -> None:
    """Counted from then to now; one that is no time, or that nobody wrote, shows no page."""
    assert filled(f"a ({marked(10.0)}) b", 75.0) == f"a ({lasting(65.0)}) b"
    assert filled(f"{marked(10.0)}", 5.0) == "0.0 s"
    with pytest.raises(ValueError, match="could not convert"):
        filled("\0x\0", 1.0)


def test_a_page_that_somebody_wrote_steers_no_terminal(place: Path) -> None:
    """With the right first line even: what does not print is not shown by the door, and `status` makes the page."""
    page = place.parents[1] / remembered.PAGE
    origin = page.read_text().partition("\n")[0]
    page.write_text(f"{origin}\n\x1b[2Jevil\n")
    answer = as_a_process(["status", str(place)], {"DRFSM_HOME": str(place.parents[1])})
    assert harmless(answer.out)
    assert "is HELD in" in answer.out
