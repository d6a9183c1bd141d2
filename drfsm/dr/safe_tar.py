"""Reads an archive that somebody else may have made: in memory, regular files only, nothing outside its roots.

One unsafe member refuses all of it. Nothing is ever extracted to disk by tarfile: its filters have been
escaped from. Called by control_plane.py and backup_archive.py, which bound what they unpack beforehand.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence


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
                    raise UnsafeArchive(f"it has {member.name!r} twice")
                seen.add(path)
                content = tar.extractfile(member)
                yield path, content.read() if content else b""
    except (tarfile.TarError, EOFError, OverflowError, ValueError) as fault:
        raise UnsafeArchive(f"it is no tar archive: {fault}") from None


def _path(member: tarfile.TarInfo, roots: Sequence[str]) -> str | None:
    """Return a regular file's path, None for a directory."""
    parts = member.name.removeprefix("./").split("/")
    if member.isdir() and parts[-1] == "":
        parts.pop()
    unsafe = "\\" in member.name or "\0" in member.name or any(part in ("", ".", "..") for part in parts)
    if unsafe or parts[0] not in roots:
        raise UnsafeArchive(f"the member {member.name!r} is not below {' or '.join(f'{each}/' for each in roots)}")
    if member.isdir():
        return None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise UnsafeArchive(f"the member {member.name!r} is no regular file")
    if len(parts) == 1:
        raise UnsafeArchive(f"the member {member.name!r} stands in the place of a directory")
    return "/".join(parts)
