"""A run in words: where it stands (`drfsm status`), and everything that happened (`drfsm replay`).

``standing`` is for a tired person at 3 a.m.: what is frozen, why it stopped, what to type. ``tell`` is for
whoever wants to understand it afterwards: one paragraph a record, what was seen and who did it. Neither shows
a confirmation token. Both read records only, however badly those were written, and load nothing heavy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from drfsm.claims import printable
from drfsm.evidence.summary import outcome
from drfsm.evidence.wording import (
    NOBODY,
    clip,
    commands,
    compact,
    identities,
    lasting,
    moment,
    seconds_between,
    shown_inputs,
    trigger_of,
)
from drfsm.journal import Record, RunState, record_types

_REASON_WIDTH = 400
_TYPED_WIDTH = 72  # what is longer has its reason on the next line
_SEEN_WIDTH = 100
_VERDICTS = {
    "not_done": "nothing of it is done",
    "mixed": "it may be done in part",
    "unknown": "what it did could not be seen",
}
_HOW = {
    "judged": "guards held",
    "acted": "done",
    "found": "found done already",
    "resolved": "a person said that it was done",
}
Body = Mapping[str, Any]


# --- where it stands ------------------------------------------------------------------------------------


def standing(state: RunState, place: str, dead: bool = False) -> Iterator[str]:
    """Yield the lines of `drfsm status`. ``place`` is the bundle; ``dead``: nobody works on the run any more."""
    if state.status == "none":
        yield "No run was started here."
        return
    interrupted = dead and state.status == "running"
    yield _headline(state, interrupted=interrupted)
    yield from _why(state)
    yield from _begun(state, alive=state.status == "running" and not interrupted)
    yield from _frozen(state)
    yield from _actors(state)
    yield from _next(state, place, interrupted=interrupted)


def _headline(state: RunState, *, interrupted: bool) -> str:
    kind = "".join([" (DRY RUN: nothing was changed)" * state.dry_run, f" ({state.scope})" * (state.scope != "live")])
    run, at = printable(state.run_id) + printable(kind), moment(state.last_at)
    where = printable(state.state)
    if interrupted:
        return f"{run} was INTERRUPTED in {where}: nobody works on it. Its last record is of {at}."
    if state.status == "held":
        return f"{run} is HELD in {where} since {at}."
    if state.ended:
        lasted = seconds_between(state.started_at, state.ended_at) or 0.0
        status = printable(state.status).replace("_", " ")
        return f"{run} ended: {status}, in {where}, at {moment(state.ended_at)}, after {lasting(lasted)}."
    return f"{run} is running, in {where}. Its last record is of {at}."


def _why(state: RunState) -> Iterator[str]:
    if state.reason:
        stage = f"{printable(state.stage)}: " if state.stage else ""
        yield f"  why: {stage}{clip(state.reason, _REASON_WIDTH)}"
    if state.hint:
        yield f"  what to do: {clip(state.hint, _REASON_WIDTH)}"
    for loud in state.loud:
        yield f"  {printable(loud)}"
    for kept in state.kept if state.ended else ():
        yield f"  not given back, on purpose: {printable(kept)}"


def _begun(state: RunState, *, alive: bool) -> Iterator[str]:
    intent = state.open
    if intent is None:
        return
    begun = f"{printable(intent.trigger)} at {moment(intent.at)} (attempt {intent.attempt})"
    if alive:
        yield f"  at work on: {begun}"
    else:
        yield f"  begun, and not known to be done: {begun}. resume looks first what became of it."


def _frozen(state: RunState) -> Iterator[str]:
    if not state.frozen_since:
        if not state.ended:
            yield "Frozen now: nothing that this run knows of."
        return
    yield "Frozen now:"
    for word, since in sorted(state.frozen_since.items(), key=lambda each: not each[0].startswith(NOBODY)):
        loud = printable(word).replace(NOBODY, NOBODY.upper()) if word.startswith(NOBODY) else printable(word)
        yield f"  {loud}, since {moment(since)}"


def _actors(state: RunState) -> Iterator[str]:
    """Yield who started the run, who went on with it last and who decided what, as far as something proves it."""
    latest = {actor.did: actor for actor in state.actors}
    lines = [
        f"  {printable(did)} by {printable(actor.operator)} at {moment(actor.at)}: {told}"
        for did, actor in latest.items()
        if (told := identities(actor.proven))
    ]
    if lines:
        yield "Who:"
        yield from lines


def _next(state: RunState, place: str, *, interrupted: bool) -> Iterator[str]:
    named = _named(state, place)
    if state.status == "running" and not interrupted and not place.startswith("s3://"):
        yield "Next: wait; Ctrl-C where it runs stops it at a clean point."
        return
    found = list(commands(state, named)) if state.status != "running" or interrupted else list(_from_afar(state, named))
    if state.ended:
        found.append((f"drfsm replay {_quoted(named)}", "what happened, and whether the log proves it"))
    width = max((len(typed) for typed, _ in found if len(typed) <= _TYPED_WIDTH), default=0)
    yield "Next:"
    for typed, reason in found:
        if len(typed) <= _TYPED_WIDTH:
            yield f"  {typed:<{width}}  {reason}"
        else:
            yield f"  {typed}"
            yield f"      {reason}"


def _from_afar(state: RunState, named: str) -> Iterator[tuple[str, str]]:
    """Yield what to type where a mirror was left by a run at work: whether it still is, only its machine sees."""
    status, resume = f"drfsm status {_quoted(named)}", f"drfsm resume {_quoted(named)}"
    yield status, "again: if its last record gets newer, it is at work; wait"
    yield (
        f"{resume} --take-over {_quoted(state.run_id)}",
        f"go on here, if you know that nobody on {printable(state.host)} works on it; it says what else it needs",
    )


def _named(state: RunState, place: str) -> str:
    """Return the shortest name by which the commands find the bundle: the run's id where it is at home."""
    path = PurePath(place)
    if place.startswith("s3://"):  # another machine knows it by no other name
        return place
    return state.run_id if not place or path.parts[-2:] == ("runs", state.run_id) else place


def _quoted(named: str) -> str:
    from shlex import quote

    return quote(named)


# --- what happened --------------------------------------------------------------------------------------


def tell(records: Iterable[Record], *, brief: bool = False) -> Iterator[str]:
    """Yield the story of a run: for each record its time and number, what happened, and what was seen.

    ``brief``: what was begun and then done is told once, of what was seen only what is new, and of the guards
    only those that do not hold.
    """
    for record, lines in _in_brief(list(records)) if brief else ((each, lines_of(each)) for each in records):
        first, *rest = lines
        yield f"{moment(record.at)} #{record.seq:<4} {first}"
        yield from (f"{'':27}{line}" for line in rest)


def _in_brief(records: Sequence[Record]) -> Iterator[tuple[Record, list[str]]]:
    known: dict[str, Any] = {}
    for record, following in zip(records, [*records[1:], None][: len(records)], strict=True):
        lines = lines_of(record)
        if any(record_types.faults(record)) or record.kind not in ("intent", "commit", "sampled", "forecast"):
            yield record, lines
            continue
        if record.kind == "intent" and following and following.kind == "commit":
            continue
        kept = [each for each in lines if not each.startswith(("saw ", "result ", "guard ")) or "DOES NOT HOLD" in each]
        if record.kind == "forecast":
            yield record, [each for each in kept if "passed" not in each and "not_evaluated" not in each]
            continue
        facts = {name: found["value"] or "unknown" for name, found in record.body["facts"].items()}
        new = [f"{name}={value}" for name, value in facts.items() if known.get(name) != value]
        known |= facts
        yield record, [*kept, *([printable("saw " + ", ".join(new))] if new else [])]


def lines_of(record: Record, width: int = _SEEN_WIDTH) -> list[str]:
    """Return what a record says: one line, then its details; what was seen in at most ``width`` characters."""
    wrong = list(record_types.faults(record))
    if wrong:
        return [f"a {printable(record.kind)} record that can't be read", *wrong]
    return list(_TELL[record.kind](record.body, width))


def _started(body: Body, width: int) -> Iterator[str]:
    dry = "a dry run" if body["dry_run"] else body["scope"]
    yield printable(f"{body['run_id']} starts in {body['state']} ({dry}), by {body['operator']} on {body['host']}")
    yield from _proven(body)
    yield printable(f"machine {body['machine']}, sha256 {body['machine_sha256']}, drfsm {body['version']}")
    yield from (f"{printable(name)} = {clip(value, width)}" for name, value in shown_inputs(body["inputs"]).items())


def _leased(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"takes the lease, epoch {body['epoch']}, by {body['operator']} on {body['host']}")


def _resumed(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"resumed in {body['state']}, by {body['operator']} on {body['host']}")
    yield from _proven(body)


def _cut(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"a torn last line of {body['bytes']} bytes (sha256 {body['sha256']}) was cut off")


def _sampled(body: Body, width: int) -> Iterator[str]:
    clear = "clear" if body["holds"] else "not yet"
    waited = f", waited {lasting(body['waited_seconds'])}" if "waited_seconds" in body else ""
    yield printable(f"{trigger_of(body['row'])} waits: {clear}{waited}")
    yield from _readings(body["facts"], width)


def _intended(body: Body, width: int) -> Iterator[str]:
    undone = f", undo of {body['undoes']}" if body.get("undoes") else ""
    yield printable(f"{body['trigger']} begins: {body['from']} -> {body['to']}{undone}, attempt {body['attempt']}")
    yield from _given(body)
    yield from _guards(body["guards"])
    yield from _readings(body["facts"], width)


def _committed(body: Body, width: int) -> Iterator[str]:
    undone = f", undo of {body['undoes']}" if body.get("undoes") else ""
    how = _HOW.get(body["how"], body["how"]) if body["by"] == "runner" or body["how"] != "judged" else body["by"]
    lasted = f", {lasting(body['seconds'])}" if "seconds" in body else ""
    yield printable(f"{body['trigger']}: {body['from']} -> {body['to']}{undone} ({how}{lasted})")
    yield printable(body["because"])
    yield from _given(body)
    if body["how"] != "acted":  # else they stand with its beginning
        yield from _guards(body["guards"])
    yield from _readings(body["facts"], width)
    if body["result"] is not None:
        yield f"result {compact(body['result'], width)}"
    if body.get("kept"):
        yield printable(f"an abort would not give this back: {body['kept']}")


def _failed(body: Body, _width: int) -> Iterator[str]:
    verdict = _VERDICTS.get(body["verdict"], body["verdict"])
    yield printable(f"{body['trigger']} failed, attempt {body['attempt']}; {verdict}")
    yield clip(body["error"], _REASON_WIDTH)


def _repaired(body: Body, width: int) -> Iterator[str]:
    yield printable(f"repaired by {body['action']} before {trigger_of(body['row'])} is tried again")
    if body["result"] is not None:
        yield f"result {compact(body['result'], width)}"


def _resolved(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"{body['operator']} says that {trigger_of(body['row'])} is {body['outcome']}: {body['reason']}")
    yield from _proven(body)


def _rejected(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"{body['trigger']} was rejected in {body['state']}; nothing moved")
    yield clip(body["why"], _REASON_WIDTH)
    yield from _proven(body)


def _held(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"HELD in {body['state']} at {body['stage']}")
    yield clip(body["reason"], _REASON_WIDTH)
    yield from (printable(f"frozen: {each}") for each in body["frozen"])


def _forecast(body: Body, width: int) -> Iterator[str]:
    words = {
        "pass": "would pass",
        "wait": "would wait",
        "refused": "WOULD BE REFUSED",
        "depends": "depends on what was not done",
    }
    yield printable(f"{body['trigger']}: {body['from']} -> {body['to']}: {words[outcome(body)]}")
    for each in body["guards"]:
        told = f"{each['guard']}: {each['fact']} is {each['value'] or 'not read'}, {each['outcome']}"
        yield printable(told) + (f" {compact(each['seen'], width)}" if each["outcome"] == "failed" else "")
    if body["sets"]:
        yield printable("would set " + ", ".join(f"{fact}={value}" for fact, value in body["sets"].items()))


def _ended(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"ENDS {body['status']} in {body['state']}")
    if body["reason"]:
        yield clip(body["reason"], _REASON_WIDTH)
    yield from (printable(f"frozen: {each}") for each in body["frozen"])
    yield from (printable(f"not given back, on purpose: {each}") for each in body["kept"])


def _seal(body: Body, _width: int) -> Iterator[str]:
    yield printable(f"sealed: {body['records']} records, head {body['head']}")


def _given(body: Body) -> Iterator[str]:
    args = body.get("args", {})
    for name, value in shown_inputs(args).items():
        if name != "proven":
            yield f"{printable(name)}: {clip(value, _REASON_WIDTH)}"
    yield from _proven(args)


def _proven(body: Body) -> Iterator[str]:
    """Yield what is proven of whoever did it, where something is."""
    proven = body.get("proven")
    if isinstance(proven, Mapping) and (told := identities(proven)):
        yield f"proven: {told}"


def _guards(checks: Iterable[Body]) -> Iterator[str]:
    for each in checks:
        verb = "holds" if each["holds"] else "DOES NOT HOLD"
        yield printable(f"guard {each['guard']} {verb}: {each['fact']} is {each['value']}")


def _readings(facts: Mapping[str, Body], width: int) -> Iterator[str]:
    for name, found in facts.items():
        why = f" ({clip(found['why'], width)})" if found.get("why") else ""
        yield f"saw {printable(name)}={printable(found['value'] or 'unknown')} {compact(found['seen'], width)}{why}"


_TELL: Mapping[str, Callable[[Body, int], Iterator[str]]] = {
    "run_started": _started,
    "lease_acquired": _leased,
    "resumed": _resumed,
    "tail_cut": _cut,
    "sampled": _sampled,
    "intent": _intended,
    "failed": _failed,
    "repaired": _repaired,
    "commit": _committed,
    "resolved": _resolved,
    "rejected": _rejected,
    "held": _held,
    "forecast": _forecast,
    "ended": _ended,
    "seal": _seal,
}
