"""A file of a machine, read by a command that AWS's Systems Manager runs there (Run Command).

For a machine that hands nothing over by itself, as the original's terraform module makes them: k3s writes the cluster's
kubeconfig into a file that only root may read. The machine needs SSM's agent and a role that lets it speak to SSM
(AmazonSSMManagedInstanceCore); who asks needs ssm:SendCommand and ssm:GetCommandInvocation.

One command is sent, and no other: the path is an argument of ours, held against a grammar. What the machine prints is a
claim and may be a secret: it is returned and never told, nor is anything of it in a message; of its errors the first
300 characters are. SSM itself keeps the output of a command for thirty days, for whoever may read commands there. Used
by terraform.py.
"""

import re
import time
from collections.abc import Callable, Mapping
from shlex import quote
from typing import Any

from drfsm.adapters.aws_session import Services, call
from drfsm.claims import bounded, name_of
from drfsm.errors import ActionFailed, Unreachable, UsageFault

DOCUMENT = "AWS-RunShellScript"
PATH = re.compile(r"(/[A-Za-z0-9._-]+)+")
ABSENT = 44
"""What our command exits with where the file is not there, or empty."""
LARGEST_CHARACTERS = 24_000
"""What SSM returns of a command's output; the rest is cut off."""
COMMAND_SECONDS = 60
POLL_SECONDS = 1.0
_UNDER_WAY = ("Pending", "InProgress", "Delayed")


class SsmFiles:
    """Reads files of machines."""

    def __init__(
        self,
        services: Services,
        *,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services, self._sleep, self._monotonic = services, sleep, monotonic

    def read(self, instance_id: str, path: str) -> str | None:
        """Return a file's text; None as long as SSM doesn't know the machine, or the file isn't there yet.

        Raises ActionFailed where the command fails otherwise, or its output is cut off; Unreachable if it doesn't end.
        """
        if not PATH.fullmatch(path) or ".." in path:
            raise UsageFault(f"{bounded(path, 100)} is no path of a file on a machine")
        what = f"reading {path} on {name_of('instance', instance_id, 'the machine')}"
        ended = self._run(instance_id, f"test -s {quote(path)} || exit {ABSENT}; cat {quote(path)}", what)
        if ended is None or ended.get("ResponseCode") == ABSENT:
            return None
        if ended["Status"] != "Success":
            why = bounded(str(ended.get("StandardErrorContent", "")).strip() or "it says nothing", 300)
            code = ended.get("ResponseCode")
            raise ActionFailed(
                f"{what}: the command ended {bounded(ended['Status'], 40)} with {code}: {why}",
                hint=f"aws ssm get-command-invocation --command-id {ended['CommandId']} --instance-id {instance_id}",
            )
        text = str(ended.get("StandardOutputContent", ""))
        if len(text) >= LARGEST_CHARACTERS:
            raise ActionFailed(
                f"{what}: it has {LARGEST_CHARACTERS} characters or more, and SSM returns no more",
                hint="let the machine put it into an SSM parameter, and name that in an output kubeconfig_parameter",
            )
        return text

    def _run(self, instance_id: str, script: str, what: str) -> Mapping[str, Any] | None:
        """Run a script there and return how it ended; None where SSM knows no such machine (yet)."""
        ssm = self._services.client("ssm")
        asked = {
            "InstanceIds": [instance_id],
            "DocumentName": DOCUMENT,
            "Parameters": {"commands": [script], "executionTimeout": [str(COMMAND_SECONDS)]},
            "TimeoutSeconds": COMMAND_SECONDS,  # until it begins
        }
        sent = call(what, lambda: ssm.send_command(**asked), "InvalidInstanceId")
        if sent is None:
            return None
        named = {"CommandId": sent["Command"]["CommandId"], "InstanceId": instance_id}
        until = self._monotonic() + 2 * COMMAND_SECONDS
        while True:
            # For a moment after it was sent, SSM does not know the command yet.
            seen: Mapping[str, Any] | None = call(
                what, lambda: ssm.get_command_invocation(**named), "InvocationDoesNotExist"
            )
            if seen is not None and seen["Status"] not in _UNDER_WAY:
                return seen
            if self._monotonic() > until:
                raise Unreachable(
                    f"{what}: the command has not ended within {2 * COMMAND_SECONDS} s",
                    hint="is the machine's SSM agent running? then `drfsm resume`",
                )
            self._sleep(POLL_SECONDS)
