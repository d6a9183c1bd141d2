"""The command in this process, in an environment without a home, credentials or configuration."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from drfsm.cli.main import run

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {token: a-token-that-nobody-may-see}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


class Told(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Drfsm = Callable[..., Told]


@pytest.fixture
def drfsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drfsm:
    """Return the command, in an environment without a home, credentials or configuration."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HOME": str(tmp_path), "DRFSM_HOME": str(tmp_path / "home"), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_DEFAULT_REGION": "us-east-1", "TMPDIR": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def typed(*argv: object) -> Told:
        code = run([str(each) for each in argv])
        told = Told(code, *capsys.readouterr())
        assert "Traceback" not in told.out + told.err
        return told

    return typed


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
