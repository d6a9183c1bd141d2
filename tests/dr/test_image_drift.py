"""A tag and a digest are one image where the registry says so."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from drfsm.dr.sites.preflight import FACTS
from drfsm.errors import ActionFailed

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
WORK = "registry.example/team/work"


class Registry:
    """A registry that says which digests its tags have."""

    def __init__(self, **digests: Sequence[str]) -> None:
        self._digests = digests

    def digests(self, image: str) -> Sequence[str]:
        """Return a tag's, or the digest itself. Raises ActionFailed for other tags."""
        name, _, digest = image.partition("@")
        known = [digest] if digest else self._digests.get(name.rpartition(":")[2])
        if not known:
            raise ActionFailed("it requires a login")
        return known


@pytest.mark.parametrize(
    ("image", "cronjobs", "tags", "verdict"),
    [
        pytest.param("", f"{WORK}:v1", {}, "none", id="the CronJob's own"),
        pytest.param(f"{WORK}@{A}", f"{WORK}:v1", {"v1": [A]}, "none", id="the tag leads to the digest"),
        pytest.param(f"{WORK}@{A}", f"{WORK}:v1", {"v1": [B, A]}, "none", id="the tag's index has the digest"),
        pytest.param(f"{WORK}@{A}", f"{WORK}:v1", {"v1": [B]}, "differs", id="the tag leads elsewhere"),
        pytest.param(f"{WORK}@{A}", f"{WORK}:v1", {}, "differs", id="the registry does not say"),
        pytest.param(f"{WORK}@{A}", f"{WORK}@{B}", {}, "differs", id="two digests"),
        pytest.param(f"{WORK}@{A}", "registry.example/other:v1", {"v1": [A]}, "differs", id="another repository"),
    ],
)
def test_a_tag_is_the_image_that_its_registry_says(
    image: str, cronjobs: str, tags: Mapping[str, Sequence[str]], verdict: str
) -> None:
    """Otherwise the two differ, and a person may accept that."""
    pod = {"containers": [{"image": cronjobs}]}
    live = {"metadata": {"name": "daily"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    cluster = SimpleNamespace(name="primary", list=lambda _kind, _namespace: [live])
    world: Any = SimpleNamespace(site=lambda _name: cluster, registry=Registry(**tags))
    inputs = {"namespace": "work", "workload": "", "cronjob": "", "image_ref": image, "allow_image_drift": "no"}
    run: Any = SimpleNamespace(inputs=inputs)
    fact = FACTS["image_drift"]
    seen = fact.observe(world, run)
    assert fact.judge(seen, inputs) == verdict
    accepted = fact.judge(seen, {**inputs, "allow_image_drift": "yes"})
    assert accepted == ("none" if verdict == "none" else "accepted")
