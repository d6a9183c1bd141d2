"""What a registry answers is a claim: its login, its redirects and its documents are held to what they may be."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from drfsm.adapters.registry import ImageRegistry, _Asking, parsed
from drfsm.errors import ActionFailed, DrfsmError, ExitCode, Unreadable
from drfsm.world import PullToken
from tests.bench.faulty import Fault, Front

CONFIGURATION = b'{"architecture": "arm64"}'
DIGEST = f"sha256:{hashlib.sha256(CONFIGURATION).hexdigest()}"


@pytest.fixture
def front() -> Iterator[Front]:
    """Serve what answers in a registry's place."""
    with Front("http://127.0.0.1:9") as serving:
        yield serving


def image(front: Front) -> str:
    """Return an image that lies there."""
    return f"{front.endpoint.removeprefix('http://')}/team/image:v1"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"ok", b"<html>", b"[]", b"{}", b'{"manifests": {}}', b'{"manifests": "x"}', b'{"config": []}',
        b'{"config": {"digest": 7}}', b'{"config": {"digest": "../../x"}}', b"[" * 100_000, b'{"a": NaN}',
        b'{"manifests": [{"platform": {"architecture": "\\u001b[2J"}}]}', b"\xff\xfe",
        b'{"manifests": [{"platform": {"architecture": ["amd64"]}}]}',
    ],
)  # fmt: skip
def test_what_is_no_manifest_tells_nothing(front: Front, body: bytes) -> None:
    """It is refused in few printable words."""
    front.rule = lambda _method, _path: Fault(status=200, body=body)
    with pytest.raises(DrfsmError) as told:
        ImageRegistry().architectures(image(front))
    assert told.value.exit_code != ExitCode.DEFECT
    assert told.value.what.isprintable()
    assert len(told.value.what) < 600


def test_a_configuration_is_what_its_digest_says(front: Front) -> None:
    """Another document under that digest is none."""
    manifest = json.dumps({"config": {"digest": DIGEST}}).encode()
    blob = CONFIGURATION
    front.rule = lambda _method, path: Fault(status=200, body=blob if "/blobs/" in path else manifest)
    assert ImageRegistry().architectures(image(front)) == ["arm64"]
    blob = b'{"architecture": "amd64"}'
    with pytest.raises(Unreadable, match="does not match sha256"):
        ImageRegistry().architectures(image(front))


def test_a_tag_is_named_by_its_index_and_by_each_part_of_it(front: Front) -> None:
    """By what is served, and by what that lists; what is no digest names nothing."""
    index = json.dumps({"manifests": [{"digest": DIGEST}, {"digest": "../x"}, {}, "x"]}).encode()
    front.rule = lambda _method, _path: Fault(status=200, body=index)
    assert ImageRegistry().digests(image(front)) == [f"sha256:{hashlib.sha256(index).hexdigest()}", DIGEST]


class Tokens:
    """A registry's own logins, for one host."""

    def __init__(self, host: str) -> None:
        self.host = host

    def token(self, registry: str) -> PullToken:
        """Return a login. Raises ActionFailed for another registry."""
        if registry != self.host:
            raise ActionFailed("not ours")
        return PullToken("AWS", "pass-word", "2026-11-28T20:00:00+00:00")


def test_a_registry_of_aws_gets_a_login_and_any_other_does_not(front: Front) -> None:
    """Asked for a basic login, drfsm has one for that host alone, and never names it."""
    manifest = json.dumps({"manifests": [{"platform": {"architecture": "arm64"}}]}).encode()
    challenge = Fault(status=401, body=b"{}", headers={"WWW-Authenticate": 'Basic realm="x",service="ecr"'})
    asked: list[str] = []

    def rule(_method: str, path: str) -> Fault:
        asked.append(path)
        return challenge if len(asked) % 2 else Fault(status=200, body=manifest)

    front.rule = rule
    host = front.endpoint.removeprefix("http://")
    assert ImageRegistry(Tokens(host)).architectures(image(front)) == ["arm64"]
    assert len(asked) == 2
    assert ImageRegistry(Tokens(host)).digests(image(front)) == [f"sha256:{hashlib.sha256(manifest).hexdigest()}"]
    with pytest.raises(ActionFailed, match="requires a login") as told:
        ImageRegistry(Tokens("another.host")).architectures(image(front))
    assert "pass-word" not in told.value.diagnostics()


def test_a_redirect_leads_over_no_open_wire(front: Front) -> None:
    """Nothing is asked at another host by HTTP."""
    with Front("http://127.0.0.1:9") as elsewhere:
        elsewhere.rule = lambda _method, _path: Fault(status=200, body=b'{"manifests": []}')
        front.rule = lambda _method, path: Fault(status=307, body=b"", headers={"Location": elsewhere.endpoint + path})
        with pytest.raises(DrfsmError):
            ImageRegistry().architectures(image(front))
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    ("host", "realm", "asked"),
    [
        ("registry-1.docker.io", "https://auth.docker.io/token", True),
        ("ghcr.io", "https://ghcr.io/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("127.0.0.1:5000", "http://127.0.0.1:5001/token", True),
        ("ghcr.io", "http://ghcr.io/token", False),
        ("ghcr.io", "https://evil.example/token", False),
        ("ghcr.io", "https://notghcr.io/token", False),
        ("ghcr.io", "https://169.254.169.254/latest", False),
        ("ghcr.io", "http://127.0.0.1:5001/token", False),
        ("ghcr.io", "file:///etc/passwd", False),
        ("ghcr.io", "https://[", False),
        ("127.0.0.1:5000", "https://evil.example/token", False),
    ],
)
def test_a_login_is_looked_for_with_the_registry_itself(host: str, realm: str, asked: bool) -> None:
    """An address from a challenge is taken only within the registry's own domain, and by HTTPS."""
    assert _Asking(parsed(f"{host}/team/image:v1"))._safe(realm) is asked
