"""A promote and a failback of a workload that serves: the name, the gates and the canary, on real servers.

One sandbox before any disaster, whose name leads to the primary. A promote, then the failback: each is killed in the
middle of its record change, and at both gates, and goes on without a second change. A client that never asks again
writes all the while.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.https import HttpsDoors
from drfsm.dr import workload
from drfsm.engine.runner import new_run_id
from drfsm.errors import Unreachable
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from drfsm.sandbox.serving_sites import ADDRESSES, DRILL_HOST, HOST
from drfsm.world import Door
from tests.promote.world import Promote, Ready, own, validated
from tests.safety.world import Failback, Killed, Site, inputs_of

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]
ACTIVE = "/drfsm/active.json"


def cut() -> None:
    """Cut the power."""
    raise Killed


class Serving:
    """Two sites that serve, and a user whose client keeps the first address for ever."""

    def __init__(self, sandbox: Sandbox) -> None:
        assert sandbox.serving is not None
        self.site, self.servers = Site(sandbox), sandbox.serving
        self.contract = workload.canonical(workload.read(Path(sandbox.environment["WORKLOAD"]).read_bytes()))
        self.stubborn = self.servers.client(for_ever=True)
        self.stubborn.address(HOST)
        self.writes = 0

    @property
    def document(self) -> dict[str, Any]:
        """The active-site document."""
        document: dict[str, Any] = json.loads(self.site.body(f"{self.site.prefix}{ACTIVE}"))
        return document

    def address(self, host: str = HOST) -> str:
        """Return where a client is led that asks now."""
        return str(self.servers.client().address(host))

    def write(self, address: str) -> int:
        """Write as a user whose client has this address; return the status, 0 where nobody answers."""
        self.writes += 1
        door = Door(address, self.servers.port, HOST, self.servers.authorities)
        headers = {"Idempotency-Key": f"user-{self.writes}"}
        try:
            return HttpsDoors().send(door, "POST", "/items", headers=headers, body=b"{}", seconds=5).status
        except Unreachable:
            return 0

    def items(self, site: str) -> list[str]:
        """Return the keys of the items that a site has."""
        door = Door(ADDRESSES[site], self.servers.port, HOST, self.servers.authorities)
        content = json.loads(HttpsDoors().read(door, "/items", seconds=5).body)
        return [item["mark"] for item in content["items"]]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Start a sandbox before any disaster, with weighted records."""
    options = Options(bucket="serving", canonical="primary", endpoints="weighted", runner=False)
    with pytest.MonkeyPatch.context() as patched, Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        patched.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        patched.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        yield Serving(sandbox)


def test_a_rehearsal_moves_the_drill_s_name_and_leads_it_back(serving: Serving, tmp_path: Path) -> None:
    """Nothing else: the users' name, the document and the gates stay; killed at the records, it moves once and back."""
    ready = Ready(serving.site, validated(serving.site, tmp_path / "validated"))
    document = serving.document
    run = Promote(
        serving.site,
        tmp_path / "rehearsal",
        ready.rehearsal("drill-1", workload=serving.contract, endpoints="asked"),
    )
    run.on("after", "zones", "change", "records", cut)
    run.killed(run.start)
    assert run.state.state == "rehearsal_endpoints_due"
    assert serving.address(DRILL_HOST) == ADDRESSES["dr"]
    assert run.resume().state == "rehearsal_complete", run.words
    assert run.batches.count("records") == 2
    assert serving.address(DRILL_HOST) == serving.address() == ADDRESSES["primary"]
    assert serving.document == document
    run.close()


CLOSED = ("primary_gate_closed", "writes_refused", "writes_settled")


@pytest.mark.parametrize("state", ["active_site_adopted", "endpoints_ready", *CLOSED])
def test_an_abort_gives_the_gate_back(serving: Serving, tmp_path: Path, state: str) -> None:
    """Before the switch, wherever a person gives up: the primary takes writes again, DR does not, no name has moved."""
    run = _promote(serving, tmp_path)
    run.brought_to(state)
    assert serving.write(ADDRESSES["primary"]) == (503 if state in CLOSED else 201)
    if state in CLOSED:
        run.on("after", "store", "put", ACTIVE, cut)
        run.killed(run.abort)
        run.resume()
    else:
        run.abort()
    assert run.state.status == "aborted", run.words
    assert (serving.document["site"], serving.document["writes"]) == ("primary", "open")
    assert [serving.write(ADDRESSES[site]) for site in ("primary", "dr")] == [201, 503]
    assert serving.address() == ADDRESSES["primary"]
    run.close()


def test_a_promote_and_its_failback_killed_at_the_records_and_at_the_gates(serving: Serving, tmp_path: Path) -> None:
    """The name moves once and back once; no site takes a write beside the other; what was acknowledged is there."""
    promote = _promote(serving, tmp_path)
    first = serving.writes + 1
    assert serving.write(serving.address()) == 201
    promote.start()
    _killed_three_times(promote)
    assert promote.resume().status == "complete", promote.words
    _moved_once(promote, serving, "dr")
    assert serving.stubborn.address(HOST) == ADDRESSES["primary"]
    assert serving.write(ADDRESSES["primary"]) == 503
    assert serving.write(serving.address()) == 201

    failback = _failback(serving, tmp_path, promote)
    failback.when_in("endpoint_ttl_lowered", failback.interrupt)
    failback.start()
    assert failback.state.state == "endpoint_ttl_lowered", failback.words
    assert failback.batches.count("records") == 1  # the TTL
    failback.when("commit", "skip_cache_wait", failback.interrupt)
    failback.request("skip_cache_wait")
    _killed_three_times(failback)
    assert failback.resume().status == "complete", failback.words
    _moved_once(failback, serving, "primary", records=2)
    assert serving.write(ADDRESSES["dr"]) == 503
    assert {f"user-{first}", f"user-{first + 2}"} <= {*serving.items("primary")}


def _promote(serving: Serving, tmp_path: Path) -> Promote:
    run_id = new_run_id("promote")
    inputs = own(serving.site, run_id, workload=serving.contract, endpoints="asked")
    return Promote(serving.site, tmp_path / "promote", inputs, id=run_id)


def _failback(serving: Serving, tmp_path: Path, promote: Promote) -> Failback:
    inputs = inputs_of(
        serving.site, workload=serving.contract, endpoints="asked", dr_run_id=promote.inputs["dr_run_id"]
    )
    return Failback(serving.site, tmp_path / "failback", inputs)


def _killed_three_times(run: Failback) -> None:
    """Go on until the power is cut after the old gate's write, after the records' batch, after the new gate's write."""
    for where, verb, what, states in (
        ("store", "put", ACTIVE, ("primary_quiesced", "dr_quiesced")),
        ("zones", "change", "records", ("active_site_declared",)),
        ("store", "put", ACTIVE, ("endpoints_seen",)),
    ):
        run.on("after", where, verb, what, cut)
        if isinstance(run, Promote) and run.state.state == "dr_run_verified":
            run.killed(run.approve)
        else:
            run.killed(run.resume)
        assert run.state.state in states


def _moved_once(run: Failback, serving: Serving, site: str, *, records: int = 1) -> None:
    assert run.batches.count("records") == records
    assert (serving.document["site"], serving.document["writes"]) == (site, "open")
    assert serving.address() == ADDRESSES[site]
    assert not any("drfsm" in key for key in serving.items(site))
    receipt = run.summary["receipt"]
    assert receipt["active_site"]["site"] == site
    assert receipt["writes_closed_at"] < receipt["endpoints_moved_at"] < receipt["writes_opened_at"]
    run.close()
