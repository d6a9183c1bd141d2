"""The small parts of a fleet: limits of requests, a worker's sessions, the page, what a workflow's task may say."""

import ast
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drfsm.adapters import limits
from drfsm.engine import MemoryJournal, Runner
from drfsm.errors import ActionFailed, EvidenceFault, LeaseLost, Unreadable
from drfsm.fleet import page, rows, view, workflows
from drfsm.fleet.pairs import Pair
from drfsm.fleet.sessions import Closed, Session
from drfsm.fleet.tasks import task_of
from drfsm.fleet.view import Standing
from drfsm.journal.mirror import home_of
from drfsm.testing.fuse import MemoryClock
from drfsm.testing.world import World, binding_of, data_of, inputs_of, quiet
from tests.fleet.memory_runs import PREFIX, machine
from tests.fleet.test_stale_workers import RUN, SECOND, STALE, Gate, Play

TASK = {
    "run_id": "drill-1", "pair": "p", "procedure": "drill", "machine_sha256": "0" * 64, "entry_sha256": "0" * 64,
    "started_by": "ada",
}  # fmt: skip


def test_a_token_bucket_lets_through_what_it_may_and_makes_the_rest_wait() -> None:
    """Ten at once, then ten a second; after a pause it is as full as it may be, and no fuller."""
    clock = MemoryClock()
    bucket = limits.TokenBucket(10, 10, clock.monotonic)
    waits = [bucket.wait_seconds() for _ in range(13)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:] == pytest.approx([0.1, 0.2, 0.3], abs=0.02)
    clock.sleep(60)
    assert [bucket.wait_seconds() for _ in range(10)] == [0.0] * 10
    assert bucket.wait_seconds() > 0


def test_a_run_sends_no_more_requests_than_it_may() -> None:
    """Counted over all its sessions; the one beyond is refused before it is sent. Others go on."""
    limits.bound("s3", 5)
    try:
        with limits.metered({"s3": 3}):
            limits.sending("s3", "bucket")
            limits.sending("s3", "bucket")
            with pytest.raises(ActionFailed, match="was not sent"):
                limits.sending("s3", "bucket")
            assert limits.sent() == {"s3": 6}
        with limits.metered({}):
            limits.sending("s3", "bucket", 5)
    finally:
        limits.free()


def test_requests_of_the_real_client_are_counted(operator_keys: None, cloud: Any) -> None:  # noqa: ARG001
    """Single ones, the pages of a listing, and those of the client for many objects."""
    from drfsm.adapters import aws
    from drfsm.sandbox.cloud import REGION

    cloud.client("s3").create_bucket(Bucket="counted")
    store = aws.connect(bucket="counted", endpoint_url=cloud.endpoint, region=REGION).store
    with limits.metered({}):
        store.put("a", b"1")
        store.get("a")
        list(store.list(""))
        list(store.get_many(["a", "b"]))
        assert limits.sent() == {"s3": 5}


def test_the_workflows_import_nothing_of_drfsm() -> None:
    """Temporal imports that file again for each workflow, in a sandbox; and no rule may live there."""
    assert workflows.__file__
    tree = ast.parse(Path(workflows.__file__).read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith("drfsm") for name in names), names


@pytest.mark.parametrize(
    "change",
    [{"run_id": "../x"}, {"pair": ""}, {"procedure": "Drill!"}, {"entry_sha256": "1"}, {"trigger": "a b"},
     {"operator": "a\nb"}, {"given": []}, {"position": "x"}, {"args": None}, {"started_by": "x" * 300}],
)  # fmt: skip
def test_a_task_that_is_none_is_refused(change: dict[str, Any]) -> None:
    """A task is a claim: every part is held against its grammar before it becomes a key or a path."""
    assert task_of(TASK).pair == "p"
    with pytest.raises(Unreadable):
        task_of({**TASK, **change})


def runner() -> Runner:
    """Return the runner of a drill in memory, begun."""
    spec = machine("drill")[0]
    made = Runner(spec, binding_of(spec), World(data_of(spec, quiet(spec))), MemoryJournal(), clock=MemoryClock())
    made.begin(inputs_of(spec), run_id="drill-1", scope="drill")
    return made


def test_a_session_answers_its_last_task_only_once_the_run_was_left() -> None:
    """Whoever gets the next row finds the lease free; what comes later is refused, and nothing is lost."""
    left = threading.Event()

    def opened(serve: Any) -> None:
        serve(runner())
        left.set()

    session = Session(
        "drill-1", "ada", opened, lambda _runner, task: ({"number": task.operator}, task.trigger == "end")
    )
    first = session.ask(task_of({**TASK, "operator": "1"}))
    last = session.ask(task_of({**TASK, "operator": "2", "trigger": "end"}))
    too_late = session.ask(task_of(TASK))
    session.start()
    assert first.result(10) == {"number": "1"}
    assert last.result(10) == {"number": "2"}
    assert left.is_set()
    with pytest.raises(Closed):
        too_late.result(10)
    with pytest.raises(Closed):
        session.ask(task_of(TASK))


def test_a_session_that_fails_tells_each_that_waits() -> None:
    """A defect in one run reaches whoever asked for it, and nobody else."""

    def opened(_serve: Any) -> None:
        raise LeaseLost("taken over")

    session = Session("drill-1", "ada", opened, lambda _runner, _task: ({}, True))
    answers = [session.ask(task_of(TASK)) for _ in range(2)]
    session.start()
    for answer in answers:
        with pytest.raises(LeaseLost):
            answer.result(10)


def test_a_run_that_was_left_goes_on_elsewhere_under_a_new_epoch_with_nothing_taken() -> None:
    """The last write of the first process says that it ended: also a live run then goes on, and its token is void."""
    from drfsm.adapters.s3_lease import S3Lease

    play = Play("failback", Gate())
    store: Any = play.store
    first = S3Lease(store, PREFIX, bundle=str(STALE), keeps_records=True, clock=MemoryClock())
    epoch = first.acquire("failback-1", "ada", "here")
    first.leave("failback-1")
    with pytest.raises(LeaseLost):
        first.check()
    second = S3Lease(store, PREFIX, bundle=str(SECOND), keeps_records=True, clock=MemoryClock())
    assert second.acquire("failback-1", "ada", "there") == epoch + 1
    assert second.taken_from == {}
    second.check()


STANDINGS = [
    Standing(Pair("a", {}, {"owner": "ada"}, {}), "drill-1", "complete", "complete", was_held=True),
    Standing(Pair("b", {}, {"owner": "<b>"}, {}), "failback-1", "held", "dr_frozen", "a <script> & more"),
    Standing(Pair("c", {}, {"owner": "ada"}, {})),
    Standing(Pair("d", {}, {"owner": 'a"b'}, {}), fault="Cannot reach the store"),
]


def test_the_page_says_where_each_pair_stands_and_runs_nothing() -> None:
    """What a mirror says is escaped; one that was held and finished says so; the counts are in words."""
    html = page.page(STANDINGS, "Fleet", "2026-11-29T00:00:00Z")
    assert "1 of 4 green, 1 waiting for a person, 1 not green, 1 without a run" in html
    assert "was held on the way, and finished" in html
    assert "<script>" not in html
    assert "&lt;script&gt; &amp; more" in html
    assert [line.split()[:2] for line in page.lines(STANDINGS)][1] == ["b", "held"]


def test_the_figures_are_prometheus_text() -> None:
    """Its own parser reads them: green, waiting, unreadable, by pair and owner."""
    values = {
        (sample.name, sample.labels["pair"]): sample.value
        for family in text_string_to_metric_families(page.figures(STANDINGS))
        for sample in family.samples
    }
    assert values["drfsm_fleet_pair_green", "a"] == 1
    assert values["drfsm_fleet_pair_waits", "b"] == 1
    assert values["drfsm_fleet_pair_unreadable", "d"] == 1
    assert ("drfsm_fleet_pair_green", "c") not in values


def take(made: Runner, asked: list[str], **task: Any) -> tuple[dict[str, Any], bool]:
    """Take a task's row; what the run is asked to hold for is kept in ``asked``."""
    return rows.taken(
        made, task_of({**TASK, **task}), ask_hold=lambda who, why: asked.append(f"{who}: {why}"), most_records=12
    )


def test_a_journal_that_lost_its_end_is_not_gone_on_with() -> None:
    """Temporal was told of more records than there are; and a start for another declaration meets a run of this one."""
    for claim in ({"position": {"began": True, "records": 9}}, {"machine_sha256": "1" * 64}):
        made = runner()
        with pytest.raises(EvidenceFault):
            take(made, [], **claim)
        assert len(made.records) == 1


def test_a_trigger_is_fired_only_where_the_person_saw_the_run_stand() -> None:
    """The run went on in between: refused, with where it stands now, and no row of a person's is taken."""
    made = runner()
    sha256 = machine("drill")[0].sha256
    position, over = take(made, [], machine_sha256=sha256)
    assert (position["moves"], position["began"], over) == (1, True, False)
    stale = {"began": True, "state": "asked", "moves": 0, "records": 1}
    records = len(made.records)
    answer, _ = take(made, [], machine_sha256=sha256, trigger="abort", operator="eve", position=stale)
    assert "look again" in answer["reason"]
    assert (answer["state"], len(made.records)) == (position["state"], records)


def test_a_run_with_as_many_records_as_it_may_have_is_asked_to_hold() -> None:
    """Before its next row, and not before a person's own trigger."""
    made, asked = runner(), list[str]()
    while len(made.records) < 12:
        take(made, asked, machine_sha256="")
    assert asked == []
    take(made, asked, machine_sha256="")
    (why,) = asked
    assert why.startswith("drfsm: the journal has")
    assert why.endswith("the fleet allows a run 12")


def test_where_a_pair_stands_is_read_by_listings_and_its_newest_runs() -> None:
    """Its newest live run and its newest drill, whatever else lies there; without a summary by the records."""
    play = Play("failback", Gate())
    play.wake(play.stale())
    store: Any = play.store
    pair = Pair("p", {"bucket": "memory", "prefix": PREFIX}, {}, {})
    store.requests = 0
    (standing,) = view.standings_in(store, pair)
    assert (standing.status, standing.run_id, standing.is_green) == ("complete", RUN, True)
    assert standing.records == len(play.lines())
    older = home_of(PREFIX, "failback-20200101t000000z-000000000000")
    store.put(f"{older}/00000000.json", b"{}")
    store.put(f"{PREFIX}/drills/..%2f/drfsm/runs/x/00000000.json", b"{}")
    assert [standing.run_id for standing in view.standings_in(store, pair)] == [RUN]
    summary = {
        "run_id": RUN, "machine": "failback", "status": "held", "state": "dr_frozen", "started_at": "",
        "dry_run": False,
        "journal": {"records": len(play.lines())}, "operators": ["ada"], "reason": "why",
        "frozen": [{"what": "NOBODY"}],
    }  # fmt: skip
    store.put(f"{home_of(PREFIX, RUN)}/summary.json", json.dumps(summary).encode())
    store.requests = 0
    (by_summary,) = view.standings_in(store, pair)
    assert (by_summary.status, by_summary.reason, by_summary.frozen) == ("held", "why", ("NOBODY",))
    assert store.requests == 3  # two listings, one object
