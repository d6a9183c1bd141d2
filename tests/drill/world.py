"""One sandbox before any disaster, and drills on it that a test can meddle with between any two steps.

``Drill`` is one run, wired as the CLI wires it (the real adapters, the journal on disk and its mirror, the children,
the derived files), with the inputs that the CLI makes of a command line; each verb opens the journal anew, as another
process would. ``when`` hooks a deed onto a record of the journal; a deed that raises ``Killed`` is a power cut there.
Whatever a test did to the canonical part of the bucket is put back, and every drill is held against the audit.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from drfsm.adapters.ec2 import RUN_TAG
from drfsm.adapters.fenced import fenced
from drfsm.adapters.file_journal import LOG, FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.s3_lease import S3Lease
from drfsm.cli import drill as command
from drfsm.cli import drill_inputs
from drfsm.dr.backup.archive import MANIFESTS, packed, unpacked
from drfsm.dr.procedures.bindings import binding, with_defaults
from drfsm.engine import Binding, Runner
from drfsm.engine.runner import new_run_id
from drfsm.evidence.audit import audit
from drfsm.evidence.standing import standing
from drfsm.journal import Record, RunState
from drfsm.resources import shipped
from drfsm.runs import earlier_drills
from drfsm.runs.children import ChildRuns, Verbs
from drfsm.runs.clusters import kubeconfig_of
from drfsm.runs.derived_files import DrillFiles
from drfsm.runs.fetching import fetch_into
from drfsm.runs.invocation import Invocation
from drfsm.runs.mirrors import own_prefix
from drfsm.runs.summary_files import SummaryFiles
from drfsm.runs.wiring import resume_child, start_child
from drfsm.runs.world import connect
from drfsm.sandbox import Sandbox
from drfsm.spec import MachineSpec, load_machine
from tests.direct_store import Bucket
from tests.safety.world import Clock, Killed

TEXT = (shipped("machines") / "drill.yaml").read_bytes()
SPEC = load_machine(TEXT, source="drill.yaml")
Deed = Callable[[], object]


class Site(Bucket):
    """The sandbox, and the hands of everybody but drfsm on it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__(sandbox.cloud, sandbox.bucket)
        self.prefix, self.backup_uri = sandbox.prefix, sandbox.backup_uri
        self.ec2 = sandbox.cloud.client("ec2")
        assert sandbox.runners is not None
        self.runners = sandbox.runners
        self.seeded = self.canonical()

    # --- the bucket -------------------------------------------------------------------------------------------

    def outside(self, run_id: str) -> dict[str, str]:
        """Return all that is not a drill's own."""
        return {k: e for k, e in self.etags().items() if not k.startswith(f"{self.prefix}/drills/{run_id}/")}

    def canonical(self) -> dict[str, bytes]:
        """Return everything that no drill may touch."""
        return {key: self.body(key) for key in self.etags() if not key.startswith(f"{self.prefix}/drills/")}

    def own(self, cluster_uid: str = "somebody's", site: str = "dr") -> None:
        """Let a site own the pointers."""
        body = {"schema_version": 1, "site": site, "cluster_uid": cluster_uid, "epoch": 1, "run": "x", "nonce": "x"}
        self.put(f"{self.prefix}/drfsm/ownership.json", json.dumps(body).encode())

    def backup(self, name: str) -> str:
        """Copy the seeded backup under another name; return its URI."""
        home = self.backup_uri.removeprefix(f"s3://{self.bucket}/")
        for key in self.etags(f"{home}/"):
            body = self.body(key)
            if key.endswith("metadata.json"):
                body = body.replace(home.rpartition("/")[2].encode(), name.encode())
            self.put(f"{self.prefix}/backups/{name}/{key.rpartition('/')[2]}", body)
        return f"s3://{self.bucket}/{self.prefix}/backups/{name}"

    def hostile_backup(self, name: str) -> str:
        """Copy the seeded backup so that its Deployment sees the node's processes; every checksum holds."""

        def see_the_nodes_processes(deployment: Any) -> None:
            deployment["spec"]["template"]["spec"]["hostPID"] = True

        return self._changed_backup(name, "deployment.", see_the_nodes_processes)

    def backup_with_a_claim(self, name: str, *, claim: str = "jobintel-state", read_only: bool = False) -> str:
        """Copy the seeded backup so that its CronJob writes its state to a claim, which its metadata name as saved."""

        def mount_a_claim(cronjob: Any) -> None:
            pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            for volume in (volume for volume in pod["volumes"] if "emptyDir" in volume):
                volume["persistentVolumeClaim"] = {"claimName": "jobintel-state"}
                del volume["emptyDir"]
            for mount in (mount for container in pod["containers"] for mount in container["volumeMounts"]):
                mount["readOnly"] = read_only

        return self._changed_backup(name, "cronjob.", mount_a_claim, state={"claim": claim})

    def _changed_backup(self, name: str, of: str, change: Callable[[Any], None], **fields: Any) -> str:
        """Copy the seeded backup with one object, and fields of its metadata, changed; every checksum holds."""
        uri, home = self.backup(name), f"{self.prefix}/backups/{name}"
        files = unpacked(MANIFESTS, self.body(f"{home}/{MANIFESTS}"))
        path = next(path for path in files if of in path)
        manifest = json.loads(files[path])
        change(manifest)
        raw = packed({**files, path: json.dumps(manifest).encode()})
        metadata = json.loads(self.body(f"{home}/metadata.json"))
        metadata["checksums"][MANIFESTS], metadata["sizes"][MANIFESTS] = hashlib.sha256(raw).hexdigest(), len(raw)
        self.put(f"{home}/{MANIFESTS}", raw)
        self.put(f"{home}/metadata.json", json.dumps({**metadata, **fields}).encode())
        return uri

    # --- the machines -----------------------------------------------------------------------------------------

    def alive(self) -> dict[str, str]:
        """Return every machine that isn't terminated: id -> the drfsm run that it carries, or ""."""
        found = (each for page in self.ec2.describe_instances()["Reservations"] for each in page["Instances"])
        return {
            each["InstanceId"]: {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())}.get(RUN_TAG, "")
            for each in found
            if each["State"]["Name"] != "terminated"
        }

    def cluster(self, run_id: str) -> Any:
        """Return the cluster of a drill's machine."""
        (instance,) = [each for each, run in self.alive().items() if run == run_id]
        return self.runners.clusters[instance]

    # --- back to the start --------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Put everything back as it was seeded."""
        self.runners.boots, self.runners.guarded = True, False
        self.put_back(self.seeded)
        for each in self.alive():
            self.ec2.modify_instance_attribute(InstanceId=each, DisableApiTermination={"Value": False})
            self.ec2.terminate_instances(InstanceIds=[each])


@define
class Drill:
    """One run, driven in this process."""

    site: Site
    directory: Path
    argv: tuple[str, ...]
    text: bytes = TEXT  # the declaration that the run is pinned to
    id: str = field(factory=lambda: new_run_id("drill"))
    inputs: dict[str, Any] = field(factory=dict)
    clock: Clock = field(factory=Clock)
    said: list[str] = field(factory=list)
    state: RunState = field(factory=RunState)
    records: tuple[Record, ...] = ()
    runner: Runner | None = None
    _hooks: list[tuple[Callable[[Record], bool], Deed]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Make the inputs as the CLI does."""
        given = dict(command.drill.make_context("drill", list(self.argv)).params)
        earlier = earlier_drills.earlier_in(given["receipt_dir"])
        drill_inputs.settle(given, earlier)
        self.inputs = drill_inputs.inputs_of(given, earlier, self.id)
        self.directory.mkdir(parents=True)
        earlier_drills.copy_private_files(earlier, self.directory)

    # --- meddling -----------------------------------------------------------------------------------------------

    def when(self, kind: str, trigger: str, deed: Deed) -> None:
        """Do something once, when a record of a kind for a trigger is written (a commit: before the next step)."""
        self._hooks.append((lambda each: each.kind == kind and trigger == _trigger(each), deed))

    def kill_at(self, kind: str, trigger: str) -> None:
        """Cut the power when such a record is written."""
        self.when(kind, trigger, _killed)

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""
        assert self.runner is not None
        self.runner.interrupt()

    def _heard(self, record: Record, _state: RunState) -> None:
        for each in list(self._hooks):
            fits, deed = each
            if fits(record):
                self._hooks.remove(each)
                deed()

    # --- the verbs ------------------------------------------------------------------------------------------------

    def start(self) -> RunState:
        """Start it and drive it as far as it goes."""
        return self._verb(lambda runner: runner.start(self.inputs, run_id=self.id, scope="drill"), fresh=True)

    def resume(self) -> RunState:
        """Go on."""
        return self._verb(lambda runner: runner.resume())

    def abort(self) -> RunState:
        """Give it up."""
        return self._verb(lambda runner: runner.abort("the test wants it"))

    def request(self, trigger: str, **args: Any) -> RunState:
        """Fire an operator's row."""
        return self._verb(lambda runner: runner.request(trigger, {"reason": "the test wants it", **args}))

    def killed(self, verb: Callable[[], object]) -> None:
        """Do something that must end in a power cut."""
        try:
            verb()
        except Killed:
            return
        raise AssertionError("it was to be killed, and was not")

    def _verb(self, act: Callable[[Runner], RunState], *, fresh: bool = False) -> RunState:
        spec = load_machine(self.text, source="drill.yaml")
        (self.directory / "drill.yaml").write_bytes(self.text)
        made, _ = connect(with_defaults("drill", self.inputs), "", self.directory, self.id)
        world = evolve(made, store=self.site.store)
        lease = S3Lease(world.store, own_prefix(self.inputs), bundle=str(self.directory.resolve()))
        children = ChildRuns(
            self.directory, self.id, Invocation("ann"), kubeconfig_of(self.inputs, self.directory),
            Verbs(start_child, resume_child, fetch_into),
        )  # fmt: skip
        with FileJournal(self.directory, fresh=fresh) as local:
            journal = MirroredJournal(local, world.store, own_prefix(self.inputs), self.id, self.text)
            if not fresh:
                lease.look()
                journal.catch_up(lambda _lines: None)
            files = DrillFiles(spec, self.directory, local.lines, journal.uri, world.store)
            begun_by_an_older_one = fresh and spec.sha256 != SPEC.sha256
            bound = _binding_of(spec) if begun_by_an_older_one else binding("drill")
            self.runner = Runner(
                spec, bound, fenced(evolve(world, procedures=children), lease), journal, lease=lease,
                clock=self.clock, on_record=[SummaryFiles(self.directory, spec, journal), files],
                say=lambda words, **_: self.said.append(words), operator="ann", host="here",
            )  # fmt: skip
            self.runner._log._on_record += (_Deeds(self),)
            try:
                self.state = act(self.runner)
            finally:
                self.state, self.records = self.runner.state, tuple(local.records())
        return self.state

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def reached(self) -> list[str]:
        """Every state that was reached, in order."""
        return [each.body["to"] for each in self.records if each.kind == "commit"]

    @property
    def words(self) -> str:
        """What an operator reads: `drfsm status`."""
        return "\n".join(standing(self.state, str(self.directory)))

    def of(self, kind: str, trigger: str = "") -> list[Mapping[str, Any]]:
        """Return the bodies of all records of a kind."""
        return [e.body for e in self.records if e.kind == kind and trigger in ("", _trigger(e))]

    def file(self, path: str) -> Any:
        """Return a JSON file of the bundle."""
        return json.loads((self.directory / path).read_bytes())

    def phase(self, name: str) -> Any:
        """Return a phase's receipt."""
        return self.file(f"phases/{name}.receipt.json")

    @property
    def own(self) -> list[str]:
        """The drill's own machines that are still there."""
        return [each for each, run in self.site.alive().items() if run == self.id]

    def close(self) -> None:
        """Hold what every drill must hold: the audit finds nothing, and no secret lies in the bundle's open files."""
        if not self.records:
            return
        spec = load_machine(self.text, source="drill.yaml")
        bound = binding("drill")
        verdict = audit((self.directory / LOG).read_bytes(), spec, judges=bound.judges, late=bound.late)
        assert verdict.ok, "\n".join(verdict.lines())
        assert not list(self.leaks())

    def leaks(self) -> Iterator[str]:
        """Yield every open file of the bundle that holds a secret: keys of identities, tokens of kubeconfigs."""
        secrets = [body for cluster in (self.site.sandbox.dr, self.site.sandbox.primary) for body in _secrets(cluster)]
        private = self.directory / "private"
        secrets += [_token(each.read_text()) for each in private.glob("*kubeconfig*")]
        for each in self.directory.rglob("*"):
            if each.is_file() and private not in each.parents:
                raw = each.read_bytes()
                yield from (str(each) for secret in secrets if secret and secret.encode() in raw)


class _Deeds:
    """The subscriber that does a test's deeds. What a deed raises ends the process, as a power cut does."""

    def __init__(self, run: Drill) -> None:
        self._run = run

    def __call__(self, record: Record, state: RunState) -> None:
        """Do what waits for this record."""
        self._run._heard(record, state)


def _binding_of(spec: MachineSpec) -> Binding:
    """Return the binding that the version had whose declaration this is: what it names, by today's code."""
    today = binding("drill")
    names = {name for row in spec.rows for name in (row.action, row.undo, row.attempts.repair) if name}
    facts = {name: today.facts[name] for name, fact in spec.facts.items() if not fact.hidden}
    return evolve(today, facts=facts, actions={name: today.action(name) for name in names}, former_actions={})


def _killed() -> None:
    raise Killed


def _trigger(record: Record) -> str:
    row = str(record.body.get("row", ""))
    return str(record.body.get("trigger") or row.partition(" --")[2].partition("-->")[0])


def _secrets(cluster: Any) -> Iterator[str]:
    import base64

    for secret in cluster.store.list("secrets")[0]:
        for name, value in (secret.get("data") or {}).items():
            if "SECRET" in name:
                yield base64.b64decode(value).decode()
    yield _token(cluster.kubeconfig.read_text())


def _token(kubeconfig: str) -> str:
    return kubeconfig.partition("token: ")[2].split("\n")[0].strip()


@contextmanager
def environment(**wanted: str) -> Iterator[None]:
    """Have these variables in the environment for a while."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def until(told: str, holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it took too long: {told}"
        time.sleep(0.02)
