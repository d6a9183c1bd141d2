"""A bucket on a real server with runs that were recorded, and the dashboard that reads it by the real adapters."""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from jsonschema import Draft202012Validator

from drfsm.adapters.file_journal import read_chain
from drfsm.dashboard.gather import Source, gather, source_of
from drfsm.dr import workload
from drfsm.evidence.schemas.dashboard import DASHBOARD
from drfsm.journal import GENESIS, Record, digest, encode
from drfsm.journal.mirror import home_of, key_of
from drfsm.runs import bundle as bundles
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from tests.direct_store import Bucket
from tests.recorded import BUNDLES

PREFIX = "jobintel"
SCHEMA = Draft202012Validator(DASHBOARD.schema)
Lines = tuple[bytes, ...]


def checked(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document that is of its schema, also after it went through JSON."""
    read = json.loads(json.dumps(document))
    errors = [f"{error.json_path}: {error.message[:200]}" for error in SCHEMA.iter_errors(read)]
    assert not errors, errors
    return document


def chained(records: Sequence[Record]) -> Lines:
    """Return the lines of a whole journal with these records."""
    lines: list[bytes] = []
    for record in records:
        lines.append(encode(record, digest(lines[-1]) if lines else GENESIS))
    return tuple(lines)


@define
class Desk:
    """One bucket, this computer's bundles, and the dashboard of both."""

    cloud: Cloud
    bucket: str
    home: Path
    hands: Bucket = field(init=False)
    options: dict[str, Any] = field(init=False)
    source: Source = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the bucket."""
        self.cloud.create_bucket(self.bucket)
        self.hands = Bucket(self.cloud, self.bucket)
        contract = workload.shipped()
        self.options = {
            "workload": workload.canonical(contract), "bucket": self.bucket, "prefix": PREFIX, "candidate": "",
            "provider": contract.defaults.provider, "profile": contract.defaults.profile,
            "namespace": contract.kubernetes.namespace, "configmap": contract.kubernetes.configmap,
            "endpoint_url": self.cloud.endpoint, "region": REGION, "kubeconfig_primary": "", "kubeconfig_dr": "",
        }  # fmt: skip
        self.source = source_of(self.options)

    def look(self, **changes: Any) -> Mapping[str, Any]:
        """Return the document of now. ``changes``: other options; without any, mirrors that were read are kept."""
        return checked(gather(source_of({**self.options, **changes}) if changes else self.source))

    def recorded(self, machine: str, *, ended: str = "", **started: Any) -> tuple[str, Lines]:
        """Return (id, lines) of a recorded run as if it were of this bucket. ``ended``: the status it ends with."""
        first, *more = read_chain(BUNDLES / "0.5.0" / machine).records
        inputs = {**first.body["inputs"], "bucket": self.bucket}
        records = [evolve(first, body={**first.body, "inputs": inputs, **started}), *more]
        if ended:
            body = {"state": "done", "status": ended, "reason": "", "frozen": [], "ways": [], "kept": []}
            records.append(Record(len(records), "ended", "2026-11-29T10:30:00.000000Z", body))
        return str(records[0].body["run_id"]), chained(records)

    def mirror(self, run_id: str, lines: Sequence[bytes]) -> None:
        """Put a run's mirror into the bucket: a drill's lies below the drill's own prefix."""
        prefix = f"{PREFIX}/drills/{run_id}" if run_id.startswith("drill-") else PREFIX
        for number, line in enumerate(lines):
            self.hands.put(key_of(home_of(prefix, run_id), number), line)

    def bundle(self, run_id: str, lines: Sequence[bytes]) -> Path:
        """Lay a run's bundle on this computer."""
        place = bundles.new(run_id, None)
        log = place / bundles.LOG
        log.write_bytes(b"".join(lines))
        log.chmod(0o600)
        return place

    def put(self, name: str, content: object) -> None:
        """Put one of drfsm's own objects into the bucket: a text as it is, anything else as JSON."""
        body = content if isinstance(content, str) else json.dumps(content)
        self.hands.put(f"{PREFIX}/drfsm/{name}", body.encode())

    def activate(self, site: str, writes: str, **changes: Any) -> None:
        """Write the active-site document."""
        said = {
            "schema_version": 1, "site": site, "writes": writes, "epoch": 7, "lease_epoch": 3, "run": "failback-1",
            "since": "2026-11-29T10:00:00Z", "nonce": "0" * 32,
        }  # fmt: skip
        self.put("active.json", {**said, **changes})


@pytest.fixture
def desk(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return an empty bucket, and a computer without a run."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "DRFSM_HOME": str(tmp_path / "home"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return Desk(cloud, f"dashboard-{uuid.uuid4().hex[:12]}", tmp_path / "home")
