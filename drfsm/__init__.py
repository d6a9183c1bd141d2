"""Disaster-recovery procedures as declared, journalled, resumable state machines.

A whole machine, from its declaration to its end; ``room`` is the world that it acts on:

    >>> from drfsm import Binding, Fact, MemoryJournal, Runner, load_machine
    >>> lamp = load_machine('''
    ... machine: lamp
    ... because: "It is dark"
    ... initial: dark
    ... finals: {lit: complete}
    ... facts:
    ...   light: {values: [on, off]}
    ... guards:
    ...   light_is_off: {requires: {light: off}, because: "Pressing twice would switch it off again"}
    ... transitions:
    ...   - from: dark
    ...     trigger: light_up
    ...     to: lit
    ...     guards: [light_is_off]
    ...     action: press
    ...     sets: {light: on}
    ...     effect: idempotent
    ...     because: "Somebody wants to read"
    ... ''')
    >>> room = {"light": "off"}
    >>> binding = Binding(
    ...     facts={"light": Fact(observe=lambda room, run: dict(room), judge=lambda seen, given: seen["light"])},
    ...     actions={"press": lambda room, run: room.update(light="on")})
    >>> journal = MemoryJournal()
    >>> Runner(lamp, binding, room, journal).start({}).state
    'lit'

What happened is in the journal, and nothing else is needed to know where the run stands:

    >>> from drfsm import replay
    >>> replay(journal.records()).status
    'complete'
    >>> [record.kind for record in journal.records()]
    ['run_started', 'lease_acquired', 'intent', 'commit', 'ended', 'seal']

Every name below is imported when it is first asked for: ``import drfsm`` alone loads nothing heavy.
"""

TYPE_CHECKING = False  # mypy takes it for True; `typing` itself would cost more than all else here
if TYPE_CHECKING:
    from typing import Any

    from drfsm.engine import Act, Binding, Clock, Fact, Journal, Lease, MemoryJournal, NoLease, Run, Runner, SystemClock
    from drfsm.errors import (
        ActionFailed,
        BindingFault,
        Conflict,
        DeadlineExceeded,
        DeclarationFault,
        DrfsmError,
        EvidenceFault,
        ExitCode,
        GuardRefused,
        IllegalTransition,
        Interrupted,
        JournalDamaged,
        LeaseHeld,
        LeaseLost,
        Unreachable,
        UsageFault,
    )
    from drfsm.journal import Record, RunState
    from drfsm.journal.replay import replay
    from drfsm.spec import MachineSpec, dump_schema, load_machine, mermaid, table
    from drfsm.spec.check import Report, check

__version__ = "0.7.0"

_HOMES = {
    "drfsm.engine": ("Act", "Binding", "Clock", "Fact", "Journal", "Lease", "MemoryJournal", "NoLease", "Run",
                     "Runner", "SystemClock"),
    "drfsm.errors": ("ActionFailed", "BindingFault", "Conflict", "DeadlineExceeded", "DeclarationFault", "DrfsmError",
                     "EvidenceFault", "ExitCode", "GuardRefused", "IllegalTransition", "Interrupted",
                     "JournalDamaged", "LeaseHeld", "LeaseLost", "Unreachable", "UsageFault"),
    "drfsm.journal.replay": ("Record", "RunState", "replay"),
    "drfsm.spec": ("MachineSpec", "dump_schema", "load_machine", "mermaid", "table"),
    "drfsm.spec.check": ("Report", "check"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Act",
    "ActionFailed",
    "Binding",
    "BindingFault",
    "Clock",
    "Conflict",
    "DeadlineExceeded",
    "DeclarationFault",
    "DrfsmError",
    "EvidenceFault",
    "ExitCode",
    "Fact",
    "GuardRefused",
    "IllegalTransition",
    "Interrupted",
    "Journal",
    "JournalDamaged",
    "Lease",
    "LeaseHeld",
    "LeaseLost",
    "MachineSpec",
    "MemoryJournal",
    "NoLease",
    "Record",
    "Report",
    "Run",
    "RunState",
    "Runner",
    "SystemClock",
    "Unreachable",
    "UsageFault",
    "__version__",
    "check",
    "dump_schema",
    "load_machine",
    "mermaid",
    "replay",
    "table",
]


def __getattr__(name: str) -> "Any":
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'drfsm' has no attribute {name!r}")
