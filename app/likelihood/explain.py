"""How likely one lead is to become a customer, and the traits that say so."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Tx
from app.journeys.load import read_lead
from app.likelihood import sql
from app.likelihood.train import missing_cases, terms_of
from app.policies.published import newest_model
from app.policy.likelihood import traits

SHOWN: Final = 5
NO_MODEL: Final[dict[str, Any]] = {
    **dict.fromkeys(("probability", "base_rate", "lift", "model")),
    "raises": [],
    "lowers": [],
}


async def likelihood(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> dict[str, Any]:
    """The lead's probability by the newest model; without one, how many cases are missing to train it."""
    change = await read_lead(tx, tenant_id, lead_id, now)
    model = await newest_model(tx, tenant_id)
    if model is None:
        counted = await sql.count_cases(tx, tenant_id, terms_of(change.active.policy, now))
        return {**NO_MODEL, "missing": missing_cases(counted)}
    known = traits(change.facts(), now)
    parts = sorted(model.parts(known), key=lambda part: (part[2], part[0]))
    return {
        "probability": model.shown(known),
        "base_rate": round(model.base_rate, 4),
        "lift": round(model.probability(known) / model.base_rate, 2),
        "model": model.version,
        "raises": [_shown(part) for part in reversed(parts[-SHOWN:]) if part[2] > 0],
        "lowers": [_shown(part) for part in parts[:SHOWN] if part[2] < 0],
        "missing": {},
    }


def _shown(part: tuple[str, str, float]) -> dict[str, Any]:
    trait, value, weight = part
    return {"trait": trait, "value": value, "weight": round(weight, 4)}
