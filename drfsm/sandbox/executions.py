"""Step Functions in the sandbox: moto's interpreter of state machines, which runs executions for real.

moto keeps it switched off, and its tasks find SQS, SNS and Lambda at a port that the environment names (``MOTO_PORT``),
for the whole process: so one Cloud of a process at a time runs executions. It has neither activities nor redrive; it
drops the cause of a failure, takes a token that was used already as long as the execution runs, and knows a heartbeat
only of a task that declares one. Called by tests, and by whoever lets the sandbox run executions.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from drfsm.sandbox.cloud import Cloud

_PORT = "MOTO_PORT"


@contextmanager
def executions_of(cloud: "Cloud") -> Iterator[None]:
    """Let the executions of this Cloud run, and no other's of this process."""
    from moto.core.config import default_user_config

    settings = default_user_config["stepfunctions"]
    before, port_before = settings["execute_state_machine"], os.environ.get(_PORT)
    settings["execute_state_machine"] = True
    os.environ[_PORT] = str(urlsplit(cloud.endpoint).port)
    try:
        yield
    finally:
        settings["execute_state_machine"] = before
        os.environ.pop(_PORT)
        if port_before is not None:
            os.environ[_PORT] = port_before
