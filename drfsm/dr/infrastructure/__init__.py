"""The machines of a DR site: provisioned, observed, priced, taken down.

Takes down only the machines that a run recorded as its own.
"""

from drfsm.dr.infrastructure import provision, runners
from drfsm.dr.infrastructure.provision import RUN_TAG, charter_for
from drfsm.dr.infrastructure.runners import tags_of

__all__ = [
    "RUN_TAG",
    "charter_for",
    "provision",
    "runners",
    "tags_of",
]
