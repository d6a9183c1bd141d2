"""The fold: what a record means, whatever follows it, and the same for every reader."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfsm.journal import Record, fold, lines
from drfsm.journal.replay import RunState, keep_first, replay

AT = "2026-02-27T00:00:00.000000Z"


class Story:
    """Records, one after the other, and the state that they fold to."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, kind: str, /, **body: Any) -> RunState:
        """Add a record; return the state after it."""
        self.records.append(Record(len(self.records), kind, f"2026-02-27T00:00:{len(self.records):02d}.000000Z", body))
        return fold(self.records)

    def begin(self) -> RunState:
        """Start a run."""
        return self.add(
            "run_started", run_id="r", machine="m", machine_sha256="0", version="1", inputs={"a": "b"}, operator="op",
            host="h", dry_run=False, scope="live", state="start",
        )  # fmt: skip

    def intent(self, trigger: str, before: dict[str, Any], *, effect: str = "idempotent", **more: Any) -> RunState:
        """Begin an action from ``start``."""
        facts = {name: {"value": "old", "seen": seen} for name, seen in before.items()}
        body = {
            "row": f"start --{trigger}--> there", "trigger": trigger, "from": "start", "to": "there", "by": "runner",
            "attempt": 1, "effect": effect, "guards": [], "facts": facts, "before": before, "frozen": [],
        }  # fmt: skip
        return self.add("intent", **{**body, **more})

    def commit(self, trigger: str, **more: Any) -> RunState:
        """End an action."""
        body: dict[str, Any] = {
            "row": f"start --{trigger}--> there", "trigger": trigger, "from": "start", "to": "there", "by": "runner",
            "how": "acted", "guards": [], "facts": {}, "result": None, "frozen": [], "ways": [], "because": "so",
        }  # fmt: skip
        return self.add("commit", **{**body, **more})

    def failed(self, trigger: str, verdict: str, **more: Any) -> RunState:
        """Let an attempt fail."""
        return self.add(
            "failed", row=f"start --{trigger}--> there", trigger=trigger, state="start", attempt=1, error="no",
            verdict=verdict, **more,
        )  # fmt: skip


@pytest.fixture
def story() -> Story:
    """Return a run that has begun."""
    told = Story()
    told.begin()
    return told


def test_nothing_folds_to_nothing() -> None:
    """No records: no run, no status."""
    assert fold([]) == RunState()
    assert replay(b"") == RunState()


def test_a_commit_moves_and_closes(story: Story) -> None:
    """An intent opens, its commit closes and moves the state; the result is kept by trigger."""
    assert story.intent("go", {"light": "off"}).open is not None
    state = story.commit("go", result={"did": 1})
    assert (state.state, state.open, state.results) == ("there", None, {"go": {"did": 1}})


@pytest.mark.parametrize(
    ("effect", "verdict", "stays_open"),
    [
        ("idempotent", "not_done", False),
        ("idempotent", "mixed", True),
        ("idempotent", "unknown", True),
        ("once", "not_done", True),
        ("once", "mixed", True),
        ("none", "not_done", False),
    ],
)
def test_only_what_is_seen_not_to_be_done_is_closed_by_a_failure(
    story: Story, effect: str, verdict: str, stays_open: bool
) -> None:
    """A failed attempt closes its intent only if nothing was changed and it may be repeated."""
    story.intent("go", {"light": "off"}, effect=effect)
    state = story.failed("go", verdict)
    assert (state.open is not None) == stays_open
    assert (state.stage, state.reason, state.attempts) == ("go", "no", {"start --go--> there": 1})


def test_a_failure_tells_what_is_there_now(story: Story) -> None:
    """Facts and frozen words of a failed attempt are the newest that are known."""
    story.intent("go", {"light": "off"})
    state = story.failed("go", "mixed", facts={"light": {"value": "mixed", "seen": 1}}, frozen=["the light"])
    assert (state.value("light"), state.frozen) == ("mixed", ("the light",))
    assert state.open is not None
    assert state.open.values == {"light": "old"}


def test_a_redo_keeps_the_first_image_and_the_first_values(story: Story) -> None:
    """The second intent of a row sees its own work; what was there at first stays what an undo gives back."""
    story.intent("go", {"lamps": {"hall": "off", "stairs": "off"}}, undo="back")
    facts = {"lamps": {"value": "mixed", "seen": {"hall": "on", "stairs": "off", "attic": "off"}}}
    state = story.intent("go", {"lamps": {"hall": "on", "stairs": "off", "attic": "off"}}, undo="back", facts=facts)
    first = {"hall": "off", "stairs": "off", "attic": "off"}
    assert state.undo[0].before == {"lamps": first}
    assert len(state.undo) == 1
    assert state.snapshots["start --go--> there"] == {"lamps": first}
    assert state.open is not None
    assert state.open.values == {"lamps": "old"}


def test_an_undo_takes_its_entry_and_leaves_the_others(story: Story) -> None:
    """Two things done, the newest undone: the older one is left on the stack."""
    for trigger in ("one", "two"):
        story.intent(trigger, {trigger: "x"}, undo=f"un_{trigger}")
        story.commit(trigger, to="start")
    state = story.commit("undo_newest", undoes="start --two--> there")
    assert [entry.trigger for entry in state.undo] == ["one"]
    assert state.kept == ()


def test_an_undo_that_a_person_waived_is_remembered_as_not_given_back(story: Story) -> None:
    """By the operator, with a reason: what was not given back is told at the end."""
    story.intent("one", {"one": "x"}, undo="un_one")
    story.commit("one")
    state = story.commit("waive", undoes="start --one--> there", by="operator", args={"reason": "it is gone"})
    assert (state.undo, state.kept) == ((), ("one was not given back: it is gone",))


def test_what_keeps_its_change_is_kept_from_the_intent_on_and_not_if_nothing_was_done(story: Story) -> None:
    """The reason stands from the intent; a failure that changed nothing takes it back; it is told once."""
    assert story.intent("go", {"a": "x"}, kept="it stays").kept == ("it stays",)
    assert story.failed("go", "not_done").kept == ()
    story.intent("go", {"a": "x"}, kept="it stays")
    assert story.commit("go", kept="it stays").kept == ("it stays",)


def test_a_verdict_waits_for_its_commit(story: Story) -> None:
    """A person says done: the intent stays open until it is committed; not done closes it."""
    story.intent("go", {"a": "x"}, effect="once")
    row = "start --go--> there"
    state = story.add("resolved", row=row, outcome="done", reason="seen", operator="op")
    assert state.open is not None
    assert state.open.verdict == "done"
    assert story.commit("go", how="resolved").open is None
    story.intent("go", {"a": "x"}, effect="once")
    assert story.add("resolved", row=row, outcome="not_done", reason="seen", operator="op").open is None


def test_a_row_in_front_of_another_gives_it_back_where_the_run_stays(story: Story) -> None:
    """An operator's action in front of a half done one: failed or staying, the first is open again; moving on, not."""
    story.intent("go", {"a": "x"})
    state = story.intent("mend", {"b": "y"}, by="operator")
    assert state.open is not None
    assert state.open.superseded is not None
    assert (state.open.trigger, state.open.superseded.trigger) == ("mend", "go")
    state = story.failed("mend", "not_done")
    assert state.open is not None
    assert state.open.trigger == "go"
    story.intent("mend", {"b": "y"}, by="operator")
    state = story.commit("mend", to="start")
    assert state.open is not None
    assert state.open.trigger == "go"
    story.intent("mend", {"b": "y"}, by="operator")
    assert story.commit("mend").open is None


def test_frozen_words_keep_the_time_when_they_were_first_said(story: Story) -> None:
    """Said again, a frozen word keeps its time; unsaid and said again, it begins anew."""
    first = story.intent("go", {"a": "x"}, frozen=["DR"]).frozen_since
    assert story.commit("go", frozen=["DR", "primary"]).frozen_since["DR"] == first["DR"]
    assert story.add("held", state="there", stage="go", reason="no", frozen=[], ways=[]).frozen == ()


def test_a_resume_counts_attempts_from_the_beginning(story: Story) -> None:
    """After a person said go on, no failed attempt is counted any more, and the reason of the hold is gone."""
    story.intent("go", {"a": "x"})
    story.failed("go", "not_done")
    story.add("held", state="start", stage="go", reason="no", frozen=[], ways=[])
    state = story.add("resumed", operator="other", host="h", state="start")
    assert (state.attempts, state.status, state.reason, state.operator) == ({}, "running", "", "other")


def test_bytes_and_records_replay_to_the_same(story: Story) -> None:
    """Replay of records, of their bytes, and of bytes with a torn tail: one and the same state."""
    story.intent("go", {"a": "x"})
    raw = b"".join(lines(story.records))
    assert replay(story.records) == replay(raw) == replay(raw + b'{"prev":"to')


TREES = st.recursive(st.sampled_from(["a", "b", None, 1]), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner))


@given(TREES, TREES)
def test_the_first_image_is_never_lost(first: Any, later: Any) -> None:
    """Whatever comes later, everything of the first image is in the merged one; merging again changes nothing."""
    merged = keep_first(first, later)
    assert keep_first(first, merged) == merged
    assert keep_first(merged, later) == merged
    if isinstance(first, dict) and isinstance(later, dict):
        assert set(merged) == set(first) | set(later)
        assert all(merged[key] == value for key, value in first.items() if not isinstance(value, dict))
