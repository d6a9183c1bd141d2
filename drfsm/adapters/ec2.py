"""One EC2 instance from a launch template, whose kubeconfig comes through an SSM parameter.

Owns what makes an instance the charter's: it was started under the charter's token *and* carries the run's id
as a tag. A tag alone proves nothing (the console's "launch more like this" copies tags). The token also makes
starting idempotent: killed between asking and writing down, the same call returns the same instance. Which token
was asked with last is kept (``ec2.asked.json``), so that an answer that was lost can be asked for once more.

The parameter's name holds the instance's id, which the instance knows by itself, so that no two instances
share one and none is ever stale. Takes down only the ids that it is handed, and refuses if they are not all
that the charter has. Knows boto3 by aws.py alone.
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
RUN_TAG, DRILL_TAG = "drfsm-run", "drfsm-drill"  # no slash: instance metadata can't tell tags that have one
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
        """Pin the version of the launch template, and tell what it says."""
        found = self._machines.template(self._template, self._version)
        disk = f"{found['disk_gb']} GB" if found["disk_gb"] else "its image's own size"
        words = (
            f"1 to add: an instance {found['instance_type'] or 'of its image type'} with a disk of {disk}, "
            f"from {found['name']} ({found['id']}) version {found['version']}, tagged {RUN_TAG}={charter.run}"
        )
        body = json.dumps({**found, "run": charter.run, "words": words}, indent=2, sort_keys=True).encode()
        self._private.write(PLAN, body)
        watch.say(words)
        return _changes(body)

    def planned(self, charter: Charter) -> Changes | None:
        """Return the plan that is kept, None if there is none for this charter."""
        body = self._private.read(PLAN)
        return _changes(body) if body is not None and object_of(body, PLAN).get("run") == charter.run else None

    def bring_up(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Start the instance, from exactly the version that was planned."""
        if self._own(charter):
            watch.say("the instance was started already")
            return self.standing(charter)
        (planned,) = changes.changes
        template, _, version = planned.address.partition(":")
        for number in range(TOKENS):
            watch.check()
            self._private.write(ASKED, json.dumps({"run": charter.run, "token": number}).encode())  # BEFORE it is asked
            started = self._machines.launch(template, version, _token(charter, number), self._tags(charter))
            if started is not None and started["state"] != _GONE:
                watch.say(f"{started['instance_id']} was started from {template} version {version}")
                return Standing((self._machine(started),), 1)
        raise ActionFailed(
            f"{TOKENS} instances of {charter.run} were started, and all are terminated",
            hint="look in the console at why they end; then start a new drill",
        )

    def asked_again(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Ask once more, with the same token, for what was asked for and never answered; return what that brings out.

        Starts nothing that was not asked for: where this machine has the plan and never asked, nothing is asked. What
        is seen already, a token that is spent, and a request that is refused bring out nothing.
        """
        if self._own(charter) or (number := self._asked(charter)) is None:
            return Standing()
        (planned,) = changes.changes
        template, _, version = planned.address.partition(":")
        watch.say(f"asking once more for what {charter.run} was to start: no answer is on record")
        try:
            started = self._machines.launch(template, version, _token(charter, number), self._tags(charter))
        except ActionFailed as fault:
            watch.say(f"it was refused, so there is none: {fault.what}")
            return Standing()
        if started is None or started["state"] == _GONE:
            return Standing()
        watch.say(f"{started['instance_id']} was started, as asked before")
        return Standing((self._machine(started),), 1)

    def _asked(self, charter: Charter) -> int | None:
        """Return the number of the token that was asked with last; None where none was."""
        body = self._private.read(ASKED)
        if body is not None and (asked := object_of(body, ASKED)).get("run") == charter.run:
            return int(field(asked, "token", int, ASKED))
        return 0 if self.planned(charter) is None else None  # without its files it may have been another machine

    def standing(self, charter: Charter) -> Standing:
        """Return the charter's instances, terminated ones left out."""
        found = tuple(self._machine(each) for each in self._own(charter))
        return Standing(found, len(found))

    # --- in -------------------------------------------------------------------------------------------------

    def fetch_kubeconfig(self, charter: Charter) -> Kubeconfig | None:
        """Keep what the instance wrote into its parameter; None as long as there is nothing."""
        running = [each for each in self._own(charter) if each["state"] == "running"]
        if len(running) > 1:
            told = ", ".join(each["instance_id"] for each in running)
            raise ActionFailed(f"{charter.run} has {len(running)} running instances, not one: {told}")
        if not running:
            return None
        name = self._name(running[0]["instance_id"])
        value = self._parameters.read(name)
        if value is None:
            return None
        return self._private.keep_kubeconfig(value.encode(), f"the parameter {name}", lambda: running[0]["addresses"])

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the kubeconfig that is kept, None if there is none."""
        return self._private.held_kubeconfig()

    def allow(self, charter: Charter, watch: Watch) -> str:
        """Let the operator's address in at the instance's security group, and the address before it no more."""
        address, mark = self._address(), _mark(charter)
        groups = {self._group} if self._group else {
            group for each in self._own(charter) for group in each["security_groups"]
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
        watch.say(f"{address} may reach port {self._port} at {group}")
        return address

    # --- down -----------------------------------------------------------------------------------------------

    def tear_down(self, charter: Charter, instance_ids: Sequence[str], watch: Watch) -> None:
        """Terminate these instances, and take back what was made for them: rules, parameter, kubeconfig."""
        own = {each["instance_id"] for each in self._own(charter)}
        found = self._machines.instances({"instance-id": instance_ids}) if instance_ids else ()
        alive = {each["instance_id"] for each in found if each["state"] != _GONE}
        if strangers := alive - own:
            raise ActionFailed(
                f"{', '.join(sorted(strangers))} is recorded, but was not started by {charter.run}: nothing was"
                " touched",
                hint="look at whose it is; what is really this run's has its token, and goes with `drfsm resume`"
                " once the record and the cloud agree",
            )
        if more := own - set(instance_ids):
            raise ActionFailed(
                f"{', '.join(sorted(more))} of {charter.run} is not recorded: nothing was touched",
                hint="`drfsm resume`: it is seen, recorded and then taken down",
            )
        if alive:
            self._machines.terminate(sorted(alive))
            watch.say(f"asked for {', '.join(sorted(alive))} to be terminated")
        for group, cidr, port in self._machines.admitted(_mark(charter)):
            self._machines.dismiss(group, cidr, port, _mark(charter))
            watch.say(f"{cidr} may reach port {port} at {group} no more")
        for each in instance_ids:
            self._parameters.delete(self._name(each))
        self._private.forget(KUBECONFIG)

    def _own(self, charter: Charter) -> Sequence[Mapping[str, Any]]:
        tagged = self._machines.instances({f"tag:{RUN_TAG}": [charter.run]})
        tokens = {_token(charter, number) for number in range(TOKENS)}
        return [each for each in tagged if each["token"] in tokens and each["state"] != _GONE]

    def _machine(self, found: Mapping[str, Any]) -> Machine:
        return Machine(
            found["instance_id"],
            found["state"],
            found["instance_type"],
            self._machines.disk_gb(found["volumes"]),
            found["launched_at"],
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
