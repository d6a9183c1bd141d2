"""What a run of the sandbox's workload finds and ranks: the files of each pair, made from the run's input alone.

Pure: no clock, no network, no disk. They have the shape of the real workload's (fields of the records, columns of the
table, headings of the pages), with content of their own. They depend on snapshot, provider, profile and ``diverge``
only, so the same input gives the same bytes. Which files there are, the contract says by templates; a file's kind
follows from its name:

    *families*.json    the records grouped by their title          *shortlist*.md   the best of them
    *.json             the records, best first                     *.md             all of them, as a page
    *.csv              the same as a table                         anything else    their ids, one a line
"""

import csv
import hashlib
import io
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from drfsm.sandbox.workload_contract import Contract, filled

Job = dict[str, Any]

ROLES = ("Platform Engineer", "Data Engineer", "Security Engineer", "Solutions Architect", "Research Scientist")
TEAMS = ("Storage", "Billing", "Search", "Identity", "Delivery", "Insights")
PLACES = ("Berlin", "Dublin", "London", "New York", "Remote - EU", "Singapore")
BANDS = ("CORE", "ADJACENT", "SOLUTIONS", "OTHER")
RULES = (("boost_relevant", 10), ("boost_maybe", 5), ("deployment", 3), ("penalty_irrelevant", -5))
RECORDS = 24
DIVERGING = 8  # every eighth record changes when the input diverges
MIN_SCORE, TOP = 40, 25
COLUMNS = (
    "job_id", "score", "heuristic_score", "final_score", "explanation_summary", "base_score", "profile_delta",
    "role_band", "title", "department", "team", "location", "enrich_status", "enrich_reason", "jd_text_chars",
    "fit_signals", "risk_signals", "apply_url", "why_top3",
)  # fmt: skip
VARIANT = ("apply_url", "job_id", "location", "role_band", "score", "title")


class Input(NamedTuple):
    """What a run works on."""

    snapshot: str
    diverge: str
    extra_objects: int = 0


class Artifact(NamedTuple):
    """One file of a pair."""

    provider: str
    profile: str
    name: str  # the last part of its entry in the report: <provider>:<profile>:<name>
    file: str  # its path in the pair's folder
    body: bytes
    latest: bool  # whether ``latest`` gets it too

    @property
    def logical_key(self) -> str:
        """Its name in the report."""
        return f"{self.provider}:{self.profile}:{self.name}"

    def described(self) -> dict[str, Any]:
        """Return its size and digest."""
        return {"bytes": len(self.body), "sha256": sha256(self.body)}


def artifacts(contract: Contract, given: Input, pairs: Sequence[tuple[str, str]]) -> list[Artifact]:
    """Return every file of a run, in the order in which they are published."""
    made = [_made(contract, given, template, *pair) for pair in pairs for template in contract.files]
    return made + [_extra(given, *pairs[0], number) for number in range(given.extra_objects)]


def records(given: Input, provider: str, profile: str) -> list[Job]:
    """Return the jobs of a provider as the profile ranks them: highest score first."""
    found = [_record(given, provider, profile, number) for number in range(RECORDS)]
    return sorted(found, key=lambda job: (-job["score"], job["job_id"]))


def encoded(value: Any) -> bytes:
    """Return JSON as the workload writes it for S3: compact, keys sorted, one newline at the end."""
    return (json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n").encode()


def sha256(body: bytes) -> str:
    """Return a digest as hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


def _made(contract: Contract, given: Input, template: str, provider: str, profile: str) -> Artifact:
    file = filled(template, provider=provider, profile=profile)
    body = _maker(file)(provider, records(given, provider, profile))
    return Artifact(provider, profile, _name(template), file, body, template in contract.latest)


def _extra(given: Input, provider: str, profile: str, number: int) -> Artifact:
    body = encoded({"number": number, "snapshot": given.snapshot})
    return Artifact(provider, profile, f"extra_{number:05}", f"artifacts/extra/{number:05}.json", body, latest=False)


def _name(template: str) -> str:
    """Return what the report calls a file: ``{provider}_ranked_jobs.{profile}.json`` is ranked_json."""
    words = filled(template, provider="", profile="").replace("ranked_jobs", "ranked")
    return "_".join(filter(None, "".join(c if c.isalnum() else " " for c in words).split()))


def _maker(file: str) -> Callable[[str, Sequence[Job]], bytes]:
    name, suffix = PurePosixPath(file).name, PurePosixPath(file).suffix
    if suffix == ".json":
        return _families if "families" in name else lambda _provider, jobs: encoded(list(jobs))
    if suffix == ".md":
        return _shortlist if "shortlist" in name else _top
    return _csv if suffix == ".csv" else _ids


def _record(given: Input, provider: str, profile: str, number: int) -> Job:
    seed = hashlib.sha256(f"{given.snapshot}/{provider}/{number}".encode()).digest()
    fit = hashlib.sha256(seed + profile.encode()).digest()
    title = f"{ROLES[seed[0] % len(ROLES)]}, {TEAMS[seed[1] % len(TEAMS)]} {seed[2] % 9 + 1}"
    hits: list[Job] = [{"count": 1, "delta": delta, "rule": rule} for rule, delta in RULES if fit[2] & abs(delta)]
    base = sum(hit["delta"] for hit in hits)
    delta = fit[1] * 60 // 255 + 10
    if given.diverge and number % DIVERGING == 0:
        title = f"{title} [{given.diverge}]"
        delta -= 1 + hashlib.sha256(given.diverge.encode()).digest()[0] % 5
    score = max(0, base + delta)
    job_id = str(uuid.UUID(bytes=seed[4:20], version=4))
    place = PLACES[seed[3] % len(PLACES)]
    return {
        "apply_url": f"https://jobs.example/{provider}/{job_id}/application",
        "base_score": base,
        "content_fingerprint": sha256(seed + title.encode()),
        "detail_url": None,
        "enrichment": {
            "inferred_domain_tags": [],
            "inferred_level": None,
            "inferred_remote": "remote" if place.startswith("Remote") else "unknown",
            "inferred_seniority": "IC",
            "normalized_location": place.lower(),
        },
        "explanation": _explanation(score, hits),
        "final_score": score,
        "fit_signals": ["fit:deployment"] if fit[2] & 3 else [],
        "heuristic_score": score,
        "jd_text_chars": 0,
        "job_id": job_id,
        "location": place,
        "profile_delta": delta,
        "relevance": "RELEVANT" if base > 0 else "IRRELEVANT",
        "risk_signals": [],
        "role_band": BANDS[fit[3] % len(BANDS)],
        "score": score,
        "score_hits": hits,
        "source_job_id": job_id,
        "team": None,
        "title": title,
        "title_family": title.lower(),
        "title_only_mode": True,
    }


def _explanation(score: int, hits: Sequence[Mapping[str, Any]]) -> Job:
    reasons = [f"{hit['rule']}({hit['delta']})" for hit in hits][:3]
    summary = (
        f"Final score {score} (Heuristic score {score}; AI match score 0 not applied (weight 0.0)); "
        f"Top reasons: {', '.join(reasons) or '—'}; Missing required skills: —"
    )
    return {
        "ai_blend_config": {"max_ai_contribution": None, "min_heuristic_floor": None, "weight_used": 0.0},
        "blend_weight_used": 0.0,
        "explanation_summary": summary,
        "final_score": score,
        "heuristic_reasons_top3": reasons,
        "heuristic_score": score,
        "match_rationale": "required_overlap=0/0, preferred_overlap=0/0",
        "match_score": 0,
        "missing_required_skills": [],
    }


def _csv(_provider: str, jobs: Sequence[Job]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_row(job) for job in jobs)
    return text.getvalue().encode()


def _row(job: Job) -> Job:
    explanation = job["explanation"]
    return {
        **job,
        "explanation_summary": explanation["explanation_summary"],
        "fit_signals": "|".join(job["fit_signals"]),
        "risk_signals": "|".join(job["risk_signals"]),
        "why_top3": ", ".join(explanation["heuristic_reasons_top3"]),
    }


def _families(_provider: str, jobs: Sequence[Job]) -> bytes:
    families: dict[str, list[Job]] = {}
    for job in jobs:
        families.setdefault(job["title_family"], []).append(job)
    return encoded([
        {**members[0], "family_variants": [{name: member[name] for name in VARIANT} for member in members]}
        for _, members in sorted(families.items())
    ])  # fmt: skip


def _shortlist(provider: str, jobs: Sequence[Job]) -> bytes:
    chosen = [job for job in jobs if job["score"] >= MIN_SCORE]
    title, least = f"# {_title(provider)} Shortlist", f"Min score: **{MIN_SCORE}**"
    return _page(title, least, *_entries(chosen), "## Changes since last run\nNo previous run to diff against.")


def _top(provider: str, jobs: Sequence[Job]) -> bytes:
    scores = sorted(job["score"] for job in jobs)
    above = ", ".join(f">={limit}: {sum(score >= limit for score in scores)}" for limit in (90, 80, 70, 60))
    middle, high = scores[len(scores) // 2], scores[len(scores) * 9 // 10]
    spread = f"min={scores[0]}, p50={middle}, p90={high}, max={scores[-1]}"
    return _page(
        f"# {_title(provider)} Top Jobs", f"Top N: **{TOP}**", f"Score distribution: {spread} ({above})",
        *_entries(jobs[:TOP]),
    )  # fmt: skip


def _entries(jobs: Sequence[Job]) -> Iterator[str]:
    for job in jobs:
        heading = f"## {job['title']} — {job['score']} [{job['role_band']}]"
        yield f"{heading}\n[Apply link]({job['apply_url']})\n(job_id: {job['job_id']})"


def _ids(_provider: str, jobs: Sequence[Job]) -> bytes:
    return "".join(f"{job['job_id']}\n" for job in jobs).encode()


def _page(*parts: str) -> bytes:
    return ("\n\n".join(parts) + "\n").encode()


def _title(provider: str) -> str:
    return "OpenAI" if provider == "openai" else provider.title()


def distinct(words: Iterable[str]) -> list[str]:
    """Return the words in order, each once."""
    return list(dict.fromkeys(words))
