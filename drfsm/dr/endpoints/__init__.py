"""Endpoints: what leads a workload's users to one of the two sites, and what lets that site take their writes.

routing.py (records, name servers, caches; switch.py for a health check on an object), active.py (the active-site
document), gates.py (the write gate), serving.py (health), canary.py (tried writes). Facts and actions are ready to be
bound by a procedure; docs/endpoints.md says what each does, and in which order they are safe.
"""

from drfsm.dr.endpoints import active, canary, gates, rights, routing, serving

ROOMS = (rights, routing, active, gates, serving, canary)
FACTS = {name: fact for room in ROOMS for name, fact in room.FACTS.items()}
ACTIONS = {name: act for room in (routing, active, gates, canary) for name, act in room.ACTIONS.items()}
LATE = {name: late for room in (routing, active, gates, canary) for name, late in room.LATE.items()}

__all__ = ["ACTIONS", "FACTS", "LATE", "active", "canary", "gates", "rights", "routing", "serving"]
