"""What makes a report unreliable, what a run must have, and what counts as a run's object: in memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from drfsm.claims import LARGEST_BYTES
from drfsm.dr import workload
from drfsm.dr.artifacts.run_report import LARGEST_REPORT_BYTES, declared
from drfsm.dr.artifacts.verification import pairs_of_run, run_home, sizes_below, verify, verify_latest
from drfsm.dr.layout import Layout
from drfsm.errors import Unreadable, UsageFault
from tests.dr.memory import PRIMARY_RUN, MemoryWorld
from tests.dr.test_pointer_moves import GLOBAL, lay, pointer
from tests.dr.test_published import CANONICAL, FILES, LATEST, LAYOUT, REPORT, report
from tests.dr.test_published import lay as lay_files

FORM: Any = LAYOUT.workload.report
GOOD: dict[str, Any] = {"path": "openai/cs/a.json", "sha256": "a" * 64, "bytes": 1}


def words_of(body: bytes, run_id: str | None = PRIMARY_RUN, form: Any = FORM) -> list[str]:
    """Return what is wrong with a report."""
    statement = declared(body, run_id, form)
    return [problem.told for problem in (*statement.failed, *statement.problems)]


def with_entry(**changed: Any) -> bytes:
    """Return a report of one entry."""
    entry = {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}
    return json.dumps({"run_id": PRIMARY_RUN, "verifiable_artifacts": {"openai:cs:a": entry}}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x", "it is not JSON"), (b"[]", "it is no object"),
        (report(run_id="other"), "the report of another run: 'other'"),
        (json.dumps({"run_id": PRIMARY_RUN}).encode(), "it names no verifiable_artifacts"),
        (json.dumps({"run_id": PRIMARY_RUN, "verifiable_artifacts": {}}).encode(), "it names no"),
        (json.dumps({"run_id": PRIMARY_RUN, "verifiable_artifacts": ["x"]}).encode(), "it names no"),
        (json.dumps({"run_id": PRIMARY_RUN, "verifiable_artifacts": {"x": "y"}}).encode(), "it is no object"),
        (with_entry(path=1), "is no path inside the run"), (with_entry(path="/etc/x"), "is no path inside the run"),
        (with_entry(path="a//b"), "is no path inside the run"), (with_entry(path="a/./b"), "is no path inside the run"),
        (with_entry(path="a/../b"), "is no path inside the run"), (with_entry(path="a/\u0007b"), "is no path inside"),
        (with_entry(path="a\\b"), "is no path inside the run"), (with_entry(path=""), "is no path inside the run"),
        (with_entry(sha256="a" * 63), "has no SHA-256"), (with_entry(sha256=...), "has no SHA-256"),
        (with_entry(sha256="g" * 64), "has no SHA-256"), (with_entry(bytes=-1), "has no size"),
        (with_entry(bytes="1"), "has no size"), (with_entry(bytes=True), "has no size"),
        (with_entry(bytes=...), "has no size"),
    ],
)  # fmt: skip
def test_what_a_report_says_amiss_is_one_problem_and_nothing_is_guessed(body: bytes, words: str) -> None:
    """Garbage, another run's, nothing named, an entry without a path, a digest or a size."""
    (told,) = words_of(body)
    assert words in told


def test_an_entry_may_be_empty_and_its_digest_in_capitals() -> None:
    """A file of no bytes is a file."""
    statement = declared(with_entry(bytes=0, sha256="A" * 64), PRIMARY_RUN, FORM)
    assert statement.entries == {GOOD["path"]: ("a" * 64, 0)}
    assert words_of(report(run_id="other"), run_id=None) == []


@pytest.mark.parametrize(("sha256", "problems"), [("a" * 64, 0), ("b" * 64, 1)])
def test_a_file_that_is_named_twice_must_be_named_alike(sha256: str, problems: int) -> None:
    """Two names of one place are fine, two contents are not."""
    entries = {"x": GOOD, "y": {**GOOD, "sha256": sha256}}
    body = json.dumps({"run_id": PRIMARY_RUN, "verifiable_artifacts": entries}).encode()
    assert len(words_of(body)) == problems


@pytest.mark.parametrize(
    ("said", "wanted", "faults"),
    [
        (True, "true", 0), (False, "true", 1), (None, "true", 0), ("ok", "ok", 0), ("failed", "ok", 1), (0, "0", 0),
        (1, "0", 1), (0.0, "0", 0), ("0", "0", 0), (0, "zero", 1), ("true", "true", 0), (True, "True", 0),
    ],
)  # fmt: skip
def test_a_run_that_says_that_it_failed_is_damaged(said: object, wanted: str, faults: int) -> None:
    """By the contract's word; what it does not say is no fault."""
    form = evolve(FORM, succeeded={"health": wanted})
    whole = json.loads(report())
    body = json.dumps({**whole, "health": said}).encode()
    told = words_of(body, form=form)
    assert len(told) == faults
    if faults:
        assert "the run was not successful: health is" in told[0]
        contract = evolve(workload.legacy(), report=form)
        world = MemoryWorld()
        lay_files(world, CANONICAL, {**FILES, REPORT: body})
        assert verify(world.store, Layout("jobintel", workload=contract), PRIMARY_RUN).verdict == "damaged"


# --- what a run must have ---------------------------------------------------------------------------------

SHIPPED = workload.shipped()
STRICT = Layout("jobintel", "local", SHIPPED)


def run_of(pairs: Mapping[str, str], *, lacking: str = "", where: Layout = STRICT) -> MemoryWorld:
    """Return a world with a run of these pairs as the contract requires it."""
    world = MemoryWorld()
    for pair in pairs.items():
        for path in SHIPPED.required(pair):
            if path != lacking:
                world.store.lay(f"{where.run(PRIMARY_RUN)}/{path}", path.encode())
    return world


def test_a_run_must_have_each_required_file_of_each_of_its_pairs() -> None:
    """Of the pairs that it has, that the operator names, and that the pointer to it names."""
    assert verify(run_of({"openai": "cs"}).store, STRICT, PRIMARY_RUN).verdict == "verified"
    for path in SHIPPED.required(("openai", "cs")):
        lacking = verify(run_of({"openai": "cs"}, lacking=path).store, STRICT, PRIMARY_RUN)
        assert (lacking.verdict, [problem.path for problem in lacking.problems]) == ("missing", [path])
    named = verify(run_of({"openai": "cs"}).store, STRICT, PRIMARY_RUN, pairs=[("x", "y")])
    assert [problem.path for problem in named.problems] == list(SHIPPED.required(("x", "y")))


def test_the_pairs_that_the_global_pointer_names_are_required_of_its_own_run() -> None:
    """A pointer to another run, or one that can't be read, asks for nothing."""
    pairs = {"openai:cs": PRIMARY_RUN, "x:y": PRIMARY_RUN, "../z:y": PRIMARY_RUN}
    for run_id, verdict in ((PRIMARY_RUN, "missing"), ("another", "verified")):
        world = run_of({"openai": "cs"})
        lay(world, GLOBAL[0], pointer(run_id, provider_profiles=pairs))
        world.store.lay(GLOBAL[1], b"x")
        verification = verify(world.store, STRICT, PRIMARY_RUN)
        assert verification.verdict == verdict
        assert {problem.path.split("/")[0] for problem in verification.problems} <= {"x"}


def test_a_run_without_any_pair_must_have_the_usual_one() -> None:
    """Each pair once, those that are asked for first."""
    usual = (SHIPPED.defaults.provider, SHIPPED.defaults.profile)
    assert pairs_of_run(SHIPPED, [], ["x.json"]) == [usual]
    paths = [*SHIPPED.required(("a", "b")), *SHIPPED.required(("c", "d"))]
    assert pairs_of_run(SHIPPED, [("c", "d"), ("e", "f")], paths) == [("c", "d"), ("e", "f"), ("a", "b")]


def test_markers_of_folders_are_no_objects() -> None:
    """Some consoles make them; an empty file is one, and a folder's marker with content is told."""
    world = MemoryWorld()
    lay_files(world, "p/", {"": b"", "a/": b"", "b/": b"x", "c": b"", "d": b"dd"})
    assert sizes_below(world.store, "p/") == {"b/": 1, "c": 0, "d": 2}


@pytest.mark.parametrize("run_id", ["", ".", "..", "a//b", "a/../b", "/a", "a/"])
def test_what_leads_elsewhere_is_no_run_id(run_id: str) -> None:
    """A run's prefix lies below the runs."""
    with pytest.raises(UsageFault, match="no run id"):
        run_home(LAYOUT, run_id)
    assert run_home(LAYOUT, "a/b") == "jobintel/runs/a/b/"


def test_a_file_that_the_report_leaves_out_makes_the_run_observed_only() -> None:
    """Where the contract knows the file: nothing vouches for it but the reading."""
    form = evolve(FORM, required=False)
    layout = Layout("jobintel", "local", evolve(SHIPPED, report=form))
    required = SHIPPED.required(("openai", "cs"))
    files = {path: path.encode() for path in required}
    for named, level in ((files, "declared"), (dict(list(files.items())[1:]), "observed")):
        world = MemoryWorld()
        lay_files(world, CANONICAL, {**files, REPORT: report(named)})
        verification = verify(world.store, layout, PRIMARY_RUN)
        assert (verification.verdict, verification.level) == ("verified", level)
        assert len(verification.read) == len(required)


def test_latest_is_held_against_the_report_and_else_against_the_runs_own_bytes() -> None:
    """Declared where the report names all that latest holds; a faulty report is a problem here, too."""
    some = dict(list(FILES.items())[:1])
    cases: list[tuple[bytes, Mapping[str, bytes], str, str]] = [
        (report(), FILES, "verified", "declared"),
        (report(some), FILES, "verified", "observed"),
        (report(some), {**FILES, "openai/cs/b.json": b"xx"}, "damaged", "observed"),
        (report(a={"sha256": "0" * 64}), FILES, "damaged", "declared"),
        (report(a={"path": "../x"}), FILES, "damaged", "observed"),
        (b"x", FILES, "damaged", "observed"),
    ]
    for body, latest, verdict, level in cases:
        world = MemoryWorld()
        lay_files(world, CANONICAL, {**FILES, REPORT: body})
        lay_files(world, LATEST, latest)
        verification = verify_latest(world.store, LAYOUT, PRIMARY_RUN, whole=False)
        assert verification.verdict == verdict, body
        if body != b"x":
            assert verification.level == level, body


def test_the_whole_latest_has_every_file_that_the_contract_keeps_there() -> None:
    """Asked for the whole, a file that the run has and latest lacks is missing."""
    kept = LAYOUT.workload.latest(("openai", "cs"))
    files = dict.fromkeys(kept, b"x")
    world = MemoryWorld()
    lay_files(world, CANONICAL, files)
    lay_files(world, LATEST, dict(list(files.items())[:1]))
    assert verify_latest(world.store, LAYOUT, PRIMARY_RUN, whole=False).verdict == "verified"
    whole = verify_latest(world.store, LAYOUT, PRIMARY_RUN)
    assert sorted(problem.path for problem in whole.problems) == sorted(kept[1:])


def test_a_report_may_be_as_large_as_a_large_run_makes_it() -> None:
    """Larger than what claims may usually be; more than that is not read."""
    body = report()
    for size, fits in ((LARGEST_BYTES + 1, True), (LARGEST_REPORT_BYTES, True), (LARGEST_REPORT_BYTES + 1, False)):
        world = MemoryWorld()
        lay_files(world, CANONICAL, {**FILES, REPORT: body.ljust(size)})
        if fits:
            assert verify(world.store, LAYOUT, PRIMARY_RUN).level == "declared"
        else:
            with pytest.raises(Unreadable):
                verify(world.store, LAYOUT, PRIMARY_RUN)
