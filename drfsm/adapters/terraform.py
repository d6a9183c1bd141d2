"""A site that terraform brings up: the real binary, a saved plan, and an apply of exactly that plan.

Owns the order (init, workspace, plan, apply, outputs, destroy), the variables that terraform gets, and the meaning of
its output. Terraform itself owns state and locks. Each charter has its own workspace, named after its run, so a
rehearsal and a live DR never share a state. Terraform's data directory and plans are in the bundle's private directory,
so the operator's own checkout does not change.

    outputs that the module gives:   kubeconfig (sensitive), or kubeconfig_parameter (an SSM parameter's name), or
                                     instance_id alone: then the file on that machine is read through SSM, at
                                     kubeconfig_path (by default where k3s writes it);
                                     public_ip, private_ip: where the machine may be, before what the state says;
                                     instance_ids, where the machines are no aws_instance of the state
    variables that it is given:      drfsm_run, drfsm_drill (for names and tags), allowed_cidr (after a repair);
                                     all of TF_VAR_* as they stand; TF_BACKEND_<NAME> as the backend's <name>

A stale plan (after a crash in the middle of an apply) is made again, and applied only if it contains nothing beyond the
plan that was shown. Called as world.Provisioner; terraform itself runs in terraform_process.py.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict

from drfsm.adapters.address import Address
from drfsm.adapters.private import KUBECONFIG, PrivateFiles
from drfsm.adapters.terraform_process import Terraform, TerraformFailed
from drfsm.claims import bounded, object_of
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.world import Change, Changes, Charter, Kubeconfig, Machine, Standing, Watch

PLAN, DESTROY, PLANNED, ALLOWED = "terraform.plan", "terraform.destroy", "terraform.changes.json", "allowed_address"
RUN_VARIABLE, DRILL_VARIABLE, ADDRESS_VARIABLE = "drfsm_run", "drfsm_drill", "allowed_cidr"
_WORKSPACE = re.compile(r"[A-Za-z0-9._-]{1,90}\Z")
_PARAMETER = re.compile(r"[A-Za-z0-9_./:-]{1,1100}")
_MACHINE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_VERBS = {"create": "add", "update": "change", "delete": "destroy"}
K3S_KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
Parameter = Callable[[str], str | None]
"""Reads an SSM parameter; None if there is none."""
MachineFile = Callable[[str, str], str | None]
"""Reads a file of a machine (its id, a path); None as long as there is none."""


class TerraformSite:
    """Brings up one module's resources, in the charter's own workspace."""

    kind = "terraform"

    def __init__(
        self,
        terraform: Terraform,
        private: PrivateFiles,
        parameter: Parameter,
        address: Address,
        machine_file: MachineFile | None = None,
    ) -> None:
        self._terraform, self._private = terraform, private
        self._parameter, self._address, self._machine_file = parameter, address, machine_file

    # --- up -------------------------------------------------------------------------------------------------

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Make and save the plan, and report it: resources to add, to change, to destroy."""
        self._enter(charter, watch)
        shown = self._planned(charter, PLAN, watch)
        changes = self._changes(charter, shown)
        if doomed := [change.address for change in changes.changes if "delete" in change.actions]:
            raise ActionFailed(
                f"bringing up the site would destroy {', '.join(doomed)}: the module or its resources were changed",
                hint="take the site down first, or restore the earlier module",
            )
        self._keep(charter, changes)
        for words in changes.words:
            watch.say(words)
        return changes

    def planned(self, charter: Charter) -> Changes | None:
        """Return the saved plan, None if there is none for this charter."""
        body, plan = self._private.read(PLANNED), self._private.read(PLAN)
        if body is None or plan is None:
            return None
        kept = object_of(body, PLANNED)
        try:
            changes = _restored(kept["changes"])
        except (AttributeError, KeyError, TypeError) as fault:
            raise Unreadable(f"{PLANNED} is not a plan ({type(fault).__name__}: {bounded(fault)})") from None
        return changes if kept.get("run") == charter.run and _sha256(plan) == changes.sha256 else None

    def bring_up(self, charter: Charter, changes: Changes, watch: Watch) -> Standing:
        """Apply exactly the plan; if it is stale, apply the rest of it and nothing else."""
        self._enter(charter, watch)
        plan = self._private.read(PLAN)
        if plan is not None and _sha256(plan) == changes.sha256:
            try:
                self._apply(charter, PLAN, watch)
            except TerraformFailed as fault:
                if not fault.stale:
                    raise
                self._apply_rest(charter, changes, watch)
        else:
            self._apply_rest(charter, changes, watch)
        return self.standing(charter)

    def asked_again(self, charter: Charter, _changes: Changes, _watch: Watch) -> Standing:
        """Return what exists: terraform's own state records its requests, and its destroy refreshes it."""
        return self.standing(charter)

    def standing(self, charter: Charter) -> Standing:
        """Return the resources and machines in the charter's state."""
        if not self._exists(charter):
            return Standing()
        shown = self._terraform.json(["show", "-json"], self._variables(charter), _workspace(charter))
        try:
            state = shown.get("values", {})
            resources = list(_resources(state.get("root_module", {})))
            outputs = state.get("outputs", {})
            instance_ids = next(
                (outputs[name]["value"] for name in ("instance_ids", "instance_id") if name in outputs), ()
            )
            known = {each.instance_id: each for each in _machines(each["values"] | each for each in resources)}
        except (AttributeError, KeyError, TypeError) as fault:
            raise Unreadable(f"the output of terraform show is not a state ({type(fault).__name__}: {fault})") from None
        named = [_named(name) for name in ([instance_ids] if isinstance(instance_ids, str) else list(instance_ids))]
        machines = {**{name: Machine(name) for name in named}, **known}
        # Without resources the outputs are stale: terraform keeps them until the next apply.
        return Standing(tuple(machines.values()) if resources else (), len(resources))

    # --- in -------------------------------------------------------------------------------------------------

    def fetch_kubeconfig(self, charter: Charter) -> Kubeconfig | None:
        """Save the kubeconfig of the outputs; None while the parameter that they name is empty."""
        if not self._exists(charter):
            return None
        outputs = self._terraform.json(["output", "-json"], self._variables(charter), _workspace(charter))
        if text := _output(outputs, "kubeconfig"):
            origin = "terraform's output kubeconfig"
            return self._keep_kubeconfig(text, origin, outputs, charter)
        if name := _output(outputs, "kubeconfig_parameter"):
            if not _PARAMETER.fullmatch(name):
                raise Unreadable(
                    f"terraform's output kubeconfig_parameter is not the name of a parameter: {bounded(name, 100)}"
                )
            value = self._parameter(name)
            return self._keep_kubeconfig(value, f"the parameter {name}", outputs, charter)
        if self._machine_file is not None and (machine := _output(outputs, "instance_id")):
            path = _output(outputs, "kubeconfig_path") or K3S_KUBECONFIG
            held = self._machine_file(_named(machine), path)
            return self._keep_kubeconfig(held, f"{path} on {machine}", outputs, charter)
        given = ", ".join(outputs) or "none"
        message = f"the module gives none of kubeconfig, kubeconfig_parameter, instance_id (its outputs: {given})"
        raise ActionFailed(message, hint="add one of these outputs to the module", fault="operator")

    def _keep_kubeconfig(
        self, text: str | None, origin: str, outputs: Mapping[str, Any], charter: Charter
    ) -> Kubeconfig | None:
        """Keep a kubeconfig, None for none. One that names this machine gets an address of the site's, if proven."""
        if text is None:
            return None
        own = [address for name in ("public_ip", "private_ip") if (address := _output(outputs, name))]
        return self._private.keep_kubeconfig(
            text.encode(), origin, lambda: list(dict.fromkeys([*own, *self._addresses(charter)]))
        )

    def _addresses(self, charter: Charter) -> Sequence[str]:
        """Return the addresses of the charter's machines by the state, public ones first."""
        state = self._terraform.json(["show", "-json"], self._variables(charter), _workspace(charter)).get("values", {})
        values = [
            resource["values"]
            for resource in _resources(state.get("root_module", {}))
            if resource["type"] == "aws_instance"
        ]
        return [str(machine[name]) for name in ("public_ip", "private_ip") for machine in values if machine.get(name)]

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Return the saved kubeconfig, None if there is none."""
        return self._private.held_kubeconfig()

    def allow(self, charter: Charter, watch: Watch) -> str:
        """Give the module the operator's address; if the site is already up, apply that change."""
        address = self._address()
        self._private.write(ALLOWED, address.encode())
        watch.say(f"{ADDRESS_VARIABLE} is now {address}")
        if self._private.read(PLANNED) is None and not self._exists(charter):
            return address
        self._enter(charter, watch)
        shown = self._planned(charter, PLAN, watch)
        if ADDRESS_VARIABLE not in shown["configuration"]["root_module"].get("variables", {}):
            message = f"the module declares no variable {ADDRESS_VARIABLE}, so it can't be given {address}"
            raise ActionFailed(
                message, hint=f'declare it: variable "{ADDRESS_VARIABLE}" {{ type = string }}', fault="operator"
            )
        acting = _acting(shown)
        broken = _broken(shown)
        self._refuse_more(acting, lambda change: _keeps_what_is_up(change) or change.address in broken)
        self._keep(charter, self._changes(charter, shown))
        if all(change.actions == ("update",) or _is_rule(change) for change in acting):
            self._apply(charter, PLAN, watch)
        else:
            watch.say("the new address takes effect when the rest of the site is brought up")
        return address

    # --- down -----------------------------------------------------------------------------------------------

    def tear_down(self, charter: Charter, instance_ids: Sequence[str], watch: Watch) -> None:
        """Destroy the resources in the charter's state, and its workspace; refuse if it has machines not on record."""
        self._terraform.init(watch, self._variables(charter))
        if not self._exists(charter):
            watch.say(f"the workspace {_workspace(charter)} does not exist: nothing is left to destroy")
            return
        self._enter(charter, watch)
        standing = self.standing(charter)
        if more := {machine.instance_id for machine in standing.machines} - set(instance_ids):
            raise ActionFailed(f"{', '.join(sorted(more))} of {charter.run} is not on record: nothing was changed")
        if standing.resources:
            changes = self._changes(charter, self._planned(charter, DESTROY, watch, "-destroy"), DESTROY)
            for words in changes.words:
                watch.say(words)
            self._apply(charter, DESTROY, watch)
        self._terraform.text(["workspace", "delete", _workspace(charter)], self._variables(charter))
        for name in (PLAN, DESTROY, PLANNED, ALLOWED, KUBECONFIG):
            self._private.forget(name)

    # --- how ------------------------------------------------------------------------------------------------

    def _variables(self, charter: Charter) -> Mapping[str, str]:
        allowed = self._private.read(ALLOWED)
        variables = {RUN_VARIABLE: charter.run, DRILL_VARIABLE: charter.drill}
        return variables | ({ADDRESS_VARIABLE: allowed.decode()} if allowed else {})

    def _enter(self, charter: Charter, watch: Watch) -> None:
        """Make the charter's workspace if it is missing. Every command names it: the *selected* one does not matter."""
        variables = self._variables(charter)
        self._terraform.init(watch, variables)
        if not self._exists(charter):
            self._terraform.text(["workspace", "new", _workspace(charter)], variables)
            self._terraform.text(["workspace", "select", "default"], variables)

    def _exists(self, charter: Charter) -> bool:
        variables = self._variables(charter)
        self._terraform.init(Watch(), variables)
        listed = self._terraform.text(["workspace", "list"], variables)
        return _workspace(charter) in {line.strip("* ") for line in listed.splitlines()}

    def _planned(self, charter: Charter, name: str, watch: Watch, *more: str) -> Any:
        """Make a plan in a private file; return terraform's JSON of it, which may contain secrets."""
        variables, place = self._variables(charter), self._private.home() / name
        self._terraform.run(["plan", *more, f"-out={place}"], variables, watch, _workspace(charter))
        place.chmod(0o600)
        shown = self._terraform.json(["show", "-json", str(place)], variables, _workspace(charter))
        self._terraform.hide(_sensitive(shown))
        return shown

    def _apply(self, charter: Charter, name: str, watch: Watch) -> None:
        command = ["apply", str(self._private.home() / name)]
        self._terraform.run(command, self._variables(charter), watch, _workspace(charter))

    def _apply_rest(self, charter: Charter, changes: Changes, watch: Watch) -> None:
        watch.say("the plan is stale: planning the rest again")
        left = self._planned(charter, PLAN, watch)
        shown, broken = {change.address for change in changes.changes}, _broken(left)
        acting = _acting(left)
        self._refuse_more(
            acting, lambda change: change.address in shown and (_keeps_what_is_up(change) or change.address in broken)
        )
        if acting:
            self._apply(charter, PLAN, watch)

    def _keep(self, charter: Charter, changes: Changes) -> None:
        self._private.write(PLANNED, json.dumps({"run": charter.run, "changes": asdict(changes)}, indent=2).encode())

    def _refuse_more(self, left: Sequence[Change], expected: Callable[[Change], bool]) -> None:
        if more := [change for change in left if not expected(change)]:
            unexpected = ", ".join(f"{'+'.join(change.actions)} {change.address}" for change in more)
            raise ActionFailed(
                f"the new plan has more changes than the plan that was shown: {unexpected}; nothing was applied",
                hint="plan again and check the plan, or take the site down",
            )

    def _changes(self, charter: Charter, shown: Any, name: str = PLAN) -> Changes:
        acting = _acting(shown)
        count = {verb: sum(action in change.actions for change in acting) for action, verb in _VERBS.items()}
        words = [", ".join(f"{number} to {verb}" for verb, number in count.items())]
        words += [f"{' and '.join(change.actions)} {change.address}" for change in acting]
        declared = shown["configuration"]["root_module"].get("variables", {})
        if name == PLAN and RUN_VARIABLE not in declared:
            words.append(
                f"the module declares no variable {RUN_VARIABLE}: names and tags will not contain {charter.run}"
            )
        machines = _machines(
            resource["change"]["after"] | resource for resource in shown.get("resource_changes", ()) if _new(resource)
        )
        plan = self._private.read(name) or b""
        return Changes(self._terraform.version, tuple(acting), tuple(words), _sha256(plan), tuple(machines))


def _output(outputs: Mapping[str, Any], name: str) -> str:
    """Return an output that is a string, "" if there is none. Raises Unreadable, which does not quote it."""
    output = outputs.get(name) or {}
    value = (output.get("value") or "") if isinstance(output, dict) else output
    if not isinstance(value, str):
        raise Unreadable(f"terraform's output {name} is not a string", hint=f"make the module's output {name} a string")
    return value


def _named(name: object) -> str:
    """Return a machine's id from an output. Raises Unreadable."""
    if not isinstance(name, str) or not _MACHINE.fullmatch(name):
        raise Unreadable(f"terraform's output instance_ids has an invalid machine id: {bounded(name, 100)}")
    return name


def _workspace(charter: Charter) -> str:
    if charter.run == "default" or not _WORKSPACE.match(charter.run):
        raise UsageFault(
            f"{charter.run!r} can't name a terraform workspace", hint="use letters, digits, dots and dashes"
        )
    return charter.run


def _acting(shown: Any) -> list[Change]:
    changes = (
        (resource["address"], tuple(resource["change"]["actions"])) for resource in shown.get("resource_changes", ())
    )
    return [Change(address, actions) for address, actions in changes if actions not in (("no-op",), ("read",))]


def _broken(shown: Any) -> set[str]:
    """Return the addresses of tainted resources: they came up incompletely and will be replaced."""
    changes = shown.get("resource_changes", ())
    return {change["address"] for change in changes if change.get("action_reason") == "replace_because_tainted"}


def _keeps_what_is_up(change: Change) -> bool:
    """Return whether a change destroys nothing that is up. Ingress rules may be replaced: that is how they change."""
    return "delete" not in change.actions or (_is_rule(change) and "create" in change.actions)


def _is_rule(change: Change) -> bool:
    return any("security_group" in part for part in change.address.split("."))


def _new(change: Any) -> bool:
    return "create" in change["change"]["actions"]


def _resources(module: Any) -> Iterator[Any]:
    yield from (resource for resource in module.get("resources", ()) if resource.get("mode") == "managed")
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _machines(resources: Iterator[Any]) -> Iterator[Machine]:
    for resource in resources:
        if resource["type"] == "aws_instance":
            sizes = [disk.get("volume_size") for disk in resource.get("root_block_device") or ()]
            disk_gb = sum(sizes) if sizes and all(sizes) else None
            state = resource.get("instance_state") or ""
            yield Machine(resource.get("id") or "", state, resource.get("instance_type") or "", disk_gb)


def _sensitive(shown: Any) -> Iterator[str]:
    """Yield the values of variables and outputs that the module calls sensitive."""
    declared = shown["configuration"]["root_module"].get("variables", {})
    for name, variable in shown.get("variables", {}).items():
        if declared.get(name, {}).get("sensitive") and isinstance(variable.get("value"), str):
            yield variable["value"]
    for output in shown.get("planned_values", {}).get("outputs", {}).values():
        if output.get("sensitive") and isinstance(output.get("value"), str):
            yield output["value"]


def _restored(kept: Mapping[str, Any]) -> Changes:
    return Changes(
        kept["tool"],
        tuple(Change(change["address"], tuple(change["actions"])) for change in kept["changes"]),
        tuple(kept["words"]),
        kept["sha256"],
        tuple(Machine(**machine) for machine in kept["machines"]),
    )


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def module_at(directory: Path) -> Path:
    """Return a directory with a module in it. Raises UsageFault."""
    if not any(directory.glob("*.tf")) and not any(directory.glob("*.tf.json")):
        raise UsageFault(f"{directory} contains no terraform module (*.tf)", hint="--terraform-dir DIRECTORY")
    return directory.absolute()
