"""Every error of drfsm: what happened, whose fault it is, the next step, and the exit code.

``what`` says what happened, ``fault`` whose fault it is, ``frozen`` what is frozen now, ``hint`` what to do or to run
next. ``cause`` is why every such request fails, in the same words for each: a site out of reach, a refused token. The
CLI prints ``what``, ``frozen`` and ``hint`` and exits with ``exit_code``. docs/exit-codes.md explains the codes in
prose.
"""

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

_SHOWN = 1200  # characters
CANNOT_REACH = "Cannot reach "
"""How the cause begins of every request to a site, a store or a service that does not answer."""


class ExitCode(IntEnum):
    """Exit codes that a script may rely on. A number is never reused."""

    DONE = 0
    DEFECT = 1  # a defect in drfsm itself
    USAGE = 2  # wrong usage: nothing was touched
    REFUSED = 3  # refused by a guard, a wrong token or the world, which says why
    HELD = 4  # held: continue with `drfsm resume`
    LEASE_HELD = 5  # someone else holds the lease
    EVIDENCE = 6  # the evidence does not hold: chain, legality, digest
    DAMAGED = 7  # the journal is damaged
    ILLEGAL = 8  # the trigger is not legal in the run's state
    UNREACHABLE = 9  # a site, a bucket or a service could not be read or written
    ABORTED = 10  # the run ended aborted (or failed), as declared
    DIFFERENT = 11  # a comparison ran and found differences
    DISK = 12  # this computer's disk or system refused: full, read-only, broken, too many open files
    NO_STATE = 13  # drill --require-state: the workload's lasting state can't be restored
    NOT_WAITING = 14  # an execution of Step Functions waits for this answer no more, or never did
    INTERRUPTED = 130  # Ctrl-C


class DrfsmError(Exception):
    """The base of all errors. ``fault`` is one of operator, site, store, machine, journal, drfsm."""

    exit_code = ExitCode.DEFECT
    fault = "drfsm"

    def __init__(
        self,
        what: str,
        *,
        hint: str = "",
        frozen: Sequence[str] = (),
        fault: str | None = None,
        final: bool = False,
        cause: str = "",
    ) -> None:
        super().__init__(what)
        self.final = final  # a retry cannot help: the cause was observed, not guessed
        self.what = what
        self.hint = hint
        self.cause = cause
        self.frozen = tuple(frozen)
        if fault is not None:
            self.fault = fault

    def lines(self) -> list[str]:
        """Return what happened, what is frozen now and the next step, one line each. Unprintable characters stay in."""
        lines = [self.what, *(f"  frozen now: {name}" for name in self.frozen)]
        return [*lines, f"  next: {self.hint}"] if self.hint else lines

    def diagnostics(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines())


class UsageFault(DrfsmError):
    """The command line or the inputs are wrong. Nothing was touched."""

    exit_code = ExitCode.USAGE
    fault = "operator"


class DeclarationFault(DrfsmError):
    """A machine's declaration is wrong. ``faults`` holds every fault, each with its file, its line and its remedy."""

    exit_code = ExitCode.USAGE
    fault = "machine"

    def __init__(self, what: str, faults: Sequence[str], *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        """Every fault: an author's test shows no more than this."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return what is wrong, then a line for each fault."""
        return [self.what, *(f"  {fault}" for fault in self.faults)]


class BindingFault(DrfsmError):
    """A binding lacks a fact or an action that the machine names, or has one that it doesn't name."""

    exit_code = ExitCode.DEFECT
    fault = "drfsm"


class IllegalTransition(DrfsmError):
    """The trigger is not legal in this state. Nothing moved."""

    exit_code = ExitCode.ILLEGAL
    fault = "operator"

    def __init__(self, *, machine: str, state: str, trigger: str, legal: Sequence[str], reason: str = "") -> None:
        legal_triggers = ", ".join(legal) if legal else "nothing: the run has ended"
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{machine}: {trigger} is not legal in state {state}{why}; nothing moved",
            hint=f"legal here: {legal_triggers}",
        )
        self.machine = machine
        self.state = state
        self.trigger = trigger
        self.legal = tuple(legal)


def shown(seen: object) -> str:
    """Return an observation for a message: its own words (``in_words``) or its text, else JSON. Long ones are cut.

    Of pointers it says which run each names.
    """
    if isinstance(seen, Mapping):
        seen = seen["in_words"] if "in_words" in seen else _as_pointers(seen) or seen
    text = seen if isinstance(seen, str) else json.dumps(seen, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters; all of them are in the journal)"


def _as_pointers(seen: Mapping[Any, object]) -> str:
    """Return which run each of the pointers names, by their keys; "" for an observation of anything else."""
    named = [(key, pointer) for key, pointer in seen.items() if isinstance(key, str) and key.endswith(".json")]
    fits = (pointer is None or (isinstance(pointer, Mapping) and "run_id" in pointer) for _, pointer in named)
    if not named or len(named) != len(seen) or not all(fits):
        return ""
    return ", ".join(
        f"{key} names {pointer['run_id']}" if isinstance(pointer, Mapping) else f"{key} is not there"
        for key, pointer in named
    )


def unmet(check: Mapping[str, Any]) -> str:
    """Return a guard that does not hold in words: of this row, or foreseen for a later one.

    A refusal, a dry run and a warning say it by this one function, so that none of them leaves out what was seen.
    """
    would = f"would {'wait' if check.get('waits') else 'hold'} at {check['at']}: " if "at" in check else ""
    mend = f". What to do: {check['mend']}" if check.get("mend") else ""
    return (
        f"{check['guard']}: {would}{check['fact']} is {check['value']}, needed {'|'.join(map(str, check['needed']))}"
        f" (seen: {shown(check['seen'])}). {check['because']}{mend}"
    )


_REACHED = "_reachability"  # facts about whether a site answers: why that matters says what a person can do instead


def common_causes(checks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[str]], list[Mapping[str, Any]]]:
    """Return (why facts could not be read: those facts), and the checks that have a reason of their own.

    A site that nobody reaches makes a dozen facts unknown: that is one cause, said once. ``checks``: as records carry
    them; of an unread fact ``seen`` says why.
    """
    facts: dict[str, list[str]] = {}
    for check in checks:
        if check["value"] in ("unknown", None) and isinstance(check["seen"], str):
            names = facts.setdefault(check["seen"], [])
            names += [check["fact"]] * (check["fact"] not in names)
    causes = {why: names for why, names in facts.items() if len(names) > 1 or why.startswith(CANNOT_REACH)}
    return causes, [check for check in checks if check["value"] not in ("unknown", None) or check["seen"] not in causes]


def in_one_line(why: str, facts: Sequence[str]) -> str:
    """Return why facts could not be read, and which."""
    return f"{why}. Unknown for that reason: {', '.join(facts)}"


def _instead(why: str, refusals: Sequence[Mapping[str, Any]]) -> str:
    """Return what a person can do where a site can't be reached for this reason, as the guards say it."""
    asked = [check for check in refusals if check["seen"] == why and check["fact"].endswith(_REACHED)]
    return " ".join(dict.fromkeys(str(check["because"]) for check in asked))


class GuardRefused(DrfsmError):
    """A guard does not hold. Names the fact, its value, the values that it may have, and why that matters.

    Of a guard of a later row, which is known beforehand, it says where it would hold the run, and what to do. Why
    several facts could not be read is said first, and once.
    """

    exit_code = ExitCode.REFUSED
    fault = "site"

    def __init__(self, refusals: Sequence[Mapping[str, Any]], *, trigger: str) -> None:
        causes, others = common_causes(refusals)
        ways = {
            why: [c["because"] for c in refusals if c["seen"] == why and c["fact"].endswith(_REACHED)] for why in causes
        }
        reasons = [
            *(" ".join([in_one_line(why, facts), *ways[why]]) for why, facts in causes.items()),
            *map(unmet, others),
        ]
        super().__init__(f"{trigger} refused: {'; '.join(reasons)}")
        self.trigger = trigger
        self.refusals = tuple(dict(r) for r in refusals)
        self.findings = tuple(f"{trigger}: {reason}" for reason in reasons)


class Unreachable(DrfsmError):
    """A site, a bucket or a service could not be read or written just now. Its condition is unknown."""

    exit_code = ExitCode.UNREACHABLE
    fault = "site"


class Unreadable(Unreachable):
    """An answer or a document was read and has the wrong form, so the condition of the world stays unknown.

    Never mistaken for "nothing is there". A fact that depends on it is unknown, so the run holds.
    """

    fault = "store"


class ActionFailed(DrfsmError):
    """An action was refused for a reason that can be named. A run is then held; a single command ends as refused."""

    exit_code = ExitCode.REFUSED
    fault = "site"


class Conflict(ActionFailed):
    """A compare-and-swap lost: someone else wrote in between. drfsm wrote nothing."""

    fault = "store"


class NotWaiting(DrfsmError):
    """An execution does not wait for this answer: its token expired or was used, or is another execution's."""

    exit_code = ExitCode.NOT_WAITING
    fault = "operator"


class DeadlineExceeded(DrfsmError):
    """A step took longer than its row's ``timeout_seconds``."""

    exit_code = ExitCode.HELD
    fault = "site"


class LeaseHeld(DrfsmError):
    """Another run, or another machine, holds the lease."""

    exit_code = ExitCode.LEASE_HELD
    fault = "operator"


class LeaseLost(LeaseHeld):
    """This process has lost its lease. It must not write anything any more."""


class JournalDamaged(DrfsmError):
    """A journal is damaged. The line is named; nothing is repaired silently."""

    exit_code = ExitCode.DAMAGED
    fault = "journal"

    def __init__(self, what: str, *, line: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.line = line


class FileDamaged(DrfsmError):
    """drfsm did not make this file of a bundle: it is a link, a device or a directory, or belongs to another user."""

    exit_code = ExitCode.DAMAGED
    fault = "journal"

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint or "find out who put it there, then remove it; drfsm wrote nothing to it")


class DiskFault(DrfsmError):
    """This computer refused: its disk is full, read-only or broken, or too many files are open."""

    exit_code = ExitCode.DISK
    fault = "operator"

    def __init__(self, what: str, *, hint: str = "", fault: str | None = None) -> None:
        super().__init__(what, hint=hint, fault=fault, final=True)


class EvidenceFault(DrfsmError):
    """The records can be read, but what they claim does not hold."""

    exit_code = ExitCode.EVIDENCE
    fault = "journal"


class UntrustedRecords(DrfsmError):
    """The records are consistent, but nobody vouches for them. Nothing was done, and nothing was written."""

    exit_code = ExitCode.REFUSED
    fault = "operator"


class WorldDiffers(DrfsmError):
    """The world differs from what another machine recorded. Nothing was done, and nothing was written."""

    exit_code = ExitCode.HELD
    fault = "site"

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__(
            "the world is not as these records say, so the run holds: " + "; ".join(differences),
            hint="find out whether the records or the sites are right. Repair the site and repeat this command; or"
            " resume where the true journal is; or `drfsm abort`",
        )
        self.differences = tuple(differences)


class PlanDiffers(DrfsmError):
    """A plan is not what would be done now. Nothing was begun. ``differences``: each in words."""

    exit_code = ExitCode.REFUSED
    fault = "site"

    def __init__(self, what: str, differences: Sequence[str], *, hint: str) -> None:
        super().__init__(what, hint=hint)
        self.differences = tuple(differences)

    def lines(self) -> list[str]:
        """Return what happened, each difference on a line of its own, and the next step."""
        first, *rest = super().lines()
        return [first, *(f"  {difference}" for difference in self.differences), *rest]


class NotApproved(PlanDiffers):
    """The approvals of a plan do not suffice. Nothing was begun, and the plan is as good as before."""

    fault = "operator"


class Interrupted(DrfsmError):
    """A person or the system asked the process to stop."""

    exit_code = ExitCode.INTERRUPTED
    fault = "operator"


class HoldAsked(Interrupted):
    """A person asked the run, from another process, to stop before its next step."""

    exit_code = ExitCode.HELD
