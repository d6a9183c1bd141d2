"""Two runs, compared by a profile that is data. See docs/comparison.md.

profile.py (values) and declare.py (JSON → profile), reading.py (bytes → values), sources.py (where files
come from), checks.py (one run by itself), fields.py (two values), compare.py (the whole), outcome.py.
"""

from drfsm.dr.artifacts.compare.compare import compare
from drfsm.dr.artifacts.compare.declare import default_profile, load
from drfsm.dr.artifacts.compare.outcome import Comparison, Difference
from drfsm.dr.artifacts.compare.profile import Profile
from drfsm.dr.artifacts.compare.sources import DirectoryRun, Reader, StoreRun

__all__ = [
    "Comparison",
    "Difference",
    "DirectoryRun",
    "Profile",
    "Reader",
    "StoreRun",
    "compare",
    "default_profile",
    "load",
]
