"""Compares the reports of a running service with what follows from its events: `python -m tests.proof URL KEY [DAYS]`.

The service may have any number of leads, such as the 5,000 of `baton demo`. Prints each difference; status 1 if any.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.proof.forecast import forecast, instant, told
from tests.proof.reports import COMPUTED, differences


def main(url: str, key: str, days: str = "200") -> int:
    def get(path: str) -> dict[str, Any]:
        request = urllib.request.Request(url.rstrip("/") + path, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return dict(json.load(answer))

    def all_events() -> Iterator[dict[str, Any]]:
        page = get("/v1/events?limit=1000")
        while page["data"]:
            yield from page["data"]
            page = get(f"/v1/events?limit=1000&after={page['next']}")

    zone = get("/v1/calendar")["time_zone"]
    today = datetime.now(UTC).date()
    window = f"from={today - timedelta(days=int(days))}&to={today + timedelta(days=1)}"
    reports = [get(f"/v1/reports/{name}?{window}") for name in COMPUTED]
    deals = get("/v1/reports/forecast")
    events = list(all_events())
    wrong = [one for report in reports for one in differences(report, events, zone)]
    first, end = (date.fromisoformat(deals["period"][name]) for name in ("from", "to"))
    if told(deals) != forecast(events, first, end, instant(deals["as_of"])):
        wrong.append("forecast: the API says other sums than follow from the events")
    compared = sum(len(group["metrics"]) for report in (*reports, deals) for group in report["groups"])
    print(*wrong, f"{compared} metrics compared with {len(events)} events: {len(wrong)} differences", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
