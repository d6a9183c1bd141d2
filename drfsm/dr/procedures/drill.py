"""The drill's binding, and the facts and actions that only a drill has.

From the rooms: the site's machines (infrastructure), backup and restore, the control plane, the validation, what a
site must have (sites/baseline.py). From drill_promotion.py: the promote as a run of its own. Its own: whether so much
was meant, the two promote flags, who owns the pointers (asked of the ownership object alone: there is no primary
cluster in a drill), whether the drilled site itself is the owner, and the time of recovery.

A drill that 0.1.0 or 0.2.0 started is pinned to their drill.yaml: it goes on with this binding, and with the one action
that only those name (validation/until_0_2.py).

Nothing here writes a key outside the drill's own prefix: a canonical promotion is the promote machine's, which asks
a person. Bound to machines/drill.yaml; the CLI also reads single facts for diagnostics.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from drfsm import claims
from drfsm.dr.artifacts import publish as publish_artifacts
from drfsm.dr.backup import METADATA, restore, restore_policy, restore_state
from drfsm.dr.backup import check as backup_check
from drfsm.dr.backup import home_of as backup_home
from drfsm.dr.callers import callers
from drfsm.dr.control_plane import apply as control_plane_apply
from drfsm.dr.control_plane import read as control_plane
from drfsm.dr.infrastructure import provision, tags_of
from drfsm.dr.objects import cronjob_of
from drfsm.dr.pointers import ownership
from drfsm.dr.procedures import drill_promotion
from drfsm.dr.procedures.promote_flags import case_of, recorded_flags
from drfsm.dr.sites import baseline, preflight, publishing, pull_secret, schedules
from drfsm.dr.terms import terms_of
from drfsm.dr.validation import failure as validation_failure
from drfsm.dr.validation import job as validation_job
from drfsm.dr.validation import until_0_2
from drfsm.engine import Binding, Fact, Late, Run
from drfsm.errors import ActionFailed, DrfsmError, Unreachable, Unreadable, UsageFault
from drfsm.world import World

PREFLIGHT = "run_preflight"  # the trigger before which, and with which, no site is asked
PART = "only a part: no site was brought up and restored in this time, so it says nothing of the objective"
WAIT_SECONDS = 5.0  # the repair of a teardown


# --- judged from the inputs alone -------------------------------------------------------------------------------


def _scope(_world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    phases = {name: terms.recorded(name) for name in ("site", "restore", "validate", "promote", "teardown")}
    full = (phases["restore"], phases["teardown"]) == ("asked", "true")
    return {**phases, "full": full, "allowed": terms.recorded("allow_full_drill")}


def _flags(_world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    flags = recorded_flags(terms)
    return {
        **flags,
        "missing": list(case_of(flags).missing),
        "promotion": str(terms.recorded("promote")),
        "target": str(terms.recorded("promote_target")),
        "teardown": str(terms.recorded("teardown")),
    }


def _judge_flags(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["target"] == "canonical" and seen["teardown"] == "true":
        return "unsafe"
    return case_of(seen).drill


def _said(name: str, value: str, then: str, otherwise: str) -> Fact:
    """Return a fact that is an input's word."""
    return Fact(
        lambda _world, run: {name: str(terms_of(run.inputs).recorded(name))},
        lambda seen, _: then if seen[name] == value else otherwise,
    )


# --- who owns the pointers, and is it this site -----------------------------------------------------------------


def _ownership(world: World, run: Run) -> dict[str, Any]:
    return ownership.read(world.store, terms_of(run.inputs).layout.own("ownership.json"))


def _judge_owner(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    match seen["site"]:
        case None:
            return "unclaimed"
        case "unreadable":
            return None
        case "primary" | "dr":
            return str(seen["site"])
    return "other"


def _site_ownership(world: World, run: Run) -> dict[str, Any]:
    """See whether the owner's cluster is the drilled one, whatever it is called. Raises Unreachable if it is silent."""
    owner = _ownership(world, run)
    if owner["site"] is None:
        return {**owner, "runner": "not asked", "ours": None}
    runner = provision.FACTS["runner"]
    stands = str(runner.judge(runner.observe(world, run), run.inputs))
    known = (result.get("cluster_uid") for result in run.results.values() if isinstance(result, Mapping))
    ours = next((str(uid) for uid in known if uid), None) if stands == "present" else None
    if ours is None and (stands == "given" or (stands == "present" and owner["site"] != "primary")):
        ours = world.dr.uid()
    return {**owner, "runner": stands, "ours": ours}


def _judge_site(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    """Judge it. What can't be told is never free: only where nobody owns, or nothing stands, it needn't be told."""
    if seen["site"] is None or seen["runner"] == "absent":
        return "free"
    told = (seen["ours"], seen.get("cluster_uid"))
    if None in told:
        # What a drill started itself is no primary, though it may never have answered.
        return "free" if (seen["site"], seen["runner"]) == ("primary", "present") else None
    return "canonical" if told[0] == told[1] else "free"


# --- before anything moves --------------------------------------------------------------------------------------


def _image(world: World, run: Run) -> dict[str, Any]:
    """See which image will be validated: the named one, else the one of the CronJob, restored or there already.

    Before a site is reached it is not asked.
    """
    terms = terms_of(run.inputs)
    needed = terms.validate
    if terms.image_ref or not needed:
        return {"image": terms.image_ref, "of": "--image-ref", "needed": needed}
    if not terms.restore and run.trigger == PREFLIGHT:
        return {"image": None, "of": "the site's CronJob, once the site is reached", "needed": True}
    if terms.restore:
        backup = backup_check.outline(world.store, terms.backup_uri)
        found = [each for each in backup.manifests if each["kind"] == "CronJob"]
        named = [each for each in found if terms.cronjob in ("", each["metadata"]["name"])]
        if len(named) != 1:
            told = ", ".join(each["metadata"]["name"] for each in found) or "none"
            raise ActionFailed(
                f"the backup has these CronJobs: {told}", hint="name the one that publishes with --cronjob"
            )
        cronjob, of = named[0], "the backup"
    else:
        cronjob, of = cronjob_of(world.dr, terms.namespace, terms.cronjob, terms.usual_cronjob), "the site"
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return {"image": str(containers[0]["image"]), "of": of, "needed": True}


def _judge_image(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    if seen["image"] is None:
        return "later"
    unasked = not seen["needed"] and not seen["image"]
    return "pinned" if unasked or preflight.PINNED.match(seen["image"]) or terms_of(inputs).allow_tag else "loose"


def _rights(world: World, run: Run) -> dict[str, Any]:
    """Ask the cloud everything that the drill will ask later, as far as asking changes nothing."""
    terms = terms_of(run.inputs)
    asked: dict[str, Callable[[], Iterable[str]]] = {
        "writing below the drill's prefix": lambda: preflight.unwritable(world, run, [terms.staged(run.id).prefix])
    }
    if terms.site != "given":
        asked["DR's runners"] = lambda: preflight.nothing(world.infrastructure.runners(tags_of(run)))
        charter = provision.charter_of(run)
        asked["the site's machines"] = lambda: preflight.nothing(provision.provisioner_of(world).standing(charter))
    if terms.restore:
        asked["the backup"] = partial(_no_backup, world, run)
        asked["the control plane"] = partial(_no_control_plane, world, run)
    if terms.promote and not terms.validate:
        asked["the validation"] = lambda: () if terms.validation_receipt else ("there is no receipt of one",)
    return preflight.refusals(run, asked)


def unrestorable(world: World, run: Run) -> list[str]:
    """Return why the backup that the inputs name is not restored, or nothing is published to restore beside it."""
    return [*_no_backup(world, run), *_no_control_plane(world, run)]


def _no_backup(world: World, run: Run) -> Iterable[str]:
    """Yield why this backup is not restored, as far as its metadata and its objects tell: before anything comes up."""
    terms = terms_of(run.inputs)
    uri = terms.backup_uri
    if world.store.stat(backup_home(world.store, uri) + METADATA) is None:
        yield f"{uri} has no {METADATA}"
        return
    try:
        backup = backup_check.of_run(world, run)
        restore_policy.permit(uri, backup.sha256, backup.manifests, terms.allow_in_backup)
    except (backup_check.OtherBackup, restore_policy.RestoreRefused, UsageFault) as fault:
        yield f"{fault.what} ({fault.hint})"
    except backup_check.BackupFault:
        run.note(f"{uri} does not hold yet: it is read again, all of it, before it is restored")
    how_old = backup_check.FACTS["recovery_point"]
    if how_old.judge(seen := how_old.observe(world, run), run.inputs) == "over":
        yield backup_check.aged(seen)


def _no_control_plane(world: World, run: Run) -> Iterable[str]:
    key = f"{control_plane.home_of(terms_of(run.inputs).prefix)}/current.json"
    if world.store.stat(key) is None:
        yield f"none is published: there is no {key}"


def _survey(world: World, run: Run) -> dict[str, Any]:
    """Return what the receipts take as given."""
    terms = terms_of(run.inputs)
    identity = world.identity
    return {
        "git_sha": terms.git_sha or _published_sha(world, run),
        "git_sha_from": terms.git_sha_from if terms.git_sha else "the published control plane",
        "image": _image(world, run)["image"] if not terms.only_teardown else terms.image_ref,
        "account": identity.account(),
        "caller": identity.caller(),
        "proven": callers(world, ()),  # there may be no cluster yet
        "region": identity.region(),
        "operator": run.operator,
        "drill_prefix": terms.journal_prefix,
    }


def _published_sha(world: World, run: Run) -> str:
    """Return the commit that the published control plane is of; words where that can't be told."""
    blob = world.store.get(f"{control_plane.home_of(terms_of(run.inputs).prefix)}/current.json")
    if blob is None:
        return "unknown: no control plane is published"
    what = "the published control plane's current.json"
    try:
        current = claims.object_of(blob.body, what, largest_bytes=control_plane.LARGEST_CURRENT_BYTES)
        sha = claims.field(current, "git_sha", str, what)
        return claims.name_of("git commit", sha, f"the commit that {what} names")
    except Unreadable as fault:
        return f"unknown: {fault.what}"


# --- restore ----------------------------------------------------------------------------------------------------


def _open_backup(world: World, run: Run) -> dict[str, Any]:
    """Read all of the backup. Raises BackupFault unless it holds, RestoreRefused for what a restore doesn't bring."""
    terms, expect = terms_of(run.inputs), backup_check.pinned(run)
    backup = backup_check.opened(world.store, terms.backup_uri, expect=expect, check=run.check)
    restore_policy.permit(backup.uri, backup.sha256, backup.manifests, terms.allow_in_backup)
    return {
        "backup_uri": backup.uri,
        "backup_sha256": backup.sha256,
        "backup_run_id": backup.metadata.get("run_id"),
        "created_at": backup.metadata.get("created_at"),
        "objects": len(backup.manifests),
        "checksums": dict(backup.metadata["checksums"]),
    }


def _reread_backup(world: World, run: Run) -> dict[str, Any]:
    """Read the backup's contract again, all of it: the repair of a restore."""
    expect = backup_check.pinned(run)
    seen = backup_check.verify(world.store, terms_of(run.inputs).backup_uri, expect=expect, check=run.check)
    told = [*(f"{name} is missing" for name in seen["missing"]), *seen["damaged"]]
    run.note(f"read the backup again: {'; '.join(told) or 'it holds'}")
    return {"missing": seen["missing"], "damaged": seen["damaged"]}


def _restore_state(world: World, run: Run) -> Any:
    """Restore the state. What can't be restored, however often one tries, is final."""
    seen = restore_state.ACTIONS["restore_state"](world, run)
    if restore_state.judge(seen) == "not_restorable":
        raise ActionFailed(str(seen["told"]), hint="give the workload a lasting volume", final=True)
    return seen


# --- how long it took -------------------------------------------------------------------------------------------


def _note_validated(_world: World, run: Run) -> dict[str, Any]:
    """Write down when the validation was proven: recovery ends here, however much later it is measured."""
    return {"validated_at": run.clock.now()}


def _recovery(_world: World, run: Run) -> dict[str, Any]:
    """Measure from the command to the proof, by what is on record."""
    terms = terms_of(run.inputs)
    results = (each for each in run.results.values() if isinstance(each, Mapping))
    ended = next((str(each["validated_at"]) for each in results if "validated_at" in each), None)
    if ended is None:
        raise ActionFailed("nothing was validated yet: there is no recovery to measure")
    first, last = claims.moment(terms.started_at), claims.moment(ended)
    if first is None or last is None:
        raise Unreadable("the run's own records say when it began, or when it was validated, in what is no time")
    return {
        "started_at": terms.started_at,
        "validated_by": ended,
        "seconds": round(claims.seconds_between(first, last), 1),
        "objective_seconds": terms.recovery_time_objective,
        "covers": "bring-up, restore and validation" if terms.recovery_is_whole else PART,
    }


def _judge_recovery(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["objective_seconds"] is None or seen["covers"] == PART:
        return "unasked"
    return "within" if seen["seconds"] <= seen["objective_seconds"] else "over"


def _tell_recovery(world: World, run: Run) -> dict[str, Any]:
    seen = _recovery(world, run)
    verdict = _judge_recovery(seen, run.inputs)
    if verdict == "over":
        run.note(f"RECOVERY TOOK TOO LONG: {seen['seconds']:.0f} s, the objective is {seen['objective_seconds']:.0f} s")
    else:
        part = f" ({PART})" if seen["covers"] == PART else ""
        run.note(f"validated {seen['seconds']:.0f} s after the start{part}")
    return {**seen, "verdict": verdict}


# --- the end ----------------------------------------------------------------------------------------------------


def _await_teardown(world: World, run: Run) -> dict[str, Any]:
    """Wait a while: the repair of a teardown. Machines take their time to go."""
    until = run.clock.monotonic() + WAIT_SECONDS
    while run.clock.monotonic() < until:
        run.check()
        run.clock.sleep(min(1.0, WAIT_SECONDS))
    try:
        return {
            "waited_seconds": WAIT_SECONDS,
            "machines": provision.FACTS["runner"].observe(world, run)["machines"],
        }
    except (Unreachable, ActionFailed) as fault:
        return {"waited_seconds": WAIT_SECONDS, "machines": f"not known: {fault.what}"}


def _account(_world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    prices = claims.json_of(terms.prices or "null", "--prices")
    told = provision.costs(run, prices, expected_minutes=terms.expected_minutes)
    return {**told, "ended_at_is": _how_ended(run)}


def _how_ended(run: Run) -> str:
    """Say what the minutes are counted to."""
    if not terms_of(run.inputs).teardown:
        return "now: the site stands, and costs go on"
    if any(isinstance(each, Mapping) and each.get("ended_at") for each in run.results.values()):
        return "when the machines were seen to be gone"
    return "an upper bound, now: the teardown's own record was lost, and the machines are seen to be gone"


def _renew_kubeconfig(world: World, run: Run) -> dict[str, Any]:
    """Fetch the kubeconfig again, once: the repair of every row of a validation."""
    found = provision.provisioner_of(world).fetch_kubeconfig(provision.charter_of(run))
    if found is None:
        raise Unreachable("the site gives no kubeconfig now")
    run.note(f"fetched the kubeconfig of {found.server} again")
    return {"sha256": found.sha256, "server": found.server}


def diagnosed(world: World, run: Run, names: Iterable[str]) -> dict[str, Any]:
    """Return what these facts say now, each by itself: what can't be read is told, and hides nothing else."""
    return {name: _diagnosed(world, run, FACTS[name]) for name in names}


def _diagnosed(world: World, run: Run, fact: Fact) -> dict[str, Any]:
    try:
        seen = fact.observe(world, run)
    except DrfsmError as fault:
        return {"value": None, "why": fault.what}
    return {"value": fact.judge(seen, run.inputs), "seen": seen}


FACTS: Mapping[str, Fact] = {
    "drill_scope": Fact(
        _scope, lambda seen, _: "not_allowed" if seen["full"] and seen["allowed"] != "yes" else "allowed"
    ),
    "promote_flags": Fact(_flags, _judge_flags),
    "promotion_mode": _said("promote_target", "canonical", "canonical", "rehearsal"),
    "teardown_wish": _said("teardown", "true", "asked", "none"),
    "cloud_identity": preflight.FACTS["cloud_identity"],
    "image": Fact(_image, _judge_image),
    "drill_rights": Fact(_rights, lambda seen, _: "missing" if seen["refused"] else "granted"),
    "pointer_owner": Fact(_ownership, _judge_owner),
    "site_ownership": Fact(_site_ownership, _judge_site),
    **provision.FACTS,
    **backup_check.FACTS,
    **restore.FACTS,
    **control_plane_apply.FACTS,
    **restore_state.FACTS,
    **baseline.FACTS,
    **pull_secret.FACTS,
    "dr_schedules": schedules.FACTS["dr_schedules"],
    "dr_publishing": publishing.FACTS["dr_publishing"],
    "validation_job": validation_job.FACTS["validation_job"],
    **validation_failure.FACTS,
    "validated_run": publish_artifacts.VALIDATED,
    "recovery_time": Fact(_recovery, _judge_recovery),
    **drill_promotion.FACTS,
}
ACTIONS = {
    "survey_drill": _survey,
    **provision.ACTIONS,
    "open_backup": _open_backup,
    "reread_backup": _reread_backup,
    **restore.ACTIONS,
    **control_plane_apply.ACTIONS,
    **pull_secret.ACTIONS,
    "read_back_control_plane": control_plane_apply.read_back_dr,
    "restore_state": _restore_state,
    **validation_job.ACTIONS,
    "renew_kubeconfig": _renew_kubeconfig,
    "note_validated": _note_validated,
    "tell_recovery": _tell_recovery,
    **drill_promotion.ACTIONS,
    "await_teardown": _await_teardown,
    "account_costs": _account,
}


def _site_is_gone(world: World, run: Run) -> bool:
    runner = provision.FACTS["runner"]
    return runner.judge(runner.observe(world, run), run.inputs) == "absent"


def _on_the_site(what: str) -> Late:
    """Return how a request to the drilled site is settled: waited for where the site stands, moot where it is gone."""
    return Late(settles=what, gone=_site_is_gone)


# A drill undoes nothing: what it began on a site goes with the site. Only a site that is left standing can meet a late
# request. A machine that comes late is taken down by the teardown, which asks for it once more by the same token.
LATE: Mapping[str, Late] = {
    "restore_manifests": _on_the_site("objects that do not exist yet are applied without a condition"),
    "apply_dr_control_plane": _on_the_site("a ConfigMap that does not exist yet is applied without a condition"),
    "refresh_pull_secret": _on_the_site("a pull Secret that does not exist yet is applied without a condition"),
    "restore_state": _on_the_site("the creation of the Job that writes the state has no condition"),
    "start_validation": _on_the_site("the creation of a Job has no condition"),
    "remove_validation": _on_the_site("the deletion of what a Job published has no condition"),
}


def binding() -> Binding:
    """Return the binding; ``Binding.complete_for`` holds it against the machine."""
    return Binding(facts=FACTS, actions=ACTIONS, late=LATE, former_actions=until_0_2.FORMER_ACTIONS)
