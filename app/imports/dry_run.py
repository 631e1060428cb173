"""Dry run of a list: maps all of its rows and writes nothing."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from app.imports.body import ListBody
from app.imports.foreseen import UNKNOWN, Foreseen
from app.imports.rows import Row
from app.imports.store import ROWS_TOGETHER, listed
from app.sources.item import Item, dry_run_to_json
from app.sources.ready import ReadySource
from app.submissions.entries import Entry
from app.submissions.listed import ListedRows, map_rows

SHOWN: Final = 20


async def dry_run(
    state: Any, source: ReadySource, body: ListBody, options: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Counts over all rows by verdict and reason, the first rows as mapped, and the first that would be refused."""
    counts = Counter[str]()
    reasons: dict[str, array[int]] = {}  # the numbers of the rows that have each
    first: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    guessed = False
    foreseen = Foreseen(state, source, now)
    async for found in body.rows():
        rows = list(found)
        guessed = guessed or any(row.guessed for row in rows)
        for start in range(0, len(rows), ROWS_TOGETHER):
            some = rows[start : start + ROWS_TOGETHER]
            items = await map_rows(source, _together(some, options, now))
            entries = await foreseen.entries(some, items)
            shown = [_shown(*one) for one in zip(some, items, entries, strict=True)]
            counts.update(one["verdict"] for one in shown)
            for one in shown:
                if one["reason"]:
                    reasons.setdefault(one["reason"], array("I")).append(one["row"])
            first += shown[: SHOWN - len(first)]
            refused += [one for one in shown if one["verdict"] == "quarantined"][: SHOWN - len(refused)]
    repeated, numbers = await foreseen.repeated(body.sha256)
    counts = counts - repeated + Counter(duplicate=repeated.total())
    for one in (*first, *refused):
        one["submission_key"] = one["submission_key"].replace(f"{UNKNOWN}:", f"{body.sha256}:", 1)
        if one["row"] in numbers:
            one.update(_of_verdict(one, "duplicate", None))
    return {
        "dry_run": True,
        "rows": counts.total(),
        "bytes": body.size,
        "sha256": body.sha256,
        "columns": body.reader.names,
        "text_guessed": guessed,
        "counts": counts,
        "reasons": +Counter({why: sum(row not in numbers for row in rows) for why, rows in reasons.items()}),
        "equal_rows": foreseen.equal,
        "first": first,
        "refused": refused,
    }


def _together(rows: list[Row], options: Mapping[str, Any], now: datetime) -> ListedRows:
    facts = listed(rows, options)
    cells = [row.cells for row in rows]
    return ListedRows(cells, facts["rows"], UNKNOWN, now, facts["faults"], facts["guessed"], options)


def _shown(row: Row, item: Item, entry: Entry) -> dict[str, Any]:
    shown = {"row": row.number, **dry_run_to_json(item)}
    return _of_verdict(shown, "duplicate", None) if entry.duplicate else _of_verdict(shown, entry.verdict, entry.reason)


def _of_verdict(shown: dict[str, Any], verdict: str, reason: str | None) -> dict[str, Any]:
    """The row with the verdict and reason that it would have: a repeat records no activity."""
    activity = None if verdict in ("duplicate", "revised") else shown["activity"]
    return {**shown, "verdict": verdict, "reason": reason, "activity": activity}
