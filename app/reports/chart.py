"""A report as a picture: a bar for each metric of each group, with its band behind it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

WIDTH, LABEL, BAR, ROW, TOP = 820, 250, 300, 26, 64
MOST_ROWS: Final = 200
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-size:17px;font-weight:600}.bar{fill:#2563eb}"
    ".out{fill:#b45309}.band{fill:#d1fae5}.track{fill:#f1f5f9}svg{background:#fff}"
    "@media (prefers-color-scheme:dark){text{fill:#e5e7eb}.bar{fill:#60a5fa}.out{fill:#fbbf24}"
    ".band{fill:#065f46}.track{fill:#1e293b}svg{background:#0f172a}}"
)


def svg(document: Mapping[str, Any]) -> str:
    """The picture, with a title and a description that say the same in words."""
    rows = [(group["key"], metric) for group in document["groups"] for metric in group["metrics"]]
    shown = rows[:MOST_ROWS]
    longest: dict[str, float] = {}
    for _, metric in shown:
        longest[_unit(metric)] = max(longest.get(_unit(metric), 1), metric["value"] or 0)
    height = TOP + ROW * len(shown) + (ROW if len(rows) > len(shown) else 8)
    title = f"{document['report']}, {document['from']} to {document['to']}"
    told = "; ".join(f"{_label(key, metric)}: {_value(metric)}" for key, metric in shown) or "no data"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{xml_text(title)}</title><desc id="description">{xml_text(told)}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="16" y="28">{xml_text(title)}</text>',
        f'<text x="16" y="48">as of {xml_text(document["as_of"])}</text>',
    ]
    for index, (key, metric) in enumerate(shown):
        parts += _row(key, metric, TOP + ROW * index, BAR / longest[_unit(metric)])
    if len(rows) > len(shown):
        parts.append(f'<text x="16" y="{height - 8}">{len(rows) - len(shown)} more: ask for JSON or CSV</text>')
    return "".join([*parts, "</svg>\n"])


def _row(key: str | None, metric: Mapping[str, Any], y: float, scale: float) -> Iterator[str]:
    label, band, value = _label(key, metric), metric["band"], metric["value"]
    yield f'<g><title>{xml_text(label)}</title><text x="16" y="{y + 16}">{xml_text(_short(label))}</text>'
    yield f'<rect class="track" x="{LABEL}" y="{y + 4}" width="{BAR}" height="16"/>'
    if band:
        low, high = band["low"] * scale, band["high"] * scale
        yield f'<rect class="band" x="{LABEL + low:.1f}" y="{y + 2}" width="{high - low:.1f}" height="20"/>'
    if value:
        kind = "out" if metric["in_band"] is False else "bar"
        yield f'<rect class="{kind}" x="{LABEL}" y="{y + 7}" width="{value * scale:.1f}" height="10"/>'
    yield f'<text x="{LABEL + BAR + 12}" y="{y + 16}">{xml_text(_value(metric))}</text></g>'


def _label(key: str | None, metric: Mapping[str, Any]) -> str:
    return str(metric["name"]) if key is None else f"{key}: {metric['name']}"


def _unit(metric: Mapping[str, Any]) -> str:
    """Bars are as long as their share of the longest one of their unit."""
    if "median_days" in metric:
        return "days"
    return "count" if isinstance(metric["value"], int) else "share"


def _value(metric: Mapping[str, Any]) -> str:
    """What stands beside the bar: `shown` of a metric that has it, such as an amount, else the value."""
    if "shown" in metric:
        return str(metric["shown"])
    if metric.get("amounts"):
        return ", ".join(f"{one['value']} {one['currency']}" for one in metric["amounts"])
    if metric["value"] is None:
        return "no data"
    shown = f"{metric['value']:.1%}" if _unit(metric) == "share" else f"{metric['value']:g}"
    return f"{shown} ({metric['numerator']} of {metric['denominator']}{'' if metric['mature'] else ', not mature'})"


def _short(label: str) -> str:
    return label if len(label) <= 32 else f"{label[:31]}…"


def xml_text(value: str) -> str:
    """Text as XML, without the control characters that XML cannot have."""
    return escape("".join(one if one >= " " and one not in "\ufffe\uffff" else " " for one in value))
