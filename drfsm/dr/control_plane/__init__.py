"""The workload's configuration in ConfigMaps: read from a site, published as a bundle, applied.

Owns the sections and their digests. Applies only what is in a bundle.
"""

from drfsm.dr.control_plane import apply, bundle, read
from drfsm.dr.control_plane.apply import summary
from drfsm.dr.control_plane.bundle import lay_out, pretty, tarred
from drfsm.dr.control_plane.read import SECTIONS, Bundle, parity, published, same

__all__ = [
    "SECTIONS",
    "Bundle",
    "apply",
    "bundle",
    "lay_out",
    "parity",
    "pretty",
    "published",
    "read",
    "same",
    "summary",
    "tarred",
]
