"""What a run publishes to S3: verified, compared, copied beside, made canonical.

Owns every object of a run; moves no pointer.
"""

from drfsm.dr.artifacts import prefix_sync, publish, verification
from drfsm.dr.artifacts.run_report import LARGEST_REPORT_BYTES, said_at
from drfsm.dr.artifacts.verification import run_home, verify, verify_latest

__all__ = [
    "LARGEST_REPORT_BYTES",
    "prefix_sync",
    "publish",
    "run_home",
    "said_at",
    "verification",
    "verify",
    "verify_latest",
]
