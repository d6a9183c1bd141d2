"""fleet.toml: the pairs of sites that a team owns, the engine that drives them, limits and waves. Every fault at once.

    [temporal]      address, namespace, task_queue
    [waves]         size, stop_after, approval ("none", "each", "after_first"), at_once
    [limits]        runs_opened_a_second, s3_requests_a_second, cluster_requests_a_second, s3_requests_a_run,
                    records_a_run
    [defaults]      whatever a pair may say; a pair's own word comes first
    [[pair]]        name, owner, and words to select by (team, tier, ...); bucket, prefix, region, endpoint_url,
                    kubeconfig_dr, kubeconfig_primary, workload, expect_account; objectives; and a table for each
                    procedure: [pair.drill], [pair.failback], with that command's options

Paths begin at the file's own directory. The file names no secret: credentials stay where AWS tools and kubeconfigs keep
them. A pair's digest says what its entry was: a worker that has another entry than the run was started for refuses it.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drfsm.claims import bounded, is_name, printable
from drfsm.errors import DeclarationFault, UsageFault
from drfsm.files import given_file

LARGEST_BYTES = 4 << 20
PROCEDURES = ("drill", "failback", "promote")
PATHS = ("kubeconfig_dr", "kubeconfig_primary", "workload", "comparison_profile", "terraform_dir")
TEXTS = ("bucket", "prefix", "region", "endpoint_url", "expect_account", "owner", "recovery_time_objective",
         "recovery_point_objective")  # fmt: skip
APPROVALS = ("none", "each", "after_first")
NEEDED = ("bucket", "prefix", "owner")
_NUMBERS: Mapping[str, Mapping[str, float]] = {
    # section: key -> what holds where the file says nothing
    "waves": {"size": 10, "stop_after": 1, "at_once": 20},
    "limits": {"runs_opened_a_second": 20, "s3_requests_a_second": 100, "cluster_requests_a_second": 50,
               "s3_requests_a_run": 20_000, "records_a_run": 10_000},
}  # fmt: skip
_SECRETS = ("secret", "password", "passwd", "token", "access_key", "api_key", "private_key", "credential")


@frozen
class Pair:
    """A pair of sites. ``words``: everything else that it says, to select by: name, owner, team, ..."""

    name: str
    places: Mapping[str, str]  # bucket, prefix, paths and the like
    words: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]  # procedure -> its command's options

    @property
    def bucket(self) -> str:
        """The bucket to which both sites publish."""
        return self.places["bucket"]

    @property
    def prefix(self) -> str:
        """The prefix below which both sites publish."""
        return self.places["prefix"].strip("/")

    def sha256(self, procedure: str) -> str:
        """Return the digest of what the entry says for a procedure: without this machine's paths and addresses."""
        options = {
            name: value
            for name, value in self.options.get(procedure, {}).items()
            if name not in PATHS and not name.startswith("kubeconfig")
        }
        account = self.places.get("expect_account", "")
        said = {"name": self.name, "bucket": self.bucket, "prefix": self.prefix, "account": account, "options": options}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


@frozen
class Fleet:
    """A fleet file that was read and has no fault."""

    path: Path
    pairs: tuple[Pair, ...]
    temporal: Mapping[str, str]
    approval: str
    numbers: Mapping[str, float] = field(factory=dict)

    def number(self, name: str) -> int:
        """Return a number of [waves] or [limits]."""
        return int(self.numbers[name])

    def named(self, name: str) -> Pair:
        """Return a pair. Raises UsageFault for one that the file does not have."""
        found = next((pair for pair in self.pairs if pair.name == name), None)
        if found is None:
            raise UsageFault(
                f"{printable(self.path)} has no pair {bounded(name, 100)}", hint="drfsm fleet plan lists the pairs"
            )
        return found

    def selected(self, selectors: Sequence[str]) -> tuple[Pair, ...]:
        """Return the pairs that all selectors fit, ``WORD=VALUE[,VALUE]``. Raises UsageFault for none, or no pair."""
        chosen = self.pairs
        for selector in selectors:
            word, equals, values = selector.partition("=")
            if not equals or not word or not values:
                raise UsageFault(
                    f"--select {bounded(selector, 100)} is no WORD=VALUE", hint="e.g. --select team=search"
                )
            if all(word not in pair.words for pair in self.pairs):
                known = ", ".join(sorted({name for pair in self.pairs for name in pair.words}))
                raise UsageFault(f"--select {bounded(word, 100)}: no pair says that; pairs say {known}")
            chosen = tuple(pair for pair in chosen if pair.words.get(word) in values.split(","))
        if not chosen:
            raise UsageFault(
                f"no pair of {printable(self.path)} fits {', '.join(selectors)}",
                hint="drfsm fleet plan lists all pairs",
            )
        return chosen

    def waves(self, pairs: Sequence[Pair]) -> list[list[Pair]]:
        """Return the pairs in waves, in the order of the file."""
        size = self.number("size")
        return [list(pairs[first : first + size]) for first in range(0, len(pairs), size)]


def read(path: Path) -> Fleet:
    """Read a fleet file. Raises UsageFault for a file that can't be read, DeclarationFault with every fault in it."""
    text = given_file(path, "the fleet file", LARGEST_BYTES).decode("utf-8", "replace")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise DeclarationFault(f"{printable(path)}: 1 fault; nothing was touched", [str(fault)]) from None
    faults: list[str] = []
    fleet = _Reader(path, content, faults).fleet()
    if faults:
        count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        raise DeclarationFault(f"{printable(path)}: {count}; nothing was touched", faults)
    return fleet


class _Reader:
    """Reads a fleet file's content, and collects its faults."""

    def __init__(self, path: Path, content: Mapping[str, Any], faults: list[str]) -> None:
        self._path, self._content, self._faults = path.absolute(), content, faults
        self._home = self._path.parent

    def fleet(self) -> Fleet:
        """Return the fleet, which counts only where there are no faults."""
        self._unknown("", self._content, ("temporal", "waves", "limits", "defaults", "pair"))
        self._secrets(self._content, "")
        defaults = self._table(self._content, "defaults", "")
        entries = self._content.get("pair")
        if not isinstance(entries, list) or not entries:
            self._faults.append("there is no [[pair]]: name at least one pair of sites")
            entries = []
        pairs = tuple(self._pair(number, entry, defaults) for number, entry in enumerate(entries, 1))
        self._twice(pairs)
        waves = self._table(self._content, "waves", "")
        approval = waves.get("approval", "none")
        if approval not in APPROVALS:
            self._faults.append(f"waves.approval is one of {', '.join(APPROVALS)}, not {bounded(approval, 100)}")
        return Fleet(self._path, pairs, self._temporal(), str(approval), self._numbers())

    def _temporal(self) -> dict[str, str]:
        said = self._table(self._content, "temporal", "")
        known = {"address": "127.0.0.1:7233", "namespace": "default", "task_queue": "drfsm"}
        self._unknown("temporal.", said, tuple(known))
        for name, value in said.items():
            if not isinstance(value, str) or not value or not value.isprintable():
                self._faults.append(f"temporal.{name} must be a text")
        return {**known, **{name: str(value) for name, value in said.items() if name in known}}

    def _numbers(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for section, known in _NUMBERS.items():
            said = self._table(self._content, section, "")
            self._unknown(f"{section}.", said, (*known, "approval") if section == "waves" else tuple(known))
            for name, default in known.items():
                value = said.get(name, default)
                least = 0 if name == "stop_after" else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    self._faults.append(f"{section}.{name} must be a whole number from {least} on")
                    value = default
                values[name] = value
        return values

    def _pair(self, number: int, entry: Any, defaults: Mapping[str, Any]) -> Pair:
        if not isinstance(entry, dict):
            self._faults.append(f"pair {number} is no table")
            entry = {}
        name = entry.get("name", "")
        where = f"pair {printable(name) if isinstance(name, str) and name else number}"
        if not is_name("drfsm run", name):
            self._faults.append(f"{where}: its name must be made of letters, digits, '.', '_' and '-'")
        said = {**defaults, **entry}
        options = {procedure: self._options(procedure, entry, defaults, where) for procedure in PROCEDURES}
        flat = {key: value for key, value in said.items() if key not in PROCEDURES}
        for key, value in flat.items():
            if not isinstance(value, str) or not value.isprintable():
                self._faults.append(f"{where}: {printable(key)} must be a text on one line")
        texts = {key: str(value) for key, value in flat.items()}
        self._places_fit(texts, where)
        places = {key: texts[key] for key in TEXTS if texts.get(key)}
        places |= {key: self._placed(texts[key]) for key in PATHS if texts.get(key)}
        words = {key: value for key, value in texts.items() if key not in PATHS and key not in TEXTS[:5]}
        return Pair(str(name), places, {**words, "name": str(name)}, options)

    def _places_fit(self, texts: Mapping[str, str], where: str) -> None:
        self._faults.extend(f"{where}: {key} is missing" for key in NEEDED if not texts.get(key))
        for key in ("bucket", "prefix"):
            if texts.get(key) and not is_name(key, texts[key].strip("/")):
                self._faults.append(f"{where}: {bounded(texts[key], 100)} is no {key}")

    def _options(
        self, procedure: str, entry: Mapping[str, Any], defaults: Mapping[str, Any], where: str
    ) -> dict[str, Any]:
        merged = {**self._table(defaults, procedure, "defaults."), **self._table(entry, procedure, f"{where}: ")}
        for name, value in merged.items():
            flat = isinstance(value, str | bool | int | float) or (
                isinstance(value, list) and all(isinstance(part, str) for part in value)
            )
            if not flat:
                self._faults.append(f"{where}: {procedure}.{printable(name)} must be a text, a number, true or false")
        return {name: self._placed(value) if name.startswith("kubeconfig") else value for name, value in merged.items()}

    def _twice(self, pairs: Sequence[Pair]) -> None:
        """Find two pairs of one name, and two of one bucket and prefix: their runs would share a lease."""
        seen: dict[tuple[str, str], str] = {}
        names: set[str] = set()
        for pair in pairs:
            place = (pair.places.get("bucket", ""), pair.places.get("prefix", "").strip("/"))
            if pair.name in names:
                self._faults.append(f"two pairs are named {printable(pair.name)}")
            if place[0] and place in seen:
                self._faults.append(f"{printable(pair.name)} and {printable(seen[place])} share bucket and prefix")
            names.add(pair.name)
            seen.setdefault(place, pair.name)

    def _placed(self, path: object) -> str:
        return str(self._home / Path(str(path)).expanduser())

    def _table(self, content: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
        value = content.get(name, {})
        if not isinstance(value, dict):
            self._faults.append(f"{where}{name} must be a table")
            return {}
        return value

    def _unknown(self, where: str, content: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in content:
            if name not in known:
                self._faults.append(f"{where}{printable(name)} is no key of a fleet file; known: {', '.join(known)}")

    def _secrets(self, content: Any, where: str) -> None:
        """Find keys that look like a secret's. Their values are never printed."""
        for key, value in _items(content):
            path = f"{where}{key}"
            if any(word in key.lower() for word in _SECRETS):
                self._faults.append(
                    f"{printable(path)} looks like a secret: keep it where AWS tools and kubeconfigs do"
                )
            self._secrets(value, f"{path}.")


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list):
        yield from ((str(number), part) for number, part in enumerate(content, 1))
