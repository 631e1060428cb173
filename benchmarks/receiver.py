"""`python -m benchmarks.receiver PORT`: answers every POST with 200 and records when each webhook-id arrived.

GET /count returns the count and the times of the first and the last one; GET /times the time of each id, the first
where it came several times; GET /arrivals the time of each request. POST …/down is answered 503 until GET /up; POST
…/slow is answered after 29 seconds. GET /paths has the number of ids that each path took, GET /times/PATH their times,
GET /repeats the number of requests of each path for ids that it had. A `mark` in the body counts in place of the id.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from typing import cast

import uvloop

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
DOWN = b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n"
SLOW_SECONDS = 29
MARK = b'"mark"'


class Received:
    """What has arrived: the time of each id, and the count, repeats included."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.times: dict[str, float] = {}
        self.arrivals: list[float] = []
        self.taken: dict[str, dict[str, float]] = defaultdict(dict)
        self.repeats: Counter[str] = Counter()
        self.is_down = True

    def note(self, head: bytes, body: bytes, path: str) -> None:
        self.last = time.time()
        self.first = self.first or self.last
        self.count += 1
        self.arrivals.append(self.last)
        if name := _name(head, body):
            self.times.setdefault(name, self.last)
            self.repeats[path] += name in self.taken[path]
            self.taken[path].setdefault(name, self.last)

    def answer(self, path: bytes) -> bytes:
        shown: object = {"count": self.count, "first": self.first, "last": self.last}
        if path == b"/times":
            shown = self.times
        elif path == b"/arrivals":
            shown = self.arrivals
        elif path == b"/paths":
            shown = {name: len(times) for name, times in self.taken.items()}
        elif path == b"/repeats":
            shown = self.repeats
        elif path.startswith(b"/times/"):
            shown = self.taken[path[7:].decode()]
        elif path == b"/up":
            self.is_down = False
        body = json.dumps(shown).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _name(head: bytes, body: bytes) -> str:
    """The mark of the body, else the webhook-id, else nothing."""
    if (begin := body.find(MARK)) >= 0:
        return body[begin + len(MARK) :].split(b'"', 2)[1].decode()
    begin = head.lower().find(b"webhook-id:")
    return head[begin + 11 :].split(b"\r\n", 1)[0].strip().decode() if begin >= 0 else ""


class Connection(asyncio.Protocol):
    """A keep-alive connection."""

    def __init__(self, received: Received) -> None:
        self.received, self.buffer = received, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            begin = head.lower().find(b"content-length:")
            size = int(head[begin + 15 :].split(b"\r\n", 1)[0]) if begin >= 0 else 0
            if len(self.buffer) < end + 4 + size:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            method, path, _ = head.split(b" ", 2)
            if method == b"POST":
                self.take(head, body, path)
            else:
                self.transport.write(self.received.answer(path))

    def take(self, head: bytes, body: bytes, path: bytes) -> None:
        if path.endswith(b"/down") and self.received.is_down:
            self.transport.write(DOWN)
        elif path.endswith(b"/slow"):
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self.transport.write, OK)
        else:
            self.received.note(head, body, path[1:].decode())
            self.transport.write(OK)


async def serve(port: int) -> None:
    received = Received()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(received), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
