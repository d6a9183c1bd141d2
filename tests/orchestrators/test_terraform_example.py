"""The example's Terraform: its documents applied offline, held to its README and to what is exported."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from tests.orchestrators.test_export import QUESTIONS, WORK, exported

EXAMPLE = Path(__file__).parents[2] / "docs/examples/step-functions"
BINARY = shutil.which(os.environ.get("TERRAFORM") or "terraform")
PROVIDERS = os.environ.get("DRFSM_TERRAFORM_PROVIDERS", "")
"""Directory with the AWS provider, as `terraform providers mirror` fills it."""
ARN = "arn:aws:sqs:eu-west-1:123456789012:drfsm-promote"
NAMES = {
    "machine": "promote", "partition": "aws", "region": "eu-west-1", "account": "123456789012",
    "work_queue_arn": f"{ARN}-work", "work_queue_url": WORK, "questions_queue_arn": f"{ARN}-questions",
    "questions_queue_url": QUESTIONS, "topic_arn": "arn:aws:sns:eu-west-1:123456789012:drfsm-promote-people",
    "bucket": "the-bucket", "prefix": "jobintel",
}  # fmt: skip

pytestmark = pytest.mark.skipif(BINARY is None, reason="terraform is not installed here")


def terraform(place: Path, *argv: str) -> str:
    """Run terraform in a directory; return what it printed."""
    environ = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    environ.pop("TF_CLI_CONFIG_FILE", None)
    done = subprocess.run(
        [str(BINARY), *argv], cwd=place, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the module of documents puts out for a promote."""
    place = tmp_path_factory.mktemp("terraform") / "documents"
    shutil.copytree(EXAMPLE / "documents", place)
    definition = place / "promote.asl.json"
    assert drfsm(["machine", "export", "promote", "--format", "asl", "--out", str(definition)]) == ExitCode.DONE
    terraform(place, "init", "-backend=false", "-input=false")
    terraform(place, "validate")
    given = {**NAMES, "definition_file": str(definition)}
    terraform(place, "apply", "-auto-approve", "-input=false", *(f"-var={name}={text}" for name, text in given.items()))
    return {name: output["value"] for name, output in json.loads(terraform(place, "output", "-json")).items()}


def test_the_definition_is_the_exported_machine_with_the_queues_filled_in(documents: dict[str, Any]) -> None:
    """The same as an export for these queues, to the letter of its JSON."""
    assert json.loads(documents["definition"]) == exported("promote")


def test_the_readme_lists_exactly_what_each_may_do(documents: dict[str, Any]) -> None:
    """Every action of a policy stands in that person's rows of the table, and no other; none is a wildcard."""
    listed: dict[str, set[str]] = {}
    who = ""
    for line in (EXAMPLE / "README.md").read_text(encoding="utf-8").splitlines():
        if re.match(r"\| (?!who|-)", line):
            who = line.split("|")[1].strip() or who
            listed.setdefault(who, set()).update(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", line))
    listed["state_machine"] = listed.pop("the state machine's role")
    for name, policy in documents["policies"].items():
        statements = json.loads(policy)["Statement"]
        actions = {action for one in statements for action in _all(one["Action"]) if not action.startswith("logs:")}
        assert actions == listed[name], name
        assert not [action for action in actions if "*" in action]
    assert set(documents["policies"]) == set(listed)


def test_a_resource_is_left_open_only_where_the_service_knows_none(documents: dict[str, Any]) -> None:
    """Answers and log deliveries; everything else is of this machine, bucket and prefix."""
    for policy in documents["policies"].values():
        for one in json.loads(policy)["Statement"]:
            if one["Resource"] == "*":
                assert all(action.startswith(("states:SendTask", "logs:")) for action in _all(one["Action"]))
            else:
                assert all("drfsm-promote" in arn or "the-bucket" in arn for arn in _all(one["Resource"]))


def test_only_the_state_machine_may_send_and_only_for_this_state_machine(documents: dict[str, Any]) -> None:
    """A queue's policy denies everybody else; the role trusts the service for one state machine of one account."""
    for name in ("work", "questions"):
        allow, deny = json.loads(documents[f"{name}_queue_policy"])["Statement"]
        role = f"arn:aws:iam::123456789012:role/{documents['state_machine_role_name']}"
        assert (allow["Effect"], allow["Principal"]) == ("Allow", {"AWS": role})
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"ArnNotEquals": {"aws:PrincipalArn": role}})
    (trust,) = json.loads(documents["state_machine_trust_policy"])["Statement"]
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_the_example_is_formatted() -> None:
    """`terraform fmt` reads every file, and would change none."""
    assert terraform(EXAMPLE, "fmt", "-check", "-recursive", "-diff") == ""


@pytest.mark.skipif(not PROVIDERS, reason="DRFSM_TERRAFORM_PROVIDERS names no directory with the AWS provider")
def test_the_whole_example_is_valid(tmp_path: Path) -> None:
    """`terraform validate`, with the provider from a directory: nothing is downloaded, no cloud is asked."""
    shutil.copytree(EXAMPLE, tmp_path / "example")
    terraform(tmp_path / "example", "init", "-backend=false", "-input=false", f"-plugin-dir={PROVIDERS}")
    terraform(tmp_path / "example", "validate")


def _all(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
