"""The parts of a whole world in memory, beside those of the rooms' own (tests/dr/memory.py): a cluster, an account."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import timedelta
from typing import Any

from attrs import define, field

from drfsm.world import Kubeconfig, Manifest, PullToken, Runner, Standing
from drfsm.world.values import Changes
from tests.dr.memory import NOW, MemorySite
from tests.dr.memory import Clock as PassingClock

ACCOUNT = "123456789012"


class Clock(PassingClock):
    """The time of this world."""

    def now(self) -> str:
        """Return the time."""
        return NOW.isoformat()


class Site(MemorySite):
    """A cluster with what its facts ask besides objects."""

    denied: frozenset[str] = frozenset()  # resources, as ``pods/log``
    printed: str = ""  # every pod's log

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind; ``labels`` is any number of terms."""
        terms = dict(term.partition("=")[::2] for term in labels.split(",") if term)
        found = super().list(kind, namespace)
        return [each for each in found if terms.items() <= (each["metadata"].get("labels") or {}).items()]

    def add(self, manifest: Manifest) -> None:
        """Put an object there, as another process."""
        placed = deepcopy(manifest)
        placed["metadata"].setdefault("resourceVersion", "1")
        self.objects[placed["kind"], placed["metadata"]["name"]] = placed

    def change(self, kind: str, name: str, change: Callable[[Manifest], object]) -> None:
        """Change an object, as another process."""
        change(self.objects[kind, name])

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        self.add({**manifest, "metadata": {"uid": f"uid-{manifest['metadata']['name']}", **manifest["metadata"]}})
        return manifest

    def allowed(self, *what: str) -> bool:
        """Permit all but what is denied; ``what``: verb, group, resource, namespace."""
        return what[2] not in self.denied

    def log(self, *_: str, tail_lines: int) -> str:
        """Return a pod's log."""
        return "\n".join(self.printed.splitlines()[-tail_lines:])

    def whoami(self) -> str:
        """Return who we are."""
        return "ana@cluster"


@define
class Account:
    """The cloud account's services: identity, machines, alarms, registry, tokens to pull with."""

    account_id: str = ACCOUNT
    us: str = f"arn:aws:iam::{ACCOUNT}:user/operator"
    bucket_lies_in: str = "us-east-1"
    absent: set[str] = field(factory=set)  # ARNs that do not exist
    machines: dict[str, Runner] = field(factory=dict)
    alarm_states: dict[str, str] = field(factory=dict)
    built_for: tuple[str, ...] = ("amd64",)
    named_by: dict[str, tuple[str, ...]] = field(factory=dict)  # image -> its digests

    def account(self) -> str:
        """Return the account."""
        return self.account_id

    def caller(self) -> str:
        """Return who we are."""
        return self.us

    def known(self, arn: str) -> str:
        """Return whether a role exists."""
        return "absent" if arn in self.absent else "there"

    def region(self) -> str:
        """Return our region."""
        return "us-east-1"

    def bucket_region(self) -> str:
        """Return the bucket's region."""
        return self.bucket_lies_in

    def runners(self, tags: Mapping[str, str]) -> Sequence[Runner]:
        """Return the machines with these tags."""
        return [each for each in self.machines.values() if tags.items() <= each.tags.items()]

    def states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the states of machines, or of alarms: their names differ."""
        alarms = {name: self.alarm_states[name] for name in names if name in self.alarm_states}
        machines = {name: self.machines[name].state for name in names if name in self.machines}
        gone = {name: "terminated" for name in names if name.startswith("i-") and name not in self.machines}
        return {**alarms, **machines, **gone}

    def architectures(self, _image: str) -> Sequence[str]:
        """Return what an image is built for."""
        return self.built_for

    def digests(self, image: str) -> Sequence[str]:
        """Return by which digests an image is named."""
        return self.named_by.get(image, ())

    def token(self, _registry: str) -> PullToken:
        """Return a token."""
        return PullToken("AWS", "secret", (NOW + timedelta(hours=12)).isoformat())


@define
class Provisioner:
    """What brings up a drill's site. All of it is what a case says."""

    kind: str = "ec2"
    site: Standing = field(factory=Standing)
    saved: Changes | None = None
    kubeconfig: Kubeconfig | None = None

    def standing(self, _charter: object) -> Standing:
        """Return what stands."""
        return self.site

    def planned(self, _charter: object) -> Changes | None:
        """Return the saved plan."""
        return self.saved

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the saved kubeconfig."""
        return self.kubeconfig


@define
class Procedures:
    """The runs that belong to a drill."""

    run: dict[str, Any] | None = None

    def look(self, _name: str) -> Mapping[str, Any] | None:
        """Return the promote's description."""
        return self.run
