"""Plays etcd's part: the cluster's objects, an index of their owners, and the recent changes by rising versions.

It does for store.py what etcd does for kube-apiserver, in memory. It decides nothing: store.py checks every write, and
calls it under ``lock``; only ``changes_after`` takes the lock itself. Kept objects are never changed in place: a write
replaces them.
"""

import threading
from typing import Literal, NamedTuple

from drfsm.sandbox.kubernetes.objects import Key
from drfsm.sandbox.kubernetes.refusals import Manifest, expired
from drfsm.sandbox.kubernetes.resources import KEPT

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
Objects = dict[tuple[str, str], Manifest]
"""(namespace, name) -> object"""


class Change(NamedTuple):
    """The change of one object that made a version. It must not be changed in place."""

    version: int
    type: ChangeType
    key: Key
    object: Manifest
    previous: Manifest | None


class Etcd:
    """All objects of one cluster, and the recent changes."""

    def __init__(self, history: int) -> None:
        self.lock = threading.Condition()  # on an RLock: what is done under it is one step for everybody else
        self.version = 0
        self._forgotten = 0
        self._objects: dict[str, Objects] = {resource.plural: {} for resource in KEPT}
        self._owned: dict[str, set[Key]] = {}  # an owner's uid -> what it owns
        self._uids: dict[str, Key] = {}
        self._history, self._changes = history, dict[int, Change]()

    # --- now ------------------------------------------------------------------------------------------

    def find(self, key: Key) -> Manifest | None:
        """Return an object; None if there is none."""
        return self._objects[key.resource].get(key[1:])

    def objects(self, resource: str) -> Objects:
        """Return a resource's objects."""
        return self._objects[resource]

    def inside(self, namespace: str) -> list[Key]:
        """Return the keys of a namespace's objects."""
        return [
            Key(resource, *place)
            for resource, kept in self._objects.items()
            for place in sorted(kept)
            if place[0] == namespace
        ]

    def key_of(self, uid: str) -> Key | None:
        """Return the key of the object with a uid; None if there is none."""
        return self._uids.get(uid)

    def owned_by(self, owner: Manifest) -> list[Key]:
        """Return the keys of an object's dependents."""
        return sorted(self._owned.get(owner["metadata"]["uid"], ()))

    def keep(self, change: ChangeType, key: Key, new: Manifest) -> Manifest:
        """Store or remove an object as a new version; return it."""
        kept, place = self._objects[key.resource], key[1:]
        old = kept.get(place)
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        if old is not None:
            self._index(key, old, drop=True)
        if change == "DELETED":
            del kept[place]
        else:
            kept[place] = new
            self._index(key, new)
        self._changes[self.version] = Change(self.version, change, key, new, old)
        if len(self._changes) > self._history:
            self._forgotten += 1
            del self._changes[self._forgotten]
        self.lock.notify_all()
        return new

    def _index(self, key: Key, manifest: Manifest, *, drop: bool = False) -> None:
        metadata = manifest["metadata"]
        if drop:
            self._uids.pop(metadata["uid"], None)
        else:
            self._uids[metadata["uid"]] = key
        for owner in metadata.get("ownerReferences") or ():
            owned = self._owned.setdefault(owner["uid"], set())
            if drop:
                owned.discard(key)
            else:
                owned.add(key)
            if not owned:
                del self._owned[owner["uid"]]

    # --- the past -------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Forget every change so far."""
        self._changes.clear()
        self._forgotten = self.version

    def objects_at(self, version: int, resource: str) -> Objects:
        """Return a resource's objects as they were at a version, by undoing later changes. Raises ApiError Expired."""
        if version < self._forgotten:
            raise expired("The resourceVersion for the provided list is too old.")
        kept = dict(self._objects[resource])
        for number in range(self.version, version, -1):
            change = self._changes[number]
            if change.key.resource != resource:
                continue
            if change.previous is None:
                del kept[change.key[1:]]
            else:
                kept[change.key[1:]] = change.previous
        return kept

    def changes_after(self, version: int, wait_seconds: float) -> list[Change]:
        """Return the changes after a version; wait up to ``wait_seconds`` for one. Raises ApiError Expired."""
        with self.lock:
            if self._forgotten <= version >= self.version:
                self.lock.wait(wait_seconds)
            if version < self._forgotten:
                raise expired(f"too old resource version: {version} ({self._forgotten})")
            return [self._changes[number] for number in range(version + 1, self.version + 1)]
