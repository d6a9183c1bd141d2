"""The dashboard says what the bucket and the records say now; what can't be read is named, and never guessed."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from drfsm.journal import read
from drfsm.journal.mirror import home_of, key_of
from tests.bench.faulty import Fault, Front
from tests.dashboard.conftest import PREFIX, Desk

pytestmark = pytest.mark.sandbox


def unread(document: Any) -> list[str]:
    """Return what a document says could not be read."""
    return [entry["what"] for entry in document["unread"]]


def test_an_empty_bucket_is_batch_mode_without_a_run(desk: Desk) -> None:
    """Nothing is unread, nothing is guessed: each field says why it has no value."""
    document = desk.look()
    assert document["unread"] == document["open_runs"] == document["history"] == []
    assert [document[name]["site"].keys() for name in ("pointers", "endpoints", "schedules")] == [
        {"none"}, {"none"}, {"unknown"},
    ]  # fmt: skip
    assert (document["publish"]["possible"], document["write"]["possible"]) == ("unknown", "none")
    assert document["last_drill"] == {"none": "no drill that has ended is known"}


def test_owner_document_and_pointers_are_shown_with_the_run_that_wrote_each(desk: Desk) -> None:
    """A run that moved the pointers says when; of one that nobody knows, the record's own time stands in."""
    desk.put("ownership.json", {"site": "dr", "cluster_uid": None, "epoch": 2, "run": "promote-9", "nonce": "0" * 32})
    desk.activate("dr", "open")
    desk.put("lease.json", {
        "schema_version": 1, "epoch": 4, "held": False, "run_id": "promote-9", "operator": "ada", "host": "desk",
        "bundle": "", "at": "2026-11-29T10:00:00Z", "nonce": "0" * 32,
    })  # fmt: skip
    document = desk.look()
    assert (document["unread"], document["pointers"]["site"], document["pointers"]["moved_by"]) == (
        [],
        "dr",
        "promote-9",
    )
    assert "last written" in document["pointers"]["since_is"]
    assert document["endpoints"] | {"names": None} == {
        "site": "dr", "writes": "open", "since": "2026-11-29T10:00:00Z", "epoch": 7, "declared_by": "failback-1",
        "names": None,
    }  # fmt: skip
    assert document["write"] == {
        "possible": "yes", "because": "DR takes writes, by the active-site document",
        "nobody_since": {"none": "somebody can"},
    }  # fmt: skip
    assert (document["lease"]["held"], document["lease"]["run_id"]) == (False, "promote-9")


def test_a_closed_gate_says_since_when_nobody_can_write(desk: Desk) -> None:
    """The time is that of the document's last change."""
    desk.activate("primary", "closed")
    answer = desk.look()["write"]
    assert (answer["possible"], answer["nobody_since"]) == ("no", "2026-11-29T10:00:00Z")


GARBAGE = {
    "ownership.json": "the owner of the pointers",
    "active.json": "the active-site document",
    "lease.json": "the lease",
}
"""One of drfsm's own objects -> what is named as unread."""


@pytest.mark.parametrize("garbage", ["\x00", '{"site": "<script>"}'])
def test_garbage_is_named_and_keeps_nothing_else_from_being_shown(desk: Desk, garbage: str) -> None:
    """Each by itself is unread, alone; servers that can't read the active-site document refuse, and so it is said."""
    desk.activate("dr", "open")
    for name, what in GARBAGE.items():
        desk.put(name, garbage)
        document = desk.look()
        assert unread(document) == [what]
        assert document["write"]["possible"] == ("no" if name == "active.json" else "yes")
        desk.hands.delete(f"{PREFIX}/drfsm/{name}")
        desk.activate("dr", "open")


def test_a_garbage_pointer_is_named(desk: Desk) -> None:
    """The run is not known, and nobody takes another pointer's word for it."""
    key = f"{PREFIX}/state/last_success.json"
    desk.hands.put(key, b"{")
    document = desk.look()
    assert unread(document) == [f"the pointer {key}"]
    assert "unknown" in document["pointers"]["run_id"]


def test_runs_of_mirrors_and_of_this_computer_are_one_list(desk: Desk) -> None:
    """Open runs with what they wait for and what to type, ended ones as history, the drill with its recovery time."""
    failback, lines = desk.recorded("failback")
    desk.mirror(failback, lines)
    promote, own = desk.recorded("promote", ended="aborted")
    desk.bundle(promote, own)
    drill, drilled = desk.recorded("drill", ended="complete")
    desk.mirror(drill, drilled)
    desk.bundle(drill, drilled)
    document = desk.look()
    assert document["unread"] == []
    (open_run,) = document["open_runs"]
    assert (open_run["run_id"], open_run["status"], open_run["known_from"]) == (failback, "held", "mirror")
    assert open_run["next"][0]["type"].startswith(f"drfsm resume {failback}")
    assert any(frozen["what"].startswith("nobody can publish") for frozen in open_run["frozen"])
    assert [(run["run_id"], run["status"], run["known_from"]) for run in document["history"]] == [
        (drill, "complete", "both"), (promote, "aborted", "bundle"),
    ]  # fmt: skip
    assert document["last_drill"]["run_id"] == drill
    assert document["last_drill"]["recovery_seconds"] > 0
    answer = document["publish"]
    assert (answer["possible"], answer["nobody_since"]) == ("no", "2026-11-29T09:52:29Z")
    assert failback in answer["because"]


def test_what_the_clusters_are_told_is_what_the_newest_live_run_read(desk: Desk) -> None:
    """With the time and the run; a drill's site is another one, and says nothing."""
    failback, lines = desk.recorded("failback")
    desk.mirror(failback, lines)
    drill, drilled = desk.recorded("drill")
    desk.mirror(drill, drilled)
    schedules = desk.look()["schedules"]
    sites = schedules["sites"]
    assert {site: sites[site]["schedules"]["value"] for site in sites} == {"primary": "off", "dr": "off"}
    assert {sites[site]["schedules"]["read"]["by"] for site in sites} == {failback}
    assert schedules["site"] == {"none": "the schedules of both sites are off"}


def test_each_look_reads_anew_what_has_changed(desk: Desk) -> None:
    """A mirror that grew is read again; one that is the same is not, and one that was rewritten is."""
    failback, lines = desk.recorded("failback")
    desk.mirror(failback, lines[:20])
    before = desk.look()["open_runs"][0]
    desk.mirror(failback, lines)
    after = desk.look()["open_runs"][0]
    assert before["last_record_at"] < after["last_record_at"]
    desk.hands.flip(key_of(home_of(PREFIX, failback), 5))
    document = desk.look()
    assert unread(document) == [f"the mirror of {failback}"]
    assert document["open_runs"] == []


def damaged(lines: tuple[bytes, ...]) -> dict[str, Callable[[Desk, str], None]]:
    """Return ways in which a mirror is no whole history."""
    home = PREFIX
    return {
        "a record is missing": lambda desk, run: desk.hands.delete(key_of(home_of(home, run), 7)),
        "a record is cut off": lambda desk, run: desk.hands.put(key_of(home_of(home, run), 9), lines[9][:40]),
        "a record is of another run": lambda desk, run: desk.hands.put(key_of(home_of(home, run), 9), lines[8]),
        "records are binary": lambda desk, run: desk.hands.put(key_of(home_of(home, run), 0), b"\xff\n"),
    }


@pytest.mark.parametrize("case", list(damaged((b"",) * 10)))
def test_a_mirror_that_is_no_history_is_named_and_its_run_is_shown_as_damaged(desk: Desk, case: str) -> None:
    """Never as what it may have been before; the other runs are shown."""
    failback, lines = desk.recorded("failback")
    desk.mirror(failback, lines)
    damaged(lines)[case](desk, failback)
    promote, own = desk.recorded("promote")
    desk.mirror(promote, own)
    document = desk.look()
    assert unread(document) == [f"the mirror of {failback}"]
    assert [run["run_id"] for run in document["open_runs"]] == [promote]
    assert [(run["run_id"], run["status"]) for run in document["history"]] == [(failback, "damaged")]


def test_a_mirror_that_ends_in_the_middle_is_a_run_whose_host_alone_can_tell(desk: Desk) -> None:
    """Records up to some intent: it may be at work, or dead."""
    failback, lines = desk.recorded("failback")
    cut = next(number for number, record in enumerate(read(lines).records) if record.kind == "intent")
    desk.mirror(failback, lines[: cut + 1])
    (run,) = desk.look()["open_runs"]
    assert run["status"] == "running"
    assert run["waits_for"].endswith(f"or was interrupted: only {run['host']} can tell")


def test_a_bundle_that_nobody_works_on_is_interrupted(desk: Desk) -> None:
    """Its lock is free, so its process is dead."""
    failback, lines = desk.recorded("failback")
    cut = next(number for number, record in enumerate(read(lines).records) if record.kind == "intent")
    desk.bundle(failback, lines[: cut + 1])
    (run,) = desk.look()["open_runs"]
    assert (run["status"], run["known_from"]) == ("interrupted", "bundle")
    assert run["waits_for"].startswith("somebody who resumes it")


def test_two_histories_of_one_run_are_no_history(desk: Desk) -> None:
    """The longer of bundle and mirror counts only where the other is its beginning."""
    failback, lines = desk.recorded("failback")
    desk.bundle(failback, lines[:20])
    desk.mirror(failback, lines)
    (run,) = desk.look()["open_runs"]
    assert (run["known_from"], run["status"]) == ("both", "held")
    _, others = desk.recorded("failback", operator="somebody else")
    desk.mirror(failback, others)
    document = desk.look()
    assert unread(document) == [f"the run {failback}"]
    assert document["history"][0]["status"] == "damaged"
    assert "two histories: record 0 differs" in document["unread"][0]["why"]


def test_runs_of_other_places_are_not_shown(desk: Desk) -> None:
    """A bundle of another bucket, and a mirror that says it is of another."""
    foreign, lines = evolve(desk, bucket=f"{desk.bucket}-x").recorded("promote")
    desk.bundle(foreign, lines)
    desk.mirror(foreign, lines)
    document = desk.look()
    assert document["open_runs"] == []
    assert "not of" in document["unread"][0]["why"]


def test_a_bucket_that_does_not_answer_is_said_once_and_nothing_older_is_shown(desk: Desk, cloud: Any) -> None:
    """Everything of it is unknown; this computer's own runs are shown all the same. It is asked once."""
    desk.activate("dr", "open")
    failback, lines = desk.recorded("failback")
    desk.bundle(failback, lines)
    with Front(cloud.endpoint) as front:
        assert desk.look(endpoint_url=front.endpoint)["endpoints"]["site"] == "dr"
        denied = Fault("status", status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
        front.rule = lambda _method, _path: denied
        front.seen.clear()
        document = desk.look(endpoint_url=front.endpoint)
        asked = len(front.seen)
    assert unread(document) == [f"the bucket {desk.bucket}"]
    for what in ("pointers", "endpoints"):
        assert document[what]["site"].keys() == {"unknown"}
    assert document["write"]["possible"] == "unknown"
    assert [run["run_id"] for run in document["open_runs"]] == [failback]
    assert asked == 1
