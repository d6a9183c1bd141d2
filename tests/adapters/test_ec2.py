"""One instance from a launch template: whose it is, that it is one, who gets in, and what is kept of it."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from drfsm.adapters import aws, aws_cloud
from drfsm.adapters.address import from_environment, one
from drfsm.adapters.ec2 import RUN_TAG, Ec2Runner
from drfsm.adapters.private import PrivateFiles, described
from drfsm.adapters.site_kubeconfig import Addresses
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.sandbox.cloud import ACCESS_KEY_ID, MACHINE_IMAGE, REGION, SECRET_ACCESS_KEY, Cloud
from drfsm.sandbox.runners import KUBECONFIG_PARAMETER, RUNNER_NAMES, TEMPLATE, honour_client_tokens, launch_template
from drfsm.world import Charter, Kubeconfig, Watch

WATCH = Watch()


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One moto server, with DR's launch template, whose instances nobody boots."""
    with Cloud() as started:
        honour_client_tokens()
        launch_template(started)
        yield started


class Bench:
    """A charter of one's own, and the runner that brings it up."""

    def __init__(self, cloud: Cloud, home: Path) -> None:
        self.cloud, self.home, self.ec2, self.ssm = cloud, home, cloud.client("ec2"), cloud.client("ssm")
        self.charter = Charter(f"drill-{time.time_ns()}", "drill")
        self.address = "203.0.113.7/32"
        self.private = PrivateFiles(home / "private")

    def runner(self, template: str = TEMPLATE) -> Ec2Runner:
        """Return the runner, as a new process would see it."""
        fleet = aws.fleet(endpoint_url=self.cloud.endpoint, region=REGION)
        return Ec2Runner(fleet, self.private, lambda: self.address, **{**RUNNER_NAMES, "template": template})

    def up(self) -> str:
        """Bring an instance up; return its id."""
        runner = self.runner()
        return runner.bring_up(self.charter, runner.plan(self.charter, WATCH), WATCH).machines[0].instance_id

    def give(self, instance_id: str, text: str) -> None:
        """Write an instance's parameter, as the instance does."""
        name = KUBECONFIG_PARAMETER.format(instance=instance_id)
        self.ssm.put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)

    def let_in(self) -> list[str]:
        """Return the addresses that this charter let in."""
        groups = self.ec2.describe_security_groups()["SecurityGroups"]
        rules = [each for group in groups for rule in group["IpPermissions"] for each in rule["IpRanges"]]
        return [each["CidrIp"] for each in rules if each.get("Description") == f"drfsm {self.charter.run}"]


@pytest.fixture
def bench(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a charter of the test's own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    return Bench(cloud, tmp_path)


def kubeconfig(user: object, **cluster: str) -> str:
    """Return a kubeconfig with this user."""
    return yaml.safe_dump(
        {
            "current-context": "dr",
            "contexts": [{"name": "dr", "context": {"cluster": "dr", "user": "me"}}],
            "clusters": [{"name": "dr", "cluster": {"server": "https://198.51.100.4:6443", **cluster}}],
            "users": [{"name": "me", "user": user}],
        }
    )


def test_however_many_ask_at_once_one_instance_is_started(bench: Bench) -> None:
    """Processes that know nothing of each other, with the same charter and plan, start one instance between them."""
    changes = bench.runner().plan(bench.charter, WATCH)
    with ThreadPoolExecutor(6) as pool:
        stood = pool.map(lambda _: bench.runner().bring_up(bench.charter, changes, WATCH), range(6))
        ids = {machine.instance_id for each in stood for machine in each.machines}
    assert len(ids) == 1
    assert [each.instance_id for each in bench.runner().standing(bench.charter).machines] == [*ids]


def test_where_the_first_was_terminated_the_next_is_another(bench: Bench) -> None:
    """A token is spent with its instance; the same charter goes on with its next one."""
    first = bench.up()
    bench.ec2.terminate_instances(InstanceIds=[first])
    assert bench.runner().standing(bench.charter).machines == ()
    assert bench.up() != first


class Unanswered:
    """Machines whose first request to start one ends in this fault, and takes no effect yet."""

    def __init__(self, inner: Any, fault: Exception) -> None:
        self._inner, self._fault, self.asked = inner, fault, list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Any:
        """Return the inner one's."""
        return getattr(self._inner, name)

    def launch(self, *given: Any) -> Any:
        """Answer from the second time on."""
        self.asked.append(given)
        if len(self.asked) == 1:
            raise self._fault
        return self._inner.launch(*given)


def unanswered(bench: Bench, fault: Exception) -> tuple[Ec2Runner, Unanswered]:
    """Return a runner whose first request ends in this fault."""
    machines, parameters = aws.fleet(endpoint_url=bench.cloud.endpoint, region=REGION)
    found = Unanswered(machines, fault)
    return Ec2Runner(
        aws.Fleet(cast("aws_cloud.Ec2Machines", found), parameters), bench.private, lambda: "", **RUNNER_NAMES
    ), found


def test_what_was_asked_for_and_never_answered_is_asked_for_once_more(bench: Bench) -> None:
    """The same token, template and version bring out the one instance; spent, it brings out none and starts none."""
    runner, machines = unanswered(bench, Unreachable("no answer"))
    changes = runner.plan(bench.charter, WATCH)
    with pytest.raises(Unreachable):
        runner.bring_up(bench.charter, changes, WATCH)
    (found,) = runner.asked_again(bench.charter, changes, WATCH).machines
    assert machines.asked[0] == machines.asked[1]
    assert runner.asked_again(bench.charter, changes, WATCH).machines == ()  # it is seen now
    bench.ec2.terminate_instances(InstanceIds=[found.instance_id])
    assert runner.asked_again(bench.charter, changes, WATCH).machines == ()
    assert runner.standing(bench.charter).machines == ()


def test_nothing_is_asked_again_that_was_never_asked_for(bench: Bench) -> None:
    """With the plan at hand and no request made here, none is made; without both, another machine may have made one."""
    changes = bench.runner().plan(bench.charter, WATCH)
    assert bench.runner().asked_again(bench.charter, changes, WATCH).machines == ()
    assert bench.runner().standing(bench.charter).machines == ()
    for each in bench.private.directory.iterdir():
        each.unlink()
    (found,) = bench.runner().asked_again(bench.charter, changes, WATCH).machines
    bench.ec2.terminate_instances(InstanceIds=[found.instance_id])


def test_a_request_that_is_refused_now_brings_out_nothing(bench: Bench) -> None:
    """No capacity, or no permission any more: it is as if nothing had been asked for."""
    runner, _ = unanswered(bench, ActionFailed("InsufficientInstanceCapacity"))
    changes = runner.plan(bench.charter, WATCH)
    bench.private.write("ec2.asked.json", json.dumps({"run": bench.charter.run, "token": 0}).encode())
    said: list[str] = []
    assert runner.asked_again(bench.charter, changes, Watch(said.append)).machines == ()
    assert "the start request was refused" in said[-1]


def test_copied_tags_make_no_instance_ours(bench: Bench) -> None:
    """Somebody's instance with all our tags is neither seen as the charter's nor taken down by it."""
    tags = [{"Key": RUN_TAG, "Value": bench.charter.run}]
    answer = bench.ec2.run_instances(
        ImageId=MACHINE_IMAGE, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )
    stranger = answer["Instances"][0]["InstanceId"]
    assert bench.runner().standing(bench.charter).machines == ()
    with pytest.raises(ActionFailed, match="was not started by"):
        bench.runner().tear_down(bench.charter, [stranger], WATCH)
    (found,) = bench.ec2.describe_instances(InstanceIds=[stranger])["Reservations"][0]["Instances"]
    assert found["State"]["Name"] == "running"


def test_exactly_the_planned_version_is_started(bench: Bench) -> None:
    """A template that got a new version between plan and start is started as it was planned."""
    runner = bench.runner(template=f"{TEMPLATE}:$Latest")
    changes = runner.plan(bench.charter, WATCH)
    version = changes.changes[0].address.partition(":")[2]
    newer = bench.ec2.create_launch_template_version(
        LaunchTemplateName=TEMPLATE,
        SourceVersion=version,
        LaunchTemplateData={"ImageId": MACHINE_IMAGE, "InstanceType": "m5.large"},
    )
    assert str(newer["LaunchTemplateVersion"]["VersionNumber"]) != version
    assert "an instance t3.large with a disk of 40 GB" in changes.words[0]
    assert runner.bring_up(bench.charter, changes, WATCH).machines[0].instance_type == "t3.large"
    assert runner.planned(bench.charter) == changes
    assert runner.planned(Charter("another", "drill")) is None


def test_a_template_that_is_not_there_is_named(bench: Bench) -> None:
    """A wrong name is refused before anything is started."""
    with pytest.raises(ActionFailed, match="reading the launch template nobodys"):
        bench.runner(template="nobodys").plan(bench.charter, WATCH)


def test_one_address_is_let_in_at_a_time_and_none_after_the_teardown(bench: Bench) -> None:
    """The operator's new address replaces the one before; rules of others stay; the teardown takes ours back."""
    instance_id, runner = bench.up(), bench.runner()
    runner.allow(bench.charter, WATCH)
    runner.allow(bench.charter, WATCH)
    assert bench.let_in() == ["203.0.113.7/32"]
    bench.address = "198.51.100.9/32"
    assert runner.allow(bench.charter, WATCH) == "198.51.100.9/32"
    assert bench.let_in() == ["198.51.100.9/32"]
    bench.give(instance_id, kubeconfig({"token": "t"}))
    assert runner.fetch_kubeconfig(bench.charter) is not None
    runner.tear_down(bench.charter, [instance_id], WATCH)
    runner.tear_down(bench.charter, [instance_id], WATCH)
    assert (bench.let_in(), runner.held_kubeconfig(), runner.standing(bench.charter).machines) == ([], None, ())
    name = KUBECONFIG_PARAMETER.format(instance=instance_id)
    assert aws.fleet(endpoint_url=bench.cloud.endpoint, region=REGION).parameters.read(name) is None


def test_without_an_instance_nobody_knows_where_to_let_in(bench: Bench) -> None:
    """The security group must be clear; it can be named."""
    with pytest.raises(ActionFailed, match=r"not clear which security group must let .+ in: none"):
        bench.runner().allow(bench.charter, WATCH)


def test_a_kubeconfig_is_fetched_when_it_is_there(bench: Bench) -> None:
    """None before the instance wrote it; then it is kept for its owner only, and told by hash and server."""
    instance_id, runner = bench.up(), bench.runner()
    assert (runner.fetch_kubeconfig(bench.charter), runner.held_kubeconfig()) == (None, None)
    bench.give(instance_id, kubeconfig({"token": "t"}))
    found = runner.fetch_kubeconfig(bench.charter)
    assert found is not None
    assert found == runner.held_kubeconfig()
    assert found.server == "https://198.51.100.4:6443"
    assert bench.private.kubeconfig.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(kubeconfig({"exec": {"command": "evil-word"}}), "would run a program", id="a program"),
        pytest.param(kubeconfig({"auth-provider": {"name": "evil-word"}}), "would run a program", id="a plugin"),
        pytest.param(kubeconfig({"client-key": "/evil-word"}), "files of another machine", id="a file of the user"),
        pytest.param(
            kubeconfig({"token": "evil-word"}, **{"certificate-authority": "/ca"}), "another machine", id="a file"
        ),
        pytest.param("evil-word: [", "is not a kubeconfig", id="no YAML"),
        pytest.param("[evil-word]", "is not a kubeconfig", id="no mapping"),
        pytest.param("current-context: evil-word\ncontexts: []\n", "is not a kubeconfig", id="no context"),
    ],
)
def test_a_kubeconfig_that_is_no_good_is_refused_without_its_words(bench: Bench, text: str, told: str) -> None:
    """What would run programs, points elsewhere or is something else is not kept, and not quoted."""
    instance_id = bench.up()
    bench.give(instance_id, text)
    with pytest.raises(ActionFailed, match=told) as refused:
        bench.runner().fetch_kubeconfig(bench.charter)
    assert "evil-word" not in refused.value.diagnostics()
    assert not bench.private.kubeconfig.exists()


def test_a_kubeconfig_that_names_this_machine_is_offered_the_instances_own_addresses(bench: Bench) -> None:
    """The public one first, then the private one: as EC2 says, not as the instance does."""
    instance_id = bench.up()
    bench.give(instance_id, kubeconfig({"token": "t"}, server="https://127.0.0.1:6443"))
    offered: list[str] = []

    class Noting(PrivateFiles):
        def keep_kubeconfig(self, _body: bytes, _origin: str, addresses: Addresses = tuple) -> Kubeconfig:
            offered.extend(addresses())
            return Kubeconfig("", "")

    bench.private = Noting(bench.home / "private")
    bench.runner().fetch_kubeconfig(bench.charter)
    (found,) = bench.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    assert offered == [found["PublicIpAddress"], found["PrivateIpAddress"]]


def test_the_operators_own_kubeconfig_may_do_as_he_likes() -> None:
    """A file that the operator gives may use programs: it runs on his machine anyway."""
    assert described(kubeconfig({"exec": {"command": "aws"}}).encode(), "mine", own=True).server


def test_a_private_file_is_whole_and_its_owners_only(tmp_path: Path) -> None:
    """Whatever the umask, nobody else may read; what is replaced is replaced as a whole; no draft is left."""
    before = os.umask(0)
    try:
        files = PrivateFiles(tmp_path / "p")
        files.write("a", b"one")
        files.write("a", b"two")
    finally:
        os.umask(before)
    assert files.read("a") == b"two"
    assert [each.name for each in files.directory.iterdir()] == ["a"]
    assert (files.directory / "a").stat().st_mode & 0o777 == 0o600
    assert files.directory.stat().st_mode & 0o777 == 0o700
    files.forget("a")
    files.forget("a")
    assert files.read("a") is None


def serving(body: bytes) -> tuple[ThreadingHTTPServer, str]:
    """Serve an answer on loopback; return the server and its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"203.0.113.7\n", "203.0.113.7/32", id="an address"),
        pytest.param(b"2001:db8::7", "2001:db8::7/128", id="a newer address"),
    ],
)
def test_the_current_address_is_asked_for(body: bytes, expected: str) -> None:
    """One service tells this machine's address; it becomes a block of exactly that one."""
    server, url = serving(body)
    assert from_environment({"DRFSM_ADDRESS_URL": url})() == expected
    server.shutdown()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"0.0.0.0/0", b"10.0.0.0/8", b""])
def test_an_answer_that_is_no_single_address_lets_nobody_in(body: bytes) -> None:
    """A page, a range or nothing is refused: never is more let in than one address."""
    server, url = serving(body)
    with pytest.raises(ActionFailed, match=r"not an IP address|would let in"):
        from_environment({"DRFSM_ADDRESS_URL": url})()
    server.shutdown()


def test_a_given_address_is_taken_and_a_silent_or_open_service_is_told() -> None:
    """The environment's address needs no service; plain HTTP is refused; silence says what to do."""
    assert from_environment({"DRFSM_ALLOWED_ADDRESS": "198.51.100.9"})() == "198.51.100.9/32"
    assert one("198.51.100.9/32", "it") == "198.51.100.9/32"
    with pytest.raises(UsageFault, match="without TLS"):
        from_environment({"DRFSM_ADDRESS_URL": "http://checkip.example"})()
    refusing: Callable[[], str] = from_environment({"DRFSM_ADDRESS_URL": "http://127.0.0.1:9"})
    with pytest.raises(Unreachable, match="did not return this machine's address") as silent:
        refusing()
    assert "DRFSM_ALLOWED_ADDRESS" in silent.value.hint
