"""The tables of the facts that only a drill has: its site's machines, the backup, the restore, its own promote."""

import json
from copy import deepcopy
from datetime import timedelta
from typing import Any

from drfsm.dr.backup.archive import MANIFESTS, STATE
from drfsm.dr.backup.restore_state import RESTORED
from drfsm.sandbox import seed
from drfsm.sandbox.cloud import Identity
from drfsm.world import Machine
from tests.agree.cases import Change, Table, case, given, silent
from tests.agree.of_sites import on, put, switches
from tests.agree.of_store import CURRENT, lays, owns, without
from tests.agree.world import (
    BACKUP,
    BUCKET,
    CRONJOB,
    NAMESPACE,
    OPTIONS,
    PLAN,
    PREFIX,
    ROLES,
    Place,
    a_machine,
    flip,
    lay_backup,
    stands,
)
from tests.dr.memory import NOW

HOME, CLAIM = BACKUP.removeprefix(f"s3://{BUCKET}/"), "jobintel-state"
GIVEN: dict[str, Any] = {"machines": (), "resources": 0, "existing": True}


def backup_with_a_claim(**claim: Any) -> Change:
    """Return a change: the backup's CronJob writes its state to a claim, which its metadata name as saved."""

    def lay(place: Place) -> None:
        objects = deepcopy(seed.manifests("primary", OPTIONS, Identity(ROLES["primary"], "k", "s"), "http://s3"))
        (cronjob,) = [each for each in objects if each["kind"] == "CronJob"]
        pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                volume.pop("emptyDir")
                volume["persistentVolumeClaim"] = {"claimName": CLAIM, **claim}
        lay_backup(place.store, objects, state={"claim": CLAIM})

    return lay


def restored_claim(place: Place) -> None:
    """Have the backup's state in the site's claim."""
    checksums = json.loads(place.store.objects[f"{HOME}/metadata.json"].body)["checksums"]
    record = json.dumps({"state_sha256": checksums[STATE], "files": 2})
    metadata = {"name": CLAIM, "namespace": NAMESPACE, "annotations": {RESTORED: record}}
    place.dr.add({"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {}})


def emptied(place: Place) -> None:
    """Leave nothing on DR but its namespace."""
    for key in [key for key in place.dr.objects if key[0] not in ("Namespace", "Node")]:
        del place.dr.objects[key]


def created(hours_ago: float, objective: float) -> Change:
    """Return a change: the backup is so old, and may be so old, in hours."""

    def change(place: Place) -> None:
        metadata = json.loads(place.store.objects[f"{HOME}/metadata.json"].body)
        metadata["created_at"] = (NOW - timedelta(hours=hours_ago)).isoformat()
        place.store.lay(f"{HOME}/metadata.json", json.dumps(metadata).encode())
        place.set(recovery_point_objective=str(objective * 3600))

    return change


def recovered(seconds: float, **inputs: Any) -> Change:
    """Return a change: the validation was proven so long after the start."""

    def change(place: Place) -> None:
        place.set(started_at=NOW.isoformat(), recovery_covers="whole", **inputs)
        place.recorded("note", {"validated_at": (NOW + timedelta(seconds=seconds)).isoformat()})

    return change


def promote(status: str) -> Change:
    """Return a change: the drill's promote stands so."""
    run = {"run_id": "promote-1", "status": status, "state": "s", "reason": "", "way": "", "head": "", "records": 1}
    return lambda place: setattr(place.procedures, "run", run)


OF_DRILL: Table = {
    "drill_rights": (
        case("granted", "all is there, and permitted"),
        case("missing", "the backup is not there", without(f"{HOME}/metadata.json")),
        case("missing", "no control plane is published", without(CURRENT)),
        case("missing", "the backup is too old", created(2, 1)),
        case("missing", "it is not the pinned backup", given(expect_backup_sha256="0" * 64)),
        case("missing", "there is no receipt of a validation",
             given(restore="none", validate="none", promote="asked", validation_receipt="")),
        case("missing", "the store heeds no condition",
             lambda place: setattr(place.store, "put", lambda *_, **__: "etag")),
    ),
    "pointer_owner": (
        case("unclaimed", "there is no object"),
        case("primary", "the primary", owns("primary")),
        case("dr", "DR", owns("dr")),
        case("other", "another site", owns("elsewhere")),
        case(None, "it can't be read", lays(f"{PREFIX}/drfsm/ownership.json", b"{")),
    ),
    "site_ownership": (
        case("free", "nobody owns"),
        case("free", "no site stands", owns("dr")),
        case("free", "the primary owns, and the drill started the site itself", owns("primary"), stands),
        case("canonical", "the given site is the owner", owns("dr"), lambda place: stands(place, **GIVEN)),
        case("canonical", "it is the owner under another name", owns("primary", uid="uid-dr"),
             lambda place: stands(place, **GIVEN)),
        case("free", "another cluster owns", owns("dr", uid="uid-another"), lambda place: stands(place, **GIVEN)),
        case(None, "the owner's cluster is not known",
             lays(f"{PREFIX}/drfsm/ownership.json", b'{"site": "dr", "cluster_uid": null}'),
             lambda place: stands(place, **GIVEN)),
    ),
    "foreign_runners": (
        case("none", "there is none"),
        case("none", "the drill's own", stands),
        case("present", "another's", lambda place: a_machine(place, "i-9", run="drill-20260101T000000Z-ffffffffffff")),
    ),
    "runner": (
        case("absent", "nothing stands"),
        case("present", "a machine runs", stands),
        case("present", "resources are left", lambda place: stands(place, machines=(), resources=1)),
        case("absent", "its machine is terminated", lambda place: stands(place, resources=0),
             lambda place: a_machine(place, "i-1", "terminated")),
        case("given", "the operator names the site", lambda place: stands(place, **GIVEN)),
    ),
    "runner_plan": (
        case("none", "none is saved"),
        case("ready", "it is saved", lambda place: setattr(place.provisioner, "saved", PLAN)),
    ),
    "site_kubeconfig": (
        case("absent", "none is saved"),
        case("held", "it is saved", stands),
    ),
    "runner_ready": (
        case("yes", "its API answers", stands),
        case("yes", "the given site answers", lambda place: stands(place, **GIVEN)),
        case("no", "no kubeconfig yet", lambda place: stands(place, kubeconfig=False)),
        case("no", "its machine does not run yet",
             lambda place: stands(place, machines=(Machine("i-1", "pending"),))),
        case("no", "its API does not answer", stands, lambda place: setattr(place.dr, "get", silent())),
    ),
    "backup_contents": (
        case("intact", "every part has its hash"),
        case("damaged", "a part has another bit", lambda place: flip(place.store, f"{HOME}/{MANIFESTS}")),
        case("damaged", "it is not the pinned backup", given(expect_backup_sha256="0" * 64)),
        case("missing", "a part is not there", without(f"{HOME}/{STATE}")),
    ),
    "lasting_state": (
        case("kept", "in a claim", backup_with_a_claim()),
        case("not_required", "in an emptyDir, and nobody asks"),
        case("missing", "in an emptyDir, and it is required", given(require_state="yes")),
        case("not_required", "nothing is restored", given(restore="none", require_state="yes")),
    ),
    "recovery_point": (
        case("unasked", "no objective"),
        case("within", "young enough", created(1, 2)),
        case("over", "too old", created(3, 2)),
        case("over", "made in the future", created(-3, 2)),
    ),
    "restore_target": (
        case("quiet", "as restored"),
        case("quiet", "nothing is there", emptied),
        case("live", "publishing is on", switches("dr", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0")),
        case("live", "a schedule is on", on("dr", "CronJob", CRONJOB, lambda live: live["spec"].update(suspend=False))),
    ),
    "restored_manifests": (
        case("quiet", "as restored"),
        case("absent", "nothing is there", emptied),
        case("partial", "one is not there", lambda place: place.dr.objects.pop(("ServiceAccount", "jobintel"))),
        case("loud", "a schedule is on", on("dr", "CronJob", CRONJOB, lambda live: live["spec"].update(suspend=False))),
    ),
    "dr_control_plane": (
        case("equal", "as the bundle"),
        case("different", "a ConfigMap is not there",
             lambda place: place.dr.objects.pop(("ConfigMap", "jobintel-control-plane-scoring"))),
        case("absent", "none is published", without(CURRENT)),
    ),
    "restored_secrets": (
        case("present", "they are there"),
        case("missing", "one is not there", lambda place: place.dr.objects.pop(("Secret", "jobintel-secrets"))),
    ),
    "restored_state": (
        case("not_restorable", "in an emptyDir"),
        case("absent", "the claim is empty", backup_with_a_claim()),
        case("restored", "it is in the claim", backup_with_a_claim(), restored_claim),
        case("not_restorable", "the claim is read-only", backup_with_a_claim(), put("dr", {
            "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": NAMESPACE},
            "spec": {"accessModes": ["ReadOnlyMany"]}})),
    ),
    "recovery_time": (
        case("unasked", "no objective", recovered(60)),
        case("within", "quick enough", recovered(60, recovery_time_objective="120")),
        case("over", "too long", recovered(180, recovery_time_objective="120")),
        case("unasked", "only a part", recovered(180, recovery_time_objective="120"), given(recovery_covers="part")),
        case(None, "nothing is validated yet"),
    ),
    "promotion_run": (
        case("absent", "it was not started"),
        case("present", "it was started", promote("held")),
    ),
    "promotion": (
        case("absent", "it was not started"),
        case("complete", "it is complete", promote("complete")),
        case("waiting", "it waits for a person", promote("held")),
        case("failed", "it was refused", promote("refused")),
    ),
}  # fmt: skip
