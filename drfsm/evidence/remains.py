"""What a run leaves in the world as it stands, in words: what is frozen, and who is canonical.

Read from the records only, however badly those were written. Part of `drfsm status` (standing.py, cli/status.py);
running.py has the machines.
"""

from collections.abc import Iterator

from drfsm.claims import printable
from drfsm.evidence.wording import NOBODY, frozen_in_order, moment, nobody_since, so_long
from drfsm.journal import RunState

_SITES = {"primary": "The primary", "dr": "DR"}


def canonical(state: RunState) -> Iterator[str]:
    """Yield which run is canonical after a complete procedure, and whether its site publishes, as last read."""
    owner, pointer = state.known.get("owner", ""), state.known.get("global_pointer", "")
    run = state.inputs.get(f"{pointer}_run_id")
    if state.status != "complete" or owner not in _SITES or not isinstance(run, str):
        return
    condition = {name: state.known.get(f"{owner}_{name}", "unknown") for name in ("publishing", "schedules")}
    yield printable(
        f"Canonical: run {run}. {_SITES[owner]} owns the pointers; its publishing is {condition['publishing']}, its"
        f" schedules are {condition['schedules']}."
    )


def frozen(state: RunState, now: str = "") -> Iterator[str]:
    """Yield what a run has frozen, below a heading. ``now``: also how long nobody can publish already."""
    if not state.frozen_since:
        if not state.ended:
            yield "Frozen now: nothing, as far as this run knows."
        return
    yield frozen_heading(state)
    yield from frozen_words(state, now)


def frozen_heading(state: RunState) -> str:
    """Return what stands above a run's frozen words: of a run that ended, since when, and whether it is meant."""
    if state.status == "complete":
        return f"Left frozen at its end ({moment(state.ended_at)}), as this procedure means it:"
    return f"Frozen at its end ({moment(state.ended_at)}):" if state.ended else "Frozen now:"


def frozen_words(state: RunState, now: str = "") -> Iterator[str]:
    """Yield what a run's records say is frozen, and since when; that nobody can publish comes first, on one line.

    Where several rules say so, the earliest counts: why it is so stands in the lines below. ``now``: also how long
    nobody can publish already.
    """
    words = frozen_in_order(state.frozen_since)
    loud = [word for word in words if word.startswith(NOBODY)]
    if loud:
        named = loud[0].replace(NOBODY, NOBODY.upper()) if len(loud) == 1 else NOBODY.upper()
        yield f"  {printable(named)}{_since(nobody_since(state.frozen_since), now)}"
    yield from (f"  {printable(word)}{_since(state.frozen_since[word])}" for word in words if word not in loud)


def _since(at: str, now: str = "") -> str:
    return f", since {moment(at)}{so_long(at, now)}"
