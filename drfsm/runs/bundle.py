"""A run's bundle on disk: which directory it is, and what is written into it besides the journal.

    state_transitions.log      the journal (adapters/file_journal.py)
    <machine>.yaml             the declaration that the run is pinned to
    <machine>.summary.json     derived; made true by every record, and by `status` after a SIGKILL
    steps/NN-<trigger>.log     what each step saw and said
    alarm_history.json         a failback's with alarms: derived (derived_files.py)
    progress.log               the rest of a run's progress, from when its terminal was closed (cli/say.py)
    notices.log                which notices were sent of the run, to whom, and why not (notifying.py); no address
    traces.sent                up to which record a collector has the run's spans (tracing.py)
    phases/, private/, logs/   a drill's: derived files (derived_files.py), and the files of its site (clusters.py)

Bundles live in ``<home>/runs/<run id>``; one that ``--receipt-dir`` put elsewhere has a link there. Every file is
opened and written by files.py: nobody else may read it, and no link is followed. What a summary knows of its log (its
head, its length) is an anchor: a log that says otherwise was cut off or rewritten (``contradiction``), and one that
is empty beside what a run left was emptied (``check_not_emptied``). Loads nothing heavy: `status` stands on this.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

from drfsm.claims import bounded, object_of, printable
from drfsm.errors import DiskFault, FileDamaged, JournalDamaged, Unreadable, UsageFault
from drfsm.files import Directory

LOG, LOCK, HOLD = "state_transitions.log", ".lock", ".hold"
_BEFORE_A_RUN = re.compile(
    r"\.lock|\.hold|plan\.json|[a-z][a-z0-9_]*\.yaml|private|steps|\.[a-z][A-Za-z0-9_.]*\.[0-9]+"
)
"""What a start that was killed before its first record may have left in a directory."""
_SUMMARY = re.compile(r"[a-z][a-z0-9_]*\.summary\.json")
_DERIVED = re.compile(r"[0-9]{2,}-[A-Za-z0-9_-]+\.log|[a-z_]+\.(receipt\.json|attempt-[0-9]+\.log)")
HEAD_BYTES = 74  # of a line in <home>/heads: eight digits, a space, a SHA-256, a newline
_HOLD_BYTES = 8000
_SUMMARY_BYTES = 64 << 20
WHERE = "name the bundle's directory; or look for the run's mirror: drfsm list s3://<bucket>/<prefix>"
_MIRROR = "drfsm resume s3://<bucket>/<prefix>/drfsm/runs/<run>"


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where drfsm keeps its runs: DRFSM_HOME, else below XDG_STATE_HOME."""
    if named := environ.get("DRFSM_HOME"):
        return Path(named)
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "drfsm"


def own_home() -> Directory:
    """Open drfsm's home to write in, made where it is not there. Raises UsageFault, DiskFault."""
    return Directory.make(home())


def runs() -> Iterator[Path]:
    """Yield the bundles that this machine knows, newest first, each once; also one whose journal is damaged or gone.

    A bundle that lies here under another name than its run's id (a second drill beside the first) has a link, too.
    """
    try:
        with Directory.look(home()) as directory:
            places = [home() / "runs" / name for name in directory.names("runs")]
    except UsageFault:
        return
    once = {os.path.realpath(place): place for place in sorted(places)}.values()
    yield from (place for _, place in sorted(((_age(place), place) for place in once if _is_one(place)), reverse=True))


def _is_one(place: Path) -> bool:
    try:
        return os.path.lexists(place / LOG) or bool(traces(place))
    except (UsageFault, FileDamaged, DiskFault):
        return False


def _age(place: Path) -> int:
    for path in (place / LOG, place):
        try:
            return path.stat(follow_symlinks=False).st_ctime_ns
        except OSError:
            continue
    return 0


def find(named: str) -> Path:
    """Return a bundle by directory or run id; selection.py says which one a command without a name means.

    Raises UsageFault, JournalDamaged for one that a run left traces in and that has no journal.
    """
    for candidate in (Path(named), home() / "runs" / named):
        if candidate.name == LOG and os.path.lexists(candidate):
            return candidate.parent.resolve()
        if os.path.lexists(candidate / LOG):
            return candidate.resolve()
        if candidate.is_dir() and (left := traces(candidate)):
            raise _emptied(candidate, left, "has no journal (state_transitions.log)")
    raise UsageFault(f"{bounded(named)} is no bundle: it holds no {LOG}", hint="drfsm list shows the known runs")


def new(run_id: str, receipt_dir: str | None) -> Path:
    """Return the directory for a new run, made and empty, with the mode 0700.

    Raises UsageFault if it holds a run already, or anything else, or others may write to it; DiskFault.
    """
    place = Path(receipt_dir).absolute() if receipt_dir else home() / "runs" / run_id
    with own_home() as ours, Directory.make(place) as directory:
        inside = directory.names()
        if LOG in inside:
            raise UsageFault(
                f"{place} already holds a run", hint=f"drfsm resume {quote(str(place))}, or another --receipt-dir"
            )
        if foreign := [name for name in inside if not _BEFORE_A_RUN.fullmatch(name)] or _left_in(place):
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""  # noqa: PLR2004  enough to know it by
            raise UsageFault(
                f"{printable(place)} holds files of something else: {', '.join(map(printable, foreign[:3]))}{more}",
                hint="give a --receipt-dir that is empty or does not exist yet",
            )
        known = ours.sub("runs")
        assert known is not None  # noqa: S101  it was made
        with known:
            if receipt_dir and not _leads_to(home() / "runs" / run_id, place):
                known.link(run_id, place)
    return place


def _leads_to(link: Path, place: Path) -> bool:
    """Whether a start that began nothing left its link to this place."""
    try:
        return link.readlink() == place
    except OSError:
        return False


def has_begun(place: Path) -> bool:
    """Whether the run of a bundle has a first record. What can't be looked at counts as begun."""
    try:
        return (place / LOG).stat(follow_symlinks=False).st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def ask_hold(place: Path, operator: str, reason: str) -> None:
    """Ask the process that works on a bundle to stop before its next step."""
    replace(place / HOLD, f"{operator} asked to hold: {reason}".encode("utf-8", "backslashreplace"))


def asked_hold(place: Path, *, forget: bool = False) -> str:
    """Return who asked this run to hold, and why; "" if nobody did. ``forget`` removes the request.

    A request that cannot be read is a reason to hold, too.
    """
    if forget:
        with Directory.own(place) as directory:
            directory.remove(HOLD)
        return ""
    try:
        with Directory.look(place) as directory:
            asked = directory.read(HOLD, _HOLD_BYTES)
    except FileDamaged as fault:
        return fault.what
    except UsageFault:  # the bundle is gone: its journal says so at the next record
        return ""
    return bounded(asked.decode("utf-8", "replace"), _HOLD_BYTES) if asked is not None else ""


def replace(path: Path, body: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half.

    A journal or a declaration, from which a run continues, is on the disk when this returns. Raises DiskFault,
    FileDamaged, UsageFault.
    """
    with Directory.own(path.parent) as directory:
        directory.write(path.name, body, durable=path.name == LOG or path.suffix == ".yaml")


# --- anchors --------------------------------------------------------------------------------------------


def anchor(place: Path, machine: str) -> tuple[str, int] | None:
    """Return the head and the number of records that the summary in a bundle knows; None where there is no summary.

    A summary that can't be read counts as none: it is made anew from the log. Raises FileDamaged for a link.
    """
    name = f"{machine}.summary.json"
    with Directory.look(place) as directory:
        raw = directory.read(name, _SUMMARY_BYTES)
    try:
        journal = object_of(raw or b"", name, largest_bytes=_SUMMARY_BYTES).get("journal")
    except Unreadable:
        return None
    head, count = (journal.get("head"), journal.get("records")) if isinstance(journal, dict) else (None, None)
    return (head, count) if isinstance(head, str) and isinstance(count, int) and count > 0 else None


def contradiction(place: Path, machine: str, lines: Sequence[bytes]) -> str:
    """Return how a log's raw lines contradict the summary beside them, "" where they don't.

    A log that has grown since then is no contradiction: a record is written before the summary.
    """
    from drfsm.journal import digest

    known = anchor(place, machine)
    if known is None:
        return ""
    head, count = known
    whole = [line for line in lines if line.endswith(b"\n")]
    if len(whole) < count:
        return f"{machine}.summary.json knows {count} records, the log holds {len(whole)}: it was cut off"
    if digest(whole[count - 1]) != head:
        expected = f"another record {count - 1} (head {bounded(head, 64)})"
        return f"{machine}.summary.json knows {expected}: the log was rewritten"
    return ""


def traces(place: Path) -> list[str]:
    """Return what only a run with records leaves: a summary, steps, phases in its bundle; heads in this user's home."""
    return _left_in(place) + [f"{home() / 'heads' / run_id}" for run_id in _ids(place) if _heads(run_id) > 1]


def _left_in(place: Path) -> list[str]:
    with Directory.look(place) as directory:
        names = directory.names()
        left = [name for name in names if _SUMMARY.fullmatch(name)]
        inside = {name: directory.names(name) for name in ("steps", "phases") if name in names}
        return left + [f"{name}/" for name, files in inside.items() if any(map(_DERIVED.fullmatch, files))]


def _ids(place: Path) -> Iterator[str]:
    """Yield the ids under which this machine knows a bundle."""
    known = home() / "runs"
    if known.is_dir():
        with Directory.look(known) as directory:
            yield from (name for name in directory.names() if os.path.realpath(known / name) == os.path.realpath(place))


def _heads(run_id: str) -> int:
    """Return how many heads of a run's records this machine keeps (heads.py); one may be of a record not written."""
    with Directory.look(home()) as directory:
        return directory.size(f"heads/{run_id}") // HEAD_BYTES


def check_not_emptied(place: Path, records: Sequence[object]) -> None:
    """Raise JournalDamaged for a journal without a record beside what only a run with records leaves."""
    if not records and (left := traces(place)):
        raise _emptied(place, left, "has a journal without a record")


def _emptied(place: Path, left: Sequence[str], what: str) -> JournalDamaged:
    return JournalDamaged(
        f"{printable(place)} {what}, and {', '.join(left)} say that a run was at work: its records were removed",
        line=1,
        hint="keep the bundle for the investigation; resume from the run's mirror, in another directory:"
        f" DRFSM_HOME=<a new directory> {_MIRROR}",
    )
