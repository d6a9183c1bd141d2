"""What the named alarms did during a failback: asked of CloudWatch at its end, which nothing of it can fail."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, fields

from drfsm.adapters.aws_cloud import CloudWatchAlarms
from drfsm.adapters.aws_session import Services
from drfsm.dr.validation import alarm_history
from drfsm.engine import Run, SystemClock
from drfsm.evidence.receipts import check
from drfsm.journal import Actor, Record
from drfsm.resources import shipped
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.world import World
from tests.bench.faulty import Fault, Front

pytestmark = pytest.mark.usefixtures("operator_keys")

SCHEMA = json.loads((shipped("receipts_schema") / "alarm_history.schema.json").read_bytes())
SECRET = "the job said password=hunter2; "


def changed(cloud: Cloud, name: str, *states: str, reason: str = "the test says so") -> None:
    """Put an alarm, and let it go through these states; its first one is OK."""
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName="Failed", Namespace="jobintel", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    for state in states:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)


def a_run(*alarms: str) -> Run:
    """Return the run of a failback that began a minute ago."""
    began = (datetime.now(UTC) - timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    starter = Actor(did="started", at=began, operator="ann", host="here", proven={})
    return Run(id="failback-1", inputs={"alarms": "\n".join(alarms)}, operator="ann", epoch=1, dry_run=False,
               trigger="finish", results={}, args={}, clock=SystemClock(), starter=starter)  # fmt: skip


def told(endpoint: str, run: Run) -> dict[str, Any]:
    """Return what the action records of the alarms at an endpoint; its document fits its schema."""
    nothing: dict[str, Any] = dict.fromkeys(each.name for each in fields(World))
    world = World(**{**nothing, "alarms": CloudWatchAlarms(Services(endpoint, REGION))})
    result: dict[str, Any] = alarm_history.ACTIONS["read_alarm_history"](world, run)
    document = alarm_history.document_of(records(result))
    assert document is None or check(dict(document), SCHEMA) == []
    assert (document is None) == (not run.inputs["alarms"])
    return result


def records(result: Any, trigger: str = "finish") -> list[Record]:
    """Return the records of a run that a document is made of."""
    bodies = {"run_started": {"run_id": "failback-1"}, "commit": {"trigger": trigger, "result": result}}
    return [Record(seq, kind, "2026-11-28T10:00:00.000000Z", body) for seq, (kind, body) in enumerate(bodies.items())]


def test_without_a_named_alarm_nothing_is_asked_and_no_file_is_left() -> None:
    """Nobody listens there: who asked would have an unknown."""
    result = told("http://127.0.0.1:9", a_run())
    assert result == {"alarms": {"none": "no alarm was named (--alarm)"}}


def test_all_changes_are_counted_and_the_newest_are_kept_in_few_redacted_words(cloud: Cloud) -> None:
    """Newest first, with both states and the reason; a credential in it is left out, and a long text is cut."""
    states = ["ALARM", "OK"] * 30
    changed(cloud, "busy", *states, reason=SECRET + "x" * 500)
    changed(cloud, "wordy", "ALARM", reason="y" * 900)
    result = told(cloud.endpoint, a_run("busy", "wordy"))
    assert result["alarms"] == [{"alarm": "busy", "changes": 60}, {"alarm": "wordy", "changes": 1}]
    busy = [change for change in result["newest"] if change["alarm"] == "busy"]
    assert len(busy) == alarm_history.MOST_KEPT
    assert [change["to"] for change in busy] == states[::-1][: alarm_history.MOST_KEPT]
    assert (busy[0]["from"], busy[0]["summary"]) == ("ALARM", "Alarm updated from ALARM to OK")
    assert busy[0]["at"] >= busy[-1]["at"]
    assert busy[0]["reason"] == "the job said password=…"
    assert result["newest"][-1]["reason"] == f"{'y' * alarm_history.LONGEST_REASON}… (900 characters)"


FAULTS = {
    "it refuses": (400, b'{"__type": "AccessDenied", "message": "no cloudwatch:DescribeAlarmHistory"}', "AccessDenied"),
    "the credentials are no longer valid": (400, b'{"__type": "ExpiredToken", "message": "x"}', "invalid or expired"),
    "a login page answers": (200, b"<html>Sign in, password=hunter2</html>", "not JSON"),
    "it answers half": (200, b'{"AlarmHistoryItems": [{}]}', "no AlarmHistoryItems"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_read_is_unknown_with_its_reason_and_fails_nothing(cloud: Cloud, case: str) -> None:
    """The failback is done by then: of one alarm it is recorded why its history is unknown, the other is read."""
    status, body, why = FAULTS[case]
    changed(cloud, "second", "ALARM", "OK")
    said: list[str] = []
    with Front(cloud.endpoint) as front:
        front.rule = lambda _method, _path: Fault(status=status, body=body) if len(front.seen) == 1 else None
        run = evolve(a_run("first", "second"), say=lambda words, **_: said.append(words))
        result = told(front.endpoint, run)
    first, second = result["alarms"]
    assert why in first["changes"]["unknown"]
    assert "hunter2" not in json.dumps(result)
    assert second["changes"] >= 2
    assert {change["alarm"] for change in result["newest"]} == {"second"}
    assert said[0].startswith("the history of the alarm first is unknown, and does not hold the failback: ")


def test_a_reading_that_takes_too_long_is_given_up(cloud: Cloud) -> None:
    """The row's time is up: unknown, for as many alarms as are left, and nothing is asked any more."""
    with Front(cloud.endpoint) as front:
        result = told(front.endpoint, evolve(a_run("one", "two"), deadline=0.0))
        assert front.seen == []
    assert ["longer than its declared time" in entry["changes"]["unknown"] for entry in result["alarms"]] == [
        True,
        True,
    ]


@pytest.mark.parametrize("result", [None, {"alarms": {"none": "no alarm was named (--alarm)"}}])
def test_a_commit_without_a_history_leaves_no_file(result: Any) -> None:
    """One of a version that read none, or of a run without alarms."""
    assert alarm_history.document_of(records(result)) is None
    assert alarm_history.document_of(records(result)[:1]) is None
