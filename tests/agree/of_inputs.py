"""The tables of the facts that are judged from the inputs, the run's own records, and who is who in the cloud."""

from datetime import timedelta

from drfsm.dr.procedures import approval
from drfsm.errors import ActionFailed
from drfsm.journal.replay import Actor
from tests.agree.cases import Change, Table, case, given, silent
from tests.agree.world import NEXT_RUN, PREFIX, ROLES, Place, a_machine, own, publish
from tests.dr.memory import NOW

WORDS, BLANK = "the region is gone", "  "
LOST, UNFENCED = given(primary_unreachable="yes", reason=WORDS), given(no_fence="yes")
OPERATOR = "arn:aws:iam::123456789012:user/operator"


def fires(trigger: str, **more: object) -> Change:
    """Return a change: the fact is read for a row of this trigger."""
    return lambda place: place.run_fields.update(trigger=trigger, **more)


def approved(hours_ago: float) -> Change:
    """Return a change: the plan was approved so long ago, and its row has not begun."""

    def approve(place: Place) -> None:
        place.set(approved_at=(NOW - timedelta(hours=hours_ago)).isoformat())
        place.run_fields["trigger"] = "freeze_primary"

    return approve


def approves(place: Place) -> None:
    """Approve the plan as it is now."""
    plan = approval.plan(place.world, place.run())
    place.set(approved_plan=approval.digest(plan), approved_by="ann", ticket="CHG-1", approved_at=NOW.isoformat())


def fired_by(person: str) -> Change:
    """Return a change: the approval on record was fired by this person."""

    def fire(place: Place) -> None:
        args = {"approved_plan": place.inputs["approved_plan"], "operator": person}
        place.run_fields["args"] = {"approve": args}

    return fire


def proven(starter: str, approver: str) -> Change:
    """Return a change: these are the cloud callers of the starter and of the approver."""

    def prove(place: Place) -> None:
        place.run_fields |= {
            "trigger": "approve",
            "starter": Actor("started", NOW.isoformat(), "ana", "here", {"cloud_caller": starter} if starter else {}),
            "proven": {"cloud_caller": approver} if approver else {"cloud_caller": {"unknown": "nobody answered"}},
        }

    return prove


def shared(site: str) -> Change:
    """Return a change: the other site publishes with this site's identity."""
    other = "dr" if site == "primary" else "primary"
    return given(**{f"fence_{other}_role": ROLES[site]})


def same_cluster(place: Place) -> None:
    """Let both kubeconfigs lead to one cluster."""
    place.primary.name = place.dr.name


def own_run(place: Place) -> None:
    """Let another run become canonical."""
    place.run_fields["results"] = {}
    publish(place.store, PREFIX, NEXT_RUN)


def refuses(*_: object) -> None:
    """Refuse, as a server does."""
    raise ActionFailed("forbidden")


FENCES = given(fence_primary="asked")
INPUTS: Table = {
    "drill_scope": (
        case("allowed", "a restore and no teardown", given(restore="asked", teardown="false", allow_full_drill="no")),
        case("allowed", "in full, as allowed", given(restore="asked", teardown="true", allow_full_drill="yes")),
        case("not_allowed", "in full, not allowed", given(restore="asked", teardown="true", allow_full_drill="no")),
    ),
    "promote_flags": (
        case("both", "both flags", given(auto_promote="true", allow_promote_bypass="true")),
        case("auto_only", "the first alone", given(auto_promote="true", allow_promote_bypass="false")),
        case("bypass_only", "the second alone", given(auto_promote="false", allow_promote_bypass="true")),
        case("no_bypass", "the first alone", given(auto_promote="true", allow_promote_bypass="false")),
        case("no_auto_promote", "the second alone", given(auto_promote="false", allow_promote_bypass="true")),
        case("neither", "none of the two", given(auto_promote="false", allow_promote_bypass="false")),
        case("unsafe", "for real, and the site is taken down", given(promote_target="canonical", teardown="true")),
    ),
    "promotion_mode": (
        case("rehearsal", "below the drill's own prefix", given(promote_target="drill")),
        case("canonical", "for real", given(promote_target="canonical")),
    ),
    "teardown_wish": (
        case("asked", "the site is taken down", given(teardown="true")),
        case("none", "the site stands", given(teardown="false")),
    ),
    "place": (
        case("canonical", "the canonical prefix"),
        case("beside", "a drill's own prefix", given(prefix="jobintel/drills/d/rehearsal", rehearses="jobintel")),
        case("canonical", "beside a drill's", given(prefix="jobintel/drills/../state", rehearses="jobintel")),
    ),
    "confirmation": (
        case(
            "right",
            "both tokens",
            lambda place: place.set(confirm1="FAILBACK", confirm2=f"CONFIRM-{place.inputs['dr_run_id']}"),
        ),
        case("wrong", "of another run", given(confirm1="FAILBACK", confirm2="CONFIRM-another")),
        case("wrong", "the second alone", lambda place: place.set(confirm2=f"CONFIRM-{place.inputs['dr_run_id']}")),
    ),
    "adoption": (
        case("asked", "a person confirms it", given(adopt_ownership="yes")),
        case("none", "nobody confirms it", given(adopt_ownership="no")),
    ),
    "primary_pod": (
        case("answered_for", "a person knows", given(primary_pod_answered_for="its node was switched off")),
        case("none", "nobody knows", given(primary_pod_answered_for="")),
    ),
    "dr_loss": (
        case("declared", "with a reason", given(dr_unreachable="yes", reason=WORDS)),
        case("none", "without a reason", given(dr_unreachable="yes", reason=BLANK)),
        case("none", "it is not lost", given(dr_unreachable="no", reason=WORDS)),
    ),
    "primary_loss": (
        case("declared", "with a reason", LOST),
        case("none", "without a reason", given(primary_unreachable="yes", reason=BLANK)),
        case("none", "it is not lost", given(primary_unreachable="no", reason=WORDS)),
    ),
    "primary_stop": (
        case("by_freeze", "it is reachable"),
        case("by_fence", "it is reachable, and fenced", FENCES),
        case("by_fence", "it is lost", LOST),
        case("by_risk", "it is lost, and nobody fences it", LOST, UNFENCED),
        case("unclear", "lost and not fenced, for no reason", LOST, UNFENCED, given(reason=BLANK)),
        case("unclear", "fenced, and no role is named", FENCES, given(fence_primary_role="")),
        case("unclear", "fenced, and DR's role is not named", FENCES, given(fence_dr_role="")),
    ),
}
PEOPLE: Table = {
    "approval": (
        case("none", "nobody approved"),
        case("none", "without a ticket", approves, given(ticket=BLANK)),
        case("current", "the plan as it is", approves),
        case("current", "the plan of a loss", LOST, approves),
        case("stale", "the primary is lost meanwhile", approves, LOST),
        case("stale", "another run is canonical meanwhile", approves, own_run),
        case("stale", "of another run", approves, given(plan_nonce="of another run")),
        case("current", "fired by the person whom it names", approves, fired_by("ann")),
        case("none", "fired by another person than it names", approves, fired_by("bob")),
    ),
    "approval_age": (
        case("in_time", "an hour ago", approved(1)),
        case("expired", "a day and an hour ago", approved(25)),
        case("unclear", "in the future", approved(-1)),
        case("unclear", "nobody says when", fires("freeze_primary")),
        case("in_time", "the stop has begun", approved(25), fires("capture_pointers")),
        case("in_time", "the fence came first", approved(25), FENCES),
        case(None, "the store tells no time", approved(1), lambda place: setattr(place.store, "time", None)),
    ),
    "approver": (
        case("not_asked", "one person will do", given(approval_distinct="no", approved_by="ann")),
        case("another", "another caller", given(approval_distinct="yes"), proven("arn:ana", "arn:bob")),
        case("same", "the same caller", given(approval_distinct="yes"), proven("arn:ana", "arn:ana")),
        case("unclear", "whose caller nobody tells", given(approval_distinct="yes"), proven("arn:ana", "")),
        case("another", "another name", given(approval_distinct="yes", approved_by="bob"), proven("", "")),
        case("same", "the same name", given(approval_distinct="yes", approved_by="ana"), proven("", "")),
        case("unclear", "no name", given(approval_distinct="yes", approved_by=""), proven("", "")),
    ),
    "primary_answers": (
        case("yes", "it answers"),
        case("yes", "it refuses", lambda place: setattr(place.primary, "get", refuses)),
        case("no", "it is silent", lambda place: setattr(place.primary, "get", silent())),
    ),
    "cloud_identity": (
        case("expected", "no account is named"),
        case("expected", "the named account", given(expect_account="123456789012")),
        case("mismatched", "another account", given(expect_account="210987654321")),
        case("mismatched", "another region", lambda place: setattr(place.account, "bucket_lies_in", "eu-west-1")),
        case(None, "nobody tells the account that is named", given(expect_account="123456789012"),
             lambda place: setattr(place.account, "account_id", "untold: no STS")),
    ),
    "clusters": (
        case("distinct", "two clusters, nobody knows their roles"),
        case("distinct", "as the owner is known", lambda place: own(place, "dr")),
        case("same", "one cluster", same_cluster),
        case("swapped", "the primary's is known as DR's", lambda place: own(place, "dr", uid="uid-primary")),
        case("distinct", "the primary is lost: it is not asked", LOST, same_cluster, only="promote"),
        case("distinct", "DR is lost: it is not asked", given(dr_unreachable="yes", reason=WORDS), same_cluster,
             only="failback"),
    ),
    "runners": (
        case("gone", "there is none"),
        case("present", "there is one", lambda place: a_machine(place, "i-1")),
        case("present", "the recorded one is still there", lambda place: a_machine(place, "i-1"),
             lambda place: place.recorded("run_preflight", {"runners": ["i-1"]})),
        case("gone", "the recorded one is gone, another is not this run's", lambda place: a_machine(place, "i-2"),
             lambda place: place.recorded("run_preflight", {"runners": ["i-1"]})),
    ),
    "alarm_state": (
        case("quiet", "none is named"),
        case("quiet", "all are OK", given(alarms="a"), lambda place: place.account.alarm_states.update(a="OK")),
        case("ringing", "one rings", given(alarms="a\nb"),
             lambda place: place.account.alarm_states.update(a="OK", b="ALARM")),
        case(None, "one is not there", given(alarms="a")),
    ),
}  # fmt: skip


def _fence_target(site: str) -> Table:
    """Return the table of whom a fence of a site would fence."""
    role = f"fence_{site}_role"
    cases = (
        case("distinct", "two identities"),
        case("shared", "both sites have one identity", shared(site)),
        case("shared", "drfsm has the same identity", given(**{role: OPERATOR})),
        case("unnamed", "no role is named", given(**{role: ""})),
        case("unnamed", "no such role exists", lambda place: place.account.absent.add(ROLES[site])),
        case(None, "nobody tells who drfsm is", lambda place: setattr(place.account, "us", "untold: no STS")),
    )
    return {f"{site}_fence_target": cases}


OF_INPUTS: Table = {**INPUTS, **PEOPLE, **_fence_target("primary"), **_fence_target("dr")}
