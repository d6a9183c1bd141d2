"""What each exit code means, and what to do: the table of docs/exit-codes.md, and of `drfsm explain`.

A test holds the page to this table. In the words, ``[text](page)`` is a link of the page; ``plain`` takes it out.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from drfsm.errors import ExitCode

_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


class Meaning(NamedTuple):
    """One exit code: its name, what it means, and what to do ("": nothing)."""

    name: str
    means: str
    to_do: str


MEANINGS: Mapping[ExitCode, Meaning] = {
    ExitCode.DONE: Meaning(
        "done",
        "the verb did what it was asked; a run is `complete`, a dry run met no refusal",
        "",
    ),
    ExitCode.DEFECT: Meaning(
        "defect",
        "a defect in drfsm; the message names the file with its traceback",
        "`drfsm status`, then report it",
    ),
    ExitCode.USAGE: Meaning(
        "usage",
        "the command line or the inputs are wrong; nothing was touched.",
        "mend the command",
    ),
    ExitCode.REFUSED: Meaning(
        "refused",
        "a guard, a token or the world refused, and why is said; a run moved nothing, a noun (`runs"
        " sync`, `pointers set`) says how far it came; a dry run met what would be refused",
        "mend what the message names, start again",
    ),
    ExitCode.HELD: Meaning(
        "held",
        "the run stands, journalled; what is frozen is said",
        "`drfsm resume`, or a way that `status` names",
    ),
    ExitCode.LEASE_HELD: Meaning(
        "lease held",
        "another run, or another machine, holds the lease",
        "wait, or `--take-over` if you know that it is dead ([which lease is free](journal.md))",
    ),
    ExitCode.EVIDENCE: Meaning(
        "evidence",
        "the records can be read, and what they claim does not hold",
        "keep the bundle; go on from a copy that verifies",
    ),
    ExitCode.DAMAGED: Meaning(
        "damaged",
        "the journal's bytes are damaged, and the line is named; or somebody edited, cut, removed or"
        " replaced it under the working process; or a link, a device or the like lies in a bundle in a"
        " file's place; or a record says what can't be understood",
        "keep the file; go on from a copy, or from the mirror in S3",
    ),
    ExitCode.ILLEGAL: Meaning(
        "illegal",
        "the trigger is not legal in the run's state; nothing moved",
        "one of the legal ones that are named",
    ),
    ExitCode.UNREACHABLE: Meaning(
        "unreachable",
        "the world could not be read or written, or what was read is not what was asked for (garbage in a"
        " bucket, another answer of a cluster): it is named, and nothing is concluded from it",
        "mend the network, or what is named; try again",
    ),
    ExitCode.ABORTED: Meaning(
        "aborted",
        "the run ended `aborted` (or `failed`), as declared",
        "`drfsm status` says what was kept",
    ),
    ExitCode.DIFFERENT: Meaning(
        "different",
        "a verification ran and found what does not hold; pointers that don't name one run, or that can't be read",
        "read them",
    ),
    ExitCode.DISK: Meaning(
        "disk",
        "this computer's disk or system refused: full, read-only, broken, no permission, too many open"
        " files. A run stopped before what it could not write down",
        "do what the message says (make room, ...), then `drfsm resume`",
    ),
    ExitCode.NO_STATE: Meaning(
        "no state",
        "`drfsm drill --require-state`: the workload has no lasting state that could be restored."
        " *Refused* before anything moved, where the backup's manifest shows it (other findings may stand"
        " beside it); *failed*, and the site taken down, where only the site showed it",
        "name a backup that holds state, or leave `--require-state` out",
    ),
    ExitCode.NOT_WAITING: Meaning(
        "not waiting",
        "an execution of Step Functions waits for this answer no more, or never did: its token expired, was used, or is"
        " another execution's. Nothing was sent, or what was sent had no effect; the message says what the journal has",
        "look at the execution; [step-functions.md](step-functions.md)",
    ),
    ExitCode.INTERRUPTED: Meaning(
        "interrupted",
        "Ctrl-C or SIGTERM; the run is held at a clean point, or its intent is open",
        "`drfsm resume`",
    ),
}


def plain(words: str) -> str:
    """Return the words without the page's links and emphasis."""
    return _LINK.sub(r"\1", words).replace("*", "")


def page_table() -> list[str]:
    """Return the table as the page has it, a line a code."""
    return [
        f"| {int(code)} | {meaning.name} | {meaning.means} | {meaning.to_do} |".replace("|  |", "| |")
        for code, meaning in MEANINGS.items()
    ]
