"""How often each dataset is audited, and which names a dataset cannot have."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.audit_periods import audit_periods
from pipeline.datasets.dataset import NOT_NAMES, load_dataset
from pipeline.errors import InvalidConfiguration
from pipeline.units import audit_period


def put(root: Path, name: str, like: str = "records", **meta: Any) -> None:
    """A dataset of that name."""
    suite = json.loads((root / "expectations" / f"{like}.json").read_text())
    suite["meta"] |= meta
    (root / "expectations" / f"{name}.json").write_text(json.dumps(suite))
    table = (root / "sql" / "tables" / f"{like}.sql").read_text()
    (root / "sql" / "tables" / f"{name}.sql").write_text(table.replace(f"warehouse.{like}", f"warehouse.{name}"))


def test_the_suite_counts_more_than_the_setting(a_root: Path) -> None:
    put(a_root, "weekly", audit_every="1w")
    put(a_root, "not_at_all", audit_every="never")
    put(a_root, "wrong", audit_every="now and then")
    week, day = timedelta(weeks=1), timedelta(days=1)
    assert audit_periods(a_root, None) == {"weekly": week}
    assert audit_periods(a_root, day) == {"weekly": week, "places": day, "records": day}


def test_a_period_is_no_rule(a_root: Path) -> None:
    before = load_dataset("records", a_root).version
    put(a_root, "records", audit_every="1d")
    assert load_dataset("records", a_root).version == before


@pytest.mark.parametrize("text", ["1", "59s", "0", "1 fortnight", "forever", ""])
def test_what_is_no_period(text: str, a_root: Path) -> None:
    with pytest.raises(ValueError, match="or never"):
        audit_period(text)
    put(a_root, "records", audit_every=text)
    with pytest.raises(InvalidConfiguration, match=r"expectations/records\.json: .* or never"):
        load_dataset("records", a_root)


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_folder_of_checks_is_no_name_of_a_dataset(name: str, a_root: Path) -> None:
    assert (a_root / "sql" / "checks" / name).is_dir()
    put(a_root, name)
    with pytest.raises(InvalidConfiguration, match=f"No dataset can be called {name}: sql/checks/{name}/ has checks of all"):
        load_dataset(name, a_root)


def test_every_folder_of_checks_that_belongs_to_no_dataset_is_named(a_root: Path) -> None:
    folders = {path.name for path in (a_root / "sql" / "checks").iterdir() if path.is_dir()}
    assert folders - {path.stem for path in (a_root / "expectations").glob("*.json")} == {*NOT_NAMES}
