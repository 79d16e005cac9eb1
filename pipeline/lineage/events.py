"""The OpenLineage events of an import (https://openlineage.io/docs/spec/object-model). Pure.

An import is one run of the job named after its dataset. Its input is the object in S3, its output the table in PostgreSQL. An
event holds keys, column names, counts and codes, but no value of a record. It is the same however often it is made, so that a
repetition does no harm: all of it is from the ledger and the report.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    processing_engine_run,
    schema_dataset,
)

from pipeline.contracts.states import State
from pipeline.datasets.dataset import Dataset
from pipeline.display import counted
from pipeline.ledger.models import ImportRecord

PRODUCER = "urn:bulkhead:pipeline"
"""Identifies Bulkhead as the producer of an event and its facets."""

EVENT_OF = {
    State.VALIDATING: ol.RunState.START,
    State.SUCCEEDED: ol.RunState.COMPLETE,
    State.PARTIALLY_SUCCEEDED: ol.RunState.COMPLETE,
    State.VALIDATED: ol.RunState.COMPLETE,
    State.DUPLICATE: ol.RunState.COMPLETE,
    State.REJECTED: ol.RunState.FAIL,
    State.FAILED: ol.RunState.FAIL,
    State.CANCELED: ol.RunState.ABORT,
    State.EXPIRED: ol.RunState.ABORT,
}
"""The event of each state. Only a canceled or expired import ends without a START before."""

_SEVERITIES = {"error": "error", "warning": "warn"}


@dataclass(frozen=True)
class Place:
    """Where jobs and tables are: the namespace of jobs, that of tables (``postgres://host:port``), and the database's name."""

    job_namespace: str
    table_namespace: str
    database: str
    version: str = ""  # of Bulkhead


@dataclass(frozen=True)
class Checked:
    """What is known of an import beside its row in the ledger: the verdict on each rule, and the bytes of its parts."""

    verdicts: tuple[Mapping[str, Any], ...] = field(default=())  # as Great Expectations gives them
    parts_bytes: int | None = None


def run_event(known: ImportRecord, dataset: Dataset, state: State, place: Place, checked: Checked = Checked()) -> ol.RunEvent:
    """Return the event that tells of an import's ``state``."""
    kind = EVENT_OF[state]
    has_ended = kind is not ol.RunState.START
    moment = (known.finished_at if has_ended else known.started_at) or known.created_at
    return ol.RunEvent(
        eventTime=moment.isoformat(),
        producer=PRODUCER,
        eventType=kind,
        run=ol.Run(runId=run_id(known, state), facets=_run_facets(known, state, place)),
        job=ol.Job(namespace=place.job_namespace, name=f"import.{dataset.name}", facets=_job_facets()),
        inputs=[_input(known, dataset, checked if has_ended else None)],
        outputs=[_output(known, dataset, state, place, checked)],
    )


def run_id(known: ImportRecord, state: State) -> str:
    """Return the run's id: the import's, and another one for the load that follows a dry run."""
    if known.promoted and state is not State.VALIDATED:
        return str(uuid.uuid5(uuid.UUID(known.id), "promoted"))
    return str(uuid.UUID(known.id))


def _run_facets(known: ImportRecord, state: State, place: Place) -> dict[str, Any]:
    ended = known.finished_at if state is not State.VALIDATING else None
    facets: dict[str, Any] = {
        "nominalTime": nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=known.created_at.isoformat(), nominalEndTime=_time(ended), producer=PRODUCER
        ),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=place.version or "unknown", name="Bulkhead", producer=PRODUCER
        ),
    }
    if message := error_message(known, state):
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=message, programmingLanguage="PYTHON", producer=PRODUCER
        )
    return facets


def error_message(known: ImportRecord, state: State) -> str:
    """Return why records were not imported, as codes and counts; empty if all were. The import's reason may quote a value."""
    if state not in (State.REJECTED, State.FAILED, State.PARTIALLY_SUCCEEDED):
        return ""
    codes = ", ".join(f"{code}: {number:,}" for code, number in sorted(known.findings_by_code.items()))
    records = f"{known.records_invalid:,} of {counted(known.records_total, 'record')} invalid, {known.failed:,} not imported"
    return f"{state}: {records}{f' ({codes})' if codes else ''}"


def _job_facets() -> dict[str, Any]:
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="BULKHEAD", jobType="IMPORT", producer=PRODUCER)
    return {"jobType": kind}


def _input(known: ImportRecord, dataset: Dataset, checked: Checked | None) -> ol.InputDataset:
    """Return the object in S3, as the spec names it; what was found in it, once it was ``checked``."""
    read = known.reading.get("columns") if checked else None
    facets: dict[str, Any] = {"schema": _schema(dataset, set(read or dataset.names))}
    if known.etag:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=known.etag, producer=PRODUCER)
    found = _quality(known, checked) if checked and known.started_at else {}
    return ol.InputDataset(namespace=f"s3://{known.bucket}", name=known.key, facets=facets, inputFacets=found)


def _quality(known: ImportRecord, checked: Checked) -> dict[str, Any]:
    counts: dict[str, Any] = {"rowCount": known.records_total, "fileCount": 1, "producer": PRODUCER}
    facets: dict[str, Any] = {
        "dataQualityMetrics": data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
            columnMetrics={}, bytes=known.size_bytes, **counts
        ),
        "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(size=known.size_bytes, **counts),
    }
    if checked.verdicts:
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            assertions=[*_assertions(checked.verdicts)], producer=PRODUCER
        )
    return facets


def _assertions(verdicts: Iterable[Mapping[str, Any]]) -> Iterable[data_quality_assertions_dataset.Assertion]:
    """Yield what each rule expects and whether that is so. Of a result only its success is given: the rest quotes values."""
    for verdict in verdicts:
        config = verdict["expectation_config"]
        meta = config.get("meta") or {}
        yield data_quality_assertions_dataset.Assertion(
            assertion=str(config["type"]),
            success=bool(verdict["success"]),
            column=(config.get("kwargs") or {}).get("column"),
            severity=_SEVERITIES.get(meta.get("severity", "")),
            name=meta.get("code") or meta.get("bulkhead"),
            description=config.get("description") or meta.get("message"),
        )


def _output(known: ImportRecord, dataset: Dataset, state: State, place: Place, checked: Checked) -> ol.OutputDataset:
    """Return the table; how many records were written, once the import has ended."""
    written: dict[str, Any] = {}
    if state is not State.VALIDATING:
        rows = 0 if state is State.VALIDATED else known.inserted + known.updated
        size = checked.parts_bytes if rows else 0
        written["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=rows, size=size, producer=PRODUCER
        )
    name = f"{place.database}.warehouse.{dataset.name}"
    facets: dict[str, Any] = {"schema": _schema(dataset, set(dataset.names))}
    return ol.OutputDataset(namespace=place.table_namespace, name=name, facets=facets, outputFacets=written)


def _schema(dataset: Dataset, names: set[str]) -> schema_dataset.SchemaDatasetFacet:
    columns = [column for column in dataset.columns if column.name in names]
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=column.name, type=column.type, ordinal_position=number)
        for number, column in enumerate(columns, start=1)
    ]
    return schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
