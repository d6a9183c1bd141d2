"""What the head of a plan tells of its inputs: whoever approves it reads nothing else."""

from shlex import split

from drfsm.evidence.plan_lines import _chosen, _missed_runs

USUAL = {
    "bucket": "b", "allow_tag": "no", "gitops_paused": "no", "dr_unreachable": "no", "fence_dr": "none", "soak": "now",
    "teardown": "true", "reason": "", "drain_timeout": 300.0, "region": "r",
}  # fmt: skip


def test_every_risk_that_was_chosen_is_told_first() -> None:
    """One line each, before what was merely chosen; nothing of what is as usual; no control characters."""
    chosen = {
        "allow_tag": "yes", "allow_degraded": "yes", "gitops_paused": "yes", "dr_unreachable": "yes", "soak": "none",
        "teardown": "false", "reason": "no\x1b[2J time", "image_ref": "r/i:latest", "fence_dr": "asked",
    }  # fmt: skip
    lines = list(_chosen({**USUAL, **chosen}))
    assert list(_chosen(USUAL)) == []
    assert lines[:6] == [
        "! allow_degraded: yes", "! allow_tag: yes", "! dr_unreachable: yes", "! gitops_paused: yes",
        lines[4], "! soak: none",
    ]  # fmt: skip
    assert lines[4].startswith("! reason: no")
    assert "\x1b" not in lines[4]
    assert lines[6:] == ["! teardown: false", "fence_dr: asked", "image_ref: r/i:latest"]


def test_a_missed_run_that_would_start_is_told_with_the_command_against_it() -> None:
    """For the site that takes over, as it can be pasted; nothing of a CronJob that starts none."""
    missed = [
        {"cronjob": "x y", "starts_at_once": True, "words": "CronJob x y starts at once"},
        {"cronjob": "z", "starts_at_once": False, "words": "CronJob z runs next at noon"},
    ]
    inputs = {"kubeconfig_primary": "/a b/p.yaml", "kubeconfig_dr": "/d.yaml", "namespace": "ns"}
    lines = [line for _, line in _missed_runs({"procedure": "failback", "inputs": inputs, "missed_runs": missed})]
    (command,) = [line.partition("`")[2].rstrip("`") for line in lines if "`" in line]
    assert split(command) == [
        "kubectl", "--kubeconfig", "/a b/p.yaml", "-n", "ns", "patch", "cronjob", "x y", "-p",
        '{"spec":{"startingDeadlineSeconds":600}}',
    ]  # fmt: skip
