"""An image is refused only where it is known that no node can run it."""

from collections.abc import Sequence

import pytest

from drfsm.dr.sites.architecture import judge, see
from drfsm.errors import ActionFailed


class Registry:
    """A registry that tells what an image is built for, or doesn't."""

    def __init__(self, *built_for: str) -> None:
        self.built_for = built_for

    def architectures(self, image: str) -> Sequence[str]:
        """Return what it is built for. Raises ActionFailed where it doesn't tell."""
        if not self.built_for:
            raise ActionFailed(f"{image} wants a login")
        return self.built_for

    def digests(self, image: str) -> Sequence[str]:
        """Tell none: what an image is built for is not asked by digest."""
        raise ActionFailed(f"{image} wants a login")


@pytest.mark.parametrize(
    ("registry", "nodes", "verdict"),
    [
        pytest.param(Registry("amd64"), ["amd64"], "possible", id="the same"),
        pytest.param(Registry("amd64", "arm64"), ["arm64"], "possible", id="one of two"),
        pytest.param(Registry("amd64"), ["arm64", "amd64"], "possible", id="one of the nodes"),
        pytest.param(Registry("amd64"), ["arm64"], "other", id="another"),
        pytest.param(Registry("amd64"), [""], "possible", id="nodes that don't say"),
        pytest.param(Registry(), ["arm64"], "possible", id="a registry that doesn't say"),
        pytest.param(None, ["arm64"], "possible", id="nobody to ask"),
    ],
)
def test_only_what_is_known_to_be_another_is_refused(registry: Registry | None, nodes: list[str], verdict: str) -> None:
    """What can't be told is no failure; why it can't stands in the observation."""
    machines = [{"metadata": {"name": "n"}, "status": {"nodeInfo": {"architecture": each}}} for each in nodes]
    seen = see(registry, "jobintel:1", machines)
    assert judge(seen) == verdict
    assert bool(seen["unknown"]) == (not seen["built_for"])
