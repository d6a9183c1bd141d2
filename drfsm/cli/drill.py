"""`drfsm drill`, the seed's command, and `drfsm validate`, its middle alone. Parses, wires, starts.

A drill's bundle is `--receipt-dir`; where that holds an earlier drill, its site and kubeconfig are gone on with, and
the new bundle is made beside it (`<directory>.2`, `.3`, ...). Which phases run becomes inputs of the machine, so that
the log says it.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from drfsm.adapters.file_journal import read_chain
from drfsm.cli import bundle, drive
from drfsm.cli.options import assignments, of_a_run, patience
from drfsm.cli.receipt_files import ReceiptFiles
from drfsm.cli.site_world import private_files
from drfsm.engine.runner import new_run_id
from drfsm.errors import DrfsmError, ExitCode, LeaseLost, UsageFault
from drfsm.journal import RunState, fold

PHASES = ("bringup", "restore", "validate", "promote", "teardown")
DIAGNOSED = ("cloud_identity", "pointer_owner", "foreign_runners", "runner", "site_kubeconfig", "runner_ready",
             "dr_control_plane", "dr_schedules", "dr_publishing", "site_baseline")  # fmt: skip
DEFAULT_PREFIX = "jobintel"
_phase = click.Choice(PHASES)

_WORKLOAD = (
    click.option("--namespace", default="jobintel", show_default=True, help="Of the workload."),
    click.option("--provider", default="openai", show_default=True),
    click.option("--profile", default="cs", show_default=True),
    click.option("--candidate", default="local", show_default=True, help="Whose runs and pointers."),
    click.option("--cronjob", default="", help="The CronJob that publishes.  [default: the only one]"),
    click.option("--cronjob-selector", default="", help="Label selector of the CronJobs that must be quiet."),
    click.option("--configmap", default="jobintel-config", show_default=True, help="It switches publishing."),
    click.option("--image-ref", default="", help="Image to validate, repo@sha256:<64 hex>.  [default: the CronJob's]"),
    click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by digest."),
    click.option("--skip-workload-assume", is_flag=True, help="Leave the workload's identity out of the baseline."),
    click.option(
        "--validation-env", multiple=True, metavar="NAME=VALUE",
        help="More environment for the validation Job; it is recorded, so no secrets.",
    ),
    patience,
    click.option("--site-timeout", type=click.FloatRange(0), default=120, show_default=True, help="For nodes."),
    click.option("--max-attempts", type=click.IntRange(1), default=3, show_default=True, help="Of each step."),
    click.option("--no-retry", is_flag=True, help="The same as --max-attempts 1."),
    click.option("--receipt-dir", type=click.Path(), help="The bundle's directory.  [default: below $DRFSM_HOME/runs]"),
    click.option("--git-sha", default="", help="The commit that is drilled.  [default: of the working directory]"),
    of_a_run,
    drive.output,
)  # fmt: skip


def _workload(command: Any) -> Any:
    for option in reversed(_WORKLOAD):
        command = option(command)
    return command


@click.command(
    epilog="While it runs, Ctrl-C stops at the next clean point; `drfsm resume` goes on from there.",
)
@click.option("--bucket", default="", help="Where both sites publish.  [default: that of --backup-uri]")
@click.option("--prefix", default="", help="The part of the bucket that is theirs.  [default: that of --backup-uri]")
@click.option("--backup-uri", default="", help="What is restored: s3://<bucket>/<prefix>/backups/<backup id>")
@click.option("--auto-promote", type=click.BOOL, default=False, show_default=True, help="Promote what is validated ...")
@click.option(
    "--allow-promote-bypass",
    type=click.BOOL,
    default=False,
    show_default=True,
    help="... which needs this one as well.",
)
@click.option(
    "--promote-target", type=click.Choice(["drill", "canonical"]), default="drill", show_default=True,
    help="Rehearse it below the drill's own prefix, or move the real pointers, which a person then approves.",
)  # fmt: skip
@click.option("--teardown", type=click.BOOL, help="Take the site down at the end.  [default: true, for a site of ours]")
@click.option("--start-at", type=_phase, help="The first phase.  [default: bringup]")
@click.option("--stop-after", type=_phase, help="The last phase; the site is left standing.  [default: teardown]")
@click.option("--validate-only", is_flag=True, help="The same as --start-at validate --stop-after validate.")
@click.option("--diagnostics-only", is_flag=True, help="Look at everything, change nothing, leave a receipt.")
@click.option(
    "--allow-full-drill", is_flag=True,
    default=lambda: os.environ.get("ALLOW_FULL_DRILL", "") == "1",
    help="Restore a site and tear it down in one go.  [default: if $ALLOW_FULL_DRILL is 1]",
)  # fmt: skip
@click.option("--kubeconfig", default="", type=click.Path(), help="Leads to a site that is there already.")
@click.option(
    "--infrastructure", type=click.Choice(["ec2", "terraform", "existing"]),
    help="How the site is brought up.  [default: existing with --kubeconfig, else ec2]",
)  # fmt: skip
@click.option("--terraform-dir", default="", type=click.Path(), help="The module, with --infrastructure terraform.")
@click.option("--prices", default="", type=click.Path(), help="What machines cost, a JSON file (docs/drill.md).")
@click.option("--expected-minutes", type=click.FloatRange(0), default=60, show_default=True, help="For the estimate.")
@click.option("--recovery-time-objective", default="", metavar="SECONDS", help="Until validated.  [default: none]")
@click.option("--recovery-point-objective", default="", metavar="SECONDS", help="Age of the backup.  [default: any]")
@click.option("--boot-timeout", type=click.FloatRange(0), default=900, show_default=True, help="Seconds, for the site.")
@click.option("--reach-timeout", type=click.FloatRange(0), default=60, show_default=True, help="Seconds, for its API.")
@click.option("--kubeconfig-primary", default="", type=click.Path(), help="For a canonical promotion.")
@click.option("--primary-unreachable", is_flag=True, help="For a canonical promotion: the primary is lost.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="For a canonical promotion: fence this identity.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="For a canonical promotion: DR's own identity.")
@click.option("--resume-cronjobs", default="", help="For a canonical promotion: schedules to switch on.")
@click.option("--no-fence", is_flag=True, help="For a canonical promotion: a lost primary is not fenced.")
@click.option("--reason", default="", help="For a canonical promotion: why; it is recorded.")
@_workload
def drill(**given: Any) -> int:
    """Bring a site up from a backup, let it do the work, take it down: bring up, restore, validate, promote, tear down.

    Each phase is tried up to three times, with one repair in between. Where one fails, what was brought up is taken
    down all the same. Nothing canonical is touched. Everything that it does is written down before it is done;
    kill it at any moment, and `drfsm resume` goes on from exactly there.
    """
    return _drill(given)[0]


@click.command()
@click.option("--bucket", required=True, help="Where both sites publish.")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="The part of the bucket that is theirs.")
@click.option(
    "--kubeconfig", type=click.Path(), default=lambda: os.environ.get("KUBECONFIG_DR", ""),
    help="Leads to the site.  [default: $KUBECONFIG_DR]",
)  # fmt: skip
@_workload
def validate(**given: Any) -> int:
    """Let a site that is there do the work once, published beside, and prove what it published.

    The site must be quiet (schedules suspended, publishing off), and stays so. Exits with 0 if it does the work, with
    10 if not. Leaves validation.receipt.json in the bundle, and beside the run: a promote relies on it.
    """
    if not given["kubeconfig"]:
        raise UsageFault("no kubeconfig is named", way="give --kubeconfig")
    unasked: dict[str, Any] = {
        "backup_uri": "", "auto_promote": False, "allow_promote_bypass": False, "promote_target": "drill",
        "teardown": False, "start_at": None, "stop_after": None, "validate_only": True, "diagnostics_only": False,
        "allow_full_drill": False, "infrastructure": "existing", "terraform_dir": "", "prices": "",
        "expected_minutes": 0, "recovery_time_objective": "", "recovery_point_objective": "", "boot_timeout": 900,
        "reach_timeout": 60, "kubeconfig_primary": "", "primary_unreachable": False, "fence_primary_role": "",
        "fence_dr_role": "", "resume_cronjobs": "", "no_fence": False, "reason": "",
    }  # fmt: skip
    shown = given["output"] == "text"
    code, place = _drill({**unasked, **given})
    if shown:
        click.echo(_verdict(place))
    return code


def _verdict(place: Path) -> str:
    """Say in a line what became of a validation."""
    receipt = place / "validation.receipt.json"
    if not receipt.is_file():
        return f"NOT VALIDATED; {place / 'phases/validate.receipt.json'} says why"
    found = json.loads(receipt.read_bytes())
    return f"validated: {found['run_id']}, {found['objects']} objects, {found['verification_level']}; {receipt}"


# --- from flags to inputs ---------------------------------------------------------------------------------------


@frozen
class Earlier:
    """An earlier drill, whose site is gone on with. ``done``: the triggers of the rows that it took."""

    place: Path
    state: RunState
    done: frozenset[str] = frozenset()

    @property
    def site_run(self) -> str:
        """The run that brought its site up."""
        return str(self.state.inputs.get("site_run") or self.state.run_id)

    @property
    def gone(self) -> bool:
        """Whether it took its site down."""
        return "tear_down_site" in self.done

    @property
    def restored(self) -> bool:
        """Whether its site, since it was brought up, was restored by a drill: this one, or one before."""
        inputs = self.state.inputs
        before = inputs.get("restore") != "asked" and inputs.get("recovery_covers") == "whole"
        return before or bool(self.done & {"restore_state", "go_on_without_state"})

    def receipt(self) -> dict[str, Any]:
        """Return its validation's receipt, {} where it has none."""
        try:
            found: dict[str, Any] = json.loads((self.place / "validation.receipt.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found


def _drill(given: dict[str, Any]) -> tuple[int, Path]:
    """Start it; return the exit code and the bundle."""
    who = drive.Who(**{name: given.pop(name) for name in ("operator", "take_over", "output")})
    earlier = _earlier(given["receipt_dir"])
    run_id = new_run_id("drill")
    _settle(given, earlier)
    inputs = _inputs(given, earlier, run_id)
    if given["diagnostics_only"]:
        return _diagnose(inputs, run_id, given["receipt_dir"], earlier, who.output), Path()
    if earlier is not None:
        given["receipt_dir"] = str(_beside(earlier.place))
        click.echo(f"goes on with the site of {earlier.site_run}; the new bundle is {given['receipt_dir']}", err=True)
    scope = "live" if inputs["promote"] == "asked" and inputs["promote_target"] == "canonical" else "drill"
    code = drive.start(
        "drill", inputs, who, dry_run=False, receipt_dir=given["receipt_dir"], run_id=run_id, scope=scope,
        before=lambda place: _lay_kubeconfig(earlier, place),
    )  # fmt: skip
    return code, Path(given["receipt_dir"]) if given["receipt_dir"] else bundle.home() / "runs" / run_id


def _earlier(receipt_dir: str | None) -> Earlier | None:
    """Return the earlier drill that a directory holds, None if it holds none. Raises UsageFault for another run."""
    if not receipt_dir or not (Path(receipt_dir) / bundle.LOG).is_file():
        return None
    place = Path(receipt_dir).resolve()
    records = read_chain(place).records
    state = fold(records)
    if state.machine != "drill":
        raise UsageFault(f"{place} holds a {state.machine or 'broken'} run, not a drill", way="another --receipt-dir")
    if state.status in ("running", "held"):
        way = f"drfsm resume {place}, or drfsm abort {place}, before another drill goes on with its site"
        raise UsageFault(f"the drill {state.run_id} in {place} has not ended: it is {state.status}", way=way)
    return Earlier(place, state, frozenset(str(each.body["trigger"]) for each in records if each.kind == "commit"))


def _beside(place: Path) -> Path:
    number = 2
    while (candidate := place.with_name(f"{place.name}.{number}")).exists():
        number += 1
    return candidate


def _lay_kubeconfig(earlier: Earlier | None, place: Path) -> None:
    """Take the earlier drill's kubeconfig over, and whatever else is private to its site."""
    if earlier is None:
        return
    old, new = private_files(earlier.place), private_files(place)
    for name in (old.kubeconfig.name, "allowed_address"):
        if (body := old.read(name)) is not None:
            new.write(name, body)


def _settle(given: dict[str, Any], earlier: Earlier | None) -> None:
    """Fill in what flags leave open. Raises UsageFault for what doesn't fit together."""
    uri = given["backup_uri"]
    bucket, _, rest = uri.removeprefix("s3://").partition("/")
    if uri and (not uri.startswith("s3://") or "/backups/" not in f"/{rest}"):
        raise UsageFault(f"{uri!r} names no backup", way="give it as s3://<bucket>/<prefix>/backups/<backup id>")
    known = earlier.state.inputs if earlier is not None else {}
    given["bucket"] = given["bucket"] or bucket or str(known.get("bucket", ""))
    given["prefix"] = (given["prefix"] or rest.partition("/backups/")[0] or str(known.get("prefix", ""))).strip("/")
    given["prefix"] = given["prefix"] or DEFAULT_PREFIX
    if not given["bucket"]:
        raise UsageFault("no bucket is named", way="give --bucket, or --backup-uri")
    if given["kubeconfig"]:
        _kubeconfig_is_one(given)
    if given["validate_only"]:
        if given["start_at"] or given["stop_after"]:
            raise UsageFault("--validate-only goes without --start-at and --stop-after")
        given["start_at"] = given["stop_after"] = "validate"
    _settle_site(given, earlier, known)
    _settle_teardown(given)
    if given["site"] == "given" and given["kubeconfig_primary"]:
        _sites_are_two(given)


def _kubeconfig_is_one(given: dict[str, Any]) -> None:
    if given["infrastructure"] not in (None, "existing"):
        raise UsageFault(
            f"--kubeconfig names a site that is there: --infrastructure {given['infrastructure']} makes one"
        )
    drive.check_kubeconfig("--kubeconfig", Path(given["kubeconfig"]))
    given["kubeconfig"] = str(Path(given["kubeconfig"]).absolute())
    given["infrastructure"] = "existing"


def _sites_are_two(given: Mapping[str, Any]) -> None:
    """Raise UsageFault where both kubeconfigs lead to one cluster: by address, or by what the clusters say."""
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.private import described

    files = {name: Path(given[name]) for name in ("kubeconfig", "kubeconfig_primary")}
    drive.check_kubeconfig("--kubeconfig-primary", files["kubeconfig_primary"])
    same = len({described(file.read_bytes(), str(file), own=True).server for file in files.values()}) == 1
    if not same and not given["primary_unreachable"]:
        try:
            same = len({KubeCluster(name, file).uid() for name, file in files.items()}) == 1
        except DrfsmError as fault:
            fault.what = f"whether --kubeconfig and --kubeconfig-primary lead to two clusters: {fault.what}"
            raise
    if same:
        raise UsageFault(
            "--kubeconfig and --kubeconfig-primary lead to the same cluster: the primary is not drilled",
            way="--kubeconfig names the site that is drilled",
        )


def _settle_site(given: dict[str, Any], earlier: Earlier | None, known: Mapping[str, Any]) -> None:
    if given["kubeconfig"]:
        given["site"], given["site_run"] = "given", ""
    elif earlier is not None and known.get("infrastructure") == "existing":
        given |= {
            "site": "given",
            "site_run": "",
            "kubeconfig": str(known["kubeconfig_dr"]),
            "infrastructure": "existing",
        }
    elif earlier is not None:
        given |= {"site": "earlier", "site_run": earlier.site_run}
        given["infrastructure"] = given["infrastructure"] or str(known["infrastructure"])
        given["terraform_dir"] = given["terraform_dir"] or str(known.get("terraform_dir", ""))
    else:
        given |= {"site": "new", "site_run": "", "infrastructure": given["infrastructure"] or "ec2"}
    if given["infrastructure"] == "existing" and not given["kubeconfig"]:
        raise UsageFault("--infrastructure existing needs --kubeconfig: it leads to the site that is there")
    if given["infrastructure"] == "terraform":
        if not given["terraform_dir"]:
            raise UsageFault("--infrastructure terraform needs --terraform-dir")
        given["terraform_dir"] = str(Path(given["terraform_dir"]).absolute())


def _settle_teardown(given: dict[str, Any]) -> None:
    if given["site"] == "given" and given["teardown"]:
        raise UsageFault(
            "--teardown true, and the site was given: drfsm takes down only what it brought up",
            way="--teardown false, and take it down where it was brought up",
        )
    if given["teardown"] is None:
        given["teardown"] = given["site"] != "given" and given["stop_after"] in (None, "teardown")


def _asked_phases(given: Mapping[str, Any], earlier: Earlier | None) -> Sequence[str]:
    """Return the phases that are asked for. Raises UsageFault where they can't be."""
    first, last = PHASES.index(given["start_at"] or PHASES[0]), PHASES.index(given["stop_after"] or PHASES[-1])
    if first > last:
        raise UsageFault(f"--start-at {PHASES[first]} comes after --stop-after {PHASES[last]}")
    asked = PHASES[first : last + 1]
    if given["site"] == "new" and "bringup" not in asked and not given["diagnostics_only"]:
        raise UsageFault(
            f"--start-at {PHASES[first]} needs a site that is there",
            way="--receipt-dir of the drill that brought it up, or --kubeconfig",
        )
    _site_is_there(given, earlier, asked)
    if given["site"] != "earlier" and asked == ("teardown",):
        raise UsageFault("--start-at teardown needs --receipt-dir of the drill that brought the site up")
    if "restore" in asked and not given["backup_uri"] and not given["diagnostics_only"]:
        raise UsageFault(
            "--backup-uri is missing: it says what is restored", way="--start-at validate restores nothing"
        )
    return asked


def _site_is_there(given: Mapping[str, Any], earlier: Earlier | None, asked: Sequence[str]) -> None:
    """Raise UsageFault for an earlier drill that took its site down. What started late may still be taken down."""
    harmless = given["diagnostics_only"] or tuple(asked) == ("teardown",)
    if given["site"] == "earlier" and earlier is not None and earlier.gone and not harmless:
        raise UsageFault(
            f"the drill {earlier.state.run_id} in {earlier.place} took its site down: its site is gone",
            way="another --receipt-dir, for a drill that brings up a site of its own",
        )


def _inputs(given: Mapping[str, Any], earlier: Earlier | None, run_id: str) -> dict[str, Any]:
    """Return the inputs of the machine."""
    asked = _asked_phases(given, earlier)
    own = f"{given['prefix']}/drills/{run_id}"
    flags = {name: "true" if given[name] else "false" for name in ("auto_promote", "allow_promote_bypass", "teardown")}
    promoting = "promote" in asked and given["auto_promote"] and given["allow_promote_bypass"]
    receipt = _receipt(earlier) if promoting and "validate" not in asked else {}
    numbers = (
        "validation_timeout",
        "startup_timeout",
        "site_timeout",
        "boot_timeout",
        "reach_timeout",
        "expected_minutes",
    )
    words = (
        "bucket", "prefix", "namespace", "candidate", "provider", "profile", "cronjob", "cronjob_selector", "configmap",
        "backup_uri", "image_ref", "infrastructure", "terraform_dir", "site", "site_run", "promote_target",
        "fence_primary_role", "fence_dr_role", "resume_cronjobs", "reason", "expect_account", "endpoint_url", "region",
    )  # fmt: skip
    yes_or_no = ("allow_tag", "allow_full_drill", "skip_workload_assume", "primary_unreachable", "no_fence")
    primary = given["kubeconfig_primary"]
    return {
        **{name: given[name] for name in words},
        **{name: f"{given[name]:g}" for name in numbers},
        **{name: "yes" if given[name] else "no" for name in yes_or_no},
        **flags,
        **{phase: "asked" if phase in asked else "none" for phase in ("restore", "validate")},
        "promote": "asked" if promoting else "none",
        "only_teardown": "yes" if tuple(asked) == ("teardown",) else "no",
        "journal_prefix": own,
        "staged_prefix": receipt.get("staged_prefix") or f"{own}/validation",
        "dr_run_id": receipt.get("run_id") or drive.new_workload_run_id(),
        "validation_receipt": json.dumps(receipt) if receipt else "",
        "primary_run_id": _canonical_run(given),
        "taker": "dr",
        **_git_sha(given["git_sha"]),
        "kubeconfig_dr": given["kubeconfig"],
        "kubeconfig_primary": str(Path(primary).absolute()) if primary else "",
        "fence_primary": "asked" if given["fence_primary_role"] else "none",
        "max_attempts": 1 if given["no_retry"] else given["max_attempts"],
        "validation_env": "\n".join(assignments(given["validation_env"])),
        "recovery_time_objective": _seconds("--recovery-time-objective", given["recovery_time_objective"]),
        "recovery_point_objective": _seconds("--recovery-point-objective", given["recovery_point_objective"]),
        **_recovery(given, earlier, asked),
        "prices": _prices(given["prices"]),
    }


def _receipt(earlier: Earlier | None) -> dict[str, Any]:
    """Return the receipt that a promotion without a validation of its own stands on."""
    found = earlier.receipt() if earlier is not None else {}
    if not found:
        raise UsageFault(
            "nothing was validated that could be promoted", way="--receipt-dir of a drill that validated its site"
        )
    return found


def _recovery(given: Mapping[str, Any], earlier: Earlier | None, asked: Sequence[str]) -> dict[str, str]:
    """Return where the measured time begins, and whether it covers a recovery: of this site, in all drills on it."""
    ours, goes_on = given["site"] != "given", earlier if given["site"] == "earlier" else None
    covers = ours and ("restore" in asked or (goes_on is not None and goes_on.restored))
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return {
        "started_at": now if goes_on is None else str(goes_on.state.inputs["started_at"]),
        "recovery_covers": "whole" if covers else "part",
    }


def _canonical_run(given: Mapping[str, Any]) -> str:
    """Return the run that is canonical now, "" where none is. What keeps it from being read names the options."""
    from drfsm.adapters import aws
    from drfsm.dr.layout import Layout
    from drfsm.dr.pointers import read

    store = aws.connect(
        bucket=given["bucket"], endpoint_url=given["endpoint_url"] or None, region=given["region"] or None
    ).store
    key = Layout(given["prefix"], given["candidate"]).global_pointers()[0]
    try:
        return str((read(store, (key,))[key] or {}).get("run_id") or "")
    except DrfsmError as fault:
        fault.what = f"--bucket {given['bucket']}: which run is canonical can't be read: {fault.what}"
        raise


def _git_sha(given: str) -> dict[str, str]:
    """Return the commit that is drilled, and where that is from; an empty one is found later, or not."""
    if given:
        return {"git_sha": given, "git_sha_from": "--git-sha"}
    if not (found := _git("rev-parse", "--verify", "HEAD")):
        return {"git_sha": "", "git_sha_from": ""}
    dirty = _git("status", "--porcelain", "--untracked-files=no")
    told = {None: ", which could not be looked at for changes", "": ""}.get(dirty, ", which had changes beside it")
    return {"git_sha": found, "git_sha_from": f"the working directory{told}"}


def _git(*asked: str) -> str | None:
    """Return what git says of the working directory, None where it can't."""
    argv = ["git", *asked]
    try:
        told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() if told.returncode == 0 else None


def _prices(path: str) -> str:
    """Return a file of prices on one line, "" for none. Raises UsageFault."""
    if not path:
        return ""
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as fault:
        raise UsageFault(f"--prices: {path} is no JSON file: {fault}") from None
    if not isinstance(found, dict):
        raise UsageFault(f"--prices: {path} holds no JSON object", way="docs/drill.md shows one")
    return json.dumps(found, separators=(",", ":"))


def _seconds(option: str, given: str) -> str:
    if not given:
        return ""
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"{option} is a number of seconds above 0, not {given!r}")
    return f"{seconds:g}"


# --- diagnostics ------------------------------------------------------------------------------------------------


class _NoLease:
    """A lease that nobody holds: whoever would write is told so."""

    def check(self) -> None:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def acquire(self, _run_id: str, _operator: str, _host: str) -> int:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def release(self, _run_id: str) -> None:
        """Do nothing: none is held."""


def _diagnose(
    inputs: Mapping[str, Any], run_id: str, receipt_dir: str | None, earlier: Earlier | None, output: str
) -> int:
    """Look at everything through a world that can't be written to, and leave a receipt."""
    from drfsm.adapters.fenced import fenced
    from drfsm.dr import drill as rooms
    from drfsm.dr import site_baseline
    from drfsm.engine import Run, SystemClock
    from drfsm.engine.runner import who

    place = earlier.place if earlier is not None else Path(receipt_dir or bundle.home() / "receipts" / run_id)
    world = fenced(drive.connect(inputs, "", place, run_id)[0], _NoLease())
    run = Run(run_id, inputs, who(), 0, True, "diagnose", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    told: dict[str, Any] = {
        "schema_version": 1,
        "run_id": run_id,
        "at": run.clock.now(),
        "operator": run.operator,
        "inputs": {name: value for name, value in inputs.items() if value != "" and name != "validation_env"},
        "facts": rooms.diagnosed(world, run, DIAGNOSED),
    }
    try:
        told["site"] = site_baseline.diagnose(world.dr, str(inputs["namespace"]))
    except DrfsmError as fault:
        told["site"] = {"unknown": fault.what}
    receipts = ReceiptFiles(str(_beside_name(place)) if earlier is not None else str(place), run_id)
    receipts.write("diagnostics.receipt.json", (json.dumps(told, indent=2, sort_keys=True) + "\n").encode())
    if output == "json":
        click.echo(json.dumps(told, indent=2))
    else:
        for name, found in told["facts"].items():
            click.echo(f"{name:<18} {found['value'] or 'unknown: ' + found.get('why', '')}")
        for each in told["site"].get("wrong", ()):
            click.echo(f"  {each}")
        click.echo(f"receipt: {receipts.directory / 'diagnostics.receipt.json'}")
    return int(ExitCode.DONE)


def _beside_name(place: Path) -> Path:
    return place.with_name(f"{place.name}.diagnostics")
