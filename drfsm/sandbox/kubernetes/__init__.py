"""Kubernetes for the sandbox: an emulated API with controllers, and a kubelet that serves any control plane.

``EmulatedCluster`` is the whole of it in one process. It is loaded on first use, so that the kubelet's and the
controllers' modules can be imported alone.
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
