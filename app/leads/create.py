"""`POST /v1/leads`: the same capture as of a submission, but synchronous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import IdentityRequired, SourceNotFound
from app.leads import sql
from app.leads.capture import Arrival, ArrivalActivity, Captured, capture
from app.leads.consent import consent_times
from app.leads.consent_schemas import ConsentIn
from app.leads.double_opt_in import DoubleOptIn
from app.leads.future import check_not_future
from app.leads.references import check_attribution, unknown_references
from app.leads.schemas import LeadCreate
from app.leads.unreadable import unreadable
from app.matching.channel import REFERENCES, Channel, channel_of
from app.matching.normalize import normalize
from app.web.gather import Member

NEEDED = "an e-mail, phone, handle or external id is needed, or a company with its own website or domain"
DEFAULTED = ("source", "medium", "campaign")
FORM_FILL = "form_fill"
ACTIVITY_OF: Mapping[Channel | None, str] = {"phone": "call", "chat": "chat"}
IDENTIFYING = ("email", "phone")
NO_IDENTITY = [{"field": "fields", "code": "identity_required", "detail": NEEDED}]


async def create_leads(tx: Tx, tenant_id: UUID, members: Sequence[Member[LeadCreate, Captured]], now: datetime) -> None:
    """Creates a lead for each request, or updates the one with the same identity.

    A request fails with IdentityRequired when it names nobody, SourceNotFound for an unknown source, OutOfOrder for a
    time in the future; for its attribution the problems of `check_attribution`.
    """
    sources = await sql.sources(tx, tenant_id, {one.wanted.source_id for one in members})
    unknown = await unknown_references(tx, tenant_id, [one.wanted.attribution for one in members])
    arriving: list[tuple[Member[LeadCreate, Captured], Arrival]] = []
    for one in members:
        with one.attempt():
            check_attribution(one.wanted.attribution, unknown)
            arriving.append((one, _arrival(one, tenant_id, sources.get(one.wanted.source_id), now)))
    captured = await capture(tx, tenant_id, [arrival for _, arrival in arriving], now, apart=True)
    for (one, _), found in zip(arriving, captured, strict=True):
        one.later, one.result = found.later, None if found.later else found


def names_of(body: LeadCreate) -> list[str]:
    """What a request calls its person, as it was typed: requests that share a name are about one person.

    Others may be too, if the same address or number was typed in another way; `capture` finds these.
    """
    fields = body.fields
    digits = "".join(letter for letter in fields.phone or "" if letter.isdigit())
    typed = [(fields.email or "").strip().casefold(), digits]
    return [*filter(None, typed), *(f"{namespace} {value}" for namespace, value in body.external_ids.items())]


def _arrival(asked: Member[LeadCreate, Captured], tenant_id: UUID, source: Record | None, now: datetime) -> Arrival:
    body, caller = asked.wanted, asked.caller
    if source is None:
        raise SourceNotFound.of("source_id", f"there is no source {ids.shown('source', body.source_id)}")
    when = body.occurred_at or (body.activity.occurred_at if body.activity else None) or now
    times = {"occurred_at": body.occurred_at, **consent_times(body.consents)}
    if body.activity:
        times["activity.occurred_at"] = body.activity.occurred_at
    check_not_future(times, now)
    region = source.defaults.get("region")
    person = normalize(body.fields.model_dump(exclude_none=True), body.external_ids, region)
    if not person.identities:
        raise IdentityRequired(errors=[*NO_IDENTITY, *unreadable(body.fields.model_dump(), person.fields, IDENTIFYING)])
    touch = attribution_of(body.attribution, source.defaults)
    channel = body.channel or channel_of(touch, source.defaults.get("channel"))
    return Arrival(
        person=person,
        occurred_at=when,
        source_id=source.id,
        source_name=source.name,
        actor=caller.actor,
        on_behalf_of=caller.on_behalf_of,
        activity=_activity(body, source.defaults.get("entry"), channel),
        attribution={**touch, "channel": channel} if channel else touch,
        consents=tuple(_Consent(consent) for consent in body.consents),
        custom=body.custom,
        entry=source.defaults.get("entry"),
        double_opt_in=DoubleOptIn.of(tenant_id, source.defaults),
    )


class _Consent:
    """A consent of the request, as `Arrival` takes it."""

    def __init__(self, consent: ConsentIn) -> None:
        self.purpose: str = consent.purpose
        self.state: str = consent.state
        self.text: str | None = consent.text
        self.text_version: str | None = consent.text_version
        self.client_address: str | None = consent.client_address
        self.occurred_at: datetime | None = consent.occurred_at


def _activity(body: LeadCreate, entry: str | None, channel: Channel | None) -> ArrivalActivity | None:
    """The activity of the request. Default: that of the channel, or none if the source is a bought list (it has an
    `entry`)."""
    if body.activity is None:
        return ArrivalActivity(str(ids.new_id()), ACTIVITY_OF.get(channel, FORM_FILL)) if entry is None else None
    key = body.activity.activity_key or str(ids.new_id())
    wanted = body.activity
    return ArrivalActivity(key, wanted.type, wanted.kind, wanted.properties, occurred_at=wanted.occurred_at)


def attribution_of(attribution: Mapping[str, str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The attribution of the request, over the defaults of the source."""
    fallback = {name: defaults[name] for name in (*DEFAULTED, *REFERENCES) if defaults.get(name)}
    return {**fallback, **{name: value for name, value in attribution.items() if value}}
