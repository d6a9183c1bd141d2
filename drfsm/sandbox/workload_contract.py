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
        "required": False,
        "artifacts": "verifiable_artifacts",
        "path": "{provider}/{profile}/{basename}",
        "run_id": "run_id",
        "ended_at": "timestamps.ended_at",
        "succeeded": {"status": "success", "success": "true"},
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
        required, latest = files.get("required") or (), files["latest"]
        return cls(
            switches=body["switches"],
            variables=body["variables"],
            defaults=body["defaults"],
            keys=body["keys"],
            files=tuple(dict.fromkeys((*required, *latest))),
            latest=frozenset(latest),
            pointers=body["pointers"],
            report=JOBINTEL["report"] | body.get("report", {}),
            run_ids=body["run_ids"],
            unchanged=body.get("unchanged") or JOBINTEL["unchanged"],
        )

    @classmethod
    def read(cls, argv: Sequence[str]) -> "Contract":
        """Return the contract of ``--contract FILE`` among the arguments, else the real workload's."""
        if "--contract" not in argv:
            return cls.of(JOBINTEL)
        return cls.of(json.loads(Path(argv[argv.index("--contract") + 1]).read_bytes()))

    def off_by(self, variables: Mapping[str, str]) -> str:
        """Return the first switch, brakes apart, that is not at its value for on; "" where publishing is on."""
        on, off = self.switches["on"], self.switches["off"]
        switches = (name for name in on if not is_brake(on[name], off[name]))
        return next((name for name in switches if not says(variables.get(name, ""), on[name], off[name])), "")

    def braked_by(self, variables: Mapping[str, str]) -> str:
        """Return the first brake, such as a dry run, that says yes; "" where there is none."""
        on, off = self.switches["on"], self.switches["off"]
        brakes = (name for name in on if is_brake(on[name], off[name]))
        return next((name for name in brakes if is_true(variables.get(name, ""))), "")

    def requires(self, variables: Mapping[str, str]) -> bool:
        """Return whether a run that can't publish counts as failed: a variable of a validation has its value."""
        wanted = self.variables.get("validation") or {}
        return any(says(variables.get(name, ""), value, "") for name, value in wanted.items())

    def pair_home(self, provider: str, profile: str) -> str:
        """Return the folder of a pair below a run and below latest."""
        return filled(self.keys["pair"], provider=provider, profile=profile)


def is_brake(on: str, off: str) -> bool:
    """Return whether a switch is yes where publishing is off, and no where it is on: a dry run."""
    return is_true(off) and not is_true(on)


def says(text: str, on: str, off: str) -> bool:
    """Return whether a variable has its value for on: yes or no in any spelling, any other value as it stands."""
    return is_true(text) if is_true(on) and not is_true(off) else text.strip() == on.strip()


def is_true(text: str) -> bool:
    """Return whether a variable says yes."""
    return text.strip().lower() in _TRUE


def filled(template: str, **values: str) -> str:
    """Return a template with its placeholders filled in."""
    return re.sub(r"\{([a-z_]+)\}", lambda match: values[match[1]], template)
