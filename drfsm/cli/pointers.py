"""`drfsm pointers`: shows which run is canonical; sets another one by hand, with the checks of a procedure."""

import platform
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from drfsm.claims import bounded, moment
from drfsm.cli.options import at_bucket, check_run_id, connected, contract_of, pair, take_over
from drfsm.cli.outcome import output
from drfsm.cli.prompts import prompted
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import ExitCode, UsageFault

if TYPE_CHECKING:
    from drfsm.dr.layout import Layout


@click.group()
def pointers() -> None:
    """Show which run every pointer of the set names; move the whole set by hand."""


@pointers.command()
@at_bucket
@pair
@output
def show(output: str, **options: Any) -> int:
    """Show every pointer of the set.

    Exits with 0 if all name one run, with 11 if they do not, if only older keys exist or one cannot be read, with 3 if
    there are none.
    """
    from drfsm.dr.pointers import MEND, named_pairs, only_older, shown
    from drfsm.dr.terms import terms_of

    store, layout = connected(options), terms_of(options).layout
    form = layout.workload.pointers
    pointers = {key: shown(store, key, form) for key in layout.global_pointers()}
    pairs = named_pairs(pointers.values(), (options["provider"], options["profile"]))
    pointers |= {key: shown(store, key, form) for key in layout.provider_pointers(pairs)}
    wrong = {key: why for key, pointer in pointers.items() if (why := _wrong(pointer, layout))}
    named = sorted({str(pointer["run_id"]) for pointer in pointers.values() if isinstance(pointer, dict)})
    missing = [key for key, pointer in pointers.items() if pointer is None]
    older = layout.older_pointers(pairs)
    verdict = "older_only" if not wrong and only_older(pointers, older) else _verdict(named, missing, wrong)
    if older and verdict == "older_only":
        missing = []
    if output == "json":
        fields = {
            key: {"unreadable": pointer} if isinstance(pointer, str) else pointer for key, pointer in pointers.items()
        }
        say_json({"verdict": verdict, "run_ids": named, "missing": missing, "wrong": wrong, "pointers": fields})
    else:
        for key, pointer in pointers.items():
            run_id = pointer["run_id"] if isinstance(pointer, dict) else "missing" if pointer is None else "UNREADABLE"
            say(f"{run_id or 'no run':<36} {key}")
        say_lines(wrong.values())
        say(_VERDICTS[verdict].format(run="".join(named[:1]), mend=MEND, set=_set_command(options, named)))
    return int({"one": ExitCode.DONE, "none": ExitCode.REFUSED}.get(verdict, ExitCode.DIFFERENT))


_VERDICTS = {
    "one": "all pointers name {run}",
    "none": "there is no pointer",
    "older_only": "only the older keys exist, and all name {run}: an older version of the workload writes these alone,"
    " and readers follow them. A failback or a promote moves the whole set; to write the rest of it: {set}",
    "incomplete": "some pointers are missing; the others name {run}: a Job was killed in between, or somebody deleted"
    " them. To write the whole set: {set}",
    "mixed": "the pointers name different runs: a Job was killed in between, or somebody moved some of them. To make"
    " all of them name one run: {set}",
    "wrong": "the pointers are not reliable: {mend}",
}


def _verdict(named: list[str], missing: list[str], wrong: Mapping[str, str]) -> str:
    if wrong:
        return "wrong"
    if not named:
        return "none"
    return "mixed" if len(named) > 1 else "incomplete" if missing else "one"


def _set_command(given: Mapping[str, Any], named: list[str]) -> str:
    """Return the command that makes the whole set name one run: the one that is named, where it is one."""
    run_id = named[0] if len(named) == 1 else ""
    where = " ".join(f"--{name} {quote(str(given[name]))}" for name in ("bucket", "prefix", "candidate"))
    confirm = quote(f"CONFIRM-{run_id}") if run_id else "CONFIRM-RUN"
    return f"drfsm pointers set {quote(run_id) if run_id else 'RUN'} {where} --confirm {confirm} --reason ..."


def _wrong(pointer: Any, layout: "Layout") -> str:
    """Return why a pointer is not reliable; "" if it is, or if it does not exist."""
    if pointer is None or isinstance(pointer, str):
        return pointer or ""
    run_id, place = pointer["run_id"], pointer.get("run_path")
    if not run_id:
        return "a pointer names no run"
    if not layout.workload.run_ids.is_id(run_id):
        return f"the pointer to {bounded(run_id)} names no run: runs are named by {layout.workload.run_ids.grammar}"
    return "" if place in (None, layout.run(run_id)) else f"the pointer to {run_id} leads to {bounded(place)} instead"


def _named_run(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """Return the run that is named. Raises UsageFault, which shows the whole command, where none is."""
    if not value:
        raise UsageFault(
            "no run is named",
            hint=f"{context.command_path} RUN --bucket BUCKET --confirm CONFIRM-RUN --reason '…'"
            "   (`drfsm runs list --bucket BUCKET` names the runs)",
        )
    return value


@pointers.command("set")
@click.argument("run_id", metavar="RUN_ID", required=False, callback=_named_run)
@at_bucket
@pair
@click.option("--confirm", default="", help="The token: CONFIRM-<run id>.  [default: typed at a terminal]")
@click.option("--reason", required=True, help="Why. Every moved pointer records it.")
@click.option("--allow-older", is_flag=True, help="Accept a run that is older than the canonical one.")
@click.option(
    "--ended-at",
    default="",
    metavar="TIME",
    help="When the run ended, e.g. 2026-11-28T08:03:22Z: only where neither a pointer nor a report says it.",
)
@click.option("--operator", default="", help="Your name in the pointers.  [default: your user name]")
@take_over
@output
def set_pointers(
    run_id: str,
    confirm: str,
    reason: str,
    *,
    allow_older: bool,
    ended_at: str,
    operator: str,
    take_over: str,
    output: str,
    **options: Any,
) -> int:
    """Make RUN_ID canonical by hand: verify the run, then move each pointer by compare-and-swap, the global one last.

    Repairs pointers that a killed Job left half moved. Takes the lease, so that no procedure runs meanwhile.
    """
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.pointers import set_by_hand
    from drfsm.dr.terms import terms_of
    from drfsm.engine.runner import new_run_id, who

    if ended_at and moment(ended_at) is None:
        raise UsageFault(
            f"--ended-at {bounded(ended_at, 100)} is no time with an offset", hint="e.g. 2026-11-28T08:03:22Z"
        )
    check_run_id("RUN_ID", run_id, contract_of(options))
    token = f"CONFIRM-{run_id}"
    confirm = confirm or prompted(f"Type {token}")
    if confirm != token:
        raise UsageFault(f"the token is not {token}: nothing was touched", hint=f"add --confirm {token}")
    store, layout = connected(options), terms_of(options).layout
    lease = S3Lease(store, layout.prefix, take_over_from=take_over or None)
    by, me = operator or who(), new_run_id("pointers")
    epoch = lease.acquire(me, by, platform.node())
    try:
        ours = {"run": me, "epoch": epoch, "operator": by, "reason": reason}
        moved = set_by_hand(
            store,
            layout,
            run_id,
            (options["provider"], options["profile"]),
            ours,
            lease.check,
            allow_older=allow_older,
            ended_at=ended_at,
        )
    finally:
        lease.release(me)
    if output == "json":
        say_json({"run_id": run_id, "moved": moved, "by": by, "reason": reason})
    else:
        say(f"{len(moved)} pointers moved; all pointers name {run_id}")
    return int(ExitCode.DONE)


@pointers.command()
@click.argument("site", type=click.Choice(("primary", "dr")))
@at_bucket
@click.option("--confirm", default="", help="The token: CONFIRM-OWNER-<site>.  [default: typed at a terminal]")
@click.option("--reason", required=True, help="Why. It is printed with what was there before.")
@click.option("--operator", default="", help="Your name in the lease.  [default: your user name]")
@take_over
@output
def own(site: str, confirm: str, reason: str, operator: str, take_over: str, output: str, **options: Any) -> int:
    """Record SITE as the owner of the pointers, where somebody changed that behind a run's back.

    Changes drfsm's ownership object only, no pointer. Takes the lease, so that no procedure runs meanwhile.
    """
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.pointers import ownership
    from drfsm.dr.terms import terms_of
    from drfsm.engine.runner import new_run_id, who

    token = f"CONFIRM-OWNER-{site}"
    confirm = confirm or prompted(f"Type {token}")
    if confirm != token:
        raise UsageFault(f"the token is not {token}: nothing was touched", hint=f"add --confirm {token}")
    store, layout = connected(options), terms_of(options).layout
    lease = S3Lease(store, layout.prefix, take_over_from=take_over or None)
    me = new_run_id("pointers")
    epoch = lease.acquire(me, operator or who(), platform.node())
    try:
        before = ownership.own_by_hand(store, layout.own("ownership.json"), site, {"run": me, "epoch": epoch})
    finally:
        lease.release(me)
    if output == "json":
        say_json({"site": site, "before": before, "reason": reason})
    else:
        say(f"{site} owns the pointers; before, the ownership object named {before['site'] or 'no site'}")
    return int(ExitCode.DONE)
