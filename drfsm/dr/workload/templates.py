"""When two templates of a contract can mean one place. Pure.

A placeholder stands for one or more characters other than ``/``, the same wherever it stands in both templates: they
are filled in for one pair. Owns that question only, for declare.py, which refuses a contract in which two files of a
run, or two pairs, would be one key. What can't be told for certain counts as one place.
"""

import re
from collections import Counter
from collections.abc import Sequence

Tokens = Sequence[str]
"""Single characters, and placeholders with their braces."""
_TOKEN = re.compile(r"\{[a-z_]+\}|.", re.DOTALL)


def may_be_one(left: str, right: str) -> bool:
    """Return whether two templates, filled in for the same pair, may be one path."""
    for template, plain in ((left, right), (right, left)):
        if "{" not in plain:
            return _matches(template, plain)
    folders = left.split("/"), right.split("/")
    return len(folders[0]) == len(folders[1]) and all(map(_folders_may_be_one, *folders))


def folder_of_each(template: str, placeholders: Sequence[str]) -> bool:
    """Return whether each placeholder stands in the template once, no two in one folder: so no two pairs are one."""
    folders = [sum(folder.count(f"{{{name}}}") for name in placeholders) for folder in template.split("/")]
    return max(folders) <= 1 and all(template.count(f"{{{name}}}") == 1 for name in placeholders)


def _folders_may_be_one(left: str, right: str) -> bool:
    one, other = _without_common(_TOKEN.findall(left), _TOKEN.findall(right))
    if not one or not other:
        return not one and not other  # what is left over has at least one character
    ends = ((one[0], other[0]), (one[-1], other[-1]))
    if any(len(first) == len(second) == 1 for first, second in ends):
        return False  # two other characters: what they had in common is taken away
    return _lengths_can_agree(one, other)


def _matches(template: str, plain: str) -> bool:
    """Return whether a template can be this plain text."""
    pattern, named = "", set()
    for token in _TOKEN.findall(template):
        name = token.strip("{}") if len(token) > 1 else ""
        pattern += (f"(?P={name})" if name in named else f"(?P<{name}>[^/]+)") if name else re.escape(token)
        named.add(name)
    return re.fullmatch(pattern, plain) is not None


def _without_common(left: Tokens, right: Tokens) -> tuple[Tokens, Tokens]:
    """Return two templates without what they begin and end with alike: it is the same in both, whatever is put in."""
    while left and right and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    return left, right


def _lengths_can_agree(left: Tokens, right: Tokens) -> bool:
    """Return whether some lengths of the placeholders, each 1 or more, make both equally long."""
    more, fewer = Counter(map(_kind, left)), Counter(map(_kind, right))
    more.subtract(fewer)
    letters = more.pop("", 0)
    shortest = sum(more.values()) + letters
    if all(number >= 0 for number in more.values()):
        return shortest <= 0 if any(more.values()) else letters == 0
    if all(number <= 0 for number in more.values()):
        return shortest >= 0
    return True


def _kind(token: str) -> str:
    return token if len(token) > 1 else ""
