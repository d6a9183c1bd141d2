"""One page and one Prometheus file for a whole fleet, from where its pairs stand. Pure: text in, text out.

The page has no scripts and loads nothing: it can be opened from a file. Whatever a mirror says is escaped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from drfsm.claims import printable
from drfsm.evidence.exposition import Family, exposition
from drfsm.fleet.view import Standing

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em;color:#1b1f24;background:#fff}
h1{font-size:1.4em}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4em .7em;
border-bottom:1px solid #d8dee4;vertical-align:top}th{font-weight:600}
.mark{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.5em}
.green .mark{background:#1a7f37}.held .mark{background:#bf8700}
.red .mark{background:#cf222e}.none .mark{background:#8c959f}
small{color:#57606a}
"""


def page(standings: Sequence[Standing], title: str, at: str) -> str:
    """Return the page as HTML."""
    counts = {kind: sum(_kind(standing) == kind for standing in standings) for kind in ("green", "held", "red", "none")}
    words = (f"{counts['green']} of {len(standings)} green, {counts['held']} waiting for a person, {counts['red']} not"
             f" green, {counts['none']} without a run")  # fmt: skip
    return "\n".join((
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{words}. As of {escape(at)}, by the journals' mirrors.</p>",
        (
            "<table><thead><tr><th>Pair</th><th>Owner</th><th>Newest run</th><th>Status</th><th>Stands in</th>"
            "<th>What matters</th></tr></thead><tbody>"
        ),
        *map(_line, standings),
        "</tbody></table></body></html>", "",
    ))  # fmt: skip


def lines(standings: Iterable[Standing]) -> Iterator[str]:
    """Yield a line of text for each pair."""
    for standing in standings:
        what = standing.fault or _matters(standing)
        yield printable(
            f"{standing.pair.name:<24} {standing.status or '-':<10} {standing.state or '-':<26}"
            f" {standing.run_id or '-'}{f'  {what}' if what else ''}"
        ).rstrip()


def figures(standings: Sequence[Standing]) -> str:
    """Return the fleet's metrics in Prometheus' text format."""
    known = [standing for standing in standings if standing.run_id and not standing.fault]

    def family(name: str, about: str, holds: Callable[[Standing], bool], of: Sequence[Standing] = known) -> Family:
        samples = [(_labels(standing), float(holds(standing))) for standing in of]
        return Family(f"drfsm_fleet_pair_{name}", f"1: {about}; 0: not so.", samples)

    return exposition((
        family("green", "the pair's newest run ended complete", lambda standing: standing.is_green),
        family("waits", "the pair's newest run waits for a person", lambda standing: standing.status == "held"),
        family("nobody_publishes", "nobody can publish, by the newest run", lambda standing: standing.nobody_publishes),
        family("unreadable", "the pair's mirror can't be read", lambda standing: bool(standing.fault), standings),
    ))  # fmt: skip


def _labels(standing: Standing) -> dict[str, str]:
    return {
        "pair": standing.pair.name,
        "owner": standing.pair.words.get("owner", ""),
        "procedure": standing.run_id.partition("-")[0],
    }


def _kind(standing: Standing) -> str:
    if standing.fault:
        return "red"
    if not standing.run_id:
        return "none"
    if standing.is_green:
        return "green"
    return "held" if standing.status == "held" else "red"


def _matters(standing: Standing) -> str:
    """Return what a person must know of a pair: what is frozen, why it waits; that a green run was held before."""
    if standing.status == "held":
        return standing.reason
    if standing.frozen and not standing.is_green:
        return ", ".join(standing.frozen)
    if standing.is_green and standing.was_held:
        return "was held on the way, and finished"
    return "" if standing.is_green else standing.reason


def _line(standing: Standing) -> str:
    cells = (
        standing.pair.name,
        standing.pair.words.get("owner", ""),
        standing.run_id or "none",
        "unreadable" if standing.fault else standing.status or "never run",
        standing.state,
        standing.fault or _matters(standing),
    )
    first, *rest = (escape(printable(cell)) for cell in cells)
    return (f'<tr class="{_kind(standing)}"><td><span class="mark"></span>{first}</td>'
            + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>")  # fmt: skip
