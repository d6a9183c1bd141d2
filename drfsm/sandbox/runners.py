"""DR's runners: an instance that is started from the launch template brings up a cluster of its own.

This module does beside moto what the image's user data would do on a real machine: it starts a cluster, creates the
namespace and DR's own Secret, and writes the kubeconfig into the instance's SSM parameter and to where k3s has it; SSM
runs commands there (remote_commands.py). While the instance is stopped, its cluster has an outage; when it is
terminated, the cluster is removed, while the parameter stays, as in the cloud. The seeded instance was started without
a template and is no such runner: lifecycle.py ties DR's own cluster to it.

It owns the launch template and its security group, and makes moto honour client tokens, which moto only stores.
lifecycle.py calls it; tests use ``boots``, ``guarded`` and ``clusters``.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from drfsm.adapters.ec2 import API_PORT
from drfsm.dr.workload import shipped
from drfsm.sandbox import remote_commands
from drfsm.sandbox.cloud import MACHINE_IMAGE, Cloud, Identity
from drfsm.sandbox.clusters import Cluster
from drfsm.sandbox.seed import Options, manifests

_OF_CONTRACT = shipped().runners
TEMPLATE, KUBECONFIG_PARAMETER = _OF_CONTRACT.template, _OF_CONTRACT.kubeconfig_parameter
RUNNER_NAMES: Mapping[str, Any] = {
    "template": TEMPLATE,
    "parameter": KUBECONFIG_PARAMETER,
    "tags": {"Name": _OF_CONTRACT.name, **_OF_CONTRACT.tags},
}
"""What drfsm's own Ec2Runner is told of the machines."""
POLL_SECONDS = 0.25
INSTANCE_TYPE, DISK_GB = "t3.large", 40
NO_TOKEN = "ABCDE"  # noqa: S105  what moto takes where none is given
_RUNS, _STOPS = ("pending", "running"), ("stopping", "stopped")


class Runners:
    """Watches the instances, and starts and stops their clusters.

    ``boots``: whether user data succeeds; if not, an instance runs and never publishes a kubeconfig.
    ``guarded``: whether a cluster answers only while its security group opens its port to somebody.
    """

    def __init__(self, cloud: Cloud, directory: Path, options: Options, made: Callable[[str, Path], Cluster]) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.boots, self.guarded = True, False
        self._cloud, self._directory, self._options, self._made = cloud, directory, options, made
        self._names = options.contract.runners
        self._out: dict[str, bool] = {}
        self._identity: Identity | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the launch template, and begin to watch the instances."""
        honour_client_tokens()
        launch_template(self._cloud, self._names.template)
        self._thread = threading.Thread(target=self._watch, name="runners", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, and every cluster with it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for instance_id in list(self.clusters):
            self._remove(instance_id)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            # moto changes its own objects while they are read: then the next look sees them.
            with suppress(RuntimeError):
                self._check_instances()

    def _check_instances(self) -> None:
        for instance in self._cloud.instances():
            if any(tag["key"] == "aws:ec2launchtemplate:id" for tag in instance.get_tags()):
                self._follow(instance.id, instance.state)

    def _follow(self, instance_id: str, state: str) -> None:
        if instance_id in self.clusters:
            if state not in (*_RUNS, *_STOPS):
                self._remove(instance_id)
                return
            if state in _STOPS:
                remote_commands.withdraw(self._cloud.account, instance_id)
            else:
                remote_commands.offer(self._cloud.account, instance_id, self._machine(instance_id))
            self._set_outage(instance_id, out=state in _STOPS or (self.guarded and not self._is_open(instance_id)))
        elif state in _RUNS and self.boots:
            self._boot(instance_id)

    def _boot(self, instance_id: str) -> None:
        """Do what the instance's user data does."""
        cluster = self._made(f"dr-{instance_id}", self._directory / instance_id)
        self.clusters[instance_id] = cluster
        cluster.start()
        for manifest in self._base_objects():
            cluster.apply(manifest)
        if self.guarded:
            self._set_outage(instance_id, out=True)
        remote_commands.furnish(self._machine(instance_id), cluster.kubeconfig.read_bytes())
        self._cloud.client("ssm").put_parameter(
            Name=self._names.kubeconfig_parameter.format(instance=instance_id),
            Value=cluster.kubeconfig.read_text(encoding="utf-8"),
            Type="SecureString",
            Tier="Advanced",
            Overwrite=True,
        )

    def _machine(self, instance_id: str) -> Path:
        return self._directory / instance_id / "machine"

    def _base_objects(self) -> list[dict[str, Any]]:
        """Return the objects that no backup holds: the namespace, and the Secret with a key of DR's identity."""
        if self._identity is None:  # one key for all: an identity may have two, and the seed made the first
            key = self._cloud.client("iam").create_access_key(UserName=f"{self._options.bucket}-dr")["AccessKey"]
            self._identity = Identity("", key["AccessKeyId"], key["SecretAccessKey"])
        made = manifests("dr", self._options, self._identity, self._cloud.endpoint)
        return [manifest for manifest in made if manifest["kind"] in ("Namespace", "Secret")]

    def _is_open(self, instance_id: str) -> bool:
        ec2 = self._cloud.client("ec2")
        (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        groups = [group["GroupId"] for group in reservation["Instances"][0]["SecurityGroups"]]
        security_groups = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        return any(rule.get("FromPort") == API_PORT for group in security_groups for rule in group["IpPermissions"])

    def _set_outage(self, instance_id: str, *, out: bool) -> None:
        if self._out.get(instance_id, False) != out:
            self.clusters[instance_id].outage(out)
            self._out[instance_id] = out

    def _remove(self, instance_id: str) -> None:
        remote_commands.withdraw(self._cloud.account, instance_id)
        self.clusters.pop(instance_id).stop()
        shutil.rmtree(self._directory / instance_id, ignore_errors=True)


def launch_template(cloud: Cloud, name: str = TEMPLATE) -> str:
    """Make DR's launch template and its security group; return the template's id."""
    ec2 = cloud.client("ec2")
    if templates := _templates(ec2, name):
        return templates[0]
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    about = "DR's runner: nobody gets in until he is let in"
    group = ec2.create_security_group(GroupName=name, Description=about, VpcId=vpc)["GroupId"]
    disk = {"VolumeSize": DISK_GB, "VolumeType": "gp3", "DeleteOnTermination": True}
    data = {
        "ImageId": MACHINE_IMAGE,
        "InstanceType": INSTANCE_TYPE,
        "SecurityGroupIds": [group],
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": disk}],
    }
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def _templates(ec2: Any, name: str) -> list[str]:
    listed = ec2.describe_launch_templates()["LaunchTemplates"]
    return [template["LaunchTemplateId"] for template in listed if template["LaunchTemplateName"] == name]


def honour_client_tokens() -> None:
    """Make moto start only one instance for each client token. A second call changes nothing.

    The rule: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
    """
    from moto.ec2.models.instances import InstanceBackend

    backend: Any = InstanceBackend
    if not hasattr(backend.run_instances, "forgetful"):
        backend.run_instances = _remembering(backend.run_instances)


def _remembering(run_instances: Callable[..., Any]) -> Callable[..., Any]:
    from moto.ec2.exceptions import EC2ClientError

    alone = threading.Lock()

    def remembering(self: Any, *arguments: Any, **more: Any) -> Any:
        with alone:
            for reservation in self.reservations.values() if more.get("client_token") != NO_TOKEN else ():
                if any(instance.client_token == more["client_token"] for instance in reservation.instances):
                    if all(instance._state.name == "terminated" for instance in reservation.instances):  # noqa: SLF001  moto tells it nowhere else
                        message = "The client token was used for an instance that is terminated"
                        raise EC2ClientError("IdempotentInstanceTerminated", message)
                    return reservation
            return run_instances(self, *arguments, **more)

    remembering.forgetful = run_instances  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    return remembering
