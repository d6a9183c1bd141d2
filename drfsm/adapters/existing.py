"""A site that exists already: the operator gives a kubeconfig; nothing is brought up and nothing is torn down.

Every method says so, so that no record reads as if something had been done. The kubeconfig is the operator's own
and is neither copied nor changed. Raises UsageFault when asked to take the site down.
"""

from collections.abc import Sequence
from pathlib import Path

from drfsm.adapters.private import described
from drfsm.errors import UsageFault
from drfsm.world import Changes, Charter, Kubeconfig, Standing, Watch


class Existing:
    """A site that drfsm did not bring up."""

    kind = "existing"

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig.absolute()

    def plan(self, charter: Charter, watch: Watch) -> Changes:
        """Say that nothing will be brought up."""
        changes = self.planned(charter)
        watch.say(changes.words[0])
        return changes

    def planned(self, _charter: Charter) -> Changes:
        """Return the same plan, always: no changes."""
        words = f"nothing is brought up or torn down: the site of {self.kubeconfig} exists already"
        return Changes(self.kind, (), (words,), "")

    def bring_up(self, charter: Charter, _changes: Changes, watch: Watch) -> Standing:
        """Say that the site exists already."""
        watch.say(self.planned(charter).words[0])
        return self.standing(charter)

    def asked_again(self, charter: Charter, _changes: Changes, _watch: Watch) -> Standing:
        """Return the site: nothing was ever requested."""
        return self.standing(charter)

    def standing(self, _charter: Charter) -> Standing:
        """Return that the site exists already."""
        return Standing(existing=True)

    def fetch_kubeconfig(self, _charter: Charter) -> Kubeconfig | None:
        """Read the operator's kubeconfig."""
        return self.held_kubeconfig()

    def held_kubeconfig(self) -> Kubeconfig | None:
        """Read the operator's kubeconfig."""
        try:
            return described(self.kubeconfig.read_bytes(), str(self.kubeconfig), own=True)
        except FileNotFoundError:
            return None

    def allow(self, _charter: Charter, watch: Watch) -> str:
        """Say that drfsm does not change the access to this site."""
        watch.say("drfsm does not change who may reach a site that it did not bring up")
        return ""

    def tear_down(self, _charter: Charter, _instance_ids: Sequence[str], _watch: Watch) -> None:
        """Refuse. Raises UsageFault."""
        message = f"drfsm did not bring up the site of {self.kubeconfig}, so it does not take it down"
        raise UsageFault(message, hint="give --teardown false, and take the site down by the tool that made it")
