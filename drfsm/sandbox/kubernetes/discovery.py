"""Discovery: versions, groups, resources, and enough of OpenAPI for kubectl.

The documents are made from resources.py and schema.py; api.py serves them. kubectl reads in OpenAPI whether the server
validates a kind (``fieldValidation``), and explains fields by it.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from drfsm.sandbox.kubernetes.refusals import Manifest
from drfsm.sandbox.kubernetes.resources import BY_PATH, KEPT, STANDARD, VIRTUAL, Resource
from drfsm.sandbox.kubernetes.schema import Field, message, message_of, reachable

VERSION = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.4",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-04-15T00:00:00Z",
    "goVersion": "go1.25.9",
    "compiler": "gc",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# (parent, part) -> (kind, group, version, verbs)
PARTS: Mapping[tuple[str, str], tuple[str, str, str, tuple[str, ...]]] = {
    ("pods", "log"): ("Pod", "", "v1", ("get",)),
    ("pods", "binding"): ("Binding", "", "v1", ("create",)),
    ("pods", "eviction"): ("Eviction", "policy", "v1", ("create",)),
    ("serviceaccounts", "token"): ("TokenRequest", "authentication.k8s.io", "v1", ("create",)),
    ("deployments", "scale"): ("Scale", "autoscaling", "v1", ("get", "patch", "update")),
    ("replicasets", "scale"): ("Scale", "autoscaling", "v1", ("get", "patch", "update")),
}
ALL = (*KEPT, *VIRTUAL)
OPENAPI_TYPES = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "time": {"type": "string", "format": "date-time"},
    "duration": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"type": "string"},
    "intstr": {"type": "string", "format": "int-or-string"},
}


def document(path: str, *, aggregated: bool) -> Manifest | None:
    """Return the document at a path (``/apis``, ``/apis/batch/v1``, ``/openapi/v3``…); None if there is none."""
    if path == "/version":
        return VERSION
    if path == "/api":
        return _aggregated("") if aggregated else {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return _aggregated("apis") if aggregated else _groups()
    if path.startswith("/openapi/v3"):
        return _openapi(path.removeprefix("/openapi/v3").strip("/"))
    return _resources(*_group_version(path))


def _group_version(path: str) -> tuple[str, str]:
    words = path.strip("/").split("/")
    if words == ["api", "v1"]:
        return "", "v1"
    return (words[1], words[2]) if words[0] == "apis" and len(words) == 3 else ("", "")  # noqa: PLR2004


def serves(path: str) -> bool:
    """Return whether a path lies below the version of an existing group."""
    words = path.strip("/").split("/")
    place = "/".join(words[: 2 if words[0] == "api" else 3])
    return bool(_in(*_group_version(place)))


def _in(group: str, version: str) -> list[Resource]:
    return [resource for resource in ALL if (resource.group, resource.version) == (group, version)]


def _named_groups() -> list[str]:
    return sorted({resource.group for resource in ALL if resource.group})


def _groups() -> Manifest:
    groups = []
    for group in _named_groups():
        versions = [{"groupVersion": f"{group}/v1", "version": "v1"}]
        groups.append({"name": group, "versions": versions, "preferredVersion": versions[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def verbs(resource: Resource) -> tuple[str, ...]:
    """Return the verbs of a resource."""
    if not resource.virtual:
        return STANDARD
    return ("create",)


def parts(resource: Resource) -> dict[str, tuple[str, str, str, tuple[str, ...]]]:
    """Return a resource's subresources: name -> (kind, group, version, verbs)."""
    own = (resource.kind, resource.group, resource.version, ("get", "patch", "update"))
    status = {"status": own} if resource.statuses else {}
    return {**status, **{part: row for (parent, part), row in PARTS.items() if parent == resource.plural}}


def _resources(group: str, version: str) -> Manifest | None:
    resources = _in(group, version)
    if not resources:
        return None
    rows: list[Manifest] = []
    for resource in resources:
        about = {"shortNames": list(resource.short), "categories": list(resource.categories)}
        rows.append(
            {
                "name": resource.plural,
                "singularName": resource.singular,
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": list(verbs(resource)),
                **{key: value for key, value in about.items() if value},
            }
        )
        for part, (kind, part_group, part_version, allowed) in parts(resource).items():
            home = {"group": part_group, "version": part_version} if part_group != group else {}
            row = {"name": f"{resource.plural}/{part}", "singularName": "", "namespaced": resource.namespaced}
            rows.append({**row, "kind": kind, "verbs": list(allowed), **home})
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def _aggregated(root: str) -> Manifest:
    names = _named_groups() if root else [""]
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [{"version": "v1", "resources": [_discovered(resource) for resource in _in(group, "v1")]}],
        }
        for group in names
    ]
    header = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
    return {**header, "items": items}


def _discovered(resource: Resource) -> Manifest:
    subresources = [
        {
            "subresource": part,
            "responseKind": {"group": group, "version": version, "kind": kind},
            "verbs": list(allowed),
        }
        for part, (kind, group, version, allowed) in parts(resource).items()
    ]
    return {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(verbs(resource)),
        "shortNames": list(resource.short),
        "categories": list(resource.categories),
        "subresources": subresources,
    }


# --- OpenAPI --------------------------------------------------------------------------------------------


@cache
def _openapi(place: str) -> Manifest | None:
    places = ["api/v1", *(f"apis/{group}/v1" for group in _named_groups())]
    if not place:
        return {"paths": {word: {"serverRelativeURL": f"/openapi/v3/{word}?hash=sandbox"} for word in places}}
    if place not in places:
        return None
    resources = _in(*_group_version(f"/{place}"))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": {path: operations for resource in resources for path, operations in _paths(place, resource)},
        "components": {"schemas": {_schema_name(name): _schema(name) for name in _messages(resources)}},
    }


def _messages(resources: Iterable[Resource]) -> list[str]:
    return reachable([message_of(resource) for resource in resources])


def _paths(place: str, resource: Resource) -> Iterable[tuple[str, Manifest]]:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    checked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    answer = {"$ref": f"#/components/schemas/{_schema_name(message_of(resource))}"}
    responses = {"200": {"description": "OK", "content": {"application/json": {"schema": answer}}}}

    def operation(action: str) -> Manifest:
        marks = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind}
        return {"parameters": [checked], "responses": responses, **marks}

    base = (
        f"/{place}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"/{place}/{resource.plural}"
    )
    yield base, {"get": operation("list"), "post": operation("post")}
    if not resource.virtual:
        single = {"get": operation("get"), "put": operation("put"), "patch": operation("patch")}
        yield f"{base}/{{name}}", single


def _schema_name(name: str) -> str:
    package, _, kind = name.partition("/")
    group, _, version = package.partition(".")
    if group == "meta":
        return f"io.k8s.apimachinery.pkg.apis.meta.{version}.{kind}"
    return f"io.k8s.api.{group}.{version}.{kind}"


def _schema(name: str) -> Manifest:
    fields = {field.name: _property(field) for field in message(name).fields.values()}
    schema: Manifest = {"type": "object", "properties": fields}
    for resource in ALL:
        if message_of(resource) == name:
            kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
            schema["x-kubernetes-group-version-kind"] = [kind]
            schema["properties"] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **fields}
    return schema


def _property(field: Field) -> Manifest:
    if "/" in field.type:
        item: dict[str, Any] = {"allOf": [{"$ref": f"#/components/schemas/{_schema_name(field.type)}"}]}
    else:
        item = dict(OPENAPI_TYPES.get(field.type, {"type": "object"}))
    if field.mapped:
        return {"type": "object", "additionalProperties": item}
    if not field.repeated:
        return item
    marks: Manifest = {}
    if field.merge is not None:
        marks["x-kubernetes-patch-strategy"] = "merge"
        if field.merge:
            marks["x-kubernetes-patch-merge-key"] = field.merge
    return {"type": "array", "items": item, **marks}


def known(group: str, version: str, plural: str) -> Resource | None:
    """Return the resource of a group, version and plural; None if there is none."""
    return BY_PATH.get((group, version, plural))
