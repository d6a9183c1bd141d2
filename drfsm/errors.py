"""Every way in which drfsm says no, named by whose fault it is, with the exit code of each.

An error is somebody's next step: ``what`` happened, ``fault`` (whose it is), what is ``frozen`` now,
and ``way`` (what to do or run next). The CLI prints exactly these four and exits with ``exit_code``.
docs/exit-codes.md is this file's table in prose.
"""

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum

_SHOWN = 1200  # characters


class ExitCode(IntEnum):
    """What a script may rely on. Never reuse a number."""

    DONE = 0
    DEFECT = 1  # a defect in drfsm itself
    USAGE = 2  # wrong usage: nothing was touched
    REFUSED = 3  # refused by a guard, a wrong token or the world, which says why
    HELD = 4  # held: go on with `drfsm resume`
    LEASE_HELD = 5  # someone else holds the lease
    EVIDENCE = 6  # evidence does not hold: chain, legality, digest
    DAMAGED = 7  # the journal is damaged
    ILLEGAL = 8  # the trigger is not legal in the run's state
    UNREACHABLE = 9  # the world could not be read
    ABORTED = 10  # the run ended aborted (or failed), as declared
    DIFFERENT = 11  # a comparison ran and found differences
    DISK = 12  # this computer's disk or system refused: full, read-only, broken, too many open files
    INTERRUPTED = 130  # Ctrl-C


class DrfsmError(Exception):
    """The base of every refusal. ``fault`` is one of operator, site, store, machine, journal, drfsm."""

    exit_code = ExitCode.DEFECT
    fault = "drfsm"

    def __init__(
        self, what: str, *, hint: str = "", frozen: Sequence[str] = (), fault: str | None = None, final: bool = False
    ) -> None:
        super().__init__(what)
        self.final = final  # trying again won't help: what it says was seen
        self.what = what
        self.hint = hint
        self.frozen = tuple(frozen)
        if fault is not None:
            self.fault = fault

    def lines(self) -> list[str]:
        """Return what happened, what is frozen now and the next step, a line each; as raw as what was seen."""
        lines = [self.what, *(f"  frozen now: {each}" for each in self.frozen)]
        return [*lines, f"  next: {self.hint}"] if self.hint else lines

    def diagnostics(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines())


class UsageFault(DrfsmError):
    """The command line or the inputs are wrong. Nothing was touched."""

    exit_code = ExitCode.USAGE
    fault = "operator"


class DeclarationFault(DrfsmError):
    """A machine's declaration is wrong; ``faults`` holds every fault found, each with file, line and mend."""

    exit_code = ExitCode.USAGE
    fault = "machine"

    def __init__(self, what: str, faults: Sequence[str], *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.faults = tuple(faults)

    def lines(self) -> list[str]:
        """Return what is wrong, then a line for each fault."""
        return [self.what, *(f"  {each}" for each in self.faults)]


class BindingFault(DrfsmError):
    """A binding lacks a fact or an action that the machine names, or has one that it doesn't name."""

    exit_code = ExitCode.DEFECT
    fault = "drfsm"


class IllegalTransition(DrfsmError):
    """The trigger is not legal in this state. Nothing moved."""

    exit_code = ExitCode.ILLEGAL
    fault = "operator"

    def __init__(self, *, machine: str, state: str, trigger: str, legal: Sequence[str], reason: str = "") -> None:
        next_actions = ", ".join(legal) if legal else "nothing: the run has ended"
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{machine}: {trigger} is not legal in state {state}{why}; nothing moved",
            hint=f"legal here: {next_actions}",
        )
        self.machine = machine
        self.state = state
        self.trigger = trigger
        self.legal = tuple(legal)


def _shown(seen: object) -> str:
    """Return what was seen as people read it: words as they are, anything else as JSON; the record has it whole."""
    told = seen if isinstance(seen, str) else json.dumps(seen, ensure_ascii=False, default=str)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}… ({len(told)} characters; the record has all of it)"


class GuardRefused(DrfsmError):
    """A guard does not hold: says which fact, what was seen, and why it matters."""

    exit_code = ExitCode.REFUSED
    fault = "site"

    def __init__(self, refusals: Sequence[Mapping[str, object]], *, trigger: str) -> None:
        told = "; ".join(
            f"{r['guard']}: {r['fact']} is {r['value']}, needed {'|'.join(map(str, r['needed']))}"  # type: ignore[call-overload]  # a record's JSON
            f" (seen: {_shown(r['seen'])}). {r['because']}"
            for r in refusals
        )
        super().__init__(f"{trigger} refused: {told}")
        self.trigger = trigger
        self.refusals = tuple(dict(r) for r in refusals)


class Unreachable(DrfsmError):
    """The world could not be read or written just now; it says nothing about how the world is."""

    exit_code = ExitCode.UNREACHABLE
    fault = "site"


class Unreadable(Unreachable):
    """An answer came, or a document is there, and it is not what was asked for: it says nothing about the world.

    Never taken for "nothing there". A fact that gets one is unknown, so the run holds.
    """

    fault = "store"


class ActionFailed(DrfsmError):
    """An action was refused by the world for a reason that it can name. In a run it is held; alone it is refused."""

    exit_code = ExitCode.REFUSED
    fault = "site"


class Conflict(ActionFailed):
    """A compare-and-swap lost: someone else wrote in between. Nothing of ours was written."""

    fault = "store"


class DeadlineExceeded(DrfsmError):
    """A step took longer than its row's ``timeout_seconds``."""

    exit_code = ExitCode.HELD
    fault = "site"


class LeaseHeld(DrfsmError):
    """Another run, or another machine, holds the lease."""

    exit_code = ExitCode.LEASE_HELD
    fault = "operator"


class LeaseLost(LeaseHeld):
    """This process held the lease and has lost it: it must not write anything any more."""


class JournalDamaged(DrfsmError):
    """A journal's bytes don't hold: the line is named. Nothing is repaired silently."""

    exit_code = ExitCode.DAMAGED
    fault = "journal"

    def __init__(self, what: str, *, line: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.line = line


class FileDamaged(DrfsmError):
    """A file of a bundle is none of drfsm's: a link, a device, a directory in its place, or somebody else's."""

    exit_code = ExitCode.DAMAGED
    fault = "journal"

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint or "find out who put it there, and take it away; nothing was written to it")


class DiskFault(DrfsmError):
    """This computer's disk or system refused: it is full, read-only or broken, or no more files can be opened."""

    exit_code = ExitCode.DISK
    fault = "operator"

    def __init__(self, what: str, *, hint: str = "", fault: str | None = None) -> None:
        super().__init__(what, hint=hint, fault=fault, final=True)


class EvidenceFault(DrfsmError):
    """The records are readable but what they claim does not hold."""

    exit_code = ExitCode.EVIDENCE
    fault = "journal"


class UntrustedRecords(DrfsmError):
    """The records hold by themselves, and nobody vouches for them. Nothing was done, and nothing was written."""

    exit_code = ExitCode.REFUSED
    fault = "operator"


class WorldDiffers(DrfsmError):
    """The world is not as records say that somebody else wrote. Nothing was done, and nothing was written."""

    exit_code = ExitCode.HELD
    fault = "site"

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__(
            "the world is not as these records say, so the run holds: " + "; ".join(differences),
            hint="look which of the two is true. Mend the world and give the same command again; or go on where the"
            " true journal lies; or `drfsm abort`",
        )
        self.differences = tuple(differences)


class Interrupted(DrfsmError):
    """A person or the system asked the process to stop."""

    exit_code = ExitCode.INTERRUPTED
    fault = "operator"


class HoldAsked(Interrupted):
    """A person asked the run, from elsewhere, to stop before its next step."""

    exit_code = ExitCode.HELD
