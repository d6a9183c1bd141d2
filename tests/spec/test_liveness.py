"""Whether every run can end: a small machine for each way in which one can't, and for what a guard must be able to."""

import json

import pytest

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import Obstacle, Report, check
from drfsm.testing import assert_holds

HEAD = """
machine: ferry
because: "The ferry is over"
initial: here
finals: {over: complete%s}
inputs: {word: {because: "a person's word"}, way: {values: [short, long], because: "which way"}}
facts:
%s
guards:
%s
environment:
  - {when: {wind: calm}, sets: {wind: storm}, because: "Wind comes"}
  - {when: {wind: storm}, sets: {wind: calm}, because: "And goes"}
%s
transitions:
%s
"""
FACTS = """
  wind: {values: [calm, storm]}
  rope: {values: [tied, loose], initial: [tied]}
  chart: {values: [read, unread]}
"""
GUARDS = """
  is_calm: {requires: {wind: calm}, because: "It would sink"}
  is_tied: {requires: {rope: tied}, because: "It would drift"}
  knows_the_way: {requires: {chart: read}, because: "It would get lost"}
"""
CUTS = '  - {meddles: true, when: {rope: tied}, sets: {rope: loose}, because: "Somebody cuts the rope"}\n'
TIES = '  - {mends: true, when: {rope: loose}, sets: {rope: tied}, because: "Somebody ties it again"}\n'
CROSS = '  - {from: here, trigger: cross, to: over, guards: [is_calm, is_tied, knows_the_way], because: "c"}\n'
BACK = """
  - {from: %s, trigger: abort, to: going, by: operator, because: "back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "newest first"}
  - {from: going, trigger: finish_abort, to: back%s, because: "as before"}
"""


def ferry(rows: str = CROSS, world: str = CUTS, facts: str = FACTS, guards: str = GUARDS) -> MachineSpec:
    """Return a machine of these parts, as far as they are used."""
    ends = {"back": "aborted", "no": "refused"}
    finals = "".join(f", {state}: {status}" for state, status in ends.items() if f"to: {state}" in rows)
    asked = "\n".join(line for line in guards.splitlines() if line.split(":")[0].strip() in rows)
    said = f"{asked}{world}{rows} wind depends: [job]"
    known = "\n".join(line for line in facts.splitlines() if line.split(":")[0].strip() in said)
    return load_machine(HEAD % (finals, known, asked, world, rows), source="ferry.yaml")


def obstacles(spec: MachineSpec) -> list[Obstacle]:
    """Return what stands in the way of an end, or can never matter."""
    ending = check(spec).ending
    assert ending is not None
    return list(ending.obstacles)


def kinds(spec: MachineSpec) -> list[tuple[str, str]]:
    """Return the obstacles by kind and name."""
    return [(obstacle.kind, obstacle.name) for obstacle in obstacles(spec)]


# --- stuck ------------------------------------------------------------------------------------------------


def test_what_somebody_undoes_and_nobody_mends_holds_a_run_for_ever() -> None:
    """The rope is cut, and nothing ties it: found with the way there, with what refuses, and with who could help."""
    (obstacle,) = obstacles(ferry())
    assert (obstacle.kind, obstacle.name) == ("stuck", "here")
    assert [line.words for line in obstacle.lines] == [
        "at first: rope=tied",
        "somebody: rope=loose",
        "there: here; rope=loose",
    ]
    assert obstacle.missing == (
        "cross requires rope: tied (is_tied), and it is loose; nothing makes it so any more",
        "no person's row leaves here",
        "no failure's row leaves here",
    )


LEAVE = '  - {from: here, trigger: leave, to: no, by: operator, because: "not today"}\n'
TIE = """
  - {from: here, trigger: tie, by: operator, action: tie, sets: {rope: tied}, effect: idempotent,
     not_undone_because: "it stays", because: "again"}
"""
REFUSE = '  - {from: here, trigger: refuse, to: no, by: failure, because: "nothing was changed"}\n'


@pytest.mark.parametrize(
    ("rows", "world"),
    [
        (CROSS, CUTS + TIES),
        (CROSS, CUTS + TIES.replace("mends: true, ", "")),
        (CROSS + TIE, CUTS),
        (CROSS + LEAVE, CUTS),
        (CROSS + REFUSE, CUTS),
    ],
    ids=["somebody mends it", "the world mends it", "a person's row", "a person's row that ends it", "a failure's row"],
)
def test_one_way_to_an_end_is_enough(rows: str, world: str) -> None:
    """Whoever leads on, the run can end. The wind comes and goes; a chart that nothing changes is read at last."""
    assert_holds(ferry(rows, world))


def test_that_somebody_meddles_is_not_hoped_for() -> None:
    """A rope that was loose at first is tied only by one who meddles."""
    facts = FACTS.replace("initial: [tied]", "initial: [loose]")
    meddles = '  - {meddles: true, when: {rope: loose}, sets: {rope: tied}, because: "Somebody plays with it"}\n'
    assert kinds(ferry(world=meddles, facts=facts)) == [("stuck", "here")]


def test_what_only_inputs_decide_is_not_mended() -> None:
    """A wrong word stays wrong: the run needs a failure's row, or one by which a person says it again."""
    facts = FACTS.replace(
        "  chart: {values: [read, unread]}", "  chart: {values: [read, unread], local: true, reads: [word]}"
    )
    assert kinds(ferry(world=CUTS + TIES, facts=facts)) == [("stuck", "here")]
    assert_holds(ferry(CROSS + REFUSE, CUTS + TIES, facts))
    say = '  - {from: here, trigger: say, by: operator, amends: [word], because: "again"}\n'
    assert_holds(ferry(CROSS + say, CUTS + TIES, facts))


def test_a_row_for_other_inputs_helps_nobody() -> None:
    """The only person's row is for a run with another input."""
    short = LEAVE.replace("by: operator", "by: operator, when: {way: short}")
    assert kinds(ferry(CROSS + short)) == [("stuck", "here")]
    both = LEAVE.replace("leave, ", "leave_late, ").replace("by: operator", "by: operator, when: {way: long}")
    assert_holds(ferry(CROSS + short + both))


def test_inputs_that_never_come_there_count_for_nothing() -> None:
    """Behind a row of the short way, a person's row for the short way is one for every run."""
    rows = """
  - {from: here, trigger: row, to: there, when: {way: short}, because: "s"}
  - {from: here, trigger: swim, to: over, when: {way: long}, because: "l"}
""" + (CROSS + LEAVE.replace("by: operator", "by: operator, when: {way: short}")).replace("from: here", "from: there")
    assert_holds(ferry(rows))


def test_a_failure_that_leads_back_is_not_hoped_for() -> None:
    """Rounds are counted: once they are used up, the run is held."""
    rows = '  - {from: here, trigger: go, to: there, because: "g"}\n' + CROSS.replace("from: here", "from: there")
    rows += '  - {from: there, trigger: turn, to: here, by: failure, rounds: 3, because: "again"}\n'
    assert kinds(ferry(rows)) == [("stuck", "here")]


SAIL = """
  - {from: here, trigger: sail, to: there, guards: [is_tied], action: sail, sets: {boat: away}, effect: idempotent,
     point_of_no_return: true, %sbecause: "s"}
  - {from: there, trigger: land, to: over, because: "l"}
"""
BOAT = FACTS + "  boat: {values: [home, half, away], initial: [home], partial: [half]}\n"


def test_an_intent_that_changed_nothing_and_can_be_shut_out_has_not_passed_the_point_of_no_return() -> None:
    """The rope is cut before the boat moves: the intent is given up, and an abort leads on."""
    assert_holds(ferry(SAIL % "" + BACK % ("here", ""), facts=BOAT))


def test_an_intent_that_changed_nothing_and_can_not_be_shut_out_bars_the_abort() -> None:
    """A request without a condition may land at any time: an abort is refused from the intent on."""
    late = SAIL % "lands_late: true, "
    (obstacle,) = obstacles(ferry(late + BACK % ("here", ""), facts=BOAT))
    assert obstacle.name == "here"
    assert "sail failed and changed nothing" in [line.words for line in obstacle.lines]
    assert "abort is refused: the point of no return is passed" in obstacle.missing
    assert_holds(ferry(late + BACK % ("here", ""), CUTS + TIES, facts=BOAT))


def test_an_action_that_is_half_done_and_refused_is_stuck() -> None:
    """Its requests compare the rope, which was cut when half of it was done: it goes neither forth nor back."""
    comparing = ferry(SAIL % "compares: [rope], " + BACK % ("here", ""), facts=BOAT)
    found = {(obstacle.name, obstacle.missing[0].partition(" (")[0]) for obstacle in obstacles(comparing)}
    assert ("here", "sail is half done") in found


def test_an_abort_has_to_end_too() -> None:
    """All is undone, and the last row of the abort requires what nobody brings about any more."""
    rows = CROSS + BACK % ("here", ", guards: [is_tied]")
    (obstacle,) = obstacles(ferry(rows))
    assert (obstacle.name, obstacle.missing[0].partition(" requires")[0]) == ("going", "finish_abort")
    assert_holds(ferry(CROSS + BACK % ("here", "")))


JOB = (
    FACTS
    + """
  job: {values: [there, gone], initial: [gone]}
  result: {values: [pending, good, bad], depends: [job], settled_when: {result: [good, bad]}}
"""
)
TRY = """
  - {from: here, trigger: begin, to: begun, action: begin, sets: {job: there}, effect: idempotent, because: "b"}
  - {from: begun, trigger: take, to: over, guards: [is_good], because: "t"}
"""
GOOD = GUARDS + '  is_good: {requires: {result: good}, because: "so"}\n'
AGAIN = """
  - {from: begun, trigger: again, to: here, by: operator, action: end, sets: {job: gone}, effect: idempotent,
     because: "a"}
"""


def test_what_has_settled_stays_until_it_is_done_again() -> None:
    """A job that failed stays failed: without a row that does it again the run can't end."""
    assert set(kinds(ferry(TRY, "", JOB, GOOD))) == {("stuck", "begun")}
    assert_holds(ferry(TRY + AGAIN, "", JOB, GOOD))


def test_the_runner_goes_round_no_circle() -> None:
    """No loop runs for ever while the world is well: the loader refuses a circle of rows that the runner takes."""
    rows = '  - {from: here, trigger: go, to: there, because: "g"}\n'
    rows += '  - {from: there, trigger: turn, to: here, because: "t"}\n'
    with pytest.raises(DeclarationFault, match="fault") as refused:
        ferry(rows + LEAVE + '  - {from: here, trigger: fly, to: over, by: operator, because: "f"}\n')
    assert any("the runner can loop for ever through here" in line for line in refused.value.faults)


# --- guards that can't matter -------------------------------------------------------------------------------


def test_a_guard_against_what_is_never_there_is_named() -> None:
    """Nothing in the declaration unties the rope that a row has tied."""
    tied = ferry(TIE.replace("by: operator, ", "to: there, ") + CROSS.replace("from: here", "from: there"), "")
    (obstacle,) = obstacles(tied)
    assert (obstacle.kind, obstacle.name) == ("never refuses", "is_tied")
    assert obstacle.missing == ("rope is never loose where it is read",)


def test_a_guard_may_hold_the_world_to_what_is_assumed_of_it() -> None:
    """`initial` says that the rope is tied at first; the guard is what makes sure of it."""
    assert_holds(ferry(world=""))


NEVER = '  is_tied: {requires: {rope: tied}, because: "It would drift", never_refuses_because: "a second look"}\n'


def test_a_guard_may_say_why_it_is_asked_though_it_always_holds() -> None:
    """Where that is not true, the saying is the fault."""
    rows = TIE.replace("by: operator, ", "to: there, ") + CROSS.replace("from: here", "from: there")
    guards = "".join(line + "\n" for line in GUARDS.splitlines() if "is_tied" not in line) + NEVER
    assert_holds(ferry(rows, "", guards=guards))
    (obstacle,) = obstacles(ferry(rows + LEAVE.replace("from: here", "from: there"), CUTS, guards=guards))
    assert (obstacle.kind, obstacle.name) == ("refuses", "is_tied")
    assert obstacle.missing == ("it says: a second look",)
    assert [line.words for line in obstacle.lines][-1] == "there: there; rope=loose"


def test_guards_that_contradict_each_other_are_named_with_what_they_ask() -> None:
    """One wants the wind calm, the other wants a storm: no run takes this row."""
    guards = GUARDS + '  is_stormy: {requires: {wind: storm}, because: "so"}\n'
    rows = (
        CROSS + '  - {from: here, trigger: fly, to: over, by: operator, guards: [is_calm, is_stormy], because: "f"}\n'
    )
    spec = ferry(rows, CUTS + TIES, guards=guards)
    (obstacle,) = obstacles(spec)
    assert (obstacle.kind, obstacle.name) == ("never holds", "here --fly--> over")
    assert obstacle.missing[0].startswith("is_calm requires wind: calm; is_stormy requires wind: storm; in here it is ")


def test_a_guard_that_contradicts_its_state_is_named() -> None:
    """The rope was cast off on the way there, and nobody ties it."""
    loose = (
        TIE.replace("by: operator, ", "to: there, ")
        .replace("tied", "loose")
        .replace("trigger: tie", "trigger: cast_off")
    )
    rows = loose + CROSS.replace("from: here", "from: there") + LEAVE.replace("from: here", "from: there")
    found = obstacles(ferry(rows, ""))
    assert ("never holds", "there --cross--> over") in [(obstacle.kind, obstacle.name) for obstacle in found]
    (missing,) = next(obstacle.missing for obstacle in found if obstacle.kind == "never holds")
    assert missing == "is_tied requires rope: tied; in there it is loose"


# --- the report -----------------------------------------------------------------------------------------------


def report_of(spec: MachineSpec, processes: int = 1) -> Report:
    """Return the report of a check."""
    return check(spec, processes=processes)


def test_the_report_says_whether_every_run_can_end() -> None:
    """In words, for a program, and as a diagram."""
    report = report_of(ferry())
    assert not report.ok
    text = "\n".join(report.lines())
    assert "every run can end: DOES NOT HOLD" in text
    assert "  a run can be stuck in here\n    1. at first: rope=tied\n    2. somebody: rope=loose" in text
    told = json.loads(json.dumps(report.json))["every_run_can_end"]
    assert (told["verdict"], [obstacle["name"] for obstacle in told["obstacles"]]) == ("broken", ["here"])
    assert [line["what"] for line in told["obstacles"][0]["story"]][1] == "somebody: rope=loose"
    (drawn,) = report.mermaids
    assert drawn.startswith("sequenceDiagram")
    good = report_of(ferry(world=CUTS + TIES))
    assert (good.ok, good.json["every_run_can_end"]["verdict"]) == (True, "holds")


def test_side_by_side_the_answer_is_the_same() -> None:
    """In two processes, and in this one."""
    assert report_of(ferry(), processes=2).ending == report_of(ferry()).ending


def test_a_search_that_is_cut_off_proves_no_end() -> None:
    """With a limit of one moment nothing is found, and nothing is called proven."""
    report = check(ferry(world=CUTS + TIES), limit=1)
    assert report.ending is not None
    assert report.ending.verdict == "unproven"
    assert not report.ok
    assert "every run can end: NOT PROVEN" in "\n".join(report.lines())


def test_who_asks_for_one_rule_is_told_of_one_rule() -> None:
    """`--rule` searches for that rule alone."""
    assert check(ferry(), only=["-"]).ending is None
