"""Two runs, compared by a profile that is data. See docs/comparison.md.

profile.py (values) and declare.py (JSON → profile), reading.py (bytes → values), sources.py (where files
come from), checks.py (one run by itself), fields.py (two values), compare.py (the whole), outcome.py.
"""

from drfsm.dr.comparing.compare import compare
from drfsm.dr.comparing.declare import default_profile, load
from drfsm.dr.comparing.outcome import Comparison, Difference
from drfsm.dr.comparing.profile import Profile
from drfsm.dr.comparing.sources import DirectoryRun, Reader, StoreRun

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
