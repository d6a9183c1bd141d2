"""The door: finds the command, and turns every refusal into words and an exit code. No rules live here.

Commands are loaded when they are named, so that `drfsm --help` and `drfsm status` start in a moment.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from drfsm.errors import DrfsmError, ExitCode

# command -> (module below drfsm.cli, attribute, one line of help)
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "failback": ("failback", "failback", "Make the primary canonical again, with hard safety gates."),
    "resume": ("runs", "resume", "Go on with an interrupted or held run, from exactly where it stands."),
    "abort": ("runs", "abort", "Give back what a run changed, newest first."),
    "request": ("runs", "request", "Fire one of the rows that only a person may fire (see `status`)."),
    "resolve": ("runs", "resolve", "Say what became of an interrupted action that the machine can't tell."),
    "status": ("records", "status", "Where a run stands, what is frozen, and what to type next."),
    "list": ("records", "list_runs", "The runs of this machine, newest first."),
    "replay": ("records", "replay", "Tell a run's story from its log, offline, and check it."),
    "machine": ("machines", "machine", "Check, show and draw declared machines, offline."),
    "sandbox": ("sandboxes", "sandbox", "Two sites on this computer, to try everything on."),
}


class Lazy(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the commands in the order of an operator's need."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"drfsm.cli.{module}"), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="drfsm")
def cli() -> None:
    """Disaster-recovery procedures as declared, journalled, resumable state machines.

    Try it on two sites of your own:  drfsm sandbox up;  eval "$(drfsm sandbox env)"

    Exit codes: 0 done, 2 wrong usage, 3 refused, 4 held (go on with `drfsm resume`), 5 someone else holds
    the lease, 6 evidence does not hold, 7 damaged journal, 8 not legal here, 9 unreachable, 10 aborted,
    130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Nothing but a defect leaves a traceback, and then in a file."""
    try:
        code: Any = cli.main(args=None if argv is None else list(argv), standalone_mode=False)
    except DrfsmError as fault:
        click.echo(f"drfsm: {fault.diagnostics()}", err=True)
        return int(fault.exit_code)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as fault:
        fault.show()
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("drfsm: interrupted; `drfsm status` says where the run stands", err=True)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return int(ExitCode.DONE)
    except Exception:  # noqa: BLE001  the last line of defence: an operator never sees a traceback
        return _defect()
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _defect() -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="drfsm-defect-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    click.echo(
        f"drfsm: this is a defect in drfsm, not in your sites; what it saw is in {file.name}\n"
        "  next: drfsm status   (what was done until here is in the journal; nothing is lost)",
        err=True,
    )
    return int(ExitCode.DEFECT)


if __name__ == "__main__":
    main()
