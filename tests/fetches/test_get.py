"""A GET counts only when its whole body came, whatever a provider does; nothing raises."""

import pytest

from app.webhooks.targets import Targets
from tests.webhooks.receivers import LONG, SHORT_TOTAL, Connection, egress, receiver

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("raw", "body", "error"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", b"{}", None),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}", None),
        (HEAD + b"Connection: close\r\n\r\n{}", b"{}", None),
        (HEAD + b"Content-Length: 0\r\n\r\n", b"", None),
        (HEAD + b"Content-Length: 10\r\n\r\n" + b"x" * 10, b"x" * 10, None),
        (HEAD + b"Content-Length: 11\r\n\r\n" + b"x" * 11, b"", "body_too_large"),
        (HEAD + b"Content-Length: 5\r\n\r\n{}", b"", "reset_after_head"),
        (b"nonsense\r\n\r\n", b"", "protocol_error"),
        (b"", b"", "connection_reset"),
    ],
)
async def test_a_body_is_whole_or_there_is_none(raw: bytes, body: bytes, error: str | None) -> None:
    lines: list[bytes] = []

    async def behave(connection: Connection) -> None:
        lines.append(await connection.reader.readuntil(b"\r\n\r\n"))
        await connection.answer(raw)

    async with receiver(behave) as server, egress(limits=LONG) as client:
        fetched = await client.get(server.url, {"accept": "application/json"}, 10)
    assert (fetched.body, fetched.outcome.error) == (body, error)
    assert fetched.outcome.delivered is (error is None)
    assert lines[0].startswith(b"GET /hook HTTP/1.1\r\n")


async def test_a_body_that_does_not_end_is_given_up_at_the_deadline() -> None:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(HEAD + b"Content-Length: 10\r\n\r\n{")
        await connection.hang()

    async with receiver(behave) as server, egress(limits=SHORT_TOTAL) as client:
        fetched = await client.get(server.url, {}, 10)
    assert (fetched.body, fetched.outcome.delivered) == (b"", False)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "https://10.0.0.1/", "ftp://a.example/", "https://a.example:22/", "https://a b/"]
)
async def test_an_address_that_no_webhook_may_call_is_not_called(url: str) -> None:
    async with egress(targets=Targets()) as client:
        fetched = await client.get(url, {}, 10)
    assert fetched.outcome.error in ("target_refused", "url_invalid")
