"""A server that gives no answer: what it is called, what is said meanwhile, and when it is given up."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drfsm.adapters import kube, waiting
from drfsm.adapters.kube import KubeCluster
from drfsm.errors import Unreachable
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
