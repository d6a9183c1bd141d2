"""The nav of the site: which page stands where, also one that nobody placed yet. Used by hooks.py, and by a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def pages_of(docs: Path) -> list[str]:
    """Return every page below docs/, as the nav names it, by its title."""
    paths = [path for path in docs.rglob("*.md") if path.relative_to(docs).parts[0] != "site"]
    return [path.relative_to(docs).as_posix() for path in sorted(paths, key=lambda path: (_title(path), path))]


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").casefold()


def placed(nav: list[Any], pages: list[str]) -> list[Any]:
    """Return a nav with "FOLDER/*" as the pages of a folder that no line names, by file name, and "*" as all others."""
    named = set(named_in(nav))
    rest = [page for page in pages if page not in named]
    folders = tuple(entry.removesuffix("*") for entry in named if entry.endswith("/*"))
    wild = {folder + "*": sorted(page for page in rest if page.startswith(folder)) for folder in folders}
    wild["*"] = [page for page in rest if not page.startswith(folders)]
    return _written_out(nav, wild)


def named_in(nav: list[Any]) -> Iterator[str]:
    """Yield every page, and every "*", that a nav names."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from named_in(below if isinstance(below, list) else [below])


def _written_out(nav: list[Any], wild: dict[str, list[str]]) -> list[Any]:
    out: list[Any] = []
    for entry in nav:
        if isinstance(entry, str):
            out += wild.get(entry, [entry])
        else:
            out.append(
                {
                    title: _written_out(below, wild) if isinstance(below, list) else below
                    for title, below in entry.items()
                }
            )
    return out
