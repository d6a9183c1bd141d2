"""A kubeconfig that a site hands over: what it may not say, and where a loopback address leads. Real TLS servers."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from drfsm.adapters.kube import KubeCluster
from drfsm.adapters.private import PrivateFiles, described
from drfsm.adapters.site_kubeconfig import is_loopback
from drfsm.errors import ActionFailed, Unreachable
from drfsm.sandbox.kubernetes.certificates import issue

WORD = "evil-word"
SITE = "https://198.51.100.4:6443"


def kubeconfig(**change: Any) -> dict[str, Any]:
    """Return a kubeconfig as k3s gives one; ``change`` sets fields of the cluster, ``user`` those of the user."""
    user = {"token": "s3cr3t-token", **change.pop("user", {})}
    top = change.pop("top", {})
    return {
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "default",
        "clusters": [{"name": "default", "cluster": {"server": SITE, **change}}],
        "users": [{"name": "default", "user": user}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        **top,
    }  # fmt: skip


def twice(kind: str) -> dict[str, Any]:
    """Return a kubeconfig with two clusters, users or contexts."""
    made = kubeconfig()
    made[kind] = [*made[kind], {**deepcopy(made[kind][0]), "name": "other"}]
    return made


def raw(document: Mapping[str, Any]) -> bytes:
    """Return it as a site writes it."""
    return yaml.safe_dump(document, sort_keys=False).encode()


REFUSED: Mapping[str, tuple[bytes, str]] = {
    **{
        f"{field}: {value}": (raw(kubeconfig(**{field: value})), words)
        for field, value, words in (
            ("proxy-url", f"http://{WORD}:3128", "through a proxy"),
            ("insecure-skip-tls-verify", True, "trust any server"),
            ("insecure-skip-tls-verify", "yes", "trust any server"),
            ("certificate-authority", f"/{WORD}", "files of another machine"),
            ("tls-server-name", WORD, "a certificate with another name"),
            ("tls-server-name", "kubernetes", "a certificate with another name"),  # and no authority of its own
            ("server", "http://198.51.100.4:6443", "not https://"),
            ("server", "HTTP://198.51.100.4", "not https://"),
            ("server", "198.51.100.4:6443", "not https://"),
            ("server", "unix:///x", "not https://"),
            ("server", "https://", "not https://"),
            ("server", "https://198.51.100.4:0", "not https://"),
            ("server", "https://198.51.100.4:99999", "not https://"),
            ("server", "https://a b", "not https://"),
            ("server", "https://x\u202ey", "not https://"),
            ("server", "https://x\r\nHost: y", "not https://"),
            ("server", None, "not strings"),
            ("server", ["https://x"], "not strings"),
            ("server", f"https://ana:{WORD}@198.51.100.4", "not a plain address"),
            ("server", "https://198.51.100.4/?q=1", "not a plain address"),
            ("server", "https://198.51.100.4/#f", "not a plain address"),
            ("server", "https://198.51.100.4/a//b", "not a plain address"),
            ("server", "https://169.254.169.254", "can't be the address of a site"),
            ("server", "https://[fe80::1]:6443", "can't be the address of a site"),
            ("futureField", WORD, "does not need"),
        )
    },
    **{
        f"the user's {field}": (raw(kubeconfig(user={field: value})), words)
        for field, value, words in (
            ("exec", {"command": WORD}, "would run a program"),
            ("auth-provider", {"name": WORD}, "would run a program"),
            ("client-certificate", f"/{WORD}", "files of another machine"),
            ("client-key", f"/{WORD}", "files of another machine"),
            ("tokenFile", f"/{WORD}", "files of another machine"),
            ("as", WORD, "impersonate another user"),
            ("as-uid", WORD, "impersonate another user"),
            ("as-groups", ["system:masters"], "impersonate another user"),
            ("as-user-extra", {WORD: ["x"]}, "impersonate another user"),
            ("username", WORD, "has a password"),
            ("password", WORD, "has a password"),
            ("token", 7, "not strings"),
            ("futureField", WORD, "does not need"),
        )
    },
    **{f"two {kind}": (raw(twice(kind)), f"has 2 {kind}") for kind in ("clusters", "users", "contexts")},
    "another file beside it": (raw(kubeconfig(top={WORD: 1})), "does not need"),
    "a context that isn't there": (raw(kubeconfig(top={"current-context": WORD})), "is not a kubeconfig"),
    "no context": (raw(kubeconfig(top={"current-context": None})), "is not a kubeconfig"),
    "a cluster of another name": (
        raw(kubeconfig(top={"contexts": [{"name": "default", "context": {"cluster": "x", "user": "default"}}]})),
        "is not a kubeconfig",
    ),
    "users that are a mapping": (raw(kubeconfig(top={"users": {}})), "is not a kubeconfig"),
    "a list": (b"[evil-word]", "is not a kubeconfig"),
    "nothing": (b"", "is not a kubeconfig"),
    "no YAML": (b"evil-word: [", "is not a kubeconfig"),
    "a login page": (b"<html>evil-word</html>", "is not a kubeconfig"),
    "binary": (bytes(range(256)), "is not a kubeconfig"),
    "UTF-16": (raw(kubeconfig()).decode().encode("utf-16"), "is not a kubeconfig"),
    "a byte order mark": (b"\xef\xbb\xbf" + raw(kubeconfig()), "is not a kubeconfig"),
    "a key twice": (raw(kubeconfig()) + b"current-context: default\n", "is not a kubeconfig"),
    "an alias": (raw(kubeconfig()) + b"extensions: [&a x, *a]\n", "is not a kubeconfig"),
    "two documents": (raw(kubeconfig()) + b"---\n" + raw(kubeconfig()), "is not a kubeconfig"),
    "a tag that makes an object": (b"!!python/object/apply:os.system [evil-word]", "is not a kubeconfig"),
    "100,000 levels": (b"[" * 100_000, "is not a kubeconfig"),
    "a megabyte": (raw(kubeconfig()) + b"#" * (1 << 20), "is not a kubeconfig"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_sites_kubeconfig_may_not_say_is_refused_without_its_words(tmp_path: Path, case: str) -> None:
    """Nothing is kept, nothing of its contents is told, and it says what to do."""
    body, words = REFUSED[case]
    private = PrivateFiles(tmp_path, site_is_here=True)
    with pytest.raises(ActionFailed, match=words) as told:
        private.keep_kubeconfig(body, "the parameter /x")
    assert WORD not in told.value.diagnostics()
    assert "s3cr3t" not in told.value.diagnostics()
    assert all(line.isprintable() for line in told.value.diagnostics().split("\n"))
    assert not private.kubeconfig.exists()
    private.write(private.kubeconfig.name, body)  # as an older drfsm kept it
    with pytest.raises(ActionFailed, match=words):
        private.held_kubeconfig()


def test_what_does_nothing_is_passed_over_and_the_operators_own_file_may_do_as_he_likes(tmp_path: Path) -> None:
    """Empty and false fields, a name that is the server's own, extensions; and all of it in a file of his own."""
    idle = {"proxy-url": "", "insecure-skip-tls-verify": False, "tls-server-name": "198.51.100.4", "extensions": []}
    body = raw(kubeconfig(**idle, user={"as": ""}))
    assert PrivateFiles(tmp_path).keep_kubeconfig(body, "x").server == SITE
    assert (tmp_path / "dr.kubeconfig.yaml").read_bytes() == body
    loud = {"proxy-url": "http://proxy", "insecure-skip-tls-verify": True, "user": {"as": "root", "exec": {}}}
    assert described(raw(kubeconfig(**loud)), "mine", own=True).server == SITE


# --- this machine ---------------------------------------------------------------------------------------

LOCAL = (
    "127.0.0.1", "127.8.9.1", "127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "LOCALHOST", "x.localhost",
    "localhost.localdomain", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]",  # noqa: S104  not bound to
    "[::ffff:7f00:1]", "ip6-localhost",
)  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_a_loopback_address_is_named_as_what_it_is(tmp_path: Path, host: str) -> None:
    """However it is written, it is this machine and not the site; where nothing else is known, the mend is said."""
    body = k3s(6443, issue("site", tmp_path).authority, server=f"https://{host}:6443")
    with pytest.raises(ActionFailed, match="which is this machine, not the site") as told:
        PrivateFiles(tmp_path).keep_kubeconfig(body, "the parameter /x")
    assert "--tls-san" in told.value.hint
    assert "DRFSM_SITE_ON_THIS_MACHINE=1" in told.value.hint
    assert not PrivateFiles(tmp_path).kubeconfig.exists()
    assert PrivateFiles(tmp_path, site_is_here=True).keep_kubeconfig(body, "x").server == f"https://{host}:6443"
    assert PrivateFiles(tmp_path).held_kubeconfig() is not None  # what was kept was looked at when it was kept
    assert not is_loopback(SITE)


# --- where it leads instead -------------------------------------------------------------------------------


@contextmanager
def serving(chain: Path, address: str = "127.0.0.2") -> Iterator[int]:
    """Serve TLS at an address of the site's, with this certificate; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with socket.create_server((address, 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context), daemon=True).start()
        yield int(listening.getsockname()[1])


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        with suppress(OSError), plain, context.wrap_socket(plain, server_side=True):
            pass


def k3s(port: int, authority: str, **more: Any) -> bytes:
    """Return the kubeconfig that k3s writes."""
    data = base64.b64encode(authority.encode()).decode()
    return raw(kubeconfig(**{"server": f"https://127.0.0.1:{port}", "certificate-authority-data": data, **more}))


def test_an_address_whose_certificate_is_proven_takes_its_place(tmp_path: Path) -> None:
    """The first address that answers as the file's own authority says; all else in the file stays."""
    made = issue("site", tmp_path, "127.0.0.2")
    private = PrivateFiles(tmp_path / "private")
    with serving(made.chain) as port:
        kept = private.keep_kubeconfig(k3s(port, made.authority), "x", lambda: ["127.0.0.3", "127.0.0.2"])
    assert kept.server == f"https://127.0.0.2:{port}"
    assert private.held_kubeconfig() == kept
    found = yaml.safe_load(private.kubeconfig.read_bytes())
    assert found["users"] == kubeconfig()["users"]
    assert private.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_a_certificate_that_names_only_the_machine_itself_proves_its_address(tmp_path: Path) -> None:
    """K3s's names no public address: by the file's own authority and name it is proven, and held to that name."""
    made = issue("site", tmp_path)
    private = PrivateFiles(tmp_path / "private")
    with serving(made.chain) as port:
        kept = private.keep_kubeconfig(k3s(port, made.authority), "x", lambda: ["127.0.0.2"])
        assert kept.server == f"https://127.0.0.2:{port}"
        assert private.held_kubeconfig() == kept
        with pytest.raises(Unreachable, match="ProtocolError"):  # not TLS: the name was taken, and no HTTP came
            KubeCluster("dr", private.kubeconfig).uid()
    found = yaml.safe_load(private.kubeconfig.read_bytes())
    assert found["clusters"][0]["cluster"]["tls-server-name"] == "127.0.0.1"


@pytest.mark.parametrize("case", ["another address", "another authority", "nobody there"])
def test_an_address_that_is_not_proven_is_not_taken(tmp_path: Path, case: str) -> None:
    """A certificate of another name or authority holds with the mend; where nobody answers, it may yet."""
    made = issue("site", tmp_path, "127.0.0.9" if case == "another address" else "127.0.0.2")
    (tmp_path / "other").mkdir()
    other = issue("other", tmp_path / "other", "127.0.0.2")
    authority = other.authority if case == "another authority" else made.authority
    private = PrivateFiles(tmp_path / "private")
    address = "127.0.0.3" if case == "nobody there" else "127.0.0.2"
    kind, words = (
        (Unreachable, "lets this machine's address in") if case == "nobody there" else (ActionFailed, "--tls-san")
    )
    with serving(made.chain) as port, pytest.raises(kind, match=address) as told:
        private.keep_kubeconfig(k3s(port, authority), "x", lambda: [address])
    assert words in told.value.hint
    assert not private.kubeconfig.exists()


@pytest.mark.parametrize(
    ("data", "words"), [("", "no authority"), ("!", "an invalid certificate"), ("eA==", "an invalid certificate")]
)
def test_without_an_authority_nothing_can_be_proven(tmp_path: Path, data: str, words: str) -> None:
    """Then no address takes the place of this machine's."""
    body = raw(kubeconfig(**{"server": "https://127.0.0.1:6443", "certificate-authority-data": data}))
    with pytest.raises(ActionFailed, match=words):
        PrivateFiles(tmp_path).keep_kubeconfig(body, "x", lambda: ["127.0.0.2"])
