"""The files of the dbt package, without dbt; integration/dbt_package/ has dbt itself read them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment
from typer.testing import CliRunner, Result

from pipeline.cli.commands import app
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.dbt_package.jinja import verbatim
from pipeline.dbt_package.project import project_files, read_datasets
from pipeline.dbt_package.sources import period
from pipeline.errors import InvalidRequest, UnknownDataset

PATHS = [
    ".gitignore",
    "README.md",
    "dbt_project.yml",
    "macros/ancestors.sql",
    "macros/descendants.sql",
    "macros/hierarchy_columns.sql",
    "models/example/record_ancestors.sql",
    "models/example/record_ancestors.yml",
    "models/sources.yml",
    "profiles.yml",
]
TABLE = """
create table warehouse.staff (
    "No" text primary key, boss text, email text, grade integer, active boolean, note text, rest jsonb,
    _import_id uuid not null, _row bigint not null, _loaded_at timestamptz not null default now()
);
"""
META = {"title": "Staff", "key": "No", "parent": "boss", "rest": "rest", "personal": ["email"], "expect_every": "36h"}


def rule(name: str, column: str, severity: str = "error", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_column_{name}", "kwargs": {"column": column, **kwargs}, "meta": {"severity": severity}}


RULES = [
    rule("values_to_not_be_null", "No"),
    rule("values_to_be_unique", "email", "warning"),
    rule("values_to_not_be_null", "email", mostly=0.9),
    rule("values_to_be_in_set", "grade", value_set=[1, 2, None]),
    rule("values_to_be_in_set", "active", value_set=[True]),
    rule("values_to_be_in_set", "note", value_set=["O'Brien", "{{ 1 }}"]),
    rule("values_to_not_be_null", "note"),
    rule("values_to_not_be_null", "note"),
    rule("value_lengths_to_be_between", "note", max_value=9),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the dataset staff."""
    for folder in ("expectations", "sql/tables", "sql/marts"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sql/tables/staff.sql").write_text(TABLE)
    (tmp_path / "expectations/staff.json").write_text(json.dumps({"name": "staff", "meta": META, "expectations": RULES}))
    return tmp_path


@pytest.fixture
def staff(root: Path) -> Dataset:
    return load_dataset("staff", root)


def tables(root: Path, *datasets: Dataset) -> dict[str, dict[str, Any]]:
    """Return the tables of models/sources.yml by name."""
    (source,) = yaml.safe_load(project_files(datasets, root)["models/sources.yml"])["sources"]
    assert source["name"] == "bulkhead"
    return {one["name"]: one for one in source["tables"]}


def columns(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in table["columns"]}


def test_the_files(staff: Dataset, root: Path) -> None:
    files = project_files([staff], root)
    assert [*files] == PATHS
    for path, text in files.items():
        if path.endswith(".yml"):
            assert yaml.safe_load(text), path
    assert len(files["README.md"].splitlines()) == 3
    assert "source('bulkhead', 'staff')" in files["models/example/record_ancestors.sql"]
    assert "{'staff': ['No', 'boss']}" in files["macros/hierarchy_columns.sql"]


def test_no_host_and_no_secret_is_written(staff: Dataset, root: Path) -> None:
    (profile,) = yaml.safe_load(project_files([staff], root)["profiles.yml"])["bulkhead"]["outputs"].values()
    for name in ("host", "user", "password", "dbname"):
        assert re.fullmatch(r"\{\{ env_var\('\w+'\) \}\}", profile[name]), name
    assert "DBT_ENV_SECRET_" in profile["password"]


def test_each_column_is_described(staff: Dataset, root: Path) -> None:
    found = columns(tables(root, staff)["staff"])
    assert [*found] == ["No", "boss", "email", "grade", "active", "note", "rest", "_import_id", "_row", "_loaded_at"]
    assert all(one["quote"] for one in found.values()), "else PostgreSQL folds No to no"
    assert found["No"]["description"] == "The record's ID. Every record has a value."
    assert found["boss"]["description"] == "The ID of the record above; null for a root."
    assert found["rest"]["description"] == "The other columns of the file."
    said = "Values are one of: O'Brien, {{ 1 }}. Every record has a value. Values have at most 9 characters."
    assert found["note"]["description"] == verbatim(said)
    said = "No value appears twice (else a warning). Every record has a value (of at least 90 % of the records)."
    assert found["email"]["description"] == f"Personal data. {said}"
    assert found["email"]["config"] == {"meta": {"personal": True}}
    assert (found["grade"]["data_type"], found["_loaded_at"]["data_type"]) == ("int", "timestamptz")


def test_the_rules_that_dbt_can_test(staff: Dataset, root: Path) -> None:
    found = columns(tables(root, staff)["staff"])
    assert {name: one["data_tests"] for name, one in found.items() if "data_tests" in one} == {
        "No": ["unique", "not_null"],
        "boss": [{"relationships": {"arguments": {"to": "source('bulkhead', 'staff')", "field": '"No"'}}}],
        "email": [{"unique": {"config": {"severity": "warn"}}}],
        "grade": [{"accepted_values": {"arguments": {"values": ["'1'", "'2'"], "quote": False}}}],
        "active": [{"accepted_values": {"arguments": {"values": ["'true'"], "quote": False}}}],
        "note": [
            {"accepted_values": {"arguments": {"values": ["'O''Brien'", verbatim("'{{ 1 }}'")], "quote": False}}},
            "not_null",
        ],
    }


def test_freshness_is_what_the_suite_expects(staff: Dataset, root: Path) -> None:
    config = tables(root, staff)["staff"]["config"]
    assert config == {"loaded_at_field": "_loaded_at", "freshness": {"warn_after": {"count": 36, "period": "hour"}}}
    (root / "expectations/staff.json").write_text(json.dumps({"name": "staff", "meta": META | {"expect_every": None}}))
    assert "freshness" not in tables(root, load_dataset("staff", root))["staff"]["config"]


@pytest.mark.parametrize(
    ("seconds", "count", "unit"),
    [(60, 1, "minute"), (90, 2, "minute"), (7200, 2, "hour"), (604_800, 7, "day"), (90_000, 25, "hour")],
)
def test_an_interval_in_units_of_dbt(seconds: int, count: int, unit: str) -> None:
    assert period(timedelta(seconds=seconds)) == {"count": count, "period": unit}


def test_the_tree_view_is_described(staff: Dataset, root: Path) -> None:
    tree = tables(root, staff)["staff_tree"]
    assert [*columns(tree)] == ["id", "parentId", "depth", "path", "children", "descendants"]


def test_a_mart_of_that_name_is_described_by_its_query(staff: Dataset, root: Path) -> None:
    query = '-- staff_tree: who is where.\n-- materialized: true\nselect s."No", s.boss, 1 as level from warehouse.staff as s\n'
    (root / "sql/marts/staff_tree.sql").write_text(query)
    tree = tables(root, staff)["staff_tree"]
    assert tree["description"] == "Who is where."
    assert [*columns(tree)] == ["No", "boss", "level"]
    (root / "sql/marts/staff_tree.sql").write_text("select * from warehouse.staff")
    assert "columns" not in tables(root, staff)["staff_tree"]


def test_a_dataset_with_the_name_of_a_tree_is_one_table(staff: Dataset, root: Path) -> None:
    (root / "sql/tables/staff_tree.sql").write_text(TABLE.replace("staff", "staff_tree"))
    suite = {"name": "staff_tree", "meta": META, "expectations": []}
    (root / "expectations/staff_tree.json").write_text(json.dumps(suite))
    assert [*tables(root, staff, load_dataset("staff_tree", root))] == ["staff", "staff_tree", "staff_tree_tree"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ env_var('HOME') }}",
        "env_var('HOME')",
        " ref('x')\n",
        "{% set x = 1 %}",
        "{# gone #}",
        'it\'s "{{" \\ é 🌳 }}',
        "doc(\n1)",
    ],
)
def test_a_text_stays_what_it_is(text: str) -> None:
    written = verbatim(text)
    assert written != text
    assert not re.match(r"^\s*(env_var|ref|var|source|doc)\s*\(.+\)\s*$", written), "dbt would evaluate it"
    assert SandboxedEnvironment().from_string(written).render() == text


@pytest.mark.parametrize("text", ["", "a title", "^[A-Z]{2}$", "{}", "see ref (x) there"])
def test_a_plain_text_is_written_as_it_is(text: str) -> None:
    assert verbatim(text) == text


def test_the_columns_of_the_hierarchy_can_have_any_name(root: Path) -> None:
    for folder in ("expectations/staff.json", "sql/tables/staff.sql"):
        file = root / folder
        file.write_text(
            file.read_text().replace("boss", "chef d'équipe").replace("chef d'équipe text", '"chef d\'équipe" text')
        )
    one = load_dataset("staff", root)
    macro = project_files([one], root)["macros/hierarchy_columns.sql"]
    (columns_text,) = re.findall(r"set of_table = (.*) -%}", macro)
    assert NativeEnvironment().from_string("{{ " + columns_text + " }}").render() == {"staff": ["No", "chef d'équipe"]}


def test_datasets_are_named_or_all(root: Path, tmp_path: Path) -> None:
    assert [one.name for one in read_datasets(root, [])] == ["staff"]
    assert [one.name for one in read_datasets(root, ["staff", "staff"])] == ["staff"]
    with pytest.raises(UnknownDataset, match="Datasets here: staff"):
        read_datasets(root, ["stuff"])
    with pytest.raises(InvalidRequest, match="There is no dataset"):
        read_datasets(tmp_path / "empty", [])


# --- the command ---


@pytest.fixture
def surroundings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_HOME", str(root / "home"))
    monkeypatch.setenv("BULKHEAD_DATASETS_ROOT", str(root))
    monkeypatch.setenv("DATABASE_URL", "")


def run(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["dbt", str(folder), *options])


@pytest.mark.usefixtures("surroundings")
def test_the_command_writes_all_files_and_lists_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "package"
    done = run(folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"folder": str(folder), "datasets": ["staff"], "written": PATHS}
    assert sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()) == sorted(PATHS)
    plain = run(tmp_path / "other")
    assert plain.stdout.splitlines() == [str(tmp_path / "other" / path) for path in PATHS]
    assert "README.md" in plain.stderr


@pytest.mark.usefixtures("surroundings")
def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    (folder / "notes.txt").write_text("mine too")
    done = run(folder)
    assert done.exit_code == 1
    assert (
        "These files would be overwritten: README.md. Give an empty folder, or write into this one by --force." in done.stderr
    )
    assert sorted(one.name for one in folder.iterdir()) == ["README.md", "notes.txt"]
    assert (folder / "README.md").read_text() == "mine"
    assert run(folder, "--force").exit_code == 0
    assert (folder / "README.md").read_text() != "mine"
    assert (folder / "notes.txt").read_text() == "mine too"


@pytest.mark.usefixtures("surroundings")
def test_a_folder_with_other_files_only_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    done = run(tmp_path / "there")
    assert done.exit_code == 1
    assert "None of its files would be overwritten." in done.stderr


@pytest.mark.usefixtures("surroundings")
def test_an_unknown_dataset_writes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "-d", "stuff")
    assert done.exit_code == 1
    assert "There is no dataset 'stuff'. Did you mean" in done.stderr
    assert not (tmp_path / "new").exists()
