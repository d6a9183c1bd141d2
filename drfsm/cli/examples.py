"""One or two examples for each page of help: a table. tests/cli/test_shell.py parses each as it would be typed.

Names stand for what a reader has: BUCKET is ``results``, a run of the workload ``2026-11-28T08:02:45Z``.
"""

from collections.abc import Mapping

import click

_SITES = "--kubeconfig-dr dr.yaml --kubeconfig-primary primary.yaml"
_AT = "--bucket results --prefix jobs"
_BACKUP = "--backup-uri s3://results/jobs/backups/20261128T080000Z"
_RUN = "2026-11-28T08:02:45Z"
_EXECUTION = "--execution-arn arn:aws:states:eu-west-1:111122223333:execution:promote:monday"

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "drill": (f"{_BACKUP} --bucket results", f"{_BACKUP} --bucket results --diagnostics-only"),
    "validate": ("--bucket results --kubeconfig dr.yaml",),
    "failback": (
        f"--bucket results --dr-run-id {_RUN} {_SITES} --dry-run",
        f"--bucket results --dr-run-id {_RUN} {_SITES}",
    ),
    "promote": ("--validation-receipt drill/validation.receipt.json --kubeconfig-dr dr.yaml",),
    "plan": (
        f"failback --bucket results --dr-run-id {_RUN} {_SITES} --out failback.plan.json",
        f"promote --validation-receipt drill/validation.receipt.json {_SITES}",
    ),
    "plan failback": (
        f"--bucket results --dr-run-id {_RUN} {_SITES}",
        f"--bucket results --dr-run-id {_RUN} {_SITES} --out failback.plan.json",
    ),
    "plan promote": (f"--validation-receipt drill/validation.receipt.json {_SITES} --out promote.plan.json",),
    "plan drill": (f"{_BACKUP} --bucket results --out drill.plan.json",),
    "approve": ("--ticket CHG-2042", f"--ticket CHG-2042 {_EXECUTION}"),
    "decline": (f"--reason 'the plan names the wrong run' {_EXECUTION}",),
    "answer": (f"accept_newer_run --reason 'the newer run is good' --arg dr_run_id={_RUN} {_EXECUTION}",),
    "worker": (
        f"--queue https://sqs.eu-west-1.amazonaws.com/111122223333/drfsm-rows {_AT}",
        "--temporal temporal.example:7233 --fleet fleet.toml",
    ),
    "fleet": ("plan drill --select team=search", "status"),
    "fleet plan": ("drill --select team=search",),
    "fleet run": (
        "drill --select team=search",
        f"failback --select name=search-eu --dr-run-id {_RUN} --confirm1 FAILBACK --confirm2 CONFIRM-{_RUN}",
    ),
    "fleet schedule": ("set --cron '0 3 * * 1' --jitter 30m", "pause --reason 'a change freeze'"),
    "fleet answer": ("search-eu hold --reason 'wait for the night shift'", "search-eu abort --reason 'wrong pair'"),
    "fleet approve": ("drfsm-fleet/drill/ada 2 --ticket CHG-2042",),
    "fleet stop": ("drfsm-fleet/drill/ada --reason 'the bucket is slow'",),
    "fleet status": ("", "--start drfsm-fleet/drill/ada"),
    "fleet report": ("--out fleet.html --prometheus /var/lib/node_exporter/drfsm_fleet.prom",),
    "fleet doctor": ("",),
    "machine export": ("failback --format asl --out failback.asl.json",),
    "resume": ("", "s3://results/jobs/drfsm/runs/failback-20261128t080245z-0123456789ab"),
    "abort": ("--reason 'the primary is not ready'",),
    "hold": ("--reason 'wait for the night shift'",),
    "skip": ("--reason 'there is no time to soak'",),
    "request": ("accept_newer_run --reason 'the newer run is good' --arg dr_run_id=2026-11-28T09:00:00Z",),
    "resolve": ("done --reason 'the machine was terminated by hand'",),
    "status": ("", "--by-hand"),
    "watch": ("", "s3://results/jobs/drfsm/runs/failback-20261128t080245z-0123456789ab --until-held"),
    "list": ("--status held,interrupted --since 7d", "s3://results/jobs"),
    "replay": ("", "--quiet"),
    "config": ("show --origin", "check"),
    "config check": ("", "drfsm.toml"),
    "config schema": ("",),
    "config show": ("--origin",),
    "explain": ("dr_frozen", "4"),
    "completion": ("install", "show --shell zsh"),
    "completion install": ("", "--shell fish"),
    "completion show": ("--shell bash",),
    "man": ("--out ~/.local/share/man/man1",),
    "health": ("--bucket results",),
    "metrics": ("", "--out /var/lib/node_exporter/drfsm_runs.prom"),
    "doctor": ("", f"{_SITES} {_AT} --drill-interval 30d"),
    "pointers": ("show --bucket results",),
    "pointers show": ("--bucket results",),
    "pointers set": (f"{_RUN} --bucket results --reason 'the newer run is wrong'",),
    "pointers own": ("primary --bucket results --reason 'somebody changed the record'",),
    "fence": ("show --bucket results",),
    "fence show": ("--bucket results",),
    "fence lift": ("primary --bucket results --reason 'the site was rebuilt'",),
    "runs": ("list --bucket results", f"verify {_RUN} --bucket results"),
    "runs list": (_AT,),
    "runs show": (f"{_RUN} {_AT}",),
    "runs verify": (f"{_RUN} {_AT}",),
    "runs compare": (f"{_RUN} 2026-11-28T09:00:00Z {_AT}",),
    "runs sync": ("s3://results/jobs s3://results/copy",),
    "control-plane": ("verify --bucket results",),
    "control-plane apply": ("--bucket results",),
    "control-plane fetch": ("--bucket results",),
    "control-plane publish": ("--bucket results --image-ref-digest registry.example/app@sha256:0123abcd",),
    "control-plane verify": ("--bucket results",),
    "backup": ("list --bucket results", f"verify {_BACKUP}"),
    "backup create": ("--bucket results",),
    "backup list": ("--bucket results",),
    "backup restore": (_BACKUP,),
    "backup verify": (_BACKUP,),
    "kubeconfig": ("--instance-id i-0123456789abcdef0 --file dr.yaml",),
    "workload": ("show", "check workload.yaml"),
    "workload check": ("workload.yaml",),
    "workload schema": ("",),
    "workload show": ("",),
    "machine": ("show failback", "check my-machine.yaml"),
    "machine check": ("failback", "my-machine.yaml"),
    "machine diagram": ("failback",),
    "machine diff": ("failback my-failback.yaml",),
    "machine new": ("my_machine",),
    "machine schema": ("",),
    "machine show": ("failback",),
    "machine simulate": ("failback",),
    "sandbox": ("up", "outage primary"),
    "sandbox demo": ("",),
    "sandbox down": ("",),
    "sandbox env": ("",),
    "sandbox manifests": ("manifests",),
    "sandbox outage": ("primary",),
    "sandbox status": ("",),
    "sandbox up": ("",),
}
"""The words that lead to a command -> what is typed after them."""


def with_examples(command: click.Command, words: str) -> click.Command:
    """Return the command with its examples at the end of its page of help. ``words``: those that lead to it."""
    lines = [f"  {f'drfsm {words} {typed}'.strip()}" for typed in EXAMPLES.get(words, ())]
    if lines:
        command.epilog = "\b\n" + "\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])
    return command
