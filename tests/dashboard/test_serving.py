"""`drfsm dashboard publish` and `serve`: real objects, a real server on loopback, a real Ctrl-C."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.dashboard import _until_stopped
from drfsm.cli.main import run as drfsm
from drfsm.dashboard.server import Server
from drfsm.errors import ExitCode, UsageFault
from tests.dashboard.conftest import PREFIX, Desk, checked
from tests.dashboard.test_page import document

pytestmark = pytest.mark.sandbox


@contextmanager
def serving(documents: Iterator[Mapping[str, Any]], told: list[str], answer_seconds: float = 30) -> Iterator[Server]:
    """Serve these documents, one a request; ``told``: what the server says of failures."""
    with Server(0, lambda: next(documents), told.append, answer_seconds=answer_seconds) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def ask(url: str, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], str]:
    """Return the status, the headers and the body that a client gets."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def test_each_request_reads_anew_and_a_failure_shows_nothing_older() -> None:
    """Two requests, two documents; a gatherer that breaks is told on both sides, and the next request is answered."""

    def documents() -> Iterator[Mapping[str, Any]]:
        yield {**document("first")}
        yield {**document("second")}

    told: list[str] = []
    with serving(documents(), told) as server:
        assert "first" in ask(server.url)[2]
        assert json.loads(ask(server.url, "/status.json")[2])["workload"] == "second"
        status, _, body = ask(server.url)
        assert (status, "first" in body, "Nothing can be shown now" in body) == (500, False, True)
        assert ask(server.url, "/status.json")[0] == 500
        assert told[0].startswith("not shown: a defect in drfsm: ")
        assert ask(server.url, "/x")[0] == 404


def test_what_takes_too_long_is_answered_in_time_and_shown_to_nobody_later() -> None:
    """A bucket that hangs: a browser must not go on showing the page that it has. The next request is answered anew."""
    hangs = threading.Event()

    def documents() -> Iterator[Mapping[str, Any]]:
        hangs.wait(30)
        yield document("read too late")
        yield document("of now")

    told: list[str] = []
    with serving(documents(), told, answer_seconds=0.2) as server:
        for _ in range(2):  # the second waits for the first
            status, _, body = ask(server.url)
            assert (status, "has not answered within" in body, 'http-equiv="refresh"' in body) == (503, True, True)
        hangs.set()
        server.answer_seconds = 30
        body = ask(server.url)[2]
        assert ("of now" in body, "too late" in body) == (True, False)


def test_it_answers_for_loopback_only_and_forbids_everything() -> None:
    """Another host's name is no way in; the policy stands in the headers too; nothing is kept by a cache."""
    documents = iter([document("words")] * 9)
    with serving(documents, []) as server:
        assert server.url.startswith("http://127.0.0.1:")
        for host in ("attacker.example", "127.0.0.1.attacker.example:80", "", "localhost@attacker.example"):
            assert ask(server.url, Host=host)[0] == 421, host
        status, headers, _ = ask(server.url, Host="localhost:1")
        assert (status, headers["cache-control"]) == (200, "no-store")
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert ask(server.url, method="POST")[0] == 501
        status, headers, body = ask(server.url, method="HEAD")
        assert (status, body, int(headers["content-length"]) > 1000) == (200, "", True)
        with pytest.raises(UsageFault, match=r"port \d+ of 127.0.0.1 can't be had"):
            Server(server.server_address[1], document, print)  # type: ignore[arg-type]


def options(desk: Desk) -> list[str]:
    """Return the options of a command on a desk's bucket."""
    return ["--bucket", desk.bucket, "--endpoint-url", desk.cloud.endpoint, "--region", "us-east-1"]


def test_publish_writes_page_and_document_with_their_types_and_may_be_repeated(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are of one moment; the second time replaces the first; nothing else in the bucket changes."""
    failback, lines = desk.recorded("failback")
    desk.mirror(failback, lines)
    before = desk.hands.etags()
    for _ in range(2):
        assert drfsm(["dashboard", "publish", *options(desk)]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert f"open       {failback}, held in primary_publish_enabled: waits for" in told
    assert "publish    NOBODY CAN since 2026-11-29 09:52:29Z" in told
    client, home = desk.cloud.client("s3"), f"{PREFIX}/drfsm/dashboard"
    types = {
        name: client.head_object(Bucket=desk.bucket, Key=f"{home}/{name}")["ContentType"]
        for name in ("index.html", "status.json")
    }
    assert types == {"index.html": "text/html; charset=utf-8", "status.json": "application/json"}
    published = checked(json.loads(desk.hands.body(f"{home}/status.json")))
    assert published["read_at"][:19].replace("T", " ") in desk.hands.body(f"{home}/index.html").decode()
    after = desk.hands.etags()
    assert {key: after.pop(key) for key in list(after) if key.startswith(home)}.keys() == {
        f"{home}/index.html", f"{home}/status.json",
    }  # fmt: skip
    assert after == before


def test_a_bucket_that_can_t_be_written_is_an_error_and_one_that_can_t_be_read_is_too(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """No bucket named, a bucket that is not there, a kubeconfig that is no file: each says what to do."""
    assert drfsm(["dashboard", "publish"]) == ExitCode.USAGE
    lost = ["--bucket", f"{desk.bucket}-x", *options(desk)[2:]]
    assert drfsm(["dashboard", "publish", *lost]) in (ExitCode.REFUSED, ExitCode.UNREACHABLE)
    assert drfsm(["dashboard", "publish", *options(desk), "--kubeconfig-dr", "/none"]) == ExitCode.USAGE
    assert drfsm(["dashboard", "serve", *options(desk), "--kubeconfig-dr", "/none"]) == ExitCode.USAGE
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_ends_it_and_means_what_it_did_before_afterwards(number: signal.Signals) -> None:
    """Ctrl-C, and what a service manager sends."""
    before = signal.getsignal(number)
    with _until_stopped() as stopped:
        os.kill(os.getpid(), number)
        assert stopped.wait(5)
    assert signal.getsignal(number) is before


def test_serve_prints_where_answers_and_ends_cleanly(desk: Desk, tmp_path: Path) -> None:
    """The command as a person types it: it shows what changes in the bucket, and Ctrl-C ends it with 0."""
    desk.activate("dr", "open")
    with subprocess.Popen(
        [sys.executable, "-m", "drfsm", "dashboard", "serve", *options(desk)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert checked(json.loads(ask(url, "/status.json")[2]))["endpoints"]["site"] == "dr"
        desk.activate("primary", "closed")
        assert checked(json.loads(ask(url, "/status.json")[2]))["endpoints"]["site"] == "primary"
        desk.put("active.json", "garbage")
        assert "the active-site document" in ask(url)[2]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in told) == (ExitCode.DONE, False), told
