"""An instance that is started in the sandbox's EC2 brings up a cluster of its own, and takes it along when it goes."""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import pytest
import yaml
from botocore.exceptions import ClientError

from drfsm.adapters.aws_session import Services
from drfsm.adapters.ec2 import API_PORT
from drfsm.adapters.ssm_files import SsmFiles
from drfsm.adapters.terraform import K3S_KUBECONFIG
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import Cloud, Identity
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.runners import KUBECONFIG_PARAMETER, TEMPLATE, Runners, launch_template
from drfsm.sandbox.seed import launch_runner


class Yard:
    """Runners, and what an operator does with them."""

    def __init__(self, cloud: Cloud, home: Path) -> None:
        self.cloud, self.ec2, self.ssm = cloud, cloud.client("ec2"), cloud.client("ssm")
        options = Options(bucket=f"yard-{time.time_ns()}")
        cloud.create_identity(f"{options.bucket}-dr")
        self.home = home / "runners"
        self.runners = Runners(cloud, self.home, options, lambda name, at: EmulatedCluster(name, at, {}))

    def launch(self, token: str = "") -> str:
        """Start an instance from the template; return its id."""
        given = {"ClientToken": token} if token else {}
        template = {"LaunchTemplateName": TEMPLATE}
        answer = self.ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1, **given)
        return str(answer["Instances"][0]["InstanceId"])

    def kubeconfig(self, instance_id: str) -> Any:
        """Return what lies in an instance's parameter, None if nothing does."""
        try:
            name = KUBECONFIG_PARAMETER.format(instance=instance_id)
            return yaml.safe_load(self.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        except self.ssm.exceptions.ParameterNotFound:
            return None

    def file(self, instance_id: str) -> str | None:
        """Return the kubeconfig that lies on an instance, as SSM reads it there."""
        files = SsmFiles(cast("Services", self.cloud), sleep=lambda _: time.sleep(0.02))
        return files.read(instance_id, K3S_KUBECONFIG)

    def booted(self, instance_id: str) -> Any:
        """Wait until an instance has given its kubeconfig; return it."""
        until(lambda: self.kubeconfig(instance_id) is not None)
        return self.kubeconfig(instance_id)


@pytest.fixture
def yard(cloud: Cloud, tmp_path: Path) -> Iterator[Yard]:
    """Return running runners; afterwards no instance is left."""
    made = Yard(cloud, tmp_path)
    made.runners.start()
    yield made
    made.runners.stop()
    found = [each for page in made.ec2.describe_instances()["Reservations"] for each in page["Instances"]]
    if found:
        made.ec2.terminate_instances(InstanceIds=[each["InstanceId"] for each in found])


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def asked(kubeconfig: Any, path: str) -> Any:
    """Return what the cluster of a kubeconfig answers, None if it doesn't."""
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    place = urlsplit(cluster["server"])
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=5, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {user['token']}"})
        return json.loads(connection.getresponse().read())
    except OSError:
        return None
    finally:
        connection.close()


def test_an_instance_brings_up_a_cluster_and_takes_it_along(yard: Yard) -> None:
    """Its kubeconfig comes through its own parameter and leads to an empty site; terminated, the cluster is gone."""
    instance_id = yard.launch()
    kubeconfig = yard.booted(instance_id)
    secret = asked(kubeconfig, "/api/v1/namespaces/jobintel/secrets/jobintel-secrets")
    assert set(secret["data"]) >= {"AWS_ACCESS_KEY_ID", "JOBINTEL_S3_BUCKET"}
    assert asked(kubeconfig, "/apis/batch/v1/namespaces/jobintel/cronjobs")["items"] == []
    until(lambda: yard.file(instance_id) is not None)
    assert yaml.safe_load(str(yard.file(instance_id))) == kubeconfig, "SSM reads the file on the machine itself"
    yard.ec2.terminate_instances(InstanceIds=[instance_id])
    until(lambda: asked(kubeconfig, "/version") is None)
    until(lambda: not (yard.home / instance_id).exists())
    assert yard.kubeconfig(instance_id) is not None, (
        "as in the cloud, nobody deletes the parameter but who asked for it"
    )


def test_a_new_cluster_has_what_a_drill_needs_beforehand_and_nothing_else(yard: Yard) -> None:
    """The namespace, and a Secret whose key is DR's own identity: all else is the drill's to bring."""
    kubeconfig = yard.booted(yard.launch())
    assert asked(kubeconfig, "/api/v1/namespaces/jobintel")["status"]["phase"] == "Active"
    secrets = asked(kubeconfig, "/api/v1/namespaces/jobintel/secrets")["items"]
    assert [each["metadata"]["name"] for each in secrets] == ["jobintel-secrets"]
    key, value, bucket = (
        base64.b64decode(secrets[0]["data"][name]).decode()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "JOBINTEL_S3_BUCKET")
    )
    arn = yard.cloud.client("sts", Identity("", key, value)).get_caller_identity()["Arn"]
    assert arn == yard.cloud.client("iam").get_user(UserName=f"{bucket}-dr")["User"]["Arn"]
    for kinds in (
        *(f"/api/v1/namespaces/jobintel/{each}" for each in ("pods", "persistentvolumeclaims")),
        *(f"/apis/batch/v1/namespaces/jobintel/{each}" for each in ("jobs", "cronjobs")),
        "/apis/apps/v1/namespaces/jobintel/deployments",
    ):
        assert asked(kubeconfig, kinds)["items"] == [], kinds
    for kinds, by_itself in (("configmaps", {"kube-root-ca.crt"}), ("serviceaccounts", {"default"})):
        found = asked(kubeconfig, f"/api/v1/namespaces/jobintel/{kinds}")["items"]
        assert {each["metadata"]["name"] for each in found} <= by_itself, "a cluster makes these by itself"


def test_two_instances_are_two_clusters(yard: Yard) -> None:
    """Each has its own parameter and its own cluster; one goes without the other."""
    first, second = yard.launch(), yard.launch()
    spaces = [asked(yard.booted(each), "/api/v1/namespaces/kube-system") for each in (first, second)]
    assert len({each["metadata"]["uid"] for each in spaces}) == 2
    yard.ec2.terminate_instances(InstanceIds=[first])
    until(lambda: first not in yard.runners.clusters)
    assert asked(yard.kubeconfig(second), "/version") is not None


def test_a_stopped_instance_is_out_until_it_is_started(yard: Yard) -> None:
    """While it is stopped nobody answers; started again, it is the same cluster."""
    instance_id = yard.launch()
    kubeconfig = yard.booted(instance_id)
    before = asked(kubeconfig, "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    yard.ec2.stop_instances(InstanceIds=[instance_id])
    until(lambda: asked(kubeconfig, "/version") is None)
    yard.ec2.start_instances(InstanceIds=[instance_id])
    until(lambda: asked(kubeconfig, "/version") is not None)
    assert asked(kubeconfig, "/api/v1/namespaces/kube-system")["metadata"]["uid"] == before


def test_a_guarded_cluster_answers_once_somebody_is_let_in(yard: Yard) -> None:
    """Shut by its security group, the API answers nobody until a rule opens its port."""
    yard.runners.guarded = True
    instance_id = yard.launch()
    kubeconfig = yard.booted(instance_id)
    assert asked(kubeconfig, "/version") is None
    (instance,) = yard.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": API_PORT,
        "ToPort": API_PORT,
        "IpRanges": [{"CidrIp": "203.0.113.7/32"}],
    }
    group = instance["SecurityGroups"][0]["GroupId"]
    yard.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    until(lambda: asked(kubeconfig, "/version") is not None)
    yard.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    until(lambda: asked(kubeconfig, "/version") is None)


def test_an_instance_whose_boot_fails_never_gives_a_kubeconfig(yard: Yard) -> None:
    """It runs, and that is all."""
    yard.runners.boots = False
    instance_id = yard.launch()
    time.sleep(0.8)
    assert (yard.kubeconfig(instance_id), yard.runners.clusters) == (None, {})


def test_an_instance_without_the_template_is_no_runner_of_theirs(yard: Yard) -> None:
    """The seeded instance carries DR's own cluster, which lifecycle.py sees to."""
    seeded = launch_runner(yard.cloud)
    yard.booted(yard.launch())
    assert yard.kubeconfig(seeded) is None


def test_a_client_token_starts_one_instance(yard: Yard) -> None:
    """However often and however many at once ask with it: one; once that is terminated, the token is spent."""
    yard.runners.boots = False
    with ThreadPoolExecutor(8) as pool:
        (only,) = set(pool.map(lambda _: yard.launch("drill-1.0"), range(8)))
    assert yard.launch("drill-1.1") != only
    yard.ec2.terminate_instances(InstanceIds=[only])
    with pytest.raises(ClientError, match="IdempotentInstanceTerminated"):
        yard.launch("drill-1.0")


def test_the_template_is_made_once(yard: Yard) -> None:
    """Another sandbox in the same process finds it."""
    assert launch_template(yard.cloud) == launch_template(yard.cloud)


@pytest.mark.parametrize("canonical", ["dr", "primary"])
def test_a_sandbox_has_runners_beside_its_two_sites(tmp_path: Path, canonical: Literal["dr", "primary"]) -> None:
    """Whoever is canonical, a third cluster comes up for a drill, with DR's identity; stopping ends all three."""
    with Sandbox(tmp_path, Options(bucket=f"whole-{time.time_ns()}", canonical=canonical)) as sandbox:
        ec2 = sandbox.cloud.client("ec2")
        answer = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": TEMPLATE}, MinCount=1, MaxCount=1)
        instance_id = str(answer["Instances"][0]["InstanceId"])
        assert sandbox.runners is not None
        runners = sandbox.runners
        name = KUBECONFIG_PARAMETER.format(instance=instance_id)
        ssm = sandbox.cloud.client("ssm")
        until(lambda: bool(ssm.describe_parameters(Filters=[{"Key": "Name", "Values": [name]}])["Parameters"]))
        kubeconfig = yaml.safe_load(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        uid = asked(kubeconfig, "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        assert len({uid, sandbox.primary.uid, sandbox.dr.uid}) == 3
        data = asked(kubeconfig, "/api/v1/namespaces/jobintel/secrets/jobintel-secrets")["data"]
        assert base64.b64decode(data["JOBINTEL_S3_BUCKET"]).decode() == sandbox.bucket
        state = sandbox.state
        assert Path(state.kubeconfig_dr).is_file()
    assert runners.clusters == {}
    assert asked(kubeconfig, "/version") is None
