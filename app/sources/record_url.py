"""The URL of the record that a notification names: the document's `fetch.url` with its expressions filled in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from app.matching.text import as_text
from app.sources.document import PLACEHOLDER, Document
from app.sources.expressions import Context

PLACE: Final = "/fetch/url"


def record_url(document: Document, context: Context) -> str | None:
    """The URL; None without `fetch`, or, with the reason in `context.failed`, when an expression of it is empty.

    Values are percent-encoded as a whole, so that none of them changes the host, the path or another parameter.
    """
    if document.fetch is None:
        return None
    context.reads.enabled = False
    filled = [_filled(part, context) for part in re.split(PLACEHOLDER, document.fetch.url)[1::2]]
    context.reads.enabled = True
    if not all(filled):
        context.failed.setdefault(PLACE, "an expression of the URL is empty for this item")
        return None
    values = iter(filled)
    return PLACEHOLDER.sub(lambda _: next(values), document.fetch.url)


def _filled(expression: str, context: Context) -> str:
    text = as_text(context.value(expression, PLACE))
    # A dot segment is resolved before the request is sent, encoded or not.
    return "" if text in (".", "..") else quote(text, safe="")
