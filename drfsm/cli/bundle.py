"""A run's bundle on disk: which directory it is, and what is written into it besides the journal.

    state_transitions.log      the journal (adapters/file_journal.py)
    <machine>.yaml             the declaration that the run is pinned to
    <machine>.summary.json     derived; made true by every record, and by `status` after a SIGKILL
    steps/NN-<trigger>.log     what each step saw and said

Bundles live in ``<home>/runs/<run id>``; one that ``--receipt-dir`` put elsewhere has a link there.
Loads nothing heavy: `status` stands on this.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from drfsm.errors import UsageFault

LOG = "state_transitions.log"


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where drfsm keeps its runs: DRFSM_HOME, else below XDG_STATE_HOME."""
    if given := environ.get("DRFSM_HOME"):
        return Path(given)
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "drfsm"


def runs() -> Iterator[Path]:
    """Yield the bundles that this machine knows, newest first."""
    links = [each for each in (home() / "runs").glob("*") if (each / LOG).is_file()]
    yield from sorted(links, key=lambda each: (each / LOG).stat().st_ctime_ns, reverse=True)


def find(named: str | None) -> Path:
    """Return a bundle by directory or run id; without a name the newest. Raises UsageFault.

    Without a name a run that another one started stands for that one: going on with the child alone would leave its
    parent lying, and what the parent has to take down.
    """
    if named is None:
        newest = next(runs(), None)
        if newest is None:
            raise UsageFault(f"no run is known in {home() / 'runs'}", way="name the bundle's directory")
        place = newest.resolve()
        return place.parent if (place.parent / LOG).is_file() else place
    for candidate in (Path(named), home() / "runs" / named):
        if (candidate / LOG).is_file():
            return candidate.resolve()
        if candidate.name == LOG and candidate.is_file():
            return candidate.parent.resolve()
    raise UsageFault(f"{named} is no bundle: it holds no {LOG}", way="drfsm list")


def new(run_id: str, receipt_dir: str | None) -> Path:
    """Return the directory for a new run, made and empty. Raises UsageFault if it holds a run already."""
    place = Path(receipt_dir).absolute() if receipt_dir else home() / "runs" / run_id
    if (place / LOG).exists():
        raise UsageFault(
            f"{place} already holds a run", way=f"drfsm resume {quote(str(place))}, or another --receipt-dir"
        )
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if receipt_dir:
            link = home() / "runs" / run_id
            link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            link.symlink_to(place)
    except OSError as fault:
        raise UsageFault(f"the bundle can't be made: {fault.strerror}: {fault.filename}") from None
    return place


HOLD = ".hold"


def ask_hold(place: Path, operator: str, reason: str) -> None:
    """Ask whoever works on a bundle to stop before the next step."""
    replace(place / HOLD, f"{operator} asked to hold: {reason}".encode())


def asked_hold(place: Path, *, forget: bool = False) -> str:
    """Return who asked this run to hold, and why; "" if nobody did. ``forget``: the question is answered."""
    path = place / HOLD
    try:
        asked = path.read_text(encoding="utf-8")
    except OSError:
        return ""
    if forget:
        path.unlink(missing_ok=True)
    return asked


def replace(path: Path, body: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(body)
    draft.replace(path)
