"""The sandbox's AWS is quiet, starts empty, and knows who asks."""

import pytest
from botocore.exceptions import ClientError

from drfsm.sandbox.cloud import Cloud


def test_the_first_cloud_of_a_process_starts_empty_and_bucket_names_are_everybodys(cloud: Cloud) -> None:
    """A second Cloud at the same time lists none of the first one's buckets, and can't have their names."""
    cloud.create_bucket("of-the-first")
    with Cloud() as second:
        assert second.client("s3").list_buckets()["Buckets"] == []
        with pytest.raises(ClientError, match="BucketAlreadyExists"):
            second.create_bucket("of-the-first")
        assert second.endpoint != cloud.endpoint


def test_every_service_that_drfsm_uses_answers(cloud: Cloud) -> None:
    """S3, STS, EC2 and SSM answer on the one endpoint."""
    cloud.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    assert cloud.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "b"
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.account
    assert (
        cloud.client("ec2").describe_instances(Filters=[{"Name": "tag:No", "Values": ["such"]}])["Reservations"] == []
    )


def test_two_identities_are_two_principals(cloud: Cloud) -> None:
    """A request with a user's key is that user's request: what a fence by PrincipalArn needs."""
    one, two = cloud.create_identity("one"), cloud.create_identity("two")
    told = [cloud.client("sts", each).get_caller_identity()["Arn"] for each in (one, two)]
    assert told == [one.arn, two.arn] != [two.arn, one.arn]


def test_the_server_says_nothing(cloud: Cloud, capfd: "object") -> None:
    """A request leaves no line on stdout or stderr."""
    cloud.client("s3").list_buckets()
    assert capfd.readouterr() == ("", "")  # type: ignore[attr-defined]  # pytest's fixture


def test_the_history_of_an_alarm_is_told_as_cloudwatch_tells_it(cloud: Cloud) -> None:
    """Each real change of state, in pages, in either order; kept when the alarm is put again or deleted."""
    cloudwatch = cloud.client("cloudwatch")
    for _ in "put", "put again":
        cloudwatch.put_composite_alarm(AlarmName="either", AlarmRule="ALARM(a) OR ALARM(b)")
        for state in ("ALARM", "ALARM"):
            cloudwatch.set_alarm_state(AlarmName="either", StateValue=state, StateReason="r")
    assert cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"][0]["StateValue"] == "ALARM"
    cloudwatch.set_alarm_state(AlarmName="either", StateValue="OK", StateReason="r")
    cloudwatch.delete_alarms(AlarmNames=["either"])
    asked = {"AlarmName": "either", "AlarmTypes": ["CompositeAlarm"], "MaxRecords": 1}
    pages = cloudwatch.get_paginator("describe_alarm_history").paginate(**asked)
    kinds = [item["HistoryItemType"] for page in pages for item in page["AlarmHistoryItems"]]
    assert kinds == ["StateUpdate", "ConfigurationUpdate", "StateUpdate", "ConfigurationUpdate"]
    oldest = cloudwatch.describe_alarm_history(**asked, HistoryItemType="StateUpdate", ScanBy="TimestampAscending")
    assert [item["HistorySummary"] for item in oldest["AlarmHistoryItems"]] == ["Alarm updated from OK to ALARM"]
    assert cloudwatch.describe_alarm_history(AlarmName="either")["AlarmHistoryItems"] == []  # metric alarms only
    with pytest.raises(ClientError, match="InvalidNextToken"):
        cloudwatch.describe_alarm_history(**asked, NextToken="another's")
    with Cloud() as second:
        assert second.client("cloudwatch").describe_alarm_history(**asked)["AlarmHistoryItems"] == []


def test_two_clouds_of_one_process_are_two_accounts() -> None:
    """The same key leads to two accounts, by the endpoint; parameters and users of one are not the other's."""
    with Cloud() as one, Cloud() as two:
        accounts = [each.client("sts").get_caller_identity()["Account"] for each in (one, two)]
        assert accounts == [one.account, two.account]
        assert one.account != two.account
        one.client("ssm").put_parameter(Name="/p", Value="v", Type="String")
        assert two.client("ssm").describe_parameters()["Parameters"] == []
        assert one.create_identity("somebody").arn == f"arn:aws:iam::{one.account}:user/somebody"
        assert two.client("iam").list_users()["Users"] == []
