"""The values that the protocols of a site pass around."""

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

JSON = Any
Check = Callable[[], None]
"""Raises to stop what is going on: somebody wants to stop, or the time is up. Called between requests."""
UNTOLD = "untold"
"""What an answer begins with that nobody gives, where nobody has to."""
Manifest = dict[str, Any]
"""A Kubernetes object as the API's JSON has it."""


@frozen
class Stat:
    """An object of a store as a listing tells it. ``etag`` is verbatim, quotes included."""

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
    """What reading an object gave: bytes read and their SHA-256 in hex; both None where there is no object."""

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
class PullToken:
    """What an image is pulled with. The password is a secret: it is put into a Secret, and nowhere else."""

    username: str
    password: str = field(repr=False)
    expires_at: str  # ISO 8601


@frozen
class Charter:
    """On whose behalf machines are brought up. Names, tags and state carry both ids, so that no two share them."""

    run: str  # the drfsm run that brings up, and that alone may take down
    drill: str  # the drill that it belongs to; for a live DR the run itself


@frozen
class Watch:
    """How something that takes long tells of itself, and is told to stop. ``say`` is never given secrets."""

    say: Callable[[str], None] = lambda _words: None
    check: Check = lambda: None


@frozen
class Change:
    """One thing that bringing up would do: what it is about, and ``create``, ``update``, ``delete`` or more of them."""

    address: str
    actions: tuple[str, ...]


@frozen
class Machine:
    """A machine as its bill sees it; what isn't known is "" or None. ``launched_at`` in ISO 8601."""

    instance_id: str
    state: str = ""
    instance_type: str = ""
    disk_gb: int | None = None
    launched_at: str = ""


@frozen
class Changes:
    """A plan: what bringing up would do, kept so that exactly this can be done. No values, so no secrets."""

    tool: str
    changes: tuple[Change, ...]
    words: tuple[str, ...]  # the same for people
    sha256: str  # of the plan as it is kept; "" where there is nothing to keep
    machines: tuple[Machine, ...] = ()  # what would be paid for, as far as the plan knows


@frozen
class Standing:
    """What stands of a charter. ``resources`` counts everything that the tool answers for, machines included."""

    machines: tuple[Machine, ...] = ()
    resources: int = 0
    given: bool = False  # somebody else's site: not brought up by us, never to be taken down by us


@frozen
class Kubeconfig:
    """A kubeconfig that lies where only its owner can read it. Its contents stand in no record."""

    sha256: str
    server: str
