"""The run that is canonical now: read before a run starts, so that its inputs pin it. Used by `promote` and `drill`."""

from collections.abc import Mapping
from typing import Any

from drfsm.runs.mirrors import store_of


def canonical_run(options: Mapping[str, Any]) -> str:
    """Return the workload run that the global pointer names, the older one where it stands alone; "" without one.

    ``options``: bucket, prefix, candidate, workload, endpoint_url and region. Raises Unreachable, Unreadable and
    ActionFailed.
    """
    from drfsm.dr.pointers import read
    from drfsm.dr.terms import terms_of

    layout = terms_of(options).layout
    pointers = read(store_of(options["bucket"], options), layout.global_pointers(), layout.workload.pointers)
    deciding = next((pointer for pointer in pointers.values() if pointer), {})
    return str(deciding.get("run_id") or "")
