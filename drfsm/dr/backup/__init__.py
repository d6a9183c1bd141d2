"""Backups of a site: created, listed, checked, restored with everything suspended.

Owns the archive, the restore policy and the state volume. Never restores a Secret's value.

Every name is imported when it is first asked for: the audit of a failback needs the addresses of backups only. What a
module has its own name from (``create.create``, ``restore_site.restore_site``) is imported from that module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.dr.backup import address, check, restore, restore_policy, restore_state
    from drfsm.dr.backup.address import METADATA, home_of, judge, listed
    from drfsm.dr.backup.check import age, aged, expected, objective
    from drfsm.dr.backup.create import Site
    from drfsm.dr.backup.manifests import APIS
    from drfsm.dr.backup.obstacles import Target
    from drfsm.dr.backup.restore_policy import RestoreRefused, findings, findings_json
    from drfsm.dr.backup.restore_site import Wishes
    from drfsm.dr.backup.state_volume import Image, Pace

_HOMES = {
    "address": ("METADATA", "home_of", "judge", "listed"),
    "check": ("age", "aged", "expected", "objective"),
    "create": ("Site",),
    "manifests": ("APIS",),
    "obstacles": ("Target",),
    "restore_policy": ("RestoreRefused", "findings", "findings_json"),
    "restore_site": ("Wishes",),
    "state_volume": ("Image", "Pace"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

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
    "expected",
    "findings",
    "findings_json",
    "home_of",
    "judge",
    "listed",
    "objective",
    "restore",
    "restore_policy",
    "restore_state",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"drfsm.dr.backup.{_HOME[name]}"), name)
    raise AttributeError(f"module 'drfsm.dr.backup' has no attribute {name!r}")
