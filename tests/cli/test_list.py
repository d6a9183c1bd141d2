"""`drfsm list`: which runs it chooses, of this computer and of a bucket, and how much of a bucket it reads."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from drfsm.cli.list_mirrors import rows_below, used_here
from drfsm.cli.list_runs import Wanted
from drfsm.errors import ExitCode
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.journal import Record, digest, fold, lines
from drfsm.resources import shipped
from drfsm.runs import mirrors
from tests.cli.test_watch import BUCKET, EVIL, RECORDED, Bucket
from tests.command import Drfsm
from tests.hostile.test_documents import harmless
from tests.recorded import BUNDLES

NEWEST = BUNDLES / "0.5.0"  # the times below are of these
ANY = Wanted()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with the three recorded runs, all held, and one that can't be read."""
    for name in ("failback", "promote", "drill"):
        shutil.copytree(NEWEST / name, tmp_path / "home/runs" / name)
    shutil.copytree(NEWEST / "drill", tmp_path / "home/runs/broken")
    (tmp_path / "home/runs/broken/state_transitions.log").write_bytes(b"no journal\n")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("options", "machines"),
    [
        ((), ["", "drill", "failback", "promote"]),
        (("--procedure", "failback"), ["", "failback"]),
        (("--procedure", "failback,drill"), ["", "drill", "failback"]),
        (("--procedure", "failback", "--procedure", "promote"), ["", "failback", "promote"]),
        (("--status", "held"), ["drill", "failback", "promote"]),
        (("--status", "held,damaged", "--procedure", "drill"), ["", "drill"]),
        (("--status", "complete"), []),
        (("--since", "2026-11-29"), ["", "drill", "failback", "promote"]),
        (("--since", "2026-11-29T09:52:41Z"), ["", "drill"]),
        (("--since", "2026-11-30"), [""]),
        (("--since", "999999w"), ["", "drill", "failback", "promote"]),
    ],
    ids=" ".join,
)
def test_filters_choose_runs_and_show_what_they_cannot_judge(
    drfsm: Drfsm, home: Path, options: tuple[str, ...], machines: list[str]
) -> None:
    """A run whose records can't be read has no procedure and no time: it is shown, unless its status is not wanted."""
    assert home.is_dir()
    told = drfsm("list", *options, "-o", "json")
    assert (told.code, sorted(row["machine"] for row in told.json)) == (ExitCode.DONE, machines)
    schema = json.loads((shipped("receipts_schema") / "list.schema.json").read_bytes())
    Draft202012Validator(schema).validate(told.json)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--status", "stuck"), "there is no status 'stuck'"),
        (("--since", "yesterday"), "--since 'yesterday' is no time"),
        (("--since", "1234567d"), "is no time"),
        (("--since", EVIL), "is no time"),
        (("s3://results/jobs", "--remote"), "do not go together"),
    ],
)
def test_a_filter_that_is_none_is_wrong_usage(drfsm: Drfsm, options: tuple[str, ...], words: str) -> None:
    """2, with what can be given."""
    told = drfsm("list", *options)
    assert (told.code, words in told.err) == (ExitCode.USAGE, True), told
    assert harmless(told.err)


def test_the_verdict_of_a_replay_has_its_schema(drfsm: Drfsm, tmp_path: Path) -> None:
    """Of evidence that holds, and of a journal that was altered."""
    schema = json.loads((shipped("receipts_schema") / "replay.schema.json").read_bytes())
    place = Path(shutil.copytree(NEWEST / "drill", tmp_path / "bundle"))
    for altered in (False, True):
        if altered:
            log = place / "state_transitions.log"
            log.write_bytes(log.read_bytes().replace(b'"seq":5', b'"seq":6', 1))
        told = drfsm("replay", place, "--quiet", "-o", "json")
        Draft202012Validator(schema).validate(told.json)
        assert told.json["ok"] != altered


# --- a bucket -------------------------------------------------------------------------------------------------------


class Counting(Bucket):
    """A bucket that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, **options: Any) -> Any:
        """Note a read."""
        self.asked.append(key)
        return super().get(key, **options)

    def get_many(self, keys: Any, **options: Any) -> Iterator[Any]:
        """Note many."""
        del options
        yield from ((key, self.get(key)) for key in keys)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Return the bucket that every address leads to."""
    bucket = Counting()
    monkeypatch.setattr(mirrors, "store_of", lambda _bucket, _places: bucket)
    return bucket


def mirror(store: Counting, run_id: str, *, with_summary: bool = True) -> str:
    """Put the recorded failback into the bucket under another id; return the prefix of its keys."""
    started = RECORDED[0]
    inputs = {**started.body["inputs"], "bucket": BUCKET, "journal_prefix": "jobs"}
    first = Record(0, started.kind, started.at, {**started.body, "inputs": inputs, "run_id": run_id})
    records, home = [first, *RECORDED[1:]], f"jobs/drfsm/runs/{run_id}"
    raw = list(lines(records))
    for number, line in enumerate(raw):
        store.put(f"{home}/{number:06d}.json", line)
    store.put(f"{home}/signatures/{digest(raw[0])}.sig", b"x")
    if with_summary:
        summary = summarise(fold(records), records, head=digest(raw[-1]))
        store.put(f"{home}/summary.json", summary_bytes(summary))
    return home


def test_a_bucket_of_many_keys_is_listed_once_and_a_summary_read_for_each_run(store: Counting) -> None:
    """More than 1,000 keys; what a filter leaves out by its id is not read at all."""
    names = [f"failback-202611{day:02d}t080245z-0123456789ab" for day in range(1, 27)]
    for name in names:
        mirror(store, name)
    assert len(store.objects) > 1000
    rows = list(rows_below(f"s3://{BUCKET}/jobs", {}, ANY))
    assert sorted(row["run_id"] for row in rows) == names
    assert len(store.asked) == len(names)
    store.asked.clear()
    wanted = Wanted(since=datetime(2026, 11, 25, tzinfo=UTC))
    assert [row["run_id"] for row in rows_below(f"s3://{BUCKET}/jobs", {}, wanted)] == names[-2:]
    assert list(rows_below(f"s3://{BUCKET}/jobs", {}, Wanted(procedures=frozenset({"drill"})))) == []
    assert len(store.asked) == 2


@pytest.mark.parametrize("change", ["gone", "garbage", "of another run", "behind", "evil"])
def test_where_a_mirror_s_summary_does_not_count_its_records_are_read(store: Counting, change: str) -> None:
    """The line is the same by either way; nothing that a summary claims steers a terminal."""
    name = "failback-20261101t080245z-0123456789ab"
    home = mirror(store, name)
    (before,) = rows_below(f"s3://{BUCKET}/jobs", {}, ANY)
    key = f"{home}/summary.json"
    summary = json.loads(store.objects[key].body)
    summary |= {"of another run": {"run_id": "x"}, "behind": {"journal": {"records": 3}}}.get(change, {})
    if change == "evil":
        summary |= {"status": EVIL, "machine": EVIL, "state": EVIL, "started_at": EVIL}
    store.put(key, b"[" if change == "garbage" else json.dumps(summary).encode())
    if change == "gone":
        store.delete(key)
    (after,) = rows_below(f"s3://{BUCKET}/jobs", {}, ANY)
    assert harmless(json.dumps(after))
    assert change == "evil" or after == before


def test_a_mirror_that_cannot_be_read_is_listed_as_damaged(store: Counting) -> None:
    """Under its own name, with why."""
    home = mirror(store, "failback-20261101t080245z-0123456789ab", with_summary=False)
    store.put(f"{home}/000003.json", b"{}\n")
    (row,) = rows_below(f"s3://{BUCKET}/jobs", {}, ANY)
    assert (row["status"], row["run_id"]) == ("damaged", "failback-20261101t080245z-0123456789ab")


def test_remote_lists_the_places_that_runs_here_have_used(drfsm: Drfsm, home: Path, store: Counting) -> None:
    """Each bucket and prefix once, reached as the runs reached it; a run that can't be read names none."""
    assert home.is_dir()
    places = used_here()
    assert len({address for address, _ in places}) == len({(address, *reached.values()) for address, reached in places})
    assert all(address.startswith("s3://") and "/drfsm" not in address for address, _ in places)
    assert places
    told = drfsm("list", "--remote")
    assert (told.code, "no run is known in the buckets that runs here have used" in told.err) == (ExitCode.DONE, True)
    assert store.asked == []
