"""A pair of a fleet file as the command line that it stands for: its options become the inputs of the run.

What `drfsm drill` and `drfsm failback` check for a person they check here, too: the same options, the same refusals.
Called in a worker when it begins a run, and by `drfsm fleet plan` and `run`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from drfsm.claims import bounded
from drfsm.errors import UsageFault
from drfsm.fleet.pairs import Pair
from drfsm.fleet.runs import Beginning

STARTED = ("drill", "failback")
_NEVER = frozenset({
    "operator", "take_over", "plan", "receipt_dir", "output", "dry_run", "diagnostics_only", "as_execution_input",
    "confirm1", "confirm2", "notify", "notify_after",
})  # fmt: skip
"""Options that no fleet file holds: they are a person's, or the worker's own."""
GIVEN: Mapping[str, tuple[str, ...]] = {"drill": (), "failback": ("dr_run_id", "confirm1", "confirm2", "reason")}
"""What a person gives for each start, beside the file."""
_OF_A_PAIR = ("bucket", "prefix", "region", "endpoint_url", "expect_account", "workload", "comparison_profile",
              "kubeconfig_dr", "kubeconfig_primary", "recovery_time_objective", "recovery_point_objective")  # fmt: skip


def resolve(pair: Pair, procedure: str, run_id: str, given: Mapping[str, str]) -> Beginning:
    """Return what a new run of a pair begins with. Raises UsageFault, click's errors as such."""
    options = options_of(pair, procedure, given)
    if procedure == "drill":
        from drfsm.cli import drill_inputs

        drill_inputs.settle(options, None)
        inputs = drill_inputs.inputs_of(options, None, run_id)
        canonical = inputs["promote"] == "asked" and inputs["promote_target"] == "canonical"
        return Beginning(inputs, "live" if canonical else "drill")
    from drfsm.cli import failback_inputs

    tokens = {name: str(given.get(name, "")) for name in failback_inputs.TOKENS}
    inputs = failback_inputs.inputs_of({name: value for name, value in options.items() if name not in _NEVER})
    return Beginning(inputs | tokens, "live")


def options_of(pair: Pair, procedure: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a procedure's command as they would be typed for a pair. Raises UsageFault."""
    command = _command(procedure)
    if unknown := sorted(set(given) - set(GIVEN[procedure])):
        raise UsageFault(f"a {procedure} of a fleet is given no {bounded(', '.join(unknown), 200)}")
    words = list(_words(command, pair, procedure, given))
    try:
        with command.make_context(f"drfsm {procedure}", words) as context:
            options = dict(context.params)
    except click.ClickException as fault:
        raise UsageFault(
            f"pair {pair.name}: {fault.format_message()}", hint=f"drfsm {procedure} --help lists the options"
        ) from None
    return options


def _command(procedure: str) -> click.Command:
    if procedure not in STARTED:
        raise UsageFault(
            f"a fleet starts {' and '.join(STARTED)}, not {bounded(procedure, 40)}",
            hint="a promote relies on one validation's receipt: start it with drfsm promote",
        )
    if procedure == "drill":
        from drfsm.cli.drill import drill

        return drill
    from drfsm.cli.failback import failback

    return failback


def _words(command: click.Command, pair: Pair, procedure: str, given: Mapping[str, str]) -> Iterator[str]:
    own = pair.options.get(procedure, {})
    known = {str(parameter.name): parameter for parameter in command.params if isinstance(parameter, click.Option)}
    for name in own:
        if name not in known or name in _NEVER:
            raise UsageFault(f"pair {pair.name}: {procedure}.{bounded(name, 60)} is no option that a fleet file holds")
    standing = {name: pair.places.get(name) or pair.words.get(name) for name in _OF_A_PAIR if name in known}
    if procedure == "drill":  # it restores a backup over its site: only [pair.drill] names one
        standing = {name: value for name, value in standing.items() if not name.startswith("kubeconfig")}
    said = {**{name: value for name, value in standing.items() if value}, **own}
    said |= {name: value for name, value in given.items() if name not in ("confirm1", "confirm2")}
    for name, value in said.items():
        yield from _typed(known[name], value)


def _typed(option: click.Option, value: Any) -> Iterator[str]:
    """Yield an option with its value as it would be typed."""
    word = max(option.opts, key=len)
    if option.is_flag:
        if value is True:
            yield word
        return
    for part in value if isinstance(value, list) else [value]:
        yield word
        yield str(part).lower() if isinstance(part, bool) else str(part)
