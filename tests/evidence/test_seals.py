"""Seals: what was changed in a bundle is found, by which rule; who signed is checked offline, by others too."""

import json
import os
import re
import shutil
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from drfsm.adapters.file_journal import read_chain
from drfsm.errors import UsageFault
from drfsm.evidence.sealing import check_seals, seals_in
from drfsm.evidence.sealing_keys import PublicKey, Signer, read_public_key
from drfsm.evidence.sealing_rules import is_remark, page_table
from drfsm.files import Directory
from drfsm.journal import Record, fold, read
from drfsm.journal.chain import lines as chained
from drfsm.runs.seals import seal
from tests.evidence.sealed import EARLIER, LOG, RECORDED, made_key, sealed_twice

NOT_THERE = 2  # what ssh-add answers where it reaches no agent
FIRST, SECOND = "seals/0001.statement.json", "seals/0002.dsse.json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, PublicKey]:
    """Return what signs, and what checks."""
    return made_key(tmp_path_factory.mktemp("keys") / "signer.pem")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Signer, PublicKey]) -> Path:
    """Return a bundle that was sealed twice, the second time with the key. Nobody changes it."""
    return sealed_twice(tmp_path_factory.mktemp("sealed") / "bundle", keys[0])


@pytest.fixture
def bundle(tmp_path: Path, original: Path) -> Path:
    """Return a copy of the sealed bundle."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def rules_of(place: Path, *keys: PublicKey) -> set[str]:
    """Return the rules of all findings."""
    return {finding.code for finding in check_seals(place, keys=keys)}


def _lines(place: Path) -> list[bytes]:
    return (place / LOG).read_bytes().splitlines(keepends=True)


def _write(place: Path, lines: list[bytes]) -> None:
    (place / LOG).write_bytes(b"".join(lines))


def _rebuilt(place: Path, change: Callable[[dict[str, Any]], object], number: int) -> None:
    """Change a record's body and build the chain anew, as whoever forges a log does."""
    records = list(read(_lines(place)).records)
    body = json.loads(json.dumps(dict(records[number].body)))
    change(body)
    records[number] = type(records[number])(number, records[number].kind, records[number].at, body)
    _write(place, list(chained(records)))


def _edit(place: Path, name: str, change: Callable[[Any], object]) -> None:
    content = json.loads((place / name).read_bytes())
    change(content)
    (place / name).write_text(json.dumps(content), encoding="utf-8")


def _sealed_anew(place: Path) -> None:
    """Replace the newest seal by one with another key, as somebody does who has not the signer's."""
    (place / SECOND).unlink()
    other, _ = made_key(place.parent / "other.pem")
    assert seal(place, fold(read_chain(place).records), other)


def _other_payload(envelope: dict[str, Any]) -> None:
    """Say in what was signed that the run was another state's."""
    signed = b64decode(envelope["payload"])
    envelope["payload"] = b64encode(signed.replace(b'"status": "held"', b'"status": "complete"')).decode()


STEP = "steps/01-confirm_intent.log"
FORGERIES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "the last record is cut off": (lambda place: _write(place, _lines(place)[:-1]), {"seal_truncated"}),
    "the end is cut off down to the earlier seal": (
        lambda place: _write(place, _lines(place)[:EARLIER]),
        {"seal_truncated"},
    ),
    "the log is empty": (lambda place: _write(place, []), {"seal_truncated", "seal_run"}),
    "the operator is another, the chain rebuilt": (
        lambda place: _rebuilt(place, lambda body: body.update(operator="somebody else"), 0),
        {"seal_head"},
    ),
    "the last record is another": (
        lambda place: _rebuilt(place, lambda body: body.update(reason="all is well"), -1 + len(_lines(place))),
        {"seal_head"},
    ),
    "the log is of another run": (
        lambda place: _rebuilt(place, lambda body: body.update(run_id="failback-other"), 0),
        {"seal_head", "seal_run"},
    ),
    "a dry run is made live": (
        lambda place: _rebuilt(place, lambda body: body.update(scope="drill"), 0),
        {"seal_head", "seal_run"},
    ),
    "a byte in the middle of the log is another": (
        lambda place: (place / LOG).write_bytes((place / LOG).read_bytes().replace(b"failback", b"fallback", 1)),
        {"seal_file_changed", "seal_run"},
    ),
    "a step's file says something else": (
        lambda place: (place / STEP).write_text("all is well\n", encoding="utf-8"),
        {"seal_file_changed"},
    ),
    "a step's file is removed": (lambda place: (place / STEP).unlink(), {"seal_file_missing"}),
    "a file is added": (
        lambda place: (place / "steps/99-thaw.log").write_text("done\n", encoding="utf-8"),
        {"seal_file_added"},
    ),
    "a file is a link to its copy": (
        lambda place: (place / STEP).symlink_to((place / STEP).rename(place.parent / "copy")),
        {"seal_file_changed"},
    ),
    "the declaration has one byte more": (
        lambda place: (place / "failback.yaml").write_bytes((place / "failback.yaml").read_bytes() + b"\n"),
        {"seal_file_changed"},
    ),
    "the receipt names another run": (
        lambda place: _edit(place, "failback.summary.json", lambda content: content.update(run_id="x")),
        {"seal_file_changed"},
    ),
    "the first seal is removed": (lambda place: (place / FIRST).unlink(), {"seal_missing"}),
    "the first seal is altered": (
        lambda place: _edit(place, FIRST, lambda content: content["predicate"].update(status="complete")),
        {"seal_missing"},
    ),
    "the first seal is no JSON": (
        lambda place: (place / FIRST).write_bytes(b"{"),
        {"seal_unreadable", "seal_missing"},
    ),
    "a signature is another": (
        lambda place: _edit(place, SECOND, lambda envelope: envelope["signatures"][0].update(sig="AAAB")),
        {"seal_signature", "seal_not_by_key"},
    ),
    "a signature names another key": (
        lambda place: _edit(place, SECOND, lambda envelope: envelope["signatures"][0].update(keyid="0" * 64)),
        {"seal_signature"},
    ),
    "the signed payload is another": (
        lambda place: _edit(place, SECOND, _other_payload),
        {"seal_signature", "seal_not_by_key"},
    ),
    "the bundle is sealed anew with another key": (_sealed_anew, {"seal_not_by_key"}),
    "the signature is taken off": (lambda place: (place / SECOND).unlink(), {"seal_not_by_key", "seal_grown"}),
    "all seals are removed": (lambda place: shutil.rmtree(place / "seals"), {"seal_not_by_key"}),
    "seals/ holds something else": (
        lambda place: (place / "seals/note.txt").write_text("hello", encoding="utf-8"),
        {"seal_foreign"},
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_by_its_rule(name: str, bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Whatever is changed in a bundle that was sealed and signed, the key's owner finds it, and says how."""
    forge, expected = FORGERIES[name]
    forge(bundle)
    found = rules_of(bundle, keys[1])
    assert found, name
    assert not any(map(is_remark, found - {"seal_grown"})), found
    assert found <= expected, found
    assert found & {rule for rule in expected if not is_remark(rule)}


def test_a_sealed_bundle_holds_and_its_remarks_say_what_was_not_checked(
    original: Path, bundle: Path, keys: tuple[Signer, PublicKey], tmp_path: Path
) -> None:
    """With the key nothing is found; without it that nobody checked the signature; unsigned and unsealed are said."""
    assert rules_of(original, keys[1]) == set()
    assert rules_of(original) == {"seal_unchecked"}
    (bundle / SECOND).unlink()
    assert seal(bundle, fold(read_chain(bundle).records), None)
    assert rules_of(bundle) == {"unsigned"}
    shutil.rmtree(bundle / "seals")
    assert rules_of(bundle) == {"unsealed"}
    assert all(map(is_remark, ("seal_unchecked", "unsigned", "unsealed")))
    unsigned = sealed_twice(tmp_path / "unsigned", None)
    assert rules_of(unsigned, keys[1]) == {"seal_not_by_key"}


def test_what_changes_by_itself_and_what_is_secret_is_not_sealed(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """The notices' log, locks and drafts may change; private files are in no seal, not even by name."""
    for name in ("notices.log", "progress.log", "traces.sent", ".lock", "steps/.draft", "private/kubeconfig"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text("a-token-that-nobody-may-see", encoding="utf-8")
    assert rules_of(bundle, keys[1]) == set()
    with Directory.look(bundle) as directory:
        (*_, newest), _ = seals_in(directory)
    assert not [name for name in newest.statement.files if "private" in name or "notices" in name]


def test_a_run_that_goes_on_is_covered_as_far_as_it_was_sealed(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Derived files change with new records; the log's sealed part and the declaration must stand."""
    lines = _lines(bundle)
    _write(bundle, lines[:EARLIER])
    (bundle / SECOND).unlink()
    assert seal(bundle, fold(read_chain(bundle).records), keys[0])
    _write(bundle, lines)
    (bundle / STEP).write_text("tried again\n", encoding="utf-8")
    assert rules_of(bundle, keys[1]) == {"seal_grown" if b'"kind":"seal"' not in lines[-1] else "seal_behind"}
    (bundle / "failback.yaml").write_text("machine: other\n", encoding="utf-8")
    assert "seal_file_changed" in rules_of(bundle, keys[1])


def test_nothing_is_sealed_twice_and_a_key_that_comes_later_signs(
    bundle: Path, keys: tuple[Signer, PublicKey], tmp_path: Path
) -> None:
    """The same bundle under the same key has its seal; another signer's is added and vouches for those before."""
    state = fold(read_chain(bundle).records)
    assert seal(bundle, state, keys[0]) is None
    assert seal(bundle, state, None) is None
    other, public = made_key(tmp_path / "auditor.pem", "ecdsa-p256")
    third = seal(bundle, state, other)
    assert third is not None
    assert (third.name, rules_of(bundle, public)) == ("0003.dsse.json", set())


# --- signatures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "ecdsa-p384"])
def test_an_envelope_holds_in_another_implementation_of_dsse(kind: str, tmp_path: Path) -> None:
    """Securesystemslib checks what drfsm signed, and refuses it with a byte changed."""
    signer, public = made_key(tmp_path / "key.pem", kind)
    place = sealed_twice(tmp_path / "bundle", signer)
    assert rules_of(place, public) == set()
    raw = json.loads((place / SECOND).read_bytes())
    key = SSlibKey.from_crypto(public.key, public.id)
    envelope = OtherEnvelope.from_dict(json.loads(json.dumps(raw)))
    assert set(envelope.verify([key], 1)) == {public.id}
    assert envelope.payload_type == "application/vnd.in-toto+json"
    envelope.payload = envelope.payload.replace(b"failback", b"fallback", 1)
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_an_envelope_of_another_implementation_holds_here(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """What securesystemslib wrote, without line breaks and in another order, is read and holds."""
    raw = OtherEnvelope.from_dict(json.loads((bundle / SECOND).read_bytes())).to_dict()
    (bundle / SECOND).write_text(json.dumps(dict(reversed(raw.items()))), encoding="utf-8")
    assert rules_of(bundle, keys[1]) == set()


@pytest.mark.parametrize("words", [("-t", "ed25519"), ("-t", "ecdsa", "-b", "256")], ids=["ed25519", "ecdsa"])
def test_an_ssh_key_signs_by_its_file_and_by_its_agent(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of ssh-keygen sign; one with a passphrase by its agent alone; the public line checks them."""
    from drfsm.adapters.signing import signer_of

    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", *words, "-N", "", "-f", str(key)], check=True)
    public = read_public_key(f"{key}.pub")
    assert public.verifies(b"words", signer_of(str(key), {}).sign(b"words"))
    with pytest.raises(UsageFault, match="no agent is there"):
        signer_of(f"{key}.pub", {}, {}).sign(b"words")
    place = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", place)
        until = time.monotonic() + 60
        while subprocess.run(["ssh-add", "-l"], capture_output=True, check=False).returncode == NOT_THERE:
            assert time.monotonic() < until, "the agent did not start"
            time.sleep(0.02)
        with pytest.raises(UsageFault, match="lacks the key"):
            signer_of(f"{key}.pub", {}).sign(b"words")
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(key)], check=True)
        assert public.verifies(b"words", signer_of(f"{key}.pub", {}).sign(b"words"))
        with pytest.raises(UsageFault, match="can't be used: it has a passphrase") as fault:
            signer_of(str(key), {})
        assert "ssh-add" in fault.value.hint
    finally:
        agent.kill()
        agent.wait()


def test_a_private_key_that_others_read_is_refused_and_never_shown(tmp_path: Path) -> None:
    """A key with open permissions signs nothing; a private key is no public one; no message holds any of it."""
    from drfsm.adapters.signing import signer_of

    made_key(tmp_path / "key.pem")
    secret = (tmp_path / "key.pem").read_text(encoding="utf-8").splitlines()[1]
    with pytest.raises(UsageFault) as refused:
        read_public_key(tmp_path / "key.pem")
    assert secret not in refused.value.what + refused.value.hint
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(UsageFault, match="others may read") as opened:
        signer_of(str(tmp_path / "key.pem"), {})
    assert secret not in opened.value.what + opened.value.hint


def test_a_log_that_ended_after_its_seal_is_told(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Records that were added to a sealed bundle up to an end are covered by nobody's signature."""
    records = list(read(_lines(bundle)).records)
    body = {"state": "x", "status": "complete", "reason": "", "frozen": [], "ways": [], "kept": []}
    records.append(Record(len(records), "ended", records[-1].at, body))
    _write(bundle, list(chained(records)))
    assert rules_of(bundle, keys[1]) == {"seal_behind"}
    assert not is_remark("seal_behind")


def test_the_page_lists_every_rule_as_the_table_says_it() -> None:
    """docs/sealing.md says of each finding what it means, which witness finds it, and what to do."""
    page = Path(__file__).parents[2] / "docs" / "sealing.md"
    text, due = page.read_text(encoding="utf-8"), "\n".join(page_table()) + "\n"
    marked = re.compile(r"(?<=<!-- rules -->\n).*?(?=<!-- end -->)", re.DOTALL)
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(marked.sub(lambda _: due, text), encoding="utf-8")
        text = page.read_text(encoding="utf-8")
    assert marked.findall(text) == [due], "DRFSM_REGENERATE=1 pytest tests/evidence/test_seals.py"


# --- everything, once -------------------------------------------------------------------------------------------

SAMPLES = 20  # bytes of a file that are flipped, spread over it, the first and the last included


def test_every_byte_every_record_and_every_splice_is_found(bundle: Path, keys: tuple[Signer, PublicKey]) -> None:
    """Bytes of each file; each record dropped, doubled, swapped or the last, chained anew; two runs in one."""
    holds, checked, missed = rules_of(bundle, keys[1]), 0, []

    def found(what: str) -> None:
        nonlocal checked
        checked += 1
        if not {rule for rule in rules_of(bundle, keys[1]) if not is_remark(rule)}:
            missed.append(what)

    assert holds == set()
    for path in sorted(each for each in bundle.rglob("*") if each.is_file()):
        body = path.read_bytes()
        samples = 2 if path.parent.name == "steps" else SAMPLES
        for at in sorted({(len(body) - 1) * number // (samples - 1) for number in range(samples)}):
            path.write_bytes(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
            found(f"{path.name}: byte {at}")
        path.write_bytes(body)
    records, log = list(read(_lines(bundle)).records), (bundle / LOG).read_bytes()
    other = list(read((RECORDED.parent / "promote" / LOG).read_bytes()).records)
    for number in range(len(records)):
        changed = {
            "dropped": records[:number] + records[number + 1 :],
            "doubled": records[: number + 1] + records[number:],
            "swapped": records[:number] + records[number : number + 2][::-1] + records[number + 2 :],
            "the last": records[:number],
            "spliced": records[:number] + other[number:],
        }
        for what, forged in changed.items():
            if forged[: len(records)] == records:
                continue  # nothing to swap the last one with; and one after it is the log's own rules' matter
            lines = chained(evolve(record, seq=seq) for seq, record in enumerate(forged))
            (bundle / LOG).write_bytes(b"".join(lines))
            found(f"record {number} {what}")
    (bundle / LOG).write_bytes(log)
    assert rules_of(bundle, keys[1]) == set()
    assert missed == []
    assert checked > 5 * len(records)
