"""`drfsm bundle`: what runs seal by themselves is checked, packed, unpacked as a claim, pushed, pulled and pruned."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from drfsm.errors import EvidenceFault, ExitCode
from drfsm.evidence.kit import verifier
from drfsm.evidence.sealing_keys import PublicKey, Signer
from drfsm.runs.bundle_archive import files_of, pack, unpack
from drfsm.sandbox.cloud import REGION, Cloud
from tests.cli.conftest import given
from tests.command import Answer, Drfsm
from tests.evidence.sealed import LOG, RECORDED, made_key, sealed_twice
from tests.evidence.test_seals import FORGERIES

ROOT = Path(__file__).parents[2]
BUCKET = "archives"


def refused(drfsm: Drfsm, tmp_path: Path, **other: object) -> Path:
    """Return the bundle of a failback whose first token is wrong: it has ended."""
    place = tmp_path / "bundle"
    answer = drfsm(*given(tmp_path, confirm1="no", bucket=BUCKET, receipt_dir=place, **other))
    assert answer.code == ExitCode.REFUSED, answer
    return place


def verdict(answer: Answer) -> tuple[int, str, set[str]]:
    """Return a verification's exit code, its verdict, and the rules that it names."""
    told = answer.json
    return answer.code, told["verdict"], {finding["rule"] for finding in told["findings"]}


# --- what runs do by themselves --------------------------------------------------------------------------------


def test_a_run_seals_itself_and_with_a_key_its_seal_is_signed(
    drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key it is chained, sealed and unsigned; the key comes from a flag, the environment or the file."""
    for number, way in enumerate(("none", "flag", "environment", "drfsm.toml")):
        directory = tmp_path / str(number)
        directory.mkdir()
        key = directory / "signer.pem"
        made_key(key)
        public, more = key.with_suffix(".pub"), {}
        if way == "flag":
            more = {"sign_key": key}
        if way == "environment":
            monkeypatch.setenv("DRFSM_SIGN_KEY", str(key))
        if way == "drfsm.toml":
            (directory / "drfsm.toml").write_text(f'evidence.sign_key = "{key}"\n', encoding="utf-8")
            monkeypatch.setenv("DRFSM_CONFIG", str(directory / "drfsm.toml"))
        place = refused(drfsm, directory, **more)
        monkeypatch.delenv("DRFSM_SIGN_KEY", raising=False)
        if way == "none":
            assert verdict(drfsm("bundle", "verify", place, "-o", "json")) == (0, "holds with remarks", {"unsigned"})
            assert drfsm("bundle", "verify", place, "--key", public).code == ExitCode.EVIDENCE
        else:
            answer = drfsm("bundle", "verify", place, "--key", public, "-o", "json")
            assert verdict(answer) == (0, "holds", set()), way
            assert drfsm("status", place).code == ExitCode.DONE  # which writes nothing that a seal covers
            assert drfsm("bundle", "verify", place, "--key", public).code == ExitCode.DONE


def test_a_key_that_can_not_sign_stops_a_start_and_nothing_is_made(drfsm: Drfsm, tmp_path: Path) -> None:
    """A wrong file is wrong usage, before anything is made; and nothing of the key is printed."""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    (tmp_path / "key.pem").chmod(0o600)
    answer = drfsm(*given(tmp_path, confirm1="no", sign_key=tmp_path / "key.pem"))
    assert (answer.code, (tmp_path / "bundle").exists()) == (ExitCode.USAGE, False), answer
    assert "c2VjcmV0" not in answer.out + answer.err


def test_a_seal_is_added_later_by_hand(drfsm: Drfsm, tmp_path: Path) -> None:
    """By another person, too: both signatures are there, each in a seal of its own."""
    place = refused(drfsm, tmp_path)
    made_key(tmp_path / "auditor.pem", "ecdsa-p384")
    sealed = drfsm("bundle", "seal", place, "--no-checkpoint", "--sign-key", tmp_path / "auditor.pem")
    assert (sealed.code, "0002.dsse.json" in sealed.out) == (0, True), sealed
    assert drfsm("bundle", "verify", place, "--key", tmp_path / "auditor.pub").code == ExitCode.DONE
    again = drfsm("bundle", "seal", place, "--no-checkpoint")
    assert "as it was" in again.out
    assert not (place / "seals/0003.statement.json").exists()


# --- archives --------------------------------------------------------------------------------------------------


def test_an_archive_has_the_same_bytes_each_time_and_nothing_secret(drfsm: Drfsm, tmp_path: Path) -> None:
    """Packed, unpacked and packed again; a bundle's private files are in no archive."""
    place = refused(drfsm, tmp_path)
    (place / "private").mkdir(mode=0o700)
    (place / "private" / "kubeconfig").write_text("a-token-that-nobody-may-see", encoding="utf-8")
    first, second = tmp_path / "first.tar.zst", tmp_path / "second.tar.zst"
    assert drfsm("bundle", "pack", place, "--out", first).code == ExitCode.DONE
    unpacked = drfsm("bundle", "unpack", first, tmp_path / "copy")
    assert (unpacked.code, "holds with remarks" in unpacked.out) == (0, True), unpacked
    assert drfsm("bundle", "pack", tmp_path / "copy", "--out", second).code == ExitCode.DONE
    assert first.read_bytes() == second.read_bytes()
    assert b"a-token" not in zstandard.decompress(first.read_bytes())
    assert files_of(tmp_path / "copy") == files_of(place)
    assert drfsm("bundle", "pack", place, "--out", first).code == ExitCode.USAGE  # nothing is written over
    assert drfsm("bundle", "unpack", first, tmp_path / "copy").code == ExitCode.USAGE
    assert verdict(drfsm("bundle", "verify", first, "-o", "json")) == (0, "holds with remarks", {"unsigned"})
    (tmp_path / "copy" / LOG).write_bytes((tmp_path / "copy" / LOG).read_bytes()[:-1])
    drfsm("bundle", "pack", tmp_path / "copy", "--out", tmp_path / "bad.tar.zst")
    assert drfsm("bundle", "verify", tmp_path / "bad.tar.zst").code == ExitCode.EVIDENCE
    assert drfsm("bundle", "unpack", tmp_path / "bad.tar.zst", tmp_path / "bad").code == ExitCode.EVIDENCE


def _tar(*members: tuple[str, bytes, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, target in (("bundle/state_transitions.log", tarfile.REGTYPE, ""), *members):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info, io.BytesIO(b""))
    return zstandard.ZstdCompressor().compress(stream.getvalue())


def test_a_drills_bundle_is_packed_with_all_that_lies_in_it(tmp_path: Path) -> None:
    """Phases, receipts, the configuration that was applied, and the bundle of its promote."""
    place = Path(shutil.copytree(RECORDED.parent / "drill", tmp_path / "drill"))
    files = unpack(pack(place), "it")
    assert files == files_of(place)
    assert {LOG, f"promote/{LOG}"} < set(files)
    assert {name.partition("/")[0] for name in files} >= {"control-plane", "phases", "promote", "steps"}


HOSTILE = {
    "a path that leads out": _tar(("bundle/../../x", tarfile.REGTYPE, "")),
    "an absolute path": _tar(("/etc/x", tarfile.REGTYPE, "")),
    "a symbolic link": _tar(("bundle/x", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": _tar(("bundle/x", tarfile.LNKTYPE, "bundle/state_transitions.log")),
    "a device": _tar(("bundle/x", tarfile.CHRTYPE, "")),
    "a FIFO": _tar(("bundle/x", tarfile.FIFOTYPE, "")),
    "a file twice": _tar(("bundle/state_transitions.log", tarfile.REGTYPE, "")),
    "a lock": _tar(("bundle/.lock", tarfile.REGTYPE, "")),
    "a private file": _tar(("bundle/private/kubeconfig", tarfile.REGTYPE, "")),
    "a name that steers a terminal": _tar(("bundle/\x1b[2J", tarfile.REGTYPE, "")),
    "a file that is a directory, too": _tar(("bundle/x", tarfile.REGTYPE, ""), ("bundle/x/y", tarfile.REGTYPE, "")),
    "another root": _tar(("other/x", tarfile.REGTYPE, "")),
    "a bomb": zstandard.ZstdCompressor().compress(bytes(600 << 20)),
    "no tar": zstandard.ZstdCompressor().compress(b"hello"),
    "no archive": b"hello",
    "nothing": b"",
    "no log": zstandard.ZstdCompressor().compress(bytes(10240)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_whole(name: str) -> None:
    """One unsafe member, and nothing of it is unpacked."""
    with pytest.raises(EvidenceFault, match="is refused"):
        unpack(HOSTILE[name], "it")
    assert unpack(_tar(), "it") == {LOG: b""}


# --- the kit ---------------------------------------------------------------------------------------------------


def kit(place: Path, *more: object) -> subprocess.CompletedProcess[str]:
    """Run the verifier as an auditor does: without drfsm on the path."""
    command = [sys.executable, "-I", str(ROOT / "drfsm/evidence/kit/verify_bundle.py"), str(place), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_kit_in_an_archive_checks_the_bundle_beside_it(drfsm: Drfsm, tmp_path: Path) -> None:
    """Unpacked with tar alone: the verifier, the schemas, and how to use them."""
    key = tmp_path / "signer.pem"
    made_key(key)
    place, out = refused(drfsm, tmp_path, sign_key=key), tmp_path / "kit.tar.zst"
    assert drfsm("bundle", "pack", place, "--kit", "--out", out).code == ExitCode.DONE
    with tarfile.open(fileobj=io.BytesIO(zstandard.decompress(out.read_bytes()))) as tar:
        tar.extractall(tmp_path / "auditor", filter="data")
    at = tmp_path / "auditor"
    assert (at / "kit/verify_bundle.py").read_bytes() == verifier()
    assert "verify_bundle.py" in (at / "kit/README.txt").read_text(encoding="utf-8")
    words = (at / "bundle", "--schemas", at / "kit/schemas", "--key", key.with_suffix(".pub"))
    command = [sys.executable, "-I", at / "kit/verify_bundle.py", *words]
    checked = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout.splitlines()[-1][:6]) == (0, "holds:"), checked
    assert files_of(at / "bundle") == unpack(out.read_bytes(), "it")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Signer, PublicKey], Path]:
    """Return a bundle that was sealed twice, its keys, and the file of the public one."""
    home = tmp_path_factory.mktemp("kit")
    keys = made_key(home / "signer.pem")
    return sealed_twice(home / "bundle", keys[0]), keys, home / "signer.pub"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl, with which the kit checks signatures")
@pytest.mark.parametrize("name", FORGERIES)
def test_the_kit_finds_each_forgery_that_drfsm_finds(
    name: str, signed: tuple[Path, tuple[Signer, PublicKey], Path], tmp_path: Path
) -> None:
    """Two programs that share no code agree: what is forged is found, and what is not holds."""
    original, _, public = signed
    place = Path(shutil.copytree(original, tmp_path / "bundle"))
    FORGERIES[name][0](place)
    assert kit(place, "--key", public).returncode == 1
    if name == "all seals are removed":
        assert kit(original, "--key", public, "--schemas", ROOT / "receipts_schema").returncode == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl, with which the kit checks signatures")
@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384"])
def test_the_kit_checks_signatures_of_ecdsa(kind: str, tmp_path: Path) -> None:
    """Each with its own hash; the signature of another key of the same kind does not hold."""
    signer, _ = made_key(tmp_path / "signer.pem", kind)
    made_key(tmp_path / "other.pem", kind)
    place = sealed_twice(tmp_path / "bundle", signer)
    assert kit(place, "--key", tmp_path / "signer.pub").returncode == 0
    assert kit(place, "--key", tmp_path / "other.pub").returncode == 1


RECHAINED: dict[str, Callable[[list[dict[str, object]]], object]] = {
    # what no seal covers, as the bundle has none: the log's own rules find it
    "a commit is dropped": lambda records: records.pop(_at(records, "commit", 3)),
    "an intent is dropped": lambda records: records.pop(_at(records, "intent", 3)),
    "two commits are swapped": lambda records: _swap(records, _at(records, "commit", 2), _at(records, "commit", 3)),
    "a commit stands twice": lambda records: records.insert(
        _at(records, "commit", 3), records[_at(records, "commit", 3)]
    ),
    "a row is none of the declaration": lambda records: _body(records, "commit", 3).update(to="primary_canonical"),
    "a guard did not hold": lambda records: _guard(records).update(holds=False),
    "an unknown kind": lambda records: records[5].update(kind="note"),
    "an epoch does not rise": lambda records: records.append(records[_at(records, "lease_acquired", 0)]),
    "a record has a field too many in a guard": lambda records: _guard(records).update(extra=1),
}


def _at(records: list[dict[str, object]], kind: str, number: int) -> int:
    return [at for at, record in enumerate(records) if record["kind"] == kind][number]


def _body(records: list[dict[str, object]], kind: str, number: int) -> dict[str, object]:
    body = records[_at(records, kind, number)]["body"]
    assert isinstance(body, dict)
    return body


def _guard(records: list[dict[str, object]]) -> dict[str, object]:
    guards = next(r["body"]["guards"] for r in records if r["kind"] == "commit" and r["body"]["guards"])  # type: ignore[index]
    assert isinstance(guards[0], dict)
    return guards[0]


def _swap(records: list[dict[str, object]], one: int, other: int) -> None:
    records[one], records[other] = records[other], records[one]


@pytest.mark.parametrize("name", RECHAINED)
def test_the_kit_and_drfsm_find_what_breaks_the_logs_own_rules(name: str, drfsm: Drfsm, tmp_path: Path) -> None:
    """The chain is built anew, and there is no seal: `replay` and the kit find it all the same."""
    place = Path(shutil.copytree(RECORDED, tmp_path / "bundle"))
    (place / "failback.summary.json").unlink()
    records = [json.loads(line) for line in (place / LOG).read_bytes().splitlines()]
    RECHAINED[name](records)
    lines, head = [], "0" * 64
    for seq, record in enumerate(records):
        chained = {**record, "prev": head, "seq": seq}
        line = json.dumps(chained, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        head = hashlib.sha256(line).hexdigest()
        lines.append(line)
    (place / LOG).write_bytes(b"".join(lines))
    assert kit(place, "--schemas", ROOT / "receipts_schema").returncode == 1
    assert drfsm("replay", place, "--quiet").code in (ExitCode.EVIDENCE, ExitCode.DAMAGED)


def test_the_kit_finds_no_fault_in_what_every_version_recorded() -> None:
    """Interrupted runs of each released version: nothing is found, as nothing was forged."""
    logs = sorted((ROOT / "tests/data/bundles").rglob(LOG))
    assert len(logs) > 10
    for log in logs:
        told = kit(log.parent, "--schemas", ROOT / "receipts_schema")
        assert told.returncode == 0, (log, told.stdout)


# --- the bucket ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("operator_keys")
def test_a_bundle_is_pushed_pulled_and_pruned_only_when_every_byte_is_kept(
    drfsm: Drfsm, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not pushed, changed since, or with a seal that does not hold: it stays, and why is said."""
    from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY

    place = refused(drfsm, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    at = ("--endpoint-url", cloud.endpoint, "--region", REGION)
    cloud.client("s3").create_bucket(Bucket=BUCKET)

    def prune(*more: object, older_than: str = "1d") -> list[tuple[str, str]]:
        answer = drfsm("bundle", "prune", "--older-than", older_than, *at, "-o", "json", *more)
        assert answer.code == ExitCode.DONE, answer
        return [(row["outcome"], row["why"]) for row in answer.json]

    assert prune() == []
    _years_ago(place)
    assert prune("--yes") == [("stays", "it was not pushed")]
    pushed = drfsm("bundle", "push", place, *at)
    assert pushed.code == ExitCode.DONE, pushed
    uri = pushed.out.split(": ")[0]
    assert "/drfsm/runs/failback-" in uri
    assert drfsm("bundle", "push", place, *at).code == ExitCode.DONE  # the same bytes: the same object
    pulled = drfsm("bundle", "pull", uri.partition("/bundles/")[0], tmp_path / "pulled", *at)
    assert pulled.code == ExitCode.DONE, pulled
    assert files_of(tmp_path / "pulled") == files_of(place)
    assert [outcome for outcome, _ in prune()] == ["would go"]
    step = next((place / "steps").iterdir())
    kept = step.read_bytes()
    step.write_bytes(kept + b"x")
    ((outcome, why),) = prune("--yes")
    assert (outcome, "differs" in why) == ("stays", True)
    assert drfsm("bundle", "push", place, *at).code == ExitCode.DONE  # pushed as it is, and it does not hold
    ((outcome, why),) = prune("--yes")
    assert (outcome, place.exists()) == ("stays", True), why
    step.write_bytes(kept)
    bucket_key = uri.removeprefix(f"s3://{BUCKET}/")
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=bucket_key)["Body"].read()
    for entry in cloud.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]:
        if entry["Key"] != bucket_key:
            cloud.client("s3").delete_object(Bucket=BUCKET, Key=entry["Key"])
    cloud.client("s3").put_object(Bucket=BUCKET, Key=bucket_key, Body=body + b"x")
    ((outcome, why),) = prune("--yes")
    assert (outcome, "another SHA-256" in why) == ("stays", True), why
    cloud.client("s3").put_object(Bucket=BUCKET, Key=bucket_key, Body=body)
    assert "checkpoint_none" in verdict(drfsm("bundle", "verify", place, "--mirror", *at, "-o", "json"))[2]
    assert drfsm("bundle", "seal", place, *at).code == ExitCode.DONE
    rules = verdict(drfsm("bundle", "verify", place, "--mirror", *at, "-o", "json"))
    assert rules == (0, "holds with remarks", {"unsigned", "checkpoint_unlocked"})
    assert [outcome for outcome, _ in prune("--yes")] == ["removed"]
    assert not place.exists()
    assert prune() == []
    assert drfsm("list").out == ""


def _years_ago(place: Path) -> None:
    """Let a run have ended years ago: its records are chained and sealed anew."""
    from drfsm.adapters.file_journal import read_chain
    from drfsm.journal import Record, digest, encode, fold
    from drfsm.runs.seals import seal

    lines: list[bytes] = []
    head = "0" * 64
    for record in read_chain(place).records:
        body = {**record.body, "head": head} if record.kind == "seal" else record.body
        lines.append(encode(Record(record.seq, record.kind, f"2020{record.at[4:]}", body), head))
        head = digest(lines[-1])
    (place / LOG).write_bytes(b"".join(lines))
    shutil.rmtree(place / "seals")
    assert seal(place, fold(read_chain(place).records), None)
