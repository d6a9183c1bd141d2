"""What drfsm tells CloudWatch and asks of it, and what it takes from ECR, by the real client."""

from datetime import UTC, datetime, timedelta

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from drfsm.adapters import aws
from drfsm.adapters.aws_cloud import CloudWatchAlarms
from drfsm.adapters.aws_session import Services
from drfsm.adapters.ecr import EcrTokens
from drfsm.claims import moment
from drfsm.errors import ActionFailed, Unreadable
from drfsm.sandbox import ecr_tokens
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.world import AlarmChange, Metric

pytestmark = pytest.mark.usefixtures("operator_keys")


def test_measurements_lie_in_cloudwatch_with_their_dimensions(cloud: Cloud) -> None:
    """What was put can be read back, as an alarm would."""
    named = {"Project": "jobintel", "Provider": "openai", "Profile": "cs"}
    metrics = aws.metrics(endpoint_url=cloud.endpoint, region=REGION)
    metrics.put("JobIntel/DR", [Metric("PipelineFreshnessHours", 7.5, named), Metric("NeedsDR", 1, named, "Count")])
    cloudwatch = cloud.client("cloudwatch")
    read = cloudwatch.get_metric_statistics(
        Namespace="JobIntel/DR",
        MetricName="PipelineFreshnessHours",
        Dimensions=[{"Name": name, "Value": value} for name, value in named.items()],
        StartTime=datetime.now(UTC) - timedelta(minutes=5),
        EndTime=datetime.now(UTC) + timedelta(minutes=5),
        Period=60,
        Statistics=["Maximum"],
    )
    assert [point["Maximum"] for point in read["Datapoints"]] == [7.5]


def alarm(cloud: Cloud, name: str, *states: str) -> None:
    """Put a composite alarm, and let it go through these states; its first one is OK."""
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule="ALARM(a) OR ALARM(b)")
    for state in states:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=f"it is {state}")


def history(cloud: Cloud, name: str, since: timedelta, until: timedelta) -> list[AlarmChange]:
    """Return what the adapter says of an alarm's changes between two times, both counted from now."""
    now = datetime.now(UTC)
    alarms = CloudWatchAlarms(Services(cloud.endpoint, REGION))
    return list(alarms.history(name, now + since, now + until))


HOUR = timedelta(hours=1)


def test_the_history_of_an_alarm_is_read_to_its_last_page_newest_first(cloud: Cloud) -> None:
    """Of a composite alarm, and of no other; what else happened to it, as being put, is no change of state."""
    states = ["ALARM", "OK"] * 55 + ["INSUFFICIENT_DATA"]
    alarm(cloud, "paged", *states)
    alarm(cloud, "another", "ALARM")
    changes = history(cloud, "paged", -HOUR, HOUR)
    assert [change.new_state for change in changes] == states[::-1]
    assert [change.old_state for change in changes] == [*states[-2::-1], "OK"]
    assert (changes[0].summary, changes[0].reason) == (
        "Alarm updated from OK to INSUFFICIENT_DATA", "it is INSUFFICIENT_DATA"
    )  # fmt: skip
    at = moment(changes[0].at)
    assert at is not None
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert history(cloud, "no-such-alarm", -HOUR, HOUR) == []


def test_the_history_of_an_alarm_is_that_of_the_window(cloud: Cloud) -> None:
    """A change before it, or after it, is none of the run's."""
    alarm(cloud, "timed", "ALARM", "OK", "INSUFFICIENT_DATA", "ALARM")
    items = [item for item in cloudwatch_backends[cloud.account][REGION].__dict__["alarm_history"]
             if item["AlarmName"] == "timed" and item["HistoryItemType"] == "StateUpdate"]  # fmt: skip
    for hours_ago, item in zip((4, 3, 2, 1), items, strict=True):
        item["Timestamp"] -= hours_ago * HOUR
    changes = history(cloud, "timed", -3.5 * HOUR, -1.5 * HOUR)
    assert [change.new_state for change in changes] == ["INSUFFICIENT_DATA", "OK"]
    assert history(cloud, "timed", -0.5 * HOUR, HOUR) == []
    at = moment(changes[0].at)
    assert at is not None
    alarms, tick = CloudWatchAlarms(Services(cloud.endpoint, REGION)), timedelta(milliseconds=1)
    assert [len(list(alarms.history("timed", at + since, at + until)))
            for since, until in ((-tick, tick), (tick, tick), (-tick, -tick))] == [1, 0, 0]  # fmt: skip


def test_a_token_is_the_registrys_own_and_tells_its_end(cloud: Cloud) -> None:
    """It is asked for in the account and region that the host names, whichever ours are."""
    tokens = EcrTokens(Services(cloud.endpoint, REGION))
    token = tokens.token("111122223333.dkr.ecr.eu-west-1.amazonaws.com")
    expires = moment(token.expires_at)
    assert token.username == "AWS"
    assert ecr_tokens.is_good(token.password)
    assert expires is not None
    assert timedelta(hours=11) < expires - datetime.now(UTC) <= timedelta(hours=12)
    assert token.password not in repr(token)
    with pytest.raises(ActionFailed, match=r"ghcr\.io is no registry of AWS"):
        tokens.token("ghcr.io")


def test_a_token_of_another_registry_is_not_taken(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that names another registry, or has no token in it, is no answer; nothing of the token is told."""
    token = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
    given = ecr_tokens._token
    monkeypatch.setattr(ecr_tokens, "_token", lambda _registry, region: given("999999999999", region))
    with pytest.raises(Unreadable, match="999999999999") as told:
        EcrTokens(Services(cloud.endpoint, REGION)).token(token)
    assert not any(password in told.value.diagnostics() for password in ecr_tokens._given)
    monkeypatch.setattr(ecr_tokens, "_token", lambda *place: {**given(*place), "authorizationToken": "hunter2"})
    with pytest.raises(Unreadable, match="no token in it") as told:
        EcrTokens(Services(cloud.endpoint, REGION)).token(token)
    assert "hunter2" not in told.value.diagnostics()
