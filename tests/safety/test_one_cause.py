"""One cause is said once, first. What depends on it is unknown, in a start and in a dry run: nothing "would pass"."""

import io
from collections.abc import Callable

import pytest
import yaml

from drfsm.cli.progress import Progress
from tests.safety.conftest import Make
from tests.safety.world import Failback, Site

NOBODY = "http://127.0.0.1:9"


def away(site: Site, make: Make) -> tuple[Failback, str]:
    """Lose the primary."""
    site.outage("primary")
    return make(), "Cannot reach primary (connection refused): https://127.0.0.1:"


def both_away(site: Site, make: Make) -> tuple[Failback, str]:
    """Lose both sites: two causes."""
    site.outage("dr")
    return away(site, make)


def no_namespace(_site: Site, make: Make) -> tuple[Failback, str]:
    """Misspell the namespace."""
    return make(namespace="jobintell"), "primary has no namespace jobintell: check --namespace"


def no_token(site: Site, make: Make) -> tuple[Failback, str]:
    """Use a kubeconfig whose token the cluster no longer takes."""
    config = yaml.safe_load(site.cluster("primary").kubeconfig.read_bytes())
    config["users"][0]["user"] = {"token": "revoked"}
    kubeconfig = site.sandbox.directory / "revoked.yaml"
    kubeconfig.write_text(yaml.safe_dump(config))
    return make(
        kubeconfig_primary=str(kubeconfig)
    ), f"primary refuses the credentials of {kubeconfig} (401 Unauthorized)"


CASES = {"a site out of reach": away, "both": both_away, "a wrong namespace": no_namespace, "a refused token": no_token}
Case = Callable[[Site, Make], tuple[Failback, str]]


def progress_of(run: Failback) -> list[str]:
    """Return what a person reads while the run works, without its times."""
    out = io.StringIO()
    listener = Progress(out)
    for record in run.records:
        listener.on_record(record, run.state)
    return [line[8:] for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_start_says_the_cause_first_and_once(site: Site, failback: Make, case: Case) -> None:
    """A dozen facts could not be read, all for one reason: it stands first; no guard's own reason stands in for it."""
    run, cause = case(site, failback)
    run.start()
    assert run.state.status in ("held", "refused")
    assert run.state.reason.startswith(f"run_preflight refused: {cause}"), run.state.reason
    assert run.state.reason.count(cause) == 1
    for fact in ("image", "gitops", "schedule_plan"):
        assert f"{fact} is unknown" not in run.state.reason
        assert fact in run.state.reason.partition("Unknown for that reason: ")[2]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_dry_run_says_that_nothing_after_it_would_pass(site: Site, failback: Make, case: Case) -> None:
    """The tokens would pass; then the cause; no later step is said to pass, to wait, or to be refused for its own."""
    run, cause = case(site, failback)
    run.dry_run()
    lines = progress_of(run)
    assert "would pass" in lines[1]
    assert lines[2].startswith(f"✗ {cause}"), lines
    assert lines[3].split() == ["?", "preflight_ok", "UNKNOWN"]
    assert not any("would" in line or "WOULD" in line for line in lines[3:] if not line.startswith("■")), lines
    assert sum(line.startswith("✗") for line in lines) == 1
    assert {forecast.outcome for forecast in run.state.forecasts[1:]} == {"unknown"}
    assert run.state.reason.startswith(cause)


def test_a_bucket_out_of_reach_is_named_once(failback: Make) -> None:
    """Each request fails by itself, with its own key; the address is named once."""
    run = failback(endpoint_url=NOBODY)
    run.dry_run()
    cause = f"Cannot reach the store (connection refused): {NOBODY}"
    assert run.state.reason.count(cause) == 1, run.state.reason
    assert run.state.reason.startswith(cause)
