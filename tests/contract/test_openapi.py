"""The OpenAPI document has every route, response and event, and its examples are valid."""

import http.client
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema_rs import Draft202012Validator

from app.commands import openapi
from app.console import endpoints as console
from app.events.catalogue import TYPES
from app.problem import catalogue
from app.settings import Settings
from app.web.application import create_app
from app.web.problems import MEDIA_TYPE
from app.web.routes import ROUTERS
from tests.api import Api
from tests.contract.bodies import body, ids_for_request
from tests.contract.contract import ALL, AUTHENTICATED, DOCUMENT, PROBLEM, WITH_BODY, Operation
from tests.contract.world import create_one_of_each

PAGES = {"/", "/docs", "/docs/{address:path}", "/docs/static", "/console/static"}
HIDDEN = {*PAGES, "/openapi.json", "/asyncapi.json", "/metrics"}


def test_the_committed_files_are_up_to_date() -> None:
    for path, text in openapi.generated().items():
        assert path.read_text() == text, f"{path} is out of date: run python3 -m app openapi"


def test_the_generated_files_do_not_depend_on_the_names_of_statuses_in_this_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = openapi.generated()
    for status in HTTPStatus:
        monkeypatch.setattr(status, "phrase", "a name of another release")
        monkeypatch.setitem(http.client.responses, status.value, "a name of another release")
    assert openapi.generated() == expected


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    app = create_app(Settings.model_construct())
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    shown = {(method, one.path_format) for one in routes if one.include_in_schema for method in one.methods or ()}
    assert {(each.method, each.path) for each in ALL} == shown | {("GET", "/healthz"), ("GET", "/readyz")}
    documented = {each.path for each in ALL} | {route.path for route in routes if route.path_format != route.path}
    undocumented = {getattr(route, "path", None) for route in app.routes} - documented
    assert undocumented == HIDDEN | {route.path for route in console.pages.routes if isinstance(route, APIRoute)}


def test_only_head_options_and_methods_that_are_refused_are_not_in_the_document() -> None:
    hidden = [
        route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and not route.include_in_schema
    ]
    assert {route.path for route in hidden} == {
        "/v1/ingest/{source_key}",
        "/v1/confirm/{token}",
        "/v1/subscriptions/preview",
        "/v1/policies/active",
        "/v1/policies/schema",
    }
    methods = {method for route in hidden for method in route.methods or ()}
    assert methods == {"HEAD", "OPTIONS", "GET", "PATCH", "PUT", "DELETE"}


def test_operations_have_unique_ids_and_summaries() -> None:
    names = [operation.members["operationId"] for operation in ALL]
    assert len(set(names)) == len(names)
    assert all(operation.members["summary"] for operation in ALL)


def referenced(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    return dict(DOCUMENT["components"]["responses"][name]) if name else response


def codes(operation: Operation) -> set[str]:
    """The codes of the problems that an operation declares."""
    responses = [referenced(each) for each in operation.members["responses"].values()]
    return {code for each in responses for code in each.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})}


def test_every_operation_declares_the_problems_that_any_request_can_get() -> None:
    for operation in AUTHENTICATED:
        always = {
            "key_unknown",
            "scope_missing",
            "actor_unknown",
            "request_invalid",
            "overloaded",
            "database_unavailable",
        }
        always |= {"headers_too_large", "malformed_header"}
        always |= {"malformed_json", "body_too_large", "unsupported_media_type"} if operation.body else set()
        always |= (
            {"idempotency_in_progress", "idempotency_key_reused"} if "Idempotency-Key" in operation.headers else set()
        )
        ids = re.findall(r"{(\w+)_id}", operation.path)
        always |= {f"{ids[-1]}_not_found"} if ids else set()
        assert always <= codes(operation), (str(operation), always - codes(operation))


def test_every_post_but_ingest_links_and_requests_to_receivers_accepts_an_idempotency_key() -> None:
    without = {each.path for each in ALL if each.method == "POST" and "Idempotency-Key" not in each.headers}
    asking = {f"/v1/subscriptions/{{subscription_id}}/{verb}" for verb in ("ping", "handshake")}
    assert without == {"/v1/ingest/{source_key}", "/v1/withdraw/{token}", *asking}


def test_every_declared_problem_has_a_valid_example() -> None:
    known = {problem.code: problem for problem in catalogue()}
    assert set().union(*map(codes, ALL)) <= set(known)
    for code, shown in DOCUMENT["components"]["examples"].items():
        assert shown["value"] == {**shown["value"], "code": code, "status": known[code].status, "errors": []}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_document_names_its_server_and_licence() -> None:
    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert DOCUMENT["info"]["license"] == {"name": "Apache License 2.0", "identifier": "Apache-2.0"}


def test_every_operation_says_whether_it_needs_a_key() -> None:
    public = {str(operation) for operation in ALL if operation.members["security"] == []}
    ingest = {f"{method} /v1/ingest/{{source_key}}" for method in ("GET", "POST")}
    links = {"GET /v1/confirm/{token}", "GET /v1/withdraw/{token}", "POST /v1/withdraw/{token}"}
    assert public == {"GET /healthz", "GET /readyz", *links, *ingest}
    assert all(hook["post"]["security"] == [] for hook in DOCUMENT["webhooks"].values())


def test_every_operation_declares_a_4xx_and_a_2xx_with_descriptions() -> None:
    for operation in ALL:
        responses = operation.members["responses"]
        assert {status[0] for status in responses} >= {"2", "4"}, operation
        assert all(referenced(each)["description"] for each in responses.values()), operation


def test_every_component_is_used() -> None:
    used = set(references(DOCUMENT))
    for kind in ("schemas", "examples", "responses"):
        unused = [name for name in DOCUMENT["components"][kind] if f"#/components/{kind}/{name}" not in used]
        assert unused == [], kind


def test_every_path_parameter_is_declared_and_in_the_path() -> None:
    for operation in ALL:
        declared = {each["name"] for each in operation.members.get("parameters", ()) if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", operation.path)), operation


def test_every_reference_resolves() -> None:
    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_every_event_type_is_a_webhook_with_the_schema_of_its_data() -> None:
    assert set(DOCUMENT["webhooks"]) == set(TYPES)
    for name, hook in DOCUMENT["webhooks"].items():
        schema = hook["post"]["requestBody"]["content"]["application/json"]["schema"]
        event = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert event["properties"]["type"]["const"] == name
        assert "data" in event["required"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_every_body_has_an_example() -> None:
    for operation in WITH_BODY:
        content = operation.members["requestBody"]["content"]["application/json"]
        assert content.get("examples"), operation


def test_the_examples_of_bodies_are_valid() -> None:
    for operation in WITH_BODY:
        content = operation.members["requestBody"]["content"]["application/json"]
        for example in content.get("examples", {}).values():
            assert list(validator(content["schema"]).iter_errors(example["value"])) == [], operation


async def test_responses_match_their_declared_schemas(api: Api) -> None:
    record_ids = await create_one_of_each(api)
    for operation in AUTHENTICATED:
        whole = body(str(operation), record_ids) if operation.body is not None else None
        headers = {"Idempotency-Key": f"once-{operation.members['operationId']}"} if operation.method == "POST" else {}
        ids_ = await ids_for_request(str(operation), record_ids, api)
        if operation.method == "DELETE" or operation.path.endswith(("/ping", "/handshake")):
            continue  # would delete a record that later requests need, or send a request to a receiver
        answer = await api.call(
            operation.method, operation.at(**ids_), whole, actor=record_ids["actor"], headers=headers
        )
        declared = operation.members["responses"].get(str(answer.status_code))
        assert declared is not None, (str(operation), answer.status_code, answer.text)
        kind = answer.headers["content-type"].partition(";")[0]
        schema = referenced(declared)["content"][kind]["schema"]
        shown = answer.json() if kind.endswith("json") else answer.text
        faults = [error.message for error in validator(schema).iter_errors(shown)]
        assert faults == [], (str(operation), faults, answer.text)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json", "/docs/static/swagger-ui-bundle.js"])
async def test_the_documentation_needs_no_internet(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code == 200
    external = set(re.findall(r'(?:src|href)="(https?:)?//', answer.text)) if path == "/docs" else set()
    assert external == set()


async def test_an_unknown_path_is_a_problem_too(api: Api) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("PUT", "/v1/leads", 405), ("GET", "/v1/leads/", 404)):
        answer = await api.call(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
