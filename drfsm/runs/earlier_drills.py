"""An earlier drill whose site another drill uses again: its bundle, what it did, what the new bundle takes from it.

Owns which bundles can be used again (an ended drill, no other run), and from when to when the recovery time counts
if several drills work on one site. Used by cli/drill.py and cli/drill_inputs.py.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from attrs import frozen

from drfsm.adapters.file_journal import read_chain
from drfsm.errors import UsageFault
from drfsm.journal import RunState, fold
from drfsm.runs import bundle
from drfsm.runs.clusters import private_files


@frozen
class EarlierDrill:
    """An earlier drill whose site is used again. ``done``: the triggers of the rows that it took."""

    place: Path
    state: RunState
    done: frozenset[str] = frozenset()

    @property
    def site_run(self) -> str:
        """The run that brought its site up."""
        return str(self.state.inputs.get("site_run") or self.state.run_id)

    @property
    def gone(self) -> bool:
        """Whether it took its site down."""
        return "tear_down_site" in self.done

    @property
    def restored(self) -> bool:
        """Whether its site, since it was brought up, was restored by a drill: this one, or one before."""
        inputs = self.state.inputs
        before = inputs.get("restore") != "asked" and inputs.get("recovery_covers") == "whole"
        return before or bool(self.done & {"restore_state", "go_on_without_state"})

    def receipt(self) -> dict[str, Any]:
        """Return its validation's receipt, {} where it has none. Raises UsageFault for what is none."""
        from drfsm.runs.validation_receipts import in_bundle  # only here: `--help` needs nothing of dr/

        try:
            return in_bundle(self.place) or {}
        except UsageFault as fault:
            fault.what = f"--receipt-dir: {fault.what}"
            raise


def earlier_in(receipt_dir: str | None) -> EarlierDrill | None:
    """Return the earlier drill that a directory holds, None if it holds none. Raises UsageFault for another run."""
    if not receipt_dir or not os.path.lexists(Path(receipt_dir) / bundle.LOG):
        return None
    place = Path(receipt_dir).resolve()
    records = read_chain(place).records
    state = fold(records)
    if state.machine != "drill":
        raise UsageFault(
            f"{place} holds a {state.machine or 'broken'} run, not a drill", hint="name another --receipt-dir"
        )
    if state.status in ("running", "held"):
        named = quote(str(place))
        hint = f"drfsm resume {named}, or drfsm abort {named}, before another drill uses its site"
        raise UsageFault(f"the drill {state.run_id} in {place} has not ended: it is {state.status}", hint=hint)
    return EarlierDrill(
        place, state, frozenset(str(record.body["trigger"]) for record in records if record.kind == "commit")
    )


def directory_beside(place: Path) -> Path:
    """Return a directory beside an earlier bundle that is not there yet: ``<bundle>.2``, ``.3`` and so on."""
    number = 2
    while (candidate := place.with_name(f"{place.name}.{number}")).exists():
        number += 1
    return candidate


def copy_private_files(earlier: EarlierDrill | None, place: Path) -> None:
    """Copy the earlier drill's kubeconfig and allowed address into a new bundle; nothing if there is no such drill."""
    if earlier is None:
        return
    old, new = private_files(earlier.place), private_files(place)
    for name in (old.kubeconfig.name, "allowed_address"):
        if (body := old.read(name)) is not None:
            new.write(name, body)


def recovery_inputs(earlier: EarlierDrill | None, *, site: str, restores: bool) -> dict[str, str]:
    """Return when the recovery time begins, and whether it covers a ``whole`` recovery of this site or a ``part``.

    ``site``: new, earlier or given. Time counts from the first drill on the site, over all that follow.
    """
    first = earlier if site == "earlier" else None
    whole = site != "given" and (restores or (first is not None and first.restored))
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return {
        "started_at": now if first is None else str(first.state.inputs["started_at"]),
        "recovery_covers": "whole" if whole else "part",
    }


def scope_of(inputs: Mapping[str, Any]) -> str:
    """Return the scope of a drill with these inputs: live where it ends with a promote of the canonical pointers."""
    return "live" if inputs["promote"] == "asked" and inputs["promote_target"] == "canonical" else "drill"
