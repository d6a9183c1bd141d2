"""A bundle as one file: ``.tar.zst`` whose bytes depend only on the bundle's files. Packed, and unpacked like a claim.

    bundle/state_transitions.log, bundle/failback.yaml, bundle/steps/…, bundle/seals/…
    kit/verify_bundle.py, kit/schemas/…, kit/README.txt          with a kit: what an auditor needs without drfsm

Not in it: ``private/``, what is no evidence, and files whose names begin with a dot, as in a seal. An archive is held
to the rules of backups (dr/safe_tar.py): one unsafe member refuses all of it, before anything of it is written.
"""

from collections.abc import Mapping
from pathlib import Path

from drfsm.claims import bounded, printable
from drfsm.dr.backup import archive
from drfsm.dr.safe_tar import UnsafeArchive, members
from drfsm.errors import EvidenceFault, UsageFault
from drfsm.evidence import kit as auditors_kit
from drfsm.evidence.sealing_statement import AFTERWARDS, LOG, MOST_FILES, NOT_FOR_OTHERS, SEALS, is_safe, names_in
from drfsm.files import Directory
from drfsm.resources import shipped

BUNDLE, KIT = "bundle", "kit"
SUFFIX = ".tar.zst"
LARGEST_UNPACKED_BYTES = 512 << 20
LARGEST_PACKED_BYTES = 256 << 20
_WAY = "keep it, and get another copy: drfsm bundle pull"


def files_of(place: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a bundle that others may have, seals included, by path.

    Raises EvidenceFault for more than an archive holds, FileDamaged, UsageFault.
    """
    files: dict[str, bytes] = {}
    size = 0
    with Directory.look(place) as directory:
        unsealed = (f"{part}/{name}" for part in (SEALS, AFTERWARDS) for name in directory.names(part))
        names = [*names_in(directory), *(path for path in unsealed if "/." not in path)]
        for name in names:
            body = directory.read(name, LARGEST_UNPACKED_BYTES)
            size += len(body or b"")
            if size > LARGEST_UNPACKED_BYTES:
                raise EvidenceFault(
                    f"{printable(place)} holds more than {LARGEST_UNPACKED_BYTES} bytes, too many for one archive",
                    hint="copy the directory without private/; its mirror in S3 has every record, too",
                )
            if body is not None:
                files[name] = body
    return files


def pack(place: Path, *, with_kit: bool = False) -> bytes:
    """Return a bundle's archive; the same files give the same bytes. Raises as ``files_of``; UsageFault."""
    files = files_of(place)
    if LOG not in files:
        raise UsageFault(f"{printable(place)} is no bundle: it holds no {LOG}", hint="drfsm list shows the known runs")
    content = {f"{BUNDLE}/{name}": body for name, body in files.items()}
    if with_kit:
        content |= {f"{KIT}/{name}": body for name, body in _kit_files().items()}
    return archive.packed(content)


def _kit_files() -> Mapping[str, bytes]:
    schemas = shipped("receipts_schema")
    named = {f"schemas/{path.name}": path.read_bytes() for path in sorted(schemas.glob("*.schema.json"))}
    return {"verify_bundle.py": auditors_kit.verifier(), "README.txt": auditors_kit.README.encode(), **named}


def unpack(raw: bytes, what: str) -> dict[str, bytes]:
    """Return the files of an archive's bundle, by path, without its kit. Raises EvidenceFault for an unsafe one."""
    try:
        if len(raw) > LARGEST_PACKED_BYTES:
            raise UnsafeArchive(f"it has more than {LARGEST_PACKED_BYTES} bytes")  # noqa: TRY301  one refusal for all
        content = dict(members(archive.decompressed(raw, LARGEST_UNPACKED_BYTES), (BUNDLE, KIT), MOST_FILES))
        files = {
            name.removeprefix(f"{BUNDLE}/"): body for name, body in content.items() if name.startswith(f"{BUNDLE}/")
        }
        _check_names(files)
    except UnsafeArchive as fault:
        raise EvidenceFault(f"{what} is refused: {fault}", hint=_WAY) from None
    return files


def _check_names(files: Mapping[str, bytes]) -> None:
    for name in files:
        if not is_safe(name) or NOT_FOR_OTHERS in name.split("/"):
            raise UnsafeArchive(f"{bounded(repr(name))} is no name of a bundle's file")
    if LOG not in files:
        raise UnsafeArchive(f"it holds no {LOG}")
    if above := next((name for name in files if any(other.startswith(f"{name}/") for other in files)), ""):
        raise UnsafeArchive(f"{bounded(repr(above))} is a file and a directory")


def lay(files: Mapping[str, bytes], place: Path) -> None:
    """Write an archive's files into a directory that is empty or not there yet. Raises UsageFault, DiskFault."""
    with Directory.make(place) as directory:
        if inside := directory.names():
            raise UsageFault(
                f"{printable(place)} is not empty: it holds {printable(inside[0])}", hint="name a new directory"
            )
        for name, body in sorted(files.items()):
            directory.write(name, body)


def read_archive(path: Path) -> bytes:
    """Return an archive's bytes. Raises UsageFault."""
    from drfsm.files import given_file

    return given_file(path, "the archive", LARGEST_PACKED_BYTES)
