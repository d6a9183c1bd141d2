"""The table of the machines' mutants is that of today's machines, and no mutant lives without a reason."""

import os
import re
from pathlib import Path

import pytest

from tests.mutants.machine_changes import MACHINES, declared, digest, keys
from tests.mutants.machine_reasons import EXPLAINED, explained
from tests.mutants.machines import NOT_JUDGED, figures_table, table
from tests.spec.copies import loaded
from tests.spec.table_claims import CLAIMS

TABLES = {machine: table(machine) for machine in MACHINES}
VERDICTS = {machine: verdicts for machine, (_, verdicts) in TABLES.items()}
FATAL = {"loader", "rule", "claim", "dead row", "stuck", "says nothing", "witness"}
HARMLESS = {"equal", "covered", "same"}
# machine: how many. None are left once `make mutants-machines` has run to its end; then these two go.
NOT_JUDGED_YET = {"failback": 547, "promote": 468}
RULES_WITHOUT_A_WITNESS: dict[str, set[str]] = {}
"""Rules that no small fault of the rows breaks alone, as others stand beside them: nothing shows what they add."""
CLAIMS_WITHOUT_A_MUTANT: dict[str, set[str]] = {
    "failback": {
        "What leads users, and what they may write, is asked again by each row that relies on it",
        "Whatever checks everything first foresees what would stop the run later",
        "From the switch on, users are led on only while a lost site stays cut off",
        "Before the point of no return a person may abort in every state",
    },
    "promote": {
        "A rehearsal moves only a name that it can lead back, to a site that serves",
        "Before the point of no return a person may abort in every state",
        "From the switch on, users are led on only while a lost site stays cut off",
        "Until something was changed, a failure ends the run as refused, and a person may end it, too",
        "What leads users, and what they may write, is asked again by each row that relies on it",
    },
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_table_is_that_of_the_declared_machine(machine: str) -> None:
    """After a change of a machine (its sentences aside) `make mutants-machines` says anew what its mutants die of."""
    assert TABLES[machine][0] == digest(declared(machine)), "run `make mutants-machines`"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_table_has_every_mutant(machine: str) -> None:
    """Each change that can be made of the declaration has its line, and no line is left of one that can't."""
    assert set(VERDICTS[machine]) == set(keys(machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_no_mutant_lives_without_a_reason(machine: str) -> None:
    """Each is killed, or shown to be as good as the machine by a search, or stands in machine_reasons.py."""
    verdicts, no_witness = VERDICTS[machine], RULES_WITHOUT_A_WITNESS.get(machine, set())
    lives = {
        key
        for key, verdict in verdicts.items()
        if verdict.by not in {*FATAL, *HARMLESS, NOT_JUDGED} and not explained(key)
    }
    of_rules = {key for key in lives if key.startswith(f"{machine}: rule ")}
    assert {key.split(": ")[2] for key in of_rules} == no_witness
    assert lives - of_rules == set()


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_judged_yet_is_known(machine: str) -> None:
    """A table with mutants that nobody judged says so in the docs; how many there are is written down here, too."""
    unjudged = [key for key, verdict in VERDICTS[machine].items() if verdict.by == NOT_JUDGED]
    assert len(unjudged) == NOT_JUDGED_YET.get(machine, 0)


FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end -->)", re.DOTALL)
PAGE = Path(__file__).parents[2] / "docs" / "machine-mutants.md"


def test_the_docs_have_the_figures_of_the_table() -> None:
    """docs/machine-mutants.md counts what the table says; DRFSM_REGENERATE=1 writes it anew."""
    page = PAGE.read_text(encoding="utf-8")
    due = FIGURES.sub(lambda _: figures_table(VERDICTS), page, count=1)
    if os.environ.get("DRFSM_REGENERATE"):
        PAGE.write_text(due, encoding="utf-8")
    assert figures_table(VERDICTS) in PAGE.read_text(encoding="utf-8")


def test_every_reason_is_of_a_mutant_that_lives() -> None:
    """No reason is left of a mutant that something kills by now, or that is not made any more."""
    lives = {
        key
        for verdicts in VERDICTS.values()
        for key, verdict in verdicts.items()
        if verdict.by in ("", "cut off", NOT_JUDGED)
    }
    assert set(EXPLAINED) <= lives


@pytest.mark.parametrize("key", EXPLAINED)
def test_every_reason_holds(key: str) -> None:
    """What a reason says of the declared machine is so."""
    machine = key.split(": ", maxsplit=1)[0]
    assert EXPLAINED[key].holds(loaded(declared(machine), source=machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_rule_and_every_claim_finds_a_mutant(machine: str) -> None:
    """A rule whose loss nothing shows would say nothing, and so would a claim that no faulty copy breaks."""
    verdicts = VERDICTS[machine]
    rules = {rule.name for rule in loaded(declared(machine), source=machine).never}
    lost = {
        key.removeprefix(f"{machine}: rule off: ")
        for key, verdict in verdicts.items()
        if verdict.by in ("witness", NOT_JUDGED)
    }
    reasons = {key.split(": ")[2] for key in EXPLAINED if ": rule off: " in key}
    assert rules - lost - reasons == RULES_WITHOUT_A_WITNESS.get(machine, set())
    killing = {verdict.which for verdict in verdicts.values() if verdict.by == "claim"}
    claims = {claim.sentence for claim in CLAIMS if machine in claim.machines}
    assert claims - killing == CLAIMS_WITHOUT_A_MUTANT.get(machine, set())
