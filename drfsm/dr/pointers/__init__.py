"""Which run is canonical, and which site owns the pointers: the workload's pointers, and drfsm's own object.

Changes both by compare-and-swap only.
"""

from drfsm.dr.pointers import ownership, pointers
from drfsm.dr.pointers.ownership import left_alone, lost
from drfsm.dr.pointers.pointers import (
    MEND,
    Pointer,
    is_newer,
    is_older,
    keys_of,
    named_pairs,
    only_older,
    pairs,
    read,
    rebuilt,
    said,
    set_by_hand,
    shown,
    staged_end,
    write,
)

__all__ = [
    "MEND",
    "Pointer",
    "is_newer",
    "is_older",
    "keys_of",
    "left_alone",
    "lost",
    "named_pairs",
    "only_older",
    "ownership",
    "pairs",
    "pointers",
    "read",
    "rebuilt",
    "said",
    "set_by_hand",
    "shown",
    "staged_end",
    "write",
]
