"""The workload's contract: how drfsm steers the batch workload, and where and what the workload publishes.

model.py (frozen values, and what follows from them), declare.py (YAML → Workload, every fault at once; Workload →
canonical JSON), jobintel.yaml (the contract that is shipped), legacy.yaml (the contract of runs that were begun before
contracts were recorded). The lowest room of dr/: everything in dr/, the command line and the sandbox take names from
here. See docs/workload.md.
"""

from drfsm.dr.workload.declare import (
    SCHEMA,
    SHIPPED,
    canonical,
    digest,
    fixed_part,
    legacy,
    read,
    recorded,
    shipped,
)
from drfsm.dr.workload.model import (
    PRIMARY_FIELDS,
    RANKED,
    SECTION,
    Defaults,
    Files,
    Keys,
    Kubernetes,
    Pair,
    Pointers,
    Report,
    RunIds,
    Runners,
    Switches,
    Variables,
    Workload,
)

__all__ = [
    "PRIMARY_FIELDS",
    "RANKED",
    "SCHEMA",
    "SECTION",
    "SHIPPED",
    "Defaults",
    "Files",
    "Keys",
    "Kubernetes",
    "Pair",
    "Pointers",
    "Report",
    "RunIds",
    "Runners",
    "Switches",
    "Variables",
    "Workload",
    "canonical",
    "digest",
    "fixed_part",
    "legacy",
    "read",
    "recorded",
    "shipped",
]
