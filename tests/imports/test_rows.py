"""The rows of a CSV are read as a spreadsheet program reads them, whatever the pieces in which its bytes arrive."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ListInvalid
from app.imports import rows as module
from app.imports.rows import Row, RowReader
from app.web.cells import as_text, without_mark


def read(data: bytes, *, pieces: int = 0, **options: Any) -> list[Row]:
    reader = RowReader(**options)
    size = pieces or len(data) or 1
    found = [row for start in range(0, len(data), size) for row in reader.feed(data[start : start + size])]
    return [*found, *reader.close()]


def cells(data: bytes | str, **options: Any) -> list[dict[str, str]]:
    return [row.cells for row in read(data.encode() if isinstance(data, str) else data, **options)]


ANA = {"Name": "Ana Țepeș", "City": "Łódź"}
LISTS: dict[str, bytes] = {
    "UTF-8": "Name,City\nAna Țepeș,Łódź\n".encode(),
    "with a byte order mark": "\ufeffName,City\r\nAna Țepeș,Łódź\r\n".encode(),
    "semicolons": "Name;City\nAna Țepeș;Łódź".encode(),
    "tabs": "Name\tCity\nAna Țepeș\tŁódź\n".encode(),
    "bars": "Name|City\nAna Țepeș|Łódź\n".encode(),
    "UTF-16 with a byte order mark, as Excel's Unicode text": "Name\tCity\r\nAna Țepeș\tŁódź\r\n".encode("utf-16"),
    "UTF-16 without one": "Name,City\r\nAna Țepeș,Łódź\r\n".encode("utf-16-le"),
    "UTF-32": "Name,City\r\nAna Țepeș,Łódź\r\n".encode("utf-32"),
    "line ends of old Macs": "Name,City\rAna Țepeș,Łódź\r".encode(),
    "empty rows before, between and after": "\n\n,,\nName,City\n\n , \nAna Țepeș,Łódź\n,\n".encode(),
    "all cells in quotation marks": '"Name","City"\n"Ana Țepeș","Łódź"\n'.encode(),
    "the line that tells Excel the delimiter": "sep=;\r\nName;City\r\nAna Țepeș;Łódź\r\n".encode(),
    "columns without name or content at the end": "Name,City,,\nAna Țepeș,Łódź,,,,\n".encode(),
    "names with blanks and line breaks": '" Name ","City\n"\nAna Țepeș,Łódź\n'.encode(),
    "a row without its last cell": "Name,City,Notes\nAna Țepeș,Łódź\n".encode(),
}


@pytest.mark.parametrize("data", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("pieces", [0, 1, 3, 7])
@pytest.mark.parametrize("sample", [1, module.SAMPLE])
def test_a_list_is_read_in_any_form_and_in_any_pieces(
    data: bytes, pieces: int, sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE", max(sample, 40))
    assert cells(data, pieces=pieces) == [ANA]


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("windows-1250", "Łukasz Źrebięć"),
        ("iso-8859-2", "Łukasz Źrebięć"),
        ("windows-1251", "Иван Щукин"),
        ("koi8-r", "Иван Щукин"),
        ("windows-1254", "Şükrü Ağaoğlu"),
        ("iso-8859-1", "Müller"),
        ("utf-16", "Łukasz"),
        ("iso-2022-jp", "山田"),
    ],
)
def test_a_declared_character_set_is_used(codec: str, text: str) -> None:
    found = read(f"Name,Stadt\n{text},x\n".encode(codec), declared=codec)
    assert [(row.cells["Name"], row.guessed) for row in found] == [(text, False)]


def test_each_row_is_decoded_by_itself_and_a_guess_is_marked() -> None:
    data = "Name,City\nŻaneta,x\n".encode() + "Müller,x\n".encode("cp1252") + b"Bob,x\n"
    assert [(row.cells["Name"], row.guessed) for row in read(data)] == [
        ("Żaneta", False),
        ("Müller", True),
        ("Bob", False),
    ]


def test_quoted_cells_hold_delimiters_line_breaks_and_quotation_marks() -> None:
    text = 'Name,Notes\nAna,"first, second\r\nthird ""hot"" lead"\nBob,5" pipe\n'
    assert [row["Notes"] for row in cells(text)] == ['first, second\r\nthird "hot" lead', '5" pipe']


def test_rows_have_the_numbers_that_a_spreadsheet_program_shows() -> None:
    text = 'Name,Notes\n\nAna,"two\nlines"\n\nBob,\n'
    assert [row.number for row in read(text.encode())] == [3, 5]


def test_names_that_repeat_or_are_missing_stay_apart() -> None:
    text = "Email,Email,,Email (2),email\na,b,c,d,e\n"
    assert cells(text) == [{"Email": "a", "Email (2)": "b", "column 3": "c", "Email (2) (2)": "d", "email": "e"}]


def test_a_row_with_more_cells_than_columns_is_marked_and_keeps_them() -> None:
    wrong, right = read(b"Name,Company,Opt in\nAna,Example AG, Werk 2,Y\nBob,Acme,Y,,\n")
    assert wrong.fault is not None
    assert "4 cells" in wrong.fault
    assert wrong.cells == {"Name": "Ana", "Company": "Example AG", "Opt in": " Werk 2", "column 4": "Y"}
    assert (right.fault, right.cells["Opt in"]) == (None, "Y")


def test_the_row_of_names_may_be_a_later_one() -> None:
    text = 'Attendee report\nTopic,Date\n"Demo",2026\nName,Email\nAna,ana@x.example\n'
    assert cells(text, header_row=4) == [{"Name": "Ana", "Email": "ana@x.example"}]


def test_the_columns_of_our_file_of_errors_are_left_out_and_its_apostrophes_taken_off() -> None:
    text = "Import row,Import error,Phone,Name\n7,identity_required,'+40 21 555,'Ann'\n"
    assert cells(text) == [{"Phone": "+40 21 555", "Name": "'Ann'"}]


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_marked_as_text_and_read_without_the_mark(
    beginning: str,
) -> None:
    typed = f"{beginning}1"
    assert as_text(typed) == f"'{typed}"
    assert without_mark(f"'{typed}") == typed
    for other in ("", "'", f"1{beginning}1", f" {beginning}1", f"''{typed}"):
        assert (as_text(other), without_mark(other)) == (other, other)


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "row 1", "names_missing"),
    "empty rows": (b"\n , \n", "row 1", "names_missing"),
    "no row of names": (b"Ana,ana@x.example\nBob,bob@x.example\n", "row 1", "names_missing"),
    "a quotation mark that is not closed": (b'Name,City\nAna,"Cluj\nBob,Iasi\n', "row 2", "quote_not_closed"),
    "a cell without end": (b'Name,City\nAna,x\nBob,"' + b"x,y\n" * 50_000, "row 3", "cell_too_long"),
    "a row without end": (b"Name,City\n" + b"x," * 900_000, "row 2", "row_too_long"),
    "too many columns": (b"x;" * 501 + b"\n", "row 1", "too_many_columns"),
}


@pytest.mark.parametrize(("data", "field", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("pieces", [0, 65_536])
def test_what_is_no_list_is_refused_with_the_row(data: bytes, field: str, code: str, pieces: int) -> None:
    with pytest.raises(ListInvalid) as refused:
        read(data, pieces=pieces)
    (fault,) = refused.value.members["errors"]
    assert (fault["field"], fault["code"]) == (field, code)


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1f"), max_size=12).map(
    lambda text: text.lstrip("'")
)


@given(
    rows=st.lists(
        st.lists(CELL, min_size=3, max_size=3).filter(lambda row: any(cell.strip() for cell in row)), max_size=8
    ),
    delimiter=st.sampled_from(",;\t|"),
    ends=st.sampled_from(["\n", "\r\n"]),
    pieces=st.integers(1, 200),
)
def test_what_is_written_as_csv_is_read_as_it_was(
    rows: list[list[str]], delimiter: str, ends: str, pieces: int
) -> None:
    text = io.StringIO()
    written = csv.writer(text, delimiter=delimiter, lineterminator=ends, quoting=csv.QUOTE_ALL)
    written.writerows([["one", "two", "three"], *rows])
    found = cells(text.getvalue(), pieces=pieces, delimiter=delimiter)
    assert found == [{n: c for n, c in zip(["one", "two", "three"], row, strict=True) if c} for row in rows]


@given(st.binary(max_size=400), st.integers(1, 60))
def test_no_bytes_raise_anything_but_a_problem_and_pieces_change_nothing(data: bytes, pieces: int) -> None:
    def outcome(size: int) -> Any:
        try:
            return read(data, pieces=size)
        except ListInvalid as refused:
            return refused.members["errors"]

    assert outcome(pieces) == outcome(0)
