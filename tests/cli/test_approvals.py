"""`drfsm approve PLAN`, `drfsm decline PLAN`, and the policy that asks for them: what is refused before it is read.

A whole failback under a policy is in test_plan.py; which approvals count, in tests/evidence/test_approvals.py.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from drfsm.cli import config_defaults, policies
from drfsm.cli.main import cli
from drfsm.errors import DeclarationFault, ExitCode, NotApproved, UsageFault
from drfsm.evidence.approvals import CODES, Policy, page_table
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.runs import plan_files, wiring
from drfsm.runs.invocation import Invocation
from tests.cli.conftest import given
from tests.command import Answer, Drfsm

ROOT = Path(__file__).parents[2]
RULES = "[policies.failback]\napprovals = 2\n[policies.drill]\napprovals = 1\n"
NONE = {"none": "there is none"}


def written(directory: Path, procedure: str = "failback", **fields: Any) -> Path:
    """Return the file of a plan, the smallest that fits the schema."""
    row = {
        "number": 1, "row": "a --b--> c", "trigger": "b", "from": "a", "to": "c", "by": "runner", "because": "why",
        "action": NONE, "point_of_no_return": False, "sets": {}, "guards": [], "changes": [], "already": False,
        "waits_at_most": NONE, "frozen_then": [], "seconds": NONE,
        "way_back": {"how": "none", "words": "nothing was changed", "undoes": [], "keeps": []},
    }  # fmt: skip
    plan: dict[str, Any] = {
        "schema_version": 1, "procedure": procedure, "machine_sha256": "a" * 64, "version": "0.7.0",
        "made_at": "2026-11-28T08:02:45Z", "made_by": "carl", "run_id": f"{procedure}-1", "options": {}, "inputs": {},
        "withheld": {}, "facts": {}, "frozen_now": [], "rows": [row], "findings": [], "unread": [],
        "point_of_no_return": NONE, "missed_runs": NONE, "lease": NONE, "outcome": "would_start",
        "durations": {
            "whole": {"seconds": 1.0, "not_counted": [], "decisions": []}, "nobody_can_publish": [], "earlier_runs": [],
        },
        "policy": Policy(2, True, 3600.0, False).json, **fields,  # noqa: FBT003  the fields' names stand in the class
    }  # fmt: skip
    assert check(plan, json.loads((shipped("receipts_schema") / "plan.schema.json").read_bytes())) == []
    plan["sha256"] = plan_files.digest(plan)
    path = directory / "p.plan.json"
    path.write_bytes(plan_files.canonical(plan))
    return path


def digest(plan: Path) -> str:
    """Return a plan's digest."""
    return str(json.loads(plan.read_bytes())["sha256"])


def beside(plan: Path) -> list[dict[str, Any]]:
    """Return every answer that lies beside a plan."""
    return [json.loads(path.read_bytes()) for path in sorted(plan.parent.glob(f"{plan.name}.*"))]


# --- a person's answer ----------------------------------------------------------------------------------


def test_an_answer_is_bound_to_the_plan_and_lies_beside_it(drfsm: Drfsm, tmp_path: Path) -> None:
    """Whole plan first, then what to type; nobody else may read it; who, under which ticket, why, when."""
    plan = written(tmp_path)
    shown = drfsm("approve", plan, "--ticket", "CHG 7")
    assert (shown.code, beside(plan)) == (ExitCode.REFUSED, [])
    assert "needs    2 approvals by 2 persons" in shown.err
    assert f"drfsm approve {plan} --ticket 'CHG 7' --plan {digest(plan)}" in shown.err
    assert "is not the digest" in drfsm("approve", plan, "--ticket", "x", "--plan", "b" * 64).err
    assert beside(plan) == []
    yes = drfsm("approve", plan, "--ticket", "CHG-7", "--operator", "ann", "--plan", digest(plan).upper())
    assert (yes.code, "1 lie beside the plan" in yes.err) == (ExitCode.DONE, True), yes
    no = drfsm("decline", plan, "--reason", "not this week", "--operator", "bob")
    assert no.code == ExitCode.DONE
    said = {each["statement"]["by"]: each["statement"] for each in beside(plan)}
    assert {name: each["decision"] for name, each in said.items()} == {"ann": "approve", "bob": "decline"}
    assert {each["plan_sha256"] for each in said.values()} == {digest(plan)}
    assert {each["run_id"] for each in said.values()} == {"failback-1"}
    assert said["ann"]["os_user"]["uid"] == os.geteuid()
    assert (said["ann"]["ticket"], said["bob"]["reason"]) == ("CHG-7", "not this week")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.approval.json")} == {0o600}


def test_a_signed_answer_verifies_with_ssh_keygen_alone(drfsm: Drfsm, tmp_path: Path) -> None:
    """Nobody needs drfsm to check it: the signature is over the canonical JSON of the statement."""
    plan = written(tmp_path, policy=Policy(1, False, 3600.0, True).json)  # noqa: FBT003
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "ann"], check=True)
    typed = ("approve", plan, "--ticket", "CHG-7", "--plan", digest(plan))
    assert "SIGNED approvals: this one does not count" in drfsm(*typed, "--out", tmp_path / "unsigned").err
    assert drfsm(*typed, "--key", tmp_path / "ann", "--out", tmp_path / "signed").code == ExitCode.DONE
    (tmp_path / "allowed").write_text(f"ann {(tmp_path / 'ann.pub').read_text('utf-8')}", encoding="utf-8")
    signed = json.loads((tmp_path / "signed").read_bytes())
    (tmp_path / "signature").write_text(signed["signature"], encoding="utf-8")
    message = json.dumps(signed["statement"], sort_keys=True, separators=(",", ":")).encode()
    verify: list[str | Path] = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "allowed", "-I", "ann"]
    verify += ["-n", "drfsm-approval", "-s", tmp_path / "signature"]
    assert subprocess.run(verify, input=message, check=False, capture_output=True).returncode == 0
    assert subprocess.run(verify, input=message + b" ", check=False, capture_output=True).returncode != 0


def test_what_is_no_plan_to_approve_is_refused_and_nothing_is_written(drfsm: Drfsm, tmp_path: Path) -> None:
    """An edited plan, another file, a promote's plan, a file that is there, a key that is none."""
    plan = written(tmp_path)
    files = set(tmp_path.iterdir())
    typed = ("approve", plan, "--ticket", "CHG-7", "--plan", digest(plan))
    for more, words in (
        (("--out", plan), "is there: it is not overwritten"),
        (("--key", tmp_path / "lost"), "can't sign"),
        (("--key", plan), "can't sign"),
    ):
        answer = drfsm(*typed, *more)
        assert (answer.code, words in answer.err) == (ExitCode.USAGE, True), answer
    assert drfsm("approve", ROOT / "pyproject.toml", "--ticket", "x").code == ExitCode.USAGE
    text = plan.read_bytes()
    plan.write_bytes(text.replace(b"carl", b"eve!"))
    assert drfsm(*typed).code == ExitCode.EVIDENCE
    plan.write_bytes(text)
    assert set(tmp_path.iterdir()) - {tmp_path / "home"} == files
    promote = written(tmp_path, "promote")
    assert "a promote is approved when it waits" in drfsm("approve", promote, "--ticket", "x").err


# --- a start under a policy -----------------------------------------------------------------------------


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let drfsm.toml ask for approvals of a failback and a drill."""
    path = tmp_path / "drfsm.toml"
    path.write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("DRFSM_CONFIG", str(path))
    return path


@pytest.mark.usefixtures("policy")
def test_a_start_without_a_plan_says_what_to_type(drfsm: Drfsm, tmp_path: Path) -> None:
    """Exit 3, nothing made; a dry run, a plan and a validation are not asked."""
    starts = (given(tmp_path), ("drill", "--backup-uri", "s3://b/p/backups/x", "--bucket", "b"))
    for start in starts:
        answer = drfsm(*start)
        name = str(start[0])
        assert answer.code == ExitCode.REFUSED, answer
        assert f"drfsm approve {name}.plan.json --ticket" in answer.err
        assert f"policies.{name} asks for " in answer.err
    as_input = drfsm(*given(tmp_path), "--as-execution-input")
    assert (as_input.code, "an execution starts from no plan" in as_input.err) == (ExitCode.USAGE, True)
    assert drfsm(*given(tmp_path), "--approval", "x").code == ExitCode.USAGE
    assert not (tmp_path / "bundle").exists()
    for other in (
        [*given(tmp_path), "--dry-run"],
        ("validate", "--bucket", "b", "--kubeconfig", tmp_path / "dr", "--endpoint-url", "http://127.0.0.1:9"),
    ):
        assert "policies." not in drfsm(*other).err


def test_a_start_under_another_policy_than_the_plans_is_refused(drfsm: Drfsm, tmp_path: Path, policy: Path) -> None:
    """Weaker or stricter: what was approved is this one. Here the policy is taken out of the file."""
    plan = written(tmp_path, options={"bucket": "b", "dr_run_id": "2026-11-28T08:02:45Z"})
    places = ("--kubeconfig-dr", tmp_path / "dr", "--kubeconfig-primary", tmp_path / "primary")
    weaker = drfsm("failback", "--plan", plan, *places, "--endpoint-url", "http://127.0.0.1:9")
    assert weaker.code == ExitCode.REFUSED
    assert "not by the person who starts" not in weaker.err
    assert "planned 2 approvals by 2 persons, none of them the person who starts, at most 1 hours old" in weaker.err
    assert "now 2 approvals by 2 persons, at most 24 hours old" in weaker.err
    policy.write_text("", encoding="utf-8")
    gone = drfsm("failback", "--plan", plan, *places, "--endpoint-url", "http://127.0.0.1:9")
    assert (gone.code, "now no approval" in gone.err) == (ExitCode.REFUSED, True), gone


HOLDS: Mapping[str, tuple[str, dict[str, str], Policy | None]] = {
    # what the file says, the environment -> the policy of a failback
    "nothing": ("", {}, None),
    "a number alone": ("[policies.failback]\napprovals = 1\n", {}, Policy(1, False, 86400.0, False)),  # noqa: FBT003
    "what all policies say": (
        "[policies]\ntwo_people = true\napproval_expires = '2h'\nfailback.approvals = 2\n", {},
        Policy(2, True, 7200.0, False),  # noqa: FBT003
    ),
    "what the environment says of all": (
        "[policies]\nfailback.approvals = 2\n",
        {"DRFSM_TWO_PEOPLE": "1", "DRFSM_APPROVAL_EXPIRES": "1.5"}, Policy(2, True, 5400.0, False),  # noqa: FBT003
    ),
    "an environment that is stricter than the file": (
        "[policies]\ntwo_people = false\napproval_expires = '2h'\nfailback.approvals = 2\n",
        {"DRFSM_TWO_PEOPLE": "1", "DRFSM_APPROVAL_EXPIRES": "1.5"}, Policy(2, True, 5400.0, False),  # noqa: FBT003
    ),
    "an environment that is weaker than the file": (
        "[policies]\ntwo_people = true\napproval_expires = '2h'\nfailback.approvals = 2\n",
        {"DRFSM_TWO_PEOPLE": "0", "DRFSM_APPROVAL_EXPIRES": "48"}, Policy(2, True, 7200.0, False),  # noqa: FBT003
    ),
    "its own words before those": (
        "[policies]\ntwo_people = true\nfailback = {approvals = 3, distinct = false, expires = 60, signed = true}\n",
        {"DRFSM_APPROVAL_EXPIRES": "9"}, Policy(3, False, 60.0, True),  # noqa: FBT003
    ),
    "another procedure's": ("[policies.drill]\napprovals = 1\n", {}, None),
}  # fmt: skip


def held(text: str, directory: Path, name: str = "failback", procedure: str = "failback") -> Policy | None:
    """Return the policy of a procedure that a command of this name meets."""
    (directory / "drfsm.toml").write_text(text, encoding="utf-8")
    root = click.Context(cli, info_name="drfsm")
    command = cli.get_command(root, name)
    assert command is not None
    with root:
        config_defaults.apply(root, name, command)
        with click.Context(command, info_name=name, parent=root):
            return policies.policy_for(procedure)


@pytest.mark.parametrize("name", HOLDS)
def test_a_policy_is_what_the_file_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its table leaves open, the other policies say, or their variables."""
    text, environment, expected = HOLDS[name]
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert held(text, tmp_path) == expected


def test_a_drill_that_is_resumed_starts_its_promote_under_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promote begins in that process; a file with faults keeps nobody from a resume."""
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    rules = "[policies.promote]\napprovals = 2\n"
    for name in ("drill", "resume", "worker"):
        assert held(rules, tmp_path, name, "promote") == Policy(2, False, 86400.0, False)  # noqa: FBT003
    assert held(f"typo = 1\n{rules}", tmp_path, "resume", "promote") is None
    for name in ("drill", "worker"):  # these begin a run
        with pytest.raises(DeclarationFault):
            held(f"typo = 1\n{rules}", tmp_path, name, "promote")


FILE = {"path": "/etc/drfsm.toml", "sha256": "a" * 64}


@pytest.mark.parametrize("here", [{}, {"path": "/home/bea/drfsm.toml", "sha256": "b" * 64}], ids=["none", "another"])
def test_a_drill_starts_its_promote_under_the_file_that_it_was_started_with(here: Mapping[str, str]) -> None:
    """From another directory, or with a typo in the file, no promote begins; the edited file, or its copy, will do."""
    with pytest.raises(UsageFault, match=r"was started with the configuration /etc/drfsm\.toml"):
        wiring.check_config(FILE, here)
    for same in ({**FILE, "sha256": "b" * 64}, {**FILE, "path": "/root/drfsm.toml"}):
        wiring.check_config(FILE, same)
    wiring.check_config({}, here)


def test_no_other_door_starts_what_nobody_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, or whoever calls the library: the run is not begun, and a dry run is."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    under = Invocation(policies={"failback": Policy(1, False, 60.0, False)})  # noqa: FBT003
    with pytest.raises(NotApproved, match=r"policies\.failback asks for 1 approval"):
        wiring.start("failback", {}, under, dry_run=False, receipt_dir=None)
    with pytest.raises(UsageFault, match="failback can't start"):  # which is looked at next
        wiring.start("failback", {}, under, dry_run=True, receipt_dir=None)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("variable", "value"), [("DRFSM_TWO_PEOPLE", "maybe"), ("DRFSM_APPROVAL_EXPIRES", "-1")])
def test_a_variable_that_says_nothing_makes_no_policy_weaker(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused."""
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageFault, match=variable):
        held(RULES, tmp_path)


def test_a_rule_beside_no_number_is_a_fault(drfsm: Drfsm, tmp_path: Path, policy: Path) -> None:
    """It would ask for nothing, and look as if it did."""
    policy.write_text("[policies.failback]\nsigned = true\n", encoding="utf-8")
    answer = drfsm("config", "check")
    assert (answer.code, "Add policies.failback.approvals" in answer.err) == (ExitCode.USAGE, True)
    assert drfsm(*given(tmp_path)).code == ExitCode.USAGE


# --- words ----------------------------------------------------------------------------------------------


def test_every_code_is_explained_and_stands_on_the_page(drfsm: Drfsm) -> None:
    """`drfsm explain` and docs/approvals.md say the same; DRFSM_REGENERATE=1 writes the table."""
    page = ROOT / "docs/approvals.md"
    text = re.sub(
        r"(?<=<!-- codes -->\n).*?(?=<!-- end -->)", lambda _: page_table(), page.read_text("utf-8"), flags=re.DOTALL
    )
    assert page_table() in text
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text("utf-8") == text
    for code, (means, to_do) in CODES.items():
        explained: Answer = drfsm("explain", code)
        assert means in explained.out
        assert to_do[1:] in explained.out
