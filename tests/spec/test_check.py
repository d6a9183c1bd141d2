"""The exhaustive search: what it proves, what it finds, and that it proves nothing by looking away."""

import pytest

from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import Report, check
from tests.spec.copies import (
    HIDDEN,
    Change,
    Words,
    copy,
    nobody_meddles,
    prune,
    row,
    without_guards,
    without_guards_over,
)

HEAD = """
machine: tap
because: "a rule"
initial: dry
finals: {done: complete%s}
facts:
  tap: {values: [open, shut, mixed], initial: [shut]}
  pump: {values: [on, off], initial: [off]}
  flood: {values: [yes, no], initial: [no]}
  level: {values: [high, low], initial: [low], depends: [pump]}
guards:
  tap_is_shut: {requires: {tap: shut}, because: "so"}
  pump_is_off: {requires: {pump: off}, because: "so"}
  no_flood: {requires: {flood: no}, because: "so"}
  level_is_low: {requires: {level: low}, because: "so"}
"""
USE = '  - {from: dry, trigger: use, to: done, by: operator, guards: [%s], because: "so that all is used"}\n'
BACK = """
  - {from: %s, trigger: abort, to: going, by: operator, because: "back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "newest first"}
  - {from: going, trigger: finish_abort, to: back, because: "as before"}
"""


def tap(rules: str, rows: str, abort_from: str = "") -> MachineSpec:
    """Return a machine of these rules and rows."""
    head = HEAD % ((", back: aborted" if abort_from else "") + (", refused: refused" if "to: refused" in rows else ""))
    used = [each for each in ("tap_is_shut", "pump_is_off", "no_flood", "level_is_low") if each not in rows]
    body = rows + (USE % ", ".join(used) if used else "") + (BACK % abort_from if abort_from else "")
    return load_machine(f"{head}{rules}\ntransitions:\n{body}", source="tap.yaml")


def never(when: str, states: str = "") -> str:
    """Return the one rule of a machine."""
    return (
        f'never:\n  - {{name: rule, when: {{{when}}}{", states: [" + states + "]" if states else ""}, because: "bad"}}'
    )


def way_of(report: Report) -> list[str]:
    """Return the steps of the only finding."""
    (finding,) = report.findings
    return [step for step in finding.path if not step.startswith(("at first", "there"))]


OPEN = """
  - {from: dry, trigger: open, to: wet, action: turn, sets: {tap: open}, effect: idempotent,
     not_undone_because: "it drips", because: "w"}
"""
GIVEN_BACK = OPEN.replace('not_undone_because: "it drips"', "undo: unturn")
LANDS_LATE = GIVEN_BACK.replace("undo: unturn", "undo: unturn, lands_late: true")
PUMP = """
  - {from: wet, trigger: start, to: done, action: pump, sets: {pump: on}, effect: idempotent, because: "p"}
"""
GO = '  - {from: wet, trigger: go, to: done, because: "g"}\n'


def test_a_rule_that_holds_is_proven() -> None:
    """The pump runs only behind a guard that keeps the tap shut: proven, and every row can be taken."""
    rows = PUMP.replace("from: wet", "from: dry").replace("to: done,", "to: done, guards: [tap_is_shut],")
    report = check(tap(never("tap: open, pump: on"), rows))
    assert report.ok
    assert [line.split(" (")[0] for line in report.lines()] == ["rule: holds", "every run can end: holds"]


def test_a_broken_rule_is_shown_by_the_shortest_way() -> None:
    """Two rows lead there: the way names both, from the world at first to where the rule is broken."""
    report = check(tap(never("tap: open, pump: on"), OPEN + PUMP))
    assert way_of(report) == ["open: dry -> wet (tap=open)", "start is under way (pump=on)"]
    assert not report.ok
    assert "rule: DOES NOT HOLD" in next(report.lines())


def test_the_world_moves_at_every_moment() -> None:
    """What the environment may do breaks a rule between two rows, though each row's guards were fine."""
    rules = "environment:\n  - {when: {tap: [open, mixed]}, sets: {flood: yes}}\n" + never("flood: yes", "done")
    assert way_of(check(tap(rules, OPEN + GO)))[1:] == [
        "the world: flood=yes",
        "open: dry -> wet, begun before",
        "go: wet -> done",
    ]
    assert check(tap(rules, (OPEN + GO).replace("sets: {tap: open}", "sets: {tap: shut}"))).ok


def test_an_action_that_is_cut_off_leaves_half_of_it() -> None:
    """A fact that may be mixed is mixed when its action is cut off; of two facts one may be done and one not."""
    assert way_of(check(tap(never("tap: mixed"), OPEN + PUMP))) == ["open is under way (tap=mixed)"]
    both = OPEN.replace("{tap: open}", "{tap: open, pump: on}") + GO
    for half in ("tap: shut, pump: on", "tap: open, pump: off"):
        assert not check(tap(never(half), both)).ok


def test_a_redo_is_not_stopped_by_a_guard_over_its_own_work() -> None:
    """Cut off half way, the row goes on though its own guard no longer holds: what lies behind it is reached."""
    rules = "environment:\n  - {when: {tap: mixed}, sets: {flood: yes}}\n" + never("flood: yes, tap: open", "wet")
    rows = OPEN.replace("action:", "guards: [tap_is_shut], action:") + PUMP
    assert way_of(check(tap(rules, rows)))[:2] == ["open is under way (tap=mixed)", "the world: flood=yes"]


def test_what_is_found_done_is_committed_whatever_the_guards_say() -> None:
    """Done, cut off, and the guard fails since: the commit comes nevertheless, and the rule is broken there."""
    rules = "environment:\n  - {when: {tap: open}, states: [dry], sets: {flood: yes}}\n" + never("flood: yes", "wet")
    rows = OPEN.replace("action:", "guards: [no_flood], action:") + PUMP
    assert way_of(check(tap(rules, rows))) == [
        "open is under way",
        "the world: flood=yes",
        "open: dry -> wet, begun before",
    ]


def test_an_undo_can_be_cut_off_too() -> None:
    """On the way back the tap is neither open nor shut for a while; in the end it is as it was."""
    rows = GIVEN_BACK + GO
    path = way_of(check(tap(never("tap: mixed", "going"), rows, "[dry, wet]")))
    assert "aborted" not in path
    assert any("abort" in step for step in path)
    assert check(tap(never("tap: [open, mixed]", "back"), rows, "[dry, wet]")).ok


def test_what_is_kept_is_not_given_back_by_an_abort() -> None:
    """The same rule with not_undone_because in place of undo is broken."""
    other = PUMP.replace("because", "undo: stop, because").replace("to: done", "to: wetter")
    rows = other + GO.replace("from: wet", "from: wetter")
    assert not check(tap(never("tap: [open, mixed]", "back"), OPEN + rows, "[dry, wet, wetter]")).ok
    assert check(tap(never("tap: [open, mixed]", "back"), GIVEN_BACK + rows, "[dry, wet, wetter]")).ok


def test_a_person_may_waive_an_undo_and_the_search_knows() -> None:
    """With a row that waives undos, the end of an abort may be anything that was left."""
    waive = '  - {from: going, trigger: waive, to: going, by: operator, foreach: undo, because: "a person answers"}\n'
    report = check(tap(never("tap: open", "back"), GIVEN_BACK + GO + waive, "[dry, wet]"))
    assert any("waive of" in step for step in way_of(report))


def test_a_rule_may_except_the_runs_in_which_a_person_waived() -> None:
    """The end of an abort is as before wherever nobody waived an undo: proven of those runs, and of those alone."""
    waive = '  - {from: going, trigger: waive, to: going, by: operator, foreach: undo, because: "a person answers"}\n'
    rule = never("tap: open", "back").replace(", because", ", unless_taken: [waive], because")
    report = check(tap(rule, GIVEN_BACK + GO + waive, "[dry, wet]"))
    assert report.ok, "\n".join(report.lines())
    rest = GIVEN_BACK.replace("from: dry, trigger: open, to: wet", "from: wet, trigger: open_more, to: done")
    kept = GIVEN_BACK.replace("undo: unturn", 'not_undone_because: "it drips"')
    assert way_of(check(tap(rule, kept + rest + waive, "[dry, wet]")))[-1] == "finish_abort: going -> back"


TWO_WAYS = """
machine: tap
because: "a rule"
initial: dry
finals: {done: complete}
inputs: {wanted: {values: [water, air]}}
facts: {tap: {values: [open, shut], initial: [shut]}, pump: {values: [on, off], initial: [off]}}
never:
  - {name: rule, when: {pump: on}, inputs: {wanted: %s}, states: [done], because: "bad"}
transitions:
  - {from: dry, trigger: open, to: done, when: {wanted: water}, action: turn, sets: {tap: open}, effect: idempotent,
     because: "w"}
  - {from: dry, trigger: start, to: done, when: {wanted: air}, action: pump, sets: {pump: on}, effect: idempotent,
     because: "a"}
"""


def test_a_rule_may_speak_of_the_runs_with_some_inputs() -> None:
    """Who wants water never starts the pump, who wants air does: each rule is judged on its own runs."""
    assert check(load_machine(TWO_WAYS % "water", source="tap.yaml")).ok
    (finding,) = check(load_machine(TWO_WAYS % "air", source="tap.yaml")).findings
    assert finding.path[1] == "start: dry -> done (pump=on)"


def test_after_the_point_of_no_return_no_abort_is_searched() -> None:
    """From the intent of the final write on the way back is closed, in the middle of that row too."""
    final = PUMP.replace("because", "point_of_no_return: true, because")
    assert check(tap(never("pump: on", "going, back"), GIVEN_BACK + final, "[dry, wet]")).ok
    undone = PUMP.replace("because", "undo: stop, because")
    assert not check(tap(never("pump: on", "going, back"), GIVEN_BACK + undone, "[dry, wet]")).ok


def test_what_depends_on_a_change_may_be_anything_afterwards() -> None:
    """Level depends on pump: low before, it may be high once the pump ran, though no rule sets it."""
    assert check(tap(never("level: high"), OPEN + GO)).ok
    assert not check(tap(never("level: high"), OPEN + PUMP)).ok


def test_a_rule_over_states_that_nobody_reaches_says_nothing() -> None:
    """A rule for a state that the guards make unreachable is told as vacuous, not as proven."""
    rows = """
  - {from: dry, trigger: start, to: wet, action: pump, sets: {pump: on}, effect: idempotent, because: "p"}
  - {from: wet, trigger: on, to: never_there, by: operator, guards: [pump_is_off], because: "impossible"}
  - {from: wet, trigger: go, to: done, because: "g"}
  - {from: never_there, trigger: go_on, to: done, because: "g"}
"""
    report = check(tap(never("pump: on, tap: open", "never_there"), rows))
    assert report.vacuous == ("rule",)
    assert not report.ok
    assert "SAYS NOTHING" in "\n".join(report.lines())


def test_a_row_that_can_never_be_taken_is_named() -> None:
    """A guard that contradicts what was just done: the row is dead, and the report says so."""
    rows = PUMP.replace("from: wet", "from: dry").replace("to: done", "to: wet") + GO
    rows += '  - {from: wet, trigger: on, to: done, by: operator, guards: [pump_is_off], because: "impossible"}\n'
    report = check(tap(never("pump: off", "wet"), rows))
    assert report.dead == ("wet --on--> done",)
    assert not report.ok
    assert "row can never be taken: wet --on--> done" in list(report.lines())


DOOR = """
machine: door
because: "a rule"
initial: inside
finals: {outside: complete}
facts: {lock: {values: [open, shut], initial: [shut]}, bell: {values: [on, off], initial: [off]}}
guards: {is_open: {requires: {lock: open}, because: "so"}, is_quiet: {requires: {bell: off}, because: "so"}}
%s
transitions:
  - {from: inside, trigger: leave, to: outside, guards: [is_open], action: pull, sets: {lock: open},
     effect: idempotent, because: "w"}
  - {from: inside, trigger: ring, to: inside, by: operator, guards: [is_quiet], action: press, sets: {%s},
     effect: idempotent, because: "w"}
"""


@pytest.mark.parametrize(
    ("world", "sets", "dead"),
    [
        ("", "bell: on", ("inside --leave--> outside",)),
        ("", "bell: on, lock: open", ()),
        ('environment:\n  - {when: {bell: off}, sets: {lock: open}, because: "a guest"}', "bell: on", ()),
    ],
    ids=["only the row itself", "another row", "the world"],
)
def test_a_row_that_needs_what_only_it_would_bring_about_is_dead(world: str, sets: str, dead: tuple[str, ...]) -> None:
    """Its guard's fact is never so before it; where another row or the world makes it so, the row can be taken."""
    assert check(load_machine(DOOR % (world, sets), source="door.yaml")).dead == dead


def test_a_search_that_is_cut_off_proves_nothing() -> None:
    """With a limit of a few moments the rule is not proven, and the report doesn't call it so."""
    report = check(tap(never("tap: open, pump: on, flood: yes"), OPEN + PUMP), limit=3)
    assert report.unproven
    assert not report.ok
    assert "NOT PROVEN" in "\n".join(report.lines())


WIDE = """
machine: wide
because: "many facts, and one rule that names them all"
initial: here
finals: {there: complete}
facts:
%s
environment:
%s
never:
  - {name: rule, when: {%s}, states: [there], because: "bad"}
transitions:
  - {from: here, trigger: go, to: there, because: "g"}
"""


@pytest.mark.parametrize(("first", "moments"), [("", 0), (", initial: [a]", 1_000)], ids=["at first", "by the world"])
def test_a_search_makes_no_more_worlds_than_its_limit_allows(first: str, moments: int) -> None:
    """Eight facts of five values are 390,625 worlds: with a limit of 100 hardly more than that are made in memory."""
    names = [f"fact_{number}" for number in range(8)]
    facts = "\n".join(f"  {name}: {{values: [a, b, c, d, e]{first}}}" for name in names)
    world = "\n".join(f"  - {{sets: {{{name}: {value}}}}}" for name in names for value in "abcde")
    text = WIDE % (facts, world, ", ".join(f"{name}: e" for name in names))
    report = check(load_machine(text, source="wide.yaml"), limit=100, only=["rule"])
    assert report.unproven == ("rule",)
    assert report.explored["rule"] <= moments


def test_a_machine_without_rules_is_said_to_have_none() -> None:
    """Nothing is claimed where nothing is declared."""
    rows = OPEN + PUMP.replace("to: done,", "to: done, guards: [level_is_low],")
    first, *_ = check(tap("", rows)).lines()
    assert first == "tap declares no never rule: only its rows were checked"


def test_a_way_that_changes_a_fact_away_from_what_it_needs_is_no_finding() -> None:
    """The pump needs a shut tap, which is shut at first and which the row before opens: the rule holds."""
    rows = OPEN + PUMP.replace("to: done,", "to: done, guards: [tap_is_shut],")
    report = check(tap(never("pump: on"), rows))
    assert not report.findings
    assert report.dead == ("wet --start--> done",)


def test_a_fact_that_is_changed_elsewhere_only_is_as_it_was_at_first() -> None:
    """The tap is shut at first, and only a row behind the pump opens it: the pump's guard holds, the way is found."""
    rows = PUMP.replace("from: wet", "from: dry").replace("to: done,", "to: wet, guards: [tap_is_shut],")
    rows += OPEN.replace("from: dry", "from: wet").replace("to: wet", "to: done")
    assert way_of(check(tap(never("pump: on", "wet"), rows))) == ["start: dry -> wet (pump=on)"]


def test_facts_that_nothing_changes_are_the_same_all_the_way() -> None:
    """One row needs the level low, a later one high, and nothing changes it: no way leads there."""
    rows = """
  - {from: dry, trigger: look, to: wet, guards: [no_flood], because: "it is dry"}
  - {from: wet, trigger: swim, to: done, guards: [it_floods], because: "it floods"}
"""
    spec_text = never("tap: shut", "done").replace("never:", "never:")
    head = HEAD.replace("  no_flood:", '  it_floods: {requires: {flood: yes}, because: "so"}\n  no_flood:')
    head = head.replace(", initial: [no]", "") % ""
    rows += USE % "tap_is_shut, pump_is_off, level_is_low"
    spec = load_machine(
        f"{head}{spec_text}\ntransitions:\n{rows}".replace("from: dry, trigger: use", "from: wet, trigger: use"),
        source="tap.yaml",
    )
    path = way_of(check(spec))
    assert path == ["look: dry -> wet", "use: wet -> done"]


# --- the failback, and the stories of ../shared/failback.md ---------------------------------------------------


def test_the_shipped_failback_is_proven() -> None:
    """Every never rule of machines/failback.yaml holds, and no row is dead."""
    spec = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback.yaml")
    report = check(spec)
    assert report.ok, "\n".join(report.lines())
    assert report.explored


@pytest.mark.long
@pytest.mark.parametrize("rule", [each["name"] for each in HIDDEN["never"]])
def test_the_failback_holds_with_jobs_that_keep_what_they_started_with(rule: str) -> None:
    """Followed beside what can be observed: what a Job started with, a newer run, a primary that was quiet."""
    report = check(copy(), only=[rule])
    assert report.ok, "\n".join(report.lines())
    assert list(report.explored) == [rule]


def abort_gives_the_primary_back(machine: Words) -> None:
    """Let the abort restore what the primary had (story 2)."""
    for trigger, undo in (
        ("freeze_primary", "restore_primary_schedules"),
        ("silence_primary", "restore_primary_publishing"),
    ):
        each = row(machine, trigger)
        each.pop("not_undone_because")
        each["undo"] = undo


def silence_after_drain(machine: Words) -> None:
    """Drain DR first, and switch its publishing off only when its run was verified (story 3)."""
    silence, later = row(machine, "demote_dr"), row(machine, "verify_dr_run")
    for key in ("action", "sets", "effect", "attempts", "undo"):
        later[key] = silence.pop(key)
    for each in machine["transitions"]:
        if each["trigger"] == "confirm_dr_quiesced":
            each["guards"] = [name for name in each["guards"] if name != "dr_is_frozen"]


def thawed(machine: Words) -> None:
    """Let a GitOps controller thaw DR whenever it wants."""
    machine["environment"].append(
        {"when": {"gitops": "present"}, "sets": {"dr_schedules": "on", "dr_publishing": "on"}}
    )


def muted_schedules(machine: Words) -> None:
    """Restore the primary's schedules as a freeze found them: suspended (story 4)."""
    for each in machine["transitions"]:
        if each["trigger"] == "resume_primary":
            each["sets"] = {"primary_schedules": "mixed"}


def artifacts_by_half(machine: Words) -> None:
    """Let the artifacts be published only by half."""
    row(machine, "publish_artifacts")["sets"] = {"artifacts": "partial"}


def all_in_sight(machine: Words) -> None:
    """Let the drain of a DR that is to be fenced wait for pods out of sight: the search mixes both drains."""
    for each in machine["transitions"]:
        if "dr_is_drained_in_sight" in each.get("guards", ()):
            each["guards"] = [name.removesuffix("_in_sight") for name in each["guards"]]
    prune(machine)


UNWATCHED = without_guards_over("dr_inflight", "dr_schedules", "dr_publishing", but=["confirm_dr_quiesced"])
STORIES: dict[str, tuple[tuple[Change, ...], str]] = {
    "1 only DR is drained": ((without_guards_over("primary_inflight"),), "an_old_primary_job_writes"),
    "2 the abort gives both sites back": ((abort_gives_the_primary_back,), "abort_makes_two_writers"),
    "3 drained before silenced": ((silence_after_drain, UNWATCHED), "two_sites_write_during_the_switch"),
    "3 not drained at all": ((without_guards_over("dr_inflight"),), "two_sites_write_during_the_switch"),
    "4 the schedule is restored as suspended": (
        (muted_schedules, without_guards("primary_publishes")),
        "mute_at_the_end",
    ),
    "5 a newer run is overwritten": (
        (without_guards("pointers_name_dr", "pointers_as_captured"),),
        "newer_run_lost",
    ),
    "9 a GitOps controller thaws": (
        (thawed, without_guards("nothing_reverts_us")),
        "two_sites_write_during_the_switch",
    ),
    "pointers before artifacts": (
        (artifacts_by_half, without_guards("artifacts_in_place")),
        "pointers_name_what_is_not_there",
    ),
    "an unverified run": ((without_guards("primary_run_is_whole"),), "unverified_run_is_canonical"),
}


@pytest.mark.parametrize("story", STORIES)
def test_each_story_of_the_naive_order_is_found(story: str) -> None:
    """The failback changed as the story tells: the search shows the way to what goes wrong."""
    changes, rule = STORIES[story]
    report = check(copy(*changes), only=[rule])
    broken = {each.name: each.path for each in report.findings}
    assert rule in broken, "\n".join(report.lines())
    assert len(broken[rule]) > 3


def test_the_order_alone_carries_the_rule() -> None:
    """Silenced before its drain, a DR that nobody thaws needs no later look: the order of the rows holds the rule."""
    rule = "two_sites_write_during_the_switch"
    report = check(copy(nobody_meddles, all_in_sight, UNWATCHED), only=[rule])
    assert list(report.explored) == [rule]
    assert not report.findings


PRIMED = """
  - {from: dry, trigger: prime, to: primed, action: pump, sets: {pump: on}, effect: idempotent, undo: unpump,
     because: "p"}
  - {from: primed, trigger: open, to: wet, action: turn, sets: {tap: open}, effect: idempotent, undo: unturn,
     because: "w"}
"""


def test_a_request_that_lands_late_is_found_where_the_rule_forbids_it_after_the_undo() -> None:
    """What was opened last is undone first; a request with a condition can't open it again then, another one can."""
    rules = "environment:\n  - {when: {tap: shut, pump: off}, states: [going], sets: {flood: yes}}\n"
    rules += never("tap: open, flood: yes", "going")
    late = PRIMED.replace("undo: unturn", "undo: unturn, lands_late: true")
    way = way_of(check(tap(rules, late + GO, "[primed, wet]")))
    assert way[-1] == "open lands late (tap=open)"
    assert check(tap(rules, PRIMED + GO, "[primed, wet]")).findings == ()


def test_a_request_with_a_condition_lands_until_its_undo_shuts_it_out() -> None:
    """An abort asks nothing before it: what was begun may still take effect when the run is on its way back."""
    rules = "environment:\n  - {when: {tap: shut}, states: [going], sets: {flood: yes}}\n"
    rules += never("tap: open, flood: yes", "going")
    way = way_of(check(tap(rules, GIVEN_BACK + GO, "[dry, wet]")))
    assert way[-1] == "open lands late (tap=open)"


LEAVE = """
  - {from: dry, trigger: leave, to: left, by: operator, guards: [tap_is_shut], because: "l"}
  - {from: left, trigger: finish, to: done, because: "f"}
"""


@pytest.mark.parametrize("late", ["", "lands_late: true, "])
def test_nothing_lands_once_a_persons_row_reads_its_guards(late: str) -> None:
    """What was begun is shut out, or waited for, before: a tap that was read as shut stays shut."""
    rows = OPEN.replace("effect:", f"{late}effect:") + GO + LEAVE
    assert check(tap(never("tap: [open, mixed]", "left"), rows)).findings == ()
    assert check(tap(never("tap: open", "dry"), rows)).findings


def test_a_row_that_landed_before_it_was_shut_out_is_still_begun() -> None:
    """It is not closed as not done while it may land: the run does not go on as if nothing had been begun."""
    after = '  - {from: dry, trigger: pass, to: left, by: failure, guards: [pump_is_off], because: "l"}\n'
    rows = (
        OPEN + GO + LEAVE.replace("leave, to: left, by: operator, guards: [tap_is_shut]", "x, to: left, by: operator")
    )
    assert check(tap(never("tap: open", "left"), rows)).findings  # a person may pass it
    rows = OPEN + GO + after + LEAVE.split("\n")[2] + "\n"
    assert check(tap(never("tap: open", "left"), rows)).findings == ()


def test_what_landed_late_is_undone_again_before_the_end() -> None:
    """The undo stack has it again, so that no abort ends with the tap open."""
    assert not check(tap(never("tap: open", "back"), LANDS_LATE + GO, "[dry, wet]")).findings
