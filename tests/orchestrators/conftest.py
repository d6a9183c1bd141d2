"""One sandbox a worker, DR validated beside, whose account runs executions of Step Functions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.sandbox.executions import executions_of
from tests.orchestrators.orchestra import Orchestra, command_of
from tests.promote.conftest import _ready, ready, site
from tests.promote.world import Ready

__all__ = ["_ready", "command", "orchestra", "ready", "receipt", "site"]


@pytest.fixture
def orchestra(ready: Ready) -> Iterator[Orchestra]:
    """Return the sandbox's Step Functions, with no state machine, and a queue for questions."""
    with executions_of(ready.site.sandbox.cloud):
        made = Orchestra(ready.site.sandbox.cloud)
        yield made
        made.close()


@pytest.fixture
def command(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return what types a command in this process; what it prints and the files that it leaves are kept."""
    return command_of(ready, tmp_path, monkeypatch, capfd)


@pytest.fixture
def receipt(ready: Ready, tmp_path: Path) -> str:
    """Return the file of the validation's receipt."""
    import json

    path = tmp_path / "validation.receipt.json"
    path.write_text(json.dumps(ready.receipt), encoding="utf-8")
    return str(path)
