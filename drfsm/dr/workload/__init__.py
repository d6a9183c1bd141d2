"""The workload's contract: how drfsm steers the batch workload, and where and what the workload publishes.

model.py, serving.py and switches.py (frozen values, and what follows from them), declare.py and declare_serving.py
(YAML → Workload, every fault at once; Workload → canonical JSON), jobintel.yaml (the contract that is shipped),
legacy.yaml (the contract of runs that were begun before contracts were recorded). The lowest room of dr/: everything in
dr/, the command line and the sandbox take names from here. See docs/workload.md.
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
    Variables,
    Workload,
)
from drfsm.dr.workload.serving import (
    CONFIGMAP,
    DOCUMENT,
    FAILOVER,
    HEALTH_CHECK,
    SITES,
    WEIGHTED,
    Canary,
    Check,
    Endpoint,
    EndpointSite,
    Writes,
)
from drfsm.dr.workload.switches import Switches

__all__ = [
    "CONFIGMAP",
    "DOCUMENT",
    "FAILOVER",
    "HEALTH_CHECK",
    "PRIMARY_FIELDS",
    "RANKED",
    "SCHEMA",
    "SECTION",
    "SHIPPED",
    "SITES",
    "WEIGHTED",
    "Canary",
    "Check",
    "Defaults",
    "Endpoint",
    "EndpointSite",
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
    "Writes",
    "canonical",
    "digest",
    "fixed_part",
    "legacy",
    "read",
    "recorded",
    "shipped",
]
