"""`drfsm machine export`: a machine in another system's language. Offline."""

import json
from pathlib import Path

import click

from drfsm.cli.machine_named import load_named, named_machine
from drfsm.cli.say import say, say_text
from drfsm.errors import UsageFault
from drfsm.spec.asl import HEARTBEAT_SECONDS, LOST_SECONDS, asl


@click.command()
@named_machine
@click.option(
    "--format", "kind", type=click.Choice(["asl"]), default="asl", show_default=True, help="Amazon States Language."
)
@click.option(
    "--work-queue", default="${work_queue_url}", show_default=True, metavar="URL", help="Queue of `drfsm worker`."
)
@click.option(
    "--questions-queue",
    default="${questions_queue_url}",
    show_default=True,
    metavar="URL",
    help="Queue to which questions go, for a person.",
)
@click.option(
    "--heartbeat",
    type=click.IntRange(min=1, max=86400),
    default=HEARTBEAT_SECONDS,
    show_default=True,
    help="Seconds after which a worker that is silent counts as lost.",
)
@click.option(
    "--lost-wait",
    type=click.IntRange(min=1, max=86400),
    default=LOST_SECONDS,
    show_default=True,
    help="Seconds until another worker is asked then.",
)
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file instead of the terminal.")
def export(
    named: str, kind: str, work_queue: str, questions_queue: str, heartbeat: int, lost_wait: int, out: str | None
) -> None:
    """Print a machine as Amazon States Language: an execution drives its runs, and `drfsm worker` takes the rows.

    The queues' defaults are what Terraform's `templatefile` fills in; see docs/step-functions.md.
    """
    spec = load_named(named)
    try:
        exported = asl(
            spec,
            work_queue=work_queue,
            questions_queue=questions_queue,
            heartbeat_seconds=heartbeat,
            lost_seconds=lost_wait,
        )
    except ValueError as fault:
        raise UsageFault(f"{spec.name} can't be written as {kind}: {fault}") from None
    text = json.dumps(exported, indent=2, ensure_ascii=False)
    if out is None:
        say_text(text)
        return
    Path(out).write_text(f"{text}\n", encoding="utf-8")
    say(f"written: {out}")
