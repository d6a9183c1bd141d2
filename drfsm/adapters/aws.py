"""S3, STS and EC2 behind the protocols of world/. The only importer of boto3, and only when first used.

Many objects at once go through bulk.py, over the same server and credentials.

Owns how the services' refusals are told apart: 404 is None, 412 and 409 are Conflict, other 4xx are
ActionFailed, and whatever says nothing about the world (timeouts, 5xx, no connection) is Unreachable.
A conditional write is never retried blindly: its answer may have been lost on the way, and the retry would
lose against its own success; so it is read back first.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable
from drfsm.world import Blob, Check, Copy, Hashed, Runner, Stat

if TYPE_CHECKING:
    from drfsm.adapters.bulk import Bulk, Reach

CONNECT_SECONDS, READ_SECONDS = 5, 60
CHUNK_BYTES = 1 << 20
WRITE_TRIES = 3
_NO_CONTENT = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchBucketPolicy", "NoSuchEntity"})
_CONFLICT = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})
_BUSY = frozenset({"SlowDown", "RequestTimeout", "ServiceUnavailable", "InternalError"})
_CONFLICT_STATUS, _LOCKED_STATUS, _BUSY_STATUS, _SERVER_FAULT = (409, 412), (401, 403), 429, 500
_TYPES = {".json": "application/json", ".csv": "text/csv; charset=utf-8", ".log": "text/plain; charset=utf-8"}


class _Services:
    """Clients of one account, made when first asked for."""

    def __init__(self, endpoint_url: str | None, region: str | None) -> None:
        self._endpoint_url, self._region = endpoint_url, region
        self._clients: dict[tuple[str, bool], Any] = {}
        self._core: Any = None
        self._made_session: Any = None
        self._lock = threading.Lock()

    def client(self, service: str, *, once: bool = False) -> Any:
        """Return a client; ``once`` never retries by itself."""
        with self._lock:  # making clients is not thread-safe; using them is
            if (service, once) not in self._clients:
                self._clients[service, once] = self._made(service, once=once)
            return self._clients[service, once]

    def _made(self, service: str, *, once: bool) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": 1 if once else 4},
        )
        return self._session().client(service, endpoint_url=self._endpoint_url, config=config)

    def _session(self) -> Any:
        """Return the one session: whoever needs credentials has them from here."""
        if self._made_session is None:
            import boto3
            import botocore.session

            self._core = botocore.session.get_session()
            self._made_session = boto3.session.Session(botocore_session=self._core, region_name=self._region)
        return self._made_session

    def signer(self) -> Any:
        """Return an S3 client that signs URLs as every region takes them: its default would be the old way."""
        from botocore.config import Config

        with self._lock:
            config = Config(signature_version="s3v4", connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
            return self._session().client("s3", endpoint_url=self._endpoint_url, config=config)

    def reach(self) -> "Reach":
        """Return how boto3 gets at S3, for others to go the same way."""
        from drfsm.adapters.bulk import Reach

        found = self.client("s3").meta
        region = "us-east-1" if found.region_name == "aws-global" else found.region_name
        return Reach(found.endpoint_url, region, self._session(), self._core.get_config_variable("ca_bundle"))


def _code(fault: Any) -> str:
    return str(fault.response.get("Error", {}).get("Code", ""))


def refusal(what: str, status: int, code: str, message: str) -> DrfsmError:
    """Return what a service's answer that is no success means to us."""
    if code in _CONFLICT or status in _CONFLICT_STATUS:
        return Conflict(f"{what}: somebody else wrote it in between ({code})")
    if status >= _SERVER_FAULT or status == _BUSY_STATUS or code in _BUSY:
        return Unreachable(f"{what}: the service answered {status} {code}".rstrip(), way="drfsm resume", fault="store")
    way = "check the credentials and their policy" if status in _LOCKED_STATUS else "check the name"
    return ActionFailed(f"{what}: {code or status} {message}".rstrip(), way=way, fault="store")


def _told(what: str, fault: Exception) -> DrfsmError:
    """Return what a botocore error means to us. Its own words may hold no credentials: boto keeps them out."""
    from botocore import exceptions as boto

    if isinstance(fault, boto.ClientError):
        status = int(fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return refusal(what, status, _code(fault), str(fault.response.get("Error", {}).get("Message", "")))
    if isinstance(fault, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound)):
        return Unreachable(
            f"{what}: no usable AWS credentials ({type(fault).__name__})",
            fault="operator",
            way="export AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then try again",
        )
    if isinstance(fault, boto.NoRegionError):
        return Unreachable(f"{what}: no region is set", fault="operator", way="--region, or export AWS_REGION")
    return Unreachable(
        f"{what}: {type(fault).__name__}: {fault}",
        way="check the network, then `drfsm resume`",
        fault="store",
    )


def _call(what: str, request: Callable[[], Any]) -> Any:
    """Make a request; raise what its failure means to us."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return request()
    except (ClientError, BotoCoreError, OSError) as fault:
        raise _told(what, fault) from None


def _or_none(what: str, request: Callable[[], Any]) -> Any:
    """Make a request for something that may not be there."""
    from botocore.exceptions import ClientError

    def maybe() -> Any:
        try:
            return request()
        except ClientError as fault:
            if _code(fault) in _NO_CONTENT:
                return None
            raise

    return _call(what, maybe)


class S3Store:
    """One bucket. Safe for use by many threads."""

    def __init__(self, services: _Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket
        self._many: Bulk | None = None

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket

    @property
    def _s3(self) -> Any:
        return self._services.client("s3")

    def get(self, key: str) -> Blob | None:
        """Return an object's bytes and ETag, None if there is none."""
        what = f"reading {self._uri(key)}"
        found = _or_none(what, lambda: self._s3.get_object(Bucket=self._bucket, Key=key))
        if found is None:
            return None
        body = _call(what, found["Body"].read)
        if len(body) != found["ContentLength"]:
            raise Unreachable(f"{what}: {len(body)} of {found['ContentLength']} bytes came", fault="store")
        return Blob(key, body, found["ETag"])

    def stat(self, key: str) -> Stat | None:
        """Return what the store says of an object without reading it, None if there is none."""
        found = _or_none(f"looking at {self._uri(key)}", lambda: self._s3.head_object(Bucket=self._bucket, Key=key))
        return found and Stat(key, found["ContentLength"], found["ETag"], found["LastModified"].isoformat())

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Read an object in a stream; return (bytes read, SHA-256 in hex), None if there is none."""
        what = f"reading {self._uri(key)}"
        found = _or_none(what, lambda: self._s3.get_object(Bucket=self._bucket, Key=key))
        if found is None:
            return None
        digest, size = hashlib.sha256(), 0
        while chunk := _call(what, lambda: found["Body"].read(CHUNK_BYTES)):
            digest.update(chunk)
            size += len(chunk)
        if size != found["ContentLength"]:
            raise Unreachable(f"{what}: {size} of {found['ContentLength']} bytes came", fault="store")
        return size, digest.hexdigest()

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every object below a prefix, in the order of keys."""
        what = f"listing {self._uri(prefix)}"
        asked = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            page = _call(what, partial(self._s3.list_objects_v2, **asked))
            for each in page.get("Contents", ()):
                yield Stat(each["Key"], each["Size"], each["ETag"], each["LastModified"].isoformat())
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict if the condition does not hold."""
        condition = {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"} if if_absent else {}
        kind = _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
        what = f"writing {self._uri(key)}"
        s3 = self._services.client("s3", once=bool(condition))

        def request() -> Any:
            return s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=kind, **condition)

        if not condition:
            return str(_call(what, request)["ETag"])
        return self._conditional(what, request, key, body, if_match)

    def _conditional(self, what: str, request: Callable[[], Any], key: str, body: bytes, if_match: str | None) -> str:
        """Write on a condition; where the answer is lost or a refusal may be our own doing, look."""
        last: DrfsmError | None = None
        for _ in range(WRITE_TRIES):
            try:
                written = _or_none(what, request)
            except (Conflict, Unreachable) as fault:
                last = fault
            else:
                if written is not None:
                    return str(written["ETag"])
                last = Conflict(f"{what}: it is gone")  # S3 answers 404 to If-Match where nothing is
            now = self.get(key)
            # Bodies that matter carry a nonce: equal bytes are our own.
            if now is not None and now.body == body:
                return now.etag
            if isinstance(last, Conflict) or (now.etag if now else None) != if_match:
                raise Conflict(f"{what}: somebody else wrote it in between")
        raise last or Unreachable(what)

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server, within the bucket."""
        what = f"copying {self._uri(source)} to {self._uri(target)}"
        _call(what, lambda: self._s3.copy({"Bucket": self._bucket, "Key": source}, self._bucket, target))

    def delete(self, key: str) -> None:
        """Delete an object; one that isn't there is fine."""
        _call(f"deleting {self._uri(key)}", lambda: self._s3.delete_object(Bucket=self._bucket, Key=key))

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Return a URL that lets its holder read an object (or write it) for a while. It is a secret."""

        def signed() -> str:
            return str(
                self._services.signer().generate_presigned_url(
                    "put_object" if write else "get_object",
                    Params={"Bucket": self._bucket, "Key": key},
                    ExpiresIn=seconds,
                )
            )

        return str(_call(f"signing a URL of {self._uri(key)}", signed))

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Read every object in a stream; yield what reading it gave, in any order."""
        return self._bulk().hash_many(keys, check)

    def get_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object, None where there is none, in any order."""
        return self._bulk().get_many(keys, check)

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None) -> Iterator[Copy]:
        """Copy on the server, within the bucket; yield each copy when it is made."""
        return self._bulk().copy_many(copies, check)

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete objects; yield each key when it is gone."""
        return self._bulk().delete_many(keys, check)

    def _bulk(self) -> "Bulk":
        from drfsm.adapters.bulk import Bulk

        if self._many is None:
            reach = _call(f"finding {self._bucket}", self._services.reach)
            self._many = Bulk(self._bucket, reach, self, refusal)
        return self._many

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


class AwsIdentity:
    """Who we are."""

    def __init__(self, services: _Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket
        self._caller: Mapping[str, str] | None = None

    def _who(self) -> Mapping[str, str]:
        if self._caller is None:
            self._caller = _call("asking who we are", self._services.client("sts").get_caller_identity)
        return self._caller

    def account(self) -> str:
        """Return the account's id."""
        return str(self._who()["Account"])

    def caller(self) -> str:
        """Return our own ARN."""
        return str(self._who()["Arn"])

    def known(self, arn: str) -> str:
        """Return whether a role or user exists: ``there``, ``absent``, or ``untold`` where we may not ask."""
        kind, _, path = arn.partition(":iam::")[2].partition(":")[2].partition("/")
        name = path.rpartition("/")[2]
        asked = {"role": ("get_role", "RoleName"), "user": ("get_user", "UserName")}.get(kind)
        if asked is None or arn.partition(":iam::")[2].partition(":")[0] != self.account():
            return "untold"  # another account's identities are not ours to look up
        call, argument = asked
        iam = self._services.client("iam")
        try:
            found = _or_none(f"looking {arn} up", lambda: getattr(iam, call)(**{argument: name}))
        except (ActionFailed, Unreachable):
            return "untold"
        return "there" if found and found[kind.title()]["Arn"] == arn else "absent"

    def region(self) -> str:
        """Return the region that we speak to."""
        return str(_call("making a client", lambda: self._services.client("s3")).meta.region_name)

    def bucket_region(self) -> str:
        """Return the region that the bucket lives in."""
        what = f"asking where the bucket {self._bucket} lives"
        found = _call(what, lambda: self._services.client("s3").get_bucket_location(Bucket=self._bucket))
        return str(found.get("LocationConstraint") or "us-east-1")


class Ec2Infrastructure:
    """The machines below a site."""

    def __init__(self, services: _Services) -> None:
        self._services = services

    def runners(self, tags: Mapping[str, str]) -> Sequence[Runner]:
        """Return the machines that carry all of these tags, terminated ones left out."""
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        return [each for each in self._described(Filters=filters) if each.state != "terminated"]

    def states(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each machine; one that the cloud forgot is ``terminated``."""
        if not instance_ids:
            return {}
        found = self._described(Filters=[{"Name": "instance-id", "Values": list(instance_ids)}])
        known = {each.instance_id: each.state for each in found}
        return {each: known.get(each, "terminated") for each in instance_ids}

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these machines, and no others, to be terminated."""
        ec2 = self._services.client("ec2")
        _call("terminating runners", lambda: ec2.terminate_instances(InstanceIds=list(instance_ids)))

    def _described(self, **asked: Any) -> list[Runner]:
        pages = _call("looking at runners", lambda: list(
            self._services.client("ec2").get_paginator("describe_instances").paginate(**asked)
        ))  # fmt: skip
        return [
            Runner(
                each["InstanceId"],
                each["State"]["Name"],
                {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())},
            )
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
        ]


class S3Policy:
    """The bucket's policy."""

    def __init__(self, services: _Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket

    def read(self) -> str | None:
        """Return the policy, None if there is none."""
        what = f"reading the policy of {self._bucket}"
        found = _or_none(what, lambda: self._services.client("s3").get_bucket_policy(Bucket=self._bucket))
        return None if found is None else str(found["Policy"])

    def write(self, policy: str | None) -> None:
        """Replace the policy; None takes it away."""
        s3, what = self._services.client("s3"), f"writing the policy of {self._bucket}"
        if policy is None:
            _call(what, lambda: s3.delete_bucket_policy(Bucket=self._bucket))
        else:
            _call(what, lambda: s3.put_bucket_policy(Bucket=self._bucket, Policy=policy))


class CloudWatchAlarms:
    """Metric and composite alarms."""

    def __init__(self, services: _Services) -> None:
        self._services = services

    def states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each named alarm that there is."""
        found = _call("looking at alarms", lambda: list(
            self._services.client("cloudwatch").get_paginator("describe_alarms")
            .paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        ))  # fmt: skip
        alarms = (each for page in found for kind in ("MetricAlarms", "CompositeAlarms") for each in page.get(kind, ()))
        return {each["AlarmName"]: each["StateValue"] for each in alarms}


class Account(NamedTuple):
    """What one account holds of a world."""

    store: S3Store
    identity: AwsIdentity
    infrastructure: Ec2Infrastructure
    policy: S3Policy
    alarms: CloudWatchAlarms


def connect(*, bucket: str, endpoint_url: str | None = None, region: str | None = None) -> Account:
    """Return what one account holds, around one bucket. Makes no call yet."""
    services = _Services(endpoint_url, region)
    return Account(
        S3Store(services, bucket),
        AwsIdentity(services, bucket),
        Ec2Infrastructure(services),
        S3Policy(services, bucket),
        CloudWatchAlarms(services),
    )


class Ec2Machines:
    """Instances from launch templates, and who may reach them. What it returns of AWS's answers is plain."""

    def __init__(self, services: _Services) -> None:
        self._services = services

    @property
    def _ec2(self) -> Any:
        return self._services.client("ec2")

    def template(self, name: str, version: str) -> Mapping[str, Any]:
        """Return one version of a launch template: its id, its number, and what it says."""
        by = "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName"
        asked = {by: name, "Versions": [version or "$Default"]}
        what = f"looking at the launch template {name}"
        found = _call(what, lambda: self._ec2.describe_launch_template_versions(**asked))["LaunchTemplateVersions"]
        if not found:
            raise ActionFailed(f"{what}: it has no version {version}", way="aws ec2 describe-launch-templates")
        data = found[0]["LaunchTemplateData"]
        sizes = [each.get("Ebs", {}).get("VolumeSize") for each in data.get("BlockDeviceMappings", ())]
        return {
            "id": found[0]["LaunchTemplateId"],
            "name": found[0]["LaunchTemplateName"],
            "version": str(found[0]["VersionNumber"]),
            "instance_type": data.get("InstanceType", ""),
            "disk_gb": sum(sizes) if sizes and all(sizes) else None,
        }

    def launch(self, template: str, version: str, token: str, tags: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Start one instance, or return the one that this token started; None if that one is terminated already."""
        told = [{"Key": key, "Value": value} for key, value in tags.items()]
        asked = {
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": version},
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": kind, "Tags": told} for kind in ("instance", "volume")],
        }
        what = f"starting an instance from {template} version {version}"
        spent = frozenset({"IdempotentInstanceTerminated"})
        found = _unless(spent, what, lambda: self._ec2.run_instances(**asked))
        return None if found is None else _instance(found["Instances"][0])

    def instances(self, filters: Mapping[str, Sequence[str]]) -> Sequence[Mapping[str, Any]]:
        """Return the instances that fit all filters, terminated ones included."""
        asked = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        pages = _call("looking at instances", lambda: list(
            self._ec2.get_paginator("describe_instances").paginate(Filters=asked)
        ))  # fmt: skip
        found = (each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"])
        return [_instance(each) for each in found]

    def disk_gb(self, volume_ids: Sequence[str]) -> int | None:
        """Return what these volumes hold together, None if that can't be told."""
        if not volume_ids:
            return None
        asked = [{"Name": "volume-id", "Values": list(volume_ids)}]
        found = _call("looking at volumes", lambda: self._ec2.describe_volumes(Filters=asked))["Volumes"]
        return sum(each["Size"] for each in found) if len(found) == len(volume_ids) else None

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these instances, and no others, to be terminated."""
        _call("terminating instances", lambda: self._ec2.terminate_instances(InstanceIds=list(instance_ids)))

    def admit(self, group: str, cidr: str, port: int, because: str) -> None:
        """Let an address in to a port; one that is in already is fine."""
        asked = {"GroupId": group, "IpPermissions": [_permission(cidr, port, because)]}
        known = frozenset({"InvalidPermission.Duplicate"})
        _unless(known, f"letting {cidr} in at {group}", lambda: self._ec2.authorize_security_group_ingress(**asked))

    def admitted(self, because: str) -> Sequence[tuple[str, str, int]]:
        """Return (group, address, port) of every rule that was made for this reason."""
        pages = _call("looking at security groups", lambda: list(
            self._ec2.get_paginator("describe_security_groups").paginate()
        ))  # fmt: skip
        return [
            (group["GroupId"], block.get("CidrIp") or block["CidrIpv6"], int(rule["FromPort"]))
            for page in pages
            for group in page["SecurityGroups"]
            for rule in group["IpPermissions"]
            for block in (*rule.get("IpRanges", ()), *rule.get("Ipv6Ranges", ()))
            if block.get("Description") == because
        ]

    def dismiss(self, group: str, cidr: str, port: int, because: str) -> None:
        """Let an address in no more; one that isn't in is fine."""
        asked = {"GroupId": group, "IpPermissions": [_permission(cidr, port, because)]}
        gone = frozenset({"InvalidPermission.NotFound", "InvalidGroup.NotFound"})
        _unless(gone, f"shutting {cidr} out at {group}", lambda: self._ec2.revoke_security_group_ingress(**asked))


class SsmParameters:
    """Parameters. Their values may be secrets: they are returned and never told."""

    def __init__(self, services: _Services) -> None:
        self._services = services

    def read(self, name: str) -> str | None:
        """Return a parameter's value, None if there is none."""
        asked = {"Name": name, "WithDecryption": True}
        missing = frozenset({"ParameterNotFound"})
        found = _unless(missing, f"reading {name}", lambda: self._services.client("ssm").get_parameter(**asked))
        return None if found is None else str(found["Parameter"]["Value"])

    def delete(self, name: str) -> None:
        """Delete a parameter; one that isn't there is fine."""
        missing = frozenset({"ParameterNotFound"})
        _unless(missing, f"deleting {name}", lambda: self._services.client("ssm").delete_parameter(Name=name))


def _unless(codes: frozenset[str], what: str, request: Callable[[], Any]) -> Any:
    """Make a request; None where the service answers with one of these codes."""
    from botocore.exceptions import ClientError

    def maybe() -> Any:
        try:
            return request()
        except ClientError as fault:
            if _code(fault) in codes:
                return None
            raise

    return _call(what, maybe)


def _permission(cidr: str, port: int, because: str) -> dict[str, Any]:
    kind, name = ("Ipv6Ranges", "CidrIpv6") if ":" in cidr else ("IpRanges", "CidrIp")
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, kind: [{name: cidr, "Description": because}]}


def _instance(found: Mapping[str, Any]) -> Mapping[str, Any]:
    disks = (each.get("Ebs", {}).get("VolumeId") for each in found.get("BlockDeviceMappings", ()))
    return {
        "instance_id": found["InstanceId"],
        "state": found["State"]["Name"],
        "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())},
        "token": found.get("ClientToken", ""),
        "instance_type": found.get("InstanceType", ""),
        "launched_at": found["LaunchTime"].isoformat() if "LaunchTime" in found else "",
        "addresses": [found[name] for name in ("PublicIpAddress", "PrivateIpAddress") if found.get(name)],
        "security_groups": [each["GroupId"] for each in found.get("SecurityGroups", ())],
        "volumes": [each for each in disks if each],
    }


class Fleet(NamedTuple):
    """What one account offers to who brings machines up."""

    machines: Ec2Machines
    parameters: SsmParameters


def fleet(*, endpoint_url: str | None = None, region: str | None = None) -> Fleet:
    """Return what one account offers to who brings machines up. Makes no call yet."""
    services = _Services(endpoint_url, region)
    return Fleet(Ec2Machines(services), SsmParameters(services))
