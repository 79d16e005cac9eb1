"""What a request names is looked up in one place, which knows what there is for the key in use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.contracts.object_keys import DATASET_NAME
from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.errors import UnknownDataset

WEB = Path(__file__).resolve().parents[3] / "web"
LOOK_UP = {"load_dataset", "dataset_names"}
LEDGER = {"get", "known", "page"}
BY_OUR_OWN_IDS = {
    "services/key_scope.py": LOOK_UP | LEDGER,
    "services/personal_data.py": {"load_dataset"},  # of an import or an audit that key_scope.py found
    "http/audit_log.py": {"dataset_names"},  # whether a name may be recorded; the answer is not given to the client
    "api/events.py": {"get"},  # of an import that key_scope.py found
}


def look_ups(tree: ast.AST) -> Iterator[str]:
    """The functions by which a module reads datasets and imports by their names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline.datasets.dataset":
            yield from (alias.name for alias in node.names if alias.name in LOOK_UP)
        elif isinstance(node, ast.Attribute):
            whose = ast.unparse(node.value)
            is_of_ledger = node.attr in LEDGER and whose.endswith(("ledger.imports", "ledger.audits"))
            if is_of_ledger or (node.attr == "console" and "context" in whose):
                yield node.attr


@pytest.mark.parametrize("file", sorted(WEB.rglob("*.py")), ids=lambda file: str(file.relative_to(WEB)))
def test_no_other_module_looks_anything_up(file: Path) -> None:
    assert {*look_ups(ast.parse(file.read_text(encoding="utf-8")))} <= BY_OUR_OWN_IDS.get(str(file.relative_to(WEB)), set())


@pytest.mark.parametrize(
    "line",
    [
        "from pipeline.datasets.dataset import load_dataset",
        "app_context().ledger.imports.get(import_id)",
        "self._ledger.imports.page(limit=1)",
        "app_context().ledger.audits.get(audit_id)",
        "app_context().console.run(sql)",
    ],
)
def test_it_would_be_seen(line: str) -> None:
    assert [*look_ups(ast.parse(line))]


@pytest.mark.parametrize("name", ["places", "plants", "../places", "", "Places"])
def test_what_is_not_among_them_is_as_if_it_were_not_there(name: str) -> None:
    with pytest.raises(UnknownDataset) as caught:
        load_dataset(name, among=("records", "gone"))
    assert str(caught.value) == f"There is no dataset {name!r}. Datasets here: records."
    assert load_dataset("records", among=("records",)).name == "records"
    assert all(DATASET_NAME.fullmatch(one) for one in dataset_names())
