"""Try the mutants of the code: ``make mutants``; docs/mutants.md.

    python -m tests.mutants [--sample PERCENT] [--seed N] [--match TEXT] [--seconds N] [--report] [PATH ...]

PATH: modules or folders below drfsm/; without one, all six packages. It can be stopped at any time and goes on where it
was. It ends with 1 if a mutant of these paths survived and stands in no table with its reason.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutants import workshop
from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.session import (
    ROOT,
    Near,
    Session,
    Tests,
    code_digests,
    digest,
    digest_of_files,
    explained,
    functions,
    modules,
)
from tests.mutants.workshop import Chosen, Outcome, Workshop

BUILD = ROOT / "build" / "mutants"


def main(arguments: list[str]) -> int:
    """Try what has no outcome yet, then report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=100, help="percent of the mutants to try")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--match", default="", help="only mutants whose name holds this text")
    parser.add_argument("--seconds", type=float, default=30, help="of near tests, to try one mutant with")
    parser.add_argument("--report", action="store_true", help="try nothing, report what is known")
    parser.add_argument("paths", nargs="*", default=[])
    options = parser.parse_args(arguments)

    def drawn(mutant: Mutant) -> bool:
        return options.match in mutant.key and mutant.drawn(options.sample, options.seed)

    session, paths = Session.opened(BUILD / "session.jsonl"), modules(options.paths)
    temporary = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        if not options.report:
            workshop.preload()
            for tests, group in grouped(paths).items():
                Round(session, tests, group, drawn, options.seconds, temporary).run()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report(session, paths, drawn)


def say(words: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def grouped(paths: list[str]) -> dict[Tests, list[str]]:
    """Return the modules that have the same near tests together."""
    near, groups = Near.read(), dict[Tests, list[str]]()
    for path in paths:
        groups.setdefault(near.tests(path), []).append(path)
    return groups


class Round:
    """The modules that have the same near tests."""

    def __init__(
        self,
        session: Session,
        near: Tests,
        paths: list[str],
        drawn: Chosen,
        most: float,
        temporary: Path,
    ) -> None:
        self.session, self.near, self.paths, self.drawn, self.temporary = session, near, paths, drawn, temporary
        self.most = most
        self.tests = digest_of_files(near.files)
        self.codes = {path: code_digests((ROOT / path).read_text()) for path in paths}

    def run(self) -> None:
        """Try each mutant in place, then those that need an import of their own."""
        known = {path: mutants_of(path, (ROOT / path).read_text())[1] for path in self.paths}
        left = [mutant for mutants in known.values() for mutant in mutants if self.wants(mutant)]
        if not left:
            return
        say(f"{len(left)} mutants of {', '.join(self.paths)}")
        names = digest(functions())

        def fingerprint(file: str) -> str:
            return digest([names, digest_of_files([file]), *sorted(self.near.far)])

        tried = Workshop(
            ROOT,
            self.paths,
            self.wants,
            self.record,
            cache=BUILD / "calls",
            fingerprint=fingerprint,
            far=self.near.far,
            most=self.most,
        )
        workshop.collect(self.near.files, tried, self.temporary / "t")
        self.session.reload()
        for mutant in left:
            line = self.session.lines.get(mutant.key, {})
            if line.get("verdict") == "anew":
                tests, seconds = line["by"].split("\n"), line["seconds"]
                self.record(mutant, workshop.try_anew(ROOT, mutant, tests, seconds, self.temporary / "t"))

    def wants(self, mutant: Mutant) -> bool:
        """Say whether a mutant is to be tried."""
        return self.drawn(mutant) and not self.session.holds(mutant, self._code(mutant), self.tests, self.most)

    def _code(self, mutant: Mutant) -> str:
        return self.codes[mutant.path].get(mutant.line, "")

    def record(self, mutant: Mutant, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.session.append(
            {
                "key": mutant.key,
                "code": self._code(mutant),
                "tests_digest": self.tests,
                "verdict": outcome.verdict,
                "by": outcome.by,
                "tests": outcome.tests,
                "most": self.most,
                "seconds": outcome.seconds,
            }
        )


def report(session: Session, paths: list[str], drawn: Chosen) -> int:
    """Print the figures by package and write the survivors; return 1 if one stands in no table."""
    reasons, figures, bare = explained(), dict[str, Counter[str]](), list[str]()
    for path in paths:
        source = (ROOT / path).read_text()
        codes = code_digests(source)
        for mutant in mutants_of(path, source)[1]:
            line = session.lines.get(mutant.key)
            if not drawn(mutant) or line is None or line["code"] != codes.get(mutant.line, ""):
                continue
            verdict = line["verdict"]
            if verdict != "killed":
                verdict = "explained" if mutant.key in reasons else verdict
            if verdict not in ("killed", "explained"):
                bare.append(f"{mutant.path}:{mutant.line}  {line['verdict']}  {mutant.key}")
            figures.setdefault(path.split("/")[1], Counter())[verdict] += 1
    say(f"{'package':10} {'tried':>7} {'killed':>7} {'explained':>9} {'survived':>8} {'not reached':>11}")
    for package, counts in figures.items():
        columns = (counts.total(), counts["killed"], counts["explained"], counts["survived"], counts["not reached"])
        share = 100 * (counts["killed"] + counts["explained"]) / counts.total()
        say("{:10} {:7} {:7} {:9} {:8} {:11}".format(package, *columns) + f"  {share:.1f} %")
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "survivors.txt").write_text("".join(f"{line}\n" for line in bare))
    if bare:
        say(f"{len(bare)} survivors without a reason: build/mutants/survivors.txt")
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
