"""`drfsm pointers`: which run is canonical, and, by hand, with the same care as a procedure's, another one."""

import json
import platform
from typing import Any

import click

from drfsm.cli import drive
from drfsm.cli.options import at_bucket, connected, pair
from drfsm.errors import ExitCode, UsageFault


@click.group()
def pointers() -> None:
    """Show which run every pointer of the set names; move the whole set by hand."""


@pointers.command()
@at_bucket
@pair
@drive.output
def show(output: str, **given: Any) -> int:
    """Show every pointer of the set. Exits with 0 if all name one run, 11 if they don't, 3 if there are none."""
    from drfsm.dr.layout import layout_of
    from drfsm.dr.pointers import pairs, read

    store, layout = connected(given), layout_of(given)
    found = pairs(store, layout, given["provider"], given["profile"])
    seen = read(store, (*layout.global_pointers(), *layout.provider_pointers(found)))
    named = sorted({str(each.get("run_id")) for each in seen.values() if each})
    missing = [key for key, each in seen.items() if each is None]
    verdict = "none" if not named else "one" if len(named) == 1 and not missing else "mixed"
    if output == "json":
        click.echo(json.dumps({"verdict": verdict, "run_ids": named, "missing": missing, "pointers": seen}, indent=2))
    else:
        for key, each in seen.items():
            click.echo(f"{(each or {}).get('run_id') or 'missing':<36} {key}")
        click.echo(
            {
                "one": f"all name {''.join(named[:1])}",
                "none": "there is no pointer",
                "mixed": "they do not name one run: a job was killed in between, or somebody moved some",
            }[verdict]
        )
    return int({"one": ExitCode.DONE, "none": ExitCode.REFUSED, "mixed": ExitCode.DIFFERENT}[verdict])


@pointers.command("set")
@click.argument("run_id")
@at_bucket
@pair
@click.option("--confirm", default="", help="The token: CONFIRM-<run id>.  [default: asked for on a terminal]")
@click.option("--reason", required=True, help="Why; it stands in every pointer that is moved.")
@click.option("--allow-older", is_flag=True, help="Name a run that is older than the canonical one.")
@click.option("--operator", default="", help="Your name in the records.  [default: the user's]")
@click.option("--take-over", default="", metavar="RUN", help="Take the lease from this run, which you know is dead.")
@drive.output
def set_pointers(
    run_id: str,
    confirm: str,
    reason: str,
    *,
    allow_older: bool,
    operator: str,
    take_over: str,
    output: str,
    **given: Any,
) -> int:
    """Make RUN_ID canonical by hand: verified first, provider pointers first, each by compare-and-swap.

    For mending what a killed job left half moved. Takes the lease, so that no procedure runs meanwhile.
    """
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.layout import layout_of
    from drfsm.dr.pointers import set_by_hand
    from drfsm.engine.runner import new_run_id, who

    wanted = f"CONFIRM-{run_id}"
    confirm = confirm or drive.prompted(f"Type {wanted}")
    if confirm != wanted:
        raise UsageFault(f"the token is not {wanted}: nothing was touched", way="give --confirm")
    store, layout = connected(given), layout_of(given)
    lease = S3Lease(store, layout.prefix, take_over_from=take_over or None)
    by, me = operator or who(), new_run_id("pointers")
    epoch = lease.acquire(me, by, platform.node())
    try:
        ours = {"run": me, "epoch": epoch, "operator": by, "reason": reason}
        moved = set_by_hand(
            store, layout, run_id, (given["provider"], given["profile"]), ours, lease.check, allow_older=allow_older
        )
    finally:
        lease.release(me)
    if output == "json":
        click.echo(json.dumps({"run_id": run_id, "moved": moved, "by": by, "reason": reason}, indent=2))
    else:
        click.echo(f"{len(moved)} pointers moved; all of the set name {run_id}")
    return int(ExitCode.DONE)
