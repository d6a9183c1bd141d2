"""The words of notices: that a run needs a person, why, what is frozen, and what to type. Pure; sends nothing.

A notice goes to a channel that renders what it gets, and it holds words from buckets, clusters and people. So every
such text passes ``harmless``: it can't break a line, address a channel, hold a link or a mark of a markup language.
Never a task's token, a confirmation or a target's address. deliveries.py sends them; notifying.py says when.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from shlex import quote
from typing import Any

from attrs import frozen

from drfsm.adapters.notice_targets import Message, Target
from drfsm.claims import bounded, moment, printable, seconds_between
from drfsm.evidence.durations import lasting
from drfsm.evidence.standing import shortest_name
from drfsm.evidence.wording import NOBODY as NOBODY_WORDS
from drfsm.evidence.wording import commands, frozen_in_order, nobody_since
from drfsm.evidence.wording import moment as in_words
from drfsm.journal import RunState

HELD, ENDED, STOPPED, NOBODY = "held", "ended", "stopped", "nobody_can_publish"
EVENTS = frozenset({HELD, ENDED, STOPPED, NOBODY})
NOTIFY_AFTER_SECONDS = 900.0
SCHEMA = "drfsm.notice.v1"
LONGEST_REASON = 800  # characters
_MOST_COMMANDS = 6
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "'", "*": "∗", "|": "¦", "~": "∼", "[": "(", "]": ")"})  # noqa: RUF001  on purpose: they look the same, and mean nothing
_URGENCIES = {"complete": "success", "aborted": "warning", "failed": "failure", "refused": "warning"}


@frozen
class Notify:
    """Whom a command notifies, and of what. ``after_seconds``: how long nobody may be able to publish; 0: no matter."""

    targets: tuple[Target, ...] = ()
    after_seconds: float = NOTIFY_AFTER_SECONDS
    events: Collection[str] = EVENTS


def harmless(text: object, longest: int = LONGEST_REASON) -> str:
    """Return a text from outside on one line, without what a chat, a mail or a pager would act on, and bounded."""
    plain = bounded(_CREDENTIALS.sub("", str(text)), longest).translate(_HARMLESS)
    return re.sub(r"_{2,}", "_", plain).replace("://", ":\N{DIVISION SLASH}\N{DIVISION SLASH}")


def of_run(event: str, state: RunState, place: str, now: str, *, fact: str, reason: str = "") -> Message:
    """Return the notice of a run. ``fact``: what it is about, so that it is sent once; ``reason``: instead of its own.

    ``now``: as records have times. ``place``: its bundle.
    """
    why, since = reason or state.reason, nobody_since(state.frozen_since)
    typed = list(_typed(event, state, place))
    plan = next((word for command in typed for word in re.findall(r"--plan ([0-9a-f]{64})", command)), "")
    what = _what(event, state, typed[0].startswith("drfsm approve "), since, now)
    run, machine, where = (harmless(text, 200) for text in (state.run_id, state.machine, state.state))
    lines = [
        f"{machine} {run} {_stands(event, state)} {where}.",
        *([f"Why: {harmless(why)}"] if why else []),
        *([f"What to do: {harmless(state.hint)}"] if state.hint and event == HELD else []),
        *_frozen(state, since, now),
        *([f"The plan's digest: {plan}"] if plan else []),
        *_to_type(typed, state.host),
    ]
    fields = {
        "schema": SCHEMA,
        "event": event,
        "fact": fact,
        "at": now,
        "run_id": run,
        "procedure": machine,
        "scope": harmless(state.scope, 40),
        "status": harmless(state.status, 40),
        "state": where,
        "reason": harmless(why),
        "frozen": [{"what": harmless(word), "since": harmless(at, 40)} for word, at in state.frozen_since.items()],
        "nobody_can_publish_since": harmless(since, 40) or None,
        "plan_sha256": plan or None,
        "next": typed,
    }
    urgency = _URGENCIES.get(state.status, "warning") if event == ENDED else "warning"
    return Message(
        id=f"{run}:{fact}",
        title=f"drfsm {machine}: {what}",
        text="\n".join(lines),
        urgency="failure" if event in (NOBODY, STOPPED) else urgency,
        fields=fields,
    )


def _what(event: str, state: RunState, approvable: bool, since: str, now: str) -> str:
    if event == NOBODY:
        return f"nobody can publish, for {_for(since, now)} now"
    if event == STOPPED:
        return "the process stopped with an error, and a person must look"
    if event == ENDED:
        return f"the run ended {harmless(state.status, 40)}"
    return "an approval is needed" if approvable else "a decision is needed"


def _stands(event: str, state: RunState) -> str:
    if event == ENDED:
        return f"ended {harmless(state.status, 40)} in"
    return {HELD: "is held in", STOPPED: "was left in"}.get(event, "is at work in")


def _for(since: str, now: str) -> str:
    earlier, later = moment(since), moment(now)
    return "an unknown time" if earlier is None or later is None else lasting(seconds_between(earlier, later))


def _frozen(state: RunState, since: str, now: str) -> Iterator[str]:
    if since:
        yield f"NOBODY CAN PUBLISH since {harmless(in_words(since), 40)} ({_for(since, now)})."
    rest = [word for word in frozen_in_order(state.frozen_since) if not word.startswith(NOBODY_WORDS)]
    for word in rest:
        yield f"Frozen: {harmless(word)}, since {harmless(in_words(state.frozen_since[word]), 40)}."
    if not since and not rest:
        yield "Frozen: nothing, as far as this run knows."


def _typed(event: str, state: RunState, place: str) -> Iterator[str]:
    """Yield what a person can type: made of names that drfsm checked, so that it can be pasted as it is."""
    named = shortest_name(state, place)
    if event in (ENDED, NOBODY):
        yield printable(f"drfsm status {quote(named)}")
    else:
        yield from (printable(command) for command, _ in list(commands(state, named))[:_MOST_COMMANDS])


def _to_type(typed: Sequence[str], host: str) -> Iterator[str]:
    on = f" on {harmless(host, 100)}" if host else ""
    yield f"What to type{on}:"
    yield from (f"  {command}" for command in typed)


# --- a run that a worker drives ---------------------------------------------------------------------------


def of_execution(
    *, machine: str, run_id: str, state: str, reason: str, triggers: Sequence[str], plan_sha256: str, execution_arn: str
) -> Message:
    """Return the notice of a run that waits for a person, and that an execution drives: the execution is answered.

    ``triggers``: what a person may fire.
    """
    needs = "an approval" if plan_sha256 and "approve" in triggers else "a decision"
    typed = [_answer(trigger, plan_sha256, execution_arn) for trigger in triggers]
    lines = [
        f"{harmless(machine, 100)} {harmless(run_id, 200)} waits in {harmless(state, 200)} and needs {needs}.",
        *([f"Why: {harmless(reason)}"] if reason else []),
        *([f"The plan's digest: {plan_sha256}"] if plan_sha256 else []),
        *_to_type(typed, ""),
    ]
    fields: dict[str, Any] = {
        "schema": SCHEMA, "event": HELD, "run_id": harmless(run_id, 200), "procedure": harmless(machine, 100),
        "status": "held", "state": harmless(state, 200), "reason": harmless(reason),
        "plan_sha256": plan_sha256 or None, "execution_arn": execution_arn or None, "next": typed,
    }  # fmt: skip
    title = f"drfsm {harmless(machine, 100)}: {needs} is needed"
    return Message(f"{run_id}:held:{state}", title, "\n".join(lines), "warning", fields)


def _answer(trigger: str, plan_sha256: str, execution_arn: str) -> str:
    execution = f" --execution-arn {quote(execution_arn)}" if execution_arn else ""
    if trigger == "approve":
        plan = f" --plan {plan_sha256}" if plan_sha256 else ""
        return printable(f"drfsm approve{execution} --ticket ...{plan}")
    if trigger == "decline":
        return printable(f"drfsm decline{execution} --reason '...'")
    return printable(f"drfsm answer {quote(trigger)}{execution} --reason '...'")
