"""A backup's archives: what was packed comes back, and what is unsafe is refused before it is held in memory."""

import io
import tarfile
from collections.abc import Callable, Mapping

import pytest
import zstandard

from drfsm.dr.backup.archive import MANIFESTS, STATE, compressed, merged, packed, tree, unpacked
from drfsm.dr.control_plane.bundle import tarred
from drfsm.dr.safe_tar import UnsafeArchive
from drfsm.sandbox.seed import zstd_stored

FILES = {"state/a.json": b"{}", "state/deep/b.bin": bytes(range(256)) * 100, "pointers/state/last_success.json": b"{}"}


def tar(*named: tuple[str, bytes, bytes, str]) -> bytes:
    """Return a tar of (name, kind, content, link's target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, kind, body, target in named:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(body), target
            made.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def plain(name: str) -> bytes:
    """Return an archive with one regular file of that name."""
    return compressed(tar((name, tarfile.REGTYPE, b"x", "")))


def link(kind: bytes) -> bytes:
    """Return an archive with one link below state/."""
    return compressed(tar(("state/link", kind, b"", "/etc/passwd")))


def test_what_was_packed_comes_back_and_the_same_files_give_the_same_bytes() -> None:
    """A round trip loses nothing; order doesn't matter; frames that others stored or streamed are read too."""
    assert unpacked(STATE, packed(FILES)) == FILES
    assert packed(dict(reversed(FILES.items()))) == packed(FILES)
    body = tarred(FILES)
    streamed = zstandard.ZstdCompressor().compressobj()
    assert unpacked(STATE, zstd_stored(body)) == FILES
    assert unpacked(STATE, streamed.compress(body) + streamed.flush()) == FILES


HOSTILE: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "a parent's member": (lambda: plain("state/../../escape"), "is not below state/ or pointers/"),
    "an absolute member": (lambda: plain("/state/x"), "is not below"),
    "a member elsewhere": (lambda: plain("etc/passwd"), "is not below"),
    "a backslash": (lambda: plain("state/..\\x"), "is not below"),
    "a symbolic link": (lambda: link(tarfile.SYMTYPE), "is not a regular file"),
    "a hard link": (lambda: link(tarfile.LNKTYPE), "is not a regular file"),
    "a device": (lambda: link(tarfile.CHRTYPE), "is not a regular file"),
    "a pipe": (lambda: link(tarfile.FIFOTYPE), "is not a regular file"),
    "a member twice": (
        lambda: compressed(tar(*[("state/x", tarfile.REGTYPE, b"x", "")] * 2)),
        "has 'state/x' twice",
    ),
    "a file as the root": (lambda: plain("state"), "has the path of a directory"),
    "no frame": (lambda: b"nothing of the sort", "not a complete Zstandard frame"),
    "nothing": (lambda: b"", "it is cut off"),
    "a frame that is cut off": (lambda: packed(FILES)[:-9], "it is cut off"),
    "a second frame": (lambda: packed(FILES) + packed({}), "other data follows its end"),
    "a tail": (lambda: packed(FILES) + b"\0" * 4000, "other data follows its end"),
    "no tar": (lambda: compressed(b"no tar" * 500), "it is not a tar archive"),
    "a flipped byte": (lambda: _flipped(packed(FILES)), ""),
}


def _flipped(raw: bytes) -> bytes:
    return raw[:200] + bytes([raw[200] ^ 1]) + raw[201:]


@pytest.mark.parametrize("case", HOSTILE)
def test_an_unsafe_or_damaged_archive_is_refused(case: str) -> None:
    """One unsafe member, or anything that isn't one whole frame, refuses all of it, and says which."""
    make, words = HOSTILE[case]
    with pytest.raises(UnsafeArchive) as told:
        unpacked(STATE, make())
    assert words in str(told.value)


def test_a_bomb_is_refused_before_it_is_held() -> None:
    """64 MiB of zeros in a few kilobytes are refused at the limit of the manifests, whatever the frame claims."""
    squeezed = zstandard.ZstdCompressor(level=19).compressobj()
    bomb = squeezed.compress(b"\0" * (64 << 20)) + squeezed.flush()
    assert len(bomb) < 100_000
    with pytest.raises(UnsafeArchive, match="unpacks to more than 33554432 bytes"):
        unpacked(MANIFESTS, bomb)


def test_too_many_members_are_refused() -> None:
    """A tar of very many empty files is refused by their number."""
    files = {f"manifests/{number}": b"" for number in range(10_001)}
    with pytest.raises(UnsafeArchive, match="more than 10000 members"):
        unpacked(MANIFESTS, packed(files))


def test_only_state_goes_into_a_volume_and_keeps_its_modes_and_times() -> None:
    """What is merged for a volume has the files below state/ alone, as they were."""
    info = tarfile.TarInfo("state/tool.sh")
    info.size, info.mode, info.mtime = 2, 0o750, 1_700_000_000
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        made.addfile(info, io.BytesIO(b"#!"))
    both = merged(stream.getvalue(), "state", {"pointers/p.json": b"{}"})
    with tarfile.open(fileobj=io.BytesIO(merged(both, "state", {}))) as found:
        (member,) = found.getmembers()
    assert (member.name, member.mode, member.mtime, member.size) == ("state/tool.sh", 0o750, 1_700_000_000, 2)


def test_the_digest_of_a_tree_tells_names_from_contents() -> None:
    """Moving a byte from a name to a content gives another digest; what isn't below the root doesn't count."""
    assert tree(FILES, "state")["files"] == 2
    assert tree({"state/a": b"b"}, "state") != tree({"state/ab": b""}, "state")
    assert tree({"state/a": b"b", "pointers/c": b"d"}, "state") == tree({"state/a": b"b"}, "state")
