"""Diagrams and tables are the same for the same declaration, and leave nothing out."""

from drfsm.resources import shipped
from drfsm.spec import load_machine, mermaid, table

TEXT = (shipped("machines") / "failback.yaml").read_bytes()
SPEC = load_machine(TEXT, source="failback.yaml")


def test_the_same_declaration_draws_the_same() -> None:
    """Loaded twice, drawn twice: byte for byte the same, ending in one newline."""
    again = load_machine(TEXT, source="elsewhere.yaml")
    for draw in (mermaid, table):
        assert draw(SPEC) == draw(again)
        assert draw(SPEC).endswith("\n")
        assert not draw(SPEC).endswith("\n\n")


def test_the_table_has_a_line_for_every_row() -> None:
    """One line each, with as many cells as the head, and the row's own reason last."""
    head, rule, *rows = table(SPEC).splitlines()
    assert len(rows) == len(SPEC.rows)
    assert {line.count(" | ") for line in (head, rule)} == {7}
    for line, row in zip(rows, SPEC.rows, strict=True):
        assert line.startswith(f"| {row.source} | {row.trigger}")
        assert line.endswith(f"| {row.reason} |")


def test_the_diagram_names_every_state_and_every_end() -> None:
    """Every state occurs, every final state ends, and the point of no return is marked."""
    drawn = mermaid(SPEC)
    assert drawn.startswith("stateDiagram-v2\n    classDef happy ")
    assert "\n    [*] --> start\n" in drawn
    for state in SPEC.finals:
        assert f"    {state} --> [*]" in drawn
    crowded = {row.source for row in SPEC.rows if row.trigger in ("abort", "refuse")}
    for state in set(SPEC.states) - crowded:
        assert f" {state} -->" in drawn or f"--> {state}" in drawn
    assert "(point of no return)" in drawn


def test_many_arrows_of_one_trigger_are_drawn_as_one() -> None:
    """Abort leaves so many states that one arrow tells from where to where."""
    assert mermaid(SPEC).count(": abort") == 1
