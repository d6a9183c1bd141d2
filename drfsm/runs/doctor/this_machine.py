"""Is this machine ready to run a procedure? Its clock, its disk, its programs, its credentials."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

from drfsm.claims import seconds_between
from drfsm.runs.doctor.codes import ERROR, UNKNOWN, WARNING
from drfsm.runs.doctor.findings import Finding, Look, finding

CLOCK_WARNING_SECONDS, CLOCK_ERROR_SECONDS = 5.0, 300.0
DISK_ERROR_BYTES, DISK_WARNING_BYTES = 256 << 20, 1 << 30
CREDENTIALS_SECONDS = 4 * 3600.0


def clock(look: Look) -> Iterator[Finding]:
    """Hold this machine's clock against the store's Date. Raises what the store raises."""
    look.store.get(f"{look.terms.prefix}/drfsm/lease.json")  # the first to know whether the store can be reached
    next(iter(look.store.list(f"{look.terms.prefix}/drfsm/probes/")), None)  # any good answer has a Date
    theirs = look.store.now()
    if theirs is None:
        yield finding("not_read", "clock", "the store's answers have no Date", severity=UNKNOWN)
        return
    yield from judge_clock(look, datetime.now(UTC), theirs)


def judge_clock(look: Look, ours: datetime, theirs: datetime) -> Iterator[Finding]:
    """Judge two clocks. The Date has whole seconds, and the answer took its time: a few seconds are nothing."""
    skew = seconds_between(theirs, ours) - seconds_between(ours, theirs)  # below 0: this one is behind
    look.numbers["clock_skew_seconds"] = skew
    if abs(skew) > CLOCK_WARNING_SECONDS:
        which = "ahead of" if skew > 0 else "behind"
        severity = ERROR if abs(skew) > CLOCK_ERROR_SECONDS else WARNING
        yield finding(
            "clock_differs", "this machine", f"its clock is {abs(skew):.0f} s {which} the store's", severity=severity
        )


def disk(look: Look) -> Iterator[Finding]:
    """Look at the room on the disk of drfsm's home. A home that is not made yet lies on its parent's."""
    place = next(above for above in (look.home, *look.home.parents) if above.exists())
    free = shutil.disk_usage(place).free
    look.numbers["disk_free_bytes"] = float(free)
    if free < DISK_WARNING_BYTES:
        severity = ERROR if free < DISK_ERROR_BYTES else WARNING
        yield finding("disk_is_short", str(place), f"{free >> 20} MiB are left", severity=severity)
    if not os.access(place, os.W_OK):
        yield finding("disk_is_short", str(place), "this user can't write there", mend="set DRFSM_HOME")


def programs(_look: Look) -> Iterator[Finding]:
    """Look for the programs that a person at 3 a.m. is told to use, and for those that the settings need."""
    wanted = {"kubectl": "drfsm's messages and `status --by-hand` name it"}
    if any(os.environ.get(name) for name in ("DRFSM_SIGNING_KEY", "DRFSM_ALLOWED_SIGNERS")):
        wanted["ssh-keygen"] = "the keys that are configured need it"
    for program, why in wanted.items():
        if shutil.which(program) is None:
            yield finding("tool_is_missing", program, f"it is not on the PATH; {why}", mend=f"install {program}")


def credentials(look: Look) -> Iterator[Finding]:
    """Look at how long the cloud credentials last. Those without an end last; those that renew themselves have none."""
    from drfsm.adapters.aws_session import Services

    services = Services(str(look.inputs["endpoint_url"]) or None, str(look.inputs["region"]) or None)
    yield from judge_credentials(look, services.credentials_until())


def judge_credentials(look: Look, until: datetime | str) -> Iterator[Finding]:
    """Judge credentials that end at this time; ``until`` is a word where no end is known (aws_session.py)."""
    if isinstance(until, str):
        if until == "temporary":
            words = "they have a session token, and nobody says when it ends"
            mend = "export AWS_CREDENTIAL_EXPIRATION, or use a profile that renews them"
            yield finding("credentials_end_soon", "cloud credentials", words, severity=UNKNOWN, mend=mend)
        return
    left = seconds_between(look.now, until)
    look.numbers["credentials_end_timestamp_seconds"] = until.timestamp()
    if left < CREDENTIALS_SECONDS:
        words = f"they end at {until:%Y-%m-%d %H:%MZ}, in {left / 60:.0f} minutes"
        yield finding("credentials_end_soon", "cloud credentials", words, severity=ERROR if left <= 0 else WARNING)
