"""drfsm doctor: what each check judges, what voids a proof, the verdict, and its three forms. In memory."""

import configparser
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from attrs import evolve
from jsonschema import Draft202012Validator

from drfsm import __version__
from drfsm.cli.doctor import _fitting
from drfsm.cli.explanations import explained, finding_codes, shipped_machines
from drfsm.dr import workload
from drfsm.dr.terms import terms_of
from drfsm.engine.inputs import check_inputs
from drfsm.errors import ActionFailed, DrfsmError, Unreachable
from drfsm.journal import fold
from drfsm.resources import shipped
from drfsm.runs.doctor import canonical_site, examination, proof, the_sites, the_store, this_machine
from drfsm.runs.doctor.codes import ACCEPTED, CODES, ERROR, MEND, SEVERITIES, UNKNOWN, WARNING, page_table
from drfsm.runs.doctor.findings import Finding, Look, finding
from drfsm.runs.doctor.report import Report, report
from drfsm.runs.trust import sha256_of
from drfsm.spec import load_machine
from drfsm.world import UNTOLD
from tests.command import Drfsm
from tests.dr.memory import MemoryStore
from tests.typed import parse

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
IMAGE = f"registry.example/app@sha256:{'a' * 64}"
GIVEN = {
    "bucket": "results", "prefix": "jobs", "namespace": "batch", "candidate": "local", "provider": "p", "profile": "q",
    "configmap": "settings", "cronjob": "", "cronjob_selector": "", "region": "", "endpoint_url": "",
    "expect_account": "", "kubeconfig_primary": "/p.yaml", "kubeconfig_dr": "/d.yaml", "fence_primary_role": "",
    "fence_dr_role": "", "recovery_point_objective": "", "workload": workload.canonical(workload.shipped()),
}  # fmt: skip


class FakeCluster:
    """A cluster that holds one CronJob, and the objects that it names."""

    def __init__(self, image: str = IMAGE, objects: tuple[str, ...] = ("Secret/s", "ConfigMap/c")) -> None:
        self.image, self.objects, self.permits = image, objects, True
        self.deadline: int | None = 600

    def list(self, _kind: str, _namespace: str, **_labels: str) -> list[Any]:
        """Return the CronJob."""
        pod = {"spec": {"containers": [{"image": self.image}]}}
        spec = {"startingDeadlineSeconds": self.deadline, "jobTemplate": {"spec": {"template": pod}}}
        return [{"metadata": {"name": "daily"}, "spec": spec}]

    def get(self, kind: str, _namespace: str, name: str) -> Any:
        """Return an object that there is."""
        return {} if f"{kind}/{name}" in self.objects else None

    def allowed(self, *_asked: str) -> bool:
        """Return whether it permits anything."""
        return self.permits


class Unreached:
    """A cluster that nobody reaches."""

    def __init__(self) -> None:
        self.asked = 0

    def list(self, *_args: object, **_options: object) -> Any:
        """Fail."""
        self.asked += 1
        raise Unreachable("listing: no answer", cause="Cannot reach primary (timed out): https://p")


def look(**changes: Any) -> Look:
    """Return what the checks look at: a world in which nothing has changed since the drill."""
    account = SimpleNamespace(account=lambda: "111122223333", caller=lambda: "arn:aws:sts::1:assumed-role/drill/now")
    sites = {"primary": changes.pop("primary", FakeCluster()), "dr": changes.pop("dr", FakeCluster())}
    inputs = {**GIVEN, **changes.pop("inputs", {})}
    world: Any = SimpleNamespace(identity=changes.pop("identity", account), site=lambda name: sites[name])
    return Look(
        world=world, store=changes.pop("store", MemoryStore()), run=SimpleNamespace(inputs=inputs),  # type: ignore[arg-type]
        terms=terms_of(inputs), now=NOW, home=Path("/"), drill_interval_seconds=changes.pop("interval", None),
        max_age_seconds=3600.0, read_only=False,
    )  # fmt: skip


DRILL_SHA256 = sha256_of((shipped("machines") / "drill.yaml").read_bytes())
RESULTS: Mapping[str, Any] = {
    "run_preflight": {"account": "111122223333", "caller": "arn:aws:sts::1:assumed-role/drill/then"},
    "start_validation": {"image": IMAGE, "settings_from": ["Secret/s", "ConfigMap/c"]},
    "check_backup": {"backup_uri": "s3://results/jobs/backups/b", "backup_sha256": "b" * 64},
    "verify_validation": {"validated_at": "2026-11-20T00:00:00Z"},
}


def drill(results: Mapping[str, Any] = RESULTS, vouched: str = "own", **fields: Any) -> proof.Drill:
    """Return a green drill."""
    inputs = {"workload": GIVEN["workload"], "bucket": "results", "prefix": "jobs", "infrastructure": "existing"}
    usual: dict[str, Any] = {
        "machine": "drill", "status": "complete", "run_id": "drill-1", "version": __version__,
        "machine_sha256": DRILL_SHA256, "results": dict(results),
    }  # fmt: skip
    inputs |= fields.pop("inputs", {})
    return proof.Drill(evolve(fold(()), **{**usual, "inputs": inputs, **fields}), "/bundle", vouched)


def codes(found: Any) -> list[str]:
    """Return the codes of findings."""
    return [each.code for each in found]


# --- codes ----------------------------------------------------------------------------------------------


def test_every_code_that_is_emitted_is_in_the_table_and_every_one_of_the_table_is_emitted() -> None:
    """So explain knows each, and none is dead."""
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "drfsm/runs/doctor").glob("*.py") if path.stem != "codes"
    )
    assert set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', sources)) >= set(CODES)
    assert set(re.findall(r'(?:finding|_changed)\(\s*"([a-z_]+)"', sources)) <= set(CODES)
    assert {code.severity for code in CODES.values()} <= set(SEVERITIES)


def test_explain_knows_each_code_and_the_guards() -> None:
    """With what it means, how it weighs, and what to do."""
    specs = shipped_machines()
    assert set(finding_codes()) == {*CODES, *(name for spec in specs for name in spec.guards)}
    for name in CODES:
        assert [entry["kind"] for entry in explained(name, specs)] == ["finding"], name
    (entry,) = explained("backup_is_too_old", specs)
    assert entry["weighs"] == ERROR
    assert entry["what_to_do"]


def test_no_code_has_the_name_of_something_else_that_explain_knows() -> None:
    """A code must lead to one meaning."""
    guards = {name for spec in shipped_machines() for name in (*spec.guards, *spec.facts, *spec.states, *spec.triggers)}
    assert not guards & set(CODES)


def test_the_page_lists_the_codes() -> None:
    """docs/doctor.md is the table; DRFSM_REGENERATE=1 rewrites it."""
    page = ROOT / "docs/doctor.md"
    due = re.sub(
        r"(?<=<!-- codes -->\n).*?(?=<!-- end -->)", lambda _: page_table(), page.read_text("utf-8"), flags=re.DOTALL
    )
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(due, encoding="utf-8")
    assert page_table() in due
    assert page.read_text("utf-8") == due


# --- this machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "severity"), [(0, ""), (4, ""), (-4, ""), (6, WARNING), (-200, WARNING), (301, ERROR), (-86400, ERROR)]
)
def test_the_clock_is_held_against_the_stores(seconds: float, severity: str) -> None:
    """A few seconds are the answer's way; above five minutes times mislead."""
    seen = look()
    found = list(this_machine.judge_clock(seen, NOW + timedelta(seconds=seconds), NOW))
    assert [each.severity for each in found] == ([severity] if severity else [])
    assert seen.numbers["clock_skew_seconds"] == seconds


@pytest.mark.parametrize(
    ("until", "severity"),
    [
        ("static", ""), ("renewed", ""), ("temporary", UNKNOWN), (timedelta(hours=5), ""),
        (timedelta(hours=1), WARNING), (timedelta(0), ERROR), (timedelta(days=-1), ERROR),
    ],
)  # fmt: skip
def test_credentials_that_end_during_a_procedure_are_told(until: str | timedelta, severity: str) -> None:
    """And a token of which nobody says when it ends is not known, never fine."""
    ends = until if isinstance(until, str) else NOW + until
    found = list(this_machine.judge_credentials(look(), ends))
    assert [each.severity for each in found] == ([severity] if severity else [])


# --- the sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["drill", "promote", "failback"])
def test_the_inputs_that_are_looked_with_are_inputs_of_the_machine(machine: str) -> None:
    """And ask for nothing: an input that a machine gets later has a value, too."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
    inputs = examination.inputs_for(spec, GIVEN)
    check_inputs(spec, {name: inputs[name] for name in spec.inputs})
    asked = {name for name in spec.inputs if inputs[name] in ("asked", "yes", "true")}
    assert not asked - {"allow_tag"}
    assert inputs["allow_tag"] == "no"


def test_a_failback_is_judged_as_a_start_without_a_fence() -> None:
    """The file names roles, and asks for no fence; what the fence would settle is said beside the finding."""
    spec = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback")
    inputs = examination.inputs_for(spec, {**GIVEN, "fence_primary_role": "a", "fence_dr_role": "b"})
    assert (inputs["fence_primary"], inputs["fence_dr"]) == ("none", "none")
    gitops = Finding("gitops_is_paused", ERROR, "failback", "gitops is present", "pause it")
    other = Finding("dr_owns", ERROR, "failback", "owner is other")
    first, second = examination.with_the_fence([gitops, other], [other])
    assert first.mend == "pause it; or start with --fence-primary --fence-dr: this then passes"
    assert (first.severity, second) == (ERROR, other)


@pytest.mark.parametrize(
    ("primary", "dr", "site"),
    [
        ("on", "off", "primary"), ("on", "none", "primary"), ("off", "on", "dr"), ("off", "mixed", "dr"),
        ("on", "on", ""), ("off", "off", ""), ("not known", "on", ""), ("off", "not known", ""),
    ],
)  # fmt: skip
def test_an_unclaimed_site_is_canonical_if_it_alone_publishes(primary: str, dr: str, site: str) -> None:
    """What the schedules don't tell is not known."""
    assert canonical_site.publishing_site({"primary": primary, "dr": dr}) == site


@pytest.mark.parametrize(("site", "expected"), [("dr", []), ("", ["not_read"]), ("primary", ["runner_is_nobodys"])])
def test_a_machine_that_may_carry_the_canonical_site_is_never_to_be_terminated(site: str, expected: list[str]) -> None:
    """Only where the primary is known to be canonical does a machine of DR count as left over."""
    runner = SimpleNamespace(instance_id="i-1", state="running", tags={})
    seen = look()
    seen.world.infrastructure = SimpleNamespace(runners=lambda _tags: [runner])  # type: ignore[misc]
    found = list(canonical_site.machines(seen, site))
    assert codes(found) == expected
    assert not any("terminate" in each.mend for each in found)


def test_a_site_is_taken_down_if_the_run_saw_its_machines_gone() -> None:
    """Of the same kubeconfig, by a failback that ended; a machine that was left, or a skipped teardown, is none."""
    gone = {"tear_down_dr": {"terminated": ["i-1"], "left": 0}}
    usual: dict[str, Any] = {"machine": "failback", "status": "complete", "inputs": {"kubeconfig_dr": "/d.yaml"}}
    whole = evolve(fold(()), **usual, results=gone)
    assert canonical_site.took_down(whole, "/d.yaml")
    assert not canonical_site.took_down(whole, "/other.yaml")
    nothing = {"tear_down_dr": {"terminated": [], "left": 0}}
    changes: list[dict[str, Any]] = [{"results": {}}, {"status": "held"}, {"machine": "promote"}, {"results": nothing}]
    for change in changes:
        assert not canonical_site.took_down(evolve(whole, **change), "/d.yaml")


@pytest.mark.parametrize(("vouched", "is_last", "run_id"), [(True, True, "f-1"), (False, True, ""), (True, False, "")])
def test_what_only_lies_in_the_bucket_takes_no_site_down(*, vouched: bool, is_last: bool, run_id: str) -> None:
    """Else a forged failback would hide a DR that can't be reached. A later run, even a claimed one, ends its word."""
    gone = {"tear_down_dr": {"terminated": ["i-1"], "left": 0}}
    usual: dict[str, Any] = {"scope": "live", "inputs": {"kubeconfig_dr": "/d.yaml"}}
    failback = evolve(
        fold(()), **usual, machine="failback", status="complete", results=gone, run_id="f-1",
        started_at="2026-03-01T10:00:00Z",
    )  # fmt: skip
    promote = evolve(
        fold(()), **usual, machine="promote", status="held",
        started_at=f"2026-03-01T{'09' if is_last else '11'}:00:00Z",
    )  # fmt: skip
    runs = [(promote, lambda: False), (failback, lambda: vouched)]
    assert canonical_site.by_the_last(runs, "/d.yaml") == run_id


def test_the_row_that_takes_dr_down_has_the_name_that_is_looked_for() -> None:
    """In every row of the failback that terminates machines."""
    spec = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback")
    assert {row.trigger for row in spec.rows if row.action == "terminate_runners"} == {canonical_site.TEAR_DOWN}


def test_a_site_that_was_taken_down_is_told_by_that_reason() -> None:
    """Not as one that can't be reached."""
    seen = look(dr=the_sites.FailsFast(Unreached(), "DR is taken down (run failback-1)"))
    (found,) = the_sites.deadlines(seen)
    assert found.words == "DR is taken down (run failback-1)"


def test_a_cronjob_without_a_deadline_is_told_with_the_command_that_mends_it() -> None:
    """On whichever site."""
    without = FakeCluster()
    without.deadline = None
    (found,) = the_sites.deadlines(look(dr=without))
    assert (found.code, found.subject) == ("schedule_has_no_deadline", "dr: CronJob daily")
    words = shlex.split(found.mend)
    assert words[:3] == ["kubectl", "--kubeconfig", "/d.yaml"]
    assert json.loads(words[-1]) == {"spec": {"startingDeadlineSeconds": 600}}


def test_a_site_that_nobody_reaches_hides_nothing_of_the_other_and_is_asked_once() -> None:
    """One wait, not a dozen."""
    unreached, without = Unreached(), FakeCluster()
    without.deadline = None
    seen = look(primary=the_sites.FailsFast(unreached), dr=without)
    for _ in range(3):
        assert codes(the_sites.deadlines(seen)) == ["not_read", "schedule_has_no_deadline"]
    assert unreached.asked == 1


def test_what_is_denied_is_asked_again() -> None:
    """A denied request says nothing of the next one."""

    class Denied(Unreached):
        def list(self, *_args: object, **_options: object) -> Any:
            self.asked += 1
            raise ActionFailed("denied")

    denied = Denied()
    wrapped = the_sites.FailsFast(denied)
    for _ in range(2):
        with pytest.raises(ActionFailed):
            wrapped.list("CronJob", "batch")
    assert denied.asked == 2


# --- the proof ------------------------------------------------------------------------------------------


def _identity(account: str, role: str) -> dict[str, Any]:
    caller = f"arn:aws:sts::1:assumed-role/{role}/x"
    return {"identity": SimpleNamespace(account=lambda: account, caller=lambda: caller)}


UNTOLD_IDENTITY = SimpleNamespace(account=lambda: f"{UNTOLD}: no STS", caller=lambda: f"{UNTOLD}: no STS")


Reading = Callable[[Look, proof.Drill], Any]
SAME = (proof.machine, proof.workload, proof.image, proof.settings, proof.identity, proof.launch_template, proof.age)
OTHER_IMAGE = f"registry.example/app@sha256:{'b' * 64}"


@pytest.mark.parametrize("reading", SAME, ids=lambda each: each.__name__)
def test_what_has_not_changed_voids_nothing(reading: Reading) -> None:
    """Also another session of the same role, and a drill on a site that there already was."""
    assert list(reading(look(), drill())) == []


@pytest.mark.parametrize(
    ("reading", "seen", "of", "expected"),
    [
        (proof.machine, {}, {"machine_sha256": "0" * 64}, ["proof_of_machine"]),
        (proof.machine, {}, {"version": "0.1.0"}, ["proof_of_version"]),
        (proof.workload, {}, {"inputs": {"workload": ""}}, ["proof_of_workload"]),
        (proof.image, {"dr": FakeCluster(OTHER_IMAGE)}, {}, ["proof_of_image"]),
        (proof.image, {}, {"results": {}}, ["proof_of_image", "proof_of_image"]),
        (proof.settings, {"primary": FakeCluster(objects=("Secret/s",))}, {}, ["proof_of_settings"]),
        (proof.identity, _identity("999900001111", "drill"), {}, ["proof_of_account"]),
        (proof.identity, _identity("111122223333", "other"), {}, ["proof_of_role"]),
        (proof.identity, {"identity": UNTOLD_IDENTITY}, {}, ["not_read", "not_read"]),
        (proof.launch_template, {}, {"inputs": {"infrastructure": "terraform"}}, ["not_read"]),
        (proof.backup, {}, {}, ["proof_of_backup"]),
        (proof.age, {"interval": 86400.0}, {}, ["drill_is_too_long_ago"]),
        (proof.age, {"interval": 86400.0 * 30}, {}, []),
    ],
)  # fmt: skip
def test_a_change_voids_the_proof_that_relied_on_it(
    reading: Reading, seen: dict[str, Any], of: dict[str, Any], expected: list[str]
) -> None:
    """Each by its code; what nobody tells is not read, and never the same."""
    found = list(reading(look(**dict(seen)), drill(**dict(of))))
    assert codes(found) == expected
    assert all(each.words for each in found)


def test_settings_that_may_not_be_read_are_not_known() -> None:
    """Neither there, nor gone."""
    shut = FakeCluster()
    shut.permits = False
    found = list(proof.settings(look(primary=shut), drill()))
    assert [(each.code, each.severity) for each in found] == [("not_read", UNKNOWN)] * 2


def test_a_drill_for_which_nobody_answers_is_told() -> None:
    """Whoever can write to the bucket may have written its records."""
    assert codes(proof.age(look(), drill(vouched="claim"))) == ["drill_is_only_claimed"]
    assert codes(proof.age(look(), drill(vouched="signed"))) == []


def proven(days: float, vouched: str, **fields: Any) -> proof.Drill:
    """Return a green drill that was proven so many days from now."""
    at = (NOW + timedelta(days=days)).isoformat()
    results = {**RESULTS, "verify_validation": {"validated_at": at}}
    return drill(results, vouched, run_id=f"drill-{vouched}-{days:g}", started_at=at, **fields)


FAILED = proven(-9, "own", status="failed")


@pytest.mark.parametrize(
    ("drills", "green", "failed"),
    [
        ([proven(-20, "own"), FAILED], "drill-own--20", 1),
        ([proven(-20, "own"), FAILED, proven(-1, "claim")], "drill-own--20", 1),  # a claim hides neither
        ([proven(-20, "own"), FAILED, proven(9999, "claim")], "drill-own--20", 1),
        ([proven(-20, "own"), FAILED, proven(9999, "signed")], "drill-own--20", 1),  # no clock says so
        ([proven(-20, "own"), FAILED, proven(-1, "signed")], "drill-signed--1", 0),
        ([proven(-20, "signed"), proven(-1, "own")], "drill-own--1", 0),
        ([FAILED, proven(-2, "claim"), proven(-1, "claim")], "drill-claim--1", 1),  # there is no better one
        ([FAILED, proven(1, "claim")], None, 1),
        ([proven(200 / 86400, "own")], "drill-own-0.00231481", 0),  # another clock may be a little ahead
        ([], None, 0),
    ],
    ids=str,
)
def test_a_claim_displaces_no_drill_for_which_somebody_answers(
    drills: list[proof.Drill], green: str | None, failed: int
) -> None:
    """Anybody who can write to the bucket can put a drill there, of any date."""
    known = proof.of_drills(look(), drills, None)
    assert (known.green.state.run_id if known.green else None) == green
    assert len(known.failed) == failed


def test_a_backup_of_the_future_has_no_age() -> None:
    """Its time is a claim, too: it counts as unknown, and not as fresh. A little ahead is another clock."""
    for days, expected in ((9999, ["not_read"]), (0.001, []), (-1, ["backup_is_too_old"])):
        entry = {"uri": "s3://b/k", "damaged": [], "created_at": (NOW + timedelta(days=days)).isoformat()}
        seen = look(inputs={"recovery_point_objective": "3600"})
        assert codes(the_store.age(seen, entry)) == expected


GARBAGE: tuple[Any, ...] = (None, "x", 7, [], ["x"], {}, {"a": {"b": []}}, True)


@pytest.mark.parametrize("value", GARBAGE, ids=repr)
def test_garbage_in_the_records_of_a_drill_is_no_defect(value: Any) -> None:
    """A mirror is a claim: whatever it holds, there is a finding, or the error of what can't be read."""
    fields = ("account", "caller", "image", "settings_from", "backup_uri", "backup_sha256", "validated_at", "plan")
    for results in (dict.fromkeys((*RESULTS, "plan_site", "apply_control_plane"), value),
                    {name: dict.fromkeys(fields, value) for name in RESULTS}):  # fmt: skip
        claimed = drill(results=results)
        for reading in (*SAME, proof.backup, proof.control_plane):
            try:
                assert all(isinstance(each, Finding) for each in reading(look(), claimed))
            except DrfsmError:
                continue
        assert claimed.proven_at is None
        assert not claimed.is_green


# --- the verdict ----------------------------------------------------------------------------------------


def judged(*found: Finding, accepted: tuple[str, ...] = (), interval: float | None = 86400.0 * 30) -> Report:
    """Return the report of these findings, with a green drill."""
    seen, green = look(interval=interval), drill()
    return report(seen, found, ["clock"], accepted, owner="primary", drill=green, until=proof.until(seen, green))


OLD, SHORT, UNREAD = (
    finding("backup_is_too_old", "s3://results/jobs/backups/b", "it is old"),
    finding("credentials_end_soon", "cloud credentials", "soon"),
    finding("not_read", "clock", "no answer"),
)


@pytest.mark.parametrize(
    ("found", "accepted", "verdict"),
    [
        ((), (), "ready"), ((SHORT,), (), "ready"), ((UNREAD,), (), "unknown"), ((OLD, UNREAD), (), "not_ready"),
        ((OLD,), ("backup_is_too_old",), "ready"), ((UNREAD,), ("not_read:clock",), "ready"),
        ((UNREAD,), ("not_read:lease",), "unknown"), ((OLD, UNREAD), ("backup_is_too_old",), "unknown"),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_the_worst_finding_that_nobody_accepted(
    found: tuple[Finding, ...], accepted: tuple[str, ...], verdict: str
) -> None:
    """What could not be read is never ready; an accepted finding stays told."""
    told = judged(*found, accepted=accepted)
    assert told.verdict == verdict
    assert len(told.findings) == len(found)
    assert next(iter(told.lines())).startswith({"ready": "READY", "not_ready": "NOT READY"}.get(verdict, "NOT KNOWN"))
    assert {each.severity for each in told.findings} <= set(SEVERITIES)
    schema = json.loads((shipped("receipts_schema") / "doctor.schema.json").read_bytes())
    assert not list(Draft202012Validator(schema).iter_errors(told.record))
    assert (told.record["ready_until"] is not None) == (verdict == "ready")


def test_readiness_ends_by_date_or_by_fact_and_both_are_said() -> None:
    """Nothing is ready until a day on which nothing was proven."""
    lines = list(judged().lines())
    assert "its proof ends on 2026-12-20 00:00Z, or as soon as something changes" in lines[1]
    assert "its proof ends on no date" in list(judged(interval=None).lines())[1]
    void = judged(finding("proof_of_image", "dr", "another"))
    assert "its proof is void: proof_of_image" in list(void.lines())[1]
    assert void.record["last_green_drill"]["voided_by"] == ["proof_of_image"]
    assert "its proof ended on 2026-11-21" in list(judged(interval=86400.0).lines())[1]
    assert judged(finding("proof_of_image", "dr", "x"), accepted=("proof_of_image",)).voided == []


SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (-?[0-9.e+]+)')


def test_the_textfile_is_one_whatever_a_subject_holds() -> None:
    """Quotes, backslashes, newlines and terminal escapes come from buckets and clusters."""
    hostile = 'a"b\\c\nd{e="f"} 1\n\x1b[31m'
    told = judged(finding("backup_is_too_old", hostile, "x"), SHORT)
    lines = told.textfile().splitlines()
    samples = [SAMPLE.fullmatch(line) for line in lines if not line.startswith("#")]
    assert all(samples), lines
    values = {match[1]: float(match[3]) for match in samples if match}
    assert values["drfsm_doctor_ready"] == 0
    assert values["drfsm_doctor_read_timestamp_seconds"] == NOW.timestamp()
    assert sum(line.startswith("drfsm_doctor_finding{") for line in lines) == 2
    assert [line for line in lines if line.startswith("# TYPE")] == [
        f"# TYPE {name} gauge" for name in dict.fromkeys(match[1] for match in samples if match)
    ]
    assert "\x1b" not in told.textfile()


# --- as a command ---------------------------------------------------------------------------------------


KUBECTL = "kubectl --kubeconfig /a/long/way/to/the/primary.yaml -n jobs patch cronjob daily -p '{\"spec\":{}}'"


@pytest.mark.parametrize(
    "mend", [KUBECTL, f"read it first; if it is right: {KUBECTL}", f"`{KUBECTL}`, then look again"]
)
def test_a_command_that_mends_is_never_folded(mend: str) -> None:
    """A command with a line break in it can't be pasted; words around it are folded."""
    parts = _fitting(f"{MEND}{mend}", 70)
    assert any(KUBECTL in part for part in parts)
    words = "a sentence of many words that no terminal of seventy columns shows on one line"
    assert len(_fitting(f"{MEND}{words}", 70)) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "no bucket is named"),
        (("--bucket", "b", "--prefix", "/"), "--prefix is empty"),
        (("--bucket", "b", "--accept", "backup_is_to_old"), "Did you mean: backup_is_too_old"),
        (("--bucket", "b", "--prometheus", "x.txt"), "*.prom only"),
        (("--bucket", "b", "--recovery-point-objective", "soon"), "recovery point objective"),
        (("--bucket", "b", "--drill-interval", "0"), "--drill-interval"),
        (("--bucket", "b", "--format", "toml"), "--format"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_read(drfsm: Drfsm, argv: tuple[str, ...], words: str) -> None:
    """With 2, in words."""
    answer = drfsm("doctor", *argv)
    assert answer.code == 2
    assert words in answer.err


def test_without_credentials_and_sites_nothing_is_known(drfsm: Drfsm) -> None:
    """Each check says so; none is passed over, and none is a defect."""
    answer = drfsm("doctor", "--bucket", "results", "-o", "json")
    assert answer.code == 9
    told = answer.json
    assert (told["verdict"], told["owner"], told["last_green_drill"]) == ("unknown", None, None)
    subjects = {each["subject"] for each in told["findings"] if each["severity"] == UNKNOWN}
    assert {"clock", "credentials", "conditional writes", "backups", "lease", "runs", "primary", "dr"} <= subjects
    assert not {"clock", "backups", "lease"} & set(told["held"])
    assert "/dev/null" not in answer.out
    assert ACCEPTED not in {each["severity"] for each in told["findings"]}


# --- the page -------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs/doctor.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_command_of_the_page_is_one() -> None:
    """In the units, the manifest and the workflow alike."""
    text = "\n".join((*blocks("ini"), *blocks("yaml"), *re.findall(r"`(ExecStart=[^`]+)`", PAGE)))
    commands = re.findall(r"(?:^|[ =(/])(drfsm (?:doctor|drill|backup list|replay)[^|)\n]*)", text, re.MULTILINE)
    assert len(commands) >= 7
    for command in commands:
        parse(command.replace('"$backup"', "s3://results/jobs/backups/b"))


def test_the_units_the_manifest_and_the_workflow_are_what_they_say() -> None:
    """Each is read as its reader would."""
    service, timer = ({s: dict(u[s]) for s in u.sections()} for u in map(unit, blocks("ini")))
    assert service["Service"]["Type"] == "oneshot"
    assert set(service["Service"]["SuccessExitStatus"].split()) == {"9", "11"}
    assert timer["Timer"]["OnCalendar"] == "hourly"
    alerts, manifest, workflow = map(yaml.safe_load, blocks("yaml"))
    metrics = set(re.findall(r"drfsm_doctor_[a-z_]+", json.dumps(alerts)))
    emitted = {line.split()[2] for line in judged(OLD).textfile().splitlines() if line.startswith("# TYPE")}
    assert metrics <= emitted
    spec = manifest["spec"]
    assert (manifest["kind"], spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == (
        "CronJob",
        "Forbid",
        0,
    )
    assert spec["startingDeadlineSeconds"] > 0
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    volumes = {each["name"] for each in spec["jobTemplate"]["spec"]["template"]["spec"]["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    assert workflow[True]["schedule"]  # YAML 1.1 reads `on` as true
    assert workflow["permissions"]["id-token"] == "write"


def unit(text: str) -> configparser.ConfigParser:
    """Return a unit of systemd."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser
