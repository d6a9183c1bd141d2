"""What a run of the sandbox's workload leaves on its own disk, below its data and its state folder.

    <data>/ashby_cache/<file>                          the files of the newest run
    <state>/last_success.json                          which run that was, and the digest of each of its files
    <state>/runs/<run>/<provider>/<profile>/<file>     a run's files, with their own copy
    <state>/runs/<run>/run_report.json                 what the run made, and of what; also run_summary.v1.json,
                       run_health.v1.json, index.json, artifacts/provider_availability_v1.json

None of the statements is uploaded, unless the workload is told to publish its report. The report's paths are relative
to the data folder. A run that finds that its files would be those of the last success leaves its availability alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from drfsm.sandbox.workload_artifacts import RECORDS, Artifact, distinct, encoded, sha256
from drfsm.sandbox.workload_contract import Contract, filled

CACHE = "ashby_cache"
LAST_SUCCESS = "last_success.json"
AVAILABILITY = "artifacts/provider_availability_v1.json"
SCORING, REGISTRY = sha256(b"scoring.v1"), sha256(b"providers.v1")

Document = dict[str, Any]


class Run(NamedTuple):
    """One run: its id, and how it went."""

    run_id: str
    candidate: str
    snapshot: str
    pairs: Sequence[tuple[str, str]]
    successful: bool
    started_at: str
    ended_at: str
    duration_seconds: float

    @property
    def status(self) -> str:
        """As every statement says it."""
        return "success" if self.successful else "failed"

    @property
    def folder(self) -> str:
        """The run's folder; in S3 the id is used unchanged."""
        return self.run_id.replace(":", "").replace("-", "").replace(".", "")

    @property
    def providers(self) -> list[str]:
        """Its providers, each once."""
        return distinct(provider for provider, _ in self.pairs)

    @property
    def profiles(self) -> list[str]:
        """Its profiles, each once."""
        return distinct(profile for _, profile in self.pairs)


def report(contract: Contract, run: Run, made: Sequence[Artifact]) -> bytes:
    """Return the run's report."""
    entries = {
        artifact.logical_key: {**artifact.described(), "hash_algo": "sha256", "path": _path(contract, artifact)}
        for artifact in made
    }
    form = contract.report
    stated: Document = {
        "run_report_schema_version": 1,
        "run_id": run.run_id,
        "status": run.status,
        "success": run.successful,
        "providers": run.providers,
        "profiles": run.profiles,
        "candidate_input_provenance": {"candidate_id": run.candidate, "text_input_artifacts": {}},
        "config_fingerprint": sha256(b"config.v1"),
        "environment_fingerprint": {"git_sha": None, "image_tag": None},
        "git_sha": None,
        "image_tag": None,
        "flags": {"ai": False, "min_score": 40, "profiles": ",".join(run.profiles), "providers": run.providers},
        "logs": _logs(run),
        "outputs_by_provider": _outputs(made),
        "provenance": {
            "build": {"git_sha": "unknown", "image": "unknown", "provider_registry_sha256": REGISTRY},
            "candidate_inputs": {"candidate_id": run.candidate, "text_input_artifacts": {}},
        },
        "scoring_model": {"algorithm_id": "heuristic_ai_blend_v1", "config_sha256": SCORING, "version": "v1"},
        "selection": {"classified_job_count": RECORDS * len(run.providers) if run.successful else 0},
        "stage_durations": {},
        "timestamps": {"ended_at": run.ended_at, "started_at": run.started_at},
    }
    own = {form["artifacts"]: entries, form["run_id"]: run.run_id, form["ended_at"]: run.ended_at}
    for field, value in {**(form["succeeded"] if run.successful else {}), **own}.items():
        _state(stated, field, value)
    return _pretty(stated)


def _state(statement: Document, field: str, value: Any) -> None:
    """Put a value at a dotted field of a statement; one that says it already, in its own type, stays."""
    *homes, name = field.split(".")
    for home in homes:
        statement = statement.setdefault(home, {})
    if str(statement.get(name)).lower() != str(value).lower():
        statement[name] = value


def statements(run: Run, made: Sequence[Artifact]) -> list[Artifact]:
    """Return the run's statements as files of each pair, for an uploader that publishes them."""
    health = encoded(_health(run))
    bodies = {
        "run_summary": ("run_summary.v1.json", encoded(_summary(run, made, health))),
        "run_health": ("run_health.v1.json", health),
        "provider_availability": (AVAILABILITY, encoded(_availability(run, reason="ok"))),
    }
    return [
        Artifact(provider, profile, name, file, body, latest=False)
        for provider, profile in run.pairs
        for name, (file, body) in bodies.items()
    ]


def keep(contract: Contract, run: Run, made: Sequence[Artifact], run_report: bytes, *, data: Path, state: Path) -> None:
    """Write a run to the local disk, before anything of it is published."""
    home = state / "runs" / run.folder
    for artifact in made:
        _write(data / CACHE / artifact.file, artifact.body)
    for path, body in _files(contract, run, made, run_report):
        _write(home / path, body)


def keep_success(run: Run, made: Sequence[Artifact], state: Path) -> None:
    """Write which run was the last success: one that did all that it was to do."""
    _write(state / LAST_SUCCESS, encoded(_last_success(run, made, state / "runs" / run.folder)))


def keep_unchanged(run: Run, state: Path) -> None:
    """Write what a run leaves that found nothing new."""
    availability = _availability(run, reason="early_failure_unknown")
    _write(state / "runs" / run.folder / AVAILABILITY, encoded(availability))


def unchanged_since(run: Run, made: Sequence[Artifact], state: Path) -> str:
    """Return the id of the last successful run if it made just these files and has them still; else ""."""
    try:
        last = json.loads((state / LAST_SUCCESS).read_bytes())
        run_id, known = str(last["run_id"]), last["artifacts"]
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    home = state / "runs" / run._replace(run_id=run_id).folder
    same = known == {artifact.logical_key: artifact.described() for artifact in made}
    there = all((home / artifact.provider / artifact.profile / artifact.file).exists() for artifact in made)
    return run_id if same and there else ""


def _path(contract: Contract, artifact: Artifact) -> str:
    """Return an artifact's path in the report: in the data folder, unless only its path in the run leads there."""
    place = f"{contract.pair_home(artifact.provider, artifact.profile)}/{artifact.file}"
    paths = (f"{CACHE}/{artifact.file}", place)
    return next((path for path in paths if reported_place(contract, artifact, path) == place), paths[0])


def reported_place(contract: Contract, artifact: Artifact, path: str) -> str:
    """Return where a reader of the report looks for an artifact, relative to the run."""
    name = path.rpartition("/")[2]
    provider, profile = artifact.provider, artifact.profile
    return filled(contract.report["path"], provider=provider, profile=profile, basename=name, path=path)


def _files(contract: Contract, run: Run, made: Sequence[Artifact], run_report: bytes) -> Iterator[tuple[str, bytes]]:
    for artifact in made:
        yield f"{artifact.provider}/{artifact.profile}/{artifact.file}", artifact.body
    yield contract.report["key"], run_report
    health = encoded(_health(run))
    yield "run_health.v1.json", health
    yield "run_summary.v1.json", encoded(_summary(run, made, health, run_report))
    yield AVAILABILITY, encoded(_availability(run, reason="ok"))
    yield "index.json", _pretty(_index(run, made))


def _last_success(run: Run, made: Sequence[Artifact], home: Path) -> Document:
    digests: dict[str, dict[str, dict[str, str]]] = {}
    for artifact in made:
        pair = digests.setdefault(artifact.provider, {}).setdefault(artifact.profile, {})
        pair[artifact.logical_key] = sha256(artifact.body)
    return {
        "artifacts": {artifact.logical_key: artifact.described() for artifact in made},
        "completed_at_utc": run.ended_at,
        "profiles": run.profiles,
        "provider_profile": digests,
        "providers": run.providers,
        "run_id": run.run_id,
        "run_report_path": f"{home}.json",
    }


def _outputs(made: Sequence[Artifact]) -> Document:
    outputs: Document = {}
    for artifact in made:
        pair = outputs.setdefault(artifact.provider, {}).setdefault(artifact.profile, {})
        pair[artifact.name] = {"path": f"/app/data/{CACHE}/{artifact.file}", "sha256": sha256(artifact.body)}
    return outputs


def _summary(run: Run, made: Sequence[Artifact], health: bytes, run_report: bytes = b"") -> Document:
    home = f"state/runs/{run.folder}"
    outputs: dict[str, list[Document]] = {}
    for artifact in made:
        entry = {"path": f"data/{CACHE}/{artifact.file}", "provider": artifact.provider, "profile": artifact.profile}
        outputs.setdefault(artifact.name, []).append({**entry, **artifact.described()})
    return {
        "run_summary_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "status": run.status,
        "created_at_utc": run.ended_at,
        "git_sha": "unknown",
        "ranked_outputs": outputs,
        "run_health": {"path": f"{home}/run_health.v1.json", "sha256": sha256(health), "status": run.status},
        **(_described(f"{home}/run_report.json", run_report) if run_report else {}),
        "scoring_config": {"config_sha256": SCORING, "source": "archived_scoring_config"},
        "snapshot_manifest": {"applicable": True, "sha256": sha256(run.snapshot.encode())},
    }


def _described(path: str, run_report: bytes) -> Document:
    return {"run_report": {"path": path, "bytes": len(run_report), "sha256": sha256(run_report)}}


def _health(run: Run) -> Document:
    return {
        "run_health_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "status": run.status,
        "failed_stage": None if run.successful else "score",
        "failure_codes": ["AI_DISABLED"] if run.successful else ["SANDBOX_FAIL"],
        "logs": _logs(run),
        "durations": {"total_sec": run.duration_seconds},
        "phases": {
            name: {"failure_codes": [], "status": run.status} for name in ("snapshot_fetch", "score", "publish")
        },
        "proof_bundle_path": None,
        "timestamps": {"ended_at": run.ended_at, "started_at": run.started_at},
    }


def _availability(run: Run, *, reason: str) -> Document:
    known = reason == "ok"
    entry = {
        "availability": "available" if known else "unavailable",
        "enabled": True,
        "mode": "snapshot",
        "reason_code": reason,
        "unavailable_reason": None if known else "fail_closed:unknown_due_to_early_failure",
    }
    return {
        "provider_availability_schema_version": 1,
        "run_id": run.run_id,
        "candidate_id": run.candidate,
        "generated_at_utc": run.ended_at,
        "provider_registry_sha256": REGISTRY,
        "providers": [{"provider_id": provider, **entry} for provider in run.providers],
    }


def _index(run: Run, made: Sequence[Artifact]) -> Document:
    paths = {artifact.file: f"{artifact.provider}/{artifact.profile}/{artifact.file}" for artifact in made}
    return {
        "artifacts": {**paths, "run_report.json": "run_report.json"},
        "run_id": run.run_id,
        "run_report_path": "run_report.json",
        "timestamp": run.ended_at,
    }


def _logs(run: Run) -> Document:
    home = f"/app/state/runs/{run.folder}"
    return {"k8s": {}, "local": {"run_dir": home, "stdout": "process_stdout"}, "run_id": run.run_id}


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
