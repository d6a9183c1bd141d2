"""The journal lies in S3 as well, byte for byte: a lost laptop strands nobody, and whatever disagrees is told."""

import json
import shlex
from pathlib import Path

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import Deadly, MakeSite, Request, Site, at

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")
LOG = "state_transitions.log"


@pytest.fixture
def begun(shared: Site) -> Site:
    """Return the shared site with a run that was killed before its first freeze. The test aborts it in the end."""
    shared.fresh()
    shared.killed(shared.failback(*CRONJOB), at("intent", "freeze_primary", "before"))
    return shared


def home(site: Site) -> str:
    """Return the prefix of the run's mirror."""
    return f"jobintel/drfsm/runs/{site.run_id}"


def key(site: Site, number: int) -> str:
    """Return where a record lies in S3."""
    return f"{home(site)}/{number:06d}.json"


def lines(bundle: Path) -> list[bytes]:
    """Return the raw lines of a journal on disk."""
    return (bundle / LOG).read_bytes().splitlines(keepends=True)


def mirrored(site: Site) -> list[bytes]:
    """Return the raw lines of a run's mirror."""
    found = sorted(each for each in site.objects(f"{home(site)}/0"))
    return [site.body(each) for each in found]


def elsewhere(site: Site, verb: str, name: str, *more: str) -> tuple[Site, list[str]]:
    """Return another machine, and the command that goes on there with the run from its mirror."""
    sandbox = site.sandbox
    return site.elsewhere(f"{name}-{site.bundle.name}"), [
        verb, site.mirror, "--take-over", site.run_id, "--kubeconfig-dr", str(sandbox.dr.kubeconfig),
        "--kubeconfig-primary", str(sandbox.primary.kubeconfig), "--expect-head", site.mirror_head(),
        *more,
    ]  # fmt: skip


def abort(site: Site) -> None:
    """Bring a run of the shared site to its end."""
    told = site.run("abort", str(site.bundle), "--reason", "the test is over")
    assert told.code == ExitCode.ABORTED, told


def test_from_an_empty_home_a_run_is_finished_by_its_mirror_alone(make_site: MakeSite) -> None:
    """Another machine goes on from s3://… to the end; the first one then has every record of it too."""
    site = make_site()
    site.killed(site.failback(), at("commit", "start_validation", "after"))
    assert len(mirrored(site)) == len(lines(site.bundle)) + 1  # the commit lies in S3 only
    other, command = elsewhere(site, "resume", "bob")
    told = other.run(*command, operator="bob")
    assert told.code == ExitCode.DONE, told
    assert "fetched" in told.err
    there = other.home / "runs" / site.run_id
    assert lines(there) == mirrored(site)
    assert other.run("replay", site.run_id, "--quiet").code == ExitCode.DONE
    assert {each.name for each in there.iterdir() if not each.name.startswith(".")} == {
        LOG, "failback.yaml", "failback.summary.json", "seals", "steps",
    }  # fmt: skip
    sealed = other.run("bundle", "verify", site.run_id, "--mirror", "-o", "json")  # its checkpoint lies in the bucket
    rules = {finding["rule"] for finding in json.loads(sealed.out)["findings"]}
    assert (sealed.code, rules) == (ExitCode.DONE, {"unsigned", "checkpoint_unlocked"}), sealed

    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.REFUSED, told  # it did not write the last of them, and is not told to trust them
    told = site.run("resume", str(site.bundle), "--expect-head", site.mirror_head())
    assert told.code == ExitCode.DONE, told
    assert "the run continued elsewhere" in told.err
    assert lines(site.bundle) == lines(there)
    assert site.assert_told_truly("complete")["operators"] == ["ann", "bob"]
    assert site.body(f"{home(site)}/summary.json") == (there / "failback.summary.json").read_bytes()


def lost_from(kind: str, trigger: str) -> Deadly:
    """Lose every record from this one on, before it reaches S3."""
    seen: list[bool] = []

    def deadly(request: Request) -> str:
        found = request.record
        if found.get("kind") == kind and found["body"].get("trigger") == trigger:
            seen.append(True)
        return "lose-before" if seen and found else ""

    return deadly


def never(_request: Request) -> str:
    """Let everything pass."""
    return ""


def test_a_commit_is_not_lost_for_want_of_s3_and_follows_later(make_site: MakeSite) -> None:
    """S3 takes no more records: the commit is on disk, the run is held before its next action; then it goes on."""
    site = make_site()
    site.wire.deadly = lost_from("commit", "freeze_primary")
    told = site.run(*site.failback())
    assert told.code == ExitCode.HELD, told
    assert site.transitions()[-1] == ("freeze_primary", "primary_frozen")
    assert site.records()[-1]["kind"] == "held"
    assert len(mirrored(site)) < len(lines(site.bundle))
    site.assert_told_truly("held")

    site.wire.deadly = never
    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.DONE, told
    assert mirrored(site) == lines(site.bundle)
    site.assert_told_truly("complete")


def test_two_journals_that_went_apart_are_not_mixed(shared: Site) -> None:
    """What S3 never got, and what went on without it: refused with 6, nothing moved; the printed way works."""
    site = shared
    site.fresh()
    site.wire.deadly = lost_from("commit", "freeze_primary")
    assert site.run(*site.failback(*CRONJOB)).code == ExitCode.HELD
    site.wire.deadly = never
    other, command = elsewhere(site, "resume", "bob")
    other.killed(command, at("intent", "silence_primary", "before"))
    other.bundle = other.home / "runs" / site.run_id
    before = site.world()
    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.EVIDENCE, told
    assert "have different records" in told.err
    assert site.world() == before
    hint = f"drfsm resume {site.mirror}"
    assert f"DRFSM_HOME=<a new directory> {hint}" in told.err
    line = f"DRFSM_HOME={site.directory}/cleo-{site.bundle.name} {hint.replace('resume', 'abort')} --reason over"
    _, command = elsewhere(site, "abort", "cleo")
    told = site.shell(f"{line} --take-over {site.run_id} {shlex.join(command[4:])}")
    assert told.code == ExitCode.ABORTED, told


@pytest.mark.parametrize("size", [1, 40])
def test_a_torn_last_line_is_cut_off_and_noted(begun: Site, size: int) -> None:
    """What a dying writer left of a line is cut off by the next, and stands in the journal and its mirror as such."""
    site, log = begun, begun.bundle / LOG
    torn = mirrored(site)[-1][:size]
    log.write_bytes(log.read_bytes() + torn)
    assert site.run("status", str(site.bundle)).code == ExitCode.DONE
    abort(site)
    cut = [each["body"] for each in site.records() if each["kind"] == "tail_cut"]
    assert [each["bytes"] for each in cut] == [len(torn)]
    assert mirrored(site) == lines(site.bundle)
    assert "torn last line" in site.run("replay", str(site.bundle)).out
    site.assert_told_truly("aborted")


def test_a_flipped_byte_is_refused_with_the_line_that_holds_it(begun: Site) -> None:
    """status, replay, resume and abort exit with 7 and name the line; nothing moves; the mirror goes on."""
    site, log = begun, begun.bundle / LOG
    whole, before = log.read_bytes(), begun.world()
    at_byte = len(b"".join(lines(site.bundle)[:2])) + 100
    log.write_bytes(whole[:at_byte] + bytes([whole[at_byte] ^ 1]) + whole[at_byte + 1 :])
    for command in (["status"], ["replay"], ["resume"], ["abort", "--reason", "r"]):
        told = site.run(command[0], str(site.bundle), *command[1:])
        assert told.code == ExitCode.DAMAGED, told
        assert "line 4" in told.out + told.err or "line 3" in told.out + told.err
    assert site.world() == before
    log.write_bytes(whole)
    other, command = elsewhere(site, "abort", "bob", "--reason", "the test is over")
    told = other.run(*command)
    assert told.code == ExitCode.ABORTED, told


def test_a_record_that_vanished_from_the_mirror_is_told_and_put_back(begun: Site) -> None:
    """An empty home is refused with 6; the machine that has the record says what is missing, and restores it."""
    site, gone = begun, key(begun, 3)
    body = site.body(gone)
    site.s3.delete_object(Bucket=site.sandbox.bucket, Key=gone)
    other, command = elsewhere(site, "resume", "bob")
    told = other.run(*command)
    assert (told.code, "lacks record 3" in told.err) == (ExitCode.EVIDENCE, True), told
    told = site.run("abort", str(site.bundle), "--reason", "the test is over")
    assert told.code == ExitCode.ABORTED, told
    assert "record 3 is missing in" in told.err
    assert "find out who deleted it" in told.err
    assert site.body(gone) == body
    assert mirrored(site) == lines(site.bundle)


def test_a_uri_that_holds_no_run_is_wrong_usage(shared: Site) -> None:
    """A mistyped mirror is told, with how such an address looks; so is another bucket."""
    told = shared.run("resume", f"s3://{shared.sandbox.bucket}/jobintel/drfsm/runs/nobody")
    assert told.code == ExitCode.USAGE, told
    assert "s3://<bucket>/<prefix>/drfsm/runs/<run>" in told.err
    told = shared.run("resume", "s3://there-is-no-such-bucket/jobintel/drfsm/runs/nobody")
    assert told.code != ExitCode.DONE, told
    assert "there-is-no-such-bucket" in told.err
