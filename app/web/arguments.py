"""Reads the arguments of a gathered route: what FastAPI does anew for each request is done once for each route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import request_body_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import PydanticUndefined

Reader = Callable[[Request], Awaitable[dict[str, Any]]]


def reader_of(route: APIRoute) -> Reader:
    """Makes the function that reads the arguments of the route's endpoint; it raises RequestValidationError.

    Such an endpoint takes the request, ids of its path, a JSON body, and dependencies that take the request alone.
    """
    dependant = route.dependant
    if dependant.query_params or dependant.header_params or dependant.cookie_params:
        raise TypeError(f"{route.name}: a gathered route takes its path, its body and dependencies")
    for child in dependant.dependencies:
        if child.request_param_name is None or child.dependencies or child.path_params or child.query_params:
            raise TypeError(f"{route.name}: a dependency of a gathered route takes the request alone")
    dependencies = [(child.name, child.call) for child in dependant.dependencies if child.call is not None]

    async def read(request: Request) -> dict[str, Any]:
        body = await request.json() if await request.body() else PydanticUndefined
        values: dict[str, Any] = {}
        for name, call in dependencies:
            found = await call(request)
            if name is not None:
                values[name] = found
        faults: list[Any] = []
        for field in dependant.path_params:
            place = ("path", field.alias)
            values[field.name], wrong = field.validate(request.path_params[field.alias], values, loc=place)
            faults += wrong or ()
        if dependant.body_params:
            read_body, wrong = await request_body_to_args(dependant.body_params, body, embed_body_fields=False)
            values |= read_body
            faults += wrong
        if faults:
            raise RequestValidationError(faults, body=body)
        if dependant.request_param_name:
            values[dependant.request_param_name] = request
        return values

    return read
