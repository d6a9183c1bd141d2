"""Where mutants are tried: near tests are collected once, then each mutant gets a forked process of its own.

Starting pytest costs seconds, a fork costs milliseconds. In the forked process the mutant's code takes the place of the
code of every function that the module made; the tests that call the mutated function run up to the first that fails:
the fastest, and of these first the ones that killed others. What runs when a module is imported (tables, defaults)
can't be put in place afterwards: such a mutant gets a process that imports drfsm anew, from the mutant's source.
"""

import contextlib
import ctypes
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from attrs import define, field, frozen

from tests.mutants.operators import Mutant, mutants_of

DAY_SECONDS = 86400.0
SLACK_SECONDS, SLACK_TIMES = 40.0, 10.0  # a machine that has much to do
IMPORTED = ("boto3", "botocore.session", "kubernetes.client", "hypothesis", "jsonschema", "moto.server", "obstore")
# Plain asserts: drfsm brings a plugin of pytest, so pytest's own loader would rewrite, and import, its modules itself.
OPTIONS = ("-q", "-x", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminalreporter")
Chosen = Callable[[Mutant], bool]
Record = Callable[[Mutant, "Outcome"], None]


@frozen
class Outcome:
    """What became of a mutant: killed (by a test, or time), survived, or not reached by any near test."""

    verdict: str
    by: str = ""
    tests: int = 0
    seconds: float = 0.0


def in_fork(work: Callable[[Callable[[str], None]], None], seconds: float) -> tuple[str, bool]:
    """Run this in a process of its own group; return what it told, and whether it ended within the time."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setpgrp()
        _die_with_parent()
        os.close(reader)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        try:
            work(lambda text: _write(writer, text))
        finally:
            os._exit(0)
    os.close(writer)
    told, ended, waited = b"", False, 0.0
    try:
        while waited < seconds:
            began = time.monotonic()
            ready = select.select([reader], [], [], 1.0)[0]
            waited += min(time.monotonic() - began, 1.0)  # a run that is stopped for a while (SIGSTOP) uses up no time
            if ready:
                if not (chunk := os.read(reader, 1 << 20)):
                    ended = True
                    break
                told += chunk
                if told.endswith(b"\0"):  # the end: whatever it left running has the pipe, too
                    ended = True
                    break
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return told.rstrip(b"\0").decode(), ended


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends; elsewhere a killed run may leave one behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _write(writer: int, text: str) -> None:
    data = text.encode() + b"\0"
    while data:
        data = data[os.write(writer, data) :]


@define
class Coverage:
    """Which test calls which function, and how long each test takes."""

    seconds: dict[str, float] = field(factory=dict)
    calls: dict[str, list[str]] = field(factory=dict)  # "path::qualified name" -> tests
    faults: list[str] = field(factory=list)  # tests that fail by themselves
    most: float = 30.0  # seconds of tests, as they were measured, that one mutant is tried with
    kills: Counter[str] = field(factory=Counter)  # test -> how many mutants of this module it killed

    def add(self, measured: Mapping[str, Any]) -> None:
        """Add what was measured of a test file."""
        self.seconds |= measured["seconds"]
        self.faults += measured["faults"]
        for name, tests in measured["calls"].items():
            self.calls.setdefault(name, []).extend(tests)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that call a mutant's function, the fastest first, for as long as they may take."""
        return self._fastest(self.calls.get(f"{mutant.path}::{mutant.function}", ()))

    def tests_of_module(self, path: str) -> list[str]:
        """Return the tests that call any function of a module, likewise; then others, which may read its tables."""
        calls = (tests for name, tests in self.calls.items() if name.startswith(f"{path}::"))
        callers = self._fastest({test for tests in calls for test in tests})
        return [*callers, *self._fastest(self.seconds.keys() - set(callers) - set(self.faults))]

    def _fastest(self, tests: Iterable[str]) -> list[str]:
        """Return tests, the fastest first, for as long as they may take; among these the best killers come first."""
        chosen, spent = list[str](), 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            spent += self.seconds[test]
            if chosen and spent > self.most:
                break
            chosen.append(test)
        return sorted(chosen, key=lambda test: -self.kills[test])


def _without_locals(name: str) -> str:
    return name.replace(".<locals>", "")


class Workshop:
    """A pytest plugin: once the tests are collected, it tries mutants instead of running them."""

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        chosen: Chosen,
        record: Record,
        *,
        cache: Path,
        fingerprint: Callable[[str], str],
        far: frozenset[str],
        most: float,
    ) -> None:
        self.root, self.paths, self.chosen, self.record = root, paths, chosen, record
        self.cache, self.fingerprint = cache, fingerprint  # where measures of a test file are kept, and until when
        self.far = far  # fixtures: whatever uses one of these is no near test
        self.coverage = Coverage(most=most)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests, then try the mutants."""
        session.items[:] = [item for item in session.items if self._is_near(item)]
        gc.unfreeze()
        functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
        gc.collect()
        gc.freeze()
        self._measure(session)
        for path in self.paths:
            wanted = str(self.root / path)
            of_module = [each for each in functions if each.__code__.co_filename == wanted]
            self._try_module(session, path, of_module)
        return True

    def _is_near(self, item: pytest.Item) -> bool:
        """Say whether a test starts no world, is not long, and does not draw at random."""
        random = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        starts_a_world = self.far & set(getattr(item, "fixturenames", ()))
        return not starts_a_world and not random and item.get_closest_marker("long") is None

    def _measure(self, session: pytest.Session) -> None:
        """Fill in the coverage: of a test file that was measured before, as it was kept; of the others, anew."""
        files: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            files.setdefault(item.nodeid.partition("::")[0], []).append(item)
        anew = [file for file in files if not self._take(file)]
        if not anew:
            return
        session.items[:] = [item for file in anew for item in files[file]]
        text, ended = in_fork(lambda tell: tell(json.dumps(_measured(session, self.root))), 3600)
        session.items[:] = [item for items in files.values() for item in items]
        if not ended or not text:
            raise RuntimeError(f"the near tests of {', '.join(self.paths)} can't be measured")
        self.cache.mkdir(parents=True, exist_ok=True)
        for file, measured in json.loads(text).items():
            kept = {"fingerprint": self.fingerprint(file), **measured}
            self._kept(file).write_text(json.dumps(kept))
            self.coverage.add(kept)

    def _take(self, file: str) -> bool:
        """Take what was measured of a test file; say whether there is something that still fits."""
        place = self._kept(file)
        kept = json.loads(place.read_text()) if place.exists() else {}
        if kept.get("fingerprint") != self.fingerprint(file):
            return False
        self.coverage.add(kept)
        return True

    def _kept(self, file: str) -> Path:
        return self.cache / f"{file.replace('/', '.')}.json"

    def _try_module(self, session: pytest.Session, path: str, functions: list[FunctionType]) -> None:
        source = (self.root / path).read_text()
        tree, mutants = mutants_of(path, source)
        original = compile(tree, str(self.root / path), "exec")
        items = {item.nodeid: item for item in session.items}
        self.coverage.kills.clear()
        of_module = self.coverage.tests_of_module(path)
        for mutant in filter(self.chosen, mutants):
            tests = self.coverage.tests_of(mutant)
            with mutant.edit:
                try:
                    code = compile(tree, str(self.root / path), "exec")
                except (SyntaxError, ValueError):
                    self.record(mutant, Outcome("killed", "no code"))
                    continue
            places = _changed(original, code)
            if mutant.function and tests and places is not None and _all_patchable(functions, places):
                outcome = self._tried(functions, places, [items[test] for test in tests if test in items])
                self.coverage.kills[outcome.by] += 1
                if outcome.verdict == "killed":
                    self.record(mutant, outcome)
                    continue
            # What is called while modules are imported, or tests collected, is not seen in place: it is imported anew.
            tests = list(dict.fromkeys([*tests, *of_module]))
            seconds = sum(self.coverage.seconds[test] for test in tests)
            self.record(mutant, Outcome("anew" if tests else "not reached", "\n".join(tests), len(tests), seconds))

    def _tried(
        self, functions: list[FunctionType], places: list[tuple[CodeType, CodeType]], items: list[pytest.Item]
    ) -> Outcome:
        def work(tell: Callable[[str], None]) -> None:
            for function in functions:
                for old, new in places:
                    if function.__code__ == old:
                        function.__code__ = new
            tell(_first_failure(items, self.coverage.seconds))

        seconds = sum(self.coverage.seconds[item.nodeid] for item in items)
        return outcome_of(work, seconds, len(items))


def outcome_of(work: Callable[[Callable[[str], None]], None], seconds: float, tests: int) -> Outcome:
    """Run tests against a mutant in a process of its own: they fail, or pass, or never end."""
    began = time.monotonic()
    text, ended = in_fork(work, SLACK_SECONDS + SLACK_TIMES * seconds)
    took = round(time.monotonic() - began, 2)
    if not ended:
        return Outcome("killed", "time", tests, took)
    if text == "passed":
        return Outcome("survived", "", tests, took)
    return Outcome("killed", text or "the process died", tests, took)


def _measured(session: pytest.Session, root: Path) -> dict[str, dict[str, Any]]:
    """Run every collected test; return for each file which functions each calls, its time, and which fail."""
    prefix, files = str(root / "drfsm") + os.sep, dict[str, dict[str, Any]]()
    called = dict[int, CodeType]()  # by identity: the hash of a code costs as much as a short function

    def trace(frame: FrameType, _event: str, _arg: Any) -> None:
        called[id(frame.f_code)] = frame.f_code

    for item, after in zip(session.items, [*session.items[1:], None], strict=True):
        file = files.setdefault(item.nodeid.partition("::")[0], {"seconds": {}, "calls": {}, "faults": []})
        called.clear()
        began, failed = time.process_time(), session.testsfailed
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        finally:
            sys.settrace(None)
            threading.settrace(None)
        # Of the processor: what else the machine has to do is not the test's. Half a millisecond for a test that waits.
        file["seconds"][item.nodeid] = round(time.process_time() - began + 0.0005, 4)
        if session.testsfailed > failed:
            file["faults"].append(item.nodeid)
            continue
        ours = [code for code in called.copy().values() if code.co_filename.startswith(prefix)]
        names = (f"{Path(code.co_filename).relative_to(root)}::{_without_locals(code.co_qualname)}" for code in ours)
        for place in {outer for name in names for outer in _outward(name)}:
            file["calls"].setdefault(place, []).append(item.nodeid)
    return files


def _outward(place: str) -> Iterator[str]:
    """Yield a function's place, and of a lambda or comprehension that of what it stands in."""
    path, _, name = place.partition("::")
    parts = name.split(".")
    while parts and parts[-1].startswith("<"):
        parts.pop()
    yield f"{path}::{'.'.join(parts)}"
    for end in range(len(parts) - 1, 0, -1):  # a function made by another: FACTS are made when the module is imported
        yield f"{path}::{'.'.join(parts[:end])}"


def _first_failure(items: Sequence[pytest.Item], seconds: Mapping[str, float]) -> str:
    """Run tests up to the first that fails; return its name, or "passed". One that takes too much time ends it all."""
    session = items[0].session
    session.testsfailed = 0
    for item, after in zip(items, [*items[1:], None], strict=True):
        allowed = int(time.process_time() + 4 + 4 * seconds[item.nodeid])
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return item.nodeid
        session.shouldfail = session.shouldstop = False
    return "passed"


def _changed(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Return each (code, its mutant) of two modules of the same shape; None where their shapes differ."""
    changed = list[tuple[CodeType, CodeType]]()
    olds = [const for const in old.co_consts if isinstance(const, CodeType)]
    news = [const for const in new.co_consts if isinstance(const, CodeType)]
    if len(olds) != len(news) or any(one.co_name != two.co_name for one, two in zip(olds, news, strict=True)):
        return None
    for one, two in zip(olds, news, strict=True):
        if one != two:
            changed.append((one, two))
            inner = _changed(one, two)
            changed += inner or []
    return changed


def _all_patchable(functions: list[FunctionType], places: list[tuple[CodeType, CodeType]]) -> bool:
    """Say whether code that differs is a function's, which takes it."""
    if not places:
        return False
    reached = False
    for old, new in places:
        holders = [function for function in functions if function.__code__ == old]
        if holders and old.co_freevars != new.co_freevars:
            return False
        reached = reached or bool(holders)
    return reached


class MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from the mutant's code."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of the mutated module alone."""
        if fullname != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            self.name, self.path, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code as the module."""
        exec(self.code, module.__dict__)  # noqa: S102  a mutant of this very project


class FirstFailure:
    """A pytest plugin that keeps the name of the first test, or file, that fails."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test."""
        self.name = self.name or (report.nodeid if report.failed else "")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep a file that can't be imported."""
        self.name = self.name or (report.nodeid if report.failed else "")


def try_anew(root: Path, mutant: Mutant, tests: Sequence[str], seconds: float, temporary: Path) -> Outcome:
    """Try a mutant with drfsm imported anew. This process must not have imported drfsm itself."""
    path = root / mutant.path
    name = ".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__")
    tree, mutants = mutants_of(mutant.path, path.read_text())
    with next(same for same in mutants if same.key == mutant.key).edit:
        try:
            code = compile(tree, str(path), "exec")
        except (SyntaxError, ValueError):
            return Outcome("killed", "no code")

    def work(tell: Callable[[str], None]) -> None:
        sys.meta_path.insert(0, MutantLoader(name, path, code))
        first = FirstFailure()
        status = pytest.main([*OPTIONS, f"--basetemp={temporary}", *tests], plugins=[first])
        tell("passed" if status == pytest.ExitCode.OK else first.name or f"pytest ended with {int(status)}")

    return outcome_of(work, seconds, len(tests))


def preload() -> None:
    """Import what costs much and is not drfsm's, once for all forks."""
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            __import__(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def collect(files: Sequence[str], workshop: Workshop, temporary: Path) -> None:
    """Collect near tests in a process of its own, and try the mutants there. Raises RuntimeError if that fails."""

    def work(tell: Callable[[str], None]) -> None:
        first, why = FirstFailure(), ""
        try:
            status = pytest.main([*OPTIONS, f"--basetemp={temporary}", *files], plugins=[first, workshop])
            why = "" if status == pytest.ExitCode.OK else f"pytest ended with {int(status)} {first.name}"
        except BaseException as fault:  # noqa: BLE001  it ends this process, and must be told
            why = f"{type(fault).__name__}: {fault}"
        tell(why or "done")

    text, _ = in_fork(work, DAY_SECONDS)
    if text != "done":
        raise RuntimeError(f"the near tests {' '.join(files)}: {text or 'their process died'}")
