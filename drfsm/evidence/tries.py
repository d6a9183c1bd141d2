"""The tries of one step, counted from its records: how many began, which failed, and why.

    what ended a try                                      what the journal has of it
    an action failed                                      ``failed``
    a wait could not read its facts, and is tried again   ``sampled``, then ``repaired`` or the next try's ``sampled``
    guards could not be read, and the step is repaired    ``repaired``, without a ``failed`` before it
    a wait failed for good, or guards refused             the commit ``by: failure`` with the step as its ``stage``

The commit of a failure also follows a ``failed``: then both are one try. A try that was cut off did not fail. Pure.
Called by phases.py (a step is a trigger) and summary.py (a step is a row).
"""

from attrs import define, field

from drfsm.evidence.wording import clip
from drfsm.journal import Record
from drfsm.journal.record_types import Commit, Failed, Intent, Repaired, Sampled

_REASON_WIDTH = 400


def failed_step(record: Record) -> str:
    """Return the trigger of the step whose failure a commit sends on; "" for any other record."""
    content = record.content
    return str(content.args.get("stage", "")) if isinstance(content, Commit) and content.by == "failure" else ""


def ends_wait(before: Record, record: Record) -> bool:
    """Whether a wait's try ended between two records of its row, so that another began.

    Journals before 0.3.0 have no number of a wait's try: there only the repair shows it.
    """
    sample, following = before.content, record.content
    if not isinstance(sample, Sampled):
        return False
    if isinstance(following, Sampled):
        return following.row == sample.row and sample.attempt > 0 and following.attempt == sample.attempt + 1
    return isinstance(following, Repaired) and following.row == sample.row


@define
class Tries:
    """The tries of one step so far. ``acted``: some of them began an action, which a wait doesn't."""

    begun: int = 0
    repaired: int = 0
    acted: bool = False
    errors: list[str] = field(factory=list)  # of the tries that failed, in order
    _last: Record | None = None

    @property
    def failed(self) -> int:
        """How many tries failed."""
        return len(self.errors)

    @property
    def last_error(self) -> str:
        """Why the last of them failed; "" if none did."""
        return self.errors[-1] if self.errors else ""

    def add(self, record: Record) -> None:
        """Count the step's next record. One that tells nothing of tries is passed over."""
        content = record.content
        if not isinstance(content, Intent | Failed | Repaired | Sampled | Commit):
            return
        waited = self._last is not None and isinstance(self._last.content, Sampled)
        tried_again = self._last is not None and ends_wait(self._last, record)
        if tried_again or (isinstance(content, Repaired) and not self._has_failed()):
            self.errors.append(self._unread())
        if isinstance(content, Intent | Sampled):
            self.begun += tried_again or not waited  # an intent after a sample goes on with the try that waited
        self.acted = self.acted or isinstance(content, Intent)
        self.repaired += isinstance(content, Repaired)
        if isinstance(content, Failed):
            self.errors.append(content.error)
        self._last = record

    def send_on(self, commit: Record) -> None:
        """Count the commit that sends the step's failure on: a try of its own, unless its failure is on record."""
        reason = str(Commit.of(commit).args.get("reason", ""))
        last = self._last.content if self._last is not None else None
        if not (isinstance(last, Failed) and last.error == reason):
            self.errors.append(reason)
        self._last = commit

    def _has_failed(self) -> bool:
        return self._last is not None and isinstance(self._last.content, Failed)

    def _unread(self) -> str:
        """Return why the last try failed, where no record says it: something could not be read."""
        seen = _unmet(self._last.content) if self._last is not None and isinstance(self._last.content, Sampled) else ""
        return seen or "what the step depends on could not be read"


def _unmet(sample: Sampled) -> str:
    """Return what kept a sample from being clear."""
    unmet = {name: sample.facts[name] for name in sample.unmet or () if name in sample.facts}
    words = (f"{name} is {fact.value or 'unknown'}" + f" ({fact.why})" * bool(fact.why) for name, fact in unmet.items())
    return clip("; ".join(words), _REASON_WIDTH)
