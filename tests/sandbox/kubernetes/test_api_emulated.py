"""What only the emulation can do: outages and faults on command, denials, a forgotten past, a node that is lost."""

import http.client
import json
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.kubernetes.errors import UsageError
from drfsm.sandbox.kubernetes.refusals import ApiError

IMAGE = "registry.example/shell:1"
MAPS = "/api/v1/namespaces/default/configmaps"
Manifest = dict[str, Any]


class Line:
    """One keep-alive connection to a cluster, opened by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        import base64

        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        found = config["clusters"][0]["cluster"]
        authority = base64.b64decode(found["certificate-authority-data"]).decode()
        host, port = found["server"].removeprefix("https://").split(":")
        context = ssl.create_default_context(cadata=authority)
        self.token = config["users"][0]["user"]["token"]
        self.wire = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Make a request on this very connection."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        text = json.dumps(body) if body is not None else None
        self.wire.request(method, path, text, headers)
        answer = self.wire.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """Return one cluster for the tests that mend what they break."""
    images = {"registry.example/shell": ["/bin/sh", "-c", "true"]}
    with EmulatedCluster("shared", tmp_path_factory.mktemp("shared"), images) as started:
        yield started


@pytest.fixture
def line(shared: EmulatedCluster) -> Iterator[Line]:
    """Return a connection to the shared cluster, which has no faults and no maps of tests afterwards."""
    opened = Line(shared.kubeconfig)
    yield opened
    opened.wire.close()
    shared.outage(on=False)
    shared.faults.clear()
    shared.allow_all()
    for each in shared.store.list("configmaps", "default")[0]:
        if each["metadata"]["name"] != "kube-root-ca.crt":
            shared.store.delete("configmaps", "default", each["metadata"]["name"])


def official(cluster: EmulatedCluster) -> Any:
    """Return the official client's core API, with its own habits."""
    import kubernetes

    configuration = kubernetes.client.Configuration()
    load: Any = kubernetes.config.load_kube_config
    load(str(cluster.kubeconfig), client_configuration=configuration)
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


def named(name: str, **rest: Any) -> Manifest:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, **rest}


def is_cut(call: Callable[[], Any]) -> bool:
    """Return whether a request ends without an answer."""
    try:
        call()
    except (OSError, http.client.HTTPException):
        return True
    return False


# --- identity and access --------------------------------------------------------------------------------


def test_starting_leaves_private_files_and_no_thread(tmp_path: Path) -> None:
    """A cluster is there, its keys and kubeconfigs are its owner's alone, and no thread is left."""
    before = threading.active_count()
    with EmulatedCluster("quick", tmp_path / "c", {}) as cluster:
        for file in (cluster.kubeconfig, tmp_path / "c/kubelet.kubeconfig.yaml", tmp_path / "c/apiserver.pem"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    cluster.stop()
    assert threading.active_count() <= before + 1  # the default executor of others may come and go


def test_two_clusters_are_two(shared: EmulatedCluster, emulated: EmulatedCluster) -> None:
    """They differ in kube-system's UID, and neither takes the other's token."""
    assert shared.uid != emulated.uid
    assert shared.uid == shared.store.get("namespaces", "", "kube-system")["metadata"]["uid"]
    stranger = Line(emulated.kubeconfig)
    assert stranger.ask("GET", "/api/v1/namespaces", token=Line(shared.kubeconfig).token)[0] == 401


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_told_or_done(shared: EmulatedCluster, line: Line, token: str) -> None:
    """Reads and writes are 401, and the write didn't happen; the connection can be used on."""
    assert line.ask("GET", MAPS, token=token)[0] == 401
    code, status = line.ask("POST", MAPS, named("a"), token=token)
    assert (code, status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")
    assert "a" not in {each["metadata"]["name"] for each in shared.store.list("configmaps")[0]}
    assert line.ask("GET", MAPS)[0] == 200


def test_what_is_denied_is_refused_and_the_review_says_so(shared: EmulatedCluster, line: Line) -> None:
    """A denied verb is 403 for the request and a no in the review; other verbs are still allowed."""
    shared.deny("create", "", "configmaps")
    code, status = line.ask("POST", MAPS, named("a"))
    assert (code, status["reason"]) == (403, "Forbidden")
    assert 'cannot create resource "configmaps" in API group "" in the namespace "default"' in status["message"]
    assert line.ask("GET", MAPS)[0] == 200
    for verb, allowed in (("create", False), ("list", True)):
        asked = {"resourceAttributes": {"verb": verb, "resource": "configmaps", "namespace": "default"}}
        body = {"spec": asked, "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        _, told = line.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        assert told["status"]["allowed"] is allowed
    shared.allow_all()
    assert line.ask("POST", MAPS, named("a"))[0] == 201


def test_the_kubelet_is_never_denied_nor_hit_by_faults(
    shared: EmulatedCluster, line: Line, eventually: Callable[..., Any]
) -> None:
    """A pod runs to its end though everything is denied and failing for the operator."""
    shared.deny("*", "*", "*")
    shared.faults.add("*", "/", status=503, times=1000)
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}
    shared.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    eventually(lambda: shared.store.get("pods", "default", "p")["status"]["phase"] == "Succeeded")
    assert line.ask("GET", MAPS)[0] == 503
    shared.store.delete("pods", "default", "p")


# --- outages --------------------------------------------------------------------------------------------


def test_an_outage_cuts_a_kept_connection_and_refuses_new_ones(shared: EmulatedCluster, line: Line) -> None:
    """The idle connection is dead at once, nobody listens, and afterwards the same address answers."""
    assert line.ask("GET", MAPS)[0] == 200
    address = shared.server
    shared.outage(on=True)
    assert is_cut(lambda: line.ask("GET", MAPS))
    with pytest.raises(ConnectionRefusedError):
        Line(shared.kubeconfig).ask("GET", MAPS)
    shared.outage(on=True)
    shared.outage(on=False)
    assert shared.server == address
    assert Line(shared.kubeconfig).ask("GET", MAPS)[0] == 200


def test_an_outage_ends_a_watch(shared: EmulatedCluster, line: Line) -> None:
    """A client that watches is told by the end of its connection, not by silence."""
    line.wire.request("GET", f"{MAPS}?watch=true", headers={"Authorization": f"Bearer {line.token}"})
    stream = line.wire.getresponse()
    assert stream.status == 200
    stream.readline()
    began = time.monotonic()
    shared.outage(on=True)
    assert is_cut(stream.read)
    assert time.monotonic() - began < 30


def test_pods_run_on_during_an_outage_and_tell_afterwards(
    emulated: EmulatedCluster, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """A pod finishes its work while nobody can ask, and its success is known when the site is back."""
    done = tmp_path / "done"
    command = ["/bin/sh", "-c", f"sleep 0.5; touch {done}"]
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE, "command": command}]}
    emulated.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    eventually(lambda: emulated.store.get("pods", "default", "p")["status"]["phase"] == "Running")
    emulated.outage(on=True)
    eventually(done.exists)
    time.sleep(0.2)
    assert emulated.store.get("pods", "default", "p")["status"]["phase"] == "Running"
    emulated.outage(on=False)
    eventually(lambda: emulated.store.get("pods", "default", "p")["status"]["phase"] == "Succeeded")


def test_the_port_is_kept_during_an_outage(shared: EmulatedCluster) -> None:
    """Nobody else can be given the port meanwhile."""
    import socket

    shared.outage(on=True)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(shared.server.rpartition(":")[2])))
    shared.outage(on=False)


# --- faults ---------------------------------------------------------------------------------------------


def test_a_fault_refuses_so_often_and_no_more(shared: EmulatedCluster, line: Line) -> None:
    """Two requests of that kind are 503 and aren't carried out; others, and the third, are."""
    rule = shared.faults.add("POST", r"/configmaps$", status=503, times=2)
    codes = [line.ask("POST", MAPS, named("a"))[0] for _ in range(2)]
    assert line.ask("GET", MAPS)[0] == 200
    assert [*codes, line.ask("POST", MAPS, named("a"))[0], rule.hits] == [503, 503, 201, 2]


def test_a_refusal_may_ask_to_be_repeated(shared: EmulatedCluster, line: Line) -> None:
    """With a Retry-After the official client repeats the request by itself: one call, three requests."""
    rule = shared.faults.add("GET", "configmaps", status=429, times=2, retry_after_seconds=0)
    core = official(shared)
    assert core.list_namespaced_config_map("default").items
    assert rule.hits == 2
    assert line.ask("GET", MAPS)[0] == 200


def test_a_lost_answer_was_carried_out(shared: EmulatedCluster, line: Line) -> None:
    """The connection is cut without an answer, and the object is there: the client can't know which."""
    shared.faults.add("POST", "configmaps", status="reset-after-commit")
    assert is_cut(lambda: line.ask("POST", MAPS, named("a")))
    assert shared.store.get("configmaps", "default", "a")


def test_a_reset_was_not_carried_out(shared: EmulatedCluster, line: Line) -> None:
    """The connection is cut just the same, and there is no object."""
    shared.faults.add("POST", "configmaps", status="reset")
    assert is_cut(lambda: line.ask("POST", MAPS, named("a")))
    with pytest.raises(ApiError, match="not found"):
        shared.store.get("configmaps", "default", "a")


@pytest.mark.parametrize(("mode", "there"), [("hang", False), ("hang-after-commit", True)])
def test_silence_with_and_without_the_deed(shared: EmulatedCluster, line: Line, mode: Any, there: bool) -> None:
    """The connection stays open and silent until the client's own patience ends."""
    shared.faults.add("POST", "configmaps", status=mode)
    line.wire.timeout = 0.3
    with pytest.raises(TimeoutError):
        line.ask("POST", MAPS, named("a"))
    names = {each["metadata"]["name"] for each in shared.store.list("configmaps", "default")[0]}
    assert ("a" in names) is there


def test_a_slow_answer(shared: EmulatedCluster, line: Line) -> None:
    """With a delay alone the request is carried out, late."""
    shared.faults.add("GET", "configmaps", delay_seconds=0.3)
    began = time.monotonic()
    assert line.ask("GET", MAPS)[0] == 200
    assert time.monotonic() - began >= 0.3


def test_an_unknown_fault_is_refused(shared: EmulatedCluster) -> None:
    """A misspelt mode is named, so that no test passes because its fault never happened."""
    misspelt: Any = "rest"
    with pytest.raises(UsageError, match="rest"):
        shared.faults.add("GET", "/", status=misspelt)


# --- the past -------------------------------------------------------------------------------------------


def test_a_watch_from_a_forgotten_version_is_told_so(shared: EmulatedCluster, line: Line) -> None:
    """As on a real server the answer is 200 with an ERROR event that holds a 410 Expired, and ends."""
    since = line.ask("GET", MAPS)[1]["metadata"]["resourceVersion"]
    line.ask("POST", MAPS, named("a"))
    shared.store.compact()
    code, event = line.ask("GET", f"{MAPS}?watch=true&resourceVersion={since}")
    assert (code, event["type"]) == (200, "ERROR")
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert "too old resource version" in event["object"]["message"]


def test_the_next_page_of_a_forgotten_list_is_gone(shared: EmulatedCluster, line: Line) -> None:
    """A continue token from before a compaction is 410 Expired: the client has to list again."""
    for name in ("a", "b"):
        line.ask("POST", MAPS, named(name))
    token = line.ask("GET", f"{MAPS}?limit=1")[1]["metadata"]["continue"]
    line.ask("POST", MAPS, named("c"))
    shared.store.compact()
    code, status = line.ask("GET", f"{MAPS}?limit=1&continue={token}")
    assert (code, status["reason"]) == (410, "Expired")


def test_the_official_client_survives_a_forgotten_past(shared: EmulatedCluster, line: Line) -> None:
    """Its watch raises an ApiException with 410, which says: list again."""
    import kubernetes

    core = official(shared)
    line.ask("POST", MAPS, named("a"))
    shared.store.compact()
    watch: Any = kubernetes.watch.Watch
    with pytest.raises(kubernetes.client.ApiException) as caught:
        list(watch().stream(core.list_namespaced_config_map, "default", resource_version="1", timeout_seconds=2))
    assert caught.value.status == 410


def test_bookmarks_say_how_far_a_watch_has_come(line: Line) -> None:
    """SendInitialEvents gives what is there, then a bookmark that says so."""
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    path = f"/api/v1/namespaces/default/serviceaccounts?{query}&timeoutSeconds=1"
    line.wire.request("GET", path, headers={"Authorization": f"Bearer {line.token}"})
    events = [json.loads(each) for each in line.wire.getresponse().read().splitlines()]
    assert [each["type"] for each in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


# --- behind the API -------------------------------------------------------------------------------------


def test_apply_creates_and_replaces(shared: EmulatedCluster, line: Line) -> None:
    """An admin's apply makes an object, then replaces it as a whole, also during an outage."""
    shared.apply(named("a", data={"k": "1", "old": "1"}))
    shared.outage(on=True)
    shared.apply(named("a", data={"k": "2"}))
    shared.outage(on=False)
    line.wire.close()
    assert line.ask("GET", f"{MAPS}/a")[1]["data"] == {"k": "2"}
    with pytest.raises(UsageError, match=r"example\.org/v1 Gizmo"):
        shared.apply({"apiVersion": "example.org/v1", "kind": "Gizmo", "metadata": {"name": "g"}})


def ready(cluster: EmulatedCluster) -> str:
    """Return the Ready condition of the cluster's node."""
    (node,) = cluster.store.list("nodes")[0]
    (condition,) = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
    return str(condition["status"])


def test_a_node_that_is_not_ready_and_one_that_is_lost(
    emulated: EmulatedCluster, eventually: Callable[..., Any]
) -> None:
    """The node says so itself, or goes silent and is Unknown; both come back."""
    eventually(lambda: ready(emulated) == "True")
    emulated.node_ready(ready=False)
    eventually(lambda: ready(emulated) == "False")
    emulated.node_ready(ready=True)
    eventually(lambda: ready(emulated) == "True")
    emulated.node_lost(lost=True)
    eventually(lambda: ready(emulated) == "Unknown")
    emulated.node_lost(lost=False)
    eventually(lambda: ready(emulated) == "True")


def test_a_cluster_that_is_not_running_says_so(tmp_path: Path) -> None:
    """Before the start and after the stop its address is refused with words, and stop does no harm."""
    cluster = EmulatedCluster("still", tmp_path / "c", {})
    cluster.stop()
    with pytest.raises(UsageError, match="not running"):
        _ = cluster.server
