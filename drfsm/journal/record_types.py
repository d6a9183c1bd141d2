"""Every kind of record, in one table: the fields of its body, the JSON type of each, and which may be missing.

Each class below is one kind; each line of a class is one field: ``required`` or ``optional`` (with the default that
stands for it in a record without it), its type, its JSON key where that is another word, and the version of drfsm that
first wrote it. Five readers share the table: the check of a record before it is written (``misfits``, ``undeclared``),
the same check of records that somebody else may have written, the values that the fold, the audit and the narrative
work with (``parse``), the list of required keys (record.py), and the JSON Schema for other tools (``python -m
tests.record_schema`` writes receipts_schema/journal_record.schema.json).

A reader ignores a key that it does not know: a later version may have added it. Whoever judges a record refuses such a
key inside a guard, a reading, a next action or an identity (``undeclared``): no rule compares it, and no page shows it.

The check here asks for the JSON type only. The schema says more (which words, which pattern): whether a word is right
where it stands is the audit's matter, which names what was broken. The chain proves that bytes are unaltered; whoever
wrote them may still have written nonsense, so nobody looks into a body before it passed this table.
"""

# ruff: noqa: RUF009  `required` and `optional` are attrs' own `field`, with a type

import marshal
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, frozen

from drfsm.errors import unmet
from drfsm.journal.approval_types import APPROVAL, CONFIG
from drfsm.journal.field_types import (
    ANYTHING,
    COUNT,
    FLAG,
    NON_EMPTY,
    NUMBER,
    OBJECT,
    OBJECT_OF_TEXT,
    POSITIVE,
    ROW_KEY,
    SHA256,
    TEXT,
    WORDS,
    Json,
    Type,
    closed,
    either,
    fields_of,
    list_of,
    name_of,
    nothing,
    object_of,
    one,
    one_of,
    only,
    optional,
    or_none,
    parsed,
    required,
    whatever,
)

if TYPE_CHECKING:
    from drfsm.journal.record import Record

# --- what several kinds hold ----------------------------------------------------------------------------


@frozen(kw_only=True)
class Reading:
    """One fact as it was read. ``value`` None: nobody can tell, and ``why`` says why."""

    value: str | None = required(or_none(TEXT))
    seen: Any = required(ANYTHING)
    why: str = optional(TEXT, "")

    @property
    def json(self) -> dict[str, Any]:
        """As records carry it."""
        return {"value": self.value, "seen": self.seen, **({"why": self.why} if self.why else {})}


@frozen(kw_only=True)
class Check:
    """One guard held against one fact. ``holds`` None: a dry run could not evaluate it (``outcome`` says so)."""

    guard: str = required(TEXT)
    fact: str = required(TEXT)
    value: str | None = required(or_none(TEXT))
    needed: tuple[str, ...] = required(WORDS)
    seen: Any = required(ANYTHING)
    reason: str = required(TEXT, key="because")
    holds: bool | None = required(or_none(FLAG))
    outcome: str = optional(one_of("passed", "failed", "not_evaluated"), "")

    @property
    def words(self) -> str:
        """What it says, in words, with what was seen: as a refusal says it."""
        return unmet(self.json)

    @property
    def json(self) -> dict[str, Any]:
        """As records carry it."""
        return {
            "guard": self.guard,
            "fact": self.fact,
            "value": self.value,
            "needed": list(self.needed),
            "seen": self.seen,
            "because": self.reason,
            "holds": self.holds,
            **({"outcome": self.outcome} if self.outcome else {}),
        }


@frozen(kw_only=True)
class ForeseenCheck(Check):
    """A guard of a later row, judged before anything moved: ``at`` is the trigger of the row that it would stop."""

    at: str = required(TEXT)
    level: str = required(one_of("refuse", "warn"), key="foreseen")
    mend: str = optional(TEXT, "")
    waits: bool = optional(FLAG, default=False, note="the row would wait for it")

    @property
    def json(self) -> dict[str, Any]:
        """As records carry it."""
        more = {"mend": self.mend, "waits": self.waits}
        return {
            **super().json,
            "at": self.at,
            "foreseen": self.level,
            **{key: value for key, value in more.items() if value},
        }

    @property
    def refuses(self) -> bool:
        """Whether it refuses the row that foresees it."""
        return self.level == "refuse" and not self.holds


@frozen(kw_only=True)
class NextAction:
    """One thing that a person can ask for where the run stands."""

    action: str = required(TEXT, key="do")
    reason: str = required(TEXT, key="because")
    args: tuple[str, ...] = optional(list_of(TEXT, minItems=1), ())
    values: Mapping[str, tuple[str, ...]] = optional(
        object_of(WORDS), {}, since="0.4.0", note="argument -> the values that it may have, where these are declared"
    )


SAID = either(TEXT, closed(unknown=TEXT))  # who somebody is, as the cloud or a cluster says; or why nobody knows
IDENTITY = closed(os_user=closed(uid=COUNT, name=TEXT, host=TEXT), cloud_caller=SAID, cluster_users=object_of(SAID))
PROVEN = evolve(IDENTITY, schema={"$ref": "#/$defs/proven"})
VOUCHED = closed(how=one_of("signed", "typed"), by=TEXT, head=SHA256, records=COUNT)
READINGS = object_of(one(Reading, "reading"))  # fact -> Reading
CHECK = one(Check, "check")
CHECKS = list_of(CHECK)
FORESEEN = list_of(one(ForeseenCheck, "foreseen_check"))
FORECAST_CHECKS = list_of(
    Type(
        lambda value: CHECK.fits(value) and "outcome" in value,
        {"allOf": [CHECK.schema, {"required": ["outcome"]}]},
        parse=CHECK.parse,
        undeclared=CHECK.undeclared,
        allows=CHECK.allows,
    )
)
NEXT_ACTIONS = list_of(one(NextAction, "way"))
BY = one_of("runner", "operator", "failure")
TAKEN_FROM = closed(
    run_id=TEXT,
    why=one_of("no_record", "revoked", "ended", "released", "taken_over"),
    left_open=WORDS,  # since 0.5.0: the triggers of rows whose requests may still be on their way
)
HOLDER = closed(operator=TEXT, host=TEXT, bundle=TEXT, at=TEXT)
FINDINGS = "the guards that did not hold, one by one, where there are several, or in a dry run"
AMENDS = "inputs that a person's arguments replace from here on"


# --- the kinds of records -------------------------------------------------------------------------------


@frozen(kw_only=True)
class Body:
    """The body of a record. A JSON body may carry more than its kind declares."""

    @classmethod
    def of(cls, record: "Record") -> Self:
        """Return the body of a record of this kind. Raises TypeError for another kind, ValueError for a misfit."""
        if not isinstance(record.content, cls):
            raise TypeError(f"a {record.kind} record is no {cls.__name__}")
        return record.content


@frozen(kw_only=True)
class RunStarted(Body):
    """A run begins: the declaration that it is pinned to, and its inputs."""

    run_id: str = required(name_of("drfsm run"))
    machine: str = required(name_of("machine"))
    machine_sha256: str = required(SHA256)
    version: str = required(TEXT)
    inputs: Json = required(OBJECT)
    operator: str = required(TEXT)
    host: str = required(TEXT)
    dry_run: bool = required(FLAG)
    scope: str = required(one_of("live", "drill"))
    state: str = required(TEXT)
    pid: int = optional(COUNT, 0)
    receipt: Json | None = optional(OBJECT)
    proven: Json = optional(PROVEN, {}, since="0.2.0")
    approval: Json = optional(
        APPROVAL, {}, since="0.7.0", note="the approvals of its plan, where a policy asks for any"
    )
    config: Json = optional(CONFIG, {}, since="0.7.0", note="the drfsm.toml that it was started with")


@frozen(kw_only=True)
class LeaseAcquired(Body):
    """The right to act was taken; ``epoch`` is the fencing token."""

    epoch: int = required(POSITIVE)
    operator: str = required(TEXT)
    host: str = required(TEXT)
    vouched: Json = optional(VOUCHED, {}, since="0.2.0", note="who answers for the records before this one")
    taken_from: Json = optional(
        TAKEN_FROM, {}, since="0.4.0", note="the run that held the lease until then, and why it could be taken"
    )


@frozen(kw_only=True)
class StartRevoked(Body):
    """Written by another run, in S3 only, in the place of a run's first record: that run never began, and never can.

    Its lease had no record, so ``revoked_by`` took the lease. ``holder`` is what the lease said.
    """

    run_id: str = required(name_of("drfsm run"))
    revoked_by: str = required(name_of("drfsm run"))
    operator: str = required(TEXT)
    host: str = required(TEXT)
    holder: Json = required(HOLDER)


@frozen(kw_only=True)
class Resumed(Body):
    """A person asked for the run to go on."""

    operator: str = required(TEXT)
    host: str = required(TEXT)
    state: str = required(TEXT)
    pid: int = optional(COUNT, 0)
    proven: Json = optional(PROVEN, {}, since="0.2.0")


@frozen(kw_only=True)
class TailCut(Body):
    """A torn last line was cut off by the holder of the bundle's lock."""

    bytes: int = required(POSITIVE)
    sha256: str = required(SHA256)


@frozen(kw_only=True)
class Sampled(Body):
    """While a row waits: what was seen, whenever that changed."""

    row: str = required(ROW_KEY)
    state: str = required(TEXT)
    facts: Mapping[str, Reading] = required(READINGS)
    holds: bool = required(FLAG)
    unmet: tuple[str, ...] | None = optional(WORDS)
    attempt: int = optional(POSITIVE, 0, since="0.3.0", note="which try of the wait, counted anew by every process")
    waited_seconds: float | None = optional(NUMBER)
    limit_seconds: float | None = optional(NUMBER)


@frozen(kw_only=True)
class Transition(Body):
    """What an intent and a commit have in common: a row, who fired it, and what was read before."""

    row: str = required(ROW_KEY)
    trigger: str = required(TEXT)
    source: str = required(TEXT, key="from")
    to: str = required(TEXT)
    by: str = required(BY)
    guards: tuple[Check, ...] = required(CHECKS)
    facts: Mapping[str, Reading] = required(READINGS)
    frozen: tuple[str, ...] = required(WORDS)
    reason: str | None = optional(TEXT, key="because")
    args: Json = optional(OBJECT, {})
    undoes: str = optional(TEXT, "", note="the row whose change it undoes")
    kept: str = optional(TEXT, "")
    amends: Json = optional(OBJECT, {}, note=AMENDS)
    foreseen: tuple[ForeseenCheck, ...] = optional(FORESEEN, (), since="0.4.0", note="guards of later rows")


@frozen(kw_only=True)
class Intent(Transition):
    """An action is about to begin. Its outcome stays open until a commit, a failure or a person settles it."""

    attempt: int = required(POSITIVE)
    effect: str = required(one_of("none", "idempotent", "once"))
    before: Json = required(OBJECT, note="fact -> the exact snapshot that an undo restores")
    undo: str | None = optional(TEXT)
    point_of_no_return: bool = optional(
        FLAG, default=False, key="final_write", since="0.4.0", note="from here on the only way is forward"
    )


@frozen(kw_only=True)
class Failed(Body):
    """An attempt failed. Only the verdict ``not_done`` closes its intent: what is half done stays open."""

    row: str = required(ROW_KEY)
    trigger: str = required(TEXT)
    state: str = required(TEXT)
    attempt: int = required(POSITIVE)
    error: str = required(TEXT)
    verdict: str = required(one_of("not_done", "mixed", "unknown"))
    facts: Mapping[str, Reading] = optional(READINGS, {})
    frozen: tuple[str, ...] | None = optional(WORDS)
    answered: bool = optional(FLAG, default=False, since="0.4.0", note="no request of it can still be on its way")


@frozen(kw_only=True)
class Repaired(Body):
    """The declared repair ran between two attempts."""

    row: str = required(ROW_KEY)
    action: str = required(TEXT)
    result: Any = required(ANYTHING)


@frozen(kw_only=True)
class Commit(Transition):
    """A row was taken: the state moves."""

    reason: str = required(TEXT, key="because")
    how: str = required(one_of("judged", "acted", "found", "resolved"))
    result: Any = required(ANYTHING)
    next_actions: tuple[NextAction, ...] = required(NEXT_ACTIONS, key="ways")
    case: str | None = optional(only("C"))
    seconds: float | None = optional(NUMBER)
    error: str = optional(TEXT, "")
    supersedes: str | None = optional(TEXT)


@frozen(kw_only=True)
class Resolved(Body):
    """A person settled an open intent."""

    row: str = required(ROW_KEY)
    outcome: str = required(one_of("done", "not_done"))
    reason: str = required(NON_EMPTY)
    operator: str = required(TEXT)
    proven: Json = optional(PROVEN, {}, since="0.2.0")


@frozen(kw_only=True)
class Settled(Body):
    """A request of an action that was given up may still be on its way: what was done so that it changes nothing.

    ``touched``: what it could change has a new version, so its condition fails. ``answered`` (since 0.6.0): nothing of
    it is on its way, as every attempt was answered, and it changed nothing. ``read_again``: it has no condition;
    the time that a request can take has passed, and the facts were read again. ``landed_late``: they had changed, so
    the change is undone again. ``gone`` (since 0.5.0): what it was sent to does not exist any more. ``waited`` (since
    0.6.0): a later request of the same action was seen to be done; the time that an earlier one can take has passed,
    too. ``not_excluded``: nothing of that was possible. Since 0.6.0 it stands before the next row's guards are read.
    """

    row: str = required(ROW_KEY)
    trigger: str = required(TEXT)
    how: str = required(one_of("touched", "answered", "read_again", "landed_late", "gone", "waited", "not_excluded"))
    done: bool = required(FLAG, note="whether the facts are as the row sets them")
    reason: str = required(TEXT, key="because")
    result: Any = required(ANYTHING)
    facts: Mapping[str, Reading] = optional(READINGS, {})
    undoes: str = optional(TEXT, "", note="the row whose change it undoes")


@frozen(kw_only=True)
class PredecessorSettled(Body):
    """What the run that had the lease before left open can no longer take effect; or that could not be made sure.

    ``touched``: everything that its conditional requests could change has a new version. ``waited``: a request of it
    had no condition, so the time that one can take has passed, too. ``not_excluded``: something could not be touched.
    """

    run_id: str = required(TEXT, note="the run that had the lease before")
    left_open: tuple[str, ...] = required(WORDS, note="triggers of the rows whose requests may have been on their way")
    how: str = required(one_of("touched", "waited", "not_excluded"))
    reason: str = required(TEXT, key="because")
    result: Any = required(ANYTHING)


@frozen(kw_only=True)
class Rejected(Body):
    """A person asked for something that is not legal here; nothing moved."""

    state: str = required(TEXT)
    trigger: str = required(TEXT)
    why: str = required(TEXT)
    legal: tuple[str, ...] = required(WORDS)
    operator: str = optional(TEXT, "")
    proven: Json = optional(PROVEN, {}, since="0.2.0")


@frozen(kw_only=True)
class Held(Body):
    """The run stopped where it stands, and waits for a person."""

    state: str = required(TEXT)
    stage: str = required(TEXT)
    reason: str = required(TEXT)
    frozen: tuple[str, ...] = required(WORDS)
    next_actions: tuple[NextAction, ...] = required(NEXT_ACTIONS, key="ways")
    fault: str = optional(TEXT, "")
    hint: str = optional(TEXT, "", key="way")
    interrupted: bool = optional(FLAG, default=False)
    lease: str = optional(only("released"), "", since="0.4.0", note="nothing was changed, so the lease is given back")
    findings: tuple[str, ...] = optional(WORDS, (), since="0.4.0", note=FINDINGS)


@frozen(kw_only=True)
class Forecast(Body):
    """What a dry run would meet at one row."""

    row: str = required(ROW_KEY)
    trigger: str = required(TEXT)
    source: str = required(TEXT, key="from")
    to: str = required(TEXT)
    guards: tuple[Check, ...] = required(FORECAST_CHECKS)
    sets: Mapping[str, str] = required(OBJECT_OF_TEXT)
    action: str | None = optional(or_none(TEXT))
    facts: Mapping[str, Reading] = optional(READINGS, {})
    waits: bool = optional(FLAG, default=False)
    point_of_no_return: bool = optional(FLAG, default=False, key="final_write")
    reason: str = optional(TEXT, "", key="because")
    foreseen: tuple[ForeseenCheck, ...] = optional(FORESEEN, (), since="0.4.0", note="guards of later rows")
    unread: str = optional(TEXT, "", since="0.4.0", note="why this row, or one before it, could not be read")

    @property
    def failed(self) -> list[Check]:
        """The guards that would stop the row; a wait's guards are waited for."""
        own = [] if self.waits else [check for check in self.guards if check.outcome == "failed"]
        return [*own, *(check for check in self.foreseen if check.refuses)]

    @property
    def outcome(self) -> str:
        """What a dry run foresees for the row: pass, wait, refused, depends (on what was not done), or unknown.

        Unknown is a row whose facts could not be read, and every row after it: nobody can say that it would pass.
        """
        if any(check.value != "unknown" for check in self.failed):
            return "refused"
        if self.unread or self.failed:
            return "unknown"
        if any(check.outcome == "failed" for check in self.guards):
            return "wait"
        return "depends" if any(check.outcome == "not_evaluated" for check in self.guards) else "pass"


@frozen(kw_only=True)
class Ended(Body):
    """The run is over."""

    state: str = required(TEXT)
    status: str = required(one_of("dry_run", "complete", "aborted", "failed", "refused"))
    reason: str = required(TEXT)
    frozen: tuple[str, ...] = required(WORDS)
    next_actions: tuple[NextAction, ...] = required(NEXT_ACTIONS, key="ways")
    kept: tuple[str, ...] = required(WORDS)
    stage: str = optional(TEXT, "")
    findings: tuple[str, ...] = optional(WORDS, (), note=FINDINGS)


@frozen(kw_only=True)
class Seal(Body):
    """The last line of a finished run: how many records come before it, and the hash of the last of them."""

    records: int = required(POSITIVE)
    head: str = required(SHA256)


KINDS: Mapping[str, type[Body]] = {
    "run_started": RunStarted,
    "lease_acquired": LeaseAcquired,
    "start_revoked": StartRevoked,
    "resumed": Resumed,
    "tail_cut": TailCut,
    "sampled": Sampled,
    "intent": Intent,
    "failed": Failed,
    "repaired": Repaired,
    "commit": Commit,
    "resolved": Resolved,
    "settled": Settled,
    "predecessor_settled": PredecessorSettled,
    "rejected": Rejected,
    "held": Held,
    "forecast": Forecast,
    "ended": Ended,
    "seal": Seal,
}
"""The word in a record's ``kind`` -> what its body is."""

_OPTIONAL_ANYWHERE = {line.key: line.type for kind in KINDS.values() for line in fields_of(kind) if not line.required}
"""An optional key means the same in every kind, so that a reader of several kinds may rely on its type."""


_TYPES = {
    kind: _OPTIONAL_ANYWHERE | {line.key: line.type for line in fields_of(declared)} for kind, declared in KINDS.items()
}

_NARROW = {
    kind: tuple((key, type_) for key, type_ in types.items() if type_.allows is not whatever)
    for kind, types in _TYPES.items()
}
"""Kind -> the fields of which the schema says more than the reader asks."""


_FIELDS = {kind: {line.key: (line.name, line.type) for line in fields_of(declared)} for kind, declared in KINDS.items()}
_REQUIRED = {kind: {line.key for line in fields_of(declared) if line.required} for kind, declared in KINDS.items()}

# --- reading --------------------------------------------------------------------------------------------


@frozen
class Checked:
    """A body that is in every way as its kind declares: its fields, parsed."""

    values: Mapping[str, Any]


def checked(kind: str, body: Json) -> Checked | None:
    """Return a body's fields, parsed, if there is nothing to say of them; None: ``misfits`` and the others say what.

    What it says of a list or an object is remembered by content: a run that waits for an hour says the same again and
    again.
    """
    fields = _FIELDS.get(kind)
    if fields is None or not _REQUIRED[kind] <= body.keys():
        return None
    values: dict[str, Any] = {}
    for key, value in body.items():
        line = fields.get(key)
        if line is None:
            return None
        name, type_ = line
        if isinstance(value, dict | list) and value:
            parsed_ = _MEMO.judged(type_, value)
            if parsed_ is None:
                return None
            values[name] = parsed_[0]
        elif not type_.fits(value) or (type_.allows is not whatever and not type_.allows(value)):
            return None
        else:
            values[name] = type_.parse(value)
    return Checked(values)


_SHALLOW = 90  # levels of one field: record.py allows a hundred for the whole


class _Memo:
    """What is known of values that were judged before: by type and content, as many as fit into a few megabytes."""

    LARGEST_BYTES = 4 << 20

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], tuple[Any] | None] = {}
        self._size = 0

    def judged(self, type_: Type, value: Any) -> tuple[Any] | None:
        """Return (the parsed value,), or None for one of which there is something to say."""
        try:
            content = marshal.dumps(value, 2)
        except ValueError:  # too deep, or no JSON
            return None
        key = id(type_), content
        if key not in self._known:
            if self._size + len(content) > self.LARGEST_BYTES:
                self._known.clear()
                self._size = 0
            self._size += len(content)
            self._known[key] = self._judge(type_, value)
        return self._known[key]

    @staticmethod
    def _judge(type_: Type, value: Any) -> tuple[Any] | None:
        if not type_.fits(value) or not type_.allows(value) or any(True for _ in type_.undeclared(value, "")):
            return None
        return None if _is_deeper(value, _SHALLOW) else (type_.parse(value),)


def _is_deeper(value: Any, levels: int) -> bool:
    containers = [value]
    for _ in range(levels):
        containers = [
            member
            for container in containers
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, dict | list)
        ]
        if not containers:
            return False
    return True


_MEMO = _Memo()


def misfits(kind: str, body: Json) -> Iterator[str]:
    """Yield, in words, what keeps a body from being read at all: a required field that is missing, or a wrong type."""
    declared = KINDS.get(kind)
    if declared is None:
        yield f"there is no kind of record {kind!r}"
        return
    lines = fields_of(declared)
    yield from (f"a {kind} record lacks {line.key}" for line in lines if line.required and line.key not in body)
    for key, type_ in _types_in(kind, body):
        if not type_.fits(body[key]):
            yield f"{key} of a {kind} record is not of its type"


def undeclared(kind: str, body: Json) -> Iterator[str]:
    """Yield, in words, each undeclared key inside an object of the body; ``misfits`` has the fields that misfit."""
    for key, type_ in _types_in(kind, body) if kind in KINDS else ():
        if type_.undeclared is not nothing and type_.fits(body[key]):
            yield from type_.undeclared(body[key], key)


def unallowed(kind: str, body: Json) -> Iterator[str]:
    """Yield, in words, each field that fits and that the schema does not allow: another word, another form."""
    for key, type_ in _NARROW.get(kind, ()):
        if key in body and not type_.allows(body[key]):
            yield f"{key} of a {kind} record is not as its schema says"


def _types_in(kind: str, body: Json) -> Iterator[tuple[str, Type]]:
    """Yield each declared key of a body, with its type."""
    return ((key, type_) for key, type_ in _TYPES[kind].items() if key in body)


def made(kind: str, known: Checked) -> Body:
    """Return a body that was checked."""
    return KINDS[kind](**known.values)


def parse(kind: str, body: Json, faults: Sequence[str]) -> Body:
    """Return a body as its kind declares it. Raises ValueError with the first of its ``misfits``."""
    if faults:
        raise ValueError(faults[0])
    return parsed(KINDS[kind], body)
