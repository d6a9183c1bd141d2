"""A planned switchover of a replicated database: binds switchover.yaml to two servers and their proxies.

``Databases`` stands for the world, in memory. In its place a real one has the same methods over psycopg, ``pg_ctl`` and
the proxies' API; nothing else changes. Run this file to see a switchover: ``python switchover.py BUNDLE``.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define

from drfsm import Binding, Fact, Run, Runner, Unreachable, load_machine
from drfsm.adapters.file_journal import FileJournal

DECLARATION = Path(__file__).with_name("switchover.yaml")
MACHINE = load_machine(DECLARATION.read_bytes(), source=DECLARATION.name)
PROXIES = ("proxy-1", "proxy-2")


@define
class Server:
    """One database server."""

    role: str
    read_only: bool = False
    position: int = 100  # of its write-ahead log: what it wrote, or replayed
    answers: bool = True

    def asked(self) -> "Server":
        """Return the server as it answers. Raises Unreachable if it does not."""
        if not self.answers:
            raise Unreachable("Cannot reach the server (connection refused)", hint="start it, then resume")
        return self

    def set_read_only(self, read_only: bool) -> None:
        """Stop writes, or accept them again."""
        self.asked().read_only = read_only

    def promote(self) -> None:
        """Make a standby a primary."""
        self.asked().role = "primary"

    def rewind_to(self, position: int) -> None:
        """Take the history of another server, and follow it."""
        self.asked().position = position
        self.role = "standby"


@define
class Databases:
    """The world: two servers, and where each proxy leads."""

    old: Server = Factory(lambda: Server("primary"))
    new: Server = Factory(lambda: Server("standby"))
    routes: dict[str, str] = Factory(lambda: dict.fromkeys(PROXIES, "old"))
    replication: str = "streaming"

    def route(self, proxy: str, server: str) -> None:
        """Lead a proxy's clients to a server."""
        self.routes[proxy] = server


# --- facts: what was seen (exact, for the journal), and what it means ----------------------------------


def see_lag(databases: Databases, run: Run) -> dict[str, int]:
    """See how far each server's log is; once promoted, the new one is behind nobody."""
    return {"written": databases.old.asked().position, "replayed": databases.new.asked().position}


def judge_lag(seen: Mapping[str, int], inputs: Mapping[str, Any]) -> str:
    """Whoever has replayed less than was written is behind."""
    return "behind" if seen["replayed"] < seen["written"] else "none"


def judge_clients(seen: Mapping[str, str], inputs: Mapping[str, Any]) -> str | None:
    """All proxies lead to one server, or some to each; no proxy at all says nothing."""
    servers = set(seen.values())
    return next(iter(servers)) if len(servers) == 1 else "mixed" if servers else None


def as_seen(seen: str, inputs: Mapping[str, Any]) -> str:
    """Return what was seen: it is the value."""
    return seen


FACTS = {
    "replication": Fact(lambda databases, run: databases.replication, as_seen),
    "old_writes": Fact(
        lambda databases, run: databases.old.asked().read_only, lambda seen, inputs: "off" if seen else "on"
    ),
    "lag": Fact(see_lag, judge_lag),
    "new_role": Fact(lambda databases, run: databases.new.asked().role, as_seen),
    "clients": Fact(lambda databases, run: dict(databases.routes), judge_clients),
    "old_role": Fact(lambda databases, run: databases.old.asked().role, as_seen),
}


# --- actions: each may have been killed halfway last time ----------------------------------------------


def stop_writes(databases: Databases, run: Run) -> None:
    """Stop writes on the old server."""
    databases.old.set_read_only(True)


def restore_writes(databases: Databases, run: Run) -> None:
    """Give back whether the old server accepts writes, as it was seen before."""
    databases.old.set_read_only(run.undoing["old_writes"])


def promote_new(databases: Databases, run: Run) -> None:
    """Promote the new server; one that is promoted stays so."""
    databases.new.promote()


def move_clients(databases: Databases, run: Run) -> dict[str, Sequence[str]]:
    """Lead each proxy that does not lead there yet to the new server; return which."""
    moved = [proxy for proxy in PROXIES if databases.routes[proxy] != "new"]
    for proxy in moved:
        run.check()  # between two requests: a person may have asked to stop
        databases.route(proxy, "new")
    return {"moved": moved}


def rejoin_old(databases: Databases, run: Run) -> None:
    """Let the old server take the new one's history and follow it."""
    databases.old.rewind_to(databases.new.position)


BINDING = Binding(
    FACTS,
    {
        "stop_writes": stop_writes,
        "restore_writes": restore_writes,
        "promote_new": promote_new,
        "move_clients": move_clients,
        "rejoin_old": rejoin_old,
    },
)


def main(bundle: str) -> None:
    """Switch over in memory, with a journal on disk: `drfsm replay BUNDLE` tells it afterwards."""
    place = Path(bundle)
    place.mkdir(parents=True)
    shutil.copy(DECLARATION, place)
    journal = FileJournal.create(place)
    runner = Runner(MACHINE, BINDING, Databases(), journal)
    runner.start({"replay_timeout": 30})
    runner.request("approve", {"reason": "the maintenance window is open"})
    sys.stdout.write(f"{runner.state.status} in {runner.state.state}\n")


if __name__ == "__main__":
    main(sys.argv[1])
