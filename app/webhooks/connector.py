"""One POST over aiohttp's connections: its pool, TLS and parser, with a request line and headers of our own.

A ClientSession builds a request, a response, a writer and a task for each POST, which costs three times what the POST
itself does. aiohttp's connection is taught one thing: a 2xx head counts even if what follows it in the same packet is
garbage. The parser refuses a whole packet when it ends wrongly (a body after 204, a body longer than its
Content-Length, a bad chunk); the receiver has the event all the same, and would get it again ten times.
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


class HeadKeeper(ResponseHandler):
    """Remembers the first bytes of an answer, so that a parser's refusal can name the status that stood before it.

    `requests` is how many went out on this connection.
    """

    requests = 0
    _first = b""

    async def ask(self, request: bytes, read_bufsize: int) -> tuple[RawResponseMessage, StreamReader]:
        """Write a whole request; the head of its answer and the body to come. HttpProcessingError, ClientError."""
        if self.requests and self.should_close:  # what came unasked meanwhile would be taken for our answer
            raise aiohttp.ServerDisconnectedError
        self._first = b""
        self.requests += 1
        self.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=read_bufsize)
        if self.transport is not None:  # where it was lost already, `read` says how
            self.transport.write(request)
        while True:
            message, body = await self.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return message, body

    @property
    def unsent(self) -> bool:
        """The answer came before the request was written."""
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
    """A TCPConnector whose connections keep heads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast(Any, functools.partial(HeadKeeper, loop=self._loop))


def start_of(url: URL) -> str:
    """The first two lines of a POST to `url`."""
    return f"POST {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\n"


def written(start: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a request; ValueError when a header has a line break in it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers):
        raise ValueError("a header has a line break")
    return f"{start}{lines}content-length: {len(body)}\r\n\r\n".encode() + body


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
