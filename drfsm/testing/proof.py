"""The proof of a machine as a test: the search of `drfsm machine check`, and its story where a rule does not hold."""

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import check


def assert_holds(machine: MachineSpec | bytes | str) -> None:
    """Assert that every rule of a machine is proven, that every row can be taken, and that every run can end.

    ``machine`` is a machine that was loaded, or the text of its declaration. Raises AssertionError with every fault of
    the declaration, or with the shortest way to each rule that is broken and to each state in which a run is stuck.
    """
    __tracebackhide__ = True
    try:
        spec = machine if isinstance(machine, MachineSpec) else load_machine(machine)
    except DeclarationFault as fault:
        raise AssertionError(fault.diagnostics()) from None
    report = check(spec)
    if not report.ok:
        story = "\n".join(report.lines())
        raise AssertionError(f"the machine {spec.name} is not safe as declared:\n{story}")
