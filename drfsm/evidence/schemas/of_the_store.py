"""What commands that look at a bucket or at a site say with ``-o json``; verbs.py says which command says which."""

from drfsm.evidence.schemas.restore import APPLIED, BACKUP, RESTORE
from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    NAMES,
    NUMBER,
    NUMBER_OR_NULL,
    OBJECT,
    S3_URI,
    SHA256,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    WORDS,
    Receipt,
    Shape,
    about,
    array,
    const,
    either,
    having,
    mapping,
    matching,
    one_of,
    record,
    ref,
)

_NULL = {"type": "null"}
_FLAG_OR_NULL = {"type": ["boolean", "null"]}
_SHA256_OR_NULL = either(SHA256, _NULL)
_SITE = one_of("primary", "dr")
_SECTIONS = ("candidates", "alerts", "providers", "scoring")
_COUNTS = record(dict.fromkeys(_SECTIONS, COUNT))
_WHAT_IS_WRONG = about("Why each of them can't be relied on") | mapping(WORDS)


def _first_of(items: Shape) -> Shape:
    """Return the shape of the first items, and how many there are."""
    return record({"total": COUNT, "first": array(items)})


HEALTH = Receipt(
    "health",
    title="drfsm health -o json",
    description="Whether what is published is fresh and correct. What could not be read is unknown, and never healthy.",
    shape=record(
        {
            "verdict": one_of("healthy", "stale", "incorrect", "unknown"),
            "needs_dr": about("Whether a person should think of a promote; null: not known") | _FLAG_OR_NULL,
            "run_id": about("The published run; empty where no pointer names one") | TEXT,
            "ended_at": about("When it ended; empty where that is not known") | TEXT,
            "freshness_hours": about("How long ago it ended; null: not known") | NUMBER_OR_NULL,
            "limit_hours": about("How long ago it may have ended") | NUMBER,
            "pairs": about("provider:profile of each pair that was looked at") | array(matching("^[^:]+:[^:]+$")),
            "checks": about("The name of a check -> what it found")
            | mapping(record({"status": one_of("ok", "wrong", "unknown"), "words": WORDS})),
            "remarks": NAMES,
        }
    ),
)
POINTERS = Receipt(
    "pointers.show",
    title="drfsm pointers show -o json",
    description="Every pointer of the set, and whether all of them name one run.",
    shape=record(
        {
            "verdict": one_of("one", "none", "older_only", "incomplete", "mixed", "wrong"),
            "run_ids": about("The runs that pointers name; an empty name is of a pointer that names none")
            | array(TEXT),
            "missing": about("Keys of pointers that are not there") | NAMES,
            "wrong": _WHAT_IS_WRONG,
            "pointers": about("Key -> its fields; null: it is not there; unreadable: why it can't be read")
            | mapping({"type": ["object", "null"]}),
        }
    ),
)
POINTERS_SET = Receipt(
    "pointers.set",
    title="drfsm pointers set -o json",
    description="Which pointers were moved by hand, by whom and why. One that named the run already is not moved.",
    shape=record({"run_id": WORDS, "moved": about("Their keys, in order") | NAMES, "by": WORDS, "reason": WORDS}),
)
_OWNER = about("The ownership object; site null: there is none; unreadable: why says what is wrong with it") | record(
    {"site": TEXT_OR_NULL}, optional={"cluster_uid": TEXT_OR_NULL, "run": TEXT_OR_NULL, "why": WORDS}
)
POINTERS_OWN = Receipt(
    "pointers.own",
    title="drfsm pointers own -o json",
    description="Which site was recorded as the owner of the pointers, by hand, and what was there before.",
    shape=record({"site": _SITE, "before": _OWNER, "reason": WORDS}),
)
_STATEMENTS = about("The statements of the policy, as they stand there") | array(OBJECT)
_FENCE = record(
    {
        "site": _SITE,
        "sid": WORDS,
        "value": about("altered: not as drfsm wrote it") | one_of("down", "up", "altered"),
        "role": about("Whom it denies; several with commas; null: nobody") | TEXT_OR_NULL,
        "edition": about("Which drfsm wrote such a statement; null: none") | TEXT_OR_NULL,
        "sha256": _SHA256_OR_NULL,
    },
    optional={"statements": _STATEMENTS},
)
FENCES = Receipt(
    "fence.show",
    title="drfsm fence show -o json",
    description="Which site is fenced off from the pointers of a prefix, who owns them, and the lifts by hand.",
    shape=record(
        {
            "fences": record(dict.fromkeys(("primary", "dr"), _FENCE)),
            "elsewhere": about("Sids of fences of other prefixes in the same policy") | NAMES,
            "other_statements": COUNT,
            "owner": _OWNER,
            "lifts": about("Newest first; what stands in such a record is an unchecked claim")
            | array(having({"key": WORDS})),
        }
    ),
)
LIFT = Receipt(
    "fence.lift",
    title="drfsm fence lift -o json",
    description="The record of a fence that was lifted by hand; it lies in the bucket, too.",
    shape=having(
        {
            "schema_version": const(1),
            "what": const("lifted"),
            "site": _SITE,
            "sid": WORDS,
            "role": TEXT_OR_NULL,
            "edition": TEXT_OR_NULL,
            "sha256": SHA256,
            "statements": _STATEMENTS,
            **dict.fromkeys(("operator", "host", "reason"), WORDS),
            "caller": TEXT,
            "epoch": COUNT,
            "at": TIME,
            "lifted_at": TIME,
            "other_statements": COUNT,
            "record": S3_URI,
        }
    ),
)

# --- runs -----------------------------------------------------------------------------------------------

RUNS = Receipt(
    "runs.list",
    title="drfsm runs list -o json",
    description="The runs that were published below a prefix, newest first by their names.",
    shape=array(
        record(
            {
                "run_id": TEXT,
                "objects": COUNT,
                "bytes": COUNT,
                "canonical": about("Whether the deciding pointer names it") | FLAG,
            }
        )
    ),
)
RUN = Receipt(
    "runs.show",
    title="drfsm runs show -o json",
    description="The files of a published run, and which pointers name it.",
    shape=record(
        {
            "run_id": WORDS,
            "where": S3_URI,
            "files": about("Path in the run -> bytes") | mapping(COUNT),
            "named_by": about("Keys of pointers") | NAMES,
            "has_report": FLAG,
        }
    ),
)
_VERIFICATION = record(
    {
        "verdict": one_of("verified", "missing", "damaged"),
        "level": about("declared: the run's report says what each file must hold") | one_of("declared", "observed"),
        "run_id": TEXT_OR_NULL,
        "where": WORDS,
        "expected": COUNT,
        "checked": COUNT,
        "bytes": COUNT,
        "tree_sha256": about("One digest over all that was read") | SHA256,
        "problems": _first_of(record({"path": TEXT, "kind": WORDS, "told": WORDS})),
        "extra": about("Files that the report does not name") | _first_of(TEXT),
        "report": {"type": ["object", "null"]},
    }
)
VERIFICATION = Receipt(
    "runs.verify",
    title="drfsm runs verify -o json",
    description="Whether a run is complete and undamaged; with --verify-latest two of them: run and latest.",
    shape=either(_VERIFICATION, record({"run": _VERIFICATION, "latest": _VERIFICATION})),
)
_SIDE = record(
    {"label": TEXT, "where": TEXT, "run_id": TEXT_OR_NULL, "files": COUNT, "records": COUNT, "unverified": COUNT}
)
COMPARISON = Receipt(
    "runs.compare",
    title="drfsm runs compare -o json",
    description="What two runs differ in: counts, the first differences, and a digest of all of them.",
    shape=record(
        {
            "profile": WORDS,
            "profile_sha256": SHA256,
            "left": _SIDE,
            "right": _SIDE,
            "incomparable": about("Why it makes no sense to compare them; empty where it does") | TEXT,
            "compared": COUNT,
            "identical": COUNT,
            "not_compared": COUNT,
            "not_compared_first": array(TEXT),
            "remarks": NAMES,
            "counts": record(dict.fromkeys(("integrity", "content"), mapping(COUNT))),
            "first": array(
                record(
                    {
                        **dict.fromkeys(("file", "where"), TEXT),
                        **dict.fromkeys(("kind", "weight"), WORDS),
                        **dict.fromkeys(("left", "right"), TEXT_OR_NULL),
                        "because": TEXT,
                    }
                )
            ),
            "differences_sha256": SHA256,
        }
    ),
)
SYNC = Receipt(
    "runs.sync",
    title="drfsm runs sync -o json",
    description="What was copied from one prefix to another; with --dry-run what would be.",
    shape=record(
        {
            "source": TEXT,
            "target": TEXT,
            "objects": COUNT,
            "equal": COUNT,
            "pending": about("What was to be copied") | _first_of(TEXT),
            "pending_bytes": COUNT,
            "replacing": _first_of(TEXT),
            "protected": about("What is never written: pointers, latest, drfsm's own") | _first_of(TEXT),
            "seconds": NUMBER,
        },
        optional={"copied": COUNT, "copied_bytes": COUNT},
    ),
)

# --- backups and the control plane ----------------------------------------------------------------------

_AGE = RESTORE.shape["properties"]["age"]
_EXCEPTIONS = ref("exceptions")
BACKUP_CREATED = Receipt(
    "backup.create",
    title="drfsm backup create -o json",
    description="The metadata of the backup that was taken, its digest, and what a restore would refuse of it.",
    shape=record({**BACKUP.shape["properties"], "sha256": SHA256, "outside": _EXCEPTIONS}),
)
BACKUPS = Receipt(
    "backup.list",
    title="drfsm backup list -o json",
    description="The backups below a prefix by their metadata, newest first. Their parts were not read.",
    shape=array(
        record(
            {
                "uri": S3_URI,
                "sha256": _SHA256_OR_NULL,
                "created_at": TEXT_OR_NULL,
                "run_id": TEXT_OR_NULL,
                "bytes": COUNT,
                "damaged": NAMES,
                "age": _AGE,
            }
        )
    ),
)
BACKUP_VERIFIED = Receipt(
    "backup.verify",
    title="drfsm backup verify -o json",
    description="Whether a backup is complete and undamaged, how old it is, and what a restore would refuse of it.",
    shape=having(
        {
            "uri": S3_URI,
            "verdict": WORDS,
            "sha256": _SHA256_OR_NULL,
            "parts": mapping(record({"sha256": _SHA256_OR_NULL, "bytes": COUNT})),
            "missing": NAMES,
            "damaged": NAMES,
            "outside": _EXCEPTIONS,
            "age": _AGE,
        }
    ),
)
_RECEIPTS = {"receipts": about("The directory in which the receipts lie") | WORDS}
RESTORED = Receipt(
    "backup.restore",
    title="drfsm backup restore -o json",
    description="What a restore did and read back (dr_restore.summary.schema.json), and where its receipts lie.",
    shape=record({**RESTORE.shape["properties"], **_RECEIPTS}),
    rules=RESTORE.rules,
)
PUBLISHED = Receipt(
    "control-plane.publish",
    title="drfsm control-plane publish -o json",
    description="The bundle of the control plane that was published; with --dry-run the one that would be.",
    shape=record(
        {
            "bundle_uri": S3_URI,
            "bundle_sha256": SHA256,
            "git_sha": WORDS,
            "image_ref_digest": WORDS,
            "created_at": WORDS,
            "files": _COUNTS,
            "holds": about("How many of each there are in these files") | _COUNTS,
        },
        optional={"dry_run": const(value=True)},
    ),
)
FETCHED = Receipt(
    "control-plane.fetch",
    title="drfsm control-plane fetch -o json",
    description="The bundle that was fetched and verified, and where its files lie.",
    shape=record(
        {
            "bundle_uri": S3_URI,
            "bundle_sha256": SHA256,
            "files": _COUNTS,
            "holds": _COUNTS,
            "directory": WORDS,
            **_RECEIPTS,
        }
    ),
)
APPLIED_TO_A_SITE = Receipt(
    "control-plane.apply",
    title="drfsm control-plane apply -o json",
    description="The four ConfigMaps as they were read back, and where the receipts lie.",
    shape=record(
        {
            **{
                name: shape
                for name, shape in APPLIED.shape["properties"].items()
                if name not in ("schema_version", "applied_at")
            },
            **_RECEIPTS,
        }
    ),
)
_PARITY = record(
    {
        "configmap": one_of("present", "absent"),
        **dict.fromkeys(("files", "missing", "extra", "changed"), COUNT),
        "first": about("missing, extra or changed -> key -> the two digests, never the content")
        | mapping(mapping(record({"published": TEXT_OR_NULL, "live": TEXT_OR_NULL}))),
    }
)
PARITY = Receipt(
    "control-plane.verify",
    title="drfsm control-plane verify -o json",
    description="Whether a site's ConfigMaps are the published bundle.",
    shape=record(
        {
            "verdict": one_of("same", "different"),
            "bundle_uri": S3_URI,
            "bundle_sha256": SHA256,
            "sections": record(dict.fromkeys(_SECTIONS, _PARITY)),
        }
    ),
)
KUBECONFIG = Receipt(
    "kubeconfig",
    title="drfsm kubeconfig -o json",
    description="The kubeconfig that was fetched from a machine: where it lies, and which server it leads to.",
    shape=record({"file": WORDS, "server": WORDS, "sha256": SHA256, "instance_id": WORDS}),
)
DIAGNOSTICS = Receipt(
    "drill.diagnostics",
    title="drfsm drill --diagnostics-only -o json, and diagnostics.receipt.json",
    description="What a drill would depend on, and why it would be refused. Nothing was changed.",
    shape=record(
        {
            "schema_version": const(1),
            "run_id": WORDS,
            "at": TIME,
            "operator": WORDS,
            "inputs": OBJECT,
            "facts": about("Fact -> its value, null where nobody can tell; why says why")
            | mapping(having({"value": TEXT_OR_NULL})),
            "refused": about("Why a drill would be refused") | NAMES,
            "unread": about("Facts that could not be read") | NAMES,
            "site": OBJECT,
        }
    ),
)

ALL = (
    HEALTH, POINTERS, POINTERS_SET, POINTERS_OWN, FENCES, LIFT, RUNS, RUN, VERIFICATION, COMPARISON, SYNC,
    BACKUP_CREATED, BACKUPS, BACKUP_VERIFIED, RESTORED, PUBLISHED, FETCHED, APPLIED_TO_A_SITE, PARITY, KUBECONFIG,
    DIAGNOSTICS,
)  # fmt: skip
