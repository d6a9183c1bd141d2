"""Writes: create, replace, patch in four ways, delete one or many; all with dryRun and field managers.

This module computes the new object from the body, under the store's lock; the store checks and stores it, or refuses.
"""

import json
from functools import partial

from drfsm.sandbox.kubernetes import listing, managed, patches
from drfsm.sandbox.kubernetes.http_messages import (
    Answer,
    Options,
    Request,
    Target,
    answer,
    manifest_of,
    options_of,
    parsed,
    unsupported,
)
from drfsm.sandbox.kubernetes.listing import shown
from drfsm.sandbox.kubernetes.managed import Writer
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request, conflict, invalid, required
from drfsm.sandbox.kubernetes.resources import Resource
from drfsm.sandbox.kubernetes.schema import message_of, pruned, strict_refusal
from drfsm.sandbox.kubernetes.store import Finish, Store, timestamp

MERGE, STEPS = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
RETURNED = ("pods", "namespaces", "serviceaccounts", "persistentvolumeclaims")
ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


def create(store: Store, request: Request, where: Target) -> Answer:
    """Create an object."""
    manifest, warnings = _read(request, where)
    metadata = manifest["metadata"]
    if metadata.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    metadata.pop("managedFields", None)
    finish = finish_of(request, where)
    made = store.create(where.resource.plural, manifest, dry_run=request.dry_run, finish=finish)
    return shown(201, made, request, where, warnings=warnings)


def replace(store: Store, request: Request, where: Target) -> Answer:
    """Replace an object, or its status."""
    manifest, warnings = _read(request, where)
    _check_name(manifest, where)
    kept = store.update(
        where.resource.plural,
        manifest,
        status=where.status_only,
        dry_run=request.dry_run,
        finish=finish_of(request, where),
    )
    return shown(200, kept, request, where, warnings=warnings)


def patch(store: Store, request: Request, where: Target) -> Answer:
    """Patch an object, or its status; server-side apply may create it."""
    with store.alone():
        if request.media_type == APPLY:
            return _apply(store, request, where)
        old = store.peek(where.resource.plural, where.namespace, where.name)
        changed = patched(request, where.resource, old)
        try:
            manifest, warnings = _checked(request, where.resource, changed)
        except ApiError as refusal:
            raise _patch_refusal(changed, refusal) from None
        _check_same_kind(manifest, where.resource)
        _check_name(manifest, where)
        kept = store.update(
            where.resource.plural,
            manifest,
            status=where.status_only,
            dry_run=request.dry_run,
            finish=finish_of(request, where),
        )
        return shown(200, kept, request, where, warnings=warnings)


def _patch_refusal(changed: Manifest, refusal: ApiError) -> ApiError:
    """Return the refusal of a patch whose result can't be decoded; unlike that of a whole body it is Invalid."""
    value = json.dumps(json.dumps(changed, separators=(",", ":")))
    why = refusal.message.partition(" cannot be handled as a ")[2].partition(": ")[2] or refusal.message
    return invalid("", "", "", [("patch", "FieldValueInvalid", f"Invalid value: {value}: {why}")])


def patched(request: Request, resource: Resource | None, old: Manifest) -> Manifest:
    """Apply a request's patch to an object; without a resource, to one that has no lists to merge."""
    kind = request.media_type
    if kind not in (MERGE, STEPS, STRATEGIC):
        raise unsupported(STEPS, MERGE, STRATEGIC, APPLY)
    change = parsed(request.body, prefix="error decoding patch")
    if kind == STEPS:
        return patches.steps(old, change)
    if not isinstance(change, dict):
        raise bad_request("json: cannot unmarshal into Go value of type map[string]interface {}")
    if kind == STRATEGIC and resource is not None:
        return patches.strategic(message_of(resource), old, change)
    merged: Manifest = patches.merge(old, change)
    return merged


def _apply(store: Store, request: Request, where: Target) -> Answer:
    """Do a server-side apply."""
    resource, manager = where.resource, request.query.get("fieldManager")
    if not manager:
        raise invalid("PatchOptions", "meta.k8s.io", "", [required("fieldManager", "is required for apply patch")])
    applied, warnings = _checked(request, resource, _applied_object(request))
    _check_same_kind(applied, resource)
    applied.setdefault("metadata", {})["name"] = where.name
    _check_namespace(applied, where)
    if applied["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    try:
        live = store.peek(resource.plural, where.namespace, where.name)
    except ApiError as refusal:
        if refusal.reason != "NotFound" or where.part:
            raise
        live = {}
    writer = Writer(manager, "Apply", resource.api_version, where.part)
    force = request.says("force")
    new = managed.apply(message_of(resource), live, applied, writer, timestamp(), force=force)
    if live:
        kept = store.update(resource.plural, new, status=where.status_only, dry_run=request.dry_run)
    else:
        kept = store.create(resource.plural, new, dry_run=request.dry_run)
    return shown(200 if live else 201, kept, request, where, warnings=warnings)


def _applied_object(request: Request) -> Manifest:
    manifest = parsed(request.body, also_yaml=True)
    if not isinstance(manifest, dict):
        raise bad_request("error decoding YAML: the body is no object")
    return manifest


# --- deleting -------------------------------------------------------------------------------------------


def delete(store: Store, request: Request, where: Target) -> Answer:
    """Delete an object."""
    asked = options_of(request)
    with store.alone():
        old = store.peek(where.resource.plural, where.namespace, where.name)
        _check_preconditions(where, old, asked)
        last = _deleted(store, where.resource, old, asked)
        gone = not asked.dry_run and not _is_there(store, where)
    warned = where.resource.plural == "jobs" and asked.propagation is None
    warnings = (ORPHANS,) if warned else ()
    if gone and where.resource.plural not in RETURNED:
        return answer(200, _success(where.resource, old), warnings=warnings)
    return shown(200, last, request, where, warnings=warnings)


def delete_collection(store: Store, request: Request, where: Target) -> Answer:
    """Delete all objects that the selectors choose."""
    selection, asked = listing.filter_of(request, where), options_of(request)
    with store.alone():
        manifests, version = store.snapshot(where.resource.plural, where.namespace)
        chosen = [manifest for manifest in manifests if selection.matches(manifest)]
        last = [_deleted(store, where.resource, manifest, asked) for manifest in chosen]
    header = {"kind": f"{where.resource.kind}List", "apiVersion": where.resource.api_version}
    bare = [
        {name: value for name, value in manifest.items() if name not in ("apiVersion", "kind")} for manifest in last
    ]
    return answer(200, {**header, "metadata": {"resourceVersion": str(version)}, "items": bare})


def _deleted(store: Store, resource: Resource, old: Manifest, asked: Options) -> Manifest:
    # As batch/v1 has it: a Job that is deleted without a word about its pods leaves them.
    propagation = asked.propagation or ("Orphan" if resource.plural == "jobs" else "Background")
    metadata = old["metadata"]
    return store.delete(
        resource.plural,
        metadata.get("namespace", ""),
        metadata["name"],
        propagation=propagation,
        grace_seconds=asked.grace_seconds,
        dry_run=asked.dry_run,
    )


def _is_there(store: Store, where: Target) -> bool:
    try:
        store.peek(where.resource.plural, where.namespace, where.name)
    except ApiError:
        return False
    return True


def _check_preconditions(where: Target, old: Manifest, asked: Options) -> None:
    metadata = old["metadata"]
    checks = (
        ("UID", asked.uid, metadata["uid"], "deleted and then recreated"),
        ("ResourceVersion", asked.resource_version, metadata["resourceVersion"], "modified"),
    )
    for called, expected, actual, guess in checks:
        if expected and expected != actual:
            differ = f"the {called} in the precondition ({expected}) does not match the {called} in record ({actual})"
            # As the real one: here it names the kind, not the resource.
            kind = f"{where.resource.kind}.{where.resource.group}".rstrip(".")
            raise conflict(kind, where.name, f"{differ}. The object might have been {guess}")


def _success(resource: Resource, old: Manifest) -> Manifest:
    metadata = old["metadata"]
    about = {"group": resource.group} if resource.group else {}
    details = {"name": metadata["name"], **about, "kind": resource.plural, "uid": metadata["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


# --- bodies ---------------------------------------------------------------------------------------------


def _read(request: Request, where: Target) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest of a body, for its target, and warnings about it."""
    body = manifest_of(request)
    _check_same_kind(body, where.resource)
    manifest, warnings = _checked(request, where.resource, body)
    manifest.setdefault("metadata", {})
    _check_namespace(manifest, where)
    return manifest, warnings


def _checked(request: Request, resource: Resource, body: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Drop unknown fields: silently, with a warning, or not at all, as the client asks."""
    manifest, unknown = pruned(resource, body)
    validation = request.query.get("fieldValidation") or "Warn"
    if unknown and validation == "Strict":
        raise strict_refusal(unknown)
    warnings = tuple(f'unknown field "{path}"' for path in unknown) if validation == "Warn" else ()
    return {**manifest, "apiVersion": body.get("apiVersion", ""), "kind": body.get("kind", "")}, warnings


def _check_same_kind(manifest: Manifest, resource: Resource) -> None:
    version, kind = manifest.get("apiVersion") or "", manifest.get("kind") or ""
    if version and version != resource.api_version:
        mismatch = f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {resource.kind}'
        unknown = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        raise bad_request(f"{mismatch}: {unknown}")
    if kind and kind != resource.kind:
        mismatch = f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{mismatch}: the object provided is unrecognized (must be of type {resource.kind})")


def _check_namespace(manifest: Manifest, where: Target) -> None:
    if not where.resource.namespaced:
        return
    namespace = manifest["metadata"].get("namespace")
    if namespace and where.namespace and namespace != where.namespace:
        message = "the namespace of the provided object does not match the namespace sent on the request"
        raise bad_request(message)
    manifest["metadata"]["namespace"] = where.namespace


def _check_name(manifest: Manifest, where: Target) -> None:
    name = (manifest.get("metadata") or {}).get("name")
    if name != where.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({where.name})"
        raise bad_request(message if name else "name must be provided")
    _check_namespace(manifest, where)


def finish_of(request: Request, where: Target) -> Finish:
    """Return the function that records the field managers of an object as it is stored."""
    writer = Writer(request.manager, "Update", where.resource.api_version, where.part)
    return partial(_record, message_of(where.resource), writer)


def _record(kind: str, writer: Writer, new: Manifest, old: Manifest | None) -> None:
    managed.record(kind, old, new, writer, timestamp())
