"""docs/log-format.md: its commands run as they stand, on a signed bundle, and find what is forged."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.evidence.sealed import LOG, made_key, sealed_twice

PAGE = Path(__file__).parents[2] / "docs" / "log-format.md"
BLOCKS = dict(re.findall(r"^```shell\n# (\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
MISSING = [tool for tool in ("jq", "sha256sum", "base64", "openssl", "sh") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sealed bundle, with its signer's public key beside its log as an auditor puts it there."""
    home = tmp_path_factory.mktemp("format")
    signer, _ = made_key(home / "signer.pem")
    place = sealed_twice(home / "bundle", signer)
    shutil.copy(home / "signer.pub", place / "signer.pub")
    return place


def ran(block: str, place: Path, scratch: Path) -> tuple[int, str]:
    """Run a block of the page in a bundle."""
    environment = {**os.environ, "TMP": str(scratch)}
    done = subprocess.run(
        ["sh", "-c", BLOCKS[block]], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_pages_commands_say_that_a_bundle_holds(bundle: Path, tmp_path: Path) -> None:
    """Chain, declaration, files, signature: with jq, sha256sum and openssl alone."""
    lines = (bundle / LOG).read_bytes().count(b"\n")
    assert sorted(BLOCKS) == ["chain", "declaration", "files", "signature"]
    told = ran("chain", bundle, tmp_path)[1].splitlines()
    assert (len(told), told[0].split(",")[0]) == (1, f"{lines} records"), told
    assert ran("declaration", bundle, tmp_path) == (0, "failback.yaml: OK\n")
    assert ran("files", bundle, tmp_path) == (0, "")
    assert ran("signature", bundle, tmp_path) == (0, "Signature Verified Successfully\n")


@pytest.mark.parametrize(
    ("name", "block"),
    [(LOG, "chain"), (LOG, "files"), ("failback.yaml", "declaration"), ("failback.yaml", "files"),
     ("seals/0002.dsse.json", "signature")],
)  # fmt: skip
def test_the_pages_commands_find_a_byte_that_was_changed(name: str, block: str, bundle: Path, tmp_path: Path) -> None:
    """Each finds what it is for."""
    place = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    body = bytearray((place / name).read_bytes())
    at = len(body) // 2
    body[at] = ord("b") if body[at] != ord("b") else ord("c")
    (place / name).write_bytes(body)
    code, told = ran(block, place, tmp_path)
    if block == "chain":
        assert re.search(r"^< [0-9a-f]{64}$", told, re.MULTILINE), told
    else:
        assert code != 0, told


def test_the_kit_was_written_from_the_page() -> None:
    """What the page says of names, types and seals, the kit's verifier has word for word."""
    from drfsm.evidence.kit import verifier
    from drfsm.evidence.sealing_envelope import PAYLOAD_TYPE, pae
    from drfsm.evidence.sealing_statement import AFTERWARDS, NO_EVIDENCE, PREDICATE_TYPE, STATEMENT_TYPE

    page, kit = PAGE.read_text(encoding="utf-8"), verifier().decode()
    for word in (PAYLOAD_TYPE, AFTERWARDS, *NO_EVIDENCE):
        assert word in page
        assert word in kit
    assert PREDICATE_TYPE in page
    assert STATEMENT_TYPE in kit
    assert pae(PAYLOAD_TYPE, b"x").startswith(b"DSSEv1 28 application/vnd.in-toto+json 1 x")
