"""What is acted on: the protocols and values of two sites and the store between them.

Owns shapes only. The rooms of dr/ speak these and nothing else; adapters/ implements them on the real
services. Every call may raise Unreachable (says nothing about the world), ActionFailed (the service said
no) or Conflict (a condition on a write did not hold: nothing of ours was written).
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
