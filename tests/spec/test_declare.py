"""The loader reports every fault at once, with file, line and mend, and never raises anything else."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from drfsm.errors import DeclarationFault
from drfsm.resources import shipped
from drfsm.spec import By, Effect, MachineSpec, dump_schema, load_machine
from drfsm.spec.shorthand import OLD_KEYS

LAMP = """\
machine: lamp
because: "It is dark"
initial: dark
finals: {lit: complete}
inputs:
  hurry: {values: [yes, no]}
facts:
  light: {values: [on, off, mixed]}
  door: {values: [open, shut]}
guards:
  light_is_off: {requires: {light: off}, because: "Pressing twice would switch it off again"}
  door_is_shut: {requires: {door: shut}, because: "The neighbours sleep"}
transitions:
  - from: dark
    trigger: light_up
    to: lit
    when: {hurry: yes}
    guards: [light_is_off]
    action: press
    sets: {light: on}
    effect: idempotent
    because: "Somebody wants to read"
  - from: dark
    trigger: wait_for_the_door
    to: waiting
    when: {hurry: no}
    because: "No hurry"
  - from: waiting
    trigger: light_up
    to: lit
    guards: [door_is_shut]
    wait: {every_seconds: 1, limit: 30}
    because: "Now"
"""


def faults_of(text: str | bytes, source: str = "lamp.yaml") -> list[str]:
    """Return every fault of a declaration, without the name of the file."""
    with pytest.raises(DeclarationFault) as caught:
        load_machine(text, source=source)
    assert all(each.startswith(f"{source}:") for each in caught.value.faults)
    return [each.removeprefix(f"{source}:") for each in caught.value.faults]


def changed(old: str, new: str) -> str:
    """Return the lamp with one thing changed."""
    assert LAMP.count(old) >= 1, old
    return LAMP.replace(old, new, 1)


def test_a_good_declaration_is_read_as_it_stands() -> None:
    """Every word stays the word that was written, and the digest is that of the bytes."""
    spec = load_machine(LAMP, source="lamp.yaml")
    assert (spec.name, spec.initial, dict(spec.finals)) == ("lamp", "dark", {"lit": "complete"})
    assert spec.facts["light"].values == ("on", "off", "mixed")
    assert spec.rows[0].when == {"hurry": ("yes",)}
    assert (spec.rows[0].effect, spec.rows[0].by, spec.rows[0].line) == (Effect.IDEMPOTENT, By.RUNNER, 14)
    assert spec.rows[0].key == "dark --light_up--> lit"
    assert spec.states == ("dark", "lit", "waiting")
    assert load_machine(LAMP.encode()).sha256 == spec.sha256
    assert load_machine(LAMP + "\n").sha256 != spec.sha256


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "true", "false", "null", "~", "1", "0x1F", "1e3"])
def test_words_stay_words(word: str) -> None:
    """What YAML would read as a boolean, a number or nothing is the word that was written."""
    spec = load_machine(changed("[open, shut]", f"[open, shut, {word}]"))
    assert spec.facts["door"].values == ("open", "shut", word)


ROW_KEYS = dump_schema()["properties"]["transitions"]["items"]["properties"]
NOTHING_SET = "add `sets: {fact: value}`, or write `effect: none`"
HIDDEN = "name it in environment and never only, or bind it and remove hidden"
BOTH = 'effect: idempotent\n    undo: unpress\n    not_undone_because: "light"'
NO_RETURN = "point_of_no_return: true"
JUDGED = "name a fact that is judged from it under when"
LIT_BY = "never:\n  - {name: lit, when: {light: on}, %s, because: x}\ntransitions:\n"
AMENDED = "  - {from: waiting, trigger: hurry_up, by: operator, amends: [hurry], because: x}\n"
FAULTS = {
    "an unknown key": (changed("initial: dark", "intial: dark"), [
        "1: a machine lacks initial; add `initial:`",
        "3: a machine has no key intial; did you mean initial?",
    ]),
    "an unknown key of a row": (changed("    to: lit\n", "    to: lit\n    colour: red\n"), [
        f"17: a transition has no key colour; its keys are {', '.join(key for key in ROW_KEYS if key not in OLD_KEYS)}",
    ]),
    "an unknown state": (changed("initial: dark", "initial: drak"), ["3: there is no state drak; did you mean dark?"]),
    "an unknown guard": (changed("[light_is_off]", "[light_is_of]"), [
        "11: guard light_is_off is used by no transition; guard one with it, or remove it",
        "18: there is no guard light_is_of; did you mean light_is_off?",
    ]),
    "an unknown fact": (changed("sets: {light: on}", "sets: {lamp: on}"), [
        "20: there is no fact lamp; declare it under facts",
    ]),
    "an unknown value": (changed("sets: {light: on}", "sets: {light: onn}"), [
        "20: fact light has no value onn; did you mean on?",
    ]),
    "an unknown value of an input": (changed("{hurry: yes}", "{hurry: perhaps}"), [
        "17: input hurry has no value perhaps; it has yes, no",
    ]),
    "an input that is no input": (changed("{hurry: no}", "{haste: no}"), [
        "26: there is no input haste; declare it under inputs with its values",
    ]),
    "a duplicate key": (changed("    to: lit\n", "    to: lit\n    to: dark\n"), [
        "17: to is in transitions twice; remove one (the first is on line 16)",
    ]),
    "a duplicate fact": (changed("  door: {", "  light: {values: [x]}\n  door: {"), [
        "9: light is in facts twice; remove one (the first is on line 8)",
    ]),
    "a value twice": (changed("[open, shut]", "[open, shut, open]"), ["9: open is in values twice; remove one"]),
    "an alias": (changed("machine: lamp", "machine: &m lamp").replace("initial: dark", "initial: *m"), [
        "3: the alias *m; write the value out where it is used",
    ]),
    "an own tag": (changed("initial: dark", "initial: !mine dark"), [
        "3: the tag !mine; write plain YAML without tags",
    ]),
    "an action without effect": (changed("    effect: idempotent\n", ""), [
        "19: an action without effect; add `effect: none`, `idempotent` or `once`",
    ]),
    "an action that sets nothing": (changed("    sets: {light: on}\n", ""), [
        f"20: an action with an effect sets nothing, so no probe can tell whether it was done; {NOTHING_SET}",
    ]),
    "sets with effect none": (changed("effect: idempotent", "effect: none"), [
        "20: an action with effect none sets facts; write `effect: idempotent` or `once`, or remove sets",
    ]),
    "sets without an action": (changed("    action: press\n", "").replace("    effect: idempotent\n", ""), [
        "19: sets without an action; add the action that does it, or remove sets",
    ]),
    "an effect without an action": (changed("    action: press\n    sets: {light: on}\n", ""), [
        "19: an effect without an action; add the action, or remove effect",
    ]),
    "an unknown effect": (changed("effect: idempotent", "effect: twice"), [
        "21: effect is twice; write one of none, idempotent, once",
    ]),
    "undo and why not": (changed("effect: idempotent", BOTH), [
        "22: no row takes this undo; add a row with `foreach: undo`, or write not_undone_because",
        "23: both undo and not_undone_because; keep one: an abort either undoes it or says why not",
    ]),
    "a wait without guards": (changed("    guards: [door_is_shut]\n    wait:", "    wait:"), [
        "12: guard door_is_shut is used by no transition; guard one with it, or remove it",
        "31: a wait without guards; add the guards to wait for",
    ]),
    "a wait without a limit": (changed("{every_seconds: 1, limit: 30}", "{every_seconds: 1}"), [
        "32: wait lacks limit; add `limit:`",
    ]),
    "seconds that are none": (changed("every_seconds: 1,", "every_seconds: soon,"), [
        "32: every_seconds is soon; write a plain number, more than 0",
    ]),
    "no seconds at all": (changed("every_seconds: 1,", "every_seconds: 0,"), [
        "32: every_seconds is 0; write a plain number, more than 0",
    ]),
    "a limit by an unknown input": (changed("limit: 30", "limit: patience"), [
        "32: there is no input patience; write seconds, or declare it under inputs",
    ]),
    "giving up at what is waited for": (changed("limit: 30}", "limit: 30, give_up: {door: shut}}"), [
        "32: give_up at door: shut, which guard door_is_shut waits for; remove one",
    ]),
    "a repair that never runs": (changed("effect: idempotent", "effect: idempotent\n    attempts: {repair: oil}"), [
        "22: a repair that never runs: there is one attempt only; add `max: 2` or more, or remove repair",
    ]),
    "half an attempt": (changed("effect: idempotent", "effect: idempotent\n    attempts: {max: 1.5}"), [
        "22: max is 1.5; write a whole number",
    ]),
    "rounds of the runner": (changed("effect: idempotent", "effect: idempotent\n    rounds: 3"), [
        "14: light_up counts rounds of dark, and leads nowhere back; remove rounds",
        "22: only a failure leads back in rounds; write `by: failure`, or remove rounds",
    ]),
    "one round": (changed("effect: idempotent", "effect: idempotent\n    by: failure\n    rounds: 1"), [
        "14: light_up counts rounds of dark, and leads nowhere back; remove rounds",
        "23: one round only, so this row is never taken; write 2 or more, or remove the row",
        "25: no row of the runner leaves dark for hurry: yes; add the row for it",
    ]),
    "rounds by an unknown input": (
        changed("effect: idempotent", "effect: idempotent\n    by: failure\n    rounds: hurried"), [
            "14: light_up counts rounds of dark, and leads nowhere back; remove rounds",
            "23: there is no input hurried; did you mean hurry?",
            "25: no row of the runner leaves dark for hurry: yes; add the row for it",
        ]),
    "no reason": (changed('    because: "No hurry"\n', ""), ["23: a transition lacks because; add `because:`"]),
    "a value with spaces": (changed("[open, shut]", "[open, shut, 'half shut']"), [
        "9: values 'half shut' has spaces; write one word",
    ]),
    "unknown as a value": (changed("[open, shut]", "[open, shut, unknown]"), [
        "9: fact door declares unknown; remove it: unknown is always possible, for what could not be read",
    ]),
    "a hidden fact in a guard": (changed("[open, shut]}", "[open, shut], hidden: true}"), [
        f"12: fact door is hidden: nobody can read it; {HIDDEN}",
    ]),
    "a list that is none": (changed("[open, shut]", "open"), ["9: values is not a list; write [a, b]"]),
    "an empty list": (changed("[open, shut]", "[]"), [
        "9: values is an empty list; name at least one or leave the key out",
    ]),
    "a mapping that is none": (changed("finals: {lit: complete}", "finals: lit"), [
        "4: finals is not a mapping; write `key: value` lines or {key: value}",
    ]),
    "an unknown status": (changed("{lit: complete}", "{lit: completed}"), [
        "4: lit is completed; did you mean complete?",
    ]),
    "a point of no return that writes nothing": (changed('because: "No', f'{NO_RETURN}\n    because: "No'), [
        "27: a point_of_no_return without an action; add the action, or remove point_of_no_return",
    ]),
    "an unused fact": (changed("  door: {", "  smell: {values: [x]}\n  door: {"), [
        "9: fact smell is used nowhere; require or set it somewhere, or remove it",
    ]),
    "an unused input": (changed("  hurry:", "  colour: {}\n  hurry:"), [
        "6: input colour is used by no transition; select a transition with it, or say in because what reads it",
    ]),
    "a rule that excepts an unknown trigger": (changed("transitions:\n", LIT_BY % "unless_taken: [light_upp]"), [
        "14: there is no trigger light_upp; did you mean light_up?",
    ]),
    "a rule for an unknown input": (changed("transitions:\n", LIT_BY % "inputs: {hurry: perhaps}"), [
        "14: input hurry has no value perhaps; it has yes, no",
    ]),
    "a rule for an input that may change": (changed("transitions:\n", LIT_BY % "inputs: {hurry: yes}") + AMENDED, [
        f"14: a never rule selects runs by hurry, which a person may amend; {JUDGED}",
    ]),
    "an input without values that selects": (changed("hurry: {values: [yes, no]}", "hurry: {}"), [
        "17: when: input hurry has no declared values; declare inputs.hurry.values, or guard a fact instead",
        "26: when: input hurry has no declared values; declare inputs.hurry.values, or guard a fact instead",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_with_its_line_and_mend(fault: str) -> None:
    """One thing changed in a good declaration: exactly these faults, in the order of the lines."""
    text, expected = FAULTS[fault]
    assert faults_of(text) == expected


def test_a_name_that_is_none_is_mended_in_words() -> None:
    """A state in capitals is refused where it is written, with the name to write."""
    assert faults_of(changed("to: waiting", "to: Waiting"))[0] == "25: to 'Waiting' is not snake_case; write waiting"


def test_ten_faults_are_told_in_one_go() -> None:
    """A declaration with ten faults is told ten faults, each once, sorted by line."""
    text = LAMP
    for old, new in (
        ("initial: dark", "initial: drak"),
        ("[open, shut]", "[open, shut, open]"),
        ('because: "The neighbours sleep"', "becuase: x"),
        ("{hurry: yes}", "{hurry: maybe}"),
        ("[light_is_off]", "[light_is_of]"),
        ("sets: {light: on}", "sets: {light: onn}"),
        ("effect: idempotent", "effect: often"),
        ("limit: 30", "limit: -1"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new, 1)
    told = faults_of(text)
    assert [int(each.split(":", 1)[0]) for each in told] == [3, 9, 11, 12, 12, 17, 18, 20, 21, 32]
    assert len(set(told)) == 10
    with pytest.raises(DeclarationFault, match="10 faults in the declaration") as caught:
        load_machine(text, source="lamp.yaml")
    assert all(each in caught.value.diagnostics() for each in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "1: the declaration is empty; start with `machine: NAME`"),
        (b"# only words\n", "1: the declaration is empty; start with `machine: NAME`"),
        (b"machine: [", "2: not YAML: "),
        (b"machine: x\n  initial: y\n", "2: not YAML: "),
        (b"a: b\n---\nc: d\n", "2: not YAML: "),
        (b"machine: \xff\n", "1: these bytes are not UTF-8; save the declaration as UTF-8"),
        (b"just words", "1: the declaration is not a mapping; write `key: value` lines or {key: value}"),
        (b"- a\n- b\n", "1: the declaration is not a mapping; write `key: value` lines or {key: value}"),
        (b"machine: lamp\nreceipt: " + b"{a: " * 40 + b"x" + b"}" * 40, "2: nested too deeply; a declaration needs"),
        (b"machine: \x00", "1: not YAML: "),
    ],
)
def test_what_is_no_declaration_at_all_is_one_fault(text: bytes, told: str) -> None:
    """Nothing, broken YAML, two documents, bytes that are no text, brackets without end: said, with the line."""
    assert faults_of(text)[0].startswith(told)


def test_the_same_alias_twice_is_told_once_a_line() -> None:
    """Aliases and merge keys are refused wherever they stand: a declaration reads top to bottom."""
    text = LAMP.replace("from: dark", "from: &d dark", 1).replace("to: waiting", "to: *d", 1)
    assert faults_of(text) == ["25: the alias *d; write the value out where it is used"]


# --- the schema for editors -----------------------------------------------------------------------------------


def plain(text: str) -> Any:
    """Return a declaration as an editor's schema sees it: every scalar a string."""
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  BaseLoader makes strings only


FAILBACK = (shipped("machines") / "failback.yaml").read_text()
SCHEMA = Draft202012Validator(dump_schema())


def test_the_schema_is_one_and_accepts_what_the_loader_accepts() -> None:
    """The JSON Schema is valid itself, and accepts the lamp and the shipped failback."""
    Draft202012Validator.check_schema(dump_schema())
    for text in (LAMP, FAILBACK):
        assert not list(SCHEMA.iter_errors(plain(text)))
    assert json.loads(json.dumps(dump_schema())) == dump_schema()


SHAPES = [
    "an unknown key",
    "an unknown key of a row",
    "an unknown effect",
    "an unknown status",
    "a list that is none",
    "an empty list",
    "a mapping that is none",
    "no reason",
    "a wait without a limit",
    "half an attempt",
    "seconds that are none",
]


@pytest.mark.parametrize("fault", SHAPES)
def test_the_schema_refuses_what_has_the_wrong_shape(fault: str) -> None:
    """What is wrong in shape alone is red in the editor, too."""
    assert list(SCHEMA.iter_errors(plain(FAULTS[fault][0])))


# --- whatever is written ------------------------------------------------------------------------------------


def load_or_fault(text: str | bytes) -> MachineSpec | None:
    """Load, or make sure that all that is said is a fault with a line."""
    try:
        return load_machine(text, source="any.yaml")
    except DeclarationFault as fault:
        told = fault.faults
    assert told
    assert all(re.match(r"any\.yaml:\d+: .+; .+", each) for each in told), told
    return None


LINES = FAILBACK.splitlines(keepends=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_mutation_of_the_failback_raises_anything_else(data: st.DataObject) -> None:
    """Lines removed, doubled, swapped, indented, and characters replaced: a spec, or faults with lines."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "double", "swap", "indent", "character", "word"]))
        other = data.draw(st.integers(0, len(lines) - 1))
        if how == "drop":
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif how == "indent":
            lines[at] = "  " + lines[at]
        elif how == "character" and lines[at]:
            place = data.draw(st.integers(0, len(lines[at]) - 1))
            new = data.draw(st.sampled_from("{}[]:,-#&*!|>'\"%@`\t\n x"))
            lines[at] = lines[at][:place] + new + lines[at][place + 1 :]
        else:
            old = (lines[other].split() or ["x"])[0]
            lines[at] = lines[at].replace(old, data.draw(st.sampled_from(["on", "null", "~", "[]", "{}"])))
    load_or_fault("".join(lines))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    """Any bytes, alone or after a good beginning, are a spec or faults with lines."""
    load_or_fault(raw)
    load_or_fault(LAMP.encode() + raw)
