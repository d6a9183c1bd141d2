"""Conformance: the real kubectl on one cluster, by the commands that operators and documents use."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

IMAGE = "registry.example/shell:1"
Kubectl = Callable[..., str]
Manifest = dict[str, Any]


def cronjob(name: str, script: str = "echo from $WHO", **spec: Any) -> Manifest:
    """Return a CronJob that won't be due while the tests run, with a variable and a volume."""
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": "WHO", "value": "cron"}, {"name": "KEPT", "value": "yes"}],
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "work", "emptyDir": {}}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": "0 0 29 2 *",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
            **spec,
        },
    }


@pytest.fixture
def made(kubectl: Kubectl, namespace: str) -> Kubectl:
    """Return kubectl in a namespace that has a CronJob ``c``."""

    def inside(*words: str, **given: Any) -> str:
        return kubectl("--namespace", namespace, *words, **given)

    inside("create", "-f", "-", stdin=cronjob("c"))
    return inside


def test_version_and_api_resources(kubectl: Kubectl) -> None:
    """Kubectl finds the server's version, and every resource that drfsm touches, with its short name."""
    assert re.search(r"Server Version: v1\.\d+", kubectl("version"))
    found = kubectl("api-resources", "--cached=false")
    for words in ("pods +po +v1 +true", "cronjobs +cj +batch/v1 +true", "namespaces +ns +v1 +false", "leases"):
        assert re.search(words, found)


def test_create_namespace_and_delete_it(kubectl: Kubectl) -> None:
    """A namespace made by kubectl (in protobuf) is Active, and gone after delete, which waits for it."""
    assert kubectl("create", "namespace", "by-kubectl") == "namespace/by-kubectl created\n"
    assert kubectl("get", "namespace", "by-kubectl", "-o", "jsonpath={.status.phase}") == "Active"
    kubectl("delete", "namespace", "by-kubectl", "--timeout=30s")
    assert "NotFound" in kubectl("get", "namespace", "by-kubectl", fails=True)


def test_create_a_job_from_a_cronjob_wait_and_read_its_log(made: Kubectl) -> None:
    """The Job is the CronJob's template, owned by it and marked manual; its log comes by the Job's name."""
    assert made("create", "job", "run", "--from=cronjob/c") == "job.batch/run created\n"
    assert "condition met" in made("wait", "--for=condition=complete", "job/run", "--timeout=30s")
    assert made("logs", "job/run") == "from cron\n"
    job = json.loads(made("get", "job", "run", "-o", "json"))
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "c", True)
    assert job["spec"]["backoffLimit"] == 0
    assert [each["name"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]] == ["WHO", "KEPT"]


def test_create_what_kubectl_can_make_by_itself(made: Kubectl) -> None:
    """Jobs, CronJobs, ConfigMaps, Secrets, accounts, roles and Deployments are made without a manifest."""
    made("create", "job", "j", f"--image={IMAGE}", "--", "/bin/true")
    made("create", "cronjob", "d", f"--image={IMAGE}", "--schedule=0 0 29 2 *", "--", "/bin/true")
    made("create", "configmap", "m", "--from-literal=a=b")
    made("create", "secret", "generic", "s", "--from-literal=password=x")
    made("create", "serviceaccount", "me")
    made("create", "role", "reader", "--verb=get", "--resource=pods")
    made("create", "rolebinding", "reads", "--role=reader", "--serviceaccount=x:me")
    made("create", "deployment", "w", f"--image={IMAGE}", "--replicas=0")
    assert made("get", "job", "j", "-o", "jsonpath={.spec.template.spec.containers[0].command}") == '["/bin/true"]'
    assert made("get", "configmap", "m", "-o", "jsonpath={.data.a}") == "b"
    assert made("get", "secret", "s", "-o", "jsonpath={.data.password}") == "eA=="
    assert made("get", "role", "reader", "-o", "jsonpath={.rules[0].verbs}") == '["get"]'
    assert made("get", "rolebinding", "reads", "-o", "jsonpath={.roleRef.name}") == "reader"
    assert made("get", "deployment", "w", "-o", "jsonpath={.spec.selector.matchLabels}") == '{"app":"w"}'
    assert len(made("create", "token", "me").strip()) > 20


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("strategic", '{"spec":{"suspend":true}}'),
        ("merge", '{"spec":{"suspend":true}}'),
        ("json", '[{"op":"replace","path":"/spec/suspend","value":true}]'),
    ],
)
def test_patch_of_every_type(made: Kubectl, kind: str, change: str) -> None:
    """Each suspends the CronJob; the same patch again changes nothing."""
    assert made("patch", "cronjob", "c", "--type", kind, "-p", change) == "cronjob.batch/c patched\n"
    assert made("get", "cronjob", "c", "-o", "jsonpath={.spec.suspend}") == "true"
    assert made("patch", "cronjob", "c", "--type", kind, "-p", change) == "cronjob.batch/c patched (no change)\n"


def test_a_json_patch_whose_test_fails_is_refused(made: Kubectl) -> None:
    """Kubectl says that the request is invalid, and the CronJob is as before."""
    steps = [{"op": "test", "path": "/spec/suspend", "value": True}, {"op": "remove", "path": "/spec/schedule"}]
    told = made("patch", "cronjob", "c", "--type=json", "-p", json.dumps(steps), fails=True)
    assert "The request is invalid: the server rejected our request" in told
    assert made("get", "cronjob", "c", "-o", "jsonpath={.spec.schedule}") == "0 0 29 2 *"


def variables(made: Kubectl, name: str) -> dict[str, str]:
    """Return the variables of a CronJob's container."""
    path = "{.spec.jobTemplate.spec.template.spec.containers[0].env}"
    return {each["name"]: each["value"] for each in json.loads(made("get", "cronjob", name, "-o", f"jsonpath={path}"))}


def test_apply_by_the_client_merges_with_what_others_set(made: Kubectl) -> None:
    """Apply changes what it said, removes what it no longer says, and leaves alone what it never said."""
    body = cronjob("a")
    assert made("apply", "-f", "-", stdin=body) == "cronjob.batch/a created\n"
    made("patch", "cronjob", "a", "-p", '{"spec":{"suspend":true}}')
    body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"][:] = [
        {"name": "WHO", "value": "somebody else"}
    ]
    assert made("apply", "-f", "-", stdin=body) == "cronjob.batch/a configured\n"
    assert made("apply", "-f", "-", stdin=body) == "cronjob.batch/a unchanged\n"
    assert variables(made, "a") == {"WHO": "somebody else"}
    assert made("get", "cronjob", "a", "-o", "jsonpath={.spec.suspend}") == "true"


def test_apply_by_the_server_finds_conflicts_and_is_forced(made: Kubectl) -> None:
    """A field that kubectl patch set isn't changed by an apply, unless it is forced."""
    body = cronjob("a", suspend=False)
    assert made("apply", "--server-side", "-f", "-", stdin=body) == "cronjob.batch/a serverside-applied\n"
    made("patch", "cronjob", "a", "-p", '{"spec":{"suspend":true}}')
    told = made("apply", "--server-side", "-f", "-", stdin=body, fails=True)
    assert 'conflict with "kubectl-patch" using batch/v1' in told
    assert ".spec.suspend" in told
    made("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=body)
    assert made("get", "cronjob", "a", "-o", "jsonpath={.spec.suspend}") == "false"
    assert "serverside-applied" in made("apply", "--server-side", "-f", "-", stdin=body)


def test_what_was_applied_by_the_client_is_taken_over_by_the_server(made: Kubectl) -> None:
    """Kubectl moves its fields to the server's keeping, and a field left out afterwards goes."""
    body = cronjob("a", startingDeadlineSeconds=600)
    made("apply", "-f", "-", stdin=body)
    made("apply", "--server-side", "-f", "-", stdin=body)
    del body["spec"]["startingDeadlineSeconds"]
    made("apply", "--server-side", "-f", "-", stdin=body)
    assert made("get", "cronjob", "a", "-o", "jsonpath={.spec.startingDeadlineSeconds}") == ""


def test_dry_runs_and_diff(made: Kubectl) -> None:
    """A server-side dry run says what it would do; diff shows it; neither does it."""
    body = cronjob("c", suspend=True)
    assert made("apply", "--dry-run=server", "-f", "-", stdin=body).endswith("(server dry run)\n")
    assert made("get", "cronjob", "c", "-o", "jsonpath={.spec.suspend}") == "false"
    assert made("delete", "cronjob", "c", "--dry-run=server").endswith("(server dry run)\n")
    assert made("get", "cronjob", "c", "-o", "name") == "cronjob.batch/c\n"


def test_replace_from_an_older_version_is_refused(made: Kubectl) -> None:
    """Kubectl replace of what was read before somebody else wrote is a Conflict."""
    old = json.loads(made("get", "cronjob", "c", "-o", "json"))
    made("patch", "cronjob", "c", "-p", '{"spec":{"suspend":true}}')
    told = made("replace", "-f", "-", stdin=old, fails=True)
    assert "(Conflict)" in told
    assert made("get", "cronjob", "c", "-o", "jsonpath={.spec.suspend}") == "true"


def test_a_misspelt_field_is_refused(made: Kubectl) -> None:
    """Kubectl asks the server to be strict: nothing is created, and the field is named."""
    body = cronjob("d", suspended=True)
    assert 'unknown field "spec.suspended"' in made("create", "-f", "-", stdin=body, fails=True)
    assert "NotFound" in made("get", "cronjob", "d", fails=True)


def test_label_annotate_and_set_env(made: Kubectl) -> None:
    """The everyday changes work, and the selector finds what was labelled."""
    made("label", "cronjob", "c", "tier=batch")
    made("annotate", "cronjob", "c", "drfsm/before={}")
    made("set", "env", "cronjob/c", "WHO=me")
    assert made("get", "cronjobs", "-l", "tier in (batch)", "-o", "name") == "cronjob.batch/c\n"
    assert made("get", "cronjobs", "-l", "tier!=batch", "-o", "name") == ""
    assert variables(made, "c") == {"WHO": "me", "KEPT": "yes"}


def test_describe_shows_events(made: Kubectl) -> None:
    """Describe finds the Job's pod statuses and events, the CronJob's schedule, the node and its conditions."""
    made("create", "job", "run", "--from=cronjob/c")
    made("wait", "--for=condition=complete", "job/run", "--timeout=30s")
    told = made("describe", "job", "run")
    assert "1 Succeeded" in told
    assert "SuccessfulCreate" in told
    assert re.search(r"Schedule: +0 0 29 2 \*", made("describe", "cronjob", "c"))
    assert "Started container main" in made("describe", "pods", "-l", "job-name=run")
    assert "Ready" in made("describe", "nodes")
    assert "SuccessfulCreate" in made("get", "events", "--field-selector", "involvedObject.name=run")
    assert re.search("SuccessfulCreate", made("events", "--for", "job/run"))


def test_delete_waits_and_takes_the_pods_along(made: Kubectl) -> None:
    """Kubectl delete job deletes in the background: the Job is gone at once, its pods soon."""
    made("create", "job", "run", "--from=cronjob/c")
    made("wait", "--for=condition=complete", "job/run", "--timeout=30s")
    assert made("delete", "job", "run").startswith('job.batch "run" deleted')
    assert "NotFound" in made("get", "job", "run", fails=True)
    made("wait", "--for=delete", "pod", "-l", "job-name=run", "--timeout=30s")
    assert made("get", "pods", "-o", "name") == ""


def test_delete_leaves_the_pods_if_told_so(made: Kubectl) -> None:
    """With --cascade=orphan the pod stays and names no owner."""
    made("create", "job", "run", "--from=cronjob/c")
    made("wait", "--for=condition=complete", "job/run", "--timeout=30s")
    made("delete", "job", "run", "--cascade=orphan")
    assert made("get", "pods", "-o", "jsonpath={.items[*].metadata.ownerReferences}") == ""
    assert made("get", "pods", "-o", "name").startswith("pod/run-")


def test_a_deployment_is_rolled_out_scaled_and_restarted(made: Kubectl) -> None:
    """Rollout status waits for it, scale changes it, restart makes new pods."""
    made("create", "deployment", "w", f"--image={IMAGE}", "--replicas=2", "--", "/bin/sleep", "1000")
    assert "successfully rolled out" in made("rollout", "status", "deployment/w", "--timeout=30s")
    made("scale", "deployment/w", "--replicas=1")
    made("rollout", "restart", "deployment/w")
    assert "successfully rolled out" in made("rollout", "status", "deployment/w", "--timeout=30s")
    assert re.search(r"w +1/1 +1 +1 ", made("get", "deployment", "w"))


def test_run_a_pod_and_follow_its_log(made: Kubectl) -> None:
    """Kubectl run starts one pod; logs -f ends with it."""
    made("run", "p", f"--image={IMAGE}", "--restart=Never", "--command", "--", "/bin/sh", "-c", "sleep 0.3; echo done")
    made("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=30s")
    assert made("logs", "-f", "p") == "done\n"
    assert made("logs", "p", "--tail=0") == ""


def test_can_i_and_who_am_i(kubectl: Kubectl) -> None:
    """The access review says yes to an admin; whoami has a name."""
    assert kubectl("auth", "can-i", "delete", "jobs") == "yes\n"
    assert "Username" in kubectl("auth", "whoami")


def test_explain(kubectl: Kubectl) -> None:
    """Explain names the fields of a CronJob's spec, with their types."""
    found = kubectl("explain", "cronjob.spec")
    assert re.search(r"suspend\s+<boolean>", found)
    assert re.search(r"jobTemplate\s+<JobTemplateSpec>", found)


def test_watching_a_table(made: Kubectl) -> None:
    """Get --watch prints a line now, with a header."""
    told = made("get", "cronjobs", "--watch", "--request-timeout=1s")
    header, line, *_ = told.splitlines()
    assert header.split()[:2] == ["NAME", "SCHEDULE"]
    assert line.split()[0] == "c"
