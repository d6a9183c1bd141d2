"""The colours and strokes of a drawn machine (svg.py): by itself, or within a page that may be dark.

Classes that a way has: happy, out, operator, failure, no-return. Of a run: taken, killed, held, resumed, stands, ended.
Of what was ever exercised (evidence/coverage.py): live, drill, older, never.
"""

_LIGHT = """
  .paper { fill: #ffffff }
  text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12px; fill: #1f2328 }
  .title { font-size: 16px; font-weight: bold }
  .label, .note, .loop { font-size: 10.5px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .note, .loop { stroke: none }
  .loop { fill: #57606a }
  .box { fill: #ffffff; stroke: #57606a; stroke-width: 1.2 }
  .box.happy { fill: #e6f6ea; stroke: #1a7f37; stroke-width: 2 }
  .box.out { fill: #fafafa; stroke: #8c959f; stroke-dasharray: 5 3 }
  .end { fill: none; stroke: inherit }
  .line { fill: none; stroke: #57606a; stroke-width: 1.2 }
  .line.happy { stroke: #1a7f37; stroke-width: 2.4 }
  .line.failure { stroke: #cf222e; stroke-dasharray: 5 3 }
  .line.operator { stroke: #9a6700 }
  .tip { fill: #57606a }
  .tip.happy { fill: #1a7f37 }
  .tip.failure { fill: #cf222e }
  .tip.operator { fill: #9a6700 }
  .label.failure { fill: #cf222e }
  .label.operator { fill: #9a6700 }
  .label.happy { fill: #1a7f37 }
  .label.no-return { font-weight: bold; fill: #8250df }
  .run .line, .run .box { opacity: 0.35 }
  .run .label, .run .name, .run .loop { fill-opacity: 0.45 }
  .run .tip { opacity: 0.35 }
  .run .taken.tip { opacity: 1; fill: #0969da }
  .run .taken.line { opacity: 1; stroke: #0969da; stroke-width: 3.2; stroke-dasharray: none }
  .run .taken.box { opacity: 1; stroke: #0969da; stroke-width: 3; stroke-dasharray: none }
  .run .taken.label, .run .taken.name { fill-opacity: 1 }
  .run .taken.label { fill: #0969da; font-weight: bold }
  .note.killed { fill: #cf222e; font-weight: bold }
  .note.held { fill: #9a6700; font-weight: bold }
  .note.resumed { fill: #0969da }
  .note.stands, .note.ended { font-weight: bold }
  .run .live.line, .run .live.box { opacity: 1; stroke: #1a7f37; stroke-width: 3; stroke-dasharray: none }
  .run .drill.line, .run .drill.box { opacity: 1; stroke: #0969da; stroke-width: 3; stroke-dasharray: none }
  .run .older.line, .run .older.box { opacity: 1; stroke: #9a6700; stroke-width: 2.4; stroke-dasharray: none }
  .run .never.line, .run .never.box { opacity: 1; stroke: #cf222e; stroke-width: 1.2; stroke-dasharray: 3 3 }
  .run .live.tip { opacity: 1; fill: #1a7f37 }
  .run .drill.tip { opacity: 1; fill: #0969da }
  .run .older.tip { opacity: 1; fill: #9a6700 }
  .run .never.tip { opacity: 1; fill: #cf222e }
  .run .live.label, .run .live.name { fill-opacity: 1; fill: #1a7f37 }
  .run .drill.label, .run .drill.name { fill-opacity: 1; fill: #0969da }
  .run .older.label, .run .older.name { fill-opacity: 1; fill: #9a6700 }
  .run .never.label, .run .never.name { fill-opacity: 1; fill: #cf222e }
"""
_DARK = """
  .paper, .box { fill: #1b2128 }
  text { fill: #e7ebef }
  .loop { fill: #9da8b3 }
  .label { stroke: #1b2128 }
  .box.happy { fill: #16301f; stroke: #5fcf8b }
  .box.out { fill: #1b2128; stroke: #7d8894 }
  .line { stroke: #9da8b3 }
  .tip { fill: #9da8b3 }
  .line.happy { stroke: #5fcf8b }
  .tip.happy, .label.happy { fill: #5fcf8b }
  .line.failure { stroke: #ff8a85 }
  .tip.failure, .label.failure, .note.killed { fill: #ff8a85 }
  .line.operator { stroke: #f0bd57 }
  .tip.operator, .label.operator, .note.held { fill: #f0bd57 }
  .label.no-return { fill: #cf93f2 }
  .run .taken.line, .run .taken.box { stroke: #6db3f8 }
  .run .taken.tip, .run .taken.label, .note.resumed { fill: #6db3f8 }
"""
"""For a page in the dark."""


def style(within: str = "") -> str:
    """Return the drawing's rules. ``within``: the class of a page's element, so that they reach nothing outside it."""
    if not within:
        return _LIGHT
    light, dark = ("\n".join(_within(line, within) for line in text.splitlines() if line) for text in (_LIGHT, _DARK))
    return f"\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _within(line: str, name: str) -> str:
    """Return one rule, each of its selectors below an element of a class."""
    selectors, rest = line.strip().split(" {", 1)
    return ", ".join(f".{name} {selector}" for selector in selectors.split(", ")) + " {" + rest
