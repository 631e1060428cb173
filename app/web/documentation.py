"""/docs, /openapi.json and /asyncapi.json; the page loads its scripts from this process: it needs no internet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app import errors
from app.problem import Problem, catalogue
from app.web.asyncapi import asyncapi
from app.web.auth import Allow
from app.web.bodies import SAFE
from app.web.capacity import IMPORTS
from app.web.examples import BODIES
from app.web.guides import readers
from app.web.problems import ANY_REQUEST, IDEMPOTENT, MEDIA_TYPE, SCHEMA, WITH_BODY, ProblemShape, declared
from app.web.routes import ROUTERS
from app.web.transacted import Transacted
from app.web.versions import expected_version

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
BEARER: Final = {"type": "http", "scheme": "bearer", "description": "An API key: btn_ and 43 characters."}
ACTOR: Final = {
    "name": "Baton-Actor",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["usr_01kj7jrys5fgynx40zc4zks2gf"]},
    "description": "The user this key acts for: usr_… or ext:<external_id> (scope actors:assert).",
}
IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    "description": "Makes the request safe to retry for seven days; required by requests that convert a lead.",
}
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$', "examples": ['"7"']},
    "description": "The ETag that was read; 412 when it is no longer the current one.",
}


IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ['"7"']},
    "description": "The ETag that was read; 304 without a body while it is the current one.",
}
NOT_MODIFIED: Final = {"description": "If-None-Match has the current ETag."}
EXAMPLE_ROOT: Final = "#/components/examples/"
STATIC: Final = Path(str(files("fastapi_offline").joinpath("static")))

pages = APIRouter()
pages.mount("/docs/static", StaticFiles(directory=STATIC), name="docs")


@pages.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    prefix: str = request.app.state.settings.prefix
    page = get_swagger_ui_html(
        openapi_url=f"{prefix}/openapi.json",
        title="Baton",
        swagger_js_url=f"{prefix}/docs/static/swagger-ui-bundle.js",
        swagger_css_url=f"{prefix}/docs/static/swagger-ui.css",
        swagger_favicon_url=f"{prefix}/docs/static/favicon.png",
    )
    body = bytes(page.body).decode().replace("<body>", f"<body>\n<nav>{readers(prefix)}</nav>", 1)
    return HTMLResponse(body, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


@pages.get("/openapi.json", include_in_schema=False)
async def openapi_document(request: Request) -> Response:
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


@pages.get("/asyncapi.json", include_in_schema=False)
async def asyncapi_document(request: Request) -> Response:
    return Response(orjson.dumps(asyncapi(request.app.openapi())), media_type="application/json")


def describe(app: FastAPI) -> None:
    """Adds to FastAPI's document what it cannot derive: security, scopes, headers, problems and examples."""
    generated = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generated()
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(_schemas())
            parts["securitySchemes"] = {"key": BEARER}
            for route in (route for router in ROUTERS for route in router.routes):
                if isinstance(route, APIRoute) and route.include_in_schema:
                    for method in route.methods or ():
                        _complete_operation(document["paths"][route.path_format][method.lower()], route, method)
            for item in document["paths"].values():
                _complete_read(item)
            _complete_public(document)
            parts["responses"] = _share_responses(document["paths"])
            used = set(_examples_used(document))
            parts["examples"] = {
                problem.code: {"value": problem().document()} for problem in catalogue() if problem.code in used
            }
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    schema = ProblemShape.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "ProblemShape": schema}


def _complete_operation(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    dependencies = list(_dependencies(route.dependant))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if (example := BODIES.get(f"{method} {route.path_format}")) is not None:
        content["examples"] = {"example": {"value": example}}
    scopes = [call.scope for call in dependencies if isinstance(call, Allow)]
    responses = operation["responses"]
    # FastAPI declares its own 422 body, but the API returns a problem document.
    responses.get("422", {}).get("content", {}).pop("application/json", None)
    if scopes:
        operation["security"] = [{"key": [scope for scope in scopes if scope]}]
        parameters = operation.setdefault("parameters", [])
        parameters.append(ACTOR)
        idempotent = method == "POST" and (isinstance(route, Transacted) or route.path == IMPORTS)
        parameters += [IDEMPOTENCY] * idempotent + [IF_MATCH] * (expected_version in dependencies)
        # A body that is sent where none is taken is read too, to tell that it has no effect.
        _add_problems(responses, ANY_REQUEST + WITH_BODY * (method not in SAFE) + IDEMPOTENT * idempotent)
    for status in [status for status, response in responses.items() if not response.get("content", True)]:
        del responses[status]
    operation["responses"] = dict(sorted(responses.items()))


def _complete_read(item: dict[str, Any]) -> None:
    """Adds If-None-Match to the GET of a resource that has an ETag: one whose changes take If-Match."""
    changes = [item[method] for method in ("patch", "delete") if method in item]
    if "get" in item and any(IF_MATCH in operation.get("parameters", ()) for operation in changes):
        item["get"]["parameters"].append(IF_NONE_MATCH)
        item["get"]["responses"]["304"] = NOT_MODIFIED


def _complete_public(document: dict[str, Any]) -> None:
    """Says of each operation whether it needs a key; events are sent by us, and their signature is their own proof."""
    for paths in (document["paths"], document["webhooks"]):
        for operation in (operation for item in paths.values() for operation in item.values()):
            operation.setdefault("security", [])
    for path in ("/healthz", "/readyz"):
        _add_problems(document["paths"][path]["get"]["responses"], (errors.HeadersTooLarge,))


def _examples_used(part: Any) -> Iterator[str]:
    """The names of the shared examples that a part of the document refers to."""
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str) and reference.startswith(EXAMPLE_ROOT):
            yield reference.removeprefix(EXAMPLE_ROOT)
        for member in part.values():
            yield from _examples_used(member)
    elif isinstance(part, list):
        for member in part:
            yield from _examples_used(member)


def _dependencies(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for child in dependant.dependencies:
        yield from _dependencies(child)


def _add_problems(responses: dict[str, Any], problems: Sequence[type[Problem]]) -> None:
    """Adds problems that any request can get to those that the route declares itself."""
    for status, more in declared(*problems).items():
        response = responses.setdefault(str(status), {"description": "", "content": {}})
        content = response["content"].setdefault(MEDIA_TYPE, {"schema": SCHEMA, "examples": {}})
        for code, example in more["content"][MEDIA_TYPE]["examples"].items():
            if code not in content["examples"]:
                content["examples"][code] = example
        if not response["description"]:
            response["description"] = more["description"]


def _share_responses(paths: dict[str, Any]) -> dict[str, Any]:
    """Moves problem responses with up to three codes from the operations to components, leaving references."""
    shared: dict[str, Any] = {}
    for operation in (operation for item in paths.values() for operation in item.values()):
        for status, response in operation["responses"].items():
            codes = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
            if 1 <= len(codes) <= 3 and len(response["content"]) == 1:
                name = ".".join(sorted(codes))
                shared[name] = shared.get(name, response)
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared
