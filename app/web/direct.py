"""Calls the gathered routes directly: routing and what FastAPI wraps around an endpoint would take longer than that.

Pure ASGI. The routes are declared with FastAPI as all others, which answers other methods of their paths and describes
them. Problems that they raise are answered by the gate.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.problems import invalid
from app.web.transacted import Gathered


class Direct:
    """ASGI middleware: a POST to the path of a gathered route is answered here."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._routes = [(route, route.get_route_handler()) for route in routes if isinstance(route, Gathered)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            for route, answering in self._routes:
                if (found := route.path_regex.match(scope["path"])) is None:
                    continue
                scope["route"], scope["path_params"] = route, found.groupdict()
                try:
                    response = await answering(Request(scope, receive))
                except RequestValidationError as error:
                    response = invalid(error)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)
