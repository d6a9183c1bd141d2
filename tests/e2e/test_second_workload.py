"""A workload of other names, given by a contract of thirty lines alone: rehearsed, promoted, and failed back."""

import json
import re
from pathlib import Path

import pytest

from drfsm.dr import workload
from drfsm.errors import ExitCode
from tests.e2e.sites import MakeSite, Site, Told

CONTRACT = Path(__file__).parents[1] / "data" / "prices.workload.yaml"


@pytest.fixture
def second(make_site: MakeSite) -> Site:
    """Return two sites of the other workload, before any disaster."""
    contract = workload.read(CONTRACT.read_bytes(), CONTRACT.name)
    defaults = contract.defaults
    return make_site(
        workload=workload.canonical(contract), prefix=defaults.prefix, providers=(defaults.provider,),
        profiles=(defaults.profile,), canonical="primary",
    )  # fmt: skip


def drfsm(site: Site, verb: str, *words: str) -> Told:
    """Run a command on the other workload; each run gets a bundle of its own."""
    place = ("--workload", str(CONTRACT), "--bucket", site.sandbox.bucket)
    return site.run(verb, *place, *words, victim=False)


def named(site: Site) -> set[str]:
    """Return the runs that the pointers name."""
    keys = [key for key in site.objects(f"{site.sandbox.prefix}/pointers/") if key.endswith("/newest.json")]
    return {json.loads(site.body(key))["batch"] for key in keys}


def test_a_contract_of_thirty_lines_is_all_that_another_workload_needs(second: Site) -> None:
    """Drill, promote and failback end complete, by other names everywhere, and without any report in the store."""
    assert len(CONTRACT.read_text(encoding="utf-8").splitlines()) <= 30
    sandbox, bundles = second.sandbox, second.directory
    rehearsal = drfsm(
        second, "drill", "--backup-uri", sandbox.backup_uri, "--image-ref", sandbox.image_ref,
        "--auto-promote", "true", "--allow-promote-bypass", "true", "--allow-full-drill", "--teardown", "true",
        "--receipt-dir", str(bundles / "rehearsal"),
    )  # fmt: skip
    assert rehearsal.code == ExitCode.DONE, rehearsal
    assert named(second) == {sandbox.primary_run_id}

    fence = ("--fence-primary", "--fence-primary-role", sandbox.primary_role, "--fence-dr-role", sandbox.dr_role)
    kubeconfigs = (
        "--kubeconfig-dr",
        str(sandbox.dr.kubeconfig),
        "--kubeconfig-primary",
        str(sandbox.primary.kubeconfig),
    )
    held = drfsm(second, "promote", *kubeconfigs, *fence, "--receipt-dir", str(bundles / "promote"))
    assert held.code == ExitCode.HELD, held
    plan = re.findall(r"--plan ([0-9a-f]{64})", held.out + held.err)[-1]
    approved = second.run("approve", str(bundles / "promote"), "--ticket", "CHG-1", "--plan", plan, victim=False)
    assert approved.code == ExitCode.DONE, approved
    (promoted,) = named(second)
    assert promoted != sandbox.primary_run_id

    sandbox.cloud.client("cloudwatch").put_composite_alarm(AlarmName="prices-stale", AlarmRule="ALARM(a) OR ALARM(b)")
    back = drfsm(
        second, "failback", *kubeconfigs, "--dr-run-id", promoted, "--confirm1", "FAILBACK",
        "--confirm2", f"CONFIRM-{promoted}", "--soak", "now", "--receipt-dir", str(bundles / "failback"),
        "--alarm", "prices-stale",
    )  # fmt: skip
    assert back.code == ExitCode.DONE, back
    receipt = json.loads((bundles / "failback" / "failback.summary.json").read_bytes())["receipt"]
    assert named(second) == {receipt["first_post_failback_run_id"]}
    assert (receipt["soak_result"], receipt["primary_run_verification"]["level"]) == ("passed", "observed")
    history = json.loads((bundles / "failback" / "alarm_history.json").read_bytes())
    assert history["alarms"] == receipt["alarm_history"] == [{"alarm": "prices-stale", "changes": 0}]
    assert not [key for key in second.objects() if key.endswith("run_report.json")]
