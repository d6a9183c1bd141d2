"""Records one bundle a machine, as this version writes it: ``python -m tests.record_bundles VERSION [MACHINE...]``.

Each run is typed as an operator types it (a real ``drfsm`` process, the sandbox's real servers), gets Ctrl-C while an
action is at work, and so stands held with an open intent. Its bundle goes to ``tests/data/bundles/VERSION/<machine>/``
as it was written, without ``private/``; ``<machine>.world.json.gz`` beside it says what the store, the account and the
clusters held then (tests/recorded.py reads it). Later versions replay, audit and resume it
(tests/test_recorded_bundles.py).

To be run once for every version, by the code of that version, before it is tagged. What is there already is never
written over: what an old version wrote stays as it wrote it.
"""

import base64
import gzip
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm import __version__
from drfsm.adapters.file_journal import read_chain
from drfsm.errors import ExitCode
from drfsm.journal import fold
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import Cloud
from tests.e2e.sites import Site, Told, at
from tests.recorded import BUNDLES, LEFT_OUT, SECRET_VALUES, account_of

PATIENT = ("--endpoint-url", "", "--operator", "ann")  # the address is the environment's: none is written down


class Desk(Site):
    """Two sites, and an operator who says from where a new site may be reached."""

    def environ(self, operator: str = "ann") -> dict[str, str]:
        """Return the environment of his shell."""
        return {**super().environ(operator), "DRFSM_ALLOWED_ADDRESS": "203.0.113.7/32"}


@frozen
class Recording:
    """How one machine's run is started, and where it is interrupted: at the intent of ``trigger``.

    The drill's is the intent of its promote, a run of its own: the parent and the child are then both half done.
    """

    options: Mapping[str, Any]
    start: Callable[[Site], Told]
    trigger: str


def failback(site: Site) -> Told:
    """Start a failback with every option that brings more facts to be read."""
    sandbox = site.sandbox
    return site.run(*site.failback(
        *PATIENT, "--fence-primary", "--fence-primary-role", sandbox.primary_role, "--fence-dr",
        "--fence-dr-role", sandbox.dr_role, "--primary-restore-backup-uri", sandbox.backup_uri, "--soak", "now",
        "--soak-timeout", "900",
    ))  # fmt: skip


def promote(site: Site) -> Told:
    """Start a promote that validates DR by itself, and approve its plan."""
    sandbox = site.sandbox
    told = site.run(
        "promote", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix,
        "--kubeconfig-dr", str(sandbox.dr.kubeconfig), "--kubeconfig-primary", str(sandbox.primary.kubeconfig),
        "--fence-primary", "--fence-primary-role", sandbox.primary_role, "--fence-dr-role", sandbox.dr_role,
        "--receipt-dir", str(site.bundle), *PATIENT, victim=False,
    )  # fmt: skip
    assert told.code == ExitCode.HELD, told
    digest = re.findall(r"digest +([0-9a-f]{64})", told.err)[-1]
    return site.run("approve", str(site.bundle), "--ticket", "CHG-4711", "--plan", digest, "--operator", "ann")


def drill(site: Site) -> Told:
    """Start a drill of all phases; its bundle holds that of the promote that it starts."""
    return site.run(
        "drill", "--backup-uri", site.sandbox.backup_uri, "--auto-promote", "true", "--allow-promote-bypass", "true",
        "--allow-full-drill", "--receipt-dir", str(site.bundle), *PATIENT,
    )  # fmt: skip


RECORDINGS: Mapping[str, Recording] = {
    "failback": Recording({}, failback, "switch_provider_pointers"),
    "promote": Recording({"canonical": "primary"}, promote, "switch_global_pointer"),
    "drill": Recording({"canonical": "primary"}, drill, "switch_provider_pointers"),
}


def record(machine: str, target: Path) -> None:
    """Record one machine's bundle and its world. Raises AssertionError unless it is held with an open intent."""
    recording = RECORDINGS[machine]
    version = target.parent.name
    bucket = f"recorded-{machine}-{version.replace('.', '-')}"
    Cloud._accounts = count(int(account_of(version, machine)))
    with tempfile.TemporaryDirectory() as directory:
        options = Options(bucket=bucket, **recording.options)
        with Sandbox(Path(directory) / "sandbox", options) as sandbox:
            site = Desk(sandbox, Path(directory))
            try:
                site.wire.deadly = at("intent", recording.trigger, "SIGINT-before")
                told = recording.start(site)
                assert told.code == ExitCode.INTERRUPTED, told
                state = fold(read_chain(site.bundle).records)
                assert (state.status, state.open is not None) == ("held", True), told
                target.parent.mkdir(parents=True, exist_ok=True)
                world = json.dumps(_world(machine, version, site), indent=1, sort_keys=True).encode()
                target.with_name(f"{machine}.world.json.gz").write_bytes(gzip.compress(world, mtime=0))
                shutil.copytree(site.bundle, target, ignore=shutil.ignore_patterns("private", ".lock"))
            finally:
                site.close()


def _world(machine: str, version: str, site: Site) -> dict[str, Any]:
    sandbox = site.sandbox
    assert sandbox.runners is not None
    clusters = {"primary": sandbox.primary, "dr": sandbox.dr, **sandbox.runners.clusters}
    return {
        "schema_version": 1,
        "version": version,
        "machine": machine,
        "bucket": sandbox.bucket,
        "account": sandbox.cloud.account,
        "objects": {key: _text(site.body(key)) for key in sorted(site.objects())},
        "policy": _policy(site),
        "instances": _instances(site),
        "clusters": {name: _cluster(each) for name, each in clusters.items()},
    }


def _text(body: bytes) -> Any:
    """Return bytes as JSON carries them: text, else base64 in a list of one."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(body).decode()]


def _policy(site: Site) -> str:
    try:
        return str(site.s3.get_bucket_policy(Bucket=site.sandbox.bucket)["Policy"])
    except site.s3.exceptions.ClientError:
        return ""


def _instances(site: Site) -> list[dict[str, Any]]:
    """Return the machines that are alive: what tells them apart, and whether a launch template started them."""
    ec2 = site.sandbox.cloud.client("ec2")
    found = [each for page in ec2.describe_instances()["Reservations"] for each in page["Instances"]]
    return [
        {
            "id": each["InstanceId"],
            "type": each["InstanceType"],
            "token": each.get("ClientToken", ""),
            "tags": {tag["Key"]: tag["Value"] for tag in each["Tags"] if not tag["Key"].startswith("aws:")},
            "templated": any(tag["Key"].startswith("aws:ec2launchtemplate") for tag in each["Tags"]),
        }
        for each in found
        if each["State"]["Name"] in ("pending", "running")
    ]


def _cluster(cluster: Any) -> list[dict[str, Any]]:
    """Return a cluster's objects as they are kept, without what every cluster makes anew, and without secrets."""
    from drfsm.sandbox.kubernetes.resources import KEPT

    kept = [each for kind in KEPT if kind.plural not in LEFT_OUT for each in cluster.store.list(kind.plural)[0]]
    for each in kept:
        for name in SECRET_VALUES if each["kind"] == "Secret" else ():
            if name in each.get("data", {}):
                each["data"][name] = ""
    ended = ("Succeeded", "Failed")
    return [each for each in kept if each["kind"] != "Pod" or each.get("status", {}).get("phase") in ended]


def main(argv: Sequence[str]) -> int:
    """Record what this version lacks. Exits with a message where it is another version than the one named."""
    version, *machines = argv
    if version != __version__:
        sys.exit(f"this is drfsm {__version__}: only its own code can write a bundle of {version}")
    for machine in machines or RECORDINGS:
        target = BUNDLES / version / machine
        if target.exists():
            sys.stderr.write(f"{target} is there already: it stays as it is\n")
            continue
        record(machine, target)
        sys.stderr.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
