"""A real Kubernetes control plane for the sandbox: etcd, kube-apiserver, kube-controller-manager, built from Go.

``RealCluster`` is used as ``EmulatedCluster`` is. Nothing of it is needed, or loaded, where the clusters are
emulated. go.mod names the versions; build.py finds or builds the programs; docs/kubernetes.md is for users.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.sandbox.controlplane.cluster import RealCluster

__all__ = ["RealCluster"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from drfsm.sandbox.controlplane.cluster import RealCluster

    return RealCluster
