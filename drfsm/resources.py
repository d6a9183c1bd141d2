"""Finds what is shipped with drfsm: machines and receipt schemas.

Beside pyproject.toml in a checkout (an editable install copies the wheel's ``_shipped`` folder once and
lets it go stale, so the checkout comes first), else inside the installed wheel.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return the directory of shipped files named ``folder`` (``machines`` or ``receipts_schema``).

    Raises FileNotFoundError if the installation lacks it.
    """
    checkout = _HERE.parent
    beside = checkout / folder
    if (checkout / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    installed = _HERE / "_shipped" / folder
    if installed.is_dir():
        return installed
    raise FileNotFoundError(f"drfsm's {folder} are neither at {beside} nor at {installed}: reinstall drfsm")
