"""The run that is canonical now: read before a run starts, so that its inputs pin it. Used by `promote` and `drill`."""

from collections.abc import Mapping
from typing import Any

from drfsm.runs.mirrors import store_of


def canonical_run(options: Mapping[str, Any]) -> str:
    """Return the workload run that the global pointer names; "" where no pointer exists.

    ``options``: bucket, prefix, candidate, endpoint_url and region. Raises Unreachable, Unreadable, ActionFailed.
    """
    from drfsm.dr.pointers import read
    from drfsm.dr.terms import terms_of

    key = terms_of(options).layout.global_pointers()[0]
    pointer = read(store_of(options["bucket"], options), (key,))[key]
    return str((pointer or {}).get("run_id") or "")
