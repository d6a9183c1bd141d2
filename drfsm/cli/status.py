"""`drfsm status`: what is frozen here, where a run stands, and what to type next, on one screen. Loads nothing heavy.

It begins with what is frozen, by whichever run of this computer: another run than the one that is shown may have both
sites frozen.

Reads a bundle offline. Of a mirror (``s3://…``) it reads the records, and adopts, executes and writes nothing.

If the process of a run is gone, the summary is written again; the bundle's lock is taken for a moment to be sure of
that. A summary that contradicts its journal is evidence: it is left as it is, and reported.
"""

from collections.abc import Sequence
from shlex import quote

import click

from drfsm.adapters.file_journal import read_lines
from drfsm.cli.fitting import say_fitting
from drfsm.cli.prices import prices_option, read_prices
from drfsm.cli.reading_options import bundle_or_mirror, output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.cli.status_page import counted, now_utc, page, shown, with_other_runs, worker_of
from drfsm.errors import ExitCode, JournalDamaged, UsageFault
from drfsm.evidence.summary import summarise
from drfsm.journal import Record, fold, read
from drfsm.runs import selection


@click.command()
@bundle_or_mirror
@output_format
@prices_option
@click.option(
    "--by-hand",
    is_flag=True,
    help="Print plain kubectl and aws commands that put back what the run changed (docs/by-hand.md).",
)
@click.option("--roll-back", is_flag=True, help="With --by-hand: the commands for a run that is complete, too.")
def status(bundle_: str | None, output: str, prices: str, *, by_hand: bool, roll_back: bool) -> int:
    """Show what is frozen now, where a run stands, since when, and what to type next.

    BUNDLE is a directory or a run's id; without it the run that is open, else the newest. S3_URI is a run's mirror,
    which is only read.
    """
    if by_hand:
        if output == "json":
            raise UsageFault("--by-hand prints a shell script, which has no JSON", hint="leave out -o json")
        return _by_hand(bundle_, complete_too=roll_back)
    if roll_back:
        raise UsageFault("--roll-back goes with --by-hand", hint="drfsm status --by-hand --roll-back")
    if bundle_ is not None and bundle_.startswith("s3://"):
        return _status_of_mirror(bundle_, output, read_prices(prices))
    return shown(bundle_, output, read_prices(prices))


def _by_hand(named: str | None, *, complete_too: bool) -> int:
    """Print the commands by which a person puts back what a run changed: from its records alone, also damaged ones."""
    from drfsm.runs import by_hand, mirrors

    if mirrors.is_mirror(named):
        lines: Sequence[bytes] = mirrors.open_mirror(named, {}).lines
    else:
        place = selection.find(named, to_read=True)
        lines = read_lines(place)
        if worker := worker_of(place)[0]:
            who = f"PROCESS {worker.get('pid', '?')} ON {worker.get('host', '?')}"
            say(f"# {who} WORKS ON THIS RUN NOW. Stop it first: drfsm hold, or end the process.")
    records, damage = _as_many_as_can_be_read(lines)
    if damage is not None:
        say(f"# THE JOURNAL IS DAMAGED ({damage.what}): what was done from there on is not in this list.")
        say("# Look for the whole of it in the run's mirror: drfsm list s3://<bucket>/<prefix>")
    say_lines(by_hand.commands(records, complete_too=complete_too))
    return int(ExitCode.DONE if damage is None else ExitCode.DAMAGED)


def _as_many_as_can_be_read(lines: Sequence[bytes]) -> tuple[Sequence[Record], JournalDamaged | None]:
    """Return the records up to the first that can't be read or understood, and what is wrong with that one."""
    damage: JournalDamaged | None = None
    while lines:
        try:
            records = read(lines).records
            fold(records)
        except JournalDamaged as fault:
            damage = damage or fault
            lines = lines[: min(fault.line, len(lines)) - 1]
        else:
            return records, damage
    raise damage or UsageFault("this journal has no record", hint="drfsm list")


def _status_of_mirror(uri: str, output: str, prices: str) -> int:
    """Show where a mirrored run stands, as its unchecked records say."""
    from drfsm.runs import mirrors

    mirror = mirrors.open_mirror(uri, {})
    state, runs = mirrors.state_of(mirror), list(selection.known_runs())
    if output == "json":
        summary = summarise(state, mirror.records, head=mirror.head)
        say_json(with_other_runs(counted(summary, state, prices), runs))
        return int(ExitCode.DONE)
    unchecked = f"Unchecked records of the mirror (`drfsm replay {quote(uri)}` checks them). Head: {mirror.head}"
    say_fitting(page(state, mirror.records, uri, runs, prices, now=now_utc(), remark=unchecked))
    return int(ExitCode.DONE)
