"""The nouns, each usable alone: `runs`, `pointers`, `machine`; and what a command says to a wrong word."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.main import COMMANDS
from drfsm.cli.main import run as drfsm
from tests.e2e.sites import Site, Sites


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a seeded site for commands that look, or mend what they broke."""
    sites = Sites(tmp_path_factory.mktemp("nouns"))
    yield sites(publish_reports=True)
    sites.close()


def said(site: Site, *argv: str) -> Any:
    """Return what a command that succeeds prints with ``-o json``."""
    told = site.run(*argv, "--bucket", site.sandbox.bucket, "-o", "json")
    assert told.code == 0, told
    return json.loads(told.out)


# --- runs -------------------------------------------------------------------------------------------------


def test_runs_list_marks_the_canonical_one_and_is_newest_first(site: Site) -> None:
    """Both seeded runs are listed; DR's is canonical."""
    rows = said(site, "runs", "list")
    assert [(row["run_id"], row["canonical"]) for row in rows] == [
        (site.sandbox.dr_run_id, True),
        (site.sandbox.primary_run_id, False),
    ]


def test_runs_show_tells_the_files_and_who_names_the_run(site: Site) -> None:
    """The canonical run is named by all four pointers, the other by none; one that isn't there exits with 11."""
    canonical = said(site, "runs", "show", site.sandbox.dr_run_id)
    assert len(canonical["named_by"]) == 4
    assert canonical["has_report"]
    assert said(site, "runs", "show", site.sandbox.primary_run_id)["named_by"] == []
    assert site.run("runs", "show", "2020-01-01", "--bucket", site.sandbox.bucket).code == 11


def test_runs_verify_reads_every_artifact_and_says_how_far_that_proves(site: Site) -> None:
    """A whole run exits with 0 at the level that its report gives it, with and without latest."""
    found = said(site, "runs", "verify", site.sandbox.dr_run_id)
    assert (found["verdict"], found["level"], found["checked"]) == ("verified", "declared", found["expected"])
    both = said(site, "runs", "verify", site.sandbox.dr_run_id, "--verify-latest")
    assert both["latest"]["verdict"] == "verified"


def test_runs_verify_finds_a_flipped_byte_of_the_same_size(site: Site) -> None:
    """Presence and size prove nothing: the content is read, the file is named, the exit code is 11."""
    key = f"{site.sandbox.prefix}/runs/{site.sandbox.primary_run_id}/openai/cs/openai_ranked_jobs.cs.csv"
    before = site.body(key)
    site.s3.put_object(Bucket=site.sandbox.bucket, Key=key, Body=b"X" + before[1:])
    told = site.run("runs", "verify", site.sandbox.primary_run_id, "--bucket", site.sandbox.bucket)
    site.s3.put_object(Bucket=site.sandbox.bucket, Key=key, Body=before)
    assert told.code == 11
    assert "openai_ranked_jobs.cs.csv" in told.out


def test_runs_verify_and_compare_offline(site: Site, tmp_path: Path) -> None:
    """A local copy is verified and compared without any bucket."""
    home = f"{site.sandbox.prefix}/runs/{site.sandbox.dr_run_id}/"
    for key in site.objects(home):
        path = tmp_path / "copy" / key.removeprefix(home)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(site.body(key))
    copy = str(tmp_path / "copy")
    assert site.run("runs", "verify", "--offline", copy).code == 0
    assert site.run("runs", "compare", "--offline", copy, copy).code == 0
    (tmp_path / "copy/openai/cs/openai_ranked_jobs.cs.csv").write_text("short")
    assert site.run("runs", "verify", "--offline", copy).code == 11


def test_runs_compare_exits_like_diff(site: Site, tmp_path: Path) -> None:
    """Same input, same run: 0. Without its files: 2, not comparable. A bad profile: 2, with what is wrong in it."""
    runs = (site.sandbox.dr_run_id, site.sandbox.primary_run_id)
    bucket = ("--bucket", site.sandbox.bucket)
    assert site.run("runs", "compare", *runs, *bucket).code == 0
    assert site.run("runs", "compare", *runs, *bucket, "--no-run-id-drift").code == 1
    assert site.run("runs", "compare", runs[0], "2020-01-01", *bucket).code == 2
    bad = tmp_path / "profile.json"
    bad.write_text('{"made_up": 1}')
    told = site.run("runs", "compare", *runs, *bucket, "--comparison-profile", str(bad))
    assert told.code == 2
    assert "made_up" in told.err


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["for real", "as a dry run"])
def test_runs_sync_of_an_empty_source_is_an_error(site: Site, dry: tuple[str, ...]) -> None:
    """A misspelt source is no success with nothing copied: it is named, and nothing is written anywhere."""
    before = site.objects("")
    told = site.run(
        "runs", "sync", f"{site.sandbox.prefix}/rnus", "elsewhere/runs", "--bucket", site.sandbox.bucket, *dry
    )
    assert told.code == 2, told
    assert f"s3://{site.sandbox.bucket}/{site.sandbox.prefix}/rnus holds no object: nothing was copied" in told.err
    assert site.objects("") == before


def test_runs_sync_copies_once_and_leaves_pointers_alone(site: Site) -> None:
    """The second time everything is equal; neither pointers nor latest are ever copied; a dry run changes nothing."""
    source, target = f"{site.sandbox.prefix}/runs", f"{site.sandbox.prefix}/copied/runs"
    dry = said(site, "runs", "sync", source, target, "--dry-run")
    assert not site.objects(target)
    first = said(site, "runs", "sync", source, target)
    assert first["copied"] == dry["objects"] == len(site.objects(f"{source}/"))
    assert said(site, "runs", "sync", source, target)["copied"] == 0
    before = site.pointers()
    told = site.run("runs", "sync", f"{site.sandbox.prefix}/state", "elsewhere/state", "--bucket", site.sandbox.bucket)
    assert told.code != 0 or not site.objects("elsewhere/")
    assert site.pointers() == before


# --- pointers ---------------------------------------------------------------------------------------------


def test_pointers_show_tells_whether_the_set_is_whole(site: Site) -> None:
    """All four name one run: 0. A set that a killed job left half moved: 11. None at all: 3."""
    shown = said(site, "pointers", "show")
    assert (shown["verdict"], len(shown["pointers"])) == ("one", 4)
    told = site.run("pointers", "show", "--bucket", site.sandbox.bucket, "--prefix", "nowhere")
    assert told.code == 3


def test_pointers_set_moves_the_whole_set_with_a_token_a_reason_and_the_lease(site: Site) -> None:
    """Half a set is mended by hand: verified, newer only, by compare-and-swap; and back when that is asked for."""
    sandbox, bucket = site.sandbox, ("--bucket", site.sandbox.bucket)
    older, newer = sandbox.primary_run_id, sandbox.dr_run_id
    before, report = site.pointers(), f"{sandbox.prefix}/runs/{older}/run_report.json"
    said_by_it = json.loads(site.body(report))
    said_by_it["timestamps"]["ended_at"] = "2020-01-01T00:00:00Z"  # both runs of the seed may end in one second
    reported = json.dumps(said_by_it).encode()
    site.s3.put_object(Bucket=sandbox.bucket, Key=report, Body=reported)
    assert site.run("pointers", "set", older, *bucket, "--confirm", "CONFIRM", "--reason", "x").code == 2
    refused = site.run("pointers", "set", older, *bucket, "--confirm", f"CONFIRM-{older}", "--reason", "x")
    assert refused.code == 3
    assert "--allow-older" in refused.err
    site.s3.delete_object(Bucket=sandbox.bucket, Key=report)
    silent = site.run("pointers", "set", older, *bucket, "--confirm", f"CONFIRM-{older}", "--reason", "x")
    assert (silent.code, "--ended-at" in silent.err) == (3, True)  # as the real workload leaves it
    named = ("--ended-at", "2020-01-01T00:00:00Z")
    silent = site.run("pointers", "set", older, *bucket, "--confirm", f"CONFIRM-{older}", "--reason", "x", *named)
    assert (silent.code, "--allow-older" in silent.err) == (3, True)
    site.s3.put_object(Bucket=sandbox.bucket, Key=report, Body=reported)
    never = "2020-01-01T00:00:00Z"
    unknown = site.run("pointers", "set", never, *bucket, "--confirm", f"CONFIRM-{never}", "--reason", "x")
    assert unknown.code == 3
    assert site.pointers() == before

    told = site.run(
        "pointers", "set", older, *bucket, "--confirm", f"CONFIRM-{older}", "--reason", "x", "--allow-older"
    )
    assert told.code == 0, told
    assert {each["run_id"] for each in site.pointers().values()} == {older}
    assert site.run("pointers", "set", newer, *bucket, "--confirm", f"CONFIRM-{newer}", "--reason", "back").code == 0
    after = site.pointers()
    assert {each["run_id"] for each in after.values()} == {newer}
    assert {each["run_path"] for each in after.values()} == {f"{sandbox.prefix}/runs/{newer}"}
    lease = json.loads(site.body(f"{sandbox.prefix}/drfsm/lease.json"))
    assert (lease["held"], lease["epoch"]) == (False, 6)


def test_pointers_own_changes_the_ownership_object_only_with_a_token_and_a_reason(site: Site) -> None:
    """Where somebody changed the owner: it is put right, what was there is said, and no pointer moves."""
    bucket, before = ("--bucket", site.sandbox.bucket), site.pointers()
    assert site.run("pointers", "own", "dr", *bucket, "--confirm", "CONFIRM", "--reason", "x").code == 2
    for was, owner in (("no site", "dr"), ("dr", "primary")):
        words = ("--confirm", f"CONFIRM-OWNER-{owner}", "--reason", "x")
        told = site.run("pointers", "own", owner, *bucket, *words)
        assert (told.code, told.out) == (
            0,
            f"{owner} owns the pointers; before, the ownership object named {was}\n",
        ), told
        assert json.loads(site.body(f"{site.sandbox.prefix}/drfsm/ownership.json"))["site"] == owner
    assert site.pointers() == before


# --- endpoints --------------------------------------------------------------------------------------------


def test_the_first_active_site_is_declared_once_with_a_token_and_a_reason(site: Site) -> None:
    """Servers refuse every write until then; what is declared is for a procedure to move, and is not overwritten."""
    bucket, key = ("--bucket", site.sandbox.bucket), f"{site.sandbox.prefix}/drfsm/active.json"
    declare = ("endpoints", "declare", "primary", *bucket, "--reason", "it begins to serve")
    none = site.run("endpoints", "show", *bucket)
    assert none.code == 3
    assert "drfsm endpoints declare primary" in none.out
    assert site.run(*declare, "--confirm", "CONFIRM").code == 2
    first = site.run(*declare, "--confirm", "CONFIRM-ACTIVE-primary", "--writes", "closed")
    assert (first.code, first.out) == (
        0, "primary is the active site, and takes no writes yet; before, none was declared\n"
    ), first  # fmt: skip
    assert site.run("endpoints", "show", *bucket).code == 11
    body = site.body(key)
    again = site.run("endpoints", "declare", "dr", *bucket, "--reason", "x", "--confirm", "CONFIRM-ACTIVE-dr")
    assert again.code == 3
    assert "primary is declared as the active site" in again.err
    assert "drfsm promote" in again.err
    assert site.body(key) == body
    site.sandbox.cloud.client("s3").put_object(Bucket=site.sandbox.bucket, Key=key, Body=b"{")
    assert "declare SITE" in site.run("endpoints", "show", *bucket).out
    mended = site.run(*declare, "--confirm", "CONFIRM-ACTIVE-primary")
    assert "primary is the active site, and takes writes; before, nobody could read" in mended.out
    assert said(site, "endpoints", "show")["writes"] == "open"
    site.sandbox.cloud.client("s3").delete_object(Bucket=site.sandbox.bucket, Key=key)


# --- machine ----------------------------------------------------------------------------------------------


def test_machine_show_diagram_and_schema_are_offline(site: Site, tmp_path: Path) -> None:
    """An author's verbs work on the shipped machine and on a file of one's own."""
    assert "| dr_quiesced | capture_pointers" in site.run("machine", "show", "failback").out
    assert site.run("machine", "diagram", "failback").out.startswith("stateDiagram-v2")
    assert json.loads(site.run("machine", "schema").out)["title"] == "drfsm machine"
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("machine: x\nbecause: y\ninitial: a\nfinals: {b: complete}\ntransitions:\n  - {from: a, to: b}\n")
    told = site.run("machine", "show", str(faulty))
    assert told.code == 2
    assert "faulty.yaml:6" in told.err
    assert site.run("machine", "show", "made_up").code == 2


# --- wrong words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(site: Site, command: str) -> None:
    """Each command explains itself."""
    told = site.run(command, "--help")
    assert told.code == 0
    assert "Usage:" in told.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["made-up"], "made-up", id="a command that there isn't"),
        pytest.param(["failback", "--made-up"], "--made-up", id="an option that there isn't"),
        pytest.param(["failback"], "--bucket", id="an option that is missing"),
        pytest.param(["resume", "no-such-run"], "no bundle", id="a run that there isn't"),
        pytest.param(["runs", "list"], "bucket", id="no bucket"),
        pytest.param(["runs", "verify", "--bucket", "b"], "no run", id="no run"),
        pytest.param(["resume", "--dr-unreachable"], "reason", id="no reason"),
        pytest.param(["replay", "no-such-run"], "no bundle", id="a log that there isn't"),
    ],
)
def test_a_wrong_word_is_told_in_words_and_exits_with_2(site: Site, argv: list[str], words: str) -> None:
    """Nothing is touched, and the message names what is wrong."""
    told = site.run(*argv)
    assert told.code == 2, told
    assert words in told.err


def test_a_kubeconfig_that_is_none_is_told_without_its_content(site: Site, tmp_path: Path) -> None:
    """A file that is missing is wrong usage; one that holds rubbish is told by its name, never by its content."""
    argv = site.failback(bundle=tmp_path / "one")
    missing = [*argv, "--kubeconfig-dr", str(tmp_path / "missing")]
    assert site.run(*missing).code == 2
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("token: very-secret-content\n")
    told = site.run(*site.failback("--kubeconfig-dr", str(rubbish), bundle=tmp_path / "two"))
    assert told.code in (2, 3, 4)
    assert "very-secret-content" not in told.out + told.err
    assert str(rubbish) in told.out + told.err


def test_a_bucket_that_is_not_there_is_the_operators_to_mend(site: Site) -> None:
    """The service's refusal comes with whose turn it is."""
    told = site.run("pointers", "show", "--bucket", "no-such-bucket-here")
    assert told.code in (3, 4)
    assert "no-such-bucket-here" in told.out + told.err


# --- health -----------------------------------------------------------------------------------------------


def test_health_tells_people_cron_prometheus_and_cloudwatch(site: Site, tmp_path: Path) -> None:
    """An old run is stale for everybody: exit code, text, textfile and metrics say the same, and nothing is written."""
    before = site.objects("")
    prom = tmp_path / "drfsm.prom"
    argv = ("health", "--bucket", site.sandbox.bucket, "--look-again", "0", "--max-age", "0.000001")
    told = site.run(*argv, "--prometheus", str(prom), "--cloudwatch", "JobIntel/DR", "-o", "json")
    record = json.loads(told.out)
    assert told.code == 11, told
    assert record["checks"]["freshness"]["status"] == "wrong"
    assert "drfsm_needs_dr{" in prom.read_text()
    assert prom.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [prom]
    metrics = site.sandbox.cloud.client("cloudwatch").list_metrics(Namespace="JobIntel/DR")["Metrics"]
    assert {each["MetricName"] for each in metrics} == {"PipelineFreshnessHours", "PublishCorrectness", "NeedsDR"}
    assert site.objects("") == before
    assert site.run(*argv, "--prometheus", "drfsm.txt").code == 2
    # A textfile that can't be written keeps nothing from CloudWatch, and is no excuse to say that all is well.
    fresh = (*argv[:3], "--look-again", "0", "--max-age", "26")
    told = site.run(*fresh, "--prometheus", str(tmp_path / "none" / "x.prom"), "--cloudwatch", "JobIntel/Other")
    assert (told.code, "--prometheus" in told.err) == (9, True), told
    assert site.sandbox.cloud.client("cloudwatch").list_metrics(Namespace="JobIntel/Other")["Metrics"]


@pytest.mark.parametrize("amount", ["nan", "inf", "1e400", "-1", "1e30"])
def test_an_amount_that_no_clock_counts_is_wrong_usage(amount: str) -> None:
    """Of every option that takes seconds or hours, before anything is asked."""
    for command, option in (("health", "--max-age"), ("health", "--look-again"), ("failback", "--drain-timeout"),
                            ("promote", "--validation-timeout"), ("drill", "--site-timeout")):  # fmt: skip
        assert drfsm([command, option, amount]) == 2, option


# --- the account ------------------------------------------------------------------------------------------


def test_another_account_than_the_expected_one_is_refused_everywhere(site: Site) -> None:
    """By the option or by EXPECTED_ACCOUNT_ID: the noun says which account it is, and touches nothing."""
    at = f"--bucket {site.sandbox.bucket}"
    for line in (
        f"drfsm pointers show {at} --expect-account 999999999999",
        f"EXPECTED_ACCOUNT_ID=999999999999 drfsm health {at}",
        f"EXPECTED_ACCOUNT_ID=999999999999 drfsm backup verify --backup-uri {site.sandbox.backup_uri}",
    ):
        told = site.shell(line)
        assert told.code == 3, told
        assert site.sandbox.cloud.account in told.err
    assert site.shell(f"EXPECTED_ACCOUNT_ID={site.sandbox.cloud.account} drfsm pointers show {at}").code == 0
