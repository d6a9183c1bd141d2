"""What a dry run's records must be: a walk over the whole table that hides no finding and moves nothing."""

from drfsm.evidence.audit.steps import Here
from drfsm.journal import Record
from drfsm.spec.model import By, Row

_HOLDS = {"passed": True, "failed": False, "not_evaluated": None}


def forecast(here: Here, record: Record) -> None:
    """Each forecast is the runner's next row, with every guard passed, failed, or rightly not evaluated."""
    body, row = record.body, here.row(record)
    here.observations.facts(record.seq, body.get("facts", {}))
    if row is None:
        return
    if not here.state.dry_run:
        here.add(record, "dry_run", "a forecast stands in a run that is no dry run")
    if here.refused:
        here.add(record, "dry_run", f"the dry run goes on with {row.trigger} after it was refused")
    where = here.position or here.spec.initial
    if row.source != where or row.by is not By.RUNNER or row.foreach:
        here.add(record, "legality", f"the dry run foresees {row.trigger} from {row.source}, but stood in {where}")
    told = (body["trigger"], body["from"], body["to"], dict(body["sets"]))
    if told != (row.trigger, row.source, row.to, dict(row.sets)):
        here.add(record, "row", f"{row.trigger} is foreseen other than declared")
    _guards(here, record, row)
    here.skipped |= set(row.sets)
    if row.wait:  # what will have been awaited by then says nothing now
        here.skipped |= {fact for _, fact, _ in here.spec.wanted_of(row)}
    here.position = row.to


def _guards(here: Here, record: Record, row: Row) -> None:
    checks = record.body["guards"]
    declared = here.observations.declared(row, record.body.get("facts", {}))
    here.observations.same_guards(record.seq, row, checks, declared)
    blind = here.spec.depending_on(here.skipped)
    for check in checks:
        unless = here.spec.guards[check["guard"]].unless if check["guard"] in here.spec.guards else {}
        held = None if blind & {check["fact"], *unless} else check["value"] in check["needed"]
        if check["outcome"] not in _HOLDS or _HOLDS[check["outcome"]] is not held:
            here.add(
                record, "guard", f"{row.trigger}: {check['guard']} is said to be {check['outcome']}, which is not so"
            )
        here.observations.check(record.seq, check)
    failed = [each for each in checks if each["outcome"] == "failed" and row.wait is None]
    here.failed_checks += len(failed)
    known = any(each["value"] != "unknown" for each in failed)  # what could not be read refuses nothing
    here.refused |= known and here.spec.refuses(row.source, here.state.inputs)


def ended(here: Here, record: Record) -> None:
    """Check that a dry run ends as dry_run or refused, where it began, and tells everything that it found."""
    body = record.body
    due = "refused" if here.refused else "dry_run"
    if body["status"] != due:
        here.add(record, "dry_run", f"a dry run that found what this one did ends {due}, not {body['status']}")
    if body["state"] != here.spec.initial:
        here.add(record, "dry_run", f"a dry run stays in {here.spec.initial}, this one ends in {body['state']}")
    if len(body.get("findings", ())) != here.failed_checks:
        here.add(record, "dry_run", f"it tells {len(body.get('findings', ()))} findings of {here.failed_checks}")
    where = here.position or here.spec.initial
    onward = [row for row in here.spec.rows_from(where, here.state.inputs, By.RUNNER) if not row.foreach]
    if onward and not here.refused:
        here.add(record, "dry_run", f"the dry run ends before {onward[0].trigger} was foreseen")
