"""Sets what a campaign has cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.database.transaction import Tx
from app.reports.settings import COST, keep_setting
from app.web.auth import Caller
from app.web.money import Money


async def set_cost(tx: Tx, caller: Caller, name: str, cost: Money | None, now: datetime) -> dict[str, Any]:
    """The campaign with its cost from now on."""
    shown = None if cost is None else cost.model_dump()
    await keep_setting(tx, caller, f"{COST}{name}", shown, now)
    return {"name": name, "cost": shown}
