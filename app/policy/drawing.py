"""The diagram of a policy as SVG: a column for each stage and a row for each action, so that no labels overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from app.policy.diagram import Arrow, Chart, charts
from app.policy.document import Policy

MARGIN, ROW, HEAD, BOX = 24, 50, 88, 30
MONO, SMALL = 7.9, 6.7  # at least the width of a letter in the two fonts, in pixels
LONGEST = 80  # letters of the line that tells of several targets; the whole text is shown to who points at the row
COLORS: Final = {
    "start": ("#ffffff", "#64748b"),
    "open": ("#dbeafe", "#1d4ed8"),
    "parked": ("#fef3c7", "#b45309"),
    "closed": ("#e2e8f0", "#334155"),
}
STYLE: Final = """
text{font-family:Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif;fill:#0f172a}
.name{font:600 13px 'DejaVu Sans Mono',Menlo,Consolas,monospace}
.who{font-size:11px;fill:#475569}
.title{font-size:17px;font-weight:600}
.way{stroke:#0f172a;stroke-width:1.6;fill:none}
.choice{stroke-dasharray:5 4}
.column{stroke:#cbd5e1;stroke-width:1}
.band{fill:#f8fafc}
"""
LEGEND: Final = (
    "● from this stage    ▶ to this stage    ○ and a dashed line: to one of these stages    "
    "automatic: the service does it when the rule is met"
)


def svg(policy: Policy) -> str:
    """The journey of a lead and of an opportunity, one below the other."""
    shown = charts(policy)
    left = max(_label_width(arrow) for chart in shown for arrow in chart.arrows) + 2 * MARGIN
    drawings = [_Drawing(chart, left) for chart in shown]
    width = max(SMALL * len(LEGEND) + 2 * MARGIN, *(drawing.width for drawing in drawings))
    parts: list[str] = []
    y = float(MARGIN)
    for drawing in drawings:
        parts += drawing.parts(y, width)
        y += drawing.height
    parts.append(f'<text class="who" x="{MARGIN}" y="{y + 4:.0f}" xml:space="preserve">{LEGEND}</text>')
    height = y + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
    size = f' width="{width:.0f}" height="{height:.0f}"><title>{escape(policy.title)}</title><style>{STYLE}</style>'
    return "\n".join([head + size, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>", ""])


class _Drawing:
    """One chart; its stages stand to the right of `left`, where the names of the actions end."""

    def __init__(self, chart: Chart, left: float) -> None:
        self.chart = chart
        self.x: dict[str | None, float] = {}
        edge = left
        for place in chart.places:
            column = max(84, MONO * len(place.name or "start") + 28)
            self.x[place.name] = edge + column / 2
            edge += column
        self.width = max(edge + MARGIN, MARGIN * 2 + 10 * len(chart.title))
        self.height = HEAD + ROW * len(chart.arrows) + MARGIN

    def parts(self, top: float, width: float) -> Iterator[str]:
        """Its elements, from the height `top` on: those behind others first."""
        yield f'<text class="title" x="{MARGIN}" y="{top + 16:.0f}">{escape(self.chart.title)}</text>'
        bottom = top + self.height - MARGIN - 4
        for index in range(0, len(self.chart.arrows), 2):
            y = top + HEAD + ROW * index
            yield f'<rect class="band" x="0" y="{y:.0f}" width="{width:.0f}" height="{ROW}"/>'
        for place in self.chart.places:
            x, y = self.x[place.name], top + 40
            fill, line = COLORS[place.kind]
            box = MONO * len(place.name or "start") + 18
            yield f'<path class="column" d="M{x:.0f} {y + BOX:.0f}V{bottom:.0f}"/>'
            yield (
                f'<rect x="{x - box / 2:.0f}" y="{y:.0f}" width="{box:.0f}" height="{BOX}"'
                f' rx="{BOX / 2 if place.kind == "start" else 5:.0f}" fill="{fill}" stroke="{line}"/>'
            )
            yield f'<text class="name" x="{x:.0f}" y="{y + 19:.0f}" text-anchor="middle">{place.name or "start"}</text>'
        for index, arrow in enumerate(self.chart.arrows):
            yield from self.row(arrow, top + HEAD + ROW * (index + 0.5))

    def row(self, arrow: Arrow, y: float) -> Iterator[str]:
        """An action: its name and who may take it at the left, and its line at the height `y`."""
        told = "; ".join(
            filter(None, (arrow.choice and f"to {arrow.choice}", arrow.guard and f"requires {arrow.guard}"))
        )
        yield f"<g><title>{escape(arrow.action)}: {escape(told)}</title>" if told else "<g>"
        first = y - 7 if arrow.choice else y - 1
        yield f'<text class="name" x="{MARGIN}" y="{first:.0f}">{escape(arrow.action)}</text>'
        yield f'<text class="who" x="{MARGIN}" y="{first + 14:.0f}">{escape(arrow.who)}</text>'
        if arrow.choice:
            yield f'<text class="who" x="{MARGIN}" y="{first + 27:.0f}">{escape(_short(arrow.choice))}</text>'
        sources, targets = [self.x[one] for one in arrow.sources], [self.x[one] for one in arrow.targets]
        ends = [*sources, *targets]
        dashed = " choice" if arrow.choice else ""
        yield f'<path class="way{dashed}" d="M{min(ends):.0f} {y:.0f}H{max(ends):.0f}"/>'
        for x in targets:
            yield from _circle(x, y, 6, "#ffffff") if arrow.choice else _heads(x, y, ends)
        for x in sources:
            yield from _circle(x, y, 3.5, "#0f172a")
        yield "</g>"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _label_width(arrow: Arrow) -> float:
    """The width of what is written of an action: its name, who may take it, and what decides between its targets."""
    return max(MONO * len(arrow.action), SMALL * len(arrow.who), SMALL * len(_short(arrow.choice or "")))


def _circle(x: float, y: float, radius: float, fill: str) -> Iterator[str]:
    yield f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius}" fill="{fill}" stroke="#0f172a" stroke-width="1.6"/>'


def _heads(x: float, y: float, ends: Sequence[float]) -> Iterator[str]:
    """An arrow head on each side from which the line comes."""
    for side in [-1] * any(end < x for end in ends) + [1] * any(end > x for end in ends):
        yield f'<path d="M{x:.0f} {y:.0f}l{11 * side} -6v12z" fill="#0f172a"/>'
