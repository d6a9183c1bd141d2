"""What a verb on a run says where drfsm.toml differs from what the run recorded: the run goes on with its records.

Called by run_verbs.py. Says it once, when the work on the named run begins; changes nothing.
"""

from contextlib import suppress
from pathlib import Path

from attrs import evolve

from drfsm.cli.say import say
from drfsm.errors import DrfsmError
from drfsm.runs.invocation import Invocation, Listener


def telling_differences(invocation: Invocation) -> Invocation:
    """Return the invocation, whose first run's work begins with what the file says otherwise."""
    told: list[Path] = []

    def listen(place: Path) -> Listener:
        if not told:
            told.append(place)
            with suppress(DrfsmError):  # records that can't be read are refused by whoever goes on from them
                _tell(place)
        return invocation.listen(place)

    return evolve(invocation, listen=listen)


def _tell(place: Path) -> None:
    from drfsm.adapters.file_journal import read_chain
    from drfsm.cli import config_defaults, config_file
    from drfsm.journal import fold

    if config_file.find() is None:
        return
    state = fold(read_chain(place).records)
    for line in config_defaults.differences(state.machine, state.inputs):
        say(line, err=True)
