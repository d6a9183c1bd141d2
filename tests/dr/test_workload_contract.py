"""A workload's contract: one file, every fault at once, and no value that leads out of the prefix."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml

from drfsm.cli.main import run as drfsm
from drfsm.dr import workload
from drfsm.dr.workload.templates import may_be_one
from drfsm.errors import DeclarationFault

ROOM = Path(workload.__file__).parent
SMALL = """\
workload: weather
switches: {on: {PUBLISH: live}, off: {PUBLISH: never}}
variables: {bucket: WX_BUCKET, prefix: WX_PREFIX, run_id: WX_RUN}
files: {required: ["{provider}.{profile}.json"]}
"""

REFUSED = {
    "another workload's upper-case name": ("workload: weather", "workload: Weather", "no name of a workload"),
    "a file outside of the run": ("{provider}.{profile}.json", "../{profile}.json", "no path below the prefix"),
    "a file at an absolute path": ("{provider}.{profile}.json", "/etc/passwd", "no path below the prefix"),
    "a placeholder that nobody fills": ("{provider}.{profile}.json", "{candidate}.json", "no path below the prefix"),
    "a switch that is the same on and off": ("never", "live", "PUBLISH is the same on and off"),
    "one of two switches that is the same on and off": (
        "{PUBLISH: live}, off: {PUBLISH: never}",
        "{PUBLISH: live, SEND: all}, off: {PUBLISH: never, SEND: all}",
        "SEND is the same on and off",
    ),
    "a switch that only one position names": ("off: {PUBLISH: never}", "off: {SEND: never}", "name other variables"),
    "a variable with two meanings": ("WX_PREFIX", "WX_BUCKET", "WX_BUCKET has two meanings"),
    "a variable that a shell would run": ("WX_RUN", "'WX RUN;'", "no name of a variable"),
    "runs among drfsm's own objects": ("files:", "keys: {runs: 'drfsm/{run_id}'}\nfiles:", "not the workload's"),
    "runs anywhere": ("files:", "keys: {runs: '{run_id}'}\nfiles:", "begins with a placeholder"),
    "pointers among the runs": ("files:", "pointers: {home: 'runs/{candidate}'}\nfiles:", "lies in"),
    "runs that are not told apart": ("files:", "keys: {runs: runs}\nfiles:", "lacks {run_id}"),
    "a marker that is no file of latest": ("files: {", "files: {marker: x.md, ", "not in latest"),
    "no files at all": ("required: [", "optional: [", "no file is required"),
    "a key twice": ("files:", "workload: rain\nfiles:", "twice"),
    "a key that is misspelt": ("files:", "swiches: {}\nfiles:", "did you mean switches?"),
    "pairs in one folder": ("files:", "keys: {pair: '{provider}-{profile}'}\nfiles:", "two pairs could have one"),
    "pairs without anything between": ("files:", "keys: {pair: 'of/{provider}{profile}'}\nfiles:", "could have one"),
    "a pair that names its provider twice": (
        "files:",
        "keys: {pair: '{provider}/{profile}/{provider}'}\nfiles:",
        "once each",
    ),
    "a pointer's field with a dot": ("files:", "pointers: {fields: {run_id: meta.run}}\nfiles:", "without dots"),
    "a report in a file's place": ("files:", "report: {key: north/rain/north.rain.json}\nfiles:", "may be a run's"),
    "two files that are one where both names are": (
        '.json"',
        '.json", "{profile}.{provider}.json"',
        "would be one file for some provider and profile",
    ),
    "a file that is one pair's other file": ('.json"', '.json", "north.rain.json"', "would be one file"),
    "a byte order mark": ("workload: weather", "\ufeffworkload: weather", "save it as UTF-8 without one"),
    "no text at all": (SMALL, "", "start with `workload: NAME`"),
    "a bomb of brackets": ("files: {", "because: " + "[" * 40 + "\nfiles: {", "three levels"),
    "an alias": ("files: {", "because: &a b\nfiles: {marker: *a, ", "alias"),
}


@pytest.mark.parametrize(("before", "after", "told"), REFUSED.values(), ids=REFUSED)
def test_a_contract_that_can_not_hold_is_refused_with_the_line(before: str, after: str, told: str) -> None:
    """What a contract can't say is refused, and the message names file, line and fault."""
    workload.read(SMALL)
    with pytest.raises(DeclarationFault) as refused:
        workload.read(SMALL.replace(before, after), "weather.yaml")
    assert told in "\n".join(refused.value.faults)
    assert all(fault.startswith("weather.yaml:") for fault in refused.value.faults)


SEPARATE = [
    ("{provider}_ranked_jobs.{profile}.json", "{provider}_ranked_families.{profile}.json", False),
    ("{provider}_top.{profile}.md", "run_summary.v1.json", False),
    ("{provider}.json", "artifacts/{provider}.json", False),
    ("{provider}.json", "{profile}.json", True),
    ("{provider}.json", "x{provider}.json", False),
    ("{provider}.{profile}", "{profile}.{provider}", True),
    ("{provider}-{provider}", "{provider}", False),
    ("a{provider}", "{provider}a", True),
    ("{provider}.json", "summary.json", True),
    ("{provider}/{profile}.x", "a/b.x", True),
    ("{provider}/{provider}.x", "a/b.x", False),
]


@pytest.mark.parametrize(("one", "other", "alike"), SEPARATE)
def test_templates_are_held_against_each_other_for_one_pair(one: str, other: str, alike: bool) -> None:
    """What tells them apart is told from what does not; either way round."""
    assert (may_be_one(one, other), may_be_one(other, one)) == (alike, alike)


def test_every_fault_is_told_at_once() -> None:
    """Two faults in two sections are two lines of one message."""
    with pytest.raises(DeclarationFault) as refused:
        workload.read(SMALL.replace("weather", "Weather").replace("WX_RUN", "1"))
    assert len(refused.value.faults) == 2


def test_what_a_small_contract_leaves_out_follows_from_its_own_name() -> None:
    """Four lines are a contract, and nothing in it is named after the workload that drfsm ships."""
    small = workload.read(SMALL)
    assert small.kubernetes.configmap == "weather-config"
    assert small.defaults.prefix == "weather"
    assert "jobintel" not in workload.canonical(small).lower()


@pytest.mark.parametrize("contract", [workload.shipped(), workload.legacy(), workload.read(SMALL)])
def test_a_recorded_contract_reads_as_the_same(contract: workload.Workload) -> None:
    """Canonical JSON is read by the same reader, and gives the contract back."""
    assert workload.read(workload.canonical(contract)) == contract


def test_the_schema_for_editors_is_the_reader_s() -> None:
    """The committed schema is the one that the reader's tables give, and what is shipped is valid under it."""
    assert json.loads((ROOM / "workload.schema.json").read_text()) == json.loads(json.dumps(workload.SCHEMA))
    for name in ("jobintel.yaml", "legacy.yaml"):
        jsonschema.validate(yaml.load((ROOM / name).read_text(), yaml.BaseLoader), workload.SCHEMA)  # noqa: S506


def test_the_contract_of_thirty_lines_in_the_docs_is_one() -> None:
    """docs/workload.md shows a whole contract of another workload, in no more lines than it says."""
    page = (Path(__file__).parents[2] / "docs" / "workload.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert shown.count("\n") <= 30
    assert workload.read(shown).report is not None


SWITCHES = ({"PUBLISH": ("live", "never")}, {"PUBLISH": ("1", "0")}, {"DRY": ("no", "yes")})


@pytest.mark.parametrize("first", SWITCHES)
@pytest.mark.parametrize("second", [{"SEND": ("all", "none")}, {"SEND": ("0", "1")}, {"SEND": ("true", "false")}])
def test_switches_of_any_two_kinds_go_together(
    first: dict[str, tuple[str, str]], second: dict[str, tuple[str, str]]
) -> None:
    """Whether a switch tells on from off is its own matter: a text, a yes or a brake stands beside any other."""
    on, off = ({name: values[place] for name, values in {**first, **second}.items()} for place in (0, 1))
    text = SMALL.replace("{PUBLISH: live}", json.dumps(on)).replace("{PUBLISH: never}", json.dumps(off))
    switches = workload.read(text).switches
    assert (switches.position(on), switches.position(off)) == ("on", "off")


POSITIONS = [
    ({"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}, "on"),
    ({"PUBLISH_S3": " True", "PUBLISH_S3_DRY_RUN": None}, "on"),
    ({"PUBLISH_S3": "0", "PUBLISH_S3_DRY_RUN": "yes"}, "off"),
    ({"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "1"}, "mixed"),
    ({}, "mixed"),
    ({"PUBLISH_S3": "", "PUBLISH_S3_DRY_RUN": "TRUE"}, "off"),
    ({"PUBLISH_S3": "oFF", "PUBLISH_S3_DRY_RUN": "on"}, "off"),
    *(({"PUBLISH_S3": word, "PUBLISH_S3_DRY_RUN": "1"}, "mixed") for word in ("maybe", "y", "enabled", "2", "nein")),
    *(({"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": word}, "mixed") for word in ("maybe", "n", "disabled", "00")),
]


@pytest.mark.parametrize(("values", "position"), POSITIONS)
def test_the_switches_say_whether_a_job_publishes(values: dict[str, str | None], position: str) -> None:
    """A yes-or-no switch is read in any spelling; one that isn't set is no."""
    assert workload.shipped().switches.position(values) == position


WORDS = [
    ("{A: live, B: hot}", "{A: never, B: cold}", {"A": "live", "B": "hot"}, "on"),
    ("{A: live, B: hot}", "{A: never, B: cold}", {"A": "never", "B": "cold"}, "off"),
    ("{A: live}", "{A: never}", {"A": "no"}, "mixed"),
    ("{A: live}", "{A: never}", {"A": None}, "mixed"),
    ("{A: 1}", "{A: disabled}", {"A": "true"}, "on"),
    ("{A: 1}", "{A: disabled}", {"A": "disabled"}, "off"),
    ("{A: 1}", "{A: disabled}", {"A": "0"}, "mixed"),
    ("{A: 1}", "{A: disabled}", {"A": None}, "mixed"),
    ("{A: 1}", "{A: 0, }", {"A": "false"}, "off"),
    ("{A: 1}", "{A: 0}, otherwise: no", {"A": "maybe"}, "off"),
]


@pytest.mark.parametrize(("on", "off", "values", "position"), WORDS)
def test_only_what_the_contract_knows_is_off(on: str, off: str, values: dict[str, str | None], position: str) -> None:
    """A freeze relies on off: what isn't a no, or the contract's own word, is nothing that anybody knows."""
    contract = workload.read(SMALL.replace("{PUBLISH: live}", on).replace("{PUBLISH: never}", off))
    assert contract.switches.position(values) == position


def test_a_run_of_an_older_version_is_judged_as_it_was() -> None:
    """Its journal says off for whatever was not yes, and an audit must find the same."""
    older = workload.legacy().switches
    assert older.position({"PUBLISH_S3": "maybe", "PUBLISH_S3_DRY_RUN": "1"}) == "off"
    assert older.position({"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "maybe"}) == "on"


def test_run_ids_are_told_from_other_names() -> None:
    """Both recorded forms of the real workload's ids are ids; a new one is one too; a folder's name is none."""
    ids = workload.shipped().run_ids
    assert all(map(ids.is_id, ("2026-11-28T08:02:45Z", "2026-02-27T00:22:29.934039+00:00")))
    assert ids.is_id(ids.new(datetime.now(UTC)))
    assert not any(map(ids.is_id, ("20261128T080245", "../x", "", None, "2026-11-28")))
    assert ids.logged(iter(["hello", "JOBINTEL_RUN_ID=2026-11-28T08:02:45Z"])) == "2026-11-28T08:02:45Z"


def test_an_entry_of_the_report_is_mapped_to_its_key() -> None:
    """The real report's paths are relative to the data folder: the name tells the pair, the path the file."""
    report = workload.shipped().report
    assert report is not None
    assert report.place_of("openai:cs:top_md", "ashby_cache/openai_top.cs.md") == "openai/cs/openai_top.cs.md"
    assert report.place_of("top_md", "ashby_cache/openai_top.cs.md") is None


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a directory", "No such file", "it is no path"])
def test_what_is_no_file_is_refused_before_it_is_read(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe that nobody writes to, and a device without an end, would hang the command."""
    os.mkfifo(tmp_path / "fifo")
    places = {
        "a FIFO": tmp_path / "fifo", "a device": "/dev/zero", "a directory": tmp_path, "it is no path": "a\0b",
        "No such file": tmp_path / "nothing",
    }  # fmt: skip
    assert drfsm(["workload", "check", str(places[kind])]) == 2
    assert kind in capsys.readouterr().err
