"""`drfsm audit`: checks again everything that bundles claim, and says whether it holds. The rules: evidence/audit.

Offline, but for ``--store``, ``--mirror`` and a bundle that is a mirror (``s3://…``). Changes nothing.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.completing import run_ids
from drfsm.cli.documents import output_option
from drfsm.cli.say import say, say_json, say_lines, say_text
from drfsm.errors import ExitCode, JournalDamaged, UsageFault
from drfsm.evidence.audit import audited as audits_of
from drfsm.runs import bundle, selection

if TYPE_CHECKING:
    from drfsm.evidence.sealing_keys import PublicKey

_OUTPUT = "text for people; sarif for code scanning, junit for a build server; the others hold one document."


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE|S3_URI]...", shell_complete=run_ids)
@output_option(_OUTPUT, more=("sarif", "junit"))
@click.option("--strict", is_flag=True, help="Exit with 6 also where the evidence holds with remarks.")
@click.option("--require-two-people", is_flag=True, help="An approver must be another person than the run's starter.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Public key of a signer that you trust, in PEM or as ssh-keygen writes it. Repeatable.",
)
@click.option("--store", default="", metavar="S3_URI", help="Read again the artifacts that the records name, there.")
@click.option("--mirror", is_flag=True, help="Hold each log against the run's mirror and checkpoints in S3.")
@click.option(
    "--expect-head", metavar="SHA256", help="Head of the journal, from a summary that was copied to another place."
)
@click.option("--expect-records", type=int, metavar="N", help="Number of records, from that summary.")
@click.option(
    "--trust-machine",
    "machines",
    multiple=True,
    metavar="SHA256",
    help="Trust this declaration like one of drfsm's own.  [$DRFSM_TRUST_MACHINES]",
)
@click.option("--endpoint-url", default="", metavar="URL", help="The store's address.  [$AWS_ENDPOINT_URL]")
@click.option("--region", default="", metavar="REGION", help="The store's region.")
def audit(
    bundles: tuple[str, ...], output: str, *, strict: bool, endpoint_url: str, region: str, **options: Any
) -> int:
    """Check again everything that bundles claim; say of each what does not hold. Offline, unless a store is asked.

    Exits with 0 if the evidence holds (also with remarks, unless --strict), with 6 if it does not, with 7 if a log is
    damaged. `drfsm explain CODE` says what a finding means and what to do.
    """
    from drfsm.runs import auditing

    if (options["expect_head"] or options["expect_records"]) and len(bundles) > 1:
        raise UsageFault("a copied head is of one bundle", hint="audit that bundle by itself")
    asked = auditing.Asked(
        expect_head=options["expect_head"],
        expect_records=options["expect_records"],
        machines=options["machines"],
        two_people=options["require_two_people"],
        store=_store(options["store"]),
        mirror=options["mirror"],
        keys=_keys(options["keys"]),
        places={"endpoint_url": endpoint_url, "region": region},
    )
    for named in bundles:
        if not named.startswith("s3://"):
            with suppress(JournalDamaged):  # that is a finding; a name that leads nowhere is not
                bundle.find(named)
    audits = [each for named in bundles or (_newest(),) for each in auditing.audited(named, asked)]
    _say(audits, output)
    return int(_exit_code(audits, strict=strict))


def _newest() -> str:
    """Return the bundle that a command without a name means."""
    return str(selection.find(None, to_read=True))


def _keys(named: tuple[str, ...]) -> "tuple[PublicKey, ...]":
    """Return the public keys in these files. Raises UsageFault."""
    if not named:
        return ()
    from drfsm.evidence.sealing_keys import read_public_keys

    return read_public_keys(named)


def _store(named: str) -> str:
    if named and not named.startswith("s3://"):
        raise UsageFault("--store names a bucket", hint="--store s3://BUCKET")
    return named


def _say(audits: list[audits_of.Audited], output: str) -> None:
    from drfsm import __version__
    from drfsm.evidence.audit import formats

    if output == "json":
        say_json(audits_of.document(audits))
    elif output == "sarif":
        say_json(formats.sarif(audits, __version__))
    elif output == "junit":
        say_text(formats.junit(audits))
    else:
        for number, audited in enumerate(audits):
            if number:
                say()
            say_lines(audited.lines())
        say_lines(audits_of.summary(audits))


def _exit_code(audits: list[audits_of.Audited], *, strict: bool) -> ExitCode:
    if any(audited.is_damaged for audited in audits):
        return ExitCode.DAMAGED
    unread = [ExitCode(audited.exit_code) for audited in audits if audited.exit_code]
    worst = audits_of.worst([audited for audited in audits if not audited.exit_code])
    if worst == audits_of.FAILS or (strict and worst == audits_of.REMARKED):
        return ExitCode.EVIDENCE
    return unread[0] if unread else ExitCode.DONE
