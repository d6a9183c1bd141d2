"""The verdict over all findings, and the three forms in which it is told: lines, JSON, a Prometheus textfile."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from drfsm import __version__
from drfsm.runs.doctor.codes import ACCEPTED, ERROR, MEND, SEVERITIES, UNKNOWN
from drfsm.runs.doctor.findings import Finding, Look

if TYPE_CHECKING:
    from drfsm.runs.doctor.proof import Drill

READY, NOT_READY, NOT_KNOWN = "ready", "not_ready", "unknown"
_ABOUT: Mapping[str, str] = {
    "clock_skew_seconds": "How far this machine's clock is ahead of the store's.",
    "disk_free_bytes": "What is left on the disk of drfsm's home.",
    "credentials_end_timestamp_seconds": "When the cloud credentials end.",
    "backup_age_seconds": "How old the newest whole backup is.",
    "last_green_drill_timestamp_seconds": "When the last green drill proved its run.",
}


@frozen
class Report:
    """What was found. ``held``: the checks without a finding; ``until``: the date on which readiness ends, if any."""

    verdict: str
    findings: Sequence[Finding]
    held: Sequence[str]
    read_at: datetime
    owner: str
    drill: "Drill | None"
    until: datetime | None
    project: str
    numbers: Mapping[str, float]

    @property
    def voided(self) -> list[str]:
        """The codes of what voided the drill's proof."""
        return [each.code for each in self.findings if each.code.startswith("proof_of_") and each.severity == ERROR]

    @property
    def record(self) -> dict[str, Any]:
        """The report as JSON (receipts_schema/doctor.schema.json)."""
        drill = self.drill
        proven_at = drill.proven_at if drill is not None else None
        return {
            "schema_version": 1,
            "drfsm_version": __version__,
            "verdict": self.verdict,
            "ready_until": _time(self.until) if self.verdict == READY else None,
            "read_at": _time(self.read_at),
            "owner": self.owner or None,
            "last_green_drill": {
                "run_id": drill.state.run_id, "where": drill.where, "vouched": drill.vouched,
                "proven_at": _time(proven_at), "ends_at": _time(self.until), "voided_by": self.voided,
            } if drill is not None else None,
            "findings": [each.record for each in self.findings],
            "held": list(self.held),
            "numbers": dict(self.numbers),
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Yield the report as lines: the verdict first, then each finding with its mend, the worst first."""
        yield _VERDICTS[self.verdict]
        if self.drill is not None and self.drill.proven_at is not None:
            day = f"{self.drill.proven_at:%Y-%m-%d %H:%MZ}"
            yield f"  last green drill: {self.drill.state.run_id}, {day}; its proof {self._end()}"
        for number, each in enumerate(self.findings):
            yield f"{each.severity.upper():<8} {each.code}: {each.subject}: {each.words}"
            following = self.findings[number + 1].mend if number + 1 < len(self.findings) else ""
            if each.mend and each.severity != ACCEPTED and each.mend != following:  # once for all that it mends
                yield f"{MEND}{each.mend}"
        yield f"in order: {', '.join(self.held) or 'nothing'}"
        if self.findings:
            yield f"drfsm explain {self.findings[0].code} says more"

    def _end(self) -> str:
        if self.voided:
            return f"is void: {', '.join(dict.fromkeys(self.voided))}"
        if self.until is not None and self.until < self.read_at:
            return f"ended on {self.until:%Y-%m-%d %H:%MZ}"
        by_date = f"on {self.until:%Y-%m-%d %H:%MZ}" if self.until else "on no date (no drill interval is set)"
        return f"ends {by_date}, or as soon as something changes that it relied on"

    def textfile(self) -> str:
        """Return the report in Prometheus' text format, for the node exporter's textfile collector.

        That collector refuses samples with a time of their own: when it was read is a metric.
        """
        lines: list[str] = []
        for name, about, samples in self._families():
            full = f"drfsm_doctor_{name}"
            lines += [f"# HELP {full} {about}", f"# TYPE {full} gauge"]
            lines += [f"{full}{_labels({'project': self.project, **labels})} {value!r}" for labels, value in samples]
        return "\n".join(lines) + "\n"

    def _families(self) -> Iterator[tuple[str, str, list[tuple[dict[str, str], float]]]]:
        yield "read_timestamp_seconds", "When drfsm doctor last looked.", [({}, self.read_at.timestamp())]
        yield "ready", "1 if everything was read and nothing voids readiness.", [({}, float(self.verdict == READY))]
        yield (
            "known",
            "1 if everything could be read.",
            [({}, float(not any(f.severity == UNKNOWN for f in self.findings)))],
        )
        count = {severity: float(sum(f.severity == severity for f in self.findings)) for severity in SEVERITIES}
        yield "findings", "How many findings there are.", [({"severity": name}, n) for name, n in count.items()]
        each = {(f.code, f.severity, f.subject): 1.0 for f in self.findings}
        if each:
            named = [({"code": code, "severity": weight, "subject": of}, n) for (code, weight, of), n in each.items()]
            yield "finding", "1 for each finding.", named
        if self.until is not None:
            yield (
                "proof_ends_timestamp_seconds",
                "When the last green drill's proof ends.",
                [({}, self.until.timestamp())],
            )
        voided = float(len(self.voided))
        yield "proof_voided", "How many changes voided the last green drill's proof.", [({}, voided)]
        for name, value in self.numbers.items():
            yield name, _ABOUT[name], [({}, value)]


_VERDICTS = {READY: "READY", NOT_READY: "NOT READY", NOT_KNOWN: "NOT KNOWN: something could not be read"}


def report(
    look: Look, findings: Sequence[Finding], held: Sequence[str], accepted: tuple[str, ...], *, owner: str,
    drill: "Drill | None", until: datetime | None,
) -> Report:  # fmt: skip
    """Return the report: accepted findings count for nothing; an error outweighs what could not be read."""
    weighed = [evolve(f, severity=ACCEPTED) if _is_accepted(f, accepted) else f for f in dict.fromkeys(findings)]
    weighed.sort(key=lambda each: (SEVERITIES.index(each.severity), each.code, each.mend))
    weights = {each.severity for each in weighed}
    verdict = NOT_READY if ERROR in weights else NOT_KNOWN if UNKNOWN in weights else READY
    name = look.terms.workload.name
    return Report(verdict, tuple(weighed), tuple(held), look.now, owner, drill, until, name, dict(look.numbers))


def _is_accepted(each: Finding, accepted: tuple[str, ...]) -> bool:
    return each.code in accepted or f"{each.code}:{each.subject}" in accepted


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment is not None else None


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """Escape a label's value. What does not print is escaped, too: a subject may come from a bucket or a cluster."""
    from drfsm.claims import printable

    return printable(value).replace("\\", "\\\\").replace('"', '\\"')
