"""The docs run: what they show is what happens, and what is drawn is drawn from the declaration.

``DRFSM_REGENERATE=1 pytest tests/test_docs.py`` rewrites what is generated; read the diff before you commit it.
"""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from drfsm.errors import ExitCode
from drfsm.spec import MachineSpec, foresight_table, load_machine, mermaid, rules_table, table
from tests import typed
from tests.pages import api, audit_codes, commands, runbooks, schemas

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def declared(name: str) -> MachineSpec:
    """Return a shipped machine."""
    return load_machine((ROOT / "machines" / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")


def drawn(spec: MachineSpec) -> str:
    """Return the page of a machine."""
    return (
        f"# The {spec.name} machine\n\n"
        f"{spec.reason}. Drawn from [machines/{spec.name}.yaml](../machines/{spec.name}.yaml) by\n"
        f"`drfsm machine diagram {spec.name}` and `drfsm machine show {spec.name}`; a test holds this page to it.\n\n"
        f"```mermaid\n{mermaid(spec)}```\n\n{table(spec)}"
    )


MACHINES = sorted(path.stem for path in (ROOT / "machines").glob("*.yaml"))
GENERATED: Mapping[str, Callable[[], str]] = {
    "api": api.page,
    "audit-codes": audit_codes.page,
    "commands": commands.page,
    "receipts": schemas.receipts,
    "records": schemas.records,
    **{f"machine-{name}": partial(lambda name: drawn(declared(name)), name) for name in MACHINES},
    **{f"runbook-{name}": partial(lambda name: runbooks.page(declared(name)), name) for name in MACHINES},
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_the_code_says_today(name: str) -> None:
    """Machines, runbooks and the reference: nobody writes them by hand, and none of them is out of date."""
    page = DOCS / f"{name}.md"
    if os.environ.get("DRFSM_REGENERATE"):
        page.write_text(GENERATED[name](), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == GENERATED[name](), "DRFSM_REGENERATE=1 pytest tests/test_docs.py"


FORESEEN = re.compile(r"(?<=<!-- foreseen -->\n).*?(?=<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", ["drill", "failback", "promote"])
def test_the_operators_page_says_of_each_guard_what_is_known_beforehand(name: str) -> None:
    """Its table is drawn from the declaration: what preflight foresees, and why it can't foresee the rest."""
    page = DOCS / f"{name}.md"
    spec = declared(name)
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
    spec = declared(name)
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


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_in_the_docs_is_one_that_drfsm_takes(page: Path) -> None:
    """Verbs, options and the number of words, in blocks and in sentences; nothing required is left out of a block."""
    faults = []
    for shown in typed.commands_in(page.read_text(encoding="utf-8")):
        try:
            typed.fits(shown)
        except click.UsageError as fault:
            faults.append(f"{' '.join(shown.words)}: {fault.format_message()}")
    assert not faults


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("```console\n$ drfsm status --no-such\n```\n", "No such option"),
        ("```sh\ndrfsm runs lits --bucket B\n```\n", "there is no command"),
        ("```console\n$ X=1 drfsm fence lift primary\n```\n", "is missing"),
        ("```console\n$ drfsm failback \\\n    --dr-runid X …\n```\n", "No such option"),
        ('```console\n$ eval "$(drfsm sandbox envs)"\n```\n', "there is no command"),
        ("Type `drfsm replay A B` then.\n", "nothing takes"),
        ("Type `drfsm hold --reasons …`.\n", "No such option"),
    ],
)
def test_a_command_that_drfsm_does_not_take_is_found(page: str, fault: str) -> None:
    """In a block, behind a variable, in a continued line, in a substitution, in a sentence."""
    (shown,) = (shown for shown in typed.commands_in(page) if shown.words[1] != "sandbox" or len(shown.words) > 2)
    with pytest.raises(click.UsageError, match=fault):
        typed.fits(shown)


@pytest.fixture(scope="module")
def nav() -> ModuleType:
    """Return the module that lays out the site's nav."""
    spec = spec_from_file_location("nav", DOCS / "site" / "nav.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared_nav() -> Any:
    """Return the nav of mkdocs.yml, as it is written."""
    _, _, text = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")
    return yaml.safe_load(text)


def test_every_page_stands_in_the_nav_once(nav: ModuleType) -> None:
    """Those that are named, and those that nobody placed yet; and every page that is named is there."""
    pages = nav.pages_of(DOCS)
    assert {page for page in pages if "/" not in page} == {path.name for path in DOCS.glob("*.md")}
    assert sorted(nav.named_in(nav.placed(declared_nav(), pages))) == sorted(pages)


def test_a_new_page_has_a_place_before_anybody_gives_it_one(nav: ModuleType) -> None:
    """It stands where "*" is; one of a folder with a "*" of its own stands there."""
    pages = ["a.md", "adr/0001.md", "adr/README.md", "b.md", "new.md"]
    written = nav.placed(["a.md", {"More": ["b.md", "*"]}, {"Decisions": ["adr/README.md", "adr/*"]}], pages)
    assert written == ["a.md", {"More": ["b.md", "new.md"]}, {"Decisions": ["adr/README.md", "adr/0001.md"]}]


def test_every_trigger_that_a_person_fires_is_in_the_operators_page_or_in_status() -> None:
    """docs/failback.md names only rows that exist."""
    spec = declared("failback")
    text = (DOCS / "failback.md").read_text(encoding="utf-8")
    for trigger in re.findall(r"drfsm request (\w+)", text):
        assert trigger in spec.triggers, trigger
