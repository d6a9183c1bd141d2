"""The table of the fact that holds a promote against the receipt of an earlier validation, with its journal."""

import json
from typing import Any

from drfsm.dr import workload
from drfsm.journal import Record
from drfsm.journal.chain import GENESIS, digest, encode
from drfsm.journal.mirror import home_of, key_of
from drfsm.sandbox.seed import IMAGE_REF
from tests.agree.cases import Change, Table, case, given
from tests.agree.of_inputs import LOST
from tests.agree.world import BUCKET, NEW_RUN, PREFIX, Place
from tests.dr.memory import NOW

DRILL, TREE = "drill-20260228T115500Z-a1b2c3d4e5f6", "a" * 64


def a_receipt(place: Place, **fields: Any) -> None:
    """Have a validation's journal in the bucket, and its receipt among the inputs. ``fields``: what it says instead."""
    seen = {"run_id": NEW_RUN, "tree_sha256": TREE, "verdict": "verified"}
    reading = {"value": "verified", "seen": seen, "why": ""}
    started = {
        "run_id": DRILL, "machine": "drill", "machine_sha256": TREE, "version": "0.6.0", "inputs": {},
        "operator": "ana", "host": "here", "dry_run": False, "scope": "live", "state": "start",
    }  # fmt: skip
    commit: dict[str, Any] = {
        "row": "a --verify--> b", "trigger": "verify", "from": "a", "to": "b", "by": "runner", "how": "judged",
        "guards": [], "facts": {"validated_run": reading}, "result": None, "frozen": [], "ways": [], "because": "",
    }  # fmt: skip
    records = (
        Record(0, "run_started", NOW.isoformat(), started), Record(1, "commit", NOW.isoformat(), commit)
    )  # fmt: skip
    head = GENESIS
    for record in records:
        line = encode(record, head)
        place.store.lay(key_of(home_of(PREFIX, DRILL), record.seq), line)
        head = digest(line)
    contract = workload.shipped()
    receipt = {
        "schema_version": 1, "drfsm_run": DRILL, "machine": "drill", "scope": "live", "site": "dr",
        "cluster_uid": "uid-dr", "namespace": "jobintel", "bucket": BUCKET, "prefix": PREFIX, "candidate": "local",
        "provider": "openai", "profile": "cs", "staged_prefix": f"{PREFIX}/promotes/p", "run_id": NEW_RUN,
        "image": IMAGE_REF, "service_account": "jobintel", "settings_from": ["ConfigMap/jobintel-config"],
        "tree_sha256": TREE, "objects": 5, "verification_level": "observed", "validated_at": NOW.isoformat(),
        "workload": {"name": contract.name, "sha256": workload.digest(contract)},
        "journal": {"uri": f"s3://{BUCKET}/{home_of(PREFIX, DRILL)}", "records": len(records), "head": head},
        **fields,
    }  # fmt: skip
    place.set(validation="receipt", validation_receipt=json.dumps(receipt))


def a_receipt_that_says(**fields: Any) -> Change:
    """Return a change: the receipt says this instead."""
    return lambda place: a_receipt(place, **fields)


def without_a_record(place: Place) -> None:
    """Take one record of the validation's journal away."""
    del place.store.objects[key_of(home_of(PREFIX, DRILL), 1)]


OF_RECEIPT: Table = {
    "validation_receipt": (
        case("own", "this run validates by itself"),
        case("holds", "its journal proves it", a_receipt),
        case("holds", "the primary is lost", a_receipt, LOST),
        case("differs", "it is of another cluster", a_receipt_that_says(cluster_uid="uid-another")),
        case("differs", "it is of another run", a_receipt, given(dr_run_id="2026-02-28T13:00:01Z")),
        case("differs", "its journal saw another tree", a_receipt_that_says(tree_sha256="b" * 64)),
        case("differs", "it is no receipt", given(validation="receipt", validation_receipt="{}")),
        case("unproven", "a record of its journal is not there", a_receipt, without_a_record),
    ),
}
