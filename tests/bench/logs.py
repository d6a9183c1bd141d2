"""How long replay's audit takes on large logs: against reading, hashing and decoding the same lines, in one run.

    python -m tests.bench.logs [RECORDS ...]      1,000, 51,200 and 1,000,000 unless named

A log is a recorded promote up to its first wait, and then that wait, sampled for as long as it takes. Each size is
measured in a process of its own: CPU seconds, and the most memory above that of a process that imported the same.
"""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from attrs import evolve

from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.evidence.audit import audit
from drfsm.journal import GENESIS, Record, digest, encode
from drfsm.spec import load_machine
from tests.recorded import BUNDLES

PLACE = BUNDLES / "0.5.0" / "promote"
SIZES = (1_000, 51_200, 1_000_000)
_VARIANTS = 7


def records(count: int) -> Iterator[Record]:
    """Yield the records of a run that waits for its validation, for ever."""
    recorded = read_chain(PLACE).records
    first = next(number for number, record in enumerate(recorded) if record.kind == "sampled")
    yield from recorded[:first]
    sample = recorded[first]
    seen = sample.body["facts"]["validation_result"]["seen"]
    variants = []
    for variant in range(_VARIANTS):
        published = dict.fromkeys(seen["published"], f"2026-12-01T00:00:0{variant}Z")
        job = {**seen, "published": published, "job": "unfinished"}
        reading = {**sample.body["facts"]["validation_result"], "value": "pending", "seen": job}
        variants.append({**sample.body["facts"], "validation_result": reading})
    for number, facts in zip(range(first, count), cycle(variants), strict=False):
        second, micro = divmod(number * 100_000, 1_000_000)
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        day, hour = divmod(hour, 24)
        at = f"2026-12-{1 + day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z"
        body = {**sample.body, "facts": facts, "holds": False, "unmet": ["validation_result"]}
        yield evolve(sample, seq=number, at=at, body={**body, "waited_seconds": round(number / 10, 1)})


def write(path: Path, count: int) -> None:
    """Write a log of so many records."""
    head = GENESIS
    with path.open("wb") as file:
        for record in records(count):
            line = encode(record, head)
            head = digest(line)
            file.write(line)


def plain(path: Path) -> int:
    """Read, hash and decode every line with the standard library."""
    count = 0
    with path.open("rb") as file:
        for line in file:
            hashlib.sha256(line).hexdigest()
            json.loads(line)
            count += 1
    return count


def audited(path: Path) -> int:
    """Audit a log."""
    from drfsm.dr.procedures import binding
    from drfsm.dr.procedures.bound import pairs_of

    spec = load_machine((PLACE / "promote.yaml").read_bytes(), source="promote.yaml", recorded=True)
    judged = binding("promote")
    with path.open("rb") as file:
        verdict = audit(file, spec, judges=judged.judges, late=judged.late, bound=pairs_of("promote"))
    assert verdict.ok, "\n".join(list(verdict.lines())[:5])
    return verdict.records


def _measured(work: str, path: Path) -> tuple[float, float]:
    """Return CPU seconds and MiB, of a process that does a work on a log; of nothing for a log of one line before."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.bench.logs", f"--{work}", str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(told[0]), float(told[1])


def _once(work: str, path: Path) -> None:
    """Do a work in this process; print CPU seconds and the MiB above what the process had before."""
    from drfsm.dr.procedures import binding

    binding("promote")
    do = {"plain": plain, "audited": audited}[work]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    do(path)
    lasted = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(f"{lasted} {grown / 1024}\n")


def main(words: list[str]) -> None:
    """Measure each size."""
    if words and words[0].startswith("--"):
        _once(words[0][2:], Path(words[1]))
        return
    for count in [int(word.replace(",", "")) for word in words] or SIZES:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / LOG
            write(path, count)
            (base, _), (ours, grown) = _measured("plain", path), _measured("audited", path)
            sys.stdout.write(
                f"{count:>9,} records, {path.stat().st_size / 1e6:6.1f} MB: plain {base:7.2f} s, audit {ours:7.2f} s"
                f" ({ours / base:.2f} times), {1e6 * ours / count:.1f} us a record, {grown:.1f} MiB more\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
