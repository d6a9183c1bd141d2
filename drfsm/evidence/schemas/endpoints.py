"""What `drfsm endpoints` says with ``-o json``: which site takes the users' writes."""

from drfsm.evidence.schemas.shapes import COUNT, WORDS, Receipt, about, either, one_of, record

_SITE = one_of("primary", "dr")
_WRITES = about("Whether that site's servers take writes") | one_of("open", "closed")
_WHY = {"why": about("Why the document can't be read") | WORDS}

SHOW = Receipt(
    "endpoints.show",
    title="drfsm endpoints show -o json",
    description="The active-site document, by which servers take or refuse writes.",
    shape=either(
        record(
            {
                "site": about("The active site") | _SITE,
                "writes": _WRITES,
                "epoch": about("Raised whenever another site, or another gate, is declared") | COUNT,
                "lease_epoch": about("The lease of the run that declared it") | COUNT,
                "run": about("The run that declared it") | WORDS,
                "since": about("When it was declared") | WORDS,
            }
        ),
        record({"site": about("Null: there is no document, so every write is refused") | {"type": "null"}}),
        record({"site": about("It is there, and every write is refused") | one_of("unreadable"), **_WHY}),
    ),
)
DECLARE = Receipt(
    "endpoints.declare",
    title="drfsm endpoints declare -o json",
    description="The first active site, declared by a person.",
    shape=record(
        {
            "site": _SITE,
            "writes": _WRITES,
            "before": about("Empty where there was no document") | either(record({}), record(_WHY)),
            "reason": about("Why, as it was typed") | WORDS,
        }
    ),
)
