"""Dry run of a list: maps all of its rows and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from app.imports.body import ListBody
from app.imports.foreseen import UNKNOWN, Foreseen
from app.imports.foreseen_consents import ForeseenConsents
from app.imports.rows import Row
from app.imports.store import ROWS_TOGETHER, listed
from app.leads.capture import CONSENT_WITHDRAWN
from app.sources.item import Item, dry_run_to_json
from app.sources.ready import ReadySource
from app.submissions.listed import ListedRows, map_rows

SHOWN: Final = 20


async def dry_run(
    state: Any, source: ReadySource, body: ListBody, options: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Counts over all rows by verdict and reason, the first rows as mapped, and the first that would be refused."""
    counts, reasons = Counter[str](), Counter[str]()
    first: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    guessed = False
    foreseen, consents = Foreseen(state, source, now), ForeseenConsents(state, source, now)
    async for found in body.rows():
        rows = list(found)
        guessed = guessed or any(row.guessed for row in rows)
        for start in range(0, len(rows), ROWS_TOGETHER):
            some = rows[start : start + ROWS_TOGETHER]
            items = await map_rows(source, _together(some, options, now))
            verdicts = await foreseen.verdicts(some, items)
            await consents.add(some, items, verdicts)
            counts.update(verdicts)
            reasons.update(item.reason for item in items if item.reason)
            shown = [_shown(*one) for one in zip(some, items, verdicts, strict=True)]
            first += shown[: SHOWN - len(first)]
            refused += [one for one in shown if one["verdict"] == "quarantined"][: SHOWN - len(refused)]
    repeated, numbers = await foreseen.repeated(body.sha256)
    counts = counts - repeated + Counter(duplicate=repeated.total())
    withdrawn = consents.numbers(numbers)
    reasons += Counter({CONSENT_WITHDRAWN: len(withdrawn)})
    for one in (*first, *refused):
        one["submission_key"] = one["submission_key"].replace(f"{UNKNOWN}:", f"{body.sha256}:", 1)
        one.update(_of_verdict(one, "duplicate" if one["row"] in numbers else one["verdict"]))
        one["reason"] = CONSENT_WITHDRAWN if one["row"] in withdrawn else one["reason"]
    return {
        "dry_run": True,
        "rows": counts.total(),
        "bytes": body.size,
        "sha256": body.sha256,
        "columns": body.reader.names,
        "text_guessed": guessed,
        "counts": counts,
        "reasons": reasons,
        "equal_rows": foreseen.equal,
        "first": first,
        "refused": refused,
    }


def _together(rows: list[Row], options: Mapping[str, Any], now: datetime) -> ListedRows:
    facts = listed(rows, options)
    cells = [row.cells for row in rows]
    return ListedRows(cells, facts["rows"], UNKNOWN, now, facts["faults"], facts["guessed"], options)


def _shown(row: Row, item: Item, verdict: str) -> dict[str, Any]:
    return _of_verdict({"row": row.number, **dry_run_to_json(item)}, verdict)


def _of_verdict(shown: dict[str, Any], verdict: str) -> dict[str, Any]:
    """The row with the verdict that it would have: a repeat records no activity."""
    activity = None if verdict in ("duplicate", "revised") else shown["activity"]
    return {**shown, "verdict": verdict, "activity": activity}
