"""Two seeded sites before any disaster, a validated run of DR beside, and a promote that a test can meddle with.

``Promote`` is one run in this process, as ``tests.safety.world.Failback`` is: the real adapters, a journal on disk,
deeds hooked onto records. What the receipts of most tests name is a real run: DR was validated by a promote that was
then declined, and its mirrored journal lies in the store.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from attrs import define

from drfsm.adapters.file_journal import LOG
from drfsm.dr import workload
from drfsm.dr.endpoints.declared import scope_of
from drfsm.engine.runner import new_run_id
from drfsm.journal import RunState, digest
from drfsm.journal.mirror import home_of
from drfsm.resources import shipped
from drfsm.sandbox.seed import CONFIGMAP, NAMESPACE
from drfsm.spec import MachineSpec, load_machine
from tests.safety.world import Failback, Site

TEXT = (shipped("machines") / "promote.yaml").read_bytes()
SPEC = load_machine(TEXT, source="promote.yaml")
APPROVER, TICKET = "ann", "CHG-4711"


@define
class Promote(Failback):
    """One promote, driven in this process."""

    text: ClassVar[bytes] = TEXT
    spec: ClassVar[MachineSpec] = SPEC
    validates: ClassVar[str] = "dr"

    # --- what a person does -----------------------------------------------------------------------------

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan as it was last read."""
        found: Mapping[str, Any] = self.seen("approval")
        return found

    def approve(self, **given: Any) -> RunState:
        """Approve the plan as it was last read, or as is given."""
        usual = {
            "approved_plan": self.plan["sha256"], "approved_by": APPROVER, "approved_at": self.plan["store_time"],
            "ticket": TICKET, "allow_older": "no",
            "primary_run_id": self.plan["plan"]["pointers"][self.plan["plan"]["decides"]]["run_id"],
            "plan": self.plan["plan"],
        }  # fmt: skip
        return self.request("approve", **{**usual, **given})

    def promoted(self) -> RunState:
        """Start it, approve it, and let it go as far as it goes."""
        self.start()
        assert (self.state.status, self.state.state) == ("held", "dr_run_verified"), self.words
        return self.approve()

    def brought_to(self, state: str) -> None:
        """Have it held in a state of the canonical way."""
        self.when_in(state, self.interrupt)
        self.start()
        if self.state.state != state:
            self.approve()
        assert (self.state.status, self.state.state) == ("held", state), self.words


def inputs_of(site: Site, **given: Any) -> dict[str, Any]:
    """Return a promote's inputs as the CLI makes them of its defaults and a receipt."""
    sandbox = site.sandbox
    usual: dict[str, Any] = {
        "workload": workload.canonical(sandbox.options.contract), "comparison_profile": "",
        "bucket": site.bucket, "prefix": site.prefix, "namespace": NAMESPACE, "candidate": "local",
        "provider": "openai", "profile": "cs", "cronjob": "", "cronjob_selector": "", "configmap": CONFIGMAP,
        "taker": "dr", "target": "canonical", "primary_run_id": sandbox.primary_run_id,
        "dr_run_id": "", "staged_prefix": "", "validation": "own", "validation_receipt": "", "rehearses": "",
        "auto_promote": "false", "allow_promote_bypass": "false", "approved_plan": "", "approved_by": "",
        "approved_at": "", "plan_run": "", "plan_nonce": uuid4().hex, "approval_expires": 24,
        "approval_distinct": "no",
        "ticket": "", "allow_older": "no", "primary_unreachable": "no", "fence_primary": "none",
        "fence_primary_role": "",
        "fence_dr_role": "", "no_fence": "no", "reason": "", "adopt_ownership": "no", "resume_cronjobs": "",
        "refresh_pull_secret": "no",
        "endpoints": scope_of(sandbox.options.contract),
        "image_ref": "", "allow_tag": "no", "allow_image_drift": "no",
        "allow_degraded": "no", "missing_writes_accepted": "", "gitops_paused": "no", "validation_env": "",
        "execution_id": "", "drain_timeout": 300, "validation_timeout": 900, "startup_timeout": 90,
        "expect_account": "", "endpoint_url": sandbox.cloud.endpoint, "region": "us-east-1",
        "kubeconfig_dr": str(sandbox.dr.kubeconfig), "kubeconfig_primary": str(sandbox.primary.kubeconfig),
    }  # fmt: skip
    return {**usual, **given}


def own(site: Site, run_id: str, **given: Any) -> dict[str, Any]:
    """Return the inputs of a promote that validates DR by itself."""
    new = datetime.now(UTC).isoformat(timespec="microseconds")
    return inputs_of(site, dr_run_id=new, staged_prefix=f"{site.prefix}/promotes/{run_id}", **given)


def validated(site: Site, directory: Path) -> dict[str, Any]:
    """Validate DR for real, decline, and return the receipt: the run beside and the mirrored journal stay."""
    run_id = new_run_id("promote")
    run = Promote(site, directory, own(site, run_id), id=run_id, mirrored=True)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_run_verified"), run.words
    until = next(each.seq for each in run.records if each.kind == "commit" and each.body["to"] == "dr_run_verified") + 1
    run.request("decline")
    assert run.state.status == "refused"
    run.close()
    lines = (directory / LOG).read_bytes().splitlines(keepends=True)
    seen, started = run.seen("dr_run"), run.results("start_validation")
    return {
        "schema_version": 1, "drfsm_run": run_id, "machine": "promote", "scope": "live", "site": "dr",
        "cluster_uid": site.cluster("dr").store.get("namespaces", "", "kube-system")["metadata"]["uid"],
        "namespace": NAMESPACE, "bucket": site.bucket, "prefix": site.prefix, "candidate": "local",
        "provider": "openai", "profile": "cs", "staged_prefix": run.inputs["staged_prefix"],
        "run_id": run.inputs["dr_run_id"], "image": started["image"], "service_account": started["service_account"],
        "settings_from": started["settings_from"], "tree_sha256": seen["tree_sha256"],
        "objects": seen["expected"], "verification_level": seen["level"], "validated_at": run.records[until - 1].at,
        "journal": {
            "uri": f"s3://{site.bucket}/{home_of(site.prefix, run_id)}", "records": until,
            "head": digest(lines[until - 1]),
        },
    }  # fmt: skip


@define
class Ready:
    """A site with a validated run of DR beside it, and its receipt."""

    site: Site
    receipt: dict[str, Any]

    def inputs(self, **given: Any) -> dict[str, Any]:
        """Return the inputs of a promote by this receipt."""
        receipt = given.pop("receipt", self.receipt)
        return inputs_of(
            self.site,
            **{
                "validation": "receipt", "validation_receipt": json.dumps(receipt),
                "dr_run_id": receipt["run_id"], "staged_prefix": receipt["staged_prefix"], **given,
            },
        )  # fmt: skip

    def fence(self, **given: Any) -> dict[str, Any]:
        """Return what names the identities to be fenced."""
        return {
            "fence_primary": "asked", "fence_primary_role": self.site.role("primary"),
            "fence_dr_role": self.site.role("dr"), **given,
        }  # fmt: skip

    def lost(self, **given: Any) -> dict[str, Any]:
        """Return what declares the primary lost, fenced."""
        return self.fence(primary_unreachable="yes", reason="the region is gone", **given)

    def rehearsal(self, drill: str, **given: Any) -> dict[str, Any]:
        """Return the inputs of a drill's rehearsal."""
        return self.inputs(
            target="drill", prefix=f"{self.site.prefix}/drills/{drill}/rehearsal", rehearses=self.site.prefix,
            auto_promote="true", allow_promote_bypass="true", kubeconfig_primary="", **given,
        )  # fmt: skip
