"""The way out when everything else fails: plain `kubectl` and `aws` commands that put back what a run changed.

Read from a run's records alone: each intent holds the exact snapshot of what it was about to change, and the objects'
annotations are part of it. Nothing is asked of a site, a store or a lease, and no audit has to hold. The output is a
shell script: what a person reads stands in comments, every value is quoted, the newest change comes first, and each
command sets one object to what it was, however far the run's change of it came. What can't be put back is named.

A pointer is put back by compare-and-swap: only where it still names the run of before or the one that this run moved it
to, with the ETag that it had when that was read. So are an endpoint's records and objects (by_hand_endpoints.py). Every
other command overwrites whatever another process wrote since, and the head of the output says so. A run that is
complete needs nothing put back, and has a script only where a person asks for it. No secret is in it: snapshots hold
none. Used by `drfsm status --by-hand`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from shlex import join, quote
from typing import Any

from attrs import frozen

from drfsm.claims import is_name, printable
from drfsm.dr import workload
from drfsm.dr.artifacts import run_home
from drfsm.dr.objects import ROLE_LABEL, RUN_LABEL
from drfsm.dr.sites import fence_statement, schedules
from drfsm.dr.terms import Terms, terms_of
from drfsm.dr.workload import SITES
from drfsm.errors import DrfsmError
from drfsm.evidence.remains import canonical
from drfsm.evidence.wording import moment
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import Intent
from drfsm.journal.replay import keep_first
from drfsm.runs import by_hand_endpoints
from drfsm.runs.by_hand_commands import aws, kubectl, lost, merge_patch

_EDIT_POLICY = (
    "import json,sys; name,ours=sys.argv[1],json.loads(sys.argv[2]);"
    ' policy=json.loads(sys.stdin.read() or \'{"Version":"2012-10-17","Statement":[]}\');'
    ' policy["Statement"]=[s for s in policy["Statement"] if s.get("Sid")!=name]+ours;'
    ' print(json.dumps(policy) if policy["Statement"] else "")'
)
"""Takes the statements of one Sid out of a policy and puts others in; an empty line where none is left.

Nothing on stdin is a bucket without a policy: the command before it lets only that answer through.
"""
_CHECK_POINTER = (
    "import json,sys; file,name,*known=sys.argv[1:]; named=json.load(open(file)).get(name);"
    ' sys.exit(None if named in known else f"{file} names {named}: another process moved this pointer since.'
    ' Nothing was written")'
)
"""Ends with an error unless a pointer that was read names one of the known runs. Arguments: file, field, runs."""
_DEPLOYMENT = "Deployment/"
_NAMES = {"namespace": "Kubernetes name", "bucket": "bucket", "prefix": "prefix", "staged_prefix": "prefix"}
_STAGED = re.compile(r"(validations|promotes|drills)/[^/]+(/.+)?")  # below a run's prefix: dr/layout.py


@frozen
class Change:
    """What one row changed: the snapshots from before, {fact: what was seen}."""

    row: str
    trigger: str
    before: Mapping[str, Any]


def commands(records: Sequence[Record], *, complete_too: bool = False) -> Iterator[str]:
    """Yield the script, a line at a time. ``records``: as many as can be read; at least the first.

    Of a run that is complete there are no commands, unless ``complete_too``. Raises JournalDamaged for records that
    can't be understood.
    """
    state = fold(records)
    if state.status == "complete" and not complete_too:
        yield from _complete(state)
        return
    undone = {entry.row for entry in state.undone}
    yield from _head(state)
    if unfit := _unfit(state):
        yield lost("anything", f"the records name what drfsm gives no name to: {unfit}")
        return
    done = 0
    for change in reversed(_changes(records)):
        name = f"# {printable(change.trigger)}: "
        if change.row in undone:
            yield f"{name}already put back by drfsm"
        elif change.row in state.kept_by_row:
            yield f"{name}not put back: {printable(state.kept_by_row[change.row])}"
        else:
            done += 1
            yield f"{name}{', '.join(map(printable, change.before))}, as before"
            for fact, seen in change.before.items():
                yield from _fact(fact, seen, state)
    if not done:
        yield "# Nothing is left to put back."


def _changes(records: Sequence[Record]) -> list[Change]:
    """Return what the run changed, oldest first; of a row that was tried again, the first snapshot of each object."""
    changes: dict[str, Change] = {}
    for record in records:
        intent = record.content
        if not isinstance(intent, Intent) or intent.undoes or not intent.before:
            continue
        earlier = changes.get(intent.row)
        before = keep_first(earlier.before, intent.before) if earlier else intent.before
        changes[intent.row] = Change(intent.row, intent.trigger, before)
    return list(changes.values())


def _complete(state: RunState) -> Iterator[str]:
    run = printable(state.run_id)
    yield f"# {run} is COMPLETE since {moment(state.ended_at)}: everything is as the procedure means it."
    yield "# Nothing needs to be put back."
    yield from (f"# {line}" for line in canonical(state))
    yield "# To go the other way, run the other procedure (drfsm failback, drfsm promote): it checks before it moves."
    yield f"# The commands that would take this run back all the same: drfsm status --by-hand --roll-back {quote(run)}"


def _head(state: RunState) -> Iterator[str]:
    yield f"# Puts back by hand what {printable(state.run_id)} changed, newest first. Read each line before you run it."
    yield "# First be sure that no process works on the run, on any computer: it would change everything again."
    yield "# A line with --if-match, or of route53, overwrites nobody. Every other line overwrites what others wrote"
    yield "# since; drfsm abort, where it still goes on, does not."
    if state.dry_run:
        yield "# This was a dry run: it changed nothing."
    if state.status == "complete":
        yield "# THIS RUN IS COMPLETE, and nothing needs to be put back. To go back all the same, first stop the site"
        yield "# that publishes now. Then run every command below, or readers see one run and sites publish another."
    elif state.forward_only:
        yield "# THE POINT OF NO RETURN IS PASSED: drfsm itself would only go forward (drfsm resume). To go back all"
        yield "# the same, run every command below, or readers see one run and the sites publish another."


def _unfit(state: RunState) -> str:
    """Return which of the names that stand in commands breaks its grammar; "" if none: a record may be anybody's."""
    named = {"run_id": state.run_id, **{name: state.inputs.get(name) or None for name in _NAMES}}
    kinds = {"run_id": "drfsm run", **_NAMES}
    unfit = (name for name, value in named.items() if value is not None and not is_name(kinds[name], value))
    return ", ".join(f"{name} {printable(str(named[name]))[:80]}" for name in unfit)


def _fact(fact: str, seen: Any, state: RunState) -> Iterator[str]:
    """Yield the commands for one snapshot; what nobody can put back is named. One that can't be read stops no other."""
    try:
        yield from _of(fact, seen, state)
    except (DrfsmError, AttributeError, KeyError, TypeError, ValueError) as fault:  # records of another hand: any shape
        yield lost(fact, f"the records can't be read as drfsm writes them: {fault}")


def _of(fact: str, seen: Any, state: RunState) -> Iterator[str]:
    site, _, aspect = fact.partition("_")
    terms = terms_of({"workload": workload.canonical(workload.shipped()), **state.inputs})  # none before 0.4.0
    if not isinstance(seen, Mapping):
        yield lost(fact, "the snapshot says nothing")
    elif site in SITES and aspect in _OF_A_SITE:
        yield from _OF_A_SITE[aspect](site, seen, state, terms)
    elif fact in _OF_THE_STORE:
        yield from _OF_THE_STORE[fact](seen, state, terms)
    else:
        yield lost(fact, _WHY.get(fact, "the records hold no image that a command could set again"))


# --- a site's objects -------------------------------------------------------------------------------------------


def _schedules(site: str, seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    for name, image in seen.items():
        annotation = {"metadata": {"annotations": {schedules.BEFORE: image["before"]}}}  # null removes it
        if not name.startswith(_DEPLOYMENT):
            yield merge_patch(
                site, state, terms, f"cronjob/{name}", {"spec": {"suspend": image["suspend"]}, **annotation}
            )
            continue
        replicas = 0 if image["suspend"] else schedules.parsed(image["before"]).get("replicas")
        if replicas is None:
            yield lost(f"{name} on {site}", "how many pods it had is not on record")
        else:
            named = f"deployment/{name.removeprefix(_DEPLOYMENT)}"
            yield merge_patch(site, state, terms, named, {"spec": {"replicas": replicas}, **annotation})


def _publishing(site: str, seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    data = {name: value for name, value in seen.items() if name != "before"}
    patch = {"data": data, "metadata": {"annotations": {schedules.BEFORE: seen.get("before")}}}
    yield merge_patch(site, state, terms, f"configmap/{terms.configmap}", patch)


def _validation(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    if any(seen.get(name) for name in ("jobs", "pods", "objects")):
        yield lost("the validation's Job and files", "some were there before this run, and nothing tells them apart")
        return
    staged = terms.staged(state.run_id).prefix
    if not _STAGED.fullmatch(staged.removeprefix(f"{terms.prefix.partition('/drills/')[0]}/")):
        yield lost("the validation's Job and files", f"{staged} is no place of a validation below {terms.prefix}")
        return
    labels = f"{RUN_LABEL}={state.run_id},{ROLE_LABEL}=validation"
    site = terms.target_site
    yield kubectl(site, state, terms, "delete", "jobs", "-l", labels, "--cascade=foreground", "--ignore-not-found")
    yield kubectl(site, state, terms, "wait", "--for=delete", "pods", "-l", labels, "--timeout=300s")
    yield aws(state, "s3", "rm", f"s3://{terms.bucket}/{staged}/", "--recursive")


# --- the bucket -------------------------------------------------------------------------------------------------


def _fence(site: str, seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Take drfsm's statement out of the bucket's policy, or put the earlier one in; all other statements stay."""
    name, ours = fence_statement.sid(site, terms.prefix), json.dumps(seen.get("statements", []), sort_keys=True)
    old, new, errors = f"policy-with-{name}.json", f"policy-without-{name}.json", f"policy-{name}.errors"
    at = ("--bucket", terms.bucket)
    get = aws(state, "s3api", "get-bucket-policy", *at, "--query", "Policy", "--output", "text")
    put = aws(state, "s3api", "put-bucket-policy", *at, "--policy", f"file://{new}")
    delete = aws(state, "s3api", "delete-bucket-policy", *at)
    edit = f"{join(['python3', '-c', _EDIT_POLICY, name, ours])} < {old} > {new}"
    # One line, and a subshell: where the policy can't be read, nothing may be written, and `bash -e` ends.
    yield (
        f"( {{ {get} > {old} 2> {errors} || grep -q NoSuchBucketPolicy {errors}; }} && {edit}"
        f" && if grep -q . {new}; then {put}; else {delete}; fi )"
    )


def _pointers(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    for number, (key, image) in enumerate(seen.items(), 1):
        if image is None or isinstance(image, Mapping):
            yield _pointer(f"pointer-{number}", key, image, state, terms)
        else:
            yield lost(f"s3://{terms.bucket}/{key}", f"it could not be read before: {image}")


def _pointer(file: str, key: str, image: Mapping[str, Any] | None, state: RunState, terms: Terms) -> str:
    """Return the line that puts one pointer back, or removes it where there was none.

    It reads the pointer with its ETag, fails where that names a run that neither was there before nor is this run's,
    and writes with the ETag. A pointer that was deleted is written only as long as there is none. A subshell: `bash -e`
    ends where it fails, whichever part of it does.
    """
    pointers, now, old = terms.workload.pointers, f"{file}-now.json", f"{file}-before.json"
    at = ("--bucket", terms.bucket, "--key", key)
    missing = f"{{ grep -q NoSuchKey {file}.errors || {{ cat {file}.errors >&2; false; }}; }}"
    get = f"{aws(state, 's3api', 'get-object', *at, now)} --query ETag --output text 2> {file}.errors"
    known = dict.fromkeys(str(run) for run in ((image or {}).get("run_id"), _new_run(terms)) if run)
    check = join(["python3", "-c", _CHECK_POINTER, now, pointers.fields.get("run_id", "run_id"), *known])
    if image is None:
        remove = aws(state, "s3api", "delete-object", *at)
        return f"( if etag=$({get}); then {check} && {remove}; else {missing}; fi )"
    body = quote(json.dumps(pointers.outward(image), sort_keys=True))
    put = aws(state, "s3api", "put-object", *at, "--body", old, "--content-type", "application/json")
    swap = f"then {check} && {put} --if-match \"$etag\"; else {missing} && {put} --if-none-match '*'; fi"
    return f"( printf '%s\\n' {body} > {old} && if etag=$({get}); {swap} )"


def _new_run(terms: Terms) -> str:
    """Return the run that the pointers were to name, "" where the records don't say."""
    try:
        return terms.new_run
    except DrfsmError:
        return ""


def _artifacts(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Take what was copied to the canonical place of the run away again; nothing else there is this run's.

    What was copied has the name of a file of the validation, and was not there before.
    """
    staged = run_home(terms.staged(state.run_id), terms.new_run)
    home = run_home(terms.layout, terms.new_run)
    equal, other = seen.get("equal", {}), seen.get("other", {})
    there = [*equal.get("first", ()), *other.get("first", ())]
    if equal.get("total", 0) + other.get("total", 0) > len(there):
        where = f"s3://{terms.bucket}/{home}"
        yield lost(where, "more files were there before than the records name, and nothing tells them apart")
        return
    listed = ("--bucket", terms.bucket, "--prefix", staged, "--query", "Contents[].[Key]", "--output", "text")
    kept = f"{'|'.join(quote(f'{staged}{path}') for path in there)}) ;; " if there else ""
    remove = aws(state, "s3", "rm", f"s3://{terms.bucket}/{home}") + f'"${{key#{quote(staged)}}}"'
    yield (
        f"{aws(state, 's3api', 'list-objects-v2', *listed)} | while IFS= read -r key;"
        f' do case "$key" in {kept}{quote(staged)}*) {remove} ;; esac; done'
    )


def _runner(seen: Mapping[str, Any], state: RunState, _terms: Terms) -> Iterator[str]:
    result = state.results.get("bring_up_site")
    started = result.get("instance_ids", ()) if isinstance(result, Mapping) else ()
    new = [str(name) for name in started if name not in seen.get("machines", {})]
    if seen.get("by") == "terraform":
        yield lost("the site that terraform brought up", "destroy it where its state lies: terraform destroy")
    elif new:
        yield aws(state, "ec2", "terminate-instances", "--instance-ids", *new)
    else:
        filters = f"Name=tag:drfsm:run,Values={state.run_id}"
        yield "# Which machines were started is not on record. Look for them by this run's tag, then terminate them:"
        yield aws(state, "ec2", "describe-instances", "--filters", filters)


_OF_THE_SITE = "a drill made it on the site: it goes with the site's machine; on a site of your own, remove it there"
_WHY: Mapping[str, str] = {
    "owner": "drfsm's own record of the site that owns the pointers; the next procedure asks (--adopt-ownership)",
    "promotion_run": "the promote that the drill started is a run of its own: drfsm status --by-hand <its id>",
    "runner_plan": "a plan changes nothing",
    "runner_ready": "that a machine was reached changes nothing",
    "endpoint_insync": "a claim was written anew, and names the same site: nothing is left to put back",
    "canary": "what this run wrote to try the site, and removed again, was nobody's",
    "site_kubeconfig": "the site's kubeconfig lies in the bundle, below private/",
    **dict.fromkeys(("restored_manifests", "restored_state", "dr_control_plane"), _OF_THE_SITE),
}
"""A fact that no command puts back -> why, or what to do."""
_OF_A_SITE: Mapping[str, Callable[[str, Mapping[str, Any], RunState, Terms], Iterator[str]]] = {
    "schedules": _schedules,
    "publishing": _publishing,
    "fence": _fence,
    "gate": by_hand_endpoints.gate,
}
"""What follows the site's name in a fact -> its commands."""
_OF_THE_STORE: Mapping[str, Callable[[Mapping[str, Any], RunState, Terms], Iterator[str]]] = {
    "provider_pointers": _pointers,
    "global_pointer": _pointers,
    "artifacts": _artifacts,
    "validation_job": _validation,
    "runner": _runner,
    "active_site": by_hand_endpoints.document,
    "endpoint_site": by_hand_endpoints.site_of_names,
    "endpoint_ttl": by_hand_endpoints.ttl,
}
"""The fact -> its commands."""
