"""The claim: a TXT record beside an endpoint's records, by which their change is a compare-and-swap.

    _drfsm.<host>   "drfsm=1" "site=dr" "epoch=12" "run=promote-…" "until=2026-11-29T10:00:00Z" "nonce=…"

Every batch of drfsm deletes the claim that was read and creates another: of two batches that were built on the same
claim, one is refused. A new nonce each time makes equal content another record. The claim also says publicly which
site the name belongs to. ``until``: when caches that keep to TTLs have dropped what was there before. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from attrs import asdict, frozen

from drfsm import claims
from drfsm.dr.workload import SITES
from drfsm.errors import Unreadable
from drfsm.world import RecordSet

LABEL, TTL_SECONDS = "_drfsm", 60
_STRING = re.compile(r'"([^"\\]*)"')
_EPOCH = re.compile(r"[0-9]{1,16}", re.ASCII)  # as many digits as claims.LARGEST_EPOCH has
_FIELDS = ("site", "epoch", "run", "until", "nonce")


@frozen
class Claim:
    """Who moved the name last, for which site. ``epoch``: the lease's, so an older holder is told from a newer one."""

    site: str
    epoch: int
    run: str
    until: str
    nonce: str

    def seen(self) -> dict[str, Any]:
        """Return it as an observation."""
        return asdict(self)


def new(site: str, epoch: int, run: str, until: str) -> Claim:
    """Return a claim that no other equals."""
    return Claim(site, epoch, run, until, uuid4().hex)


def host_of(host: str) -> str:
    """Return the name of a host's claim."""
    return f"{LABEL}.{host}"


def record_of(host: str, claim: Claim) -> RecordSet:
    """Return the record that holds a claim."""
    return {
        "Name": f"{host_of(host)}.",
        "Type": "TXT",
        "TTL": TTL_SECONDS,
        "ResourceRecords": [{"Value": text_of(claim)}],
    }


def text_of(claim: Claim) -> str:
    """Return a claim as the value of a TXT record."""
    strings = ["drfsm=1", *(f"{name}={getattr(claim, name)}" for name in _FIELDS)]
    return " ".join(f'"{string}"' for string in strings)


def read(records: Sequence[RecordSet], host: str) -> Claim | None:
    """Return the claim among the records of a host's claim; None for none. Raises Unreadable for anything else."""
    if not records:
        return None
    values = [entry["Value"] for record in records for entry in record.get("ResourceRecords") or ()]
    if len(records) != 1 or len(values) != 1 or records[0]["Type"] != "TXT":
        raise Unreadable(f"the records of {host_of(host)} are not one claim of drfsm's")
    return parsed(values[0], host)


def parsed(value: object, host: str) -> Claim:
    """Return the claim in the value of a TXT record. Raises Unreadable."""
    what = f"the claim {host_of(host)}"
    said: Mapping[str, str] = dict(part.partition("=")[::2] for part in _STRING.findall(str(value)))
    if said.get("drfsm") != "1" or any(name not in said for name in _FIELDS):
        raise Unreadable(f"{what} is none of drfsm's: {claims.bounded(value, 100)}")
    if said["site"] not in SITES or not _EPOCH.fullmatch(said["epoch"]) or claims.moment(said["until"]) is None:
        raise Unreadable(f"{what} can't be read: {claims.bounded(value, 200)}")
    if int(said["epoch"]) >= claims.LARGEST_EPOCH:
        raise Unreadable(f"{what} can't be read: its epoch {said['epoch']} is out of range")
    claims.name_of("drfsm run", said["run"], f"the run in {what}")
    claims.name_of("nonce", said["nonce"], f"the nonce in {what}")
    return Claim(said["site"], int(said["epoch"]), said["run"], said["until"], said["nonce"])
