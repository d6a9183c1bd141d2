"""Copies of the shipped failback that somebody changed: what they did to it, and what the checker follows.

A declaration is read as plain words (BaseLoader), changed as a mapping, and written again, so that a story is
told by what it changes and not by where it stands in the file.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import yaml

from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine

Words = dict[str, Any]
Change = Callable[[Words], None]

# What no observation shows: a Job keeps the environment that it started with, whatever was switched since.
HIDDEN: Words = {
    "facts": {
        "dr_writer": {"values": ["yes", "no"], "initial": ["no"], "hidden": "true"},
        "primary_writer": {"values": ["yes", "no"], "initial": ["no"], "hidden": "true"},
        "newer_run": {"values": ["none", "published"], "initial": ["none"], "hidden": "true"},
        "primary_was_quiet": {"values": ["yes", "no"], "initial": ["no"], "hidden": "true"},
    },
    "never": [
        {
            "name": "two_sites_write_during_the_switch",
            "when": {"dr_writer": "yes", "dr_fence": ["down", "foreign"]},
            "states": ["provider_switched", "pointers_switched", "latest_switched"],
            "because": "A Job of DR that started while publishing was on would move the pointers back",
        },
        {
            "name": "an_old_primary_job_writes",
            "when": {"primary_writer": "yes", "primary_fence": ["down", "foreign"]},
            "states": ["provider_switched", "pointers_switched"],
            "because": "A Job of the primary from before would make an unverified, older run canonical",
        },
        {
            "name": "newer_run_lost",
            "when": {"newer_run": "published", "global_pointer": "primary"},
            "states": ["provider_switched", "pointers_switched"],
            "because": "A run that DR published last would be overwritten by an older one",
        },
        {
            "name": "abort_makes_two_writers",
            "when": {
                "primary_was_quiet": "yes",
                "dr_publishing": ["on", "mixed"],
                "primary_publishing": ["on", "mixed"],
                "primary_schedules": ["on", "mixed"],
            },
            "states": ["aborting", "aborted"],
            "because": "The abort itself would revive a split brain",
        },
        {
            "name": "pointers_name_what_is_not_there",
            "when": {"artifacts": ["absent", "partial"], "global_pointer": "primary"},
            "states": ["provider_switched", "pointers_switched"],
            "because": "Readers would follow the pointer to nothing",
        },
        {
            "name": "unverified_run_is_canonical",
            "when": {"primary_run": ["missing", "damaged"], "global_pointer": "primary"},
            "states": ["provider_switched", "pointers_switched"],
            "because": "Only a run that is whole may become canonical",
        },
    ],
}


def words(machine: str = "failback") -> Words:
    """Return a shipped machine as plain words, its shorthand written out: each row has one source and says all."""
    return written_out(plain((shipped("machines") / f"{machine}.yaml").read_text()))


def plain(text: str | bytes) -> Words:
    """Return a declaration as plain words, read by libyaml where it is there: else it takes ten times as long."""
    found: Words = yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506  strings only
    return found


def loaded(machine: Words, *, source: str) -> MachineSpec:
    """Load a declaration of plain words. JSON is YAML, too."""
    return load_machine(json.dumps(machine, indent=1), source=source)


def written_out(machine: Words) -> Words:
    """Return a declaration that says the same without defaults, groups and sources with a ``when``."""
    groups, defaults = machine.get("groups", {}), machine.get("defaults", {})
    rows = []
    for row in machine["transitions"]:
        said = row | {key: value for key, value in defaults.items() if "action" in row and key not in row}
        for source in _states([row["from"]] if isinstance(row["from"], str) else row["from"], groups):
            state, when = (source, {}) if isinstance(source, str) else (source["state"], source["when"])
            both = when | row.get("when", {})
            rows.append(said | {"from": state} | ({"when": both} if both else {}))
    rules = {
        section: [rule | ({"states": _states(rule["states"], groups)} if "states" in rule else {}) for rule in rules]
        for section, rules in machine.items()
        if section in ("environment", "never")
    }
    guards = {
        name: guard | ({"watched": _states(guard["watched"], groups)} if "watched" in guard else {})
        for name, guard in machine.get("guards", {}).items()
    }
    rest = {key: value for key, value in machine.items() if key not in ("groups", "defaults")}
    return rest | rules | ({"guards": guards} if guards else {}) | {"transitions": rows}


def _states(names: Iterable[Any], groups: Mapping[str, list[str]]) -> list[Any]:
    written = [_states(groups[name], groups) if isinstance(name, str) and name in groups else [name] for name in names]
    return [state for states in written for state in states]


def followed(machine: Words) -> None:
    """Add what the checker should follow beside what can be observed, where the declaration has none of it."""
    if "dr_writer" in machine["facts"]:
        return
    hidden = deepcopy(HIDDEN)
    machine["facts"] |= hidden["facts"]
    kept = [
        each
        for each in machine["environment"]
        if not each["sets"].keys() & {"dr_inflight", "primary_inflight", "global_pointer"}
    ]
    machine["environment"] = [*kept, *environment("dr"), *environment("primary")]
    names = {each["name"] for each in machine["never"]}
    machine["never"] += [each for each in hidden["never"] if each["name"] not in names]


def environment(site: str) -> list[Words]:
    """Return what a site's Jobs may do by themselves, at any moment: also by hand, and with what they began with."""
    writes = {"global_pointer": "other"}
    if site == "dr":
        writes |= {"canonical_run": "other", "newer_run": "published"}
    unfenced = {f"{site}_writer": "yes", f"{site}_fence": ["down", "foreign"]}
    # On DR also by hand, or by a controller that has not seen the suspension yet; the primary's publishing is on
    # again before the switch, so there a person who starts a Job by hand answers for it.
    starts = {f"{site}_publishing": ["on", "mixed"]} | ({} if site == "dr" else {"primary_schedules": ["on", "mixed"]})
    rules: list[Words] = [
        {"when": {f"{site}_schedules": ["on", "mixed"]}, "sets": {f"{site}_inflight": "yes"}},
        {"when": starts, "sets": {f"{site}_inflight": "yes", f"{site}_writer": "yes"}},
        {"when": {f"{site}_inflight": "yes"}, "sets": {f"{site}_inflight": "no", f"{site}_writer": "no"}},
        {"when": unfenced, "sets": writes},
        {"when": unfenced, "sets": {"provider_pointers": "other"}},
    ]
    if site == "primary":
        rules.append({"sets": {"primary_was_quiet": "yes"}, "states": ["primary_quiesced"]})
    return rules


def copy(*changes: Change) -> MachineSpec:
    """Return the failback with these changes."""
    machine = words()
    for change in (followed, *changes):
        change(machine)
    return loaded(machine, source="failback.yaml")


def row(machine: Words, trigger: str) -> Words:
    """Return the first row of a trigger."""
    return next(each for each in machine["transitions"] if each["trigger"] == trigger)


def without_guards(*guards: str, but: Iterable[str] = ()) -> Change:
    """Take guards off every row, but those of some triggers, and with them what is then used no more."""

    def change(machine: Words) -> None:
        for each in machine["transitions"]:
            if each["trigger"] not in but and "guards" in each:
                each["guards"] = [name for name in each["guards"] if name not in guards]
                if not each["guards"]:
                    del each["guards"]
                    each.pop("wait", None)
        for name in guards:
            machine["guards"][name].pop("watched", None)
        prune(machine)

    return change


def nobody_meddles(machine: Words) -> None:
    """Take out what somebody may do behind the run's back."""
    machine["environment"] = [rule for rule in machine["environment"] if "meddles" not in rule]


def without_guards_over(*facts: str, but: Iterable[str] = ()) -> Change:
    """Take every guard over these facts off every row, but those of some triggers."""

    def change(machine: Words) -> None:
        named = [name for name, guard in machine["guards"].items() if guard["requires"].keys() & set(facts)]
        without_guards(*named, but=but)(machine)

    return change


def _wordless(node: Any) -> Any:
    """Return a declaration without its sentences, which may hold a fact's name by chance."""
    if isinstance(node, Mapping):
        return {key: _wordless(value) for key, value in node.items() if key != "because"}
    return [_wordless(item) for item in node] if isinstance(node, list) else node


def prune(machine: Words) -> None:
    """Remove the guards, and then the facts, that nothing names any more."""
    used = {name for each in machine["transitions"] for name in each.get("guards", ())}
    used |= {name for name, guard in machine["guards"].items() if "watched" in guard}
    machine["guards"] = {name: guard for name, guard in machine["guards"].items() if name in used}
    for each in machine["transitions"]:  # what a row compares is what its guards require
        required = {fact for name in each.get("guards", ()) for fact in machine["guards"][name]["requires"]}
        if "compares" in each and not set(each["compares"]) <= required:
            del each["compares"]
    rest = json.dumps(_wordless({key: value for key, value in machine.items() if key not in ("facts", "inputs")}))
    depends = {name for fact in machine["facts"].values() for name in fact.get("depends", ())}
    for name in list(machine["facts"]):
        if f'"{name}"' not in rest and f" {name}" not in rest and name not in depends:
            del machine["facts"][name]
