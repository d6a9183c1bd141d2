"""What a whole table can get wrong though each of its rows is fine: gaps, overlaps, traps, loops.

Owns the rules of the table; declare.py has those of one row or name, check.py explores what the world may
do in between. Pure. Called by declare.py when every row could be read.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from drfsm.spec import foresight
from drfsm.spec.graph import closure, components, on_circles, onward
from drfsm.spec.model import By, MachineSpec, Row

STATUSES = ("complete", "aborted", "refused", "failed")
Fault = tuple[int, str, str]


def unsound(spec: MachineSpec) -> Iterator[Fault]:
    """Yield (line, what is wrong, the mend) for everything that the table gets wrong."""
    yield from _finals(spec)
    yield from _reach(spec)
    yield from _overlaps(spec)
    yield from _gaps(spec)
    yield from _loops(spec)
    yield from _mutations(spec)
    yield from foresight.unsound(spec)


def _finals(spec: MachineSpec) -> Iterator[Fault]:
    for row in spec.rows:
        if row.source in spec.finals:
            yield (
                row.line,
                f"{row.trigger} leaves the final state {row.source}",
                "remove it: a run that ended stays ended",
            )
    if not spec.finals:
        yield 1, "there is no final state", "name one under finals, with its status"


def _reach(spec: MachineSpec) -> Iterator[Fault]:
    forth = closure({spec.initial}, onward((row.source, row.to) for row in spec.rows))
    back = closure(spec.finals, onward((row.to, row.source) for row in spec.rows))
    lines: dict[str, int] = {}
    for row in spec.rows:
        lines.setdefault(row.source, row.line)
        lines.setdefault(row.to, row.line)
    for state in spec.states:
        line = lines.get(state, 1)
        if state not in forth:
            yield (
                line,
                f"state {state} can't be reached from {spec.initial}",
                "add the transition that leads there, or remove it",
            )
        elif state not in back:
            yield line, f"no final state can be reached from {state}", "add a transition from it, or make it final"


def _overlaps(spec: MachineSpec) -> Iterator[Fault]:
    """Two rows that fit the same state and inputs are ambiguous."""
    for one, other in (pair for rows in spec.rows_by_source.values() for pair in combinations(rows, 2)):
        if (one.by is not other.by and one.trigger != other.trigger) or not _both_possible(one, other):
            continue
        same_runner = one.by is other.by is By.RUNNER and one.foreach == other.foreach
        # Of a failure's rows the first whose guards hold is taken: only the last may be without.
        same_failure = one.by is other.by is By.FAILURE and not one.guards
        if same_runner or same_failure:
            yield (
                other.line,
                f"{other.trigger} and {one.trigger} (line {one.line}) both fit state {one.source}, both by {one.by}",
                "distinguish them with when, or let the operator choose",
            )
        elif one.trigger == other.trigger:
            yield (
                other.line,
                f"{other.trigger} leaves {one.source} twice (line {one.line})",
                "rename one of them",
            )


def _both_possible(one: Row, other: Row) -> bool:
    return all(set(values) & set(other.when[name]) for name, values in one.when.items() if name in other.when)


def _gaps(spec: MachineSpec) -> Iterator[Fault]:
    """Exactly one row of the runner fits each state and input, unless the state waits for an operator."""
    for state, leaving in spec.rows_by_source.items():
        rows = [row for row in leaving if row.by is By.RUNNER and row.foreach is None]
        names = sorted({name for row in rows for name in row.when if name in spec.inputs})
        if not rows or not names:
            continue
        left_out = _left_out(spec, names, rows)
        if left_out is not None:
            combination = ", ".join(f"{name}: {value}" for name, value in zip(names, left_out, strict=True))
            yield rows[0].line, f"no row of the runner leaves {state} for {combination}", "add the row for it"


def _left_out(spec: MachineSpec, names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...] | None:
    """Return the first values of inputs (in the order of ``names``) that none of the rows fits; None where all fit.

    Value by value: what is settled by the first inputs is not looked at for each combination of the others.
    """
    if not rows:
        return tuple(spec.inputs[name].values[0] for name in names)
    if any(not row.when.keys() & set(names) for row in rows):
        return None
    name, *others = names
    for value in spec.inputs[name].values:
        rest = _left_out(spec, others, [row for row in rows if value in row.when.get(name, (value,))])
        if rest is not None:
            return (value, *rest)
    return None


def _loops(spec: MachineSpec) -> Iterator[Fault]:
    """Find cycles in which the runner could go on for ever. A loop of undos ends with its stack, rounds are counted."""
    rows = [row for row in spec.rows if row.by is not By.OPERATOR and row.foreach is None]
    yield from _no_rounds(rows)
    leads_to = onward((row.source, row.to) for row in rows if not row.rounds)
    circling = on_circles(leads_to)
    state = next((state for state in spec.states if state in circling), "")
    if state:
        line = next(row.line for row in spec.rows if row.source == state)
        mend = "let the operator take one of the rows, or count `rounds` of a failure's row that leads back"
        yield line, f"the runner can loop for ever through {state}", mend


def _no_rounds(rows: list[Row]) -> Iterator[Fault]:
    if not any(row.rounds for row in rows):
        return
    groups = components(onward((row.source, row.to) for row in rows))
    group_of = {state: number for number, group in enumerate(groups) for state in group}
    for row in rows:
        if row.rounds and group_of[row.source] != group_of[row.to]:
            yield row.line, f"{row.trigger} counts rounds of {row.source}, and leads nowhere back", "remove rounds"


def _mutations(spec: MachineSpec) -> Iterator[Fault]:
    """Find changes that an abort would not undo: before the point of no return each row declares how, or why not."""
    undo_states = spec.undo_states
    abortable = {row.source for row in spec.rows if row.to in undo_states and row.foreach is None}
    for row in spec.rows:
        changes = bool(row.action and row.sets and not row.point_of_no_return)
        if changes and {row.source, row.to} & abortable and not (row.undo or row.not_undone_because):
            yield (
                row.line,
                f"{row.trigger} changes something and can be aborted, but does not declare how to undo it",
                "add undo, or not_undone_because with the reason",
            )
    yield from _refusals(spec)
    yield from _points_of_no_return(spec)


def _points_of_no_return(spec: MachineSpec) -> Iterator[Fault]:
    """Find two points of no return on one way; separate branches may have one each."""
    finals = [row for row in spec.rows if row.point_of_no_return]
    leads_to = onward((row.source, row.to) for row in spec.rows)
    after = {to: closure({to}, leads_to) for to in {row.to for row in finals}}
    for one, other in combinations(finals, 2):
        on_one_way = other.source in after[one.to] or one.source in after[other.to]
        if on_one_way and (one.trigger, one.to) != (other.trigger, other.to):
            yield (
                other.line,
                f"{other.trigger} is a second point of no return on the way of {one.trigger}",
                "there is one point of no return",
            )


def _refusals(spec: MachineSpec) -> Iterator[Fault]:
    """Find failures that would end as refused (nothing changed) although something may have changed."""
    refused = {state for state, status in spec.finals.items() if status == "refused"}
    leads_to = onward((row.source, row.to) for row in spec.rows)
    moved = closure({row.to for row in spec.rows if row.action and row.sets}, leads_to)
    for row in spec.rows:
        if row.by is By.FAILURE and row.to in refused and row.source in moved:
            yield (
                row.line,
                f"{row.trigger} ends {row.source} as refused, although something may have changed by then",
                "lead it to a state that undoes changes, or to a final state of status failed",
            )
