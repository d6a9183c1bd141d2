"""The options of the commands that only read a run: `status`, `list`, `replay`. Apart, so that they start at once."""

import click

from drfsm.cli.completing import run_ids
from drfsm.cli.documents import output_option

bundle_or_mirror = click.argument("bundle_", metavar="[BUNDLE|S3_URI]", required=False, shell_complete=run_ids)
output_format = output_option("text for people; the others hold one document (docs/watch.md).")
