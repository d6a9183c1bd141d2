"""The batch job that drfsm guards, as a program: ``python -m drfsm.sandbox.workload``.

It stands for somebody else's container image, so it shares nothing with drfsm but the contract below,
and like the real thing it is a careless neighbour: it overwrites pointers unconditionally, names no site
in them, and calls a run a success although nothing was published, unless it is told otherwise.

What it reads (``JOBINTEL_S3_PREFIX`` holds for reads too):

    JOBINTEL_S3_BUCKET, JOBINTEL_S3_PREFIX        where to publish; the prefix is ``jobintel`` by default
    AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_…    S3 and the credentials for it
    PUBLISH_S3=1                                  publish; else nothing is published, and the run succeeds
    PUBLISH_S3_DRY_RUN=1                          say what would be published, write nothing
    PUBLISH_S3_REQUIRE=1                          a publish that fails, fails the run; else it is only said
    JOBINTEL_RUN_ID                               else the time: 2026-02-27T00:22:29.934039+00:00
    JOBINTEL_CANDIDATE                            ``local`` by default
    JOBINTEL_PROVIDERS, JOBINTEL_PROFILES         lists with commas, crossed; openai and cs by default
    JOBINTEL_SNAPSHOT                             the input; the same input gives the same records
    JOBINTEL_DIVERGE=<text>                       changes some of the records
    JOBINTEL_STATE_DIR                            ``/app/state``, below DRFSM_SANDBOX_ROOT if that is set
    JOBINTEL_PUBLISH_RUN_REPORT=1                 publish run_report.json too; without it, it stays local

What it writes, in this order (``<base>`` is ``<prefix>``; for other candidates than local it is
``<prefix>/candidates/<candidate>``):

    local      <state>/runs/<sanitised run id>/     every artifact, and run_report.json; always
    artifacts  <base>/runs/<run_id>/<provider>/<profile>/<file>, then <base>/runs/<run_id>/run_report.json
    latest     <base>/latest/<provider>/<profile>/<file>               for the ranked files only
    global     <prefix>/state/candidates/<candidate>/last_success.json
               <prefix>/state/last_success.json                        for candidate local only
    provider   <prefix>/state/candidates/<candidate>/<provider>/<profile>/last_success.json
               <prefix>/state/<provider>/<profile>/last_success.json   for candidate local only; pair by pair

A run that fails has no ranked files, so it moves no latest, and it moves no pointer.

What tests may ask of it:

    SANDBOX_SLEEP_SECONDS                                pause before publishing
    SANDBOX_SLEEP_BEFORE_POINTERS_SECONDS                pause before the pointers
    SANDBOX_WAIT_FOR                                     wait before publishing for this key in the bucket
    SANDBOX_WAIT_FOR_BEFORE_POINTERS                     wait before the pointers, likewise
    SANDBOX_DIE_AFTER=artifacts|latest|global|provider   die as killed, after that step
    SANDBOX_DIE_AFTER_WRITES=N                           die as killed, after the N-th object
    SANDBOX_FAIL=1                                       the run does not succeed
    SANDBOX_OBJECTS=N                                    N more small artifacts

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
from pathlib import Path
from typing import NamedTuple, NoReturn

from drfsm.sandbox.workload_artifacts import RANKED, Artifact, Run, artifacts, distinct, encoded, report
from drfsm.sandbox.workload_store import Store, StoreFault

DONE, FAILED, FAULTY, TERMINATED = 0, 1, 2, 143
STEPS = ("artifacts", "latest", "global", "provider")
POLL_SECONDS = 0.02

_TYPES = {".json": "application/json", ".csv": "text/csv; charset=utf-8"}


class Settings(NamedTuple):
    """The environment, read once and checked."""

    bucket: str
    prefix: str
    publish: bool
    dry_run: bool
    require: bool
    publish_report: bool
    run_id: str
    candidate: str
    pairs: tuple[tuple[str, str], ...]
    snapshot: str
    diverge: str
    state: Path
    fail: bool
    objects: int
    sleep_seconds: float
    sleep_before_pointers_seconds: float
    wait_for: str
    wait_for_before_pointers: str
    die_after: str
    die_after_writes: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings. Raises ValueError, which names the variable, for an invalid value."""
        variables = {name: text.strip() for name, text in environ.items()}
        die_after = variables.get("SANDBOX_DIE_AFTER", "")
        if die_after not in ("", *STEPS):
            raise ValueError(f"SANDBOX_DIE_AFTER={die_after}: must be one of {', '.join(STEPS)}")
        return cls(
            bucket=variables.get("JOBINTEL_S3_BUCKET", ""),
            prefix=(variables.get("JOBINTEL_S3_PREFIX") or "jobintel").strip("/"),
            publish=_flag(variables, "PUBLISH_S3"),
            dry_run=_flag(variables, "PUBLISH_S3_DRY_RUN"),
            require=_flag(variables, "PUBLISH_S3_REQUIRE"),
            publish_report=_flag(variables, "JOBINTEL_PUBLISH_RUN_REPORT"),
            run_id=variables.get("JOBINTEL_RUN_ID") or now(),
            candidate=variables.get("JOBINTEL_CANDIDATE") or "local",
            pairs=_pairs(variables),
            snapshot=variables.get("JOBINTEL_SNAPSHOT") or "2026-02-20",
            diverge=variables.get("JOBINTEL_DIVERGE", ""),
            state=_state(variables),
            fail=_flag(variables, "SANDBOX_FAIL"),
            objects=int(_number(variables, "SANDBOX_OBJECTS")),
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
        return self.prefix if self.candidate == "local" else f"{self.prefix}/candidates/{self.candidate}"

    @property
    def run_path(self) -> str:
        """The prefix of this run's artifacts; pointers carry it."""
        return f"{self.base}/runs/{self.run_id}"


class Write(NamedTuple):
    """One object to publish, and the step that it belongs to."""

    step: str
    key: str
    body: bytes


def now() -> str:
    """Return the time in the format of run ids: ``2026-02-27T00:22:29.934039+00:00``."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def sanitised(run_id: str) -> str:
    """Return the run id as the name of a local folder; in S3 it is used unchanged."""
    return run_id.replace(":", "").replace("-", "").replace(".", "")


def pointer(settings: Settings, run: Run) -> dict[str, object]:
    """Return the one body that all pointers of a run share."""
    return {
        "schema_version": 1,
        "run_id": run.run_id,
        "run_path": settings.run_path,
        "ended_at": run.ended_at,
        "providers": distinct(provider for provider, _ in settings.pairs),
        "profiles": distinct(profile for _, profile in settings.pairs),
        "provider_profiles": {f"{provider}:{profile}": run.run_id for provider, profile in settings.pairs},
    }


def pointer_keys(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (step, key) of every pointer in the order of writing: candidate's key, then the older one."""
    homes = [f"{settings.prefix}/state/candidates/{settings.candidate}"]
    if settings.candidate == "local":
        homes.append(f"{settings.prefix}/state")
    for home in homes:
        yield "global", f"{home}/last_success.json"
    for provider, profile in settings.pairs:
        for home in homes:
            yield "provider", f"{home}/{provider}/{profile}/last_success.json"


def writes(settings: Settings, run: Run, made: Sequence[Artifact], run_report: bytes) -> Iterator[Write]:
    """Yield every object of a run in the order in which the contract says to write it."""
    for artifact in made:
        yield Write("artifacts", f"{settings.run_path}/{artifact.path}", artifact.body)
    if settings.publish_report:
        yield Write("artifacts", f"{settings.run_path}/run_report.json", run_report)
    for artifact in made:
        if artifact.name in RANKED:
            yield Write("latest", f"{settings.base}/latest/{artifact.path}", artifact.body)
    if run.successful:
        body = encoded(pointer(settings, run))
        for step, key in pointer_keys(settings):
            yield Write(step, key, body)


def main(environ: Mapping[str, str]) -> int:
    """Run the job once; return its exit code."""
    try:
        settings = Settings.read(environ)
    except ValueError as fault:
        return _say(f"wrong environment: {fault}", FAULTY)
    _say(f"JOBINTEL_RUN_ID={settings.run_id}")
    started_at, started = now(), time.monotonic()
    store = Store(settings.bucket, environ) if settings.publish and settings.bucket else None
    _before_publishing(settings, store)
    run = Run(
        run_id=settings.run_id,
        candidate=settings.candidate,
        snapshot=settings.snapshot,
        diverge=settings.diverge,
        successful=not settings.fail,
        started_at=started_at,
        ended_at=now(),
        duration_seconds=round(time.monotonic() - started, 6),
        extra_objects=settings.objects,
    )
    made = artifacts(run, settings.pairs)
    run_report = encoded(report(run, settings.pairs, made))
    _keep(settings, made, run_report)
    published = _publish(settings, store, list(writes(settings, run, made, run_report)))
    if not run.successful:
        return _say("the run failed; no pointer was moved", FAILED)
    if not published and settings.require:
        return _say("publishing is required (PUBLISH_S3_REQUIRE=1): the run counts as failed", FAULTY)
    return DONE


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
    if not settings.publish:
        _say("publishing is off (PUBLISH_S3=0): nothing published")
        return True
    if settings.dry_run:
        for write in planned:
            _say(f"would write s3://{settings.bucket}/{write.key}")
        _say(f"dry run (PUBLISH_S3_DRY_RUN=1): nothing of {len(planned)} objects published")
        return True
    if store is None:
        _say("publish failed: JOBINTEL_S3_BUCKET is not set")
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
            store.put(write.key, write.body, _TYPES[Path(write.key).suffix])
            if number == settings.die_after_writes:
                _die(f"after object {number}")
    if step == settings.die_after:
        _die(f"after {step}")


def _last_success(store: Store, settings: Settings) -> str:
    """Return the run id that readers would find now: the candidate's key, else the older one."""
    for step, key in pointer_keys(settings):
        if step == "global" and (body := store.get(key)) is not None:
            try:
                return str(json.loads(body)["run_id"])
            except (ValueError, TypeError, KeyError):
                return f"unreadable ({key})"
    return "none"


def _keep(settings: Settings, made: Sequence[Artifact], run_report: bytes) -> None:
    """Write the run to the local state."""
    home = settings.state / "runs" / sanitised(settings.run_id)
    for path, body in [*((artifact.path, artifact.body) for artifact in made), ("run_report.json", run_report)]:
        target = home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


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
    return variables.get(name, "").lower() in ("1", "true", "yes", "on")


def _number(variables: Mapping[str, str], name: str) -> float:
    text = variables.get(name) or "0"
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name}={text}: must be a number, 0 or more")
    return number


def _pairs(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    providers = (variables.get("JOBINTEL_PROVIDERS") or "openai").split(",")
    profiles = (variables.get("JOBINTEL_PROFILES") or "cs").split(",")
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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main(os.environ))
