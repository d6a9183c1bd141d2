"""The JSON Schemas of receipts, as tables: each field is declared once, and so is what several receipts share.

Owns what a receipt may say, and what a command shows with ``-o json`` (verbs.py: which command shows which document).
The files in receipts_schema/ are generated from here, one self-contained schema each: ``python -m
drfsm.evidence.schemas`` (``make schemas``) writes them, and a test regenerates and compares. drfsm itself reads only
the files, as everybody else does. (The schema of a journal's record belongs to journal/.)
"""

from collections.abc import Mapping

from drfsm.evidence.schemas import bundles, endpoints, of_the_store, verbs
from drfsm.evidence.schemas.dashboard import DASHBOARD
from drfsm.evidence.schemas.doctor import DOCTOR
from drfsm.evidence.schemas.drill import DRILL, PHASE, VALIDATION
from drfsm.evidence.schemas.exercise import EXERCISE, PLAN_OF_EXERCISE
from drfsm.evidence.schemas.failback import ALARM_HISTORY, FAILBACK
from drfsm.evidence.schemas.judged import COUNTERFACTUAL, COVERAGE
from drfsm.evidence.schemas.minimum import FAILBACK_MINIMUM, PROMOTE_MINIMUM
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
    bundles.VERIFIED,
    bundles.PRUNED,
    PLAN,
    DASHBOARD,
    DOCTOR,
    *of_the_store.ALL,
    *verbs.OFFLINE,
    endpoints.SHOW,
    endpoints.DECLARE,
    COVERAGE,
    COUNTERFACTUAL,
    PLAN_OF_EXERCISE,
    EXERCISE,
    FAILBACK_MINIMUM,
    PROMOTE_MINIMUM,
)


def files() -> Mapping[str, str]:
    """Return the generated files: name -> content."""
    return {f"{receipt.name}.schema.json": receipt.text for receipt in RECEIPTS}
