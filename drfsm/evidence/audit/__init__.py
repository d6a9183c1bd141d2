"""The audit: whether what a run's log says happened was allowed, complete and unaltered.

Read in this order: ``verdict`` (the whole log), ``kinds`` (which record may follow which), ``steps`` (what each record
of a step must be), ``forecasts`` (a dry run), ``observations`` and ``invariants`` (what was seen), ``findings``.
"""

from drfsm.evidence.audit.verdict import Verdict, audit

__all__ = ["Verdict", "audit"]
