"""schemathesis, all checks, against a real service on a real PostgreSQL: it finds nothing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADMIN_KEY = "an-admin-key-for-schemathesis-only-1"
# It would take away the key that schemathesis works with, which it finds in the list of keys.
LEFT_OUT = "revoke_key_v1_keys__key_id__delete"


@contextmanager
def service(url: str) -> Iterator[httpx.Client]:
    """A service as a process of its own, and a client with its admin key."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "DATABASE_URL": url, "SECRET_KEYS": "k1:" + "A" * 43 + "=", "ADMIN_KEY": ADMIN_KEY, "PORT": str(port),
        "DRAIN_SECONDS": "0", "ALLOWED_TARGETS": "127.0.0.0/8",
    }  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **{f"BATON_{name}": value for name, value in settings.items()},
    }
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment, stdout=subprocess.DEVNULL)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
            end = time.monotonic() + 60
            while not is_ready(client):
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(40)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing,stateful"])
def test_schemathesis_finds_nothing(url: str, tmp_path: Path, phases: str) -> None:
    with service(url) as client:
        user = {"name": "Andrei Ene", "email": "andrei@acme.example", "role": "ae"}
        actor = client.post("/v1/users", json=user).json()["id"]
        command = [
            str(Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml"), "run",
            f"{client.base_url}/openapi.json", "--header", f"Authorization: Bearer {ADMIN_KEY}",
            "--phases", phases, "--checks", "all", "--exclude-operation-id", LEFT_OUT, "--max-examples", "10",
            "--max-time", "15", "--continue-on-failure", "--generation-deterministic", "--no-color",
        ]  # fmt: skip
        environment = {**os.environ, "ACTOR": actor}
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert "found" not in found.stdout.rpartition("Test cases:")[2], found.stdout
