"""What `make docs` adds to mkdocs, so that the pages stay plain Markdown that any forge shows.

- The nav's "*" stands for the pages that nobody placed, "adr/*" for those of a folder.
- A link to what is no page (a schema, a test, a module, a folder) leads to a page that shows the file.
- A machine's Mermaid diagram is drawn by drfsm itself: Mermaid's own program would be loaded from another host.
- No page may load anything from another host, or from a place that the site does not have: the build fails.

mkdocs calls the functions that begin with ``on_``.
"""

import posixpath
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nav import pages_of, placed

from drfsm.spec import load_machine
from drfsm.spec.svg import svg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = "source"  # the folder of the site with what is no page of docs/
LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")
CODE = re.compile(r"^(```+).*?^\1[^\S\n]*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
SPAN_IN_TABLE = re.compile(r"^\|.*`.*\|$", re.MULTILINE)  # a forge wants \| in it, Python-Markdown shows the backslash
SPAN = re.compile(r"`[^`\n]+`")
DIAGRAM = re.compile(r"^```mermaid\n.*?^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".toml": "toml", ".tf": "hcl", ".sh": "bash"}
REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data"}
LOADING_RELATIONS = {"stylesheet", "preload", "preconnect", "dns-prefetch", "icon", "modulepreload"}
SECOND_IN_SEARCH = ("machine-", "records.", "receipts.", "api.")  # whole tables: what explains them comes first
POLICY = "default-src 'self' file: data: blob: 'unsafe-inline'"
CSS_LOAD = re.compile(r"(?:@import\s+(?:url\()?|url\()\s*['\"]?([^'\")\s]+)")


# --- the nav --------------------------------------------------------------------------------------------------


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write the nav's "*" out."""
    config.nav = placed(config.nav or [], pages_of(Path(config.docs_dir)))
    return config


# --- what is no page ------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file that is none and that a page names, and the drawings of the machines."""
    pages = files.documentation_pages()
    waiting = [name for page in pages for name in _no_pages(page.content_string, DOCS / page.src_uri)]
    shown: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in shown:
            continue
        shown.add(name)
        content = _shown(ROOT / name)
        files.append(File.generated(config, f"{SOURCE}/{name}.md", content=content))
        if name.endswith(".md"):
            waiting += _no_pages(content, ROOT / name)
    for machine in sorted((ROOT / "machines").glob("*.yaml")):
        drawing = svg(load_machine(machine.read_bytes(), source=machine.name))
        files.append(File.generated(config, f"machine-{machine.stem}.svg", content=drawing))
    files.append(File.generated(config, "site.css", content=(Path(__file__).parent / "site.css").read_text("utf-8")))
    return files


def _no_pages(markdown: str, file: Path) -> Iterator[str]:
    """Yield the paths, from the root, of the files and folders that a page's links lead to and that are no pages."""
    for match in LINK.finditer(CODE.sub("", markdown)):
        target = (file.parent / match["target"]).resolve()
        if target.exists() and target.is_relative_to(ROOT) and not _page(target):
            yield target.relative_to(ROOT).as_posix()


def _page(target: Path) -> str:
    """Return the page of docs/ that shows a file or folder, from docs/; "" if none does."""
    page = target / "README.md" if target.is_dir() else target
    is_page = page.suffix == ".md" and page.is_file() and page.is_relative_to(DOCS)
    return page.relative_to(DOCS).as_posix() if is_page else ""


def _shown(path: Path) -> str:
    """Return a page that shows a file, or lists a folder. Search does not look into it."""
    name = path.relative_to(ROOT).as_posix()
    head = "---\nsearch: {exclude: true}\n---\n"
    if path.is_dir():
        listed = "\n".join(
            f"- {below.name}" for below in sorted(path.iterdir()) if not below.name.startswith(("_", "."))
        )
        return f"{head}# {name}/\n\n{listed}\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return f"{head}{text}"
    return f"{head}# {name}\n\n~~~~~~{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n~~~~~~\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  mkdocs hands it over
    """Turn links to the pages that show the files, diagrams into drawings; let tables stand alone."""
    uri = page.file.src_uri
    if uri.startswith(f"{SOURCE}/") and not uri.endswith(".md.md"):
        return markdown  # a file as it is
    original = ROOT / uri.removeprefix(f"{SOURCE}/").removesuffix(".md") if uri.startswith(f"{SOURCE}/") else DOCS / uri
    machine = uri.removeprefix("machine-").removesuffix(".md")
    drawing = f"machine-{machine}.svg"
    if files.get_file_from_path(drawing):
        markdown = DIAGRAM.sub(f"[![The {machine} machine]({drawing})]({drawing})", markdown)
    if uri.startswith(SECOND_IN_SEARCH):
        page.meta["search"] = {"boost": 0.3}
    markdown = SPAN_IN_TABLE.sub(lambda line: SPAN.sub(lambda span: span[0].replace("\\|", "|"), line[0]), markdown)
    markdown = re.sub(r"(<!-- \w+ -->)\n(?=\|)", r"\1\n\n", markdown)
    return _outside_code(markdown, lambda text: LINK.sub(lambda match: _turned(match, original, uri), text))


def _outside_code(markdown: str, change: Any) -> str:
    """Change what is no code."""
    parts, start = [], 0
    for code in CODE.finditer(markdown):
        parts += [change(markdown[start : code.start()]), code[0]]
        start = code.end()
    return "".join([*parts, change(markdown[start:])])


def _turned(match: re.Match[str], original: Path, uri: str) -> str:
    target = (original.parent / match["target"]).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        return match[0]  # mkdocs says that it leads nowhere
    leads_to = _page(target) or f"{SOURCE}/{target.relative_to(ROOT).as_posix()}.md"
    relative = posixpath.relpath(leads_to, posixpath.dirname(uri) or ".")
    return f"{match['before']}{relative}{match['anchor'] or ''}{match['after']}"


# --- nothing from elsewhere -----------------------------------------------------------------------------------


class _Loads(HTMLParser):
    """Collects what a browser would load for a page, links that a reader may follow aside."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        values = {name: value or "" for name, value in attrs}
        if tag in LOADS:
            self.places.append(values.get(LOADS[tag], ""))
        elif tag == "link" and LOADING_RELATIONS & set(values.get("rel", "").split()):
            self.places.append(values.get("href", ""))
        self.places += CSS_LOAD.findall(values.get("style", ""))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001  mkdocs hands them over
    """Let the browser itself refuse what is not of this site: the theme's programs know addresses for old browsers."""
    return output.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">', 1)


def on_post_build(config: MkDocsConfig) -> None:
    """Fail where a page would load anything that the site does not hold."""
    site = Path(config.site_dir).resolve()
    foreign = ((file, place) for file, place in loads(site) if not _is_held(file, place, site))
    faults = sorted({f"{file.relative_to(site)}: {place}" for file, place in foreign})
    if faults:
        raise PluginError("pages load what the site does not hold:\n  " + "\n  ".join(faults))


def loads(site: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, the place from which it loads something) for every page and style sheet of a site."""
    for file in sorted(site.rglob("*.html")):
        page = _Loads()
        page.feed(file.read_text(encoding="utf-8"))
        yield from ((file, place) for place in page.places)
    for file in sorted(site.rglob("*.css")):
        yield from ((file, place) for place in CSS_LOAD.findall(file.read_text(encoding="utf-8")))


def _is_held(file: Path, place: str, site: Path) -> bool:
    if not place or place.startswith(("data:", "#")):
        return True
    if REMOTE.match(place):
        return False
    path = re.split(r"[?#]", place)[0]
    base = site if path.startswith("/") else file.parent
    return (base / path.lstrip("/")).is_file()
