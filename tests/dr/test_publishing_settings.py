"""Whether the ConfigMap decides that a CronJob publishes, and where: read off the CronJob's containers. In memory."""

from typing import Any

import pytest

from drfsm.dr.sites import publishing as _publishing
from drfsm.dr.sites import schedules as _schedules
from drfsm.dr.sites.publishing import overrides, visible
from drfsm.errors import ActionFailed, Unreadable
from tests.dr.memory import CONFIGMAP, NAMESPACE, MemorySite, MemoryWorld, a_run
from tests.dr.test_freezing import FIRST, ON, an, configmap, cronjob, deployment, live, note, world_of

publishing: Any = _publishing
schedules: Any = _schedules
Manifest = dict[str, Any]
SWITCHES = ("PUBLISH_S3", "PUBLISH_S3_DRY_RUN")
MAPS: dict[str, Any] = {
    CONFIGMAP: {"data": {"PUBLISH_S3": "1", "JOBINTEL_S3_BUCKET": "b"}},
    "plain": {"data": {"LOG_LEVEL": "debug"}},
    "switch": {"data": {"PUBLISH_S3": "1"}},
    "half": {"data": {"S3": "1"}},
    "empty": {},
}
OURS = {"configMapRef": {"name": CONFIGMAP}}


def from_map(name: str, prefix: str = "") -> Manifest:
    """Return an entry of envFrom."""
    return {"configMapRef": {"name": name}, **({"prefix": prefix} if prefix else {})}


def by_key(variable: str, name: str = CONFIGMAP, key: str = "") -> Manifest:
    """Return a variable that takes a key of a ConfigMap."""
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": name, "key": key or variable}}}


def said(variable: str, value: str = "1") -> Manifest:
    """Return a variable with a value of its own."""
    return {"name": variable, "value": value}


def of(*containers: Manifest, init: tuple[Manifest, ...] = (), name: str = "daily") -> Manifest:
    """Return a CronJob of these containers."""
    pod = {"containers": [{"name": "main", "image": "x", **each} for each in containers]}
    if init:
        pod["initContainers"] = [{"name": "init", "image": "y", **each} for each in init]
    return an("CronJob", name, spec={"suspend": False, "jobTemplate": {"spec": {"template": {"spec": pod}}}})


HEEDED: dict[str, Manifest] = {
    "it maps the ConfigMap": of({"envFrom": [OURS]}),
    "others before it say switches": of({"envFrom": [from_map("switch"), OURS]}),
    "others after it say none": of({"envFrom": [OURS, from_map("plain"), from_map("empty"), from_map("gone")]}),
    "it takes both switches by their keys": of({"env": [by_key(each) for each in SWITCHES]}),
    "its own variables are others": of({"env": [said("LOG_LEVEL")], "envFrom": [OURS]}),
    "it takes a Secret after it": of({"envFrom": [OURS, {"secretRef": {"name": "s"}}]}),
    "a companion of another image maps nothing": of({"envFrom": [OURS]}, {"name": "proxy", "image": "proxy"}),
    "an init container of another image maps nothing": of({"envFrom": [OURS]}, init=({},)),
    "it maps it under a prefix, too": of({"envFrom": [from_map(CONFIGMAP, "X_"), OURS]}),
}


@pytest.mark.parametrize("case", HEEDED)
def test_a_cronjob_that_takes_its_switches_from_the_configmap_heeds_it(case: str) -> None:
    """By the map or by both keys, the last word being the ConfigMap's."""
    assert list(overrides(HEEDED[case], CONFIGMAP, MAPS, SWITCHES)) == []


MAIN, INIT = "CronJob daily, container main", "CronJob daily, container init"
NOT_FROM_IT = f"does not take its environment from ConfigMap {CONFIGMAP}"
OVERRIDDEN: dict[str, tuple[Manifest, list[str]]] = {
    "a value of its own": (of({"env": [said("PUBLISH_S3")], "envFrom": [OURS]}), [f"{MAIN} sets PUBLISH_S3 by itself"]),
    "a key of another ConfigMap": (
        of({"env": [by_key("PUBLISH_S3", "switch")], "envFrom": [OURS]}), [f"{MAIN} sets PUBLISH_S3 by itself"],
    ),
    "another key of the ConfigMap": (
        of({"env": [by_key("PUBLISH_S3", key="OTHER")], "envFrom": [OURS]}), [f"{MAIN} sets PUBLISH_S3 by itself"],
    ),
    "a key of a Secret": (
        of({"env": [{"name": "PUBLISH_S3", "valueFrom": {"secretKeyRef": {"name": "s"}}}], "envFrom": [OURS]}),
        [f"{MAIN} sets PUBLISH_S3 by itself"],
    ),
    "a switch in a map after it": (
        of({"envFrom": [OURS, from_map("switch")]}),
        [f"{MAIN} takes a switch from ConfigMap switch, which comes after {CONFIGMAP}"],
    ),
    "a switch that another prefix makes": (
        of({"envFrom": [OURS, from_map("half", "PUBLISH_")]}),
        [f"{MAIN} takes a switch from ConfigMap half, which comes after {CONFIGMAP}"],
    ),
    "nothing mapped": (of({}), [f"{MAIN} {NOT_FROM_IT}"]),
    "one switch by its key": (of({"env": [by_key("PUBLISH_S3")]}), [f"{MAIN} {NOT_FROM_IT}"]),
    "mapped under a prefix": (of({"envFrom": [from_map(CONFIGMAP, "X_")]}), [f"{MAIN} {NOT_FROM_IT}"]),
    "a second container of the same image": (
        of({"envFrom": [OURS]}, {"name": "second"}), [f"CronJob daily, container second {NOT_FROM_IT}"],
    ),
    "an init container of the same image": (of({"envFrom": [OURS]}, init=({"image": "x"},)), [f"{INIT} {NOT_FROM_IT}"]),
    "an init container's own value": (
        of({"envFrom": [OURS]}, init=({"env": [said("PUBLISH_S3")]},)), [f"{INIT} sets PUBLISH_S3 by itself"],
    ),
    "both switches by itself": (
        of({"env": [said(each) for each in SWITCHES]}), [f"{MAIN} sets {each} by itself" for each in SWITCHES],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERRIDDEN)
def test_a_cronjob_that_has_its_switches_from_elsewhere_is_told(case: str) -> None:
    """Switching the ConfigMap would silence nothing: with the container, and from where it takes them."""
    manifest, words = OVERRIDDEN[case]
    assert list(overrides(manifest, CONFIGMAP, MAPS, SWITCHES)) == words


def maps(*, immutable: bool = False) -> list[Manifest]:
    """Return the ConfigMaps as a site has them; ours may be immutable."""
    manifests = [an("ConfigMap", name, **each) for name, each in MAPS.items()]
    manifests[0]["immutable"] = immutable
    return manifests


def both(primary: list[Manifest], dr: list[Manifest]) -> MemoryWorld:
    """Return a world of two sites."""
    return MemoryWorld(sites={"primary": MemorySite("primary", *primary), "dr": MemorySite("dr", *dr)})


def test_both_sites_are_asked_whether_their_switches_are_heeded() -> None:
    """Each fault with its site; a lost one is not asked."""
    good, bad, fact = (
        HEEDED["it maps the ConfigMap"],
        OVERRIDDEN["nothing mapped"][0],
        publishing.FACTS["publishing_switch"],
    )
    heeded = both([*maps(), good], [*maps(), good])
    assert fact.judge(fact.observe(heeded, a_run()), {}) == "heeded"
    for site in ("primary", "dr"):
        objects = {"primary": [*maps(), good], "dr": [*maps(), good], site: [*maps(), bad]}
        seen = fact.observe(both(**objects), a_run())
        assert (fact.judge(seen, {}), seen["overridden"]) == ("overridden", [f"{site}: {MAIN} {NOT_FROM_IT}"])
        lost = a_run(inputs={f"{site}_unreachable": "yes"})
        assert fact.judge(fact.observe(both(**objects), lost), {}) == "heeded"


def test_a_configmap_that_is_not_there_or_can_not_be_changed_is_told() -> None:
    """Of each site; a namespace that is not there is named first."""
    fact, good = publishing.FACTS["publishing_switch"], HEEDED["it maps the ConfigMap"]
    namespace, bad = an("Namespace", NAMESPACE), of({}, name="second")
    several = [*maps(), good, bad]
    told = fact.observe(both(several, [*maps(), good]), a_run())
    assert told["in_words"] == f"primary: CronJob second, container main {NOT_FROM_IT}"
    assert "in_words" not in fact.observe(both([*maps(), good], [*maps(), good]), a_run())
    seen = fact.observe(both([namespace, good], [*maps(immutable=True), good]), a_run())
    assert seen["overridden"] == [
        f"primary: ConfigMap {CONFIGMAP} does not exist; name the right one with --configmap",
        f"dr: ConfigMap {CONFIGMAP} is immutable, so publishing can't be switched",
    ]
    with pytest.raises(ActionFailed, match=f"namespace {NAMESPACE}"):
        fact.observe(both([good], [*maps(), good]), a_run())


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, None),
        ({"env": [said("B", "x")]}, ("x", "CronJob daily")),
        ({"env": [said("B", "x"), said("B", "y")]}, ("y", "CronJob daily")),
        ({"env": [{"name": "B"}]}, None),
        ({"env": [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "B"}}}]}, None),
        ({"env": [by_key("B", key="JOBINTEL_S3_BUCKET")]}, ("b", f"ConfigMap {CONFIGMAP}")),
        ({"env": [by_key("B", key="NONE")]}, None),
        ({"env": [by_key("B", "gone")]}, None),
        ({"env": [{"name": "B", "valueFrom": {"secretKeyRef": {}}}], "envFrom": [from_map("b1")]}, None),
        ({"envFrom": [from_map("b1"), from_map("b2")]}, ("2", "ConfigMap b2")),
        ({"envFrom": [from_map("b2"), from_map("b1"), from_map("plain")]}, ("1", "ConfigMap b1")),
        ({"envFrom": [{"secretRef": {"name": "s"}}, from_map("b1")]}, ("1", "ConfigMap b1")),
        ({"envFrom": [from_map("short", "B")]}, ("3", "ConfigMap short")),
        ({"envFrom": [from_map("b1"), from_map("gone")]}, ("1", "ConfigMap b1")),
        ({"envFrom": [from_map("b1"), from_map("empty")]}, ("1", "ConfigMap b1")),
    ],
)  # fmt: skip
def test_a_variable_is_seen_where_it_is_said_last(container: Manifest, expected: tuple[str, str] | None) -> None:
    """The container's own goes before what it maps; what a Secret says can't be seen."""
    named = {**MAPS, "b1": {"data": {"B": "1"}}, "b2": {"data": {"B": "2"}}, "short": {"data": {"": "3"}}}
    assert visible(of(container), "B", named) == expected


@pytest.mark.parametrize(
    ("bucket", "prefix", "verdict"),
    [("b", "jobintel", "ours"), ("b", "/jobintel/", "ours"), ("c", "jobintel", "elsewhere"), ("b", "x", "elsewhere"),
     (None, "jobintel", "ours"), (None, None, "ours"), (None, "x", "elsewhere")],
)  # fmt: skip
def test_the_target_site_publishes_to_this_place_as_far_as_it_can_be_seen(
    bucket: str | None, prefix: str | None, verdict: str
) -> None:
    """Another bucket or prefix would leave the canonical one without a publisher; a Secret's value can't be seen."""
    pairs = (("JOBINTEL_S3_BUCKET", bucket), ("JOBINTEL_S3_PREFIX", prefix))
    own = of({"env": [said(name, value) for name, value in pairs if value is not None]})
    other = of({"env": [said("JOBINTEL_S3_BUCKET", "elsewhere")]}, name="other")
    fact, run = publishing.FACTS["publishing_place"], a_run(inputs={"cronjob": "daily"})
    assert fact.judge(fact.observe(both([own, other], []), run), run.inputs) == verdict
    every = a_run()
    assert fact.judge(fact.observe(both([own, other], []), every), every.inputs) == "elsewhere"


# --- what of the schedules a restore stopped --------------------------------------------------------------


def test_an_undo_gives_a_stopped_deployment_back_as_it_was() -> None:
    """Scaled to nothing again, with its record; one that ran keeps its number."""
    stopped = '{"replicas": 3}'
    for replicas in (0, 3):
        world = world_of(deployment(replicas, before=stopped), cronjob("a"), site="primary")
        image = schedules.FACTS["primary_schedules"].observe(world, a_run())
        assert image["Deployment/web"] == {"suspend": replicas == 0, "before": stopped}
        schedules.ACTIONS["resume_primary_schedules"](world, a_run())
        notes: list[str] = []
        undo = a_run(undoing={"primary_schedules": image}, notes=notes)
        assert schedules.PROMOTE["restore_primary_schedules"](world, undo)["restored"] == ["Deployment/web"]
        web = live(world, "Deployment", "web", "primary")
        assert (web["spec"]["replicas"], note(web)) == (replicas, {"replicas": 3})
        assert f"restored Deployment/web on primary: suspend {replicas == 0}" in notes


@pytest.mark.parametrize(
    "record", ['{"replicas": 0}', '{"replicas": -1}', '{"replicas": true}', '{"replicas": "3"}', "{}"]
)
def test_a_deployment_without_a_number_of_pods_on_record_is_no_schedule(record: str) -> None:
    """A restore did not stop it."""
    world = world_of(deployment(0, before=record), cronjob("a"), site="primary")
    assert schedules.see(world, "primary", a_run()).keys() == {"a"}
    schedules.ACTIONS["resume_primary_schedules"](world, a_run())
    assert live(world, "Deployment", "web", "primary")["spec"]["replicas"] == 0


def test_an_undo_tells_what_changed_since_the_freeze_only_where_that_is_known() -> None:
    """The freeze recorded each spec; after a crash it may not have."""
    world = world_of(cronjob("a"))
    image = schedules.FACTS["dr_schedules"].observe(world, a_run())
    frozen = schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    notes: list[str] = []
    undo = a_run(undoing={"dr_schedules": image}, results={"freeze_dr": frozen}, notes=notes)
    assert schedules.ACTIONS["restore_dr_schedules"](world, undo)["changed_meanwhile"] == []
    assert notes == ["restored CronJob a on dr: suspend False"]
    schedules.ACTIONS["restore_dr_schedules"](world, a_run(undoing={"dr_schedules": image}, notes=notes))
    assert notes[1:] == ["it is unknown whether another process changed a CronJob on dr since the freeze"]


def test_a_site_without_the_namespace_is_told() -> None:
    """No schedule in a namespace that is not there is no schedule that is off."""
    with pytest.raises(ActionFailed, match=f"namespace {NAMESPACE}"):
        schedules.FACTS["dr_schedules"].observe(world_of(), a_run())


def test_an_annotation_that_nobody_can_read_is_told_with_the_command_that_removes_it() -> None:
    """Of a CronJob and of a ConfigMap; an object without annotations has no record."""
    world = world_of(cronjob("a", before="x"), configmap(ON, before="x"))
    for fact, name in (
        (schedules.FACTS["dr_schedules"], "cronjob a"),
        (publishing.FACTS["dr_publishing"], f"configmap {CONFIGMAP}"),
    ):
        with pytest.raises(Unreadable) as refused:
            fact.observe(world, a_run())
        assert f"kubectl annotate {name} drfsm/before-" in refused.value.hint
    bare = cronjob("a")
    del bare["metadata"]["annotations"]
    assert schedules.before_of(bare) is None
    assert schedules.before_of(cronjob("a", before=FIRST)) == FIRST


def test_the_digest_of_a_spec_ignores_what_a_freeze_changes_and_nothing_else() -> None:
    """Whatever the order of its fields."""
    one, other = cronjob("a"), cronjob("a", suspend=True)
    assert schedules.fingerprint(one) == schedules.fingerprint(other)
    assert schedules.fingerprint({"spec": dict(reversed(one["spec"].items()))}) == schedules.fingerprint(one)
    one["spec"]["schedule"] = "0 14 * * *"
    assert schedules.fingerprint(one) != schedules.fingerprint(other)
