"""What a code of the audit is made of; codes.py has the table."""

from typing import NamedTuple

ERROR, REMARK, NOTE = "error", "remark", "note"
SEVERITIES = (ERROR, REMARK, NOTE)
"""The worst first. An ``error`` means that the evidence does not hold; a ``remark`` that something could not be proven,
or was accepted by a person; a ``note`` is good to know, and weighs nothing."""

ALTERED = (
    "Keep the bundle as it is. Hold the log against the run's mirror (`drfsm audit --mirror BUNDLE`) and against a"
    " summary that left the machine: where they differ, this log was altered; where all are the same, the process that"
    " wrote them broke its rule: report that as a defect in drfsm"
)


class Rule(NamedTuple):
    """A group of codes: what is asked, and by whose testimony the answer is found."""

    asks: str
    witness: str


class Code(NamedTuple):
    """What a finding means, what to do, and how much it weighs."""

    rule: str
    means: str
    to_do: str = ALTERED
    severity: str = ERROR


def title(code: str) -> str:
    """Return a code in words, for a heading."""
    return code.replace("_", " ").capitalize()
