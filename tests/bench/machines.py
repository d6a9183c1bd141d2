"""Machines of any length for the benches: a procedure like the shipped ones, with as many rows as asked for.

Every ten steps form a part with a fact and a guard of its own. Each step can be aborted, failures lead back in counted
rounds, and the first row foresees the guards of later ones: whatever the loader looks at, a long machine has much of.
"""

_HEAD = """\
machine: procedure
because: "{steps} steps, one after the other"
initial: planned
finals: {{complete: complete, aborted: aborted, refused: refused}}
defaults: {{effect: idempotent, attempts: {{max: 3, backoff_seconds: 0}}}}
groups:
  started: [{started}]
inputs:
  mode: {{values: [full, quick], because: "what the operator asked for"}}
"""

_STEP = """\
  - from: {source}
    trigger: do_step_{number}
    to: {to}
    guards: [part_{part}_ready]
    action: step_{number}
    sets: {{part_{part}_done: value_{value}}}
    undo: undo_step_{number}
    because: "Step {number} of part {part} is done"
"""

_ENDS = """\
  - {from: started, trigger: abort, to: aborting, by: operator, because: "The operator gave the run up"}
  - {from: aborting, trigger: give_back, to: aborting, foreach: undo, because: "The newest change is undone"}
  - {from: aborting, trigger: finish_abort, to: aborted, because: "Every change is undone"}
  - {from: planned, trigger: refuse, to: refused, by: failure, because: "Nothing has changed yet"}
  - {from: planned, trigger: look, to: looked, foresees: true, because: "Everything was looked at first"}
"""


def procedure(rows: int) -> str:
    """Return the declaration of a machine with ``rows`` rows (30 or more) as YAML text."""
    rounds = rows // 20
    steps = rows - rounds - 6
    parts = (steps + 9) // 10
    states = [f"step_{number}_done" for number in range(1, steps + 1)]
    sources = ["looked", *states]
    text = _HEAD.format(steps=steps, started=", ".join(sources))
    text += "facts:\n"
    for part in range(parts):
        text += f"  part_{part}_ready: {{values: [yes, no], because: part {part} may begin}}\n"
        text += f"  part_{part}_done: {{values: [value_0, value_1], because: how far part {part} is}}\n"
    text += "guards:\n"
    for part in range(parts):
        text += (
            f"  part_{part}_ready: {{requires: {{part_{part}_ready: yes}}, foreseen: refuse, "
            f'because: "Part {part} needs what it builds on"}}\n'
        )
    text += "transitions:\n"
    for number in range(steps):
        text += _STEP.format(
            source=sources[number], to=sources[number + 1], number=number, part=number // 10, value=number % 2
        )
    text += f'  - {{from: {sources[-1]}, trigger: finish, to: complete, because: "All steps are done"}}\n'
    for number in range(rounds):
        source, to = sources[number * 15 + 9], sources[number * 15 + 2]
        text += (
            f"  - {{from: {source}, trigger: try_part_again_{number}, to: {to}, by: failure, rounds: 2, "
            'because: "A part is tried a second time"}\n'
        )
    return text + _ENDS
