"""Conformance: the tables that the server renders for kubectl, and the columns in them."""

from collections.abc import Callable
from typing import Any

import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
IMAGE = "registry.example/shell:1"

COLUMNS = {
    "/api/v1/pods": "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED_NODE READINESS_GATES",
    "/apis/batch/v1/jobs": "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
    "/apis/batch/v1/cronjobs": ("NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST_SCHEDULE AGE CONTAINERS IMAGES SELECTOR"),
    "/api/v1/nodes": (
        "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME"
    ),
    "/api/v1/namespaces": "NAME STATUS AGE",
    "/api/v1/configmaps": "NAME DATA AGE",
    "/api/v1/secrets": "NAME TYPE DATA AGE",
    "/api/v1/serviceaccounts": "NAME AGE",
    "/apis/apps/v1/deployments": "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR",
    "/apis/apps/v1/replicasets": "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
    "/api/v1/events": "LAST_SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST_SEEN COUNT NAME",
    "/apis/networking.k8s.io/v1/ingresses": "NAME CLASS HOSTS ADDRESS PORTS AGE",
    "/apis/networking.k8s.io/v1/networkpolicies": "NAME POD-SELECTOR AGE",
    "/apis/coordination.k8s.io/v1/leases": "NAME HOLDER AGE",
}


@pytest.mark.parametrize("path", COLUMNS, ids=lambda path: str(path).rsplit("/", 1)[1])
def test_columns(clients: Any, path: str) -> None:
    """Each kind has the columns of a real server; those beyond the first are for the wide table."""
    found = clients.ask("GET", path, accept=TABLE).json
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [each["name"].upper().replace(" ", "_") for each in found["columnDefinitions"]]
    assert names == COLUMNS[path].split()
    assert all(len(row["cells"]) == len(names) for row in found["rows"])


def test_rows_carry_the_metadata_of_their_objects(clients: Any) -> None:
    """By default a row holds its object's metadata alone; includeObject=None leaves it empty."""
    (row,) = [
        each
        for each in clients.ask("GET", "/api/v1/namespaces", accept=TABLE).json["rows"]
        if each["cells"][0] == "kube-system"
    ]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["name"] == "kube-system"
    assert "spec" not in row["object"]
    bare = clients.ask("GET", "/api/v1/namespaces?includeObject=None", accept=TABLE).json
    assert all(each["object"] is None for each in bare["rows"])


def cells(clients: Any, path: str) -> list[Any]:
    """Return the cells of a table's one row, none if there is no row yet."""
    rows = clients.ask("GET", path, accept=TABLE).json["rows"]
    assert len(rows) <= 1
    return [cell for row in rows for cell in row["cells"]]


def test_a_job_from_running_to_complete(clients: Any, namespace: str, eventually: Callable[..., Any]) -> None:
    """The Job's row says Running and 0/1, then Complete and 1/1; its pod's says Running 1/1, then Completed 0/1."""
    container = {"name": "main", "image": IMAGE, "command": ["/bin/sh", "-c", "sleep 0.5"]}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    clients.batch.create_namespaced_job(namespace, {"metadata": {"name": "j"}, "spec": spec})
    job = f"/apis/batch/v1/namespaces/{namespace}/jobs/j"
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert cells(clients, job)[1:3] == ["Running", "0/1"]
    eventually(lambda: cells(clients, pods)[1:3] == ["1/1", "Running"])
    eventually(lambda: cells(clients, job)[1:3] == ["Complete", "1/1"])
    name, ready, status, restarts, *_ = cells(clients, pods)
    assert (name.startswith("j-"), ready, status, restarts) == (True, "0/1", "Completed", "0")


def test_a_failed_and_a_suspended_job(clients: Any, namespace: str, eventually: Callable[..., Any]) -> None:
    """A Job whose only pod fails is Failed, its pod in Error; a suspended one is Suspended."""
    container = {"name": "main", "image": IMAGE, "command": ["/bin/false"]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    for name, more in (("bad", {}), ("later", {"suspend": True})):
        clients.batch.create_namespaced_job(namespace, {"metadata": {"name": name}, "spec": {**spec, **more}})
    base = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    eventually(lambda: cells(clients, f"{base}/bad")[1] == "Failed")
    eventually(lambda: cells(clients, f"{base}/later")[1] == "Suspended")
    assert cells(clients, f"/api/v1/namespaces/{namespace}/pods")[2] == "Error"


def test_a_cronjob_and_its_suspension(clients: Any, namespace: str) -> None:
    """The row has the schedule, no zone, whether it is suspended, and that it never ran."""
    container = {"name": "main", "image": IMAGE}
    pods = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    spec = {"schedule": "0 0 29 2 *", "suspend": True, "jobTemplate": {"spec": pods}}
    clients.batch.create_namespaced_cron_job(namespace, {"metadata": {"name": "c"}, "spec": spec})
    found = cells(clients, f"/apis/batch/v1/namespaces/{namespace}/cronjobs/c")
    assert found[:6] == ["c", "0 0 29 2 *", "<none>", "True", 0, "<none>"]
    assert found[7:9] == ["main", IMAGE]


def test_metadata_alone(clients: Any) -> None:
    """A client may ask for metadata only, of one object and of a list."""
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    found = clients.ask("GET", "/api/v1/namespaces/default", accept=accept).json
    assert (found["kind"], set(found)) == ("PartialObjectMetadata", {"kind", "apiVersion", "metadata"})
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    found = clients.ask("GET", "/api/v1/namespaces", accept=accept).json
    assert found["kind"] == "PartialObjectMetadataList"
    assert "default" in {each["metadata"]["name"] for each in found["items"]}
