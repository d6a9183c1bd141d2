"""Any small machine, killed anywhere once or twice, ends as undisturbed or with everything given back."""

from collections.abc import Sequence

import pytest
from attrs import frozen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drfsm.spec import load_machine
from drfsm.testing.world import binding_of, data_of, keys_of, quiet
from tests.engine.bench import Bench, Left

# An example is hundreds of runs: the first that fails is small enough, and shrinking it would take minutes.
ONE_BY_ONE = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FACTS = {"one": "[a, b, c]", "two": "[a, b, c, mixed]", "three": "[a, b, c, mixed]"}


@frozen
class Link:
    """One row of a chain of rows: what it does, and to which fact."""

    kind: str  # plain, guarded, wait, look, idempotent, once
    fact: str = "one"
    value: str = "b"
    own_guard: bool = False
    back: str = "undo"
    attempts: int = 1


LINKS = st.builds(
    Link,
    kind=st.sampled_from(["plain", "guarded", "wait", "look", *["idempotent"] * 4, "once"]),
    fact=st.sampled_from(sorted(FACTS)),
    value=st.sampled_from("abc"),
    own_guard=st.booleans(),
    back=st.sampled_from(["undo", "undo", "keeps"]),
    attempts=st.integers(1, 2),
)


def declared(links: Sequence[Link], final_write: int) -> str:
    """Return the declaration of a chain of rows with an abort loop and a failure's row at its beginning."""
    now = dict.fromkeys(FACTS, "a")
    guards = {"calm": "weather: calm"}
    rows = []
    for number, link in enumerate(links):
        fields = [f"from: s{number}", f"trigger: go_{number}", f"to: s{number + 1}", 'because: "on"']
        if link.kind in ("guarded", "wait"):
            fields.append("guards: [calm]")
        if link.kind == "wait":
            fields.append("wait: {every_seconds: 1, limit: 3, consecutive: 2}")
        if link.kind == "look":
            fields += ["action: look", "effect: none"]
        if link.kind in ("idempotent", "once"):
            if link.own_guard:
                guards[f"own_{number}"] = f"{link.fact}: {now[link.fact]}"
                fields.append(f"guards: [own_{number}]")
            fields += [f"action: do_{number}", f"effect: {link.kind}", f"sets: {{{link.fact}: {link.value}}}"]
            fields.append(f"attempts: {{max: {link.attempts}}}")
            if number == final_write:
                fields.append("point_of_no_return: true")
            else:
                fields.append(f"undo: undo_{number}" if link.back == "undo" else f'not_undone_because: "kept {number}"')
            now[link.fact] = link.value
        rows.append(f"  - {{{', '.join(fields)}}}")
    last = final_write if 0 <= final_write < len(links) else len(links) - 1
    abortable = ", ".join(f"s{number}" for number in range(last + 1))
    return "\n".join(
        [
            "machine: chain",
            'because: "any"',
            "initial: s0",
            f"finals: {{s{len(links)}: complete, back: aborted, refused: refused}}",
            "facts:",
            "  weather: {values: [calm, rough]}",
            *(f"  {name}: {{values: {values}, initial: [a], because: x}}" for name, values in FACTS.items()),
            "guards:",
            *(f'  {name}: {{requires: {{{needed}}}, because: "so"}}' for name, needed in guards.items()),
            "never:",
            '  - {name: seen, when: {weather: rough, one: a, two: a, three: a}, because: "so that all are used"}',
            "transitions:",
            *rows,
            '  - {from: s0, trigger: refuse, to: refused, by: failure, because: "nothing moved"}',
            '  - {from: s0, trigger: shelter, to: refused, by: operator, guards: [calm], because: "calm is used"}',
            f'  - {{from: [{abortable}], trigger: abort, to: going, by: operator, because: "back"}}',
            '  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "newest first"}',
            '  - {from: going, trigger: finish_abort, to: back, because: "all is as before"}',
        ]
    )


@st.composite
def benches(draw: st.DrawFn) -> Bench:
    """Draw a machine, bound to a world in which its guards hold."""
    links = draw(st.lists(LINKS, min_size=1, max_size=5))
    changing = [number for number, link in enumerate(links) if link.kind in ("idempotent", "once")]
    final_write = draw(st.sampled_from([-1, *changing]))
    spec = load_machine(declared(links, final_write), source="chain.yaml")
    return Bench(spec, binding_of(spec), {}, Left(tuple(sorted(data_of(spec, quiet(spec)).items()))))


def once_counted(bench: Bench, left: Left) -> None:
    """Assert that no process called what may be done only once after another one had begun to change something."""
    for row in bench.spec.rows:
        calls = [each for each in left.records if each.kind == "intent" and each.body["row"] == row.key]
        settled = [each for each in left.records if each.kind == "resolved" and each.body["row"] == row.key]
        if row.effect == "once":
            assert len(calls) <= 1 + len(settled), f"{row.trigger} was begun {len(calls)} times"


def as_declared(bench: Bench, left: Left, undisturbed: Left) -> None:
    """Assert the end: undisturbed, or the world as at first but for what rows kept and what that led to."""
    once_counted(bench, left)
    if left.state.status != "aborted":
        assert (left.state.status, left.world) == ("complete", undisturbed.world)
        return
    begun = [row for row in bench.spec.rows if row.key in left.state.snapshots and row.sets]
    assert not any(row.point_of_no_return for row in begun)
    expected = bench.start.world
    befores = []
    for row in begun:
        befores.append((row, dict(expected)))
        for fact, value in row.sets.items():
            expected |= dict.fromkeys(keys_of(bench.spec, fact), value)
    for row, before in reversed(befores):
        for fact in row.sets if row.undo else ():
            expected |= {key: before[key] for key in keys_of(bench.spec, fact)}
    torn = {
        key for row in begun[-1:] if row.not_undone_because for fact in row.sets for key in keys_of(bench.spec, fact)
    }
    assert {k: v for k, v in left.world.items() if k not in torn} == {
        k: v for k, v in expected.items() if k not in torn
    }


@pytest.mark.long
@settings(ONE_BY_ONE, max_examples=8)
@given(benches())
def test_any_chain_killed_once_or_twice_ends_as_declared(bench: Bench) -> None:
    """Every crash, and every pair of crashes with a resume or an abort in between, ends complete or given back."""
    undisturbed = bench.on(bench.start, "start")
    tried: set[object] = set()
    for first, left in enumerate(bench.play(bench.start, "start", watched=True).moments):
        for verb in ("resume", "abort"):
            if not left.records or (left.like, verb) in tried:
                continue
            tried.add((left.like, verb))
            for second, again in enumerate(bench.play(left, verb, watched=True).moments):
                for then in ("resume", "abort"):
                    if (again.like, then, "end") in tried:
                        continue
                    tried.add((again.like, then, "end"))
                    try:
                        as_declared(bench, bench.on(again, then), undisturbed)
                    except AssertionError as fault:
                        raise AssertionError(f"start ✗{first}, {verb} ✗{second}, {then}: {fault}") from fault


@settings(ONE_BY_ONE, max_examples=20)
@given(benches(), st.data())
def test_any_chain_really_dies(bench: Bench, data: st.DataObject) -> None:
    """A crash raised for real leaves exactly what a process that is only watched has at that point."""
    watched = bench.play(bench.start, "start", watched=True)
    point = data.draw(st.integers(0, len(watched.moments) - 1))
    assert bench.begin(point).left == watched.moments[point]
