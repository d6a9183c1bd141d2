"""`drfsm runs`: the workload's published runs, looked at, verified, compared, copied. Each verb is usable alone.

Exit codes: `verify` 0 whole, 11 not; `compare` 0 same, 1 different, 2 not comparable; all: 9 unreachable.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import click

from drfsm.claims import bounded
from drfsm.cli.options import at_bucket, comparison_profile, connected, contract_of, pair
from drfsm.cli.outcome import output
from drfsm.cli.say import say, say_lines
from drfsm.cli.site_options import out
from drfsm.errors import ExitCode, UsageFault
from drfsm.files import given_file

_NAMED = "(named)"
"""What --offline says by itself: the directory is the one that is named as the run."""


@click.group()
def runs() -> None:
    """List, show, verify, compare and copy the workload's published runs."""


def _note(words: str, **_fields: Any) -> None:
    say(f"  · {words}", err=True)


@runs.command("list")
@at_bucket
@pair
@output
def list_command(output: str, **options: Any) -> int:
    """List the published runs, newest first; * marks the canonical one. Exits with 9 if its pointer cannot be read."""
    from drfsm.dr.pointers import shown
    from drfsm.dr.terms import terms_of

    store, layout = connected(options), terms_of(options).layout
    home = layout.runs()
    sizes_of_run: dict[str, list[int]] = {}
    for stat in store.list(home):
        sizes = sizes_of_run.setdefault(stat.key.removeprefix(home).partition("/")[0], [0, 0])
        sizes[0] += 1
        sizes[1] += stat.size_bytes
    deciding = shown(store, layout.global_pointers()[0], layout.workload.pointers)
    canonical = deciding.get("run_id") if isinstance(deciding, dict) else None
    rows = [
        {"run_id": name, "objects": count, "bytes": size, "canonical": name == canonical}
        for name, (count, size) in sorted(sizes_of_run.items(), reverse=True)
    ]
    lines = [
        f"{'*' if r['canonical'] else ' '} {r['run_id']:<36} {r['objects']:>7} objects {r['bytes']:>12} bytes"
        for r in rows
    ]
    out(output, rows, lines or [f"there is no run below s3://{store.bucket}/{home}"])
    return _pointers_code([deciding])


def _pointers_code(pointers: Iterable[Any]) -> int:
    """Print which pointers cannot be read; return the exit code."""
    from drfsm.dr.pointers import MEND

    unreadable = [pointer for pointer in pointers if isinstance(pointer, str)]
    say_lines((f"drfsm: {reason}" for reason in unreadable), err=True)
    if unreadable:
        say(f"  next: {MEND}", err=True)
    return int(ExitCode.UNREACHABLE if unreadable else ExitCode.DONE)


@runs.command()
@click.argument("run_id")
@at_bucket
@pair
@output
def show(run_id: str, output: str, **options: Any) -> int:
    """Show a run's files in S3, and which pointers name it.

    Exits with 11 if it has no files, with 9 if a pointer cannot be read.
    """
    from drfsm.dr.artifacts import run_home
    from drfsm.dr.pointers import named_pairs, shown
    from drfsm.dr.terms import terms_of

    store, layout = connected(options), terms_of(options).layout
    home = run_home(layout, run_id)
    files = {entry.key.removeprefix(home): entry.size_bytes for entry in store.list(home)}
    form, report = layout.workload.pointers, layout.workload.report
    pointers = {key: shown(store, key, form) for key in layout.global_pointers()}
    pairs = named_pairs(pointers.values(), (options["provider"], options["profile"]))
    pointers |= {key: shown(store, key, form) for key in layout.provider_pointers(pairs)}
    named_by = [key for key, entry in pointers.items() if isinstance(entry, dict) and entry["run_id"] == run_id]
    record = {
        "run_id": run_id,
        "where": f"s3://{store.bucket}/{home}",
        "files": files,
        "named_by": named_by,
        "has_report": report is not None and report.key in files,
    }
    lines = [f"{record['where']}: {len(files)} objects, {sum(files.values())} bytes"]
    lines += [f"  {size:>10} {name}" for name, size in sorted(files.items())]
    lines += [f"  named by {key}" for key in named_by] or ["  no pointer names it"]
    out(output, record, lines)
    unread = _pointers_code(pointers.values())
    return unread or int(ExitCode.DONE if files else ExitCode.DIFFERENT)


@runs.command()
@click.argument("run_id", required=False)
@at_bucket
@click.option(
    "--run-report", type=click.Path(path_type=Path), help="Compare the run with this report instead of the one in S3."
)
@click.option("--verify-latest", is_flag=True, help="Compare latest/ with the run, too.")
@click.option(
    "--offline",
    is_flag=False,
    flag_value=_NAMED,
    default="",
    metavar="[DIRECTORY]",
    help="RUN_ID is a directory with a copy of a run, or name it here; no bucket is needed.",
)
@output
def verify(
    run_id: str | None,
    run_report: Path | None,
    offline: str,
    output: str,
    *,
    verify_latest: bool,
    **options: Any,
) -> int:
    """Read every artifact of a run; check its size and SHA-256. Exits with 0 if the run is complete, with 11 if not."""
    from drfsm.dr.artifacts import verification
    from drfsm.dr.terms import terms_of

    report = given_file(run_report, "--run-report") if run_report else None
    if offline == _NAMED:  # as `runs compare` has it
        offline, run_id = run_id or "", None
    if offline:
        verifications = [verification.verify_local(Path(offline), contract_of(options), run_id=run_id, report=report)]
    elif not run_id:
        raise UsageFault(
            "no run is named",
            hint="drfsm runs verify RUN --bucket BUCKET   (`drfsm runs list --bucket BUCKET` names them), or"
            " drfsm runs verify DIRECTORY --offline",
        )
    else:
        _no_directory(options, run_id)
        store, layout = connected(options), terms_of(options).layout
        verifications = [verification.verify(store, layout, run_id, note=_note, report=report)]
        if verify_latest:
            verifications.append(verification.verify_latest(store, layout, run_id, note=_note, report=report))
    records = [result.record for result in verifications]
    record = records[0] if len(records) == 1 else {"run": records[0], "latest": records[1]}
    out(output, record, [line for result in verifications for line in _verification_lines(result)])
    return int(ExitCode.DONE if all(result.verdict == "verified" for result in verifications) else ExitCode.DIFFERENT)


def _verification_lines(verification: Any) -> list[str]:
    """Return a verification as lines: every problem, and what could not be proven."""
    missing = sum(problem.kind == "missing" for problem in verification.problems)
    expected = max(verification.expected, missing)  # of a run without any file nothing is expected but what it lacks
    absent = f", {missing} not there" if missing else ""
    read = f"{expected - missing} of {expected} artifacts read{absent}, level {verification.level}"
    lines = [f"{verification.where}: {verification.verdict} ({read})"]
    lines += [f"  {problem.kind}: {problem.path or '-'}: {problem.told}" for problem in verification.problems]
    lines += [f"  not named by the report: {name}" for name in verification.extra]
    if verification.level == "observed" and verification.verdict == "verified":
        why = "the report doesn't name every file" if verification.report else "there is no report"
        lines.append(f"  {why}: what the contract requires is there, and no digest says what all of it must hold")
    return lines


def _no_directory(options: Mapping[str, Any], *names: str) -> None:
    """Raise UsageFault for a directory that is named where a run is meant: a copy is looked at with --offline."""
    for name in names:
        if Path(name).is_dir() and not (options["bucket"] and contract_of(options).run_ids.is_id(name)):
            command = click.get_current_context().command_path
            raise UsageFault(
                f"{bounded(name, 200)} is a directory, and runs of a bucket are named by their ids",
                hint=f"{command} {' '.join(map(quote, names))} --offline",
            )


@runs.command()
@click.argument("left")
@click.argument("right")
@at_bucket
@comparison_profile
@click.option(
    "--allow-run-id-drift/--no-run-id-drift",
    default=True,
    show_default=True,
    help="Accept that the files of each run name that run's own id.",
)
@click.option("--offline", is_flag=True, help="LEFT and RIGHT are directories; no bucket is needed.")
@output
def compare(
    left: str,
    right: str,
    comparison_profile: str,
    output: str,
    *,
    allow_run_id_drift: bool,
    offline: bool,
    **options: Any,
) -> int:
    """Compare two runs. Exits with 0 if they match, with 1 if they differ, with 2 if they cannot be compared."""
    from drfsm.dr.artifacts.compare import comparison
    from drfsm.dr.terms import terms_of

    workload = contract_of(options)
    profile = comparison.profile_of(workload, comparison_profile)
    ours: comparison.Reader
    theirs: comparison.Reader
    if offline:
        ours, theirs = [comparison.DirectoryRun(Path(name), label=name) for name in (left, right)]
    else:
        _no_directory(options, left, right)
        store, layout = connected(options), terms_of(options).layout
        ours, theirs = [comparison.StoreRun(store, layout.run(name), name, name) for name in (left, right)]
    comparison_result = comparison.compare(ours, theirs, profile, workload, allow_run_id_drift=allow_run_id_drift)
    out(output, comparison_result.record, list(comparison_result.lines()))
    return comparison_result.exit_code


@runs.command()
@click.argument("source")
@click.argument("target")
@at_bucket
@click.option("--dry-run", is_flag=True, help="Show what would be copied; change nothing.")
@output
def sync(source: str, target: str, output: str, *, dry_run: bool, **options: Any) -> None:
    """Copy a prefix, server side: equal objects are skipped, nothing is deleted, no pointer is touched."""
    from drfsm.dr.artifacts import prefix_sync

    store, began = connected(options), time.monotonic()
    planned = prefix_sync.plan(store, source, target, contract_of(options), guarded=[options["prefix"]])
    if not (planned.copies or planned.equal or planned.protected):
        raise UsageFault(
            f"s3://{store.bucket}/{source.removeprefix(f's3://{store.bucket}/')} holds no object: nothing was copied",
            hint="check the spelling of SOURCE: drfsm runs list",
        )
    record: dict[str, Any] = dict(planned.record)
    if not dry_run:
        copied = prefix_sync.execute(store, planned, note=_note)
        record |= {"copied": copied.objects, "copied_bytes": copied.size_bytes}
    record["seconds"] = round(time.monotonic() - began, 3)
    out(output, record, [_sync_line(record, planned, dry_run=dry_run)])


def _sync_line(record: Mapping[str, Any], planned: Any, *, dry_run: bool) -> str:
    done = "would be copied" if dry_run else "copied"
    return (
        f"{len(planned.copies)} objects ({planned.size_bytes} bytes) {done}, {planned.equal} were equal,"
        f" {len(planned.protected)} protected (pointers, latest, drfsm's own), in {record['seconds']} s"
    )
