"""Who may go on with a run whose worker is silent. A table, judged on the very lease that is replaced.

    the run is       its holder                                              another worker
    any              left it: its last write says so (s3_lease.leave)        goes on; nothing is taken
    a drill          silent                                                  takes the lease, under a new epoch
    live             has ended, as its machine shows (process.py)            takes the lease, under a new epoch
    live             was on a machine that the cloud shows as terminated     takes the lease, under a new epoch
    live             silent, and nothing else is known                       waits for a person: ``take_over``
    any              another run                                             nothing: that run has the lease

A heartbeat that is missed is only time, and a slow process looks the same as a dead one. A drill may be taken over all
the same, because everything that it can change is its own: its prefix, its machines, its site. Whatever a stale worker
of a drill still sends fails by its condition, or lands on what the drill takes down. A live run moves pointers and
freezes sites that others rely on, so there the old process must be *shown* to have ended. docs/fleet.md has the whole
argument, tests/fleet/test_stale_workers.py plays it: two workers, one of them stale, at every place of a run.
"""

from collections.abc import Callable, Mapping
from typing import Any

from drfsm.fleet import process
from drfsm.journal import RunState

Terminated = Callable[[str], bool]
"""Whether the cloud shows that a machine, by its id, is terminated. Raises nothing."""


def may_take_over(lease: Mapping[str, Any], run: RunState, terminated: Terminated) -> bool:
    """Whether a worker may take the lease for a run from the process that holds it."""
    if lease.get("run_id") != run.run_id:
        return False
    if run.scope == "drill":
        return True
    holder = process.read(lease.get("bundle"))
    if holder is None:
        return False
    return process.has_ended_here(holder) or (bool(holder.instance) and terminated(holder.instance))
