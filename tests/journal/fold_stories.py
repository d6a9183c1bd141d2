"""Stories of records for the fold's transcript: every kind of record, and every case in which it means something else.

A story is a name and its records, each as (kind, what it adds to the usual body of its kind).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from drfsm.journal import Record

Step = tuple[str, Mapping[str, Any]]
SHA = "0" * 64
ANN = {"os_user": {"uid": 1, "name": "ann", "host": "desk"}, "cluster_users": {"dr": "ann"}}


def row(trigger: str, source: str = "a", to: str = "b") -> str:
    """Return a row's key."""
    return f"{source} --{trigger}--> {to}"


def step(trigger: str, source: str = "a", to: str = "b", by: str = "runner", **more: Any) -> dict[str, Any]:
    """Return what an intent and a commit have in common."""
    usual: dict[str, Any] = {"row": row(trigger, source, to), "trigger": trigger, "from": source, "to": to, "by": by}
    return {**usual, "guards": [], "facts": {}, "frozen": [], **more}


def intent(trigger: str, before: Mapping[str, Any], **more: Any) -> Step:
    """Return an intent: ``before`` is what is seen before it, each fact's value the word ``old``."""
    facts = {name: {"value": "old", "seen": seen} for name, seen in before.items()}
    return "intent", {**step(trigger, facts=facts), "attempt": 1, "effect": "idempotent", "before": before, **more}


def commit(trigger: str, **more: Any) -> Step:
    """Return a commit; ``source`` and ``to`` say of which row."""
    source, to = more.pop("source", "a"), more.pop("to", "b")
    usual: dict[str, Any] = {"how": "acted", "result": None, "ways": [], "because": "so"}
    return "commit", {**step(trigger, source, to), **usual, **more}


def failed(trigger: str, verdict: str, **more: Any) -> Step:
    """Return a failed attempt."""
    usual: dict[str, Any] = {"row": row(trigger), "trigger": trigger, "state": "a", "attempt": 1, "error": "no"}
    return "failed", {**usual, "verdict": verdict, **more}


def settled(trigger: str, how: str, *, done: bool = False, **more: Any) -> Step:
    """Return what became of late requests."""
    body = {"row": row(trigger), "trigger": trigger, "how": how, "done": done, "because": f"was {how}", "result": None}
    return "settled", {**body, **more}


def held(**more: Any) -> Step:
    """Return a hold."""
    return "held", {"state": "a", "stage": "go", "reason": "stuck", "frozen": [], "ways": [], **more}


def resolved(trigger: str, outcome: str, **more: Any) -> Step:
    """Return a person's verdict."""
    return "resolved", {"row": row(trigger), "outcome": outcome, "reason": "seen", "operator": "bob", **more}


def lease(epoch: int, **taken_from: Any) -> Step:
    """Return a lease that was taken."""
    return "lease_acquired", {"epoch": epoch, "operator": "ann", "host": "desk", "taken_from": taken_from}


def foreseen(at: str, *, holds: bool) -> dict[str, Any]:
    """Return a guard of a later row."""
    return {
        "guard": "g", "fact": "f", "value": "v", "needed": ["w"], "seen": 1, "because": "it must", "holds": holds,
        "at": at, "foreseen": "warn",
    }  # fmt: skip


RESUMED: Step = ("resumed", {"operator": "bob", "host": "lap", "state": "a", "proven": {"cloud_caller": "arn"}})
STARTED: Step = (
    "run_started",
    {
        "run_id": "r", "machine": "m", "machine_sha256": SHA, "version": "1", "inputs": {"i": "1"}, "operator": "ann",
        "host": "desk", "dry_run": False, "scope": "live", "state": "a",
    },
)  # fmt: skip

STORIES: Mapping[str, tuple[Step, ...]] = {
    "A run starts, is resumed, and ends": (
        ("run_started", {**STARTED[1], "proven": ANN, "receipt": {"k": "v"}, "scope": "drill", "dry_run": True}),
        lease(3),
        ("tail_cut", {"bytes": 3, "sha256": SHA}),
        ("rejected", {"state": "a", "trigger": "x", "why": "no such row", "legal": []}),
        ("repaired", {"row": row("go"), "action": "mend", "result": None}),
        held(findings=["f1"], way="do this", ways=[{"do": "resume", "because": "mended"}], frozen=["DR"]),
        RESUMED,
        ("ended", {
            "state": "b", "status": "dry_run", "reason": "done", "frozen": ["DR", "primary"], "kept": ["k"],
            "ways": [{"do": "none", "because": "it is over"}], "stage": "last", "findings": ["f2"],
        }),
        ("seal", {"records": 8, "head": SHA}),
    ),
    "An identity that is none proves nothing": (
        ("run_started", {**STARTED[1], "proven": {**ANN, "sso": "later versions say this"}}),
    ),
    "A start that another run revoked": (
        ("start_revoked", {
            "run_id": "r", "revoked_by": "s", "operator": "ann", "host": "desk",
            "holder": {"operator": "bob", "host": "h", "bundle": "b", "at": "t"},
        }),
    ),
    "Leases: what another run left open, and which runs had not ended": (
        STARTED,
        lease(1, run_id="q", why="taken_over", left_open=["freeze", "switch"]),
        lease(2, run_id="r", why="taken_over"),
        lease(3, run_id="p", why="ended"),
        ("predecessor_settled", {
            "run_id": "q", "left_open": ["freeze"], "how": "not_excluded", "because": "not touched", "result": None,
        }),
        lease(4, run_id="o", why="taken_over", left_open=["freeze"]),
        ("predecessor_settled", {
            "run_id": "o", "left_open": ["freeze"], "how": "touched", "because": "fine", "result": None,
        }),
        lease(5, run_id="n", why="released", left_open=["freeze"]),
        ("predecessor_settled", {
            "run_id": "n", "left_open": ["freeze"], "how": "waited", "because": "time passed", "result": None,
        }),
        held(lease="released"),
        held(),
        lease(6),
    ),
    "Samples: the last value that is known stays": (
        STARTED,
        ("sampled", {"row": row("w"), "state": "a", "facts": {"f": {"value": "x", "seen": 1}}, "holds": False}),
        ("sampled", {
            "row": row("w"), "state": "a", "holds": True,
            "facts": {"f": {"value": None, "seen": None, "why": "unreachable"}, "g": {"value": "y", "seen": 2}},
        }),
    ),
    "An action is begun and committed": (
        STARTED,
        intent(
            "go", {"f": {"x": 1}}, undo="back", kept="it stays", frozen=["DR"], args={"by": "ann"},
            guards=[{k: v for k, v in foreseen("go", holds=True).items() if k not in ("at", "foreseen")}],
        ),
        commit(
            "go", result={"did": 1, "proven": {"cloud_caller": "arn", "os_user": {"uid": 2, "name": "z", "host": "z"}}},
            frozen=["DR", "primary"], facts={"f": {"value": "new", "seen": {"x": 2}}}, kept="it stays for good",
            args={"by": "bob"}, amends={"i": "2", "j": "3"}, ways=[{"do": "abort", "because": "it is early"}],
            foreseen=[foreseen("later", holds=False), foreseen("last", holds=True)],
        ),
        commit("look", source="b", to="c", how="judged", result={"proven": {"sso": "unknown"}}),
        commit("look", source="c", to="d", how="judged", result="a text"),
        intent("tell", {}, effect="none", **{"row": row("tell", "d", "e"), "from": "d", "to": "e"}),
        commit("tell", source="d", to="e", foreseen=[foreseen("end", holds=False)]),
    ),
    "Nothing is touched by a row without effect; the last write says that it is the last": (
        STARTED,
        intent("look", {"f": 1}, effect="none"),
        commit("look"),
        intent("go", {"f": 1}, final_write=True),
        commit("go"),
        intent("look", {"f": 2}, effect="none"),
    ),
    "What failed as it was before is closed, what is half done stays open": (
        STARTED,
        intent("go", {"f": 1}, kept="of go"),
        commit("go", kept="of go"),
        intent("next", {"g": 1}, kept="of next"),
        failed("next", "mixed", facts={"g": {"value": "mixed", "seen": 2}}, frozen=["g"], answered=True),
        failed("next", "unknown", findings_are_no_key=1),
        failed("next", "not_done"),
        held(findings=["one", "two"]),
        failed("next", "not_done", frozen=[]),
        commit("other", kept="of other"),
    ),
    "What may be done once stays open until a person decides": (
        STARTED,
        resolved("go", "done", proven=ANN),
        intent("go", {"f": 1}, effect="once"),
        failed("go", "not_done"),
        resolved("go", "done"),
        commit("go", by="operator", how="resolved", args={"operator": "bob"}),
        intent("go", {"f": 1}, effect="once"),
        resolved("go", "not_done"),
    ),
    "A redo keeps the snapshots and the values of the first attempt": (
        STARTED,
        intent("go", {"f": {"x": 1}}, undo="back"),
        held(findings=["was stuck"]),
        RESUMED,
        intent("go", {"f": {"x": 2, "y": 3}}, undo="back", attempt=2, facts={"f": {"value": "new", "seen": 2}}),
        failed("go", "not_done", answered=True),
        intent("go", {"f": {"x": 4, "z": 5}}, undo="back", attempt=3),
        commit("go", result=None),
        intent("same", {"f": {"x": 6, "w": 7}}, undo="back"),
        commit("same"),
        intent("less", {"g": 1}, undo="back"),
        intent("else", {"f": {"x": 8}}, undo="other"),
    ),
    "An operator's row in front of an open intent": (
        STARTED,
        intent("go", {"f": 1}, kept="k"),
        intent("mend", {"g": 1}, by="operator", to="a", row=row("mend", "a", "a")),
        intent("mend", {"g": 2}, by="operator", to="a", row=row("mend", "a", "a"), attempt=2),
        ("failed", {**failed("mend", "not_done")[1], "row": row("mend", "a", "a"), "answered": True}),
        commit("skip", to="a", by="operator", args={"operator": "bob", "host": "lap", "proven": ANN, "reason": "r"}),
        intent("mend", {"g": 2}, by="operator", to="a", row=row("mend", "a", "a")),
        commit("mend", to="a", by="operator", args={"operator": "bob"}),
        commit("abort", to="z", by="operator", args={
            "operator": "bob", "reason": "it is late", "stage": "go", "findings": ["one", "two"],
        }),
    ),
    "A failure takes its way, and its times are counted until a person asks": (
        STARTED,
        commit("give_up", to="back", by="failure", args={"reason": "no machine", "stage": "boot", "findings": "none"}),
        commit("give_up", to="back", by="failure", args={"reason": "again"}),
        commit("stay", to="a", by="failure"),
        RESUMED,
        commit("go", because="SKIPPED: nobody looked"),
        commit("go", because="SKIPPED: nobody looked"),
        commit("go", because="NOT fenced AT ALL: it may write"),
        commit("go", because="COULD WRITE: it may write"),
        commit("go", because="a LOUD: word inside is not loud"),
    ),
    "An abort undoes, newest first; a person may waive an undo": (
        STARTED,
        intent("one", {"f": 1}, undo="un_one", to="a", row=row("one", "a", "a")),
        commit("one", to="a"),
        intent("two", {"g": 1}, undo="un_two", to="a", row=row("two", "a", "a")),
        commit("two", to="a"),
        intent("three", {"h": 1}, undo="un_three", to="a", row=row("three", "a", "a")),
        commit("three", to="a"),
        intent("undo", {"h": 2}, undoes=row("three", "a", "a"), row=row("undo", "a", "a"), to="a"),
        commit("undo", undoes=row("three", "a", "a"), to="a"),
        commit("waive", undoes=row("two", "a", "a"), to="a", by="operator", args={"operator": "bob", "reason": "gone"}),
        commit("waive", undoes=row("nobody", "a", "a"), to="a", by="operator", args={"operator": "bob"}),
        intent("undo", {"f": 2}, undoes=row("one", "a", "a"), row=row("undo", "a", "a"), to="a", effect="once"),
        commit("undo", undoes=row("one", "a", "a"), to="a", by="operator", how="resolved", args={"operator": "bob"}),
        intent("four", {"k": 1}, undo="un_four", to="a", row=row("four", "a", "a")),
        commit("four", to="a"),
        commit("waive", undoes=row("four", "a", "a"), to="a", by="operator", because="nobody gave a reason"),
    ),
    "Late requests: touched, gone, read again, not excluded": (
        STARTED,
        intent("one", {"f": 1}, kept="of one"),
        held(),
        RESUMED,
        intent("one", {"f": 1}, kept="of one", attempt=2),
        failed("one", "not_done", answered=True),
        intent("two", {"g": 1}, kept="of two"),
        settled("one", "touched", facts={"f": {"value": "old", "seen": 9}}),
        settled("two", "not_excluded", done=True),
        settled("two", "gone"),
        intent("three", {"h": 1}),
        settled("three", "read_again"),
        intent("four", {"h": 1}),
        settled("four", "gone"),
    ),
    "What landed late is to be undone again": (
        STARTED,
        intent("one", {"f": 1}, undo="back"),
        held(),
        RESUMED,
        intent("one", {"f": 1}, undo="back", attempt=2),
        commit("one", to="a"),
        intent("else", {"g": 1}, undo="back"),
        commit("else", to="a"),
        intent("undo", {"g": 2}, undoes=row("else"), row=row("undo")),
        commit("undo", undoes=row("else"), row=row("undo"), to="a"),
        intent("undo", {"f": 2}, undoes=row("one"), row=row("undo")),
        held(),
        RESUMED,
        intent("undo", {"f": 2}, undoes=row("one"), row=row("undo"), attempt=2),
        commit("undo", undoes=row("one"), row=row("undo"), to="a"),
        settled("one", "landed_late", facts={"f": {"value": "new", "seen": 3}}),
        intent("undo", {"f": 3}, undoes=row("one"), row=row("undo")),
        commit("undo", undoes=row("one"), row=row("undo"), to="a"),
        ("settled", {**settled("undo", "landed_late")[1], "undoes": row("one")}),
        settled("nobody", "landed_late"),
    ),
    "A dry run forecasts": (
        STARTED,
        ("forecast", {
            "row": row("go"), "trigger": "go", "from": "a", "to": "b", "guards": [], "sets": {"f": "x"},
            "action": "act", "foreseen": [foreseen("later", holds=False), foreseen("last", holds=True)],
        }),
        ("forecast", {
            "row": row("next", "b", "c"), "trigger": "next", "from": "b", "to": "c", "guards": [], "sets": {},
            "action": None, "waits": True, "foreseen": [foreseen("end", holds=False)],
        }),
    ),
}  # fmt: skip


def records_of(story: str) -> Iterator[Record]:
    """Yield the records of a story, a second apart."""
    for seq, (kind, body) in enumerate(STORIES[story]):
        yield Record(seq, kind, f"2026-02-27T00:00:{seq:02d}.000000Z", dict(body))
