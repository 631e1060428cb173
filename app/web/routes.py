"""Every router, in the order of the documentation. Only this module imports endpoints."""

from fastapi.routing import APIRoute

from app.backtests.endpoints import api as backtests
from app.confirmations.endpoints import api as confirmations
from app.confirmations.endpoints import links_api as withdrawal_links
from app.confirmations.endpoints import withdraw_api as withdrawals
from app.consumers.endpoints import api as consumers
from app.consumers.endpoints import reading_api as consumers_reading
from app.conversion.endpoints import api as conversion
from app.conversion.endpoints import gathered_api as gathered_conversion
from app.erasure.endpoints import api as erasure
from app.events.endpoints import api as events
from app.events.endpoints import feed_api as feed
from app.exports.endpoints import api as exports
from app.forecast.endpoints import api as forecast
from app.imports.endpoints import api as imports
from app.imports.endpoints import stream_api as import_streams
from app.leads.endpoints import activities_api as activities
from app.leads.endpoints import api as leads
from app.leads.endpoints import gathered_api as gathered_leads
from app.likelihood.endpoints import api as likelihood
from app.merging.endpoints import api as merging
from app.merging.endpoints import duplicates_api as duplicates
from app.pipeline.endpoints import api as pipeline
from app.policies.described import api as described_policies
from app.policies.endpoints import api as policies
from app.reports.endpoints import api as reports
from app.retention.endpoints import api as retention
from app.sources.endpoints import api as sources
from app.submissions.endpoints import api as submissions
from app.submissions.endpoints import ingest_api
from app.tenants.audit_endpoints import api as audit
from app.tenants.endpoints import api as tenants
from app.transitions.endpoints import api as transitions
from app.transitions.endpoints import gathered_api as gathered_transitions
from app.users.endpoints import api as users
from app.webhooks.endpoints import api as subscriptions
from app.webhooks.endpoints import ping_api as pings
from app.webhooks.replays.endpoints import api as replays

ROUTERS = (
    gathered_leads,  # first, because routes are tried in this order, and most requests are for these
    gathered_transitions,
    gathered_conversion,
    ingest_api,
    sources,
    submissions,
    confirmations,
    withdrawals,
    withdrawal_links,
    import_streams,
    imports,
    exports,
    leads,
    activities,
    transitions,
    conversion,
    merging,
    erasure,
    duplicates,
    pipeline,
    forecast,
    feed,
    events,
    consumers_reading,
    consumers,
    subscriptions,
    pings,
    replays,
    described_policies,  # before the policies, whose ids would match `schema`
    policies,
    backtests,
    likelihood,
    reports,
    tenants,
    users,
    audit,
    retention,
)


def methods_by_path() -> dict[str, str]:
    """The `Allow` header of each path: the methods of all its routes (Starlette names those of the first one only)."""
    found: dict[str, set[str]] = {}
    for route in (route for router in ROUTERS for route in router.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
            found.setdefault(route.path, set()).update(route.methods or ())
    return {path: ", ".join(sorted(methods | {"OPTIONS"} | _head_of(methods))) for path, methods in found.items()}


def _head_of(methods: set[str]) -> set[str]:
    return {"HEAD"} if "GET" in methods else set()
