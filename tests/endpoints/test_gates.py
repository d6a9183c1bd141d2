"""The active-site document and the write gate: declared, closed, opened and given back, by compare-and-swap."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import evolve

from drfsm.claims import LARGEST_EPOCH
from drfsm.dr.endpoints import ACTIONS, FACTS, LATE, active
from drfsm.dr.endpoints.active import MOST_CHANGES
from drfsm.errors import ActionFailed, Conflict, Unreachable
from drfsm.world import World
from tests.dr.memory import CONFIGMAP, NAMESPACE, MemorySite
from tests.endpoints.conftest import FAILBACK, PROMOTE, Bench

ROOM = Path(active.__file__).parent
GATES = ("primary_gate", "dr_gate")
LARGE = (
    b'{"schema_version": 1, "site": "primary", "writes": "open", "epoch": 9007199254740992, "lease_epoch": 0,'
    b' "run": "r", "since": "2026-01-01T00:00:00Z", "nonce": "00"}'
)
"""A document whose epoch could not be raised and written again."""


def test_the_committed_schema_is_the_one_that_is_written(bench: Bench) -> None:
    """It is stable and for others: what drfsm writes is valid under it."""
    committed = json.loads((ROOM / "active.schema.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(active.SCHEMA))
    jsonschema.validate(bench.document(), committed)
    bench.act("close_source_gate")
    jsonschema.validate(bench.document(), committed)


def test_ownership_of_writes_goes_over_and_at_no_time_to_two_sites(bench: Bench) -> None:
    """Close, declare, open: the epoch rises with each, and the servers heed it."""
    states = [tuple(bench.fact(gate) for gate in GATES)]
    epochs = [bench.document()["epoch"]]
    for action in ("close_source_gate", "declare_active_site", "open_target_gate"):
        bench.act(action)
        states.append(tuple(bench.fact(gate) for gate in GATES))
        epochs.append(bench.document()["epoch"])
        changed = json.dumps(bench.document())
        bench.act(action)  # as after a crash: done already
        assert json.dumps(bench.document()) == changed
    assert states == [("open", "closed"), ("closed", "closed"), ("closed", "closed"), ("closed", "open")]
    assert epochs == [1, 2, 3, 4]
    assert bench.fact("active_site") == "new"
    bench.epoch = 2
    assert bench.fact("active_site", FAILBACK) == "old"


def test_a_gate_that_was_closed_is_given_back_exactly(bench: Bench) -> None:
    """The undo's observation equals the snapshot; one that was closed before stays closed."""
    for writes in ("open", "closed"):
        bench.sites.declare("primary", writes)
        before = bench.seen("primary_gate")
        bench.act("close_source_gate")
        bench.act("restore_source_gate", undoing={"primary_gate": before})
        assert bench.seen("primary_gate") == before


def test_the_new_gate_opens_only_after_the_site_was_declared(bench: Bench) -> None:
    """Else both sites would take writes: the old gate may still be open."""
    with pytest.raises(Conflict, match="the active site is primary"):
        bench.act("open_target_gate")
    assert [bench.fact(gate) for gate in GATES] == ["open", "closed"]


@pytest.mark.parametrize("action", ["close_source_gate", "declare_active_site", "open_target_gate"])
def test_a_run_whose_lease_was_taken_over_declares_nothing(bench: Bench, action: str) -> None:
    """A newer holder has written: its lease's epoch is in the document."""
    bench.epoch = 7
    bench.act("close_source_gate")
    bench.act("restore_source_gate", undoing={"primary_gate": {"document": {"site": "primary", "writes": "open"}}})
    before, bench.epoch = bench.document(), 6
    with pytest.raises(Conflict):
        bench.act(action)
    assert bench.document() == before


@pytest.mark.parametrize("action", ["adopt_active_site", "close_source_gate", "declare_active_site"])
def test_a_lease_epoch_that_is_too_high_is_found_where_nothing_would_change(bench: Bench, action: str) -> None:
    """Before anything is frozen, and with the right person to look for: a run that took over, or somebody's hand."""
    if action != "adopt_active_site":
        bench.act("close_source_gate")
    if action == "declare_active_site":
        bench.act(action)
    document = bench.document()
    for run, words in (("run-1", "somebody changed it by hand"), ("promote-x", "promote-x wrote it")):
        body = json.dumps({**document, "lease_epoch": 99, "run": run}).encode()
        bench.world().store.put(f"{bench.prefix}/drfsm/active.json", body)
        with pytest.raises(Conflict, match=words):
            bench.act(action)


def test_without_a_document_nothing_is_guessed(bench: Bench) -> None:
    """Servers refuse writes; closing says what to do, and adopting declares the old site."""
    key = f"{bench.prefix}/drfsm/active.json"
    bench.world().store.delete(key)
    assert (bench.fact("active_site"), bench.fact("primary_gate")) == ("none", "closed")
    with pytest.raises(ActionFailed, match="there is no active-site document"):
        bench.act("close_source_gate")
    bench.act("adopt_active_site")
    assert (bench.fact("active_site"), bench.fact("primary_gate")) == ("old", "open")
    with pytest.raises(Conflict):
        bench.act("adopt_active_site", FAILBACK)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"site": "primary"}', b'{"site": "mars", "writes": "open"}', LARGE])
def test_an_unreadable_document_is_unknown_and_not_overwritten(bench: Bench, body: bytes) -> None:
    """Nobody knows who wrote it; only an adoption replaces it."""
    key = f"{bench.prefix}/drfsm/active.json"
    bench.world().store.put(key, body)
    assert [bench.fact(name) for name in ("active_site", *GATES)] == [None, None, None]
    for action in ("close_source_gate", "declare_active_site", "open_target_gate"):
        with pytest.raises(Conflict, match="can't be read"):
            bench.act(action)
    assert bench.touch("close_source_gate") == {"touched": []}
    bench.act("adopt_active_site")
    assert bench.fact("active_site") == "old"


@pytest.mark.parametrize("epoch", [LARGEST_EPOCH - MOST_CHANGES, LARGEST_EPOCH - 2, LARGEST_EPOCH - 1])
def test_an_epoch_that_can_not_be_raised_is_found_before_anything_is_closed(bench: Bench, epoch: int) -> None:
    """Nothing is written that the next one could not read; adopting, the first step, says so already."""
    bench.world().store.put(
        f"{bench.prefix}/drfsm/active.json", json.dumps({**bench.document(), "epoch": epoch}).encode()
    )
    with pytest.raises(ActionFailed, match="can hardly raise"):
        bench.act("adopt_active_site")
    if epoch == LARGEST_EPOCH - 1:
        with pytest.raises(ActionFailed, match="nobody could read it again"):
            bench.act("close_source_gate")
    else:
        bench.act("close_source_gate")
    assert bench.fact("active_site") == "old"


def test_a_run_has_every_epoch_that_a_lease_has(bench: Bench) -> None:
    """One bound for all: what is written under the highest lease is read again."""
    bench.epoch = LARGEST_EPOCH - 1
    bench.act("close_source_gate")
    assert bench.document()["lease_epoch"] == LARGEST_EPOCH - 1
    assert bench.fact("primary_gate") == "closed"
    bench.epoch = LARGEST_EPOCH
    with pytest.raises(ActionFailed, match="nobody could read it again"):
        bench.act("declare_active_site")
    assert bench.fact("active_site") == "old"


def test_a_late_write_fails_after_a_touch_and_servers_see_no_change(bench: Bench) -> None:
    """A touch gives a new version with the same content and epoch."""
    key, store = f"{bench.prefix}/drfsm/active.json", bench.world().store
    read = store.stat(key)
    assert read is not None
    before = bench.document()
    bench.touch("open_target_gate")
    with pytest.raises(Conflict):
        store.put(key, b"{}", if_match=read.etag)
    assert {**bench.document(), "nonce": ""} == {**before, "nonce": ""}


def test_a_rehearsal_has_a_document_of_its_own(bench: Bench) -> None:
    """Below the drill's prefix: the real one is read by servers, and stays."""
    before = bench.document()
    bench.inputs = {"target": "drill", "prefix": f"{bench.prefix}/drills/d1"}
    bench.act("adopt_active_site")
    for action in ("close_source_gate", "declare_active_site", "open_target_gate"):
        bench.act(action)
    assert bench.fact("active_site") == "new"
    assert bench.document() == before


# --- a workload that can't read the document: a switch in its ConfigMap ------------------------------------


class Switched:
    """Both sites' ConfigMaps with a switch for writes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sites = {
            site: MemorySite(site, _configmap("1" if site == "primary" else "0")) for site in ("primary", "dr")
        }
        contract = json.loads(bench.run().inputs["workload"])
        switches = {"on": {"API_WRITES": "1"}, "off": {"API_WRITES": "0"}}
        contract["writes"] = {"gate": "configmap", "switches": switches, "keys": ["api/items"]}
        bench.inputs = {"workload": json.dumps(contract), "namespace": NAMESPACE, "configmap": CONFIGMAP}

    @property
    def world(self) -> World:
        """The world of both sites."""
        sites: dict[str, Any] = self.sites
        return evolve(self.bench.world(), **sites)

    def data(self, site: str) -> dict[str, Any]:
        """Return a site's settings, and what its annotation keeps."""
        manifest = self.sites[site].objects["ConfigMap", CONFIGMAP]
        return {**manifest["data"], **(manifest["metadata"].get("annotations") or {})}

    def fact(self, name: str, **inputs: Any) -> str | None:
        """Return a fact's value."""
        run = self.bench.run()
        run = evolve(run, inputs={**run.inputs, **inputs})
        value: str | None = FACTS[name].judge(FACTS[name].observe(self.world, run), run.inputs)
        return value

    def act(self, name: str, **changes: Any) -> Any:
        """Take an action."""
        inputs = changes.pop("inputs", {})
        run = self.bench.run(PROMOTE, **changes)
        return ACTIONS[name](self.world, evolve(run, inputs={**run.inputs, **inputs}))


def _configmap(value: str) -> dict[str, Any]:
    return {
        "kind": "ConfigMap", "metadata": {"name": CONFIGMAP, "namespace": NAMESPACE, "resourceVersion": "1"},
        "data": {"API_WRITES": value, "OTHER": "x"},
    }  # fmt: skip


@pytest.fixture
def switched(bench: Bench) -> Switched:
    """Return two sites with such a switch."""
    return Switched(bench)


def test_a_switch_is_closed_and_given_back_with_its_annotation(switched: Switched) -> None:
    """The earlier values are kept on the object, and restored exactly."""
    before = switched.data("primary")
    image = FACTS["primary_gate"].observe(switched.world, switched.bench.run())
    assert [switched.fact(gate) for gate in GATES] == ["open", "closed"]
    switched.act("close_source_gate")
    assert switched.data("primary")["API_WRITES"] == "0"
    assert "drfsm/writes-before" in switched.data("primary")
    assert [switched.fact(gate) for gate in GATES] == ["closed", "closed"]
    switched.act("restore_source_gate", undoing={"primary_gate": image})
    assert {name: value for name, value in switched.data("primary").items() if value} == before
    assert FACTS["primary_gate"].observe(switched.world, switched.bench.run()) == image


def test_a_switch_that_somebody_else_set_is_not_overwritten(switched: Switched) -> None:
    """The undo says so, and can be waived."""
    image = FACTS["primary_gate"].observe(switched.world, switched.bench.run())
    switched.act("close_source_gate")
    switched.sites["primary"].merge("ConfigMap", CONFIGMAP, {"data": {"API_WRITES": "maybe"}})
    assert switched.fact("primary_gate") == "mixed"
    with pytest.raises(ActionFailed, match="not overwritten"):
        switched.act("restore_source_gate", undoing={"primary_gate": image})


def test_the_new_owner_s_switch_is_opened_last(switched: Switched) -> None:
    """Not before the site was declared: the document's condition goes before the switch."""
    with pytest.raises(Conflict):
        switched.act("open_target_gate")
    assert switched.data("dr")["API_WRITES"] == "0"
    for action in ("close_source_gate", "declare_active_site", "open_target_gate"):
        switched.act(action)
    assert [switched.fact(gate) for gate in GATES] == ["closed", "open"]
    assert switched.data("dr") == {"API_WRITES": "1", "OTHER": "x"}


def test_a_lost_site_s_switch_is_out_of_reach(switched: Switched) -> None:
    """It gets no request, nor a touch; the document alone is closed, so rows must have a fence stand in."""
    lost = {"primary_unreachable": "yes"}
    assert switched.fact("primary_gate", **lost) == "open"
    switched.act("close_source_gate", inputs=lost)
    assert switched.fact("primary_gate", **lost) == "closed"
    assert switched.data("primary")["API_WRITES"] == "1"
    run = switched.bench.run()
    touch = LATE["close_source_gate"].touch
    assert touch is not None
    with pytest.raises(ActionFailed, match="declared lost"):
        touch(switched.world, evolve(run, inputs={**run.inputs, **lost}))


def test_a_late_write_of_a_switch_fails_after_a_touch(switched: Switched) -> None:
    """The ConfigMap has a new resourceVersion."""
    version = switched.sites["primary"].objects["ConfigMap", CONFIGMAP]["metadata"]["resourceVersion"]
    touch = LATE["close_source_gate"].touch
    assert touch is not None
    touch(switched.world, switched.bench.run())
    late = {"data": {"API_WRITES": "0"}, "metadata": {"resourceVersion": version}}
    with pytest.raises(Conflict):
        switched.sites["primary"].patch("ConfigMap", NAMESPACE, CONFIGMAP, late)


def test_a_close_that_was_killed_between_its_two_writes_goes_on(switched: Switched) -> None:
    """The document says closed, the switch not yet: the next process finds one done and makes the other."""

    def cut() -> None:
        raise Unreachable("the process was killed before this request")

    switched.sites["primary"].meanwhile = cut
    with pytest.raises(Unreachable):
        switched.act("close_source_gate")
    assert (switched.bench.document()["writes"], switched.fact("primary_gate")) == ("closed", "open")
    epoch = switched.bench.document()["epoch"]
    assert switched.act("close_source_gate") == {"document": False, "switches": True}
    assert (switched.bench.document()["epoch"], switched.fact("primary_gate")) == (epoch, "closed")
