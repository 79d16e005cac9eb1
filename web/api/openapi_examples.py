"""The values of the examples in /openapi.json: the parameters and bodies of requests, and one value of each schema.

Every one is tried by tests/integration/web/api/test_openapi_examples.py, on a stack in which there is what they speak of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.api.definition_examples import DEFINITION_SCHEMAS
from web.api.preview_examples import PREVIEW_SCHEMAS

IMPORT_ID = "0192f0c1-2a3b-7c4d-8e5f-0123456789ab"
AUDIT_ID = "0192f0c5-7d1e-7a40-9c3b-56789abcdef0"
KEY_ID = "5f0c9a52-3c1e-4a7e-9f0e-2b1d6c7a8e90"
UPLOAD_KEY = f"incoming/places/{IMPORT_ID}/places.csv"
LOGIN_ID = "0d6f3f60-7c57-4c0b-9a77-2f9a4a1c51de"
RECEIVER_ID = "c7eea930f0db3377f0bbf6cc"
ADDED_ID = "8719a0aad6538c97f7cc8be6"
BASE = f"https://bulkhead.example/v1/imports/{IMPORT_ID}"
CSV = "id,parentId,name,kind\nFR,,France,Country\nFR-75C,FR,Paris,Metropolitan collectivity with special status\n"


PATH: Mapping[str, Any] = {
    "dataset": "places",
    "import_id": IMPORT_ID,
    "audit_id": AUDIT_ID,
    "upload_id": "VXBsb2FkIG9uZQ",
    "part_number": 1,
    "page": "index.html",
    "record_id": "FR-75C",
    "key_id": KEY_ID,
    "login_id": LOGIN_ID,
    "webhook_id": RECEIVER_ID,
}
"""Parameters in the path of a request, by their name, where the route names no other value."""

MAPPING = {"columns": ["Code", "parentId", "name"], "mapping": {"Code": "id"}, "options": {"header_row": 4}}
UPLOAD_ASKED = {"filename": "places.csv", "metadata": {"dataset": "places", "dry_run": True}}
PARTS_GIVEN = {"parts": [{"PartNumber": 1, "ETag": '"111fe7bfca0b627f38a0f7f1669f01be"'}]}
PATCH_ASKED: dict[str, Any] = {
    "edits": [{"row": 3, "column": "parentId", "old": "XX", "new": "FR"}],
    "skip_rows": [2],
    "roots": [1],
}
QUERY = {"sql": "select id, name from places where \"parentId\" = 'FR'", "limit": 10}
NEW_KEY = {"name": "The nightly export", "role": "reader"}
NEW_DATABASE_LOGIN = {"label": "DBeaver", "days": 30}
NEW_RECIPIENT = {"target": "https://receiver.example/places", "datasets": ["places"]}

_OPTIONS = {
    "on_error": "quarantine",
    "max_errors": 10,
    "max_error_ratio": None,
    "force": False,
    "delimiter": None,
    "quote": None,
    "encoding": "cp1252",
    "header_row": 4,
    "sheet": None,
    "records_at": None,
    "merged": None,
    "repeated_columns": None,
    "no_parent_values": ["0"],
    "parent_by": None,
    "shape": {},
    "clean": {"trim": True},
    "without": [],
    "mapping": {},
    "notify": ["me@example.org"],
}
_SOURCE = {
    "filename": "places.csv",
    "size_bytes": 103,
    "sha256": "81bab50c1bb64c417591815a449bc863cf912cef7004e3dd385e323b2ef90f5b",
    "key": UPLOAD_KEY,
    "format": "csv",
    "compression": "none",
    "encoding": "utf-8",
    "delimiter": ",",
}
_COUNTS = {
    "total": 3,
    "valid": 2,
    "invalid": 1,
    "inserted": 2,
    "updated": 0,
    "unchanged": 0,
    "failed": 1,
    "quarantined": 1,
    "unprocessed": 0,
}
_FOUND = {"errors": 1, "warnings": 0, "by_code": {"missing_parent": 1}}
_KEPT = {"results": None, "report": None, "source": None}
_LINKS: dict[str, Any] = {
    "self": BASE,
    "errors": f"{BASE}/errors",
    "report": f"{BASE}/report/",
    "results": f"{BASE}/results",
    "patch": f"{BASE}/patch",
    "retry_of": None,
    "retried_by": [],
}
_PATCH_COUNTS = {"import_id": IMPORT_ID, "version": 1, "edits": 2, "skipped_rows": 1, "roots": 1}
_EDIT = {
    "row": 3,
    "column": "parentId",
    "kind": "edit",
    "old": "XX",
    "new": "FR",
    "by": {"id": "5f0c9a62-7a1e-4d8b-9a51-2f6a54c0d9e3", "name": "nightly export"},
    "at": "2026-03-01T08:02:00.000000Z",
    "version": 1,
}
_IMPORT = {
    "id": IMPORT_ID,
    "dataset": "places",
    "state": "partially_succeeded",
    "reason": "1 of 3 records was held back",
    "dry_run": False,
    "options": _OPTIONS,
    "retry_of": None,
    "retried_by": [],
    "patch": None,
    "duplicate_of": None,
    "definition_version": None,
    "pause_requested": False,
    "cancel_requested": False,
    "source": _SOURCE,
    "counts": _COUNTS,
    "preview": None,
    "parts": {"total": 1, "done": 1},
    "findings": _FOUND,
    "warnings": [],
    "queue_position": None,
    "removed": _KEPT,
    "created_at": "2026-03-01T08:00:00.000000Z",
    "created_by": {"id": "5f0c9a62-7a1e-4d8b-9a51-2f6a54c0d9e3", "name": "nightly export"},
    "started_at": "2026-03-01T08:00:01.250000Z",
    "finished_at": "2026-03-01T08:00:04.500000Z",
    "links": _LINKS,
}
_FINDING = {
    "code": "missing_parent",
    "severity": "error",
    "message": 'No record has the ID "XX".',
    "place": "line 4",
    "row": 3,
    "id": "XX-1",
    "line": 4,
    "column": "parentId",
    "value": "XX",
    "hint": "Add the parent to the file, or correct the reference.",
    "related": None,
    "cycle": None,
}
_GROUP = {
    "code": "missing_parent",
    "severity": "error",
    "column": "parentId",
    "kind": "text",
    "message": 'No record has the ID "…".',
    "hint": "Add the parent to the file, or correct the reference.",
    "count": 1,
    "first": [_FINDING],
}
_FAILURE = {
    "place": "line 4",
    "row": 3,
    "id": "XX-1",
    "code": "missing_parent",
    "sqlstate": "",
    "message": 'No record has the ID "XX".',
    "batch_no": 1,
    "part_no": 0,
    "record": {"id": "XX-1", "parentId": "XX", "name": "Nowhere", "kind": "Region"},
}
_UNMET = {"rule": "Every name is at most 200 characters long.", "column": "name", "severity": "error", "records": 1}
_COUNTED = {"evaluated": 6, "met": 5, "unmet": [_UNMET]}
_RUN = {
    "id": IMPORT_ID,
    "filename": "places.csv",
    "created_at": "2026-03-01T08:00:00Z",
    "state": "partially_succeeded",
    "records": 3,
    "errors": 1,
    "warnings": 0,
    "by_code": {"missing_parent": 1},
    "expectations": _COUNTED,
}
_AUDITED = f"https://bulkhead.example/v1/datasets/places/audits/{AUDIT_ID}"
_AUDIT_CODE = {"code": "missing_parent", "severity": "error", "findings": 1, "records": 1, "percent": 33.3333}
_AUDIT_RULE = {"rule": "Every parent is loaded.", "severity": "error", "met": False, "records": 1, "percent": 33.3333}
_AUDIT = {
    "id": AUDIT_ID,
    "dataset": "places",
    "state": "succeeded",
    "reason": "",
    "scheduled": False,
    "cancel_requested": False,
    "progress": {"step": None, "records": 3},
    "records": 3,
    "invalid": 1,
    "invalid_percent": 33.3333,
    "findings": _FOUND,
    "codes": [_AUDIT_CODE],
    "rules": [_AUDIT_RULE],
    "rules_version": "5b1d0c9a7e2f",
    "report_removed_at": None,
    "created_at": "2026-03-01T09:00:00.000000Z",
    "created_by": {"id": "5f0c9a62-7a1e-4d8b-9a51-2f6a54c0d9e3", "name": "nightly export"},
    "started_at": "2026-03-01T09:00:00.250000Z",
    "finished_at": "2026-03-01T09:00:03.500000Z",
    "links": {
        "self": _AUDITED,
        "errors": f"{_AUDITED}/errors",
        "report": f"{_AUDITED}/report/",
        "workbook": f"{_AUDITED}/errors?format=xlsx",
        "csv": f"{_AUDITED}/errors?format=csv",
        "json": f"{_AUDITED}/errors?format=json",
    },
}
_RECORD = {
    "id": "FR-75C",
    "parentId": "FR",
    "name": "Paris",
    "kind": "Metropolitan collectivity with special status",
    "alpha_3": None,
    "numeric_code": None,
    "flag": None,
    "_import_id": IMPORT_ID,
    "_row": 2,
    "_loaded_at": "2026-03-01T08:00:04.312000+00:00",
}
_COLUMN = {"name": "id", "type": "text", "required": True}
_MART = {"name": "places_tree", "state": "fresh", "refreshed_at": "2026-03-01T08:00:05.250000Z", "error": ""}
_DATASET = {
    "name": "places",
    "title": "Countries and their subdivisions",
    "key": "id",
    "parent": "parentId",
    "rest": None,
    "personal": [],
    "columns": [_COLUMN, {"name": "parentId", "type": "text", "required": False}],
    "marts": [_MART],
}
_EVENT = {
    "seq": 42,
    "at": "2026-03-01T08:00:00.000000Z",
    "action": "key_created",
    "actor_kind": "key",
    "actor_id": KEY_ID,
    "actor_name": "An administrator",
    "target_kind": "key",
    "target_id": "0d8f2a44-1b7c-4f7e-8a55-6c1f0e9b3d21",
    "result": "ok",
    "status": None,
    "reason": "",
    "address": "192.0.2.17",
    "user_agent": "curl/8.5.0",
    "request_id": "b9d1f0c2",
    "trace_id": "",
    "details": {"name": "The nightly export", "role": "reader", "datasets": "all"},
    "previous": "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
    "hash": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
}
_LOGIN = {
    "id": LOGIN_ID,
    "user": "bulkhead_login_5f0c9a523c1e4a7e",
    "label": "DBeaver",
    "owner": {"kind": "key", "id": KEY_ID, "name": "The nightly export"},
    "datasets": ["places"],
    "created_at": "2026-03-01T08:00:00+00:00",
    "expires_at": "2026-03-31T08:00:00+00:00",
    "revoked_at": None,
    "revoked_because": "",
}
_KEY = {
    "id": KEY_ID,
    "name": "The nightly export",
    "role": "reader",
    "created_at": "2026-03-01T08:00:00+00:00",
    "last_used_at": None,
    "revoked_at": None,
    "expires_at": "2026-06-01T08:00:00+00:00",
    "rotated_at": None,
    "previous_until": None,
    "last_address": "",
    "is_break_glass": False,
    "unmask": False,
    "datasets": None,
}
_ADDRESSEE = {"id": RECEIVER_ID, "channel": "webhook", "target": "https://receiver.example/imports"}
_RECEIVER = {**_ADDRESSEE, "named_by": "settings", "datasets": None, "is_signed": True, "off_at": None, "off_because": ""}
_DELIVERY = {
    "import_id": IMPORT_ID,
    "message_id": "msg_2f1d6c7a8e905f0c9a523c1e4a7e9f0e",
    "receiver": _ADDRESSEE,
    "attempts": 1,
    "last_error": "",
    "created_at": "2026-03-01T08:00:04.600000+00:00",
    "delivered_at": "2026-03-01T08:00:04.900000+00:00",
}
_PART = {"PartNumber": 1, "Size": 103, "ETag": '"111fe7bfca0b627f38a0f7f1669f01be"'}
_SIGNED = "https://s3.example/bulkhead/" + UPLOAD_KEY + "?partNumber=1&uploadId=VXBsb2FkIG9uZQ&X-Amz-Signature=..."
_UPLOAD = {"id": IMPORT_ID, "links": {"self": BASE}}
_RESULT_FILE = {"name": "failed.csv", "href": f"{BASE}/results/failed?format=csv", "size_bytes": 131}
_ROWS = {"count": 1, "href": f"{BASE}/results/failed?format=native"}


def _page(*items: Any, **more: Any) -> dict[str, Any]:
    return {"items": [*items], "next_cursor": None, **more}


SCHEMAS: dict[str, Any] = {
    **DEFINITION_SCHEMAS,
    "ProblemModel": {
        "type": "https://bulkhead.example/problems#unknown_import",
        "title": "Unknown import",
        "status": 404,
        "code": "unknown_import",
        "detail": "There is no import 'x'. GET /v1/imports lists all imports.",
        "instance": "/v1/imports/x",
        "request_id": "5d1f0c9a523c4a7e9f0e2b1d6c7a8e90",
    },
    "ImportModel": _IMPORT,
    "Counts": _COUNTS,
    "Creator": _IMPORT["created_by"],
    "FindingCounts": _FOUND,
    "Links": _LINKS,
    "OnError": "quarantine",
    "OptionsModel": _OPTIONS,
    "Parts": {"total": 1, "done": 1},
    "PatchApplied": {"import_id": IMPORT_ID, "version": 1},
    "PatchBody": PATCH_ASKED,
    "EditGiven": PATCH_ASKED["edits"][0],
    "CellGiven": {"row": 3, "column": "parentId"},
    "LikeGiven": {"code": "missing_parent", "column": "parentId", "value": "XX", "new": "FR"},
    "PatchModel": {**_PATCH_COUNTS, "changed": 3},
    "PatchPage": _page(_EDIT, **_PATCH_COUNTS),
    "EditModel": _EDIT,
    "PreviewModel": {"inserted": 2, "updated": 1, "unchanged": 0, "moved": 1, "failed": 0},
    **PREVIEW_SCHEMAS,
    "MappingBody": MAPPING,
    "Removed": _KEPT,
    "Source": _SOURCE,
    "State": "partially_succeeded",
    "ImportPage": _page(_IMPORT),
    "OpenedUpload": {"key": UPLOAD_KEY, "uploadId": "VXBsb2FkIG9uZQ", **_UPLOAD},
    "UploadLinks": {"self": BASE},
    "UploadAsked": UPLOAD_ASKED,
    "StoredParts": [_PART],
    "StoredPart": _PART,
    "SignedParts": {"presignedUrls": {"1": _SIGNED}},
    "SignedPart": {"url": _SIGNED, "expires": 3600},
    "WholeUpload": {"location": BASE, **_UPLOAD},
    "PartsGiven": PARTS_GIVEN,
    "PartGiven": {"PartNumber": 1, "ETag": '"111fe7bfca0b627f38a0f7f1669f01be"'},
    "FormUpload": {
        "method": "POST",
        "url": "https://s3.example/bulkhead",
        "fields": {"key": UPLOAD_KEY, "policy": "eyJleHBpcmF0aW9uIjoi...", "x-amz-signature": "..."},
        "headers": {},
        "expires": 3600,
        **_UPLOAD,
    },
    "Nothing": {},
    "FindingPage": _page(_FINDING, total=1),
    "Finding": _FINDING,
    "FindingGroups": {"items": [_GROUP], "groups": 1, "total": 1},
    "FindingGroup": _GROUP,
    "FailurePage": _page(_FAILURE, total=1),
    "Failure": _FAILURE,
    "ExpectationCounts": _COUNTED,
    "UnmetExpectation": _UNMET,
    "ValidationRuns": _page(_RUN),
    "ValidationRun": _RUN,
    "AuditModel": _AUDIT,
    "AuditCode": _AUDIT_CODE,
    "AuditLinks": _AUDIT["links"],
    "AuditProgress": _AUDIT["progress"],
    "AuditRule": _AUDIT_RULE,
    "AuditState": "succeeded",
    "AuditPage": _page(_AUDIT),
    "RecordPage": _page(_RECORD),
    "RecordModel": _RECORD,
    "ChildrenCount": {"id": "FR", "children": 1},
    "ColumnModel": _COLUMN,
    "MartModel": _MART,
    "DatasetModel": _DATASET,
    "NumbersModel": {
        "dataset": "places",
        "records": 5295,
        "roots": 249,
        "depth": 3,
        "unreachable": 0,
        "counted_at": "2026-03-02T09:15:12.402Z",
        "is_current": True,
        "problems": 2,
        "audit": {"id": AUDIT_ID, "errors": 0, "warnings": 3, "finished_at": "2026-03-02T03:00:41.118Z"},
        "last_import": {"id": IMPORT_ID, "state": "rejected", "errors": 2, "finished_at": "2026-03-02T09:14:58.730Z"},
        "search": ["name", "kind"],
    },
    "DatasetList": _page(_DATASET),
    "QueryAnswer": {
        "columns": [{"name": "id", "type": "text"}, {"name": "name", "type": "text"}],
        "rows": [["FR-75C", "Paris"]],
        "truncated": False,
        "seconds": 0.0021,
    },
    "QueryColumn": {"name": "id", "type": "text"},
    "QueryBody": QUERY,
    "DatabaseLoginBody": NEW_DATABASE_LOGIN,
    "DatabaseLoginOwner": _LOGIN["owner"],
    "DatabaseLoginModel": _LOGIN,
    "DatabaseLoginList": _page(_LOGIN),
    "MadeDatabaseLogin": {
        **_LOGIN,
        "password": "...",
        "host": "db.example",
        "port": 5432,
        "database": "bulkhead",
        "url": "postgresql://bulkhead_login_5f0c9a523c1e4a7e:...@db.example:5432/bulkhead?sslmode=require",
    },
    "KeyBody": NEW_KEY,
    "RotateBody": {"overlap_seconds": 86400},
    "KeyModel": _KEY,
    "MadeKey": {**_KEY, "key": "bk_5f0c9a523c1e4a7e9f0e2b1d6c7a8e90_..."},
    "KeyList": _page(_KEY),
    "Role": "reader",
    "Action": "key_created",
    "Result": "ok",
    "AuditEventModel": _EVENT,
    "AuditLogPage": _page(_EVENT),
    "ResultsModel": {
        "id": IMPORT_ID,
        "state": "partially_succeeded",
        "reason": "1 of 3 records was held back",
        "counts": _COUNTS,
        "files": [_RESULT_FILE],
        "rows": {"failed": _ROWS},
        "summary": {"state": "partially_succeeded"},
        "removed": _KEPT,
    },
    "ResultsFile": _RESULT_FILE,
    "ResultsRows": _ROWS,
    "BeingWritten": {"state": "being_written", "detail": "The failed rows are being written. Ask again in a moment."},
    "ReceiverBody": NEW_RECIPIENT,
    "Addressee": _ADDRESSEE,
    "NamedBy": "settings",
    "ReceiverModel": _RECEIVER,
    "MadeReceiver": {
        **_RECEIVER,
        "id": ADDED_ID,
        "target": "https://receiver.example/places",
        "named_by": "admin",
        "datasets": ["places"],
        "secret": "whsec_...",
    },
    "Receivers": _page(_RECEIVER),
    "Sent": {"delivered": True, "error": ""},
    "DeliveryModel": _DELIVERY,
    "DeliveryLog": _page(_DELIVERY),
}
