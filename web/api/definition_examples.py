"""The values of the examples of datasets' definitions in /openapi.json."""

from __future__ import annotations

from typing import Any


def _column(name: str, header: str, type_: str = "text", **more: Any) -> dict[str, Any]:
    rules: dict[str, Any] = {
        "required": False,
        "unique": False,
        "values": None,
        "max_length": None,
        "format": None,
        "warn": [],
        "search": False,
    }
    return {"name": name, "headers": [header], "type": type_, **rules, **more}


_DEFINITION: dict[str, Any] = {
    "name": "products",
    "title": "Products",
    "key": "sku",
    "parent": "parent_sku",
    "columns": [
        _column("sku", "SKU", required=True, unique=True),
        _column("parent_sku", "Parent SKU"),
        _column("price", "Price", "numeric", required=True, warn=["required"]),
    ],
    "shape": {},
    "clean": {},
    "other_meta": {},
    "other_rules": [],
}
DEFINITION_BODY: dict[str, Any] = {"definition": _DEFINITION}
_FILES = {"suite": '{"name": "products", "meta": {}, "expectations": []}\n', "table": "create table if not exists ...\n"}
_REFUSED = {
    "records": 1,
    "rows": [4],
    "values": ["1,5"],
    "sentence": "would refuse 1 record: line 5",
}
_SEEN = {
    "name": "price",
    "header": "Price",
    "samples": ["1.50", "2.50"],
    "filled": 3,
    "empty": 0,
    "distinct": 3,
    "longest": 4,
    "reason": "every value is a number",
    "types": ["numeric", "text"],
    "few": None,
    "refuses": {"type": _REFUSED},
}
_VERSION = {"version": 1, "created_by": "5f0c9a52-3c1e-4a7e-9f0e-2b1d6c7a8e90", "created_at": "2026-01-31T12:00:00Z"}
_LOADED = {
    "records": 1204,
    "errors": 2,
    "warnings": 0,
    "invalid": 2,
    "codes": [{"code": "value_too_long", "severity": "error", "findings": 2, "records": 2, "percent": 0.1661}],
    "rules": [{"rule": "name has at most 20 characters.", "severity": "error", "met": False, "records": 2, "percent": 0.1661}],
}

DEFINITION_SCHEMAS: dict[str, Any] = {
    "DefinedColumn": _DEFINITION["columns"][0],
    "DefinitionJson": _DEFINITION,
    "DefinitionFiles": _FILES,
    "DefinitionBody": DEFINITION_BODY,
    "Refused": _REFUSED,
    "ProposedColumn": _SEEN,
    "Proposal": {
        "name": "products",
        "definition": _DEFINITION,
        "files": _FILES,
        "records": 3,
        "format": "csv",
        "columns": [_SEEN],
        "refused": 1,
        "problem": "",
        "notes": [],
        "exists": False,
    },
    "DefinitionVersion": _VERSION,
    "DefinitionAnswer": {
        "name": "products",
        "in_files": False,
        "title": "Products",
        **_VERSION,
        "definition": _DEFINITION,
        "files": _FILES,
        "versions": [_VERSION],
    },
    "LoadedRecords": _LOADED,
    "ChangeAnswer": {
        "version": 1,
        "changed": False,
        "changes": ["column stock added"],
        "dry_run": True,
        "loaded": _LOADED,
        "definition": _DEFINITION,
        "files": _FILES,
    },
    "DropAnswer": {
        "name": "products",
        "records": 1204,
        "dump": "dropped/products/0192f0c5-7d1e-7a40-9c3b-56789abcdef0/",
        "kept_until": "2026-03-02T12:00:00Z",
    },
}
