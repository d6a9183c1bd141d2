"""How long a plan takes, and how long nobody can publish: from what earlier runs took, and never from a guess."""

from typing import Any

from drfsm.evidence.plan_lines import lines_of
from drfsm.runs.plan import durations

NOBODY = ["DR's publishing is off", "nobody can publish"]


def row(trigger: str, seconds: float | None, frozen: list[str] | None = None, by: str = "runner") -> dict[str, Any]:
    """Return a row with the time that it typically takes, None for none, and what is frozen once it is taken."""
    known = {"none": "no earlier run"} if seconds is None else {"typical": seconds, "runs": 1}
    return {"trigger": trigger, "by": by, "seconds": known, "frozen_then": frozen or []}


def test_the_time_in_which_nobody_can_publish_is_between_the_two_rows() -> None:
    """From when the one is taken until the other is: the row that freezes is not part of it, the one that thaws is."""
    rows = [row("ask", 1), row("silence", 2, NOBODY), row("move", 30, NOBODY), row("enable", 4), row("end", 50)]
    assert durations(rows, [], ["run-1"]) == {
        "whole": {"seconds": 87, "not_counted": [], "decisions": []},
        "nobody_can_publish": [
            {"from": "silence", "until": "enable", "seconds": 34, "not_counted": [], "decisions": []}
        ],
        "earlier_runs": ["run-1"],
    }


def test_a_row_that_no_earlier_run_took_is_named_and_not_guessed() -> None:
    """So is a person's decision, of which no run says how long the next one takes."""
    rows = [
        row("ask", 1),
        row("silence", None, NOBODY),
        row("approve", None, NOBODY, by="operator"),
        row("enable", None),
    ]
    told = durations(rows, [], ["run-1"])
    assert told["whole"] == {"seconds": 1, "not_counted": ["silence", "enable"], "decisions": ["approve"]}
    (window,) = told["nobody_can_publish"]
    assert window["seconds"] == {"unknown": "no earlier run"}
    assert (window["not_counted"], window["decisions"]) == (["enable"], ["approve"])


def test_nobody_may_publish_already_and_at_the_end() -> None:
    """Then it counts from now, or until a person ends it; a plan without such a time has none."""
    rows = [row("look", 1, NOBODY), row("thaw", 2), row("freeze", 3, NOBODY), row("end", 4, NOBODY)]
    first, last = durations(rows, NOBODY, [])["nobody_can_publish"]
    assert (first["from"], first["until"], first["seconds"]) == ("now", "thaw", 3)
    assert (last["from"], last["until"], last["seconds"]) == ("freeze", {"none": "the run ends so"}, 4)
    assert durations([row("look", 1)], [], [])["nobody_can_publish"] == []


def test_the_words_say_at_least_where_something_is_not_counted() -> None:
    """And how many runs the times are of; without any, that it is unknown."""

    def told(rows: list[dict[str, Any]], runs: list[str]) -> str:
        plan = {
            "procedure": "failback", "inputs": {"bucket": "b", "prefix": "p"}, "made_at": "2026-11-29T10:00:00Z",
            "made_by": "ann", "version": "1", "machine_sha256": "a" * 64, "run_id": "r", "frozen_now": [], "rows": [],
            "point_of_no_return": {"none": "none"}, "missed_runs": {"none": "none"}, "unread": [], "findings": [],
            "lease": {"none": "free"}, "outcome": "would_start", "durations": durations(rows, [], runs),
        }  # fmt: skip
        return next(line for _, line in lines_of(plan) if line.startswith("How long"))

    assert told([row("ask", 90)], ["a", "b"]) == "How long: about 1 min 30 s. By 2 earlier runs on this computer."
    words = told([row("ask", 1), row("approve", None, by="operator"), row("end", None)], ["a"])
    assert words.startswith("How long: at least 1.0 s; and until a person decides approve; no earlier run says")
    assert words.endswith("how long these take: end. By 1 earlier run on this computer.")
    assert told([row("ask", None)], []) == "How long: unknown: no earlier run."
