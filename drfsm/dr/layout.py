"""Where things lie in the bucket: the workload's contract as functions of the run's inputs. Nothing else.

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


def layout_of(inputs: Mapping[str, Any]) -> Layout:
    """Return the canonical layout of a run's inputs."""
    return Layout(str(inputs["prefix"]).strip("/"), str(inputs.get("candidate") or "local"))


def staged(inputs: Mapping[str, Any], run_id: str) -> Layout:
    """Return the layout beside the canonical one into which the validation of drfsm run ``run_id`` publishes.

    The input ``staged_prefix`` names it where it is another run's validation, or a drill's own place.
    """
    canonical = layout_of(inputs)
    given = str(inputs.get("staged_prefix") or "").strip("/")
    return Layout(given or f"{canonical.prefix}/validations/{run_id}", canonical.candidate)


def taker(inputs: Mapping[str, Any]) -> str:
    """Return the site that takes over: whose validated run becomes canonical. A failback's is the primary."""
    return str(inputs.get("taker") or "primary")


def giver(inputs: Mapping[str, Any]) -> str:
    """Return the other site: whose run is canonical when the procedure begins."""
    return "primary" if taker(inputs) == "dr" else "dr"


def run_of(inputs: Mapping[str, Any], site: str) -> str:
    """Return the id of a site's run: the taker's is the validated one, the giver's the one that is canonical."""
    return str(inputs[f"{site}_run_id"])


def new_run(inputs: Mapping[str, Any]) -> str:
    """Return the id of the run that is to become canonical."""
    return run_of(inputs, taker(inputs))


def old_run(inputs: Mapping[str, Any]) -> str:
    """Return the id of the run that is canonical when the procedure begins."""
    return run_of(inputs, giver(inputs))


def pairs_of(pointer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (provider, profile) pairs that a global pointer names, in their order."""
    named = pointer.get("provider_profiles")
    if not isinstance(named, Mapping):
        return []
    return [(provider, profile) for provider, _, profile in (str(each).partition(":") for each in named) if profile]
