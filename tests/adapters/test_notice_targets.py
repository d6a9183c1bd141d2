"""Targets of notices: what each gets, what becomes of a failure, and that no address ever shows."""

import base64
import json
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from drfsm.adapters import notice_targets
from drfsm.adapters.notice_targets import Message, NotTaken, Target, send, target_of
from drfsm.errors import UsageFault
from tests.receiver import Receiver, code, raw, receiving

TOKEN = "T0K3N"
MESSAGE = Message("run-1:held", "drfsm failback: a decision is needed", "Why: it is dark", "warning", {"state": "dark"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a server that takes notices."""
    with receiving() as started:
        yield started


def test_a_webhook_gets_text_and_fields_as_json(receiver: Receiver) -> None:
    """One POST; a user and a password of its address go into a header, and not into the request's line."""
    address = receiver.url.replace("://", f"://ann:p%40ss-{TOKEN}@") + f"/hook/{TOKEN}?a=b"
    send(target_of(address, 1), MESSAGE)
    (posted,) = receiver.posted
    assert posted.path == f"/hook/{TOKEN}?a=b"
    assert posted.headers["content-type"] == "application/json"
    assert base64.b64decode(posted.headers["authorization"].split()[1]).decode() == f"ann:p@ss-{TOKEN}"
    assert json.loads(posted.body) == {
        "id": "run-1:held", "title": MESSAGE.title, "text": f"{MESSAGE.title}\nWhy: it is dark", "state": "dark",
    }  # fmt: skip


def test_a_service_of_apprise_gets_title_and_text(receiver: Receiver) -> None:
    """Through apprise's own client, here of its json:// service."""
    send(target_of(f"{receiver.url.replace('http', 'json')}/{TOKEN}", 2), MESSAGE)
    sent = json.loads(receiver.posted[0].body)
    assert (sent["title"], sent["message"], sent["type"]) == (MESSAGE.title, MESSAGE.text, "warning")


REFUSALS: dict[str, tuple[Callable[[Receiver], object], str, bool]] = {
    "a token that is not valid any more": (lambda it: it.answers.insert(0, code(403)), "HTTP 403", False),
    "a server at its end": (lambda it: it.answers.insert(0, code(503)), "HTTP 503", True),
    "too many at once": (lambda it: it.answers.insert(0, code(429)), "HTTP 429", True),
    "a redirect": (
        lambda it: it.answers.insert(0, code(302, Location=f"{it.url}/elsewhere")), "redirects are not followed", False,
    ),
    "garbage": (lambda it: it.answers.insert(0, raw(b"\x00\xff garbage\r\n\r\n")), "no HTTP", True),
    "nothing": (lambda it: it.answers.insert(0, raw(b"")), "it hung up", True),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_webhook_answers_is_told_without_its_address(
    receiver: Receiver, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its reason, whether another try may help, and one request."""
    answer, words, again = REFUSALS[name]
    answer(receiver)
    with pytest.raises(NotTaken) as refused:
        send(target_of(f"{receiver.url}/{TOKEN}", 1), MESSAGE)
    assert words in refused.value.why
    assert refused.value.again is again
    assert len(receiver.posted) == 1
    assert TOKEN not in refused.value.why + "".join(capfd.readouterr())
    assert refused.value.__cause__ is None


def test_a_webhook_that_hangs_or_is_not_there_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers; a port without a server."""
    monkeypatch.setattr(notice_targets, "SOCKET_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(NotTaken, match="no answer in 0 s"):
            send(target_of(f"http://127.0.0.1:{port}/{TOKEN}", 1), MESSAGE)
    with pytest.raises(NotTaken, match="connection refused"):
        send(target_of(f"http://127.0.0.1:{port}/{TOKEN}", 1), MESSAGE)


def test_a_service_that_refuses_says_so_in_our_words(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    """Apprise's own words, which may hold the address, go nowhere."""
    receiver.answers = [code(404)]
    with pytest.raises(NotTaken, match="did not take") as refused:
        send(target_of(f"{receiver.url.replace('http', 'json')}/{TOKEN}", 1), MESSAGE)
    assert TOKEN not in refused.value.why + "".join(capfd.readouterr())


WRONG = {
    "a bare token": f"xoxb-{TOKEN}",
    "an empty one": "  ",
    "a line break inside": f"https://example.com/{TOKEN}\nx",
    "a space inside": f"https://example.com/ {TOKEN}",
    "no host": f"https:///{TOKEN}",
    "an address with a broken host": f"https://[::1/{TOKEN}",
    "a port that is none": f"https://example.com:99999/{TOKEN}",
    "a host that is not ASCII": f"https://exämple.com/{TOKEN}",
    "a token in the clear": f"http://example.com/{TOKEN}",
    "a service that nobody knows": f"nonsense://{TOKEN}",
    "a service without its token": f"slack://{TOKEN}",
    "another service of AWS": f"arn:aws:s3:::{TOKEN}",
    "a very long one": f"https://example.com/{TOKEN * 1000}",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_address_is_wrong_usage_and_not_shown(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Its number names it, for the address may be right but for one letter."""
    with pytest.raises(UsageFault) as refused:
        target_of(WRONG[name], 3)
    assert "--notify (number 3)" in refused.value.what
    assert refused.value.hint
    assert TOKEN not in refused.value.diagnostics() + "".join(capfd.readouterr())


LABELS = {
    f"https://hooks.slack.com/services/{TOKEN}": "webhook 1 (*.slack.com)",
    f"https://{TOKEN}.hooks.example.com/": "webhook 1 (*.example.com)",
    f"https://u:{TOKEN}@example.com/": "webhook 1 (example.com)",
    f"https://10.0.0.7/{TOKEN}": "webhook 1 (10.0.0.7)",
    f"mailto://ann:{TOKEN}@example.com": "mailto 1",
    f"json://{TOKEN}/": "json 1",
    "arn:aws:sns:eu-west-1:111122223333:people": "arn:aws:sns:eu-west-1:111122223333:people",
}


@pytest.mark.parametrize("address", LABELS)
def test_a_target_is_named_without_what_is_secret(address: str) -> None:
    """In its label, its text and its representation."""
    target = target_of(address, 1)
    assert target.label == LABELS[address]
    assert TOKEN not in f"{target} {target!r}"


def test_without_apprise_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a webhook needs nothing."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UsageFault, match="needs apprise, and that is not installed") as refused:
        target_of("slack://a/b/c", 1)
    assert 'pip install "drfsm[notify]"' in refused.value.hint
    assert isinstance(target_of("https://example.com/", 1), Target)
