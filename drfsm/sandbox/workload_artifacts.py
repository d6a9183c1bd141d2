"""The files of one run of the sandbox's workload, made from the run's inputs alone.

Pure: no clock, no network, no disk. The ranked files depend only on snapshot, provider, profile and
``diverge``; only the three v1 statements also carry the run's id, time stamps and durations:

    file                                            name in the report      volatile fields
    <provider>_ranked_jobs.<profile>.json           ranked_json             none
    <provider>_ranked_jobs.<profile>.csv            ranked_csv              none
    <provider>_ranked_families.<profile>.json       ranked_families_json    none
    run_summary.v1.json                             run_summary             run_id, created_at_utc,
                                                                            started_at, ended_at, duration_sec
    run_health.v1.json                              run_health              run_id, timestamps, durations
    artifacts/provider_availability_v1.json         provider_availability   run_id, generated_at_utc

A run that fails has ranked nothing, so it has only the three statements, with ``status: failed``.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

RANKED = ("ranked_json", "ranked_csv", "ranked_families_json")
"""The allow-list: what of a run is copied to ``latest``."""

FAMILIES = ("Platform", "Data", "Security", "Solutions", "Research")
LEVELS = ("Engineer", "Senior Engineer", "Staff Engineer", "Lead", "Manager")
TEAMS = ("Storage", "Billing", "Search", "Identity", "Delivery", "Insights")
PLACES = ("Berlin", "Dublin", "London", "New York", "Remote", "Singapore")
RECORDS = 24
DIVERGING = 8  # every eighth record changes when the input diverges


class Run(NamedTuple):
    """The inputs of one run, and its id, start and end."""

    run_id: str
    candidate: str
    snapshot: str
    diverge: str
    successful: bool
    started_at: str
    ended_at: str
    duration_seconds: float
    extra_objects: int = 0


class Artifact(NamedTuple):
    """One file of a run. ``path`` is relative to the run: ``<provider>/<profile>/<file>``."""

    logical_key: str  # <provider>:<profile>:<name>
    path: str
    body: bytes

    @property
    def name(self) -> str:
        """The last part of the logical key."""
        return self.logical_key.split(":", 2)[2]

    def described(self) -> dict[str, Any]:
        """Return the artifact's entry in ``verifiable_artifacts``."""
        return {"path": self.path, "sha256": _sha256(self.body), "bytes": len(self.body)}


def records(run: Run, provider: str, profile: str) -> list[dict[str, Any]]:
    """Return the jobs of a provider as the profile ranks them: highest score first."""
    records = [_record(run, provider, profile, number) for number in range(RECORDS)]
    return sorted(records, key=lambda job: (-job["score"], job["job_id"]))


def artifacts(run: Run, pairs: Sequence[tuple[str, str]]) -> list[Artifact]:
    """Return every artifact of a run, in the order in which they are published."""
    made = [artifact for provider, profile in pairs for artifact in _of_pair(run, provider, profile)]
    provider, profile = pairs[0]
    made += [_extra(run, provider, profile, number) for number in range(run.extra_objects)]
    return made


def report(run: Run, pairs: Sequence[tuple[str, str]], made: Sequence[Artifact]) -> dict[str, Any]:
    """Return the run's report: its artifacts with path, SHA-256 and size."""
    return {
        "run_report_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "status": _status(run),
        "success": run.successful,
        "providers": distinct(provider for provider, _ in pairs),
        "profiles": distinct(profile for _, profile in pairs),
        "timestamps": {"started_at": run.started_at, "ended_at": run.ended_at},
        "durations": {"total_sec": run.duration_seconds},
        "verifiable_artifacts": {artifact.logical_key: artifact.described() for artifact in made},
    }


def distinct(words: Iterator[str]) -> list[str]:
    """Return the words in order, each once."""
    return list(dict.fromkeys(words))


def encoded(value: Any) -> bytes:
    """Return JSON as the workload writes it: readable, keys sorted, one newline at the end."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _of_pair(run: Run, provider: str, profile: str) -> Iterator[Artifact]:
    ranked = list(_ranked(run, provider, profile)) if run.successful else []
    yield from ranked
    statements = {
        "run_summary": ("run_summary.v1.json", _summary(run, provider, profile, ranked)),
        "run_health": ("run_health.v1.json", _health(run, provider, profile)),
        "provider_availability": ("artifacts/provider_availability_v1.json", _availability(run, provider)),
    }
    for name, (file, statement) in statements.items():
        yield _artifact(provider, profile, name, file, encoded(statement))


def _ranked(run: Run, provider: str, profile: str) -> Iterator[Artifact]:
    jobs = records(run, provider, profile)
    file = f"{provider}_ranked_jobs.{profile}"
    yield _artifact(provider, profile, "ranked_json", f"{file}.json", encoded(jobs))
    yield _artifact(provider, profile, "ranked_csv", f"{file}.csv", _csv(jobs))
    families = f"{provider}_ranked_families.{profile}.json"
    yield _artifact(provider, profile, "ranked_families_json", families, encoded(_families(jobs)))


def _record(run: Run, provider: str, profile: str, number: int) -> dict[str, Any]:
    seed = hashlib.sha256(f"{run.snapshot}/{provider}/{number}".encode()).digest()
    fit = hashlib.sha256(seed + profile.encode()).digest()
    family, level, team = FAMILIES[seed[0] % 5], LEVELS[seed[1] % 5], TEAMS[seed[2] % 6]
    job_id = f"{provider}-{seed[:6].hex()}"
    title, score = f"{level}, {family} ({team})", round(40 + fit[0] * 60 / 255 + fit[1] / 1000, 3)
    if run.diverge and number % DIVERGING == 0:
        title = f"{title} [{run.diverge}]"
        score = round(score - 1 - hashlib.sha256(run.diverge.encode()).digest()[0] / 100, 3)
    return {
        "job_id": job_id,
        "title": title,
        "company": provider,
        "family": family,
        "team": team,
        "location": PLACES[seed[3] % 6],
        "apply_url": f"https://jobs.example/{provider}/{job_id}/apply",
        "detail_url": f"https://jobs.example/{provider}/{job_id}",
        "score": score,
    }


def _csv(jobs: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(jobs[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(jobs)
    return text.getvalue().encode()


def _families(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    families = []
    for family in sorted({job["family"] for job in jobs}):
        members = [job for job in jobs if job["family"] == family]
        best = max(job["score"] for job in members)
        families.append(
            {"family": family, "count": len(members), "best_score": best, "top_job_id": members[0]["job_id"]}
        )
    return sorted(families, key=lambda family: (-family["best_score"], family["family"]))


def _summary(run: Run, provider: str, profile: str, ranked: Sequence[Artifact]) -> dict[str, Any]:
    outputs = {
        artifact.name: [{"provider": provider, "profile": profile, **artifact.described()}] for artifact in ranked
    }
    config = {
        "source": "sandbox",
        "config_sha256": _sha256(b"scoring.v1"),
        "provider": provider,
        "profile": profile,
    }
    return {
        "run_summary_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "status": _status(run),
        "job_count": RECORDS if run.successful else 0,
        "ranked_outputs": outputs,
        "snapshot_manifest": {"applicable": True, "sha256": _sha256(run.snapshot.encode())},
        "scoring_config": config,
        "created_at_utc": run.ended_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_sec": run.duration_seconds,
    }


def _health(run: Run, provider: str, profile: str) -> dict[str, Any]:
    return {
        "run_health_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "provider": provider,
        "profile": profile,
        "status": _status(run),
        "failed_stage": None if run.successful else "score",
        "failure_codes": [] if run.successful else ["SANDBOX_FAIL"],
        "timestamps": {"started_at": run.started_at, "ended_at": run.ended_at},
        "durations": {"total_sec": run.duration_seconds},
    }


def _availability(run: Run, provider: str) -> dict[str, Any]:
    return {
        "provider_availability_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "generated_at_utc": run.ended_at,
        "provider_registry_sha256": _sha256(b"providers.v1"),
        "providers": [{"provider_id": provider, "availability": "available", "mode": "snapshot", "reason_code": "ok"}],
    }


def _extra(run: Run, provider: str, profile: str, number: int) -> Artifact:
    body = encoded({"number": number, "snapshot": run.snapshot})
    return _artifact(provider, profile, f"extra_{number:05}", f"artifacts/extra/{number:05}.json", body)


def _artifact(provider: str, profile: str, name: str, file: str, body: bytes) -> Artifact:
    return Artifact(f"{provider}:{profile}:{name}", f"{provider}/{profile}/{file}", body)


def _status(run: Run) -> str:
    return "success" if run.successful else "failed"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
