"""The parser of JSON request bodies."""

from __future__ import annotations

import time

import pytest

from app.errors import MalformedJson, RequestInvalid
from app.web.strict_json import parse_json


def test_a_duplicate_among_60000_members_is_found_in_linear_time() -> None:
    members = ",".join(f'"m{n}":1' for n in range(60_000))
    began = time.process_time()
    with pytest.raises(MalformedJson, match="twin"):
        parse_json(f'{{{members},"twin":1,"twin":2}}'.encode())
    assert time.process_time() - began < 5  # comparing each with each takes a minute


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9223372036854775808", "-9223372036854775809"]
)
def test_a_number_that_cannot_be_stored_is_refused_with_its_path(number: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        parse_json(f'{{"fields":{{"sizes":[1,{number}]}}}}'.encode())
    assert [(error["field"], error["code"]) for error in refused.value.members["errors"]] == [
        ("fields.sizes.1", "number_invalid")
    ]


@pytest.mark.parametrize(
    ("body", "field", "place"),
    [
        ('{"a":[1,{"b":"\\u0000"}]}', "a.1.b", "/a/1/b"),
        ('{"a.b":{"c/d":{"e~f":99999999999999999999}}}', "a.b.c/d.e~f", "/a.b/c~1d/e~0f"),
        ('{"a":{"\\ud800":1}}', "a", "/a"),
        ('["\\u0000"]', "0", "/0"),
        ('"\\u0000"', "body", ""),
        ('{"a":{"b":[' + "1," * 1000 + "1]}}", "a.b", "/a/b"),
    ],
)
def test_what_is_refused_has_its_place_as_a_json_pointer(body: str, field: str, place: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        parse_json(body.encode())
    assert [(error["field"], error["place"]) for error in refused.value.members["errors"]] == [(field, place)]


@pytest.mark.parametrize("sign", ["\n", "\r\n", "\t", "\x0b", "\x1f"])
def test_a_text_may_hold_a_raw_line_break_or_tab(sign: str) -> None:
    assert parse_json(f'{{"message":"one{sign}two"}}'.encode()) == {"message": f"one{sign}two"}


def test_a_raw_nul_is_refused_with_its_path() -> None:
    with pytest.raises(RequestInvalid, match="message"):
        parse_json(b'{"message":"one\x00two"}')


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_the_least_and_the_greatest_integer_of_64_bits_are_read(number: int) -> None:
    assert parse_json(f'{{"size":{number}}}'.encode()) == {"size": number}
