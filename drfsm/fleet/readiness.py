"""Whether a fleet is ready: Temporal answers, workers serve its queue, every pair can be read. Changes nothing.

What a pair's sites themselves need is said by `drfsm doctor`, pair by pair; here is what a fleet adds.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drfsm.errors import DrfsmError
from drfsm.fleet import client
from drfsm.fleet.pairs import Fleet, Pair
from drfsm.fleet.view import AT_ONCE, store_of

Finding = dict[str, str]
"""``subject``, ``what`` is wrong with it, and what to do (``hint``)."""


def findings(fleet: Fleet, pairs: Sequence[Pair], fault_of: Callable[[Pair, str], str]) -> list[Finding]:
    """Return what is not in order. ``fault_of``: what is wrong with a pair's entry for a procedure, "" for nothing."""
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(pairs)))) as pool:
        of_pairs = list(pool.map(lambda pair: list(_of_pair(pair, fault_of)), pairs))
    return [*_of_temporal(fleet), *(finding for found in of_pairs for finding in found)]


def _of_temporal(fleet: Fleet) -> Iterator[Finding]:
    address, namespace, queue = (fleet.temporal[name] for name in ("address", "namespace", "task_queue"))

    async def workers() -> int:
        return await client.pollers(await client.connected(address, namespace), queue)

    try:
        serving = client.together(workers())
    except DrfsmError as fault:
        yield _finding(f"Temporal at {address}", fault.what, fault.hint)
        return
    if not serving:
        yield _finding(
            f"the task queue {queue}",
            f"no worker serves it in the namespace {namespace}",
            f"drfsm worker --temporal {address} --fleet {fleet.path}",
        )


def _of_pair(pair: Pair, fault_of: Callable[[Pair, str], str]) -> Iterator[Finding]:
    for procedure in ("drill", "failback"):
        if procedure in pair.options and pair.options[procedure] and (what := fault_of(pair, procedure)):
            yield _finding(f"pair {pair.name}", what, "correct its entry in the fleet file")
    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        file = pair.places.get(name)
        if file and not Path(file).is_file():
            yield _finding(f"pair {pair.name}", f"its {name} is not there: {file}", "put it there, on each worker")
    try:
        next(iter(store_of(pair).list(f"{pair.prefix}/drfsm/")), None)
    except DrfsmError as fault:
        yield _finding(f"pair {pair.name}", fault.what, fault.hint)


def _finding(subject: str, what: str, hint: str) -> Finding:
    return {"subject": subject, "what": what, "hint": hint or "drfsm fleet doctor"}
