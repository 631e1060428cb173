"""The contract as people and machines read it: /docs and /openapi.json, which work without internet."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.events.catalogue import webhooks
from app.problems import ProblemShape

PAGE_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
BEARER: Final = {"type": "http", "scheme": "bearer", "description": "An API key: btn_ and 43 characters."}
WITHOUT_KEY: Final = ("/v1/ingest/", "/healthz", "/readyz")
METHODS: Final = ("get", "put", "post", "patch", "delete", "head", "options")
ACTOR: Final = {
    "name": "Baton-Actor",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["usr_01kj7jrys5fgynx40zc4zks2gf"]},
    "description": "The person this key speaks for: usr_… or ext:<external_id> (scope actors:assert).",
}
IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    "description": "Makes the request safe to send again within seven days; required where something is converted.",
}


def describe(app: FastAPI) -> None:
    """Completes the document that FastAPI makes: keys, headers, the problem schema, and every event as a webhook."""
    app.webhooks.include_router(webhooks)
    made = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(_schemas())
            parts["securitySchemes"] = {"key": BEARER}
            for path, item in document["paths"].items():
                for method in METHODS:
                    if method in item and not path.startswith(WITHOUT_KEY):
                        _complete(item[method], method)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    schema = ProblemShape.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "ProblemShape": schema}


def _complete(operation: dict[str, Any], method: str) -> None:
    operation["security"] = [{"key": []}]
    parameters = operation.setdefault("parameters", [])
    parameters.append(ACTOR)
    if method == "post":
        parameters.append(IDEMPOTENCY)
    replaced = operation["responses"].get("422", {}).get("content", {})
    replaced.pop("application/json", None)  # the framework's own shape of a 422 is never answered


def serve(app: FastAPI) -> None:
    """/docs and /openapi.json, with every script and style from this process."""
    static = Path(str(files("fastapi_offline").joinpath("static")))
    app.mount("/docs/static", StaticFiles(directory=static), name="docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Baton",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
        )
        page.headers["Content-Security-Policy"] = PAGE_POLICY
        return page

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_document() -> Response:
        return Response(orjson.dumps(app.openapi()), media_type="application/json")
