"""A document that a command shows to a program or as a table: one value, as JSON, YAML or a plain table.

A command asks ``-o`` for text or something else, and gives the same document to ``say.say_json`` whatever that is:
which form was asked for stands in click's context. Characters that do not print are escaped in each form, so that a
reader of JSON or YAML gets the same value, and a table stays a table. Loads YAML only where it is asked for.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click

from drfsm.claims import printable, printable_json, printable_lines

FORMATS = ("text", "json", "yaml", "table")
_ASKED = "drfsm.cli.documents"
_WHOLE = 1 << 30  # columns: no line is folded
_WIDEST_NAME = 40
Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)


def output_option(help_text: str | None = None, more: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Return the ``-o`` of a command: text, or a document as JSON, YAML or a table. The command gets text or json.

    ``more``: forms that the command writes itself; it gets their names.
    """
    return click.option(
        "-o", "--output", type=click.Choice((*FORMATS, *more)), default="text", show_default=True, callback=_chosen,
        help=help_text,
    )  # fmt: skip


def _chosen(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    context.meta[_ASKED] = value
    return "json" if value in FORMATS and value != "text" else value


def written(value: Any) -> str:
    """Return a document in the form that was asked for, JSON where none was."""
    context = click.get_current_context(silent=True)
    asked = context.meta.get(_ASKED, "json") if context is not None else "json"
    if asked == "yaml":
        return as_yaml(value)
    if asked == "table":
        return "\n".join(as_table(value))
    return as_json(value)


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return printable_json(json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> str:
    """Return a value as YAML: what JSON says, in the order of its fields; each text on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes a text of several lines between quotes, so that none of its lines stands for itself."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  yaml's signature
            """Write every value where it stands."""
            return True

    def text(dumper: yaml.SafeDumper, words: str) -> yaml.ScalarNode:
        style = '"' if "\n" in words or printable(words) != words else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", words, style=style)

    Dumper.add_representer(str, text)
    plain = json.loads(json.dumps(value))  # tuples and enumerations become what JSON says
    shown = yaml.dump(plain, Dumper=Dumper, sort_keys=False, width=_WHOLE, allow_unicode=True)
    if printable_lines(shown) != shown:  # then every character that is not ASCII is escaped
        shown = yaml.dump(plain, Dumper=Dumper, sort_keys=False, width=_WHOLE, allow_unicode=False)
    return shown.removesuffix("\n")


def as_table(value: Any) -> Iterator[str]:
    """Yield a table's lines: of objects a line each below their fields' names, of one object a line a field."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        names = list(dict.fromkeys(name for row in value if isinstance(row, Mapping) for name in row))
        if names:
            header = [name.upper() for name in names]
            rows = [[_cell(_of(row, name)) for name in names] for row in value]
            yield from _aligned([header, *rows], [max(map(len, column)) for column in zip(header, *rows, strict=True)])
        else:
            yield from (_cell(row) for row in value)
    elif isinstance(value, Mapping):
        fields = list(_flat("", value))
        yield from _aligned(fields, [min(_WIDEST_NAME, max((len(name) for name, _ in fields), default=0)), 0])
    else:
        yield _cell(value)


def _of(row: Any, name: str) -> Any:
    return row.get(name, "") if isinstance(row, Mapping) else ""


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text) for every value in a document."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(f"{name}.{key}".lstrip("."), part)
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(it, Mapping) for it in value):
        for number, part in enumerate(value):
            yield from _flat(f"{name}[{number}]", part)
    else:
        yield printable(name), _cell(value)


def _cell(value: Any) -> str:
    """Return a value as one cell: a text as it is, a list of texts with commas, anything else as JSON."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return printable(", ".join(value))
    return "" if value is None else printable(json.dumps(value, ensure_ascii=False, default=str))


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Yield rows with their columns below each other."""
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
