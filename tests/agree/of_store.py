"""The tables of the facts that ask the store: pointers and their owner, fences, runs and their artifacts, the soak."""

import json
from typing import Any

from drfsm.dr.objects import ROLE_LABEL, RUN_LABEL, name_of_ours
from drfsm.dr.procedures.bindings import binding
from tests.agree.cases import Case, Change, Table, case, given
from tests.agree.of_inputs import BLANK, LOST, UNFENCED
from tests.agree.of_sites import DR_LOST, gone
from tests.agree.world import (
    BACKUP,
    BUCKET,
    CRONJOB,
    IDS,
    NEW_RUN,
    NEXT_RUN,
    OLD_RUN,
    PREFIX,
    Place,
    a_job,
    a_pod,
    flip,
    own,
    point,
    publish,
    run_keys,
)

GLOBAL, OLDER = f"{PREFIX}/state/candidates/local/last_success.json", f"{PREFIX}/state/last_success.json"
PROVIDER = f"{PREFIX}/state/candidates/local/openai/cs/last_success.json"
OLDER_PROVIDER = f"{PREFIX}/state/openai/cs/last_success.json"
ALL = (GLOBAL, OLDER, PROVIDER, OLDER_PROVIDER)
HOME = BACKUP.removeprefix(f"s3://{BUCKET}/")
CURRENT = f"{PREFIX}/control-plane/current.json"


def acts(action: str) -> Change:
    """Return a change: an action of the machine was done."""
    return lambda place: binding(place.machine).actions[action](place.world, place.run())


def owns(site: str, *, uid: str = "") -> Change:
    """Return a change: a site owns the pointers."""
    return lambda place: own(place, site, uid=uid)


def names(run_id: str, *keys: str, **fields: Any) -> Change:
    """Return a change: these pointers name a run."""

    def change(place: Place) -> None:
        for key in keys:
            point(place.store, key, run_id, **fields)

    return change


def without(*keys: str) -> Change:
    """Return a change: these objects are not there."""
    return lambda place: [place.store.objects.pop(key) for key in keys]


def lays(key: str, body: bytes) -> Change:
    """Return a change: this object is there."""
    return lambda place: place.store.lay(key, body)


def published(prefix: str, run_id: str, **more: str) -> Change:
    """Return a change: the workload published a run. ``more``: ``until``, or its environment."""
    return lambda place: publish(place.store, prefix, run_id, **more)


def staged_again(**more: str) -> Change:
    """Return a change: the validated run is another one, by its environment."""

    def change(place: Place) -> None:
        home = place.staged.prefix
        for key in [key for key in place.store.objects if key.startswith(f"{home}/")]:
            del place.store.objects[key]
        publish(place.store, home, NEW_RUN, **more)

    return change


def damaged(which: str, run_id: str) -> Change:
    """Return a change: an artifact of a run has another bit. ``which``: staged or layout."""
    return lambda place: flip(place.store, next(run_keys(place, getattr(place, which), run_id)))


def lost(which: str, run_id: str) -> Change:
    """Return a change: an artifact of a run is not there."""
    return lambda place: place.store.objects.pop(next(run_keys(place, getattr(place, which), run_id)))


def foreign(place: Place) -> None:
    """Let the fence say something else under our name."""
    policy = json.loads(place.world.policy.read() or "{}")
    (statement,) = policy["Statement"]
    statement["Action"] = "s3:DeleteObject"
    place.world.policy.write(json.dumps(policy))


def validation(ended: str = "", *, pod: str = "Running", **status: Any) -> Change:
    """Return a change: this run's validation Job is there, with a pod."""

    def add(place: Place) -> None:
        labels = {RUN_LABEL: IDS[place.machine], ROLE_LABEL: "validation"}
        name = name_of_ours(place.run(), "validation")
        place.target.add(a_job(name, ended=ended, labels=labels))
        made = a_pod(f"{name}-1", job=name, node=f"{place.target.name}-node", phase=pod, **status)
        made["metadata"]["labels"] |= labels
        place.target.add(made)

    return add


def soak(ended: str = "", *, said: str = "") -> Change:
    """Return a change: the soak's Job is there, by schedule since the thaw. ``said``: its log."""

    def add(place: Place) -> None:
        owner = {
            "kind": "CronJob",
            "name": CRONJOB,
            "uid": place.primary.objects["CronJob", CRONJOB]["metadata"]["uid"],
        }
        place.primary.add(a_job("soak", ended=ended, ownerReferences=[owner]))
        place.primary.add(a_pod("soak-1", job="soak", phase="Succeeded"))
        place.primary.printed = said

    return add


def thawed(place: Place) -> None:
    """Switch everything back, as a failback does before its soak."""
    for key in ALL:
        point(place.store, key, NEW_RUN)
    results = {"switch_global_pointer": {"ended_at": NEW_RUN}, "resume_primary": {"jobs": []}}
    for trigger, result in results.items():
        place.recorded(trigger, result)


def beside_gone(place: Place) -> None:
    """Let nothing be beside."""
    for key in [key for key in place.store.objects if key.startswith(f"{place.staged.prefix}/")]:
        del place.store.objects[key]


def with_status(reason: str, message: str = "x") -> dict[str, Any]:
    """Return a pod's status that waits for a reason."""
    return {"containerStatuses": [{"name": "job", "state": {"waiting": {"reason": reason, "message": message}}}]}


KILLED = {"containerStatuses": [{"name": "job", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}


def _pointers(key: str, older: str) -> tuple[Case, ...]:
    other = {"promote": "primary", "failback": "dr"}
    taken = {"promote": "dr", "failback": "primary"}
    return (
        *(case(value, "as before the switch", only=machine) for machine, value in other.items()),
        *(case(value, "all moved", names(NEW_RUN, key, older), only=machine) for machine, value in taken.items()),
        case("mixed", "one of two moved", names(NEW_RUN, older)),
        case("other", "a run that nobody named", names(NEXT_RUN, key, older)),
        case("other", "the run's name at another place", names(OLD_RUN, key, older, run_path="elsewhere")),
        case("other", "one is not there", without(older)),
        case("dr", "a run that DR published since is taken", names(NEXT_RUN, key, older), given(dr_run_id=NEXT_RUN),
             only="failback"),
        case("primary", "the primary's newer run is approved", names(NEXT_RUN, key, older),
             given(primary_run_id=NEXT_RUN), only="promote"),
        case(None, "it can't be read", lays(key, b"{")),
    )  # fmt: skip


def _fence(site: str) -> tuple[Case, ...]:
    return (
        case("down", "there is no statement"),
        case("up", "our statement", acts(f"raise_{site}_fence")),
        case("foreign", "another statement under our name", acts(f"raise_{site}_fence"), foreign),
        case("foreign", "it fences another identity", acts(f"raise_{site}_fence"),
             given(**{f"fence_{site}_role": "arn:aws:iam::123456789012:role/another"})),
    )  # fmt: skip


def _stands(site: str, lost_site: Change, asks: Change) -> tuple[Case, ...]:
    return (
        case("yes", "no fence is relied on"),
        case("removed", "it is relied on, and not there", asks),
        case("removed", "the site is lost, and its fence is not there", lost_site),
        case("removed", "another statement stands in its place", asks, acts(f"raise_{site}_fence"), foreign),
        case("removed", "it fences another identity", asks, acts(f"raise_{site}_fence"),
             given(**{f"fence_{site}_role": "arn:aws:iam::123456789012:role/another"})),
        case("yes", "it is relied on, and stands", asks, acts(f"raise_{site}_fence")),
    )  # fmt: skip


def _dr_fence_by_hand(place: Place) -> None:
    """Raise DR's fence as a failback does: a promote only lifts it."""
    binding("failback").actions["raise_dr_fence"](place.world, place.run())


_DR_FENCE_IN_A_PROMOTE = (
    case("up", "a failback's statement", _dr_fence_by_hand, only="promote"),
    case("foreign", "another statement under our name", _dr_fence_by_hand, foreign, only="promote"),
    case("foreign", "it fences another identity", _dr_fence_by_hand, given(fence_dr_role="arn:aws:iam::1:role/a"),
         only="promote"),
)  # fmt: skip
POINTERS: Table = {
    "owner": (
        case("unclaimed", "there is no object"),
        case("dr", "DR's cluster", owns("dr")),
        case("primary", "the primary's cluster", owns("primary")),
        case("other", "DR by name, another cluster", owns("dr", uid="uid-another")),
        case("other", "the primary by name, another cluster", owns("primary", uid="uid-another")),
        case("other", "another site", owns("elsewhere")),
        case(None, "it can't be read", lambda place: place.store.lay(place.layout.own("ownership.json"), b"{")),
        case("primary", "the lost site is not asked", owns("primary", uid="uid-another"), LOST, only="promote"),
        case("dr", "the lost site is not asked", owns("dr", uid="uid-another"), DR_LOST, only="failback"),
    ),
    "global_pointer": _pointers(GLOBAL, OLDER),
    "provider_pointers": _pointers(PROVIDER, OLDER_PROVIDER),
    "pointer_set": (
        case("whole", "all name one run"),
        case("half_moved", "the others name an older run", names(NEXT_RUN, GLOBAL)),
        case("torn", "another names a newer run", names(NEXT_RUN, PROVIDER)),
        case("torn", "one is not there", without(PROVIDER)),
        case("older_only", "only the older keys", without(GLOBAL, PROVIDER)),
    ),
    "canonical_run": (
        case("dr", "the confirmed run", only="failback"),
        case("primary", "the run that was seen", only="promote"),
        case("other", "another run", names(NEXT_RUN, GLOBAL)),
        case("dr", "the older key decides where there is no other", without(GLOBAL), only="failback"),
        case("dr", "a newer run is taken", names(NEXT_RUN, GLOBAL), given(dr_run_id=NEXT_RUN), only="failback"),
        case("primary", "a newer run is approved", names(NEXT_RUN, GLOBAL), given(primary_run_id=NEXT_RUN),
             only="promote"),
    ),
    "captured": (
        case("unmoved", "as captured"),
        case("moved", "another run", names(NEXT_RUN, GLOBAL)),
        case("unmoved", "moved by this run", acts("move_provider_pointers")),
        case("moved", "gone", without(PROVIDER)),
        case(None, "nothing is captured yet", lambda place: place.run_fields.pop("results")),
    ),
    "pointers_present": (
        case("all", "all are there"),
        case("some_missing", "one is not there", without(OLDER_PROVIDER)),
    ),
    "succession": (
        case("newer", "the validated run ended later"),
        case("older", "it ended earlier", names(NEXT_RUN, *ALL)),
        case("older_allowed", "a person allows it", names(NEXT_RUN, *ALL), given(allow_older="yes")),
        case(None, "nobody says when it ended", beside_gone),
    ),
    "primary_fence": (
        *_fence("primary"),
        case("risked", "a person takes the risk", LOST, UNFENCED, only="promote"),
        case("down", "for no reason", LOST, UNFENCED, given(reason=BLANK), only="promote"),
        case("up", "it is up all the same", LOST, UNFENCED, acts("raise_primary_fence"), only="promote"),
    ),
    "dr_fence": (*(Case(e.value, e.claim, e.changes, ("failback",)) for e in _fence("dr") if e.changes),
                 case("down", "there is no statement"), *_DR_FENCE_IN_A_PROMOTE),
    "primary_fence_stands": (
        *(Case(e.value, e.claim, e.changes, ("promote",)) for e in _stands("primary", LOST, LOST)),
        *(Case(e.value, e.claim, e.changes, ("failback",))
          for e in _stands("primary", given(fence_primary="asked"), given(fence_primary="asked"))),
        case("yes", "a person takes the risk", LOST, UNFENCED, only="promote"),
        case("removed", "for no reason", LOST, UNFENCED, given(reason=BLANK), only="promote"),
    ),
    "dr_fence_stands": _stands("dr", DR_LOST, given(fence_dr="asked")),
    "rehearsal": (
        case("staged", "all pointers are there"),
        case("partial", "one is not there", without(GLOBAL)),
        case("absent", "none is there", without(*ALL)),
    ),
}  # fmt: skip


def _run(which: str, run_id: str) -> tuple[Case, ...]:
    return (
        case("verified", "all artifacts are there, and readable"),
        case("missing", "one is not there", lost(which, run_id)),
        case("damaged", "its report says another hash", lambda place: _publish_report(place, which, run_id),
             damaged(which, run_id)),
    )  # fmt: skip


def _publish_report(place: Place, which: str, run_id: str) -> None:
    publish(place.store, getattr(place, which).prefix, run_id, JOBINTEL_PUBLISH_RUN_REPORT="1")


def _only_a_pod(place: Place) -> None:
    ((kind, name),) = [key for key in place.primary.objects if key[0] == "Job"]
    job = place.primary.objects.pop((kind, name))
    made = a_pod("p", job=name)
    made["metadata"]["labels"] |= job["metadata"]["labels"]
    place.primary.add(made)


RUNS: Table = {
    "dr_run": (
        *(Case(e.value, e.claim, e.changes, ("promote",)) for e in _run("staged", NEW_RUN)),
        *(Case(e.value, e.claim, e.changes, ("failback",)) for e in _run("layout", OLD_RUN)),
        case("missing", "another run is taken, which is not there", given(dr_run_id=NEXT_RUN), only="failback"),
    ),
    "primary_run": _run("staged", NEW_RUN),
    "validated_run": _run("staged", NEW_RUN),
    "comparison_profile": (
        case("fits", "a whole run"),
        case("never_passes", "nothing of the run is there", lambda place: [place.store.objects.pop(key)
             for key in list(run_keys(place, place.layout, OLD_RUN))]),
        case("never_passes", "another run is taken, which is not there", given(dr_run_id=NEXT_RUN)),
    ),
    "divergence": (
        case("none", "the same files"),
        case("content", "other records", staged_again(JOBINTEL_DIVERGE="x")),
        case("integrity", "an artifact is not there", lost("staged", NEW_RUN)),
        case("integrity", "another run is taken, which is not there", given(dr_run_id=NEXT_RUN)),
    ),
    "artifacts": (
        case("absent", "nothing is copied"),
        case("partial", "one is copied", lambda place: place.store.copy(
            first := next(run_keys(place, place.staged, NEW_RUN)),
            first.replace(place.staged.prefix, place.layout.prefix, 1))),
        case("published", "all is copied", acts("publish_artifacts")),
        case("partial", "one has other content", acts("publish_artifacts"), damaged("layout", NEW_RUN)),
    ),
    "latest": (
        case("dr", "as DR's run", staged_again(JOBINTEL_DIVERGE="x"), only="failback"),
        case("primary", "as the primary's run", staged_again(JOBINTEL_DIVERGE="x"), only="promote"),
        case("primary", "the validated run's", staged_again(JOBINTEL_DIVERGE="x"), acts("switch_latest"),
             only="failback"),
        case("dr", "the validated run's", staged_again(JOBINTEL_DIVERGE="x"), acts("switch_latest"), only="promote"),
        case("other", "neither's", published(PREFIX, NEXT_RUN, JOBINTEL_DIVERGE="y")),
        case("other", "nothing is there", lambda place: [place.store.objects.pop(key) for key in
             [key for key in place.store.objects if key.startswith(f"{PREFIX}/latest/")]]),
        case("dr", "of DR's newer run, which is taken", staged_again(JOBINTEL_DIVERGE="x"),
             published(PREFIX, NEXT_RUN, JOBINTEL_DIVERGE="y"), given(dr_run_id=NEXT_RUN), only="failback"),
        case("primary", "of the primary's newer run, which is approved", staged_again(JOBINTEL_DIVERGE="x"),
             published(PREFIX, NEXT_RUN, JOBINTEL_DIVERGE="y"), given(primary_run_id=NEXT_RUN), only="promote"),
    ),
    "sync": (
        case("pending", "nothing is copied"),
        case("done", "all is copied", acts("sync_prefix")),
        case("pending", "there is nothing", given(sync_src_prefix=f"{PREFIX}/nothing/")),
        case("pending", "one has other content", acts("sync_prefix"), lambda place: flip(
            place.store, next(key for key in place.store.objects if key.startswith(f"{PREFIX}/kept/")))),
    ),
    "backup": (
        case("intact", "every part has its hash"),
        case("damaged", "a part has another bit",
             lambda place: flip(place.store, f"{HOME}/state.tar.zst")),
        case("missing", "a part is not there", without(f"{HOME}/state.tar.zst")),
    ),
    "control_plane": (
        case("equal", "as the bundle"),
        case("different", "a ConfigMap is not there", gone("primary", "ConfigMap", "jobintel-control-plane-scoring")),
        case("different", "the bundle can't be read", lays(CURRENT, b"{")),
        case("absent", "none is published", without(CURRENT)),
    ),
    "validation_job": (
        case("present", "what it published is there"),
        case("present", "its Job is there", beside_gone, validation()),
        case("absent", "nothing of it is there", beside_gone),
    ),
    "validation_result": (
        case("pending", "its Job runs", validation()),
        case("succeeded", "it ended, and its pointers are there", validation("Complete", pod="Succeeded")),
        case("failed", "it ended, and published nothing", validation("Complete", pod="Succeeded"), beside_gone),
        case("failed", "its Job is not there"),
        case("pending", "its image can't be pulled just now",
             validation(pod="Pending", **with_status("ImagePullBackOff"))),
        case("failed", "its image's name can't be read", validation(pod="Pending", **with_status("InvalidImageName"))),
    ),
    "validation_failure": (
        case("none", "its Job runs", validation()),
        case("none", "its Job is not there"),
        case("image_pull", "an image that can't be pulled", beside_gone,
             validation("Failed", pod="Pending", **with_status("ErrImagePull"))),
        case("memory", "it was killed", beside_gone, validation("Failed", pod="Failed", **KILLED)),
        case("other", "it failed by itself", beside_gone, validation("Failed", pod="Failed")),
    ),
    "soak_job": (
        case("absent", "nothing is there"),
        case("present", "its Job is there", acts("start_soak")),
        case("present", "its pod is there still", acts("start_soak"), _only_a_pod),
    ),
    "soak_result": (
        case("pending", "nothing ran yet", thawed),
        case("pending", "its Job runs", thawed, soak()),
        case("passed", "it published a newer run", thawed, soak("Complete"), published(PREFIX, NEXT_RUN)),
        case("failed", "it failed", thawed, soak("Failed")),
        case("failed", "it published an older run", thawed, soak("Complete"),
             lambda place: publish(place.store, PREFIX, NEXT_RUN, "2026-02-20T00:00:00Z")),
        case("failed", "it published nothing, and says nothing", thawed, soak("Complete")),
        case("unchanged", "it found nothing new", thawed,
             soak("Complete", said="No changes detected (raw/labeled/enriched) and ranked artifacts present.")),
        case(None, "nobody can say which ended later", thawed, soak("Complete"), published(PREFIX, NEXT_RUN),
             names(NEXT_RUN, *ALL, ended_at="once")),
    ),
}  # fmt: skip


OF_STORE: Table = {**POINTERS, **RUNS}
