"""A real NATS server on loopback, which tests stop, suspend, kill and start again; read with its own library."""

from __future__ import annotations

import asyncio
import signal
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import orjson
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from tests.ports import reserved_port
from tests.waiting import until

PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"
STREAM = "LEADS"


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as the stream has it."""

    subject: str
    headers: dict[str, str]
    body: bytes
    event: Any

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def lead(self) -> str:
        return str(self.event["data"].get("lead_id"))

    @property
    def version(self) -> int:
        return int(self.event["meta"]["lead_version"])


@dataclass
class NatsServer:
    """The server. `config` is added to its configuration file; `login` are options of its library's `connect`."""

    folder: Path
    port: int
    config: str = ""
    login: dict[str, Any] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        path = self.folder / "nats.conf"
        path.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder / "store"}" }}\n{self.config}\n'
        )
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, "-c", path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await until(self.answers, "the NATS server answers")

    async def answers(self) -> bool:
        """Whether it accepts connections."""
        assert self.process is not None
        assert self.process.returncode is None, "the NATS server ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            await self.process.wait()

    def send(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        client = await nats.connect(self.url, **self.login)
        try:
            yield client
        finally:
            await client.close()

    async def make_stream(self, subjects: str = "lead.>", **more: Any) -> None:
        """A stream that takes these subjects and remembers ids for two minutes."""
        async with self.client() as client:
            config = StreamConfig(name=STREAM, subjects=[subjects], storage=StorageType.FILE, **more)
            await client.jetstream().add_stream(config)

    async def count(self) -> int:
        """How many messages the stream has."""
        async with self.client() as client:
            return int((await client.jetstream().stream_info(STREAM)).state.messages)

    async def until_stored(self, count: int) -> list[Stored]:
        """Wait until the stream has at least `count` messages; all of them, in its order."""

        async def enough() -> bool:
            return await self.count() >= count

        await until(enough, f"the stream has {count} messages")
        return await self.stored()

    async def stored(self) -> list[Stored]:
        """Every message of the stream, in its order."""
        async with self.client() as client:
            stream = client.jetstream()
            last, found = (await stream.stream_info(STREAM)).state.last_seq, []
            for number in range(1, last + 1):
                try:
                    message = await stream.get_msg(STREAM, number)
                except NotFoundError:
                    continue
                body = message.data or b""
                found.append(Stored(message.subject, dict(message.headers or {}), body, orjson.loads(body)))
            return found


@asynccontextmanager
async def nats_server(folder: Path, config: str = "", **login: Any) -> AsyncIterator[NatsServer]:
    """A server that runs, with JetStream, without a stream."""
    with reserved_port() as port:
        made = NatsServer(folder, port, config, login)
        try:
            await made.start()
            yield made
        finally:
            await made.stop(signal.SIGKILL)
