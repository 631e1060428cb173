"""Members of a document whose value can never work: refused when a source is saved.

A document that was stored before goes on working, so nothing of this is checked when one is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

from app.matching.attribution import CLICK_IDS, HIDDEN_KEYS
from app.matching.channel import REFERENCES
from app.matching.country import is_region
from app.sources.answer import FILLED
from app.sources.budget import TooCostly
from app.sources.document import EVERY_PURPOSE, PLACEHOLDER, SNAKE, Document, SignatureRule, TokenRule, is_pattern
from app.sources.expressions import ROOTS, Context, ExpressionFailed, compiled, is_literal, meant
from app.sources.outline import Shape, outline
from app.sources.preset import preset_names

OF_REQUEST: Final = ROOTS - {"item", "index"}  # what `items` is evaluated on
OF_REDIRECT: Final = frozenset({"body", "query"})
HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
FAULTS: Final = {
    "text": ("no_text", "a text is wanted, and this gives an object: name a member of it, such as item.email"),
    "object": ("no_object", "an object is wanted, such as {plan: item.plan} or rest(item)"),
}
_TOKEN: Final = re.compile(r"\{([A-Za-z_]+)\}")
_CHALLENGE: Final = ("challenge", "hmac")
# Names of attribution; others are kept too, but a name that is nearly one of these is a slip of the pen.
ATTRIBUTION: Final = (
    *("source", "medium", "campaign", "term", "content", "channel", "referrer", "landing_page", "page", "utm"),
    *("campaign_id", "ad_id", "adset_id", "form_id", "list_id", "visitor_id", *CLICK_IDS, *REFERENCES),
)
SIMILAR: Final = 0.85  # `chanel` and `channel`, but not `ad_group_id` and `adset_id`
_NOON: Final = datetime(2026, 11, 28, 12, 34, 56, tzinfo=UTC)

Fault = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an expression of a document has to be. `varies`: its value may not be the same for every request;
    `is_type`: texts in it are types of activities."""

    shape: Shape | None = None
    varies: bool = False
    names: frozenset[str] = ROOTS
    is_type: bool = False


TEXT: Final = Wanted("text")
VARYING: Final = Wanted("text", varies=True)
OBJECT: Final = Wanted("object")


def member_faults(document: Document) -> Iterator[Fault]:
    """A fault for each such member, in the form of `DocumentFaulty.faults`."""
    for place, expression, wanted in _expressions(document):
        if expression is not None:
            yield from _expression_faults(place, expression, wanted)
    yield from _items_faults(document.items)
    yield from _attribution_faults(document.attribution)
    yield from _value_faults(document)


def _items_faults(expression: str) -> Iterator[Fault]:
    if not outline(expression).reads_nothing:
        return
    try:
        is_whole = isinstance(Context({}).evaluate(expression), list | dict)
    except (ExpressionFailed, TooCostly):
        is_whole = False
    if not is_whole:
        detail = "the value is the same for every request, and neither an object nor a list: write body or body.leads"
        yield _fault("items", "value_fixed", detail)


def _attribution_faults(names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        if name not in ATTRIBUTION and (known := HIDDEN_KEYS.get(name) or _nearly(name)):
            detail = f"unknown name (did you mean {known}?): a name of your own has to differ more from those known"
            yield _fault(f"attribution.{name}", "name_unknown", detail)


def _nearly(name: str) -> str | None:
    """The known name of attribution of which this one is a misspelling: its letters in another order, or nearly it."""
    swapped = [known for known in ATTRIBUTION if sorted(known) == sorted(name)]
    return next(iter(swapped or get_close_matches(name, ATTRIBUTION, 1, SIMILAR)), None)


def _expressions(document: Document) -> Iterator[tuple[str, str | None, Wanted]]:
    """Every expression of a document with its place; a literal only where its words are of a closed list."""
    yield "items", document.items, Wanted(names=OF_REQUEST)
    yield "submission_key", document.submission_key, VARYING
    yield "custom", document.custom, OBJECT
    yield "entry", document.entry, TEXT
    yield "activity.type", document.activity.type, Wanted("text", is_type=True)
    yield "activity.properties", document.activity.properties, OBJECT
    yield "spam.rendered_at", document.spam.rendered_at, VARYING
    for number, trap in enumerate(document.spam.honeypot):
        yield f"spam.honeypot.{number}", trap, VARYING
    for number, route in enumerate(document.route):
        yield f"route.{number}.when", route.when, Wanted()
    if document.occurred_at:
        yield "occurred_at.expr", document.occurred_at.expr, VARYING
    for name, expression in document.fields.items():
        yield f"fields.{name}", expression, TEXT
    for name, expression in document.attribution.items():
        yield f"attribution.{name}", expression, OBJECT if name == "utm" else TEXT
    if isinstance(document.external_ids, str):
        yield "external_ids", document.external_ids, OBJECT
    else:
        for name, expression in document.external_ids.items():
            yield f"external_ids.{name}", expression, VARYING
    for number, rule in enumerate(document.consent):
        yield f"consent.{number}.expr", rule.expr, OBJECT if rule.purpose == EVERY_PURPOSE else TEXT
        yield f"consent.{number}.text", _no_literal(rule.text), TEXT
        yield f"consent.{number}.version", _no_literal(rule.version), TEXT
    if document.respond:
        yield "respond.redirect", _no_literal(document.respond.redirect), Wanted("text", names=OF_REDIRECT)
    for expression in PLACEHOLDER.findall(document.fetch.url) if document.fetch else ():
        yield "fetch.url", expression, TEXT


def _no_literal(text: str | None) -> str | None:
    return None if text is None or is_literal(text) else text


def _expression_faults(place: str, expression: str, wanted: Wanted) -> Iterator[Fault]:
    if wanted.is_type and is_literal(expression):
        yield from _type_faults(place, (expression,))
        return
    try:
        compiled(expression)
    except ValueError:  # of a placeholder: the check of addresses tells it
        return
    found = outline(expression)
    if unknown := sorted(found.names - wanted.names):
        detail = f"`{unknown[0]}` names nothing{meant(unknown[0], wanted.names)}: write {_example(unknown[0], wanted)}"
        yield _fault(place, "name_unknown", f"{detail}; names are {', '.join(sorted(wanted.names))}")
    elif wanted.varies and found.names <= {"index"} and not found.reads_all:  # the numbers begin anew in each request
        detail = f"the value is the same for every request: write {_example('id', wanted)} or another member"
        yield _fault(place, "value_fixed", detail)
    elif wanted.shape and wanted.shape not in found.shapes and not (wanted.shape == "text" and "list" in found.shapes):
        yield _fault(place, *FAULTS[wanted.shape])
    if wanted.is_type:
        yield from _type_faults(place, found.constants)


def _example(name: str, wanted: Wanted) -> str:
    whole = "item" if "item" in wanted.names else "body"
    return f"{whole}.{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f'{whole}."{name}"'


def _type_faults(place: str, types: tuple[str, ...]) -> Iterator[Fault]:
    for name in types:
        if re.fullmatch(SNAKE, name.strip().lower()) is None:
            detail = f"`{name[:100]}` is no type of activity: write small letters, digits and _, like demo_request"
            yield _fault(place, "type_invalid", detail)


def _value_faults(document: Document) -> Iterator[Fault]:
    if document.preset not in preset_names():
        known = f"{meant(document.preset, preset_names())}: GET /v1/presets lists them"
        yield _fault("preset", "preset_unknown", f"there is no preset `{document.preset}`{known}")
    if document.defaults.region and not is_region(document.defaults.region):
        yield _fault("defaults.region", "region_unknown", NO_REGION)
    for number, pattern in enumerate(document.occurred_at.formats if document.occurred_at else ()):
        if is_pattern(pattern) and (why := _unreadable(pattern)):
            yield _fault(f"occurred_at.formats.{number}", "format_invalid", why)
    yield from _header_faults(document)
    if document.handshake.token_param and not document.handshake.asks_token:
        detail = "only a handshake of the kind `echo` or `hmac_echo` asks for a token: this one answers everybody"
        yield _fault("handshake.token_param", "token_unused", detail)
    answer = document.handshake.answer
    for place, text in answer.items() if isinstance(answer, dict) else [("", answer)]:
        yield from _token_faults(f"handshake.answer.{place}".rstrip("."), text, _CHALLENGE)
    if document.respond:
        yield from _body_faults("respond.body", document.respond.body)


NO_REGION: Final = "there is no country of this code: write its two letters by ISO 3166, like RO"


def _unreadable(pattern: str) -> str | None:
    """Why no time can be read by a strptime pattern; None where a time written in it is read back."""
    try:
        # The zone is that of the pattern, or added by who reads it.
        read = datetime.strptime(_NOON.strftime(pattern), pattern)  # noqa: DTZ007
    except (ValueError, re.error, IndexError) as error:
        return f"no pattern of strptime: {str(error)[:100]}"
    return None if read.year == _NOON.year else "the pattern has no year, so that no time can be read by it"


def _header_faults(document: Document) -> Iterator[Fault]:
    named: list[tuple[str, str]] = []
    for number, rule in enumerate(document.verify):
        if isinstance(rule, SignatureRule):
            stamp = rule.timestamp.origin if rule.timestamp else ""
            named += [(f"verify.{number}.header", rule.header), (f"verify.{number}.unless_header", rule.unless_header)]
            named += [(f"verify.{number}.timestamp.from", stamp[7:] or " ")] if stamp.startswith("header:") else []
        elif isinstance(rule, TokenRule) and rule.place == "header":
            named += [(f"verify.{number}.name", rule.name)]
    for place, name in named:
        if name and HEADER.fullmatch(name) is None:
            detail = f"`{name}` is no name of a header: write one like X-Signature"
            yield _fault(place, "header_invalid", detail)


def _body_faults(place: str, value: Any) -> Iterator[Fault]:
    match value:
        case dict():
            for name, member in value.items():
                yield from _body_faults(f"{place}.{name}", member)
        case list():
            for number, member in enumerate(value):
                yield from _body_faults(f"{place}.{number}", member)
        case str():
            yield from _token_faults(place, value, FILLED)


def _token_faults(place: str, text: str, known: tuple[str, ...]) -> Iterator[Fault]:
    for token in _TOKEN.findall(text):
        if token not in known:
            filled = ", ".join(f"{{{name}}}" for name in known)
            yield _fault(place, "token_unknown", f"{{{token}}} is filled in by nothing; {filled} are")


def _fault(field: str, code: str, detail: str) -> Fault:
    return {"field": field, "code": code, "detail": detail}
