"""Plans that dry runs showed: each is reserved for one run and its nonce, and one start may use it.

    <home>/plans/<sha256>.json    {schema_version, run_id, nonce, dry_run}: kept when a dry run shows its plan
    <home>/plans/<run>.used       made by the start that uses it, which holds a lock on it; the plan's SHA-256

A start that was killed before its run's first record used nothing: its lock is gone and its bundle has no record, so
the next start takes the plan over.

A plan belongs to one run (dr/procedures/approval.py): the plan of a dry run can be approved only if the start takes
that run's id and nonce. On another machine the operator gives them (``RUN:NONCE``, as the dry run printed them). The
mirror in S3 shows whether another machine has started the run. Used by cli/promote.py.
"""

import fcntl
import json
import os

from attrs import frozen

from drfsm import claims
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.files import Directory, disk_fault
from drfsm.runs import bundle

_AGAIN = "repeat the dry run"
_LARGEST_BYTES = 1 << 16


@frozen
class Reserved:
    """The run that may use a plan, and the nonce that makes the plan its own."""

    run_id: str
    nonce: str

    def __str__(self) -> str:
        """Return it as --plan-of takes it."""
        return f"{self.run_id}:{self.nonce}"


def parsed(text: str) -> Reserved:
    """Return what ``RUN:NONCE`` says. Raises UsageFault for anything else."""
    run_id, _, nonce = text.strip().rpartition(":")
    if not (claims.is_name("drfsm run", run_id) and run_id.startswith("promote-") and claims.is_name("nonce", nonce)):
        raise UsageFault(
            f"--plan-of {claims.bounded(text)} is no RUN:NONCE", hint="copy it from the output of the dry run"
        )
    return Reserved(run_id, nonce)


def keep(sha256: str, reserved: Reserved, dry_run: str) -> None:
    """Remember which run may use the plan with this digest. Raises UsageFault, FileDamaged, DiskFault."""
    reservation = {"schema_version": 1, "run_id": reserved.run_id, "nonce": reserved.nonce, "dry_run": dry_run}
    with bundle.own_home() as home:
        home.write(_file(sha256), json.dumps(reservation).encode() + b"\n", durable=True)


def kept(sha256: str) -> Reserved | None:
    """Return the run that may use a plan; None if no dry run here showed it. Raises UsageFault for a damaged file."""
    name = _file(sha256)
    path = str(bundle.home() / name)
    raw = _read(name)
    if raw is None:
        return None
    try:
        reservation = claims.object_of(raw, path, largest_bytes=_LARGEST_BYTES)
        return parsed(
            f"{claims.field(reservation, 'run_id', str, path)}:{claims.field(reservation, 'nonce', str, path)}"
        )
    except (Unreadable, UsageFault) as fault:
        raise UsageFault(f"{path} is damaged: {fault.what}", hint=_AGAIN) from None


def _read(name: str) -> bytes | None:
    if not bundle.home().is_dir():
        return None
    with Directory.look(bundle.home()) as home:
        return home.read(name, _LARGEST_BYTES)


def refuse_used(reserved: Reserved, *, mirrored: bool) -> None:
    """Raise ActionFailed if a start has used this plan: here, or (``mirrored``: it has records in S3) anywhere."""
    if mirrored:
        raise _spent(reserved)
    if _read(_used(reserved)) is None:
        return
    with bundle.own_home() as home:
        descriptor = _taken_over(home, reserved)
        os.close(descriptor)  # only asked: ``use`` takes it


def use(sha256: str, reserved: Reserved) -> None:
    """Use a plan up, durably.

    Raises ActionFailed if another start was first; UsageFault, FileDamaged, DiskFault where it can't be written down.
    """
    with bundle.own_home() as home:
        try:
            descriptor = home.create(_used(reserved))
            _lock(descriptor, reserved)
        except UsageFault:
            if not home.has(_used(reserved)):
                raise
            descriptor = _taken_over(home, reserved)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{sha256}\n".encode(), 0)
            os.fsync(descriptor)
        except OSError as fault:
            os.close(descriptor)
            raise disk_fault(fault, "cannot record that the plan is used", bundle.home()) from None
        # It stays open until this process ends, and the lock with it: no other start takes the plan over meanwhile.


def _taken_over(home: Directory, reserved: Reserved) -> int:
    """Return the locked file of a plan whose start was killed before its run began. Raises ActionFailed otherwise.

    A bundle that is gone counts as begun: nobody can tell.
    """
    place = bundle.home() / "runs" / reserved.run_id
    descriptor = home.open(_used(reserved), os.O_RDWR) if place.is_dir() else None
    if descriptor is None:
        raise _spent(reserved)
    _lock(descriptor, reserved)
    if bundle.has_begun(place):
        os.close(descriptor)
        raise _spent(reserved)
    return descriptor


def _lock(descriptor: int, reserved: Reserved) -> None:
    """Lock a used plan's file. Raises ActionFailed, and closes it, where a start that goes on holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _spent(reserved) from None


def give_back(reserved: Reserved) -> None:
    """Let a plan be used again that this start used up, because its run never began."""
    with bundle.own_home() as home:
        home.remove(_used(reserved))


def _spent(reserved: Reserved) -> ActionFailed:
    return ActionFailed(
        f"this plan was used by the start of {reserved.run_id}: a plan is approved for one start, or declined for good",
        hint=f"see how it went: drfsm status {reserved.run_id}; or make a new dry run",
        fault="operator",
    )


def _file(sha256: str) -> str:
    if not claims.is_name("sha256", sha256):
        raise UsageFault(
            f"--plan {claims.bounded(sha256)} is no SHA-256", hint="copy it from the output of the dry run"
        )
    return f"plans/{sha256}.json"


def _used(reserved: Reserved) -> str:
    return f"plans/{reserved.run_id}.used"
