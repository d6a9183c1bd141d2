"""-o json, yaml and table: one document, whatever its form, and nothing in it steers a terminal."""

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from drfsm.cli.documents import FORMATS, as_json, as_table, as_yaml
from drfsm.cli.main import cli
from drfsm.evidence.schemas import RECEIPTS
from drfsm.evidence.schemas.verbs import DOCUMENTS
from tests.cli.test_door import COMMANDS
from tests.command import Drfsm, check_document
from tests.hostile.test_documents import harmless

EVIL = "\x1b[2Jx\r\x9b31m\u202eevil\u2066\u200b\nnext: rm -rf ~"
WORDS = [
    "on",
    "no",
    "null",
    "~",
    "1",
    "1.0",
    "2026-11-29",
    "a: b",
    "- a",
    "",
    " ",
    "\u00e4",
    "x\ny",
    EVIL,
    "{a}",
    "#",
    "&a",
]
VALUES: list[Any] = [
    {},
    [],
    WORDS,
    dict.fromkeys(WORDS, 1),
    {"a": [{"b": {"c": [1, 2.5, None, True]}}, {}], "d": []},
    [{"a": 1}, {"b": "x"}, {"a": [1], "b": {"c": EVIL}}],
    EVIL,
    None,
    7,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_yaml_and_json_hold_the_same_value(value: Any) -> None:
    """Words that YAML would read as something else stay words; a text of several lines is no line of its own."""
    for text, read in ((as_json(value), json.loads), (as_yaml(value), yaml.safe_load)):
        assert harmless(text)
        assert read(text) == value
    assert not any(line.lstrip("- ").startswith("next:") for line in as_yaml(value).splitlines())


def test_a_table_has_a_line_a_row_or_a_line_a_field() -> None:
    """Fields that a row lacks are empty; objects in objects are named with dots; nothing in it is another line."""
    assert next(as_table([{"a": 1, "b": "x"}, {"b": EVIL}])) == "A  B"
    assert len(list(as_table([{"a": 1, "b": "x"}, {"b": EVIL}]))) == 3
    assert list(as_table({"a": {"b": 1}, "c": [{"d": "x"}], "e": ["x", "y"], "f": None})) == [
        "a.b     1", "c[0].d  x", "e       x, y", "f"
    ]  # fmt: skip
    assert all(harmless(line) and "\n" not in line for value in VALUES for line in as_table(value))


MORE_FORMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("doctor",): ("prometheus",),
    ("audit",): ("sarif", "junit"),
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_with_o_has_all_its_forms(words: tuple[str, ...]) -> None:
    """A command that has a document has it in each form; a watch has an object a line instead."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    for option in command.params:
        if "-o" in option.opts and words != ("watch",):
            assert isinstance(option.type, click.Choice)
            assert tuple(option.type.choices) == (*FORMATS, *MORE_FORMS.get(words, ()))


@pytest.mark.parametrize("form", FORMATS)
def test_the_form_that_is_asked_for_is_the_one_that_is_printed(drfsm: Drfsm, form: str) -> None:
    """The same entry four times."""
    out = drfsm("explain", "4", "-o", form).out
    entry = {"text": None, "json": json.loads, "yaml": yaml.safe_load, "table": None}[form]
    assert "drfsm resume" in out
    assert entry is None or entry(out)[0]["kind"] == "exit code"
    assert form != "table" or out.startswith("KIND ")


def leaves(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *words, name)
        else:
            yield " ".join((*words, name)), command


def test_every_command_that_shows_a_document_has_its_schema() -> None:
    """Held against it wherever a test asks a command for JSON (tests/command.py); `watch` prints a line an event."""
    shows = {words for words, command in leaves(cli) for option in command.params if {"-o", "--json"} & {*option.opts}}
    assert shows - {"watch"} == set(DOCUMENTS)
    assert all(receipt in RECEIPTS for receipts in DOCUMENTS.values() for receipt in receipts)


def test_a_document_that_does_not_fit_its_schema_is_found() -> None:
    """The net has no hole: another field, a list for an object, a word that is none of those."""
    for out in ('{"workload": "a", "sha256": "x", "required": []}', "[]", '{"workload": "a"}'):
        with pytest.raises(AssertionError, match="does not fit its schema"):
            check_document(["workload", "check", "-o", "json"], out)
    check_document(
        ["workload", "check", "-o", "json"], json.dumps({"workload": "a", "sha256": "0" * 64, "required": []})
    )
