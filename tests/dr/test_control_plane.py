"""The published configuration against the primary's ConfigMaps: real S3 (moto), the real clients, hostile bundles."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.kube import KubeCluster
from drfsm.dr.control_plane import read as control_plane
from drfsm.dr.control_plane.read import BundleFault, read_bundle
from drfsm.dr.workload import shipped
from drfsm.engine import Run
from drfsm.engine.ports import SystemClock
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud, Identity
from drfsm.sandbox.kubernetes.refusals import not_found
from drfsm.sandbox.seed import CONTROL_PLANE, NAMESPACE, Options, manifests, publish_control_plane

BUCKET = "control-plane"
HOME = "control-plane"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One moto server, and an operator's credentials for it."""
    with Cloud() as started, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        started.create_bucket(BUCKET)
        yield started


# --- a site's ConfigMaps, behind the Kubernetes API ------------------------------------------------------


@frozen
class Site:
    """A cluster that knows ConfigMaps, and the client to read them."""

    configmaps: dict[str, dict[str, Any]]
    cluster: KubeCluster


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve the seed's control-plane ConfigMaps as an API server would."""
    found = manifests("primary", Options(bucket=BUCKET), Identity("arn", "key", "secret"), "http://s3")
    configmaps = {each["metadata"]["name"]: deepcopy(each) for each in found if each["kind"] == "ConfigMap"}
    for number, each in enumerate(configmaps.values()):  # what a cluster gives to each object that it keeps
        kept = {"uid": f"uid-{number}", "resourceVersion": str(number), "creationTimestamp": "2026-02-27T00:22:29Z"}
        each["metadata"] |= {"namespace": NAMESPACE, **kept}

    metadata = {"name": NAMESPACE, "uid": "uid-n", "resourceVersion": "1", "creationTimestamp": "2026-02-27T00:22:29Z"}
    namespaces = {NAMESPACE: {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}}

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            home, _, name = self.path.rpartition("/")
            objects = {f"/api/v1/namespaces/{NAMESPACE}/configmaps": configmaps, "/api/v1/namespaces": namespaces}
            manifest = objects.get(home, {}).get(name)
            known = manifest is not None
            body = json.dumps(manifest if known else not_found("configmaps", name).body()).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        kubeconfig = tmp_path / "kubeconfig"
        named = [
            {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}},
            {"name": "here", "context": {"cluster": "here", "user": "here"}},
            {"name": "here", "user": {"token": "t"}},
        ]
        config = dict(zip(("clusters", "contexts", "users"), ([each] for each in named), strict=True))
        kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "here", **config}))
        yield Site(configmaps, KubeCluster("primary", kubeconfig))
        server.shutdown()


@frozen
class World:
    """As much of a world as the fact touches."""

    store: S3Store
    primary: KubeCluster


@frozen
class Bench:
    """A prefix of one's own with a published control plane, and the site."""

    cloud: Cloud
    store: S3Store
    site: Site
    prefix: str

    def current(self) -> dict[str, Any]:
        """Return current.json."""
        blob = self.store.get(f"{self.prefix}/control-plane/current.json")
        assert blob is not None
        found: dict[str, Any] = json.loads(blob.body)
        return found

    def point(self, **changes: Any) -> None:
        """Change current.json."""
        body = json.dumps({**self.current(), **changes}).encode()
        self.store.put(f"{self.prefix}/control-plane/current.json", body)

    def observed(self) -> tuple[Any, str | None]:
        """Return what the fact sees, and how it is judged."""
        run = Run(
            id="failback-1",
            inputs={"workload": "", "prefix": self.prefix, "candidate": "local", "namespace": NAMESPACE},
            operator="test", epoch=1, dry_run=False, trigger="assess_primary", results={}, args={}, clock=SystemClock(),
        )  # fmt: skip
        fact = control_plane.FACTS["control_plane"]
        seen = fact.observe(World(self.store, self.site.cluster), run)
        assert json.loads(json.dumps(seen)) == seen
        return seen, fact.judge(seen, run.inputs)

    def data(self, section: str) -> dict[str, str]:
        """Return the live data of a section, to be changed."""
        found: dict[str, str] = self.site.configmaps[f"jobintel-control-plane-{section}"]["data"]
        return found


@pytest.fixture
def bench(cloud: Cloud, site: Site, request: pytest.FixtureRequest) -> Bench:
    """Publish the seed's control plane below a prefix of the test's own."""
    prefix = f"p-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    publish_control_plane(cloud, Options(bucket=BUCKET, prefix=prefix))
    return Bench(cloud, connect(bucket=BUCKET, endpoint_url=cloud.endpoint, region=REGION)[0], site, prefix)


# --- the fact -------------------------------------------------------------------------------------------


def test_a_primary_that_runs_with_what_was_published_is_equal(bench: Bench) -> None:
    """The seed's ConfigMaps equal the bundle that current.json names, which is on record with its hash."""
    seen, value = bench.observed()
    assert value == "equal"
    assert seen["current"]["bundle_uri"].startswith(f"s3://{BUCKET}/{bench.prefix}/control-plane/bundles/")
    assert {name: each["files"] for name, each in seen["sections"].items()} == {
        "candidates": 2, "alerts": 1, "providers": 1, "scoring": 1,
    }  # fmt: skip


def test_how_json_is_written_does_not_matter(bench: Bench) -> None:
    """The same JSON with other spaces, order of keys and last newline is equal, also as binaryData."""
    scoring, alerts = bench.data("scoring"), bench.data("alerts")
    scoring["scoring.v1.json"] = json.dumps(dict(reversed(json.loads(scoring["scoring.v1.json"]).items())))
    body = alerts.pop("alerts.json").encode()
    configmap = bench.site.configmaps["jobintel-control-plane-alerts"]
    configmap["binaryData"] = {"alerts.json": base64.b64encode(body).decode()}
    assert bench.observed()[1] == "equal"


def test_one_changed_value_is_different_and_only_hashes_are_recorded(bench: Bench) -> None:
    """The file that differs is named with both hashes; its content, which may be secret, is not recorded."""
    alerts = bench.data("alerts")
    alerts["alerts.json"] = alerts["alerts.json"].replace("90", "91").replace("new-top-job", "https://hook/SECRET")
    seen, value = bench.observed()
    assert value == "different"
    assert seen["sections"]["alerts"]["changed"] == 1
    hashes = seen["sections"]["alerts"]["first"]["changed"]["alerts.json"]
    assert hashes["live"] == hashlib.sha256(alerts["alerts.json"].encode()).hexdigest() != hashes["published"]
    assert "SECRET" not in json.dumps(seen)


def test_a_key_that_is_missing_and_one_too_many_are_different(bench: Bench) -> None:
    """Keys with ``/`` as ``__`` are held against the published files in both directions."""
    candidates = bench.data("candidates")
    candidates["local__other.json"] = candidates.pop("local__candidate_profile.json")
    seen, value = bench.observed()
    assert value == "different"
    assert seen["sections"]["candidates"]["first"].keys() == {"missing", "extra"}
    assert seen["sections"]["candidates"]["first"]["missing"].keys() == {"local__candidate_profile.json"}


def test_a_missing_configmap_is_different(bench: Bench) -> None:
    """A section that the primary doesn't have at all is said to be absent."""
    del bench.site.configmaps["jobintel-control-plane-providers"]
    seen, value = bench.observed()
    assert value == "different"
    assert (seen["sections"]["providers"]["configmap"], seen["sections"]["providers"]["missing"]) == ("absent", 1)


def test_a_value_that_is_no_base64_is_different(bench: Bench) -> None:
    """Damaged binaryData is a difference, not a crash."""
    bench.site.configmaps["jobintel-control-plane-alerts"] |= {"data": {}, "binaryData": {"alerts.json": "%%"}}
    assert bench.observed()[1] == "different"


def test_without_current_json_it_is_absent(bench: Bench) -> None:
    """Only where nothing was ever published the fact is ``absent``."""
    bench.store.delete(f"{bench.prefix}/control-plane/current.json")
    assert bench.observed() == ({"current": None, "fault": "", "sections": {}}, "absent")


POINTING: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "a wrong hash": ({"bundle_sha256": "0" * 64}, "its SHA-256 is "),
    "a hash that is none": ({"bundle_sha256": "abc"}, "no valid bundle_uri and bundle_sha256"),
    "no bundle": ({"bundle_uri": None}, "no valid bundle_uri and bundle_sha256"),
    "another bucket": ({"bundle_uri": "s3://elsewhere/control-plane/bundles/b.tar.gz"}, "which is not below"),
    "a key outside": ({"bundle_uri": f"s3://{BUCKET}/other/control-plane/bundles/b.tar.gz"}, "which is not below"),
}


@pytest.mark.parametrize("case", POINTING)
def test_a_current_json_that_leads_astray_is_different(bench: Bench, case: str) -> None:
    """What can't be verified is never equal and never absent; the record says why."""
    changes, reason = POINTING[case]
    bench.point(**changes)
    seen, value = bench.observed()
    assert value == "different"
    assert reason in seen["fault"]


def test_a_bundle_that_is_gone_is_different(bench: Bench) -> None:
    """A current.json that names what isn't there is a fault on record."""
    bench.store.delete(bench.current()["bundle_uri"].removeprefix(f"s3://{BUCKET}/"))
    seen, value = bench.observed()
    assert value == "different"
    assert seen["fault"].endswith("does not exist")


def test_hostile_words_in_current_json_reach_a_journal_as_numbers(bench: Bench) -> None:
    """A lone surrogate or an escape sequence in current.json is recorded in a way that UTF-8 can carry."""
    bench.point(git_sha="\ud800\x1b[2J", bundle_uri="s3://\udfff", created_at="x" * 5000)
    seen, value = bench.observed()
    assert value == "different"
    text = json.dumps(seen, ensure_ascii=False)
    assert text.isprintable()
    assert text.encode()
    assert len(text) < 2000


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"bundle_uri": 1, "bundle_uri": 2}', b"\xff\xfe"])
def test_a_current_json_that_cannot_be_read_is_different(bench: Bench, raw: bytes) -> None:
    """Bytes that are no JSON object are told apart from there being none."""
    bench.store.put(f"{bench.prefix}/control-plane/current.json", raw)
    seen, value = bench.observed()
    assert value == "different"
    assert "current.json" in seen["fault"]


def test_a_flipped_byte_in_the_bundle_is_different(bench: Bench) -> None:
    """A bundle of the same size with one other byte is refused by its hash."""
    key = bench.current()["bundle_uri"].removeprefix(f"s3://{BUCKET}/")
    blob = bench.store.get(key)
    assert blob is not None
    bench.store.put(key, blob.body[:50] + bytes([blob.body[50] ^ 1]) + blob.body[51:])
    seen, value = bench.observed()
    assert value == "different"
    assert "its SHA-256 is" in seen["fault"]


# --- a bundle -------------------------------------------------------------------------------------------

FILES = {
    f"{section}/{name}": json.dumps(body).encode()
    for section, named in CONTROL_PLANE.items()
    for name, body in named.items()
}


@frozen
class Bundle:
    """A bundle in the making: files with their manifest, and whatever else is to be in the archive."""

    files: dict[str, bytes] = field(factory=lambda: dict(FILES))
    manifest: dict[str, Any] = field(factory=dict)
    more: list[tuple[tarfile.TarInfo, bytes]] = field(factory=list)
    unlisted: dict[str, bytes] = field(factory=dict)

    def tar(self) -> bytes:
        """Return the archive."""
        listed = [
            {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
            for path, body in self.files.items()
        ]
        manifest = {"schema_version": 1, "supported_sections": list(CONTROL_PLANE), "files": listed, **self.manifest}
        members = {**self.files, **self.unlisted, "manifest.json": json.dumps(manifest).encode()}
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path, body in members.items():
                tar.addfile(*regular(f"{HOME}/{path}", body))
            for info, body in self.more:
                tar.addfile(info, io.BytesIO(body))
        return stream.getvalue()

    def raw(self) -> bytes:
        """Return the bundle."""
        return gzip.compress(self.tar(), mtime=0)


def regular(name: str, body: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    """Return a regular member."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    return info, io.BytesIO(body)


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def plain(name: str, body: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    """Return a regular member for ``more``."""
    return regular(name, body)[0], body


def leading_back() -> bytes:
    """Return a bundle with a member of negative size: the archive would lead back to where it began."""
    info = tarfile.TarInfo(f"{HOME}/alerts/back.json")
    info.size = -1024
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + Bundle().tar())


def full_of_holes() -> bytes:
    """Return a bundle with a sparse member as newer tars write it: a regular file with an extended header."""
    info = tarfile.TarInfo(f"{HOME}/alerts/holes.json")
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1000000000000"}
    return gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + Bundle().tar())


def read(raw: bytes) -> Mapping[str, Mapping[str, bytes]]:
    """Read a bundle by its own hash."""
    return read_bundle(raw, hashlib.sha256(raw).hexdigest(), shipped())


def faults(raw: bytes) -> tuple[str, ...]:
    """Return what a bundle is refused for."""
    with pytest.raises(BundleFault) as caught:
        read(raw)
    return caught.value.faults


def test_a_whole_bundle_is_read_by_section_and_name() -> None:
    """Every file comes back byte for byte; directories and a leading ``./`` are as good as none."""
    more = [special(f"{HOME}/", tarfile.DIRTYPE), special(f"./{HOME}/alerts", tarfile.DIRTYPE)]
    found = read(Bundle(more=more).raw())
    assert {f"{section}/{name}": body for section, files in found.items() for name, body in files.items()} == FILES
    assert list(found) == ["candidates", "alerts", "providers", "scoring"]


ARCHIVES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "a parent's member": (lambda: Bundle(more=[plain(f"{HOME}/../escape")]).raw(), "is not below control-plane/"),
    "an absolute member": (lambda: Bundle(more=[plain(f"/{HOME}/alerts/x")]).raw(), "is not below control-plane/"),
    "a member elsewhere": (lambda: Bundle(more=[plain("etc/passwd")]).raw(), "is not below control-plane/"),
    "a backslash": (lambda: Bundle(more=[plain(f"{HOME}/alerts\\..\\x")]).raw(), "is not below control-plane/"),
    "a file as the root": (lambda: Bundle(more=[plain(HOME)]).raw(), "has the path of a directory"),
    "a link": (
        lambda: Bundle(more=[special(f"{HOME}/alerts/x", tarfile.SYMTYPE, "/etc/passwd")]).raw(),
        "is not a regular file",
    ),
    "a hard link": (
        lambda: Bundle(more=[special(f"{HOME}/alerts/x", tarfile.LNKTYPE, f"{HOME}/manifest.json")]).raw(),
        "is not a regular file",
    ),
    "a device": (lambda: Bundle(more=[special(f"{HOME}/alerts/x", tarfile.CHRTYPE)]).raw(), "is not a regular file"),
    "a sparse file": (
        lambda: Bundle(more=[special(f"{HOME}/alerts/x", tarfile.GNUTYPE_SPARSE)]).raw(),
        "is not a regular file",
    ),
    "a sparse file of a terabyte": (full_of_holes, "is not a regular file"),
    "a member twice": (lambda: Bundle(more=[plain(f"{HOME}/manifest.json")]).raw(), "twice"),
    "a negative size": (leading_back, "it is not a tar archive"),
    "too many members": (
        lambda: Bundle(more=[plain(f"{HOME}/alerts/{number}", b"") for number in range(6000)]).raw(),
        "more than 5000 members",
    ),
    "no gzip": (lambda: Bundle().tar(), "it is not a gzip file"),
    "a gzip that is cut off": (lambda: Bundle().raw()[:-20], "it is cut off"),
    "something behind the end": (lambda: Bundle().raw() + b"\0" * 7, "7 bytes follow its end"),
    "a bomb": (lambda: gzip.compress(b"\0" * ((64 << 20) + 1), compresslevel=1), "unpacks to more than"),
    "a tar that is cut off": (lambda: gzip.compress(Bundle().tar()[:700]), "it is not a tar archive"),
    "no tar": (lambda: gzip.compress(b"no tar" * 200), "it is not a tar archive"),
    "an empty archive": (lambda: gzip.compress(b""), "it is not a tar archive"),
    "no manifest": (lambda: gzip.compress(b"\0" * 10240), "it has no manifest.json"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_unsafe_or_damaged_archive_is_refused_at_once(case: str) -> None:
    """One unsafe member, or an archive that isn't whole, refuses all of it, and says which."""
    make, reason = ARCHIVES[case]
    (fault,) = faults(make())
    assert reason in fault


PATH = "alerts/alerts.json"
CLAIMS: Mapping[str, tuple[Callable[[], Bundle], str]] = {
    "an unlisted file": (lambda: Bundle(unlisted={"alerts/x.json": b"{}"}), "'alerts/x.json' is not listed"),
    "a missing file": (
        lambda: Bundle(manifest={"files": [*_listed(), _entry("alerts/gone.json", b"")]}),
        "'alerts/gone.json' is listed in its manifest, but is missing",
    ),
    "a wrong size": (
        lambda: Bundle(manifest={"files": [{**each, "bytes": 7} for each in _listed()]}),
        f"'{PATH}' has {len(FILES[PATH])} bytes, its manifest says 7",
    ),
    "a wrong hash of a file": (
        lambda: Bundle(manifest={"files": [{**each, "sha256": "0" * 64} for each in _listed()]}),
        f"'{PATH}' does not have the SHA-256",
    ),
    "a file listed twice": (lambda: Bundle(manifest={"files": [*_listed(), _listed()[0]]}), "lists 'candidates/re"),
    "an entry without a path": (lambda: Bundle(manifest={"files": [*_listed(), {}]}), "files[5] of its manifest"),
    "no list of files": (lambda: Bundle(manifest={"files": {}}), "lacks the list of files"),
    "a missing section": (
        lambda: Bundle(
            files={path: body for path, body in FILES.items() if path != PATH},
            manifest={"supported_sections": ["candidates", "providers", "scoring"]},
        ),
        "the section alerts is missing",
    ),
    "an empty section": (
        lambda: Bundle(files={path: body for path, body in FILES.items() if path != PATH}),
        "the section alerts has no file",
    ),
    "an unknown section": (
        lambda: Bundle(manifest={"supported_sections": [*CONTROL_PLANE, "billing"]}),
        "the section 'billing' is unknown",
    ),
    "a file in no section": (lambda: Bundle(files={**FILES, "stray.json": b"{}"}), "'stray.json' is not in a known"),
    "no sections": (lambda: Bundle(manifest={"supported_sections": None}), "lacks the list supported_sections"),
    "another schema": (lambda: Bundle(manifest={"schema_version": 2}), "schema_version is 2, not 1"),
    "two files of one key": (
        lambda: Bundle(files={**FILES, "alerts/a__b.json": b"{}", "alerts/a/b.json": b"{}"}),
        "would be one key of a ConfigMap, a__b.json",
    ),
    "a switch of publishing": (
        lambda: Bundle(files={**FILES, "alerts/PUBLISH_S3_DRY_RUN": b"0"}),
        "alerts/'PUBLISH_S3_DRY_RUN' would switch publishing",
    ),
    "the end of one, which a prefix completes": (
        lambda: Bundle(files={**FILES, "alerts/S3": b"1"}),
        "alerts/'S3' would switch publishing",
    ),
    "a name that is no file's": (lambda: Bundle(files={**FILES, "alerts/.x": b"{}"}), "is not a valid file name"),
    "a name that is very deep": (
        lambda: Bundle(files={**FILES, "alerts/" + "a/" * 9 + "b": b"{}"}),
        "is not a valid file name",
    ),
    "a name that is no key": (lambda: Bundle(files={**FILES, "alerts/ü.json": b"{}"}), "can't be a key"),
}


def _entry(path: str, body: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


def _listed() -> list[dict[str, Any]]:
    return [_entry(path, body) for path, body in FILES.items()]


@pytest.mark.parametrize("case", CLAIMS)
def test_a_manifest_that_does_not_fit_the_files_is_refused(case: str) -> None:
    """What the manifest says and what is there must agree in both directions, section by section."""
    make, reason = CLAIMS[case]
    assert any(reason in fault for fault in faults(make().raw()))


def test_every_fault_of_a_manifest_is_told_at_once() -> None:
    """Five wrong hashes, a wrong schema and an unlisted file are seven faults of one refusal."""
    listed = [{**each, "sha256": "0" * 64} for each in _listed()]
    bundle = Bundle(manifest={"files": listed, "schema_version": 9}, unlisted={"alerts/x": b""})
    assert len(faults(bundle.raw())) == 7


def test_what_a_bundle_calls_its_files_can_neither_flood_nor_steer() -> None:
    """Thousands of faults, long names and escape sequences make a short text that is safe to print and to record."""
    names = [f"alerts/\x1b[2J{number}{'x' * 900}" for number in range(3000)]
    with pytest.raises(BundleFault) as caught:
        read(Bundle(unlisted=dict.fromkeys(names, b"")).raw())
    assert len(caught.value.faults) >= 3000
    assert len(caught.value.what) < 5000
    assert caught.value.what.isprintable()


def test_the_hash_comes_before_everything_else() -> None:
    """Bytes that are not those that were published are not even unpacked."""
    with pytest.raises(BundleFault, match="its SHA-256 is"):
        read_bundle(b"anything", "0" * 64, shipped())


def test_a_manifest_that_two_programs_could_read_differently_is_refused() -> None:
    """A key that comes twice in the manifest refuses the bundle."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(*regular(f"{HOME}/manifest.json", b'{"files": [], "files": []}'))
    assert "'files' twice" in faults(gzip.compress(stream.getvalue()))[0]
