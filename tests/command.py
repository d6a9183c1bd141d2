"""The command as a test types it, in this process or as a process of its own, and what it answers."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator

from drfsm.cli.main import run
from drfsm.evidence.schemas.verbs import DOCUMENTS
from tests.starter import Command

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {token: a-token-that-nobody-may-see}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


class Answer(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout carries, read as JSON."""
        return json.loads(self.out)


Drfsm = Callable[..., Answer]


def in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drfsm:
    """Return the command, without a home, credentials or configuration; it never ends in a traceback."""
    aws = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION")
    for name in (*aws, "KUBECONFIG_DR", "KUBECONFIG_PRIMARY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HOME": str(tmp_path), "DRFSM_HOME": str(tmp_path / "home"), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_DEFAULT_REGION": "us-east-1", "TMPDIR": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def typed(*argv: object) -> Answer:
        code = run([str(word) for word in argv])
        answer = Answer(code, *capsys.readouterr())
        assert "Traceback" not in answer.out + answer.err
        check_document([str(word) for word in argv], answer.out)
        return answer

    return typed


def as_a_process(
    argv: list[str], environment: Mapping[str, str], cwd: Path | None = None, timeout_seconds: float = 90
) -> Answer:
    """Run the command with this environment on top of the test's own. Raises subprocess.TimeoutExpired."""
    command = Command(argv, {**os.environ, **environment}, cwd)
    try:
        out, err = command.communicate(timeout_seconds)
    finally:
        command.kill()
    check_document(argv, out)
    return Answer(command.wait(), out, err)


def check_document(argv: Sequence[str], out: str) -> None:
    """Hold what a command printed as JSON against its schema: in every test, whatever that one is about."""
    words = next((" ".join(argv[:count]) for count in (2, 1) if " ".join(argv[:count]) in DOCUMENTS), "")
    asks = "--json" in argv or any(pair in (("-o", "json"), ("--output", "json")) for pair in pairwise(argv))
    if not (words and asks and out.strip()):
        return
    try:
        document = json.loads(out)
    except ValueError:  # cut off on purpose, or a page of help
        return
    faults = [next(iter(validator.iter_errors(document)), None) for validator in _validators(words)]
    assert None in faults, f"drfsm {words}: its JSON does not fit its schema: {[str(fault)[:2000] for fault in faults]}"


@cache
def _validators(words: str) -> tuple[Draft202012Validator, ...]:
    return tuple(Draft202012Validator(receipt.schema) for receipt in DOCUMENTS[words])
