"""One POST over aiohttp's connection pool, TLS and response parser, without ClientSession.

ClientSession creates a request, a response, a writer and a task for each POST, which costs three times as much as the
POST itself. This module writes the request itself, and it changes one thing: a 2xx status counts even when the rest of
the packet is invalid (a body after 204, a body longer than its Content-Length, a bad chunk). aiohttp's parser rejects
such a packet as a whole; but the receiver has accepted the event, and would get it again with every retry.
"""

import functools
import re
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

KEPT_BYTES = 8192
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class StatusKeeper(ResponseHandler):
    """Keeps the first bytes of a response, so that a parser error can carry the status that came before it.

    `requests` counts the requests written to this connection.
    """

    requests = 0
    _first = b""

    async def send(self, request: bytes, read_bufsize: int) -> tuple[RawResponseMessage, StreamReader]:
        """Write a request; the head of its response and the stream of the body. HttpProcessingError, ClientError."""
        if self.requests and self.should_close:  # unrequested data would be read as our response
            raise aiohttp.ServerDisconnectedError
        self._first = b""
        self.requests += 1
        self.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=read_bufsize)
        if self.transport is not None:  # if the connection is lost, `read` raises the reason
            self.transport.write(request)
        while True:
            message, body = await self.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return message, body

    @property
    def unsent(self) -> bool:
        """The response came before the whole request was written."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def data_received(self, data: bytes) -> None:
        if len(self._first) < KEPT_BYTES:
            self._first += data[:KEPT_BYTES]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError):
            exc.code = final_status(self._first)
        super().set_exception(exc, *cause)


class Connector(aiohttp.TCPConnector):
    """A TCPConnector whose connections are StatusKeepers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast(Any, functools.partial(StatusKeeper, loop=self._loop))


def request_start(url: URL, method: str = "POST") -> str:
    """The request line and Host header of a request to `url`."""
    return f"{method} {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\n"


def request_bytes(start: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a request. Raises ValueError when a header contains a line break."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers):
        raise ValueError("a header has a line break")
    return f"{start}{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def final_status(first: bytes) -> int:
    """The status of the first complete response head that is not 1xx; 0 when there is none."""
    *heads, _ = first.split(b"\r\n\r\n")
    for head in heads:
        line = STATUS_LINE.match(head + b"\r")
        if line is None:
            return 0
        if int(line[1]) >= 200:
            return int(line[1])
    return 0
