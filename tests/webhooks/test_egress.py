"""How faulty receivers are handled, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from typing import Any

import pytest

from app.webhooks.egress import Egress
from tests.ports import reserved_port
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.receivers import (
    LONG,
    LOOPBACK,
    SHORT_BODY,
    SHORT_TOTAL,
    Connection,
    always,
    egress,
    names,
    once,
    receiver,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
HEADERS = {"content-type": "application/json", "webhook-id": "evt_1", "accept-encoding": "identity"}
BODY = b'{"id":"evt_1"}'


async def test_a_2xx_is_delivered_and_the_request_has_exactly_the_given_headers_and_body() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def behave(connection: Connection) -> None:
        seen.append(await connection.request())
        await connection.answer(OK)

    async with receiver(behave) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error, outcome.head) == (200, None, "ok")
    headers, body = seen[0]
    assert body == BODY
    assert HEADERS.items() <= headers.items()
    assert set(headers) == {*HEADERS, "host", "content-length"}


async def test_a_receiver_that_never_answers_times_out_at_the_total_deadline() -> None:
    async with receiver(Connection.hang) as server, egress(limits=SHORT_TOTAL) as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "timeout")
    assert outcome.ms >= 400


async def drip(connection: Connection, start: bytes) -> None:
    await connection.answer(start)
    while True:
        await asyncio.sleep(0.02)
        await connection.answer(b"x")


async def test_a_slow_response_head_times_out_at_the_total_deadline() -> None:
    async with (
        receiver(lambda c: drip(c, b"HTTP/1.1 200 OK\r\nX-Slow: ")) as server,
        egress(limits=SHORT_TOTAL) as client,
    ):
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "timeout")


async def test_a_2xx_with_a_slow_body_is_success() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with receiver(lambda c: drip(c, head)) as server, egress(limits=SHORT_BODY) as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert outcome.delivered
    assert outcome.error == "body_slow"


async def test_a_2xx_with_an_endless_body_is_success_and_little_of_it_is_read() -> None:
    written = 0

    async def flood(connection: Connection) -> None:
        nonlocal written
        await connection.request()
        await connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while written < 1_000_000_000:
            await connection.answer(b"x" * 65536)
            written += 65536

    async with receiver(flood) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
        assert outcome.delivered
        assert len(outcome.head) == 1024
    assert written < 64_000_000, "no more than the socket buffers took"


async def test_a_compressed_body_is_not_decompressed() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with receiver(once(head + bomb)) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert outcome.delivered
    assert outcome.head[1:2] == "�", "the raw bytes of gzip, not zeros"
    assert "\x00" not in outcome.head


@pytest.mark.parametrize("apart", [False, True])
async def test_an_invalid_body_after_a_2xx_is_success_with_an_error_noted(apart: bool) -> None:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        if apart:
            await asyncio.sleep(0.05)
        await connection.answer(b"zz\r\nnot a chunk\r\n")

    async with receiver(behave) as server, egress(limits=SHORT_BODY) as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert outcome.delivered
    assert outcome.error in ("body_error", "body_slow"), "the error may go unnoticed, but the wait is short"


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01 nonsense\r\n\r\n", b"HTTP/9.9 abc\r\n\r\n", b"SMTP ready\r\n\r\n"])
async def test_an_invalid_response_head_is_a_protocol_error(garbage: bytes) -> None:
    async with receiver(once(garbage)) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "protocol_error")


async def test_a_reset_after_a_2xx_is_success_with_an_error_noted() -> None:
    seen = asyncio.Event()

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await seen.wait()
        connection.reset()

    class Reading(Egress):
        async def _read(self, *given: Any) -> None:
            seen.set()
            await super()._read(*given)

    async with receiver(behave) as server:
        client = Reading(LOOPBACK, LONG)
        outcome = await client.post(server.url, HEADERS, BODY)
        await client.close()
    assert outcome.delivered
    assert outcome.error == "reset_after_head"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_reset_before_the_end_of_the_head_is_a_failure(sent: bytes) -> None:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(sent)
        connection.reset()

    async with receiver(behave) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
        assert (outcome.code, outcome.error) == (None, "connection_reset")
        assert server.connections == 1, "a failure on a new connection is not repeated at once"


async def test_a_pooled_connection_closed_while_sending_is_replaced_within_the_same_attempt() -> None:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(OK)
        if server.connections == 1:
            await connection.reader.read(1)
            connection.reset()

    async with receiver(behave) as server, egress() as client:
        first = await client.post(server.url, HEADERS, BODY)
        second = await client.post(server.url, HEADERS, BODY)
        assert first.delivered
        assert second.delivered
        assert server.connections == 2


async def test_an_unrequested_response_is_not_taken_for_that_of_the_next_request() -> None:
    answered = asyncio.Event()

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(OK if server.connections == 1 else REFUSED)
        await answered.wait()
        await connection.answer(OK)
        await connection.request()
        await connection.answer(REFUSED)

    async with receiver(behave) as server, egress() as client:
        first = await client.post(server.url, HEADERS, BODY)
        (connector,) = client._connectors.values()
        ((protocol, _),) = next(iter(connector._conns.values()))
        answered.set()
        await until(lambda: protocol.should_close)
        second = await client.post(server.url, HEADERS, BODY)
    assert (first.code, second.code, server.connections) == (200, 500, 2)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(code: int) -> None:
    async with receiver(always(OK)) as redirected, egress() as client:
        head = f"HTTP/1.1 {code} Go\r\nLocation: {redirected.url}\r\nContent-Length: 0\r\n\r\n".encode()
        async with receiver(once(head)) as server:
            outcome = await client.post(server.url, HEADERS, BODY)
        assert (outcome.code, outcome.error) == (code, "redirect_refused")
        assert redirected.url in outcome.head
        assert redirected.connections == 0


async def test_a_name_is_resolved_once_and_the_checked_address_is_used() -> None:
    asked: list[str] = []

    async def rebinding(host: str):  # type: ignore[no-untyped-def]
        asked.append(host)
        return await names(hook_test="127.0.0.1" if len(asked) == 1 else "127.0.0.9")(host)

    seen: list[dict[str, str]] = []

    async def behave(connection: Connection) -> None:
        seen.append((await connection.request())[0])
        await connection.answer(OK)

    async with receiver(behave) as server, egress(lookup=rebinding) as client:
        outcome = await client.post(f"http://hook.test:{server.port}/", HEADERS, BODY)
    assert outcome.delivered
    assert asked == ["hook.test"]
    assert seen[0]["host"] == f"hook.test:{server.port}"


async def test_one_blocked_address_among_allowed_ones_refuses_the_name() -> None:
    async with receiver(always(OK)) as server, egress(lookup=names(hook_test="127.0.0.1 10.0.0.1")) as client:
        outcome = await client.post(f"http://hook.test:{server.port}/", HEADERS, BODY)
        assert (outcome.code, outcome.error, outcome.head) == (None, "blocked_address", "")
        assert server.connections == 0


@pytest.mark.parametrize("hidden", ["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "10.0.0.1", "169.254.169.254"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_private_address_also_embedded_in_ipv6_is_refused_as_a_name_and_as_a_literal(
    scheme: str, hidden: str
) -> None:
    literal = f"[{hidden}]" if ":" in hidden else hidden
    async with egress(lookup=names(hook_test=hidden)) as client:
        for host in ("hook.test", literal):
            outcome = await client.post(f"{scheme}://{host}/", HEADERS, BODY)
            assert (outcome.code, outcome.error) == (None, "blocked_address")


async def test_plain_http_and_other_ports_reach_only_allowed_networks_even_if_the_name_is_public() -> None:
    async with egress(lookup=names(hook_test="93.184.216.34")) as client:
        assert (await client.post("http://hook.test/", HEADERS, BODY)).error == "blocked_address"
        assert (await client.post("https://hook.test:444/", HEADERS, BODY)).error == "blocked_address"
        assert (await client.post("http://93.184.216.34/", HEADERS, BODY)).error == "blocked_address"


async def test_a_name_that_does_not_exist_is_a_failure() -> None:
    async with egress(lookup=names()) as client:
        assert (await client.post("https://hook.test/", HEADERS, BODY)).error == "dns_failed"


async def test_other_codes_are_returned_with_their_retry_after() -> None:
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy"
    async with receiver(once(head)) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error, outcome.retry_after, outcome.head) == (503, None, "120", "busy")


@pytest.mark.parametrize("first", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"])
async def test_1xx_responses_are_skipped(first: bytes) -> None:
    async with receiver(once(first + OK)) as server, egress() as client:
        assert (await client.post(server.url, HEADERS, BODY)).code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\n\r\nuntil close",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
    ],
)
async def test_unusual_2xx_responses_are_success(raw: bytes) -> None:
    async with receiver(once(raw)) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert outcome.delivered


@pytest.mark.parametrize(
    "head", [b"X-Big: " + b"x" * 65_000 + b"\r\n", b"".join(b"X-%d: y\r\n" % n for n in range(10_000))]
)
async def test_too_large_response_heads_are_protocol_errors(head: bytes) -> None:
    async with receiver(once(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")) as server, egress() as client:
        outcome = await client.post(server.url, HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "protocol_error")


async def test_a_response_before_the_deadline_is_success_and_after_it_a_failure() -> None:
    answered = asyncio.Event()

    async def behave(connection: Connection) -> None:
        await connection.request()
        if server.connections > 1:
            await connection.hang()
        await answered.wait()
        await connection.answer(OK)

    async with receiver(behave) as server:
        async with egress(limits=LONG) as client:
            sending = asyncio.create_task(client.post(server.url, HEADERS, BODY))
            await asyncio.sleep(0.1)
            answered.set()
            assert (await sending).delivered
        async with egress(limits=SHORT_TOTAL) as client:
            assert (await client.post(server.url, HEADERS, BODY)).error == "timeout"


async def test_a_response_before_our_body_was_read_is_success_and_the_connection_is_not_reused() -> None:
    async def behave(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with receiver(behave) as server, egress() as client:
        assert (await client.post(server.url, HEADERS, BODY * 1000)).delivered
        assert (await client.post(server.url, HEADERS, BODY)).delivered
        assert server.connections == 2


async def test_a_refused_connection_is_a_failure() -> None:
    with reserved_port() as port:
        async with egress() as client:
            assert (await client.post(f"http://127.0.0.1:{port}/", HEADERS, BODY)).error == "connect_failed"


async def test_proxy_environment_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(always(OK)) as proxy, receiver(always(OK)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with egress() as client:
            assert (await client.post(server.url, HEADERS, BODY)).delivered
        assert (proxy.connections, server.connections) == (0, 1)


async def test_cookies_are_neither_stored_nor_sent() -> None:
    seen: list[dict[str, str]] = []

    async def behave(connection: Connection) -> None:
        seen.append((await connection.request())[0])
        await connection.answer(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with receiver(behave) as server, egress(LOOPBACK, lookup=names(hook_test="127.0.0.1")) as client:
        for _ in range(2):
            await client.post(f"http://hook.test:{server.port}/", HEADERS, BODY)
    assert all("cookie" not in headers for headers in seen)
    assert len(seen) == 2


async def test_a_header_with_a_line_break_is_never_sent() -> None:
    async with receiver(always(OK)) as server, egress() as client:
        for value in ("a\r\nx-more: b", "a\nx-more: b"):
            assert (await client.post(server.url, {"x-one": value}, BODY)).error == "protocol_error"
        assert server.connections == 0


async def test_the_rest_of_a_body_is_not_sent_after_the_deadline() -> None:
    took: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def behave(connection: Connection) -> None:
        await over.wait()
        count = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await connection.reader.read(1_000_000):
                count += len(chunk)
        took.set_result(count)

    async with receiver(behave) as server, egress(limits=SHORT_TOTAL) as client:
        outcome = await client.post(server.url, HEADERS, b"x" * 50_000_000)
        over.set()
        assert outcome.error == "timeout"
        assert await asyncio.wait_for(took, TIMEOUT_SECONDS) < 50_000_000, "no more than the socket buffers held"
