"""Plans that dry runs showed: which run and which nonce each is reserved for, and that one start uses it.

    <home>/plans/<sha256>.json    {schema_version, run_id, nonce, dry_run}: kept when a dry run shows its plan
    <home>/plans/<run>.used       made once, by the start that uses it; holds the plan's SHA-256

A plan is of one run (dr/procedures/approval.py), so what a dry run shows can be approved only if the start takes that
run's id and nonce. On another machine they are given by hand (``RUN:NONCE``, as the dry run printed them). That a run
was started elsewhere is seen in its mirror in S3. Knows digests, run ids and nonces, and no rules. Used by promote.py.
"""

import json
import os

from attrs import frozen

from drfsm import claims
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.files import Directory, disk_fault
from drfsm.runs import bundle

_AGAIN = "make the dry run again"
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
            f"--plan-of {claims.bounded(text)} is no RUN:NONCE", hint="take it from what the dry run printed"
        )
    return Reserved(run_id, nonce)


def keep(sha256: str, reserved: Reserved, dry_run: str) -> None:
    """Keep whose plan a digest is. Raises UsageFault, FileDamaged, DiskFault where the home can't be written."""
    told = {"schema_version": 1, "run_id": reserved.run_id, "nonce": reserved.nonce, "dry_run": dry_run}
    with bundle.own_home() as home:
        home.write(_file(sha256), json.dumps(told).encode() + b"\n", durable=True)


def kept(sha256: str) -> Reserved | None:
    """Return whose plan a digest is, None if no dry run of this machine showed it. Raises UsageFault for a bad file."""
    name = _file(sha256)
    path = str(bundle.home() / name)
    raw = _read(name)
    if raw is None:
        return None
    try:
        told = claims.object_of(raw, path, largest_bytes=_LARGEST_BYTES)
        return parsed(f"{claims.field(told, 'run_id', str, path)}:{claims.field(told, 'nonce', str, path)}")
    except (Unreadable, UsageFault) as fault:
        raise UsageFault(f"{path} is damaged: {fault.what}", hint=_AGAIN) from None


def _read(name: str) -> bytes | None:
    if not bundle.home().is_dir():
        return None
    with Directory.look(bundle.home()) as home:
        return home.read(name, _LARGEST_BYTES)


def refuse_used(reserved: Reserved, *, mirrored: bool) -> None:
    """Raise ActionFailed if a start has used this plan: here, or (``mirrored``) anywhere, by its records in S3."""
    if mirrored or _read(_used(reserved)) is not None:
        raise _spent(reserved)


def use(sha256: str, reserved: Reserved) -> None:
    """Use a plan up, durably.

    Raises ActionFailed if another start was first; UsageFault, FileDamaged, DiskFault where it can't be written down.
    """
    with bundle.own_home() as home:
        try:
            descriptor = home.create(_used(reserved))
        except UsageFault:
            if home.has(_used(reserved)):
                raise _spent(reserved) from None
            raise
        with os.fdopen(descriptor, "wb") as file:
            try:
                file.write(f"{sha256}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError as fault:
                raise disk_fault(fault, "that the plan is used can't be written down", bundle.home()) from None


def _spent(reserved: Reserved) -> ActionFailed:
    return ActionFailed(
        f"this plan was used by the start of {reserved.run_id}: it is approved for one start, and declined for good",
        hint=f"see how that went: drfsm status {reserved.run_id}; or make a new dry run",
        fault="operator",
    )


def _file(sha256: str) -> str:
    if not claims.is_name("sha256", sha256):
        raise UsageFault(f"--plan {claims.bounded(sha256)} is no SHA-256", hint="take it from what the dry run printed")
    return f"plans/{sha256}.json"


def _used(reserved: Reserved) -> str:
    return f"plans/{reserved.run_id}.used"
