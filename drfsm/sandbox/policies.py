"""Bucket policies in the sandbox's AWS, evaluated as S3 does: with the caller and the conditions.

moto applies a Deny to everybody, because it ignores Principal and Condition. A fence that denies one role would lock
out everybody, drfsm too. So moto is corrected here: an explicit Deny counts where principal, action, resource and every
condition match. Conditions other than those on ``aws:PrincipalArn`` are refused when the policy is put. cloud.py calls
this module.

The rule: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Statement = Mapping[str, Any]

_EXACT = ("StringEquals", "ArnEquals", "ArnLike", "StringLike")  # ArnEquals and ArnLike behave identically
_ROLE_SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")


def install() -> None:
    """Make moto's buckets use ``permission``. A second call changes nothing."""
    from moto.s3.models import FakeBucket, S3Backend

    buckets: Any = FakeBucket
    stores: Any = S3Backend
    buckets.get_permission = _get_permission
    if not hasattr(stores.put_bucket_policy, "unchecked"):
        stores.put_bucket_policy = _checked(stores.put_bucket_policy)


def permission(statements: list[Statement], action: str, resource: str, caller: str) -> str:
    """Return ``denied``, ``permitted`` or ``neutral``: an explicit Deny wins over any Allow."""
    effects = {statement["Effect"] for statement in statements if _concerns(statement, action, resource, caller)}
    if "Deny" in effects:
        return "denied"
    return "permitted" if "Allow" in effects else "neutral"


def _concerns(statement: Statement, action: str, resource: str, caller: str) -> bool:
    return (
        _any(statement.get("Action"), action)
        and _any(statement.get("Resource"), resource)
        and _principal(statement.get("Principal"), caller)
        and all(
            _condition(operator, values_of_key, caller)
            for operator, values_of_key in statement.get("Condition", {}).items()
        )
    )


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


def _get_permission(bucket: Any, action: str, resource: str) -> Any:
    """Answer as moto's bucket does; refuse a denied request for one object with S3's error, which moto lacks."""
    from flask import has_request_context, request
    from moto.iam.access_control import PermissionResult
    from moto.s3.exceptions import S3AccessDeniedError

    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    statements = json.loads(bucket.policy)["Statement"]
    listed = [statements] if isinstance(statements, Mapping) else statements
    effect = permission(listed, action, resource, _caller(bucket.account_id))
    of_many = has_request_context() and "delete" in request.args  # moto asks for each object by itself
    if effect == "denied" and not of_many:
        raise S3AccessDeniedError
    return getattr(PermissionResult, effect.upper())


def _caller(account: str) -> str:
    """Return the ARN of the current request's caller, as in ``aws:PrincipalArn``: the role, not its session."""
    from flask import has_request_context, request
    from moto.sts.models import sts_backends

    header = request.headers.get("Authorization", "") if has_request_context() else ""
    match = re.search(r"Credential=([^/]+)/", header)
    _, arn, _ = sts_backends[account]["aws"].get_caller_identity(match[1] if match else "", "us-east-1")
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

    checked.unchecked = put  # type: ignore[attr-defined]  # so that it is wrapped once
    return checked
