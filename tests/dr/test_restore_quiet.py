"""What a restore plans and sees: nothing that it brings runs or publishes, and how it was is on record. In memory."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from drfsm.dr import workload
from drfsm.dr.backup import restore
from drfsm.dr.backup.check import Backup
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore import compared, live, planned, quieted
from drfsm.dr.backup.state_volume import Pace
from drfsm.dr.control_plane import SECTIONS
from drfsm.errors import Conflict, Interrupted
from tests.dr.memory import CONFIGMAP, NAMESPACE, RUN, Clock, MemorySite
from tests.dr.test_freezing import FIRST, OFF, ON, configmap, note

Manifest = dict[str, Any]
JUDGE: Any = restore.FACTS["restored_manifests"].judge
POD = {"containers": [{"name": "main", "image": "x", "envFrom": [{"configMapRef": {"name": CONFIGMAP}}]}]}


def cronjob(name: str = "daily", *, suspend: bool = False, before: str | None = None) -> Manifest:
    """Return a CronJob as a backup has it."""
    return an("CronJob", name, before, {"suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": POD}}}})


def deployment(replicas: int | None = 2, before: str | None = None) -> Manifest:
    """Return a Deployment as a backup has it."""
    spec: Manifest = {"template": {"spec": POD}}
    return an("Deployment", "web", before, {**spec, **({} if replicas is None else {"replicas": replicas})})


def an(kind: str, name: str, before: str | None, spec: Manifest) -> Manifest:
    """Return an object."""
    annotations = {"theirs": "kept", **({"drfsm/before": before} if before else {})}
    return {"kind": kind, "metadata": {"name": name, "namespace": "old", "annotations": annotations}, "spec": spec}


def target(*objects: Manifest) -> Target:
    """Return a site with these objects."""
    site: Any = MemorySite("dr", *objects)
    return Target(site, NAMESPACE, workload.legacy(), CONFIGMAP)


def plan(*manifests: Manifest, stops: bool = True) -> list[Manifest]:
    """Return what a restore of these objects would apply, without the namespace."""
    return planned(backup(*manifests), target(), RUN, stops=stops)[1:]


def backup(*manifests: Manifest) -> Backup:
    """Return a backup of these objects of the namespace ``old``."""
    namespace = {"kind": "Namespace", "metadata": {"name": "old", "labels": {"team": "x"}}}
    metadata: Manifest = {"checksums": {}, "secrets": {}}
    return Backup("s3://b/x", "0" * 64, metadata, [namespace, *deepcopy(list(manifests))], {}, b"")


@pytest.mark.parametrize(
    ("suspend", "before", "kept"),
    [
        (False, None, {"run": RUN, "suspend": False}),
        (True, None, None),
        (True, FIRST, json.loads(FIRST)),
        (False, FIRST, json.loads(FIRST)),
        (False, '{"suspend": true}', {"run": RUN, "suspend": False}),
    ],
)
def test_every_schedule_comes_up_suspended_and_remembers_that_it_ran(
    suspend: bool, before: str | None, kept: Mapping[str, Any] | None
) -> None:
    """A record of before wins; one that never ran has none."""
    (manifest,) = plan(cronjob(suspend=suspend, before=before))
    assert (manifest["spec"]["suspend"], note(manifest)) == (True, kept)
    assert manifest["metadata"]["annotations"]["theirs"] == "kept"


@pytest.mark.parametrize(
    ("replicas", "kept"), [(2, {"run": RUN, "replicas": 2}), (None, {"run": RUN, "replicas": 1}), (0, None)]
)
def test_every_deployment_comes_up_without_pods_and_remembers_their_number(
    replicas: int | None, kept: Mapping[str, Any] | None
) -> None:
    """Its pods may publish, whatever they are for; without a number it has one."""
    (manifest,) = plan(deployment(replicas))
    assert (manifest["spec"]["replicas"], note(manifest)) == (0, kept)
    (as_then,) = plan(deployment(replicas), stops=False)
    assert as_then["spec"].get("replicas") == replicas


@pytest.mark.parametrize(
    ("data", "before", "kept"),
    [
        (ON, None, {"run": RUN, "data": ON}),
        ({"PUBLISH_S3": "true"}, None, {"run": RUN, "data": {"PUBLISH_S3": "true", "PUBLISH_S3_DRY_RUN": None}}),
        (OFF, None, None),
        ({}, None, None),
        (OFF, json.dumps({"data": ON}), {"data": ON}),
        (ON, json.dumps({"data": {**ON, "PUBLISH_S3": "yes"}}), {"data": {**ON, "PUBLISH_S3": "yes"}}),
        (ON, json.dumps({"data": OFF}), {"run": RUN, "data": ON}),
    ],
)
def test_publishing_comes_up_off_whatever_the_backup_says(
    data: dict[str, str], before: str | None, kept: Mapping[str, Any] | None
) -> None:
    """Both switches; how it was on is on record, the first record wins; the rest stays."""
    (manifest,) = plan(configmap(data, before=before))
    assert manifest["data"] == {**OFF, "OTHER": "kept"}
    assert note(manifest) == kept


def test_only_the_named_configmap_holds_the_switches_and_it_comes_up_mutable() -> None:
    """An immutable one could never be switched on; another one is restored as it is."""
    other = {**configmap(ON), "immutable": True}
    other["metadata"] = {**other["metadata"], "name": "other"}
    ours, theirs = plan({**configmap(ON), "immutable": True}, other)
    assert ("immutable" in ours, ours["data"]["PUBLISH_S3"]) == (False, "0")
    assert (theirs["immutable"], theirs["data"]["PUBLISH_S3"]) == (True, "1")


def test_a_configmap_without_data_is_switched_off_too() -> None:
    """What says nothing could be read as on by another workload."""
    bare = configmap({})
    del bare["data"]
    (manifest,) = plan(bare)
    assert manifest["data"] == OFF


def test_marks_of_another_sites_procedures_are_left_out() -> None:
    """They say what was done there."""
    marked = cronjob()
    marked["metadata"]["annotations"] |= {"drfsm/restored-state": "x", "drfsm/control-plane-bundle": "y"}
    (manifest,) = plan(marked)
    assert manifest["metadata"]["annotations"].keys() == {"theirs", "drfsm/before"}


def test_all_lies_in_the_namespace_of_the_site_and_what_starts_pods_comes_last() -> None:
    """The namespace first, with its labels; a RoleBinding's subjects move along."""
    binding = {
        "kind": "RoleBinding", "metadata": {"name": "b", "namespace": "old"}, "roleRef": {},
        "subjects": [{"name": "a", "namespace": "old"}, {"name": "c", "namespace": "theirs"}],
    }  # fmt: skip
    manifests = planned(backup(deployment(), cronjob(), configmap(ON), binding), target(), RUN)
    assert manifests[0]["metadata"] == {"name": NAMESPACE, "labels": {"team": "x"}}
    assert {each["metadata"]["namespace"] for each in manifests[1:]} == {NAMESPACE}
    kinds = [each["kind"] for each in manifests]
    assert kinds[0] == "Namespace"
    assert kinds.index("ConfigMap") < kinds.index("CronJob") < kinds.index("Deployment")
    subjects = next(each for each in manifests if each["kind"] == "RoleBinding")["subjects"]
    assert [subject["namespace"] for subject in subjects] == [NAMESPACE, "theirs"]


def test_a_receipt_names_what_was_stopped() -> None:
    """Schedules, Deployments with their pods, and what does not heed the ConfigMap."""
    alone = cronjob("alone")
    spec = {"containers": [{"name": "main", "image": "x", "env": [{"name": "PUBLISH_S3", "value": "1"}]}]}
    alone["spec"]["jobTemplate"]["spec"]["template"]["spec"] = spec
    told = quieted(backup(cronjob(), alone, deployment(3), {**configmap(ON), "immutable": True}), target())
    assert told["suspended"] == ["CronJob/daily", "CronJob/alone"]
    assert told["scaled_to_zero"] == ["Deployment/web, which had 3"]
    assert told["made_mutable"] == [f"ConfigMap/{CONFIGMAP}"]
    assert "CronJob alone, container main sets PUBLISH_S3 by itself" in told["by_themselves"]


# --- the site ---------------------------------------------------------------------------------------------


def there(*objects: Manifest) -> Target:
    """Return a site with these objects in its namespace."""
    for each in objects:
        each["metadata"]["namespace"] = NAMESPACE
    return target(*objects)


@pytest.mark.parametrize(
    ("objects", "reasons"),
    [
        ([], []),
        ([cronjob(suspend=True), configmap(OFF)], []),
        ([cronjob(suspend=True), cronjob("b")], ["CronJob b is on"]),
        ([configmap(ON)], [f"ConfigMap {CONFIGMAP} has publishing on"]),
        ([cronjob(), configmap(ON)], ["CronJob daily is on", f"ConfigMap {CONFIGMAP} has publishing on"]),
        ([configmap({**ON, "PUBLISH_S3_DRY_RUN": "1"})], []),
    ],
)
def test_a_site_is_live_by_one_schedule_or_by_its_switches(objects: list[Manifest], reasons: list[str]) -> None:
    """One is enough: the other may be off for a while."""
    assert live(there(*deepcopy(objects))) == reasons


def seen(*objects: Manifest, manifests: list[Manifest] | None = None) -> tuple[str, Any]:
    """Return what a site with these objects is judged against a plan, and what was seen."""
    found = compared(there(*deepcopy(objects)), manifests if manifests is not None else planned(full(), target(), RUN))
    return JUDGE(found), found


def full() -> Backup:
    """Return a backup with one of each."""
    return backup(cronjob(), deployment(), configmap(ON))


def restored() -> list[Manifest]:
    """Return a site as a restore leaves it."""
    return planned(full(), target(), RUN)


def test_a_restored_site_is_quiet() -> None:
    """Everything is there, nothing differs, nothing runs."""
    assert seen(*restored())[0] == "quiet"


def test_a_site_with_nothing_but_its_namespace_is_absent() -> None:
    """Also where that is missing, too."""
    assert seen(restored()[0])[0] == "absent"
    assert seen()[0] == "absent"


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_site_that_lacks_an_object_is_partial(missing: int) -> None:
    """Which, is told. Without the ConfigMap nobody knows whether a Job would publish: that is loud."""
    objects = restored()
    lacking = objects.pop(missing)
    verdict, found = seen(*objects)
    assert found["missing"] == [f"{lacking['kind']}/{lacking['metadata']['name']}"]
    assert verdict == ("loud" if lacking["kind"] == "ConfigMap" else "partial")


def test_a_site_that_differs_is_partial_but_for_drfsms_own_record() -> None:
    """A live record of before may be an older one; any other field counts."""
    objects = restored()
    objects[2]["metadata"]["annotations"] = {**objects[2]["metadata"]["annotations"], "drfsm/before": FIRST}
    assert seen(*objects)[0] == "quiet"
    objects[3]["spec"]["replicas"] = 1
    verdict, found = seen(*objects)
    assert verdict == "partial"
    assert any("replicas" in words for words in found["different"])


@pytest.mark.parametrize("loud", [cronjob("theirs"), configmap(ON), configmap({**OFF, "PUBLISH_S3": "1"})])
def test_a_site_on_which_something_runs_or_may_publish_is_loud(loud: Manifest) -> None:
    """Also what no backup brought, and switches that are neither on nor off."""
    objects = [each for each in restored() if each["metadata"]["name"] != loud["metadata"]["name"]]
    verdict, found = seen(*objects, loud)
    assert verdict == "loud"
    assert len(found["loud"]) == 1


def test_a_record_on_the_live_object_outlives_a_restore() -> None:
    """It says how the site was before the disaster; one that says that it was off does not count."""
    switches = workload.legacy().switches
    (manifest,) = plan(cronjob(suspend=True))
    for raw, kept in ((FIRST, True), ('{"replicas": 2}', True), ('{"suspend": true}', False), (None, False)):
        again = restore._as_before(manifest, cronjob(before=raw), switches)
        assert again["metadata"]["annotations"].get("drfsm/before") == (raw if kept else None)
        assert again["metadata"]["annotations"]["theirs"] == "kept"
    assert restore._as_before(manifest, None, switches) == manifest


def pace(said: list[str], stop: type[Exception] | None = None) -> Pace:
    """Return a pace that notes what is said, and stops at once where it is told to."""

    def check() -> None:
        if stop:
            raise stop("stop")

    return Pace(check, said.append, Clock())


def test_a_restore_applies_in_order_and_leaves_claims_and_namespaces() -> None:
    """What is created and what is applied over is told apart; a claim that is there keeps its spec."""
    claim = an("PersistentVolumeClaim", "state", None, {"accessModes": ["ReadWriteOnce"]})
    there_already = deepcopy(claim)
    there_already["spec"] = {"accessModes": ["ReadWriteMany"]}
    goal, said = there(there_already, cronjob(before=FIRST)), list[str]()
    manifests = planned(backup(claim, cronjob(), configmap(ON)), goal, RUN)
    site: Any = goal.cluster
    site.objects["Namespace", NAMESPACE] = {"kind": "Namespace", "metadata": {"name": NAMESPACE}}
    done = restore.apply(goal, manifests, pace(said), force=False)
    assert done["left"] == [
        f"Namespace/{NAMESPACE}", "PersistentVolumeClaim/state, which differs in spec.accessModes"
    ]  # fmt: skip
    assert (done["created"], done["applied"]) == ([f"ConfigMap/{CONFIGMAP}"], ["CronJob/daily"])
    assert [each[:2] for each in site.applied] == [("ConfigMap", CONFIGMAP), ("CronJob", "daily")]
    assert said == [f"created ConfigMap {CONFIGMAP} on dr", "applied CronJob daily on dr"]
    assert note(site.objects["CronJob", "daily"]) == json.loads(FIRST)
    assert site.objects["PersistentVolumeClaim", "state"]["spec"] == {"accessModes": ["ReadWriteMany"]}


def test_a_restore_is_not_forced_over_another_manager_and_stops_between_two_objects() -> None:
    """The conflict names the option; asked to stop, nothing more is applied."""
    theirs = cronjob(suspend=True)
    theirs["metadata"]["labels"] = {"owned": "gitops"}
    goal = there(theirs)
    with pytest.raises(Conflict) as refused:
        restore.apply(goal, plan(cronjob()), pace([]), force=False)
    assert "--force-conflicts" in refused.value.hint
    site: Any = goal.cluster
    with pytest.raises(Interrupted):
        restore.apply(goal, plan(cronjob()), pace([], Interrupted), force=True)
    assert site.applied == []
    restore.apply(goal, plan(cronjob()), pace([]), force=True)
    assert site.applied == [("CronJob", "daily", True)]


def secret(name: str, *keys: str) -> Manifest:
    """Return a Secret of a site."""
    return {"kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": dict.fromkeys(keys, "eA==")}


@pytest.mark.parametrize(
    ("objects", "missing"),
    [
        ([], [("keys", False, ["A", "B"]), ("login", False, [])]),
        ([secret("keys", "A", "B"), secret("login")], []),
        ([secret("keys", "A"), secret("login")], [("keys", True, ["B"])]),
        ([secret("keys", "A", "B", "C")], [("login", False, [])]),
        ([{**secret("keys"), "data": None}, secret("login")], [("keys", True, ["A", "B"])]),
    ],
)
def test_missing_secrets_are_named_with_the_keys_that_they_lack(
    objects: list[Manifest], missing: list[tuple[str, bool, list[str]]]
) -> None:
    """Those that the backup knew, and those that its workloads name; a backup holds none."""
    wants = cronjob()
    pod = deepcopy(POD)
    pod["containers"][0]["env"] = [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "B"}}}]
    wants["spec"]["jobTemplate"]["spec"]["template"]["spec"] = pod
    known = Backup("s3://b/x", "0" * 64, {"checksums": {}, "secrets": {"keys": ["A"], "login": None}}, [wants], {}, b"")
    found = restore.missing_secrets(target(*objects), known)
    assert [(each["name"], each["there"], each["keys"]) for each in found] == missing
    fact: Any = restore.FACTS["restored_secrets"]
    assert fact.judge({"missing": found}, {}) == ("missing" if missing else "present")


def test_the_published_control_plane_goes_before_the_backups() -> None:
    """Its own ConfigMaps are not restored where it is applied from the bundle."""
    section = configmap({"x": "y"})
    section["metadata"]["name"] = workload.legacy().kubernetes.control_plane_of(SECTIONS[0])
    site: Any = MemorySite("dr")
    for bundled, kinds in ((True, ["Namespace"]), (False, ["Namespace", "ConfigMap"])):
        goal = Target(site, NAMESPACE, workload.legacy(), CONFIGMAP, bundled=bundled)
        assert [each["kind"] for each in planned(backup(section), goal, RUN)] == kinds
