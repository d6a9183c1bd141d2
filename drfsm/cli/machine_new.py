"""`drfsm machine new`: writes a start for an author: a machine, its binding, its tests, and the schema for the editor.

The four files stand in start/ beside this module, with @NAME@ where the machine's name belongs.
"""

import json
import keyword
import re
from pathlib import Path
from shlex import quote

import click

from drfsm.cli.say import say, say_lines
from drfsm.errors import UsageFault
from drfsm.spec import dump_schema

START = Path(__file__).parent / "start"
FILES = {"machine.yaml": "{name}.yaml", "binding.py.txt": "{name}.py", "test.py.txt": "test_{name}.py"}
SCHEMA = "machine.schema.json"


@click.command("new")
@click.argument("name")
@click.option("--directory", default=".", show_default=True, help="Where the files are written; made if missing.")
def new(name: str, directory: str) -> None:
    """Write a start for a machine of your own: NAME.yaml, its binding, its tests, and the schema for your editor.

    It is proven and its tests pass as it stands: change it line by line. No file is overwritten.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageFault(f"{name!r} is no name for a machine", hint="use a-z, 0-9 and _, beginning with a letter")
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    texts = {named.format(name=name): (START / file).read_text(encoding="utf-8") for file, named in FILES.items()}
    taken = [file for file in texts if (place / file).exists()]
    if taken:
        raise UsageFault(f"{place / taken[0]} is there already", hint="choose another name, or --directory")
    for file, text in texts.items():
        (place / file).write_text(text.replace("@NAME@", name), encoding="utf-8")
    if not (place / SCHEMA).exists():
        (place / SCHEMA).write_text(json.dumps(dump_schema(), indent=2) + "\n", encoding="utf-8")
    inside = "" if place == Path() else f"cd {quote(str(place))} && "
    say(f"written to {place}: {', '.join([*texts, SCHEMA])}")
    say_lines([f"  next: {inside}drfsm machine check {name}.yaml", f"        {inside}pytest test_{name}.py"])
