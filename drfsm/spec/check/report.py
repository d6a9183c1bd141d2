"""The result of a check: in words, as values for a program, and each finding as a diagram."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drfsm.spec.check.liveness import STUCK, Obstacle
from drfsm.spec.check.story import Line

ENDS = "every run can end"
"""What liveness is called in the report, beside the names of the rules."""

_MESSAGES = {
    "holds": "holds",
    "broken": "DOES NOT HOLD",
    "vacuous": "SAYS NOTHING: none of its states can be reached",
    "unproven": "NOT PROVEN: the search was cut off",
}
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
        return _diagram(self.lines)


@frozen
class Ending:
    """Whether every run can end. ``full``: no search for it was cut off."""

    obstacles: tuple[Obstacle, ...]
    moments: int
    full: bool = True
    seconds: float = field(default=0.0, eq=False)

    @property
    def verdict(self) -> str:
        """What became of it: holds, broken or unproven."""
        return "broken" if self.obstacles else "holds" if self.full else "unproven"

    @property
    def words(self) -> str:
        """The verdict for a person: a guard that proves nothing is a finding, but holds no run."""
        if not self.obstacles or any(obstacle.kind == STUCK for obstacle in self.obstacles):
            return _MESSAGES[self.verdict]
        return "holds, but not all guards make sense" if self.full else _MESSAGES["unproven"]

    @property
    def mermaids(self) -> Iterator[str]:
        """Each way to where a run is stuck, as a Mermaid sequence diagram."""
        yield from (_diagram(obstacle.lines) for obstacle in self.obstacles if obstacle.lines)

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        yield f"{ENDS}: {self.words} ({self.moments} moments searched)"
        for obstacle in self.obstacles:
            yield f"  {obstacle.words}"
            yield from (f"    {number}. {line.words}" for number, line in enumerate(obstacle.lines, start=1))
            yield from (f"    - {missing}" for missing in obstacle.missing)
            yield f"    -> {obstacle.mend}"

    @property
    def json(self) -> dict[str, Any]:
        """It as values for a program."""
        return {
            "verdict": self.verdict,
            "moments": self.moments,
            "seconds": round(self.seconds, 3),
            "obstacles": [
                {
                    "kind": obstacle.kind,
                    "name": obstacle.name,
                    "missing": list(obstacle.missing),
                    "mend": obstacle.mend,
                    **({"story": _story(obstacle.lines)} if obstacle.lines else {}),
                }
                for obstacle in self.obstacles
            ],
        }


@frozen
class Report:
    """The result of a check. ``explored``: the number of searched moments, by rule; ``seconds``: how long it took.

    ``ending``: whether every run can end; None where only single rules were searched for.
    """

    machine: str
    findings: tuple[Finding, ...]
    explored: Mapping[str, int] = field(factory=dict)
    dead: tuple[str, ...] = ()
    vacuous: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(factory=dict, eq=False)
    ending: Ending | None = None

    @property
    def ok(self) -> bool:
        """Whether every rule is proven and says something, every row can be taken, and every run can end."""
        ends = self.ending is None or self.ending.verdict == "holds"
        return ends and not (self.findings or self.dead or self.vacuous or self.unproven)

    @property
    def cut_off(self) -> bool:
        """Whether nothing was found, but a search was cut off: neither proven nor refuted."""
        found = self.findings or self.dead or self.vacuous or (self.ending and self.ending.obstacles)
        return not found and not self.ok

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
        for name, count in self.explored.items():
            yield f"{name}: {_MESSAGES[self.verdict(name)]} ({count} moments searched)"
            if name in broken:
                yield f"  {broken[name].reason}"
                yield from (f"  {number}. {step}" for number, step in enumerate(broken[name].path, start=1))
        if not self.explored:
            yield f"{self.machine} declares no never rule: only its rows were checked"
        for row in self.dead:
            yield f"row can never be taken: {row}"
        if self.ending:
            yield from self.ending.lines()

    @property
    def mermaids(self) -> Iterator[str]:
        """Each way that was found, as a Mermaid sequence diagram."""
        yield from (finding.mermaid for finding in self.findings)
        yield from self.ending.mermaids if self.ending else ()

    @property
    def json(self) -> dict[str, Any]:
        """The report as values for a program."""
        stories = {finding.name: finding for finding in self.findings}
        return {
            "machine": self.machine,
            "ok": self.ok,
            "moments": sum(self.explored.values()) + (self.ending.moments if self.ending else 0),
            "rules": [
                {
                    "rule": name,
                    "verdict": self.verdict(name),
                    "moments": count,
                    "seconds": round(self.seconds.get(name, 0.0), 3),
                    **(
                        {"because": stories[name].reason, "story": _story(stories[name].lines)}
                        if name in stories
                        else {}
                    ),
                }
                for name, count in self.explored.items()
            ],
            "rows_never_taken": list(self.dead),
            **({"every_run_can_end": self.ending.json} if self.ending else {}),
        }


def _story(lines: Sequence[Line]) -> list[dict[str, str]]:
    return [{"by": line.by, "what": line.words, "state": line.state} for line in lines]


def _diagram(lines: Sequence[Line]) -> str:
    acting = dict.fromkeys(line.by for line in lines)
    drawn = ["sequenceDiagram", *(f"  participant {by} as {_ACTORS[by]}" for by in acting)]
    for line in lines:
        words = line.words.replace(";", ",").replace("#", "")
        stands = line.words.startswith(("at first", "there"))
        drawn.append(f"  {f'Note over {line.by}: ' if stands else f'{line.by}->>{line.by}: '}{words}")
    return "\n".join(drawn) + "\n"
