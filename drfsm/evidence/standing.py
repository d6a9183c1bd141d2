"""Where a run stands, in words, for a tired operator at 3 a.m.: `drfsm status`, and the end of every verb on a run.

What is frozen, and how long nobody can publish already; since when the run is where it is; what it waits for, and how
long that may take; who has the lease; what to type. It shows no confirmation token, reads records only, however badly
those were written, and loads nothing heavy. narrative.py tells what happened.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from shlex import quote

from drfsm.claims import printable
from drfsm.evidence import remains, running
from drfsm.evidence.durations import lasting
from drfsm.evidence.wording import (
    ACCEPTED,
    accepted_words,
    clip,
    commands,
    identities,
    moment,
    one_by_one,
    seconds_between,
    so_long,
    trigger_of,
)
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, LeaseAcquired, RunStarted, Sampled

_UNDECIDED = "waiting"  # the stage of a hold for a person's decision: its hint leads here, where the commands follow
_REASON_WIDTH = 400
_FINDING_WIDTH = 3000  # each says what was seen and what to do
_FINDINGS_WIDTH = 6000  # of a run that was refused
_WORTH_SAYING_SECONDS = 60  # how much longer a run was in its state than it is held
_TYPED_WIDTH = 72  # what is longer has its reason on the next line


def standing(
    state: RunState,
    place: str,
    dead: bool = False,
    *,
    records: Sequence[Record] = (),
    with_frozen: bool = True,
    with_reason: bool = True,
    superseded_by: str = "",
    now: str = "",
    prices: str = "",
) -> Iterator[str]:
    """Yield where a run stands. ``place`` is the bundle; ``dead``: no process works on the run.

    ``records``: to say also since when the run is where it is, what it waits for, and who has the lease.
    ``with_frozen``: say what is frozen; `drfsm status` has said so before. ``with_reason``: say why it stands or
    ended; the progress of a run that was just at work has said so on the same terminal.
    ``superseded_by``: the run that took it over, so that nothing more is said of this one. ``now``: until when
    durations and running machines are counted; without it durations are left out, and machines counted up to the last
    record. ``prices``: of machines, instead of those that the run was started with.
    """
    if state.status == "none":
        yield "No run was started here."
        return
    interrupted = dead and state.status == "running"
    yield _headline(state, since=state_since(records), now=now, interrupted=interrupted)
    if superseded_by:
        named = quote(shortest_name(state, place))
        yield f"Next: drfsm status {quote(superseded_by)}   (drfsm replay {named} tells what this run did)"
        return
    if with_reason:
        yield from _why(state)
    yield from _remarks(state)
    if state.dry_run and state.inputs.get("expect_account") == "":
        yield "  account: not confirmed, as neither --expect-account nor EXPECTED_ACCOUNT_ID says which it must be"
    alive = state.status == "running" and not interrupted
    yield from _begun(state, now, alive=alive)
    if records and not state.ended:
        yield from waits(state, records, now, alive=alive)
        yield _lease(state, records)
    yield from remains.canonical(state)
    if with_frozen:
        yield from remains.frozen(state, now)
    yield from running.words(state, shortest_name(state, place), place, now, prices)
    yield from _foreseen(state)
    yield from _actors(state)
    yield from _next(state, place, interrupted=interrupted)


def state_since(records: Sequence[Record]) -> str:
    """Return since when a run is in its state, "" without records."""
    moves = (record.at for record in reversed(records) if isinstance(record.content, Commit | RunStarted))
    return next(moves, "")


def _headline(state: RunState, *, since: str, now: str, interrupted: bool) -> str:
    kind = "".join([" (DRY RUN: nothing was changed)" * state.dry_run, f" ({state.scope})" * (state.scope != "live")])
    run, at = printable(state.run_id) + printable(kind), moment(state.last_at)
    entered = f" since {moment(since)}{so_long(since, now)}" if since else ""
    where = printable(state.state)
    if interrupted:
        last = f"Its last record is of {at}{so_long(state.last_at, now)}."
        return f"{run} was INTERRUPTED in {where}: no process works on it. {last}"
    if state.status == "held":
        longer = (seconds_between(since, state.last_at) or 0.0) >= _WORTH_SAYING_SECONDS
        entered = f"; in that state{entered}" if longer else ""
        return f"{run} is HELD in {where} since {at}{so_long(state.last_at, now)}{entered}."
    if state.ended:
        lasted = seconds_between(state.started_at, state.ended_at) or 0.0
        status = printable(state.status).replace("_", " ")
        return f"{run} ended: {status}, in {where}, at {moment(state.ended_at)}, after {lasting(lasted)}."
    return f"{run} is running, in {where}{entered}. Its last record is of {at}."


def waits(state: RunState, records: Sequence[Record], now: str, *, alive: bool) -> Iterator[str]:
    """Yield what an open run waits for, and how long that may take. ``alive``: a process works on it."""
    sample = records[-1].content if records else None
    if not alive:
        if state.status == "held":
            asked = [offered.action for offered in state.next_actions if offered.action != "resume"]
            choice = f": {', '.join(map(printable, asked))}" if state.stage == _UNDECIDED and asked else ""
            yield f"  waits for: a person{choice}. Nothing goes on by itself"
    elif isinstance(sample, Sampled) and not sample.holds:
        unmet = [f"{name} is {reading_of(sample, name)}" for name in sample.unmet or ()]
        yield printable(f"  waits for: {trigger_of(sample.row)}, as {', '.join(unmet) or 'its guards do not hold yet'}")
        yield from _patience(sample, records[-1].at, now)


def reading_of(sample: Sampled, fact: str) -> str:
    """Return the value of a fact in a sample, ``unknown`` where it could not be read."""
    reading = sample.facts.get(fact)
    return (reading.value if reading else None) or "unknown"


def _patience(sample: Sampled, at: str, now: str) -> Iterator[str]:
    """Yield how long a wait may still take."""
    waited, limit = sample.waited_seconds, sample.limit_seconds
    if waited is None or limit is None:
        return
    waited += (seconds_between(at, now) or 0.0) if now else 0.0
    left = max(0.0, limit - waited)
    yield f"  that may take: at most {lasting(left)} more (limit {lasting(limit)}, waited {lasting(waited)})"


def _lease(state: RunState, records: Sequence[Record]) -> str:
    """Return who has the lease, as the run's own records say."""
    taken = next((record for record in reversed(records) if isinstance(record.content, LeaseAcquired)), None)
    if taken is None:
        return "Lease: not taken by this run."
    if state.lease_released:
        return "Lease: given back, as nothing was changed; another run may start."
    lease = LeaseAcquired.of(taken)
    who = printable(f"{lease.operator} on {lease.host}")
    return f"Lease: this run, epoch {lease.epoch}, {who}, since {moment(taken.at)}, as recorded."


def _why(state: RunState) -> Iterator[str]:
    if state.reason:
        stage = "" if not state.stage or state.reason.startswith(state.stage) else f"{printable(state.stage)}: "
        width = _FINDINGS_WIDTH if state.status == "refused" else _FINDING_WIDTH
        first, *more = one_by_one(state.reason, state.findings, _FINDING_WIDTH, width)
        yield f"  why: {stage}{first}"
        yield from (f"       {finding}" for finding in more)
    if state.hint and state.stage != _UNDECIDED:
        yield f"  what to do: {clip(state.hint, _REASON_WIDTH)}"


def _remarks(state: RunState) -> Iterator[str]:
    """Yield what a person must know beside the reason: the way back, risks that were taken, what was left."""
    if state.forward_only and not state.ended:
        yield "  past the point of no return: the only way is forward, with drfsm resume; an abort is refused"
    for name, reading in state.facts.items():
        if reading.value == ACCEPTED:
            yield f"  {accepted_words(name, reading.seen)}"
    for loud in state.loud:
        yield f"  {printable(loud)}"
    for kept in state.kept if state.ended else ():
        yield f"  not undone, on purpose: {printable(kept)}"
    for words in state.not_excluded:
        yield f"  NOT EXCLUDED: {clip(words, _REASON_WIDTH)}"


def _begun(state: RunState, now: str, *, alive: bool) -> Iterator[str]:
    intent = state.open
    if intent is None:
        return
    begun = f"{printable(intent.trigger)} at {moment(intent.at)} (attempt {intent.attempt})"
    if alive:
        yield f"  working on: {begun}{so_long(intent.at, now)}"
    else:
        yield f"  unfinished action: {begun}. Nobody knows yet whether it was done; drfsm resume checks that first."


def _foreseen(state: RunState) -> Iterator[str]:
    """Yield what preflight warned of, as long as it may still come."""
    if state.foreseen and not state.ended:
        yield "Known beforehand:"
        yield from (f"  {clip(check.words, _FINDING_WIDTH)}" for check in state.foreseen)


def _actors(state: RunState) -> Iterator[str]:
    """Yield who started, last resumed and decided, as far as an identity is proven."""
    latest = {actor.did: actor for actor in state.actors}
    lines = [
        f"  {printable(did)} by {printable(actor.operator)} at {moment(actor.at)}: {identity}"
        for did, actor in latest.items()
        if (identity := identities(actor.proven))
    ]
    if lines:
        yield "Who:"
        yield from lines
    if state.approval:
        from drfsm.evidence.approvals import in_words, recorded

        yield "Approvals:"
        yield from (f"  {printable(line)}" for line in in_words(recorded(state)))


def _next(state: RunState, place: str, *, interrupted: bool) -> Iterator[str]:
    named = shortest_name(state, place)
    if state.status == "running" and not interrupted and not place.startswith("s3://"):
        yield "Next: wait. Ctrl-C in its terminal stops it at a clean point."
        return
    at_work = state.status == "running" and not interrupted
    actions = list(_from_afar(state, named) if at_work else commands(state, named))
    if state.ended:
        actions.append((f"drfsm replay {quote(named)}", "what happened, and whether the log proves it"))
    width = max((len(typed) for typed, _ in actions if len(typed) <= _TYPED_WIDTH), default=0)
    yield "Next:"
    for typed, reason in actions:
        if len(typed) <= _TYPED_WIDTH:
            yield f"  {typed:<{width}}  {reason}"
        else:
            yield f"  {typed}"
            yield f"      {reason}"


def _from_afar(state: RunState, named: str) -> Iterator[tuple[str, str]]:
    """Yield what to type for a mirror whose run may still be working: only the run's own machine can see that."""
    status, resume = f"drfsm status {quote(named)}", f"drfsm resume {quote(named)}"
    yield status, "run this again: if the last record is newer, the run is working; wait"
    yield (
        f"{resume} --take-over {quote(state.run_id)}",
        f"go on here, if no process on {printable(state.host)} works on it; the command says what else it needs",
    )


def shortest_name(state: RunState, place: str) -> str:
    """Return the shortest name by which the commands find the bundle: the run's id where it is at home."""
    path = PurePath(place)
    if place.startswith("s3://"):  # another machine knows it by no other name
        return place
    return state.run_id if not place or path.parts[-2:] == ("runs", state.run_id) else place
