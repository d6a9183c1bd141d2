"""The valid responses of a cluster's API: the shape of every kind, and the meaning of each status. Pure; no requests.

A response counts only if it fits the request: kind, apiVersion, name, namespace and labels match, and every field that
drfsm reads has its type (SHAPES lists them all, so no reader checks again). Any other response (a login page, an empty
body, a Status instead of a list, another kind) is Unreadable and never means that an object is absent. A 404 means that
only if it is a Kubernetes Status that names the requested object. An optional field may also be null, as Kubernetes
writes absent fields: it is then removed. Used by kube.py.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from attrs import frozen

from drfsm import claims
from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable
from drfsm.world import Manifest

LARGEST_OBJECT_BYTES = 8 << 20  # etcd keeps no object above some 1.5 MB
LARGEST_PAGE_BYTES = 32 << 20
_STATUS_WORDS = 300  # characters of a refusal's own message


class Kind(NamedTuple):
    """Where the API keeps objects of a kind."""

    api: str
    plural: str
    namespaced: bool = True

    @property
    def version(self) -> str:
        """Return the apiVersion of its objects."""
        return self.api.removeprefix("/apis/").removeprefix("/api/")

    @property
    def group(self) -> str:
        """Return its API group, "" for the core."""
        return self.version.rpartition("/")[0]


KINDS: Mapping[str, Kind] = {
    "Namespace": Kind("/api/v1", "namespaces", namespaced=False),
    "Node": Kind("/api/v1", "nodes", namespaced=False),
    "Pod": Kind("/api/v1", "pods"),
    "ConfigMap": Kind("/api/v1", "configmaps"),
    "Event": Kind("/api/v1", "events"),
    "Secret": Kind("/api/v1", "secrets"),
    "ServiceAccount": Kind("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": Kind("/api/v1", "persistentvolumeclaims"),
    "Job": Kind("/apis/batch/v1", "jobs"),
    "CronJob": Kind("/apis/batch/v1", "cronjobs"),
    "Deployment": Kind("/apis/apps/v1", "deployments"),
    "Role": Kind("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Kind("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    # Reviews: sent by POST, and not stored.
    "SelfSubjectAccessReview": Kind("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False),
    "SelfSubjectReview": Kind("/apis/authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False),
}
REVIEWS = ("SelfSubjectAccessReview", "SelfSubjectReview")


class Asked(NamedTuple):
    """A request: ``method``, the site, the kind of object, and the name where it is for one object."""

    site: str
    method: str
    kind: str
    namespace: str = ""
    name: str = ""
    labels: str = ""
    kubeconfig: str = ""
    continues: bool = False  # a list, from where its last page ended

    @property
    def words(self) -> str:
        """Return the request in words: ``GET Job batch/x on dr``."""
        place = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.method} {self.kind}{f' {place}' if place else ''} on {self.site}"

    def unreadable(self, why: str) -> Unreadable:
        """Return the error for a response that does not fit the request."""
        what = f"invalid response to {self.words}: {why}"
        hint = f"is there a proxy or a login page in between? {self.kubectl} get --raw /version shows what answers"
        return Unreadable(what, hint=hint, fault="site")

    @property
    def kubectl(self) -> str:
        """Return the kubectl command for the same cluster."""
        return f"kubectl --kubeconfig {shlex.quote(self.kubeconfig)}"


class Answer(NamedTuple):
    """A response: ``media_type`` without parameters, the whole ``body``, the seconds of pause that it asks for."""

    status: int
    media_type: str
    body: bytes
    retry_after: int = 0


class NotThere(ActionFailed):
    """The requested object does not exist: the cluster says so and names it."""


class Expired(Unreachable):
    """The list expired while it was paged: its next page is no longer available."""


# --- shapes ---------------------------------------------------------------------------------------------


@frozen
class Leaf:
    """A value without parts."""

    words: str
    fits: Callable[[Any], bool]


@frozen
class Each:
    """A list of values of one shape."""

    of: "Shape"
    least: int = 0


@frozen
class Fields:
    """An object: its required fields and its optional fields. Other fields are ignored."""

    must: Mapping[str, "Shape"]
    may: Mapping[str, "Shape"]


Shape = Leaf | Each | Fields


def _object(*, must: Mapping[str, Shape] | None = None, **may: Shape) -> Fields:
    return Fields(must or {}, may)


def _one_of(*words: str) -> Leaf:
    return Leaf(f"one of {', '.join(words)}", lambda value: value in words and isinstance(value, str))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_MARK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TEXT = Leaf("a text", lambda value: isinstance(value, str))
WHOLE = Leaf("a whole number, 0 or more", _is_whole)
FLAG = Leaf("true or false", lambda value: isinstance(value, bool))
TIME = Leaf("a time with an offset", lambda value: claims.moment(value) is not None)
TEXTS = Leaf("an object of strings", _is_texts)
MARK = Leaf("letters, digits, '.', '_' and '-'", lambda value: isinstance(value, str) and bool(_MARK.fullmatch(value)))
NAME = Leaf("a Kubernetes name", lambda value: claims.is_name("Kubernetes name", value))
RBAC_NAME = Leaf("the name of a role", lambda value: claims.is_name("RBAC name", value))

_OWNER = _object(must={"kind": TEXT, "name": TEXT, "uid": TEXT}, controller=FLAG)
_CONDITIONS = Each(
    _object(must={"type": TEXT, "status": _one_of("True", "False", "Unknown")}, reason=TEXT, message=TEXT)
)
_NAMED = _object(must={"name": TEXT}, optional=FLAG)
_KEYED = _object(must={"name": TEXT, "key": TEXT}, optional=FLAG)
_ITEMS = Each(_object(must={"key": TEXT}))
_PROJECTED = _object(must={"name": TEXT}, optional=FLAG, items=_ITEMS)
_CONTAINER = _object(
    must={"name": TEXT, "image": TEXT},
    env=Each(
        _object(
            must={"name": TEXT},
            value=TEXT,
            valueFrom=_object(configMapKeyRef=_KEYED, secretKeyRef=_KEYED),
        )
    ),
    envFrom=Each(_object(prefix=TEXT, configMapRef=_NAMED, secretRef=_NAMED)),
)
_VOLUME = _object(
    must={"name": TEXT},
    emptyDir=_object(),
    persistentVolumeClaim=_object(must={"claimName": TEXT}),
    configMap=_object(name=TEXT, optional=FLAG, items=_ITEMS),
    secret=_object(secretName=TEXT, optional=FLAG, items=_ITEMS),
    projected=_object(
        sources=Each(_object(configMap=_PROJECTED, secret=_PROJECTED)),
    ),
)
_POD = _object(
    must={"containers": Each(_CONTAINER, least=1)},
    initContainers=Each(_CONTAINER),
    volumes=Each(_VOLUME),
    imagePullSecrets=Each(_object(must={"name": TEXT})),
    nodeName=TEXT,
    restartPolicy=TEXT,
    serviceAccountName=TEXT,
)
_TEMPLATE = _object(must={"spec": _POD}, metadata=_object(labels=TEXTS, annotations=TEXTS))
_JOB = _object(must={"template": _TEMPLATE})
_STATE = _object(
    waiting=_object(reason=TEXT, message=TEXT),
    terminated=_object(reason=TEXT, message=TEXT, exitCode=WHOLE),
)
_CONTAINER_STATUSES = Each(_object(must={"name": TEXT}, state=_STATE, lastState=_STATE))
_RULE_FIELDS = ("apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs")

SHAPES: Mapping[str, Fields] = {
    "Namespace": _object(spec=_object(), status=_object(phase=TEXT)),
    "Node": _object(
        must={"spec": _object(unschedulable=FLAG)},
        status=_object(conditions=_CONDITIONS, nodeInfo=_object(architecture=TEXT)),
    ),
    "Pod": _object(
        must={"spec": _POD},
        status=_object(
            phase=_one_of("Pending", "Running", "Succeeded", "Failed", "Unknown"),
            reason=TEXT,
            message=TEXT,
            conditions=_CONDITIONS,
            initContainerStatuses=_CONTAINER_STATUSES,
            containerStatuses=_CONTAINER_STATUSES,
        ),
    ),
    "ConfigMap": _object(data=TEXTS, binaryData=TEXTS, immutable=FLAG),
    "Event": _object(
        must={"involvedObject": _object(kind=TEXT, name=TEXT, namespace=TEXT)},
        reason=TEXT,
        message=TEXT,
        lastTimestamp=TIME,
    ),
    "Secret": _object(data=TEXTS, stringData=TEXTS, type=TEXT, immutable=FLAG),
    "ServiceAccount": _object(imagePullSecrets=Each(_object(must={"name": TEXT}))),
    "PersistentVolumeClaim": _object(must={"spec": _object()}, status=_object(phase=TEXT)),
    "Job": _object(
        must={"spec": _JOB},
        status=_object(conditions=_CONDITIONS, active=WHOLE, terminating=WHOLE, succeeded=WHOLE, failed=WHOLE),
    ),
    "CronJob": _object(
        must={
            "spec": _object(
                must={
                    "schedule": TEXT,
                    "jobTemplate": _object(must={"spec": _JOB}, metadata=_object(labels=TEXTS, annotations=TEXTS)),
                },
                suspend=FLAG,
                timeZone=TEXT,
                startingDeadlineSeconds=WHOLE,
            )
        },
        status=_object(lastScheduleTime=TIME, lastSuccessfulTime=TIME, active=Each(_object(name=TEXT))),
    ),
    "Deployment": _object(
        must={"spec": _object(must={"template": _TEMPLATE}, replicas=WHOLE)},
        status=_object(conditions=_CONDITIONS, availableReplicas=WHOLE, observedGeneration=WHOLE),
    ),
    "Role": _object(rules=Each(Fields({}, dict.fromkeys(_RULE_FIELDS, Each(TEXT))))),
    "RoleBinding": _object(
        must={"roleRef": _object(must={"kind": TEXT, "name": TEXT})},
        subjects=Each(_object(must={"kind": TEXT, "name": TEXT}, namespace=TEXT)),
    ),
    "SelfSubjectAccessReview": _object(
        must={
            "spec": _object(must={"resourceAttributes": TEXTS}),
            "status": _object(must={"allowed": FLAG}, denied=FLAG),
        }
    ),
    "SelfSubjectReview": _object(
        must={"status": _object(must={"userInfo": _object(must={"username": TEXT}, groups=Each(TEXT))})}
    ),
}
"""The fields that drfsm reads of each kind, besides its metadata."""


def _metadata(kind: str) -> Fields:
    name = RBAC_NAME if kind in ("Role", "RoleBinding") else NAME
    place = {"namespace": NAME} if KINDS[kind].namespaced else {}
    return _object(
        # The metadata of every stored object.
        must={"name": name, "uid": MARK, "resourceVersion": MARK, "creationTimestamp": TIME, **place},
        deletionTimestamp=TIME,
        generation=WHOLE,
        labels=TEXTS,
        annotations=TEXTS,
        finalizers=Each(TEXT),
        ownerReferences=Each(_OWNER),
        managedFields=Each(_object(manager=TEXT)),
    )


METADATA: Mapping[str, Fields] = {kind: _metadata(kind) for kind in KINDS if kind not in REVIEWS}
_LIST_METADATA = Fields({}, {"continue": TEXT, "resourceVersion": TEXT})
_REFUSAL = _object(
    must={"status": TEXT, "code": WHOLE},
    reason=TEXT,
    message=TEXT,
    details=_object(name=TEXT, kind=TEXT, group=TEXT),
)


def misfit(value: Any, shape: Shape, where: str = "") -> str:
    """Return how a value differs from its shape, "" if it fits. Removes an optional field that is null."""
    if isinstance(shape, Leaf):
        return "" if shape.fits(value) else f"{where or 'it'} is {_kind(value)}, not {shape.words}"
    if isinstance(shape, Each):
        if not isinstance(value, list) or len(value) < shape.least:
            return f"{where or 'it'} is {_kind(value)}, not a {'non-empty ' if shape.least else ''}list"
        return next(filter(None, (misfit(item, shape.of, f"{where}[{at}]") for at, item in enumerate(value))), "")
    if not isinstance(value, dict):
        return f"{where or 'it'} is {_kind(value)}, not an object"
    return next(filter(None, _misfits(value, shape, f"{where}." if where else "")), "")


def _misfits(value: dict[str, Any], shape: Fields, where: str) -> Iterator[str]:
    for name, of in shape.must.items():
        yield misfit(value[name], of, f"{where}{name}") if name in value else f"it has no {where}{name}"
    for name, of in shape.may.items():
        if name in value and value[name] is None:
            del value[name]
        if name in value:
            yield misfit(value[name], of, f"{where}{name}")


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the string {bounded(value, 60)!r}"
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


# --- what an answer says --------------------------------------------------------------------------------


def object_in(answer: Answer, asked: Asked) -> Manifest:
    """Return the object that was read, written or created. Raises Unreadable, or the error for the status."""
    manifest = _json(answer, asked, LARGEST_OBJECT_BYTES)
    _check(manifest, asked, manifest.get("kind"), manifest.get("apiVersion"))
    if asked.kind in REVIEWS:
        return manifest
    _check_place(manifest, asked)
    return manifest


def page_in(answer: Answer, asked: Asked) -> tuple[list[Manifest], str]:
    """Return the objects of one page, and the token of the next ("" for none). Raises Unreadable, Expired."""
    page = _json(answer, asked, LARGEST_PAGE_BYTES)
    kind = KINDS[asked.kind]
    _check_header(page, asked, f"{asked.kind}List", page.get("kind"), page.get("apiVersion"))
    if fault := misfit(page.get("metadata"), _LIST_METADATA, "metadata"):
        raise asked.unreadable(fault)
    items = page.get("items")
    if not isinstance(items, list):
        raise asked.unreadable(f"its items are {_kind(items)}, not a list")
    for item in items:
        if not isinstance(item, dict):
            raise asked.unreadable(f"an item of its list is {_kind(item)}, not an object")
        item.setdefault("kind", asked.kind)  # a server omits both in a list's items
        item.setdefault("apiVersion", kind.version)
        _check(item, asked, item["kind"], item["apiVersion"])
        _check_place(item, asked)
    return items, page["metadata"].get("continue", "")


def deleted(answer: Answer, asked: Asked) -> None:
    """Check that a deletion was accepted: a Status that says so, or the object. Raises as ``object_in`` does."""
    body = _json(answer, asked, LARGEST_OBJECT_BYTES)
    if body.get("kind") != "Status":
        _check(body, asked, body.get("kind"), body.get("apiVersion"))
        _check_place(body, asked)
    elif body.get("apiVersion") != "v1" or body.get("status") != "Success":
        raise asked.unreadable(f"its Status says {_kind(body.get('status'))}, not Success")


def is_no_log(answer: Answer, asked: Asked) -> bool:
    """Return whether a cluster says that there is no log (yet). Raises the error for any other refusal."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        if answer.status != HTTPStatus.OK or answer.media_type != "text/plain":
            raise asked.unreadable(
                f"it is {answer.status} {bounded(answer.media_type, 60) or 'without a type'}, not a log"
            )
        return False
    if _status(answer) is None:
        raise _refusal(answer, asked)
    return True


def _json(answer: Answer, asked: Asked, largest_bytes: int) -> dict[str, Any]:
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(answer, asked)
    if answer.media_type != "application/json":
        kind = bounded(answer.media_type, 60) or "a body without a content type"
        raise asked.unreadable(f"it is {answer.status} {kind}, not JSON ({len(answer.body)} bytes)")
    try:
        return claims.object_of(answer.body, "the body", largest_bytes=largest_bytes)
    except Unreadable as fault:
        raise asked.unreadable(fault.what) from None


def _check(manifest: dict[str, Any], asked: Asked, kind: Any, version: Any) -> None:
    """Check an object's kind and shape."""
    _check_header(manifest, asked, asked.kind, kind, version)
    shape = SHAPES[asked.kind]
    if asked.kind not in REVIEWS and (fault := misfit(manifest.get("metadata"), METADATA[asked.kind], "metadata")):
        raise asked.unreadable(f"of a {asked.kind}, {fault}")
    if fault := misfit(manifest, shape):
        raise asked.unreadable(f"of a {asked.kind}, {fault}")


def _check_header(body: Mapping[str, Any], asked: Asked, expected_kind: str, kind: Any, version: Any) -> None:
    of = KINDS[asked.kind].version
    if (kind, version) != (expected_kind, of):
        what = f"{bounded(kind, 60)} of {bounded(version, 60)}" if "kind" in body else "an object without a kind"
        raise asked.unreadable(f"it is {what}, not a {expected_kind} of {of}")


def _check_place(manifest: Mapping[str, Any], asked: Asked) -> None:
    """Check that an object matches the request: name, namespace and labels."""
    metadata = manifest["metadata"]
    for what, expected in (("name", asked.name), ("namespace", asked.namespace)):
        if expected and metadata.get(what, "") != expected:
            raise asked.unreadable(f"it is the {asked.kind} with another {what}: {metadata.get(what)!r}")
    labels = metadata.get("labels", {})
    for name, value in _equalities(asked.labels):
        if labels.get(name) != value:
            raise asked.unreadable(f"{asked.kind} {metadata['name']} lacks the requested label {name}={value}")


_EQUALITY = re.compile(r"\s*([A-Za-z0-9./_-]+)\s*==?\s*([A-Za-z0-9._-]*)\s*")


def _equalities(selector: str) -> Iterator[tuple[str, str]]:
    """Yield a label selector's terms with ``=``. Only the server can evaluate set-based terms."""
    if "(" in selector:
        return
    for requirement in selector.split(","):
        if term := _EQUALITY.fullmatch(requirement):
            yield term[1], term[2]


# --- refusals -------------------------------------------------------------------------------------------


def _status(answer: Answer) -> dict[str, Any] | None:
    """Return the Kubernetes Status that refuses a request, None for any other response."""
    try:
        status = claims.object_of(answer.body, "a status", largest_bytes=LARGEST_OBJECT_BYTES)
    except Unreadable:
        return None
    fits = (status.get("kind"), status.get("apiVersion")) == ("Status", "v1") and not misfit(status, _REFUSAL)
    return status if fits and status["status"] == "Failure" and status["code"] == answer.status else None


def _refusal(answer: Answer, asked: Asked) -> DrfsmError:
    """Return the error for an unsuccessful status. Only a Kubernetes Status counts, except for a gateway's 5xx."""
    status, number = _status(answer), answer.status
    message = bounded((status or {}).get("message", ""), _STATUS_WORDS)
    words = f"{asked.words}: {number} {message}".rstrip()
    if number == HTTPStatus.TOO_MANY_REQUESTS or number >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(words, hint="drfsm resume")
    if status is None:
        return asked.unreadable(f"it is {number} without a Kubernetes Status ({len(answer.body)} bytes)")
    if number == HTTPStatus.NOT_FOUND:
        return _absence(status, asked, words)
    if number == HTTPStatus.GONE or (number == HTTPStatus.BAD_REQUEST and asked.continues):
        return Expired(words, hint="drfsm resume")
    if number == HTTPStatus.CONFLICT:
        return Conflict(words, fault="site")
    return ActionFailed(words, hint=_way(number, asked, message), cause=_cause(number, asked))


def _cause(number: int, asked: Asked) -> str:
    """Return what every request to this cluster is refused for; "" where this one is refused by itself."""
    if number != HTTPStatus.UNAUTHORIZED:
        return ""
    return f"{asked.site} refuses the credentials of {asked.kubeconfig} (401 Unauthorized): renew them"


def _way(number: int, asked: Asked, message: str) -> str:
    if number == HTTPStatus.UNAUTHORIZED:
        return f"{asked.site} no longer accepts the credentials of {asked.kubeconfig}: renew them, then drfsm resume"
    if number == HTTPStatus.FORBIDDEN and "because it is being terminated" in message:
        return f"wait until the namespace is gone: kubectl get namespace {asked.namespace}; then try again"
    if number == HTTPStatus.UNPROCESSABLE_ENTITY and "field is immutable" in message:
        return "a live object keeps this field: delete the object there if nobody needs it, then try again"
    if number == HTTPStatus.FORBIDDEN:
        return f"give the user of {asked.kubeconfig} this permission on {asked.site}"
    return ""


def _absence(status: Mapping[str, Any], asked: Asked, words: str) -> DrfsmError:
    """Return the error for a 404. Only one that names the requested object means that it does not exist."""
    kind, details = KINDS[asked.kind], status.get("details") or {}
    about = (details.get("group", ""), details.get("kind"), details.get("name"))
    if status.get("reason") != "NotFound":
        return asked.unreadable("it is 404, but its reason is not NotFound")
    if asked.name and about == (kind.group, kind.plural, asked.name):
        return NotThere(words)
    if not asked.name and not details:
        return ActionFailed(f"{asked.site} does not know the kind {asked.kind}", hint="check the cluster's version")
    if asked.method == "POST" and about == ("", "namespaces", asked.namespace):
        return ActionFailed(words, hint=f"kubectl create namespace {asked.namespace}")
    return asked.unreadable("it is 404, but does not name the requested object")
