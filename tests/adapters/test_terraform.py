"""A site by the real terraform, over its built-in resources: no provider is downloaded, no cloud is asked."""

import base64
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from drfsm.adapters.private import PrivateFiles
from drfsm.adapters.terraform import TerraformSite, module_at
from drfsm.adapters.terraform_process import Terraform, TerraformFailed, found_binary
from drfsm.errors import ActionFailed, Interrupted, Unreachable, UsageFault
from drfsm.sandbox.kubernetes.certificates import issue
from drfsm.world import Charter, Watch

BINARY = shutil.which(os.environ.get("TERRAFORM") or "terraform")
needs_terraform = pytest.mark.skipif(
    BINARY is None, reason="terraform is not installed here (not on the PATH, and TERRAFORM names none)"
)
CHARTER = Charter("drill-20260228T125500Z-a1b2c3", "drill-of-friday")
OTHER = Charter("drill-20260301T090000Z-d4e5f6", "drill-of-sunday")
ADDRESS = "203.0.113.7/32"
WORD = "a-word-that-nobody-may-read"
MODULE = """
variable "drfsm_run" { type = string }
variable "drfsm_drill" { type = string }
variable "api_token" { default = "none" }
variable "allowed_cidr" { default = "" }
resource "terraform_data" "runner" {
  input = { run = var.drfsm_run, drill = var.drfsm_drill, name = "i-0123456789abcdef0" }
}
resource "terraform_data" "security_group_rule" {
  triggers_replace = [var.allowed_cidr]
}
output "instance_ids" { value = [terraform_data.runner.output.name] }
output "kubeconfig" {
  sensitive = true
  value = yamlencode({
    apiVersion = "v1", kind = "Config", current-context = "dr"
    clusters = [{ name = "dr", cluster = { server = "https://198.51.100.4:6443" } }]
    contexts = [{ name = "dr", context = { cluster = "dr", user = "admin" } }]
    users    = [{ name = "admin", user = { token = var.api_token } }]
  })
}
"""
SLOW = """
resource "terraform_data" "slow" {
  depends_on = [terraform_data.runner]
  provisioner "local-exec" { command = "echo began > began; SLEEP; echo ended > ended" }
}
"""
FAILS = """
resource "terraform_data" "fails" {
  depends_on = [terraform_data.runner]
  provisioner "local-exec" { command = "test -f mended" }
}
"""


class Bench:
    """A module of one's own, and the site that it brings up."""

    def __init__(self, home: Path) -> None:
        self.home, self.module, self.logs = home, home / "module", home / "logs"
        self.module.mkdir()
        self.write(MODULE)
        self.private = PrivateFiles(home / "private")
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CHECKPOINT_DISABLE": "1"}
        self.parameters: dict[str, str] = {}
        self.files: dict[tuple[str, str], str] = {}
        self.said: list[str] = []
        self.watch = Watch(self.said.append)

    def write(self, *parts: str) -> None:
        """Write the module."""
        (self.module / "main.tf").write_text("".join(parts), encoding="utf-8")

    def site(self) -> TerraformSite:
        """Return the site, as a new process would see it."""
        terraform = Terraform(module_at(self.module), self.private, self.logs, self.environ, lock_seconds=0)
        return TerraformSite(terraform, self.private, self.parameters.get, lambda: ADDRESS, self.machine_file)

    def machine_file(self, machine: str, path: str) -> str | None:
        """Return a file of a machine."""
        return self.files.get((machine, path))

    def up(self, charter: Charter = CHARTER) -> TerraformSite:
        """Bring the site up."""
        site = self.site()
        site.bring_up(charter, site.plan(charter, self.watch), self.watch)
        return site

    def ids(self, site: TerraformSite, charter: Charter = CHARTER) -> list[str]:
        """Return the ids of what stands."""
        return [each.instance_id for each in site.standing(charter).machines]

    def log(self) -> str:
        """Return all that stands in the logs for people."""
        return "".join(each.read_text() for each in sorted(self.logs.iterdir()))

    def by_hand(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run terraform as an operator would, in the charter's workspace."""
        environ = {
            **self.environ,
            "TF_DATA_DIR": str(self.private.home("terraform")),
            "TF_WORKSPACE": CHARTER.run,
            "TF_VAR_drfsm_run": CHARTER.run,
            "TF_VAR_drfsm_drill": CHARTER.drill,
        }
        argv = [found_binary(environ), *command]
        return subprocess.run(argv, cwd=self.module, env=environ, capture_output=True, text=True, check=False)

    def began(self) -> bool:
        """Say whether the slow resource's command runs."""
        return (self.module / "began").exists()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a module of the test's own."""
    return Bench(tmp_path)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


@needs_terraform
def test_a_plan_is_shown_and_applied_and_its_site_destroyed(bench: Bench) -> None:
    """Planning changes nothing; applying brings up what was shown; destroying leaves no state and no workspace."""
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)
    assert changes.words == (
        "2 to add, 0 to change, 0 to destroy",
        "create terraform_data.runner",
        "create terraform_data.security_group_rule",
    )
    assert changes.tool.startswith("terraform 1.")
    assert site.planned(CHARTER) == changes
    assert site.standing(CHARTER).resources == 0
    standing = site.bring_up(CHARTER, changes, bench.watch)
    assert (standing.resources, bench.ids(site)) == (2, ["i-0123456789abcdef0"])
    kubeconfig = site.fetch_kubeconfig(CHARTER)
    assert kubeconfig is not None
    assert kubeconfig.server == "https://198.51.100.4:6443"
    assert site.held_kubeconfig() == kubeconfig
    assert bench.private.kubeconfig.stat().st_mode & 0o777 == 0o600
    site.tear_down(CHARTER, bench.ids(site), bench.watch)
    assert (site.standing(CHARTER).resources, site.planned(CHARTER), site.held_kubeconfig()) == (0, None, None)
    assert CHARTER.run not in bench.by_hand("workspace", "list").stdout.replace("*", "")
    assert "0 to add, 0 to change, 2 to destroy" in bench.said
    site.tear_down(CHARTER, ["i-0123456789abcdef0"], bench.watch)


@needs_terraform
def test_every_charter_has_a_state_of_its_own(bench: Bench) -> None:
    """Two runs over one module share nothing: taking one down leaves the other, and names tell them apart."""
    first, second = bench.up(), bench.up(OTHER)
    first.tear_down(CHARTER, bench.ids(first), bench.watch)
    assert (first.standing(CHARTER).resources, second.standing(OTHER).resources) == (0, 2)
    state = (bench.module / "terraform.tfstate.d" / OTHER.run / "terraform.tfstate").read_text()
    assert OTHER.run in state
    assert "drill-of-sunday" in state
    assert not (bench.module / "terraform.tfstate").exists()
    assert not (bench.module / ".terraform").exists()


@needs_terraform
def test_bringing_up_again_changes_nothing(bench: Bench) -> None:
    """A plan that was applied is overtaken by itself: the second time there is nothing left of it."""
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)
    once = site.bring_up(CHARTER, changes, bench.watch)
    assert bench.site().bring_up(CHARTER, changes, bench.watch) == once


@needs_terraform
def test_after_a_failure_halfway_the_rest_of_the_plan_is_applied(bench: Bench) -> None:
    """What failed is said with terraform's own words; when it is mended, exactly what was shown comes up."""
    bench.write(MODULE, FAILS)
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)
    with pytest.raises(TerraformFailed, match="terraform apply: local-exec provisioner error") as failed:
        site.bring_up(CHARTER, changes, bench.watch)
    assert (failed.value.stale, failed.value.locked) == (False, False)
    assert bench.ids(site) == ["i-0123456789abcdef0"]
    (bench.module / "mended").touch()
    assert site.bring_up(CHARTER, changes, bench.watch).resources == 3


@needs_terraform
def test_what_was_not_shown_is_not_applied(bench: Bench) -> None:
    """A module that grew since its plan was shown is refused, and nothing of it is applied."""
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)
    bench.write(MODULE, 'resource "terraform_data" "more" {}')
    bench.private.forget("terraform.plan")  # as on another machine
    with pytest.raises(ActionFailed, match=r"than the plan that was shown: create terraform_data.more"):
        site.bring_up(CHARTER, changes, bench.watch)
    assert site.standing(CHARTER).resources == 0


@needs_terraform
def test_a_plan_to_bring_up_never_destroys(bench: Bench) -> None:
    """Where bringing up would destroy something that is up, the plan is refused, by name."""
    site = bench.up()
    bench.write(MODULE.replace('"runner"', '"walker"').replace(".runner.", ".walker."))
    with pytest.raises(ActionFailed, match=r"would destroy terraform_data.runner"):
        site.plan(CHARTER, bench.watch)
    assert site.standing(CHARTER).resources == 2


@needs_terraform
def test_an_interruption_is_forwarded_once_and_leaves_no_lock(bench: Bench) -> None:
    """Asked to stop in the middle, terraform ends what it is in, writes its state, and its lock is free at once."""
    bench.write(MODULE, SLOW.replace("SLEEP", "trap '' INT; sleep 2"))
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)

    def stop() -> None:
        if bench.began():
            raise Interrupted("somebody wants to stop")

    with pytest.raises(Interrupted):
        site.bring_up(CHARTER, changes, Watch(bench.said.append, stop))
    assert any("was asked to stop" in each for each in bench.said)
    assert "i-0123456789abcdef0" in bench.ids(bench.site())
    assert bench.by_hand("plan", "-input=false").returncode == 0, "the lock is free"


@needs_terraform
def test_killed_with_us_or_not_terraform_ends_its_apply(bench: Bench) -> None:
    """A SIGKILL of drfsm leaves terraform at work: it applies to its end, and the next process finds it done."""
    bench.write(MODULE, SLOW.replace("SLEEP", "sleep 2"))
    changes = bench.site().plan(CHARTER, bench.watch)
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.adapters.test_terraform import CHARTER, Bench
bench = Bench.__new__(Bench)
bench.module, bench.logs = Path({str(bench.module)!r}), Path({str(bench.logs)!r})
from drfsm.adapters.private import PrivateFiles
bench.private = PrivateFiles(Path({str(bench.private.directory)!r}))
bench.environ, bench.parameters = {bench.environ!r}, {{}}
from drfsm.world import Watch
site = bench.site()
site.bring_up(CHARTER, site.planned(CHARTER), Watch())
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    until(bench.began)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (bench.module / "ended").exists()
    until((bench.module / "ended").exists)
    until(lambda: bench.by_hand("plan", "-input=false", "-lock-timeout=20s").returncode == 0)
    assert bench.site().bring_up(CHARTER, changes, bench.watch).resources == 3


@needs_terraform
def test_a_lock_that_somebody_holds_is_told_apart_with_its_way_on(bench: Bench) -> None:
    """Who holds it, since when, and what to do: wait, or break it if its holder is dead. Nobody breaks it."""
    bench.up()
    bench.write(MODULE, SLOW.replace("SLEEP", "sleep 3"))
    holder = threading.Thread(target=bench.by_hand, args=("apply", "-auto-approve", "-input=false"))
    holder.start()
    until(bench.began)
    with pytest.raises(TerraformFailed, match=r"Error acquiring the state lock: .+ has held it since ") as refused:
        bench.site().plan(CHARTER, bench.watch)
    assert (refused.value.locked, refused.value.stale) == (True, False)
    assert "only if you know that its process is dead" in refused.value.hint
    assert "force-unlock" in refused.value.hint
    holder.join()
    assert (bench.module / "ended").exists()


@needs_terraform
def test_secrets_stand_in_no_log_and_no_plan_in_words(bench: Bench) -> None:
    """Neither what the environment calls a secret nor what the module calls sensitive is told to anybody."""
    echo = 'provisioner "local-exec" { command = "echo said ${var.api_token}" }'
    bench.write(MODULE, f'resource "terraform_data" "talks" {{\n  {echo}\n}}\n')
    bench.environ["TF_VAR_api_token"] = WORD
    site = bench.up()
    assert site.fetch_kubeconfig(CHARTER) is not None
    assert WORD in bench.private.kubeconfig.read_text()
    assert "said ***" in bench.log()
    assert WORD not in bench.log()
    assert WORD not in "".join(bench.said)
    assert WORD not in repr(site.planned(CHARTER))
    loose = [each for each in bench.private.directory.rglob("*") if each.is_file() and each.stat().st_mode & 0o077]
    assert not [each for each in loose if WORD.encode() in each.read_bytes()]
    assert bench.private.directory.stat().st_mode & 0o777 == 0o700


@needs_terraform
def test_the_operators_backend_and_variables_are_respected(bench: Bench) -> None:
    """TF_BACKEND_<NAME> is the backend's <name>, templates and all as they stand; TF_WORKSPACE decides nothing."""
    states = bench.home / "states ${of} %{all}"
    bench.write('terraform { \n backend "local" {} \n}', MODULE)
    bench.environ |= {"TF_BACKEND_WORKSPACE_DIR": str(states), "TF_WORKSPACE": "live"}
    bench.up()
    assert (states / CHARTER.run / "terraform.tfstate").exists()
    assert not (states / "live").exists()


@needs_terraform
def test_an_address_is_let_in_and_only_the_rule_is_replaced(bench: Bench) -> None:
    """The repair applies what the new address changes; a module without the variable says that it has nowhere to go."""
    site = bench.up()
    before = site.standing(CHARTER)
    assert site.allow(CHARTER, bench.watch) == ADDRESS
    assert site.standing(CHARTER) == before
    assert ADDRESS in bench.by_hand("show", "-json").stdout
    assert bench.site().plan(CHARTER, bench.watch).changes == (), "a new process still lets it in"
    bench.write(MODULE.replace("allowed_cidr", "somebody"))
    with pytest.raises(ActionFailed, match="declares no variable allowed_cidr"):
        bench.site().allow(CHARTER, bench.watch)


@needs_terraform
def test_an_address_comes_into_force_with_what_is_left_to_bring_up(bench: Bench) -> None:
    """Before anything is up, the address waits for the bring-up, which goes on with the plan that was shown."""
    site = bench.site()
    changes = site.plan(CHARTER, bench.watch)
    assert site.allow(CHARTER, bench.watch) == ADDRESS
    assert site.standing(CHARTER).resources == 0
    assert site.bring_up(CHARTER, changes, bench.watch).resources == 2
    assert ADDRESS in bench.by_hand("show", "-json").stdout


@needs_terraform
def test_the_kubeconfig_may_come_through_a_parameter(bench: Bench) -> None:
    """The output names it; until somebody writes it there is none yet; a module that gives neither says so."""
    kubeconfig = bench.up()
    kubeconfig.fetch_kubeconfig(CHARTER)
    body = bench.private.kubeconfig.read_text()
    named = MODULE.split('output "kubeconfig"', maxsplit=1)[0]
    bench.write(named, 'output "kubeconfig_parameter" { value = "/dr/kubeconfig" }')
    site = bench.up()
    assert site.fetch_kubeconfig(CHARTER) is None
    bench.parameters["/dr/kubeconfig"] = body
    assert site.fetch_kubeconfig(CHARTER) == kubeconfig.held_kubeconfig()
    bench.write(named)
    with pytest.raises(
        ActionFailed, match=r"none of kubeconfig, kubeconfig_parameter, instance_id \(its outputs: instance_ids\)"
    ):
        bench.up().fetch_kubeconfig(CHARTER)


@needs_terraform
def test_a_module_that_gives_a_machine_alone_is_reached_through_its_file(bench: Bench) -> None:
    """The original's outputs: the file on the machine is read once it is there; its loopback address is replaced."""
    outputs = """
output "instance_id" { value = terraform_data.runner.output.name }
output "public_ip" { value = "127.0.0.3" }
output "private_ip" { value = "127.0.0.4" }
output "ssh_command" { value = "ssh ubuntu@127.0.0.3" }
output "kubeconfig_hint" { value = "scp ubuntu@127.0.0.3:/etc/rancher/k3s/k3s.yaml ./k3s-dr.yaml" }
"""
    given = bench.up()
    given.fetch_kubeconfig(CHARTER)
    body = bench.private.kubeconfig.read_text()
    bench.write(MODULE.split('output "instance_ids"', maxsplit=1)[0], outputs)
    site = bench.up()
    assert bench.ids(site) == ["i-0123456789abcdef0"]
    assert site.fetch_kubeconfig(CHARTER) is None
    bench.files["i-0123456789abcdef0", "/etc/rancher/k3s/k3s.yaml"] = body
    assert site.fetch_kubeconfig(CHARTER) == given.held_kubeconfig()
    k3s = yaml.safe_load(body)
    authority = base64.b64encode(issue("site", bench.home).authority.encode()).decode()
    k3s["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:1", "certificate-authority-data": authority}
    bench.files["i-0123456789abcdef0", "/etc/rancher/k3s/k3s.yaml"] = yaml.safe_dump(k3s)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.3: Connection refused; 127\.0\.0\.4"):
        site.fetch_kubeconfig(CHARTER)
    bench.write(
        MODULE.split('output "instance_ids"', maxsplit=1)[0],
        outputs,
        """
output "kubeconfig_path" { value = "/root/kubeconfig" }
""",
    )
    assert bench.up().fetch_kubeconfig(CHARTER) is None


@needs_terraform
def test_machines_that_are_not_recorded_are_not_destroyed(bench: Bench) -> None:
    """A state that holds another machine than the journal refuses the teardown, and everything stays."""
    site = bench.up()
    with pytest.raises(ActionFailed, match=r"i-0123456789abcdef0 of .* is not on record: nothing was changed"):
        site.tear_down(CHARTER, ["i-other"], bench.watch)
    assert site.standing(CHARTER).resources == 2


@needs_terraform
def test_a_module_that_does_not_know_the_run_says_so_in_its_plan(bench: Bench) -> None:
    """Names and tags that can't carry the run's id are told before anything is brought up."""
    bench.write('resource "terraform_data" "runner" {}')
    words = bench.site().plan(CHARTER, bench.watch).words
    assert words[-1] == f"the module declares no variable drfsm_run: names and tags will not contain {CHARTER.run}"


@needs_terraform
def test_what_is_wrong_in_a_module_is_told_in_terraforms_words(bench: Bench) -> None:
    """A mistake is named by its summary and its log, and is neither a lock nor a stale plan."""
    bench.write(MODULE, 'output "wrong" { value = terraform_data.nobody.id }')
    with pytest.raises(TerraformFailed, match="Reference to undeclared resource") as refused:
        bench.site().plan(CHARTER, bench.watch)
    assert (refused.value.locked, refused.value.stale) == (False, False)
    assert str(bench.logs) in refused.value.hint
    bench.write("resource {")
    with pytest.raises(TerraformFailed, match="terraform init: "):
        bench.site().plan(CHARTER, bench.watch)


@needs_terraform
@pytest.mark.parametrize("name", ["TF_CLI_ARGS", "TF_CLI_ARGS_plan"])
def test_arguments_behind_our_back_are_refused(bench: Bench, name: str) -> None:
    """What would change what is planned and applied is refused, with what to do instead."""
    bench.environ[name] = "-lock=false"
    with pytest.raises(UsageFault, match=f"{name} is set") as refused:
        bench.site()
    assert "TF_VAR_" in refused.value.hint


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    """Without terraform on the PATH it says what is missing and how to name another."""
    with pytest.raises(UsageFault, match="terraform is not on the PATH") as refused:
        found_binary({"PATH": str(tmp_path)})
    assert "TERRAFORM=" in refused.value.hint
    other = tmp_path / "tofu"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert found_binary({"PATH": str(tmp_path), "TERRAFORM": "tofu"}) == str(other)


def test_a_directory_without_a_module_is_refused(tmp_path: Path) -> None:
    """A wrong directory is named before terraform is run."""
    with pytest.raises(UsageFault, match="contains no terraform module"):
        module_at(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_left(bench: Bench) -> Iterator[None]:
    """Wait for a terraform that outlived its test."""
    yield
    until(lambda: not list(bench.module.rglob("*.lock.info")), 30)
