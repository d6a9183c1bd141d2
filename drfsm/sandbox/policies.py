"""Bucket policies in the sandbox's AWS, evaluated as S3 does: with the caller, the conditions and the real action.

moto applies a Deny to everybody, because it ignores Principal and Condition; a fence that denies one role would lock
out everybody, drfsm too. It also takes an object's HTTP method for the action (a new ACL is a ``PutObject`` to it, a
completed upload a ``PostObject``), and asks no policy for writes to the bucket itself. So moto is corrected here: each
request needs the actions that AWS's documentation names for it (``needs``), and an explicit Deny of one of them counts
where principal, action, resource and every condition match. Conditions other than those on ``aws:PrincipalArn`` are
refused when the policy is put. Not evaluated: the source of a copy, and Allow (whoever has a key may do the rest).
cloud.py calls this module.

The rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Statement = Mapping[str, Any]

_EXACT = ("StringEquals", "ArnEquals", "ArnLike", "StringLike")  # ArnEquals and ArnLike behave identically
_ROLE_SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")

OBJECT_WRITES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("PUT", "acl"): ("PutObjectAcl", "PutObjectVersionAcl"),
    ("PUT", "tagging"): ("PutObjectTagging", "PutObjectVersionTagging"),
    ("PUT", "legal-hold"): ("PutObjectLegalHold", "PutObjectLegalHold"),
    ("PUT", "retention"): ("PutObjectRetention", "PutObjectRetention"),
    ("PUT", ""): ("PutObject", "PutObject"),
    ("DELETE", "tagging"): ("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    ("DELETE", "uploadId"): ("AbortMultipartUpload", "AbortMultipartUpload"),
    ("DELETE", ""): ("DeleteObject", "DeleteObjectVersion"),
    ("POST", "restore"): ("RestoreObject", "RestoreObject"),
    ("POST", "select"): ("GetObject", "GetObject"),
    ("POST", ""): ("PutObject", "PutObject"),  # an upload in parts begins and is completed
}
"""(method, parameter) → the action that it needs on an object, and on one of its versions. "" for no parameter."""

BUCKET_WRITES: Mapping[tuple[str, str], str] = {
    ("PUT", "accelerate"): "PutAccelerateConfiguration",
    ("PUT", "acl"): "PutBucketAcl",
    ("PUT", "cors"): "PutBucketCORS",
    ("PUT", "encryption"): "PutEncryptionConfiguration",
    ("PUT", "inventory"): "PutInventoryConfiguration",
    ("PUT", "lifecycle"): "PutLifecycleConfiguration",
    ("PUT", "logging"): "PutBucketLogging",
    ("PUT", "notification"): "PutBucketNotification",
    ("PUT", "object-lock"): "PutBucketObjectLockConfiguration",
    ("PUT", "ownershipControls"): "PutBucketOwnershipControls",
    ("PUT", "policy"): "PutBucketPolicy",
    ("PUT", "publicAccessBlock"): "PutBucketPublicAccessBlock",
    ("PUT", "replication"): "PutReplicationConfiguration",
    ("PUT", "requestPayment"): "PutBucketRequestPayment",
    ("PUT", "tagging"): "PutBucketTagging",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("PUT", "website"): "PutBucketWebsite",
    ("PUT", ""): "CreateBucket",
    ("DELETE", "cors"): "PutBucketCORS",
    ("DELETE", "encryption"): "PutEncryptionConfiguration",
    ("DELETE", "lifecycle"): "PutLifecycleConfiguration",
    ("DELETE", "ownershipControls"): "PutBucketOwnershipControls",
    ("DELETE", "policy"): "DeleteBucketPolicy",
    ("DELETE", "publicAccessBlock"): "PutBucketPublicAccessBlock",
    ("DELETE", "replication"): "PutReplicationConfiguration",
    ("DELETE", "tagging"): "PutBucketTagging",
    ("DELETE", "website"): "DeleteBucketWebsite",
    ("DELETE", ""): "DeleteBucket",
}
"""(method, parameter) → the action that it needs on the bucket."""

_WITH_AN_OBJECT = {
    "x-amz-tagging": "PutObjectTagging",
    "x-amz-acl": "PutObjectAcl",
    "x-amz-grant-full-control": "PutObjectAcl",
    "x-amz-grant-read": "PutObjectAcl",
    "x-amz-grant-read-acp": "PutObjectAcl",
    "x-amz-grant-write-acp": "PutObjectAcl",
    "x-amz-object-lock-mode": "PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "PutObjectRetention",
    "x-amz-object-lock-legal-hold": "PutObjectLegalHold",
}
"""Header of a new object → the action that it needs besides ``PutObject``."""
_BYPASS = "x-amz-bypass-governance-retention"


def install() -> None:
    """Make moto's buckets heed their policies. A second call changes nothing."""
    from moto.s3.models import FakeBucket, S3Backend
    from moto.s3.responses import S3Response

    buckets: Any = FakeBucket
    stores: Any = S3Backend
    responses: Any = S3Response
    buckets.get_permission = _get_permission
    for owner, name, wrap in (
        (stores, "put_bucket_policy", _checked),
        (stores, "delete_objects", _deleting),
        (responses, "_authenticate_and_authorize_s3_action", _authorizing),
    ):
        if not hasattr(getattr(owner, name), "unchecked"):
            wrapped: Any = wrap(getattr(owner, name))
            wrapped.unchecked = getattr(owner, name)  # so that it is wrapped once
            setattr(owner, name, wrapped)


def needs(method: str, parameters: Mapping[str, str], headers: Mapping[str, str], *, of_object: bool) -> list[str]:
    """Return the actions that a writing request needs, each as ``s3:<name>``; [] for one that only reads.

    ``headers``: by their names in lower case.
    """
    table: Mapping[tuple[str, str], Any] = OBJECT_WRITES if of_object else BUCKET_WRITES
    named = next((name for verb, name in table if verb == method and name and name in parameters), "")
    if (action := table.get((method, named))) is None:
        return []
    actions = [action[bool(parameters.get("versionId"))] if of_object else action]
    if actions == ["PutObject"] and "partNumber" not in parameters:
        actions += [more for header, more in _WITH_AN_OBJECT.items() if header in headers]
    if of_object and headers.get(_BYPASS, "").lower() == "true":
        actions.append("BypassGovernanceRetention")
    return [f"s3:{name}" for name in dict.fromkeys(actions)]


def permission(statements: list[Statement], action: str, resource: str, caller: str) -> str:
    """Return ``denied``, ``permitted`` or ``neutral``: an explicit Deny wins over any Allow."""
    effects = {statement["Effect"] for statement in statements if _concerns(statement, action, resource, caller)}
    if "Deny" in effects:
        return "denied"
    return "permitted" if "Allow" in effects else "neutral"


def _concerns(statement: Statement, action: str, resource: str, caller: str) -> bool:
    return (
        _element(
            statement, "Action", lambda named: _any(_lower(named), action.lower())
        )  # in any case, by IAM's grammar
        and _element(statement, "Resource", lambda named: _any(named, resource))
        and _element(statement, "Principal", lambda named: _principal(named, caller))
        and all(
            _condition(operator, values_of_key, caller)
            for operator, values_of_key in statement.get("Condition", {}).items()
        )
    )


def _element(statement: Statement, name: str, fits: Callable[[Any], bool]) -> bool:
    """Return whether an element fits: ``Action`` where it does, ``NotAction`` where it does not, as it is given."""
    return not fits(statement[f"Not{name}"]) if f"Not{name}" in statement else fits(statement.get(name))


def _lower(named: Any) -> list[str]:
    return [str(name).lower() for name in ([named] if isinstance(named, str) else named or [])]


def _principal(named: Any, caller: str) -> bool:
    if isinstance(named, Mapping):
        named = named.get("AWS", [])
    return _any(named, caller)


def _condition(operator: str, values_of_key: Mapping[str, Any], caller: str) -> bool:
    return operator in _EXACT and all(_any(values, caller) for values in values_of_key.values())


def _any(patterns: Any, value: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns or []
    return any(_like(pattern, value) for pattern in listed)


def _like(pattern: str, value: str) -> bool:
    """Match a policy's wildcards: ``*`` and ``?``; S3's keys are case sensitive, and brackets are literal."""
    parts = (".*" if character == "*" else "." if character == "?" else re.escape(character) for character in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _permission(bucket: Any, action: str, resource: str) -> str:
    """Return what a bucket's policy says of the current request's caller."""
    if bucket.policy is None:
        return "neutral"
    statements = json.loads(bucket.policy)["Statement"]
    listed = [statements] if isinstance(statements, Mapping) else statements
    return permission(listed, action, resource, _caller(bucket.account_id))


def _get_permission(bucket: Any, action: str, resource: str) -> Any:
    """Answer moto's own question, whose action is not the real one: it serves for public reading only.

    What is denied was already refused, or is refused next, with S3's error, which moto lacks here.
    """
    from moto.iam.access_control import PermissionResult

    return (
        PermissionResult.PERMITTED if _permission(bucket, action, resource) == "permitted" else PermissionResult.NEUTRAL
    )


def _authorizing(plain: Callable[..., None]) -> Callable[..., None]:
    """Return moto's check of a request with the bucket's policy held against it, too."""

    def authorize(response: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
        from moto.s3.exceptions import S3AccessDeniedError

        plain(response, bucket_name=bucket_name, key_name=key_name)
        bucket = response.backend.buckets.get(bucket_name)
        for action, resource in _asked(response, bucket, key_name) if bucket is not None else ():
            if _permission(bucket, action, resource) == "denied":
                raise S3AccessDeniedError

    return authorize


def _asked(response: Any, bucket: Any, key_name: str | None) -> Iterator[tuple[str, str]]:
    """Yield the (action, resource) pairs of the current request."""
    from flask import request

    if not key_name and request.method == "POST":
        if "delete" in request.args:
            return  # one by one, see _deleting
        key_name = response.querystring["key"][0]  # a form's upload
    resource = f"arn:{bucket.partition}:s3:::{bucket.name}" + (f"/{key_name}" if key_name else "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    actions = needs(request.method, request.args, headers, of_object=bool(key_name))
    yield from ((action, resource) for action in actions or [f"s3:{response.data['Action']}"])


def _deleting(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return moto's deletion of many, with each object's own permission. A refused one is reported as locked."""

    def delete_objects(store: Any, bucket_name: str, objects: list[dict[str, Any]], bypass: bool = False) -> Any:
        bucket = store.get_bucket(bucket_name)
        headers = {_BYPASS: "true"} if bypass else {}
        kept: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        for entry in objects:
            resource = f"arn:{bucket.partition}:s3:::{bucket_name}/{entry['Key']}"
            actions = needs("DELETE", {"versionId": entry.get("VersionId") or ""}, headers, of_object=True)
            denied = any(_permission(bucket, action, resource) == "denied" for action in actions)
            (refused if denied else kept).append(entry)
        deleted, errors = plain(store, bucket_name, kept, bypass)
        return deleted, [*errors, *(entry["Key"] for entry in refused)]

    return delete_objects


def _caller(account: str) -> str:
    """Return the ARN of the current request's caller, as in ``aws:PrincipalArn``: the role, not its session.

    The caller of a presigned address is who signed it.
    """
    from flask import has_request_context, request
    from moto.sts.models import sts_backends

    key_id = ""
    if has_request_context():
        signed = request.headers.get("Authorization") or request.args.get("X-Amz-Credential", "")
        match = re.search(r"(?:Credential=|^)([^/ ]+)/", signed)
        key_id = match[1] if match else request.args.get("AWSAccessKeyId", "")
    _, arn, _ = sts_backends[account]["aws"].get_caller_identity(key_id, "us-east-1")
    role = _ROLE_SESSION.fullmatch(arn)
    return f"arn:{role['partition']}:iam::{role['account']}:role/{role['role']}" if role else str(arn)


def _checked(put: Callable[..., Any]) -> Callable[..., Any]:
    def checked(backend: Any, bucket_name: str, policy: bytes) -> Any:
        from moto.s3.exceptions import S3ClientError

        statements = json.loads(policy)["Statement"]
        for statement in [statements] if isinstance(statements, Mapping) else statements:
            for operator, values_of_key in statement.get("Condition", {}).items():
                if operator not in _EXACT or set(values_of_key) != {"aws:PrincipalArn"}:
                    raise S3ClientError(
                        "MalformedPolicy", f"the sandbox can't evaluate {operator} on {list(values_of_key)}"
                    )
        return put(backend, bucket_name, policy)

    return checked
