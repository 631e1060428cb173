"""Spam detection by a source's own rules. Spam gets the usual response, and the item is stored for review."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from app.matching.consent import is_unticked
from app.matching.person import Person
from app.matching.text import as_text
from app.matching.times import read_instant
from app.sources.document import Spam
from app.sources.expressions import Context
from app.sources.request import RawRequest, Suspicion

SpamReason = Literal[Suspicion, "bot_check_failed", "honeypot", "too_fast", "too_many_links", "disposable_address"]

_LINK: Final = re.compile(r"https?://|\bwww\.", re.IGNORECASE)


def spam_reason(spam: Spam, context: Context, person: Person, request: RawRequest) -> SpamReason | None:
    """Why an item is taken for spam: what was found when its request was received, a failed bot check, a honeypot field
    that is filled, a form filled in too fast, a message with too many links, or a disposable e-mail address."""
    if request.suspicion is not None:
        return request.suspicion
    if request.bot_check == "failed":
        return "bot_check_failed"
    if any(_is_filled(context.value(trap, f"/spam/honeypot/{place}")) for place, trap in enumerate(spam.honeypot)):
        return "honeypot"
    if spam.rendered_at and _is_too_fast(spam, context, request.received_at):
        return "too_fast"
    if spam.max_links is not None and len(_LINK.findall(str(person.fields.get("message", "")))) > spam.max_links:
        return "too_many_links"
    return "disposable_address" if spam.disposable and person.email_status == "disposable" else None


def content_of(spam: Spam, context: Context) -> Any:
    """The item without what it has for protection only: empty traps, and the time at which the page was shown. They may
    differ when one form is sent twice. Tokens are dropped when the body is parsed."""
    own = Context(context.values, context.zone, context.budget)
    for trap in (*_empty_traps(spam, context), spam.rendered_at):
        own.value(trap)
    return own.reads.unread(context.values["item"])


def _empty_traps(spam: Spam, context: Context) -> list[str]:
    return [trap for trap in spam.honeypot if not _is_filled(context.value(trap))]


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
