"""Turns the options of `drfsm drill` and `drfsm validate` into the inputs of the machine.

Owns which options go together: every UsageFault of the two commands is raised here, before anything is made. The
phases that the operator asks for become inputs of the machine, so the log records them. What an earlier drill left is
the matter of runs/earlier_drills.py. Called by drill.py and plan.py.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drfsm.claims import bounded, is_name
from drfsm.cli.options import assignments, contract_of, new_workload_run_id, policy_inputs
from drfsm.cli.prices import read_prices
from drfsm.errors import DrfsmError, UsageFault
from drfsm.runs import wiring
from drfsm.runs.canonical import canonical_run
from drfsm.runs.earlier_drills import EarlierDrill, recovery_inputs
from drfsm.runs.git import head

PHASES = ("bringup", "restore", "validate", "promote", "teardown")


def settle(options: dict[str, Any], earlier: EarlierDrill | None) -> None:
    """Fill in what the options leave open. Raises UsageFault for options that do not fit together."""
    uri = options["backup_uri"]
    bucket, _, rest = uri.removeprefix("s3://").partition("/")
    if uri and (not uri.startswith("s3://") or "/backups/" not in f"/{rest}"):
        raise UsageFault(f"{uri!r} names no backup", hint="give it as s3://<bucket>/<prefix>/backups/<backup id>")
    known = earlier.state.inputs if earlier is not None else {}
    options["bucket"] = options["bucket"] or bucket or str(known.get("bucket", ""))
    options["prefix"] = (options["prefix"] or rest.partition("/backups/")[0] or str(known.get("prefix", ""))).strip("/")
    options["prefix"] = options["prefix"] or contract_of(options).defaults.prefix
    if known.get("workload", options["workload"]) != options["workload"]:
        raise UsageFault(
            "the earlier drill was of a workload with another contract", hint="add --workload with its contract"
        )
    if not options["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket or --backup-uri")
    if options["kubeconfig"]:
        _kubeconfig_is_one(options)
    if options["validate_only"]:
        if options["start_at"] or options["stop_after"]:
            raise UsageFault(
                "--validate-only goes without --start-at and --stop-after",
                hint="leave out one or the other",
            )
        options["start_at"] = options["stop_after"] = "validate"
    _settle_site(options, earlier, known)
    _settle_teardown(options)
    if options["site"] == "given" and options["kubeconfig_primary"]:
        _sites_are_two(options)


def _kubeconfig_is_one(options: dict[str, Any]) -> None:
    if options["infrastructure"] not in (None, "existing"):
        raise UsageFault(
            f"--kubeconfig names an existing site, and --infrastructure {options['infrastructure']} makes a new one",
            hint="give only one of the two",
        )
    wiring.check_kubeconfig("--kubeconfig", Path(options["kubeconfig"]))
    options["kubeconfig"] = str(Path(options["kubeconfig"]).absolute())
    options["infrastructure"] = "existing"


def _sites_are_two(options: Mapping[str, Any]) -> None:
    """Raise UsageFault where both kubeconfigs lead to one cluster: by address, or by what the clusters say."""
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.private import described

    files = {name: Path(options[name]) for name in ("kubeconfig", "kubeconfig_primary")}
    wiring.check_kubeconfig("--kubeconfig-primary", files["kubeconfig_primary"])
    same = len({described(file.read_bytes(), str(file), own=True).server for file in files.values()}) == 1
    if not same and not options["primary_unreachable"]:
        try:
            same = len({KubeCluster(name, file).uid() for name, file in files.items()}) == 1
        except DrfsmError as fault:
            fault.what = f"cannot check that --kubeconfig and --kubeconfig-primary lead to two clusters: {fault.what}"
            raise
    if same:
        raise UsageFault(
            "--kubeconfig and --kubeconfig-primary lead to the same cluster: a drill never works on the primary",
            hint="give the kubeconfig of the site to drill as --kubeconfig",
        )


def _settle_site(options: dict[str, Any], earlier: EarlierDrill | None, known: Mapping[str, Any]) -> None:
    if options["kubeconfig"]:
        options["site"], options["site_run"] = "given", ""
    elif earlier is not None and known.get("infrastructure") == "existing":
        options |= {
            "site": "given",
            "site_run": "",
            "kubeconfig": str(known["kubeconfig_dr"]),
            "infrastructure": "existing",
        }
    elif earlier is not None:
        options |= {"site": "earlier", "site_run": earlier.site_run}
        options["infrastructure"] = options["infrastructure"] or str(known["infrastructure"])
        options["terraform_dir"] = options["terraform_dir"] or str(known.get("terraform_dir", ""))
    else:
        options |= {"site": "new", "site_run": "", "infrastructure": options["infrastructure"] or "ec2"}
    if options["infrastructure"] == "existing" and not options["kubeconfig"]:
        raise UsageFault(
            "--infrastructure existing needs --kubeconfig", hint="name the existing site: --kubeconfig PATH"
        )
    if options["infrastructure"] == "terraform":
        if not options["terraform_dir"]:
            raise UsageFault("--infrastructure terraform needs --terraform-dir", hint="add the path to the module")
        options["terraform_dir"] = str(Path(options["terraform_dir"]).absolute())


def _settle_teardown(options: dict[str, Any]) -> None:
    if options["site"] == "given" and options["teardown"]:
        raise UsageFault(
            "--teardown true is for a site of drfsm's own: drfsm takes down only what it brought up",
            hint="give --teardown false, and take the site down by the tool that made it",
        )
    if options["teardown"] is None:
        options["teardown"] = options["site"] != "given" and options["stop_after"] in (None, "teardown")


def _asked_phases(options: Mapping[str, Any], earlier: EarlierDrill | None) -> Sequence[str]:
    """Return the phases that the options ask for. Raises UsageFault if they cannot be run."""
    first, last = PHASES.index(options["start_at"] or PHASES[0]), PHASES.index(options["stop_after"] or PHASES[-1])
    if first > last:
        raise UsageFault(
            f"--start-at {PHASES[first]} comes after --stop-after {PHASES[last]}",
            hint=f"order: {', '.join(PHASES)}",
        )
    asked = PHASES[first : last + 1]
    if options["site"] == "new" and "bringup" not in asked and not options["diagnostics_only"]:
        raise UsageFault(
            f"--start-at {PHASES[first]} needs an existing site",
            hint="add --receipt-dir of the drill that brought it up, or --kubeconfig",
        )
    _site_is_there(options, earlier, asked)
    if options["site"] != "earlier" and asked == ("teardown",):
        raise UsageFault(
            "--start-at teardown needs the drill that brought the site up", hint="add --receipt-dir of that drill"
        )
    if options["require_state"] and "restore" not in asked:
        raise UsageFault(
            "--require-state is about a restore, and this drill restores nothing",
            hint="leave out one or the other",
        )
    if "restore" in asked and not options["backup_uri"] and not options["diagnostics_only"]:
        raise UsageFault(
            "--backup-uri is missing: it names the backup to restore", hint="add it; or give --start-at validate"
        )
    return asked


def _site_is_there(options: Mapping[str, Any], earlier: EarlierDrill | None, asked: Sequence[str]) -> None:
    """Raise UsageFault for an earlier drill that took its site down. Its late machines may still be removed."""
    harmless = options["diagnostics_only"] or tuple(asked) == ("teardown",)
    if options["site"] == "earlier" and earlier is not None and earlier.gone and not harmless:
        raise UsageFault(
            f"the drill {earlier.state.run_id} in {earlier.place} took its site down",
            hint="name another --receipt-dir: a new drill brings up a new site",
        )


def inputs_of(
    options: Mapping[str, Any], earlier: EarlierDrill | None, run_id: str, validated_run_id: str = ""
) -> dict[str, Any]:
    """Return the inputs of the machine. ``validated_run_id``: the id of the validation's run; "": a new one."""
    from drfsm.dr.procedures import FLAGS, case_of

    asked = _asked_phases(options, earlier)
    own = f"{options['prefix']}/drills/{run_id}"
    flags = {name: "true" if options[name] else "false" for name in (*FLAGS, "teardown")}
    promoting = "promote" in asked and case_of(flags).promotes
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
        "workload", "bucket", "prefix", "namespace", "candidate", "provider", "profile", "cronjob", "cronjob_selector",
        "configmap",
        "backup_uri", "image_ref", "infrastructure", "terraform_dir", "site", "site_run", "promote_target",
        "fence_primary_role", "fence_dr_role", "resume_cronjobs", "reason", "expect_account", "endpoint_url", "region",
    )  # fmt: skip
    yes_or_no = (
        "require_state",
        "allow_tag",
        "allow_full_drill",
        "skip_workload_assume",
        "primary_unreachable",
        "no_fence",
    )
    primary = options["kubeconfig_primary"]
    return {
        **{name: options[name] for name in words},
        **{name: f"{options[name]:g}" for name in numbers},
        **{name: "yes" if options[name] else "no" for name in yes_or_no},
        **flags,
        **{phase: "asked" if phase in asked else "none" for phase in ("restore", "validate")},
        "promote": "asked" if promoting else "none",
        "only_teardown": "yes" if tuple(asked) == ("teardown",) else "no",
        "journal_prefix": own,
        "staged_prefix": receipt.get("staged_prefix") or f"{own}/validation",
        "dr_run_id": receipt.get("run_id") or validated_run_id or new_workload_run_id(contract_of(options)),
        "validation_receipt": json.dumps(receipt) if receipt else "",
        "primary_run_id": _canonical_run(options),
        "taker": "dr",
        **_git_sha(options["git_sha"]),
        "kubeconfig_dr": options["kubeconfig"],
        "kubeconfig_primary": str(Path(primary).absolute()) if primary else "",
        "refresh_pull_secret": "asked" if options["refresh_pull_secret"] else "no",
        "fence_primary": "asked" if options["fence_primary_role"] else "none",
        "max_attempts": 1 if options["no_retry"] else options["max_attempts"],
        **_of_the_backup(options),
        **policy_inputs(options),
        "validation_env": "\n".join(assignments(options["validation_env"], contract_of(options))),
        "recovery_time_objective": _seconds("--recovery-time-objective", options["recovery_time_objective"]),
        "recovery_point_objective": _seconds("--recovery-point-objective", options["recovery_point_objective"]),
        **recovery_inputs(earlier, site=options["site"], restores="restore" in asked),
        "prices": read_prices(options["prices"]),
    }


def _of_the_backup(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what the operator says about the backup: its digest, and the objects that may be restored by name."""
    from drfsm.dr.backup import expected

    allowed = options["allow_in_backup"]
    for reference in allowed:
        kind, _, name = reference.partition("/")
        if not kind.isalpha() or not is_name("RBAC name", name):
            raise UsageFault(f"--allow-in-backup {bounded(repr(reference), 100)} names no object", hint="KIND/NAME")
    return {
        "expect_backup_sha256": expected(options["expect_sha256"]),
        "allow_in_backup": "\n".join(allowed),
        "deployments": "stopped",
    }


def _receipt(earlier: EarlierDrill | None) -> dict[str, Any]:
    """Return the receipt on which a promotion relies if this drill does not validate."""
    receipt = earlier.receipt() if earlier is not None else {}
    if not receipt:
        raise UsageFault(
            "there is no validated run to promote", hint="add --receipt-dir of a drill that validated its site"
        )
    return receipt


def _canonical_run(options: Mapping[str, Any]) -> str:
    """Return the run that is canonical now, "" where none is. An error names the option."""
    try:
        return canonical_run(options)
    except DrfsmError as fault:
        fault.what = f"--bucket {options['bucket']}: cannot read which run is canonical: {fault.what}"
        raise


def _git_sha(named: str) -> dict[str, str]:
    """Return the commit that is drilled, and its source; both empty if neither the option nor git names one."""
    if named:
        return {"git_sha": named, "git_sha_from": "--git-sha"}
    checkout = head(untracked=False)
    if checkout is None:
        return {"git_sha": "", "git_sha_from": ""}
    remark = {None: ", not checked for changes", False: "", True: ", with uncommitted changes"}
    return {"git_sha": checkout.sha, "git_sha_from": f"the working directory{remark[checkout.changed]}"}


def _seconds(option: str, text: str) -> str:
    if not text:
        return ""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"{option} must be a number of seconds above 0, not {text!r}", hint="e.g. 3600")
    return f"{seconds:g}"
