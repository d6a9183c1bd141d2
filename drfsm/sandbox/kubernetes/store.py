"""The registry of kube-apiserver: every write of an object, its checks, and what follows from it.

It owns versions and conflicts, generations, graceful deletion and finalizers. It also does, within the same write, what
the garbage collector and the namespace controller of a real cluster do a moment later. admission.py sets defaults and
refuses contents; etcd.py keeps the objects. The store speaks no HTTP: the API (api.py) and the controllers call it, all
in one process. Safe for use by many threads.

Stored objects are never changed in place, because a write replaces them; so the API may read them without a copy.
``get``, ``list``, ``create``, ``update`` and ``watch`` return copies, which belong to the caller.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drfsm.sandbox.kubernetes import admission
from drfsm.sandbox.kubernetes.etcd import Change, Etcd
from drfsm.sandbox.kubernetes.objects import (
    FOREGROUND,
    ORPHAN,
    Key,
    check_same,
    clone,
    give_name,
    grace_seconds_of,
    is_same,
    key_of,
    may_go,
    put,
    timestamp,
    with_rest,
    with_status,
)
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, already_exists, forbidden, invalid, not_found
from drfsm.sandbox.kubernetes.resources import BY_KIND, BY_PLURAL, Resource

__all__ = ["ApiError", "Change", "Key", "Manifest", "Store", "clone", "timestamp"]

HISTORY = 4096
POLL_SECONDS = 0.2
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
LASTING = ("default", "kube-public", "kube-system")  # as the real admission, which lets kube-node-lease go
ROOT_CA = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
Manifests = list[Manifest]


Finish = Callable[[Manifest, Manifest | None], None]
"""(the object to be stored, the object stored before it)"""


class Store:
    """All objects of one cluster."""

    def __init__(self, *, history: int = HISTORY, root_ca: str = "") -> None:
        self._etcd = Etcd(history)
        self._lock = self._etcd.lock
        self._root_ca = root_ca
        for name in NAMESPACES:
            self.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    # --- reading --------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version of the newest write."""
        return self._etcd.version

    def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """Return an object. Raises ApiError NotFound."""
        return clone(self.peek(resource, namespace, name))

    def peek(self, resource: str, namespace: str, name: str) -> Manifest:
        """Return the stored object itself, which must not be changed. Raises ApiError NotFound."""
        with self._lock:
            manifest = self._etcd.find(Key(resource, namespace, name))
        if manifest is None:
            raise not_found(BY_PLURAL[resource].qualified, name)
        return manifest

    def list(self, resource: str, namespace: str = "") -> tuple[Manifests, int]:
        """Return the objects of a namespace ("" for all) in the order of their names, and the list's version."""
        manifests, version = self.snapshot(resource, namespace)
        return [clone(manifest) for manifest in manifests], version

    def snapshot(self, resource: str, namespace: str = "", *, at: int | None = None) -> tuple[Manifests, int]:
        """Return what ``list`` does, but the stored objects themselves, which must not be changed.

        With ``at``, as they were at that version. Raises ApiError Expired if it is too old.
        """
        with self._lock:
            kept = self._etcd.objects(resource)
            if at is not None and at < self._etcd.version:
                kept = self._etcd.objects_at(at, resource)
            manifests = [kept[key] for key in sorted(kept) if not namespace or key[0] == namespace]
            return manifests, self._etcd.version if at is None else at

    def watch(
        self,
        resource: str,
        namespace: str,
        since: int,
        timeout_seconds: float,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield (ADDED, MODIFIED or DELETED; object) after version ``since``, until the timeout or ``stop``.

        With 0, the present objects come first, as ADDED. Raises ApiError Expired (410) if ``since`` is too old.
        """
        if since == 0:
            manifests, since = self.list(resource, namespace)
            yield from (("ADDED", manifest) for manifest in manifests)
        for change in self.changes(resource, namespace, since, timeout_seconds, stop):
            if isinstance(change, Change):
                yield change.type, clone(change.object)

    def changes(
        self,
        resource: str,
        namespace: str,
        since: int,
        timeout_seconds: float,
        stop: threading.Event | None = None,
    ) -> Iterator[Change | int]:
        """Yield the changes after version ``since``; after a moment without any, the present version."""
        deadline = time.monotonic() + timeout_seconds
        while not (stop is not None and stop.is_set()):
            wait_seconds = min(deadline - time.monotonic(), POLL_SECONDS)
            if wait_seconds <= 0:
                return
            news = self._etcd.changes_after(since, wait_seconds)
            since = news[-1].version if news else since
            relevant = [
                change
                for change in news
                if change.key.resource == resource and (not namespace or change.key.namespace == namespace)
            ]
            yield from relevant or (since,)

    def wake(self) -> None:
        """Let every watch check its ``stop`` now."""
        with self._lock:
            self._lock.notify_all()

    # --- writing --------------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the store: a read and the write that is made from it are one step."""
        with self._lock:
            yield

    def compact(self) -> None:
        """Forget all past changes, as etcd's compaction does: watches from an earlier version are refused with 410."""
        with self._lock:
            self._etcd.forget()

    def create(
        self, resource: str, manifest: Manifest, *, dry_run: bool = False, finish: Finish | None = None
    ) -> Manifest:
        """Create an object; return it as stored: with defaults, uid, creationTimestamp, resourceVersion.

        ``finish`` may change the object just before it is stored; so may the one of ``update``.

        Raises ApiError AlreadyExists, NotFound (no such namespace), Forbidden (it is terminating), Invalid.
        """
        kind, new = BY_PLURAL[resource], clone(manifest)
        metadata = new.setdefault("metadata", {})
        with self._lock:
            give_name(kind, metadata)
            self._check_namespace(kind, metadata)
            new["apiVersion"], new["kind"] = kind.api_version, kind.kind
            for mark in (
                "resourceVersion",
                "selfLink",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generation",
            ):
                metadata.pop(mark, None)
            metadata["uid"] = str(uuid.uuid4())
            metadata["creationTimestamp"] = timestamp()
            if kind.generations:
                metadata["generation"] = 1
            admission.admit_new(kind, new)
            key = key_of(kind, new)
            self._check_account(key, new)
            if self._etcd.find(key) is not None:
                raise already_exists(kind.qualified, key.name)
            if finish is not None:
                finish(new, None)
            if dry_run:
                return new
            kept = self._etcd.keep("ADDED", key, new)
            self._follow_up(kind, key, kept)
            return clone(kept)

    def update(
        self,
        resource: str,
        manifest: Manifest,
        *,
        status: bool = False,
        dry_run: bool = False,
        finish: Finish | None = None,
    ) -> Manifest:
        """Replace an object, or with ``status`` only its status; return it as stored.

        A resourceVersion in it makes the write conditional (Conflict). A write that changes nothing makes no version.
        """
        kind = BY_PLURAL[resource]
        with self._lock:
            old = self.peek(resource, *key_of(kind, manifest)[1:])
            check_same(kind, manifest, old)
            new = with_status(old, manifest) if status else with_rest(kind, old, manifest)
            admission.admit_change(kind, new, old, status=status)
            if kind.generations and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
            if finish is not None:
                finish(new, old)
            if dry_run or is_same(new, old):
                return clone(new)
            key = key_of(kind, new)
            if may_go(new):
                return clone(self._remove(key, new))
            return clone(self._etcd.keep("MODIFIED", key, new))

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        propagation: str = "Background",
        grace_seconds: int | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Delete an object, and by ``propagation`` (Background, Foreground, Orphan) what it owns.

        A pod on a node is only marked: its kubelet deletes it with grace 0. An object with finalizers is
        only marked, too: it is removed with its last finalizer. Returns the object's last state.
        """
        with self._lock:
            old = self.peek(resource, namespace, name)
            key = Key(resource, namespace, name)
            if resource == "namespaces" and name in LASTING:
                raise forbidden("namespaces", name, "this namespace may not be deleted")
            new = self._marked(key, old, propagation, grace_seconds)
            if dry_run:
                return clone(new)
            if propagation == "Orphan":
                for dependent in self._etcd.owned_by(old):
                    self._disown(dependent, old["metadata"]["uid"])
            if resource == "namespaces":
                return self._terminate(key, new)
            if may_go(new):  # of a deletion that is done at once, only watchers of pods see the marks
                return clone(self._remove(key, new if resource == "pods" else clone(old)))
            kept = new if is_same(new, old) else self._etcd.keep("MODIFIED", key, new)
            if FOREGROUND in kept["metadata"].get("finalizers", ()):
                for dependent in self._etcd.owned_by(kept):
                    self._collect(dependent, propagation)
                self._release_owner(kept["metadata"]["uid"])
            return clone(kept)

    # --- one write ------------------------------------------------------------------------------------

    def _marked(self, key: Key, old: Manifest, propagation: str, grace_seconds: int | None) -> Manifest:
        """Return the object marked for deletion. One that may be removed at once has grace 0 or none."""
        new = clone(old)
        metadata = new["metadata"]
        finalizers = [
            finalizer for finalizer in metadata.get("finalizers") or () if finalizer not in (FOREGROUND, ORPHAN)
        ]
        if propagation == "Foreground" and key.resource != "namespaces":
            finalizers.append(FOREGROUND)
        put(metadata, "finalizers", finalizers)
        grace = grace_seconds_of(old, grace_seconds) if key.resource == "pods" else None
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = timestamp(grace or 0)
            if key.resource != "namespaces":
                metadata["deletionGracePeriodSeconds"] = grace or 0
            if BY_PLURAL[key.resource].generations:
                metadata["generation"] = metadata.get("generation", 0) + 1
        elif grace is not None and grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = timestamp(grace)
            metadata["deletionGracePeriodSeconds"] = grace
        return new

    def _remove(self, key: Key, last: Manifest) -> Manifest:
        """Remove an object, then handle its dependents, its owners and its namespace."""
        dependents = self._etcd.owned_by(last)
        gone = self._etcd.keep("DELETED", key, clone(last))
        for dependent in dependents:
            self._collect(dependent, "Background")
        for owner in gone["metadata"].get("ownerReferences") or ():
            self._release_owner(owner["uid"])
        self._finish_namespace(key.namespace)
        return gone

    # --- owners ---------------------------------------------------------------------------------------

    def _collect(self, key: Key, propagation: str) -> None:
        """Delete an object whose owner is removed, unless another owner stays."""
        kept = self._etcd.find(key)
        if kept is None or any(self._stays(owner["uid"]) for owner in kept["metadata"].get("ownerReferences", ())):
            return
        if not self._etcd.owned_by(kept):
            propagation = "Background"  # it has no dependents to wait for
        self.delete(*key, propagation=propagation)

    def _stays(self, uid: str) -> bool:
        key = self._etcd.key_of(uid)
        kept = self._etcd.find(key) if key else None
        return kept is not None and "deletionTimestamp" not in kept["metadata"]

    def _disown(self, key: Key, uid: str) -> None:
        new = clone(self.peek(*key))
        put(new["metadata"], "ownerReferences", [o for o in new["metadata"]["ownerReferences"] if o["uid"] != uid])
        self._etcd.keep("MODIFIED", key, new)

    def _release_owner(self, uid: str) -> None:
        """Remove an owner in foreground deletion once all its dependents are gone."""
        key = self._etcd.key_of(uid)
        owner = self._etcd.find(key) if key else None
        if key is None or owner is None or FOREGROUND not in owner["metadata"].get("finalizers", ()):
            return
        if self._etcd.owned_by(owner):
            return
        new = clone(owner)
        put(
            new["metadata"],
            "finalizers",
            [finalizer for finalizer in new["metadata"]["finalizers"] if finalizer != FOREGROUND],
        )
        if may_go(new):
            self._remove(key, new)
        else:
            self._etcd.keep("MODIFIED", key, new)

    def _follow_up(self, kind: Resource, key: Key, kept: Manifest) -> None:
        """Do for a new object what controllers of a real cluster would do a moment later."""
        if kind.plural == "namespaces":
            account = {"metadata": {"name": "default", "namespace": key.name}}
            self.create("serviceaccounts", account)
            annotations = {"kubernetes.io/description": ROOT_CA}
            root = {"name": "kube-root-ca.crt", "namespace": key.name, "annotations": annotations}
            self.create("configmaps", {"metadata": root, "data": {"ca.crt": self._root_ca}})
        owners = kept["metadata"].get("ownerReferences") or ()
        known = all((owner.get("apiVersion"), owner.get("kind")) in BY_KIND for owner in owners)
        if owners and known and not any(self._etcd.key_of(owner["uid"]) for owner in owners):
            # None of its owners exists, as after a restore from a backup: the garbage collector deletes it.
            self.delete(*key)

    # --- namespaces -----------------------------------------------------------------------------------

    def _check_namespace(self, kind: Resource, metadata: Manifest) -> None:
        if not kind.namespaced:
            metadata.pop("namespace", None)
            return
        name = metadata.get("namespace") or ""
        if not name:
            fault = ("metadata.namespace", "FieldValueRequired", "Required value")
            raise invalid(kind.kind, kind.group, metadata["name"], [fault])
        if self.peek("namespaces", "", name)["status"]["phase"] == "Terminating":
            why = f"unable to create new content in namespace {name} because it is being terminated"
            refusal = forbidden(kind.qualified, metadata["name"], why)
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
            refusal.details = {
                **(refusal.details or {}),
                "causes": [{**cause, "message": f"namespace {name} is being terminated"}],
            }
            raise refusal

    def _check_account(self, key: Key, new: Manifest) -> None:
        """Refuse a pod whose ServiceAccount doesn't exist: after a restore without it nothing runs."""
        if key.resource != "pods":
            return
        account = new["spec"]["serviceAccountName"]
        if self._etcd.find(Key("serviceaccounts", key.namespace, account)) is None:
            reason = f'error looking up service account {key.namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden("pods", key.name, reason)

    def _terminate(self, key: Key, new: Manifest) -> Manifest:
        """Mark a namespace, delete its objects, and remove it as soon as they are gone."""
        new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        marked = self._etcd.keep("MODIFIED", key, new)
        for content_key in self._etcd.inside(key.name):
            if self._etcd.find(content_key) is not None:  # it may have been removed with its owner
                self.delete(*content_key)
        self._finish_namespace(key.name)
        return clone(marked)

    def _finish_namespace(self, name: str) -> None:
        namespace = self._etcd.find(Key("namespaces", "", name)) if name else None
        if namespace is None or namespace["status"]["phase"] != "Terminating":
            return
        if self._etcd.inside(name):
            return
        new = clone(namespace)
        new["spec"] = {}
        if may_go(new):
            self._etcd.keep("DELETED", Key("namespaces", "", name), new)
