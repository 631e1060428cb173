"""After kill -9 acknowledged commits are kept, and leftover lock files do not block the next start."""

import os
import signal
import subprocess
from itertools import islice
from pathlib import Path

import asyncpg
import pytest

from tests.database.embedded.conftest import Script, Start, fetch_value, kill_all, processes_in

WRITER = """
async def main():
    server = embedded.start(data_dir)
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS written (n bigint)")
    n = await connection.fetchval("SELECT coalesce(max(n), 0) FROM written")
    while True:
        n += 1
        await connection.execute("INSERT INTO written VALUES ($1)", n)
        print(n, flush=True)
asyncio.run(main())
"""


async def test_no_acknowledged_commit_is_lost_when_everything_is_killed_three_times(
    data_dir: Path, script: Script, start: Start
) -> None:
    acknowledged: list[int] = []
    for round_ in range(3):
        writer = script(WRITER)
        assert writer.stdout is not None
        acknowledged += [int(line) for line in islice(writer.stdout, 10 * (1 + round_))]
        kill_all((*processes_in((data_dir / "postgres").resolve()), writer.pid))
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    server = start()
    connection = await asyncpg.connect(server.dsn)
    kept = {row["n"] for row in await connection.fetch("SELECT n FROM written")}
    await connection.close()
    assert len(acknowledged) >= 60
    assert set(acknowledged) <= kept
    assert len(kept - set(acknowledged)) <= 3  # at most one unacknowledged commit per round


async def test_a_start_replaces_a_postmaster_that_was_killed_alone(start: Start) -> None:
    first = start(durable=False)
    os.kill(processes_in(first.data)[0], signal.SIGKILL)
    second = start(durable=False)
    assert await fetch_value(second, "SELECT 1") == 1


def test_a_zombie_postmaster_counts_as_dead(script: Script) -> None:
    done = script(
        """
import ctypes, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become children that nobody waits for
first = embedded.start(data_dir, durable=False)
pid = int((first.data / "postmaster.pid").read_text().split()[0])
os.kill(pid, signal.SIGKILL)
while ") Z" not in Path(f"/proc/{pid}/stat").read_text():
    time.sleep(0.01)
second = embedded.start(data_dir, durable=False)
async def fetch():
    connection = await asyncpg.connect(second.dsn)
    print(await connection.fetchval("SELECT 42"), ") Z" in Path(f"/proc/{pid}/stat").read_text())
    await connection.close()
asyncio.run(fetch())
second.stop()
first.stop()
"""
    )
    assert done.communicate(timeout=600)[0] == "42 True\n"


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
async def test_a_start_waits_for_a_server_that_is_shutting_down(start: Start, signal_: signal.Signals) -> None:
    first = start(durable=False)
    os.kill(processes_in(first.data)[0], signal_)
    second = start(durable=False)
    assert await fetch_value(second, "SELECT 1") == 1


async def test_a_pid_reused_by_another_process_does_not_block_the_start(start: Start) -> None:
    first = start(durable=False)
    stale = (first.data / "postmaster.pid").read_text()
    first.stop()
    other = subprocess.Popen(["sleep", "600"])
    try:
        (first.data / "postmaster.pid").write_text(f"{other.pid}\n" + stale.split("\n", 1)[1])
        second = start(durable=False)
        assert await fetch_value(second, "SELECT 1") == 1
    finally:
        other.kill()
        other.wait()


async def test_an_empty_lock_file_does_not_block_the_start(start: Start) -> None:
    """What is left when the disk was full, or the power failed, as it was written."""
    first = start(durable=False)
    first.stop()
    (first.data / "postmaster.pid").write_text("")
    assert await fetch_value(start(durable=False), "SELECT 1") == 1
