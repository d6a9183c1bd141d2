"""The workload's side of its contract: which variables it obeys, where it writes, what it prints.

The program has the real workload's by itself, and takes another from a file (``--contract FILE``): the JSON that drfsm
records of a contract (docs/workload.md), of which it reads what concerns it. It trusts that file; the sandbox that
starts the program has read it strictly before. Pure, but for reading that one file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

JOBINTEL: Mapping[str, Any] = {
    "switches": {
        "on": {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"},
        "off": {"PUBLISH_S3": "0", "PUBLISH_S3_DRY_RUN": "1"},
    },
    "variables": {
        "bucket": "JOBINTEL_S3_BUCKET",
        "prefix": "JOBINTEL_S3_PREFIX",
        "run_id": "JOBINTEL_RUN_ID",
        "validation": {"PUBLISH_S3_REQUIRE": "1"},
    },
    "defaults": {"prefix": "jobintel", "candidate": "local", "provider": "openai", "profile": "cs"},
    "keys": {
        "runs": "runs/{run_id}",
        "latest": "latest",
        "candidates": "candidates/{candidate}",
        "pair": "{provider}/{profile}",
    },
    "files": {
        "required": [
            "{provider}_ranked_jobs.{profile}.json",
            "{provider}_ranked_jobs.{profile}.csv",
            "{provider}_ranked_families.{profile}.json",
            "{provider}_shortlist.{profile}.md",
            "{provider}_top.{profile}.md",
        ],
        "latest": [
            "{provider}_ranked_jobs.{profile}.json",
            "{provider}_ranked_jobs.{profile}.csv",
            "{provider}_ranked_families.{profile}.json",
            "{provider}_shortlist.{profile}.md",
            "{provider}_top.{profile}.md",
        ],
    },
    "pointers": {
        "name": "last_success.json",
        "home": "state/candidates/{candidate}",
        "older": "state",
        "fields": {
            "run_id": "run_id",
            "run_path": "run_path",
            "ended_at": "ended_at",
            "provider_profiles": "provider_profiles",
        },
    },
    "report": {
        "key": "run_report.json",
        "artifacts": "verifiable_artifacts",
        "path": "{provider}/{profile}/{basename}",
    },
    "run_ids": {"form": "time", "prefix": "", "marker": "JOBINTEL_RUN_ID="},
    "unchanged": "No changes detected",
}
_TRUE = ("1", "true", "yes", "on")


class Contract(NamedTuple):
    """What the program reads of a contract."""

    switches: Mapping[str, Mapping[str, str]]
    variables: Mapping[str, Any]
    defaults: Mapping[str, str]
    keys: Mapping[str, str]
    files: tuple[str, ...]  # templates of what a run has for each pair
    latest: frozenset[str]
    pointers: Mapping[str, Any]
    report: Mapping[str, Any]
    run_ids: Mapping[str, str]
    unchanged: str  # how the line begins that says so

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Contract":
        """Return the contract that a JSON object says."""
        files = body["files"]
        return cls(
            switches=body["switches"],
            variables=body["variables"],
            defaults=body["defaults"],
            keys=body["keys"],
            files=tuple(files.get("required") or files["optional"]),
            latest=frozenset(files["latest"]),
            pointers=body["pointers"],
            report=body.get("report") or JOBINTEL["report"],
            run_ids=body["run_ids"],
            unchanged=body.get("unchanged") or JOBINTEL["unchanged"],
        )

    @classmethod
    def read(cls, argv: Sequence[str]) -> "Contract":
        """Return the contract of ``--contract FILE`` among the arguments, else the real workload's."""
        if "--contract" not in argv:
            return cls.of(JOBINTEL)
        return cls.of(json.loads(Path(argv[argv.index("--contract") + 1]).read_bytes()))

    def publishes(self, variables: Mapping[str, str]) -> bool:
        """Return whether the switches that are yes when publishing is on say yes."""
        enabling = [name for name, value in self.switches["on"].items() if is_true(value)]
        return bool(enabling) and all(is_true(variables.get(name, "")) for name in enabling)

    def only_says(self, variables: Mapping[str, str]) -> bool:
        """Return whether a switch that is yes when publishing is off, such as a dry run, says yes."""
        on, off = self.switches["on"], self.switches["off"]
        braking = [name for name in on if not is_true(on[name]) and is_true(off[name])]
        return any(is_true(variables.get(name, "")) for name in braking)

    def requires(self, variables: Mapping[str, str]) -> bool:
        """Return whether a run that can't publish counts as failed."""
        return any(is_true(variables.get(name, "")) for name in self.variables.get("validation") or ())

    def pair_home(self, provider: str, profile: str) -> str:
        """Return the folder of a pair below a run and below latest."""
        return filled(self.keys["pair"], provider=provider, profile=profile)


def is_true(text: str) -> bool:
    """Return whether a variable says yes."""
    return text.strip().lower() in _TRUE


def filled(template: str, **values: str) -> str:
    """Return a template with its placeholders filled in."""
    return re.sub(r"\{([a-z_]+)\}", lambda match: values[match[1]], template)
