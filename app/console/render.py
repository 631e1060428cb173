"""Pages as HTML: the templates, their filters, and the headers that every answer of the console has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from app.console.navigation import NAVIGATION
from app.problem import catalogue
from app.reports.survival import curve, shown_days

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def page(request: Request, template: str, status: int, *, now: datetime, **values: Any) -> Response:
    """The template with these values."""
    root = f"{request.app.state.settings.prefix}/console"
    here = request.url.path.removeprefix("/console")
    known = {"root": root, "here": here, "navigation": NAVIGATION, "caller": None, "now": now, **values}
    return HTMLResponse(TEMPLATES.get_template(template).render(known), status, HEADERS)


def when(instant: str) -> str:
    """`2026-11-28T15:12:36.814043Z` → `2026-11-28 15:12`."""
    return instant[:16].replace("T", " ")


def span(seconds: float) -> str:
    """The largest unit that fits: `3 days`, `1 hour`, `0 minutes`."""
    passed = int(abs(seconds))
    name, size = next((unit for unit in UNITS if passed >= unit[1]), UNITS[-1])
    return counted(passed // size, name)


def counted(number: int, name: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def since(instant: str, now: datetime) -> str:
    """How long ago it was, or how far ahead it is."""
    return span((now - datetime.fromisoformat(instant)) / timedelta(seconds=1))


def short(text: object, length: int = 80) -> str:
    """At most so many letters; numbers and lists as they are written in JSON."""
    shown = text if isinstance(text, str) else plain(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def indented(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def amount(money: Mapping[str, str]) -> str:
    """`{"value": "12000.00", "currency": "EUR"}` → `12,000.00 EUR`."""
    return f"{Decimal(money['value']):,f} {money['currency']}"


def in_words(name: str) -> str:
    """`contact_attempt` → `contact attempt`."""
    return name.replace("_", " ")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for one in (when, span, since, counted, short, indented, amount, in_words):
        made.filters[one.__name__] = one
    made.globals["titles"] = {problem.code: problem.title() for problem in catalogue()}
    made.globals.update(curve=curve, shown_days=shown_days)
    return made


TEMPLATES: Final = _environment()
