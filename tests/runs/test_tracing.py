"""Traces as a collector gets them: by a real server on loopback, decoded; and what becomes of one that is away."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from drfsm.adapters.otlp import Collector, is_wanted
from drfsm.errors import Unreachable, UsageFault
from drfsm.evidence.traces import Span, spans, trace_id
from drfsm.journal import Record, RunState
from drfsm.runs.tracing import MARK, Tracer
from tests.evidence.test_traces import RESUMED, ended, told
from tests.journal.fold_stories import STARTED, commit, failed, intent
from tests.receiver import Receiver, code, receiving

WHOLE = told(STARTED, intent("go", {}), failed("go", "not_done"), RESUMED, commit("go"), commit("look"), ended())
NO_STATE = RunState()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Return a collector, which the environment names."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    with receiving() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=t0k3n")
        yield started


@define
class Desk:
    """A bundle, a journal that grows, and what was told."""

    place: Path
    records: list[Record] = field(factory=list)
    told: list[str] = field(factory=list)

    def tracer(self, collector: Any) -> Tracer:
        """Return what sends traces for a process that takes the run up here."""
        return Tracer(self.place, lambda: tuple(self.records), lambda: collector, self.told.append, behind_seconds=0.01)

    def grow(self, tracer: Tracer, until: int) -> None:
        """Write records up to a number."""
        for record in WHOLE[len(self.records) : until]:
            self.records.append(record)
            tracer.on_record(record, NO_STATE)


@define
class Taking:
    """A collector in memory. ``refuses``: how often it is away first; ``hangs``: until this is set."""

    taken: list[Span] = field(factory=list)
    refuses: int = 0
    hangs: threading.Event | None = None

    def take(self, spans: Sequence[Span]) -> None:
        """Take them."""
        if self.hangs is not None:
            self.hangs.wait(20)
        if self.refuses:
            self.refuses -= 1
            raise Unreachable("the collector of traces did not take them")
        self.taken += spans


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk with an empty bundle."""
    tmp_path.chmod(0o700)
    return Desk(tmp_path)


def test_a_collector_gets_a_run_as_one_trace(receiver: Receiver, desk: Desk) -> None:
    """One POST of protobuf to /v1/traces, by the environment's headers, decoded by OpenTelemetry's own schema."""
    tracer = Tracer(desk.place, lambda: WHOLE, lambda: Collector(os.environ), desk.told.append)
    tracer.on_record(WHOLE[-1], NO_STATE)
    tracer.leave()
    (posted,) = receiver.posted
    assert (posted.path, posted.headers["x-token"]) == ("/v1/traces", "t0k3n")
    (of_resource,) = ExportTraceServiceRequest.FromString(posted.body).resource_spans
    resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
    assert resource["service.name"] == "drfsm"
    sent = list(of_resource.scope_spans[0].spans)
    assert [span.name for span in sent] == ["go", "look", "drfsm m"]
    assert {span.trace_id.hex() for span in sent} == {trace_id("r")}
    root = sent[-1]
    assert [span.parent_span_id for span in sent] == [root.span_id, root.span_id, b""]
    assert [event.name for event in sent[0].events] == ["attempt", "attempt failed", "resumed"]
    assert (root.end_time_unix_nano - root.start_time_unix_nano) == 6_000_000_000
    assert desk.told == []


def test_spans_of_a_killed_process_are_sent_by_the_next_one_and_none_twice(desk: Desk) -> None:
    """The bundle knows what the collector has; a process that was killed sent nothing."""
    collector = Taking()
    first = desk.tracer(collector)
    desk.grow(first, 5)
    first.leave()
    desk.records = list(WHOLE[:6])  # written by a process that was killed before it sent anything
    last = desk.tracer(collector)
    desk.grow(last, len(WHOLE))
    last.leave()
    assert collector.taken == list(spans(WHOLE))
    assert (desk.place / MARK).read_text() == f"{len(WHOLE)}\n"


@pytest.mark.parametrize("mark", ["9999", "-1", "garbage", "9" * 40, ""])
def test_a_mark_that_says_nonsense_sends_everything_again(desk: Desk, mark: str) -> None:
    """Under the same ids, so a collector sees the same spans."""
    (desk.place / MARK).write_text(mark)
    collector = Taking()
    tracer = desk.tracer(collector)
    desk.grow(tracer, len(WHOLE))
    tracer.leave()
    assert collector.taken == list(spans(WHOLE))


def test_a_collector_that_was_away_gets_everything_later_and_is_told_of_once(desk: Desk) -> None:
    """The run goes on meanwhile."""
    collector = Taking(refuses=2)
    for until in (5, 6, len(WHOLE)):
        tracer = desk.tracer(collector)
        desk.grow(tracer, until)
        tracer.leave()
    assert collector.taken == list(spans(WHOLE))
    assert len(desk.told) == 2  # by two processes
    assert desk.told[0].startswith("NO traces: the collector of traces did not take them")


def test_a_collector_that_hangs_is_waited_for_in_a_bound(desk: Desk) -> None:
    """A subscriber returns at once, the end after so many seconds, and says so."""
    collector = Taking(hangs=threading.Event())
    tracer = desk.tracer(collector)
    began = time.monotonic()
    desk.grow(tracer, len(WHOLE))
    assert time.monotonic() - began < 0.3
    tracer.leave(seconds=0.3)
    assert time.monotonic() - began < 2
    assert desk.told == [
        "NO traces: the collector of traces gave no answer in 0 s. The run goes on; a resume sends what is missing"
    ]
    assert collector.hangs is not None
    collector.hangs.set()


def test_a_collector_that_refuses_is_told_without_its_address(
    receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the exporter itself would log goes nowhere."""
    receiver.answers = [code(400)]
    with pytest.raises(Unreachable) as refused:
        Collector(os.environ).take(list(spans(WHOLE)))
    assert "127.0.0.1" not in refused.value.what + "".join(capfd.readouterr())


WRONG = {
    "another protocol": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    "credentials of nobody": {"OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": "t0k3n"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variable_is_told_with_what_to_do(
    receiver: Receiver, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what it says: a variable of these may hold a secret."""
    assert receiver
    for variable, value in WRONG[name].items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(UsageFault) as refused:
        Collector(os.environ).take(list(spans(WHOLE)))
    assert refused.value.hint
    assert "t0k3n" not in refused.value.diagnostics()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "drfsm"}, False),
    ],
)
def test_traces_are_off_unless_an_endpoint_is_named(environ: dict[str, str], *, wanted: bool) -> None:
    """By OpenTelemetry's own variables."""
    assert is_wanted(environ) is wanted
