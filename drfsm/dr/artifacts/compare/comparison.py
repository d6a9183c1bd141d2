"""Whether the primary's run and DR's run say the same: the fact ``divergence``.

DR's run lies at its canonical place, the primary's validated run beside (staged). Both are read and compared by the
profile that the run recorded, or else by the contract's; how is compare.py's matter. What is recorded is bounded:
counts of every kind, the first differences, and the digest of all of them. Changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.artifacts.compare import (
    Comparison,
    Difference,
    DirectoryRun,
    Profile,
    Reader,
    ReadOnce,
    StoreRun,
    compare,
    default_profile,
    load,
    never_passes,
    profile_of,
)
from drfsm.dr.progress import first_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import World

__all__ = [
    "FACTS",
    "Comparison",
    "Difference",
    "DirectoryRun",
    "Profile",
    "Reader",
    "StoreRun",
    "compare",
    "default_profile",
    "load",
    "never_passes",
    "profile_of",
    "runs_of",
]


def runs_of(world: World, run: Run) -> tuple[StoreRun, StoreRun]:
    """Return DR's run and the primary's validated run."""
    terms = terms_of(run.inputs)
    dr, primary = terms.dr_run_id, terms.primary_run_id
    return (
        StoreRun(world.store, terms.layout.run(dr), dr, "dr", run.check),
        StoreRun(world.store, terms.staged(run.id).run(primary), primary, "primary", run.check),
    )


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    profile = profile_of(terms.workload, terms.comparison_profile)
    comparison = compare(*runs_of(world, run), profile, terms.workload)
    number = 0
    for number, line in enumerate(comparison.lines(), start=1):
        if number <= _NOTED:
            run.note(line)
    if number > _NOTED:
        run.note(f"and {number - _NOTED} more differences; `drfsm runs compare` shows all of them")
    alike = not comparison.differences and not comparison.incomparable
    return comparison.record if alike else {**comparison.record, "in_words": comparison.in_words}


_NOTED = 25  # lines; the record holds as many differences


def _judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """Two runs that can't be compared differ in integrity: one of them is not what it should be."""
    terms = terms_of(inputs)
    if (seen["left"]["run_id"], seen["right"]["run_id"]) != (terms.dr_run_id, terms.primary_run_id):
        return None
    if seen["incomparable"] or any(seen["counts"]["integrity"].values()):
        return "integrity"
    return "content" if any(seen["counts"]["content"].values()) else "none"


def _observe_profile(world: World, run: Run) -> dict[str, Any]:
    """See whether any run could pass the comparison with the present owner's, before anything is frozen."""
    terms = terms_of(run.inputs)
    home = terms.layout.run(terms.old_run)
    owners = ReadOnce(StoreRun(world.store, home, terms.old_run, terms.source_site, run.check))
    profile = profile_of(terms.workload, terms.comparison_profile)
    why = never_passes(owners, profile, terms.workload)
    run.already_read[f"{home}/"] = owners.found  # for the run's verification, which is read at the same moment
    which = {"profile": profile.name, "profile_sha256": profile.sha256, "run_id": terms.old_run}
    seen: dict[str, Any] = {**which, "wrong": first_of(why)}
    return {**seen, "in_words": "; ".join(seen["wrong"]["first"])} if why else seen


PROFILE = Fact(_observe_profile, lambda seen, _inputs: "never_passes" if seen["wrong"]["total"] else "fits")
"""``comparison_profile``: for a preflight, which names it as it likes."""
FACTS = {"divergence": Fact(_observe, _judge)}
