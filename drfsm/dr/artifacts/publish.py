"""The two runs' artifacts: proven whole, brought to their canonical place, and taken away again.

The validated run is published beside (Terms.staged) and copied on the server, byte for byte, with its
report last: its paths are relative to the run, so what it says stays true. An object with other content is
never overwritten, and withdrawing deletes what equals the staged run and was not there before. Places are
compared by what reading them gives, never by ETags. ``latest`` is judged by content: where both runs have
the same files it is the target site's as soon as those exist.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from drfsm.dr.artifacts.run_report import LARGEST_REPORT_BYTES, Found, declared
from drfsm.dr.artifacts.verification import (
    Verification,
    present,
    read_all,
    run_home,
    sizes_below,
    tree_digest,
    verify,
    verify_latest,
    verify_local,
)
from drfsm.dr.progress import FIRST, Progress, first_of, quiet
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Copy, ObjectStore, World

__all__ = ["ACTIONS", "FACTS", "Verification", "judge", "verify", "verify_latest", "verify_local"]


def _observe_canonical(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    layout, run_id = terms.layout, terms.old_run
    already_read = run.already_read.get(run_home(layout, run_id), {})
    verification = verify(
        world.store, layout, run_id, pairs=[terms.pair], note=run.note, check=run.check, already_read=already_read
    )
    return verification.record


def _observe_validated(world: World, run: Run) -> dict[str, Any]:
    """Verify the validated run and its ``latest`` beside: after the switch it would be too late to find it missing."""
    terms = terms_of(run.inputs)
    layout, run_id = terms.staged(run.id), terms.new_run
    whole = verify(world.store, layout, run_id, pairs=[terms.pair], note=run.note, check=run.check)
    newest = verify_latest(world.store, layout, run_id, pairs=[terms.pair], note=run.note, check=run.check, whole=False)
    return {**whole.record, "latest": newest.record}


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Say what a verification says; of a run and its latest, the worse."""
    verdicts = {seen["verdict"], (seen.get("latest") or seen)["verdict"]}
    return next(verdict for verdict in ("damaged", "missing", "verified") if verdict in verdicts)


@frozen
class _Published:
    """The staged run and its canonical place, side by side; paths are relative to the run."""

    stage: str
    canonical: str
    staged: Mapping[str, Found]
    placed: Mapping[str, Found | None]
    strangers: tuple[str, ...]

    @property
    def equal(self) -> list[str]:
        return sorted(path for path, content in self.staged.items() if self.placed.get(path) == content)

    @property
    def other(self) -> list[str]:
        return sorted(path for path in self.staged if self.placed.get(path) not in (None, self.staged[path]))

    @property
    def absent(self) -> list[str]:
        return sorted(path for path in self.staged if self.placed.get(path) is None)

    @property
    def record(self) -> dict[str, Any]:
        return {
            "where": self.canonical[:-1],
            "expected": len(self.staged),
            "tree_sha256": tree_digest(self.staged),
            "equal": first_of(self.equal),
            "other": first_of(self.other),
            "absent": len(self.absent),
        }


def _side_by_side(world: World, run: Run) -> _Published:
    terms = terms_of(run.inputs)
    run_id = terms.new_run
    stage, canonical = run_home(terms.staged(run.id), run_id), run_home(terms.layout, run_id)
    here, there = sizes_below(world.store, stage), sizes_below(world.store, canonical)
    common = [path for path in here if path in there]
    return _Published(
        stage=stage,
        canonical=canonical,
        staged=present(read_all(world.store, stage, here, run.note, run.check)),
        placed=read_all(world.store, canonical, common, run.note, run.check),
        strangers=tuple(sorted(set(there) - set(here))),
    )


def _judge_published(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    equal, other = seen["equal"]["total"], seen["other"]["total"]
    if seen["expected"] and equal == seen["expected"]:
        return "published"
    return "partial" if equal or other else "absent"


def _report_key(run: Run) -> str:
    """Return where a run's report lies, relative to the run; "" where the contract knows none."""
    form = terms_of(run.inputs).workload.report
    return form.key if form else ""


def _publish(world: World, run: Run) -> dict[str, Any]:
    now = _side_by_side(world, run)
    _refuse_to_publish(world.store, run, now)
    report = _report_key(run)
    paths = sorted(now.absent, key=lambda path: path == report)  # AFTER what it names: who finds it finds that
    size_bytes = sum(now.staged[path][1] for path in paths)
    progress = Progress(run.note, "published", len(paths), size_bytes)
    for some in ([path for path in paths if path != report], [path for path in paths if path == report]):
        copies = [Copy(now.stage + path, now.canonical + path, now.staged[path][1]) for path in some]
        for each in world.store.copy_many(copies, check=run.check):
            progress.add(each.size_bytes)
    return {
        "copied": len(paths),
        "copied_bytes": size_bytes,
        "equal": len(now.equal),
        "tree_sha256": tree_digest(now.staged),
        "seconds": progress.end(),
    }


def _refuse_to_publish(store: ObjectStore, run: Run, now: _Published) -> None:
    """Look at everything before anything is copied."""
    place = f"s3://{store.bucket}/{now.canonical}"
    if not now.staged:
        raise ActionFailed(f"nothing was published beside, at s3://{store.bucket}/{now.stage}", fault="store")
    if strange := [*now.other, *now.strangers]:
        raise Conflict(
            f"{place} holds {len(strange)} objects that are not the validated run's: {', '.join(strange[:3])}",
            hint="look at them; abort, and start again with another run id",
        )
    before = run.first_seen.get("artifacts") or now.record
    if now.absent and before["equal"]["total"] > FIRST:
        raise ActionFailed(
            f"{before['equal']['total']} objects of the run were at {place} before: they could not be told apart"
            " from what this run copies, if it had to be withdrawn",
            hint="abort, and start again with another run id",
        )
    form = terms_of(run.inputs).workload.report
    if form is None or (blob := store.get(now.stage + form.key, largest_bytes=LARGEST_REPORT_BYTES)) is None:
        return
    statement = declared(blob.body, terms_of(run.inputs).new_run, form)
    untrue = [path for path, wanted in statement.entries.items() if now.staged.get(path) != wanted]
    if (faults := (*statement.failed, *statement.problems)) or untrue:
        problems = "; ".join([*(problem.told for problem in faults), *untrue][:3])
        raise ActionFailed(
            f"the validated run's report does not hold, so it is not published: {problems}", fault="store"
        )


def _withdraw(world: World, run: Run) -> dict[str, Any]:
    """Delete what this run put: what equals the staged run, but for what was there before."""
    image = run.undoing["artifacts"]["equal"]
    if image["total"] > FIRST:
        return {"deleted": 0}  # with so many there before, nothing was copied
    now = _side_by_side(world, run)
    if not now.staged:
        raise ActionFailed(
            f"the validated run is gone from s3://{world.store.bucket}/{now.stage}: nothing tells any more what of"
            f" {now.canonical} was copied from it",
            hint="look at what lies there, then `drfsm request waive_undo --reason ...`",
            fault="store",
        )
    report = _report_key(run)
    ours = sorted(set(now.equal) - set(image["first"]), key=lambda path: path != report)
    for some in ([path for path in ours if path == report], [path for path in ours if path != report]):
        for _ in world.store.delete_many([now.canonical + path for path in some], check=run.check):
            pass
    run.note(f"withdrew {len(ours)} objects from s3://{world.store.bucket}/{now.canonical}")
    return {"deleted": len(ours)}


@frozen
class _Latest:
    """The files of ``latest`` that count, as they are, and as each run has them; None where there is none."""

    allowed_by: str  # staged: what the validation published to its own latest; canonical: what is there
    stage: str
    canonical: str
    now: Mapping[str, Found | None]
    of: Mapping[str, Mapping[str, Found | None]]  # site -> its run's

    @property
    def record(self) -> dict[str, Any]:
        return {
            "where": self.canonical[:-1],
            "allowed_by": self.allowed_by,
            "files": len(self.now),
            "there": len(present(self.now)),
            "tree_sha256": tree_digest(present(self.now)),
            **{f"unlike_{site}": first_of(self._unlike(files)) for site, files in self.of.items()},
        }

    def _unlike(self, files: Mapping[str, Found | None]) -> list[str]:
        return sorted(path for path, content in self.now.items() if content != files.get(path))


def _latest(world: World, run: Run) -> _Latest:
    terms = terms_of(run.inputs)
    layout, beside = terms.layout, terms.staged(run.id)
    stage, canonical = f"{beside.latest()}/", f"{layout.latest()}/"
    allowed = sizes_below(world.store, stage)
    paths = allowed or sizes_below(world.store, canonical)

    def read(home: str) -> dict[str, Found | None]:
        return read_all(world.store, home, paths, quiet, run.check)

    return _Latest(
        allowed_by="staged" if allowed else "canonical",
        stage=stage,
        canonical=canonical,
        now=read(canonical),
        of={
            terms.target_site: read(stage) if allowed else {},
            terms.source_site: read(run_home(layout, old)) if (old := terms.old_run) else {},
        },
    )


def _judge_latest(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    terms = terms_of(inputs)
    new, old = terms.target_site, terms.source_site
    if seen["there"] and seen["allowed_by"] == "staged" and not seen[f"unlike_{new}"]["total"]:
        return new
    return old if seen["there"] and not seen[f"unlike_{old}"]["total"] else "other"


def _switch_latest(world: World, run: Run) -> dict[str, Any]:
    now = _latest(world, run)
    files = {path: content for path, content in now.of[terms_of(run.inputs).target_site].items() if content is not None}
    if not files:
        raise ActionFailed("the validated run left no latest beside that could be switched to", fault="store")
    changed = sorted(path for path, content in files.items() if now.now[path] != content)
    copies = [Copy(now.stage + path, now.canonical + path, files[path][1]) for path in changed]
    for copied in world.store.copy_many(copies, check=run.check):
        run.note(f"switched {copied.target}")
    return {"copied": len(changed), "equal": len(files) - len(changed), "tree_sha256": tree_digest(files)}


CANONICAL = Fact(_observe_canonical, judge)
VALIDATED = Fact(_observe_validated, judge)
FACTS = {
    "dr_run": CANONICAL,
    "primary_run": VALIDATED,
    "artifacts": Fact(lambda world, run: _side_by_side(world, run).record, _judge_published),
    "latest": Fact(lambda world, run: _latest(world, run).record, _judge_latest),
}
LATE = {
    # What is beside tells what was published, and goes away when the validation is undone.
    "publish_artifacts": Late(settles="a copy within the bucket has no condition", early=True),
    "withdraw_artifacts": Late(settles="a deletion in the bucket has no condition", early=True),
    "switch_latest": Late(settles="a copy within the bucket has no condition"),
}
ACTIONS = {
    "publish_artifacts": _publish,
    "withdraw_artifacts": _withdraw,
    "switch_latest": _switch_latest,
}
