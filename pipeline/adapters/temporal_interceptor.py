"""Trace workflows and activities with temporalio's own interceptor, each import in the trace of its upload.

The queue of a dataset serves many uploads and may never end, so it belongs to no trace: its run takes no span from the
process that happens to start it, and its steps begin traces of their own, which are linked to. The run of an import that it
starts continues the trace that the ledger has for that import.

Spans in workflows are made when something happens and not when a history is replayed; temporalio sees to that.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.client import OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ChildWorkflowHandle

from pipeline.contracts.messages import ImportRun
from pipeline.contracts.traceparent import TRACEPARENT
from pipeline.contracts.workflows import QUEUE_WORKFLOW

_PROPAGATOR = TraceContextTextMapPropagator()
"""Without W3C baggage: a client could put anything into it, which would be kept in Temporal's histories."""

_HEADER = "_tracer-data"
"""The header of Temporal in which the interceptor passes the trace on, as in its SDKs for other languages."""


class ImportTracing(TracingInterceptor):
    """The interceptor of clients and workers."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.text_map_propagator = _PROPAGATOR

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Trace a client's calls."""
        return super().intercept_client(_QueuesWithoutTrace(next))

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[TracingWorkflowInboundInterceptor]:
        """Trace workflows."""
        super().workflow_interceptor_class(input)
        return _WorkflowTracing


class _QueuesWithoutTrace(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        if input.workflow == QUEUE_WORKFLOW.name:
            input.headers = {name: value for name, value in input.headers.items() if name != _HEADER}
        return await super().start_workflow(input)


class _WorkflowTracing(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.text_map_propagator = _PROPAGATOR

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_ImportsInTheirTraces(outbound))


class _ImportsInTheirTraces(WorkflowOutboundInterceptor):
    async def start_child_workflow(self, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:
        given = input.args[0] if input.args else None
        if isinstance(given, ImportRun) and given.traceparent:
            header = PayloadConverter.default.to_payloads([{TRACEPARENT: given.traceparent}])[0]
            input.headers = {**input.headers, _HEADER: header}
        return await super().start_child_workflow(input)
