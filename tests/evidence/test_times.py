"""Where a run's time went: every second between two records is counted once, and on the right thing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import read_chain
from drfsm.evidence import times
from drfsm.evidence.recovery import achieved
from drfsm.evidence.wording import seconds_between
from drfsm.journal import fold
from tests.recorded import BUNDLES

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]

RUNS: dict[str, Callable[[Make], "Play"]] = {
    "to its end": lambda play: play().start(),
    "held in a wait, then resumed": lambda play: play(wheel=["turning"], given={"patience": "3"}).start().resume(),
    "held, then aborted": lambda play: play(wheel=["turning"], given={"patience": "3"}).start().request("abort"),
    "killed in an action, then resumed": lambda play: play().start(dies_at=4, after=True).resume(),
    "refused": lambda play: play(owner={"name": "new"}).start(),
    "a dry run": lambda play: play().start(dry_run=True),
}
each_run = pytest.mark.parametrize("begin", RUNS.values(), ids=RUNS.keys())


@each_run
def test_every_second_is_counted_once(begin: Callable[[Make], "Play"], play: Make) -> None:
    """By kind, and by state: both add up to the time from the first record to the last."""
    records = begin(play).records
    whole = seconds_between(records[0].at, records[-1].at)
    assert times.spent(records).seconds == pytest.approx(whole, abs=0.01)
    assert sum(visit.spent.seconds for visit in times.visits(records)) == pytest.approx(whole, abs=0.05)


def test_a_hold_is_a_persons_time_a_wait_the_worlds_and_a_kill_nobodys(play: Make) -> None:
    """Each kind is found where it is, and nowhere else."""
    well = times.spent(play().start().records)
    assert (well.person, well.down) == (0, 0)
    assert well.waiting == pytest.approx(6, abs=0.1)  # turning twice, then still twice: a look every two seconds
    held = play(wheel=["turning"], given={"patience": "3"}).start()
    held.clock.sleep(1000)
    assert times.spent(held.resume().records).person == pytest.approx(1000, abs=0.1)
    killed = play().start(dies_at=4, after=True)
    killed.clock.sleep(500)
    spent = times.spent(killed.resume().records)
    assert spent.person == 0
    assert spent.down == pytest.approx(500, abs=0.1)


def test_what_is_frozen_begins_and_ends_where_the_records_say_so(play: Make) -> None:
    """An abort thaws what the run froze; what it keeps on purpose is frozen still."""
    run = play(wheel=["turning"], given={"patience": "3"}).start()
    assert {interval.what: interval.is_open for interval in times.frozen_intervals(run.records)} == {
        "the sluices are shut": True,
        "the old miller can't ring": True,
        "nobody can publish": True,
    }
    run.clock.sleep(60)
    run.request("abort")
    told = {interval.what: interval for interval in times.frozen_intervals(run.records)}
    assert not told["the sluices are shut"].is_open
    assert told["the old miller can't ring"].is_open
    seconds = told["the sluices are shut"].seconds
    assert seconds is not None
    assert seconds > 60


def test_nobody_could_publish_is_one_time_for_however_many_reasons() -> None:
    """Of the recorded failback: three rules say so, one after another, and the time is counted once."""
    records = read_chain(BUNDLES / "0.5.0" / "failback").records
    reasons = [each for each in times.frozen_intervals(records) if each.what.startswith("nobody")]
    (whole,) = times.nobody_could_publish(records)
    assert len(reasons) > 3
    assert whole.since == min(each.since for each in reasons)
    assert whole.is_open


@pytest.mark.parametrize(
    ("machine", "point"), [("drill", "the backup was taken"), ("promote", "unknown"), ("failback", "unknown")]
)
def test_a_recovery_is_measured_as_far_as_the_records_go(machine: str, point: str) -> None:
    """The drill was validated; promote and failback were held before they moved the global pointer."""
    records = read_chain(BUNDLES / "0.5.0" / machine).records
    told = achieved(fold(records), records, {"recovery_time_seconds": 5, "recovery_point_seconds": 5})
    if machine == "drill":
        assert told["recovery_time"]["within"] is False
        assert sum(told["recovery_time"]["spent"].values()) == pytest.approx(told["recovery_time"]["seconds"])
        assert (told["recovery_point"]["from_what"], told["recovery_point"]["within"]) == (point, True)
    else:
        assert told["recovery_time"].keys() == told["recovery_point"].keys() == {"unknown"}


def test_a_disaster_before_the_run_is_counted_and_is_peoples_time() -> None:
    """From when it began until somebody started the run; one that lies after the start says nothing."""
    records = read_chain(BUNDLES / "0.5.0" / "drill").records
    plain = achieved(fold(records), records)["recovery_time"]
    earlier = records[0].at.replace("T09:", "T08:")
    told = achieved(fold(records), records, disaster_at=earlier)["recovery_time"]
    assert told["seconds"] == pytest.approx(plain["seconds"] + 3600)
    assert told["spent"]["person"] == pytest.approx(3600)
    assert achieved(fold(records), records, disaster_at="2027-01-01T00:00:00Z")["recovery_time"] == plain


def test_a_run_that_the_procedure_itself_started_is_as_old_as_its_start(failback_play: Make) -> None:
    """Its id may be of hours before: it stands in the plan that people approved."""
    run = failback_play().start()
    assert run.state.status == "complete"
    planned = evolve(run.state, inputs={**run.state.inputs, "primary_run_id": "2020-01-01T00:00:00Z"})
    assert achieved(planned, run.records)["recovery_point"]["seconds"] == 0
    without = [record for record in run.records if record.body.get("trigger") != "start_validation"]
    assert achieved(planned, without)["recovery_point"]["seconds"] > 86400
