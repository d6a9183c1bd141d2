"""Who drfsm is on a cluster, and by whose clock: kubeconfigs, tokens and their renewal, impersonation, certificates.

Real API servers on loopback: the sandbox's, or a small one that writes down what every request carried.
"""

import json
import os
import ssl
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drfsm.adapters.kube import KubeCluster
from drfsm.dr.objects import time_of
from drfsm.dr.sites import cron_forecast
from drfsm.dr.validation import job as validation_job
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.kubernetes.certificates import issue
from tests.bench.answering import Answering, Request, Told, told

REFUSED = told(
    {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "no"},
    401,
)
SECRET = "s3cr3t-token-that-no-message-may-hold"
API_VERSION = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """Return one of the sandbox's clusters."""
    with EmulatedCluster("site", tmp_path_factory.mktemp("site"), {}) as cluster:
        yield cluster


def good(request: Request) -> Told:
    """Answer as a server that has the namespace kube-system and permits everything."""
    if request.method == "POST":
        return told({**json.loads(request.body), "metadata": {}, "status": {"allowed": True}}, 201)
    kept = {"uid": "u-1", "resourceVersion": "1", "creationTimestamp": "2026-02-27T00:22:29Z"}
    return told({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", **kept}})


@pytest.fixture
def api() -> Iterator[Answering]:
    """Serve that, until a test says otherwise."""
    with Answering(good) as server:
        yield server


def as_user(emulated: EmulatedCluster, directory: Path, **more: Any) -> KubeCluster:
    """Return the sandbox's cluster, through a kubeconfig whose user has more fields."""
    config = yaml.safe_load(emulated.kubeconfig.read_bytes())
    config["users"][0]["user"] |= more
    (directory / "kubeconfig.yaml").write_text(yaml.safe_dump(config))
    return KubeCluster("site", directory / "kubeconfig.yaml")


def test_the_cluster_says_who_we_are_and_what_time_it_is(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The user is the one of its token, or the one that the kubeconfig says to be; the time is the server's."""
    cluster = KubeCluster("site", emulated.kubeconfig)
    assert cluster.now() is None, "nothing was asked yet"
    assert cluster.whoami() == "sandbox-operator"
    now = cluster.now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    assert as_user(emulated, tmp_path, **{"as": "ann"}).whoami() == "ann"
    assert KubeCluster("site", Path(os.devnull)).whoami() == "untold"


def test_whom_a_kubeconfig_says_to_be_goes_with_every_request(api: Answering, tmp_path: Path) -> None:
    """User, uid, every group and extra field, in a read, a write and a question of permission."""
    user = {"token": "t", "as": "ann", "as-uid": "u", "as-groups": ["a", "b"], "as-user-extra": {"Dept/X": ["1", "2"]}}
    cluster = KubeCluster("site", api.kubeconfig(tmp_path, user))
    cluster.uid()
    cluster.allowed("get", "", "pods", "ns")
    with pytest.raises(Unreadable):
        cluster.delete("Pod", "ns", "x")
    assert [each.method for each in api.seen] == ["GET", "POST", "DELETE"]
    for each in api.seen:
        assert each.header("Impersonate-User") == ["ann"]
        assert each.header("Impersonate-Uid") == ["u"]
        assert each.header("Impersonate-Group") == ["a", "b"]
        assert each.header("Impersonate-Extra-dept%2Fx") == ["1", "2"]


@pytest.mark.parametrize(
    "user",
    [
        {"as-groups": ["a"]},
        {"as": "ann", "as-groups": "a"},
        {"as": "ann\r\nX: y"},
        {"as": 7},
        {"as": "ann", "as-user-extra": ["a"]},
        {"token": 7},
        {"token": "a\nb"},
        {"tokenFile": "nowhere"},
        {"client-certificate-data": "?", "client-key-data": "?"},
        {"client-certificate": "nowhere"},
        {"exec": {"command": "x"}},
        {"exec": "x"},
    ],
    ids=str,
)
def test_a_kubeconfig_that_can_not_be_used_is_wrong_usage(user: dict[str, Any], api: Answering, tmp_path: Path) -> None:
    """Nobody is asked, and the message names the file and no word of its credentials."""
    user = {**user, **({} if user.keys() & {"token", "tokenFile", "exec"} else {"token": SECRET})}
    kubeconfig = api.kubeconfig(tmp_path, user)
    if "client-certificate-data" in user:  # keys are for TLS
        kubeconfig.write_text(kubeconfig.read_text().replace("http:", "https:"))
    with pytest.raises(UsageFault) as fault:
        KubeCluster("site", kubeconfig).uid()
    assert str(kubeconfig) in fault.value.what
    assert SECRET not in fault.value.diagnostics()
    assert fault.value.what.isprintable()
    assert not api.seen


# --- renewal --------------------------------------------------------------------------------------------


def taking(*tokens: str) -> Any:
    """Return a server that takes these tokens only."""
    return lambda request: good(request) if request.header("Authorization")[0][7:] in tokens else REFUSED


def test_a_token_file_is_read_again_after_a_refusal(api: Answering, tmp_path: Path) -> None:
    """A token that was rotated in its file is used, at once, for a write too; the same one again is a refusal."""
    (tmp_path / "token").write_text("old\n")
    cluster = KubeCluster("site", api.kubeconfig(tmp_path, {"tokenFile": "token"}))
    cluster.get("Namespace", "", "kube-system")
    api.answer = taking("new")
    (tmp_path / "token").write_text("new\n")
    assert cluster.get("Namespace", "", "kube-system")
    assert [each.header("Authorization") for each in api.seen] == [["Bearer old"], ["Bearer old"], ["Bearer new"]]
    api.answer, api.seen[:] = taking("newer"), []
    with pytest.raises(ActionFailed, match="401") as fault:
        cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "ns"}})
    assert len(api.seen) == 2
    assert "renew" in fault.value.hint


def test_a_token_that_stands_in_the_kubeconfig_is_tried_once(api: Answering, tmp_path: Path) -> None:
    """Nothing renews it, so a refusal is a refusal, and its next step is to renew it."""
    api.answer = lambda _request: REFUSED
    with pytest.raises(ActionFailed, match="401") as fault:
        KubeCluster("site", api.kubeconfig(tmp_path)).uid()
    assert len(api.seen) == 1
    assert "renew" in fault.value.hint


def plugin(directory: Path, script: str) -> Mapping[str, Any]:
    """Return the entry of a program of credentials, a shell script below ``directory``."""
    program = directory / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return {"apiVersion": API_VERSION, "command": "./plugin", "interactiveMode": "Never"}


def credential(**status: Any) -> str:
    """Return what a program prints."""
    return json.dumps({"apiVersion": API_VERSION, "kind": "ExecCredential", "status": status})


def counting(expires: str) -> str:
    """Return a script that prints the tokens t1, t2, … ."""
    status = f'{{"token": "t\'$n\'", "expirationTimestamp": "{expires}"}}'
    return f"""n=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n > count
echo '{{"apiVersion": "{API_VERSION}", "kind": "ExecCredential", "status": {status}}}'"""


def test_a_program_of_credentials_is_run_again_before_its_token_expires_and_after_a_refusal(
    api: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run while the token holds; another in the second half of a short life; another after a 401."""
    monkeypatch.chdir(tmp_path)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cluster = KubeCluster("site", api.kubeconfig(tmp_path, {"exec": plugin(tmp_path, counting(soon))}))
    for _ in range(3):
        cluster.get("Namespace", "", "kube-system")
    assert {each.header("Authorization")[0] for each in api.seen} == {"Bearer t1"}
    api.answer, api.seen[:] = taking("t2"), []
    cluster.get("Namespace", "", "kube-system")
    assert [each.header("Authorization")[0] for each in api.seen] == ["Bearer t1", "Bearer t2"]
    api.answer = good
    past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    short = KubeCluster("site", api.kubeconfig(tmp_path, {"exec": plugin(tmp_path, counting(past))}))
    for _ in range(2):
        short.get("Namespace", "", "kube-system")
    assert [each.header("Authorization")[0] for each in api.seen[-2:]] == ["Bearer t3", "Bearer t4"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "is not installed on this machine"),
        (f"echo {SECRET} >&2; exit 3", "it exits with 3"),
        (f"echo the session is over >&2; echo {SECRET}; exit 1", "the session is over"),
        (f"echo {SECRET}", "its output is not one JSON object"),
        ("head -c 2000000 /dev/zero", "its output is not one JSON object"),
        ("echo '[]'", "its output is not one JSON object"),
        ("echo '{}'", "not an ExecCredential"),
        (f"echo '{credential().replace('/v1', '/v1beta1')}'", "not an ExecCredential"),
        (f"echo '{credential()}'", "neither a token nor a certificate"),
        (f"echo '{credential(token=7)}'", "not strings"),
        (f"echo '{credential(clientCertificateData=SECRET)}'", "neither a token nor a certificate"),
        (f"echo '{credential(token=SECRET, expirationTimestamp='soon')}'", "is not a time"),
    ],
    ids=lambda each: each or "no program",
)
def test_a_program_that_gives_no_credentials_is_named_as_that(
    script: str | None, why: str, api: Answering, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not a missing permission, nobody is asked, nothing is printed, no secret is told, and there is a next step."""
    entry = plugin(tmp_path, script or "")
    if script is None:
        entry = {**entry, "command": "aws-that-is-not-there", "installHint": "see the cloud's pages"}
    with pytest.raises(Unreadable) as fault:
        KubeCluster("site", api.kubeconfig(tmp_path, {"exec": entry})).get("Namespace", "", "kube-system")
    assert why in fault.value.what
    assert entry["command"] in fault.value.what
    assert (fault.value.fault, bool(fault.value.hint)) == ("operator", True)
    assert SECRET not in fault.value.diagnostics()
    assert ("see the cloud's pages" in fault.value.hint) is (script is None)
    assert capfd.readouterr() == ("", "")
    assert not api.seen


# --- certificates ---------------------------------------------------------------------------------------


def client_keys() -> tuple[bytes, bytes]:
    """Return a certificate that vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    draft = draft.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return draft.sign(key, hashes.SHA256()).public_bytes(pem), private


@pytest.mark.parametrize("of", ["data", "files", "a program"])
def test_a_client_key_never_lies_in_a_file_of_ours(of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is used there is no file of it, so that nothing is left whatever ends the process; TLS holds it true."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    certificate, key = client_keys()
    if of == "data":
        user: Any = {"client-certificate-data": certificate, "client-key-data": key}
        user = {name: b64encode(value).decode() for name, value in user.items()}
    elif of == "files":
        (tmp_path / "own.crt").write_bytes(certificate)
        (tmp_path / "own.key").write_bytes(key)
        user = {"client-certificate": "own.crt", "client-key": "own.key"}
    else:
        (tmp_path / "said").write_text(
            credential(clientCertificateData=certificate.decode(), clientKeyData=key.decode())
        )
        user = {"exec": plugin(tmp_path, f"cat {tmp_path}/said")}
    issued = issue("site", tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.chain)
    tls.load_verify_locations(cadata=certificate.decode())
    tls.verify_mode = ssl.CERT_REQUIRED
    left: list[str] = []

    def answer(request: Request) -> Told:
        left.extend(each.name for each in scratch.iterdir())
        return good(request)

    with Answering(answer, tls) as api:
        authority = {"certificate-authority-data": b64encode(issued.authority.encode()).decode()}
        cluster = KubeCluster("site", api.kubeconfig(tmp_path, user, **authority))
        assert cluster.uid() == "u-1"
        assert len(api.seen) == 1
        assert api.seen[0].header("Authorization") == []
    assert left == []


# --- the server's clock ---------------------------------------------------------------------------------


class Late:
    """A clock of this machine that is an hour ahead."""

    def now(self) -> str:
        """Return the time of day."""
        return (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    def monotonic(self) -> float:
        """Return seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Pause."""
        time.sleep(seconds)


def asked_by_a_clock_that_is_late(
    api: Answering, directory: Path, header: dict[str, str]
) -> tuple[KubeCluster, Any, datetime]:
    """Return a cluster whose answers have this header, an object of it, and what is taken for its time."""
    api.answer = lambda request: good(request)._replace(headers=header)
    cluster = KubeCluster("site", api.kubeconfig(directory))
    namespace = cluster.get("Namespace", "", "kube-system")
    assert namespace is not None
    run = Run("run", {}, "ann", 1, dry_run=False, trigger="t", results={}, args={}, clock=Late())
    return cluster, namespace, time_of(cluster, run)


@pytest.mark.parametrize("header", [{}, {"Date": "\u00e9 99"}], ids=["none", "garbage"])
def test_where_no_time_is_served_this_machines_clock_is_taken(
    header: dict[str, str], api: Answering, tmp_path: Path
) -> None:
    """A cluster that says no time, or garbage, has none; ages then go by the run's own clock."""
    cluster, _, now = asked_by_a_clock_that_is_late(api, tmp_path, header)
    assert cluster.now() is None
    assert (now - datetime.now(UTC)).total_seconds() > 3000


def test_ages_go_by_the_clock_that_stamped_the_objects(api: Answering, tmp_path: Path) -> None:
    """A Job that is two seconds old is not an hour old where this machine's clock is wrong; nor was a start missed."""
    served = {"Date": "Fri, 27 Feb 2026 00:22:31 GMT"}
    cluster, namespace, now = asked_by_a_clock_that_is_late(api, tmp_path, served)
    assert not validation_job._too_long(namespace, now, 90)
    spec = {"schedule": "0 1 * * *", "startingDeadlineSeconds": None}
    thawed = cron_forecast.thaw({"metadata": namespace["metadata"], "spec": spec}, now)
    assert thawed == {"starts_at_once": None, "next": "2026-02-27T01:00:00Z"}
    time.sleep(0.01)
    later = cluster.now()
    assert later is not None
    assert later > now
