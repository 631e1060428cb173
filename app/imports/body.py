"""The rows in the body of a request, as they arrive: of a CSV text, or of a spreadsheet that is turned into one."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import BodyTooLarge, ListInvalid, RequestInvalid, RequestTimeout, UnsupportedMediaType
from app.imports.rows import Row, RowReader
from app.web.gate import BODY_SECONDS, MIB

MAX_LIST: Final = 1024 * MIB
MAX_SPREADSHEET: Final = 64 * MIB
PIECE: Final = 64 * 1024
XLSX_OR_ODS, XLS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
SPREADSHEET: Final = Path(__file__).with_name("spreadsheet.py")
UNREADABLE, NO_SHEET = 3, 4  # exit codes of spreadsheet.py
MEDIA: Final = (
    "text/",
    "application/csv",
    "application/octet-stream",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.",
    "application/vnd.oasis.opendocument.spreadsheet",
)


class ListBody:
    """Reads one list. `size`, `sha256` and `reader.names` are complete when `rows` has ended."""

    def __init__(self, request: Request, reader: RowReader, sheet: str | None) -> None:
        self.reader, self.size = reader, 0
        self._request, self._sheet = request, sheet
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of what has arrived."""
        return self._hash.hexdigest()

    async def rows(self) -> AsyncIterator[Iterable[Row]]:
        """The rows, as they become complete. Raises the problems of a body that is no list, too large or too slow."""
        pieces = self._received()
        first = b""
        while len(first) < len(XLS) and (piece := await anext(pieces, b"")):
            first += piece
        if first.startswith((XLSX_OR_ODS, XLS)):
            pieces = self._unpacked(first, pieces)
            first = b""
        yield self.reader.feed(first)
        async for piece in pieces:
            yield self.reader.feed(piece)
        yield self.reader.close()

    async def _received(self) -> AsyncIterator[bytes]:
        """The body in pieces. The time limit is for each piece: a long list may take as long as it needs."""
        while True:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    message = await self._request.receive()
            except TimeoutError:
                raise RequestTimeout() from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            self.size += len(piece)
            self._hash.update(piece)
            if self.size > MAX_LIST:
                raise BodyTooLarge(f"The list is larger than {MAX_LIST} bytes: divide it.")
            if piece:
                yield piece
            if not message.get("more_body", False):
                return

    async def _unpacked(self, first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The CSV text of a spreadsheet."""
        async with self._request.app.state.uploads.converting, _converter(self._sheet or "") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            piece = first
            while piece:
                if self.size > MAX_SPREADSHEET:
                    raise BodyTooLarge(f"A spreadsheet has at most {MAX_SPREADSHEET} bytes: save it as CSV.")
                process.stdin.write(piece)
                with suppress(ConnectionError):
                    await process.stdin.drain()
                piece = await anext(rest, b"")
            process.stdin.close()
            while piece := await process.stdout.read(PIECE):
                yield piece
            _check(await process.wait(), self._sheet)


def refuse_other_media(request: Request) -> None:
    """Raises UnsupportedMediaType for a body that is declared as something else than a list."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media and not media.startswith(MEDIA):
        raise UnsupportedMediaType(
            "Send the file itself with its type, such as text/csv"
            " (with curl: -H 'Content-Type: text/csv' --data-binary @list.csv)."
        )


def declared_charset(request: Request) -> str:
    """The character set in the Content-Type, or ""."""
    parameters = request.headers.get("content-type", "").split(";")[1:]
    named = (one.partition("=") for one in parameters)
    return next((value.strip(" \"'") for name, _, value in named if name.strip().lower() == "charset"), "")


@asynccontextmanager
async def _converter(sheet: str) -> AsyncIterator[Process]:
    """The process that converts a spreadsheet; it is ended with the block."""
    command = (sys.executable, "-I", str(SPREADSHEET), sheet)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _check(exit_code: int, sheet: str | None) -> None:
    if exit_code == NO_SHEET:
        if sheet:
            raise RequestInvalid.of("sheet", "sheet_unknown", "the spreadsheet has no sheet of this name")
        raise ListInvalid.at(1, "names_missing", "the spreadsheet has no visible sheet")
    if exit_code == UNREADABLE:
        raise ListInvalid.at(
            1, "spreadsheet_unreadable", "the file is damaged, has a password, or is no XLSX, XLS or ODS"
        )
    if exit_code:
        raise ListInvalid.at(1, "spreadsheet_too_large", "the spreadsheet takes too much memory: save it as CSV")
