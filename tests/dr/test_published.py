"""A run's artifacts verified, published and withdrawn, and what two runs differ in, judged: in memory."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.dr.artifacts import publish
from drfsm.dr.artifacts.compare import comparison
from drfsm.dr.artifacts.verification import Verification, verify, verify_latest
from drfsm.dr.progress import FIRST
from drfsm.dr.terms import terms_of
from drfsm.errors import ActionFailed, Conflict, Interrupted
from tests.dr.memory import DR_RUN, INPUTS, PRIMARY_RUN, RUN, MemoryWorld, a_run

ACTIONS: Mapping[str, Any] = publish.ACTIONS
FACTS: Mapping[str, Any] = publish.FACTS
LAYOUT, BESIDE = terms_of(INPUTS).layout, terms_of(INPUTS).staged(RUN)
STAGE, CANONICAL = f"{BESIDE.run(PRIMARY_RUN)}/", f"{LAYOUT.run(PRIMARY_RUN)}/"
REPORT = "run_report.json"
FILES = {"openai/cs/a.json": b"a", "openai/cs/b.json": b"bb", "openai/cs/openai_ranked_jobs.cs.json": b"top"}
LATEST, STAGED_LATEST = f"{LAYOUT.latest()}/", f"{BESIDE.latest()}/"


def report(files: Mapping[str, bytes] = FILES, run_id: str = PRIMARY_RUN, **changed: Any) -> bytes:
    """Return a run's report over files; ``changed`` replaces what it says of one."""
    entries = {
        f"n{number}": {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
        for number, (path, body) in enumerate(files.items())
    }
    for entry in entries.values():
        entry.update(changed.get(str(entry["path"]).rpartition("/")[2].partition(".")[0], {}))
    return json.dumps({"run_id": run_id, "verifiable_artifacts": entries}).encode()


def lay(world: MemoryWorld, home: str, files: Mapping[str, bytes]) -> None:
    """Write objects as another process."""
    for path, body in files.items():
        world.store.lay(home + path, body)


def below(world: MemoryWorld, home: str) -> dict[str, bytes]:
    """Return what lies below a prefix."""
    return {key.removeprefix(home): blob.body for key, blob in world.store.objects.items() if key.startswith(home)}


def world_of(said: bytes | None = None, files: Mapping[str, bytes] = FILES) -> MemoryWorld:
    """Return a world whose validated run lies beside, with a report."""
    world = MemoryWorld()
    lay(world, STAGE, {**files, REPORT: said or report(files)})
    return world


def judged(world: MemoryWorld, fact: str) -> str | None:
    """Return what a fact is judged."""
    run = a_run()
    verdict: str | None = FACTS[fact].judge(FACTS[fact].observe(world, run), run.inputs)
    return verdict


def test_a_publish_copies_every_file_and_the_report_last() -> None:
    """Whoever finds the report finds what it names; done again nothing is copied."""
    world = world_of()
    assert judged(world, "artifacts") == "absent"
    result = ACTIONS["publish_artifacts"](world, a_run())
    assert below(world, CANONICAL) == below(world, STAGE)
    assert [key.removeprefix(CANONICAL) for key in world.store.writes] == [*sorted(FILES), REPORT]
    assert (result["copied"], result["equal"]) == (4, 0)
    assert judged(world, "artifacts") == "published"
    assert ACTIONS["publish_artifacts"](world, a_run())["copied"] == 0


@pytest.mark.parametrize(
    ("there", "verdict"),
    [
        ({}, "absent"), ({"openai/cs/a.json": b"a"}, "partial"), ({"openai/cs/a.json": b"x"}, "partial"),
        ({**FILES, REPORT: report()}, "published"), ({**FILES, REPORT: report(), "more": b"x"}, "published"),
    ],
)  # fmt: skip
def test_a_run_is_published_where_all_of_its_files_are_equal(there: Mapping[str, bytes], verdict: str) -> None:
    """Some of them, or others in their place, are partial."""
    world = world_of()
    lay(world, CANONICAL, there)
    assert judged(world, "artifacts") == verdict


def test_nothing_beside_is_never_published() -> None:
    """An empty run equals an empty place, and is none."""
    assert judged(MemoryWorld(), "artifacts") == "absent"
    with pytest.raises(ActionFailed, match="nothing was published beside"):
        ACTIONS["publish_artifacts"](MemoryWorld(), a_run())


@pytest.mark.parametrize("there", [{"openai/cs/a.json": b"x"}, {"more.json": b"x"}, {"openai/cs/a.json": b"aa"}])
def test_what_is_not_the_validated_runs_is_never_overwritten_nor_added_to(there: Mapping[str, bytes]) -> None:
    """Another content of the same name, or a name that the run does not have: nothing is copied."""
    world = world_of()
    lay(world, CANONICAL, there)
    with pytest.raises(Conflict, match="objects that are not the validated run's"):
        ACTIONS["publish_artifacts"](world, a_run())
    assert world.store.writes == []


@pytest.mark.parametrize(
    "said",
    [
        report(a={"sha256": "0" * 64}), report(b={"bytes": 3}), report({**FILES, "openai/cs/c.json": b"c"}),
        report(run_id=DR_RUN), report(a={"path": "../a.json"}), b"{}",
    ],
    ids=["another digest", "another size", "a file that is not there", "another run", "a path out of it", "nothing"],
)  # fmt: skip
def test_a_run_whose_report_does_not_hold_is_not_published(said: bytes) -> None:
    """Nothing is copied."""
    world = world_of(said)
    with pytest.raises(ActionFailed, match="report does not hold"):
        ACTIONS["publish_artifacts"](world, a_run())
    assert world.store.writes == []


def test_more_than_a_record_can_name_is_not_added_to() -> None:
    """It could not be told apart from what this run copies; exactly as many as it names can."""
    for there, published in ((FIRST, True), (FIRST + 1, False)):
        files = {f"openai/cs/{number:03}.json": b"x" for number in range(FIRST + 2)}
        world = world_of(files=files)
        lay(world, CANONICAL, dict(list(files.items())[:there]))
        if published:
            assert ACTIONS["publish_artifacts"](world, a_run())["copied"] == 3
        else:
            with pytest.raises(ActionFailed, match="could not be told apart"):
                ACTIONS["publish_artifacts"](world, a_run())
            assert world.store.writes == []


def withdrawn(world: MemoryWorld, equal: Mapping[str, Any]) -> Any:
    """Withdraw what this run published."""
    return ACTIONS["withdraw_artifacts"](world, a_run(undoing={"artifacts": {"equal": equal}}))


def test_a_withdrawal_deletes_what_was_copied_and_keeps_what_was_there() -> None:
    """What equals the staged run and is not on record as there before; strangers and changed files stay."""
    world = world_of()
    lay(world, CANONICAL, {"openai/cs/a.json": b"a"})
    before = FACTS["artifacts"].observe(world, a_run())
    ACTIONS["publish_artifacts"](world, a_run())
    lay(world, CANONICAL, {"openai/cs/b.json": b"theirs", "more.json": b"theirs"})
    assert withdrawn(world, before["equal"]) == {"deleted": 2}
    assert below(world, CANONICAL) == {
        "openai/cs/a.json": b"a", "openai/cs/b.json": b"theirs", "more.json": b"theirs"
    }  # fmt: skip


def test_a_withdrawal_deletes_the_report_first() -> None:
    """Killed in its middle it leaves no report over files that are gone."""
    world, deleted = world_of(), list[str]()
    ACTIONS["publish_artifacts"](world, a_run())
    delete = world.store.delete
    world.store.delete = lambda key: deleted.append(key) or delete(key)  # type: ignore[method-assign,func-returns-value]
    withdrawn(world, {"total": 0, "first": []})
    assert [key.removeprefix(CANONICAL) for key in deleted][:1] == [REPORT]
    assert below(world, CANONICAL) == {}


def test_nothing_is_withdrawn_in_the_dark() -> None:
    """Without the staged run nobody knows what was copied; where too much was there, nothing was."""
    world = MemoryWorld()
    lay(world, CANONICAL, FILES)
    with pytest.raises(ActionFailed, match="nothing tells any more"):
        withdrawn(world, {"total": 0, "first": []})
    assert withdrawn(world, {"total": FIRST + 1, "first": []}) == {"deleted": 0}
    assert below(world, CANONICAL) == FILES


# --- latest -----------------------------------------------------------------------------------------------


def with_latest(now: Mapping[str, bytes], staged: Mapping[str, bytes] | None = None) -> MemoryWorld:
    """Return a world with a ``latest``, DR's run, and what the validation left in its own latest."""
    world = world_of()
    lay(world, LATEST, now)
    lay(world, STAGED_LATEST, {"openai/cs/a.json": b"a"} if staged is None else staged)
    lay(world, f"{LAYOUT.run(DR_RUN)}/", {"openai/cs/a.json": b"old"})
    return world


@pytest.mark.parametrize(
    ("now", "staged", "verdict"),
    [
        ({"openai/cs/a.json": b"old"}, None, "dr"),
        ({"openai/cs/a.json": b"a"}, None, "primary"),
        ({"openai/cs/a.json": b"x"}, None, "other"),
        ({}, None, "other"),
        ({"openai/cs/a.json": b"a"}, {"openai/cs/a.json": b"a", "openai/cs/b.json": b"bb"}, "other"),
        ({"openai/cs/a.json": b"old"}, {}, "dr"),
        ({"openai/cs/a.json": b"a"}, {}, "other"),
    ],
)
def test_latest_is_the_run_whose_files_it_holds(
    now: Mapping[str, bytes], staged: Mapping[str, bytes] | None, verdict: str
) -> None:
    """The validated run's only where the validation left a latest of its own, and all of it is there."""
    assert judged(with_latest(now, staged), "latest") == verdict


def test_a_switch_of_latest_copies_what_differs() -> None:
    """From the validation's own latest; what is equal and what it does not have stay."""
    world = with_latest({"openai/cs/a.json": b"old", "other/x.json": b"x"}, {"openai/cs/a.json": b"a", "b": b"b"})
    result = ACTIONS["switch_latest"](world, a_run())
    assert (result["copied"], result["equal"]) == (2, 0)
    assert below(world, LATEST) == {"openai/cs/a.json": b"a", "other/x.json": b"x", "b": b"b"}
    assert ACTIONS["switch_latest"](world, a_run())["copied"] == 0
    with pytest.raises(ActionFailed, match="left no latest"):
        ACTIONS["switch_latest"](with_latest({"a": b"a"}, {}), a_run())


# --- verified ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "latest", "worse"),
    [("verified", "verified", "verified"), ("verified", "missing", "missing"), ("missing", "damaged", "damaged"),
     ("damaged", "verified", "damaged"), ("missing", None, "missing"), ("verified", None, "verified")],
)  # fmt: skip
def test_of_a_run_and_its_latest_the_worse_counts(verdict: str, latest: str | None, worse: str) -> None:
    """A run without a latest of its own is judged alone."""
    seen = {"verdict": verdict, **({"latest": {"verdict": latest}} if latest else {})}
    assert publish.judge(seen) == worse


def verified(files: Mapping[str, bytes], said: bytes | None) -> Verification:
    """Verify a run of these files."""
    world = MemoryWorld()
    lay(world, CANONICAL, {**files, **({REPORT: said} if said else {})})
    return verify(world.store, LAYOUT, PRIMARY_RUN)


CASES: dict[str, tuple[Mapping[str, bytes], bytes | None, str, str]] = {
    "as it says": (FILES, report(), "verified", "declared"),
    "no report": (FILES, None, "verified", "observed"),
    "a file that it does not name": ({**FILES, "x": b"x"}, report(), "verified", "declared"),
    "a flipped byte": ({**FILES, "openai/cs/a.json": b"x"}, report(), "damaged", "declared"),
    "a byte more": ({**FILES, "openai/cs/a.json": b"aa"}, report(), "damaged", "declared"),
    "a file less": ({"openai/cs/a.json": b"a"}, report(), "missing", "declared"),
    "a file less, and one damaged": ({"openai/cs/a.json": b"x"}, report(), "damaged", "declared"),
    "another run's report": (FILES, report(run_id=DR_RUN), "damaged", "declared"),
    "nothing at all": ({}, None, "missing", "observed"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_verified_by_reading_what_its_report_names(case: str) -> None:
    """Present, of its size, with its digest; damage tells more than absence; without a report it is observed only."""
    files, said, verdict, level = CASES[case]
    verification = verified(files, said)
    assert (verification.verdict, verification.level) == (verdict, level)
    assert verification.checked == verification.expected


def test_what_the_report_does_not_name_is_listed() -> None:
    """It is no fault, and it is not passed over; the report itself is no extra."""
    assert verified({**FILES, "x": b"x"}, report()).extra == ("x",)


def test_a_digest_over_all_files_changes_with_each_of_them() -> None:
    """Name, bytes and content count; their order does not."""
    digest = verified(FILES, None).tree_sha256
    assert verified(dict(reversed(FILES.items())), None).tree_sha256 == digest
    for other in ({**FILES, "openai/cs/a.json": b"x"}, {**FILES, "x": b"x"}, {"openai/cs/a.json": b"a"}):
        assert verified(other, None).tree_sha256 != digest


@pytest.mark.parametrize(
    ("latest", "verdict"),
    [
        ({"openai/cs/openai_ranked_jobs.cs.json": b"top", "openai/cs/a.json": b"a"}, "verified"),
        ({"openai/cs/openai_ranked_jobs.cs.json": b"top", "openai/cs/a.json": b"x"}, "damaged"),
        ({"openai/cs/a.json": b"a"}, "missing"),
        ({"openai/cs/openai_ranked_jobs.cs.json": b"top", "theirs/x.json": b"x"}, "verified"),
        ({}, "missing"),
    ],
)
def test_latest_holds_the_runs_own_bytes_and_the_file_by_which_readers_know_it(
    latest: Mapping[str, bytes], verdict: str
) -> None:
    """Another pair's files are no matter."""
    world = MemoryWorld()
    lay(world, CANONICAL, {**FILES, REPORT: report()})
    lay(world, LATEST, latest)
    assert verify_latest(world.store, LAYOUT, PRIMARY_RUN, whole=False).verdict == verdict


def test_a_verification_stops_when_it_is_told_to() -> None:
    """Between two files."""
    world = world_of()

    def check() -> None:
        raise Interrupted("stop")

    with pytest.raises(Interrupted):
        verify(world.store, BESIDE, PRIMARY_RUN, check=check)
    with pytest.raises(Interrupted):
        ACTIONS["publish_artifacts"](world, a_run(interrupted=lambda: True))
    assert world.store.writes == []


# --- compared ---------------------------------------------------------------------------------------------

NONE = {"missing": 0, "extra": 0, "changed": 0, "order": 0, "fault": 0}


@pytest.mark.parametrize(
    ("integrity", "content", "incomparable", "verdict"),
    [
        ({}, {}, "", "none"), ({}, {"changed": 1}, "", "content"), ({"missing": 1}, {}, "", "integrity"),
        ({"fault": 1}, {"changed": 9}, "", "integrity"), ({}, {}, "other providers", "integrity"),
    ],
)  # fmt: skip
def test_a_difference_of_integrity_is_never_one_of_content(
    integrity: dict[str, int], content: dict[str, int], incomparable: str, verdict: str
) -> None:
    """However many of content there are beside; two runs that can't be compared differ in integrity."""
    seen = {
        "left": {"run_id": DR_RUN}, "right": {"run_id": PRIMARY_RUN}, "incomparable": incomparable,
        "counts": {"integrity": {**NONE, **integrity}, "content": {**NONE, **content}},
    }  # fmt: skip
    judge = comparison.FACTS["divergence"].judge
    assert judge(seen, INPUTS) == verdict
    for other in ({"left": {"run_id": PRIMARY_RUN}}, {"right": {"run_id": DR_RUN}}):
        assert judge({**seen, **other}, INPUTS) is None
