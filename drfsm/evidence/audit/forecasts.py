"""What a dry run's records must be: a walk over the whole table that hides no finding and moves nothing."""

from drfsm.evidence.audit.position import Position
from drfsm.evidence.wording import stopping
from drfsm.journal import Record
from drfsm.journal.record_types import Ended, Forecast
from drfsm.journal.versions import is_older
from drfsm.spec.model import By, Row

_HOLDS = {"passed": True, "failed": False, "not_evaluated": None}


def forecast(here: Position, record: Record, foreseen: Forecast) -> None:
    """Check that a forecast is the runner's next row, with every guard passed, failed, or rightly not evaluated."""
    row = here.row(record, foreseen.row)
    here.observations.facts(record.seq, foreseen.facts)
    if row is None:
        return
    if not here.state.dry_run:
        here.add(record, "forecast_in_a_run", "a forecast stands in a run that is no dry run")
    if here.refused_by_world:
        here.add(record, "dry_run_goes_on_refused", f"the dry run continues with {row.trigger} after it was refused")
    where = here.forecast_state or here.spec.initial
    if row.source != where or row.by is not By.RUNNER or row.foreach:
        what = f"the dry run forecasts {row.trigger} from {row.source}, but stood in {where}"
        here.add(record, "forecast_out_of_order", what, expected=where, found=row.source)
    recorded = (foreseen.trigger, foreseen.source, foreseen.to, dict(foreseen.sets))
    if recorded != (row.trigger, row.source, row.to, dict(row.sets)):
        here.add(
            record,
            "row_other_than_declared",
            f"{row.trigger} is recorded other than declared",
            expected=[row.trigger, row.source, row.to, dict(row.sets)],
            found=list(recorded),
        )
    _guards(here, record, foreseen, row)
    here.skipped |= set(row.sets)
    if not is_older(here.state.version, "0.6.0"):  # before, what was not there yet was judged, too
        here.skipped |= here.spec.brought_about(row)
    if row.wait:  # a dry run awaits nothing, so what these facts read later says nothing
        here.skipped |= {fact for _, fact, _ in here.spec.wanted_of(row)}
    here.forecast_state = row.to


def _guards(here: Position, record: Record, foreseen: Forecast, row: Row) -> None:
    declared = here.observations.declared(row, foreseen.facts)
    here.observations.same_guards(record.seq, row, foreseen.guards, declared)
    blind = here.spec.depending_on(here.skipped)
    for check in foreseen.guards:
        unless = here.spec.guards[check.guard].unless if check.guard in here.spec.guards else {}
        held = None if blind & {check.fact, *unless} else check.value in check.needed
        if check.outcome not in _HOLDS or _HOLDS[check.outcome] is not held:
            here.add(
                record,
                "guard_outcome_wrong",
                f"{row.trigger}: {check.guard} is recorded as {check.outcome}, but is not",
                expected={True: "passed", False: "failed", None: "not_evaluated"}[held],
                found=check.outcome,
            )
        here.observations.check(record.seq, check)
    here.observations.foreseen(record.seq, row, foreseen.foreseen, foreseen.facts, blind)
    failed = [check for check in foreseen.guards if check.outcome == "failed" and row.wait is None]
    failed += [check for check in foreseen.foreseen if check.refuses]
    here.failed_checks += len(failed)
    known = [check for check in failed if check.value != "unknown"]  # a fact that could not be read refuses nothing
    refuses = bool(known) and here.spec.refuses(row.source, here.state.inputs)
    here.refused |= refuses
    # What the command's own words refuse does not end the walk; until 0.4.0 it did.
    here.refused_by_world |= refuses and not all(_is_local(here, check.fact) for check in known)


def _is_local(here: Position, fact: str) -> bool:
    return fact in here.spec.facts and here.spec.facts[fact].local


def ended(here: Position, record: Record, end: Ended) -> None:
    """Check that a dry run ends as dry_run or refused, where it began, and names everything that it found."""
    status = "refused" if here.refused else "dry_run"
    if end.status != status:
        what = f"with its findings this dry run ends {status}, not {end.status}"
        here.add(record, "dry_run_end_wrong", what, expected=status, found=end.status)
    if end.state != here.spec.initial:
        what = f"a dry run stays in {here.spec.initial}, this one ends in {end.state}"
        here.add(record, "dry_run_end_wrong", what, expected=here.spec.initial, found=end.state)
    due = {here.failed_checks, len(stopping(here.state.forecasts))}  # until 0.3.0 a common cause stood at each
    if len(end.findings) not in due:
        what = f"it names {len(end.findings)} findings of {max(due)}"
        here.add(record, "dry_run_end_wrong", what, expected=max(due), found=len(end.findings))
    where = here.forecast_state or here.spec.initial
    onward = [row for row in here.spec.rows_from(where, here.state.inputs, By.RUNNER) if not row.foreach]
    if onward and not here.refused:
        what = f"the dry run ends before {onward[0].trigger} was forecast"
        here.add(record, "dry_run_ends_early", what, expected=onward[0].trigger)
