"""What a notice says, and that nothing in it acts: not on a chat, not on a terminal, not on a pager."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from drfsm.journal import RunState
from drfsm.journal.record_types import NextAction, Reading
from drfsm.runs.notices import ENDED, HELD, NOBODY, STOPPED, harmless, of_execution, of_run

SINCE, NOW = "2026-02-27T03:00:00.000000Z", "2026-02-27T03:17:00.000000Z"
SHA = "ab" * 32
RUN = RunState(
    run_id="failback-1", machine="failback", status="running", state="dr_quiesced", host="desk", last_at=SINCE,
    frozen_since={"DR starts no Jobs": SINCE, "nobody can publish": SINCE},
)  # fmt: skip
AT_HOME = "/home/ann/.local/state/drfsm/runs/failback-1"
ABORT = NextAction(action="abort", reason="all is given back")
HELD_RUN = evolve(
    RUN,
    status="held",
    reason="a DR Job runs",
    hint="kubectl delete job x",
    next_actions=(NextAction(action="resume", reason=""), ABORT),
)
WAITS = evolve(
    HELD_RUN, machine="promote", run_id="promote-1", frozen_since={},
    next_actions=(NextAction(action="approve", reason="yes"), NextAction(action="resume", reason="")),
    facts={"approval": Reading(value="missing", seen={"sha256": SHA})},
)  # fmt: skip
CASES: Mapping[str, tuple[str, RunState, tuple[str, ...], str]] = {
    "held": (HELD, HELD_RUN, (
        "drfsm failback: a decision is needed",
        "failback failback-1 is held in dr_quiesced.",
        "Why: a DR Job runs",
        "What to do: kubectl delete job x",
        "NOBODY CAN PUBLISH since 2026-02-27 03:00:00Z (17 min 0 s).",
        "Frozen: DR starts no Jobs, since 2026-02-27 03:00:00Z.",
        "What to type on desk:",
        "  drfsm resume failback-1",
        '  drfsm abort failback-1 --reason "..."',
    ), "warning"),
    "waits for an approval": (HELD, WAITS, (
        "drfsm promote: an approval is needed",
        "promote promote-1 is held in dr_quiesced.",
        "Why: a DR Job runs",
        "What to do: kubectl delete job x",
        "Frozen: nothing, as far as this run knows.",
        f"The plan's digest: {SHA}",
        "What to type on desk:",
        f"  drfsm approve /home/ann/.local/state/drfsm/runs/failback-1 --ticket ... --plan {SHA}",
        "  drfsm approve /home/ann/.local/state/drfsm/runs/failback-1 --ticket ...",
        "  drfsm resume /home/ann/.local/state/drfsm/runs/failback-1",
    ), "warning"),
    "nobody can publish": (NOBODY, RUN, (
        "drfsm failback: nobody can publish, for 17 min 0 s now",
        "failback failback-1 is at work in dr_quiesced.",
        "NOBODY CAN PUBLISH since 2026-02-27 03:00:00Z (17 min 0 s).",
        "Frozen: DR starts no Jobs, since 2026-02-27 03:00:00Z.",
        "What to type on desk:",
        "  drfsm status failback-1",
    ), "failure"),
    "complete": (ENDED, evolve(RUN, status="complete", ended_at=NOW, frozen_since={}), (
        "drfsm failback: the run ended complete",
        "failback failback-1 ended complete in dr_quiesced.",
        "Frozen: nothing, as far as this run knows.",
        "What to type on desk:",
        "  drfsm status failback-1",
    ), "success"),
    "failed": (ENDED, evolve(RUN, status="failed", ended_at=NOW, frozen_since={}, reason="no site"), (
        "drfsm failback: the run ended failed",
        "failback failback-1 ended failed in dr_quiesced.",
        "Why: no site",
        "Frozen: nothing, as far as this run knows.",
        "What to type on desk:",
        "  drfsm status failback-1",
    ), "failure"),
    "left by its process": (STOPPED, evolve(RUN, frozen_since={}, reason="the lease is lost"), (
        "drfsm failback: the process stopped with an error, and a person must look",
        "failback failback-1 was left in dr_quiesced.",
        "Why: the lease is lost",
        "Frozen: nothing, as far as this run knows.",
        "What to type on desk:",
        "  drfsm resume failback-1",
    ), "failure"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_notice_says_who_where_why_what_is_frozen_and_what_to_type(name: str) -> None:
    """Line by line; the fields say the same to a program."""
    event, state, lines, urgency = CASES[name]
    notice = of_run(event, state, AT_HOME, NOW, fact="a fact")
    assert (notice.title, *notice.text.splitlines()) == lines
    assert notice.urgency == urgency
    assert notice.id == f"{state.run_id}:a fact"
    typed = [line.strip() for line in lines if line.startswith("  ")]
    assert {name: notice.fields[name] for name in ("schema", "event", "run_id", "procedure", "state", "next")} == {
        "schema": "drfsm.notice.v1", "event": event, "run_id": state.run_id, "procedure": state.machine,
        "state": "dr_quiesced", "next": typed,
    }  # fmt: skip
    assert notice.fields["nobody_can_publish_since"] == (SINCE if state.frozen_since else None)


HOSTILE = {
    "a mention of Slack": "<!channel> <@U1>",
    "a mention": "@here @everyone @channel",
    "a line of its own": "x\nWhat to type:\r\n  rm -rf /",
    "an escape": "\x1b[2J\x07",
    "a reversed text": "\u202egnp.exe",
    "a link of Markdown": "[status](https://evil.example/)",
    "a link of Slack": "<https://evil.example|status>",
    "HTML": "<img src=x onerror=alert(1)>",
    "marks": "**bold** __bold__ ~~gone~~ `code` ```block",
    "a password": "https://ann:t0k3n@example.com/",
}
NEVER = ("<", ">", "@", "`", "*", "|", "~", "[", "]", "://", "\x1b", "\x07", "\n", "\r", "\u202e", "__", "t0k3n")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["reason", "hint", "state", "host", "frozen", "run_id"])
def test_no_text_from_outside_acts(name: str, where: str) -> None:
    """Whatever a journal says, and wherever: a notice has as many lines as without it, and no mark or mention."""
    text: Any = HOSTILE[name]
    state = evolve(HELD_RUN, **({"frozen_since": {text: SINCE}} if where == "frozen" else {where: text}))
    plain = evolve(HELD_RUN, **({"frozen_since": {"a": SINCE}} if where == "frozen" else {where: "a"}))
    notice = of_run(HELD, state, AT_HOME, NOW, fact="f")
    assert len(notice.text.splitlines()) == len(of_run(HELD, plain, AT_HOME, NOW, fact="f").text.splitlines())
    said = [notice.title, *(line for line in notice.text.splitlines() if not line.startswith("  "))]
    said += [str(notice.fields[field]) for field in ("run_id", "state", "reason", "status", "procedure")]
    said += [entry["what"] for entry in notice.fields["frozen"]]
    assert not [(mark, line) for line in said for mark in NEVER if mark in line]


def test_a_reason_is_bounded_and_still_read() -> None:
    """What a person needs stays: names, paths, addresses look as they did."""
    assert len(harmless("x" * 100_000)) < 1000
    assert harmless("Cannot reach primary (connection refused): https://10.0.0.1:6443") == (
        "Cannot reach primary (connection refused): https:∕∕10.0.0.1:6443"  # noqa: RUF001  on purpose
    )


def test_the_question_of_an_execution_is_answered_through_it() -> None:
    """Each trigger's command, ready to paste; a name that no trigger has is quoted."""
    arn = "arn:aws:states:eu-west-1:111122223333:execution:promote:monday"
    notice = of_execution(
        machine="promote", run_id="promote-1", state="dr_run_verified", reason="<!here> look",
        triggers=("approve", "decline", "resume", "a; rm"), plan_sha256=SHA, execution_arn=arn,
    )  # fmt: skip
    assert notice.title == "drfsm promote: an approval is needed"
    assert notice.text.splitlines() == [
        "promote promote-1 waits in dr_run_verified and needs an approval.",
        "Why: ‹!here› look",  # noqa: RUF001  on purpose
        f"The plan's digest: {SHA}",
        "What to type:",
        f"  drfsm approve --execution-arn {arn} --ticket ... --plan {SHA}",
        f"  drfsm decline --execution-arn {arn} --reason '...'",
        f"  drfsm answer resume --execution-arn {arn} --reason '...'",
        f"  drfsm answer 'a; rm' --execution-arn {arn} --reason '...'",
    ]
