"""What a backup keeps of a workload's volumes: kept, or told as not kept; what becomes of a read-only one."""

import json
import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr import workload
from drfsm.dr.backup.check import Backup
from drfsm.dr.backup.create import Site, create
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore_site import Wishes, restore_site
from drfsm.dr.backup.state_volume import Image, Transport
from drfsm.dr.backup.volumes import Home, home_of
from drfsm.errors import ActionFailed, UsageFault
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CONFIGMAP, CRONJOB, SECRET
from tests.bench.site import CLAIM, Place, emulated, pace

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

Manifest = dict[str, Any]
LASTING: dict[str, Manifest] = {
    "hostPath": {"path": "/var/lib/jobs", "type": "Directory"},
    "nfs": {"server": "nfs.example", "path": "/jobs"},
    "csi": {"driver": "smb.csi.k8s.io", "volumeAttributes": {"source": "//server/share"}},
    "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 0},
    "cephfs": {"monitors": ["10.0.0.1"]},
    "awsElasticBlockStore": {"volumeID": "vol-1"},
    "azureFile": {"shareName": "jobs", "secretName": "azure"},
    "flexVolume": {"driver": "example/own"},
    "somethingNew": {"whatever": 1},
}
"""Volumes that a pod names itself, and that outlive it, or may."""


def cronjob(*volumes: Manifest, mounts: dict[str, bool] | None = None, devices: tuple[str, ...] = ()) -> Manifest:
    """Return a CronJob whose pods have these volumes. ``mounts``: the name and whether it is readOnly."""
    named = mounts if mounts is not None else {str(volume["name"]): False for volume in volumes}
    container = {
        "name": "c",
        "image": "x",
        "volumeMounts": [
            {"name": name, "mountPath": f"/{name}", **({"readOnly": True} if only else {})}
            for name, only in named.items()
        ],
        "volumeDevices": [{"name": name, "devicePath": f"/dev/{name}"} for name in devices],
    }
    pod = {"containers": [container], "volumes": list(volumes)}
    return {
        "kind": "CronJob",
        "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }


def claim(name: str, volume: str = "", **more: Any) -> Manifest:
    """Return a pod's volume that is a claim."""
    return {"name": volume or name, "persistentVolumeClaim": {"claimName": name, **more}}


def kept(home: Home) -> dict[str, bool]:
    """Return which volumes a backup of this home keeps."""
    return {entry["name"]: entry["kept"] for entry in home.described()}


@pytest.mark.parametrize("source", LASTING)
def test_a_volume_that_a_pod_names_itself_is_never_kept(source: str) -> None:
    """Alone it is where the state is, and nothing keeps it; beside a claim it is told; read only it is no state."""
    volume = {"name": "data", source: LASTING[source]}
    alone, beside = home_of(cronjob(volume)), home_of(cronjob(volume, claim("state")))
    assert (alone.kind, alone.claim, kept(alone)) == (source, "", {"data": False})
    assert (beside.claim, kept(beside)) == ("state", {"data": False, "state": True})
    for home in (alone, beside):
        assert [unkept.words for unkept in home.unkept] == [f"volume data ({source})"]
    for only in (cronjob(volume, mounts={"data": True}), cronjob({"name": "data", source: {"readOnly": True}})):
        assert (home_of(only).unkept, home_of(only).kind) == ([], "none")
        (told,) = home_of(only).described()
        assert (told["kept"], told["why"]) == (False, "the workload only reads it: somebody else fills it")


@pytest.mark.parametrize("source", ["emptyDir", "ephemeral"])
def test_what_ends_with_its_pod_is_no_loss(source: str) -> None:
    """An emptyDir, or a claim of the pod's own."""
    home = home_of(cronjob({"name": "scratch", source: {}}))
    assert (home.kind, home.claim, home.unkept) == ("emptyDir", "", [])


@pytest.mark.parametrize("source", ["configMap", "secret", "downwardAPI", "projected", "image"])
def test_configuration_is_no_state(source: str) -> None:
    """It is not even told: the backup has its objects, or names them."""
    home = home_of(cronjob({"name": "config", source: {}}))
    assert (home.kind, home.volumes) == ("none", ())


def test_of_several_claims_the_one_that_is_written_is_meant() -> None:
    """Claims that the workload only reads are told, not taken for its state; two that it writes are ambiguous."""
    mounted = home_of(cronjob(claim("state"), claim("reference"), mounts={"state": False, "reference": True}))
    attached = home_of(cronjob(claim("state"), claim("reference", readOnly=True)))
    for home in (mounted, attached):
        assert (home.claim, home.read_only, kept(home)) == ("state", False, {"state": True, "reference": False})
        assert home.unkept == []
    with pytest.raises(UsageFault, match="several claims: one, other"):
        home_of(cronjob(claim("one"), claim("other")))
    named = home_of(cronjob(claim("one"), claim("other")), "other")
    assert (kept(named), [volume.claim for volume in named.unkept]) == ({"one": False, "other": True}, ["one"])


def test_a_read_only_claim_stays_one() -> None:
    """The only claim there is, read only: it is kept, by a pod that can't write to it, and is never restored into."""
    for only in (cronjob(claim("data"), mounts={"data": True}), cronjob(claim("data", readOnly=True))):
        home = home_of(only)
        assert (home.claim, home.read_only) == ("data", True)


def test_one_that_some_container_may_write_to_is_written() -> None:
    """Also where it is mounted twice, once readOnly."""
    twice = cronjob(claim("data"), claim("data", "again"), mounts={"data": True, "again": False})
    assert home_of(twice).read_only is False


def test_a_block_device_is_not_kept() -> None:
    """A backup keeps files; a raw device has none."""
    home = home_of(cronjob(claim("disk"), mounts={}, devices=("disk",)))
    assert (home.claim, [volume.words for volume in home.unkept]) == ("", ["volume disk (persistentVolumeClaim disk)"])
    assert home.described()[0]["why"] == "it is a block device, and a backup keeps files"


@pytest.mark.parametrize("verb", ["save", "restore"])
def test_the_pod_that_saves_can_not_write(verb: str) -> None:
    """Its mount is readOnly, always; a claim that the workload attaches for reading is attached so."""
    for read_only in (True, False):
        home = home_of(cronjob(claim("data", readOnly=read_only)))
        transport: Any = Transport(None, None, "n", "job", "k", home, Image(), pace())  # type: ignore[arg-type]  # only its manifest
        pod = transport._pod({}, reads_only=verb == "save")
        assert pod["containers"][0]["volumeMounts"][0].get("readOnly", False) is (verb == "save")
        assert pod["volumes"][0]["persistentVolumeClaim"].get("readOnly", False) is read_only


# --- for real: an emulated cluster, and a bucket -----------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One cluster for all tests."""
    with emulated(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture
def primary(cluster: EmulatedCluster) -> Place:
    """Return a site to back up: a namespace of its own."""
    return Place(cluster, f"p-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def dr(cluster: EmulatedCluster) -> Place:
    """Return where it is restored to."""
    return Place(cluster, f"d-{uuid.uuid4().hex[:10]}")


def lay(bench: "Bench", place: Place, *, with_claim: bool, change: Any) -> None:
    """Lay the seed's objects, with another pod for the CronJob."""
    place.lay(bench.bucket, claim=with_claim)
    changed = deepcopy(place.get("CronJob", CRONJOB))
    change(changed["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
        changed["metadata"].pop(name, None)
    place.put({**changed, "apiVersion": "batch/v1", "kind": "CronJob"})


def add(source: str) -> Any:
    """Return the change that adds a volume to which the workload writes."""

    def change(pod: Manifest) -> None:
        pod["volumes"].append({"name": "data", source: LASTING[source]})
        pod["containers"][0]["volumeMounts"].append({"name": "data", "mountPath": "/data"})

    return change


def take(bench: "Bench", place: Place, **more: Any) -> Backup:
    """Take a backup."""
    site = Site(place.cluster, place.namespace)
    return create(bench.store, bench.layout, site, "b1", image=Image(), pace=pace(), **more)


def held_to_schema(record: Any, name: str) -> None:
    """Hold a record against its schema."""
    assert check(record, json.loads((shipped("receipts_schema") / f"{name}.schema.json").read_bytes())) == []


@pytest.mark.parametrize("source", ["hostPath", "nfs", "csi"])
def test_state_that_can_not_be_kept_is_refused_and_accepted_is_told(
    bench: "Bench", primary: Place, dr: Place, source: str
) -> None:
    """Nothing is written; accepted, the backup says that it lacks it, and so does the restore, which holds for it."""
    lay(bench, primary, with_claim=False, change=add(source))
    with pytest.raises(ActionFailed, match=rf"volume data \({source}\): the pod names it itself") as refused:
        take(bench, primary)
    assert "--accept-state-loss" in refused.value.hint
    assert bench.everything() == {}
    backup = take(bench, primary, accept_state_loss=True)
    state = backup.metadata["state"]
    assert (state["source"], state["claim"], backup.holds_state) == (source, None, False)
    assert (
        state["told"]
        == f"there is no state in this backup; NOT KEPT: volume data ({source}), to which the workload writes"
    )
    assert {volume["name"]: volume["kept"] for volume in state["volumes"]}["data"] is False
    held_to_schema(backup.metadata, "backup.metadata")
    told = f"state not restorable: volume data ({source})"
    for accept, status in ((False, "held"), (True, "restored_without_state")):
        record = put_back(bench, backup.uri, dr, allowed=(f"CronJob/{CRONJOB}",), accept_state_loss=accept)
        assert (record["status"], record["state"]["told"]) == (status, told), record
        held_to_schema(record, "dr_restore.summary")


def put_back(bench: "Bench", uri: str, place: Place, **wishes: Any) -> Manifest:
    """Restore it."""
    place.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    names = ("JOBINTEL_S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
    metadata = {"name": SECRET}
    place.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict.fromkeys(names, "x")})
    target = Target(place.cluster, place.namespace, workload.shipped(), CONFIGMAP, bundled=False)
    return restore_site(
        bench.store, uri, target, Wishes(Image(), **wishes), run_id="restore-1", pace=pace(), applied=lambda *_: None
    )


def test_a_claim_beside_what_can_not_be_kept_is_kept_and_the_rest_is_told(
    bench: "Bench", primary: Place, dr: Place
) -> None:
    """The claim's files are in DR's volume; the restore holds all the same, until the loss is accepted."""
    lay(bench, primary, with_claim=True, change=add("hostPath"))
    primary.fill({"history.csv": "a,b\n"})
    backup = take(bench, primary, accept_state_loss=True)
    assert {volume["name"]: volume["kept"] for volume in backup.metadata["state"]["volumes"]}["data"] is False
    allowed = (f"CronJob/{CRONJOB}",)
    record = put_back(bench, backup.uri, dr, allowed=allowed)
    told = "volume data (hostPath): the workload writes to it, and no backup keeps it"
    assert (record["status"], record["held_for"]) == ("held", [told])
    assert dr.files() == {"history.csv": "a,b\n"}
    assert (
        put_back(bench, backup.uri, dr, allowed=allowed, accept_state_loss=True)["status"] == "restored_without_state"
    )


def read_only(pod: Manifest) -> None:
    """Mount the claim readOnly."""
    named = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["name"] in named:
            mount["readOnly"] = True


def test_a_claim_that_the_workload_only_reads_is_kept_and_nothing_is_written_into_it(
    bench: "Bench", primary: Place, dr: Place
) -> None:
    """Its files are in the backup; on the other site it is read-only, too, and who fills it must fill it."""
    lay(bench, primary, with_claim=True, change=read_only)
    primary.fill({"reference.csv": "a\n"})
    backup = take(bench, primary)
    assert "state/reference.csv" in backup.state
    record = put_back(bench, backup.uri, dr)
    assert record["status"] == "held"
    assert f"the claim {CLAIM} is read-only (CronJob {CRONJOB} mounts it so)" in record["held_for"][0]
    assert not dr.volume.exists()
    assert "annotations" not in dr.get("PersistentVolumeClaim", CLAIM)["metadata"]


def test_a_read_only_many_claim_is_restored_as_one_and_not_written(bench: "Bench", primary: Place, dr: Place) -> None:
    """Its mode stays; a site whose own claim is another keeps its own, and the difference is told."""
    primary.lay(bench.bucket, claim=False)
    lay(bench, primary, with_claim=True, change=lambda _pod: None)
    backup = take(bench, primary)
    manifest = dr.claim_manifest()
    manifest["spec"]["accessModes"] = ["ReadOnlyMany"]
    dr.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    dr.put(manifest)
    record = put_back(bench, backup.uri, dr)
    assert (record["status"], record["state"]["verdict"]) == ("held", "not_restorable")
    assert f"the claim {CLAIM} is read-only (ReadOnlyMany)" in record["state"]["told"]
    assert dr.get("PersistentVolumeClaim", CLAIM)["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert f"PersistentVolumeClaim/{CLAIM}, which differs in spec.accessModes" in record["applied"]["left"]


def test_a_claim_of_another_workload_is_told_as_empty(bench: "Bench", primary: Place) -> None:
    """Its object comes back, its content does not: the backup says so."""
    primary.lay(bench.bucket, claim=True)
    spare = primary.claim_manifest()
    spare["metadata"] = {"name": "spare"}
    primary.put(spare)
    told = "the content of PersistentVolumeClaim/spare: only the state of the publishing CronJob is kept"
    assert told in take(bench, primary).metadata["excluded"]
