"""`drfsm fence show|lift`: one statement goes, of one site of one prefix, with a reason, and nothing else."""

import json
import uuid
from typing import Any, NamedTuple

import pytest
from attrs import frozen

from drfsm.adapters import aws
from drfsm.adapters.s3_lease import S3Lease
from drfsm.cli.main import run as drfsm
from drfsm.dr.layout import Layout
from drfsm.dr.sites.fence_by_hand import Lift, Place, lift, seen
from drfsm.dr.sites.fence_statement import EDITIONS, digest, sid
from drfsm.engine import SystemClock
from drfsm.errors import Conflict, ExitCode
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from drfsm.world import BucketPolicy

PREFIX, OTHER_PREFIX = "jobintel", "jobintel-staging"
Statement = dict[str, Any]
NEIGHBOURS: list[Statement] = [
    {"Sid": "KeepOut", "Effect": "Deny", "Principal": {"AWS": ["arn:aws:iam::123456789012:user/mallory"]},
     "Action": "s3:*", "Resource": ["arn:aws:s3:::elsewhere/*"]},
    {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::elsewhere/public/*"},
]  # fmt: skip


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@frozen
class Bucket:
    """A bucket with a policy, and the commands that concern it."""

    cloud: Cloud
    name: str
    roles: dict[str, str]
    keys: dict[str, Any]
    capfd: pytest.CaptureFixture[str]

    def fence(self, site: str, prefix: str = PREFIX, edition: str = "today's") -> Statement:
        """Return a fence as drfsm writes it, or wrote it."""
        return EDITIONS[edition](site, self.name, Layout(prefix), self.roles[site])

    def put(self, *statements: Statement) -> None:
        """Set the policy."""
        policy = json.dumps({"Version": "2012-10-17", "Id": "ours", "Statement": list(statements)})
        self.cloud.client("s3").put_bucket_policy(Bucket=self.name, Policy=policy)

    def statements(self) -> list[Statement]:
        """Return the policy's statements, [] where there is no policy."""
        policy = self.place().policy.read()
        return json.loads(policy)["Statement"] if policy else []

    def place(self) -> Place:
        """Return what the commands act on."""
        account = aws.connect(bucket=self.name, endpoint_url=self.cloud.endpoint, region=REGION)
        return Place(account.store, account.policy, Layout(PREFIX))

    def records(self) -> list[dict[str, Any]]:
        """Return the records of lifts."""
        store = self.place().store
        keys = [listed.key for listed in store.list(f"{PREFIX}/drfsm/fences/")]
        return [json.loads(blob.body) for key in keys if (blob := store.get(key)) is not None]

    def drfsm(self, *words: str) -> Said:
        """Run a command on this bucket and prefix."""
        self.capfd.readouterr()
        code = drfsm([*words, "--bucket", self.name, "--prefix", PREFIX, "--endpoint-url", self.cloud.endpoint])
        return Said(code, *self.capfd.readouterr())

    def lift(self, site: str, *more: str) -> Said:
        """Lift a fence with the right token."""
        return self.drfsm(
            "fence", "lift", site, "--confirm", f"CONFIRM-LIFT-{site}", "--reason", "DR is rebuilt", *more
        )


@pytest.fixture
def bucket(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bucket:
    """Return a bucket without a policy, and the operator's credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_REGION", REGION)
    name = f"by-hand-{uuid.uuid4().hex[:12]}"
    cloud.create_bucket(name)
    identities = {site: cloud.create_identity(f"{site}-{name}") for site in ("primary", "dr")}
    roles = {site: identity.arn for site, identity in identities.items()}
    return Bucket(cloud, name, roles, identities, capfd)


def test_without_a_policy_no_site_is_fenced(bucket: Bucket) -> None:
    """Shown as that, and a lift is refused and leaves no record."""
    assert bucket.drfsm("fence", "show") == Said(0, "primary  not fenced\ndr       not fenced\n", "")
    said = bucket.lift("dr")
    assert (said.code, "there is no fence of dr" in said.err) == (ExitCode.REFUSED, True)
    assert (bucket.statements(), bucket.records()) == ([], [])


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("site", ["primary", "dr"])
def test_a_fence_is_shown_and_lifted_alone(bucket: Bucket, site: str, edition: str) -> None:
    """Of whichever version: its neighbours stay to the letter, other sites' and prefixes' fences among them."""
    other = "dr" if site == "primary" else "primary"
    stay = [*NEIGHBOURS, bucket.fence(other), bucket.fence(site, OTHER_PREFIX)]
    bucket.put(*stay[:2], bucket.fence(site, edition=edition), *stay[2:])
    shown = bucket.drfsm("fence", "show")
    assert shown.code == 0
    assert f"FENCED: {bucket.roles[site]} is denied every write" in shown.out
    assert ("it is the statement of 0.1.0 to 0.3.0" in shown.out) == (edition != "today's")
    assert (
        f"drfsm fence lift {site} --bucket {bucket.name} --prefix {PREFIX} --confirm CONFIRM-LIFT-{site}" in shown.out
    )
    assert f"of other prefixes, lifted with their --prefix: {sid(site, OTHER_PREFIX)}" in shown.out
    said = bucket.lift(site, "--operator", "ada")
    assert said.code == 0, said
    assert f"the fence of {site} is lifted: {bucket.roles[site]} can move pointers again" in said.out
    assert bucket.statements() == stay
    (record,) = bucket.records()
    assert (record["what"], record["operator"], record["reason"]) == ("lifted", "ada", "DR is rebuilt")
    assert record["statements"] == [bucket.fence(site, edition=edition)]
    assert record["caller"].startswith("arn:aws:")
    assert record["other_statements"] == len(stay)
    after = bucket.drfsm("fence", "show").out
    assert f"{site:<8} not fenced" in after
    assert f"{site} ({bucket.roles[site]}) lifted by ada" in after


def test_the_last_statement_takes_the_policy_with_it(bucket: Bucket) -> None:
    """S3 has no policy without a statement."""
    bucket.put(bucket.fence("dr"))
    assert bucket.lift("dr").code == 0
    assert bucket.place().policy.read() is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--confirm", "CONFIRM-LIFT-primary", "--reason", "x"), "the token is not CONFIRM-LIFT-dr"),
        (("--reason", "x"), "the token is not CONFIRM-LIFT-dr"),
        (("--confirm", "CONFIRM-LIFT-dr", "--reason", " "), "--reason is empty"),
        (("--confirm", "CONFIRM-LIFT-dr"), "Missing option '--reason'"),
    ],
)
def test_without_the_token_or_a_reason_nothing_is_touched(bucket: Bucket, words: tuple[str, ...], says: str) -> None:
    """Wrong usage: the fence stays, no lease was taken, nothing was recorded."""
    bucket.put(bucket.fence("dr"))
    said = bucket.drfsm("fence", "lift", "dr", *words)
    assert (said.code, says in said.err) == (ExitCode.USAGE, True), said
    assert bucket.statements() == [bucket.fence("dr")]
    assert [listed.key for listed in bucket.place().store.list("")] == []


def test_a_fence_that_somebody_changed_is_lifted_by_its_digest_only(bucket: Bucket) -> None:
    """Shown as changed (11), refused (3), and lifted where the operator names exactly this statement."""
    changed = {**bucket.fence("dr"), "Action": ["s3:PutObject"]}
    bucket.put(*NEIGHBOURS, changed)
    shown = bucket.drfsm("fence", "show")
    assert shown.code == ExitCode.DIFFERENT
    assert "CHANGED BY SOMEBODY: the statement of its fence is not as drfsm wrote it" in shown.out
    assert f"--expect-sha256 {digest([changed])}" in shown.out
    for more in ((), ("--expect-sha256", "0" * 64)):
        said = bucket.lift("dr", *more)
        assert said.code == ExitCode.REFUSED
        assert digest([changed]) in said.err
        assert bucket.statements() == [*NEIGHBOURS, changed]
    assert bucket.records() == []
    assert bucket.lift("dr", "--expect-sha256", digest([changed])).code == 0
    assert bucket.statements() == NEIGHBOURS


def test_an_expected_digest_holds_for_an_unchanged_fence_too(bucket: Bucket) -> None:
    """Another one than was looked at, though drfsm's own, is not lifted."""
    older = bucket.fence("dr", edition="of 0.1.0 to 0.3.0")
    bucket.put(bucket.fence("dr"))
    assert bucket.lift("dr", "--expect-sha256", digest([older])).code == ExitCode.REFUSED
    assert bucket.statements() == [bucket.fence("dr")]


def test_while_a_run_holds_the_lease_no_fence_is_lifted(bucket: Bucket) -> None:
    """It may rely on the fence: exit 5; a lift, also one that is refused, leaves no lease behind."""
    bucket.put(bucket.fence("dr"))
    store = bucket.place().store
    S3Lease(store, PREFIX).acquire("failback-1", "bob", "laptop")
    said = bucket.lift("dr")
    assert (said.code, "failback-1" in said.err) == (ExitCode.LEASE_HELD, True)
    assert (bucket.statements(), bucket.records()) == ([bucket.fence("dr")], [])
    S3Lease(store, PREFIX, take_over_from="failback-1").release("failback-1")
    assert bucket.lift("dr").code == 0
    assert bucket.lift("dr").code == ExitCode.REFUSED
    assert S3Lease(store, PREFIX).acquire("failback-2", "bob", "laptop") > 1


def test_who_is_fenced_cannot_lift_it(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fenced identity's own credentials the policy stays, and the refusal says so."""
    bucket.put(bucket.fence("dr"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.keys["dr"].access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.keys["dr"].secret_access_key)
    said = bucket.lift("dr")
    assert (said.code, "AccessDenied" in said.err) == (ExitCode.REFUSED, True), said
    assert bucket.statements() == [bucket.fence("dr")]
    (record,) = bucket.records()
    assert record["what"] == "being lifted"


def test_show_is_json_too(bucket: Bucket) -> None:
    """A script gets the sites' fences, the owner, and the Sids of other prefixes."""
    bucket.put(bucket.fence("primary"), bucket.fence("dr", OTHER_PREFIX))
    owned = {"schema_version": 1, "site": "dr", "cluster_uid": None, "epoch": 1, "run": "promote-1", "nonce": "x"}
    bucket.place().store.put(f"{PREFIX}/drfsm/ownership.json", json.dumps(owned).encode())
    shown = json.loads(bucket.drfsm("fence", "show", "-o", "json").out)
    assert {site: fence["value"] for site, fence in shown["fences"].items()} == {"primary": "up", "dr": "down"}
    assert shown["elsewhere"] == [sid("dr", OTHER_PREFIX)]
    assert shown["owner"]["site"] == "dr"
    assert "and primary could move them as soon as it publishes" in bucket.drfsm("fence", "show").out


class Meddled:
    """A bucket's policy into which somebody writes: AFTER the given number of readings."""

    def __init__(self, policy: BucketPolicy, after: int, written: str) -> None:
        self.policy, self.left, self.written = policy, after, written

    def read(self) -> str | None:
        """Return the policy."""
        read = self.policy.read()
        self.left -= 1
        if self.left == 0:
            self.policy.write(self.written)
        return read

    def write(self, policy: str | None) -> None:
        """Replace it."""
        self.policy.write(policy)


def test_a_fence_that_changes_meanwhile_is_not_lifted(bucket: Bucket) -> None:
    """Looked at again right before the write: whoever raised it anew meant it to stay."""
    bucket.put(bucket.fence("dr", edition="of 0.1.0 to 0.3.0"))
    place = bucket.place()
    anew = json.dumps({"Version": "2012-10-17", "Statement": [bucket.fence("dr")]})
    meddled = Place(place.store, Meddled(place.policy, 1, anew), place.layout)
    order = Lift("fence-1", "dr", "ada", "arn", "laptop", "because", 1)
    with pytest.raises(Conflict, match="changed while it was being lifted"):
        lift(meddled, order, SystemClock(), lambda: None)
    assert bucket.statements() == [bucket.fence("dr")]
    with pytest.raises(Conflict):  # the record of that attempt is not written over
        lift(place, order, SystemClock(), lambda: None)


def test_what_can_not_be_read_is_no_absence(bucket: Bucket) -> None:
    """A record that is damaged is told; the fences are shown all the same."""
    bucket.put(bucket.fence("dr"))
    bucket.place().store.put(f"{PREFIX}/drfsm/fences/fence-0.json", b"<html>")
    shown = bucket.drfsm("fence", "show")
    assert (shown.code, "FENCED" in shown.out, "lift by hand: the record" in shown.out) == (0, True, True)
    (record,) = seen(bucket.place())["lifts"]
    assert "can't be read" in record["unreadable"]
