"""The receipt of a validation that was made elsewhere: checked, never believed.

``receipts_schema/validation.receipt.schema.json`` says what a receipt holds. Here it is held against the run's inputs,
against the DR cluster at hand, and against the journal that it names, as that lies in the store: the chain must hold,
be at its head what the receipt says, and contain the commit that saw exactly this run whole. What the store says now
(``dr_run``) is verified anew by the machine's next row. Three verdicts: it ``holds``; it ``differs`` from what is
here, or says what its journal does not; it is ``unproven``, because the journal is not there or does not verify.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm import claims
from drfsm.claims import is_name
from drfsm.dr.layout import layout_of
from drfsm.dr.objects import cronjob_of
from drfsm.engine import Fact, Run
from drfsm.errors import JournalDamaged, Unreadable
from drfsm.journal import Record, read
from drfsm.journal.mirror import key_of
from drfsm.world import Cluster, World

TEXTS = (
    "drfsm_run", "machine", "site", "cluster_uid", "namespace", "bucket", "prefix", "candidate", "provider", "profile",
    "staged_prefix", "run_id", "image", "service_account", "tree_sha256", "verification_level", "validated_at",
)  # fmt: skip
LARGEST_RECEIPT_BYTES = 1 << 20
MOST_RECORDS = 100_000
NAMES = {
    "drfsm_run": "drfsm run", "machine": "machine", "run_id": "workload run", "provider": "provider",
    "profile": "profile", "candidate": "candidate", "bucket": "bucket", "prefix": "prefix", "staged_prefix": "prefix",
    "tree_sha256": "sha256", "namespace": "Kubernetes name", "service_account": "Kubernetes name",
}  # fmt: skip
"""The grammar of the fields that become a part of a key, a command or a message."""
_INPUTS = ("namespace", "bucket", "candidate", "provider", "profile")
Receipt = Mapping[str, Any]


def parsed(text: str) -> dict[str, Any]:
    """Return a receipt's content; {} for what is no receipt at all."""
    try:
        return claims.object_of(text, "the validation's receipt", largest_bytes=LARGEST_RECEIPT_BYTES)
    except Unreadable:
        return {}


def malformed(receipt: Receipt) -> list[str]:
    """Return, in words, what keeps this from being a validation's receipt."""
    told = [f"it has no {name}" for name in TEXTS if not (isinstance(receipt.get(name), str) and receipt[name])]
    told += [
        f"its {name} is no name of a {kind}: {claims.bounded(receipt[name], 100)}"
        for name, kind in NAMES.items()
        if isinstance(receipt.get(name), str) and receipt[name] and not claims.is_name(kind, receipt[name])
    ]
    if receipt.get("validated_at") and claims.moment(receipt["validated_at"]) is None:
        told.append("its validated_at is no time")
    journal = receipt.get("journal")
    told += _version_faults(receipt)
    if not isinstance(receipt.get("settings_from"), list) or not receipt["settings_from"]:
        told.append("it does not say where DR's settings came from")
    if not isinstance(journal, Mapping) or not all(isinstance(journal.get(each), str) for each in ("uri", "head")):
        told.append("it names no journal")
    elif type(journal.get("records")) is not int or not 0 < journal["records"] <= MOST_RECORDS:
        told.append("it does not say how long its journal was")
    return told


def _version_faults(receipt: Receipt) -> Iterator[str]:
    """Yield what keeps it from being of a known version: 2 names the backup that was restored, 1 names none."""
    version, backup = receipt.get("schema_version"), receipt.get("backup")
    if version not in (1, 2) or (version == 1) != (backup is None):
        yield "its schema_version is not 1, or 2 with the backup that was restored"
    elif backup is not None and not (isinstance(backup, Mapping) and is_name("sha256", backup.get("sha256"))):
        yield "it does not say which backup was restored"


def _observe(world: World, run: Run) -> dict[str, Any]:
    if run.inputs["validation"] == "own":
        return {"own": True}
    receipt = parsed(str(run.inputs["validation_receipt"]))
    seen: dict[str, Any] = {"own": False, "differs": malformed(receipt), "unproven": []}
    if seen["differs"]:
        return seen
    seen |= {name: receipt[name] for name in ("drfsm_run", "machine", "scope", "validated_at") if name in receipt}
    seen |= {name: receipt[name] for name in ("run_id", "tree_sha256", "image", "service_account", "settings_from")}
    seen |= {name: dict(receipt[name]) for name in ("journal", "backup") if receipt.get(name) is not None}
    seen["differs"] = list(_differs(receipt, run.inputs, world.dr))
    if not seen["differs"]:
        seen["differs"], seen["unproven"] = _proof(world, run, receipt)
    return seen


def _differs(receipt: Receipt, inputs: Mapping[str, Any], dr: Cluster) -> Iterator[str]:
    """Yield what the receipt says otherwise than the run's inputs and the cluster at hand."""
    rehearses = str(inputs["rehearses"]).strip("/")
    wanted = {
        "site": "dr",
        "cluster_uid": dr.uid(),
        "run_id": str(inputs["dr_run_id"]),
        "staged_prefix": str(inputs["staged_prefix"]).strip("/"),
        "prefix": rehearses if inputs["target"] == "drill" else layout_of(inputs).prefix,
        **{name: str(inputs[name]) for name in _INPUTS},
    }
    if inputs["image_ref"]:
        wanted["image"] = str(inputs["image_ref"])
    elif inputs["allow_image_drift"] != "yes":  # what was validated is to be what runs next
        cronjob = cronjob_of(dr, str(inputs["namespace"]), str(inputs["cronjob"]))
        wanted["image"] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    for name, value in wanted.items():
        if receipt[name] != value:
            yield f"{name} is {receipt[name]!r} in the receipt, and {value!r} here"


def _proof(world: World, run: Run, receipt: Receipt) -> tuple[list[str], list[str]]:
    """Return (what the journal says otherwise, why it proves nothing): both empty where it proves the receipt."""
    journal, most = receipt["journal"], int(receipt["journal"]["records"])
    bucket, _, home = str(journal["uri"]).removeprefix("s3://").rstrip("/").partition("/")
    if bucket != world.store.bucket or not home.startswith(f"{receipt['prefix']}/"):
        return [f"its journal {journal['uri']} does not lie below s3://{world.store.bucket}/{receipt['prefix']}"], []
    keys = [key_of(home, number) for number in range(most)]
    found = dict(world.store.get_many(keys, check=run.check))
    absent = [key for key in keys if found[key] is None]
    if absent:
        return [], [f"its journal lacks {len(absent)} of {most} records, the first {absent[0]}"]
    try:
        chain = read([blob.body for key in keys if (blob := found[key]) is not None])
    except JournalDamaged as fault:
        return [], [f"its journal does not verify: {fault.what}"]
    if chain.head != journal["head"] or chain.torn:
        return [f"its journal has at record {most} the head {chain.head}, not {journal['head']}"], []
    return list(_belied(receipt, chain.records)), []


def _belied(receipt: Receipt, records: Sequence[Record]) -> Iterator[str]:
    """Yield what the receipt says and its journal does not."""
    begun = records[0].body if records[0].kind == "run_started" else {}
    for name, told in (("run_id", "drfsm_run"), ("machine", "machine")):
        if begun.get(name) != receipt[told]:
            yield f"its journal is of the {name} {begun.get(name)!r}, not {receipt[told]!r}"
    if begun.get("dry_run") is not False:
        yield "its journal is of a dry run"
    commits = [each.body for each in records if each.kind == "commit"]
    if not any(_saw_whole(receipt, each["facts"]) for each in commits):
        yield f"its journal has no commit that saw the run {receipt['run_id']} whole, with that tree's SHA-256"
    if (backup := receipt.get("backup")) is not None and not any(
        _saw_backup(backup, each["facts"]) for each in commits
    ):
        yield f"its journal has no commit that read the backup {backup['sha256']}"
    # A result is lost where a crash came between an action and its commit: then there is none to hold it against.
    for each in (body["result"] for body in commits):
        if isinstance(each, Mapping) and "settings_from" in each and "publishes_to" in each:
            yield from (
                f"{name} is {receipt[told]!r} in the receipt, and {each.get(name)!r} in its journal"
                for name, told in (
                    ("publishes_to", "staged_prefix"), ("image", "image"), ("service_account", "service_account"),
                    ("settings_from", "settings_from"),
                )
                if each.get(name) != receipt[told]
            )  # fmt: skip


def _saw_backup(backup: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    read = facts.get("backup_contents") or {"value": None, "seen": None}
    return (
        read["value"] == "intact"
        and isinstance(read["seen"], Mapping)
        and read["seen"].get("sha256") == backup["sha256"]
    )


def _saw_whole(receipt: Receipt, facts: Mapping[str, Any]) -> bool:
    wanted = {"run_id": receipt["run_id"], "tree_sha256": receipt["tree_sha256"], "verdict": "verified"}
    return any(
        each["value"] == "verified"
        and isinstance(each["seen"], Mapping)
        and {name: each["seen"].get(name) for name in wanted} == wanted
        for each in facts.values()
    )


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["own"]:
        return "own"
    return "differs" if seen["differs"] else "unproven" if seen["unproven"] else "holds"


FACTS = {"validation_receipt": Fact(_observe, _judge)}
