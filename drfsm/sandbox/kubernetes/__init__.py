"""An emulated Kubernetes: API server, controllers, and a kubelet that also serves a real control plane; see README.md.

``EmulatedCluster`` is all of it in one process. It is loaded on first use, so that the modules of the kubelet and the
controllers can be imported by themselves. Nothing here imports anything else of drfsm.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.sandbox.kubernetes.cluster import EmulatedCluster

__all__ = ["EmulatedCluster"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from drfsm.sandbox.kubernetes.cluster import EmulatedCluster

    return EmulatedCluster
