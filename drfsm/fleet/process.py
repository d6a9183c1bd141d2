"""One process, named so that another one can find out whether it has ended: in a lease, as who holds it.

    process:<kernel's boot id>:<pid namespace>:<pid>:<time of birth, in ticks since boot>[:<cloud instance>]

A pid alone is worth nothing: it is given again, and each container counts its own. Within one boot of one kernel, and
within one pid namespace, pid and time of birth name exactly one process for ever. Everything here is read from /proc.
"""

import os
from pathlib import Path

from attrs import frozen

from drfsm.claims import is_name

KIND = "process"
_PARTS = 5  # before the instance, which may be missing
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@frozen
class Process:
    """A process of some machine. ``instance``: the cloud's id of that machine, "" where nobody said it."""

    boot: str
    namespace: str
    pid: int
    born: str
    instance: str = ""

    def __str__(self) -> str:
        parts = (KIND, self.boot, self.namespace, str(self.pid), self.born)
        return ":".join((*parts, self.instance) if self.instance else parts)

    @property
    def queue(self) -> str:
        """A name for what only this process serves: without colons."""
        return f"{self.boot[:8]}-{self.pid}-{self.born}"


def this(instance: str = "") -> Process:
    """Return this process. Raises OSError where the system has no /proc: then nobody can be told."""
    pid = os.getpid()
    return Process(_BOOT.read_text("ascii").strip(), _namespace(), pid, born(pid), instance)


def read(text: object) -> Process | None:
    """Return the process that a lease's text names, None for any other text."""
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) not in (_PARTS, _PARTS + 1) or parts[0] != KIND or not parts[3].isdecimal():
        return None
    instance = parts[_PARTS] if len(parts) > _PARTS else ""
    if instance and not is_name("instance", instance):
        return None
    return Process(parts[1], parts[2], int(parts[3]), parts[4], instance)


def born(pid: int) -> str:
    """Return a process's time of birth in ticks since boot, "" where there is none; a zombie has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()  # the program's name, in brackets, may hold anything
    return "" if state in ("Z", "X") else rest[18]


def has_ended_here(process: Process) -> bool:
    """Whether this machine shows that a process has ended: it must be one that this process could see."""
    here = this()
    if (process.boot, process.namespace) != (here.boot, here.namespace):
        return False
    return born(process.pid) != process.born


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
