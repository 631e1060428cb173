"""Spam detection by a source's own rules. Spam gets the usual response, and the item is stored for review."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from app.matching.consent import is_unticked
from app.matching.person import Person
from app.matching.text import as_text
from app.matching.times import read_instant
from app.sources.document import Spam
from app.sources.expressions import Context

_LINK: Final = re.compile(r"https?://|\bwww\.", re.IGNORECASE)


def is_spam(spam: Spam, context: Context, person: Person, received_at: datetime) -> bool:
    """Whether a honeypot field is filled, the form was filled in too fast, the message has too many links, or the
    e-mail address is disposable."""
    if any(_is_filled(context.value(trap, f"/spam/honeypot/{place}")) for place, trap in enumerate(spam.honeypot)):
        return True
    if spam.rendered_at and _is_too_fast(spam, context, received_at):
        return True
    if spam.max_links is not None and len(_LINK.findall(str(person.fields.get("message", "")))) > spam.max_links:
        return True
    return spam.disposable and person.email_status == "disposable"


def _is_filled(answer: object) -> bool:
    # Some forms send an unticked checkbox, as "0" or "no".
    return bool(as_text(answer)) and not is_unticked(answer)


def _is_too_fast(spam: Spam, context: Context, received_at: datetime) -> bool:
    rendered_at = read_instant(
        context.value(spam.rendered_at, "/spam/rendered_at"), ("epoch", "iso"), context.zone, received_at
    )
    if rendered_at is None:
        return False
    took = received_at - rendered_at
    return timedelta(0) <= took < timedelta(seconds=spam.min_fill_seconds)
