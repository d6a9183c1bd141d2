"""A backup's archives: files to ``.tar.zst`` and back, with limits. Zstandard is loaded on first use.

    state.tar.zst       state/<path in the workload's volume>, pointers/<key below the prefix>
    manifests.tar.zst   manifests/<kind>.<name>.json

Unpacking checks its memory limit in advance, and refuses data after the frame's end. Called by backup/create.py,
backup/check.py and restore.py.
"""

import hashlib
import io
import tarfile
import unicodedata
from collections.abc import Mapping
from typing import Any

from drfsm.claims import bounded
from drfsm.dr.control_plane import tarred
from drfsm.dr.safe_tar import UnsafeArchive, members
from drfsm.errors import UsageFault

STATE, MANIFESTS = "state.tar.zst", "manifests.tar.zst"
ROOTS: Mapping[str, tuple[str, ...]] = {STATE: ("state", "pointers"), MANIFESTS: ("manifests",)}
LARGEST_UNPACKED_BYTES: Mapping[str, int] = {STATE: 512 << 20, MANIFESTS: 32 << 20}
LARGEST_PACKED_BYTES = 512 << 20
MOST_MEMBERS: Mapping[str, int] = {STATE: 200_000, MANIFESTS: 10_000}

_LEVEL = 10
_LARGEST_WINDOW_BYTES = 128 << 20
_LONGEST_HEADER_BYTES = 18
_PIECE_BYTES = 512  # of a frame: one may unpack to 16 MiB, if it was made to


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return an archive. The same files give the same bytes."""
    return compressed(tarred(files))


def compressed(body: bytes) -> bytes:
    """Return a Zstandard frame that contains its content's size and checksum."""
    frame: bytes = _zstandard().ZstdCompressor(level=_LEVEL, write_checksum=True).compress(body)
    return frame


def unpacked(name: str, raw: bytes) -> dict[str, bytes]:
    """Return the files of a backup's archive ``name``. Raises UnsafeArchive."""
    files = dict(members(decompressed(raw, LARGEST_UNPACKED_BYTES[name]), ROOTS[name], MOST_MEMBERS[name]))
    for path in files:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
            raise UnsafeArchive(f"the name {bounded(repr(path))} has control characters or is not UTF-8")
    return files


def merged(body: bytes, root: str, more: Mapping[str, bytes]) -> bytes:
    """Return a tar of an archive's files below ``root``, with their modes and times, and of ``more``.

    ``members`` has checked ``body``: regular files and directories only.
    """
    stream = io.BytesIO()
    with (
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
        tarfile.open(fileobj=io.BytesIO(body), mode="r:") as source,
    ):
        for member in source:
            path = member.name.removeprefix("./")
            if member.isreg() and path.startswith(f"{root}/"):
                kept = tarfile.TarInfo(path)
                kept.size, kept.mtime, kept.mode = member.size, int(member.mtime), member.mode & 0o777
                tar.addfile(kept, source.extractfile(member))
        for name, content in sorted(more.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tree(files: Mapping[str, bytes], root: str) -> dict[str, Any]:
    """Return the number of files below ``root``, and the digest over their names and contents (see in_pod.py)."""
    tree_digest = hashlib.sha256()
    names = sorted(name for name in files if name.startswith(f"{root}/"))
    for name in names:
        tree_digest.update(f"{name.removeprefix(f'{root}/')}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return {"files": len(names), "tree_sha256": tree_digest.hexdigest()}


def decompressed(raw: bytes, most: int) -> bytes:
    """Return one frame's content. Raises UnsafeArchive if it is damaged, too large (``most`` bytes), or not alone."""
    zstandard = _zstandard()
    _check_frame(zstandard, raw, most)
    reader = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES).decompressobj()
    pieces: list[bytes] = []
    size = at = 0
    try:
        while at < len(raw) and not reader.eof:
            piece = reader.decompress(raw[at : at + _PIECE_BYTES])
            at += _PIECE_BYTES
            size += len(piece)
            if size > most:
                raise UnsafeArchive(f"it unpacks to more than {most} bytes")
            pieces.append(piece)
    except zstandard.ZstdError as fault:
        raise UnsafeArchive(f"it is not a complete Zstandard frame: {bounded(fault)}") from None
    if not reader.eof:
        raise UnsafeArchive("it is cut off")
    if reader.unused_data or at < len(raw):
        raise UnsafeArchive("other data follows its end")
    return b"".join(pieces)


def _check_frame(zstandard: Any, raw: bytes, most: int) -> None:
    """Raise UnsafeArchive for a frame whose header announces too much data, before any of it is unpacked."""
    try:
        said = zstandard.get_frame_parameters(raw[:_LONGEST_HEADER_BYTES])
    except zstandard.ZstdError:
        return  # unpacking reports what is not a frame
    if (
        said.content_size not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR)
        and said.content_size > most
    ):
        raise UnsafeArchive(f"its header announces {said.content_size} bytes, more than {most} bytes")
    if said.dict_id:
        raise UnsafeArchive("it needs a dictionary, which drfsm does not have")


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise UsageFault("backups need the package zstandard", hint="pip install zstandard") from None
    return zstandard
