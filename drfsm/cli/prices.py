"""The option `--prices`: what machines cost, as an operator says. drfsm has no prices of its own (docs/drill.md)."""

import json

import click

from drfsm.claims import json_of
from drfsm.errors import Unreadable, UsageFault
from drfsm.files import given_file

_SHOWN = "docs/drill.md shows one"
_LARGEST_BYTES = 1 << 20

prices_option = click.option(
    "--prices",
    default="",
    type=click.Path(),
    envvar="DRFSM_PRICES",
    show_envvar=True,
    help="JSON file with the prices of machines (docs/drill.md).",
)


def read_prices(path: str) -> str:
    """Return a file of prices on one line, "" for none. Raises UsageFault."""
    if not path:
        return ""
    try:
        prices = json_of(given_file(path, "--prices", _LARGEST_BYTES), path)
    except Unreadable as fault:
        raise UsageFault(f"--prices: {path} is no JSON file: {fault}", hint=_SHOWN) from None
    if not isinstance(prices, dict):
        raise UsageFault(f"--prices: {path} holds no JSON object", hint=_SHOWN)
    return json.dumps(prices, separators=(",", ":"))
