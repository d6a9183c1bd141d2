"""What a comparison profile may say, fault by fault; and where a run's files come from. In memory, or on this disk."""

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.dr.artifacts.compare import DirectoryRun, ReadOnce, StoreRun, comparison, load, profile_of
from drfsm.dr.artifacts.compare.profile import READS
from drfsm.dr.artifacts.compare.sources import LARGEST_FILE_BYTES
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import shipped
from drfsm.dr.workload.model import VALUES
from drfsm.errors import DeclarationFault, UsageFault
from tests.dr.memory import DR_RUN, INPUTS, PRIMARY_RUN, RUN, MemoryStore, MemoryWorld, a_run

FILE = {"name": "a", "match": "*/*/a", "read": "json_object", "presence": "required"}
RECORDS = {"name": "r", "match": "r", "read": "json_records", "presence": "optional", "identify": ["id"]}


def faults(*files: Any, **more: Any) -> list[str]:
    """Return what is wrong with a profile of these files."""
    whole = {"comparison_profile_schema_version": 1, "name": "mine", "files": list(files), **more}
    try:
        load(json.dumps({key: value for key, value in whole.items() if value != "(out)"}).encode(), "mine.json")
    except DeclarationFault as fault:
        return list(fault.faults)
    return []


A_LIST, AN_OBJECT = "must be a list with something in it", "must be an object with something in it"
KNOWN = (
    "name, match, read, presence, because, volatile, integrity, numbers, made_with, keyed, run_id, expects, succeeded,"
    " counts, describes, identify, order, as_many_as, delimiter, until"
)
FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"name": " "}, ["files[0].name: must be a text"]),
    ({"name": 7}, ["files[0].name: must be a text"]),
    ({"because": ""}, ["files[0].because: must be a text"]),
    *(({key: "(out)"}, [f"files[0]: lacks {key}"]) for key in ("name", "match", "read", "presence")),
    *(
        ({"match": match}, ["files[0].match: must be a pattern relative to the run: no empty part, no . or .."])
        for match in ("/a", "a//b", "a/", "./a", "a/../b")
    ),
    ({"match": "**/a/**/b"}, []),
    ({"match": "**/**/**"}, ["files[0].match: has more than 2 **"]),
    ({"volatile": []}, [f"files[0].volatile: {A_LIST}"]),
    ({"volatile": "x"}, [f"files[0].volatile: {A_LIST}"]),
    ({"volatile": ["a..b"]}, ["files[0].volatile[0]: a..b has an empty part"]),
    ({"volatile": [""]}, ["files[0].volatile[0]: must be a text"]),
    ({"volatile": ["**.a.**"], "integrity": ["b.**.c"]}, []),
    ({"volatile": ["a", "**.**.**"]}, ["files[0].volatile[1]: has more than 2 **"]),
    ({"run_id": ["a.**"]}, ["files[0].run_id[0]: a.**: ** is not possible here"]),
    ({"numbers": {"a": {"absolute": 0}}}, []),
    ({"numbers": {"a": {"absolute": 0.5, "relative": 0}}}, []),
    ({"numbers": {"a": {}}}, ["files[0].numbers.a: must say absolute, relative or both"]),
    ({"numbers": {"a": {"absolute": -1}}}, ["files[0].numbers.a.absolute: must be a number, 0 or more"]),
    ({"numbers": {"a": {"absolute": "1"}}}, ["files[0].numbers.a.absolute: must be a number, 0 or more"]),
    ({"numbers": {"a": 1}}, ["files[0].numbers.a: must be an object"]),
    ({"numbers": []}, [f"files[0].numbers: {AN_OBJECT}"]),
    ({"numbers": {}}, [f"files[0].numbers: {AN_OBJECT}"]),
    ({"expects": {"a": ["x", 1, None, True]}}, []),
    ({"expects": {"a": "x"}}, []),
    ({"expects": {"a": []}}, ["files[0].expects.a: must be a plain value, or a list of those that are allowed"]),
    ({"expects": {"a": [{}]}}, ["files[0].expects.a: must be a plain value, or a list of those that are allowed"]),
    ({"counts": {"n": "r"}}, []),
    ({"counts": {"n": "x"}}, ["a: counts the records of x, which is none of the files"]),
    ({"counts": {"n": "a"}}, ["a: counts the records of a, which has none"]),
    ({"name": "r"}, ["files: 2 of them are named r"]),
    ({"presence": "optional"}, ["files: none of them is required or paired: nothing would matter"]),
    ({"presence": "paired"}, []),
    ({"presence": "always"}, ["files[0].presence: must be one of required, paired, optional"]),
    ({"read": "xml"}, [f"files[0].read: must be one of {', '.join(READS)}"]),
    ({"zzz": 1}, [f"files[0]: has the unknown key zzz; known are {KNOWN}"]),
    ({"vollatile": 1}, ["files[0]: has the unknown key vollatile; did you mean volatile?"]),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "told"), FAULTS)
def test_each_fault_of_a_file_is_told_with_its_place(changed: dict[str, Any], told: list[str]) -> None:
    """And nothing else is."""
    file = {key: value for key, value in {**FILE, **changed}.items() if value != "(out)"}
    assert faults(file, RECORDS) == told


@pytest.mark.parametrize("value", ["", "ab", '"', "\n", "\r", " ", 7])
def test_a_delimiter_is_one_character(value: Any) -> None:
    """None of those that mean something else in a table."""
    table = {**RECORDS, "read": "csv_records", "presence": "required", "delimiter": value}
    assert faults(table) == ["files[0].delimiter: must be one character, and none of a quote, a space or a line's end"]
    assert faults({**table, "delimiter": "\t"}) == []


STRUCTURED = ("json_object", "json", "json_records", "csv_records")
FITS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "volatile": (["a"], STRUCTURED), "integrity": (["a"], STRUCTURED), "numbers": ({"a": {"absolute": 1}}, STRUCTURED),
    "keyed": ({"a": ["b"]}, STRUCTURED), "made_with": ({"a": ["b"]}, ("json_object",)),
    "run_id": (["a"], ("json_object",)), "expects": ({"a": 1}, ("json_object",)),
    "succeeded": ({"a": "b"}, ("json_object",)), "counts": ({"a": "r"}, ("json_object",)),
    "describes": (["a"], ("json_object",)), "identify": (["a"], STRUCTURED[2:]), "order": (True, STRUCTURED[2:]),
    "as_many_as": ("r", STRUCTURED[2:]), "delimiter": (";", ("csv_records",)), "until": ("-", ("text",)),
}  # fmt: skip


@pytest.mark.parametrize("key", FITS)
@pytest.mark.parametrize("read", READS)
def test_a_key_is_for_the_files_for_which_it_makes_sense(key: str, read: str) -> None:
    """For any other it would be ignored in silence, so it is refused."""
    value, fits = FITS[key]
    named = {"identify": ["id"]} if read in STRUCTURED[2:] else {}
    told = faults({**FILE, "read": read, **named, key: value}, RECORDS)
    assert told == ([] if read in fits else [f"files[0].{key}: makes no sense for {read}, only for {', '.join(fits)}"])


def test_records_need_a_name_and_a_profile_needs_its_own() -> None:
    """Of both kinds; an order is true or false; the profile's own keys have places of their own."""
    nameless = {key: value for key, value in RECORDS.items() if key != "identify"}
    assert faults(FILE, nameless) == ["files[1]: lacks identify: json_records are compared by name"]
    assert faults(FILE, {**RECORDS, "order": "yes"}) == ["files[1].order: must be true or false"]
    assert faults(FILE, name="(out)") == ["the profile: lacks name"]
    assert faults(FILE, comparison_profile_schema_version="(out)") == [
        "the profile: lacks comparison_profile_schema_version"
    ]
    assert faults(FILE, comparison_profile_schema_version=2) == ["comparison_profile_schema_version: must be 1"]
    assert faults(FILE, files="(out)") == ["the profile: lacks files"]
    assert faults(FILE, because=7) == ["because: must be a text"]
    assert faults(7) == ["files[0]: must be an object"]


# --- where the files come from --------------------------------------------------------------------------------


def test_a_run_in_a_store_is_listed_without_folders_and_read_as_it_is() -> None:
    """By names relative to the run; what is gone is left out; the run's neighbours are not its files."""
    store = MemoryStore()
    for key in ("p/r/a", "p/r/b/c", "p/r/b/", "p/r/", "p/rest"):
        store.lay(key, key.encode())
    run = StoreRun(store, "p/r", "id", "dr")
    assert run.where == "s3://b/p/r"
    assert run.names() == {"a": 5, "b/c": 7}
    assert run.read(["a", "b/c", "gone"]) == {"a": b"p/r/a", "b/c": b"p/r/b/c"}
    assert LARGEST_FILE_BYTES == 256 * 1024 * 1024


def test_a_batch_of_a_run_that_is_held_against_itself_is_read_once() -> None:
    """What was read is told with its digest and size."""
    store = MemoryStore()
    store.lay("p/r/a", b"one")
    run = ReadOnce(StoreRun(store, "p/r", "id", "dr"))
    assert (run.label, run.where, run.run_id, run.names()) == ("dr", "s3://b/p/r", "id", {"a": 3})
    assert run.read(["a"]) == {"a": b"one"}
    store.lay("p/r/a", b"other")
    store.lay("p/r/b", b"new")
    assert run.read(["a"]) == {"a": b"one"}
    assert run.read(["b"]) == {"b": b"new"}
    assert run.found["b"] == ("11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437", 3)
    assert {name: size for name, (_, size) in run.found.items()} == {"a": 3, "b": 3}


def test_a_local_copy_is_listed_and_read(tmp_path: Path) -> None:
    """Regular files only; what is no directory, or can't be read, is the caller's fault."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"")
    run = DirectoryRun(tmp_path, "id")
    assert (run.where, run.label) == (str(tmp_path), "run")
    assert run.names() == {"x/a": 3, "b": 0}
    assert run.read(["x/a", "gone"]) == {"x/a": b"one"}
    with pytest.raises(UsageFault, match="reading"):
        run.read(["x"])
    with pytest.raises(UsageFault, match="is no directory"):
        DirectoryRun(tmp_path / "b").names()


# --- the facts ------------------------------------------------------------------------------------------------

BLOB = json.dumps(
    {
        "comparison_profile_schema_version": 1,
        "name": "blobs",
        "files": [{"name": "blob", "match": "blob*", "read": "bytes", "presence": "required"}],
    }
)


def divergence(dr: dict[str, bytes], primary: dict[str, bytes]) -> tuple[dict[str, Any], str | None, list[str]]:
    """Return what the fact sees of DR's run and the primary's, its value, and what was said."""
    world, terms, notes = MemoryWorld(), terms_of(INPUTS), list[str]()
    for home, files in ((terms.layout.run(DR_RUN), dr), (terms.staged(RUN).run(PRIMARY_RUN), primary)):
        for name, body in files.items():
            world.store.lay(f"{home}/{name}", body)
    run = a_run(inputs={"comparison_profile": BLOB}, notes=notes)
    fact: Any = comparison.FACTS["divergence"]
    seen = fact.observe(world, run)
    return seen, fact.judge(seen, run.inputs), notes


def test_dr_is_read_canonically_and_the_primary_beside() -> None:
    """Alike is none; other bytes are content, a file that one lacks is integrity; both sides are named."""
    seen, value, _ = divergence({"blob": b"x"}, {"blob": b"x"})
    assert (value, "in_words" in seen) == ("none", False)
    assert (seen["left"]["label"], seen["left"]["run_id"]) == ("dr", DR_RUN)
    assert (seen["right"]["label"], seen["right"]["run_id"]) == ("primary", PRIMARY_RUN)
    seen, value, _ = divergence({"blob": b"x"}, {"blob": b"y"})
    assert (value, seen["in_words"]) == (
        "content", "0 differences of integrity; 1 difference of content in 1 of 1 files (blob)",
    )  # fmt: skip
    assert divergence({"blob": b"x", "blob2": b"x"}, {"blob": b"x"})[1] == "integrity"
    assert divergence({"blob": b"x"}, {})[1] == "integrity"


@pytest.mark.parametrize("lines", [25, 26])
def test_a_person_is_told_the_first_differences_and_how_many_more_there_are(lines: int) -> None:
    """So many lines and no more: the record has the digest of all."""
    files = {f"blob{number:02}": b"x" for number in range(lines - 3)}
    _, _, notes = divergence(files, dict.fromkeys(files, b"y"))
    assert len(notes) == lines
    assert notes[-1].endswith("and 1 more differences; `drfsm runs compare` shows all of them") is (lines == 26)


def test_the_profile_of_the_present_owners_run_is_tried_before_anything_is_frozen() -> None:
    """A run that fails against itself could never pass: the fact says why; and what was read is kept for the next."""
    world, terms = MemoryWorld(), terms_of(INPUTS)
    home = terms.layout.run(terms.old_run)
    run = a_run(inputs={"comparison_profile": BLOB})
    fact: Any = comparison.PROFILE
    seen = fact.observe(world, run)
    assert fact.judge(seen, run.inputs) == "never_passes"
    assert seen["in_words"] == "; ".join(seen["wrong"]["first"])
    world.store.lay(f"{home}/blob", b"x")
    seen = fact.observe(world, run)
    assert (fact.judge(seen, run.inputs), "in_words" in seen) == ("fits", False)
    assert (seen["profile"], seen["run_id"]) == ("blobs", terms.old_run)
    assert {name: size for name, (_, size) in run.already_read[f"{home}/"].items()} == {"blob": 1}


def test_a_contract_without_a_profile_has_one_by_its_files() -> None:
    """Each known file for any pair, JSON by its values, the rest by its bytes; the report's id must be the run's."""
    contract = evolve(shipped(), name="mine", comparison=VALUES)
    profile = profile_of(contract)
    rules = {rule.name: (rule.match, rule.read, rule.presence) for rule in profile.rules}
    report = contract.report
    assert report is not None
    assert rules.pop("report") == (report.key, "json_object", "optional")
    assert (profile.name, profile.rules[-1].volatile) == ("files of mine", (("**",),))
    assert profile.rules[-1].run_id == (tuple(report.run_id.split(".")),)
    assert {".".join(path): word for path, word in profile.rules[-1].succeeded.items()} == dict(report.succeeded)
    assert list(rules) == list(contract.files.known)
    for template, rule in rules.items():
        assert rule == (
            contract.place(template, ("*", "*")),
            "json" if template.endswith(".json") else "bytes",
            "required" if template in contract.files.required else "optional",
        )
    without = profile_of(evolve(contract, report=None))
    assert "report" not in {rule.name for rule in without.rules}
    plain = profile_of(evolve(contract, report=evolve(report, succeeded={})))
    assert plain.rules[-1].succeeded == {}
    assert profile_of(contract, BLOB).name == "blobs"
    assert profile_of(shipped()).name == "default"
