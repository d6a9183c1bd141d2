"""The two flags with which a drill promotes: one rule, in one table.

A drill promotes only where ``--auto-promote true`` and ``--allow-promote-bypass true`` are both given, whatever the
promotion's target. Without both the drill passes its promotion over, and says which flag is missing; a rehearsal that
is started all the same (machines/promote.yaml) is refused. Nothing else reads the flags: the CLI, the drill and the
rehearsal ask this table. Pure.

The two machines have words of their own for the cases, and keep them: recorded runs are judged again by these words.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from drfsm.dr.terms import Terms

FLAGS = ("auto_promote", "allow_promote_bypass")
_AUTO, _BYPASS = "--auto-promote true", "--allow-promote-bypass true"


@frozen
class Case:
    """What two flags come to: which are ``missing``, and the word of each machine's fact ``promote_flags``."""

    missing: tuple[str, ...]
    drill: str
    rehearsal: str

    @property
    def promotes(self) -> bool:
        """Whether a drill promotes: both flags are given."""
        return not self.missing


CASES: Mapping[tuple[bool, bool], Case] = {
    (True, True): Case((), "both", "both"),
    (True, False): Case((_BYPASS,), "auto_only", "no_bypass"),
    (False, True): Case((_AUTO,), "bypass_only", "no_auto_promote"),
    (False, False): Case((_AUTO, _BYPASS), "neither", "neither"),
}
"""(--auto-promote, --allow-promote-bypass) -> what that comes to."""


def case_of(flags: Mapping[str, Any]) -> Case:
    """Return what two flags come to, as inputs or an observation record them: each ``"true"`` or ``"false"``."""
    first, second = (flags[name] == "true" for name in FLAGS)
    return CASES[first, second]


def recorded_flags(terms: "Terms") -> dict[str, str]:
    """Return both flags as a run recorded them."""
    return {name: str(terms.recorded(name)) for name in FLAGS}
