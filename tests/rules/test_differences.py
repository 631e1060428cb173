"""The differences of two policy documents: complete, each with its place, and in words."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.differences import differences, same
from tests.rules.make import PIPELINE, POLICIES, WATERFALL, document
from tests.rules.test_check import Document, drop, put


def after(*changes: Any, name: str = "pipeline") -> list[Any]:
    old, new = document(POLICIES[name]), document(POLICIES[name])
    for change in changes:
        change(new)
    return differences(old, new)


GONE = object()
# Place, new value, what is told of it.
TOLD: list[tuple[str, object, str]] = [
    ("/conditions/mql/any/0/all/0/fit/at_least", 50, "MQL threshold for fit 40 → 50"),
    ("/conditions/mql/any/0/all/1/engagement/at_least", 35, "MQL threshold for engagement 30 → 35"),
    ("/scoring/engagement/0/points", 15, "Points for webinar 10 → 15"),
    ("/scoring/fit/0/points", 25, "Points for title 20 → 25"),
    ("/reasons/disqualify/1/active", False, "Reason 'no_budget' of disqualify: no longer active"),
    ("/reasons/disqualify/0/permanent", True, "Reason 'bad_fit' of disqualify: now permanent"),
    ("/reasons/recycle/0", GONE, "Reason 'timing' of recycle is gone"),
    ("/reasons/recycle/6", {"code": "budget_cut"}, "Reason 'budget_cut' of recycle is new"),
    ("/stages/11", {"name": "trial", "kind": "parked"}, "Stage trial is new"),
    ("/stages/4", GONE, "Stage srl is gone"),
    ("/stages/2/order", 21, "Stage mql, order: 20 → 21"),
    ("/stages/2/skippable", True, "Stage mql, skippable is new: yes"),
    ("/clocks/response/minutes", 60, "Clock response, minutes: 240 → 60"),
    ("/lists/competitors", ["rival.com"], "List 'competitors': none → rival.com"),
    ("/lists/partners", ["ally.com"], "List 'partners' is new: ally.com"),
    ("/scoring/levels/1/if/fit/at_least", 30, "Level 2, threshold for fit 40 → 30"),
    ("/conditions/tried_enough/attempts/at_least", 5, "Condition 'tried_enough', attempts at least: 3 → 5"),
    ("/conditions/sure", {"bant": {"min": 4}}, "Condition 'sure' is new: BANT 4 of 4"),
    ("/actions/3/by/people", ["sdr", "ae"], "Action accept, who may people: sdr, manager → sdr, ae"),
    (
        "/actions/3/effects",
        [{"assign": "actor"}],
        "assign actor; stop clock response, if at least 1 contact attempts → ",
    ),
    (
        "/conditions/fresh_interest",
        {"level": {"at_least": 2}},
        "a sign of interest since the last recycling → level at",
    ),
    ("/review", "monthly", "Review: quarterly → monthly"),
    ("/conversion/revert_days", 30, "Conversion revert days: 14 → 30"),
    ("/scoring/caps/0", {"ledger": "fit", "points": 60}, "Cap of fit is new, 60 points"),
    ("/opportunity/stages/2/probability", 60, "Opportunity stage proposal, probability: 50 → 60"),
    ("/opportunity/reasons/lose/0", GONE, "Reason 'price' of an opportunity's lose is gone"),
    ("/benchmarks/0/green", [25, 45], "Benchmark mql to srl, green: 20, 40 → 25, 45"),
]


@pytest.mark.parametrize(("place", "value", "text"), TOLD)
def test_a_difference_is_told_in_words_at_its_place(place: str, value: object, text: str) -> None:
    *_, last = place.split("/")
    added = last.isdigit() and not has(document(PIPELINE), place)
    change = drop(place) if value is GONE else put(f"{place.removesuffix(last)}-" if added else place, value)
    assert [one.place for one in after(change)] == [place]
    assert text in after(change)[0].text


def test_another_order_is_told_as_such() -> None:
    found = after(lambda changed: changed["automation"].reverse())
    assert [one.text for one in found] == ["Automation: engage, qualify, wake → wake, qualify, engage"]


def test_of_a_long_list_only_what_was_added_and_removed_is_told() -> None:
    old, new = document(PIPELINE), document(PIPELINE)
    old["lists"]["competitors"] = [f"rival{number}.example" for number in range(2000)]
    new["lists"]["competitors"] = [*old["lists"]["competitors"][1:], "new.example"]
    [only] = differences(old, new)
    assert only.text == "List 'competitors': 1 added (new.example), 1 removed (rival0.example)"


def test_the_shipped_policies_differ_by_the_stage_srl_and_what_belongs_to_it() -> None:
    texts = [one.text for one in differences(document(WATERFALL), document(PIPELINE))]
    assert {"Stage srl is new", "Action hand_over is new", "Clock ae_acceptance is new"} <= set(texts)
    assert len(set(texts)) == len(texts) < 40


@pytest.mark.parametrize("name", POLICIES)
def test_a_document_does_not_differ_from_itself(name: str) -> None:
    assert after(name=name) == []


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for name, inner in items for place in places(inner, (*path, name)))]


PLACES = {name: places(document(policy))[1:] for name, policy in POLICIES.items()}
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def at(node: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        node = node[int(token)] if isinstance(node, list) else node[token]
    return node


def has(node: Document, pointer: str) -> bool:
    try:
        at(node, pointer)
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True


def change_at_random(changed: Document, place: tuple[Any, ...], way: str, value: Any) -> None:
    *path, last = place
    parent: Any = changed
    for step in path:
        parent = parent[step]
    if way == "remove":
        del parent[last]
    elif way == "replace":
        parent[last] = value
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(parent[last])) if way == "repeat" else parent.reverse()
    else:
        parent[f"{last}_{way}"] = parent[last]


@given(st.sampled_from(list(POLICIES)), st.data())
def test_a_random_change_of_a_shipped_document_is_always_told(name: str, data: st.DataObject) -> None:
    old, new = document(POLICIES[name]), document(POLICIES[name])
    deep = [place for place in PLACES[name] if len(place) > 1]
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(["remove", "replace", "repeat", "reverse"]))
        with contextlib.suppress(LookupError, TypeError):  # an earlier change may have taken the place away
            change_at_random(new, data.draw(st.sampled_from(deep)), way, data.draw(VALUES))
    found = differences(old, new)
    assert bool(found) is not same(old, new)
    for one in found:
        assert one.text
        assert not same(one.old, one.new) or one.old is one.new is None
        assert has(new, one.place) or has(old, one.place)


@given(st.sampled_from(list(POLICIES)), st.data(), st.one_of(st.integers(2, 9), st.text(max_size=5), st.booleans()))
def test_a_changed_value_is_told_at_or_above_its_place(name: str, data: st.DataObject, value: Any) -> None:
    old, new = document(POLICIES[name]), document(POLICIES[name])
    place = data.draw(st.sampled_from(PLACES[name]))
    if place[:1] in (("milestones",), ("automation",), ("actions",)) and len(place) < 3:
        return
    change_at_random(new, place, "replace", value)
    pointer = "".join(f"/{step}" for step in place)
    if same(old, new):
        assert differences(old, new) == []
    else:
        assert any(f"{pointer}/".startswith(f"{one.place}/") for one in differences(old, new))
