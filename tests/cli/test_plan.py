"""`drfsm plan`: what would be done now, with nothing done; `--plan FILE`, which does that or says what has changed."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ExitCode
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.runs import plan_files
from tests.command import Answer, Drfsm
from tests.e2e.sites import Site, Sites

pytestmark = [pytest.mark.sandbox]
LEASE = {
    "schema_version": 1, "epoch": 3, "held": True, "run_id": "pointers-x", "operator": "bob", "host": "h",
    "nonce": "0" * 32, "keeps_records": False, "at": "2026-11-28T08:02:45Z", "bundle": "",
}  # fmt: skip
SCHEMA = json.loads((shipped("receipts_schema") / "plan.schema.json").read_bytes())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site where DR is canonical. Each test but the last leaves it as it was."""
    sites = Sites(tmp_path_factory.mktemp("plan"))
    yield sites()
    sites.close()


@pytest.fixture
def typed(site: Site, drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch) -> Drfsm:
    """Return the command, in this process, in an operator's shell at the site."""
    for name, value in site.environ().items():
        monkeypatch.setenv(name, value)
    return drfsm


@pytest.fixture
def plan(site: Site, typed: Drfsm) -> Callable[..., Answer]:
    """Return what plans a failback with more options."""

    def planned(*more: str, dr_run_id: str = "") -> Answer:
        sandbox = site.sandbox
        return typed(
            "plan", "failback", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "--dr-run-id",
            dr_run_id or sandbox.dr_run_id, "--kubeconfig-dr", sandbox.dr.kubeconfig, "--kubeconfig-primary",
            sandbox.primary.kubeconfig, "--receipt-dir", site.bundle, "--soak", "none", "--reason", "a test", *more,
        )  # fmt: skip

    return planned


@pytest.fixture
def file(site: Site, plan: Callable[..., Answer], tmp_path: Path) -> Path:
    """Return the file of a plan that would start: one for all tests, as each leaves the site as the plan has it."""
    kept = site.directory / "failback.plan.json"
    if not kept.exists():
        assert plan("--out", str(kept)).code == ExitCode.DONE
    return Path(shutil.copy(kept, tmp_path))


def started(site: Site, typed: Drfsm, file: Path, *more: str) -> Answer:
    """Start a failback from a plan."""
    return typed(
        "failback", "--plan", file, "--confirm1", "FAILBACK", "--confirm2", f"CONFIRM-{site.sandbox.dr_run_id}", *more
    )


def key(directory: Path, name: str) -> Path:
    """Return the file of a new ssh key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    return directory / name


def trust(directory: Path, names: Mapping[str, Path]) -> None:
    """Write the file of the keys that are trusted."""
    lines = [f"{name} {key.with_suffix('.pub').read_text('utf-8')}" for name, key in names.items()]
    (directory / "signers").write_text("".join(lines), encoding="utf-8")


def row(document: dict[str, Any], trigger: str) -> dict[str, Any]:
    """Return the row of a trigger."""
    return next(each for each in document["rows"] if each["trigger"] == trigger)


# --- plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_says_all_and_changes_nothing(site: Site, plan: Callable[..., Answer]) -> None:
    """Rows, objects, what is known later, the way back, and that no earlier run says how long it takes."""
    before, files = site.world(), set(site.home.rglob("*"))
    answer = plan("-o", "json")
    assert (answer.code, site.world(), set(site.home.rglob("*"))) == (ExitCode.DONE, before, files)
    assert not site.bundle.exists()
    document = answer.json
    assert check(document, SCHEMA) == []
    assert document["outcome"] == "would_start"
    assert row(document, "freeze_dr")["changes"] == [
        {
            "fact": "dr_schedules", "object": "DR: CronJob jobintel/jobintel-daily", "before": "suspend: false",
            "after": "suspend: true",
        }
    ]  # fmt: skip
    assert row(document, "freeze_primary")["already"]
    assert row(document, "demote_dr")["way_back"]["undoes"] == ["demote_dr", "freeze_dr"]
    assert row(document, "switch_global_pointer")["way_back"]["how"] == "forward"
    assert document["point_of_no_return"] == "switch_global_pointer"
    (later,) = [each for each in row(document, "await_validation")["guards"] if each["outcome"] == "later"]
    assert later["why"] == "known after start_validation"
    assert row(document, "confirm_intent")["guards"][0]["why"] == "it is typed when the run starts"
    assert document["missed_runs"][0]["cronjob"] == "jobintel-daily"
    (window,) = document["durations"]["nobody_can_publish"]
    assert (window["from"], window["until"]) == ("demote_dr", "resume_primary")
    assert window["seconds"] == document["durations"]["whole"]["seconds"] == {"unknown": "no earlier run"}


def test_what_stands_in_the_way_is_said_at_once_with_what_to_do(
    site: Site, plan: Callable[..., Answer], tmp_path: Path
) -> None:
    """GitOps would thaw a site, the run is not canonical, another run has the lease: in one plan; exit code 3.

    What is saved of it holds no credential, no token that confirms, no value of the validation's environment.
    """
    key, path = f"{site.sandbox.prefix}/drfsm/lease.json", tmp_path / "refused.plan.json"
    lease = json.dumps(LEASE).encode()
    cronjob = site.sandbox.dr.store.get("cronjobs", "jobintel", "jobintel-daily")
    labels = {**(cronjob["metadata"].get("labels") or {}), "argocd.argoproj.io/instance": "jobintel"}
    site.sandbox.dr.apply({**cronjob, "metadata": {**cronjob["metadata"], "labels": labels}})
    site.s3.put_object(Bucket=site.sandbox.bucket, Key=key, Body=lease)
    token = f"CONFIRM-{site.sandbox.primary_run_id}"
    secret = ("--validation-env", "DEPTH=hunter2", "--confirm1", "FAILBACK", "--confirm2", token)
    try:
        answer = plan(*secret, "--out", str(path), dr_run_id=site.sandbox.primary_run_id)
        assert site.body(key) == lease
    finally:
        site.sandbox.dr.apply(cronjob)
        site.s3.delete_object(Bucket=site.sandbox.bucket, Key=key)
    assert answer.code == ExitCode.REFUSED
    refused = "✗ Would be refused at"
    assert f"{refused} run_preflight: nothing_reverts_us: gitops is present, needed absent|paused" in answer.out
    assert "pause it and confirm with --gitops-paused" in answer.out
    assert f"{refused} confirm_dr_promoted: dr_is_canonical: global_pointer is other, needed dr" in answer.out
    assert "is held by the run pointers-x, started by bob" in answer.out
    assert answer.out.rstrip().splitlines()[-1].startswith("IT WOULD BE REFUSED.")
    text = path.read_text(encoding="utf-8")
    assert [word for word in (*site.secrets(), "hunter2", token) if word in text] == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_can_not_be_read_is_told_and_nothing_is_concluded(site: Site, plan: Callable[..., Answer]) -> None:
    """DR is out of reach: exit code 9, one cause with all that is unknown for it, and the rest of the plan stands."""
    site.sandbox.dr.outage(on=True)
    try:
        answer = plan("-o", "json")
    finally:
        site.sandbox.dr.outage(on=False)
    assert answer.code == ExitCode.UNREACHABLE
    document = answer.json
    assert check(document, SCHEMA) == []
    (cause,) = document["unread"]
    assert cause["why"].startswith("Cannot reach dr")
    assert {"clusters", "dr_reachability"} <= set(cause["facts"])
    (change,) = row(document, "freeze_dr")["changes"]
    assert change["before"]["unknown"].startswith("Cannot reach dr")
    assert row(document, "switch_global_pointer")["changes"]


# --- the file -----------------------------------------------------------------------------------------------------


def edited(file: Path, **fields: Any) -> Path:
    """Return a copy of a plan with other fields, under the digest that fits them."""
    document = {**json.loads(file.read_bytes()), **fields}
    copy = file.with_name("edited.plan.json")
    copy.write_bytes(plan_files.canonical({**document, "sha256": plan_files.digest(document)}))
    return copy


def test_a_file_that_is_no_plan_is_refused_before_anything_is_read(
    site: Site, typed: Drfsm, file: Path, tmp_path: Path
) -> None:
    """Bytes, other JSON, another version, a changed field, another procedure, an option that none may give."""
    before = site.world()
    text = file.read_bytes()
    options = json.loads(text)["options"]
    garbage = {
        "noise": b"\x00\xff", "no object": b"[]", "twice": b'{"a":1,"a":2}', "empty": b"", "deep": b"[" * 100_000,
        "another version": text.replace(b'"schema_version":1', b'"schema_version":2'),
        "a version that is no number": text.replace(b'"schema_version":1', b'"schema_version":true'),
    }  # fmt: skip
    for what, body in garbage.items():
        (tmp_path / "bad").write_bytes(body)
        answer = started(site, typed, tmp_path / "bad")
        assert (answer.code, what) == (ExitCode.USAGE, what), answer
    assert started(site, typed, edited(file, more=1)).code == ExitCode.USAGE
    (tmp_path / "bad").write_bytes(text.replace(b"jobintel-daily", b"jobintel-dailx"))
    assert started(site, typed, tmp_path / "bad").code == ExitCode.EVIDENCE
    for name, value in (
        ("confirm1", "FAILBACK"),
        ("take_over", "x"),
        ("nonsense", "x"),
        ("bucket", ["b"]),
        ("alarms", "a"),
    ):
        answer = started(site, typed, edited(file, options={**options, name: value}))
        assert (answer.code, name in answer.err) == (ExitCode.USAGE, True), answer
    for run_id in ("promote-1", "failback-../x", "failback-a..b"):
        assert started(site, typed, edited(file, run_id=run_id)).code == ExitCode.USAGE
    answer = typed("promote", "--plan", file)
    assert (answer.code, "is the plan of a failback, not of a promote" in answer.err) == (ExitCode.USAGE, True)
    assert site.world() == before


def test_a_plan_of_another_machine_gives_no_place_of_this_one(
    site: Site, typed: Drfsm, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubeconfig that a stranger names could run his program: it must be typed here. Typed, the plan is held to."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "another home"))
    for name in ("KUBECONFIG_DR", "KUBECONFIG_PRIMARY"):  # the sandbox's, and this user's own word
        monkeypatch.delenv(name, raising=False)
    answer = started(site, typed, file)
    assert answer.code == ExitCode.USAGE
    assert "add --kubeconfig-dr, --kubeconfig-primary" in answer.err
    places = ("--kubeconfig-dr", str(site.sandbox.dr.kubeconfig), "--kubeconfig-primary", str(tmp_path / "p"))
    (tmp_path / "p").write_bytes(site.sandbox.primary.kubeconfig.read_bytes())
    answer = started(site, typed, file, *places, "--drain-timeout", "7")
    assert (answer.code, "input drain_timeout: planned 300.0, now 7.0" in answer.err) == (ExitCode.REFUSED, True), (
        answer
    )
    assert "kubeconfig" not in answer.err


def test_a_plan_is_never_written_over_anything_but_a_plan(
    plan: Callable[..., Answer], file: Path, tmp_path: Path
) -> None:
    """A kubeconfig that is named by mistake stays as it is, and the sites are not asked first."""
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    password = plan("--reason", "see https://ann:hunter2@example.org", "--out", str(tmp_path / "new"))
    assert (password.code, "hunter2" in password.err, (tmp_path / "new").exists()) == (ExitCode.USAGE, False, False)
    assert plan("--out", str(tmp_path / "kept")).code == ExitCode.USAGE
    assert plan("--out", str(tmp_path / "no" / "plan")).code == ExitCode.USAGE
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "kept"
    document = json.loads(file.read_bytes())
    assert plan_files.save(file, {**document, "made_by": "bob"}) != document["sha256"]
    assert json.loads(file.read_bytes())["made_by"] == "bob"


# --- done as planned ----------------------------------------------------------------------------------------------


def test_a_world_that_has_moved_on_is_refused_with_each_difference(site: Site, typed: Drfsm, file: Path) -> None:
    """Somebody silenced DR and suspended its CronJob; an option says otherwise: named, and nothing was begun."""
    store = site.sandbox.dr.store
    cronjob = store.get("cronjobs", "jobintel", "jobintel-daily")
    site.sandbox.dr.apply({**cronjob, "spec": {**cronjob["spec"], "suspend": True}})
    moved = site.world()
    try:
        answer = started(site, typed, file)
        assert site.world() == moved
    finally:
        site.sandbox.dr.apply(cronjob)
    assert answer.code == ExitCode.REFUSED
    assert "fact dr_schedules: planned on, now off" in answer.err
    change = "planned suspend: false -> suspend: true, now no change"
    assert f"freeze_dr, DR: CronJob jobintel/jobintel-daily: {change}" in answer.err
    assert "next: look at it again: drfsm plan failback" in answer.err
    other = started(site, typed, file, "--soak", "next")
    assert (other.code, "input soak: planned none, now next" in other.err) == (ExitCode.REFUSED, True)
    assert started(site, typed, file, "--dry-run").code == ExitCode.USAGE


def test_a_plan_that_two_persons_approved_is_done_once(
    site: Site, typed: Drfsm, plan: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole failback under a policy: refused until two trusted keys signed; then as planned, recorded, and audited.

    A wrong token uses nothing up. A second start needs another plan.
    """
    ann, bob, eve, carl = (key(tmp_path, name) for name in ("ann", "bob", "eve", "carl"))
    trust(tmp_path, {"ann@example.org": ann, "bob@example.org": bob, "carl@example.org": carl})
    toml = tmp_path / "drfsm.toml"
    rules = '[policies.failback]\napprovals = 2\ndistinct = true\nexpires = "8h"\nsigned = true\n'
    toml.write_text(f'{rules}[trust]\nallowed_signers = "signers"\n', encoding="utf-8")
    monkeypatch.setenv("DRFSM_CONFIG", str(toml))
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(carl))  # who starts it
    file = tmp_path / "failback.plan.json"
    planned = plan("--out", str(file))
    assert (planned.code, "2 approvals by 2 persons, each signed" in planned.out) == (ExitCode.DONE, True), planned
    document = json.loads(file.read_bytes())
    digest = document["sha256"]

    def approve(by: Path, *more: str) -> Answer:
        return typed("approve", file, "--ticket", "CHG-7", "--plan", digest, "--operator", by.name, "--key", by, *more)

    before, files = site.world(), set(site.home.rglob("*"))
    lacking = started(site, typed, file)
    assert (lacking.code, "2 needed, 0 valid" in lacking.err) == (ExitCode.REFUSED, True), lacking
    approved = approve(ann, "--reason", "looked at it")
    assert (approved.code, f"next: drfsm failback --plan {file}" in approved.err) == (ExitCode.DONE, False), approved
    for other in (eve, carl, ann):  # nobody trusts one, one starts it, one did already
        assert approve(other).code == ExitCode.DONE
    lacking = started(site, typed, file)
    assert lacking.code == ExitCode.REFUSED
    for code in ("approval_signer_unknown", "approval_by_starter", "approval_repeated", "2 needed, 1 valid"):
        assert code in lacking.err, code
    assert f"next: drfsm failback --plan {file}" in approve(bob).err
    wrong = started(site, typed, file, "--confirm1", "no")
    assert (wrong.code, "--confirm1 is another word" in wrong.err) == (ExitCode.REFUSED, True), wrong
    monkeypatch.delenv("DRFSM_SIGNING_KEY")
    assert "start_not_signed" in started(site, typed, file).err
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(carl))
    assert (site.world(), set(site.home.rglob("*")), site.bundle.exists()) == (before, files, False)

    (site.bundle / ".lock").mkdir(parents=True)  # so that the run can't begin
    assert started(site, typed, file).code == ExitCode.DAMAGED
    (site.bundle / ".lock").rmdir()

    answer = started(site, typed, file)
    assert answer.code == ExitCode.DONE, answer
    assert "approved by ann (signed by ann@example.org, SHA256:" in answer.err
    assert "does not count: approval_signer_unknown: that of eve" in answer.err
    as_approved(site, typed, document, toml)
    again = started(site, typed, file)
    assert again.code == ExitCode.REFUSED, again


def as_approved(site: Site, typed: Drfsm, document: dict[str, Any], toml: Path) -> None:
    """Hold the run against its plan, and what it says of its approvals against what was given."""
    assert site.run_id == document["run_id"]
    first = site.records()[0]["body"]
    inputs = {name: value for name, value in document["inputs"].items() if name != "workload"}
    assert {name: first["inputs"][name] for name in inputs} == inputs
    assert json.loads((site.bundle / "plan.json").read_bytes()) == document
    assert first["config"] == {"path": str(toml), "sha256": sha256(toml.read_bytes()).hexdigest()}
    assert {each["signer"] for each in first["approval"]["given"]} == {"ann@example.org", "bob@example.org"}
    summary = json.loads((site.bundle / "failback.summary.json").read_bytes())
    assert [each["by"] for each in summary["approvals"]["given"]] == [
        each["statement"]["by"] for each in first["approval"]["given"]
    ]
    assert check(summary, json.loads((shipped("receipts_schema") / "failback.summary.schema.json").read_bytes())) == []
    assert "approved by bob (signed by bob@example.org" in typed("status", site.bundle).out
    assert typed("replay", site.bundle, "--quiet").code == ExitCode.DONE
    (audited,) = typed("audit", site.bundle, "-o", "json").json["bundles"]
    assert (audited["rules"]["approval"], audited["rules"]["files"]) == ("held", "held"), audited["findings"]
    (site.bundle / "plan.json").write_bytes(plan_files.canonical({**document, "policy": None}))
    assert "plan in the bundle was changed" in typed("replay", site.bundle, "--quiet").out
    assert "[plan_was_changed]" in typed("audit", site.bundle).out
