"""The files that drfsm keeps: bundles, its home, receipts. Only this module opens them, and only their owner may read.

A file here is a regular file with one name, owned by the user who runs drfsm (or by root), with the mode 0600, in a
directory with the mode 0700 that no other user may write to or replace. It is opened relative to the descriptor of its
directory, never through a symbolic link, and checked before a byte is read or written: a FIFO, a device, a directory or
a file with a second name is refused, and never waited for. A file is written whole or not at all. Reads are bounded.

Raises ``FileDamaged`` for a file that is not drfsm's, ``DiskFault`` for errors of the disk, ``UsageFault`` for a path
that can't be used. Every writer of a bundle uses this module (tests/hostile/test_files.py). Knows nothing of the files'
content. Called by adapters/, runs/ and cli/.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Self

from drfsm.claims import printable
from drfsm.errors import DiskFault, DrfsmError, FileDamaged, UsageFault

LARGEST_BYTES = 64 << 20
"""The largest file to read, in bytes, unless its reader sets another limit."""
PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DISK = {
    # errors of the disk or the system -> the next step; {path} is the file
    errno.ENOSPC: "free some space: df -h {path}",
    errno.EDQUOT: "free some space, or ask for a larger quota: quota -s",
    errno.EFBIG: "raise the limit on the size of files: ulimit -f unlimited",
    errno.EROFS: "mount the file system for writing: findmnt -T {path}",
    errno.EIO: "the disk is failing: check dmesg, and copy the bundle to another disk",
    errno.ESTALE: "the file server lost the file: mount it again",
    errno.EMFILE: "this process has too many open files: raise the limit, ulimit -n 4096",
    errno.ENFILE: "this computer has too many open files: end what holds them (lsof)",
    errno.ENOMEM: "this computer has no memory left: end other programs",
    errno.EACCES: "run the command as the owner: ls -ld {path}",
    errno.EPERM: "run the command as the owner: ls -ld {path}",
}
_DRAFTS = count()
_OF_THE_DISK = frozenset(_DISK) - {errno.EACCES, errno.EPERM}


def given_file(path: str | Path, called: str, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """Return the bytes of a file that an operator names, ``called`` so in messages. Links are followed.

    Looks before it reads: a pipe would wait for ever, a device has no end. Raises UsageFault for what is no regular
    file, is larger than ``largest_bytes``, or can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            kind = stat.S_IFMT(status.st_mode)
            if kind != stat.S_IFREG:
                raise UsageFault(
                    f"{called}: {printable(path)} is {_KINDS.get(kind, 'no file')}", hint="name a regular file"
                )
            body = file.read(largest_bytes + 1) if status.st_size <= largest_bytes else None
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is no path"
        raise UsageFault(f"{called}: {printable(path)}: {reason}", hint="check the path") from None
    if body is None or len(body) > largest_bytes:
        raise UsageFault(f"{called}: {printable(path)} has more than {largest_bytes} bytes", hint="check the path")
    return body


def give_file(path: Path, body: bytes, what: str, *, overwrite: bool = False) -> None:
    """Write a file that an operator names, whole or not at all, for this user only; ``what`` is it, in messages.

    Raises FileExistsError where something is there already, unless it may be overwritten; DiskFault.
    """
    draft = path.with_name(f".{path.name[:200]}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(descriptor)
        if overwrite:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        raise
    except OSError as fault:
        raise disk_fault(fault, f"{what} can't be written to {printable(path)}", path) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def written_by_others(path: Path) -> str:
    """Return, in words, why another user could have written a file or put it there; "" if only this one and root can.

    A link counts as the file that it leads to, and as its own place.
    """
    ours = (os.geteuid(), 0)
    for place in dict.fromkeys((path.absolute(), path.resolve())):
        for above in (place, *place.parents):
            try:
                status = above.stat(follow_symlinks=False)
            except OSError as fault:
                return f"{printable(above)} can't be looked at ({fault.strerror})"
            if status.st_uid not in ours:
                return f"{printable(above)} belongs to the user {status.st_uid}"
            open_to_others = not stat.S_ISLNK(status.st_mode) and _others_write(status)
            if open_to_others and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
                return f"others may write to {printable(above)}"
    return ""


def disk_fault(fault: OSError, what: str, path: object) -> DiskFault:
    """Return the error for a refusal of the disk or the system. ``what`` is the subject of the sentence."""
    return DiskFault(f"{what}: {_words(fault)}", hint=f"{_way(fault, path)}; then continue")


def is_of_the_disk(fault: OSError) -> bool:
    """Whether the disk or the system is at fault (full, read-only, broken), not the given path."""
    return fault.errno in _OF_THE_DISK


def _words(fault: OSError) -> str:
    if not fault.errno:
        return str(fault)
    return f"{os.strerror(fault.errno)} ({errno.errorcode.get(fault.errno, fault.errno)})"


def _way(fault: OSError, path: object) -> str:
    there = Path(str(path))
    while fault.errno in _OF_THE_DISK and not os.path.lexists(there) and there != there.parent:
        there = there.parent  # df and findmnt need an existing path
    return _DISK.get(fault.errno or 0, "check {path}").format(path=quote(printable(there)))


def _refused(fault: OSError, what: str, path: object) -> DrfsmError:
    """Return the error for an operator's path that can't be used."""
    if is_of_the_disk(fault):
        return disk_fault(fault, what, path)
    return UsageFault(f"{what}: {_words(fault)}", hint=_way(fault, path))


class Directory:
    """An open directory of drfsm's. Use ``look`` to read, ``own`` to write, ``make`` to create; close it.

    A name may contain directories (``steps/01-freeze_dr.log``); each part is opened relative to its parent.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def look(cls, path: Path) -> Self:
        """Open a directory for reading, whoever owns it. Raises UsageFault, DiskFault."""
        try:
            return cls(path, os.open(path, _DIRECTORY))
        except OSError as fault:
            raise _refused(fault, f"{printable(path)} can't be read", path) from None

    @classmethod
    def own(cls, path: Path) -> Self:
        """Open a directory for writing; its mode becomes 0700.

        Raises UsageFault if another user owns it, may write to it, or may replace it; DiskFault.
        """
        real = Path(os.path.realpath(path))
        try:
            _check_above(real)
            opened = cls(real, os.open(real, _DIRECTORY | os.O_NOFOLLOW))
        except OSError as fault:
            raise _refused(fault, f"{printable(real)} can't be used", real) from None
        try:
            _close_to_others(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    @classmethod
    def make(cls, path: Path) -> Self:
        """Create a directory with its parents if it is missing, and open it for writing. Raises as ``own`` does."""
        real = Path(os.path.realpath(path))
        try:
            _check_above(real)  # BEFORE anything is made there
            for missing in [ancestor for ancestor in (*reversed(real.parents), real) if not os.path.lexists(ancestor)]:
                with suppress(FileExistsError):
                    missing.mkdir(mode=PRIVATE_DIRECTORY)
        except OSError as fault:
            raise _refused(fault, f"{printable(real)} can't be made", real) from None
        return cls.own(real)

    # --- reading --------------------------------------------------------------------------------------------

    def read(self, name: str, largest_bytes: int = LARGEST_BYTES, *, start: int = 0) -> bytes | None:
        """Return a file's bytes from ``start`` on, None where there is no file.

        Raises FileDamaged (also for more than ``largest_bytes``), UsageFault where it can't be read, DiskFault.
        """
        descriptor = self.open(name, os.O_RDONLY)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as file:
            try:
                size = os.fstat(descriptor).st_size - start
                file.seek(start)
                body = file.read(largest_bytes + 1) if size <= largest_bytes else b""
            except OSError as fault:
                raise _refused(fault, f"{self.named(name)} can't be read", self.path / name) from None
        if max(size, len(body)) > largest_bytes:
            raise FileDamaged(
                f"{self.named(name)} has {max(size, len(body))} bytes; drfsm reads at most {largest_bytes}",
                hint="keep it for the investigation; resume from a copy of the bundle, or from its mirror in S3",
            )
        return body

    def names(self, name: str = "") -> list[str]:
        """Return the names in it, or in a directory below it, sorted; [] if that is missing."""
        with self._within(f"{name}/" if name else "", make=False) as (inner, _):
            if inner is None:
                return []
            try:
                return sorted(os.listdir(inner.descriptor))  # noqa: PTH208  a descriptor has no path
            except OSError as fault:
                raise _refused(fault, f"{self.named(name)} can't be read", self.path / name) from None

    def has(self, name: str) -> bool:
        """Whether the name exists, as any kind of file."""
        with self._within(name, make=False) as (inner, last):
            return inner is not None and _status(inner.descriptor, last) is not None

    def size(self, name: str) -> int:
        """Return a file's size in bytes, 0 if there is none."""
        with self._within(name, make=False) as (inner, last):
            status = _status(inner.descriptor, last) if inner is not None else None
        return status.st_size if status is not None else 0

    # --- writing --------------------------------------------------------------------------------------------

    def write(self, name: str, body: bytes, *, durable: bool = False) -> None:
        """Write a file so that a reader sees the old one or the new one, never a part; missing directories are created.

        ``durable``: it is on the disk when this returns. Raises FileDamaged for something else in its place, DiskFault.
        """
        with self._within(name) as (inner, last):
            assert inner is not None  # noqa: S101  it was made
            _check(inner, last, _status(inner.descriptor, last))
            draft = f".{last}.{os.getpid()}.{next(_DRAFTS)}"  # many threads may write one file
            try:
                _draft(inner, draft, body, durable=durable)
                os.rename(draft, last, src_dir_fd=inner.descriptor, dst_dir_fd=inner.descriptor)
                if durable:
                    os.fsync(inner.descriptor)
            except OSError as fault:
                _unlink(inner, draft)
                raise disk_fault(fault, f"{self.named(name)} can't be written", self.path / name) from None
            except BaseException:
                _unlink(inner, draft)
                raise

    def create(self, name: str) -> int:
        """Return the descriptor of a new file, open for writing. Raises UsageFault if there is one, DiskFault."""
        with self._within(name) as (inner, last):
            assert inner is not None  # noqa: S101  it was made
            try:
                return _made(inner, last, os.O_WRONLY)
            except FileExistsError:
                raise UsageFault(f"{self.named(name)} exists already", hint="choose another name") from None
            except OSError as fault:
                raise disk_fault(fault, f"{self.named(name)} can't be made", self.path / name) from None

    def append(self, name: str, body: bytes, *, durable: bool = False) -> None:
        """Append to a file, which is created if it is missing. Raises FileDamaged, DiskFault."""
        fresh = durable and not self.has(name)
        descriptor = self.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        assert descriptor is not None  # noqa: S101  it was made
        with os.fdopen(descriptor, "ab") as file:
            try:
                file.write(body)
                file.flush()
                if durable:
                    os.fdatasync(file.fileno())
            except OSError as fault:
                raise disk_fault(fault, f"{self.named(name)} can't be written", self.path / name) from None
        if fresh:
            with self._within(name) as (inner, _):
                assert inner is not None  # noqa: S101  the file lies there
                os.fsync(inner.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a link or the like in its place. An absent file is not an error.

        Raises FileDamaged for a directory in its place, DiskFault.
        """
        with self._within(name, make=False) as (inner, last):
            status = _status(inner.descriptor, last) if inner is not None else None
            if inner is None or status is None:
                return
            if stat.S_ISDIR(status.st_mode):
                raise FileDamaged(f"{self.named(name)} is a directory, not the file that drfsm keeps there")
            try:
                os.unlink(last, dir_fd=inner.descriptor)
            except FileNotFoundError:
                return
            except OSError as fault:
                raise disk_fault(fault, f"{self.named(name)} can't be removed", self.path / name) from None

    def link(self, name: str, target: Path) -> None:
        """Create a symbolic link to a directory elsewhere. Raises UsageFault if the name is taken, DiskFault."""
        try:
            os.symlink(target, name, dir_fd=self.descriptor)
        except OSError as fault:
            raise _refused(fault, f"{self.named(name)} can't be made", self.path / name) from None

    def sub(self, name: str, *, make: bool = True) -> Self | None:
        """Return a directory below this one, with the mode 0700; None if it is missing and not created.

        Raises FileDamaged for anything else in its place, DiskFault.
        """
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, PRIVATE_DIRECTORY, dir_fd=self.descriptor)
            inner = type(self)(self.path / name, os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.descriptor))
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise self._no_directory(name, fault) from None
        try:
            if make:
                _close_to_others(inner, below=True)
        except BaseException:
            inner.close()
            raise
        return inner

    def open(self, name: str, flags: int) -> int | None:
        """Return the descriptor of a checked file, None if there is none.

        With O_CREAT it is created if it is missing. Raises FileDamaged, UsageFault (unreadable), DiskFault.
        """
        making = bool(flags & os.O_CREAT)
        with self._within(name, make=making) as (inner, last):
            if inner is None:
                return None
            try:
                return _opened(inner, last, flags & ~os.O_CREAT, making=making)
            except OSError as fault:
                if flags & (os.O_WRONLY | os.O_RDWR):
                    raise disk_fault(fault, f"{self.named(name)} can't be written", self.path / name) from None
                raise _refused(fault, f"{self.named(name)} can't be read", self.path / name) from None

    def named(self, name: str) -> str:
        """Return a file's path for a message."""
        return printable(self.path / name)

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        """Return the directory."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- how ------------------------------------------------------------------------------------------------

    @contextmanager
    def _within(self, name: str, *, make: bool = True) -> Iterator[tuple["Directory | None", str]]:
        """Yield the directory of a name's last part (None if it is missing), and that part."""
        *above, last = name.split("/")
        current: Directory | None = self
        try:
            for part in above:
                inner = current.sub(part, make=make) if current is not None else None
                if current is not None and current is not self:
                    current.close()
                current = inner
            yield current, last
        finally:
            if current is not None and current is not self:
                current.close()

    def _no_directory(self, name: str, fault: OSError) -> DrfsmError:
        status = _status(self.descriptor, name)
        if status is None or stat.S_ISDIR(status.st_mode):
            return disk_fault(fault, f"{self.named(name)} can't be used", self.path / name)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a file")
        return FileDamaged(f"{self.named(name)} is {kind}, not the directory that drfsm keeps there")


def _opened(directory: Directory, name: str, flags: int, *, making: bool) -> int | None:
    while True:
        status = _status(directory.descriptor, name)
        _check(directory, name, status)  # BEFORE it is opened: opening a device or a FIFO has effects
        if status is None and not making:
            return None
        if status is None:
            with suppress(FileExistsError):
                return _made(directory, name, flags)
            continue
        try:
            descriptor = os.open(name, flags | _SAFE, dir_fd=directory.descriptor)
        except FileNotFoundError:
            continue  # it was replaced in this moment
        try:
            opened = os.fstat(descriptor)
            if opened.st_nlink:
                _check(directory, name, opened)
                if flags & (os.O_WRONLY | os.O_RDWR) and opened.st_mode & ~stat.S_IFREG & ~PRIVATE_FILE:
                    os.fchmod(descriptor, PRIVATE_FILE)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was replaced in this moment


def _made(directory: Directory, name: str, flags: int) -> int:
    descriptor = os.open(name, flags | _SAFE | os.O_CREAT | os.O_EXCL, PRIVATE_FILE, dir_fd=directory.descriptor)
    os.fchmod(descriptor, PRIVATE_FILE)  # whatever the umask removed
    return descriptor


def _draft(directory: Directory, draft: str, body: bytes, *, durable: bool) -> None:
    _unlink(directory, draft)  # left by a killed process with the same number
    with os.fdopen(_made(directory, draft, os.O_WRONLY), "wb") as file:
        file.write(body)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _unlink(directory: Directory, draft: str) -> None:
    with suppress(OSError):
        os.unlink(draft, dir_fd=directory.descriptor)


def _check(directory: Directory, name: str, status: os.stat_result | None) -> None:
    """Raise FileDamaged for a name that is not a file of drfsm's."""
    if status is None:
        return
    kind, label = stat.S_IFMT(status.st_mode), directory.named(name)
    if kind != stat.S_IFREG:
        raise FileDamaged(f"{label} is {_KINDS.get(kind, 'no file')}, not the file that drfsm keeps there")
    if status.st_nlink > 1:
        raise FileDamaged(
            f"{label} has {status.st_nlink} names (hard links): writing to it would change another file, too",
            hint=f"resume from a copy of the bundle: cp -r {printable(directory.path)} <a new directory>",
        )
    if status.st_uid not in (os.geteuid(), 0, os.fstat(directory.descriptor).st_uid):
        raise FileDamaged(f"{label} belongs to the user {status.st_uid}, not to the user who runs drfsm")


def _close_to_others(directory: Directory, *, below: bool = False) -> None:
    """Make sure that only its owner may enter. Raises UsageFault for a directory that other users can write to.

    ``below``: its parent is already protected.
    """
    status = os.fstat(directory.descriptor)
    if status.st_uid not in (os.geteuid(), 0):
        raise UsageFault(
            f"{printable(directory.path)} belongs to the user {status.st_uid}, not to the user who runs drfsm",
            hint="name a directory of your own",
        )
    if not below and _others_write(status):
        raise _writable(directory.path)
    if stat.S_IMODE(status.st_mode) != PRIVATE_DIRECTORY and status.st_uid == os.geteuid():
        try:
            os.fchmod(directory.descriptor, PRIVATE_DIRECTORY)
        except OSError as fault:
            raise disk_fault(fault, f"{printable(directory.path)} can't be closed to others", directory.path) from None


def _status(directory: int, name: str) -> os.stat_result | None:
    """Return the status of a name without following a link; None if it does not exist."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _check_above(path: Path) -> None:
    """Raise UsageFault if another user could replace this directory."""
    for above in path.parents:
        try:
            status = above.stat(follow_symlinks=False)
        except FileNotFoundError:  # it is not created yet
            continue
        if status.st_uid not in (os.geteuid(), 0):
            raise UsageFault(
                f"{printable(above)} belongs to the user {status.st_uid}, who could put another {printable(path.name)}"
                " in its place",
                hint="name a directory below your own home",
            )
        if _others_write(status) and not status.st_mode & stat.S_ISVTX:
            raise _writable(above)


def _others_write(status: os.stat_result) -> bool:
    """Whether another user may write there. A group with one user only, as many systems give it, does not count."""
    if not status.st_mode & _OTHERS_WRITE:
        return False
    return bool(status.st_mode & stat.S_IWOTH) or not _is_own_group(status.st_gid)


def _is_own_group(group: int) -> bool:
    """Whether a group is this user's private group: the primary one, with the user's name and no other member."""
    import grp
    import pwd

    try:
        user, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and members.gr_name == user.pw_name and set(members.gr_mem) <= {user.pw_name}


def _writable(path: Path) -> UsageFault:
    named = printable(path)
    return UsageFault(
        f"others may write to {named}: they could change what a run keeps there",
        hint=f"name a directory of your own; or check its contents and protect it: chmod go-w {named}",
    )
