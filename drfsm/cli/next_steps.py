"""What a command without a run tells as the next step. Called by main.py.

Adapters word their hints for a run: mend it, then `drfsm resume`. A noun (`backup restore`, `pointers set`) has no run
to resume: it is repeated. A hint that names a run ("continue that run: drfsm resume failback-…") is about another one,
and stays.
"""

import re
from collections.abc import Iterable

NOUNS = frozenset({
    "health", "pointers", "fence", "runs", "control-plane", "backup", "kubeconfig", "workload", "machine", "sandbox",
    "explain", "completion", "man", "plan", "config", "doctor", "metrics", "fleet",
})  # fmt: skip
"""The commands without a run. Every other one begins, moves or tells a run."""
_OFFERED_BESIDE = re.compile(r" ?\(a run: `drfsm resume`\)")
_RESUME = re.compile(r"`drfsm resume`|drfsm resume(?=$|[;,.)]| \()")


def for_command(command: str, lines: Iterable[str]) -> list[str]:
    """Return an error's lines as this command may say them."""
    if command not in NOUNS:
        return list(lines)
    return [_RESUME.sub("repeat this command", _OFFERED_BESIDE.sub("", line)) for line in lines]


def interrupted(command: str) -> str:
    """Return what is said after Ctrl-C."""
    if command not in NOUNS:
        return "interrupted; `drfsm status` shows where the run stands"
    return "interrupted; what this command had done so far stays. Repeat it"
