"""The pure rules behind the API: patches, selectors, field ownership, protobuf, durations."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfsm.sandbox.kubernetes import managed, patches, protobuf, tables
from drfsm.sandbox.kubernetes.managed import Writer
from drfsm.sandbox.kubernetes.refusals import ApiError
from drfsm.sandbox.kubernetes.resources import KEPT, Resource
from drfsm.sandbox.kubernetes.schema import message, message_of, pruned, reachable

POD = "core.v1/Pod"
WORDS = st.text("ab", min_size=1, max_size=2)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=3)

RFC_7386: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "wanted"), RFC_7386)
def test_the_examples_of_rfc_7386(target: Any, patch: Any, wanted: Any) -> None:
    """Every example of the RFC's appendix comes out as printed there."""
    assert patches.merge(target, patch) == wanted


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_done_when_done_twice(target: Any, patch: Any) -> None:
    """Applying it again changes nothing, and the target isn't touched."""
    before = repr(target)
    once = patches.merge(target, patch)
    assert patches.merge(once, patch) == once
    assert repr(target) == before


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([{"op": "add", "path": "/list/1", "value": 9}], {"list": [1, 9, 2], "a/b": {"c~d": 0}}),
        ([{"op": "add", "path": "/list/-", "value": 9}], {"list": [1, 2, 9], "a/b": {"c~d": 0}}),
        ([{"op": "remove", "path": "/list/0"}], {"list": [2], "a/b": {"c~d": 0}}),
        ([{"op": "replace", "path": "/a~1b/c~0d", "value": 1}], {"list": [1, 2], "a/b": {"c~d": 1}}),
        ([{"op": "replace", "path": "/new", "value": 1}], {"list": [1, 2], "a/b": {"c~d": 0}, "new": 1}),
        ([{"op": "move", "from": "/a~1b", "path": "/b"}], {"list": [1, 2], "b": {"c~d": 0}}),
        ([{"op": "copy", "from": "/list", "path": "/b"}], {"list": [1, 2], "a/b": {"c~d": 0}, "b": [1, 2]}),
        ([{"op": "test", "path": "/list", "value": [1, 2]}], {"list": [1, 2], "a/b": {"c~d": 0}}),
    ],
    ids=lambda steps: steps[0]["op"] + steps[0]["path"] if isinstance(steps, list) else "",
)
def test_every_step_of_a_json_patch(steps: Any, wanted: Any) -> None:
    """Each operation does what RFC 6902 says, with its escapes; replace also adds, as the real server has it."""
    assert patches.steps({"list": [1, 2], "a/b": {"c~d": 0}}, steps) == wanted


@pytest.mark.parametrize(
    "step",
    [
        {"op": "remove", "path": "/nothing"},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "test", "path": "/list/0", "value": 2},
        {"op": "remove", "path": "/list/-1"},
        {"op": "invent", "path": "/list"},
        {"op": "add", "path": "list", "value": 1},
        {"path": "/list"},
    ],
    ids=str,
)
def test_a_step_that_does_not_fit_is_refused_and_changes_nothing(step: Any) -> None:
    """It is 422, also after a step that fitted; the target stays."""
    target = {"list": [1]}
    with pytest.raises(ApiError) as caught:
        patches.steps(target, [{"op": "add", "path": "/fits", "value": 1}, step])
    assert (caught.value.status, caught.value.reason, target) == (422, "Invalid", {"list": [1]})


def pod(*containers: Any, **rest: Any) -> dict[str, Any]:
    """Return a Pod."""
    return {"spec": {"containers": list(containers), **rest}}


STRATEGIC: list[tuple[str, Any, Any, Any]] = [
    (
        "ports merge by number",
        pod({"name": "a", "ports": [{"containerPort": 1, "name": "x"}]}),
        pod({"name": "a", "ports": [{"containerPort": 1, "name": "y"}, {"containerPort": 2}]}),
        pod({"name": "a", "ports": [{"containerPort": 1, "name": "y"}, {"containerPort": 2}]}),
    ),
    (
        "mounts merge by path",
        pod({"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "v"}]}),
        pod({"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "w"}]}),
        pod({"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "w"}]}),
    ),
    (
        "commands are replaced",
        pod({"name": "a", "command": ["x", "y"]}),
        pod({"name": "a", "command": ["z"]}),
        pod({"name": "a", "command": ["z"]}),
    ),
    (
        "a volume's kind is replaced by $retainKeys",
        pod(volumes=[{"name": "v", "emptyDir": {}}]),
        pod(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]),
        pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    ),
    (
        "$patch: replace replaces the list",
        pod({"name": "a"}, {"name": "b"}),
        pod({"name": "c"}, {"$patch": "replace"}),
        pod({"name": "c"}),
    ),
    (
        "$patch: replace replaces an object",
        pod(securityContext={"runAsUser": 1}),
        pod(securityContext={"$patch": "replace", "runAsGroup": 2}),
        pod(securityContext={"runAsGroup": 2}),
    ),
    (
        "null removes a field",
        pod({"name": "a", "image": "x"}),
        pod({"name": "a", "image": None}),
        pod({"name": "a"}),
    ),
    (
        "the client's order is kept",
        pod({"name": "a"}),
        {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}]}},
        pod({"name": "b"}, {"name": "a"}),
    ),
    (
        "finalizers are a set",
        {"metadata": {"finalizers": ["a/b"]}},
        {"metadata": {"finalizers": ["c/d", "a/b"]}},
        {"metadata": {"finalizers": ["a/b", "c/d"]}},
    ),
    (
        "a finalizer is taken out by directive",
        {"metadata": {"finalizers": ["a/b", "c/d"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}},
        {"metadata": {"finalizers": ["c/d"]}},
    ),
    (
        "conditions merge by type",
        {"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}},
        {"status": {"conditions": [{"type": "B", "status": "False"}]}},
        {"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]}},
    ),
    (
        "owners merge by uid",
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "x"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}, {"uid": "1", "$patch": "delete"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}]}},
    ),
]


@pytest.mark.parametrize(("target", "patch", "wanted"), [x[1:] for x in STRATEGIC], ids=[x[0] for x in STRATEGIC])
def test_a_strategic_patch(target: Any, patch: Any, wanted: Any) -> None:
    """It merges lists by the real keys and obeys the directives."""
    assert patches.strategic(POD, target, patch) == wanted


def test_a_strategic_patch_without_the_key_is_refused() -> None:
    """An item that doesn't say which it is can't be merged: 400."""
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        patches.strategic(POD, pod({"name": "a"}), pod({"image": "x"}))


# --- field ownership ------------------------------------------------------------------------------------


def apply(live: Any, wanted: Any, manager: str, *, force: bool = False) -> Any:
    """Apply a Pod as a manager."""
    return managed.apply(POD, live, wanted, Writer(manager, "Apply", "v1"), "t", force=force)


def test_items_are_owned_one_by_one() -> None:
    """Two managers own a container each; each may drop its own and no other."""
    live = apply(apply({}, pod({"name": "a", "image": "x"}), "one"), pod({"name": "b", "image": "y"}), "two")
    assert [each["name"] for each in live["spec"]["containers"]] == ["a", "b"]
    left = apply(live, {"spec": {"nodeName": "n"}}, "one")
    assert [each["name"] for each in left["spec"]["containers"]] == ["b"]


def test_a_variable_is_contested_by_its_own_path() -> None:
    """The conflict names container and variable as the real one does."""
    live = apply({}, pod({"name": "a", "env": [{"name": "V", "value": "1"}]}), "one")
    with pytest.raises(ApiError) as caught:
        apply(live, pod({"name": "a", "env": [{"name": "V", "value": "2"}]}), "two")
    path = '.spec.containers[name="a"].env[name="V"].value'
    assert caught.value.message == f'Apply failed with 1 conflict: conflict with "one": {path}'


def test_conflicts_are_told_by_manager() -> None:
    """With several, the managers and their fields are listed."""
    live = apply(apply({}, pod(nodeName="n"), "one"), {"metadata": {"labels": {"l": "1"}}}, "two")
    with pytest.raises(ApiError) as caught:
        apply(live, {"metadata": {"labels": {"l": "2"}}, "spec": {"nodeName": "m"}}, "three")
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.nodeName\n'
        'conflicts with "two":\n- .metadata.labels.l'
    )


def test_what_is_atomic_is_owned_as_a_whole() -> None:
    """A node selector is one field: whoever changes a part of it changes it all."""
    live = apply({}, pod(nodeSelector={"a": "1"}), "one")
    with pytest.raises(ApiError, match=r"\.spec\.nodeSelector$"):
        apply(live, pod(nodeSelector={"b": "1"}), "two")
    forced = apply(live, pod(nodeSelector={"b": "1"}), "two", force=True)
    assert forced["spec"]["nodeSelector"] == {"b": "1"}


def test_ownership_survives_being_written_down() -> None:
    """The notation of FieldsV1 is read back as it was meant."""
    wanted = pod({"name": "a", "ports": [{"containerPort": 1}]}, volumes=[{"name": "v"}])
    wanted["metadata"] = {"finalizers": ["x/y"], "labels": {"a": "b"}}
    live = apply({}, wanted, "one")
    (entry,) = live["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:metadata"] == {"f:finalizers": {'v:"x/y"': {}}, "f:labels": {"f:a": {}}}
    ports = entry["fieldsV1"]["f:spec"]["f:containers"]['k:{"name":"a"}']["f:ports"]
    assert ports == {'k:{"containerPort":1,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}
    assert apply(live, wanted, "one") == live


def test_an_item_that_another_manager_holds_a_part_of_stays() -> None:
    """Who no longer says a container takes out what was his of it, not what another set in it."""
    live = apply({}, pod({"name": "a", "image": "x", "tty": True}), "one")
    changed = {**live, "spec": pod({"name": "a", "image": "y", "tty": True})["spec"]}
    managed.record(POD, live, changed, Writer("two", "Update", "v1"), "t")
    left = apply(changed, {"spec": {"nodeName": "n"}}, "one")
    assert left["spec"]["containers"] == [{"name": "a", "image": "y"}]


# --- shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.kind)
def test_every_kept_kind_has_a_shape_whose_parts_are_known(kind: Resource) -> None:
    """It has metadata, and no part of it refers to a message that is missing from the table."""
    assert message(message_of(kind)).fields["metadata"].type == "meta.v1/ObjectMeta"
    parts = reachable([message_of(kind)])
    has_pods = kind.kind in ("Pod", "Job", "CronJob", "Deployment", "ReplicaSet")
    assert ("core.v1/PodSpec" in parts) is has_pods


def test_zeros_are_kept_where_they_say_something() -> None:
    """As Go writes it: a pointer's zero stays, another's goes; an empty object stays, an empty list goes."""
    (job,) = [each for each in KEPT if each.kind == "Job"]
    spec = {"backoffLimit": 0, "suspend": False, "template": {"spec": {"hostNetwork": False, "volumes": []}}}
    kept, unknown = pruned(job, {"metadata": {"labels": {}}, "spec": spec})
    assert kept["spec"] == {"backoffLimit": 0, "suspend": False, "template": {"spec": {}}}
    assert (kept["metadata"], unknown) == ({}, [])


# kubectl 1.32.4: create namespace x; create job x --image=foo -- echo hi
NAMESPACE = (
    b'k8s\x00\n\x0f\n\x02v1\x12\tNamespace\x12\x19\n\x11\n\x01x\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12\x00'
    b'\x1a\x02\n\x00\x1a\x00"\x00'
)
JOB = (
    b'k8s\x00\n\x0f\n\x08batch/v1\x12\x03Job\x12~\n\x11\n\x01x\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12_2]\n\x10'
    b'\n\x00\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12I\x12&\n\x01x\x12\x03foo\x1a\x04echo\x1a\x02hi*\x00B\x00j'
    b"\x00r\x00\x80\x01\x00\x88\x01\x00\x90\x01\x00\xa2\x01\x00\x1a\x05Never2\x00B\x00J\x00R\x00X\x00`\x00h\x00\x82"
    b'\x01\x00\x8a\x01\x00\x9a\x01\x00\xc2\x01\x00\x1a\x08 \x00(\x000\x00:\x00\x1a\x00"\x00'
)


def test_kubectls_own_bytes_are_understood() -> None:
    """Bodies recorded from kubectl decode to what it meant."""
    assert protobuf.decode(NAMESPACE)["metadata"]["name"] == "x"
    job = protobuf.decode(JOB)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod_spec = job["spec"]["template"]["spec"]
    (container,) = pod_spec["containers"]
    assert (container["name"], container["image"], container["command"]) == ("x", "foo", ["echo", "hi"])
    assert pod_spec["restartPolicy"] == "Never"


@given(st.integers(0, len(JOB) - 1), st.integers(0, 255))
def test_a_broken_body_is_refused_or_read_but_never_more(at: int, byte: int) -> None:
    """Whatever byte is changed, decoding ends with an object or with 400."""
    broken = JOB[:at] + bytes([byte]) + JOB[at + 1 :]
    try:
        assert isinstance(protobuf.decode(broken), dict)
    except ApiError as refusal:
        assert refusal.status == 400  # noqa: PT017  either end is right
    with pytest.raises(ApiError):
        protobuf.decode(base64.b64encode(JOB))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 60, "5h1m"),
        (8 * 3600 + 61, "8h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (9 * 365 * 86400, "9y"),
        (-5, "<invalid>"),
    ],
)
def test_durations_are_said_as_kubectl_does(seconds: int, said: str) -> None:
    """The steps are those of the real HumanDuration."""
    assert tables.duration(seconds) == said
