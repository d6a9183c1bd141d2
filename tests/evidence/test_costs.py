"""What a machine costs is arithmetic over prices that were given; without them it is unknown, and says why."""

from typing import Any

import pytest

from drfsm.evidence.costs import cost_inputs, minutes_between, total

PRICES: dict[str, Any] = {
    "currency": "USD",
    "source": "the price list",
    "as_of": "2026-02-01",
    "instance_hour": {"t3.large": "0.0832"},
    "disk_gb_month": "0.08",
}
USED: dict[str, Any] = {"instance_type": "t3.large", "minutes": 90.0, "disk_gb": 40}


def test_a_cost_is_hours_times_prices() -> None:
    """An hour and a half of the machine, and of its disk's share of a month."""
    found = cost_inputs(**USED, prices=PRICES)
    # 1.5 * 0.0832 + 1.5 * 0.08 * 40 / 730
    assert (found["amount"], found["currency"], found["because"]) == ("0.1314", "USD", "")
    assert found["prices"] == {"source": "the price list", "as_of": "2026-02-01"}
    assert {name: found[name] for name in USED} == USED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"prices": None}, "no prices were given", id="no prices"),
        pytest.param({"instance_type": ""}, "instance_type is not known", id="an unknown type"),
        pytest.param({"minutes": None, "disk_gb": None}, "minutes, disk_gb is not known", id="unknown use"),
        pytest.param({"instance_type": "m5.large"}, "no price was given for m5.large", id="a type without a price"),
        pytest.param(
            {"prices": {"currency": "USD", "disk_gb_month": "1"}},
            "the prices lack instance_hour",
            id="half of the prices",
        ),
        pytest.param({"prices": {**PRICES, "disk_gb_month": 0.08}}, "not a price: disk_gb_month 0.08", id="a float"),
        pytest.param({"prices": {**PRICES, "disk_gb_month": "free"}}, "not a price: disk_gb_month 'free'", id="a word"),
        pytest.param(
            {"prices": {**PRICES, "disk_gb_month": "NaN"}}, "not a price: disk_gb_month 'NaN'", id="no number"
        ),
    ],
)
def test_what_is_not_known_is_said_and_not_guessed(change: dict[str, Any], reason: str) -> None:
    """There is no amount, and the reason names what is missing."""
    found = cost_inputs(**{**USED, "prices": PRICES, **change})
    assert (found["amount"], found["because"]) == (None, reason)


def test_a_total_is_unknown_if_one_part_is() -> None:
    """Known parts add up; one unknown part makes the sum unknown, with its reason; nothing costs nobody knows what."""
    known, unknown = cost_inputs(**USED, prices=PRICES), cost_inputs(**USED, prices=None)
    assert total([known, known]) == {"amount": "0.2628", "currency": "USD", "because": ""}
    assert total([known, unknown]) == {"amount": None, "currency": None, "because": "no prices were given"}
    assert total([])["because"] == "no machine is known"


def test_minutes_are_between_two_known_times() -> None:
    """Seconds count as parts of a minute, offsets are understood, and an unknown end gives no minutes."""
    assert minutes_between("2026-02-28T12:00:00+00:00", "2026-02-28T12:01:30.000000Z") == 1.5
    assert minutes_between("2026-02-28T12:00:00+01:00", "2026-02-28T12:00:00Z") == 60.0
    assert minutes_between("", "2026-02-28T12:00:00Z") is None
    assert minutes_between("2026-02-28T12:00:00Z", "") is None
