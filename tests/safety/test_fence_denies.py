"""Whoever is fenced is denied every write that moves or hides a pointer, each by its own call; nobody else is."""

import json
import os
import re
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from attrs import frozen
from botocore.exceptions import ClientError

from drfsm.dr.layout import Layout
from drfsm.dr.sites.fence_statement import DENIED, DENIED_ON_BUCKETS, DENIED_ON_OBJECTS, statement
from drfsm.sandbox.cloud import Cloud, Identity
from drfsm.sandbox.policies import permission

PREFIX = "jobintel"
POINTER, ARTIFACT = f"{PREFIX}/state/last_success.json", f"{PREFIX}/runs/2027/cs/x.json"
KEYS = (POINTER, f"{PREFIX}/latest/openai/cs/x.json", f"{PREFIX}/candidates/other/state/x.json")
RETAIN_UNTIL = "2027-03-01T00:00:00Z"


@frozen
class Bucket:
    """A bucket with versions and locks, one identity that is fenced, and one that is not."""

    cloud: Cloud
    name: str
    fenced: Identity
    free: Identity

    source = f"{PREFIX}/runs/2027/cs/source.json"

    def key(self, key: str, **options: Any) -> str:
        """Write an object as the operator; return its version."""
        put = self.cloud.client("s3").put_object(Bucket=self.name, Key=key, Body=b"one", **options)
        return str(put["VersionId"])

    def versions(self) -> Any:
        """Return everything that there is: versions, marks, content, tags, and the bucket's own settings."""
        s3 = self.cloud.client("s3")
        listed = s3.list_object_versions(Bucket=self.name)
        entries = [
            (entry["Key"], entry["VersionId"], entry["IsLatest"], entry.get("ETag"), entry.get("StorageClass"))
            for kind in ("Versions", "DeleteMarkers")
            for entry in listed.get(kind, ())
        ]
        tags = [s3.get_object_tagging(Bucket=self.name, Key=key)["TagSet"] for key in KEYS]
        settings = (
            s3.get_bucket_policy(Bucket=self.name)["Policy"],
            s3.get_bucket_versioning(Bucket=self.name)["Status"],
        )
        return entries, tags, settings


@pytest.fixture
def bucket(cloud: Cloud) -> Bucket:
    """Return a bucket in which the primary's identity is fenced, and a pointer in each folder."""
    name = f"fenced-{uuid.uuid4().hex[:12]}"
    cloud.client("s3").create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    made = Bucket(cloud, name, *(cloud.create_identity(f"{who}-{name}") for who in ("primary", "dr")))
    for key in (*KEYS, ARTIFACT, made.source):
        made.key(key)
    policy = {"Version": "2012-10-17", "Statement": [statement("primary", name, Layout(PREFIX), made.fenced.arn)]}
    cloud.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    return made


Call = Callable[[Any, Bucket, str], Any]
"""A call of an identity's client, on a bucket and one of its objects."""


def _version(bucket: Bucket, key: str) -> str:
    return str(bucket.cloud.client("s3").head_object(Bucket=bucket.name, Key=key)["VersionId"])


def _upload(bucket: Bucket, key: str) -> dict[str, Any]:
    """Begin an upload in parts as the operator, and send one part."""
    s3 = bucket.cloud.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=b"two")
    return {"Bucket": bucket.name, "Key": key, "UploadId": upload}


def _complete(s3: Any, bucket: Bucket, key: str) -> None:
    upload = _upload(bucket, key)
    (part,) = bucket.cloud.client("s3").list_parts(**upload)["Parts"]
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)


def _copy(s3: Any, bucket: Bucket, key: str) -> None:
    s3.copy_object(Bucket=bucket.name, Key=key, CopySource={"Bucket": bucket.name, "Key": bucket.source})


def _copy_part(s3: Any, bucket: Bucket, key: str) -> None:
    s3.upload_part_copy(**_upload(bucket, key), PartNumber=2, CopySource={"Bucket": bucket.name, "Key": bucket.source})


def _delete_many(s3: Any, bucket: Bucket, *objects: dict[str, str]) -> None:
    """Delete objects by one call; a refusal of one of them is raised as the client raises others."""
    answer = s3.delete_objects(Bucket=bucket.name, Delete={"Objects": list(objects)})
    for error in answer.get("Errors", ()):
        raise ClientError({"Error": error}, "DeleteObjects")


def _presigned(s3: Any, bucket: Bucket, key: str) -> None:
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket.name, "Key": key})
    try:
        urllib.request.urlopen(urllib.request.Request(url, data=b"two", method="PUT"), timeout=10)  # noqa: S310  loopback
    except HTTPError as refused:
        raise ClientError(
            {"Error": {"Code": "AccessDenied" if "AccessDenied" in str(refused.read()) else "?"}}, ""
        ) from None


def _restore(s3: Any, bucket: Bucket, key: str) -> None:
    bucket.key(key, StorageClass="GLACIER")
    s3.restore_object(Bucket=bucket.name, Key=key, RestoreRequest={"Days": 1})


def _of(name: str, **options: Any) -> Call:
    """Return the call of an object's operation."""
    return lambda s3, bucket, key: getattr(s3, name)(Bucket=bucket.name, Key=key, **options)


def _of_version(name: str, **options: Any) -> Call:
    """Return the call of an operation on an object's newest version."""
    return lambda s3, bucket, key: getattr(s3, name)(
        Bucket=bucket.name, Key=key, VersionId=_version(bucket, key), **options
    )


def _of_bucket(name: str, **options: Any) -> Call:
    return lambda s3, bucket, _key: getattr(s3, name)(Bucket=bucket.name, **options)


TAGS = {"TagSet": [{"Key": "expire", "Value": "now"}]}
HOLD, KEPT = {"Status": "ON"}, {"Mode": "GOVERNANCE", "RetainUntilDate": RETAIN_UNTIL}
RULE = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
REPLICA = {"Bucket": "arn:aws:s3:::elsewhere"}
BLOCK = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)

CALLS: dict[str, dict[str, Call]] = {
    "s3:PutObject": {
        "put": _of("put_object", Body=b"two"),
        "put a new one": lambda s3, b, key: s3.put_object(Bucket=b.name, Key=f"{key}.new", Body=b"", IfNoneMatch="*"),
        "put by a presigned address": _presigned,
        "copy onto it": _copy,
        "begin an upload in parts": _of("create_multipart_upload"),
        "send a part": lambda s3, b, key: s3.upload_part(**_upload(b, key), PartNumber=2, Body=b""),
        "copy a part": _copy_part,
        "complete an upload": _complete,
    },
    "s3:PutObjectTagging": {"tag": _of("put_object_tagging", Tagging=TAGS)},
    "s3:PutObjectVersionTagging": {"tag a version": _of_version("put_object_tagging", Tagging=TAGS)},
    "s3:DeleteObjectTagging": {"remove tags": _of("delete_object_tagging")},
    "s3:DeleteObjectVersionTagging": {"remove a version's tags": _of_version("delete_object_tagging")},
    "s3:PutObjectAcl": {"acl": _of("put_object_acl", ACL="private")},
    "s3:PutObjectVersionAcl": {"acl of a version": _of_version("put_object_acl", ACL="private")},
    "s3:PutObjectLegalHold": {"legal hold": _of("put_object_legal_hold", LegalHold=HOLD)},
    "s3:PutObjectRetention": {"retention": _of("put_object_retention", Retention=KEPT)},
    "s3:BypassGovernanceRetention": {"bypass": _of_version("delete_object", BypassGovernanceRetention=True)},
    "s3:DeleteObject": {
        "delete": _of("delete_object"),
        "delete many": lambda s3, b, key: _delete_many(s3, b, {"Key": key}),
    },
    "s3:DeleteObjectVersion": {
        "delete a version": _of_version("delete_object"),
        "delete many versions": lambda s3, b, key: _delete_many(s3, b, {"Key": key, "VersionId": _version(b, key)}),
    },
    "s3:AbortMultipartUpload": {"abort an upload": lambda s3, b, key: s3.abort_multipart_upload(**_upload(b, key))},
    "s3:RestoreObject": {"restore": _restore},
    "s3:PutBucketPolicy": {
        "replace the policy": lambda s3, b, _key: s3.put_bucket_policy(
            Bucket=b.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": []})
        )
    },
    "s3:DeleteBucketPolicy": {"remove the policy": _of_bucket("delete_bucket_policy")},
    "s3:PutLifecycleConfiguration": {
        "expire": _of_bucket("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [RULE]}),
        "remove the rules": _of_bucket("delete_bucket_lifecycle"),
    },
    "s3:PutBucketVersioning": {
        "keep no versions": _of_bucket("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    },
    "s3:PutReplicationConfiguration": {
        "replicate": _of_bucket(
            "put_bucket_replication",
            ReplicationConfiguration={
                "Role": "arn:aws:iam::123456789012:role/r",
                "Rules": [{"Status": "Enabled", "Prefix": "", "Destination": REPLICA}],
            },
        ),
        "replicate no more": _of_bucket("delete_bucket_replication"),
    },
    "s3:PutBucketObjectLockConfiguration": {
        "lock by default": _of_bucket(
            "put_object_lock_configuration",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
            },
        )
    },
    "s3:PutBucketAcl": {"acl of the bucket": _of_bucket("put_bucket_acl", ACL="private")},
    "s3:PutBucketOwnershipControls": {
        "owners": _of_bucket(
            "put_bucket_ownership_controls", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
        "no owners": _of_bucket("delete_bucket_ownership_controls"),
    },
    "s3:PutBucketPublicAccessBlock": {
        "block": _of_bucket("put_public_access_block", PublicAccessBlockConfiguration=BLOCK),
        "block no more": _of_bucket("delete_public_access_block"),
    },
    "s3:PutEncryptionConfiguration": {
        "another key": _of_bucket(
            "put_bucket_encryption",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]
            },
        ),
        "no key": _of_bucket("delete_bucket_encryption"),
    },
}  # fmt: skip
PAGE = Path(__file__).parents[2] / "docs" / "fences.md"
TABLE = re.compile(r"(?<=<!-- denied -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table() -> str:
    """Return the table of what a fence denies, as the docs show it."""
    on = {"pointers and `latest`": DENIED_ON_OBJECTS, "the bucket": DENIED_ON_BUCKETS}
    rows = [f"| `{action}` | {where} | {why} |" for where, denied in on.items() for action, why in denied.items()]
    return "\n".join(["| denied | on | because it |", "|---|---|---|", *rows, ""])


def test_the_docs_show_what_is_denied_and_why() -> None:
    """The table of docs/fences.md is the table of the code."""
    page = PAGE.read_text(encoding="utf-8")
    due = TABLE.sub(lambda _: table(), page)
    assert table() in due
    if os.environ.get("DRFSM_REGENERATE"):
        PAGE.write_text(due, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == due


MOTO_REFUSES = {"lock by default": "InvalidBucket"}  # moto takes that for an empty bucket only
ROWS = [(action, name) for action, calls in CALLS.items() for name in calls]


def answer(call: Call, bucket: Bucket, who: Identity, key: str) -> str:
    """Return the code with which an identity's call is refused, "" where it is done."""
    try:
        call(bucket.cloud.client("s3", who), bucket, key)
    except ClientError as fault:
        return str(fault.response["Error"]["Code"])
    return ""


def test_every_denied_action_has_a_call() -> None:
    """The table below is the whole of what a fence denies, and the other way round."""
    assert sorted(CALLS) == sorted(DENIED)


@pytest.mark.parametrize(("action", "name"), ROWS, ids=[name for _, name in ROWS])
def test_the_fenced_is_denied_and_nothing_moved(bucket: Bucket, action: str, name: str) -> None:
    """The identity is denied this call on pointers and latest of every layout; nobody else is, and nothing beside."""
    call = CALLS[action][name]
    before = bucket.versions()
    assert [answer(call, bucket, bucket.fenced, key) for key in KEYS] == ["AccessDenied"] * len(KEYS)
    if name != "restore":  # it archives its object first
        assert bucket.versions() == before
    done = MOTO_REFUSES.get(name, "")
    if action not in DENIED_ON_BUCKETS:
        assert answer(call, bucket, bucket.fenced, ARTIFACT) == done
    assert answer(call, bucket, bucket.free, POINTER) == done


WITH_AN_OBJECT = {
    "s3:PutObjectTagging": {"Tagging": "expire=now"},
    "s3:PutObjectAcl": {"ACL": "public-read"},
    "s3:PutObjectLegalHold": {"ObjectLockLegalHoldStatus": "ON"},
    "s3:PutObjectRetention": {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": RETAIN_UNTIL},
}


@pytest.mark.parametrize("action", WITH_AN_OBJECT)
def test_the_sandbox_asks_for_what_comes_with_an_object_too(bucket: Bucket, action: str) -> None:
    """Tags, ACL, hold and retention of a new object need an action of their own, as on AWS."""
    only = {"Effect": "Deny", "Principal": "*", "Action": action.lower(), "Resource": f"arn:aws:s3:::{bucket.name}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": only})
    bucket.cloud.client("s3").put_bucket_policy(Bucket=bucket.name, Policy=policy)
    with_it, without = _of("put_object", Body=b"", **WITH_AN_OBJECT[action]), _of("put_object", Body=b"")
    assert [answer(call, bucket, bucket.free, POINTER) for call in (with_it, without)] == ["AccessDenied", ""]


@pytest.mark.parametrize(
    ("element", "denied"),
    [
        ({"NotAction": ["s3:Get*"], "Resource": "*", "Principal": "*"}, True),
        ({"NotAction": "s3:put*", "Resource": "*", "Principal": "*"}, False),
        ({"Action": "*", "NotResource": "arn:aws:s3:::b/other/*", "Principal": "*"}, True),
        ({"Action": "*", "NotResource": "arn:aws:s3:::b/k*", "Principal": "*"}, False),
        ({"Action": "*", "Resource": "*", "NotPrincipal": {"AWS": "arn:me"}}, False),
        ({"Action": "*", "Resource": "*", "NotPrincipal": {"AWS": "arn:you"}}, True),
    ],
)
def test_the_sandbox_evaluates_the_negative_elements(element: dict[str, Any], denied: bool) -> None:
    """A neighbour's statement may be written by what it leaves out."""
    assert (
        permission([{"Effect": "Deny", **element}], "s3:PutObject", "arn:aws:s3:::b/k", "arn:me") == "denied"
    ) is denied
