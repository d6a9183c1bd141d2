"""Copies of the declared promote that lack a guard: the search shows the way to what goes wrong."""

import pytest

from drfsm.spec.check import check
from tests.promote.world import TEXT
from tests.spec.copies import loaded, plain

# rule -> guards without which it does not hold
LACKING: dict[str, tuple[str, ...]] = {
    "two_sites_publish": ("primary_is_frozen", "primary_is_drained", "lost_primary_is_cut_off"),
    "primary_runs_during_the_switch": ("primary_is_drained",),
    "primary_writes_during_the_switch": ("primary_is_drained",),
    "dr_publishes_before_the_primary_is_stopped": ("dr_is_quiet",),
    "dr_publishes_before_the_switch": ("dr_is_quiet",),
    "switched_without_approval": ("approval_is_current",),
    "approved_by_one_where_two_are_asked": ("approver_is_another",),
    "newer_run_lost": ("approval_is_current", "canonical_run_is_named"),
    "older_run_replaces_a_newer_one_unsaid": ("no_newer_run_is_replaced",),
    "rehearsal_leaves_dr_able_to_publish": ("dr_is_quiet",),
    "rehearsal_on_canonical_keys": ("rehearsal_stays_beside",),
}


@pytest.mark.long
@pytest.mark.parametrize("rule", list(LACKING))
def test_without_its_guards_the_rule_does_not_hold(rule: str) -> None:
    """The same search that proves the declared machine finds the story in the copy, with the steps that lead there."""
    words = plain(TEXT)
    for row in words["transitions"]:
        row["guards"] = [each for each in row.get("guards", ()) if each not in LACKING[rule]]
        if not row["guards"]:
            del row["guards"]
    for name in LACKING[rule]:
        words["guards"][name].pop("watched", None)
    used = {guard for row in words["transitions"] for guard in row.get("guards", ())}
    used |= {name for name, guard in words["guards"].items() if "watched" in guard}
    words["guards"] = {name: each for name, each in words["guards"].items() if name in used}
    copy = loaded(words, source="copy.yaml")
    (found,) = check(copy, only=[rule]).findings
    assert found.name == rule
    assert len(found.path) > 3
