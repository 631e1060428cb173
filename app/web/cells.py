"""Cells of CSV files for spreadsheet programs: text that they would take for a formula is marked as text. Pure."""

from __future__ import annotations

from typing import Final

# What such a program takes for the beginning of a formula, also behind the space that it strips and in full width.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def as_text(cell: str) -> str:
    """The cell with an apostrophe before what would be a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def without_mark(cell: str) -> str:
    """The cell without the apostrophe of `as_text`, which careful programs also write."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
