"""The JSON Schemas of receipts, as tables: each field is declared once, and so is what several receipts share.

Owns what a receipt may say. The files in receipts_schema/ are generated from here, one self-contained schema a
receipt: ``python -m drfsm.evidence.schemas`` (``make schemas``) writes them, and a test regenerates and compares.
drfsm itself reads only the files, as everybody else does. (The schema of a journal's record belongs to journal/.)
"""

from collections.abc import Mapping

from drfsm.evidence.schemas.doctor import DOCTOR
from drfsm.evidence.schemas.drill import DRILL, PHASE, VALIDATION
from drfsm.evidence.schemas.failback import ALARM_HISTORY, FAILBACK
from drfsm.evidence.schemas.plan import PLAN
from drfsm.evidence.schemas.promote import PROMOTE
from drfsm.evidence.schemas.restore import APPLIED, BACKUP, CONTROL_PLANE, REFUSED, RESTORE
from drfsm.evidence.schemas.shown import AUDIT, LIST, REPLAY
from drfsm.evidence.schemas.status import STATUS

RECEIPTS = (
    FAILBACK,
    ALARM_HISTORY,
    PROMOTE,
    DRILL,
    PHASE,
    VALIDATION,
    BACKUP,
    RESTORE,
    REFUSED,
    CONTROL_PLANE,
    APPLIED,
    STATUS,
    LIST,
    REPLAY,
    AUDIT,
    PLAN,
    DOCTOR,
)


def files() -> Mapping[str, str]:
    """Return the generated files: name -> content."""
    return {f"{receipt.name}.schema.json": receipt.text for receipt in RECEIPTS}
