"""Traces of requests for OpenTelemetry: a span each, where OTEL_EXPORTER_OTLP_ENDPOINT says; else nothing.

The settings are OpenTelemetry's own environment variables (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
"""

from __future__ import annotations

import os
from typing import Any

from serving.engine.errors import ServingError

WHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted() -> bool:
    """Whether traces are to be sent."""
    return any(os.environ.get(name) for name in WHERE)


def instrument(app: Any) -> None:
    """Let each request of a Flask app be a span, if that is wanted. Not before a fork: spans leave by a thread.

    Raises ServingError where the packages are not installed.
    """
    if not wanted():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ServingError(f"[telemetry] {error.name} is not installed; pip install 'needle-dl[telemetry]'") from None
    service = os.environ.get("OTEL_SERVICE_NAME", "needle-serve")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    instrumentor: Any = FlaskInstrumentor()  # it has no types
    instrumentor.instrument_app(app, tracer_provider=provider)
