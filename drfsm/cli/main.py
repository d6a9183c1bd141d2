"""The entry point: finds the command, and turns every error into a message and an exit code. Holds no rules.

A command's module is loaded when the command is used, so that `drfsm --help` and `drfsm status` start at once.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache
from typing import Any

import click

from drfsm import __version__
from drfsm.adapters.waiting import tell_with
from drfsm.claims import bounded
from drfsm.cli import first_page, next_steps
from drfsm.cli.completing import COMPLETE_VARIABLE, completed
from drfsm.cli.config_scope import ON_A_RUN, TRUSTING
from drfsm.cli.examples import with_examples
from drfsm.cli.first_page import COMMANDS
from drfsm.cli.fitting import say_fitting
from drfsm.cli.leaving import leave_with
from drfsm.cli.nearest import did_you_mean, suggested
from drfsm.cli.say import say, say_text
from drfsm.errors import DrfsmError, ExitCode, IllegalTransition, Unreachable, UsageFault

__all__ = ["COMMANDS", "cli", "filled", "main", "report_fault", "run"]

_DEFECT_SHOWN = 4000  # characters


@cache
def filled(command: click.Command, words: str) -> click.Command:
    """Return a command, those of a group included, with its examples, that refuses an empty text for what it requires.

    In scripts, a variable that isn't set becomes one. ``words``: those that lead to the command.
    """
    with_examples(command, words)
    for parameter in command.params:
        _with_variable(words, parameter)
        if parameter.required:
            parameter.callback = _not_empty(parameter.callback)
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            filled(part, f"{words} {name}")
    return command


def _with_variable(words: str, parameter: click.Parameter) -> None:
    """Let a parameter take its value from a variable of the environment, by the table of the configuration's keys."""
    if words.partition(" ")[0] not in ON_A_RUN:
        from drfsm.cli.config_defaults import with_variable

        with_variable(words, parameter)


def _not_empty(before: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a callback that refuses "", after the one that the parameter has by itself."""

    def checked(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        value = before(context, parameter, value) if before is not None else value
        if isinstance(value, str) and not value.strip():
            name = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else str(parameter.name).upper()
            raise UsageFault(f"{name} is empty", hint=f"{context.command_path} --help: give {name} a value")
        return value

    return checked


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
        command: click.Command = getattr(importlib.import_module(f"drfsm.cli.{module}"), attribute)
        return filled(command, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the commands that begin so, without importing any of them; else the options."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=words) for name, (_, _, words) in COMMANDS.items() if name.startswith(incomplete)
        ]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the first page, which knows the commands without importing any of them."""
        formatter.write(first_page.page(formatter.width))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="drfsm")
@click.pass_context
def cli(context: click.Context) -> None:
    """Disaster-recovery procedures as declared, journalled, resumable state machines."""
    name = context.invoked_subcommand or ""
    command = cli.get_command(context, name)
    if command is not None and (name not in ON_A_RUN or (name in TRUSTING and os.environ.get("DRFSM_CONFIG"))):
        from drfsm.cli import config_defaults

        config_defaults.apply(context, name, command)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code (leaving.py)."""
    os.umask(0o077)  # whatever is written by whichever library is for this user only
    codes: list[int] = []
    leave_with(codes)
    codes.append(run(argv))
    sys.exit(codes[0])


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Nothing but a defect leaves a traceback, and then in a file."""
    if COMPLETE_VARIABLE in os.environ:
        return completed(cli)
    tell_with(_waiting)
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code: Any = cli.main(args=words, prog_name="drfsm", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001  the last line of defence: no traceback reaches an operator
        return int(report_fault(fault, next((word for word in words if word in COMMANDS), "")))
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _waiting(words: str) -> None:
    with _telling():
        say(words, err=True)


def report_fault(fault: BaseException, command: str = "") -> int:
    """Print what went wrong; return the exit code."""
    match fault:
        case DrfsmError():
            if isinstance(fault, IllegalTransition):
                fault.hint = f"{did_you_mean(fault.trigger, fault.legal)} {fault.hint}".strip()
            first, *rest = next_steps.for_command(
                command, fault.lines()
            )  # each printed as one line: none can forge another
            with _telling():
                say_fitting([f"drfsm: {first}", *rest], err=True)
            code = int(fault.exit_code)
        case click.exceptions.Exit():
            code = fault.exit_code
        case click.Abort() | KeyboardInterrupt():
            with _telling():
                say(f"drfsm: {next_steps.interrupted(command)}", err=True)
            code = ExitCode.INTERRUPTED
        case click.ClickException():
            with _telling():
                (suggested(fault) if isinstance(fault, click.UsageError) else fault).show()
            code = ExitCode.USAGE
        case BrokenPipeError():
            sys.stderr.close()
            code = ExitCode.DONE
        case ModuleNotFoundError() if fault.name and not fault.name.startswith("drfsm"):
            hint = 'pip install "drfsm[sandbox]" for the sandbox; pip install --force-reinstall drfsm for all others'
            code = report_fault(UsageFault(f"this command needs {fault.name}, which is not installed", hint=hint))
        case OSError() if fault.errno is not None:
            code = report_fault(_of_the_system(fault), command)
        case _:
            code = _defect(fault)
    return code


def _of_the_system(fault: OSError) -> DrfsmError:
    """Return an error of the network or of this computer as one with a message and a next step."""
    import socket

    from drfsm.files import disk_fault

    if isinstance(fault, ConnectionError | TimeoutError | socket.gaierror):
        return Unreachable(f"the network refused: {fault.strerror or fault}", hint="check the network, then try again")
    names = [bounded(name, 500) for name in (fault.filename, fault.filename2) if isinstance(name, str | bytes)]
    subject = " and ".join(names) or "this computer"
    return disk_fault(fault, f"{subject} refused what drfsm asked for", names[0] if names else ".")


def _telling() -> AbstractContextManager[None]:
    """Print to stderr; if that is closed, the exit code alone says it."""
    return suppress(OSError, ValueError)


def _defect(fault: BaseException) -> int:
    """Write the traceback to a file of this user; if that is impossible, to stderr."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile("w", prefix="drfsm-defect-", suffix=".txt", delete=False) as file:
            traceback.print_exception(fault, file=file)
        where = f"its traceback is in {file.name}"
    except OSError as refused:
        where = f"its traceback could not be written to a file ({refused.strerror or refused}):\n"
        where += "".join(traceback.format_exception(fault))[-_DEFECT_SHOWN:]
    with _telling():
        say_text(
            f"drfsm: this is a defect in drfsm, not in your sites; {where}\n"
            "  next: drfsm status   (the journal has everything that was done; nothing is lost)",
            err=True,
        )
    return int(ExitCode.DEFECT)


if __name__ == "__main__":
    main()
