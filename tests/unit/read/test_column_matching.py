"""Columns by other spellings of their names: matched where it is certain, named where it is not, and never silently."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.column_forms import columns_by_form, loose_form
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read.column_mapping import mapped_names
from pipeline.read.missing_columns import missing_columns, probable_columns
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")
STRICT = replace(RECORDS, rest=None)
SPELLINGS = ["Parent ID", "parent-id", "PARENT_ID", " parentId", "Parentid", "ＰａｒｅｎｔＩｄ", "\ufeffparentId"]


def refusal(content: bytes | str, **options: Any) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_bytes(content, RECORDS, **options)
    return caught.value


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_is_matched_without_case_and_joints(spelling: str) -> None:
    for content in (f"id,{spelling},Name\n1,,a\n2,1,b\n", json.dumps([{"id": "1"}, {"id": "2", spelling: "1"}])):
        seen = read_bytes(content, RECORDS)
        assert [row[:2] for row in seen.rows] == [("1", None), ("2", "1")]
        assert seen.codes() == ["matched_columns"]
        assert f"{spelling!r} was read as parentId" in seen.message("matched_columns")


def test_exact_names_mappings_and_aliases_are_not_reported() -> None:
    assert read_bytes("id,parentId,name\n1,,a\n", RECORDS).findings == []
    assert read_bytes("Code,parentId\n1,\n", RECORDS, mapping={"code": "id"}).findings == []


def test_the_exact_name_wins_and_the_other_is_kept() -> None:
    seen = read_bytes("id,parentId,name,NA-ME\n1,,a,b\n", RECORDS)
    assert seen.rows == [("1", None, "a", '{"NA-ME":"b"}')]
    seen = read_bytes('[{"id":1,"na_me":"x","parentId":null},{"id":2,"name":"y"}]', RECORDS)
    assert seen.rows == [("1", None, None, '{"na_me":"x"}'), ("2", None, "y", "{}")]


@pytest.mark.parametrize("content", ["id,parentId,parent id\n1,,\n", '[{"id":1,"parentId":null,"parent id":2}]'])
def test_where_no_others_are_taken_both_are_named(content: str) -> None:
    with pytest.raises(Unreadable, match="'parentId' and 'parent id' would both be the column parentId") as caught:
        read_bytes(content, STRICT)
    assert caught.value.code == "duplicate_column"
    assert 'mapping={"parent id": ""}' in caught.value.hint


def test_two_spellings_of_a_needed_column_are_not_chosen_from() -> None:
    assert refusal("id,Parent Id,parent-id\n1,,\n").code == "duplicate_column"
    assert mapped_names(["N-a-m-e", "na me"], RECORDS) == ("N-a-m-e", "na me")
    assert mapped_names(["N-a-m-e", "Name"], RECORDS) == ("N-a-m-e", "name")


def test_an_upload_says_what_a_column_is_for_all_of_them() -> None:
    seen = read_bytes("id,Parent Id,boss\n1,,\n2,9,1\n", RECORDS, mapping={"boss": "parentId"})
    assert [row[1] for row in seen.rows] == [None, "1"]


def test_forms_of_several_columns_match_none() -> None:
    assert columns_by_form([("a b", "x"), ("A_B", "y"), ("c", "z"), ("--", "z")]) == {"c": "z"}


@given(st.lists(st.sampled_from(["id", "ID", "i d", "parentId", "parent_id", "Parent Id", "name", "Name", "x"]), max_size=5))
@settings(max_examples=60)
def test_what_is_matched_is_the_only_one_of_its_form(originals: list[str]) -> None:
    originals = list(dict.fromkeys(originals))
    columns = {loose_form(name): name for name in ("id", "parentId", "name")}
    for original, name in zip(originals, mapped_names(originals, RECORDS), strict=True):
        if name == original:
            continue
        assert columns[loose_form(original)] == name
        assert name not in originals


# --- Two that could be the parent ---


@pytest.mark.parametrize("other", ["parent_id", "parent", "PARENT-ID"])
def test_a_record_is_no_root_while_another_column_names_a_parent(other: str) -> None:
    lines = [{"id": "1", "parentId": None}, {"id": "2", "parentId": "1"}, {"id": "3", other: "2"}]
    contents = ["\n".join(map(json.dumps, lines)), "\n".join(map(json.dumps, reversed(lines)))]
    contents.append(f"id,parentId,{other}\n1,,\n2,1,\n3,,2\n")
    for content in contents:
        seen = read_bytes(content, RECORDS)
        wrong = [finding for finding in seen.findings if finding[1] == "error"]
        assert [finding[0] for finding in wrong] == ["ambiguous_parent_column"]
        assert seen.rows[wrong[0][2] - 1][0] == "3"
        assert f"its {other} is 2" in wrong[0][4]


def test_two_parents_that_do_not_contradict_are_a_warning() -> None:
    seen = read_bytes("id,parentId,parent\n1,,0\n2,1,Top\n", RECORDS)
    assert seen.codes("error") == []
    assert seen.codes() == ["ambiguous_parent_column"]
    assert read_bytes("id,parentId,parent\n1,,7\n2,1,\n", RECORDS, mapping={"parentId": "parentId"}).findings == []


# --- Names of other software ---


@pytest.mark.parametrize(
    ("header", "mapping"),
    [
        ("taxonID,parentNameUsageID,scientificName", {"taxonID": "id", "parentNameUsageID": "parentId"}),
        ("ID,post_title,post_parent", {"post_parent": "parentId"}),
        ("term_id,name,parent", {"term_id": "id", "parent": "parentId"}),
        ("Issue key,Summary,Parent", {"Issue key": "id", "Parent": "parentId"}),
        ("Id,Parent Account ID", {"Parent Account ID": "parentId"}),
        ("dn,cn,manager", {"dn": "id", "manager": "parentId"}),
        ("Class ID,Preferred Label,Parents", {"Class ID": "id", "Parents": "parentId"}),
        ("id,parent,text", {"parent": "parentId"}),
        ("id,parent_id/id,name", {"parent_id/id": "parentId"}),
        ("Unique ID,Task Name,Parent Unique ID", {"Unique ID": "id", "Parent Unique ID": "parentId"}),
        ("sys_id,name,parent", {"sys_id": "id", "parent": "parentId"}),
        ("employee_id,name,manager_id", {"employee_id": "id", "manager_id": "parentId"}),
    ],
)
def test_well_known_names_are_suggested(header: str, mapping: dict[str, str]) -> None:
    originals = header.split(",")
    error = missing_columns(mapped_names(originals, RECORDS), RECORDS, originals)
    assert error
    assert f"mapping={json.dumps(mapping)}" in error.hint
    assert probable_columns(originals, RECORDS) == mapping
    assert [row[:2] for row in read_bytes(f"{header}\n1{',' * header.count(',')}\n", RECORDS, mapping=mapping).rows] == [
        ("1", None)
    ]


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ("level1,level2,level3", '{"kind": "levels", "columns": ["level1", "level2", "level3"]}'),
        ("Ebene 1,Ebene 2,Wert", '{"kind": "levels", "columns": ["Ebene 1", "Ebene 2"]}'),
        ("id,path,name", '{"kind": "path", "column": "path", "separator": "/"}'),
        ("id,name,lft,rgt", '{"kind": "nested_set", "left": "lft", "right": "rgt"}'),
        ("id,name,Outline Level", '{"kind": "outline", "level": "Outline Level"}'),
    ],
)
def test_another_shape_is_suggested(header: str, shape: str) -> None:
    assert f"shape={shape}" in refusal(f"{header}\na{',b' * header.count(',')}\n").hint


# --- Repeated columns ---

LABELS = "id,parentId,Labels,Labels,Labels\n1,,web,urgent,\n2,1,,,\n"


def test_repeated_columns_of_the_rest_are_a_list() -> None:
    seen = read_bytes(LABELS, RECORDS)
    assert [json.loads(row[3]) for row in seen.rows] == [{"Labels": '["web","urgent"]'}, {}]
    assert seen.codes() == ["repeated_columns"]
    assert seen.summary.original_columns == ("id", "parentId", "Labels")


def test_repeated_columns_are_numbered_or_skipped_on_demand() -> None:
    seen = read_bytes(LABELS.replace("id,", "id,Labels 2,", 1).replace("1,,", "1,x,,").replace("2,1", "2,,1"), RECORDS,
        repeated_columns="number")  # fmt: skip
    assert json.loads(seen.rows[0][3]) == {"Labels": "web", "Labels 2": "x", "Labels 3": "urgent"}
    assert read_bytes(LABELS, RECORDS, mapping={"Labels": ""}).rows[0][3] == "{}"


def test_a_repeated_column_of_the_dataset_needs_the_option() -> None:
    content = "id,parentId,name,name\n1,,a,b\n"
    error = refusal(content)
    assert error.code == "duplicate_column"
    assert "repeated_columns=number" in error.hint
    assert read_bytes(content, RECORDS, repeated_columns="number").rows == [("1", None, "a", '{"name 2":"b"}')]
    assert read_bytes(content, RECORDS, repeated_columns="list").rows == [("1", None, '["a","b"]', "{}")]
    assert refusal("id,id,parentId\n1,2,\n", repeated_columns="list").code == "duplicate_column"


@given(st.lists(st.lists(st.sampled_from(["", "a", 'b"', "c,d"]), min_size=3, max_size=3), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_lists_have_what_the_columns_had(rows: list[list[str]]) -> None:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if text else ""

    lines = [",".join([str(n), "", *map(cell, row)]) for n, row in enumerate(rows)]
    seen = read_bytes("\n".join(["id,parentId,T,T,T", *lines]), RECORDS)
    kept = [json.loads(json.loads(row[3]).get("T", "[]")) for row in seen.rows]
    assert kept == [[text for text in row if text] for row in rows]


# --- The index of a data frame, and its numbers ---


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_index_is_left_out(first: int, name: str) -> None:
    seen = read_bytes(f"{name},id,parentId\n{first},7,\n{first + 1},8,7\n", RECORDS)
    assert seen.rows == [("7", None, None, "{}"), ("8", "7", None, "{}")]
    assert seen.codes() == ["index_column"]


def test_a_first_column_without_a_name_that_is_no_index_is_refused() -> None:
    content = ",id,parentId\n4,7,\n9,8,7\n"
    error = refusal(content)
    assert (error.code, str(error)) == ("malformed_row", "Column 1 has no name.")
    assert 'mapping={"": ""}' in error.hint
    assert read_bytes(content, RECORDS, mapping={"": ""}).rows[1][:2] == ("8", "7")


@pytest.mark.parametrize(
    ("ids", "parents", "read"),
    [
        (["1", "2", "3"], ["", "1.0", "2.0"], ["1", "2"]),
        (["1.0", "2.0", "3.0"], ["", "1.0", "2.00"], ["1", "2"]),
        (["1", "2", "3"], ["", "1.0", "2.5"], ["1.0", "2.5"]),
        (["1.0", "1.1", "2.0"], ["", "1.0", "1.0"], ["1.0", "1.0"]),
        (["1.0", "2.0", "3.0"], ["", "1", "2"], ["1", "2"]),
        (["a.0", "b", "c"], ["", "1.0", "1.0"], ["1.0", "1.0"]),
    ],
)
def test_whole_numbers_lose_their_decimals_only_if_all_are_whole(ids: list[str], parents: list[str], read: list[str]) -> None:
    content = "id,parentId\n" + "".join(f"{one},{other}\n" for one, other in zip(ids, parents, strict=True))
    seen = read_bytes(content, RECORDS)
    assert [row[1] for row in seen.rows] == [None, *read]
    changed = [row[:2] for row in seen.rows] != [(one, other or None) for one, other in zip(ids, parents, strict=True)]
    assert seen.codes() == (["whole_numbers"] if changed else [])


# --- A column that is called like that of the rest ---


def test_text_under_the_name_of_the_rest_goes_into_it() -> None:
    seen = read_bytes("id,parentId,attributes,x\n1,,red,y\n2,1,,\n", RECORDS)
    assert [json.loads(row[3]) for row in seen.rows] == [{"attributes": "red", "x": "y"}, {}]
    assert seen.codes() == ["matched_columns"]


def test_objects_under_the_name_of_the_rest_are_merged_and_a_mixture_is_refused() -> None:
    seen = read_bytes('[{"id":1,"parentId":null,"attributes":{"a":1},"b":"2"}]', RECORDS)
    assert json.loads(seen.rows[0][3]) == {"a": 1, "b": "2"}
    assert seen.findings == []
    seen = read_bytes('[{"id":1,"parentId":null,"attributes":{"a":1}},{"id":2,"attributes":"red"}]', RECORDS)
    assert seen.codes("error") == ["invalid_type"]
