"""A whole world for each test: a seeded sandbox, drfsm as a real process, and a wire that can kill it.

The wire stands between drfsm and S3. Every record of the journal that matters passes it (the journal is
mirrored there), and so does every move of a pointer: a test says at which request the process is to die,
before the request reaches S3 or after it did. So the process is killed by SIGKILL at an exact place,
without a line of code in drfsm that knows of it.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from drfsm.sandbox import Options, Sandbox

WHOLE = 120  # seconds that any one command may take


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
"""Says ``before`` or ``after`` where the process is to die, else ""."""


class Wire:
    """A proxy in front of S3 that kills whoever it is told to, once."""

    def __init__(self, endpoint: str) -> None:
        self.deadly: Deadly = lambda _request: ""
        self.victim: subprocess.Popen[str] | None = None
        self.seen: list[Request] = []
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
                if when == "before":
                    wire.kill()
                    return
                upstream = http.client.HTTPConnection(target, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                upstream.request(self.command, self.path, body=body, headers=headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if when == "after":
                    wire.kill()
                    return
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _ask(self, request: Request) -> str:
        with self._lock:
            self.seen.append(request)
            when = self.deadly(request)
            if when:
                self.deadly = lambda _request: ""
            return when

    def kill(self) -> None:
        """Kill the process that is served just now."""
        assert self.victim is not None
        self.victim.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop serving."""
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
        """What it printed with ``-o json``."""
        return json.loads(self.out)


class Site:
    """A sandbox with a wire, and drfsm's commands on it."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox, self.directory = sandbox, directory
        self.wire = Wire(sandbox.cloud.endpoint)
        self.bundle = directory / "bundle"
        self.s3 = sandbox.cloud.client("s3")
        self._processes: list[subprocess.Popen[str]] = []

    def failback(self, *more: str, bundle: Path | None = None, confirm2: str | None = None) -> list[str]:
        """Return the seed's non-interactive command, and more options."""
        sandbox = self.sandbox
        return [
            "failback", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "--dr-run-id", sandbox.dr_run_id,
            "--kubeconfig-dr", str(sandbox.dr.kubeconfig), "--kubeconfig-primary", str(sandbox.primary.kubeconfig),
            "--confirm1", "FAILBACK", "--confirm2", confirm2 or f"CONFIRM-{sandbox.dr_run_id}",
            "--receipt-dir", str(bundle or self.bundle), *more,
        ]  # fmt: skip

    def start(self, *argv: str, operator: str = "ann") -> "subprocess.Popen[str]":
        """Start a command; the wire kills the latest one."""
        environ = {
            **os.environ, **self.sandbox.environment, "AWS_ENDPOINT_URL": self.wire.endpoint,
            "DRFSM_HOME": str(self.directory / "home"), "USER": operator, "LOGNAME": operator,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "drfsm", *argv],
            env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.wire.victim = process
        self._processes.append(process)
        return process

    def run(self, *argv: str, operator: str = "ann") -> Told:
        """Run a command to its end."""
        process = self.start(*argv, operator=operator)
        out, err = process.communicate(timeout=WHOLE)
        assert "Traceback" not in err + out
        return Told(process.returncode, out, err)

    def killed(self, argv: Sequence[str], deadly: Deadly) -> None:
        """Run a command that must die at the place that ``deadly`` names."""
        self.wire.deadly = deadly
        told = self.run(*argv)
        assert told.code == -signal.SIGKILL, told

    def records(self) -> list[dict[str, Any]]:
        """Return the journal's records as they lie in the bundle."""
        return [json.loads(line) for line in (self.bundle / "state_transitions.log").read_bytes().splitlines()]

    def transitions(self) -> list[tuple[str, str]]:
        """Return (trigger, state reached) of every commit."""
        return [(each["body"]["trigger"], each["body"]["to"]) for each in self.records() if each["kind"] == "commit"]

    def pointers(self) -> dict[str, Any]:
        """Return every pointer's fields but drfsm's mark."""
        listed = self.s3.list_objects_v2(Bucket=self.sandbox.bucket, Prefix=f"{self.sandbox.prefix}/state/")
        found = {}
        for each in listed.get("Contents", ()):
            body = self.s3.get_object(Bucket=self.sandbox.bucket, Key=each["Key"])["Body"].read()
            found[each["Key"]] = {name: value for name, value in json.loads(body).items() if name != "drfsm"}
        return found

    def sites(self) -> dict[str, Any]:
        """Return what a site's schedules and switches say, annotations included: all that a procedure may touch."""
        found: dict[str, Any] = {}
        for name in ("primary", "dr"):
            store = getattr(self.sandbox, name).store
            cronjobs, _ = store.list("cronjobs", "jobintel")
            config = store.get("configmaps", "jobintel", "jobintel-config")
            found[name] = {
                "cronjobs": {
                    each["metadata"]["name"]: [each["spec"].get("suspend"), each["metadata"].get("annotations") or {}]
                    for each in cronjobs
                },
                "config": [config["data"], config["metadata"].get("annotations") or {}],
            }
        return found

    def close(self) -> None:
        """End what a test left running."""
        for each in self._processes:
            if each.poll() is None:
                each.kill()
            each.communicate()
        self.wire.stop()


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Return what makes a site with these options, ended after the test."""
    made: list[tuple[Site, Sandbox]] = []

    def make(**options: Any) -> Site:
        directory = tmp_path / f"site-{len(made)}"
        sandbox = Sandbox(directory, Options(bucket=f"e2e-{uuid.uuid4().hex[:16]}", **options)).start()
        site = Site(sandbox, directory)
        made.append((site, sandbox))
        return site

    yield make
    for site, sandbox in made:
        site.close()
        sandbox.stop()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Return a seeded site."""
    return make_site()


def at(kind: str, trigger: str, when: str) -> Deadly:
    """Die at the record of a kind for a trigger."""

    def deadly(request: Request) -> str:
        found = request.record
        return when if found.get("kind") == kind and found["body"].get("trigger") == trigger else ""

    return deadly


def at_write(part: str, when: str, count: int = 1) -> Deadly:
    """Die at the n-th write of an object whose key holds ``part``."""
    left = [count]

    def deadly(request: Request) -> str:
        if request.method in ("PUT", "DELETE") and part in request.key and "/drfsm/runs/" not in request.key:
            left[0] -= 1
            return when if left[0] == 0 else ""
        return ""

    return deadly
