"""The result of a check: in words, as values for a program, and each finding as a diagram."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from drfsm.spec.check.story import Line

_ACTORS = {"run": "the run", "person": "a person", "world": "the world", "late": "a late request"}


@frozen
class Finding:
    """One rule that does not hold, with the shortest way there."""

    name: str
    reason: str
    lines: tuple[Line, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The way in words: from the world at first to where the rule is broken."""
        return tuple(line.words for line in self.lines)

    @property
    def mermaid(self) -> str:
        """The way as a Mermaid sequence diagram: who does what, one line a step."""
        acting = dict.fromkeys(line.by for line in self.lines)
        yielded = ["sequenceDiagram", *(f"  participant {by} as {_ACTORS[by]}" for by in acting)]
        for line in self.lines:
            words = line.words.replace(";", ",").replace("#", "")
            arrow = (
                f"Note over {line.by}: " if line.words.startswith(("at first", "there")) else f"{line.by}->>{line.by}: "
            )
            yielded.append(f"  {arrow}{words}")
        return "\n".join(yielded) + "\n"


@frozen
class Report:
    """The result of a check. ``explored``: the number of searched moments, by rule; ``seconds``: how long it took."""

    machine: str
    findings: tuple[Finding, ...]
    explored: Mapping[str, int] = field(factory=dict)
    dead: tuple[str, ...] = ()
    vacuous: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(factory=dict, eq=False)

    @property
    def ok(self) -> bool:
        """Whether every rule is proven and says something, and every row can be taken."""
        return not (self.findings or self.dead or self.vacuous or self.unproven)

    def verdict(self, rule: str) -> str:
        """Return what became of a rule: holds, broken, vacuous or unproven."""
        if rule in self.unproven:
            return "unproven"
        if rule in self.vacuous:
            return "vacuous"
        return "broken" if any(finding.name == rule for finding in self.findings) else "holds"

    def lines(self) -> Iterator[str]:
        """Yield the report in words."""
        broken = {finding.name: finding for finding in self.findings}
        messages = {
            "holds": "holds",
            "broken": "DOES NOT HOLD",
            "vacuous": "SAYS NOTHING: none of its states can be reached",
            "unproven": "NOT PROVEN: the search was cut off",
        }
        for name, count in self.explored.items():
            yield f"{name}: {messages[self.verdict(name)]} ({count} moments searched)"
            if name in broken:
                yield f"  {broken[name].reason}"
                yield from (f"  {number}. {step}" for number, step in enumerate(broken[name].path, start=1))
        if not self.explored:
            yield f"{self.machine} declares no never rule: only its rows were checked"
        for row in self.dead:
            yield f"row can never be taken: {row}"

    @property
    def json(self) -> dict[str, Any]:
        """The report as values for a program."""
        stories = {finding.name: finding for finding in self.findings}
        return {
            "machine": self.machine,
            "ok": self.ok,
            "moments": sum(self.explored.values()),
            "rules": [
                {
                    "rule": name,
                    "verdict": self.verdict(name),
                    "moments": count,
                    "seconds": round(self.seconds.get(name, 0.0), 3),
                    **({"because": stories[name].reason, "story": _story(stories[name])} if name in stories else {}),
                }
                for name, count in self.explored.items()
            ],
            "rows_never_taken": list(self.dead),
        }


def _story(finding: Finding) -> list[dict[str, str]]:
    return [{"by": line.by, "what": line.words, "state": line.state} for line in finding.lines]
