"""The entry point of the installed command: shows three pages by itself, and leaves all else to main.py.

`drfsm --help` is what a person types first, and often: it needs neither click nor any of the commands. `drfsm status`
is what a person types again and again: where nothing has changed since the last time (remembered.py), neither does it;
where something has, the page is made without click (status_page.py).
"""

import gc
import os
import sys

_NEW_OBJECTS = 50_000
"""How many new objects make the collector look for garbage. Python's 700 cost a start a tenth of its time: modules are
being loaded, and nothing in them is garbage."""


def main() -> None:
    """Run the command that was typed, and exit with its code."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from drfsm.cli.first_page import page
        from drfsm.cli.ready_page import say_page

        try:
            say_page(page(_width()))
        except OSError:  # a full disk, a closed pipe: main.py meets the same and reports it
            pass
        else:
            return
    gc.set_threshold(_NEW_OBJECTS)
    if sys.argv[1:2] == ["status"]:
        if _shown_again(sys.argv[2:]):
            return
        _show_status(sys.argv[2:])
    from drfsm.cli import main as commands

    commands.main()


def _shown_again(words: "list[str]") -> bool:
    """Show the page of `status` that is remembered; return whether there was one."""
    from drfsm.cli.remembered import recall

    page = recall(words)
    if page is None:
        return False
    try:
        if sys.stdout is not None and sys.stdout.isatty():
            from drfsm.cli.fitting import say_fitting

            say_fitting(page.splitlines())
        else:
            from drfsm.cli.ready_page import say_page

            say_page(page)
    except (OSError, ValueError):  # main.py meets the same and reports it
        return False
    return True


def _show_status(words: "list[str]") -> None:
    """Make the page of `drfsm status [RUN]` without click, and exit with its code; return for any other form of it."""
    from drfsm.cli.remembered import is_plain

    if not is_plain(words):
        return
    os.umask(0o077)  # as in main.py
    from drfsm.cli.leaving import leave_with

    codes: list[int] = []
    leave_with(codes)
    try:
        from drfsm.cli.status_page import shown

        codes.append(shown(words[0] if words else None))
    except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001  as in main.py, which says what it means
        from drfsm.cli.main import report_fault

        codes.append(report_fault(fault, "status"))
    sys.exit(codes[0])


def _width() -> int:
    """Return the width of the page, by the same rule as every other page of help: at most 98 columns, at least 50."""
    return max(min(_columns(), 100) - 2, 50)


def _columns() -> int:
    named = os.environ.get("COLUMNS", "")
    if named.isdigit() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80
