"""Whether a Job that starts on a site publishes: the contract's switches in the site's ConfigMap.

What was found is kept in the annotation ``drfsm/before``, as in schedules.py. A pod that runs already keeps the
environment that it started with: that is the drain's matter. A CronJob that sets the switches by itself does not heed
the ConfigMap, which is found before anything starts (``publishing_switch``).
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from drfsm.dr.objects import check_namespace
from drfsm.dr.pointers import left_alone
from drfsm.dr.sites.schedules import BEFORE, before_of, edit, listed, parsed, touched, touching
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Switches
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed
from drfsm.world import Cluster, Manifest, World


def see(cluster: Cluster, namespace: str, name: str, switches: Switches) -> dict[str, Any]:
    """Return the switches and the annotation: exactly what an undo gives back."""
    configmap = cluster.get("ConfigMap", namespace, name)
    if configmap is None:
        raise ActionFailed(
            f"ConfigMap {namespace}/{name} does not exist on {cluster.name}",
            hint="name the right ConfigMap with --configmap",
        )
    return _image(configmap, switches)


def _image(manifest: Manifest, switches: Switches) -> dict[str, Any]:
    return {**switched(manifest, switches), "before": before_of(manifest)}


def switched(configmap: Manifest, switches: Switches) -> dict[str, Any]:
    """Return what a ConfigMap says of the switches; None where it says nothing."""
    data = configmap.get("data") or {}
    return {name: data.get(name) for name in switches.names}


def judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge the switches: ``mixed`` is neither of the two defined combinations."""
    return terms_of(inputs).workload.switches.position(seen)


def _switches(run: Run) -> Switches:
    return terms_of(run.inputs).workload.switches


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> Any:
        terms = terms_of(run.inputs)
        return see(world.site(site), terms.namespace, terms.configmap, _switches(run))

    return observe


def _edit(world: World, site: str, run: Run, change: Callable[[Manifest], Manifest], words: str) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    changed = edit(world.site(site), "ConfigMap", terms.namespace, terms.configmap, change)
    if changed:
        run.note(f"{words} in ConfigMap {terms.configmap} on {site}")
    return {"changed": changed}


def _silence(site: str) -> Callable[[World, Run], Any]:
    def silence(world: World, run: Run) -> dict[str, Any]:
        switches = _switches(run)

        def change(live: Manifest) -> Manifest:
            now = _image(live, switches)
            if switches.position(now) == "off":
                return {}
            patch: Manifest = {"data": dict(switches.off)}
            if recorded(now, switches) is None:
                kept = {"run": run.id, "data": {name: now[name] for name in switches.names}}
                patch["metadata"] = {"annotations": {BEFORE: json.dumps(kept, sort_keys=True)}}
            return patch

        return _edit(world, site, run, change, "publishing is now off")

    return silence


def recorded(image: Mapping[str, Any], switches: Switches) -> Mapping[str, Any] | None:
    """Return the recorded switches, if a record is there that says how publishing was on."""
    data = parsed(image["before"]).get("data")
    if not isinstance(data, Mapping):
        return None
    values = {name: data.get(name) for name in switches.names}
    return values if switches.position(values) == "on" else None


def _enable(site: str) -> Callable[[World, Run], Any]:
    def enable(world: World, run: Run) -> dict[str, Any]:
        switches = _switches(run)

        def change(live: Manifest) -> Manifest:
            now = _image(live, switches)
            if switches.position(now) == "on" and now["before"] is None:
                return {}
            wanted = recorded(now, switches) or switches.on
            return {"data": dict(wanted), "metadata": {"annotations": {BEFORE: None}}}

        return _edit(world, site, run, change, "publishing is on again")

    return enable


def _restore(fact: str, site: str, ours: str) -> Callable[[World, Run], Any]:
    """Restore the switches that this run set (``ours``); values that another process set stay."""

    def restore(world: World, run: Run) -> dict[str, Any]:
        image, switches = run.undoing[fact], _switches(run)

        def change(live: Manifest) -> Manifest:
            now = _image(live, switches)
            if now == dict(image):
                return {}
            if switches.position(now) != ours and any(now[name] != image[name] for name in switches.names):
                values = ", ".join(f"{name}={now[name]}" for name in switches.names)
                raise ActionFailed(
                    f"another process set {values} in ConfigMap {live['metadata']['name']} on {site} since this run"
                    f" switched publishing {ours}: its values are not overwritten",
                    hint="set the intended values, then `drfsm resume`; or `drfsm request waive_undo --reason …`",
                )
            data = {name: image[name] for name in switches.names}
            return {"data": data, "metadata": {"annotations": {BEFORE: image["before"]}}}

        return _edit(world, site, run, change, "publishing is restored")

    return restore


def _touch(site: str) -> Callable[[World, Run], Any]:
    """Touch the ConfigMap, so that a late write of the switches fails on its condition."""

    def touch(world: World, run: Run) -> dict[str, Any]:
        touching(site, run)
        name = terms_of(run.inputs).configmap
        return {"site": site, "touched": [name] if touched(world.site(site), run, "ConfigMap", name) else []}

    return touch


def _observe_switch(world: World, run: Run) -> dict[str, Any]:
    """Find settings that control publishing instead of the ConfigMap."""
    terms = terms_of(run.inputs)
    namespace, name = terms.namespace, terms.configmap
    faults: list[str] = []
    for site in ("primary", "dr"):
        if left_alone(run, site):
            continue
        configmaps = {
            configmap["metadata"]["name"]: configmap for configmap in world.site(site).list("ConfigMap", namespace)
        }
        if name not in configmaps:
            check_namespace(world.site(site), namespace)
            faults.append(f"{site}: ConfigMap {name} does not exist; name the right one with --configmap")
            continue
        if configmaps[name].get("immutable"):
            faults.append(f"{site}: ConfigMap {name} is immutable, so publishing can't be switched")
        for cronjob in listed(world, site, run).values():
            why = overrides(cronjob, name, configmaps, terms.workload.switches.names)
            faults += (f"{site}: {override}" for override in why)
    return {"overridden": faults, **({"in_words": "; ".join(faults)} if faults else {})}


def overrides(
    cronjob: Manifest, configmap: str, configmaps: Mapping[str, Manifest], switches: Collection[str]
) -> Iterator[str]:
    """Yield why a CronJob's containers would ignore the ConfigMap, in words.

    A Secret's content is unknown: drfsm has no right to read one. Companions that run another
    image than the workload's need not take their environment from there.
    """
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for container in (*(pod.get("initContainers") or ()), *pod["containers"]):
        where = f"CronJob {cronjob['metadata']['name']}, container {container['name']}"
        own = [variable for variable in container.get("env") or [] if variable["name"] in switches]
        for variable in own:
            source = (variable.get("valueFrom") or {}).get("configMapKeyRef") or {}
            if (source.get("name"), source.get("key")) != (configmap, variable["name"]):
                yield f"{where} sets {variable['name']} by itself"
        mapped = [source for source in container.get("envFrom") or [] if _says(source, configmap, configmaps, switches)]
        if {variable["name"] for variable in own} == set(switches):
            continue  # what a container sets by itself goes before all that it maps
        if mapped and _source(mapped[-1]) != configmap:
            yield f"{where} takes a switch from ConfigMap {_source(mapped[-1])}, which comes after {configmap}"
        elif (
            not any(not source.get("prefix") for source in mapped)
            and container["image"] == pod["containers"][0]["image"]
        ):
            yield f"{where} does not take its environment from ConfigMap {configmap}"


def visible(cronjob: Manifest, name: str, configmaps: Mapping[str, Manifest]) -> tuple[str, str] | None:
    """Return (value, where from) of a variable in a CronJob's first container; None where it can't be seen.

    What a Secret says can't be seen, and it may say it: the last that maps it wins, so a Secret behind hides it.
    """
    container = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    own = next((variable for variable in reversed(container.get("env") or []) if variable["name"] == name), None)
    if own is not None:
        source = (own.get("valueFrom") or {}).get("configMapKeyRef")
        if source is None:
            return (str(own["value"]), f"CronJob {cronjob['metadata']['name']}") if "value" in own else None
        held = (configmaps.get(source["name"]) or {}).get("data") or {}
        return (str(held[source["key"]]), f"ConfigMap {source['name']}") if source["key"] in held else None
    for entry in reversed(container.get("envFrom") or []):
        held = (configmaps.get(_source(entry)) or {}).get("data") or {}
        key = name.removeprefix(str(entry.get("prefix") or ""))
        if key in held:
            return str(held[key]), f"ConfigMap {_source(entry)}"
    return None


def _observe_place(world: World, run: Run) -> dict[str, Any]:
    """Observe where the target site would publish by itself, as far as its settings can be read."""
    terms = terms_of(run.inputs)
    namespace, site = terms.namespace, terms.target_site
    configmaps = {
        configmap["metadata"]["name"]: configmap for configmap in world.site(site).list("ConfigMap", namespace)
    }
    named, place = terms.cronjob, terms.workload.variables.place
    seen = {}
    for name, cronjob in listed(world, site, run).items():
        if named in ("", name):
            values = {setting: visible(cronjob, setting, configmaps) for setting in place}
            seen[name] = {
                setting: {"value": value[0], "from": value[1]} if value else None for setting, value in values.items()
            }
    return {"wanted": dict(zip(place, (terms.bucket, terms.prefix), strict=True)), **seen}


def _judge_place(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    cronjobs = [values for name, values in seen.items() if name != "wanted"]
    settings = [(setting, values[setting]) for values in cronjobs for setting in seen["wanted"]]
    elsewhere = any(value and value["value"].strip("/") != seen["wanted"][setting] for setting, value in settings)
    return "elsewhere" if elsewhere else "ours"


def _source(entry: Mapping[str, Any]) -> str:
    return str((entry.get("configMapRef") or {}).get("name") or "")


def _says(
    entry: Mapping[str, Any], configmap: str, configmaps: Mapping[str, Manifest], switches: Collection[str]
) -> bool:
    """Whether an entry of envFrom is our ConfigMap, or another one that holds a switch."""
    if _source(entry) == configmap:
        return True
    held = (configmaps.get(_source(entry)) or {}).get("data") or {}
    return any(f"{entry.get('prefix') or ''}{key}" in switches for key in held)


FACTS = {
    "primary_publishing": Fact(_observe("primary"), judge),
    "dr_publishing": Fact(_observe("dr"), judge),
    "publishing_place": Fact(_observe_place, _judge_place),
    "publishing_switch": Fact(_observe_switch, lambda seen, _inputs: "overridden" if seen["overridden"] else "heeded"),
}
_ON_PRIMARY, _ON_DR = Late(_touch("primary")), Late(_touch("dr"))
LATE = {
    "silence_primary": _ON_PRIMARY,
    "silence_dr": _ON_DR,
    "restore_primary_publishing": _ON_PRIMARY,
    "restore_dr_publishing": _ON_DR,
    "enable_primary_publishing": _ON_PRIMARY,
    "enable_dr_publishing": _ON_DR,
}
ACTIONS = {
    "silence_primary": _silence("primary"),
    "silence_dr": _silence("dr"),
    "restore_dr_publishing": _restore("dr_publishing", "dr", "off"),
    "restore_primary_publishing": _restore("primary_publishing", "primary", "on"),
    "enable_primary_publishing": _enable("primary"),
}
PROMOTE = {
    "silence_primary": _silence("primary"),
    "restore_primary_publishing": _restore("primary_publishing", "primary", "off"),
    "enable_dr_publishing": _enable("dr"),
}
