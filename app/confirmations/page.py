"""The page that a person sees who opens a link: HTML without scripts."""

from __future__ import annotations

from html import escape
from typing import Final

from fastapi import Response
from starlette.responses import HTMLResponse

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address of the page is the link
    "X-Robots-Tag": "noindex",
    "Vary": "Accept",
}
PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto }}</style></head>
<body><h1>{title}</h1><p>{text}</p>{form}</body>
</html>
"""


FORM: Final = '<form method="post"><button>{button}</button></form>'


def page(status: int, title: str, text: str, *, button: str | None = None) -> Response:
    """A page with one sentence, and a button that posts to the address of the page."""
    form = "" if button is None else FORM.format(button=escape(button))
    return HTMLResponse(PAGE.format(title=escape(title), text=escape(text), form=form), status, HEADERS)
