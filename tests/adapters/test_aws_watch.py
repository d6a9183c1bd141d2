"""What drfsm tells CloudWatch, and what it takes from ECR, by the real client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from drfsm.adapters import aws
from drfsm.adapters.aws_session import Services
from drfsm.adapters.ecr import EcrTokens
from drfsm.claims import moment
from drfsm.errors import ActionFailed, Unreadable
from drfsm.sandbox import ecr_tokens
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.world import Metric


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One cloud for all tests."""
    with Cloud() as started:
        yield started


@pytest.fixture(autouse=True)
def operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process an operator's keys."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "operator")


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
