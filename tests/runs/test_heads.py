"""What this machine knows of its runs outside their bundles: which records it wrote, and where their sites lie."""

from pathlib import Path

import pytest

from drfsm.errors import DrfsmError
from drfsm.runs.heads import Heads

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


def test_what_one_process_noted_the_next_one_knows(tmp_path: Path) -> None:
    """Each head, and how many records there are at least; of another run nothing."""
    home = tmp_path / "home"
    none = Heads("run-1", home)
    assert (none.knows(ONE), none.written, none.places) == (False, 0, None)
    Heads("run-1", home).note([ONE, TWO], 0)
    Heads("run-1", home).note([TWO, THREE], 5)
    known = Heads("run-1", home)
    assert [known.knows(head) for head in (ONE, TWO, THREE, "4" * 64)] == [True, True, True, False]
    assert known.written == 6
    assert (home / "heads/run-1").read_text() == f"00000000 {ONE}\n00000001 {TWO}\n00000006 {THREE}\n"
    other = Heads("run-2", home)
    assert (other.knows(ONE), other.written) == (False, 0)


def test_a_line_that_a_dying_process_left_half_written_counts_nothing(tmp_path: Path) -> None:
    """Nor does it spoil the next one; what is no line of drfsm is passed over."""
    home = tmp_path / "home"
    Heads("run-1", home).note([ONE], 0)
    place = home / "heads/run-1"
    place.write_bytes(place.read_bytes() + b"00000009 \xff" + TWO[:40].encode())
    Heads("run-1", home).note([THREE], 1)
    known = Heads("run-1", home)
    assert [known.knows(head) for head in (ONE, TWO, THREE)] == [True, False, True]
    assert known.written == 1


def test_the_places_of_a_run_that_began_elsewhere_are_kept(tmp_path: Path) -> None:
    """As given last; a run of this machine has none."""
    home = tmp_path / "home"
    Heads("run-1", home).keep_places({"region": "r-1"})
    Heads("run-1", home).keep_places({"region": "r-2", "kubeconfig_dr": "/d"})
    assert Heads("run-1", home).places == {"region": "r-2", "kubeconfig_dr": "/d"}
    assert Heads("run-2", home).places is None


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", "."])
def test_a_name_that_is_no_runs_becomes_no_path(run_id: str, tmp_path: Path) -> None:
    """It may come from a bucket."""
    with pytest.raises(DrfsmError):
        Heads(run_id, tmp_path)
    assert list(tmp_path.iterdir()) == []
