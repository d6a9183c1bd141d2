"""`drfsm fleet`: runs of many pairs of sites through Temporal, from one file. Holds no rule: drfsm/fleet has them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.fleet_inputs import GIVEN, STARTED, options_of
from drfsm.cli.fleet_worker import check_installed
from drfsm.cli.options import Command, Duration, operator, reason_in_words, with_options
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json, say_text
from drfsm.cli.textfiles import check_name, put_in_place
from drfsm.engine.runner import who as this_user
from drfsm.errors import DrfsmError, ExitCode, UsageFault

if TYPE_CHECKING:
    from drfsm.fleet.pairs import Fleet, Pair
    from drfsm.fleet.view import Standing

_FILE = (
    click.option(
        "--fleet", "file", default="fleet.toml", show_default=True, envvar="DRFSM_FLEET", show_envvar=True,
        type=click.Path(path_type=Path), metavar="FILE", help="The fleet file.",
    ),
)  # fmt: skip
_CHOICE = (
    *_FILE,
    click.option(
        "--select", "selectors", multiple=True, metavar="WORD=VALUE",
        help="Only pairs that say so, as team=search or name=a,b. Repeatable: all must fit.",
    ),
)  # fmt: skip
_procedure = click.argument("procedure", type=click.Choice(STARTED))
_reason = click.option("--reason", required=True, callback=reason_in_words, help="Why. It is recorded.")
_name = click.option("--name", default="", help="Name of the start, where several are made.  [default: the operator]")


def _on_the_file(command: Command) -> Command:
    return with_options(command, _FILE)


def _on_pairs(command: Command) -> Command:
    return with_options(command, _CHOICE)


@click.group()
def fleet() -> None:
    """Run procedures of many pairs of sites on Temporal, in waves; show where all of them stand."""


def _read(file: Path) -> "Fleet":
    check_installed()
    from drfsm.fleet import pairs

    return pairs.read(file)


def _asked(file: Path, ask: Callable[["Fleet", Any], Any]) -> Any:
    """Ask Temporal, at the fleet file's address."""
    from drfsm.fleet import client

    chosen = _read(file)

    async def work() -> Any:
        connection = await client.connected(chosen.temporal["address"], chosen.temporal["namespace"])
        return await ask(chosen, connection)

    return client.together(work())


# --- before a start, and the start --------------------------------------------------------------------------


@fleet.command("plan")
@_procedure
@_on_pairs
@output_format
def plan_of(procedure: str, file: Path, selectors: tuple[str, ...], output: str) -> int:
    """Show which pairs would be started in which wave, and what is wrong with their entries. Starts nothing."""
    chosen = _read(file)
    waves = chosen.waves(chosen.selected(selectors))
    faults = {pair.name: fault for wave in waves for pair in wave if (fault := _fault_of(pair, procedure))}
    if output == "json":
        say_json({
            "procedure": procedure, "approval": chosen.approval, "stop_after": chosen.number("stop_after"),
            "at_once": chosen.number("at_once"),
            "waves": [[{"pair": pair.name, "entry_sha256": pair.sha256(procedure)} for pair in wave] for wave in waves],
            "faults": faults,
        })  # fmt: skip
    else:
        for number, wave in enumerate(waves, 1):
            asks = chosen.approval == "each" or (chosen.approval == "after_first" and number > 1)
            say(f"wave {number}{', after a person approved it' if asks else ''}: {len(wave)} pairs")
            for pair in wave:
                say(f"  {pair.name:<24} {pair.words.get('owner', '')}  {faults.get(pair.name, '')}".rstrip())
        stops = chosen.number("stop_after")
        say(f"at most {chosen.number('at_once')} runs at once; no start after {stops} that did not end complete"
            if stops else f"at most {chosen.number('at_once')} runs at once; failures stop nothing")  # fmt: skip
    return int(ExitCode.REFUSED if faults else ExitCode.DONE)


def _fault_of(pair: "Pair", procedure: str) -> str:
    """Return what is wrong with a pair's entry for a procedure, "" for nothing that can be seen offline."""
    stand_in = {"dr_run_id": "2026-01-01T00:00:00Z", "reason": "a plan"}
    given = {name: stand_in[name] for name in GIVEN[procedure] if name in stand_in}
    try:
        options_of(pair, procedure, given)
    except DrfsmError as fault:
        return fault.what
    return ""


@fleet.command("run")
@_procedure
@_on_pairs
@_name
@click.option("--dr-run-id", default="", help="Of a failback: the run of DR that is canonical now. One pair at a time.")
@click.option("--confirm1", default="", help="Of a failback: the first token, FAILBACK.")
@click.option("--confirm2", default="", help="Of a failback: the second token, CONFIRM-<dr run id>.")
@click.option("--reason", default="", help="Of a failback: why, where its options need a reason.")
@operator
def start(
    procedure: str, file: Path, selectors: tuple[str, ...], name: str, operator: str, **given: str
) -> int:  # fmt: skip
    """Start runs of the selected pairs, in waves. `drfsm fleet status` shows where they stand.

    Workers (`drfsm worker --temporal`) do the rows. A pair that has a run at work is passed over.
    """
    said = {word: value for word, value in given.items() if value}
    chosen = _read(file)
    pairs = chosen.selected(selectors)
    if procedure == "failback" and len(pairs) != 1:
        raise UsageFault(
            f"a failback is started for one pair at a time, and {len(pairs)} are selected", hint="--select name=PAIR"
        )
    if faults := [fault for pair in pairs if (fault := _checked(pair, procedure, said))]:
        raise UsageFault("; ".join(faults), hint="drfsm fleet plan lists what is wrong; nothing was started")
    body, who = _body(chosen, pairs, procedure, operator, said)
    from drfsm.fleet import client

    workflow_id = client.fleet_id_of(procedure, name or (pairs[0].name if procedure == "failback" else who))
    _asked(file, lambda fleet, connection: client.start(connection, fleet, workflow_id, body))
    say(f"started {workflow_id}: {len(pairs)} pairs in {len(body['waves'])} waves", err=True)
    say(f"  next: drfsm fleet status --fleet {file}", err=True)
    say(workflow_id)
    return int(ExitCode.DONE)


def _checked(pair: "Pair", procedure: str, given: Mapping[str, str]) -> str:
    try:
        options_of(pair, procedure, given)
    except DrfsmError as fault:
        return fault.what
    return ""


def _body(
    chosen: "Fleet", pairs: Any, procedure: str, operator: str, given: Mapping[str, str], *, pinned: bool = True
) -> tuple[dict[str, Any], str]:
    """Return what a fleet starts with, and under whose name. ``pinned``: to the machine that this drfsm ships."""
    from drfsm.fleet import client
    from drfsm.resources import shipped
    from drfsm.runs.trust import sha256_of

    who = operator or this_user()
    sha256 = sha256_of((shipped("machines") / f"{procedure}.yaml").read_bytes()) if pinned else ""
    return client.start_of(chosen, pairs, procedure, machine_sha256=sha256, operator=who, given=given), who


@fleet.command("schedule")
@click.argument("verb", type=click.Choice(["set", "pause", "resume", "show", "delete"]))
@_on_pairs
@click.option("--cron", default="", help="With set: when, as five fields of cron, in UTC.")
@click.option("--jitter", type=Duration(), default=0, metavar="DURATION", help="With set: start up to so much later.")
@click.option("--reason", default="", help="With pause and resume: why. Temporal keeps it.")
@operator
def schedule(
    verb: str, file: Path, selectors: tuple[str, ...], cron: str, jitter: float, reason: str, operator: str
) -> int:  # fmt: skip
    """Start drills of the selected pairs by a schedule: set, pause, resume, show or delete it.

    A start is passed over while the one before is at work. Which pairs are drilled is what the file says at `set`.
    """
    from drfsm.fleet import client

    if verb == "set":
        if not cron:
            raise UsageFault("--cron is missing: when drills start", hint="e.g. --cron '0 3 * * 1'")
        chosen = _read(file)
        body, _ = _body(chosen, chosen.selected(selectors), "drill", operator, {}, pinned=False)
        _asked(file, lambda fleet, connection: client.schedule(
            connection, fleet, "drill", body, cron=cron, jitter_seconds=jitter
        ))  # fmt: skip
        say(f"drills of {sum(map(len, body['waves']))} pairs start at {cron} UTC", err=True)
    elif verb == "show":
        said = _asked(file, lambda _fleet, connection: client.scheduled(connection, "drill"))
        say(": ".join(filter(None, ("PAUSED" if said["paused"] else "active", said["note"]))))
        for moment in said["next"]:
            say(f"  next start: {moment}")
    else:
        note = f"{operator or this_user()}: {reason}" if reason else f"by {operator or this_user()}"
        _asked(file, lambda _fleet, connection: client.change_schedule(connection, "drill", verb, note))
        say(f"the schedule of drills: {verb} done", err=True)
    return int(ExitCode.DONE)


# --- what a person answers -----------------------------------------------------------------------------------


@fleet.command("answer")
@click.argument("pair")
@click.argument("trigger")
@_on_the_file
@_reason
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="What the trigger needs beside the reason.")
@operator
def answer(pair: str, trigger: str, file: Path, reason: str, args: tuple[str, ...], operator: str) -> int:
    """Fire TRIGGER in the run of PAIR: hold, resume, abort, skip, approve, ... Refused where it is not legal.

    The reason and your name are recorded. `take_over` says that you know that the run's old process has ended.
    """
    from drfsm.fleet import client

    given = {"reason": reason}
    for text in args:
        word, equals, value = text.partition("=")
        if not equals:
            raise UsageFault(f"--arg {text} is no NAME=VALUE", hint="e.g. --arg dr_run_id=…")
        given[word] = value
    who = operator or this_user()
    position = _asked(file, lambda fleet, connection: client.fire(
        connection, fleet.named(pair).name, trigger, who, given
    ))  # fmt: skip
    say(": ".join(filter(None, (f"{pair}: {position['state']}, {position['status']}", position["reason"]))))
    return int(ExitCode.HELD if position["status"] == "held" else ExitCode.DONE)


@fleet.command("approve")
@click.argument("start_id", metavar="START")
@click.argument("wave", type=click.IntRange(1))
@click.option("--ticket", required=True, help="The change's ticket.")
@_on_the_file
@operator
def approve(start_id: str, wave: int, ticket: str, file: Path, operator: str) -> int:
    """Approve the WAVE of START that waits (`drfsm fleet status` names it)."""
    from drfsm.fleet import client

    by = {"wave": wave, "operator": operator or this_user(), "ticket": ticket}
    _asked(file, lambda _fleet, connection: client.update_fleet(connection, start_id, "approve", by))
    say(f"wave {wave} of {start_id} begins", err=True)
    return int(ExitCode.DONE)


@fleet.command("stop")
@click.argument("start_id", metavar="START")
@_reason
@_on_the_file
@operator
def stop(start_id: str, reason: str, file: Path, operator: str) -> int:
    """Start no more runs of START; those that were started go on."""
    from drfsm.fleet import client

    by = {"operator": operator or this_user(), "reason": reason}
    _asked(file, lambda _fleet, connection: client.update_fleet(connection, start_id, "stop", by))
    say(f"{start_id} starts no run any more", err=True)
    return int(ExitCode.DONE)


# --- where all stand ------------------------------------------------------------------------------------------


@fleet.command("status")
@_on_pairs
@click.option("--start", "start_id", default="", metavar="START", help="Show where one start stands, by Temporal.")
@output_format
def status(file: Path, selectors: tuple[str, ...], start_id: str, output: str) -> int:
    """Show where every pair stands, by its newest run's mirror: without workers, and without Temporal."""
    if start_id:
        return _start_status(file, start_id, output)
    standings = _standings(file, selectors)
    from drfsm.fleet import page

    if output == "json":
        say_json({"pairs": [_json(standing) for standing in standings]})
    else:
        for line in page.lines(standings):
            say(line)
    waits = any(standing.status == "held" for standing in standings)
    return int(ExitCode.HELD if waits else ExitCode.DONE)


def _start_status(file: Path, start_id: str, output: str) -> int:
    from drfsm.fleet import client

    said = _asked(file, lambda _fleet, connection: client.standing(connection, start_id))
    if output == "json":
        say_json(said)
    else:
        say(f"{start_id}: wave {said['wave']}{', STOPPED: ' + said['stopped'] if said['stopped'] else ''}")
        for pair, run_id in said["runs"].items():
            say(f"  {pair:<24} {said['ends'].get(pair, 'at work'):<12} {run_id}")
        if said["waits_for_approval"]:
            say(f"  next: drfsm fleet approve {start_id} {said['wave']} --ticket …")
    return int(ExitCode.HELD if said["waits_for_approval"] else ExitCode.DONE)


def _standings(file: Path, selectors: tuple[str, ...]) -> "list[Standing]":
    chosen = _read(file)
    from drfsm.fleet import view

    return view.standings(chosen.selected(selectors))


def _json(standing: "Standing") -> dict[str, Any]:
    return {
        "pair": standing.pair.name, "owner": standing.pair.words.get("owner", ""), "run_id": standing.run_id,
        "status": standing.status, "state": standing.state, "reason": standing.reason,
        "records": standing.records, "frozen": list(standing.frozen), "was_held": standing.was_held,
        "fault": standing.fault, "mirror": standing.uri,
    }  # fmt: skip


@fleet.command("report")
@_on_pairs
@click.option("--out", default="", metavar="FILE", help="Write the page there, as HTML.  [default: to stdout]")
@click.option("--prometheus", default="", metavar="FILE", help="Write a textfile for Prometheus' node exporter, too.")
def report(file: Path, selectors: tuple[str, ...], out: str, prometheus: str) -> int:
    """Write one page, and one Prometheus file, about the whole fleet. The page loads nothing and runs nothing."""
    check_name(prometheus, "--prometheus")
    standings = _standings(file, selectors)
    from drfsm.fleet import page, view

    html = page.page(standings, f"Fleet of {file.name}", view.now())
    if prometheus:
        put_in_place(prometheus, page.figures(standings), "--prometheus")
    if out:
        put_in_place(out, html, "--out")
        say(f"wrote {out}", err=True)
    else:
        say_text(html)
    return int(ExitCode.DONE)


@fleet.command("doctor")
@_on_pairs
@output_format
def doctor(file: Path, selectors: tuple[str, ...], output: str) -> int:
    """Say whether the fleet is ready: Temporal, its workers, the keys of each pair, its kubeconfigs and its bucket."""
    chosen = _read(file)
    from drfsm.fleet import readiness

    findings = readiness.findings(chosen, chosen.selected(selectors), _fault_of)
    if output == "json":
        say_json({"ready": not findings, "findings": findings})
    else:
        for finding in findings:
            say(f"{finding['subject']}: {finding['what']}")
            say(f"  next: {finding['hint']}")
        say(f"{len(findings)} findings" if findings else "ready")
    return int(ExitCode.DIFFERENT if findings else ExitCode.DONE)
