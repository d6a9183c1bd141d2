"""The two tokens by which a person says: exactly this. Judged from the inputs alone, before any call.

The tokens are no secrets; they keep a command from being run by habit, or on another run than the one in mind.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run

FIRST = "FAILBACK"


def second(dr_run_id: str) -> str:
    """Return the second token: it names the run that stops being canonical."""
    return f"CONFIRM-{dr_run_id}"


def faults(inputs: Mapping[str, Any]) -> list[str]:
    """Return, in words, what is wrong with the tokens of these inputs."""
    terms = terms_of(inputs)
    given = {"--confirm1": (terms.confirm1, FIRST), "--confirm2": (terms.confirm2, second(terms.dr_run_id))}
    return [
        f"{option} is {'another word' if token else 'missing'}"
        for option, (token, right) in given.items()
        if token != right
    ]


def _observe(_world: Any, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    wrong = faults(run.inputs)
    seen = {"first": terms.confirm1 == FIRST, "second": terms.confirm2 == second(terms.dr_run_id)}
    return {**seen, "in_words": ", ".join(wrong)} if wrong else seen


def _judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """Judge by the tokens themselves. What was seen of other tokens than these is no observation of them."""
    terms = terms_of(inputs)
    if (seen["first"], seen["second"]) != (terms.confirm1 == FIRST, terms.confirm2 == second(terms.dr_run_id)):
        return None
    return "right" if seen["first"] and seen["second"] else "wrong"


FACTS = {"confirmation": Fact(_observe, _judge)}
