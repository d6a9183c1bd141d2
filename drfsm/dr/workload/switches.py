"""Variables with a value for on and one for off, and what their values amount to. Pure.

A contract has them for publishing, and for writes where a gate is a switch. Used by model.py and serving.py.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@frozen
class Switches:
    """The variables in the site's ConfigMap that decide whether a Job publishes: name -> value, on and off.

    That publishing is off is what a freeze relies on, so a value that the contract doesn't know is neither on nor off.
    """

    on: Mapping[str, str]
    off: Mapping[str, str]
    otherwise: str = ""  # "no": the workload reads whatever isn't yes as no

    @property
    def names(self) -> tuple[str, ...]:
        """Return the variables' names, in the contract's order."""
        return tuple(self.on)

    def position(self, values: Mapping[str, Any]) -> str:
        """Say what these values amount to: ``on``, ``off`` or ``mixed``, which nobody knows.

        Where a switch's words are a yes and a no, every spelling of these counts, and one that isn't set (None) or is
        empty is no. Any other switch counts by its own two words only.
        """
        positions = {self.position_of(name, values.get(name)) for name in self.on}
        return positions.pop() if len(positions) == 1 else "mixed"

    def position_of(self, name: str, value: object) -> str:
        """Say what one variable's value amounts to."""
        on, off, meant = (_meaning(text) for text in (self.on[name], self.off[name], value))
        if {on, off} == {True, False} and (meant == "" or (self.otherwise and not isinstance(meant, bool))):
            meant = False
        return "on" if meant == on else "off" if meant == off else "mixed"


def _meaning(value: object) -> bool | str:
    """Return a yes or a no, in any spelling; else the word as it stands, "" for nothing."""
    text = str(value or "").strip()
    return True if text.lower() in _YES else False if text.lower() in _NO else text
