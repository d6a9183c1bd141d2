"""`drfsm validate` and the baseline that it looks at: what a site lacks is named, and nothing of it is changed."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.adapters.registry import ImageRegistry, parsed
from drfsm.cli import main
from drfsm.dr import workload
from drfsm.dr.sites.baseline import examine, judge
from drfsm.errors import ActionFailed, ExitCode, Unreachable
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox.seed import CRONJOB, NAMESPACE
from tests.drill.world import Site

pytestmark = pytest.mark.sandbox
Manifest = dict[str, Any]


def standing_by(site: Site) -> list[str]:
    """Return the options that lead to the site that stands by."""
    return ["--kubeconfig", str(site.sandbox.dr.kubeconfig), "--bucket", site.bucket]


def test_validate_alone_proves_a_site_and_leaves_it_as_it_was(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits with 0, says its verdict, leaves a receipt that fits its schema, and site and bucket as they were.

    Here the run publishes its report too, so that it is declared; the other tests' runs are observed.
    """
    reported = ("--validation-env", "JOBINTEL_PUBLISH_RUN_REPORT=1")
    store, before = site.sandbox.dr.store, site.canonical()
    objects = {each: store.list(each)[0] for each in ("cronjobs", "configmaps", "secrets")}
    assert main.run(["validate", *standing_by(site), *reported, "--receipt-dir", str(tmp_path / "b")]) == 0
    assert "validated: " in capsys.readouterr().out
    receipt = json.loads((tmp_path / "b/validation.receipt.json").read_bytes())
    shape = json.loads((shipped("receipts_schema") / "validation.receipt.schema.json").read_bytes())
    assert (check(receipt, shape), receipt["cluster_uid"]) == ([], site.sandbox.dr.uid)
    assert receipt["verification_level"] == "declared"
    assert site.canonical() == before
    assert {each: store.list(each)[0] for each in objects} == objects
    for each in store.list("jobs", NAMESPACE)[0]:
        store.delete("jobs", NAMESPACE, each["metadata"]["name"])


def test_a_site_that_publishes_by_itself_is_not_validated(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The primary is at work: no Job is started there, and the exit code says that it failed."""
    argv = ["validate", "--kubeconfig", str(site.sandbox.primary.kubeconfig), "--bucket", site.bucket]
    assert main.run([*argv, "--receipt-dir", str(tmp_path / "b")]) == 10
    told = capsys.readouterr().out
    assert "NOT VALIDATED" in told
    assert "is not suspended" in told
    assert "drfsm-validation" not in str(site.sandbox.primary.store.list("jobs", NAMESPACE)[0])


def test_diagnostics_change_nothing_and_need_no_allowance(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They work beside a live DR, without a lease: every key has the ETag that it had, and a receipt tells all.

    That DR owns the pointers, so that a drill would be refused, is told, and is the exit code.
    """
    site.own()
    before = site.etags()
    argv = ["drill", *standing_by(site), "--diagnostics-only", "--receipt-dir", str(tmp_path / "d")]
    assert main.run(argv) == ExitCode.REFUSED
    assert site.etags() == before
    told = json.loads((tmp_path / "d/diagnostics.receipt.json").read_bytes())
    assert told["facts"]["pointer_owner"]["value"] == "dr"
    assert [each["name"] for each in told["site"]["cronjobs"]] == [CRONJOB]
    assert [reason.partition(". ")[0] for reason in told["refused"]] == ["pointer_owner is dr"]
    out = capsys.readouterr().out
    assert "a drill would be refused: pointer_owner is dr" in out
    assert "confirmed: no: neither --expect-account nor EXPECTED_ACCOUNT_ID" in out


REFUSALS: dict[str, tuple[dict[str, str], str]] = {
    "a backup that is not there": ({"--backup-uri": "{home}/nobody-s"}, "backup_contents is missing"),
    "an image by tag": ({"--image-ref": "registry.example/jobintel:latest"}, "image is loose"),
    "another account": ({"--expect-account": "999999999999"}, "cloud_identity is mismatched"),
    "another backup than the pinned one": ({"--expect-sha256": "0" * 64}, "backup_contents is damaged"),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize(("options", "refused"), REFUSALS.values(), ids=REFUSALS)
def test_a_plan_tells_what_a_drill_would_be_refused_for(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str], refused: str
) -> None:
    """`make dr-plan` looks at account, image and backup; of a site that is not up yet it says just that."""
    home = site.backup_uri.rpartition("/")[0]
    given = {"--backup-uri": site.backup_uri, **options}
    words = [word.format(home=home) for pair in given.items() for word in pair]
    before = site.etags()
    argv = ["drill", "--diagnostics-only", *words, "--receipt-dir", str(tmp_path / "d")]
    assert main.run(argv) == (ExitCode.REFUSED if refused else ExitCode.DONE)
    out = capsys.readouterr().out
    told = json.loads((tmp_path / "d/diagnostics.receipt.json").read_bytes())
    assert [reason.partition(". ")[0] for reason in told["refused"]] == ([refused] if refused else [])
    assert f"a drill would be refused: {refused}" in out or not refused
    assert out.count("known once the site is up") == 5
    assert "kubeconfig" not in out.replace("site_kubeconfig", "")
    assert (site.etags(), site.alive()) == (before, {})


# --- the baseline -------------------------------------------------------------------------------------------------


class Registry:
    """A registry that knows one answer."""

    def __init__(self, *answer: str) -> None:
        self._answer = answer

    def architectures(self, image: str) -> list[str]:
        """Return it."""
        if not self._answer:
            raise Unreachable(f"nobody answers for {image}")
        return list(self._answer)


def look(
    site: Site, *, identity: bool = True, registry: Any = None, place: dict[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return what the baseline of the site that stands by says, and what was seen."""
    cluster = KubeCluster("dr", site.sandbox.dr.kubeconfig)
    seen = examine(
        cluster,
        NAMESPACE,
        "",
        workload.shipped().kubernetes,
        identity=identity,
        image_ref="",
        registry=registry,
        place=place or {},
    )
    return judge(seen), seen


@contextmanager
def without(site: Site, plural: str, name: str) -> Iterator[None]:
    """Take an object away for a while."""
    store = site.sandbox.dr.store
    kept = deepcopy(store.get(plural, NAMESPACE, name))
    store.delete(plural, NAMESPACE, name)
    try:
        yield
    finally:
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            kept["metadata"].pop(field, None)
        site.sandbox.dr.apply(kept)


@contextmanager
def changed(site: Site, change: Callable[[Manifest], object]) -> Iterator[None]:
    """Have the CronJob otherwise for a while."""
    store = site.sandbox.dr.store
    before = deepcopy(store.get("cronjobs", NAMESPACE, CRONJOB))
    live = deepcopy(before)
    change(live)
    store.update("cronjobs", live)
    try:
        yield
    finally:
        now = store.get("cronjobs", NAMESPACE, CRONJOB)
        before["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
        store.update("cronjobs", before)


def pod_of(cronjob: Manifest) -> Manifest:
    """Return the pod's spec of a CronJob."""
    found: Manifest = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_a_site_that_was_restored_is_fit(site: Site) -> None:
    """All that a drill restores is all that is asked for; what nobody could tell is unknown, and no failure."""
    verdict, seen = look(site, registry=Registry())
    assert (verdict, seen["wrong"]["total"]) == ("fit", 0)
    assert "nobody answers" in seen["unknown"][0]


def test_a_site_that_would_publish_elsewhere_by_itself_is_unfit(site: Site) -> None:
    """Its validation goes beside all the same, so its own prefix is looked at: where from, and what it should be."""
    wanted = {"JOBINTEL_S3_PREFIX": site.sandbox.prefix}
    assert look(site, place=wanted)[0] == "fit"
    env = [{"name": "JOBINTEL_S3_PREFIX", "value": "elsewhere"}]
    with changed(site, lambda live: pod_of(live)["containers"][0].update(env=env)):
        verdict, seen = look(site, place=wanted)
    assert verdict == "unfit"
    assert f"CronJob {CRONJOB} sets JOBINTEL_S3_PREFIX to 'elsewhere'" in seen["wrong"]["first"][0]


@pytest.mark.parametrize(
    ("plural", "name", "told"),
    [
        ("serviceaccounts", "jobintel", "ServiceAccount jobintel does not exist"),
        ("secrets", "jobintel-secrets", "Secret jobintel-secrets does not exist"),
        ("configmaps", "jobintel-config", "ConfigMap jobintel-config does not exist"),
        ("configmaps", "jobintel-control-plane-scoring", "ConfigMap jobintel-control-plane-scoring does not exist"),
    ],
)
def test_what_is_missing_is_named(site: Site, plural: str, name: str, told: str) -> None:
    """Each object that the workload needs is looked for by name."""
    with without(site, plural, name):
        verdict, seen = look(site)
    assert verdict == "unfit"
    assert told in " ".join(seen["wrong"]["first"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda live: live["spec"].update(suspend=False), "is not suspended"),
        (lambda live: pod_of(live).update(imagePullSecrets=[{"name": "pull"}]), "pull Secret pull does not exist"),
        (lambda live: pod_of(live)["containers"][0].update(envFrom=[]), "the workload has no identity"),
    ],
)
def test_a_cronjob_that_could_not_work_is_told(site: Site, change: Callable[[Manifest], object], told: str) -> None:
    """Suspension, pull Secrets and the identity to publish with are held against what the CronJob says."""
    with changed(site, change):
        verdict, seen = look(site)
    assert verdict == "unfit"
    assert told in " ".join(seen["wrong"]["first"])


def test_the_identity_is_left_out_on_request(site: Site) -> None:
    """--skip-workload-assume says so in the observation."""
    with changed(site, lambda live: pod_of(live)["containers"][0].update(envFrom=[])):
        verdict, seen = look(site, identity=False)
    assert (verdict, seen["identity"]) == ("fit", "left out, as asked")


def test_nodes_that_are_not_ready_are_waited_for(site: Site) -> None:
    """They may come: that is no verdict on the site."""
    site.sandbox.dr.node_ready(False)  # noqa: FBT003  the sandbox's switch
    try:
        assert look(site)[0] == "not_ready"
    finally:
        site.sandbox.dr.node_ready(True)  # noqa: FBT003  likewise


def test_an_image_for_other_machines_is_unfit(site: Site) -> None:
    """Where registry and nodes both say what they are, they must have something in common."""
    store = site.sandbox.dr.store
    (node,) = store.list("nodes")[0]
    live = deepcopy(node)
    live["metadata"]["labels"] = {**(live["metadata"].get("labels") or {}), "kubernetes.io/arch": "amd64"}
    live.get("status", {}).get("nodeInfo", {}).pop("architecture", None)
    store.update("nodes", live)
    assert look(site, registry=Registry("arm64"))[0] == "unfit"
    assert look(site, registry=Registry("arm64", "amd64"))[0] == "fit"


# --- a registry ---------------------------------------------------------------------------------------------------

INDEX = {"manifests": [{"platform": {"architecture": each}} for each in ("amd64", "arm64", "unknown")]}
CONFIGURATION = {"architecture": "arm64"}
DIGEST = f"sha256:{hashlib.sha256(json.dumps(CONFIGURATION).encode()).hexdigest()}"
ANSWERS: dict[str, Any] = {
    "/v2/team/image/manifests/v1": INDEX,
    "/v2/team/plain/manifests/latest": {"config": {"digest": DIGEST}},
    f"/v2/team/plain/blobs/{DIGEST}": CONFIGURATION,
    "/token?service=here&scope=repository%3Ateam%2Fclosed%3Apull": {"token": "t"},
    "/v2/team/closed/manifests/v1": INDEX,
}


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer as a registry does; one image wants a token."""
        port = self.connection.getsockname()[1]
        if "closed" in self.path and self.path.startswith("/v2") and self.headers.get("Authorization") != "Bearer t":
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="http://127.0.0.1:{port}/token",service="here"')
            self.end_headers()
            return
        found = ANSWERS.get(self.path)
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    """Serve a registry on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_registry_is_asked_what_an_image_is_built_for(host: str) -> None:
    """By an index of platforms, by a single manifest's configuration, and with a token that anybody gets."""
    registry = ImageRegistry()
    assert registry.architectures(f"{host}/team/image:v1") == ["amd64", "arm64"]
    assert registry.architectures(f"{host}/team/plain") == ["arm64"]
    assert registry.architectures(f"{host}/team/closed:v1") == ["amd64", "arm64"]


def test_a_registry_that_does_not_tell_is_no_verdict(host: str) -> None:
    """An image that isn't there, and nobody who answers, are two words for not known."""
    with pytest.raises(ActionFailed, match="answers 404"):
        ImageRegistry().architectures(f"{host}/team/none:v1")
    with pytest.raises(Unreachable):
        ImageRegistry().architectures("127.0.0.1:1/team/image:v1")


@pytest.mark.parametrize(
    ("image", "where"),
    [
        ("a.example/b/c@sha256:00", ("a.example", "b/c", "sha256:00")),
        ("a.example:5000/b:v1@sha256:00", ("a.example:5000", "b", "sha256:00")),
        ("a.example/c:v1", ("a.example", "c", "v1")),
        ("localhost/c", ("localhost", "c", "latest")),
    ],
)
def test_an_images_name_says_where_it_lies(image: str, where: tuple[str, str, str]) -> None:
    """Host, name and tag or digest, as every container tool reads them."""
    assert tuple(parsed(image)) == where


@pytest.mark.parametrize("image", ["b/c:v1", "c", "", "a.example/"])
def test_an_image_that_names_no_registry_is_not_known(image: str) -> None:
    """Which one is meant is the cluster's setting: nothing is guessed, and nobody is asked."""
    with pytest.raises(ActionFailed, match=r"names no|is not the name of an image"):
        parsed(image)
