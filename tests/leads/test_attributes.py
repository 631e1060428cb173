"""`GET /v1/attributes`: what conditions can name, and nothing else can they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.channel import CHANNELS
from app.matching.consent import ConsentState, StoredState
from app.matching.person import EmailStatus, LeadKind, PhoneStatus
from app.policy.attributes import ATTRIBUTES, COMPARISONS, FIELDS
from app.policy.conditions import Condition
from app.policy.document import Policy
from app.policy.read import read_document
from app.policy.shipped import shipped
from tests.api import Api
from tests.contract.world import second_tenant
from tests.rules.make import CONDITION, document

WATERFALL = shipped("waterfall")
ARGUMENTS: dict[str, Any] = {
    "is": "x",
    "in": ["x"],
    "in_list": "competitors",
    "has_word": ["x"],
    "present": True,
    "between": [1, 2],
    "at_least": 1,
    "at_most": 2,
}
# Words that combine other conditions, or name one.
COMBINING = {"all", "any", "not", "at_least", "when", "condition", "field"}


def faults_of(condition: dict[str, Any]) -> list[tuple[str, str]]:
    """The faults of the shipped policy with this condition in the guard of `accept`, where all words are possible.

    Left out is that it can never be true, as of a list that is empty: that is about values and not about the form.
    """
    changed = document(WATERFALL)
    accept = next(one for one in changed["actions"] if one["name"] == "accept")
    accept["guard"] = {"when": condition, "then": condition}
    read = read_document(changed)
    faults = [] if isinstance(read, Policy) else [one for one in read if one.code != "never_true"]
    return [(fault.code, fault.place.rpartition("/")[2]) for fault in faults]


def words() -> set[str]:
    """The condition words of the union `Condition`."""
    union = Condition.__args__[0]
    classes = [one.__args__[0] if hasattr(one, "__metadata__") else one for one in union.__args__]
    return {next(iter(one.model_fields.values())).alias or next(iter(one.model_fields)) for one in classes}


def test_every_condition_word_is_in_the_catalogue() -> None:
    assert {one.word for one in ATTRIBUTES.values()} - {"field"} == words() - COMBINING


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda one: one.name)
def test_the_example_of_an_attribute_is_a_condition_without_faults(attribute: Any) -> None:
    assert attribute.condition is not None
    assert CONDITION.validate_python(attribute.condition, strict=False) is not None
    assert faults_of(dict(attribute.condition)) == []


def test_the_values_in_the_catalogue_are_those_that_leads_have() -> None:
    assert set(FIELDS["channel"].values) == set(CHANNELS)
    assert set(FIELDS["email_status"].values) == set(get_args(EmailStatus))
    assert set(FIELDS["phone_status"].values) == set(get_args(PhoneStatus))
    assert set(FIELDS["kind"].values) == set(get_args(LeadKind))
    assert set(ATTRIBUTES["consent"].values) == set(get_args(StoredState)) | set(get_args(ConsentState))


@given(st.sampled_from([*FIELDS.values(), ATTRIBUTES["custom.NAME"]]), st.sampled_from(sorted(ARGUMENTS)))
def test_a_field_is_compared_exactly_as_the_catalogue_says(attribute: Any, comparison: str) -> None:
    argument = ARGUMENTS[comparison]
    if comparison in ("is", "in"):
        values = list(attribute.values or attribute.examples)
        argument = values[0] if comparison == "is" else values
    if comparison == "has_word":
        argument = [str(value) for value in attribute.values or attribute.examples]
    found = faults_of({"field": attribute.name, comparison: argument})
    possible = comparison in COMPARISONS[attribute.type]
    assert set(found) == (set() if possible else {("comparison_not_possible", comparison)})


@given(
    st.one_of(
        st.sampled_from(
            ["senority", "bant.need.due_in_days", "bant.need.amount", "consent", "stage", "custom.", "fit"]
        ),
        st.from_regex(r"\A[a-z][a-z_.]{0,20}\Z").filter(lambda name: name not in FIELDS and name[:7] != "custom."),
    )
)
def test_a_name_that_the_catalogue_does_not_list_is_a_fault(name: str) -> None:
    assert {code for code, _ in faults_of({"field": name, "present": True})} <= {"unknown_field", "invalid"}
    assert faults_of({"field": name, "present": True})


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        ({"field": "channel", "is": "fax"}, "is"),
        ({"field": "email_status", "in": ["valid", "fine"]}, "in"),
        ({"field": "bant.need.status", "is": "yes"}, "is"),
        ({"field": "kind", "is": 1}, "is"),
    ],
)
def test_a_value_that_an_attribute_never_has_is_a_fault(condition: dict[str, Any], place: str) -> None:
    assert set(faults_of(condition)) == {("unknown_value", place)}


def test_every_condition_of_the_documentation_can_be_used() -> None:
    block = re.search(
        r"```yaml\n(- \{field: .+?)```",
        Path(__file__).parents[2].joinpath("docs/scoring.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert block is not None
    conditions = yaml.safe_load(block[1])
    assert len(conditions) > 15
    for condition in conditions:
        assert faults_of(condition) == [], condition


async def test_the_catalogue_lists_what_the_tenant_has_and_each_example_can_be_used(api: Api) -> None:
    await api.post(
        "/v1/leads",
        {
            "fields": {"email": "a@nordsoft.ro"},
            "custom": {"seats": 20, "Company size?": "big", "ok": True, "tools": ["CRM"], "secret": "x" * 99},
            "consents": [{"purpose": "sms_marketing", "state": "given"}],
        },
    )
    await api.post("/v1/leads", {"fields": {"email": "b@nordsoft.ro"}, "custom": {"seats": "many", "none": None}})
    rows = {one["name"]: one for one in (await api.get("/v1/attributes"))["data"]}
    assert rows["custom.seats"]["type"] == "any"
    assert sorted(map(str, rows["custom.seats"]["examples"])) == ["20", "many"]
    assert (rows["custom.ok"]["type"], rows["custom.Company size?"]["examples"]) == ("flag", ["big"])
    assert rows["custom.secret"]["examples"] == [], "a long answer is no example"
    assert rows["consent.sms_marketing"]["condition"] == {"consent": {"purpose": "sms_marketing", "state": ["given"]}}
    assert rows["persona"]["values"] == ["decision_maker"]
    assert rows["seniority"]["comparisons"] == ["is", "in", "in_list", "has_word", "present"]
    assert set(ATTRIBUTES) - {"consent"} <= set(rows)
    for row in rows.values():
        assert faults_of(row["condition"]) == [], row["name"]


async def test_another_tenants_answers_are_not_listed(api: Api) -> None:
    rival = await second_tenant(api)
    await api.post("/v1/leads", {"fields": {"email": "a@nordsoft.ro"}, "custom": {"mine": 1}})
    assert "custom.mine" not in {one["name"] for one in (await rival.get("/v1/attributes"))["data"]}
