"""The cost of a machine: instance type, minutes and disk, with prices as data. Pure.

drfsm contains no prices: they differ by region and contract, and change. Without a price for this type, the cost is
unknown, with the reason; it is never guessed. Prices are an object as follows, with numbers as decimal strings:

    {"currency": "USD", "source": "where from", "as_of": "2026-02-01",
     "instance_hour": {"t3.large": "0.0832"}, "disk_gb_month": "0.08"}
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from drfsm import claims

HOURS_OF_A_MONTH = 730  # the hours in a month by which clouds bill
MINUTES_OF_AN_HOUR = 60


def cost_inputs(
    *, instance_type: str, minutes: float | None, disk_gb: int | None, prices: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the inputs of one machine's cost, and the cost: ``amount`` is None if it is unknown."""
    inputs = {"instance_type": instance_type or None, "minutes": minutes, "disk_gb": disk_gb}
    reason = _lacking(inputs, prices)
    if reason or prices is None:
        return {**inputs, "amount": None, "currency": None, "because": reason}
    hours = Decimal(str(minutes)) / MINUTES_OF_AN_HOUR
    amount = hours * _price(prices["instance_hour"][instance_type])
    amount += hours * _price(prices["disk_gb_month"]) * Decimal(str(disk_gb)) / HOURS_OF_A_MONTH
    price_origin = {name: prices.get(name) for name in ("source", "as_of")}
    return {**inputs, "amount": f"{amount:.4f}", "currency": prices["currency"], "because": "", "prices": price_origin}


def minutes_between(began: str, ended: str) -> float | None:
    """Return the minutes between two times in ISO 8601, None if one of them is unknown or invalid."""
    first, last = claims.moment(began), claims.moment(ended)
    if first is None or last is None:
        return None
    return round(claims.seconds_between(first, last) / MINUTES_OF_AN_HOUR, 2)


def total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the total cost of all machines; unknown if one of them is."""
    unknown = [part["because"] for part in parts if part["amount"] is None]
    if not parts or unknown:
        return {"amount": None, "currency": None, "because": "; ".join(dict.fromkeys(unknown)) or "no machine is known"}
    amount = sum((Decimal(part["amount"]) for part in parts), Decimal(0))
    return {"amount": f"{amount:.4f}", "currency": parts[0]["currency"], "because": ""}


def _lacking(inputs: Mapping[str, Any], prices: Mapping[str, Any] | None) -> str:
    """Return why the cost is unknown, "" if it is known."""
    if unknown := [name for name, value in inputs.items() if value is None]:
        return f"{', '.join(unknown)} is not known"
    if not prices:
        return "no prices were given"
    if missing := [name for name in ("currency", "instance_hour", "disk_gb_month") if name not in prices]:
        return f"the prices lack {', '.join(missing)}"
    kind, by_type = inputs["instance_type"], prices["instance_hour"]
    if not isinstance(by_type, Mapping) or kind not in by_type:
        return f"no price was given for {kind}"
    named = {"instance_hour": by_type[kind], "disk_gb_month": prices["disk_gb_month"]}
    wrong = [f"{name} {value!r}" for name, value in named.items() if _price(value) < 0]
    return f"not a price: {', '.join(wrong)}" if wrong else ""


def _price(value: Any) -> Decimal:
    """Return a price; -1 for an invalid one."""
    try:
        price = Decimal(value) if isinstance(value, str) else Decimal(-1)
    except InvalidOperation:
        return Decimal(-1)
    return price if price.is_finite() else Decimal(-1)
