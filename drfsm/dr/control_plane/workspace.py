"""The workload's configuration as its own working directory holds it, put together into the sections of a bundle.

    state/candidates/registry.json                      candidates/registry.json
    state/candidates/<profile_path of each candidate>   candidates/<candidate_id>/candidate_profile.json
    config/providers.json                               providers/providers.json
    config/scoring.v1.json                              scoring/scoring.v1.json
    config/alerts.json                                  alerts/alerts.json

A ``profile_path`` is relative to ``state/candidates`` (or begins with ``candidates/``). Where the profile of the
candidate ``local`` is not there, ``data/candidate_profile.json`` is taken. Everything that is missing is told at once;
a path of the registry never leads out of ``state/candidates``, and no link is followed. Each file is read as strictly
as a site's readers read it (claims.json_of), and no candidate stands in the registry twice. Called by the CLI.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from drfsm import claims
from drfsm.errors import Unreadable, UsageFault
from drfsm.files import given_file

REGISTRY, CANDIDATES = "state/candidates/registry.json", "state/candidates"
LONGEST_PATH, LONGEST_NAME = 1000, 255  # bytes: more than any workspace has, less than a system takes
LOCAL, LOCAL_PROFILE = "local", "data/candidate_profile.json"
FILES: Mapping[str, Mapping[str, str]] = {
    "candidates": {"registry.json": REGISTRY},
    "alerts": {"alerts.json": "config/alerts.json"},
    "providers": {"providers.json": "config/providers.json"},
    "scoring": {"scoring.v1.json": "config/scoring.v1.json"},
}
"""Section -> file of the bundle -> where the workspace has it."""


def from_workspace(workspace: Path) -> dict[str, dict[str, bytes]]:
    """Return the sections of a bundle. Raises UsageFault, with everything that is missing or can't be used."""
    faults: list[str] = []
    sections: dict[str, dict[str, bytes]] = {section: {} for section in FILES}
    for section, places in FILES.items():
        for name, place in places.items():
            _take(workspace, place, sections[section], name, faults)
    if (registry := sections["candidates"].get("registry.json")) is not None:
        for candidate, place in _profiles(workspace, registry, faults):
            _take(workspace, place, sections["candidates"], f"{candidate}/candidate_profile.json", faults)
    if faults:
        raise UsageFault(
            f"{workspace} holds no whole configuration: {'; '.join(faults)}",
            hint="mend it; nothing was published. --source takes a directory with one folder for each section",
        )
    return sections


def _take(workspace: Path, place: str, section: dict[str, bytes], name: str, faults: list[str]) -> None:
    """Put a file into a section, or say why not."""
    path = workspace / place
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(workspace.resolve()):
        faults.append(f"{place} is {'no regular file of it' if path.exists() else 'missing'}")
        return
    try:
        body = given_file(path, place)
        claims.json_of(body, place)
    except (UsageFault, Unreadable) as fault:
        faults.append(fault.what)
        return
    section[name] = body


def _profiles(workspace: Path, registry: bytes, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (candidate, place of its profile) of every candidate that the registry names."""
    try:
        entries = claims.field(claims.object_of(registry, REGISTRY), "candidates", list, REGISTRY)
    except Unreadable as fault:
        faults.append(fault.what)
        return
    if not entries:
        faults.append(f"{REGISTRY} names no candidate")
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        candidate, relative = _named(entry)
        if first.setdefault(candidate, number) != number and claims.is_name("candidate", candidate):
            faults.append(f"{REGISTRY}: entries {first[candidate]} and {number} are both the candidate {candidate}")
            continue
        if not claims.is_name("candidate", candidate) or relative is None:
            faults.append(f"{REGISTRY}: entry {number} names no candidate_id and profile_path that can be used")
            continue
        place = f"{CANDIDATES}/{relative}"
        if candidate == LOCAL and not (workspace / place).exists():
            place = LOCAL_PROFILE
        yield candidate, place


def _named(entry: Any) -> tuple[str, PurePosixPath | None]:
    """Return a candidate's id and where its profile lies below ``state/candidates``, None for what leads elsewhere."""
    fields = entry if isinstance(entry, dict) else {}
    text = str(fields.get("profile_path") or "").strip()
    relative = PurePosixPath(text)
    if relative.parts[:1] == ("candidates",):
        relative = PurePosixPath(*relative.parts[1:])
    inside = bool(relative.parts) and not relative.is_absolute() and ".." not in relative.parts
    usable = text.isprintable() and len(text.encode(errors="replace")) <= LONGEST_PATH
    named = usable and all(len(part.encode(errors="replace")) <= LONGEST_NAME for part in relative.parts)
    return str(fields.get("candidate_id") or "").strip(), relative if inside and named else None
