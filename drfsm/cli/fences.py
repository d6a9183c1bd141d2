"""`drfsm fence`: shows which site's identity is denied the pointers; lifts such a fence by hand, with a reason.

Exit codes: `show` 0, 11 where a statement of drfsm's was changed by somebody; `lift` 0 lifted, 2 wrong token, 3 refused
(there is none, or it was changed), 5 a run holds the lease.
"""

import platform
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.options import check_account, contract_of, take_over
from drfsm.cli.options import operator as operator_option
from drfsm.cli.outcome import output
from drfsm.cli.prompts import prompted
from drfsm.cli.site_options import at_prefix, out, say
from drfsm.errors import ExitCode, UsageFault

if TYPE_CHECKING:
    from drfsm.adapters.aws import Account
    from drfsm.dr.sites import fence_by_hand

_SITES = ("primary", "dr")


@click.group()
def fence() -> None:
    """Show which site is fenced off from the pointers; lift a fence by hand."""


@fence.command()
@at_prefix
@output
def show(output: str, **options: Any) -> int:
    """Show the fences of a prefix: whose writes are denied, by which statement, and who lifted one before.

    Exits with 0; with 11 if a statement of drfsm's is not as drfsm wrote it.
    """
    from drfsm.dr.sites import fence_by_hand

    record = fence_by_hand.seen(_place(_account(options), options))
    out(output, record, list(_lines(record, options)))
    altered = any(fence["value"] == "altered" for fence in record["fences"].values())
    return int(ExitCode.DIFFERENT if altered else ExitCode.DONE)


@fence.command()
@click.argument("site", type=click.Choice(_SITES))
@at_prefix
@click.option("--confirm", default="", help="The token: CONFIRM-LIFT-<site>.  [default: typed at a terminal]")
@click.option("--reason", required=True, help="Why. The record in the bucket holds it.")
@click.option(
    "--expect-sha256", default="", metavar="HEX", help="SHA-256 of the statement, as `show` printed it: no other goes."
)
@operator_option
@take_over
@output
def lift(
    site: str,
    confirm: str,
    reason: str,
    expect_sha256: str,
    operator: str,
    take_over: str,
    output: str,
    **options: Any,
) -> int:
    """Lift the fence of SITE: take its one statement out of the bucket's policy, and record who did it and why.

    The site can move pointers again at once. Takes the lease, so that no procedure runs meanwhile.
    """
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.sites import fence_by_hand
    from drfsm.engine import SystemClock
    from drfsm.engine.runner import new_run_id, who

    if not reason.strip():
        raise UsageFault("--reason is empty: nothing was touched", hint="say why the fence may go: --reason ...")
    token = f"CONFIRM-LIFT-{site}"
    confirm = confirm or prompted(f"Type {token}")
    if confirm != token:
        raise UsageFault(f"the token is not {token}: nothing was touched", hint=f"add --confirm {token}")
    account = _account(options)
    place = _place(account, options)
    lease = S3Lease(place.store, place.layout.prefix, take_over_from=take_over or None)
    by, me, host = operator or who(), new_run_id("fence"), platform.node()
    epoch = lease.acquire(me, by, host)
    try:
        order = fence_by_hand.Lift(
            me, site, by, account.identity.caller(), host, reason, epoch, expect_sha256.strip().lower()
        )
        say(f"lifting the fence of {site}")
        record = fence_by_hand.lift(place, order, SystemClock(), lease.check)
    finally:
        lease.release(me)
    others = record["other_statements"]
    lines = [
        f"the fence of {site} is lifted: {record['role'] or 'nobody'} can move pointers again",
        f"  the policy's {others} other statement{'s are as they were' if others != 1 else ' is as it was'}",
        f"  record: {record['record']}",
    ]
    out(output, record, lines)
    return int(ExitCode.DONE)


def _account(options: Mapping[str, Any]) -> "Account":
    """Return the account of the bucket that the options name."""
    if not options["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket BUCKET")
    from drfsm.adapters import aws

    endpoint, region = options["endpoint_url"] or None, options["region"] or None
    account = aws.connect(bucket=options["bucket"], endpoint_url=endpoint, region=region)
    check_account(options)
    return account


def _place(account: "Account", options: Mapping[str, Any]) -> "fence_by_hand.Place":
    """Return the prefix that the options name."""
    from drfsm.dr.layout import Layout
    from drfsm.dr.sites import fence_by_hand
    from drfsm.dr.terms import terms_of

    return fence_by_hand.Place(
        account.store, account.policy, Layout(terms_of(options).prefix, workload=contract_of(options))
    )


def _lines(record: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `show` prints."""
    owner = record["owner"]["site"] or "nobody, as far as drfsm knows"
    for site, fence in record["fences"].items():
        yield f"{site:<8} {_WORDS[fence['value']].format(**fence)}"
        if fence["value"] == "down":
            continue
        yield f"         statement {fence['sid']}, sha256 {fence['sha256']}"
        if fence["value"] == "up" and fence["edition"] != "today's":
            yield f"         it is the statement {fence['edition']}, which denies less (docs/fences.md)"
        other = f", and {site} could move them as soon as it publishes" if owner != site else ""
        yield f"         the pointers are owned by {owner}{other}"
        yield f"         to lift it: {_command(site, fence, options)}"
    if record["elsewhere"]:
        yield f"of other prefixes, lifted with their --prefix: {', '.join(record['elsewhere'])}"
    for lift in record["lifts"]:
        yield f"lift by hand: {lift.get('unreadable') or _LIFT.format(**lift)}"


_WORDS = {
    "down": "not fenced",
    "up": "FENCED: {role} is denied every write that moves or hides a pointer",
    "altered": "CHANGED BY SOMEBODY: the statement of its fence is not as drfsm wrote it; it names {role}",
}
_LIFT = "{at} {site} ({role}) {what} by {operator} ({caller}) on {host}: {reason}"


def _command(site: str, fence: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    where = " ".join(f"--{name} {quote(str(options[name]))}" for name in ("bucket", "prefix"))
    expect = f" --expect-sha256 {fence['sha256']}" if fence["value"] == "altered" else ""
    return f"drfsm fence lift {site} {where} --confirm CONFIRM-LIFT-{site}{expect} --reason ..."
