"""A backup whose checksums hold and whose author is hostile, restored for real: refused by name, or it comes up quiet.

Real S3 (moto), an emulated cluster with a kubelet that runs the workload. Each row of the tables is one real restore.
"""

import base64
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.dr import workload
from drfsm.dr.backup import check as backup_check
from drfsm.dr.backup import restore_policy
from drfsm.dr.backup.address import digest_of, judge, listed
from drfsm.dr.backup.archive import compressed, packed
from drfsm.dr.backup.check import BackupFault
from drfsm.dr.backup.manifests import APIS
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore_policy import RestoreRefused
from drfsm.dr.backup.restore_site import Wishes, restore_site
from drfsm.dr.backup.state_volume import Image
from drfsm.dr.sites import schedules
from drfsm.dr.sites.schedules import BEFORE
from drfsm.errors import ActionFailed, ExitCode, UsageFault
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Cloud, Identity
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CONFIGMAP, CRONJOB, DASHBOARD, IMAGE_REF, SECRET, Options, manifests
from tests.bench.site import Place, emulated, pace, until
from tests.dr.conftest import Bench

HOME = "jobintel/backups/b1"
Objects = dict[str, dict[str, Any]]
Change = Callable[[Objects], Any]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return one bucket for all tests, and credentials as an operator's environment has them."""
    with pytest.MonkeyPatch.context() as environment, Cloud() as cloud:
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        yield Bench(cloud, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One cluster for all tests."""
    with emulated(tmp_path_factory.mktemp("dr")) as started:
        yield started


@pytest.fixture
def dr(cluster: EmulatedCluster) -> Place:
    """Return where it is restored to: nothing is there yet."""
    return Place(cluster, f"h-{uuid.uuid4().hex[:10]}")


def objects() -> Objects:
    """Return what an honest backup of the seed holds, and some of each other kind, by KIND/NAME."""
    made = manifests("primary", Options(bucket="b"), Identity("arn:aws:iam::1:user/x", "k", "s"), "http://127.0.0.1:9")
    more: list[dict[str, Any]] = [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
         "rules": [
             {"apiGroups": [""], "resources": ["configmaps", "pods/log"], "verbs": ["get", "list", "watch"]},
             {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": [SECRET]},
             {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "update"]},
         ]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
         "subjects": [{"kind": "ServiceAccount", "name": "jobintel", "namespace": "jobintel"}]},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "spare"},
         "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ]  # fmt: skip
    kept = [each for each in (*deepcopy(made), *more) if each["kind"] in ("Namespace", *APIS)]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in kept}


def lay(at: Bench, held: Mapping[str, Any], **metadata: Any) -> str:
    """Write a backup as somebody who can write to the bucket does: every checksum holds. Return its URI."""
    files = {f"manifests/{n}.json": json.dumps(each).encode() for n, each in enumerate(held.values())}
    return lay_parts(at, {"state.tar.zst": packed({}), "manifests.tar.zst": packed(files)}, **metadata)


def lay_parts(at: Bench, parts: Mapping[str, bytes], **metadata: Any) -> str:
    """Write these parts, with metadata that fits them."""
    told: dict[str, Any] = {
        "schema_version": 1, "backup_id": "b1", "created_at": "2026-02-27T00:22:29Z",
        "checksums": {name: hashlib.sha256(body).hexdigest() for name, body in parts.items()},
        "sizes": {name: len(body) for name, body in parts.items()},
        **metadata,
    }  # fmt: skip
    for name, body in {**parts, "metadata.json": json.dumps(told).encode()}.items():
        at.put(f"{HOME}/{name}", body)
    return f"s3://{at.bucket}/{HOME}"


def put_back(at: Bench, uri: str, place: Place, **wishes: Any) -> dict[str, Any]:
    """Restore it for real."""
    target = Target(place.cluster, place.namespace, workload.shipped(), CONFIGMAP, bundled=False)
    record = restore_site(
        at.store, uri, target, Wishes(Image(), accept_state_loss=True, **wishes), run_id="restore-1", pace=pace(),
        applied=lambda _bundle, _done: None,
    )  # fmt: skip
    shape = json.loads((shipped("receipts_schema") / "dr_restore.summary.schema.json").read_bytes())
    assert check(record, shape) == []
    return record


def untouched(place: Place) -> bool:
    """Say whether nothing was made: not even the namespace."""
    return place.cluster.get("Namespace", "", place.namespace) is None


def give_secret(place: Place, at: Bench) -> None:
    """Make the namespace, and the Secret with keys that can publish."""
    place.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    values = {
        "JOBINTEL_S3_BUCKET": at.bucket, "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY, "AWS_ENDPOINT_URL": at.cloud.endpoint,
    }  # fmt: skip
    place.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": values})


# --- what it would bring --------------------------------------------------------------------------------

DEPLOYMENT, JOBS = f"Deployment/{DASHBOARD}", f"CronJob/{CRONJOB}"
LOUD = {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers[0]"


def into(name: str, path: str, value: Any) -> Change:
    """Return the change that sets a field of an object: ``spec.template.spec.containers.0.env``."""

    def change(held: Objects) -> None:
        *hint, last = path.split("/")
        node: Any = held[name]
        for part in hint:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value

    return change


def config(name: str) -> dict[str, Any]:
    """Return a ConfigMap with the switches on."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(LOUD)}


def pod(field: str, value: Any) -> Change:
    """Change the pod of the Deployment."""
    return into(DEPLOYMENT, f"spec/template/spec/{field}", value)


def container(field: str, value: Any) -> Change:
    """Change its container."""
    return pod(f"containers/0/{field}", value)


def beside(kind: str, **fields: Any) -> Change:
    """Add a container of a kind."""
    return pod(kind, [{"name": "beside", "image": IMAGE_REF, **fields}])


def rule(**fields: Any) -> Change:
    """Give the Role this rule."""
    usual = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    return into("Role/reader", "rules", [{**usual, **fields}])


def subject(**fields: Any) -> Change:
    """Bind this subject."""
    return into("RoleBinding/reader", "subjects", [fields])


ROOT = {"privileged": True}
RBAC = "rbac.authorization.k8s.io"
PEER = {"kind": "ServiceAccount", "name": "jobintel", "namespace": "jobintel"}
BINDING = "RoleBinding/reader"
OUTSIDE: Mapping[str, tuple[Change, str, str]] = {
    # what → (the change, the object, the field that is named)
    # Pod Security, baseline: every control of it, in every kind of container.
    "the node's network": (pod("hostNetwork", value=True), DEPLOYMENT, f"{POD}.hostNetwork"),
    "the node's processes": (pod("hostPID", value=True), DEPLOYMENT, f"{POD}.hostPID"),
    "the node's IPC": (pod("hostIPC", value=True), DEPLOYMENT, f"{POD}.hostIPC"),
    "a directory of the node": (
        pod("volumes", [{"name": "v", "hostPath": {"path": "/"}}]), DEPLOYMENT, f"{POD}.volumes[0].hostPath",
    ),
    "a volume of another kind": (
        pod("volumes", [{"name": "v", "nfs": {"server": "x", "path": "/"}}]), DEPLOYMENT, f"{POD}.volumes[0].nfs",
    ),
    "a privileged container": (
        container("securityContext", ROOT), DEPLOYMENT, f"{CONTAINER}.securityContext.privileged",
    ),
    "a privileged init container": (
        beside("initContainers", securityContext=ROOT), DEPLOYMENT,
        f"{POD}.initContainers[0].securityContext.privileged",
    ),
    "a privileged ephemeral container": (
        beside("ephemeralContainers", securityContext=ROOT), DEPLOYMENT,
        f"{POD}.ephemeralContainers[0].securityContext.privileged",
    ),
    "a capability beyond the baseline": (
        container("securityContext", {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.capabilities.add",
    ),
    "all capabilities": (
        container("securityContext", {"capabilities": {"add": ["ALL"]}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.capabilities.add",
    ),
    "a port of the node": (
        container("ports", [{"containerPort": 80, "hostPort": 80}]), DEPLOYMENT, f"{CONTAINER}.ports[0].hostPort",
    ),
    "no AppArmor": (
        container("securityContext", {"appArmorProfile": {"type": "Unconfined"}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.appArmorProfile.type",
    ),
    "no AppArmor, as it was written once": (
        into(DEPLOYMENT, "spec/template/metadata/annotations",
             {"container.apparmor.security.beta.kubernetes.io/dashboard": "unconfined"}),
        DEPLOYMENT, "spec.template.metadata.annotations[container.apparmor",
    ),
    "no seccomp for the pod": (
        pod("securityContext", {"seccompProfile": {"type": "Unconfined"}}), DEPLOYMENT,
        f"{POD}.securityContext.seccompProfile.type",
    ),
    "no seccomp for a container": (
        container("securityContext", {"seccompProfile": {"type": "Unconfined"}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.seccompProfile.type",
    ),
    "a SELinux type": (
        pod("securityContext", {"seLinuxOptions": {"type": "spc_t"}}), DEPLOYMENT,
        f"{POD}.securityContext.seLinuxOptions.type",
    ),
    "a SELinux user": (
        container("securityContext", {"seLinuxOptions": {"user": "system_u"}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.seLinuxOptions.user",
    ),
    "a SELinux role": (
        container("securityContext", {"seLinuxOptions": {"role": "system_r"}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.seLinuxOptions.role",
    ),
    "the node's /proc": (
        container("securityContext", {"procMount": "Unmasked"}), DEPLOYMENT, f"{CONTAINER}.securityContext.procMount",
    ),
    "an unsafe sysctl": (
        pod("securityContext", {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), DEPLOYMENT,
        f"{POD}.securityContext.sysctls[0].name",
    ),
    "a process of the node, on Windows": (
        pod("securityContext", {"windowsOptions": {"hostProcess": True}}), DEPLOYMENT,
        f"{POD}.securityContext.windowsOptions.hostProcess",
    ),
    "a process of the node, in a container": (
        container("securityContext", {"windowsOptions": {"hostProcess": True}}), DEPLOYMENT,
        f"{CONTAINER}.securityContext.windowsOptions.hostProcess",
    ),
    "a probe of another host": (
        container("livenessProbe", {"httpGet": {"host": "169.254.169.254", "port": 80}}), DEPLOYMENT,
        f"{CONTAINER}.livenessProbe.httpGet.host",
    ),
    "a hook that calls another host": (
        container("lifecycle", {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}), DEPLOYMENT,
        f"{CONTAINER}.lifecycle.postStart.tcpSocket.host",
    ),
    "the same in a CronJob": (
        into(JOBS, "spec/jobTemplate/spec/template/spec/hostPID", value=True), JOBS,
        "spec.jobTemplate.spec.template.spec.hostPID",
    ),
    # Beside the baseline.
    "mounts that appear on the node": (
        container("volumeMounts", [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]), DEPLOYMENT,
        f"{CONTAINER}.volumeMounts[0].mountPropagation",
    ),
    "a node by name": (pod("nodeName", "control-plane"), DEPLOYMENT, f"{POD}.nodeName"),
    "a class of the cluster's own": (
        pod("priorityClassName", "system-node-critical"), DEPLOYMENT, f"{POD}.priorityClassName",
    ),
    "an account that the backup has not": (
        pod("serviceAccountName", "deployer"), DEPLOYMENT, f"{POD}.serviceAccountName",
    ),
    "a field that nobody knows": (pod("futureField", {"x": 1}), DEPLOYMENT, f"{POD}.futureField"),
    "a volume that is there already": (into("PersistentVolumeClaim/spare", "spec/volumeName", "pv-of-others"),
        "PersistentVolumeClaim/spare", "spec.volumeName"),
    "another volume's content": (
        into("PersistentVolumeClaim/spare", "spec/dataSource", {"kind": "PersistentVolumeClaim", "name": "theirs"}),
        "PersistentVolumeClaim/spare", "spec.dataSource",
    ),
    "tokens": (into("ServiceAccount/jobintel", "secrets", [{"name": "t"}]), "ServiceAccount/jobintel", "secrets"),
    # RBAC.
    "every API": (rule(apiGroups=["*"]), "Role/reader", "rules[0].apiGroups"),
    "every resource": (rule(resources=["*"]), "Role/reader", "rules[0].resources"),
    "every verb": (rule(verbs=["*"]), "Role/reader", "rules[0].verbs"),
    "escalate": (
        rule(apiGroups=["rbac.authorization.k8s.io"], resources=["roles"], verbs=["escalate"]), "Role/reader",
        "rules[0].verbs",
    ),
    "bind": (
        rule(apiGroups=["rbac.authorization.k8s.io"], resources=["rolebindings"], verbs=["bind"]), "Role/reader",
        "rules[0].verbs",
    ),
    "impersonate": (rule(resources=["serviceaccounts"], verbs=["impersonate"]), "Role/reader", "rules[0].verbs"),
    "pods of its own making": (rule(verbs=["create"]), "Role/reader", "rules[0].verbs"),
    "a way into pods": (rule(resources=["pods/exec"]), "Role/reader", "rules[0].resources"),
    "tokens of accounts": (rule(resources=["serviceaccounts/token"]), "Role/reader", "rules[0].resources"),
    "every Secret": (rule(resources=["secrets"]), "Role/reader", "rules[0].resources"),
    "a ClusterRole": (
        into(BINDING, "roleRef", {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}), BINDING,
        "roleRef",
    ),
    "a Role that the backup has not": (into(BINDING, "roleRef/name", "admin"), BINDING, "roleRef"),
    "a stranger": (
        subject(kind="User", name="mallory", apiGroup=RBAC), BINDING, "subjects[0]",
    ),
    "everybody": (
        subject(kind="Group", name="system:authenticated", apiGroup=RBAC), BINDING, "subjects[0]",
    ),
    "an account of another namespace": (subject(**{**PEER, "namespace": "kube-system"}), BINDING, "subjects[0]"),
    "another account": (subject(**{**PEER, "name": "deployer"}), BINDING, "subjects[0]"),
    # What only a cluster or drfsm writes, and where.
    "a finalizer": (into(JOBS, "metadata/finalizers", ["evil/hook"]), JOBS, "metadata.finalizers"),
    "an owner": (
        into(JOBS, "metadata/ownerReferences", [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]), JOBS,
        "metadata.ownerReferences",
    ),
    "another namespace": (into(JOBS, "metadata/namespace", "kube-system"), JOBS, "metadata.namespace"),
    **{
        f"the cluster's own {name}": (into(JOBS, f"metadata/{name}", value), JOBS, f"metadata.{name}")
        for name, value in {
            "uid": "u", "resourceVersion": "1", "generateName": "x-", "managedFields": [{}], "selfLink": "/x",
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:00Z", "generation": 7,
        }.items()
    },
    "the cluster's own authority": (
        lambda held: held.update(own=config("kube-root-ca.crt")), "ConfigMap/kube-root-ca.crt", "metadata.name",
    ),
    "a status": (into(JOBS, "status", {"active": []}), JOBS, "status"),
    "a mark of drfsm's": (into(JOBS, "metadata/labels", {"drfsm/role": "state"}), JOBS, "metadata.labels[drfsm/role]"),
    "a namespace for privileged pods": (
        into("Namespace/jobintel", "metadata/labels", {"pod-security.kubernetes.io/enforce": "privileged"}),
        "Namespace/jobintel", "metadata.labels[pod-security.kubernetes.io/enforce]",
    ),
    "an end of the namespace": (
        into("Namespace/jobintel", "spec", {"finalizers": ["x"]}), "Namespace/jobintel", "spec",
    ),
    **{
        f"a made-up record: {before}": (
            into(JOBS, "metadata/annotations", {BEFORE: before}), JOBS, f"metadata.annotations[{BEFORE}]",
        )
        for before in ('{"run": "r", "suspend": false}', "x", '{"run": "../r", "suspend": false}', "[]", "[" * 5000)
    },
    "a ConfigMap that is too large": (
        into(f"ConfigMap/{CONFIGMAP}", "data/BIG", "x" * 1_100_000), f"ConfigMap/{CONFIGMAP}", "data",
    ),
    # What a server-side apply can't take: a key twice in a list whose entries have keys.
    "a variable that is set twice": (
        container("env", [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}, {"name": "A", "value": "2"}]),
        DEPLOYMENT, f"{CONTAINER}.env[0]"),
    "a variable that is set twice in a CronJob": (
        into(JOBS, "spec/jobTemplate/spec/template/spec/containers/0/env", [{"name": "A"}, {"name": "A"}]),
        JOBS, "spec.jobTemplate.spec.template.spec.containers[0].env[0]"),
    "a variable that is set twice in an init container": (
        beside("initContainers", env=[{"name": "A"}, {"name": "A"}]),
        DEPLOYMENT, f"{POD}.initContainers[0].env[0]"),
    "a port that is named twice": (
        container("ports", [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP", "name": "web"}]),
        DEPLOYMENT, f"{CONTAINER}.ports[0]"),
    "a pull Secret that is named twice": (
        pod("imagePullSecrets", [{"name": "a"}, {"name": "a"}]), DEPLOYMENT, f"{POD}.imagePullSecrets[0]"),
    "an address that is named twice": (
        pod("hostAliases", [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]), DEPLOYMENT, f"{POD}.hostAliases[0]"),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_is_outside_is_refused_by_object_and_field_and_nothing_is_applied(
    bench: Bench,
    dr: Place,
    case: str,
) -> None:
    """The refusal names it and how to allow it; not even the namespace is made; `verify` says the same beforehand."""
    change, name, field = OUTSIDE[case]
    held = objects()
    change(held)
    uri = lay(bench, held)
    with pytest.raises(RestoreRefused) as refused:
        put_back(bench, uri, dr)
    assert any(each.object == name and each.field.startswith(field) for each in refused.value.findings)
    assert f"{name}: {field}" in refused.value.what
    assert f"--allow-in-backup {name}" in refused.value.hint
    assert untouched(dr)
    seen = backup_check.verify(bench.store, uri)
    assert judge(seen) == "intact"
    assert seen["outside"] == restore_policy.findings_json(refused.value.findings)


def test_an_honest_backup_has_nothing_outside_and_everything_hostile_is_named_at_once(
    bench: Bench,
    dr: Place,
) -> None:
    """The table's base restores as it is; with the whole table in it, every object is in one refusal."""
    assert restore_policy.findings(list(objects().values())) == []
    held = objects()
    for change, _, _ in OUTSIDE.values():
        change(held)
    with pytest.raises(RestoreRefused) as refused:
        put_back(bench, lay(bench, held), dr)
    assert {each.object for each in refused.value.findings} == {name for _, name, _ in OUTSIDE.values()}
    assert len(refused.value.what) < 10_000
    assert untouched(dr)


def test_what_is_allowed_by_name_is_restored_and_on_record(bench: Bench, dr: Place) -> None:
    """Only the named object; its findings stand in the receipt. A name that the backup has not is a slip."""
    held = objects()
    rule(verbs=["create"])(held)
    pod("hostNetwork", value=True)(held)
    uri = lay(bench, held)
    give_secret(dr, bench)
    with pytest.raises(RestoreRefused, match="hostNetwork") as refused:
        put_back(bench, uri, dr, allowed=["Role/reader"])
    assert {each.object for each in refused.value.findings} == {DEPLOYMENT}
    with pytest.raises(UsageFault, match="has no Role/writer"):
        put_back(bench, uri, dr, allowed=["Role/writer"])
    record = put_back(bench, uri, dr, allowed=["Role/reader", DEPLOYMENT])
    assert record["status"] == "restored_without_state", record["held_for"]
    assert {(each["object"], each["field"]) for each in record["allowed"]} == {
        ("Role/reader", "rules[0].verbs"), (DEPLOYMENT, f"{POD}.hostNetwork"),
    }  # fmt: skip
    assert dr.get("Role", "reader")["rules"][0]["verbs"] == ["create"]


def test_what_drfsm_noted_about_another_site_is_not_taken_over(bench: Bench, dr: Place) -> None:
    """A claim that says that it was given this very state was given nothing here."""
    held = objects()
    into("PersistentVolumeClaim/spare", "metadata/annotations", {"drfsm/restored-state": "{}", "mine": "x"})(held)
    give_secret(dr, bench)
    put_back(bench, lay(bench, held), dr)
    assert dr.get("PersistentVolumeClaim", "spare")["metadata"]["annotations"] == {"mine": "x"}


def test_a_variable_that_is_set_twice_is_restored_once_where_it_is_allowed(bench: Bench, dr: Place) -> None:
    """The last one, which a pod gets; the receipt has what was dropped. Ports of two protocols are two ports."""
    held = objects()
    OUTSIDE["a variable that is set twice"][0](held)
    ports = [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]
    container("ports", ports)(held)
    give_secret(dr, bench)
    uri = lay(bench, held)
    with pytest.raises(RestoreRefused, match="A is set again later in the list") as refused:
        put_back(bench, uri, dr)
    assert refused.value.exit_code == ExitCode.REFUSED
    record = put_back(bench, uri, dr, allowed=[DEPLOYMENT])
    assert record["status"] == "restored_without_state", record["held_for"]
    (made,) = dr.get("Deployment", DASHBOARD)["spec"]["template"]["spec"]["containers"]
    assert [(entry["name"], entry["value"]) for entry in made["env"]] == [("B", "1"), ("A", "2")]
    assert len(made["ports"]) == 2
    assert [each["field"] for each in record["allowed"]] == [f"{CONTAINER}.env[0]"]


# --- what the site can't take -----------------------------------------------------------------------------


def selected(place: Place, _held: Objects) -> None:
    """Give the site's Deployment another selector."""
    labels = {"app": "another"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
        "containers": [{"name": "c", "image": IMAGE_REF}]}}, "replicas": 0}  # fmt: skip
    place.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": DASHBOARD}, "spec": spec})


def bound(place: Place, held: Objects) -> None:
    """Bind another Role on the site by the same name."""
    place.put({**deepcopy(held[BINDING]), "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "writer"}})


def fixed(place: Place, held: Objects) -> None:
    """Let the site have an immutable ConfigMap with other content."""
    metadata = {"name": "reference"}
    held["ConfigMap/reference"] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    place.put({**deepcopy(held["ConfigMap/reference"]), "data": {"a": "2"}, "immutable": True})


def going(place: Place, held: Objects) -> None:
    """Let one of the site's objects wait for its finalizer."""
    role = deepcopy(held["Role/reader"])
    role["metadata"]["finalizers"] = ["example.org/hold"]
    place.put(role)
    place.cluster.delete("Role", place.namespace, "reader")


def claim_going(place: Place, held: Objects) -> None:
    """Let the site's claim wait for its finalizer: what is restored into it would go with it."""
    spare = deepcopy(held["PersistentVolumeClaim/spare"])
    spare["metadata"]["finalizers"] = ["example.org/hold"]
    place.put(spare)
    place.cluster.delete("PersistentVolumeClaim", place.namespace, "spare")


OBSTACLES: Mapping[str, tuple[Callable[[Place, Objects], None], str]] = {
    "another selector": (selected, f"spec.selector of Deployment {DASHBOARD} can't be changed on a live object"),
    "another Role": (bound, "roleRef of RoleBinding reader can't be changed on a live object"),
    "immutable content": (fixed, "ConfigMap reference is immutable, and its content is another"),
    "an object that goes": (going, "Role reader is being deleted since 20"),
    "a claim that goes": (claim_going, "PersistentVolumeClaim spare is being deleted since 20"),
}


def everything(place: Place) -> list[tuple[str, str, str]]:
    """Return what is in a namespace, with the version of each object."""
    listed = {kind: place.cluster.list(kind, place.namespace) for kind in APIS}
    return sorted(
        (kind, str(entry["metadata"]["name"]), str(entry["metadata"]["resourceVersion"]))
        for kind, entries in listed.items()
        for entry in entries
    )


@pytest.mark.parametrize("case", OBSTACLES)
def test_what_the_site_can_not_take_is_told_before_anything_is_applied(bench: Bench, dr: Place, case: str) -> None:
    """All of it at once, by object and field, with what to do; nothing changed; exit 3."""
    lay_obstacle, words = OBSTACLES[case]
    held = objects()
    give_secret(dr, bench)
    lay_obstacle(dr, held)
    before = everything(dr)
    with pytest.raises(ActionFailed) as refused:
        put_back(bench, lay(bench, held), dr)
    fault = refused.value
    assert (fault.exit_code, words in fault.what, "nothing was changed" in fault.what) == (ExitCode.REFUSED, True, True)
    assert "kubectl delete" in fault.hint
    assert everything(dr) == before


def test_a_live_object_keeps_a_field_whoever_applies_it(dr: Place) -> None:
    """Where it is met all the same (a control plane's ConfigMap), the refusal says what to do about it."""
    dr.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    metadata = {"name": "fixed", "namespace": dr.namespace}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    dr.put({**made, "immutable": True})
    with pytest.raises(ActionFailed, match="field is immutable") as refused:
        dr.cluster.apply({**made, "data": {"a": "2"}}, force=True)
    assert refused.value.hint.startswith("a live object keeps this field: delete the object there")


def test_the_same_object_again_is_no_obstacle(bench: Bench, dr: Place) -> None:
    """A restore that is repeated finds its own objects, and a claim, and an immutable ConfigMap of the same content."""
    held = objects()
    held["ConfigMap/reference"] = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "reference"}, "immutable": True,
        "data": {"a": "1"},
    }  # fmt: skip
    give_secret(dr, bench)
    uri = lay(bench, held)
    for _ in range(2):
        assert put_back(bench, uri, dr)["status"] == "restored_without_state"


def test_a_namespace_that_is_being_deleted_takes_nothing(bench: Bench, dr: Place) -> None:
    """Told before anything is applied, with what to wait for: exit 3. When it is gone, the same command restores."""
    give_secret(dr, bench)
    held_back = {"name": "held", "finalizers": ["example.org/hold"]}
    dr.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held_back})
    dr.cluster.delete("Namespace", "", dr.namespace)
    uri = lay(bench, objects())
    with pytest.raises(ActionFailed, match=f"{dr.namespace} on site is being deleted since 20") as refused:
        put_back(bench, uri, dr)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert f"kubectl get namespace {dr.namespace}" in refused.value.hint
    late = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": dr.namespace}}
    with pytest.raises(ActionFailed, match="is being terminated") as refused:  # it began after the check
        dr.cluster.apply(late)
    assert refused.value.hint.startswith("wait until the namespace is gone")
    dr.cluster.patch("ConfigMap", dr.namespace, "held", {"metadata": {"finalizers": None}})
    until(lambda: dr.cluster.get("Namespace", "", dr.namespace) is None)
    assert put_back(bench, uri, dr)["status"] == "held"  # for the Secret that went with it


# --- what can't be read ---------------------------------------------------------------------------------

MALFORMED: Mapping[str, tuple[Change, str]] = {
    "a name that leads elsewhere": (into(JOBS, "metadata/name", "../../x"), "is not a valid name for a CronJob"),
    "a name with an escape": (into("Role/reader", "metadata/name", "x\x1b[2J"), "is not a valid name for a Role"),
    "no name": (into(JOBS, "metadata/name", None), "is not a valid name for a CronJob"),
    "metadata that is none": (into(JOBS, "metadata", []), "is not a Kubernetes object"),
    "a kind that is none": (into(JOBS, "kind", {"x": 1}), "is not a Kubernetes object"),
    "a Secret": (into(JOBS, "kind", "Secret"), "which a backup does not contain"),
    "a bare Pod": (into(DEPLOYMENT, "kind", "Pod"), "which a backup does not contain"),
    "a StatefulSet": (into(DEPLOYMENT, "kind", "StatefulSet"), "which a backup does not contain"),
    "a Job": (into(JOBS, "kind", "Job"), "which a backup does not contain"),
    "a webhook": (into(JOBS, "kind", "MutatingWebhookConfiguration"), "which a backup does not contain"),
    "a CronJob without a template": (into(JOBS, "spec/jobTemplate", None), "spec.jobTemplate: it is missing"),
    "a pod without containers": (pod("containers", []), "containers: it is missing"),
    "a container without an image": (container("image", None), "image: it is missing"),
    "containers that are a text": (pod("containers", "x"), "containers: it is a text, not a list"),
    "replicas that are a text": (into(DEPLOYMENT, "spec/replicas", "many"), "spec.replicas: it is a text"),
    "a volume without its claim": (
        pod("volumes", [{"name": "v", "persistentVolumeClaim": {}}]), "claimName: it is missing",
    ),
    "an item that is null": (pod("containers", [None]), "it is null"),
    "data that is no text": (into(f"ConfigMap/{CONFIGMAP}", "data/PUBLISH_S3", 1), "it is a whole number, not a text"),
    "annotations that are a list": (into(JOBS, "metadata/annotations", ["x"]), "it is a list, not an object"),
    "a document that is too deep": (into(JOBS, "spec/x", json.loads("[" * 70 + "]" * 70)), "more than 64 levels"),
    "the same object twice": (lambda held: held.update(again=deepcopy(held[JOBS])), "is a second CronJob"),
    "two namespaces": (
        lambda held: held.update(again={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}),
        "is a second Namespace",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_object_is_damage_that_nobody_can_allow(bench: Bench, dr: Place, case: str) -> None:
    """Told as what it is, wherever the backup is read, and nothing is touched."""
    change, words = MALFORMED[case]
    held = objects()
    change(held)
    uri = lay(bench, held)
    for read in (backup_check.outline, backup_check.opened):
        with pytest.raises(BackupFault) as told:
            read(bench.store, uri)
        assert words in told.value.what
        assert told.value.what.isprintable()
    with pytest.raises((BackupFault, UsageFault)):
        put_back(bench, uri, dr, allowed=[JOBS, DEPLOYMENT])
    assert untouched(dr)


def _tar(*members: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as made:
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return stream.getvalue()


def _named(name: str) -> bytes:
    return compressed(_tar(tarfile.TarInfo(name)))


def _nested() -> bytes:
    """Return a tar whose header extends a header, very often."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    return compressed((header.tobuf(tarfile.GNU_FORMAT) + b"x" + b"\0" * 511) * 5000)


def _liar() -> bytes:
    """Return a frame that says that it holds 4 GiB."""
    return b"\x28\xb5\x2f\xfd\xe0" + (4 << 30).to_bytes(8, "little") + b"\x01\x00\x00"


def _short() -> bytes:
    info = tarfile.TarInfo("state/x")
    info.size = 4096
    return compressed(info.tobuf(tarfile.USTAR_FORMAT) + b"x" * 512)


ARCHIVES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "a frame that claims too much": (_liar, "its header announces"),
    "a name that is too long": (lambda: _named("state/" + "x" * 2000), "more than 1024 characters"),
    "a path that is too deep": (lambda: _named("state/" + "/".join("x" * 100)), "or 64 parts"),
    "a name with control characters": (lambda: _named("state/a\rb"), "has control characters"),
    "a name that is no UTF-8": (lambda: _named("state/a\udcff"), "is not UTF-8"),
    "headers in headers": (_nested, "nested too deep"),
    "a size that is a lie": (_short, "unexpected end of data"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_would_mislead_its_reader_is_damage(bench: Bench, dr: Place, case: str) -> None:
    """Before it is held in memory, or becomes a path; never a traceback."""
    make, words = ARCHIVES[case]
    files = {f"manifests/{n}.json": json.dumps(each).encode() for n, each in enumerate(objects().values())}
    uri = lay_parts(bench, {"state.tar.zst": make(), "manifests.tar.zst": packed(files)})
    with pytest.raises(BackupFault, match=r"state\.tar\.zst") as told:
        put_back(bench, uri, dr)
    assert words in told.value.what
    assert told.value.what.isprintable()
    assert untouched(dr)


METADATA: Mapping[str, bytes | dict[str, Any]] = {
    "nothing": b"",
    "100,000 levels": b"[" * 100_000,
    "a key twice": b'{"checksums": {}, "checksums": {}}',
    "NaN": b'{"sizes": NaN}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "half a character": b'{"run_id": "\\ud800"}',
    "two megabytes": b'{"x": "' + b"x" * (2 << 20) + b'"}',
    "a run that leads elsewhere": {"run_id": "../../x"},
    "a run that is a list": {"run_id": ["x"]},
    "a Secret that leads elsewhere": {"secrets": {"../configmaps/x": []}},
    "Secrets that are a list": {"secrets": ["x"]},
    "a Secret's key that is no text": {"secrets": {"x": [1]}},
    "what is left out, as a text": {"excluded": "Secret/x"},
    "a state that is none": {"state": "x"},
    "a thousand parts": {"checksums": {f"p{n}": "a" * 64 for n in range(1000)}},
    "a size that is negative": {"sizes": {"state.tar.zst": -1, "manifests.tar.zst": -1}},
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_is_garbage_is_damage(bench: Bench, dr: Place, case: str) -> None:
    """Bounded, printable, never a defect; `list` goes on with the next one."""
    given = METADATA[case]
    uri = lay(bench, objects(), **(given if isinstance(given, dict) else {}))
    if isinstance(given, bytes):
        bench.put(f"{HOME}/metadata.json", given)
    assert judge(backup_check.verify(bench.store, uri)) == "damaged"
    with pytest.raises(BackupFault) as told:
        put_back(bench, uri, dr)
    assert len(told.value.what) < 3000
    assert told.value.what.isprintable()
    assert untouched(dr)
    (entry,) = listed(bench.store, "jobintel")
    assert (entry["sha256"], bool(entry["damaged"])) == (None, True)


# --- the digest -----------------------------------------------------------------------------------------


def test_a_digest_is_what_coreutils_say_and_pins_a_backup(bench: Bench, dr: Place, tmp_path: Path) -> None:
    """Any other backup under that name, with checksums that hold, is refused before a part of it is read."""
    import subprocess

    uri = lay(bench, objects())
    for name in ("metadata.json", "state.tar.zst", "manifests.tar.zst"):
        (tmp_path / name).write_bytes(bench.body(f"{HOME}/{name}"))
    told = subprocess.run(
        ["sh", "-c", "LC_ALL=C; sha256sum * | sha256sum"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()[0]  # fmt: skip
    assert backup_check.opened(bench.store, uri, expect=told).sha256 == told
    assert backup_check.outline(bench.store, uri, expect=told).sha256 == told
    assert [each["sha256"] for each in listed(bench.store, "jobintel")] == [told]
    give_secret(dr, bench)
    assert put_back(bench, uri, dr, expect_sha256=told)["backup_sha256"] == told
    for change in ({"created_at": "2026-03-01T00:00:00Z"}, {"excluded": ["x"]}):
        lay(bench, objects(), **change)
        for read in (backup_check.outline, backup_check.opened):
            with pytest.raises(BackupFault, match="but the pinned backup has"):
                read(bench.store, uri, expect=told)
        seen = backup_check.verify(bench.store, uri, expect=told)
        assert (judge(seen), seen["parts"]) == ("damaged", {})


def test_a_run_that_read_a_backup_once_takes_no_other_one(bench: Bench, dr: Place) -> None:
    """What the first reading found is pinned for all that follow; the operator's own digest goes before it."""
    uri = lay(bench, objects())
    first = backup_check.outline(bench.store, uri).sha256
    inputs = {**bench.inputs, "backup_uri": uri, "namespace": dr.namespace}
    run = bench.run(inputs=inputs, results={"check_backup": {"backup_sha256": first}})
    world = evolve(bench.world, dr=dr.cluster)
    assert backup_check.of_run(world, run).sha256 == first
    lay(bench, objects(), excluded=["x"])
    with pytest.raises(BackupFault, match=first):
        backup_check.of_run(world, run)
    assert judge(backup_check.FACTS["backup_contents"].observe(world, run)) == "damaged"
    assert backup_check.of_run(world, bench.run(inputs=inputs)).sha256 != first  # an older journal's run
    with pytest.raises(UsageFault, match="64 hex digits"):
        backup_check.expected("abc")
    assert digest_of(b"", {}) != first


# --- quiet ----------------------------------------------------------------------------------------------

SWITCHES = [{"name": "PUBLISH_S3", "value": "1"}, {"name": "PUBLISH_S3_DRY_RUN", "value": "0"}]
RUN = [{"name": "JOBINTEL_RUN_ID", "value": "2026-02-28T13:00:00.000001+00:00"}]
FROM_SECRET = {"secretRef": {"name": SECRET}}


def publisher(**fields: Any) -> dict[str, Any]:
    """Return a Deployment whose container does the work."""
    one = {"name": "c", "image": IMAGE_REF, "envFrom": [{"configMapRef": {"name": CONFIGMAP}}, FROM_SECRET], **fields}
    labels = {"app": "evil"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [one], "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "evil"}, "spec": spec}


def in_an_init_container(**fields: Any) -> dict[str, Any]:
    """Return the same, whose init container does it."""
    made = publisher(**fields)
    spec = made["spec"]["template"]["spec"]
    spec["initContainers"] = spec["containers"]
    spec["containers"] = [{"name": "rest", "image": IMAGE_REF, "command": ["sleep", "1000"]}]
    return made


def keyed(name: str) -> list[dict[str, Any]]:
    """Return variables that take the switches from a ConfigMap key by key."""
    return [{"name": key, "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}} for key in LOUD]


MAPPED = [{"configMapRef": {"name": CONFIGMAP}}, {"configMapRef": {"name": "other"}}, FROM_SECRET]
PREFIXED = [
    {"configMapRef": {"name": CONFIGMAP}},
    {"prefix": "PUBLISH_", "configMapRef": {"name": "parts"}},
    FROM_SECRET,
]
SHELL = ["sh", "-c", "PUBLISH_S3=1 PUBLISH_S3_DRY_RUN=0 exec python3 -m drfsm.sandbox.workload"]
SHAPES: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "its own environment": lambda: [publisher(env=[*SWITCHES, *RUN])],
    "an init container": lambda: [in_an_init_container(env=[*SWITCHES, *RUN])],
    "another ConfigMap": lambda: [publisher(envFrom=MAPPED), config("other")],
    "keys of another ConfigMap": lambda: [publisher(env=keyed("other")), config("other")],
    "a prefix and a rest": lambda: [
        publisher(envFrom=PREFIXED), {**config("parts"), "data": {"S3": "1", "S3_DRY_RUN": "0"}},
    ],
    "its command": lambda: [publisher(command=SHELL)],
    "its arguments": lambda: [publisher(command=SHELL[:2], args=SHELL[2:])],
    "a Secret's value": lambda: [publisher(envFrom=[MAPPED[0], {"secretRef": {"name": "loud"}}])],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_shape_it_has_nothing_that_comes_up_publishes(bench: Bench, dr: Place, shape: str) -> None:
    """It is restored with no pods, its number kept; the cluster's controllers and kubelet are waited for."""
    held = {**objects(), **{f"{each['kind']}/{each['metadata']['name']}": each for each in SHAPES[shape]()}}
    uri = lay(bench, held)
    give_secret(dr, bench)
    loud = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "loud"}, "stringData": dict(LOUD)}
    dr.put({**loud, "stringData": {**loud["stringData"], **_values(dr.get("Secret", SECRET))}})  # type: ignore[dict-item]
    before = bench.everything().keys()
    record = put_back(bench, uri, dr)
    assert record["status"] == "restored_without_state", record["held_for"]
    assert "Deployment/evil, which had 2" in record["quiet"]["scaled_to_zero"]
    until(lambda: _settled(dr.get("Deployment", "evil")) and _settled(dr.get("Deployment", DASHBOARD)))
    assert dr.get("Deployment", "evil")["spec"]["replicas"] == 0
    assert json.loads(dr.get("Deployment", "evil")["metadata"]["annotations"][BEFORE]) == {
        "run": "restore-1", "replicas": 2,
    }  # fmt: skip
    assert dr.cluster.list("Pod", dr.namespace) == []
    assert bench.everything().keys() == before


def _settled(deployment: Mapping[str, Any]) -> bool:
    """Say whether the controller has done what the newest spec asks."""
    return bool((deployment.get("status") or {}).get("observedGeneration") == deployment["metadata"]["generation"])


def _values(secret: Mapping[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_what_was_stopped_is_woken_with_the_site_and_an_undo_stops_it_again(bench: Bench, dr: Place) -> None:
    """The row that resumes the schedules gives the pods back, and then it publishes: it was kept quiet."""
    held = {**objects(), "Deployment/evil": publisher(env=[*SWITCHES, *RUN])}
    give_secret(dr, bench)
    put_back(bench, lay(bench, held), dr)
    more = {"namespace": dr.namespace, "taker": "dr", "cronjob_selector": "", "resume_cronjobs": ""}
    fact, inputs = schedules.FACTS["dr_schedules"], {**bench.inputs, **more}
    world, run = evolve(bench.world, dr=dr.cluster), bench.run(inputs=inputs)
    image = fact.observe(world, run)
    assert fact.judge(image, inputs) == "off"
    assert {"Deployment/evil", f"Deployment/{DASHBOARD}", CRONJOB} == set(image)
    actions: Mapping[str, Any] = {**schedules.PROMOTE, **schedules.ACTIONS}
    done = actions["resume_dr_schedules"](world, run)
    assert set(done["resumed"]) == set(image)
    assert fact.judge(fact.observe(world, run), inputs) == "on"
    assert dr.get("Deployment", "evil")["spec"]["replicas"] == 2
    assert BEFORE not in (dr.get("Deployment", "evil")["metadata"].get("annotations") or {})
    until(lambda: any("/runs/" in each.key for each in bench.store.list("jobintel/")))
    undo = bench.run(inputs=inputs, undoing={"dr_schedules": image})
    actions["restore_dr_schedules"](world, undo)
    assert fact.observe(world, run) == image
    assert dr.get("Deployment", "evil")["spec"]["replicas"] == 0
    until(lambda: not dr.cluster.list("Pod", dr.namespace))


def test_a_restore_over_what_it_stopped_keeps_how_it_was(bench: Bench, dr: Place) -> None:
    """Again, and from a backup of the stopped site: the number that it had at first is the one that it gets back."""
    give_secret(dr, bench)
    uri = lay(bench, objects())
    put_back(bench, uri, dr)
    put_back(bench, uri, dr)
    kept = dr.get("Deployment", DASHBOARD)["metadata"]["annotations"][BEFORE]
    assert json.loads(kept) == {"run": "restore-1", "replicas": 1}
    held = objects()
    held[DEPLOYMENT]["spec"]["replicas"] = 0
    into(DEPLOYMENT, "metadata/annotations", {BEFORE: '{"run": "r", "replicas": 3}'})(held)
    dr.cluster.delete("Deployment", dr.namespace, DASHBOARD)
    put_back(bench, lay(bench, held), dr)
    assert dr.get("Deployment", DASHBOARD)["metadata"]["annotations"][BEFORE] == '{"run": "r", "replicas": 3}'


def test_a_cronjob_that_sets_the_switches_itself_is_suspended_and_named(bench: Bench, dr: Place) -> None:
    """It would not heed the ConfigMap on the day: the receipt says so."""
    held = objects()
    into(JOBS, "spec/jobTemplate/spec/template/spec/containers/0/env", SWITCHES)(held)
    give_secret(dr, bench)
    record = put_back(bench, lay(bench, held), dr)
    assert dr.get("CronJob", CRONJOB)["spec"]["suspend"] is True
    assert record["quiet"]["suspended"] == [JOBS]
    assert record["quiet"]["by_themselves"] == [
        f"CronJob {CRONJOB}, container jobintel sets {each['name']} by itself" for each in SWITCHES
    ]


def test_an_immutable_configmap_is_restored_mutable_and_one_that_is_there_is_refused(
    bench: Bench,
    dr: Place,
) -> None:
    """With publishing off for good, the site could never be switched on; the receipt says that it was made mutable."""
    held = objects()
    held[f"ConfigMap/{CONFIGMAP}"]["immutable"] = True
    uri = lay(bench, held)
    give_secret(dr, bench)
    there = dr.put({**config(CONFIGMAP), "data": {"PUBLISH_S3": "0", "PUBLISH_S3_DRY_RUN": "1"}, "immutable": True})
    with pytest.raises(ActionFailed, match="is immutable"):
        put_back(bench, uri, dr)
    assert dr.get("ConfigMap", CONFIGMAP) == there
    assert dr.cluster.get("CronJob", dr.namespace, CRONJOB) is None
    dr.cluster.delete("ConfigMap", dr.namespace, CONFIGMAP)
    record = put_back(bench, uri, dr)
    assert record["quiet"]["made_mutable"] == [f"ConfigMap/{CONFIGMAP}"]
    assert not dr.get("ConfigMap", CONFIGMAP).get("immutable")
    dr.cluster.patch("ConfigMap", dr.namespace, CONFIGMAP, {"data": {"PUBLISH_S3": "1"}})
