"""A health as measurements: for CloudWatch by the names that the workload's alarms know, and as a Prometheus textfile.

What isn't known is left out, so that an alarm's own rule for missing data decides, and nobody takes a guess for a
value. CloudWatch's ``PublishCorrectness`` counts failures (0: correct, 1: not), as the alarms that exist already have
it; Prometheus' ``drfsm_publish_correct`` is 1 where it is correct.
"""

from collections.abc import Iterator
from datetime import datetime

from drfsm.claims import moment
from drfsm.dr.detection.health import HOUR, OK, UNKNOWN, Health, Pair
from drfsm.evidence.exposition import Family, exposition
from drfsm.world import Metric

FRESHNESS, CORRECTNESS, NEEDS_DR = "PipelineFreshnessHours", "PublishCorrectness", "NeedsDR"


def measurements(health: Health, project: str) -> list[Metric]:
    """Return the measurements of every pair, with the dimensions Project, Provider and Profile."""
    return [metric for pair in health.pairs for metric in _of_pair(health, project, pair)]


def _of_pair(health: Health, project: str, pair: Pair) -> Iterator[Metric]:
    named = {"Project": project, "Provider": pair[0], "Profile": pair[1]}
    if health.age_seconds is not None and health.freshness != UNKNOWN:
        yield Metric(FRESHNESS, max(health.age_seconds, 0.0) / HOUR, named)
    if health.correctness != UNKNOWN:
        yield Metric(CORRECTNESS, 0 if health.correctness == OK else 1, named, "Count")
    if health.needs_dr is not None:
        yield Metric(NEEDS_DR, int(health.needs_dr), named, "Count")


def textfile(health: Health, project: str, now: datetime) -> str:
    """Return the health in Prometheus' text format. ``now``: when it was looked at, by this machine."""
    pairs = [{"project": project, "provider": pair[0], "profile": pair[1]} for pair in health.pairs]
    return exposition(
        Family(name, about, [({**pair, **labels}, value) for pair in pairs for labels, value in samples])
        for name, about, samples in _families(health, now)
    )


def _families(health: Health, now: datetime) -> Iterator[tuple[str, str, list[tuple[dict[str, str], float]]]]:
    """Yield (name, what it is, samples) of everything that is known."""
    yield "drfsm_health_checked_timestamp_seconds", "When drfsm health last looked.", [({}, now.timestamp())]
    known = health.verdict != "unknown"
    yield "drfsm_health_known", "1 if everything could be read, or something is wrong.", [({}, float(known))]
    yield "drfsm_pipeline_freshness_limit_seconds", "How old a run may be.", [({}, health.limit_seconds)]
    if health.age_seconds is not None and health.freshness != UNKNOWN:
        yield "drfsm_pipeline_freshness_seconds", "How long ago the published run ended.", [({}, health.age_seconds)]
    if (ended := moment(health.ended_at)) is not None:
        yield "drfsm_published_run_ended_timestamp_seconds", "When that run ended.", [({}, ended.timestamp())]
    if health.correctness != UNKNOWN:
        correct = float(health.correctness == OK)
        yield "drfsm_publish_correct", "1 if what is published is correct.", [({}, correct)]
    if health.needs_dr is not None:
        yield "drfsm_needs_dr", "1 if it is stale or not correct.", [({}, float(health.needs_dr))]
    checks = [({"check": check.name}, float(check.status == OK)) for check in health.checks if check.status != UNKNOWN]
    if checks:
        yield "drfsm_health_check", "1 if this check holds.", checks
