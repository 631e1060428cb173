"""A document that is stored and read again is the same document, with values of the same types."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.policy.conditions import Condition
from app.policy.document import Policy
from app.policy.read import read
from app.policy.shipped import NAMES, text
from tests.rules.make import CONDITION, POLICIES

SCALARS = st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from(["", "true", "1", "a"]))
FIELDS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    SCALARS.map(lambda value: {"field": "custom.x", "is": value}),
    st.lists(SCALARS, min_size=1, max_size=4).map(lambda values: {"field": "custom.x", "in": values}),
    st.booleans().map(lambda value: {"field": "custom.x", "present": value}),
    st.booleans().map(lambda value: {"exception": value}),
    st.just({"consent": {"purpose": "phone", "state": ["given"]}}),
    st.just({"persona": ["decision_maker"]}),
)
CONDITIONS = st.recursive(
    FIELDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda of: {"all": of}),
        inner.map(lambda one: {"not": one}),
        st.tuples(inner, inner).map(lambda pair: {"when": pair[0], "then": pair[1]}),
    ),
    max_leaves=5,
)


def stored(condition: Condition) -> Any:
    """The condition as `publish` stores it."""
    return condition.model_dump(mode="json", by_alias=True, exclude_unset=True)


@given(CONDITIONS)
def test_a_condition_is_stored_as_it_was_written(written: dict[str, Any]) -> None:
    parsed = CONDITION.validate_json(json.dumps(written))
    # As text, since Python takes 1 and True for the same.
    assert orjson.dumps(stored(parsed)) == orjson.dumps(written)
    assert CONDITION.validate_json(orjson.dumps(stored(parsed))) == parsed


def test_the_shipped_documents_are_stored_as_they_are_written() -> None:
    for name in NAMES:
        document = POLICIES[name].model_dump_json(by_alias=True, exclude_unset=True)
        assert read(document) == read(text(name)) == Policy.model_validate_json(document) == POLICIES[name]
