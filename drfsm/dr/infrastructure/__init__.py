"""The machines of a DR site: provisioned, found again, priced, taken down.

Takes down only what a run recorded as its own.
"""

from drfsm.dr.infrastructure import provision, runners
from drfsm.dr.infrastructure.provision import charter_for
from drfsm.dr.infrastructure.runners import tags_of

__all__ = [
    "charter_for",
    "provision",
    "runners",
    "tags_of",
]
