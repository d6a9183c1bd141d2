"""The minimum fields of a promote's and of a failback's receipt, and where each comes from.

Whoever asks for a receipt at all asks for these: seven of a promote, six of a failback. A run that is complete has each
of them, or says why there is none; a text must say something (said.py). They stand apart from the summaries' own
schemas: a run is not stopped because somebody typed ``n/a`` for a ticket, and its receipt does not pass a check. Called
by cli/receipts.py; docs/receipts.md shows the table.
"""

from collections.abc import Mapping

from attrs import frozen

from drfsm.evidence.schemas.said import SAID
from drfsm.evidence.schemas.shapes import (
    Receipt,
    Shape,
    about,
    array,
    const,
    either,
    having,
    mapping,
    matching,
    record,
    ref,
    when,
)

_NONE_SAID = record({"none": about("Why there is none") | SAID})
_TEXT = either(SAID, _NONE_SAID)
_TIME = either(ref("time"), _NONE_SAID)
_WHY_NOT = either({"required": ["unknown"]}, {"required": ["none"]})
_FACTS = either(_NONE_SAID, {"type": "object", "minProperties": 1, "not": _WHY_NOT})
_POINTERS = either(_NONE_SAID, mapping({"type": ["object", "null"]}) | {"minProperties": 1, "not": _WHY_NOT})
_PREFIX = either(matching("^s3://[^/]+/.+"), _NONE_SAID)


@frozen
class Minimum:
    """One minimum field: as it is asked for, the receipt's fields that answer it, and where they come from."""

    name: str
    fields: Mapping[str, Shape]
    source: str


MINIMUM: Mapping[str, tuple[Minimum, ...]] = {
    "promote": (
        Minimum(
            "operator identity",
            {"operator": _TEXT},
            "`drfsm approve --operator`; beside it, in `approver`, what is proven of the process that approved",
        ),
        Minimum("approval timestamp (UTC)", {"approved_at": _TIME}, "the record of the approval"),
        Minimum("ticket or change id", {"ticket": _TEXT}, "`drfsm approve --ticket`"),
        Minimum(
            "execution id",
            {"execution_id": _TEXT},
            "the orchestrator's execution, else the run's id: preflight records it",
        ),
        Minimum(
            "instance id and cluster identity",
            {"instance_ids": either(_NONE_SAID, array(SAID)), "clusters": _FACTS},
            "preflight: the instances of DR's runners, and the UID of each cluster's kube-system namespace",
        ),
        Minimum("chosen canonical run id", {"canonical_run_id": _TEXT}, "the run's input `dr_run_id`"),
        Minimum("receipt object prefix", {"receipt_prefix": _PREFIX}, "preflight: where the journal is mirrored"),
    ),
    "failback": (
        Minimum(
            "freeze start and end timestamps",
            {"freeze_started_at": _TIME, "dr_freeze_started_at": _TIME, "freeze_ended_at": _TIME},
            "the intents of the freezes, and the commit by which the primary's schedules run again",
        ),
        Minimum(
            "pointers before and after, on DR and primary",
            {
                "pointers_before": _POINTERS,
                "provider_pointers_before": _POINTERS,
                "pointers_after": _POINTERS,
                "provider_pointers_after": _POINTERS,
            },
            "what was read when the pointers were captured, and read again after they were moved",
        ),
        Minimum(
            "artifact verification result",
            {"dr_run_verification": _FACTS, "primary_run_verification": _FACTS},
            "every object of both runs, listed, read and hashed",
        ),
        Minimum("divergence diff summary", {"divergence": _FACTS}, "the comparison of the two runs"),
        Minimum("switchback timestamp", {"switched_back_at": _TIME}, "the commit that moved the global pointer"),
        Minimum(
            "first successful post-failback publish run id",
            {"first_post_failback_run_id": _TEXT},
            "the run that the primary published by itself in the soak; none where the soak was passed over",
        ),
    ),
}
"""Machine -> its minimum fields, in the order in which they are asked for."""


def _receipt(machine: str) -> Receipt:
    fields = {
        name: about(f"{minimum.name}: {minimum.source}") | shape
        for minimum in MINIMUM[machine]
        for name, shape in minimum.fields.items()
    }
    complete = {"status": const("complete"), "scope": const("live"), "dry_run": const(value=False)}
    return Receipt(
        f"{machine}.minimum",
        title=f"The minimum fields of {machine}.summary.json",
        description=f"What every complete {machine} says, whichever version of drfsm wrote its summary: a value, or"
        " why there is none. Empty texts and placeholders (TBD, n/a, <name>) are refused. `drfsm receipts check` holds"
        " a summary to it, beside the summary's own schema.",
        shape=having(
            {
                "status": about("How the run ended, or stands") | {"type": "string"},
                "receipt": about("The machine's own receipt table") | {"type": "object"},
            }
        ),
        rules=(when(complete, {"receipt": having(fields)}),),
    )


PROMOTE_MINIMUM, FAILBACK_MINIMUM = _receipt("promote"), _receipt("failback")
