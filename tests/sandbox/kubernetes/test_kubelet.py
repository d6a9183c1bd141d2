"""The kubelet runs pods as real processes, tells the truth about them, and leaves none behind."""

import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.kubelet import Kubelet
from drfsm.sandbox.kubernetes.refusals import ApiError

IMAGES = {"python": [sys.executable, "-c"], "registry.example:5000/team/shell": ["/bin/sh", "-c"]}
IMAGE, SHELL = "python:3", "registry.example:5000/team/shell@sha256:" + "0" * 64
NAMESPACE = "default"
Manifest = dict[str, Any]


def eventually(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what becomes true in time, or what it was last."""
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return now


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Site:
    """A cluster, and pods in it."""

    def __init__(self, cluster: EmulatedCluster) -> None:
        self.cluster, self.store = cluster, cluster.store
        self._number = 0

    def run(self, script: str, *, name: str = "", **more: Any) -> str:
        """Create a pod that runs a shell script; return its name."""
        self._number += 1
        name = name or f"pod-{self._number}"
        args = [textwrap.dedent(script).replace("$$", "$$$$")]  # Kubernetes makes one dollar sign of two
        container = {"name": "main", "image": SHELL, "args": args, **more.pop("container", {})}
        spec = {"restartPolicy": "Never", "containers": [container], **more}
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
        self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return name

    def keep(self, kind: str, name: str, **rest: Any) -> None:
        """Create a ConfigMap, Secret or other core object."""
        metadata = {"name": name, "namespace": NAMESPACE}
        self.cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest})

    def pod(self, name: str) -> Manifest:
        """Return a pod."""
        return self.store.get("pods", NAMESPACE, name)

    def is_there(self, name: str) -> bool:
        """Return whether a pod's object is there."""
        return any(each["metadata"]["name"] == name for each in self.store.list("pods", NAMESPACE)[0])

    def phase(self, name: str) -> str:
        """Return a pod's phase."""
        return str(self.pod(name)["status"]["phase"])

    def ended(self, name: str) -> str:
        """Wait until a pod has ended; return its phase."""
        assert eventually(lambda: self.phase(name) in ("Succeeded", "Failed")), self.pod(name)["status"]
        return self.phase(name)

    def running(self, name: str) -> None:
        """Wait until a pod runs."""
        assert eventually(lambda: self.phase(name) == "Running"), self.pod(name)["status"]

    def container(self, name: str, container: str = "main", kind: str = "containerStatuses") -> Manifest:
        """Return the status of a container."""
        statuses = self.pod(name)["status"].get(kind) or ()
        return next((each for each in statuses if each["name"] == container), {"state": {}})

    def waits(self, name: str, reason: str) -> Manifest:
        """Wait until a pod's container waits for a reason; return that state."""

        def state() -> Manifest:
            found: Manifest = self.container(name)["state"].get("waiting", {})
            return found

        assert eventually(lambda: state().get("reason") == reason), self.pod(name)["status"]
        return state()

    def log(self, name: str, container: str = "", **how: Any) -> str:
        """Return a container's log."""
        kubelet = self.cluster._kubelet
        assert kubelet is not None
        return b"".join(kubelet.logs.read(NAMESPACE, name, container, **how)).decode()

    def pid(self, name: str) -> int:
        """Return the pid that a pod's script printed first."""
        assert eventually(lambda: self.phase(name) == "Running" and self.log(name).strip())
        return int(self.log(name).split()[0])

    def condition(self, name: str, kind: str) -> Manifest:
        """Return a pod's condition."""
        marks = self.pod(name)["status"].get("conditions") or ()
        return next((each for each in marks if each["type"] == kind), {})

    def reasons(self, name: str) -> list[str]:
        """Return the reasons of a pod's events."""
        found = self.store.list("events", NAMESPACE)[0]
        return [each["reason"] for each in found if each["involvedObject"]["name"] == name]

    def node(self) -> Manifest:
        """Return the node."""
        return self.store.list("nodes")[0][0]

    def node_condition(self) -> Manifest:
        """Return the node's condition Ready."""
        marks: list[Manifest] = self.node()["status"]["conditions"]
        return next(each for each in marks if each["type"] == "Ready")

    @contextmanager
    def second_kubelet(self, directory: Path, **how: Any) -> Iterator[Kubelet]:
        """Run another kubelet, as node ``second``."""
        kubelet = Kubelet(self.cluster.directory / "kubelet.kubeconfig.yaml", directory, IMAGES, "second", **how)
        kubelet.start()
        try:
            yield kubelet
        finally:
            kubelet.stop()
            self.store.delete("nodes", "", "second")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return one cluster for all tests that leave it as it was."""
    with EmulatedCluster("kubelet", tmp_path_factory.mktemp("kubelet"), IMAGES) as cluster:
        yield Site(cluster)


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """Return the shared cluster, and clear it of pods afterwards."""
    yield shared
    for each in shared.store.list("pods")[0]:
        metadata = each["metadata"]
        with suppress(ApiError):  # it went by itself meanwhile
            shared.store.delete("pods", metadata["namespace"], metadata["name"], grace_seconds=0)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """Return a cluster for a test that breaks it."""
    with EmulatedCluster("own", tmp_path / "own", IMAGES) as cluster:
        yield Site(cluster)


# --- the node ----------------------------------------------------------------------------------------


def test_the_node_is_registered_and_ready(site: Site) -> None:
    """Labels, addresses, capacity, node info, where its logs are served, Ready, and a lease."""
    node = site.node()
    name = node["metadata"]["name"]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == name
    assert {"type": "InternalIP", "address": "127.0.0.1"} in node["status"]["addresses"]
    assert {"cpu", "memory", "pods"} <= set(node["status"]["capacity"])
    assert node["status"]["allocatable"] == node["status"]["capacity"]
    assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.")
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
    assert site.node_condition()["status"] == "True"
    lease = site.store.get("leases", "kube-node-lease", name)
    assert lease["spec"]["holderIdentity"] == name


def test_a_node_reported_as_not_ready_takes_no_pods_until_it_is(site: Site) -> None:
    """node_ready(False): Ready is False and a new pod stays unbound; node_ready(True): it runs."""
    site.cluster.node_ready(ready=False)
    try:
        assert site.node_condition()["status"] == "False"
        # The scheduler hears of nodes and pods on two watches: the first pod may come before the news of the node.
        names = [site.run("exit 0")]
        while not (decided := site.condition(names[-1], "PodScheduled")) or decided["status"] == "True":
            names += [site.run("exit 0")] if decided else []
            assert len(names) < 20
            time.sleep(0.05)
        assert decided["reason"] == "Unschedulable"
    finally:
        site.cluster.node_ready(ready=True)
    assert [site.ended(name) for name in names] == ["Succeeded"] * len(names)


# --- pods that end -----------------------------------------------------------------------------------


def test_a_pod_that_succeeds_says_all_about_it(site: Site) -> None:
    """Phase, state, times, ids, conditions, addresses, quality, log and events of a pod that ended well."""
    name = site.run("echo hello; echo oops >&2")
    assert site.ended(name) == "Succeeded"
    status, container = site.pod(name)["status"], site.container(name)
    ended = container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert (container["restartCount"], container["ready"]) == (0, False)
    assert container["imageID"].endswith("@sha256:" + "0" * 64)
    assert container["containerID"] == ended["containerID"] != ""
    marks = {each["type"]: (each["status"], each.get("reason")) for each in status["conditions"]}
    assert marks == {
        "PodScheduled": ("True", None),
        "Initialized": ("True", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
    }
    assert (status["podIP"], status["hostIP"], status["qosClass"]) == ("127.0.0.1", "127.0.0.1", "BestEffort")
    assert status["startTime"]
    assert sorted(site.log(name).split()) == ["hello", "oops"]
    assert eventually(lambda: {"Scheduled", "Pulled", "Created", "Started"} <= set(site.reasons(name)))


def test_a_pod_that_fails_keeps_its_exit_code(site: Site) -> None:
    """Exit code 3: phase Failed, reason Error, and no restart under Never."""
    name = site.run("exit 3")
    assert site.ended(name) == "Failed"
    ended = site.container(name)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], site.container(name)["restartCount"]) == (3, "Error", 0)


def test_a_signal_is_128_more(site: Site) -> None:
    """A process that kills itself with SIGKILL ends with 137."""
    name = site.run("kill -9 $$")
    assert site.ended(name) == "Failed"
    assert site.container(name)["state"]["terminated"]["exitCode"] == 137


def test_what_a_container_leaves_behind_ends_with_it(site: Site) -> None:
    """A child in the background doesn't outlive its container."""
    name = site.run("sleep 300 & echo $!")
    assert site.ended(name) == "Succeeded"
    assert eventually(lambda: not alive(int(site.log(name))))


def test_the_image_is_an_entrypoint_that_command_replaces(site: Site) -> None:
    """What args say is appended to the image's own; command takes its place; $(VAR) is replaced, $$ is a dollar."""
    one = site.run("", container={"image": IMAGE, "args": ["print('as the image')"]})
    two = site.run(
        "",
        container={
            "image": IMAGE,
            "command": ["/bin/echo", "$(GREETING)"],
            "args": ["$$(GREETING)", "$(NOTHING)"],
            "env": [{"name": "GREETING", "value": "good day"}],
        },
    )
    assert [site.ended(each) for each in (one, two)] == ["Succeeded", "Succeeded"]
    assert site.log(one) == "as the image\n"
    assert site.log(two) == "good day $(GREETING) $(NOTHING)\n"


def test_a_program_that_does_not_exist_is_a_start_error(site: Site) -> None:
    """No such program: exit code 128, StartError, and the pod has failed."""
    name = site.run("", container={"command": ["no-such-program"]})
    assert site.ended(name) == "Failed"
    ended = site.container(name)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "executable file not found" in ended["message"]


def test_the_termination_message_is_what_the_container_wrote(site: Site) -> None:
    """Its file's content, or by policy the end of the log of a container that failed."""
    wrote = site.run('echo -n "because of this" > "$DRFSM_SANDBOX_ROOT/dev/termination-log"; exit 1')
    logged = site.run("echo the last words; exit 1", container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    for name, message in ((wrote, "because of this"), (logged, "the last words\n")):
        assert site.ended(name) == "Failed"
        assert site.container(name)["state"]["terminated"]["message"] == message


# --- environment and volumes -------------------------------------------------------------------------


def test_the_environment_is_the_manifests_and_nothing_of_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """From envFrom with prefix, env over it, keys, fields and references; no variable of the host's but PATH."""
    monkeypatch.setenv("AWS_PROFILE", "the-operators")
    site.keep("ConfigMap", "settings", data={"COLOUR": "blue", "SIZE": "5"})
    site.keep("Secret", "keys", type="Opaque", data={"KEY": b64encode(b"s3cret").decode()})
    name = site.run(
        "env",
        container={
            "envFrom": [
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "keys"}, "prefix": "MY_"},
                {"configMapRef": {"name": "not-there", "optional": True}},
            ],
            "env": [
                {"name": "COLOUR", "value": "red"},
                {"name": "BOTH", "value": "$(COLOUR)-$(SIZE)"},
                {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "SIZE"}}},
                {"name": "TWO", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "KEY"}}},
                {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "NO", "optional": True}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        },
    )
    assert site.ended(name) == "Succeeded"
    environ = dict(line.partition("=")[::2] for line in site.log(name).splitlines())
    root = environ.pop("DRFSM_SANDBOX_ROOT")
    assert root.startswith(f"{site.cluster.directory}/")
    for shells in ("PWD", "OLDPWD", "SHLVL", "_", "PATH"):
        environ.pop(shells, None)
    assert environ == {
        "HOME": root,
        "HOSTNAME": name,
        "COLOUR": "red",
        "SIZE": "5",
        "MY_KEY": "s3cret",
        "BOTH": "red-5",
        "ONE": "5",
        "TWO": "s3cret",
        "POD": name,
        "APP": name,
        "NODE": site.node()["metadata"]["name"],
        "IP": "127.0.0.1",
    }


def test_a_missing_config_map_is_waited_for(site: Site) -> None:
    """CreateContainerConfigError names what is missing; when it is created the pod runs."""
    name = site.run("echo $WORD", container={"envFrom": [{"configMapRef": {"name": "later"}}]})
    assert site.waits(name, "CreateContainerConfigError")["message"] == 'configmap "later" not found'
    assert site.phase(name) == "Pending"
    site.keep("ConfigMap", "later", data={"WORD": "now"})
    assert site.ended(name) == "Succeeded"
    assert site.log(name) == "now\n"


def test_volumes_lie_where_they_are_mounted(site: Site) -> None:
    """An emptyDir is shared, a ConfigMap and a Secret are files, items and subPath pick, a claim outlives its pod."""
    site.keep("ConfigMap", "files", data={"a.txt": "A", "b.txt": "B"})
    site.keep("Secret", "secrets", type="Opaque", data={"token": b64encode(b"T").decode()})
    site.keep("PersistentVolumeClaim", "disk", spec={"accessModes": ["ReadWriteOnce"], "resources": {}})
    pod: Manifest = {
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "config", "configMap": {"name": "files", "items": [{"key": "b.txt", "path": "deep/b"}]}},
            {"name": "whole", "configMap": {"name": "files"}},
            {"name": "secret", "secret": {"secretName": "secrets", "defaultMode": 0o400}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}},
        ],
        "container": {
            "volumeMounts": [
                {"name": "scratch", "mountPath": "/app/state"},
                {"name": "config", "mountPath": "/etc/config"},
                {"name": "whole", "mountPath": "/etc/one/file", "subPath": "a.txt"},
                {"name": "secret", "mountPath": "/run/secrets"},
                {"name": "disk", "mountPath": "/data"},
            ]
        },
    }
    script = """
        cd "$DRFSM_SANDBOX_ROOT" && touch app/state/x && ls app/state
        cat etc/config/deep/b etc/one/file run/secrets/token; ls etc/config; echo more >> data/file; cat data/file
    """
    one = site.run(script, **json.loads(json.dumps(pod)))
    assert site.ended(one) == "Succeeded"
    assert site.log(one).split() == ["x", "BATdeep", "more"]
    two = site.run(script, **pod)
    assert site.ended(two) == "Succeeded"
    assert site.log(two).split() == ["x", "BATdeep", "more", "more"]


def test_a_mount_cannot_lead_out_of_the_root(site: Site) -> None:
    """A mount path with .. stays within the root; nothing outside is touched."""
    name = site.run(
        'ls "$DRFSM_SANDBOX_ROOT"',
        volumes=[{"name": "v", "emptyDir": {}}],
        container={"volumeMounts": [{"name": "v", "mountPath": "/../../escaped"}]},
    )
    assert site.ended(name) == "Succeeded"
    assert "escaped" in site.log(name).split()


def test_a_volume_that_is_not_there_keeps_the_pod_waiting(site: Site) -> None:
    """A missing Secret is told as FailedMount, and the pod runs as soon as it is there."""
    name = site.run("exit 0", volumes=[{"name": "v", "secret": {"secretName": "to-come"}}])
    assert eventually(lambda: "FailedMount" in site.reasons(name))
    assert site.phase(name) == "Pending"
    site.keep("Secret", "to-come", type="Opaque", data={})
    assert site.ended(name) == "Succeeded"


# --- images ------------------------------------------------------------------------------------------


def test_an_unknown_image_is_never_pulled(site: Site) -> None:
    """First ErrImagePull, then ImagePullBackOff, the pod stays Pending, and can be deleted."""
    name = site.run("", container={"image": "registry.example/unknown:1"})
    assert "not found" in site.waits(name, "ErrImagePull")["message"]
    assert site.waits(name, "ImagePullBackOff")["message"].startswith(
        'Back-off pulling image "registry.example/unknown:1"'
    )
    assert site.phase(name) == "Pending"
    assert eventually(lambda: {"Failed", "BackOff"} <= set(site.reasons(name)))
    site.store.delete("pods", NAMESPACE, name)
    assert eventually(lambda: not site.is_there(name))


# --- restarts ----------------------------------------------------------------------------------------


def test_always_restarts_at_once_then_backs_off(site: Site) -> None:
    """The first restart comes at once, the second waits: CrashLoopBackOff, with the last state and the log before."""
    name = site.run("echo run; exit 1", restartPolicy="Always")
    state = site.waits(name, "CrashLoopBackOff")
    assert state["message"].startswith("back-off 10s restarting failed container=main")
    container = site.container(name)
    assert (container["restartCount"], container["ready"]) == (1, False)
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert (site.log(name), site.log(name, previous=True)) == ("run\n", "run\n")
    assert site.phase(name) == "Running"


def test_on_failure_restarts_only_failures(site: Site, tmp_path: Path) -> None:
    """OnFailure: a container that fails twice and then succeeds ends the pod well, with two restarts."""
    with site.second_kubelet(tmp_path, back_off_seconds=0.1):
        script = f'cd {tmp_path}; echo x >> tries; test "$(wc -l < tries)" -ge 3'
        name = site.run(script, restartPolicy="OnFailure", nodeName="second")
        assert site.ended(name) == "Succeeded"
        assert site.container(name)["restartCount"] == 2


def test_init_containers_run_one_after_the_other_first(site: Site) -> None:
    """Both inits end before the main container starts; what they leave in a volume is there."""
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    inits = [
        {"name": "one", "image": SHELL, "args": ['echo one >> "$DRFSM_SANDBOX_ROOT/v/order"'], **mount},
        {"name": "two", "image": SHELL, "args": ['echo two >> "$DRFSM_SANDBOX_ROOT/v/order"'], **mount},
    ]
    volumes = [{"name": "v", "emptyDir": {}}]
    name = site.run('cat "$DRFSM_SANDBOX_ROOT/v/order"', initContainers=inits, volumes=volumes, container=mount)
    assert site.ended(name) == "Succeeded"
    assert site.log(name).split() == ["one", "two"]
    assert site.container(name, "two", "initContainerStatuses")["ready"]


def test_a_failed_init_container_fails_the_pod(site: Site) -> None:
    """Under Never the main container never starts."""
    inits = [{"name": "one", "image": SHELL, "args": ["exit 7"]}]
    name = site.run("echo never", initContainers=inits)
    assert site.ended(name) == "Failed"
    assert site.container(name)["state"]["waiting"]["reason"] == "PodInitializing"
    assert site.condition(name, "Initialized")["status"] == "False"
    with pytest.raises(ApiError, match="is waiting to start: PodInitializing"):
        site.log(name)


def test_several_containers_end_together(site: Site) -> None:
    """The pod runs as long as one of its containers does, and fails if one failed."""
    side = {"name": "side", "image": SHELL, "args": ["echo side; exit 1"]}
    main = {"name": "main", "image": SHELL, "args": ["sleep 0.3"]}
    name = site.run("", containers=[main, side])
    assert eventually(lambda: "terminated" in site.container(name, "side")["state"])
    assert site.phase(name) == "Running"
    assert site.ended(name) == "Failed"
    assert site.log(name, "side") == "side\n"
    with pytest.raises(ApiError, match="a container name must be specified"):
        site.log(name)


# --- ending ------------------------------------------------------------------------------------------


def test_deletion_asks_before_it_kills(site: Site) -> None:
    """SIGTERM reaches the whole group; a process that obeys is gone, and so is the object, long before the grace."""
    name = site.run("sleep 300 & echo $$ $!; wait", terminationGracePeriodSeconds=60)
    main = site.pid(name)
    child = int(site.log(name).split()[1])
    begun = time.monotonic()
    site.store.delete("pods", NAMESPACE, name)
    assert eventually(lambda: not site.is_there(name))
    assert time.monotonic() - begun < 30
    assert not alive(main)
    assert eventually(lambda: not alive(child))  # a SIGKILL takes a moment
    assert eventually(lambda: "Killing" in site.reasons(name))


def test_a_process_that_does_not_listen_is_killed_after_the_grace(site: Site) -> None:
    """SIGTERM ignored: for the grace the pod is terminating and runs on, then it is killed."""
    name = site.run("trap '' TERM; echo $$; while :; do sleep 0.1; done", terminationGracePeriodSeconds=2)
    pid = site.pid(name)
    site.store.delete("pods", NAMESPACE, name)
    time.sleep(1)
    assert site.is_there(name)
    assert alive(pid)
    assert eventually(lambda: not site.is_there(name))
    assert not alive(pid)


def test_a_pod_deleted_by_force_has_its_process_ended(site: Site) -> None:
    """Grace 0: the object is gone at once, the process soon after, and its files with it."""
    name = site.run("trap '' TERM; echo $$; while :; do sleep 0.1; done")
    pid = site.pid(name)
    home = site.cluster.directory / "node/pods" / site.pod(name)["metadata"]["uid"]
    assert home.is_dir()
    site.store.delete("pods", NAMESPACE, name, grace_seconds=0)
    assert not site.is_there(name)
    assert eventually(lambda: not alive(pid))
    assert eventually(lambda: not home.exists())


def test_a_pods_own_deadline_fails_it(site: Site) -> None:
    """The activeDeadlineSeconds of a pod: its process is ended, the object stays, Failed with DeadlineExceeded."""
    name = site.run("echo $$; sleep 300", activeDeadlineSeconds=1, terminationGracePeriodSeconds=1)
    pid = site.pid(name)
    assert site.ended(name) == "Failed"
    assert site.pod(name)["status"]["reason"] == "DeadlineExceeded"
    assert not alive(pid)


def test_a_new_pod_of_the_same_name_is_another_one(site: Site) -> None:
    """Deleted by force and made again under the same name: the old process goes, the new one runs."""
    name = site.run("echo $$; sleep 300", name="same")
    old = site.pid(name)
    site.store.delete("pods", NAMESPACE, name, grace_seconds=0)
    site.run("echo $$; sleep 300", name="same")
    new = eventually(lambda: site.phase(name) == "Running" and site.pid(name))
    assert new != old
    assert eventually(lambda: not alive(old))
    assert alive(new)


# --- trouble -----------------------------------------------------------------------------------------


def test_an_outage_of_the_api_delays_only_the_news(own: Site) -> None:
    """While the API is out a pod runs on and ends; when it is back the status comes, and new pods run."""
    flag = own.cluster.directory / "go"
    name = own.run(f"echo $$; while ! test -e {flag}; do sleep 0.02; done; exit 4")
    pid = own.pid(name)
    own.cluster.outage(on=True)
    time.sleep(0.2)
    assert alive(pid)
    flag.touch()
    assert eventually(lambda: not alive(pid))
    assert own.phase(name) == "Running"
    own.cluster.outage(on=False)
    assert own.ended(name) == "Failed"
    assert own.container(name)["state"]["terminated"]["exitCode"] == 4
    assert own.ended(own.run("exit 0")) == "Succeeded"


def test_a_pod_deleted_during_an_outage_is_ended_after_it(own: Site) -> None:
    """What the watch missed is found by listing again."""
    name = own.run("echo $$; sleep 300")
    pid = own.pid(name)
    own.cluster.outage(on=True)
    own.store.delete("pods", NAMESPACE, name, grace_seconds=0)
    own.store.compact()
    time.sleep(0.2)
    assert alive(pid)
    own.cluster.outage(on=False)
    assert eventually(lambda: not alive(pid))


def test_a_lost_node_runs_on_unseen(own: Site) -> None:
    """Lost: Ready Unknown, a deleted pod stays terminating and runs; so does one deleted by force. Found: both end."""
    asked, forced = own.run("echo $$; sleep 300"), own.run("echo $$; sleep 300")
    pids = [own.pid(asked), own.pid(forced)]
    own.cluster.node_lost(lost=True)
    assert own.node_condition()["status"] == "Unknown"
    own.store.delete("pods", NAMESPACE, asked)
    own.store.delete("pods", NAMESPACE, forced, grace_seconds=0)
    time.sleep(0.5)
    assert own.is_there(asked)
    assert not own.is_there(forced)
    assert all(alive(each) for each in pids)
    with pytest.raises(ApiError, match="can't be reached"):
        own.log(asked)
    own.cluster.node_lost(lost=False)
    assert eventually(lambda: not any(alive(each) for each in pids))
    assert eventually(lambda: not own.is_there(asked))
    assert own.node_condition()["status"] == "True"


def test_stop_ends_every_process_and_no_other(tmp_path: Path) -> None:
    """Also processes that ignore SIGTERM, in moments; a process that isn't a pod's is left alone."""
    bystander = subprocess.Popen(["sleep", "300"], start_new_session=True)
    cluster = EmulatedCluster("ends", tmp_path, IMAGES).start()
    try:
        site = Site(cluster)
        pids = [
            site.pid(site.run("trap '' TERM; echo $$; while :; do sleep 0.1; done", restartPolicy="Always"))
            for _ in range(3)
        ]
        begun = time.monotonic()
    finally:
        cluster.stop()
    assert time.monotonic() - begun < 30
    assert not any(alive(each) for each in pids)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_new_kubelet_ends_what_a_dead_one_left(own: Site, tmp_path: Path) -> None:
    """A kubelet process is killed; the next one on its directory ends the orphan, and restarts what is to run."""
    kubeconfig = own.cluster.directory / "kubelet.kubeconfig.yaml"
    script = (
        "import sys, time; from pathlib import Path; from drfsm.sandbox.kubernetes.kubelet import Kubelet;"
        f"k = Kubelet(Path({str(kubeconfig)!r}), Path({str(tmp_path / 'second')!r}), {IMAGES!r}, 'second');"
        "k.start(); print('up', flush=True); time.sleep(300)"
    )
    dying = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert dying.stdout is not None
    assert dying.stdout.readline() == b"up\n"
    pids = own.cluster.directory / "pids"
    never = own.run(f"echo $$ >> {pids}; sleep 300", nodeName="second")
    always = own.run(f"echo $$ >> {pids}; sleep 300", nodeName="second", restartPolicy="Always")
    own.running(never)
    own.running(always)
    orphans = eventually(lambda: len(found := pids.read_text().split()) == 2 and [int(each) for each in found])
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    dying.stdout.close()
    assert all(alive(each) for each in orphans)
    with own.second_kubelet(tmp_path / "second"):
        assert eventually(lambda: not any(alive(each) for each in orphans))
        assert own.ended(never) == "Failed"
        ended = own.container(never)["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
        assert eventually(lambda: own.container(always)["restartCount"] == 1)
        assert eventually(lambda: "running" in own.container(always)["state"])


def test_a_kubelet_without_a_scheduler_binds_what_fits(own: Site, tmp_path: Path) -> None:
    """With binds, and the cluster's own scheduler away, a waiting pod is bound over the API, once the node is open."""
    controllers = own.cluster._controllers
    assert controllers is not None
    controllers.stop()
    own.cluster.node_ready(ready=False)
    with own.second_kubelet(tmp_path / "second", binds=True):
        live = own.store.get("nodes", "", "second")
        own.store.update("nodes", {**live, "spec": {"unschedulable": True}})
        name = own.run("exit 0")
        assert eventually(lambda: own.condition(name, "PodScheduled").get("reason") == "Unschedulable")
        live = own.store.get("nodes", "", "second")
        own.store.update("nodes", {**live, "spec": {}})
        assert own.ended(name) == "Succeeded"
        assert own.pod(name)["spec"]["nodeName"] == "second"


# --- logs --------------------------------------------------------------------------------------------


def test_a_log_is_followed_until_its_container_ends(site: Site) -> None:
    """What is there comes first, the rest as it is written; the stream ends with the container."""
    name = site.run("echo one; sleep 0.3; echo two; sleep 0.3; echo three")
    assert eventually(lambda: site.phase(name) == "Running" and "one" in site.log(name))
    kubelet = site.cluster._kubelet
    assert kubelet is not None
    pieces = list(kubelet.logs.read(NAMESPACE, name, follow=True))
    assert len(pieces) >= 2
    assert b"".join(pieces) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(("lines", "told"), [(0, ""), (1, "c\n"), (2, "b\nc\n"), (3, "a\nb\nc\n"), (9, "a\nb\nc\n")])
def test_the_last_lines_of_a_log(site: Site, lines: int, told: str) -> None:
    """tail_lines picks from the end; more than there are gives all."""
    name = site.run("echo a; echo b; echo c")
    site.ended(name)
    assert site.log(name, tail_lines=lines) == told


def test_logs_are_served_over_https_for_a_real_api_server(site: Site) -> None:
    """/containerLogs on the announced port: the log, its tail, with times; 404 and 400 for what isn't there."""
    name = site.run("echo a; echo b")
    site.ended(name)
    port = site.node()["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def get(path: str) -> str:
        url = f"https://127.0.0.1:{port}/containerLogs/{NAMESPACE}/{path}"
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return str(answer.read().decode())

    assert get(f"{name}/main") == "a\nb\n"
    assert get(f"{name}/main?tailLines=1&follow=true") == "b\n"
    assert [line.split(" ")[1] for line in get(f"{name}/main?timestamps=true").splitlines()] == ["a", "b"]
    for path, status in (("nobody/main", 404), (f"{name}/other", 400), (f"{name}/main?tailLines=x", 400)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(path)
        assert caught.value.code == status
        caught.value.close()


# --- the client --------------------------------------------------------------------------------------


def test_follow_tells_the_whole_story_across_outages_and_compactions(own: Site) -> None:
    """Objects made, changed and deleted while the connection was gone, or the past forgotten, are told once."""
    client = Client(own.cluster.kubeconfig)
    stream = client.follow("configmaps", NAMESPACE)

    def told(name: str) -> str:
        return next(each.type for each in stream if each.object["metadata"]["name"] == name)

    own.keep("ConfigMap", "stays", data={"a": "1"})
    own.keep("ConfigMap", "goes", data={"a": "1"})
    assert told("stays") == "ADDED"
    own.keep("ConfigMap", "stays", data={"a": "2"})
    assert told("stays") == "MODIFIED"
    own.cluster.outage(on=True)
    own.store.delete("configmaps", NAMESPACE, "goes")
    own.keep("ConfigMap", "stays", data={"a": "3"})
    own.keep("ConfigMap", "comes", data={"a": "1"})
    own.store.compact()
    own.cluster.outage(on=False)
    seen = {}
    for change in stream:
        seen[change.object["metadata"]["name"]] = change.type
        if len(seen) == 3:
            break
    assert seen == {"goes": "DELETED", "stays": "MODIFIED", "comes": "ADDED"}
    client.close()
    assert list(stream) == []


# --- many at once -------------------------------------------------------------------------------------------


def test_a_hundred_pods_run_and_end(site: Site) -> None:
    """Starting a pod costs little: a hundred are run to their end."""
    names = [site.run("", container={"command": ["/bin/true"]}) for _ in range(100)]
    assert eventually(lambda: all(site.phase(each) == "Succeeded" for each in names), seconds=60)
