"""What a declaration says once for many rows means what it means written out; what is wrong with it is told."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve
from jsonschema import Draft202012Validator

from drfsm.errors import DeclarationFault
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, dump_schema, load_machine
from drfsm.spec.shorthand import MOST, OLD_KEYS
from tests.spec.copies import words, written_out

RECORDED = Path(__file__).resolve().parents[1] / "data" / "bundles"

TRAIN = """\
machine: train
because: "It is late"
initial: depot
finals: {home: complete, stuck: aborted}
inputs:
  stop: {values: [asked, none]}
facts:
  doors: {values: [open, shut]}
  brake: {values: [on, off]}
defaults: {effect: idempotent, attempts: {max: 3, backoff_seconds: 2}}
groups:
  moving: [rolling, fast]
  on_the_way: [moving, halted]
never:
  - {name: open_doors, when: {doors: open}, states: [moving], because: "Somebody falls out"}
transitions:
  - from: depot
    trigger: leave
    to: rolling
    action: shut
    sets: {doors: shut}
    not_undone_because: "nobody waits outside"
    because: "It starts"
  - {from: rolling, trigger: hurry, to: fast, when: {stop: none}, because: "No stop"}
  - {from: rolling, trigger: halt, to: halted, when: {stop: asked}, because: "Somebody waits"}
  - from: [fast, halted]
    trigger: arrive
    to: arrived
    action: pull
    sets: {brake: on}
    attempts: {max: 1}
    not_undone_because: "it stands"
    because: "The last stop"
  - from: [{state: arrived, when: {stop: none}}]
    trigger: end
    to: home
    because: "Done"
  - from: [{state: arrived, when: {stop: asked}}]
    trigger: tell
    to: home
    action: tell
    effect: none
    because: "It is told"
  - {from: on_the_way, trigger: abort, to: stuck, by: operator, because: "Stop here"}
"""


def compiled(spec: MachineSpec) -> Any:
    """Return all that a spec says, but for where it is written."""
    rows = [evolve(row, line=0) for row in spec.rows]
    facts, inputs = ([evolve(each, line=0) for each in part.values()] for part in (spec.facts, spec.inputs))
    guards = [evolve(each, line=0) for each in spec.guards.values()]
    rules = [evolve(each, line=0) for part in (spec.environment, spec.never, spec.frozen) for each in part]
    rest = (spec.name, spec.reason, spec.initial, dict(spec.finals), dict(spec.receipt))
    return rest, rows, facts, inputs, guards, rules


def load(machine: dict[str, Any]) -> MachineSpec:
    """Load a declaration given as plain words."""
    plain = json.loads(json.dumps(machine))  # nothing shared, so that the dumper writes no alias
    return load_machine(yaml.safe_dump(plain, sort_keys=False, width=1000))


def plain(text: str) -> Any:
    """Return a declaration as plain words."""
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  BaseLoader makes strings only


def faults_of(text: str) -> list[str]:
    """Return every fault of a declaration, without the name of the file."""
    with pytest.raises(DeclarationFault) as caught:
        load_machine(text, source="train.yaml")
    return [each.removeprefix("train.yaml:") for each in caught.value.faults]


def changed(*changes: tuple[str, str]) -> str:
    """Return the train with these things changed."""
    text = TRAIN
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def test_shorthand_means_what_it_means_written_out() -> None:
    """Defaults, groups in groups and a source's when: the same rows as in a declaration that has none of them."""
    spec, plainly = load_machine(TRAIN), written_out(plain(TRAIN))
    assert not plainly.keys() & {"defaults", "groups"}
    assert compiled(spec) == compiled(load(plainly))
    assert [row.source for row in spec.rows if row.trigger == "abort"] == ["rolling", "fast", "halted"]
    assert {row.trigger: row.attempts.max for row in spec.rows if row.action} == {"leave": 3, "arrive": 1, "tell": 3}
    assert {row.trigger: row.effect.value for row in spec.rows if row.action}["tell"] == "none"
    assert {row.trigger: dict(row.when) for row in spec.rows if row.source == "arrived"} == {
        "end": {"stop": ("none",)},
        "tell": {"stop": ("asked",)},
    }


@pytest.mark.parametrize("machine", ["drill", "failback", "promote"])
def test_the_shipped_machines_mean_what_they_mean_written_out(machine: str) -> None:
    """An auditor who writes the shorthand out by hand gets the machine that is run."""
    text = (shipped("machines") / f"{machine}.yaml").read_bytes()
    assert compiled(load_machine(text)) == compiled(load(words(machine)))


APART = "distinguish them with when, or let the operator choose"
FAULTS = {
    "an unknown group": (changed(("from: on_the_way", "from: on_the_wy")), [
        "13: group on_the_way is used nowhere; list it in from or states, or remove it",
        "44: state on_the_wy can't be reached from depot; add the transition that leads there, or remove it",
        "44: state stuck can't be reached from depot; add the transition that leads there, or remove it",
        "44: there is no group on_the_wy, and no row leads to such a state; did you mean on_the_way?",
    ]),
    "an unknown state in a group": (changed(("[rolling, fast]", "[rolling, fats]")), [
        "12: fats is neither a group nor a state that a row leads to; did you mean fast?",
        "44: state fats can't be reached from depot; add the transition that leads there, or remove it",
    ]),
    "an empty group": (changed(("[moving, halted]", "[]"), ("from: on_the_way", "from: rolling")), [
        "13: on_the_way is an empty list; name at least one or leave the key out",
    ]),
    "an empty group that a row, a rule and a group use": (changed(("[rolling, fast]", "[]")), [
        "12: moving is an empty list; name at least one or leave the key out",
    ]),
    "an empty group that is all of a row's sources": (changed(("[moving, halted]", "[]")), [
        "13: on_the_way is an empty list; name at least one or leave the key out",
    ]),
    "a group that is no list": (changed(("[rolling, fast]", "{rolling: fast}")), [
        "12: moving is not a list; write [a, b]",
    ]),
    "an unused group": (changed(("from: on_the_way", "from: [moving, halted]")), [
        "13: group on_the_way is used nowhere; list it in from or states, or remove it",
    ]),
    "a group where one state is meant": (changed(("to: stuck", "to: moving")), [
        "4: there is no state stuck; name it in a transition",
        "44: to names the group moving; name one state, or rename the group",
    ]),
    "a group as the beginning": (changed(("initial: depot", "initial: moving")), [
        "3: initial names the group moving; name one state, or rename the group",
        "3: there is no state moving; did you mean rolling?",
    ]),
    "groups in a circle": (changed(("[rolling, fast]", "[rolling, fast, on_the_way]")), [
        "12: group moving holds on_the_way, which is not declared above it; move it up, or out",
    ]),
    "a group that holds itself": (changed(("[moving, halted]", "[moving, halted, on_the_way]")), [
        "13: group on_the_way holds on_the_way, which is not declared above it; move it up, or out",
    ]),
    "a state twice in a group": (changed(("[moving, halted]", "[moving, halted, fast]")), [
        "13: fast is in group on_the_way twice; remove one",
    ]),
    "a state that a group holds, too": (changed(("from: on_the_way", "from: [fast, on_the_way]")), [
        "44: fast is in from twice (group on_the_way holds it, too); remove one",
    ]),
    "a default that no row uses": (changed(
        ('    not_undone_because: "nobody', '    attempts: {max: 2}\n    not_undone_because: "nobody'),
        ("    effect: none\n", "    effect: none\n    attempts: {max: 2}\n"),
    ), ["10: no row uses the default attempts; remove it"]),
    "a default overridden by the same value": (changed(("    attempts: {max: 1}", "    effect: idempotent")), [
        "31: effect is what defaults say anyway; remove it here",
    ]),
    "a default for what is no default": (changed(("defaults: {", "defaults: {undo: x, ")), [
        "10: defaults has no key undo; its keys are effect, attempts",
    ]),
    "a default that a row can't have": (changed(("    sets: {doors: shut}\n", "")), [
        ("20: an action with an effect sets nothing, so no probe can tell whether it was done;"
        " add `sets: {fact: value}`, or write `effect: none`"),
    ]),
    "a source with an unknown input": (changed(("when: {stop: none}}]", "when: {stp: none}}]")), [
        "34: there is no input stp; did you mean stop?",
    ]),
    "a source that selects by what its row selects by": (changed(
        ("    trigger: end\n", "    trigger: end\n    when: {stop: none}\n"),
    ), ["36: arrived and its row both select by stop; select by it in one of them"]),
    "a source without a when": (changed(("{state: arrived, when: {stop: none}}", "{state: arrived}")), [
        "34: a source lacks when; add `when:`",
        f"38: tell and end (line 34) both fit state arrived, both by runner; {APART}",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_with_its_line_and_mend(fault: str) -> None:
    """One thing changed in a good declaration: exactly these faults, in the order of the lines."""
    text, expected = FAULTS[fault]
    assert faults_of(text) == expected


def test_groups_that_stand_for_too_much_are_a_fault() -> None:
    """A few lines must not become millions of rows: a declaration may come from somebody else's bucket."""
    states = ", ".join(f"s{number}" for number in range(100))
    lists = "".join(f"  g{number}: [{states}]\n" for number in range(60))
    names = ", ".join(f"g{number}" for number in range(60))
    text = changed(("groups:\n", f"groups:\n{lists}"), ("from: on_the_way", f"from: [on_the_way, {names}]"))
    assert f"groups stand for more than {MOST} states in all; list fewer" in "\n".join(faults_of(text))
    levels = "".join(
        f"  g{number}: [g{number - 1}, h{number - 1}]\n  h{number}: [g{number}]\n" for number in range(1, 60)
    )
    doubling = changed(("groups:\n", f"groups:\n  g0: [rolling]\n  h0: [fast]\n{levels}"))
    assert "16: rolling is in group g2 twice (group h1 holds it, too); remove one" in faults_of(doubling)


def old(text: str) -> str:
    """Return a declaration with the keys' old names."""
    for name, new in OLD_KEYS.items():
        text = text.replace(f"{new}:", f"{name}:")
    return text


ALIASES = """\
machine: lamp
because: "It is dark"
initial: dark
finals: {lit: complete, out: aborted, given_up: failed}
facts: {light: {values: [on, off]}, fuse: {values: [in, out]}}
transitions:
  - {from: dark, trigger: screw, to: ready, action: screw, sets: {fuse: in}, effect: idempotent,
     not_undone_because: "it may stay in", because: "First"}
  - {from: ready, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent,
     point_of_no_return: true, because: "Now"}
  - {from: [dark, ready], trigger: give_up, to: given_up, by: failure, overrides_open_intent: true, because: "Enough"}
  - {from: [dark, ready], trigger: abort, to: going_back, by: operator, because: "No"}
  - {from: going_back, trigger: undo_newest, to: going_back, foreach: undo, because: "Newest first"}
  - {from: going_back, trigger: end, to: out, because: "Done"}
"""


def test_the_old_names_of_keys_are_read() -> None:
    """Runs of 0.1.0 and 0.2.0 pin declarations with the old names: they mean what the new ones mean."""
    assert all(f"{new}:" in ALIASES and f"{name}:" in old(ALIASES) for name, new in OLD_KEYS.items())
    assert compiled(load_machine(old(ALIASES))) == compiled(load_machine(ALIASES))
    assert any(row.point_of_no_return for row in load_machine(ALIASES).rows)


@pytest.mark.parametrize("name", OLD_KEYS)
def test_both_names_of_a_key_in_one_row_are_a_fault(name: str) -> None:
    """Nobody could say which is meant."""
    new = OLD_KEYS[name]
    value = ALIASES.split(f"{new}: ")[1].split(",", maxsplit=1)[0]
    text = ALIASES.replace(f"{new}: {value}", f"{new}: {value}, {name}: {value}")
    (fault,) = [each for each in faults_of(text) if "old name" in each]
    assert fault.endswith(f"a transition has {new} twice: {name} is its old name; remove {name}")


@pytest.mark.parametrize("machine", ["drill", "failback", "promote"])
def test_a_recorded_declaration_is_read_with_what_its_old_keys_say(machine: str) -> None:
    """In the pinned declarations nothing that an old key says is lost."""
    for version in ("0.1.0", "0.2.0"):
        text = (RECORDED / version / machine / f"{machine}.yaml").read_text()
        rows = [row for row in plain(text)["transitions"] if row.keys() & OLD_KEYS.keys()]
        spec = load_machine(text)
        assert rows
        for row in rows:
            sources = [row["from"]] if isinstance(row["from"], str) else row["from"]
            one = next(one for one in spec.rows if one.trigger == row["trigger"] and one.source == sources[0])
            for name in row.keys() & OLD_KEYS.keys():
                assert str(getattr(one, OLD_KEYS[name])).lower() == row[name].lower()


@pytest.mark.parametrize("text", [TRAIN, ALIASES, old(ALIASES)], ids=["shorthand", "new names", "old names"])
def test_an_editors_schema_accepts_what_is_read(text: str) -> None:
    """Shorthand and both names of the keys are green in an editor; the old ones are marked as deprecated."""
    schema = dump_schema()
    assert not list(Draft202012Validator(schema).iter_errors(plain(text)))
    keys = schema["properties"]["transitions"]["items"]["properties"]
    assert {name for name, key in keys.items() if key.get("deprecated")} == set(OLD_KEYS)
