"""The words that summary, narrative and step logs share: times, observations, commands; and what is never shown.

Every text that came from a journal passes ``claims.printable`` before it reaches a terminal, so that the name of a Job
can't move a cursor.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from drfsm import claims
from drfsm.claims import is_name, printable
from drfsm.claims import moment as moment_of
from drfsm.errors import common_causes, in_one_line, shown
from drfsm.evidence.durations import lasting, marked
from drfsm.journal import OpenIntent, Record, RunState
from drfsm.journal.record_types import Failed, Forecast, Held, Repaired, Resolved, Sampled, Transition

BY_A_PERSON = "a person decides"  # the end of the cases of spec/recovery.py that resume can't settle
NOBODY = "nobody can publish"
"""How the words of a machine's ``frozen:`` rules begin that a tired person must not overlook."""

NO_WRITES = "no site takes its users' writes"
"""Likewise, of a workload that serves."""

DOCUMENTS = ("workload", "comparison_profile")
"""Inputs that hold a whole document; readers are shown its name and digest."""
LATER = "later"
"""A time that is not known yet: durations up to it are marks."""
WHY = '--reason "..."'
_YES = "yes"
_ANY = "..."  # what a person must fill in
_WITHHELD = re.compile(r"confirm|token|secret|passw|_env$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_ROW = re.compile(r".* --(?P<trigger>.+)--> .*", re.DOTALL)
_PROVEN_WIDTH = 600
_ACCEPTED_WIDTH = 1500
ACCEPTED = "accepted"
"""The value of a fact that found something wrong which a person accepts: a word of every shipped machine."""


def shown_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs with a value that a reader may see: no confirmation, no credentials.

    Of a document that was recorded whole, its name and digest.
    """
    return {
        name: _shown_input(name, value)
        for name, value in inputs.items()
        if not _WITHHELD.search(name) and value not in ("", None)
    }


def _shown_input(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in DOCUMENTS:
        return f"{document_name(value)}, sha256 {hashlib.sha256(value.encode()).hexdigest()}"
    return _CREDENTIALS.sub("", value)


def document_name(text: str) -> str:
    """Return the name that a recorded document gives itself, "unnamed" without one."""
    try:
        document = json.loads(text)
    except ValueError:
        return "unnamed"
    names = [document.get(key) for key in ("workload", "name")] if isinstance(document, Mapping) else []
    return printable(next((name for name in names if isinstance(name, str) and name), "unnamed"))


def frozen_in_order(frozen_since: Mapping[str, str]) -> list[str]:
    """Return what is frozen, in the machine's words; that nobody can publish comes first, and once."""
    loud = [word for word in frozen_since if word.startswith(NOBODY)]
    rest = [word for word in frozen_since if word not in loud]
    return [*([NOBODY] if NOBODY in loud else loud), *rest]


def nobody_since(frozen_since: Mapping[str, str]) -> str:
    """Return since when nobody can publish, by the machine's frozen rules; "" if a site can."""
    times = [since for word, since in frozen_since.items() if word.startswith(NOBODY)]
    return min(times, key=_seconds_of, default="")


def _seconds_of(at: str) -> float:
    read = moment_of(at)
    return 0.0 if read is None else read.timestamp()


def clip(text: object, width: int) -> str:
    """Return a plain text of at most ``width`` characters; what was cut off is marked."""
    plain = printable(text)
    return plain if len(plain) <= width else f"{plain[: width - 1]}…"


def one_by_one(reason: str, findings: Sequence[str], width: int, reason_width: int = 0) -> list[str]:
    """Return a reason, one finding a line of at most ``width``, where they are on record one by one."""
    return [clip(finding, width) for finding in findings] or [clip(reason, reason_width or width)]


def compact(seen: Any, width: int) -> str:
    """Return JSON that was seen, on one line of at most ``width`` characters."""
    return clip(json.dumps(seen, ensure_ascii=False, separators=(",", ":"), default=str), width)


def observation(seen: Any, width: int) -> str:
    """Return what was seen on one line: as JSON where that fits, else in its own words where it has some."""
    has_words = isinstance(seen, Mapping) and isinstance(seen.get("in_words"), str)
    whole = json.dumps(seen, ensure_ascii=False, separators=(",", ":"), default=str)
    return clip(seen["in_words"], width) if has_words and len(whole) > width else clip(whole, width)


def identities(proven: Mapping[str, Any]) -> str:
    """Return what is proven of somebody in words: ``OS user ada (uid 1000) on desk; cloud arn:…; dr as system:admin``.

    "" where nothing is. An identity that was asked for without an answer is left out here; the summary has it.
    """
    os_user, clusters = proven.get("os_user"), proven.get("cluster_users")
    words = []
    if isinstance(os_user, Mapping):
        name, host = os_user.get("name") or "without a name", os_user.get("host")
        words.append(f"OS user {name} (uid {os_user.get('uid')})" + (f" on {host}" if host else ""))
    if isinstance(cloud := proven.get("cloud_caller"), str):
        words.append(f"cloud {cloud}")
    if isinstance(clusters, Mapping):
        words += [f"{site} as {user}" for site, user in clusters.items() if isinstance(user, str)]
    return clip("; ".join(words), _PROVEN_WIDTH)


def stopping(forecasts: Iterable[Forecast]) -> list[str]:
    """Return what would stop the run of a dry run; first, and once each, why facts could not be read."""
    failed = [(forecast, check) for forecast in forecasts for check in forecast.failed]
    causes, others = common_causes([{**check.json, "of": (forecast, check)} for forecast, check in failed])
    of_their_own = [f"{forecast.trigger}: {check.words}" for forecast, check in (entry["of"] for entry in others)]
    return [*(in_one_line(why, facts) for why, facts in causes.items()), *of_their_own]


def trigger_of(row: object) -> str:
    """Return the trigger that a row's key names (``source --trigger--> to``)."""
    key = _ROW.fullmatch(str(row))
    return key["trigger"] if key else str(row)


def step_of(record: Record) -> str:
    """Return the trigger of the step that a record belongs to; "" if to none."""
    content = record.content
    if isinstance(content, Held):
        return content.stage
    if isinstance(content, Transition | Failed | Forecast):
        return content.trigger
    return trigger_of(content.row) if isinstance(content, Sampled | Repaired | Resolved) else ""


def source_of(row: object) -> str:
    """Return the state that a row's key begins with."""
    return str(row).split(" --", 1)[0]


def moment(at: str) -> str:
    """Return a record's time to the second: ``2026-02-27 03:12:04Z``."""
    return printable(f"{at[:19].replace('T', ' ')}Z")


def seconds_between(earlier: str, later: str) -> float | None:
    """Return the seconds from one record's time to another's, None if one of them is no time.

    A clock that was set back in between gives 0: no duration is negative.
    """
    first, last = moment_of(earlier), moment_of(later)
    return None if first is None or last is None else round(claims.seconds_between(first, last), 3)


def clock_remarks(records: Iterable[Record]) -> Iterator[str]:
    """Yield where the log's times go back: the clock was set, or another machine with another clock went on."""
    before: Record | None = None
    for record in records:
        earlier = moment_of(before.at) if before is not None else None
        now = moment_of(record.at)
        if before is not None and earlier is not None and now is not None and now < earlier:
            back = claims.seconds_between(now, earlier)
            yield (
                f"remark: record #{record.seq} is {lasting(back)} earlier than #{before.seq}: a clock was set back, or"
                " two machines' clocks differ. The order is that of the chain; durations across it are not known"
            )
        before = record


def so_long(since: str, now: str) -> str:
    """Return how long it is since then, in brackets; "" where one of the two is no time, or none is asked for.

    ``now`` may be ``LATER``: then a mark stands for the duration, which `durations.filled` puts in.
    """
    if now == LATER:
        at = moment_of(since)
        return f" ({marked(at.timestamp())})" if at is not None else ""
    seconds = seconds_between(since, now) if now and since else None
    return "" if seconds is None else f" ({lasting(seconds)})"


def commands(state: RunState, named: str) -> Iterator[tuple[str, str]]:
    """Yield (the exact command, why) for every next action where a run stands; none if there is nothing to do.

    A row whose name no declaration could have is no command: whoever wrote the journal wrote that too.
    """
    run = quote(named)
    if state.ended:
        if not state.sealed:
            yield f"drfsm resume {run}", "seal the log; nothing else is left to do"
        return
    # An open intent may be the point of no return; the recorded actions are those from before it.
    proviso = " (refused past the point of no return)" if state.open and state.status != "held" else ""
    approvals = list(_approvals(state, run, proviso))
    if not _is_approved(state):
        yield from approvals
    yield f"drfsm resume {run}", _resume_words(state.open)
    if _is_approved(state):
        yield from approvals[-1:]  # once more, should the plan have changed
    if state.status == "held" and state.open is not None and BY_A_PERSON in state.reason:
        yield (
            f"drfsm resolve done {run} {WHY}",
            f"say that {printable(state.open.trigger)} was done, if resume can't see that",
        )
        yield f"drfsm resolve not_done {run} {WHY}", "say that it was not done"
    for trigger, reason, args in sorted(_requests(state), key=lambda request: _gives_up(request[0])):
        if trigger == "approve" or (trigger == "abort" and state.forward_only):
            continue
        verb = "abort" if trigger == "abort" else f"request {quote(trigger)}"
        options = "".join(f" --arg {name}={value}" for name, value in args.items())
        yield f"drfsm {verb} {run} {WHY}{options}", reason + proviso


def _is_approved(state: RunState) -> bool:
    """Whether a person approved the plan as it was last read: the run waits for something else."""
    reading = state.facts.get("approval")
    return bool(state.args.get("approve")) and reading is not None and reading.value == "current"


def _approvals(state: RunState, run: str, proviso: str) -> Iterator[tuple[str, str]]:
    """Yield how to approve, which comes first where a run waits for it: a verb of its own shows what is approved."""
    if not any(offered.action == "approve" for offered in state.next_actions):
        return
    execution = str(state.inputs.get("execution_id") or "")
    is_told = not state.args.get("approve") and execution.startswith("arn:") and ":execution:" in execution
    told = f" --execution-arn {quote(execution)}" if is_told else ""
    if plan := _plan_to_approve(state):
        yield f"drfsm approve {run} --ticket ... --plan {plan}{told}", "approve exactly the plan that was shown last"
    yield (
        f"drfsm approve {run} --ticket ...{told}",
        f"show the plan as it is now, and approve that at a terminal{proviso}",
    )


def _plan_to_approve(state: RunState) -> str:
    """Return the digest of the plan that waits for an approval, as it was last read; "" where none waits."""
    reading = state.facts.get("approval")
    sha256 = reading.seen.get("sha256") if reading and isinstance(reading.seen, Mapping) else None
    waits = state.status == "held" and any(offered.action == "approve" for offered in state.next_actions)
    return sha256 if waits and isinstance(sha256, str) and is_name("sha256", sha256) else ""


def _resume_words(intent: OpenIntent | None) -> str:
    return f"check whether {printable(intent.trigger)} was done, then go on" if intent else "go on from exactly here"


def _gives_up(trigger: str) -> bool:
    """Whether a trigger declares a site lost: whoever types the first line that is offered must not meet this one."""
    return trigger.startswith("declare_")


def _requests(state: RunState) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (trigger, reason, {argument: the value to type, "..." where a person must say it}) of what may be asked."""
    for offered in state.next_actions:
        if offered.action != "resume" and is_name("state", offered.action):
            if _is_declared(offered.action, state):
                continue
            args = [name for name in offered.args if name != "reason" and is_name("state", name)]
            legal_of = {name: _sayable(offered.action, offered.values.get(name, ())) for name in args}
            typed = {name: _to_type(legal, state.inputs.get(name)) for name, legal in legal_of.items()}
            open_ones = [name for name, value in typed.items() if value == _ANY and name in offered.values]
            legal = "; ".join(f"{name} is {' or '.join(offered.values[name])}" for name in open_ones)
            yield offered.action, printable(f"{offered.reason} ({legal})" if legal else offered.reason), typed


def _is_declared(trigger: str, state: RunState) -> bool:
    """Whether a person declared this already, and nothing stands in the way: a second time has nothing to change.

    A run that is held may need it again, as what it did may have been taken back by somebody else (a fence lifted).
    """
    return _gives_up(trigger) and trigger in state.args and state.status != "held"


def _sayable(trigger: str, legal: Sequence[str]) -> Sequence[str]:
    """Return the values that an argument may have: who declares a site lost says yes, also where it was said before."""
    return (_YES,) if _gives_up(trigger) and set(legal) == {_YES, "no"} else legal


def _to_type(legal: Sequence[str], now: Any) -> str:
    """Return the one legal value that an argument doesn't have yet; "..." where there is more than one, or any."""
    if len(legal) == 1 and is_name("state", legal[0]):
        return legal[0]
    others = [value for value in legal if value != now and is_name("state", value)]
    return others[0] if len(others) == 1 and now in legal else _ANY


def accepted_words(fact: str, seen: Any) -> str:
    """Return what a person accepted that a fact found, loud: a success must not be read as if all were well."""
    said = seen.get("accepted") if isinstance(seen, Mapping) else None
    if not isinstance(said, str):
        return clip(f"ACCEPTED: {fact.replace('_', ' ')} (seen: {shown(seen)})", _ACCEPTED_WIDTH)
    return clip(f"ACCEPTED: {said}" + (f" (seen: {shown(seen)})" if "in_words" in seen else ""), _ACCEPTED_WIDTH)
