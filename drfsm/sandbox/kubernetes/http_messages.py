"""HTTP requests and answers as values: paths, queries, bodies and media types of the Kubernetes API.

server.py reads Requests from sockets and writes Answers to them; api.py and the modules behind it turn one into the
other. Nothing here knows of sockets or of stored objects.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import yaml
from attrs import Factory, frozen

from drfsm.sandbox.kubernetes import discovery, protobuf
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request, invalid
from drfsm.sandbox.kubernetes.refusals import unsupported as refused_word
from drfsm.sandbox.kubernetes.resources import Resource

JSON, YAML = "application/json", "application/yaml"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
MASTERS = ("system:masters", "system:authenticated")  # what every user of the sandbox is
TRUE = ("true", "1", "t", "T", "True", "TRUE")


@frozen
class Request:
    """A request. Header names are lower case; the first value of a repeated parameter counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: str
    groups: tuple[str, ...] = MASTERS

    def says(self, name: str) -> bool:
        """Return whether a parameter is true."""
        return self.query.get(name) in TRUE

    def number(self, name: str) -> int | None:
        """Return a parameter as a number; None without it. Raises ApiError BadRequest."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored. Raises ApiError Invalid for anything but ``All``."""
        return _dry_run(self.query.get("dryRun"))

    @property
    def manager(self) -> str:
        """The field manager, else the name of the client's program."""
        agent = self.headers.get("user-agent", "unknown").partition("/")[0]
        return self.query.get("fieldManager") or agent[:128] or "unknown"

    @property
    def media_type(self) -> str:
        """The body's media type."""
        return self.headers.get("content-type", JSON).partition(";")[0].strip() or JSON


@frozen
class Answer:
    """An answer: whole, or a stream of pieces that ends when the iterator does."""

    status: int
    body: bytes | Iterator[bytes]
    content_type: str = JSON
    warnings: tuple[str, ...] = ()
    retry_after_seconds: int | None = None


@frozen
class Target:
    """What a path names: a resource in one or all namespaces, one object, or a part of one (status, log, scale)."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    part: str = ""

    @property
    def status_only(self) -> bool:
        """Whether only the object's status is meant."""
        return self.part == "status"


@frozen
class Options:
    """The options of a deletion."""

    propagation: str | None = None
    grace_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def answer(status: int, body: Any, *, warnings: tuple[str, ...] = (), content_type: str = JSON) -> Answer:
    """Return an answer of JSON."""
    return Answer(status, encoded(body), content_type, warnings)


def encoded(body: Any) -> bytes:
    """Return JSON without spaces, and a newline."""
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def missing() -> ApiError:
    """Return the refusal of a path that names nothing."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def target(path: str) -> Target:
    """Read a resource's path. Raises ApiError NotFound if there is no such resource."""
    words = [unquote(word) for word in path.strip("/").split("/")]
    if words[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", words[2:]
    elif words[0] == "apis" and len(words) > 3:  # noqa: PLR2004  apis, group, version, resource
        group, version, rest = words[1], words[2], words[3:]
    else:
        raise missing()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):  # noqa: PLR2004
        namespace, rest = rest[1], rest[2:]
    resource = discovery.known(group, version, rest[0])
    if resource is None or len(rest) > 3 or not all(rest):  # noqa: PLR2004  resource, name, part
        raise missing()
    name, part = [*rest[1:], "", ""][:2]
    if (namespace and not resource.namespaced) or (name and resource.namespaced and not namespace):
        raise missing()
    if part and part not in discovery.parts(resource):
        raise missing()
    return Target(resource, namespace, name, part)


def verb(request: Request, where: Target) -> str:
    """Return the verb, as authorization names it (get, list, watch, ...). Raises ApiError MethodNotAllowed."""
    if request.method == "GET":
        if request.says("watch"):
            return "watch"
        action = "get" if where.name else "list"
    elif request.method == "DELETE":
        action = "delete" if where.name else "deletecollection"
    else:
        action = VERBS.get(request.method, "")
    allowed = discovery.parts(where.resource)[where.part][3] if where.part else discovery.verbs(where.resource)
    named = action in ("get", "update", "patch", "delete") or (action == "create" and where.part)
    if action not in allowed or bool(where.name) is not bool(named):
        message = "the server does not allow this method on the requested resource"
        raise ApiError(405, "MethodNotAllowed", message, {})
    return action


def manifest_of(request: Request) -> Manifest:
    """Decode a body: JSON, YAML, or kubectl's protobuf. Raises ApiError UnsupportedMediaType, BadRequest."""
    kind = request.media_type
    if kind == protobuf.MEDIA_TYPE:
        return protobuf.decode(request.body)
    if kind not in (JSON, YAML):
        raise unsupported(JSON, YAML, protobuf.MEDIA_TYPE)
    manifest = parsed(request.body, also_yaml=kind == YAML)
    if not isinstance(manifest, dict):
        raise bad_request(f"{UNTYPED}: cannot unmarshal into Go value")
    return manifest


UNTYPED = "couldn't get version/kind; json parse error"


def parsed(body: bytes, *, also_yaml: bool = False, prefix: str = UNTYPED) -> Any:
    """Parse JSON, or YAML. Raises ApiError BadRequest, with a message that begins with ``prefix``."""
    try:
        return json.loads(body)
    except ValueError as fault:
        if not also_yaml:
            raise bad_request(f"{prefix}: {fault}") from None
    try:
        return yaml.safe_load(body)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise bad_request(f"error decoding YAML: {fault}") from None


def unsupported(*accepted: str) -> ApiError:
    """Return the refusal of a body's media type."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message)


def options_of(request: Request) -> Options:
    """Read the options of a deletion from the body, else from the query. Raises ApiError BadRequest, Invalid."""
    body = manifest_of(request) if request.body.strip() else {}
    conditions = body.get("preconditions") or {}
    propagation = body.get("propagationPolicy") or request.query.get("propagationPolicy")
    orphan = body.get("orphanDependents", request.query.get("orphanDependents"))
    if orphan is not None and propagation is None:
        propagation = "Orphan" if orphan in (True, *TRUE) else "Background"
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        fault = refused_word("propagationPolicy", propagation, ("Foreground", "Background", "Orphan", "nil"))
        raise invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    grace = body.get("gracePeriodSeconds")
    dry_run = body.get("dryRun") or [request.query.get("dryRun")]
    return Options(
        propagation,
        request.number("gracePeriodSeconds") if grace is None else int(grace),
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
        any(_dry_run(directive) for directive in dry_run),
    )


def _dry_run(directive: str | None) -> bool:
    if directive not in (None, "", "All"):
        raise ApiError(422, "Invalid", f'dryRun: Unsupported value: "{directive}": supported values: "All"')
    return directive == "All"


@frozen
class Shape:
    """The form in which the client asks for objects: whole, as rows of a table, or their metadata alone."""

    kind: str = ""  # Table, PartialObjectMetadata, or "" as they are
    include: str = "Metadata"
    media_type: str = Factory(lambda self: f"{JSON};as={self.kind}" if self.kind else JSON, takes_self=True)


def shape(request: Request) -> Shape:
    """Return the first form in the Accept header that is supported."""
    for media_range in request.headers.get("accept", "").split(","):
        words = dict(word.strip().partition("=")[::2] for word in media_range.split(";"))
        form, version = words.get("as", ""), words.get("v", "")
        if JSON not in words or (form and (words.get("g"), version) != ("meta.k8s.io", "v1")):
            continue
        if form in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
            return Shape(form.removesuffix("List"), request.query.get("includeObject", "Metadata"))
        if not form:
            break
    return Shape()
