"""A text of a fixed form that is written otherwise is refused with a sentence and an example; nobody sees a pattern."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_core._pydantic_core import list_all_errors

from app.policy.codes import TABLE, code_of
from app.policy.document import Policy
from app.policy.sentences import SENTENCES, sentence
from app.policy.shape import Like
from app.settings import Settings
from app.sources.document import Document
from app.web.fields import Day, Instant
from app.web.routes import ROUTERS
from tests.api import Api
from tests.contract.bodies import body, ids_for_request, leaves, with_leaf
from tests.contract.contract import DOCUMENT, WITH_BODY
from tests.contract.world import create_one_of_each

DATES: TypeAdapter[date] = TypeAdapter(Day)
TIMES: TypeAdapter[datetime] = TypeAdapter(Instant)
CODES = {code for code, _, _ in TABLE}
WRONG = ("", "!!", "Ä", "a b", "(x", "a\n")


def parts(schema: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Every object in a core schema of Pydantic."""
    if isinstance(schema, dict | list | tuple):
        if id(schema) in seen:
            return
        seen.add(id(schema))
    if isinstance(schema, dict):
        yield schema
        for member in schema.values():
            yield from parts(member, seen)
    elif isinstance(schema, list | tuple):
        for member in schema:
            yield from parts(member, seen)


def core_schemas() -> Iterator[Any]:
    """Of all bodies, query and path parameters, and of the documents that users write."""
    for route in (route for router in ROUTERS for route in router.routes):
        if isinstance(route, APIRoute):
            bodies = [route.body_field] if route.body_field else []
            for field in (*bodies, *route.dependant.query_params, *route.dependant.path_params):
                yield field._type_adapter.core_schema
    for model in (Document, Policy, Settings):
        yield TypeAdapter(model).core_schema


ALL_PARTS = [part for schema in core_schemas() for part in parts(schema, set())]
CALLED = [part["function"]["function"] for part in ALL_PARTS if part.get("type") == "function-after"]
FORMS = {form for each in CALLED if isinstance(form := getattr(each, "__self__", None), Like)}


def test_no_text_is_refused_by_a_pattern_of_pydantic_itself() -> None:
    assert len(ALL_PARTS) > 500
    assert [part for part in ALL_PARTS if part.get("type") == "str" and "pattern" in part] == []


def test_every_form_accepts_its_example_and_tells_it_when_it_refuses() -> None:
    assert len(FORMS) >= 10
    for form in FORMS:
        assert form.check(form.example) == form.example
        for wrong in WRONG:
            with pytest.raises(PydanticCustomError) as refused:
                form.check(wrong)
            assert str(refused.value) == f"{form.sentence}, like {form.example}"
            assert form.pattern not in str(refused.value)


OF_PYDANTIC: list[dict[str, Any]] = [dict(one) for one in list_all_errors()]
# What only calls, Python objects and types that no schema of ours has can raise.
NEVER_RAISED = {
    *("no_such_attribute", "needs_python_object", "frozen_field", "frozen_instance", "get_attribute_error"),
    *("dataclass_exact_type", "named_tuple_type", "default_factory_not_called", "callable_type"),
    *(
        "missing_sentinel_error",
        "ellipsis_error",
        "fraction_type",
        "fraction_parsing",
        "complex_type",
        "complex_str_parsing",
    ),
    *("frozen_dict_type", "ordered_dict_type", "counter_type", "deque_type"),
    *(one["type"] for one in OF_PYDANTIC if one["type"].endswith(("argument", "arguments_type", "argument_values"))),
}
NEVER_USED = {"call", "arguments", "callable", "complex", "dataclass", "generator", "missing-sentinel"}
RAISED = {"value_error", "assertion_error"}
STARTS = {
    one[key].split("{")[0]
    for one in OF_PYDANTIC
    for key in ("message_template_python", "message_template_json")
    if one.get(key)
}
FOREIGN = (*sorted(start for start in STARTS if start), "List ", "Dictionary ", "Value error", "Set ")


def test_every_error_type_of_pydantic_has_a_sentence_of_ours() -> None:
    assert {part.get("type") for part in ALL_PARTS if isinstance(part.get("type"), str)}.isdisjoint(NEVER_USED)
    assert {one["type"] for one in OF_PYDANTIC} == SENTENCES.keys() | NEVER_RAISED | RAISED
    for one in OF_PYDANTIC:
        fault = {"type": one["type"], "msg": one["example_message_python"], "ctx": one["example_context"] or {}}
        if one["type"] in SENTENCES:
            assert sentence(fault)[:1].islower() or sentence(fault)[:1] in ("", " "), one["type"]
            assert not sentence(fault).startswith(FOREIGN), one["type"]
    assert sentence({"type": "value_error", "msg": "Value error, give one of a, b"}) == "give one of a, b"
    assert (
        sentence({"type": "string_pattern_mismatch", "msg": "write small letters, like a"})
        == "write small letters, like a"
    )


LONG: tuple[Any, ...] = (["x"] * 200, {"x": 1}, [None], {"a b": None}, {})
SENT: tuple[Any, ...] = (None, True, 1, -1, 1.5, "", "x", "x" * 20_000, [], *LONG)


async def test_no_answer_has_the_words_of_pydantic(api: Api) -> None:
    record_ids = await create_one_of_each(api)
    told: Counter[str] = Counter()
    for operation in WITH_BODY:
        valid = body(str(operation), record_ids)
        ids_ = await ids_for_request(str(operation), record_ids, api)
        for wrong in (*SENT, *(with_leaf(valid, path, one) for path, _ in leaves(valid) for one in SENT[:8])):
            answer = await api.call(
                operation.method,
                operation.at(**ids_),
                wrong,
                actor=record_ids["actor"],
                headers={"Idempotency-Key": f"w{told.total()}"},
            )
            assert answer.status_code < 500
            for fault in answer.json().get("errors", ()) if answer.status_code == 422 else ():
                told[fault["code"]] += 1
                assert not fault["detail"].startswith(FOREIGN), (str(operation), fault)
                assert fault["code"] == code_of(fault["code"]) or fault["code"] in CODES, (str(operation), fault)
    assert told.total() > 1000
    assert len(told) > 12


async def test_the_door_tells_a_sentence_for_every_text_of_every_body(api: Api) -> None:
    record_ids = await create_one_of_each(api)
    patterns = {part["pattern"] for part in parts(DOCUMENT, set()) if isinstance(part.get("pattern"), str)}
    assert len(patterns) > 10
    told = 0
    for operation in WITH_BODY:
        valid = body(str(operation), record_ids)
        for path, leaf in leaves(valid):
            if not isinstance(leaf, str):
                continue
            ids_ = await ids_for_request(str(operation), record_ids, api)
            answer = await api.call(
                operation.method,
                operation.at(**ids_),
                with_leaf(valid, path, "(not] this one!"),
                actor=record_ids["actor"],
                headers={"Idempotency-Key": f"k{told}-{operation.members['operationId']}"},
            )
            for fault in answer.json().get("errors", ()) if answer.status_code == 422 else ():
                told += 1
                assert "pattern" not in fault["detail"], (str(operation), fault)
                assert not any(pattern in fault["detail"] for pattern in patterns), (str(operation), fault)
    assert told > 40


@pytest.mark.parametrize(
    "written",
    [
        *(
            "31.03.2027",
            "2027-3-31",
            "2027-02-30",
            "2027-13-01",
            "03/31/2027",
            "",
            "tomorrow",
            "1787000000",
            "20270331",
        ),
        *("2027-03-31T09:00:00Z", 1787000000, 1.5, True, None, ["2027-03-31"]),
    ],
)
def test_a_date_of_another_form_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValidationError) as refused:
        DATES.validate_python(written)
    assert refused.value.errors()[0]["msg"] == "write a date as text, like 2027-03-31"


@pytest.mark.parametrize(
    "written",
    [
        *("2026-08-17", "2026-08-17T09:00:00", "2026-08-17T25:00:00Z", "2026-02-30T09:00:00Z", "17.08.2026 09:00"),
        *("2026-08-17T09:00:00+99:00", "", "now", "1787000000", 1787000000, 1.5, True, None, {}),
    ],
)
def test_a_time_of_another_form_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValidationError) as refused:
        TIMES.validate_python(written)
    expected = "write a time as text with Z or its offset, like 2026-08-17T09:00:00Z"
    assert refused.value.errors()[0]["msg"] == expected


async def test_a_date_and_an_amount_are_refused_by_name(api: Api) -> None:
    for deal, field, detail in (
        ({"close_date": "31.03.2027"}, "close_date", "write a date as text, like 2027-03-31"),
        ({"amount": {"value": "100.50", "currency": "JPY"}}, "amount.value", "JPY has no decimals"),
        ({"amount": {"value": "12,000.00", "currency": "EUR"}}, "amount.value", "like 12000.00"),
        ({"amount": {"value": "1.00", "currency": "XXX"}}, "amount.currency", "like EUR"),
    ):
        answer = await api.call("POST", "/v1/opportunities", {"name": "Renewal", **deal})
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["field"]) == (422, field)
        assert detail in fault["detail"]


@pytest.mark.parametrize(("written", "currency"), [("1.234", "KWD"), ("100", "JPY"), ("0.0001", "CLF")])
async def test_an_amount_is_stored_with_every_decimal(api: Api, written: str, currency: str) -> None:
    amount = {"value": written, "currency": currency}
    made = await api.post("/v1/opportunities", {"name": "Renewal", "amount": amount})
    assert made["amount"] == amount
    assert (await api.get(f"/v1/opportunities/{made['id']}"))["amount"] == amount
