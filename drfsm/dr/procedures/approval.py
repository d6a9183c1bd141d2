"""What an operator approves: a plan, its digest, and whether it is still current.

The plan is read from the world each time anew: the run that is to become canonical and the digest over all of its
artifacts, where it goes, the cluster that takes over, what the pointers say now (their content, never ETags), and how
the primary is kept from publishing. It is of one run: the run's id and a nonce are in it, so that an approval, or a
no, of one run says nothing in another, though they would do the same. A dry run's plan is of the one start that it
reserves (runs/reserved_plans.py). An approval is the SHA-256 of that plan, a name and a ticket, recorded by the row
``approve`` whose record has the time. Whatever changes in the world or in how the primary is stopped makes it stale.
Once the pointers are captured the plan says what was captured: that they stay so is pointers.py's matter. Nothing
here looks at a clock; how old an approval is, and whose, is approver.py's matter. Whether a primary that is to go
without a fence is really silent is asked here, too.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from drfsm import claims
from drfsm.dr.artifacts import verify, verify_latest
from drfsm.dr.artifacts.compare import StoreRun, compare, profile_of
from drfsm.dr.layout import Layout
from drfsm.dr.pointers import is_older, keys_of, lost, said, staged_end
from drfsm.dr.procedures.approver import store_time
from drfsm.dr.progress import quiet
from drfsm.dr.sites import fence
from drfsm.dr.terms import Terms, terms_of
from drfsm.dr.validation import parsed
from drfsm.dr.workload import digest as digest_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Unreachable, Unreadable, UsageFault
from drfsm.world import World

Plan = Mapping[str, Any]
SHOWN = 12  # characters of a digest that a person types


def plan(world: World, run: Run) -> dict[str, Any]:
    """Return the plan as of now."""
    terms = terms_of(run.inputs)
    site = terms.target_site
    beside, run_id = terms.staged(run.id), terms.new_run
    whole = verify(world.store, beside, run_id, pairs=[terms.pair], note=quiet, check=run.check)
    newest = verify_latest(world.store, beside, run_id, pairs=[terms.pair], note=quiet, check=run.check, whole=False)
    receipt = terms.validation_receipt
    decides, pointers = _pointers(world, run)
    return {
        **_of_run(run),
        "bucket": terms.bucket,
        "prefix": terms.prefix,
        "candidate": terms.candidate,
        **_of_workload(terms),
        "canonical_run": {
            "run_id": run_id,
            "ended_at": staged_end(world, run),
            "staged": whole.where,
            "verdict": whole.verdict,
            "level": whole.level,
            "artifacts": whole.expected,
            "tree_sha256": whole.tree_sha256,
            "latest_sha256": newest.tree_sha256,
        },
        "validated_by": {
            "how": terms.validation,
            "receipt_sha256": hashlib.sha256(receipt.encode()).hexdigest() if receipt else None,
            "validated_at": parsed(receipt).get("validated_at") if receipt else None,
        },
        **_compared(world, run),
        "cluster_uid": world.site(site).uid(),
        "decides": decides,
        "pointers": pointers,
        "primary": {
            "stop": stop(terms),
            "unreachable": lost(run, "primary"),
            "fence_role": terms.fence_primary_role if _fences(terms) else None,
            "reason": terms.reason if lost(run, "primary") else None,
        },
    }


def _of_workload(terms: Terms) -> dict[str, str]:
    """Return the digest of the contract. Runs that older versions began recorded none: their plan stays as it was."""
    return (
        {"workload": terms.workload.name, "workload_sha256": digest_of(terms.workload)}
        if terms.recorded_contract
        else {}
    )


def _compared(world: World, run: Run) -> dict[str, Any]:
    """Return how the validated run differs from the one whose place it takes: told to who approves, it decides nothing.

    Runs that older versions began compare none.
    """
    terms = terms_of(run.inputs)
    if not terms.recorded_contract or not terms.old_run:
        return {}
    check, beside, layout = run.check, terms.staged(run.id), terms.layout
    canonical = Layout(terms.rehearses, layout.candidate, layout.workload) if terms.is_rehearsal else layout
    found = compare(
        StoreRun(world.store, canonical.run(terms.old_run), terms.old_run, "canonical", check),
        StoreRun(world.store, beside.run(terms.new_run), terms.new_run, "validated", check),
        profile_of(terms.workload, terms.comparison_profile),
        terms.workload,
    )
    counts = {weight: sum(kinds.values()) for weight, kinds in found.counts.items()}
    return {
        "compared": {
            "profile": found.profile,
            "profile_sha256": found.profile_sha256,
            "with": terms.old_run,
            "incomparable": found.incomparable,
            **counts,
            "differences_sha256": found.sha256,
        }
    }


def _of_run(run: Run) -> dict[str, Any]:
    """Return the fields that bind the plan to this run. Runs of 0.1.0 have no nonce, and their plan does not change."""
    terms = terms_of(run.inputs)
    if not terms.plan_nonce:
        return {"schema_version": 1}
    reserved = terms.plan_run or run.id
    return {"schema_version": 2, "run": reserved if run.dry_run else run.id, "nonce": terms.plan_nonce}


def _pointers(world: World, run: Run) -> tuple[str, dict[str, Any]]:
    """Return the deciding key, and each pointer's content: as captured, else as of now."""
    captured, form = run.results.get("capture_pointers"), terms_of(run.inputs).workload.pointers
    decides = terms_of(run.inputs).layout.global_pointers()[0]
    if captured is not None:
        return decides, {key: pointer["says"] for key, pointer in captured["pointers"].items()}
    provider_keys, global_keys = keys_of(world, run)
    blobs = {key: world.store.get(key) for key in (*global_keys, *provider_keys)}
    return decides, {key: said(blob.body, key, form) if blob else None for key, blob in blobs.items()}


def stop(terms: Terms) -> str:
    """Return how the primary is kept from publishing, by the run's inputs."""
    if _fences(terms):
        roles = (terms.fence_primary_role, terms.fence_dr_role)
        return "by_fence" if all(map(fence.identified, roles)) else "unclear"
    if terms.primary_unreachable:
        return "by_risk" if terms.risk_taken else "unclear"
    return "by_freeze"


def _fences(terms: Terms) -> bool:
    return terms.fence_primary or (terms.primary_unreachable and not terms.no_fence)


def digest(shown_plan: Plan) -> str:
    """Return a plan's digest: the SHA-256 over its canonical JSON."""
    canonical = json.dumps(shown_plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def canonical_now(shown_plan: Plan) -> str:
    """Return the run that a plan replaces: the one of the deciding pointer, "" for none."""
    return str(_deciding(shown_plan).get("run_id") or "")


def _deciding(shown_plan: Plan) -> Mapping[str, Any]:
    return shown_plan["pointers"].get(shown_plan["decides"]) or {}


def differences(before: Plan, now: Plan) -> Iterator[str]:
    """Yield the differences between two plans in words, the pointers first."""
    was, are = before.get("pointers", {}), now.get("pointers", {})
    for key in sorted(was.keys() | are.keys()):
        old, new = was.get(key) or {}, are.get(key) or {}
        if old.get("run_id") != new.get("run_id"):
            yield f"pointers {_short(key, now)}: was run {old.get('run_id')}, is run {new.get('run_id')}"
        elif old != new:
            yield f"pointers {_short(key, now)}: other fields of the run {new.get('run_id')} changed"
    rest = [{name: value for name, value in document.items() if name != "pointers"} for document in (before, now)]
    yield from _apart("", *rest)


def _short(key: str, shown_plan: Plan) -> str:
    return key.removeprefix(f"{shown_plan['prefix']}/")


def _apart(where: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from _apart(f"{where}.{name}" if where else name, old.get(name), new.get(name))
    elif old != new:
        yield f"{where}: was {old}, is {new}"


def _difference(compared: Mapping[str, Any]) -> str:
    if compared["incomparable"]:
        return f"not comparable: {compared['incomparable']}"
    numbers = f"{compared['integrity']} differences of integrity, {compared['content']} of content"
    return f"{numbers}, by the profile {compared['profile']}"


def in_words(shown_plan: Plan) -> Iterator[str]:
    """Yield a plan in words, for its approver."""
    run, primary = shown_plan["canonical_run"], shown_plan["primary"]
    yield (
        f"Done by:            {shown_plan['run']}, by no other run"
        if "run" in shown_plan
        else "Done by:            this run"
    )
    yield f"Becomes canonical:  {run['run_id']}, ended at {run['ended_at']}"
    yield f"                    {run['verdict']} ({run['level']}), {run['artifacts']} artifacts, from {run['staged']}"
    yield f"                    tree sha256 {run['tree_sha256']}"
    yield f"In place of:        {canonical_now(shown_plan) or 'no run'}"
    if is_older(run["ended_at"], _deciding(shown_plan).get("ended_at")):
        older_by = _by(run["ended_at"], _deciding(shown_plan)["ended_at"])
        yield f"ATTENTION:          OLDER than what is canonical{older_by}"
        yield "                    its results are replaced by older ones; to approve that: --allow-older"
    if compared := shown_plan.get("compared"):
        yield f"Compared with it:   {_difference(compared)}"
    yield f"At:                 s3://{shown_plan['bucket']}/{shown_plan['prefix']}, candidate {shown_plan['candidate']}"
    if "workload" in shown_plan:
        yield f"By the contract:    {shown_plan['workload']}, sha256 {shown_plan['workload_sha256']}"
    yield f"Published by:       DR, cluster {shown_plan['cluster_uid']}, validated by {_validated(shown_plan)}"
    yield f"The primary:        {_STOPS[primary['stop']]}"
    if primary["fence_role"]:
        yield f"                    fenced: {primary['fence_role']}"
    if primary["reason"]:
        yield f"                    because: {primary['reason']}"
    others = sorted(
        {str((pointer or {}).get("run_id")) for pointer in shown_plan["pointers"].values()}
        - {canonical_now(shown_plan)}
    )
    for other in others:
        yield f"ATTENTION:          not all pointers name that run: some name {other}"


_STOPS = {
    "by_freeze": "is reachable: its schedules are suspended, its publishing is switched off, its Jobs are awaited",
    "by_fence": "its identity is denied every write to pointers and latest",
    "by_risk": "IS LOST AND NOT FENCED: if it returns, it may publish over DR",
    "unclear": "it is not decided how it is kept from publishing",
}


def _validated(shown_plan: Plan) -> str:
    by = shown_plan["validated_by"]
    if by["how"] == "own":
        return "this run"
    return f"a receipt of {by['validated_at']} (sha256 {str(by['receipt_sha256'])[:SHOWN]}…)"


def _by(ended_at: Any, canonical: Any) -> str:
    """Return the difference in words; "" if one of the two times is invalid."""
    later, earlier = claims.moment(canonical), claims.moment(ended_at)
    return "" if later is None or earlier is None else f" by {str(later - earlier).partition('.')[0]}"


def _observe(world: World, run: Run) -> dict[str, Any]:
    """Observe the current plan, and first its differences from the approved one.

    In the row `approve` itself it is not known yet who fires it: that is compared with the name from the next row on.
    """
    terms = terms_of(run.inputs)
    current, earlier = plan(world, run), run.args.get("approve", {})
    on_record = run.trigger != "approve" and earlier.get("approved_plan") == terms.approved_plan
    fired_by = earlier.get("operator") if on_record else None
    borrowed = [f"approved in the name of {terms.approved_by}, by {fired_by}"] if _borrowed(fired_by, terms) else []
    return {
        "changed": [*borrowed, *_changed(earlier, current, run)],
        "fired_by": fired_by,
        "plan": current,
        "sha256": digest(current),
        "store_time": store_time(world, f"{current['prefix']}/drfsm/ownership.json"),
    }


def _changed(earlier: Mapping[str, Any], current: Plan, run: Run) -> Iterator[str]:
    """Yield the differences from the last approved plan, if that is on record."""
    terms = terms_of(run.inputs)
    approved = earlier.get("plan")
    if isinstance(approved, Mapping) and digest(approved) == earlier.get("approved_plan"):
        yield from differences(approved, current)
    elif terms.approved_plan not in ("", digest(current)):
        yield f"the plan's digest is now {digest(current)}, not {terms.approved_plan}"


def _judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge by the plan itself: the digest beside it is for readers. An approval in another person's name is void."""
    terms = terms_of(inputs)
    approval = [words.strip() for words in (terms.approved_plan, terms.approved_by, terms.ticket)]
    if not all(approval) or _borrowed(seen["fired_by"], terms):
        return "none"
    of_this_run = seen["plan"].get("nonce", "") == terms.plan_nonce
    return "current" if of_this_run and digest(seen["plan"]) == approval[0] else "stale"


def _borrowed(fired_by: Any, terms: Terms) -> bool:
    """Whether the approval is known to be fired by another person than the one it names."""
    return fired_by is not None and str(fired_by).strip() != terms.approved_by.strip()


def _primary_answers(world: World, _run: Run) -> dict[str, Any]:
    """Ask the primary's cluster, whatever was declared. A refusal is an answer, too; only silence is none."""
    try:
        world.site("primary").get("Namespace", "", "kube-system")
    except Unreadable:
        raise  # something answers, and it is not the primary's cluster: nobody can say whether that is silent
    except (Unreachable, UsageFault) as fault:
        return {"answers": False, "why": fault.what}
    except ActionFailed as fault:
        return {"answers": True, "why": fault.what}
    return {"answers": True, "why": "its namespace kube-system was read"}


FACTS = {
    "approval": Fact(_observe, _judge),
    "primary_answers": Fact(_primary_answers, lambda seen, _inputs: "yes" if seen["answers"] else "no"),
    "primary_stop": Fact(
        lambda _world, run: {
            name: str(terms_of(run.inputs).recorded(name))
            for name in (
                "fence_primary", "fence_primary_role", "fence_dr_role", "primary_unreachable", "no_fence", "reason"
            )
        },
        lambda seen, _inputs: stop(terms_of(seen)),
    ),
}  # fmt: skip
