"""`make demo-fleet`: drills of many sandboxed pairs and one failback, through Temporal, with workers that are killed.

Every pair has two sites and a bucket of its own; Temporal is its own server. All commands are run as a person would
type them. The journal of every run lies in its bucket alone; the workers share one signing key. On the way a worker is
killed with SIGKILL again and again, a wave of drills waits for an approval, and the failback is held by a person, who
then lets it go on. Raises DrfsmError where something does not end as it must.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, field

from drfsm.errors import DrfsmError
from drfsm.sandbox.lifecycle import State, down, environment_of, up
from drfsm.sandbox.seed import Options
from drfsm.sandbox.temporal_server import Server

PAIRS = 20
AT_ONCE = 4  # sandboxes that start at the same time, and drills
WORKERS, KILL_SECONDS = 3, 40.0
HOLD_SECONDS = 4.0  # after the failback was started
PATIENCE_SECONDS = 1500.0

Say = Callable[[str], None]


@define
class Stage:
    """What a demo, or a test, has on its stage: sandboxed pairs, Temporal, workers, a fleet file, keys."""

    directory: Path
    say: Say
    pairs: dict[str, State] = field(factory=dict)
    workers: list["subprocess.Popen[bytes]"] = field(factory=list)
    server: Server | None = None

    @property
    def file(self) -> Path:
        """The fleet file."""
        return self.directory / "fleet.toml"

    def start(self, canonical: Mapping[str, str], more: str = "") -> str:
        """Start pairs (name -> the site that is canonical) and Temporal; return "", or why Temporal does not start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.server = Server(self.directory)
        if why := self.server.start():
            return why
        with ThreadPoolExecutor(AT_ONCE) as pool:
            states = pool.map(lambda name: up(self.directory / name, _options(name, canonical[name])), canonical)
            self.pairs = dict(zip(canonical, states, strict=True))
        self._keys()
        self.file.write_text(self._fleet(more), encoding="utf-8")
        return ""

    def stop(self) -> None:
        """End all that was started."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: down(self.directory / name), self.pairs))
        if self.server is not None:
            self.server.kill()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a person and of a worker: keys, credentials, no address."""
        first = environment_of(next(iter(self.pairs.values())))
        kept = {name: value for name, value in first.items() if name.startswith(("AWS_", "DRFSM_"))}
        del kept["AWS_ENDPOINT_URL"]  # each pair has its own, in the fleet file
        keys = {
            "DRFSM_SIGNING_KEY": str(self.directory / "key"),
            "DRFSM_ALLOWED_SIGNERS": str(self.directory / "signers"),
        }
        homes = {"DRFSM_HOME": str(self.directory / "home"), "DRFSM_FLEET": str(self.file), "DRFSM_CONFIG": "none"}
        return {**os.environ, **kept, **keys, **homes, "DRFSM_SITE_ON_THIS_MACHINE": "1", "DRFSM_REQUEST_TIMEOUT": "5"}

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start one more worker."""
        assert self.server is not None  # noqa: S101  it was started
        with (self.directory / f"worker-{len(self.workers)}.log").open("wb") as log:
            made = subprocess.Popen(
                [sys.executable, "-m", "drfsm", "worker", "--temporal", self.server.address, "--fleet", str(self.file)],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.workers.append(made)
        return made

    def serving(self) -> list["subprocess.Popen[bytes]"]:
        """Return the workers that live, and have begun to serve."""
        logs = {worker: self.directory / f"worker-{number}.log" for number, worker in enumerate(self.workers)}
        return [worker for worker, log in logs.items() if worker.poll() is None and b"serving" in log.read_bytes()]

    def drfsm(self, *words: str) -> tuple[int, str]:
        """Run a command; return its code and what it printed on stdout."""
        self.say(f"$ drfsm {' '.join(words)}")
        done = subprocess.run(
            [sys.executable, "-m", "drfsm", *words], env=self.environ, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        for line in (done.stdout + done.stderr).splitlines():
            self.say(f"  {line}")
        return done.returncode, done.stdout

    def must(self, *words: str) -> str:
        """Run a command that must succeed; return what it printed."""
        code, said = self.drfsm(*words)
        if code:
            raise DrfsmError(f"the demo did not go as it must: drfsm {' '.join(words[:2])} ended with {code}")
        return said.strip()

    def standing(self, start: str) -> dict[str, dict[str, str]]:
        """Return where a start stands, without a word."""
        quiet = Stage(self.directory, lambda _line: None, self.pairs, [], self.server)
        code, said = quiet.drfsm("fleet", "status", "--start", start, "-o", "json")
        return dict(json.loads(said)) if code in (0, 4) else {}

    def requests(self, pair: str) -> dict[str, int]:
        """Return how many requests a pair's last run has sent, by kind, as its workflow was told."""
        from temporalio.client import Client

        async def asked() -> dict[str, int]:
            assert self.server is not None  # noqa: S101  it was started
            client = await Client.connect(self.server.address)
            return dict((await client.get_workflow_handle(f"drfsm/{pair}").query("position"))["requests"])

        return asyncio.run(asked())

    def _keys(self) -> None:
        key = self.directory / "key"
        if not key.exists():
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(key)]
            subprocess.run([shutil.which("ssh-keygen") or "ssh-keygen", *made[1:]], check=True)
        public = " ".join(key.with_suffix(".pub").read_text("ascii").split()[:2])
        (self.directory / "signers").write_text(f"fleet {public}\n", encoding="ascii")

    def _fleet(self, more: str) -> str:
        assert self.server is not None  # noqa: S101  it was started
        return f'[temporal]\naddress = "{self.server.address}"\n{more}\n' + "\n".join(
            _pair(name, state) for name, state in self.pairs.items()
        )


def _options(name: str, canonical: str) -> Options:
    return Options(bucket=f"results-{name}", canonical="dr" if canonical == "dr" else "primary")


def _pair(name: str, state: State) -> str:
    return f"""
[[pair]]
name = "{name}"
owner = "team-{int(name.rpartition("-")[2]) % 3}"
bucket = "{state.bucket}"
prefix = "{state.prefix}"
endpoint_url = "{state.endpoint}"
region = "us-east-1"
kubeconfig_dr = "{state.kubeconfig_dr}"
kubeconfig_primary = "{state.kubeconfig_primary}"
[pair.drill]
backup_uri = "{state.backup_uri}"
image_ref = "{state.image_ref}"
allow_full_drill = true
[pair.failback]
soak = "none"
"""


def tell(directory: Path, say: Say, pairs: int = PAIRS) -> Path:
    """Run the demo in a directory of its own; return the page that it ends with."""
    directory = directory.resolve()
    shutil.rmtree(directory, ignore_errors=True)
    names = [f"pair-{number:02d}" for number in range(1, pairs + 1)]
    last = names[-1]
    stage = Stage(directory, say)
    _chapter(say, f"{pairs} pairs of sites on this computer, and Temporal. One pair lost its primary before")
    try:
        waves = f'[waves]\nsize = {max(1, pairs // 2)}\nstop_after = 1\napproval = "after_first"\nat_once = {AT_ONCE}\n'
        if why := stage.start({name: "dr" if name == last else "primary" for name in names}, waves):
            raise DrfsmError(why, hint='pip install "drfsm[temporal,temporal-server]"')
        for _ in range(WORKERS):
            stage.worker()
        _failback(stage, last)
        _drills(stage)
        page = directory / "fleet.html"
        _chapter(say, "One page, one Prometheus file")
        stage.must("fleet", "status")
        stage.must("fleet", "report", "--out", str(page), "--prometheus", str(directory / "fleet.prom"))
    finally:
        stage.stop()
    return page


def _failback(stage: Stage, pair: str) -> None:
    """Fail one pair back: a person holds it, a worker dies, the person lets it go on."""
    _chapter(stage.say, "A failback. Somebody holds it in the middle; while it waits, it holds no process")
    run = stage.pairs[pair].dr_run_id
    start = stage.must(
        "fleet", "run", "failback", "--select", f"name={pair}", "--dr-run-id", run, "--confirm1", "FAILBACK",
        "--confirm2", f"CONFIRM-{run}", "--reason", "a rehearsal",
    )  # fmt: skip
    time.sleep(HOLD_SECONDS)
    stage.drfsm("fleet", "answer", pair, "hold", "--reason", "the night shift wants to look first", "--operator", "ada")
    _kill_one(stage)
    stage.drfsm("fleet", "status", "--select", f"name={pair}")
    stage.drfsm("fleet", "answer", pair, "resume", "--reason", "approved: CHG-2042", "--operator", "grace")
    _to_the_end(stage, start)


def _drills(stage: Stage) -> None:
    """Drill every pair, in two waves; the second one waits for an approval."""
    _chapter(
        stage.say, f"Drills of all {len(stage.pairs)} pairs, in waves; a worker is killed every {KILL_SECONDS:.0f} s"
    )
    start = stage.must("fleet", "run", "drill", "--name", "weekly")
    _to_the_end(stage, start)


def _to_the_end(stage: Stage, start: str) -> None:
    """Wait until a start has ended; kill workers on the way, and approve the wave that waits."""
    deadline, killed = time.monotonic() + PATIENCE_SECONDS, time.monotonic()
    while time.monotonic() < deadline:
        said = stage.standing(start)
        if said.get("waits_for_approval"):
            stage.must("fleet", "approve", start, str(said["wave"]), "--ticket", "CHG-2042", "--operator", "grace")
        runs, ends = said.get("runs", {}), said.get("ends", {})
        total = len(stage.pairs) if "/drill/" in start else 1
        if len(ends) == total and len(runs) == total:
            if bad := {pair: end for pair, end in ends.items() if end != "complete"}:
                raise DrfsmError(f"the demo did not go as it must: {bad}")
            stage.say(f"  {len(ends)} runs ended complete")
            return
        if time.monotonic() - killed > KILL_SECONDS:
            _kill_one(stage)
            killed = time.monotonic()
        time.sleep(2)
    raise DrfsmError(f"the demo did not go as it must: {start} did not end")


def _kill_one(stage: Stage) -> None:
    """Kill a worker that serves, and start another one; on a busy machine a start takes long, so another must serve."""
    serving = stage.serving()
    if len(serving) < 2:  # noqa: PLR2004
        return
    victim = random.choice(serving)  # noqa: S311  no secret
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    stage.say(f"  $ kill -9 {victim.pid}      # a worker is lost, with everything on its machine")
    stage.worker()


def _chapter(say: Say, words: str) -> None:
    say("")
    say(f"── {words}")


def main(argv: Sequence[str]) -> None:
    """Run the demo: python -m drfsm.sandbox.fleet_demo DIRECTORY [PAIRS]."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    directory = Path(argv[0] if argv else "build/demo-fleet")
    page = tell(directory, say, int(argv[1]) if len(argv) > 1 else PAIRS)
    say("")
    say(f"the page: {page}")


if __name__ == "__main__":
    main(sys.argv[1:])
