"""The options of the commands that only read a run: `status`, `list`, `replay`. Apart, so that they start at once."""

import click

bundle_or_mirror = click.argument("bundle_", metavar="[BUNDLE|S3_URI]", required=False)
output_format = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
