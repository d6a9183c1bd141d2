"""A bundle's files: what lies in their place is looked at before it is opened, and nobody else reads or writes them."""

import ast
import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drfsm.adapters.private import PrivateFiles
from drfsm.cli import main
from drfsm.errors import ActionFailed, DiskFault, DrfsmError, ExitCode, FileDamaged, UsageFault
from drfsm.files import Directory
from drfsm.runs import reserved_plans
from drfsm.runs.receipts import ReceiptFiles
from tests.command import KUBECONFIG, Answer, Drfsm, in_this_process

ROOT = Path(__file__).parents[2]
LOG, SUMMARY, DECLARED = "state_transitions.log", "failback.summary.json", "failback.yaml"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else, or mount a disk")
NOBODY = 65534


@pytest.fixture
def drfsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drfsm:
    """Return the command, in an environment without credentials; it never ends with 1 or a traceback."""
    typed = in_this_process(tmp_path, monkeypatch, capsys)

    def sound(*argv: object) -> Answer:
        answer = typed(*argv)
        assert answer.code != ExitCode.DEFECT, answer
        return answer

    return sound


def failback(tmp_path: Path, place: Path) -> list[object]:
    """Return a failback whose first token is wrong: it is refused, and its bundle is complete."""
    for name in ("dr", "primary"):
        (tmp_path / name).write_text(KUBECONFIG, encoding="utf-8")
    return [
        "failback", "--bucket", "b", "--dr-run-id", "2026-11-28T08:02:45Z", "--kubeconfig-dr", tmp_path / "dr",
        "--kubeconfig-primary", tmp_path / "primary", "--confirm1", "no", "--confirm2", "no", "--endpoint-url", "http://127.0.0.1:9",
        "--receipt-dir", place,
    ]  # fmt: skip


@pytest.fixture
def bundle(drfsm: Drfsm, tmp_path: Path) -> Path:
    """Return the bundle of a run that was refused at its first step."""
    place = tmp_path / "bundle"
    assert drfsm(*failback(tmp_path, place)).code == ExitCode.REFUSED
    return place


def _fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


# --- what lies in a file's place --------------------------------------------------------------------------------

SECRET = b"what somebody else keeps\n"


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def _device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero: it never ends


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 41)


def _foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    path.write_bytes(SECRET)
    os.chown(path, NOBODY, NOBODY)


IN_PLACE: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": lambda path, other: path.symlink_to(other),
    "a link to nothing": lambda path, other: path.symlink_to(other.with_name("not-there")),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "a hard link": lambda path, other: path.hardlink_to(other),
    "a FIFO": lambda path, _: os.mkfifo(path),
    "a socket": lambda path, _: _socket(path),
    "a device": lambda path, _: _device(path),
    "a directory": lambda path, _: path.mkdir(),
    "a hole of terabytes": lambda path, _: _huge(path),
    "somebody else's file": lambda path, _: _foreign(path),
}
PLACES = (LOG, ".lock", ".hold", SUMMARY, DECLARED, "steps")
VERBS = ("status", "list", "replay", "resume", "hold")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", IN_PLACE)
def test_what_lies_in_a_files_place_is_named_and_never_touched(
    drfsm: Drfsm, bundle: Path, tmp_path: Path, kind: str, place: str
) -> None:
    """Every verb ends, with words and a code of its own; what a link leads to has the bytes and the mode it had."""
    other, path = tmp_path / "other", bundle / place
    other.write_bytes(SECRET)
    other.chmod(0o640)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    IN_PLACE[kind](path, other)
    codes = {verb: drfsm(verb, *words_of(verb, bundle)).code for verb in VERBS}
    assert other.read_bytes() == SECRET
    assert stat.S_IMODE(other.stat().st_mode) == 0o640
    assert not (tmp_path / "not-there").exists()
    harmless = (kind, place) in {("a directory", "steps"), ("a hole of terabytes", ".lock")}
    read_by = {LOG: ("status", "replay", "resume"), ".lock": ("status", "resume"), SUMMARY: ("status", "replay")}
    read_by |= {DECLARED: ("replay", "resume"), "steps": (), ".hold": ()}
    for verb in read_by[place]:
        assert (codes[verb] == ExitCode.DAMAGED) is not harmless, (verb, codes)
    assert codes["list"] == ExitCode.DONE, "one bad bundle hides no other"


def words_of(verb: str, place: Path) -> list[object]:
    """Return what is typed after a verb."""
    return [] if verb == "list" else [place, *(["--reason", "r"] if verb == "hold" else [])]


@pytest.mark.parametrize("kind", ["a symbolic link", "a hard link", "a FIFO", "a directory", "a device"])
@pytest.mark.parametrize("name", ["secret", "below/secret", "below"])
def test_no_writer_writes_through_it(tmp_path: Path, kind: str, name: str) -> None:
    """Write, append, create, remove and read: the other file stays as it is, whichever room asks."""
    other, home = tmp_path / "other", tmp_path / "home"
    other.write_bytes(SECRET)
    files = PrivateFiles(home)
    (files.home("below") if "/" in name else files.home())
    IN_PLACE[kind](home / name, other)
    with Directory.own(home) as directory:
        acts: list[Callable[[], object]] = [
            lambda: files.write(name, b"x"), lambda: files.read(name), lambda: os.close(files.create(name)),
            lambda: directory.append(name, b"x"), lambda: directory.write(name, b"x"),
            lambda: directory.write(f"{name}/in", b"x"),
        ]  # fmt: skip
        for act in acts[: 5 if kind != "a directory" else 3]:
            with pytest.raises((FileDamaged, UsageFault)):
                act()
        if kind != "a directory":
            with pytest.raises(FileDamaged):
                acts[5]()
            files.forget(name)
            assert not os.path.lexists(home / name)
    assert other.read_bytes() == SECRET


# --- who may read and write --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, 0o755, 0o700])
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_the_owner_reads_a_bundle_and_the_home(
    drfsm: Drfsm, tmp_path: Path, umask: int, before: int | None
) -> None:
    """Directories 0700 and files 0600, whatever the umask, also in a directory that was there."""
    place = tmp_path / "bundle"
    old = os.umask(umask)
    try:
        if before is not None:
            place.mkdir()
            place.chmod(before)
        drfsm(*failback(tmp_path, place))
        drfsm("hold", place, "--reason", "r")
        ReceiptFiles("", "of-a-command").env("control-plane/fetch/fetch.summary.env", {"A": 1})
    finally:
        os.umask(old)
    for root in (place, tmp_path / "home"):
        for path in (root, *root.rglob("*")):
            wanted = 0o700 if path.is_dir() else 0o600
            assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert len(list(place.rglob("*"))) > 4


def _owned_by_nobody(path: Path) -> None:
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)


def _open_to(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        os.chown(path, -1, NOBODY) if os.geteuid() == 0 else None
        path.chmod(mode)

    return make


def _holding(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir(0o700)
        (path / name).touch()

    return make


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "everybody may write": (_open_to(0o777), "", "others may write to"),
    "a group may write": (_open_to(0o770), "", "others may write to"),
    "everybody may write, but not remove": (_open_to(0o1777), "", "others may write to"),
    "somebody else owns it": (_owned_by_nobody, "", "belongs to the user"),
    "its parent can be swapped": (_open_to(0o777), "below", "others may write to"),
    "its parent's owner could swap it": (_owned_by_nobody, "below", "belongs to the user"),
    "a file of somebody's lies in it": (
        _holding("notes.txt"), "", "holds files of something else: n",
    ),
    "another run's summary lies in it": (
        _holding(SUMMARY), "", "holds files of something else: failb",
    ),
    "it is a file": (lambda path: path.write_text("x"), "", "can't be "),
    "its parent is a file": (lambda path: path.write_text("x"), "below", "can't be made"),
    "its name is too long": (lambda path: path, "x" * 300, "can't be made"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_directory_that_others_share_is_refused(drfsm: Drfsm, tmp_path: Path, what: str) -> None:
    """Exit 2, the reason, and not a file in it: of a run, and of receipts."""
    make, below, words = REFUSED[what]
    if "owns" in what and os.geteuid() != 0:
        pytest.skip("only root can give a directory to somebody else")
    made = tmp_path / "given"
    make(made)
    before = sorted(tmp_path.glob("given/**/*"))
    told = drfsm(*failback(tmp_path, made / below))
    assert (told.code, words in told.err) == (ExitCode.USAGE, True), told
    with pytest.raises(UsageFault):
        ReceiptFiles(str(made / below), "c").env("control-plane/fetch/fetch.summary.env", {"A": 1})
    assert sorted(tmp_path.glob("given/**/*")) == before
    assert not list((tmp_path / "home").glob("runs/*"))


def test_what_a_cut_off_start_left_and_a_sticky_parent_are_fine(drfsm: Drfsm, tmp_path: Path) -> None:
    """A parent may be as the temporary directory is; what a start that was killed left is no foreign file."""
    parent = tmp_path / "shared"
    _open_to(0o1777)(parent)
    place = parent / "bundle"
    place.mkdir(0o700)
    for name in (".lock", DECLARED, f".{DECLARED}.4711.0"):
        (place / name).write_text("")
    assert drfsm(*failback(tmp_path, place)).code == ExitCode.REFUSED
    link = tmp_path / "link"
    link.symlink_to(parent)
    assert drfsm(*failback(tmp_path, link / "another")).code == ExitCode.REFUSED, "a link that a person named"


@AS_ROOT
def test_somebody_elses_bundle_can_be_looked_at_and_not_gone_on_with(drfsm: Drfsm, bundle: Path) -> None:
    """Root reads a user's bundle and writes nothing into it."""
    (bundle / SUMMARY).unlink()
    for path in (bundle, *bundle.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    told = drfsm("status", bundle)
    assert (told.code, "belongs to the user 65534" in told.err) == (ExitCode.DONE, True), told
    assert "refused" in told.out
    assert drfsm("replay", bundle).code == ExitCode.DONE
    assert drfsm("resume", bundle).code == ExitCode.USAGE
    assert not (bundle / SUMMARY).exists()


@AS_ROOT
def test_what_this_user_may_not_read_is_told(drfsm: Drfsm, bundle: Path) -> None:
    """A journal or a bundle without permission: exit 2 and whose it is, by every verb; `list` hides no other run."""
    assert drfsm("replay", bundle).code == ExitCode.DONE  # whatever is imported is imported now
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o711)
        place = Path(shared) / "bundle"
        shutil.copytree(bundle, place)
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for path, words in ((place / LOG, "Permission denied"), (place, "Permission denied")):
            path.chmod(0)
            os.seteuid(NOBODY)
            try:
                told = [drfsm(verb, place) for verb in ("status", "replay")]
            finally:
                os.seteuid(0)
            assert [(each.code, words in each.err) for each in told] == [(ExitCode.USAGE, True)] * 2, told


# --- what is left of a log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["emptied", "removed", "torn to nothing"])
@pytest.mark.parametrize("left", [SUMMARY, "steps", "both"])
def test_an_emptied_log_beside_a_runs_files_is_damage(drfsm: Drfsm, bundle: Path, how: str, left: str) -> None:
    """Exit 7 with the mirror as the next step, by every verb, and never a word of "nothing was moved"."""
    if left == "steps":
        (bundle / SUMMARY).unlink()
        assert any((bundle / "steps").iterdir())
    if left == SUMMARY:
        shutil.rmtree(bundle / "steps")
    log = bundle / LOG
    log.unlink() if how == "removed" else log.write_bytes(b"" if how == "emptied" else log.read_bytes()[:30])
    for verb in ("status", "resume"):
        told = drfsm(verb, bundle)
        assert (told.code, "drfsm resume s3://" in told.err) == (ExitCode.DAMAGED, True), told
        assert "nothing was moved" not in told.err
    assert drfsm("replay", bundle).code in (ExitCode.DAMAGED, ExitCode.EVIDENCE)
    assert "damaged" in drfsm("list").out
    assert drfsm(*failback(bundle.parent, bundle)).code == ExitCode.USAGE, "nor is a new run begun on top of it"


def test_a_start_that_was_cut_off_is_told_as_that(drfsm: Drfsm, bundle: Path) -> None:
    """An empty log beside a declaration alone: wrong usage, and where to look before a new run is begun.

    Where this machine keeps heads of it, it is damage: more than one of its records was written.
    """
    shutil.rmtree(bundle / "steps")
    (bundle / SUMMARY).unlink()
    (bundle / LOG).write_bytes(b"")
    heads = next((bundle.parent / "home/heads").iterdir())
    told = drfsm("resume", bundle)
    assert (told.code, str(heads) in told.err) == (ExitCode.DAMAGED, True), told
    heads.write_bytes(heads.read_bytes()[:65])
    told = drfsm("resume", bundle)
    assert (told.code, "look for the run's mirror" in told.err) == (ExitCode.USAGE, True), told
    assert drfsm("replay", bundle).code == ExitCode.EVIDENCE


def _summary(bundle: Path, change: Callable[[dict[str, object]], object]) -> bytes:
    """Change a summary's ``journal``; return its bytes."""
    summary = json.loads((bundle / SUMMARY).read_bytes())
    change(summary["journal"])
    (bundle / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")
    return (bundle / SUMMARY).read_bytes()


def _cut(bundle: Path) -> None:
    log = bundle / LOG
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))


CONTRADICTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "the log was cut off": (_cut, "truncated"),
    "the summary knows more": (lambda place: _summary(place, lambda known: known.update(records=99)), "truncated"),
    "the summary knows another head": (
        lambda place: _summary(place, lambda known: known.update(head="0" * 64)), "rewritten",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTRADICTED)
def test_a_log_that_contradicts_its_summary_is_found_and_the_summary_stays(
    drfsm: Drfsm, bundle: Path, what: str
) -> None:
    """Replay has a finding, status says so and writes nothing, resume does not go on: exit 6 each."""
    alter, rule = CONTRADICTED[what]
    alter(bundle)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file() and path.name != ".lock"}
    told = drfsm("replay", bundle)
    assert (told.code, f"[{rule}]" in told.out) == (ExitCode.EVIDENCE, True), told
    told = drfsm("status", bundle)
    assert (told.code, "the summary was left as it is" in told.err) == (ExitCode.EVIDENCE, True), told
    assert drfsm("resume", bundle).code == ExitCode.EVIDENCE
    assert {path: path.read_bytes() for path in before} == before


def test_a_log_that_has_grown_is_fine_and_its_summary_is_made_true(drfsm: Drfsm, bundle: Path) -> None:
    """The record comes first, so a kill leaves a summary behind: replay holds, status catches up."""
    first = json.loads((bundle / LOG).read_bytes().splitlines()[1])["prev"]
    _summary(bundle, lambda known: known.update(records=1, head=first))
    assert drfsm("replay", bundle).code == ExitCode.DONE
    assert drfsm("status", bundle).code == ExitCode.DONE
    assert json.loads((bundle / SUMMARY).read_bytes())["journal"]["records"] > 1
    (bundle / SUMMARY).write_bytes(b"{half")
    assert drfsm("status", bundle).code == ExitCode.DONE
    assert json.loads((bundle / SUMMARY).read_bytes())["run_id"]


# --- a disk that refuses -----------------------------------------------------------------------------------------


def test_on_a_full_disk_status_prints_and_a_run_says_what_to_do(drfsm: Drfsm, bundle: Path, small_disk: Path) -> None:
    """Status says where the run stands, exit 0, one line on stderr; a start exits with 12, and a defect still tells."""
    place = small_disk / "bundle"
    shutil.copytree(bundle, place)
    (place / SUMMARY).write_bytes(b"{}")
    _fill(small_disk)
    told = drfsm("status", place)
    assert (told.code, "ended: refused" in told.out) == (ExitCode.DONE, True), told
    assert "No space left on device" in told.err
    assert "free some space" in told.err
    told = drfsm(*failback(bundle.parent, small_disk / "another"))
    assert (told.code, "free some space" in told.err) == (ExitCode.DISK, True), told


def test_on_a_read_only_disk_status_prints_and_nothing_goes_on(drfsm: Drfsm, bundle: Path, small_disk: Path) -> None:
    """Status and replay exit with 0; whoever would write exits with 12 and says how it is mounted."""
    place = small_disk / "bundle"
    shutil.copytree(bundle, place)
    (place / SUMMARY).write_bytes(b"{}")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    told = drfsm("status", place)
    assert (told.code, "Read-only file system" in told.err) == (ExitCode.DONE, True), told
    assert drfsm("replay", place).code == ExitCode.DONE
    told = drfsm("resume", place)
    assert (told.code, "findmnt" in told.err) == (ExitCode.DISK, True), told


WORLD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO,
         errno.ENOMEM, errno.EFBIG, errno.ESTALE, errno.ENAMETOOLONG, errno.ELOOP)  # fmt: skip


@pytest.mark.parametrize("number", WORLD, ids=lambda each: errno.errorcode[each])
def test_what_this_computer_refuses_is_told_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """From wherever it comes, the last line of defence names the file, the cause and a next step: exit 12."""

    def refuse() -> Path:
        raise OSError(number, os.strerror(number), "/some\x1b[2Jwhere")

    monkeypatch.setattr("drfsm.runs.bundle.runs", refuse)
    assert main.run(["status"]) == ExitCode.DISK
    told = capsys.readouterr().err
    assert os.strerror(number) in told
    assert "next: " in told
    assert "\x1b" not in told


@pytest.mark.parametrize("fault", [ConnectionResetError(104, "reset"), TimeoutError(110, "timed out")])
def test_what_the_network_refuses_is_no_disk(monkeypatch: pytest.MonkeyPatch, fault: OSError) -> None:
    """Exit 9."""

    def refuse() -> Path:
        raise fault

    monkeypatch.setattr("drfsm.runs.bundle.runs", refuse)
    assert main.run(["status"]) == ExitCode.UNREACHABLE


def test_a_defect_on_a_full_disk_is_told_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its traceback can't be kept in a file, it is shown: the only case."""
    monkeypatch.setattr("drfsm.runs.bundle.runs", lambda: dict[str, Path]()["defect"])
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    assert main.run(["status"]) == ExitCode.DEFECT
    told = capsys.readouterr().err
    assert "could not be written to a file" in told
    assert "KeyError" in told


def test_a_standard_output_that_is_full_is_told() -> None:
    """`drfsm list > /dev/full`: exit 12, not 0 and not a traceback."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "drfsm", "--help"], stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert (ended.returncode, b"Traceback" in ended.stderr) == (ExitCode.DISK, False), ended.stderr


# --- one room ----------------------------------------------------------------------------------------------------

WRITES = {"write_text", "write_bytes", "mkdir", "touch", "unlink", "rename", "symlink_to", "hardlink_to", "chmod",
          "makedirs", "mkstemp", "mkdtemp", "NamedTemporaryFile", "rmtree", "symlink", "truncate"}  # fmt: skip
ELSEWHERE = {
    # room: why it writes, and never into a bundle
    "files.py": "the room itself",
    "adapters/file_journal.py": "truncates the journal through the descriptor that files.py gave it",
    "adapters/terraform.py": "the mode of a plan that terraform wrote",
    "adapters/terraform_process.py": "terraform's cache of providers",
    "adapters/ssh_signatures.py": "a signature that is checked, in the temporary directory",
    "cli/textfiles.py": "the metrics of `health` and `metrics`, which another user's exporter reads",
    "cli/completion.py": "the shell's script, and one line in its start-up file",
    "cli/manual.py": "the man pages that `man --out` asks for",
    "cli/kubeconfig.py": "the kubeconfig that `kubeconfig --file` asks for, never over another",
    "cli/main.py": "a defect's traceback, in the temporary directory",
    "engine/late.py": "no file: objects of the world are touched",
    "dr/pointers/pointers.py": "likewise",
    "dr/endpoints/gates.py": "likewise",
    "dr/endpoints/routing.py": "likewise",
    "dr/control_plane/bundle.py": "--output-dir of `control-plane fetch`",
    "dr/backup/in_pod.py": "runs in a pod",
    "evidence/schemas/__main__.py": "the schemas, in a checkout",
    "cli/machine_new.py": "a new machine's files, in the author's own directory",
    "cli/machine_diagram.py": "the picture that `machine diagram --out` asks for",
    "cli/report.py": "the page that `report --html` asks for",
    "cli/coverage.py": "the picture that `coverage --svg` asks for",
    "cli/machine_export.py": "the definition that `machine export --out` asks for",
    "runs/bundle_store.py": "what `bundle prune` removes whole, once every byte of it is in the bucket",
    "evidence/kit/verify_bundle.py": "what openssl is given, in the temporary directory",
    "testing/transcripts.py": "an author's transcripts, which a switch of pytest rewrites",
}


def _writes(path: Path) -> Iterator[str]:
    """Yield every call in a file that makes, writes or removes a file by itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        named = node.func.attr in WRITES
        by_descriptor = owner == "os" and not any("O_RDONLY" in ast.unparse(each) for each in node.args)
        opened = node.func.attr == "open" and (by_descriptor or any(_is_mode(each) for each in node.args))
        moved = node.func.attr == "replace" and len(node.args) == 1 and not node.keywords
        if named or opened or moved:
            yield f"line {node.lineno}: {owner}.{node.func.attr}"


def _is_mode(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(set(node.value) & set("wax+"))


def test_no_other_room_writes_files_by_itself() -> None:
    """Whoever writes into a bundle goes through files.py; the others are named here, each with what it writes."""
    rooms = {
        path.relative_to(ROOT / "drfsm").as_posix(): list(_writes(path))
        for path in (ROOT / "drfsm").rglob("*.py")
        if path.relative_to(ROOT / "drfsm").parts[0] not in ("sandbox", "_shipped")
    }
    found = {room: calls for room, calls in rooms.items() if calls}
    assert set(found) <= set(ELSEWHERE), {room: calls for room, calls in found.items() if room not in ELSEWHERE}


def test_a_reserved_plan_is_kept_and_used_through_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in place of `plans`, or of a plan: refused as damaged, and nothing is written where it leads."""
    home, other = tmp_path / "home", tmp_path / "other"
    monkeypatch.setenv("DRFSM_HOME", str(home))
    other.mkdir()
    sha256, reserved = "1" * 64, reserved_plans.Reserved("promote-20260101t000000z-abcdef", "2" * 32)
    with Directory.make(home) as directory:
        directory.link("plans", other)
    with pytest.raises(FileDamaged):
        reserved_plans.keep(sha256, reserved, "d")
    with pytest.raises(FileDamaged):
        reserved_plans.use(sha256, reserved)
    assert not list(other.iterdir())
    (home / "plans").unlink()
    reserved_plans.keep(sha256, reserved, "d")
    reserved_plans.use(sha256, reserved)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (home / "plans").iterdir()} == {0o600}
    assert stat.S_IMODE((home / "plans").stat().st_mode) == 0o700
    assert reserved_plans.kept(sha256) == reserved
    with pytest.raises(ActionFailed, match="was used"):
        reserved_plans.use(sha256, reserved)


def test_a_file_is_written_whole_or_not_at_all(small_disk: Path) -> None:
    """On a full disk the old one stays, no draft is left, and the fault says what to do."""
    with Directory.make(small_disk / "bundle") as directory:
        directory.write("summary", b"old")
        _fill(small_disk)
        with pytest.raises(DiskFault, match="ENOSPC") as caught:
            directory.write("summary", b"n" * 100_000)
        assert "free some space" in caught.value.hint
        assert isinstance(caught.value, DrfsmError)
        assert directory.read("summary") == b"old"
        assert directory.names() == ["summary"]
