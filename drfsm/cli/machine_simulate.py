"""`drfsm machine simulate`: plays a machine in the terminal. The player is the world; the Runner is the real one."""

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from drfsm.claims import printable
from drfsm.cli.machine_named import load_named, named_machine, pairs_of
from drfsm.cli.say import say, say_lines
from drfsm.errors import UsageFault

if TYPE_CHECKING:
    from drfsm.engine import Runner
    from drfsm.spec import MachineSpec, Row
    from drfsm.testing.simulation import Simulation

HELP = """\
  Enter, step          let the runner take its next step
  run                  let it go on until it waits for a person, is held, or has ended
  FACT=VALUE           the world answers this from now on; `unknown`: it can't be read
  world N              the world does what the declaration says that it may do by itself
  fail                 the next action fails
  kill before|half|after   the process is killed before, in the middle of, or right after the next action
  hold                 stop the run before its next step
  TRIGGER [NAME=VALUE ...]   a person asks for a row (abort, approve, ...)
  resolve done|not_done      a person says how an interrupted action ended
  facts, story, help, quit"""


class _Quit(Exception):
    """The player leaves."""


@click.command()
@named_machine
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input of the run; else its first value."
)
@click.option(
    "--fact", "facts", multiple=True, metavar="FACT=VALUE", help="A fact at first; else one that lets it run."
)
def simulate(named: str, inputs: tuple[str, ...], facts: tuple[str, ...]) -> None:
    """Play a machine: you are the world and the people; see what the runner would do. Offline; nothing is touched.

    Before each step it shows the runner's next row, the guards and what they see, and takes a command: Enter goes on,
    FACT=VALUE changes what the world answers, `help` lists the others. Commands may come from a pipe, one a line.
    """
    from drfsm.engine.inputs import check_inputs
    from drfsm.testing.world import inputs_of, quiet

    spec = load_named(named)
    run_inputs = inputs_of(spec, **pairs_of(inputs, "--input"))
    check_inputs(spec, run_inputs)
    readable = {name: value for name, value in quiet(spec).items() if not spec.facts[name].hidden}
    game = _Game(spec, run_inputs, readable, pairs_of(facts, "--fact"))
    game.play()


class _Game:
    """A terminal before a simulation."""

    def __init__(
        self, spec: "MachineSpec", inputs: Mapping[str, Any], values: dict[str, str], facts: Mapping[str, str]
    ) -> None:
        from drfsm.testing.simulation import Simulation

        self._sim: Simulation = Simulation(spec, inputs, values, self._between)
        for fact, value in facts.items():
            try:
                self._sim.answer(fact, value)
            except ValueError as fault:
                raise UsageFault(f"--fact {fact}={value}: {fault}") from None
        self._on_its_own = False
        self._verb: list[str] = []  # what a person asks for once the run is held
        self._printed = 0  # records

    def play(self) -> None:
        """Play until the run has ended, or the player leaves."""
        sim = self._sim
        say(f"{sim.machine.name}: {sim.machine.reason}")
        if sim.inputs:
            say(f"inputs: {_pairs(sim.inputs)}")
        say("help lists the commands; Enter lets the runner take a step")
        try:
            why = sim.process(lambda runner: runner.start(sim.inputs, run_id="simulated"))
            while True:
                self._tell()
                say_lines(why.splitlines())
                if sim.state.ended:
                    break
                why = self._ask_a_person()
        except _Quit:
            self._tell()
        state = sim.state
        say(f"{'ended' if state.ended else 'left'}: {state.status} in {state.state}")

    # --- the runner asks --------------------------------------------------------------------------------

    def _between(self) -> str:
        """Ask the player between two steps; return why to hold the run, "" to go on."""
        self._tell()
        if self._on_its_own:
            return ""
        say_lines(self._standing())
        while True:
            words = self._read()
            match words:
                case [] | ["step"]:
                    return ""
                case ["run"]:
                    self._on_its_own = True
                    return ""
                case ["hold"]:
                    return "the player asked for it"
                case _ if self._is_for_a_person(words):
                    self._verb = words
                    return f"the player asks for {words[0]}"
                case _:
                    self._do(words)

    def _ask_a_person(self) -> str:
        """Ask the player what a person does with a run that is held, or was killed; return what was refused."""
        self._on_its_own = False
        if not self._verb:
            say_lines(self._standing())
        while not self._verb:
            words = self._read()
            if words in ([], ["step"], ["run"], ["resume"]):
                self._on_its_own = words == ["run"]
                self._verb = ["resume"]
            elif self._is_for_a_person(words):
                self._verb = words
            else:
                self._do(words)
        words, self._verb = self._verb, []
        return self._sim.process(lambda runner: _verb(runner, words))

    def _is_for_a_person(self, words: list[str]) -> bool:
        return words[0] == "resolve" or words[0] in self._sim.machine.triggers

    def _do(self, words: list[str]) -> None:
        """Do a command that changes the world, or shows something."""
        sim = self._sim
        match words:
            case ["help"]:
                say_lines(HELP.splitlines())
            case ["quit" | "exit"]:
                raise _Quit
            case ["facts"]:
                say_lines(f"  {name}={value}" for name, value in sim.values.items())
            case ["story"]:
                self._printed = 0
                self._tell()
            case ["fail"] | ["kill", "before" | "half" | "after"]:
                sim.fate = " ".join(words)
                say(f"  the next action: {sim.fate}")
            case ["world", number] if number.isdecimal() and 0 < int(number) <= len(list(sim.moves_of_the_world())):
                rule = list(sim.moves_of_the_world())[int(number) - 1]
                sim.happen(rule)
                say(f"  the world: {_pairs(rule.sets)}")
            case [pair] if "=" in pair:
                self._answer(*pair.split("=", 1))
            case [fact, value] if fact in sim.machine.facts:
                self._answer(fact, value)
            case _:
                say(f"  {' '.join(words)} is no command here; help lists them")

    def _answer(self, fact: str, value: str) -> None:
        try:
            self._sim.answer(fact, value)
        except ValueError as fault:
            say(f"  {fault}")
        else:
            say(f"  {fact} is {value} now")

    # --- the terminal -----------------------------------------------------------------------------------

    def _read(self) -> list[str]:
        """Return the words of the player's next command. Raises _Quit at the end of the input."""
        if sys.stdin.isatty():
            try:
                words = click.prompt(
                    printable(self._sim.state.state), prompt_suffix="> ", default="", show_default=False
                )
            except click.Abort:  # Ctrl-D or Ctrl-C: nothing is lost, since nothing was touched
                say()
                raise _Quit from None
            return str(words).split()
        line = sys.stdin.readline()
        if not line:
            raise _Quit
        say(f"> {line.strip()}")
        return line.split()

    def _tell(self) -> None:
        """Print what happened since."""
        from drfsm.evidence.narrative import tell

        records = self._sim.journal.records()
        if records and not self._printed:
            say(f"  #0    the run begins in {records[0].body['state']}")
        new = tell(records[max(self._printed, 1) :], brief=True)
        say_lines(f"  {line[_TIME:]}" for line in new)
        self._printed = len(records)

    def _standing(self) -> Iterator[str]:
        """Yield where the run stands, what the runner does next, and what else may happen."""
        sim, state = self._sim, self._sim.state
        yield ""
        yield f"{state.state} ({state.status})"
        row = sim.next_row()
        yield from _next(sim, row) if row else ["  next: nothing, until a person decides"]
        if decisions := sim.decisions():
            yield f"  a person may ask for: {', '.join(_command(decision) for decision in decisions)}"
        for number, rule in enumerate(sim.moves_of_the_world(), start=1):
            yield f"  world {number}: {_pairs(rule.sets)}" + (f" ({rule.reason})" if rule.reason else "")


_TIME = len("2026-02-27 00:00:00Z ")  # at the head of each line of a story: in a simulation it stands still


def _verb(runner: "Runner", words: list[str]) -> object:
    """Let a Runner do what a person asks for."""
    name, *args = words
    if name == "resume":
        return runner.resume()
    if name == "resolve":
        return runner.resolve(args[0] if args else "", "the player looked at it")
    if name == "abort":
        return runner.abort("the player asked for it")
    arguments = dict(arg.split("=", 1) for arg in args if "=" in arg)
    return runner.request(name, {"reason": "the player asked for it", **arguments})


def _next(sim: "Simulation", row: "Row") -> Iterator[str]:
    """Yield the row that the runner takes next: its guards and what they see now, its action, its wait."""
    redo = " (again: it was begun)" if sim.state.open is not None else ""
    yield f"  next: {row.trigger} -> {row.to}{redo}: {row.reason}"
    for guard, fact, wanted in sim.machine.wanted_of(row, sim.machine.waived(row, sim.values)):
        value = sim.values[fact]
        verdict = "holds" if value in wanted else f"DOES NOT HOLD, needed {'|'.join(wanted)}"
        yield f"    guard {guard.name}: {fact} is {value}: {verdict}"
    if row.wait:
        limit = sim.inputs[row.wait.limit] if isinstance(row.wait.limit, str) else row.wait.limit
        yield f"    waits for its guards: every {row.wait.every_seconds:g} s, {limit} s at most"
    if row.foreach:
        yield f"    undoes {sim.state.undo[-1].row if sim.state.undo else 'nothing: nothing is left'}"
    if row.action:
        changes = f", which sets {_pairs(row.sets)}" if row.sets else ""
        yield f"    does {row.action}{changes} ({row.effect})"


def _command(row: "Row") -> str:
    return " ".join([row.trigger, *(f"{name}=..." for name in row.amends)])


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in table.items())
