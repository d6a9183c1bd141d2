"""Which command shows which document with ``-o json`` (yaml, table), and those of the commands that read no bucket."""

from collections.abc import Mapping

from drfsm.evidence.schemas import bundles, endpoints
from drfsm.evidence.schemas import of_the_store as store
from drfsm.evidence.schemas.dashboard import DASHBOARD
from drfsm.evidence.schemas.doctor import DOCTOR
from drfsm.evidence.schemas.drill import DRILL
from drfsm.evidence.schemas.exercise import EXERCISE
from drfsm.evidence.schemas.failback import FAILBACK
from drfsm.evidence.schemas.judged import COUNTERFACTUAL, COVERAGE
from drfsm.evidence.schemas.plan import PLAN
from drfsm.evidence.schemas.promote import PROMOTE
from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    NAMES,
    NUMBER,
    OBJECT,
    SHA256,
    TEXT,
    TEXT_OR_NULL,
    WORDS,
    Receipt,
    about,
    array,
    const,
    either,
    having,
    mapping,
    one_of,
    record,
)
from drfsm.evidence.schemas.shown import AUDIT, LIST, REPLAY
from drfsm.evidence.schemas.status import STATUS

_NULL = {"type": "null"}
_FILE = {"file": about("The file that holds; null: none") | TEXT_OR_NULL, "sha256": either(SHA256, _NULL)}

CONFIG = Receipt(
    "config.show",
    title="drfsm config show -o json",
    description="Every key of the configuration with the value that holds here, and where it comes from.",
    shape=record(
        {
            "schema_version": const(1),
            **_FILE,
            "values": array(
                record(
                    {
                        "key": WORDS,
                        "value": about("null: nobody says it, and the default holds") | {},
                        "source": about("unused: of a file that may not say whom to trust")
                        | one_of("environment", "file", "default", "unused"),
                        "origin": about("The variable, or the file's line") | WORDS,
                    },
                    optional={"usual": about("The default, in words") | TEXT},
                )
            ),
        }
    ),
)
CONFIG_FAULTS = Receipt(
    "config.check",
    title="drfsm config check -o json",
    description="Every fault of a configuration's file.",
    shape=record(
        {
            "schema_version": const(1),
            **_FILE,
            "faults": array(
                record(
                    {
                        "line": about("Counted from 1; null: of the whole file") | either(COUNT, _NULL),
                        "key": TEXT,
                        "what": WORDS,
                        "mend": TEXT,
                    }
                )
            ),
        }
    ),
)
EXPLAINED = Receipt(
    "explain",
    title="drfsm explain -o json",
    description="What a name means, an entry for each thing that is named so; without a name every name that there is.",
    shape=array(having({"name": WORDS, "kind": WORDS}, optional={"machine": WORDS})),
)
_MACHINE = record({"machine": WORDS, "source": WORDS, "sha256": SHA256})
MACHINE_DIFF = Receipt(
    "machine.diff",
    title="drfsm machine diff -o json",
    description="What tells two versions of a machine apart, and what that does to what is proven of them.",
    shape=record(
        {
            "before": _MACHINE,
            "after": _MACHINE,
            "same": FLAG,
            "differences": array(
                record(
                    {
                        "section": WORDS,
                        "name": TEXT,
                        "change": one_of("added", "removed", "changed"),
                        "fields": mapping(record({"before": {}, "after": {}})),
                    }
                )
            ),
            "proofs": about("Of each rule what is proven; null: not asked")
            | either(_NULL, array(record(dict.fromkeys(("rule", "before", "after"), WORDS)))),
        }
    ),
)
_ENDS = record(
    {
        "verdict": WORDS,
        "moments": COUNT,
        "seconds": NUMBER,
        "obstacles": array(
            record(
                {**dict.fromkeys(("kind", "name", "mend"), TEXT), "missing": array(TEXT)},
                optional={"story": array({})},
            )
        ),
    }
)
MACHINE_CHECK = Receipt(
    "machine.check",
    title="drfsm machine check --json",
    description="What a search over every possible run proves of a machine. `story`: the shortest way to the fault.",
    shape=record(
        {
            "machine": WORDS,
            "ok": FLAG,
            "moments": COUNT,
            "rules": array(
                record(
                    {
                        "rule": WORDS,
                        "verdict": one_of("holds", "broken", "vacuous", "unproven"),
                        "moments": COUNT,
                        "seconds": NUMBER,
                    },
                    optional={"because": TEXT, "story": array({})},
                )
            ),
            "rows_never_taken": NAMES,
            "seconds": NUMBER,
        },
        optional={"every_run_can_end": _ENDS},
    ),
)
WORKLOAD = Receipt(
    "workload.check",
    title="drfsm workload check -o json",
    description="A contract without a fault: what it is called, its digest, and the files that a run must have.",
    shape=record({"workload": WORDS, "sha256": SHA256, "required": NAMES}),
)
SANDBOX = Receipt(
    "sandbox.status",
    title="drfsm sandbox status -o json",
    description="Whether a sandbox runs in a directory, and how to reach it.",
    shape=record({"running": FLAG, "note": WORDS, "state": either(_NULL, OBJECT)}),
)
EXECUTION_INPUT = Receipt(
    "execution.input",
    title="drfsm failback|promote --as-execution-input",
    description="The input with which an execution of an exported machine is started.",
    shape=record({"drfsm_run": WORDS, "inputs": about("Without what only a worker's machine knows") | OBJECT}),
)

_OF_A_RUN = (FAILBACK, PROMOTE, DRILL)
_VERBS_ON_A_RUN = ("resume", "abort", "skip", "request", "resolve", "approve", "decline")
_BRIEF = ("exercise", "title", "kind", "started_at", "closed_at", "result")
EXERCISES = Receipt(
    "exercise.list",
    title="drfsm exercise show -o json, without a name",
    description="The exercises that this computer knows.",
    shape=array(record({name: EXERCISE.shape["properties"][name] for name in _BRIEF})),
)
CHECKED = Receipt(
    "receipts.check",
    title="drfsm receipts check -o json",
    description="What each receipt's check found.",
    shape=array(
        record(
            {
                "file": WORDS,
                "schema": about("The name of its schema, in receipts_schema/") | WORDS,
                "verdict": one_of("holds", "DOES NOT HOLD"),
                "note": about("What was not checked, and why; empty where all was") | TEXT,
                "faults": about("Empty where it holds") | NAMES,
            }
        )
    ),
)
DOCUMENTS: Mapping[str, tuple[Receipt, ...]] = {
    "status": (STATUS,),
    "list": (LIST,),
    "replay": (REPLAY, COUNTERFACTUAL),
    "audit": (AUDIT,),
    "bundle verify": (bundles.VERIFIED,),
    "bundle prune": (bundles.PRUNED,),
    "coverage": (COVERAGE,),
    "exercise show": (EXERCISE, EXERCISES),
    "receipts check": (CHECKED,),
    "doctor": (DOCTOR,),
    **{f"plan {procedure}": (PLAN,) for procedure in ("failback", "promote", "drill")},
    **dict.fromkeys(_VERBS_ON_A_RUN, _OF_A_RUN),
    "drill": (DRILL, store.DIAGNOSTICS),
    "validate": (DRILL, store.DIAGNOSTICS),
    "failback": (FAILBACK, EXECUTION_INPUT),
    "promote": (PROMOTE, EXECUTION_INPUT),
    "health": (store.HEALTH,),
    "pointers show": (store.POINTERS,),
    "pointers set": (store.POINTERS_SET,),
    "pointers own": (store.POINTERS_OWN,),
    "fence show": (store.FENCES,),
    "fence lift": (store.LIFT,),
    "runs list": (store.RUNS,),
    "runs show": (store.RUN,),
    "runs verify": (store.VERIFICATION,),
    "runs compare": (store.COMPARISON,),
    "runs sync": (store.SYNC,),
    "backup create": (store.BACKUP_CREATED,),
    "backup list": (store.BACKUPS,),
    "backup verify": (store.BACKUP_VERIFIED,),
    "backup restore": (store.RESTORED,),
    "control-plane publish": (store.PUBLISHED,),
    "control-plane fetch": (store.FETCHED,),
    "control-plane apply": (store.APPLIED_TO_A_SITE,),
    "control-plane verify": (store.PARITY,),
    "kubeconfig": (store.KUBECONFIG,),
    "endpoints show": (endpoints.SHOW,),
    "endpoints declare": (endpoints.DECLARE,),
    "dashboard publish": (DASHBOARD,),
    "config show": (CONFIG,),
    "config check": (CONFIG_FAULTS,),
    "explain": (EXPLAINED,),
    "machine diff": (MACHINE_DIFF,),
    "machine check": (MACHINE_CHECK,),
    "workload check": (WORKLOAD,),
    "sandbox status": (SANDBOX,),
}
"""The words that lead to a command -> the schemas, one of which its document fits. `watch -o json` prints a line an
event (docs/watch.md), and the commands named schema print a schema."""

OFFLINE = (
    CONFIG, CONFIG_FAULTS, EXPLAINED, MACHINE_DIFF, MACHINE_CHECK, WORKLOAD, SANDBOX, EXECUTION_INPUT, EXERCISES,
    CHECKED,
)  # fmt: skip
