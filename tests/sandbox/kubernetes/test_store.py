"""The store alone: versions, deletion, owners, namespaces, watches, and many writers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from drfsm.sandbox.kubernetes.store import ApiError, Manifest, Store


@pytest.fixture
def store() -> Store:
    """Return an empty cluster's store."""
    return Store()


def config_map(name: str, **rest: Any) -> Manifest:
    """Return a ConfigMap."""
    return {"metadata": {"name": name, "namespace": "default"}, **rest}


def pod(name: str, **rest: Any) -> Manifest:
    """Return a Pod."""
    spec = {"containers": [{"name": "main", "image": "x"}], **rest}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def owned_by(owner: Manifest, name: str, kind: str = "ConfigMap") -> Manifest:
    """Return a ConfigMap that another object owns."""
    reference = {"apiVersion": "v1", "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": [reference]}}


def names(store: Store, resource: str = "configmaps") -> list[str]:
    """Return what is there in the namespace default, but for what every namespace has."""
    found = [each["metadata"]["name"] for each in store.list(resource, "default")[0]]
    return [each for each in found if each not in ("kube-root-ca.crt", "default")]


def told(store: Store, since: int, resource: str = "configmaps") -> list[tuple[str, str]]:
    """Return what happened since a version."""
    return [(kind, each["metadata"]["name"]) for kind, each in store.watch(resource, "", since, 0.01)]


def test_what_is_given_and_taken_is_a_copy(store: Store) -> None:
    """Neither changing what was given nor what was returned changes what is kept."""
    given = config_map("a", data={"k": "v"})
    made = store.create("configmaps", given)
    given["data"]["k"] = made["data"]["k"] = store.get("configmaps", "default", "a")["data"]["k"] = "changed"
    store.list("configmaps")[0][0].clear()
    assert store.get("configmaps", "default", "a")["data"] == {"k": "v"}


def test_every_write_raises_one_version_for_all(store: Store) -> None:
    """Versions rise across resources, a deletion has one too, and a refused or empty write has none."""
    first = int(store.create("configmaps", config_map("a"))["metadata"]["resourceVersion"])
    second = int(store.create("pods", pod("p"))["metadata"]["resourceVersion"])
    assert second == first + 1
    store.update("configmaps", config_map("a"))
    with pytest.raises(ApiError, match="already exists"):
        store.create("configmaps", config_map("a"))
    assert store.version == second
    assert int(store.delete("configmaps", "default", "a")["metadata"]["resourceVersion"]) == second + 1


def test_status_and_the_rest_are_written_apart(store: Store) -> None:
    """An update of the rest keeps the status, an update of the status keeps the rest."""
    made = store.create("pods", pod("p"))
    made["metadata"]["labels"] = {"a": "b"}
    made["status"] = {"phase": "Running"}
    assert store.update("pods", made, status=True)["metadata"].get("labels") is None
    assert store.get("pods", "default", "p")["status"] == {"phase": "Running"}
    made = store.get("pods", "default", "p")
    made["metadata"]["labels"] = {"a": "b"}
    made["status"] = {"phase": "Failed"}
    assert store.update("pods", made)["status"] == {"phase": "Running"}


def test_a_write_for_another_object_of_that_name_is_a_conflict(store: Store) -> None:
    """A uid that isn't the object's refuses the write, as does an older version."""
    made = store.create("configmaps", config_map("a"))
    store.delete("configmaps", "default", "a")
    store.create("configmaps", config_map("a"))
    with pytest.raises(ApiError, match="Precondition failed: UID") as caught:
        store.update("configmaps", {**made, "data": {"k": "v"}})
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")


def test_of_many_writers_from_one_version_one_wins(store: Store) -> None:
    """Sixteen threads write from the same version: one succeeds, fifteen get a Conflict."""
    made = store.create("configmaps", config_map("a"))

    def write(number: int) -> str:
        try:
            store.update("configmaps", {**made, "data": {"by": str(number)}})
        except ApiError as refusal:
            return refusal.reason
        return "written"

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(write, range(16))) == ["Conflict"] * 15 + ["written"]


def test_a_pod_on_a_node_is_marked_first_and_then_removed_by_its_kubelet(store: Store) -> None:
    """Deleting marks it with its grace period; grace 0 removes it; a shorter grace brings the end nearer."""
    store.create("pods", pod("p", nodeName="n", terminationGracePeriodSeconds=20))
    marked = store.delete("pods", "default", "p")["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 20
    sooner = store.delete("pods", "default", "p", grace_seconds=5)["metadata"]
    assert sooner["deletionGracePeriodSeconds"] == 5
    assert sooner["deletionTimestamp"] < marked["deletionTimestamp"]
    assert store.delete("pods", "default", "p", grace_seconds=60)["metadata"]["deletionGracePeriodSeconds"] == 5
    store.delete("pods", "default", "p", grace_seconds=0)
    assert names(store, "pods") == []


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_or_has_no_node_goes_at_once(store: Store, phase: str) -> None:
    """There is nothing to wait for."""
    store.create("pods", pod("free"))
    store.create("pods", pod("ended", nodeName="n"))
    ended = store.get("pods", "default", "ended")
    store.update("pods", {**ended, "status": {"phase": phase}}, status=True)
    for name in ("free", "ended"):
        store.delete("pods", "default", name)
    assert names(store, "pods") == []


def test_a_pod_with_a_finalizer_goes_only_after_both(store: Store) -> None:
    """The kubelet's deletion and the removal of the finalizer are both needed, in either order."""
    body = pod("p", nodeName="n")
    body["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    store.create("pods", body)
    store.delete("pods", "default", "p")
    released = store.get("pods", "default", "p")
    del released["metadata"]["finalizers"]
    store.update("pods", released)
    assert names(store, "pods") == ["p"]
    store.delete("pods", "default", "p", grace_seconds=0)
    assert names(store, "pods") == []


def test_background_foreground_and_orphan(store: Store) -> None:
    """Owned objects go with their owner; in the foreground before it; orphans stay and forget it."""
    for policy, order, left in (
        ("Background", [("DELETED", "owner"), ("DELETED", "owned")], []),
        ("Foreground", [("MODIFIED", "owner"), ("DELETED", "owned"), ("DELETED", "owner")], []),
        ("Orphan", [("MODIFIED", "owned"), ("DELETED", "owner")], ["owned"]),
    ):
        owner = store.create("configmaps", config_map("owner"))
        store.create("configmaps", owned_by(owner, "owned"))
        since = store.version
        store.delete("configmaps", "default", "owner", propagation=policy)
        assert told(store, since) == order, policy
        assert names(store) == left
    assert "ownerReferences" not in store.get("configmaps", "default", "owned")["metadata"]


def test_what_has_another_owner_stays(store: Store) -> None:
    """An object goes with its last owner only."""
    first, second = (store.create("configmaps", config_map(name)) for name in ("first", "second"))
    body = owned_by(first, "owned")
    body["metadata"]["ownerReferences"] += owned_by(second, "owned")["metadata"]["ownerReferences"]
    store.create("configmaps", body)
    store.delete("configmaps", "default", "first")
    assert names(store) == ["owned", "second"]
    store.delete("configmaps", "default", "second")
    assert names(store) == []


def test_a_foreground_owner_waits_for_a_pod_to_end(store: Store) -> None:
    """It is there, marked, as long as its pod's processes may run."""
    owner = store.create("configmaps", config_map("owner"))
    body = pod("p", nodeName="n")
    body["metadata"]["ownerReferences"] = owned_by(owner, "p")["metadata"]["ownerReferences"]
    store.create("pods", body)
    store.delete("configmaps", "default", "owner", propagation="Foreground")
    assert store.get("configmaps", "default", "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
    store.delete("pods", "default", "p", grace_seconds=0)
    assert names(store) == []


def test_what_no_living_owner_owns_is_collected_unless_its_kind_is_unknown(store: Store) -> None:
    """An owner that isn't there is none; one of a kind that isn't kept here can't be judged."""
    nobody = {"metadata": {"name": "gone", "uid": "no-such-uid"}}
    store.create("configmaps", owned_by(nobody, "lost"))
    store.create("configmaps", owned_by(nobody, "foreign", kind="Gizmo"))
    assert names(store) == ["foreign"]


def test_a_namespace_goes_with_its_last_pod(store: Store) -> None:
    """It is Terminating, and takes nothing new, until the kubelet has ended the pods in it."""
    store.create("namespaces", {"metadata": {"name": "n"}})
    body = pod("p", nodeName="node")
    body["metadata"]["namespace"] = "n"
    store.create("pods", body)
    store.delete("namespaces", "", "n")
    assert store.get("namespaces", "", "n")["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated"):
        store.create("configmaps", {"metadata": {"name": "late", "namespace": "n"}})
    store.delete("pods", "n", "p", grace_seconds=0)
    with pytest.raises(ApiError, match="not found"):
        store.get("namespaces", "", "n")
    assert store.list("serviceaccounts", "n")[0] == []


def test_a_watch_goes_on_after_a_version_and_begins_with_all_at_zero(store: Store) -> None:
    """From a version on come the changes after it; from 0 on comes what is there."""
    store.create("configmaps", config_map("a"))
    since = store.version
    store.update("configmaps", config_map("a", data={"k": "v"}))
    store.create("pods", pod("p"))
    assert told(store, since) == [("MODIFIED", "a")]
    assert ("ADDED", "a") in told(store, 0)


def test_a_watch_that_comes_too_late_is_refused(store: Store) -> None:
    """After more changes than are kept, and after a compaction, a watch from before is 410 Expired."""
    short = Store(history=5)
    since = short.version
    short.create("configmaps", config_map("a"))
    for number in range(6):
        short.update("configmaps", config_map("a", data={"k": str(number)}))
    assert len(told(short, short.version - 5)) == 5
    store.compact()
    for each, version in ((short, since), (store, store.version - 1)):
        with pytest.raises(ApiError, match="too old resource version") as caught:
            told(each, version)
        assert (caught.value.status, caught.value.reason) == (410, "Expired")


def test_a_list_of_an_older_version_is_as_it_was(store: Store) -> None:
    """What was created, changed and deleted since is undone in the view, and in the view only."""
    store.create("configmaps", config_map("changed", data={"k": "old"}))
    store.create("configmaps", config_map("deleted"))
    before, at = store.snapshot("configmaps", "default")
    store.update("configmaps", config_map("changed", data={"k": "new"}))
    store.delete("configmaps", "default", "deleted")
    store.create("configmaps", config_map("created"))
    assert store.snapshot("configmaps", "default", at=at) == (before, at)
    assert names(store) == ["changed", "created"]


def test_a_live_watch_sees_every_change_of_many_writers_in_order(store: Store) -> None:
    """Four writers, one watch: each change is seen once, and the versions rise."""
    since, seen = store.version, list[Manifest]()

    def look() -> None:
        for _, each in store.watch("configmaps", "", since, 10):
            seen.append(each)
            if len(seen) == 200:
                return

    watching = threading.Thread(target=look)
    watching.start()

    def write(writer: int) -> None:
        for number in range(50):
            store.create("configmaps", config_map(f"w{writer}-{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    watching.join()
    versions = [int(each["metadata"]["resourceVersion"]) for each in seen]
    assert versions == list(range(since + 1, since + 201))


def test_a_watch_ends_when_it_is_told_to(store: Store) -> None:
    """``stop`` and ``wake`` end it at once, long before its time."""
    stop = threading.Event()
    ended = threading.Event()

    def look() -> None:
        list(store.watch("configmaps", "", store.version, 60, stop))
        ended.set()

    threading.Thread(target=look, daemon=True).start()
    stop.set()
    store.wake()
    assert ended.wait(2)


def test_unknown_fields_are_dropped_and_wrong_types_refused(store: Store) -> None:
    """As the real API decodes it: what it doesn't know isn't kept, what it can't read is 400."""
    made = store.create("configmaps", {**config_map("a", data={"k": "v"}), "dada": 1})
    assert "dada" not in made
    with pytest.raises(ApiError, match="cannot unmarshal number") as caught:
        store.create("configmaps", config_map("b", data={"k": 1}))
    assert caught.value.status == 400


def test_a_dry_run_is_refused_like_the_deed_and_keeps_nothing(store: Store) -> None:
    """It checks all that the write checks, and raises no version."""
    before = store.version
    assert store.create("configmaps", config_map("a"), dry_run=True)["metadata"]["uid"]
    with pytest.raises(ApiError, match="RFC 1123"):
        store.create("configmaps", config_map("Not_A_Name"), dry_run=True)
    assert (store.version, names(store)) == (before, [])
