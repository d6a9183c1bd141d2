"""A failback on the sandbox, and the sandbox itself: seconds, and what of them is waiting that the procedure declares.

The script of ``aws`` and ``kubectl`` calls that would be the peer is not run: it needs kubectl, which no registry of
packages has. Called by parts.py.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from drfsm.claims import moment, seconds_between
from tests.bench.contest import Figure, Outcome, folders, own, process
from tests.bench.faulty import Front
from tests.e2e.sites import Site, Sites

ROUND_TRIP_SECONDS = 0.1
IDLE_SECONDS = 20.0


def failback(rounds: int) -> Iterator[Outcome]:
    """Run a dry run and a whole failback, near the sites and far from them."""
    for latency, name in ((0.0, "on loopback"), (ROUND_TRIP_SECONDS, "100 ms from store and sites")):
        dry, whole, waited = [], [], []
        for _ in range(max(1, rounds) if not latency else 1):
            taken = _once(latency)
            dry.append(taken["dry"])
            whole.append(taken["whole"])
            waited.append(taken["waited"])
        own_part = tuple(total - wait for total, wait in zip(whole, waited, strict=True))
        figures = (
            Figure("failback, waits left out", own_part),
            Figure("failback, as it is", tuple(whole)),
            Figure("dry run", tuple(dry)),
            Figure("waits", tuple(waited)),
        )
        note = (
            "Waits: between the samples of both drains, the validation Job and the soak. The start of Python, and of"
            " each client, is drfsm's. Requests: [requests.md](requests.md). No peer: a script of aws and kubectl needs"
            " kubectl, which is not installed here."
        )
        target = "15 s or less" if latency else "2 s or less, waits left out"
        yield Outcome(f"a failback, {name}", "s", figures, "", target, note)


def _once(latency: float) -> dict[str, float]:
    place = next(folders("failback"))
    place.mkdir()
    sites = Sites(place)
    try:
        site = sites()
        with _far(site, latency) as front:
            environ = {**site.environ(), "AWS_ENDPOINT_URL": front.endpoint}
            words = site.failback()
            dry = [*words[:-1], str(site.directory / "dry"), "--dry-run"]
            return {
                "dry": _seconds(dry, environ),
                "whole": _seconds(words, environ),
                "waited": waited(site.bundle / "state_transitions.log"),
            }
    finally:
        sites.close()


def _far(site: Site, latency: float) -> Front:
    """Return a front before the store; it and the clusters answer later."""
    front = Front(site.sandbox.cloud.endpoint)
    front.rule = lambda _method, _path: time.sleep(latency)
    if latency:
        for cluster in (site.sandbox.primary, site.sandbox.dr):
            cluster.faults.add("*", "", times=1 << 30, delay_seconds=latency)
    return front


def _seconds(words: list[str], environ: Mapping[str, str]) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "drfsm", *words]
    ended = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"drfsm {' '.join(words)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return time.monotonic() - began


def waited(journal: Path) -> float:
    """Return the seconds between the samples of one wait, all waits together."""
    seconds, before = 0.0, None
    for line in journal.read_bytes().splitlines():
        record: dict[str, Any] = json.loads(line)
        if record["kind"] != "sampled":
            before = None
            continue
        at = moment(record["at"])
        assert at is not None
        if before is not None:
            seconds += seconds_between(before, at)
        before = at
    return seconds


def sandbox(rounds: int) -> Iterator[Outcome]:
    """Start a sandbox, let it stand, and let a site come back."""
    starts, idle, back = [], [], []
    for number in range(rounds):
        place = next(folders(f"sandbox-{number}"))
        drfsm = [*own("drfsm", "sandbox")]
        starts.append(process([*drfsm, "up", "--dir", place])["wall"])
        try:
            time.sleep(5)  # the seeded Jobs end
            idle.append(_busy(place))
            process([*drfsm, "outage", "primary", "--dir", place])
            back.append(process([*drfsm, "outage", "primary", "--end", "--dir", place])["wall"])
        finally:
            process([*drfsm, "down", "--dir", place])
    yield Outcome("start of the sandbox", "s", (Figure("drfsm sandbox up", tuple(starts)),), "", "2 s or less")
    yield Outcome("an idle sandbox", "% of a core", (Figure("drfsm sandbox", tuple(idle)),), "", "1 % or less")
    yield Outcome("a site is back", "s", (Figure("drfsm sandbox outage --end", tuple(back)),), "", "1 s or less")


def _busy(place: Path) -> float:
    """Return the share of a core (in percent) that the processes of a sandbox use while nothing happens."""
    ours = [number for number, words in _processes() if str(place) in words]
    assert ours
    ticks: Callable[[], int] = lambda: sum(map(_ticks, ours))  # noqa: E731  it is read twice
    before, began = ticks(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began) * 100


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue


def _ticks(number: int) -> int:
    fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
