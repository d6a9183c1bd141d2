"""One EC2 instance from a launch template, whose kubeconfig comes through an SSM parameter.

Owns the rule by which an instance belongs to the charter: it was started with the charter's client token *and* carries
the run's id as a tag. A tag alone proves nothing (the console's "launch more like this" copies tags). The token also
makes the start idempotent: after a crash, the same call returns the same instance. The token of the last request is
kept (``ec2.asked.json``), so that a request whose response was lost can be repeated.

The parameter's name contains the instance's id, so no two instances share one and none is ever stale. The teardown
terminates only the given ids, and refuses if the charter has others. Uses boto3 only through aws.py.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from drfsm.adapters.address import Address
from drfsm.adapters.aws import Fleet
from drfsm.adapters.private import KUBECONFIG, PrivateFiles
from drfsm.claims import field, object_of
from drfsm.errors import ActionFailed
from drfsm.world import Change, Changes, Charter, Kubeconfig, Machine, Standing, Watch

MANAGED = {"ManagedBy": "drfsm"}
RUN_TAG, DRILL_TAG = "drfsm-run", "drfsm-drill"  # no slash: instance metadata does not show tags with a slash
API_PORT = 6443
TOKENS = 8  # instances that one charter may start, one after another
PLAN, ASKED = "ec2.plan.json", "ec2.asked.json"
_GONE = "terminated"


class Ec2Runner:
    """Brings up one instance.

    ``template``: a launch template's name or id, perhaps with ``:version``. ``parameter``: the name of the parameter
    that holds its kubeconfig, with ``{instance}`` in it. ``tags``: what DR's machines carry.
    """

    kind = "ec2"

    def __init__(
        self,
        fleet: Fleet,
        private: PrivateFiles,
        address: Address,
        *,
        template: str,
        parameter: str,
        tags: Mapping[str, str],
        security_group: str = "",
        port: int = API_PORT,
    ) -> None:
        self._machines, self._parameters = fleet
        self._private, self._address = private, address
        self._template, _, self._version = template.partition(":")
        self._tagged = tags
        self._parameter, self._group, self._port = parameter, security_group, port

    # --- up -------------------------------------------------------------------------------------------------

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Pin the version of the launch template, and report its settings."""
        template = self._machines.template(self._template, self._version)
        disk = f"{template['disk_gb']} GB" if template["disk_gb"] else "its image's own size"
        words = (
            f"1 to add: an instance {template['instance_type'] or 'of its image type'} with a disk of {disk}, "
            f"from {template['name']} ({template['id']}) version {template['version']}, tagged {RUN_TAG}={charter.run}"
        )
        body = json.dumps({**template, "run": charter.run, "words": words}, indent=2, sort_keys=True).encode()
        self._private.write(PLAN, body)
        watch.say(words)
        return _changes(body)

    def planned(self, charter: Charter) -> Changes | None:
        """Return the saved plan, None if there is none for this charter."""
        body = self._private.read(PLAN)
        return _changes(body) if body is not None and object_of(body, PLAN).get("run") == charter.run else None

    def bring_up(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Start the instance from exactly the planned version."""
        if self._own(charter):
            watch.say("the instance is already started")
            return self.standing(charter)
        (planned,) = changes.changes
        template, _, version = planned.address.partition(":")
        for number in range(TOKENS):
            watch.check()
            self._private.write(ASKED, json.dumps({"run": charter.run, "token": number}).encode())  # BEFORE the request
            started = self._machines.launch(template, version, _token(charter, number), self._tags(charter))
            if started is not None and started["state"] != _GONE:
                watch.say(f"started {started['instance_id']} from {template} version {version}")
                return Standing((self._machine(started),), 1)
        raise ActionFailed(
            f"{TOKENS} instances of {charter.run} were started, and all of them are terminated",
            hint="find the reason in the EC2 console; then start a new drill",
        )

    def asked_again(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Repeat the last request whose response was lost, with the same token; return the instance that it started.

        Starts nothing new: where this machine has the plan and sent no request, none is sent. Returns nothing for an
        instance that is already listed, a used token, or a refused request.
        """
        if self._own(charter) or (number := self._asked(charter)) is None:
            return Standing()
        (planned,) = changes.changes
        template, _, version = planned.address.partition(":")
        watch.say(f"repeating the start request of {charter.run}: its response is not on record")
        try:
            started = self._machines.launch(template, version, _token(charter, number), self._tags(charter))
        except ActionFailed as fault:
            watch.say(f"the start request was refused, so there is no instance: {fault.what}")
            return Standing()
        if started is None or started["state"] == _GONE:
            return Standing()
        watch.say(f"{started['instance_id']} was started by the earlier request")
        return Standing((self._machine(started),), 1)

    def _asked(self, charter: Charter) -> int | None:
        """Return the number of the last requested token; None where there was no request."""
        body = self._private.read(ASKED)
        if body is not None and (asked := object_of(body, ASKED)).get("run") == charter.run:
            return int(field(asked, "token", int, ASKED))
        return 0 if self.planned(charter) is None else None  # without these files, another machine may have sent it

    def standing(self, charter: Charter) -> Standing:
        """Return the charter's instances, without terminated ones."""
        machines = tuple(self._machine(instance) for instance in self._own(charter))
        return Standing(machines, len(machines))

    # --- in -------------------------------------------------------------------------------------------------

    def fetch_kubeconfig(self, charter: Charter) -> Kubeconfig | None:
        """Save the kubeconfig that the instance wrote to its parameter; None while the parameter is empty."""
        running = [instance for instance in self._own(charter) if instance["state"] == "running"]
        if len(running) > 1:
            names = ", ".join(instance["instance_id"] for instance in running)
            raise ActionFailed(f"{charter.run} has {len(running)} running instances, not one: {names}")
        if not running:
            return None
        name = self._name(running[0]["instance_id"])
        value = self._parameters.read(name)
        if value is None:
            return None
        return self._private.keep_kubeconfig(value.encode(), f"the parameter {name}", lambda: running[0]["addresses"])

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the saved kubeconfig, None if there is none."""
        return self._private.held_kubeconfig()

    def allow(self, charter: Charter, watch: Watch) -> str:
        """Let the operator's address in at the instance's security group, and remove the previous one."""
        address, mark = self._address(), _mark(charter)
        groups = {self._group} if self._group else {
            group for instance in self._own(charter) for group in instance["security_groups"]
        }  # fmt: skip
        if len(groups) != 1:
            message = (
                f"it is not clear which security group must let {address} in: {', '.join(sorted(groups)) or 'none'}"
            )
            raise ActionFailed(message, hint="name it with --security-group", fault="operator")
        (group,) = groups
        self._machines.admit(group, address, self._port, mark)
        for where, cidr, port in self._machines.admitted(mark):
            if (where, cidr) != (group, address):
                self._machines.dismiss(where, cidr, port, mark)
        watch.say(f"{address} may now reach port {self._port} at {group}")
        return address

    # --- down -----------------------------------------------------------------------------------------------

    def tear_down(self, charter: Charter, instance_ids: Sequence[str], watch: Watch) -> None:
        """Terminate these instances, and remove what was made for them: rules, parameter, kubeconfig."""
        own = {instance["instance_id"] for instance in self._own(charter)}
        instances = self._machines.instances({"instance-id": instance_ids}) if instance_ids else ()
        alive = {instance["instance_id"] for instance in instances if instance["state"] != _GONE}
        if strangers := alive - own:
            raise ActionFailed(
                f"{', '.join(sorted(strangers))} is on record, but was not started by {charter.run}: nothing was"
                " changed",
                hint="find out who started it; an instance of this run has the run's client token."
                " `drfsm resume` takes it down once the record and the cloud agree",
            )
        if more := own - set(instance_ids):
            raise ActionFailed(
                f"{', '.join(sorted(more))} of {charter.run} is not on record: nothing was changed",
                hint="`drfsm resume` records the instance and then takes it down",
            )
        if alive:
            self._machines.terminate(sorted(alive))
            watch.say(f"requested the termination of {', '.join(sorted(alive))}")
        for group, cidr, port in self._machines.admitted(_mark(charter)):
            self._machines.dismiss(group, cidr, port, _mark(charter))
            watch.say(f"{cidr} may no longer reach port {port} at {group}")
        for instance_id in instance_ids:
            self._parameters.delete(self._name(instance_id))
        self._private.forget(KUBECONFIG)

    def _own(self, charter: Charter) -> Sequence[Mapping[str, Any]]:
        tagged = self._machines.instances({f"tag:{RUN_TAG}": [charter.run]})
        tokens = {_token(charter, number) for number in range(TOKENS)}
        return [instance for instance in tagged if instance["token"] in tokens and instance["state"] != _GONE]

    def _machine(self, instance: Mapping[str, Any]) -> Machine:
        return Machine(
            instance["instance_id"],
            instance["state"],
            instance["instance_type"],
            self._machines.disk_gb(instance["volumes"]),
            instance["launched_at"],
        )

    def _tags(self, charter: Charter) -> Mapping[str, str]:
        """Return the tags of a charter's machines."""
        return {**self._tagged, **MANAGED, RUN_TAG: charter.run, DRILL_TAG: charter.drill}

    def _name(self, instance_id: str) -> str:
        return self._parameter.format(instance=instance_id)


def _token(charter: Charter, number: int) -> str:
    return f"{charter.run}.{number}"


def _mark(charter: Charter) -> str:
    return f"drfsm {charter.run}"


def _changes(body: bytes) -> Changes:
    kept = object_of(body, PLAN)
    for name in ("id", "version", "words", "instance_type"):
        field(kept, name, str, PLAN)
    field(kept, "disk_gb", (int, type(None)), PLAN)
    return Changes(
        "ec2",
        (Change(f"{kept['id']}:{kept['version']}", ("create",)),),
        (kept["words"],),
        hashlib.sha256(body).hexdigest(),
        (Machine("", "", kept["instance_type"], kept["disk_gb"]),),
    )
