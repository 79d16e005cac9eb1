"""A JSON schema of the OpenLineage events that Bulkhead sends, for jsonschema_rs.

No package has the specification's own files. This schema states what the specification (https://openlineage.io/apidocs/openapi)
requires of a run event and of each facet used here. It is stricter: no facet may have a field that the specification does not
name, and no event a facet that Bulkhead is not meant to send.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_ANY_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_URI = {"type": "string", "format": "uri"}
_TIME = {"type": "string", "format": "date-time"}


def _facet(name: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of a facet, which has a producer and the address of its own schema in the specification."""
    address = rf"^https://openlineage\.io/spec/facets/[0-9]+-[0-9]+-[0-9]+/{name}\.json#/\$defs/{name}$"
    return {
        "type": "object",
        "properties": {
            "_producer": _URI,
            "_schemaURL": {"type": "string", "pattern": address},
            "_deleted": {"type": "boolean"},
            **required,
            **(optional or {}),
        },
        "required": ["_producer", "_schemaURL", *required],
        "additionalProperties": False,
    }


def _facets(**facets: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": facets, "additionalProperties": False}


_FIELD = {
    "type": "object",
    "properties": {"name": _TEXT, "type": _TEXT, "description": _TEXT, "ordinal_position": _COUNT, "fields": {"type": "array"}},
    "required": ["name"],
    "additionalProperties": False,
}
_SCHEMA = _facet("SchemaDatasetFacet", {}, {"fields": {"type": "array", "items": _FIELD}})
_ASSERTION = {
    "type": "object",
    "properties": {
        "assertion": _TEXT,
        "success": {"type": "boolean"},
        "column": _ANY_TEXT,
        "severity": {"enum": ["error", "warn"]},
        "name": _ANY_TEXT,
        "description": _ANY_TEXT,
        "expected": _ANY_TEXT,
        "actual": _ANY_TEXT,
        "content": _ANY_TEXT,
        "contentType": _ANY_TEXT,
        "params": {"type": "object"},
    },
    "required": ["assertion", "success"],
    "additionalProperties": False,
}


def _dataset(facets: dict[str, Any], **own: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"namespace": _TEXT, "name": _TEXT, "facets": facets, **own},
        "required": ["namespace", "name"],
        "additionalProperties": False,
    }


_RUN_FACETS = _facets(
    nominalTime=_facet("NominalTimeRunFacet", {"nominalStartTime": _TIME}, {"nominalEndTime": _TIME}),
    processing_engine=_facet(
        "ProcessingEngineRunFacet", {"version": _TEXT}, {"name": _TEXT, "openlineageAdapterVersion": _TEXT}
    ),
    errorMessage=_facet("ErrorMessageRunFacet", {"message": _TEXT, "programmingLanguage": _TEXT}, {"stackTrace": _TEXT}),
    tags=_facet("TagsRunFacet", {}, {"tags": {"type": "array"}}),
)
_JOB_FACETS = _facets(
    jobType=_facet(
        "JobTypeJobFacet",
        {"processingType": _TEXT, "integration": _TEXT},
        {"jobType": _TEXT, "emissionPattern": {"type": "object"}},
    ),
)
_STATISTICS = {"rowCount": _COUNT, "size": _COUNT, "fileCount": _COUNT}
_INPUT = _dataset(
    _facets(schema=_SCHEMA, version=_facet("DatasetVersionDatasetFacet", {"datasetVersion": _TEXT})),
    inputFacets=_facets(
        dataQualityMetrics=_facet(
            "DataQualityMetricsInputDatasetFacet",
            {"columnMetrics": {"type": "object"}},
            {"rowCount": _COUNT, "bytes": _COUNT, "fileCount": _COUNT, "lastUpdated": _TIME},
        ),
        inputStatistics=_facet("InputStatisticsInputDatasetFacet", {}, _STATISTICS),
        dataQualityAssertions=_facet(
            "DataQualityAssertionsDatasetFacet", {"assertions": {"type": "array", "items": _ASSERTION, "minItems": 1}}
        ),
    ),
)
_OUTPUT = _dataset(
    _facets(schema=_SCHEMA),
    outputFacets=_facets(outputStatistics=_facet("OutputStatisticsOutputDatasetFacet", {}, _STATISTICS)),
)

RUN_EVENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": _TIME,
        "producer": _URI,
        "schemaURL": {
            "type": "string",
            "pattern": r"^https://openlineage\.io/spec/[0-9]+-[0-9]+-[0-9]+/OpenLineage\.json#/\$defs/RunEvent$",
        },
        "run": {
            "type": "object",
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _RUN_FACETS},
            "required": ["runId"],
            "additionalProperties": False,
        },
        "job": {
            "type": "object",
            "properties": {"namespace": _TEXT, "name": _TEXT, "facets": _JOB_FACETS},
            "required": ["namespace", "name"],
            "additionalProperties": False,
        },
        "inputs": {"type": "array", "items": _INPUT},
        "outputs": {"type": "array", "items": _OUTPUT},
    },
    "required": ["eventType", "eventTime", "producer", "schemaURL", "run", "job"],
    "additionalProperties": False,
}
