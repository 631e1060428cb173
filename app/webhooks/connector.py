"""aiohttp's connection, taught one thing: a 2xx head counts even if what follows it in the same packet is garbage.

The parser refuses a whole packet when it ends wrongly (a body after 204, a body longer than its Content-Length, a bad
chunk). The receiver has the event all the same, and would get it again ten times.
"""

import functools
import re
from contextvars import ContextVar
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

# Set in the context of a request that goes out on a connection that served another one before.
REUSED: ContextVar[bool] = ContextVar("reused", default=False)
KEPT_BYTES = 8192
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class HeadKeeper(ResponseHandler):
    """Remembers the first bytes of an answer, so that a parser's refusal can name the status that stood before it."""

    _first = b""
    _used = False

    def set_response_params(self, **params: Any) -> None:
        self._first = b""
        if self._used:
            REUSED.set(True)
        self._used = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if len(self._first) < KEPT_BYTES:
            self._first += data[:KEPT_BYTES]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError):
            exc.code = final_status(self._first)
        super().set_exception(exc, *cause)


class Connector(aiohttp.TCPConnector):
    """A TCPConnector whose connections keep heads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast(Any, functools.partial(HeadKeeper, loop=self._loop))


def final_status(first: bytes) -> int:
    """The status of the first complete head that is not interim; 0 when there is none."""
    *heads, _ = first.split(b"\r\n\r\n")
    for head in heads:
        line = STATUS_LINE.match(head + b"\r")
        if line is None:
            return 0
        if int(line[1]) >= 200:
            return int(line[1])
    return 0
