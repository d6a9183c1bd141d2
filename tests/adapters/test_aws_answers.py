"""What answers in AWS's place is never believed: whatever comes that was not asked for says nothing about the world."""

import json
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from drfsm.adapters import aws_cloud
from drfsm.adapters.aws import Account, Fleet, connect, fleet, resolved_endpoint
from drfsm.adapters.aws_answers import ANSWERS
from drfsm.adapters.aws_session import EXPIRED, Services, refusal
from drfsm.cli.main import run
from drfsm.errors import DrfsmError, ExitCode, Unreachable, Unreadable, UsageFault
from drfsm.world import UNTOLD, Copy
from tests.bench.faulty import Fault, Front

BUCKET, REGION = "answers", "us-east-1"
ARN = "arn:aws:iam::123456789012:role/somebody"
EARLY, LATE = (datetime(2026, 11, 28, hour, tzinfo=UTC) for hour in (10, 11))


class Asked(NamedTuple):
    """What a question is put to."""

    account: Account
    fleet: Fleet


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials as an operator's environment has them, and no config of whoever runs the tests."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-session-token")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """Serve what answers in AWS's place."""
    with Front("http://127.0.0.1:9") as serving:
        yield serving


@pytest.fixture(scope="module")
def asked(front: Front) -> Asked:
    """Return the adapters as the CLI makes them. Made once: making clients takes its time."""
    return Asked(
        connect(bucket=BUCKET, endpoint_url=front.endpoint, region=REGION),
        fleet(endpoint_url=front.endpoint, region=REGION),
    )


QUESTIONS: Mapping[str, Callable[[Asked], Any]] = {
    "get": lambda asked: asked.account.store.get("k"),
    "stat": lambda asked: asked.account.store.stat("k"),
    "sha256": lambda asked: asked.account.store.sha256("k"),
    "list": lambda asked: list(asked.account.store.list("p/")),
    "put": lambda asked: asked.account.store.put("k", b"body"),
    "put if absent": lambda asked: asked.account.store.put("k", b"body", if_absent=True),
    "copy": lambda asked: asked.account.store.copy("k", "l"),
    "delete": lambda asked: asked.account.store.delete("k"),
    "get_many": lambda asked: list(asked.account.store.get_many(["k"])),
    "hash_many": lambda asked: list(asked.account.store.hash_many(["k"])),
    "copy_many": lambda asked: list(asked.account.store.copy_many([Copy("k", "l", 4)])),
    "delete_many": lambda asked: list(asked.account.store.delete_many(["k"])),
    "policy": lambda asked: asked.account.policy.read(),
    "write policy": lambda asked: asked.account.policy.write("{}"),
    "remove policy": lambda asked: asked.account.policy.write(None),
    "account": lambda asked: asked.account.identity.account(),
    "caller": lambda asked: asked.account.identity.caller(),
    "bucket's region": lambda asked: asked.account.identity.bucket_region(),
    "runners": lambda asked: asked.account.infrastructure.runners({"Purpose": "x"}),
    "states": lambda asked: asked.account.infrastructure.states(["i-1"]),
    "terminate": lambda asked: asked.account.infrastructure.terminate(["i-1"]),
    "alarms": lambda asked: asked.account.alarms.states(["a"]),
    "alarm history": lambda asked: list(asked.account.alarms.history("a", EARLY, LATE)),
    "template": lambda asked: asked.fleet.machines.template("some", ""),
    "launch": lambda asked: asked.fleet.machines.launch("lt-1", "1", "token", {}),
    "instances": lambda asked: asked.fleet.machines.instances({"tag:x": ["y"]}),
    "disks": lambda asked: asked.fleet.machines.disk_gb(["vol-1"]),
    "admitted": lambda asked: asked.fleet.machines.admitted("because"),
    "admit": lambda asked: asked.fleet.machines.admit("sg-1", "192.0.2.1/32", 6443, "because"),
    "dismiss": lambda asked: asked.fleet.machines.dismiss("sg-1", "192.0.2.1/32", 6443, "because"),
    "parameter": lambda asked: asked.fleet.parameters.read("/p"),
    "delete parameter": lambda asked: asked.fleet.parameters.delete("/p"),
}
MAY_BE_UNTOLD = {"account", "caller"}  # where the store is not AWS's: by an error's page as well, by a code
_REFUSED = 400
LOGIN = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in\x1b[31m \xe2\x80\xae</body></html>"
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><x>&b;</x>'
GARBAGE: Mapping[str, Fault] = {
    "a login page": Fault(status=200, body=LOGIN, headers={"Content-Type": "text/html"}),
    "a page that is XML": Fault(status=200, body=b"<html><body>ok</body></html>"),
    "an empty body": Fault(status=200, body=b""),
    "a word": Fault(status=200, body=b"ok"),
    "binary": Fault(status=200, body=bytes(range(256)) * 100),
    "another document": Fault(status=200, body=b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"),
    "half a document": Fault(status=200, body=b"<ListBucketResult><Name>answers</Name><IsTrunc"),
    "an error with 200": Fault(status=200, body=b"<Error><Code>NoSuchKey</Code></Error>"),
    "entities": Fault(status=200, body=BOMB),
    "a JSON list": Fault(status=200, body=b"[]"),
    "a JSON object": Fault(status=200, body=b'{"kind": "Status", "Parameter": [], "MetricAlarms": "none"}'),
    "no content": Fault(status=204, body=b""),
    "a page for 404": Fault(status=404, body=LOGIN),
    "nothing for 404": Fault(status=404, body=b""),
    "JSON for 404": Fault(status=404, body=b'{"message": "no route"}'),
    "no bucket": Fault(status=404, body=b"<Error><Code>NoSuchBucket</Code></Error>"),
    "a page for 400": Fault(status=400, body=LOGIN),
    "a page for 407": Fault(status=407, body=LOGIN),
    "a redirect": Fault(status=302, body=b"", headers={"Location": "http://127.0.0.1:9/elsewhere"}),
    "a lasting redirect": Fault(status=308, body=b"", headers={"Location": "http://127.0.0.1:9/elsewhere"}),
}
LEGAL = {
    ("no content", "delete"),
    ("a JSON object", "delete parameter"),  # its answer is an object without fields
}


def outcome(question: Callable[[Asked], Any], asked: Asked) -> Any:
    """Return what a question is answered, or the refusal."""
    try:
        return question(asked)
    except DrfsmError as fault:
        return fault


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_never_taken_for_an_answer(asked: Asked, front: Front, garbage: str) -> None:
    """Each kind, to each question: unreachable, unreadable or refused, in few printable words; never a value."""
    front.rule = lambda _method, _path: GARBAGE[garbage]
    believed = {}
    for name, question in QUESTIONS.items():
        if (garbage, name) in LEGAL:
            continue
        answer = outcome(question, asked)
        if isinstance(answer, DrfsmError):
            assert answer.exit_code != ExitCode.DEFECT, name
            assert len(answer.what) < 1200, name
            assert answer.what.isprintable(), name
            assert answer.hint, name
        elif not (may_be_untold(name, GARBAGE[garbage]) and str(answer).startswith(f"{UNTOLD}: ")):
            believed[name] = answer
    assert believed == {}
    known = outcome(lambda asked: asked.account.identity.known(ARN), asked)
    assert known == UNTOLD if may_be_untold("account", GARBAGE[garbage]) else isinstance(known, Unreadable)


def may_be_untold(name: str, garbage: Fault) -> bool:
    """Return whether garbage may mean that nobody is there to tell: never a success, or a redirect."""
    in_words = b"<Code>" in (garbage.body or b"")
    return garbage.status >= _REFUSED and (name in MAY_BE_UNTOLD or (name == "bucket's region" and in_words))


@pytest.mark.parametrize(
    ("service", "operation", "question"),
    [
        ("s3", "ListObjectsV2", "list"),
        ("s3", "CopyObject", "copy_many"),
        ("sts", "GetCallerIdentity", "account"),
        ("ec2", "DescribeInstances", "runners"),
        ("ec2", "DescribeInstances", "states"),
        ("ec2", "DescribeInstances", "instances"),
        ("ec2", "RunInstances", "launch"),
        ("ec2", "TerminateInstances", "terminate"),
        ("ec2", "DescribeLaunchTemplateVersions", "template"),
        ("ec2", "DescribeVolumes", "disks"),
        ("ec2", "DescribeSecurityGroups", "admitted"),
    ],
)
def test_a_document_of_the_right_name_without_its_fields_is_none(
    asked: Asked, front: Front, service: str, operation: str, question: str
) -> None:
    """An answer without the element that every real one has is no empty list, and no "nothing there"."""
    body = f"<{ANSWERS[service][operation].root}/>".encode()
    front.rule = lambda _method, _path: Fault(status=200, body=body)
    with pytest.raises(Unreadable):
        QUESTIONS[question](asked)


def listing(**changed: str) -> bytes:
    """Return a listing of one object, some of it changed; an empty text takes an element away."""
    entry = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in {
            "Key": changed.get("Key", "p/k"),
            "LastModified": changed.get("LastModified", "2026-02-27T00:22:29.000Z"),
            "ETag": changed.get("ETag", '"e"'),
            "Size": changed.get("Size", "4"),
        }.items()
        if value
    )
    whole = {"Name": BUCKET, "Prefix": "p/", "KeyCount": "1", "MaxKeys": "1000", "IsTruncated": "false"} | changed
    top = "".join(f"<{name}>{whole[name]}</{name}>" for name in whole if name not in _ENTRY and whole[name])
    return f"<ListBucketResult>{top}<Contents>{entry}</Contents></ListBucketResult>".encode()


_ENTRY = {"Key", "LastModified", "ETag", "Size"}


@pytest.mark.parametrize(
    "changed",
    [
        {"Name": "another"}, {"Name": ""}, {"Prefix": "q/"}, {"IsTruncated": ""}, {"IsTruncated": "true"},
        {"Key": ""}, {"Key": "q/k"}, {"ETag": ""}, {"Size": ""}, {"Size": "four"}, {"LastModified": ""},
        {"LastModified": "yesterday"},
    ],
)  # fmt: skip
def test_a_listing_that_is_not_the_one_that_was_asked_for_is_none(
    asked: Asked, front: Front, changed: dict[str, str]
) -> None:
    """Another bucket's, another prefix's, one without its end, one with half an entry: none of them counts."""
    front.rule = lambda _method, _path: Fault(status=200, body=listing())
    assert [each.key for each in asked.account.store.list("p/")] == ["p/k"]
    front.rule = lambda _method, _path: Fault(status=200, body=listing(**changed))
    with pytest.raises(Unreadable):
        list(asked.account.store.list("p/"))


def test_a_listing_is_read_to_its_last_page(asked: Asked, front: Front) -> None:
    """One request a page, until a page says that it is the last; every entry counts, in order."""
    pages = [
        listing(Key="p/a", IsTruncated="true", NextContinuationToken="second"),
        listing(Key="p/b", IsTruncated="true", NextContinuationToken="third"),
        listing(Key="p/c"),
    ]
    front.rule = lambda _method, _path: Fault(status=200, body=pages.pop(0))
    assert [each.key for each in asked.account.store.list("p/")] == ["p/a", "p/b", "p/c"]
    assert pages == []


def test_pages_that_never_end_are_noticed(asked: Asked, front: Front) -> None:
    """A listing that names the same continuation again and again goes nowhere."""
    body = listing(IsTruncated="true", NextContinuationToken="again")
    front.rule = lambda _method, _path: Fault(status=200, body=body)
    with pytest.raises(Unreadable, match="no valid continuation token"):
        list(asked.account.store.list("p/"))


def alarm_history(*changed: Mapping[str, Any], token: str = "") -> bytes:
    """Return a page of an alarm's history, one item for each of these, some of it changed; None takes a field away."""
    whole = {
        "AlarmName": "a", "HistoryItemType": "StateUpdate", "HistorySummary": "s", "Timestamp": EARLY.timestamp() + 9,
        "HistoryData": '{"newState": {"stateValue": "OK"}}',
    }  # fmt: skip
    items = [{name: value for name, value in {**whole, **fields}.items() if value is not None} for fields in changed]
    return json.dumps({"AlarmHistoryItems": items, **({"NextToken": token} if token else {})}).encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"AlarmName": "b"}, {"AlarmName": None}, {"HistoryItemType": "Action"}, {"HistoryItemType": None},
        {"HistorySummary": None}, {"HistorySummary": 7}, {"Timestamp": None}, {"Timestamp": "yesterday"},
        {"Timestamp": 1e300}, {"Timestamp": "2026-11-28T10:00:09"}, {"Timestamp": EARLY.timestamp() - 1},
        {"Timestamp": LATE.timestamp() + 9}, {"Timestamp": EARLY.timestamp() + 10}, {"HistoryData": "OK"},
        {"HistoryData": "[]"}, {"HistoryData": '{"a": 1, "a": 2}'},
    ],
)  # fmt: skip
def test_an_alarms_history_that_is_not_the_one_that_was_asked_for_is_none(
    asked: Asked, front: Front, changed: dict[str, Any]
) -> None:
    """Another alarm's, another kind's, of another time, in another order, half an item: none of them counts."""
    front.rule = lambda _method, _path: Fault(status=200, body=alarm_history({}, {}))
    assert [change.new_state for change in QUESTIONS["alarm history"](asked)] == ["OK", "OK"]
    front.rule = lambda _method, _path: Fault(status=200, body=alarm_history({}, changed))
    with pytest.raises(Unreadable):
        QUESTIONS["alarm history"](asked)


@pytest.mark.parametrize("data", [None, "{}", '{"oldState": [], "newState": "OK"}', '{"newState": {"stateValue": []}}'])
def test_an_alarms_change_whose_states_are_not_told_is_a_change_all_the_same(
    asked: Asked, front: Front, data: str | None
) -> None:
    """CloudWatch promises no form of an item's data: the change is kept, its states are unknown."""
    front.rule = lambda _method, _path: Fault(status=200, body=alarm_history({"HistoryData": data}))
    (change,) = QUESTIONS["alarm history"](asked)
    assert (change.at, change.old_state, change.new_state, change.reason) == ("2026-11-28T10:00:09.000Z", "", "", "")


def test_pages_of_an_alarms_history_that_never_end_are_noticed(
    asked: Asked, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also pages without an item, each with a continuation of its own."""
    monkeypatch.setattr(aws_cloud, "_MOST_HISTORY_PAGES", 5)
    front.rule = lambda _method, _path: Fault(status=200, body=alarm_history(token=f"t{len(front.seen)}"))
    with pytest.raises(Unreadable, match="more than 5 pages"):
        QUESTIONS["alarm history"](asked)


def test_a_signed_request_goes_to_no_other_host(asked: Asked, front: Front) -> None:
    """Whatever a redirect names, and however often: nothing arrives there, and nothing that lies there is believed."""
    with Front("http://127.0.0.1:9") as elsewhere:
        elsewhere.rule = lambda _method, _path: Fault(
            status=200, body=b"evil", headers={"ETag": '"e"', "Last-Modified": "Sat, 28 Nov 2026 12:00:00 GMT"}
        )
        host = elsewhere.endpoint.replace("127.0.0.1", "localhost")
        for status in (301, 307):
            front.rule = lambda _method, path, status=status: Fault(  # type: ignore[misc]  # a default binds it
                status=status, body=b"", headers={"Location": f"{host}{path}"}
            )
            for question in QUESTIONS.values():
                with pytest.raises(DrfsmError):
                    question(asked)
        assert elsewhere.seen == []


@pytest.mark.parametrize("inner", ["", "<LocationConstraint>eu-north-1</LocationConstraint>"])
def test_a_store_that_names_its_region_in_another_document_does_not_tell_it(
    asked: Asked, front: Front, inner: str
) -> None:
    """SeaweedFS does so: nothing in that document is taken for the region, and to no other question is it an answer."""
    body = f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()
    front.rule = lambda _method, _path: Fault(status=200, body=body)
    assert asked.account.identity.bucket_region().startswith(f"{UNTOLD}: the store reports no region (")
    for name in ("list", "copy", "account"):
        with pytest.raises(Unreadable):
            QUESTIONS[name](asked)


def refused(code: str) -> Mapping[str, bytes]:
    """Return a refusal as each protocol spells it."""
    inner = f"<Code>{code}</Code><Message>of keys</Message>"
    return {
        "s3": f"<Error>{inner}</Error>".encode(),
        "sts": f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>".encode(),
        "ec2": f"<Response><Errors><Error>{inner}</Error></Errors></Response>".encode(),
        "json": json.dumps({"__type": code, "message": "of keys"}).encode(),
    }


_IN_WORDS = {
    "s3": ("get", "sha256", "list", "put", "put if absent", "delete", "get_many", "hash_many", "copy_many", "policy"),
    "ec2": ("runners", "states", "terminate", "instances", "launch"),
    "json": ("alarms", "alarm history", "parameter"),
}


@pytest.mark.parametrize("code", sorted(EXPIRED))
def test_credentials_that_are_no_longer_good_are_to_be_renewed(asked: Asked, front: Front, code: str) -> None:
    """In the middle of a run, from whichever service: out of reach, the operator's, and how they are renewed."""
    for protocol, names in _IN_WORDS.items():
        body = refused(code)[protocol]
        front.rule = lambda _method, _path, body=body: Fault(status=400, body=body)  # type: ignore[misc]  # a default binds it
        for name in names:
            with pytest.raises(Unreachable) as told:
                QUESTIONS[name](asked)
            assert (told.value.fault, "aws sso login" in told.value.hint) == ("operator", True), name
            assert "drfsm resume" in told.value.hint, name


def test_a_clock_that_is_off_is_told_as_that() -> None:
    """It is this machine's, and what sets it is said."""
    for code, message in (("RequestTimeTooSkewed", "x"), ("SignatureDoesNotMatch", "Signature expired: 2026 is now")):
        told = refusal("reading x", 403, code, message)
        assert (type(told), told.fault, "clock" in told.what) == (Unreachable, "operator", True)


RENEWER = """#!{python}
import datetime, json, pathlib, sys
counter = pathlib.Path({counter!r})
number = int(counter.read_text() or 0) if counter.exists() else 0
counter.write_text(str(number + 1))
if number >= {good}:
    sys.exit("the login has expired")
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
print(json.dumps({{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",
                  "Expiration": soon.isoformat()}}))
"""


@pytest.mark.parametrize("good", [0, 1])
@pytest.mark.parametrize("name", ["get", "list", "get_many", "hash_many", "runners"])
def test_a_renewal_that_fails_is_the_operators(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, good: int
) -> None:
    """At once or in the middle: it says that the credentials could not be renewed, and how they are."""
    program = tmp_path / "renew"
    program.write_text(RENEWER.format(python=sys.executable, counter=str(tmp_path / "count"), good=good))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable)
    front.rule = lambda _method, _path: Fault(status=404)
    fresh = Asked(connect(bucket=BUCKET, endpoint_url=front.endpoint, region=REGION), fleet())
    with pytest.raises(Unreachable, match="could not be renewed") as told:
        QUESTIONS[name](fresh)
    assert (told.value.fault, "aws sso login" in told.value.hint) == ("operator", True)


A, B, C = "http://a.invalid:1", "http://b.invalid:2", "http://c.invalid:3"
SERVICES = f"[default]\nservices = mine\nregion = eu-west-1\n[services mine]\ns3 =\n  endpoint_url = {C}\n"


@pytest.mark.parametrize(
    ("environment", "config", "flag", "expected", "of_sts"),
    [
        ({}, "", None, "https://s3.amazonaws.com", "https://sts.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": A}, "", None, A, A),
        ({"AWS_ENDPOINT_URL": A, "AWS_ENDPOINT_URL_S3": B}, "", None, B, A),
        ({"AWS_ENDPOINT_URL_S3": B}, "", None, B, "https://sts.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": A, "AWS_ENDPOINT_URL_S3": B}, "", C, C, C),
        ({}, SERVICES, None, C, "https://sts.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL_S3": B}, SERVICES, None, B, "https://sts.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": A}, SERVICES, None, A, A),
        ({}, f"[default]\nendpoint_url = {A}\n", None, A, A),
        (
            {"AWS_ENDPOINT_URL": A, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            SERVICES,
            None,
            "https://s3.amazonaws.com",
            "https://sts.us-east-1.amazonaws.com",
        ),
    ],
)
def test_endpoints_are_found_in_awss_own_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    config: str,
    flag: str | None,
    expected: str,
    of_sts: str,
) -> None:
    """The flag for every service; else each service's own variable, the general one, the profile: as AWS documents."""
    (tmp_path / "config").write_text(config)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    services = Services(flag, REGION)
    assert (resolved_endpoint(flag, REGION), services.endpoint("sts")) == (expected, of_sts)
    assert services.reach().endpoint_url == expected
    assert services.is_elsewhere() == ("amazonaws" not in expected)


@pytest.mark.parametrize(
    "address",
    ["nonsense", "http://", "ftp://host", "http://host:port", "http://user:secret@host", "http://ho st"],
)
@pytest.mark.parametrize("origin", ["--endpoint-url", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_that_is_no_address_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], origin: str, address: str
) -> None:
    """Wherever it was said: exit code 2, what to look at, and no secret repeated."""
    flags = [origin, address] if origin.startswith("--") else []
    if not flags:
        monkeypatch.setenv(origin, address)
        with pytest.raises(UsageFault):
            resolved_endpoint(None, REGION)
    code = run(["pointers", "show", "--bucket", BUCKET, "--region", REGION, *flags])
    told = capsys.readouterr().err
    assert (code, "secret" in told) == (ExitCode.USAGE, False), told
    assert "next: " in told
