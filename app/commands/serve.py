"""`baton serve`: prepares the database, creates the first key, runs the service and shuts it down gracefully.

On SIGTERM /readyz answers 503 at once while everything is still served for `drain_seconds`; then the listener closes,
requests in flight get up to 20 seconds, claims are released and the pool closes. Ctrl-C skips the draining.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import multiprocess, start_http_server

from app import log, metrics
from app.clock import Clock
from app.commands.greeting import greeting
from app.commands.worker import GRACE_SECONDS
from app.database import migrate
from app.database.requirements import require
from app.database.sealed import require_keys
from app.database.server import open_database, running_database
from app.keyring import KeyRing
from app.settings import PROGRAM, CannotStart, Settings, unknown, with_secrets
from app.tenants.create import first_run
from app.tenants.sessions import make_link_token
from app.web.application import create_app
from app.web.limited_protocol import LimitedProtocol

FINISH_SECONDS: Final = 20
# Longer than clients keep an idle connection (httpx 5 s, aiohttp 15 s): where this end closes it first, just as the
# client sends its next request, that request fails.
KEEP_ALIVE_SECONDS: Final = 20
OPEN_FILES: Final = 20_480
logger = structlog.get_logger("baton.serve")


class Service(uvicorn.Server):
    """A uvicorn server that drains on SIGTERM: /readyz answers 503 for `drain_seconds` before it shuts down."""

    exit_at: float | None = None

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.app.state.draining = True
        if sig == signal.SIGTERM and self.started and self.exit_at is None:
            self.exit_at = time.monotonic() + self.app.state.settings.drain_seconds
        elif self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:  # super() would raise the signal again at the end, before the embedded database is stopped
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self.exit_at is not None and time.monotonic() >= self.exit_at:
            self.should_exit = True
        if self.should_exit:  # requests that wait for events would hold up the end
            self.app.state.tails.end()
        return await super().on_tick(counter)


def serve(settings: Settings) -> None:
    """Run the service until a signal ends it. Raises CannotStart, whose text says what to do."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a signal during startup must also run the cleanup
    log.configure(settings.log_format)
    listener = _listen(settings) if "api" in settings.roles else None
    if listener is not None:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    with running_database(with_secrets(settings, generate=False)) as opened:
        secret = asyncio.run(prepare(opened, owned=settings.embedded))
        # `prepare` refuses if anything is encrypted and these keys cannot decrypt it, so a generated key is the first.
        ready = opened.model_copy(update={"secret_keys": with_secrets(settings).secret_keys})
        for name in unknown():
            print(f"{name} is not a setting of Baton: {PROGRAM} doctor lists all settings", file=sys.stderr)
        print(greeting(ready, secret, asyncio.run(login_token(ready))), flush=True)
        if ready.workers == 1:
            _publish_metrics(ready)
            run(ready, listener)
            return
        with metrics.shared_folder() as folder:
            _publish_metrics(ready)
            _supervise(ready, listener, folder)


def run(settings: Settings, listener: socket.socket | None) -> None:
    """Run one process of the service until a signal ends it."""
    app = create_app(settings)
    gc.freeze()  # startup objects live as long as the process: exclude them from garbage collection
    gc.set_threshold(20_000, 20, 20)
    if listener is None:
        asyncio.run(_run_without_api(app))
        return
    most_connections = _raise_file_limit() * 3 // 4
    app.state.capacity.limit_streams(most_connections * 4 // 5)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        limit_concurrency=most_connections,
    )
    service = Service(config, app)
    service.run(sockets=[listener])
    if not service.started:
        raise CannotStart("the service did not start: the reason is logged above")


def _publish_metrics(settings: Settings) -> None:
    """Serve /metrics of all workers on the port of BATON_METRICS_LISTEN, if that is set."""
    if settings.metrics_listen is None:
        return
    host, _, port = settings.metrics_listen.rpartition(":")
    try:
        start_http_server(int(port), addr=host.strip("[]"), registry=metrics.registry())
    except OSError as error:
        raise CannotStart(
            f"BATON_METRICS_LISTEN={settings.metrics_listen} cannot be used ({error.strerror}): choose another port"
        ) from None


async def _run_without_api(app: FastAPI) -> None:
    """Run the roles `work` and `dispatch`, without an HTTP server, until a signal comes."""
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    async with app.router.lifespan_context(app):
        await stop.wait()


async def prepare(settings: Settings, *, owned: bool) -> str | None:
    """Check the database, its schema and the secret keys, create the first API key if missing; the secret of that key.

    Raises CannotStart.
    """
    await require(settings.url)
    if owned:
        await migrate.upgrade(settings.url)
    elif (found := await migrate.current(settings.url)) != migrate.newest():
        raise CannotStart(
            f"the database is at revision {found or 'none'} and this release needs {migrate.newest()}: "
            f"run `{PROGRAM} migrate` once, then start again"
        )
    given = settings.admin_key.get_secret_value() if settings.admin_key else None
    async with open_database(settings.url) as engine:
        await require_keys(engine, KeyRing(settings.secret_keys))
        async with engine.begin() as tx:
            made = await first_run(tx, given, Clock(settings.test_clock).now())
    return made.secret if made is not None and given is None else None


async def login_token(settings: Settings) -> str | None:
    """The token of a link that logs in to the console once; None where this process serves none."""
    if not settings.console or "api" not in settings.roles:
        return None
    async with open_database(settings.url) as engine, engine.begin() as tx:
        return await make_link_token(tx, Clock(settings.test_clock).now())


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        where = f"port {settings.port} of {settings.host}"
        raise CannotStart(f"{where} cannot be used ({error.strerror}): choose another with --port or --host") from None


def _raise_file_limit() -> int:
    """Raise the soft limit of open files, up to OPEN_FILES or the hard limit; returns the limit that applies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _supervise(settings: Settings, listener: socket.socket | None, folder: Path) -> None:
    """Run several processes on one socket; replaces one that dies and stops all of them on a signal."""
    spawn = multiprocessing.get_context("spawn")
    stopping = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: stopping.set())

    def start() -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=_run_child, args=(settings, listener, folder))
        process.start()
        return process

    processes = [start() for _ in range(settings.workers)]
    while not stopping.wait(0.5):
        for number, process in enumerate(processes):
            if not process.is_alive():
                logger.warning("worker_replaced", exit_code=process.exitcode)
                multiprocess.mark_process_dead(process.pid, folder)
                processes[number] = start()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(settings.drain_seconds + FINISH_SECONDS + GRACE_SECONDS + 5)
        process.kill()


def _run_child(settings: Settings, listener: socket.socket | None, folder: Path) -> None:
    log.configure(settings.log_format)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_with_parent() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=exit_with_parent, daemon=True).start()
    try:
        run(settings, listener)
    finally:
        if not parent.is_alive():  # it was killed, so it cannot remove the folder
            shutil.rmtree(folder, ignore_errors=True)
