"""The batch job that drfsm guards, as a program: ``python -m drfsm.sandbox.workload [--contract FILE]``.

It stands for somebody else's container image, so it shares nothing with drfsm but the contract below,
and like the real thing it is a careless neighbour: it overwrites pointers unconditionally, names no site
in them, and calls a run a success although nothing was published, unless it is told otherwise.

What it reads. The first five have other names where ``--contract`` says so (workload_contract.py):

    JOBINTEL_S3_BUCKET, JOBINTEL_S3_PREFIX        where to publish; the prefix is ``jobintel`` by default
    PUBLISH_S3=1                                  publish; else nothing is published, and the run succeeds.
                                                  Where a contract has a text for a switch: that text
    PUBLISH_S3_DRY_RUN=1                          say what would be published, write nothing
    PUBLISH_S3_REQUIRE=1                          a publish that fails, fails the run; else it is only said
    JOBINTEL_RUN_ID                               else the time: 2026-11-28T08:02:45Z
    AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_…    S3 and the credentials for it
    JOBINTEL_CANDIDATE                            ``local`` by default
    JOBINTEL_PROVIDERS, JOBINTEL_PROFILES         lists with commas, crossed; ``--providers`` and ``--profiles``
                                                  say them where the environment doesn't; else openai and cs
    JOBINTEL_SNAPSHOT                             the input; the same input gives the same files
    JOBINTEL_DIVERGE=<text>                       changes some of the records
    JOBINTEL_STATE_DIR                            ``/app/state``, below DRFSM_SANDBOX_ROOT if that is set; its data
                                                  folder lies beside it
    JOBINTEL_PUBLISH_RUN_REPORT=1                 publish run_report.json too; without it, it stays local, unless a
                                                  contract requires it
    JOBINTEL_PUBLISH_STATEMENTS=1                 publish each pair's run_summary, run_health and provider_availability
                                                  too, as an uploader of one's own might

What it writes, in this order (``<base>`` is ``<prefix>``; for other candidates than local it is
``<prefix>/candidates/<candidate>``):

    local      its data and state folder: see workload_local.py; always
    artifacts  <base>/runs/<run_id>/<provider>/<profile>/<file>: five of each pair, and nothing else; then
               <base>/runs/<run_id>/run_report.json, if it is told so
    latest     <base>/latest/<provider>/<profile>/<file>               the same five
    global     <prefix>/state/candidates/<candidate>/last_success.json
    provider   <prefix>/state/candidates/<candidate>/<provider>/<profile>/last_success.json, pair by pair
    older      <prefix>/state/last_success.json, then <prefix>/state/<provider>/<profile>/last_success.json;
               for candidate local only

A run that would make just the files of the last success that its state folder knows says so (``No changes
detected``), publishes nothing, moves no pointer, and succeeds. A run that fails has ranked nothing, so it
publishes nothing but its report, if it is told so, and moves no pointer.

What tests may ask of it:

    SANDBOX_SLEEP_SECONDS                                pause before publishing
    SANDBOX_SLEEP_BEFORE_POINTERS_SECONDS                pause before the pointers
    SANDBOX_WAIT_FOR                                     wait before publishing for this key in the bucket
    SANDBOX_WAIT_FOR_BEFORE_POINTERS                     wait before the pointers, likewise
    SANDBOX_DIE_AFTER=artifacts|latest|global|provider|older
                                                         die as killed, after that step
    SANDBOX_DIE_AFTER_WRITES=N                           die as killed, after the N-th object
    SANDBOX_FAIL=1                                       the run does not succeed
    SANDBOX_OBJECTS=N                                    N more small artifacts

``--preflight`` only asks whether the bucket can be read, and says so. Other arguments, such as the real workload's
``--offline``, are accepted and say nothing to it.

Exit codes: 0 done, 1 the run failed, 2 wrong environment, or a publish that failed and was required;
143 stopped by SIGTERM.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

from drfsm.sandbox.workload_artifacts import Artifact, Input, artifacts, encoded
from drfsm.sandbox.workload_contract import Contract, filled, is_true
from drfsm.sandbox.workload_local import Run, keep, keep_success, keep_unchanged, report, statements, unchanged_since
from drfsm.sandbox.workload_store import Store, StoreFault

DONE, FAILED, FAULTY, TERMINATED = 0, 1, 2, 143
STEPS = ("artifacts", "latest", "global", "provider", "older")
POLL_SECONDS = 0.02

UNCHANGED = (
    "{marker} (raw/labeled/enriched) and ranked artifacts present. "
    "Short-circuiting downstream stages (scoring not required)."
)

_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}


class Settings(NamedTuple):
    """The contract, and what environment and arguments say, read once and checked."""

    contract: Contract
    preflight: bool
    bucket: str
    prefix: str
    off_by: str  # the switch that keeps the run from publishing
    braked_by: str  # the switch that asks only to say what would be published
    require: bool
    publish_report: bool
    publish_statements: bool
    run_id: str
    candidate: str
    pairs: tuple[tuple[str, str], ...]
    given: Input
    state: Path
    fail: bool
    sleep_seconds: float
    sleep_before_pointers_seconds: float
    wait_for: str
    wait_for_before_pointers: str
    die_after: str
    die_after_writes: int

    @classmethod
    def read(cls, environ: Mapping[str, str], argv: Sequence[str]) -> "Settings":
        """Return the settings. Raises ValueError, which names the variable, for an invalid value."""
        contract = Contract.read(argv)
        place, defaults = contract.variables, contract.defaults
        variables = {name: text.strip() for name, text in environ.items()}
        die_after = variables.get("SANDBOX_DIE_AFTER", "")
        if die_after not in ("", *STEPS):
            raise ValueError(f"SANDBOX_DIE_AFTER={die_after}: must be one of {', '.join(STEPS)}")
        return cls(
            contract=contract,
            preflight="--preflight" in argv,
            bucket=variables.get(place["bucket"], ""),
            prefix=(variables.get(place["prefix"]) or defaults["prefix"]).strip("/"),
            off_by=contract.off_by(variables),
            braked_by=contract.braked_by(variables),
            require=contract.requires(variables),
            publish_report=bool(contract.report["required"]) or _flag(variables, "JOBINTEL_PUBLISH_RUN_REPORT"),
            publish_statements=_flag(variables, "JOBINTEL_PUBLISH_STATEMENTS"),
            run_id=variables.get(place["run_id"]) or new_run_id(contract),
            candidate=variables.get("JOBINTEL_CANDIDATE") or defaults["candidate"],
            pairs=_pairs(variables, argv, defaults),
            given=Input(
                snapshot=variables.get("JOBINTEL_SNAPSHOT") or "2026-02-20",
                diverge=variables.get("JOBINTEL_DIVERGE", ""),
                extra_objects=int(_number(variables, "SANDBOX_OBJECTS")),
            ),
            state=_state(variables),
            fail=_flag(variables, "SANDBOX_FAIL"),
            sleep_seconds=_number(variables, "SANDBOX_SLEEP_SECONDS"),
            sleep_before_pointers_seconds=_number(variables, "SANDBOX_SLEEP_BEFORE_POINTERS_SECONDS"),
            wait_for=variables.get("SANDBOX_WAIT_FOR", ""),
            wait_for_before_pointers=variables.get("SANDBOX_WAIT_FOR_BEFORE_POINTERS", ""),
            die_after=die_after,
            die_after_writes=int(_number(variables, "SANDBOX_DIE_AFTER_WRITES")),
        )

    @property
    def base(self) -> str:
        """The prefix of this candidate's ``runs`` and ``latest``."""
        if self.candidate == self.contract.defaults["candidate"]:
            return self.prefix
        return f"{self.prefix}/{filled(self.contract.keys['candidates'], candidate=self.candidate)}"

    @property
    def run_path(self) -> str:
        """The prefix of this run's artifacts; pointers carry it."""
        return f"{self.base}/{filled(self.contract.keys['runs'], run_id=self.run_id)}"

    @property
    def data(self) -> Path:
        """The data folder, beside the state folder."""
        return self.state.parent / "data"

    def place(self, artifact: Artifact) -> str:
        """Return where an artifact lies, below a run and below latest."""
        return f"{self.contract.pair_home(artifact.provider, artifact.profile)}/{artifact.file}"


class Write(NamedTuple):
    """One object to publish, and the step that it belongs to."""

    step: str
    key: str
    body: bytes


def now() -> str:
    """Return the time, in full seconds: ``2026-11-28T08:02:45Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run_id(contract: Contract) -> str:
    """Return the id of a run that begins now."""
    moment = now() if contract.run_ids["form"] == "time" else datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{contract.run_ids.get('prefix', '')}{moment}"


def pointer(settings: Settings, run: Run) -> dict[str, object]:
    """Return the one body that all pointers of a run share."""
    names = settings.contract.pointers["fields"]
    return {
        "schema_version": 1,
        names["run_id"]: run.run_id,
        names["run_path"]: settings.run_path,
        names["ended_at"]: run.ended_at,
        "providers": run.providers,
        "profiles": run.profiles,
        names["provider_profiles"]: {f"{provider}:{profile}": run.run_id for provider, profile in run.pairs},
    }


def pointer_keys(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (step, key) of every pointer in the order of writing: the candidate's keys, then the older ones."""
    pointers, candidate = settings.contract.pointers, settings.candidate
    homes = [("global", "provider", filled(pointers["home"], candidate=candidate))]
    if pointers.get("older") and candidate == settings.contract.defaults["candidate"]:
        homes.append(("older", "older", pointers["older"]))
    for of_all, of_pair, home in homes:
        yield of_all, f"{settings.prefix}/{home}/{pointers['name']}"
        for provider, profile in settings.pairs:
            yield of_pair, f"{settings.prefix}/{home}/{provider}/{profile}/{pointers['name']}"


def writes(settings: Settings, run: Run, made: Sequence[Artifact], run_report: bytes) -> Iterator[Write]:
    """Yield every object of a run in the order in which the contract says to write it."""
    for artifact in made:
        yield Write("artifacts", f"{settings.run_path}/{settings.place(artifact)}", artifact.body)
    if settings.publish_report:
        yield Write("artifacts", f"{settings.run_path}/{settings.contract.report['key']}", run_report)
    for artifact in made:
        if artifact.latest:
            home = f"{settings.base}/{settings.contract.keys['latest']}"
            yield Write("latest", f"{home}/{settings.place(artifact)}", artifact.body)
    if run.successful:
        body = encoded(pointer(settings, run))
        for step, key in pointer_keys(settings):
            yield Write(step, key, body)


def main(environ: Mapping[str, str], argv: Sequence[str] = ()) -> int:
    """Run the job once; return its exit code."""
    try:
        settings = Settings.read(environ, argv)
    except ValueError as fault:
        return _say(f"wrong environment: {fault}", FAULTY)
    if settings.preflight:
        return _preflight(settings, environ)
    _say(f"{settings.contract.run_ids.get('marker', '')}{settings.run_id}")
    started_at, started = now(), time.monotonic()
    store = Store(settings.bucket, environ) if settings.bucket and not settings.off_by else None
    _before_publishing(settings, store)
    run = Run(
        run_id=settings.run_id,
        candidate=settings.candidate,
        snapshot=settings.given.snapshot,
        pairs=settings.pairs,
        successful=not settings.fail,
        started_at=started_at,
        ended_at=now(),
        duration_seconds=round(time.monotonic() - started, 6),
    )
    made = artifacts(settings.contract, settings.given, settings.pairs) if run.successful else []
    if run.successful and unchanged_since(run, made, settings.state):
        keep_unchanged(run, settings.state)
        return _say(UNCHANGED.format(marker=settings.contract.unchanged))
    more = statements(run, made) if settings.publish_statements else []
    run_report = report(settings.contract, run, [*made, *more])
    keep(settings.contract, run, made, run_report, data=settings.data, state=settings.state)
    published = _publish(settings, store, list(writes(settings, run, [*made, *more], run_report)))
    if not run.successful:
        return _say("the run failed; no pointer was moved", FAILED)
    if not published and settings.require:
        required = ", ".join(f"{name}={value}" for name, value in settings.contract.variables["validation"].items())
        return _say(f"publishing is required ({required}): the run counts as failed", FAULTY)
    keep_success(run, made, settings.state)
    return DONE


def _preflight(settings: Settings, environ: Mapping[str, str]) -> int:
    """Say whether the bucket can be read."""
    if not settings.bucket:
        return _say(f"S3 preflight failed: {settings.contract.variables['bucket']} is not set", FAULTY)
    try:
        last = _last_success(Store(settings.bucket, environ), settings)
    except StoreFault as fault:
        return _say(f"S3 preflight failed: {fault}", FAULTY)
    return _say(f"S3 preflight ok: s3://{settings.bucket}/{settings.prefix}, last success {last}")


def _before_publishing(settings: Settings, store: Store | None) -> None:
    time.sleep(settings.sleep_seconds)
    if store is None:
        return
    try:
        _wait(store, settings.wait_for)
        _say(f"last success before this run: {_last_success(store, settings)}")
    except StoreFault as fault:
        _say(f"cannot read the last success: {fault}")


def _publish(settings: Settings, store: Store | None, planned: Sequence[Write]) -> bool:
    """Publish the planned objects, unless the switches say no; return False if that failed."""
    if settings.off_by:
        _say(f"publishing is off ({_off(settings, settings.off_by)}): nothing published")
        return True
    if settings.braked_by:
        for write in planned:
            _say(f"would write s3://{settings.bucket}/{write.key}")
        _say(f"dry run ({_off(settings, settings.braked_by)}): nothing of {len(planned)} objects published")
        return True
    if store is None:
        _say(f"publish failed: {settings.contract.variables['bucket']} is not set")
        return False
    try:
        for step in STEPS:
            _step(settings, store, step, planned)
    except StoreFault as fault:
        _say(f"publish failed: {fault}")
        return False
    _say(f"published {len(planned)} objects to s3://{settings.bucket}/{settings.run_path}")
    return True


def _step(settings: Settings, store: Store, step: str, planned: Sequence[Write]) -> None:
    if step == "global":
        time.sleep(settings.sleep_before_pointers_seconds)
        _wait(store, settings.wait_for_before_pointers)
    for number, write in enumerate(planned, start=1):
        if write.step == step:
            store.put(write.key, write.body, _TYPES.get(Path(write.key).suffix, "application/octet-stream"))
            if number == settings.die_after_writes:
                _die(f"after object {number}")
    if step == settings.die_after:
        _die(f"after {step}")


def _off(settings: Settings, name: str) -> str:
    """Return what a switch says when publishing is off."""
    return f"{name}={settings.contract.switches['off'][name]}"


def _last_success(store: Store, settings: Settings) -> str:
    """Return the run id that readers would find now: the candidate's key, else the older one."""
    keys = list(pointer_keys(settings))
    for step in ("global", "older"):  # the first key of either is of all pairs
        key = next((key for named, key in keys if named == step), "")
        if key and (body := store.get(key)) is not None:
            try:
                return str(json.loads(body)[settings.contract.pointers["fields"]["run_id"]])
            except (ValueError, TypeError, KeyError):
                return f"unreadable ({key})"
    return "none"


def _wait(store: Store, key: str) -> None:
    while key and store.get(key) is None:
        time.sleep(POLL_SECONDS)


def _die(where: str) -> NoReturn:
    _say(f"killed {where} (SANDBOX_DIE_AFTER)")
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(FAILED)  # never reached: SIGKILL can't be caught


def _say(words: str, code: int = DONE) -> int:
    print(words, flush=True)  # noqa: T201  a container's log is its stdout
    return code


def _flag(variables: Mapping[str, str], name: str) -> bool:
    return is_true(variables.get(name, ""))


def _number(variables: Mapping[str, str], name: str) -> float:
    text = variables.get(name) or "0"
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name}={text}: must be a number, 0 or more")
    return number


def _pairs(
    variables: Mapping[str, str], argv: Sequence[str], defaults: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    said = dict(pairwise(argv))
    providers = (variables.get("JOBINTEL_PROVIDERS") or said.get("--providers") or defaults["provider"]).split(",")
    profiles = (variables.get("JOBINTEL_PROFILES") or said.get("--profiles") or defaults["profile"]).split(",")
    pairs = tuple((provider.strip(), profile.strip()) for provider in providers for profile in profiles)
    if not all(provider and profile for provider, profile in pairs):
        raise ValueError("JOBINTEL_PROVIDERS and JOBINTEL_PROFILES must be lists of names with commas")
    return pairs


def _state(variables: Mapping[str, str]) -> Path:
    """Return the path of the container's state directory on this machine."""
    path, root = variables.get("JOBINTEL_STATE_DIR") or "/app/state", variables.get("DRFSM_SANDBOX_ROOT")
    return Path(root) / path.lstrip("/") if root else Path(path)


def _terminated(_number: int, _frame: object) -> NoReturn:
    os.write(1, b"stopped by SIGTERM\n")  # print must not be entered again from a signal handler
    raise SystemExit(TERMINATED)


def run(argv: Sequence[str]) -> NoReturn:
    """Be the program: the job with this process's environment, to be ended by SIGTERM."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main(os.environ, argv))


if __name__ == "__main__":
    run(sys.argv[1:])
