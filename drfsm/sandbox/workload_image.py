"""The image that the sandbox's sites run: the workload's program as ``python scripts/run_daily.py`` in ``/app``.

Its files are written when a sandbox is set up. ``python`` is the interpreter that runs drfsm, which can import the
program; a contract that isn't the real workload's lies beside the scripts. lifecycle.py and tests with clusters of
their own call this module.
"""

import sys
from pathlib import Path

from drfsm.dr import workload
from drfsm.sandbox.kubernetes.images import PROGRAMS, Image

APP = "app"
_PYTHON = '#!/bin/sh\nexec "{python}" "$@"\n'
_SCRIPT = """import sys

from drfsm.sandbox.workload import run

run([*{arguments!r}, *sys.argv[1:]])
"""


def build(home: Path, contract: workload.Workload | None = None) -> Image:
    """Write the image's files below ``home``; return the image. Raises OSError."""
    arguments: list[str] = []
    scripts = home / APP / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    if contract is not None and contract != workload.shipped():
        file = home / APP / "contract.json"
        file.write_text(workload.canonical(contract), encoding="utf-8")
        arguments = ["--contract", str(file)]
    (scripts / "run_daily.py").write_text(_SCRIPT.format(arguments=arguments), encoding="utf-8")
    preflight = _SCRIPT.format(arguments=[*arguments, "--preflight"])
    (scripts / "s3_preflight.py").write_text(preflight, encoding="utf-8")
    programs = home / PROGRAMS
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (programs / name).write_text(_PYTHON.format(python=sys.executable), encoding="utf-8")
        (programs / name).chmod(0o755)
    return Image([sys.executable, "-m", "drfsm.sandbox.workload", *arguments], home)
