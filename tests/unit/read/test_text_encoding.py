"""Encodings: a text that is not UTF-8 is refused with the likely ones named, and read in the one that an upload says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidRequest, Unreadable
from pipeline.read.containers.likely_encodings import likely_encodings
from pipeline.read.containers.text_encoding import asked_mark, checked_encoding, decoded

LIKELIEST = [
    ("shift_jis", "1,,東京\n2,1,大阪\n"),
    ("shift_jis", "1,,マウス\n2,1,キーボード\n"),
    ("gb18030", "1,,北京市\n2,1,上海市浦东新区\n3,1,黑龙江\n"),
    ("big5", "1,,臺北市\n2,1,電子產品\n"),
    ("euc_kr", "1,,서울특별시\n2,1,전자제품\n"),
    ("windows-1252", "1,,café\n2,1,Zürich\n"),
    ("windows-1250", "1,,Książki\n2,1,Żywność\n"),
    ("windows-1251", "1,,Москва\n2,1,Санкт-Петербург\n"),
    ("windows-1253", "1,,Ευρώπη\n2,1,Γαλλία\n"),
    ("windows-1254", "1,,Şanlıurfa\n2,1,Iğdır\n"),
    ("windows-1256", "1,,أوروبا\n2,1,فرنسا\n"),
    ("cp866", "1,,Москва\n2,1,Санкт-Петербург\n"),
]


@pytest.mark.parametrize(("name", "text"), LIKELIEST)
def test_the_likeliest_encoding_comes_first(name: str, text: str) -> None:
    found = likely_encodings(f"id,parentId,name\n{text}".encode(name))
    assert found[0].name == name
    assert sum(one.percent for one in found) <= 101


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def test_shift_jis_is_never_called_windows_1252() -> None:
    with pytest.raises(Unreadable) as caught:
        list(decoded(pieces("id,name\n1,東京\n".encode("shift_jis"), 7), "utf-8"))
    assert (caught.value.code, caught.value.line) == ("invalid_encoding", 2)
    assert "Shift-JIS" in str(caught.value)
    assert "1252" not in str(caught.value)
    assert "encoding=shift_jis" in caught.value.hint


def test_an_encoding_is_any_that_python_has_for_texts() -> None:
    assert [checked_encoding(name) for name in (None, "UTF8", "Shift-JIS", "windows-1252")] == [
        None,
        "utf-8",
        "shift-jis",
        "cp1252",
    ]
    for wrong in ("shiftjis2", "base64", "rot13", "idna", "", "../x", "no\0pe"):
        with pytest.raises(InvalidRequest):
            checked_encoding(wrong)
    with pytest.raises(InvalidRequest, match="shift_jis"):
        checked_encoding("shift_jiss")


def test_a_byte_order_mark_that_says_otherwise_is_refused() -> None:
    assert asked_mark(b"\xff\xfea\0", "utf-16") == ("utf-16-le", b"\xff\xfe")
    with pytest.raises(Unreadable, match="byte order mark of UTF-8"):
        asked_mark(b"\xef\xbb\xbfid", "cp1252")


def test_a_wrong_byte_is_named_with_its_line() -> None:
    with pytest.raises(Unreadable, match="Line 3 contains the bytes 81, which are not cp1252"):
        list(decoded(pieces(b"id\n1\n\x81\n", 2), "cp1252", True))
    with pytest.raises(Unreadable, match="middle of a character"):
        list(decoded(pieces("id\n東".encode("shift_jis")[:-1], 3), "shift_jis", True))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "é", "東", "\n", "я", "中", "€", "\r\n"]), max_size=20).map("".join),
    st.sampled_from(
        ["shift_jis", "gb18030", "big5", "cp1252", "koi8_r", "utf-16-le", "utf-16", "euc_jp", "iso2022_jp", "utf-7"]
    ),
    st.integers(1, 9),
)
def test_texts_are_decoded_as_python_decodes_them_at_once(text: str, encoding: str, size: int) -> None:
    content = text.encode(encoding, "ignore")
    try:
        expected = content.decode(encoding)
    except UnicodeDecodeError:
        expected = ""
    assert b"".join(decoded(pieces(content, size), encoding, True)).decode() == expected
