"""Starts and stops the processes of a benchmark."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.database import as_url

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "benchmark-admin-key-of-thirty-two-letters-or-more"
SECRET_KEYS = "bench:" + "A" * 43 + "="
START_SECONDS = 120.0


class Failed(Exception):
    """A path could not be measured; the text says why."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def process(
    arguments: list[str], environment: dict[str, str] | None = None, python: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is terminated at the end of the block; `python` if it is another than this one's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    started = subprocess.Popen(
        [python or sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, **(environment or {})},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr if os.environ.get("SHOW") else subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(25)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        for pipe in (started.stdin, started.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


class Server:
    """A process that serves HTTP on a local port."""

    def __init__(self, running: subprocess.Popen[str], port: int) -> None:
        self.running, self.pid, self.port = running, running.pid, port

    def wait(self, path: str) -> None:
        """Wait until GET `path` answers 200."""
        ends = time.monotonic() + START_SECONDS
        while True:
            if self.running.poll() is not None:
                raise Failed(f"a process ended at startup ({self.running.returncode}): set SHOW=1 to see its output")
            address = f"http://127.0.0.1:{self.port}{path}"
            with suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
            if time.monotonic() > ends:
                raise Failed(f"{path} does not answer 200 within {START_SECONDS:.0f} s")
            time.sleep(0.05)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request with the admin key; the parsed response."""
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, head, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@contextmanager
def service(dsn: str, roles: str, profile: Path | None = None) -> Iterator[Server]:
    """The service on a database, started as `serve` does; samples of its stack are written to `profile`."""
    port = free_port()
    environment = {
        "BATON_ENV": "test",
        "BATON_DATABASE_URL": as_url(dsn),
        "BATON_SECRET_KEYS": SECRET_KEYS,
        "BATON_ADMIN_KEY": ADMIN_KEY,
        "BATON_DRAIN_SECONDS": "0",
        "BATON_ROLES": roles,
        "BATON_PORT": str(port),
        "BATON_ALLOWED_TARGETS": "127.0.0.0/8",
    }
    sampled = [str(profile)] if profile else []
    with process(["-m", "benchmarks.service", *sampled], environment) as started:
        assert started.stdout is not None
        server = Server(started, port)
        if "api" in roles.split(","):
            server.wait("/readyz")
        yield server


@contextmanager
def bare(name: str, dsn: str) -> Iterator[Server]:
    """A baseline of benchmarks/bare/."""
    port = free_port()
    with process(["-m", "benchmarks.bare", name, dsn, str(port)]) as started:
        server = Server(started, port)
        server.wait("/")
        yield server


@contextmanager
def receiver() -> Iterator[Server]:
    """The webhook receiver."""
    port = free_port()
    with process(["-m", "benchmarks.receiver", str(port)]) as started:
        server = Server(started, port)
        server.wait("/count")
        yield server


def wait_ready(client: subprocess.Popen[str]) -> None:
    """Wait until a process has printed that it is ready."""
    assert client.stdout is not None
    if client.stdout.readline() != "ready\n":
        raise Failed("a client did not start: set SHOW=1 to see its output")


def start_and_read(client: subprocess.Popen[str]) -> Any:
    """Start the run of a client that is ready; its result."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("go\n")
    client.stdin.flush()
    return json.loads(client.stdout.readline() or "{}")
