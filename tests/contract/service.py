"""The service as a separate process, on the database of a test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.ports import reserved_port
from tests.waiting import TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]
ADMIN_KEY = "an-admin-key-for-contract-tests-only-1"


@contextmanager
def service(url: str, log: Path) -> Iterator[httpx.Client]:
    """A client of the service with its admin key; the service's output is written to the file `log`."""
    with reserved_port() as port, _serving(url, log, port) as client:
        yield client


@contextmanager
def _serving(url: str, log: Path, port: int) -> Iterator[httpx.Client]:
    settings = {
        "DATABASE_URL": url,
        "SECRET_KEYS": "k1:" + "A" * 43 + "=",
        "ADMIN_KEY": ADMIN_KEY,
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        "ALLOWED_TARGETS": "127.0.0.0/8",
        "LOG_FORMAT": "json",
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **{f"BATON_{name}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "app.commands.cli", "serve"]
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
            ) as client:
                end = time.monotonic() + TIMEOUT_SECONDS
                while not is_ready(client):
                    assert time.monotonic() < end, log.read_text()
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
                yield client
        finally:
            process.terminate()
            process.wait(TIMEOUT_SECONDS)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
