"""`drfsm control-plane`: publishes, fetches and applies the workload's configuration, and compares it with a site.

Exit codes: `verify` 0 equal, 11 different; 11 for a damaged bundle; 4 if somebody else published meanwhile.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.options import connected, contract_of
from drfsm.cli.outcome import output
from drfsm.cli.say import say_text
from drfsm.cli.site_options import at_prefix, at_site, cluster_of, force_conflicts, out, receipt_dir, say, stamp
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs.git import head
from drfsm.runs.receipts import APPLIED, FETCHED, RESTORED, ReceiptFiles, fetch_values

if TYPE_CHECKING:
    from drfsm.dr.control_plane import Bundle


@click.group("control-plane")
def control_plane() -> None:
    """Publish, fetch, apply and verify the workload's configuration: candidates, alerts, providers, scoring."""


@control_plane.command()
@at_prefix
@at_site("KUBECONFIG_PRIMARY", "KUBECONFIG")
@click.option(
    "--image-ref-digest", required=True, help="Image that the configuration belongs to: <repository>@sha256:<digest>."
)
@click.option(
    "--source", default="", help="Directory with one folder for each section, instead of the site's ConfigMaps."
)
@click.option(
    "--from-workspace",
    default="",
    metavar="DIR",
    help="The workload's working directory, with config/ and state/, instead of the site's ConfigMaps.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be published; write nothing.")
@click.option(
    "--git-sha",
    default="",
    help="Git commit of the configuration.  [default: that of --source, --from-workspace or this directory]",
)
@click.option(
    "--created-at", default="", help="Time of creation, as 20260227T002229Z; the bundle contains it.  [default: now]"
)
@output
def publish(
    kubeconfig: str,
    namespace: str,
    image_ref_digest: str,
    source: str,
    from_workspace: str,
    git_sha: str,
    created_at: str,
    output: str,
    *,
    dry_run: bool,
    **options: Any,
) -> None:
    """Publish the configuration of a site or of a directory, and make it the current one."""
    from drfsm.dr.control_plane import bundle as bundles
    from drfsm.dr.control_plane import workspace as workspaces

    if source and from_workspace:
        raise UsageFault("--source and --from-workspace are two places", hint="give one of them")
    store, workload = connected(options), contract_of(options)
    origin = bundles.Origin(git_sha or _git_sha(source or from_workspace), image_ref_digest, created_at or stamp())
    origin.check()
    if from_workspace:
        sections = workspaces.from_workspace(Path(from_workspace))
    elif source:
        sections = bundles.from_directory(Path(source))
    else:
        sections = bundles.from_cluster(cluster_of(kubeconfig), namespace, workload)
    raw = bundles.pack(sections, origin, workload)
    write = bundles.planned if dry_run else bundles.publish
    published = write(store, options["prefix"], raw, origin, workload)
    record = {
        **({"dry_run": True} if dry_run else {}),
        "bundle_uri": published.uri,
        "bundle_sha256": published.sha256,
        "git_sha": origin.git_sha,
        "image_ref_digest": origin.image_ref_digest,
        "created_at": origin.created_at,
        "files": published.counts,
        "holds": published.numbers,
    }
    files, holds = (
        ", ".join(f"{section} {number}" for section, number in numbers.items())
        for numbers in (published.counts, published.numbers)
    )
    told = "would be current (a dry run: nothing was written)" if dry_run else "is current"
    out(
        output,
        record,
        [f"{published.uri} {told}", f"  sha256 {published.sha256}", f"  holds: {holds}", f"  files: {files}"],
    )


def _git_sha(source: str) -> str:
    """Return the commit of the directory that the configuration comes from, or of the working directory."""
    checkout = head(source or ".")
    if checkout is None:
        raise UsageFault(f"{source or 'this directory'} is no git checkout with a commit", hint="add --git-sha")
    if source and checkout.changed:
        say(f"{source} has changes that are not in its commit {checkout.sha[:12]}")
    return checkout.sha


_which = (
    click.option("--bundle-uri", default="", help="Bundle to use instead of the current one. Needs --bundle-sha256."),
    click.option("--bundle-sha256", default="", help="SHA-256 that this bundle must have."),
)


def _found(options: Mapping[str, Any], bundle_uri: str, bundle_sha256: str) -> "Bundle":
    """Return the bundle that the options name, verified."""
    from drfsm.dr.control_plane import read as rooms

    store = connected(options)
    if bool(bundle_uri) != bool(bundle_sha256):
        raise UsageFault("--bundle-uri and --bundle-sha256 go together", hint="give both, or none")
    if bundle_uri:
        named = {"bundle_uri": bundle_uri, "bundle_sha256": bundle_sha256}
        return rooms.fetch(store, rooms.home_of(options["prefix"]), named, contract_of(options))
    current = rooms.published(store, options["prefix"], contract_of(options))
    if current is None:
        raise UsageFault(
            f"no control plane is published below s3://{store.bucket}/{options['prefix']}",
            hint="drfsm control-plane publish",
        )
    return current


def fetched(receipts: ReceiptFiles, bundle: "Bundle", directory: str) -> None:
    """Write the receipt of a fetched bundle."""
    receipts.env(FETCHED, fetch_values(bundle.uri, bundle.sha256, bundle.counts, directory=directory, at=stamp()))


def applied(receipts: ReceiptFiles, bundle: "Bundle", done: Mapping[str, Any]) -> Path:
    """Write the receipts of an applied bundle, and its files beside them; return the directory of the files."""
    from drfsm.dr.control_plane import lay_out, summary

    at = {"schema_version": 1, "applied_at": datetime.now(UTC).isoformat(timespec="seconds")}
    receipts.json(APPLIED, {**at, **done}, "control_plane.apply.summary")
    directory = receipts.directory / "control-plane" / f"bundle-{bundle.sha256[:12]}"
    if not (directory / "control-plane").exists():  # named by its content: an earlier command wrote the same
        lay_out(bundle, directory)
    restored = {**summary(bundle), "bundle_dir": str(directory / "control-plane")}
    receipts.json(RESTORED, restored, "dr_restore.control_plane.summary")
    return directory


@control_plane.command()
@at_prefix
@_which[0]
@_which[1]
@click.option(
    "--output-dir", default="", help="Directory in which control-plane/ is made.  [default: beside the receipt]"
)
@receipt_dir
@output
def fetch(bundle_uri: str, bundle_sha256: str, output_dir: str, receipt_dir: str, output: str, **options: Any) -> None:
    """Fetch the current bundle, verify it, and write it as files."""
    from drfsm.dr.control_plane import lay_out
    from drfsm.engine.new_names import new_name

    bundle = _found(options, bundle_uri, bundle_sha256)
    receipts = ReceiptFiles(receipt_dir, new_name("control-plane"))
    directory = Path(output_dir).absolute() if output_dir else receipts.directory / "control-plane/fetch"
    lay_out(bundle, directory)
    fetched(receipts, bundle, str(directory))
    record = {
        "bundle_uri": bundle.uri,
        "bundle_sha256": bundle.sha256,
        "files": bundle.counts,
        "holds": bundle.numbers,
        "directory": str(directory),
        "receipts": str(receipts.directory),
    }
    out(output, record, [f"{bundle.uri} is intact", f"  written to {directory}/control-plane"])


@control_plane.command()
@at_prefix
@at_site("KUBECONFIG")
@_which[0]
@_which[1]
@click.option("--render-only", is_flag=True, help="Print the ConfigMaps as YAML; change nothing, call no cluster.")
@force_conflicts
@receipt_dir
@output
def apply(
    kubeconfig: str,
    namespace: str,
    bundle_uri: str,
    bundle_sha256: str,
    receipt_dir: str,
    output: str,
    *,
    render_only: bool,
    force_conflicts: bool,
    **options: Any,
) -> None:
    """Apply the current bundle to a site as four ConfigMaps, and read them back."""
    from drfsm.dr.control_plane import apply as room
    from drfsm.engine.new_names import new_name

    bundle = _found(options, bundle_uri, bundle_sha256)
    if render_only:
        import yaml

        text = yaml.safe_dump_all(
            room.rendered(bundle, namespace, contract_of(options)), sort_keys=False
        )  # ASCII: nothing is escaped twice
        say_text(text)
        return
    done = room.apply(
        cluster_of(kubeconfig),
        namespace,
        bundle,
        contract_of(options),
        force=force_conflicts,
        check=lambda: None,
        say=say,
    )
    receipts = ReceiptFiles(receipt_dir, new_name("control-plane"))
    applied(receipts, bundle, done)
    lines = [
        f"  {section['configmap']}: {section['files']} files, was {section['was']}"
        for section in done["sections"].values()
    ]
    out(
        output,
        {**done, "receipts": str(receipts.directory)},
        [f"{bundle.uri} is applied", *lines],
    )


@control_plane.command()
@at_prefix
@at_site("KUBECONFIG")
@_which[0]
@_which[1]
@output
def verify(kubeconfig: str, namespace: str, bundle_uri: str, bundle_sha256: str, output: str, **options: Any) -> int:
    """Compare a site's ConfigMaps with the current bundle. Exits with 0 if they are equal, with 11 if they differ."""
    from drfsm.dr.control_plane import parity, same

    bundle = _found(options, bundle_uri, bundle_sha256)
    seen = parity(cluster_of(kubeconfig), namespace, bundle, contract_of(options))
    verdict = "same" if same(seen) else "different"
    lines = [f"{bundle.uri}: {verdict}"]
    for section, differences in seen.items():
        kinds = [f"{kind} {key}" for kind, keys in differences["first"].items() for key in keys]
        lines += [f"  {section}: {kind}" for kind in kinds]
    record = {"verdict": verdict, "bundle_uri": bundle.uri, "bundle_sha256": bundle.sha256, "sections": seen}
    out(output, record, lines)
    return int(ExitCode.DONE if verdict == "same" else ExitCode.DIFFERENT)
