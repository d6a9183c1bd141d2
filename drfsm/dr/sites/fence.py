"""A fence that holds without the fenced: a bucket policy that denies a site's identity pointers and latest.

It is for a site that can't be drained: a pod on a lost node, a cluster that doesn't answer. The statement
denies ``aws:PrincipalArn`` every write that moves or hides a pointer (fence_statement.py has the table), and
nothing else; it is one statement with a Sid of ours beside whatever else the policy says. PutBucketPolicy
has no compare-and-swap, so after every write the policy is read again and must be what was meant, in whatever order
and spelling the service gives it back (``same``); what says anything else is foreign. Refused:
a fence on anything but one role's or user's ARN, one on the identity that drfsm itself uses, and one on an
identity that both sites share (it would silence the other site as well).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from drfsm.claims import object_of
from drfsm.dr.sites.fence_statement import (
    POLICY,
    Statement,
    as_written,
    digest,
    essence,
    same,
    sid,
    statement,
    statements_of,
)
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.engine.ports import Clock
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import UNTOLD, BucketPolicy, World

SETTLE_SECONDS = 1.0
# One identity: ArnEquals heeds wildcards, and would fence whoever fits.
_IDENTITY = re.compile(
    r"arn:[a-z-]+:iam::(?P<account>\d{12}):(?P<kind>role|user)/(?:[\w+=,.@/-]+/)?(?P<name>[\w+=,.@-]+)", re.ASCII
)


def principal(arn: str) -> str:
    """Return an ARN as ``aws:PrincipalArn`` has it: of an assumed role's session, the role."""
    parts = arn.split(":")
    if len(parts) == 6 and parts[2] == "sts" and parts[5].startswith("assumed-role/"):  # noqa: PLR2004  an ARN's parts
        return f"{':'.join(parts[:2])}:iam::{parts[4]}:role/{parts[5].split('/')[1]}"
    return arn


def _who(arn: str) -> tuple[str, str, str]:
    """Return (account, role or user, name) of an ARN: names are unique in an account, whatever their path."""
    identity = _IDENTITY.fullmatch(principal(arn))
    return (identity["account"], identity["kind"], identity["name"]) if identity else ("", "", arn)


def identified(arn: str) -> bool:
    """Whether an ARN names one role or user, as a fence takes it."""
    return bool(_IDENTITY.fullmatch(arn))


def _statement(site: str, terms: Terms) -> Statement:
    return statement(site, terms.bucket, terms.layout, terms.fence_role(site))


def _as_written(statements: list[Statement], site: str, terms: Terms) -> Statement:
    """Return what drfsm wrote, where these statements say it, today's or an older version's; {} for anything else."""
    return as_written(statements, site, terms.bucket, terms.layout, terms.fence_role(site))[1]


def _ours(statements: list[Statement], run: Run, site: str) -> list[Statement]:
    mine = sid(site, terms_of(run.inputs).prefix)
    return [entry for entry in statements if entry.get("Sid") == mine]


def _observe(site: str) -> Callable[[World, Run], Any]:
    """See our statement for a site, and nothing else: it is what an undo gives back.

    One that says what ours would is seen as ours is written, so that two observations of it are equal.
    """

    def observe(world: World, run: Run) -> dict[str, Any]:
        statements = _ours(statements_of(world.policy.read()), run, site)
        own = _as_written(statements, site, terms_of(run.inputs))
        return {"statements": [own] if own else sorted(statements, key=essence)}

    return observe


def _judge(site: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], str]:
    def judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
        if not seen["statements"]:
            return "down"
        return "up" if _as_written(seen["statements"], site, terms_of(inputs)) else "foreign"

    return judge


def _judge_reliance(
    site: str, judge: Callable[[Any, Mapping[str, Any]], str]
) -> Callable[[Any, Mapping[str, Any]], str]:
    """Judge whether a fence that a run relies on still stands; ``yes`` too where it relies on none."""

    def stands(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
        relied_on = terms_of(inputs).relies_on_fence(site)
        return "removed" if relied_on and judge(seen, inputs) not in ("up", "risked") else "yes"

    return stands


def _judge_with_risk(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge the primary's fence in a promote: where it is not up, a person may take the risk of that."""
    verdict = _judge("primary")(seen, inputs)
    return "risked" if verdict != "up" and terms_of(inputs).risk_taken else verdict


def target(world: World, terms: Terms, site: str) -> dict[str, str]:
    """See who would be fenced, and whom that must not be."""
    other = "dr" if site == "primary" else "primary"
    role = terms.fence_role(site)
    known = world.identity.known(role) if identified(role) else "untold"
    return {"role": role, "known": known, "other": terms.fence_role(other), "caller": world.identity.caller()}


def judge_target(seen: Mapping[str, str], _inputs: Mapping[str, Any] | None = None) -> str | None:
    """Say whether it is one identity, and nobody else's; one that does not exist would fence nobody.

    Unknown where nobody tells who drfsm itself is: it could be the one to be fenced.
    """
    if not identified(seen["role"]) or seen["known"] == "absent":
        return "unnamed"
    if seen["caller"].startswith(UNTOLD):
        return None
    return "shared" if _who(seen["role"]) in (_who(seen["other"]), _who(seen["caller"])) else "distinct"


def _judge_both_named(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str | None:
    """Say the same in a promote: DR's identity must be named, too, or nobody can tell that the two differ."""
    return judge_target(seen) if identified(seen["other"]) else "unnamed"


def _raise(site: str) -> Callable[[World, Run], Any]:
    def raise_fence(world: World, run: Run) -> dict[str, Any]:
        terms = terms_of(run.inputs)
        role = terms.fence_role(site)
        if not identified(role):
            raise ActionFailed(
                f"{role or 'nobody'!r} can't be fenced on {site}: a fence needs the ARN of one role or user",
                hint=f"--fence-{site}-role arn:aws:iam::<account>:role/<name>",
                fault="operator",
            )
        name = sid(site, terms.prefix)
        others = rewrite(world.policy, run.clock, name, [_statement(site, terms)])
        run.note(f"{role} is now denied every write that moves or hides a pointer")
        return {"sid": name, "role": role, **others}

    return raise_fence


def _lift(site: str) -> Callable[[World, Run], Any]:
    """Take our statement away; in an undo, give back the one that was there before."""

    def lift(world: World, run: Run) -> dict[str, Any]:
        before = list(run.undoing.get(f"{site}_fence", {}).get("statements", ()))
        now = _ours(statements_of(world.policy.read()), run, site)
        if same(now, before):
            return {"lifted": False}
        others = rewrite(world.policy, run.clock, sid(site, terms_of(run.inputs).prefix), before)
        run.note(f"the fence of {site} is {'restored' if before else 'lifted'}")
        return {"lifted": True, **others}

    return lift


def rewrite(policy: BucketPolicy, clock: Clock, name: str, ours: list[Statement]) -> dict[str, Any]:
    """Put our statements of this Sid in (or take them out, for []), leave all others, and read the policy again.

    A policy that says just that already is not written: a write has no condition, and could undo another's.
    Returns what tells that the others are as they were. Raises Conflict where the policy is not what was written.
    """
    raw = policy.read()
    content = object_of(raw, POLICY) if raw else {"Version": "2012-10-17"}
    kept = [entry for entry in statements_of(raw) if entry.get("Sid") != name]
    statements = [*kept, *ours]
    if not same(statements_of(raw), statements):
        policy.write(json.dumps({**content, "Statement": statements}) if statements else None)
    again = statements_of(policy.read())
    if not same(again, statements):
        clock.sleep(SETTLE_SECONDS)  # policies are eventually consistent
        again = statements_of(policy.read())
    if not same(again, statements):
        raise Conflict("the bucket's policy differs from what was just written: another process writes it, too")
    return {"other_statements": len(kept), "other_statements_sha256": digest(kept)}


FACTS = {
    "primary_fence": Fact(_observe("primary"), _judge("primary")),
    "dr_fence": Fact(_observe("dr"), _judge("dr")),
    "primary_fence_stands": Fact(_observe("primary"), _judge_reliance("primary", _judge("primary"))),
    "dr_fence_stands": Fact(_observe("dr"), _judge_reliance("dr", _judge("dr"))),
    "primary_fence_target": Fact(lambda world, run: target(world, terms_of(run.inputs), "primary"), judge_target),
    "dr_fence_target": Fact(lambda world, run: target(world, terms_of(run.inputs), "dr"), judge_target),
}
PROMOTE = {
    "primary_fence": Fact(_observe("primary"), _judge_with_risk),
    "primary_fence_stands": Fact(_observe("primary"), _judge_reliance("primary", _judge_with_risk)),
    "primary_fence_target": Fact(lambda world, run: target(world, terms_of(run.inputs), "primary"), _judge_both_named),
}
_UNCONDITIONAL = Late(settles="a write of the bucket's policy has no condition", overwrites=True)
LATE = dict.fromkeys(("raise_primary_fence", "lift_primary_fence", "raise_dr_fence", "lift_dr_fence"), _UNCONDITIONAL)
ACTIONS = {
    "raise_primary_fence": _raise("primary"),
    "lift_primary_fence": _lift("primary"),
    "raise_dr_fence": _raise("dr"),
    "lift_dr_fence": _lift("dr"),
}
