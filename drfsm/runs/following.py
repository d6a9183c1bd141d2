"""A run's journal while it grows: its file on this computer, or its mirror in S3. Reads only.

``look`` returns every whole line so far, verified as one chain. A line that is being written, or was cut off, is left
until it is whole. Lines that were read once stay: a journal that lost one, or has another in its place, is damaged.
A mirror is asked for the next record only, so that it may lag behind, and for the lease, to learn that another run took
it. Called by `drfsm watch`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from drfsm.adapters.file_journal import holder, read_lines
from drfsm.claims import LARGEST_BYTES, object_of
from drfsm.errors import DrfsmError, FileDamaged, JournalDamaged, Unreadable, UsageFault
from drfsm.journal import RunState, fold, read
from drfsm.journal.mirror import home_of, key_of
from drfsm.runs import bundle, mirrors, pace, selection

_MOST_AT_ONCE = 2000
"""Records of a mirror that one look reads: what there is more is read by the next."""


class Followed(Protocol):
    """A journal that grows."""

    named: str
    """By what the commands find the run."""

    def look(self) -> Sequence[bytes]:
        """Return every whole line so far. Raises JournalDamaged, Unreachable, ActionFailed, EvidenceFault."""

    def at_work(self) -> bool | None:
        """Whether a process works on the run; None where only another computer knows."""

    def heir(self, state: RunState) -> str:
        """Return the run that took this one over, "" where none is known. Raises as ``look``."""

    def earlier(self, state: RunState) -> Iterable[pace.Earlier]:
        """Yield earlier runs of the same procedure, newest first. Raises as ``look``."""


class InFile:
    """The journal of a bundle."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.named = place.name if place.parent == (bundle.home() / "runs").resolve() else str(place)
        self._lines: Sequence[bytes] = ()
        self._seen: tuple[int, ...] = ()

    def look(self) -> Sequence[bytes]:
        """Return every whole line so far; the file is read where it has changed."""
        seen = self._times()
        if seen != self._seen or not seen:
            lines = read_lines(self._place)
            whole = tuple(line for line in lines if line.endswith(b"\n"))
            _check_kept(self._lines, whole, str(self._place))
            read(lines)
            self._lines, self._seen = whole, seen
        return self._lines

    def _times(self) -> tuple[int, ...]:
        try:
            stat = (self._place / bundle.LOG).stat(follow_symlinks=False)
        except OSError:
            return ()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def at_work(self) -> bool | None:
        """Whether a process of this computer works on the run."""
        try:
            return holder(self._place) is not None
        except FileDamaged:
            return None

    def heir(self, state: RunState) -> str:
        """Return the run of this computer that took this one over and changed the sites since."""
        return next((run.superseded_by for run in selection.known_runs() if run.id == state.run_id), "")

    def earlier(self, state: RunState) -> Iterable[pace.Earlier]:
        """Yield what the bundles of this computer tell."""
        return pace.here(state.machine, state.inputs, state.scope)


class InMirror:
    """The journal in a bucket."""

    def __init__(self, uri: str, places: Mapping[str, str]) -> None:
        self.named = uri
        self._places = places
        self._mirror: mirrors.Mirror | None = None
        self._lines: tuple[bytes, ...] = ()

    def look(self) -> Sequence[bytes]:
        """Return every record so far; only those are read that were not there before."""
        if self._mirror is None:
            mirror = mirrors.open_mirror(self.named, self._places)
            mirrors.state_of(mirror)  # whose records these are
            self._mirror, self._lines = mirror, mirror.lines
            return self._lines
        more: list[bytes] = []
        for number in range(len(self._lines), len(self._lines) + _MOST_AT_ONCE):
            blob = self._mirror.store.get(key_of(self._mirror.home, number), largest_bytes=LARGEST_BYTES)
            if blob is None:
                break
            more.append(blob.body)
        if more:
            lines = (*self._lines, *more)
            if torn := read(lines).torn:
                raise JournalDamaged(
                    f"{self.named}: record {len(lines) - 1} is incomplete ({len(torn)} bytes without a newline)",
                    line=len(lines),
                    hint="drfsm writes records whole: find out who wrote this one",
                )
            self._lines = lines
        return self._lines

    def at_work(self) -> bool | None:
        """Nobody can tell from afar."""
        return None

    def heir(self, state: RunState) -> str:
        """Return the run that the lease was taken over by, as the lease says."""
        if self._mirror is None:
            return ""
        blob = self._mirror.store.get(f"{self._mirror.prefix}/drfsm/lease.json", largest_bytes=LARGEST_BYTES)
        try:
            lease = object_of(blob.body if blob else b"{}", "the lease")
        except Unreadable:
            return ""
        taken = lease.get("taken_over_from") == state.run_id and lease.get("run_id") != state.run_id
        return str(lease.get("run_id")) if taken else ""

    def earlier(self, state: RunState) -> Iterable[pace.Earlier]:
        """Yield what the mirrors below the same prefix tell."""
        if self._mirror is None:
            return ()
        return pace.below(self._mirror.store, home_of(self._mirror.prefix, ""), state.machine, state.scope)


def _check_kept(before: Sequence[bytes], now: Sequence[bytes], where: str) -> None:
    """Raise JournalDamaged for a journal that lost a line which was read before, or has another one."""
    if tuple(now[: len(before)]) != tuple(before):
        line = next((n for n, (old, new) in enumerate(zip(before, now, strict=False)) if old != new), len(now)) + 1
        raise JournalDamaged(
            f"{where}: line {line} was there when this watch read it, and is gone or altered now",
            line=line,
            hint="keep the bundle for the investigation; the run's mirror in S3 has the records",
        )


def followed(named: str | None, *, remote: bool, bucket: str, prefix: str, places: Mapping[str, str]) -> Followed:
    """Return the journal of the run that is named: a bundle, a run's id, a mirror, or with a bucket a run in it.

    ``remote``: the mirror of a run of this computer. Without a name the run that is open, or the newest; in a bucket
    the newest. Raises UsageFault where there is none, JournalDamaged.
    """
    if mirrors.is_mirror(named):
        return InMirror(named, places)
    if bucket:
        where = mirrors.address(bucket, prefix)
        return InMirror(f"{where}/drfsm/runs/{named or _newest(where, places)}", places)
    place = selection.find(named, to_read=True)
    return InMirror(*mirror_of(place, places)) if remote else InFile(place)


def _newest(where: str, places: Mapping[str, str]) -> str:
    names = mirrors.names_below(where, places)
    if not names:
        raise UsageFault(f"no run is mirrored below {where}", hint="name another --bucket or --prefix")
    return max(names, key=pace.began_at)


def mirror_of(place: Path, places: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the address of a bundle's mirror, and how to reach it: as the run itself does, where nothing is said.

    Raises UsageFault for a run without a bucket.
    """
    inputs = _first_inputs(place)
    bucket, prefix = str(inputs.get("bucket", "")), mirrors.own_prefix(inputs)
    run_id = str(inputs.get("run_id", ""))
    if not (bucket and prefix and run_id):
        raise UsageFault(
            f"{place} names no bucket: the run has no mirror", hint="leave out --remote, or name its --bucket"
        )
    own = {name: str(inputs.get(name) or "") for name in ("endpoint_url", "region")}
    reached = {name: places.get(name) or value for name, value in own.items()}
    return f"s3://{bucket}/{home_of(prefix, run_id)}", reached


def _first_inputs(place: Path) -> Mapping[str, Any]:
    try:
        state = fold(read(read_lines(place)).records[:1])
    except DrfsmError:
        return {}
    return {**state.inputs, "run_id": state.run_id}
