"""Writes that are tried: a canary on the new owner, and a write that the other site must refuse.

What is written carries an idempotency key of this run. So after a crash it is found again by that key and removed,
before anything is written again; a second request with the key makes no second item. A try on a site that must refuse
is removed at once where the site takes it, and is an error that names the site.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, json_of
from drfsm.dr.endpoints.declared import declared, door_of, https_of
from drfsm.dr.endpoints.serving import address_of
from drfsm.dr.pointers import left_alone
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import SITES, Canary
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Unreachable, Unreadable
from drfsm.world import Door, HttpReply, World

_OK, _CREATED, _NO_CONTENT, _GONE = 200, 201, 204, 404
_LONGEST_KEY = 200


@frozen
class _Api:
    """The requests of a canary to one server of an endpoint."""

    world: World
    run: Run
    door: Door
    canary: Canary
    where: str

    def create(self, key: str) -> HttpReply:
        """Ask for a new item."""
        body = self.canary.body.replace("{key}", key).encode()
        headers = {"Content-Type": "application/json", self.canary.key_header: key}
        return self._send("POST", self.canary.create, headers, body)

    def delete(self, item_id: str) -> None:
        """Remove an item. An absent item is not an error."""
        reply = self._send("DELETE", self.canary.item.replace("{id}", item_id), {}, b"")
        if reply.status not in (_OK, 202, _NO_CONTENT, _GONE):
            raise self.failed(f"DELETE of {item_id} is answered with {reply.status}")

    def read(self, item_id: str) -> Any:
        """Return an item; None where there is none."""
        path = self.canary.item.replace("{id}", item_id)
        reply = https_of(self.world).read(self.door, path, seconds=self.canary.within_seconds)
        return None if reply.status == _GONE else self._content(reply, f"GET {path}")

    def made_with(self, key: str) -> list[str]:
        """Return the ids of the items that were made with a key."""
        path = self.canary.list.replace("{key}", key)
        reply = https_of(self.world).read(self.door, path, seconds=self.canary.within_seconds)
        content = self._content(reply, f"GET {path}")
        items = dotted(content, self.canary.items) if self.canary.items else content
        if not isinstance(items, list):
            raise Unreadable(f"{self.where}: GET {path} gives no list of items", fault="site")
        return [_id(dotted(item, self.canary.id)) for item in items if dotted(item, self.canary.key) == key]

    def failed(self, words: str) -> ActionFailed:
        """Return the error for an answer that the contract does not allow."""
        return ActionFailed(f"{self.where}: {words}", hint="look at the site's logs, then `drfsm resume`")

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self.run.check()
        return https_of(self.world).send(
            self.door, method, path, headers=headers, body=body, seconds=self.canary.within_seconds
        )

    def _content(self, reply: HttpReply, what: str) -> Any:
        if reply.status != _OK:
            raise self.failed(f"{what} is answered with {reply.status}")
        return json_of(reply.body, f"{self.where}: the answer to {what}")


def dotted(content: Any, field: str) -> Any:
    """Return a field of JSON by its names with dots between them; None where there is none."""
    for name in field.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _id(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    is_plain = text.isascii() and text.isprintable() and not any(character in text for character in " /?#%\\")
    if text in ("", ".", "..") or not is_plain:
        raise Unreadable(f"an item's id is {bounded(value, 60)}, which drfsm puts into no path", fault="site")
    return text


def key_of(run: Run, what: str = "canary") -> str:
    """Return the idempotency key of a run's writes: no other run has the same."""
    return f"drfsm-{what}-{run.id}"[:_LONGEST_KEY]


def _apis(world: World, run: Run, site: str) -> dict[str, _Api]:
    return {
        name: _Api(world, run, door_of(endpoint, address_of(endpoint, site)), endpoint.canary, f"{name} on {site}")
        for name, endpoint in declared(terms_of(run.inputs)).items()
        if endpoint.canary is not None
    }


def _observe(world: World, run: Run) -> dict[str, Any]:
    """Look on the new owner for what this run wrote and did not remove."""
    site = terms_of(run.inputs).target_site
    return {
        name: [item for what in ("canary", "refusal") for item in api.made_with(key_of(run, what))]
        for name, api in _apis(world, run, site).items()
    }


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if not seen:
        return "none"
    return "left" if any(seen.values()) else "clean"


def _remove(world: World, run: Run) -> dict[str, Any]:
    """Remove whatever this run's tries left on the new owner."""
    removed = {}
    for name, api in _apis(world, run, terms_of(run.inputs).target_site).items():
        removed[name] = [item for what in ("canary", "refusal") for item in _removed(api, key_of(run, what))]
    return {"removed": removed}


def _removed(api: _Api, key: str) -> list[str]:
    item_ids = api.made_with(key)
    for item_id in item_ids:
        api.delete(item_id)
    return item_ids


def _run(world: World, run: Run) -> dict[str, Any]:
    """Write, read back, list and delete on the new owner. What an earlier try left is removed first."""
    site, done = terms_of(run.inputs).target_site, {}
    for name, api in _apis(world, run, site).items():
        left = _removed(api, key_of(run))
        done[name] = {"id": _once(api, key_of(run)), "removed_before": left}
        run.note(f"{api.where} took a write, gave it back, and removed it")
    return {"site": site, "endpoints": done}


def _once(api: _Api, key: str) -> str:
    item_id = _made(api, key)
    if _made(api, key) != item_id:
        raise api.failed(f"a repeated write with the header {api.canary.key_header} makes a second item")
    item = api.read(item_id)
    if item is None or dotted(item, api.canary.key) != key:
        raise api.failed(f"item {item_id} was acknowledged, and reading it does not give it back")
    if item_id not in api.made_with(key):
        raise api.failed(f"item {item_id} was acknowledged, and the list does not have it")
    api.delete(item_id)
    if api.made_with(key):
        raise api.failed(f"item {item_id} was deleted, and the list still has it")
    return item_id


def _made(api: _Api, key: str) -> str:
    reply = api.create(key)
    if reply.status not in api.canary.created:
        raise api.failed(f"a write is answered with {reply.status} instead of {api.canary.created[0]}")
    return _id(dotted(json_of(reply.body, f"{api.where}: the created item"), api.canary.id))


def _refused(sites: tuple[str, ...] | None) -> Any:
    """Try a write on each of these sites (None: the source), which must refuse it. A lost site is not asked."""

    def try_refusals(world: World, run: Run) -> dict[str, Any]:
        asked = sites or (terms_of(run.inputs).source_site,)
        seen: dict[str, Any] = {}
        for site in asked:
            if left_alone(run, site):
                seen[site] = "not asked"
                continue
            seen[site] = {
                name: _refusal(api, key_of(run, "refusal"), site) for name, api in _apis(world, run, site).items()
            }
        return {"refused": seen}

    return try_refusals


def _refusal(api: _Api, key: str, site: str) -> str:
    """Return how a site refused a write. Raises ActionFailed where it took it, Unreachable without a fence."""
    try:
        reply = api.create(key)
    except Unreachable as fault:
        if terms_of(api.run.inputs).relies_on_fence(site):
            return f"no answer, and its fence stands in: {fault.what}"
        raise
    if reply.status in api.canary.refused:
        return f"refused with {reply.status}"
    if reply.status in api.canary.created or reply.status in (_OK, _CREATED):
        _removed(api, key)
        raise ActionFailed(
            f"{api.where} took a write although its gate is closed; the write was removed again",
            hint="find out why its server does not heed the gate, and stop it; then `drfsm resume`",
        )
    raise api.failed(f"a write is answered with {reply.status}, by which nobody can tell whether it was refused")


FACTS = {"canary": Fact(_observe, _judge)}
_NO_CONDITION = Late(settles="a request to the workload's API has no condition")
LATE = {"run_canary": _NO_CONDITION, "remove_canary": Late(settles="a deletion lands once or twice, with one result")}
ACTIONS = {
    "run_canary": _run,
    "remove_canary": _remove,
    "check_old_site_refuses": _refused(None),
    "check_both_sites_refuse": _refused(SITES),
}
