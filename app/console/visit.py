"""One request for a page: its session, the token of its form, and how everything about it is shown."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from hmac import compare_digest
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.console import render
from app.console.api import Api, ApiProblem
from app.database.faults import run_with_retries
from app.database.transaction import Tx
from app.errors import BadRequest, FormTokenInvalid, NotFound, SessionEnded, UnsupportedMediaType
from app.problem import Problem
from app.tenants import calendar, sessions
from app.web.auth import Caller, fingerprint
from app.web.transacted import connection

T = TypeVar("T")
COOKIE: Final = "baton_console"
GUEST: Final = "guest."
FORM: Final = "application/x-www-form-urlencoded"
MOST_FIELDS: Final = 50


@dataclass(frozen=True, slots=True)
class Guest:
    """A browser, logged in or not. `token` is that of its cookie; the forms it gets are bound to it."""

    request: Request
    token: str
    is_new: bool

    @property
    def now(self) -> datetime:
        now: datetime = self.request.app.state.clock.now()
        return now

    @property
    def form_token(self) -> str:
        """The token of the forms of this browser: it follows from the cookie, which other sites cannot read."""
        return fingerprint(f"form.{self.token}")

    def asked(self, *names: str) -> dict[str, str]:
        """The query parameters of these names that have a value."""
        return {name: value for name in names if (value := self.request.query_params.get(name))}

    async def in_transaction(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async def run() -> T:
            async with connection(self.request.app.state, autocommit=False) as tx:
                return await work(tx)

        return await run_with_retries(run)

    async def form(self) -> dict[str, str]:
        """The fields of the form that was sent. Raises FormTokenInvalid unless it is one of this browser."""
        if self.request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
            raise UnsupportedMediaType(f"Send the form as {FORM}.")
        body = await self.request.body()
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise BadRequest(f"The form is no text in UTF-8 with at most {MOST_FIELDS} fields.") from None
        fields = dict(pairs)
        if not compare_digest(fields.pop("form_token", "").encode(), self.form_token.encode()):
            raise FormTokenInvalid()
        return fields

    def logged_in(self, token: str) -> Response:
        """Leads to the first page, with the cookie of a new session."""
        response = self.redirect("/console")
        response.headers["set-cookie"] = _cookie(self.request, token, int(sessions.SESSION_LASTS.total_seconds()))
        return response

    def logged_out(self) -> Response:
        response = self.redirect("/console/session")
        response.headers["set-cookie"] = _cookie(self.request, "", 0)
        return response

    def redirect(self, path: str) -> Response:
        location = self.request.app.state.settings.prefix + path
        return Response(status_code=303, headers={**render.HEADERS, "Location": location})

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page. A browser without a cookie gets one, so that its forms have something to be bound to."""
        response = render.page(self.request, template, status, form_token=self.form_token, now=self.now, **values)
        if self.is_new:
            response.headers["set-cookie"] = _cookie(self.request, self.token, None)
        return response


@dataclass(frozen=True, slots=True)
class Visit(Guest):
    """A browser that is logged in, as `caller`."""

    caller: Caller
    api: Api

    async def today(self) -> date:
        """The date in the time zone of the tenant."""
        return await self.in_transaction(lambda tx: calendar.today(tx, self.caller.tenant_id, self.now))

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return Guest.page(self, template, status, caller=self.caller, **values)


class Shown(APIRoute):
    """A route whose problems are pages too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except SessionEnded as problem:
                guest = _guest(request)
                told = None if guest.token.startswith(GUEST) else problem.document()  # not to who was never logged in
                return guest.page("login.html", problem.status, problem=told)
            except Problem as problem:
                return await _refused(request, problem.status, problem.document(), problem.headers)
            except ApiProblem as problem:
                return await _refused(request, problem.answer.status, problem.answer.document)
            except (RequestValidationError, HTTPException):
                return await _refused(request, 404, NotFound().document())

        return shown


async def _refused(request: Request, status: int, problem: dict[str, Any], headers: Any = None) -> Response:
    try:
        visitor: Guest = await _visit(request)
    except Problem:  # nobody is logged in, or it cannot be found out now
        visitor = _guest(request)
    response = visitor.page("problem.html", status, problem=problem)
    response.headers.update(headers or {})
    return response


def _guest(request: Request) -> Guest:
    token = request.cookies.get(COOKIE, "")
    return Guest(request, token or GUEST + secrets.token_urlsafe(32), is_new=not token)


async def _visit(request: Request) -> Visit:
    guest = _guest(request)
    caller = await guest.in_transaction(lambda tx: sessions.caller_of_session(tx, guest.token, guest.now))
    return Visit(request, guest.token, guest.is_new, caller, Api(request.app, caller))


async def _guest_dependency(request: Request) -> Guest:
    return _guest(request)


InVisit = Annotated[Visit, Depends(_visit)]
AsGuest = Annotated[Guest, Depends(_guest_dependency)]


def _cookie(request: Request, token: str, seconds: int | None) -> str:
    """The Set-Cookie header: for `seconds`, or where that is None until the browser is closed."""
    settings = request.app.state.settings
    is_secure = "https" in (
        settings.address.partition(":")[0],
        request.url.scheme,
        request.headers.get("x-forwarded-proto", "").lower(),
    )
    lasts = "" if seconds is None else f"; Max-Age={seconds}"
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={token}; Path={settings.prefix}/console{lasts}; HttpOnly; SameSite=Strict{secure}"
