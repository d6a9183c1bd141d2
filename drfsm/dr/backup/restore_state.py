"""Restores a backup's state into the workload's persistent volume, once, and records that on the claim.

Where the workload has no persistent volume, or the backup has no state, or the claim is a read-only one, the state is
``not_restorable``, with the reason, and never counts as restored. A read-only claim stays what it is: nothing is
written into it, whoever fills it fills it. ``unkept`` names what the workload writes elsewhere. The claim's annotation
``drfsm/restored-state`` names the restored state. It is written after the pod has read back every file. Owns the facts
``restored_state`` and ``lasting_state`` (what the backup alone foretells of it). Called by the CLI and the drill.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from drfsm.dr.backup.archive import LARGEST_UNPACKED_BYTES, STATE, decompressed, merged, tree
from drfsm.dr.backup.check import Backup, of_run, opened, pinned
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore import target_of
from drfsm.dr.backup.state_volume import Image, Pace, Transport, check_idle
from drfsm.dr.backup.volumes import Home, home_of
from drfsm.dr.layout import Layout
from drfsm.dr.sites import edit, parsed
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, DrfsmError
from drfsm.world import Manifest, ObjectStore, World

RESTORED = "drfsm/restored-state"
_NOT_RESTORABLE = "state not restorable"


def goes_to(backup: Backup, cronjob_name: str, claim: str = "") -> Home:
    """Return where the restored workload keeps its state, by its CronJob in the backup."""
    cronjobs = [cronjob for cronjob in backup.manifests if cronjob["kind"] == "CronJob"]
    named = [cronjob for cronjob in cronjobs if cronjob_name in ("", cronjob["metadata"]["name"])]
    if len(named) != 1:
        there = ", ".join(cronjob["metadata"]["name"] for cronjob in cronjobs) or "none"
        raise ActionFailed(
            f"the backup does not show which CronJob publishes; it has: {there}",
            hint="name that CronJob with --cronjob",
        )
    return home_of(named[0], claim)


def _not_kept(backup: Backup, home: Home) -> str:
    """Return why a backup alone shows that no state can be restored from it; "" where only a site can tell."""
    if not home.claim:
        return ", ".join(volume.words for volume in home.unkept) or home.kind
    return "" if backup.holds_state else "the backup contains none"


def see(backup: Backup, target: Target) -> dict[str, Any]:
    """Observe whether a site's volume contains a backup's state, or could."""
    home = goes_to(backup, target.cronjob, target.claim)
    seen: dict[str, Any] = {"volume": home.kind, "claim": home.claim or None, "state_sha256": backup.state_sha256}
    if home.unkept:
        seen["unkept"] = [volume.words for volume in home.unkept]
    if why := _not_kept(backup, home):
        return {**seen, "given": None, "told": f"{_NOT_RESTORABLE}: {why}"}
    claim = target.cluster.get("PersistentVolumeClaim", target.namespace, home.claim)
    annotations = (claim or {"metadata": {}})["metadata"].get("annotations") or {}
    record = dict(parsed(annotations.get(RESTORED)))
    if record.get("state_sha256") == backup.state_sha256:
        return {
            **seen,
            "given": record,
            "told": f"the state is in the claim {home.claim} ({record.get('files')} files)",
        }
    if why := _read_only(backup, home, claim):
        told = f"{_NOT_RESTORABLE}: the claim {home.claim} is read-only ({why}): whoever fills it must fill it here"
        return {**seen, "given": record or None, "told": told}
    return {**seen, "given": record or None, "told": f"the state was not restored into the claim {home.claim}"}


def _read_only(backup: Backup, home: Home, live: Manifest | None) -> str:
    """Return why nothing can be written into a claim, as it is on the site or in the backup; "" where it can."""
    if home.read_only:
        return f"CronJob {home.cronjob['metadata']['name']} mounts it so"
    own = [manifest for manifest in backup.manifests if manifest["kind"] == "PersistentVolumeClaim"]
    there = live or next((manifest for manifest in own if manifest["metadata"]["name"] == home.claim), {})
    return "ReadOnlyMany" if (there.get("spec") or {}).get("accessModes") == ["ReadOnlyMany"] else ""


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge the observation: restored, absent or not_restorable."""
    if str(seen["told"]).startswith(_NOT_RESTORABLE):
        return "not_restorable"
    return "restored" if (seen["given"] or {}).get("state_sha256") == seen["state_sha256"] else "absent"


def restore(
    store: ObjectStore, layout: Layout, backup: Backup, target: Target, image: Image, pace: Pace, *, replace: bool
) -> dict[str, Any]:
    """Restore a backup's state into the workload's volume, if it can be and was not yet; return the observation."""
    seen = see(backup, target)
    if judge(seen) != "absent":
        pace.say(seen["told"])
        return seen
    home = goes_to(backup, target.cronjob, target.claim)
    check_idle(target.cluster, target.namespace, home.claim)
    body = merged(decompressed(backup.archive, LARGEST_UNPACKED_BYTES[STATE]), "state", {})
    name = f"drfsm-restore-{sha256(f'{backup.uri} {backup.state_sha256}'.encode()).hexdigest()[:16]}"
    key = layout.own(f"state/{name}.tar")
    transport = Transport(target.cluster, store, target.namespace, name, key, home, image, pace)
    done = transport.restore(body, sha256(body).hexdigest(), replace=replace)
    expected_tree = tree(backup.state, "state")
    if {name: done.get(name) for name in expected_tree} != expected_tree:
        raise ActionFailed(f"the volume's {done.get('files')} files differ from the backup's {expected_tree['files']}")
    record = {"backup": backup.uri, "state_sha256": backup.state_sha256, **expected_tree}
    note: Manifest = {"metadata": {"annotations": {RESTORED: json.dumps(record, sort_keys=True)}}}
    edit(target.cluster, "PersistentVolumeClaim", target.namespace, home.claim, lambda _live: note)
    return see(backup, target)


def _observe(world: World, run: Run) -> dict[str, Any]:
    return see(of_run(world, run), target_of(world, run))


def _restore(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    pace = Pace(run.check, run.note, run.clock)
    backup = opened(world.store, terms.backup_uri, expect=pinned(run), check=run.check)
    # A drill's objects are below its own prefix: no canonical object is changed.
    own = Layout(terms.journal_prefix or terms.prefix, workload=terms.workload)
    return restore(world.store, own, backup, target_of(world, run), Image(), pace, replace=False)


def _foretell(world: World, run: Run) -> dict[str, Any]:
    """See whether the backup holds lasting state, by its metadata and its CronJob: no site is asked.

    Raises what a backup that can't be read raises, but only where state is required.
    """
    terms = terms_of(run.inputs)
    required = {"required": terms.require_state}
    if not terms.restore:
        return {**required, "kept": None, "told": "nothing is restored"}
    try:
        backup = of_run(world, run)
        home = goes_to(backup, terms.cronjob)
        why = _not_kept(backup, home) or _read_only(backup, home, None)
    except DrfsmError as fault:
        if terms.require_state:
            raise
        return {**required, "kept": None, "told": f"not known beforehand: {fault.what}"}
    if not why:
        return {**required, "kept": True, "told": f"the backup holds the state of the claim {home.claim}"}
    run.note(f"NO LASTING STATE in this backup ({why}): the drill restores none; --require-state refuses such a drill")
    return {**required, "kept": False, "told": f"the backup holds no lasting state: {why}"}


def _judge_foretold(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["kept"]:
        return "kept"
    return "missing" if seen["required"] and seen["kept"] is False else "not_required"


FACTS = {"restored_state": Fact(_observe, judge), "lasting_state": Fact(_foretell, _judge_foretold)}
ACTIONS = {"restore_state": _restore}
