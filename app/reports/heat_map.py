"""Cohorts as a picture: a row for each cohort, and a cell for each week, coloured by its share. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from app.reports.chart import EMPTY, shortened, xml_text

LABEL, CELL, ROW, TOP = 190, 46, 24, 92
MOST_ROWS: Final = 54  # the weeks of a year, in less than the 150 kB of a page of the console
MOST_LETTERS: Final = 18  # of a label
COLUMNS: Final = "Cohort (journeys), week:"
LEVELS: Final = 5
# Of each level the fill and the text upon it, in a light and a dark scheme; their contrast is at least 4.5 to 1.
COLOURS: Final = {
    "light": ("#eff6ff #1f2937", "#bfdbfe #1f2937", "#93c5fd #111827", "#60a5fa #111827", "#1d4ed8 #ffffff"),
    "dark": ("#1e293b #e5e7eb", "#1e3a8a #ffffff", "#1d4ed8 #ffffff", "#60a5fa #111827", "#bfdbfe #111827"),
}
Metrics = Sequence[Mapping[str, Any]]


def heat_map(document: Mapping[str, Any]) -> str:
    """The picture, with a title and a description that say the same in words."""
    rows = list(_rows(document))
    shown = rows[:MOST_ROWS]
    weeks = max((len(cells) for _, cells in shown), default=0)
    width = max(LABEL + CELL * weeks + 16, 480)
    height = TOP + ROW * len(shown) + 32
    title = f"{document['report']}, {document['from']} to {document['to']}"
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' role="img" aria-labelledby="title description">',
            f'<title id="title">{xml_text(title)}</title>',
            f'<desc id="description">{xml_text(_told(shown) or "no data")}</desc><style>{_style()}</style>',
            f'<text class="title" x="16" y="28">{xml_text(title)}</text>',
            f'<text x="16" y="48">{xml_text(_subtitle(document, shown))}</text>',
            f'<text x="16" y="{TOP - 8}">{COLUMNS if shown else EMPTY}</text>',
            *(f'<text x="{LABEL + CELL * week + 8}" y="{TOP - 8}">{week + 1}</text>' for week in range(weeks)),
            *(part for place, (label, cells) in enumerate(shown) for part in _row(label, cells, TOP + ROW * place)),
            f'<text x="16" y="{height - 10}">{xml_text(_legend(len(rows) - len(shown)))}</text></svg>\n',
        ]
    )


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, Metrics]]:
    for group in document["groups"]:
        for cohort, cells in groupby(group["metrics"], lambda metric: metric["cohort"]):
            yield cohort if group["key"] is None else f"{group['key']}: {cohort}", list(cells)


def _subtitle(document: Mapping[str, Any], rows: Sequence[tuple[str, Metrics]]) -> str:
    way = f"share from {rows[0][1][0]['from']} to {rows[0][1][0]['to']} after so many weeks, " if rows else ""
    return f"{way}as of {document['as_of']}"


def _legend(left_out: int) -> str:
    more = f"; {left_out} more cohorts: ask for JSON or CSV" if left_out > 0 else ""
    return f"Dashed: not mature. No number: no journeys{more}"


def _row(label: str, cells: Metrics, y: int) -> Iterator[str]:
    key, _, cohort = label.rpartition(": ")
    short = shortened(key or None, cohort, MOST_LETTERS)
    yield f'<text x="16" y="{y + 16}">{xml_text(f"{short} ({_size(cells)})")}</text>'
    for place, cell in enumerate(cells):
        x, value = LABEL + CELL * place, cell["value"]
        kind = "none" if value is None else f"level{_level(value)}"
        young = "" if cell["mature"] else " young"
        yield f'<g class="{kind}{young}"><title>{xml_text(_words(label, cell))}</title>'
        yield f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{ROW - 2}"/>'
        yield "" if value is None else f'<text x="{x + 6}" y="{y + 16}">{value:.0%}</text>'
        yield "</g>"


def _level(value: float) -> int:
    return min(int(value * LEVELS), LEVELS - 1)


def _size(cells: Metrics) -> int:
    return max((cell["denominator"] for cell in cells), default=0)


def _words(label: str, cell: Mapping[str, Any]) -> str:
    if cell["value"] is None:
        return f"{label}, week {cell['weeks']}: no data"
    share = f"{cell['value']:.1%} ({cell['numerator']} of {cell['denominator']})"
    return f"{label}, week {cell['weeks']}: {share}{'' if cell['mature'] else ', not mature'}"


def _told(rows: Sequence[tuple[str, Metrics]]) -> str:
    """Each cohort with its size and its shares, week by week."""
    shares = [
        (label, cells, ", ".join(f"{cell['value']:.0%}" for cell in cells)) for label, cells in rows if _size(cells)
    ]
    return "; ".join(f"{label}, {_size(cells)} journeys: {told}" for label, cells, told in shares)


def _style() -> str:
    plain = (
        "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-size:17px;font-weight:600}"
        "svg{background:#fff}rect{rx:2px}"
    )
    dark = "text{fill:#e5e7eb}svg{background:#0f172a}.young rect{stroke:#fbbf24}"
    cells = ".none rect{fill:none;stroke:#94a3b8;stroke-opacity:.4}.young rect{stroke:#b45309;stroke-dasharray:3 2}"
    return f"{plain}{cells}{_levels('light')}@media (prefers-color-scheme:dark){{{dark}{_levels('dark')}}}"


def _levels(scheme: str) -> str:
    pairs = (pair.split() for pair in COLOURS[scheme])
    return "".join(
        f".level{level} rect{{fill:{fill}}}.level{level} text{{fill:{ink}}}" for level, (fill, ink) in enumerate(pairs)
    )
