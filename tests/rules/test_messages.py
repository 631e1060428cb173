"""What is said of a faulty policy: in plain words, once for each place, and never with the name of a class."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle import answer
from app.policy import (
    actions,
    clocks,
    conditions,
    document,
    field_word,
    likelihood,
    opportunity,
    person_words,
    routes,
    scoring,
    words,
)
from app.policy.fault import Fault
from app.policy.read import read, read_document
from app.web.examples import POLICY
from tests.rules.make import POLICIES
from tests.rules.make import document as document_of

MODULES: tuple[ModuleType, ...] = (
    *(actions, answer, clocks, conditions, document, field_word, likelihood, opportunity, person_words, routes),
    *(scoring, words),
)
CLASSES = {name for module in MODULES for name, _ in inspect.getmembers(module, inspect.isclass)}
# Words of Python that no author of a policy knows; `Any` and `Name` are left out, since sentences begin with them.
NAMES = (CLASSES | {"NoneType", "tuple", "dict", "str", "int", "bool", "datetime", "pydantic"}) - {"Any", "Name", "Cap"}
NAMED = re.compile(rf"(?<![`'\w])({'|'.join(sorted(NAMES))})(?![`'\w])")
CORRECT = [action.name for action in POLICIES["pipeline"].actions].index("correct")
VALUES: st.SearchStrategy[object] = st.sampled_from(
    [
        *(None, True, 0, -1, 101, 7.5, 10**12, "", "x", "Bad Name", "open", [], [None], ["x", "x"], [1], {}, {"x": 1}),
        *({"all": []}, {"fit": {}}, {"field": "employees", "is": "many"}, {"when": {}}, ["mql", 5], [{}], {"if": {}}),
    ]
)


@given(st.sampled_from(sorted(POLICIES)), VALUES, st.data())
def test_no_fault_of_a_changed_policy_names_a_class_and_none_repeats_one_inside(
    name: str, value: object, data: st.DataObject
) -> None:
    changed = document_of(POLICIES[name])
    node: Any = changed
    while True:
        steps = list(node) if isinstance(node, dict) else list(range(len(node)))
        step = data.draw(st.sampled_from(steps))
        if not isinstance(node[step], dict | list) or not node[step] or data.draw(st.integers(0, 3)) == 0:
            change = data.draw(st.sampled_from(["replace", "remove", "add"]))
            if change == "replace":
                node[step] = value
            elif change == "remove":
                del node[step]
            elif isinstance(node, dict):
                node["odd"] = value
            else:
                node.append(value)
            break
        node = node[step]
    found = read_document(changed)
    if not isinstance(found, list):
        return
    for fault in found:
        assert NAMED.search(fault.detail) is None, fault
        assert NAMED.search(fault.place.replace("/", " ")) is None, fault
        assert fault.detail.strip()
    if all(fault.code == "invalid" for fault in found):
        places = sorted(fault.place for fault in found)
        assert len(places) == len(set(places))
        assert not any(inner.startswith(outer + "/") for outer, inner in pairwise(places)), places


def told(pointer: tuple[str | int, ...], value: object) -> list[tuple[str, str]]:
    changed = document_of(POLICIES["pipeline"])
    node: Any = changed
    for step in pointer[:-1]:
        node = node[step]
    node[pointer[-1]] = value
    found = read_document(changed)
    return [(fault.place, fault.detail) for fault in found] if isinstance(found, list) else []


@pytest.mark.parametrize(
    ("pointer", "value", "expected"),
    [
        (
            ("scoring", "decay"),
            [{"to_day": 30, "percent": 101}],
            [("/scoring/decay/0/percent", "write 100 or less")],
        ),
        (("actions", 0, "from"), 5, [("/actions/0/from", "write 'open', or write a list: values, in square brackets")]),
        (("actions", 1, "from"), ["suspect", 5], [("/actions/1/from/1", "write text, between quotation marks")]),
        (
            ("actions", CORRECT, "needs"),
            ["note", "correction_of", "correction_of", "to"],
            [(f"/actions/{CORRECT}/needs/2", "`correction_of` is used more than once")],
        ),
    ],
)
def test_a_wrong_value_is_told_once_and_where_it_stands(
    pointer: tuple[str | int, ...], value: object, expected: list[tuple[str, str]]
) -> None:
    assert told(pointer, value) == expected


def test_a_date_that_yaml_makes_of_a_text_is_told_without_the_name_of_its_type() -> None:
    found = read("title: 2026-01-01")
    assert found == [Fault("/title", "invalid", "this is no value of JSON: write it in quotation marks")]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("engagment", "engagement"), ("Fit", "fit"), ("al", "all"), ("activities", "activity"), ("zzz", None)],
)
def test_an_unknown_word_of_a_condition_is_told_with_the_one_that_was_meant_or_with_all(
    word: str, meant: str | None
) -> None:
    faults = read_document({**POLICY, "conditions": {"odd": {word: {"at_least": 3}}}})
    assert isinstance(faults, list)
    [detail] = [one.detail for one in faults if one.code == "unknown_word"]
    if meant:
        assert detail == f"there is no such word; did you mean `{meant}`?"
    else:
        assert detail.startswith("there is no such word; a condition is one of all, any, not, at_least, when, ")
        assert "<" not in detail
