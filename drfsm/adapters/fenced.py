"""A world that only the holder of the lease can write to.

Every request that may change something asks the lease first, in the same breath: an operator who was taken
over while his machine slept wakes up in the middle of an action, and must do nothing more of it. What only
reads is named here and is free; whatever is not named asks. A request that is already on its way when the
lease is lost is stopped by conditions only: a pointer's ETag, an object's resourceVersion. Wrapped around the
adapters by runs/run_context.py; the lease and the journal use the bare store.
"""

import time
from collections.abc import Callable
from typing import Any

from attrs import fields

from drfsm.engine.ports import Lease
from drfsm.world import World

READS = frozenset({
    "bucket", "now", "get", "stat", "sha256", "list", "hash_many", "get_many",  # a store
    "name", "uid", "allowed", "log", "whoami",  # a cluster, and its "now"
    "account", "caller", "known", "region", "bucket_region",  # an identity
    "runners", "states", "read",  # machines, alarms, a policy
    "kind", "planned", "standing", "held_kubeconfig",  # what brings a site up
    "look", "architectures",  # other procedures, an image registry
})  # fmt: skip
BULK = frozenset({"copy_many", "delete_many"})
BULK_SECONDS = 1.0  # among thousands of objects the lease is asked this often


def fenced(world: World, lease: Lease) -> World:
    """Return the same world, writable only while ``lease`` is held. Its writes raise LeaseLost otherwise."""
    parts = {each.name: getattr(world, each.name) for each in fields(World)}
    return World(**{name: part and _Fenced(part, lease.check) for name, part in parts.items()})


class _Fenced:
    """One part of a world, behind the lease."""

    def __init__(self, of: object, held: Callable[[], None]) -> None:
        self._of, self._held = of, held

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if name in READS:
            return found

        def asked(*args: Any, **given: Any) -> Any:
            self._held()
            return found(
                *args, **(given | {"check": self._now_and_then(given.get("check"))} if name in BULK else given)
            )

        return asked

    def _now_and_then(self, check: Callable[[], None] | None) -> Callable[[], None]:
        asked = time.monotonic()

        def both() -> None:
            nonlocal asked
            if check:
                check()
            if time.monotonic() - asked > BULK_SECONDS:
                self._held()
                asked = time.monotonic()

        return both
