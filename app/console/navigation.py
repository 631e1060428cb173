"""The pages in the navigation. A further page is a row here, a template and a route (docs/console.md)."""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    title: str
    path: str  # below /console


NAVIGATION: Final = (
    Entry("Today", ""),
    Entry("Leads", "/leads"),
    Entry("Accounts", "/accounts"),
    Entry("Pipeline", "/pipeline"),
    Entry("Forecast", "/forecast"),
    Entry("Reports", "/reports"),
    Entry("Sources", "/sources"),
    Entry("Subscriptions", "/subscriptions"),
    Entry("Policy", "/policies"),
)
