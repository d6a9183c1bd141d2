"""What a run records of the approvals that its start needed, and of the configuration that it was started with.

``APPROVAL`` stands in ``run_started`` where a policy asked for approvals of the plan, and in an ``approve`` commit's
arguments where a promote's policy asks for several, or for signatures: the policy, what was approved, and each
approval whole, so that an audit judges them again with nothing else at hand (evidence/approvals.py has the rule). The
keys that were allowed to sign are recorded, too, as the start knew them. Part of record_types.py's table.
"""

from drfsm.journal.field_types import COUNT, FLAG, NUMBER, POSITIVE, SHA256, TEXT, closed, list_of, one_of

POLICY = closed(approvals=POSITIVE, distinct=FLAG, expires_seconds=NUMBER, signed=FLAG)
STATEMENT = closed(
    schema_version=POSITIVE,
    decision=one_of("approve", "decline"),
    procedure=TEXT,
    run_id=TEXT,
    plan_sha256=SHA256,
    by=TEXT,
    os_user=closed(uid=COUNT, name=TEXT, host=TEXT),
    ticket=TEXT,
    reason=TEXT,
    at=TEXT,
)
"""What a person says of a plan; a signature covers its canonical JSON."""
GIVEN = closed(statement=STATEMENT, signature=TEXT, signer=TEXT, key=TEXT)
"""A statement with its signature; ``signer`` and ``key`` (a fingerprint) as whoever used it judged them."""
APPROVAL = closed(
    policy=POLICY,
    plan_sha256=SHA256,
    judged_at=TEXT,
    clock=one_of("store", "machine"),
    allowed_signers=TEXT,
    starter=closed(signature=TEXT, signer=TEXT, key=TEXT),
    given=list_of(GIVEN),
)
CONFIG = closed(path=TEXT, sha256=SHA256)
