"""fleet.toml: what it says, every fault at once, selection, waves; and the command line that a pair stands for."""

import json
from pathlib import Path

import pytest

from drfsm.cli.fleet_inputs import options_of, resolve
from drfsm.cli.main import run as drfsm
from drfsm.errors import DeclarationFault, ExitCode, UsageFault
from drfsm.fleet.client import start_of
from drfsm.fleet.pairs import Fleet, read

FILE = """
[waves]
size = 2
stop_after = 3
approval = "each"

[defaults]
owner = "ada"
region = "eu-west-1"
[defaults.drill]
max_attempts = 2

[[pair]]
name = "search-eu"
team = "search"
bucket = "results-eu"
prefix = "jobs"
kubeconfig_dr = "sites/dr.yaml"
kubeconfig_primary = "sites/primary.yaml"
[pair.drill]
backup_uri = "s3://results-eu/jobs/backups/20261128T080000Z"
allow_full_drill = true
validation_env = ["A=1", "B=2"]

[[pair]]
name = "search-us"
team = "search"
owner = "grace"
bucket = "results-us"
prefix = "jobs"

[[pair]]
name = "shop"
team = "shop"
bucket = "shop"
prefix = "jobs"
"""


def made(directory: Path, text: str = FILE) -> Fleet:
    """Write a fleet file, and read it."""
    file = directory / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return read(file)


def test_pairs_are_selected_by_what_they_say_and_go_in_waves(tmp_path: Path) -> None:
    """A selector is a word and its values; the order is the file's; a wave has as many pairs as it says."""
    fleet = made(tmp_path)
    assert [pair.name for pair in fleet.selected(["team=search"])] == ["search-eu", "search-us"]
    assert [pair.name for pair in fleet.selected(["team=search,shop", "owner=ada"])] == ["search-eu", "shop"]
    assert [[pair.name for pair in wave] for wave in fleet.waves(fleet.pairs)] == [["search-eu", "search-us"], ["shop"]]
    for wrong in ("team", "colour=red", "team=none"):
        with pytest.raises(UsageFault):
            fleet.selected([wrong])


def test_every_fault_of_a_fleet_file_is_said_at_once(tmp_path: Path) -> None:
    """Unknown keys, missing places, wrong numbers, two pairs of one place, a secret: each named, its value never."""
    wrong = FILE.replace("size = 2", 'size = 0\ncolour = "red"').replace('"each"', '"perhaps"')
    wrong = wrong.replace('bucket = "shop"', 'bucket = "results-us"\naccess_token = "tell-nobody"')
    with pytest.raises(DeclarationFault) as refused:
        made(tmp_path, wrong.replace('name = "shop"', 'name = "no name"'))
    said = "\n".join(refused.value.faults)
    for part in ("waves.size", "colour", "perhaps", "no name", "share bucket and prefix", "access_token"):
        assert part in said, part
    assert "tell-nobody" not in str(refused.value)


def test_a_pair_is_the_command_line_that_it_stands_for(tmp_path: Path) -> None:
    """Its places, its objectives and its own options are typed; the standing DR site never becomes a drill's site."""
    pair = made(tmp_path).named("search-eu")
    options = options_of(pair, "drill", {})
    assert (options["bucket"], options["region"], options["max_attempts"]) == ("results-eu", "eu-west-1", 2)
    assert options["validation_env"] == ("A=1", "B=2")
    assert options["allow_full_drill"] is True
    assert options["kubeconfig"] == ""
    given = {"dr_run_id": "2026-11-28T08:02:45Z", "confirm1": "FAILBACK", "confirm2": "CONFIRM-x"}
    begin = resolve(pair, "failback", "failback-1", given)
    assert (begin.scope, begin.inputs["confirm2"], begin.inputs["soak"]) == ("live", "CONFIRM-x", "now")
    assert begin.inputs["kubeconfig_dr"] == str(tmp_path / "sites/dr.yaml")


@pytest.mark.parametrize(
    ("procedure", "entry", "given"),
    [
        ("drill", '[pair.drill]\ntake_over = "x"', {}),
        ("drill", "[pair.drill]\nno_such_option = 1", {}),
        ("drill", "", {"dr_run_id": "x"}),
        ("promote", "", {}),
        ("failback", "", {}),
    ],
)
def test_what_a_fleet_may_not_say_is_refused(tmp_path: Path, procedure: str, entry: str, given: dict[str, str]) -> None:
    """A person's own options, unknown ones, a promote, a failback without its run: nothing begins."""
    pair = made(tmp_path, FILE + entry).named("shop")
    with pytest.raises(UsageFault):
        options_of(pair, procedure, given)


def test_what_goes_to_temporal_names_no_path_no_address_and_no_bucket(tmp_path: Path) -> None:
    """A start is a list of names and digests; a worker with another entry of the pair has another digest."""
    fleet = made(tmp_path)
    body = start_of(fleet, fleet.pairs, "drill", machine_sha256="0" * 64, operator="ada", given={})
    assert not any(word in str(body) for word in ("results-eu", str(tmp_path), "sites/", "eu-west-1"))
    other = made(tmp_path, FILE.replace("20261128T080000Z", "20261129T080000Z"))
    assert other.named("search-eu").sha256("drill") != fleet.named("search-eu").sha256("drill")
    assert other.named("search-eu").sha256("failback") == fleet.named("search-eu").sha256("failback")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--queue", "https://q", "--temporal", "127.0.0.1:1"],
        ["--queue", "https://q", "--bucket", "b"],
        ["--temporal", "127.0.0.1:1"],
        ["--temporal", "127.0.0.1:1", "--fleet", "f", "--take-over", "failback-1"],
        ["--temporal", "127.0.0.1:1", "--fleet", "f", "--bucket", "b"],
    ],
)
def test_a_worker_that_is_told_half_or_two_things_does_not_start(words: list[str]) -> None:
    """It serves one queue or one Temporal, with all that this needs, and nothing that it would not read."""
    assert drfsm(["worker", *words]) == ExitCode.USAGE


def test_a_plan_of_a_fleet_shows_its_waves_and_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offline: pairs in waves, which wave waits for a person, and each entry that could not be started (exit 3)."""
    file = str(made(tmp_path).path)
    assert drfsm(["fleet", "plan", "drill", "--fleet", file, "--select", "name=search-eu"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "wave 1, after a person approved it: 1 pairs" in said
    Path(file).write_text(FILE + "[pair.drill]\nno_such_option = 1", encoding="utf-8")
    assert drfsm(["fleet", "plan", "drill", "--fleet", file, "-o", "json"]) == ExitCode.REFUSED
    plan = json.loads(capsys.readouterr().out)
    assert list(plan["faults"]) == ["shop"]
    assert [[pair["pair"] for pair in wave] for wave in plan["waves"]] == [["search-eu", "search-us"], ["shop"]]
