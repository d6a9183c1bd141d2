"""What a whole table can get wrong though each of its rows is fine: each rule with an example that breaks it."""

import pytest

from drfsm.errors import DeclarationFault
from drfsm.spec import load_machine

HEAD = """\
machine: walk
because: "a way"
initial: home
finals: {away: complete}
inputs: {rain: {values: [yes, no]}, wind: {values: [yes, no]}}
facts: {coat: {values: [on, off]}}
guards: {coat_is_on: {requires: {coat: on}, because: "It is cold"}}
transitions:
  - {from: home, trigger: sit, to: home_again, by: operator, guards: [coat_is_on], because: "used"}
  - {from: home_again, trigger: stand, to: away, by: operator, when: {rain: yes, wind: yes}, because: "used"}
"""
DRESS = '  - {from: home, trigger: go, to: street, action: dress, sets: {coat: on}, effect: idempotent, because: "a"}'
FIRST = len(HEAD.splitlines()) + 1  # the line of a test's own first row
CIRCLE = (
    "9: the runner can loop for ever through home;"
    " let the operator take one of the rows, or count `rounds` of a failure's row that leads back"
)

CASES = {
    "a final state is left": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: away, trigger: come, to: home, by: operator, because: "b"}',
        ],
        [f"{FIRST + 1}: come leaves the final state away; remove it: a run that ended stays ended"],
    ),
    "a state that nobody reaches": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: nowhere, trigger: come, to: away, because: "b"}',
        ],
        [
            f"{FIRST + 1}: state nowhere can't be reached from home; add the transition that leads there, or remove it",
        ],
    ),
    "a state that leads nowhere": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: fall, to: pit, by: operator, because: "b"}',
        ],
        [f"{FIRST + 1}: no final state can be reached from pit; add a transition from it, or make it final"],
    ),
    "two rows of the runner fit": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: run, to: away, when: {rain: yes}, because: "b"}',
        ],
        [
            (
                f"{FIRST + 1}: run and go (line {FIRST}) both fit state home, both by runner;"
                " distinguish them with when, or let the operator choose"
            ),
        ],
    ),
    "rows told apart by different inputs may both fit": (
        [
            '  - {from: home, trigger: go, to: away, when: {rain: yes}, because: "a"}',
            '  - {from: home, trigger: run, to: away, when: {wind: yes}, because: "b"}',
            '  - {from: home, trigger: walk, to: away, when: {rain: no, wind: no}, because: "c"}',
        ],
        [
            (
                f"{FIRST + 1}: run and go (line {FIRST}) both fit state home, both by runner;"
                " distinguish them with when, or let the operator choose"
            ),
        ],
    ),
    "two rows by failure fit": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: trip, to: away, by: failure, because: "b"}',
            '  - {from: home, trigger: slip, to: away, by: failure, because: "c"}',
        ],
        [
            (
                f"{FIRST + 2}: slip and trip (line {FIRST + 1}) both fit state home, both by failure;"
                " distinguish them with when, or let the operator choose"
            ),
        ],
    ),
    "one trigger twice from one state": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: go, to: away, by: operator, because: "b"}',
        ],
        [f"{FIRST + 1}: go leaves home twice (line {FIRST}); rename one of them"],
    ),
    "an input for which nothing is declared": (
        ['  - {from: home, trigger: go, to: away, when: {rain: no}, because: "a"}'],
        [f"{FIRST}: no row of the runner leaves home for rain: yes; add the row for it"],
    ),
    "the runner goes in circles": (
        [
            '  - {from: home, trigger: go, to: street, because: "a"}',
            '  - {from: street, trigger: back, to: home, because: "b"}',
            '  - {from: street, trigger: on, to: away, by: operator, because: "c"}',
        ],
        [CIRCLE],
    ),
    "a failure and the runner go in circles": (
        [
            '  - {from: home, trigger: go, to: street, because: "a"}',
            '  - {from: street, trigger: back, to: home, by: failure, because: "b"}',
            '  - {from: street, trigger: on, to: away, because: "c"}',
        ],
        [CIRCLE],
    ),
    "a circle beside the one whose rounds are counted": (
        [
            '  - {from: home, trigger: go, to: street, because: "a"}',
            '  - {from: street, trigger: back, to: home, by: failure, guards: [coat_is_on], rounds: 2, because: "b"}',
            '  - {from: street, trigger: flee, to: home, by: failure, because: "c"}',
            '  - {from: street, trigger: on, to: away, because: "d"}',
        ],
        [CIRCLE],
    ),
    "rounds of no circle": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: trip, to: away, by: failure, rounds: 2, because: "b"}',
        ],
        [f"{FIRST + 1}: trip counts rounds of home, and leads nowhere back; remove rounds"],
    ),
    "a failure ends as refused though something changed": (
        [
            DRESS,
            '  - {from: street, trigger: on, to: away, because: "b"}',
            '  - {from: street, trigger: trip, to: refused, by: failure, because: "c"}',
        ],
        [
            (
                f"{FIRST + 2}: trip ends street as refused, although something may have changed by then;"
                " lead it to a state that undoes changes, or to a final state of status failed"
            ),
        ],
    ),
    "a change that an abort would forget": (
        [
            DRESS,
            '  - {from: street, trigger: on, to: away, because: "b"}',
            '  - {from: street, trigger: abort, to: going, by: operator, because: "c"}',
            '  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "d"}',
            '  - {from: going, trigger: finish_abort, to: away, because: "e"}',
        ],
        [
            (
                f"{FIRST}: go changes something and can be aborted, but does not declare how to undo it;"
                " add undo, or not_undone_because with the reason"
            ),
        ],
    ),
    "a change that an abort in its middle would forget": (
        [
            DRESS,
            '  - {from: street, trigger: on, to: away, because: "b"}',
            '  - {from: home, trigger: abort, to: going, by: operator, because: "c"}',
            '  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "d"}',
            '  - {from: going, trigger: finish_abort, to: away, because: "e"}',
        ],
        [
            (
                f"{FIRST}: go changes something and can be aborted, but does not declare how to undo it;"
                " add undo, or not_undone_because with the reason"
            ),
        ],
    ),
    "an undo loop that leaves its state": (
        [
            '  - {from: home, trigger: go, to: away, because: "a"}',
            '  - {from: home, trigger: back, to: away, by: operator, foreach: undo, because: "b"}',
        ],
        [f"{FIRST + 1}: an undo loop that leaves its state; let from and to name the same one state"],
    ),
    "two final writes": (
        [
            (
                "  - {from: home, trigger: go, to: street, action: dress, sets: {coat: on}, effect: idempotent,"
                ' point_of_no_return: true, because: "a"}'
            ),
            (
                "  - {from: street, trigger: on, to: away, action: undress, sets: {coat: off}, effect: idempotent,"
                ' point_of_no_return: true, because: "b"}'
            ),
        ],
        [f"{FIRST + 1}: on is a second point of no return on the way of go; there is one point of no return"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_rule_of_the_table_has_an_example_that_breaks_it(case: str) -> None:
    """Rows that are fine one by one, and together are not: exactly this is told."""
    rows, expected = CASES[case]
    finals = HEAD.replace("{away: complete}", "{away: complete, refused: refused}")
    text = (finals if any("refused" in row for row in rows) else HEAD) + "\n".join(rows) + "\n"
    with pytest.raises(DeclarationFault) as caught:
        load_machine(text, source="walk.yaml")
    assert [each.removeprefix("walk.yaml:") for each in caught.value.faults] == expected


def test_a_failure_before_anything_changed_may_end_as_refused() -> None:
    """The same row is fine from a state that lies before every change."""
    text = (
        HEAD.replace("{away: complete}", "{away: complete, refused: refused}")
        + """
  - {from: home, trigger: go, to: street, action: dress, sets: {coat: on}, effect: idempotent, because: "a"}
  - {from: street, trigger: on, to: away, because: "b"}
  - {from: home, trigger: trip, to: refused, by: failure, because: "c"}
"""
    )
    assert load_machine(text).finals["refused"] == "refused"


def test_a_circle_whose_rounds_are_counted_ends() -> None:
    """A failure's row may lead back where it says how often: as a number, or as an input that is one."""
    rows = """
  - {from: home, trigger: go, to: street, because: "a"}
  - {from: street, trigger: back, to: home, by: failure, guards: [coat_is_on], rounds: %s, because: "b"}
  - {from: street, trigger: on, to: away, because: "c"}
"""
    inputs = HEAD.replace("wind: {values: [yes, no]}", "wind: {values: [yes, no]}, tries: {}")
    for text, inputs_of_run in ((HEAD + rows % 3, {}), (inputs + rows % "tries", {"tries": "3"})):
        (back,) = [row for row in load_machine(text).rows if row.trigger == "back"]
        assert back.returns(inputs_of_run) == 2
