"""What a store says of an audited run: its artifacts, read again, and its mirror, line by line. Changes nothing.

Used by auditing.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drfsm.claims import bounded
from drfsm.errors import DrfsmError
from drfsm.evidence.audit.findings import Finding
from drfsm.journal import Record, RunState, digest
from drfsm.journal.record_types import Sampled, Transition
from drfsm.runs import mirrors
from drfsm.world import ObjectStore

_NAMES = ("run_id", "where", "tree_sha256", "verdict")


class Trees:
    """Each run's tree of artifacts that a record saw whole: address -> what was seen last. ``latest`` is none."""

    def __init__(self) -> None:
        self.seen: dict[str, Mapping[str, Any]] = {}

    def take(self, record: Record) -> None:
        """Take in the next record."""
        content = record.content
        if isinstance(content, Transition | Sampled):
            for reading in content.facts.values():
                for tree in _trees(reading.seen):
                    if str(tree["where"]).endswith(str(tree["run_id"])):
                        self.seen[str(tree["where"])] = tree


def _trees(seen: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(seen, Mapping):
        return
    if all(name in seen for name in _NAMES) and seen["verdict"] == "verified":
        yield seen
    for part in seen.values():
        yield from _trees(part)


def artifacts(store: ObjectStore, seen: Mapping[str, Mapping[str, Any]], state: RunState) -> Iterator[Finding]:
    """Yield each tree of artifacts that is not as the records saw it (``Trees``). Raises Unreachable."""
    from drfsm.dr.artifacts import verify
    from drfsm.dr.layout import Layout
    from drfsm.dr.terms import terms_of

    terms = terms_of(state.inputs)
    for where, tree in seen.items():
        run_id = str(tree["run_id"])
        key = where.removeprefix("s3://").partition("/")[2]
        tail = f"/{terms.workload.keys.runs.replace('{run_id}', run_id)}"
        if not key.endswith(tail):
            continue
        now = verify(store, Layout(key.removesuffix(tail), "", terms.workload), run_id, pairs=[terms.pair])
        if now.tree_sha256 == tree["tree_sha256"]:
            continue
        problems = "; ".join(f"{bounded(problem.path, 200)}: {problem.kind}" for problem in now.problems[:3])
        code = "artifact_is_missing" if now.verdict == "missing" else "artifacts_differ"
        what = f"the artifacts of {where} are not those that the records saw{f' ({problems})' if problems else ''}"
        yield Finding(0, code, what, expected=tree["tree_sha256"], found=now.tree_sha256)


def mirror(lines: Iterable[bytes], state: RunState, places: Mapping[str, str]) -> Iterator[Finding]:
    """Yield how a run's mirror differs from its log: the first record that does, and which of the two is longer."""
    bucket, prefix = str(state.inputs.get("bucket", "")), mirrors.own_prefix(state.inputs)
    try:
        copy = mirrors.mirror_at(mirrors.store_of(bucket, places), prefix, state.run_id)
    except DrfsmError as fault:
        yield Finding(0, "bundle_unreadable", f"the mirror can't be read: {fault.what}")
        return
    if not copy.lines:
        yield Finding(0, "mirror_is_missing", f"{copy.uri} has no record of this run")
        return
    count = 0
    for count, ours in enumerate(lines, start=1):
        theirs = copy.lines[count - 1] if count <= len(copy.lines) else ours
        if ours != theirs:
            what = f"{copy.uri} has another record {count - 1}"
            yield Finding(count, "mirror_differs", what, expected=digest(theirs), found=digest(ours))
            return
    if len(copy.lines) > count:
        what = f"{copy.uri} has {len(copy.lines)} records, the log {count}"
        yield Finding(0, "mirror_is_longer", what, expected=len(copy.lines), found=count)
    elif len(copy.lines) < count:
        what = f"{copy.uri} has only the first {len(copy.lines)} of {count} records"
        yield Finding(0, "mirror_is_shorter", what, expected=count, found=len(copy.lines))
    else:
        yield Finding(0, "mirror_is_the_same", f"{copy.uri} has the same {count} records")
