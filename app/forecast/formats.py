"""The forecast, and what has changed in it, as JSON, CSV or SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from app.database.plain_json import write_json
from app.forecast import waterfall
from app.reports.chart import svg
from app.reports.formats import Document, Formats, csv_of

# The columns of the CSV of both, which do not depend on the data.
FORECAST_COLUMNS: Final = (
    *("report", "period", "key", "manager_id", "level", "metric", "opportunities", "currency", "amount"),
    *("own_opportunities", "own_amount", "converted", "converted_currency"),
)
CHANGES_COLUMNS: Final = ("report", "period", "since", "part", "opportunities", "category", "currency", "amount")
Amount = Mapping[str, str]
Row = dict[str, Any]


def _forecast_csv(document: Document) -> bytes:
    return csv_of(list(_forecast_rows(document)), FORECAST_COLUMNS)


def _forecast_rows(document: Document) -> Iterator[Row]:
    """A row for each metric and currency of each group; `converted` stands in the first one of a metric."""
    for group in document["groups"]:
        place = {
            "report": document["report"],
            "period": document["period"]["name"],
            "key": group["key"] or "nobody",
            "manager_id": group["manager_id"],
            "level": group["level"],
        }
        for metric in group["metrics"]:
            alone = {one["currency"]: one["value"] for one in metric["own"]["amounts"]}
            converted = metric["converted"] or {}
            for amount in _or_nothing(metric["amounts"]):
                yield {
                    **place,
                    "metric": metric["name"],
                    "opportunities": metric["opportunities"],
                    "currency": amount.get("currency"),
                    "amount": _number(amount.get("value")),
                    "own_opportunities": metric["own"]["opportunities"],
                    "own_amount": _number(alone.get(amount.get("currency", ""))),
                    "converted": _number(converted.get("value")),
                    "converted_currency": converted.get("currency"),
                }
                converted = {}
        for name in ("commit", "upside"):
            judged = (group["judgement"] or {}).get(name)
            if judged:
                amounts = {"currency": judged["currency"], "amount": _number(judged["value"])}
                yield {**place, "metric": f"judged_{name}", **amounts}


def _changes_csv(document: Document) -> bytes:
    return csv_of(list(_changes_rows(document)), CHANGES_COLUMNS)


def _changes_rows(document: Document) -> Iterator[Row]:
    """A row for each category and currency: of what was open before, of each part, and of what is open after.

    What has no amounts has one row without a category, which says how many opportunities it counts.
    """
    place = {"report": document["report"], "period": document["period"]["name"], "since": document["since"]}
    parts = [(one["name"], one["opportunities"], one["by_category"]) for one in document["parts"]]
    ends = {name: (name, None, document[name]) for name in ("before", "difference", "after")}
    for name, opportunities, by_category in (ends["before"], *parts, ends["difference"], ends["after"]):
        found = [(category, one) for category, amounts in by_category.items() for one in amounts]
        for category, amount in found or [(None, {})]:
            counted = {"part": name, "opportunities": opportunities, "category": category}
            yield {**place, **counted, "currency": amount.get("currency"), "amount": _number(amount.get("value"))}


def _forecast_svg(document: Document) -> bytes:
    """A bar for each amount, as long as its share of the largest one in its currency; of another colour below zero."""
    groups = [
        (group["key"] or "nobody", [(one["name"], one["amounts"], one["opportunities"]) for one in group["metrics"]])
        for group in document["groups"]
    ]
    largest: dict[str, Decimal] = {}
    for one in (amount for _, bars in groups for _, amounts, _ in bars for amount in amounts):
        largest[one["currency"]] = max(largest.get(one["currency"], Decimal()), abs(Decimal(one["value"])))
    drawn = [(key, [one for each in bars for one in _bars(*each, largest)]) for key, bars in groups]
    return _picture(document, drawn, "each bar as long as its share of the largest amount in its currency")


def _changes_svg(document: Document) -> bytes:
    return _picture(document, [(None, waterfall.metrics(document))], "each bar begins where the one before it ended")


def _picture(document: Document, groups: Sequence[tuple[str | None, Sequence[Row]]], scale: str) -> bytes:
    title = f"{document['report'].replace('_', ' ')} {document['period']['name']}"
    return svg(
        {
            "report": title,
            **{name: document["period"][name] for name in ("from", "to")},
            "as_of": f"{document['as_of']}; {scale}",
            "groups": [{"key": key, "metrics": metrics} for key, metrics in groups],
        }
    ).encode()


def _bars(name: str, amounts: Sequence[Amount], count: int | None, largest: Mapping[str, Decimal]) -> Iterator[Row]:
    """A bar of each amount of a metric, and one without length where its opportunities have none."""
    counted = "" if count is None else f" ({count} {'opportunity' if count == 1 else 'opportunities'})"
    for one in amounts:
        length = abs(Decimal(one["value"])) / (largest[one["currency"]] or 1)
        shown = f"{one['value']} {one['currency']}{counted}"
        yield {"name": name, "value": float(length), "shown": shown, "band": None, "in_band": one["value"][0] != "-"}
    if count and not amounts:
        yield {"name": name, "value": None, "shown": f"no amount{counted}", "band": None, "in_band": None}


def _number(value: str | None) -> Decimal | None:
    """An amount as a number: as a text that begins with a minus it would be taken for a formula."""
    return None if value is None else Decimal(value)


def _or_nothing(amounts: Sequence[Amount]) -> Sequence[Amount]:
    return amounts or [{}]


FORECAST: Final[Formats] = {
    "application/json": write_json,
    "text/csv": _forecast_csv,
    "image/svg+xml": _forecast_svg,
}
CHANGES: Final[Formats] = {"application/json": write_json, "text/csv": _changes_csv, "image/svg+xml": _changes_svg}
