"""Hands finished spans to a collector over OTLP/HTTP, by OpenTelemetry's own exporter, configured by its own variables.

The only importer of opentelemetry. Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or that of traces) is set. What an
endpoint or a header says is a secret, and so is what the exporter logs: neither is passed on. Bounded in time by the
exporter's own timeout; runs/tracing.py calls it beside the run's own path.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from drfsm import __version__
from drfsm.errors import Unreachable, UsageFault
from drfsm.evidence.traces import Event, Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
TIMEOUT_SECONDS = 3.0  # of a request and its tries, where the environment says nothing
_OURS = "http/protobuf"


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names a collector of traces, and does not switch them off."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in ENDPOINTS)


class Collector:
    """The collector that the environment names. Raises UsageFault where it can't be spoken to from here."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        spoken = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _OURS)
        if spoken != _OURS:
            raise UsageFault(
                f"drfsm sends traces as {_OURS} only, and {' or '.join(_PROTOCOLS)} asks for something else",
                hint=f"set it to {_OURS}, with the collector's HTTP port (4318)",
            )
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ModuleNotFoundError:
            raise UsageFault(
                f"{ENDPOINTS[1]} is set, and what traces need is not installed",
                hint='pip install "drfsm[telemetry]", or unset it',
            ) from None
        name = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "drfsm"}
        self._resource = Resource.create({**name, "service.version": __version__})
        try:
            self._exporter = OTLPSpanExporter(timeout=None if any(map(environ.get, _TIMEOUTS)) else TIMEOUT_SECONDS)
        except Exception as fault:  # noqa: BLE001  a certificate that is no file, a timeout that is no number
            raise UsageFault(
                f"the variables OTEL_EXPORTER_OTLP_… can't be used ({type(fault).__name__})",
                hint="check certificates, timeout and compression",
            ) from None

    def take(self, spans: Sequence[Span]) -> None:
        """Hand over spans. Raises Unreachable where the collector does not take them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            taken = self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS
        except Exception as fault:  # noqa: BLE001  a collector stops nothing, and the exporter's words may hold its address
            raise Unreachable(f"the collector of traces can't be reached ({type(fault).__name__})") from None
        if not taken:
            raise Unreachable(
                "the collector of traces did not take them", hint=f"check {ENDPOINTS[1]}, and the collector"
            )

    def _readable(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(span_id: str) -> SpanContext:
            return SpanContext(
                int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
            )

        return ReadableSpan(
            name=span.name,
            context=context(span.span_id),
            parent=context(span.parent) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[_event(event) for event in span.events],
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.begins,
            end_time=span.ends,
            instrumentation_scope=InstrumentationScope("drfsm", __version__),
        )


def _event(event: Event) -> Any:
    from opentelemetry.sdk.trace import Event as ReadableEvent

    return ReadableEvent(event.name, attributes=event.attributes, timestamp=event.at)
