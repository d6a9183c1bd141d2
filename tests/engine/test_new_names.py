"""Names that drfsm makes are unique, and fit everywhere they are used."""

from datetime import UTC, datetime

import pytest

from drfsm.claims import is_name
from drfsm.engine.new_names import new_name
from drfsm.engine.runner import new_run_id

KINDS = ("failback", "promote", "drill", "restore", "pointers", "backup", "control-plane")


def test_ten_thousand_names_of_one_second_are_all_different() -> None:
    """Runs, backups, receipts: the time in a name is for its reader, and makes no two of them differ."""
    made = [make("failback") for make in (new_name, new_run_id) for _ in range(5000)]
    assert len(set(made)) == len(made)
    assert len({name[: len("failback-20261128t223230z")] for name in made}) < 100  # they do share their times


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_fits_everywhere(kind: str) -> None:
    """A run's id is a directory, a part of a key, a label's value, and with a role before it a Job's name."""
    name = new_name(kind)
    assert name.startswith(f"{kind}-{datetime.now(UTC):%Y%m%dt}")
    for grammar in ("drfsm run", "file", "prefix", "label value", "Kubernetes name"):
        assert is_name(grammar, name), grammar
    assert len(f"drfsm-validation-{name}") <= 63
