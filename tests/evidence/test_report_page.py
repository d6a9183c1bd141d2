"""The page of a run: whole, the same for everybody, and no text of a journal steers it or a terminal."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.file_journal import LOG
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.journal import Record, digest, encode
from tests.recorded import BUNDLES, recorded

EVIL = (
    "\x1b[2J\x1b]0;owned\x07</style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u202e\u2028&amp;"
)
VOID = {"meta", "img", "br", "hr", "link", "input"}
each_bundle = pytest.mark.parametrize(
    "place",
    [place for place in recorded() if place.parent.name in ("0.1.0", "0.5.0")],
    ids=lambda place: "-".join(place.relative_to(BUNDLES).parts),
)


class Page(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that ends where it begins: of a drawing."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close a tag; one that was not open is a fault."""
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        """Take in text, but for rules of style."""
        if self.open[-1:] != ["style"]:
            self.text += data


def page_of(out: Path) -> Page:
    """Return a page that was written, which is whole, harmless, and needs nothing from elsewhere."""
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert (page.faults, page.open) == ([], [])
    assert text.replace("\n", "").isprintable()
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "form", "input", "base", "embed", "a"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "action")]
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = (tag["content"] for _, tag in page.tags if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    return page


@each_bundle
def test_every_recorded_run_has_its_page_and_always_the_same(place: Path, tmp_path: Path) -> None:
    """The verdict first; the states, the guards, the drawing, and how to verify it; twice the same bytes."""
    out, again = tmp_path / "run.html", tmp_path / "again.html"
    assert drfsm(["report", str(place), "--html", str(out)]) == ExitCode.DONE
    assert drfsm(["report", str(place), "--html", str(again)]) == ExitCode.DONE
    assert out.read_bytes() == again.read_bytes()
    page = page_of(out)
    headings = re.findall(r"<h2>(.*?)</h2>", out.read_text(encoding="utf-8"))
    assert headings[:2] == ["Verdict", "Where the time went"]
    assert headings[-1] == "Verify this page yourself"
    assert "Holds with remarks" in page.text
    records = (place / LOG).read_bytes().splitlines(keepends=True)
    assert f"--expect-records {len(records)}" in page.text
    for line in records:
        for check in json.loads(line)["body"].get("guards", ()):
            assert check["because"] in page.text
            assert check["guard"].replace("_", " ") in page.text
    assert "svg" in {tag for tag, _ in page.tags}


def test_a_page_says_where_a_run_was_killed_and_when_nobody_could_publish(tmp_path: Path) -> None:
    """The recorded failback was interrupted with its intent open, and both sites frozen."""
    out = tmp_path / "run.html"
    assert drfsm(["report", str(BUNDLES / "0.5.0" / "failback"), "--html", str(out)]) == ExitCode.DONE
    text = " ".join(page_of(out).text.split())
    assert "switch provider pointers was begun, and nobody knows yet whether it was done" in text
    assert "Nobody could publish 9.8 s" in text
    assert "and still so when the last record was written" in text


def copied(place: Path, home: Path, edit: Any) -> Path:
    """Return a copy of a bundle whose log somebody edited and chained anew."""
    home.mkdir()
    for name in (LOG, f"{place.name}.yaml"):
        (home / name).write_bytes((place / name).read_bytes())
    draft = [json.loads(line) for line in (home / LOG).read_bytes().splitlines()]
    edit(draft)
    head, written = "0" * 64, []
    for seq, each in enumerate(draft):
        written.append(encode(Record(seq, each["kind"], each["at"], each["body"]), head))
        head = digest(written[-1])
    (home / LOG).write_bytes(b"".join(written))
    return home


def test_a_forged_run_has_a_page_that_says_so_first(tmp_path: Path) -> None:
    """Exit code 6; the card in its head, and each finding with its line."""

    def forge(draft: list[dict[str, Any]]) -> None:
        step = next(each for each in draft if each["kind"] == "intent" and each["body"]["guards"])
        step["body"]["guards"][0]["value"] = "forged"

    out = tmp_path / "run.html"
    place = copied(BUNDLES / "0.5.0" / "failback", tmp_path / "run", forge)
    assert drfsm(["report", str(place), "--html", str(out)]) == ExitCode.EVIDENCE
    page = page_of(out)
    assert "Does not hold" in page.text
    assert re.search(r"line \d+: .*\[guard_not_held\]", page.text)
    (title,) = re.findall("<title>(.*?)</title>", out.read_text(encoding="utf-8").split("<style>")[0])
    assert title.startswith("DOES NOT HOLD")


def poisoned(value: Any) -> Any:
    """Return a value in which every text is followed by what would steer a page or a terminal."""
    if isinstance(value, Mapping):
        return {key: poisoned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part) for part in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


KEPT = {"run_id", "machine", "machine_sha256", "row", "trigger", "from", "to", "by", "effect", "how", "state", "scope",
        "status", "outcome", "verdict", "case", "foreseen", "undoes"}  # fmt: skip
"""What the fold needs as it is: names with a grammar, and words of the table."""


@pytest.mark.parametrize("machine", ["failback", "promote", "drill"])
def test_no_text_of_a_journal_steers_the_page(machine: str, tmp_path: Path) -> None:
    """Every text of every record that may be anything is hostile, all at once: reasons, names, what was seen."""

    def forge(draft: list[dict[str, Any]]) -> None:
        for each in draft:
            body = each["body"]
            each["body"] = {key: part if key in KEPT else poisoned(part) for key, part in body.items()}

    out = tmp_path / "run.html"
    place = copied(BUNDLES / "0.5.0" / machine, tmp_path / "run", forge)
    assert drfsm(["report", str(place), "--html", str(out)]) == ExitCode.EVIDENCE
    page = page_of(out)
    assert "<script>alert(1)</script>" in page.text  # as text
    assert "{{7*7}}" in page.text
    assert "\\x1b[2J" in page.text


@pytest.mark.parametrize(
    "run_id", [EVIL, "", "..", "a/b", "x" * 300, "run-1\n", "<b>run</b>"], ids=lambda name: repr(name)[:20]
)
def test_a_run_with_a_hostile_id_has_no_page(run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is damage, said in printable words, and nothing is written."""

    def forge(draft: list[dict[str, Any]]) -> None:
        draft[0]["body"]["run_id"] = run_id

    out = tmp_path / "run.html"
    place = copied(BUNDLES / "0.5.0" / "failback", tmp_path / "run", forge)
    assert drfsm(["report", str(place), "--html", str(out)]) == ExitCode.DAMAGED
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert not out.exists()


def test_a_page_of_a_long_wait_stays_one_that_a_browser_opens(tmp_path: Path) -> None:
    """Two thousand samples: the first steps are on the page, the rest is named and in the journal."""
    bundle = BUNDLES / "0.5.0" / "failback"
    raw = (bundle / LOG).read_bytes().splitlines()
    at = next(number for number, line in enumerate(raw) if json.loads(line)["kind"] == "sampled")

    def forge(draft: list[dict[str, Any]]) -> None:
        draft[at:at] = [draft[at]] * 2000

    out = tmp_path / "run.html"
    drfsm(["report", str(copied(bundle, tmp_path / "run", forge)), "--html", str(out)])
    assert out.stat().st_size < 4 << 20
    assert "are only in the journal" in page_of(out).text
