"""Reads an untrusted tar archive: in memory, regular files only, nothing outside its roots.

One unsafe member refuses the whole archive. tarfile never extracts to disk: its filters have been bypassed before.
Names are bounded in length and depth; the reader decides what else a name may be. Called by control_plane/read.py,
backup/create.py and backup/archive.py, which limit the unpacked size beforehand.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence

from drfsm.claims import bounded

LONGEST_NAME, DEEPEST_NAME = 1024, 64  # characters, directories


class UnsafeArchive(Exception):
    """The archive is refused; the message gives the reason."""


def members(body: bytes, roots: Sequence[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path that begins with one of ``roots``, content) of every file. Raises UnsafeArchive."""
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as tar:
            for number, member in enumerate(tar, start=1):
                if number > most:
                    raise UnsafeArchive(f"it has more than {most} members")
                if (path := _path(member, roots)) is None:
                    continue
                if path in seen:
                    raise UnsafeArchive(f"it has {bounded(repr(member.name))} twice")
                seen.add(path)
                yield path, _content(tar, member)
    except RecursionError:  # tarfile reads headers of headers by recursion
        raise UnsafeArchive("its headers are nested too deep") from None
    except (tarfile.TarError, EOFError, OverflowError, ValueError) as fault:
        raise UnsafeArchive(f"it is not a tar archive: {bounded(fault)}") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return a file's content. Raises UnsafeArchive if the archive has fewer bytes than the member's size."""
    file = tar.extractfile(member) if member.size >= 0 else None
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        message = f"the member {bounded(repr(member.name))} has the size {member.size}, but the archive ends before"
        raise UnsafeArchive(f"it is not a tar archive: {message}")
    return content


def _path(member: tarfile.TarInfo, roots: Sequence[str]) -> str | None:
    """Return a regular file's path, None for a directory."""
    parts = member.name.removeprefix("./").split("/")
    if member.isdir() and parts[-1] == "":
        parts.pop()
    name = bounded(repr(member.name))
    unsafe = "\\" in member.name or "\0" in member.name or any(part in ("", ".", "..") for part in parts)
    if unsafe or parts[0] not in roots:
        raise UnsafeArchive(f"the member {name} is not below {' or '.join(f'{root}/' for root in roots)}")
    if len(member.name) > LONGEST_NAME or len(parts) > DEEPEST_NAME:
        raise UnsafeArchive(f"the name of {name} has more than {LONGEST_NAME} characters or {DEEPEST_NAME} parts")
    if member.isdir():
        return None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise UnsafeArchive(f"the member {name} is not a regular file")
    if len(parts) == 1:
        raise UnsafeArchive(f"the member {name} has the path of a directory")
    return "/".join(parts)
