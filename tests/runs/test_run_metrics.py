"""The metrics of runs, read by Prometheus' own parser."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from drfsm.errors import ExitCode
from drfsm.evidence.exposition import exposition
from drfsm.journal import RunState
from drfsm.runs.run_metrics import families
from drfsm.runs.selection import KnownRun
from tests.cli.conftest import given
from tests.command import Drfsm, in_this_process

NOW = datetime(2026, 2, 27, 4, tzinfo=UTC)
BEGAN = "2026-02-27T03:00:00.000000Z"
OPEN = RunState(
    run_id="failback-1", machine="failback", status="held", state="dr_quiesced", started_at=BEGAN,
    last_at="2026-02-27T03:30:00.000000Z", inputs={"bucket": "b", "prefix": "p"},
    frozen_since={"DR starts no Jobs": BEGAN, "nobody can publish, as both are frozen": "2026-02-27T03:15:00.000000Z"},
)  # fmt: skip
DONE = RunState(
    run_id="drill-1", machine="drill", status="complete", started_at=BEGAN, ended_at="2026-02-27T03:20:00.5Z",
    scope="drill", sealed=True,
)  # fmt: skip
EARLIER = evolve(DONE, run_id="drill-0", started_at="2026-02-20T03:00:00Z", ended_at="2026-02-20T05:00:00Z")


def known(*states: RunState) -> list[KnownRun]:
    """Return runs of this computer, in directories that are not there."""
    return [KnownRun(Path("/nowhere") / state.run_id, state) for state in states]


def samples(runs: list[KnownRun]) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return what Prometheus reads: by name, its samples. Every family has a HELP and a TYPE."""
    read: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(exposition(families(runs, NOW))):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        assert family.name not in read
        read[family.name] = [(dict(sample.labels), sample.value) for sample in family.samples]
    return read


def test_runs_are_counted_timed_and_found_open() -> None:
    """A run that is held, two complete ones, a dry run, and one that cannot be read."""
    dry = evolve(DONE, run_id="drill-2", dry_run=True, ended_at="2026-02-27T03:59:00Z")
    broken = KnownRun(Path("/nowhere/x"), RunState(), "its journal is damaged")
    named = {"procedure": "failback", "run_id": "failback-1"}
    since = datetime(2026, 2, 27, 3, 15, tzinfo=UTC).timestamp()
    assert samples([*known(OPEN, DONE, EARLIER, evolve(dry, status="dry_run")), broken]) == {
        "drfsm_metrics_written_timestamp_seconds": [({}, NOW.timestamp())],
        "drfsm_runs_unreadable": [({}, 1)],
        "drfsm_runs": [
            ({"procedure": "drill", "status": "complete"}, 2),
            ({"procedure": "drill", "status": "dry_run"}, 1),
            ({"procedure": "failback", "status": "held"}, 1),
        ],
        "drfsm_last_success_timestamp_seconds": [
            ({"procedure": "drill"}, datetime(2026, 2, 27, 3, 20, 0, 500_000, tzinfo=UTC).timestamp())
        ],
        "drfsm_last_success_duration_seconds": [({"procedure": "drill"}, 1200.5)],
        "drfsm_run_open": [({**named, "state": "dr_quiesced", "status": "held"}, 1)],
        "drfsm_run_waiting_seconds": [(named, 1800)],
        "drfsm_nobody_can_publish_seconds": [({}, 2700)],
        "drfsm_nobody_can_publish_since_timestamp_seconds": [(named, since)],
    }


def test_a_run_that_was_taken_over_is_not_open_and_freezes_nothing() -> None:
    """Its heir says what is frozen now."""
    (run,) = known(OPEN)
    read = samples([evolve(run, superseded_by="failback-2")])
    assert read["drfsm_runs"] == [({"procedure": "failback", "status": "superseded"}, 1)]
    assert "drfsm_run_open" not in read
    assert read["drfsm_nobody_can_publish_seconds"] == [({}, 0)]


def test_a_run_without_a_process_is_interrupted_and_waits() -> None:
    """Killed: the journal says that it is running."""
    read = samples(known(evolve(OPEN, status="running")))
    assert [labels["status"] for labels, _ in read["drfsm_run_open"]] == ["interrupted"]
    assert read["drfsm_run_waiting_seconds"][0][1] == 1800


def test_without_a_run_a_site_can_publish() -> None:
    """The two that an alarm asks are always there."""
    assert samples([]) == {
        "drfsm_metrics_written_timestamp_seconds": [({}, NOW.timestamp())],
        "drfsm_runs_unreadable": [({}, 0)],
        "drfsm_nobody_can_publish_seconds": [({}, 0)],
    }


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb 1\nforged 7", "a{b}", "\x1b[2J", "a\rb", "\u2028", "", "ä"])
def test_no_name_from_a_journal_forges_a_sample(text: str) -> None:
    """Whatever a state, a run and a procedure are called: one sample each, read back as it was printed."""
    read = samples(known(evolve(OPEN, state=text, run_id=text or "x", machine=text or "m")))
    ((labels, value),) = read["drfsm_run_open"]
    assert value == 1
    assert labels["state"].isprintable()
    assert set(read) == set(samples(known(OPEN)))


@pytest.mark.parametrize("at", ["", "yesterday", "2026-02-27T05:00:00Z"])
def test_a_time_that_is_none_is_left_out_and_one_in_the_future_is_no_negative_wait(at: str) -> None:
    """A clock may be ahead of this one."""
    read = samples(known(evolve(OPEN, last_at=at, frozen_since={"nobody can publish": at})))
    assert [value for _, value in read.get("drfsm_run_waiting_seconds", [])] == ([0] if "T" in at else [])
    assert read["drfsm_nobody_can_publish_seconds"] == [({}, 0)]


@pytest.fixture
def drfsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drfsm:
    """Return the command, in an environment without a home."""
    return in_this_process(tmp_path, monkeypatch, capsys)


def test_the_command_prints_or_writes_a_textfile_whole(drfsm: Drfsm, tmp_path: Path) -> None:
    """Of all runs, or of those that are named; readable for the exporter's user, and no draft is left."""
    assert drfsm(*given(tmp_path, confirm1="FAIL")).code == ExitCode.REFUSED
    (tmp_path / "out").mkdir()
    prom = tmp_path / "out/runs.prom"
    prom.write_text("old", encoding="utf-8")
    assert drfsm("metrics", "--out", prom).code == ExitCode.DONE
    assert 'drfsm_runs{procedure="failback",status="refused"} 1\n' in prom.read_text(encoding="utf-8")
    assert (prom.stat().st_mode & 0o777, list(prom.parent.iterdir())) == (0o644, [prom])
    printed = drfsm("metrics", tmp_path / "bundle")
    assert 'status="refused"} 1\n' in printed.out
    assert next(family.name for family in text_string_to_metric_families(printed.out)).startswith("drfsm_")
    for wrong in ("runs.txt", tmp_path / "none/x.prom", tmp_path / "a\0b.prom"):
        answer = drfsm("metrics", "--out", wrong)
        assert (answer.code, answer.out) == (ExitCode.USAGE, ""), wrong
    assert drfsm("metrics", "nothing").code == ExitCode.USAGE
