"""The demo of a workload that serves: outage, promote, failback, with names, gates and canaries (`make demo-ui`).

It runs drfsm's own commands as processes on a sandbox of its own, as demo.py does. What users see is asked of the name
servers and of both sites' HTTPS servers, by address and with TLS verified, beside drfsm. ``Watch`` looks all the while
at the name and at the active-site document, so what is said of "once" was seen from outside, not read in a log.
``drfsm sandbox demo --endpoints`` calls it. It raises DrfsmError if a step does not end as it must.
"""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from attrs import define, field

from drfsm.adapters.dns_names import DnsNames
from drfsm.adapters.https import HttpsDoors
from drfsm.dr import workload
from drfsm.errors import DrfsmError, ExitCode, Unreachable
from drfsm.sandbox.demo_shell import Say, Shell, Stop, begun, chapter, done, first_match, must, records
from drfsm.sandbox.lifecycle import State, down, environment, up
from drfsm.sandbox.seed import Options
from drfsm.world import Door, ObjectStore

FOLDERS = ("sandbox", "home", "promote", "failback")
PLACE = ("--bucket", "$BUCKET", "--prefix", "$PREFIX", "--workload", "$WORKLOAD")
BOTH = ("--kubeconfig-dr", "$KUBECONFIG_DR", "--kubeconfig-primary", "$KUBECONFIG_PRIMARY")
LOOK_SECONDS, SETTLE_SECONDS = 0.05, 0.5
SECONDS = 5.0
QUEUE, MACHINE, ASKS = "drfsm-demo-questions", "drfsm-demo-promote", "RequestManualApproval"
_NAMES = {"primary": "the primary", "dr": "DR"}


def tell(directory: Path, say: Say) -> Path:
    """Run the demo in a directory of its own; return the failback's bundle."""
    directory = directory.resolve()
    down(directory / "sandbox")
    for folder in FOLDERS:
        shutil.rmtree(directory / folder, ignore_errors=True)
    chapter(say, "Two sites that serve. Users are led to the primary, and it takes their writes")
    say("$ drfsm sandbox up --canonical primary --endpoints weighted")
    options = Options(pods_sleep_seconds=1, canonical="primary", endpoints="weighted", runner=False)
    state = up(directory / "sandbox", options)
    try:
        ours = {"DRFSM_HOME": str(directory / "home"), "DRFSM_SANDBOX_DIR": str(directory / "sandbox")}
        ours["DRFSM_CONFIG"] = "none"  # whatever lies above this directory is of other sites
        environ = {**environment(directory / "sandbox"), **ours}
        with _environment(environ), Watch(Users.of(state), state) as watch:
            _story(_Stage(Shell(dict(os.environ), say), directory, say, watch, Executions(state)))
    finally:
        down(directory / "sandbox")
    return directory / "failback"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# --- what is seen from outside ---------------------------------------------------------------------------


@define
class Users:
    """Those who use the workload: each asks a name server, then that address, with TLS verified."""

    endpoint: workload.Endpoint
    stale: str = ""  # the address that a client keeps which never asks again
    writes: int = 0

    @classmethod
    def of(cls, state: State) -> Self:
        """Return the users of a sandbox's one endpoint."""
        (endpoint,) = workload.read(Path(state.workload).read_bytes()).endpoints.values()
        users = cls(endpoint)
        users.stale = users.address()
        return users

    def address(self) -> str:
        """Return where the first name server leads."""
        answer = DnsNames(SECONDS).answer(self.endpoint.name_servers[0], self.endpoint.host, self.endpoint.type)
        return ", ".join(answer.values)

    def site(self, address: str) -> str:
        """Return whose address it is."""
        return next((site for site in _NAMES if self.endpoint.site(site).address == address), address)

    def write(self, address: str) -> tuple[int, str]:
        """Write at an address; return the status (0 where nobody answers) and the answer."""
        self.writes += 1
        door = Door(address, self.endpoint.port, self.endpoint.host, self.endpoint.ca)
        headers = {"Idempotency-Key": f"user-{self.writes}", "Content-Type": "application/json"}
        body = json.dumps({"note": f"a user's write {self.writes}"}).encode()
        try:
            reply = HttpsDoors().send(door, "POST", "/items", headers=headers, body=body, seconds=SECONDS)
        except Unreachable:
            return 0, "no answer"
        return reply.status, reply.body.decode(errors="replace").strip()

    def items(self, site: str) -> list[str]:
        """Return the idempotency keys of what a site has."""
        address = self.endpoint.site(site).address
        door = Door(address, self.endpoint.port, self.endpoint.host, self.endpoint.ca)
        listed = json.loads(HttpsDoors().read(door, "/items", seconds=SECONDS).body)
        return [str(item["mark"]) for item in listed["items"]]


@define
class Watch:
    """Looks at the name and at the active-site document all the while, and keeps each change that it sees."""

    users: Users
    state: State
    addresses: list[str] = field(factory=list)
    documents: list[Mapping[str, Any]] = field(factory=list)
    store: ObjectStore = field(init=False)
    _stopped: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the thread; ``with`` starts it."""
        from drfsm.adapters import aws

        self.store = aws.connect(bucket=self.state.bucket, endpoint_url=self.state.endpoint).store
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        """Start looking."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking."""
        self._stopped.set()
        self._thread.join()

    def document(self) -> Mapping[str, Any]:
        """Return the active-site document as it is now."""
        key = f"{self.state.prefix}/drfsm/active.json"
        blob = self.store.get(key)
        document: Mapping[str, Any] = json.loads(blob.body if blob else b"{}")
        return document

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                address, document = self.users.address(), self.document()
            except (DrfsmError, OSError, ValueError):
                continue
            if address != next(iter(self.addresses[-1:]), ""):
                self.addresses.append(address)
            if not self.documents or document["epoch"] != self.documents[-1]["epoch"]:
                self.documents.append(document)


@define
class Executions:
    """The account's Step Functions: an orchestrator that asks a person, as the original's does."""

    state: State

    def _client(self, service: str) -> Any:
        from drfsm.sandbox.cloud import client_at

        return client_at(self.state.endpoint, service)

    def start(self) -> str:
        """Start an execution that waits for a manual approval; return its ARN."""
        queue_url = self._client("sqs").create_queue(QueueName=QUEUE)["QueueUrl"]
        body = {"task_token.$": "$$.Task.Token", "execution_id.$": "$$.Execution.Id"}
        asks = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue_url, "MessageBody": body},
            "Next": "Promote",
        }
        definition = {"StartAt": ASKS, "States": {ASKS: asks, "Promote": {"Type": "Pass", "End": True}}}
        role = self.state.primary_role.rpartition(":")[0] + ":role/orchestrator"
        machine = self._client("stepfunctions").create_state_machine(
            name=MACHINE, definition=json.dumps(definition), roleArn=role
        )["stateMachineArn"]
        started = self._client("stepfunctions").start_execution(stateMachineArn=machine, name=uuid4().hex, input="{}")
        return str(started["executionArn"])

    def status(self, arn: str) -> str:
        """Return an execution's status."""
        return str(self._client("stepfunctions").describe_execution(executionArn=arn)["status"])


# --- the story -------------------------------------------------------------------------------------------


@define
class _Stage:
    shell: Shell
    directory: Path
    say: Say
    watch: Watch
    executions: Executions

    @property
    def users(self) -> Users:
        return self.watch.users

    def users_write(self, wanted: int) -> None:
        """Let a user ask for the name and write there."""
        address = self.users.address()
        self.say(f"  a name server says: {self.users.endpoint.host} is {address} ({self.users.site(address)})")
        self._write(address, wanted)

    def stale_writes(self, wanted: int) -> None:
        """Let the client write whose cache never expires."""
        self.say(f"  a client that never asks again still has {self.users.stale} ({self.users.site(self.users.stale)})")
        self._write(self.users.stale, wanted)

    def _write(self, address: str, wanted: int) -> None:
        status, said = self.users.write(address)
        self.say(f"  POST https://{self.users.endpoint.host}/items at {address}: {status or ''} {said}")
        must(status == wanted, f"a write at {address} was to be answered with {wanted}, and was with {status}")

    def dashboard(self) -> None:
        """Publish the dashboard, and show what it says."""
        self.shell.must(["dashboard", "publish", *PLACE, *self.kubeconfigs])

    @property
    def kubeconfigs(self) -> tuple[str, ...]:
        is_out = (self.directory / "sandbox/outages/primary").exists()
        return BOTH[:2] if is_out else BOTH


def _story(stage: _Stage) -> None:
    stage.users_write(201)
    stage.dashboard()
    run_id = _promote(stage)
    _zombie(stage)
    _failback(stage, run_id)
    chapter(stage.say, "What happened, and was it allowed? From the logs alone, offline")
    for bundle in ("promote", "failback"):
        stage.shell.must(["replay", str(stage.directory / bundle), "--quiet"])


def _promote(stage: _Stage) -> str:
    """Lose the primary and let DR take over; return the run that is canonical then."""
    shell, bundle = stage.shell, stage.directory / "promote"
    chapter(stage.say, "DISASTER: the primary answers no more, neither its cluster nor its users' server")
    shell.must(["sandbox", "outage", "primary"])
    stage.users_write(0)
    chapter(stage.say, "The orchestrator's execution asks a person. The promote is begun for it, and waits")
    arn = stage.executions.start()
    shell.know("EXECUTION", arn)
    code = shell.run([
        "promote", *PLACE, "--kubeconfig-dr", "$KUBECONFIG_DR", "--primary-unreachable", "--reason",
        "its region is out", "--fence-primary-role", "$PRIMARY_ROLE", "--fence-dr-role", "$DR_ROLE",
        "--execution-arn", "$EXECUTION", "--receipt-dir", str(bundle),
    ])  # fmt: skip
    must(code == ExitCode.HELD, f"the promote was to wait for an approval, and ended with {code}")
    plan = first_match(r"--plan ([0-9a-f]{64})", shell.said)
    stage.dashboard()
    chapter(stage.say, "A person approves through the execution. The process is killed while it moves the name")
    approve = ["approve", "--execution-arn", "$EXECUTION", "--ticket", "CHG-2042", "--plan", plan, "--operator", "ada"]
    _through_two_kills(stage, bundle, approve, "dr")
    stage.say(f"  the execution is {stage.executions.status(arn)}")
    stage.users_write(201)
    stage.dashboard()
    return str(next(iter(records(bundle)))["body"]["inputs"]["dr_run_id"])


def _through_two_kills(stage: _Stage, bundle: Path, command: list[str], site: str) -> None:
    """Run a command that is killed at the record change; resume, killed at the new gate; resume."""
    before = len(stage.watch.documents), len(stage.watch.addresses)
    stage.shell.cut(command, _cut_at(bundle, "move_endpoints", lambda: stage.users.site(stage.users.address()) == site))
    led_to = stage.users.site(stage.users.address())
    stage.say(f"  the name leads to {_NAMES[led_to]}; {_on_record(bundle, 'move_endpoints')}")
    chapter(stage.say, "Resumed, and killed again while it opens the write gate of the new site")
    gate = f"open_{site}_gate"
    stage.shell.cut(["resume"], _cut_at(bundle, gate, lambda: _is_open(stage.watch, site)))
    document = stage.watch.document()
    said = f"the active-site document says {document['site']}, writes {document['writes']}"
    stage.say(f"  {said}; {_on_record(bundle, gate)}")
    stage.shell.must(["status"])
    chapter(stage.say, "Resumed once more. Nothing is done twice")
    stage.shell.must(["resume"])
    _changed_once(stage, *before, site)


def _on_record(bundle: Path, trigger: str) -> str:
    return f"{trigger} is {'begun, and nothing more is' if begun(bundle, trigger) else 'done, and that is'} on record"


def _cut_at(bundle: Path, trigger: str, is_done: Callable[[], bool]) -> Stop:
    """Return a stop once a trigger's change is seen from outside; at the latest right after it is on record."""

    def when() -> bool:
        return is_done() if begun(bundle, trigger) else done(bundle, trigger)

    return Stop(when)


def _is_open(watch: Watch, site: str) -> bool:
    document = watch.document()
    return (document["site"], document["writes"]) == (site, "open")


def _changed_once(stage: _Stage, documents_before: int, addresses_before: int, site: str) -> None:
    """Say what the watch saw since it had seen so many: the name moved once, and each part of the document once."""
    time.sleep(SETTLE_SECONDS)
    addresses, documents = stage.watch.addresses[addresses_before - 1 :], stage.watch.documents[documents_before - 1 :]
    stage.say(f"  seen all the while, at the name server: {' -> '.join(addresses)}")
    said = " -> ".join(f"{entry['site']} {entry['writes']} (epoch {entry['epoch']})" for entry in documents)
    stage.say(f"  in the active-site document: {said}")
    must([stage.users.site(address) for address in addresses[1:]] == [site], f"the name was to move to {site}, once")
    epochs = [int(entry["epoch"]) for entry in documents]
    must(epochs == list(range(epochs[0], epochs[0] + 4)), "gate and site were to change three times, once each")


def _zombie(stage: _Stage) -> None:
    chapter(stage.say, "The primary comes back, and believes that it is still in charge. A client still writes to it")
    stage.shell.must(["sandbox", "outage", "primary", "--end"])
    stage.stale_writes(503)


def _failback(stage: _Stage, run_id: str) -> None:
    shell, bundle = stage.shell, stage.directory / "failback"
    chapter(stage.say, "Failback. The records' TTL is lowered first, and caches are waited for: five minutes")
    shell.know("DR_RUN_ID", run_id)
    failback = [
        "failback", *PLACE, "--dr-run-id", "$DR_RUN_ID", *BOTH, "--image-ref", "$IMAGE_REF", "--confirm1", "FAILBACK",
        "--confirm2", "CONFIRM-$DR_RUN_ID", "--receipt-dir", str(bundle),
    ]  # fmt: skip
    waits = Stop(lambda: _stands_in(bundle, "endpoint_ttl_lowered"), signal.SIGINT, "^C      # nobody waits in a demo")
    code = shell.run(failback, stop=waits)
    must(code == ExitCode.INTERRUPTED, f"the failback was to wait for caches, and ended with {code}")
    chapter(stage.say, "Here a person says that nobody waits. The process is killed while it moves the name back")
    skip = ["request", "skip_cache_wait", "--reason", "a demo has no users with old caches"]
    _through_two_kills(stage, bundle, skip, "primary")
    stage.users_write(201)
    kept = [key for key in stage.users.items("primary") if key.startswith("user-")]
    stage.say(f"  the primary has every write that any site acknowledged: {', '.join(sorted(kept))}")
    must({"user-1", "user-3"} <= {*kept}, "an acknowledged write is missing")
    stage.dashboard()


def _stands_in(bundle: Path, state: str) -> bool:
    entered = records(bundle, f'"to":"{state}"')
    return any(entry["kind"] == "commit" for entry in entered)
