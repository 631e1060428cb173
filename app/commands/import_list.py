"""`baton import`: streams a list to a running service, shows the progress, and reports every refused row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from app.commands.output import refusal
from app.matching.text import storable
from app.settings import CannotStart

PIECE: Final = 256 * 1024
POLL_SECONDS: Final = 1.0
RETRY_WAITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
# Nothing limits how long a list may take; a service that is gone is noticed by its silence.
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=900)
MEDIA: Final = {
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xls": "application/vnd.ms-excel",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".tsv": "text/tab-separated-values",
}
COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file to import: where the service is, with which key, and the parameters of the request."""

    path: Path
    url: str
    key: str
    parameters: Mapping[str, Any]
    errors: Path | None = None

    @property
    def is_dry_run(self) -> bool:
        return self.parameters.get("dry_run") == "true"


@dataclass(slots=True)
class Shown:
    """Progress: bars on a terminal, elsewhere a line for each tenth."""

    bars: Progress | None
    tasks: dict[str, TaskID] = field(default_factory=dict)
    tenths: dict[str, int] = field(default_factory=dict)

    def update(self, what: str, done: int, total: int) -> None:
        if self.bars is not None:
            if what not in self.tasks:
                self.tasks[what] = self.bars.add_task(what)
            self.bars.update(self.tasks[what], completed=done, total=total)
            return
        tenth = 10 * done // total if total else 10
        if self.tenths.get(what, -1) < tenth:
            self.tenths[what] = tenth
            console.print(f"{what}: {done:,} of {total:,}")


def import_list(file: ListFile) -> int:
    """Import a file, or show what would come of it; 1 when rows are refused."""
    return asyncio.run(_run(file))


async def _run(file: ListFile) -> int:
    headers = {"Authorization": f"Bearer {file.key}"}
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session:
        try:
            with _shown() as shown:
                answer = await _send(session, file, shown)
                if not file.is_dry_run:
                    answer = await _wait(session, file, answer, shown)
            refused = _report_dry_run(answer) if file.is_dry_run else await _report(session, file, answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CannotStart(f"{file.url} does not answer ({type(error).__name__}): is it running?") from None
    return 1 if refused else 0


@contextmanager
def _shown() -> Iterator[Shown]:
    if not console.is_terminal:
        yield Shown(None)
        return
    with Progress(*COLUMNS, console=console) as bars:
        yield Shown(bars)


async def _send(session: aiohttp.ClientSession, file: ListFile, shown: Shown) -> dict[str, Any]:
    """Stream the file. `expect100`: what is wrong with the request is answered before the file is sent."""
    kind = MEDIA.get(file.path.suffix.lower(), "text/csv")
    url = f"{file.url}/v1/imports?{urlencode({'name': storable(file.path.name)[:255], **file.parameters}, doseq=True)}"
    try:
        opened = file.path.open("rb")
    except OSError as error:
        raise CannotStart(f"{file.path} cannot be read: {error.strerror}") from None
    with opened:
        pieces = _pieces(opened, file.path.stat().st_size, shown)
        async with session.post(url, data=pieces, headers={"Content-Type": kind}, expect100=True) as answer:
            return await _read(answer)


async def _pieces(opened: IO[bytes], size: int, shown: Shown) -> AsyncIterator[bytes]:
    sent = 0
    while piece := await asyncio.to_thread(opened.read, PIECE):
        yield piece
        sent += len(piece)
        shown.update("Bytes sent", sent, max(size, sent))


async def _wait(session: aiohttp.ClientSession, file: ListFile, made: dict[str, Any], shown: Shown) -> dict[str, Any]:
    """Ask for the progress until every row has a verdict."""
    console.print(f"{made['id']}: {made['rows']:,} rows are stored", markup=False)
    while True:
        found: dict[str, Any] = await _get(session, f"{file.url}/v1/imports/{made['id']}")
        shown.update("Rows processed", found["rows_done"], found["rows"])
        if found["state"] != "processing":
            return found
        await asyncio.sleep(POLL_SECONDS)


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    for wait in (*RETRY_WAITS, None):
        try:
            async with session.get(url) as answer:
                if answer.status != 503 or wait is None:
                    return await _read(answer)
        except (aiohttp.ClientError, TimeoutError):
            if wait is None:
                raise
        await asyncio.sleep(wait)
    raise AssertionError("the last try returns or raises")


async def _read(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.read()
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CannotStart(f"{answer.method} {answer.url.path} answers {answer.status} without JSON") from None
    if answer.ok:
        return found
    raise CannotStart(refusal(answer.status, found))


def _report_dry_run(answer: dict[str, Any]) -> int:
    console.print(f"{answer['rows']:,} rows, nothing is written. {_counted(answer['counts'])}", markup=False)
    console.print(f"Columns: {', '.join(answer['columns'])}", markup=False)
    _warn_guessed(answer)
    for row in answer["first"][:5]:
        fields = ", ".join(f"{name}={value}" for name, value in row["fields"].items() if value is not None)
        console.print(f"  row {row['row']}: {row['verdict']}: {fields}", markup=False)
    for row in answer["refused"]:
        console.print(_refusal(row), markup=False)
    return int(answer["counts"].get("quarantined", 0))


async def _report(session: aiohttp.ClientSession, file: ListFile, done: dict[str, Any]) -> int:
    """Print the counts and each refused row; save the file of errors where that is wanted."""
    console.print(f"{done['state']}: {done['rows_done']:,} rows. {_counted(done['counts'])}", markup=False)
    _warn_guessed(done)
    refused: int = done["counts"].get("quarantined", 0)
    url, cursor = f"{file.url}/v1/imports/{done['id']}", ""
    while refused:
        page = await _get(session, f"{url}/rows?verdict=quarantined&limit=200{cursor}")
        for row in page["data"]:
            console.print(_refusal(row), markup=False)
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    if refused and file.errors is not None:
        await _save(session, f"{url}/errors", file.errors)
        console.print(f"Correct {file.errors} and import it.", markup=False)
    elif refused:
        console.print("Run it with --errors FILE, or GET /errors of the import, for a file to correct.", markup=False)
    return refused


async def _save(session: aiohttp.ClientSession, url: str, path: Path) -> None:
    async with session.get(url) as answer:
        if not answer.ok:
            await _read(answer)
        try:
            with path.open("wb") as file:
                async for piece in answer.content.iter_chunked(PIECE):
                    await asyncio.to_thread(file.write, piece)
        except OSError as error:
            raise CannotStart(f"{path} cannot be written: {error.strerror}") from None


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{verdict}: {number:,}" for verdict, number in sorted(counts.items()))


def _warn_guessed(answer: Mapping[str, Any]) -> None:
    if answer["text_guessed"]:
        console.print("The character set was guessed: check names, or say it with --encoding, such as windows-1250.")


def _refusal(row: Mapping[str, Any]) -> str:
    unmet = "; ".join(f"{one['criterion']}: {one['have']}" for one in row["unmet"] if one["have"])
    return f"  row {row['row']} is refused: {row['reason']}{f' ({unmet})' if unmet else ''}"
