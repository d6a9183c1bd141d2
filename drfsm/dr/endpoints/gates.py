"""The write gate: which site takes writes, and what closes and opens it.

With ``gate: document`` servers go by the active-site document (active.py). With ``gate: configmap`` a workload can't,
and a switch in each site's ConfigMap decides; its earlier values are kept in the annotation BEFORE. The document is
written in both cases, as it tells everybody else. A gate is closed before the pointers move, which an undo gives back
exactly; it is opened after them, which nothing gives back: from there on the new site has acknowledged writes.

What a server does is another matter than what it was told, and canary.py tries it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from drfsm.dr.endpoints import active
from drfsm.dr.endpoints.active import CLOSED, OPEN
from drfsm.dr.pointers import left_alone, ownership
from drfsm.dr.sites import edit, parsed, schedules, switched
from drfsm.dr.terms import Terms, terms_of
from drfsm.dr.workload import CONFIGMAP, Switches
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Manifest, World

BEFORE = "drfsm/writes-before"


def _switches(terms: Terms) -> Switches | None:
    writes = terms.workload.writes
    return writes.switches if writes and writes.gate == CONFIGMAP else None


def _observe(site: str) -> Callable[[World, Run], Any]:
    """See the document and, where that is the gate, the site's switch: exactly what an undo gives back."""

    def observe(world: World, run: Run) -> dict[str, Any]:
        seen = {"document": active.gate_of(world.store, active.key_of(run))}
        if (switches := _switches(terms_of(run.inputs))) is not None:
            lost = left_alone(run, site)
            seen["switches"] = {"not_asked": ownership.NOT_ASKED} if lost else _see(world, run, site, switches)
        return seen

    return observe


def _see(world: World, run: Run, site: str, switches: Switches) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    configmap = world.site(site).get("ConfigMap", terms.namespace, terms.configmap)
    if configmap is None:
        raise ActionFailed(
            f"ConfigMap {terms.namespace}/{terms.configmap} does not exist on {site}",
            hint="name the right ConfigMap with --configmap",
        )
    return _image(configmap, switches)


def _image(configmap: Manifest, switches: Switches) -> dict[str, Any]:
    annotations = configmap["metadata"].get("annotations") or {}
    return {**switched(configmap, switches), "before": annotations.get(BEFORE)}


def _judge(site: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]:
    """Judge a site's gate. By the document: closed where there is none, unknown where nobody can read it.

    A lost site's switch is not asked: then the document says what its gate is, and a fence has to stand in. A contract
    whose endpoints take no writes has no switch either, and one without endpoints has no gate that could be known.
    """

    def judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
        terms = terms_of(inputs)
        if not terms.workload.endpoints:
            return None
        switches = _switches(terms)
        if switches is not None and "not_asked" not in seen["switches"]:
            return {"on": OPEN, "off": CLOSED}.get(switches.position(seen["switches"]), "mixed")
        document = seen["document"]
        if document["site"] == "unreadable":
            return None
        return OPEN if (document["site"], document.get("writes")) == (site, OPEN) else CLOSED

    return judge


def _close(world: World, run: Run) -> dict[str, Any]:
    """Close the source site to writes. A lost site's switch is out of reach: its fence has to stand in."""
    terms = terms_of(run.inputs)
    site, switches = terms.source_site, _switches(terms)
    done = {"document": active.write(world, run, site, CLOSED, allowed=(site,))}
    if switches is not None and not left_alone(run, site):
        done["switches"] = _edit(world, run, site, _to_off(switches, run))
    return done


def _to_off(switches: Switches, run: Run) -> Callable[[Manifest], Manifest]:
    def change(live: Manifest) -> Manifest:
        now = _image(live, switches)
        if switches.position(now) == "off":
            return {}
        patch: Manifest = {"data": dict(switches.off)}
        if now["before"] is None:
            kept = {"run": run.id, "data": {name: now[name] for name in switches.names}}
            patch["metadata"] = {"annotations": {BEFORE: json.dumps(kept, sort_keys=True)}}
        return patch

    return change


def _open(world: World, run: Run) -> dict[str, Any]:
    """Open the target site to writes. It must be the declared one, and the source's switch off, if it is in reach."""
    terms = terms_of(run.inputs)
    site, switches = terms.target_site, _switches(terms)
    if switches is not None and not left_alone(run, terms.source_site):
        _check_closed(world, run, terms.source_site, switches)
    done = {"document": active.write(world, run, site, OPEN, allowed=(site,))}
    if switches is not None:

        def change(live: Manifest) -> Manifest:
            now = _image(live, switches)
            if switches.position(now) == "on" and now["before"] is None:
                return {}
            kept = parsed(now["before"]).get("data")
            recorded = kept if isinstance(kept, Mapping) and switches.position(kept) == "on" else switches.on
            return {"data": dict(recorded), "metadata": {"annotations": {BEFORE: None}}}

        done["switches"] = _edit(world, run, site, change)
    return done


def _check_closed(world: World, run: Run, site: str, switches: Switches) -> None:
    if switches.position(_see(world, run, site, switches)) != "off":
        raise Conflict(
            f"the gate of {site} is not closed, so the other one is not opened: both sites would take writes",
            hint=f"find out who opened it; set {', '.join(switches.names)} of {site} off, then `drfsm resume`",
        )


def _restore(world: World, run: Run) -> dict[str, Any]:
    """Restore the source site's gate exactly; what another process set since is not overwritten."""
    terms = terms_of(run.inputs)
    site, switches = terms.source_site, _switches(terms)
    image = run.undoing[f"{site}_gate"]
    document = image["document"]
    done = {"document": False}
    if switches is not None and "not_asked" not in image["switches"]:
        before = image["switches"]

        def change(live: Manifest) -> Manifest:
            now = _image(live, switches)
            if now == dict(before):
                return {}
            if switches.position(now) != "off":
                raise ActionFailed(
                    f"another process changed the gate of {site} since this run closed it: its values are not"
                    " overwritten",
                    hint="set the intended values, then `drfsm resume`; or `drfsm request waive_undo --reason …`",
                )
            data = {name: before[name] for name in switches.names}
            return {"data": data, "metadata": {"annotations": {BEFORE: before["before"]}}}

        done["switches"] = _edit(world, run, site, change)
    if document["site"] == site:  # LAST: what everybody else is told follows what the site does
        done["document"] = active.write(world, run, site, document["writes"], allowed=(site,))
    return done


def _edit(world: World, run: Run, site: str, change: Callable[[Manifest], Manifest]) -> bool:
    terms = terms_of(run.inputs)
    changed = edit(world.site(site), "ConfigMap", terms.namespace, terms.configmap, change)
    if changed:
        run.note(f"the gate of {site} is changed in ConfigMap {terms.configmap}")
    return changed


def _touch(of: Callable[[Terms], str]) -> Callable[[World, Run], Any]:
    """Touch the document, and the ConfigMap where that is the gate."""

    def touch(world: World, run: Run) -> dict[str, Any]:
        done, terms = active.touch(world, run), terms_of(run.inputs)
        if _switches(terms) is not None:
            site = of(terms)
            schedules.touching(site, run)
            if schedules.touched(world.site(site), run, "ConfigMap", terms.configmap):
                done["touched"].append(terms.configmap)
        return done

    return touch


FACTS = {f"{site}_gate": Fact(_observe(site), _judge(site)) for site in ("primary", "dr")}
_AT_SOURCE = Late(_touch(lambda terms: terms.source_site))
_AT_TARGET = Late(_touch(lambda terms: terms.target_site))
LATE = {"close_source_gate": _AT_SOURCE, "restore_source_gate": _AT_SOURCE, "open_target_gate": _AT_TARGET}
ACTIONS = {"close_source_gate": _close, "restore_source_gate": _restore, "open_target_gate": _open}
