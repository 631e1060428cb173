"""A report as JSON, CSV or SVG, as the Accept header asks. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.database.plain_json import write_json
from app.errors import NotAcceptable
from app.web.accept import best
from app.web.cells import as_text

# What every report has of a metric, in the order of its CSV; those of its own stand behind them.
COLUMNS: Final = (
    *("report", "key", "name", "from", "to", "business", "numerator", "denominator", "value"),
    *("horizon_days", "mature", "band_low", "band_high", "in_band"),
)
Document = Mapping[str, Any]
Formats = Mapping[str, Callable[[Document], bytes]]


def formats_of(columns: Sequence[str], picture: Callable[[Document], str]) -> Formats:
    """How a report is written; `columns` of its CSV are those that it has besides `COLUMNS`."""
    return {
        "application/json": write_json,
        "text/csv": partial(as_csv, columns=columns),
        "image/svg+xml": lambda document: picture(document).encode(),
    }


def written(document: Document, accept: str, formats: Formats) -> tuple[bytes, str]:
    """The report and its media type. Raises NotAcceptable where the header takes none of them."""
    kind = best(accept, tuple(formats))
    if kind is None:
        raise NotAcceptable(f"Send Accept: {' or '.join(formats)}.")
    return formats[kind](document), kind


def as_csv(document: Document, columns: Sequence[str]) -> bytes:
    """One line for each metric of each group, below the names of the columns, which do not depend on the data."""
    rows = [
        {"report": document["report"], "key": group["key"], **dict(_flat(metric))}
        for group in document["groups"]
        for metric in group["metrics"]
    ]
    return csv_of(rows, [*COLUMNS, *columns])


def csv_of(rows: Sequence[Document], names: Sequence[str]) -> bytes:
    """The members of the rows of these names, below the names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode()


def _flat(metric: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The members of a metric; those of an object as `band_low`, and of a list as JSON."""
    for name, value in metric.items():
        if isinstance(value, dict):
            yield from ((f"{name}_{key}", inner) for key, inner in value.items())
        else:
            yield name, write_json(value).decode() if isinstance(value, list) else value


def _cell(value: Any) -> Any:
    """A value as a cell; numbers and amounts stay."""
    if isinstance(value, bool):
        return str(value).lower()
    return as_text(value) if isinstance(value, str) else value


# As routes declare what they answer besides JSON.
SHOWN: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The report.",
        "content": {kind: {"schema": {"type": "string"}} for kind in ("text/csv", "image/svg+xml")},
    }
}
