"""Makes the report's pages of their documents: one HTML file each, without a script, that needs nothing from anywhere.

What a template prints passes ``_shown`` first, then Jinja's escape; the whole page then loses what does not print. So
no text of a record, a declaration or an exercise becomes markup, moves the text's direction, or fills the page. The
templates (run.html, year.html, over base.html) have the words; what they need computed is here. Needs ``jinja2``, which
the extra ``report`` installs.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.claims import bounded, moment, printable_lines, seconds_between
from drfsm.errors import UsageFault
from drfsm.evidence.durations import lasting
from drfsm.evidence.wording import moment as to_the_second

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST = 1500  # characters of one value on a page; the journal has all of them
_TEMPLATES = Path(__file__).parent
_DAY, _KIB = 86_400, 1024
DRAWING = "drawing"
"""The class of the element that a drawn machine is put into (spec/svg.py's ``within``)."""


def run_page(document: Mapping[str, Any], drawing: str, version: str) -> bytes:
    """Return the page of a run. ``drawing``: the machine with the run on it, as SVG. Raises UsageFault: no jinja2."""
    from markupsafe import Markup

    # The drawing is made and escaped by spec/svg.py.
    return _rendered("run.html", document=document, drawing=Markup(drawing), version=version)  # noqa: S704


def year_page(document: Mapping[str, Any], version: str) -> bytes:
    """Return the page of a period. Raises UsageFault where jinja2 is not installed."""
    return _rendered("year.html", document=document, version=version)


def _rendered(name: str, **values: Any) -> bytes:
    text = _environment().get_template(name).render(policy=POLICY, **values)
    return printable_lines(text).encode("utf-8", "backslashreplace")


def check_installed() -> None:
    """Raise UsageFault where jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise UsageFault(
            "a report's page needs jinja2, which is not installed", hint='pip install "drfsm[report]"'
        ) from None


@cache
def _environment() -> "Environment":
    check_installed()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, finalize=_shown, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "known": is_known, "why": why, "time": shown_time, "lasting": shown_seconds, "size": shown_size, "share": share,
        "words": words,
    }  # fmt: skip
    return environment


def _shown(value: Any) -> Any:
    """Return a value as it may be printed: on one line, at most LONGEST characters, nothing that does not print."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # of a template: what it printed was shown before
        return value
    return bounded(value, LONGEST)


def is_known(value: Any) -> bool:
    """Say whether a value is one, and not why there is none."""
    return value is not None and not (isinstance(value, Mapping) and ("unknown" in value or "none" in value))


def why(value: Any) -> str:
    """Return the reason why a value is none, or not known."""
    said = value.get("unknown") or value.get("none") if isinstance(value, Mapping) else ""
    return str(said or "no reason is given")


def shown_time(at: str) -> str:
    """Return a time as people read it: ``2026-02-27 03:12:04Z``; what is no time as it is."""
    return to_the_second(at) if moment(at) is not None else str(at)


def shown_seconds(seconds: float | None) -> str:
    """Return a duration as people say it."""
    if seconds is None:
        return "an unknown time"
    return f"{seconds / _DAY:.1f} days" if seconds >= 2 * _DAY else lasting(float(seconds))


def shown_size(count: Any) -> str:
    """Return a number of bytes as people read it."""
    if not isinstance(count, int) or count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.0f} KiB" if count < _KIB * _KIB else f"{count / _KIB / _KIB:.1f} MiB"


def share(at: Any, since: str, until: str) -> float:
    """Return where a time, or a number of seconds, lies between two times: 0 to 100."""
    first, last = moment(since), moment(until)
    whole = seconds_between(first, last) if first and last else 0.0
    if isinstance(at, int | float):
        part = float(at)
    else:
        here = moment(at)
        part = seconds_between(first, here) if first and here else 0.0
    return round(min(100.0, 100 * part / whole), 2) if whole else 0.0


def words(name: Any) -> str:
    """Return a name of the machine as words: ``dr_frozen`` as ``dr frozen``."""
    return str(name).replace("_", " ")
