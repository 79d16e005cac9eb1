"""What became of each rule by Great Expectations' verdicts: in our words, met or not, and how many records offend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report.rule_texts import rule_text

UNMET_NAMED = 20
"""Rules that are not met and are named in the summary; the validation report has all of them."""

RULE_LENGTH = 200
"""Characters of a rule in the summary."""


def rule_results(verdicts: Path, records: int) -> list[dict[str, Any]]:
    """Return what each rule expects, whether that is so, and the number and the share of ``records`` that offend.

    ``verdicts``: a validation.json. The counts are those of Great Expectations.
    """
    return [_result(one, records) for one in json.loads(verdicts.read_bytes())["results"]]


def summarized(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many rules were evaluated and met, and the first that are not, errors first: small enough for the ledger."""
    unmet = sorted((one for one in results if not one["met"]), key=lambda one: str(one["severity"]))
    return {
        "evaluated": len(results),
        "met": len(results) - len(unmet),
        "unmet": [
            {
                "rule": str(one["rule"])[:RULE_LENGTH],
                "column": one.get("column"),
                "severity": one["severity"],
                "records": one["records"],
            }
            for one in unmet[:UNMET_NAMED]
        ],
    }


def percent(some: int, records: int) -> float:
    """Return a share in percent. What is not none is never 0, and what is not all never 100."""
    if not records:
        return 0.0
    share = round(100 * some / records, 4)
    return min(max(share, 0.0001), 99.9999) if 0 < some < records else share


def _result(result: Mapping[str, Any], records: int) -> dict[str, Any]:
    config, details = result["expectation_config"], result["result"]
    if "bulkhead" in config["meta"] and "unexpected_rows_query" in config["kwargs"]:
        offending = int(details["observed_value"])
    else:
        offending = int(details.get("unexpected_count") or 0)
    return {
        "rule": rule_text(config),
        "severity": config["meta"]["severity"],
        "met": bool(result["success"]),
        "records": offending,
        "percent": percent(offending, records),
        **({"column": column} if (column := config["kwargs"].get("column")) else {}),
    }
