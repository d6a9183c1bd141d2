"""A whole restore of a site, in order, and what keeps it from being complete. Each step can be done again.

Refuses, before anything is touched: a backup that doesn't hold, is not the one that was pinned, is older than asked
for, or would bring what a restore does not bring; and a site that is at work. What it can't mend by itself (Secrets,
fields that others keep, state without a lasting volume) it names, and then the restore is ``held``, never restored.
Called by the CLI; the drill has its own rows for the same steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.dr.backup import restore, restore_policy, restore_state
from drfsm.dr.backup.check import Backup, age, aged, opened
from drfsm.dr.backup.state_volume import Image, Pace
from drfsm.dr.control_plane import Bundle, published
from drfsm.dr.control_plane import apply as control_plane_apply
from drfsm.dr.layout import Layout
from drfsm.dr.workload import Workload
from drfsm.errors import DrfsmError, ExitCode, UsageFault
from drfsm.world import ObjectStore


class Refused(DrfsmError):
    """A restore is not permitted as things stand. Nothing was touched."""

    exit_code = ExitCode.REFUSED
    fault = "site"


@frozen
class Wishes:
    """What an operator may say of a restore.

    ``objective_seconds``: how old the backup may be. ``expect_sha256``: its digest, "" for any. ``allowed``: its
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


Applied = Callable[[Bundle, Mapping[str, Any]], None]


def restore_site(
    store: ObjectStore, uri: str, target: restore.Target, wishes: Wishes, *, run_id: str, pace: Pace, applied: Applied
) -> dict[str, Any]:
    """Restore a backup to a site, quiet; return what dr_restore.summary.json says.

    ``applied`` is called with the control-plane bundle as soon as it is on the site.
    """
    started_at, layout = pace.clock.now(), Layout(_prefix_of(store, uri), workload=target.workload)
    backup = opened(store, uri, expect=wishes.expect_sha256, check=pace.check)
    outside = restore_policy.permit(backup.uri, backup.sha256, backup.manifests, wishes.allowed)
    how_old = age(backup.metadata.get("created_at"), started_at, wishes.objective_seconds)
    bundle = _bundle(store, layout.prefix, target.workload) if target.bundled else None
    _permit(how_old, [] if wishes.replace_live else restore.live(target))
    restore.check_mutable(target)
    restore_state.goes_to(backup, target)  # BEFORE anything is touched: it may need an option
    manifests = restore.planned(backup, target, run_id)
    done = restore.apply(target, manifests[:1], pace, force=wishes.force_conflicts)
    if bundle is not None:
        told = control_plane_apply.apply(
            target.cluster,
            target.namespace,
            bundle,
            target.workload,
            force=wishes.force_conflicts,
            check=pace.check,
            say=pace.say,
        )
        applied(bundle, told)
    rest = restore.apply(target, manifests[1:], pace, force=wishes.force_conflicts)
    replace = wishes.replace_state
    state = restore_state.restore(store, layout, backup, target, wishes.image, pace, replace=replace)
    seen, missing = restore.compared(target, manifests), restore.missing_secrets(target, backup)
    held_for = list(_held_for(seen, missing, state, wishes))
    verdict = restore_state.judge(state)
    return {
        "schema_version": 2,
        "run_id": run_id,
        "status": "held" if held_for else "restored" if verdict == "restored" else "restored_without_state",
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
        "allowed": restore_policy.told(outside),
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
    """Return the prefix that a backup lies below. Raises UsageFault."""
    prefix, found, _ = uri.removeprefix(f"s3://{store.bucket}/").partition("/backups/")
    if not found or not prefix or "://" in prefix:
        raise UsageFault(f"{uri!r} lies below no prefix", hint="give it as s3://<bucket>/<prefix>/backups/<backup id>")
    return prefix


def _bundle(store: ObjectStore, prefix: str, workload: Workload) -> Bundle:
    found = published(store, prefix, workload)
    if found is None:
        raise UsageFault(
            f"no control plane is published below s3://{store.bucket}/{prefix}",
            hint="drfsm control-plane publish, or --without-control-plane to take the backup's",
        )
    return found


def _permit(how_old: Mapping[str, Any], live: Sequence[str]) -> None:
    """Raise Refused where nothing may be touched."""
    if how_old["within"] is False:
        raise Refused(f"the backup is older than asked for: {aged(how_old)}", hint="name a newer one", fault="store")
    if live:
        raise Refused(
            f"this site is at work, and a restore would stop it: {'; '.join(live)}",
            hint="check the kubeconfig; --replace-live if that is what you want",
        )


def _held_for(
    seen: Mapping[str, Any], missing: Sequence[Mapping[str, Any]], state: Mapping[str, Any], wishes: Wishes
) -> Iterator[str]:
    """Yield what keeps the restore from being complete, in words."""
    for each in missing:
        keys = f" {', '.join(each['keys'])}" if each["keys"] else ""
        lacks = f"lacks{keys}" if each["there"] else f"is missing{f', with the keys{keys}' if keys else ''}"
        yield f"Secret {each['name']} {lacks}"
    for kind in ("missing", "different", "loud"):
        yield from (f"{each} ({kind})" for each in seen[kind])
    verdict = restore_state.judge(state)
    if verdict == "absent" or (verdict == "not_restorable" and not wishes.accept_state_loss):
        yield str(state["told"])
