"""`drfsm receipts check`: holds receipts against their schemas and their minimum fields. Offline."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json
from drfsm.errors import ExitCode, Unreadable, UsageFault

_LARGEST_BYTES = 64 << 20
_NAMES: Sequence[tuple[str, str]] = (
    (r"(drill|promote|failback)\.summary\.json", r"\1.summary"),
    (r"validation\.receipt\.json", "validation.receipt"),
    (r"(bringup|restore|validate|promote|teardown)\.receipt\.json", "phase.receipt"),
    (r"metadata\.json", "backup.metadata"),
    (r"alarm_history\.json", "alarm_history"),
    (r"apply\.summary\.json", "control_plane.apply.summary"),
    (r"(dr_restore\.(control_plane\.summary|summary|refused))\.json", r"\1"),
    (r"(drill|promote|failback)\.plan\.json", "plan"),
    (r".*\.plan\.ya?ml", "exercise.plan"),
    (r"exercise\.yaml", "exercise"),
)
"""A receipt's file name -> the name of its schema."""
_MINIMUM = ("promote", "failback")


@click.group()
def receipts() -> None:
    """Check receipts, of whichever version of drfsm wrote them."""


@receipts.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...")
@click.option("--schema", "named", metavar="NAME", help="Its schema, where the file's name does not tell: plan.")
@output_format
def check(files: tuple[str, ...], named: str | None, output: str) -> int:
    """Check receipts against their JSON Schemas, and summaries of promotes and failbacks for their minimum fields.

    Of a directory, such as a bundle, every receipt in it. What an older version wrote in another form is read, and held
    to the minimum fields alone. Exits with 6 if one does not hold.
    """
    results = [_result(path, named) for file in files for path in _paths(Path(file), named)]
    if output == "json":
        say_json(results)
    else:
        for result in results:
            say(f"{result['verdict']:<14} {result['file']}  ({result['schema']}{result['note']})")
            for fault in result["faults"]:
                say(f"  {fault}")
    return int(ExitCode.EVIDENCE if any(result["faults"] for result in results) else ExitCode.DONE)


def _paths(file: Path, named: str | None) -> Iterator[Path]:
    """Yield a file, or every receipt below a directory. Raises UsageFault where there is none."""
    if not file.is_dir():
        yield file
        return
    inside = (path for path in sorted(file.rglob("*")) if "private" not in path.relative_to(file).parts)
    found = [path for path in inside if path.is_file() and _schema_of(path, None)]
    if not found or named:
        what = f"{file} is a directory" if named else f"{file} holds no receipt that drfsm knows by its name"
        raise UsageFault(what, hint="name a file, with --schema NAME")
    yield from found


def _schema_of(path: Path, named: str | None) -> str:
    """Return the name of a receipt's schema, by the name of its file; "" where that tells nothing."""
    if named:
        return named
    for pattern, name in _NAMES:
        if match := re.fullmatch(pattern, path.name):
            return match.expand(name)
    return "exercise" if path.parent.name == "exercise" and path.suffix == ".yaml" else ""


def _result(path: Path, named: str | None) -> dict[str, Any]:
    """Return what a check of one file says. Raises UsageFault for a file that can't be read, or has no schema."""
    from drfsm.evidence.receipts import check as faults_of

    known, name = _schemas(), _schema_of(path, named)
    if name not in known:
        told = ", ".join(known)
        raise UsageFault(f"{path}: the file's name does not tell its schema", hint=f"--schema, one of {told}")
    try:
        value = _read(path)
    except Unreadable as fault:
        return _told(path, name, [fault.what])
    schema = json.loads(known[name])
    faults, note = [], ""
    machine = name.removesuffix(".summary")
    has_minimum = machine in _MINIMUM and isinstance(value, Mapping)
    if older := _older(value, schema):
        checked = "its minimum fields alone were checked" if has_minimum else "it was only read"
        note = f"; its form is older, {older}: {checked}"
    else:
        faults = faults_of(value, schema)
    if has_minimum:
        faults += faults_of(value, json.loads(known[f"{machine}.minimum"]))
    return _told(path, name, sorted(set(faults)), note)


@cache
def _schemas() -> Mapping[str, str]:
    """Return every schema, by its name."""
    from drfsm.evidence.schemas import files as schemas

    return {name.removesuffix(".schema.json"): text for name, text in schemas().items()}


def _told(path: Path, name: str, faults: Sequence[str], note: str = "") -> dict[str, Any]:
    verdict = "DOES NOT HOLD" if faults else "holds"
    return {"file": str(path), "schema": name, "verdict": verdict, "note": note, "faults": list(faults)}


def _read(path: Path) -> Any:
    """Return what a receipt holds. Raises Unreadable, UsageFault."""
    from drfsm.claims import json_of, yaml_of
    from drfsm.cli.exercise import plain
    from drfsm.files import given_file

    raw = given_file(path, "the receipt", _LARGEST_BYTES)
    if path.suffix in (".yaml", ".yml"):
        return plain(yaml_of(raw, str(path), largest_bytes=_LARGEST_BYTES))
    return json_of(raw, str(path), largest_bytes=_LARGEST_BYTES)


def _older(value: Any, schema: Mapping[str, Any]) -> str:
    """Return the version of a receipt's form where that is an older one than the schema's; "" where it is not."""
    version = value.get("schema_version") if isinstance(value, Mapping) else None
    today = schema.get("properties", {}).get("schema_version", {})
    versions = [today["const"]] if "const" in today else list(today.get("enum", ()))
    if isinstance(version, bool) or not isinstance(version, int) or not versions:
        return ""
    return f"{version} before {max(versions)}" if 0 < version < min(versions) else ""
