"""Where things lie in the bucket: the workload's contract, as functions of a prefix and a candidate. Nothing else.

<prefix>/runs/<run_id>/<provider>/<profile>/<file>      candidate ``local``
<prefix>/candidates/<candidate>/runs/<run_id>/…         other candidates
<prefix>/state/candidates/<candidate>/…                 pointers; for ``local`` also the older <prefix>/state/…
<prefix>/validations/<drfsm run>/…                      what a validation publishes, beside; <prefix>/drills/… a drill's
<prefix>/drfsm/…                                        drfsm's own objects
"""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

PROTECTED = ("state/", "latest/", "control-plane/current.json", "drfsm/")
"""Never touched by a sync, relative to the prefix and to any ``candidates/<candidate>/`` below it."""


@frozen
class Layout:
    """The keys of one prefix and candidate. ``prefix`` has no slash at either end."""

    prefix: str
    candidate: str = "local"

    @property
    def base(self) -> str:
        """The prefix of this candidate's ``runs`` and ``latest``."""
        return self.prefix if self.candidate == "local" else f"{self.prefix}/candidates/{self.candidate}"

    def run(self, run_id: str) -> str:
        """Return a run's own prefix, without a slash at the end: what pointers carry as ``run_path``."""
        return f"{self.base}/runs/{run_id}"

    def latest(self) -> str:
        """Return the prefix of the newest run's files, without a slash at the end."""
        return f"{self.base}/latest"

    def global_pointers(self) -> tuple[str, ...]:
        """Return the keys of the global pointer: the candidate's, and the older one for ``local``."""
        return tuple(f"{home}/last_success.json" for home in self._homes())

    def provider_pointers(self, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Return the keys of every provider pointer."""
        return tuple(
            f"{home}/{provider}/{profile}/last_success.json" for provider, profile in pairs for home in self._homes()
        )

    def own(self, name: str) -> str:
        """Return the key of one of drfsm's own objects."""
        return f"{self.prefix}/drfsm/{name}"

    def _homes(self) -> tuple[str, ...]:
        home = f"{self.prefix}/state/candidates/{self.candidate}"
        return (home, f"{self.prefix}/state") if self.candidate == "local" else (home,)


def pairs_of(pointer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (provider, profile) pairs that a global pointer names, in their order."""
    named = pointer.get("provider_profiles")
    if not isinstance(named, Mapping):
        return []
    return [(provider, profile) for provider, _, profile in (str(each).partition(":") for each in named) if profile]
