"""What can be judged before anything moves: which guards, at which row, and what a declaration can get wrong in it."""

import pytest

from drfsm.errors import DeclarationFault
from drfsm.spec import By, Foreseen, load_machine
from drfsm.spec.foresight import ahead, outlooks

WALK = """\
machine: walk
because: "a way"
initial: home
finals: {away: complete, stayed: refused}
inputs:
  rain: {values: [yes, no]}
  patience: {because: "seconds"}
facts:
  coat: {values: [on, off]}
  door: {values: [open, shut]}
  street: {values: [dry, wet]}
  bus: {values: [there, late, broken]}
  map: {values: [right, wrong], known_after: open_door}
  shoes: {values: [on, off]}
guards:
  coat_is_on: {requires: {coat: on}, foreseen: refuse, because: "It is cold", mend: "put it on"}
  door_is_open: {requires: {door: open}, because: "Nobody walks through a door"}
  street_is_dry: {requires: {street: dry}, foreseen: warn, because: "It is slippery"}
  bus_is_there: {requires: {bus: there}, foreseen: refuse, because: "It is far"}
  map_is_right: {requires: {map: right}, because: "One gets lost"}
  coat_is_known: {requires: {coat: [on, off]}, because: "It is asked"}
  shoes_are_on: {requires: {shoes: on}, because: "It is cold"}
environment:
  - {when: {street: wet}, sets: {street: dry}}
transitions:
  - {from: home, trigger: look, to: ready, guards: [shoes_are_on], foresees: true, because: "All is looked at first"}
  - {from: ready, trigger: open_door, to: outside, action: open, sets: {door: open}, effect: idempotent, because: "a"}
  - {from: outside, trigger: go, to: street, guards: [coat_is_on, door_is_open, map_is_right], because: "b"}
  - {from: street, trigger: wait_for_bus, to: riding, when: {rain: yes}, guards: [bus_is_there],
     wait: {every_seconds: 1, limit: patience, give_up: {bus: broken}}, because: "It rains"}
  - {from: street, trigger: walk, to: riding, when: {rain: no}, guards: [street_is_dry], because: "It is near"}
  - {from: riding, trigger: get_off, to: away, by: operator, guards: [coat_is_known, bus_is_there], because: "There"}
  - {from: riding, trigger: jump, to: away, by: operator, because: "There, too"}
  - {from: home, trigger: stay, to: stayed, by: failure, because: "Nothing moved"}
"""


WAITS = WALK[WALK.index("     wait: {every") : WALK.index("  - {from: riding, trigger: jump")]


def test_a_foreseeing_row_judges_what_no_row_in_between_changes() -> None:
    """For the way that the inputs select, each guard once, at the first row that has it; a person's rows, too."""
    spec = load_machine(WALK)
    (look,) = (row for row in spec.rows if row.foresees)
    for rain, expected in (
        ("yes", [("coat_is_on", "go"), ("bus_is_there", "wait_for_bus")]),
        ("no", [("coat_is_on", "go"), ("street_is_dry", "walk"), ("bus_is_there", "get_off")]),
    ):
        found = ahead(spec, look, {"rain": rain})
        assert [(each.guard.name, each.row.trigger) for each in found] == expected
    assert ahead(spec, next(row for row in spec.rows if row.trigger == "go"), {"rain": "yes"}) == ()


def test_what_a_row_would_wait_for_warns_until_waiting_is_hopeless() -> None:
    """A bus that is late comes; a broken one doesn't."""
    spec = load_machine(WALK)
    look = next(row for row in spec.rows if row.foresees)
    bus = next(each for each in ahead(spec, look, {"rain": "yes"}) if each.guard.name == "bus_is_there")
    levels = {value: (bus.level("bus", value), bus.waits("bus", value)) for value in ("late", "broken", None)}
    assert levels == {
        "late": (Foreseen.WARN, True),
        "broken": (Foreseen.REFUSE, False),
        None: (Foreseen.WARN, True),
    }


def test_the_table_says_of_each_guard_whether_it_is_foreseen_or_why_not() -> None:
    """The reasons are read off the table of rows."""
    assert {outlook.guard.name: outlook.why for outlook in outlooks(load_machine(WALK))} == {
        "coat_is_on": "",
        "door_is_open": "open_door changes what it requires, and comes first",
        "map_is_right": "open_door changes what it requires, and comes first",
        "bus_is_there": "",
        "street_is_dry": "",
        "coat_is_known": "every value will do: it asks only that the fact can be read",
    }


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            ("door: open}, because", "door: open}, foreseen: refuse, because"),
            "guard door_is_open can't be foreseen: on every way something changes what it requires; remove foreseen",
        ),
        (
            ("map: right}, because", "map: right}, foreseen: warn, because"),
            "guard map_is_right can't be foreseen: on every way something changes what it requires; remove foreseen",
        ),
        (
            ("shoes: on}, because", "shoes: on}, foreseen: warn, because"),
            "guard shoes_are_on can't be foreseen: on every way something changes what it requires; remove foreseen",
        ),
        (
            ("foreseen: warn", "foreseen: refuse"),
            (
                "guard street_is_dry refuses beforehand what may become right by itself (street, line 24);"
                " write `foreseen: warn`"
            ),
        ),
        (
            (WAITS, WAITS.replace(", give_up: {bus: broken}", "").replace(", bus_is_there", "")),
            (
                "guard bus_is_there says refuse, and never does: wait_for_bus would wait for what it requires;"
                " write `foreseen: warn`, or name in the row's wait what it gives up at"
            ),
        ),
        (
            (', foreseen: refuse, because: "It is cold"', ', because: "It is cold"'),
            "guard coat_is_on can be judged before anything moves, and is not; write `foreseen: refuse` or `warn`",
        ),
        (
            ("foresees: true, ", ""),
            (
                "guard coat_is_on says foreseen, and no row foresees; add `foresees: true` to the row that checks"
                " everything first, or remove foreseen"
            ),
        ),
        (
            ("stayed: refused", "stayed: failed"),
            (
                "look foresees, and a failure in home does not end as refused; add the failure's row, or foresee"
                " where nothing was changed yet"
            ),
        ),
        (
            ("by: operator, guards: [coat_is_known", "by: operator, foresees: true, guards: [coat_is_known"),
            (
                "only a row that the runner takes, and that awaits nothing, foresees; remove foresees here, or write"
                " it on the row that checks everything first"
            ),
        ),
        (("known_after: open_door", "known_after: open_dor"), "there is no trigger open_dor; did you mean open_door?"),
        (("foreseen: warn", "foreseen: tell"), "foreseen is tell; write one of refuse, warn, no"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_a_declaration_gets_wrong(change: tuple[str, str], fault: str) -> None:
    """What can't be foreseen, what would refuse good runs, what is left out: each with its line and its mend."""
    assert change[0] in WALK
    with pytest.raises(DeclarationFault) as refused:
        load_machine(WALK.replace(*change))
    assert any(told.endswith(f": {fault}") for told in refused.value.faults), refused.value.faults


def test_a_machine_without_the_keys_is_as_it_was() -> None:
    """Nobody foresees, so no guard must say anything."""
    plain = WALK.replace("foresees: true, ", "")
    for level in ("refuse", "warn"):
        plain = plain.replace(f", foreseen: {level}", "")
    spec = load_machine(plain)
    assert {guard.foreseen for guard in spec.guards.values()} == {Foreseen.NO}
    assert list(outlooks(spec)) == []
    assert [ahead(spec, row, {"rain": "no"}) for row in spec.rows if row.by is By.RUNNER] == [()] * 5
