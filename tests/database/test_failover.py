"""A fail-over to a synchronous standby: several hosts in the address, nothing acknowledged lost, 503 meanwhile."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from app.database import migrate
from app.settings import Settings, load
from tests.api import Api, running
from tests.database.servers import PASSWORD, USER, OwnServer, primary_and_standby
from tests.database.test_requirements import faults, run_command
from tests.databases import BINDIR
from tests.submissions.sender import Sender, count, make_sender, person
from tests.waiting import until
from tests.webhooks.conftest import inbox

SENDERS = 6


def address(*servers: OwnServer, query: str = "", password: str = PASSWORD) -> str:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://{USER}:{quote(password, safe='')}@{hosts}/postgres{query}"


async def value_of(server: OwnServer, query: str) -> object:
    connection = await asyncpg.connect(address(server))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


class Traffic:
    """Senders that post forms without a pause, and the ids of what was acknowledged."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self.stopped = sender, False
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []

    async def run(self) -> None:
        await asyncio.gather(*(self._post() for _ in range(SENDERS)))

    async def _post(self) -> None:
        while not self.stopped:
            answer = await self.sender.post(person())
            self.statuses.append(answer.status_code)
            if answer.status_code == 202:
                self.acknowledged.append(answer.json()["submission"]["id"])
            else:
                assert answer.headers["Retry-After"] == "1"
            await asyncio.sleep(0.01)

    async def more(self, status: int, number: int) -> None:
        wanted = self.statuses.count(status) + number
        await until(lambda: self.statuses.count(status) >= wanted, f"{number} more answers {status}")


async def test_a_failover_to_a_synchronous_standby_loses_nothing_acknowledged_and_needs_no_restart() -> None:
    bindir = Path(os.environ[BINDIR]) if os.environ[BINDIR] else None
    with primary_and_standby(bindir) as (primary, standby):
        in_step = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        await until(lambda: _is(primary, in_step, 1), "the standby is synchronous")
        await _check_commands(primary, standby)
        url = address(primary, standby, query="?target_session_attrs=read-write")
        settings = Settings(
            env="test", database_url=url, secret_keys={"test": bytes(32)}, allowed_targets="127.0.0.0/8", pool_size=10
        )
        async with running(settings, roles=["work", "dispatch"]) as api, inbox() as receiver:
            await api.post("/v1/subscriptions", {"url": receiver.url, "types": ["lead.captured"]})
            traffic = Traffic(await make_sender(api))
            running_traffic = asyncio.create_task(traffic.run())
            await traffic.more(202, 60)
            primary.kill()
            await traffic.more(503, 10)
            assert (await api.client.get("/readyz")).json()["codes"] == ["database_unavailable"]
            standby.promote()
            await traffic.more(202, 60)
            traffic.stopped = True
            await running_traffic
            await until(lambda: _is_ready(api), "the service is ready")
            assert set(traffic.statuses) == {202, 503}
            await until(
                lambda: _none(api, "SELECT count(*) FROM submissions WHERE state = 'received'"), "all processed"
            )
            assert await count(api, "SELECT count(*) FROM submissions WHERE state <> 'processed'") == 0
            for submission in traffic.acknowledged:
                assert (await traffic.sender.submission(submission))["items"][0]["verdict"] == "lead"
            await receiver.until_received(await count(api, "SELECT count(*) FROM leads"))


async def _check_commands(primary: OwnServer, standby: OwnServer) -> None:
    """Every command works with several hosts, also with the standby first, and reports what is wrong with a host."""
    both = address(standby, primary)
    assert await run_command("migrate", both) == (0, f"The schema is at revision {migrate.newest()}.\n")
    status, report = await run_command("doctor", both)
    assert (status, faults(report)) == (0, []), report
    assert (await run_command("verify", address(standby, primary, query="?target_session_attrs=primary")))[0] == 0
    for command in ("migrate", "doctor", "verify"):
        for url, sentence in (
            (address(standby), "this server is a standby"),
            (address(standby, standby), "accepts writes"),
            (address(primary, password="wrong"), "refuses the login"),
        ):
            status, printed = await run_command(command, url)
            (said,) = faults(printed)
            assert status != 0
            assert sentence in said
            assert "wrong@" not in printed


async def _is(server: OwnServer, query: str, value: object) -> bool:
    return await value_of(server, query) == value


async def _is_ready(api: Api) -> bool:
    return (await api.client.get("/readyz")).status_code == 200


async def _none(api: Api, query: str) -> bool:
    return await count(api, query) == 0


def test_an_address_of_several_hosts_is_a_setting_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write")
    assert load().database_url == "postgresql+asyncpg://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write"
