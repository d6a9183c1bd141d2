"""How long commands take to start, beside ``python -c pass``: ``python -m tests.bench.starts``.

Each is a process of its own, on recorded bundles in a home of its own, with bytecode kept as an installation has it.
Of several rounds the least processor time counts, as a busy computer only adds. Prints seconds and ratios; asserts
nothing.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drfsm.cli.remembered import PAGE
from tests.recorded import BUNDLES

ROUNDS, BUNDLES_TO_LIST = 7, 1000
TARGETS = {"--help": 4, "status, again": 4, "status, first": 4, "replay": 8}
"""How many times `python -c pass` each may take (issues 17 and 18)."""


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  what a bench is for


def spent(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a process; return its seconds of processor, and those that passed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(argv, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return busy, time.monotonic() - began


def least(argv: Sequence[str], environment: Mapping[str, str], before: Callable[[], None]) -> tuple[float, float]:
    """Return the least of several rounds, of processor and of the clock. ``before``: done before each round."""
    rounds = []
    for _ in range(ROUNDS):
        before()
        rounds.append(spent(argv, environment))
    return min(busy for busy, _ in rounds), min(passed for _, passed in rounds)


def main() -> int:
    """Measure and print."""
    newest = max(BUNDLES.glob("*/failback"))
    with tempfile.TemporaryDirectory() as directory:
        home, many = Path(directory) / "home", Path(directory) / "many"
        for name in ("failback", "promote"):
            shutil.copytree(newest.parent / name, home / "runs" / name)
        for number in range(BUNDLES_TO_LIST):
            shutil.copytree(newest, many / "runs" / f"failback-{number:04d}")
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {**kept, "DRFSM_HOME": str(home), "PYTHONPYCACHEPREFIX": str(Path(directory) / "bytecode")}
        run = str(home / "runs/failback")

        def nothing() -> None:
            """Leave everything as it is."""

        def forget() -> None:
            (home / PAGE).unlink(missing_ok=True)

        drfsm = (sys.executable, "-m", "drfsm")
        base, _ = least((sys.executable, "-c", "pass"), environment, nothing)
        say(f"{'python -c pass':<24} {base:7.3f} s of processor")
        for name, words, before in (
            ("--help", ("--help",), nothing),
            ("status, first", ("status", run), forget),
            ("status, again", ("status", run), nothing),
            ("list", ("list",), nothing),
            ("replay", ("replay", run), nothing),
            ("failback --help", ("failback", "--help"), nothing),
        ):
            busy, _ = least((*drfsm, *words), environment, before)
            target = f", to be at most {TARGETS[name]}" if name in TARGETS else ""
            say(f"{name:<24} {busy:7.3f} s of processor, {busy / base:5.1f} times that{target}")
        busy, passed = least((*drfsm, "list"), {**environment, "DRFSM_HOME": str(many)}, nothing)
        say(f"list of {BUNDLES_TO_LIST} bundles     {busy:7.3f} s of processor, {passed:.3f} s in all, to be below 1 s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
