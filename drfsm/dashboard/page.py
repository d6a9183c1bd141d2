"""Makes the dashboard's page of its document: one HTML file, without a script, that needs nothing from anywhere.

What the template prints passes ``_shown`` first, then Jinja's escape: no value of a bucket or a cluster becomes markup,
moves the text's direction, or fills the page. The template (page.html) has the words; what it needs computed is here.
Needs ``jinja2``, which the extra ``dashboard`` installs.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.claims import bounded, moment, seconds_between
from drfsm.dashboard.values import is_known
from drfsm.errors import UsageFault
from drfsm.evidence.durations import lasting

if TYPE_CHECKING:
    from jinja2 import Environment, Template

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST = 600  # characters of one value on the page; the document has more
_TEMPLATE = Path(__file__).with_name("page.html")
_DAY = 86_400
_TROUBLE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{{ refresh_seconds }}">
<title>drfsm: NOT READ</title></head>
<body><h1>Nothing can be shown now</h1><p>{{ why }}</p>
<p>Nothing older is shown in its place. It is read again every {{ refresh_seconds }} s.</p></body></html>
"""


def page(document: Mapping[str, Any], *, refresh_seconds: int = 0) -> bytes:
    """Return the page of a document. ``refresh_seconds``: how often a browser reads it again; 0: it is a copy.

    Raises UsageFault where jinja2 is not installed.
    """
    text = _template().render(document=document, policy=POLICY, refresh_seconds=refresh_seconds)
    return text.encode("utf-8")


def trouble(why: str, *, refresh_seconds: int) -> bytes:
    """Return a page that says why there is no other, and that its browser reads again."""
    text = _environment().from_string(_TROUBLE).render(why=why, policy=POLICY, refresh_seconds=refresh_seconds)
    return text.encode("utf-8")


def check_installed() -> None:
    """Raise UsageFault where jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise UsageFault(
            "the dashboard's page needs jinja2, which is not installed", hint='pip install "drfsm[dashboard]"'
        ) from None


@cache
def _template() -> "Template":
    return _environment().from_string(_TEMPLATE.read_text(encoding="utf-8"))


@cache
def _environment() -> "Environment":
    check_installed()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"known": is_known, "why": why, "time": shown_time, "ago": ago, "lasting": shown_seconds}
    return environment


def _shown(value: Any) -> Any:
    """Return a value as it may be printed: on one line, at most LONGEST characters, nothing that does not print."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # of this template: what it printed was shown before
        return value
    return bounded(value, LONGEST)


def why(value: Any) -> str:
    """Return the reason why a value is none, or not known."""
    said = value.get("unknown") or value.get("none") if isinstance(value, Mapping) else ""
    return str(said or "no reason is given")


def shown_time(at: str) -> str:
    """Return a time of the document as people read it: ``2026-02-27 03:12:04Z``."""
    return at[:19].replace("T", " ") + "Z"


def ago(at: str, read_at: str) -> str:
    """Return how long before the document was read a time was: ``3 h 2 min before``."""
    then, now = moment(at), moment(read_at)
    if then is None or now is None:
        return "at an unknown time"
    seconds = seconds_between(then, now)
    if seconds >= 2 * _DAY:
        return f"{seconds // _DAY:.0f} days before"
    return f"{shown_seconds(seconds)} before" if seconds else "just then"


def shown_seconds(seconds: float) -> str:
    """Return a duration as people say it."""
    return lasting(float(seconds))
