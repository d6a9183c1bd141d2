"""Who acts on a run, from where, and how that person is told and asked. Made by a command, used by wiring.py."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from drfsm.journal import Record, RunState
from drfsm.runs.trust import Assurances


class Listener(Protocol):
    """Hears of a run while it works."""

    def say(self, words: str, **fields: Any) -> None:
        """Hear what an action tells."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Hear of a record that is durable."""


class Deaf:
    """A listener for a run that nobody watches."""

    def say(self, words: str, **fields: Any) -> None:
        """Pass over what an action tells."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Pass over a record."""


@frozen
class Invocation:
    """Who acts, and what the command line says beside the run's inputs."""

    operator: str = ""
    take_over: str = ""  # the run whose lease is taken, because its process is known to be dead
    kubeconfigs: Mapping[str, str] = field(factory=dict)  # site -> file, where it lies elsewhere than when started
    places: Mapping[str, str] = field(factory=dict)  # endpoint_url, region, terraform_dir: likewise
    assurances: Assurances = field(factory=Assurances)  # what the operator answers for, and how to ask for more
    listen: Callable[[], Listener] = Deaf  # makes a listener for one run's work

    @property
    def given(self) -> dict[str, str]:
        """Where the sites lie, as said on the command line: input -> value."""
        files = {f"kubeconfig_{site}": str(Path(file).absolute()) for site, file in self.kubeconfigs.items() if file}
        return {**files, **{name: value for name, value in self.places.items() if value}}
