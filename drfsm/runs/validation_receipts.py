"""Validation receipts that a person names: read from a bundle, a file or S3, and vouched for.

A receipt in a bucket is a claim of anybody who may write there. So somebody must vouch for it: this machine wrote the
head of its journal, or a trusted key signed that head, or a person knows the receipt's SHA-256. The run itself checks
what a receipt says (dr/validation/receipt.py, which also owns its shape). Used by `promote`, `drill` and `validate`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.claims import bounded
from drfsm.dr.validation import receipt as validation_receipt
from drfsm.errors import EvidenceFault, Unreadable, UntrustedRecords, UsageFault
from drfsm.files import Directory
from drfsm.runs.heads import Heads
from drfsm.runs.mirrors import signed_at, store_of

if TYPE_CHECKING:
    from drfsm.world import ObjectStore


def in_bundle(place: Path) -> dict[str, Any] | None:
    """Return the receipt in a drill's bundle; None where the drill validated nothing. Raises UsageFault."""
    path = place / validation_receipt.FILE_NAME
    try:
        with Directory.look(place) as directory:
            body = directory.read(path.name)
    except Unreadable as fault:
        raise UsageFault(f"{path} cannot be read: {fault}") from None
    return None if body is None else validation_receipt.checked(body, str(path))


def named(source: str, places: Mapping[str, str], expected_sha256: str) -> tuple[str, dict[str, Any]]:
    """Return the receipt that a file or an ``s3://`` URI holds, as its text and as its content.

    ``places``: endpoint_url and region. Raises UsageFault for what can't be read or is no receipt; EvidenceFault and
    UntrustedRecords for one in S3 that nobody vouches for.
    """
    if not source.startswith("s3://"):
        text = _in_file(source)
        return text, validation_receipt.checked(text, source)
    bucket, _, key = source.removeprefix("s3://").partition("/")
    store = store_of(bucket, places)
    text = _in_store(store, key, source)
    receipt = validation_receipt.checked(text, source)
    _check_vouched(source, text, receipt, store, expected_sha256)
    return text, receipt


def _in_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageFault(f"{path} cannot be read: {fault}", hint="check the path and the file's permissions") from None


def _in_store(store: "ObjectStore", key: str, uri: str) -> str:
    blob = store.get(key, largest_bytes=validation_receipt.LARGEST_RECEIPT_BYTES)
    if blob is None:
        raise UsageFault(
            f"{uri} does not exist",
            hint=f"a validation leaves it at s3://<bucket>/<staged prefix>/{validation_receipt.FILE_NAME}",
        )
    try:
        return str(blob.body.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise UsageFault(f"{uri} cannot be read: {fault}", hint="give the file in the validation's bundle") from None


def _check_vouched(uri: str, text: str, receipt: Mapping[str, Any], store: "ObjectStore", expected_sha256: str) -> None:
    """Raise EvidenceFault for another receipt than expected, UntrustedRecords for one that nobody vouches for."""
    sha256 = validation_receipt.sha256_of(text)
    if expected_sha256 and expected_sha256 != sha256:
        raise EvidenceFault(
            f"{uri} has the SHA-256 {sha256}, not {bounded(expected_sha256, 64)}",
            hint="find out who wrote it. Use the receipt in the validation's bundle: --validation-receipt FILE",
        )
    known_here = expected_sha256 or Heads(str(receipt["drfsm_run"])).knows(str(receipt["journal"]["head"]))
    if known_here or signed_at(store, receipt["journal"]):
        return
    raise UntrustedRecords(
        f"nobody vouches for the receipt {uri}: this machine did not validate, and no trusted key signed its journal",
        hint=f"compare it with the receipt in the validation's bundle. If they are equal: --expect-receipt {sha256}",
    )
