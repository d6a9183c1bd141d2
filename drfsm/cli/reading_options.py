"""The options of the commands that only read a run: `status`, `list`, `replay`. Apart, so that they start at once."""

import click

from drfsm.cli.completing import run_ids

bundle_or_mirror = click.argument("bundle_", metavar="[BUNDLE|S3_URI]", required=False, shell_complete=run_ids)
output_format = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
