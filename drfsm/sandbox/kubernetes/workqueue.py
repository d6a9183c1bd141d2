"""The controllers' work queue: mirrors of the store to read, writes that show in them at once, objects due later.

``Controllers`` owns it, and only its one thread uses it: that thread alone applies what the watches bring. So a
controller never sees less than what it wrote itself, and creates nothing twice. A controller reads mirrors, writes
through the work queue, and may ask for another sync of an object at a time. It never changes what a mirror returns.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from drfsm.sandbox.kubernetes.reading import Place, controller_of, place, uid
from drfsm.sandbox.kubernetes.recorder import Recorder, Severity
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.store import Store

WATCHED = ("nodes", "pods", "jobs", "cronjobs", "deployments", "replicasets")

Clock = Callable[[], datetime]


class Subject(NamedTuple):
    """An object that is due for a sync."""

    resource: str
    place: Place


class Controller(Protocol):
    """Brings the objects of one resource to their desired state."""

    @property
    def resource(self) -> str:
        """The resource that it syncs."""

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the objects that are due for a sync because another one changed, or is gone."""

    def sync(self, where: Place) -> None:
        """Bring one object closer to its desired state. Raises ApiError; after a conflict it is called again."""


class Mirror:
    """The objects of one resource, as a watch last showed them."""

    def __init__(self) -> None:
        self._kept: dict[Place, Manifest] = {}
        self._owned: dict[str, dict[Place, Manifest]] = {}

    def get(self, where: Place) -> Manifest | None:
        """Return an object, if it is there."""
        return self._kept.get(where)

    def owned(self, owner_uid: str) -> list[Manifest]:
        """Return the objects whose controller has that uid, in the order of their names."""
        return [manifest for _, manifest in sorted(self._owned.get(owner_uid, {}).items())]

    def __iter__(self) -> Iterator[Manifest]:
        return iter(list(self._kept.values()))

    def see(self, manifest: Manifest) -> Manifest | None:
        """Store an object unless a newer version of it is stored; return the version before it."""
        where = place(manifest)
        old = self._kept.get(where)
        if old is not None and _version(old) >= _version(manifest):
            return old
        self._drop(where)
        self._kept[where] = manifest
        if owner := controller_of(manifest):
            self._owned.setdefault(owner["uid"], {})[where] = manifest
        return old

    def forget(self, manifest: Manifest) -> None:
        """Remove an object, unless another one has its name by now."""
        old = self._kept.get(place(manifest))
        if old is not None and uid(old) == uid(manifest):
            self._drop(place(manifest))

    def _drop(self, where: Place) -> None:
        old = self._kept.pop(where, None)
        owner = controller_of(old) if old else None
        if owner and owner["uid"] in self._owned:
            self._owned[owner["uid"]].pop(where, None)
            if not self._owned[owner["uid"]]:
                del self._owned[owner["uid"]]


class Workqueue:
    """The mirrors, the writes and the due objects of all controllers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self.now = store, clock
        self._mirrors: Mapping[str, Mirror] = {resource: Mirror() for resource in WATCHED}
        self._recorders: dict[str, Recorder] = {}
        self._due: list[tuple[datetime, Subject]] = []
        self._noted: set[tuple[datetime, Subject]] = set()

    def mirror(self, resource: str) -> Mirror:
        """Return the mirror of a watched resource."""
        return self._mirrors[resource]

    def create(self, resource: str, manifest: Manifest) -> Manifest:
        """Create an object. Raises ApiError."""
        created = self._store.create(resource, manifest)
        self._mirrors[resource].see(created)
        return created

    def write(self, resource: str, manifest: Manifest, *, status: bool = False) -> Manifest:
        """Replace an object, or its status, as read from the mirror. Raises ApiError, Conflict if it is stale."""
        written = self._store.update(resource, manifest, status=status)
        self._mirrors[resource].see(written)
        return written

    def delete(self, resource: str, manifest: Manifest) -> bool:
        """Delete an object and what it owns; return False if it was gone."""
        try:
            last = self._store.delete(resource, *place(manifest))
        except ApiError as refusal:
            if refusal.reason != "NotFound":
                raise
            return False
        self._mirrors[resource].see(last)
        return True

    def tell(self, component: str, about: Manifest, severity: Severity, reason: str, message: str) -> None:
        """Record an event about an object."""
        if component not in self._recorders:
            self._recorders[component] = Recorder(component, self._keep_event)
        self._recorders[component].tell(about, severity, reason, message, self.now())

    def look_again(self, resource: str, where: Place, at: datetime) -> None:
        """Have an object synced when the clock reaches ``at``."""
        entry = (at, Subject(resource, where))
        if entry not in self._noted:
            self._noted.add(entry)
            heapq.heappush(self._due, entry)

    def next_due(self) -> datetime | None:
        """Return when the next object is due; None if none is."""
        return self._due[0][0] if self._due else None

    def take_due(self) -> Iterable[Subject]:
        """Yield the objects that are due, and remove them from the queue."""
        while self._due and self._due[0][0] <= self.now():
            entry = heapq.heappop(self._due)
            self._noted.discard(entry)
            yield entry[1]

    def _keep_event(self, event: Manifest, new: bool) -> None:
        try:
            if new:
                self._store.create("events", event)
            else:
                self._store.update("events", event)
        except ApiError as refusal:
            if refusal.reason not in ("NotFound", "Forbidden"):  # its namespace is going, or it was deleted
                raise


def _version(manifest: Manifest) -> int:
    return int(manifest["metadata"]["resourceVersion"])
