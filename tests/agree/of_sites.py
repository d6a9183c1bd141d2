"""The tables of the facts that ask a cluster: reachable, permitted, frozen, drained, healthy, able to start a Job."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from drfsm.sandbox.seed import BEFORE, DASHBOARD
from drfsm.world import Manifest
from tests.agree.cases import Case, Change, Table, case, given
from tests.agree.of_inputs import BLANK, LOST, UNFENCED, WORDS
from tests.agree.world import (
    CONFIGMAP,
    CRONJOB,
    ECR,
    NAMESPACE,
    PULL_SECRET,
    ROLES,
    Place,
    a_job,
    a_node,
    a_pod,
    pulls,
)
from tests.dr.memory import NOW

TAG = "registry.example/jobintel:latest"
MARK = {"argocd.argoproj.io/instance": "jobintel"}
ACCEPTED = given(allow_degraded="yes", reason=WORDS)
DR_LOST = given(dr_unreachable="yes", reason=WORDS)
RENEWED = given(refresh_pull_secret="asked")
OTHER_CRONJOB, SELECTOR = "jobintel-report", "app.kubernetes.io/name=jobintel"


def on(site: str, kind: str, name: str, change: Callable[[Manifest], object]) -> Change:
    """Return a change of one object. ``site``: primary, dr or target, the one that takes over."""
    return lambda place: _site(place, site).change(kind, name, change)


def _site(place: Place, site: str) -> Any:
    return place.target if site == "target" else place.site(site)


def put(site: str, *manifests: Manifest) -> Change:
    """Return a change: these objects are there, too."""

    def add(place: Place) -> None:
        for manifest in manifests:
            _site(place, site).add(manifest)

    return add


def gone(site: str, kind: str, name: str) -> Change:
    """Return a change: an object is not there."""
    return lambda place: _site(place, site).objects.pop((kind, name))


def denies(site: str, *resources: str) -> Change:
    """Return a change: the cluster permits nothing of these resources."""
    return lambda place: setattr(_site(place, site), "denied", frozenset(resources))


def suspends(site: str, *, suspend: bool, before: Mapping[str, Any] | None = None) -> Change:
    """Return a change: the CronJob is suspended or not, with a record of how it was, or none."""

    def change(live: Manifest) -> None:
        live["spec"]["suspend"] = suspend
        live["metadata"]["annotations"] = {BEFORE: json.dumps(before)} if before else {}

    return on(site, "CronJob", CRONJOB, change)


def second_cronjob(site: str, *, suspend: bool, before: Mapping[str, Any] | None = None) -> Change:
    """Return a change: there is another CronJob."""

    def add(place: Place) -> None:
        live = json.loads(json.dumps(_site(place, site).objects["CronJob", CRONJOB]))
        annotations = {BEFORE: json.dumps(before)} if before else {}
        live["metadata"] |= {
            "name": OTHER_CRONJOB,
            "annotations": annotations,
            "labels": {"app.kubernetes.io/name": "report"},
        }
        live["spec"]["suspend"] = suspend
        _site(place, site).add(live)

    return add


def switches(site: str, **data: str) -> Change:
    """Return a change: the ConfigMap says this."""
    return on(site, "ConfigMap", CONFIGMAP, lambda live: live["data"].update(data))


def _container(live: Manifest) -> Manifest:
    found: Manifest = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


def container(site: str, change: Callable[[Manifest], object]) -> Change:
    """Return a change of the CronJob's container."""
    return on(site, "CronJob", CRONJOB, lambda live: change(_container(live)))


def sets(**variables: str) -> Callable[[Manifest], object]:
    """Return a change of a container: it sets these by itself."""
    added = [{"name": name, "value": value} for name, value in variables.items()]
    return lambda live: live.update(env=[*(live.get("env") or []), *added])


def not_ready(place: Place, site: str) -> None:
    """Lose a site's node."""
    place.site(site).add(a_node(f"{site}-node", ready=False))


NO_DASHBOARD = on("target", "Deployment", DASHBOARD, lambda live: live.update(
    spec={**live["spec"], "replicas": 1}, status={"availableReplicas": 0}))  # fmt: skip
ANOTHER_IMAGE = given(image_ref="registry.example/jobintel@sha256:" + "b" * 64)
TAGGED = container("target", lambda live: live.update(image=TAG))
NO_ACCOUNT = gone("target", "ServiceAccount", "jobintel")


def _health(site: str) -> tuple[Case, ...]:
    return (
        case("healthy", "nothing is wrong"),
        case("degraded", "a Deployment has no replica", NO_DASHBOARD),
        case("degraded", "no node is ready", lambda place: not_ready(place, site)),
        case("accepted", "a person takes that", NO_DASHBOARD, ACCEPTED),
        case("degraded", "a person takes that for no reason", NO_DASHBOARD, ACCEPTED, given(reason=BLANK)),
    )


_STARTABLE = (
    case("yes", "all that the pod names is there"),
    case("no", "its ServiceAccount is not there", NO_ACCOUNT),
    case("accepted", "a person takes that", NO_ACCOUNT, ACCEPTED),
    case("no", "a person takes that for no reason", NO_ACCOUNT, given(allow_degraded="yes", reason=BLANK)),
    case("no", "its pull Secret's token has expired", lambda place: pulls(place, NOW - timedelta(hours=1))),
    case("yes", "the run renews that token", lambda place: pulls(place, NOW - timedelta(hours=1)), RENEWED),
    case("yes", "what may not be read refuses nothing", NO_ACCOUNT, denies("target", "serviceaccounts")),
)


def _schedules(site: str) -> tuple[Case, ...]:
    serves = on(site, "Deployment", DASHBOARD, lambda live: live["metadata"].pop("annotations", None))
    runs = suspends(site, suspend=False)
    target, restored = ("failback", "no machine") if site == "primary" else ("drill promote", "drill promote")
    return (
        case("on", "as before the freeze", serves, suspends(site, suspend=False, before={"suspend": False})),
        case("on", "no record, and it runs", serves, runs),
        case("off", "suspended", suspends(site, suspend=True, before={"suspend": False})),
        case("mixed", "one of two runs", serves, suspends(site, suspend=True, before={"suspend": False}),
             second_cronjob(site, suspend=False)),
        case("on", "the other one never ran", serves, runs, second_cronjob(site, suspend=True)),
        case("mixed", "it is named, and does not run", serves, runs, second_cronjob(site, suspend=True),
             given(resume_cronjobs=OTHER_CRONJOB), only=target),
        case("mixed", "what serves was restored, and is not back", runs, only=restored),
        case("on", "the other one is excluded", serves, suspends(site, suspend=False, before={"suspend": False}),
             second_cronjob(site, suspend=True, before={"suspend": False}), given(cronjob_selector=SELECTOR)),
        case("none", "there is no CronJob", serves, gone(site, "CronJob", CRONJOB)),
        case(None, "there is no namespace", gone(site, "CronJob", CRONJOB), gone(site, "Namespace", NAMESPACE)),
    )  # fmt: skip


def _publishing(site: str) -> tuple[Case, ...]:
    return (
        case("on", "both switches are on", switches(site, PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0")),
        case("off", "both switches are off", switches(site, PUBLISH_S3="0", PUBLISH_S3_DRY_RUN="1")),
        case("mixed", "one of two", switches(site, PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="1")),
        case("mixed", "another word", switches(site, PUBLISH_S3="maybe")),
        case(None, "there is no ConfigMap", gone(site, "ConfigMap", CONFIGMAP)),
    )


def _runs(site: str, **job: Any) -> Change:
    return put(site, a_job("j", **job), a_pod("j-1", job="j", node=f"{site}-node"))


def _inflight(site: str) -> tuple[Case, ...]:
    return (
        case("no", "nothing is there"),
        case("no", "a Job that has ended", put(site, a_job("j", ended="Complete"))),
        case("yes", "a Job runs", _runs(site)),
        case("yes", "a Job has no pod yet", put(site, a_job("j"))),
        case("yes", "a Job is being deleted", _runs(site, deletionTimestamp=NOW.isoformat())),
        case("out_of_sight", "on a node that does not answer", _runs(site), lambda place: not_ready(place, site)),
        case("out_of_sight", "on a node that is gone", put(site, a_job("j"), a_pod("j-1", job="j", node="gone"))),
    )


def _backlog(site: str) -> tuple[Case, ...]:
    suspended = a_job("j")
    suspended["spec"]["suspend"] = True
    late = put(site, a_job("j", creationTimestamp=(NOW - timedelta(hours=1)).isoformat()))
    return (
        case("none", "nothing is there"),
        case("ends", "a Job runs", _runs(site)),
        case("stuck", "a Job is suspended", put(site, suspended)),
        case("stuck", "a Job has no pod for an hour", late),
        case("ends", "so long is allowed", late, given(startup_timeout=7200)),
        case("none", "it is excluded", put(site, a_job("j", ownerReferences=[
            {"kind": "CronJob", "name": OTHER_CRONJOB, "uid": "x"}])), second_cronjob(site, suspend=False),
             given(cronjob_selector=SELECTOR)),
    )  # fmt: skip


def _reachability(site: str) -> tuple[Case, ...]:
    return (
        case("yes", "a node is ready"),
        case("no", "no node is ready", lambda place: not_ready(place, site)),
        case(None, "there is no namespace", gone(site, "Namespace", NAMESPACE)),
    )


_CLOUD: tuple[Case, ...] = (
    case("granted", "nothing is denied"),
    case("granted", "the fence's identity is fit", given(fence_primary="asked")),
    case("missing", "no role is named", given(fence_primary="asked", fence_primary_role="")),
    case("missing", "the role does not exist", LOST, lambda place: place.account.absent.add(ROLES["primary"]),
         only="promote"),
    case("granted", "nobody fences a lost primary", LOST, UNFENCED, given(fence_primary_role=""), only="promote"),
    case("missing", "DR's role is not named", DR_LOST, given(fence_dr_role=""), only="failback"),
    case("missing", "DR's role is not named, and it is to be fenced", given(fence_dr="asked", fence_dr_role=""),
         only="failback"),
    case("missing", "an alarm does not exist", given(alarms="a"), only="failback"),
)  # fmt: skip


def left_out(bad: str, good: str, claim: str, wrong: Callable[[str], tuple[Change, ...]]) -> tuple[Case, ...]:
    """Return cases in which something is wrong on the site that may be lost: it counts until that is declared."""
    return (
        case(bad, f"{claim} on the primary", *wrong("primary"), only="promote"),
        case(good, f"{claim} on the primary, which is lost", *wrong("primary"), LOST, only="promote"),
        case(bad, f"{claim} on DR", *wrong("dr"), only="failback"),
        case(good, f"{claim} on DR, which is lost", *wrong("dr"), DR_LOST, only="failback"),
    )


def _marked(site: str) -> tuple[Change, ...]:
    return (on(site, "CronJob", CRONJOB, lambda live: live["metadata"].update(labels=MARK)),)


def _excluded(site: str) -> tuple[Change, ...]:
    bare = on(site, "CronJob", CRONJOB, lambda live: live["metadata"].update(labels={}))
    return bare, given(cronjob_selector=SELECTOR)


OF_SITES: Table = {
    "permissions": (
        case("granted", "all is permitted"),
        case("missing", "Jobs may not be listed", denies("target", "jobs")),
        case("missing", "a token is to be renewed, and no Secret may be written", RENEWED, denies("target", "secrets")),
        *left_out("missing", "granted", "Jobs may not be listed", lambda site: (denies(site, "jobs"),)),
    ),
    "gitops": (
        case("absent", "no mark"),
        case("present", "a label of Argo CD", *_marked("target")),
        case("paused", "the operator says that it is paused",
             on("dr", "ConfigMap", CONFIGMAP, lambda live: live["metadata"].update(labels=MARK)),
             given(gitops_paused="yes")),
        case("fenced", "both sites are fenced",
             *_marked("dr"), given(fence_primary="asked", fence_dr="asked"), only="failback"),
        case("present", "one site is fenced", *_marked("dr"), given(fence_primary="asked")),
        *left_out("present", "absent", "a label of Argo CD", _marked),
    ),
    "cloud_access": _CLOUD,
    "image": (
        case("pinned", "the CronJob's, by digest"),
        case("pinned", "the named one, by digest", ANOTHER_IMAGE),
        case("loose", "a tag", given(image_ref=TAG)),
        case("loose", "the CronJob's, a tag", TAGGED, only="promote failback"),
        case("pinned", "a tag, accepted", given(image_ref=TAG, allow_tag="yes")),
        case("later", "the site is not reached yet", given(restore="none"),
             lambda place: place.run_fields.update(trigger="run_preflight"), only="drill"),
        case("pinned", "nothing is validated", given(validate="none"), only="drill"),
    ),
    "image_drift": (
        case("none", "the CronJob's"),
        case("differs", "another digest", ANOTHER_IMAGE),
        case("accepted", "another digest, accepted", ANOTHER_IMAGE, given(allow_image_drift="yes")),
        case("none", "two names of one digest", given(image_ref=TAG), container(
            "target", lambda live: live.update(image=f"{TAG}-1")),
             lambda place: place.account.named_by.update({TAG: ("sha256:1",), f"{TAG}-1": ("sha256:1",)})),
        case("differs", "a tag of another digest", given(image_ref=TAG)),
    ),
    "image_fit": (
        case("possible", "the same architecture"),
        case("other", "another", lambda place: setattr(place.account, "built_for", ("arm64",))),
        case("possible", "nobody tells", lambda place: setattr(place.account, "built_for", ())),
    ),
    "publishing_place": (
        case("ours", "as the ConfigMap says"),
        case("elsewhere", "another prefix", switches("target", JOBINTEL_S3_PREFIX="elsewhere")),
        case("elsewhere", "the CronJob sets another bucket", container("target", sets(JOBINTEL_S3_BUCKET="other"))),
    ),
    "publishing_switch": (
        case("heeded", "as the ConfigMap says"),
        case("overridden", "the CronJob sets it by itself", container("target", sets(PUBLISH_S3="1"))),
        case("overridden", "the ConfigMap can't be changed",
             on("target", "ConfigMap", CONFIGMAP, lambda live: live.update(immutable=True))),
        *left_out("overridden", "heeded", "a CronJob sets it", lambda site: (container(site, sets(PUBLISH_S3="1")),)),
    ),
    "schedule_plan": (
        case("known", "as recorded"),
        case("unclear", "nothing is to run", suspends("target", suspend=True, before={"suspend": True})),
        case("known", "the operator names it", suspends("target", suspend=True), given(resume_cronjobs=CRONJOB)),
        case("unclear", "the operator names one that is not there", given(resume_cronjobs="another")),
        case("unclear", "the selector leaves out what publishes", given(cronjob_selector="app=another")),
        *left_out("unclear", "known", "the selector leaves out what publishes", _excluded),
    ),
    "primary_health": _health("primary"),
    "dr_health": _health("dr"),
    "primary_startable": _STARTABLE,
    "dr_startable": _STARTABLE,
    "pull_token": (
        case("expired", "no pull Secret is named"),
        case("fresh", "its token lasts", lambda place: pulls(place, NOW + timedelta(hours=1))),
        case("expired", "its token has expired", lambda place: pulls(place, NOW - timedelta(hours=1))),
        case("expired", "the Secret is not there", lambda place: pulls(place, None)),
    ),
    "pull_refresh": (
        case("possible", "one Secret is named", lambda place: pulls(place, None)),
        case("impossible", "none is named", given(image_ref=f"{ECR}/jobintel:1")),
        case("impossible", "the registry is not AWS's"),
        case("impossible", "the Secret is of another kind", lambda place: pulls(place, NOW),
             on("target", "Secret", PULL_SECRET, lambda live: live.update(type="Opaque"))),
    ),
    "site_baseline": (
        case("fit", "as restored"),
        case("not_ready", "its node is not ready", lambda place: not_ready(place, "dr")),
        case("unfit", "its CronJob runs", suspends("dr", suspend=False)),
        case("unfit", "the image is built for others", lambda place: setattr(place.account, "built_for", ("arm64",))),
        case("unfit", "its workload has no identity", gone("dr", "Secret", "jobintel-secrets")),
    ),
    **{f"{site}_reachability": _reachability(site) for site in ("primary", "dr")},
    **{f"{site}_schedules": _schedules(site) for site in ("primary", "dr")},
    **{f"{site}_publishing": _publishing(site) for site in ("primary", "dr")},
    **{f"{site}_inflight": _inflight(site) for site in ("primary", "dr")},
    **{f"{site}_backlog": _backlog(site) for site in ("primary", "dr")},
}  # fmt: skip
