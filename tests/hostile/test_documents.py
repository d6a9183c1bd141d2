"""Every document that lies where others can write: each kind of garbage, through the real verbs and facts.

None of it is taken for "nothing there", for healthy, or for a value that a healthy document would give: a fact is
unknown, a verb says what it could not read and exits with a documented code, never with 1.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli import main
from drfsm.dr import workload
from drfsm.dr.artifacts import run_report
from drfsm.dr.layout import Layout
from drfsm.dr.pointers import ownership, pointers
from drfsm.dr.sites import schedules
from drfsm.dr.terms import terms_of
from drfsm.dr.validation import receipt as validation_receipt
from drfsm.engine import Run, SystemClock
from drfsm.errors import Unreadable
from drfsm.journal import Record, lines
from drfsm.resources import shipped
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from tests.test_claims import JSON_GARBAGE

RUN, OLDER = "2026-02-27T00:22:29.934039+00:00", "2026-02-26T00:22:29.934039+00:00"
AT = "2026-02-27T00:00:00.000000Z"
HOSTILE = "\x1b[2J\r\x9b31m\u202e"
GARBAGE = {name: raw for name, (raw, _) in JSON_GARBAGE.items()}
SHAPES = {"a list": b"[]", "null": b"null", "a text": b'"x"', "a number": b"5"}
POINTER = {"run_id": RUN, "run_path": f"jobintel/runs/{RUN}", "ended_at": RUN, "provider_profiles": {"openai:cs": RUN}}


def with_field(document: dict[str, Any], **fields: Any) -> bytes:
    """Return a document in which some fields are others."""
    return json.dumps({**document, **fields}).encode()


NO_POINTERS = {
    **GARBAGE,
    **SHAPES,
    "an empty object": b"{}",
    "no run": with_field(POINTER, run_id=None),
    "a run that is a number": with_field(POINTER, run_id=7),
    "a run without a name": with_field(POINTER, run_id=""),
    "a run that leads elsewhere": with_field(POINTER, run_id="../../drfsm"),
    "a run that steers a terminal": with_field(POINTER, run_id=HOSTILE),
    "an end that is no time": with_field(POINTER, ended_at="yesterday"),
    "an end in the year 99999": with_field(POINTER, ended_at="99999-01-01T00:00:00Z"),
    "an end that is a number": with_field(POINTER, ended_at=5),
    "pairs in a list": with_field(POINTER, provider_profiles=["openai:cs"]),
    "a pair that leads elsewhere": with_field(POINTER, provider_profiles={"../x:cs": RUN}),
    "five thousand pairs": with_field(POINTER, provider_profiles={f"p{each}:cs": RUN for each in range(5000)}),
    "a place that is a number": with_field(POINTER, run_path=5),
    "more than a pointer has": with_field(POINTER, more="a" * (1 << 20)),
}
OWNED = {"schema_version": 1, "site": "dr", "cluster_uid": "a-b", "epoch": 1, "run": "x", "nonce": "x"}
NO_OWNERS = {
    **GARBAGE,
    **SHAPES,
    "an empty object": b"{}",
    "no site": with_field(OWNED, site=None),
    "a site that is a list": with_field(OWNED, site=["dr"]),
    "a site that steers a terminal": with_field(OWNED, site=HOSTILE),
    "a cluster that is a number": with_field(OWNED, cluster_uid=5),
    "a cluster without end": with_field(OWNED, cluster_uid="a" * 5000),
    "a run that leads elsewhere": with_field(OWNED, run="../x"),
}


class Bench:
    """A bucket, and drfsm's verbs on it in this process."""

    def __init__(self, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
        from drfsm.adapters.aws import connect

        self.s3, self.bucket, self._capsys = cloud.client("s3"), "documents", capsys
        self.endpoint = cloud.endpoint
        self.store = connect(bucket=self.bucket, endpoint_url=cloud.endpoint, region=REGION).store
        self.inputs: dict[str, Any] = {
            "workload": "", "bucket": self.bucket, "prefix": "jobintel", "candidate": "local", "provider": "openai",
            "profile": "cs",
            "dr_run_id": RUN, "primary_run_id": OLDER,
        }  # fmt: skip
        self.keys = [*Layout("jobintel").global_pointers(), *Layout("jobintel").provider_pointers([("openai", "cs")])]
        for key in self.keys:
            self.put(key, json.dumps(POINTER).encode())

    def put(self, key: str, body: bytes) -> None:
        """Put an object, as anybody else would."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def run(self, *argv: str, at_bucket: bool = True) -> tuple[int, str]:
        """Run a verb; return its exit code and all that it said, which can't steer a terminal."""
        where = ("--bucket", self.bucket, "--endpoint-url", self.endpoint) if at_bucket else ()
        self._capsys.readouterr()
        code = main.run([*argv, *where])
        said = "".join(self._capsys.readouterr())
        assert harmless(said), said
        assert "defect" not in said, said
        return code, said

    def world(self) -> Any:
        """Return a world that is nothing but this bucket."""
        from attrs import fields

        from drfsm.world import World

        return World(**{**dict.fromkeys(each.name for each in fields(World)), "store": self.store})  # type: ignore[arg-type]

    def here(self) -> Run:
        """Return what a fact is handed."""
        return Run("run-1", self.inputs, "ann", 1, False, "test", {}, {}, SystemClock())  # noqa: FBT003


def harmless(text: str) -> bool:
    """Say whether nothing in a text but its line ends is unprintable."""
    return all(character == "\n" or character.isprintable() for character in text)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One moto server for all tests, with one bucket."""
    with Cloud() as started:
        started.create_bucket("documents")
        yield started


@pytest.fixture
def bench(cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """Return the bucket with a whole pointer set, and an operator's environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "DRFSM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    return Bench(cloud, capsys)


# --- pointers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", NO_POINTERS.values(), ids=NO_POINTERS)
def test_what_is_no_pointer_is_never_absent_and_never_healthy(bench: Bench, raw: bytes) -> None:
    """Facts over it are unknown, `pointers show` exits with 11, the lists of runs with 9; each names the key."""
    key = bench.keys[0]
    bench.put(key, raw)
    facts = {**pointers.FACTS, **pointers.PROMOTE}
    for name in ("global_pointer", "canonical_run", "pointers_present"):
        with pytest.raises(Unreadable, match=key):
            facts[name].observe(bench.world(), bench.here())
    code, said = bench.run("pointers", "show")
    assert (code, key in said, "UNREADABLE" in said) == (11, True, True)


@pytest.mark.parametrize("name", ["no run", "an empty object", "UTF-16", "more than is read"])
def test_every_verb_that_looks_at_pointers_says_which_can_not_be_read(bench: Bench, name: str) -> None:
    """`runs list` and `runs show` show what they can and exit with 9; JSON stays JSON."""
    key = bench.keys[0]
    bench.put(key, NO_POINTERS[name])
    code, said = bench.run("pointers", "show", "-o", "json")
    assert (code, json.loads(said)["verdict"]) == (11, "wrong")
    for verb in (("runs", "list"), ("runs", "show", RUN)):
        code, said = bench.run(*verb)
        assert (code, key in said, "next: " in said) == (9, True, True)


@pytest.mark.parametrize("name", ["an empty object", "more than a pointer has", "more than is read", "UTF-16"])
def test_a_person_sets_pointers_past_garbage_and_says_that_the_run_may_be_older(bench: Bench, name: str) -> None:
    """Whoever is about to replace it needs not be able to read it; without a word for its age he is refused."""
    for path in workload.shipped().required(("openai", "cs")):
        bench.put(f"jobintel/runs/{RUN}/{path}", b"a,b\n")
    for key in bench.keys[:2]:
        bench.put(key, NO_POINTERS[name])
    given = ("--confirm", f"CONFIRM-{RUN}", "--reason", "mended")
    code, said = bench.run("pointers", "set", RUN, *given)
    assert (code, "may be older" in said) == (3, True), said
    code, said = bench.run("pointers", "set", RUN, *given, "--allow-older")
    assert code == 0, said
    assert bench.run("pointers", "show")[0] == 0


def test_a_pointer_that_leads_elsewhere_or_names_nobody_is_no_healthy_one(bench: Bench) -> None:
    """Its run_path is held against the layout, and told; nobody follows it."""
    for key in bench.keys:  # as a rehearsal leaves it, or whoever forges drfsm's mark
        bench.put(key, with_field(POINTER, run_id="", run_path=None, drfsm={"run": "x", "epoch": 1}))
    code, said = bench.run("pointers", "show")
    assert (code, "names no run" in said) == (11, True)
    for key in bench.keys:
        bench.put(key, json.dumps(POINTER).encode())
    bench.put(bench.keys[0], with_field(POINTER, run_path="jobintel/runs/another"))
    code, said = bench.run("pointers", "show")
    assert (code, "leads to jobintel/runs/another" in said) == (11, True)
    seen = pointers.FACTS["global_pointer"].observe(bench.world(), bench.here())
    assert pointers.FACTS["global_pointer"].judge(seen, bench.inputs) == "other"


# --- the owner ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", NO_OWNERS.values(), ids=NO_OWNERS)
def test_what_is_no_ownership_object_leaves_the_owner_unknown(bench: Bench, raw: bytes) -> None:
    """Neither unclaimed, as where there is none, nor another's: unknown, with words, in every machine."""
    from drfsm.dr.procedures import drill

    bench.put(terms_of(bench.inputs).layout.own("ownership.json"), raw)
    seen = ownership.FACTS["owner"].observe(bench.world(), bench.here())
    assert ownership.FACTS["owner"].judge(seen, bench.inputs) is None
    assert "ownership" in seen["why"]
    assert harmless(seen["why"])
    seen = drill._ownership(bench.world(), bench.here())
    assert drill._judge_owner(seen, bench.inputs) is None


# --- reports, receipts, annotations, bundles ------------------------------------------------------------

BAD_DOCUMENTS = {**GARBAGE, **SHAPES, "an empty object": b"{}"}


@pytest.mark.parametrize("raw", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_reports_receipts_and_files_of_the_operator(bench: Bench, raw: bytes, tmp_path: Path) -> None:
    """A run with such a report is damaged (11); a receipt, a profile or prices like that are wrong usage (2)."""
    bench.put(f"jobintel/runs/{RUN}/run_report.json", raw)
    form = workload.shipped().report
    assert form is not None
    assert run_report.declared(raw, RUN, form).problems
    assert bench.run("runs", "verify", RUN)[0] == 11
    path = tmp_path / "garbage.json"
    path.write_bytes(raw)
    assert validation_receipt.malformed(validation_receipt.parsed(raw.decode("utf-8", "replace")))
    assert bench.run("runs", "compare", "--offline", str(tmp_path), str(tmp_path), "--comparison-profile", str(path),
                     at_bucket=False)[0] == 2  # fmt: skip
    promote = ("promote", "--kubeconfig-dr", str(path), "--validation-receipt", str(path), "--reason", "x")
    assert bench.run(*promote)[0] == 2
    bench.put("jobintel/control-plane/current.json", raw)
    assert bench.run("control-plane", "fetch", "--prefix", "jobintel")[0] in (9, 11)


BAD_RECORDS = {
    **{name: raw.decode("utf-8", "replace") for name, raw in {**GARBAGE, **SHAPES}.items() if name != "Latin-1"},
    "a word for a flag": '{"suspend": "no"}',
    "a number for a text": '{"data": {"X": 1}}',
}


@pytest.mark.parametrize("raw", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_an_annotation_that_is_no_record_is_never_taken_for_none(raw: str) -> None:
    """Whoever may edit a CronJob may write it: unreadable, with the command that takes it off."""
    manifest = {"kind": "CronJob", "metadata": {"name": "jobintel-daily", "annotations": {schedules.BEFORE: raw}}}
    with pytest.raises(Unreadable) as refused:
        schedules.before_of(manifest)
    assert "kubectl annotate cronjob jobintel-daily drfsm/before-" in refused.value.hint


# --- declarations ---------------------------------------------------------------------------------------

BAD_YAML = {
    "a hundred thousand levels": b"[" * 100_000,
    "levels of blocks": b"".join(b" " * depth + b"a:\n" for depth in range(3000)),
    "levels on one line": b"- " * 100_000 + b"a",
    "more than a declaration has": b"a: " + b"b" * (2 << 20),
    "UTF-16": "machine: x".encode("utf-16"),
    "an escape": b"machine: \x1b[2J",
    "a tag of a program": b"machine: !!python/object/apply:os.system [id]",
    "a key that stands twice": b"machine: a\nmachine: b\n",
}


@pytest.mark.parametrize("raw", BAD_YAML.values(), ids=BAD_YAML)
def test_a_declaration_that_is_none_is_wrong_usage_and_kills_nobody(bench: Bench, raw: bytes, tmp_path: Path) -> None:
    """Depth is counted before anything recurses: the C composer would end the process with SIGSEGV."""
    path = tmp_path / "machine.yaml"
    path.write_bytes(raw)
    assert bench.run("machine", "check", str(path), at_bucket=False)[0] == 2


# --- journals and bundles -------------------------------------------------------------------------------

ROW = {"row": "canonical_dr --freeze--> frozen", "trigger": "freeze", "from": "canonical_dr", "to": "frozen"}
SAW = {"owner": {"value": "dr", "seen": {"site": "dr"}, "why": "so"}}
CHECKS = [{"guard": "g", "fact": "owner", "value": "dr", "needed": ["dr"], "seen": {}, "because": "b", "holds": True}]
WAYS = [{"do": "abort", "because": "give back", "args": ["reason", "dr_run_id"]}]
HELD = {"state": "frozen", "stage": "x", "reason": "a person decides", "frozen": ["a"], "ways": WAYS, "way": "w"}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("run_started", {"run_id": "failback-1", "machine": "failback", "machine_sha256": "0" * 64, "version": "1",
                     "inputs": {"bucket": "b"}, "operator": "ann", "host": "h", "dry_run": False, "scope": "live",
                     "state": "canonical_dr"}),
    ("lease_acquired", {"epoch": 1, "operator": "ann", "host": "h"}),
    ("sampled", {"row": ROW["row"], "state": "canonical_dr", "facts": SAW, "holds": True}),
    ("intent", {**ROW, "by": "runner", "attempt": 1, "effect": "idempotent", "guards": CHECKS, "facts": SAW,
                "before": {"owner": {"site": "dr"}}, "frozen": ["nobody can publish: x"], "undo": "thaw", "args": {}}),
    ("failed", {"row": ROW["row"], "trigger": "freeze", "state": "canonical_dr", "attempt": 1, "error": "no",
                "verdict": "not_done"}),
    ("repaired", {"row": ROW["row"], "action": "look", "result": None}),
    ("commit", {**ROW, "by": "operator", "how": "acted", "guards": CHECKS, "facts": SAW, "result": {"a": 1},
                "frozen": [], "ways": WAYS, "because": "LEFT OUT: x", "args": {"reason": "r", "operator": "ann"}}),
    ("resolved", {"row": ROW["row"], "outcome": "done", "reason": "seen", "operator": "ann"}),
    ("rejected", {"state": "frozen", "trigger": "x", "why": "no", "legal": ["abort"]}),
    ("held", HELD),
    ("resumed", {"operator": "bob", "host": "h", "state": "frozen"}),
    ("held", HELD),
]  # fmt: skip
NONSENSE: list[Any] = [None, 7, HOSTILE, [], {}, [HOSTILE], {HOSTILE: 1}]


def bundle(place: Path, bodies: list[tuple[str, dict[str, Any]]], at: str = AT) -> Path:
    """Lay a bundle whose chain holds, whatever its records say."""
    place.mkdir(parents=True)
    records = [Record(number, kind, at, body) for number, (kind, body) in enumerate(bodies)]
    (place / "state_transitions.log").write_bytes(b"".join(lines(records)))
    (place / "failback.yaml").write_bytes((shipped("machines") / "failback.yaml").read_bytes())
    return place


def spoiled(kind: int, key: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the records with one part of one body replaced."""
    return [(name, {**body, key: value} if number == kind else body) for number, (name, body) in enumerate(BODIES)]


PARTS = [(number, key) for number, (_, body) in enumerate(BODIES[:-1]) for key in body]


@pytest.mark.parametrize(("number", "key"), PARTS, ids=[f"{BODIES[number][0]}.{key}" for number, key in PARTS])
def test_a_journal_of_nonsense_that_chains_is_told_or_refused_by_its_line(
    bench: Bench, number: int, key: str, tmp_path: Path
) -> None:
    """Whoever writes the whole chain can write anything: status, list and replay say so, and never break."""
    for which, value in enumerate(NONSENSE):
        place = bundle(tmp_path / f"home/runs/{which}", spoiled(number, key, value))
        code, said = bench.run("status", str(place), at_bucket=False)
        assert code == 0 or (code == 7 and f"line {number + 1} " in said), said
        summary = place / "failback.summary.json"
        assert not summary.exists() or harmless(summary.read_text())
    assert bench.run("replay", str(place), "-v", at_bucket=False)[0] in (6, 7)
    assert bench.run("list", at_bucket=False)[0] == 0


LINES: dict[str, Callable[[bytes], bytes]] = {
    "a line of nine million bytes": lambda raw: raw.replace(b'"b"', b'"' + b"b" * (9 << 20) + b'"', 1),
    "a hundred thousand levels": lambda raw: raw.replace(b'"b"', b"[" * 100_000, 1),
    "half of a surrogate pair": lambda raw: raw.replace(b'"b"', b'"\\ud800"', 1),
    "a number without end": lambda raw: raw.replace(b'"b"', b"9" * 5000, 1),
    "a number too large": lambda raw: raw.replace(b'"b"', b"1e999", 1),
    "a key that stands twice": lambda raw: raw.replace(b'"bucket"', b'"bucket":1,"bucket"', 1),
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
}


@pytest.mark.parametrize("spoil", LINES.values(), ids=LINES)
def test_a_line_beyond_the_limits_is_damage_by_its_number(
    bench: Bench, spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Exit 7, and the line: for status and replay; `list` tells the run as damaged and shows the others."""
    place = bundle(tmp_path / "home/runs/a", BODIES)
    bundle(tmp_path / "home/runs/b", BODIES)
    log = place / "state_transitions.log"
    log.write_bytes(spoil(log.read_bytes()))
    for verb in ("status", "replay"):
        code, said = bench.run(verb, str(place), at_bucket=False)
        assert (code, "line 1 " in said) == (7, True), said
    code, said = bench.run("list", at_bucket=False)
    assert (code, "damaged" in said, "frozen" in said) == (0, True, True)


@pytest.mark.parametrize("raw", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_summary_that_is_garbage_is_written_anew(bench: Bench, raw: bytes, tmp_path: Path) -> None:
    """It is derived: status prints what the journal says and makes it true again."""
    place = bundle(tmp_path / "home/runs/a", BODIES)
    summary = place / "failback.summary.json"
    summary.write_bytes(raw)
    assert bench.run("status", str(place), at_bucket=False)[0] == 0
    assert json.loads(summary.read_bytes())["run_id"] == "failback-1"


# --- times ----------------------------------------------------------------------------------------------

TIMES = [
    ("2026-02-27T01:00:00+02:00", "2026-02-26T23:30:00Z", False),  # as text it is later
    ("2026-02-27T00:00:00Z", "2026-02-27T01:30:00+02:00", True),  # as text it is earlier
    ("2026-02-27T00:00:00.5+00:00", "2026-02-27T00:00:00Z", True),  # "." comes before "Z"
    ("2026-02-27T00:00:00Z", None, True),
    ("yesterday", "2026-02-27T00:00:00Z", None),
    ("2026-02-27T00:00:00Z", "tomorrow", None),
    (None, "2026-02-27T00:00:00Z", None),
]


@pytest.mark.parametrize(("ended_at", "canonical", "newer"), TIMES)
def test_a_soak_is_judged_by_moments_or_not_at_all(ended_at: Any, canonical: Any, newer: bool | None) -> None:
    """Mixed offsets and precision made a fresh run failed, and an older one passed."""
    from drfsm.dr.validation.soak import FACTS

    seen = {"verification": {"verdict": "verified"}, "ended_at": ended_at, "canonical_run_ended_at": canonical}
    verdict = FACTS["soak_result"].judge({**seen, "job": "complete"}, {})
    assert verdict == {True: "passed", False: "failed", None: None}[newer]


@pytest.mark.parametrize(("ended_at", "canonical", "newer"), TIMES)
def test_a_half_moved_set_is_told_by_moments(ended_at: Any, canonical: Any, newer: bool | None) -> None:
    """A provider pointer behind the deciding one names an older run, whatever its time is written like."""
    behind, deciding = {"run_id": OLDER, "ended_at": canonical}, {"run_id": RUN, "ended_at": ended_at}
    seen = {"decides": "a", "pointers": {"a": deciding, "b": behind}}
    half = newer is True and canonical is not None
    assert pointers.FACTS["pointer_set"].judge(seen, {}) == ("half_moved" if half else "torn")


def test_what_can_not_be_read_again_is_never_written() -> None:
    """A writer that journalled what readers refuse would lock itself out."""
    from drfsm.journal import exact

    deep: Any = 1
    for _ in range(80):
        deep = [deep]
    for value in (deep, 1 << 70, float("nan"), "\ud800"):
        with pytest.raises(ValueError, match=r"levels|range|JSON|surrogate"):
            exact(value)
