"""What a row would change, object by object: for `drfsm plan`.

A row says which facts it sets; an observation of a fact holds the objects that it is about. ``OBJECTS`` has, for each
fact that a shipped machine sets, how its objects would change: ``Touched(object, before, after)``, and what the fact
would be observed as afterwards, so that a later row that sets the same fact begins from there. ``SUBJECTS`` has what a
fact is about (an account, a cluster, a run): two plans with other subjects are two plans, though every guard holds.
Pure: it reads observations, never the world. Used by plan.py.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from drfsm.dr.endpoints import active, claim, declared, records, routing
from drfsm.dr.objects import name_of_job
from drfsm.dr.sites import fence_statement, publishing, schedules
from drfsm.dr.terms import Terms, terms_of

NOTHING = "none"
_SITES = {"primary": "primary", "dr": "DR"}


@frozen
class Touched:
    """One object that a row would change. ``before`` and ``after`` are in words that fit a line."""

    object: str
    before: str
    after: str


@frozen
class Projected:
    """What a row does to the objects of one fact, and how the fact would be observed then."""

    touched: tuple[Touched, ...]
    seen: Any


@frozen
class Ask:
    """One question: what becomes of a fact's objects when it is set to ``value``. ``seen`` is its observation."""

    fact: str
    value: str
    seen: Any
    terms: Terms
    run_id: str

    @property
    def site(self) -> str:
        """The site that the fact's name begins with."""
        return self.fact.partition("_")[0]


Answer = Callable[[Ask], Projected]


@frozen
class Objects:
    """How a fact's objects change. ``read``: whether that depends on an observation; else nothing is read."""

    project: Answer
    read: bool = True


def projected(fact: str, value: str, seen: Any, inputs: Mapping[str, Any], run_id: str) -> Projected:
    """Return what a row that sets ``fact`` to ``value`` would change. ``seen``: the fact's observation before it."""
    return OBJECTS[fact].project(Ask(fact, value, seen, terms_of(inputs), run_id))


def subject(fact: str, seen: Any) -> dict[str, str]:
    """Return what a fact is about, in words: {} where its value says all."""
    if not isinstance(seen, Mapping) or fact not in SUBJECTS:
        return {}
    return {name: str(seen[name]) for name in SUBJECTS[fact] if seen.get(name) not in (None, "", "no")}


SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "cloud_identity": ("account", "region", "bucket_region"),
    "clusters": ("primary", "dr"),
    "image": ("image",),
    "image_drift": ("image", "cronjob_image"),
    "dr_run": ("run_id", "tree_sha256"),
    "backup": ("sha256",),
    "backup_contents": ("uri", "sha256"),
}
"""Fact -> the fields of its observation that say what it is about."""


# --- the facts' objects -------------------------------------------------------------------------------------------


def _schedules(ask: Ask) -> Projected:
    """Suspend what runs; or let run what ran before the disaster, as it is recorded on each object."""
    after, touched = {}, []
    for name, entry in ask.seen.items():
        runs = ask.value == "on" and schedules.ought_to_run(entry, name, ask.terms.resume_cronjobs)
        record = entry["before"] or (None if entry["suspend"] else json.dumps({"suspend": False}))
        after[name] = {"suspend": not runs, "before": None if ask.value == "on" else record}
        if entry["suspend"] == runs:
            touched.append(_suspension(ask, name, suspended=entry["suspend"]))
    return Projected(tuple(touched), after)


def _suspension(ask: Ask, name: str, *, suspended: bool) -> Touched:
    kind, slash, rest = name.partition("/")
    words = f"{_SITES[ask.site]}: {kind if slash else 'CronJob'} {ask.terms.namespace}/{rest if slash else name}"
    if slash:
        return Touched(words, "no pods", "its recorded pods") if suspended else Touched(words, "its pods", "no pods")
    return Touched(words, f"suspend: {_json(suspended)}", f"suspend: {_json(not suspended)}")


def _publishing(ask: Ask) -> Projected:
    """Set the switches of a site's ConfigMap."""
    terms, switches = ask.terms, ask.terms.workload.switches
    now = {name: ask.seen[name] for name in switches.names}
    recorded = publishing.recorded(ask.seen, switches)
    wanted = dict(switches.off) if ask.value == "off" else dict(recorded or switches.on)
    if switches.position(now) == ask.value and (ask.value == "off" or ask.seen["before"] is None):
        return Projected((), ask.seen)
    record = ask.seen["before"] if recorded else json.dumps({"data": now})
    words = f"{_SITES[ask.site]}: ConfigMap {terms.namespace}/{terms.configmap}"
    touched = tuple(
        Touched(words, f"{name}: {_value(now[name])}", f"{name}: {_value(wanted[name])}")
        for name in switches.names
        if now[name] != wanted[name]
    )
    return Projected(touched, {**wanted, "before": record if ask.value == "off" else None})


def _owner(ask: Ask) -> Projected:
    was = str(ask.seen["site"] or NOTHING)
    words = f"s3://{ask.terms.bucket}/{ask.terms.layout.own('ownership.json')}"
    touched = (Touched(words, f"site: {was}", f"site: {ask.value}"),) if was != ask.value else ()
    return Projected(touched, {**ask.seen, "site": ask.value})


def _pointers(ask: Ask) -> Projected:
    run_id = ask.terms.run_of(ask.value)
    touched = tuple(
        Touched(
            f"s3://{ask.terms.bucket}/{key}", f"run_id: {_value((pointer or {}).get('run_id'))}", f"run_id: {run_id}"
        )
        for key, pointer in ask.seen.items()
        if (pointer or {}).get("run_id") != run_id
    )
    after = {key: {**(pointer or {}), "run_id": run_id} for key, pointer in ask.seen.items()}
    return Projected(touched, after)


def _fence(ask: Ask) -> Projected:
    """Add drfsm's statement to the bucket's policy, or remove it."""
    standing = json.dumps(ask.seen["statements"])
    words = f"policy of s3://{ask.terms.bucket}: statement {fence_statement.sid(ask.site, ask.terms.prefix)}"
    if ask.value == "down":
        return Projected((Touched(words, "present", NOTHING),) if ask.seen["statements"] else (), {"statements": []})
    role = ask.terms.fence_role(ask.site)
    before = "denies another identity" if ask.seen["statements"] else NOTHING
    touched = () if role in standing else (Touched(words, before, f"denies {role} the pointers"),)
    return Projected(touched, {"statements": [{"role": role}]})


def _latest(ask: Ask) -> Projected:
    words = f"s3://{ask.terms.bucket}/{ask.terms.layout.latest()}/"
    return Projected((Touched(words, "its files", f"the files of {ask.terms.run_of(ask.value)}"),), ask.seen)


def _recorded_runners(ask: Ask) -> Projected:
    states = {name: ask.seen["states"].get(name, "unknown") for name in ask.seen["recorded"]}
    return Projected(tuple(_terminated(states)), {**ask.seen, "states": dict.fromkeys(states, "terminated")})


def _runner(ask: Ask) -> Projected:
    """Bring up the machines of a drill, or take them down."""
    if ask.value == "present":
        words = f"machines of the drill ({ask.terms.recorded('infrastructure')}), tagged with {ask.run_id}"
        return Projected((Touched(words, NOTHING, "running"),), {**ask.seen, "machines": {words: "running"}})
    return Projected(tuple(_terminated(ask.seen["machines"])), {**ask.seen, "machines": {}})


def _terminated(states: Mapping[str, str]) -> Iterator[Touched]:
    for name, state in states.items():
        if state != "terminated":
            yield Touched(name if " " in name else f"machine {name}", str(state), "terminated")


def _job(role: str) -> Answer:
    def project(ask: Ask) -> Projected:
        words = f"{_SITES[ask.terms.target_site]}: Job {ask.terms.namespace}/{name_of_job(ask.run_id, role)}"
        return Projected((Touched(words, NOTHING, "runs"),), ask.seen)

    return project


def _artifacts(ask: Ask) -> Projected:
    terms = ask.terms
    source = f"s3://{terms.bucket}/{terms.staged(ask.run_id).run(terms.new_run)}/"
    words = f"s3://{terms.bucket}/{terms.layout.run(terms.new_run)}/"
    return Projected((Touched(words, NOTHING, f"copied from {source}"),), ask.seen)


def _sync(ask: Ask) -> Projected:
    terms = ask.terms
    words = f"s3://{terms.bucket}/{terms.sync_dst_prefix}/"
    return Projected((Touched(words, "as it is", f"with all objects of {terms.sync_src_prefix}/"),), ask.seen)


def _pull_token(ask: Ask) -> Projected:
    words = f"{_SITES[ask.terms.target_site]}: pull Secret in {ask.terms.namespace}"
    return Projected((Touched(words, "its token", "a new token of the image's registry"),), ask.seen)


def _active_site(ask: Ask) -> Projected:
    """Declare a site in the active-site document: the source with its gate open, the target with its gate closed."""
    terms = ask.terms
    if ask.value == "old":
        site, writes = terms.source_site, active.OPEN
    else:
        site, writes = terms.target_site, active.CLOSED
    if ask.seen["site"] == site:
        return Projected((), ask.seen)
    before = f"site: {ask.seen['site'] or NOTHING}, writes: {ask.seen.get('writes', NOTHING)}"
    touched = Touched(_active_document(terms), before, f"site: {site}, writes: {writes}")
    return Projected((touched,), {"site": site, "writes": writes})


def _active_document(terms: Terms) -> str:
    return f"s3://{terms.bucket}/{terms.layout.own('active.json')}"


def _gate(ask: Ask) -> Projected:
    """Open or close a site to writes: in the active-site document, and in its ConfigMap where that is the gate."""
    document, terms = ask.seen["document"], ask.terms
    takes = (document["site"], document.get("writes")) == (ask.site, active.OPEN)
    touched = []
    if takes != (ask.value == active.OPEN):
        before = active.OPEN if takes else active.CLOSED
        words = f"{_active_document(terms)}, site {ask.site}"
        touched.append(Touched(words, f"writes: {before}", f"writes: {ask.value}"))
    after = {**ask.seen, "document": {"site": ask.site, "writes": ask.value}}
    now = ask.seen.get("switches", {})
    switches = terms.workload.writes.switches if terms.workload.writes else None
    if switches is not None and "before" in now:  # else the document is the gate, or the site is lost and not asked
        wanted = switches.off if ask.value == active.CLOSED else switches.on
        words = f"{_SITES[ask.site]}: ConfigMap {terms.namespace}/{terms.configmap}"
        touched += [
            Touched(words, f"{name}: {_value(now[name])}", f"{name}: {wanted[name]}")
            for name in switches.names
            if now[name] != wanted[name]
        ]
        after["switches"] = {**now, **wanted}
    return Projected(tuple(touched), after)


def _ttl(ask: Ask) -> Projected:
    touched, after = [], {}
    for name, entry in declared.moving(ask.terms).items():
        now, low = ask.seen[name]["records"], entry.endpoint.ttl
        after[name] = {"records": records.lowered(now, low)}
        if (longest := records.longest_ttl(now)) > low:
            touched.append(Touched(_records_of(entry), f"TTL: {longest} s", f"TTL: {low} s"))
    return Projected(tuple(touched), after)


def _records_of(entry: declared.Moving) -> str:
    return f"zone {entry.endpoint.zone}: records {entry.host} {entry.endpoint.type}"


def _led(ask: Ask) -> Projected:
    """Lead the users' names to a site."""
    site = ask.terms.source_site if ask.value == "old" else ask.terms.target_site
    touched = []
    for name, entry in declared.moving(ask.terms).items():
        now, _ = routing.site_of(entry.endpoint, ask.seen[name])
        if now != site:
            after = f"{site} ({entry.endpoint.site(site).address})"
            touched.append(Touched(_records_of(entry), f"leads to: {now}", f"leads to: {after}"))
    return Projected(tuple(touched), ask.seen)


def _claims(ask: Ask) -> Projected:
    """Write each claim anew: a change of its own, for which one can wait."""
    moving = declared.moving(ask.terms).values()
    return Projected(
        tuple(
            Touched(f"zone {entry.endpoint.zone}: record {claim.host_of(entry.host)} TXT", "its claim", "a new nonce")
            for entry in moving
        ),
        ask.seen,
    )


def _said(words: Callable[[Terms], str], before: str, after: str) -> Objects:
    """Return how one object changes that nothing needs to be read for."""
    return Objects(lambda ask: Projected((Touched(words(ask.terms), before, after),), ask.seen), read=False)


NO_OBJECT = Objects(lambda ask: Projected((), ask.seen), read=False)
"""Of a fact that follows from what the same row, or a run of its own, does to other objects."""

OBJECTS: Mapping[str, Objects] = {
    "owner": Objects(_owner),
    "pointer_owner": Objects(_owner),
    "primary_schedules": Objects(_schedules),
    "dr_schedules": Objects(_schedules),
    "primary_publishing": Objects(_publishing),
    "dr_publishing": Objects(_publishing),
    "primary_fence": Objects(_fence),
    "dr_fence": Objects(_fence),
    "provider_pointers": Objects(_pointers),
    "global_pointer": Objects(_pointers),
    "latest": Objects(_latest, read=False),
    "runners": Objects(_recorded_runners),
    "runner": Objects(_runner),
    "artifacts": Objects(_artifacts, read=False),
    "sync": Objects(_sync, read=False),
    "pull_token": Objects(_pull_token, read=False),
    # A Job is named after its run, so it can't be there before the run is.
    "validation_job": Objects(_job("validation"), read=False),
    "soak_job": Objects(_job("soak"), read=False),
    "rehearsal": _said(lambda terms: f"s3://{terms.bucket}/{terms.prefix}/", NOTHING, "a copy of the pointers"),
    "site_kubeconfig": _said(lambda _: "private/kubeconfig.yaml of the bundle", NOTHING, "as the site gives it"),
    "restored_manifests": _said(
        lambda terms: f"DR: objects of {terms.namespace}", "as the site comes up", "as in the backup, and quiet"
    ),
    "dr_control_plane": _said(
        lambda terms: f"DR: control-plane ConfigMaps of {terms.namespace}", "as restored", "as published"
    ),
    "restored_state": _said(
        lambda terms: f"DR: the workload's volume in {terms.namespace}", "empty", "the backup's files"
    ),
    "promotion_run": _said(
        lambda terms: (
            "a promote, as a run of its own"
            + (
                ""
                if terms.recorded("promote_target") == "canonical"
                else f" below s3://{terms.bucket}/{terms.journal_prefix}/"
            )
        ),
        NOTHING,
        "started",
    ),
    "active_site": Objects(_active_site),
    "primary_gate": Objects(_gate),
    "dr_gate": Objects(_gate),
    "endpoint_ttl": Objects(_ttl),
    "endpoint_site": Objects(_led),
    "endpoint_insync": Objects(_claims, read=False),
    "runner_plan": NO_OBJECT,
    "runner_ready": NO_OBJECT,
    "promotion": NO_OBJECT,
    "site_ownership": NO_OBJECT,
}
"""Fact -> how its objects change. A test holds it against every fact that a shipped machine sets."""


def _json(value: object) -> str:
    return json.dumps(value)


def _value(value: object) -> str:
    return NOTHING if value is None else str(value)
