"""Bodies of an unusual structure: nested deeply, and lists as PHP writes them. A part that is odd costs no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.structure import MAX_DEPTH, listed, parse_json
from tests.api import Api
from tests.submissions.sender import make_sender

JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def lists(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, MAX_DEPTH + 2, 300, 1_000, 100_000])
@pytest.mark.parametrize(
    "written", ['{"a": %s, "b": "[{"}', '{"b": "[{", "a": %s}', '{"b": "[{", "c": "\\\\", "a": %s}']
)
def test_what_is_over_the_limit_is_its_text_and_the_rest_is_as_it_was(written: str, levels: int) -> None:
    value = parse_json(written % lists(levels))
    assert value["b"] == "[{"
    inner = value["a"]
    for _ in range(MAX_DEPTH - 2):
        (inner,) = inner
    assert inner == [lists(levels - MAX_DEPTH + 1)]


@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 1, MAX_DEPTH])
def test_what_is_at_the_limit_is_as_it_was(levels: int) -> None:
    assert parse_json(lists(levels)) == json.loads(lists(levels))


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 99_999, "[" * 70 + "]" * 69, "]" * 100])
def test_what_never_ends_is_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@given(JSON, st.integers(0, 3))
def test_a_deep_member_changes_no_other(value: Any, place: int) -> None:
    others = [value] * 3
    text = "[" + ",".join(map(json.dumps, others[:place])) + ("," if place else "") + lists(500)
    text += "".join(f",{json.dumps(one)}" for one in others[place:]) + "]"
    parsed = parse_json(text)
    del parsed[place]
    assert parsed == others


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ({"0": {"a": 1}, "2": {"a": 2}}, [{"a": 1}, {"a": 2}]),
        ({"10": {"a": 10}, "9": {"a": 9}}, [{"a": 9}, {"a": 10}]),
        ({"7": {}}, [{}]),
        ([{"a": 1}], [{"a": 1}]),
        ([], []),
        ({}, [{}]),
        ({"0": {"a": 1}, "x": {"a": 2}}, [{"0": {"a": 1}, "x": {"a": 2}}]),
        ({"1": "Ana", "2": "Pop"}, [{"1": "Ana", "2": "Pop"}]),
        ({"1.3": {"a": 1}}, [{"1.3": {"a": 1}}]),
        ({"-1": {"a": 1}}, [{"-1": {"a": 1}}]),
        ({"²": {"a": 1}}, [{"²": {"a": 1}}]),
        ({"9" * 5_000: {"a": 1}}, [{"9" * 5_000: {"a": 1}}]),
        ("x", ["x"]),
    ],
    ids=repr,
)
def test_a_list_with_gaps_is_a_list_and_a_form_with_numbers_as_names_is_none(value: Any, elements: list[Any]) -> None:
    assert listed(value) == elements


async def test_a_deep_answer_costs_only_itself(api: Api) -> None:
    sender = await make_sender(api)
    body = '[{"email": "a@acme.example"}, {"email": "b@acme.example", "odd": %s}, {"email": "c@acme.example"}]'
    made = await sender.post_and_process(body % lists(700))
    assert [item["verdict"] for item in made["items"]] == ["lead"] * 3


async def test_a_list_with_gaps_makes_a_lead_of_each_element(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({"0": {"email": "a@acme.example"}, "2": {"email": "b@acme.example"}})
    assert [item["verdict"] for item in made["items"]] == ["lead"] * 2


async def test_events_of_mautic_may_be_a_list_with_gaps(api: Api) -> None:
    sender = await make_sender(api, preset="mautic", overrides={"verify": []})
    events = [
        {"submission": {"id": n, "lead": {"id": n, "fields": {"core": {"email": {"value": f"p{n}@acme.example"}}}}}}
        for n in (1, 2)
    ]
    as_list = {"mautic.form_on_submit": events}
    as_object = {"mautic.form_on_submit": {"0": events[0], "3": events[1]}}
    made = [await sender.post_and_process(body) for body in (as_list, as_object)]
    assert [len(one["items"]) for one in made] == [2, 2]
