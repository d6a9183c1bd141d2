"""Which of two versions of drfsm is older: what a run owes depends on the version that started it. Pure."""

import re

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


def is_older(version: str, than: str) -> bool:
    """Say whether a run was started by a version before ``than`` ("0.6.0"). What names no version is held to all rules.

    What stands behind the third number (``rc1``) is passed over.
    """
    named, other = _VERSION.match(version), _VERSION.match(than)
    if named is None or other is None:
        return False
    return tuple(map(int, named.groups())) < tuple(map(int, other.groups()))
