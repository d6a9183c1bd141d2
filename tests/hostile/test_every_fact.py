"""Every fact of every machine is fed each kind of garbage, at the transport: it is unknown, never a declared value.

The real adapters ask a proxy on loopback, in this process, which passes everything on until a test says what a site,
or the store, answers instead. Facts are read as the engine reads them. First without garbage: what each fact is then,
and whom it asks, so that a fact that asks nobody there proves nothing and is left out; and a fact that two machines
share is fed once, where it asks the same of the same servers for both.
"""

import http.client
import re
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from attrs import define, evolve, field

from drfsm.adapters.aws_cloud import AwsIdentity
from drfsm.adapters.kube import KubeCluster
from drfsm.dr.procedures.bindings import MACHINES, binding
from drfsm.engine import MemoryJournal, Run, SystemClock
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer
from drfsm.journal.record_types import Reading
from drfsm.resources import shipped
from drfsm.runs.world import connect
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from drfsm.spec import load_machine
from drfsm.world import World
from tests.bench.answering import Answering, Request, Told
from tests.drill.world import Drill, environment
from tests.drill.world import Site as DrillSite
from tests.hostile.garbage import DOCUMENTS, KUBERNETES, S3, SILENCE, Garbage, one_leaf
from tests.promote.world import own
from tests.safety.world import Site, inputs_of

pytestmark = pytest.mark.sandbox

SITES = ("primary", "dr")
PYTHONS = re.compile(r"\b(Key|Type|Attribute|Index|Lookup|Value|Unicode\w*|Recursion|Assertion|Overflow)Error\b")
SIGNED_FOR = re.compile(r"Credential=[^/]+/[0-9]+/[a-z0-9-]+/([a-z0-9]+)/aws4_request")
LEAVES = 12  # so many single nodes are bent, each of another answer's
# What may be declared of a site where nobody answers: that nobody answers.
SILENT = {"primary_answers": "no", "runner_ready": "no"}
OF_THE_ACCOUNT = ("sts", "iam", "ec2", "monitoring", "ssm")
# What the inputs decide by themselves, whatever lies there.
BY_INPUTS = {"lasting_state": "not_required"}
# What garbage truly is, to a fact that compares, or hashes, what lies there; and whom it is nothing but bytes.
FOUND_WRONG = {
    "backup": "damaged",
    "backup_contents": "damaged",
    "comparison_profile": "never_passes",
    "control_plane": "different",
    "dr_control_plane": "different",
    "dr_run": "damaged",
}
BYTES = ("latest", "drill_rights", "recovery_point")
# An error's page where a store that is not AWS's should have an STS or an IAM: nobody is there, see docs/stores.md.
NOBODYS = ("a page that is not there", "a page that forbids")
SAME = ("in UTF-16",)  # XML says its own encoding: it is another spelling of the truth
LONGEST_WHY = 1300  # characters: bounded, and whole on a screen


@define
class Proxy:
    """What stands before a server: ``garbage`` is what it says instead of the truth, None for nothing instead."""

    upstream: str
    garbage: Garbage | None = None
    only: str = ""  # of a store's services, the one that it is said of; "" for all
    services: set[str] = field(factory=set)  # that were asked since somebody last looked
    asked: list[tuple[str, str, bytes]] = field(factory=list)  # method, target and body since somebody last looked
    bent: int = 0  # answers that are not as the server's
    known: dict[tuple[str, str, bytes], Told] = field(factory=dict)  # nothing moves there while facts are fed
    server: Answering = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the server."""
        self.server = Answering(self._answer)

    def _answer(self, request: Request) -> Told:
        self.asked.append((request.method, request.target, request.body))
        service = _service(request)
        self.services.add(service)
        if self.garbage is None or self.only not in ("", service):
            return self._truth(request)
        true: list[Told] = []

        def truth() -> Told:
            true.append(self._truth(request))
            return true[0]

        answer = self.garbage(request, truth)
        self.bent += not true or answer != true[0]
        return answer

    def _truth(self, request: Request) -> Told:
        key = (request.method, request.target, request.body)
        if not self.upstream.startswith("https:"):  # a store's answers hang on headers, too
            return self._upstream(request)
        if key not in self.known:
            self.known[key] = self._upstream(request)
        return self.known[key]

    def _upstream(self, request: Request) -> Told:
        parts = urlsplit(self.upstream)
        assert parts.hostname is not None
        if parts.scheme == "https":
            context = ssl._create_unverified_context()  # noqa: S323  the sandbox's own server, on loopback
            upstream: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=30, context=context
            )
        else:
            upstream = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        try:
            headers = {name: value for name, value in request.headers if name.lower() != "connection"}
            upstream.request(request.method, request.target, request.body, headers)
            answer = upstream.getresponse()
            body = answer.read()
        finally:
            upstream.close()
        dropped = ("content-length", "transfer-encoding", "connection", "content-type")
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        length = int(answer.headers["Content-Length"] or 0) if request.method == "HEAD" else None
        return Told(answer.status, body, answer.headers.get("Content-Type", ""), kept, length)


def _service(request: Request) -> str:
    """Return which of AWS's services a request is signed for."""
    signed = SIGNED_FOR.search(" ".join(request.header("Authorization")))
    return signed[1] if signed else ""


@define
class Reader:
    """One machine's facts, read by the engine's own step over a world."""

    machine: str
    inputs: Mapping[str, Any]
    observer: Observer

    def facts(self) -> list[str]:
        """Return their names."""
        return sorted(binding(self.machine).facts)

    def read(self, name: str, world: World) -> Reading:
        """Read one."""
        self.observer.world = world
        run = Run(
            "hostile-1", self.inputs, "ann", 1, dry_run=False, trigger="hostile", results={}, args={},
            clock=SystemClock(),
        )  # fmt: skip
        return self.observer.read_one(name, run)


@define
class Bench:
    """Everything: the true world, the proxies, and what each fact is where nobody lies."""

    worlds: dict[str, World]  # by machine: what its inputs lead to
    proxies: dict[str, Proxy]
    readers: list[Reader]
    healthy: dict[tuple[str, str], Reading] = field(factory=dict)
    asks: dict[tuple[str, str], set[str]] = field(factory=dict)
    twins: set[tuple[str, str]] = field(factory=set)  # the same fact, of a machine before, asks the same: fed once

    def look(self) -> None:
        """Read every fact truly, and note whom it asks."""
        unlike: set[object] = set()
        for reader in self.readers:
            for name in reader.facts():
                for proxy in self.proxies.values():
                    proxy.asked.clear()
                    proxy.services.clear()
                reading = reader.read(name, self._anew(reader.machine, "store"))
                self.healthy[reader.machine, name] = reading
                self.asks[reader.machine, name] = {server for server, proxy in self.proxies.items() if proxy.asked}
                self.asks[reader.machine, name] |= self.proxies["store"].services
                questions = tuple((server, *sorted(proxy.asked)) for server, proxy in self.proxies.items())
                like = (binding(reader.machine).facts[name], reading.value, reading.why, questions)
                if like in unlike:
                    self.twins.add((reader.machine, name))
                unlike.add(like)

    def fed(self, service: str, garbage: Garbage, only: str = "") -> Iterator[tuple[str, Reading, Reading, bool]]:
        """Yield (fact, reading, the true one, whether any answer was bent) of every fact that asks a service.

        ``only``: the one of a store's services that lies.
        """
        proxy = self.proxies[service]
        proxy.garbage, proxy.only = garbage, only
        try:
            for reader in self.readers:
                for name in reader.facts():
                    key = (reader.machine, name)
                    if (only or service) in self.asks[key] and key not in self.twins:
                        bent = proxy.bent
                        reading = reader.read(name, self._anew(reader.machine, service))
                        yield name, reading, self.healthy[key], proxy.bent > bent
        finally:
            proxy.garbage, proxy.only = None, ""

    def _anew(self, machine: str, service: str) -> World:
        """Return a world whose clients remember nothing, as after a start."""
        world = self.worlds[machine]
        if service == "store":
            identity = world.identity
            assert isinstance(identity, AwsIdentity)
            return evolve(world, identity=AwsIdentity(identity._services, identity._bucket))
        known = world.site(service)
        assert isinstance(known, KubeCluster)
        return _at(world, service, known._kubeconfig)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start a sandbox, put proxies before it, and look once."""
    home = tmp_path_factory.mktemp("hostile")
    options = Options(bucket=f"hostile-{uuid.uuid4().hex[:12]}")
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(home / "sandbox", options))
        more = {"DRFSM_HOME": str(home), "DRFSM_ALLOWED_ADDRESS": "203.0.113.7/32", "ALLOW_FULL_DRILL": "1", **keys}
        stack.enter_context(environment(**{**sandbox.environment, **more}))
        upstream = {site: getattr(sandbox, site).server for site in SITES} | {"store": sandbox.cloud.endpoint}
        proxies = {name: Proxy(url) for name, url in upstream.items()}
        for each in proxies.values():
            stack.enter_context(each.server)
        kubeconfigs = {site: _through(proxies[site], getattr(sandbox, site).kubeconfig, home / site) for site in SITES}
        found = Bench({}, proxies, [])
        for machine, inputs in _inputs(sandbox, home, kubeconfigs, proxies["store"].server.url).items():
            spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
            found.worlds[machine] = _world(inputs, home / machine, kubeconfigs)
            log = RunLog(spec, MemoryJournal(), SystemClock())
            found.readers.append(Reader(machine, inputs, Observer(log, binding(machine), None)))
        found.look()
        yield found


def _through(proxy: Proxy, kubeconfig: Path, place: Path) -> Path:
    """Return a kubeconfig that leads to a site through its proxy, with the same token."""
    user = yaml.safe_load(kubeconfig.read_bytes())["users"][0]["user"]
    place.mkdir()
    return proxy.server.kubeconfig(place, user)


def _inputs(sandbox: Sandbox, home: Path, kubeconfigs: Mapping[str, Path], store: str) -> dict[str, dict[str, Any]]:
    site = Site(sandbox)
    where = {"endpoint_url": store, **{f"kubeconfig_{name}": str(path) for name, path in kubeconfigs.items()}}
    options = ("--backup-uri", sandbox.backup_uri, "--kubeconfig", str(sandbox.dr.kubeconfig))
    drill = Drill(DrillSite(sandbox), home / "drill-bundle", options, id="hostile-1")
    alarmed = {"alarms": "one\ntwo", "restore_check": "asked", "primary_restore_backup_uri": sandbox.backup_uri}
    roles = {"fence_primary_role": sandbox.primary_role, "fence_dr_role": sandbox.dr_role}
    fenced = {"fence_primary": "asked", **roles}
    return {
        "failback": {**inputs_of(site), **alarmed, **fenced, "fence_dr": "asked", **where},
        "promote": {**own(site, "hostile-1"), **fenced, **where},
        "drill": {**drill.inputs, **where, "kubeconfig": where["kubeconfig_dr"]},
    }


def _world(inputs: Mapping[str, Any], place: Path, kubeconfigs: Mapping[str, Path]) -> World:
    world = connect(inputs, "", place, "hostile-1")[0]
    for site, path in kubeconfigs.items():
        world = _at(world, site, path)
    return world


def _at(world: World, site: str, kubeconfig: Path) -> World:
    cluster = KubeCluster(site, kubeconfig)
    return evolve(world, primary=cluster) if site == "primary" else evolve(world, dr=cluster)


def _wrong(name: str, reading: Reading, *, allowed: Mapping[str, str] | None = None) -> str:
    """Return what is wrong with a reading that rests on garbage, "" for nothing."""
    if reading.value is not None and reading.value not in ((allowed or {}).get(name), BY_INPUTS.get(name)):
        return f"{name} is declared {reading.value}"
    words = reading.why
    if "can't be understood by the fact" in words or "defect" in words or PYTHONS.search(words):
        return f"{name} crashed: {words}"
    if len(words) > LONGEST_WHY or not words.isprintable():
        return f"{name} says {len(words)} characters, or what doesn't print"
    return ""


def test_without_garbage_facts_are_told(bench: Bench) -> None:
    """The bench is no sham: most facts that ask a site, or the store, have a value where nobody lies."""
    assert {each.machine for each in bench.readers} == set(MACHINES)
    for service in bench.proxies:
        asking = [key for key, services in bench.asks.items() if service in services]
        told = [key for key in asking if bench.healthy[key].value is not None]
        untold = {key: bench.healthy[key].why for key in asking if key not in told}
        assert len(told) > 10, (service, untold)
        assert len(told) > len(asking) * 0.8, (service, untold)
    assert len(bench.twins) < len(bench.healthy) / 3
    crashed = {key: each.why for key, each in bench.healthy.items() if "can't be understood" in each.why}
    assert not crashed


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", KUBERNETES)
def test_no_fact_takes_a_clusters_garbage_for_a_value(kind: str, site: str, bench: Bench) -> None:
    """Unknown, in words that are bounded and printable; where nobody answers, that may be said."""
    allowed = SILENT if kind in SILENCE else None
    wrong = []
    for name, reading, true, bent in bench.fed(site, KUBERNETES[kind]):
        if bent and (fault := _wrong(name, reading, allowed=allowed)) and reading.value != _unbent(kind, true):
            wrong.append(fault)
    assert not wrong


def _unbent(kind: str, true: Reading) -> str | None:
    """Return the value that a kind leaves as it is where it bends what is never read (a list's own fields)."""
    return true.value if kind in BENDS_LITTLE else None


# These change objects only in some of their fields: a fact that reads none of those is what it was.
BENDS_LITTLE = (
    "every number a text",
    "every object null",
    "every list an object",
    "every list of nulls",
)


@pytest.mark.parametrize("site", SITES)
def test_one_bent_node_changes_no_fact(site: str, bench: Bench) -> None:
    """One node of another type, anywhere in the answers: the fact is unknown, or what it was; no reader crashes."""
    wrong = []
    for seed in range(LEAVES):
        for name, reading, true, _ in bench.fed(site, one_leaf(seed)):
            fault = _wrong(name, reading)
            if fault and reading.value != true.value:
                wrong.append(f"seed {seed}: {fault}, and was {true.value}")
    assert not wrong


@pytest.mark.parametrize("kind", S3)
def test_no_fact_takes_the_stores_garbage_for_a_value(kind: str, bench: Bench) -> None:
    """The same for S3, STS, EC2, IAM and SSM: all of them lie, or one of them and the others do not."""
    wrong = []
    for service in ("", *(OF_THE_ACCOUNT if kind not in NOBODYS else ())):
        for name, reading, true, bent in bench.fed("store", S3[kind], service):
            if bent and (fault := _wrong(name, reading)) and not (kind in SAME and reading.value == true.value):
                wrong.append(f"{service or 'all'}: {fault} (was {true.value})")
    assert not wrong


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_no_fact_takes_garbage_in_the_bucket_for_a_value(kind: str, bench: Bench) -> None:
    """What lies in the bucket is what anybody wrote there: unknown, found wrong, or nothing to whom it is bytes."""
    wrong = []
    for name, reading, true, bent in bench.fed("store", DOCUMENTS[kind]):
        fault = _wrong(name, reading, allowed=FOUND_WRONG)
        if bent and fault and not (name in BYTES and reading.value == true.value):
            wrong.append(f"{fault} (was {true.value})")
    assert not wrong
