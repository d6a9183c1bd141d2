"""The document in a few lines for a terminal: active sites, who can publish and write, open runs, the last drill."""

from collections.abc import Iterator, Mapping
from typing import Any

from drfsm.claims import bounded
from drfsm.dashboard.page import shown_time, why
from drfsm.dashboard.values import is_known
from drfsm.evidence.durations import lasting

LONGEST = 200  # characters of one value on a line
_ANSWERS = {"yes": "yes", "no": "NOBODY CAN", "unknown": "not known"}


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the page says first. What could not be read is not among it: `unread` has it."""
    for what in ("pointers", "endpoints", "schedules"):
        site, since = document[what]["site"], document[what]["since"]
        began = f", since {shown_time(since)}" if is_known(site) and is_known(since) else ""
        yield f"{what:<10} {_value(site)}{began}"
    for what in ("publish", "write"):
        answer = document[what]
        if answer["possible"] != "none":
            since = answer["nobody_since"]
            began = f" since {shown_time(since)}" if answer["possible"] == "no" and is_known(since) else ""
            yield f"{what:<10} {_ANSWERS[answer['possible']]}{began}: {_value(answer['because'])}"
    for run in document["open_runs"]:
        yield f"open       {_value(run['run_id'])}, {_value(run['status'])} in {_value(run['state'])}: waits for"
        yield f"           {_value(run['waits_for'])}"
    yield f"last drill {_drill(document['last_drill'])}"


def _drill(drill: Mapping[str, Any]) -> str:
    if not is_known(drill):
        return _value(drill)
    seconds = drill["recovery_seconds"]
    recovery = f"recovered in {lasting(seconds)}" if is_known(seconds) else "its recovery time is not known"
    return f"{_value(drill['result'])}, ended {shown_time(drill['ended_at'])}, {recovery}"


def _value(value: Any) -> str:
    """Return a value, or why there is none, on one line."""
    if is_known(value):
        return {"primary": "the primary", "dr": "DR"}.get(str(value)) or bounded(value, LONGEST)
    return ("not known: " if "unknown" in value else "none: ") + bounded(why(value), LONGEST)
