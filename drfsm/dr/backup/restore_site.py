"""A complete restore of a site, in order, and what keeps it from being complete. Each step may be repeated.

Refuses, before it changes anything: a backup that is invalid, not the pinned one, older than the objective, or outside
of the restore policy; and a live site. It names what it can't repair (Secrets, fields of other managers, state without
a persistent volume), and the restore is then ``held``, never ``restored``. Called by the CLI; the drill has its own
rows for the same steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.dr.backup import obstacles, restore, restore_policy, restore_state
from drfsm.dr.backup.check import Backup, age, aged, opened
from drfsm.dr.backup.state_volume import Image, Pace
from drfsm.dr.control_plane import Bundle, published
from drfsm.dr.control_plane import apply as control_plane_apply
from drfsm.dr.layout import Layout
from drfsm.dr.workload import Workload
from drfsm.errors import DrfsmError, ExitCode, UsageFault
from drfsm.world import ObjectStore


class Refused(DrfsmError):
    """A restore is not permitted in the present situation. Nothing was changed."""

    exit_code = ExitCode.REFUSED
    fault = "site"


@frozen
class Wishes:
    """The operator's options for a restore.

    ``objective_seconds``: the greatest age of the backup. ``expect_sha256``: its digest, "" for any. ``allowed``: its
    objects that may be outside of the policy, as KIND/NAME.
    """

    image: Image
    objective_seconds: float | None = None
    force_conflicts: bool = False
    replace_state: bool = False
    replace_live: bool = False
    accept_state_loss: bool = False
    expect_sha256: str = ""
    allowed: Sequence[str] = ()


_WITH_STATE = {True: "restored", False: "restored_without_state"}
Applied = Callable[[Bundle, Mapping[str, Any]], None]


def restore_site(
    store: ObjectStore, uri: str, target: obstacles.Target, wishes: Wishes, *, run_id: str, pace: Pace, applied: Applied
) -> dict[str, Any]:
    """Restore a backup to a site, quiet; return the content of dr_restore.summary.json.

    ``applied`` is called with the control-plane bundle as soon as it is on the site.
    """
    started_at, layout = pace.clock.now(), Layout(_prefix_of(store, uri), workload=target.workload)
    backup = opened(store, uri, expect=wishes.expect_sha256, check=pace.check)
    outside = restore_policy.permit(backup.uri, backup.sha256, backup.manifests, wishes.allowed)
    how_old = age(backup.metadata.get("created_at"), started_at, wishes.objective_seconds)
    bundle = _bundle(store, layout.prefix, target.workload) if target.bundled else None
    _permit(how_old, [] if wishes.replace_live else restore.live(target))
    restore_state.goes_to(backup, target.cronjob, target.claim)  # BEFORE any change: it may need an option
    manifests = restore.planned(backup, target, run_id)
    obstacles.check_target(target, manifests)
    done = restore.apply(target, manifests[:1], pace, force=wishes.force_conflicts)
    if bundle is not None:
        application = control_plane_apply.apply(
            target.cluster,
            target.namespace,
            bundle,
            target.workload,
            force=wishes.force_conflicts,
            check=pace.check,
            say=pace.say,
        )
        applied(bundle, application)
    rest = restore.apply(target, manifests[1:], pace, force=wishes.force_conflicts)
    replace = wishes.replace_state
    state = restore_state.restore(store, layout, backup, target, wishes.image, pace, replace=replace)
    seen, missing = restore.compared(target, manifests), restore.missing_secrets(target, backup)
    held_for = list(_held_for(seen, missing, state, wishes))
    verdict = restore_state.judge(state)
    return {
        "schema_version": 2,
        "run_id": run_id,
        "status": "held" if held_for else _WITH_STATE[verdict == "restored" and not state.get("unkept")],
        "held_for": held_for,
        **_origin(backup),
        "age": how_old,
        "namespace": target.namespace,
        "cluster_uid": target.cluster.uid(),
        "started_at": started_at,
        "ended_at": pace.clock.now(),
        "control_plane": control_plane_apply.summary(bundle) if bundle else None,
        "applied": {kind: [*done[kind], *rest[kind]] for kind in done},
        "read_back": seen,
        "missing_secrets": missing,
        "allowed": restore_policy.findings_json(outside),
        "quiet": restore.quieted(backup, target),
        "state": {**state, "verdict": verdict},
    }


def _origin(backup: Backup) -> dict[str, Any]:
    return {
        "backup_uri": backup.uri,
        "backup_sha256": backup.sha256,
        "backup_run_id": backup.metadata.get("run_id"),
        "checksums": dict(backup.metadata["checksums"]),
    }


def _prefix_of(store: ObjectStore, uri: str) -> str:
    """Return the prefix of a backup. Raises UsageFault."""
    prefix, separator, _ = uri.removeprefix(f"s3://{store.bucket}/").partition("/backups/")
    if not separator or not prefix or "://" in prefix:
        raise UsageFault(
            f"{uri!r} has no prefix before /backups/", hint="give it as s3://<bucket>/<prefix>/backups/<backup id>"
        )
    return prefix


def _bundle(store: ObjectStore, prefix: str, workload: Workload) -> Bundle:
    bundle = published(store, prefix, workload)
    if bundle is None:
        raise UsageFault(
            f"no control plane is published below s3://{store.bucket}/{prefix}",
            hint="drfsm control-plane publish, or give --without-control-plane to restore the backup's own",
        )
    return bundle


def _permit(how_old: Mapping[str, Any], live: Sequence[str]) -> None:
    """Raise Refused where the site may not be changed."""
    if how_old["within"] is False:
        raise Refused(
            f"the backup is older than the recovery point objective: {aged(how_old)}",
            hint="name a newer backup",
            fault="store",
        )
    if live:
        raise Refused(
            f"this site is live, and a restore would stop it: {'; '.join(live)}",
            hint="check the kubeconfig; to stop and replace this site, give --replace-live",
        )


def _held_for(
    seen: Mapping[str, Any], missing: Sequence[Mapping[str, Any]], state: Mapping[str, Any], wishes: Wishes
) -> Iterator[str]:
    """Yield the reasons why the restore is incomplete, in words."""
    for secret in missing:
        keys = f" {', '.join(secret['keys'])}" if secret["keys"] else ""
        lacks = f"lacks{keys}" if secret["there"] else f"is missing{f', with the keys{keys}' if keys else ''}"
        yield f"Secret {secret['name']} {lacks}"
    for kind in ("missing", "different", "loud"):
        yield from (f"{name} ({kind})" for name in seen[kind])
    verdict = restore_state.judge(state)
    if verdict == "absent" or (verdict == "not_restorable" and not wishes.accept_state_loss):
        yield str(state["told"])
    elif not wishes.accept_state_loss:
        yield from (f"{name}: the workload writes to it, and no backup keeps it" for name in state.get("unkept", ()))
