"""Turns a spreadsheet on standard input (XLSX, XLS, ODS) into CSV on standard output, in a process of its own.

A workbook is read as a whole and may unpack to a multiple of its size, so the process has limits of memory and of time;
what breaks them ends this process and not the service. It is run as a file, and imports nothing of the service.
"""

from __future__ import annotations

import csv
import io
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

MAX_MEMORY = 2 * 1024 * 1024 * 1024
MAX_SECONDS = 120
UNREADABLE, NO_SHEET = 3, 4  # exit codes


def main(wanted: str = "") -> int:
    """Writes the sheet of this name, else the first that is visible. The exit code says what is wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
        visible = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible]
        name = wanted or next(iter(visible), "")
        if name not in workbook.sheet_names:
            return NO_SHEET
        sheet = workbook.get_sheet_by_name(name)
    except (CalamineError, ValueError):
        return UNREADABLE
    written = csv.writer(io.TextIOWrapper(sys.stdout.buffer, "utf-8", "replace", newline="", write_through=False))
    written.writerows(_rows(sheet))
    return 0


def _rows(sheet: CalamineSheet) -> Iterator[list[str]]:
    """The rows as texts. `iter_rows` gives empty rows above the first cell, so that rows have the numbers they have in
    the spreadsheet, but no empty columns left of it."""
    left = sheet.start[1] if sheet.start else 0
    merged = {
        (row, column): first
        for first, last in sheet.merged_cell_ranges or ()
        for row in range(first[0], min(last[0], first[0] + 100_000) + 1)
        for column in range(first[1], last[1] + 1)
    }
    values: dict[tuple[int, int], str] = {}
    for number, cells in enumerate(sheet.iter_rows()):
        texts = [""] * left + [_text(cell) for cell in cells]
        for column, text in enumerate(texts):
            first = merged.get((number, column)) if merged else None
            if first == (number, column):
                values[first] = text
            elif first is not None and not text:
                texts[column] = values.get(first, "")
        yield texts


def _text(value: Any) -> str:
    """A cell as text that mappings read: numbers without an exponent, instants and dates as ISO 8601."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
