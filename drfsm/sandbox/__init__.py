"""A world to try drfsm in: an AWS on loopback, two clusters, two seeded sites, and the batch workload.

``Sandbox`` and ``RealSandbox`` are for tests, in their own process; ``up``, ``down``, ``status`` and
``environment`` run one in the background for people. Only the tests and the CLI (lazily) import this floor.
The names below are loaded on first use, because the workload is started through this package hundreds of times.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.sandbox.cloud import Cloud
    from drfsm.sandbox.lifecycle import (
        RealSandbox,
        Sandbox,
        State,
        Status,
        default_directory,
        down,
        environment,
        status,
        up,
    )
    from drfsm.sandbox.seed import Options

_HOMES = {
    "Cloud": "cloud",
    "Options": "seed",
    "RealSandbox": "lifecycle",
    "Sandbox": "lifecycle",
    "State": "lifecycle",
    "Status": "lifecycle",
    "default_directory": "lifecycle",
    "down": "lifecycle",
    "environment": "lifecycle",
    "status": "lifecycle",
    "up": "lifecycle",
}

__all__ = [
    "Cloud",
    "Options",
    "RealSandbox",
    "Sandbox",
    "State",
    "Status",
    "default_directory",
    "down",
    "environment",
    "status",
    "up",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
