"""Velocity as a picture: for each metric the share that is still on the way, day by day (Kaplan–Meier). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.reports.chart import BAR, EMPTY, LABEL, MOST_LETTERS, STYLE, TOP, WIDTH, label_of, shortened, xml_text

HEIGHT, ROW = 60, 92
MOST_ROWS: Final = 60
LINE: Final = (
    ".curve{fill:none;stroke:#2563eb;stroke-width:2}@media (prefers-color-scheme:dark){.curve{stroke:#60a5fa}}"
)
Metric = Mapping[str, Any]


def survival(document: Mapping[str, Any]) -> str:
    """The picture, with a title and a description that say the same in words."""
    rows = [(group["key"], one) for group in document["groups"] for one in group["metrics"] if one["denominator"]]
    shown = rows[:MOST_ROWS]
    height = TOP + ROW * len(shown) + 24
    title = f"{document['report']}, {document['from']} to {document['to']}"
    told = "; ".join(f"{label_of(key, metric)}: {', '.join(_words(metric))}" for key, metric in shown) or "no data"
    more = f"; {len(rows) - len(shown)} more: ask for JSON or CSV" if len(rows) > len(shown) else ""
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            ' role="img" aria-labelledby="title description">',
            f'<title id="title">{xml_text(title)}</title><desc id="description">{xml_text(told)}</desc>',
            f'<style>{STYLE}{LINE}</style><text class="title" x="16" y="28">{xml_text(title)}</text>',
            f'<text x="16" y="48">share still on the way, as of {xml_text(document["as_of"])}{more}</text>',
            *(part for place, row in enumerate(shown) for part in _row(*row, TOP + ROW * place)),
            "" if shown else f'<text x="16" y="{TOP}">{EMPTY}</text>',
            "</svg>\n",
        ]
    )


def _row(key: str | None, metric: Metric, y: int) -> Iterator[str]:
    label, days = label_of(key, metric), shown_days(metric["remaining"])
    short = shortened(key, str(metric["name"]), MOST_LETTERS)
    yield f'<g><title>{xml_text(label)}</title><text x="16" y="{y + 16}">{xml_text(short)}</text>'
    yield f'<rect class="track" x="{LABEL}" y="{y}" width="{BAR}" height="{HEIGHT}"/>'
    yield f'<path class="curve" transform="translate({LABEL} {y})" d="{curve(metric["remaining"], BAR, HEIGHT)}"/>'
    yield f'<text x="{LABEL}" y="{y + HEIGHT + 16}">0 to {days:.1f} days</text>'
    for line, words in enumerate(_words(metric)):
        yield f'<text x="{LABEL + BAR + 12}" y="{y + 16 + 20 * line}">{xml_text(words)}</text>'
    yield "</g>"


def curve(remaining: Mapping[str, float | None], width: int, height: int) -> str:
    """The path of the steps, beginning at the top left with all on the way."""
    scale = width / shown_days(remaining)
    path = ["M0 0"]
    for percent, days in remaining.items():
        if days is not None:
            path.append(f"H{days * scale:.1f}V{height * (100 - int(percent)) / 100:.1f}")
    return "".join([*path, f"H{width}"])


def shown_days(remaining: Mapping[str, float | None]) -> float:
    """How many days the picture is wide: a little more than until the last step."""
    return 1.1 * max((days for days in remaining.values() if days is not None), default=0) or 1


def _words(metric: Metric) -> Iterator[str]:
    half, most = metric["median_days"], metric["p90_days"]
    yield "less than half so far" if half is None else f"half within {half:.1f} days"
    yield "less than nine in ten so far" if most is None else f"nine in ten within {most:.1f} days"
    yield f"of {metric['n']}, {metric['n_open']} still on the way"
