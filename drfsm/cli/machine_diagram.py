"""`drfsm machine diagram`: draws a machine, or a run on its machine, as Mermaid or SVG. Offline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drfsm.cli.machine_named import load_named
from drfsm.cli.say import say, say_text
from drfsm.errors import UsageFault
from drfsm.spec import MachineSpec, mermaid

if TYPE_CHECKING:
    from drfsm.spec.course import Course


@click.command()
@click.argument("named", metavar="[MACHINE]", required=False)
@click.option("--bundle", metavar="DIR|S3_URI", help="Draw the run of this bundle on its machine.")
@click.option("--format", "kind", type=click.Choice(["mermaid", "svg"]), help="By the file's name if not given.")
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file instead of the terminal.")
def diagram(named: str | None, bundle: str | None, kind: str | None, out: str | None) -> None:
    """Draw a machine: the happy path, other ways to its end, and the ways out, told apart.

    With --bundle: the way that a run took, and where it was killed, resumed, held and ended.
    """
    if (named is None) == (bundle is None):
        raise UsageFault("name a machine, or a run's bundle", hint="drfsm machine diagram failback, or --bundle DIR")
    spec, course = (load_named(named), None) if named is not None else _run(str(bundle))
    kind = kind or ("svg" if out and out.endswith(".svg") else "mermaid")
    if kind == "svg":
        from drfsm.spec.svg import svg

        text = svg(spec, course)
    else:
        text = mermaid(spec, course)
    if out is None:
        say_text(text)
        return
    Path(out).write_text(text, encoding="utf-8")
    say(f"written: {out}")


def _run(bundle: str) -> tuple[MachineSpec, "Course"]:
    from drfsm.cli.replay import logged, readable
    from drfsm.evidence.course import course_of

    lines, spec, _ = logged(bundle)
    return spec, course_of(list(readable(lines())), spec)
