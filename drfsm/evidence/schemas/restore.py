"""The receipts of backups, restores and applied control planes (dr/backup/, dr/control_plane/apply.py)."""

from drfsm.evidence.schemas.shapes import (
    COUNT,
    DEFINITIONS,
    FLAG,
    NAMES,
    NUMBER_OR_NULL,
    S3_URI,
    SHA256,
    TEXT,
    TEXT_OR_NULL,
    WORDS,
    Receipt,
    about,
    array,
    const,
    either,
    mapping,
    one_of,
    record,
    ref,
    when,
)

_PARTS = ("state.tar.zst", "manifests.tar.zst")
_SECTIONS = ("candidates", "alerts", "providers", "scoring")

_VOLUME = record(
    {**dict.fromkeys(("name", "source"), WORDS), "claim": TEXT_OR_NULL, "writable": FLAG, "kept": FLAG, "why": TEXT}
)

BACKUP = Receipt(
    "backup.metadata",
    title="metadata.json",
    description="The metadata of a backup by drfsm, written last. `created_at` is when the reading began."
    " `run_id`: the canonical run then, null where no pointer was. `secrets`: the Secrets of the site with their keys"
    " (null where drfsm may not list them), never their values. `excluded`: what is not in it, and why."
    " `state.volumes`: each volume of the publishing pods, whether its content is kept, and why not.",
    shape=record(
        {
            "schema_version": const(1),
            "backup_id": WORDS,
            "backup_uri": S3_URI,
            "created_at": WORDS,
            "run_id": TEXT_OR_NULL,
            "cluster_uid": WORDS,
            "namespace": WORDS,
            "compression": const("zstd"),
            "state": record(
                {
                    "source": WORDS,
                    "claim": TEXT_OR_NULL,
                    "files": COUNT,
                    "told": WORDS,
                },
                optional={"skipped": NAMES, "tree_sha256": SHA256, "volumes": array(_VOLUME)},
            ),
            "pointers": NAMES,
            "secrets": mapping({"type": ["array", "null"], "items": WORDS}),
            "excluded": NAMES,
            "checksums": record(dict.fromkeys(_PARTS, SHA256)),
            "sizes": record(dict.fromkeys(_PARTS, COUNT)),
        }
    ),
)

RESTORE = Receipt(
    "dr_restore.summary",
    title="dr_restore.summary.json",
    description="What a restore did and read back. `restored` only if every object exists as planned,"
    " everything is quiet, no Secret is missing, and the state is in the volume; `restored_without_state` where the"
    " operator accepted that it can't be.",
    shape=record(
        {
            "schema_version": const(2),
            "run_id": WORDS,
            "status": one_of("restored", "restored_without_state", "held"),
            "held_for": NAMES,
            "backup_uri": S3_URI,
            "backup_sha256": about("The backup's digest, over its metadata and its parts") | SHA256,
            "backup_run_id": TEXT_OR_NULL,
            "checksums": mapping(SHA256),
            "age": record(
                {
                    "created_at": {},
                    "age_seconds": {"type": ["integer", "null"]},
                    "objective_seconds": NUMBER_OR_NULL,
                    "within": {"type": ["boolean", "null"]},
                }
            ),
            "namespace": WORDS,
            "cluster_uid": WORDS,
            "started_at": WORDS,
            "ended_at": WORDS,
            "control_plane": either({"type": "null"}, ref("control_plane")),
            "applied": record(dict.fromkeys(("created", "applied", "left"), NAMES)),
            "read_back": record({**dict.fromkeys(("missing", "different", "loud"), NAMES), "objects": COUNT}),
            "missing_secrets": array(record({"name": WORDS, "there": FLAG, "keys": NAMES})),
            "allowed": about(
                "Fields outside of the restore policy, restored because the operator allowed the object by name"
            )
            | ref("exceptions"),
            "quiet": ref("quiet"),
            "state": record(
                {
                    "verdict": one_of("restored", "absent", "not_restorable"),
                    "volume": WORDS,
                    "claim": TEXT_OR_NULL,
                    "state_sha256": SHA256,
                    "given": {"type": ["object", "null"]},
                    "told": WORDS,
                },
                optional={"unkept": NAMES},
            ),
        }
    ),
    rules=(
        when({"status": const("held")}, {"held_for": {"minItems": 1}}, {"held_for": {"maxItems": 0}}),
        when({"status": const("restored")}, {"state": {"properties": {"verdict": const("restored")}}}),
    ),
)

REFUSED = Receipt(
    "dr_restore.refused",
    title="dr_restore.refused.json",
    description="A backup with fields outside of the restore policy: every object and field that was refused."
    " Nothing was changed. `allowed`: the objects that the operator allowed by name.",
    shape=record(
        {
            "schema_version": const(1),
            "run_id": WORDS,
            "status": const("refused"),
            "backup_uri": S3_URI,
            "backup_sha256": SHA256,
            "refused_at": WORDS,
            "refused": ref("exceptions") | {"minItems": 1},
            "allowed": array(TEXT),
        }
    ),
)

CONTROL_PLANE = Receipt(
    "dr_restore.control_plane.summary",
    title="dr_restore.control_plane.summary.json",
    description="Which control-plane bundle a restore applied. Each count is the number of the section's files, all of"
    " them verified against the bundle's manifest and read back from the cluster.",
    shape=DEFINITIONS["control_plane"],
)

APPLIED = Receipt(
    "control_plane.apply.summary",
    title="control-plane/apply/apply.summary.json",
    description="The four ConfigMaps as they were read back after a bundle was applied. Hashes, never contents."
    " `removed`: keys that the bundle lacks and that were taken over.",
    shape=record(
        {
            "schema_version": const(1),
            "applied_at": WORDS,
            "namespace": WORDS,
            "cluster_uid": WORDS,
            "bundle_uri": S3_URI,
            "bundle_sha256": SHA256,
            "sections": record(dict.fromkeys(_SECTIONS, ref("applied_section"))),
        }
    ),
)
