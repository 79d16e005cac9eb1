"""A file's names become the dataset's: aliases, renames and defaults, as the suite says, for every format alike."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import InvalidConfiguration, InvalidRequest, Unreadable
from pipeline.read import FileSummary
from pipeline.report import findings
from pipeline.staging.cast import stage
from pipeline.validate import sql_checks, tree_overlay
from tests.support.staging import read_into, run_stage

MAPPING = {
    "aliases": {"id": ["Id", "identifier"], "parentId": ["PARENT_ID", "parent"]},
    "renames": {"Farbe": "colour"},
    "defaults": {"kind": "thing", "amount": "1.50"},
}
Make = Callable[..., Dataset]
Rows = list[tuple[Any, ...]]


@pytest.fixture
def dataset_of(tmp_path: Path) -> Make:
    """A dataset with a required kind and an amount, and whatever ``meta`` says."""

    def make(meta: dict[str, Any] | None = None, *, rest: bool = False, staging: str = "") -> Dataset:
        root = tmp_path / "rules"
        for folder in ("expectations", "sql/tables", "sql/staging"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        suite = {"name": "things", "meta": {**(meta or {}), **({"rest": "attributes"} if rest else {})}}
        (root / "expectations" / "things.json").write_text(json.dumps(suite))
        (root / "sql" / "tables" / "things.sql").write_text(
            'create table warehouse.things (id text primary key, "parentId" text, kind text not null, amount numeric(6,2),'
            f"{' attributes jsonb,' if rest else ''}"
            " _import_id uuid not null, _row bigint not null, _loaded_at timestamptz not null)"
        )
        if staging:
            (root / "sql" / "staging" / "things.sql").write_text(staging)
        return load_dataset("things", root)

    return make


@pytest.fixture
def reads(tmp_path: Path, database: Path) -> Callable[[str, Dataset], tuple[FileSummary, Rows, Rows]]:
    """Read and stage a text; gives the reading, ``incoming`` without _row, and the findings' code, row, column and message."""

    def run(content: str, dataset: Dataset) -> tuple[FileSummary, Rows, Rows]:
        (tmp_path / "source").write_text(content, encoding="utf-8")
        reading = read_into(database, tmp_path / "source", dataset)
        run_stage(stage, database, dataset)
        with duckdb.connect(str(database)) as connection:
            incoming = connection.execute("select * exclude (_row) from incoming order by _row").fetchall()
            found = connection.execute('select code, row, "column", message from findings order by row, code').fetchall()
        return reading, incoming, found

    return run


CSV = " identifier ,PARENT_ID,kind,amount\n1,,a,2.00\n2,1,,\n"
JSON = json.dumps([{"Id": "1", "parent": None, "kind": "a", "amount": "2.00"}, {"Id": "2", "parent": "1"}])


@pytest.mark.parametrize("content", [CSV, CSV.replace(",", ";"), JSON], ids=["csv", "semicolon", "json"])
def test_aliases_and_defaults_hold_for_every_format(dataset_of: Make, reads: Any, content: str) -> None:
    reading, incoming, found = reads(content, dataset_of({"mapping": MAPPING}))
    assert [tuple(map(str, row)) for row in incoming] == [("1", "None", "a", "2.00"), ("2", "1", "thing", "1.50")]
    assert found == []
    assert reading.columns == ("id", "parentId", "kind", "amount")
    assert reading.original_columns[1].strip() in ("PARENT_ID", "parent")


def test_a_required_column_with_a_default_may_be_left_out(dataset_of: Make, reads: Any) -> None:
    _, incoming, found = reads("id,parentId\n1,\n", dataset_of({"mapping": MAPPING}))
    assert [tuple(map(str, row)) for row in incoming] == [("1", "None", "thing", "1.50")]
    assert found == []


def test_a_renamed_column_keeps_its_new_name_in_the_rest(dataset_of: Make, reads: Any) -> None:
    _, incoming, _ = reads("id,parentId,farbe,Size\n1,,red,3\n", dataset_of({"mapping": MAPPING}, rest=True))
    assert json.loads(incoming[0][-1]) == {"colour": "red", "Size": "3"}


def test_without_an_alias_only_case_and_joints_may_differ(dataset_of: Make, reads: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(" Idd ,PARENT,kind\n1,,a\n", dataset_of())
    assert caught.value.code == "missing_column"
    assert caught.value.hint == (
        "Did you mean to call ' Idd ' 'id'? Did you mean to call 'PARENT' 'parentId'?"
        ' If so: mapping={" Idd ": "id", "PARENT": "parentId"}.'
    )
    reading, _, found = reads(" Id ,PARENT_ID,kind\n1,,a\n", dataset_of())
    assert reading.columns == ("id", "parentId", "kind")
    assert [code for code, *_ in found] == ["matched_columns"]


@pytest.mark.parametrize("content", ["Id,identifier,parentId,kind\n1,2,,a\n", '[{"Id":"1","identifier":"2"}]'])
def test_two_columns_that_would_be_one_are_both_named(dataset_of: Make, reads: Any, content: str) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(content, dataset_of({"mapping": MAPPING}))
    assert caught.value.code == "duplicate_column"
    assert "'Id' and 'identifier' would both be the column id" in str(caught.value)


def test_a_missing_column_is_named_with_the_files_own_columns(dataset_of: Make, reads: Any) -> None:
    aliases = {"id": ["identifier"], "parentId": ["Elternteile"]}
    with pytest.raises(Unreadable) as caught:
        reads("identifier,elternteil,kind\n1,,a\n", dataset_of({"mapping": {"aliases": aliases}}))
    assert "lacks the column parentId. It has: identifier, elternteil, kind." in str(caught.value)
    assert caught.value.hint == ("Did you mean to call 'elternteil' 'parentId'? If so: mapping={\"elternteil\": \"parentId\"}.")


def test_a_column_the_dataset_lacks_is_named_as_the_file_names_it_too(dataset_of: Make, reads: Any) -> None:
    _, _, found = reads("id,parentId,Farbe,knd\n1,,red,b\n", dataset_of({"mapping": MAPPING}))
    assert [(code, column) for code, _, column, _ in found] == [("unknown_column", "colour"), ("unknown_column", "knd")]
    assert "no column 'colour' (the file's 'Farbe')." in found[0][3]


def test_the_mapping_is_versioned_with_the_reading(dataset_of: Make, reads: Any, database: Path) -> None:
    before, after = dataset_of().version, dataset_of({"mapping": MAPPING}).version
    reading, _, _ = reads(CSV, dataset_of({"mapping": MAPPING}))
    assert before != after == reading.rules_version
    with duckdb.connect(str(database)) as connection:
        kept = connection.execute("select columns, original_columns, rules_version from reading").fetchall()
    assert kept == [([*reading.columns], [*reading.original_columns], after)]


def test_the_report_keeps_the_files_own_names_and_order(dataset_of: Make, reads: Any, tmp_path: Path, database: Path) -> None:
    dataset = dataset_of({"mapping": MAPPING})
    reads("amount,PARENT_ID,kind,Id\nx,,a,1\n", dataset)
    run_stage(tree_overlay.ask_for, database, dataset, tmp_path / "wanted.parquet")
    run_stage(tree_overlay.add_edges, database, None)
    with duckdb.connect(str(database)) as connection:
        sql_checks.run_checks(connection, [])
    run_stage(findings.write_findings, database, dataset, tmp_path)
    with (tmp_path / "findings.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header[len(findings.TABLE_FIELDS) :] == ["amount", "PARENT_ID", "kind"]
    assert row[len(findings.TABLE_FIELDS) :] == ["x", "", "a"]


SLIPS: list[tuple[dict[str, Any], str]] = [
    ({"mapping": {"defaults": {"id": "1"}}}, "gives id a default"),
    ({"mapping": {"defaults": {"parentId": "1"}}}, "gives parentId a default"),
    ({"mapping": {"defaults": {"kind": 1}}}, "are texts"),
    ({"mapping": {"defaults": {"colour": "red"}}}, "columns the table lacks: colour"),
    ({"mapping": {"aliases": {"id": "Id"}}}, "lists of names"),
    ({"mapping": {"aliases": {"id": ["kind"]}}}, "takes 'kind' for id, but it is kind already"),
    ({"mapping": {"aliases": {"id": ["x"], "kind": [" X"]}}}, "takes ' X' for kind, but it is id already"),
    ({"mapping": {"aliases": {"id": ["x"]}, "renames": {"X": "y"}}}, "two things of one name"),
    ({"mapping": {"renames": {"x": "_Row"}}}, "keeps for itself"),
    ({"mapping": {"alias": {}}}, "takes aliases, defaults, renames"),
    ({"shape": {"children": "c", "path_separator": "/"}}, "one of them only"),
    ({"shape": {"children": "kind"}}, "which is a column too"),
    ({"shape": {"path_separator": ""}}, "what stands between"),
]


@pytest.mark.parametrize(("meta", "said"), SLIPS)
def test_a_slip_in_the_suite_is_refused_when_it_is_loaded(dataset_of: Make, meta: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said.replace("(", r"\(")):
        dataset_of(meta)


def test_a_staging_query_written_by_hand_says_its_own_defaults(dataset_of: Make) -> None:
    with pytest.raises(InvalidConfiguration, match=r"sql/staging/things\.sql"):
        dataset_of({"mapping": {"defaults": {"kind": "a"}}}, staging="select * from raw")


def test_an_invalid_default_is_an_error_and_no_finding(dataset_of: Make, reads: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="the default of amount, 'many', is not a number"):
        reads("id,parentId,kind\n1,,a\n", dataset_of({"mapping": {"defaults": {"amount": "many"}}}))


# --- what an upload says ---


@pytest.mark.parametrize(
    "content",
    [
        "Nr,über,kind,junk\n1,,a,x\n2,1,b,y\n",
        '[{"Nr":"1","über":null,"kind":"a","junk":"x"},{"Nr":"2","über":"1","kind":"b","junk":"y"}]',
    ],
    ids=["csv", "json"],
)
def test_an_upload_says_what_its_columns_are(dataset_of: Make, reads: Any, content: str) -> None:
    wishes = Options(mapping={"nr ": "id", "über": "parentId", "junk": ""})
    reading, incoming, found = reads(content, dataset_of().for_upload(wishes))
    assert [row[:3] for row in incoming] == [("1", None, "a"), ("2", "1", "b")]
    assert found == []
    assert reading.original_columns == ("Nr", "über", "kind")


def test_what_an_upload_says_goes_before_what_the_suite_says(dataset_of: Make, reads: Any) -> None:
    dataset = dataset_of({"mapping": MAPPING}, rest=True).for_upload(Options(mapping={"parent": "kind", "kind": "parentId"}))
    _, incoming, found = reads("id,parent,kind\n1,thing,\n", dataset)
    assert incoming[0][:3] == ("1", None, "thing")
    assert found == []


def test_a_mapping_of_a_column_that_the_file_lacks_is_reported(dataset_of: Make, reads: Any) -> None:
    dataset = dataset_of().for_upload(Options(mapping={"amuont": "amount", "gone": ""}))
    _, _, found = reads("id,parentId,kind\n1,,a\n", dataset)
    assert [(code, message) for code, _, _, message in found] == [
        ("unknown_column", "The upload maps a column 'amuont', which the file does not have.")
    ]


def test_two_columns_that_would_be_one_by_the_upload(dataset_of: Make, reads: Any) -> None:
    dataset = dataset_of().for_upload(Options(mapping={"sort": "kind"}))
    with pytest.raises(Unreadable, match="'kind' and 'sort' would both be the column kind"):
        reads("id,parentId,kind,sort\n1,,a,b\n", dataset)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"a": "nonsense"}, "'a' cannot be mapped to 'nonsense'"),
        ({"a": "attributes"}, "cannot be mapped to 'attributes'"),
        ({"a": "_row"}, "cannot be mapped to '_row'"),
        ({"a": "kind", "b": "kind"}, "'a' and 'b' cannot both be mapped to 'kind'"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(dataset_of: Make, mapping: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        dataset_of(rest=True).check_mapping(mapping)
    dataset_of(rest=True).check_mapping({"a": "kind", "b": "", "c": ""})
