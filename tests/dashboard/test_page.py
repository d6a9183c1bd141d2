"""The page: every value is escaped and bounded, nothing is executed or fetched, and it says of when it is."""

import json
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from drfsm.dashboard.lines import lines
from drfsm.dashboard.page import POLICY, page
from drfsm.dashboard.publish import json_of
from tests.dashboard.conftest import checked

TIME = "2026-11-29T10:00:00Z"
HOSTILE: dict[str, str] = {
    "a script": "<script>alert(1)</script>",
    "an attribute's end": '" onmouseover="x" \'><img src=x onerror=y>',
    "a comment and a style": "--></style><!--<style>*{display:none}",
    "a template": "{{ 7*7 }}{% include 'x' %}",
    "bidi marks": "abc\u202edcba\u2066x\u2069",
    "a terminal's escape": "\x1b[2J\r\nfake line",
    "half a character": "\ud800",
    "ten thousand characters": "x" * 10_000,
}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "code", "time", "b", "main",
    "div", "section", "svg", "text", "g", "path", "circle", "details", "summary", "span", "dl", "dt", "dd", "ul", "li",
    "a", "footer",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "datetime", "class", "viewbox", "role", "aria-label", "x", "y",
    "transform", "d", "cx", "cy", "r", "open", "href",
}  # fmt: skip


def run(text: str, **more: Any) -> dict[str, Any]:
    """Return a run each of whose texts is this one."""
    return {
        "run_id": text, "machine": text, "scope": "live", "dry_run": False, "status": text, "state": text,
        "started_at": TIME, "last_record_at": TIME, "operator": text, "host": text, "reason": text,
        "superseded_by": text, "known_from": "mirror", **more,
    }  # fmt: skip


def document(text: str) -> dict[str, Any]:
    """Return a document in which each text that comes from outside is this one."""
    lacks = {"unknown": text}
    answer = {"possible": "no", "because": text, "nobody_since": TIME}
    reading = {"value": text, "read": {"at": TIME, "by": text}}
    site = {"schedules": reading, "publishing": lacks, "fence": lacks}
    return {
        "schema_version": 1, "read_at": TIME, "drfsm_version": text, "workload": text, "bucket": text, "prefix": text,
        "unread": [{"what": text, "why": text}],
        "pointers": {"site": "other", "since": TIME, "since_is": text, "moved_by": text, "run_id": lacks},
        "endpoints": {
            "site": "dr", "writes": "closed", "since": TIME, "epoch": 3, "declared_by": text,
            "names": [{"name": text, "host": text, "records": lacks, "served": "mixed"}],
        },
        "schedules": {"site": lacks, "since": lacks, "sites": {"primary": site, "dr": site}},
        "publish": answer, "write": answer,
        "lease": {"held": True, "run_id": text, "epoch": 3, "operator": text, "host": text},
        "open_runs": [run(
            text, waits_for=text, frozen=[{"what": text, "since": TIME}], next=[{"type": text, "because": text}],
        )],
        "last_drill": {
            "run_id": text, "started_at": TIME, "ended_at": TIME, "result": text, "state": text,
            "recovery_seconds": 75.5, "objective_seconds": lacks, "covers": text,
        },
        "history": [run(text, ended_at=TIME, seconds=3.5, pointers_moved_at=lacks)],
    }  # fmt: skip


class _Reader(HTMLParser):
    """Reads a page as a browser does."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Keep what is shown."""
        self.text += data


def read(html: bytes) -> _Reader:
    """Return what a browser reads."""
    reader = _Reader()
    reader.feed(html.decode())
    reader.close()
    return reader


@pytest.mark.parametrize("case", list(HOSTILE))
def test_no_value_becomes_more_than_a_text_of_some_hundred_characters(case: str) -> None:
    """Every text of the document at once: only the template's own tags and attributes, no mark that turns a line."""
    hostile = HOSTILE[case]
    html = page(document(hostile))
    reader = read(html)
    assert reader.tags <= TAGS
    assert {name for name, _ in reader.attributes} <= ATTRIBUTES
    assert {value for name, value in reader.attributes if name == "href"} == {"status.json"}
    shown = html.decode()
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert len(shown) < 60_000
    if case == "a script":
        assert hostile in reader.text  # as a text
    assert all(line.isprintable() for line in lines_of(hostile))
    assert json.loads(json_of(document(hostile))) == document(hostile)


def lines_of(text: str) -> Iterator[str]:
    """Yield what a terminal gets of such a document."""
    for line in lines(document(text)):
        assert len(line) < 1000
        yield line


def test_every_kind_of_value_is_in_the_schema() -> None:
    """What the tests render is a document as the gatherer makes it, so the template meets each of its shapes."""
    checked(document("words"))


def test_the_page_fetches_and_executes_nothing() -> None:
    """One file: its policy allows styles within it and nothing else; a copy never reads itself again."""
    reader = read(page(document("words")))
    assert ("content", POLICY) in reader.attributes
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'"
    assert not {name for name, _ in reader.attributes} & {"src", "style", "onclick", "action"}
    assert "refresh" not in {value for name, value in reader.attributes if name == "http-equiv"}


def test_a_copy_says_of_when_it_is_and_a_served_page_reads_itself_again() -> None:
    """A copy warns that it is one."""
    assert "A copy of 2026-11-29 10:00:00Z" in read(page(document("words"))).text
    served = read(page(document("words"), refresh_seconds=15))
    assert {("http-equiv", "refresh"), ("content", "15")} <= {*served.attributes}
    assert "again every 15 s" in served.text
    assert "A copy" not in served.text


def test_what_is_wrong_stands_first_and_loud() -> None:
    """What could not be read, then that nobody can publish and write, before anything that is well."""
    text = read(page(document("words"))).text
    assert text.lstrip().startswith("NOBODY CAN PUBLISH")  # the title
    text = text[text.index("A copy of") :]
    places = [text.index(words) for words in ("This could not be read", "NOBODY CAN", "Active site", "Open runs (1)")]
    assert places == sorted(places)
    assert text.count("NOBODY CAN") == 2


def changed(**parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with other parts."""
    return {**document("words"), **parts}


def test_a_site_has_its_mark_in_the_drawing_and_an_unknown_one_has_none() -> None:
    """Split shows both; unknown a question mark; the words stand beside it."""
    pointers = {**document("words")["pointers"], "site": "mixed"}
    html = page(changed(pointers=pointers)).decode()
    assert html.count('<circle class="bad"') == 2
    assert html.count('<circle class="dr"') == 1
    assert html.count('class="question"') == 1
    assert "SPLIT between both sites" in html
