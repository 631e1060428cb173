"""Try what a subscription would be sent of the latest events of the log. Nothing is sent or stored."""

from __future__ import annotations

from itertools import compress
from typing import Any, Final

import orjson

from app import ids
from app.events.envelope import Sequenced, timestamp
from app.events.sql import event_of
from app.webhooks import lane_sql
from app.webhooks.accepted import Selection, accepted
from app.webhooks.consenting import agreeing
from app.webhooks.content import Format, content
from app.webhooks.schemas import SubscriptionPreview
from app.webhooks.subscribe import SubscriptionContext, check_events

EXAMINED: Final = 1000
TOGETHER: Final = 200  # events in memory, with their leads
SAMPLES: Final = 3


async def preview(context: SubscriptionContext, body: SubscriptionPreview) -> dict[str, Any]:
    """How many of the last EXAMINED events would be sent now, and the bodies of the latest. Raises the problems of
    `check_events`."""
    values = body.model_dump()
    warnings = await check_events(context, values)
    selection = Selection.of(values)
    examined, matched, since, before = 0, 0, None, None
    samples: list[Any] = []
    while examined < EXAMINED:
        rows = await lane_sql.read_back(context.tx, context.tenant_id, before, TOGETHER)
        events = await accepted(context.tx, context.tenant_id, selection, [event_of(row) for row in rows])
        sent = list(compress(events, await agreeing(context.tx, context.tenant_id, selection.purposes, events)))
        samples += [_sample(context, selection, body.format, event) for event in sent[: SAMPLES - len(samples)]]
        examined, matched = examined + len(rows), matched + len(sent)
        if rows:
            before, since = rows[-1].position, timestamp(rows[-1].recorded_at)
        if len(rows) < TOGETHER:
            break
    return {"examined": examined, "matched": matched, "since": since, "samples": samples, "warnings": warnings}


def _sample(context: SubscriptionContext, selection: Selection, format_: Format, event: Sequenced) -> Any:
    """The body that would be sent; with its headers where the event is in these, too."""
    public_id = ids.show("event", event.id)
    sent = content(format_, selection.shown(event), public_id, context.tenant_id, selection.max_bytes)
    body = orjson.loads(sent.body)
    return {"headers": sent.headers, "body": body} if format_ == "cloudevents_binary" else body
