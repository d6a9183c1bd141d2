"""Fresh and correct, or not: judged from what a consumer would read, and said to those who watch."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from drfsm.adapters import aws
from drfsm.dr import workload
from drfsm.dr.detection import Health, judge, look, measurements, observe, textfile
from drfsm.dr.layout import Layout
from drfsm.world import Metric

RUN, OLD = "2026-11-28T08:02:45Z", "2026-11-27T08:02:45Z"
HOUR = 3600.0
HOME, OLDER = "p/state/candidates/local", "p/state"
KEYS = (
    f"{HOME}/last_success.json",
    f"{OLDER}/last_success.json",
    f"{HOME}/openai/cs/last_success.json",
    f"{OLDER}/openai/cs/last_success.json",
)
MARKER = "p/latest/openai/cs/openai_top.cs.md"
UNREAD = {"unread": "the service answered 503"}


def pointer(run_id: str = RUN, **more: Any) -> dict[str, Any]:
    """Return a pointer as it is read."""
    return {"run_id": run_id, "run_path": f"p/runs/{run_id}", "ended_at": run_id, **more}


def seen(**change: Any) -> dict[str, Any]:
    """Return what is seen two hours after a run that was published well."""
    whole = {
        "now": "2026-11-28T10:02:45+00:00",
        "decides": KEYS[0],
        "written_at": RUN,
        "homes": [HOME, OLDER],
        "pointers": {key: pointer() for key in KEYS},
        "run_path": f"p/runs/{RUN}",
        "pairs": [["openai", "cs"]],
        "markers": {MARKER: 812},
        "run": {"verdict": "verified", "files": 5, "problems": []},
        "lease": None,
        "owner": {"site": None},
    }
    return {**deepcopy(whole), **change}


def pointers(**by_number: Any) -> dict[str, Any]:
    """Return the pointers with some of them otherwise: ``_2=None``."""
    return {key: by_number.get(f"_{number}", pointer()) for number, key in enumerate(KEYS)}


@pytest.mark.parametrize(
    ("change", "verdict", "check", "words"),
    [
        pytest.param({}, "healthy", "freshness", "2.0 h ago", id="published well"),
        pytest.param({"now": "2026-11-28T14:02:46+00:00"}, "stale", "freshness", "the limit is 6.0 h", id="too old"),
        pytest.param({"now": "2026-11-28T07:00:00+00:00"}, "unknown", "freshness", "ahead of", id="ends in the future"),
        pytest.param({"now": None}, "unknown", "freshness", "not known", id="the store told no time"),
        pytest.param({"pointers": pointers(_2=pointer(OLD))}, "incorrect", "agreement", OLD, id="a provider is behind"),
        pytest.param({"pointers": pointers(_3=None)}, "incorrect", "pointers", KEYS[3], id="a pointer is missing"),
        pytest.param({"pointers": pointers(_1="garbage")}, "incorrect", "pointers", "garbage", id="one is no pointer"),
        pytest.param({"pointers": pointers(_3=UNREAD)}, "unknown", "pointers", "503", id="one can't be read"),
        pytest.param(
            {"pointers": pointers(_1=None, _3=None)}, "healthy", "pointers", "2 pointers", id="no older keys"
        ),
        pytest.param(
            {"pointers": pointers(_0=None, _2=None), "decides": KEYS[1]},
            "healthy", "pointers", "2 pointers", id="older keys alone",
        ),
        pytest.param(
            {"pointers": dict.fromkeys(KEYS), "run": None}, "incorrect", "pointers", "no pointers", id="no pointer"
        ),
        pytest.param(
            {"pointers": pointers(_0=pointer(run_path="elsewhere"))},
            "incorrect", "agreement", "not at the run's own place", id="led elsewhere",
        ),
        pytest.param({"markers": {MARKER: None}}, "incorrect", "marker", "not there", id="no marker"),
        pytest.param({"markers": {MARKER: 0}}, "incorrect", "marker", "empty", id="an empty marker"),
        pytest.param({"markers": {MARKER: UNREAD}}, "unknown", "marker", "503", id="the marker can't be read"),
        pytest.param(
            {"run": {"files": 4, "problems": ["openai/cs/x.csv: it is required"]}},
            "incorrect", "run", "openai/cs/x.csv: it is required", id="a required file is missing",
        ),
        pytest.param(
            {"run": {"files": 5, "problems": ["a: its SHA-256 is"] * 9}},
            "incorrect", "run", "and 4 more", id="damaged",
        ),
        pytest.param({"run": UNREAD}, "unknown", "run", "503", id="the run can't be read"),
        pytest.param(
            {"run": UNREAD, "markers": {MARKER: None}}, "incorrect", "marker", "not there", id="wrong beats unknown"
        ),
    ],
)  # fmt: skip
def test_what_was_seen_is_judged(change: dict[str, Any], verdict: str, check: str, words: str) -> None:
    """Each fault is found by its own check, told with its key, and decides the verdict."""
    health = judge(seen(**change), 6 * HOUR)
    assert health.verdict == verdict
    assert words in health.record["checks"][check]["words"]


def test_a_pointer_without_an_end_is_as_old_as_the_object() -> None:
    """As who watched before did: the object's own time stands for an end that the pointer doesn't say."""
    health = judge(seen(pointers={key: pointer(ended_at=None) for key in KEYS}), 6 * HOUR)
    assert (health.verdict, health.age_seconds) == ("healthy", 2 * HOUR)


def test_a_clock_that_is_wrong_measures_nothing_and_calls_nobody() -> None:
    """A run that ended in the future is neither fresh nor stale, and nobody is to think of a promote."""
    health = judge(seen(now="2026-11-28T07:00:00+00:00"), 6 * HOUR)
    assert health.needs_dr is None
    assert [metric.name for metric in measurements(health, "jobintel")] == ["PublishCorrectness"]
    assert "freshness_seconds" not in textfile(health, "jobintel", datetime.now(UTC))


def test_only_homes_beside_one_that_has_pointers_are_told_as_absent() -> None:
    """Where no home has any, no version of the workload writes the others alone."""
    assert judge(seen(pointers=dict.fromkeys(KEYS), run=None), 6 * HOUR).remarks == ()
    assert judge(seen(pointers=pointers(_1=None, _3=None)), 6 * HOUR).remarks


def test_a_procedure_at_work_is_told_beside_and_changes_nothing() -> None:
    """Who is woken up knows that somebody works there already."""
    health = judge(
        seen(lease={"run_id": "failback-20261128T100000Z-a1b2c3", "at": RUN}, owner={"site": "dr"}), 6 * HOUR
    )
    assert health.verdict == "healthy"
    assert "failback-20261128T100000Z-a1b2c3" in health.remarks[0]


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ({}, {"PipelineFreshnessHours": 2, "PublishCorrectness": 0, "NeedsDR": 0}),
        ({"markers": {MARKER: None}}, {"PipelineFreshnessHours": 2, "PublishCorrectness": 1, "NeedsDR": 1}),
        (
            {"now": "2026-11-28T18:02:45+00:00"},
            {"PipelineFreshnessHours": 10, "PublishCorrectness": 0, "NeedsDR": 1},
        ),
        ({"markers": {MARKER: UNREAD}}, {"PipelineFreshnessHours": 2}),
    ],
)
def test_what_is_measured_is_what_the_alarms_know(change: dict[str, Any], values: dict[str, float]) -> None:
    """PublishCorrectness counts failures, as the existing alarms have it; what isn't known is left out."""
    metrics = measurements(judge(seen(**change), 6 * HOUR), "jobintel")
    assert {metric.name: metric.value for metric in metrics} == values
    assert {tuple(metric.dimensions.items()) for metric in metrics} == {
        (("Project", "jobintel"), ("Provider", "openai"), ("Profile", "cs"))
    }
    assert all(isinstance(metric, Metric) for metric in metrics)


def test_the_textfile_is_prometheus_own_format() -> None:
    """Every family has its help and type once, labels are escaped, and what isn't known is left out."""
    now = datetime(2026, 11, 28, 10, 2, 45, tzinfo=UTC)
    text = textfile(judge(seen(), 6 * HOUR), 'job"intel', now)
    labels = '{project="job\\"intel",provider="openai",profile="cs"}'
    assert f"drfsm_pipeline_freshness_seconds{labels} 7200\n" in text
    assert f"drfsm_needs_dr{labels} 0\n" in text
    assert f"drfsm_health_checked_timestamp_seconds{labels} {int(now.timestamp())}\n" in text
    assert 'profile="cs",check="marker"} 1\n' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert next(line.split("{")[0] for line in text.splitlines() if line[0] != "#") in names
    unknown = textfile(judge(seen(markers={MARKER: UNREAD}), 6 * HOUR), "jobintel", now)
    assert "drfsm_health_known" in unknown
    assert "drfsm_needs_dr" not in unknown
    assert "drfsm_publish_correct" not in unknown


# --- in a bucket ------------------------------------------------------------------------------------------------


def looked(bench: Any, store: Any = None, again: Callable[[float], object] = lambda _: None, **options: Any) -> Health:
    """Return the health of a bench's bucket."""
    limits: Mapping[str, Any] = {"again_seconds": 0, "sleep": again, **options}
    pair = ("openai", "cs")
    return look(store or bench.store, bench.layout, pair, 6 * HOUR, **limits)


def published(bench: Any, run_id: str = "") -> str:
    """Let the workload publish all that its contract requires, under a run id of now; return it."""
    run_id = run_id or datetime.now(UTC).isoformat(timespec="microseconds")
    bench.work(run_id)
    for place in workload.shipped().required(("openai", "cs")):
        for home in (bench.layout.run(run_id), bench.layout.latest()):
            if bench.store.stat(f"{home}/{place}") is None:
                bench.put(f"{home}/{place}", b"# a file that the sandbox's workload does not write")
    return run_id


def test_a_published_run_is_healthy_and_looking_writes_nothing(bench: Any) -> None:
    """What the workload leaves is healthy; each part that goes missing is found; nothing is written."""
    run_id = published(bench)
    before = bench.everything()
    health = looked(bench)
    assert (health.verdict, health.run_id) == ("healthy", run_id), health.record
    assert health.age_seconds is not None
    assert 0 <= health.age_seconds + 2 < HOUR
    assert bench.everything() == before
    marker = f"{bench.layout.latest()}/{bench.layout.workload.marker(('openai', 'cs'))}"
    bench.delete(marker)
    assert looked(bench).record["checks"]["marker"]["status"] == "wrong"
    bench.put(marker, before[marker])
    bench.flip(f"{bench.layout.run(run_id)}/openai/cs/openai_ranked_jobs.cs.json")
    assert "SHA-256" in looked(bench).record["checks"]["run"]["words"]


def test_a_set_that_is_just_being_published_is_looked_at_again(bench: Any) -> None:
    """Torn at first and whole a moment later is healthy; torn twice is not."""
    published(bench, OLD)
    before = bench.everything()
    published(bench)
    provider = bench.layout.provider_pointers([("openai", "cs")])[0]
    after = bench.body(provider)
    bench.put(provider, before[provider])
    waited: list[float] = []

    def publish(seconds: float) -> None:
        waited.append(seconds)
        bench.put(provider, after)

    assert looked(bench).verdict == "incorrect"
    assert looked(bench, again=publish, again_seconds=7).verdict == "healthy"
    assert waited == [7]


def test_a_bucket_that_can_not_be_read_is_unknown_and_never_healthy(bench: Any) -> None:
    """Nobody takes an outage of the store for one of the site: nothing is concluded, nothing is measured as wrong."""
    store = bench.store_at("http://127.0.0.1:9")
    health = judge(observe(store, bench.layout, ("openai", "cs")), 6 * HOUR)
    assert (health.verdict, health.needs_dr) == ("unknown", None)
    assert measurements(health, "x") == []


def test_nothing_at_all_is_unknown_and_anything_left_is_not(bench: Any) -> None:
    """A wrong prefix sees an empty place: nobody is called. Where one object is left, what is missing was published."""
    wrong = Layout("no-such-prefix")
    health = judge(observe(bench.store, wrong, ("openai", "cs")), 6 * HOUR)
    assert (health.verdict, health.needs_dr) == ("unknown", None)
    assert "nothing at all lies below" in health.checks[0].words
    assert "--prefix" in health.advice
    bench.put("no-such-prefix/drfsm/ownership.json", b"{}")
    health = judge(observe(bench.store, wrong, ("openai", "cs")), 6 * HOUR)
    assert (health.verdict, health.needs_dr) == ("incorrect", True)


def test_another_candidate_s_place_is_its_own(bench: Any) -> None:
    """What lies there of the default candidate says nothing of another one."""
    published(bench)
    other = Layout(bench.layout.prefix, "nobody")
    assert judge(observe(bench.store, other, ("openai", "cs")), 6 * HOUR).verdict == "unknown"


def test_a_pair_that_nobody_publishes_is_unknown_and_hides_no_fault(bench: Any) -> None:
    """A misspelt provider calls nobody, and is told with the pairs that there are; a missing marker is still wrong."""
    published(bench)
    health = judge(observe(bench.store, bench.layout, ("openal", "cs")), 6 * HOUR)
    assert (health.verdict, health.needs_dr) == ("unknown", None)
    assert "openal:cs: they name openai:cs" in health.checks[0].words
    assert "--provider" in health.advice
    bench.delete(f"{bench.layout.latest()}/{bench.layout.workload.marker(('openai', 'cs'))}")
    assert judge(observe(bench.store, bench.layout, ("openal", "cs")), 6 * HOUR).verdict == "incorrect"


def test_a_store_that_does_not_answer_is_said_once_and_asked_once(bench: Any) -> None:
    """One reason, in one check; nobody waits to look again at what never answered."""
    waited: list[float] = []
    health = looked(bench, bench.store_at("http://127.0.0.1:9"), waited.append, again_seconds=7)
    assert [check.words for check in health.checks[1:]] == ["not looked at"] * 4
    assert "127.0.0.1:9" in health.checks[0].words
    assert (health.verdict, waited) == ("unknown", [])


def test_a_bucket_that_is_not_there_is_told(bench: Any) -> None:
    """It says so, and which option to check."""
    store = aws.connect(bucket="nobody-s", endpoint_url=bench.cloud.endpoint).store
    health = judge(observe(store, bench.layout, ("openai", "cs")), 6 * HOUR)
    assert (health.verdict, health.checks[0].words) == ("unknown", "the bucket nobody-s does not exist")
    assert "--bucket" in health.advice


@pytest.mark.parametrize(("hours", "words"), [(0.2, "12 min"), (1, "1.0 h"), (0.001, "4 s")])
def test_a_limit_below_an_hour_is_told_in_minutes(hours: float, words: str) -> None:
    """No limit is told as 0.0 h."""
    assert f"the limit is {words}" in judge(seen(), hours * HOUR).record["checks"]["freshness"]["words"]
