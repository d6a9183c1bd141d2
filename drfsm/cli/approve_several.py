"""A promote that several persons approve, or that they sign: their approvals come together, and the last one fires.

The policy is the one that the run recorded at its start (``policies.promote``). Each person types `drfsm approve` and
sees the plan as of now; the answer is kept in the bundle (``approvals/``), or sent as a file and named by
``--approval``. Once enough stand, the row ``approve`` is fired, and its record holds them all. The machine's own guards
(current, in time, by another person) are asked as ever. Holds no rule: evidence/approvals.py has it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any

from attrs import frozen

from drfsm.cli.say import say
from drfsm.errors import NotApproved, UsageFault
from drfsm.evidence.approvals import APPROVE, Judgement, Policy, Subject, in_words, policy_of
from drfsm.files import Directory
from drfsm.journal import RunState

DIRECTORY = "approvals"


@frozen
class Answer:
    """One person's yes. ``key``: the file of the key that signs, "" for DRFSM_SIGNING_KEY, or for no signature."""

    by: str
    ticket: str
    reason: str
    key: str
    files: Sequence[str]  # of others' approvals
    out: str  # where to write this one, "" for the bundle


def with_others(state: RunState, place: Path | None, args: Mapping[str, Any], answer: Answer) -> dict[str, Any] | None:
    """Return the arguments of the row ``approve`` with all approvals; None where others have to approve first.

    Without a policy of the run they are returned as they are. ``place``: the bundle, None where a worker has it.
    Raises NotApproved where this person's own approval does not count, so that nothing is recorded.
    """
    policy = policy_of(state.approval.get("policy"))
    if policy is None:
        if answer.files or answer.out or answer.key:
            raise UsageFault(
                "no policy asks for several approvals of this run, or for signatures: it was started without one",
                hint="leave out --approval, --out and --key",
            )
        return dict(args)
    from drfsm.runs import approvals

    plan_sha256, at = str(args["approved_plan"]), str(args["approved_at"])
    of = Subject(state.machine, state.run_id, plan_sha256)
    own = approvals.signed(
        approvals.statement(of, APPROVE, by=answer.by, ticket=answer.ticket, reason=answer.reason), answer.key
    )
    others = [each for each in _others(place, answer.files) if each["statement"].get("plan_sha256") == plan_sha256]
    _check_own(approvals.judged_later(state, policy, [own], plan_sha256=plan_sha256, at=at), policy)
    judgement = approvals.judged_later(state, policy, [*others, own], plan_sha256=plan_sha256, at=at)
    if not judgement.suffices:
        _keep(place, own, answer, policy, judgement)
        next_one = f"drfsm approve {quote(state.run_id)} --ticket … --plan {plan_sha256}"
        say(f"the run waits. Next, by another person: {next_one}", err=True)
        say("  on another computer also: --approval, and the file of this approval", err=True)
        return None
    pinned = approvals.recorded_later(policy, judgement, plan_sha256=plan_sha256, at=at, clock="store")
    for line in in_words(pinned):
        say(f"  · {line}", err=True)
    return {**args, "approval": pinned}


def _others(place: Path | None, files: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the approvals that were named, then those that the bundle keeps, each once."""
    from drfsm.runs import approvals

    kept = sorted((place / DIRECTORY).glob("*.approval.json")) if place is not None else []
    seen: list[dict[str, Any]] = []
    for file in (*map(Path, files), *kept[: approvals.MOST_FILES]):
        each = approvals.load(file)
        if each not in seen:
            seen.append(each)
            yield each


def _check_own(judgement: Judgement, policy: Policy) -> None:
    faults = [fault.words for fault in judgement.faults if fault.code != "approvals_missing"]
    if faults:
        raise NotApproved(
            f"your approval does not count, and is not recorded: the run's policy asks for {policy.words}:",
            faults,
            hint=f"drfsm explain {faults[0].partition(':')[0]}",
        )


def _keep(place: Path | None, own: Mapping[str, Any], answer: Answer, policy: Policy, judgement: Judgement) -> None:
    """Keep an approval until others have approved, too; say what is missing."""
    from drfsm.runs import approvals

    body = json.dumps(own, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    if answer.out or place is None:
        where = str(approvals.save(Path(answer.out), Path(answer.out), own)) if answer.out else ""
    else:
        name = f"{DIRECTORY}/{sha256(body).hexdigest()[:12]}.approval.json"
        with Directory.own(place) as directory:
            directory.write(name, body, durable=True)
        where = str(place / name)
    if not where:
        raise UsageFault("others have to approve first, and a worker has the bundle", hint="add --out FILE; send it")
    say(f"your approval is written down: {where}")
    for fault in judgement.faults:
        say(f"  · {fault.words}", err=True)
    say(f"{len(judgement.counted)} of {policy.approvals} approvals stand", err=True)
