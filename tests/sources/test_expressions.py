"""Compiled expressions give the same results as the JMESPath library; mapping functions accept any input."""

from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sources.expressions import Context, ExpressionFailed, compiled, is_literal
from app.sources.functions import MappingFunctions

BODY: dict[str, Any] = {
    "a": {"b": [{"c": 1, "d": None}, {"c": 2, "d": "x"}, 7, None], "e": ""},
    "n": 0,
    "f": False,
    "t": "text",
    "l": [[1, 2], [3], 4, []],
    "hyphen-key": {"1.3": "v"},
    "z": {},
    "m": [3, 1, 2],
}
EXPRESSIONS = """
a.b | a.b[0].c | a.b[-1] | a.b[9] | a.b[-9] | a.b[*].c | a.b[].c | a.b[?c==`2`].d | a.b[?c!=`2`] | a.b[?c>`1`].c
a.b[?d].c | f && t | !f | !n | !t | !(a.e) | l[] | l[][] | l[*][0] | l[1:] | l[::-1] | a.b[?c && d].d | a.b[?!d]
a.* | a.b[*].[c, d] | a.b[*].{x: c, y: d} | q.{x: a} | q.[a] | t.x | @ | `{"k": [1]}` | 'raw' | "hyphen-key"."1.3"
length(m) | sort(m) | max_by(a.b[:2], &c).c | keys(@) | not_null(q, f, t) | contains(t, 'ex') | join('-', ['a', t])
m[?@ > `1`] | map(&c, a.b) | n == `false` | n == `0` | n == f | a.b && t | n > f
"""


PIPED = [
    "a.b[?c==`2`] | [0].d",
    "a.b[?c] | [0]",
    "l | [0] | [1]",
    "a.e || t",
    "f || n",
    "z || t",
    "n || t",
    "z || `[]`",
]


def expressions() -> list[str]:
    return [part.strip() for line in EXPRESSIONS.splitlines() for part in line.split(" | ") if part.strip()]


@pytest.mark.parametrize("expression", [*expressions(), *PIPED])
def test_an_expression_gives_the_same_result_as_the_library(expression: str) -> None:
    assert Context(BODY).evaluate(expression) == jmespath.search(expression, BODY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d", "t"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON, expression=st.sampled_from(expressions() + PIPED))
def test_an_expression_gives_the_same_result_as_the_library_on_any_value(value: Any, expression: str) -> None:
    try:
        wanted = jmespath.search(expression, value)
    except jmespath.exceptions.JMESPathError:
        with pytest.raises(ExpressionFailed):
            Context(value).evaluate(expression)
    else:
        assert Context(value).evaluate(expression) == wanted


OURS = sorted(set(MappingFunctions.FUNCTION_TABLE) - set(jmespath.functions.Functions.FUNCTION_TABLE))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(OURS), values=st.lists(JSON, min_size=4, max_size=4))
def test_mapping_functions_take_any_value(name: str, values: list[Any]) -> None:
    arguments = MappingFunctions.FUNCTION_TABLE[name]["signature"]
    call = f"{name}({', '.join(f'[{place}]' for place in range(len(arguments)))})"
    Context(values).evaluate(call)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pairs(rows, 'k', 'v')", {"Name": "Ana", "Why?": "a", "Why? (2)": "b"}),
        ("answer(rows, 'k', 'v', 'NAME')", "Ana"),
        ("answer(rows, 'k', 'v', 'wh')", "a"),
        ("answer(rows, 'k', 'v', 'am')", "Ana"),
        ("answer(rows, 'k', 'v', 'zzz')", None),
        ("labelled(rows, 'k', 'v', 'nothing|empty|NÁME')", "Ana"),
        ("labelled(rows, 'k', 'v', 'nam')", None),
        ("first(list)", 1),
        ("first(`[]`)", None),
        ("text(`true`)", "true"),
        ("json('{\"a\": [1]}')", {"a": [1]}),
        ("json('{')", None),
        ("urlq('https://x.example/?utm_source=a%20b', 'utm_source')", "a b"),
        ("lines(multi, '=')", {"first": "Jane", "last": "D=e"}),
        ("split('||a||b||', '||')", ["a", "b"]),
        ("path(dotted, '1.3')", "v"),
        ("path(@, 'dotted.1')", None),
        ("obj_values(wrapped)", {"a": 1, "c": "plain"}),
        ("typed({type: 'choice', choice: {other: 'x'}})", "x"),
        ("choices({value: ['1', '9'], options: [{id: '1', text: 'One'}]})", ["One", "9"]),
        (
            'choices({value: `[1, 0, 9]`, options: `[{"id": 0, "text": "Nil"}, {"id": "1", "name": "One"}]`})',
            ["One", "Nil", 9],
        ),
        ('choices({value: `0`, options: `[{"id": 0, "text": "Nil"}]`})', "Nil"),
        ('choices({value: `true`, options: `[{"id": 1, "text": "One"}]`})', True),
        ('choices({value: [\'1\'], options: `[{"id": 1, "text": null}]`})', ["1"]),
        ('choices({value: `1`, options: `[{"id": 1, "text": {"a": 1}, "name": "One"}]`})', "One"),
        (
            "titled([{type: 'x', x: `[2]`, field: {id: `7`}}], [{id: '7', title: 'Size', "
            "options: [{id: `2`, text: 'Big'}]}])[0].[key, value]",
            ["Size", ["Big"]],
        ),
        (
            "subfields(form, ', ')",
            [
                {"key": "5", "parts": {"1": "Street 1", "3": "Łódź", "10": 7}, "value": "Street 1, Łódź, 7"},
                {"key": "2", "parts": {"1": "", "2": None}, "value": ""},
            ],
        ),
        ("subfields(rows, ', ')", []),
    ],
)
def test_a_mapping_function_returns_what_its_docstring_says(expression: str, expected: Any) -> None:
    body = {
        "rows": [
            {"k": "Name", "v": "Ana"},
            {"k": "Why?", "v": "a"},
            {"k": "Why?", "v": "b"},
            {"k": "empty", "v": ""},
            5,
        ],
        "list": [1, 2],
        "multi": "first = Jane\nlast = D=e\nx",
        "dotted": {"1.3": "v"},
        "form": {
            "5.10": 7,
            "5.3": "Łódź",
            "5": "x",
            "5.": "x",
            "a.1": "x",
            "1.2.3": "x",
            "5.1": "Street 1",
            "2.1": "",
            "2.2": None,
        },
        "wrapped": {"a": {"value": 1}, "b": {"value": ""}, "c": "plain"},
    }
    assert Context(body).evaluate(expression) == expected


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("demo_request", True),
        ("item", False),
        ("item.type", False),
        ("'form_fill'", False),
        ("https://x.example/a", True),
        ("I agree (see terms)", True),
        ("text(item)", False),
    ],
)
def test_a_bare_word_and_invalid_jmespath_are_literals(text: str, literal: bool) -> None:
    assert is_literal(text) is literal


def test_an_expression_has_a_maximum_length() -> None:
    with pytest.raises(ValueError, match="at most"):
        compiled("a" * 5_000)
