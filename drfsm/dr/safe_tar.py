"""Reads an archive that somebody else may have made: in memory, regular files only, nothing outside its roots.

One unsafe member refuses all of it. Nothing is ever extracted to disk by tarfile: its filters have been
escaped from. Names are bounded in length and depth; what else a name may be is its reader's matter.
Called by control_plane/read.py, backup/create.py and backup/archive.py, which bound what they unpack beforehand.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence

from drfsm.claims import bounded

LONGEST_NAME, DEEPEST_NAME = 1024, 64  # characters, directories


class UnsafeArchive(Exception):
    """The archive is refused; the message says for what."""


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
    except RecursionError:  # tarfile reads a header that extends a header by calling itself
        raise UnsafeArchive("its headers are nested too deep") from None
    except (tarfile.TarError, EOFError, OverflowError, ValueError) as fault:
        raise UnsafeArchive(f"it is no tar archive: {bounded(fault)}") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return what a file holds, all of it: a size that the archive does not hold is a lie."""
    file = tar.extractfile(member) if member.size >= 0 else None
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        message = f"the member {bounded(repr(member.name))} says {member.size} bytes, which are not there"
        raise UnsafeArchive(f"it is no tar archive: {message}")
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
        raise UnsafeArchive(f"the member {name} is no regular file")
    if len(parts) == 1:
        raise UnsafeArchive(f"the member {name} stands in the place of a directory")
    return "/".join(parts)
