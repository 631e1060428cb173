"""An element of a provider's list that is of a wrong form is quarantined by itself; the others are processed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.sources.expressions import compiled
from app.sources.mapping import map_request
from app.sources.preset import make_document, preset_names
from tests.api import Api
from tests.sources.test_mapping import SOURCE, make_request, mapped
from tests.submissions.sender import make_sender

MALFORMED = [None, 5, 1.5, True, "x", "", ["x"]]
IDENTIFY = {"type": "identify", "userId": "u1", "messageId": "m1", "traits": {"email": "jane@acme.example"}}
CONTACT = {"subscriptionType": "contact.creation", "objectId": 77, "eventId": 1}
CHANGE = {"field": "leadgen", "value": {"leadgen_id": "123987"}}
FILL = {"submission": {"id": 3, "results": {"email": "jane@acme.example"}, "lead": {}}}
FORM = {"email": "jane@acme.example"}
ANSWER = {"id": "71", "changes": [{"field": "email", "value": "jane@acme.example"}]}
Body = Callable[[list[Any]], Any]
# Every preset whose requests hold a list of items in JSON: a good element, and the body around the elements.
LISTS: dict[str, tuple[Any, Body]] = {
    **dict.fromkeys(("segment", "rudderstack"), (IDENTIFY, lambda elements: {"batch": elements})),
    **dict.fromkeys(("generic", "zapier", "make-com", "n8n"), (FORM, lambda elements: elements)),
    "html-form": (FORM, lambda elements: elements),
    "hubspot-webhooks": (CONTACT, lambda elements: elements),
    "meta-leadads": ({"changes": [CHANGE]}, lambda elements: {"entry": elements}),
    "mautic": (FILL, lambda elements: {"mautic.form_on_submit": elements}),
    "tiktok-lead-gen": (ANSWER, lambda elements: {"entry": elements}),
}


def verdicts(preset: str, body: Any) -> list[str]:
    request = make_request(body)
    return [item.verdict for item in map_request(make_document(preset, {}), request, SOURCE)]


@pytest.mark.parametrize("malformed", [one for one in MALFORMED if not isinstance(one, list)], ids=repr)
@pytest.mark.parametrize("preset", LISTS)
def test_an_element_of_a_wrong_form_costs_only_itself(preset: str, malformed: Any) -> None:
    good, around = LISTS[preset]
    (alone,) = verdicts(preset, around([good]))
    assert alone in ("lead", "fetch")
    for place in range(3):
        elements = [good, good]
        elements.insert(place, malformed)
        wanted = [alone, alone]
        wanted.insert(place, "quarantined")
        assert verdicts(preset, around(elements)) == wanted


def test_the_table_has_every_preset_that_makes_its_items_of_a_list() -> None:
    read_as_rows = {"csv", "badge-scan", "webinar-attendance"}
    loops = {
        name
        for name in preset_names()
        if (written := make_document(name, {})).parse.formats[0] == "json"
        and (written.items == "body" or compiled(written.items).loop)
    }
    assert loops - read_as_rows <= LISTS.keys()


@pytest.mark.parametrize("malformed", MALFORMED, ids=repr)
def test_a_change_of_a_wrong_form_costs_no_other_change_of_its_entry(malformed: Any) -> None:
    if isinstance(malformed, list):
        malformed = malformed[0]
    assert verdicts("meta-leadads", {"entry": [{"changes": [CHANGE, malformed, CHANGE]}]}) == [
        "fetch",
        "quarantined",
        "fetch",
    ]


@pytest.mark.parametrize("traits", ["a text", 7, ["x"], True], ids=repr)
@pytest.mark.parametrize("preset", ["segment", "rudderstack"])
def test_traits_of_a_wrong_form_cost_only_their_own_event(preset: str, traits: Any) -> None:
    wrong = {**IDENTIFY, "messageId": "m2", "traits": traits}
    assert verdicts(preset, {"batch": [IDENTIFY, wrong, IDENTIFY]}) == ["lead", "quarantined", "lead"]


@pytest.mark.parametrize(
    "items",
    ["body.rows[].merge(@, {a: b})", "body.rows[*].merge(@, @)", "body.rows[?!(skip)].merge(@, {a: b})"],
)
def test_a_function_that_fails_for_one_element_costs_no_other(items: str) -> None:
    document = make_document("generic", {"items": items})
    found = mapped({"rows": [FORM, 5, FORM]}, document)
    assert [item.verdict for item in found] == ["lead", "quarantined", "lead"]
    assert found[1].unmet[0]["have"] == "/items: the function merge() takes object, not number"


@pytest.mark.parametrize("expression", ["merge(@, x)", "max_by(@, &a)", "join('-', @)", "sum(@)", "sort(@)"])
@pytest.mark.parametrize("value", [None, 5, "x", ["x", 1], {"x": "y"}, [{"a": 1}, {"a": "x"}]], ids=repr)
def test_no_reason_names_an_exception_of_the_language(expression: str, value: Any) -> None:
    document = make_document("generic", {"items": f"body.rows[*].{expression}"})
    for item in mapped({"rows": [value]}, document):
        for unmet in item.unmet:
            assert "Error" not in str(unmet["have"])


async def test_a_batch_with_a_malformed_event_makes_leads_of_the_others(api: Api) -> None:
    sender = await make_sender(api, "segment", secrets={})
    other = {**IDENTIFY, "userId": "u2", "messageId": "m2", "traits": {"email": "joe@acme.example"}}
    made = await sender.post_and_process({"batch": [IDENTIFY, None, 5, "x", other]})
    assert [item["verdict"] for item in made["items"]] == ["lead", "quarantined", "quarantined", "quarantined", "lead"]


@pytest.mark.parametrize("preset", ["segment", "generic", "mautic", "meta-leadads"])
async def test_equal_malformed_elements_of_a_batch_are_each_quarantined_and_none_is_a_repeat(
    api: Api, preset: str
) -> None:
    good, around = LISTS[preset]
    sender = await make_sender(api, preset, secrets={}, overrides={"verify": []})
    elements = [malformed for one in (None, 5, "x", True) for malformed in (one, one)]
    made = await sender.post_and_process(json.dumps(around([*elements[:4], good, *elements[4:]])))
    taken = made["items"][4]["verdict"]
    assert taken in ("lead", "fetch")
    assert [item["verdict"] for item in made["items"]] == ["quarantined"] * 4 + [taken] + ["quarantined"] * 4
    again = await sender.post_and_process(json.dumps(around([None, good])))
    assert [item["verdict"] for item in again["items"]] == ["quarantined", "duplicate"]


def test_elements_that_are_nothing_have_each_a_key_of_its_own() -> None:
    found = map_request(make_document("generic", {}), make_request([None, FORM, None, None]), SOURCE)
    assert len({item.submission_key for item in found}) == len(found)


# JSON text of values that cannot be stored as they are.
UNSTORABLE = [
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udc00\\ud83d"',
    "9223372036854775808",
    "9" * 5_000,
    "-" + "9" * 40,
    "1e400",
    "-1e999",
    "NaN",
    "-Infinity",
    '{"a\\u0000": ["\\udfff", 1e400]}',
    '{"a": 1, "a": 2}',
]


@pytest.mark.parametrize("preset", ["segment", "generic", "zapier", "mautic", "tiktok-lead-gen"])
async def test_a_value_that_cannot_be_stored_costs_no_element_of_a_batch(api: Api, preset: str) -> None:
    good, around = LISTS[preset]
    elements = []
    for n, value in enumerate(['"fine"', *UNSTORABLE]):
        written = json.dumps(good)
        for own in ("jane@", '"m1"', '"u1"', '"71"', '"id": 3'):  # an address and ids of its own
            written = written.replace(own, own.replace("jane", f"jane{n}").replace("1", f"1{n}").replace("3", f"3{n}"))
        elements.append(f'{written[:-1]}, "odd": {value}}}')
    text = json.dumps(around(["@"])).replace('"@"', ",".join(elements))
    sender = await make_sender(api, preset, secrets={}, overrides={"verify": []})
    made = await sender.post_and_process(text, Content_Type="application/json")
    assert [item["verdict"] for item in made["items"]] == ["lead"] * len(elements)
    assert len((await api.get("/v1/leads"))["data"]) == len(elements)
