"""The words of the commands that `drfsm status --by-hand` prints: kubectl at a site, aws at the store.

Every value is quoted. Used by by_hand.py and by_hand_endpoints.py.
"""

import json
from collections.abc import Mapping
from shlex import join, quote
from typing import Any

from drfsm.claims import printable
from drfsm.dr.terms import Terms
from drfsm.dr.workload import SITES
from drfsm.errors import UsageFault
from drfsm.journal import RunState


def lost(what: str, why: str) -> str:
    """Return the comment that names what no command puts back, and why."""
    return f"# CANNOT BE PUT BACK: {printable(what)}: {printable(why)}"


def kubectl(site: str, state: RunState, terms: Terms, *words: str) -> str:
    """Return a kubectl command in the run's namespace of a site. Raises UsageFault for a site that does not exist."""
    if site not in SITES:  # it becomes the name of a variable, which can't be quoted
        raise UsageFault(f"there is no site {site!r}: one of {', '.join(SITES)}", hint="drfsm status")
    named = str(state.inputs.get(f"kubeconfig_{site}") or "")
    kubeconfig = quote(named) if named else f'"$KUBECONFIG_{site.upper()}"'
    return f"kubectl --kubeconfig {kubeconfig} -n {quote(terms.namespace)} {join(words)}"


def merge_patch(site: str, state: RunState, terms: Terms, named: str, patch: Mapping[str, Any]) -> str:
    """Return the command that merges a patch into one object of a site."""
    return kubectl(site, state, terms, "patch", named, "--type", "merge", "-p", json.dumps(patch, sort_keys=True))


def aws(state: RunState, *words: str) -> str:
    """Return an aws command with the endpoint and the region that the run recorded."""
    places = {"--endpoint-url": state.inputs.get("endpoint_url"), "--region": state.inputs.get("region")}
    options = [word for name, value in places.items() if value for word in (name, str(value))]
    return join(["aws", *options, *words])
