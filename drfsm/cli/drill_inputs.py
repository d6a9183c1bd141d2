"""From a drill's flags to its machine's inputs: which phases, which site, what an earlier drill left.

Owns what goes together and what doesn't: every UsageFault of `drfsm drill` and `validate` is said here, before
anything is made. Which phases run becomes inputs of the machine, so that the log says it. Called by drill.py.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from attrs import frozen

from drfsm import claims
from drfsm.adapters.file_journal import read_chain
from drfsm.claims import bounded, is_name
from drfsm.cli.options import assignments, new_workload_run_id, policy_inputs
from drfsm.errors import DrfsmError, Unreadable, UsageFault
from drfsm.journal import RunState, fold
from drfsm.runs import bundle, wiring
from drfsm.runs.clusters import private_files
from drfsm.runs.git import head

PHASES = ("bringup", "restore", "validate", "promote", "teardown")
DEFAULT_PREFIX = "jobintel"


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
        """Return its validation's receipt, {} where it has none. Raises UsageFault for what is none."""
        from drfsm.runs import validation_receipts

        try:
            return validation_receipts.in_bundle(self.place) or {}
        except UsageFault as fault:
            fault.what = f"--receipt-dir: {fault.what}"
            raise


def earlier_in(receipt_dir: str | None) -> Earlier | None:
    """Return the earlier drill that a directory holds, None if it holds none. Raises UsageFault for another run."""
    if not receipt_dir or not os.path.lexists(Path(receipt_dir) / bundle.LOG):
        return None
    place = Path(receipt_dir).resolve()
    records = read_chain(place).records
    state = fold(records)
    if state.machine != "drill":
        raise UsageFault(f"{place} holds a {state.machine or 'broken'} run, not a drill", hint="another --receipt-dir")
    if state.status in ("running", "held"):
        named = quote(str(place))
        hint = f"drfsm resume {named}, or drfsm abort {named}, before another drill goes on with its site"
        raise UsageFault(f"the drill {state.run_id} in {place} has not ended: it is {state.status}", hint=hint)
    return Earlier(place, state, frozenset(str(each.body["trigger"]) for each in records if each.kind == "commit"))


def beside(place: Path) -> Path:
    """Return a directory beside an earlier bundle, for one that goes on with its site."""
    number = 2
    while (candidate := place.with_name(f"{place.name}.{number}")).exists():
        number += 1
    return candidate


def lay_kubeconfig(earlier: Earlier | None, place: Path) -> None:
    """Take the earlier drill's kubeconfig over, and whatever else is private to its site."""
    if earlier is None:
        return
    old, new = private_files(earlier.place), private_files(place)
    for name in (old.kubeconfig.name, "allowed_address"):
        if (body := old.read(name)) is not None:
            new.write(name, body)


def settle(given: dict[str, Any], earlier: Earlier | None) -> None:
    """Fill in what flags leave open. Raises UsageFault for what doesn't fit together."""
    uri = given["backup_uri"]
    bucket, _, rest = uri.removeprefix("s3://").partition("/")
    if uri and (not uri.startswith("s3://") or "/backups/" not in f"/{rest}"):
        raise UsageFault(f"{uri!r} names no backup", hint="give it as s3://<bucket>/<prefix>/backups/<backup id>")
    known = earlier.state.inputs if earlier is not None else {}
    given["bucket"] = given["bucket"] or bucket or str(known.get("bucket", ""))
    given["prefix"] = (given["prefix"] or rest.partition("/backups/")[0] or str(known.get("prefix", ""))).strip("/")
    given["prefix"] = given["prefix"] or DEFAULT_PREFIX
    if not given["bucket"]:
        raise UsageFault("no bucket is named", hint="give --bucket, or --backup-uri")
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
    wiring.check_kubeconfig("--kubeconfig", Path(given["kubeconfig"]))
    given["kubeconfig"] = str(Path(given["kubeconfig"]).absolute())
    given["infrastructure"] = "existing"


def _sites_are_two(given: Mapping[str, Any]) -> None:
    """Raise UsageFault where both kubeconfigs lead to one cluster: by address, or by what the clusters say."""
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.private import described

    files = {name: Path(given[name]) for name in ("kubeconfig", "kubeconfig_primary")}
    wiring.check_kubeconfig("--kubeconfig-primary", files["kubeconfig_primary"])
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
            hint="--kubeconfig names the site that is drilled",
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
            hint="--teardown false, and take it down where it was brought up",
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
            hint="--receipt-dir of the drill that brought it up, or --kubeconfig",
        )
    _site_is_there(given, earlier, asked)
    if given["site"] != "earlier" and asked == ("teardown",):
        raise UsageFault("--start-at teardown needs --receipt-dir of the drill that brought the site up")
    if "restore" in asked and not given["backup_uri"] and not given["diagnostics_only"]:
        raise UsageFault(
            "--backup-uri is missing: it says what is restored", hint="--start-at validate restores nothing"
        )
    return asked


def _site_is_there(given: Mapping[str, Any], earlier: Earlier | None, asked: Sequence[str]) -> None:
    """Raise UsageFault for an earlier drill that took its site down. What started late may still be taken down."""
    harmless = given["diagnostics_only"] or tuple(asked) == ("teardown",)
    if given["site"] == "earlier" and earlier is not None and earlier.gone and not harmless:
        raise UsageFault(
            f"the drill {earlier.state.run_id} in {earlier.place} took its site down: its site is gone",
            hint="another --receipt-dir, for a drill that brings up a site of its own",
        )


def inputs_of(given: Mapping[str, Any], earlier: Earlier | None, run_id: str) -> dict[str, Any]:
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
        "dr_run_id": receipt.get("run_id") or new_workload_run_id(),
        "validation_receipt": json.dumps(receipt) if receipt else "",
        "primary_run_id": _canonical_run(given),
        "taker": "dr",
        **_git_sha(given["git_sha"]),
        "kubeconfig_dr": given["kubeconfig"],
        "kubeconfig_primary": str(Path(primary).absolute()) if primary else "",
        "fence_primary": "asked" if given["fence_primary_role"] else "none",
        "max_attempts": 1 if given["no_retry"] else given["max_attempts"],
        **_of_the_backup(given),
        **policy_inputs(given),
        "validation_env": "\n".join(assignments(given["validation_env"])),
        "recovery_time_objective": _seconds("--recovery-time-objective", given["recovery_time_objective"]),
        "recovery_point_objective": _seconds("--recovery-point-objective", given["recovery_point_objective"]),
        **_recovery(given, earlier, asked),
        "prices": _prices(given["prices"]),
    }


def _of_the_backup(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what the operator says of the backup: its digest, and what may be restored though it is outside."""
    from drfsm.dr.backup import expected

    allowed = given["allow_in_backup"]
    for each in allowed:
        kind, _, name = each.partition("/")
        if not kind.isalpha() or not is_name("RBAC name", name):
            raise UsageFault(f"--allow-in-backup {bounded(repr(each), 100)} names no object", hint="give KIND/NAME")
    return {
        "expect_backup_sha256": expected(given["expect_sha256"]),
        "allow_in_backup": "\n".join(allowed),
        "deployments": "stopped",
    }


def _receipt(earlier: Earlier | None) -> dict[str, Any]:
    """Return the receipt that a promotion without a validation of its own stands on."""
    found = earlier.receipt() if earlier is not None else {}
    if not found:
        raise UsageFault(
            "nothing was validated that could be promoted", hint="--receipt-dir of a drill that validated its site"
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
    found = head(untracked=False)
    if found is None:
        return {"git_sha": "", "git_sha_from": ""}
    told = {None: ", which could not be looked at for changes", False: "", True: ", which had changes beside it"}
    return {"git_sha": found.sha, "git_sha_from": f"the working directory{told[found.changed]}"}


def _prices(path: str) -> str:
    """Return a file of prices on one line, "" for none. Raises UsageFault."""
    if not path:
        return ""
    try:
        prices = claims.json_of(Path(path).read_bytes(), path)
    except (OSError, Unreadable) as fault:
        raise UsageFault(f"--prices: {path} is no JSON file: {fault}") from None
    if not isinstance(prices, dict):
        raise UsageFault(f"--prices: {path} holds no JSON object", hint="docs/drill.md shows one")
    return json.dumps(prices, separators=(",", ":"))


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
