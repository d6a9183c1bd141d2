"""Keys of KMS, and objects that are written once: on moto's server."""

import hashlib
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from drfsm.adapters.aws import S3Store, lasting_objects
from drfsm.adapters.aws_session import Services
from drfsm.adapters.aws_signing import LARGEST_RAW_BYTES, kms_signer
from drfsm.adapters.signing import signer_of
from drfsm.errors import ActionFailed, EvidenceFault, Unreadable, UsageFault
from drfsm.evidence.sealing import Seal, seals_in
from drfsm.evidence.sealing_checkpoint import (
    Checkpoint,
    check_checkpoints,
    note_key_id,
    read_note,
    signed_note,
    verifier_key,
)
from drfsm.evidence.sealing_keys import algorithm, parsed_public_key
from drfsm.files import Directory
from drfsm.runs.seals import Home, check_witness, checkpoints_of, witness
from drfsm.sandbox.cloud import REGION, Cloud
from tests.evidence.sealed import EARLIER, LOG, made_key, sealed_twice

pytestmark = pytest.mark.usefixtures("operator_keys")
HOME = Home("witnesses", "jobs", "failback-1")
HEAD = "ab" * 32
ZEROS = "A" * 43 + "="


def _kms_key(cloud: Cloud, spec: str) -> str:
    kms = cloud.client("kms")
    return str(kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384"])
def test_a_key_of_kms_signs_and_its_public_half_checks_it_offline(spec: str, cloud: Cloud) -> None:
    """The key is named by its alias; a message too long for KMS is handed over as its hash."""
    key, alias = _kms_key(cloud, spec), f"alias/{spec}"
    cloud.client("kms").create_alias(AliasName=alias, TargetKeyId=key)
    signer = signer_of(f"awskms:{alias}", {"endpoint_url": cloud.endpoint, "region": REGION})
    public = signer.public
    assert public.verifies(b"words", signer.sign(b"words"))
    assert not public.verifies(b"other words", signer.sign(b"words"))
    long = b"x" * (LARGEST_RAW_BYTES + 1)
    kms = kms_signer(key, {"endpoint_url": cloud.endpoint, "region": REGION})
    digest = (hashlib.sha256 if spec.endswith("256") else hashlib.sha384)(long).digest()
    # moto hashes once more what it is given as a hash: so this shows which hash it was given.
    public.key.verify(kms.unchecked(long), digest, algorithm(public.kind))
    with pytest.raises(ActionFailed, match="does not hold under its own public key"):
        kms.sign(long)


def test_a_key_of_kms_that_does_not_sign_is_told(cloud: Cloud) -> None:
    """A symmetric key, and one that there is not."""
    places = {"endpoint_url": cloud.endpoint, "region": REGION}
    rsa = cloud.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    with pytest.raises(UsageFault, match="another kind"):
        _ = signer_of(f"awskms:{rsa}", places).public
    with pytest.raises(ActionFailed, match="NotFound"):
        _ = signer_of("awskms:alias/none", places).public
    with pytest.raises(UsageFault, match="names no key"):
        signer_of("awskms:", places)


# --- the witness ------------------------------------------------------------------------------------------------


def _store(cloud: Cloud, bucket: str, *, locked: bool) -> S3Store:
    cloud.client("s3").create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
    return S3Store(Services(cloud.endpoint, REGION), bucket)


def test_a_checkpoint_is_written_once_and_can_not_be_deleted_where_the_bucket_locks(
    cloud: Cloud, tmp_path: Path
) -> None:
    """It is signed, kept for years, found again; another log of the same length is refused, the same one is fine."""
    store, home = _store(cloud, "locking", locked=True), Home("locking", "jobs", "failback-1")
    signer, public = made_key(tmp_path / "key.pem")
    place = sealed_twice(tmp_path / "bundle", signer)
    seal = _newest(place)
    objects = lasting_objects(store)
    until = datetime.now(UTC) + timedelta(days=2557)
    assert witness(seal, home, objects, signer, timedelta(days=2557)).startswith(f"until {until:%Y-%m-%d}")
    (note,) = checkpoints_of(objects, home).notes
    assert (note.checkpoint.records, note.checkpoint.head) == (seal.statement.records, seal.statement.head)
    assert note.by((public,)) == (public,)
    key = f"jobs/drfsm/checkpoints/failback-1/{seal.statement.records:06d}"
    (kept,) = objects.first_versions(key)
    assert kept.retained_until is not None
    assert kept.retained_until >= until - timedelta(minutes=5)
    assert check_witness(place, objects, home, keys=[public]) == ()
    version = cloud.client("s3").head_object(Bucket="locking", Key=key)["VersionId"]
    with pytest.raises(cloud.client("s3").exceptions.ClientError, match="AccessDenied"):
        cloud.client("s3").delete_object(Bucket="locking", Key=key, VersionId=version)
    assert witness(seal, home, objects, None, None) == ""  # the same, unsigned: the first one stays
    assert checkpoints_of(objects, home).notes == (note,)
    other = Seal(seal.name, seal.number, seal.sha256, evolve(seal.statement, head=HEAD), seal.envelope)
    with pytest.raises(EvidenceFault, match="another log of this run"):
        witness(other, home, objects, signer, None)
    cloud.client("s3").put_object(Bucket="locking", Key=key, Body=b"another")  # new versions hide nothing
    cloud.client("s3").delete_object(Bucket="locking", Key=key)
    assert checkpoints_of(objects, home).notes == (note,)
    lines = (place / LOG).read_bytes().splitlines(keepends=True)
    (place / LOG).write_bytes(b"".join(lines[:EARLIER]))  # back to the earlier seal: seals and log agree
    (place / "seals" / seal.name).unlink()
    assert {f.rule for f in check_witness(place, objects, home)} == {"checkpoint_truncated", "checkpoint_missing"}


def _newest(place: Path) -> Seal:
    with Directory.look(place) as directory:
        return seals_in(directory)[0][-1]


def test_without_object_lock_the_checkpoint_is_there_and_that_it_can_be_deleted_is_told(
    cloud: Cloud, tmp_path: Path
) -> None:
    """A bucket without Object Lock keeps nobody from a checkpoint."""
    store, home = _store(cloud, "open", locked=False), Home("open", "jobs", "failback-1")
    place = sealed_twice(tmp_path / "bundle", None)
    seal = _newest(place)
    told = witness(seal, home, lasting_objects(store), None, timedelta(days=7))
    assert told == "the bucket has no Object Lock: it can be deleted"
    (note,) = checkpoints_of(lasting_objects(store), home).notes
    assert not note.signatures
    assert {f.rule for f in check_witness(place, lasting_objects(store), home)} == {"checkpoint_unlocked"}
    cloud.client("s3").put_object(Bucket="open", Key="jobs/drfsm/checkpoints/failback-1/note.txt", Body=b"hello")
    assert "checkpoint_unreadable" in {f.rule for f in check_witness(place, lasting_objects(store), home)}


@pytest.mark.parametrize(
    ("heads", "records", "sealed", "rules"),
    [
        ({5: HEAD}, 5, 5, set()),
        ({5: HEAD}, 7, 5, set()),
        ({}, 4, 4, {"checkpoint_truncated", "checkpoint_missing"}),
        ({5: "cd" * 32}, 5, 5, {"checkpoint_head"}),
        ({5: HEAD}, 7, 7, {"checkpoint_missing"}),
    ],
    ids=["as witnessed", "grown since", "cut off, seals included", "written anew by the key's holder", "a later seal"],
)
def test_a_log_is_held_against_its_witness(
    heads: dict[int, str], records: int, sealed: int, rules: set[str], tmp_path: Path
) -> None:
    """What no signature shows, as the forger has the key, a checkpoint does."""
    signer, public = made_key(tmp_path / "key.pem")
    note = read_note(signed_note(Checkpoint(HOME.origin, 5, HEAD), [signer]).raw, "it")
    found = check_checkpoints([note], HOME.origin, heads, records=records, sealed=sealed, keys=[public])
    assert {finding.rule for finding in found} == rules


def test_a_checkpoint_of_another_run_or_with_a_wrong_signature_is_found(tmp_path: Path) -> None:
    """A note may be moved to another run's place, or signed in another's name: neither counts."""
    signer, public = made_key(tmp_path / "key.pem")
    raw = signed_note(Checkpoint(HOME.origin, 5, HEAD), [signer]).raw
    forged = read_note(raw.replace(b"\n5\n", b"\n6\n"), "it")
    rules = [f.rule for f in check_checkpoints([forged], HOME.origin, {6: HEAD}, records=6, sealed=6, keys=[public])]
    assert rules == ["checkpoint_signature"]
    moved = check_checkpoints([read_note(raw, "it")], "drfsm/b/p/runs/other", {5: HEAD}, records=5, sealed=5)
    assert [finding.rule for finding in moved] == ["checkpoint_unreadable"]
    assert [f.rule for f in check_checkpoints([], HOME.origin, {}, records=5, sealed=5)] == ["checkpoint_none"]


@pytest.mark.parametrize(
    "raw",
    ["", "a\n5\nqw==\n\n", "a\n5\n", f"a\n05\n{ZEROS}\n\n", f"a\n-5\n{ZEROS}\n\n", "\xff\n\n",
     f"a\n5\n{ZEROS}\n\n- a AAAAAAAA\n", f"a\n5\n{ZEROS}\nmore\n\n"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(raw: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Unreadable):
        read_note(raw.encode("latin-1"), "it")


def test_a_note_is_as_others_write_it() -> None:
    """A note that Go's golang.org/x/mod/sumdb/note signed, from its own documentation, holds; the key has its id."""
    name, id_and_key = "PeterNeumann", "c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    raw = b64decode(id_and_key.partition("+")[2])[1:]  # after the byte of its type
    pem = ed25519.Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = parsed_public_key("it", pem)
    assert verifier_key(name, key) == f"{name}+{id_and_key}"
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = b64decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
    assert line[:4] == note_key_id(name, key)
    assert key.verifies(text.encode(), line[4:])


def test_an_ecdsa_key_signs_notes_too(tmp_path: Path) -> None:
    """Its id is of its DER form, so no Ed25519 key can have it."""
    signer, public = made_key(tmp_path / "key.pem", "ecdsa-p256")
    assert isinstance(public.key, ec.EllipticCurvePublicKey)
    note = read_note(signed_note(Checkpoint(HOME.origin, 5, HEAD), [signer]).raw, "it")
    assert note.by((public,)) == (public,)
