"""Why a plan is not done: each difference is named with what was planned and what is now, and nothing else is one."""

from copy import deepcopy
from typing import Any

import pytest

from drfsm.runs.plan_differences import COMES_AND_GOES, differing_terms, differing_world

PLAN: dict[str, Any] = {
    "procedure": "failback", "version": "0.6.0", "machine_sha256": "a" * 64,
    "inputs": {"bucket": "b", "soak": "now"}, "withheld": {"validation_env": "1" * 64},
    "facts": {
        "owner": {"value": "dr", "about": {}},
        "clusters": {"value": "distinct", "about": {"primary": "uid-1", "dr": "uid-2"}},
        "primary_health": {"value": {"unknown": "a reason"}, "about": {}},
        "dr_inflight": {"value": "no", "about": {}},
    },
    "rows": [
        {"row": "a --x--> b", "trigger": "x", "because": "it is dangerous", "point_of_no_return": True,
         "frozen_then": ["nobody"], "way_back": {"how": "none", "words": "only forward"},
         "guards": [
             {"guard": "owned", "fact": "owner", "outcome": "holds", "value": "dr", "needed": ["dr"], "because": "own",
              "what_to_do": {"none": "x"}, "why": {"none": "it was read"}},
             {"guard": "idle", "fact": "dr_inflight", "outcome": "holds", "value": "no", "needed": ["no"],
              "because": "a Job", "what_to_do": {"none": "x"}, "why": {"none": "it was read"}},
         ], "changes": [
            {"fact": "f", "object": "ConfigMap c", "before": "A: 1", "after": "A: 0"},
            {"fact": "f", "object": "ConfigMap c", "before": "B: 1", "after": "B: 0"},
        ]},
    ],
    "point_of_no_return": "x", "frozen_now": ["the primary"], "made_by": "ann",
    "findings": [{"row": "x", "fact": "owner", "would": "warn", "value": "dr", "because": "it is told", "why": "seen"}],
}  # fmt: skip


def with_change(*path: Any, value: Any) -> dict[str, Any]:
    """Return the plan as it would be now, with one value changed."""
    now = deepcopy(PLAN)
    inner: Any = now
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return now


CASES: dict[str, tuple[tuple[Any, ...], Any, list[str]]] = {
    "another machine": (
        ("machine_sha256",),
        "b" * 64,
        ["the machine failback: planned with aaaaaaaaaaaa…, drfsm 0.6.0 has bbbbbbbbbbbb…"],
    ),
    "another input": (("inputs", "soak"), "none", ["input soak: planned now, now none"]),
    "an input less": (("inputs",), {"bucket": "b"}, ["input soak: planned now, now nothing"]),
    "a withheld input that is missing": (
        ("withheld",),
        {},
        ["input validation_env: not the planned value; a plan does not hold it: give --validation-env again"],
    ),
    "another withheld input": (
        ("withheld", "validation_env"),
        "2" * 64,
        ["input validation_env: not the planned value"],
    ),
    "another value": (("facts", "owner", "value"), "primary", ["fact owner: planned dr, now primary"]),
    "another cluster under the same value": (
        ("facts", "clusters", "about", "dr"),
        "uid-3",
        ["fact clusters, dr: planned uid-2, now uid-3"],
    ),
    "a fact that can't be read any more": (
        ("facts", "owner", "value"),
        {"unknown": "silent"},
        ["fact owner: planned dr, now unknown"],
    ),
    "another reason why a fact is unknown": (("facts", "primary_health", "value"), {"unknown": "later"}, []),
    "a fact that is not asked any more": (
        ("facts",),
        {name: PLAN["facts"][name] for name in list(PLAN["facts"])[1:]},
        ["fact owner: planned dr, now not read"],
    ),
    "another point of no return": (
        ("point_of_no_return",),
        {"none": "there is none"},
        ["point_of_no_return: planned x, now there is none"],
    ),
    "what is frozen already": (("frozen_now",), [], ["frozen_now: planned the primary, now nothing"]),
    "a finding less": (("findings",), [], ["finding planned, not now: x: owner is dr: it is told"]),
    "a finding that saw it in other words": (("findings", 0, "why"), "seen later", []),
    "another reason of a row": (
        ("rows", 0, "because"),
        "harmless",
        ["a --x--> b, because: planned it is dangerous, now harmless"],
    ),
    "a row from which there is a way back": (
        ("rows", 0, "way_back"),
        {"how": "abort", "words": "all is undone"},
        ["a --x--> b, way_back: planned only forward, now all is undone"],
    ),
    "a row that is no point of no return": (
        ("rows", 0, "point_of_no_return"),
        False,
        ["a --x--> b, point_of_no_return: planned True, now False"],
    ),
    "a row after which somebody can publish": (
        ("rows", 0, "frozen_then"),
        [],
        ["a --x--> b, frozen_then: planned nobody, now nothing"],
    ),
    "a guard less": (
        ("rows", 0, "guards"),
        PLAN["rows"][0]["guards"][1:],
        ["a --x--> b, guard owned: planned holds (dr), now another one, or none"],
    ),
    "a guard that fails": (
        ("rows", 0, "guards", 0, "outcome"),
        "fails",
        ["a --x--> b, guard owned: planned holds (dr), now fails (dr)"],
    ),
    "a guard that is known meanwhile": (("rows", 0, "guards", 0, "outcome"), "later", []),
    "a guard that waits for a Job that came": (("rows", 0, "guards", 1, "outcome"), "waits", []),
    "who made it": (("made_by",), "boss", []),
    "a Job that came": (("facts", "dr_inflight", "value"), "yes", []),
    "another row": (("rows", 0, "row"), "a --y--> c", ["row 1: planned a --x--> b, now a --y--> c"]),
    "a row more": (
        ("rows",),
        [*PLAN["rows"], {"row": "b --z--> c", "trigger": "z", "changes": []}],
        ["row 2: planned the end, now b --z--> c"],
    ),
    "another value before": (
        ("rows", 0, "changes", 1, "before"),
        "B: 7",
        ["x, ConfigMap c: planned B: 1 -> B: 0, now B: 7 -> B: 0"],
    ),
    "an object less": (
        ("rows", 0, "changes"),
        PLAN["rows"][0]["changes"][:1],
        ["x, ConfigMap c: planned B: 1 -> B: 0, now no change"],
    ),
}


@pytest.mark.parametrize(("path", "value", "expected"), CASES.values(), ids=list(CASES))
def test_a_difference_is_named(path: tuple[Any, ...], value: Any, expected: list[str]) -> None:
    """With what was planned, and what is now; the same plan has none."""
    now = with_change(*path, value=value)
    assert [*differing_terms(PLAN, now), *differing_world(PLAN, now)] == expected
    assert [*differing_terms(PLAN, PLAN), *differing_world(PLAN, PLAN)] == []


def test_what_each_machine_has_of_its_own_is_passed_over() -> None:
    """A kubeconfig lies elsewhere on another machine; any other input is compared all the same."""
    now = with_change("inputs", value={"bucket": "c", "kubeconfig_dr": "/elsewhere"})
    assert list(differing_terms(PLAN, now, {"kubeconfig_dr", "soak"})) == ["input bucket: planned b, now c"]


def test_words_from_a_plan_can_not_control_a_terminal() -> None:
    """They come from a file that anybody may have written."""
    hostile = with_change("inputs", "soak", value="\x1b[2J\nall is well")
    (line,) = differing_terms(hostile, PLAN)
    assert "\x1b" not in line
    assert "\n" not in line


def test_what_comes_and_goes_is_a_fact_of_a_machine() -> None:
    """A name that no machine has would pass over nothing."""
    from drfsm.runs.plan import declaration_of

    assert {fact for name in ("failback", "promote") for fact in declaration_of(name).facts} >= COMES_AND_GOES
