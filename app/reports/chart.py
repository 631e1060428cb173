"""A report as a picture: a bar for each metric of each group, with its band behind it, and a scale. Pure.

A bar begins at zero, or at `start` of its metric where it has that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

WIDTH, LABEL, BAR, ROW, TOP = 820, 250, 300, 26, 84
MOST_ROWS: Final = 200
MOST_LETTERS: Final = 32  # of a label
LEAST_OF_KEY: Final = 8
EMPTY: Final = "Nothing is counted."
# How the values of each unit are written; one of 1 is of the singular.
UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "share": ("", ""),
    "days": ("day", "days"),
    "opportunities": ("opportunity", "opportunities"),
}
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
    height = TOP + ROW * max(len(shown), 1) + (ROW if len(rows) > len(shown) else 8)
    title = f"{document['report']}, {document['from']} to {document['to']}"
    told = "; ".join(f"{label_of(key, metric)}: {_value(metric)}" for key, metric in shown) or "no data"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{xml_text(title)}</title><desc id="description">{xml_text(told)}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="16" y="28">{xml_text(title)}</text>',
        f'<text x="16" y="48">as of {xml_text(document["as_of"])}</text>',
    ]
    parts += _scale(longest) if shown else [f'<text x="16" y="{TOP}">{EMPTY}</text>']
    for index, (key, metric) in enumerate(shown):
        parts += _row(key, metric, TOP + ROW * index, BAR / longest[_unit(metric)])
    if len(rows) > len(shown):
        parts.append(f'<text x="16" y="{height - 8}">{len(rows) - len(shown)} more: ask for JSON or CSV</text>')
    return "".join([*parts, "</svg>\n"])


def _scale(longest: Mapping[str, float]) -> Iterator[str]:
    """What the beginning and the end of the bars stand for, in each unit that the picture has."""
    ends = ", ".join(_in_unit(most, unit) for unit, most in longest.items() if unit in UNITS)
    if ends:
        yield f'<text x="{LABEL}" y="{TOP - 6}">0</text>'
        yield f'<text x="{LABEL + BAR}" y="{TOP - 6}" text-anchor="end">{xml_text(ends)}</text>'


def _row(key: str | None, metric: Mapping[str, Any], y: float, scale: float) -> Iterator[str]:
    label, band, value = label_of(key, metric), metric["band"], metric["value"]
    short = shortened(key, str(metric["name"]), MOST_LETTERS)
    yield f'<g><title>{xml_text(label)}</title><text x="16" y="{y + 16}">{xml_text(short)}</text>'
    yield f'<rect class="track" x="{LABEL}" y="{y + 4}" width="{BAR}" height="16"/>'
    if band:
        low, high = band["low"] * scale, band["high"] * scale
        yield f'<rect class="band" x="{LABEL + low:.1f}" y="{y + 2}" width="{high - low:.1f}" height="20"/>'
    if value:
        kind = "out" if metric["in_band"] is False else "bar"
        x = LABEL + metric.get("start", 0) * scale
        yield f'<rect class="{kind}" x="{x:.1f}" y="{y + 7}" width="{value * scale:.1f}" height="10"/>'
    yield f'<text x="{LABEL + BAR + 12}" y="{y + 16}">{xml_text(_value(metric))}</text></g>'


def label_of(key: str | None, metric: Mapping[str, Any]) -> str:
    return str(metric["name"]) if key is None else f"{key}: {metric['name']}"


def _unit(metric: Mapping[str, Any]) -> str:
    """Bars are as long as their share of the longest one of their unit."""
    if "shown" in metric or "amounts" in metric:
        return "amount"
    if "median_days" in metric:
        return "days"
    return "opportunities" if isinstance(metric["value"], int) else "share"


def _in_unit(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}" if value % 1 else f"{value:.0%}"
    one, many = UNITS[unit]
    return f"{value:g} {one if value == 1 else many}"


def _value(metric: Mapping[str, Any]) -> str:
    """What stands beside the bar: `shown` of a metric that has it, such as an amount, else the value."""
    if "shown" in metric:
        return str(metric["shown"])
    if metric.get("amounts"):
        return ", ".join(f"{one['value']} {one['currency']}" for one in metric["amounts"])
    if metric["value"] is None:
        return "no data"
    unit = _unit(metric)
    shown = f"{metric['value']:.1%}" if unit == "share" else _in_unit(metric["value"], unit)
    return f"{shown} ({metric['numerator']} of {metric['denominator']}{'' if metric['mature'] else ', not mature'})"


def shortened(key: str | None, name: str, most: int) -> str:
    """A label of at most so many letters: rather the key than the name of the metric is cut."""
    if key is None:
        return name if len(name) <= most else f"{name[: most - 1]}…"
    room = max(most - len(name) - 2, LEAST_OF_KEY)
    label = f"{key if len(key) <= room else f'{key[: room - 1]}…'}: {name}"
    return label if len(label) <= most else f"{label[: most - 1]}…"


def xml_text(value: str) -> str:
    """Text as XML, without the control characters that XML cannot have."""
    return escape("".join(one if one >= " " and one not in "\ufffe\uffff" else " " for one in value))
