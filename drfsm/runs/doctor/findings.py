"""A finding of the doctor, and what all checks look at. Holds no rule about what is in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from drfsm.claims import bounded
from drfsm.errors import DrfsmError
from drfsm.runs.doctor.codes import CODES

if TYPE_CHECKING:
    from drfsm.dr.terms import Terms
    from drfsm.engine import Run
    from drfsm.world import ObjectStore, World

_LONGEST = 1200
AHEAD_SECONDS = 300.0
"""How far another clock may be ahead. A time beyond that is no time that anything was proven or made."""


@frozen
class Finding:
    """What is not in order. ``subject``: of what (a site, an object, a run); ``mend``: what to do about this one."""

    code: str
    severity: str
    subject: str
    words: str
    mend: str = ""

    @property
    def record(self) -> dict[str, str]:
        """The finding as JSON."""
        names = ("code", "severity", "subject", "words", "mend")
        return {name: bounded(getattr(self, name), _LONGEST) for name in names}


def finding(code: str, subject: str, words: str, *, severity: str = "", mend: str = "") -> Finding:
    """Return a finding with one of the doctor's own codes, and the code's severity and mend where none is given."""
    known = CODES[code]
    return Finding(code, severity or known.severity, subject, words, mend or known.to_do)


def unread(what: str, fault: DrfsmError) -> Finding:
    """Return the finding that something could not be read: its cause once, in the same words for each."""
    return finding("not_read", what, fault.cause or fault.what, mend=fault.hint)


def of_each_site(look: "Look", what: str, how: Callable[[str], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what is found on each site: one that can't be read hides nothing of the other."""
    for site in look.sites:
        try:
            yield from how(site)
        except DrfsmError as fault:
            yield unread(f"{what} of {site}", fault)


@frozen
class Look:
    """What the checks look at. ``world`` refuses every write; ``store`` does not: conditional writes are probed."""

    world: "World"
    store: "ObjectStore"
    run: "Run"
    terms: "Terms"
    now: datetime
    home: Path
    drill_interval_seconds: float | None
    max_age_seconds: float
    read_only: bool
    numbers: dict[str, float] = field(factory=dict)  # what was measured, for Prometheus: name -> value

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of the run that is looked at, as a procedure would record them."""
        return self.run.inputs

    @property
    def sites(self) -> Sequence[str]:
        """The sites whose kubeconfig is named."""
        return tuple(site for site in ("primary", "dr") if self.inputs.get(f"kubeconfig_{site}"))
