"""A whole sandbox that serves: the contract that it writes, the world that a run is wired with, outages of a site."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.fenced import fenced
from drfsm.cli import main
from drfsm.dr import workload
from drfsm.dr.endpoints import ACTIONS, FACTS
from drfsm.dr.sites import fence
from drfsm.engine import Run, SystemClock
from drfsm.errors import ActionFailed, LeaseLost
from drfsm.runs.world import connect
from drfsm.sandbox import Options, Sandbox
from drfsm.world import World
from tests.safety.world import Failback, Site, inputs_of

pytestmark = pytest.mark.sandbox


class Whole:
    """A sandbox whose DR owns the endpoint, and the world and runs of a failback."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.contract = workload.read(Path(sandbox.environment["WORKLOAD"]).read_bytes())
        self.inputs: dict[str, Any] = {
            "workload": workload.canonical(self.contract), "bucket": sandbox.bucket, "prefix": sandbox.prefix,
            "candidate": "local", "endpoint_url": sandbox.cloud.endpoint, "region": "us-east-1",
            "kubeconfig_primary": str(sandbox.primary.kubeconfig), "kubeconfig_dr": str(sandbox.dr.kubeconfig),
            "namespace": "jobintel", "configmap": "jobintel-config", "fence_dr": "asked",
            "fence_dr_role": sandbox.dr_role, "fence_primary": "none", "fence_primary_role": sandbox.primary_role,
            "endpoints": "asked",
        }  # fmt: skip
        self.world: World = connect(self.inputs, "", directory)[0]

    @property
    def run(self) -> Run:
        """A run of a failback."""
        return Run(
            id="failback-1", inputs=self.inputs, operator="ana", epoch=1000, dry_run=False, trigger="test", results={},
            args={}, clock=SystemClock(),
        )  # fmt: skip

    def fact(self, name: str) -> str | None:
        """Return a fact's value."""
        value: str | None = FACTS[name].judge(FACTS[name].observe(self.world, self.run), self.inputs)
        return value

    def act(self, name: str) -> Any:
        """Take an action."""
        return ACTIONS[name](self.world, self.run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Start a sandbox after a promote, with weighted records."""
    place = tmp_path_factory.mktemp("whole")
    with Sandbox(place / "sandbox", Options(endpoints="weighted")) as sandbox:
        environment = pytest.MonkeyPatch()
        for name, value in sandbox.environment.items():
            environment.setenv(name, value)
        yield Whole(sandbox, place)
        environment.undo()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_is_wired_with_what_endpoints_need(whole: Whole) -> None:
    """The contract that the sandbox writes, and the world that its inputs lead to, fit: DR owns the name and writes."""
    values = {name: whole.fact(name) for name in FACTS}
    assert values == {
        "endpoint_site": "old", "endpoint_ttl": "high", "endpoint_seen": "old", "endpoint_insync": "none",
        "endpoint_caches": "passed", "endpoint_resolvers": "none", "active_site": "old", "primary_gate": "closed",
        "dr_gate": "open", "primary_serving": "serves", "dr_serving": "serves", "endpoint_serving": "serves",
        "endpoint_replication": "none", "canary": "clean", "record_rights": "granted",
        "users": "move",
    }  # fmt: skip


def test_a_site_s_server_goes_out_with_its_cluster(whole: Whole) -> None:
    """A lost network cuts both off; both come back."""
    outage = whole.sandbox.directory / "outages" / "primary"
    outage.parent.mkdir(exist_ok=True)
    outage.touch()
    until(lambda: whole.fact("primary_serving") == "fails")
    outage.unlink()
    until(lambda: whole.fact("primary_serving") == "serves")


ABORTED = {
    "active_site_adopted": "open", "endpoints_tried": "open", "endpoint_ttl_lowered": "open", "endpoints_ready": "open",
    "dr_gate_closed": "closed", "writes_refused": "closed", "writes_settled": "closed",
}  # fmt: skip
"""A state of a failback that endpoints add before the switch -> how DR's gate stands there."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("state", "gate"), ABORTED.items())
def test_an_abort_gives_gate_and_ttl_back(whole: Whole, tmp_path: Path, state: str, gate: str) -> None:
    """From each of them: DR takes writes again, the TTL is what it was, the name has not moved."""
    contract = workload.canonical(whole.contract)
    site = Site(whole.sandbox)
    run = Failback(site, tmp_path / "failback", inputs_of(site, workload=contract, endpoints="asked"))
    run.when_in(state, run.interrupt)
    if ttl_is_low := state not in ("active_site_adopted", "endpoints_tried"):
        run.when_in("endpoint_ttl_lowered", run.interrupt)
    run.start()
    if ttl_is_low and state != "endpoint_ttl_lowered":
        run.request("skip_cache_wait")
    assert (run.state.status, run.state.state) == ("held", state), run.words
    ttl = "low" if ttl_is_low else "high"
    assert (whole.fact("dr_gate"), whole.fact("endpoint_ttl")) == (gate, ttl)
    assert run.abort().status == "aborted", run.words
    facts = [whole.fact(name) for name in ("dr_gate", "primary_gate", "endpoint_ttl", "endpoint_site")]
    assert facts == ["open", "closed", "high", "old"]
    run.close()


def test_the_doctor_looks_at_endpoints_as_well(whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    """By the verb itself: the name, the servers and the active site; and the preflight that moves users."""
    argv = ["--workload", whole.sandbox.environment["WORKLOAD"]]
    for name in ("bucket", "prefix", "kubeconfig_primary", "kubeconfig_dr"):
        argv += [f"--{name.replace('_', '-')}", whole.inputs[name]]
    main.run(["doctor", *argv, "--read-only", "-o", "json"])
    record = json.loads(capsys.readouterr().out)
    of_endpoints = {each["code"]: each["subject"] for each in record["findings"] if "endpoint" in each["code"]}
    assert of_endpoints == {"endpoint_ttl_is_high": "endpoint api"}
    assert {"endpoint servers", "active site"} <= {*record["held"]}
    unread = [each["words"] for each in record["findings"] if each["code"] == "not_read"]
    assert not [words for words in unread if "endpoint" in words or "defect" in words]


def test_without_the_lease_facts_are_read_and_nothing_is_written(whole: Whole) -> None:
    """A run whose lease was taken over wakes up: it may look, and moves no name, gate or item."""

    class Lost:
        def check(self) -> None:
            raise LeaseLost("it was taken over")

    lease: Any = Lost()
    world = fenced(whole.world, lease)
    for name, fact in FACTS.items():
        if name == "record_rights":  # it is asked by a batch that may change something, had somebody made such records
            continue
        assert fact.judge(fact.observe(world, whole.run), whole.inputs) == whole.fact(name)
    for name in ("lower_endpoint_ttl", "close_source_gate", "move_endpoints", "run_canary", "check_old_site_refuses"):
        with pytest.raises(LeaseLost):
            ACTIONS[name](world, whole.run)
    with pytest.raises(LeaseLost):
        FACTS["record_rights"].observe(world, whole.run)


def test_the_fence_stops_a_zombie_of_the_old_owner(whole: Whole) -> None:
    """A failback with a zombie at DR: its gate doesn't close it; the fence, which covers `writes`, does."""
    servers = whole.sandbox.serving
    assert servers is not None
    zombie = servers.dr
    zombie.reply("POST", "/items", {"Idempotency-Key": "a user's"}, b"{}")  # it reads the document: open
    zombie.is_zombie = True
    whole.act("close_source_gate")
    with pytest.raises(ActionFailed, match="api on dr took a write although its gate is closed"):
        whole.act("check_old_site_refuses")
    fence.ACTIONS["raise_dr_fence"](whole.world, whole.run)
    assert f"{whole.sandbox.bucket}/jobintel/api/items/*" in (whole.world.policy.read() or "")
    assert whole.act("check_old_site_refuses")["refused"]["dr"] == {"api": "refused with 503"}
    for name in ("declare_active_site", "move_endpoints", "await_endpoints_insync", "open_target_gate", "run_canary"):
        whole.act(name)
    assert [whole.fact(name) for name in ("endpoint_site", "endpoint_seen", "primary_gate", "dr_gate")] == [
        "new", "new", "open", "closed",
    ]  # fmt: skip
    assert whole.act("check_old_site_refuses")["refused"]["dr"] == {"api": "refused with 503"}
