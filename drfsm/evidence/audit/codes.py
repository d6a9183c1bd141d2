"""What an audit can find: one table of stable codes. `drfsm explain CODE` and docs/audit-codes.md show it.

A code is never used again for something else. Each belongs to one rule, which says by whose testimony it is found (its
witness): another part of the log, drfsm's judges, a file of the bundle, a signature, a copy in another place. The codes
of the log are in log_codes.py, those of what lies beside it in file_codes.py, those of approvals in approval_codes.py,
those of seals in sealing_rules.py.
"""

from collections.abc import Mapping

from drfsm.evidence.audit.approval_codes import APPROVAL_CODES
from drfsm.evidence.audit.code import ERROR, NOTE, REMARK, SEVERITIES, Code, Rule, title
from drfsm.evidence.audit.file_codes import FILE_CODES, FILE_RULES
from drfsm.evidence.audit.log_codes import LOG_CODES, LOG_RULES
from drfsm.evidence.sealing_rules import RULES as SEAL_RULES

__all__ = ["CODES", "ERROR", "NOTE", "REMARK", "RULES", "SEVERITIES", "Code", "Rule", "code_of", "title"]

RULES: Mapping[str, Rule] = {**LOG_RULES, **FILE_RULES}
"""Every rule, in the order in which an audit asks."""
_SEAL_CODES = {
    name: Code(
        "witness" if name.startswith("checkpoint_") else "signature",
        rule.means.removesuffix("."),
        rule.to_do,
        REMARK if rule.remark else ERROR,
    )
    for name, rule in SEAL_RULES.items()
}
CODES: Mapping[str, Code] = {**LOG_CODES, **FILE_CODES, **APPROVAL_CODES, **_SEAL_CODES}
"""Every code of a finding."""


def code_of(name: str) -> Code:
    """Return what a code says. Raises KeyError for one that is in no table: a defect in drfsm."""
    return CODES[name]
