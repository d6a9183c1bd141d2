"""Reads: one object, lists in pages, and watches; as tables if the client asks for them.

A list and all its pages are of one version, from which a watch can continue. A version that is too old is refused with
410 Expired: at once for a list, by an ERROR event for a watch, as the real server does.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from secrets import randbelow
from typing import NamedTuple

from attrs import evolve, frozen

from drfsm.sandbox.kubernetes import selectors, tables
from drfsm.sandbox.kubernetes.http_messages import Answer, Request, Shape, Target, answer, encoded, shape
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request, expired
from drfsm.sandbox.kubernetes.selectors import Predicate
from drfsm.sandbox.kubernetes.store import Change, Store

BOOKMARK_SECONDS = 10.0
WATCH_SECONDS = 1800
INITIAL_END = "k8s.io/initial-events-end"
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter."
)


class Token(NamedTuple):
    """Where the next page of a list begins."""

    version: int
    namespace: str
    name: str


@frozen
class Filter:
    """The selectors of a request."""

    text: str
    matches: Predicate


def filter_of(request: Request, where: Target) -> Filter:
    """Read the selectors of a request. Raises ApiError BadRequest."""
    labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
    by_label = selectors.labels(labels)
    by_field = selectors.fields(where.resource.plural, fields)
    return Filter(labels + fields, lambda manifest: by_label(manifest) and by_field(manifest))


def get(store: Store, request: Request, where: Target) -> Answer:
    """Answer with one object."""
    manifest = store.peek(where.resource.plural, where.namespace, where.name)
    return shown(200, manifest, request, where)


def shown(
    status: int, manifest: Manifest, request: Request, where: Target, *, warnings: tuple[str, ...] = ()
) -> Answer:
    """Answer with an object in the form that the client asks for."""
    form = shape(request)
    return answer(status, _shaped(form, where, manifest), warnings=warnings)


def _shaped(form: Shape, where: Target, manifest: Manifest, *, headers: bool = True) -> Manifest:
    if form.kind == "Table":
        table = tables.table(where.resource.plural, [manifest], include=form.include, headers=headers)
        return {**table, "metadata": {"resourceVersion": manifest["metadata"]["resourceVersion"]}}
    return tables.partial(manifest) if form.kind else manifest


# --- lists ----------------------------------------------------------------------------------------------


def list_(store: Store, request: Request, where: Target) -> Answer:
    """Answer with the objects of a target, or a page of them."""
    selection = filter_of(request, where)
    token = _token(request.query.get("continue", ""))
    manifests, version = _of_version(store, request, where, token)
    if token is not None:
        manifests = [manifest for manifest in manifests if _place(manifest) >= (token.namespace, token.name)]
    manifests = [manifest for manifest in manifests if selection.matches(manifest)]
    limit = request.number("limit") or 0
    page = manifests[:limit] if limit > 0 else manifests
    metadata: Manifest = {"resourceVersion": str(version)}
    if rest := len(manifests) - len(page):
        metadata["continue"] = _token_text(Token(version, *_place(manifests[len(page)])))
        if not selection.text:
            metadata["remainingItemCount"] = rest
    return answer(200, _listed(shape(request), where, page, metadata))


def _listed(form: Shape, where: Target, items: list[Manifest], metadata: Manifest) -> Manifest:
    resource = where.resource
    if form.kind == "Table":
        return {**tables.table(resource.plural, items, include=form.include), "metadata": metadata}
    if form.kind:
        header = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return {**header, "metadata": metadata, "items": [tables.partial(manifest) for manifest in items]}
    # As the real one: an item of a list doesn't say what it is.
    bare = [{k: v for k, v in manifest.items() if k not in ("apiVersion", "kind")} for manifest in items]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": bare}


def _of_version(store: Store, request: Request, where: Target, token: Token | None) -> tuple[list[Manifest], int]:
    plural, namespace = where.resource.plural, where.namespace
    if token is not None:
        try:
            return store.snapshot(plural, namespace, at=token.version)
        except ApiError:
            raise expired(TOO_OLD) from None
    asked = _version(request)
    if asked is not None and asked > store.version:
        raise _too_large(asked, store.version)
    if asked and request.query.get("resourceVersionMatch") == "Exact":
        return store.snapshot(plural, namespace, at=asked)
    return store.snapshot(plural, namespace)


def _too_large(asked: int, version: int) -> ApiError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {asked}, current: {version}"
    return ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def _version(request: Request) -> int | None:
    text = request.query.get("resourceVersion", "")
    if text and not text.isdecimal():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        if request.says("watch"):
            raise ApiError(500, "", message)  # as the real one, strange as it is
        raise bad_request(f"invalid resource version: {message}")
    return int(text) if text else None


def _place(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _token(text: str) -> Token | None:
    if not text:
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(text))
        return Token(int(fields["rv"]), str(fields["namespace"]), str(fields["name"]))
    except (ValueError, KeyError, TypeError):
        raise bad_request("invalid continue token: continue key is not valid") from None


def _token_text(token: Token) -> str:
    fields = {"v": "meta.k8s.io/v1", "rv": token.version, "namespace": token.namespace, "name": token.name}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


# --- watches --------------------------------------------------------------------------------------------


def watch(store: Store, request: Request, where: Target, stop: threading.Event) -> Answer:
    """Answer with a stream of changes, until the timeout or the server's stop."""
    if where.name:
        request = _narrowed(request, where.name)
    selection = filter_of(request, where)
    since, initial = _version(request), request.says("sendInitialEvents")
    if initial and request.query.get("resourceVersionMatch") != "NotOlderThan":
        why = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents"
        raise ApiError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {why} is provided')
    seconds = request.number("timeoutSeconds") or WATCH_SECONDS + randbelow(WATCH_SECONDS)
    view = _View(where, selection.matches, shape(request))
    bookmarks = request.says("allowWatchBookmarks")
    return Answer(200, _streamed(store, view, since, seconds, stop, initial=initial, bookmarks=bookmarks))


def _narrowed(request: Request, name: str) -> Request:
    fields = ",".join(filter(None, (request.query.get("fieldSelector"), f"metadata.name={name}")))
    return evolve(request, query={**request.query, "fieldSelector": fields})


class _View:
    """What one watch shows of the changes."""

    def __init__(self, where: Target, matches: Predicate, form: Shape) -> None:
        self.where, self.matches, self.form = where, matches, form
        self._headers = True

    def of(self, change: Change) -> bytes | None:
        """Return the event of a change. An object that begins or ceases to match is ADDED or DELETED."""
        before = change.previous is not None and self.matches(change.previous)
        after = change.type != "DELETED" and self.matches(change.object)
        if after:
            return self.event("MODIFIED" if before else "ADDED", change.object)
        if not before or change.previous is None:
            return None
        if change.type == "DELETED":
            return self.event("DELETED", change.object)
        last = change.previous
        version = change.object["metadata"]["resourceVersion"]
        return self.event("DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": version}})

    def event(self, kind: str, manifest: Manifest) -> bytes:
        """Return a line of the stream."""
        body = _shaped(self.form, self.where, manifest, headers=self._headers)
        self._headers = False
        return encoded({"type": kind, "object": body})

    def bookmark(self, version: int, *, initial: bool = False) -> bytes:
        """Return the BOOKMARK event with the version that the watch has reached."""
        resource = self.where.resource
        metadata: Manifest = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {INITIAL_END: "true"}
        header = {"kind": resource.kind, "apiVersion": resource.api_version}
        return encoded({"type": "BOOKMARK", "object": {**header, "metadata": metadata}})


def _streamed(
    store: Store,
    view: _View,
    since: int | None,
    seconds: float,
    stop: threading.Event,
    *,
    initial: bool,
    bookmarks: bool,
) -> Iterator[bytes]:
    plural, namespace = view.where.resource.plural, view.where.namespace
    version = since or 0
    if initial or not since:
        manifests, version = store.snapshot(plural, namespace)
        yield from (view.event("ADDED", manifest) for manifest in manifests if view.matches(manifest))
        if initial and bookmarks:
            yield view.bookmark(version, initial=True)
    told_at = time.monotonic()
    try:
        for change in store.changes(plural, namespace, version, seconds, stop):
            if isinstance(change, Change):
                yield view.of(change) or b""
            elif bookmarks and time.monotonic() - told_at > BOOKMARK_SECONDS:
                told_at = time.monotonic()
                yield view.bookmark(change)
            else:
                yield b""  # so that the server sees whether the client is still there
    except ApiError as refusal:
        yield encoded({"type": "ERROR", "object": refusal.body()})
