"""The pieces of work of the bench: who takes part in each, and what is told of it. Called by __main__.py."""

import http.client
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import frozen

from tests.bench import environment, worlds
from tests.bench.contest import Contender, Figure, Outcome, figures, folders, in_turn, own, process
from tests.bench.objects import RUNS, run_objects, source
from tests.bench.recovery import DONE
from tests.bench.server import BUCKET, LATENCY_SECONDS, serving

PEERS = Path("tests/bench/peers")
IN_FLIGHT = 128
_MANY = 10_000  # steps
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}


@frozen
class Size:
    """How much is done: the whole bench, or the quick one."""

    rounds: int
    rows: tuple[int, ...]
    steps: tuple[int, ...]
    objects: int
    starts: int
    worlds: int


WHOLE = Size(rounds=5, rows=(50, 300, 1000), steps=(100, 1000, 10_000), objects=10_000, starts=9, worlds=3)
QUICK = Size(rounds=3, rows=(50, 1000), steps=(100, 1000), objects=1000, starts=3, worlds=0)


def loading(size: Size) -> Iterator[Outcome]:
    """Read declarations of several lengths."""
    for rows in size.rows:
        contenders = [
            Contender(name, lambda _round, name=name, rows=rows: process(own("tests.bench.loading", name, rows)))  # type: ignore[misc]
            for name in ("drfsm", "transitions", "floor")
        ]
        measured = {
            name: [{"ms": told["cpu"] * 1000} for told in rounds]
            for name, rounds in in_turn(contenders, size.rounds).items()
        }
        yield Outcome(
            f"load a machine of {rows} rows", "ms of processor", figures(measured, "ms"), "floor",
            "at most 3 times the floor, at any length",
            "floor: PyYAML's C loader reads the file. transitions builds the same states and rows, and checks nothing.",
        )  # fmt: skip


def steps(size: Size) -> Iterator[Outcome]:
    """Take durable steps of short and long machines."""
    peers = environment.python()
    for rows in size.steps:
        places = folders(f"steps-{rows}")
        measured = in_turn(list(_steppers(rows, places, peers)), min(3, size.rounds))
        note = (
            "floor: the same bytes, written and flushed with fdatasync twice a step. drfsm and transitions (SQLite,"
            " WAL, full sync) write a record before each action and one after it; DBOS and Burr write one after it."
        )
        yield Outcome(
            f"a durable step, {rows} rows", "µs", figures(measured, "us"), "floor",
            "0.6 of the floor or more; 3.5 times as fast as DBOS", note,
        )  # fmt: skip
        yield Outcome(
            f"the same: processor a step, {rows} rows", "µs of processor", figures(measured, "cpu_us"), "floor",
            "250 µs or less",
        )  # fmt: skip
        ends = [
            Figure(name, tuple(told["last_us"] / told["first_us"] for told in rounds))
            for name, rounds in measured.items()
        ]
        yield Outcome(
            f"the last hundred steps against the first, {rows} rows",
            "times",
            tuple(ends),
            "floor",
            "the same as the floor",
        )


def _steppers(rows: int, places: Iterator[Path], peers: Path | None) -> Iterator[Contender]:
    last: list[Path] = []

    def drfsm(_round: int) -> Mapping[str, Any]:
        last[:] = [next(places)]
        return process(own("tests.bench.steps", "drfsm", rows, last[0]))

    yield Contender("drfsm", drfsm)
    yield Contender("floor", lambda _round: process(own("tests.bench.steps", "floor", rows, last[0])))
    if peers is not None:
        # Ten thousand steps of the other two take minutes, and say nothing that a thousand did not.
        for name in ("transitions", "burr", "dbos") if rows < _MANY else ("transitions",):
            yield Contender(
                name,
                lambda _round, name=name: process([peers, PEERS / "steps.py", name, str(rows), next(places)]),  # type: ignore[misc]
            )


def recovery(size: Size) -> Iterator[Outcome]:
    """Go on with a run of which 900 steps are done."""
    peers, places = environment.python(), folders("recovery")

    def drfsm(_round: int) -> Mapping[str, Any]:
        place = next(places)
        process(own("tests.bench.recovery", "prepare", place))
        last[:] = [place]
        return process(own("tests.bench.recovery", "drfsm", place))

    def dbos(_round: int) -> Mapping[str, Any]:
        place = next(places)
        process([peers or "", PEERS / "recovery.py", "prepare", place])
        return process([peers or "", PEERS / "recovery.py", "dbos", place])

    last: list[Path] = []
    read = (
        "import sys; [open(f'{sys.argv[1]}/{name}', 'rb').read() for name in ('machine.yaml', 'state_transitions.log')]"
    )
    contenders = [Contender("drfsm", drfsm)]
    contenders.append(Contender("floor", lambda _round: process([sys.executable, "-c", read, last[0]])))
    if peers is not None:
        contenders.append(Contender("dbos", dbos))
    measured = in_turn(contenders, size.rounds)
    yield Outcome(
        f"process start to the first new step, {DONE} steps done", "s", figures(measured, "wall"), "floor",
        "a twentieth of DBOS", "floor: Python starts, and reads the declaration and the journal.",
    )  # fmt: skip


def starting(size: Size) -> Iterator[Outcome]:
    """Start commands that read little."""
    places = folders("starting")
    bundle = next(places)
    process(own("tests.bench.recovery", "prepare", bundle))
    drfsm = Path(sys.executable).parent / "drfsm"
    commands: dict[str, list[str | Path]] = {
        "drfsm --help": [drfsm, "--help"],
        "drfsm --version": [drfsm, "--version"],
        "floor": [sys.executable, "-c", "pass"],
    }
    if (aws := environment.aws()) is not None:
        commands["aws --version"] = [aws, "--version"]
    contenders = [Contender(name, lambda _round, words=words: process(words)) for name, words in commands.items()]  # type: ignore[misc]
    measured = in_turn(contenders, size.starts)
    yield Outcome(
        "start of a command", "s", figures(measured, "wall"), "floor", "at most 4 times the floor",
        "floor: `python -c pass`.",
    )  # fmt: skip


def objects(size: Size) -> Iterator[Outcome]:
    """Copy, check and read many objects."""
    bodies = dict(pair for run_id in RUNS for pair in run_objects(run_id, size.objects))
    with serving(bodies) as endpoint:
        contest = _Objects(endpoint, size)
        yield from contest.copies()
        yield from contest.reads()


class _Objects:
    """Work on the objects behind one endpoint."""

    def __init__(self, endpoint: str, size: Size) -> None:
        self._endpoint, self._size, self._count = endpoint, size, 0
        self._rounds = max(2, size.rounds - 2)

    def _own(self, work: str, target: str) -> Mapping[str, Any]:
        words = own("tests.bench.objects", work, self._endpoint, self._size.objects, target)
        told = process(words, environ=_CREDENTIALS)
        return {**told, "work": told["seconds"]}

    def _peer(self, *words: str | Path) -> Mapping[str, Any]:
        told = process(
            words, environ={**_CREDENTIALS, "AWS_ENDPOINT_URL": self._endpoint, "S3_ENDPOINT_URL": self._endpoint}
        )
        return {**told, "work": told["wall"]}

    def _target(self, name: str, number: int) -> str:
        return f"copies/{name}-{number}"

    def copies(self) -> Iterator[Outcome]:
        """Copy a prefix within the bucket, and then once more, where everything is equal."""
        here = f"s3://{BUCKET}/{source()}"
        s5cmd, aws = environment.s5cmd(), environment.aws()
        peers: dict[str, tuple[str | Path, ...]] = {}
        if s5cmd is not None:
            peers["s5cmd cp"] = (s5cmd, "cp", f"{here}/*")
            peers["s5cmd sync"] = (s5cmd, "sync", f"{here}/*")
        if aws is not None:
            peers["aws s3 sync"] = (aws, "s3", "sync", "--quiet", f"{here}/")

        def first(name: str) -> Contender:
            def run(number: int) -> Mapping[str, Any]:
                target = self._target(name.replace(" ", "-"), number)
                if name in peers:
                    told = self._peer(*peers[name], f"s3://{BUCKET}/{target}/")
                else:
                    told = self._own("sync" if name == "drfsm" else "threads", target)
                assert listed(self._endpoint, target) == listed(self._endpoint, source()), f"{name} left something out"
                return told

            return Contender(name, run)

        names = ["drfsm", *peers, f"boto3, {32} threads"]
        measured = in_turn([first(name) for name in names], self._rounds)
        floor = self._size.objects / IN_FLIGHT * LATENCY_SECONDS
        yield self._told("sync", measured, floor, "1.2 times as fast as s5cmd cp, 3 times as s5cmd sync")
        again = [first(name) for name in names if name.endswith(("drfsm", "sync"))]
        measured = in_turn(again, self._rounds)
        pages = -(-self._size.objects // 1000) * LATENCY_SECONDS
        yield self._told("sync again, all equal", measured, pages, "no slower than rclone (not installed here)")

    def reads(self) -> Iterator[Outcome]:
        """Read with hashes, two runs for a comparison, one run's bytes."""
        floor = self._size.objects / IN_FLIGHT * LATENCY_SECONDS
        s5cmd, places = environment.s5cmd(), folders("downloads")
        for work, requests in (("verify", 1), ("compare", 2), ("download", 1)):
            contenders = [Contender("drfsm", lambda _round, work=work: self._own(work, "-"))]  # type: ignore[misc]
            if work == "download" and s5cmd is not None:
                contenders.append(
                    Contender(
                        "s5cmd cp",
                        lambda _round: self._peer(s5cmd, "cp", f"s3://{BUCKET}/{source()}/*", f"{next(places)}/"),
                    )
                )
            yield self._told(work, in_turn(contenders, self._rounds), requests * floor, "")

    def _told(self, work: str, measured: Mapping[str, Any], floor: float, target: str) -> Outcome:
        made = (*figures(measured, "work"), Figure("floor", (floor,) * self._rounds))
        peak = max(told["peak_mib"] for told in measured["drfsm"])
        note = (
            f"floor: {LATENCY_SECONDS * 1000:.0f} ms a request, {IN_FLIGHT} under way. drfsm and boto3 are measured"
            f" without the start of Python; drfsm's process had at most {peak:.0f} MiB."
        )
        return Outcome(f"{work}: {self._size.objects} objects", "s", made, "floor", target, note)


def listed(endpoint: str, prefix: str) -> dict[str, str]:
    """Return the name and ETag of every object below a prefix, asked with nobody's client."""
    place = urlsplit(endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    found: dict[str, str] = {}
    token = ""
    while True:
        connection.request("GET", f"/{BUCKET}?list-type=2&prefix={quote(prefix)}/&continuation-token={token}")
        page = connection.getresponse().read().decode()
        for key, etag in re.findall(r"<Key>([^<]*)</Key>.*?<ETag>([^<]*)</ETag>", page):
            found[key.rpartition("/")[2]] = etag
        more = re.search(r"<NextContinuationToken>([^<]*)<", page)
        if more is None:
            return found
        token = quote(more[1], safe="")


PARTS: Mapping[str, Callable[[Size], Iterator[Outcome]]] = {
    "loading": loading,
    "steps": steps,
    "recovery": recovery,
    "starting": starting,
    "objects": objects,
    "failback": lambda size: worlds.failback(size.worlds),
    "sandbox": lambda size: worlds.sandbox(size.worlds),
}
"""Name -> what measures it, in the order of the report."""

SLOW = ("failback", "sandbox")
"""The parts that the quick bench leaves out: they wait for worlds."""
