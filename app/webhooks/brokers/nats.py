"""Publish to a NATS JetStream: one connection, many messages in flight, each acknowledged by the stream.

The text protocol of NATS, as far as a publisher needs it (docs/decisions/0099 says why not its library). What a server
sends is limited, since it may be anybody's: a line to 64 KiB, a message to 16 KiB.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from itertools import count
from typing import Any, Final

import orjson

from app.webhooks.brokers.connection import Answer, BrokerFault, Dialer, fault_kind, kept_headers
from app.webhooks.credentials import Credentials, seed_of
from app.webhooks.message import Message
from app.webhooks.nkeys import public_key, signature
from app.webhooks.sinks import Sink

MAX_MESSAGE: Final = 16 * 1024
MAX_UNSENT: Final = 8 << 20
MAX_TEXT: Final = 1024
NO_RESPONDERS: Final = b"NATS/1.0 503"
TOO_LARGE: Final = 10054  # JetStream's code of a message that is larger than the stream takes


class NatsConnection:
    """A connection that was let in. `publish` may be called any number of times at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_payload: int) -> None:
        self._reader, self._writer = reader, writer
        self._inbox, self._numbers = f"_INBOX.{secrets.token_hex(16)}", count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Answer]]] = {}
        self._unsent: list[bytes] = []
        self._lost: str | None = None
        self._leaving = False
        self._max_payload = max_payload
        writer.write(f"SUB {self._inbox}.* 1\r\n".encode())
        self._task = asyncio.create_task(self._read())

    @property
    def usable(self) -> bool:
        return self._lost is None and not self._leaving and not self._writer.is_closing()

    async def publish(self, destination: str, message: Message) -> Answer:
        """Publish, and wait for the acknowledgement of the stream. Raises BrokerFault when the connection is lost."""
        if self._lost is not None or self._writer.is_closing():
            raise BrokerFault(self._lost or "connection_reset")
        headers = encoded_headers(message)
        size = len(headers) + len(message.body)
        if size > self._max_payload:
            return Answer(413, "payload_too_large", f"{size} bytes; the server takes {self._max_payload}")
        inbox, answer = f"{self._inbox}.{next(self._numbers)}", asyncio.get_running_loop().create_future()
        self._waiting[inbox] = destination, answer
        try:
            command = f"HPUB {destination} {inbox} {len(headers)} {size}\r\n".encode()
            self._write(b"".join((command, headers, message.body, b"\r\n")))
            return await answer
        finally:
            del self._waiting[inbox]

    def _write(self, command: bytes) -> None:
        """Write it together with what else is written in this turn of the event loop.

        Raises BrokerFault where the server takes nothing: it could have us keep answers to its pings without limit.
        """
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            raise BrokerFault("connection_reset")
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(command)

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(b"".join(self._unsent))
        self._unsent.clear()

    async def close(self) -> None:
        self._lose("connection_reset")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                await self._handle(await _line(self._reader))
        except Exception as fault:  # whatever a server sends ends its connection only
            self._lose(fault_kind(fault, connecting=False))

    async def _handle(self, line: bytes) -> None:
        verb, _, rest = line.strip().partition(b" ")
        match verb.upper():
            case b"MSG" | b"HMSG":
                inbox, head, payload = await self._message(verb, rest)
                self._settle(inbox, read_answer(head, payload))
            case b"PING":
                self._write(b"PONG\r\n")
            case b"INFO":
                self._leaving = bool(orjson.loads(rest).get("ldm"))  # the server is about to stop: go elsewhere
            case b"-ERR":
                self._refused(rest.decode("utf-8", "replace").strip("' "))
            case b"PONG" | b"+OK":
                pass
            case _:
                raise ValueError("not a line of NATS")

    async def _message(self, verb: bytes, rest: bytes) -> tuple[str, bytes, bytes]:
        """The subject, headers and payload of a message."""
        parts = rest.split()
        total = int(parts[-1])
        head = int(parts[-2]) if verb.upper() == b"HMSG" else 0
        if not 0 <= head <= total <= MAX_MESSAGE:
            raise ValueError("a message that is too large")
        body = await self._reader.readexactly(total + 2)
        return parts[0].decode(), body[:head], body[head:total]

    def _settle(self, inbox: str, answer: Answer) -> None:
        _, waiting = self._waiting.get(inbox, ("", None))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _refused(self, text: str) -> None:
        """An error of the server: about one subject, or about the connection, which it then closes."""
        lower = text.lower()
        if lower.startswith("permissions violation for publish"):
            for inbox, (destination, _) in list(self._waiting.items()):
                if f'"{destination}"' in text:
                    self._settle(inbox, Answer(403, "permission_denied", text[:MAX_TEXT]))
        elif lower.startswith("permissions violation"):  # without the inbox there are no acknowledgements
            self._lose("permission_denied")
        else:
            self._lose(error_kind(text))

    def _lose(self, kind: str) -> None:
        self._lost = self._lost or kind
        self._writer.transport.abort()
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BrokerFault(self._lost))


async def connect_to_nats(sink: Sink, credentials: Credentials | None, dialer: Dialer) -> NatsConnection:
    """A connection to the first host of the broker that lets us in. Raises BrokerFault."""
    kind = "connect_failed"
    for host, port in sink.hosts:
        try:
            async with asyncio.timeout(dialer.seconds):
                reader, writer = await dialer.first(sink, host, port, partial(asyncio.open_connection, port=port))
                try:
                    info = await _greet(reader, writer, sink, host, credentials, dialer)
                    return NatsConnection(reader, writer, int(info["max_payload"]))
                except BaseException:
                    writer.transport.abort()
                    raise
        except Exception as fault:  # whatever a server sends
            kind = fault_kind(fault, connecting=True)
    raise BrokerFault(kind)


async def _greet(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    sink: Sink,
    host: str,
    credentials: Credentials | None,
    dialer: Dialer,
) -> dict[str, Any]:
    """TLS where the URL says so, and the credentials; what the server says of itself."""
    verb, _, text = (await _line(reader)).partition(b" ")
    info = orjson.loads(text) if verb == b"INFO" else None
    if not isinstance(info, dict) or not info.get("headers") or not isinstance(info.get("max_payload"), int):
        raise ValueError("not a NATS server with headers")
    if sink.tls:
        if not (info.get("tls_required") or info.get("tls_available")):
            raise BrokerFault("tls_refused")  # credentials are not sent in the clear to whoever says so
        try:
            await writer.start_tls(dialer.tls, server_hostname=host)
        except ConnectionError:
            raise BrokerFault("tls_handshake") from None
    elif info.get("tls_required"):
        raise BrokerFault("tls_required")
    writer.write(
        b"CONNECT " + orjson.dumps(connect_options(credentials, sink.tls, info.get("nonce"))) + b"\r\nPING\r\n"
    )
    while not (line := await _line(reader)).startswith(b"PONG"):
        if line.startswith(b"-ERR"):
            raise BrokerFault(error_kind(line.decode("utf-8", "replace")))
        if not line.startswith((b"INFO", b"+OK", b"PING")):
            raise ValueError("not a line of NATS")
    return info


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line. Raises EOFError at the end, ValueError for one that is too long."""
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line


def connect_options(credentials: Credentials | None, tls: bool, nonce: Any = None) -> dict[str, Any]:
    """The options of CONNECT; `nonce` is what the server asks to sign."""
    return {
        "verbose": False,
        "pedantic": False,
        "lang": "python",
        "version": "1",
        "name": "baton",
        "protocol": 1,
        "headers": True,
        "no_responders": True,
        "tls_required": tls,
        **_login(credentials, nonce),
    }


def _login(credentials: Credentials | None, nonce: Any) -> dict[str, str]:
    if (signing := seed_of(credentials)) is not None:
        token, key = signing
        if not isinstance(nonce, str):
            raise BrokerFault("authorization_failed")  # the server knows no user that signs
        return {**({"jwt": token} if token else {"nkey": public_key(key)}), "sig": signature(key, nonce)}
    names = {"username": "user", "password": "pass", "token": "auth_token"}
    given = credentials.model_dump(exclude_none=True) if credentials else {}
    return {names[name]: value for name, value in given.items()}


def encoded_headers(message: Message) -> bytes:
    """The headers of a message: those of the HTTP request, and the id by which the stream drops duplicates."""
    lines = [f"{name}: {value}\r\n" for name, value in {**kept_headers(message), "Nats-Msg-Id": message.id}.items()]
    text = "".join(lines)
    if text.count("\r") != len(lines) or text.count("\n") != len(lines):
        raise ValueError("a header has a line break")
    return f"NATS/1.0\r\n{text}\r\n".encode()


def read_answer(head: bytes, payload: bytes) -> Answer:
    """What the server answered to a message: the acknowledgement of a stream, its error, or that none takes it."""
    text = payload[:MAX_TEXT].decode("utf-8", "replace")
    if head.startswith(NO_RESPONDERS):
        return Answer(503, "stream_missing", "no stream takes this subject")
    try:
        answer = orjson.loads(payload)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return Answer(502, "not_acknowledged", text)
    if isinstance(error := answer.get("error"), dict):
        code = error.get("code")
        kind = "payload_too_large" if error.get("err_code") == TOO_LARGE else "stream_refused"
        return Answer(code if code in (400, 404, 503) else 500, kind, str(error.get("description", ""))[:MAX_TEXT])
    if not isinstance(answer.get("stream"), str) or not isinstance(answer.get("seq"), int):
        return Answer(502, "not_acknowledged", text)
    return Answer(200, None, text)


def error_kind(text: str) -> str:
    """The `error` of an attempt for a line -ERR, after which the server closes the connection."""
    return "authorization_failed" if "auth" in text.lower() else "connection_reset"
