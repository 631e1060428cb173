"""Maps a request to items by a document. No input raises; an item that fails is quarantined, the others are kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from app.matching.attribution import HIDDEN_KEYS, attributed, from_hidden_fields, from_page_url
from app.matching.channel import REFERENCES, Channel, channel_of, with_read_channel
from app.matching.consent import is_purpose, read_ticked
from app.matching.no_identity import is_no_id
from app.matching.normalize import normalize
from app.matching.person import Identity, Person
from app.matching.text import as_text, storable, storable_value
from app.matching.times import read_instant, zone
from app.sources.budget import QUICK_STEPS, Budget, TooCostly
from app.sources.document import EVERY_PURPOSE, SNAKE, ConsentRule, Document, Moment, Verdict, is_pattern
from app.sources.expressions import Context, ExpressionFailed, Unmapped
from app.sources.item import KEY_SEPARATOR, Consent, Item, Reason
from app.sources.parse import Body, ParseFailed, read_body
from app.sources.record_url import record_url
from app.sources.request import RawRequest
from app.sources.spam import content_of, spam_reason
from app.sources.structure import listed

REPEAT_WINDOW: Final = timedelta(minutes=10)  # in which the same content without a key is the same submission
MAX_ITEMS: Final = 1_000
LARGE: Final = 64 * 1024  # bytes; mapping 1 MiB takes more than a second
STEPS_PER_PATTERN: Final = 50
STEPS_PER_ITEM: Final = 50  # normalising what an item's expressions gave
_MAX_KEY: Final = 255
FORM: Final[Channel] = "web_form"  # where neither source nor preset names another channel
MAX_TEXT_VERSION: Final = 255
MAX_PURPOSES: Final = 20  # of an object of answers by purpose
IDENTITIES: Final = ["email", "phone", "social", "external_ids", "company with website or domain"]
_NEEDED: Final[Mapping[Reason, str]] = {"mapping_too_costly": "expressions that take fewer steps and make less"}
_NEEDS_PERSON: Final = frozenset({"lead", "activity", "consent", "erase"})


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all items of one request have in common."""

    document: Document
    request: RawRequest
    source_id: UUID
    zone: tzinfo
    budget: Budget
    body: Body | None = None


def map_request(document: Document, request: RawRequest, source_id: UUID, budget: Budget | None = None) -> list[Item]:
    """The items of a request, in order, each with a verdict or quarantined with a reason. Never raises.

    A body that cannot be parsed, or for which `items` is null, is one quarantined item. An empty list of
    items gives an empty list. Once the budget is spent, the other items are quarantined too.
    """
    named = (document.occurred_at.timezone if document.occurred_at else None) or "UTC"
    budget = budget or Budget(_size(request))
    shared = _Shared(document, request, source_id, zone(document.defaults.timezone or named), budget)
    try:
        read = read_body(document.parse, request)
    except ParseFailed as error:
        return [_quarantined(shared, 0, None, "parse_failed", str(error))]
    body, shared = read.value, replace(shared, body=read)
    root = {
        "body": body,
        "headers": {name: storable(value) for name, value in request.lower_headers.items()},
        "query": request.parameters,
        "received_at": request.received_at.isoformat(),
        "sha256": request.sha256,
    }
    try:
        found = Context(root, budget=budget).items(document.items, "/items")
    except ExpressionFailed as error:
        return [_quarantined(shared, 0, body, "mapping_failed", f"/items: {error}")]
    except TooCostly as error:
        return [_quarantined(shared, 0, body, "mapping_too_costly", f"/items: {error.reason}")]
    if found is None:
        return [_quarantined(shared, 0, body, "mapping_failed", "/items: the expression is null for this request")]
    items = listed(found)
    mapped = [_map_or_quarantine(shared, root, index, item) for index, item in enumerate(items[:MAX_ITEMS])]
    if len(items) > MAX_ITEMS:
        why = f"/items: {len(items)} items; only the first {MAX_ITEMS} were processed"
        mapped.append(_quarantined(shared, MAX_ITEMS, None, "too_many_items", why))
    return mapped


async def map_request_async(document: Document, request: RawRequest, source_id: UUID) -> list[Item]:
    """As map_request, in a thread for what takes long, so that the event loop is not blocked."""
    size = _size(request)
    if size <= LARGE:
        await asyncio.sleep(0)
        quick = Budget(size, QUICK_STEPS)
        items = map_request(document, request, source_id, quick)
        if not quick.is_spent:
            return items
    return await asyncio.to_thread(map_request, document, request, source_id)


def _size(request: RawRequest) -> int:
    try:
        return len(request.content)
    except ValueError:  # it cannot be decompressed; `parse_body` reports that
        return len(request.body)


def _map_or_quarantine(shared: _Shared, root: Mapping[str, Any], index: int, item: Any) -> Item:
    try:
        if item is None or isinstance(item, Unmapped):
            failed = item or Unmapped(None, "this item is null")
            return _quarantined(shared, index, failed.element, "mapping_failed", f"/items: {failed.why}")
        context = Context({**root, "item": item, "index": index}, shared.zone, shared.budget)
        return _map_item(shared, context, index)
    except TooCostly as error:
        return _quarantined(shared, index, item, "mapping_too_costly", f"{error.place or '/items'}: {error.reason}")
    # One failing item must not lose the others: it is quarantined and can be replayed.
    except Exception:
        return _quarantined(shared, index, item, "mapping_failed", "the document cannot map this item")


def _map_item(shared: _Shared, context: Context, index: int) -> Item:
    document, received_at = shared.document, shared.request.received_at
    shared.budget.spend(STEPS_PER_ITEM)
    verdict, name = _route(document, context)
    person = _person(shared, context, verdict)
    occurred_at, unreadable = _occurred_at(document.occurred_at, context, received_at)
    spam = spam_reason(document.spam, context, person, shared.request)
    if shared.request.cleared:
        verdict, spam = "lead" if verdict == "spam" else verdict, None
    attribution, consents = _attribution(document, context), _consents(document, context)
    content = content_of(document.spam, context)
    key, repeat_keys = _submission_key(shared, context, verdict, content)
    entry = storable(as_text(context.value(document.entry, "/entry")))
    reason: Reason | None = "identity_required" if verdict in _NEEDS_PERSON and not person.identities else None
    if verdict == "lead" and spam:
        verdict, reason, person = "spam", None, replace(person, flags=(*person.flags, spam))
    custom = _custom(document, context, person)
    fetch_url = record_url(document, context) if verdict == "fetch" else None
    if document.fetch and verdict == "fetch" and fetch_url is None:
        reason = "mapping_failed"
    return Item(
        index=index,
        verdict="quarantined" if reason else verdict,
        submission_key=key,
        occurred_at=occurred_at or received_at,
        content_sha256=hashlib.sha256(_canonical(content)).hexdigest(),
        repeat_keys=repeat_keys,
        person=person,
        attribution=attribution,
        channel=channel_of(attribution, document.defaults.channel or FORM),
        consents=consents,
        activity_type=name or _activity_type(document, context),
        activity_kind=document.activity.kind,
        activity_properties=_object(context, document.activity.properties, "/activity/properties"),
        entry=entry if re.fullmatch(SNAKE, entry) else document.defaults.entry,
        custom=custom,
        reason=reason,
        unmet=_unmet(context, person, unreadable, reason),
        fetch_url=fetch_url,
    )


def _route(document: Document, context: Context) -> tuple[Verdict, str | None]:
    rule = next(
        (rule for place, rule in enumerate(document.route) if context.holds(rule.when, f"/route/{place}/when")), None
    )
    return (rule.do, rule.name) if rule else ("lead", None)


def _person(shared: _Shared, context: Context, verdict: Verdict) -> Person:
    document, body = shared.document, shared.body
    fields = {name: context.value(expression, f"/fields/{name}") for name, expression in document.fields.items()}
    external_ids = _external_ids(document, context)
    person = normalize(fields, external_ids, document.defaults.region, plus_is_blank=body is not None and body.is_form)
    if verdict == "test":
        person = replace(person, identities=_with_ids_as_sent(person.identities, external_ids))
    guessed = ("text_guessed",) if body and body.is_text_guessed else ()
    unverified = ("unverified",) if shared.request.bot_check == "unverified" else ()
    return replace(person, flags=(*person.flags, *guessed, *unverified)) if guessed or unverified else person


def _external_ids(document: Document, context: Context) -> dict[str, Any]:
    if isinstance(document.external_ids, str):
        found = context.value(document.external_ids, "/external_ids")
        return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}
    return {
        name: context.value(expression, f"/external_ids/{name}") for name, expression in document.external_ids.items()
    }


def _with_ids_as_sent(known: tuple[Identity, ...], external_ids: Mapping[str, Any]) -> tuple[Identity, ...]:
    """The ids of a test are shown though they name nobody (`444444444444`): no person is made of a test."""
    sent = ((name, storable(as_text(value))[:_MAX_KEY]) for name, value in external_ids.items())
    others = [one for one in known if one.kind != "external"]
    return (*(Identity("external", name, value) for name, value in sent if value), *others)


def _occurred_at(moment: Moment | None, context: Context, received_at: datetime) -> tuple[datetime | None, str]:
    if moment is None:
        return None, ""
    value = context.value(moment.expr, "/occurred_at")
    context.budget.spend(STEPS_PER_PATTERN * sum(map(is_pattern, moment.formats)))
    found = read_instant(value, moment.formats, context.zone, received_at)
    return found, "" if found else as_text(value)[:100]


def _attribution(document: Document, context: Context) -> dict[str, str]:
    values = {name: context.value(expr, f"/attribution/{name}") for name, expr in document.attribution.items()}
    hidden, page = values.pop("utm", None), values.pop("page", None)
    if isinstance(hidden, dict):
        for name in hidden.keys() & HIDDEN_KEYS.keys():
            context.reads.record(hidden, name)
    defaults = document.defaults.model_dump(include={"source", "medium", "campaign", *REFERENCES}, exclude_none=True)
    return with_read_channel(attributed(values, from_hidden_fields(hidden), from_page_url(page), defaults))


def _consents(document: Document, context: Context) -> tuple[Consent, ...]:
    asked = {rule.purpose for rule in document.consent}
    found = [
        _consent(rule, purpose, answer, context, f"/consent/{place}")
        for place, rule in enumerate(document.consent)
        for purpose, answer in _answers(rule, context.value(rule.expr, f"/consent/{place}"), asked)
    ]
    return tuple(consent for consent in found if consent)


def _answers(rule: ConsentRule, answer: Any, asked: set[str]) -> list[tuple[str, Any]]:
    """The answers of one rule by purpose: one, or with the purpose `*` those that no other rule asks for."""
    if rule.purpose != EVERY_PURPOSE:
        return [(rule.purpose, answer)]
    given = answer.items() if isinstance(answer, dict) else ()
    return [(name, value) for name, value in given if is_purpose(name) and name not in asked][:MAX_PURPOSES]


def _consent(rule: ConsentRule, purpose: str, answer: Any, context: Context, place: str) -> Consent | None:
    text = storable(context.text(rule.text, f"{place}/text"))[:10_000]
    state = {"given": rule.if_yes, "refused": rule.if_no}.get(read_ticked(answer, purpose, text), rule.if_missing)
    version = storable(context.text(rule.version, f"{place}/version"))[:MAX_TEXT_VERSION]
    return Consent(purpose, state, text or None, text_version=version or None) if state else None


def _activity_type(document: Document, context: Context) -> str:
    named = document.defaults.activity_type or context.text(document.activity.type, "/activity/type").strip().lower()
    return named if re.fullmatch(SNAKE, named) else "form_fill"


def _submission_key(shared: _Shared, context: Context, verdict: Verdict, content: Any) -> tuple[str, tuple[str, ...]]:
    """The sender's key; without one that of the content, and those of the same content a little earlier or later."""
    expression = shared.document.submission_key
    key = as_text(context.value(expression, "/submission_key")) if expression else ""
    if not key or (is_no_id(key) and verdict != "test"):
        received_at = shared.request.received_at
        nearby = (received_at + shift for shift in (timedelta(), -REPEAT_WINDOW, REPEAT_WINDOW))
        own, *others = (content_key(shared.source_id, content, when) for when in nearby)
        return own, tuple(others)
    is_kept = len(key) <= _MAX_KEY and KEY_SEPARATOR not in key
    return key if is_kept else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest(), ()


def content_key(source_id: UUID, item: Any, received_at: datetime) -> str:
    """The key of an item without one: a hash of source, content and the ten minutes of the clock it came in."""
    bucket = int(received_at.timestamp() // REPEAT_WINDOW.total_seconds())
    return hashlib.sha256(f"{source_id}\n".encode() + _canonical(item) + f"\n{bucket}".encode()).hexdigest()


def _canonical(item: Any) -> bytes:
    return json.dumps(item, sort_keys=True, separators=(",", ":")).encode()


def _custom(document: Document, context: Context, person: Person) -> dict[str, Any]:
    answers = _object(context, document.custom, "/custom")
    return {**person.custom, **{name: value for name, value in answers.items() if name not in document.custom_omit}}


def _object(context: Context, expression: str | None, place: str) -> dict[str, Any]:
    found = context.value(expression, place)
    return {str(name): storable_value(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _unmet(context: Context, person: Person, unreadable: str, reason: Reason | None) -> tuple[Mapping[str, Any], ...]:
    missing: list[Mapping[str, Any]] = []
    if reason == "identity_required":
        missing.append({"criterion": "identity", "have": None, "need": IDENTITIES})
    if person.email_status in ("invalid", "placeholder"):
        need = "a valid address" if person.email_status == "invalid" else "an address of somebody"
        missing.append({"criterion": "email", "have": person.raw.get("email"), "need": need})
    if person.phone_status == "invalid":
        missing.append({"criterion": "phone", "have": person.raw.get("phone"), "need": "a valid number"})
    if unreadable:
        missing.append(
            {"criterion": "occurred_at", "have": storable(unreadable), "need": "a time in a declared format"}
        )
    missing += [{"criterion": place, "have": storable(why), "need": "a value"} for place, why in context.failed.items()]
    return tuple(missing)


def _quarantined(shared: _Shared, index: int, item: Any, reason: Reason, why: str) -> Item:
    content = [index, item if item is not None else shared.request.sha256]
    return Item(
        index=index,
        verdict="quarantined",
        submission_key=content_key(shared.source_id, content, shared.request.received_at),
        occurred_at=shared.request.received_at,
        reason=reason,
        unmet=(
            {
                "criterion": reason,
                "have": storable(why),
                "need": _NEEDED.get(reason, "a body that the source's document can map"),
            },
        ),
    )
