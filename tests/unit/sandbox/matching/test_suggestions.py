"""What the columns of a file are suggested to be, by their names and by their values, and which dataset is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import InvalidRequest
from pipeline.sandbox import preview_file
from tests.support.matching import ACCOUNTS, ORG_CHART, PRODUCTS, TAXA, Look, looker, matched, offered, workbook


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return looker(tmp_path)


def test_an_org_chart_with_titles_names_and_totals(look: Look) -> None:
    seen = look(workbook())
    assert (seen.dataset, seen.header_row, seen.sheets, seen.records) == ("records", 4, ("Staff",), 8)
    assert matched(seen) == {
        "Employee No": "id by synonym",
        "Full name": "name by synonym",
        "Manager": "parentId by synonym",
        "Job title": None,
        "Salary": None,
    }
    manager = seen.matches[2]
    assert manager.reason == (
        '"Manager" is a name for the parent (English). 50 % of its values are IDs in this file (Employee No).'
    )
    assert manager.samples == ("1001", "Ada Lind", "1002")
    assert seen.first_rows[0].cells[0] == "Staff list of the northern branch" and seen.first_rows[2].row == 4
    used = {one.option: one.value for one in seen.offers if one.is_used}
    assert used == {"header_row": 4}
    assert offered(seen) == {"header_row": 4, "parent_by": "id,name", "clean": {"skip_totals": True}}
    assert next(one.rows for one in seen.offers if one.option == "clean") == (12,)
    assert seen.tree and [(one.kind, one.value, one.cell) for one in seen.tree.misfits] == [
        ("missing_parent", "Ada Lind", "C7"),
        ("missing_parent", "Ben Okafor", "C9"),
        ("missing_parent", "Cleo Marsh", "C10"),
    ]


def test_an_org_chart_with_its_offers_accepted_is_one_tree(look: Look) -> None:
    seen = look(workbook(), clean={"skip_totals": True}, parent_by="id,name")
    tree = seen.tree
    assert tree and (tree.records, tree.roots, tree.levels, tree.children_most, tree.misfits) == (7, 1, 3, 2, ())
    assert [(one.level, one.id, one.name, one.children) for one in tree.nodes[:3]] == [
        (1, "1001", "Ada Lind", 2),
        (2, "1002", "Ben Okafor", 2),
        (3, "1004", "Dan Roy", 0),
    ]
    assert not seen.would_reject
    assert [one.option for one in seen.offers] == ["header_row"]


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        (PRODUCTS, ["id by synonym", "parentId by synonym", "name by synonym", None]),
        (TAXA, ["id by synonym", "parentId by synonym", "name by synonym", None]),
        (ACCOUNTS, ["id by synonym", "name by synonym", "parentId by synonym"]),
    ],
    ids=["products", "taxa", "accounts"],
)
def test_files_of_other_software(look: Look, body: str, columns: list[str | None]) -> None:
    seen = look(body)
    assert seen.dataset == "records"
    assert [*matched(seen).values()] == columns
    assert seen.tree and (seen.tree.records, seen.tree.roots, seen.tree.problem) == (3, 1, "")
    assert not seen.would_reject


LANGUAGES = {
    "en": ("Staff No", "Reports To", "Full name"),
    "de": ("Personalnummer", "Vorgesetzter", "Bezeichnung"),
    "fr": ("Matricule", "Responsable hiérarchique", "Nom complet"),
    "es": ("Número de empleado", "Jefe directo", "Nombre completo"),
    "it": ("Matricola", "Responsabile", "Nominativo"),
    "pt": ("Matrícula", "Gestor", "Nome completo"),
    "nl": ("Personeelsnummer", "Leidinggevende", "Volledige naam"),
    "pl": ("Numer pracownika", "Przełożony", "Imię i nazwisko"),
    "zh": ("员工编号", "直属主管", "姓名"),
    "ja": ("社員番号", "上司", "氏名"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_header_in_another_language(look: Look, language: str) -> None:
    key, parent, name = LANGUAGES[language]
    seen = look(f"{name},{parent},{key}\nAda,,1\nBen,1,2\nCleo,1,3\n")
    assert matched(seen) == {name: "name by synonym", parent: "parentId by synonym", key: "id by synonym"}


def test_columns_without_a_telling_name_are_recognised_by_their_values(look: Look) -> None:
    seen = look("a,b,c,n\nx1,,First,1\nx2,x1,Second,1\nx3,x1,Third,2\nx4,x2,Fourth,2\n")
    assert matched(seen) == {"a": "id by content", "b": "parentId by content", "c": None, "n": None}
    assert seen.matches[0].reason == "Its 4 values are unique."
    assert seen.matches[1].reason == "All of its values are IDs in this file (a)."
    assert seen.tree and (seen.tree.label, seen.tree.nodes[0].name) == ("c", "First")


def test_of_two_columns_that_could_be_the_id_the_one_that_parents_lie_in_is_taken(look: Look) -> None:
    seen = look("Code,SKU,Parent\n1,A,\n2,B,A\n3,C,A\n")
    assert matched(seen) == {"Code": None, "SKU": "id by synonym", "Parent": "parentId by synonym"}
    even = look("Code,SKU,Parent\n1,A,\n2,B,\n3,C,\n")
    assert matched(even)["Code"] == "id by synonym" and '"SKU" would fit as well.' in even.matches[0].reason


def test_numbers_are_not_parents_by_their_values_alone(look: Look) -> None:
    assert "parentId by content" not in matched(look("id,rank,price\n1,1,2.5\n2,1,3.5\n3,2,1.5\n")).values()


def test_parents_by_name_only(look: Look) -> None:
    seen = look("id,parentId,name\n1,,Europe\n2,Europe,France\n3,France,Paris\n")
    assert offered(seen) == {"parent_by": "name"}
    again = look("id,parentId,name\n1,,Europe\n2,Europe,France\n3,France,Paris\n", parent_by="name")
    assert again.tree and (again.tree.levels, again.tree.misfits) == (3, ()) and "parent_by" not in offered(again)


def test_values_that_mean_nothing_are_offered_as_such(look: Look) -> None:
    seen = look("id,parentId,name,born\n1,0,Ada,n/a\n2,1,Ben , 1980\n3,1,Cleo,-\n")
    assert offered(seen)["no_parent_values"] == ["0"]
    assert [one.value for one in seen.offers if one.option == "clean"] == [
        {"null_values": {"value": ["-", "n/a"], "columns": ["born"]}},
        {"trim": True},
    ]
    options = {"no_parent_values": ("0",), "clean": {"trim": True, "null_values": {"value": ["-"], "columns": ["born"]}}}
    accepted = look("id,parentId,name,born\n1,0,Ada,n/a\n2,1,Ben , 1980\n", **options)
    assert accepted.offers == () and accepted.tree and accepted.tree.roots == 1


def test_a_mapping_that_is_given_is_followed(look: Look) -> None:
    seen = look(PRODUCTS, mapping={"Title": "id", "SKU": ""})
    assert (seen.matches[2].suggested, seen.matches[2].is_given, seen.matches[0].suggested) == ("id", True, "")
    assert seen.tree and {one.kind for one in seen.tree.misfits} == {"missing_parent"}
    with pytest.raises(InvalidRequest, match="cannot be mapped"):
        look(PRODUCTS, "records", mapping={"Title": "nonsense"})


def test_the_dataset_that_fits_best(look: Look) -> None:
    seen = look("id,parentId,name,kind,flag\nFR,,France,Country,x\nFR-75,FR,Paris,Department,y\n")
    assert [one.dataset for one in seen.datasets] == ["places", "records"]
    assert (seen.dataset, seen.datasets[0].matched, seen.datasets[0].required, seen.datasets[0].columns) == ("places", 4, 4, 5)
    taxa = look(TAXA)
    assert [(one.dataset, one.unfit) for one in taxa.datasets] == [("records", ()), ("places", ("taxonID",))]
    assert look(TAXA, "places").dataset == "places", "what is asked for comes first"


def test_a_file_that_fits_no_dataset(look: Look) -> None:
    seen = look("colour,size\nred,5\nred,6\n")
    assert (seen.dataset, seen.tree, seen.takes, seen.would_reject) == (None, None, (), ())
    assert [one.missing[-1] for one in seen.datasets] == ["parentId", "kind"]
    levels = look("level1,level2\nEurope,France\nEurope,Spain\n")
    assert offered(levels)["shape"] == {"kind": "levels", "columns": ["level1", "level2"]}
    assert look("level1,level2\nEurope,France\n", shape=offered(levels)["shape"]).dataset == "records"


def test_the_sheet_with_known_columns_is_read(look: Look) -> None:
    seen = look(workbook(ORG_CHART[3:6], Cover=[["Made for the board"], ["by the office"]]))
    assert (seen.sheet, seen.sheets, seen.header_row) == ("Staff", ("Cover", "Staff"), 1)
    assert [(one.value, one.is_used) for one in seen.offers if one.option == "sheet"] == [("Staff", True), ("Cover", False)]


def test_a_text_with_titles_above_an_unknown_header(look: Look) -> None:
    seen = look("Products of spring\n\nSKU;Parent SKU;Title\nA;;Chairs\nB;A;Red chair\n")
    assert (seen.header_row, seen.delimiter, seen.records) == (3, ";", 2)
    assert [one.row for one in seen.first_rows] == [1, 3, 4, 5]


def test_what_would_certainly_be_rejected(look: Look) -> None:
    rows = ("FR,,France,Country,250", "DE,,Germany,Country,x", "AA,BB,A,Country,", "BB,AA,B,Country,")
    body = "\n".join(("id,parentId,name,kind,numeric_code", *rows)) + "\n"
    seen = look(body, "places")
    assert [(one.code, one.row, one.column, one.cell) for one in seen.would_reject] == [
        ("invalid_type", 3, "numeric_code", "E3"),
        ("circular_reference", 4, None, "B4"),
        ("circular_reference", 5, None, "B5"),
    ]
    lacking = look("id,name\nFR,France\n", "places").would_reject
    assert [one.code for one in lacking] == ["missing_column"]


def test_an_installations_own_words(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    (root / "synonyms.toml").write_text(
        '[ours]\ntitle = "our words"\nid = ["Glub"]\nparent = ["Unter Glub"]\n', encoding="utf-8"
    )
    own = Dataset(**{**_fields(load_dataset("records")), "name": "own", "root": root})
    seen = looker(tmp_path, own)("Glub,Unter Glub\n1,\n2,1\n", "own")
    assert matched(seen) == {"Glub": "id by synonym", "Unter Glub": "parentId by synonym"}
    assert "(our words)" in seen.matches[0].reason


def _fields(dataset: Dataset) -> dict[str, object]:
    return {name: getattr(dataset, name) for name in Dataset.__dataclass_fields__}


def test_hostile_names_are_only_names(look: Look) -> None:
    name = '"); drop table raw; --<script>'
    quoted = name.replace('"', '""')
    seen = look(f'"{quoted}",id,parentId\nx,1,\ny,2,1\n')
    assert seen.columns[0].name == name and seen.tree and seen.tree.records == 2
    assert json.dumps([one.reason for one in seen.matches])


def test_a_text_that_was_sent_whole_is_measured_whole_if_it_is_not_too_long(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "id,parentId\n" + "".join(f"{n},\n" for n in range(1, 2001))
    seen = look(body)
    assert (seen.records, seen.is_whole) == (2000, True)
    monkeypatch.setattr(preview_file, "WHOLE_TEXT_BYTES", 1000)
    cut = look(body)
    assert cut.records < 500 and not cut.is_whole
