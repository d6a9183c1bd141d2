"""A site is brought up, reached and taken down by a declared machine, over real instances of the sandbox."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from attrs import evolve, fields

from drfsm.adapters import aws, aws_cloud
from drfsm.adapters.ec2 import RUN_TAG, Ec2Runner
from drfsm.adapters.existing import Existing
from drfsm.adapters.kube import KubeCluster
from drfsm.adapters.private import PrivateFiles
from drfsm.adapters.terraform import TerraformSite
from drfsm.adapters.terraform_process import Terraform
from drfsm.dr.infrastructure import provision
from drfsm.engine import Binding, MemoryJournal, Run, Runner, SystemClock
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.journal import RunState
from drfsm.sandbox import Options
from drfsm.sandbox.cloud import MACHINE_IMAGE, REGION, Cloud
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.runners import RUNNER_NAMES, Runners
from drfsm.sandbox.seed import RUNNER_TAGS, launch_runner
from drfsm.spec import load_machine
from drfsm.world import Charter, Provisioner, Standing, Watch, World

ADDRESS = "203.0.113.7/32"
SITE = """
machine: site
because: "A site is there, and gone again"
initial: start
finals: {gone: complete, failed: failed, refused: refused}
inputs:
  workload: {because: "the contract, which names the machines' tags; empty: the legacy one"}
  site: {values: [new, earlier], because: "whether it is brought up, or there already"}
  site_run: {because: "the earlier run whose site it goes on with; empty: a new one"}
  reach_timeout: {because: "seconds that the API gets to answer"}
facts:
  runner: {values: [absent, present, given], initial: [absent]}
  foreign_runners: {values: [none, present], initial: [none]}
  runner_plan: {values: [none, ready], initial: [none]}
  site_kubeconfig: {values: [absent, held], initial: [absent]}
  runner_ready: {values: [yes, no], initial: [no], depends: [runner, site_kubeconfig]}
guards:
  nobody_elses_runners: {requires: {foreign_runners: none}, because: "They may be a live DR"}
transitions:
  - {from: start, trigger: plan_site, to: planned, when: {site: new}, guards: [nobody_elses_runners],
     action: plan_runner, sets: {runner_plan: ready}, effect: idempotent, because: "What will be done is shown"}
  - {from: planned, trigger: bring_up, to: up, guards: [nobody_elses_runners], action: bring_up_runner,
     sets: {runner: present}, effect: idempotent, because: "The machines run",
     attempts: {max: 3, backoff_seconds: 0.1, repair: refresh_allowed_address}}
  - {from: start, trigger: adopt_site, to: up, when: {site: earlier}, guards: [nobody_elses_runners],
     action: adopt_runner, effect: none, because: "An earlier run brought it up"}
  - {from: up, trigger: reach_site, to: reached, action: fetch_kubeconfig,
     sets: {site_kubeconfig: held, runner_ready: yes}, effect: idempotent, timeout_seconds: 60,
     attempts: {max: 2, backoff_seconds: 0.1, repair: refresh_allowed_address}, because: "The site answers"}
  - {from: reached, trigger: tear_down, to: gone, action: tear_down_runner, sets: {runner: absent},
     effect: idempotent, attempts: {max: 2, backoff_seconds: 0.1}, timeout_seconds: 60, because: "Nothing is left"}
  - {from: [planned, up], trigger: give_up, to: broken, by: failure, because: "It is taken down all the same"}
  - {from: broken, trigger: tear_down, to: failed, action: tear_down_runner, sets: {runner: absent},
     effect: idempotent, attempts: {max: 2, backoff_seconds: 0.1}, timeout_seconds: 60, because: "Nothing is left"}
  - {from: start, trigger: refuse, to: refused, by: failure, because: "Nothing was started"}
"""

MODULE = """
variable "drfsm_run" { type = string }
variable "site_kubeconfig" {
  type      = string
  sensitive = true
}
resource "terraform_data" "runner" { input = var.drfsm_run }
output "kubeconfig" {
  value     = var.site_kubeconfig
  sensitive = true
}
"""


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing after it is done."""


class DiesAfter:
    """A provisioner whose process is killed after a call did its work, before anybody wrote that down."""

    def __init__(self, inner: Provisioner, verb: str) -> None:
        self._inner, self._verb = inner, verb

    def __getattr__(self, name: str) -> Any:
        """Return the inner one's; the named call kills, once."""
        found = getattr(self._inner, name)
        if name != self._verb:
            return found

        def once(*given: Any) -> None:
            self._verb = ""
            while found(*given) is None and name == "fetch_kubeconfig":  # it isn't there yet
                time.sleep(0.05)
            raise Killed

        return once


class Site:
    """A cloud with runners, and a machine over it that can be run, killed and resumed."""

    def __init__(self, cloud: Cloud, home: Path, options: Options) -> None:
        self.cloud, self.home, self.private = cloud, home, PrivateFiles(home / "private", site_is_here=True)
        self.runners = Runners(cloud, home / "runners", options, lambda name, at: EmulatedCluster(name, at, {}))
        self.id = f"drill-20260228T125500Z-{uuid4().hex[:6]}"  # tokens are remembered: every test has its own
        self.journal = MemoryJournal()
        self.ec2 = cloud.client("ec2")
        self.machine = SITE
        self.provisioner: Provisioner = Ec2Runner(
            aws.fleet(endpoint_url=cloud.endpoint, region=REGION), self.private, lambda: ADDRESS, **RUNNER_NAMES
        )

    @property
    def world(self) -> World:
        """Return the world, as a new process would see it."""
        account = aws.connect(bucket="none", endpoint_url=self.cloud.endpoint, region=REGION)
        parts: dict[str, Any] = dict.fromkeys(each.name for each in fields(World))
        dr = KubeCluster("dr", self.private.kubeconfig)
        return World(**{
            **parts, "dr": dr, "infrastructure": account.infrastructure, "provisioner": self.provisioner
        })  # fmt: skip

    def runner(self) -> Runner:
        """Return the runner of a new process."""
        binding = Binding(provision.FACTS, provision.ACTIONS)
        return Runner(load_machine(self.machine), binding, self.world, self.journal)

    def start(self, run_id: str = "", **inputs: str) -> RunState:
        """Run the machine as far as it goes."""
        return self.runner().start(
            {"workload": "", "site": "new", "site_run": "", "reach_timeout": "30", **inputs}, run_id=run_id or self.id
        )

    def alive(self) -> list[str]:
        """Return the ids of every instance that isn't terminated."""
        found = (each for page in self.ec2.describe_instances()["Reservations"] for each in page["Instances"])
        return [each["InstanceId"] for each in found if each["State"]["Name"] != "terminated"]

    def records(self, kind: str) -> Sequence[Any]:
        """Return the bodies of all records of a kind."""
        return [each.body for each in self.journal.records() if each.kind == kind]

    def run(self, **given: Any) -> Run:
        """Return what a row's fact or action is handed."""
        usual: dict[str, Any] = {
            "id": self.id,
            "inputs": {"workload": ""},
            "operator": "ana",
            "epoch": 1,
            "dry_run": False,
            "trigger": "test",
            "results": {},
            "args": {},
            "clock": SystemClock(),
        }
        return Run(**{**usual, **given})

    def judged(self, fact: str, **given: Any) -> str | None:
        """Return what a fact is judged now."""
        found, run = provision.FACTS[fact], self.run(**given)
        return found.judge(found.observe(self.world, run), run.inputs)


@pytest.fixture
def site(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Return a cloud with runners; afterwards no instance is left."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator-secret")
    options = Options(bucket=f"site-{time.time_ns()}")
    cloud.create_identity(f"{options.bucket}-dr")
    made = Site(cloud, tmp_path, options)
    made.runners.start()
    yield made
    made.runners.stop()
    if left := made.alive():
        made.ec2.terminate_instances(InstanceIds=left)


def test_a_site_is_planned_brought_up_reached_and_taken_down(site: Site) -> None:
    """The machine ends complete, nothing is left alive, and the records say what ran and what it was made of."""
    state = site.start()
    assert (state.state, state.status) == ("gone", "complete")
    assert site.alive() == []
    up, down = state.results["bring_up"], state.results["tear_down"]
    assert (up["by"], up["run"], up["drill"]) == ("ec2", site.id, site.id)
    assert (down["torn_down"], down["left"]) == (up["instance_ids"], 0)
    assert len(up["instance_ids"]) == 1
    assert state.results["reach_site"]["kubeconfig"]["server"].startswith("https://127.0.0.1:")
    assert not site.private.kubeconfig.exists()


def test_the_instance_carries_the_runs_id_and_the_drills(site: Site) -> None:
    """Its tags name the workload, drfsm, the run and the drill, so that nobody takes it for a live DR's."""
    charter = Charter(site.id, "drill-of-friday")
    changes = site.provisioner.plan(charter, Watch())
    site.provisioner.bring_up(charter, changes, Watch())
    (found,) = site.ec2.describe_instances(InstanceIds=site.alive())["Reservations"][0]["Instances"]
    tags = {each["Key"]: each["Value"] for each in found["Tags"] if not each["Key"].startswith("aws:")}
    assert tags == {
        "Name": "jobintel-dr-runner",
        "Purpose": "jobintel-dr",
        "ManagedBy": "drfsm",
        "drfsm-run": site.id,
        "drfsm-drill": "drill-of-friday",
    }


def test_no_record_holds_what_the_kubeconfig_holds(site: Site) -> None:
    """The file is its owner's only, and its token stands in no record."""
    site.provisioner = DiesAfter(site.provisioner, "fetch_kubeconfig")
    with pytest.raises(Killed):
        site.start()
    assert site.private.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert site.private.directory.stat().st_mode & 0o777 == 0o700
    token = site.private.kubeconfig.read_text().split("token: ")[1].split()[0]
    assert site.runner().resume().status == "complete"
    assert token not in json.dumps([each.body for each in site.journal.records()])


def test_somebody_elses_runner_refuses_the_start(site: Site) -> None:
    """While a DR runner exists that this run did not start, nothing is started, and that one lives on."""
    live = launch_runner(site.cloud)
    state = site.start()
    assert (state.status, site.alive()) == ("refused", [live])
    assert site.judged("foreign_runners") == "present"
    assert site.judged("runner") == "absent"


def test_a_teardown_leaves_what_somebody_else_started_meanwhile(site: Site) -> None:
    """An instance that appears during the run, tags and all copied from ours, is not taken down with it."""
    site.provisioner = DiesAfter(site.provisioner, "fetch_kubeconfig")
    with pytest.raises(Killed):
        site.start()
    copied = {**RUNNER_TAGS, RUN_TAG: site.id}
    answer = site.ec2.run_instances(
        ImageId=MACHINE_IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in copied.items()]}
        ],
    )
    assert site.runner().resume().status == "complete"
    assert site.alive() == [answer["Instances"][0]["InstanceId"]]


@pytest.mark.parametrize("verb", ["plan", "bring_up", "fetch_kubeconfig", "tear_down"])
def test_killed_after_a_call_it_goes_on_and_nothing_is_started_twice_or_left(site: Site, verb: str) -> None:
    """Whatever was done and not written down is found again: one instance was ever started, none is left."""
    site.provisioner = DiesAfter(site.provisioner, verb)
    with pytest.raises(Killed):
        site.start()
    state = site.runner().resume()
    assert state.status == "complete"
    own = site.ec2.describe_instances(Filters=[{"Name": f"tag:{RUN_TAG}", "Values": [site.id]}])["Reservations"]
    assert len([each for page in own for each in page["Instances"]]) == 1
    assert site.alive() == []


def test_an_address_that_is_shut_out_is_let_in_by_the_repair(site: Site) -> None:
    """The API answers nobody until the one repair lets this machine's address in; the rule goes with the site."""
    site.runners.guarded = True
    state = site.start(reach_timeout="15")
    assert state.status == "complete"
    (repaired,) = site.records("repaired")
    assert (repaired["action"], repaired["result"]) == ("refresh_allowed_address", {"allowed": ADDRESS})
    groups = site.ec2.describe_security_groups()["SecurityGroups"]
    assert not [each for group in groups for each in group["IpPermissions"] if each.get("FromPort") == 6443]


def test_a_runner_that_never_gives_a_kubeconfig_is_taken_down_all_the_same(site: Site) -> None:
    """Reaching fails after its attempts, the site is torn down by what its intent recorded, the end is failed."""
    site.runners.boots = False
    site.machine = SITE.replace("effect: idempotent, timeout_seconds: 60", "effect: idempotent, timeout_seconds: 1")
    assert site.machine != SITE
    state = site.start()
    assert (state.status, site.alive()) == ("failed", [])
    assert state.results["tear_down"]["torn_down"] == state.results["bring_up"]["instance_ids"]


def test_what_bring_up_never_wrote_down_is_taken_down_by_the_teardowns_own_intent(site: Site) -> None:
    """An instance whose start was lost with the process stands in the image that the intent recorded."""
    charter = Charter(site.id, site.id)
    site.provisioner.bring_up(charter, site.provisioner.plan(charter, Watch()), Watch())
    (lost,) = site.alive()
    assert provision.recorded(site.run()) == ()
    seen = provision.FACTS["runner"].observe(site.world, site.run())
    result = provision.ACTIONS["tear_down_runner"](site.world, site.run(first_seen={"runner": seen}))
    assert (result["torn_down"], site.alive()) == ([lost], [])


def test_a_teardown_touches_nothing_where_the_record_and_the_cloud_disagree(site: Site) -> None:
    """A recorded id that is somebody else's, or an instance of ours that isn't recorded, refuses it all."""
    charter = Charter(site.id, site.id)
    site.provisioner.bring_up(charter, site.provisioner.plan(charter, Watch()), Watch())
    (ours,), theirs = site.alive(), launch_runner(site.cloud)
    tear_down = provision.ACTIONS["tear_down_runner"]
    with pytest.raises(ActionFailed, match=f"{theirs} is on record, but was not started by"):
        tear_down(site.world, site.run(results={"bring_up": {"instance_ids": [ours, theirs]}}))
    with pytest.raises(ActionFailed, match=f"{ours} of {site.id} is not on record"):
        tear_down(site.world, site.run())
    assert sorted(site.alive()) == sorted([ours, theirs])


class Late:
    """Machines that a request starts only later: whoever asked has heard nothing of it."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._asked = inner, list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Any:
        """Return the inner one's."""
        return getattr(self._inner, name)

    def launch(self, *given: Any) -> Any:
        """Answer nothing as long as it was not asked three times."""
        if len(self._asked) < 3:
            self._asked.append(given)
            raise Unreachable("no answer")
        return self.take_effect()

    def take_effect(self) -> Any:
        """Do what was asked for."""
        return self._inner.launch(*self._asked[-1])


def test_what_starts_late_does_not_outlive_the_run_that_asked_for_it(site: Site) -> None:
    """Without an answer the bring-up fails; the teardown asks once more, and takes down what that brings out."""
    machines, parameters = aws.fleet(endpoint_url=site.cloud.endpoint, region=REGION)
    late = Late(machines)
    fleet = aws.Fleet(cast("aws_cloud.Ec2Machines", late), parameters)
    site.provisioner = Ec2Runner(fleet, site.private, lambda: ADDRESS, **RUNNER_NAMES)
    overriding = 'by: failure, overrides_open_intent: true, because: "It is'
    site.machine = SITE.replace('by: failure, because: "It is', overriding)
    state = site.start()
    assert (state.status, len(state.results["tear_down"]["torn_down"])) == ("failed", 1)
    assert late.take_effect() is None  # its token is spent
    assert site.alive() == []


def test_a_bring_up_that_was_never_asked_for_starts_nothing_in_the_teardown(site: Site) -> None:
    """Given up with a plan and no request, no machine is started only to be taken down."""
    charter = Charter(site.id, site.id)
    plan = provision.ACTIONS["plan_runner"](site.world, site.run())
    result = provision.ACTIONS["tear_down_runner"](site.world, site.run(results={"plan_site": plan}))
    assert result["torn_down"] == []
    assert site.ec2.describe_instances(Filters=[{"Name": f"tag:{RUN_TAG}", "Values": [site.id]}])["Reservations"] == []
    assert site.provisioner.standing(charter) == Standing()


def test_a_later_run_goes_on_with_the_site_of_an_earlier_one(site: Site) -> None:
    """Named by its run, the site is adopted as a recorded step, and then taken down; unnamed it is foreign."""
    charter = Charter(site.id, site.id)
    site.provisioner.bring_up(charter, site.provisioner.plan(charter, Watch()), Watch())
    (earlier,) = site.alive()
    later = "drill-20260301T090000Z-d4e5f6"
    assert site.judged("foreign_runners", id=later) == "present"
    assert site.judged("foreign_runners", id=later, inputs={"workload": "", "site_run": site.id}) == "none"
    state = site.start(later, site="earlier", site_run=site.id)
    assert (state.status, state.results["adopt_site"]["instance_ids"]) == ("complete", [earlier])
    assert site.alive() == []


def test_nothing_stands_to_be_adopted(site: Site) -> None:
    """A site that is gone can't be gone on with: it says so."""
    with pytest.raises(ActionFailed, match=f"{site.id} has no machines left"):
        provision.ACTIONS["adopt_runner"](site.world, site.run())


def test_a_given_site_is_neither_brought_up_nor_torn_down(site: Site, tmp_path: Path) -> None:
    """An existing site is judged as given, every step says that nothing is done, and its teardown is refused."""
    with EmulatedCluster("given", tmp_path / "given", {}) as cluster:
        site.provisioner = Existing(cluster.kubeconfig)
        before, said = cluster.kubeconfig.read_bytes(), list[str]()
        run = site.run(say=lambda words, **_: said.append(words))
        world = evolve(site.world, dr=KubeCluster("dr", cluster.kubeconfig))
        assert provision.FACTS["runner"].observe(world, run)["given"]
        assert site.judged("runner") == "given"
        plan = provision.ACTIONS["plan_runner"](world, run)
        assert plan["plan"]["changes"] == ()
        up = provision.ACTIONS["bring_up_runner"](world, evolve(run, results={"plan_site": plan}))
        assert (up["given"], up["instance_ids"]) == (True, [])
        reached = provision.ACTIONS["fetch_kubeconfig"](world, run)
        assert reached["cluster_uid"] == cluster.uid
        ready = provision.FACTS["runner_ready"].observe(world, run)
        assert provision.FACTS["runner_ready"].judge(ready, {}) == "yes"
        with pytest.raises(UsageFault, match="so it does not take it down"):
            provision.ACTIONS["tear_down_runner"](world, run)
        assert [each for each in said if each.startswith("nothing is brought up or torn down")]
        assert cluster.kubeconfig.read_bytes() == before


@pytest.mark.skipif(
    shutil.which(os.environ.get("TERRAFORM") or "terraform") is None,
    reason="terraform is not installed here (not on the PATH, and TERRAFORM names none)",
)
@pytest.mark.parametrize("verb", ["", "plan", "bring_up", "tear_down"])
def test_the_same_machine_runs_over_terraform(site: Site, tmp_path: Path, verb: str) -> None:
    """Whoever provisions, the machine is the same: killed or not, the site comes up, is reached, and is gone."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(MODULE, encoding="utf-8")
    with EmulatedCluster("terraformed", tmp_path / "cluster", {}) as cluster:
        kubeconfig = cluster.kubeconfig.read_text(encoding="utf-8")
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TF_VAR_site_kubeconfig": kubeconfig}
        terraform = Terraform(module, site.private, tmp_path / "logs", environ)
        site.provisioner = TerraformSite(terraform, site.private, lambda _name: None, lambda: ADDRESS)
        if verb:
            site.provisioner = DiesAfter(site.provisioner, verb)
            with pytest.raises(Killed):
                site.start()
        state = site.runner().resume() if verb else site.start()
        assert state.status == "complete"
        assert state.results["reach_site"]["cluster_uid"] == cluster.uid
    assert site.provisioner.standing(Charter(site.id, site.id)) == Standing()
    token = kubeconfig.split("token: ")[1].split()[0]
    assert token not in json.dumps([each.body for each in site.journal.records()])
    assert token not in "".join(each.read_text(encoding="utf-8") for each in (tmp_path / "logs").iterdir())


def test_nothing_is_brought_up_without_a_plan(site: Site) -> None:
    """Bringing up without a plan that was recorded or kept starts nothing."""
    with pytest.raises(ActionFailed, match="there is no plan to carry out"):
        provision.ACTIONS["bring_up_runner"](site.world, site.run())
    assert site.alive() == []


def test_without_a_provisioner_it_says_what_is_missing(site: Site) -> None:
    """A world that can't bring anything up says so, and how to say it."""
    with pytest.raises(UsageFault, match="no provisioner was chosen"):
        provision.FACTS["runner"].observe(evolve(site.world, provisioner=None), site.run())


def test_readiness_is_asked_of_the_site_each_time(site: Site) -> None:
    """A site that answered and then falls silent is not ready any more."""
    charter = Charter(site.id, site.id)
    site.provisioner.bring_up(charter, site.provisioner.plan(charter, Watch()), Watch())
    provision.ACTIONS["fetch_kubeconfig"](site.world, site.run())
    assert site.judged("runner_ready") == "yes"
    site.runners.clusters[site.alive()[0]].outage(on=True)
    assert site.judged("runner_ready") == "no"


def test_a_runs_costs_are_made_of_what_it_recorded(site: Site) -> None:
    """Estimated from the plan, actual from what ran: type, minutes, disk; unknown without prices, never guessed."""
    state = site.start()
    run = site.run(results=state.results)
    unknown = provision.costs(run, None, expected_minutes=30)
    assert unknown["actual"]["total"] == {"amount": None, "currency": None, "because": "no prices were given"}
    prices = {"currency": "USD", "instance_hour": {"t3.large": "1.20"}, "disk_gb_month": "7.30", "source": "a test"}
    known = provision.costs(run, prices, expected_minutes=30)
    # 30 minutes of 1.20 an hour, and 40 GB at 7.30 a month of 730 hours
    assert known["estimated"]["total"] == {"amount": "0.8000", "currency": "USD", "because": ""}
    (machine,) = known["actual"]["machines"]
    assert (machine["instance_type"], machine["disk_gb"]) == ("t3.large", 40)
    assert 0 <= machine["minutes"] < 3
    assert machine["instance_id"] == state.results["bring_up"]["instance_ids"][0]
