"""The program that saves or restores a volume, from inside the cluster: ``python3 -c <this file>``.

It runs in a pod of the workload's image, so it needs only Python's standard library (3.8 or later). Its working
directory contains ``state`` (the volume) and ``scratch`` (an emptyDir). The last line of its output is JSON: the
result, or ``{"fault": ...}`` with exit status 1. It never prints the URL, which is a secret.

    DRFSM_VERB      save: the volume's regular files → an archive → DRFSM_URL (PUT)
                    restore: DRFSM_URL (GET) → an archive → the volume
    DRFSM_MOST      the most bytes to save; a larger volume is refused before anything is copied
    DRFSM_SHA256    the hash of the archive to restore
    DRFSM_REPLACE   1: the volume's present content is replaced

A restore is unpacked into a directory of its own, read again, and only then moved into place. ``.drfsm-restoring``
names the archive during the move, so that a killed restore can be repeated, and a partial one is never taken for
complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Iterator  # noqa: UP035  Python 3.8 runs this too

STATE, SCRATCH = Path("state"), Path("scratch/state.tar")
BESIDE, MARKER = STATE / ".drfsm-beside", STATE / ".drfsm-restoring"
NOT_STATE = ("lost+found", BESIDE.name, MARKER.name)
PIECE_BYTES, TRIES, SECONDS = 1 << 20, 3, 300


class Fault(Exception):
    """The reason why the volume can't be saved or restored."""


def main() -> int:
    """Do what DRFSM_VERB says, and print the result."""
    try:
        done = {"save": save, "restore": restore}[os.environ["DRFSM_VERB"]]()
    except Fault as fault:
        done = {"fault": str(fault)}
    except OSError as fault:
        done = {"fault": f"{type(fault).__name__}: {fault.strerror or fault}"}
    print(json.dumps(done, sort_keys=True), flush=True)  # noqa: T201  this is how a pod answers
    return 1 if "fault" in done else 0


def save() -> dict[str, Any]:
    """Archive the volume's regular files and upload them; links and devices are skipped and reported."""
    skipped, size = [], sum(path.lstat().st_size for path in walk(STATE))
    if size > int(os.environ["DRFSM_MOST"]):
        raise Fault(f"the volume has {size} bytes; a backup takes at most {os.environ['DRFSM_MOST']}")
    with tarfile.open(SCRATCH, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in walk(STATE):
            if path.is_symlink() or not path.is_file():
                skipped.append(str(path))
            else:
                add(tar, path)
    tried(send)
    sha256, size = digest(SCRATCH)
    return {"sha256": sha256, "bytes": size, "skipped": skipped[:100], **tree(STATE)}


def walk(home: Path) -> Iterator[Path]:
    """Yield every non-directory below a directory, in order; links are not followed."""
    for path in sorted(home.iterdir()):
        if home == STATE and path.name in NOT_STATE:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def add(tar: tarfile.TarFile, path: Path) -> None:
    """Add a file, and make sure that it did not change meanwhile."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        info = tarfile.TarInfo(path.as_posix())
        info.size, info.mtime, info.mode = before.st_size, int(before.st_mtime), before.st_mode & 0o777
        tar.addfile(info, file)
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Fault(f"{path} changed while it was read: a job is still writing")


def send() -> None:
    """Upload the archive."""
    with SCRATCH.open("rb") as body:
        asked = urllib.request.Request(os.environ["DRFSM_URL"], data=body, method="PUT")  # noqa: S310  a presigned URL
        asked.add_header("Content-Length", str(SCRATCH.stat().st_size))
        asked.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310  likewise
            answer.read()


def restore() -> dict[str, Any]:
    """Download the archive, check it, unpack it beside, and move it into place."""
    tried(fetch)
    sha256, size = digest(SCRATCH)
    if sha256 != os.environ["DRFSM_SHA256"]:
        raise Fault(f"the downloaded archive has the SHA-256 {sha256}, not {os.environ['DRFSM_SHA256']}")
    # The marker is written only with permission and after unpacking: the content is then a partial move.
    begun = MARKER.exists() and MARKER.read_text() == sha256
    occupied = [path for path in sorted(STATE.iterdir()) if path.name not in NOT_STATE]
    if occupied and not begun and os.environ.get("DRFSM_REPLACE") != "1":
        raise Fault(f"the volume is not empty: {', '.join(path.name for path in occupied[:10])}")
    lay_out()
    laid_out = tree(BESIDE)
    with MARKER.open("w") as file:
        file.write(sha256)
        file.flush()
        os.fsync(file.fileno())
    move(occupied)
    if (restored := tree(STATE)) != laid_out:
        raise Fault(f"the volume differs from the unpacked archive: {restored['files']} files of {laid_out['files']}")
    os.sync()
    MARKER.unlink()
    return {"sha256": sha256, "bytes": size, **restored}


def fetch() -> None:
    """Download the archive."""
    with urllib.request.urlopen(os.environ["DRFSM_URL"], timeout=SECONDS) as answer, SCRATCH.open("wb") as file:  # noqa: S310
        shutil.copyfileobj(answer, file, PIECE_BYTES)


def lay_out() -> None:
    """Write the archive's files below BESIDE without tarfile's extraction, whose filters have been bypassed before."""
    if BESIDE.exists():
        shutil.rmtree(BESIDE)
    BESIDE.mkdir()
    with tarfile.open(SCRATCH, "r:") as tar:
        for member in tar:
            parts = member.name.split("/")
            if parts[0] != STATE.name or any(part in ("", ".", "..", *NOT_STATE) for part in parts):
                raise Fault(f"the member {member.name!r} is not below {STATE}/")
            if member.isdir():
                continue
            content = tar.extractfile(member) if member.isreg() and len(parts) > 1 else None
            if content is None:
                raise Fault(f"the member {member.name!r} is not a regular file")
            target = BESIDE.joinpath(*parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(target, flags, member.mode & 0o777 | 0o600), "wb") as file:
                shutil.copyfileobj(content, file, PIECE_BYTES)
            os.utime(target, (member.mtime, member.mtime))


def move(occupied: list[Path]) -> None:
    """Remove the earlier content, and move the unpacked files into place."""
    for path in occupied:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in sorted(BESIDE.iterdir()):
        path.rename(STATE / path.name)
    BESIDE.rmdir()


def digest(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and size."""
    file_digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            file_digest.update(piece)
            size += len(piece)
    return file_digest.hexdigest(), size


def tree(home: Path) -> dict[str, Any]:
    """Return how many regular files lie below a directory, and one digest over all names and contents."""
    tree_digest, files = hashlib.sha256(), 0
    regular = [path for path in walk(home) if path.is_file() and not path.is_symlink()]
    for name, path in sorted((path.relative_to(home).as_posix(), path) for path in regular):
        tree_digest.update(f"{name}\0{digest(path)[0]}\n".encode("utf-8", "surrogateescape"))
        files += 1
    return {"files": files, "tree_sha256": tree_digest.hexdigest()}


def tried(request: Callable[[], None]) -> None:
    """Make a request; retry a temporary failure."""
    for number in range(1, TRIES + 1):
        try:
            request()
        except urllib.error.HTTPError as fault:
            if fault.code < 500 or number == TRIES:  # noqa: PLR2004  a server's fault may pass, ours won't
                raise Fault(f"the store answered {fault.code}") from None
        except OSError as fault:
            if number == TRIES:
                raise Fault(f"the store does not answer: {type(fault).__name__}") from None
        else:
            return
        time.sleep(number)


if __name__ == "__main__":
    sys.exit(main())
