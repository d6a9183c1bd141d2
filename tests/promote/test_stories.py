"""A promote from its receipt to DR publishing alone, and the stories of what a naive order gets wrong."""

from drfsm.sandbox.seed import CRONJOB
from tests.promote.conftest import Make
from tests.promote.world import APPROVER, TICKET, Ready
from tests.safety.world import Site


def dr_publishes_alone(site: Site, run_id: str) -> None:
    """Hold what must be so when DR has taken over."""
    assert site.named() == {run_id}
    assert site.schedules("dr")[CRONJOB] == (False, None)
    assert site.publishing("dr") == ("1", "0")
    assert site.owner() == "dr"


def test_the_plain_promote_ends_with_dr_publishing_alone_and_a_true_receipt(
    ready: Ready, site: Site, promote: Make
) -> None:
    """The validated run is canonical, the primary is stopped and remembers how it was, the receipt has every field."""
    before = site.pointers()
    run = promote()
    run.promoted()
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    suspended, annotation = site.schedules("primary")[CRONJOB]
    assert suspended
    assert '"suspend": false' in str(annotation)
    assert site.publishing("primary") == ("0", "1")
    receipt = run.summary["receipt"]
    assert (receipt["operator"], receipt["ticket"]) == (APPROVER, TICKET)
    assert receipt["approved_at"] == next(e.at for e in run.records if e.body.get("trigger") == "approve")
    assert (receipt["execution_id"], receipt["execution_kind"]) == (run.id, "drfsm run")
    assert receipt["clusters"]["dr"] == ready.receipt["cluster_uid"]
    assert receipt["canonical_run_id"] == ready.receipt["run_id"]
    assert receipt["receipt_prefix"] == f"s3://{site.bucket}/{site.prefix}/drfsm/runs/{run.id}"
    assert {key: each["pointer"] for key, each in receipt["pointers_before"].items()} == {
        key: before[key] for key in site.pointer_keys()[:2]
    }
    assert {key: each["pointer"] for key, each in receipt["provider_pointers_before"].items()} == {
        key: before[key] for key in site.pointer_keys()[2:]
    }
    assert {each["run_id"] for each in receipt["pointers_after"].values()} == {ready.receipt["run_id"]}
    for pointers, named in (("before", "primary"), ("after", "dr")):
        for name in (f"pointers_{pointers}", f"provider_pointers_{pointers}"):
            assert {each["site"] for each in receipt[name].values()} == {named}, name
    assert receipt["caller"] == run.summary["actors"][0]["proven"]["cloud_caller"]
    assert receipt["caller"].split(":")[4] == receipt["account"]["account"]
    assert receipt["rehearsed"] == {"none": "this run has none: its input target is canonical"}
    assert receipt["declined_at"] == {"none": "the run ended complete without decline"}
