"""Lists as CSV: each row is an object by the names in the first row."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.csv_rows import csv_rows
from app.sources.document import Parse
from app.sources.parse import ParseFailed, parse_body
from app.sources.request import RawRequest
from tests.payloads.samples import NOW


def parsed(body: bytes, content_type: str = "text/csv", **parse: object) -> object:
    document = Parse.model_validate({"formats": ["csv"], **parse})
    return parse_body(document, RawRequest("POST", {"Content-Type": content_type}, "", body, NOW))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Name,Email\nAna,a@b.example\n", [{"Name": "Ana", "Email": "a@b.example"}]),
        ("Name;Email\r\nAna, Dr;a@b.example\r\n\r\n;\r\n", [{"Name": "Ana, Dr", "Email": "a@b.example"}]),
        ("Name\tEmail\nAna\ta@b.example", [{"Name": "Ana", "Email": "a@b.example"}]),
        ('"Name, full"|Email\nAna|a@b.example', [{"Name, full": "Ana", "Email": "a@b.example"}]),
        ('Name,Note\nAna,"says ""yes""\nand more"\n', [{"Name": "Ana", "Note": 'says "yes"\nand more'}]),
        ("Email,Email,\na,b,c,d", [{"Email": "a", "Email (2)": "b", "column 3": "c", "column 4": "d"}]),
        ("Name,Email\nAna", [{"Name": "Ana"}]),
        ("Id,Email\n000123,x", [{"Id": "000123", "Email": "x"}]),
        ("\n\nName,Email\n Ana , x ", [{"Name": "Ana", "Email": "x"}]),
        ("Name,Email\n", []),
        ("Note,Email\nfirst\u2028second,x", [{"Note": "first\u2028second", "Email": "x"}]),
    ],
)
def test_a_list_is_read_whatever_separates_its_columns(text: str, rows: list[dict[str, str]]) -> None:
    assert csv_rows(text) == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1250", "iso-8859-2"])
def test_a_list_is_read_in_the_character_set_that_it_has(encoding: str) -> None:
    body = "Name,Email\nStanisław Żak,x@y.example".encode(encoding)
    assert parsed(body, f"text/csv; charset={encoding}") == [{"Name": "Stanisław Żak", "Email": "x@y.example"}]


@pytest.mark.parametrize("body", [b"", b"just text", b'Name,Email\n"Ana', b"a" * 200_000 + b",b\n1,2" * 2])
def test_what_is_no_list_fails_with_a_reason(body: bytes) -> None:
    with pytest.raises(ParseFailed, match=r"^csv: \w+"):
        parsed(body)


@pytest.mark.parametrize(("rows", "fits"), [(5_000, True), (5_001, False)])
def test_a_list_has_at_most_five_thousand_rows(rows: int, fits: bool) -> None:
    text = "Id,Email\n" + "1,2\n" * rows
    if fits:
        assert len(csv_rows(text)) == rows
        return
    with pytest.raises(ValueError, match="row 5002"):
        csv_rows(text)


cells = st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(st.lists(cells.map(str.strip).filter(bool), min_size=2, max_size=4), min_size=1, max_size=5))
def test_what_a_spreadsheet_writes_is_read_back(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([["A", "B", "C", "D"], *rows])
    assert [list(row.values()) for row in csv_rows(written.getvalue())] == rows


@given(st.text(max_size=80))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        rows = csv_rows(text)
    except ValueError:
        return
    assert all(isinstance(row, dict) for row in rows)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("text/csv", [{"a": "1", "b": "x=2"}]), ("application/csv; header=present", [{"a": "1", "b": "x=2"}]), ("", None)],
)
def test_auto_reads_a_list_where_the_content_type_says_so(kind: str, rows: object) -> None:
    found = parsed(b"a,b\n1,x=2", kind, formats=["auto"])
    assert found == (rows or {"a,b\n1,x": "2"})
