"""Schedules and publishing of a site, in memory: frozen, restored to the letter, and never over another's change."""

import json
from typing import Any

import pytest

from drfsm.dr.sites import publishing as _publishing
from drfsm.dr.sites import schedules as _schedules
from drfsm.dr.sites.schedules import BEFORE, EPOCH
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Conflict, Interrupted, Unreadable
from tests.dr.memory import CONFIGMAP, NAMESPACE, RUN, MemorySite, MemoryWorld, a_run

Manifest = dict[str, Any]
publishing: Any = _publishing
schedules: Any = _schedules
ON, OFF = {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}, {"PUBLISH_S3": "0", "PUBLISH_S3_DRY_RUN": "1"}
FIRST = json.dumps({"run": "promote-1", "suspend": False})


def an(kind: str, name: str, *, before: str | None = None, **more: Any) -> Manifest:
    """Return an object, with a record of what was before it was frozen."""
    annotations = {BEFORE: before, "theirs": "kept"} if before is not None else {"theirs": "kept"}
    return {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations}, **more}


def cronjob(name: str, *, suspend: bool = False, before: str | None = None) -> Manifest:
    """Return a CronJob."""
    return an("CronJob", name, before=before, spec={"suspend": suspend, "schedule": "0 13 * * *"})


def configmap(data: dict[str, str], before: str | None = None) -> Manifest:
    """Return the ConfigMap with the switches."""
    return an("ConfigMap", CONFIGMAP, before=before, data={**data, "OTHER": "kept"})


def deployment(replicas: int, before: str | None = None) -> Manifest:
    """Return a Deployment."""
    return an("Deployment", "web", before=before, spec={"replicas": replicas, "template": {}})


def world_of(*objects: Manifest, site: str = "dr") -> MemoryWorld:
    """Return a world with these objects on one site."""
    sites = {name: MemorySite(name, *(objects if name == site else ())) for name in ("primary", "dr")}
    return MemoryWorld(sites=sites)


def live(world: MemoryWorld, kind: str, name: str, site: str = "dr") -> Manifest:
    """Return an object as it is."""
    manifest = world.site(site).get(kind, NAMESPACE, name)
    assert manifest is not None
    return manifest


def suspended(world: MemoryWorld, site: str = "dr") -> dict[str, bool]:
    """Return which CronJobs are suspended."""
    return {each["metadata"]["name"]: each["spec"]["suspend"] for each in world.site(site).list("CronJob", NAMESPACE)}


def note(manifest: Manifest) -> Any:
    """Return the record on an object."""
    raw = manifest["metadata"]["annotations"].get(BEFORE)
    return None if raw is None else json.loads(raw)


def judged(world: MemoryWorld, fact: str, run: Run | None = None) -> str | None:
    """Return what a fact is judged."""
    run, facts = run or a_run(), {**schedules.FACTS, **publishing.FACTS}
    verdict: str | None = facts[fact].judge(facts[fact].observe(world, run), run.inputs)
    return verdict


# --- schedules --------------------------------------------------------------------------------------------


def test_a_freeze_suspends_every_running_schedule_and_records_how_it_was() -> None:
    """Each of them, not the first; one that is suspended already is left as it is, without a record."""
    world = world_of(cronjob("a"), cronjob("b"), cronjob("c", suspend=True))
    result = schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    assert suspended(world) == {"a": True, "b": True, "c": True}
    assert result["suspended"] == ["a", "b"]
    assert result["specs"].keys() == {"a", "b", "c"}
    assert [note(live(world, "CronJob", name)) for name in "abc"] == [{"run": RUN, "suspend": False}] * 2 + [None]
    assert [name for _, name, _ in world.site("dr").patches] == ["a", "b"]
    assert live(world, "CronJob", "a")["metadata"]["annotations"]["theirs"] == "kept"


def test_the_first_record_of_a_schedule_wins() -> None:
    """A later freeze does not write over what an earlier procedure recorded."""
    world = world_of(cronjob("a", before=FIRST))
    schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    assert note(live(world, "CronJob", "a")) == json.loads(FIRST)


@pytest.mark.parametrize("record", ['{"replicas": 3}', '{"suspend": true}'])
def test_a_record_that_does_not_say_that_it_ran_is_replaced(record: str) -> None:
    """The schedule runs now, whatever a record says."""
    world = world_of(cronjob("a", before=record))
    schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    assert note(live(world, "CronJob", "a")) == {"run": RUN, "suspend": False}


def test_a_freeze_stops_between_two_schedules_when_asked_to() -> None:
    """Nothing is written after a person asked to stop."""
    world = world_of(cronjob("a"), cronjob("b"))
    run = a_run(interrupted=lambda: bool(world.site("dr").patches))
    with pytest.raises(Interrupted):
        schedules.ACTIONS["suspend_dr_schedules"](world, run)
    assert suspended(world) == {"a": True, "b": False}


def test_a_change_in_between_is_read_again_and_not_overwritten() -> None:
    """Somebody suspended it himself: there is nothing to do any more, and no record is invented."""
    world = world_of(cronjob("a"))
    site = world.site("dr")
    site.meanwhile = lambda: site.merge("CronJob", "a", {"spec": {"suspend": True}})
    assert schedules.ACTIONS["suspend_dr_schedules"](world, a_run())["suspended"] == []
    assert (site.patches, note(live(world, "CronJob", "a"))) == ([], None)


def test_a_schedule_that_changes_all_the_time_is_given_up_after_five_tries() -> None:
    """A conflict, with the object's name; nothing is forced."""
    world = world_of(cronjob("a"))
    site, tries = world.site("dr"), list[int]()

    def again() -> None:
        tries.append(1)
        site.merge("CronJob", "a", {"metadata": {"labels": {"n": str(len(tries))}}})
        site.meanwhile = again

    site.meanwhile = again
    with pytest.raises(Conflict, match=r"CronJob jobintel/a on dr is changed by another process again and again"):
        schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    assert (len(tries), suspended(world)) == (schedules.TRIES, {"a": False})


@pytest.mark.parametrize(
    ("cronjobs", "verdict"),
    [
        ([], "none"),
        ([cronjob("a"), cronjob("b")], "on"),
        ([cronjob("a", suspend=True), cronjob("b", suspend=True)], "off"),
        ([cronjob("a"), cronjob("b", suspend=True, before=FIRST)], "mixed"),
        ([cronjob("a"), cronjob("b", suspend=True)], "on"),
        ([cronjob("a", before='{"suspend": true}'), cronjob("b")], "mixed"),
    ],
    ids=["none", "all run", "all suspended", "one is frozen", "one never ran", "one runs that did not"],
)
def test_schedules_are_on_where_each_is_as_recorded(cronjobs: list[Manifest], verdict: str) -> None:
    """Off only where every one is suspended; a record says what on means."""
    world = world_of(*cronjobs, an("Namespace", NAMESPACE))
    assert judged(world, "dr_schedules") == verdict


def test_on_the_target_site_named_schedules_are_to_run() -> None:
    """The operator's list counts on the site that takes over, and on no other."""
    inputs = {"resume_cronjobs": "b"}
    objects = (cronjob("a"), cronjob("b", suspend=True))
    assert judged(world_of(*objects, site="primary"), "primary_schedules", a_run(inputs=inputs)) == "mixed"
    assert judged(world_of(*objects), "dr_schedules", a_run(inputs=inputs)) == "on"


def test_an_undo_gives_every_schedule_back_as_it_was_seen() -> None:
    """Suspended or not, with the record that was there, or without one."""
    world = world_of(cronjob("a"), cronjob("b", before=FIRST), cronjob("c", suspend=True))
    image = schedules.FACTS["dr_schedules"].observe(world, a_run())
    schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    undo = a_run(undoing={"dr_schedules": image})
    assert schedules.ACTIONS["restore_dr_schedules"](world, undo)["restored"] == ["a", "b"]
    assert schedules.FACTS["dr_schedules"].observe(world, a_run()) == image
    assert schedules.ACTIONS["restore_dr_schedules"](world, undo)["restored"] == []


def test_an_undo_restores_the_others_and_then_fails_for_one_that_is_gone() -> None:
    """A waiver covers only what could not be restored."""
    world = world_of(cronjob("a"), cronjob("b"))
    image = schedules.FACTS["dr_schedules"].observe(world, a_run())
    schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    del world.site("dr").objects["CronJob", "a"]
    with pytest.raises(ActionFailed, match="CronJob jobintel/a on dr does not exist any more"):
        schedules.ACTIONS["restore_dr_schedules"](world, a_run(undoing={"dr_schedules": image}))
    assert suspended(world) == {"b": False}


def test_a_thaw_resumes_what_ran_before_and_leaves_the_rest_suspended() -> None:
    """By each one's record, else as the operator names it; the records go."""
    world = world_of(
        cronjob("ran", suspend=True, before=FIRST), cronjob("slept", suspend=True, before='{"suspend": true}'),
        cronjob("never", suspend=True), cronjob("named", suspend=True), site="primary",
    )  # fmt: skip
    run = a_run(inputs={"resume_cronjobs": "named"})
    result = schedules.ACTIONS["resume_primary_schedules"](world, run)
    assert suspended(world, "primary") == {"ran": False, "slept": True, "never": True, "named": False}
    assert result["resumed"] == ["ran", "named"]
    assert result["forecast"].keys() == {"ran", "named"}
    assert all(note(each) is None for each in world.site("primary").list("CronJob", NAMESPACE))


def test_a_thaw_tells_the_jobs_that_were_there_and_what_changed_meanwhile() -> None:
    """A Job that is not among these was started by the thaw; a changed, a new and a deleted schedule are told."""
    world = world_of(
        cronjob("a", suspend=True, before=FIRST), cronjob("c", suspend=True), an("Job", "j", status={}), site="primary"
    )
    specs = {"a": "another", "b": "gone"}
    result = schedules.ACTIONS["resume_primary_schedules"](world, a_run(results={"freeze_primary": {"specs": specs}}))
    assert result["jobs"] == ["j"]
    assert result["changed_meanwhile"] == [
        "CronJob b was deleted",
        "CronJob c is new",
        "the spec of CronJob a was changed",
    ]


def test_a_deployment_that_a_restore_stopped_gets_its_pods_back_on_the_target_site() -> None:
    """Only with its record; one that was scaled since keeps its number."""
    for replicas, expected in ((0, 3), (1, 1)):
        world = world_of(deployment(replicas, before='{"replicas": 3}'), cronjob("a"), site="primary")
        schedules.ACTIONS["resume_primary_schedules"](world, a_run())
        web = live(world, "Deployment", "web", "primary")
        assert (web["spec"]["replicas"], note(web)) == (expected, None)
    assert "Deployment/web" not in schedules.see(
        world_of(deployment(0), cronjob("a"), site="primary"), "primary", a_run()
    )
    assert "Deployment/web" not in schedules.see(
        world_of(deployment(0, before='{"replicas": 3}'), cronjob("a")), "dr", a_run()
    )


@pytest.mark.parametrize("record", ["x", "[]", '{"suspend": "no"}', '{"data": []}', '{"data": {"PUBLISH_S3": 1}}'])
def test_a_record_that_drfsm_did_not_write_is_never_overwritten(record: str) -> None:
    """It is unreadable, so a person looks at it."""
    world = world_of(cronjob("a", before=record), configmap(ON, before=record))
    with pytest.raises(Unreadable):
        schedules.ACTIONS["suspend_dr_schedules"](world, a_run())
    with pytest.raises(Unreadable):
        publishing.ACTIONS["silence_dr"](world, a_run())
    assert world.site("dr").patches == []


# --- publishing -------------------------------------------------------------------------------------------


def switches(world: MemoryWorld, site: str = "dr") -> dict[str, str]:
    """Return the ConfigMap's data."""
    return dict(live(world, "ConfigMap", CONFIGMAP, site)["data"])


def test_publishing_is_switched_off_and_how_it_was_is_recorded() -> None:
    """Both switches, and nothing else of the ConfigMap."""
    world = world_of(configmap({"PUBLISH_S3": "true"}))
    assert judged(world, "dr_publishing") == "on"
    assert publishing.ACTIONS["silence_dr"](world, a_run()) == {"changed": True}
    assert switches(world) == {**OFF, "OTHER": "kept"}
    kept = {"run": RUN, "data": {"PUBLISH_S3": "true", "PUBLISH_S3_DRY_RUN": None}}
    assert note(live(world, "ConfigMap", CONFIGMAP)) == kept
    assert judged(world, "dr_publishing") == "off"
    assert publishing.ACTIONS["silence_dr"](world, a_run()) == {"changed": False}


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        ({"run": "promote-1", "data": {**ON, "PUBLISH_S3": "yes"}}, True),
        ({"run": "promote-1", "data": OFF}, False),
        ({"run": "promote-1", "data": {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "1"}}, False),
        ({"run": "promote-1"}, False),
    ],
)
def test_the_first_record_of_publishing_wins_if_it_says_how_it_was_on(record: dict[str, Any], kept: bool) -> None:
    """A record of anything else is no way back: it is replaced by how it is now."""
    world = world_of(configmap(ON, before=json.dumps(record)))
    publishing.ACTIONS["silence_dr"](world, a_run())
    assert note(live(world, "ConfigMap", CONFIGMAP)) == (record if kept else {"run": RUN, "data": ON})


@pytest.mark.parametrize(
    ("data", "record", "expected"),
    [
        (OFF, {"data": {**ON, "PUBLISH_S3": "yes"}}, {**ON, "PUBLISH_S3": "yes"}),
        (OFF, {"data": {"PUBLISH_S3": "yes", "PUBLISH_S3_DRY_RUN": None}}, {"PUBLISH_S3": "yes"}),
        (OFF, {"data": OFF}, ON),
        (OFF, None, ON),
        (ON, {"data": ON}, ON),
    ],
)  # fmt: skip
def test_publishing_comes_on_as_recorded_and_the_record_goes(
    data: dict[str, str], record: dict[str, Any] | None, expected: dict[str, str]
) -> None:
    """Without a record that says how it was on, as the contract says it."""
    world = world_of(configmap(data, before=json.dumps(record) if record else None), site="primary")
    assert publishing.ACTIONS["enable_primary_publishing"](world, a_run()) == {"changed": True}
    assert switches(world, "primary") == {**expected, "OTHER": "kept"}
    assert note(live(world, "ConfigMap", CONFIGMAP, "primary")) is None
    assert publishing.ACTIONS["enable_primary_publishing"](world, a_run()) == {"changed": False}


@pytest.mark.parametrize("before", [ON, OFF, {"PUBLISH_S3": "true"}, {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "1"}])
def test_an_undo_gives_publishing_back_as_it_was_seen(before: dict[str, str]) -> None:
    """The very words, a switch that was not set, and the record that was there."""
    world = world_of(configmap(before, before=FIRST.replace("suspend", "x")))
    image = publishing.FACTS["dr_publishing"].observe(world, a_run())
    publishing.ACTIONS["silence_dr"](world, a_run())
    undo = a_run(undoing={"dr_publishing": image})
    publishing.ACTIONS["restore_dr_publishing"](world, undo)
    assert publishing.FACTS["dr_publishing"].observe(world, a_run()) == image
    assert switches(world) == {**before, "OTHER": "kept"}
    assert publishing.ACTIONS["restore_dr_publishing"](world, undo) == {"changed": False}


@pytest.mark.parametrize("theirs", [{**OFF, "PUBLISH_S3": "1"}, {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}])
def test_an_undo_does_not_overwrite_what_another_process_switched(theirs: dict[str, str]) -> None:
    """Neither as this run left it nor as it was: a person decides, and nothing is written."""
    world = world_of(configmap({**ON, "PUBLISH_S3": "true"}))
    image = publishing.FACTS["dr_publishing"].observe(world, a_run())
    publishing.ACTIONS["silence_dr"](world, a_run())
    world.site("dr").merge("ConfigMap", CONFIGMAP, {"data": theirs})
    patches = len(world.site("dr").patches)
    with pytest.raises(ActionFailed, match="its values are not overwritten"):
        publishing.ACTIONS["restore_dr_publishing"](world, a_run(undoing={"dr_publishing": image}))
    assert (len(world.site("dr").patches), switches(world)) == (patches, {**theirs, "OTHER": "kept"})


def test_an_undo_removes_its_record_where_the_switches_are_as_they_were() -> None:
    """Somebody switched them back by hand, and forgot the annotation."""
    world = world_of(configmap(ON))
    image = publishing.FACTS["dr_publishing"].observe(world, a_run())
    publishing.ACTIONS["silence_dr"](world, a_run())
    world.site("dr").merge("ConfigMap", CONFIGMAP, {"data": ON})
    publishing.ACTIONS["restore_dr_publishing"](world, a_run(undoing={"dr_publishing": image}))
    assert publishing.FACTS["dr_publishing"].observe(world, a_run()) == image


@pytest.mark.parametrize(
    ("table", "undo", "fact", "site", "left"),
    [
        (publishing.ACTIONS, "restore_dr_publishing", "dr_publishing", "dr", OFF),
        (publishing.ACTIONS, "restore_primary_publishing", "primary_publishing", "primary", ON),
        (publishing.PROMOTE, "restore_primary_publishing", "primary_publishing", "primary", OFF),
    ],
    ids=["failback, dr", "failback, primary", "promote, primary"],
)
def test_each_undo_knows_how_its_run_left_publishing(
    table: Any, undo: str, fact: str, site: str, left: dict[str, str]
) -> None:
    """What the run itself set is given back, its opposite is another process's."""
    image = {"PUBLISH_S3": "true", "PUBLISH_S3_DRY_RUN": "true", "before": None}
    run = a_run(undoing={fact: image})
    world = world_of(configmap(left), site=site)
    assert table[undo](world, run) == {"changed": True}
    world = world_of(configmap(OFF if left == ON else ON), site=site)
    with pytest.raises(ActionFailed, match="not overwritten"):
        table[undo](world, run)


def test_a_configmap_that_is_not_there_is_told() -> None:
    """Never read as publishing that is off."""
    with pytest.raises(ActionFailed, match="ConfigMap jobintel/jobintel-config does not exist on dr"):
        publishing.FACTS["dr_publishing"].observe(world_of(), a_run())


# --- shut out ---------------------------------------------------------------------------------------------


def test_a_touch_changes_nothing_but_the_mark_on_everything_a_late_write_could_change() -> None:
    """Every schedule, also one that only the undo knows, and the ConfigMap: each has a new resourceVersion."""
    world = world_of(cronjob("a"), cronjob("b", suspend=True), configmap(ON))
    before = {name: live(world, *name) for name in (("CronJob", "a"), ("CronJob", "b"), ("ConfigMap", CONFIGMAP))}
    run = a_run(undoing={"dr_schedules": {"a": {}, "gone": {}}})
    touch, switch = schedules.LATE["suspend_dr_schedules"].touch, publishing.LATE["silence_dr"].touch
    assert touch(world, run) == {"site": "dr", "touched": ["a", "b"]}
    assert switch(world, run) == {"site": "dr", "touched": [CONFIGMAP]}
    for name, manifest in before.items():
        now = live(world, *name)
        mark = json.loads(now["metadata"]["annotations"].pop(EPOCH))
        assert (mark["run"], mark["epoch"]) == (RUN, 7)
        assert now["metadata"].pop("resourceVersion") != manifest["metadata"].pop("resourceVersion")
        assert now == manifest


def test_a_site_that_is_lost_can_not_be_touched() -> None:
    """It gets no requests: a person answers for what is on its way there."""
    run = a_run(inputs={"dr_unreachable": "yes"})
    for table, name in ((schedules.LATE, "suspend_dr_schedules"), (publishing.LATE, "silence_dr")):
        touch = table[name].touch
        with pytest.raises(ActionFailed, match="dr is declared lost"):
            touch(world_of(cronjob("a"), configmap(ON)), run)
