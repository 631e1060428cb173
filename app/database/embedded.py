"""The embedded PostgreSQL: a real server from a wheel, started and owned here, durable, and shared by processes.

Two lock files in the data directory: `embedded.lock` is held exclusively while a server is started or stopped;
`embedded.users` is held shared for as long as a process uses the server. The second one is the reference count:
the kernel drops it with the process, however that dies. Who leaves last stops the server.
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

from app.database.binaries import SYSTEM_STATE, Binaries, EmbeddedError, Runner, Say, binaries, open_folder, runner_for

USER, DATABASE, PORT = "baton", "baton", 5432
LONGEST_SOCKET = 100  # bytes; Linux takes 107, macOS 103
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
    # What a statement or a detail line shows is people's data: neither belongs in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# For tests, many of which share one server.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "max_connections": "400",
}


@dataclass(slots=True)
class Server:
    """A running server and our share in it. `dsn` is for asyncpg, `url` for SQLAlchemy; `stop` gives the share back."""

    data_dir: Path
    data: Path
    sockets: Path
    programs: Binaries
    runner: Runner
    _share: int | None = field(repr=False)

    @property
    def dsn(self) -> str:
        """postgresql://… over the Unix socket."""
        return self.dsn_of(DATABASE)

    @property
    def url(self) -> str:
        """The same for SQLAlchemy's asyncpg dialect."""
        return self.dsn.replace("postgresql://", "postgresql+asyncpg://", 1)

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.sockets))}&port={PORT}"

    def stop(self) -> None:
        """Give our share back; the last one stops the server. A second call does nothing."""
        share, self._share = self._share, None
        if share is None:
            return
        with _alone(self.data_dir):
            try:
                fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)  # granted only where nobody else holds a share
                _stop(self)
            except BlockingIOError:
                pass
            finally:
                os.close(share)

    def revive(self) -> bool:
        """Start a durable server again where it died although nobody stopped it; true where that was so.

        Blocks, as long as the recovery takes. Raises EmbeddedError.
        """
        if _lives(self.data):
            return False
        with _alone(self.data_dir):
            if self._share is None or _lives(self.data):
                return False
            _ensure_running(self, durable=True)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(data_dir: Path, *, durable: bool = True, bindir: Path | None = None, say: Say = print) -> Server:
    """Start the server of a data directory, or join it where it runs; it is made on the first call.

    durable: False gives up safety for speed and is for tests only. bindir: BATON_PG_BINDIR. say: hears what a person
    should know. Blocks; in async code call it through a thread. Raises EmbeddedError, whose text says what to do.
    """
    data_dir = data_dir.absolute()
    _make_home(data_dir)
    with _alone(data_dir):
        share = os.open(data_dir / "embedded.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(share, fcntl.LOCK_SH)
            data = _place(data_dir, say)
            runner = runner_for(data)
            programs = _programs(data_dir, data, runner, say, bindir)
            server = Server(data_dir, data, _sockets(data, runner), programs, runner, share)
            if not data.exists():
                _create(server, durable)
            _ensure_running(server, durable)
        except BaseException:
            os.close(share)
            raise
        return server


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    with (data_dir / "embedded.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_home(data_dir: Path) -> None:
    """As root, others may pass through (not read): the server runs as another user."""
    if data_dir.is_dir():
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot make {data_dir} ({error.strerror}): choose another --data-dir") from None


def _place(data_dir: Path, say: Say) -> Path:
    """The folder of the cluster: `postgres` in the data directory, or where that link leads.

    A link is kept for good where the server's user could not reach the data directory, so that a later change of
    permissions never makes data seem lost.
    """
    here = data_dir / "postgres"
    if not here.is_symlink() and not here.exists():
        runner = runner_for(here)
        if runner.may_pass(here.resolve()):
            return here.resolve()
        there = SYSTEM_STATE / "data" / hashlib.sha256(bytes(here)).hexdigest()[:16] / "postgres"
        try:
            open_folder(there.parent)
        except OSError as error:
            raise EmbeddedError(
                f"user {runner.name} cannot reach {data_dir}, and {there.parent} cannot be made ({error.strerror}): "
                "choose a --data-dir below folders that every user may pass"
            ) from None
        here.symlink_to(there)
        say(f"PostgreSQL runs as user {runner.name}, who cannot reach {data_dir}: its data is kept in {there}")
    data = here.resolve()
    if not runner_for(data).may_pass(data):
        raise EmbeddedError(
            f"user {runner_for(data).name} cannot reach {data} any more: allow it to pass (chmod o+x) the folders above"
        )
    return data


def _programs(data_dir: Path, data: Path, runner: Runner, say: Say, bindir: Path | None) -> Binaries:
    """The programs for this data: those of its own major version, or the best there are for a new one."""
    written = (data / "PG_VERSION").read_text().strip() if data.exists() else None
    seen: list[Binaries] = []
    for found in binaries(runner, say, bindir):
        if written in (None, str(found.major)):
            return found
        seen.append(found)
    if not seen or written is None:
        raise EmbeddedError(
            "no PostgreSQL was found: install the locked requirements again, or set BATON_PG_BINDIR to the bin "
            "directory of PostgreSQL 15 or newer, or BATON_DATABASE_URL to a server"
        )
    raise EmbeddedError(_move_over(data_dir, data, runner, written, seen))


def _move_over(data_dir: Path, data: Path, runner: Runner, written: str, seen: list[Binaries]) -> str:
    """What to type to go on with data of a version that is not here."""
    new, here = seen[0], " and ".join(str(found.major) for found in seen)
    run = f"setpriv --reuid={runner.uid} --regid={runner.gid} --clear-groups " if runner.switch else ""
    at, sockets, dump = (shlex.quote(str(path)) for path in (data, _sockets(data, runner), data_dir / "baton.dump"))
    options = shlex.quote(f"-c listen_addresses= -c unix_socket_directories={sockets}")
    opened = f"-D {at} -l {at}/server.log -w -o {options} start"
    whom, programs = f"-h {sockets} -p {PORT} -U {USER}", shlex.quote(str(new.folder))
    own = f" && chown {runner.uid}:{runner.gid} {at}" if runner.switch else ""
    return f"""{data} was written by PostgreSQL {written}; here is only {here}. Either set BATON_PG_BINDIR to the bin \
directory of PostgreSQL {written}, or move the data over with these commands (set OLD to that bin directory first):
  OLD=/usr/lib/postgresql/{written}/bin
  {run}"$OLD/pg_ctl" {opened}
  {run}"$OLD/pg_dump" {whom} --format=custom {DATABASE} > {dump}
  {run}"$OLD/pg_ctl" -D {at} -w -m fast stop
  mv {at} {at}-{written}
  mkdir -m 0700 {at}{own}
  {run}{programs}/initdb -D {at} {" ".join(_INITDB)}
  {run}{programs}/pg_ctl {opened}
  {run}{programs}/createdb {whom} {DATABASE}
  {run}{programs}/pg_restore {whom} --exit-on-error --dbname={DATABASE} < {dump}
  {run}{programs}/pg_ctl -D {at} -w -m fast stop"""


_INITDB = (f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")


def _create(server: Server, durable: bool) -> None:
    """A new cluster with our database, complete or not at all: it is made beside its place and then renamed."""
    new = server.data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if server.runner.switch:
        os.chown(new, server.runner.uid, server.runner.gid)
    options, fsync = ([], "fsync=on") if durable else (["--no-sync"], "fsync=off")
    initdb = [server.programs["initdb"], "-D", str(new), *_INITDB, *options]
    single = [server.programs["postgres"], "--single", "-j", "-D", str(new), "-c", fsync, "postgres"]
    for command, text in ((initdb, ""), (single, f"CREATE DATABASE {DATABASE}\n\n")):
        answer = server.runner.run(command, text=text)
        if answer.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not make {server.data}: {_last_line(answer.stderr)}")
    new.rename(server.data)
    if durable:
        _sync_folder(server.data.parent)


def _ensure_running(server: Server, durable: bool) -> None:
    """Wait for a server that is starting or stopping; start one where none lives."""
    deadline = time.monotonic() + START_SECONDS
    while _lives(server.data):
        if _is_ready(server):
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL in {server.data} does not answer; see {server.data}/server.log")
        time.sleep(0.05)
    _clear_remains(server)
    settings = {**SETTINGS, **(DURABLE if durable else FAST), "unix_socket_directories": str(server.sockets)}
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    log = server.data / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    # pg_ctl puts paths into a shell command: from inside the folder they are harmless, whatever its name is.
    how = ["-D", ".", "-l", log.name, "-w", "-t", str(START_SECONDS), "-o", options]
    command = [server.programs["pg_ctl"], *how, "start"]
    if server.runner.run(command, quiet=True, folder=server.data).returncode != 0 or not _is_ready(server):
        said = log.read_text(errors="replace") if log.exists() else ""
        raise EmbeddedError(f"PostgreSQL did not start: {_last_line(said)} (all of it: {log})")


def _stop(server: Server) -> None:
    """Fast and orderly; pg_ctl waits until the log is written and the process gone."""
    if not _lives(server.data):
        return
    command = [server.programs["pg_ctl"], "-D", str(server.data), "-m", "fast", "-w", "-t", str(STOP_SECONDS), "stop"]
    server.runner.run(command, quiet=True)
    if server.sockets != server.data:
        with suppress(OSError):
            server.sockets.rmdir()


def _is_ready(server: Server) -> bool:
    """`pg_ctl status` calls a dying server running; only pg_isready knows who answers."""
    where = ["-h", str(server.sockets), "-p", str(PORT), "-U", USER, "-d", DATABASE, "-t", "30"]
    return server.runner.run([server.programs["pg_isready"], "-q", *where]).returncode == 0


def _lives(data: Path) -> bool:
    """True where the process in postmaster.pid lives and is a postmaster of this data."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
        return False  # PermissionError: a number given anew to a process of somebody else
    return _is_postgres_in(pid, data)


def _is_postgres_in(pid: int, data: Path) -> bool:
    """Alive, not a zombie, named postgres, and at home in this folder. Without /proc every living process counts."""
    process = Path("/proc", str(pid))
    if not Path("/proc/self").exists():
        return True
    try:
        name, _, rest = (process / "stat").read_text().rpartition(") ")
        return not rest.startswith(("Z", "X")) and name.endswith("(postgres") and (process / "cwd").readlink() == data
    except OSError:
        return False


def _clear_remains(server: Server) -> None:
    """After a kill -9: wait for the children of the dead postmaster, then drop the lock files that would block a start.

    PostgreSQL itself takes a zombie, or another process that got the same number, for a living postmaster.
    """
    deadline = time.monotonic() + 5
    while orphans := [int(p.name) for p in Path("/proc").glob("[0-9]*") if _is_postgres_in(int(p.name), server.data)]:
        if time.monotonic() > deadline:
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for left in (server.data / "postmaster.pid", server.sockets / f".s.PGSQL.{PORT}.lock"):
        with suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
            os.kill(int(left.read_text().split("\n", 1)[0]), 0)
            left.unlink()  # only where the number is taken: otherwise PostgreSQL judges by itself


def _sockets(data: Path, runner: Runner) -> Path:
    """The folder of the socket: the cluster's own (0700), or a short one where that path would be too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET:
        return data
    short = Path("/tmp", "baton-" + hashlib.sha256(bytes(data)).hexdigest()[:16])  # noqa: S108 - checked below
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
        if runner.switch:
            os.chown(short, runner.uid, runner.gid)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != runner.uid or found.st_mode & 0o077:
        raise EmbeddedError(f"{short} belongs to somebody else: remove it, or choose a shorter --data-dir")
    return short


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last_line(text: str) -> str:
    """The line that says why: the last FATAL or error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    grave = [line for line in lines if "FATAL" in line or "error:" in line or "PANIC" in line]
    return (grave or lines or ["it said nothing"])[-1]
