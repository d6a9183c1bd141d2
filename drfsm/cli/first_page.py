"""`drfsm --help`: the table of the commands, and the page that shows it. Imports neither click nor a command.

The entry point (door.py) prints the page alone; the group of all commands (main.py) shows the same one.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # `collections` alone costs a fifth of the page's time
    from collections.abc import Iterable, Iterator, Mapping

# command -> (module below drfsm.cli, attribute, one line of help)
COMMANDS: "Mapping[str, tuple[str, str, str]]" = {
    "drill": ("drill", "drill", "Rehearse a recovery: bring up a site from a backup, validate it, take it down."),
    "validate": (
        "validate",
        "validate",
        "Validate an existing site: run its Job once, in a staging prefix, and verify the result.",
    ),
    "failback": ("failback", "failback", "Make the primary canonical again, with strict safety checks."),
    "promote": ("promote", "promote", "Make DR's validated run canonical, after a person's approval."),
    "plan": ("plan", "plan", "Show what a procedure would do now, row by row; save it for `--plan FILE`."),
    "approve": ("approve", "approve", "Approve the plan of a promote that waits for it."),
    "decline": ("answers", "decline", "Decline a promote that waits for an approval, for good."),
    "answer": ("answers", "answer", "Answer an execution whose run a worker drives."),
    "worker": ("workers", "worker", "Take the rows of runs that Step Functions or Temporal drive."),
    "fleet": ("fleet", "fleet", "Run procedures of many pairs of sites on Temporal; show where all stand."),
    "resume": ("run_verbs", "resume", "Continue an interrupted or held run from exactly where it stands."),
    "abort": ("run_verbs", "abort", "Undo what a run changed, newest first."),
    "hold": ("run_verbs", "hold", "Stop a working run before its next step."),
    "skip": ("run_verbs", "skip", "Skip the optional step that a run stands before."),
    "request": ("run_verbs", "request", "Fire a trigger that only a person may fire (see `status`)."),
    "resolve": ("run_verbs", "resolve", "Say how an interrupted action ended, if drfsm cannot tell."),
    "status": ("status", "status", "Show where a run stands, what is frozen, and what to type next."),
    "watch": ("watch", "watch", "Follow a run live: what is done, what it waits for, how long that may take."),
    "list": ("list_runs", "list_runs", "List the runs of this computer or of a bucket, newest first."),
    "replay": ("replay", "replay", "Tell a run's story from its journal, offline, and audit it."),
    "health": ("health", "health", "Say whether what is published is fresh and correct: for people, cron and alarms."),
    "metrics": ("metrics", "metrics", "Print metrics of runs for Prometheus: ends, open runs, nobody can publish."),
    "doctor": (
        "doctor",
        "doctor",
        "Say whether this machine and these sites are ready for a disaster, and until when.",
    ),
    "pointers": ("pointers", "pointers", "Show which run is canonical; set another one by hand."),
    "fence": ("fences", "fence", "Show which site is fenced off from the pointers; lift a fence by hand."),
    "runs": ("artifact_runs", "runs", "Published runs of the workload: list, show, verify, compare, sync."),
    "control-plane": (
        "control_plane",
        "control_plane",
        "Configuration of the workload: publish, fetch, apply, verify.",
    ),
    "backup": ("backups", "backup", "Backups of a site's objects and state: create, verify, restore."),
    "kubeconfig": ("kubeconfig", "kubeconfig", "Fetch the kubeconfig of a machine that carries a site, through SSM."),
    "workload": ("workloads", "workload", "Check and show the contract of the workload, offline."),
    "machine": ("machines", "machine", "Check, play, compare, draw, export and begin declared machines, offline."),
    "config": ("config", "config", "Show and check drfsm.toml, and say where each value comes from, offline."),
    "explain": ("explain", "explain", "Explain a state, a trigger, a guard, a fact or an exit code, offline."),
    "completion": ("completion", "completion", "Let the Tab key complete commands, runs, triggers and machines."),
    "man": ("manual", "man", "Write a man page for every command."),
    "sandbox": ("sandboxes", "sandbox", "Run two sites on this computer, to try everything."),
}

EXAMPLES = (
    ("drfsm status", "what is frozen, where the run stands, and what to type next"),
    ("drfsm sandbox up", 'two sites to try everything on; then: eval "$(drfsm sandbox env)"'),
)
ABOUT = "Disaster-recovery procedures as declared, journalled, resumable state machines."
_OPTIONS = (("--version", "Show the version and exit."), ("-h, --help", "Show this message and exit."))
_CODES = (
    "Exit codes: 0 done, 1 a defect in drfsm, 2 wrong usage, 3 refused, 4 held (continue with `drfsm resume`), 5"
    " someone else holds the lease, 6 the evidence does not hold, 7 the journal is damaged, 8 not legal in this state,"
    " 9 unreachable, 10 aborted or failed, 11 a check found differences, 12 this computer's disk is full or refuses,"
    " 13 a backup lacks the state that was required, 14 an execution does not wait for this answer, 130 interrupted."
)


def page(width: int) -> str:
    """Return the page, folded between words to ``width`` columns."""
    lines = [
        "Usage: drfsm [OPTIONS] COMMAND [ARGS]...",
        "",
        *_folded(ABOUT, width, "  "),
        "",
        *_folded(_CODES, width, "  "),
        "",
        "Options:",
        *_listed(_OPTIONS, width),
        "",
        "Commands:",
        *_listed(((name, words) for name, (_, _, words) in COMMANDS.items()), width),
        "",
        *examples(EXAMPLES, width),
    ]
    return "\n".join(lines) + "\n"


def examples(shown: "Iterable[tuple[str, str]]", width: int) -> "Iterator[str]":
    """Yield the lines of a page's examples. ``shown``: (the command, what it does)."""
    yield "Examples:"
    for command, words in shown:
        yield f"  {command}"
        yield from _folded(words, width, "      ")


def _listed(pairs: "Iterable[tuple[str, str]]", width: int) -> "Iterator[str]":
    rows = list(pairs)
    column = max(len(name) for name, _ in rows) + 4
    for name, words in rows:
        first, *more = _folded(words, width - column, "")
        yield f"  {name}".ljust(column) + first
        yield from (" " * column + line for line in more)


def _folded(text: str, width: int, indent: str) -> list[str]:
    """Return a text in lines, folded between words."""
    lines = [indent]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width and lines[-1].strip():
            lines.append(indent)
        lines[-1] += word if lines[-1] == indent else f" {word}"
    return lines
