"""A disk of the database that is really full: 503 until there is room, nothing lost, nothing quarantined."""

import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.database import migrate
from app.database.server import running_database
from app.settings import Settings
from tests.api import Api, running
from tests.database.embedded.conftest import kill_all, processes_in
from tests.submissions.sender import Sender, count, make_sender, person
from tests.waiting import until
from tests.webhooks.conftest import inbox

MIB = 1024 * 1024
TEXT = random.Random(7)
MakeRoom = Callable[[], object]


@contextmanager
def ram_disk(folder: Path) -> Iterator[MakeRoom]:
    """A small file system in memory; only root can mount one. Room is made by enlarging it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m,mode=0711", "tmpfs", folder], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=900m", folder], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def file_limit(folder: Path) -> Iterator[MakeRoom]:
    """A limit on the size of each file, which PostgreSQL meets like a full disk. Room is made by raising it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def raise_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        for pid in processes_in((folder / "data" / "postgres").resolve()):
            process = Path("/proc", str(pid))
            with suppress(FileNotFoundError):  # it has ended
                owner = process.stat()  # only the same user and group may raise it
                user, group = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (None, None)
                command = ["prlimit", f"--pid={pid}", "--fsize=unlimited:"]
                raised = subprocess.run(command, user=user, group=group, cwd="/", check=False)
                assert raised.returncode == 0 or not process.exists()

    resource.setrlimit(resource.RLIMIT_FSIZE, (20 * MIB + 512, hard))
    try:
        yield raise_limit
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=[file_limit, *([ram_disk] if os.geteuid() == 0 else [])])
def disk(request: pytest.FixtureRequest) -> Iterator[tuple[Path, MakeRoom]]:
    """A data directory on a disk that will soon be full, and what makes room on it."""
    folder = Path(tempfile.mkdtemp(prefix="baton-disk-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        make_room = stack.enter_context(request.param(folder))
        stack.callback(lambda: kill_all(processes_in(folder / "data" / "postgres")))
        yield folder / "data", make_room


def large_form() -> dict[str, str]:
    """A form of 180 kB that cannot be compressed much."""
    return person(message=TEXT.randbytes(90_000).hex())


async def fill(sender: Sender) -> tuple[list[str], list[httpx.Response]]:
    """Post until ten requests are refused; the ids of what was accepted, and the refusals."""
    accepted: list[str] = []
    refused: list[httpx.Response] = []
    while len(refused) < 10:
        answer = await sender.post(large_form())
        if answer.status_code == 202:
            accepted.append(answer.json()["submission"]["id"])
        else:
            refused.append(answer)
    return accepted, refused


async def states(api: Api) -> dict[str, int]:
    async with api.app.state.engine.connect() as tx:
        rows = await tx.execute(text("SELECT state, count(*) AS number FROM submissions GROUP BY state"))
        return {row.state: row.number for row in rows}


async def test_a_full_disk_is_503_until_there_is_room_and_then_everything_is_processed(
    disk: tuple[Path, MakeRoom],
) -> None:
    data_dir, make_room = disk
    settings = Settings(env="test", data_dir=data_dir, secret_keys={"test": bytes(32)}, allowed_targets="127.0.0.0/8")
    with running_database(settings) as ready:
        await migrate.upgrade(ready.url)
        async with running(ready, roles=["work", "dispatch"]) as api, inbox() as receiver:
            await api.post("/v1/subscriptions", {"url": receiver.url, "types": ["lead.captured"]})
            sender = await make_sender(api)
            accepted, refused = await fill(sender)
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.json()["code"] for answer in refused} == {"database_unavailable"}
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
            told = await api.client.get("/readyz")
            assert told.status_code == 503
            assert "storage_full" in told.json()["codes"]
            for method, path, body in (
                ("GET", "/v1/leads", None),
                ("GET", "/v1/events", None),
                ("POST", "/v1/leads", {"fields": {"email": "a@nordsoft.example"}}),
            ):
                answer = await api.call(method, path, body)
                assert answer.status_code in (200, 201, 503), answer.text
            make_room()

            async def recovered() -> bool:
                return (await api.client.get("/readyz")).status_code == 200

            async def processed() -> bool:
                return set(await states(api)) == {"processed"}

            await until(recovered, "the service is ready by itself")
            assert (await sender.post(large_form())).status_code == 202
            await until(processed, "all submissions are processed")
            for submission in accepted:
                assert (await sender.submission(submission))["items"][0]["verdict"] == "lead"
            assert await count(api, "SELECT count(*) FROM submissions WHERE tries > 0") == 0
            leads = await count(api, "SELECT count(*) FROM leads")
            await receiver.until_received(leads)
