"""Reads the rows of a CSV text as its bytes arrive, in memory that does not grow with the list.

The CSV syntax is read from bytes, one character for each (latin-1), since its marks are ASCII in every character set
that is not transcoded before. Each row is then decoded as the fields of a form are: as UTF-8, else in the declared set,
else as windows-1252, which is a guess.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from app.errors import BodyTooLarge, ListInvalid
from app.matching.text import storable
from app.sources.charset import Decoder, charset
from app.web.cells import without_mark

MAX_ROWS: Final = 2_000_000
MAX_COLUMNS: Final = 500
MAX_NAME: Final = 200
MAX_RECORD: Final = 1024 * 1024
SAMPLE: Final = 64 * 1024  # bytes from which the delimiter is told
SAMPLE_ROWS: Final = 20
DELIMITERS: Final = ",;\t|"
# Columns of our own file of errors, which is corrected and posted again.
ROW_COLUMN, ERROR_COLUMN = "Import row", "Import error"
_OWN_COLUMNS: Final = {ROW_COLUMN.lower(), ERROR_COLUMN.lower()}
_BETWEEN: Final = "\x1f"
_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_NOT_CLOSED: Final = "the quotation mark that begins a cell is not closed: close it, or remove it"


class Row(NamedTuple):
    """One row. `number` counts as a spreadsheet program does; `fault` says why it cannot be read as one."""

    number: int
    cells: dict[str, str]
    guessed: bool = False
    fault: str | None = None


class RowReader:
    """Reads one list: `feed` its bytes, then `close`. `names` are those of its columns once the first rows are read."""

    def __init__(self, declared: str = "", delimiter: str | None = None, header_row: int | None = None) -> None:
        self.names: list[str] = []
        self._unnamed: list[str] = []  # names given to the last columns, which have none, until a row uses them
        self._width = 0
        self.delimiter = delimiter
        self._declared, self._header_row = declared, header_row
        self._start: bytes | None = b""  # what has arrived until there is enough to tell character set and delimiter
        self._transcoder: codecs.IncrementalDecoder | None = None
        self._rest = ""
        self._number = 0

    def feed(self, data: bytes) -> Iterable[Row]:
        """The rows that are complete with these bytes. Raises ListInvalid, BodyTooLarge."""
        if self._start is not None:
            self._start += data
            if len(self._start) < SAMPLE:
                return ()
            data = self._begin()
        return self._rows(self._text(data), final=False)

    def close(self) -> Iterable[Row]:
        """The rows that remain. Raises ListInvalid, also when there is no row of names."""
        text = "" if self._start is None else self._text(self._begin())
        text += self._text(b"", final=True)
        yield from self._rows(text, final=True)
        if not self.names:
            raise ListInvalid.at(self._header_row or 1, "names_missing", "the list has no row of names of its columns")

    def _begin(self) -> bytes:
        start, self._start = self._start or b"", None
        declared = charset(self._declared)
        wide = declared if declared.startswith("iso2022") else ""
        if start.startswith(_MARKS) or b"\0" in start[:4]:
            wide = json.detect_encoding(start)
        if wide:
            self._transcoder = codecs.getincrementaldecoder(wide)("replace")
        return start.removeprefix(codecs.BOM_UTF8)

    def _text(self, data: bytes, *, final: bool = False) -> str:
        """One character for each byte, of UTF-8 or of a set in which the marks of CSV are ASCII."""
        if self._transcoder is not None:
            data = self._transcoder.decode(data, final).removeprefix("\ufeff").encode("utf-8", "replace")
        return data.decode("latin-1")

    def _rows(self, text: str, *, final: bool) -> Iterator[Row]:
        self._rest += text
        if self.delimiter is None and self._rest.strip():
            self._find_delimiter()
        for cells in self._records(final):
            self._number += 1
            if not any(cell.strip() for cell in cells):
                continue
            decoded, guessed = self._decoded(cells)
            if self.names:
                yield self._row(decoded, guessed)
            elif self._header_row is None or self._number >= self._header_row:
                self._width = len(decoded)
                self.names = _names(decoded, self._number)
                self._set_unnamed_apart(decoded)

    def _set_unnamed_apart(self, cells: list[str]) -> None:
        """Leaves out the last columns without a name: most are but a delimiter at the end of each row."""
        while len(self.names) > 1 and not cells[len(self.names) - 1].strip():
            self._unnamed.append(self.names.pop())

    def _find_delimiter(self) -> None:
        lines = list(io.StringIO(self._rest[:SAMPLE], newline=""))
        first = lines[0].strip()
        if first.lower().startswith("sep=") and len(first) == 5:  # how Excel is told; it does not count as a row
            self.delimiter, self._rest = first[4], self._rest[len(lines[0]) :]
            return
        skipped = (self._header_row or 1) - 1
        self.delimiter = max(DELIMITERS, key=lambda one: _agreement(lines, one, skipped))

    def _records(self, final: bool) -> Iterator[list[str]]:
        """The complete records of what has arrived. The last one is kept: it may go on in the next bytes."""
        lines = list(io.StringIO(self._rest, newline=""))
        if not final and lines:
            lines, unfinished = lines[:-1], lines[-1]
        else:
            unfinished = ""
        reader = csv.reader(lines, delimiter=self.delimiter or ",")
        held: list[str] | None = None
        start = end = 0  # the lines of the record that is held
        try:
            for record in reader:
                if held is not None:
                    yield held
                start, held, end = end, record, reader.line_num
        except csv.Error:
            number = self._number + (1 if held is None else 2)
            raise ListInvalid.at(number, "cell_too_long", f"a cell is too long, or {_NOT_CLOSED}") from None
        self._rest = "" if final else "".join(lines[start:]) + unfinished
        if final and held is not None:
            _check_closed(lines[start:], self.delimiter or ",", self._number + 1)
            yield held
        if len(self._rest) > MAX_RECORD:
            number = self._number + (2 if held is not None and len(unfinished) > MAX_RECORD // 2 else 1)
            raise ListInvalid.at(number, "row_too_long", f"the row is too long, or {_NOT_CLOSED}")

    def _decoded(self, cells: list[str]) -> tuple[list[str], bool]:
        joined = _BETWEEN.join(cells)
        if joined.isascii():
            return [_cell(cell) for cell in cells], False
        decoder = Decoder(self._declared if self._transcoder is None else "")
        texts = decoder.text(joined.encode("latin-1")).split(_BETWEEN)
        if len(texts) != len(cells):
            texts = [decoder.text(cell.encode("latin-1")) for cell in cells]
        return [_cell(text) for text in texts], decoder.is_guessed

    def _row(self, cells: list[str], guessed: bool) -> Row:
        if self._number > MAX_ROWS:
            raise BodyTooLarge(f"The list has more than {MAX_ROWS} rows: divide it.")
        width = len(cells)
        while cells and not cells[-1].strip():
            cells.pop()
        # A row that is longer than that of the names, empty cells included, is shifted: its last cell belongs to no
        # column without a name.
        while len(cells) > len(self.names) and self._unnamed and width <= self._width:
            self.names.append(self._unnamed.pop())
        fault = None
        if len(cells) > len(self.names):
            fault = f"the row has {len(cells)} cells, the list {len(self.names)} columns: put a cell in quotation marks"
            fault += f" where it contains {self.delimiter!r}"
        names = [*self.names, *(f"column {place}" for place in range(len(self.names) + 1, len(cells) + 1))]
        found = {name: cell for name, cell in zip(names, cells, strict=False) if cell and not is_own(name)}
        return Row(self._number, found, guessed, fault)


def is_own(name: str) -> bool:
    """Whether a column is one that our file of errors adds."""
    return name.lower() in _OWN_COLUMNS


def _cell(text: str) -> str:
    return without_mark(storable(text))


def _names(cells: list[str], number: int) -> list[str]:
    """The names of the columns, each once: a name that repeats gets a number, a column without one its place."""
    if len(cells) > MAX_COLUMNS:
        raise ListInvalid.at(number, "too_many_columns", f"the list has more than {MAX_COLUMNS} columns")
    if any("@" in cell and "." in cell.partition("@")[2] and " " not in cell.strip() for cell in cells):
        raise ListInvalid.at(
            number,
            "names_missing",
            "the row holds an e-mail address where the names of the columns are expected: add a row of names, or say"
            " with header_row which row holds them",
        )
    names: list[str] = []
    known: set[str] = set()
    for place, cell in enumerate(cells, start=1):
        name = " ".join(cell.split())[:MAX_NAME] or f"column {place}"
        unique, times = name, 1
        while unique in known:
            times += 1
            unique = f"{name} ({times})"
        known.add(unique)
        names.append(unique)
    return names


def _agreement(lines: list[str], delimiter: str, skipped: int) -> tuple[int, int]:
    """In how many of the first rows a delimiter makes as many cells as in the row of names, and how many these are."""
    try:
        reader = csv.reader(lines, delimiter=delimiter)
        counts = [len(record) for _, record in zip(range(SAMPLE_ROWS + skipped), reader, strict=False)][skipped:]
    except csv.Error:
        return 0, 0
    counts = [count for count in counts if count]
    if not counts or counts[0] < 2:
        return 0, 0
    return sum(count == counts[0] for count in counts), counts[0]


def _check_closed(lines: list[str], delimiter: str, number: int) -> None:
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise ListInvalid.at(number, "quote_not_closed", _NOT_CLOSED) from None
