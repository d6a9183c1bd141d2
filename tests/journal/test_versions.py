"""Which of two versions is older: numbers are compared, and what names no version is older than none."""

import pytest

from drfsm.journal.versions import is_older


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("0.5.0", "0.6.0", True),
        ("0.6.0", "0.6.0", False),
        ("0.10.0", "0.6.0", False),
        ("0.6.0", "0.10.0", True),
        ("0.5.9", "0.6.0", True),
        ("1.0.0", "0.6.0", False),
        ("0.5.0rc1", "0.6.0", True),
        ("", "0.6.0", False),
        ("0.5", "0.6.0", False),
        ("garbage", "0.6.0", False),
        ("-1.0.0", "0.6.0", False),
        ("99999.0.0", "0.6.0", False),
        ("0.5.0", "", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, than: str, older: bool) -> None:
    """A run that names no version owes what the newest one owes."""
    assert is_older(version, than) is older
