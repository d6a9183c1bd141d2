"""Which answers of a Kubernetes API are believed: those that are what was asked for, in every field that is read.

The shapes are tried field by field; the rest goes through the real client against a server that says what a login
page, a proxy, another cluster or a broken server would say.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.adapters.kube_answers import KINDS, METADATA, REVIEWS, SHAPES, Each, Fields, Leaf, Shape, misfit
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable
from tests.bench.answering import Answering, Request, Told, told

WHEN = "2026-02-27T00:22:29Z"
OTHERS: tuple[Any, ...] = (None, True, -1, 1.5, 7, "\x1b[2J", {}, {"a": 1}, [], [None], [[]])


# --- shapes ---------------------------------------------------------------------------------------------


def sample(shape: Shape) -> Any:
    """Return a value that fits a shape, with every field that it may have."""
    if isinstance(shape, Each):
        return [sample(shape.of)]
    if isinstance(shape, Fields):
        return {name: sample(of) for name, of in (*shape.must.items(), *shape.may.items())}
    fitting = ("x", 3, True, WHEN, {"a": "b"}, "True", "Running")
    return next(each for each in fitting if shape.fits(each))


def places(shape: Shape, where: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Shape, bool]]:
    """Yield (place, shape, whether it must be there) of everything within a shape."""
    if isinstance(shape, Each):
        yield (*where, 0), shape.of, True
        yield from places(shape.of, (*where, 0))
    if isinstance(shape, Fields):
        for fields, must in ((shape.must, True), (shape.may, False)):
            for name, of in fields.items():
                yield (*where, name), of, must
                yield from places(of, (*where, name))


def put(value: Any, where: tuple[str | int, ...], new: Any) -> Any:
    """Return a copy with something else at a place."""
    copy = deepcopy(value)
    at = copy
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = new
    return copy


def fits(value: Any, shape: Shape) -> bool:
    """Say by the shape's first level alone whether a value is of its type."""
    if isinstance(shape, Leaf):
        return shape.fits(value)
    if isinstance(shape, Each):
        return isinstance(value, list) and len(value) >= shape.least and all(fits(each, shape.of) for each in value)
    return isinstance(value, dict) and shape.must.keys() <= value.keys() and not misfit(deepcopy(value), shape)


@pytest.mark.parametrize(("kind", "shape"), [*SHAPES.items(), *(("metadata of " + k, m) for k, m in METADATA.items())])
def test_every_field_that_is_read_has_its_type(kind: str, shape: Fields) -> None:
    """Each field of each kind, replaced by each other type, is found by its name; what may be left out may be null."""
    whole = sample(shape)
    assert not misfit(deepcopy(whole), shape), kind
    for where, of, must in places(shape):
        for other in OTHERS:
            if fits(other, of):
                continue
            fault = misfit(put(whole, where, other), shape)
            if other is None and not must:
                assert not fault, (kind, where)
            else:
                assert fault, (kind, where, other)
                assert len(fault) < 300
                assert fault.isprintable()
        if must and isinstance(where[-1], str):
            without = put(whole, where, other)
            at = without
            for step in where[:-1]:
                at = at[step]
            del at[where[-1]]
            assert misfit(without, shape), (kind, where)


# --- through the client ---------------------------------------------------------------------------------


def metadata(name: str = "x", namespace: str = "ns", **more: Any) -> dict[str, Any]:
    """Return what every object has."""
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "uid": "u-1", "resourceVersion": "7", "creationTimestamp": WHEN, **more}


def configmap(name: str = "x", namespace: str = "ns", **more: Any) -> dict[str, Any]:
    """Return a ConfigMap as a server gives it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, namespace, **more), "data": {"k": "v"}}


def listed(*items: Any, kind: str = "ConfigMapList", token: str = "") -> dict[str, Any]:
    """Return a list as a server gives it: its items name neither kind nor apiVersion."""
    bare = [{k: v for k, v in each.items() if k not in ("kind", "apiVersion")} for each in items]
    return {"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "7", "continue": token}, "items": bare}


def status(code: int, reason: str, **details: Any) -> Told:
    """Return a refusal as a server gives it."""
    body = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code}
    return told({**body, "metadata": {}, "message": f"it is {reason}", "details": details}, code)


ABSENT = status(404, "NotFound", name="x", kind="configmaps")
PAGE = b"<!doctype html><html><body>Please log in</body></html>"
SUCCESS = {"apiVersion": "v1", "kind": "Status", "status": "Success", "metadata": {}}
DEEP = b'{"kind":' * 2000 + b"1" + b"}" * 2000

GARBAGE: Mapping[str, Told] = {
    "a login page": Told(200, PAGE, "text/html"),
    "a login page that says it is JSON": Told(200, PAGE),
    "an empty body": Told(200),
    "nothing (204)": Told(204, kind=""),
    "ok": Told(200, b"ok", "text/plain"),
    "a text": told("ok"),
    "a number": told(7),
    "null": told(None),
    "a list": told([]),
    "an empty object": told({}),
    "a Status of success": told(SUCCESS),
    "a Status of failure with 200": told({**SUCCESS, "status": "Failure", "code": 404, "reason": "NotFound"}),
    "another kind": told({**configmap(), "kind": "Secret"}),
    "another version": told({**configmap(), "apiVersion": "v2"}),
    "another name": told(configmap("y")),
    "another namespace": told(configmap("x", "elsewhere")),
    "no metadata": told({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}),
    "metadata null": told({**configmap(), "metadata": None}),
    "no uid": told({**configmap(), "metadata": {"name": "x", "namespace": "ns"}}),
    "values that are no texts": told({**configmap(), "data": {"k": 1}}),
    "a key that stands twice": Told(200, b'{"kind":"ConfigMap","kind":"ConfigMap"}'),
    "very deep": Told(200, DEEP),
    "UTF-16": Told(200, json.dumps(configmap()).encode("utf-16")),
    "a byte order mark": Told(200, b"\xef\xbb\xbf" + json.dumps(configmap()).encode()),
    "NaN": Told(200, json.dumps({**configmap(), "x": float("nan")}).encode()),
    "half a character": Told(200, json.dumps({**configmap(), "data": {"k": "\ud800"}}).encode()),
    "27 KB of binary": Told(200, bytes(range(256)) * 108),
    "too much": Told(200, b'{"kind": "' + b"x" * (9 << 20) + b'"}'),
    "said to be packed": Told(200, json.dumps(configmap()).encode(), headers={"Content-Encoding": "gzip"}),
    "the right thing as HTML": Told(200, json.dumps(configmap()).encode(), "text/html"),
    "a redirect": Told(302, PAGE, "text/html", {"Location": "/login"}),
    "a redirect for good": Told(308, b"", "", {"Location": "http://127.0.0.1:9/"}),
    "a page that is not there": Told(404, PAGE, "text/html"),
    "404 page not found": Told(404, b"404 page not found\n", "text/plain"),
    "404 of another object": status(404, "NotFound", name="y", kind="configmaps"),
    "404 of another kind": status(404, "NotFound", name="x", kind="secrets"),
    "404 of nothing named": status(404, "NotFound"),
    "404 for another reason": status(404, "Gone", name="x", kind="configmaps"),
    "404 that says 200": told({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 200}, 404),
    "a forbidding page": Told(403, PAGE, "text/html"),
    "a page to log in": Told(401, PAGE, "text/html"),
    "a conflict by nobody": Told(409, b"{}"),
    "a teapot": Told(418, PAGE, "text/html"),
}
SILENCE: Mapping[str, Told] = {
    "a body that breaks off": Told(200, json.dumps(configmap()).encode()[:20], length=4000),
    "a proxy without a server": Told(502, PAGE, "text/html"),
    "an error page": Told(500, PAGE, "text/html"),
    "too many requests": Told(429, b"", ""),
}
ASKING: Mapping[str, Callable[[KubeCluster], Any]] = {
    "get": lambda it: it.get("ConfigMap", "ns", "x"),
    "list": lambda it: it.list("ConfigMap", "ns"),
    "create": lambda it: it.create(configmap()),
    "patch": lambda it: it.patch("ConfigMap", "ns", "x", {"data": {"k": "v"}}),
    "apply": lambda it: it.apply(configmap()),
    "delete": lambda it: it.delete("ConfigMap", "ns", "x"),
    "allowed": lambda it: it.allowed("get", "", "configmaps", "ns"),
    "uid": lambda it: it.uid(),
    "log": lambda it: it.log("ns", "x", tail_lines=5),
}
TRUE_OF = {("delete", "a Status of success"), ("log", "ok")}  # what is what was asked for
NAMES_NOTHING = {("list", "404 of nothing named"), ("allowed", "404 of nothing named")}  # that API is not there


@pytest.fixture
def api() -> Iterator[Answering]:
    """Serve what a test says."""
    with Answering() as server:
        yield server


@pytest.fixture
def cluster(api: Answering, tmp_path: Path) -> KubeCluster:
    """Return the real client of that server."""
    return KubeCluster("primary", api.kubeconfig(tmp_path))


@pytest.mark.parametrize("asking", ASKING)
def test_an_answer_that_is_not_what_was_asked_for_is_unreadable(
    asking: str, api: Answering, cluster: KubeCluster
) -> None:
    """Whatever the garbage, no verb takes it for an object, for a success, or for "nothing there"."""
    for name, garbage in GARBAGE.items():
        api.seen.clear()
        api.answer = lambda _request, garbage=garbage: garbage  # type: ignore[misc]  # bound now
        if (asking, name) in TRUE_OF:
            ASKING[asking](cluster)
            continue
        if asking == "log" and name.startswith(("404 of", "404 for")):  # a Status: there is no log
            assert ASKING[asking](cluster) == ""
            continue
        with pytest.raises(ActionFailed if (asking, name) in NAMES_NOTHING else Unreadable) as fault:
            ASKING[asking](cluster)
        assert len(fault.value.what) < 1000, name
        assert fault.value.what.isprintable(), name
        assert "primary" in fault.value.what, name
        assert len(api.seen) < 3, name


@pytest.mark.parametrize("asking", ASKING)
def test_silence_says_nothing_and_only_reads_are_repeated(asking: str, api: Answering, cluster: KubeCluster) -> None:
    """5xx, 429 and a broken body are nobody's answer; a write is asked once, a read (an access review too) thrice."""
    for name, silence in SILENCE.items():
        api.answer, api.seen[:] = (lambda _request, silence=silence: silence), []  # type: ignore[misc]  # bound now
        with pytest.raises(Unreachable) as fault:
            ASKING[asking](cluster)
        assert not isinstance(fault.value, Unreadable), name
        assert len(api.seen) == (1 if asking in ("create", "patch", "apply", "delete", "log") else 3), name


def test_a_deletion_by_uid_hits_that_very_object_or_none(api: Answering, cluster: KubeCluster) -> None:
    """The request names the UID; where another object has the name by then, the one that was meant is gone."""
    api.answer = lambda _request: status(409, "Conflict", name="x", kind="configmaps")
    cluster.delete("ConfigMap", "ns", "x", uid="u-1")
    assert json.loads(api.seen[-1].body)["preconditions"] == {"uid": "u-1"}
    with pytest.raises(Conflict):
        cluster.delete("ConfigMap", "ns", "x")
    assert "preconditions" not in json.loads(api.seen[-1].body)


def test_what_was_asked_for_is_returned(api: Answering, cluster: KubeCluster) -> None:
    """An object, a list whose items name no kind, a 404 that names the object, a deletion's object."""
    api.answer = lambda _request: told(configmap())
    assert cluster.get("ConfigMap", "ns", "x") == configmap()
    cluster.delete("ConfigMap", "ns", "x")
    assert cluster.create(configmap())["metadata"]["uid"] == "u-1"
    api.answer = lambda _request: told(listed(configmap("x"), configmap("y")))
    assert [each["kind"] for each in cluster.list("ConfigMap", "ns")] == ["ConfigMap"] * 2
    api.answer = lambda _request: ABSENT
    assert cluster.get("ConfigMap", "ns", "x") is None
    cluster.delete("ConfigMap", "ns", "x")
    with pytest.raises(ActionFailed, match="it is NotFound"):
        cluster.patch("ConfigMap", "ns", "x", {})
    api.answer = lambda _request: status(404, "NotFound", name="ns", kind="namespaces")
    with pytest.raises(ActionFailed, match="it is NotFound"):
        cluster.create(configmap())
    api.answer = lambda _request: status(409, "AlreadyExists", name="x", kind="configmaps")
    with pytest.raises(Conflict):
        cluster.create(configmap())
    api.answer = lambda _request: Told(200, b"one\ttwo \x1b[2J\nthr\xffee\n", "text/plain; charset=utf-8")
    assert cluster.log("ns", "x", tail_lines=5) == "one\\ttwo \\x1b[2J\nthr\ufffdee\n"


LISTS: Mapping[str, Any] = {
    "items null": {**listed(), "items": None},
    "items a text": {**listed(), "items": "none"},
    "items an object": {**listed(), "items": {}},
    "no items": {k: v for k, v in listed().items() if k != "items"},
    "items of nothing": {**listed(), "items": [None]},
    "items of another kind": {**listed(), "items": [{**configmap(), "kind": "Secret"}]},
    "items of another namespace": listed(configmap("x", "elsewhere")),
    "items twice": listed(configmap("x"), configmap("x")),
    "items without the label": listed(configmap("x", labels={"app": "other"})),
    "a list of another kind": listed(kind="SecretList"),
    "an object": configmap(),
    "metadata null": {**listed(), "metadata": None},
    "a continue that is no text": {**listed(), "metadata": {"continue": 7}},
    "another version": {**listed(), "apiVersion": "v2"},
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_a_list_of_what_was_asked_for(name: str, api: Answering, cluster: KubeCluster) -> None:
    """Items that are null, of another kind, namespace or label, or told twice: unreadable, never an empty list."""
    api.answer = lambda _request: told(LISTS[name])
    with pytest.raises(Unreadable):
        cluster.list("ConfigMap", "ns", labels="app=drfsm")


@pytest.mark.parametrize("how", ["410", "400"])
def test_a_list_that_expires_begins_anew(how: str, api: Answering, cluster: KubeCluster) -> None:
    """A page that is no longer to be had (410, or a token that is taken no more) starts the whole list again."""
    late, first = {"410": status(410, "Expired"), "400": status(400, "BadRequest")}[how], [True]

    def answer(request: Request) -> Told:
        if "continue=" not in request.target:
            return told(listed(configmap("x"), token="on"))
        if first.pop() if first else False:
            return late
        return told(listed(configmap("y")))

    api.answer = answer
    assert [each["metadata"]["name"] for each in cluster.list("ConfigMap", "ns")] == ["x", "y"]
    assert len(api.seen) == 4
    api.answer = lambda request: late if "continue=" in request.target else told(listed(configmap("x"), token="on"))
    with pytest.raises(Unreachable, match="expired before its last page"):
        cluster.list("ConfigMap", "ns")


def test_a_list_that_never_ends_is_unreadable(api: Answering, cluster: KubeCluster) -> None:
    """A page that names an earlier one as the next, or the same for ever."""
    api.answer = lambda _request: told(listed(token="again"))
    with pytest.raises(Unreadable, match="never ends"):
        cluster.list("ConfigMap", "ns")


def test_a_question_of_permission_is_answered_as_asked(api: Answering, cluster: KubeCluster) -> None:
    """An answer to another question, or one that is not true or false, permits nothing and refuses nothing."""

    def answer(request: Request) -> Told:
        review = json.loads(request.body)
        return told({**review, "metadata": {}, "status": {"allowed": True}}, 201)

    api.answer = answer
    assert cluster.allowed("get", "batch", "jobs", "ns") is True
    for spec, allowed in (({"resourceAttributes": {"verb": "list"}}, True), (None, True), ({}, "yes"), ({}, 1)):
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        api.answer = lambda _request, body=body, allowed=allowed: told({**body, "status": {"allowed": allowed}}, 201)  # type: ignore[misc]  # bound now
        with pytest.raises(Unreadable):
            cluster.allowed("get", "batch", "jobs", "ns")


@pytest.mark.parametrize("name", ["../secrets/y", "a/b", "..", "A", "x?y", "x%2fy", "", "\x1b"])
def test_a_name_never_becomes_another_path(name: str, api: Answering, cluster: KubeCluster) -> None:
    """What no object can be called is never asked for, as a name or as a namespace."""
    for ask in (lambda: cluster.get("Secret", "ns", name or "?"), lambda: cluster.list("Secret", name or "?")):
        with pytest.raises(DrfsmError):
            ask()
    assert not api.seen


def test_every_kind_has_a_shape() -> None:
    """The table is whole."""
    assert SHAPES.keys() == KINDS.keys()
    assert METADATA.keys() == KINDS.keys() - set(REVIEWS)
