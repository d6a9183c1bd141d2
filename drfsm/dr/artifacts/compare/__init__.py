"""Two runs, compared by a profile that is data. See docs/comparison.md.

profile.py (values) and declare.py (JSON → profile), reading.py (bytes → values), sources.py (where files
come from), checks.py (one run by itself), fields.py (two values), compare.py (the whole), outcome.py.
"""

from drfsm.dr.artifacts.compare.compare import compare, never_passes
from drfsm.dr.artifacts.compare.declare import default_profile, load, profile_of
from drfsm.dr.artifacts.compare.fields import apart
from drfsm.dr.artifacts.compare.outcome import Comparison, Difference, printable, short
from drfsm.dr.artifacts.compare.profile import Path, Profile, Treatment
from drfsm.dr.artifacts.compare.reading import Unreadable, json_of
from drfsm.dr.artifacts.compare.sources import DirectoryRun, Reader, ReadOnce, StoreRun

__all__ = [
    "Comparison",
    "Difference",
    "DirectoryRun",
    "Path",
    "Profile",
    "ReadOnce",
    "Reader",
    "StoreRun",
    "Treatment",
    "Unreadable",
    "apart",
    "compare",
    "default_profile",
    "json_of",
    "load",
    "never_passes",
    "printable",
    "profile_of",
    "short",
]
