"""Conformance: Ingresses and NetworkPolicies, as the official client sees them."""

from collections.abc import Callable
from typing import Any

import pytest

BASE = "/apis/networking.k8s.io/v1/namespaces"
Refused = Callable[[Callable[[], Any]], tuple[int, dict[str, Any]]]


@pytest.fixture
def networking(clients: Any) -> Any:
    """Return the typed client."""
    from kubernetes.client import NetworkingV1Api

    return NetworkingV1Api(clients.client)


def ingress(name: str, **path: Any) -> dict[str, Any]:
    """Return an Ingress of one path to a Service."""
    backend = {"service": {"name": "dashboard", "port": {"number": 80}}}
    rule = {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend, **path}]}}
    return {"metadata": {"name": name}, "spec": {"ingressClassName": "nginx", "rules": [rule]}}


def policy(name: str, **spec: Any) -> dict[str, Any]:
    """Return a NetworkPolicy."""
    return {"metadata": {"name": name}, "spec": spec}


def test_an_ingress_is_kept_and_its_address_is_a_status_of_its_own(networking: Any, namespace: str) -> None:
    """It is born without an address; a controller's is written apart; a changed rule raises the generation."""
    made = networking.create_namespaced_ingress(namespace, ingress("a"))
    assert made.status.load_balancer.ingress is None
    made.status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}
    networking.replace_namespaced_ingress_status("a", namespace, made)
    changed = networking.patch_namespaced_ingress("a", namespace, {"spec": {"rules": [{"host": "b.example"}]}})
    assert (made.metadata.generation, changed.metadata.generation) == (1, 2)
    assert (changed.spec.rules[0].host, len(changed.spec.rules)) == ("b.example", 1)
    assert changed.status.load_balancer.ingress[0].ip == "203.0.113.9"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"pathType": None}, "pathType", "Required value: pathType must be specified"),
        ({"pathType": "Regex"}, "pathType", 'supported values: "Exact", "ImplementationSpecific", "Prefix"'),
        ({"path": "over/there"}, "path", "must be an absolute path"),
        ({"path": "/a//b"}, "path", "must not contain '//'"),
        ({"backend": {}}, "backend", "resource or service backend is required"),
        ({"backend": {"service": {"name": "x"}}}, "backend", "port name or number is required"),
    ],
)
def test_an_ingress_that_leads_nowhere_is_refused(
    clients: Any, namespace: str, change: dict[str, Any], field: str, words: str
) -> None:
    """The fault names the field of the path, and nothing is kept."""
    answer = clients.ask("POST", f"{BASE}/{namespace}/ingresses", ingress("a", **change))
    assert answer.status == 422
    assert answer.json["details"]["causes"][0]["field"] == f"spec.rules[0].http.paths[0].{field}"
    assert words in answer.json["message"]
    assert clients.ask("GET", f"{BASE}/{namespace}/ingresses").json["items"] == []


def test_an_ingress_without_a_rule_is_refused(networking: Any, namespace: str, refusal: Refused) -> None:
    """It needs rules or a default backend."""
    body = {"metadata": {"name": "a"}, "spec": {"ingressClassName": "nginx"}}
    code, status = refusal(lambda: networking.create_namespaced_ingress(namespace, body))
    assert (code, "either `defaultBackend` or `rules` must be specified" in status["message"]) == (422, True)


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [{"ports": [{"port": 8080}]}]}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"egress": [{}], "policyTypes": ["Egress"]}, ["Egress"]),
    ],
)
def test_the_types_of_a_policy_follow_from_its_rules(
    networking: Any, namespace: str, spec: dict[str, Any], types: list[str]
) -> None:
    """A policy that names none is of Ingress, and of Egress if it has such rules; a port's protocol is TCP."""
    made = networking.create_namespaced_network_policy(namespace, policy("p", podSelector={}, **spec))
    assert made.spec.policy_types == types
    ports = [port for rule in made.spec.ingress or [] for port in rule.ports or []]
    assert {port.protocol for port in ports} <= {"TCP"}


def test_a_policy_of_an_unknown_type_is_refused(networking: Any, namespace: str, refusal: Refused) -> None:
    """The supported types are named."""
    body = policy("p", podSelector={}, policyTypes=["Both"])
    code, status = refusal(lambda: networking.create_namespaced_network_policy(namespace, body))
    assert code == 422
    assert 'supported values: "Ingress", "Egress"' in status["message"]
