"""The sandbox's AWS is quiet, starts empty, and knows who asks."""

from drfsm.sandbox.cloud import Cloud


def test_the_first_cloud_of_a_process_starts_empty_and_the_second_sees_its_buckets(cloud: Cloud) -> None:
    """Two Clouds that live at once share one state, as the docstring warns."""
    cloud.create_bucket("of-the-first")
    with Cloud() as second:
        assert "of-the-first" in {each["Name"] for each in second.client("s3").list_buckets()["Buckets"]}
        assert second.endpoint != cloud.endpoint


def test_every_service_that_drfsm_uses_answers(cloud: Cloud) -> None:
    """S3, STS, EC2 and SSM answer on the one endpoint."""
    cloud.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    assert cloud.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "b"
    assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"
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
