"""Accounts in which several people are active, their engagement together, and which personas are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.journeys.state import attributes, exception_of
from app.leads.past import merged_before, restored
from app.policy.document import Policy
from app.policy.facts import Facts
from app.reports import accounts_sql
from app.reports.parameters import AccountsParameters, Parameters
from app.reports.report import Metric, Report, Settings
from app.scoring.personas import persona_matches

MOST_PEOPLE: Final = 20_000


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    names = [persona.name for persona in policy.personas]
    personas = [Metric(f"persona_{name}", value=name, is_rate=False, row_is="account") for name in names]
    return [Metric("several_people", is_rate=False, row_is="account"), *personas]


async def prepare(tx: Tx, tenant_id: UUID, settings: Settings) -> dict[str, Any]:
    """Of each persona the active leads that match it. Raises RequestInvalid for more leads than a report looks at."""
    found: dict[str, list[str]] = {persona.name: [] for persona in settings.policy.personas}
    if not found:
        return {"personas": found}
    rows = await accounts_sql.profiles(tx, tenant_id, settings.start, settings.end, settings.as_of, MOST_PEOPLE + 1)
    if len(rows) > MOST_PEOPLE:
        detail = f"more than {MOST_PEOPLE} people were active, which is the limit: ask for a shorter window"
        raise RequestInvalid.of("to", "too_many_people", detail)
    for row in rows:
        for match in persona_matches(settings.policy, _facts(row), settings.as_of):
            if match.matches:
                found[match.name].append(str(row.id))
    return {"personas": found}


def _facts(row: Record) -> Facts:
    """What was known of the lead itself at the instant: the present values, with those of later changes put back."""
    before = merged_before(row.undone or ())
    fields, flags = restored(row.fields, before["fields"]), restored(row.flags, before["flags"])
    custom = before.get("custom", row.custom)
    channel = before.get("channel", row.channel)
    touches = before.get("attribution")
    return Facts(
        fields=attributes(fields, flags, custom, row.kind, channel, row.business),
        custom=custom,
        first_touch=touches["first"] if touches else row.first_touch,
        consents=before.get("consents", row.consents),
        exception=exception_of(flags),
    )


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """How many people were active in these accounts, and their engagement together."""
    return {"people": row.people if row else 0, "engagement": row.engagement if row else 0}


REPORT: Final = Report(
    "accounts",
    "Of the accounts with an active person in the window, how many have several, or one of each persona.",
    accounts_sql.ACCOUNTS,
    metrics,
    AccountsParameters,
    {"people": "sum(people)::bigint", "engagement": "sum(engagement)::bigint"},
    show,
    groups={"account": ("f.id::text", "")},
    prepare=prepare,
    columns=("people", "engagement"),
)
