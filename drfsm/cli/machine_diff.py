"""`drfsm machine diff`: what tells two versions of a machine apart, and what that does to its proofs. Offline."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from drfsm.cli.machine_named import load_named
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import ExitCode
from drfsm.spec import MachineSpec
from drfsm.spec.check import Report, check
from drfsm.spec.difference import Change, Difference, differences

_SIGNS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~"}
_NO_RULE = "not declared"


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--proofs/--no-proofs", default=True, show_default=True, help="Check both and compare what is proven.")
@output_format
def diff(before: str, after: str, output: str, *, proofs: bool) -> int:
    """Tell two versions of a machine apart: rows, guards, facts, rules, and what is proven of each.

    BEFORE and AFTER are shipped names (failback), YAML files, or runs' bundles. Exits with 11 if they differ.
    """
    old, new = load_named(before), load_named(after)
    parts = differences(old, new)
    proven = _proofs(old, new) if proofs and (parts or old.sha256 != new.sha256) else []
    changed = [proof for proof in proven if proof["before"] != proof["after"]]
    if output == "json":
        say_json(
            {
                "before": _named(old), "after": _named(new), "same": not (parts or changed),
                "differences": [part.record for part in parts], "proofs": proven if proofs else None,
            }
        )  # fmt: skip
    else:
        say_lines(_in_words(parts))
        if changed:
            say("proofs")
            say_lines(f"  ~ {proof['rule']}: {proof['before']} -> {proof['after']}" for proof in changed)
        kept = len(proven) - len(changed)
        if proven:
            say(f"{kept} of {len(proven)} proofs are as before")
        if not (parts or changed):
            say("no difference in what they declare" if old.sha256 != new.sha256 else "the same declaration")
    return int(ExitCode.DIFFERENT if parts or changed else ExitCode.DONE)


def _named(spec: MachineSpec) -> dict[str, str]:
    return {"machine": spec.name, "source": spec.source, "sha256": spec.sha256}


def _proofs(old: MachineSpec, new: MachineSpec) -> list[dict[str, str]]:
    """Return of each rule, and of the rows, what is proven before and after."""
    outcomes = [_outcomes(spec) for spec in (old, new)]
    rules = dict.fromkeys([*outcomes[0], *outcomes[1]])
    return [
        {"rule": rule, "before": outcomes[0].get(rule, _NO_RULE), "after": outcomes[1].get(rule, _NO_RULE)}
        for rule in rules
    ]


def _outcomes(spec: MachineSpec) -> dict[str, str]:
    report = check(spec, begin=lambda rule: say(f"{spec.source}: searching for {rule or 'dead rows'} ...", err=True))
    names = dict.fromkeys([rule.name for rule in spec.never] + list(report.explored))
    outcomes = {name: _outcome(name, report) for name in names}
    return {**outcomes, "every row can be taken": f"no: {', '.join(report.dead)}" if report.dead else "yes"}


def _outcome(name: str, report: Report) -> str:
    if name in {finding.name for finding in report.findings}:
        return "DOES NOT HOLD"
    if name in report.vacuous:
        return "SAYS NOTHING"
    return "NOT PROVEN" if name in report.unproven else "holds"


def _in_words(parts: tuple[Difference, ...]) -> Iterator[str]:
    for section, group in groupby(parts, key=lambda part: part.section):
        yield section
        for part in group:
            yield f"  {_SIGNS[part.change]} {part.name}"
            for name, (old, new) in part.fields.items():
                if part.change is Change.CHANGED:
                    yield f"      {name}: {_value(old)} -> {_value(new)}"
                else:
                    yield f"      {name}: {_value(new if part.change is Change.ADDED else old)}"


def _value(value: Any) -> str:
    """Return a field's value as the declaration would write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(part)}" for name, part in value.items()) + "}"
    if value in (None, ""):
        return "nothing"
    return str(value) if isinstance(value, str) else json.dumps(value)
