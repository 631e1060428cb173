"""The filters of the list of leads, as query parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from app.leads.history import wanted_identities
from app.matching.channel import Channel
from app.web.fields import AccountId, Instant, SourceId, UserId
from app.web.parameters import check_window

Sort = Annotated[
    Literal["created_at", "updated_at", "stage_entered_at"] | None,
    Query(
        description="The latest come first. Without it `created_at`; a search (`q`) lists the lead with that address, "
        "then those found by company, by name and by address, the newest first in each. Where very many match, all "
        "are listed by `created_at`."
    ),
]


async def _lead_filters(
    stage: Annotated[str | None, Query(max_length=64)] = None,
    owner_id: UserId | None = None,
    account_id: AccountId | None = None,
    email: Annotated[str | None, Query(max_length=254)] = None,
    phone: Annotated[str | None, Query(max_length=64)] = None,
    external_id: Annotated[str | None, Query(max_length=320, description="namespace:value")] = None,
    temperature: Literal["hot", "warm", "cold"] | None = None,
    sla: Annotated[
        Literal["due", "met", "breached"] | None, Query(description="State of the clock that the lead shows.")
    ] = None,
    source: SourceId | None = None,
    campaign: Annotated[
        str | None, Query(min_length=1, max_length=1_000, description="Of the first or the last touch; case matters.")
    ] = None,
    channel: Annotated[Channel | None, Query(description="By which the lead came first.")] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Beginnings of words of name, company, domain or e-mail address, separated by spaces: a lead "
            "has all of them. Case and accents are ignored.",
        ),
    ] = None,
    created_after: Instant | None = None,
    created_before: Instant | None = None,
    updated_after: Instant | None = None,
    updated_before: Instant | None = None,
) -> dict[str, Any]:
    check_window(created_after, created_before, ("created_after", "created_before"))
    check_window(updated_after, updated_before, ("updated_after", "updated_before"))
    return {
        "stage": stage,
        "owner_id": owner_id,
        "account_id": account_id,
        "temperature": temperature,
        "sla_state": sla,
        "source_id": source,
        "campaign": campaign,
        "channel": channel,
        "q": q,
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
        "identities": wanted_identities(email, phone, external_id),
    }


LeadFilters = Annotated[dict[str, Any], Depends(_lead_filters)]
