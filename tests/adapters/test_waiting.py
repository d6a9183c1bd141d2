"""A server that gives no answer: what it is called, what is said meanwhile, and when it is given up."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drfsm.adapters import kube, waiting
from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.aws_session import READ_SECONDS, READ_TRIES, Services, refusal
from drfsm.adapters.bulk import Bulk
from drfsm.adapters.kube import KubeCluster
from drfsm.errors import Unreachable
from drfsm.world import Copy
from tests.bench.answering import Answering, Request, Told

PATIENCE = 3.0


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Collect what a person is told meanwhile."""
    lines: list[str] = []
    waiting.tell_with(lines.append)
    yield lines
    waiting.tell_with(lambda _line: None)


def test_a_server_that_hangs_is_named_after_two_seconds_and_given_up_once(tmp_path: Path, said: list[str]) -> None:
    """It accepts and says nothing: told at 2 s; given up in one go; the next read does not wait as long again."""
    ended = threading.Event()

    def hang(_request: Request) -> Told:
        ended.wait(30)
        return Told(500)

    with Answering(hang) as server:
        cluster = KubeCluster("primary", server.kubeconfig(tmp_path), read_seconds=PATIENCE)
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"Cannot reach primary \(no answer within the time limit\): http://127"):
            cluster.list("Node", "")
        lasted = time.monotonic() - began
        with pytest.raises(Unreachable, match="Cannot reach primary"):
            cluster.get("Namespace", "", "kube-system")
        again = time.monotonic() - began - lasted
        requests = len(server.seen)
        ended.set()
    assert PATIENCE <= lasted < 2 * PATIENCE
    assert again < 1
    assert requests == 1
    assert len(said) == 1, said
    assert said[0].startswith("waiting for primary to answer (http://127.0.0.1:")
    assert said[0].endswith("2 s so far")


def test_what_answers_in_time_is_not_waited_for(said: list[str]) -> None:
    """A request that ends before two seconds says nothing."""
    with waiting.waiting_for("somebody"):
        time.sleep(0.6)
    time.sleep(2.2)
    assert said == []


@pytest.mark.parametrize(
    ("host", "why"),
    [("127.0.0.1:9", "connection refused"), ("no-such-host.invalid", "its name cannot be resolved")],
)
def test_why_nobody_answers_is_said_in_words(tmp_path: Path, host: str, why: str) -> None:
    """Not by the name of a Python class; and without the password that an address may hold."""
    with Answering() as server:
        kubeconfig = server.kubeconfig(tmp_path)
    address = next(word for word in kubeconfig.read_text().replace('"', " ").split() if word.startswith("http://"))
    kubeconfig.write_text(kubeconfig.read_text().replace(address, f"http://ann:s3cret@{host}"))
    with pytest.raises(Unreachable) as refused:
        KubeCluster("dr", kubeconfig).list("Node", "")
    assert refused.value.what == f"Cannot reach dr ({why}): http://{host}"


def test_a_server_without_tls_and_one_that_hangs_up_are_told_apart(tmp_path: Path) -> None:
    """A connection that is cut is not a refused one."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def hang_up() -> None:
            for _ in range(kube.READ_TRIES):
                listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with Answering() as server:
            kubeconfig = server.kubeconfig(tmp_path)
        text = kubeconfig.read_text()
        address = next(word for word in text.replace('"', " ").split() if word.startswith("http://"))
        kubeconfig.write_text(text.replace(address, f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(Unreachable) as refused:
            KubeCluster("dr", kubeconfig).list("Node", "")
    assert "connection" in refused.value.what
    assert "refused" not in refused.value.what


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], S3Store]:
    """Return what connects to a store at an address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    return lambda url: connect(bucket="b", endpoint_url=url, region="us-east-1").store


BULK: dict[str, Callable[[Bulk], Iterator[object]]] = {
    "hashing": lambda bulk: bulk.hash_many(["x", "y", "z"], None),
    "reading": lambda bulk: bulk.get_many(["x", "y", "z"], None, 1 << 20),
    "copying": lambda bulk: bulk.copy_many([Copy("x", "y", 1)], None),
    "deleting": lambda bulk: bulk.delete_many(["x", "y"], None),
}


def test_a_store_that_hangs_under_bulk_requests_is_named_and_given_up(
    store: Callable[[str], S3Store], said: list[str]
) -> None:
    """Each kind of them, at once: told after two seconds, once for all requests of a kind; given up in one go."""
    ended, faults = threading.Event(), dict[str, Exception]()

    def hang(_request: Request) -> Told:
        ended.wait(30)
        return Told(500)

    def ask(name: str, bulk: Bulk) -> None:
        try:
            list(BULK[name](bulk))
        except Unreachable as fault:
            faults[name] = fault

    with Answering(hang) as server:
        reached = store(server.url)
        reach = Services(server.url, "us-east-1").reach()
        asking = [
            threading.Thread(target=ask, args=(name, Bulk("b", reach, reached, refusal, silence_seconds=PATIENCE)))
            for name in BULK
        ]
        began = time.monotonic()
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(10 * PATIENCE)
        lasted = time.monotonic() - began
        ended.set()
    assert set(faults) == set(BULK)
    assert PATIENCE <= lasted < 3 * PATIENCE
    assert said
    assert {line.partition(", ")[0] for line in said} == {
        f"waiting for s3://b to answer (given up after {PATIENCE:.0f} s of silence)"
    }
    assert len(said) <= len(BULK)


def test_a_store_that_hangs_under_a_single_request_is_named_and_so_is_its_time_out(
    store: Callable[[str], S3Store], said: list[str]
) -> None:
    """It accepts and says nothing for a while: what is waited for is said, and when it will be given up."""

    def slow(_request: Request) -> Told:
        time.sleep(waiting.SAID_AFTER_SECONDS + 0.6)
        return Told(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")

    with Answering(slow) as server:
        assert store(server.url).get("x") is None
    patience = f"given up after {READ_TRIES} tries of {READ_SECONDS} s"
    assert said == [f"waiting for an answer to: reading s3://b/x ({patience}), 2 s so far"]
