"""The peers, by name and version, in environments of their own under build/: what is missing is installed once.

Python packages come from the index that pip knows, s5cmd from Go modules. A peer that can't be installed here is left
out, and the report says so.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.bench.contest import BUILD, say

HOME = BUILD / "peers"
PYTHON = {"dbos": "3.4.0", "burr": "0.42.0", "transitions": "0.9.3"}
AWS = {"awscli": "1.45.11"}
S5CMD = "v2.3.0"
_MODULE = f"module peers\n\ngo 1.22\n\nrequire github.com/peak/s5cmd/v2 {S5CMD}\n"
_TOOLS = '//go:build tools\n\npackage peers\n\nimport _ "github.com/peak/s5cmd/v2"\n'


def _environment(name: str, wanted: Mapping[str, str]) -> Path | None:
    home = HOME / name
    pins = sorted(f"{package}=={version}" for package, version in wanted.items())
    mark = home / "pins.txt"
    if mark.exists() and mark.read_text().split() == pins:
        return home
    say(f"installing into {home.relative_to(BUILD.parent)}: {', '.join(pins)}")
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
    if subprocess.run(pip, check=False).returncode:
        return None
    mark.write_text("\n".join(pins) + "\n")
    return home


@cache
def python() -> Path | None:
    """Return the interpreter that has DBOS, Burr and transitions; None where they can't be installed."""
    home = _environment("python", PYTHON)
    return home and home / "bin" / "python"


@cache
def aws() -> Path | None:
    """Return the AWS command line."""
    home = _environment("aws", AWS)
    return home and home / "bin" / "aws"


@cache
def s5cmd() -> Path | None:
    """Return s5cmd, built from its Go module; None where there is no Go, or no module."""
    program = HOME / "bin" / f"s5cmd-{S5CMD}"
    go = shutil.which("go")
    if program.exists() or go is None:
        return program if program.exists() else None
    say(f"building s5cmd {S5CMD} from its Go module (some minutes, once)")
    place = HOME / "go"
    place.mkdir(parents=True, exist_ok=True)
    (place / "go.mod").write_text(_MODULE)
    (place / "tools.go").write_text(_TOOLS)
    for command in ([go, "mod", "tidy"], [go, "build", "-o", str(program), "github.com/peak/s5cmd/v2"]):
        if subprocess.run(command, cwd=place, check=False, capture_output=True).returncode:
            return None
    return program


def versions() -> list[str]:
    """Return who takes part, by name and version."""
    named = [*PYTHON.items(), *(AWS.items() if aws() else ()), *((("s5cmd", S5CMD),) if s5cmd() else ())]
    return [f"{name} {version.removeprefix('v')}" for name, version in named]
