"""A site's cluster, stopped and started: schedules, publishing, drain, fence, health, preflight.

Records a site's earlier settings on the objects themselves, and restores exactly these.
"""

from drfsm.dr.sites import baseline, drain, fence, health, preflight, publishing, schedules, snapshots
from drfsm.dr.sites.health import pod_at_fault
from drfsm.dr.sites.preflight import sites
from drfsm.dr.sites.publishing import overrides, switched
from drfsm.dr.sites.schedules import BEFORE, before_of, edit, parsed

__all__ = [
    "BEFORE",
    "baseline",
    "before_of",
    "drain",
    "edit",
    "fence",
    "health",
    "overrides",
    "parsed",
    "pod_at_fault",
    "preflight",
    "publishing",
    "schedules",
    "sites",
    "snapshots",
    "switched",
]
