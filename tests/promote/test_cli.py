"""`drfsm promote` and `drfsm approve` as an operator types them: what they show, move, refuse and exit with."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.ssh_signatures import checks_by
from drfsm.cli.main import run as drfsm
from drfsm.dr.procedures import binding
from drfsm.errors import ExitCode
from drfsm.evidence.audit import audit
from drfsm.sandbox.cloud import SECRET_ACCESS_KEY
from tests.evidence.conftest import chained
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import SPEC, Ready
from tests.safety.world import Site

DIGEST = re.compile(r"digest +([0-9a-f]{64})")
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def receipt(ready: Ready, tmp_path: Path) -> str:
    """Return the file of the validation's receipt."""
    path = tmp_path / "validation.receipt.json"
    path.write_text(json.dumps(ready.receipt), encoding="utf-8")
    return str(path)


@pytest.fixture
def typed(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """Return what types a command; it gives the exit code, stdout and stderr."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", ready.site.sandbox.cloud.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def type_(*argv: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = drfsm(argv)
        out, err = capfd.readouterr()
        return code, out, err

    return type_


def promote(site: Site, receipt: str, *more: str) -> Sequence[str]:
    """Return the command that promotes by a receipt."""
    sandbox = site.sandbox
    return (
        "promote", "--validation-receipt", receipt, "--kubeconfig-dr", str(sandbox.dr.kubeconfig),
        "--kubeconfig-primary", str(sandbox.primary.kubeconfig), "--operator", "ann", *more,
    )  # fmt: skip


def summary(tmp_path: Path) -> Any:
    """Return the newest run's summary, which the run itself held against its schema."""
    (found,) = (tmp_path / "home/runs").glob("*/promote.summary.json")
    return json.loads(found.read_bytes())


def test_promote_waits_with_its_plan_and_the_exact_command_and_that_command_completes_it(
    ready: Ready, site: Site, typed: Typed, receipt: str, tmp_path: Path
) -> None:
    """Exit 4, the plan in words, its digest, what to type; typed, DR is canonical, and the summary says by whom."""
    code, out, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD
    assert ready.receipt["run_id"] in err
    assert site.sandbox.primary_run_id in err
    (digest,) = DIGEST.findall(err)
    assert f"--plan {digest}" in out
    assert [(out + err).count(words) for words in (f"--plan {digest}", "The plan of promote-")] == [1, 1]
    assert "drfsm approve" in out
    assert site.named() == {site.sandbox.primary_run_id}
    held = summary(tmp_path)
    assert held["receipt"]["operator"]["unknown"]
    code, out, err = typed("approve", "--ticket", "CHG-1", "--operator", "bea", "--plan", digest)
    assert code == ExitCode.DONE, out + err
    dr_publishes_alone(site, ready.receipt["run_id"])
    done = summary(tmp_path)
    assert (done["receipt"]["operator"], done["receipt"]["ticket"]) == ("bea", "CHG-1")
    assert done["receipt"]["approved_plan"] == digest
    assert done["receipt"]["execution_kind"] == "drfsm run"
    assert [each["what"] for each in done["decisions"]] == ["approve"]
    (mirrored,) = [k for k in site.etags(f"{site.prefix}/drfsm/runs/{done['run_id']}/") if k.endswith("/summary.json")]
    assert json.loads(site.body(mirrored))["status"] == "complete"
    assert typed("replay", "--quiet")[0] == ExitCode.DONE


def test_approve_without_a_terminal_and_without_a_plan_shows_it_and_moves_nothing(
    site: Site, typed: Typed, receipt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3 with the command to type; a wrong account and a mistyped digest exit with 3, too, and record nothing."""
    typed(*promote(site, receipt))
    before = (site.pointers(), site.touchable("primary"))
    code, _, err = typed("approve", "--ticket", "CHG-1")
    (digest,) = DIGEST.findall(err)
    assert code == ExitCode.REFUSED
    assert f"--ticket CHG-1 --plan {digest}" in err
    code, _, err = typed("approve", "--ticket", "CHG-1", "--plan", "0" * 64)
    assert code == ExitCode.REFUSED
    told = f"{'0' * 64} is the digest of no plan of this run. To approve exactly this plan:\n  drfsm approve promote-"
    assert told in err
    assert err.endswith(f" --ticket CHG-1 --plan {digest}\n")
    assert err.count("The plan of promote-") == 1
    assert "stale" not in err
    assert typed("approve", "--ticket", " ", "--plan", digest)[0] == ExitCode.USAGE
    monkeypatch.setenv("EXPECTED_ACCOUNT_ID", "999999999999")  # every verb of a run is held to it, as its start is
    for verb in (
        ("approve", "--ticket", "CHG-1", "--plan", digest), ("resume",), ("abort", "--reason", "no"),
        ("request", "decline", "--reason", "no"),
    ):  # fmt: skip
        code, _, err = typed(*verb)
        assert (code, "999999999999 is expected" in err) == (ExitCode.REFUSED, True), (verb, err)
    monkeypatch.delenv("EXPECTED_ACCOUNT_ID")
    with monkeypatch.context() as elsewhere:  # the environment of another store, or of a sandbox that is down
        elsewhere.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        code, _, err = typed("resume")
        assert code == ExitCode.REFUSED
        assert "drfsm: STS does not answer at http://127.0.0.1:9" in err
        assert "check AWS_ENDPOINT_URL" in err
        assert "these credentials belong" not in err
    assert (site.pointers(), site.touchable("primary")) == before
    _, out, _ = typed("replay")
    assert "approve was rejected" not in out


def test_on_a_terminal_it_is_approved_by_typing_what_is_shown(
    ready: Ready, site: Site, typed: Typed, receipt: str
) -> None:
    """The first twelve characters of the digest are typed; anything else is refused."""
    code, _, err = typed(*promote(site, receipt))
    (digest,) = DIGEST.findall(err)
    assert code == ExitCode.HELD
    for words, wanted in ((digest[:6], ExitCode.REFUSED), (digest[:12], ExitCode.DONE)):
        master, slave = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "drfsm", "approve", "--ticket", "CHG-2"],
            stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ),
        ) as process:  # fmt: skip
            os.write(master, f"{words}\n".encode())
            _, told = process.communicate(timeout=60)
        os.close(master)
        os.close(slave)
        assert process.returncode == wanted, told.decode()
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_a_dry_run_shows_the_plan_and_its_digest_approves_at_once(
    ready: Ready, site: Site, typed: Typed, receipt: str, tmp_path: Path
) -> None:
    """What the dry run printed is given with a ticket: approved where it still holds; by the S3 receipt, too."""
    objects = site.etags()
    code, _, err = typed(*promote(site, receipt, "--dry-run"))
    assert code == ExitCode.DONE, err
    (digest,) = DIGEST.findall(err)
    assert site.etags() == objects
    key = f"{ready.receipt['staged_prefix']}/validation.receipt.json"
    site.put(key, Path(receipt).read_bytes())
    at_once = ("--ticket", "CHG-3", "--plan", digest, "--execution-id", "arn:aws:states:x:execution:y")
    code, _, err = typed(*promote(site, f"s3://{site.bucket}/{key}", *at_once))
    assert code == ExitCode.REFUSED, err  # whoever writes to the bucket could have forged it, journal and all
    (expected,) = re.findall(r"--expect-receipt ([0-9a-f]{64})", err)
    code, _, err = typed(*promote(site, f"s3://{site.bucket}/{key}", "--expect-receipt", "0" * 64, *at_once))
    assert code == ExitCode.EVIDENCE, err
    code, _, err = typed(*promote(site, f"s3://{site.bucket}/{key}", "--expect-receipt", expected, *at_once))
    assert code == ExitCode.DONE, err
    dr_publishes_alone(site, ready.receipt["run_id"])
    found = [json.loads(each.read_bytes()) for each in (tmp_path / "home/runs").glob("*/promote.summary.json")]
    (done,) = [each for each in found if each["status"] == "complete"]
    assert done["receipt"]["execution_id"] == "arn:aws:states:x:execution:y"
    assert done["receipt"]["execution_kind"] == "orchestrator"


def test_a_plan_that_no_longer_holds_is_not_approved_at_once(site: Site, typed: Typed, receipt: str) -> None:
    """The digest of another plan: the run stands at the plan as it is now, refused, with nothing moved."""
    code, _, err = typed(*promote(site, receipt, "--ticket", "CHG-3", "--plan", "1" * 64))
    assert code == ExitCode.REFUSED, err
    assert site.named() == {site.sandbox.primary_run_id}
    assert "HELD in dr_run_verified" in typed("status")[1]


def test_without_a_receipt_dr_is_validated_below_the_run(site: Site, typed: Typed, tmp_path: Path) -> None:
    """Own validation: staged below promotes/<run>; declined, nothing else has moved, and no secret is anywhere."""
    command = [
        each for each in promote(site, "x", "--bucket", site.bucket) if each not in ("--validation-receipt", "x")
    ]
    code, _, err = typed(*command, "--ticket", "CHG-1", "--plan", "1" * 64)
    assert (code, "--validation-receipt" in err) == (ExitCode.USAGE, True)  # its plan can't be known before
    code, _, err = typed(*command)
    assert code == ExitCode.HELD, err
    found = summary(tmp_path)
    assert found["inputs"]["staged_prefix"] == f"{site.prefix}/promotes/{found['run_id']}"
    assert typed("request", "decline", "--reason", "not today")[0] == ExitCode.REFUSED
    told = b"".join(each.read_bytes() for each in (tmp_path / "home").rglob("*") if each.is_file())
    told += b"".join(site.everything(f"{site.prefix}/drfsm/").values())
    assert SECRET_ACCESS_KEY.encode() not in told
    assert site.named() == {site.sandbox.primary_run_id}


HALVES: dict[str, tuple[tuple[str, ...], str]] = {
    "a lost primary without a reason": (("--primary-unreachable",), "--reason"),
    "a lost primary without roles": (("--primary-unreachable", "--reason", "gone"), "--fence-primary-role"),
    "older ones without an approval": (("--allow-older",), "--plan"),
    "one role": (
        ("--primary-unreachable", "--reason", "gone", "--fence-primary-role", "arn:aws:iam::123456789012:role/p"),
        "--fence-dr-role",
    ),
    "no fence for a reachable primary": (("--no-fence", "--reason", "x"), "--primary-unreachable"),
    "a fence without roles": (("--fence-primary",), "--fence-dr-role"),
    "a plan without a ticket": (("--plan", "0" * 64), "--ticket"),
    "a ticket without a plan": (("--ticket", "CHG"), "--plan"),
    "an approval of a dry run": (("--ticket", "CHG", "--plan", "0" * 64, "--dry-run"), "dry run"),
    "whose plan, without a plan": (("--plan-of", "promote-1:" + "0" * 32), "--plan"),
    "an approval that never holds": (("--approval-expires", "0"), "--approval-expires"),
    "an owner passed over without a reason": (("--adopt-ownership",), "--reason"),
    "no bucket in the prefix": (("--prefix", "/"), "--prefix"),
}


@pytest.mark.parametrize("case", list(HALVES))
def test_options_that_need_another_one_are_wrong_usage(
    site: Site, typed: Typed, receipt: str, tmp_path: Path, case: str
) -> None:
    """Exit 2, the option that lacks is named, and no run was begun."""
    more, named = HALVES[case]
    code, _, err = typed(*promote(site, receipt, *more))
    assert code == ExitCode.USAGE
    assert named in err
    assert not list((tmp_path / "home").rglob("*.log"))


def test_the_primarys_kubeconfig_and_the_receipt_are_asked_for(site: Site, typed: Typed, tmp_path: Path) -> None:
    """No way to a primary that nobody declared lost, a receipt that is none, one that is not there: wrong usage."""
    dr = str(site.sandbox.dr.kubeconfig)
    assert typed("promote", "--bucket", site.bucket, "--kubeconfig-dr", dr)[0] == ExitCode.USAGE
    nothing = tmp_path / "nothing.json"
    nothing.write_text("{}", encoding="utf-8")
    for named in (str(nothing), str(tmp_path / "absent.json"), f"s3://{site.bucket}/absent.json"):
        code, _, err = typed(*promote(site, named))
        assert (code, "--validation-receipt" in err) == (ExitCode.USAGE, True)
    assert typed("approve", "--ticket", "CHG")[0] == ExitCode.USAGE  # nothing waits for it


def test_a_lost_primary_is_promoted_over_from_the_command_line(
    ready: Ready, site: Site, typed: Typed, receipt: str
) -> None:
    """No kubeconfig of it, both roles, a reason: the plan says how it is stopped, and approve completes."""
    site.outage("primary")
    sandbox = site.sandbox
    code, _, err = typed(
        "promote", "--validation-receipt", receipt, "--kubeconfig-dr", str(sandbox.dr.kubeconfig),
        "--primary-unreachable", "--reason", "flooded", "--fence-primary-role", site.role("primary"),
        "--fence-dr-role", site.role("dr"),
    )  # fmt: skip
    assert code == ExitCode.HELD, err
    assert "flooded" in err
    (digest,) = DIGEST.findall(err)
    code, out, err = typed("approve", "--ticket", "CHG-9", "--plan", digest)
    assert code == ExitCode.DONE, err
    assert "the primary's identity is fenced" in out
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_request_does_not_approve(site: Site, typed: Typed, receipt: str, tmp_path: Path) -> None:
    """Whoever would give a name and a plan by --arg is sent to `drfsm approve`; nothing is on record, nothing moved."""
    _, _, err = typed(*promote(site, receipt))
    (digest,) = DIGEST.findall(err)
    given = {
        "approved_plan": digest, "approved_by": "zoe", "ticket": "CHG-1", "allow_older": "no",
        "primary_run_id": site.sandbox.primary_run_id,
    }  # fmt: skip
    arguments = [part for name, value in given.items() for part in ("--arg", f"{name}={value}")]
    code, _, err = typed("request", "approve", "--reason", "x", *arguments)
    assert (code, "drfsm approve" in err) == (ExitCode.USAGE, True)
    assert site.named() == {site.sandbox.primary_run_id}
    assert not summary(tmp_path)["decisions"]


def test_an_older_run_is_shown_as_such_and_approved_only_with_its_own_option(
    ready: Ready, site: Site, typed: Typed, receipt: str
) -> None:
    """The plan says by how much; what changed since it was shown is told, too; --allow-older approves it."""
    typed(*promote(site, receipt))
    for key in site.pointer_keys():
        site.point(key, site.sandbox.primary_run_id, ended_at="2031-01-01T00:00:00+00:00")
    code, _, err = typed("approve", "--ticket", "CHG-1")
    assert code == ExitCode.REFUSED
    assert re.search(r"ATTENTION: +OLDER than what is canonical by \d+ days", err)
    assert "CHANGED             pointers state/candidates/local/last_success.json: other fields" in err
    (digest,) = DIGEST.findall(err)
    code, _, err = typed("approve", "--ticket", "CHG-1", "--plan", digest)
    assert (code, "succession is older" in err) == (ExitCode.REFUSED, True)
    code, out, err = typed("approve", "--ticket", "CHG-1", "--plan", digest, "--allow-older")
    assert code == ExitCode.DONE, out + err
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_what_a_missing_pointer_is_told_to_be_mended_with_mends_it(site: Site, typed: Typed, receipt: str) -> None:
    """The command that the refusal names is typed as it stands, and the promote again: the plan is there."""
    key = site.pointer_keys()[3]
    site.delete(key)
    code, out, err = typed(*promote(site, receipt))
    assert code == ExitCode.REFUSED, out + err
    assert "then start again" in err
    command = re.search(r"`drfsm (pointers set [^`]*)`", err)
    assert command, err
    code, out, err = typed(*shlex.split(command[1].replace("…", "mended")))
    assert code == ExitCode.DONE, out + err
    code, _, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD, err
    assert "HELD in dr_run_verified" in typed("status")[1]
    assert json.loads(site.body(key))["run_id"] == site.sandbox.primary_run_id


PLAN_OF = re.compile(r"--plan-of (\S+)")


def test_a_dry_runs_plan_is_for_one_start_wherever_that_is(
    ready: Ready, site: Site, typed: Typed, receipt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine by --plan-of; then used up, there by its home, here by the run's records in S3."""
    code, _, err = typed(*promote(site, receipt, "--dry-run"))
    assert code == ExitCode.DONE, err
    (digest,), (plan_of,) = DIGEST.findall(err), PLAN_OF.findall(err)
    at_once = promote(site, receipt, "--ticket", "CHG-5", "--plan", digest)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "elsewhere"))
    code, _, err = typed(*at_once, "--plan-of", plan_of)
    assert code == ExitCode.DONE, err
    dr_publishes_alone(site, ready.receipt["run_id"])
    objects = site.etags()
    run_id = plan_of.partition(":")[0]
    for home, more in (("elsewhere", ("--plan-of", plan_of)), ("home", ()), ("third", ("--plan-of", plan_of))):
        monkeypatch.setenv("DRFSM_HOME", str(tmp_path / home))
        code, _, err = typed(*at_once, *more)
        assert (code, f"was used by the start of {run_id}" in err) == (ExitCode.REFUSED, True), err
    assert site.etags() == objects
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "elsewhere"))
    _, status, _ = typed("status")
    assert re.search(r"started by ann at \S+ \S+: OS user .* \(uid \d+\) on .*; cloud arn:aws:\S+; primary as ", status)
    assert "approve by ann" in status
    (used,) = (tmp_path / "elsewhere/plans").iterdir()
    assert (used.stat().st_mode & 0o777, used.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_was_declined_is_approved_by_no_start_of_the_same_dry_run(
    site: Site, typed: Typed, receipt: str, tmp_path: Path
) -> None:
    """Started with the plan, refused for the newer run, declined: the same command again is refused, nothing moved."""
    _, _, err = typed(*promote(site, receipt, "--dry-run"))
    (digest,) = DIGEST.findall(err)
    (kept,) = (tmp_path / "home/plans").iterdir()
    at_once = promote(site, receipt, "--ticket", "CHG-5", "--plan", digest)
    for key in site.pointer_keys():
        site.point(key, site.sandbox.primary_run_id, ended_at="2031-01-01T00:00:00+00:00")
    assert typed(*at_once)[0] == ExitCode.REFUSED
    assert typed("request", "decline", "--reason", "not this one")[0] == ExitCode.REFUSED
    code, _, err = typed(*at_once)
    assert (code, "declined for good" in err) == (ExitCode.REFUSED, True), err
    assert typed("approve", json.loads(kept.read_bytes())["run_id"], "--ticket", "T", "--plan", digest)[0] == 2
    assert site.named() == {site.sandbox.primary_run_id}


def test_a_promote_that_two_persons_must_sign_waits_for_both(
    site: Site, typed: Typed, receipt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first signature is kept, the same key counts once, a stranger's not at all; the second one fires the row."""
    for name in ("bob", "cas", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    trusted = [
        f"{name}@example.org {(tmp_path / name).with_suffix('.pub').read_text('utf-8')}" for name in ("bob", "cas")
    ]
    (tmp_path / "signers").write_text("".join(trusted), encoding="utf-8")
    policy = '[policies.promote]\napprovals = 2\nsigned = true\n[trust]\nallowed_signers = "signers"\n'
    (tmp_path / "drfsm.toml").write_text(policy, encoding="utf-8")
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    at_once = typed(*promote(site, receipt, "--ticket", "CHG-7", "--plan", "a" * 64))
    assert (at_once[0], "can't be approved as it starts" in at_once[2]) == (ExitCode.USAGE, True)
    code, _, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD
    (digest,) = DIGEST.findall(err)

    def approve(name: str) -> tuple[int, str, str]:
        signed = ("--key", str(tmp_path / name)) if name else ()
        return typed("approve", "--ticket", "CHG-7", "--plan", digest, "--operator", name or "bob", *signed)

    before = summary(tmp_path)["journal"]
    for name, fault in (("", "approval_not_signed"), ("eve", "approval_signer_unknown")):
        code, _, err = approve(name)
        assert (code, fault in err) == (ExitCode.REFUSED, True), err
    for words in ("1 of 2 approvals stand", "approval_repeated"):
        code, _, err = approve("bob")
        assert (code, words in err) == (ExitCode.HELD, True), err
    assert summary(tmp_path)["journal"] == before
    code, _, err = approve("cas")
    assert code == ExitCode.DONE, err
    given = summary(tmp_path)["approvals"]["given"]
    assert [(each["by"], each["signer"]) for each in given] == [
        ("bob", "bob@example.org"), ("cas", "cas@example.org"),
    ]  # fmt: skip
    assert typed("replay", "--quiet")[0] == ExitCode.DONE
    (log,) = (tmp_path / "home/runs").glob("*/state_transitions.log")
    draft = [json.loads(line) for line in log.read_bytes().splitlines()]
    (approval,) = [each for each in draft if each["body"].get("trigger") == "approve" and each["kind"] == "commit"]
    approval["body"]["args"]["approval"]["given"].pop()
    found = audit(chained(draft), SPEC, judges=binding("promote").judges, signatures=checks_by).findings
    (told,) = [each for each in found if each.rule == "approval"]
    assert told.code == "approvals_missing"
    assert told.what.startswith("2 needed, 1 valid; the policy asks for 2 approvals by 2 persons, each")
    del approval["body"]["args"]["approval"]
    found = audit(chained(draft), SPEC, judges=binding("promote").judges, signatures=checks_by).findings
    assert any("it records none" in each.what for each in found if each.rule == "approval")


def test_two_people_are_told_apart_by_their_credentials(
    site: Site, typed: Typed, receipt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another --operator with the same credentials is refused; with those of another session it is approved."""
    monkeypatch.setenv("DRFSM_TWO_PEOPLE", "1")
    _, _, err = typed(*promote(site, receipt))
    (digest,) = DIGEST.findall(err)
    command = ("approve", "--ticket", "CHG-6", "--operator", "bea", "--plan", digest)
    code, _, err = typed(*command)
    assert (code, "approver is same" in err, "cloud_caller" in err) == (ExitCode.REFUSED, True, True)
    sts = site.sandbox.cloud.client("sts")
    keys = sts.assume_role(RoleArn=site.role("primary"), RoleSessionName="bea")["Credentials"]
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        monkeypatch.setenv("AWS_" + re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper(), keys[name])
    code, out, err = typed(*command)
    assert code == ExitCode.DONE, out + err
    assert summary(tmp_path)["receipt"]["approver"]["proven"]["cloud_caller"].endswith("/bea")


def damaged(path: Path) -> None:
    """Replace a kept plan by one that names a way out of the home."""
    path.write_text(json.dumps({"schema_version": 1, "run_id": "promote-/../../x", "nonce": "0" * 32}))


BAD_PLANS: dict[str, tuple[str, ...]] = {
    "no digest": ("--plan", "../../x"),
    "a plan of nothing": ("--plan", "0" * 64, "--plan-of", "x"),
    "of no promote": ("--plan", "0" * 64, "--plan-of", "drill-1:" + "0" * 32),
    "of a way out": ("--plan", "0" * 64, "--plan-of", "promote-/../../x:" + "0" * 32),
    "of a short nonce": ("--plan", "0" * 64, "--plan-of", "promote-1:00"),
    "a kept plan that is damaged": ("--plan", "1" * 64),
}


@pytest.mark.parametrize("case", BAD_PLANS)
def test_what_names_no_plan_starts_nothing(site: Site, typed: Typed, receipt: str, tmp_path: Path, case: str) -> None:
    """Exit 2 with the reason; no run was begun and nothing lies outside of the home."""
    plans = tmp_path / "home/plans"
    plans.mkdir(parents=True)
    damaged(plans / f"{'1' * 64}.json")
    code, _, err = typed(*promote(site, receipt, "--ticket", "T", *BAD_PLANS[case]))
    assert (code, "--plan" in err) == (ExitCode.USAGE, True), err
    assert not list(tmp_path.rglob("*.log"))
    assert [each.name for each in plans.iterdir()] == [f"{'1' * 64}.json"]
