"""A site that is there already: a kubeconfig is given, nothing is brought up, nothing is torn down.

Says so at every turn, so that no record reads as if something had been done. The file is the operator's own
and is neither copied nor changed. Raises UsageFault where somebody asks it to take the site down.
"""

from collections.abc import Sequence
from pathlib import Path

from drfsm.adapters.private import described
from drfsm.errors import UsageFault
from drfsm.world import Changes, Charter, Kubeconfig, Standing, Watch


class Existing:
    """A given site."""

    kind = "existing"

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig.absolute()

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Say that nothing will be brought up."""
        changes = self.planned(charter)
        watch.say(changes.words[0])
        return changes

    def planned(self, _charter: Charter) -> Changes:
        """Return the same, always."""
        words = f"nothing is brought up or torn down: the site is the one that {self.kubeconfig} leads to"
        return Changes(self.kind, (), (words,), "")

    def bring_up(self, charter: Charter, _changes: Changes, watch: Watch) -> Standing:
        """Say that the site is there already."""
        watch.say(self.planned(charter).words[0])
        return self.standing(charter)

    def asked_again(self, charter: Charter, _changes: Changes, _watch: Watch) -> Standing:
        """Return what stands: nothing was ever asked for."""
        return self.standing(charter)

    def standing(self, _charter: Charter) -> Standing:
        """Return that the site was given."""
        return Standing(existing=True)

    def fetch_kubeconfig(self, _charter: Charter) -> Kubeconfig | None:
        """Look at the file."""
        return self.held_kubeconfig()

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Look at the file."""
        try:
            return described(self.kubeconfig.read_bytes(), str(self.kubeconfig), own=True)
        except FileNotFoundError:
            return None

    def allow(self, _charter: Charter, watch: Watch) -> str:
        """Say that who may come in is decided where the site was made."""
        watch.say("who may come in to a given site is not drfsm's to change")
        return ""

    def tear_down(self, _charter: Charter, _instance_ids: Sequence[str], _watch: Watch) -> None:
        """Refuse. Raises UsageFault."""
        message = f"drfsm did not bring up the site of {self.kubeconfig}, so it does not take it down"
        raise UsageFault(message, hint="give --teardown false, and take the site down by the tool that made it")
