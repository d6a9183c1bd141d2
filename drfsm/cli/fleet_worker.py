"""`drfsm worker --temporal`: what a worker of a fleet needs before it serves, and how it is asked to end."""

import asyncio
import os
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from drfsm.cli.fleet_inputs import resolve
from drfsm.cli.say import say
from drfsm.errors import ExitCode, UsageFault

if TYPE_CHECKING:
    from drfsm.runs.notices import Notify

HOME = "DRFSM_HOME"


def serve(
    address: str,
    *,
    namespace: str,
    task_queue: str,
    fleet_file: str,
    journal: str,
    instance_id: str,
    runs_at_once: int,
    machines: tuple[str, ...],
    operator: str,
    notify: "Notify",
) -> int:
    """Serve a fleet's runs until SIGTERM or Ctrl-C. Raises UsageFault, Unreachable."""
    check_installed()
    from drfsm.adapters import limits
    from drfsm.fleet import pairs, process
    from drfsm.fleet.client import connected
    from drfsm.fleet.runs import PairRuns
    from drfsm.fleet.worker import Worker
    from drfsm.runs.invocation import Invocation
    from drfsm.runs.trust import Assurances, trusted_machines

    if not fleet_file:
        raise UsageFault("--temporal needs --fleet FILE: it says where each pair's bucket and clusters are")
    fleet, alone = pairs.read(Path(fleet_file)), journal == "mirror"
    _check_keys(alone=alone)
    limits.allow("s3", fleet.number("s3_requests_a_second"))
    limits.allow("cluster", fleet.number("cluster_requests_a_second"))
    limits.bound("s3", fleet.number("s3_requests_a_run"))
    tell = partial(say, err=True)
    assurances = Assurances(machines=trusted_machines(machines, os.environ), tell=tell)
    invocation = Invocation(operator=operator, assurances=assurances, notify=notify)
    scratch = _scratch() if alone else None
    try:
        this = process.this(instance_id)
        worker = Worker(
            PairRuns(fleet, resolve, invocation, this, alone), this, task_queue or fleet.temporal["task_queue"],
            tell=tell, runs_at_once=runs_at_once, opened_a_second=fleet.number("runs_opened_a_second"),
            records_a_run=fleet.number("records_a_run"),
        )  # fmt: skip
        namespace = namespace or fleet.temporal["namespace"]

        async def work() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            client = await connected(address, namespace)
            say(f"serving {len(fleet.pairs)} pairs of {fleet.path}, on {address} in {namespace}", err=True)
            await worker.serve(client, stop)

        asyncio.run(work())
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return int(ExitCode.DONE)


def check_installed() -> None:
    """Raise UsageFault where Temporal's client is not installed."""
    from importlib.util import find_spec

    if find_spec("temporalio") is None:
        raise UsageFault("this needs Temporal's client, which is not installed", hint='pip install "drfsm[temporal]"')


def _check_keys(*, alone: bool) -> None:
    """Raise UsageFault where a worker without a disk could not prove who wrote the records that it takes up."""
    from drfsm.adapters.ssh_signatures import ALLOWED_SIGNERS, SIGNING_KEY, signer_of, verifier_of
    from drfsm.evidence.signatures import RECORD

    signer, verifier = signer_of(), verifier_of()
    if not alone:
        return
    if signer is None or verifier is None:
        raise UsageFault(
            f"a journal in the bucket alone needs keys: {SIGNING_KEY} to sign each record, and {ALLOWED_SIGNERS} to"
            " know the records of other workers",
            hint="make one key for all workers (ssh-keygen -t ed25519), and list it among the allowed signers;"
            " or keep the journal on a disk: --journal file",
        )
    words = b"drfsm asks whether this key signs"
    if not verifier.signer(RECORD, words, signer.sign(RECORD, words)):
        raise UsageFault(
            f"the key of {SIGNING_KEY} is not among those of {ALLOWED_SIGNERS}: no other worker could go on with this"
            " one's runs",
            hint=f"add its public key to the file that {ALLOWED_SIGNERS} names",
        )


def _scratch() -> Path:
    """Make this process's home a directory that ends with it: nothing there is needed to go on."""
    place = Path(tempfile.mkdtemp(prefix="drfsm-worker-"))
    os.environ[HOME] = str(place)
    return place
