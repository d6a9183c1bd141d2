"""The values that the protocols of a site pass around."""

from collections.abc import Callable
from typing import Any

from attrs import frozen

JSON = Any
Check = Callable[[], None]
"""Raises to stop what is going on: somebody wants to stop, or the time is up. Called between requests."""
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
