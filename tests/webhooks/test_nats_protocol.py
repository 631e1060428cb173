"""What is written to a NATS server and what its answers mean, byte by byte; and servers that lie."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from app.webhooks.brokers import connections, nats
from app.webhooks.brokers.connection import Answer
from app.webhooks.brokers.nats import connect_options, encoded_headers, error_kind, read_answer
from app.webhooks.credentials import Credentials
from app.webhooks.egress import Limits
from app.webhooks.message import Message
from app.webhooks.retry import Outcome
from tests.waiting import until
from tests.webhooks.receivers import (
    LONG,
    LOOPBACK,
    SHORT_CONNECT,
    Behaviour,
    Connection,
    egress,
    names,
    receiver,
)

INFO = b'INFO {"headers":true,"max_payload":1024}\r\n'
ACK = b'{"stream":"LEADS","seq":7}'
DUPLICATE = b'{"stream":"LEADS","seq":7,"duplicate":true}'
MESSAGE = Message(
    url="",
    credentials=None,
    timeout_seconds=60,
    id="evt_1",
    type="lead.updated",
    tenant="ten_1",
    lead="lead_1",
    key="lead_1",
    headers={"content-type": "application/json", "user-agent": "B", "Accept-Encoding": "identity", "X-Team": "sales"},
    body=b'{"a":1}',
)
HEADERS = b"NATS/1.0\r\ncontent-type: application/json\r\nX-Team: sales\r\nNats-Msg-Id: evt_1\r\n\r\n"


# --- the rules


def test_a_message_has_the_headers_of_the_request_without_those_of_http_and_its_id() -> None:
    assert encoded_headers(MESSAGE) == HEADERS


@pytest.mark.parametrize("value", ["a\r\nNats-Rollup: all", "a\rb", "a\nb"])
def test_a_header_with_a_line_break_is_never_written(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encoded_headers(replace(MESSAGE, headers={"X-Team": value}))


@pytest.mark.parametrize(
    ("head", "payload", "answer"),
    [
        (b"", ACK, Answer(200, None, ACK.decode())),
        (b"", DUPLICATE, Answer(200, None, DUPLICATE.decode())),
        (b"NATS/1.0 503\r\n\r\n", b"", Answer(503, "stream_missing", "no stream takes this subject")),
        (b"", b'{"error":{"code":400,"err_code":10054}}', Answer(400, "payload_too_large", "")),
        (b"", b'{"error":{"code":503,"err_code":10077,"description":"full"}}', Answer(503, "stream_refused", "full")),
        (b"", b'{"error":{"code":404}}', Answer(404, "stream_refused", "")),
        (b"", b'{"error":{"code":410,"description":"gone"}}', Answer(500, "stream_refused", "gone")),
        (b"", b'{"error":{"code":200}}', Answer(500, "stream_refused", "")),
        (b"", b'{"error":{"code":"400"}}', Answer(500, "stream_refused", "")),
        (b"", b"", Answer(502, "not_acknowledged", "")),
        (b"", b"thanks", Answer(502, "not_acknowledged", "thanks")),
        (b"", b"[]", Answer(502, "not_acknowledged", "[]")),
        (b"", b'{"stream":"L"}', Answer(502, "not_acknowledged", '{"stream":"L"}')),
        (b"", b'{"stream":7,"seq":7}', Answer(502, "not_acknowledged", '{"stream":7,"seq":7}')),
        (b"", b'{"error":null,"stream":"L","seq":1}', Answer(200, None, '{"error":null,"stream":"L","seq":1}')),
    ],
)
def test_only_the_acknowledgement_of_a_stream_counts_as_delivered(head: bytes, payload: bytes, answer: Answer) -> None:
    assert read_answer(head, payload) == answer
    assert Outcome(answer.code).delivered == (answer.code == 200)


@pytest.mark.parametrize(
    "payload", [b"\x00\xff" + b"x" * 5000, b'{"error":{"description":"\\u0000' + b"x" * 5000 + b'"}}']
)
def test_an_answer_is_kept_as_text_that_the_database_can_hold(payload: bytes) -> None:
    answer = read_answer(b"", payload)
    assert "\x00" not in answer.head
    assert len(answer.head) == 1024


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-ERR 'Authorization Violation'", "authorization_failed"),
        ("-ERR 'Authentication Timeout'", "authorization_failed"),
        ("User Authentication Expired", "authorization_failed"),
        ("-ERR 'Stale Connection'", "connection_reset"),
        ("-ERR 'Maximum Payload Violation'", "connection_reset"),
    ],
)
def test_an_error_of_the_server_says_whether_it_is_about_the_credentials(text: str, kind: str) -> None:
    assert error_kind(text) == kind


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (None, {}),
        (Credentials(username="u", password="p"), {"user": "u", "pass": "p"}),
        (Credentials(token="t"), {"auth_token": "t"}),
    ],
)
def test_credentials_are_named_as_the_protocol_names_them(
    credentials: Credentials | None, expected: dict[str, str]
) -> None:
    given = connect_options(credentials, tls=True)
    assert {name: given[name] for name in ("user", "pass", "auth_token") if name in given} == expected
    assert given["headers"] is given["no_responders"] is given["tls_required"] is True


# --- servers byte by byte


async def take(connection: Connection) -> tuple[bytes, bytes, bytes]:
    """Read one message: its subject, its inbox, and its headers with its body."""
    while not (line := await connection.reader.readline()).startswith(b"HPUB"):
        assert line, "the connection was closed"
    _, subject, inbox, _, size = line.split()
    return subject, inbox, (await connection.reader.readexactly(int(size) + 2))[:-2]


def greeting(then: Behaviour, info: bytes = INFO) -> Behaviour:
    """Let every client in, and go on."""

    async def behave(connection: Connection) -> None:
        await connection.answer(info)
        while await connection.reader.readline() != b"PING\r\n":
            pass
        await connection.answer(b"PONG\r\n")
        await then(connection)

    return behave


def replying(*payloads: bytes) -> Behaviour:
    """Answer the messages with these payloads, then with the last one."""

    async def behave(connection: Connection) -> None:
        given = list(payloads)
        while True:
            _, inbox, _ = await take(connection)
            payload = given.pop(0) if len(given) > 1 else given[0]
            await connection.answer(b"MSG %b 1 %d\r\n%b\r\n" % (inbox, len(payload), payload))

    return behave


async def sent(behave: Behaviour, messages: Sequence[Message] = (MESSAGE,), limits: Limits = LONG) -> list[Outcome]:
    """The outcomes of messages that are sent one after the other to a server that behaves so."""
    async with receiver(behave) as server, egress(limits=limits) as client:
        url = f"nats://127.0.0.1:{server.port}/a"
        return [await client.send(replace(each, url=url)) for each in messages]


async def test_messages_go_over_one_connection_and_have_each_its_acknowledgement() -> None:
    got: list[tuple[bytes, bytes]] = []

    async def behind(connection: Connection) -> None:
        """Answer each message only after the next one came, the last one at once."""
        waiting: list[bytes] = []
        while True:
            subject, inbox, content = await take(connection)
            got.append((subject, content))
            waiting.append(inbox)
            if len(waiting) == 3:
                for number, each in reversed(list(enumerate(waiting))):
                    payload = b'{"stream":"L","seq":%d}' % number
                    await connection.answer(b"PING\r\n+OK\r\nMSG %b 1 %d\r\n%b\r\n" % (each, len(payload), payload))

    async with receiver(greeting(behind)) as server, egress() as client:
        url = f"nats://127.0.0.1:{server.port}/lead.{{lead}}.{{type}}"
        made = [replace(MESSAGE, url=url, lead=lead) for lead in ("one", "two", None)]
        outcomes = await asyncio.gather(*(client.send(each) for each in made))
    assert server.connections == 1
    assert [orjson.loads(each.head)["seq"] for each in outcomes] == [0, 1, 2]
    assert all(each.delivered for each in outcomes)
    assert [subject for subject, _ in got] == [
        b"lead.one.lead.updated",
        b"lead.two.lead.updated",
        b"lead.none.lead.updated",
    ]
    assert {content for _, content in got} == {HEADERS + MESSAGE.body}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol_error"),
        (b"INFO {}\r\n", "protocol_error"),
        (b"INFO []\r\n", "protocol_error"),
        (b"INFO {\r\n", "protocol_error"),
        (b"INFO\r\n", "protocol_error"),
        (b"\r\n", "protocol_error"),
        (b'INFO {"headers":true}\r\n', "protocol_error"),
        (b'INFO {"headers":true,"max_payload":"1"}\r\n', "protocol_error"),
        (b'INFO {"headers":true,"max_payload":1,"tls_required":true}\r\n', "tls_required"),
        (b"INFO " + b"x" * 100_000, "protocol_error"),
        (INFO, "connection_reset"),
        (INFO + b"-ERR 'Authorization Violation'\r\n", "authorization_failed"),
        (INFO + b"-ERR 'maximum connections exceeded'\r\n", "connection_reset"),
        (INFO + b"MSG a 1 2\r\nab\r\n", "protocol_error"),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_a_failure_of_its_kind(written: bytes, kind: str) -> None:
    async def behave(connection: Connection) -> None:
        await connection.answer(written)
        if written.endswith(b"}\r\n") and kind == "connection_reset":
            await connection.reader.readuntil(b"PING\r\n")

    [outcome] = await sent(behave)
    assert (outcome.code, outcome.error in (kind, "connect_failed")) == (None, True), outcome
    assert kind == "connection_reset" or outcome.error == kind


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (b"nonsense\r\n", "protocol_error"),
        (b"MSG a 1 x\r\n", "protocol_error"),
        (b"MSG a 1 -1\r\n", "protocol_error"),
        (b"MSG\r\n", "protocol_error"),
        (b"MSG a 1 999999999\r\n", "protocol_error"),
        (b"MSG a 1 16385\r\n", "protocol_error"),
        (b"HMSG a 1 5 4\r\nabcd\r\n", "protocol_error"),
        (b"HMSG a 1\r\n", "protocol_error"),
        (b"MSG a 1 5\r\nab", "connection_reset"),
        (b"INFO x\r\n", "protocol_error"),
        (b"x" * 100_000, "protocol_error"),
        (b"-ERR 'Stale Connection'\r\n", "connection_reset"),
        (b"-ERR 'User Authentication Expired'\r\n", "authorization_failed"),
        (b"-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n", "permission_denied"),
        (b"", "connection_reset"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection_and_is_a_failure(written: bytes, kind: str) -> None:
    async def behave(connection: Connection) -> None:
        await take(connection)
        await connection.answer(written)

    [outcome] = await sent(greeting(behave))
    assert (outcome.code, outcome.error) == (None, kind)


async def test_a_server_that_pings_and_reads_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "MAX_UNSENT", 64 * 1024)

    async def behave(connection: Connection) -> None:
        while True:
            await connection.answer(b"PING\r\n" * 10_000)

    [outcome] = await sent(greeting(behave))
    assert (outcome.code, outcome.error) == (None, "connection_reset")


async def test_an_answer_to_nobody_is_ignored() -> None:
    async def behave(connection: Connection) -> None:
        _, inbox, _ = await take(connection)
        for each in (b"other", inbox + b"0", inbox):
            await connection.answer(b"MSG %b 1 %d\r\n%b\r\n" % (each, len(ACK), ACK))
        await connection.hang()

    [outcome] = await sent(greeting(behave))
    assert outcome.delivered


async def test_a_forbidden_subject_refuses_its_message_and_no_other() -> None:
    async def behave(connection: Connection) -> None:
        subject, _, _ = await take(connection)
        await connection.answer(b"-ERR 'Permissions Violation for Publish to \"%b\"\x00'\r\n" % subject)
        await replying(ACK)(connection)

    refused, taken = await sent(greeting(behave), [MESSAGE, MESSAGE])
    assert (refused.code, refused.error) == (403, "permission_denied")
    assert "\x00" not in refused.head
    assert taken.delivered


@pytest.mark.parametrize(("spare", "code"), [(0, 200), (-1, 413)])
async def test_a_message_is_refused_when_it_is_larger_than_the_server_takes(spare: int, code: int) -> None:
    size = len(HEADERS) + len(MESSAGE.body) + spare
    info = b'INFO {"headers":true,"max_payload":%d}\r\n' % size
    [outcome] = await sent(greeting(replying(ACK), info))
    assert outcome.code == code
    assert outcome.error == (None if code == 200 else "payload_too_large")


async def test_after_a_message_without_an_answer_the_next_one_goes_over_a_new_connection() -> None:
    connections = 0

    async def behave(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await replying(ACK)(connection)
        await connection.hang()

    silent, taken = await sent(greeting(behave), [replace(MESSAGE, timeout_seconds=0.3), MESSAGE])
    assert (silent.code, silent.error) == (None, "timeout")
    assert taken.delivered
    assert connections == 2


async def test_a_server_that_says_it_will_stop_gets_no_new_message_and_may_answer_the_last_one() -> None:
    connections = 0

    async def behave(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            _, inbox, _ = await take(connection)
            await connection.answer(b'INFO {"ldm":true}\r\nMSG %b 1 %d\r\n%b\r\n' % (inbox, len(ACK), ACK))
            await connection.hang()
        await replying(ACK)(connection)

    outcomes = await sent(greeting(behave), [MESSAGE, MESSAGE])
    assert [each.delivered for each in outcomes] == [True, True]
    assert connections == 2


async def test_a_server_that_never_greets_ends_at_the_time_limit_of_connecting() -> None:
    async def silent(connection: Connection) -> None:
        await connection.hang()

    [outcome] = await sent(silent, limits=SHORT_CONNECT)
    assert outcome.error == "connect_timeout"


async def test_the_first_host_that_lets_us_in_is_used() -> None:
    async def rude(connection: Connection) -> None:
        await connection.answer(b"-ERR 'go away'\r\n")

    async with (
        receiver(rude) as first,
        receiver(greeting(replying(ACK))) as second,
        egress(lookup=names(down_test="127.0.0.1")) as client,
    ):
        url = f"nats://down.test:1,127.0.0.1:{first.port},127.0.0.1:{second.port},127.0.0.1:{first.port}/a"
        outcome = await client.send(replace(MESSAGE, url=url))
    assert outcome.delivered
    assert first.connections == 1


@pytest.mark.parametrize(
    ("host", "known", "kind"),
    [
        ("inner.test", "10.0.0.1", "blocked_address"),
        ("mixed.test", "127.0.0.1 10.0.0.1", "blocked_address"),
        ("none.test", "", "blocked_address"),
        ("unknown.test", None, "dns_failed"),
        ("10.0.0.1", None, "blocked_address"),
        ("[::ffff:10.0.0.1]", None, "blocked_address"),
        ("169.254.169.254", None, "blocked_address"),
    ],
)
async def test_an_address_is_checked_at_every_connect(host: str, known: str | None, kind: str) -> None:
    """Also where the URL was stored before the networks of the operator changed."""
    lookup = names() if known is None else names(**{host.replace(".", "_"): known})
    async with egress(LOOPBACK, lookup=lookup) as client:
        for scheme in ("nats", "nats+tls"):
            outcome = await client.send(replace(MESSAGE, url=f"{scheme}://{host}:4222/a"))
            assert (outcome.code, outcome.error) == (None, kind)


async def test_subscriptions_with_other_credentials_have_connections_of_their_own() -> None:
    async with receiver(greeting(replying(ACK))) as server, egress() as client:
        base = replace(MESSAGE, url=f"nats://127.0.0.1:{server.port}/a")
        for credentials in (None, Credentials(token="a"), Credentials(token="b"), Credentials(token="a")):
            assert (await client.send(replace(base, credentials=credentials))).delivered
        assert (await client.send(replace(base, url=base.url.replace("/a", "/b")))).delivered
    assert server.connections == 3


def test_credentials_are_not_shown_by_repr() -> None:
    given = Credentials(username="user-name", password="pass-word")
    assert "user-name" not in repr(given)
    assert "pass-word" not in repr(replace(MESSAGE, credentials=given))
    assert "to-ken" not in repr(Credentials(token="to-ken"))


@pytest.mark.parametrize(
    ("in_flight", "seconds", "idle"), [(0, 59.5, False), (0, 60.0, True), (0, 61.0, True), (1, 61.0, False)]
)
async def test_a_connection_is_idle_that_nobody_used_for_a_minute(in_flight: int, seconds: float, idle: bool) -> None:
    opening: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    line = connections.Line(cast(Any, opening), in_flight, used_at=100.0)
    assert line.idle(100.0 + seconds) == idle


async def test_a_message_without_an_answer_does_not_take_it_from_another_that_is_in_flight() -> None:
    given_up = asyncio.Event()

    async def behave(connection: Connection) -> None:
        inboxes = [(await take(connection))[1] for _ in range(2)]
        await given_up.wait()
        for each in inboxes:
            await connection.answer(b"MSG %b 1 %d\r\n%b\r\n" % (each, len(ACK), ACK))
        await connection.hang()

    async with receiver(greeting(behave)) as server, egress() as client:
        message = replace(MESSAGE, url=f"nats://127.0.0.1:{server.port}/a")
        patient = asyncio.create_task(client.send(message))
        assert (await client.send(replace(message, timeout_seconds=0.3))).error == "timeout"
        given_up.set()
        assert (await patient).delivered


async def test_at_the_end_connections_are_closed_whatever_is_in_flight() -> None:
    async def behave(connection: Connection) -> None:
        await take(connection)
        got.set()
        await connection.hang()

    got = asyncio.Event()
    async with receiver(greeting(behave)) as server, egress() as client:
        sending = asyncio.create_task(client.send(replace(MESSAGE, url=f"nats://127.0.0.1:{server.port}/a")))
        await got.wait()
        await client.close()
        assert (await sending).error == "connection_reset"


async def test_a_connection_that_nobody_uses_is_closed_and_one_that_waits_for_its_answer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    answered, closed = asyncio.Event(), asyncio.Event()

    async def behave(connection: Connection) -> None:
        _, inbox, _ = await take(connection)
        await answered.wait()
        await connection.answer(b"MSG %b 1 %d\r\n%b\r\n" % (inbox, len(ACK), ACK))
        assert await connection.reader.read() == b""
        closed.set()

    async with receiver(greeting(behave)) as server, egress() as client:
        sending = asyncio.create_task(client.send(replace(MESSAGE, url=f"nats://127.0.0.1:{server.port}/a")))
        await asyncio.sleep(0.3)
        answered.set()
        assert (await sending).delivered
        await closed.wait()


async def test_a_connection_that_failed_while_nobody_waited_is_made_anew() -> None:
    refused = asyncio.Event()

    async def behave(connection: Connection) -> None:
        if not refused.is_set():
            await refused.wait()
            return
        await greeting(replying(ACK))(connection)

    async with receiver(behave) as server, egress() as client:
        message = replace(MESSAGE, url=f"nats://127.0.0.1:{server.port}/a")
        given_up = asyncio.create_task(client.send(message))
        await until(lambda: server.connections == 1)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        refused.set()
        await until(lambda: not server.tasks)
        assert (await client.send(message)).error in (None, "connect_failed", "connection_reset")
        assert (await client.send(message)).delivered
