"""`drfsm config`: shows what holds here and where it comes from, checks the file, prints its JSON Schema. Offline."""

import os
import sys
from typing import Any

import click

from drfsm.claims import printable
from drfsm.cli import config_file
from drfsm.cli.config_file import NAME, NO_FILE, VARIABLE, Config
from drfsm.cli.config_keys import ADDRESSES, FILE, KEYS, TRUST, Key
from drfsm.cli.config_keys import schema as schema_of_keys
from drfsm.cli.outcome import output
from drfsm.cli.say import columns, say, say_json
from drfsm.errors import ExitCode, UsageFault

_COLUMN = max(map(len, KEYS)) + 2


@click.group()
def config() -> None:
    """Show and check drfsm.toml: the file that says once what would else be typed each time (docs/config.md)."""


@config.command()
@click.option("--origin", is_flag=True, help="Say of each value where it comes from.")
@output
def show(*, origin: bool, output: str) -> None:
    """Show every key with the value that holds here: from the environment, else from the file, else the default.

    An option that is typed outranks them all. Exits with 2 where the file has faults.
    """
    found = config_file.read()
    holding = found.checked() if found is not None else None
    values = [_held(key, holding) for key in KEYS.values()]
    if output == "json":
        say_json({"schema_version": 1, **_file(holding), "values": values})
        return
    if holding is None:
        say(f"no {NAME} here or above, and no {VARIABLE}")
    else:
        say(f"configuration: {holding.path}")
        say(f"sha256: {holding.sha256}   (a run records it: drfsm status, drfsm replay -v)")
    width = columns(sys.stdout) or 0
    for entry in values:
        line = f"{entry['key']:<{_COLUMN}}{_words(entry)}"
        where = f"[{entry['origin']}]" if origin else ""
        if where and width and len(line) + len(where) + 1 >= width:
            say(line)
            line = " " * 4
        say(f"{line} {where}".rstrip())


def _file(holding: Config | None) -> dict[str, Any]:
    if holding is None:
        return {"file": None, "sha256": None}
    return {"file": str(holding.path), "sha256": holding.sha256}


def _held(key: Key, holding: Config | None) -> dict[str, Any]:
    """Return a key's value, as text or as in the file, and its origin: environment, file, default."""
    for variable in filter(None, (key.variable, *key.ambient)):
        if text := os.environ.get(variable):
            hidden = config_file.looks_secret(text) or key.path == ADDRESSES
            value = "(looks like a secret: not shown)" if hidden else text
            return {"key": key.path, "value": value, "source": "environment", "origin": f"${variable}"}
    if holding is None or key.path not in holding.values:
        return {"key": key.path, "value": None, "source": "default", "origin": "default", "usual": key.usual}
    value = holding.values[key.path]
    if key.kind is FILE:
        value = str(holding.place_of(key.path))
    origin = f"{holding.path}:{holding.line_of(key.path)}"
    if key.path in TRUST and not holding.named:
        return {
            "key": key.path,
            "value": value,
            "source": "unused",
            "origin": f"{origin}, not used: not named by {VARIABLE}",
        }
    return {"key": key.path, "value": value, "source": "file", "origin": origin}


def _words(entry: dict[str, Any]) -> str:
    value = entry["value"]
    if value is None:
        return f"({entry['usual'] or 'not set'})"
    if isinstance(value, list):
        return ", ".join(value) or "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)


@config.command()
@click.argument("file", required=False, default="", metavar="[FILE]")
@output
def check(file: str, output: str) -> int:
    """Check the file that holds here, or FILE: every fault at once, also of the files that it names. Exits with 2.

    Faults: unknown keys, wrong values, what looks like a secret, missing files, contexts that a kubeconfig lacks,
    values that contradict each other.
    """
    environ = {**os.environ, VARIABLE: file} if file and file != NO_FILE else dict(os.environ)
    found = config_file.read(environ)
    if found is None:
        raise UsageFault(
            f"there is no {NAME} here or in a directory above, and {VARIABLE} names none",
            hint="name it: drfsm config check FILE; docs/config.md shows one to begin with",
        )
    faults = tuple(sorted((*found.faults, *config_file.files_faults(found)), key=lambda fault: fault.line))
    if output == "json":
        told = [{"line": f.line or None, "key": f.path, "what": f.what, "mend": f.mend} for f in faults]
        say_json({"schema_version": 1, **_file(found), "faults": told})
        return int(ExitCode.USAGE if faults else ExitCode.DONE)
    if faults:
        raise config_file.refusal(found, faults)
    say(f"{printable(found.path)}: no fault; {len(found.values)} keys, sha256 {found.sha256}")
    if not found.named and (unused := [path for path in TRUST if path in found.values]):
        from drfsm.cli.config_defaults import not_trusted

        say(not_trusted(found, unused))
    return int(ExitCode.DONE)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    say_json(schema_of_keys())
