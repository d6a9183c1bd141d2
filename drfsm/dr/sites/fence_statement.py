"""The statement of a fence: what it denies and why, how it is written, and whether a policy says the same.

``DENIED`` is the table of what a fence denies; docs/fences.md shows it. A fence is one statement of the bucket's
policy, with a Sid of drfsm's own, for one site of one prefix. Runs of 0.1.0 to 0.3.0 wrote an older statement, which
denies less (``_UNTIL_0_3``): it is a fence as well, it is recognised as up, and the next raise writes today's over it.

Pure. sites/fence.py raises and lifts it in a run; sites/fence_by_hand.py shows and lifts it without one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from drfsm.claims import field, object_of
from drfsm.dr.layout import Layout, read_by_consumers
from drfsm.errors import Unreadable

Statement = dict[str, Any]
POLICY, LOOK = "the bucket's policy", "check it: aws s3api get-bucket-policy"
_SIDS = {"primary": "DrfsmFencePrimary", "dr": "DrfsmFenceDr"}
SITES = tuple(_SIDS)
_SETS = frozenset({"Action", "NotAction", "Resource", "NotResource"})

DENIED_ON_OBJECTS: Mapping[str, str] = {
    "s3:PutObject": "writes a pointer, also by a copy, a part or the end of an upload, or an address signed before",
    "s3:DeleteObject": "hides a pointer behind a delete marker; without versions it is gone",
    "s3:DeleteObjectVersion": "removes the newest version, so that readers get the pointer before it",
    "s3:AbortMultipartUpload": "ends an upload of somebody else to `latest`",
    "s3:RestoreObject": "decides how long an archived object can be read",
    "s3:PutObjectTagging": "adds a tag, by which a rule may expire or archive the object",
    "s3:PutObjectVersionTagging": "does the same to one version",
    "s3:DeleteObjectTagging": "removes a tag, without which a policy may refuse its readers",
    "s3:DeleteObjectVersionTagging": "does the same to one version",
    "s3:PutObjectAcl": "takes a pointer from its readers, or lets others write its ACL",
    "s3:PutObjectVersionAcl": "does the same to one version",
    "s3:PutObjectLegalHold": "releases a version for removal, or keeps it from being removed",
    "s3:PutObjectRetention": "does the same until a date",
    "s3:BypassGovernanceRetention": "removes a version in spite of its retention",
}
"""Action → why it is denied, on pointers and ``latest`` of every layout."""

DENIED_ON_BUCKETS: Mapping[str, str] = {
    "s3:PutBucketPolicy": "lifts the fence",
    "s3:DeleteBucketPolicy": "lifts the fence",
    "s3:PutLifecycleConfiguration": "expires or archives pointers",
    "s3:PutBucketVersioning": "suspends versions: every write then destroys what was there",
    "s3:PutReplicationConfiguration": "makes the bucket one of replicas, where compare-and-swap does not hold",
    "s3:PutBucketObjectLockConfiguration": "sets a default retention, which refuses writers without a checksum",
    "s3:PutBucketAcl": "lets others list and write",
    "s3:PutBucketOwnershipControls": "decides whether ACLs count",
    "s3:PutBucketPublicAccessBlock": "takes pointers from readers whom an ACL or a policy lets in",
    "s3:PutEncryptionConfiguration": "sets a key by which new pointers are hidden from their readers",
}
"""Action → why it is denied, on the bucket itself."""

DENIED: Mapping[str, str] = {**DENIED_ON_OBJECTS, **DENIED_ON_BUCKETS}
_UNTIL_0_3 = ("s3:PutObject", "s3:DeleteObject")  # and the bucket itself was not named


def sid(site: str, prefix: str) -> str:
    """Return the Sid of a site's fence: one policy may hold those of several prefixes, each lifted by its own runs."""
    return f"{_SIDS[site]}{hashlib.sha256(prefix.encode()).hexdigest()[:8]}"


def statement(site: str, bucket: str, layout: Layout, role: str) -> Statement:
    """Return the statement that fences a site's identity.

    DR's fence covers what a validation publishes too: a primary that publishes with the same identity is
    found when it is validated, not when it is alone. The primary's does not: it is up while it is validated.
    Where the contract has ``writes``, it covers the keys that a serving site writes to as well.
    """
    bucket_arn = f"arn:{_partition(role)}:s3:::{bucket}"
    older = _until_0_3(site, bucket, layout, role)
    writes = layout.workload.writes
    served = [f"{bucket_arn}/{layout.prefix}/{folder}/*" for folder in (writes.keys if writes else ())]
    return {**older, "Action": list(DENIED), "Resource": [*older["Resource"], *served, bucket_arn]}


def _until_0_3(site: str, bucket: str, layout: Layout, role: str) -> Statement:
    """Return the statement as 0.1.0 to 0.3.0 wrote it."""
    folders = read_by_consumers(layout.workload)
    candidates = layout.workload.keys.candidates.replace("{candidate}", "*")
    below = [f"{folder}/*" for folder in (*folders, *(f"{candidates}/{folder}" for folder in folders))]
    below += ["validations/*"] if site == "dr" else []
    return {
        "Sid": sid(site, layout.prefix),
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(_UNTIL_0_3),
        "Resource": [f"arn:{_partition(role)}:s3:::{bucket}/{layout.prefix}/{path}" for path in below],
        "Condition": {"ArnEquals": {"aws:PrincipalArn": role}},
    }


def _partition(role: str) -> str:
    return role.split(":")[1] if role.startswith("arn:") else "aws"


EDITIONS = {"today's": statement, "of 0.1.0 to 0.3.0": _until_0_3}
"""Every statement that a version of drfsm wrote as a fence, by its name, today's first."""


def as_written(statements: list[Statement], site: str, bucket: str, layout: Layout, role: str) -> tuple[str, Statement]:
    """Return (edition, its statement) where these statements say what drfsm once wrote; ("", {}) for anything else."""
    written = ((edition, write(site, bucket, layout, role)) for edition, write in EDITIONS.items())
    return next(((edition, own) for edition, own in written if same(statements, [own])), ("", {}))


def statements_of(raw: str | None) -> list[Statement]:
    """Return a policy's statements. Raises Unreadable for what is no policy."""
    if raw is None:
        return []
    content = field(object_of(raw, POLICY), "Statement", (list, dict), POLICY)
    statements = [content] if isinstance(content, dict) else list(content)
    if not all(isinstance(entry, dict) for entry in statements):
        raise Unreadable(f"{POLICY} can't be read: one of its statements is no object", hint=LOOK)
    return statements


def same(some: Iterable[Statement], others: Iterable[Statement]) -> bool:
    """Return whether these statements say the same: AWS gives a policy back in another order and spelling.

    Statements are compared as sets; so are a statement's actions, principals and resources, and the values of a
    condition, where one value may stand with or without its list. Names, Sids and conditions' operators stay as they
    are. Source: the IAM user guide, "Grammar of the IAM JSON policy language".
    """
    return {essence(entry) for entry in some} == {essence(entry) for entry in others}


def essence(entry: Statement) -> str:
    """Return what a statement says, one text for all of its spellings."""
    return json.dumps({name: _part(name, value) for name, value in entry.items()}, sort_keys=True)


def digest(statements: Iterable[Statement]) -> str:
    """Return the SHA-256 of what statements say, the same for all of their spellings and orders."""
    return hashlib.sha256(json.dumps(sorted(map(essence, statements))).encode()).hexdigest()


def _part(name: str, value: Any) -> Any:
    if name in _SETS:
        return _set(value)
    if name in ("Principal", "NotPrincipal"):
        named = {"AWS": "*"} if value == "*" else value
        return {kind: _set(names) for kind, names in named.items()} if isinstance(named, dict) else named
    if name == "Condition" and isinstance(value, dict) and all(isinstance(keys, dict) for keys in value.values()):
        return {test: {key: _set(values) for key, values in keys.items()} for test, keys in value.items()}
    return value


def _set(value: Any) -> list[str]:
    """Return a value, or a list of them, as a set of texts: a condition's ``true`` comes back as ``"true"``."""
    values = value if isinstance(value, list) else [value]
    return sorted({entry if isinstance(entry, str) else json.dumps(entry, sort_keys=True) for entry in values})
