"""What a pod needs before it can start, read off its manifest: objects, resources, a node."""

from decimal import Decimal
from typing import Any

import pytest

from drfsm.dr.pods import Reference, quantity, references, requests, unplaceable

POD: dict[str, Any] = {
    "volumes": [
        {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "a.yaml", "path": "a.yaml"}]}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "perhaps", "secret": {"secretName": "perhaps", "optional": True}},
        {"name": "both", "projected": {"sources": [{"secret": {"name": "inner"}}, {"downwardAPI": {}}]}},
        {"name": "vault", "csi": {"driver": "secrets.example", "nodePublishSecretRef": {"name": "vault-login"}}},
        {"name": "state", "persistentVolumeClaim": {"claimName": "state"}},
        {"name": "tmp", "emptyDir": {}},
    ],
    "initContainers": [{"name": "first", "envFrom": [{"configMapRef": {"name": "early"}}]}],
    "containers": [
        {
            "name": "main",
            "envFrom": [{"secretRef": {"name": "keys"}}, {"secretRef": {"name": "other", "optional": True}}],
            "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}, {"name": "P"}],
        }
    ],
}


def test_every_object_that_a_pod_must_have_is_named_with_what_names_it() -> None:
    """Volumes (also projected, and CSI drivers' Secrets), environments, keys; what is optional is left out."""
    assert list(references(POD)) == [
        Reference("ConfigMap", "settings", "volume settings", frozenset({"a.yaml"})),
        Reference("Secret", "keys", "volume keys"),
        Reference("Secret", "inner", "volume both"),
        Reference("Secret", "vault-login", "volume vault, of the driver secrets.example"),
        Reference("PersistentVolumeClaim", "state", "volume state"),
        Reference("ConfigMap", "early", "the environment of container first"),
        Reference("Secret", "keys", "the environment of container main"),
        Reference("Secret", "token", "the environment of container main", frozenset({"value"})),
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1.5Gi", "1610612736"),
     ("3k", "3000"), ("1e3", "1000"), ("2E", "2e18"), ("7Ei", 7 * 2**60),
     (4, "4"), ("x", None), ("1Q", None), ("-1", None), ("", None)],
)  # fmt: skip
def test_quantities_are_read_as_kubernetes_writes_them(text: object, number: object) -> None:
    """Binary and decimal units, exponents; what is none is none."""
    assert quantity(text) == (None if number is None else Decimal(str(number)))


def test_a_pod_requests_what_its_containers_do_together_or_its_largest_init_container() -> None:
    """A limit without a request is one."""
    pod = {
        "containers": [
            {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
            {"resources": {"limits": {"cpu": "1"}}},
            {},
        ],
        "initContainers": [{"resources": {"requests": {"cpu": "1", "memory": "2Gi"}}}],
    }
    assert requests(pod) == {"cpu": Decimal("1.5"), "memory": Decimal(2 * 2**30)}


NODE: dict[str, Any] = {
    "metadata": {"name": "n", "labels": {"disk": "ssd", "cores": "8"}},
    "spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}},
}
TAINTED = {**NODE, "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}}


def asks(**resources: str) -> dict[str, Any]:
    """Return a pod that requests these."""
    return {"containers": [{"name": "main", "resources": {"requests": resources}}]}


def prefers(operator: str, key: str, *values: str) -> dict[str, Any]:
    """Return a pod whose node affinity demands this."""
    terms = [{"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


@pytest.mark.parametrize(
    ("pod", "node", "why"),
    [
        (asks(cpu="4", memory="8Gi"), NODE, ""),
        (asks(cpu="4500m"), NODE, "n: it has 4 cpu, and the pod requests 4.5"),
        (asks(**{"example.com/gpu": "1"}), NODE, "n: it has no example.com/gpu, and the pod requests 1"),
        (asks(cpu="64"), {**NODE, "status": {}}, ""),
        ({"nodeSelector": {"disk": "ssd"}}, NODE, ""),
        ({"nodeSelector": {"disk": "tape"}}, NODE, "n: it has not the label disk=tape"),
        (prefers("In", "disk", "ssd", "nvme"), NODE, ""),
        (prefers("NotIn", "disk", "ssd"), NODE, "n: the pod's node affinity leaves it out"),
        (prefers("Exists", "zone"), NODE, "n: the pod's node affinity leaves it out"),
        (prefers("DoesNotExist", "zone"), NODE, ""),
        (prefers("Gt", "cores", "4"), NODE, ""),
        (prefers("Lt", "cores", "4"), NODE, "n: the pod's node affinity leaves it out"),
        (prefers("Nearby", "cores"), NODE, ""),
        ({}, TAINTED, "n: the pod does not tolerate its taint gpu"),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, TAINTED, ""),
        ({"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}, TAINTED, ""),
        ({"tolerations": [{"key": "gpu", "value": "no"}]}, TAINTED, "n: the pod does not tolerate its taint gpu"),
    ],
)
def test_a_node_takes_a_pod_or_says_why_not(pod: dict[str, Any], node: dict[str, Any], why: str) -> None:
    """Resources, labels, affinity and taints; how the node is just now is not asked here."""
    assert unplaceable(pod, [node]) == why


def test_one_node_that_takes_it_is_enough() -> None:
    """Each that doesn't is told only where none does."""
    assert unplaceable({}, [TAINTED, NODE]) == ""
    assert unplaceable({}, []) == "there is no node"
    assert "; " in unplaceable(asks(cpu="9"), [NODE, {**NODE, "metadata": {"name": "m"}}])
