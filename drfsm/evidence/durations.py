"""Durations in words, also those that grow while a page lies on disk: a mark stands for "how long it is since then".

A mark is a time between two NUL characters; no text that was made printable holds one. Imports nothing: whoever shows a
page that was made before (cli/remembered.py) needs no more than this.
"""

MARK = "\0"
_MINUTE, _HOUR = 60, 3600


def lasting(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def marked(since: float) -> str:
    """Return the mark of a time, in seconds since 1970."""
    return f"{MARK}{since!r}{MARK}"


def filled(text: str, now: float) -> str:
    """Return a text with how long it is by now in the place of each mark. Raises ValueError for one that is no time."""
    parts = text.split(MARK)
    parts[1::2] = [lasting(max(0.0, now - float(part))) for part in parts[1::2]]
    return "".join(parts)
