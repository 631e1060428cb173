"""A form's fields are found by what they are called, however it is written, and those of other people are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.words import words
from app.sources.field_names import readings
from app.sources.item import Item
from tests.sources.test_mapping import DOCUMENTS, one

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("field_names.yaml").read_text("utf-8"))
UNREAD: dict[str, list[str]] = TABLE.pop("unread")
VALUES = {
    "email": "ana@acme.example",
    "phone": "+40721223344",
    "first_name": "Ana",
    "last_name": "Pop",
    "full_name": "Ana Pop",
    "company": "Acme Industries",
}


def rows(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(field, name) for field, names in table.items() for name in names]


def posted(**fields: str) -> Item:
    return one(urlencode(fields).encode(), DOCUMENTS["html-form"], content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize(("field", "name"), rows(TABLE))
def test_a_field_is_found_by_its_name_and_leaves_nothing_in_custom(field: str, name: str) -> None:
    other = {"phone": VALUES["phone"]} if field == "email" else {"email": VALUES["email"]}
    item = posted(**{name: VALUES[field], **other})
    assert item.person is not None
    assert item.person.fields[field] == VALUES[field]
    assert not item.custom


@pytest.mark.parametrize(("field", "name"), rows(UNREAD))
def test_a_field_of_another_person_or_thing_is_kept_in_custom_only(field: str, name: str) -> None:
    other = {"phone": "+40721000111"} if field == "email" else {"email": "jo@else.example"}
    item = posted(**{name: VALUES[field], **other})
    assert item.person is not None
    assert item.person.fields.get(field) in (None, other.get(field))


@given(
    st.sampled_from(rows(TABLE)),
    st.sampled_from(sorted(words("other_people"))),
    st.sampled_from(["[", "_", " ", "-", "."]),
)
def test_no_name_after_a_word_for_another_person_is_read(row: tuple[str, str], other: str, mark: str) -> None:
    field, name = row
    first, bracket, rest = name.partition("[")
    named = f"{other}[{first}]{bracket}{rest}" if mark == "[" else f"{other}{mark}{name}"
    item = posted(**{named: VALUES[field], "email": "jo@else.example", "phone": "+40721000111"})
    assert item.person is not None
    assert item.person.fields.get(field) != VALUES[field]


def test_a_name_as_written_is_preferred_to_one_that_is_shortened() -> None:
    item = posted(
        **{"input_email": "second@acme.example", "email-2": "third@acme.example", "work email": "first@acme.example"}
    )
    assert item.person is not None
    assert item.person.fields["email"] == "first@acme.example"


@pytest.mark.parametrize(
    "name",
    [
        "text-12",
        "menu-714",
        "input_3",
        "field_1",
        "checkbox-1",
        "wpforms[fields][2]",
        "textarea-902",
        "radio",
        "select",
        "form",
        "contact",
        "user",
        "lead",
        "your",
        "my",
        "q3",
        "1",
        "_1",
        "*",
        "(required)",
        "[]",
        "_",
        "-",
        "/",
        " ",
    ],
)
def test_a_field_whose_name_says_nothing_does_not_stop_the_others_from_being_read(name: str) -> None:
    item = posted(**{name: "x", "email-783": VALUES["email"]})
    assert item.person is not None
    assert item.person.fields["email"] == VALUES["email"]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=3).map(tuple))
def test_any_name_has_readings_and_none_of_them_is_empty(path: tuple[str, ...]) -> None:
    assert all(reading for group in readings(path) for reading in group)
