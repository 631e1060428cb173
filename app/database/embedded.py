"""The embedded PostgreSQL: a durable server from a wheel, started on first use and shared by the processes that use it.

Two lock files in the data directory: `embedded.lock` is held exclusively while a server is started or stopped;
`embedded.users` is held shared for as long as a process uses the server. The second one is a reference count:
the kernel releases it when the process ends, however it ends. The last user stops the server.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from app.database.binaries import (
    SYSTEM_STATE,
    Binaries,
    EmbeddedError,
    Notify,
    Runner,
    binaries,
    make_shared_folder,
    runner_for,
)

USER, DATABASE, PORT = "baton", "baton", 5432
MAX_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
START_SECONDS = 300  # crash recovery replays the log first
STOP_SECONDS = 60
LOG_BYTES = 10_000_000
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Statements and detail lines contain personal data, which must not be logged.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Tables that were just filled have statistics within seconds; the default is a minute.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum_naptime": "5s"}
# For tests, many of which share one server.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "max_connections": "400",
    "autovacuum": "off",  # plans must not depend on when it last ran
}


@dataclass(slots=True)
class Server:
    """A running server and this process's shared lock on it. `dsn` is for asyncpg, `url` for SQLAlchemy."""

    data_dir: Path
    data: Path
    socket_folder: Path
    programs: Binaries
    runner: Runner
    _users_lock: int | None = field(repr=False)

    @property
    def dsn(self) -> str:
        """postgresql://… over the Unix socket."""
        return self.dsn_of(DATABASE)

    @property
    def url(self) -> str:
        """The same address for SQLAlchemy's asyncpg dialect."""
        return self.dsn.replace("postgresql://", "postgresql+asyncpg://", 1)

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.socket_folder))}&port={PORT}"

    def stop(self) -> None:
        """Release the shared lock; the last user stops the server. A second call does nothing."""
        users_lock, self._users_lock = self._users_lock, None
        if users_lock is None:
            return
        with _start_stop_lock(self.data_dir):
            try:
                fcntl.flock(users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while another process shares it
                _stop(self)
            except BlockingIOError:
                pass
            finally:
                os.close(users_lock)

    def restart_if_dead(self) -> bool:
        """Start a durable server again if its process died; True if it had.

        Blocks until crash recovery has ended. Raises EmbeddedError.
        """
        if _is_alive(self.data):
            return False
        with _start_stop_lock(self.data_dir):
            if self._users_lock is None or _is_alive(self.data):
                return False
            _ensure_running(self, durable=True)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(data_dir: Path, *, durable: bool = True, bindir: Path | None = None, notify: Notify = print) -> Server:
    """Start the server of a data directory, or use the one that runs; the first call creates the cluster.

    durable: False turns fsync off and is for tests only. bindir: BATON_PG_BINDIR. notify: called with each message for
    the user. Blocks; in async code call it in a thread. Raises EmbeddedError, whose message says what to do.
    """
    data_dir = data_dir.absolute()
    make_data_dir(data_dir)
    with _start_stop_lock(data_dir):
        users_lock = os.open(data_dir / "embedded.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(users_lock, fcntl.LOCK_SH)
            data = _cluster_folder(data_dir, notify)
            runner = runner_for(data)
            programs = _choose_programs(data_dir, data, runner, notify, bindir)
            server = Server(data_dir, data, _socket_folder(data, runner), programs, runner, users_lock)
            if not data.exists():
                _create(server, durable)
            _ensure_running(server, durable)
        except BaseException:
            os.close(users_lock)
            raise
        return server


@contextmanager
def _start_stop_lock(data_dir: Path) -> Iterator[None]:
    with (data_dir / "embedded.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_data_dir(data_dir: Path) -> None:
    """Made by root, other users can enter but not list it (0711), because the server runs as another user."""
    if data_dir.is_dir():
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot create {data_dir} ({error.strerror}): choose another --data-dir") from None


def _cluster_folder(data_dir: Path, notify: Notify) -> Path:
    """The folder of the cluster: `postgres` in the data directory, or the target of the symbolic link of that name.

    The link is made if the server's user cannot reach the data directory, and is kept when permissions change later:
    otherwise a new, empty cluster would be created beside the old one.
    """
    here = data_dir / "postgres"
    if not here.is_symlink() and not here.exists():
        runner = runner_for(here)
        if runner.can_reach(here.resolve()):
            return here.resolve()
        there = SYSTEM_STATE / "data" / hashlib.sha256(bytes(here)).hexdigest()[:16] / "postgres"
        try:
            make_shared_folder(there.parent)
        except OSError as error:
            raise EmbeddedError(
                f"user {runner.name} cannot reach {data_dir}, and {there.parent} cannot be created ({error.strerror}): "
                "choose a --data-dir below folders that every user can enter (chmod o+x)"
            ) from None
        here.symlink_to(there)
        notify(f"PostgreSQL runs as user {runner.name}, who cannot reach {data_dir}: its data is kept in {there}")
    data = here.resolve()
    if not runner_for(data).can_reach(data):
        raise EmbeddedError(
            f"user {runner_for(data).name} can no longer reach {data}: "
            "let every user enter the folders above it (chmod o+x)"
        )
    return data


def _choose_programs(data_dir: Path, data: Path, runner: Runner, notify: Notify, bindir: Path | None) -> Binaries:
    """The programs of the major version that wrote the data, or the preferred installation for a new cluster."""
    written = (data / "PG_VERSION").read_text().strip() if data.exists() else None
    seen: list[Binaries] = []
    for found in binaries(runner, notify, bindir):
        if written in (None, str(found.major)):
            return found
        seen.append(found)
    if not seen or written is None:
        raise EmbeddedError(
            "no PostgreSQL was found: reinstall requirements.lock, or set BATON_PG_BINDIR to the bin "
            "directory of PostgreSQL 15 or newer, or BATON_DATABASE_URL to a server"
        )
    raise EmbeddedError(_migration_message(data_dir, data, runner, written, seen))


def _migration_message(data_dir: Path, data: Path, runner: Runner, written: str, seen: list[Binaries]) -> str:
    """The message for data of a version that is not installed, with the commands that migrate it."""
    new, installed = seen[0], " and ".join(str(found.major) for found in seen)
    run = f"setpriv --reuid={runner.uid} --regid={runner.gid} --clear-groups " if runner.switch_user else ""
    paths = (data, _socket_folder(data, runner), data_dir / "baton.dump")
    at, socket_folder, dump = (shlex.quote(str(path)) for path in paths)
    options = shlex.quote(f"-c listen_addresses= -c unix_socket_directories={socket_folder}")
    start_arguments = f"-D {at} -l {at}/server.log -w -o {options} start"
    connection, programs = f"-h {socket_folder} -p {PORT} -U {USER}", shlex.quote(str(new.folder))
    chown = f" && chown {runner.uid}:{runner.gid} {at}" if runner.switch_user else ""
    return f"""{data} was written by PostgreSQL {written}; only {installed} is installed. Set BATON_PG_BINDIR to the \
bin directory of PostgreSQL {written}, or migrate the data with these commands (set OLD to that directory first):
  OLD=/usr/lib/postgresql/{written}/bin
  {run}"$OLD/pg_ctl" {start_arguments}
  {run}"$OLD/pg_dump" {connection} --format=custom {DATABASE} > {dump}
  {run}"$OLD/pg_ctl" -D {at} -w -m fast stop
  mv {at} {at}-{written}
  mkdir -m 0700 {at}{chown}
  {run}{programs}/initdb -D {at} {" ".join(_INITDB)}
  {run}{programs}/pg_ctl {start_arguments}
  {run}{programs}/createdb {connection} {DATABASE}
  {run}{programs}/pg_restore {connection} --exit-on-error --dbname={DATABASE} < {dump}
  {run}{programs}/pg_ctl -D {at} -w -m fast stop"""


_INITDB = (f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")


def _create(server: Server, durable: bool) -> None:
    """Create the cluster and its database atomically: in a temporary folder beside the final one, then renamed."""
    new = server.data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if server.runner.switch_user:
        os.chown(new, server.runner.uid, server.runner.gid)
    options, fsync = ([], "fsync=on") if durable else (["--no-sync"], "fsync=off")
    initdb = [server.programs["initdb"], "-D", str(new), *_INITDB, *options]
    single = [server.programs["postgres"], "--single", "-j", "-D", str(new), "-c", fsync, "postgres"]
    for command, text in ((initdb, ""), (single, f"CREATE DATABASE {DATABASE}\n\n")):
        answer = server.runner.run(command, text=text)
        if answer.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not create {server.data}: {last_line(answer.stderr)}")
    new.rename(server.data)
    if durable:
        _sync_folder(server.data.parent)


def _ensure_running(server: Server, durable: bool) -> None:
    """Wait for a server that is starting or stopping; start one if none is running."""
    deadline = time.monotonic() + START_SECONDS
    while _is_alive(server.data):
        if _is_ready(server):
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL in {server.data} accepts no connections; see {server.data}/server.log")
        time.sleep(0.05)
    _remove_stale_locks(server)
    settings = {**SETTINGS, **(DURABLE if durable else FAST), "unix_socket_directories": str(server.socket_folder)}
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    log = server.data / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    # pg_ctl puts paths into a shell command: relative paths avoid special characters in the folder's name.
    arguments = ["-D", ".", "-l", log.name, "-w", "-t", str(START_SECONDS), "-o", options]
    command = [server.programs["pg_ctl"], *arguments, "start"]
    if server.runner.run(command, quiet=True, folder=server.data).returncode != 0 or not _is_ready(server):
        logged = log.read_text(errors="replace") if log.exists() else ""
        raise EmbeddedError(f"PostgreSQL did not start: {last_line(logged)} (full log: {log})")


def _stop(server: Server) -> None:
    """Fast shutdown; pg_ctl waits until the final checkpoint is written and the process has ended."""
    if not _is_alive(server.data):
        return
    command = [server.programs["pg_ctl"], "-D", str(server.data), "-m", "fast", "-w", "-t", str(STOP_SECONDS), "stop"]
    server.runner.run(command, quiet=True)
    if server.socket_folder != server.data:
        with suppress(OSError):
            server.socket_folder.rmdir()


def _is_ready(server: Server) -> bool:
    """Whether it accepts connections; `pg_ctl status` also calls a server running that is shutting down."""
    target = ["-h", str(server.socket_folder), "-p", str(PORT), "-U", USER, "-d", DATABASE, "-t", "30"]
    return server.runner.run([server.programs["pg_isready"], "-q", *target]).returncode == 0


def _is_alive(data: Path) -> bool:
    """Whether the process in postmaster.pid is running and is a postmaster of this data."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
        return False  # PermissionError: the pid has been reused by another user's process
    return _is_postgres_in(pid, data)


def _is_postgres_in(pid: int, data: Path) -> bool:
    """Running, not a zombie, named postgres, with this working directory. Without /proc any process counts."""
    process = Path("/proc", str(pid))
    if not Path("/proc/self").exists():
        return True
    try:
        name, _, rest = (process / "stat").read_text().rpartition(") ")
        return not rest.startswith(("Z", "X")) and name.endswith("(postgres") and (process / "cwd").readlink() == data
    except OSError:
        return False


def _remove_stale_locks(server: Server) -> None:
    """After a kill -9: wait for the dead postmaster's children to end, then remove lock files that would block a start.

    PostgreSQL itself takes a zombie, or another process with the same pid, for a running postmaster.
    """
    deadline = time.monotonic() + 5
    while orphans := [int(p.name) for p in Path("/proc").glob("[0-9]*") if _is_postgres_in(int(p.name), server.data)]:
        if time.monotonic() > deadline:
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for lock_file in (server.data / "postmaster.pid", server.socket_folder / f".s.PGSQL.{PORT}.lock"):
        with suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
            if (first := lock_file.read_text().partition("\n")[0]) != "":  # empty: the disk was full as it was written
                os.kill(int(first), 0)
            lock_file.unlink()  # only if a process has that pid: otherwise PostgreSQL removes the file itself


def _socket_folder(data: Path, runner: Runner) -> Path:
    """The folder of the socket: the cluster's own (0700), or one in /tmp if that path would be too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH:
        return data
    short = Path("/tmp", "baton-" + hashlib.sha256(bytes(data)).hexdigest()[:16])  # noqa: S108 - checked below
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
        if runner.switch_user:
            os.chown(short, runner.uid, runner.gid)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != runner.uid or status.st_mode & 0o077:
        raise EmbeddedError(
            f"{short} is not a private folder of user {runner.name}: remove it, or choose a shorter --data-dir"
        )
    return short


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def last_line(text: str) -> str:
    """The line with the cause: the last FATAL, PANIC or error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "error:" in line or "PANIC" in line]
    return (errors or lines or ["no output"])[-1]
