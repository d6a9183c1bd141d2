"""``report.succeeded`` of a contract means one thing: what verifies a run passes in a comparison, and the other way."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from drfsm.dr import workload
from drfsm.dr.artifacts.compare import DirectoryRun, default_profile, never_passes, profile_of
from drfsm.dr.artifacts.verification import verify_local

PRICES = (Path(__file__).parents[1] / "data" / "prices.workload.yaml").read_text(encoding="utf-8")
RUN, BODIES = "batch-1", {"retail/north/north.retail.csv": b"a,b\n1,2\n", "retail/north/north.retail.txt": b"x\n"}
NOTHING: dict[str, Any] = {}

WORDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "the number as a number": ("{exit_code: 0}", {"exit_code": 0}, True),
    "the number with digits behind the point": ("{exit_code: 0}", {"exit_code": 0.0}, True),
    "the number as a text": ("{exit_code: 0}", {"exit_code": "0"}, True),
    "another number": ("{exit_code: 0}", {"exit_code": 1}, False),
    "no where a number is wanted": ("{exit_code: 0}", {"exit_code": False}, False),
    "yes where a number is wanted": ("{exit_code: 1}", {"exit_code": True}, False),
    "the word": ("{status: ok}", {"status": "ok"}, True),
    "another word": ("{status: ok}", {"status": "failed"}, False),
    "no where a word is wanted": ("{status: ok}", {"status": False}, False),
    "nothing": ("{status: ok}", NOTHING, True),
    "null": ("{status: ok}", {"status": None}, True),
    "a list": ("{status: ok}", {"status": ["ok"]}, False),
    "yes": ("{done: 'true'}", {"done": True}, True),
    "yes as a text": ("{done: 'true'}", {"done": "true"}, True),
    "yes, in the contract's spelling": ("{done: 'True'}", {"done": True}, True),
    "no where yes is wanted": ("{done: 'true'}", {"done": False}, False),
    "no where no is wanted": ("{failed: 'false'}", {"failed": False}, True),
    "yes where no is wanted": ("{failed: 'false'}", {"failed": True}, False),
    "a field inside": ("{job.status: ok}", {"job": {"status": "failed"}}, False),
    "a field that is no object": ("{job.status: ok}", {"job": "ok"}, True),
    "a number too large": ("{exit_code: 0}", {"exit_code": 10**30}, False),
}


@pytest.mark.parametrize(("succeeded", "said", "whole"), WORDS.values(), ids=WORDS)
def test_a_successful_run_is_the_same_to_both(
    succeeded: str, said: dict[str, Any], whole: bool, tmp_path: Path
) -> None:
    """A run is verified exactly where it could pass against itself."""
    contract = workload.read(f"{PRICES}\nreport: {{succeeded: {succeeded}}}\n")
    entries = {
        f"north:retail:{path[-3:]}": {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
        for path, body in BODIES.items()
    }
    for path, body in BODIES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(body)
    (tmp_path / "run_report.json").write_text(json.dumps({"run_id": RUN, "verifiable_artifacts": entries, **said}))
    verified = verify_local(tmp_path, contract, run_id=RUN).verdict == "verified"
    passes = never_passes(DirectoryRun(tmp_path, RUN), profile_of(contract), contract) == ()
    assert (verified, passes) == (whole, whole)


def test_the_default_profile_asks_what_the_shipped_contract_asks() -> None:
    """What a successful run says stands in both files, so the same words must."""
    (rule,) = (rule for rule in default_profile().rules if rule.name == "run_report")
    report = workload.shipped().report
    assert report is not None
    assert {".".join(field): word for field, word in rule.succeeded.items()} == dict(report.succeeded)
