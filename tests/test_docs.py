"""The docs run: what they show is what happens, and what is drawn is drawn from the declaration.

``DRFSM_REGENERATE=1 pytest tests/test_docs.py`` rewrites what is generated; read the diff before you commit it.
"""

import os
import re
from pathlib import Path

import pytest

from drfsm.errors import ExitCode
from drfsm.spec import foresight_table, load_machine, mermaid, rules_table, table

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def generated(name: str) -> str:
    """Return the page of a machine."""
    spec = load_machine((ROOT / "machines" / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    return (
        f"# The {name} machine\n\n"
        f"{spec.reason}. Drawn from [machines/{name}.yaml](../machines/{name}.yaml) by\n"
        f"`drfsm machine diagram {name}` and `drfsm machine show {name}`; a test holds this page to it.\n\n"
        f"```mermaid\n{mermaid(spec)}```\n\n{table(spec)}"
    )


@pytest.mark.parametrize("name", sorted(each.stem for each in (ROOT / "machines").glob("*.yaml")))
def test_the_page_of_a_machine_is_drawn_from_its_declaration(name: str) -> None:
    """docs/machine-<name>.md is what the declaration says today."""
    page = DOCS / f"machine-{name}.md"
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(generated(name), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == generated(name)


FORESEEN = re.compile(r"(?<=<!-- foreseen -->\n).*?(?=<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", ["drill", "failback", "promote"])
def test_the_operators_page_says_of_each_guard_what_is_known_beforehand(name: str) -> None:
    """Its table is drawn from the declaration: what preflight foresees, and why it can't foresee the rest."""
    page = DOCS / f"{name}.md"
    spec = load_machine((ROOT / "machines" / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    due = FORESEEN.sub(lambda _: foresight_table(spec), page.read_text(encoding="utf-8"))
    assert foresight_table(spec) in due
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(due, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == due


RULES = re.compile(r"(?<=<!-- never -->\n).*?(?=<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", ["drill", "failback", "promote"])
def test_the_operators_page_lists_what_is_proven(name: str) -> None:
    """Its table of rules is drawn from the declaration: what never is, where, and why."""
    page = DOCS / f"{name}.md"
    spec = load_machine((ROOT / "machines" / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    due = RULES.sub(lambda _: rules_table(spec), page.read_text(encoding="utf-8"), count=1)
    assert rules_table(spec) in due
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(due, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == due


def blocks(page: str, language: str) -> list[str]:
    """Return a page's code blocks of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_library_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lamp of docs/library.md loads, runs, and is lit."""
    monkeypatch.chdir(tmp_path)
    (declared,) = blocks("library.md", "yaml")
    Path("lamp.yaml").write_text(declared, encoding="utf-8")
    (program,) = blocks("library.md", "python")
    exec(compile(program, "docs/library.md", "exec"), {})  # noqa: S102  the docs are ours


def test_every_exit_code_stands_in_the_docs_under_its_number() -> None:
    """docs/exit-codes.md is the table of errors.py."""
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(each) for each in rows] == [int(each) for each in ExitCode]


def test_every_link_in_the_docs_leads_somewhere() -> None:
    """No page points at a file that isn't there."""
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_trigger_that_a_person_fires_is_in_the_operators_page_or_in_status() -> None:
    """docs/failback.md names only rows that exist."""
    spec = load_machine((ROOT / "machines/failback.yaml").read_bytes(), source="failback.yaml")
    text = (DOCS / "failback.md").read_text(encoding="utf-8")
    for trigger in re.findall(r"drfsm request (\w+)", text):
        assert trigger in spec.triggers, trigger
