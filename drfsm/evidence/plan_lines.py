"""A plan in words, line by line: for a terminal. Reads the document alone (receipts_schema/plan.schema.json).

Yields (indent of a folded line, text): whoever prints it knows the width. The rows first, in order; then what a tired
person must not overlook, with what stands in the way last. Each reason is said once: a row names a guard that fails,
and the end says why, and what to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from drfsm.claims import bounded, printable
from drfsm.evidence.approvals import policy_of
from drfsm.evidence.durations import lasting
from drfsm.evidence.wording import NOBODY, moment

Json = Mapping[str, Any]
Line = tuple[int, str]
LEGEND = "✓ holds  ✗ fails  ? known later  ⏳ waited for  ! told only  ~ would change  ← way back"
_SEEN_WIDTH = 400  # characters of what was seen
_MARKS = {"fails": "✗", "unread": "✗", "waits": "⏳", "warns": "!", "later": "?"}
_ELSEWHERE = frozenset({
    "bucket", "prefix", "execution_id", "started_at", "endpoint_url", "region", "kubeconfig_dr", "kubeconfig_primary",
    "terraform_dir",  # where things lie
    "workload", "namespace", "configmap", "candidate", "provider", "profile",  # the rows name these objects
    "drain_timeout", "validation_timeout", "startup_timeout", "soak_timeout",  # the rows say how long they wait
})  # fmt: skip
"""Inputs of which the other lines of a plan tell."""
_USUAL: Mapping[str, Sequence[str]] = {"soak": ("now",), "teardown": ("true",), "sync": ("none",)}
_USUAL_WORDS = ("no", "none")
_RISKS = frozenset({"gitops_paused", "adopt_ownership", "soak", "teardown", "reason"})
_VERDICTS = {
    "would_start": "It would start.",
    "would_be_refused": "IT WOULD BE REFUSED.",
    "unreadable": "SOMETHING COULD NOT BE READ: nobody can say whether it would start.",
}


def lines_of(plan: Json) -> Iterator[Line]:
    """Yield a plan's lines."""
    yield from _head(plan)
    way_back: Json = {}
    frozen = plan["frozen_now"]
    for row in plan["rows"]:
        yield 0, ""
        yield from _row(row, way_back, frozen)
        way_back, frozen = row["way_back"], row["frozen_then"]
    yield 0, ""
    yield from _point_of_no_return(plan)
    yield from _missed_runs(plan)
    yield from _times(plan)
    yield from _in_the_way(plan)
    yield 0, ""
    yield 2, " ".join([_VERDICTS[plan["outcome"]], _counts(plan)])


def _head(plan: Json) -> Iterator[Line]:
    inputs = plan["inputs"]
    yield 2, f"Plan of a {plan['procedure']} of s3://{inputs.get('bucket', '')}/{inputs.get('prefix', '')}"
    by = f" by {plan['made_by']}" if plan["made_by"] else ""
    yield 11, f"  made     {moment(plan['made_at'])}{by}, with drfsm {plan['version']}"
    yield 11, f"  machine  {plan['procedure']} {plan['machine_sha256'][:12]}…"
    yield 11, f"  run      {plan['run_id']}"
    if policy := policy_of(plan.get("policy")):
        yield 11, f"  needs    {policy.words}"
    for line in _chosen(inputs):
        yield 11, f"  with     {line}"
    if plan["frozen_now"]:
        yield 11, f"  frozen   {'; '.join(plan['frozen_now'])}"
    yield 2, f"  {LEGEND}"


def _chosen(inputs: Json) -> Iterator[str]:
    """Yield, for each input that was not left as it usually is, its name and value; what takes a risk comes first.

    Whoever approves reads this alone. Only what the lines say elsewhere, or what leads to a place, is left out.
    """
    names = [name for name in sorted(inputs) if name not in _ELSEWHERE and inputs[name] not in (None, "")]
    unusual = [name for name in names if str(inputs[name]) not in _USUAL.get(name, _USUAL_WORDS)]
    for name in sorted(unusual, key=lambda name: (not _takes_a_risk(name), name)):
        yield f"{'! ' if _takes_a_risk(name) else ''}{name}: {bounded(str(inputs[name]), _SEEN_WIDTH)}"


def _takes_a_risk(name: str) -> bool:
    return (
        name in _RISKS
        or name.startswith(("allow_", "no_"))
        or name.endswith(("_unreachable", "_accepted", "_answered_for"))
    )


# --- rows -----------------------------------------------------------------------------------------------------------


def _row(row: Json, way_back: Json, frozen: Sequence[str]) -> Iterator[Line]:
    took = f"  (about {lasting(row['seconds']['typical'])})" if "typical" in row["seconds"] else ""
    mark = "  POINT OF NO RETURN" if row["point_of_no_return"] else ""
    person = "  a person decides" if row["by"] == "operator" else ""
    yield 4, f"{row['number']:>2}. {row['trigger']} -> {row['to']}{person}{took}{mark}"
    yield 4, f"    {row['because']}"
    yield from _guards(row)
    for change in row["changes"]:
        yield 8, f"    ~ {_change(change)}"
    if row["already"]:
        yield 6, "    · nothing to change: it is so already"
    if nobody := [word for word in row["frozen_then"] if word.startswith(NOBODY) and word not in frozen]:
        yield 6, f"    ■ from here on {nobody[0].upper() if nobody[0] == NOBODY else nobody[0]}"
    elif _frozen(frozen) and not _frozen(row["frozen_then"]):
        yield 6, "    ■ from here on a site can publish again"
    if row["way_back"] != way_back:
        yield 6, f"    ← {_way_back(row['way_back'], way_back.get('keeps', ()))}"


def _frozen(words: Sequence[str]) -> bool:
    return any(word.startswith(NOBODY) for word in words)


def _guards(row: Json) -> Iterator[Line]:
    outcomes = _outcomes(row["guards"])
    holding = [name for name, outcome in outcomes.items() if outcome == "holds"]
    made = [name for name, outcome in outcomes.items() if outcome == "made"]
    if holding or made:
        words = [f"{_many(len(holding), 'guard')} {'holds' if len(holding) == 1 else 'hold'}"] if holding else []
        words += [f"{_many(len(made), 'guard')} made true by earlier rows"] if made else []
        yield 6, f"    ✓ {', '.join(words)}"
    marked = [check for check in row["guards"] if check["outcome"] in _MARKS]
    for line in dict.fromkeys(f"{_MARKS[check['outcome']]} {_guard(row, check)}" for check in marked):
        yield 6, f"    {line}"


def _outcomes(checks: Sequence[Json]) -> dict[str, str]:
    """Return the outcome of each guard: that of the fact that says least."""
    order = ("holds", "made", "later", "waits", "warns", "unread", "fails")
    outcomes: dict[str, str] = {}
    for check in checks:
        worst = max(outcomes.get(check["guard"], "holds"), check["outcome"], key=order.index)
        outcomes[check["guard"]] = worst
    return outcomes


def _guard(row: Json, check: Json) -> str:
    match check["outcome"]:
        case "later":
            return f"{check['guard']}: {check['why']}"
        case "waits":
            limit = row["waits_at_most"]
            at_most = f", at most {lasting(limit)}" if isinstance(limit, int | float) else ""
            return f"{check['guard']}: {check['fact']} is {_value(check)}, and the row waits{at_most}"
        case "unread":
            return f"{check['guard']}: {check['fact']} could not be read (below)"
        case _:
            return f"{check['guard']}: {check['fact']} is {_value(check)} (below)"


def _value(check: Json) -> str:
    return check["value"] if isinstance(check["value"], str) else "unknown"


def _change(change: Json) -> str:
    before, after = change["before"], str(change["after"])
    if not isinstance(before, str):
        return f"{change['object']}: {after} (now unknown: {before['unknown']})"
    field, colon, value = after.partition(": ")
    if colon and before.startswith(f"{field}: "):
        return f"{change['object']}  {before} -> {value}"
    return f"{change['object']}  {before} -> {after}"


def _way_back(way: Json, kept_before: Sequence[Json]) -> str:
    """Return a way back in words; of what an abort keeps, what the rows before did not say."""
    if way["how"] == "abort":
        undone = ", ".join(way["undoes"])
        undoes = f"`drfsm abort` undoes {undone}" if undone else f"`drfsm abort`: {way['words']}"
        keeps = [entry for entry in way["keeps"] if entry not in kept_before]
        kept = "; ".join(f"{entry['row']} stays, as {entry['because']}" for entry in keeps)
        return f"{undoes}{f'; {kept}' if kept else ''}"
    if way["how"] == "refuse":
        return f"{way['words']}: what is found there refuses the run"
    return str(way["words"])


# --- what must not be overlooked ------------------------------------------------------------------------------------


def _point_of_no_return(plan: Json) -> Iterator[Line]:
    trigger = plan["point_of_no_return"]
    if not isinstance(trigger, str):
        yield 2, "Point of no return: none. An abort is possible wherever a row says so."
        return
    number = next(row["number"] for row in plan["rows"] if row["trigger"] == trigger)
    yield 2, f"Point of no return: row {number}, {trigger}. Until then `drfsm abort` leads back; then only forward."


def _missed_runs(plan: Json) -> Iterator[Line]:
    missed = plan["missed_runs"]
    if isinstance(missed, Mapping):
        yield 2, f"Missed runs: {'none' if 'none' in missed else 'unknown'} ({next(iter(missed.values()))})"
        return
    yield 2, "Missed runs, if the schedules were resumed now:"
    for run in missed:
        yield 4, f"  {'!' if run['starts_at_once'] else '·'} {run['words']}"
        if run["starts_at_once"]:
            yield 6, f"    to have none started that is older: `{_deadline(plan, run['cronjob'])}`"


def _deadline(plan: Json, cronjob: str) -> str:
    """Return the command that gives a CronJob of the site that takes over a deadline for missed runs."""
    inputs, site = plan["inputs"], _TAKES_OVER.get(plan["procedure"], "")
    kubectl = ["kubectl", *(("--kubeconfig", str(path)) if (path := inputs.get(f"kubeconfig_{site}")) else ())]
    where = ["-n", str(inputs["namespace"])] if inputs.get("namespace") else []
    patch = '{"spec":{"startingDeadlineSeconds":600}}'
    return printable(join([*kubectl, *where, "patch", "cronjob", cronjob, "-p", patch]))


_TAKES_OVER = {"failback": "primary", "promote": "dr"}


def _times(plan: Json) -> Iterator[Line]:
    durations = plan["durations"]
    runs = len(durations["earlier_runs"])
    source = f" By {_many(runs, 'earlier run')} on this computer." if runs else ""
    yield 2, f"How long: {_sum(durations['whole'])}{source}"
    for window in durations["nobody_can_publish"]:
        until = window["until"] if isinstance(window["until"], str) else "the run ends"
        yield 2, f"Nobody can publish from {window['from']} until {until}: {_sum(window)}"
    if not durations["nobody_can_publish"]:
        yield 2, "Nobody can publish: at no time, by what the rows set."


def _sum(times: Json) -> str:
    """Return how long rows take together. Nothing is invented: rows of which no earlier run tells are named."""
    missing, decisions = times["not_counted"], times["decisions"]
    person = f"; and until a person decides {', '.join(decisions)}" if decisions else ""
    if not isinstance(times["seconds"], int | float):
        return f"unknown: no earlier run{person}."
    if not missing:
        return f"about {lasting(times['seconds'])}{person}."
    words = f"at least {lasting(times['seconds'])}{person}"
    return f"{words}; no earlier run says how long these take: {', '.join(missing)}."


def _in_the_way(plan: Json) -> Iterator[Line]:
    for unread in plan["unread"]:
        yield 0, ""
        yield 4, f"✗ Could not be read, for {unread['row']}: {unread['why']}"
        yield 4, f"    unknown for that reason: {', '.join(unread['facts'])}"
    if "unknown" in plan["lease"]:
        yield 0, ""
        yield 4, f"✗ The lease could not be read: {plan['lease']['unknown']}"
    for finding in plan["findings"]:
        yield 0, ""
        yield from _finding(finding)
    if "held" in plan["lease"]:
        yield 0, ""
        yield 4, f"✗ {plan['lease']['held']}"
        yield 4, f"    what to do: {plan['lease']['what_to_do']}"


def _finding(finding: Json) -> Iterator[Line]:
    mark, would = {
        "warn": ("!", "Told only"),
        "refuse": ("✗", "Would be refused"),
        "hold": ("✗", "Would be held"),
    }[finding["would"]]
    guard = finding["guard"] if isinstance(finding["guard"], str) else finding["row"]
    needed = "|".join(finding["needed"])
    yield 4, f"{mark} {would} at {finding['row']}: {guard}: {finding['fact']} is {_value(finding)}, needed {needed}"
    why = finding["why"]
    if isinstance(why, str):
        yield 4, f"    {why if len(why) <= _SEEN_WIDTH else why[:_SEEN_WIDTH] + '… (-o json has all)'}"
    yield 4, f"    {finding['because']}"
    if isinstance(finding["what_to_do"], str):
        yield 4, f"    what to do: {finding['what_to_do']}"


def _counts(plan: Json) -> str:
    rows = plan["rows"]
    changing = [row for row in rows if row["changes"]]
    objects = {change["object"] for row in rows for change in row["changes"]}
    later = {check["guard"] for row in rows for check in row["guards"] if check["outcome"] == "later"}
    failing = [finding for finding in plan["findings"] if finding["would"] != "warn"]
    words = [
        _many(len(rows), "row"),
        f"{len(changing)} of them would change {_many(len(objects), 'object')}",
        f"{_many(len(failing) + ('held' in plan['lease']), 'finding')} in the way",
        f"{_many(len(later), 'guard')} known later",
    ]
    return f"{', '.join(words)}."


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
