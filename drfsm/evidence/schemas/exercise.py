"""An exercise: what a person writes before it (the plan), and the record that drfsm keeps of it.

A regulator asks for more of a test than its log: docs/evidence.md says which requirement each of these fields answers.
"""

from drfsm.evidence.schemas.said import said
from drfsm.evidence.schemas.shapes import (
    FLAG,
    NONE,
    NUMBER,
    SHA256,
    TEXT,
    TIME,
    UNKNOWN,
    WHY,
    WORDS,
    WORDS_OR_NONE,
    Fields,
    Receipt,
    about,
    array,
    const,
    either,
    matching,
    one_of,
    record,
    whole,
)

KINDS = ("tabletop", "walkthrough", "simulation", "component", "full")
PROCEDURES = ("drill", "promote", "failback")
SEVERITIES = ("low", "medium", "high")
ID = r"^[a-z0-9][a-z0-9.-]{2,80}$"
_DATE = about("A day: 2027-03-31") | matching(r"^\d{4}-\d{2}-\d{2}$")
_SECONDS = NUMBER | {"minimum": 0}
_OBJECTIVES = record(
    {},
    optional={
        "recovery_time_seconds": about("How long the recovery may take, in seconds") | _SECONDS,
        "recovery_point_seconds": about("How old what is recovered may be, in seconds") | _SECONDS,
    },
)
_THIRD_PARTY = record(
    {
        "name": said("Who: a provider"),
        "service": said("Which of its services"),
        "part": about("What the exercise did with it") | one_of("exercised", "simulated", "not exercised"),
    }
)
_ROLE = record({"role": said("What they were responsible for"), "person": said("Who")})
_PLAN: Fields = {
    "exercise": about("Its name, which becomes a directory: 2026-q4-failback") | matching(ID),
    "title": said("What it is, in one line"),
    "scenario": said("What is assumed to have happened"),
    "kind": about(
        "tabletop: talked through; walkthrough: each step looked at; simulation: on sandboxes or copies; component: a"
        " part for real; full: the whole procedure for real"
    )
    | one_of(*KINDS),
    "procedures": about("The procedures that are exercised, each with its objectives")
    | {"type": "object", "minProperties": 1, "additionalProperties": False}
    | {"properties": {name: about(f"Objectives of the {name}") | _OBJECTIVES for name in PROCEDURES}},
    "objectives": about("What is to be shown") | array(said("One objective"), 1),
    "success_criteria": about("By what it is judged passed; the attestation answers each by its number")
    | array(said("One criterion"), 1),
    "roles": about("Who does what") | array(_ROLE, 1),
}
_PLAN_OPTIONAL: Fields = {
    "based_on": said("The business impact analysis and the risk assessment that the scenario is taken from"),
    "reported_to": said("Who is told the results and the deficiencies: the management body"),
    "assumptions": about("What is taken for granted, and not tested") | array(said("One assumption")),
    "out_of_scope": about("What the exercise leaves out, and why") | array(said("One thing")),
    "third_parties": about("Providers that the procedure depends on") | array(_THIRD_PARTY),
    "observers": about("Who watched, without a part in it") | array(said("One person, or a body")),
    "announced": about("Whether those who respond knew of it beforehand") | FLAG,
    "disaster_at": about("When the assumed disaster began; without it recovery times count from the run's start")
    | TIME,
    "next_due": about("When the next one is due") | _DATE,
}

PLAN_OF_EXERCISE = Receipt(
    "exercise.plan",
    title="The plan of an exercise",
    description="What a person writes, as YAML, before an exercise: `drfsm exercise start FILE` records it. Empty texts"
    " and placeholders (TBD, n/a, <name>) are refused.",
    shape=record(_PLAN, optional=_PLAN_OPTIONAL),
)

_SPENT = record(
    {
        "working": about("Seconds in which the machine read, acted or tried again") | NUMBER,
        "waiting": about("Seconds in which it waited for the world: a drain, a Job") | NUMBER,
        "person": about("Seconds in which it was held for a person's decision") | NUMBER,
        "down": about("Seconds in which no process worked on it") | NUMBER,
    }
)
_AGAINST: Fields = {
    "from": about("From this time") | WORDS,
    "until": about("Until this time") | TIME,
    "seconds": about("What was achieved, in seconds") | NUMBER,
    "objective_seconds": about("The objective, in seconds") | either(NONE, NUMBER),
    "within": about("Whether the objective was met") | either(NONE, FLAG),
}
_TIME_ACHIEVED = either(
    WHY,
    record(
        {
            **_AGAINST,
            "until_what": about("What ended the recovery") | WORDS,
            "spent": about("On what it was spent") | _SPENT,
        }
    ),
)
_POINT_ACHIEVED = either(WHY, record({**_AGAINST, "from_what": about("What was recovered") | WORDS}))
_RUN = record(
    {
        "run_id": about("The run") | WORDS,
        "machine": about("Its procedure") | WORDS,
        "machine_sha256": about("The digest of the declaration that it is pinned to") | SHA256,
        "scope": about("live, or a drill") | one_of("live", "drill"),
        "dry_run": about("Whether nothing was done, only foreseen") | FLAG,
        "status": about("How it ended, or stands") | WORDS,
        "started_at": about("When it began") | TIME,
        "ended_at": about("When it ended") | either(TIME, UNKNOWN),
        "verdict": about("What the audit of its journal said when it was included")
        | one_of("holds", "holds with remarks", "does not hold"),
        "recovery_time": about("How long the recovery took") | _TIME_ACHIEVED,
        "recovery_point": about("How old what was recovered was") | _POINT_ACHIEVED,
        "journal": about("What its journal was when it was included; `drfsm replay --expect-head` compares")
        | record({"records": whole(1), "head": SHA256, "sealed": FLAG}),
    }
)
_DEFICIENCY = record(
    {
        "number": about("By which it is closed") | whole(1),
        "title": said("What was found"),
        "severity": about("How much it matters") | one_of(*SEVERITIES),
        "owner": said("Who mends it"),
        "due": about("Until when") | _DATE,
        "found_at": about("When it was recorded") | TIME,
        "status": about("Whether it was closed by a retest") | one_of("open", "closed"),
        "retest": about("By which run or evidence it was closed") | WORDS_OR_NONE,
        "closed_at": about("When it was closed") | either(TIME, NONE),
    }
)
_CRITERION = record(
    {
        "criterion": about("As the plan has it") | WORDS,
        "met": about("What the attestation says of it") | either(UNKNOWN, FLAG),
    }
)
_ATTESTATION = record(
    {
        "result": about("What the exercise was") | one_of("passed", "failed"),
        "name": said("Who attests"),
        "role": said("In which role"),
        "notes": about("What they said with it") | TEXT,
        "at": about("When") | TIME,
        "proven": about("What is proven of the process that recorded it") | {"type": "object"},
    }
)


EXERCISE = Receipt(
    "exercise",
    title="exercise.yaml",
    description="The record of an exercise, made of its journal (exercise.log), never written by hand. A copy of both"
    " lies in the bundle of each run that the exercise includes.",
    shape=record(
        {
            "schema_version": const(1),
            **_PLAN,
            **{name: about(shape["description"]) | either(NONE, shape) for name, shape in _PLAN_OPTIONAL.items()},
            "success_criteria": about("By what it is judged, and whether each was met") | array(_CRITERION, 1),
            "plan_sha256": about("The digest of the plan's file as it was recorded") | SHA256,
            "started_at": about("When it began") | TIME,
            "started_by": about("Who recorded the start") | WORDS,
            "closed_at": about("When it was closed") | either(TIME, UNKNOWN),
            "notes": about("What was noted, oldest first")
            | array(
                record(
                    {
                        "at": about("When") | TIME,
                        "by": about("Who") | WORDS,
                        "text": said("What"),
                    }
                )
            ),
            "runs": about("The runs that it includes, with what each achieved") | array(_RUN),
            "deficiencies": about("What was found wanting, with owner, due date and retest") | array(_DEFICIENCY),
            "result": about("What the attestation says of the whole") | either(UNKNOWN, one_of("passed", "failed")),
            "attestation": about("Who says so") | either(UNKNOWN, _ATTESTATION),
            "journal": about("The chain of the exercise's own journal") | record({"records": whole(1), "head": SHA256}),
        }
    ),
)
