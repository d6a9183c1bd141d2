"""A world that only the lease holder can write to.

Every request that may change something checks the lease first: a process whose lease was taken over while its machine
slept wakes up in the middle of an action, and must do nothing more. READS names the methods that only read and need no
check; every other method checks. A request that is already on its way when the lease is lost can only be stopped by
its condition: a pointer's ETag, an object's resourceVersion. runs/run_context.py wraps it around the adapters; the
lease and the journal use the bare store.
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
    "runners", "states", "history", "read",  # machines, alarms, a policy
    "kind", "planned", "standing", "held_kubeconfig",  # what brings a site up
    "look", "architectures", "digests", "token",  # other procedures, an image registry, what gives a login to it
    "records", "name_servers", "health_check", "change_status", "answer",  # zones, name servers; "read" of a server
})  # fmt: skip
BULK = frozenset({"copy_many", "delete_many"})
BULK_SECONDS = 1.0  # how often the lease is checked among thousands of objects


def fenced(world: World, lease: Lease) -> World:
    """Return the same world, writable only while ``lease`` is held. Without the lease, a write raises LeaseLost."""
    parts = {part.name: getattr(world, part.name) for part in fields(World)}
    return World(**{name: part and _Fenced(part, lease.check) for name, part in parts.items()})


class _Fenced:
    """One part of a world, behind the lease."""

    def __init__(self, of: object, held: Callable[[], None]) -> None:
        self._of, self._held = of, held

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._of, name)
        if name in READS:
            return member

        def asked(*args: Any, **options: Any) -> Any:
            self._held()
            return member(
                *args, **(options | {"check": self._now_and_then(options.get("check"))} if name in BULK else options)
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
