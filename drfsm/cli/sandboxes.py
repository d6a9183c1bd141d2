"""`drfsm sandbox`: two sites on this computer."""

import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click
from attrs import asdict
from click.core import ParameterSource

from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json
from drfsm.errors import UsageFault

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Directory of the sandbox.  [default: $DRFSM_SANDBOX_DIR]",
)


_EXTRA = (
    "moto",
    "flask",
    "flask_cors",
    "cryptography",
    "dns",
)  # its server is a process of its own, which would only die


@click.group()
def sandbox() -> None:
    """Run two sites on this computer: an object store and two Kubernetes clusters, to try everything."""


def _place(directory: Path | None) -> Path:
    """Return the sandbox's directory. Raises UsageFault where what the sandbox needs is not installed."""
    if absent := [module for module in _EXTRA if find_spec(module) is None]:
        raise UsageFault(
            f"the sandbox needs {', '.join(absent)}, which is not installed", hint='pip install "drfsm[sandbox]"'
        )
    try:
        from drfsm.sandbox import default_directory
    except ImportError as missing:
        raise UsageFault(
            f"the sandbox needs {missing.name}, which is not installed", hint='pip install "drfsm[sandbox]"'
        ) from None
    return directory or default_directory()


@sandbox.command()
@_directory
@click.option(
    "--canonical",
    type=click.Choice(["dr", "primary"]),
    default="dr",
    show_default=True,
    help="dr: DR was promoted, the primary is frozen. primary: nothing has happened yet, DR stands by.",
)
@click.option("--diverge-on-primary", default="", help="Make the primary's results differ from DR's.")
@click.option("--pods-sleep-seconds", default=0.0, show_default=True, help="How long each batch Job takes.")
@click.option("--with-reports", is_flag=True, help="Runs publish their run_report.json too; the real ones don't.")
@click.option(
    "--workload",
    "contract",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Contract of the workload that the sites run, instead of the real one's.",
)
@click.option(
    "--endpoints",
    type=click.Choice(["weighted", "failover", "health_check"]),
    help="Both sites serve HTTPS too, and a name leads to one of them by such records.",
)
@click.option(
    "--kubernetes",
    type=click.Choice(["emulated", "real"]),
    default="emulated",
    show_default=True,
    help="emulated: starts at once. real: Kubernetes control planes, built with Go the first time.",
)
def up(
    directory: Path | None,
    canonical: Literal["dr", "primary"],
    diverge_on_primary: str,
    pods_sleep_seconds: float,
    with_reports: bool,
    contract: Path | None,
    endpoints: str | None,
    kubernetes: Literal["emulated", "real"],
) -> None:
    """Start the sandbox in the background, with example data."""
    place = _place(directory)
    from drfsm.sandbox import Options
    from drfsm.sandbox import up as start

    if kubernetes == "real":
        from drfsm.sandbox.controlplane.build import programs

        programs(lambda words: say(words, err=True))
    state = start(place, Options(
        diverge_on_primary=diverge_on_primary, pods_sleep_seconds=pods_sleep_seconds,
        publish_reports=with_reports, kubernetes=kubernetes, canonical=canonical,
        endpoints=endpoints or "", **_of_workload(contract),
    ), asked=_typed(), tell=lambda words: say(words, err=True))  # fmt: skip
    status = "runs already" if state.already_running else "is up"
    sites = f"two sites on {state.kubernetes} clusters"
    site = "DR" if state.canonical == "dr" else "the primary"
    say(f"the sandbox {status}: {sites}, {site} canonical with the run {state.canonical_run_id}")
    env = "drfsm sandbox env" + (f" --dir {shlex.quote(str(directory))}" if directory else "")
    say(f'  next: eval "$({env})"      its log: {state.log}')


def _typed() -> list[str]:
    """Return the options of a sandbox that were typed."""
    context = click.get_current_context()
    names = {"with_reports": "publish_reports", "contract": "workload"}
    return [
        names.get(name, name)
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]


def _of_workload(contract: Path | None) -> dict[str, Any]:
    """Return the options of a sandbox that follow from a contract. Raises DeclarationFault."""
    if contract is None:
        return {}
    from drfsm.dr import workload

    read = workload.read(contract.read_bytes(), str(contract))
    return {
        "workload": workload.canonical(read),
        "prefix": read.defaults.prefix,
        "providers": (read.defaults.provider,),
        "profiles": (read.defaults.profile,),
    }


@sandbox.command()
@click.argument("target", type=click.Path(path_type=Path))
def manifests(target: Path) -> None:
    """Write the sites' base, and two overlays over it, to the new directory TARGET: for kubectl apply -k."""
    _place(None)
    from drfsm.sandbox.base import HOME

    if target.exists():
        raise UsageFault(f"{target} is there already", hint="name a new directory")
    shutil.copytree(HOME, target)
    say(f"wrote {target}")
    say(f"  next: kubectl apply -k {target / 'base'}      or an overlay: {target / 'overlays/onprem'}")


@sandbox.command()
@_directory
def down(directory: Path | None) -> None:
    """Stop the sandbox and everything that it started."""
    place = _place(directory)
    from drfsm.sandbox import down as stop

    say("the sandbox is down" if stop(place) else "no sandbox was running")


@sandbox.command()
@click.argument("site", type=click.Choice(["primary", "dr"]))
@click.option("--end", is_flag=True, help="End the outage.")
@_directory
def outage(directory: Path | None, site: Literal["primary", "dr"], *, end: bool) -> None:
    """Make the cluster of SITE unreachable, as in a network outage; its pods keep running."""
    place = _place(directory)
    from drfsm.sandbox.lifecycle import outage as let

    let(place, site, on=not end)
    say(f"the cluster of {site} {'answers again' if end else 'does not answer any more; its pods keep running'}")


@sandbox.command()
@_directory
@output_format
def status(directory: Path | None, output: str) -> int:
    """Show whether the sandbox runs."""
    place = _place(directory)
    from drfsm.sandbox import status as look

    sandbox_status = look(place)
    if output == "json":
        say_json(asdict(sandbox_status))
    else:
        say(sandbox_status.note)
    return 0 if sandbox_status.running else 3


@sandbox.command()
@_directory
def env(directory: Path | None) -> None:
    """Print the environment to export:  eval "$(drfsm sandbox env)"."""
    place = _place(directory)
    from drfsm.sandbox import environment

    for name, value in environment(place).items():
        say(f"export {name}={shlex.quote(value)}")


@sandbox.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Directory for everything that the demo makes; the files of an earlier demo there are removed.",
)
@click.option("--endpoints", is_flag=True, help="A workload that serves: names, write gates, an execution.")
def demo(directory: Path, *, endpoints: bool) -> None:
    """Watch a rehearsal, a disaster, a promote, and a failback that is killed in the middle and resumed.

    With --endpoints users are led to the sites by name: the promote is approved through an execution, and both are
    killed while they move the name and while they open the new site's write gate.
    """
    _place(directory)
    from drfsm.sandbox import demo as batch
    from drfsm.sandbox import demo_endpoints

    (demo_endpoints if endpoints else batch).tell(directory, say)
