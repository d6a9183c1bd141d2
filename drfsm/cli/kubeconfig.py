"""`drfsm kubeconfig`: the kubeconfig of a machine that carries a site, fetched for `--kubeconfig-dr`.

For a site that no drill of this machine brought up (its bundle would hold the file): the file is read on the machine
through SSM, held to what a site's kubeconfig may say, and its loopback address replaced by one of the machine's, if the
certificate that is served there proves it. Written for its owner alone; none of its contents is printed.
"""

import os
from pathlib import Path
from shlex import quote
from typing import Any

import click

from drfsm.cli.options import check_account, endpoint_url, expect_account, region
from drfsm.cli.outcome import output
from drfsm.cli.site_options import out
from drfsm.errors import Unreachable, UsageFault


@click.command()
@click.option("--instance-id", required=True, help="Machine that carries the site.")
@click.option("--file", "target", required=True, type=click.Path(), help="File to write; it must not exist.")
@click.option("--path", default="", help="Where it lies on the machine.  [default: where k3s writes it]")
@click.option("--address", "addresses", multiple=True, help="Address of the machine.  [default: those that EC2 knows]")
@expect_account
@endpoint_url
@region
@output
def kubeconfig(
    instance_id: str, target: str, path: str, addresses: tuple[str, ...], output: str, **options: Any
) -> None:
    """Fetch the kubeconfig of a machine, through SSM Run Command, and write it to a file that only you can read."""
    from drfsm.adapters import aws
    from drfsm.adapters.private import settled
    from drfsm.adapters.site_kubeconfig import HERE
    from drfsm.adapters.terraform import K3S_KUBECONFIG

    file = Path(target).absolute()
    if os.path.lexists(file):
        raise UsageFault(f"--file: {file} is there already", hint="name another file, or remove it")
    check_account(options)
    place = {name: options[name] or None for name in ("endpoint_url", "region")}
    path = path or K3S_KUBECONFIG
    text = aws.machine_files(**place).read(instance_id, path)
    if text is None:
        raise Unreachable(
            f"{path} is not there on {instance_id}, or SSM does not know that machine",
            hint="is it running, with SSM's agent and a role that lets it speak to SSM? then try again",
        )

    def known() -> list[str]:
        machines = aws.fleet(**place).machines.instances({"instance-id": [instance_id]})
        return [*addresses] or [str(address) for machine in machines for address in machine["addresses"]]

    body, found = settled(text.encode(), f"{path} on {instance_id}", known, here=os.environ.get(HERE) == "1")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(body)
    record = {"file": str(file), "server": found.server, "sha256": found.sha256, "instance_id": instance_id}
    lines = [f"{file} leads to {found.server}", f"  next: drfsm failback … --kubeconfig-dr {quote(str(file))}"]
    out(output, record, lines)
