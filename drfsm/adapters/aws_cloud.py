"""The services of an account besides its store: identity, machines, a bucket's policy, alarms, parameters.

aws_answers.py has checked the form of every response; this module checks that it fits the request: the tags, the ids,
the name. Where the store is not AWS's (``Services.is_elsewhere``), there may be no service for accounts: the result is
then ``untold: …`` and not a failure. docs/stores.md says what works without which service.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from drfsm.adapters.aws_answers import WAY, Unworded
from drfsm.adapters.aws_session import NO_IDENTITY, NO_POLICY, NOT_OFFERED, Services, call
from drfsm.claims import bounded, moment, name_of, object_of
from drfsm.errors import ActionFailed, Unreachable, Unreadable
from drfsm.world import UNTOLD, AlarmChange, Runner

_REGION = re.compile(r"[A-Za-z]{2}[A-Za-z0-9-]{0,60}")
_ARN = re.compile(r"arn:[!-~]{1,2000}")
_ALARM_STATES, _STATE_UPDATE = ("OK", "ALARM", "INSUFFICIENT_DATA"), "StateUpdate"
_MOST_HISTORY_PAGES = 1000  # of 100 items: an alarm that changes every minute fills 432 of them in CloudWatch's 30 days


class AwsIdentity:
    """The account and the identity that drfsm acts with."""

    def __init__(self, services: Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket
        self._caller: Mapping[str, str] | None = None

    def _who(self) -> Mapping[str, str]:
        if self._caller is None:
            self._caller = self._asked()
        return self._caller

    def _asked(self) -> Mapping[str, str]:
        what = "asking STS for the caller's identity"
        answer = call(what, lambda: self._services.client("sts").get_caller_identity())
        if not _ARN.fullmatch(answer["Arn"]):
            raise Unreadable(f"{what}: STS returned no ARN, but {bounded(answer['Arn'], 100)}", hint=WAY)
        return {"Account": name_of("account", answer["Account"], "the account that STS names"), "Arn": answer["Arn"]}

    def _identity_field(self, name: str) -> str:
        try:
            return self._who()[name]
        except (ActionFailed, Unreachable) as fault:
            if _is_garbage(fault):
                raise
            return self._untold("STS", "sts", fault)

    def _untold(self, who: str, service: str, fault: ActionFailed | Unreachable) -> str:
        """Return UNTOLD with the reason, where the store is not AWS's. Raises the failure where it is."""
        if not self._services.is_elsewhere():
            raise fault
        return f"{UNTOLD}: {who} does not answer at {bounded(self._services.endpoint(service))} ({bounded(fault.what)})"

    def account(self) -> str:
        """Return the account's id."""
        return self._identity_field("Account")

    def caller(self) -> str:
        """Return our own ARN."""
        return self._identity_field("Arn")

    def known(self, arn: str) -> str:
        """Return whether a role or user exists: ``there``, ``absent``, or ``untold`` where asking is not permitted."""
        kind, _, path = arn.partition(":iam::")[2].partition(":")[2].partition("/")
        name = path.rpartition("/")[2]
        asked = {"role": ("get_role", "RoleName"), "user": ("get_user", "UserName")}.get(kind)
        if asked is None or arn.partition(":iam::")[2].partition(":")[0] != self.account():
            return UNTOLD  # identities of another account can't be looked up
        operation, argument = asked
        ask = getattr(self._services.client("iam"), operation)
        try:
            answer = call(f"looking {arn} up", lambda: ask(**{argument: name}), NO_IDENTITY)
        except (ActionFailed, Unreachable) as fault:
            if _is_garbage(fault) or (isinstance(fault, Unworded) and not self._services.is_elsewhere()):
                raise
            return UNTOLD
        return "there" if answer and answer[kind.title()]["Arn"] == arn else "absent"

    def region(self) -> str:
        """Return the region that requests go to."""
        return str(self._services.client("s3").meta.region_name)

    def bucket_region(self) -> str:
        """Return the region that the bucket lives in."""
        what = f"asking where the bucket {self._bucket} lives"
        try:
            answer = call(what, lambda: self._services.client("s3").get_bucket_location(Bucket=self._bucket))
        except ActionFailed as fault:  # only a response counts: no answer does not mean that the store has no region
            if not self._services.is_elsewhere():
                raise
            return f"{UNTOLD}: the store reports no region ({bounded(fault.what)})"
        region = str(answer.get("LocationConstraint") or "us-east-1")
        if not _REGION.fullmatch(region):
            raise Unreadable(f"{what}: {bounded(region, 100)} is not a region", hint=WAY)
        return region


class Ec2Infrastructure:
    """The machines below a site."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def runners(self, tags: Mapping[str, str]) -> Sequence[Runner]:
        """Return the machines that carry all of these tags, without terminated ones."""
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        runners = self._described(Filters=filters)
        if others := [runner.instance_id for runner in runners if not tags.items() <= runner.tags.items()]:
            raise _unasked("listing runners", others)
        return [runner for runner in runners if runner.state != "terminated"]

    def states(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each machine; one that the cloud no longer lists is ``terminated``."""
        if not instance_ids:
            return {}
        runners = self._described(Filters=[{"Name": "instance-id", "Values": list(instance_ids)}])
        known = {runner.instance_id: runner.state for runner in runners}
        if others := sorted(known.keys() - set(instance_ids)):
            raise _unasked("listing runners", others)
        return {instance_id: known.get(instance_id, "terminated") for instance_id in instance_ids}

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these machines, and no others, to be terminated."""
        ec2 = self._services.client("ec2")
        call("terminating runners", lambda: ec2.terminate_instances(InstanceIds=list(instance_ids)))

    def _described(self, **asked: Any) -> list[Runner]:
        pages = call("listing runners", lambda: list(
            self._services.client("ec2").get_paginator("describe_instances").paginate(**asked)
        ))  # fmt: skip
        return [
            Runner(
                name_of("instance", instance["InstanceId"], "an instance that EC2 names"),
                instance["State"]["Name"],
                {tag["Key"]: tag.get("Value", "") for tag in instance.get("Tags", ())},
            )
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]


class S3Policy:
    """The bucket's policy."""

    def __init__(self, services: Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket

    def read(self) -> str | None:
        """Return the policy, None if there is none or the store has no policies at all."""
        what = f"reading the policy of {self._bucket}"
        s3, none = self._services.client("s3"), (NO_POLICY, *NOT_OFFERED)
        answer = call(what, lambda: s3.get_bucket_policy(Bucket=self._bucket), *none)
        if answer is None:
            return None
        policy = object_of(answer["Policy"], f"the policy of {self._bucket}", hint=WAY)
        if not isinstance(policy.get("Statement"), list | dict):
            raise Unreadable(f"{what}: it has no Statement, so it is not a policy", hint=WAY)
        return str(answer["Policy"])

    def write(self, policy: str | None) -> None:
        """Replace the policy; None removes it.

        The response has no content, so a read follows: a service that returns neither a policy nor S3's own code
        for none has not stored it. The caller compares the content.
        """
        s3, what = self._services.client("s3"), f"writing the policy of {self._bucket}"
        if policy is None:
            call(what, lambda: s3.delete_bucket_policy(Bucket=self._bucket))
        else:
            call(what, lambda: s3.put_bucket_policy(Bucket=self._bucket, Policy=policy))
        self.read()


class CloudWatchAlarms:
    """Metric and composite alarms."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each named alarm that exists."""
        pages = call("listing alarms", lambda: list(
            self._services.client("cloudwatch").get_paginator("describe_alarms")
            .paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        ))  # fmt: skip
        kinds = ("MetricAlarms", "CompositeAlarms")
        if not all(any(kind in page for kind in kinds) for page in pages):
            raise Unreadable("listing alarms: the response has no list of alarms, not even an empty one", hint=WAY)
        states = {
            alarm["AlarmName"]: alarm["StateValue"] for page in pages for kind in kinds for alarm in page.get(kind, ())
        }
        if others := sorted(states.keys() - set(names)):
            raise _unasked("listing alarms", others)
        return states

    def history(self, name: str, since: datetime, until: datetime) -> Iterator[AlarmChange]:
        """Yield the changes of an alarm's state between two times, newest first.

        Raises Unreadable for items of another alarm, another kind, another time or another order than asked for, and
        for pages without end.
        """
        what = f"reading the history of the alarm {name}"
        # botocore sends whole seconds only.
        first, newest = since.replace(microsecond=0), until.replace(microsecond=0) + timedelta(seconds=1)
        for page in self._history_pages(what, name, first, newest):
            for item in page["AlarmHistoryItems"]:
                if (item["AlarmName"], item["HistoryItemType"]) != (name, _STATE_UPDATE):
                    raise _unasked(what, [f"{item['HistoryItemType']} of {item['AlarmName']}"])
                at = moment(item["Timestamp"].isoformat())
                if at is None or not first <= at <= newest:
                    raise _unasked(what, [f"a change at {item['Timestamp']}, out of time or out of order"])
                newest = at
                if since <= at <= until:
                    yield _alarm_change(what, item, at)

    def _history_pages(self, what: str, name: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        cloudwatch = self._services.client("cloudwatch")
        asked: dict[str, Any] = {
            "AlarmName": name,
            "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],  # without it, CloudWatch leaves composite alarms out
            "HistoryItemType": _STATE_UPDATE,
            "StartDate": since,
            "EndDate": until,
            "ScanBy": "TimestampDescending",
        }
        for _ in range(_MOST_HISTORY_PAGES):
            page = call(what, lambda: cloudwatch.describe_alarm_history(**asked))
            yield page
            if "NextToken" not in page:
                return
            asked["NextToken"] = page["NextToken"]
        raise Unreadable(f"{what}: the response has more than {_MOST_HISTORY_PAGES} pages", hint=WAY)


class Ec2Machines:
    """Instances from launch templates, and the addresses that may reach them. Returns plain values."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _ec2(self) -> Any:
        return self._services.client("ec2")

    def template(self, name: str, version: str) -> Mapping[str, Any]:
        """Return one version of a launch template: its id, its number, and its settings."""
        by = "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName"
        asked = {by: name, "Versions": [version or "$Default"]}
        what = f"reading the launch template {name}"
        answer = call(what, lambda: self._ec2.describe_launch_template_versions(**asked))
        versions = answer["LaunchTemplateVersions"]
        if not versions:
            raise ActionFailed(f"{what}: it has no version {version}", hint="aws ec2 describe-launch-templates")
        data = versions[0]["LaunchTemplateData"]
        sizes = [device.get("Ebs", {}).get("VolumeSize") for device in data.get("BlockDeviceMappings", ())]
        return {
            "id": versions[0]["LaunchTemplateId"],
            "name": versions[0]["LaunchTemplateName"],
            "version": str(versions[0]["VersionNumber"]),
            "instance_type": data.get("InstanceType", ""),
            "disk_gb": sum(sizes) if sizes and all(sizes) else None,
        }

    def launch(self, template: str, version: str, token: str, tags: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Start one instance, or return the one that this token started; None if that one is terminated already."""
        tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
        asked = {
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": version},
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list} for kind in ("instance", "volume")],
        }
        what = f"starting an instance from {template} version {version}"
        answer = call(what, lambda: self._ec2.run_instances(**asked), "IdempotentInstanceTerminated")
        if answer is None:
            return None
        if len(answer["Instances"]) != 1:
            raise Unreadable(f"{what}: EC2 reports {len(answer['Instances'])} instances", hint=WAY)
        return _instance(answer["Instances"][0])

    def instances(self, filters: Mapping[str, Sequence[str]]) -> Sequence[Mapping[str, Any]]:
        """Return the instances that fit all filters, terminated ones included."""
        asked = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        pages = call("listing instances", lambda: list(
            self._ec2.get_paginator("describe_instances").paginate(Filters=asked)
        ))  # fmt: skip
        described = (
            instance for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]
        )
        return [_instance(instance) for instance in described]

    def disk_gb(self, volume_ids: Sequence[str]) -> int | None:
        """Return the total size of these volumes, None if it is unknown."""
        if not volume_ids:
            return None
        asked = [{"Name": "volume-id", "Values": list(volume_ids)}]
        volumes = call("listing volumes", lambda: self._ec2.describe_volumes(Filters=asked))["Volumes"]
        return sum(volume["Size"] for volume in volumes) if len(volumes) == len(volume_ids) else None

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these instances, and no others, to be terminated."""
        call("terminating instances", lambda: self._ec2.terminate_instances(InstanceIds=list(instance_ids)))

    def admit(self, group: str, cidr: str, port: int, reason: str) -> None:
        """Let an address in to a port. An address that is already let in is not an error."""
        asked = {"GroupId": group, "IpPermissions": [_permission(cidr, port, reason)]}
        what = f"letting {cidr} in at {group}"
        call(what, lambda: self._ec2.authorize_security_group_ingress(**asked), "InvalidPermission.Duplicate")

    def admitted(self, reason: str) -> Sequence[tuple[str, str, int]]:
        """Return (group, address, port) of every rule with this mark."""
        pages = call("listing security groups", lambda: list(
            self._ec2.get_paginator("describe_security_groups").paginate()
        ))  # fmt: skip
        return [
            (group["GroupId"], block.get("CidrIp") or block.get("CidrIpv6", ""), int(rule.get("FromPort", -1)))
            for page in pages
            for group in page["SecurityGroups"]
            for rule in group.get("IpPermissions", ())
            for block in (*rule.get("IpRanges", ()), *rule.get("Ipv6Ranges", ()))
            if block.get("Description") == reason
        ]

    def dismiss(self, group: str, cidr: str, port: int, reason: str) -> None:
        """Stop letting an address in. An address that is not let in is not an error."""
        asked = {"GroupId": group, "IpPermissions": [_permission(cidr, port, reason)]}
        call(
            f"shutting {cidr} out at {group}",
            lambda: self._ec2.revoke_security_group_ingress(**asked),
            "InvalidPermission.NotFound",
            "InvalidGroup.NotFound",
        )


class SsmParameters:
    """SSM parameters. Their values may be secrets: they are returned and never logged."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def read(self, name: str) -> str | None:
        """Return a parameter's value, None if there is none."""
        asked = {"Name": name, "WithDecryption": True}
        answer = call(
            f"reading {name}", lambda: self._services.client("ssm").get_parameter(**asked), "ParameterNotFound"
        )
        if answer is None:
            return None
        if name not in (answer["Parameter"]["Name"], answer["Parameter"].get("ARN")):
            raise _unasked(f"reading {name}", [answer["Parameter"]["Name"]])
        return str(answer["Parameter"]["Value"])

    def delete(self, name: str) -> None:
        """Delete a parameter. An absent parameter is not an error."""
        ssm = self._services.client("ssm")
        call(f"deleting {name}", lambda: ssm.delete_parameter(Name=name), "ParameterNotFound")


def _is_garbage(fault: Exception) -> bool:
    """Return whether the response came from something else than the service; an error page does not count."""
    return isinstance(fault, Unreadable) and not isinstance(fault, Unworded)


def _unasked(what: str, names: Sequence[str]) -> Unreadable:
    """Return the fault of a response about names that were not asked for."""
    return Unreadable(
        f"{what}: the response contains {bounded(', '.join(names), 200)}, which was not asked for", hint=WAY
    )


def _alarm_change(what: str, item: Mapping[str, Any], at: datetime) -> AlarmChange:
    data = object_of(item.get("HistoryData", "{}"), f"{what}: the HistoryData of an item", hint=WAY)
    old, new = (data.get(name) for name in ("oldState", "newState"))
    reason = new.get("stateReason") if isinstance(new, Mapping) else ""
    return AlarmChange(
        at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        _alarm_state(old),
        _alarm_state(new),
        item["HistorySummary"],
        reason if isinstance(reason, str) else "",
    )


def _alarm_state(state: Any) -> str:
    value = state.get("stateValue") if isinstance(state, Mapping) else ""
    return str(value) if value in _ALARM_STATES else ""


def _permission(cidr: str, port: int, reason: str) -> dict[str, Any]:
    kind, name = ("Ipv6Ranges", "CidrIpv6") if ":" in cidr else ("IpRanges", "CidrIp")
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, kind: [{name: cidr, "Description": reason}]}


def _instance(instance: Mapping[str, Any]) -> Mapping[str, Any]:
    disks = (device.get("Ebs", {}).get("VolumeId") for device in instance.get("BlockDeviceMappings", ()))
    return {
        "instance_id": name_of("instance", instance["InstanceId"], "an instance that EC2 names"),
        "state": instance["State"]["Name"],
        "tags": {tag["Key"]: tag.get("Value", "") for tag in instance.get("Tags", ())},
        "token": instance.get("ClientToken", ""),
        "instance_type": instance.get("InstanceType", ""),
        "launched_at": instance["LaunchTime"].isoformat() if "LaunchTime" in instance else "",
        "addresses": [instance[name] for name in ("PublicIpAddress", "PrivateIpAddress") if instance.get(name)],
        "security_groups": [group["GroupId"] for group in instance.get("SecurityGroups", ())],
        "volumes": [volume_id for volume_id in disks if volume_id],
    }
