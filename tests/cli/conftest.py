"""The command in this process, in an environment without a home, credentials or configuration."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.command import KUBECONFIG, Drfsm, in_this_process


@pytest.fixture
def drfsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drfsm:
    """Return the command, in an environment without a home, credentials or configuration."""
    return in_this_process(tmp_path, monkeypatch, capsys)


RUN = "2026-11-28T08:02:45Z"


def given(tmp_path: Path, **other: object) -> Sequence[object]:
    """Return a failback's command with files that look right."""
    for name in ("dr", "primary"):
        (tmp_path / name).write_text(KUBECONFIG, encoding="utf-8")
    options = {
        "bucket": "b", "dr_run_id": RUN, "kubeconfig_dr": tmp_path / "dr", "kubeconfig_primary": tmp_path / "primary",
        "confirm1": "FAILBACK", "confirm2": f"CONFIRM-{RUN}", "endpoint_url": "http://127.0.0.1:9",
        "receipt_dir": tmp_path / "bundle", **other,
    }  # fmt: skip
    return ["failback", *(word for name, each in options.items() for word in (f"--{name.replace('_', '-')}", each))]
