"""What a valid response of S3 and of each other service of AWS must contain, and the check against that.

botocore reads any response into a dict and leaves out what is missing: a login page, an empty body or another
document becomes "no objects", "no runners", "no policy". So ANSWERS lists, for each operation that drfsm calls, the
fields that AWS's API always returns. An operation that is not listed can't be called. A response that lacks a field is
Unreadable: it says nothing about the world. The check hangs on botocore's events, so it covers the requests of
paginators and of the transfer manager, too.

Redirects are refused: a signed request goes only to the host that it was signed for. (S3's hint about a bucket's
region is not a redirect: botocore then asks the region's endpoint, which it knows by itself.)
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from drfsm.claims import bounded, moment, object_of
from drfsm.errors import ActionFailed, Unreadable

_SUCCESS, _REDIRECT, _REFUSED, _SERVER_FAULT = 200, 300, 400, 500
_ERRORS = ("ErrorResponse", "Response", "Error")  # outermost elements of a refusal
_WORDED_IN_XML = ("query", "ec2")  # protocols whose refusals always have a body, and botocore can't read another
_START_BYTES = 4096  # an answer's outermost element begins within these
_TEXT = str
WAY = (
    "check what answers there (a proxy, a login page, another service?) and the endpoint (--endpoint-url,"
    " AWS_ENDPOINT_URL); then `drfsm resume`"
)

Shape = Mapping[str, Any]
"""Field -> its type, or the Shape of the object, or a list of one Shape, which each entry of the list has.

A field whose name ends in ``?`` may be missing; if present, it has its shape.
"""
JSON = "{}"


class Answer(NamedTuple):
    """What a valid response contains. ``root``: XML's outermost element, JSON for a JSON object, "" for neither."""

    root: str
    fields: Shape
    status: int = 0  # the only one that means success, 0 for any 2xx
    empty: bool = False  # whether it has no body
    silent: bool = False  # whether it may also have no body: then its status says all
    untold: str = ""  # the root of a response that does not contain what was asked for (stores other than AWS's)


_INSTANCE: Shape = {
    "InstanceId": _TEXT,
    "State": {"Name": _TEXT},
    "Tags?": [{"Key": _TEXT}],
    "SecurityGroups?": [{"GroupId": _TEXT}],
    "BlockDeviceMappings?": [{}],
    "LaunchTime?": datetime,
}
_OBJECT: Shape = {"ETag": _TEXT, "ContentLength": int, "LastModified": datetime}
_RETURNED: Shape = {"Return": bool}
_CHANGE: Shape = {"Id": _TEXT, "Status": _TEXT}
_ALARMS = [{"AlarmName": _TEXT, "StateValue": _TEXT}]
_ALARM_HISTORY_ITEM: Shape = {
    "AlarmName": _TEXT,
    "Timestamp": datetime,
    "HistoryItemType": _TEXT,
    "HistorySummary": _TEXT,
    "HistoryData?": _TEXT,
}

ANSWERS: Mapping[str, Mapping[str, Answer]] = {
    "s3": {
        "ListObjectsV2": Answer(
            "ListBucketResult",
            {
                "Name": _TEXT,
                "IsTruncated": bool,
                "Contents?": [{"Key": _TEXT, "Size": int, "ETag": _TEXT, "LastModified": datetime}],
            },
        ),
        "GetObject": Answer("", _OBJECT),
        "HeadObject": Answer("", _OBJECT),
        "PutObject": Answer("", {"ETag": _TEXT}, empty=True),
        "CopyObject": Answer("CopyObjectResult", {"CopyObjectResult": {"ETag": _TEXT}}),
        "DeleteObject": Answer("", {}, status=204),
        "CreateMultipartUpload": Answer("InitiateMultipartUploadResult", {"UploadId": _TEXT}),
        "UploadPartCopy": Answer("CopyPartResult", {"CopyPartResult": {"ETag": _TEXT}}),
        "CompleteMultipartUpload": Answer("CompleteMultipartUploadResult", {"ETag": _TEXT}),
        "AbortMultipartUpload": Answer("", {}, status=204),
        # SeaweedFS answers with the document that creates a bucket: the region is then unknown.
        "GetBucketLocation": Answer("LocationConstraint", {}, untold="CreateBucketConfiguration"),
        "GetBucketPolicy": Answer("", {"Policy": _TEXT}),
        "PutBucketPolicy": Answer("", {}),
        "DeleteBucketPolicy": Answer("", {}),
        "HeadBucket": Answer("", {}),  # botocore's own question for a bucket's region
        "ListObjectVersions": Answer(
            "ListVersionsResult",
            {
                "IsTruncated": bool,
                "Versions?": [{"Key": _TEXT, "VersionId": _TEXT, "Size": int, "LastModified": datetime}],
            },
        ),
        "GetObjectLockConfiguration": Answer("ObjectLockConfiguration", {"ObjectLockConfiguration": {}}),
    },
    "sts": {
        "GetCallerIdentity": Answer("GetCallerIdentityResponse", {"Account": _TEXT, "Arn": _TEXT}),
    },
    "iam": {
        "GetRole": Answer("GetRoleResponse", {"Role": {"Arn": _TEXT}}),
        "GetUser": Answer("GetUserResponse", {"User": {"Arn": _TEXT}}),
    },
    "ec2": {
        "DescribeInstances": Answer("DescribeInstancesResponse", {"Reservations": [{"Instances": [_INSTANCE]}]}),
        "RunInstances": Answer("RunInstancesResponse", {"Instances": [_INSTANCE]}),
        "TerminateInstances": Answer("TerminateInstancesResponse", {"TerminatingInstances": [{"InstanceId": _TEXT}]}),
        "DescribeLaunchTemplateVersions": Answer(
            "DescribeLaunchTemplateVersionsResponse",
            {
                "LaunchTemplateVersions": [
                    {
                        "LaunchTemplateId": _TEXT,
                        "LaunchTemplateName": _TEXT,
                        "VersionNumber": int,
                        "LaunchTemplateData": {},
                    }
                ]
            },
        ),
        "DescribeVolumes": Answer("DescribeVolumesResponse", {"Volumes": [{"VolumeId": _TEXT, "Size": int}]}),
        "DescribeSecurityGroups": Answer(
            "DescribeSecurityGroupsResponse",
            {"SecurityGroups": [{"GroupId": _TEXT, "IpPermissions?": [{"IpProtocol": _TEXT}]}]},
        ),
        "AuthorizeSecurityGroupIngress": Answer("AuthorizeSecurityGroupIngressResponse", _RETURNED),
        "RevokeSecurityGroupIngress": Answer("RevokeSecurityGroupIngressResponse", _RETURNED),
    },
    "ssm": {
        "GetParameter": Answer(JSON, {"Parameter": {"Name": _TEXT, "Value": _TEXT}}),
        "DeleteParameter": Answer(JSON, {}),
        "SendCommand": Answer(JSON, {"Command": {"CommandId": _TEXT}}),
        "GetCommandInvocation": Answer(JSON, {"CommandId": _TEXT, "InstanceId": _TEXT, "Status": _TEXT}),
    },
    "ecr": {
        "GetAuthorizationToken": Answer(
            JSON,
            {"authorizationData": [{"authorizationToken": _TEXT, "expiresAt": datetime, "proxyEndpoint": _TEXT}]},
        ),
    },
    "cloudwatch": {
        "DescribeAlarms": Answer("", {"MetricAlarms?": _ALARMS, "CompositeAlarms?": _ALARMS}),
        "DescribeAlarmHistory": Answer("", {"AlarmHistoryItems": [_ALARM_HISTORY_ITEM], "NextToken?": _TEXT}),
        "PutMetricData": Answer("", {}, silent=True),
    },
    "stepfunctions": {
        "DescribeExecution": Answer(
            JSON, {"executionArn": _TEXT, "stateMachineArn": _TEXT, "status": _TEXT, "input?": _TEXT}
        ),
        "GetExecutionHistory": Answer(
            JSON, {"events": [{"id": int, "type": _TEXT, "previousEventId?": int}], "nextToken?": _TEXT}
        ),
        "SendTaskSuccess": Answer(JSON, {}, silent=True),
        "SendTaskFailure": Answer(JSON, {}, silent=True),
        "SendTaskHeartbeat": Answer(JSON, {}, silent=True),
    },
    "kms": {
        "GetPublicKey": Answer("", {"PublicKey": bytes, "KeyUsage": _TEXT}),
        "Sign": Answer("", {"Signature": bytes}),
    },
    "sqs": {
        "ReceiveMessage": Answer(JSON, {"Messages?": [{"MessageId": _TEXT, "ReceiptHandle": _TEXT, "Body": _TEXT}]}),
        "DeleteMessage": Answer(JSON, {}, silent=True),
        "ChangeMessageVisibility": Answer(JSON, {}, silent=True),
    },
    "sns": {
        "Publish": Answer("PublishResponse", {"MessageId": _TEXT}),
    },
    "route53": {
        "ListResourceRecordSets": Answer(
            "ListResourceRecordSetsResponse",
            {
                "ResourceRecordSets": [{"Name": _TEXT, "Type": _TEXT}],
                "IsTruncated": bool,
                "NextRecordName?": _TEXT,
                "NextRecordType?": _TEXT,
                "NextRecordIdentifier?": _TEXT,
            },
        ),
        "ChangeResourceRecordSets": Answer("ChangeResourceRecordSetsResponse", {"ChangeInfo": _CHANGE}),
        "GetChange": Answer("GetChangeResponse", {"ChangeInfo": _CHANGE}),
        "GetHostedZone": Answer(
            "GetHostedZoneResponse",
            {"HostedZone": {"Id": _TEXT, "Name": _TEXT}, "DelegationSet?": {"NameServers": [_TEXT]}},
        ),
        "GetHealthCheck": Answer(
            "GetHealthCheckResponse", {"HealthCheck": {"Id": _TEXT, "HealthCheckConfig": {"Type": _TEXT}}}
        ),
    },
}
"""service -> operation -> what its response always contains, by the API references of the services."""


class Unworded(Unreadable):
    """An error response without the service's own error code: an error page, or not an address of this service."""


class Times:
    """The last time that a service's clock reported, and this machine's monotonic time at that moment."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

    def keep(self, date: str) -> None:
        """Keep the time of a response. An invalid one is ignored."""
        try:
            reported = parsedate_to_datetime(date)
        except (ValueError, OverflowError):
            return
        if reported.tzinfo is not None and moment(reported.isoformat()) is not None:
            self._last = reported, time.monotonic()

    def now(self) -> datetime | None:
        """Return the last reported time plus the time since then; None before the first report."""
        if self._last is None:
            return None
        reported, at = self._last
        return reported + timedelta(seconds=time.monotonic() - at)


def watch(client: Any, service: str, heard: Callable[[Mapping[str, Any]], None]) -> None:
    """Check every response to this client against ANSWERS; ``heard`` is called with the headers of each valid one."""

    def before_parse(operation_model: Any, response_dict: Mapping[str, Any], **_event: Any) -> None:
        protocol = str(client.meta.service_model.resolved_protocol)
        _check_raw(service, operation_model.name, client.meta.endpoint_url, response_dict, protocol)

    def after_call(http_response: Any, parsed: Any, model: Any, **_event: Any) -> None:
        if http_response.status_code < _REDIRECT:
            _check_parsed(service, model.name, client.meta.endpoint_url, parsed)
            heard(http_response.headers)

    client.meta.events.register_first(f"before-parse.{_event_name(client)}", before_parse)
    client.meta.events.register_first(f"after-call.{_event_name(client)}", after_call)


def _event_name(client: Any) -> str:
    return str(client.meta.service_model.service_id.hyphenize())


def _check_raw(service: str, operation: str, endpoint: str, answer: Mapping[str, Any], protocol: str) -> None:
    status, answer_of = int(answer["status_code"]), ANSWERS[service][operation]
    if _REDIRECT <= status < _REFUSED:
        _check_redirect(operation, endpoint, answer)
        return
    if _REFUSED <= status < _SERVER_FAULT and protocol in _WORDED_IN_XML and _root(answer["body"]) not in _ERRORS:
        message = (
            f"{bounded(endpoint)} answers {service.upper()}'s {operation} with {status} and {_words(answer['body'])}"
        )
        raise Unworded(f"{message}, which lacks the service's own error code", hint=WAY)
    if status >= _REDIRECT:
        return  # the error code says what a refusal means, see aws_session.refusal
    if status < _SUCCESS or answer_of.status not in (0, status):
        raise _unreadable(
            service, operation, endpoint, f"its status is {status} instead of {answer_of.status or _SUCCESS}"
        )
    if answer_of.empty and answer["body"]:
        raise _unreadable(service, operation, endpoint, f"it should be empty, but is {_words(answer['body'])}")
    if answer_of.silent and not answer["body"]:
        return
    root_of = answer_of.root or (JSON if protocol == "json" else "")
    if root_of == JSON:
        object_of(answer["body"], f"what {endpoint} answers to {service.upper()}'s {operation}", hint=WAY)
    elif root_of and (root := _root(answer["body"])) != root_of:
        if root and root == answer_of.untold:
            message = f"{bounded(endpoint)} answers {service.upper()}'s {operation} with a {root}"
            raise ActionFailed(message, hint="see docs/stores.md", fault="store")
        message = f"an XML document {bounded(root, 60)}" if root else f"not XML, but {_words(answer['body'])}"
        raise _unreadable(service, operation, endpoint, f"it is {message}, not {root_of}")


def _check_redirect(operation: str, endpoint: str, answer: Mapping[str, Any]) -> None:
    """Raise Unreadable for a redirect, unless S3 itself says which region a bucket is in."""
    headers = {str(name).lower(): value for name, value in answer["headers"].items()}
    if "x-amz-bucket-region" in headers or _root(answer["body"]) == "Error":
        return
    where = f" to {bounded(headers['location'], 200)}" if "location" in headers else ""
    raise Unreadable(
        f"{endpoint} answers {operation} with a redirect ({answer['status_code']}{where}), which drfsm does not follow:"
        " a signed request must not go to another host",
        hint=WAY,
    )


def _root(body: object) -> str:
    """Return the name of an XML document's outermost element without its namespace, "" where it is no XML."""
    if not isinstance(body, bytes):
        return ""
    parser: Any = ET.XMLPullParser(events=("start",))
    try:
        parser.feed(body[:_START_BYTES])
        first = next(iter(parser.read_events()), None)
    except ET.ParseError:
        return ""
    return "" if first is None else str(first[1].tag).rpartition("}")[2]


def _words(body: object) -> str:
    if not isinstance(body, bytes) or not body.strip():
        return "an empty body"
    return f"{len(body)} bytes: {bounded(body[:_START_BYTES].decode('utf-8', 'replace'), 80)}"


def _check_parsed(service: str, operation: str, endpoint: str, parsed: Any) -> None:
    if wrong := _misfit(parsed, ANSWERS[service][operation].fields, ""):
        raise _unreadable(service, operation, endpoint, wrong)


def _misfit(value: Any, shape: Any, where: str) -> str:
    """Return how a value differs from its shape, "" if it fits."""
    expected = Mapping if isinstance(shape, Mapping) else list if isinstance(shape, list) else shape
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is int):
        return f"its {where or 'whole'} is {type(value).__name__}, not {expected.__name__}"
    if isinstance(shape, list):
        parts = [(entry, shape[0], f"{where}[{at}]") for at, entry in enumerate(value)]
    elif isinstance(shape, Mapping):
        if missing := [name for name in shape if not name.endswith("?") and name not in value]:
            return f"it has no {where}.{missing[0]}".replace(" .", " ")
        names = {name.removesuffix("?"): inner for name, inner in shape.items()}
        parts = [(value[name], inner, f"{where}.{name}".strip(".")) for name, inner in names.items() if name in value]
    else:
        return f"its {where} is empty" if value == "" else ""
    return next(filter(None, (_misfit(*part) for part in parts)), "")


def _unreadable(service: str, operation: str, endpoint: str, why: str) -> Unreadable:
    return Unreadable(
        f"what {bounded(endpoint)} answers is not a valid response to {service.upper()}'s {operation}: {bounded(why)}",
        hint=WAY,
    )
