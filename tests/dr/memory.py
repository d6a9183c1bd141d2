"""A world in memory: a bucket, its policy, two clusters. For rules whose tests need no server.

It keeps the conditions that rules rely on: an ETag and a resourceVersion change with every write, and a write on an
old one is a Conflict. ``meanwhile`` is what another process does before a write lands.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from attrs import define, field

from drfsm.adapters.bulk import check_size
from drfsm.claims import LARGEST_BYTES
from drfsm.engine import Run, SystemClock
from drfsm.errors import Conflict
from drfsm.world import Blob, Check, Copy, Hashed, Manifest, Stat

NAMESPACE, CONFIGMAP, BUCKET, RUN = "jobintel", "jobintel-config", "b", "failback-1"
DR_RUN, PRIMARY_RUN = "2026-02-27T00:22:29.934039+00:00", "2026-02-28T13:00:00.000001+00:00"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INPUTS: Mapping[str, Any] = {
    "workload": "", "bucket": BUCKET, "prefix": "jobintel", "candidate": "local", "provider": "openai",
    "profile": "cs", "namespace": NAMESPACE, "cronjob": "", "cronjob_selector": "", "configmap": CONFIGMAP,
    "dr_run_id": DR_RUN, "primary_run_id": PRIMARY_RUN, "resume_cronjobs": "", "primary_unreachable": "no",
    "dr_unreachable": "no", "fence_primary": "none", "fence_dr": "none", "no_fence": "no", "reason": "",
    "fence_primary_role": "arn:aws:iam::123456789012:role/primary",
    "fence_dr_role": "arn:aws:iam::123456789012:role/dr",
}  # fmt: skip


@define
class Clock(SystemClock):
    """A clock whose pauses take no time."""

    naps: list[float] = field(factory=list)

    def sleep(self, seconds: float) -> None:
        """Note a pause."""
        self.naps.append(seconds)


class MemoryStore:
    """One bucket. ``writes`` holds the keys in the order in which they were written."""

    bucket = BUCKET

    def __init__(self) -> None:
        self.objects: dict[str, Blob] = {}
        self.writes: list[str] = []
        self.meanwhile: dict[str, Callable[[], object]] = {}  # key -> what happens before the next write of it
        self.afterwards: dict[str, Callable[[], object]] = {}  # key -> what happens right after the next write of it
        self.time: datetime | None = NOW
        self._count = 0

    def now(self) -> datetime | None:
        """Return the time of the last answer, None before the first."""
        return self.time

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object. Raises Unreadable for one that is too large."""
        blob = self.objects.get(key)
        if blob is not None:
            check_size(key, len(blob.body), largest_bytes)
        return blob

    def stat(self, key: str) -> Stat | None:
        """Return what a listing says of an object."""
        blob = self.objects.get(key)
        return None if blob is None else Stat(key, len(blob.body), blob.etag, NOW.isoformat())

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield what lies below a prefix."""
        yield from [stat for key in sorted(self.objects) if key.startswith(prefix) and (stat := self.stat(key))]

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object on its condition."""
        self.meanwhile.pop(key, lambda: None)()
        blob = self.objects.get(key)
        fails = (if_absent and blob is not None) or (if_match and (blob is None or blob.etag != if_match))
        if fails:
            raise Conflict(f"writing {key}: another process wrote it in between")
        self.lay(key, body)
        self.writes.append(key)
        etag = self.objects[key].etag
        self.afterwards.pop(key, lambda: None)()
        return etag

    def lay(self, key: str, body: bytes) -> None:
        """Write an object as another process."""
        self._count += 1
        self.objects[key] = Blob(key, body, f'"{self._count}"')

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Return (bytes, SHA-256) of an object."""
        blob = self.objects.get(key)
        return None if blob is None else (len(blob.body), hashlib.sha256(blob.body).hexdigest())

    def copy(self, source: str, target: str) -> None:
        """Copy an object."""
        self.lay(target, self.objects[source].body)
        self.writes.append(target)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.objects.pop(key, None)

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Refuse: nothing here has an address."""
        raise NotImplementedError(f"{key} {seconds} {write}")

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Yield the size and SHA-256 of each object."""
        for key in keys:
            if check:
                check()
            read = self.sha256(key)
            yield Hashed(key, *(read or (None, None)))

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield each object."""
        for key in keys:
            if check:
                check()
            yield key, self.get(key, largest_bytes=largest_bytes)

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None, verify: bool = True) -> Iterator[Copy]:
        """Copy each object."""
        del verify
        for copy in copies:
            if check:
                check()
            self.copy(copy.source, copy.target)
            yield copy

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete each object."""
        for key in keys:
            if check:
                check()
            self.delete(key)
            yield key


class MemorySite:
    """A cluster of objects. ``patches`` holds (kind, name, change) in the order in which they were made."""

    def __init__(self, name: str, *objects: Manifest) -> None:
        self.name, self.objects = (
            name,
            {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects},
        )
        self.patches: list[tuple[str, str, Manifest]] = []
        self.applied: list[tuple[str, str, bool]] = []  # (kind, name, whether forced), in order
        self.meanwhile: Callable[[], object] | None = None  # what happens before the next patch lands
        self._count = 100
        for manifest in self.objects.values():
            manifest["metadata"].setdefault("resourceVersion", "1")

    def uid(self) -> str:
        """Return who the cluster is."""
        return f"uid-{self.name}"

    def now(self) -> datetime:
        """Return the time."""
        return NOW

    def get(self, kind: str, _namespace: str, name: str) -> Manifest | None:
        """Return an object as it is now."""
        return deepcopy(self.objects.get((kind, name)))

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind; ``labels`` is one term."""
        name, _, value = labels.partition("=")
        return [
            deepcopy(manifest)
            for (its_kind, _), manifest in self.objects.items()
            if its_kind == kind
            and (not namespace or manifest["metadata"].get("namespace") == namespace)
            and (not name or (manifest["metadata"].get("labels") or {}).get(name) == value)
        ]

    def patch(self, kind: str, _namespace: str, name: str, change: Mapping[str, Any]) -> Manifest:
        """Merge a change into an object, on the resourceVersion that it names."""
        if self.meanwhile:
            other, self.meanwhile = self.meanwhile, None
            other()
        live = self.objects[kind, name]
        wanted = change.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != live["metadata"]["resourceVersion"]:
            raise Conflict(f"{kind} {name} was changed in between")
        self.merge(kind, name, change)
        self.patches.append((kind, name, deepcopy(dict(change))))
        return deepcopy(live)

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Lay an object over what is there. Raises Conflict for one whose label ``owned`` names another manager."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        live = self.objects.get((kind, name), {})
        if not force and (live.get("metadata", {}).get("labels") or {}).get("owned", manager) != manager:
            raise Conflict(f"another manager set .spec of {kind} {name}")
        self.objects[kind, name] = {**live, **deepcopy(manifest)}
        self.objects[kind, name]["metadata"].setdefault("resourceVersion", "1")
        self.applied.append((kind, name, force))
        return deepcopy(self.objects[kind, name])

    def merge(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        """Change an object as another process."""
        self._count += 1
        live = self.objects[kind, name]
        _merge(live, change)
        live["metadata"]["resourceVersion"] = str(self._count)

    def allowed(self, *_: str) -> bool:
        """Permit all."""
        return True


def _merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, Mapping):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = deepcopy(value)


class MemoryPolicy:
    """A bucket's policy. ``answers`` are what the next reads say instead, as an eventually consistent service may."""

    def __init__(self, raw: str | None = None) -> None:
        self.raw, self.written, self.answers = raw, list[str | None](), list[str | None]()

    def read(self) -> str | None:
        """Return the policy."""
        return self.answers.pop(0) if self.answers else self.raw

    def write(self, raw: str | None) -> None:
        """Replace the policy."""
        self.raw = raw
        self.written.append(raw)


@define
class MemoryWorld:
    """A bucket, its policy, and two clusters."""

    store: MemoryStore = field(factory=MemoryStore)
    policy: MemoryPolicy = field(factory=MemoryPolicy)
    sites: dict[str, MemorySite] = field(factory=lambda: {name: MemorySite(name) for name in ("primary", "dr")})
    identity: Any = field(
        factory=lambda: SimpleNamespace(
            known=lambda _arn: "present", caller=lambda: "arn:aws:iam::123456789012:user/operator"
        )
    )

    def site(self, name: str) -> MemorySite:
        """Return a cluster."""
        return self.sites[name]


def a_run(*, notes: list[str] | None = None, inputs: Mapping[str, Any] | None = None, **more: Any) -> Run:
    """Return what a row's fact or action is handed."""
    said = notes if notes is not None else []
    usual: dict[str, Any] = {
        "id": RUN, "operator": "ana", "epoch": 7, "dry_run": False, "trigger": "test", "results": {}, "args": {},
        "clock": Clock(), "say": lambda words, **_: said.append(words),
    }  # fmt: skip
    return Run(inputs={**INPUTS, **(inputs or {})}, **{**usual, **more})
