"""What the command line says beside a run's inputs: the operator, the lease, paths on this machine, assurances.

Made by a command, used by wiring.py and run_context.py.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from drfsm.journal import Record, RunState
from drfsm.runs.notices import Notify
from drfsm.runs.trust import Assurances


class Listener(Protocol):
    """Follows a run while it works."""

    def say(self, words: str, **fields: Any) -> None:
        """Receive a note of an action."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Receive a record that is durable."""


class Silent:
    """The listener of a run that nobody follows."""

    def say(self, words: str, **fields: Any) -> None:
        """Ignore a note."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Ignore a record."""


@frozen
class Invocation:
    """The operator, and what the command line says beside the run's inputs."""

    operator: str = ""
    take_over: str = ""  # the run whose lease is taken, because its process is known to be dead
    kubeconfigs: Mapping[str, str] = field(factory=dict)  # site -> file, where it lies elsewhere than when started
    places: Mapping[str, str] = field(factory=dict)  # endpoint_url, region, terraform_dir: likewise
    assurances: Assurances = field(factory=Assurances)  # what the operator answers for, and how to ask for more
    notify: Notify = field(factory=Notify)  # whom, and of what
    mirror_alone: bool = False  # the mirror is the only journal: every record must be there before anything follows
    leaves: bool = False  # whether this process leaves a run that has not ended to any other, once its work is done
    may_take_over: Callable[[Mapping[str, Any], RunState], bool] = lambda _lease, _run: False  # by what the lease says
    as_holder: str = ""  # what the lease says of who holds it; "": the bundle's directory
    listen: Callable[[Path], Listener] = lambda _place: Silent()  # makes a listener for one run's work, by its bundle

    @property
    def named_places(self) -> dict[str, str]:
        """The paths and addresses of the sites that the command line names: input -> value."""
        files = {f"kubeconfig_{site}": str(Path(file).absolute()) for site, file in self.kubeconfigs.items() if file}
        return {**files, **{name: value for name, value in self.places.items() if value}}
