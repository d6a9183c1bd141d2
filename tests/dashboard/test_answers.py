"""Who can publish and who can write, decided from what was read: tables of every combination that matters."""

from pathlib import Path
from typing import Any

import pytest

from drfsm.dashboard import sites
from drfsm.dashboard.gather import writable
from drfsm.dashboard.runs import SeenRun
from drfsm.dashboard.values import Unread, none, unknown
from drfsm.dr import workload
from drfsm.engine import Run, SystemClock
from drfsm.errors import Unreachable
from drfsm.evidence.wording import NO_WRITES, NOBODY
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.runs.selection import KnownRun
from drfsm.spec import load_machine

TIME = "2026-11-29T10:00:00Z"


def site(schedules: str = "on", publishing: str = "on", fence: Any = "down") -> dict[str, Any]:
    """Return a site as the document has it; "?" is what is not known."""
    parts = {"schedules": schedules, "publishing": publishing}
    read = {"at": TIME, "by": "a run"}
    values = {name: unknown("why") if it == "?" else {"value": it, "read": read} for name, it in parts.items()}
    return {**values, "fence": unknown("why") if fence == "?" else fence}


OFF = site("off", "off")
PUBLISH: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one publishes": (site(), OFF, "yes"),
    "both do": (site(), site(), "yes"),
    "one does, and the other is not known": (site("?", "?"), site(), "yes"),
    "both are off": (OFF, OFF, "no"),
    "no schedule starts a Job": (site("off"), OFF, "no"),
    "a site has no schedules": (site("none"), OFF, "no"),
    "a site is taken down": (site(), site(sites.TAKEN_DOWN, sites.TAKEN_DOWN), "yes"),
    "the only one left is off": (OFF, site(sites.TAKEN_DOWN, sites.TAKEN_DOWN), "no"),
    "publishing is off": (site(publishing="off"), OFF, "no"),
    "the one that is on is fenced": (site(fence="up"), OFF, "no"),
    "its fence is not known": (site(fence="?"), OFF, "unknown"),
    "its fence was changed": (site(fence="altered"), OFF, "unknown"),
    "its switches are mixed": (site(publishing="mixed"), OFF, "unknown"),
    "one is not known": (site("?", "?"), OFF, "unknown"),
}


def sight(asked: tuple[str, ...] = (), *runs: SeenRun) -> sites.Sight:
    """Return what the answer is found by: which sites were asked now, and the runs that are known."""
    nothing: Any = None
    return sites.Sight(nothing, nothing, asked, runs, Unread())


def frozen(word: str, **state: Any) -> SeenRun:
    """Return an open run that says that something is frozen."""
    state |= {"run_id": "promote-1", "machine": "promote", "status": "held", "scope": "live"}
    known = RunState(frozen_since={word: TIME}, **state)
    return SeenRun(KnownRun(Path("promote-1"), known), (), "mirror", is_here=False)


PLACE = {
    "bucket": "results", "prefix": "jobs", "namespace": "batch", "candidate": "local", "provider": "p", "profile": "q",
    "configmap": "settings", "cronjob": "", "cronjob_selector": "", "resume_cronjobs": "", "taker": "dr",
    "workload": workload.canonical(workload.shipped()),
}  # fmt: skip


class Away:
    """A world of which no cluster can be reached."""

    def site(self, _name: str) -> Any:
        """Fail."""
        raise Unreachable("listing: no answer", cause="Cannot reach dr (timed out): https://d")


@pytest.mark.parametrize(("kubeconfig", "is_here"), [("/d.yaml", True), ("/d.yaml", False), ("/other.yaml", True)])
def test_a_dr_that_the_last_failback_took_down_is_told_as_that_and_is_not_unread(
    kubeconfig: str, *, is_here: bool
) -> None:
    """Only the one of that run's kubeconfig, by this computer's bundle: any other is not known."""
    results = {"tear_down_dr": {"terminated": ["i-1"], "left": 0}}
    inputs = {"kubeconfig_dr": "/d.yaml"}
    state = RunState(
        run_id="failback-1", machine="failback", status="complete", scope="live", ended_at=TIME, inputs=inputs,
        results=results,
    )  # fmt: skip
    run = SeenRun(KnownRun(Path("failback-1"), state), (), "both", is_here=is_here)
    asking = Run("look", {**PLACE, "kubeconfig_dr": kubeconfig}, "", 0, True, "look", {}, {}, SystemClock())  # noqa: FBT003
    world: Any = Away()
    seen = sites.Sight(world, asking, ("dr",), (run,), Unread())
    reading = sites.schedules(seen, {"primary": "down", "dr": "down"})["sites"]["dr"]["schedules"]
    if kubeconfig == "/d.yaml" and is_here:
        assert (reading["value"], reading["read"]["by"], seen.unread.entries) == (sites.TAKEN_DOWN, "failback-1", [])
    else:
        assert "unknown" in reading
        assert [entry["what"] for entry in seen.unread.entries] == ["schedules of DR", "publishing of DR"]


@pytest.mark.parametrize("case", list(PUBLISH))
def test_who_can_publish_follows_from_switches_schedules_and_fences(case: str) -> None:
    """Either way round."""
    one, other, wanted = PUBLISH[case]
    for primary, dr in ((one, other), (other, one)):
        answer = sites.publish(sight(), {"primary": primary, "dr": dr})
        assert answer["possible"] == wanted, answer
        assert ("somebody can" in str(answer["nobody_since"])) == (wanted == "yes")


def test_a_run_that_says_that_nobody_can_publish_is_believed_until_both_clusters_say_otherwise() -> None:
    """Its records are older than what is read now, and newer than what another run read before."""
    states = {"primary": site(), "dr": OFF}
    run = frozen("nobody can publish, the primary being fenced")
    answer = sites.publish(sight((), run), states)
    assert (answer["possible"], answer["nobody_since"]) == ("no", TIME)
    assert sites.publish(sight(("primary",), run), states)["possible"] == "no"
    assert sites.publish(sight(("primary", "dr"), run), states)["possible"] == "yes"
    assert sites.publish(sight((), frozen("DR's publishing is off")), states)["possible"] == "yes"


def test_since_when_nobody_can_publish_is_a_run_s_word_or_not_known() -> None:
    """Switched off by hand, nobody has recorded it."""
    states = {"primary": OFF, "dr": OFF}
    assert "unknown" in sites.publish(sight(("primary", "dr")), states)["nobody_since"]
    answer = sites.publish(sight(("primary", "dr"), frozen("nobody can publish")), states)
    assert answer["nobody_since"] == TIME


def active(where: Any, writes: str = "open") -> dict[str, Any]:
    """Return the active site as the document has it."""
    return {"site": where, "writes": writes, "since": TIME}


WRITE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, bool], str]] = {
    "the active site's writes are open": (active("dr"), {}, {}, "yes"),
    "they are closed": (active("dr", "closed"), {}, {}, "no"),
    "the active site is fenced": (active("dr"), {"dr": "up"}, {}, "no"),
    "the other site is fenced": (active("dr"), {"primary": "up"}, {}, "yes"),
    "the document is garbage": (active(unknown("garbage")), {}, {"refuses": True}, "no"),
    "there is none, and there are endpoints": (active(none("x")), {}, {"refuses": True, "has_endpoints": True}, "no"),
    "there is none, and no endpoint": (active(none("x")), {}, {"refuses": True}, "none"),
    "the bucket does not answer": (active(unknown("refused")), {}, {"has_endpoints": True}, "unknown"),
}


@pytest.mark.parametrize("case", list(WRITE))
def test_who_takes_writes_follows_from_the_document_and_the_fences(case: str) -> None:
    """Servers refuse what no valid document allows."""
    document, fences, flags, wanted = WRITE[case]
    given = {"refuses": False, "has_endpoints": False, **flags}
    answer = writable(document, {"primary": "down", "dr": "down", **fences}, "", **given)
    assert answer["possible"] == wanted, answer


def test_since_when_nobody_writes_is_the_first_closed_gate_of_a_transfer() -> None:
    """The document changes once more while both sites are closed; the run's records know of the first."""
    first = "2026-11-29T09:59:00.123456Z"
    closed, open_gates = active("dr", "closed"), {"primary": "down", "dr": "down"}
    flags = {"refuses": False, "has_endpoints": True}
    assert writable(closed, open_gates, first, **flags)["nobody_since"] == "2026-11-29T09:59:00Z"
    assert writable(closed, open_gates, "", **flags)["nobody_since"] == TIME
    run = frozen(NO_WRITES)
    assert sites.no_writes_since([run]) == TIME
    assert sites.no_writes_since([frozen("nobody can publish")]) == ""


@pytest.mark.parametrize("machine", ["promote", "failback"])
def test_the_words_of_the_machines_are_those_that_are_looked_for(machine: str) -> None:
    """Each says that nobody can publish, and that no site takes writes."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
    reasons = [rule.reason for rule in spec.frozen]
    assert NO_WRITES in reasons
    assert any(reason.startswith(NOBODY) for reason in reasons)
