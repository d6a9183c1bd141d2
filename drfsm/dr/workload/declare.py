"""Reads a workload's contract: YAML (or the canonical JSON of one) in, a frozen Workload out, or every fault at once.

Owns the format: the tables of keys below, by which both the reader and the JSON Schema for editors go. What a contract
leaves out follows from the workload's name, or is what most workloads need; nothing follows from another workload's.
Refuses an unknown key, a template with an unknown placeholder, templates that could make one key of two files, and
every value that would lead out of the prefix or to a key that is drfsm's own. Called by the command line, by terms.py
for what a run recorded, and by the sandbox.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from attrs import asdict

from drfsm.dr.workload import declare_serving
from drfsm.dr.workload.kinds import LINE, grammar, own_folder, own_folders, table, template
from drfsm.dr.workload.model import (
    NAME,
    PRIMARY_FIELDS,
    RANKED,
    TIME,
    VALUES,
    Defaults,
    Files,
    Keys,
    Kubernetes,
    Pointers,
    Report,
    RunIds,
    Runners,
    Variables,
    Workload,
)
from drfsm.dr.workload.switches import Switches
from drfsm.dr.workload.templates import may_be_one
from drfsm.errors import DeclarationFault
from drfsm.spec.words import FLAG, Block, Faults, Form, Key, block, choice, compose, listing

_HERE = Path(__file__).resolve().parent
SHIPPED = _HERE / "jobintel.yaml"
_WAY = "docs/workload.md says what a contract can say"
_FORM = Form("the contract", "a contract needs three levels", "start with `workload: NAME`")


# --- the format ------------------------------------------------------------------------------------------

_VARIABLE, _FIELD, _FIELD_NAME = grammar("variable"), grammar("field"), grammar("field name")
_FILE = template("prefix", (), ("provider", "profile"))
_SETTINGS = table("variable", LINE)
_KUBERNETES = grammar("Kubernetes name")
_PARTS: Mapping[str, Mapping[str, Key]] = {
    "switches": {
        "on": Key(_SETTINGS, required=True),
        "off": Key(_SETTINGS, required=True),
        "otherwise": Key(choice("no")),
    },
    "variables": {
        "bucket": Key(_VARIABLE, required=True),
        "prefix": Key(_VARIABLE, required=True),
        "run_id": Key(_VARIABLE, required=True),
        "validation": Key(_SETTINGS),
        "reserved": Key(listing(_VARIABLE)),
    },
    "defaults": {name: Key(grammar(name)) for name in ("prefix", "candidate", "provider", "profile")},
    "keys": {
        "runs": Key(template("prefix", ("run_id",), check=own_folder)),
        "latest": Key(template("prefix", check=own_folder)),
        "candidates": Key(template("prefix", ("candidate",), check=own_folder)),
        "pair": Key(template("prefix", ("provider", "profile"), check=own_folders)),
    },
    "files": {
        "required": Key(listing(_FILE)),
        "optional": Key(listing(_FILE)),
        "latest": Key(listing(_FILE)),
        "marker": Key(_FILE),
    },
    "pointers": {
        "name": Key(grammar("file")),
        "home": Key(template("prefix", ("candidate",), check=own_folder)),
        "older": Key(template("prefix", check=own_folder)),
        "fields": Key(block({name: Key(_FIELD_NAME) for name in PRIMARY_FIELDS}, "fields")),
    },
    "report": {
        "key": Key(grammar("prefix")),
        "required": Key(FLAG),
        "artifacts": Key(_FIELD),
        "path": Key(template("prefix", (), ("provider", "profile", "basename", "path"))),
        "run_id": Key(_FIELD),
        "ended_at": Key(_FIELD),
        "succeeded": Key(table("field", LINE)),
    },
    "run_ids": {"form": Key(choice(TIME, NAME)), "prefix": Key(grammar("workload run")), "marker": Key(LINE)},
    "kubernetes": {
        "namespace": Key(grammar("label value")),
        **{name: Key(_KUBERNETES) for name in ("cronjob", "configmap", "deployment", "secret", "service_account")},
        "control_plane": Key(template("Kubernetes name", ("section",))),
        "labels": Key(table("label", grammar("label value"))),
    },
    "runners": {
        "name": Key(grammar("label value")),
        "tags": Key(table("label", grammar("label value"))),
        "template": Key(grammar("label value")),
        "kubeconfig_parameter": Key(template("prefix", ("instance",), root="/")),
    },
}
_CONTRACT = block(
    {
        "workload": Key(grammar("workload"), required=True),
        "because": Key(LINE),
        **{
            name: Key(block(keys, name), required=name in ("switches", "variables", "files"))
            for name, keys in _PARTS.items()
        },
        "comparison": Key(choice(RANKED, VALUES)),
        "unchanged": Key(LINE),
        **declare_serving.KEYS,
    },
    "a contract",
)
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_CONTRACT.schema,
    "title": "The contract of a workload that drfsm guards",
}
"""For editors: workload.schema.json beside this file, which a test holds against it."""


# --- from text to contract -------------------------------------------------------------------------------


def read(text: str | bytes, source: str = "the contract") -> Workload:
    """Return the contract that ``text`` holds. Raises DeclarationFault with every fault; ``source``: its name."""
    faults = Faults(source)
    found = _composed(text, faults)
    if found is not None and not faults.entries:
        contract = _built(found)
        _check(contract, found, faults)
        if not faults.entries:
            return contract
    raise DeclarationFault(f"{source} is no contract of a workload", faults.lines(), hint=_WAY)


def _composed(text: str | bytes, faults: Faults) -> Block | None:
    try:
        words = text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as fault:
        faults.add(1, f"it is no UTF-8 text (byte {fault.start})", "save it as UTF-8")
        return None
    if words.startswith("\ufeff"):
        faults.add(1, "it begins with a byte order mark", "save it as UTF-8 without one")
        return None
    node = compose(words, faults, _FORM)
    return None if node is None else _CONTRACT.read(node, faults, "the contract")


def _built(found: Block) -> Workload:
    name = str(found["workload"])
    parts = {part: _plain(found.get(part, {})) for part in _PARTS}
    files = {kind: tuple(parts["files"].get(kind, ())) for kind in ("required", "optional", "latest")}
    files["latest"] = files["latest"] or files["required"]
    tagged = {"Purpose": f"{name}-dr"}
    return Workload(
        name=name,
        because=str(found.get("because", "")),
        switches=Switches(**parts["switches"]),
        variables=Variables(**parts["variables"]),
        defaults=Defaults(
            **{"prefix": name, "candidate": "local", "provider": "default", "profile": "default"} | parts["defaults"]
        ),
        keys=Keys(
            **{"runs": "runs/{run_id}", "latest": "latest", "candidates": "candidates/{candidate}"}
            | {"pair": "{provider}/{profile}"}
            | parts["keys"]
        ),
        files=Files(**files, marker=parts["files"].get("marker", (*files["latest"], "")[0])),
        comparison=str(found.get("comparison", VALUES)),
        pointers=_pointers(parts["pointers"]),
        report=_report(parts["report"]) if "report" in found else None,
        run_ids=RunIds(**{"form": TIME, "prefix": "", "marker": ""} | parts["run_ids"]),
        kubernetes=_kubernetes(name, parts["kubernetes"]),
        runners=Runners(
            **{"name": f"{name}-dr-runner", "tags": tagged, "template": f"{name}-dr-runner"}
            | {"kubeconfig_parameter": f"/{name}-dr/{{instance}}/kubeconfig"}
            | parts["runners"]
        ),
        unchanged=str(found.get("unchanged", "")),
        endpoints=declare_serving.endpoints(_plain(found.get("endpoints", {}))),
        writes=declare_serving.writes(_plain(found["writes"])) if "writes" in found else None,
    )


def _pointers(said: Mapping[str, Any]) -> Pointers:
    usual = {"name": "last_success.json", "home": "state/candidates/{candidate}", "older": ""}
    return Pointers(**{**usual, **said, "fields": {name: name for name in PRIMARY_FIELDS} | said.get("fields", {})})


def _report(said: Mapping[str, Any]) -> Report:
    usual: dict[str, Any] = {"key": "run_report.json", "required": False, "artifacts": "verifiable_artifacts"}
    usual |= {"path": "{path}", "run_id": "run_id", "ended_at": "timestamps.ended_at", "succeeded": {}}
    return Report(**usual | dict(said))


def _kubernetes(name: str, said: Mapping[str, Any]) -> Kubernetes:
    usual: dict[str, Any] = {
        "namespace": name,
        "cronjob": name,
        "configmap": f"{name}-config",
        "deployment": "",
        "secret": f"{name}-secrets",
        "service_account": name,
        "control_plane": f"{name}-control-plane-{{section}}",
        "labels": {"app.kubernetes.io/name": name},
    }
    return Kubernetes(**usual | dict(said))


def _plain(found: Any) -> Any:
    """Return what was read without the lines of its words."""
    if isinstance(found, Mapping):
        return {str(name): _plain(value) for name, value in found.items()}
    if isinstance(found, tuple):
        return tuple(_plain(value) for value in found)
    return str(found) if isinstance(found, str) else found


# --- what keys say together ------------------------------------------------------------------------------


def _check(contract: Workload, found: Block, faults: Faults) -> None:
    """Add a fault for whatever contradicts itself."""
    _check_variables(contract, found, faults)
    _check_folders(contract, found, faults)
    files, line = contract.files, found.at("files")
    if not files.latest:
        faults.add(line, "no file is required, and none is in latest", "name what a run must have")
    for place in files.latest:
        if place not in files.known:
            faults.add(line, f"latest has {place}, which is no file of a run", "name it under required or optional")
    if files.latest and files.marker not in files.latest:
        faults.add(line, f"the marker {files.marker} is not in latest", "name a file of latest")
    _check_places(contract, found, faults)
    declare_serving.check(contract, found, faults)
    if len(set(contract.pointers.fields.values())) != len(PRIMARY_FIELDS):
        faults.add(found.at("pointers"), "two fields of a pointer have one name", "give each its own")


def _check_places(contract: Workload, found: Block, faults: Faults) -> None:
    """Hold the files of a run against each other and against its report: each has a key of its own."""
    files, report = contract.files, contract.report
    if twice := sorted(set(files.required) & set(files.optional)):
        faults.add(found.at("files"), f"{twice[0]} is both required and optional", "decide for one")
    for one, other in combinations(dict.fromkeys(files.known), 2):
        if may_be_one(one, other):
            what = f"{one} and {other} would be one file for some provider and profile"
            faults.add(found.at("files"), what, "tell them apart by a word")
    if report is None:
        return
    for place in dict.fromkeys(files.known):
        if may_be_one(f"{contract.keys.pair}/{place}", report.key):
            faults.add(found.at("report"), f"its key {report.key} may be a run's {place}", "give it one of its own")


def _check_variables(contract: Workload, found: Block, faults: Faults) -> None:
    switches, variables = contract.switches, contract.variables
    if set(switches.on) != set(switches.off):
        faults.add(found.at("switches"), "on and off name other variables", "name each variable in both")
    else:
        for name in switches.on:
            if switches.position_of(name, switches.off[name]) != "off":
                faults.add(found.at("switches"), f"{name} is the same on and off", "leave it out, or mend one")
    named = (*switches.on, *variables.place, variables.run_id, *variables.validation)
    for name in dict.fromkeys(name for name in named if named.count(name) > 1):
        faults.add(found.at("variables"), f"{name} has two meanings", "name each variable once")


def _check_folders(contract: Workload, found: Block, faults: Faults) -> None:
    """Hold the folders against each other: a sync of runs must never touch a pointer, nor a pointer be a run's file."""
    keys, pointers = contract.keys, contract.pointers
    folders = {"runs": keys.runs, "latest": keys.latest, "candidates": keys.candidates, "pointers": pointers.home}
    if pointers.older:
        folders["older pointers"] = pointers.older
    fixed = {name: f"{fixed_part(folder)}/" for name, folder in folders.items()}
    for one, here in fixed.items():
        for other, there in fixed.items():
            both_pointers = "pointers" in one and "pointers" in other
            if one != other and not both_pointers and here.startswith(there) and (here != there or one < other):
                faults.add(found.at("keys"), f"{one} ({here}) lies in {other} ({there})", "keep them apart")


def fixed_part(template: str) -> str:
    """Return the folders of a template before its first placeholder, without a slash at the end."""
    folders = template.split("/")
    first = next((number for number, folder in enumerate(folders) if "{" in folder), len(folders))
    return "/".join(folders[:first])


# --- contracts that are known ----------------------------------------------------------------------------


@lru_cache(maxsize=1)
def shipped() -> Workload:
    """Return the contract that drfsm ships: the real workload's."""
    return read(SHIPPED.read_bytes(), SHIPPED.name)


@lru_cache(maxsize=1)
def legacy() -> Workload:
    """Return the contract of runs that were begun before contracts were recorded with them."""
    return read((_HERE / "legacy.yaml").read_bytes(), "legacy.yaml")


@lru_cache(maxsize=16)
def recorded(text: str) -> Workload:
    """Return the contract that a run recorded, the legacy one for "". Raises DeclarationFault."""
    return read(text, "the recorded contract") if text else legacy()


def canonical(contract: Workload) -> str:
    """Return a contract as JSON, with every value spelled out, by which a run records it. ``read`` gives it back."""
    said = asdict(contract)
    said["workload"] = said.pop("name")
    return json.dumps(_without_empty(said), sort_keys=True, separators=(",", ":"))


def digest(contract: Workload) -> str:
    """Return the SHA-256 over ``canonical``, in hex."""
    return hashlib.sha256(canonical(contract).encode()).hexdigest()


def _without_empty(value: Any) -> Any:
    """Return a value without keys that say nothing: what is left out is read as the same."""
    if not isinstance(value, Mapping):
        return value
    return {name: _without_empty(each) for name, each in value.items() if each not in ("", None, (), {})}
