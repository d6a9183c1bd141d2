"""`drfsm endpoints`: shows which site a workload's users belong to; declares it once, where nobody has yet."""

import platform
from typing import Any

import click

from drfsm.cli.options import at_bucket, connected, take_over
from drfsm.cli.outcome import output
from drfsm.cli.prompts import prompted
from drfsm.cli.say import say, say_json
from drfsm.errors import ExitCode, UsageFault


@click.group()
def endpoints() -> None:
    """Show which site takes the users' writes; declare the first active site."""


@endpoints.command()
@at_bucket
@output
def show(output: str, **options: Any) -> int:
    """Show the active-site document, by which servers take or refuse writes.

    Exits with 0 where a site takes writes, with 11 where none does, with 3 if there is no document.
    """
    from drfsm.dr.endpoints import active
    from drfsm.dr.terms import terms_of

    layout = terms_of(options).layout
    document = active.read(connected(options), layout.own("active.json"))
    if output == "json":
        say_json(document)
    else:
        say(_words(document, layout.own("active.json")))
    if document["site"] is None:
        return int(ExitCode.REFUSED)
    return int(ExitCode.DONE if document.get("writes") == active.OPEN else ExitCode.DIFFERENT)


def _words(document: dict[str, Any], key: str) -> str:
    if document["site"] is None:
        return (
            f"there is no active-site document {key}: servers refuse every write. Where users are led to the primary: "
            "`drfsm endpoints declare primary --reason ...`"
        )
    if "why" in document:
        return f"{document['why']}: servers refuse every write. To replace it: `drfsm endpoints declare SITE`"
    takes = "takes writes" if document["writes"] == "open" else "NO SITE TAKES WRITES"
    return f"{document['site']} is the active site, {takes}, since {document['since']} (by {document['run']})"


@endpoints.command()
@click.argument("site", type=click.Choice(("primary", "dr")))
@at_bucket
@click.option("--writes", type=click.Choice(("open", "closed")), default="open", help="Whether SITE takes writes.")
@click.option("--confirm", default="", help="The token: CONFIRM-ACTIVE-<site>.  [default: typed at a terminal]")
@click.option("--reason", required=True, help="Why. It is printed with what was there before.")
@click.option("--operator", default="", help="Your name in the lease.  [default: your user name]")
@take_over
@output
def declare(
    site: str, writes: str, confirm: str, reason: str, operator: str, take_over: str, output: str, **options: Any
) -> int:
    """Declare SITE as the first active site, so that its servers take writes.

    Only where there is no active-site document, or one that nobody can read: a promote or a failback moves it. Takes
    the lease, so that no procedure runs meanwhile.
    """
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.endpoints import active
    from drfsm.dr.terms import terms_of
    from drfsm.engine.runner import new_run_id, who

    token = f"CONFIRM-ACTIVE-{site}"
    confirm = confirm or prompted(f"Type {token}")
    if confirm != token:
        raise UsageFault(f"the token is not {token}: nothing was touched", hint=f"add --confirm {token}")
    store, layout = connected(options), terms_of(options).layout
    lease = S3Lease(store, layout.prefix, take_over_from=take_over or None)
    me = new_run_id("endpoints")
    epoch = lease.acquire(me, operator or who(), platform.node())
    try:
        before = active.declare_by_hand(store, layout.own("active.json"), site, writes, run=me, lease_epoch=epoch)
    finally:
        lease.release(me)
    if output == "json":
        say_json({"site": site, "writes": writes, "before": before, "reason": reason})
    else:
        takes = "takes writes" if writes == "open" else "takes no writes yet"
        earlier = "nobody could read which it is" if before else "none was declared"
        say(f"{site} is the active site, and {takes}; before, {earlier}")
    return int(ExitCode.DONE)
