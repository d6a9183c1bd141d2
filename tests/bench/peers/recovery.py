"""From the start of a process to its first new step, with 900 steps done, on DBOS: ``recovery.py prepare|dbos FOLDER``.

``prepare`` takes 900 steps of a workflow and dies in the next one. ``dbos`` is the process that goes on: DBOS finds the
workflow that is pending, calls it again with the results of the steps that are done, and the process ends with the
next.
"""

import logging
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

DONE = 900


def main(what: str, folder: Path) -> None:
    """Do one of the two."""
    dbos: Any = import_module("dbos")
    logging.disable(logging.WARNING)
    database = f"sqlite:///{folder / 'dbos.db'}"
    config = {"name": "steps", "system_database_url": database, "run_admin_server": False, "application_version": "1"}
    dbos.DBOS(config=config)
    taken: list[int] = []

    @dbos.DBOS.step()  # type: ignore[untyped-decorator]
    def act(number: int) -> int:
        taken.append(number)
        if what == "prepare" and number == DONE:
            os._exit(0)
        if what == "dbos":
            assert taken == [DONE], taken
            os.write(1, b'{"step": %d}\n' % number)
            os._exit(0)
        return number

    @dbos.DBOS.workflow()  # type: ignore[untyped-decorator]
    def work() -> int:
        return sum(act(number) for number in range(DONE + 2))

    dbos.DBOS.launch()
    if what == "prepare":
        work()
    threading.Event().wait(60)
    os._exit(1)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(mode=0o700, exist_ok=True)
    main(sys.argv[1], place)
