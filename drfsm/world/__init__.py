"""The protocols and values of two sites and the store between them.

Owns types only. dr/ uses these protocols and no client; adapters/ implements them on the real services. Every call may
raise Unreachable (the state of the world is unknown), ActionFailed (the service refused) or Conflict (the condition of
a write did not hold: drfsm wrote nothing).
"""

from drfsm.world.ports import (
    Alarms,
    BucketPolicy,
    Cluster,
    Identity,
    Infrastructure,
    Metrics,
    ObjectStore,
    Procedures,
    Provisioner,
    PullTokens,
    Registry,
    World,
)
from drfsm.world.values import (
    JSON,
    UNTOLD,
    Blob,
    Change,
    Changes,
    Charter,
    Check,
    Copy,
    Hashed,
    Kubeconfig,
    Machine,
    Manifest,
    Metric,
    PullToken,
    Runner,
    Standing,
    Stat,
    Watch,
)

__all__ = [
    "JSON",
    "UNTOLD",
    "Alarms",
    "Blob",
    "BucketPolicy",
    "Change",
    "Changes",
    "Charter",
    "Check",
    "Cluster",
    "Copy",
    "Hashed",
    "Identity",
    "Infrastructure",
    "Kubeconfig",
    "Machine",
    "Manifest",
    "Metric",
    "Metrics",
    "ObjectStore",
    "Procedures",
    "Provisioner",
    "PullToken",
    "PullTokens",
    "Registry",
    "Runner",
    "Standing",
    "Stat",
    "Watch",
    "World",
]
