"""What a workload's contract says, as frozen values, and what follows from them. Pure.

Holds no default that names a workload: declare.py fills in what a contract leaves out from the workload's own name,
and refuses a value that would lead out of the prefix. Templates carry placeholders in braces (``{provider}``); what is
put in for them was held against claims.GRAMMAR before. Used by layout.py for keys, and by whoever steers the workload.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from drfsm import claims
from drfsm.dr.workload.serving import Endpoint, Writes
from drfsm.dr.workload.switches import Switches

Pair = tuple[str, str]
"""(provider, profile)"""
SECTION = "{section}"
PRIMARY_FIELDS = ("run_id", "run_path", "ended_at", "provider_profiles")
"""The fields of a pointer that drfsm reads and writes, by the names that drfsm has for them."""
TIME, NAME = "time", "name"
RANKED, VALUES = "ranked", "values"


@frozen
class Variables:
    """The variables that steer one Job: where it publishes, and as which run."""

    bucket: str
    prefix: str
    run_id: str
    validation: Mapping[str, str] = field(factory=dict)  # set for a validation as well
    reserved: tuple[str, ...] = ()  # beginnings of names that --validation-env may not set

    @property
    def place(self) -> tuple[str, str]:
        """Return the variables that say where a Job publishes."""
        return self.bucket, self.prefix


@frozen
class Defaults:
    """What is meant where the command line names nothing."""

    prefix: str
    candidate: str
    provider: str
    profile: str


@frozen
class Keys:
    """Where a run's objects lie: templates below the prefix, or below ``candidates`` for other candidates."""

    runs: str  # {run_id}
    latest: str
    candidates: str  # {candidate}
    pair: str  # {provider}, {profile}; below a run and below latest

    def pair_of(self, path: str) -> Pair | None:
        """Return the pair whose folder a path lies in, relative to a run or to latest; None for none."""
        parts = re.split(r"\{(provider|profile)\}", self.pair)
        names = ("provider", "profile")
        pattern = "".join(f"(?P<{part}>[^/]+?)" if part in names else re.escape(part) for part in parts)
        match = re.match(f"{pattern}/", path)
        if match is None or not all(claims.is_name(kind, match[kind]) for kind in names):
            return None
        return match["provider"], match["profile"]


@frozen
class Files:
    """A run's files in the folder of each pair, by templates with {provider} and {profile}."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    latest: tuple[str, ...]  # of these, what ``latest`` holds
    marker: str  # the one of ``latest`` by which readers know that it is whole

    @property
    def known(self) -> tuple[str, ...]:
        """Return every template, the required ones first."""
        return (*self.required, *self.optional)


@frozen
class Pointers:
    """The pointers: ``<home>/<name>``, and ``<home>/<provider>/<profile>/<name>`` of each pair."""

    name: str
    home: str  # {candidate}
    older: str  # "": none. Read and written as well, for the default candidate
    fields: Mapping[str, str]  # PRIMARY_FIELDS -> the workload's names of them

    def inward(self, pointer: Mapping[str, Any]) -> dict[str, Any]:
        """Return a pointer's fields under drfsm's names. Raises ValueError where one would stand twice."""
        names = {theirs: ours for ours, theirs in self.fields.items()}
        renamed = {names.get(name, name): value for name, value in pointer.items()}
        if len(renamed) != len(pointer):
            raise ValueError("it has fields under the workload's names and under drfsm's")
        return renamed

    def outward(self, pointer: Mapping[str, Any]) -> dict[str, Any]:
        """Return a pointer's fields under the workload's names."""
        return {self.fields.get(name, name): value for name, value in pointer.items()}


@frozen
class Report:
    """A run's own statement of what it made. ``path``: how an entry's path becomes one that is relative to the run."""

    key: str  # relative to the run
    required: bool
    artifacts: str
    path: str  # {provider}, {profile} (of the entry's name), {basename}, {path}
    run_id: str
    ended_at: str
    succeeded: Mapping[str, str]  # dotted field -> what a successful run says; a field that isn't there says nothing

    def place_of(self, name: str, path: str) -> str | None:
        """Return where an entry lies, relative to the run; None where its name tells no provider and profile."""
        provider, _, rest = name.partition(":")
        profile, _, logical = rest.partition(":")
        named = bool(logical) and claims.is_name("provider", provider) and claims.is_name("profile", profile)
        if not named and ("{provider}" in self.path or "{profile}" in self.path):
            return None
        return _filled(
            self.path, provider=provider, profile=profile, basename=path.rsplit("/", maxsplit=1)[-1], path=path
        )


@frozen
class RunIds:
    """How the workload names its runs."""

    form: str  # time: ISO 8601 with an offset; name: letters, digits, ':', '+', '.', '_' and '-'
    prefix: str  # before it
    marker: str  # what the log has before the run's id, at the beginning of a line; "": the log doesn't say it

    def is_id(self, text: object) -> bool:
        """Return whether the workload would name a run so."""
        if not claims.is_name("workload run", text) or not str(text).startswith(self.prefix):
            return False
        rest = str(text).removeprefix(self.prefix)
        return bool(rest) and (self.form == NAME or claims.moment(rest) is not None)

    @property
    def grammar(self) -> str:
        """Say how the workload names its runs."""
        form = (
            "a time with an offset, e.g. 2026-11-28T08:02:45Z"
            if self.form == TIME
            else "letters, digits, ':', '+', '.', '_' and '-'"
        )
        return f"{self.prefix!r} and then {form}" if self.prefix else form

    def new(self, now: datetime) -> str:
        """Return the id of a run that begins now."""
        now = now.astimezone(UTC)
        if self.form == TIME:
            return self.prefix + now.isoformat(timespec="microseconds")
        return f"{self.prefix}{now:%Y%m%dT%H%M%S%fZ}"

    def logged(self, lines: Iterator[str]) -> str | None:
        """Return the run's id that a log says; None where it says none."""
        said = (line.removeprefix(self.marker).strip() for line in lines if line.startswith(self.marker))
        return next((run_id for run_id in said if self.is_id(run_id)), None) if self.marker else None


@frozen
class Kubernetes:
    """Names of the workload's objects on a site."""

    namespace: str
    cronjob: str
    configmap: str
    deployment: str
    secret: str
    service_account: str
    control_plane: str  # ConfigMap of a section of the control plane; {section}
    labels: Mapping[str, str]

    def control_plane_of(self, section: str) -> str:
        """Return the name of a section's ConfigMap."""
        return self.control_plane.replace(SECTION, section)


@frozen
class Runners:
    """DR's machines: how they are tagged, and what a new one is started from."""

    name: str
    tags: Mapping[str, str]  # by these they are found
    template: str
    kubeconfig_parameter: str  # {instance}


@frozen
class Workload:
    """The whole contract of one workload."""

    name: str
    because: str
    switches: Switches
    variables: Variables
    defaults: Defaults
    keys: Keys
    files: Files
    comparison: str  # ranked: by the profile that is shipped; values: every known file by its values or bytes
    pointers: Pointers
    report: Report | None
    run_ids: RunIds
    kubernetes: Kubernetes
    runners: Runners
    unchanged: str = ""  # what a line of the log holds that says that there was nothing new; "": no line does
    endpoints: Mapping[str, Endpoint] = field(factory=dict)  # by their names; none: batch mode
    writes: Writes | None = None  # where an endpoint takes writes

    def says_unchanged(self, lines: Iterable[str]) -> bool:
        """Return whether a log says that the run found nothing new, so that it published nothing."""
        return bool(self.unchanged) and any(self.unchanged in line for line in lines)

    def pair_home(self, pair: Pair) -> str:
        """Return the folder of a pair below a run and below latest."""
        return _filled(self.keys.pair, provider=pair[0], profile=pair[1])

    def place(self, template: str, pair: Pair) -> str:
        """Return where a file of a pair lies, relative to a run and to latest."""
        return f"{self.pair_home(pair)}/{_filled(template, provider=pair[0], profile=pair[1])}"

    def required(self, pair: Pair) -> tuple[str, ...]:
        """Return the places of a pair's required files."""
        return tuple(self.place(template, pair) for template in self.files.required)

    def known(self, pair: Pair) -> tuple[str, ...]:
        """Return the places of all of a pair's files, required and optional."""
        return tuple(self.place(template, pair) for template in self.files.known)

    def latest(self, pair: Pair) -> tuple[str, ...]:
        """Return the places of what latest holds of a pair."""
        return tuple(self.place(template, pair) for template in self.files.latest)

    def marker(self, pair: Pair) -> str:
        """Return the place of the file by which readers know that latest is whole for a pair."""
        return self.place(self.files.marker, pair)

    def pairs_in(self, paths: Iterator[str]) -> tuple[Pair, ...]:
        """Return the pairs whose known files are among these paths, relative to a run or to latest."""
        named = ((path, self.keys.pair_of(path)) for path in paths)
        return tuple(dict.fromkeys(pair for path, pair in named if pair and path in self.known(pair)))

    def reserves(self, variable: str) -> bool:
        """Return whether a variable is the workload's own switch or place, which nobody else may set."""
        own = (*self.switches.names, *self.variables.place, self.variables.run_id, *self.variables.validation)
        return variable in own or variable.startswith(self.variables.reserved)


def _filled(template: str, **values: str) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda match: values[match[1]], template)
