"""How values of drfsm.toml and of DRFSM_* variables become what options take: by click's own order, for all commands.

click asks the command line, then the option's variable (``envvar``), then the context's ``default_map``, then the
default. So the table of config_keys.py gives every option its variable, and the group of all commands hands a
``default_map`` down that reads the file when the first option asks it. A command without such options, a page of help
and the verbs on a run that was begun never read it. Called by main.py.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import click

from drfsm.claims import printable
from drfsm.cli import config_file
from drfsm.cli.config_keys import ADDRESSES, CARRIED, FILE, KEYS, TRUST, YIELDS, Key, key_of
from drfsm.cli.config_scope import ON_A_RUN, TRUSTING, as_its_start
from drfsm.cli.say import say
from drfsm.errors import DrfsmError

SOURCE = "drfsm.configuration"
"""Where the context of a command has its ``Source``."""


def with_variable(words: str, parameter: click.Parameter) -> None:
    """Let a parameter take its value from the variables of its key, too, unless it names a variable itself.

    Variables of other tools come after drfsm's own; where the option's default reads them already, they are its matter.
    """
    key = key_of(words, parameter.name or "")
    if key is not None and key.variable and parameter.envvar is None and isinstance(parameter, click.Option):
        others = key.ambient if key.takes_ambient and not callable(parameter.default) else ()
        parameter.envvar = [key.variable, *others] if others else key.variable


class FromFile(Mapping[str, Any]):
    """The ``default_map`` of one command: parameter -> value, read from the file when the first one is asked for."""

    def __init__(self, words: str, command: click.Command, config: "Source") -> None:
        self._words, self._config = words, config
        self._keys: dict[str, Key] = {}
        self._parameters = {parameter.name or "": parameter for parameter in command.params}
        for name in self._parameters:
            if (key := key_of(words, name)) is not None:
                self._keys[name] = key

    def __getitem__(self, name: str) -> Any:
        """Return what the file says for a parameter. Raises KeyError for nothing.

        For a file that can't be used it is a function that raises why: click calls it for a value, and not for a page
        of help, which must always come.
        """
        key = self._keys[name]
        if self._yields(name) or self._outranked(name, key):
            raise KeyError(name)
        try:
            return self._config.option_value(key)
        except DrfsmError as fault:
            return partial(_refuse, fault)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the parameters that the file fills."""
        return (name for name in self._keys if name in self)

    def __len__(self) -> int:
        """Return how many these are."""
        return sum(1 for _ in self)

    def _yields(self, name: str) -> bool:
        """Whether something was typed that says it more closely: the backup's address, a receipt, an earlier drill."""
        context = click.get_current_context(silent=True)
        typed = context.params if context is not None else {}
        if any(
            typed.get(option) and name in filled for option, filled in YIELDS.get(as_its_start(self._words), {}).items()
        ):
            return True
        if (
            as_its_start(self._words) == "drill"
            and name in ("bucket", "prefix")
            and (directory := typed.get("receipt_dir"))
        ):
            from drfsm.runs.bundle import LOG

            return os.path.lexists(os.path.join(directory, LOG))  # noqa: PTH118  as it was typed
        return False

    def _outranked(self, name: str, key: Key) -> bool:
        """Whether the environment says it: by a variable of other tools, or by a default that reads the environment."""
        if any(os.environ.get(variable) for variable in key.ambient):
            return True
        default = self._parameters[name].default
        return bool(default()) if callable(default) else False


def _refuse(fault: DrfsmError) -> None:
    raise fault


class OfGroup(Mapping[str, Any]):
    """The ``default_map`` of a group: command -> that command's."""

    def __init__(self, maps: Mapping[str, Any]) -> None:
        self._maps = maps

    def __getitem__(self, name: str) -> Any:
        """Return a command's map. Raises KeyError."""
        return self._maps[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the commands."""
        return iter(self._maps)

    def __len__(self) -> int:
        """Return how many these are."""
        return len(self._maps)


class Source:
    """The file, read once when it is asked for, and said once when a value is taken from it.

    ``trusting``: the command asks whom to trust, so that it also says where the file's word on that counts for nothing.
    """

    def __init__(self, *, trusting: bool = False) -> None:
        self._trusting = trusting
        self._config: config_file.Config | None = None
        self._was_read = self._was_said = False

    def config(self) -> config_file.Config | None:
        """Return the file without faults, None where there is none. Raises UsageFault, DeclarationFault."""
        if not self._was_read:
            found = config_file.read()
            self._config = found.checked() if found is not None else None
            self._was_read = True
        return self._config

    def option_value(self, key: Key) -> Any:
        """Return what an option takes for a key. Raises KeyError where the file doesn't have it."""
        config = self.config()
        if config is None or key.path not in config.values:
            raise KeyError(key.path)
        value = value_of(config, key)
        if not self._was_said:
            self._was_said = True
            say(f"configuration: {config.path}", err=True)
            if self._trusting and not config.named and (unused := [path for path in TRUST if path in config.values]):
                say(not_trusted(config, unused), err=True)
        return value


def not_trusted(config: config_file.Config, paths: list[str]) -> str:
    """Return, in words, that a file which was come upon names nobody to trust."""
    return (
        f"  {' and '.join(paths)} not used: a file that was come upon names nobody to trust; to trust it:"
        f" export {config_file.VARIABLE}={printable(config.path)}"
    )


def value_of(config: config_file.Config, key: Key) -> Any:
    """Return what an option takes for a key that the file has. Raises DeclarationFault for a file that misleads."""
    if key.kind is not FILE:
        return key.to_option(config.values[key.path])
    if fault := config_file.file_fault(config, key.path):
        raise config_file.refusal(config, (fault,))
    return str(config.place_of(key.path))


def apply(context: click.Context, name: str, command: click.Command) -> None:
    """Let a command take from the file what nobody says more closely. ``context``: the one of all commands."""
    source = Source(trusting=name in TRUSTING)
    context.meta[SOURCE] = source
    context.call_on_close(trust(name, source))
    if name not in ON_A_RUN:
        # click only reads it: ``get``, ``in`` and ``[]``
        context.default_map = cast("dict[str, Any]", OfGroup({name: _map_of(name, command, source)}))


def _map_of(words: str, command: click.Command, source: Source) -> Mapping[str, Any]:
    if isinstance(command, click.Group):
        return OfGroup({name: _map_of(f"{words} {name}", part, source) for name, part in command.commands.items()})
    return FromFile(words, command, source)


# --- whom to trust --------------------------------------------------------------------------------------


def trust(name: str, source: Source) -> Callable[[], None]:
    """Put what a *named* file says about trust where its readers look: the environment of this process.

    A variable that is set outranks it. A verb on a run is not stopped by a file with faults: it says so, and trusts
    nobody beside those of the environment; a start's first option meets the faults. Returns what takes it back.
    """
    named = os.environ.get(config_file.VARIABLE, "")
    if not named or named == config_file.NO_FILE or name not in TRUSTING:
        return lambda: None
    try:
        paths = (*TRUST, *CARRIED, *([ADDRESSES] if name in ON_A_RUN else []))
        return _in_environment(source.config(), paths)
    except DrfsmError as fault:
        if name in ON_A_RUN:
            say(f"{fault.what}: whom it trusts is not trusted here. drfsm config check names every fault", err=True)
        return lambda: None


def _in_environment(config: config_file.Config | None, paths: tuple[str, ...]) -> Callable[[], None]:
    given: list[str] = []
    for key in (KEYS[path] for path in paths):
        if config is not None and key.path in config.values and not os.environ.get(key.variable):
            value = value_of(config, key)
            os.environ[key.variable] = value if isinstance(value, str) else " ".join(value)
            given.append(key.variable)

    def take_back() -> None:
        for variable in given:
            os.environ.pop(variable, None)

    return take_back


# --- a run that was begun -------------------------------------------------------------------------------


def differences(machine: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, where the file says something else than a run recorded, with which the run goes on."""
    try:
        config = config_file.read()
    except DrfsmError:
        return
    if config is None:
        return
    for path, value in config.values.items():
        key = KEYS[path]
        recorded = inputs.get(key.option)
        if machine == "drill" and path.startswith("sites."):  # its site is typed for each drill
            continue
        if key_of(machine, key.option) is not key or path in (
            "workload",
            "comparison_profile",
            "region",
            "endpoint_url",
        ):
            continue
        ours = str(config.place_of(path)) if key.kind is FILE else str(key.to_option(value)).strip("/")
        if isinstance(recorded, str) and recorded and recorded != ours:
            line = f"{config.path}:{config.line_of(path)}"
            yield f"this run goes on with {path} {recorded}, as it recorded; {line} says {ours}"
