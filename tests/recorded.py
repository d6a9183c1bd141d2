"""Recorded bundles, and the worlds that they were recorded in: the sandbox's real servers with exactly those objects.

``World`` starts moto and the emulated clusters, and lays what ``<machine>.world.json.gz`` says: every object of the
bucket byte for byte (so with the same ETags), every object of the clusters with its uid, resourceVersion and status,
the machines with their ids. What can't be the same is not: addresses, certificates, keys and tokens are new, and the
Secrets that hold them are filled anew. tests/record_bundles.py writes what is read here.
"""

import base64
import gzip
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from drfsm.adapters.file_journal import read_chain
from drfsm.dr import workload
from drfsm.journal import fold
from drfsm.sandbox import workload_image
from drfsm.sandbox.cloud import ACCESS_KEY_ID, MACHINE_IMAGE, REGION, SECRET_ACCESS_KEY, Cloud, _application
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.kubernetes.objects import key_of, timestamp
from drfsm.sandbox.kubernetes.resources import BY_KIND
from drfsm.sandbox.runners import KUBECONFIG_PARAMETER, Runners, launch_template
from drfsm.sandbox.seed import REPOSITORY, Options

BUNDLES = Path(__file__).parent / "data" / "bundles"
MACHINES = ("failback", "promote", "drill")
LEFT_OUT = ("nodes", "leases", "events", "endpoints")
"""What every cluster makes anew."""
SECRET_VALUES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
SERVICES = ("s3", "iam", "sts", "ec2", "ssm", "cloudwatch")
Manifest = dict[str, Any]


def recorded() -> list[Path]:
    """Return every recorded bundle: tests/data/bundles/<version>/<machine>."""
    return sorted(each for each in BUNDLES.glob("*/*") if each.is_dir())


def account_of(version: str, machine: str) -> str:
    """Return the cloud account of a recorded world: none that a sandbox of the same process could have."""
    numbers = "".join(f"{int(each):02}" for each in version.split("."))
    return f"77{numbers:0<8}{MACHINES.index(machine):02}"


def world_of(bundle: Path) -> Any:
    """Return the description of a bundle's world."""
    return json.loads(gzip.decompress(bundle.with_name(f"{bundle.name}.world.json.gz").read_bytes()))


def contract_of(bundle: Path) -> workload.Workload:
    """Return the contract of the recorded workload: what the run says, or the one of then, when runs said nothing."""
    return workload.recorded(fold(read_chain(bundle).records).inputs.get("workload", ""))


class World:
    """The servers of one recorded bundle. Usable as a context manager; one at a time of each bundle in a process."""

    def __init__(self, bundle: Path, directory: Path) -> None:
        self.told = world_of(bundle)
        self.bucket, self.account = str(self.told["bucket"]), str(self.told["account"])
        self.cloud = _Cloud(self.account)
        self._contract = contract_of(bundle)
        self.clusters = {name: self._made(name, name, directory / name) for name in ("primary", "dr")}
        options = Options(bucket=self.bucket)
        self.runners = Runners(
            self.cloud, directory / "runners", options,
            lambda name, home: self._made(name.removeprefix("dr-"), name, home),
        )  # fmt: skip
        self._secrets: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        """Start the servers and lay the world; if anything fails, nothing is left running."""
        self.cloud.start()
        try:
            self._lay_account()
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda each: each.start(), self.clusters.values()))
            self.runners.start()
            self._await_machines()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, and forget the account: another test may bring it up again."""
        self.runners.stop()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: each.stop(), self.clusters.values()))
        self.cloud.forget(self.bucket)
        self.cloud.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which drfsm's commands reach it."""
        return {
            "AWS_ENDPOINT_URL": self.cloud.endpoint, "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true", "DRFSM_ALLOWED_ADDRESS": "203.0.113.7/32",
        }  # fmt: skip

    def objects(self, below: str = "") -> dict[str, bytes]:
        """Return every object below a prefix."""
        s3 = self.cloud.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=below)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: bytes(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys}

    def alive(self) -> set[str]:
        """Return the ids of the machines that are not terminated."""
        found = self.cloud.client("ec2").describe_instances()["Reservations"]
        machines = [each for page in found for each in page["Instances"]]
        return {each["InstanceId"] for each in machines if each["State"]["Name"] != "terminated"}

    def _await_machines(self) -> None:
        """Wait until the machines are up, as they were when the run was stopped: each has given its kubeconfig."""
        machines = [each["id"] for each in self.told["instances"] if each["templated"]]
        names = [KUBECONFIG_PARAMETER.format(instance=machine) for machine in machines]
        ssm, until = self.cloud.client("ssm"), time.monotonic() + 60
        while names and len(ssm.get_parameters(Names=names)["Parameters"]) < len(names):
            if time.monotonic() > until:
                raise TimeoutError(f"a machine of the recorded world did not come up: {', '.join(names)}")
            time.sleep(0.1)

    def _made(self, recorded_as: str, name: str, directory: Path) -> "_Cluster":
        return _Cluster(name, directory, self._contract, self.told["clusters"].get(recorded_as, ()), self._filled)

    def _lay_account(self) -> None:
        self.cloud.create_bucket(self.bucket)
        s3, ec2 = self.cloud.client("s3"), self.cloud.client("ec2")
        for key, body in self.told["objects"].items():
            s3.put_object(Bucket=self.bucket, Key=key, Body=_bytes(body))
        for site in ("primary", "dr"):
            identity = self.cloud.create_identity(f"{self.bucket}-{site}")
            values = (identity.access_key_id, identity.secret_access_key, self.cloud.endpoint)
            self._secrets[site] = dict(zip(SECRET_VALUES, values, strict=True))
        if self.told["policy"]:
            s3.put_bucket_policy(Bucket=self.bucket, Policy=self.told["policy"])
        template = launch_template(self.cloud)
        for each in self.told["instances"]:
            tags = [{"Key": name, "Value": value} for name, value in each["tags"].items()]
            by = {"LaunchTemplate": {"LaunchTemplateId": template}} if each["templated"] else {"ImageId": MACHINE_IMAGE}
            with patch("moto.ec2.models.instances.random_instance_id", lambda named=each["id"]: named):
                ec2.run_instances(
                    InstanceType=each["type"], MinCount=1, MaxCount=1, ClientToken=each["token"], **by,
                    TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
                )  # fmt: skip

    def _filled(self, cluster: str, secret: Manifest) -> Manifest:
        """Return a Secret with the keys and the address of now."""
        values = self._secrets["primary" if cluster == "primary" else "dr"]
        encoded = {name: base64.b64encode(values[name].encode()).decode() for name in values if name in secret["data"]}
        return {**secret, "data": {**secret["data"], **encoded}}


class _Cloud(Cloud):
    """The sandbox's AWS with a given account."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self._wanted = account

    def start(self) -> None:
        """Serve that account."""
        super().start()
        self.account = self._wanted
        self._server._server.app = _application(self.account)

    def forget(self, bucket: str) -> None:
        """Empty the account; moto keeps it for as long as the process lives.

        S3 has only this bucket taken away: moto's own reset of it closes every account's objects.
        """
        from moto.backends import get_backend

        for service in SERVICES:
            backends: Any = get_backend(service)  # type: ignore[call-overload]  # one of its many literals
            if service != "s3":
                backends[self.account].reset()
                continue
            backends.bucket_accounts.pop(bucket, None)
            for backend in backends[self.account].values():
                backend.buckets.pop(bucket, None)


class _Cluster(EmulatedCluster):
    """An emulated cluster that holds what was recorded as soon as it has started."""

    def __init__(
        self,
        name: str,
        directory: Path,
        contract: workload.Workload,
        objects: Sequence[Manifest],
        filled: Callable[[str, Manifest], Manifest],
    ) -> None:
        image = workload_image.build(directory.parent / f"image-{name}", contract)
        super().__init__(name, directory, {REPOSITORY: image})
        self._objects, self._filled = objects, filled

    def start(self) -> Self:
        """Start, then lay every object as it was kept: the past is then forgotten, and all watches list anew."""
        super().start()
        memory = self.store._etcd
        authority = self.store.get("configmaps", "default", "kube-root-ca.crt")["data"]
        with self.store.alone():
            newest = memory.version
            for each in sorted(self._objects, key=lambda kept: int(kept["metadata"]["resourceVersion"])):
                memory.version = int(each["metadata"]["resourceVersion"]) - 1
                key = key_of(BY_KIND[each["apiVersion"], each["kind"]], each)
                memory.keep("ADDED", key, self._now(each, authority))
                newest = max(newest, memory.version)
            memory.version = newest
            self.store.compact()
        return self

    def _now(self, recorded: Manifest, authority: Mapping[str, str]) -> Manifest:
        """Return an object with what can't be as it was: keys, certificates, and when a schedule was last looked at."""
        kept: Manifest = json.loads(json.dumps(recorded))
        if kept["kind"] == "Secret":
            return self._filled(self.name, kept)
        if kept["metadata"]["name"] == "kube-root-ca.crt":
            kept["data"] = dict(authority)
        if kept["kind"] == "CronJob":  # no start was missed between then and now
            kept["metadata"]["creationTimestamp"] = timestamp()
            if "lastScheduleTime" in kept.get("status", {}):
                kept["status"]["lastScheduleTime"] = timestamp()
        return kept


def _bytes(body: Any) -> bytes:
    return base64.b64decode(body[0]) if isinstance(body, list) else str(body).encode()
