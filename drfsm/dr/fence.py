"""A fence that holds without the fenced: a bucket policy that denies a site's identity pointers and latest.

It is for a site that can't be drained: a pod on a lost node, a cluster that doesn't answer. The statement
denies ``aws:PrincipalArn`` every write below ``state/`` and ``latest/``, of every candidate's layout, and
nothing else; it is one statement with a Sid of ours beside whatever else the policy says. PutBucketPolicy
has no compare-and-swap, so after every write the policy is read again and must be what was meant. Refused:
a fence without a named identity, one on the identity that drfsm itself uses, and one on an identity that
both sites share (it would silence the other site as well).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from drfsm.dr.layout import layout_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import World

SIDS = {"primary": "DrfsmFencePrimary", "dr": "DrfsmFenceDr"}
ACTIONS_DENIED = ("s3:PutObject", "s3:DeleteObject")
SETTLE_SECONDS = 1.0
Statement = dict[str, Any]


def statement(site: str, bucket: str, prefix: str, role: str) -> Statement:
    """Return the statement that fences a site's identity."""
    partition = role.split(":")[1] if role.startswith("arn:") else "aws"
    below = ("state/*", "latest/*", "candidates/*/state/*", "candidates/*/latest/*")
    return {
        "Sid": SIDS[site],
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(ACTIONS_DENIED),
        "Resource": [f"arn:{partition}:s3:::{bucket}/{prefix}/{each}" for each in below],
        "Condition": {"ArnEquals": {"aws:PrincipalArn": role}},
    }


def principal(arn: str) -> str:
    """Return an ARN as ``aws:PrincipalArn`` has it: of an assumed role's session, the role."""
    parts = arn.split(":")
    if len(parts) == 6 and parts[2] == "sts" and parts[5].startswith("assumed-role/"):  # noqa: PLR2004  an ARN's parts
        return f"{':'.join(parts[:2])}:iam::{parts[4]}:role/{parts[5].split('/')[1]}"
    return arn


def _role(run: Run, site: str) -> str:
    return str(run.inputs[f"fence_{site}_role"])


def _statements(raw: str | None) -> list[Statement]:
    found = json.loads(raw)["Statement"] if raw else []
    return [found] if isinstance(found, dict) else list(found)


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        statements = _statements(world.policy.read())
        ours = [each for each in statements if each.get("Sid") == SIDS[site]]
        others = [each for each in statements if each.get("Sid") not in SIDS.values()]
        told = json.dumps(others, sort_keys=True).encode()
        return {
            "statements": ours,
            "wanted": statement(site, world.store.bucket, layout_of(run.inputs).prefix, _role(run, site)),
            "other_statements_sha256": hashlib.sha256(told).hexdigest() if others else None,
        }

    return observe


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if not seen["statements"]:
        return "down"
    return "up" if seen["statements"] == [seen["wanted"]] else "foreign"


def _observe_target(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        other = "dr" if site == "primary" else "primary"
        return {"role": _role(run, site), "other": _role(run, other), "caller": principal(world.identity.caller())}

    return observe


def _judge_target(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str:
    if not seen["role"]:
        return "unnamed"
    return "shared" if seen["role"] in (seen["other"], seen["caller"]) else "distinct"


def _raise(site: str) -> Callable[[World, Run], Any]:
    def raise_fence(world: World, run: Run) -> dict[str, Any]:
        role = _role(run, site)
        if not role:
            raise ActionFailed(
                f"nobody is named to be fenced on {site}", way=f"start with --fence-{site}-role ARN", fault="operator"
            )
        wanted = statement(site, world.store.bucket, layout_of(run.inputs).prefix, role)
        _write(world, run, site, wanted)
        run.note(f"{role} is denied the pointers and latest")
        return {"sid": SIDS[site], "role": role}

    return raise_fence


def _lift(site: str) -> Callable[[World, Run], Any]:
    def lift(world: World, run: Run) -> dict[str, Any]:
        lifted = any(each.get("Sid") == SIDS[site] for each in _statements(world.policy.read()))
        if lifted:
            _write(world, run, site, None)
            run.note(f"the fence of {site} is lifted")
        return {"lifted": lifted}

    return lift


def _write(world: World, run: Run, site: str, wanted: Statement | None) -> None:
    """Put our statement in (or take it out), leave all others as they are, and read the policy again."""
    raw = world.policy.read()
    policy = json.loads(raw) if raw else {"Version": "2012-10-17"}
    kept = [each for each in _statements(raw) if each.get("Sid") != SIDS[site]]
    statements = [*kept, wanted] if wanted else kept
    world.policy.write(json.dumps({**policy, "Statement": statements}) if statements else None)
    again = _statements(world.policy.read())
    if again != statements:
        run.clock.sleep(SETTLE_SECONDS)  # policies are eventually consistent
        again = _statements(world.policy.read())
    if again != statements:
        raise Conflict("the bucket's policy does not read as it was just written: somebody else writes it too")


FACTS = {
    "primary_fence": Fact(_observe("primary"), _judge),
    "dr_fence": Fact(_observe("dr"), _judge),
    "primary_fence_target": Fact(_observe_target("primary"), _judge_target),
    "dr_fence_target": Fact(_observe_target("dr"), _judge_target),
}
ACTIONS = {
    "raise_primary_fence": _raise("primary"),
    "lift_primary_fence": _lift("primary"),
    "raise_dr_fence": _raise("dr"),
    "lift_dr_fence": _lift("dr"),
}
