"""Misuses, as a new user makes them: what each must show, and what it must not.

None misleads about what is frozen, who may publish, or what to type; none changes a byte of a run's log, and none ends
in a defect. A row: what somebody types, in which situation, the exit code, what is shown, and what must not be.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from drfsm.cli.machines import Searching
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs import bundle
from drfsm.runs.run_context import request_timeout
from tests.cli.conftest import given
from tests.cli.test_selection import begun, refused
from tests.command import Drfsm

USAGE, REFUSED, DONE = ExitCode.USAGE, ExitCode.REFUSED, ExitCode.DONE
FAILBACK, DRILL, PROMOTE = (
    "failback-20261128t222843z-664001", "drill-20261128t222920z-cfd305", "promote-20261128t222859z-7f8871",
)  # fmt: skip
NOBODY = "NOBODY CAN PUBLISH"
SUSPENDED = "the primary's schedules are suspended, since "
NOTHING = "Frozen now: nothing, as far as the runs of this computer know."
NONE_KNOWN = "no run is known in "
BY_ANOTHER = f"Frozen now by another run, {FAILBACK}, HELD in primary_publish_enabled:"
NO_BUNDLE = "is no bundle: it holds no state_transitions.log"

Situation = Callable[[Drfsm, Path], object]


def nothing(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have no run at all."""


def was_refused(drfsm: Drfsm, tmp: Path) -> None:
    """Have one run, which was refused."""
    refused(drfsm, tmp)


def frozen(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have a failback that is held with both sites frozen."""
    begun("failback")


def frozen_then_refused(drfsm: Drfsm, tmp: Path) -> None:
    """Have the same, and a later start that was refused."""
    begun("failback")
    refused(drfsm, tmp)


def was_dry(drfsm: Drfsm, tmp: Path) -> None:
    """Have one dry run, without the tokens, of sites that nobody can reach."""
    command = given(tmp, confirm1="", confirm2="", receipt_dir=tmp / "dry")
    assert drfsm(*command, "--dry-run").code == REFUSED


def approved(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have a promote that was approved, and is held later."""
    begun("promote")


def two_open(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have a failback and a drill open."""
    begun("failback")
    begun("drill")


def damaged(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have a promote that is held, and a failback whose records are damaged."""
    begun("promote")
    log = bundle.home() / "runs" / begun("failback") / bundle.LOG
    log.write_bytes(log.read_bytes().replace(b'"seq":3', b'"seq":4', 1))


def cut(_drfsm: Drfsm, _tmp: Path) -> None:
    """Have a failback whose log was cut; the summary beside it knows better."""
    place = bundle.home() / "runs" / begun("failback")
    lines = (place / bundle.LOG).read_bytes().splitlines(keepends=True)
    summary = {"journal": {"head": json.loads(lines[-1])["prev"], "records": len(lines) + 3}}
    (place / "failback.summary.json").write_text(json.dumps(summary))
    (place / "failback.summary.json").chmod(0o600)


class Misuse(NamedTuple):
    """One row."""

    situation: Situation
    typed: Sequence[str]
    code: int
    shows: Sequence[str]
    never: Sequence[str] = ()


def row(situation: Situation, typed: str, code: int, *shows: str, never: Sequence[str] = ()) -> Misuse:
    """Return a row of what is typed in one line."""
    return Misuse(situation, typed.split(), code, shows, never)


REASON = "--reason late"
MISUSES = {
    # Nothing was started, or nothing that changed anything.
    "asks where it stands before anything was started": row(nothing, "status", USAGE, NONE_KNOWN, "drfsm list s3://"),
    "resumes what was started on another computer": row(nothing, "resume", USAGE, NONE_KNOWN, "drfsm list s3://"),
    "aborts before anything was started": row(nothing, f"abort {REASON}", USAGE, NONE_KNOWN),
    "asks where a refused run stands": row(was_refused, "status", DONE, NOTHING, "ended: refused"),
    "resumes a refused run": row(was_refused, "resume", USAGE, "no run is open", "ended: refused", "drfsm status"),
    "aborts a refused run": row(was_refused, f"abort {REASON}", USAGE, "no run is open", "ended: refused"),
    "holds a refused run": row(was_refused, f"hold {REASON}", USAGE, "no run is open"),
    # The wrong run.
    "asks where it stands after a second start was refused": row(
        frozen_then_refused, "status", DONE, "Frozen now:", NOBODY, SUSPENDED, f"{FAILBACK} is HELD",
        never=["ended: refused"],
    ),
    "asks for the refused run by its directory": row(
        frozen_then_refused, "status {tmp}/refused", DONE, BY_ANOTHER, NOBODY, f"drfsm status {FAILBACK}",
        "ended: refused",
    ),
    "asks with two runs open": row(
        two_open, "status", USAGE, f"Frozen now by {FAILBACK}", NOBODY, f"drfsm status {FAILBACK}",
        f"drfsm status {DRILL}",
    ),
    "aborts with two runs open": row(
        two_open, f"abort {REASON}", USAGE, "2 runs are open", NOBODY, f"frozen now: nothing, by {DRILL}"
    ),
    "resumes with two runs open": row(two_open, "resume", USAGE, "2 runs are open", f"drfsm status {FAILBACK}"),
    "approves with two runs open": row(two_open, "approve --ticket CHG-1", USAGE, "2 runs are open"),
    "approves a failback": row(frozen, "approve --ticket CHG-1", USAGE, "waits for no approval: it is a failback"),
    "holds a run that nobody works on": row(frozen, f"hold {REASON}", DONE, "it has stopped already", "drfsm status"),
    "asks for the drill beside a frozen failback": row(two_open, f"status {DRILL}", DONE, BY_ANOTHER, NOBODY, DRILL),
    "asks with a damaged run beside": row(
        damaged, "status", DONE, f"Frozen by {FAILBACK}: UNKNOWN. Its records cannot be read", f"{PROMOTE} is HELD"
    ),
    "asks for a run whose log was cut": row(
        cut, f"status {FAILBACK}", ExitCode.EVIDENCE, NOBODY, "the evidence does NOT hold", "it was cut off"
    ),
    "lists the runs after a start was refused": row(
        frozen_then_refused, "list", DONE, f"held         primary_publish_enabled    2026-11-28T22:28:43Z  {FAILBACK}",
        "refused      refused ", never=["dry run"],
    ),
    "lists the runs after a dry run without tokens": row(
        was_dry, "list", DONE, "refused      start ", "  (dry run)", never=["dry_run"],
    ),
    "asks where a dry run without tokens stands": row(
        was_dry, "status", DONE, NOTHING, "(DRY RUN: nothing was changed) ended: refused, in start",
        "--confirm1 is missing, --confirm2 is missing", "Cannot reach ",
    ),
    "audits a dry run without tokens": row(was_dry, "replay", DONE, "The evidence holds", "ENDS refused in start"),
    "asks where a promote stands that was approved": row(
        approved, "status", DONE, f"  drfsm resume {PROMOTE} ", f"  {NOBODY}, since ",
        never=[f"{NOBODY}, the primary being fenced", f"Next:\n  drfsm approve {PROMOTE}"],
    ),
    # Names that are no names.
    "misspells a run": row(frozen, "status failback-2026", USAGE, f"failback-2026 {NO_BUNDLE}", NOBODY, "drfsm list"),
    "aborts a misspelt run": row(frozen, f"abort failback-2026 {REASON}", USAGE, NO_BUNDLE, "drfsm list"),
    "names a bucket instead of a run": row(frozen, "status s3://b/p", USAGE, "s3://<bucket>/<prefix>/drfsm/runs/<run>"),
    "misspells resume": row(nothing, "resme", USAGE, "Did you mean: drfsm resume"),
    "misspells status": row(nothing, "stauts", USAGE, "Did you mean: drfsm status?"),
    "misspells failback": row(nothing, "fallback", USAGE, "Did you mean: drfsm failback?"),
    "misspells a noun's verb": row(nothing, "runs lst", USAGE, "Did you mean: drfsm runs list?"),
    # Options.
    "types a failback without options": row(
        nothing, "failback", USAGE, "Missing options: --bucket, --dr-run-id, --kubeconfig-dr, --kubeconfig-primary."
    ),
    "aborts without a reason": row(frozen, "abort", USAGE, "Missing option '--reason'"),
    "aborts with an empty reason": Misuse(frozen, ["abort", "--reason", " "], USAGE, ["--reason is empty"]),
    "declares DR lost without a reason": row(
        frozen, "resume --dr-unreachable", USAGE, "--dr-unreachable needs a --reason"
    ),
    "resolves with maybe": row(frozen, f"resolve maybe {REASON}", USAGE, "'done', 'not_done'"),
    "approves by request": row(frozen, f"request approve {REASON}", USAGE, "drfsm approve RUN --ticket"),
    "gives a short head": row(frozen, f"resume {FAILBACK} --expect-head abc", USAGE, "abc is no SHA-256", "all 64 hex"),
    "resumes another computer's run without kubeconfigs": row(
        frozen, "resume", USAGE, "--kubeconfig-dr PATH --kubeconfig-primary PATH"
    ),
}  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_a_misuse_misleads_nobody(drfsm: Drfsm, tmp_path: Path, misuse: Misuse) -> None:
    """It shows its lines, exits with its code, and leaves the records of every run as they were."""
    misuse.situation(drfsm, tmp_path)
    logs = {path: path.read_bytes() for path in tmp_path.rglob(bundle.LOG)}
    told = drfsm(*(word.replace("{tmp}", str(tmp_path)) for word in misuse.typed))
    text = told.out + told.err
    assert told.code == misuse.code, told
    for line in misuse.shows:
        assert line in text, f"{line!r} is missing:\n{text}"
    for line in misuse.never:
        assert line not in text, f"{line!r} misleads:\n{text}"
    assert "this is a defect" not in text
    assert logs == {path: path.read_bytes() for path in tmp_path.rglob(bundle.LOG)}


STARTS = {
    "the tokens are in lower case": ({"confirm1": "failback"}, REFUSED, "FAILBACK, and CONFIRM-<dr run id>"),
    "the second token names another run": ({"confirm2": "CONFIRM-x"}, REFUSED, "CONFIRM-<dr run id>"),
    "the kubeconfig is not there": ({"kubeconfig_dr": "/nope"}, USAGE, "--kubeconfig-dr: there is no file /nope"),
    "an address without a scheme": ({"endpoint_url": "localhost:9"}, USAGE, "give it as https://HOST[:PORT]"),
    "a limit in words": ({"drain_timeout": "soon"}, USAGE, "give seconds (300), or 90s, 5m, 1h30m, 2d"),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_a_start_that_is_wrong_says_so_and_is_not_the_run_that_is_meant(
    drfsm: Drfsm, tmp_path: Path, start: tuple[dict[str, object], int, str]
) -> None:
    """While a failback has both sites frozen: `status` speaks of that one afterwards."""
    options, code, line = start
    frozen(drfsm, tmp_path)
    told = drfsm(*given(tmp_path, **options))
    assert (told.code, line in told.out + told.err) == (code, True), told
    after = drfsm("status").out
    assert after.startswith("Frozen now:\n")
    assert f"{FAILBACK} is HELD" in after


def test_a_limit_is_given_as_people_say_it(drfsm: Drfsm, tmp_path: Path) -> None:
    """1h5m is 3900 seconds, and recorded as that."""
    drfsm(*given(tmp_path, confirm1="FAIL"), "--drain-timeout", "1h5m")
    started = json.loads((tmp_path / "bundle" / bundle.LOG).read_bytes().splitlines()[0])
    assert started["body"]["inputs"]["drain_timeout"] == 3900


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_a_sandbox_without_its_extra_says_what_to_install(
    drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Wrong usage, before a server is started that would only die."""
    monkeypatch.setitem(sys.modules, "moto", None)  # what Python sees where it is not installed
    told = drfsm("sandbox", verb, "--dir", tmp_path / "sandbox")
    assert told.code == USAGE, told
    assert "the sandbox needs moto, which is not installed" in told.err
    assert 'pip install "drfsm[sandbox]"' in told.err
    assert not (tmp_path / "sandbox").exists()


def test_a_search_that_goes_on_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A check may take a minute: every two seconds it says its time, the rule and how many are left."""
    with Searching(3, every_seconds=0.01) as searching:
        searching.note("")
        searching.note("two_writers")
        told = ""
        while "still searching, 0 s: two_writers (1 of 3 rules)" not in told:
            told += capsys.readouterr().err
    with Searching(3, every_seconds=60):
        pass
    assert capsys.readouterr().err.count("60 s") == 0


@pytest.mark.parametrize("seconds", ["0", "-1", "59", "3601", "nan", "inf", "a minute"])
def test_a_request_timeout_that_is_none_is_refused(seconds: str) -> None:
    """How long a request may take to land: a minute to an hour; unset or empty: kube-apiserver's minute."""
    with pytest.raises(UsageFault, match="DRFSM_REQUEST_TIMEOUT"):
        request_timeout({"DRFSM_REQUEST_TIMEOUT": seconds})
    assert request_timeout({}) == request_timeout({"DRFSM_REQUEST_TIMEOUT": ""}) == 60
    assert request_timeout({"DRFSM_REQUEST_TIMEOUT": "120"}) == 120
    assert request_timeout({"DRFSM_REQUEST_TIMEOUT": "5", "DRFSM_SITE_ON_THIS_MACHINE": "1"}) == 5
