"""What a run of the mutants remembers: build/mutants/session.jsonl, one line an outcome, so that it can be resumed.

An outcome holds for as long as the mutant's code does; that of a survivor also for as long as its near tests do.
"""

import ast
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.mutants.operators import Mutant

ROOT = Path(__file__).parents[2]
TABLES = Path(__file__).parent
PACKAGES = ("engine", "journal", "dr", "evidence", "runs", "adapters")
Lines = dict[str, dict[str, Any]]


def modules(wanted: Sequence[str] = ()) -> list[str]:
    """Return the modules to mutate, package by package: all, or those that lie below the wanted paths."""
    below = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in _sorted(ROOT / "drfsm" / package)]
    return [path for path in below if not wanted or any(path.startswith(prefix) for prefix in wanted)]


def functions() -> list[str]:
    """Return the name of every function that may be mutated: which tests call which is measured until these change."""
    return [
        f"{module}::{node.name}"
        for module in modules()
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        if isinstance(node, ast.FunctionDef)
    ]


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@frozen
class Tests:
    """Which tests are near: those of these files that use none of these fixtures."""

    files: tuple[str, ...]
    far: frozenset[str]


@frozen
class Near:
    """Which tests are nearest to which modules; near.toml."""

    rows: Sequence[Mapping[str, Sequence[str]]]
    far: Sequence[str]  # fixtures that start a whole world: whatever uses one is not near

    @classmethod
    def read(cls) -> "Near":
        """Return the committed table."""
        table = tomllib.loads((TABLES / "near.toml").read_text())
        return cls(table["near"], table["far_fixtures"])

    def tests(self, module: str) -> Tests:
        """Return the tests nearest to a module: of the first row whose pattern fits. Raises KeyError."""
        for row in self.rows:
            if any(fnmatch(module, pattern) for pattern in row["modules"]):
                files = (file for pattern in row["tests"] for file in _files(pattern))
                return Tests(tuple(dict.fromkeys(files)), frozenset(row.get("far_fixtures", self.far)))
        raise KeyError(f"tests/mutants/near.toml names no tests for {module}")


def _files(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def explained() -> dict[str, str]:
    """Return the reason of each survivor that may survive: key -> reason."""
    table = tomllib.loads((TABLES / "survivors.toml").read_text())
    return {key: group["reason"] for group in table.get("explained", ()) for key in group["keys"]}


def digest(texts: Iterable[str | bytes]) -> str:
    """Return a short digest of texts."""
    whole = sha256()
    for text in texts:
        whole.update(text.encode() if isinstance(text, str) else text)
        whole.update(b"\0")
    return whole.hexdigest()[:16]


def digest_of_files(files: Iterable[str]) -> str:
    """Return a digest of what these files hold, and every helper beside the tests."""
    beside = sorted({*files, *(path for folder in {Path(file).parent for file in files} for path in _beside(folder))})
    return digest((ROOT / file).read_bytes() for file in beside)


def _beside(folder: Path) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.py") if "test_" not in path.name]


@define
class Session:
    """The outcomes so far."""

    path: Path
    lines: Lines = field(factory=dict)

    @classmethod
    def opened(cls, path: Path) -> "Session":
        """Return the session of this file; a torn last line is passed over."""
        session = cls(path)
        session.reload()
        return session

    def reload(self) -> None:
        """Read the file again: each module's process appends to it."""
        self.lines.clear()
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.lines[entry["key"]] = entry

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep an outcome."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.lines[entry["key"]] = dict(entry)

    def holds(self, mutant: Mutant, code: str, tests: str, most: float) -> bool:
        """Say whether a mutant needs no new try. ``most``: seconds of tests that it would be tried with."""
        line = self.lines.get(mutant.key)
        if line is None or line["code"] != code or line["verdict"] == "anew":
            return False
        return bool(line["verdict"] == "killed" or (line["tests_digest"] == tests and line.get("most", 0) >= most))


def code_digests(source: str) -> dict[int, str]:
    """Return, for each line, a digest of the definition at module level that it is in."""
    digests = {}
    for node in ast.parse(source).body:
        text = digest([ast.unparse(node)])
        for line in range(
            min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]), (node.end_lineno or 0) + 1
        ):
            digests[line] = text
    return digests
