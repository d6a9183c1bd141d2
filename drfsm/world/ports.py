"""The protocols: an object store, a cluster, a cloud identity, an infrastructure, other procedures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from drfsm.claims import LARGEST_BYTES
from drfsm.world.serving import HostedZones, Https, Names
from drfsm.world.values import (
    AlarmChange,
    Blob,
    Changes,
    Charter,
    Check,
    Copy,
    Hashed,
    Kubeconfig,
    Manifest,
    Metric,
    PullToken,
    Runner,
    Standing,
    Stat,
    Watch,
)


class ObjectStore(Protocol):
    """One bucket of an S3-like store. Keys are raw: no escaping, no leading slash."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""

    def now(self) -> datetime | None:
        """Return the time by the store's clock: the ``Date`` of its last response plus the time since then.

        For the ages of its objects: this machine's clock may differ. None before the first response.
        """

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object's bytes and ETag, None if there is none. A 5xx body is never content.

        Raises Unreadable, without reading it, for an object of more than ``largest_bytes``.
        """

    def stat(self, key: str) -> Stat | None:
        """Return what the store says of an object without reading it, None if there is none."""

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Read an object in a stream; return (size in bytes, SHA-256 in hex), None if there is none."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every object below a prefix, in the order of keys."""

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict if the condition does not hold."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server, within the bucket."""

    def delete(self, key: str) -> None:
        """Delete an object. An absent object is not an error."""

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Return a URL that lets its holder read an object (or write it) for a while. It is a secret."""

    # Many at once: results come in any order, one for each request, or an error; nothing is dropped silently.

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Read every object in a stream; yield its size and hash."""

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object, None if there is none. For small objects: bodies are held in memory.

        Raises Unreadable for an object of more than ``largest_bytes`` each, as ``get`` does.
        """

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None, verify: bool = True) -> Iterator[Copy]:
        """Copy on the server, within the bucket; yield each copy when it is made.

        ``verify``: ask for each copy whether it is there, with its size. False: the caller lists them all at the end.
        """

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete objects; yield each key when it is gone. An absent object is not an error."""


class Cluster(Protocol):
    """One Kubernetes cluster. Objects are plain JSON.

    ``kind`` is one of those that drfsm acts on: Namespace, Node, Pod, Job, CronJob, Deployment, ConfigMap, Event,
    Secret, ServiceAccount, PersistentVolumeClaim, Role, RoleBinding.
    """

    @property
    def name(self) -> str:
        """The operators' name for this site: ``primary`` or ``dr``."""

    def uid(self) -> str:
        """Return the cluster's identity: the UID of the kube-system namespace."""

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, None if there is none. ``namespace`` is "" for kinds that have none."""

    def list(self, kind: str, namespace: str, *, labels: str = "") -> Sequence[Manifest]:
        """Return every object of a kind, all pages, optionally only those that match a label selector."""

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises Conflict if one of that name exists."""

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, object]) -> Manifest:
        """Merge-patch an object (RFC 7386). A resourceVersion in it makes the write conditional (Conflict)."""

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Apply an object on the server, which may create it, as field manager ``manager``.

        Raises Conflict, naming the fields, where another manager set them; ``force`` takes them over.
        """

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object and its dependents. An absent object is not an error.

        ``uid``: only that very object; another one that has its name by then is left alone, whenever the request lands.
        """

    def allowed(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Ask whether this user has a permission (SelfSubjectAccessReview). ``resource`` may be ``pods/log``."""

    def log(self, namespace: str, pod: str, *, tail_lines: int) -> str:
        """Return the end of a pod's log; "" where there is none (yet)."""

    def whoami(self) -> str:
        """Return our user name on the cluster, ``untold`` where the cluster does not say."""

    def now(self) -> datetime | None:
        """Return the cluster's own time, to the second, by its latest response; None before the first.

        Ages of Kubernetes objects are computed by this clock, which stamped them; ours may be wrong. Makes no call.
        """


class Identity(Protocol):
    """The account and the identity that drfsm acts with in the cloud.

    Where the store is not the cloud's own, there may be no such service: the result then begins with UNTOLD and names
    the service, its address and the reason. Where it is, a failed request is Unreachable.
    """

    def account(self) -> str:
        """Return the account's id, or why it is untold."""

    def caller(self) -> str:
        """Return our own ARN, or why it is untold."""

    def known(self, arn: str) -> str:
        """Return whether a role or user exists: ``there``, ``absent``, or ``untold`` where asking is not permitted."""

    def region(self) -> str:
        """Return the region that requests go to."""

    def bucket_region(self) -> str:
        """Return the region that the bucket lives in, or why it is untold."""


class BucketPolicy(Protocol):
    """The policy of the store's bucket, as JSON text. It has no compare-and-swap: read it again after a write."""

    def read(self) -> str | None:
        """Return the policy, None if there is none."""

    def write(self, policy: str | None) -> None:
        """Replace the policy; None removes it."""


class Alarms(Protocol):
    """The alarms that monitor the workload."""

    def states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each named alarm that exists: OK, ALARM or INSUFFICIENT_DATA."""

    def history(self, name: str, since: datetime, until: datetime) -> Iterator[AlarmChange]:
        """Yield the changes of an alarm's state between two times, newest first; none for an unknown alarm."""


class Metrics(Protocol):
    """What keeps measurements, for alarms and graphs."""

    def put(self, namespace: str, metrics: Sequence[Metric]) -> None:
        """Keep these measurements, as of now. Raises ActionFailed where they are refused."""


class PullTokens(Protocol):
    """What a registry of images gives to pull with."""

    def token(self, registry: str) -> PullToken:
        """Return a new token for a registry's host. Raises Unreachable, or ActionFailed for a registry of others."""


class Infrastructure(Protocol):
    """The machines below a site."""

    def runners(self, tags: Mapping[str, str]) -> Sequence[Runner]:
        """Return the machines that carry all of these tags, without terminated ones."""

    def states(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each machine; one that the cloud no longer lists is ``terminated``."""

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these machines, and no others, to be terminated."""


class Provisioner(Protocol):
    """Brings a site's machines up for one charter, and takes exactly these down again.

    Every call may be repeated after a crash: it first checks what exists already. The content of a kubeconfig and the
    values of variables never leave the adapter.
    """

    @property
    def kind(self) -> str:
        """The operators' name for it: ``existing``, ``terraform`` or ``ec2``."""

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Make and save the plan of bring-up, and report it. Brings nothing up."""

    def planned(self, charter: Charter) -> Changes | None:
        """Return the plan that is saved on this machine, None if there is none."""

    def bring_up(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Carry out the plan, and nothing else; finished parts are not an error. Raises ActionFailed."""

    def asked_again(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Return the machine of a request whose response was lost; starts nothing that was never requested."""

    def standing(self, charter: Charter) -> Standing:
        """Return the charter's machines and resources now."""

    def fetch_kubeconfig(self, charter: Charter) -> Kubeconfig | None:
        """Save the site's kubeconfig in the bundle's private directory; None if the site has not provided it yet."""

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the saved kubeconfig, None if there is none."""

    def allow(self, charter: Charter, watch: Watch) -> str:
        """Let the operator's current address in; return that address. The teardown removes it."""

    def tear_down(self, charter: Charter, instance_ids: Sequence[str], watch: Watch) -> None:
        """Request the termination of exactly these machines of the charter. ``standing`` shows when they are gone.

        Raises ActionFailed, and changes nothing, if one of them is not the charter's, or the charter has more.
        """


class Registry(Protocol):
    """The registry of the workload's images."""

    def architectures(self, image: str) -> Sequence[str]:
        """Return an image's architectures (amd64, arm64). Raises Unreachable, ActionFailed if they are unknown."""

    def digests(self, image: str) -> Sequence[str]:
        """Return the digests by which an image can be named now. Raises Unreachable, ActionFailed likewise."""


class Procedures(Protocol):
    """Runs of other machines that belong to this one: each has a bundle, a journal and a lease of its own.

    The description of a run: ``run_id``, ``status``, ``state``, ``reason``, ``way``, and its journal's ``head`` and
    ``records``.
    """

    def run(self, machine: str, name: str, inputs: Mapping[str, Any], scope: str) -> Mapping[str, Any]:
        """Start the run, or resume it if it was started, and let it go as far as it can; return its description."""

    def look(self, name: str) -> Mapping[str, Any] | None:
        """Return the description of the run of that name, None if it was never started. Changes nothing."""


@frozen
class World:
    """Two sites, the store between them, and the identity of drfsm there."""

    store: ObjectStore
    primary: Cluster
    dr: Cluster
    identity: Identity
    infrastructure: Infrastructure
    policy: BucketPolicy
    alarms: Alarms
    provisioner: Provisioner | None = None  # only where a procedure may bring a site up
    procedures: Procedures | None = None  # only where it may start another one
    registry: Registry | None = None
    pull_tokens: PullTokens | None = None  # only where a procedure may renew a pull Secret
    zones: HostedZones | None = None  # these three only where the contract declares endpoints
    names: Names | None = None
    https: Https | None = None

    def site(self, name: str) -> Cluster:
        """Return the cluster of ``primary`` or ``dr``."""
        return self.primary if name == "primary" else self.dr
