"""What a policy document says: its diagram, its JSON Schema, and the lines of a file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.condition_words import in_words
from app.policy.diagram import mermaid
from app.policy.document import Policy
from app.policy.drawing import svg
from app.policy.json_schema import json_schema
from app.policy.lines import line_of, lines_of
from app.policy.read import read, read_document
from app.policy.shipped import text
from tests.rules.make import PIPELINE, POLICIES, altered, document
from tests.rules.test_check import put
from tests.rules.test_differences import PLACES, VALUES, change_at_random

SVG = "{http://www.w3.org/2000/svg}"
VALIDATOR = jsonschema_rs.validator_for(json_schema())


def wide(changed: dict[str, Any]) -> None:
    """Names as long as they may be, and letters that XML has to escape."""
    changed["title"] = "<&\"'>" * 30
    changed["stages"].append({"name": "w" * 63, "kind": "parked"})
    by = {"people": ["marketing", "sdr", "ae", "manager", "admin"], "machines": ["service", "policy", "import"]}
    changed["actions"] += [
        {"name": "m" * 63, "from": ["mql"], "to": "w" * 63, "by": by, "guard": {"field": "company", "is": "<&>"}},
        {"name": "back", "from": ["w" * 63], "to": "disqualified", "by": by},
    ]


DRAWN = {**POLICIES, "wide": altered(PIPELINE, wide)}


@pytest.mark.parametrize("name", DRAWN)
def test_a_diagram_names_every_stage_and_every_action_in_both_forms(name: str) -> None:
    policy = DRAWN[name]
    drawn = [element.text or "" for element in ET.fromstring(svg(policy)).iter(f"{SVG}text")]
    written = mermaid(policy)
    for action in (*policy.actions, *policy.opportunity.actions):
        assert action.name in drawn
        assert re.search(rf": {action.name} · \w", written)
    stages = [one.name for one in policy.stages if one.kind not in ("merged", "erased")]
    for stage in (*stages, *(one.name for one in policy.opportunity.stages)):
        assert stage in drawn
        assert f'"{stage}" as ' in written


def boxes(policy: Policy) -> list[tuple[float, float, float, float]]:
    """The rectangle of each text of the picture, with letters as wide as the layout takes them to be."""
    found = []
    for element in ET.fromstring(svg(policy)).iter(f"{SVG}text"):
        size, letter = (13, 7.83) if element.get("class") == "name" else (11, 6.0)
        width, x, y = letter * len(element.text or ""), float(element.get("x", 0)), float(element.get("y", 0))
        left = x - width / 2 if element.get("text-anchor") == "middle" else x
        found.append((left, y - size * 0.8, left + width, y + size * 0.2))
    return found


@pytest.mark.parametrize("name", DRAWN)
def test_no_label_of_the_picture_overlaps_another_or_leaves_it(name: str) -> None:
    labels = boxes(DRAWN[name])
    width, height = map(float, ET.fromstring(svg(DRAWN[name])).get("viewBox", "").split()[2:])
    for index, (left, top, right, bottom) in enumerate(labels):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        for other in labels[index + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_the_states_of_a_mermaid_diagram_are_all_declared() -> None:
    for policy in DRAWN.values():
        lines = mermaid(policy).splitlines()
        declared = {line.rsplit(" as ", 1)[1] for line in lines if " as " in line} | {"[*]"}
        used = {end.strip() for line in lines if "-->" in line for end in line.partition(":")[0].split("-->")}
        assert used <= declared


@pytest.mark.parametrize("name", POLICIES)
def test_a_shipped_document_is_valid_by_the_schema(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document(POLICIES[name]))] == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/nonsense", 1),
        ("/stages/2/kind", "ajar"),
        ("/stages/2/name", "Mql"),
        ("/conditions/odd", {"regex": ".*"}),
        ("/conditions/odd", {"fit": {"at_least": "40"}}),
        ("/conditions/odd", {"all": []}),
        ("/conditions/odd", {"field": "company"}),
        ("/conditions/odd", {"field": "company", "is": "a", "in": ["b"]}),
        ("/actions/3/effects/0", {}),
        ("/actions/3/effects/0", {"assign": "actor", "emit": "lead.recycle_due"}),
        ("/scoring/caps", [{"points": 5}]),
    ],
)
def test_the_schema_marks_what_has_not_the_form_of_a_document(place: str, value: object) -> None:
    changed = document(PIPELINE)
    put(place, value)(changed)
    assert not VALIDATOR.is_valid(changed)


@given(st.sampled_from(list(POLICIES)), st.data())
def test_no_document_that_is_sound_is_refused_by_the_schema(name: str, data: st.DataObject) -> None:
    changed = document(POLICIES[name])
    place = data.draw(st.sampled_from(PLACES[name]))
    way = data.draw(st.sampled_from(["remove", "replace", "repeat", "reverse"]))
    change_at_random(changed, place, way, data.draw(VALUES))
    if isinstance(read_document(changed), Policy):
        assert VALIDATOR.is_valid(changed)


def test_each_place_of_a_file_has_its_line() -> None:
    for name in POLICIES:
        written = text("pipeline" if name == "pipeline" else "waterfall")
        lines, rows = lines_of(written), written.splitlines()
        for place in PLACES[name]:
            pointer = "".join(f"/{step}" for step in place)
            assert pointer in lines
            if isinstance(place[-1], str):
                assert place[-1] in rows[lines[pointer] - 1]


def test_what_is_missing_has_the_line_of_what_should_hold_it() -> None:
    lines = lines_of('{\n "a": {\n  "b": [1,\n 2]}}')
    assert [line_of(place, lines) for place in ("/a", "/a/b/1", "/a/b/7", "/a/c/d", "/z", "")] == [
        2,
        4,
        3,
        2,
        None,
        None,
    ]


@pytest.mark.parametrize("unreadable", ["", "a: [", b"\xff\xfe", "[" * 5000, "x" * 300_000, "\x00"])
def test_a_text_that_cannot_be_read_has_no_lines(unreadable: str | bytes) -> None:
    assert lines_of(unreadable) == {}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "this is empty"),
        ("# only a comment", "this is empty"),
        ("- a", "this is a list"),
        ("just words", "this is a single value"),
        ("a: [1", "this is no YAML: line 1, column 6"),
        ('{"a": 1,,}', "this is no JSON: line 1, column 9"),
        (b"\x89PNG\r\n\x1a\n\x00", "this is no text in UTF-8"),
        ("a: \x00", "this is no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_policy_gets_a_plain_sentence(written: str | bytes, told: str) -> None:
    answer = read(written)
    assert isinstance(answer, list)
    assert told in answer[0].detail


@given(VALUES)
def test_any_value_can_be_put_into_words(value: Any) -> None:
    assert isinstance(in_words(value), str)
    assert isinstance(in_words({"all": value}), str)
    assert isinstance(in_words({"when": value, "then": {"any": [value]}}), str)
    assert isinstance(in_words({"field": value, "between": value}), str)


def members(node: Any) -> set[str]:
    """The names of all members in a JSON Schema."""
    if isinstance(node, list):
        return set().union(*(members(one) for one in node))
    if not isinstance(node, dict):
        return set()
    named = node.get("properties")
    own = set(named) if isinstance(named, dict) else set()
    return own.union(*(members(one) for one in node.values()))


def test_every_member_and_every_word_of_a_policy_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    missing = {name for name in members(json_schema()) if not re.search(rf"\b{name}\b", page)}
    assert missing == set()
