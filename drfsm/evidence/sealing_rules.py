"""Every rule that the check of seals and checkpoints applies: one table of what a finding means and what to do.

A rule is the ``rule`` of a Finding. ``remark``: the evidence holds all the same, and a reader should know it. Used by
`drfsm bundle verify`, by `drfsm audit`, and by docs/sealing.md, which a test holds to this table.
"""

from collections.abc import Mapping

from attrs import frozen


@frozen
class SealRule:
    """One rule. ``witness``: what shows the fault: the seal by itself, its signature, or the checkpoint; or none."""

    title: str
    means: str
    to_do: str
    witness: str
    remark: bool = False


_KEEP = "keep the bundle; compare it with the pushed archive (drfsm bundle pull), and with the mirror in S3"

RULES: Mapping[str, SealRule] = {
    # --- seals: what does not hold
    "seal_unreadable": SealRule(
        "a seal can't be read",
        "A file in seals/ is not the JSON that drfsm writes there: it was altered, or cut off.",
        _KEEP,
        "seal",
    ),
    "seal_foreign": SealRule(
        "seals/ holds something else",
        "A file lies in seals/ that is no seal. drfsm writes nothing else there.",
        "find out who put it there; the run itself is not in doubt because of it",
        "seal",
    ),
    "seal_missing": SealRule(
        "a seal was removed",
        "Seals are numbered, and each names the SHA-256 of the one before it. One of them is missing, or was replaced.",
        _KEEP,
        "seal",
    ),
    "seal_not_by_key": SealRule(
        "the newest seal is not signed by a given key",
        "A key was given, and the newest seal has no signature that holds under it: the bundle was sealed without a"
        " key, or sealed anew by somebody with another key.",
        "ask who sealed it, and with which key; check with that person's key only if you trust it",
        "signature",
    ),
    "seal_signature": SealRule(
        "a signature does not hold",
        "A signature names a given key, and does not hold under it: the seal was altered after it was signed.",
        _KEEP,
        "signature",
    ),
    "seal_run": SealRule(
        "a seal is of another run",
        "The seal names another run, another declaration or another mode (live, drill, dry run) than the log's first"
        " record.",
        _KEEP,
        "seal",
    ),
    "seal_head": SealRule(
        "the log is not the one that was sealed",
        "The log has as many records as the seal says, and other ones: it was written anew.",
        _KEEP,
        "seal",
    ),
    "seal_truncated": SealRule(
        "the log's end is missing",
        "The seal counts more records than the log holds: its end was cut off.",
        _KEEP,
        "seal",
    ),
    "seal_file_changed": SealRule(
        "a file is not the one that was sealed",
        "A file of the bundle has other bytes than the newest seal says.",
        "compare it with the pushed archive. A later drfsm may have written a derived file anew: then"
        " `drfsm replay` holds, and `drfsm bundle seal` seals the bundle as it is now",
        "seal",
    ),
    "seal_file_missing": SealRule(
        "a sealed file is missing",
        "The newest seal names a file that the bundle does not have.",
        _KEEP,
        "seal",
    ),
    "seal_file_added": SealRule(
        "a file was added",
        "The bundle has a file that the newest seal does not name.",
        "find out who put it there; it is no evidence",
        "seal",
    ),
    "seal_behind": SealRule(
        "a finished log goes on after its seal",
        "The run has ended, and its newest seal covers only a part of its records: its process died before it could"
        " seal them, or records were added.",
        "drfsm replay BUNDLE; where it holds: drfsm bundle seal BUNDLE",
        "seal",
    ),
    # --- seals: what a reader should know
    "unsealed": SealRule(
        "the bundle has no seal",
        "Records are chained, and neither sealed nor signed: a chain alone does not show that its end was cut off, or"
        " that all of it was written anew.",
        "drfsm bundle seal BUNDLE --sign-key KEY; runs of 0.7.0 or later are sealed at each hold and at their end",
        "none",
        remark=True,
    ),
    "unsigned": SealRule(
        "chained but unsigned",
        "The bundle is sealed without a key: that finds accidents, and nobody who also writes the seal anew.",
        "name a key from the start: --sign-key, DRFSM_SIGN_KEY, or evidence.sign_key in drfsm.toml",
        "none",
        remark=True,
    ),
    "seal_unchecked": SealRule(
        "signed, and the signature was not checked",
        "The newest seal is signed, and no key was given to check the signature with.",
        "give the signer's public key: --key signer.pub",
        "none",
        remark=True,
    ),
    "seal_grown": SealRule(
        "the run went on since it was sealed",
        "The log holds more records than the newest seal covers, and the run has not ended.",
        "nothing: the next hold, or the end, seals them",
        "none",
        remark=True,
    ),
    # --- checkpoints in the bucket
    "checkpoint_unreadable": SealRule(
        "a checkpoint can't be read",
        "An object below drfsm/checkpoints/ is no checkpoint of this run.",
        "find out who wrote it",
        "checkpoint",
    ),
    "checkpoint_truncated": SealRule(
        "the log is shorter than its witness says",
        "A checkpoint in the bucket counts more records than the log holds: its end was cut off, seals included.",
        _KEEP,
        "checkpoint",
    ),
    "checkpoint_head": SealRule(
        "the log is not the one that was witnessed",
        "A checkpoint in the bucket names another head at that length: the log was written anew, also where its seal"
        " is signed.",
        _KEEP,
        "checkpoint",
    ),
    "checkpoint_signature": SealRule(
        "a checkpoint's signature does not hold",
        "A checkpoint has a signature in the name of a given key, and it does not hold.",
        "find out who wrote it",
        "checkpoint",
    ),
    "checkpoint_missing": SealRule(
        "a seal has no checkpoint",
        "The bucket has checkpoints of this run, and none at the length that the newest seal covers: the store could"
        " not be reached then, or somebody deleted it.",
        "drfsm bundle seal BUNDLE writes it, if that can still be done",
        "checkpoint",
        remark=True,
    ),
    "checkpoint_none": SealRule(
        "no witness",
        "The bucket has no checkpoint of this run.",
        "runs of 0.7.0 or later leave one at each seal; drfsm bundle seal BUNDLE writes one now",
        "none",
        remark=True,
    ),
    "checkpoint_unlocked": SealRule(
        "the witness can be deleted",
        "The checkpoints have no Object Lock retention: whoever may delete objects in the bucket may delete them.",
        "make a bucket with Object Lock, and give --retain 7y",
        "none",
        remark=True,
    ),
}
"""The word in a finding's ``rule`` -> what it means."""


def is_remark(rule: str) -> bool:
    """Whether the evidence holds in spite of a finding of this rule."""
    return rule in RULES and RULES[rule].remark


def page_table() -> list[str]:
    """Return the table of docs/sealing.md, a line a rule."""
    lines = ["| finding | what it means | found by | what to do |", "|---|---|---|---|"]
    for name, rule in RULES.items():
        kind = " (remark)" if rule.remark else ""
        lines.append(f"| `{name}`{kind} | {rule.means} | {rule.witness} | {rule.to_do} |")
    return lines
