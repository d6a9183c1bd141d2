"""Until when the sites are ready: what the last green drill proved ends by date, or by a fact that changed since.

A drill is green if it restored a backup, validated the site, and ended complete. What it relied on stands in its
records; each is read again now. What can't be read proves nothing. The records are this machine's own, or the bucket's:
then they are a claim, unless a trusted key signed them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from drfsm import __version__
from drfsm.adapters.file_journal import read_chain
from drfsm.claims import bounded, moment, seconds_between
from drfsm.errors import ActionFailed, DrfsmError, EvidenceFault
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.runs import mirrors
from drfsm.runs.doctor.codes import UNKNOWN
from drfsm.runs.doctor.findings import AHEAD_SECONDS, Finding, Look, finding, of_each_site
from drfsm.runs.doctor.the_store import drill_prefix, names_below
from drfsm.runs.heads import Heads
from drfsm.runs.selection import KnownRun, known_runs
from drfsm.world import UNTOLD

CLAIM = "claim"
_MIRRORS = 10
"""How many drills of other machines are read, the newest first."""


@frozen
class Drill:
    """A green drill: where its records are, and who answers for them (``own``, ``signed``, or ``claim``)."""

    state: RunState
    where: str
    vouched: str

    @property
    def proven_at(self) -> datetime | None:
        """When its run was proven whole."""
        return moment(self.result("verify_validation").get("validated_at"))

    @property
    def is_green(self) -> bool:
        """Whether it ended complete, with a run that was proven whole."""
        return self.state.status == "complete" and self.proven_at is not None

    def result(self, trigger: str) -> Mapping[str, Any]:
        """Return what a row of it recorded, {} where it took none."""
        found = self.state.results.get(trigger)
        return found if isinstance(found, Mapping) else {}


@frozen
class Drills:
    """The green drill that counts, if any; the drills that ended otherwise since; why others' could not be read.

    A drill for which somebody answers counts before any claim, whatever its date.
    """

    green: Drill | None
    failed: tuple[RunState, ...]
    fault: DrfsmError | None


def known_drills(look: Look) -> Drills:
    """Return what is known of the drills of this bucket and prefix: this computer's, and others' by their mirrors."""
    drills = [
        Drill(run.state, str(run.place), "own" if is_own(run) else CLAIM)
        for run in known_runs()
        if not run.fault and _is_of(look, run.state)
    ]
    fault = None
    try:
        drills += _of_others(look, {drill.state.run_id for drill in drills})
    except DrfsmError as refused:
        fault = refused
    return of_drills(look, drills, fault)


def of_drills(look: Look, drills: Sequence[Drill], fault: DrfsmError | None) -> Drills:
    """Return which drill counts, and which failed since. ``drills``: of this bucket and prefix, in any order."""
    green = max((drill for drill in drills if _is_proof(look, drill)), key=_standing, default=None)
    # Only a drill for which somebody answers shows that a failure is past: anybody may put records into the bucket.
    vouched = [drill.proven_at for drill in drills if _is_proof(look, drill) and drill.vouched != CLAIM]
    since = max((proven for proven in vouched if proven is not None), default=None)
    failed = (drill.state for drill in drills if drill.state.status in ("failed", "aborted"))
    return Drills(
        green,
        tuple(state for state in failed if since is None or (moment(state.started_at) or since) > since),
        fault,
    )


def _is_proof(look: Look, drill: Drill) -> bool:
    """Whether a drill is green, and not in the future: no clock that this one could be compared with says so."""
    return (
        drill.is_green and drill.proven_at is not None and seconds_between(look.now, drill.proven_at) <= AHEAD_SECONDS
    )


def _standing(drill: Drill) -> tuple[bool, datetime]:
    """Order green drills: one for which somebody answers before any claim, then the newest."""
    assert drill.proven_at is not None  # noqa: S101  it is green
    return drill.vouched != CLAIM, drill.proven_at


def is_own(run: KnownRun) -> bool:
    """Whether this machine wrote the run's records, or somebody vouched for them here."""
    try:
        return Heads(run.id).knows(read_chain(run.place).head)
    except DrfsmError:
        return False


def _is_of(look: Look, state: RunState) -> bool:
    """Whether a run is a whole drill of this bucket and prefix, green or not."""
    inputs = state.inputs
    here = (inputs.get("bucket"), str(inputs.get("prefix", "")).strip("/")) == (look.terms.bucket, look.terms.prefix)
    whole = inputs.get("restore") == inputs.get("validate") == "asked"
    return here and whole and state.machine == "drill" and not state.dry_run


def _of_others(look: Look, own: set[str]) -> Iterator[Drill]:
    """Yield drills whose records are in the bucket only, the newest first, up to the first signed green one."""
    home = f"{look.terms.prefix}/drills/"
    names = sorted(names_below(look, home) - own, key=lambda name: name.partition("-")[2], reverse=True)
    for run_id in names[:_MIRRORS]:
        try:
            mirror = mirrors.mirror_at(look.store, drill_prefix(look, run_id), run_id)
            state = mirrors.state_of(mirror)
        except EvidenceFault:  # records that do not hold prove nothing
            continue
        if _is_of(look, state):
            drill = Drill(state, mirror.uri, "signed" if is_signed(look, mirror) else CLAIM)
            yield drill
            if _is_proof(look, drill) and drill.vouched != CLAIM:
                return


def is_signed(look: Look, mirror: mirrors.Mirror) -> bool:
    """Whether a trusted key signed the records of a mirror as they are."""
    journal = {"uri": mirror.uri, "head": mirror.head, "records": len(mirror.lines)}
    try:
        return mirrors.signed_at(look.store, journal)
    except DrfsmError:
        return False


def until(look: Look, drill: Drill) -> datetime | None:
    """Return the date on which the proof ends; None without a drill interval."""
    if look.drill_interval_seconds is None or drill.proven_at is None:
        return None
    return drill.proven_at + timedelta(seconds=look.drill_interval_seconds)


def age(look: Look, drill: Drill) -> Iterator[Finding]:
    """Judge the date, and who answers for the drill."""
    ends = until(look, drill)
    if drill.proven_at is not None:
        look.numbers["last_green_drill_timestamp_seconds"] = drill.proven_at.timestamp()
    if ends is not None and ends < look.now:
        yield finding("drill_is_too_long_ago", drill.state.run_id, f"what it proved ended on {ends:%Y-%m-%d %H:%MZ}")
    if drill.vouched == CLAIM:
        words = f"nobody answers for its records in {drill.where}"
        yield finding("drill_is_only_claimed", drill.state.run_id, words)


# --- what it relied on, read again ----------------------------------------------------------------------


def failures(failed: tuple[RunState, ...]) -> Iterator[Finding]:
    """Yield the drills that ended otherwise than complete since the last green one."""
    for state in failed:
        words = f"it ended {state.status}: {bounded(state.reason or 'no reason is recorded', 400)}"
        yield finding("drill_has_failed", state.run_id, words, mend=f"drfsm replay {state.run_id}")


def _changed(code: str, subject: str, was: object, now: object) -> Finding:
    return finding(code, subject, f"the drill relied on {bounded(was, 300)}; now it is {bounded(now, 300)}")


def machine(_look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold the declaration of the drill, and the version of drfsm, against those that would be followed now."""
    from drfsm.runs.trust import sha256_of

    now = sha256_of((shipped("machines") / "drill.yaml").read_bytes())
    if drill.state.machine_sha256 != now:
        yield _changed("proof_of_machine", "machines/drill.yaml", drill.state.machine_sha256, now)
    if drill.state.version != __version__:
        yield _changed(
            "proof_of_version", "drfsm", drill.state.version or "a version that it did not record", __version__
        )


def workload(look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold the contract of the workload against the one that was drilled."""
    from drfsm.dr.workload import digest, recorded

    was, now = digest(recorded(str(drill.state.inputs.get("workload") or ""))), digest(look.terms.workload)
    if was != now:
        yield _changed("proof_of_workload", look.terms.workload.name, was, now)


def image(look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold the image of each site's CronJob against the validated one."""
    from drfsm.dr.objects import cronjob_of

    was, terms = str(drill.result("start_validation").get("image") or ""), look.terms

    def on(site: str) -> Iterator[Finding]:
        cronjob = cronjob_of(look.world.site(site), terms.namespace, terms.cronjob, terms.usual_cronjob)
        now = str(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"])
        if now != was:
            name = f"{site}: CronJob {cronjob['metadata']['name']}"
            yield _changed("proof_of_image", name, was or "an image that it did not record", now)

    yield from of_each_site(look, "the image", on)


def control_plane(look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold the published control plane against the bundle that was drilled."""
    from drfsm.dr.control_plane import published

    was = drill.result("apply_control_plane").get("bundle_sha256")
    bundle = published(look.store, look.terms.prefix, look.terms.workload)
    now = bundle.sha256 if bundle is not None else None
    if was != now:
        yield _changed("proof_of_control_plane", "control plane", was or "none", now or "none")


def backup(look: Look, drill: Drill) -> Iterator[Finding]:
    """Look whether the backup that was restored is still there, and the same."""
    from drfsm.dr.backup import listed

    recorded = drill.result("check_backup")
    uri, was = str(recorded.get("backup_uri") or ""), recorded.get("backup_sha256")
    entry = next((entry for entry in listed(look.store, look.terms.prefix) if entry["uri"] == uri), None)
    if entry is None:
        yield _changed("proof_of_backup", uri, f"the backup {was}", "not there")
    elif entry["sha256"] != was:
        yield _changed("proof_of_backup", uri, was, entry["sha256"] or "; ".join(map(str, entry["damaged"])))


def settings(look: Look, drill: Drill) -> Iterator[Finding]:
    """Look whether the Secrets and ConfigMaps of the validated Job are there, on each site. Reads no value."""
    recorded = drill.result("start_validation").get("settings_from")
    named = [str(name).partition("/") for name in recorded] if isinstance(recorded, list | tuple) else []
    plurals = {"Secret": "secrets", "ConfigMap": "configmaps"}

    def on(site: str) -> Iterator[Finding]:
        cluster, namespace = look.world.site(site), look.terms.namespace
        for kind, _, name in named:
            if kind not in plurals:
                continue
            if not cluster.allowed("get", "", plurals[kind], namespace):
                words = f"this identity may not read {plurals[kind]}, so whether {name} is there is not known"
                yield finding("not_read", f"{site}: {kind} {name}", words)
            elif cluster.get(kind, namespace, name) is None:
                words = "the validated Job took its settings from it, and it is not there"
                yield finding("proof_of_settings", f"{site}: {kind} {name}", words)

    yield from of_each_site(look, "the settings", on)


def identity(look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold account and identity against those of the drill."""
    survey = drill.result("run_preflight")
    asked = (
        ("proof_of_account", "cloud account", str(survey.get("account") or ""), look.world.identity.account()),
        ("proof_of_role", "cloud identity", role_of(str(survey.get("caller") or "")), look.world.identity.caller()),
    )
    for code, what, was, now in asked:
        if now.startswith(UNTOLD):
            if not was.startswith(UNTOLD):  # where the store never told, the drill didn't know it either
                yield finding("not_read", what, now)
        elif was != role_of(now):
            yield _changed(code, what, was or "one that it did not record", role_of(now))


def role_of(caller: str) -> str:
    """Return a caller without its session: ``arn:…:assumed-role/<role>``."""
    return caller.rpartition("/")[0] if ":assumed-role/" in caller else caller


def endpoints(look: Look, drill: Drill) -> Iterator[Finding]:
    """Find names that no rehearsal moved, though the contract declares them."""
    declared = look.terms.workload.endpoints
    rehearsed = drill.state.inputs.get("promote") == "asked"
    unmoved = [name for name, endpoint in declared.items() if not (rehearsed and endpoint.drill_host)]
    for name in unmoved:
        why = "the contract declares no `drill_host` for it" if rehearsed else "the drill rehearsed no promote"
        yield finding("proof_of_endpoints", f"endpoint {name}", why)


def launch_template(look: Look, drill: Drill) -> Iterator[Finding]:
    """Hold the launch template against the one that the drill planned with."""
    kind = str(drill.state.inputs.get("infrastructure") or "")
    if kind == "existing":
        return
    if kind != "ec2":
        words = f"the site was brought up by {kind}: whether its module changed is not in the drill's records"
        mend = "compare the module with the one that was drilled; then: --accept not_read:infrastructure"
        yield finding("not_read", "infrastructure", words, severity=UNKNOWN, mend=mend)
        return
    from drfsm.runs.clusters import provisioner
    from drfsm.world import Charter, Watch

    was = _planned(drill.result("plan_site").get("plan"))
    with TemporaryDirectory(prefix="drfsm-doctor-") as directory:
        ec2 = provisioner({**look.inputs, "infrastructure": kind}, Path(directory))
        if ec2 is None:  # it is ec2
            raise ActionFailed("no provisioner of ec2")
        charter = Charter("doctor", "doctor")
        changes = ec2.plan(charter, Watch())
    machine_ = changes.machines[0]
    now = _template(changes.changes[0].address, machine_.instance_type, machine_.disk_gb)
    if was != now:
        yield _changed("proof_of_launch_template", "launch template", was, now)


def _template(address: object, instance_type: object, disk_gb: object) -> str:
    disk = f"{disk_gb} GB" if disk_gb else "its image's own disk"
    return f"{bounded(address, 100)}: {bounded(instance_type or 'its image type', 60)}, {disk}"


def _planned(plan: object) -> str:
    try:
        assert isinstance(plan, Mapping)  # noqa: S101  told below
        machine_ = plan["machines"][0]
        return _template(plan["changes"][0]["address"], machine_["instance_type"], machine_["disk_gb"])
    except (AssertionError, KeyError, IndexError, TypeError):
        return "a plan that it did not record"


RELIED_ON = {
    "machine": machine,
    "workload": workload,
    "image": image,
    "control plane": control_plane,
    "backup": backup,
    "settings": settings,
    "identity": identity,
    "launch template": launch_template,
    "endpoints": endpoints,
}
"""What a drill relied on -> what reads it again."""
