"""Secrets that a source's document would never use: refused when the source is saved, so that nobody takes a source for
verified that is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.sources.document import Document, Rule, SignatureRule, TokenRule, usable_secrets
from app.sources.expressions import meant
from app.sources.verify import Secrets, key_of, secret_values

_VERIFY: Final = 'a rule in `overrides.verify`, such as {{"kind": {kind}}}'
# By the name of a secret: what would use it. A name of one's own is that of a signature.
USES: Final = {
    "token": _VERIFY.format(kind='"token", "in": "header", "name": "X-Api-Key"'),
    "basic": _VERIFY.format(kind='"basic"'),
    "verify_token": '`overrides.handshake`, such as {"kind": "echo", "param": "challenge", "token_param": "token"}',
    "bot_check": "`overrides.bot_check`",
}


def secret_faults(document: Document, secrets: Secrets) -> Iterator[dict[str, str]]:
    """A fault for each secret that no rule, handshake, check or fetch of the document names, and for each with a value
    with which nothing that names it can work."""
    usable = usable_secrets(document)
    for name in secrets:
        if name not in usable:
            yield {"field": f"secrets.{name}", "code": "secret_unused", "detail": _unused(name, usable)}
        elif why := next(filter(None, (_unfit(document, name, value) for value in secret_values(secrets, name))), None):
            yield {"field": f"secrets.{name}", "code": "secret_invalid", "detail": why}


def _unused(name: str, usable: frozenset[str]) -> str:
    use = USES.get(name) or _VERIFY.format(kind=f'"hmac", "secret": "{name}", "header": "X-Signature"')
    known = f"; it uses {', '.join(sorted(usable))}{meant(name, usable)}" if usable else ""
    return f"nothing in the document uses this secret{known}: write {use}, or leave the secret out (null removes it)"


def _unfit(document: Document, name: str, secret: str) -> str | None:
    """Why this value can serve for nothing that names the secret; None where it can for something."""
    why = [_unreadable(rule, secret) for rule in document.verify if rule.secret == name]
    if document.fetch and document.fetch.auth == name:
        why.append(_unsendable(document.fetch.prefix + secret))
    in_forms_and_queries = usable_secrets(document.model_copy(update={"verify": [], "fetch": None}))
    return why[0] if all(why) and name not in in_forms_and_queries else None


def _unreadable(rule: Rule, secret: str) -> str | None:
    """Why the rule can never hold with this secret; None where it can."""
    match rule:
        case SignatureRule():
            return None if key_of(rule, secret) is not None else "the key of this rule is base64, and the secret is not"
        case TokenRule(place="header"):
            return _unsendable(rule.prefix + secret)
        case TokenRule():
            return None
        case _:
            return None if ":" in secret else "write the user and the password with a colon between: user:password"


def _unsendable(value: str) -> str | None:
    """Why a header cannot have this value; None where it can."""
    if value == value.strip(" \t") and not {"\r", "\n"} & set(value):
        return None
    return "no header has line breaks, or white space at its ends: leave them out"
