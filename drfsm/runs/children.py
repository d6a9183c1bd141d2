"""Runs that another run starts: each in a directory of its parent's bundle, with its own journal, lease and mirror.

``<bundle>/<name>/`` is the child's bundle. Its id is the parent's with the machine's name in front, so a resume on any
machine finds the same child (and fetches it from its mirror). It is a run like any other: `drfsm list` shows it, and a
person can approve, resume and abort it by itself. What stops the parent stops the child at its next clean point.
Implements world.Procedures for run_context.py.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from drfsm.adapters.file_journal import FileJournal, read_chain
from drfsm.errors import ActionFailed, LeaseHeld
from drfsm.evidence.wording import commands
from drfsm.files import Directory
from drfsm.journal import RunState, fold
from drfsm.runs import bundle
from drfsm.runs.invocation import Invocation


@frozen
class Verbs:
    """How wiring.py starts a child, resumes it, and brings it from its mirror into a directory."""

    start: Callable[..., RunState]
    resume: Callable[..., RunState]
    fetch: Callable[..., bool]


class ChildRuns:
    """The children of the run whose bundle is at ``place``."""

    def __init__(self, place: Path, run_id: str, invocation: Invocation, kubeconfig_dr: Path, verbs: Verbs) -> None:
        self._place, self._run_id, self._invocation = place, run_id, invocation
        self._kubeconfig_dr, self._verbs = kubeconfig_dr, verbs

    def run(self, machine: str, name: str, inputs: Mapping[str, Any], scope: str) -> Mapping[str, Any]:
        """Start or resume a child, and let it work until it stops. Raises ActionFailed if another works on it."""
        place, child_id = self._place / name, f"{machine}-{self._run_id.partition('-')[2]}"
        inputs = {**inputs, "kubeconfig_dr": str(inputs.get("kubeconfig_dr") or self._kubeconfig_dr)}
        # The path of the site's kubeconfig is this machine's: a child that began elsewhere recorded another one.
        files = {**self._invocation.kubeconfigs, "dr": str(self._kubeconfig_dr)}
        invocation = evolve(self._invocation, kubeconfigs=files)
        if invocation.take_over == self._run_id:
            # One process ran both: if the parent's is dead, so is the child's.
            invocation = evolve(invocation, take_over=child_id)
        try:
            if self._started(place) or self._verbs.fetch(place, inputs, child_id, invocation):
                self._verbs.resume(place, invocation, parent=self._place)
            else:
                self._forget(child_id, place)
                self._verbs.start(machine, inputs, invocation, child_id, place, scope, parent=self._place)
        except LeaseHeld as fault:  # the child's: the parent's own lease is as good as before
            raise ActionFailed(f"{child_id}: {fault.what}", hint=fault.hint, fault="operator") from None
        child = self.look(name)
        if child is None:
            raise ActionFailed(
                f"{child_id} was started and has no record",
                hint="drfsm resume of the run that started it",
                fault="drfsm",
            )
        return child

    def look(self, name: str) -> Mapping[str, Any] | None:
        """Return where a child stands, from its journal; None if it was never started."""
        place = self._place / name
        if not self._started(place):
            return None
        chain = read_chain(place)
        state = fold(chain.records)
        next_actions = [typed for typed, _ in commands(state, state.run_id) if state.status == "held"]
        return {
            "run_id": state.run_id,
            "machine": state.machine,
            "scope": state.scope,
            "status": state.status,
            "state": state.state,
            "reason": state.reason,
            "way": next(
                (action for action in next_actions if " approve" in action), next_actions[0] if next_actions else ""
            ),
            "records": len(chain.records),
            "head": chain.head,
        }

    @staticmethod
    def _started(place: Path) -> bool:
        """Whether it has a record. Raises JournalDamaged where its records were removed, UsageFault, DiskFault."""
        if not place.is_dir():
            return False
        records = read_chain(place).records if os.path.lexists(place / bundle.LOG) else ()
        bundle.check_not_emptied(place, records)
        return bool(fold(records).machine)

    @staticmethod
    def _forget(child_id: str, place: Path) -> None:
        """Remove what an earlier start left that was killed before its first record."""
        link = bundle.home() / "runs" / child_id
        if link.is_symlink():
            with Directory.own(link.parent) as known:
                known.remove(child_id)
        if os.path.lexists(place / bundle.LOG):
            with FileJournal.open(place) as journal, Directory.own(place) as directory:
                if not journal.records():
                    directory.remove(bundle.LOG)
