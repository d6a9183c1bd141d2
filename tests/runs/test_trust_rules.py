"""Who vouches for a journal, who wrote its declaration, and where its sites lie: the rules one by one, in memory.

The journal is that of a recorded promote that holds an approval; keys and persons are what each case says of them.
tests/promote/test_forged_records.py does the same from outside, with a bucket in an attacker's hands.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import read_chain
from drfsm.errors import EvidenceFault, UntrustedRecords, UsageFault
from drfsm.journal import Record, digest, fold, lines
from drfsm.runs.heads import Heads
from drfsm.runs.trust import (
    LONGEST_SHOWN,
    Assurances,
    Journal,
    Voucher,
    _typed,
    check_expected,
    check_origin,
    differing_places,
    origin_of,
    places_here,
    region_here,
    sha256_of,
    sound,
    trusted_machines,
    vouch,
)
from drfsm.spec import load_machine

PLACE = Path(__file__).parents[1] / "data" / "bundles" / "0.5.0" / "promote"
MACHINE = (PLACE / "promote.yaml").read_bytes()
RECORDS = read_chain(PLACE).records
LINES = list(lines(RECORDS))
HEAD = digest(LINES[-1])
RUN = fold(RECORDS).run_id
(APPROVAL,) = [record for record in RECORDS if record.kind == "commit" and record.body["trigger"] == "approve"]
PLAN = APPROVAL.body["args"]["approved_plan"]
OTHER = "0" * 64


@cache
def spec() -> Any:
    """Return the declaration that the run is pinned to."""
    return load_machine(MACHINE, source="promote.yaml")


class Keys:
    """The keys that an operator trusts: which record, by its hash, each has signed and as what."""

    def __init__(self, signed: Mapping[str, str]) -> None:
        self.signed = signed  # hash of a record -> the namespace it is signed for

    def signature(self, head: str) -> bytes | None:
        """Return the signature beside a record."""
        return head.encode() if head in self.signed else None

    def signer(self, namespace: str, message: bytes, signature: bytes) -> str | None:
        """Return who signed: only as what it was signed, and only this message."""
        head = digest(message)
        return "kay" if signature == head.encode() and self.signed.get(head) == namespace else None


def journal(raw: Sequence[bytes] = LINES, keys: Keys | None = None) -> Journal:
    """Return a journal to continue from."""
    keys_of = keys or Keys({})
    return Journal(raw, spec(), "file:///bundle", keys_of.signature, lambda: keys)


def heads(home: Path, raw: Sequence[bytes] = ()) -> Heads:
    """Return what this machine knows of the run: the heads of these lines."""
    known = Heads(RUN, home)
    known.note([digest(line) for line in raw], 0)
    return known


class Person:
    """The person at the terminal, who types these answers, and what that person was shown."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.shown, self.asked = list(answers), list[str](), list[str]()

    def ask(self, words: str) -> str:
        """Return the next answer; "" where there is none, as without a terminal."""
        self.asked.append(words)
        return self.answers.pop(0) if self.answers else ""

    def assurances(self, **more: Any) -> Assurances:
        """Return what this person vouches for."""
        return Assurances(ask=self.ask, tell=self.shown.append, **more)


def signed_by_machine(approved: bool = True) -> Keys:
    """Return keys that signed the last record, and perhaps the approval as one."""
    approval = {digest(LINES[APPROVAL.seq]): "drfsm-approval"} if approved else {}
    return Keys({HEAD: "drfsm-intent", **approval})


# --- whose records ---------------------------------------------------------------------------------------


def test_what_this_machine_wrote_last_asks_nothing(tmp_path: Path) -> None:
    """Its own last head: no audit, no key, no person; the next record says nothing of a voucher."""
    person = Person()
    voucher = vouch(journal(), heads(tmp_path, LINES), person.assurances())
    assert (voucher, voucher.record, voucher.by_person) == (Voucher("own"), {}, False)
    assert not person.asked
    assert not person.shown


@pytest.mark.parametrize(
    ("left_out", "refused"),
    [(1, False), (2, True), (5, True)],
    ids=["the last may not have been written", "two are gone", "five are gone"],
)
def test_an_end_that_was_cut_off_is_refused(tmp_path: Path, left_out: int, *, refused: bool) -> None:
    """This machine wrote more than the journal holds; only a person who names the head goes on all the same."""
    cut = LINES[:-left_out]
    if not refused:
        assert vouch(journal(cut), heads(tmp_path, LINES), Assurances()) == Voucher("own")
        return
    with pytest.raises(EvidenceFault, match="its end was cut off") as refusal:
        vouch(journal(cut), heads(tmp_path, LINES), Assurances(heads=(HEAD,)))
    assert f"wrote {len(LINES) - 1} records of the run, and the journal holds {len(cut)}:" in str(refusal.value)
    assert refusal.value.hint.endswith(f"--expect-head {digest(cut[-1])}")
    expected = Assurances(heads=(digest(cut[-1]),))
    assert vouch(journal(cut), heads(tmp_path, LINES), expected) == Voucher("own")


def test_a_person_types_the_head_after_seeing_what_would_be_done(tmp_path: Path) -> None:
    """Of the records, the next action, the inputs; then of the approval, which nobody signed."""
    person = Person(f" {HEAD[:12]}\n", PLAN[:12])
    voucher = vouch(journal(), heads(tmp_path), person.assurances())
    assert voucher == Voucher("typed", "typed at the terminal", HEAD, len(LINES))
    assert voucher.by_person
    assert voucher.record == {"how": "typed", "by": "typed at the terminal", "head": HEAD, "records": len(LINES)}
    state = fold(RECORDS)
    assert person.shown[:6] == [
        f"{RUN}: {len(LINES)} records, not all of them written by this machine.",
        f"  declared by    promote ({state.machine_sha256[:12]}…)",
        f"  stands in      {state.state}, {state.status}; since {state.last_at}",
        f"  written by     {state.operator} on {state.host}",
        "  next action    find out how the interrupted step switch_global_pointer ended",
        "  It would use:",
    ]
    assert f"    fence_dr_role = {state.inputs['fence_dr_role']}" in person.shown
    assert person.shown.count(f"    staged_prefix = {state.inputs['staged_prefix']}") == 1
    assert f"    bucket = {state.inputs['bucket']}" in person.shown
    assert not [line for line in person.shown if line.strip().startswith(("kubeconfig_", "endpoint_url", "region"))]
    assert f"  head           {HEAD}" in person.shown
    assert f"approved the plan {PLAN} under {APPROVAL.body['args']['ticket']}" in person.shown[-1]
    assert [words.partition(" to ")[0] for words in person.asked] == [
        "Type the first 12 characters of the head", "Type the first 12 characters of the plan's digest",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("last", "action"),
    [
        ("approve", "fence_primary: The primary is fenced"),
        ("capture_pointers", "publish_artifacts: The verified files are at their canonical place"),
    ],
)
def test_the_next_action_is_shown_as_the_declaration_has_it(tmp_path: Path, last: str, action: str) -> None:
    """Of a run that was stopped between two steps: the runner's next row, and why it is taken."""
    (done,) = [record.seq for record in RECORDS if record.kind == "commit" and record.body["trigger"] == last]
    raw = LINES[: done + 1]
    person = Person(digest(raw[-1]), PLAN)
    vouch(journal(raw), heads(tmp_path), person.assurances())
    assert person.shown[4].startswith(f"  next action    {action}")


@pytest.mark.parametrize(
    "typed",
    ["", HEAD[:11], HEAD[:11] + "x", HEAD[1:20], HEAD + "0", "0" * 12],
    ids=["nothing", "too few", "a wrong last one", "another part", "more than it has", "another head"],
)
def test_nobody_vouches_by_another_word_than_the_head(tmp_path: Path, typed: str) -> None:
    """At least twelve characters, from its first on; the refusal has the whole command."""
    with pytest.raises(UntrustedRecords, match=f"nobody vouches for the {len(LINES)} records of {RUN}") as refusal:
        vouch(journal(), heads(tmp_path), Person(typed, PLAN).assurances())
    assert refusal.value.hint.endswith(f"--expect-head {HEAD}")


def test_a_head_that_was_given_is_not_asked_again(tmp_path: Path) -> None:
    """Nor is it shown; the approval is a question of its own, and a plan that was given answers it."""
    person = Person()
    voucher = vouch(journal(), heads(tmp_path), person.assurances(heads=(HEAD,), approved_plans=(PLAN,)))
    assert voucher == Voucher("typed", "--expect-head", HEAD, len(LINES))
    assert not person.asked
    assert not person.shown


@pytest.mark.parametrize(
    ("typed", "plans"),
    [("", ()), (PLAN[:11], ()), (PLAN[:11] + "x", ()), (PLAN + "0", ()), ("", (OTHER,)), (HEAD[:12], ())],
    ids=["nothing", "too few", "a wrong last one", "more than it has", "another plan given", "the head"],
)
def test_an_approval_that_nobody_signed_must_be_given_again(tmp_path: Path, typed: str, plans: tuple[str, ...]) -> None:
    """Whoever vouches for the records has not approved the plan yet."""
    with pytest.raises(UntrustedRecords, match="no trusted key signed the approval of the plan") as refusal:
        vouch(journal(), heads(tmp_path), Person(typed).assurances(heads=(HEAD,), approved_plans=plans))
    assert refusal.value.hint.endswith(f"--approved-plan {PLAN}")


def test_a_trusted_key_vouches_and_says_how_far(tmp_path: Path) -> None:
    """For its records, and for the approval that it signed as one: no person is asked, one is told."""
    person = Person()
    voucher = vouch(journal(keys=signed_by_machine()), heads(tmp_path), person.assurances())
    assert voucher == Voucher("signed", "kay", HEAD, len(LINES))
    assert not voucher.by_person
    assert not person.asked
    (told,) = person.shown
    assert told.startswith(f"{RUN}: kay signed the last of these {len(LINES)} records, of {fold(RECORDS).last_at}. ")


@pytest.mark.parametrize(
    "keys",
    [
        signed_by_machine(approved=False),
        Keys({HEAD: "drfsm-intent", digest(LINES[APPROVAL.seq]): "drfsm-intent"}),
    ],
    ids=["unsigned", "signed as a record"],
)
def test_a_key_that_signed_the_records_has_approved_nothing(tmp_path: Path, keys: Keys) -> None:
    """An approval wants a signature of its own kind."""
    with pytest.raises(UntrustedRecords, match="the approval of the plan"):
        vouch(journal(keys=keys), heads(tmp_path), Person().assurances())


@pytest.mark.parametrize("namespace", ["drfsm-seal", "drfsm-approval", "ssh"])
def test_a_signature_for_another_purpose_vouches_for_nothing(tmp_path: Path, namespace: str) -> None:
    """A person must."""
    with pytest.raises(UntrustedRecords, match="nobody vouches"):
        vouch(journal(keys=Keys({HEAD: namespace})), heads(tmp_path), Person().assurances())


def test_an_approval_of_this_machine_needs_no_signature(tmp_path: Path) -> None:
    """Its record was written here; what came after it elsewhere is vouched for by a person."""
    person = Person(HEAD)
    voucher = vouch(journal(), heads(tmp_path, LINES[: APPROVAL.seq + 1]), person.assurances())
    assert voucher.how == "typed"
    assert len(person.asked) == 1


def edited(change: Callable[[list[Record]], Any]) -> list[bytes]:
    """Return the lines of a journal that somebody changed and chained anew."""
    records = list(RECORDS)
    change(records)
    return list(lines(records))


def given(**inputs: Any) -> list[bytes]:
    """Return the journal with other inputs."""

    def change(records: list[Record]) -> None:
        body = records[0].body
        records[0] = evolve(records[0], body={**body, "inputs": {**body["inputs"], **inputs}})

    return edited(change)


def test_records_that_do_not_hold_are_no_question_for_a_person(tmp_path: Path) -> None:
    """Nor for a key: the audit's first findings are named, and nothing is asked."""

    def other_state(records: list[Record]) -> None:
        records[APPROVAL.seq] = evolve(APPROVAL, body={**APPROVAL.body, "how": "acted"})

    raw = edited(other_state)
    head = digest(raw[-1])
    person = Person(head, PLAN)
    with pytest.raises(EvidenceFault, match=f"the records of {RUN} do not hold") as refusal:
        vouch(journal(raw, Keys({head: "drfsm-intent"})), heads(tmp_path), person.assurances(heads=(head,)))
    assert f"line {APPROVAL.seq + 1}: " in str(refusal.value)
    assert not person.asked


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_what_nobody_can_read_is_vouched_for_by_nobody(tmp_path: Path, more: int, *, refused: bool) -> None:
    """An input that starts a program is shown whole, or the records are refused, whoever gives their head."""
    text = "A=1\n" * (LONGEST_SHOWN // 4) + "B" * more
    raw = given(validation_env=text)
    person = Person(digest(raw[-1]), PLAN)
    if refused:
        with pytest.raises(EvidenceFault, match=r"the input validation_env of .* has more than 20000 characters"):
            vouch(journal(raw), heads(tmp_path), person.assurances(heads=(digest(raw[-1]),)))
        return
    assert vouch(journal(raw), heads(tmp_path), person.assurances()).how == "typed"
    assert person.shown.count("    validation_env = A=1") == LONGEST_SHOWN // 4


@pytest.mark.parametrize(
    "name",
    [
        "image_ref", "validation_env", "backup_uri", "primary_restore_backup_uri", "fence_primary_role",
        "fence_dr_role", "sync_src_prefix", "sync_dst_prefix", "staged_prefix", "allow_in_backup", "infrastructure",
        "resume_cronjobs",
    ],
)  # fmt: skip
def test_each_input_that_starts_something_is_shown_whole(name: str) -> None:
    """First, and a line for a line; where it is too long for a person, the records are refused."""
    person = Person(HEAD)
    state = evolve(fold(RECORDS), inputs={name: "one\ntwo", "a_first": "x"})
    _typed(journal(), state, HEAD, person.assurances())
    shown = person.shown[person.shown.index("  It would use:") + 1 :]
    assert shown == [f"    {name} = one", f"    {name} = two", "    a_first = x", f"  head           {HEAD}"]
    with pytest.raises(EvidenceFault, match=f"the input {name} of"):
        _typed(journal(), evolve(state, inputs={name: "x" * (LONGEST_SHOWN + 1)}), HEAD, person.assurances())


def test_a_line_that_drfsm_cannot_have_written_is_named() -> None:
    """By its number; a journal whose records contradict each other is refused as well."""
    broken = [*RECORDS[:2], evolve(RECORDS[2], body={"x": 1}), *RECORDS[3:]]
    with pytest.raises(EvidenceFault, match="line 3 of the journal is no record of drfsm: "):
        sound(broken)
    assert sound(RECORDS) == fold(RECORDS)


def test_a_head_that_is_expected_must_be_one_of_the_journals() -> None:
    """Any record's will do, one of several is enough, and none expected is no question."""
    for expected in ((), (HEAD,), (digest(LINES[0]),), (OTHER, HEAD)):
        check_expected(LINES, Assurances(heads=expected))
    with pytest.raises(EvidenceFault, match=f"no record of the journal has the head {OTHER}; its last has {HEAD}"):
        check_expected(LINES, Assurances(heads=(OTHER,)))


# --- whose declaration -----------------------------------------------------------------------------------


def test_a_declaration_is_shipped_or_trusted_or_refused() -> None:
    """By its digest, never by its name."""
    shipped = sha256_of(MACHINE)
    assert origin_of(shipped) == "shipped with drfsm 0.5.0"
    assert origin_of(shipped, (shipped,)) == "shipped with drfsm 0.5.0"
    assert (origin_of(OTHER), origin_of(OTHER, (shipped,))) == ("", "")
    assert origin_of(OTHER, (OTHER,)) == "trusted by the operator"
    mine = load_machine(MACHINE + b"# mine\n", source="promote.yaml")
    check_origin(spec(), ())
    check_origin(mine, (OTHER, mine.sha256))
    with pytest.raises(EvidenceFault, match=f"no version of drfsm shipped the declaration of promote .*{mine.sha256}"):
        check_origin(mine, (OTHER,))


def test_trusted_declarations_are_named_by_option_and_environment() -> None:
    """Separated by blanks or commas; what is no digest is a mistake that is named."""
    environ = {"DRFSM_TRUST_MACHINES": f"{'1' * 64}, {'2' * 64} {'3' * 64}"}
    assert trusted_machines([OTHER], environ) == (OTHER, "1" * 64, "2" * 64, "3" * 64)
    assert trusted_machines([], {}) == ()
    for wrong in (OTHER[1:], OTHER + "0", "promote", OTHER.replace("0", "G")):
        with pytest.raises(UsageFault, match="is not the SHA-256 of a declaration"):
            trusted_machines([wrong], {})
        with pytest.raises(UsageFault, match="is not the SHA-256 of a declaration"):
            trusted_machines([OTHER], {"DRFSM_TRUST_MACHINES": wrong})


# --- where the sites lie ---------------------------------------------------------------------------------

RECORDED = {
    "kubeconfig_dr": "/evil/dr", "kubeconfig_primary": "/evil/primary", "terraform_dir": "", "region": "evil-1",
    "endpoint_url": "http://evil",
}  # fmt: skip


@pytest.mark.parametrize(
    ("named", "kept", "here"),
    [
        ({"kubeconfig_dr": "/d", "kubeconfig_primary": "/p"}, None, ("/d", "/p", "", "", "env-1")),
        ({"kubeconfig_dr": "/d"}, {"kubeconfig_dr": "/k", "kubeconfig_primary": "/l"}, ("/d", "/l", "", "", "env-1")),
        (
            {},
            {"kubeconfig_dr": "/k", "kubeconfig_primary": "/l", "region": "kept-1", "endpoint_url": "http://kept"},
            ("/k", "/l", "", "http://kept", "kept-1"),
        ),
        (
            {"kubeconfig_dr": "/d", "kubeconfig_primary": "/p", "region": "x-1", "terraform_dir": "/t", "bucket": "b"},
            {"region": "kept-1"},
            ("/d", "/p", "/t", "", "x-1"),
        ),
    ],
)
def test_places_are_given_here_and_never_read_from_records(
    named: dict[str, str], kept: dict[str, str] | None, here: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As given now, else as given before; a region may come from the environment."""
    monkeypatch.setenv("AWS_REGION", "env-1")
    names = ("kubeconfig_dr", "kubeconfig_primary", "terraform_dir", "endpoint_url", "region")
    assert places_here(RECORDED, named, kept) == dict(zip(names, here, strict=True))


def test_each_place_that_was_never_given_is_named() -> None:
    """All at once, with the command's options; what the run does not use is not asked for."""
    with pytest.raises(UsageFault, match="--kubeconfig-dr, --kubeconfig-primary must be given") as refusal:
        places_here(RECORDED, {}, {})
    assert refusal.value.hint == "repeat the command with --kubeconfig-dr PATH --kubeconfig-primary PATH"
    with pytest.raises(UsageFault, match="the records, and --terraform-dir must be given"):
        places_here({"terraform_dir": "/t"}, {"kubeconfig_dr": "/d"}, None)
    assert places_here({}, {}, None)["kubeconfig_dr"] == ""


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a"),
        ({"AWS_DEFAULT_REGION": "b"}, "b"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "b"}, "b"),
        ({}, ""),
    ],
)
def test_the_region_of_this_machine(environ: dict[str, str], region: str) -> None:
    """The environment's, as AWS's own tools read it."""
    assert region_here(environ) == region


def test_addresses_that_differ_are_named() -> None:
    """Each with what the run recorded; what it did not record differs from nothing."""
    here = {"endpoint_url": "http://here", "region": "r-1"}
    assert list(differing_places({"endpoint_url": "http://here", "region": "r-1"}, here)) == []
    assert list(differing_places({"endpoint_url": "", "region": None}, here)) == []
    assert list(differing_places({"endpoint_url": "http://there", "region": "r-2"}, here)) == [
        "endpoint_url: the run recorded http://there, here it is http://here",
        "region: the run recorded r-2, here it is r-1",
    ]
