"""Steps of tests about reports: leads that become MQLs at a time, and reports of a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api import Api

YES = {"status": "confirmed", "value": "yes"}
THREE = {"need": YES, "budget": YES, "timing": YES}
JANUARY = {"from": "2026-01-01", "to": "2026-02-01"}


def go_to(api: Api, at: datetime) -> None:
    """Sets the clock of the service."""
    api.clock.ahead += at - api.now


def day(number: int, hour: int = 9) -> datetime:
    """A day of January 2026; those after the 31st are in the months that follow."""
    return datetime(2026, 1, 1, hour, tzinfo=UTC) + timedelta(days=number - 1)


async def report(api: Api, name: str, /, *, expect: int = 200, **parameters: Any) -> dict[str, Any]:
    """The answer to a report of January, unless another window is asked for."""
    answer = await api.call("GET", f"/v1/reports/{name}", params={**JANUARY, **parameters})
    assert answer.status_code == expect, answer.text
    return dict(answer.json())


def metric(document: dict[str, Any], name: str, key: str | None = None) -> dict[str, Any]:
    """A metric of a group by its name."""
    [group] = [one for one in document["groups"] if one["key"] == key]
    [found] = [one for one in group["metrics"] if one["name"] == name]
    return dict(found)


def fraction(document: dict[str, Any], name: str, key: str | None = None) -> tuple[int, int]:
    """Numerator and denominator of a metric."""
    found = metric(document, name, key)
    return found["numerator"], found["denominator"]


async def evidence(api: Api, name: str, metric: str, **parameters: Any) -> list[dict[str, Any]]:
    """All rows of the evidence of a metric, page by page."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        given = {**JANUARY, **parameters, "metric": metric, **({"cursor": cursor} if cursor else {})}
        answer = await api.call("GET", f"/v1/reports/{name}/evidence", params=given)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["data"]
        cursor = answer.json()["next"]
        if cursor is None:
            return rows


async def hand_over(api: Api, lead: dict[str, Any], sdr: str, ae: str) -> str | None:
    """Hands an MQL over to the AE, which converts it; the id of its opportunity."""
    headers = {"Idempotency-Key": f"convert-{lead['id']}"}
    answer = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["conversion"]["opportunity"]["id"])


async def advance(api: Api, opportunity: str | None, action: str, ae: str, **members: Any) -> None:
    """A transition of an opportunity."""
    path = f"/v1/opportunities/{opportunity}/transitions"
    answer = await api.call("POST", path, {"action": action, **members}, actor=ae)
    assert answer.status_code == 201, answer.text
