"""Exception handlers that turn every error into application/problem+json (RFC 9457), and its OpenAPI declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app import errors
from app.policy.fault import place_in
from app.policy.sentences import essential, sentence
from app.problem import Problem
from app.web.strict_json import printable
from app.web.transacted import Transacted

ONLY_GET: Final = "GET, HEAD, OPTIONS"  # of the pages and of /healthz, /readyz, /metrics
MEDIA_TYPE: Final = "application/problem+json"
NOT_FOUND: Final[dict[str, type[Problem]]] = {
    "lead_id": errors.LeadNotFound,
    "source_id": errors.SourceNotFound,
    "submission_id": errors.SubmissionNotFound,
    "import_id": errors.ImportNotFound,
    "account_id": errors.AccountNotFound,
    "contact_id": errors.ContactNotFound,
    "opportunity_id": errors.OpportunityNotFound,
    "policy_id": errors.PolicyNotFound,
    "subscription_id": errors.SubscriptionNotFound,
    "event_id": errors.EventNotFound,
    "position": errors.DeliveryNotFound,
    "user_id": errors.UserNotFound,
    "key_id": errors.KeyNotFound,
    "tenant_id": errors.TenantNotFound,
}


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(problem.document()), problem.status, headers or problem.headers, MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(error)


async def _http(request: Request, error: Exception) -> Response:
    """Errors that FastAPI raises itself: an unknown path, a wrong method, a body it cannot read.

    OPTIONS comes here too, as a method that the path does not have, and gets the methods that it has.
    """
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(errors.NotFound())
    if error.status_code == 405:
        path = getattr(request.scope.get("route"), "path", None)
        allow = {"Allow": request.app.state.methods.get(path, ONLY_GET)}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        return _answer(errors.MethodNotAllowed(), allow)
    return _answer(errors.BadRequest(str(error.detail)))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid(error)


def invalid(error: RequestValidationError) -> Response:
    """FastAPI's validation errors as fields and codes. The input is left out: JSON may not be able to represent it."""
    for fault in error.errors():
        if fault["loc"][0] == "path":  # a malformed id gets the same 404 as an unknown one
            return _answer(NOT_FOUND.get(str(fault["loc"][-1]), errors.NotFound)())
    faults = _faults((_place(one["loc"], one, error.body), one) for one in error.errors())
    named = ", ".join(dict.fromkeys(fault["field"] for fault in faults))
    return _answer(errors.RequestInvalid(f"Not valid: {named}. See `errors`.", errors=faults))


def faults_of(found: Iterable[Mapping[str, Any]], written: Any, place: str) -> list[dict[str, str]]:
    """The errors of a ValidationError of the value at this place of a body as the members of `errors`."""
    places = ((place_in(written, fault, fault["loc"]), fault) for fault in found)
    return _faults((f"{place}.{field}" if field else place, fault) for field, fault in places)


def _place(location: tuple[int | str, ...], fault: Mapping[str, Any], body: Any) -> str:
    """The place in a request: the name of a parameter, or that of a member of the body."""
    inside = location[1:]
    return place_in(body, fault, inside) if location[0] == "body" else ".".join(map(str, inside))


def _faults(found: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, str]]:
    told = essential(((place, str(fault["type"]), sentence(fault)) for place, fault in found), ".")
    return [
        {"field": printable(place) or "body", "code": code, "detail": printable(detail)} for place, code, detail in told
    ]


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str
    code: str
    detail: str


class ProblemShape(BaseModel):
    """A problem document (RFC 9457). `code` never changes; some codes have further members."""

    model_config = {"extra": "allow"}
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldFault]


def declared(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: the problems it may return, grouped by status, with an example of each."""
    grouped: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        content = {MEDIA_TYPE: {"schema": SCHEMA, "examples": {}}}
        entry = grouped.setdefault(problem.status, {"description": "", "content": content})
        entry["description"] = " ".join(filter(None, (entry["description"], problem.title())))
        entry["content"][MEDIA_TYPE]["examples"][problem.code] = {"$ref": f"#/components/examples/{problem.code}"}
    return grouped


SCHEMA: Final = {"$ref": "#/components/schemas/ProblemShape"}
# Problems that any request can get: `documentation` adds them to every route of the API.
ANY_REQUEST: Final = (
    errors.MalformedHeader,
    errors.KeyUnknown,
    errors.ScopeMissing,
    errors.ActorUnknown,
    errors.RequestInvalid,
    errors.HeadersTooLarge,
    errors.RateLimited,
    errors.Overloaded,
    errors.DatabaseUnavailable,
)
WITH_BODY: Final = (
    errors.MalformedJson,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.RequestTimeout,
)
IDEMPOTENT: Final = (errors.IdempotencyInProgress, errors.IdempotencyKeyReused, errors.SecretKeysMissing)


def router(prefix: str, tag: str, route_class: type[Transacted] = Transacted) -> APIRouter:
    """A router whose routes each run in one transaction; those of class `Gathered` together with others."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=route_class)
