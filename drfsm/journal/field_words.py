"""What a field of a record is, for its schema, where the table (record_types.py) gives it no words of its own.

By its name, which means the same in every kind of record. A test holds that each field has words. ``described`` puts
them in; evidence/schemas/ uses it for receipts, with their own words.
"""

from collections.abc import Mapping
from typing import Any

WORDS_OF: Mapping[str, str] = {
    "action": "The action that is called",
    "allowed_signers": "The keys that may sign, as the configuration named them",
    "approvals": "How many persons must approve",
    "args": "What was given with it: a person's arguments, or why a failure is sent on",
    "at": "When, UTC",
    "attempt": "Which try it is, from 1 on",
    "because": "The reason, as the machine's declaration gives it",
    "body": "What the kind of record says",
    "bundle": "The run's directory",
    "by": "Who fires the row: runner, operator, failure",
    "bytes": "How many bytes",
    "case": "The case of the recovery table by which it was committed",
    "clock": "Whose clock it was",
    "cloud_caller": "The ARN of the credentials, as the cloud reports it; or why it is not known",
    "cluster_users": "site -> the user, as the cluster reports it",
    "decision": "approved, or declined",
    "distinct": "Whether another person than the one who starts must approve",
    "do": "The trigger that may be asked for",
    "dry_run": "Whether nothing is done, only foreseen",
    "effect": "Whether the action may be done again: none, idempotent, once",
    "epoch": "The number of the lease; each acquisition raises it",
    "error": "What went wrong, in words",
    "expires_seconds": "How long an approval holds, in seconds",
    "fact": "The fact: a named reading of the world",
    "facts": "Each fact that was read: its value, and what was seen",
    "fault": "Whose fault it is",
    "final_write": "Whether its intent is the point of no return",
    "foreseen": "Whether it refuses the row that foresees it, or warns",
    "from": "The state that it leaves",
    "frozen": "What is frozen by what was read, in the machine's words",
    "given": "What was given, one after the other",
    "guard": "The guard: facts that must have certain values",
    "guards": "Every guard that was asked, and how it stood",
    "head": "The SHA-256 of the last line",
    "holder": "What the lease said of its holder",
    "holds": "Whether it holds; null: a dry run could not evaluate it",
    "host": "The computer",
    "how": "In which way",
    "inputs": "The inputs, which do not change during the run",
    "interrupted": "Whether the process was interrupted",
    "judged_at": "When it was judged, UTC",
    "kept": "Why an abort does not give this back",
    "key": "Its key",
    "kind": "What happened",
    "left_open": "The triggers whose requests may still be on their way",
    "legal": "What may be asked for there",
    "limit_seconds": "How long it may wait, in seconds",
    "machine": "The machine: the declared procedure",
    "machine_sha256": "The SHA-256 of the declaration that the run is pinned to",
    "mend": "What to do about it",
    "name": "The name",
    "needed": "The values that will do",
    "operator": "The name that was given: free text",
    "os_user": "The owner of the process",
    "outcome": "How it ended",
    "path": "The file's path",
    "pid": "The number of the process",
    "plan_sha256": "The digest of the plan",
    "policy": "Whose approval the configuration asked for",
    "prev": "The SHA-256 of the line before, its newline included; 64 zeros in the first",
    "procedure": "drill, promote or failback",
    "reason": "Why, in words",
    "receipt": "What the summary is to hold: the machine's receipt table",
    "records": "How many records there are",
    "result": "What the action returned",
    "revoked_by": "The run that took its lease",
    "row": "The row's key: source --trigger--> to",
    "run_id": "The id of the run",
    "schema_version": "The version of this form",
    "scope": "live, or a drill",
    "seconds": "How long it took, in seconds",
    "seen": "What was observed, exactly",
    "seq": "The number of the record, from 0 on",
    "sets": "What the row promises: fact -> value",
    "sha256": "The SHA-256 of the bytes that were cut off",
    "signature": "The signature, as ssh-keygen writes it; none: it was not signed",
    "signed": "Whether approvals must be signed",
    "signer": "Whose key it is, by the allowed signers",
    "stage": "The step at which it stopped",
    "starter": "Who started, and with which signature",
    "state": "The state in which the run stands",
    "statement": "What was said, and signed",
    "status": "How the run ends",
    "supersedes": "The row whose open intent this one takes the place of",
    "ticket": "The ticket of the change",
    "to": "The state that it leads to",
    "trigger": "The row's trigger",
    "uid": "The number of the user",
    "undo": "The action that gives it back",
    "unknown": "Why it is not known",
    "unmet": "The facts that keep it from going on",
    "value": "The fact's value; null: nobody can tell",
    "verdict": "What was seen of it afterwards",
    "version": "The version of drfsm",
    "waited_seconds": "How long it has waited, in seconds",
    "waits": "Whether the row waits for its guards",
    "way": "What mends it, in words",
    "ways": "What a person may ask for there",
    "why": "The reason, in words",
    "vouched": "Who answers for the records before this one",
}
"""A field's name -> what it is."""


def described(node: Any, words_of: Mapping[str, str] = WORDS_OF) -> Any:
    """Return a schema in which each property has words: its own, or those of its name. Rules (allOf) have none."""
    if isinstance(node, list):
        return [described(part, words_of) for part in node]
    if not isinstance(node, dict):
        return node
    told = {key: value if key == "allOf" else described(value, words_of) for key, value in node.items()}
    if isinstance(properties := told.get("properties"), dict):
        told["properties"] = {name: _with_words(name, shape, words_of) for name, shape in properties.items()}
    return told


def _with_words(name: str, shape: Any, words_of: Mapping[str, str]) -> Any:
    """Return a property's shape with the words of its name, where it has none of its own."""
    words = words_of.get(name)
    if words is None:
        return shape
    if shape is True:
        return {"description": words}
    return shape if "description" in shape else {"description": words, **shape}
