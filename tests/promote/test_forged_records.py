"""An attacker who can write to the bucket, and nowhere else: he can stop a promote, and move nothing.

Each case writes into the bucket what such a person can, and then types, in this process and with the real clients,
what an operator would. Nothing may run the attacker's program, call his address, be written outside the bundle, or
move a pointer or a site, unless a person typed the forged head.
"""

import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve, frozen

from drfsm.errors import ExitCode
from drfsm.journal import Record, digest, lines, read
from drfsm.resources import shipped
from drfsm.runs.trust import PLACES, STARTS
from drfsm.spec import load_machine
from tests.promote.test_cli import DIGEST, Typed, promote, receipt, typed
from tests.safety.world import Site

__all__ = ["receipt", "typed"]  # fixtures

Body = dict[str, Any]
Forge = Callable[[list[Record]], list[Record]]


@frozen
class Waiting:
    """A promote that waits for its approval, and its mirror in the attacker's hands."""

    site: Site
    type_: Typed
    home: Path  # of the machine that started it
    uri: str
    run_id: str
    plan: str

    @property
    def key(self) -> str:
        """The prefix of its mirror."""
        return self.uri.partition(f"{self.site.bucket}/")[2]

    def records(self) -> list[Record]:
        """Return what the mirror holds."""
        keys = sorted(key for key in self.site.etags(f"{self.key}/0") if key.endswith(".json"))
        return list(read([self.site.body(key) for key in keys]).records)

    def forge(self, forge: Forge, *, at: str = "") -> str:
        """Write the mirror anew, as a whole chain; return its head."""
        raw = list(lines(forge(self.records())))
        for key in self.site.etags(f"{at or self.key}/0"):
            self.site.delete(key)
        for number, line in enumerate(raw):
            self.site.put(f"{at or self.key}/{number:06d}.json", line)
        return digest(raw[-1])

    def head(self) -> str:
        """Return the mirror's head."""
        return digest(list(lines(self.records()))[-1])

    def places(self) -> tuple[str, ...]:
        """Return what says where the sites lie on another machine."""
        sandbox = self.site.sandbox
        return (
            "--kubeconfig-dr", str(sandbox.dr.kubeconfig), "--kubeconfig-primary", str(sandbox.primary.kubeconfig),
            "--take-over", self.run_id,
        )  # fmt: skip

    def untouched(self) -> tuple[Any, ...]:
        """Return everything that must not move."""
        return (self.site.pointers(), self.site.touchable("primary"), self.site.touchable("dr"))


@frozen
class Begun:
    """What is left by a promote that waits for its approval: its starter's home, and what it wrote into the bucket."""

    home: Path
    copy: Path  # of the home, as it was then
    objects: Mapping[str, bytes]
    run_id: str
    plan: str


@pytest.fixture(scope="module")
def begun() -> list[Begun]:
    """Return where the one promote is kept that every test finds waiting."""
    return []


@pytest.fixture
def waiting(
    site: Site, typed: Typed, receipt: str, begun: list[Begun], tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Waiting:  # fmt: skip
    """Return a promote that waits for its approval, from the home of whoever started it."""
    if not begun:
        place = tmp_path_factory.mktemp("begun")
        monkeypatch.setenv("DRFSM_HOME", str(place / "first/home"))
        begun.append(_begin(site, typed, receipt, place / "first/home", place / "copy"))
    (one,) = begun
    monkeypatch.setenv("DRFSM_HOME", str(one.home))
    shutil.rmtree(one.home)
    shutil.copytree(one.copy, one.home)
    for key, body in one.objects.items():
        site.put(key, body)
    uri = f"s3://{site.bucket}/{site.prefix}/drfsm/runs/{one.run_id}"
    return Waiting(site, typed, one.home, uri, one.run_id, one.plan)


def _begin(site: Site, typed: Typed, receipt: str, home: Path, copy: Path) -> Begun:
    before = site.etags()
    code, _, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD, err
    (plan,) = DIGEST.findall(err)
    (place,) = (home / "runs").iterdir()
    shutil.copytree(home, copy)
    written = {key: site.body(key) for key, etag in site.etags().items() if before.get(key) != etag}
    return Begun(home, copy, written, place.name, plan)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return what moves to another machine: an empty home."""

    def move() -> Path:
        monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "other"))
        return tmp_path / "other"

    return move


def started(change: Callable[[Body], object]) -> Forge:
    """Return a forgery of the first record's body."""

    def forge(records: list[Record]) -> list[Record]:
        body = json.loads(json.dumps(dict(records[0].body)))
        change(body)
        return [evolve(records[0], body=body), *records[1:]]

    return forge


# --- names, places, programs ---------------------------------------------------------------------------------------

NAMES: Mapping[str, Callable[[Body], object]] = {
    "a run id that climbs": lambda body: body.update(run_id="../../../owned"),
    "an absolute run id": lambda body: body.update(run_id="/tmp/owned"),  # noqa: S108  never written
    "another run's id": lambda body: body.update(run_id="promote-20260101t000000z-abcdef"),
    "a machine that climbs": lambda body: body.update(machine="../../owned"),
    "another machine": lambda body: body.update(machine="failback"),
    "another bucket": lambda body: body["inputs"].update(bucket="somebody-elses"),
    "another prefix": lambda body: body["inputs"].update(prefix="elsewhere"),
    "a prefix of its own": lambda body: body["inputs"].update(journal_prefix="elsewhere"),
    "no bucket": lambda body: body["inputs"].pop("bucket"),
    "no inputs": lambda body: body.update(inputs=[]),
    "a run id that is a number": lambda body: body.update(run_id=7),
    "an escape in the operator": lambda body: body.update(operator="\x1b[2J", run_id="x"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_in_a_mirror_becomes_no_path(
    waiting: Waiting, elsewhere: Callable[[], Path], tmp_path: Path, case: str
) -> None:
    """Whatever a forged first record names, nothing is written outside of the home, and nothing moves."""
    waiting.forge(started(NAMES[case]))
    home, before = elsewhere(), waiting.untouched()
    files = _outside(home, tmp_path, waiting.home.parent)
    for command in (("resume", waiting.uri, *waiting.places()), ("status", waiting.uri), ("replay", waiting.uri)):
        code, out, err = waiting.type_(*command)
        looked = command[0] == "status" and case == "another machine"  # it reads no declaration, so it can't tell
        assert looked or code in (ExitCode.EVIDENCE, ExitCode.DAMAGED, ExitCode.UNREACHABLE), out + err
        assert "\x1b" not in out + err
    assert waiting.untouched() == before
    assert not list(home.rglob("state_transitions.log"))
    assert _outside(home, tmp_path, waiting.home.parent) <= files | {home}


def _outside(home: Path, *places: Path) -> set[Path]:
    return {path for place in places for path in place.rglob("*") if home not in path.parents}


ADDRESSES = ("s3://", "s3://b", "s3://bucket/p", "s3://bucket/../p/drfsm/runs/x", "s3://bucket/p/drfsm/runs/../x",
             "s3://B_/p/drfsm/runs/x", "s3://bucket/p/drfsm/runs/\x1b[2J", "s3://bucket/p/drfsm/runs/")  # fmt: skip


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_is_held_against_its_grammar(typed: Typed, uri: str) -> None:
    """What is no mirror's address is told as that, before anything is asked of anybody."""
    for verb in ("resume", "status", "replay"):
        code, out, err = typed(verb, uri)
        assert (code, "s3://<bucket>/<prefix>/drfsm/runs/<run>" in err) == (ExitCode.USAGE, True), out + err
        assert "\x1b" not in out + err


class Listening:
    """An address of the attacker's: it counts who calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def _called(self) -> None:
                calls.append(self.path)
                self.send_error(500)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _called  # noqa: N815  http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def attacker() -> Iterator[Listening]:
    """Return an address that nobody may call."""
    listening = Listening()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()


def test_no_program_and_no_address_is_taken_from_a_mirror(
    waiting: Waiting, elsewhere: Callable[[], Path], attacker: Listening, tmp_path: Path
) -> None:
    """A kubeconfig that would run a program, an endpoint that would get signed requests: they must be given here.

    Without them the run is refused before anybody vouches for it; with them what is given here is used.
    """
    ran, evil = tmp_path / "ran", tmp_path / "evil.yaml"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [str(ran)],
              "interactiveMode": "Never"}  # fmt: skip
    evil.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": attacker.url}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    hostile = {"kubeconfig_dr": str(evil), "kubeconfig_primary": str(evil), "endpoint_url": attacker.url}
    head = waiting.forge(started(lambda body: body["inputs"].update(hostile)))
    elsewhere()
    before = waiting.untouched()
    code, _, err = waiting.type_("resume", waiting.uri, "--expect-head", head, "--take-over", waiting.run_id)
    assert (code, "--kubeconfig-dr, --kubeconfig-primary must be given" in err) == (ExitCode.USAGE, True), err
    code, out, err = waiting.type_("resume", waiting.uri, *waiting.places(), "--expect-head", head)
    assert "a person must choose approve, decline or abort" in err + out, out + err
    assert f"endpoint_url: the run recorded {attacker.url}, here it is {waiting.site.sandbox.cloud.endpoint}" in err
    code, out, err = waiting.type_("resume")  # what was given once is remembered, outside the bundle
    assert code == ExitCode.HELD, out + err
    assert (ran.exists(), attacker.calls) == (False, [])
    assert waiting.untouched() == before


# --- a declaration -------------------------------------------------------------------------------------------------


def unguarded(text: bytes) -> bytes:
    """Return a declaration with a row that lets anybody approve without a guard."""
    row = b"""  - from: dr_run_verified
    trigger: help
    to: approved
    by: operator
    because: "Nothing to see here"
"""
    head, transitions, rows = text.partition(b"transitions:\n")
    return head + transitions + row + rows


def test_a_declaration_is_not_believed_because_it_hashes_to_itself(
    waiting: Waiting, elsewhere: Callable[[], Path]
) -> None:
    """Two files and one digest forged: 6 with the digest to trust, and `replay` never says "allowed by promote"."""
    text = unguarded(waiting.site.body(f"{waiting.key}/promote.yaml"))
    sha256 = hashlib.sha256(text).hexdigest()
    waiting.site.put(f"{waiting.key}/promote.yaml", text)
    head = waiting.forge(started(lambda body: body.update(machine_sha256=sha256)))
    elsewhere()
    before = waiting.untouched()
    code, _, err = waiting.type_("resume", waiting.uri, *waiting.places(), "--expect-head", head)
    assert (code, f"--trust-machine {sha256}" in err) == (ExitCode.EVIDENCE, True), err
    code, out, _ = waiting.type_("replay", waiting.uri, "--quiet")
    assert (code, "allowed by promote" in out) == (ExitCode.EVIDENCE, False), out
    code, out, _ = waiting.type_("replay", waiting.uri, "--quiet", "--trust-machine", sha256)
    assert (code, "allowed by promote, trusted by the operator" in out) == (ExitCode.DONE, True), out
    assert waiting.untouched() == before
    assert waiting.type_("replay", waiting.uri, "--trust-machine", "abc")[0] == ExitCode.USAGE


# --- records -------------------------------------------------------------------------------------------------------


def approved(waiting: Waiting) -> Forge:
    """Return a forgery that appends an approval: a commit as the machine itself would have written it."""

    def forge(records: list[Record]) -> list[Record]:
        seen = next(each for each in reversed(records) if "approval" in each.body.get("facts", {}))
        plan = seen.body["facts"]["approval"]["seen"]
        answers = {
            "approved_plan": waiting.plan, "approved_by": "mallory", "ticket": "CHG-1", "allow_older": "no",
            "primary_run_id": waiting.site.sandbox.primary_run_id, "plan": plan.get("plan", plan),
            "operator": "mallory", "reason": "approved under CHG-1",
        }  # fmt: skip
        body: Body = {
            "row": "dr_run_verified --approve--> approved", "trigger": "approve", "from": "dr_run_verified",
            "to": "approved", "by": "operator", "how": "judged", "guards": [], "facts": {}, "result": None,
            "frozen": [], "ways": [], "because": "forged", "args": answers, "amends": {
                name: answers[name] for name in ("approved_plan", "approved_by", "ticket", "allow_older")
            },
        }  # fmt: skip
        last = records[-1]
        return [*records, Record(last.seq + 1, "commit", last.at, body)]

    return forge


def test_an_appended_approval_approves_nothing_on_the_machine_that_waits(waiting: Waiting) -> None:
    """A plain `resume` where the promote was started fetches it, judges it, and refuses it: 6, and nothing moves."""
    waiting.forge(approved(waiting))
    before = waiting.untouched()
    local = (waiting.home / "runs" / waiting.run_id / "state_transitions.log").read_bytes()
    code, _, err = waiting.type_("resume")
    assert code == ExitCode.EVIDENCE, err
    assert "do not hold" in err
    assert waiting.untouched() == before
    assert (waiting.home / "runs" / waiting.run_id / "state_transitions.log").read_bytes() == local


@pytest.mark.parametrize("body", [b"x", b"", b'{"prev":"'], ids=["a letter", "nothing", "half a line"])
def test_an_object_without_an_end_is_no_record(waiting: Waiting, elsewhere: Callable[[], Path], body: bytes) -> None:
    """No writer leaves half a line in a mirror: 7 for whoever goes on or looks, also with that "head" typed."""
    waiting.site.put(f"{waiting.key}/{len(waiting.records()):06d}.json", body)
    local = (waiting.home / "runs" / waiting.run_id / "state_transitions.log").read_bytes()
    before, typed_head = waiting.untouched(), ("--expect-head", hashlib.sha256(body).hexdigest())
    for more in ((), typed_head):
        code, _, err = waiting.type_("resume", *more)
        assert (code, "it does not end with a newline" in err) == (ExitCode.DAMAGED, True), err
    home = elsewhere()
    for words in (("resume", waiting.uri, *waiting.places(), *typed_head), ("status", waiting.uri),
                  ("replay", waiting.uri)):  # fmt: skip
        code, out, err = waiting.type_(*words)
        assert (code, "it does not end with a newline" in err) == (ExitCode.DAMAGED, True), out + err
    assert (waiting.home / "runs" / waiting.run_id / "state_transitions.log").read_bytes() == local
    assert not list(home.rglob("state_transitions.log"))
    assert waiting.untouched() == before


def test_what_starts_a_program_is_shown_whole_or_not_vouched_for(
    waiting: Waiting, elsewhere: Callable[[], Path]
) -> None:
    """A switch behind hundreds of harmless ones is shown; more than a person can look over: 6, also with the head."""
    elsewhere()
    harmless = "\n".join(f"HARMLESS_{number}=1" for number in range(200))
    waiting.forge(started(lambda body: body["inputs"].update(validation_env=f"{harmless}\nPUBLISH_S3=1\x1b[2J")))
    code, _, err = waiting.type_("resume", waiting.uri, *waiting.places())
    assert (code, "validation_env = PUBLISH_S3=1\\x1b[2J" in err) == (ExitCode.REFUSED, True), err
    head = waiting.forge(started(lambda body: body["inputs"].update(validation_env=harmless * 20)))
    for more in ((), ("--expect-head", head)):
        code, _, err = waiting.type_("resume", waiting.uri, *waiting.places(), *more)
        assert (code, "the input validation_env" in err) == (ExitCode.EVIDENCE, True), err


def test_a_real_approval_of_somebody_else_is_asked_for_again(waiting: Waiting, elsewhere: Callable[[], Path]) -> None:
    """Records that hold, with an approval in them: the head alone doesn't do, the plan must be approved again."""
    whole = _approved_and_held(waiting)
    elsewhere()
    before = waiting.untouched()
    words = ("resume", waiting.uri, *waiting.places(), "--expect-head", whole)
    code, _, err = waiting.type_(*words)
    assert code == ExitCode.REFUSED, err
    assert f"--approved-plan {waiting.plan}" in err
    code, _, err = waiting.type_(*words, "--approved-plan", "0" * 64)
    assert code == ExitCode.REFUSED, err
    assert waiting.untouched() == before
    code, out, err = waiting.type_(*words, "--approved-plan", waiting.plan)
    assert code == ExitCode.DONE, out + err


def _approved_and_held(waiting: Waiting) -> str:
    """Approve on the first machine, and have it held there before anything moves; return the mirror's head."""
    waiting.site.outage("primary")
    waiting.type_("approve", "--ticket", "CHG-1", "--operator", "bea", "--plan", waiting.plan)
    waiting.site.outage("primary", on=False)
    assert any(each.kind == "commit" and each.body["trigger"] == "approve" for each in waiting.records())
    return waiting.head()


def test_a_mirror_that_nobody_vouches_for_is_shown_and_not_gone_on_with(
    waiting: Waiting, elsewhere: Callable[[], Path]
) -> None:
    """State, inputs, next action and head are shown; 3, and nothing lies on this machine; a wrong head is none."""
    home = elsewhere()
    for more in ((), ("--expect-head", "0" * 64)):
        code, _, err = waiting.type_("resume", waiting.uri, *waiting.places(), *more)
        assert code == ExitCode.REFUSED, err
        for shown in ("dr_run_verified", "image_ref", "next action", waiting.head(), "--expect-head"):
            assert shown in err
    assert not list(home.rglob("state_transitions.log"))
    code, _, err = waiting.type_("resume", waiting.uri, *waiting.places(), "--expect-head", waiting.head())
    assert code == ExitCode.HELD, err


def test_the_machine_that_wrote_a_run_asks_nothing_when_it_takes_it_from_its_mirror(waiting: Waiting) -> None:
    """The bundle is lost, the home is not: its heads are known, and where its sites lie, too."""
    place = waiting.home / "runs" / waiting.run_id
    for each in sorted(place.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    place.rmdir()
    code, _, err = waiting.type_("resume", waiting.uri, "--take-over", waiting.run_id)
    assert code == ExitCode.HELD, err


def test_a_journal_whose_end_was_cut_off_everywhere_is_not_gone_on_with(waiting: Waiting) -> None:
    """Here and in the mirror a journal ends early, at a head of this machine: 6, unless a person expects just that."""
    place = waiting.home / "runs" / waiting.run_id
    head = waiting.forge(lambda records: records[:-3])
    raw = (place / "state_transitions.log").read_bytes().splitlines(keepends=True)
    (place / "state_transitions.log").write_bytes(b"".join(raw[:-3]))
    for each in ("promote.summary.json", "steps"):
        target = place / each
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    before = waiting.untouched()
    code, _, err = waiting.type_("resume", waiting.run_id, "--take-over", waiting.run_id)
    assert (code, "cut off" in err) == (ExitCode.EVIDENCE, True), err
    assert waiting.untouched() == before
    code, out, err = waiting.type_("resume", waiting.run_id, "--take-over", waiting.run_id, "--expect-head", head)
    assert code == ExitCode.HELD, out + err


def test_records_of_a_world_that_is_not_so_hold_even_when_a_person_typed_their_head(
    waiting: Waiting, elsewhere: Callable[[], Path]
) -> None:
    """A journal that says "frozen" of a primary that is not: 4, each difference by name, nothing moves."""
    code, _, err = waiting.type_("approve", "--ticket", "CHG-1", "--plan", waiting.plan)
    assert code == ExitCode.DONE, err
    commits = (each for each in waiting.records() if each.kind == "commit")
    frozen_at = next(commit.seq for commit in commits if commit.body["to"] == "primary_frozen")
    mirror = {key: waiting.site.body(key) for key in waiting.site.etags(waiting.key)}
    ownership = f"{waiting.site.prefix}/drfsm/ownership.json"
    owner = json.loads(waiting.site.body(ownership)) | {"site": "primary", "cluster_uid": None}
    waiting.site.reset()
    for key, body in mirror.items():
        waiting.site.put(key, body)
    waiting.site.put(ownership, json.dumps(owner).encode())  # else the run would be held for that alone
    head = waiting.forge(lambda records: records[: frozen_at + 1])
    elsewhere()
    before = waiting.untouched()
    code, _, err = waiting.type_(
        "resume", waiting.uri, *waiting.places(), "--expect-head", head, "--approved-plan", waiting.plan
    )
    assert code == ExitCode.HELD, err
    assert "the world is not as these records say" in err
    assert "primary_schedules is on; the records say that it is off" in err, err
    assert waiting.untouched() == before
    code, _, err = waiting.type_("resume")  # nor does a bare resume trust what is on this machine now
    assert code in (ExitCode.REFUSED, ExitCode.USAGE), err
    assert waiting.untouched() == before


def test_a_forged_snapshot_is_not_given_back(waiting: Waiting, elsewhere: Callable[[], Path]) -> None:
    """An abort that would start what was never running: the object's own annotation contradicts it, so it holds."""
    site = waiting.site
    cronjobs = site.cluster("primary").store.list("cronjobs")[0]
    code, _, err = waiting.type_("approve", "--ticket", "CHG-1", "--plan", waiting.plan)
    assert code == ExitCode.DONE, err
    at = next(each.seq for each in waiting.records() if each.body.get("to") == "primary_frozen")
    mirror = {key: site.body(key) for key in site.etags(waiting.key)}
    site.reset()
    for each in cronjobs:  # suspended by its owners since long: no annotation says that it ran
        site.cluster("primary").apply({**each, "spec": {**each["spec"], "suspend": True}})
    for key, body in mirror.items():
        site.put(key, body)
    head = waiting.forge(lambda records: records[: at + 1])
    elsewhere()
    before = waiting.untouched()
    code, _, err = waiting.type_(
        "abort", waiting.uri, *waiting.places(), "--reason", "x", "--expect-head", head,
        "--approved-plan", waiting.plan,
    )  # fmt: skip
    assert code == ExitCode.HELD, err
    assert "would be started, and its annotation drfsm/before names no run" in err
    assert waiting.untouched() == before


@pytest.mark.parametrize("verb", ["status", "replay", "list"])
def test_looking_at_a_mirror_adopts_and_writes_nothing(
    waiting: Waiting, elsewhere: Callable[[], Path], verb: str
) -> None:
    """`status`, `replay` and `list` read s3://… from an empty home; the bucket and the home are as before."""
    home = elsewhere()
    before = waiting.site.etags()
    uri = waiting.uri if verb != "list" else f"s3://{waiting.site.bucket}/{waiting.site.prefix}"
    code, out, err = waiting.type_(verb, uri)
    assert code == ExitCode.DONE, out + err
    assert waiting.run_id in out
    assert waiting.site.etags() == before
    assert not home.exists() or not list(home.rglob("*"))


# --- signatures ----------------------------------------------------------------------------------------------------


def keys(directory: Path, name: str) -> tuple[Path, str]:
    """Return a new key, and its public half as an allowed-signers file has it."""
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
    return path, path.with_suffix(".pub").read_text().rpartition(" ")[0]


SIGNERS: Mapping[str, tuple[str, int]] = {
    "the key that signed": ("ops {ours}", ExitCode.HELD),
    "for records only": ('ops namespaces="drfsm-intent" {ours}', ExitCode.HELD),
    "for approvals only": ('ops namespaces="drfsm-approval" {ours}', ExitCode.REFUSED),
    "another key": ("ops {theirs}", ExitCode.REFUSED),
    "nobody": ("", ExitCode.REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("case", SIGNERS)
def test_a_trusted_key_vouches_for_a_mirror(
    site: Site,
    typed: Typed,
    receipt: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    """With a key configured every mirrored record is signed: another machine that trusts it is asked for no head."""
    key, ours = keys(tmp_path, "ours")
    _, theirs = keys(tmp_path, "theirs")
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(key))
    code, _, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD, err
    (place,) = (tmp_path / "home/runs").iterdir()
    home = f"{site.prefix}/drfsm/runs/{place.name}"
    records = [name for name in site.etags(f"{home}/0") if name.endswith(".json")]
    assert len(site.etags(f"{home}/signatures/")) == len(records)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "other"))
    signers, wanted = SIGNERS[case]
    (tmp_path / "signers").write_text(signers.format(ours=ours, theirs=theirs) + "\n")
    monkeypatch.setenv("DRFSM_ALLOWED_SIGNERS", str(tmp_path / "signers"))
    monkeypatch.delenv("DRFSM_SIGNING_KEY")
    where = Waiting(site, typed, tmp_path / "home", f"s3://{site.bucket}/{home}", place.name, "").places()
    code, _, err = typed("resume", f"s3://{site.bucket}/{home}", *where)
    assert code == wanted, err
    assert ("ops signed the last of these" in err) == (wanted == ExitCode.HELD)


def test_a_signature_vouches_for_nothing_that_comes_after_it(
    site: Site,
    typed: Typed,
    receipt: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A record appended by somebody without the key, and a signature moved below another head: refused."""
    key, ours = keys(tmp_path, "ours")
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(key))
    (tmp_path / "signers").write_text(f"ops {ours}\n")
    monkeypatch.setenv("DRFSM_ALLOWED_SIGNERS", str(tmp_path / "signers"))
    assert typed(*promote(site, receipt))[0] == ExitCode.HELD
    (place,) = (tmp_path / "home/runs").iterdir()
    run = Waiting(site, typed, tmp_path / "home", f"s3://{site.bucket}/{site.prefix}/drfsm/runs/{place.name}",
                  place.name, "")  # fmt: skip
    old = run.head()

    def again(records: list[Record]) -> list[Record]:
        held = next(each for each in reversed(records) if each.kind == "held")
        return [*records, evolve(held, seq=records[-1].seq + 1)]

    new = run.forge(again)
    site.put(f"{run.key}/signatures/{new}.sig", site.body(f"{run.key}/signatures/{old}.sig"))
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "other"))
    code, _, err = typed("resume", run.uri, *run.places())
    assert code == ExitCode.REFUSED, err


def test_a_key_that_fails_in_the_middle_holds_the_run_and_loses_no_record(
    site: Site, typed: Typed, receipt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that refuses after some signatures: 4, never "wrong usage"; once it signs again, every record is."""
    key, _ = keys(tmp_path, "ours")
    count, limit, program = tmp_path / "count", tmp_path / "limit", tmp_path / "bin/ssh-keygen"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nn=$(($(cat {count}) + 1)); echo $n > {count}\n"
        f'if [ $n -gt $(cat {limit}) ]; then echo "agent refused operation" >&2; exit 1; fi\n'
        f'exec {shutil.which("ssh-keygen")} "$@"\n'
    )
    program.chmod(0o700)
    count.write_text("0")
    limit.write_text("999")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(key))
    code, _, err = typed(*promote(site, receipt))
    assert code == ExitCode.HELD, err
    words: tuple[str, ...] = ("approve", "--ticket", "CHG-1", "--plan", DIGEST.findall(err)[0])
    for more, wanted in ((3, ExitCode.HELD), (4, ExitCode.HELD), (5, ExitCode.HELD), (0, ExitCode.UNREACHABLE)):
        limit.write_text(str(int(count.read_text()) + more))
        code, out, err = typed(*words)
        assert (code, "agent refused operation" in out + err) == (wanted, True), (more, out + err)
        words = ("resume",)
    limit.write_text("999")
    code, out, err = typed(*words)
    assert code == ExitCode.DONE, out + err
    (place,) = (tmp_path / "home/runs").iterdir()
    home = f"{site.prefix}/drfsm/runs/{place.name}"
    signed = {name.rpartition("/")[2].removesuffix(".sig") for name in site.etags(f"{home}/signatures/")}
    raw = (place / "state_transitions.log").read_bytes().splitlines(keepends=True)
    assert {digest(line) for line in raw} <= signed
    assert len([name for name in site.etags(f"{home}/0") if name.endswith(".json")]) == len(raw)


@pytest.mark.parametrize("variable", ["DRFSM_ALLOWED_SIGNERS", "DRFSM_SIGNING_KEY"])
def test_a_missing_file_of_keys_is_told(
    site: Site, typed: Typed, receipt: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A file that isn't there, named by the environment, is wrong usage, before anything is begun."""
    monkeypatch.setenv(variable, "/nowhere/keys")
    before = site.etags()
    code, _, err = typed(*promote(site, receipt))
    assert (code, variable in err) == (ExitCode.USAGE, True), err
    assert site.etags() == before


def test_what_a_person_is_shown_first_and_gives_here_are_inputs_that_there_are() -> None:
    """Each name of the two tables is an input of a shipped machine: none was misspelt, none has gone."""
    machines = (shipped("machines") / f"{name}.yaml" for name in ("drill", "promote", "failback"))
    inputs = {name for path in machines for name in load_machine(path.read_bytes(), source=path.name).inputs}
    assert {*STARTS, *PLACES} <= inputs
