"""Where things lie in the bucket: the workload's contract, as functions of a prefix and a candidate. Nothing else.

Folders and names of the workload's are the contract's (workload/model.py); below the prefix drfsm itself has

<prefix>/validations/<drfsm run>/…    what a validation publishes, beside; <prefix>/drills/… a drill's
<prefix>/drfsm/…                      its own objects
"""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from drfsm.dr.workload import Workload, fixed_part, shipped

OWN = ("control-plane/current.json", "drfsm/")
BESIDE = ("validations", "drills")


@frozen
class Layout:
    """The keys of one prefix and candidate. ``prefix`` has no slash at either end; candidate "": the default one."""

    prefix: str
    candidate: str = ""
    workload: Workload = field(factory=shipped)

    def __attrs_post_init__(self) -> None:
        """Put in the default candidate."""
        object.__setattr__(self, "candidate", self.candidate or self.workload.defaults.candidate)

    @property
    def is_default_candidate(self) -> bool:
        """Return whether the runs lie right below the prefix, and older pointers count."""
        return self.candidate == self.workload.defaults.candidate

    @property
    def base(self) -> str:
        """The prefix of this candidate's ``runs`` and ``latest``."""
        if self.is_default_candidate:
            return self.prefix
        return f"{self.prefix}/{self.workload.keys.candidates.replace('{candidate}', self.candidate)}"

    def run(self, run_id: str) -> str:
        """Return a run's own prefix, without a slash at the end: what pointers carry as ``run_path``."""
        return f"{self.base}/{self.workload.keys.runs.replace('{run_id}', run_id)}"

    def runs(self) -> str:
        """Return the prefix below which all runs lie, with a slash at its end."""
        return f"{self.base}/{fixed_part(self.workload.keys.runs)}/"

    def latest(self) -> str:
        """Return the prefix of the newest run's files, without a slash at the end."""
        return f"{self.base}/{self.workload.keys.latest}"

    def global_pointers(self) -> tuple[str, ...]:
        """Return the keys of the global pointer: the candidate's, and the older one for the default candidate."""
        return tuple(f"{home}/{self.workload.pointers.name}" for home in self._homes())

    def provider_pointers(self, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Return the keys of every provider pointer."""
        name = self.workload.pointers.name
        return tuple(f"{home}/{provider}/{profile}/{name}" for provider, profile in pairs for home in self._homes())

    def older_pointers(self, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Return the older keys of the set, which an older version of the workload wrote alone; () where none count."""
        if not self.has_older:
            return ()
        home, name = self._homes()[1], self.workload.pointers.name
        return (f"{home}/{name}", *(f"{home}/{provider}/{profile}/{name}" for provider, profile in pairs))

    @property
    def has_older(self) -> bool:
        """Return whether the older pointers belong to the set."""
        return bool(self.workload.pointers.older) and self.is_default_candidate

    def own(self, name: str) -> str:
        """Return the key of one of drfsm's own objects."""
        return f"{self.prefix}/drfsm/{name}"

    def _homes(self) -> tuple[str, ...]:
        home = f"{self.prefix}/{self.workload.pointers.home.replace('{candidate}', self.candidate)}"
        return (home, f"{self.prefix}/{self.workload.pointers.older}") if self.has_older else (home,)


def protected(workload: Workload) -> tuple[str, ...]:
    """Return what a sync never touches, relative to the prefix and to any candidate's base below it."""
    return (*(f"{folder}/" for folder in read_by_consumers(workload)), *OWN)


def read_by_consumers(workload: Workload) -> tuple[str, ...]:
    """Return the folders of pointers and latest, outermost ones only, relative to a prefix or a candidate's base."""
    templates = (workload.pointers.home, workload.pointers.older, workload.keys.latest)
    folders = list(dict.fromkeys(fixed_part(template) for template in templates if template))
    return tuple(folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders))


def nested(workload: Workload) -> tuple[str, ...]:
    """Return the folders in each of whose folders the whole layout stands once more: candidates, and what is beside."""
    return (fixed_part(workload.keys.candidates), *BESIDE)


def pairs_of(pointer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (provider, profile) pairs that a global pointer names, in their order."""
    named = pointer.get("provider_profiles")
    if not isinstance(named, Mapping):
        return []
    return [(provider, profile) for provider, _, profile in (str(pair).partition(":") for pair in named) if profile]
