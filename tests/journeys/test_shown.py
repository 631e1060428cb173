"""What a change replaces in the lead's answer is enough to put the answer before it back."""

from __future__ import annotations

import operator
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.ids import new_id
from app.journeys.shown import BY_NAME, OF_EVENT, recorded_members, replaced_members, restored_members
from app.journeys.state import Lead
from tests.rules.make import NOON

LEAD = recorded_members(Lead(new_id(), NOON, NOON))
# Few values, so that two of them are often the same, or differ by their type alone; to draw nested ones takes long.
VALUES = '[null,false,true,-1,0,1,2,-0.5,0.0,1.0,"","a","1",[],[1],[1.0],[true],{},{"a":1},{"a":null},{"a":[{"b":""}]}]'
JSON = st.sampled_from(orjson.loads(VALUES))
TYPED = st.dictionaries(st.sampled_from(["company", "name"]), st.text(min_size=1, max_size=3))  # absent, or not null
LEADS = st.fixed_dictionaries({name: st.just(LEAD[name]) | JSON for name in LEAD}).flatmap(
    lambda lead: st.fixed_dictionaries(
        {
            **{name: st.just(value) for name, value in lead.items()},
            "fields": st.fixed_dictionaries(dict.fromkeys(LEAD["fields"], JSON)),
            "raw": st.builds(operator.or_, st.fixed_dictionaries(dict.fromkeys(LEAD["raw"], JSON)), TYPED),
        }
    )
)


def text_of(document: dict[str, Any]) -> bytes:
    """The recorded members as sorted JSON, in which 1, 1.0 and true differ."""
    recorded = {name: value for name, value in document.items() if name not in OF_EVENT}
    return orjson.dumps(recorded, option=orjson.OPT_SORT_KEYS)


@given(before=LEADS, after=LEADS)
def test_what_is_replaced_restores_every_recorded_member(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = orjson.loads(orjson.dumps(replaced_members(before, after)))
    assert text_of(restored_members(after, kept)) == text_of(before)


@given(lead=LEADS)
def test_nothing_is_kept_of_a_lead_that_did_not_change(lead: dict[str, Any]) -> None:
    assert replaced_members(lead, orjson.loads(orjson.dumps(lead))) == {}
    assert restored_members(lead, {}) == lead


@given(before=LEADS, after=LEADS)
def test_of_fields_only_those_that_differ_are_kept(before: dict[str, Any], after: dict[str, Any]) -> None:
    for group in BY_NAME:
        kept = replaced_members(before, after).get(group, {})
        old, new = before[group], after[group]
        differing = {name for name in {**old, **new} if orjson.dumps(old.get(name)) != orjson.dumps(new.get(name))}
        assert set(kept) == differing


def test_names_that_are_no_members_are_not_restored() -> None:
    """The old values for `as_of` have more names: internal flags, and further typed values."""
    before = {"flags": {"free_mail": True}, "raw": {"email": "a@b.example", "company": "Acme"}}
    restored = restored_members(LEAD, before)
    assert restored == {**LEAD, "raw": {**LEAD["raw"], "email": "a@b.example", "company": "Acme"}}
