"""The world that a run's inputs lead to: its store, its two clusters, what brings up a site; and the run's lease.

Makes no call: whoever uses the world does. Used by run_context.py for a run, and by diagnosis.py and plan.py without
one: theirs is ``read_only``.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import evolve

from drfsm.errors import LeaseLost
from drfsm.runs.clusters import SiteCluster, kubeconfig_of, provisioner
from drfsm.runs.mirrors import own_prefix

if TYPE_CHECKING:
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.world import World


def connect(
    inputs: Mapping[str, Any],
    take_over: str,
    place: Path,
    run_id: str = "",
    *,
    known_epoch: Callable[[], int] = lambda: 0,
    has_changed: Callable[[], bool] = lambda: False,
    may_take_over: Callable[[Mapping[str, Any]], bool] = lambda _lease: False,
    as_holder: str = "",
) -> tuple["World", "S3Lease"]:
    """Return the world that a run's inputs lead to, and the lease of the bundle at ``place``. Makes no call yet.

    ``known_epoch``: the highest epoch in the bundle's records; ``has_changed``: whether that run changed anything;
    ``may_take_over``: whether a lease may be taken from the process that holds it; ``as_holder``: what the lease says
    of who holds it, "" for the bundle's directory.
    """
    from drfsm.adapters import aws
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.registry import ImageRegistry
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.infrastructure import charter_for as charter_of
    from drfsm.world import World

    account = aws.connect(
        bucket=inputs["bucket"], endpoint_url=inputs["endpoint_url"] or None, region=inputs["region"] or None
    )
    world = World(
        **account._asdict(),
        # A site without a kubeconfig leads nowhere: a call to it is refused as wrong usage.
        primary=KubeCluster("primary", Path(inputs.get("kubeconfig_primary") or os.devnull)),
        dr=KubeCluster("dr", Path(inputs.get("kubeconfig_dr") or os.devnull)),
        registry=ImageRegistry(account.pull_tokens),
    )
    if (site_provisioner := provisioner(inputs, place)) is not None:
        charter = charter_of(run_id, inputs)
        dr = SiteCluster(kubeconfig_of(inputs, place), site_provisioner, charter)
        world = evolve(world, dr=dr, provisioner=site_provisioner)
    lease = S3Lease(
        account.store,
        own_prefix(inputs),
        take_over_from=take_over or None,
        bundle=as_holder or str(place.resolve()),
        keeps_records=True,
        known_epoch=known_epoch,
        has_changed=has_changed,
        may_take_over=may_take_over,
    )
    return world, lease


class _NoLease:
    """A lease that nobody can hold, so every write through it is refused."""

    taken_from: Mapping[str, Any] = MappingProxyType({})

    def check(self) -> None:
        """Refuse."""
        raise LeaseLost("this command only reads: nothing is changed")

    def acquire(self, _run_id: str, _operator: str, _host: str) -> int:
        """Refuse."""
        raise LeaseLost("this command only reads: nothing is changed")

    def release(self, _run_id: str) -> None:
        """Do nothing: none is held."""


def read_only(world: "World") -> "World":
    """Return the same world; every write to it raises LeaseLost."""
    from drfsm.adapters.fenced import fenced

    return fenced(world, _NoLease())
