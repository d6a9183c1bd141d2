"""The values that the protocols of a site pass around."""

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

JSON = Any
Check = Callable[[], None]
"""Raises to stop the action: a person asked to stop, or the time is up. Called between requests."""
UNTOLD = "untold"
"""The beginning of a result that no service provides, where none has to."""
Manifest = dict[str, Any]
"""A Kubernetes object in the API's JSON form."""


@frozen
class Stat:
    """An object of a store as in a listing. ``etag`` is verbatim, quotes included."""

    key: str
    size_bytes: int
    etag: str
    modified: str  # UTC, ISO 8601


@frozen
class Blob:
    """An object's bytes, with the ETag under which they were read."""

    key: str
    body: bytes
    etag: str


@frozen
class Hashed:
    """An object's size and SHA-256 (hex) by reading it; both None if there is no object."""

    key: str
    size_bytes: int | None = None
    sha256: str | None = None


@frozen
class Copy:
    """A copy to be made on the server. ``size_bytes`` is the source's: above a limit it takes many requests."""

    source: str
    target: str
    size_bytes: int


@frozen
class Runner:
    """A virtual machine that carries a site. ``state`` in the cloud's words (running, terminated, ...)."""

    instance_id: str
    state: str
    tags: dict[str, str]


@frozen
class Metric:
    """One measurement, without a time: it is of now. ``unit`` is CloudWatch's word (None: a plain number)."""

    name: str
    value: float
    dimensions: dict[str, str]
    unit: str | None = None


@frozen
class AlarmChange:
    """A change of an alarm's state. States: OK, ALARM, INSUFFICIENT_DATA, or "" where the service names none of them.

    ``summary`` and ``reason`` are free text from outside.
    """

    at: str  # UTC, ISO 8601
    old_state: str
    new_state: str
    summary: str
    reason: str  # why it has the new state; "" where the service does not say


@frozen
class PullToken:
    """What an image is pulled with. The password is a secret: it is put into a Secret, and nowhere else."""

    username: str
    password: str = field(repr=False)
    expires_at: str  # ISO 8601


@frozen
class Charter:
    """The owner of machines. Names, tags and state contain both ids, so that no two charters share a machine."""

    run: str  # the drfsm run that brings the machines up, and the only one that may take them down
    drill: str  # the run's drill; for a live DR the run itself


@frozen
class Watch:
    """The hooks of a long action: ``say`` reports, ``check`` raises to stop it. ``say`` never gets secrets."""

    say: Callable[[str], None] = lambda _words: None
    check: Check = lambda: None


@frozen
class Change:
    """One change of a plan: the resource's address, and one or more of ``create``, ``update``, ``delete``."""

    address: str
    actions: tuple[str, ...]


@frozen
class Machine:
    """A machine's data for its cost; unknown fields are "" or None. ``launched_at`` in ISO 8601."""

    instance_id: str
    state: str = ""
    instance_type: str = ""
    disk_gb: int | None = None
    launched_at: str = ""


@frozen
class Changes:
    """A plan of bring-up, saved so that exactly this plan can be applied. No values, so no secrets."""

    tool: str
    changes: tuple[Change, ...]
    words: tuple[str, ...]  # the same in words
    sha256: str  # of the saved plan; "" where nothing is saved
    machines: tuple[Machine, ...] = ()  # the machines that would cost, as far as the plan shows


@frozen
class Standing:
    """A charter's machines. ``resources`` counts everything in the tool's state, machines included."""

    machines: tuple[Machine, ...] = ()
    resources: int = 0
    existing: bool = False  # drfsm did not bring the site up and never takes it down


@frozen
class Kubeconfig:
    """A kubeconfig in a file that only its owner can read. No record contains its content."""

    sha256: str
    server: str
