"""Who approves, and since when: an approval is of one person, who may have to be another than the starter, and it ages.

``approval_age``: an approval that nobody acts on expires (``approval_expires``, in hours) until the primary's stop
begins, by its intent; from then on it is not asked how old it is. Both times are the store's own, in the observation:
no clock of this machine, nor of the machine that judges, counts.

``approver``: in the row ``approve`` the process that fires it observes who runs it; in later rows what that process
recorded is read again. Where the policy asks for two people (``approval_distinct``), the strongest proof that there is
of the starter decides: the cloud's caller, else the clusters' user, else the process's owner, else the names given.
Of the approver the same proof is asked. One identity that two people share proves one person.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.dr.callers import callers
from drfsm.dr.sites import sites
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import Unreadable
from drfsm.world import World

SKEW_SECONDS = 300  # between two servers of one store
_HOUR = 3600
_BEFORE_THE_STOP = (
    "approve", "fence_primary", "leave_primary_unfenced", "accept_unfenced_primary", "freeze_primary"
)  # fmt: skip
"""The rows that are taken, or begun, before the primary's stop begins."""


# --- how old --------------------------------------------------------------------------------------------


def store_time(world: World, key: str) -> str:
    """Return the time by the store's own clock, in ISO 8601. ``key``: an object to ask for where it said none yet."""
    now = world.store.now()
    if now is None:
        world.store.stat(key)
        now = world.store.now()
    if now is None:
        raise Unreadable("the object store's responses have no Date header, so the age of an approval is unknown")
    return now.isoformat(timespec="seconds")


def _observe_age(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    approved_at, hours = terms.approved_at, str(terms.recorded("approval_expires"))
    begun = _stop_begun(run)
    now = None if begun else store_time(world, f"{terms.prefix}/drfsm/ownership.json")
    return {
        "says": _in_words(approved_at, now, hours),
        "approved_at": approved_at,
        "store_time": now,
        "expires_after_hours": hours,
        "stop_begun": begun,
    }


def _stop_begun(run: Run) -> bool:
    """Whether the primary's stop has begun: its fence or its freeze has an intent on record, or the risk was taken."""
    if run.trigger not in _BEFORE_THE_STOP:
        return True
    if run.trigger == "freeze_primary" and terms_of(run.inputs).fence_primary:
        return True  # the fence came first
    return bool(run.first_seen)


def _in_words(approved_at: str, now: str | None, hours: str) -> str:
    if now is None:
        return "the primary's stop has begun: an approval expires only before it"
    age = _age_seconds(approved_at, now)
    if age is None:
        return "the time of the approval is not on record"
    old = f"{age / _HOUR:.1f} hours" if age >= _HOUR else f"{age / 60:.0f} minutes"
    return f"approved {old} ago by the store's clock; it expires after {hours} hours, until the primary's stop begins"


def _age_seconds(approved_at: object, now: object) -> float | None:
    then, at = moment(approved_at), moment(now)
    return None if then is None or at is None else seconds_between(then, at)


def _judge_age(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge by the store's times. A time in the future is invalid: the approval would never expire."""
    terms = terms_of(inputs)
    if seen["stop_begun"]:
        return "in_time"
    age, limit = _age_seconds(terms.approved_at, seen["store_time"]), terms.approval_expires_seconds
    ahead = _age_seconds(seen["store_time"], terms.approved_at)
    if age is None or ahead is None or limit is None or ahead > SKEW_SECONDS:
        return "unclear"
    return "in_time" if age <= limit else "expired"


# --- who ------------------------------------------------------------------------------------------------


def _observe_approver(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    starter = {
        "operator": run.starter.operator if run.starter else "",
        "proven": dict(run.starter.proven) if run.starter else {},
    }
    approver = {"operator": terms.approved_by, "proven": _proven_of_approver(world, run)}
    compared_by, _ = compared(starter, approver)
    return {
        "asked_for_two_people": str(terms.recorded("approval_distinct")),
        "compared_by": compared_by,
        "starter": starter,
        "approver": approver,
    }


def _proven_of_approver(world: World, run: Run) -> dict[str, Any]:
    """Return the proof of the approver's identity: this process's in the row itself, else the recorded one."""
    if run.trigger != "approve":
        return dict(run.args.get("approve", {}).get("proven") or {})
    known = dict(run.proven)
    return known if "cloud_caller" in known else {**known, **callers(world, sites(run))}


def compared(starter: Mapping[str, Any], approver: Mapping[str, Any]) -> tuple[str, str]:
    """Return the identity by which two people are compared, and the result: ``another``, ``same`` or ``unclear``.

    The starter's strongest proof decides; if the approver has no proof of that kind, the result is unclear.
    """
    for proof, of in _PROOFS.items():
        first, second = set(of(starter)), set(of(approver))
        if first:
            return proof, "unclear" if not second else "same" if first & second else "another"
    names = [str(person["operator"]).strip() for person in (starter, approver)]
    return "name", "unclear" if not all(names) else "same" if names[0] == names[1] else "another"


def _cloud(person: Mapping[str, Any]) -> Iterable[str]:
    caller = person["proven"].get("cloud_caller")
    return [caller] if isinstance(caller, str) else []


def _clusters(person: Mapping[str, Any]) -> Iterable[str]:
    users = person["proven"].get("cluster_users")
    known = users.items() if isinstance(users, Mapping) else ()
    return [f"{site}: {user}" for site, user in known if isinstance(user, str)]


def _owner(person: Mapping[str, Any]) -> Iterable[str]:
    user = person["proven"].get("os_user")
    return [f"uid {user.get('uid')} on {user.get('host')}"] if isinstance(user, Mapping) else []


_PROOFS = {"cloud_caller": _cloud, "cluster_users": _clusters, "os_user": _owner}
"""What can prove a person, strongest first -> that person's identities by it, none where it is not known."""


def _judge_approver(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    if not terms_of(inputs).approval_distinct:
        return "not_asked"
    return compared(seen["starter"], seen["approver"])[1]


FACTS = {
    "approval_age": Fact(_observe_age, _judge_age),
    "approver": Fact(_observe_approver, _judge_approver),
}
