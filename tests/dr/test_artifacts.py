"""A run is whole or it is not, and what is published can be taken away again without a trace."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr.artifacts.publish import ACTIONS, FACTS, Verification, verify, verify_latest, verify_local
from drfsm.dr.artifacts.verification import tree_digest
from drfsm.dr.workload import legacy
from drfsm.errors import ActionFailed, Conflict, Interrupted, Unreachable, UsageFault
from tests.bench.faulty import Fault, Front

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

RUN = "2026-02-27T00:22:29.934039+00:00"
HOME = f"jobintel/runs/{RUN}"
RANKED_JSON = "openai/cs/openai_ranked_jobs.cs.json"
RANKED_CSV = "openai/cs/openai_ranked_jobs.cs.csv"
FAMILIES = "openai/cs/openai_ranked_families.cs.json"
SUMMARY = "openai/cs/run_summary.v1.json"
SHA256 = hashlib.sha256(b"x").hexdigest()


def told(verification: Verification) -> list[tuple[str, str]]:
    """Return what is wrong: (path, kind)."""
    return [(each.path, each.kind) for each in verification.problems]


def report(entries: dict[str, Any], run_id: str = RUN) -> bytes:
    """Return a report that names these artifacts."""
    return json.dumps({"run_id": run_id, "verifiable_artifacts": entries}).encode()


def named(path: str, body: bytes = b"x") -> dict[str, Any]:
    """Return a report's entry."""
    return {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


# --- verify -------------------------------------------------------------------------------------------------


def test_a_whole_run_is_verified_against_its_own_report(bench: "Bench") -> None:
    """Every artifact that the report names is there with its size and hash; the digest covers them all."""
    local = bench.work(RUN)
    found = verify(bench.store, bench.layout, RUN)
    bodies = {path: bench.body(f"{HOME}/{path}") for path in found.read}
    assert len(bodies) == 6
    record = found.record
    assert record == {
        "verdict": "verified",
        "level": "declared",
        "run_id": RUN,
        "where": f"s3://{bench.bucket}/{HOME}",
        "expected": 6,
        "checked": 6,
        "bytes": sum(map(len, bodies.values())),
        "tree_sha256": tree_digest({p: (hashlib.sha256(b).hexdigest(), len(b)) for p, b in bodies.items()}),
        "problems": {"total": 0, "first": []},
        "extra": {"total": 0, "first": []},
        "report": {
            "source": "store",
            "sha256": hashlib.sha256((local / "run_report.json").read_bytes()).hexdigest(),
        },
    }
    assert json.loads(json.dumps(record)) == record


def test_a_run_without_a_report_is_observed_and_said_so(bench: "Bench") -> None:
    """Without a report everything that lies there is read and hashed, and the level says so."""
    bench.work(RUN, JOBINTEL_PUBLISH_RUN_REPORT="0")
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, found.level, found.expected, found.checked) == ("verified", "observed", 6, 6)
    assert found.report is None
    bench.flip(f"{HOME}/{SUMMARY}")
    again = verify(bench.store, bench.layout, RUN)
    assert again.verdict == "verified"
    assert again.tree_sha256 != found.tree_sha256


def test_a_report_that_is_handed_in_declares_what_s3_does_not(bench: "Bench") -> None:
    """With --run-report the level is declared again, and a flipped byte is found."""
    local = bench.work(RUN, JOBINTEL_PUBLISH_RUN_REPORT="0")
    given = (local / "run_report.json").read_bytes()
    found = verify(bench.store, bench.layout, RUN, report=given)
    assert (found.verdict, found.level) == ("verified", "declared")
    assert found.record["report"] == {"source": "given", "sha256": hashlib.sha256(given).hexdigest()}
    bench.flip(f"{HOME}/{SUMMARY}")
    assert told(verify(bench.store, bench.layout, RUN, report=given)) == [(SUMMARY, "content")]


def test_a_flipped_byte_of_the_same_size_is_damage(bench: "Bench") -> None:
    """One bit in one object: damaged, with the path and both hashes told."""
    bench.work(RUN)
    bench.flip(f"{HOME}/{RANKED_JSON}")
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, told(found)) == ("damaged", [(RANKED_JSON, "content")])
    assert hashlib.sha256(bench.body(f"{HOME}/{RANKED_JSON}")).hexdigest() in found.problems[0].told
    assert found.checked == found.expected == 6


def test_another_size_is_damage_and_absence_is_missing(bench: "Bench") -> None:
    """A longer object is damaged, a vanished one missing; of both, damage is what the verdict tells."""
    bench.work(RUN)
    bench.delete(f"{HOME}/{FAMILIES}")
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, told(found)) == ("missing", [(FAMILIES, "missing")])
    bench.put(f"{HOME}/{SUMMARY}", bench.body(f"{HOME}/{SUMMARY}") + b"\n")
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, sorted(told(found))) == ("damaged", [(FAMILIES, "missing"), (SUMMARY, "size")])


def test_a_run_that_is_not_there_is_missing(bench: "Bench") -> None:
    """An empty listing without a report is no vacuous success."""
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, found.level, found.expected) == ("missing", "observed", 0)


def test_extra_objects_are_listed_and_no_fault(bench: "Bench") -> None:
    """What the report does not name is told; the report itself and a folder's marker are none of it."""
    bench.work(RUN)
    bench.put(f"{HOME}/openai/cs/notes.txt", b"note")
    bench.put(f"{HOME}/openai/", b"")
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, found.extra) == ("verified", ("openai/cs/notes.txt",))


def test_another_candidates_run_lies_elsewhere(bench: "Bench") -> None:
    """The layout of the candidate decides where a run is looked for."""
    bench.work(RUN, JOBINTEL_CANDIDATE="ana")
    bench.inputs["candidate"] = "ana"
    assert verify(bench.store, bench.layout, RUN).record["where"].endswith(f"jobintel/candidates/ana/runs/{RUN}")
    assert verify(bench.store, bench.layout, RUN).verdict == "verified"


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "", "a/", "a\\..\\x", "a\x00b", 7, None]
)
def test_a_path_that_leads_out_of_the_run_is_refused(bench: "Bench", front: Front, path: Any) -> None:
    """It is told as damage and never asked for; the entries beside it are still checked."""
    bench.put("jobintel/runs/x", b"x")
    bench.put(f"{HOME}/good", b"x")
    bench.put(f"{HOME}/run_report.json", report({"bad": {**named("x"), "path": path}, "good": named("good")}))
    found = verify(bench.store_at(front.endpoint), bench.layout, RUN)
    assert (found.verdict, told(found), found.expected, found.checked) == ("damaged", [("bad", "report")], 2, 2)
    asked = {seen.removeprefix(f"/{bench.bucket}") for method, seen in front.seen if method == "GET"}
    pointers = {f"/{key}" for key in bench.layout.global_pointers()}
    assert asked <= {"", "/", f"/{HOME}/run_report.json", f"/{HOME}/good", *pointers}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff not json", "can't be read"),
        (b"[]", "no object"),
        (report({"a": named("a")}, "another-run"), "another run: 'another-run'"),
        (report({}), "names no verifiable_artifacts"),
        (b'{"run_id": "x"}', "another run"),
        (report({"a": "a"}), "no object"),
        (report({"a": {**named("a"), "sha256": "abc"}}), "no SHA-256"),
        (report({"a": {**named("a"), "bytes": True}}), "no size"),
        (report({"a": {**named("a"), "bytes": -1}}), "no size"),
        (report({"a": named("a"), "b": {**named("a"), "bytes": 2}}), "named twice"),
        (report({"a": named("a")})[:-1] + b', "run_id": "' + RUN.encode() + b'"}', "run_id stands twice"),
    ],
)
def test_a_report_that_can_not_be_relied_on_is_damage(bench: "Bench", body: bytes, words: str) -> None:
    """Nothing is guessed from it: the verdict is damaged and says why."""
    bench.put(f"{HOME}/a", b"x")
    bench.put(f"{HOME}/run_report.json", body)
    found = verify(bench.store, bench.layout, RUN)
    assert (found.verdict, found.level) == ("damaged", "declared")
    assert words in found.problems[0].told


def test_two_names_of_one_artifact_are_both_checked(bench: "Bench") -> None:
    """Two logical keys with one path and one hash are two checks and one reading."""
    bench.put(f"{HOME}/a", b"x")
    found = verify(bench.store, bench.layout, RUN, report=report({"one": named("a"), "two": named("a")}))
    assert (found.verdict, found.expected, found.checked, len(found.read)) == ("verified", 2, 2, 1)


def test_a_5xx_in_the_middle_is_no_verdict(bench: "Bench", front: Front) -> None:
    """A server that fails for one object of many says nothing about the run."""
    bench.work(RUN)
    front.rule = lambda _method, path: Fault(status=500) if path.endswith(FAMILIES) else None
    with pytest.raises(Unreachable, match="ranked_families"):
        verify(bench.store_at(front.endpoint), bench.layout, RUN)


def test_it_stops_when_it_is_told_to(bench: "Bench") -> None:
    """Between two requests the check is asked, and what it raises gets out."""
    bench.work(RUN)

    def check() -> None:
        raise Interrupted("enough")

    with pytest.raises(Interrupted):
        verify(bench.store, bench.layout, RUN, note=lambda *_: None, check=check)


def test_the_record_stays_small_however_much_is_wrong(bench: "Bench") -> None:
    """Of three hundred missing artifacts the journal carries the number and the first twenty."""
    entries = {f"key {number}": named(f"{number:04}/{'long' * 50}") for number in range(300)}
    record = verify(bench.store, bench.layout, RUN, report=report(entries)).record
    assert (record["verdict"], record["expected"], record["checked"]) == ("missing", 300, 300)
    assert record["problems"]["total"] == 300
    assert len(record["problems"]["first"]) == 20
    assert len(json.dumps(record)) < 20_000


def test_a_verification_that_lost_something_is_an_error() -> None:
    """Checked and expected differ: that is never a verdict."""
    with pytest.raises(ActionFailed, match="1 artifacts of s3://b/r were checked and 2 expected"):
        Verification(run_id=RUN, where="s3://b/r", level="declared", expected=2, checked=1, read={})


@pytest.mark.parametrize("run_id", ["", "..", "../latest", "a//b", "/a"])
def test_what_can_not_be_a_run_id_is_refused(bench: "Bench", run_id: str) -> None:
    """A run id that leads elsewhere is a wrong call, not a missing run."""
    with pytest.raises(UsageFault, match="no run id"):
        verify(bench.store, bench.layout, run_id)


# --- verify_latest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_report", ["1", "0"])
def test_latest_is_held_against_the_runs_ranked_files(bench: "Bench", with_report: str) -> None:
    """Equal files verify; a flipped one is damaged, a vanished one missing, another pair's is extra."""
    bench.work(RUN, JOBINTEL_PUBLISH_RUN_REPORT=with_report)
    bench.put("jobintel/latest/anthropic/cs/anthropic_ranked_jobs.cs.json", b"[]")
    found = verify_latest(bench.store, bench.layout, RUN)
    level = "declared" if with_report == "1" else "observed"
    assert (found.verdict, found.level, found.expected) == ("verified", level, 3)
    assert found.extra == ("anthropic/cs/anthropic_ranked_jobs.cs.json",)
    bench.delete(f"jobintel/latest/{FAMILIES}")
    found = verify_latest(bench.store, bench.layout, RUN)
    assert (found.verdict, told(found)) == ("missing", [(FAMILIES, "missing")])
    bench.flip(f"jobintel/latest/{RANKED_CSV}")
    assert verify_latest(bench.store, bench.layout, RUN).verdict == "damaged"


def _partly_reported(bench: "Bench") -> bytes:
    """Publish a run, and return a report of it that names one of its files only."""
    bench.work(RUN)
    return report({"one": named(RANKED_JSON, bench.body(f"{HOME}/{RANKED_JSON}"))})


def test_a_run_whose_report_names_some_files_only_is_observed(bench: "Bench") -> None:
    """Of a required file that the report leaves out nobody says what it must hold: the level says so."""
    partial = _partly_reported(bench)
    found = verify(bench.store, bench.layout, RUN, report=partial)
    assert (found.verdict, found.level) == ("verified", "observed")
    assert RANKED_CSV in found.read


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("path", [RANKED_CSV, FAMILIES])
def test_latest_is_held_against_what_the_report_leaves_out_too(bench: "Bench", path: str, whole: bool) -> None:
    """Other content than the run's is damage, and what the contract keeps there must be there, whoever names it."""
    partial = _partly_reported(bench)
    found = verify_latest(bench.store, bench.layout, RUN, report=partial, whole=whole)
    assert (found.verdict, found.level, found.expected) == ("verified", "observed", 3)
    bench.flip(f"jobintel/latest/{path}")
    found = verify_latest(bench.store, bench.layout, RUN, report=partial, whole=whole)
    assert (found.verdict, told(found)) == ("damaged", [(path, "content")])
    bench.delete(f"jobintel/latest/{path}")
    found = verify_latest(bench.store, bench.layout, RUN, report=partial)
    assert (found.verdict, told(found)) == ("missing", [(path, "missing")])


def test_an_empty_latest_is_missing_with_a_short_allow_list_too(bench: "Bench") -> None:
    """Where the workload's allow-list may be shorter, one ranked file is enough and none is not."""
    bench.work(RUN)
    bench.delete(f"jobintel/latest/{FAMILIES}")
    assert verify_latest(bench.store, bench.layout, RUN, whole=False).verdict == "verified"
    for path in (RANKED_CSV, RANKED_JSON):
        bench.delete(f"jobintel/latest/{path}")
    assert verify_latest(bench.store, bench.layout, RUN, whole=False).verdict == "missing"


# --- verify_local ----------------------------------------------------------------------------------------------


def test_a_local_copy_is_verified_offline(bench: "Bench", tmp_path: Path) -> None:
    """A copy of what was published holds; a flipped byte, a missing and an extra file are told."""
    local = bench.copy_of(RUN, tmp_path / "copy")
    found = verify_local(local, legacy())
    assert (found.verdict, found.level, found.expected, found.run_id) == ("verified", "declared", 6, RUN)
    assert found.tree_sha256 == verify(bench.store, bench.layout, RUN).tree_sha256
    (local / "extra.txt").write_text("extra")
    (local / FAMILIES).unlink()
    body = (local / SUMMARY).read_bytes()
    (local / SUMMARY).write_bytes(body.replace(b"success", b"succeSs"))
    found = verify_local(local, legacy(), run_id=RUN)
    assert (found.extra, sorted(told(found))) == (("extra.txt",), [(FAMILIES, "missing"), (SUMMARY, "content")])
    assert verify_local(local, legacy(), run_id="another").verdict == "damaged"


def test_a_local_copy_without_a_report_is_observed(tmp_path: Path) -> None:
    """What lies there is hashed; an empty directory is missing; no directory is a wrong call."""
    (tmp_path / "run").mkdir()
    assert verify_local(tmp_path / "run", legacy()).verdict == "missing"
    (tmp_path / "run" / "a").write_bytes(b"x")
    found = verify_local(tmp_path / "run", legacy())
    assert (found.verdict, found.level, found.read) == ("verified", "observed", {"a": (SHA256, 1)})
    with pytest.raises(UsageFault, match="no directory"):
        verify_local(tmp_path / "none", legacy())


@pytest.mark.parametrize("hint", ["report", "file link", "folder link", "report link"])
def test_a_local_copy_is_never_left(tmp_path: Path, hint: str) -> None:
    """Neither a path of the report nor a link makes a file outside count as an artifact."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_bytes(b"x")
    root = tmp_path / "run"
    root.mkdir()
    path = {"report": "../outside/a", "folder link": "folder/a"}.get(hint, "a")
    if hint == "file link":
        (root / "a").symlink_to(tmp_path / "outside" / "a")
    if hint == "folder link":
        (root / "folder").symlink_to(tmp_path / "outside")
    statement = report({"k": named(path)})
    if hint == "report link":
        (tmp_path / "outside" / "r").write_bytes(statement)
        (root / "run_report.json").symlink_to(tmp_path / "outside" / "r")
    else:
        (root / "run_report.json").write_bytes(statement)
    found = verify_local(root, legacy())
    assert found.verdict in ("missing", "damaged")
    assert found.read == {}


# --- the runs' facts -----------------------------------------------------------------------------------------------


def observed(bench: "Bench", fact: str) -> tuple[Any, str | None]:
    """Observe and judge a fact now."""
    seen = FACTS[fact].observe(bench.world, bench.run())
    assert json.loads(json.dumps(seen)) == seen
    return seen, FACTS[fact].judge(seen, bench.inputs)


def test_the_facts_tell_each_sites_run(bench: "Bench") -> None:
    """DR's run is looked for in its canonical place, the validated one beside; each is whole by itself."""
    assert [observed(bench, fact)[1] for fact in ("dr_run", "primary_run")] == ["missing", "missing"]
    bench.work(RUN)
    bench.validate()
    assert [observed(bench, fact)[1] for fact in ("dr_run", "primary_run")] == ["verified", "verified"]
    bench.flip(f"{bench.layout.run(RUN)}/{SUMMARY}")
    assert [observed(bench, fact)[1] for fact in ("dr_run", "primary_run")] == ["damaged", "verified"]


def test_a_validated_run_without_its_latest_is_not_whole(bench: "Bench") -> None:
    """It is found before anything moves: after the switch there would be nothing to put into latest."""
    bench.validate()
    for path in (RANKED_JSON, RANKED_CSV, FAMILIES):
        bench.delete(f"{bench.beside.latest()}/{path}")
    seen, value = observed(bench, "primary_run")
    assert (seen["verdict"], seen["latest"]["verdict"], value) == ("verified", "missing", "missing")
    bench.put(f"{bench.beside.latest()}/{RANKED_JSON}", b"[]")
    assert observed(bench, "primary_run")[1] == "damaged"


# --- publish and withdraw ------------------------------------------------------------------------------------------


@pytest.fixture
def validated(bench: "Bench") -> "Bench":
    """Return a bucket with DR's run and the primary's, beside, which differ in content."""
    bench.work(RUN)
    bench.validate(JOBINTEL_DIVERGE="live", SANDBOX_OBJECTS="20")
    return bench


def place(bench: "Bench", path: str = "") -> str:
    """Return the canonical key of a path of the validated run."""
    return f"{bench.layout.run(bench.inputs['primary_run_id'])}/{path}"


def undo(bench: "Bench", image: Any) -> Any:
    """Withdraw, as an abort does."""
    return ACTIONS["withdraw_artifacts"](bench.world, bench.run(undoing={"artifacts": image}))


def test_published_artifacts_hold_at_their_canonical_place_and_can_be_withdrawn(validated: "Bench") -> None:
    """The copies are byte for byte, the report's words hold there, and withdrawing gives back the exact image."""
    before = validated.everything()
    image, value = observed(validated, "artifacts")
    assert value == "absent"
    result = ACTIONS["publish_artifacts"](validated.world, validated.run(first_seen={"artifacts": image}))
    assert (result["copied"], result["equal"]) == (27, 0)
    assert observed(validated, "artifacts")[1] == "published"
    assert verify(validated.store, validated.layout, validated.inputs["primary_run_id"]).record["expected"] == 26
    assert verify(validated.store, validated.layout, validated.inputs["primary_run_id"]).verdict == "verified"
    stage = f"{validated.beside.run(validated.inputs['primary_run_id'])}/"
    staged_run = {key.removeprefix(stage): body for key, body in before.items() if key.startswith(stage)}
    assert {place(validated, path): body for path, body in staged_run.items()} == {
        key: body for key, body in validated.everything().items() if key not in before
    }
    assert undo(validated, image) == {"deleted": 27}
    assert observed(validated, "artifacts") == (image, "absent")
    assert validated.everything() == before


def test_publishing_again_copies_nothing(validated: "Bench") -> None:
    """What is equal is skipped: doing it twice is doing it once."""
    run = validated.run()
    ACTIONS["publish_artifacts"](validated.world, run)
    assert ACTIONS["publish_artifacts"](validated.world, run)["copied"] == 0


def test_a_publish_that_was_interrupted_is_gone_on_with_or_withdrawn(validated: "Bench", front: Front) -> None:
    """Half of the copies is partial, without the report; going on completes it, and withdrawing clears it."""
    image, _ = observed(validated, "artifacts")
    copies: Iterator[int] = iter(range(100))
    front.rule = lambda method, _path: Fault("close") if method == "PUT" and next(copies) > 9 else None
    world = validated.world_of(validated.store_at(front.endpoint))
    with pytest.raises(Unreachable):
        ACTIONS["publish_artifacts"](world, validated.run(first_seen={"artifacts": image}))
    seen, value = observed(validated, "artifacts")
    assert value == "partial"
    assert place(validated, "run_report.json") not in validated.everything()
    assert 0 < seen["equal"]["total"] < 27
    again = ACTIONS["publish_artifacts"](validated.world, validated.run(first_seen={"artifacts": image}))
    assert (again["copied"] + again["equal"], observed(validated, "artifacts")[1]) == (27, "published")
    validated.delete(place(validated, SUMMARY))
    undo(validated, image)
    assert observed(validated, "artifacts") == (image, "absent")


def test_an_object_with_other_content_is_never_overwritten(validated: "Bench") -> None:
    """It is a conflict that is told before anything is copied; nothing moves, and it is never withdrawn."""
    validated.put(place(validated, SUMMARY), b"somebody else's")
    before = validated.everything()
    image, value = observed(validated, "artifacts")
    assert value == "partial"
    with pytest.raises(Conflict, match=r"run_summary\.v1\.json"):
        ACTIONS["publish_artifacts"](validated.world, validated.run())
    assert validated.everything() == before
    assert undo(validated, image) == {"deleted": 0}
    assert validated.everything() == before


def test_an_object_that_the_run_does_not_have_is_a_conflict(validated: "Bench") -> None:
    """A run whose canonical place holds strangers would be a spliced run."""
    validated.put(place(validated, "stranger"), b"x")
    with pytest.raises(Conflict, match="stranger"):
        ACTIONS["publish_artifacts"](validated.world, validated.run())
    assert place(validated, SUMMARY) not in validated.everything()


def test_what_was_there_before_is_not_withdrawn(validated: "Bench") -> None:
    """An equal object that somebody had put there already stays when the rest goes."""
    stage = validated.beside.run(validated.inputs["primary_run_id"])
    validated.put(place(validated, SUMMARY), validated.body(f"{stage}/{SUMMARY}"))
    image, value = observed(validated, "artifacts")
    assert (value, image["equal"]["first"]) == ("partial", [SUMMARY])
    ACTIONS["publish_artifacts"](validated.world, validated.run(first_seen={"artifacts": image}))
    undo(validated, image)
    assert observed(validated, "artifacts") == (image, "partial")
    assert place(validated, SUMMARY) in validated.everything()


def test_more_than_the_journal_can_name_is_not_added_to(validated: "Bench") -> None:
    """With so many there before, a withdrawal could not tell whose is whose: nothing is copied."""
    ACTIONS["publish_artifacts"](validated.world, validated.run())
    validated.delete(place(validated, SUMMARY))
    image, _ = observed(validated, "artifacts")
    assert image["equal"]["total"] == 26
    with pytest.raises(ActionFailed, match="could not be told apart"):
        ACTIONS["publish_artifacts"](validated.world, validated.run(first_seen={"artifacts": image}))
    assert undo(validated, image) == {"deleted": 0}
    assert observed(validated, "artifacts")[0] == image


def test_a_report_that_does_not_hold_is_not_published(validated: "Bench") -> None:
    """A staged artifact that was changed after its verification stops the publishing."""
    validated.flip(f"{validated.beside.run(validated.inputs['primary_run_id'])}/{SUMMARY}")
    with pytest.raises(ActionFailed, match="report does not hold"):
        ACTIONS["publish_artifacts"](validated.world, validated.run())
    assert observed(validated, "artifacts")[1] == "absent"


def test_a_run_without_a_report_is_published_as_it_is(bench: "Bench") -> None:
    """Where the workload keeps its report to itself, the artifacts alone are published."""
    bench.validate(JOBINTEL_PUBLISH_RUN_REPORT="0")
    assert ACTIONS["publish_artifacts"](bench.world, bench.run())["copied"] == 6
    assert observed(bench, "artifacts")[1] == "published"


def test_nothing_is_published_from_nothing_and_nothing_withdrawn_in_the_dark(validated: "Bench") -> None:
    """Without the staged run publishing fails, and a withdrawal that can't tell whose is whose says so."""
    image, _ = observed(validated, "artifacts")
    ACTIONS["publish_artifacts"](validated.world, validated.run())
    stage = f"{validated.beside.prefix}/"
    for key in [key for key in validated.everything() if key.startswith(stage)]:
        validated.delete(key)
    with pytest.raises(ActionFailed, match="is gone from"):
        undo(validated, image)
    assert place(validated, SUMMARY) in validated.everything()
    with pytest.raises(ActionFailed, match="nothing was published beside"):
        ACTIONS["publish_artifacts"](validated.world, validated.run())


# --- latest --------------------------------------------------------------------------------------------------------


def test_latest_is_drs_until_it_is_switched(validated: "Bench") -> None:
    """By content: DR's before, the primary's after; another pair's file and all other keys stay as they are."""
    validated.put("jobintel/latest/anthropic/cs/anthropic_ranked_jobs.cs.json", b"[]")
    before = validated.everything()
    assert observed(validated, "latest")[1] == "dr"
    result = ACTIONS["switch_latest"](validated.world, validated.run())
    assert observed(validated, "latest")[1] == "primary"
    changed = {key for key, body in validated.everything().items() if before.get(key) != body}
    assert changed == {f"jobintel/latest/{path}" for path in (RANKED_JSON, RANKED_CSV, FAMILIES)}
    assert (result["copied"], result["equal"]) == (3, 0)
    assert ACTIONS["switch_latest"](validated.world, validated.run())["copied"] == 0


def test_latest_that_is_neithers_is_other_and_is_mended_by_the_switch(validated: "Bench") -> None:
    """A flipped byte, a missing file, a half switch: other; the switch makes it the primary's."""
    validated.delete(f"jobintel/latest/{FAMILIES}")
    assert observed(validated, "latest")[1] == "other"
    for path in (FAMILIES, RANKED_CSV):
        validated.put(f"jobintel/latest/{path}", validated.body(f"{validated.beside.latest()}/{path}"))
    assert observed(validated, "latest")[1] == "other"
    ACTIONS["switch_latest"](validated.world, validated.run())
    assert observed(validated, "latest")[1] == "primary"
    validated.flip(f"jobintel/latest/{RANKED_CSV}")
    seen, value = observed(validated, "latest")
    assert (value, seen["unlike_primary"]["first"]) == ("other", [RANKED_CSV])


def test_before_any_validation_latest_is_drs_or_nobodys(bench: "Bench") -> None:
    """Without a validated run nothing can be the primary's, an empty latest least of all."""
    assert observed(bench, "latest")[1] == "other"
    bench.work(RUN)
    assert observed(bench, "latest")[1] == "dr"
    with pytest.raises(ActionFailed, match="left no latest beside"):
        ACTIONS["switch_latest"](bench.world, bench.run())


def test_where_both_runs_have_the_same_files_latest_is_the_primarys(bench: "Bench") -> None:
    """Snapshot input gives equal ranked files: what latest holds is then the primary's too."""
    bench.work(RUN)
    bench.validate()
    assert observed(bench, "latest")[1] == "primary"
