"""The page that `drfsm status` showed last, to be shown again as long as nothing of what it was made from has changed.

What a page was made from is every run of this computer: of each the files of its bundle by inode, size and both times,
which no write leaves as they were, and whether a process works on it. If anything differs (a run at work, a record, a
file, another argument, another drfsm) there is no such page, and `status` reads and verifies everything. Durations are
counted anew. A page is kept only where what it was made from did not change meanwhile, nor in the seconds before: a
clock's ticks are coarse.

``recall`` is called by door.py, before click, attrs or a journal is loaded, and imports none of them. ``remember`` is
called by status.py.
"""

import fcntl
import os
import stat
import sys
import time

from drfsm import __version__
from drfsm.evidence.durations import filled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE = "status.page"
LOG, LOCK = "state_transitions.log", ".lock"
_LARGEST_BYTES = 16 << 20
_SETTLED_SECONDS = 2
_CODE = ("cli/status_page.py", "cli/fitting.py", "evidence/standing.py", "evidence/remains.py", "evidence/wording.py",
         "runs/selection.py")  # fmt: skip


class AtWork(Exception):
    """A process works on a run, or what is there is not what drfsm leaves: no page is kept, and none is shown."""


def recall(words: "Sequence[str]") -> str | None:
    """Return the page for these arguments of `status`, None where it has to be made."""
    if not is_plain(words):
        return None
    try:
        kept = _read(os.path.join(home(), PAGE))
        origin, _, page = kept.partition("\n")
        if not origin or origin != made_from(words):
            return None
        return filled(page, time.time())
    except (OSError, ValueError, AtWork):
        return None


def is_plain(words: "Sequence[str]") -> bool:
    """Whether a page for these arguments may be kept: at most a name, no option, no mirror, no prices."""
    named = len(words) == 0 or (len(words) == 1 and not words[0].startswith(("-", "s3://")))
    return named and not os.environ.get("DRFSM_PRICES")


def home() -> str:
    """Return drfsm's home, as runs/bundle.py does."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.environ.get("DRFSM_HOME") or os.path.join(state, "drfsm")


def _read(path: str) -> str:
    """Return what is kept. Raises OSError, AtWork for a file that is not this user's alone, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8", newline="\n") as file:
        about = os.fstat(descriptor)
        is_ours = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
        if not is_ours or about.st_nlink != 1 or about.st_size > _LARGEST_BYTES:
            raise AtWork
        return file.read()


def made_from(words: "Sequence[str]", *, settled: bool = False) -> str:
    """Return, on one line, what the page for these arguments is made from.

    Raises AtWork where a process works on a run, and with ``settled`` where a file was changed just now; OSError.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = [os.stat(os.path.join(package, name)).st_mtime_ns for name in _CODE]
    runs = os.path.join(home(), "runs")
    names = sorted(os.listdir(runs))
    places = {os.path.realpath(os.path.join(runs, name)) for name in names}
    named = [os.path.realpath(word) for word in words]
    places |= {place if os.path.isdir(place) else os.path.dirname(place) for place in named}
    # A drill's promote lies in the drill's bundle, which stands for it.
    places |= {os.path.dirname(place) for place in places if os.path.lexists(os.path.join(os.path.dirname(place), LOG))}
    files = [(place, list(_files(place))) for place in sorted(places)]
    newest = max((at for _, found in files for about in found for at in about[-2:]), default=0)
    if settled and time.time_ns() - newest < _SETTLED_SECONDS * 1_000_000_000:
        raise AtWork
    return repr((__version__, sys.version, code, os.getcwd(), list(words), home(), names, files))


def _files(place: str) -> "Iterator[tuple[str, int, int, int, int, int]]":
    """Yield (name, inode, mode, size, mtime, ctime) of each file of a bundle. Raises AtWork, OSError."""
    for below in ("", "phases"):
        directory = os.path.join(place, below) if below else place
        if not os.path.isdir(directory):
            continue
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                about = entry.stat(follow_symlinks=False)
                if entry.name == LOCK and not below:
                    _check_free(entry.path, about.st_mode)
                yield (os.path.join(below, entry.name), about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns,
                       about.st_ctime_ns)  # fmt: skip


def _check_free(path: str, mode: int) -> None:
    """Raise AtWork if a process holds a bundle's lock, or the lock is no plain file."""
    if not stat.S_ISREG(mode):
        raise AtWork
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AtWork from None
    finally:
        os.close(descriptor)


def before(words: "Sequence[str]") -> str:
    """Return what a page is about to be made from; "" where it can't be kept."""
    try:
        return made_from(words, settled=True) if is_plain(words) else ""
    except (OSError, AtWork):
        return ""


def remember(origin: str, words: "Sequence[str]", page: "Iterable[str]") -> None:
    """Keep a page, its durations marked, if what it was made from is still as it was. A full disk keeps none."""
    from contextlib import suppress

    from drfsm.errors import DrfsmError
    from drfsm.runs import bundle

    if origin and before(words) == origin:
        text = "\n".join([origin, *page]) + "\n"
        with suppress(DrfsmError, OSError), bundle.own_home() as directory:
            directory.write(PAGE, text.encode("utf-8", "backslashreplace"))
