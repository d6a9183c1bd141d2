"""An author's verbs: begin a machine, play it, compare two versions, draw it and a run on it. All offline."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from drfsm.errors import ExitCode
from drfsm.evidence.course import course_of
from drfsm.resources import shipped
from drfsm.spec import load_machine, mermaid
from drfsm.spec.course import Mark
from drfsm.spec.difference import differences
from drfsm.spec.svg import svg
from drfsm.spec.ways import Way, Ways
from drfsm.testing.world import inputs_of, quiet
from tests.command import Answer, Drfsm
from tests.engine.machines import mill_bench
from tests.spec.test_schema import LAMP

BUNDLES = Path(__file__).parents[1] / "data" / "bundles"
SVG = "{http://www.w3.org/2000/svg}"

# --- new ------------------------------------------------------------------------------------------------


def test_a_start_is_proven_and_passes_its_own_tests(drfsm: Drfsm, tmp_path: Path) -> None:
    """As it is written: the check holds, each of its tests passes, and an editor finds its schema."""
    place = tmp_path / "mine"
    told = drfsm("machine", "new", "upgrade", "--directory", place)
    assert (told.code, sorted(path.name for path in place.iterdir())) == (
        ExitCode.DONE,
        ["machine.schema.json", "test_upgrade.py", "upgrade.py", "upgrade.yaml"],
    )
    assert f"cd {place} && drfsm machine check upgrade.yaml" in told.out
    assert "half_a_version_in_use: holds" in drfsm("machine", "check", place / "upgrade.yaml").out
    assert json.loads((place / "machine.schema.json").read_text()) == json.loads(drfsm("machine", "schema").out)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "."],
        capture_output=True, text=True, check=False, cwd=place,
    )  # fmt: skip
    assert re.search(r"\n\d{3} passed", ended.stdout), ended.stdout[-2000:]


@pytest.mark.parametrize("name", ["Upgrade", "up-grade", "9lives", "class", "../up", ""])
def test_a_name_that_is_none_writes_nothing(drfsm: Drfsm, tmp_path: Path, name: str) -> None:
    """Names that no Python module could have are refused before anything is written."""
    told = drfsm("machine", "new", "--directory", tmp_path / "mine", "--", name)
    assert (told.code, (tmp_path / "mine").exists()) == (ExitCode.USAGE, False), told


def test_no_file_is_overwritten(drfsm: Drfsm, tmp_path: Path) -> None:
    """A second start of the same name is refused, and the author's changes stay."""
    assert drfsm("machine", "new", "upgrade", "--directory", tmp_path).code == ExitCode.DONE
    (tmp_path / "upgrade.py").write_text("mine")
    told = drfsm("machine", "new", "upgrade", "--directory", tmp_path)
    assert (told.code, "is there already" in told.err) == (ExitCode.USAGE, True)
    assert (tmp_path / "upgrade.py").read_text() == "mine"


# --- simulate -------------------------------------------------------------------------------------------

PATIENT = (
    LAMP.replace('because: "To read"}', 'undo: switch_off, because: "To read"}')
    + """
  - {from: dark, trigger: abort, to: going, by: operator, because: "enough"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "as it was"}
  - {from: going, trigger: finish_abort, to: back, because: "all is as it was"}
"""
)


@pytest.fixture
def lamp(tmp_path: Path) -> Path:
    """Return the file of a lamp that can be aborted."""
    path = tmp_path / "lamp.yaml"
    path.write_text(PATIENT.replace("given_up: failed}", "given_up: failed, back: aborted}"), encoding="utf-8")
    return path


def played(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, machine: object, *commands: str, options: str = "") -> Answer:
    """Play a machine with these commands."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{command}\n" for command in commands)))
    told = drfsm("machine", "simulate", machine, *options.split())
    assert told.code == ExitCode.DONE, told
    return told


def test_a_machine_is_played_to_its_end(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """Before each step its guards and what they see, its action and its wait are shown; Enter takes it."""
    told = played(drfsm, monkeypatch, lamp, "", "")
    assert "next: press -> lit: To read" in told.out
    assert "guard fuse_is_whole: fuse is whole: holds" in told.out
    assert "does press, which sets light=on (idempotent)" in told.out
    assert "a person may ask for: give_up, abort" in told.out
    assert told.out.endswith("ended: complete in lit\n")


def test_the_player_is_the_world(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """A fact that is changed makes the runner wait; changed back, it goes on; one that can't be read is unknown."""
    told = played(drfsm, monkeypatch, lamp, "fuse=blown", "step", "fuse=unknown", "step", "fuse whole", "run")
    assert "fuse is blown: DOES NOT HOLD, needed whole" in told.out
    assert "saw fuse=blown" in told.out
    assert "fuse is unknown now" in told.out
    assert told.out.endswith("ended: complete in lit\n")


def test_a_killed_process_is_taken_up_again(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """Killed after the action, the next process finds it done; killed before it, an abort leaves all as it was."""
    told = played(drfsm, monkeypatch, lamp, "kill after", "step", "facts", "resume", "run")
    assert "the process was killed after press was done" in told.out
    assert "light=on" in told.out
    assert "press: dark -> lit (already done" in told.out
    told = played(drfsm, monkeypatch, lamp, "kill before", "step", "abort", "run")
    assert "the process was killed before press did anything" in told.out
    assert told.out.endswith("ended: aborted in back\n")


def test_an_action_that_fails_is_tried_again(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """The row's attempts are the runner's: after one that failed it tries again."""
    told = played(drfsm, monkeypatch, lamp, "fail", "step", "run")
    assert "press failed: the player says so" in told.out
    assert told.out.endswith("ended: complete in lit\n")


def test_what_is_not_legal_is_refused_as_in_a_run(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """The real runner rejects it, says what is legal, and the player goes on."""
    told = played(drfsm, monkeypatch, lamp, "finish_abort", "", "run")
    assert "finish_abort is not legal in state dark" in told.out
    assert told.out.endswith("ended: complete in lit\n")


def test_the_worlds_own_moves_are_numbered(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """What the declaration says that the world may do is offered where it can happen, and done when asked for."""
    told = played(drfsm, monkeypatch, lamp, "light=on", "hold", "world 1", "world 99", "quit")
    assert "  world 1: " not in told.out.partition("> hold")[0]
    assert "  world 1: fuse=blown\n" in told.out.partition("> hold")[2]
    assert "  the world: fuse=blown\n" in told.out
    assert "world 99 is no command here" in told.out
    assert told.out.endswith("left: held in dark\n")


def test_what_is_mistyped_is_explained(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """A fact or a value that there is not, and a command that there is not, change nothing."""
    told = played(drfsm, monkeypatch, lamp, "fuze=whole", "fuse=molten", "jump", "help", "story")
    assert "there is no fact fuze; the facts are light, fuse" in told.out
    assert "fuse is one of whole, blown, unknown, not molten" in told.out
    assert "jump is no command here" in told.out
    assert "kill before|half|after" in told.out
    assert told.out.endswith("left: running in dark\n")


def test_inputs_and_facts_are_chosen_beforehand(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, lamp: Path) -> None:
    """With options; a wrong one is wrong usage."""
    told = played(drfsm, monkeypatch, lamp, "quit", options="--input hall=no --fact fuse=blown")
    assert "hall=no" in told.out
    assert "fuse is blown: DOES NOT HOLD" in told.out
    for wrong in (["--input", "hall=maybe"], ["--fact", "fuse=molten"], ["--fact", "fuse"]):
        assert drfsm("machine", "simulate", lamp, *wrong).code == ExitCode.USAGE


# --- diff -----------------------------------------------------------------------------------------------


def test_two_versions_are_told_apart_with_their_proofs(drfsm: Drfsm, lamp: Path, tmp_path: Path) -> None:
    """A guard that was taken away, a rule that was added and does not hold: rows, guards and proofs say so."""
    after = tmp_path / "after.yaml"
    text = lamp.read_text()
    after.write_text(
        text.replace("every_seconds: 1", "every_seconds: 3")
        .replace("requires: {fuse: [whole]}", "requires: {fuse: [whole, blown]}")
        .replace("never:\n", 'never:\n  - {name: bright, when: {light: on}, because: "It is night"}\n')
        .replace('  - {from: dark, trigger: give_up, to: given_up, by: operator, because: "It stays dark"}\n', "")
        .replace(", given_up: failed", "")
    )
    told = drfsm("machine", "diff", lamp, after)
    assert told.code == ExitCode.DIFFERENT
    for line in (
        "  ~ dark --press--> lit\n      wait.every_seconds: 1.0 -> 3.0",
        "  - dark --give_up--> given_up",
        "  ~ fuse_is_whole\n      requires.fuse: [whole] -> [whole, blown]",
        "  + bright",
        "  ~ bright: not declared -> DOES NOT HOLD",
        "finals.given_up: failed -> nothing",
    ):
        assert line in told.out, told.out
    as_json = json.loads(drfsm("machine", "diff", lamp, after, "-o", "json").out)
    assert {part["section"] for part in as_json["differences"]} == {"transitions", "guards", "never", "machine"}
    assert {"rule": "bright", "before": "not declared", "after": "DOES NOT HOLD"} in as_json["proofs"]
    assert as_json["same"] is False


def test_what_says_the_same_is_the_same(drfsm: Drfsm, lamp: Path, tmp_path: Path) -> None:
    """Comments and the order of lines are no difference."""
    other = tmp_path / "other.yaml"
    other.write_text("# a comment\n" + lamp.read_text())
    told = drfsm("machine", "diff", lamp, other)
    assert (told.code, "no difference in what they declare" in told.out) == (ExitCode.DONE, True), told
    assert drfsm("machine", "diff", lamp, lamp).out == "the same declaration\n"


def test_the_declaration_of_an_old_run_is_compared_with_todays(drfsm: Drfsm) -> None:
    """A bundle stands for the machine that its run is pinned to."""
    told = drfsm("machine", "diff", BUNDLES / "0.3.0" / "drill", "drill", "--no-proofs")
    assert told.code == ExitCode.DIFFERENT
    assert "  + pull_token\n" in told.out
    assert "proofs" not in told.out


def test_the_order_of_failures_counts() -> None:
    """Of a state's failure rows the first whose guards hold is taken."""
    rows = [
        '  - {from: dark, trigger: fade, to: given_up, by: failure, guards: [fuse_is_whole], because: "a"}\n',
        '  - {from: dark, trigger: fail, to: given_up, by: failure, guards: [fuse_is_whole], because: "b"}\n',
    ]
    one, other = (load_machine(LAMP + "".join(order)) for order in (rows, rows[::-1]))
    (difference,) = differences(one, other)
    assert (difference.name, difference.section) == ("failures of dark", "transitions")


# --- diagram --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["drill", "failback", "promote"])
def test_a_drawing_has_every_state_every_end_and_every_line(name: str) -> None:
    """SVG: well-formed, a box a state, no two boxes and no two labels' lines at one place; the same each time."""
    spec = load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=name)
    drawn = svg(spec)
    assert drawn == svg(spec)
    root = ET.fromstring(drawn)  # noqa: S314  our own
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    names = [text.text for text in root.iter(f"{SVG}text") if text.attrib.get("class", "").startswith("name")]
    assert sorted(map(str, names)) == sorted(spec.states)
    boxes = [
        tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        for box in root.iter(f"{SVG}rect")
        if box.attrib["class"].startswith("box")
    ]
    assert len(boxes) == len(spec.states) + len(spec.finals)
    for left, top, across, down in boxes:
        assert left >= 0
        assert left + across <= width
        assert top + down <= height
    outer = [box for box in boxes if not any(_inside(box, other) for other in boxes)]
    assert len(outer) == len(spec.states)
    assert not [(one, other) for one in outer for other in outer if one is not other and _overlap(one, other)]
    for row in spec.rows:
        assert f">{row.trigger}" in drawn or f"↻ {row.trigger}" in drawn or f"{row.trigger} -&gt; {row.to}" in drawn


def _inside(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return box != other and other[0] < box[0] < other[0] + other[2] and other[1] < box[1] < other[1] + other[3]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    beside = one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
    return not (beside or one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1])


def test_the_happy_path_and_the_ways_out_are_told_apart() -> None:
    """In both drawings: the path from the start to completion, and whatever a failure or an abort leads to."""
    spec = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback.yaml")
    ways = Ways.of(spec)
    assert [row.trigger for row in ways.path][:2] == ["confirm_intent", "run_preflight"]
    assert ways.path[-1].to == "complete"
    assert {"aborting", "aborted", "refused"} <= {state for state, way in ways.states.items() if way is Way.OUT}
    assert ways.states["dr_lost"] is Way.OTHER
    drawn = mermaid(spec)
    (happy,) = re.findall(r"class (\S+) happy", drawn)
    assert happy.split(",") == [state for state in spec.states if ways.states[state] is Way.HAPPY]
    assert 'class="box happy"' in svg(spec)
    assert 'class="box out"' in svg(spec)


def test_names_and_reasons_cannot_leave_the_drawing() -> None:
    """What a declaration says is text in the SVG, whatever characters it has."""
    evil = LAMP.replace('because: "It is dark"\ninitial', 'because: "</title><script>alert(1)</script>&"\ninitial')
    drawn = svg(load_machine(evil))
    assert "<script" not in drawn
    assert ET.fromstring(drawn)[0].text == "lamp"  # noqa: S314  our own


def test_a_run_is_drawn_on_its_machine(drfsm: Drfsm, tmp_path: Path) -> None:
    """The way that it took, and where it is held; the format is that of the file's name."""
    out = tmp_path / "run.svg"
    bundle = shutil.copytree(BUNDLES / "0.3.0" / "failback", tmp_path / "bundle")
    told = drfsm("machine", "diagram", "--bundle", bundle, "--out", out)
    assert (told.code, told.out) == (ExitCode.DONE, f"written: {out}\n")
    drawn = out.read_text(encoding="utf-8")
    assert "held: 20" in drawn
    assert drawn.count('class="box happy taken"') > 10
    assert "switch_provider" in drawn
    as_text = drfsm("machine", "diagram", "--bundle", bundle).out
    assert "note right of primary_publish_enabled" in as_text
    assert "[step 1]" in as_text
    assert "class start,intent_confirmed" in as_text


def test_kills_resumes_and_ends_are_in_a_runs_course() -> None:
    """Killed in the middle of an action and resumed to the end: each is noted in the state where it happened."""
    bench = mill_bench()
    middle = next(
        point for point in range(40, bench.begin().points) if bench.begin(point).left.records[-1].kind == "intent"
    )
    left = bench.begin(middle).left
    killed = left.state
    assert killed.open is not None
    course = course_of(bench.on(left).records, bench.spec)
    marks = {state: [note.mark for note in notes] for state, notes in course.notes.items()}
    assert marks[killed.state][:2] == [Mark.KILLED, Mark.RESUMED]
    assert killed.open.trigger in course.notes[killed.state][0].words
    assert Mark.ENDED in marks["handed_over"]
    assert course.states >= {"asked", killed.state, "handed_over"}
    still = course_of(left.records, bench.spec)
    assert [note.mark for note in still.notes[killed.state]] == [Mark.STANDS]


def test_a_diagram_needs_a_machine_or_a_run(drfsm: Drfsm) -> None:
    """Neither, or both, is wrong usage."""
    assert drfsm("machine", "diagram").code == ExitCode.USAGE
    assert drfsm("machine", "diagram", "drill", "--bundle", "x").code == ExitCode.USAGE
    assert drfsm("machine", "diagram", "drill").out.startswith("stateDiagram-v2\n")


def test_a_calm_world_lets_each_shipped_machine_run(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` alone brings a drill to its end: what simulate begins with is a world in which nothing is wrong."""
    spec = load_machine((shipped("machines") / "drill.yaml").read_bytes(), source="drill.yaml")
    assert set(quiet(spec)) == set(spec.facts)
    assert set(inputs_of(spec)) == set(spec.inputs)
    told = played(drfsm, monkeypatch, "drill", "run")
    assert told.out.endswith("ended: complete in complete\n"), told.out[-600:]
