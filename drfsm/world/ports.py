"""The protocols: an object store, a cluster, a cloud identity, an infrastructure, other procedures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from drfsm.claims import LARGEST_BYTES
from drfsm.world.values import (
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
        """Return the time by the store's clock (the ``Date`` of its last answer, and what has passed since).

        For the ages of its objects: this machine's clock may be another. None before the first answer.
        """

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object's bytes and ETag, None if there is none. A 5xx body is never content.

        Raises Unreadable, without reading it, for an object of more than ``largest_bytes``.
        """

    def stat(self, key: str) -> Stat | None:
        """Return what the store says of an object without reading it, None if there is none."""

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Read an object in a stream; return (bytes read, SHA-256 in hex), None if there is none."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every object below a prefix, in the order of keys."""

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict if the condition does not hold."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server, within the bucket."""

    def delete(self, key: str) -> None:
        """Delete an object; one that isn't there is fine."""

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Return a URL that lets its holder read an object (or write it) for a while. It is a secret."""

    # Many at once: answers come in any order, one for each question, or an error; nothing is dropped silently.

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Read every object in a stream; yield what reading it gave."""

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object, None where there is none. For small objects: bodies are held whole.

        Raises Unreadable for an object of more than ``largest_bytes`` each, as ``get`` does.
        """

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None) -> Iterator[Copy]:
        """Copy on the server, within the bucket; yield each copy when it is made."""

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete objects; yield each key when it is gone. One that isn't there is fine."""


class Cluster(Protocol):
    """One Kubernetes cluster. Objects are plain JSON.

    ``kind`` is one of those that drfsm acts on: Namespace, Node, Pod, Job, CronJob, Deployment, ConfigMap, Event,
    Secret, ServiceAccount, PersistentVolumeClaim, Role, RoleBinding.
    """

    @property
    def name(self) -> str:
        """What operators call this site: ``primary`` or ``dr``."""

    def uid(self) -> str:
        """Return what tells clusters apart: the UID of the kube-system namespace."""

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, None if there is none. ``namespace`` is "" for kinds that have none."""

    def list(self, kind: str, namespace: str, *, labels: str = "") -> Sequence[Manifest]:
        """Return every object of a kind, all pages, optionally those that a label selector names."""

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises Conflict if one of that name is there."""

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, object]) -> Manifest:
        """Merge-patch an object (RFC 7386). A resourceVersion in it makes the write conditional (Conflict)."""

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Apply an object on the server, as field manager ``manager``; it may create it.

        Raises Conflict, naming the fields, where somebody else set them otherwise; ``force`` takes them over.
        """

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and what it owns; one that isn't there is fine."""

    def allowed(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Ask the cluster whether it would let us (SelfSubjectAccessReview). ``resource`` may be ``pods/log``."""

    def log(self, namespace: str, pod: str, *, tail_lines: int) -> str:
        """Return the end of a pod's log; "" where there is none (yet)."""

    def whoami(self) -> str:
        """Return the user name that the cluster knows us by, ``untold`` where it can't or won't say."""

    def now(self) -> datetime | None:
        """Return the cluster's own time, to the second, as its latest answer said it; None before the first.

        Ages of Kubernetes objects are reckoned by this clock, which stamped them; ours may be wrong. Makes no call.
        """


class Identity(Protocol):
    """Who we are in the cloud.

    Where the store is not the cloud's own, there may be nobody to ask: an answer then begins with UNTOLD and says
    who did not answer, where and why. Where it is, what can't be asked is Unreachable.
    """

    def account(self) -> str:
        """Return the account's id, or why it is untold."""

    def caller(self) -> str:
        """Return our own ARN, or why it is untold."""

    def known(self, arn: str) -> str:
        """Return whether a role or user exists: ``there``, ``absent``, or ``untold`` where we may not ask."""

    def region(self) -> str:
        """Return the region that we speak to."""

    def bucket_region(self) -> str:
        """Return the region that the bucket lives in, or why it is untold."""


class BucketPolicy(Protocol):
    """The policy of the store's bucket, as JSON text. It knows no compare-and-swap: read again what was written."""

    def read(self) -> str | None:
        """Return the policy, None if there is none."""

    def write(self, policy: str | None) -> None:
        """Replace the policy; None takes it away."""


class Alarms(Protocol):
    """What watches the workload from outside."""

    def states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each named alarm that there is: OK, ALARM or INSUFFICIENT_DATA."""


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
        """Return the machines that carry all of these tags, terminated ones left out."""

    def states(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the state of each machine; one that the cloud forgot is ``terminated``."""

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Ask for these machines, and no others, to be terminated."""


class Provisioner(Protocol):
    """What brings a site's machines up for one charter, and takes exactly them down again.

    Every call may be made again after a crash: each asks first what is there already. Contents of a
    kubeconfig, values of variables and the like never leave the adapter.
    """

    @property
    def kind(self) -> str:
        """How operators call it: ``existing``, ``terraform`` or ``ec2``."""

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Find out what bringing up would do, keep the plan, and tell it. Brings nothing up."""

    def planned(self, charter: Charter) -> Changes | None:
        """Return the plan that is kept on this machine, None if there is none."""

    def bring_up(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Do what was planned, and nothing else; what is done already is fine. Raises ActionFailed."""

    def asked_again(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Return what a request brought up whose answer was lost; starts nothing that was never asked for."""

    def standing(self, charter: Charter) -> Standing:
        """Return what stands of the charter now."""

    def fetch_kubeconfig(self, charter: Charter) -> Kubeconfig | None:
        """Keep the site's kubeconfig in the bundle's private directory; None if the site hasn't given it yet."""

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the kubeconfig that is kept, None if there is none."""

    def allow(self, charter: Charter, watch: Watch) -> str:
        """Let the operator's current address in; return that address. It goes when the site is taken down."""

    def tear_down(self, charter: Charter, instance_ids: Sequence[str], watch: Watch) -> None:
        """Ask for the charter's machines to be gone: of machines these, and no others. See ``standing`` for the end.

        Raises ActionFailed, with nothing touched, if one of them is not the charter's, or the charter has more.
        """


class Registry(Protocol):
    """What keeps the workload's images."""

    def architectures(self, image: str) -> Sequence[str]:
        """Return what an image is built for (amd64, arm64). Raises Unreachable, ActionFailed if that isn't told."""

    def digests(self, image: str) -> Sequence[str]:
        """Return the digests by which an image can be named now. Raises Unreachable, ActionFailed likewise."""


class Procedures(Protocol):
    """Runs of other machines that belong to this one: each has a bundle, a journal and a lease of its own.

    What is told of one: ``run_id``, ``status``, ``state``, ``reason``, ``way``, and its journal's ``head`` and
    ``records``.
    """

    def run(self, machine: str, name: str, inputs: Mapping[str, Any], scope: str) -> Mapping[str, Any]:
        """Start it, or go on with it where it was started already, as far as it goes; tell of it."""

    def look(self, name: str) -> Mapping[str, Any] | None:
        """Tell of the run of that name, None if it was never started. Changes nothing."""


@frozen
class World:
    """Two sites, the store between them, and who we are there."""

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

    def site(self, name: str) -> Cluster:
        """Return the cluster of ``primary`` or ``dr``."""
        return self.primary if name == "primary" else self.dr
