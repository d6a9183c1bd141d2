"""Reads the world, and returns what the dashboard shows: one JSON document, of one moment.

Owns its fields; evidence/schemas/dashboard.py declares their types. What can't be read never keeps the rest from being
shown, and nothing that was read before stands in its place. Where the bucket as a whole does not answer, it is asked
once, and not once more for each object.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from drfsm import __version__
from drfsm.dashboard import sites as of_sites
from drfsm.dashboard.rows import drill_of, ended_run, moved_at, open_run
from drfsm.dashboard.runs import Mirrors, SeenRun, folders_of, seen_runs
from drfsm.dashboard.values import Fields, Unread, is_known, none, time_of, unknown, words
from drfsm.errors import DrfsmError, UsageFault

if TYPE_CHECKING:
    from drfsm.dr.layout import Layout
    from drfsm.world import ObjectStore, Stat, World

SCHEMA_VERSION = 1
MOST_ENDED = 50
"""Runs of the history; how many more there are, `drfsm list` shows."""
_SITES = ("primary", "dr")


@frozen
class Source:
    """What is read: the place that options name, as a run's inputs have it, and the mirrors that were read before."""

    inputs: Mapping[str, Any]
    asked: tuple[str, ...] = ()  # the sites whose clusters are asked
    mirrors: Mirrors = field(factory=Mirrors)


def source_of(options: Mapping[str, Any]) -> Source:
    """Return the source that the options of `drfsm dashboard` name.

    Facts are observed for the inputs of a promote, which goes from the primary to DR. No such run is begun. Raises
    UsageFault for a kubeconfig that is no file.
    """
    asked = tuple(site for site in _SITES if options[f"kubeconfig_{site}"])
    for site in asked:
        if not Path(options[f"kubeconfig_{site}"]).is_file():
            raise UsageFault(
                f"--kubeconfig-{site}: there is no file {options[f'kubeconfig_{site}']}", hint="check the path"
            )
    return Source({"cronjob_selector": "", "resume_cronjobs": "", **options, "taker": "dr"}, asked)


def gather(source: Source) -> Fields:
    """Return the document. Raises nothing that the world did."""
    from drfsm.dr.terms import terms_of
    from drfsm.engine import Run, SystemClock
    from drfsm.runs.world import only_read

    terms = terms_of(source.inputs)
    world = only_read(source.inputs, Path())
    run = Run("dashboard", source.inputs, "", 0, True, "look", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    unread = Unread()
    listing, fault = _listed(world.store, terms.prefix)
    if fault is not None:
        unread.add(f"the bucket {terms.bucket}", fault.what)
    bucket = _Bucket(world, terms.layout, listing, fault, unread, terms.pair)
    runs = _runs(source, bucket, terms.bucket, terms.prefix)
    sight = of_sites.Sight(world, run, source.asked, runs, unread)
    fences = dict.fromkeys(_SITES, bucket.down) if bucket.down else of_sites.fences(world, terms.layout, unread)
    schedules = of_sites.schedules(sight, fences)
    active, refuses = bucket.active_site()
    endpoints = {**active, "names": of_sites.names(sight)}
    return {
        "schema_version": SCHEMA_VERSION,
        "read_at": time_of(run.clock.now()),
        "drfsm_version": __version__,
        "workload": terms.workload.name,
        "bucket": terms.bucket,
        "prefix": terms.prefix,
        "unread": unread.entries,
        "pointers": bucket.pointers(runs),
        "endpoints": endpoints,
        "schedules": schedules,
        "publish": of_sites.publish(sight, schedules["sites"]),
        "write": writable(
            active,
            fences,
            of_sites.no_writes_since(runs),
            refuses=refuses,
            has_endpoints=bool(terms.workload.endpoints),
        ),
        "lease": bucket.lease(),
        "open_runs": [open_run(seen) for seen in runs if seen.known.is_open],
        "last_drill": _last_drill(runs, bucket),
        "history": [ended_run(seen) for seen in runs if not seen.known.is_open][:MOST_ENDED],
    }


def _listed(store: "ObjectStore", prefix: str) -> tuple[Sequence["Stat"], DrfsmError | None]:
    """Return what drfsm has below the prefix; or why nobody can tell."""
    try:
        return [stat for folder in folders_of(prefix) for stat in store.list(folder)], None
    except DrfsmError as fault:
        return (), fault


def _runs(source: Source, bucket: "_Bucket", name: str, prefix: str) -> list[SeenRun]:
    mirrored: Any = {}
    if not bucket.fault:
        store, listing = bucket.world.store, bucket.listing
        read = bucket.unread.reading(
            "the mirrors of runs", lambda: source.mirrors.read(store, prefix, listing, bucket.unread)
        )
        mirrored = read if is_known(read) or not read else {}
    return seen_runs(name, prefix, mirrored, bucket.unread)


def _last_drill(runs: Sequence[SeenRun], bucket: "_Bucket") -> Any:
    drills = [run for run in runs if run.state.machine == "drill" and run.state.ended and not run.state.dry_run]
    if drills:
        return drill_of(drills[0])
    return bucket.down or none("no drill that has ended is known")


@frozen
class _Bucket:
    """The objects of one prefix. ``fault``: the bucket does not answer, and nothing of it is asked for."""

    world: "World"
    layout: "Layout"
    listing: Sequence["Stat"]
    fault: DrfsmError | None
    unread: Unread
    pair: tuple[str, str]

    @property
    def down(self) -> Fields | None:
        """The value of everything that would have to be read; None where it can be."""
        return unknown(self.fault.what) if self.fault else None

    def pointers(self, runs: Sequence[SeenRun]) -> Fields:
        """Return the document's `pointers`: their owner, since when, and the run that they name."""
        if self.down:
            lost = dict.fromkeys(("site", "since", "moved_by", "run_id"), self.down)
            return {**lost, "since_is": "not known"}
        return {**self._owner(runs), "run_id": self._canonical()}

    def _owner(self, runs: Sequence[SeenRun]) -> Fields:
        from drfsm.dr.pointers import ownership

        key = self.layout.own("ownership.json")
        owned = self.unread.reading("the owner of the pointers", lambda: ownership.read(self.world.store, key))
        if is_known(owned) and "why" in owned:
            owned = self.unread.add("the owner of the pointers", owned["why"])
        if not is_known(owned):
            return {**dict.fromkeys(("site", "since", "moved_by"), owned), "since_is": "not known"}
        if owned["site"] is None:
            nobody = none("no run of drfsm has recorded who owns the pointers")
            return {**dict.fromkeys(("site", "since", "moved_by"), nobody), "since_is": "not known"}
        by = owned.get("run") or ""
        moved = next((moved_at(run) for run in runs if by and run.known.id == by), none("not known here"))
        written = next(
            (time_of(stat.modified) for stat in self.listing if stat.key == key), unknown("it is not listed")
        )
        return {
            "site": owned["site"] if owned["site"] in _SITES else "other",
            "since": moved if is_known(moved) else written,
            "since_is": "when that run moved them"
            if is_known(moved)
            else "when the record was last written; the site may have owned them before",
            "moved_by": words(by) if by else none("the record names no run"),
        }

    def _canonical(self) -> Any:
        """Return the workload's run that every pointer names."""
        from drfsm.dr.pointers import named_pairs, shown

        def read(keys: Sequence[str]) -> Any:
            return self.unread.reading(
                "the pointers", lambda: {key: shown(self.world.store, key, form) for key in keys}
            )

        form = self.layout.workload.pointers
        found = read(self.layout.global_pointers())
        if not is_known(found):
            return found
        more = read(self.layout.provider_pointers(named_pairs(found.values(), self.pair)))
        if not is_known(more):
            return more
        for key, pointer in {**found, **more}.items():
            if isinstance(pointer, str):
                return self.unread.add(f"the pointer {key}", pointer)
        named = sorted({str(pointer["run_id"]) for pointer in (*found.values(), *more.values()) if pointer})
        if len(named) > 1:
            return unknown(f"the pointers name different runs: {', '.join(named)}. `drfsm pointers show` tells which")
        return words(named[0]) if named else none("there is no pointer")

    def active_site(self) -> tuple[Fields, bool]:
        """Return the document's `endpoints`, but for the names; and whether servers refuse every write by it.

        They do where there is no active-site document, and where it is invalid.
        """
        from drfsm.dr.endpoints import active

        fields = ("site", "writes", "since", "epoch", "declared_by")
        if self.down:
            return dict.fromkeys(fields, self.down), False
        what, key = "the active-site document", self.layout.own("active.json")
        said = self.unread.reading(what, lambda: active.read(self.world.store, key))
        if not is_known(said):
            return dict.fromkeys(fields, said), False
        if "why" in said:
            return dict.fromkeys(fields, self.unread.add(what, said["why"])), True
        if said["site"] is None:
            return dict.fromkeys(fields, none("there is no active-site document")), True
        read = {name: said[name] for name in ("site", "writes", "epoch")}
        return {**read, "since": time_of(said["since"]), "declared_by": words(said["run"])}, False

    def lease(self) -> Any:
        """Return what the lease says."""
        from drfsm.adapters.s3_lease import S3Lease

        if self.down:
            return self.down
        lease = S3Lease(self.world.store, self.layout.prefix)
        said = self.unread.reading("the lease", lease.current)
        if not said:
            return none("no run has taken a lease yet")
        if not is_known(said):
            return said
        named = {name: words(said.get(name) or "not said") for name in ("run_id", "operator", "host")}
        return {"held": bool(said.get("held")), "epoch": int(said.get("epoch", 0)), **named}


def writable(
    active: Mapping[str, Any], fences: Mapping[str, Any], recorded: str, *, refuses: bool, has_endpoints: bool
) -> Fields:
    """Return the document's `write`: whether the active site takes its users' writes, and since when none does.

    ``recorded``: since when none does, by the records of a run, or "". ``refuses``: servers that go by the active-site
    document refuse every write, as there is no valid one.
    """
    site = active["site"]
    if is_known(site):
        return _by_gate(active, fences[site], recorded)
    why = str(site.get("unknown") or site.get("none"))
    if not has_endpoints and "none" in site:
        return _answer("none", f"batch mode: {why}", none("there is no write gate"))
    if refuses:
        return _answer("no", f"{why}; servers that go by it refuse every write", unknown("nothing says since when"))
    return _answer("unknown", why, unknown("it is not known"))


def _by_gate(active: Mapping[str, Any], fence: Any, recorded: str) -> Fields:
    name = of_sites.NAMES[active["site"]]
    if active["writes"] != "open":
        # The document's own time is that of its last change, which may have been another closed site's.
        times = [since for since in (active["since"], time_of(recorded) if recorded else None) if since]
        since = min(filter(is_known, times), default=active["since"])
        return _answer("no", f"the active site is {name}, and its writes are closed", since)
    if fence == "up":
        since = time_of(recorded) if recorded else unknown("a fence does not say since when")
        return _answer("no", f"the active site is {name}, its writes are open, and its identity is fenced", since)
    return _answer("yes", f"{name} takes writes, by the active-site document", none("somebody can"))


def _answer(possible: str, because: str, nobody_since: Any) -> Fields:
    return {"possible": possible, "because": words(because), "nobody_since": nobody_since}
