"""A run's sites as its inputs name them: what provisions a drilled site, and the clusters of the kubeconfigs.

Owns where a drill's private files lie in its bundle (``private/``: kubeconfig, plans; ``logs/``: terraform's own
words). The kubeconfig may appear, or become another, while the run works, and a bundle that was fetched from S3
lacks it: so the file is looked at before every call, and fetched where the site can give it. Used by world.py and
run_context.py.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.errors import ActionFailed, DrfsmError, Unreachable, UsageFault
from drfsm.world import Charter, Provisioner

if TYPE_CHECKING:
    from drfsm.adapters.private import PrivateFiles
    from drfsm.world import Cluster

PRIVATE, LOGS = "private", "logs"


def private_files(place: Path) -> "PrivateFiles":
    """Return the private directory of a bundle."""
    from drfsm.adapters.private import PrivateFiles

    return PrivateFiles(place / PRIVATE)


def kubeconfig_of(inputs: Mapping[str, Any], place: Path) -> Path:
    """Return where the kubeconfig of DR lies: the named file, else the one that the provisioner fetches."""
    if named := str(inputs.get("kubeconfig_dr") or ""):
        return Path(named)
    return private_files(place).kubeconfig if "infrastructure" in inputs else Path(os.devnull)


def provisioner(inputs: Mapping[str, Any], place: Path) -> Provisioner | None:
    """Return what brings the site up; None for a machine that brings up no site. Makes no call yet."""
    kind = inputs.get("infrastructure")
    if kind is None:
        return None
    if kind == "existing":
        from drfsm.adapters.existing import Existing

        return Existing(kubeconfig_of(inputs, place))
    from drfsm.adapters import address, aws
    from drfsm.adapters.private import PrivateFiles
    from drfsm.adapters.site_kubeconfig import HERE

    # Never an input of the run: whether a site's kubeconfig may name this machine is said at this machine.
    private = PrivateFiles(place / PRIVATE, site_is_here=os.environ.get(HERE) == "1")
    place_in_cloud = {name: inputs[name] or None for name in ("endpoint_url", "region")}
    fleet = aws.fleet(**place_in_cloud)
    own_address = address.from_environment(os.environ)
    if kind == "ec2":
        from drfsm.adapters.ec2 import Ec2Runner
        from drfsm.dr.terms import terms_of

        runners = terms_of(inputs).workload.runners
        return Ec2Runner(
            fleet,
            private,
            own_address,
            template=runners.template,
            parameter=runners.kubeconfig_parameter,
            tags={"Name": runners.name, **runners.tags},
        )
    from drfsm.adapters.terraform import TerraformSite, module_at
    from drfsm.adapters.terraform_process import Terraform

    if not inputs["terraform_dir"]:
        raise UsageFault("--infrastructure terraform needs --terraform-dir", hint="add the path to the module")
    module = module_at(Path(str(inputs["terraform_dir"])))
    terraform = Terraform(module, private, place / LOGS, dict(os.environ))
    machine_file = aws.machine_files(**place_in_cloud).read
    return TerraformSite(terraform, private, fleet.parameters.read, own_address, machine_file)


def pinned(cluster: "Cluster", site: str, results: Mapping[str, Any]) -> "Cluster":
    """Return a site's cluster, which refuses every call unless it is the one that the run's results name.

    A resume or an abort through another kubeconfig would restore one site's schedules on the other: then both sites
    publish, or none.
    """
    clusters = (results.get("run_preflight") or {}).get("clusters") or {}
    named = [clusters.get(site)] if site in clusters else []
    if site == "dr":
        named += [(results.get(trigger) or {}).get("cluster_uid") for trigger in ("reach_site", "adopt_site")]
    uid = next((str(name) for name in named if name and not str(name).startswith("not evaluated")), "")
    held: Any = PinnedCluster(cluster, site, uid) if uid else cluster
    result: Cluster = held
    return result


class PinnedCluster:
    """A cluster that must have this UID: asked before every call, as a kubeconfig may become another while a run works.

    An adapter asks its server once.
    """

    def __init__(self, of: "Cluster", site: str, uid: str) -> None:
        self._of, self._site, self._uid = of, site, uid

    def __getattr__(self, name: str) -> Any:
        """Return what the cluster offers; a call checks the UID first. Raises ActionFailed for another cluster."""
        if name.startswith("_"):
            raise AttributeError(name)
        attribute = getattr(self._of, name)
        if not callable(attribute):
            return attribute

        def checked(*args: Any, **options: Any) -> Any:
            self._recognise()
            return attribute(*args, **options)

        return checked

    def _recognise(self) -> None:
        if (seen := self._of.uid()) != self._uid:
            raise ActionFailed(
                # Whoever reads a fact keeps the sentence alone, so that it says what to do, too.
                f"the kubeconfig of {self._site} leads to the cluster {seen}, and this run works on {self._uid}:"
                f" nothing is asked of another cluster; name the right kubeconfig with --kubeconfig-{self._site}",
                fault="operator",
            )


class SiteCluster:
    """DR's cluster, by the kubeconfig that exists at the time of a call."""

    def __init__(
        self, kubeconfig: Path, provisioner: Provisioner | None = None, charter: Charter | None = None
    ) -> None:
        self._kubeconfig, self._provisioner, self._charter = kubeconfig, provisioner, charter
        self._known: tuple[object, Any] | None = None

    @property
    def name(self) -> str:
        """The name of this site."""
        return "dr"

    def __getattr__(self, name: str) -> Any:
        """Return what the present cluster offers."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._now(), name)

    def _now(self) -> "Cluster":
        from drfsm.adapters.kube import KubeCluster

        mark = self._mark() or (self._fetched() and self._mark())
        if not mark:
            raise Unreachable(f"there is no kubeconfig {self._kubeconfig}", hint="the site must be reached first")
        if self._known is None or self._known[0] != mark:
            self._known = (mark, KubeCluster("dr", self._kubeconfig))
        cluster: Cluster = self._known[1]
        return cluster

    def _mark(self) -> tuple[int, int] | None:
        """Return what distinguishes one version of the file from another; None if there is no file."""
        try:
            status = self._kubeconfig.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _fetched(self) -> bool:
        if self._provisioner is None or self._charter is None:
            return False
        try:
            return self._provisioner.fetch_kubeconfig(self._charter) is not None
        except DrfsmError as fault:
            raise Unreachable(f"the site gives no kubeconfig: {fault.what}", hint=fault.hint) from None
