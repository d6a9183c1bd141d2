"""`drfsm exercise`: keeps the record of an exercise, for whoever must show one. Offline; changes no run."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import click

from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import UsageFault

_which = click.option("--exercise", "name", metavar="NAME", help="Which one; not needed where only one is open.")
_LARGEST_PLAN = 1 << 20
_CRITERION = re.compile(r"(\d{1,3})=(met|not_met)")


@click.group()
def exercise() -> None:
    """Keep the record of an exercise: what was planned, which runs it had, what was found wanting, who attests it.

    docs/evidence.md says which requirement of a regulator each field answers.
    """


@exercise.command()
@click.argument("plan", type=click.Path(dir_okay=False), metavar="PLAN.yaml")
def start(plan: str) -> None:
    """Begin an exercise by its plan: scenario, kind, objectives, success criteria, roles. Empty texts are refused."""
    import hashlib

    from drfsm.claims import yaml_of
    from drfsm.evidence.receipts import check
    from drfsm.evidence.schemas.exercise import PLAN_OF_EXERCISE
    from drfsm.files import given_file
    from drfsm.runs import exercises

    raw = given_file(plan, "the plan", _LARGEST_PLAN)
    said = plain(yaml_of(raw, plan, largest_bytes=_LARGEST_PLAN))
    faults = check(said, PLAN_OF_EXERCISE.schema)
    if faults:
        raise _wrong(plan, faults)
    body = {"plan_sha256": hashlib.sha256(raw).hexdigest(), **_who()}
    begun = exercises.begin(said, body)
    say(f"the exercise {begun.id} is open; its record: {exercises.home() / begun.id / exercises.RECORD}")
    say(f"next: drfsm exercise include BUNDLE --exercise {begun.id}   for each run that belongs to it")


def plain(value: Any) -> Any:
    """Return what YAML has read as JSON can say it: a day is a text again."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, date) else value


def _wrong(plan: str, faults: list[str]) -> UsageFault:
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""  # noqa: PLR2004  enough to begin with
    return UsageFault(
        f"{plan} is no plan of an exercise: {'; '.join(faults[:5])}{more}",
        hint="docs/evidence.md has a whole one; receipts_schema/exercise.plan.schema.json is for your editor",
    )


def _who() -> dict[str, Any]:
    """Return who types this: the name of the process' owner, and what is proven of it."""
    from drfsm.engine.runner import who
    from drfsm.runs.identity import process_owner

    return {"by": who(), "proven": process_owner()}


@exercise.command()
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE|S3_URI...")
@_which
def include(bundles: tuple[str, ...], name: str | None) -> None:
    """Add runs to an exercise: each with its verdict, its journal's head, and what recovery it achieved.

    Include a run once it has ended; a run that is included again counts as it is then. The record of the exercise is
    copied into each bundle, and again whenever it changes.
    """
    from drfsm.cli.judging import beside, judged_run
    from drfsm.evidence.recovery import achieved
    from drfsm.journal import fold
    from drfsm.runs import exercises

    chosen = exercises.chosen(name)
    for named in bundles:
        run = judged_run(named)
        state = fold(run.records)
        told = {
            "run_id": state.run_id, "machine": state.machine, "machine_sha256": state.machine_sha256,
            "scope": state.scope, "dry_run": state.dry_run, "status": state.status, "started_at": state.started_at,
            "ended_at": state.ended_at or {"unknown": "it had not ended when it was included"},
            "verdict": run.judged.verdict,
            **achieved(state, run.records, chosen.objectives(state.machine), chosen.plan.get("disaster_at", "")),
            "journal": {"records": len(run.records), "head": run.head, "sealed": state.sealed},
        }  # fmt: skip
        place = beside(run.place)
        chosen = exercises.add(chosen, "run_included", {"run": told, "bundle": str(place or "")})
        say(f"{chosen.id} includes {state.run_id}: {state.status}, its evidence {run.judged.verdict}")


@exercise.command()
@click.argument("text")
@_which
def note(text: str, name: str | None) -> None:
    """Write a note into the record of an exercise, with the time and your name."""
    from drfsm.runs import exercises

    done = exercises.add(exercises.chosen(name), "noted", {"text": _said(text, "the note"), "by": _who()["by"]})
    say(f"{done.id}: noted")


@exercise.command()
@click.argument("title", required=False)
@click.option("--owner", help="Who mends it.")
@click.option("--due", metavar="DAY", help="Until when: 2027-03-31.")
@click.option("--severity", type=click.Choice(["low", "medium", "high"]), default="medium", show_default=True)
@click.option("--close", "number", type=click.IntRange(min=1), metavar="NUMBER", help="Close this one instead.")
@click.option("--retest", metavar="RUN|WORDS", help="With --close: the run or the evidence that shows it mended.")
@_which
def deficiency(
    title: str | None, owner: str | None, due: str | None, severity: str, number: int | None, retest: str | None,
    name: str | None,
) -> None:  # fmt: skip
    """Record what an exercise found wanting, with owner and due date; or close one by its retest.

    Also after the exercise is closed: its retest comes later.
    """
    from drfsm.runs import exercises

    if number is not None:
        if title or owner or due:
            raise UsageFault("--close takes no title, owner or due date", hint=f"--close {number} --retest RUN")
        body: dict[str, Any] = {"number": number, "retest": _said(retest, "--retest"), "by": _who()["by"]}
        done = exercises.add(exercises.chosen(name), "deficiency_closed", body)
        say(f"{done.id}: deficiency {number} is closed by {retest}")
        return
    body = {
        "title": _said(title, "the title"), "severity": severity, "owner": _said(owner, "--owner"),
        "due": _day(due, "--due"), "by": _who()["by"],
    }  # fmt: skip
    done = exercises.add(exercises.chosen(name), "deficiency_found", body)
    say(f"{done.id}: deficiency {len(done.of('deficiency_found'))}, {owner} until {due}")


@exercise.command()
@click.argument("result", type=click.Choice(["passed", "failed"]))
@click.option("--name", "person", required=True, help="Who attests it.")
@click.option("--role", required=True, help="In which role: head of operations, internal audit.")
@click.option("--notes", default="", help="What they say with it.")
@click.option(
    "--criterion", "criteria", multiple=True, metavar="NUMBER=met|not_met", help="Of each criterion of the plan."
)
@_which
def attest(result: str, person: str, role: str, notes: str, criteria: tuple[str, ...], name: str | None) -> None:
    """Say by name that an exercise was passed or failed, and whether each of its success criteria was met."""
    from drfsm.runs import exercises

    met = {}
    for said in criteria:
        if (match := _CRITERION.fullmatch(said)) is None:
            raise UsageFault(f"--criterion {said}: that is none", hint="--criterion 1=met, or 1=not_met")
        met[match[1]] = match[2] == "met"
    if result == "passed" and (missed := [number for number, was_met in met.items() if not was_met]):
        raise UsageFault(f"criterion {missed[0]} was not met, so the exercise was not passed", hint="attest failed")
    body = {
        "result": result, "name": _said(person, "--name"), "role": _said(role, "--role"), "notes": notes,
        "criteria": met, **_who(),
    }  # fmt: skip
    done = exercises.add(exercises.chosen(name), "attested", body)
    say(f"{done.id}: {result}, attested by {person}")
    for words in done.short() if result == "passed" else ():
        say(f"  though {words}", err=True)


@exercise.command()
@click.option("--next-due", metavar="DAY", help="When the next one is due, if the plan does not say.")
@_which
def close(next_due: str | None, name: str | None) -> None:
    """Close an exercise. Refused as long as nobody attested it, a criterion is unsaid, or it has no run."""
    from drfsm.runs import exercises

    due = _day(next_due, "--next-due") if next_due else ""
    done = exercises.add(exercises.chosen(name), "exercise_closed", {"next_due": due, "by": _who()["by"]})
    say(f"{done.id} is closed: {done.of('attested')[-1].body['result']}")
    say(f"its record: {exercises.home() / done.id / exercises.RECORD}; a copy is in each of its bundles")


@exercise.command()
@click.argument("name", required=False)
@output_format
def show(name: str | None, output: str) -> None:
    """Show an exercise, or list all of this computer. Its journal is verified before."""
    from drfsm.evidence.exercises import record_of
    from drfsm.runs import exercises

    if name is None:
        listed = [record_of(exercises.load(known)) for known in exercises.known()]
        if output == "json":
            say_json([_brief(record) for record in listed])
            return
        say_lines(f"{_words(record['result']):<12} {record['exercise']:<32} {record['title']}" for record in listed)
        if not listed:
            say("no exercise is known: drfsm exercise start PLAN.yaml begins one", err=True)
        return
    record = record_of(exercises.load(name))
    if output == "json":
        say_json(record)
    else:
        say_lines(_told(record))


def _brief(record: Mapping[str, Any]) -> dict[str, Any]:
    names = ("exercise", "title", "kind", "started_at", "closed_at", "result")
    return {name: record[name] for name in names}


def _words(value: Any) -> str:
    return "not attested" if isinstance(value, Mapping) else str(value)


def _told(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield an exercise in words."""
    from drfsm.evidence.durations import lasting

    yield f"{record['exercise']}: {record['title']} ({record['kind']}), {_words(record['result'])}"
    yield f"  {record['scenario']}"
    for number, criterion in enumerate(record["success_criteria"], start=1):
        met = "unsaid" if isinstance(criterion["met"], Mapping) else "met" if criterion["met"] else "NOT met"
        yield f"  criterion {number}: {criterion['criterion']}: {met}"
    for run in record["runs"]:
        time = run["recovery_time"]
        took = f", recovered in {lasting(time['seconds'])}" if "seconds" in time else ""
        yield f"  run {run['run_id']}: {run['status']}{took}; its evidence {run['verdict']}"
    for found in record["deficiencies"]:
        what = f"{found['number']} ({found['severity']}, {found['status']}): {found['title']}"
        yield f"  deficiency {what}; {found['owner']} until {found['due']}"
    for said in record["notes"]:
        yield f"  {said['at'][:16].replace('T', ' ')} {said['by']}: {said['text']}"
    yield f"  journal: {record['journal']['records']} records, head {record['journal']['head']}"


def _said(text: str | None, what: str) -> str:
    """Return a text that says something. Raises UsageFault for an empty one, and for a placeholder."""
    from drfsm.evidence.schemas.said import PLACEHOLDER

    if text is None or not text.strip() or re.search(PLACEHOLDER, text):
        raise UsageFault(f"{what} says nothing: {(text or '')!r}", hint="say it in words: an auditor reads this")
    return text.strip()


def _day(text: str | None, what: str) -> str:
    """Return a day as it is recorded. Raises UsageFault for what is none."""
    try:
        return date.fromisoformat(text or "").isoformat()
    except ValueError:
        raise UsageFault(f"{what} {text or ''!r} is no day", hint=f"{what} 2027-03-31") from None
