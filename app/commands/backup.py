"""`baton backup` and `baton restore`: the embedded database and its secret keys as one file.

The file is a zip archive of pg_dump's output, the secret keys and a description, written last; zip has a checksum of
each. A restored data directory gets its database by one rename, after everything else.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from app.database import dump, embedded, migrate
from app.database.sealed import missing_keys, needed
from app.database.server import open_database, require_database
from app.keyring import KeyRing
from app.settings import KEY_FILE, CannotStart, Settings, decode_keys, encode_keys, load, with_secrets, write_private

DUMP: Final = "database.dump"
DESCRIPTION: Final = "baton-backup.json"
FORMAT: Final = 1
SMALL: Final = 100_000  # bytes; of every entry but the database

tell = partial(print, file=sys.stderr, flush=True)


def back_up(file: Path, data_dir: Path | None) -> None:
    """Write the backup to a temporary file, then rename it. Raises CannotStart."""
    settings = load(data_dir=data_dir)
    if not settings.embedded:
        raise CannotStart(
            "BATON_DATABASE_URL names a server, which baton backup does not copy: use pg_dump --format=custom, and "
            "keep BATON_SECRET_KEYS in another safe place, because the copy cannot be used without them"
        )
    require_database(settings)
    settings = with_secrets(settings, generate=False)
    with (
        _new_file(file) as partial_file,
        embedded.start(settings.data_dir, bindir=settings.pg_bindir, notify=tell) as server,
    ):
        revision, missing = asyncio.run(_examined(server.url, settings))
        with ZipFile(partial_file, "w") as archive:
            with archive.open(DUMP, "w", force_zip64=True) as entry:
                dump.dump(server, entry)
            if settings.secret_keys:
                archive.writestr(KEY_FILE, encode_keys(settings.secret_keys))
            archive.writestr(DESCRIPTION, json.dumps(_description(server, revision)))
    print(f"{file}: the database of {settings.data_dir} and its secret keys, {file.stat().st_size / 1e6:.1f} MB.")
    if missing:
        tell(f"The backup cannot be used as it is: {needed(missing)}")


def restore(file: Path, data_dir: Path | None) -> None:
    """Make a data directory from a backup; after any failure nothing of it is left.

    Raises CannotStart when it cannot be made.
    """
    settings = load(data_dir=data_dir)
    if not settings.embedded:
        raise CannotStart(
            "BATON_DATABASE_URL names a server, and baton restore makes an embedded database: unset it, or restore "
            f"{DUMP}, which is in the zip archive {file}, with pg_restore"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left after it either
    with _opened(file) as archive, _new_directory(settings.data_dir) as staging:
        with embedded.start(staging, bindir=settings.pg_bindir, notify=tell) as server, archive.open(DUMP) as entry:
            dump.load(server, entry)
        if KEY_FILE in archive.namelist():
            write_private(staging / KEY_FILE, archive.read(KEY_FILE).decode())
        _move_in(staging, settings.data_dir)
    print(f"{settings.data_dir} is restored from {file}. Start it: python3 -m app serve --data-dir {settings.data_dir}")


async def _examined(url: str, settings: Settings) -> tuple[str | None, list[str]]:
    """The revision of the schema, and the ids of the secret keys that are missing."""
    revision = await migrate.current(url)
    if revision is None:
        return None, []
    async with open_database(url) as engine, engine.connect() as tx:
        return revision, await missing_keys(tx, KeyRing(settings.secret_keys))


def _description(server: embedded.Server, revision: str | None) -> dict[str, Any]:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "made_at": made_at, "postgresql": server.programs.major, "revision": revision}


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A file that becomes `file` at the end, and is removed if the block raises; an existing file is not replaced."""
    unfinished = file.with_name(f".{file.name}.{token_hex(4)}")
    try:
        if file.exists():
            raise CannotStart(f"{file} exists: choose another name, a backup is never replaced")
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            yield unfinished
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.rename(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CannotStart(f"{file} cannot be written ({error.strerror})") from None


def _opened(file: Path) -> ZipFile:
    """The archive, read once from end to end: whole, of Baton, and of a schema that this release knows.

    Raises CannotStart for another.
    """
    try:
        archive = ZipFile(file)
        fault = _fault(archive)
    except OSError as error:
        raise CannotStart(f"{file} cannot be read ({error.strerror})") from None
    except (BadZipFile, zlib.error, EOFError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError):
        fault = "it is not a backup of baton backup, or not a whole one"
    if fault:
        raise CannotStart(f"{file} cannot be restored: {fault}")
    return archive


def _fault(archive: ZipFile) -> str | None:
    """Why it cannot be restored; for what is no backup at all an exception of reading it."""
    if max(archive.getinfo(name).file_size for name in {*archive.namelist(), DESCRIPTION} - {DUMP}) > SMALL:
        raise ValueError
    description = json.loads(archive.read(DESCRIPTION))
    revision = description["revision"]
    if description["format"] != FORMAT or (revision is not None and not migrate.knows(revision)):
        return f"this release does not know its schema, {revision}: restore it with the release that wrote it"
    if KEY_FILE in archive.namelist():
        decode_keys(archive.read(KEY_FILE).decode())
    archive.getinfo(DUMP)
    damaged = archive.testzip()
    return f"it is damaged in {damaged}" if damaged else None


def _move_in(staging: Path, data_dir: Path) -> None:
    """Give the data directory what was prepared, its database last."""
    if [each.name for each in data_dir.iterdir()] != [staging.name]:
        raise CannotStart(f"{data_dir} was used by another process meanwhile: choose a new directory with --data-dir")
    for name in (KEY_FILE, "postgres"):
        if (staging / name).exists():
            (staging / name).rename(data_dir / name)


@contextmanager
def _new_directory(data_dir: Path) -> Iterator[Path]:
    """A folder to prepare in, inside a data directory that is new or empty; if the block raises, nothing is left.

    The folder's name is random, because the database may be kept elsewhere, under a name made from the folder's.
    """
    here = data_dir.absolute()
    staging = here / f"restoring-{token_hex(4)}"
    try:
        there = here.exists()
        if there and any(here.iterdir()):
            raise CannotStart(f"{data_dir} is not empty: choose a new directory with --data-dir")
        embedded.make_data_dir(here)
        try:
            yield staging
        except BaseException:
            cluster = (staging / "postgres").resolve()
            shutil.rmtree(cluster, ignore_errors=True)
            with suppress(OSError):
                cluster.parent.rmdir()
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if not there:
                with suppress(OSError):
                    here.rmdir()
    except OSError as error:
        raise CannotStart(f"{data_dir} cannot be restored into ({error.strerror})") from None
