"""`drfsm backup`: takes, lists, verifies and restores backups of a site's objects and state.

Exit codes: `verify` 0 intact, 11 damaged, not the expected one, or too old, 3 intact but a restore would refuse
objects in it; `restore` 0 complete, 3 refused (nothing changed), 4 something is missing that it names (repair it and
repeat the command), 11 the backup is damaged or not the expected one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from drfsm.claims import bounded, is_name, printable
from drfsm.cli.control_plane import applied, fetched
from drfsm.cli.options import (
    at_bucket,
    configmap,
    connected,
    contract_of,
    endpoint_url,
    expect_account,
    pair,
    region,
    workload_file,
)
from drfsm.cli.outcome import output
from drfsm.cli.say import say_lines
from drfsm.cli.site_options import at_prefix, at_site, cluster_of, force_conflicts, out, receipt_dir, say, server_of
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs.receipts import ReceiptFiles

if TYPE_CHECKING:
    from drfsm.adapters.aws import S3Store
    from drfsm.dr.backup import RestoreRefused
    from drfsm.dr.control_plane import Bundle

_job_image = click.option(
    "--job-image", default="", help="Image of the Job that copies the state.  [default: the workload's]"
)
_job_python = click.option("--job-python", default="python3", show_default=True, help="Python command in that image.")
_cronjob = click.option("--cronjob", default="", help="CronJob that publishes, if there are several.")
_state_claim = click.option(
    "--state-claim", default="", help="PersistentVolumeClaim with the state, if there are several."
)
_backup_uri = click.option("--backup-uri", required=True, help="Backup: s3://<bucket>/<prefix>/backups/<backup id>")
_objective = click.option(
    "--recovery-point-objective", default="", metavar="SECONDS", help="How old a backup may be.  [default: any age]"
)
expect_sha256 = click.option(
    "--expect-sha256", default="", metavar="HEX", help="SHA-256 that the backup must have, as `create` printed it."
)
allow_in_backup = click.option(
    "--allow-in-backup", multiple=True, metavar="KIND/NAME",
    help="Restore this object, too, although it is outside of the restore policy. The journal records it.",
)  # fmt: skip


@click.group()
def backup() -> None:
    """Take, verify and restore backups of a site."""


def _pace() -> Any:
    from drfsm.dr.backup import Pace
    from drfsm.engine import SystemClock

    return Pace(lambda: None, say, SystemClock())


@backup.command()
@at_bucket
@pair
@at_site("KUBECONFIG_PRIMARY", "KUBECONFIG")
@click.option("--backup-id", default="", help="Name of the backup.  [default: backup-<time>]")
@_cronjob
@_state_claim
@_job_image
@_job_python
@click.option(
    "--accept-state-loss",
    is_flag=True,
    help="Take the backup although the workload writes to a volume that it can't keep. The backup says so.",
)
@output
def create(
    kubeconfig: str,
    namespace: str,
    backup_id: str,
    cronjob: str,
    state_claim: str,
    job_image: str,
    job_python: str,
    output: str,
    *,
    accept_state_loss: bool,
    **options: Any,
) -> None:
    """Take a backup: the site's objects (without Secrets), the pointers, the state on a persistent volume."""
    from drfsm.dr.backup import Image, Site, findings, findings_json
    from drfsm.dr.backup import create as creating
    from drfsm.dr.terms import terms_of
    from drfsm.engine.new_names import new_name

    store, named = connected(options), backup_id or new_name("backup")
    if not is_name("file", named):
        raise UsageFault(
            f"--backup-id {bounded(repr(named), 100)} is no name",
            hint="use letters, digits, '.', '_', '@', '=', '+' and '-'",
        )
    site = Site(cluster_of(kubeconfig), namespace, cronjob, state_claim, (options["provider"], options["profile"]))
    image, layout = Image(job_image, job_python), terms_of(options).layout
    taken = creating.create(store, layout, site, named, image=image, pace=_pace(), accept_state_loss=accept_state_loss)
    outside = findings(taken.manifests)
    lines = [taken.uri, f"  sha256 {taken.sha256}", f"  {len(taken.manifests)} objects"]
    lines += [f"  state: {taken.metadata['state']['told']}"]
    lines += [
        f"  {'kept' if volume['kept'] else 'not kept'}: volume {volume['name']} ({volume['source']})"
        + (f": {volume['why']}" if volume["why"] else "")
        for volume in taken.metadata["state"]["volumes"]
    ]
    lines += [f"  not in it: {entry}" for entry in taken.metadata["excluded"]]
    lines += [f"  a restore would refuse {entry.words()}" for entry in outside]
    out(output, {**taken.metadata, "sha256": taken.sha256, "outside": findings_json(outside)}, lines)


@backup.command("list")
@at_prefix
@output
def list_(output: str, **options: Any) -> None:
    """List the backups below a prefix, newest first: age, run, SHA-256. Reads only their metadata."""
    from drfsm.dr.backup import age, aged, listed
    from drfsm.dr.terms import terms_of

    store, now = connected(options), datetime.now(UTC).isoformat()
    backups = listed(store, terms_of(options).prefix)
    record = [{**entry, "age": age(entry["created_at"], now, None)} for entry in backups]
    lines: list[str] = []
    for entry in record:
        lines.append(f"{entry['uri']}: {'; '.join(entry['damaged']) or aged(entry['age'])}")
        lines += [f"  run {entry['run_id']}", f"  sha256 {entry['sha256']}"] if entry["sha256"] else []
    out(output, record, lines or [f"there is no backup below s3://{store.bucket}/{terms_of(options).prefix}/backups/"])


def _store_of(uri: str, options: Mapping[str, Any]) -> "S3Store":
    """Return the store that holds a backup."""
    bucket = uri.removeprefix("s3://").partition("/")[0] if uri.startswith("s3://") else ""
    if not bucket:
        raise UsageFault(
            f"{bounded(repr(uri))} names no backup", hint="give it as s3://<bucket>/<prefix>/backups/<backup id>"
        )
    store: S3Store = connected({**options, "bucket": bucket})
    return store


@backup.command()
@_backup_uri
@expect_account
@endpoint_url
@region
@_objective
@expect_sha256
@output
def verify(backup_uri: str, recovery_point_objective: str, expect_sha256: str, output: str, **options: Any) -> int:
    """Verify a backup: complete, undamaged, safe to unpack; list the objects that a restore would refuse.

    Exits with 0 if nothing is wrong; with 11 if it is damaged, not the one of --expect-sha256, or too old; with 3 if
    it is intact but a restore would refuse objects in it.
    """
    from drfsm.dr.backup import check as backup_check
    from drfsm.dr.backup import judge

    asked = backup_check.objective(recovery_point_objective)
    expect = backup_check.expected(expect_sha256)
    seen = backup_check.verify(_store_of(backup_uri, options), backup_uri, expect=expect)
    verdict, aged = judge(seen), backup_check.age(seen["created_at"], datetime.now(UTC).isoformat(), asked)
    lines = [f"{seen['uri']}: {verdict}", *([f"  sha256 {seen['sha256']}"] if seen["sha256"] else [])]
    lines += [f"  {name} is missing" for name in seen["missing"]] + [f"  {problem}" for problem in seen["damaged"]]
    if verdict == "intact":
        lines.append(f"  {backup_check.aged(aged)}")
    lines += [printable(f"  a restore would refuse {o['object']}: {o['field']}: {o['why']}") for o in seen["outside"]]
    out(output, {**seen, "verdict": verdict, "age": aged}, lines)
    if verdict != "intact" or aged["within"] is False:
        return int(ExitCode.DIFFERENT)
    return int(ExitCode.REFUSED if seen["outside"] else ExitCode.DONE)


@backup.command()
@_backup_uri
@workload_file
@at_site("KUBECONFIG_DR", "KUBECONFIG")
@expect_account
@endpoint_url
@region
@configmap
@_cronjob
@_state_claim
@_job_image
@_job_python
@_objective
@click.option("--replace-state", is_flag=True, help="Replace what the volume holds with the backup's state.")
@click.option("--replace-live", is_flag=True, help="Restore over a working site. It is quiet afterwards.")
@click.option("--without-control-plane", is_flag=True, help="Take the configuration from the backup, not the bundle.")
@click.option("--accept-state-loss", is_flag=True, help="Continue without the state if it cannot be restored.")
@expect_sha256
@allow_in_backup
@force_conflicts
@receipt_dir
@output
def restore(backup_uri: str, receipt_dir: str, output: str, **options: Any) -> int:
    """Restore a backup to a quiet site: schedules suspended, publishing off, the published control plane applied.

    Repeat the command until it exits with 0: what is done already is not done twice.
    """
    from drfsm.dr.backup import Image, RestoreRefused, Target, Wishes, expected, objective
    from drfsm.dr.backup import restore_site as restoring
    from drfsm.engine.runner import new_run_id

    run_id = new_run_id("restore")
    receipts = ReceiptFiles(receipt_dir, run_id)
    names = {name: options[option] for name, option in _TARGET.items()}
    target = Target(
        cluster_of(options["kubeconfig"]),
        workload=contract_of(options),
        bundled=not options["without_control_plane"],
        **names,
    )
    wishes = Wishes(
        Image(options["job_image"], options["job_python"]),
        objective(options["recovery_point_objective"]),
        expect_sha256=expected(options["expect_sha256"]),
        allowed=options["allow_in_backup"],
        **{name: options[name] for name in _WISHES},
    )

    def note(bundle: "Bundle", done: Mapping[str, Any]) -> None:
        fetched(receipts, bundle, str(applied(receipts, bundle, done)))

    store = _store_of(backup_uri, options)
    say(f"restoring {backup_uri} to {names['namespace']} on {server_of(options['kubeconfig'])}")
    try:
        record = restoring.restore_site(store, backup_uri, target, wishes, run_id=run_id, pace=_pace(), applied=note)
    except RestoreRefused as fault:
        _note_refusal(receipts, run_id, fault, wishes.allowed)
        raise
    receipts.json("dr_restore.summary.json", record, "dr_restore.summary")
    lines = [f"{record['status']}: {record['backup_uri']} → {record['namespace']}", f"  {record['state']['told']}"]
    lines += [f"  held for: {reason}" for reason in record["held_for"]]
    out(output, {**record, "receipts": str(receipts.directory)}, [*lines, f"  receipts: {receipts.directory}"])
    if record["status"] != "held":
        return int(ExitCode.DONE)
    say_lines(_held(record), err=True)
    return int(ExitCode.HELD)


def _held(record: Mapping[str, Any]) -> list[str]:
    """Return what to do after a restore that is not complete. Only a person gives up a state, by an option."""
    state = str(record["state"]["told"])
    without = record["state"]["verdict"] == "not_restorable" and state in record["held_for"]
    others = [reason for reason in record["held_for"] if not without or reason != state]
    lines = ["drfsm: held. Repair what is listed above, then repeat the command"] if others else []
    if without:
        lines.append(f"drfsm: held: {state}. To go on without the state, repeat the command with --accept-state-loss")
    return lines


def _note_refusal(receipts: ReceiptFiles, run_id: str, fault: "RestoreRefused", allowed: Sequence[str]) -> None:
    """Write a receipt of everything that was refused."""
    from drfsm.dr.backup import findings_json

    record = {
        "schema_version": 1,
        "run_id": run_id,
        "status": "refused",
        "backup_uri": fault.uri,
        "backup_sha256": fault.sha256,
        "refused_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "refused": findings_json(fault.findings),
        "allowed": list(allowed),
    }
    receipts.json("dr_restore.refused.json", record, "dr_restore.refused")
    say(f"receipt: {receipts.directory}/dr_restore.refused.json")


_TARGET = {"namespace": "namespace", "configmap": "configmap", "cronjob": "cronjob", "claim": "state_claim"}
_WISHES = ("force_conflicts", "replace_state", "replace_live", "accept_state_loss")
