"""The summary of a run: what all machines' summaries say, and where a machine adds its receipt.

drfsm/evidence/summary.py makes it. A machine adds the inputs that it can't be without, the table of its receipt,
and what may not be unknown once a run is complete (failback.py, promote.py, drill.py).
"""

from collections.abc import Sequence

from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    NONE,
    NUMBER,
    NUMBER_OR_UNKNOWN,
    SCOPE,
    SHA256,
    TEXT,
    TEXT_OR_UNKNOWN,
    TIME,
    TIME_OR_UNKNOWN,
    UNKNOWN,
    UNKNOWN_SAID,
    WHY,
    WORDS,
    WORDS_OR_NONE,
    WORDS_OR_UNKNOWN,
    Fields,
    Receipt,
    Shape,
    about,
    array,
    const,
    either,
    mapping,
    matching,
    not_a,
    one_of,
    record,
    ref,
    when,
    whole,
)
from drfsm.evidence.summary import SCHEMA_VERSION

_DESCRIPTION = (
    "The summary of a {}'s journal. Derived; the journal is the truth. A field that could not be read, or may still"
    ' come, is {{"unknown": why}}; one of which this run has none is {{"none": why}}; nothing is null without reason.'
)
_ENDED = ("complete", "aborted", "failed", "refused")
_UNDER_WAY = ("running", "held", "interrupted")

_PROVEN = record(
    {
        "os_user": about("The owner of the process") | either(UNKNOWN, ref("os_user")),
        "cloud_caller": about("The ARN of the credentials, as the cloud reports it") | either(UNKNOWN, WORDS),
        "cluster_users": about("site -> the user, as the cluster reports it")
        | either(UNKNOWN, mapping(either(UNKNOWN, WORDS))),
    }
)
_ACTOR = record(
    {
        "did": about("started, resumed, resolved, or the trigger of an operator's row") | WORDS,
        "at": TIME,
        "operator": about("The name that was given: free text") | WORDS_OR_UNKNOWN,
        "host": WORDS_OR_NONE,
        "proven": _PROVEN,
    }
)
_OPEN_INTENT = record(
    {
        "trigger": TEXT,
        "from": TEXT,
        "to": TEXT,
        "begun_at": TIME,
        "attempt": whole(1),
        "effect": one_of("none", "idempotent", "once"),
    }
)
_DECISION = record({"at": TIME, "what": TEXT, "operator": TEXT_OR_UNKNOWN, "reason": either(TEXT, NONE), "state": TEXT})
_ATTEMPTS = record({"row": TEXT, "begun": COUNT, "failed": COUNT, "repaired": COUNT, "last_error": WORDS_OR_NONE})
_STATE_DURATION = record(
    {
        "state": TEXT,
        "trigger": TEXT,
        "to": TEXT,
        "how": one_of("judged", "acted", "found", "resolved"),
        "entered_at": TIME,
        "left_at": TIME,
        "seconds": NUMBER_OR_UNKNOWN,
    }
)
_FORESEEN = record(
    {
        "guard": TEXT,
        "at": about("The trigger of the row that it would stop") | TEXT,
        "would": one_of("refuse", "wait", "hold"),
        "fact": TEXT,
        "value": TEXT,
        "because": TEXT,
        "what_to_do": WORDS_OR_NONE,
    }
)
_FORECAST = record(
    {
        "steps": array(
            record({"trigger": TEXT, "to": TEXT, "outcome": one_of("pass", "wait", "refused", "depends", "unknown")})
        ),
        "findings": array(TEXT),
    }
)


def _fields(machine: str, inputs: Sequence[str], receipt: Shape) -> Fields:
    return {
        "schema_version": const(SCHEMA_VERSION),
        "run_id": WORDS,
        "machine": const(machine),
        "machine_sha256": SHA256,
        "workload": about("The contract of the workload that the run recorded")
        | either(NONE, record({"name": WORDS, "sha256": SHA256})),
        "drfsm_version": WORDS,
        "scope": SCOPE,
        "dry_run": FLAG,
        "status": about("interrupted: its process ended without recording it")
        | one_of(*_UNDER_WAY, "dry_run", *_ENDED),
        "state": WORDS,
        "state_since": TIME,
        "failed_stage": WORDS_OR_NONE,
        "reason": WORDS_OR_NONE,
        "what_to_do": WORDS_OR_NONE,
        "started_at": TIME,
        "ended_at": TIME_OR_UNKNOWN,
        "duration_seconds": NUMBER_OR_UNKNOWN,
        "operators": array(WORDS, least=1),
        "hosts": array(WORDS, least=1),
        "actors": about("Who started, resumed and decided, and what of that is proven") | array(_ACTOR, least=1),
        "inputs": about("The run's inputs with a value, without confirmation tokens")
        | {"type": "object", "required": list(inputs), "propertyNames": not_a({"pattern": "confirm"})}
        | {"additionalProperties": {"type": ["string", "number", "boolean"]}},
        "frozen": about("What is frozen now, and since when this run knows of it")
        | array(record({"what": TEXT, "since": TIME})),
        "nobody_can_publish_since": either(TIME, NONE),
        "open_intent": about("An action that was begun and whose outcome is not on record")
        | either(NONE, _OPEN_INTENT),
        "ways_on": about("The next commands") | array(record({"type": matching("^drfsm "), "because": TEXT})),
        "kept": about("What an abort deliberately did not undo") | array(TEXT),
        "decisions": about("The operators' decisions") | array(_DECISION),
        "attempts": array(_ATTEMPTS),
        "state_durations": about("How long the run stood in each state") | array(_STATE_DURATION),
        "foreseen": about("Guards of later rows that did not hold when they were judged before anything moved")
        | array(_FORESEEN),
        "forecast": either(NONE, _FORECAST),
        "receipt": receipt | {"if": UNKNOWN_SAID, "then": UNKNOWN},
        "journal": about("To compare with the log: a copy of this off the machine reveals a truncated or rewritten log")
        | record({"records": whole(1), "head": SHA256, "sealed": FLAG}),
    }


_SINCE_0_4_0: Fields = {
    "not_excluded": about("Actions that were given up, and of which a request may still take effect") | array(TEXT)
}
_RUNNING_MACHINE = record(
    {
        "instance_id": WORDS,
        "instance_type": WORDS_OR_UNKNOWN,
        "disk_gb": either(COUNT, UNKNOWN),
        "since": TIME_OR_UNKNOWN,
    }
)
_SINCE_0_5_0: Fields = {
    "running_machines": about("Machines that the run started and that run on, and what they cost up to the last record")
    | record(
        {
            "machines": array(_RUNNING_MACHINE, least=1),
            "until": TIME,
            "machine_hours": NUMBER_OR_UNKNOWN,
            "amount": WORDS_OR_UNKNOWN,
            "amount_an_hour": WORDS_OR_UNKNOWN,
            "currency": WORDS_OR_UNKNOWN,
        }
    )
}
_SINCE_0_7_0: Fields = {
    "approvals": about("The approvals that a policy asked for; in the journal each stands whole, with its signature")
    | record(
        {
            "policy": record({"approvals": whole(1), "distinct": FLAG, "expires_seconds": NUMBER, "signed": FLAG}),
            "plan_sha256": either(UNKNOWN, SHA256),
            "given": array(
                record(
                    {
                        "by": WORDS,
                        "signer": WORDS_OR_NONE,
                        "key": WORDS_OR_NONE,
                        "ticket": WORDS_OR_NONE,
                        "reason": WORDS_OR_NONE,
                        "at": TIME,
                    }
                )
            ),
        }
    ),
    "config": about("The drfsm.toml that the run was started with") | record({"path": WORDS, "sha256": SHA256}),
}
_RULES = (
    when(
        {"status": one_of(*_ENDED, "dry_run")},
        {"ended_at": TIME, "duration_seconds": NUMBER},
        {"ended_at": UNKNOWN, "ways_on": {"minItems": 1}},
    ),
    when(
        {"dry_run": const(value=True)},
        {
            "status": one_of(*_UNDER_WAY, "dry_run", "refused"),
            "state_durations": {"maxItems": 0},
            "attempts": {"maxItems": 0},
        },
        {"status": not_a(const("dry_run")), "forecast": NONE},
    ),
)


def summary(machine: str, *, inputs: Sequence[str], receipt: Shape, rules: Sequence[Shape] = ()) -> Receipt:
    """Return a machine's summary. ``receipt`` is the shape of its receipt, where that is not unknown as a whole."""
    return Receipt(
        f"{machine}.summary",
        title=f"{machine}.summary.json",
        description=_DESCRIPTION.format(machine),
        shape=record(_fields(machine, inputs, receipt), optional={**_SINCE_0_4_0, **_SINCE_0_5_0, **_SINCE_0_7_0}),
        rules=(*_RULES, *rules),
    )


def receipt_of(description: str, table: Shape) -> Shape:
    """Return the shape of the field ``receipt``: the machine's table, or why nothing of it can be known."""
    return about(description) | {"else": table}


def known(*names: str) -> Fields:
    """Return the fields of a summary in whose receipt each of these has a value."""
    return {"receipt": {"properties": {name: not_a(WHY) for name in names}}}
