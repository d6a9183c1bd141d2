"""The receipt of a validation: the one place that writes it, and the one place that checks it.

``receipt_of`` writes a receipt from the records of a drill; runs/derived_files.py keeps it in the bundle and beside
the validated run. ``checked`` reads one that somebody hands in and refuses what has another shape; a promote and a
later drill call it. Both stand on one table of fields, which receipts_schema/validation.receipt.schema.json repeats.

The fact ``validation_receipt`` holds a receipt against the inputs of the run, against the DR cluster at hand, and
against the journal that it names, as that lies in the store: the chain must hold, its head must be the one in the
receipt, and one of its commits must have seen exactly this run whole. The next row of the machine verifies anew what
the store says now (``dr_run``). The fact has three values: the receipt ``holds``; it ``differs`` from what is here, or
from its own journal; it is ``unproven``, because its journal is missing or does not verify.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm import claims
from drfsm.claims import is_name
from drfsm.dr.objects import cronjob_of
from drfsm.dr.terms import Terms, terms_of
from drfsm.dr.workload import digest
from drfsm.engine import Fact, Run
from drfsm.errors import JournalDamaged, Unreadable, UsageFault
from drfsm.journal import Record, fold, read
from drfsm.journal.mirror import key_of
from drfsm.world import Cluster, World

TEXTS = (
    "drfsm_run", "machine", "site", "cluster_uid", "namespace", "bucket", "prefix", "candidate", "provider", "profile",
    "staged_prefix", "run_id", "image", "service_account", "tree_sha256", "verification_level", "validated_at",
)  # fmt: skip
FILE_NAME = "validation.receipt.json"
LARGEST_RECEIPT_BYTES = 1 << 20
MOST_RECORDS = 100_000
NAMES = {
    "drfsm_run": "drfsm run", "machine": "machine", "run_id": "workload run", "provider": "provider",
    "profile": "profile", "candidate": "candidate", "bucket": "bucket", "prefix": "prefix", "staged_prefix": "prefix",
    "tree_sha256": "sha256", "namespace": "Kubernetes name", "service_account": "Kubernetes name",
}  # fmt: skip
"""The grammar of the fields that become a part of a key, a command or a message."""
_INPUTS = ("namespace", "bucket", "candidate", "provider", "profile")
_WRITTEN_INPUTS = ("namespace", "bucket", "prefix", "candidate", "provider", "profile", "staged_prefix")
_RECEIPT_HINT = "give the file validation.receipt.json that `drfsm validate` or a drill left in its bundle"
Receipt = Mapping[str, Any]


# --- writing ----------------------------------------------------------------------------------------------


def receipt_of(records: Sequence[Record], lines: Sequence[bytes], journal_uri: str) -> dict[str, Any] | None:
    """Return the receipt of a drill's validation; None if the drill has not verified one.

    A function of the records (and of their raw ``lines``, for the head) alone, so a lost receipt can be made again.
    """
    verified = next(
        (r for r in reversed(records) if r.kind == "commit" and r.body["trigger"] == "verify_validation"), None
    )
    if verified is None:
        return None
    state = fold(records[: verified.seq + 1])
    observed = {name: reading.seen for name, reading in state.facts.items() if reading}
    run, backup, terms = observed["validated_run"], _restored_backup(observed), terms_of(state.inputs)
    return {
        "schema_version": 2 if backup else 1,
        **({"backup": backup} if backup else {}),
        "drfsm_run": state.run_id,
        "machine": state.machine,
        "scope": state.scope,
        "site": "dr",
        "cluster_uid": observed["site_baseline"]["cluster_uid"],
        **{name: str(terms.recorded(name)) for name in _WRITTEN_INPUTS},
        "run_id": terms.dr_run_id,
        **_workload(terms),
        **observed["validation_result"]["publishes_as"],
        "tree_sha256": run["tree_sha256"],
        "objects": run["checked"],
        "verification_level": run["level"],
        "validated_at": verified.at,
        "journal": {
            "uri": journal_uri,
            "records": verified.seq + 1,
            "head": hashlib.sha256(lines[verified.seq]).hexdigest(),
        },
    }


def _workload(terms: Terms) -> dict[str, Any]:
    """Return the contract that the run recorded, by name and digest; runs that older versions began recorded none."""
    if not terms.recorded_contract:
        return {}
    return {"workload": {"name": terms.workload.name, "sha256": digest(terms.workload)}}


def _restored_backup(observed: Mapping[str, Any]) -> dict[str, Any] | None:
    contents = observed.get("backup_contents") or {}
    return {name: contents[name] for name in ("uri", "sha256")} if contents.get("sha256") else None


# --- checking its shape -----------------------------------------------------------------------------------


def checked(raw: str | bytes, named: str) -> dict[str, Any]:
    """Return a receipt that has the right shape. ``named`` is how a message names it.

    Raises UsageFault for anything else. What the receipt says is checked by the run that relies on it.
    """
    try:
        receipt = claims.object_of(raw, named, largest_bytes=LARGEST_RECEIPT_BYTES)
    except Unreadable as fault:
        raise UsageFault(fault.what, hint=_RECEIPT_HINT) from None
    if faults := malformed(receipt):
        raise UsageFault(f"{named} is not a validation receipt: {faults[0]}", hint=_RECEIPT_HINT)
    return receipt


def parsed(text: str) -> dict[str, Any]:
    """Return a receipt's content; {} for what is no receipt at all."""
    try:
        return claims.object_of(text, "the validation receipt", largest_bytes=LARGEST_RECEIPT_BYTES)
    except Unreadable:
        return {}


def sha256_of(text: str) -> str:
    """Return a receipt's own digest: the one that `drfsm promote --expect-receipt` takes."""
    return hashlib.sha256(text.encode()).hexdigest()


def malformed(receipt: Receipt) -> list[str]:
    """Return, in words, everything that keeps this from being a validation receipt."""
    faults = [f"it has no {name}" for name in TEXTS if not (isinstance(receipt.get(name), str) and receipt[name])]
    faults += [
        f"its {name} is no name of a {kind}: {claims.bounded(receipt[name], 100)}"
        for name, kind in NAMES.items()
        if isinstance(receipt.get(name), str) and receipt[name] and not is_name(kind, receipt[name])
    ]
    if receipt.get("validated_at") and claims.moment(receipt["validated_at"]) is None:
        faults.append("its validated_at is no time")
    faults += _version_faults(receipt)
    if not isinstance(receipt.get("settings_from"), list) or not receipt["settings_from"]:
        faults.append("it does not say where DR's settings came from")
    journal = receipt.get("journal")
    if not isinstance(journal, Mapping) or not all(isinstance(journal.get(name), str) for name in ("uri", "head")):
        faults.append("it names no journal")
    elif type(journal.get("records")) is not int or not 0 < journal["records"] <= MOST_RECORDS:
        faults.append("it does not say how long its journal was")
    return faults


def _version_faults(receipt: Receipt) -> Iterator[str]:
    """Yield what keeps it from being of a known version: 2 names the backup that was restored, 1 names none."""
    version, backup = receipt.get("schema_version"), receipt.get("backup")
    if version not in (1, 2) or (version == 1) != (backup is None):
        yield "its schema_version is not 1, or 2 with the backup that was restored"
    elif backup is not None and not (isinstance(backup, Mapping) and is_name("sha256", backup.get("sha256"))):
        yield "it does not say which backup was restored"


# --- checking what it says --------------------------------------------------------------------------------


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    if terms.validation == "own":
        return {"own": True}
    receipt = parsed(terms.validation_receipt)
    seen: dict[str, Any] = {"own": False, "differs": malformed(receipt), "unproven": []}
    if seen["differs"]:
        return seen
    seen |= {name: receipt[name] for name in ("drfsm_run", "machine", "scope", "validated_at") if name in receipt}
    seen |= {name: receipt[name] for name in ("run_id", "tree_sha256", "image", "service_account", "settings_from")}
    seen |= {name: dict(receipt[name]) for name in ("journal", "backup") if receipt.get(name) is not None}
    seen.setdefault("backup", None)  # one that names none is of a drill that restored none
    seen["differs"] = list(_differs(receipt, terms, world.dr))
    if not seen["differs"]:
        seen["differs"], seen["unproven"] = _proof(world, run, receipt)
    return seen


def _differs(receipt: Receipt, terms: Terms, dr: Cluster) -> Iterator[str]:
    """Yield what the receipt says otherwise than the run's inputs and the cluster at hand."""
    expected = {
        "site": "dr",
        "cluster_uid": dr.uid(),
        "run_id": terms.dr_run_id,
        "staged_prefix": terms.staged_prefix,
        "prefix": terms.rehearses if terms.is_rehearsal else terms.prefix,
        **{name: str(terms.recorded(name)) for name in _INPUTS},
    }
    if terms.image_ref:
        expected["image"] = terms.image_ref
    elif not terms.allow_image_drift:  # what was validated is to be what runs next
        cronjob = cronjob_of(dr, terms.namespace, terms.cronjob, terms.usual_cronjob)
        expected["image"] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    if terms.recorded_contract and isinstance(receipt.get("workload"), Mapping):
        contract, here = receipt["workload"].get("sha256"), digest(terms.workload)
        if contract != here:
            yield f"the workload's contract is {contract!r} in the receipt, and {here!r} here"
    for name, value in expected.items():
        if receipt[name] != value:
            yield f"{name} is {receipt[name]!r} in the receipt, and {value!r} here"


def _proof(world: World, run: Run, receipt: Receipt) -> tuple[list[str], list[str]]:
    """Return (what the journal says otherwise, why it proves nothing): both empty where it proves the receipt."""
    journal, count = receipt["journal"], int(receipt["journal"]["records"])
    bucket, _, home = str(journal["uri"]).removeprefix("s3://").rstrip("/").partition("/")
    if bucket != world.store.bucket or not home.startswith(f"{receipt['prefix']}/"):
        return [f"its journal {journal['uri']} does not lie below s3://{world.store.bucket}/{receipt['prefix']}"], []
    keys = [key_of(home, number) for number in range(count)]
    blobs = dict(world.store.get_many(keys, check=run.check))
    absent = [key for key in keys if blobs[key] is None]
    if absent:
        return [], [f"its journal lacks {len(absent)} of {count} records, the first {absent[0]}"]
    try:
        chain = read([blob.body for key in keys if (blob := blobs[key]) is not None])
    except JournalDamaged as fault:
        return [], [f"its journal does not verify: {fault.what}"]
    if chain.head != journal["head"] or chain.torn:
        return [f"its journal has at record {count} the head {chain.head}, not {journal['head']}"], []
    return list(_belied(receipt, chain.records)), []


def _belied(receipt: Receipt, records: Sequence[Record]) -> Iterator[str]:
    """Yield what the receipt says and its journal does not."""
    start = records[0].body if records[0].kind == "run_started" else {}
    for name, field in (("run_id", "drfsm_run"), ("machine", "machine")):
        if start.get(name) != receipt[field]:
            yield f"its journal is of the {name} {start.get(name)!r}, not {receipt[field]!r}"
    if start.get("dry_run") is not False:
        yield "its journal is of a dry run"
    commits = [record.body for record in records if record.kind == "commit"]
    if not any(_saw_whole(receipt, commit["facts"]) for commit in commits):
        yield f"its journal has no commit that saw the run {receipt['run_id']} whole, with that tree's SHA-256"
    if (backup := receipt.get("backup")) is not None and not any(
        _saw_backup(backup, commit["facts"]) for commit in commits
    ):
        yield f"its journal has no commit that read the backup {backup['sha256']}"
    # A result is lost where a crash came between an action and its commit: then there is none to hold it against.
    for result in (commit["result"] for commit in commits):
        if isinstance(result, Mapping) and "settings_from" in result and "publishes_to" in result:
            yield from (
                f"{name} is {receipt[field]!r} in the receipt, and {result.get(name)!r} in its journal"
                for name, field in (
                    ("publishes_to", "staged_prefix"), ("image", "image"), ("service_account", "service_account"),
                    ("settings_from", "settings_from"),
                )
                if result.get(name) != receipt[field]
            )  # fmt: skip


def _saw_backup(backup: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    reading = facts.get("backup_contents") or {"value": None, "seen": None}
    return (
        reading["value"] == "intact"
        and isinstance(reading["seen"], Mapping)
        and reading["seen"].get("sha256") == backup["sha256"]
    )


def _saw_whole(receipt: Receipt, facts: Mapping[str, Any]) -> bool:
    expected = {"run_id": receipt["run_id"], "tree_sha256": receipt["tree_sha256"], "verdict": "verified"}
    return any(
        reading["value"] == "verified"
        and isinstance(reading["seen"], Mapping)
        and {name: reading["seen"].get(name) for name in expected} == expected
        for reading in facts.values()
    )


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["own"]:
        return "own"
    return "differs" if seen["differs"] else "unproven" if seen["unproven"] else "holds"


FACTS = {"validation_receipt": Fact(_observe, _judge)}
