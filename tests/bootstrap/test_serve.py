"""`baton serve` as a process: the first start, graceful shutdown, kill -9, several processes."""

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
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.database.embedded.conftest import kill_all, processes_in
from tests.ports import reserved_port
from tests.waiting import TIMEOUT_SECONDS, until

ROOT = Path(__file__).parents[2]
KEYS = "k1:" + "A" * 43 + "="
ADMIN_KEY = "an-admin-key-for-automation-only-1"


class Service:
    """A `baton` process with its own folder and port; `output` is what it has printed so far."""

    def __init__(self, folder: Path, port: int, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.output_file = folder / f"output-{time.monotonic_ns()}"
        self.address = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.address, timeout=TIMEOUT_SECONDS, trust_env=False, verify=False)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = {**clean, "PYTHONPATH": str(ROOT), "BATON_PORT": str(port), **settings}
        environment.setdefault("BATON_DRAIN_SECONDS", "0")
        command = [sys.executable, "-m", "app.commands.cli", *arguments]
        with self.output_file.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def ready(self) -> "Service":
        self.until(lambda: self.get("/readyz") == 200)
        return self

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not holds():
            assert time.monotonic() < end, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.05)

    def get(self, path: str, key: str = "") -> int:
        try:
            return self.client.get(path, headers={"Authorization": f"Bearer {key or 'none'}"}).status_code
        except httpx.TransportError:
            return 0  # nothing listens

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
    """Send the request of a printed curl command."""
    for name, value in settings.items():
        line = line.replace(f"${name}", value)
    words = shlex.split(line)[1:]
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    body = next((words[n + 1] for n, word in enumerate(words) if word == "-d"), None)
    return httpx.request("POST" if body else "GET", words[-1], headers=headers, content=body, timeout=TIMEOUT_SECONDS)


def test_the_first_start_prints_a_key_and_working_requests_and_sigterm_drains(start: Start) -> None:
    service = start(BATON_DRAIN_SECONDS="300").ready()
    export = re.search(r"export BATON=(\S+) KEY=(\S+)", service.output)
    assert export is not None
    assert export[1] == service.address
    lines = [line.strip() for line in service.output.splitlines() if line.startswith("  curl")]
    answers = [curl(line, {"BATON": export[1], "KEY": export[2]}) for line in lines]
    assert [answer.status_code for answer in answers] == [200, 201, 201]
    assert (service.folder / ".baton" / "secret_keys").stat().st_mode & 0o777 == 0o600
    service.process.send_signal(signal.SIGTERM)
    service.until(lambda: service.get("/readyz") == 503)
    assert service.get("/healthz") == 200
    assert service.end(signal.SIGINT) == 0
    assert processes_in(service.folder / ".baton" / "postgres") == []
    assert "Traceback" not in service.output


def test_a_connection_outlives_the_pause_after_which_clients_close_theirs(start: Start) -> None:
    service = start().ready()
    connection = HTTPConnection(service.address.removeprefix("http://"), timeout=TIMEOUT_SECONDS)
    for pause in (6, 0):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (200, False)
        time.sleep(pause)
    connection.close()


def test_a_key_survives_kill_9_of_all_processes_and_ctrl_c_does_not_drain(start: Start) -> None:
    first = start().ready()
    key = re.findall(r"btn_\w+", first.output)[0]
    kill_all((first.process.pid, *processes_in(first.folder / ".baton" / "postgres")))
    first.process.wait()
    second = start(BATON_DRAIN_SECONDS="300").ready()
    assert second.get("/v1/me", key) == 200
    assert "btn_" not in second.output
    assert second.end(signal.SIGINT) == 0
    assert processes_in(second.folder / ".baton" / "postgres") == []
    assert "Traceback" not in second.output


def test_a_killed_postgresql_is_restarted_without_a_restart_of_the_service(start: Start) -> None:
    service = start(BATON_DRAIN_SECONDS="0.5").ready()  # so the shutdown below waits for the whole drain
    key = re.findall(r"btn_\w+", service.output)[0]
    data = service.folder / ".baton" / "postgres"
    killed = processes_in(data)[0]
    os.kill(killed, signal.SIGKILL)
    service.until(lambda: killed not in processes_in(data) and service.get("/v1/me", key) == 200)
    assert service.get("/readyz") == 200
    assert service.end() == 0
    assert processes_in(data) == []
    assert "request_failed" not in service.output, "requests meanwhile get 503, not an internal error"
    assert "Traceback" not in service.output


def test_several_workers_share_the_port_and_one_that_dies_is_replaced(start: Start) -> None:
    service = start("serve", "--workers", "2").ready()
    child = int(Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()[-1])
    os.kill(child, signal.SIGKILL)
    service.until(lambda: "worker_replaced" in service.output)
    assert service.get("/healthz") == 200
    assert service.end() == 0
    assert service.get("/healthz") == 0
    assert processes_in(service.folder / ".baton" / "postgres") == []


def children_of(service: Service) -> list[int]:
    """The workers of a service."""
    pids = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def metrics_of(address: str) -> dict[str, float]:
    """Every sample of /metrics by its name and labels, over a connection of its own."""
    answer = httpx.get(f"{address}/metrics", timeout=TIMEOUT_SECONDS, trust_env=False)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {_sample_key(sample): sample.value for family in families for sample in family.samples}


def _sample_key(sample: Sample) -> str:
    return sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items()))


HEALTHZ = "baton_http_requests_total method=GET route=/healthz status=200"
HEALTHZ_COUNT = "baton_http_request_seconds_count route=/healthz"


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Another worker of the service has to answer meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("own_port", [False, True], ids=["on the API", "on a port of its own"])
def test_metrics_are_those_of_all_workers_whichever_answers_also_after_one_is_killed(
    start: Start, own_port: bool
) -> None:
    with reserved_port() as port:
        where = {"BATON_METRICS_LISTEN": f"127.0.0.1:{port}"} if own_port else {}
        service = start("serve", "--workers", "2", **where)
        service.until(lambda: len(children_of(service)) == 2)
        address = f"http://127.0.0.1:{port}" if own_port else service.address
        service.until(lambda: len(_workers_in(service, address)) == 2)
        made = 0

        def ask(times: int) -> None:
            nonlocal made
            for _ in range(times):
                assert httpx.get(f"{service.address}/healthz", timeout=TIMEOUT_SECONDS, trust_env=False).is_success
            made += times

        def counts_are_right() -> bool:  # a request is counted just after its response was sent
            shown = metrics_of(address)
            assert shown[HEALTHZ] <= made
            return shown[HEALTHZ] == shown[HEALTHZ_COUNT] == made

        first, second = children_of(service)
        with paused(second):
            ask(7)
            service.until(counts_are_right)
        with paused(first):
            ask(5)
            service.until(counts_are_right)
        assert all(counts_are_right() for _ in range(20))
        os.kill(first, signal.SIGKILL)
        service.until(lambda: "worker_replaced" in service.output)
        service.until(lambda: len(_workers_in(service, address) - {str(first)}) == 2)
        assert str(first) not in _workers_in(service, address)
        ask(10)
        service.until(counts_are_right)
        assert all(counts_are_right() for _ in range(20))
        assert metrics_of(address)["baton_events_pending"] == 0, "a gauge of the database is not added up"
        folder = _metrics_folder(second)
        assert service.end() == 0
        assert not folder.exists()


def _workers_in(service: Service, address: str) -> set[str]:
    """The pids of the workers that /metrics shows; none while it does not answer."""
    try:
        shown = metrics_of(address)
    except httpx.TransportError:
        return set()
    return {key.partition("pid=")[2] for key in shown if key.startswith("process_resident_memory_bytes pid=")}


def _metrics_folder(pid: int) -> Path:
    """Where a worker keeps its metrics."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return Path(next(one.partition(b"=")[2].decode() for one in environment if one.startswith(b"PROMETHEUS_MULTI")))


async def test_the_folder_of_the_metrics_is_removed_also_when_the_supervisor_is_killed(start: Start) -> None:
    service = start("serve", "--workers", "2").ready()
    service.until(lambda: len(children_of(service)) == 2)
    workers = children_of(service)
    folder = _metrics_folder(workers[0])
    service.process.kill()
    service.process.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not folder.exists()


def test_events_without_a_position_are_counted_where_no_process_has_the_role_dispatch(start: Start) -> None:
    service = start("serve", "--roles", "api").ready()
    key = re.findall(r"btn_\w+", service.output)[0]
    body = {"fields": {"email": "ada@example.com", "company": "Example"}}
    headers = {"Authorization": f"Bearer {key}"}
    assert service.client.post("/v1/leads", json=body, headers=headers).status_code == 201
    service.until(lambda: metrics_of(service.address)["baton_events_pending"] >= 1)


def test_roles_without_the_api_open_no_port_except_that_of_metrics(start: Start) -> None:
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
    assert re.fullmatch(r"baton: port \d+ of 127\.0\.0\.1 cannot be used .*--port or --host\n", service.output)


def test_a_wrong_setting_is_refused_in_one_line(start: Start) -> None:
    service = start(BATON_POOL_SIZE="many")
    assert service.process.wait(TIMEOUT_SECONDS) == 2
    assert service.output.startswith("baton: BATON_POOL_SIZE")
    assert service.output.count("\n") == 1


async def test_a_server_from_the_settings_is_migrated_by_the_command_and_never_by_serve(
    start: Start, url: str, dsn: str
) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    settings = {"BATON_DATABASE_URL": url, "BATON_SECRET_KEYS": KEYS, "BATON_ADMIN_KEY": ADMIN_KEY}
    refused = start(**settings)
    assert refused.process.wait(TIMEOUT_SECONDS) == 2
    assert "python3 -m app migrate" in refused.output
    assert start("migrate", **settings).process.wait(TIMEOUT_SECONDS) == 0
    service = start(**settings).ready()
    assert service.get("/v1/me", ADMIN_KEY) == 200
    assert ADMIN_KEY not in service.output
    assert not (service.folder / ".baton").exists()
    assert service.end() == 0


def test_doctor_prints_every_setting_with_its_origin_and_what_is_wrong(start: Start) -> None:
    faulty = start("doctor", BATON_POOLSIZE="7")
    assert faulty.process.wait(TIMEOUT_SECONDS) == 1
    assert "BATON_POOLSIZE is not a setting" in faulty.output
    assert "python3 -m app migrate" in faulty.output  # the schema is not there yet
    assert start("migrate").process.wait(TIMEOUT_SECONDS) == 0
    sound = start("doctor", BATON_POOL_SIZE="7", BATON_ADMIN_KEY=ADMIN_KEY)
    assert sound.process.wait(TIMEOUT_SECONDS) == 0
    assert re.search(r"BATON_POOL_SIZE\W+7\W+environment", sound.output)
    assert re.search(r"BATON_HOST\W+127\.0\.0\.1\W+default", sound.output)
    assert ADMIN_KEY not in sound.output
    assert "embedded in" in sound.output
