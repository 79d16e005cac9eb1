"""Parents that are no IDs: values that mean "no parent", and values of another column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.table import Column
from pipeline.errors import Unreadable
from pipeline.staging.cast import stage
from tests.support.staging import read_into, run_stage

RECORDS = load_dataset("records")
TYPED = replace(RECORDS, columns=(*RECORDS.columns, Column("n", "int", False)))
Rows = list[tuple[Any, ...]]
Staged = Callable[..., tuple[Rows, Rows]]


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """Read and stage a text; gives (id, parentId) of ``incoming``, and (code, row, value, message, hint) of the findings."""

    def run(content: str, dataset: Dataset = RECORDS, **options: Any) -> tuple[Rows, Rows]:
        (tmp_path / "source").write_text(content, encoding="utf-8")
        database = tmp_path / "staging.duckdb"
        asked = dataset.for_upload(Options(**options))
        read_into(database, tmp_path / "source", asked, options=asked.options)
        run_stage(stage, database, asked)
        with duckdb.connect(str(database)) as connection:
            rows = connection.execute('select id, "parentId" from incoming order by _row').fetchall()
            found = connection.execute(
                "select code, row, value, message, hint from findings order by row nulls first"
            ).fetchall()
        return rows, found

    return run


def test_values_that_mean_no_parent_are_counted(staged: Staged) -> None:
    rows, found = staged("id,parentId\n1,0\n2,0\n3,#\n4,1\n5,NULL\n", no_parent_values=("0", "#", "-"))
    assert rows == [("1", None), ("2", None), ("3", None), ("4", "1"), ("5", "NULL")]
    nothing = "Nothing needs to be done."
    assert found == [
        ("no_parent", None, "#", 'The parent "#" means no parent, as declared: 1 record is a root.', nothing),
        ("no_parent", None, "0", 'The parent "0" means no parent, as declared: 2 records are roots.', nothing),
    ]


def test_roots_that_name_themselves_are_roots_if_that_is_declared(staged: Staged) -> None:
    """With their children: the ID of such a root is no value that means "no parent" everywhere."""
    rows, found = staged("id,parentId\n1,1\n2,1\n3,3\n4,\n5,0\n", no_parent_values=("{id}", "0"))
    assert rows == [("1", None), ("2", "1"), ("3", None), ("4", None), ("5", None)]
    nothing = "Nothing needs to be done."
    own = "A parent that is the record's own ID means no parent, as declared: 2 records are roots."
    assert found[0] == ("no_parent", None, None, own, nothing) and found[1][2] == "0" and len(found) == 2


def test_a_record_whose_id_means_no_parent_is_told(staged: Staged) -> None:
    rows, ((code, *_, hint),) = staged("id,parentId\n0,\n1,0\n", no_parent_values=("0",))
    assert rows == [("0", None), ("1", None)] and code == "no_parent"
    assert hint == 'But a record has the ID "0": if it is their parent, do not declare that value.'


@pytest.mark.parametrize("dataset", [RECORDS, TYPED], ids=["text", "typed"])
def test_a_parent_is_named_by_another_column(staged: Staged, dataset: Dataset) -> None:
    content = "id,parentId,name,n\n1,,Europe,1\n2,Europe,France,2\n3,France,Paris,3\n"
    assert staged(content, dataset, parent_by="name") == ([("1", None), ("2", "1"), ("3", "2")], [])


def test_a_parent_is_named_by_a_column_that_the_table_lacks(staged: Staged) -> None:
    content = '{"id": 1, "parentId": null, "code": "E"}\n{"id": 2, "parentId": "E", "code": "F"}\n'
    assert staged(content, parent_by="code") == ([("1", None), ("2", "1")], [])


def test_a_name_of_several_records_or_of_none_is_an_error_and_never_an_id(staged: Staged) -> None:
    content = "id,parentId,name\n1,,a\n2,,a\n3,a,b\n4,1,c\n5,z,d\n"
    rows, found = staged(content, parent_by="name")
    assert rows == [(str(n), None) for n in range(1, 6)]
    assert found == [
        ("ambiguous_parent", 3, "a", '2 records have the name "a".',
         'Their IDs: "1", "2". Name the parent by another column, or change the name.'),
        ("missing_parent", 4, "1", 'No record of the file has the name "1".',
         'A record has the ID "1". If parents are given by ID, leave parent_by out.'),
        ("missing_parent", 5, "z", 'No record of the file has the name "z".',
         "Add the record to the file, or correct its parent: parents are given by name."),
    ]  # fmt: skip


def test_values_for_no_parent_come_before_names(staged: Staged) -> None:
    rows, found = staged("id,parentId,name\n1,#,a\n2,a,b\n", parent_by="name", no_parent_values=("#",))
    assert rows == [("1", None), ("2", "1")] and [code for code, *_ in found] == ["no_parent"]


def test_cleaned_values_are_compared(staged: Staged) -> None:
    rows, _ = staged("id,parentId,name\n1,, A \n2,a,b\n", parent_by="name", clean={"trim": True, "case": "lower"})
    assert rows == [("1", None), ("2", "1")]


def test_a_file_without_the_column_is_refused(staged: Staged) -> None:
    with pytest.raises(Unreadable, match="given by code") as caught:
        staged("id,parentId,name\n1,,a\n", parent_by="code")
    assert caught.value.code == "missing_column" and "id, parentId, name" in caught.value.hint


@given(people=st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "#"]), st.sampled_from("abcd")), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parents_by_name_are_those_of_a_dictionary(staged: Staged, people: list[tuple[str, str]]) -> None:
    names = Counter(name for _, name in people)
    ids = {name: str(row) for row, (_, name) in enumerate(people, 1) if names[name] == 1}
    wanted = [(str(row), ids.get(parent)) for row, (parent, _) in enumerate(people, 1)]
    wrong = [row for row, (parent, _) in enumerate(people, 1) if parent not in ("", "#") and names[parent] != 1]
    content = "id,parentId,name\n" + "".join(f"{row},{parent},{name}\n" for row, (parent, name) in enumerate(people, 1))
    rows, found = staged(content, parent_by="name", no_parent_values=("#",))
    assert rows == wanted and [row for code, row, *_ in found if code != "no_parent"] == wrong


def test_parents_given_by_id_or_by_name(staged: Staged) -> None:
    """IDs of the file come first; what is neither stays, since it may be the ID of a loaded record."""
    content = "id,parentId,name\n1,,Ada\n2,1,Ben\n3,Ada,Cleo\n4,Ben,2\n5,2,Eva\n6,elsewhere,Fay\n"
    rows, found = staged(content, parent_by="id,name")
    assert rows == [("1", None), ("2", "1"), ("3", "1"), ("4", "2"), ("5", "2"), ("6", "elsewhere")]
    assert found == []


def test_a_name_that_several_have_is_an_error_also_beside_ids(staged: Staged) -> None:
    rows, found = staged("id,parentId,name\n1,,Ada\n2,1,Ada\n3,Ada,Cleo\n4,2,Dan\n", parent_by="id,name")
    assert rows == [("1", None), ("2", "1"), ("3", None), ("4", "2")]
    assert [(code, row, value) for code, row, value, *_ in found] == [("ambiguous_parent", 3, "Ada")]


def test_a_parent_is_named_by_the_path_of_names(staged: Staged) -> None:
    """Names repeat; space around them and a separator at the ends of a path do not matter."""
    content = (
        "id,parentId,name\n1,,Europe\n2,Europe,Germany\n3,Europe > Germany,Berlin\n4,,America\n5,America>Germany,Berlin\n"
        "6,> America >, Germany\n7,Europe >Germany>  Berlin,Mitte\n"
    )
    rows, found = staged(content, parent_by="name > name")
    assert rows == [*(("1", None), ("2", "1"), ("3", "2"), ("4", None), ("5", "6"), ("6", "4"), ("7", "3"))]
    assert found == []


@pytest.mark.parametrize("dataset", [RECORDS, TYPED], ids=["text", "typed"])
@pytest.mark.parametrize("separator", ["/", "::", "->", ".", "\\", "|", "> >", "»", "$", ","])
def test_any_characters_stand_between_names(staged: Staged, dataset: Dataset, separator: str) -> None:
    rows = [("1", "", "Eu.rope"), ("2", "Eu.rope", "F"), ("3", f"Eu.rope{separator}F", "P")]
    if separator == ".":
        rows[1:] = [("2", "Eu.rope", "F"), ("3", "Eu.rope.F", "P")]
    content = "id\tparentId\tname\tn\n" + "".join("\t".join((*row, "1")) + "\n" for row in rows)
    assert staged(content, dataset, parent_by=f"name{separator}name") == ([("1", None), ("2", "1"), ("3", "2")], [])


def test_an_unknown_path_is_an_error_that_names_its_longest_known_beginning(staged: Staged) -> None:
    content = (
        "id,parentId,name\n1,,Europe\n2,Europe,Germany\n3,Europe/Germany/Bavaria/Munich,Au\n4,Asia/China,Xi'an\n5,1,Rome\n"
    )
    rows, found = staged(content, parent_by="name/name")
    assert rows == [("1", None), ("2", "1"), ("3", None), ("4", None), ("5", None)]
    assert found == [
        ("missing_parent", 3, "Europe/Germany/Bavaria/Munich",
         'No record of the file has the path "Europe/Germany/Bavaria/Munich".',
         'The longest beginning of it that a record has: "Europe/Germany". '
         "Add the record below it to the file, or correct the parent."),
        ("missing_parent", 4, "Asia/China", 'No record of the file has the path "Asia/China".',
         "No record has a beginning of it as its path. A path has the name of each record from a root to the parent, "
         "with '/' between them."),
        ("missing_parent", 5, "1", 'No record of the file has the path "1".',
         'A record has the ID "1". If parents are given by ID, leave parent_by out.'),
    ]  # fmt: skip


def test_siblings_of_one_name_are_an_error_only_where_they_are_a_parent(staged: Staged) -> None:
    content = "id,parentId,name\n1,,a\n2,a,b\n3,a,b\n4,a/b,c\n5,a,c\n6,a,c\n"
    rows, found = staged(content, parent_by="name/name")
    assert rows == [("1", None), ("2", "1"), ("3", "1"), ("4", None), ("5", "1"), ("6", "1")]
    assert found == [
        ("ambiguous_parent", 4, "a/b", '2 records have the path "a/b".',
         'Their IDs: "2", "3". Name the parent by another column, or change the name.'),
    ]  # fmt: skip


def test_paths_of_values_that_are_cleaned_or_mean_no_parent(staged: Staged) -> None:
    content = "id,parentId,name\n1,#, A \n2,a,b\n3,A/B,c\n"
    rows, found = staged(content, parent_by="name/name", no_parent_values=("#",), clean={"trim": True, "case": "lower"})
    assert rows == [("1", None), ("2", "1"), ("3", "2")]
    assert {code for code, *_ in found} == {"no_parent", "cleaned_values"}


_STEP = st.sampled_from(["a", "b", "a ", "c d", "é"])


@given(
    people=st.lists(st.tuples(st.lists(_STEP, max_size=3), st.sampled_from(["a", "b", "c d", "é", ""])), min_size=1, max_size=9)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parents_by_path_are_those_of_a_walk_from_the_roots(staged: Staged, people: list[tuple[list[str], str]]) -> None:
    """The walk goes down from each root by the names of the children; records of a branch without a root are no roots."""
    steps = {str(row): tuple(step.strip() for step in above) for row, (above, _) in enumerate(people, 1)}
    children: dict[tuple[str, ...], list[str]] = {}
    for row, above in steps.items():
        if people[int(row) - 1][1]:
            children.setdefault((*above, people[int(row) - 1][1]), []).append(row)
    wanted = {row: children.get(above, []) for row, above in steps.items()}
    content = "id,parentId,name\n" + "".join(
        f"{row},{'> '.join(above).strip()},{name}\n" for row, (above, name) in enumerate(people, 1)
    )
    rows, found = staged(content, parent_by="name>name")
    assert rows == [(row, bearers[0] if len(bearers) == 1 else None) for row, bearers in wanted.items()]
    wrong = {int(row): len(bearers) for row, bearers in wanted.items() if steps[row] and len(bearers) != 1}
    assert {row: code for code, row, *_ in found} == {
        row: "ambiguous_parent" if bearers else "missing_parent" for row, bearers in wrong.items()
    }
    for code, row, _, _, hint in found:
        above = steps[str(row)]
        known = [above[:length] for length in range(1, len(above)) if above[:length] in children]
        if code == "missing_parent" and known and not hint.startswith("A record has the ID"):
            assert f'a record has: "{">".join(known[-1])}".' in hint
