"""Reads ``endpoints`` and ``writes`` of a contract: the tables of their keys, and what they must say together.

An endpoint that takes writes (it has a canary) needs ``writes``: what closes a site to writes, and what shows that the
new owner has every one that the old owner acknowledged: their keys in the bucket, which a fence denies and both sites
share, or a replication check. Without either, a transfer could lose writes without anybody knowing, so it is refused.
Called by declare.py.
"""

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from drfsm.claims import bounded, object_of
from drfsm.dr.workload.kinds import LINE, grammar, line_of_text, own_folder, table, template
from drfsm.dr.workload.serving import (
    CONFIGMAP,
    DOCUMENT,
    FAILOVER,
    HEALTH_CHECK,
    SITES,
    WEIGHTED,
    Canary,
    Check,
    Endpoint,
    EndpointSite,
    Writes,
)
from drfsm.dr.workload.switches import Switches
from drfsm.errors import Unreadable
from drfsm.spec.words import COUNT, SECONDS, Block, Faults, Key, Kind, Word, block, choice, listing
from drfsm.spec.words import table as table_of_names

if TYPE_CHECKING:
    from drfsm.dr.workload.model import Workload

_LONGEST_TEXT = 20_000  # characters of a schema or of certificates
_LONGEST_PATH = 500
_GREATEST_PORT, _GREATEST_TTL, _LONGEST_RUN_OF_SUCCESSES = 65_535, 604_800, 20
_FIRST_STATUS, _LAST_STATUS = 100, 599


# --- kinds of words --------------------------------------------------------------------------------------


def _whole_text(check: Callable[[str], str], mend: str) -> Kind:
    """Return the kind of a text of many lines; ``check`` returns what is wrong with it, "" for nothing."""

    def read(node: yaml.Node, faults: Faults, called: str) -> Word | None:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            faults.add(line, f"{called} is no text", mend)
        elif len(node.value) > _LONGEST_TEXT:
            faults.add(line, f"{called} has more than {_LONGEST_TEXT} characters", mend)
        elif why := check(node.value):
            faults.add(line, f"{called} {why}", mend)
        else:
            return Word(node.value.strip(), line)
        return None

    return Kind(read, {"type": "string", "maxLength": _LONGEST_TEXT})


def _schema_fault(text: str) -> str:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(object_of(text, "it"))
    except Unreadable as fault:
        return f"is no JSON object: {fault.what}"
    except jsonschema.SchemaError as fault:
        return f"is no JSON Schema: {bounded(fault.message)}"
    return ""


def _object_fault(text: str) -> str:
    try:
        object_of(text.replace("{key}", "k"), "it")
    except Unreadable as fault:
        return f"is no JSON object: {fault.what}"
    return "" if "{key}" in text else "lacks {key}, by which what was written is found again"


def _certificates_fault(text: str) -> str:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as fault:
        return f"is no PEM certificate: {bounded(fault, 100)}"
    return "" if "PRIVATE KEY" not in text else "has a private key: a contract is read by many"


def _path(required: str = "", optional: str = "") -> Kind:
    """Return the kind of a request's path, with one placeholder that it must or may have."""

    def read(node: yaml.Node, faults: Faults, called: str) -> Word | None:
        word = line_of_text(node, faults, called)
        if word is None:
            return None
        plain = word
        for placeholder in filter(None, (required, optional)):
            plain = Word(plain.replace(placeholder, "x"), word.line)
        if required and required not in word:
            faults.add(word.line, f"{called} {str(word)!r} lacks {required}", "say where it goes")
        elif not plain.startswith("/") or plain.startswith("//") or not plain.isascii() or set(plain) & set(" {}#"):
            known = required or optional or "none"
            faults.add(word.line, f"{called} {str(word)!r} is no path", f"begin with /; placeholders: {known}")
        else:
            return word
        return None

    return Kind(read, {"type": "string", "pattern": "^/", "maxLength": _LONGEST_PATH})


def _whole_number(least: int, most: int) -> Kind:
    def read(node: yaml.Node, faults: Faults, called: str) -> int | None:
        number = COUNT.read(node, faults, called)
        if number is not None and not least <= number <= most:
            faults.add(node.start_mark.line + 1, f"{called} is {number}", f"write a number from {least} to {most}")
            return None
        return number  # type: ignore[no-any-return]  # COUNT reads whole numbers

    return Kind(read, COUNT.schema)


_STATUS = _whole_number(_FIRST_STATUS, _LAST_STATUS)
_STATUSES = listing(_STATUS, or_one=True)
_HOST, _FIELD = grammar("host"), grammar("field")
_SCHEMA = _whole_text(_schema_fault, "write a JSON Schema as JSON, in quotes or behind |")
_CHECK = {
    "path": Key(_path(), required=True),
    "status": Key(_STATUSES),
    "headers": Key(table("header", LINE)),
    "body": Key(_SCHEMA),
    "within_seconds": Key(SECONDS),
    "successes": Key(_whole_number(1, _LONGEST_RUN_OF_SUCCESSES)),
}
_SITE = block({"address": Key(LINE, required=True), "record": Key(grammar("label value"))}, "a site of an endpoint")
_CANARY = block(
    {
        "create": Key(_path(), required=True),
        "body": Key(_whole_text(_object_fault, 'write JSON with {key}, such as {"note": "{key}"}'), required=True),
        "key_header": Key(grammar("header")),
        "id": Key(_FIELD),
        "item": Key(_path("{id}"), required=True),
        "list": Key(_path("", "{key}"), required=True),
        "items": Key(_FIELD),
        "key": Key(_FIELD, required=True),
        "created": Key(_STATUSES),
        "refused": Key(_STATUSES),
        "within_seconds": Key(SECONDS),
    },
    "a canary",
)
_ENDPOINT = block(
    {
        "host": Key(_HOST, required=True),
        "zone": Key(grammar("hosted zone"), required=True),
        "routing": Key(choice(WEIGHTED, FAILOVER, HEALTH_CHECK), required=True),
        "type": Key(choice("A", "AAAA", "CNAME")),
        "ttl": Key(_whole_number(1, _GREATEST_TTL)),
        "port": Key(_whole_number(1, _GREATEST_PORT)),
        "primary": Key(_SITE, required=True),
        "dr": Key(_SITE, required=True),
        "checks": Key(table_of_names(block(_CHECK, "a check")), required=True),
        "canary": Key(_CANARY),
        "drill_host": Key(_HOST),
        "ca": Key(_whole_text(_certificates_fault, "write PEM certificates behind |")),
        "health_check": Key(grammar("health check")),
        "name_servers": Key(listing(LINE)),
        "resolvers": Key(listing(LINE)),
    },
    "an endpoint",
)
_SETTINGS = table("variable", LINE)
_WRITES = block(
    {
        "gate": Key(choice(DOCUMENT, CONFIGMAP), required=True),
        "switches": Key(block({"on": Key(_SETTINGS, required=True), "off": Key(_SETTINGS, required=True)}, "switches")),
        "keys": Key(listing(template("prefix", check=own_folder))),
        "replication": Key(block({**_CHECK, "body": Key(_SCHEMA, required=True)}, "a replication check")),
    },
    "writes",
)
KEYS: Mapping[str, Key] = {"endpoints": Key(table_of_names(_ENDPOINT)), "writes": Key(_WRITES)}
"""The keys of a contract for a workload that serves."""


# --- from what was read to values ------------------------------------------------------------------------


def endpoints(said: Mapping[str, Any]) -> dict[str, Endpoint]:
    """Return the endpoints by their names."""
    return {name: _endpoint(entry) for name, entry in said.items()}


def writes(said: Mapping[str, Any]) -> Writes:
    """Return the gate, and where what was written lies."""
    switches, replication = said.get("switches"), said.get("replication")
    return Writes(
        gate=said.get("gate", DOCUMENT),
        switches=Switches(**switches) if switches else None,
        keys=tuple(said.get("keys", ())),
        replication=_check(replication) if replication else None,
    )


def _endpoint(said: Mapping[str, Any]) -> Endpoint:
    fields = dict(said)
    for site in SITES:
        if site in fields:
            fields[site] = EndpointSite(**{"record": site, "address": "", **fields[site]})
    fields["checks"] = {name: _check(entry) for name, entry in fields.get("checks", {}).items()}
    if "canary" in fields:
        fields["canary"] = _canary(fields["canary"])
    return Endpoint(**fields)


def _check(said: Mapping[str, Any]) -> Check:
    return Check(**{"status": (200,), **said})


def _canary(said: Mapping[str, Any]) -> Canary:
    usual = {"key_header": "Idempotency-Key", "id": "id", "items": "", "created": (200, 201), "refused": (403, 503)}
    return Canary(**{**usual, "within_seconds": 5.0, **said})


# --- what keys say together ------------------------------------------------------------------------------


def check(contract: "Workload", found: Block, faults: Faults) -> None:
    """Add a fault for whatever contradicts itself."""
    declared: Mapping[str, Block] = found.get("endpoints", {})
    hosts: dict[str, str] = {}
    for name, endpoint in contract.endpoints.items():
        line = declared[name].line
        for host in filter(None, (endpoint.host, endpoint.drill_host)):
            if host in hosts:
                faults.add(line, f"{name} has the host {host}, as {hosts[host]} has", "give each a name of its own")
            hosts[host] = name
        _check_sites(name, endpoint, line, faults)
        if (endpoint.routing == HEALTH_CHECK) != bool(endpoint.health_check):
            what = f"{name} is routed by {endpoint.routing}, and health_check is {endpoint.health_check or 'missing'}"
            faults.add(line, what, f"name the check's id with `routing: {HEALTH_CHECK}`, and only there")
    _check_writes(contract, found, faults)


def _check_sites(name: str, endpoint: Endpoint, line: int, faults: Faults) -> None:
    if endpoint.primary.address == endpoint.dr.address:
        faults.add(line, f"both sites of {name} have one address", "give each site's own")
    if endpoint.primary.record == endpoint.dr.record:
        faults.add(line, f"both sites of {name} have one record", "give each the set identifier of its own record")
    for site in SITES:
        address = endpoint.site(site).address
        if _kind_of(address) != endpoint.type:
            faults.add(line, f"{site} of {name} has {address}, which no {endpoint.type} record holds", "mend one")


def _kind_of(address: str) -> str:
    try:
        return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"  # noqa: PLR2004  IPv4
    except ValueError:
        return "CNAME"


def _check_writes(contract: "Workload", found: Block, faults: Faults) -> None:
    takes_writes = [name for name, endpoint in contract.endpoints.items() if endpoint.canary]
    gate, line = contract.writes, found.at("writes" if contract.writes else "endpoints")
    if gate is None:
        if takes_writes:
            faults.add(line, f"{takes_writes[0]} takes writes, and the contract has no writes", "add `writes:`")
        return
    if not takes_writes:
        faults.add(line, "no endpoint has a canary, so nothing could show that the gate works", "declare one")
    if not gate.keys and gate.replication is None:
        faults.add(
            line,
            "nothing would show that the new owner has every write",
            "name the keys below the prefix that writes go to, or a replication check",
        )
    if (gate.gate == CONFIGMAP) != (gate.switches is not None):
        faults.add(line, f"the gate is {gate.gate}", f"`switches` belong to `gate: {CONFIGMAP}`, and only there")
    _check_switches(contract, gate, line, faults)
    pointers, keys = contract.pointers, contract.keys
    others = [keys.runs, keys.latest, keys.candidates, pointers.home, *filter(None, [pointers.older])]
    firsts = {folder.partition("/")[0] for folder in others}
    for folder in gate.keys:
        if folder.partition("/")[0] in firsts:
            faults.add(line, f"{folder} lies among the batch workload's own folders", "keep them apart")


def _check_switches(contract: "Workload", gate: Writes, line: int, faults: Faults) -> None:
    if gate.switches is None:
        return
    if set(gate.switches.on) != set(gate.switches.off):
        faults.add(line, "on and off of the gate name other variables", "name each variable in both")
        return
    for name in gate.switches.on:
        if gate.switches.position_of(name, gate.switches.off[name]) != "off":
            faults.add(line, f"{name} is the same on and off", "leave it out, or mend one")
        if name in contract.switches.on:
            faults.add(line, f"{name} decides about publishing, too", "give the gate a variable of its own")
