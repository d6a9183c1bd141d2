"""Publishing, laying out and applying a control-plane bundle: real S3 (moto), an emulated cluster, real clients."""

import gzip
import hashlib
import io
import json
import re
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr.control_plane import apply as control_plane_apply
from drfsm.dr.control_plane import bundle as control_plane_bundle
from drfsm.dr.control_plane.bundle import Origin, from_cluster, from_directory, lay_out, pack, planned, publish
from drfsm.dr.control_plane.read import SECTIONS, BundleFault, parity, published, same
from drfsm.dr.control_plane.workspace import from_workspace
from drfsm.dr.workload import shipped
from drfsm.errors import ActionFailed, Conflict, UsageFault
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import IMAGE_REF
from tests.bench.faulty import Front
from tests.bench.site import Place, emulated

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

ORIGIN = Origin("0123456789abcdef0123456789abcdef01234567", IMAGE_REF, "20260227T002229Z")
FILES: Mapping[str, dict[str, bytes]] = {
    "candidates": {"registry.json": b'{"schema_version": 3}', "local/profile.json": b"{}"},
    "alerts": {"alerts.json": b"[]"},
    "providers": {"providers.json": b"{}"},
    "scoring": {"weights.bin": b"\xff\x00\xfe"},
}
CURRENT = "jobintel/control-plane/current.json"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One cluster for all tests."""
    with emulated(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def place(cluster: EmulatedCluster) -> Place:
    """Return a new namespace of it."""
    found = Place(cluster, f"cp-{uuid.uuid4().hex[:10]}")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found.namespace}})
    return found


def folder(at: Path, files: Mapping[str, Mapping[str, bytes]] = FILES) -> Path:
    """Write a configuration as a directory."""
    for section, named in files.items():
        for name, body in named.items():
            (at / section / name).parent.mkdir(parents=True, exist_ok=True)
            (at / section / name).write_bytes(body)
    return at


def apply(place: Place, bench: "Bench", *, force: bool = False) -> Mapping[str, Any]:
    """Apply what is published."""
    bundle = published(bench.store, "jobintel", shipped())
    assert bundle is not None
    return control_plane_apply.apply(
        place.cluster, place.namespace, bundle, shipped(), force=force, check=lambda: None, say=lambda _words: None
    )


# --- packing --------------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the order of files, nor their times, nor the machine's clock is in a bundle."""
    one = pack(from_directory(folder(tmp_path / "one")), ORIGIN, shipped())
    backwards = {each: dict(reversed(FILES[each].items())) for each in reversed(SECTIONS)}
    assert (
        pack(backwards, ORIGIN, shipped()) == one == pack(from_directory(folder(tmp_path / "two")), ORIGIN, shipped())
    )
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(one))) as tar:
        found = tar.getmembers()
    assert [each.name for each in found] == sorted(each.name for each in found)
    assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in found} == {(0, 0, 0, "", 0o644)}
    assert one[4:8] == b"\0\0\0\0"


def test_the_manifest_says_what_the_issue_asks_for() -> None:
    """Schema version, time, commit, image, sections, the files' own versions, and each file with hash and size."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(pack(FILES, ORIGIN, shipped())))) as tar:
        member = tar.extractfile("control-plane/manifest.json")
        assert member is not None
        manifest = json.loads(member.read())
    assert manifest["files"][0] == {
        "path": "alerts/alerts.json", "sha256": hashlib.sha256(b"[]").hexdigest(), "bytes": 2,
    }  # fmt: skip
    assert {each: manifest[each] for each in manifest if each != "files"} == {
        "schema_version": 1,
        "created_at": ORIGIN.created_at,
        "git_sha": ORIGIN.git_sha,
        "image_ref_digest": IMAGE_REF,
        "supported_sections": list(SECTIONS),
        "schema_versions": {"candidates/registry.json": 3},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_ref_digest": "registry.example/jobintel:latest"}, "not pinned"),
        ({"image_ref_digest": f"{IMAGE_REF}0"}, "not pinned"),
        ({"git_sha": "HEAD"}, "not a git SHA"),
        ({"created_at": "2026-02-27"}, "is not a time"),
    ],
)
def test_an_origin_that_can_not_be_relied_on_is_refused(change: Mapping[str, str], words: str) -> None:
    """A tag, a name for a commit or a date is wrong usage, before anything is written."""
    given = {"git_sha": ORIGIN.git_sha, "image_ref_digest": IMAGE_REF, "created_at": ORIGIN.created_at, **change}
    with pytest.raises(UsageFault, match=words):
        pack(FILES, Origin(**given), shipped())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alerts": {}}, "the section alerts has no file"),
        ({"alerts": {"ä.json": b""}}, "can't be a key of a ConfigMap"),
        ({"alerts": {"a/b": b"", "a__b": b""}}, "would be one key"),
        ({"scoring": {"a": b"x" * (1 << 19), "b": b"x" * ((1 << 19) + 1)}}, "the section scoring has 1048577 bytes"),
    ],
)
def test_what_could_not_be_applied_is_not_published(change: Mapping[str, dict[str, bytes]], words: str) -> None:
    """An empty section, a name that is no key, and more than 1 MiB are refused, by name."""
    with pytest.raises(UsageFault, match=words):
        pack({**FILES, **change}, ORIGIN, shipped())


def test_a_section_of_exactly_one_mebibyte_is_fine(bench: "Bench", place: Place) -> None:
    """The limit is the API server's: what is at it is published, applied and read back."""
    files = {**FILES, "scoring": {"a": b"x" * (1 << 19), "b": b"x" * (1 << 19)}}
    publish(bench.store, "jobintel", pack(files, ORIGIN, shipped()), ORIGIN, shipped())
    assert apply(place, bench)["sections"]["scoring"]["bytes"] == 1 << 20


def test_a_directory_with_a_link_or_without_a_section_is_refused(tmp_path: Path) -> None:
    """A link is not followed: what it names may lie anywhere."""
    source = folder(tmp_path / "source")
    (source / "alerts" / "link.json").symlink_to("/etc/passwd")
    with pytest.raises(UsageFault, match="not a regular file"):
        from_directory(source)
    with pytest.raises(UsageFault, match="has no folder candidates"):
        from_directory(tmp_path)


# --- publishing -----------------------------------------------------------------------------------------


def test_a_published_bundle_is_current_and_holds(bench: "Bench") -> None:
    """It lies under its time and commit, current.json names it with its hash, and it reads back whole."""
    raw = pack(FILES, ORIGIN, shipped())
    bundle = publish(bench.store, "jobintel", raw, ORIGIN, shipped())
    key = "jobintel/control-plane/bundles/20260227T002229Z-0123456789ab.tar.gz"
    assert bench.body(key) == raw
    current = json.loads(bench.body(CURRENT))
    assert (current["bundle_uri"], current["bundle_sha256"]) == (f"s3://{bench.bucket}/{key}", bundle.sha256)
    assert {section: dict(files) for section, files in bundle.sections.items()} == dict(FILES)


def test_publishing_the_same_again_is_fine_and_something_else_gets_a_name_of_its_own(bench: "Bench") -> None:
    """Two of one second and one commit never share a name, and none is overwritten: current.json names the last."""
    first = publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    assert publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped()).uri == first.uri
    raw = pack({**FILES, "alerts": {"x": b"y"}}, ORIGIN, shipped())
    for _ in range(2):
        second = publish(bench.store, "jobintel", raw, ORIGIN, shipped())
        assert second.uri == f"{first.uri.removesuffix('.tar.gz')}-{second.sha256[:12]}.tar.gz"
        assert json.loads(bench.body(CURRENT))["bundle_uri"] == second.uri
    assert bench.body(first.uri.removeprefix(f"s3://{bench.bucket}/")) == pack(FILES, ORIGIN, shipped())


def test_a_bundle_in_the_place_of_one_that_is_named_by_its_content_is_not_overwritten(bench: "Bench") -> None:
    """Somebody put another content there: nothing is written, and current.json stays."""
    first = publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    raw = pack({**FILES, "alerts": {"x": b"y"}}, ORIGIN, shipped())
    taken = f"{first.uri.removesuffix('.tar.gz')}-{hashlib.sha256(raw).hexdigest()[:12]}.tar.gz"
    bench.put(taken.removeprefix(f"s3://{bench.bucket}/"), b"somebody else's")
    before = bench.everything()
    with pytest.raises(Conflict, match="although it is named by its content"):
        publish(bench.store, "jobintel", raw, ORIGIN, shipped())
    assert bench.everything() == before


@pytest.mark.parametrize("first", [True, False])
def test_who_publishes_meanwhile_wins(bench: "Bench", front: Front, *, first: bool) -> None:
    """If current.json moves between our look and our write, theirs stays, also where there was none before."""
    if not first:
        publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    theirs = b'{"theirs": true}'

    def meanwhile(method: str, path: str) -> None:
        if method == "PUT" and "/bundles/" in path:
            bench.put(CURRENT, theirs)

    front.rule = meanwhile
    later = Origin(ORIGIN.git_sha, IMAGE_REF, "20260228T000000Z")
    with pytest.raises(Conflict, match="another process meanwhile") as told:
        publish(bench.store_at(front.endpoint), "jobintel", pack(FILES, later, shipped()), later, shipped())
    assert told.value.hint
    assert bench.body(CURRENT) == theirs


# --- laying out -----------------------------------------------------------------------------------------


def test_a_bundle_is_laid_out_as_a_whole_and_overwrites_nothing(bench: "Bench", tmp_path: Path) -> None:
    """Every file and the manifest appear; a second time is refused, and changes nothing."""
    bundle = publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    lay_out(bundle, tmp_path)
    for section, named in FILES.items():
        for name, body in named.items():
            assert (tmp_path / "control-plane" / section / name).read_bytes() == body
    assert json.loads((tmp_path / "control-plane/manifest.json").read_bytes())["git_sha"] == ORIGIN.git_sha
    (tmp_path / "control-plane/alerts/alerts.json").write_bytes(b"mine")
    with pytest.raises(UsageFault, match="exists already"):
        lay_out(bundle, tmp_path)
    assert (tmp_path / "control-plane/alerts/alerts.json").read_bytes() == b"mine"
    assert from_directory(tmp_path / "control-plane").keys() == set(SECTIONS)


# --- applying -------------------------------------------------------------------------------------------


def test_an_applied_bundle_reads_back_the_same_and_can_be_published_from_there(bench: "Bench", place: Place) -> None:
    """Four ConfigMaps, text as data, bytes as binaryData; their content makes the same files again."""
    publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    done = apply(place, bench)
    assert {section: each["was"] for section, each in done["sections"].items()} == dict.fromkeys(SECTIONS, "absent")
    assert place.get("ConfigMap", "jobintel-control-plane-candidates")["data"].keys() == {
        "registry.json", "local__profile.json",
    }  # fmt: skip
    assert "binaryData" in place.get("ConfigMap", "jobintel-control-plane-scoring")
    assert from_cluster(place.cluster, place.namespace, shipped()) == dict(FILES)
    assert {each["was"] for each in apply(place, bench)["sections"].values()} == {"equal"}


def test_a_newer_bundle_takes_its_own_older_keys_away(bench: "Bench", place: Place) -> None:
    """What an earlier bundle put there and this one lacks is gone, without any force."""
    older = {**FILES, "alerts": {"alerts.json": b"[]", "old.json": b"1"}}
    publish(bench.store, "jobintel", pack(older, ORIGIN, shipped()), ORIGIN, shipped())
    apply(place, bench)
    later = Origin(ORIGIN.git_sha, IMAGE_REF, "20260228T000000Z")
    publish(bench.store, "jobintel", pack(FILES, later, shipped()), later, shipped())
    apply(place, bench)
    assert place.get("ConfigMap", "jobintel-control-plane-alerts")["data"].keys() == {"alerts.json"}


def test_what_others_set_is_a_conflict_until_it_is_taken_over(bench: "Bench", place: Place) -> None:
    """A value and a key of another manager stop it, by name; with force both give way, and the key is told."""
    publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    theirs = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"alerts.json": "theirs", "extra.json": "1"},
        "metadata": {"name": "jobintel-control-plane-alerts", "namespace": place.namespace},
    }  # fmt: skip
    place.cluster.apply(theirs, manager="argocd")
    with pytest.raises(Conflict, match=r"alerts\.json") as told:
        apply(place, bench)
    assert "--force-conflicts" in told.value.hint
    assert place.get("ConfigMap", "jobintel-control-plane-alerts")["data"]["alerts.json"] == "theirs"
    assert apply(place, bench, force=True)["sections"]["alerts"]["removed"] == ["extra.json"]
    assert from_cluster(place.cluster, place.namespace, shipped()) == dict(FILES)


def test_a_key_that_others_keep_is_never_called_applied(bench: "Bench", place: Place) -> None:
    """Without a conflict of values the apply goes through, and reading it back refuses it."""
    publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    theirs = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"extra.json": "1"},
        "metadata": {"name": "jobintel-control-plane-alerts", "namespace": place.namespace},
    }  # fmt: skip
    place.cluster.apply(theirs, manager="argocd")
    with pytest.raises(ActionFailed, match="alerts: 1 extra"):
        apply(place, bench)


def test_parity_finds_a_changed_site(bench: "Bench", place: Place) -> None:
    """One byte in one ConfigMap, and the site is not the same any more."""
    bundle = publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    apply(place, bench)
    assert same(parity(place.cluster, place.namespace, bundle, shipped()))
    place.cluster.patch("ConfigMap", place.namespace, "jobintel-control-plane-alerts", {"data": {"alerts.json": "[1]"}})
    seen = parity(place.cluster, place.namespace, bundle, shipped())
    assert not same(seen)
    assert seen["alerts"]["changed"] == 1


def test_a_corrupt_bundle_changes_no_cluster(bench: "Bench", place: Place) -> None:
    """A flipped byte is found before the first ConfigMap is written."""
    bundle = publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    bench.flip(bundle.uri.removeprefix(f"s3://{bench.bucket}/"))
    with pytest.raises(BundleFault, match="its SHA-256 is"):
        apply(place, bench)
    assert place.cluster.get("ConfigMap", place.namespace, "jobintel-control-plane-alerts") is None


def test_the_machines_fact_follows_the_action(bench: "Bench", place: Place) -> None:
    """``dr_control_plane`` is absent, then different, and equal after its action, which can be done twice."""
    run = bench.run(inputs={**bench.inputs, "namespace": place.namespace})
    fact, act = control_plane_apply.FACTS["dr_control_plane"], control_plane_apply.ACTIONS["apply_dr_control_plane"]
    world = _world(bench, place)
    with pytest.raises(ActionFailed, match="no control plane"):
        act(world, run)
    values = [fact.judge(fact.observe(world, run), run.inputs)]
    publish(bench.store, "jobintel", pack(FILES, ORIGIN, shipped()), ORIGIN, shipped())
    values.append(fact.judge(fact.observe(world, run), run.inputs))
    for _ in range(2):
        assert act(world, run)["candidate_count"] == 1
        values.append(fact.judge(fact.observe(world, run), run.inputs))
    assert values == ["absent", "different", "equal", "equal"]


def _world(bench: "Bench", place: Place) -> Any:
    from attrs import evolve

    return evolve(bench.world, dr=place.cluster)


def test_nothing_of_a_bundle_depends_on_zlibs_header() -> None:
    """The gzip header is written by hand: no time, no name, no system; gzip reads it."""
    body = b"x" * 100_000
    assert gzip.decompress(control_plane_bundle.gzipped(body)) == body


# --- a workspace ----------------------------------------------------------------------------------------


def workspace_at(root: Path, *candidates: Mapping[str, str], **files: str) -> Path:
    """Write a workspace with these candidates; ``files`` by their last names replace or, empty, remove one."""
    profiles = {f"state/candidates/{each['profile_path'].removeprefix('candidates/')}": "{}" for each in candidates}
    registry = {"schema_version": 1, "candidates": list(candidates)}
    whole = {
        "config/providers.json": "{}",
        "config/scoring.v1.json": "{}",
        "config/alerts.json": "{}",
        "state/candidates/registry.json": json.dumps(registry),
        **profiles,
        **{name.replace("__", "/") + ".json": body for name, body in files.items()},
    }
    for name, body in whole.items():
        if body and ".." not in name:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(body)
    return root


ANA = {"candidate_id": "ana", "profile_path": "candidates/ana/profile.json"}
LOCAL = {"candidate_id": "local", "profile_path": "local/profile.json"}


def _registry_of(profile_path: str) -> str:
    """Return a registry of the candidate local whose profile would be there; data/ may not stand in for it."""
    return json.dumps({"schema_version": 1, "candidates": [{**LOCAL, "profile_path": profile_path}]})


def test_a_workspace_becomes_the_sections_that_readers_know(tmp_path: Path) -> None:
    """Config and state lie where a restore wants them; the local candidate's profile may lie in data/."""
    root = workspace_at(tmp_path, ANA, LOCAL, data__candidate_profile='{"of": "data"}')
    (root / "state/candidates/local/profile.json").unlink()
    sections = from_workspace(root)
    assert {section: sorted(files) for section, files in sections.items()} == {
        "candidates": ["ana/candidate_profile.json", "local/candidate_profile.json", "registry.json"],
        "alerts": ["alerts.json"],
        "providers": ["providers.json"],
        "scoring": ["scoring.v1.json"],
    }
    assert sections["candidates"]["local/candidate_profile.json"] == b'{"of": "data"}'


@pytest.mark.parametrize(
    ("candidates", "files", "words"),
    [
        ((ANA,), {"config__alerts": ""}, "config/alerts.json is missing"),
        ((), {}, "names no candidate"),
        (({"candidate_id": "x", "profile_path": "../../secret.json"},), {}, "entry 0 names no candidate_id"),
        (({"candidate_id": "x", "profile_path": "/etc/passwd"},), {}, "entry 0 names no candidate_id"),
        (({"candidate_id": "../x", "profile_path": "a.json"},), {}, "entry 0 names no candidate_id"),
        ((ANA, {**ANA, "profile_path": "other.json"}), {}, "entries 0 and 1 are both the candidate ana"),
        ((ANA,), {"config__alerts": "[NaN]"}, "config/alerts.json"),
        ((ANA,), {"config__providers": '{"a": 1, "a": 2}'}, "config/providers.json"),
        ((ANA,), {"config__scoring.v1": '{"weight": NaN}'}, "config/scoring.v1.json"),
        ((ANA,), {"state__candidates__ana__profile": '{"score": Infinity}'}, "state/candidates/ana/profile.json"),
        ((LOCAL,), {"state__candidates__registry": _registry_of("a\0b")}, "entry 0 names no candidate_id"),
        ((LOCAL,), {"state__candidates__registry": _registry_of("a\u202eb")}, "entry 0 names no candidate_id"),
        ((LOCAL,), {"state__candidates__registry": _registry_of("a" * 300)}, "entry 0 names no candidate_id"),
        ((LOCAL,), {"state__candidates__registry": _registry_of("a/" * 2500 + "a")}, "entry 0 names no candidate_id"),
        ((ANA,), {"state__candidates__registry": "[]"}, "registry.json"),
        ((ANA,), {"state__candidates__registry": '{"candidates": [1]}'}, "entry 0 names no candidate_id"),
    ],
)
def test_a_workspace_that_is_not_whole_says_all_that_is_missing(
    tmp_path: Path, candidates: tuple[Mapping[str, str], ...], files: Mapping[str, str], words: str
) -> None:
    """Nothing is taken from outside of it, and nothing is left out silently."""
    with pytest.raises(UsageFault, match=re.escape(words)):
        from_workspace(workspace_at(tmp_path, *candidates, **files))


def test_a_link_in_a_workspace_is_not_followed(tmp_path: Path) -> None:
    """Neither a file's nor a folder's."""
    root = workspace_at(tmp_path / "w", ANA)
    (tmp_path / "secret.json").write_text("{}")
    (root / "config/alerts.json").unlink()
    (root / "config/alerts.json").symlink_to(tmp_path / "secret.json")
    (root / "state/candidates/ana").rename(tmp_path / "elsewhere")
    (root / "state/candidates/ana").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageFault, match=r"config/alerts\.json is no regular file.*ana/profile\.json is no regular"):
        from_workspace(root)


def test_a_dry_run_names_the_bundle_that_publishing_makes(bench: "Bench") -> None:
    """The same bytes, digest and name as the real thing, and nothing written."""
    raw = pack(FILES, ORIGIN, shipped())
    would = planned(bench.store, "jobintel", raw, ORIGIN, shipped())
    assert not bench.everything()
    done = publish(bench.store, "jobintel", raw, ORIGIN, shipped())
    assert (would.uri, would.sha256, would.counts) == (done.uri, done.sha256, done.counts)
