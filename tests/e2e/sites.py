"""A whole world for each test: a seeded sandbox, drfsm as a real process, and a wire that can kill it.

The wire stands between drfsm and S3. Every record of the journal that matters passes it (the journal is
mirrored there), and so does every move of a pointer: a test says at which request the process is to die,
before the request reaches S3 or after it did. So the process is killed by SIGKILL at an exact place,
without a line of code in drfsm that knows of it. It can be stopped by SIGSTOP there as well, as a laptop is
that is shut, and woken up later. What goes to a cluster passes no wire: there the cluster itself hangs on the
request, before it carries it out or after, and the process is killed while it waits for the answer.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator

from drfsm.dr.sites.schedules import EPOCH
from drfsm.resources import shipped
from drfsm.sandbox import Options, Sandbox
from tests.starter import Command

WHOLE = 240  # seconds that any one command may take
SLOW = 0.5  # seconds that a cluster takes its time, for somebody to fall asleep meanwhile
GATE = 20  # seconds that a request waits for another one


def drfsm_on_path(directory: Path) -> str:
    """Return a PATH on which ``drfsm`` is the one under test."""
    shim = directory / "bin" / "drfsm"
    if not shim.exists():
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m drfsm "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    return f"{shim.parent}{os.pathsep}{os.environ['PATH']}"


class Request(NamedTuple):
    """What passes the wire: the method, the object's key, and the body."""

    method: str
    key: str
    body: bytes

    @property
    def record(self) -> Mapping[str, Any]:
        """The journal's record that this request writes; {} for any other request."""
        if self.method != "PUT" or "/drfsm/runs/" not in self.key or not self.key.endswith(".json"):
            return {}
        found: Mapping[str, Any] = json.loads(self.body)
        return found if "kind" in found else {}


Deadly = Callable[[Request], str]
"""Says ``before`` or ``after`` where the process is to die, else "". It may also be stopped by SIGSTOP there
(``stop-before``, ``stop-after``), or get another signal (``SIGINT-before``); its connection may break (``lose-…``,
as often as it is said), or its request wait at a gate for another one (``gate-…``, likewise)."""


class OnCluster(NamedTuple):
    """A place to die at: the first request to a site's cluster that fits, before it is carried out or after."""

    site: str
    method: str
    path: str  # searched for in the request's path
    when: str


Place = Deadly | OnCluster


class Wire:
    """A proxy in front of S3 that kills whoever it is told to, once."""

    def __init__(self, endpoint: str) -> None:
        self.deadly: Deadly = lambda _request: ""
        self.victim: Command | None = None
        self.seen: list[Request] = []
        self.passed: list[Request] = []  # those that reached S3
        self.stopped, self.woken = threading.Event(), threading.Event()
        self.gate = threading.Barrier(2)
        self._lock = threading.Lock()
        target = urlsplit(endpoint).netloc
        wire = self

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    raise AssertionError("the wire reads no chunked bodies")
                key = unquote(urlsplit(self.path).path.lstrip("/")).partition("/")[2]
                request = Request(self.command, key, _plain(body, self.headers.get("Content-Encoding") or ""))
                when = wire._ask(request)
                if wire._ends(when, "before"):
                    self.close_connection = True
                    return
                wire.passed.append(request)
                upstream = http.client.HTTPConnection(target, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                upstream.request(self.command, self.path, body=body, headers=headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if wire._ends(when, "after"):
                    self.close_connection = True
                    return
                self._answer(answer, content)

            def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815  http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing: whoever was killed leaves broken connections behind."""

        self._server = Server(("127.0.0.1", 0), Passing)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _ask(self, request: Request) -> str:
        with self._lock:
            self.seen.append(request)
            when = self.deadly(request)
            if when and not when.startswith(("lose", "gate")):
                self.deadly = lambda _request: ""
            return when

    def _ends(self, when: str, moment: str) -> bool:
        """Do what is to be done at this moment of a request; return whether it ends here."""
        what, _, named = ("kill-" * (when in ("before", "after")) + when).partition("-")
        if named != moment:
            return False
        if what.startswith("SIG"):
            assert self.victim is not None
            self.victim.send_signal(signal.Signals[what])
        {"kill": self.kill, "stop": self.pause, "gate": self._meet}.get(what, lambda: None)()
        return what in ("kill", "lose")

    def _meet(self) -> None:
        with suppress(threading.BrokenBarrierError):
            self.gate.wait(GATE)

    def kill(self) -> None:
        """Kill the process that is served just now."""
        assert self.victim is not None
        self.victim.send_signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process as if its machine slept, and keep its request until somebody wakes it up."""
        assert self.victim is not None
        self.victim.send_signal(signal.SIGSTOP)
        self.stopped.set()
        self.woken.wait(WHOLE)

    def wake(self) -> None:
        """Let the process that was stopped go on, and its request."""
        assert self.victim is not None
        self.victim.send_signal(signal.SIGCONT)
        self.woken.set()

    def stop(self) -> None:
        """Stop serving."""
        self.woken.set()
        self._server.shutdown()
        self._server.server_close()


def _plain(body: bytes, encoding: str) -> bytes:
    """Return a body without the chunks of AWS's trailing checksums."""
    if "aws-chunked" not in encoding:
        return body
    plain, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            break
        plain, rest = plain + rest[:length], rest[length + 2 :]
    return plain


class Told(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> Any:
        """The summary that it printed with ``-o json``; `status` says beside it that there is no other run."""
        shown: dict[str, Any] = json.loads(self.out)
        assert shown.pop("other_runs", []) == [], "each test has its own computer, with one run"
        return shown


def _notes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return an object's annotations, without the one that only makes late writes fail: it may stay."""
    return {name: text for name, text in (manifest["metadata"].get("annotations") or {}).items() if name != EPOCH}


SECOND = "jobintel-weekly"
"""A second CronJob, so that an action has a middle."""


class Site:
    """A sandbox with a wire, and drfsm's commands on it, from one machine."""

    def __init__(self, sandbox: Sandbox, directory: Path, *, wire: Wire | None = None) -> None:
        self.sandbox, self.directory = sandbox, directory
        self.wire = wire or Wire(sandbox.cloud.endpoint)
        self.bundle = directory / "bundle"
        self.home = directory / "home"
        self.s3 = sandbox.cloud.client("s3")
        self._processes: list[Command | subprocess.Popen[str]] = []
        self._bundles = 0

    def fresh(self) -> None:
        """Use another bundle for the next run."""
        self._bundles += 1
        self.bundle = self.directory / f"bundle-{self._bundles}"

    def elsewhere(self, name: str) -> "Site":
        """Return the same sites as another machine sees them: with a home of its own, on the same wire."""
        return Site(self.sandbox, self.directory / name, wire=self.wire)

    def second_cronjob(self) -> None:
        """Give both sites a second CronJob, as frozen or as alive as the first."""
        for cluster in (self.sandbox.primary, self.sandbox.dr):
            second = deepcopy(cluster.store.get("cronjobs", "jobintel", "jobintel-daily"))
            kept = {name: second["metadata"].get(name) for name in ("namespace", "labels", "annotations")}
            second["metadata"] = {"name": SECOND, **{name: each for name, each in kept.items() if each}}
            second["spec"]["schedule"] = "0 5 29 2 *"
            second.pop("status", None)
            cluster.apply(second)

    # --- commands -----------------------------------------------------------------------------------------

    def failback(self, *more: str, bundle: Path | None = None, confirm2: str | None = None) -> list[str]:
        """Return the seed's non-interactive command, and more options."""
        sandbox = self.sandbox
        return [
            "failback", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "--dr-run-id", sandbox.dr_run_id,
            "--kubeconfig-dr", str(sandbox.dr.kubeconfig), "--kubeconfig-primary", str(sandbox.primary.kubeconfig),
            "--confirm1", "FAILBACK", "--confirm2", confirm2 or f"CONFIRM-{sandbox.dr_run_id}",
            "--receipt-dir", str(bundle or self.bundle), *more,
        ]  # fmt: skip

    def environ(self, operator: str = "ann") -> dict[str, str]:
        """Return the environment of an operator's shell."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DRFSM_"))}
        return {
            **inherited, **self.sandbox.environment, "AWS_ENDPOINT_URL": self.wire.endpoint,
            "DRFSM_HOME": str(self.home), "USER": operator, "LOGNAME": operator,
        }  # fmt: skip

    def start(self, *argv: str, operator: str = "ann", victim: bool = True) -> Command:
        """Start a command; the wire kills or stops the latest one that is its victim."""
        process = Command(argv, self.environ(operator))
        if victim:
            self.wire.victim = process
        self._processes.append(process)
        return process

    def run(self, *argv: str, operator: str = "ann", victim: bool = True) -> Told:
        """Run a command to its end."""
        return ended(self.start(*argv, operator=operator, victim=victim))

    def typing(self, operator: str = "ann") -> dict[str, str]:
        """Return the environment of a shell in which ``drfsm`` is the command."""
        return {**self.environ(operator), "PATH": drfsm_on_path(self.directory)}

    def shell(self, line: str, operator: str = "ann") -> Told:
        """Run a line as it would be typed, with nobody at a terminal."""
        process = subprocess.Popen(
            ["sh", "-c", line], env=self.typing(operator), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._processes.append(process)
        return ended(process)

    def killed(self, argv: Sequence[str], place: Place) -> None:
        """Run a command that must die at this place."""
        if not isinstance(place, OnCluster):
            self.wire.deadly = place
            told = self.run(*argv)
            assert told.code == -signal.SIGKILL, told
            return
        mode: Any = "hang" if place.when == "before" else "hang-after-commit"
        faults = getattr(self.sandbox, place.site).faults
        rule = faults.add(place.method, place.path, status=mode)
        process = self.start(*argv)
        while not rule.hits and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        told = ended(process)
        faults.clear()
        assert rule.hits, told

    def put_to_sleep(self, argv: Sequence[str], place: Place) -> Command:
        """Start a command that is stopped at this place, as a laptop is that is shut; ``wire.wake()`` wakes it up."""
        self.wire.stopped.clear()
        self.wire.woken.clear()
        if not isinstance(place, OnCluster):
            self.wire.deadly = place
            process = self.start(*argv)
            self.asleep(process)
            return process
        faults = getattr(self.sandbox, place.site).faults
        rule = faults.add(place.method, place.path, delay_seconds=SLOW)  # carried out, with the asker asleep
        process = self.start(*argv)
        while not rule.hits:
            assert process.poll() is None, ended(process)
            time.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2 * SLOW)
        faults.clear()
        return process

    def asleep(self, process: Command) -> None:
        """Wait until the wire has stopped a process."""
        until = time.monotonic() + WHOLE
        while not self.wire.stopped.wait(0.1):
            assert process.poll() is None, ended(process)
            assert time.monotonic() < until

    # --- what there is ------------------------------------------------------------------------------------

    def records(self) -> list[dict[str, Any]]:
        """Return the journal's records as they lie in the bundle."""
        return [json.loads(line) for line in (self.bundle / "state_transitions.log").read_bytes().splitlines()]

    def summary(self) -> dict[str, Any]:
        """Return the summary as it lies in the bundle."""
        found: dict[str, Any] = json.loads((self.bundle / "failback.summary.json").read_bytes())
        return found

    def transitions(self) -> list[tuple[str, str]]:
        """Return (trigger, state reached) of every commit."""
        return [(each["body"]["trigger"], each["body"]["to"]) for each in self.records() if each["kind"] == "commit"]

    @property
    def run_id(self) -> str:
        """The run in the bundle."""
        return str(self.records()[0]["body"]["run_id"])

    @property
    def mirror(self) -> str:
        """The URI of the run's mirror."""
        return f"s3://{self.sandbox.bucket}/{self.sandbox.prefix}/drfsm/runs/{self.run_id}"

    def mirror_head(self) -> str:
        """Return the head of the run's mirror: what a person types who goes on from it elsewhere."""
        home = self.mirror.partition(f"{self.sandbox.bucket}/")[2]
        return sha256(self.body(max(self.objects(f"{home}/0")))).hexdigest()

    def objects(self, prefix: str = "") -> dict[str, str]:
        """Return every object's ETag."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.sandbox.bucket, Prefix=prefix)
        return {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", ())}

    def body(self, key: str) -> bytes:
        """Return an object's bytes."""
        return bytes(self.s3.get_object(Bucket=self.sandbox.bucket, Key=key)["Body"].read())

    def pointers(self) -> dict[str, Any]:
        """Return every pointer's fields but drfsm's mark."""
        return {
            key: {name: value for name, value in json.loads(self.body(key)).items() if name != "drfsm"}
            for key in self.objects(f"{self.sandbox.prefix}/state/")
        }

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of every object that a procedure could touch, on both sites."""
        return {
            f"{site} {kind} {each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for site in ("primary", "dr")
            for kind in ("cronjobs", "configmaps", "jobs", "deployments", "secrets")
            for each in getattr(self.sandbox, site).store.list(kind, "jobintel")[0]
        }

    def world(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return all that an operator could have changed, by version: (objects of the store, objects of the sites)."""
        return self.objects(), self.versions()

    def sites(self) -> dict[str, Any]:
        """Return what a site's schedules and switches say: all that a procedure may touch but for the mere touch."""
        found: dict[str, Any] = {}
        for name in ("primary", "dr"):
            store = getattr(self.sandbox, name).store
            cronjobs, _ = store.list("cronjobs", "jobintel")
            config = store.get("configmaps", "jobintel", "jobintel-config")
            found[name] = {
                "cronjobs": {
                    each["metadata"]["name"]: [each["spec"].get("suspend"), _notes(each)] for each in cronjobs
                },
                "config": [config["data"], _notes(config)],
            }
        return found

    def jobs(self, role: str) -> list[str]:
        """Return the primary's Jobs that drfsm made in a role."""
        found, _ = self.sandbox.primary.store.list("jobs", "jobintel")
        return [
            each["metadata"]["name"]
            for each in found
            if each["metadata"].get("labels", {}).get("drfsm/role") == role
            and each["metadata"]["labels"]["drfsm/run"] == self.run_id
        ]

    def owner(self) -> str:
        """Return whom drfsm's ownership object names."""
        return str(json.loads(self.body(f"{self.sandbox.prefix}/drfsm/ownership.json"))["site"])

    def secrets(self) -> list[str]:
        """Return everything that must never be written down."""
        kubeconfigs = [each.kubeconfig.read_text(encoding="utf-8") for each in (self.sandbox.primary, self.sandbox.dr)]
        tokens = [token for text in kubeconfigs for token in re.findall(r"token: (\S+)", text)]
        assert len(tokens) == 2
        environ = self.sandbox.environment
        return [*tokens, environ["AWS_SECRET_ACCESS_KEY"], environ["AWS_ACCESS_KEY_ID"]]

    def assert_told_truly(self, status: str) -> dict[str, Any]:
        """Assert that the summary on disk says how the run stands and fits its schema; and that no secret is kept."""
        summary = self.summary()
        schema = json.loads((shipped("receipts_schema") / "failback.summary.schema.json").read_bytes())
        assert sorted(each.message for each in Draft202012Validator(schema).iter_errors(summary)) == []
        lines = (self.bundle / "state_transitions.log").read_bytes().splitlines()
        assert (summary["status"], summary["journal"]["records"]) == (status, len(lines))
        self.assert_no_secrets()
        return summary

    def assert_no_secrets(self) -> None:
        """Assert that no file of the bundle holds a credential, and only the journal's inputs a confirmation."""
        for path in (each for each in self.bundle.rglob("*") if each.is_file()):
            text = path.read_text(encoding="utf-8")
            assert [each for each in self.secrets() if each in text] == [], path
            if path.name != "state_transitions.log" and path.suffix != ".yaml":
                assert f"CONFIRM-{self.sandbox.dr_run_id}" not in text, path

    def close(self) -> None:
        """End what a test left running."""
        for each in self._processes:
            if each.poll() is None:
                each.kill()
            each.communicate()
        self.wire.stop()


def counted(site: Site) -> Callable[[], int]:
    """Return what says how many requests of drfsm reached either cluster from now on."""
    rules = [each.faults.add("*", "", times=1 << 30) for each in (site.sandbox.primary, site.sandbox.dr)]
    return lambda: sum(each.hits for each in rules)


def ended(process: "Command | subprocess.Popen[str]") -> Told:
    """Wait for a command's end."""
    out, err = process.communicate(timeout=WHOLE)
    assert "Traceback" not in err + out, err + out
    assert "defect in drfsm" not in err, err
    return Told(process.wait(), out, err)


MakeSite = Callable[..., Site]


class Sites:
    """Makes sites, and ends them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Site] = []

    def __call__(self, **options: Any) -> Site:
        """Return a seeded site with these options of the sandbox."""
        directory = self._directory / f"site-{len(self._made)}"
        sandbox = Sandbox(directory, Options(bucket=f"e2e-{uuid.uuid4().hex[:16]}", **options)).start()
        self._made.append(Site(sandbox, directory))
        return self._made[-1]

    def close(self) -> None:
        """End all of them."""
        for each in self._made:
            each.close()
            each.sandbox.stop()


def at(kind: str, trigger: str, when: str) -> Deadly:
    """Die at the record of a kind for a trigger."""

    def deadly(request: Request) -> str:
        found = request.record
        return when if found.get("kind") == kind and found["body"].get("trigger") == trigger else ""

    return deadly


def at_write(part: str, when: str, count: int = 1, body: bytes = b"") -> Deadly:
    """Die at the n-th write of an object whose key holds ``part``, and whose body holds ``body``."""
    left = [count]

    def deadly(request: Request) -> str:
        meant = part in request.key and "/drfsm/runs/" not in request.key and body in request.body
        if request.method in ("PUT", "DELETE") and meant:
            left[0] -= 1
            return when if left[0] == 0 else ""
        return ""

    return deadly


def at_undo(of: str, kind: str, when: str) -> Deadly:
    """Die at the record of a kind that is about giving back what a trigger did."""

    def deadly(request: Request) -> str:
        found = request.record
        return when if found.get("kind") == kind and f"--{of}-->" in found["body"].get("undoes", "") else ""

    return deadly


def at_first(when: str) -> Deadly:
    """Die at the first request of all."""
    return lambda _request: when


def at_call(part: bytes, when: str) -> Deadly:
    """Die at the call of another service that carries this in its body."""
    return lambda request: when if request.method == "POST" and part in request.body else ""
