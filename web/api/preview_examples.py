"""Examples of a preview, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

_NODES = [
    {"level": 1, "id": "Europe", "name": "Europe", "children": 2},
    {"level": 2, "id": "Europe/France", "name": "France", "children": 0},
    {"level": 2, "id": "Europe/Spain", "name": "Spain", "children": 0},
]
_MISFIT = {
    **{"kind": "missing_parent", "sentence": 'No record has the ID "XX".', "value": "XX", "row": 4, "cell": "B4"},
}
_TREE: dict[str, Any] = {
    **{"records": 3, "generated": 1, "roots": 1, "levels": 2, "children_most": 2, "label": "name", "problem": ""},
    **{"nodes": _NODES, "misfits": [_MISFIT], "misfits_total": 1},
}
_COLUMN = {
    **{"name": "Code", "becomes": None, "suggested": "id", "suggested_by": "synonym", "why": "similar"},
    **{"reason": '"Code" is a word for an ID; its 3 values are unique.', "samples": ["FR", "FR-75"]},
}
_OFFER = {
    **{"option": "clean", "value": {"skip_totals": True}, "sentence": 'Skip the row of totals ("Total").'},
    **{"applies_to": "rows", "rows": [17], "columns": [], "is_used": False},
}
_REFUSAL = {
    **{"code": "duplicate_id", "sentence": "ID FR appears twice with different data.", "hint": "Keep one of them."},
    **{"row": 7, "column": "Code", "cell": "A7"},
}
_FIT = {
    **{"dataset": "places", "title": "Countries and their subdivisions", "fits": 1.0, "matched": 4, "required": 4},
    **{
        "missing": [],
        "columns": 4,
        "unknown": 0,
        "unfit": [],
        "reason": "All 4 required columns are in the file.",
        "last_used": None,
    },
}
_ROW = {"row": 1, "cells": ["Code", "parentId", "name", "kind"]}

PREVIEW_SCHEMAS: dict[str, Any] = {
    "PreviewAnswer": {
        **{"dataset": "places", "new_dataset": False, "datasets": [_FIT]},
        **{"format": "csv", "compression": "", "encoding": "utf-8", "delimiter": ",", "sheet": "", "sheets": [], "members": 1},
        **{"header_row": 1, "first_rows": [_ROW], "text": "CSV, comma, UTF-8", "records": 3, "is_whole": True},
        "options": {},
        "options_remembered": False,
        "remembered": False,
        "columns": [_COLUMN],
        "rows": [["FR", None, "France"]],
        "takes": ["id", "parentId", "name", "kind"],
        "needs": ["id", "name"],
        "tree": _TREE,
        "takes_others": False,
        "offers": [_OFFER],
        "would_reject": [_REFUSAL],
    },
    "PreviewTree": _TREE,
    "PreviewNode": _NODES[0],
    "PreviewMisfit": _MISFIT,
    "PreviewColumn": _COLUMN,
    "PreviewOffer": _OFFER,
    "PreviewRefusal": _REFUSAL,
    "PreviewRow": _ROW,
    "DatasetFit": _FIT,
}
