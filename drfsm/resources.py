"""Finds what is shipped with drfsm: machines and receipt schemas; and knows every declaration that ever was, by digest.

Beside pyproject.toml in a checkout (an editable install copies the wheel's ``_shipped`` folder once and
lets it go stale, so the checkout comes first), else inside the installed wheel.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).resolve().parent


class Known(NamedTuple):
    """A declaration that drfsm ships, or shipped: the machine, and the first version that had exactly these bytes."""

    machine: str
    version: str


_KNOWN: Mapping[str, Known] = {
    "1893fa3d56bb2354978975730005f63adffc69486c9c81e9d5af8c8c7945620f": Known("drill", "0.1.0"),
    "7f32955b43c3871212e615c48cc8a8fa2d1697f53853882dffb817cdd6998d33": Known("promote", "0.1.0"),
    "76ecc84145408f9ac4ab00a3a7edca632785185643dc3c8115da33bb53289398": Known("failback", "0.1.0"),
    "7359c2cbaaf84ed03d469202b0ec4bf2bdfbabd83db2eb83876829a5b1fa8821": Known("drill", "0.2.0"),
    "467bb67e167bed78a02b1e6dafb64fea19a4383a72125e5d5fdb9ad2e1e4d4ba": Known("promote", "0.2.0"),
    "72e15ed8e71e388eaa9b64ecf5ca541a61a262ce6eb0675e7a1ca5fac6984baa": Known("drill", "0.3.0"),
    "6b27c94d4e0344d84b2b05fa2b308ef8552fd664aa679abe7892c5d53a7f5442": Known("promote", "0.3.0"),
    "ce231507cbe68fd5c679472f2fd8acc2628732b7caa96846066cfd0fe4141b24": Known("failback", "0.3.0"),
    "92a02b04f67d8b55de505d8cd65d3d19369db1f3de2967ff80514bf58859a845": Known("drill", "0.4.0"),
    "b3cadf59bdfcdc48e3c31e0780f2fa5c8ca729ad3763512a8f01244104883865": Known("promote", "0.4.0"),
    "30898206a4781bdd5eaa72dece66b7f0e6161fbcb5bfae61f8dde2b2da02c89b": Known("failback", "0.4.0"),
    "f36a32ddfa6fccf2c9fe355c5b3b02cb99a1b296ef24c21c60eddb04b7c6c9a3": Known("drill", "0.5.0"),
    "d1e21ca97467c59bde9fafaf9d02ad083fccac001d5cd12efdd80a22b244d060": Known("promote", "0.5.0"),
    "d64cfcf67ddcd432e62de2b07d32233105c8eabb143bf3b72be1733e1643b1bc": Known("failback", "0.5.0"),
    "46f05cd17ea26154a15412d82ddb53387466352e99fc9954264d155d7832c86c": Known("drill", "0.6.0"),
    "b9ef1c8677bc53d71f05e136742cd696e0765e94396f2408a4e7faa67892cfc0": Known("promote", "0.6.0"),
    "f70ee25c7461080c373100e58b66a1043488a479796f7d1ddd8b6d4e4c818289": Known("failback", "0.6.0"),
    "7a76bc1eb91f224d2a2dd0b9c616f67e0490114175d07b7f5dde5059ce6be513": Known("promote", "0.7.0"),
    "600d1b2307ca683c11403835e08181ec3f297ba61a72cc64adfc839ed6d2af67": Known("failback", "0.7.0"),
}
"""SHA-256 of the file -> which it is. Lines are added where a machine changes, and never taken away: a run that an
older version started is pinned to that version's declaration, and goes on with it."""


def known(sha256: str) -> Known | None:
    """Return which shipped declaration has this digest (64 lower-case hexadecimal digits); None if none ever had it."""
    return _KNOWN.get(sha256)


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
