"""`baton serve` as a process: the first start, the orderly end, the violent end, several processes."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.embedded.conftest import kill_all, processes_in
from tests.ports import reserved_port
from tests.waiting import TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]
KEYS = "k1:" + "A" * 43 + "="
ADMIN_KEY = "an-admin-key-for-automation-only-1"


class Service:
    """A `baton` process in a folder of its own, with a port of its own; `said` is what it printed so far."""

    def __init__(self, folder: Path, port: int, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.output = folder / f"output-{time.monotonic_ns()}"
        self.address = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.address, timeout=TIMEOUT_SECONDS, trust_env=False, verify=False)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = {**clean, "PYTHONPATH": str(ROOT), "BATON_PORT": str(port), **settings}
        environment.setdefault("BATON_DRAIN_SECONDS", "0")
        command = [sys.executable, "-m", "app.commands.cli", *arguments]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def ready(self) -> "Service":
        self.until(lambda: self.get("/readyz") == 200)
        return self

    def until(self, holds: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def get(self, path: str, key: str = "") -> int:
        try:
            return self.client.get(path, headers={"Authorization": f"Bearer {key or 'none'}"}).status_code
        except httpx.TransportError:
            return 0  # nobody is there

    def end(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signal_)
        return self.process.wait(TIMEOUT_SECONDS)


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    folder = Path(tempfile.mkdtemp(prefix="baton-serve-"))
    folder.chmod(0o711)
    services: list[Service] = []
    with ExitStack() as ports:

        def started(*arguments: str, **settings: str) -> Service:
            port = ports.enter_context(reserved_port())
            services.append(Service(folder, port, *(arguments or ("serve",)), **settings))
            return services[-1]

        yield started
        for service in services:
            service.process.kill()
            service.process.wait()
    kill_all(processes_in(folder / ".baton" / "postgres"))
    shutil.rmtree(folder, ignore_errors=True)


def curl(line: str, settings: dict[str, str]) -> httpx.Response:
    """What a printed curl line would do, without curl."""
    for name, value in settings.items():
        line = line.replace(f"${name}", value)
    words = shlex.split(line)[1:]
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    body = next((words[n + 1] for n, word in enumerate(words) if word == "-d"), None)
    return httpx.request("POST" if body else "GET", words[-1], headers=headers, content=body, timeout=TIMEOUT_SECONDS)


def test_the_first_start_prints_a_key_and_steps_that_work_and_sigterm_drains(start: Start) -> None:
    service = start(BATON_DRAIN_SECONDS="300").ready()
    export = re.search(r"export BATON=(\S+) KEY=(\S+)", service.said)
    assert export is not None
    assert export[1] == service.address
    lines = [line.strip() for line in service.said.splitlines() if line.startswith("  curl")]
    answers = [curl(line, {"BATON": export[1], "KEY": export[2]}) for line in lines]
    assert [answer.status_code for answer in answers] == [200, 201, 201]
    assert (service.folder / ".baton" / "secret_keys").stat().st_mode & 0o777 == 0o600
    service.process.send_signal(signal.SIGTERM)
    service.until(lambda: service.get("/readyz") == 503)
    assert service.get("/healthz") == 200
    assert service.end(signal.SIGINT) == 0
    assert processes_in(service.folder / ".baton" / "postgres") == []
    assert "Traceback" not in service.said


def test_a_key_outlives_the_death_of_everything_and_ctrl_c_does_not_drain(start: Start) -> None:
    first = start().ready()
    key = re.findall(r"btn_\w+", first.said)[0]
    kill_all((first.process.pid, *processes_in(first.folder / ".baton" / "postgres")))
    first.process.wait()
    second = start(BATON_DRAIN_SECONDS="300").ready()
    assert second.get("/v1/me", key) == 200
    assert "btn_" not in second.said
    assert second.end(signal.SIGINT) == 0
    assert processes_in(second.folder / ".baton" / "postgres") == []
    assert "Traceback" not in second.said


def test_a_killed_postgresql_comes_back_without_a_restart_of_the_service(start: Start) -> None:
    service = start(BATON_DRAIN_SECONDS="0.5").ready()  # the drain ends by itself, too
    key = re.findall(r"btn_\w+", service.said)[0]
    data = service.folder / ".baton" / "postgres"
    killed = processes_in(data)[0]
    os.kill(killed, signal.SIGKILL)
    service.until(lambda: killed not in processes_in(data) and service.get("/v1/me", key) == 200)
    assert service.get("/readyz") == 200
    assert service.end() == 0
    assert processes_in(data) == []
    assert "request_failed" not in service.said, "who asks meanwhile is told to ask again: it is no fault of ours"
    assert "Traceback" not in service.said


def test_several_workers_share_the_port_and_the_dead_are_replaced(start: Start) -> None:
    service = start("serve", "--workers", "2").ready()
    child = int(Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()[-1])
    os.kill(child, signal.SIGKILL)
    service.until(lambda: "worker_replaced" in service.said)
    assert service.get("/healthz") == 200
    assert service.end() == 0
    assert service.get("/healthz") == 0
    assert processes_in(service.folder / ".baton" / "postgres") == []


def test_roles_without_a_door_need_no_port_and_metrics_have_their_own(start: Start) -> None:
    with reserved_port() as port:
        where = f"127.0.0.1:{port}"
        service = start("serve", "--roles", "work,dispatch", BATON_METRICS_LISTEN=where)
        service.client = httpx.Client(
            base_url=f"http://{where}", timeout=TIMEOUT_SECONDS, trust_env=False, verify=False
        )
        service.until(lambda: service.get("/metrics") == 200)
        assert "baton_deliveries" in service.client.get("/metrics").text
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(service.address.rpartition(":")[2])))
        assert service.end() == 0


def test_a_port_in_use_is_refused_in_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = start(BATON_PORT=str(taken.getsockname()[1]))
        assert service.process.wait(TIMEOUT_SECONDS) == 2
    assert re.fullmatch(r"baton: port \d+ of 127\.0\.0\.1 cannot be used .*--port or --host\n", service.said)


def test_a_wrong_setting_is_refused_in_one_line(start: Start) -> None:
    service = start(BATON_POOL_SIZE="many")
    assert service.process.wait(TIMEOUT_SECONDS) == 2
    assert service.said.startswith("baton: BATON_POOL_SIZE")
    assert service.said.count("\n") == 1


async def test_a_named_server_is_migrated_by_command_and_never_by_serve(start: Start, url: str, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    named = {"BATON_DATABASE_URL": url, "BATON_SECRET_KEYS": KEYS, "BATON_ADMIN_KEY": ADMIN_KEY}
    refused = start(**named)
    assert refused.process.wait(TIMEOUT_SECONDS) == 2
    assert "python3 -m app migrate" in refused.said
    assert start("migrate", **named).process.wait(TIMEOUT_SECONDS) == 0
    service = start(**named).ready()
    assert service.get("/v1/me", ADMIN_KEY) == 200
    assert ADMIN_KEY not in service.said
    assert not (service.folder / ".baton").exists()
    assert service.end() == 0


def test_doctor_shows_every_setting_with_its_origin_and_what_is_wrong(start: Start) -> None:
    ill = start("doctor", BATON_POOLSIZE="7")
    assert ill.process.wait(TIMEOUT_SECONDS) == 1
    assert "BATON_POOLSIZE is no setting" in ill.said
    assert "python3 -m app migrate" in ill.said  # the schema is not there yet
    assert start("migrate").process.wait(TIMEOUT_SECONDS) == 0
    well = start("doctor", BATON_POOL_SIZE="7", BATON_ADMIN_KEY=ADMIN_KEY)
    assert well.process.wait(TIMEOUT_SECONDS) == 0
    assert re.search(r"BATON_POOL_SIZE\W+7\W+environment", well.said)
    assert re.search(r"BATON_HOST\W+127\.0\.0\.1\W+default", well.said)
    assert ADMIN_KEY not in well.said
    assert "embedded in" in well.said
