"""What a contract can say of a workload that serves, and what it can't."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from drfsm.dr import workload
from drfsm.errors import DeclarationFault

Contract = dict[str, Any]
BATCH: Contract = {
    "workload": "weather",
    "switches": {"on": {"PUBLISH": "live"}, "off": {"PUBLISH": "never"}},
    "variables": {"bucket": "WX_BUCKET", "prefix": "WX_PREFIX", "run_id": "WX_RUN"},
    "files": {"required": ["forecast.json"]},
}
CHECK = {"path": "/healthz", "body": '{"type": "object"}'}
CANARY = {
    "create": "/items", "body": '{"note": "{key}"}', "item": "/items/{id}", "list": "/items?mark={key}", "key": "mark",
}  # fmt: skip
ENDPOINT: Contract = {
    "host": "api.example.com",
    "zone": "Z0123456789ABC",
    "routing": "weighted",
    "primary": {"address": "192.0.2.10"},
    "dr": {"address": "198.51.100.10"},
    "checks": {"health": CHECK},
    "canary": CANARY,
}
SERVING: Contract = {
    **BATCH,
    "endpoints": {"api": ENDPOINT},
    "writes": {"gate": "document", "keys": ["api/items"]},
}


def changed(*steps: Callable[[Contract], Any]) -> Contract:
    """Return the contract with changes."""
    contract = deepcopy(SERVING)
    for step in steps:
        step(contract)
    return contract


def api(**fields: Any) -> Callable[[Contract], Any]:
    """Return a change of the endpoint; None takes a field away."""

    def step(contract: Contract) -> None:
        endpoint = {**contract["endpoints"]["api"], **fields}
        contract["endpoints"]["api"] = {name: value for name, value in endpoint.items() if value is not None}

    return step


def writes(**fields: Any) -> Callable[[Contract], Any]:
    """Return a change of ``writes``."""

    def step(contract: Contract) -> None:
        merged = {**contract["writes"], **fields}
        contract["writes"] = {name: value for name, value in merged.items() if value is not None}

    return step


def test_what_an_endpoint_leaves_out_is_usual() -> None:
    """Records are named as the sites, on 443, of type A with 60 s; writes are told by the usual header."""
    contract = workload.read(json.dumps(SERVING))
    endpoint = contract.endpoints["api"]
    assert (endpoint.type, endpoint.ttl, endpoint.port) == ("A", 60, 443)
    assert (endpoint.primary.record, endpoint.dr.record) == ("primary", "dr")
    assert endpoint.checks["health"].status == (200,)
    assert endpoint.canary is not None
    assert (endpoint.canary.key_header, endpoint.canary.refused) == ("Idempotency-Key", (403, 503))


def test_a_contract_without_endpoints_is_what_it_was() -> None:
    """Batch mode: nothing of it is recorded, so digests of today's contracts stay."""
    contract = workload.read(json.dumps(BATCH))
    assert (contract.endpoints, contract.writes) == ({}, None)
    assert not {"endpoints", "writes"} & json.loads(workload.canonical(contract)).keys()


EVERYTHING = changed(
    api(
        type="CNAME", ttl=30, port=8443, drill_host="api-drill.example.com", resolvers=["192.0.2.53"],
        name_servers=["192.0.2.1:5353"], primary={"address": "a.example.net", "record": "one"},
        dr={"address": "b.example.net", "record": "two"}, routing="health_check", health_check="0f1e2d3c-0000",
        checks={"health": {**CHECK, "status": [200, 204], "headers": {"Content-Type": "application/json"},
                           "within_seconds": 2.5, "successes": 3}},
        canary={**CANARY, "created": [201], "refused": [423], "items": "data.items", "id": "meta.id"},
    ),
    writes(gate="configmap", switches={"on": {"API_WRITES": 1}, "off": {"API_WRITES": 0}},
           replication={"path": "/lag", "body": '{"properties": {"lag": {"const": 0}}}'}),
)  # fmt: skip


@pytest.mark.parametrize("contract", [SERVING, EVERYTHING], ids=["small", "everything"])
def test_a_recorded_contract_reads_as_the_same(contract: Contract) -> None:
    """Canonical JSON gives the contract back, and fits the schema for editors."""
    read = workload.read(json.dumps(contract))
    assert workload.read(workload.canonical(read)) == read
    jsonschema.validate(contract, workload.SCHEMA)


FAULTS = [
    ([api(host="API.example.com")], "is no name of a host"),
    ([api(zone="/hostedzone/Z1")], "is no name of a hosted zone"),
    ([api(routing="latency")], "routing is latency"),
    ([api(routing="health_check")], "health_check is missing"),
    ([api(health_check="abc")], "health_check is abc"),
    ([api(primary={"address": "2001:db8::1"})], "which no A record holds"),
    ([api(dr={"address": "192.0.2.10"})], "both sites of api have one address"),
    ([api(dr={"address": "198.51.100.10", "record": "primary"})], "both sites of api have one record"),
    ([api(port=70000)], "write a number from 1 to 65535"),
    ([api(ttl=0)], "ttl is"),
    ([api(checks=None)], "lacks checks"),
    ([api(checks={"health": {"path": "healthz"}})], "is no path"),
    ([api(checks={"health": {"path": "//elsewhere/x"}})], "is no path"),
    ([api(checks={"health": {**CHECK, "status": [99]}})], "write a number from 100 to 599"),
    ([api(checks={"health": {**CHECK, "body": "[1]"}})], "is no JSON object"),
    ([api(checks={"health": {**CHECK, "body": '{"type": "objekt"}'}})], "is no JSON Schema"),
    ([api(ca="nonsense")], "is no PEM certificate"),
    ([api(drill_host="api.example.com")], "as api has"),
    ([api(canary={**CANARY, "body": '{"note": "x"}'})], "lacks {key}"),
    ([api(canary={**CANARY, "item": "/items"})], "lacks {id}"),
    ([api(canary=None)], "no endpoint has a canary"),
    ([writes(keys=None)], "nothing would show that the new owner has every write"),
    ([writes(keys=["../x"])], "is no path below the prefix"),
    ([writes(keys=["drfsm/x"])], "which is not the workload's"),
    ([writes(keys=["runs/api"])], "among the batch workload's own folders"),
    ([writes(gate="configmap")], "`switches` belong to"),
    ([writes(gate="configmap", switches={"on": {"W": 1}, "off": {"W": 1}})], "the same on and off"),
    ([writes(gate="configmap", switches={"on": {"PUBLISH": 1}, "off": {"PUBLISH": 0}})], "about publishing, too"),
    ([writes(replication={"path": "/lag"})], "lacks body"),
    ([lambda contract: contract.pop("writes")], "the contract has no writes"),
    ([lambda contract: contract.pop("endpoints")], "no endpoint has a canary"),
]


@pytest.mark.parametrize(("steps", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_fault_names_its_place(steps: list[Callable[[Contract], Any]], words: str) -> None:
    """One change makes the contract wrong, and the message names file, line and fault."""
    workload.read(json.dumps(SERVING))
    with pytest.raises(DeclarationFault) as refused:
        workload.read(json.dumps(changed(*steps)), "weather.json")
    assert words in "\n".join(refused.value.faults)
    assert all(fault.startswith("weather.json:") for fault in refused.value.faults)


def test_a_private_key_in_a_contract_is_refused() -> None:
    """A contract is recorded in journals, and read by many."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form).decode()
    with pytest.raises(DeclarationFault, match="ca"):
        workload.read(json.dumps(changed(api(ca=key))))
