"""Conformance: what the official client sees of one cluster. Only the kubeconfig is known of it."""

import base64
import json
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

IMAGE = "registry.example/shell:1"
Manifest = dict[str, Any]
Refused = Callable[[Callable[[], Any]], tuple[int, Manifest]]


def config_map(name: str, **rest: Any) -> Manifest:
    """Return a ConfigMap."""
    labels = rest.pop("labels", {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, **rest}


def job(name: str, script: str = "true", **spec: Any) -> Manifest:
    """Return a Job of one container that runs a script."""
    container = {"name": "main", "image": IMAGE, "command": ["/bin/sh", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
    }


def cronjob(name: str, **spec: Any) -> Manifest:
    """Return a CronJob that won't be due while the tests run."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "0 0 29 2 *", "jobTemplate": {"spec": job("x")["spec"]}, **spec},
    }


# --- objects --------------------------------------------------------------------------------------------


def test_a_new_object_gets_its_identity_and_is_read_back(clients: Any, namespace: str) -> None:
    """Create returns uid, creationTimestamp and resourceVersion, and get returns the same object."""
    made = clients.core.create_namespaced_config_map(namespace, config_map("a", data={"k": "v"}))
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo is not None
    found = clients.core.read_namespaced_config_map("a", namespace)
    assert found.to_dict() == made.to_dict()


def test_generate_name_makes_names_that_differ(clients: Any, namespace: str) -> None:
    """Two objects with the same generateName get two names that begin with it."""
    body = {"metadata": {"generateName": "run-"}}
    names = {clients.core.create_namespaced_config_map(namespace, body).metadata.name for _ in range(2)}
    assert len(names) == 2
    assert all(each.startswith("run-") and len(each) == 9 for each in names)


def test_an_update_from_an_older_version_is_a_conflict_and_changes_nothing(
    clients: Any, namespace: str, refusal: Refused
) -> None:
    """Of two writers from the same version the second is refused with 409 Conflict; the first one's value stays."""
    old = clients.core.create_namespaced_config_map(namespace, config_map("a", data={"k": "0"}))
    old.data = {"k": "1"}
    clients.core.replace_namespaced_config_map("a", namespace, old)
    old.data = {"k": "2"}
    code, status = refusal(lambda: clients.core.replace_namespaced_config_map("a", namespace, old))
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the object has been modified" in status["message"]
    assert clients.core.read_namespaced_config_map("a", namespace).data == {"k": "1"}


def test_a_write_that_changes_nothing_keeps_the_version(clients: Any, namespace: str) -> None:
    """Replacing an object by itself doesn't raise its resourceVersion."""
    made = clients.core.create_namespaced_config_map(namespace, config_map("a", data={"k": "v"}))
    again = clients.core.replace_namespaced_config_map("a", namespace, made)
    assert again.metadata.resource_version == made.metadata.resource_version


def test_generation_counts_changes_of_spec_only(clients: Any, namespace: str) -> None:
    """A label leaves the generation at 1; a changed spec makes it 2; a status changes neither it nor the spec."""
    patch = clients.batch.patch_namespaced_cron_job
    clients.batch.create_namespaced_cron_job(namespace, cronjob("c"))
    assert patch("c", namespace, {"metadata": {"labels": {"a": "b"}}}).metadata.generation == 1
    assert patch("c", namespace, {"spec": {"suspend": True}}).metadata.generation == 2
    stamped = {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}, "spec": {"suspend": False}}
    seen = clients.batch.patch_namespaced_cron_job_status("c", namespace, stamped)
    assert (seen.metadata.generation, seen.spec.suspend) == (2, True)
    assert seen.status.last_schedule_time.year == 2026


def test_status_is_not_taken_from_a_write_of_the_rest(clients: Any, namespace: str) -> None:
    """A CronJob created and replaced with a status of the writer's has none."""
    body = {**cronjob("c"), "status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}
    assert clients.batch.create_namespaced_cron_job(namespace, body).status.last_schedule_time is None
    assert clients.batch.replace_namespaced_cron_job("c", namespace, body).status.last_schedule_time is None


def test_dry_run_shows_the_result_and_keeps_nothing(clients: Any, namespace: str, refusal: Refused) -> None:
    """dryRun=All answers with defaults filled in, and neither creates, nor patches, nor deletes."""
    made = clients.batch.create_namespaced_cron_job(namespace, cronjob("c"), dry_run="All")
    assert made.spec.concurrency_policy == "Allow"
    assert refusal(lambda: clients.batch.read_namespaced_cron_job("c", namespace))[0] == 404
    clients.batch.create_namespaced_cron_job(namespace, cronjob("c"))
    shown = clients.batch.patch_namespaced_cron_job("c", namespace, {"spec": {"suspend": True}}, dry_run="All")
    clients.batch.delete_namespaced_cron_job("c", namespace, dry_run="All")
    assert shown.spec.suspend
    assert not clients.batch.read_namespaced_cron_job("c", namespace).spec.suspend


# --- refusals -------------------------------------------------------------------------------------------

BAD_NAME = config_map("Not_A_Name")
RUN_ID_LABEL = config_map("a", labels={"run": "2026-02-27T00:22:29.934039+00:00"})
LONG_LABEL = config_map("a", labels={"run": "x" * 64})
NUMBER = config_map("a", data={"k": 1})
HUGE = config_map("a", data={"k": "x" * (1024 * 1024 + 1)})
BAD_KEY = config_map("a", data={"state/last.json": "{}"})


@pytest.mark.parametrize(
    ("body", "code", "reason", "words"),
    [
        pytest.param(BAD_NAME, 422, "Invalid", "RFC 1123", id="a name must be one of DNS"),
        pytest.param(RUN_ID_LABEL, 422, "Invalid", "a valid label must be", id="a run id is no label"),
        pytest.param(LONG_LABEL, 422, "Invalid", "must be no more than 63", id="a label has 63 characters at most"),
        pytest.param(NUMBER, 400, "BadRequest", "cannot unmarshal number", id="a value must be a string"),
        pytest.param(HUGE, 422, "Invalid", "1048576", id="a ConfigMap holds a mebibyte"),
        pytest.param(BAD_KEY, 422, "Invalid", "a valid config key must", id="a key has no slash"),
        pytest.param({"metadata": {}}, 422, "Invalid", "name or generateName is required", id="a name is required"),
        pytest.param({**config_map("a"), "kind": "Secret"}, 400, "BadRequest", "", id="the kind must fit the path"),
        pytest.param(
            {"metadata": {"name": "a", "namespace": "default"}},
            400,
            "BadRequest",
            "does not match the namespace",
            id="the namespace must fit the path",
        ),
    ],
)
def test_a_malformed_config_map_is_refused(
    clients: Any, namespace: str, body: Manifest, code: int, reason: str, words: str
) -> None:
    """It is refused with the real code, reason and words, and nothing is kept."""
    found = clients.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", body=body)
    assert (found.status, found.json["reason"], found.json["kind"]) == (code, reason, "Status")
    assert words in found.json["message"]
    names = [each.metadata.name for each in clients.core.list_namespaced_config_map(namespace).items]
    assert "a" not in names


def test_refusals_name_the_object(clients: Any, namespace: str, refusal: Refused) -> None:
    """NotFound and AlreadyExists say which object of which kind, as clients tell operators."""
    code, status = refusal(lambda: clients.batch.read_namespaced_job("nope", namespace))
    assert (code, status["reason"], status["message"]) == (404, "NotFound", 'jobs.batch "nope" not found')
    assert status["details"] == {"name": "nope", "group": "batch", "kind": "jobs"}
    clients.core.create_namespaced_config_map(namespace, config_map("a"))
    code, status = refusal(lambda: clients.core.create_namespaced_config_map(namespace, config_map("a")))
    assert (code, status["reason"], status["message"]) == (409, "AlreadyExists", 'configmaps "a" already exists')


def test_an_unknown_namespace_and_an_unknown_path_are_not_found(clients: Any, refusal: Refused) -> None:
    """Creating where there is no namespace is 404 and names it; so is a resource that doesn't exist."""
    code, status = refusal(lambda: clients.core.create_namespaced_config_map("no-such-place", config_map("a")))
    assert (code, status["message"]) == (404, 'namespaces "no-such-place" not found')
    assert clients.ask("GET", "/api/v1/namespaces/default/gizmos").status == 404
    assert clients.ask("GET", "/apis/nobody.example/v1/gizmos").status == 404


def test_a_body_of_another_media_type_is_refused(clients: Any, namespace: str) -> None:
    """XML is 415, and so is a patch of no known kind."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    found = clients.ask("POST", path, body=json.dumps(config_map("a")), content_type="application/xml")
    assert (found.status, found.json["reason"]) == (415, "UnsupportedMediaType")
    clients.core.create_namespaced_config_map(namespace, config_map("a"))
    assert clients.ask("PATCH", f"{path}/a", body="{}", content_type="application/json").status == 415


def test_a_wrong_token_is_unauthorized(clients: Any) -> None:
    """A request with a token that nobody was given is 401 Unauthorized."""
    found = clients.ask("GET", "/api/v1/namespaces", authorization="Bearer not-a-token")
    assert (found.status, found.json["reason"]) == (401, "Unauthorized")


def test_a_client_that_does_not_know_the_authority_refuses_the_server(clients: Any) -> None:
    """The certificate is the cluster's own: with the system's authorities alone TLS fails."""
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"{clients.configuration.host}/version", timeout=5)  # noqa: S310  https
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


# --- defaults and what may not change -------------------------------------------------------------------


def test_a_job_is_read_back_with_defaults_and_its_own_selector(clients: Any, namespace: str) -> None:
    """A bare Job has its counts, its pod's defaults, and labels and selector that name its own uid."""
    body = job("j")
    del body["spec"]["backoffLimit"]
    made = clients.batch.create_namespaced_job(namespace, {**body, "spec": {**body["spec"], "suspend": True}})
    spec, uid = made.spec, made.metadata.uid
    assert (spec.backoff_limit, spec.completions, spec.parallelism) == (6, 1, 1)
    assert (spec.completion_mode, spec.pod_replacement_policy) == ("NonIndexed", "TerminatingOrFailed")
    assert spec.manual_selector is False
    assert made.metadata.labels == spec.template.metadata.labels  # it was given none of its own
    assert spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": uid}
    assert spec.template.metadata.labels == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }
    pod = spec.template.spec
    assert (pod.restart_policy, pod.dns_policy, pod.scheduler_name) == ("Never", "ClusterFirst", "default-scheduler")
    assert pod.containers[0].image_pull_policy == "IfNotPresent"


def test_a_cronjob_is_read_back_with_defaults(clients: Any, namespace: str) -> None:
    """A bare CronJob allows concurrency, isn't suspended, and keeps three good and one failed Job."""
    spec = clients.batch.create_namespaced_cron_job(namespace, cronjob("c")).spec
    assert (spec.concurrency_policy, spec.suspend) == ("Allow", False)
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (3, 1)
    assert spec.starting_deadline_seconds is None
    assert spec.job_template.spec.template.spec.termination_grace_period_seconds == 1


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("host:5000/a", "Always")],
)
def test_what_is_pulled_anew_depends_on_the_tag(clients: Any, namespace: str, image: str, policy: str) -> None:
    """Only an image with a tag of its own is pulled once; a port is no tag."""
    body = job("j", suspend=True)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    made = clients.batch.create_namespaced_job(namespace, body)
    assert made.spec.template.spec.containers[0].image_pull_policy == policy


def test_a_secrets_string_data_is_kept_encoded_and_its_type_stays(
    clients: Any, namespace: str, refusal: Refused
) -> None:
    """StringData ends up in data, in base64, and isn't read back; the type can't be changed."""
    body = {"metadata": {"name": "s"}, "stringData": {"a": "ä"}, "data": {"b": "Yg=="}}
    made = clients.core.create_namespaced_secret(namespace, body)
    assert made.data == {"a": base64.b64encode("ä".encode()).decode(), "b": "Yg=="}
    assert (made.string_data, made.type) == (None, "Opaque")
    code, status = refusal(lambda: clients.core.patch_namespaced_secret("s", namespace, {"type": "other"}))
    assert (code, status["reason"]) == (422, "Invalid")
    assert "field is immutable" in status["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"completions": 2},
        {"template": {"spec": {"activeDeadlineSeconds": 5}}},
        {"selector": {"matchLabels": {"a": "b"}}},
        {"completionMode": "Indexed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_job_is_stays(clients: Any, namespace: str, refusal: Refused, change: Manifest) -> None:
    """Completions, template, selector and mode of a Job that has started are immutable; nothing changes."""
    clients.batch.create_namespaced_job(namespace, job("j"))
    before = clients.batch.read_namespaced_job("j", namespace).spec.to_dict()
    code, status = refusal(lambda: clients.batch.patch_namespaced_job("j", namespace, {"spec": change}))
    assert (code, status["reason"]) == (422, "Invalid")
    assert "field is immutable" in status["message"] or "not auto-generated" in status["message"]
    assert clients.batch.read_namespaced_job("j", namespace).spec.to_dict() == before


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"schedule": "every day"}, "expected exactly 5 fields"),
        ({"schedule": "TZ=UTC 0 1 * * *"}, "cannot use TZ or CRON_TZ in schedule"),
        ({"concurrencyPolicy": "Never"}, "Unsupported value"),
        ({"timeZone": "Nowhere/At-All"}, "unknown time zone"),
        ({"startingDeadlineSeconds": -1}, "must be greater than or equal to 0"),
        ({"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}}, "containers: Required value"),
        ({"suspend": "no"}, "cannot unmarshal string"),
        ({"schedule": "61 * * * *"}, "end of range (61) above maximum (59): 61"),
        ({"schedule": "0 0 * * 7"}, "end of range (7) above maximum (6): 7"),
        ({"schedule": "0 5-3 * * *"}, "beginning of range (5) beyond end of range (3): 5-3"),
        ({"schedule": "*/0 * * * *"}, "step of range should be a positive number: */0"),
        ({"schedule": "0 0 * MOO *"}, "failed to parse int from MOO"),
    ],
    ids=[
        "words",
        "a zone",
        "a policy",
        "an unknown zone",
        "a negative time",
        "no container",
        "a word for a boolean",
        "the 61st minute",
        "the eighth day",
        "a backward range",
        "a step of nothing",
        "an unknown month",
    ],
)
def test_a_malformed_cronjob_is_refused(clients: Any, namespace: str, spec: Manifest, words: str) -> None:
    """Each fault is named, and there is no CronJob afterwards."""
    found = clients.ask("POST", f"/apis/batch/v1/namespaces/{namespace}/cronjobs", body=cronjob("c", **spec))
    assert found.status in (400, 422)
    assert words in found.json["message"]
    assert clients.batch.list_namespaced_cron_job(namespace).items == []


def test_a_cronjobs_name_leaves_room_for_its_jobs(clients: Any, namespace: str, refusal: Refused) -> None:
    """52 characters are fine, 53 are too many."""
    clients.batch.create_namespaced_cron_job(namespace, cronjob("c" * 52))
    code, status = refusal(lambda: clients.batch.create_namespaced_cron_job(namespace, cronjob("c" * 53)))
    assert code == 422
    assert "must be no more than 52 characters" in status["message"]


def test_a_job_with_the_selector_of_another_is_refused(clients: Any, namespace: str, refusal: Refused) -> None:
    """A Job restored with its old labels, as a backup has it, is refused: they name another uid."""
    old = clients.ask("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs").json
    assert old["items"] == []
    clients.batch.create_namespaced_job(namespace, job("j", suspend=True))
    saved = clients.client.sanitize_for_serialization(clients.batch.read_namespaced_job("j", namespace))
    clients.batch.delete_namespaced_job("j", namespace, propagation_policy="Background")
    saved["metadata"] = {"name": "j"}
    saved.pop("status")
    code, status = refusal(lambda: clients.batch.create_namespaced_job(namespace, saved))
    assert (code, status["reason"]) == (422, "Invalid")


def test_an_object_restored_with_its_version_is_refused(clients: Any, namespace: str) -> None:
    """A resourceVersion has no place in a new object, as a restore from a backup finds out."""
    body = config_map("a")
    body["metadata"]["resourceVersion"] = "1"
    found = clients.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", body=body)
    assert found.status == 500
    assert "resourceVersion should not be set on objects to be created" in found.json["message"]


def test_a_pod_of_an_unknown_account_is_forbidden(clients: Any, namespace: str, refusal: Refused) -> None:
    """A pod whose ServiceAccount isn't there is 403: a restore that forgets it runs nothing."""
    spec = {"serviceAccountName": "nobody", "containers": [{"name": "main", "image": IMAGE}]}
    code, status = refusal(
        lambda: clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    )
    assert (code, status["reason"]) == (403, "Forbidden")
    assert 'serviceaccount "nobody" not found' in status["message"]


# --- patches --------------------------------------------------------------------------------------------


@pytest.fixture
def patched(clients: Any, namespace: str) -> Callable[[str, Any], Any]:
    """Return a function that patches a CronJob with two containers; it returns the plain answer."""
    body = cronjob("c")
    pod = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    pod["containers"].append({"name": "side", "image": IMAGE})
    clients.batch.create_namespaced_cron_job(namespace, body)
    path = f"/apis/batch/v1/namespaces/{namespace}/cronjobs/c"

    def patch(kind: str, change: Any) -> Any:
        media_type = f"application/{kind}+json"
        return clients.ask("PATCH", path, body=change, content_type=media_type)

    return patch


def containers(answer: Any) -> dict[str, Manifest]:
    """Return the containers of a CronJob that was answered, by name."""
    assert answer.status == 200, answer.body
    return {each["name"]: each for each in answer.json["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]}


def template(**pod: Any) -> Manifest:
    """Return a change of a CronJob's pods."""
    return {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}


def environment(container: Manifest) -> dict[str, str]:
    """Return a container's variables."""
    return {each["name"]: each.get("value", "") for each in container.get("env", [])}


def test_a_strategic_patch_merges_containers_and_variables_by_name(patched: Callable[[str, Any], Any]) -> None:
    """One variable of one container changes; the others, and the other container, stay."""
    change = template(containers=[{"name": "main", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}])
    found = containers(patched("strategic-merge-patch", change))
    assert environment(found["main"]) == {"A": "1", "B": "3", "C": "4"}
    assert set(found) == {"main", "side"}


def test_a_strategic_patch_deletes_by_directive(patched: Callable[[str, Any], Any]) -> None:
    """``$patch: delete`` removes the item with that key and nothing else."""
    drop = [{"name": "A", "$patch": "delete"}]
    change = template(containers=[{"name": "main", "env": drop}, {"name": "side", "$patch": "delete"}])
    found = containers(patched("strategic-merge-patch", change))
    assert set(found) == {"main"}
    assert environment(found["main"]) == {"B": "2"}


def test_a_merge_patch_replaces_lists_and_removes_by_null(patched: Callable[[str, Any], Any]) -> None:
    """With RFC 7386 a list is replaced as a whole, and null removes: here the default comes back."""
    main = {"name": "main", "image": IMAGE}
    assert set(containers(patched("merge-patch", template(containers=[main])))) == {"main"}
    patched("merge-patch", {"spec": {"failedJobsHistoryLimit": 7}})
    assert (
        patched("merge-patch", {"spec": {"failedJobsHistoryLimit": None}}).json["spec"]["failedJobsHistoryLimit"] == 1
    )


def test_a_json_patch_is_done_as_a_whole_or_not_at_all(patched: Callable[[str, Any], Any]) -> None:
    """A test that fails refuses the whole patch with 422; one that holds lets it through."""
    suspend = {"op": "replace", "path": "/spec/suspend", "value": True}
    wrong = {"op": "test", "path": "/spec/concurrencyPolicy", "value": "Forbid"}
    found = patched("json-patch", [suspend, wrong])
    assert (found.status, found.json["reason"]) == (422, "Invalid")
    assert patched("merge-patch", {}).json["spec"]["suspend"] is False
    label = {"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}}
    found = patched("json-patch", [{**wrong, "value": "Allow"}, suspend, label])
    assert (found.json["spec"]["suspend"], found.json["metadata"]["labels"]) == (True, {"a/b": "c"})
    found = patched("json-patch", [{"op": "remove", "path": "/metadata/labels/a~1b"}])
    assert "labels" not in found.json["metadata"]


def test_a_patch_with_an_older_version_is_a_conflict(patched: Callable[[str, Any], Any]) -> None:
    """A resourceVersion in a merge patch makes it conditional, which drfsm relies on."""
    version = patched("merge-patch", {}).json["metadata"]["resourceVersion"]
    change = {"metadata": {"resourceVersion": version}, "spec": {"suspend": True}}
    assert patched("merge-patch", change).status == 200
    found = patched("merge-patch", {**change, "spec": {"suspend": False}})
    assert (found.status, found.json["reason"]) == (409, "Conflict")
    assert patched("merge-patch", {}).json["spec"]["suspend"] is True


def test_a_patch_to_a_wrong_type_is_invalid(patched: Callable[[str, Any], Any]) -> None:
    """Unlike a whole body's (400), a patch's wrong type is 422, on the field ``patch``; nothing changes."""
    found = patched("merge-patch", {"spec": {"suspend": "no"}})
    assert (found.status, found.json["reason"]) == (422, "Invalid")
    (cause,) = found.json["details"]["causes"]
    assert (cause["field"], "cannot unmarshal string" in cause["message"]) == ("patch", True)
    assert patched("merge-patch", {"spec": {"suspended": True}}).json["spec"]["suspend"] is False
    assert patched("json-patch", "[").status == 400


def test_a_json_patch_replaces_also_what_is_not_there(patched: Callable[[str, Any], Any]) -> None:
    """RFC 6902 would refuse it; the real server's library adds."""
    step = {"op": "replace", "path": "/spec/startingDeadlineSeconds", "value": 7}
    assert patched("json-patch", [step]).json["spec"]["startingDeadlineSeconds"] == 7
    assert patched("json-patch", [{"op": "remove", "path": "/spec/timeZone"}]).status == 422


def test_a_patch_cannot_rename(patched: Callable[[str, Any], Any]) -> None:
    """Another name in a patch is refused with 400."""
    assert patched("merge-patch", {"metadata": {"name": "d"}}).status == 400


# --- server-side apply ----------------------------------------------------------------------------------


@pytest.fixture
def applied(clients: Any, namespace: str) -> Callable[..., Any]:
    """Return a function that applies a ConfigMap's data as a manager."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"

    def apply(manager: str, data: dict[str, str], *, force: bool = False) -> Any:
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
        query = f"fieldManager={manager}&force={'true' if force else 'false'}"
        return clients.ask("PATCH", f"{path}?{query}", body=body, content_type="application/apply-patch+yaml")

    return apply


def test_apply_creates_changes_and_removes_what_it_no_longer_says(applied: Callable[..., Any]) -> None:
    """The first apply creates (201); later ones change (200); a field that is left out goes."""
    assert applied("one", {"a": "1", "b": "1"}).status == 201
    found = applied("one", {"a": "2"})
    assert (found.status, found.json["data"]) == (200, {"a": "2"})


def test_apply_takes_each_key_of_a_list_once(clients: Any, namespace: str) -> None:
    """A variable that is set twice can't be merged: 500, by the list and the key."""
    variables = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x", "env": variables}]}
    spec = {"suspend": True, "template": {"spec": pod}}
    body = json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "twice"}, "spec": spec})
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/twice?fieldManager=one"
    found = clients.ask("PATCH", path, body=body, content_type="application/apply-patch+yaml")
    assert (found.status, "reason" in found.json) == (500, False)
    where = '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]'
    assert found.json["message"].endswith(where)


def test_apply_refuses_to_change_what_another_manager_set(applied: Callable[..., Any]) -> None:
    """It is 409 and names manager and field; with force it is done, and the other no longer owns it."""
    applied("one", {"a": "1"})
    found = applied("two", {"a": "2", "b": "2"})
    assert (found.status, found.json["reason"]) == (409, "Conflict")
    assert found.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    (cause,) = found.json["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.a")
    assert applied("two", {"a": "2"}, force=True).json["data"] == {"a": "2"}
    again = applied("one", {})
    assert (again.status, again.json["data"]) == (200, {"a": "2"})


def test_managers_share_what_they_agree_on(applied: Callable[..., Any]) -> None:
    """Two managers that apply the same value both own it: it goes only when neither says it any more."""
    applied("one", {"a": "1"})
    applied("two", {"a": "1"})
    assert applied("one", {}).json["data"] == {"a": "1"}
    assert "data" not in applied("two", {}).json


def test_an_update_takes_a_field_from_the_manager_that_applied_it(
    clients: Any, namespace: str, applied: Callable[..., Any]
) -> None:
    """A patch by somebody else is noted as an Update, and a later apply of another value conflicts with it."""
    applied("one", {"a": "1", "b": "1"})
    change = {"data": {"a": "2"}}
    seen = clients.core.patch_namespaced_config_map("a", namespace, change, field_manager="three")
    operations = {(each.manager, each.operation): each.fields_v1 for each in seen.metadata.managed_fields}
    assert operations["three", "Update"] == {"f:data": {"f:a": {}}}
    assert "f:a" not in operations["one", "Apply"]["f:data"]
    assert 'conflict with "three" using v1' in applied("one", {"a": "3"}).json["message"]


# --- lists ----------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(clients: Any, namespace: str) -> str:
    """Return a namespace with three Secrets: red and big, red, and blue."""
    for name, labels in {"a": {"colour": "red", "big": "yes"}, "b": {"colour": "red"}, "c": {"colour": "blue"}}.items():
        clients.core.create_namespaced_secret(namespace, {"metadata": {"name": name, "labels": labels}})
    return namespace


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("colour=red", "ab"),
        ("colour==red,big", "a"),
        ("colour!=red", "c"),
        ("colour in (red, blue)", "abc"),
        ("colour notin (red),colour", "c"),
        ("!big", "bc"),
        ("big,!colour", ""),
        ("shape!=round", "abc"),
    ],
)
def test_label_selectors(clients: Any, labelled: str, selector: str, names: str) -> None:
    """Every form of the grammar chooses as documented; != and notin also choose what lacks the label."""
    found = clients.core.list_namespaced_secret(labelled, label_selector=selector).items
    assert "".join(each.metadata.name for each in found) == names


@pytest.mark.parametrize("selector", ["colour in red", "a=b=c", ",", "x y", "colour=re:d"])
def test_a_selector_that_cannot_be_read_is_refused(
    clients: Any, labelled: str, refusal: Refused, selector: str
) -> None:
    """It is 400, never an empty or a whole list."""
    code, status = refusal(lambda: clients.core.list_namespaced_secret(labelled, label_selector=selector))
    assert (code, status["reason"]) == (400, "BadRequest")


def test_field_selectors(clients: Any, labelled: str, refusal: Refused) -> None:
    """metadata.name and a kind's own fields choose; an unknown field is refused with 400."""
    listed = clients.core.list_namespaced_secret
    assert [each.metadata.name for each in listed(labelled, field_selector="metadata.name=b").items] == ["b"]
    assert len(listed(labelled, field_selector="metadata.name!=b,type=Opaque").items) == 2
    code, status = refusal(lambda: listed(labelled, field_selector="data.k=v"))
    assert code == 400
    assert "field label not supported" in status["message"]


def test_pages_together_are_the_list_as_it_was_at_the_first(clients: Any, labelled: str) -> None:
    """Pages of one have all three, though one is deleted and one created between: they show one version."""
    listed = clients.core.list_namespaced_secret
    page = listed(labelled, limit=1)
    assert page.metadata.remaining_item_count == 2
    clients.core.delete_namespaced_secret("b", labelled)
    clients.core.create_namespaced_secret(labelled, {"metadata": {"name": "d"}})
    names = [page.items[0].metadata.name]
    while page.metadata._continue:
        page = listed(labelled, limit=1, _continue=page.metadata._continue)
        names.append(page.items[0].metadata.name)
    assert names == ["a", "b", "c"]


def test_items_of_a_list_do_not_say_their_kind(clients: Any, labelled: str) -> None:
    """As on a real server the list says the kind, its items don't."""
    found = clients.ask("GET", f"/api/v1/namespaces/{labelled}/secrets").json
    assert (found["kind"], found["apiVersion"]) == ("SecretList", "v1")
    assert not any("kind" in each or "apiVersion" in each for each in found["items"])


# --- watches --------------------------------------------------------------------------------------------


def events(clients: Any, namespace: str, since: str, number: int, **given: Any) -> list[tuple[str, str]]:
    """Return the first events of a watch on ConfigMaps, as (type, name), or fewer if the time is up."""
    import kubernetes

    found: list[tuple[str, str]] = []
    watch: Any = kubernetes.watch.Watch
    stream = watch().stream(
        clients.core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=5, **given
    )
    for each in stream:
        found.append((each["type"], each["object"].metadata.name))
        if len(found) == number:
            break
    return found


def test_a_watch_goes_on_from_a_list(clients: Any, namespace: str) -> None:
    """Everything that happens after the list is seen, in order, and nothing from before it."""
    core = clients.core
    core.create_namespaced_config_map(namespace, config_map("before"))
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("a", namespace)
    assert events(clients, namespace, since, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_without_a_version_begins_with_what_is_there(clients: Any, namespace: str) -> None:
    """With version 0 the existing objects come first, as ADDED."""
    clients.core.create_namespaced_config_map(namespace, config_map("a"))
    named = {"field_selector": "metadata.name=a"}
    assert events(clients, namespace, "0", 1, **named) == [("ADDED", "a")]


def test_a_watch_sees_live_changes_of_its_own_objects_only(clients: Any, namespace: str) -> None:
    """An open watch with a selector sees an object come when it begins to match, and go when it no longer does."""
    core = clients.core
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    seen: list[tuple[str, str]] = []
    watching = threading.Thread(
        target=lambda: seen.extend(events(clients, namespace, since, 2, label_selector="watched=yes"))
    )
    watching.start()
    core.create_namespaced_config_map(namespace, config_map("other"))
    core.create_namespaced_config_map(namespace, config_map("a"))
    core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"watched": "yes"}}})
    core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"watched": "no"}}})
    watching.join()
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


def test_a_watch_ends_in_time(clients: Any, namespace: str) -> None:
    """TimeoutSeconds ends the answer properly, so that the connection can be used again."""
    found = clients.ask("GET", f"/api/v1/namespaces/{namespace}/secrets?watch=true&timeoutSeconds=1")
    assert (found.status, found.body) == (200, b"")


# --- deleting -------------------------------------------------------------------------------------------


def test_delete_with_a_precondition(clients: Any, namespace: str, refusal: Refused) -> None:
    """Another uid than the object's refuses the deletion with 409; its own lets it through."""
    made = clients.core.create_namespaced_config_map(namespace, config_map("a"))
    delete = clients.core.delete_namespaced_config_map
    wrong = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    code, status = refusal(lambda: delete("a", namespace, body=wrong))
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the UID in the precondition (00000000-0000-0000-0000-000000000000) does not match" in status["message"]
    right = {"preconditions": {"uid": made.metadata.uid}}
    told = clients.ask("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/a", body=right)
    assert (told.status, told.json["status"], told.json["details"]["uid"]) == (200, "Success", made.metadata.uid)


def test_a_finalizer_holds_an_object_until_it_is_removed(clients: Any, namespace: str, refusal: Refused) -> None:
    """A deleted object with a finalizer stays, marked; it goes with the finalizer, and takes no new one."""
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.org/hold"]
    clients.core.create_namespaced_config_map(namespace, body)
    clients.core.delete_namespaced_config_map("a", namespace)
    assert clients.core.read_namespaced_config_map("a", namespace).metadata.deletion_timestamp is not None
    patch = clients.core.patch_namespaced_config_map
    more = {"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}}
    code, status = refusal(lambda: patch("a", namespace, more))
    assert code == 422
    assert "no new finalizers can be added" in status["message"]
    patch("a", namespace, {"metadata": {"finalizers": None}})
    assert refusal(lambda: clients.core.read_namespaced_config_map("a", namespace))[0] == 404


def test_delete_a_collection(clients: Any, labelled: str) -> None:
    """Only what the selector chooses goes."""
    clients.core.delete_collection_namespaced_secret(labelled, label_selector="colour=red")
    assert [each.metadata.name for each in clients.core.list_namespaced_secret(labelled).items] == ["c"]


def owned(clients: Any, namespace: str) -> Any:
    """Create a suspended CronJob and a ConfigMap that it owns; return the CronJob."""
    owner = clients.batch.create_namespaced_cron_job(namespace, cronjob("owner", suspend=True))
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "owner", "uid": owner.metadata.uid}
    body = config_map("owned")
    body["metadata"]["ownerReferences"] = [{**reference, "blockOwnerDeletion": True}]
    clients.core.create_namespaced_config_map(namespace, body)
    return owner


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_an_object_owns_goes_with_it(
    clients: Any, namespace: str, policy: str, eventually: Callable[..., Any]
) -> None:
    """Both are gone, soon."""
    owned(clients, namespace)
    clients.batch.delete_namespaced_cron_job("owner", namespace, propagation_policy=policy)
    eventually(lambda: not clients.batch.list_namespaced_cron_job(namespace).items)
    named = f"/api/v1/namespaces/{namespace}/configmaps/owned"
    eventually(lambda: clients.ask("GET", named).status == 404)


def test_what_an_orphaned_object_was_owned_by_is_forgotten(
    clients: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    """With Orphan the owned object stays, and names no owner any more."""
    owned(clients, namespace)
    clients.batch.delete_namespaced_cron_job("owner", namespace, propagation_policy="Orphan")
    eventually(lambda: not clients.batch.list_namespaced_cron_job(namespace).items)
    left = clients.core.read_namespaced_config_map("owned", namespace)
    assert left.metadata.owner_references is None


def test_an_object_whose_owner_never_existed_is_collected(
    clients: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    """What names only an owner that isn't there, as a restore makes it, is deleted by the cluster itself."""
    body = config_map("lost")
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "gone", "uid": "0f0f0f0f-0000-4000-8000-000000000000"}
    body["metadata"]["ownerReferences"] = [owner]
    clients.core.create_namespaced_config_map(namespace, body)
    path = f"/api/v1/namespaces/{namespace}/configmaps/lost"
    eventually(lambda: clients.ask("GET", path).status == 404, 40)


def test_a_deleted_namespace_takes_everything_along_and_accepts_nothing_new(
    clients: Any, eventually: Callable[..., Any], refusal: Refused
) -> None:
    """While it goes, creating in it is 403; when it is gone, so is what was in it."""
    body = config_map("held")
    body["metadata"]["finalizers"] = ["example.org/hold"]
    clients.core.create_namespace({"metadata": {"name": "case-going"}})
    clients.core.create_namespaced_config_map("case-going", body)
    clients.core.create_namespaced_secret("case-going", {"metadata": {"name": "s"}})
    clients.core.delete_namespace("case-going")
    eventually(lambda: clients.core.read_namespace("case-going").status.phase == "Terminating")
    code, status = refusal(lambda: clients.core.create_namespaced_config_map("case-going", config_map("late")))
    assert (code, status["reason"]) == (403, "Forbidden")
    assert "is being terminated" in status["message"]
    eventually(lambda: not clients.core.list_namespaced_secret("case-going").items, 60)
    clients.core.patch_namespaced_config_map("held", "case-going", {"metadata": {"finalizers": None}})
    eventually(lambda: clients.ask("GET", "/api/v1/namespaces/case-going").status == 404, 60)


def test_the_lasting_namespaces_last(clients: Any, refusal: Refused) -> None:
    """kube-system and default are there, have uids, and can't be deleted."""
    assert clients.core.read_namespace("kube-system").metadata.uid
    for name in ("default", "kube-system"):
        code, status = refusal(partial(clients.core.delete_namespace, name))
        assert (code, status["reason"]) == (403, "Forbidden")
    assert clients.core.read_namespaced_service_account("default", "default").metadata.name == "default"


# --- pods -----------------------------------------------------------------------------------------------


def finished(clients: Any, namespace: str, name: str) -> bool:
    """Return whether a Job is complete or failed."""
    found = clients.batch.read_namespaced_job(name, namespace).status.conditions or []
    return any(each.type in ("Complete", "Failed") and each.status == "True" for each in found)


def pod_of(clients: Any, namespace: str, name: str) -> Any:
    """Return the one pod of a Job."""
    (pod,) = clients.core.list_namespaced_pod(namespace, label_selector=f"job-name={name}").items
    return pod


def test_a_jobs_log_whole_and_its_end(clients: Any, namespace: str, eventually: Callable[..., Any]) -> None:
    """The log of a finished Job's pod is its output; tailLines gives the last lines; another container is 400."""
    clients.batch.create_namespaced_job(namespace, job("j", "for n in 1 2 3; do echo line $n; done"))
    eventually(lambda: finished(clients, namespace, "j"))
    pod = pod_of(clients, namespace, "j").metadata.name
    read = clients.core.read_namespaced_pod_log
    assert read(pod, namespace) == "line 1\nline 2\nline 3\n"
    assert read(pod, namespace, tail_lines=1, container="main") == "line 3\n"
    found = clients.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log?container=other")
    assert (found.status, found.json["message"]) == (400, f"container other is not valid for pod {pod}")
    assert clients.ask("GET", f"/api/v1/namespaces/{namespace}/pods/nobody/log").status == 404


def test_a_log_is_followed_to_its_end(clients: Any, namespace: str, eventually: Callable[..., Any]) -> None:
    """follow=true gives also what is said after the request, and ends with the container."""
    clients.batch.create_namespaced_job(namespace, job("j", "echo first; sleep 1; echo last"))
    running = {"label_selector": "job-name=j", "field_selector": "status.phase=Running"}
    eventually(lambda: clients.core.list_namespaced_pod(namespace, **running).items)
    pod = pod_of(clients, namespace, "j").metadata.name
    found = clients.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log?follow=true")
    assert found.body == b"first\nlast\n"


def test_pods_are_chosen_by_phase_and_node(clients: Any, namespace: str, eventually: Callable[..., Any]) -> None:
    """status.phase, spec.nodeName and a Job's status.successful work as field selectors."""
    clients.batch.create_namespaced_job(namespace, job("j"))
    eventually(lambda: finished(clients, namespace, "j"))
    node = pod_of(clients, namespace, "j").spec.node_name
    listed = clients.core.list_namespaced_pod
    assert len(listed(namespace, field_selector=f"status.phase=Succeeded,spec.nodeName={node}").items) == 1
    assert listed(namespace, field_selector="status.phase=Running").items == []
    jobs = clients.batch.list_namespaced_job
    assert len(jobs(namespace, field_selector="status.successful=1").items) == 1


def test_a_deleted_pod_is_terminating_until_its_kubelet_has_ended_it(
    clients: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    """It has a deletionTimestamp and its grace period while it ends, and is gone afterwards."""
    script = "trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done"
    spec = job("p", script)["spec"]["template"]["spec"]
    body = {"metadata": {"name": "p"}, "spec": {**spec, "terminationGracePeriodSeconds": 20}}
    clients.core.create_namespaced_pod(namespace, body)
    eventually(lambda: clients.core.read_namespaced_pod("p", namespace).status.phase == "Running")
    clients.core.delete_namespaced_pod("p", namespace, grace_period_seconds=10)
    seen = clients.core.read_namespaced_pod("p", namespace).metadata
    assert (seen.deletion_grace_period_seconds, seen.deletion_timestamp is not None) == (10, True)
    eventually(lambda: clients.ask("GET", f"/api/v1/namespaces/{namespace}/pods/p").status == 404)


def test_a_pods_spec_stays(clients: Any, namespace: str, refusal: Refused) -> None:
    """Its image may change, a variable may not."""
    spec = job("p", "sleep 100")["spec"]["template"]["spec"]
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    change = {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}
    code, status = refusal(lambda: clients.core.patch_namespaced_pod("p", namespace, change))
    assert (code, status["reason"]) == (422, "Invalid")
    assert "pod updates may not change fields other than" in status["message"]
    change = {"spec": {"containers": [{"name": "main", "image": "registry.example/shell:2"}]}}
    assert clients.core.patch_namespaced_pod("p", namespace, change).spec.containers[0].image.endswith(":2")


# --- the rest -------------------------------------------------------------------------------------------


def test_an_access_review_says_yes_to_an_admin(clients: Any, namespace: str) -> None:
    """A SelfSubjectAccessReview of the kubeconfig's user is allowed, and is 201."""
    spec = {"resourceAttributes": {"verb": "patch", "group": "batch", "resource": "cronjobs", "namespace": namespace}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    found = clients.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    assert (found.status, found.json["status"]["allowed"]) == (201, True)


def test_an_access_review_asks_about_something(clients: Any) -> None:
    """A review that names neither a resource nor a path is 422."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}
    found = clients.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    assert (found.status, found.json["details"]["causes"][0]["field"]) == (422, "spec.resourceAttributes")


def test_an_unknown_propagation_deletes_nothing(clients: Any, namespace: str, refusal: Refused) -> None:
    """It is 422, and the object stays."""
    clients.core.create_namespaced_config_map(namespace, config_map("a"))
    delete = clients.core.delete_namespaced_config_map
    code, status = refusal(lambda: delete("a", namespace, body={"propagationPolicy": "Sideways"}))
    assert (code, status["details"]["kind"]) == (422, "DeleteOptions")
    assert clients.core.read_namespaced_config_map("a", namespace).metadata.deletion_timestamp is None


@pytest.mark.parametrize("query", ["limit=x", "resourceVersion=x", "continue=x", "labelSelector=a=b=c"])
def test_a_list_that_cannot_be_understood_is_refused(clients: Any, namespace: str, query: str) -> None:
    """It is 400, never a list of something else."""
    found = clients.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps?{query}")
    assert (found.status, found.json["reason"]) == (400, "BadRequest")


def test_what_the_emulation_lacks_is_not_there(clients: Any) -> None:
    """What no drfsm needs answers with a plain 404 where it isn't kept: also to a GET of a pod's exec."""
    assert clients.ask("GET", "/apis/nobody.example/v1").status == 404
    assert clients.ask("GET", "/api/v1/namespaces/default/pods/nobody/exec?command=ls").status == 404


def test_a_deployment_is_scaled_by_its_scale(clients: Any, namespace: str) -> None:
    """The scale is read and patched apart, and shows in the Deployment."""
    labels = {"app": "d"}
    pod = {"containers": [{"name": "main", "image": IMAGE, "command": ["/bin/sleep", "100"]}]}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    clients.apps.create_namespaced_deployment(namespace, {"metadata": {"name": "d"}, "spec": spec})
    scale = clients.apps.read_namespaced_deployment_scale("d", namespace)
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (None, 0, "app=d")  # as it is written
    clients.apps.patch_namespaced_deployment_scale("d", namespace, {"spec": {"replicas": 1}})
    assert clients.apps.read_namespaced_deployment("d", namespace).spec.replicas == 1


def test_unknown_fields_are_dropped_with_a_warning_or_refused_as_asked(clients: Any, namespace: str) -> None:
    """By default a misspelt field is dropped and warned about; with Strict nothing is created."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {**config_map("a"), "dada": {"k": "v"}}
    found = clients.ask("POST", f"{path}?fieldValidation=Strict", body=body)
    assert found.status == 400
    assert 'unknown field "dada"' in found.json["message"]
    found = clients.ask("POST", path, body=body)
    assert (found.status, "dada" in found.json) == (201, False)
    assert 'unknown field \\"dada\\"' in found.headers["Warning"]


def test_health_and_version_need_no_token(clients: Any) -> None:
    """Anybody may ask whether the API is well, and its version."""
    import urllib.request

    context = ssl.create_default_context(cafile=clients.configuration.ssl_ca_cert)
    for path in ("/healthz", "/readyz", "/livez", "/version"):
        with urllib.request.urlopen(clients.configuration.host + path, timeout=5, context=context) as found:  # noqa: S310
            assert found.status == 200
