"""What a comparison found: differences that a person can act on, and a bounded record of them.

Values are shortened when a Difference is made, with the SHA-256 of the whole, so that a million of them
fit into memory, no terminal is flooded or steered by what somebody else published, and the digest still
binds every byte. Pure; called by compare.py, the fact and the CLI.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import asdict, evolve, frozen

from drfsm.dr.artifacts.compare.reading import ABSENT

MISSING, EXTRA, CHANGED, ORDER, FAULT = "missing", "extra", "changed", "order", "fault"
"""Only left has it; only right has it; both have it, not alike; elsewhere in the list; one side is wrong by itself."""
INTEGRITY, CONTENT, NONE = "integrity", "content", "none"
SAME, DIFFERENT, NOT_COMPARABLE = 0, 1, 2
"""Exit codes of a comparison."""

_TOLD = {INTEGRITY: "integrity", CONTENT: "content", NONE: "same"}
FIRST = 20  # differences that a record carries
_NAMED = 5  # files that a line names
_LONGEST = 120  # characters of a value or a name


@frozen
class Difference:
    """One thing that differs. ``left`` and ``right`` are shortened JSON texts, None for what isn't there."""

    file: str
    where: str
    kind: str
    weight: str
    left: str | None
    right: str | None
    because: str = ""

    @property
    def mirrored(self) -> "Difference":
        """The same difference, seen from the other side."""
        kind = {MISSING: EXTRA, EXTRA: MISSING}.get(self.kind, self.kind)
        return evolve(self, kind=kind, left=self.right, right=self.left)

    def line(self, left: str, right: str) -> str:
        """Return the difference in one line; ``left`` and ``right`` are what people call the two sides."""
        place = f"{self.file}: {self.where}" if self.where else self.file
        sides = [f"{side} {value}" for side, value in ((left, self.left), (right, self.right)) if value is not None]
        why = f" ({self.because})" if self.because else ""
        what = {MISSING: f"missing from {right}", EXTRA: f"only in {right}"}.get(self.kind, self.kind)
        return f"{self.weight:9}  {place}: {what}{': ' if sides else ''}{', '.join(sides)}{why}"


@frozen
class Side:
    """One of the two runs, as far as it was looked at."""

    label: str
    where: str
    run_id: str | None
    files: int  # of those that the profile knows
    records: int
    unverified: int  # described somewhere, and not read here


@frozen
class Comparison:
    """The outcome. ``differences`` are complete, those of integrity first."""

    profile: str
    profile_sha256: str
    left: Side
    right: Side
    compared: int  # files
    identical: int  # of these, byte for byte
    not_compared: Sequence[str]  # names of files that no rule covers, or that are optional and on one side only
    differences: Sequence[Difference]
    incomparable: str = ""  # why it makes no sense to compare these two
    remarks: Sequence[str] = ()  # what can't be told, and weighs nothing

    @property
    def verdict(self) -> str:
        """The heaviest of the differences: ``integrity``, ``content`` or ``none``."""
        weights = {difference.weight for difference in self.differences}
        return next((each for each in (INTEGRITY, CONTENT) if each in weights), NONE)

    @property
    def exit_code(self) -> int:
        """0 same, 1 different, 2 not comparable."""
        if self.incomparable:
            return NOT_COMPARABLE
        return DIFFERENT if self.differences else SAME

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many differences of each weight and kind."""
        counted = Counter((difference.weight, difference.kind) for difference in self.differences)
        return {
            weight: {kind: counted[weight, kind] for kind in (MISSING, EXTRA, CHANGED, ORDER, FAULT)}
            for weight in (INTEGRITY, CONTENT)
        }

    @property
    def sha256(self) -> str:
        """The digest of all differences, those included that ``record`` has no room for."""
        digest = hashlib.sha256()
        for difference in self.differences:
            digest.update(json.dumps(asdict(difference), sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """What a journal keeps: counts, the first differences, the digest of all. Bounded."""
        return {
            "profile": self.profile,
            "profile_sha256": self.profile_sha256,
            "left": asdict(self.left),
            "right": asdict(self.right),
            "incomparable": self.incomparable,
            "compared": self.compared,
            "identical": self.identical,
            "not_compared": len(self.not_compared),
            "not_compared_first": list(self.not_compared[:FIRST]),
            "remarks": list(self.remarks[:FIRST]),
            "counts": {weight: dict(kinds) for weight, kinds in self.counts.items()},
            "first": [asdict(each) for each in self.differences[:FIRST]],
            "differences_sha256": self.sha256,
        }

    @property
    def in_words(self) -> str:
        """The differences in one line: how many of each weight, and in which files."""
        if self.incomparable:
            return f"not comparable: {self.incomparable}"
        return "; ".join(map(self._counted, (INTEGRITY, CONTENT)))

    def _counted(self, weight: str) -> str:
        files = dict.fromkeys(each.file for each in self.differences if each.weight == weight)
        number = sum(self.counts[weight].values())
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        where = f" in {len(files)} of {self.compared} files ({', '.join([*files][:_NAMED])}{more})" if files else ""
        return f"{number} difference{'s' * (number != 1)} of {weight}{where}"

    def lines(self) -> Iterator[str]:
        """Yield the outcome for people: both sides, the sum, then every difference."""
        for side in (self.left, self.right):
            yield f"{side.label}: {side.where} ({side.files} files, {side.records} records)"
        for side in (self.left, self.right):
            if side.unverified:
                yield f"{side.label}: {side.unverified} files are described with hashes, and were not read here"
        if self.incomparable:
            yield f"not comparable: {self.incomparable}"
            return
        yield (
            f"{_TOLD[self.verdict]}: {sum(self.counts[INTEGRITY].values())} differences of integrity, "
            f"{sum(self.counts[CONTENT].values())} of content; {self.compared} files compared by the profile "
            f"{self.profile}, {self.identical} of them identical"
        )
        if self.not_compared:
            shown = ", ".join(self.not_compared[:3])
            yield f"not compared: {len(self.not_compared)} files ({shown}{', ...' if self.not_compared[3:] else ''})"
        for remark in self.remarks:
            yield f"remark     {remark}"
        for difference in self.differences:
            yield difference.line(self.left.label, self.right.label)


def shown(value: Any) -> str | None:
    """Return a JSON value as a short text that is safe to print; None for what isn't there."""
    if value is ABSENT:
        return None
    return short(value if isinstance(value, Bare) else _text(value))


class Bare(str):
    """A text that is shown without quotes: words of ours, not a value of a file."""

    __slots__ = ()


def short(text: str) -> str:
    """Return a text that is safe to print; one that is too long, by its beginning, length and hash."""
    safe = printable(text[: _LONGEST + 1])
    if len(text) <= _LONGEST and len(safe) <= _LONGEST:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{safe[:_LONGEST]}... ({len(text)} characters, sha256 {digest})"


def printable(text: str) -> str:
    """Return a text without anything that a terminal obeys or UTF-8 can't carry."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_text(each)}" for name, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    # A Decimal is told as it was written: neither rounded nor spelled out to a thousand digits.
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
