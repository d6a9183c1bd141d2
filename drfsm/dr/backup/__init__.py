"""Backups of a site: created, listed, checked, restored with everything suspended.

Owns the archive, the restore policy and the state volume. Never restores a Secret's value.
"""

from drfsm.dr.backup import address, check, restore, restore_policy, restore_state
from drfsm.dr.backup.address import METADATA, home_of, judge, listed
from drfsm.dr.backup.check import age, aged, expected, objective
from drfsm.dr.backup.create import Site, create
from drfsm.dr.backup.manifests import APIS
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore_policy import RestoreRefused, findings, findings_json
from drfsm.dr.backup.restore_site import Wishes, restore_site
from drfsm.dr.backup.state_volume import Image, Pace

__all__ = [
    "APIS",
    "METADATA",
    "Image",
    "Pace",
    "RestoreRefused",
    "Site",
    "Target",
    "Wishes",
    "address",
    "age",
    "aged",
    "check",
    "create",
    "expected",
    "findings",
    "findings_json",
    "home_of",
    "judge",
    "listed",
    "objective",
    "restore",
    "restore_policy",
    "restore_site",
    "restore_state",
]
