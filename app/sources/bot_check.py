"""The check of a form by a service that tells people from bots: the request to it, and what its answer says.

Which service it is stands in the source's document alone. The services differ in address and field name; request and
answer are the same: a form with `secret` and `response`, and JSON with `success` and `error-codes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlencode

from app.sources.document import BotCheck, Document
from app.sources.request import RawRequest
from app.sources.structure import parse_json_text
from app.sources.verify import Secrets, body_member, secret_values

BotCheckState = Literal["passed", "failed", "unverified"]
HEADERS: Final = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
MAX_TOKEN: Final = 4_096
# Codes that say nothing about the visitor: the fault is ours, or that of the service.
OUR_FAULT: Final = ("secret", "bad-request", "internal-error", "sitekey")


def check_request(document: Document, secrets: Secrets, request: RawRequest) -> bytes | BotCheckState:
    """The body to post to `bot_check.url`; or what is known without asking."""
    rule: BotCheck | None = document.bot_check
    values = secret_values(secrets, rule.secret) if rule else []
    if rule is None or not values:
        return "unverified"
    token = body_member(document, rule.field, request)
    if not token or len(token) > MAX_TOKEN:
        return "failed"
    return urlencode({"secret": values[0], "response": token}).encode()


def read_answer(code: int | None, body: str) -> BotCheckState:
    """What an answer says: `failed` only if it is clear that the visitor's token is wrong."""
    found = parse_json_text(body) if code == 200 else None
    if not isinstance(found, dict) or not isinstance(found.get("success"), bool):
        return "unverified"
    if found["success"]:
        return "passed"
    return "unverified" if _is_our_fault(found.get("error-codes")) else "failed"


def _is_our_fault(codes: object) -> bool:
    named: Sequence[object] = codes if isinstance(codes, list) else ()
    return any(fault in str(code) for code in named for fault in OUR_FAULT)
