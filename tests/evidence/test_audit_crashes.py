"""Wherever a process dies, its log holds as far as it goes; whoever goes on, and however, leaves a log that holds."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]
Deaths = Callable[..., list["Play"]]

WORLDS: dict[str, Callable[[Make], "Play"]] = {
    "all goes well": lambda play: play(),
    "the first attempt fails": lambda play: play(fails={"shut": ["before"]}, given={"sacks": "asked"}),
    "it is left half done": lambda play: play(fails={"shut": ["half", "half", "half"]}),
    "the answer gets lost": lambda play: play(fails={"shut": ["after"], "rekey": ["after"]}),
    "it is held in a wait": lambda play: play(wheel=["turning"]),
    "it is refused": lambda play: play(owner={"name": "new"}),
}


def proven(run: "Play") -> "Play":
    """Return a run whose log holds."""
    verdict = run.audit()
    assert verdict.ok, "\n".join(verdict.lines())
    return run


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS.keys())
def test_a_process_that_dies_anywhere_leaves_a_log_that_holds_and_so_does_its_resume(
    make: Callable[[Make], "Play"], play: Make, deaths: Deaths
) -> None:
    """Killed before and after every record, then resumed: both logs are proven."""
    for run in deaths(lambda: make(play), lambda run, **how: run.start(**how)):
        if run.records:
            proven(run)
            proven(run.resume())


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS.keys())
def test_an_abort_after_any_death_is_proven(make: Callable[[Make], "Play"], play: Make, deaths: Deaths) -> None:
    """Killed anywhere, then aborted (or refused that, past the point of no return), then resumed to the end."""
    ended = set()
    for run in deaths(lambda: make(play), lambda run, **how: run.start(**how)):
        if run.records:
            proven(proven(run.request("abort")).resume())
            ended.add(run.state.status)
    assert ended & {"aborted", "refused"}


def test_an_abort_that_dies_anywhere_goes_on_and_is_proven(play: Make, deaths: Deaths) -> None:
    """The loop of undos is killed before and after every record, and resumed."""
    for run in deaths(
        lambda: play(fails={"sign": ["before"] * 2}).start(), lambda run, **how: run.request("abort", **how)
    ):
        assert proven(proven(run).resume()).state.status in ("aborted", "complete")


@pytest.mark.parametrize("action", ["shut", "silence", "rekey", "sign", "ring"])
@pytest.mark.parametrize("when", ["die", "die after"])
def test_a_process_that_dies_inside_an_action_is_proven(action: str, when: str, play: Make) -> None:
    """The action was done, or not, and no record says which: resume looks (or asks a person), and the log holds."""
    run = proven(play(fails={action: [when]}).start())
    assert run.state.open is not None
    assert "as far as it goes" in "".join(run.audit().lines())
    proven(run.resume())
    if run.state.status == "held":
        assert action == "ring"
        proven(run.resolve("not_done"))
    assert run.state.status == "complete"


@pytest.mark.long
def test_a_failback_that_dies_anywhere_is_resumed_and_proven(failback_play: Make, deaths: Deaths) -> None:
    """The shipped machine, killed before and after every record, resumed, proven."""
    for run in deaths(failback_play, lambda run, **how: run.start(**how)):
        if run.records:
            assert proven(proven(run).resume()).state.status == "complete"


def test_a_dry_run_that_dies_anywhere_is_proven(play: Make, deaths: Deaths) -> None:
    """A dry run that was cut short goes on and is proven to have moved nothing."""
    for run in deaths(play, lambda run, **how: run.start(dry_run=True, **how)):
        if run.records:
            assert proven(proven(run).resume()).state.status == "dry_run"
