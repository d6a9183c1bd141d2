"""Reads a fact of a case as the engine reads it, and notes which inputs and which ports it asks."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from attrs import define, evolve, field

from drfsm.dr.procedures.bindings import MACHINES, binding
from drfsm.engine import MemoryJournal, SystemClock
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer
from drfsm.errors import Unreachable
from drfsm.journal.record_types import Reading
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.spec.model import FactSpec, MachineSpec
from drfsm.world import World
from tests.agree.cases import Case, Table
from tests.agree.of_drill import OF_DRILL
from tests.agree.of_endpoints import OF_ENDPOINTS
from tests.agree.of_inputs import OF_INPUTS
from tests.agree.of_receipt import OF_RECEIPT
from tests.agree.of_sites import OF_SITES
from tests.agree.of_store import OF_STORE
from tests.agree.world import Place, place_for

TABLES: Table = {**OF_INPUTS, **OF_SITES, **OF_STORE, **OF_DRILL, **OF_RECEIPT, **OF_ENDPOINTS}
PORTS = (
    "store", "primary", "dr", "identity", "infrastructure", "policy", "alarms", "provisioner", "procedures", "registry",
    "pull_tokens", "zones", "names", "https",
)  # fmt: skip
WITHOUT_A_CALL = ("name", "bucket", "kind", "now")  # a port answers these by itself


@cache
def spec_of(machine: str) -> MachineSpec:
    """Return a machine's declaration."""
    return load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=f"{machine}.yaml")


def declared() -> Iterator[tuple[str, FactSpec]]:
    """Yield every machine with each of its facts that code observes."""
    for machine in MACHINES:
        for fact in spec_of(machine).facts.values():
            if not fact.hidden:
                yield machine, fact


def cases_of(machine: str, fact: FactSpec) -> list[Case]:
    """Return the table of a machine's fact."""
    return [case for case in TABLES.get(fact.name, ()) if case.fits(machine, fact.values)]


def laid(machine: str, case: Case) -> Place:
    """Return a case's world."""
    return case.lay(place_for(machine, spec_of(machine)))


@define
class Noting(Mapping[str, Any]):
    """Inputs that know which of them were read."""

    inputs: Mapping[str, Any]
    read: set[str] = field(factory=set)

    def __getitem__(self, name: str) -> Any:
        """Return an input."""
        self.read.add(name)
        return self.inputs[name]

    def __contains__(self, name: object) -> bool:
        """Say whether there is one: that alone reads nothing."""
        return name in self.inputs

    def __iter__(self) -> Iterator[str]:
        """Read them all."""
        self.read |= set(self.inputs)
        return iter(self.inputs)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.inputs)


@define
class Port:
    """A port that notes that it was asked, and answers nothing if it is silent."""

    port: Any
    silent: bool
    asked: bool = False

    def __getattr__(self, name: str) -> Any:
        """Return the port's; a silent one raises as it is called."""
        attribute = getattr(self.port, name)
        if name in WITHOUT_A_CALL:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self.asked = True
            if self.silent:
                raise Unreachable(f"nobody answers {name}")
            return attribute(*args, **kwargs)

        return call


@define
class Read:
    """A reading, the inputs that the observer read and those that the judge read, and the ports that were asked."""

    reading: Reading
    observed: set[str]
    judged: set[str]
    asked: set[str]

    @property
    def value(self) -> str | None:
        """The fact's value."""
        return self.reading.value


def read(place: Place, fact: str, *, inputs: Mapping[str, Any] | None = None, silent: str = "") -> Read:
    """Read a fact. ``inputs``: others than the place's; ``silent``: a port that answers nothing."""
    ports = {name: Port(getattr(place.world, name), name == silent) for name in PORTS}
    world: World = evolve(place.world, **ports)
    bound = binding(place.machine)
    log = RunLog(spec_of(place.machine), MemoryJournal(), SystemClock())
    observing, judging = Noting(inputs or place.inputs), Noting(inputs or place.inputs)
    seeing = Observer(
        log, evolve(bound, facts={fact: evolve(bound.facts[fact], judge=lambda _seen, _inputs: None)}), world
    )
    reading = seeing.read_one(fact, place.run(observing))
    if reading.seen is not None:
        reading = Observer(log, bound, world).judge_one(fact, reading.seen, place.run(judging))
    return Read(reading, observing.read, judging.read, {name for name, port in ports.items() if port.asked})
