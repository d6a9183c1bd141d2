"""Draws a declared machine: a Mermaid diagram and tables. Deterministic, so that docs can be diffed."""

from collections.abc import Iterable, Iterator

from drfsm.spec.foresight import Outlook, outlooks
from drfsm.spec.model import By, Foreseen, MachineSpec, Row, Rule

CROWD = 5  # arrows of one trigger to one state are drawn as one from here on


def mermaid(spec: MachineSpec) -> str:
    """Return a stateDiagram-v2. Abort's many sources are drawn as one note, not as an arrow each."""
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _lines(spec))]) + "\n"


def _lines(spec: MachineSpec) -> Iterator[str]:
    yield f"[*] --> {spec.initial}"
    crowds = {row.trigger: [other for other in spec.rows if other.trigger == row.trigger] for row in spec.rows}
    crowded = {trigger for trigger, rows in crowds.items() if len(rows) >= CROWD and len({row.to for row in rows}) == 1}
    for row in spec.rows:
        if row.trigger not in crowded:
            yield f"{row.source} --> {row.to}: {row.trigger}{_mark(row)}"
    for trigger in sorted(crowded):
        rows = crowds[trigger]
        first, last = rows[0].source, rows[-1].source
        yield f"{last} --> {rows[0].to}: {trigger}{_mark(rows[0])}, from {first} to {last}"
    for state in spec.finals:
        yield f"{state} --> [*]"


def _mark(row: Row) -> str:
    mark = "" if row.by is By.RUNNER else f" ({_by(row)})"
    return mark + (" (point of no return)" if row.point_of_no_return else "")


def table(spec: MachineSpec) -> str:
    """Return the rows as a Markdown table."""
    head = ("from", "trigger", "to", "by", "requires", "sets", "an abort", "because")
    return _markdown(head, (_cells(row) for row in spec.rows))


def foresight_table(spec: MachineSpec) -> str:
    """Return what is known beforehand of each guard of later rows as a Markdown table; "" where no row foresees."""
    head = ("guard", "would stop", "beforehand", "what to do, or why not beforehand")
    rows = [_foreseen(outlook) for outlook in outlooks(spec)]
    return _markdown(head, rows) if rows else ""


def rules_table(spec: MachineSpec) -> str:
    """Return the ``never`` rules as a Markdown table: which facts together, in which states, of which runs, and why."""
    return _markdown(("rule", "never", "in", "of which runs", "because"), (_ruled(rule) for rule in spec.never))


def _ruled(rule: Rule) -> tuple[str, ...]:
    together = " and ".join(f"{fact} is {' or '.join(values)}" for fact, values in rule.when.items())
    inputs = [f"with {name}={'/'.join(values)}" for name, values in rule.inputs.items()]
    excepted = [f"without `{trigger}`" for trigger in rule.unless_taken]
    return f"`{rule.name}`", together, _where(rule.states), ", ".join([*inputs, *excepted]) or "all", rule.reason


def _where(states: tuple[str, ...]) -> str:
    if len(states) < CROWD:
        return ", ".join(states) or "every state"
    return f"{len(states)} states, from {states[0]} to {states[-1]}"


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("-" * len(cell) for cell in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _foreseen(outlook: Outlook) -> tuple[str, ...]:
    guard = outlook.guard
    level = {Foreseen.REFUSE: "**refuses**", Foreseen.WARN: "warns", Foreseen.NO: "no"}[guard.foreseen]
    return f"`{guard.name}`", f"`{outlook.row.trigger}`", level, outlook.why or guard.mend or guard.reason


def _cells(row: Row) -> tuple[str, ...]:
    selected = "; ".join(f"{name}={'/'.join(values)}" for name, values in row.when.items())
    return (
        row.source,
        row.trigger + (f" [{selected}]" if selected else ""),
        row.to,
        _by(row),
        ", ".join(row.guards),
        ", ".join(f"{fact}: {value}" for fact, value in row.sets.items()),
        _on_abort(row),
        row.reason,
    )


def _by(row: Row) -> str:
    return f"{row.by}, {row.rounds} rounds at most" if row.rounds else row.by.value


def _on_abort(row: Row) -> str:
    if row.point_of_no_return:
        return "is refused from this intent on"
    if row.undo:
        return f"undoes it ({row.undo})"
    return f"keeps it: {row.not_undone_because}" if row.not_undone_because else ""
