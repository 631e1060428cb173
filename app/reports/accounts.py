"""Accounts in which several people are active, their engagement together, and which personas are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.leads.personas_then import kept_personas, personas_then
from app.policy.document import Policy
from app.reports import accounts_sql
from app.reports.parameters import AccountsParameters, Parameters
from app.reports.report import Metric, Report, Settings

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
        undone = row.undone or ()
        names = kept_personas(row, undone, str(settings.policy_id))
        if names is None:
            names = personas_then(settings.policy, row, undone, settings.as_of)
        for name in names:
            found[name].append(str(row.id))
    return {"personas": found}


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
