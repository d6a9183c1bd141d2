"""The JSON Schema of a declaration, for editors: it is what the reader reads, and both refuse the same files."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from drfsm.errors import DeclarationFault
from drfsm.resources import shipped
from drfsm.spec import dump_schema, load_machine

ROOT = Path(__file__).parents[2]
SHIPPED = shipped("machines")
MACHINES = sorted(
    {
        path.read_bytes(): path
        for place in (SHIPPED, ROOT / "tests" / "data" / "bundles", ROOT / "docs" / "examples")
        for path in sorted(place.rglob("*.yaml"))
        if path.read_bytes().startswith((b"machine:", b"#")) and b"\nmachine:" in b"\n" + path.read_bytes()
    }.values()
)
"""Every shipped, recorded and documented machine, each text once."""


class AsEditorsRead(yaml.SafeLoader):
    """Reads YAML 1.2 as editors do: only true and false are booleans."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  as PyYAML has it


for tag, pattern, first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    AsEditorsRead.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


@cache
def validator() -> Any:
    """Return the shipped schema's validator."""
    return jsonschema.Draft202012Validator(json.loads((SHIPPED / "machine.schema.json").read_text(encoding="utf-8")))


def schema_refuses(text: str) -> list[str]:
    """Return what an editor would underline."""
    read = yaml.load(text, Loader=AsEditorsRead)  # noqa: S506  a SafeLoader with fewer resolvers
    return [f"{fault.json_path}: {fault.message}" for fault in validator().iter_errors(read)]


def reader_refuses(text: str) -> tuple[str, ...]:
    """Return the faults that the reader finds."""
    try:
        load_machine(text, source="lamp.yaml")
    except DeclarationFault as fault:
        return fault.faults
    return ()


def test_the_shipped_schema_is_the_readers() -> None:
    """machines/machine.schema.json is what `drfsm machine schema` prints; `make schemas` writes it anew."""
    assert json.loads((SHIPPED / "machine.schema.json").read_text(encoding="utf-8")) == dump_schema()
    jsonschema.Draft202012Validator.check_schema(dump_schema())


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_machine_fits_the_schema(path: Path) -> None:
    """What drfsm ships, ever recorded, and shows in the docs is underlined nowhere, and the reader takes it."""
    text = path.read_text(encoding="utf-8")
    assert (schema_refuses(text), reader_refuses(text)) == ([], ())


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_learns_of_the_schema_from_the_file(path: Path) -> None:
    """The first line of each shipped machine names the schema, beside it."""
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert named != first
    assert (path.parent / named).is_file()


def test_each_key_is_explained() -> None:
    """An editor has words for every key of every block."""

    def mute(schema: Any, place: str = "") -> list[str]:
        if isinstance(schema, list):
            return [name for item in schema for name in mute(item, place)]
        if not isinstance(schema, dict):
            return []
        here = schema.get("title", place)
        keys = schema.get("properties", {})
        missing = [f"{here}: {name}" for name, key in keys.items() if not key.get("description")]
        return missing + [name for key, part in schema.items() if key != "description" for name in mute(part, here)]

    assert not mute(dump_schema()), "say in drfsm/spec/descriptions.py what these keys mean"


LAMP = """
machine: lamp
because: "It is dark"
initial: dark
finals: {lit: complete, given_up: failed}
inputs: {patience: {because: "seconds"}, hall: {values: [yes, no], because: "which light"}}
facts:
  light: {values: [on, off], initial: [off], local: false}
  fuse: {values: [whole, blown], depends: [light]}
guards:
  fuse_is_whole: {requires: {fuse: [whole]}, because: "Else nothing happens"}
environment:
  - {when: {light: on}, sets: {fuse: blown}}
never:
  - {name: dark_end, when: {light: off, fuse: blown}, states: [lit], because: "It is dark"}
transitions:
  - {from: dark, trigger: press, to: lit, guards: [fuse_is_whole], action: press, sets: {light: on}, effect: idempotent,
     attempts: {max: 2, backoff_seconds: 0.5}, wait: {every_seconds: 1, limit: patience}, because: "To read"}
  - {from: dark, trigger: give_up, to: given_up, by: operator, because: "It stays dark"}
"""
PRESS = "  - {from: dark, trigger: press, to: lit, "
BOTH_REFUSE = {
    "a missing key of the machine": ("initial: dark\n", ""),
    "an unknown key of the machine": ("initial: dark\n", "initial: dark\nbegins: dark\n"),
    "a name that is no name": ("machine: lamp", "machine: The Lamp"),
    "a name that is a number": ("machine: lamp", "machine: 7"),
    "a name with a dash": ("trigger: press,", "trigger: press-it,"),
    "an empty reason": ('because: "It is dark"\ninitial', "because:\ninitial"),
    "a blank reason": ('because: "It is dark"\ninitial', 'because: " "\ninitial'),
    "a reason that is a list": ('because: "It is dark"\ninitial', "because: [a, b]\ninitial"),
    "no final state": ("finals: {lit: complete, given_up: failed}", "finals: {}"),
    "a status that there is not": ("lit: complete", "lit: done"),
    "a final that is a list": ("finals: {lit: complete, given_up: failed}", "finals: [lit, given_up]"),
    "guards as a list": (
        'guards:\n  fuse_is_whole: {requires: {fuse: [whole]}, because: "Else nothing happens"}',
        "guards: [fuse_is_whole]",
    ),
    "a fact without values": ("  light: {values: [on, off], initial", "  light: {initial"),
    "an empty list of values": ("values: [on, off]", "values: []"),
    "a value with a space": ("values: [on, off]", 'values: ["on fire", off, on]'),
    "a value twice": ("values: [on, off]", "values: [on, off, on]"),
    "one value in the place of a list": ("values: [whole, blown]", "values: whole"),
    "a flag that is no flag": ("local: false", "local: no"),
    "a guard that requires nothing": ("{requires: {fuse: [whole]}, because", "{because"),
    "a guard that requires a list": ("requires: {fuse: [whole]}", "requires: [fuse]"),
    "an environment rule that sets nothing": ("{when: {light: on}, sets: {fuse: blown}}", "{when: {light: on}}"),
    "a never rule without a name": ("{name: dark_end, when", "{when"),
    "one environment rule without a list": (
        "environment:\n  - {when: {light: on}, sets: {fuse: blown}}",
        "environment: {when: {light: on}, sets: {fuse: blown}}",
    ),
    "a row without a trigger": ("trigger: press, ", ""),
    "an unknown key of a row": (PRESS, f"{PRESS}guard: fuse_is_whole, "),
    "a row by somebody else": ("by: operator", "by: somebody"),
    "an effect that there is not": ("effect: idempotent", "effect: twice"),
    "attempts that are none": ("max: 2", "max: 0"),
    "attempts that are half": ("max: 2", "max: 1.5"),
    "a negative pause": ("backoff_seconds: 0.5", "backoff_seconds: -1"),
    "a pause that is a word": ("backoff_seconds: 0.5", "backoff_seconds: short"),
    "a pause that is a boolean": ("backoff_seconds: 0.5", "backoff_seconds: true"),
    "no pause between two readings": ("every_seconds: 1", "every_seconds: 0"),
    "a limit of no time": ("limit: patience", "limit: 0"),
    "a limit that is a boast": ("limit: patience", "limit: 10000000000"),
    "a wait without a limit": (", limit: patience", ""),
    "a guard twice in a row": ("guards: [fuse_is_whole]", "guards: [fuse_is_whole, fuse_is_whole]"),
    "one guard in the place of a list": ("guards: [fuse_is_whole]", "guards: fuse_is_whole"),
    "a source without a when": ("from: dark, trigger: press", "from: [{state: dark}], trigger: press"),
    "an input with a list of lists": ("values: [yes, no]", "values: [[yes], [no]]"),
    "a document that is a list": (LAMP, "- machine: lamp\n"),
}
BOTH_TAKE = {
    "as it stands": ("", ""),
    "numbers in quotes": ("max: 2, backoff_seconds: 0.5", 'max: "2", backoff_seconds: "0.5"'),
    "an input in the place of a number": ("max: 2", "max: patience"),
    "a limit in seconds": ("limit: patience", "limit: 600"),
    "booleans as values": ("values: [yes, no]", "values: [true, false]"),
    "numbers as values": ("values: [yes, no]", "values: [1, 2]"),
    "one value for a list where one will do": ("fuse: [whole]", "fuse: whole"),
    "a list of sources": ("from: dark, trigger: press", "from: [dark], trigger: press"),
    "an old name of a key": ("sets: {light: on}, effect", 'keeps: "it is light", sets: {light: on}, effect'),
}
ONLY_THE_READER = {
    "a state that nothing leads to": ("initial: dark", "initial: darkness"),
    "a fact that is not declared": ("requires: {fuse: [whole]}", "requires: {fuze: [whole]}"),
    "a value that is not declared": ("sets: {light: on}, effect", "sets: {light: bright}, effect"),
    "an action without an effect": (", effect: idempotent", ""),
}
"""What a schema cannot say: which names there are, and what goes together."""


def changed(change: tuple[str, str]) -> str:
    """Return the lamp with one change."""
    old, new = change
    assert old in LAMP
    return LAMP.replace(old, new, 1) if old else LAMP


@pytest.mark.parametrize("wrong", BOTH_REFUSE)
def test_what_the_reader_refuses_is_underlined_too(wrong: str) -> None:
    """Of a file with a wrong shape both say so."""
    text = changed(BOTH_REFUSE[wrong])
    assert schema_refuses(text)
    assert reader_refuses(text)


@pytest.mark.parametrize("right", BOTH_TAKE)
def test_what_the_reader_takes_is_not_underlined(right: str) -> None:
    """Of a file with an unusual but right shape neither complains."""
    text = changed(BOTH_TAKE[right])
    assert (schema_refuses(text), reader_refuses(text)) == ([], ())


@pytest.mark.parametrize("wrong", ONLY_THE_READER)
def test_what_a_schema_cannot_know_the_reader_finds(wrong: str) -> None:
    """An undeclared name has the right shape: `drfsm machine check` is what finds it."""
    text = changed(ONLY_THE_READER[wrong])
    assert not schema_refuses(text)
    assert reader_refuses(text)
