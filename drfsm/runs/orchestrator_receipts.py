"""What the original's orchestrator says of the site that a promote is to make canonical, held against what is there.

Its phases leave receipts at ``<receipt prefix>/<execution>/<phase>.json``. The execution's input, the payload of its
question and what its states hand on say which machine it brought up (``instance_id``), which backup it restored
(``backup_uri``) and where the receipts lie (``receipt_bucket``, ``receipt_prefix``). All of it is a claim: nothing is
done by it. The machine must be one of DR's, as EC2 lists them by their tags; the backup must be there, and
the one that the validation's receipt names; no phase may say that it failed. Receipts are read in the promote's own
bucket, or where the operator says. In the end the promote leaves its own receipt beside them, with ``execution_id`` and
``receipt_prefix``, written once. Used by `promote` and `approve`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from drfsm.adapters.executions import LARGEST_DOCUMENT_BYTES, Executions, without_token
from drfsm.claims import bounded, is_name, object_of
from drfsm.errors import ActionFailed, Conflict, NotWaiting, UsageFault

if TYPE_CHECKING:
    from drfsm.runs.run_context import Outcome
    from drfsm.world import Infrastructure, ObjectStore

PHASES = ("check_health", "bringup", "resolve_runner", "restore", "validate", "notify")
OWN = "drfsm_promote"
ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")
_FAILURES = ("failed", "failure", "error", "aborted", "held", "refused", "timed_out")


@frozen
class Claims:
    """What an orchestrator says: its execution, the site's machine and backup, and where its receipts lie."""

    execution_arn: str
    instance_ids: tuple[str, ...] = ()
    backup_uris: tuple[str, ...] = ()
    bucket: str = ""
    prefix: str = ""
    receipts: Mapping[str, Mapping[str, Any]] = field(factory=dict)  # phase -> its receipt

    @property
    def place(self) -> str:
        """The prefix below which the receipts of this execution lie; "" where nobody said."""
        return f"{self.prefix}/{self.execution_arn.rpartition(':')[2]}" if self.prefix else ""


def claims_of(executions: Executions, arn: str, store: "ObjectStore", receipts: str) -> Claims:
    """Return what an execution's orchestrator says. ``receipts``: where the operator says that its receipts lie.

    Raises NotWaiting for an execution that ended badly, UsageFault for two different machines or backups.
    """
    execution = executions.describe(arn)
    if execution.status in ENDED_BADLY:
        raise NotWaiting(f"the execution {execution.name} has ended: {execution.status}", hint="start another one")
    payloads = [callback.payload for callback in executions.callbacks(arn)]
    documents = [execution.input, *executions.outputs(arn).values(), *payloads]
    bucket, prefix = _place(documents, store, receipts)
    said = Claims(arn, bucket=bucket, prefix=prefix)
    read = {phase: receipt for phase in PHASES if (receipt := _read(store, said, phase))} if bucket else {}
    documents += list(read.values())
    return Claims(
        arn,
        _one("machine", _named(documents, "instance_id")),
        _one("backup", _named(documents, "backup_uri")),
        bucket,
        prefix,
        read,
    )


def _place(documents: list[Mapping[str, Any]], store: "ObjectStore", receipts: str) -> tuple[str, str]:
    """Return where the receipts lie: as the operator says, else as the execution does if it is in this bucket."""
    if receipts:
        bucket, _, prefix = receipts.removeprefix("s3://").partition("/")
        if not receipts.startswith("s3://") or bucket != store.bucket or not is_name("prefix", prefix.strip("/")):
            raise UsageFault(
                f"--receipts {bounded(receipts, 200)} is no place in the promote's bucket",
                hint=f"--receipts s3://{store.bucket}/PREFIX",
            )
        return bucket, prefix.strip("/")
    buckets, prefixes = _named(documents, "receipt_bucket"), _named(documents, "receipt_prefix")
    prefix = next(iter(prefixes), "").strip("/")
    return (store.bucket, prefix) if buckets == [store.bucket] and is_name("prefix", prefix) else ("", "")


def _read(store: "ObjectStore", said: Claims, phase: str) -> dict[str, Any]:
    """Return a phase's receipt, {} where there is none. Raises ActionFailed for one of another execution."""
    key = f"{said.place}/{phase}.json"
    blob = store.get(key, largest_bytes=LARGEST_DOCUMENT_BYTES)
    if blob is None:
        return {}
    receipt, _ = without_token(object_of(blob.body, f"s3://{store.bucket}/{key}"))
    execution, name = receipt.get("execution_id"), said.execution_arn.rpartition(":")[2]
    if execution not in (None, "", said.execution_arn, name):
        raise ActionFailed(
            f"s3://{store.bucket}/{key} says that it is of the execution {bounded(execution, 200)}",
            hint="find out who wrote it; nothing was begun",
            fault="store",
        )
    return {**receipt, "sha256": hashlib.sha256(blob.body).hexdigest()}


def _named(documents: list[Mapping[str, Any]], name: str) -> list[str]:
    """Return the different texts that documents, or their summaries, have under a name."""
    inner = [document.get("summary") for document in documents]
    everywhere = [*documents, *(summary for summary in inner if isinstance(summary, Mapping))]
    texts = (document.get(name) for document in everywhere)
    return list(dict.fromkeys(text for text in texts if isinstance(text, str) and text))


def _one(what: str, named: list[str]) -> tuple[str, ...]:
    if len(named) > 1:
        raise UsageFault(
            f"the execution names several of a {what}: {', '.join(bounded(text, 200) for text in named)}",
            hint="find out which phase says what; nothing was begun",
        )
    return tuple(named)


# --- held against what is there ----------------------------------------------------------------------------


def check(
    said: Claims,
    *,
    store: "ObjectStore",
    infrastructure: "Infrastructure",
    tags: Mapping[str, str],
    validated_backup: str,
) -> list[str]:
    """Return in words what of an orchestrator's claims was seen to be so. Raises ActionFailed for what is not.

    ``tags``: those of DR's machines; ``validated_backup``: the backup that the validation's receipt names, or "".
    """
    seen = list(_phases(said))
    for instance_id in said.instance_ids:
        running = {runner.instance_id: runner.state for runner in infrastructure.runners(tags)}
        if running.get(instance_id) != "running":
            there = ", ".join(f"{name} ({state})" for name, state in sorted(running.items())) or "none"
            raise ActionFailed(
                f"the execution says that DR is the machine {bounded(instance_id, 100)}; of DR's machines, by their"
                f" tags, there are: {there}",
                hint="find out which machine carries DR; nothing was begun",
            )
        seen.append(f"machine {instance_id}: running, with the tags of DR's machines")
    return [*seen, *(_backup(uri, store, validated_backup) for uri in said.backup_uris)]


def _phases(said: Claims) -> Iterator[str]:
    for phase, receipt in said.receipts.items():
        status = receipt.get("status")
        if isinstance(status, str) and status.lower() in _FAILURES:
            raise ActionFailed(
                f"the receipt of the phase {phase} says that it ended as {bounded(status, 40)}",
                hint="mend that phase, and start another execution; nothing was begun",
            )
        yield f"receipt {phase}.json: sha256 {receipt['sha256']}"


def _backup(uri: str, store: "ObjectStore", validated_backup: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if validated_backup and uri.rstrip("/") != validated_backup.rstrip("/"):
        raise ActionFailed(
            f"the execution restored the backup {bounded(uri, 300)}, and what was validated was restored from"
            f" {bounded(validated_backup, 300)}",
            hint="validate the site that the execution restored; nothing was begun",
        )
    if not uri.startswith("s3://") or bucket != store.bucket or not is_name("prefix", key.strip("/")):
        return f"backup {bounded(uri, 300)}: in another bucket, which was not read"
    if store.stat(f"{key.strip('/')}/metadata.json") is None:
        raise ActionFailed(
            f"the execution says that it restored {bounded(uri, 300)}, and there is no such backup",
            hint="drfsm backup list shows those that there are; nothing was begun",
        )
    return f"backup {uri}: it is there" + (", and it is the one that was validated" if validated_backup else "")


# --- what the promote leaves beside ------------------------------------------------------------------------


def leave(store: "ObjectStore", said: Claims, outcome: "Outcome", receipt: Mapping[str, Any]) -> str:
    """Write a promote's receipt beside those of its orchestrator, once; return where. "" where they lie nowhere known.

    ``receipt``: the minimum promote receipt fields, of the run's summary.
    """
    if not said.place or store.bucket != said.bucket:
        return ""
    place = f"s3://{said.bucket}/{said.place}"
    document = {
        **receipt,
        "schema_version": 1,
        "phase": "promote",
        "execution_id": said.execution_arn,
        "receipt_prefix": place,
        "drfsm_run": outcome.state.run_id,
        "status": outcome.state.status,
        "journal": {"receipt_prefix": receipt.get("receipt_prefix"), "head": outcome.head},
    }
    body = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode()
    try:
        store.put(f"{said.place}/{OWN}.json", body, if_absent=True)
    except Conflict:
        return f"{place}/{OWN}.json was there already, and stays as it was"
    return f"{place}/{OWN}.json"
