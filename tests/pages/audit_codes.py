"""docs/audit-codes.md: every finding of `drfsm audit`, from the table of its codes."""

from drfsm.evidence.audit.codes import CODES, RULES
from drfsm.spec.diagram import markdown_table

ABOUT = """\
# The findings of `drfsm audit`

Drawn from the table that the audit finds by. A code is never used again for something else; `drfsm explain CODE` shows
one of them. An *error* means that the evidence does not hold. A *remark* is something that could not be proven, or that
nobody asked: the evidence holds, with remarks. A *note* weighs nothing. The *witness* of a rule is what finds a breach:
[auditing.md](auditing.md) says what each witness can and cannot show.

"""


def page() -> str:
    """Return the page."""
    return ABOUT + "\n".join(_rule(rule) for rule in RULES)


def _rule(rule: str) -> str:
    rows = [(f"`{name}`", code.severity, code.means, code.to_do) for name, code in CODES.items() if code.rule == rule]
    about = RULES[rule]
    table = markdown_table(("code", "weighs", "means", "what to do"), rows)
    return f"## {rule}\n\n{about.asks}. Witness: {about.witness}.\n\n{table}"
