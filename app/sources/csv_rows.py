"""Rows of CSV text as objects by the names in the first row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from app.matching.text import storable

MAX_ROWS: Final = 5_000
MAX_COLUMNS: Final = 500
MAX_CELL: Final = 128 * 1024  # characters
_SEPARATORS: Final = ",;\t|"


def csv_rows(text: str) -> list[dict[str, Any]]:
    """One object for each row that is not empty. Raises ValueError when there is no row of names, or it is too large.

    The separator is the one of `,`, `;`, tab and `|` that the first row has most of. A name that repeats gets a number,
    `Email (2)`; a column without a name is called `column 3`.
    """
    lines = list(io.StringIO(text, newline=""))
    first = next((line for line in lines if line.strip()), "")
    separator = max(_SEPARATORS, key=_outside_quotes(first).count)
    if separator not in first:
        raise ValueError("the first row has no separator: a list has a row of names, separated by , ; tab or |")
    rows = (row for row in csv.reader(lines, delimiter=separator, strict=True) if any(cell.strip() for cell in row))
    return list(_objects(rows))


def _objects(rows: Iterator[list[str]]) -> Iterator[dict[str, Any]]:
    try:
        names = _names(next(rows))
        for number, row in enumerate(rows):
            if number >= MAX_ROWS or len(row) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in row):
                raise ValueError(
                    f"row {number + 2}: at most {MAX_ROWS} rows, {MAX_COLUMNS} columns and {MAX_CELL} characters"
                )
            names += [f"column {place}" for place in range(len(names) + 1, len(row) + 1)]
            yield {name: storable(cell.strip()) for name, cell in zip(names, row, strict=False)}
    except csv.Error as error:
        raise ValueError(str(error)) from None


def _names(cells: list[str]) -> list[str]:
    names: list[str] = []
    for place, cell in enumerate(cells[:MAX_COLUMNS], start=1):
        name = storable(cell.strip())[:200] or f"column {place}"
        number = 2
        while (unique := name if name not in names else f"{name} ({number})") in names:
            number += 1
        names.append(unique)
    return names


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])
