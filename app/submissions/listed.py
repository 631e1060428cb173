"""Rows of an imported list: a submission holds many of them, and each is mapped as if it had been sent alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from app.database.transaction import Record
from app.matching.channel import DOORS, Channel, channel_of
from app.sources.document import Document, Parse, Spam
from app.sources.item import Consent, Item
from app.sources.mapping import map_request_async
from app.sources.ready import ReadySource
from app.sources.request import RawRequest

JSON = {"content-type": "application/json"}
DEFAULTS = ("source", "medium", "campaign", "entry", "activity_type")


@dataclass(frozen=True)
class RowRequest(RawRequest):
    """One row as a request. Its hash is that of its file, and its number: so a row is the same when its file comes
    again, and another when an equal row stands in another place."""

    list_key: str = ""

    @property
    def sha256(self) -> str:
        return self.list_key


@dataclass(frozen=True, slots=True)
class ListedRows:
    """Rows of one list: their cells by column, their numbers, and by place what is wrong with them. `options` hold for
    the whole list: defaults, and the purposes for which all have given their consent, with the evidence."""

    rows: Sequence[Mapping[str, str]]
    numbers: Sequence[int]
    file_sha256: str
    received_at: datetime
    faults: Mapping[str, str] = field(default_factory=dict)
    guessed: Sequence[int] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Record) -> ListedRows:
        """The rows of a stored submission."""
        listed = row.listed
        return cls(
            orjson.loads(row.body),
            listed["rows"],
            row.sha256,
            row.received_at,
            listed["faults"],
            listed["guessed"],
            listed["options"],
        )


async def map_rows(source: ReadySource, listed: ListedRows) -> list[Item]:
    """One item for each row, in order. Never raises for any row."""
    assert source.document is not None, "a list is taken only where its source has a document"
    adapted = _for_rows(source.document, listed.options)
    channel = listed.options.get("channel") or source.channel
    if channel is None and adapted.defaults.channel not in DOORS:
        channel = adapted.defaults.channel
    items = []
    for place, cells in enumerate(listed.rows):
        key = f"{listed.file_sha256}:{listed.numbers[place]}"
        fault = listed.faults.get(str(place))
        if not cells:  # the person of the row was erased
            item = Item(0, "ignore", key, listed.received_at)
        elif fault is None:
            request = RowRequest("POST", JSON, "", orjson.dumps(cells), listed.received_at, list_key=key)
            item = _only(await map_request_async(adapted, request, source.id), key, listed.received_at)
            item = replace(item, channel=channel_of(item.attribution, channel or _by_entry(item)))
        else:
            item = _refused(key, listed.received_at, "row_malformed", fault, "a cell for each column")
        items.append(_of_row(item, place, key, listed))
    return items


def _by_entry(item: Item) -> Channel:
    """The channel of a row where nothing names another: a preset of forms says nothing of lists."""
    return "import" if item.entry is None else "purchased_list"


def _for_rows(document: Document, options: Mapping[str, Any]) -> Document:
    """The document for rows, which come as JSON objects and which no bot has typed, with the list's own defaults."""
    given = {name: options[name] for name in DEFAULTS if options.get(name) is not None}
    defaults = document.defaults.model_copy(update=given)
    parse = Parse(formats=["json"], drop=document.parse.drop)
    return document.model_copy(update={"defaults": defaults, "parse": parse, "spam": Spam()})


def _only(items: Sequence[Item], key: str, received_at: datetime) -> Item:
    if len(items) == 1:
        return items[0]
    if not items:
        return Item(0, "ignore", key, received_at)
    return _refused(key, received_at, "mapping_failed", f"/items: {len(items)} items", "one item of each row")


def _refused(key: str, received_at: datetime, reason: Any, have: str, need: str) -> Item:
    unmet = ({"criterion": reason, "have": have, "need": need},)
    return Item(0, "quarantined", key, received_at, reason=reason, unmet=unmet)


def _of_row(item: Item, place: int, key: str, listed: ListedRows) -> Item:
    """The item in its place, with the key of its row where the document gives none, and what holds for the list."""
    person = item.person
    if person is not None and place in listed.guessed:
        person = replace(person, flags=(*person.flags, "text_guessed"))
    return replace(
        item,
        index=place,
        person=person,
        submission_key=key if item.repeat_keys else item.submission_key,
        repeat_keys=(),
        consents=_consents(item.consents, listed.options),
    )


def _consents(own: Sequence[Consent], options: Mapping[str, Any]) -> tuple[Consent, ...]:
    """The answers of the row, and the list's own for each purpose that the row does not answer; its evidence is also
    that of a row's yes without a text."""
    evidence, purposes = options.get("consent_evidence"), options.get("consent", ())
    answered = {consent.purpose for consent in own if consent.state != "unknown"}
    given = [purpose for purpose in purposes if purpose not in answered]
    kept = [
        replace(one, text=evidence) if one.state == "given" and one.purpose in purposes and not one.text else one
        for one in own
        if one.purpose not in given
    ]
    return (*kept, *(Consent(purpose, "given", evidence) for purpose in given))
