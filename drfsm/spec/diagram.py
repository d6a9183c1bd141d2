"""Draws a declared machine: a Mermaid diagram and tables. Deterministic, so that docs can be diffed.

svg.py draws it as a picture.
"""

from collections.abc import Iterable, Iterator

from drfsm.spec.course import Course
from drfsm.spec.foresight import Outlook, outlooks
from drfsm.spec.model import By, Foreseen, MachineSpec, Row, Rule
from drfsm.spec.ways import Way, Ways

MOST = 4  # arrows of one trigger to one state that are drawn one by one
_CLASSES = {
    Way.HAPPY: "fill:#e6f6ea,stroke:#1a7f37,stroke-width:2px,color:#1f2328",
    Way.OUT: "fill:#fafafa,stroke:#8c959f,stroke-dasharray:5 3,color:#57606a",
}
_CROWD = 5  # states of a rule are counted from here on, not listed
_PASSED = "fill:#ddf4ff,stroke:#0969da,stroke-width:3px,color:#1f2328"


def mermaid(spec: MachineSpec, course: Course | None = None) -> str:
    """Return a stateDiagram-v2: the happy path and the ways out told apart; with a course, the run on the machine.

    Abort's many sources are drawn as one arrow, not as an arrow each.
    """
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _lines(spec, Ways.of(spec), course))]) + "\n"


def _lines(spec: MachineSpec, ways: Ways, course: Course | None) -> Iterator[str]:
    for way, style in _CLASSES.items():
        yield f"classDef {way} {style}"
    if course:
        yield f"classDef passed {_PASSED}"
    yield f"[*] --> {spec.initial}"
    for rows in ways.crowds(MOST):
        first, last = rows[0], rows[-1]
        where = f", from {first.source} to {last.source}" if len(rows) > 1 else ""
        for row in [row for row in rows if course and course.steps(row) and len(rows) > 1]:
            yield f"{row.source} --> {row.to}: {row.trigger}{_mark(row)}{_steps(row, course)}"
        steps = _steps(first, course) if len(rows) == 1 else ""
        yield f"{last.source} --> {first.to}: {first.trigger}{_mark(first)}{where}{steps}"
    for state in spec.finals:
        yield f"{state} --> [*]"
    for way in _CLASSES:
        yield from _classed(way, [state for state in spec.states if ways.states[state] is way])
    if course:
        yield from _classed("passed", [state for state in spec.states if state in course.states])
        for state, notes in course.notes.items():
            if state in spec.states:
                yield f"note right of {state}"
                yield from (f"    {_harmless(f'{note.mark}: {note.words}')}" for note in notes)
                yield "end note"


def _classed(name: str, states: list[str]) -> Iterator[str]:
    if states:
        yield f"class {','.join(states)} {name}"


def _steps(row: Row, course: Course | None) -> str:
    steps = course.steps(row) if course else ()
    return f" [step {', '.join(map(str, steps))}]" if steps else ""


def _harmless(words: str) -> str:
    """Return words that end no note and begin no other line."""
    return " ".join(words.replace(";", ",").split()).replace("end note", "end-note")


def _mark(row: Row) -> str:
    mark = "" if row.by is By.RUNNER else f" ({_by(row)})"
    return mark + (" (point of no return)" if row.point_of_no_return else "")


def table(spec: MachineSpec) -> str:
    """Return the rows as a Markdown table."""
    head = ("from", "trigger", "to", "by", "requires", "sets", "an abort", "because")
    return markdown_table(head, (_cells(row) for row in spec.rows))


def foresight_table(spec: MachineSpec) -> str:
    """Return what is known beforehand of each guard of later rows as a Markdown table; "" where no row foresees."""
    head = ("guard", "would stop", "beforehand", "what to do, or why not beforehand")
    rows = [_foreseen(outlook) for outlook in outlooks(spec)]
    return markdown_table(head, rows) if rows else ""


def rules_table(spec: MachineSpec) -> str:
    """Return the ``never`` rules as a Markdown table: which facts together, in which states, of which runs, and why."""
    return markdown_table(("rule", "never", "in", "of which runs", "because"), (_ruled(rule) for rule in spec.never))


def _ruled(rule: Rule) -> tuple[str, ...]:
    together = " and ".join(f"{fact} is {' or '.join(values)}" for fact, values in rule.when.items())
    inputs = [f"with {name}={'/'.join(values)}" for name, values in rule.inputs.items()]
    excepted = [f"without `{trigger}`" for trigger in rule.unless_taken]
    return f"`{rule.name}`", together, _where(rule.states), ", ".join([*inputs, *excepted]) or "all", rule.reason


def _where(states: tuple[str, ...]) -> str:
    if len(states) < _CROWD:
        return ", ".join(states) or "every state"
    return f"{len(states)} states, from {states[0]} to {states[-1]}"


def markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table with a line at its end; what a cell says is never markup of a table or a tag."""
    lines = [
        head,
        tuple("-" * len(cell) for cell in head),
        *(tuple(plain(cell).replace("|", "\\|") for cell in row) for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def plain(words: str) -> str:
    """Return words as Markdown in which no tag begins, but for code between backticks, which stays."""
    parts = words.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


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
