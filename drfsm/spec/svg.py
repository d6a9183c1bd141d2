"""Draws a declared machine as SVG: the happy path as its spine, other ways and the ways out to its right.

One file, without scripts, fonts or programs of others. Lines run in channels between the boxes (layout.py), rows of one
trigger to one state share a line. A ``Course`` draws one run on its machine, a ``Paint`` colours it by something else.
Deterministic; every text is escaped.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from html import escape

from attrs import define, field, frozen

from drfsm.spec.course import Course, Paint
from drfsm.spec.layout import placed
from drfsm.spec.model import By, MachineSpec, Row
from drfsm.spec.svg_style import style
from drfsm.spec.ways import Way, Ways

_CHARACTER = 7.3  # wide, of the names in boxes
_SMALL = 6.2  # of labels and notes
_LINE = 14
_LEVEL = 16
_BOX = 28
_GAP = 30
_MARGIN = 24
_HEAD = 84
_NOTE_WIDTH = 46  # characters
_BEST = ("taken", "live", "drill", "older", "never")
"""Of rows that share a line: which class its tip and its label have."""


def svg(spec: MachineSpec, course: Course | None = None, paint: Paint | None = None, *, within: str = "") -> str:
    """Return a machine as an SVG document; with a course, the run on it; with a paint, in its colours.

    ``within``: the class of the page's element that the drawing is put into, so that its rules reach nothing else.
    """
    return _Drawing(spec, course, paint, within=within).text()


@frozen
class _Line:
    """Rows of one trigger to one state that leave states of one column: drawn as one line."""

    rows: tuple[Row, ...]
    straight: bool = False
    track: int = 0  # in the channel right of the sources' column
    level: int = 0  # in the gap above the state that they lead to, from below


@define(slots=False)
class _Drawing:
    spec: MachineSpec
    course: Course | None
    paint: Paint | None = None
    within: str = ""
    parts: list[str] = field(factory=list)

    @property
    def _on_it(self) -> Course | Paint | None:
        """What the machine is drawn for; None: for itself."""
        return self.course or self.paint

    def _row_class(self, row: Row) -> str:
        """Return the class that a row has beside its way, with a space before it."""
        if self.paint:
            return f" {self.paint.rows.get((row.key, row.line), '')}".rstrip()
        return " taken" if self.course and self.course.steps(row) else ""

    def _state_class(self, state: str) -> str:
        if self.paint:
            return f" {self.paint.states.get(state, '')}".rstrip()
        return " taken" if self.course and state in self.course.states else ""

    @cached_property
    def ways(self) -> Ways:
        return Ways.of(self.spec)

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        return placed(self.ways)

    @cached_property
    def lines(self) -> list[_Line]:
        """The lines, each with its track and its level."""
        groups: dict[tuple[str, str, By, int, bool], list[Row]] = {}
        for row in self.spec.rows:
            if row.source != row.to:
                happy = row in self.ways.path
                column = self.places[row.source][0]
                groups.setdefault((row.trigger, row.to, row.by, column, happy), []).append(row)
        tracks: Counter[int] = Counter()
        levels: Counter[str] = Counter()
        neighbours: set[tuple[str, str]] = set()
        lines = []
        for rows in sorted(groups.values(), key=lambda rows: rows[0] not in self.ways.path):
            (column, layer), (to_column, to_layer) = self.places[rows[0].source], self.places[rows[0].to]
            pair = (rows[0].source, rows[0].to)
            below = [there for name, (other, there) in self.places.items() if other == column and there > layer]
            if len(rows) == 1 and column == to_column and to_layer == min(below, default=-1) and pair not in neighbours:
                neighbours.add(pair)
                lines.append(_Line(tuple(rows), straight=True))
                continue
            lines.append(_Line(tuple(rows), track=tracks[column], level=levels[rows[0].to]))
            tracks[column] += 1
            levels[rows[0].to] += 1
        return lines

    # --- where everything is --------------------------------------------------------------------------

    @cached_property
    def extras(self) -> dict[str, list[tuple[str, str]]]:
        """The small lines in each box: (class, text) of rows that stay there, and of what happened there."""
        extras: dict[str, list[tuple[str, str]]] = {state: [] for state in self.spec.states}
        for state in self.spec.states:
            loops = list(dict.fromkeys(row.trigger for row in self.spec.rows if row.source == row.to == state))
            if loops:
                more = f" +{len(loops) - 1}" if len(loops) > 1 else ""
                extras[state].append(("loop", f"↻ {loops[0]}{more}"))
            for note in self.course.notes.get(state, ()) if self.course else ():
                words = f"{note.mark}: {note.words}" if note.words else str(note.mark)
                clipped = words if len(words) <= _NOTE_WIDTH else f"{words[: _NOTE_WIDTH - 1]}…"
                extras[state].append((f"note {note.mark.split()[0]}", clipped))
        return extras

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """The left edge and the width of each column."""
        count = 1 + max(column for column, _ in self.places.values())
        widths = [80.0] * count
        for state, (column, _) in self.places.items():
            texts = [len(state) * _CHARACTER, *(len(text) * _SMALL for _, text in self.extras[state])]
            widths[column] = max(widths[column], max(texts) + 24)
        tracks: Counter[int] = Counter()
        for line in self.lines:
            if not line.straight:
                tracks[self.places[line.rows[0].source][0]] += 1
        straight = [line.rows[0] for line in self.lines if line.straight]
        left = float(_MARGIN)
        edges = []
        for column, width in enumerate(widths):
            labels = [len(self._label((row,))) * _SMALL for row in straight if self.places[row.source][0] == column]
            left += max(0.0, max(labels, default=0.0) + 12 - width / 2)
            edges.append((left, width))
            left += width + 34 + 10 * tracks[column]
        return edges

    @cached_property
    def rows(self) -> list[tuple[float, float]]:
        """The top and the height of each layer's boxes."""
        count = 1 + max(layer for _, layer in self.places.values())
        heights, levels = [float(_BOX)] * count, [0] * count
        for state, (_, layer) in self.places.items():
            heights[layer] = max(heights[layer], _BOX + _LINE * len(self.extras[state]))
        for line in self.lines:
            if not line.straight:
                layer = self.places[line.rows[0].to][1]
                levels[layer] = max(levels[layer], line.level + 1)
        top = float(_HEAD)
        edges = []
        for height, level in zip(heights, levels, strict=True):
            top += _GAP + _LEVEL * level
            edges.append((top, height))
            top += height
        return edges

    def _middle(self, state: str) -> float:
        left, width = self.columns[self.places[state][0]]
        return left + width / 2

    def _height(self, state: str) -> float:
        return _BOX + _LINE * len(self.extras[state])

    # --- drawing --------------------------------------------------------------------------------------

    def text(self) -> str:
        lines = [part for line in self.lines for part in self._drawn(line)]
        boxes = [part for state in self.spec.states for part in self._box(state)]
        across = self._width()
        top, height = self.rows[-1]
        down = top + height + _MARGIN
        title = self._on_it.title if self._on_it else self.spec.name
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:.0f} {down:.0f}" width="{across:.0f}"'
            f' height="{down:.0f}" style="max-width: 100%; height: auto" role="img">'
        )
        return (
            "\n".join(
                [
                    head,
                    f"<title>{escape(title)}</title>",
                    f"<style>{style(self.within)}</style>",
                    f'<rect class="paper" width="{across:.0f}" height="{down:.0f}"/>',
                    f'<text class="title" x="{_MARGIN}" y="28">{escape(title)}</text>',
                    f'<text x="{_MARGIN}" y="46">{escape(self.spec.reason)}</text>',
                    *self._legend(),
                    f'<g class="{"run" if self._on_it else "machine"}">',
                    *lines,
                    *boxes,
                    "</g>",
                    "</svg>",
                ]
            )
            + "\n"
        )

    def _width(self) -> float:
        """Return how wide the drawing is: up to its last box, line, label or word of its head."""
        ends = [640.0, len(self.spec.reason) * _CHARACTER + _MARGIN, *(left + width for left, width in self.columns)]
        for line in self.lines:
            if not line.straight:
                ends.append(self._channel(line))
                ends.append(self._entry(line, self._middle(line.rows[0].to)) + 6 + len(self._label(line.rows)) * _SMALL)
        return max(ends) + _MARGIN

    def _channel(self, line: _Line) -> float:
        """Return where a line runs from layer to layer: right of the column of its sources."""
        left, width = self.columns[self.places[line.rows[0].source][0]]
        return left + width + 18 + 10 * line.track

    def _legend(self) -> Iterator[str]:
        kinds = [("happy", "happy path"), ("", "another way"), ("operator", "a person asks"), ("failure", "a failure")]
        if self.paint:  # its colours say something else
            kinds = []
        left = float(_MARGIN)
        for kind, words in kinds:
            yield f'<path class="line {kind}" d="M{left:.0f},66 h28"/>'
            yield f'<text class="label" x="{left + 34:.0f}" y="70">{words}</text>'
            left += 34 + len(words) * _SMALL + 18
        if self.course:
            yield f'<g class="run"><path class="line taken" d="M{left:.0f},66 h28"/></g>'
            yield f'<text class="label" x="{left + 34:.0f}" y="70">taken by this run</text>'
        for kind, words in self.paint.legend.items() if self.paint else ():
            yield f'<g class="run"><path class="line {kind}" d="M{left:.0f},66 h28"/></g>'
            yield f'<text class="label" x="{left + 34:.0f}" y="70">{escape(words)}</text>'
            left += 34 + len(words) * _SMALL + 18

    def _box(self, state: str) -> Iterator[str]:
        left, width = self.columns[self.places[state][0]]
        top, height = self.rows[self.places[state][1]][0], self._height(state)
        taken = self._state_class(state)
        way = self.ways.states[state]
        yield f"<g><title>{escape(self._told_of(state))}</title>"
        yield (
            f'<rect class="box {way}{taken}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
            f' height="{height:.1f}" rx="6"/>'
        )
        if state in self.spec.finals:
            yield (
                f'<rect class="box {way}{taken}" x="{left + 3:.1f}" y="{top + 3:.1f}" width="{width - 6:.1f}"'
                f' height="{height - 6:.1f}" rx="4"/>'
            )
        yield (
            f'<text class="name{taken}" x="{left + width / 2:.1f}" y="{top + 18:.1f}" text-anchor="middle">'
            f"{escape(state)}</text>"
        )
        for number, (kind, words) in enumerate(self.extras[state], start=1):
            yield (
                f'<text class="{kind}" x="{left + width / 2:.1f}" y="{top + 17 + _LINE * number:.1f}"'
                f' text-anchor="middle">{escape(words)}</text>'
            )
        yield "</g>"

    def _told_of(self, state: str) -> str:
        """Return what is shown where the pointer rests on a state: how it ends, and the rows that leave it."""
        ends = [f"ends as {self.spec.finals[state]}"] if state in self.spec.finals else []
        rows = [f"{row.trigger} -> {row.to}: {row.reason}" for row in self.spec.rows if row.source == state]
        notes = self.course.notes.get(state, ()) if self.course else ()
        return "\n".join([state, *ends, *rows, *(f"{note.mark}: {note.words}" for note in notes)])

    def _label(self, rows: tuple[Row, ...]) -> str:
        first = rows[0]
        times = f" ×{len(rows)}" if len(rows) > 1 else ""  # noqa: RUF001  the sign for times
        no_return = " ◆ point of no return" if any(row.point_of_no_return for row in rows) else ""
        steps = [str(step) for row in rows for step in (self.course.steps(row) if self.course else ())]
        return first.trigger + times + no_return + (f" (step {', '.join(steps)})" if steps else "")

    def _drawn(self, line: _Line) -> Iterator[str]:
        first = line.rows[0]
        way = self.ways.of_row(first)
        by = {By.RUNNER: way if way is Way.HAPPY else "", By.OPERATOR: "operator", By.FAILURE: "failure"}[first.by]
        kind = f"{way if way is Way.HAPPY else ''} {by}".strip()
        classes = {(row.key, row.line): self._row_class(row) for row in line.rows}
        best = next((kind for kind in _BEST if f" {kind}" in classes.values()), "")
        best = f" {best}" if best else ""
        middle, (top, _) = self._middle(first.to), self.rows[self.places[first.to][1]]
        if line.straight:
            bottom = self.rows[self.places[first.source][1]][0] + self._height(first.source)
            paths = [(first, f"M{middle:.1f},{bottom:.1f} V{top:.1f}")]
            at = (middle - 7, (bottom + top) / 2 + 4, "end")
        else:
            paths, at = self._led(line, middle, top)
        yield f"<g><title>{escape(self._told_of_rows(line.rows))}</title>"
        for row, path in sorted(paths, key=lambda pair: bool(classes[pair[0].key, pair[0].line])):
            yield f'<path class="line {kind}{classes[row.key, row.line]}" d="{path}"/>'
        entry = middle if line.straight else self._entry(line, middle)
        tip = f"M{entry - 4:.1f},{top - 8:.1f} L{entry:.1f},{top:.1f} L{entry + 4:.1f},{top - 8:.1f} z"
        yield f'<path class="tip {kind}{best}" d="{tip}"/>'
        no_return = " no-return" if any(row.point_of_no_return for row in line.rows) else ""
        words = self._label(line.rows)
        x, y, anchor = at
        yield (
            f'<text class="label {kind}{no_return}{best}" x="{x:.1f}" y="{y:.1f}"'
            f' text-anchor="{anchor}">{escape(words)}</text></g>'
        )

    @staticmethod
    def _entry(line: _Line, middle: float) -> float:
        """Return where a line that is not straight enters the box that it leads to."""
        return middle + 12 * (line.level + 1)

    def _led(self, line: _Line, middle: float, top: float) -> tuple[list[tuple[Row, str]], tuple[float, float, str]]:
        """Return the path of each row of a line through the channels, and where its label stands."""
        left, width = self.columns[self.places[line.rows[0].source][0]]
        channel = self._channel(line)
        level = top - 12 - _LEVEL * line.level
        entry = self._entry(line, middle)
        paths = []
        for row in line.rows:
            out = self.rows[self.places[row.source][1]][0] + min(self._height(row.source), _BOX) / 2 + line.track % 5
            start = f"M{left + width:.1f},{out:.1f} H{channel:.1f}"
            paths.append((row, f"{start} V{level:.1f} H{entry:.1f} V{top:.1f}"))
        if channel > entry:
            return paths, (entry + 6, level - 5, "start")
        return paths, (entry - 6, level - 5, "end")

    def _told_of_rows(self, rows: tuple[Row, ...]) -> str:
        """Return what is shown where the pointer rests on a line."""
        lines = []
        for row in rows:
            selected = ", ".join(f"{name}={'|'.join(values)}" for name, values in row.when.items())
            lines.append(f"{row.key}{f' [{selected}]' if selected else ''}: {row.reason}")
        return "\n".join(lines)
