"""A validation that is itself broken must say so: each test breaks one thing in it, and there is no verdict.

Honest runs stand first, so that the alarms do not ring for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.prepare import parts
from pipeline.prepare.manifest import BatchSizes
from pipeline.read import RawTables
from pipeline.read import read_file as reading
from pipeline.read.read_result import ReadResult
from pipeline.report import findings
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.validate import expectations, sql_checks

Validate = Callable[..., Counted]

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
PLACES = "id,parentId,name,kind,alpha_3,numeric_code,flag\n"
GOOD = PLACES + "FR,,France,Country,FRA,250,\nFR-75,FR,Paris,Department,,,\n"
BAD = PLACES + (
    "FR,,France,Country,FRA,250,\n"
    "FR,,France,Country,FRA,250,\n"  # a duplicate
    "FR-75,FX,Paris,Department,,,\n"  # a missing parent
    "FR-76,FR,Rouen,,,,\n"  # no kind
    "DE,,Germany,Country,DE,276,\n"  # an alpha-3 code of two letters
    "IT,IT,Italy,Country,ITA,one,\n"  # its own parent, and not a number
    "ES,too few\n"
)
BAD_CODES = {
    "duplicate_id": 1,
    "expectation_failed": 2,
    "invalid_type": 1,
    "malformed_row": 1,
    "missing_parent": 1,
    "self_parent": 1,
}

PLAIN = load_dataset("places")
BOUNDED = replace(
    PLAIN,
    suite={**PLAIN.suite, "meta": {**PLAIN.suite["meta"], "bounds": {"max_depth": 9, "max_children": 9, "single_root": True}}},
)


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Validate a text, and cut it if it is accepted."""

    def run(text: str | bytes = GOOD, dataset: Dataset | None = None, options: Options | None = None) -> Counted:
        (tmp_path / validate_file.SOURCE).write_bytes(text.encode() if isinstance(text, str) else text)
        rules = dataset or load_dataset("places")
        return validate_file.validate(
            tmp_path, rules, "f.csv", "run", BatchSizes("import"), options or Options(), lambda parents: None
        )

    return run


# --- Nothing is broken ---


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("id,parentId,name\n1,,a\n2,1,b\n", 2),
        ("id,parentId,name\n1,,a\n\n2,1,b,too,many\n3,1\n", 3),
        ('id,parentId,name\n1,,"a\nb"\n2,1,"b"x\n3,1,c\n', 3),
        ('[{"id": "1", "parentId": null}, 7, {"id": "2", "parentId": "1"}]', 3),
        ('{"id": "1", "parentId": null}\n{"id": "2", "id": "3", "parentId": "1"}\n', 2),
        ("", 0),
        ("id,parentId\n", 0),
    ],
)
def test_each_record_is_accounted_for_whatever_its_format(validate: Validate, text: str, records: int) -> None:
    assert validate(text, load_dataset("records")).records == records


@pytest.mark.parametrize("sample", sorted(file for file in SAMPLES.iterdir() if file.is_file()), ids=lambda sample: sample.name)
def test_each_record_of_a_sample_is_in_the_parts(validate: Validate, sample: Path, tmp_path: Path) -> None:
    counted = validate(sample.read_bytes(), load_dataset("records"))
    in_parts = sum(pq.read_metadata(part).num_rows for part in (tmp_path / validate_file.PARTS).glob("*.parquet"))
    assert in_parts == counted.records > 0


def test_correct_runs_have_a_verdict(validate: Validate) -> None:
    assert validate(GOOD).verdict().accepted
    counted = validate(BAD)
    assert not counted.verdict().accepted
    assert counted.by_code == BAD_CODES


def test_the_checks_of_tree_limits_are_counted_with_the_others(validate: Validate) -> None:
    assert validate(GOOD, BOUNDED).verdict().accepted
    assert validate(GOOD + "DE,,Germany,Country,DEU,276,\n", BOUNDED).by_code == {"several_roots": 1}


def test_quarantined_records_and_those_in_parts_are_all_records(validate: Validate) -> None:
    counted = validate(BAD, options=Options(on_error=OnError.QUARANTINE))
    assert counted.verdict().accepted and 0 < counted.quarantined < counted.records


# --- The checks ---


def test_a_check_left_out(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    files = BOUNDED.check_files
    for left_out in files:
        remaining = [file for file in files if file != left_out]
        monkeypatch.setattr(Dataset, "check_files", property(lambda self, remaining=remaining: remaining))
        with pytest.raises(RuntimeError, match=f"Each check is evaluated once.*{left_out.stem}"):
            validate(dataset=BOUNDED)


def test_a_check_in_the_place_of_another(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    files = load_dataset("places").check_files
    monkeypatch.setattr(Dataset, "check_files", property(lambda self: [*files[1:], files[1]]))
    with pytest.raises(RuntimeError, match="Each check is evaluated once"):
        validate()


def test_a_check_that_finds_what_it_does_not_report(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other errors reject the file anyway; the report must be whole all the same."""
    add = sql_checks._add_found

    def all_but_self_parents(connection: duckdb.DuckDBPyConnection, code: str, severity: str) -> None:
        if code != "self_parent":
            add(connection, code, severity)

    monkeypatch.setattr(sql_checks, "_add_found", all_but_self_parents)
    with pytest.raises(RuntimeError, match="without a finding"):
        validate(PLACES + "FR,XX,France,Country,FRA,250,\nIT,IT,Italy,Country,ITA,1,\n")


# --- Great Expectations ---


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[Any]], None]], None]:
    """Change what Great Expectations answers."""
    evaluate = expectations._evaluate

    def mutate(change: Callable[[list[Any]], None]) -> None:
        def changed(*args: Any) -> Any:
            result = evaluate(*args)
            change(result.results)
            return result

        monkeypatch.setattr(expectations, "_evaluate", changed)

    return mutate


def _of(results: list[Any], wanted: str) -> Any:
    return next(one for one in results if one.expectation_config.meta["bulkhead"] == wanted)


@pytest.mark.parametrize("text", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("which", ["check_missing_parent", sql_checks.READING, "expectation 3"])
def test_a_verdict_turned_round(validate: Validate, evaluated: Any, which: str, text: str) -> None:
    def turn_round(results: list[Any]) -> None:
        one = _of(results, which)
        one.success = not one.success

    evaluated(turn_round)
    with pytest.raises(RuntimeError, match="verdict contradicts"):
        validate(text)


@pytest.mark.parametrize("which", ["check_missing_parent", "expectation 3"])
def test_an_expectation_that_is_skipped(validate: Validate, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    evaluate = expectations._evaluate

    def without_one(database: Path, name: str, configurations: Any, run_name: str) -> Any:
        return evaluate(database, name, [one for one in configurations if one.meta["bulkhead"] != which], run_name)

    monkeypatch.setattr(expectations, "_evaluate", without_one)
    with pytest.raises(RuntimeError, match=f"no {which}"):
        validate()


def test_an_expectation_of_the_suite_that_is_not_passed_on(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    configurations = expectations._from_suite

    def but_the_last(dataset: Dataset) -> Iterator[Any]:
        yield from list(configurations(dataset))[:-1]

    monkeypatch.setattr(expectations, "_from_suite", but_the_last)
    with pytest.raises(RuntimeError, match="expectation 4"):
        validate()


def test_an_exception_inside_an_expectation(validate: Validate) -> None:
    """Great Expectations swallows it, and the expectation looks like one that is not met. All that were asked in one query fail
    with it; the cause is named, whichever comes first."""
    broken = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "name", "regex": "["}}
    dataset = load_dataset("places")
    suite = {**dataset.suite, "expectations": [*dataset.suite["expectations"], broken]}
    with pytest.raises(RuntimeError, match=r"could not evaluate .*missing \]"):
        validate(dataset=replace(dataset, suite=suite))


def test_an_exception_inside_a_metric(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine

    def fail(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("the metric has fallen over")

    monkeypatch.setattr(SqlAlchemyExecutionEngine, "resolve_metric_bundle", fail)
    with pytest.raises((RuntimeError, ValueError), match="fallen over"):
        validate()


# --- The report ---


def test_a_finding_dropped_before_the_report(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    write = findings.write_findings

    def drop_one(connection: duckdb.DuckDBPyConnection, dataset: Dataset, folder: Path) -> Counted:
        connection.execute("delete from findings where code = 'self_parent'")
        return write(connection, dataset, folder)

    monkeypatch.setattr(findings, "write_findings", drop_one)
    with pytest.raises(RuntimeError, match="but the report says"):
        validate(BAD)


@pytest.mark.parametrize("slip", ["inner join raw", "full join raw"])
def test_a_report_that_lacks_a_finding_or_has_one_too_many(
    validate: Validate, monkeypatch: pytest.MonkeyPatch, slip: str
) -> None:
    monkeypatch.setattr(findings, "_ORDERED", findings._ORDERED.replace("left join raw", slip, 1))
    with pytest.raises(RuntimeError, match="findings were to be reported"):
        validate(BAD)


def test_one_file_of_the_report_that_lacks_what_the_others_have(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    table = findings._table
    monkeypatch.setattr(findings, "_table", lambda *args: f"select * from ({table(*args)}) limit 3")
    with pytest.raises(RuntimeError, match="findings were to be reported"):
        validate(BAD)


# --- The reader ---


def _read_as(monkeypatch: pytest.MonkeyPatch, slip: Callable[[ReadResult, RawTables], ReadResult]) -> None:
    mark, read = reading.TEXTS["csv"]
    monkeypatch.setitem(reading.TEXTS, "csv", (mark, lambda chunks, staging: slip(read(chunks, staging), staging)))


@pytest.mark.parametrize("off", [-1, 1])
def test_a_reader_that_miscounts(validate: Validate, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    _read_as(monkeypatch, lambda table, staging: replace(table, records=table.records + off))
    with pytest.raises(RuntimeError, match="records were read"):
        validate(BAD)


def _slip(staging: RawTables, slip: str) -> None:
    """Change ``raw``, which is a view where the text was regular."""
    if staging.connection.execute("select 1 from duckdb_views() where view_name = 'raw'").fetchall():
        staging.connection.execute("create table kept as from raw; drop view raw; drop table text_rows")
        staging.connection.execute("alter table kept rename to raw")
    staging.connection.execute(slip)


@pytest.mark.parametrize(
    "slip",
    [
        "insert into raw from raw where _row = 2",  # a row twice
        "delete from raw where _row = 2",  # a row lost
        "update raw set _row = 1 where _row = 2",  # a row in the place of another
        "update raw set _row = _row + 1",
        "insert into malformed values (2, 3, 'it is in both')",
    ],
)
@pytest.mark.parametrize("text", [GOOD, BAD], ids=["good", "bad"])
def test_a_reader_that_loses_or_doubles_a_row(
    validate: Validate, monkeypatch: pytest.MonkeyPatch, slip: str, text: str
) -> None:
    def slipped(table: ReadResult, staging: RawTables) -> ReadResult:
        _slip(staging, slip)
        return table

    _read_as(monkeypatch, slipped)
    with pytest.raises(RuntimeError, match="the rows are not those"):
        validate(text)


def test_a_row_that_is_read_twice_and_counted_twice(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is a row like any other, and a duplicate."""

    def doubled(table: ReadResult, staging: RawTables) -> ReadResult:
        _slip(staging, "insert into raw select 3 as _row, * exclude (_row) from raw where _row = 2")
        return replace(table, records=table.records + 1)

    _read_as(monkeypatch, doubled)
    assert validate(GOOD).by_code == {"duplicate_id": 1}


def test_a_row_lost_on_the_way_to_its_types(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    query = validate_file.stage.__globals__["_cast_in_passing"]
    monkeypatch.setitem(validate_file.stage.__globals__, "_cast_in_passing", lambda *args: f"{query(*args)} limit 1")
    with pytest.raises(RuntimeError, match="rows were to be typed"):
        validate()


# --- The parts ---


def test_parts_that_hold_one_record_less(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = parts.streamed_tables

    def one_less(*args: Any, **options: Any) -> Iterator[pa.Table]:
        for table in tables(*args, **options):
            yield table.slice(1)

    monkeypatch.setattr(parts, "streamed_tables", one_less)
    with pytest.raises(RuntimeError, match="2 records went into the batches, 1 came out"):
        validate()


def test_a_part_that_was_not_written_whole(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    write = pq.write_table
    monkeypatch.setattr(pq, "write_table", lambda table, *args, **kwargs: write(table.slice(1), *args, **kwargs))
    with pytest.raises(RuntimeError, match="2 records went into the batches, 1 came out"):
        validate()


def test_a_record_that_gets_lost_before_the_parts(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out = parts.lay_out_forest

    def one_less(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        lay_out(connection, dataset)
        connection.execute("delete from links where _row = 2")

    monkeypatch.setattr(parts, "lay_out_forest", one_less)
    with pytest.raises(RuntimeError, match="Of 2 records 1 are in parts"):
        validate()
