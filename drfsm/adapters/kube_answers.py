"""What a cluster's API may answer: the shape of every kind, and what each status means. Pure; makes no request.

An answer is believed only where it is what was asked for: kind, apiVersion, name, namespace and labels fit, and
every field that drfsm reads has its type (SHAPES has them all, so that no reader need ask again). Whatever else came
(a login page, an empty body, a Status in place of a list, another kind) is Unreadable: it never means "nothing is
there". A 404 means that only where it is a Kubernetes Status that names the object asked for. A field that may be
left out may also be null, which is how Kubernetes writes that it is absent: it is then taken out. Used by kube.py.
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
_STATUS_WORDS = 300  # characters of a refusal's own words


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
    # Questions that are asked by POST and keep nothing.
    "SelfSubjectAccessReview": Kind("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False),
    "SelfSubjectReview": Kind("/apis/authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False),
}
REVIEWS = ("SelfSubjectAccessReview", "SelfSubjectReview")


class Asked(NamedTuple):
    """What was asked: by ``method``, of the site ``site``, for objects of ``kind``, one of them where it has a name."""

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
        """Return it for people: ``GET Job batch/x on dr``."""
        place = "/".join(each for each in (self.namespace, self.name) if each)
        return f"{self.method} {self.kind}{f' {place}' if place else ''} on {self.site}"

    def unreadable(self, why: str) -> Unreadable:
        """Return the fault of an answer that is not what was asked for."""
        what = f"what {self.site} answers can't be understood ({self.words}): {why}"
        hint = f"is a proxy or a login page in between? {self.kubectl} get --raw /version shows who answers"
        return Unreadable(what, hint=hint, fault="site")

    @property
    def kubectl(self) -> str:
        """Return how kubectl asks the same cluster."""
        return f"kubectl --kubeconfig {shlex.quote(self.kubeconfig)}"


class Answer(NamedTuple):
    """What came: ``media_type`` without parameters, ``body`` whole."""

    status: int
    media_type: str
    body: bytes


class NotThere(ActionFailed):
    """The object that was asked for is not there: the cluster says so, naming it."""


class Expired(Unreachable):
    """The list changed too much while it was paged: its next page is no longer to be had."""


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
    """An object: the fields that it must have, and those that it may have. More is nobody's business."""

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
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


_MARK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TEXT = Leaf("a text", lambda value: isinstance(value, str))
WHOLE = Leaf("a whole number, 0 or more", _is_whole)
FLAG = Leaf("true or false", lambda value: isinstance(value, bool))
TIME = Leaf("a time with an offset", lambda value: claims.moment(value) is not None)
TEXTS = Leaf("an object of texts", _is_texts)
MARK = Leaf("letters, digits, '.', '_' and '-'", lambda value: isinstance(value, str) and bool(_MARK.fullmatch(value)))
NAME = Leaf("a Kubernetes name", lambda value: claims.is_name("Kubernetes name", value))
RBAC_NAME = Leaf("a name of a role", lambda value: claims.is_name("RBAC name", value))

_OWNER = _object(must={"kind": TEXT, "name": TEXT, "uid": TEXT}, controller=FLAG)
_CONDITIONS = Each(
    _object(must={"type": TEXT, "status": _one_of("True", "False", "Unknown")}, reason=TEXT, message=TEXT)
)
_NAMED = _object(must={"name": TEXT}, optional=FLAG)
_KEYED = _object(must={"name": TEXT, "key": TEXT}, optional=FLAG)
_ITEMS = Each(_object(must={"key": TEXT}))
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
    secret=_object(secretName=TEXT, optional=FLAG, items=_ITEMS),
    projected=_object(
        sources=Each(_object(secret=_object(must={"name": TEXT}, optional=FLAG, items=_ITEMS))),
    ),
)
_POD = _object(
    must={"containers": Each(_CONTAINER, least=1)},
    initContainers=Each(_CONTAINER),
    volumes=Each(_VOLUME),
    imagePullSecrets=Each(_object(must={"name": TEXT})),
    nodeName=TEXT,
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
        status=_object(lastScheduleTime=TIME, lastSuccessfulTime=TIME, active=Each(_object())),
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
"""What drfsm reads of each kind, beside its metadata."""


def _metadata(kind: str) -> Fields:
    name = RBAC_NAME if kind in ("Role", "RoleBinding") else NAME
    place = {"namespace": NAME} if KINDS[kind].namespaced else {}
    return _object(
        # What every object has that a cluster keeps.
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
    """Return how a value differs from its shape, "" if it fits. Takes a null out where the field may be left out."""
    if isinstance(shape, Leaf):
        return "" if shape.fits(value) else f"{where or 'it'} is {_kind(value)}, not {shape.words}"
    if isinstance(shape, Each):
        if not isinstance(value, list) or len(value) < shape.least:
            return f"{where or 'it'} is {_kind(value)}, not a list{' with anything in it' if shape.least else ''}"
        return next(filter(None, (misfit(each, shape.of, f"{where}[{at}]") for at, each in enumerate(value))), "")
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
        return f"the text {bounded(value, 60)!r}"
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


# --- what an answer says --------------------------------------------------------------------------------


def object_in(answer: Answer, asked: Asked) -> Manifest:
    """Return the object that was asked for, written or made. Raises Unreadable, or what the status says."""
    found = _json(answer, asked, LARGEST_OBJECT_BYTES)
    _check(found, asked, found.get("kind"), found.get("apiVersion"))
    if asked.kind in REVIEWS:
        return found
    _check_place(found, asked)
    return found


def page_in(answer: Answer, asked: Asked) -> tuple[list[Manifest], str]:
    """Return the objects of one page, and the token of the next ("" for none). Raises Unreadable, Expired."""
    found = _json(answer, asked, LARGEST_PAGE_BYTES)
    kind = KINDS[asked.kind]
    _check_header(found, asked, f"{asked.kind}List", found.get("kind"), found.get("apiVersion"))
    if fault := misfit(found.get("metadata"), _LIST_METADATA, "metadata"):
        raise asked.unreadable(fault)
    items = found.get("items")
    if not isinstance(items, list):
        raise asked.unreadable(f"its items are {_kind(items)}, not a list")
    for each in items:
        if not isinstance(each, dict):
            raise asked.unreadable(f"an item of its list is {_kind(each)}, not an object")
        each.setdefault("kind", asked.kind)  # a server names neither in a list's items
        each.setdefault("apiVersion", kind.version)
        _check(each, asked, each["kind"], each["apiVersion"])
        _check_place(each, asked)
    return items, found["metadata"].get("continue", "")


def deleted(answer: Answer, asked: Asked) -> None:
    """Check that a deletion was taken: a Status that says so, or the object. Raises as ``object_in`` does."""
    found = _json(answer, asked, LARGEST_OBJECT_BYTES)
    if found.get("kind") != "Status":
        _check(found, asked, found.get("kind"), found.get("apiVersion"))
        _check_place(found, asked)
    elif found.get("apiVersion") != "v1" or found.get("status") != "Success":
        raise asked.unreadable(f"its Status says {_kind(found.get('status'))}, not Success")


def is_no_log(answer: Answer, asked: Asked) -> bool:
    """Return whether a cluster says that there is no log (yet). Raises what a refusal by nobody it knows means."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        if answer.status != HTTPStatus.OK or answer.media_type != "text/plain":
            raise asked.unreadable(
                f"it is {answer.status} {bounded(answer.media_type, 60) or 'without a type'}, no log"
            )
        return False
    if _status(answer) is None:
        raise _refusal(answer, asked)
    return True


def _json(answer: Answer, asked: Asked, largest_bytes: int) -> dict[str, Any]:
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(answer, asked)
    if answer.media_type != "application/json":
        kind = bounded(answer.media_type, 60) or "nothing that says what it is"
        raise asked.unreadable(f"it is {answer.status} {kind}, not JSON ({len(answer.body)} bytes)")
    try:
        return claims.object_of(answer.body, "the body", largest_bytes=largest_bytes)
    except Unreadable as fault:
        raise asked.unreadable(fault.what) from None


def _check(found: dict[str, Any], asked: Asked, kind: Any, version: Any) -> None:
    """Check an object's kind and shape."""
    _check_header(found, asked, asked.kind, kind, version)
    shape = SHAPES[asked.kind]
    if asked.kind not in REVIEWS and (fault := misfit(found.get("metadata"), METADATA[asked.kind], "metadata")):
        raise asked.unreadable(f"of a {asked.kind}, {fault}")
    if fault := misfit(found, shape):
        raise asked.unreadable(f"of a {asked.kind}, {fault}")


def _check_header(found: Mapping[str, Any], asked: Asked, wanted: str, kind: Any, version: Any) -> None:
    of = KINDS[asked.kind].version
    if (kind, version) != (wanted, of):
        what = f"{bounded(kind, 60)} of {bounded(version, 60)}" if "kind" in found else "an object without a kind"
        raise asked.unreadable(f"it is {what}, not a {wanted} of {of}")


def _check_place(found: Mapping[str, Any], asked: Asked) -> None:
    """Check that an object is the one, or one of those, that were asked for."""
    metadata = found["metadata"]
    for what, wanted in (("name", asked.name), ("namespace", asked.namespace)):
        if wanted and metadata.get(what, "") != wanted:
            raise asked.unreadable(f"it is the {asked.kind} of another {what}, {metadata.get(what)!r}")
    labels = metadata.get("labels", {})
    for name, value in _equalities(asked.labels):
        if labels.get(name) != value:
            raise asked.unreadable(f"{asked.kind} {metadata['name']} lacks the label {name}={value} that was asked for")


_EQUALITY = re.compile(r"\s*([A-Za-z0-9./_-]+)\s*==?\s*([A-Za-z0-9._-]*)\s*")


def _equalities(selector: str) -> Iterator[tuple[str, str]]:
    """Yield what a label selector says by ``=``; what it says in sets, only the server can tell."""
    if "(" in selector:
        return
    for each in selector.split(","):
        if term := _EQUALITY.fullmatch(each):
            yield term[1], term[2]


# --- refusals -------------------------------------------------------------------------------------------


def _status(answer: Answer) -> dict[str, Any] | None:
    """Return the Kubernetes Status that refuses a request, None for whatever else came."""
    try:
        found = claims.object_of(answer.body, "a status", largest_bytes=LARGEST_OBJECT_BYTES)
    except Unreadable:
        return None
    fits = (found.get("kind"), found.get("apiVersion")) == ("Status", "v1") and not misfit(found, _REFUSAL)
    return found if fits and found["status"] == "Failure" and found["code"] == answer.status else None


def _refusal(answer: Answer, asked: Asked) -> DrfsmError:
    """Return what a status that is no success means. Only Kubernetes' own word counts, but that nobody is there."""
    status, number = _status(answer), answer.status
    message = bounded((status or {}).get("message", ""), _STATUS_WORDS)
    words = f"{asked.words}: {number} {message}".rstrip()
    if number == HTTPStatus.TOO_MANY_REQUESTS or number >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(words, hint="drfsm resume")
    if status is None:
        return asked.unreadable(f"it is {number} without a Status of Kubernetes ({len(answer.body)} bytes)")
    if number == HTTPStatus.NOT_FOUND:
        return _absence(status, asked, words)
    if number == HTTPStatus.GONE or (number == HTTPStatus.BAD_REQUEST and asked.continues):
        return Expired(words, hint="drfsm resume")
    if number == HTTPStatus.CONFLICT:
        return Conflict(words, fault="site")
    return ActionFailed(words, hint=_way(number, asked))


def _way(number: int, asked: Asked) -> str:
    if number == HTTPStatus.UNAUTHORIZED:
        return f"{asked.site} takes the credentials of {asked.kubeconfig} no more: renew them, then drfsm resume"
    if number == HTTPStatus.FORBIDDEN:
        return f"give the user of {asked.kubeconfig} this permission on {asked.site}"
    return ""


def _absence(status: Mapping[str, Any], asked: Asked, words: str) -> DrfsmError:
    """Return what a 404 means: it must name what was asked for to mean that it is not there."""
    kind, details = KINDS[asked.kind], status.get("details") or {}
    about = (details.get("group", ""), details.get("kind"), details.get("name"))
    if status.get("reason") != "NotFound":
        return asked.unreadable("it is 404, and its reason is not NotFound")
    if asked.name and about == (kind.group, kind.plural, asked.name):
        return NotThere(words)
    if not asked.name and not details:
        return ActionFailed(f"{asked.site} knows no {asked.kind}", hint="check the cluster's version")
    if asked.method == "POST" and about == ("", "namespaces", asked.namespace):
        return ActionFailed(words, hint=f"kubectl create namespace {asked.namespace}")
    return asked.unreadable("it is 404, and does not name what was asked for")
